//! Products of matrices of quantised numbers.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::{Arity, Domain, OpDef, Sample};
use crate::ops::{cast::Cast, matmul::MatMul, reshape::Reshape, sub::Sub};

op! {
    /// `matmul_integer(a, b, a_zero, b_zero)`: `(a - a_zero) . (b - b_zero)` in i32, which wraps. A zero point is one
    /// number, or a vector with one for each row of `a` or column of `b`. Source: ONNX `MatMulInteger`.
    pub struct MatMulInteger = "matmul_integer" {}
}

/// A number, or one per row: a vector becomes a column.
pub(crate) fn per_row(b: &mut Builder, value: ValueId) -> Result<ValueId, OpError> {
    match b.ty(value).dims()? {
        [_] => {
            let rows = b.extents(value)?[0];
            b.apply(Reshape { extents: vec![rows, 1] }, &[value])
        }
        _ => Ok(value),
    }
}

/// `x - zero` in i32.
pub(crate) fn shifted(b: &mut Builder, x: ValueId, zero: ValueId) -> Result<ValueId, OpError> {
    let x = b.apply(Cast { to: DType::I32 }, &[x])?;
    let zero = b.apply(Cast { to: DType::I32 }, &[zero])?;
    b.apply(Sub {}, &[x, zero])
}

impl OpDef for MatMulInteger {
    derived!();
    fn arity(&self) -> Arity {
        4..=4
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![DType::I32]
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        if x.iter().any(|value| !b.dtype(*value).is_int()) {
            return Err(OpError::invalid("'matmul_integer' takes integers"));
        }
        let rows = per_row(b, x[2])?;
        let left = shifted(b, x[0], rows)?;
        let right = shifted(b, x[1], x[3])?;
        Ok(vec![b.apply(MatMul {}, &[left, right])?])
    }
}

impl MatMulInteger {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![
            Sample::drawn(MatMulInteger {}, Domain::Any, &[(DType::U8, &[5, 9]), (DType::I8, &[9, 7]), (DType::U8, &[]), (DType::I8, &[])]),
            Sample::drawn(MatMulInteger {}, Domain::Any, &[(DType::I8, &[2, 5, 9]), (DType::I8, &[9, 7]), (DType::I8, &[5]), (DType::I8, &[7])]),
        ]
    }
}
