//! Determinants.
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::shape::TensorType;
use crate::tensor::Tensor;

op! {
    /// The determinant of each matrix in the last two axes, which drop out. Gaussian elimination with row pivots.
    pub struct Det = "det" {}
}

fn determinant(matrix: &mut [f64], n: usize) -> f64 {
    let mut product = 1.0;
    for column in 0..n {
        let Some(pivot) = (column..n).max_by(|a, b| matrix[a * n + column].abs().total_cmp(&matrix[b * n + column].abs())) else { break };
        let head = matrix[pivot * n + column];
        if head == 0.0 {
            return 0.0;
        }
        if pivot != column {
            for k in 0..n {
                matrix.swap(pivot * n + k, column * n + k);
            }
            product = -product;
        }
        product *= head;
        for row in column + 1..n {
            let factor = matrix[row * n + column] / head;
            for k in column..n {
                matrix[row * n + k] -= factor * matrix[column * n + k];
            }
        }
    }
    product
}

impl OpDef for Det {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let dims = args[0].ty.dims()?;
        let [batch @ .., rows, columns] = dims else { return Err(OpError::invalid(format!("'det' of {}: it needs two axes", args[0].ty))) };
        if !rows.may_equal(columns) || !args[0].ty.dtype.is_float() {
            return Err(OpError::invalid(format!("'det' of {}: it takes square matrices of floats", args[0].ty)));
        }
        Ok(vec![TensorType::ranked(args[0].ty.dtype, batch.to_vec())])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let ty = inputs[0].ty();
        let extents = self.infer(&[Arg { ty: &ty, value: None }])?[0].extents()?;
        let n = inputs[0].extents()[extents.len()] as usize;
        let mut matrices = inputs[0].f64s();
        let count = crate::tensor::checked_elems(&extents)?;
        let results: Vec<f64> = if n == 0 { vec![1.0; count] } else { matrices.chunks_mut(n * n).map(|matrix| determinant(matrix, n)).collect() };
        Ok(vec![Tensor::from_f64s(inputs[0].dtype(), &extents, &results)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        // The interpreter is what runs everywhere; this bounds another elimination order.
        Tolerance::sum(dtype, 64.0)
    }
}

impl Det {
    pub(crate) fn samples() -> Vec<Sample> {
        [&[3i64, 3][..], &[2, 2, 5, 5], &[4, 0, 0], &[1, 1]].into_iter().map(|extents| Sample::drawn(Det {}, Domain::Ordinary, &[(DType::F32, extents)])).collect()
    }
}
