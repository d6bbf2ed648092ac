//! What an op computes, as a loop nest: `out[i..] = combine over r.. of value(i.., r..)`.
//!
//! In: an op with known shapes (its `body`). Out: [`Compute`]. The scheduler fuses and tiles these;
//! nothing below it knows ops. Must not know: kernels, devices.

use crate::column::{Column, Value};
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::{ExprId, Exprs, Source, Var, evaluate};
use crate::scalar::{Binary, Scalar};
use crate::tensor::{AlignedBytes, Tensor, checked_elems, row_strides, write};

/// How many points are evaluated at once.
const CHUNK: usize = 1024;

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

    /// Runs the nest, accumulating float sums and products in f64 and in the order of the points.
    ///
    /// # Errors
    /// Invalid where an index lies outside an operand; unsupported where memory runs out.
    pub fn run(&self, inputs: &[&Tensor]) -> Result<Tensor, OpError> {
        let too_large = || OpError::invalid("a result has more bytes than memory can hold");
        let (elems, depth) = (checked_elems(&self.extents)?, checked_elems(&self.reduce)?);
        let points = elems.checked_mul(depth).ok_or_else(too_large)?;
        let mut data = AlignedBytes::zeroed(elems.checked_mul(self.dtype.size()).ok_or_else(too_large)?)?;
        let result = data.as_mut_slice();
        let order = self.exprs.reachable(&[self.value]);
        let mut values = vec![Column::constant(Scalar::Int(0), DType::I64); self.exprs.len()];
        let axes: Vec<i64> = self.extents.iter().chain(&self.reduce).copied().collect();
        let strides = row_strides(&axes);
        let accumulated = self.exprs.dtype(self.value);
        let wide = if accumulated.is_float() { DType::F64 } else { accumulated };
        let identity = self.combine.identity(wide);
        let mut sum = identity;
        if depth == 0 {
            (0..elems).for_each(|at| write(result, at, self.dtype, identity));
        }
        for first in (0..points).step_by(CHUNK) {
            let len = CHUNK.min(points - first);
            let mut outside = None;
            evaluate(
                &self.exprs,
                &order,
                &mut values,
                |Var(axis)| counted(first, len, strides[axis as usize], axes[axis as usize]),
                |source, dtype, index, guard| load(inputs[source.0 as usize], dtype, index, guard).unwrap_or_else(|index| {
                    outside.get_or_insert((source, index));
                    Column::constant(Scalar::zero(dtype), dtype)
                }),
            );
            if let Some((Source(source), index)) = outside {
                return Err(OpError::invalid(format!("index {index:?} lies outside operand {source} of shape {:?}", inputs[source as usize].extents())));
            }
            let value = values[self.value.0 as usize].spread(len);
            if self.reduce.is_empty() {
                value.write(result, first, self.dtype);
                continue;
            }
            let mut at = 0;
            while at < len {
                let (out, done) = ((first + at) / depth, (first + at) % depth);
                let end = len.min(at + depth - done);
                sum = value.fold(at, end, sum, self.combine.op(), wide);
                if done + end - at == depth {
                    write(result, out, self.dtype, sum);
                    sum = identity;
                }
                at = end;
            }
        }
        Tensor::from_bytes(self.dtype, &self.extents, data)
    }
}

/// The values of an axis's variable at `len` points from point `first` on, in row-major order.
fn counted(first: usize, len: usize, stride: i64, extent: i64) -> Column {
    let (stride, first) = (stride as usize, first);
    let (mut now, mut left) = ((first / stride) as i64 % extent, stride - first % stride);
    if left >= len {
        return Column::Int(vec![now]);
    }
    let next = |_| {
        let value = now;
        left -= 1;
        if left == 0 {
            (left, now) = (stride, if now + 1 == extent { 0 } else { now + 1 });
        }
        value
    };
    Column::Int((0..len).map(next).collect())
}

