//! Products of matrices of quantised numbers.
use crate::build::Builder;
use crate::compute::{Combine, Compute};
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::{ExprId, Exprs, Source};
use crate::graph::ValueId;
use crate::ops::sample::broadcast_index;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::ops::{cast::Cast, matmul::MatMul, reshape::Reshape, sub::Sub};
use crate::shape::TensorType;

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
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let known: Vec<Arg<'_>> = args.iter().map(|ty| Arg { ty, value: None }).collect();
        let extents = self.infer(&known)?[0].extents()?;
        let shapes = args.iter().map(|ty| ty.extents()).collect::<Result<Vec<_>, OpError>>()?;
        let [a, b, rows, columns] = &shapes[..] else { return Err(OpError::bug("'matmul_integer' of other than four operands")) };
        let rows = if rows.len() == 1 { vec![rows[0], 1] } else { rows.clone() };
        // Zero points of more axes than what they belong to are left to the expansion.
        let fits = |zero: &[i64], of: &[i64]| zero.len() <= of.len() && zero.iter().rev().zip(of.iter().rev()).all(|(zero, n)| *zero == 1 || zero == n);
        if !fits(&rows, a) || !fits(columns, b) {
            return Ok(Body::Expansion);
        }
        let rank = extents.len();
        Ok(Body::Loops(vec![Compute::reduction(DType::I32, &extents, &[a[a.len() - 1]], Combine::Sum, |e, at, k| {
            let mut row = broadcast_index(e, &a[..a.len() - 2], &at[..rank - 2]);
            row.extend([at[rank - 2], k[0]]);
            let mut column = broadcast_index(e, &b[..b.len() - 2], &at[..rank - 2]);
            column.extend([k[0], at[rank - 1]]);
            let shifted = |e: &mut Exprs, operand: usize, index: Vec<ExprId>, zeros: &[i64]| {
                let zero = broadcast_index(e, zeros, &index);
                let [x, zero] = [(operand, index), (operand + 2, zero)].map(|(operand, index)| {
                    let x = e.load(Source(operand as u32), args[operand].dtype, index);
                    e.cast(DType::I32, x)
                });
                e.sub(x, zero)
            };
            let (x, y) = (shifted(e, 0, row, &rows), shifted(e, 1, column, columns));
            e.mul(x, y)
        })]))
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
            Sample::drawn(MatMulInteger {}, Domain::Any, &[(DType::U8, &[2, 3, 5, 8]), (DType::I8, &[3, 8, 7]), (DType::U8, &[2, 3, 5, 1]), (DType::I8, &[3, 1, 7])]),
            Sample::drawn(MatMulInteger {}, Domain::Any, &[(DType::U8, &[3, 0]), (DType::U8, &[0, 4]), (DType::U8, &[1]), (DType::U8, &[1])]),
            Sample::drawn(MatMulInteger {}, Domain::Any, &[(DType::U8, &[21, 64]), (DType::U8, &[64, 50]), (DType::U8, &[]), (DType::U8, &[])]),
        ]
    }
}
