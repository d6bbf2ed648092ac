//! What an op computes, as a loop nest: `out[i..] = combine over r.. of value(i.., r..)`.
//!
//! In: an op with known shapes (its `body`). Out: [`Compute`]. The scheduler fuses and tiles these;
//! nothing below it knows ops. Must not know: kernels, devices.

use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::{ExprId, Exprs, Source, Var, evaluate};
use crate::scalar::{Binary, Scalar};
use crate::tensor::{AlignedBytes, Tensor, checked_elems, write};

/// How the values along the reduction axes become one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Combine {
    /// Sum, from 0.
    Sum,
    /// Product, from 1.
    Product,
    /// Largest, from the lowest value; NaN wins.
    Max,
    /// Smallest, from the highest value; NaN wins.
    Min,
}

impl Combine {
    /// The value of an empty reduction.
    pub fn identity(self, dtype: DType) -> Scalar {
        match self {
            Combine::Sum => Scalar::zero(dtype),
            Combine::Product => Scalar::one(dtype),
            Combine::Max => Scalar::lowest(dtype),
            Combine::Min => Scalar::highest(dtype),
        }
    }

    /// The scalar operation that joins two values.
    pub fn op(self) -> Binary {
        match self {
            Combine::Sum => Binary::Add,
            Combine::Product => Binary::Mul,
            Combine::Max => Binary::Max,
            Combine::Min => Binary::Min,
        }
    }
}

/// One output of an op as a loop nest.
///
/// Variables `Var(0..rank)` run over `extents`, `Var(rank..)` over `reduce`. `Source(k)` is the
/// op's operand `k`, indexed with one expression per axis. The reduction is accumulated in the
/// dtype of `value`; the result is then converted to `dtype`.
#[derive(Clone, Debug, PartialEq)]
pub struct Compute {
    /// Element type of the output.
    pub dtype: DType,
    /// Extents of the output.
    pub extents: Vec<i64>,
    /// Extents of the reduction axes; empty where nothing is reduced.
    pub reduce: Vec<i64>,
    /// How values are joined along them.
    pub combine: Combine,
    /// The arena that `value` lies in.
    pub exprs: Exprs,
    /// What is computed at one point.
    pub value: ExprId,
}

impl Compute {
    /// A nest without reduction. `value` gets the arena and one variable per output axis.
    pub fn map(dtype: DType, extents: &[i64], value: impl FnOnce(&mut Exprs, &[ExprId]) -> ExprId) -> Self {
        Self::reduction(dtype, extents, &[], Combine::Sum, |e, i, _| value(e, i))
    }

    /// A nest with reduction. `value` gets the arena, the output variables and the reduction variables.
    pub fn reduction(
        dtype: DType,
        extents: &[i64],
        reduce: &[i64],
        combine: Combine,
        value: impl FnOnce(&mut Exprs, &[ExprId], &[ExprId]) -> ExprId,
    ) -> Self {
        let mut exprs = Exprs::new();
        let outer: Vec<ExprId> = (0..extents.len()).map(|i| exprs.var(Var(i as u32))).collect();
        let inner: Vec<ExprId> = (0..reduce.len()).map(|i| exprs.var(Var((extents.len() + i) as u32))).collect();
        let value = value(&mut exprs, &outer, &inner);
        Self { dtype, extents: extents.to_vec(), reduce: reduce.to_vec(), combine, exprs, value }
    }

    /// Does it join values (rather than compute each by itself)?
    pub fn reduces(&self) -> bool {
        !self.reduce.is_empty()
    }

    /// Runs the nest point by point, accumulating float sums and products in f64.
    ///
    /// # Errors
    /// Invalid where an index lies outside an operand; unsupported where memory runs out.
    pub fn run(&self, inputs: &[&Tensor]) -> Result<Tensor, OpError> {
        let elems = checked_elems(&self.extents)?;
        let order = self.exprs.reachable(&[self.value]);
        let mut values = vec![Scalar::Int(0); self.exprs.len()];
        let accumulated = self.exprs.dtype(self.value);
        let wide = if accumulated.is_float() { DType::F64 } else { accumulated };
        let points = checked_elems(&self.reduce)?;
        let mut data = AlignedBytes::zeroed(elems.checked_mul(self.dtype.size()).ok_or_else(|| OpError::invalid("a result has more bytes than memory can hold"))?)?;
        let result = data.as_mut_slice();
        let rank = self.extents.len();
        let mut at = vec![0i64; rank + self.reduce.len()];
        let all: Vec<i64> = self.extents.iter().chain(&self.reduce).copied().collect();
        let mut outside = None;
        for out in 0..elems {
            let mut sum = self.combine.identity(wide);
            for _ in 0..points {
                evaluate(
                    &self.exprs,
                    &order,
                    &mut values,
                    |v| at[v.0 as usize],
                    |source, index| read_at(inputs[source.0 as usize], index).unwrap_or_else(|| {
                        outside = Some((source, index.to_vec()));
                        Scalar::Int(0)
                    }),
                    None,
                );
                let value = values[self.value.0 as usize];
                sum = if self.reduce.is_empty() { value } else { self.combine.op().apply(sum, value, wide) };
                advance(&mut at[rank..], &all[rank..]);
            }
            write(result, out, self.dtype, sum);
            advance(&mut at[..rank], &all[..rank]);
        }
        if let Some((Source(source), index)) = outside {
            return Err(OpError::invalid(format!("index {index:?} lies outside operand {source} of shape {:?}", inputs[source as usize].extents())));
        }
        Tensor::from_bytes(self.dtype, &self.extents, data)
    }
}

/// Steps a row-major counter; wraps around at the end.
pub fn advance(at: &mut [i64], extents: &[i64]) {
    for axis in (0..at.len()).rev() {
        at[axis] += 1;
        if at[axis] < extents[axis] {
            return;
        }
        at[axis] = 0;
    }
}

fn read_at(tensor: &Tensor, index: &[i64]) -> Option<Scalar> {
    let mut flat = 0i64;
    for (i, extent) in index.iter().zip(tensor.extents()) {
        if !(0..*extent).contains(i) {
            return None;
        }
        flat = flat * extent + i;
    }
    Some(tensor.get(flat as usize))
}