/// The elements of a tensor at an index for each axis; zero where the guard does not hold.
///
/// # Errors
/// The first index that lies outside.
fn load(tensor: &Tensor, dtype: DType, index: &[&Column], guard: Option<&Column>) -> Result<Column, Vec<i64>> {
    let len = index.iter().copied().chain(guard).map(Column::len).max().unwrap_or(1);
    let mut places = vec![0i64; len];
    let mut inside = vec![true; len];
    for (axis, extent) in index.iter().zip(tensor.extents()) {
        let Column::Int(axis) = &*axis.spread(len) else { return Err(Vec::new()) };
        for ((place, inside), i) in places.iter_mut().zip(&mut inside).zip(axis) {
            *inside &= (0..*extent).contains(i);
            *place = place.wrapping_mul(*extent).wrapping_add(*i);
        }
    }
    let wanted = |at: usize| guard.is_none_or(|guard| guard.get(at).as_bool());
    if let Some(at) = (0..len).find(|at| !inside[*at] && wanted(*at)) {
        return Err(index.iter().map(|axis| axis.get(at).as_int() as i64).collect());
    }
    if guard.is_none() {
        return Ok(Column::read(tensor.bytes(), tensor.dtype(), &places));
    }
    let picked = (0..len).map(|at| if wanted(at) { tensor.get(places[at] as usize) } else { Scalar::zero(dtype) });
    Ok(Column::collect(dtype, picked))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::Expr;

    /// What the nest gives point by point.
    fn pointwise(nest: &Compute, inputs: &[&Tensor]) -> Tensor {
        let order = nest.exprs.reachable(&[nest.value]);
        let mut values = vec![Scalar::Int(0); nest.exprs.len()];
        let rank = nest.extents.len();
        let all: Vec<i64> = nest.extents.iter().chain(&nest.reduce).copied().collect();
        let mut at = vec![0; all.len()];
        let dtype = nest.exprs.dtype(nest.value);
        let wide = if dtype.is_float() { DType::F64 } else { dtype };
        let mut results = Vec::new();
        for _ in 0..nest.extents.iter().product::<i64>() {
            let mut sum = nest.combine.identity(wide);
            for _ in 0..nest.reduce.iter().product::<i64>() {
                let load = |source: Source, dtype: DType, index: &[&Scalar], guard: Option<&Scalar>| {
                    let tensor = inputs[source.0 as usize];
                    let flat = index.iter().zip(tensor.extents()).fold(0, |flat, (i, extent)| flat * extent + i.as_int() as i64);
                    if guard.is_none_or(|guard| guard.as_bool()) { tensor.get(flat as usize) } else { Scalar::zero(dtype) }
                };
                evaluate(&nest.exprs, &order, &mut values, |var| Scalar::Int(at[var.0 as usize].into()), load);
                let value = values[nest.value.0 as usize];
                sum = if nest.reduces() { nest.combine.op().apply(sum, value, wide) } else { value };
                advance(&mut at[rank..], &all[rank..]);
            }
            results.push(sum);
            advance(&mut at[..rank], &all[..rank]);
        }
        Tensor::from_scalars(nest.dtype, &nest.extents, results).expect("a tensor")
    }

    fn ramp(dtype: DType, extents: &[i64]) -> Tensor {
        let elems = extents.iter().product::<i64>();
        Tensor::from_scalars(dtype, extents, (0..elems).map(|n| Scalar::Float(((n * 7919 % 251) - 125) as f64 * 0.37))).expect("a tensor")
    }

    /// Sums of three neighbours along the second axis, zero outside, each times a number of its row.
    fn windows(dtype: DType, combine: Combine, rows: i64, width: i64, taps: i64) -> Compute {
        Compute::reduction(dtype, &[rows, width], &[taps], combine, |e, i, r| {
            let (shift, at) = (e.int(taps / 2), e.add(i[1], r[0]));
            let at = e.sub(at, shift);
            let inside = e.within(at, Some(0), Some(width));
            let x = e.guarded_load(Source(0), dtype, vec![i[0], at], inside);
            let scale = e.load(Source(1), dtype, vec![i[0]]);
            e.mul(x, scale)
        })
    }

    #[test]
    fn chunks_give_what_points_give() {
        for dtype in [DType::F32, DType::F64, DType::F16, DType::I8, DType::U8, DType::I32, DType::I64, DType::U64] {
            for combine in [Combine::Sum, Combine::Product, Combine::Max, Combine::Min] {
                for (rows, width, taps) in [(3, 700, 3), (1, 1, 2500), (2, 3, 1024), (5, 1, 1), (700, 3, 2), (3, 2, 0), (0, 4, 3)] {
                    let nest = windows(dtype, combine, rows, width, taps);
                    let (x, scale) = (ramp(dtype, &[rows, width]), ramp(dtype, &[rows]));
                    assert_eq!(nest.run(&[&x, &scale]).expect("a run"), pointwise(&nest, &[&x, &scale]), "{dtype} {combine:?} {rows} {width} {taps}");
                }
            }
            let nest = Compute::map(DType::F32, &[90, 17], |e, i| {
                let x = e.load(Source(0), dtype, vec![i[1], i[0]]);
                e.cast(DType::F32, x)
            });
            let x = ramp(dtype, &[17, 90]);
            assert_eq!(nest.run(&[&x]).expect("a run"), pointwise(&nest, &[&x]), "{dtype}");
        }
    }

    #[test]
    fn only_what_is_read_must_lie_inside() {
        let read = |guarded: bool| {
            Compute::map(DType::F32, &[2000], |e, i| {
                let far = e.int(1500);
                let near = e.binary(Binary::Lt, i[0], far);
                let (x, zero) = (e.add_node(Expr::Load { source: Source(0), index: vec![i[0]], guard: guarded.then_some(near) }, DType::F32), e.float(0.0, DType::F32));
                e.select(near, x, zero)
            })
        };
        let x = ramp(DType::F32, &[1500]);
        assert_eq!(read(true).run(&[&x]).expect("a run").f64s()[..1500], x.f64s());
        let error = read(false).run(&[&x]).expect_err("both sides of a select are read");
        assert_eq!(error.message, "index [1500] lies outside operand 0 of shape [1500]");
    }
}
