//! Products of matrices or vectors.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::reshape;
use crate::ops::{Arity, Domain, OpDef, Sample, Tolerance, matmul::MatMul};

op! {
    /// `matmul`, with a vector on the left standing for a row and one on the right for a column; that axis is dropped from
    /// the result. Source: NumPy `matmul`.
    pub struct Dot = "dot" {}
}

impl OpDef for Dot {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let (left, right) = (b.rank(inputs[0])?, b.rank(inputs[1])?);
        if left > 1 && right > 1 {
            return Ok(vec![b.apply(MatMul {}, inputs)?]);
        }
        let (x, y) = (b.extents(inputs[0])?, b.extents(inputs[1])?);
        if x.is_empty() || y.is_empty() {
            return Err(OpError::invalid(format!("'dot' of {} and {}", b.ty(inputs[0]), b.ty(inputs[1]))));
        }
        let row = if left == 1 { reshape(b, inputs[0], &[1, x[0]])? } else { inputs[0] };
        let column = if right == 1 { reshape(b, inputs[1], &[y[0], 1])? } else { inputs[1] };
        let product = b.apply(MatMul {}, &[row, column])?;
        let mut extents = b.extents(product)?;
        if right == 1 {
            extents.pop();
        }
        if left == 1 {
            let at = extents.len() - usize::from(right > 1) - 1;
            extents.remove(at);
        }
        Ok(vec![reshape(b, product, &extents)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl Dot {
    pub(crate) fn samples() -> Vec<Sample> {
        [(&[5i64][..], &[5i64][..]), (&[5], &[2, 5, 3]), (&[4, 2, 5], &[5]), (&[2, 5], &[5, 3])]
            .into_iter()
            .map(|(x, y)| Sample::drawn(Dot {}, Domain::Ordinary, &[(DType::F32, x), (DType::F32, y)]))
            .collect()
    }
}
