//! Operators that join elements along axes.

use frit_ir::ops::aggregate::{Aggregate, Statistic};
use frit_ir::ops::cumulate::{Cumulate, Running};
use frit_ir::ops::{
    abs::Abs, add::Add, arg_extreme::ArgExtreme, div::Div, equal::Equal, exp::Exp, gather_elements::GatherElements, is_nan::IsNan, log::Log, mul::Mul, not::Not,
    pow::Pow, select::Select, sqrt::Sqrt, sub::Sub, top_k::TopK,
};
use frit_ir::{DType, OpError, Scalar, Tensor, ValueId};

use super::call::{Call, Values};
use super::movement::{extent, reshaped, unsqueezed};
use super::{Handler, promote};
use crate::import::pytorch::value::Value;

type Built = Result<ValueId, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("all", |c| truths(c, Statistic::Min)),
    ("amax", |c| extreme(c, Statistic::Max)),
    ("amin", |c| extreme(c, Statistic::Min)),
    ("any", |c| truths(c, Statistic::Max)),
    ("argmax", |c| place(c, true)),
    ("argmin", |c| place(c, false)),
    ("count_nonzero", |c| {
        let x = c.tensor("self")?;
        let axes = c.axes("dim", x, true)?;
        let x = super::math::truth(c, x)?;
        let x = c.cast(x, DType::I64)?;
        let value = aggregate(c, x, Statistic::Sum, &axes, false)?;
        c.one(value)
    }),
    ("cumprod", |c| running(c, Running::Product)),
    ("cumsum", |c| running(c, Running::Sum)),
    ("frobenius_norm", |c| {
        let x = c.tensor("self")?;
        let (axes, keep) = (c.axes("dim", x, true)?, c.flag("keepdim")?);
        let value = aggregate(c, x, Statistic::L2, &axes, keep)?;
        c.one(value)
    }),
    ("linalg_norm", linalg_norm),
    ("linalg_vector_norm", |c| norm(c, "ord")),
    ("logsumexp", |c| {
        let x = c.tensor("self")?;
        let dtype = promote::float(c.dtype(x));
        let x = c.cast(x, dtype)?;
        let (axes, keep) = (c.axes("dim", x, true)?, c.flag("keepdim")?);
        let value = aggregate(c, x, Statistic::LogSumExp, &axes, keep)?;
        c.one(value)
    }),
    ("max", |c| whole(c, Statistic::Max)),
    ("mean", |c| {
        let x = c.tensor("self")?;
        let dtype = c.maybe_dtype("dtype")?.unwrap_or(c.dtype(x));
        if !dtype.is_float() {
            return Err(OpError::invalid(format!("'mean' of {dtype}")));
        }
        let x = c.cast(x, dtype)?;
        let (axes, keep) = (c.axes("dim", x, true)?, c.flag("keepdim")?);
        let value = aggregate(c, x, Statistic::Mean, &axes, keep)?;
        c.one(value)
    }),
    ("min", |c| whole(c, Statistic::Min)),
    ("norm", |c| norm(c, "p")),
    ("prod", |c| {
        let x = summed(c)?;
        let (axes, keep) = (c.axes("dim", x, true)?, c.flag("keepdim")?);
        let value = aggregate(c, x, Statistic::Product, &axes, keep)?;
        c.one(value)
    }),
    ("sum", |c| {
        let x = summed(c)?;
        let (axes, keep) = (c.axes("dim", x, true)?, c.flag("keepdim")?);
        let value = aggregate(c, x, Statistic::Sum, &axes, keep)?;
        c.one(value)
    }),
    ("trace", |c| {
        let x = c.tensor("self")?;
        let value = c.apply(frit_ir::ops::einsum::Einsum { equation: "ii->".to_owned() }, &[x])?;
        c.one(value)
    }),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("aminmax", |c| {
        let x = c.tensor("self")?;
        let (axes, keep) = (c.axes("dim", x, true)?, c.flag("keepdim")?);
        let pair = [aggregate(c, x, Statistic::Min, &axes, keep)?, aggregate(c, x, Statistic::Max, &axes, keep)?];
        c.several(&pair)
    }),
    ("cummax", |c| running_extreme(c, true)),
    ("cummin", |c| running_extreme(c, false)),
    ("diff", |c| {
        let mut x = c.tensor("self")?;
        let axis = c.axis("dim", x)?;
        let extra = [c.maybe_tensor("prepend")?, c.maybe_tensor("append")?];
        if extra.iter().any(Option::is_some) {
            let parts: Vec<ValueId> = [extra[0], Some(x), extra[1]].into_iter().flatten().collect();
            x = c.apply(frit_ir::ops::concat::Concat { axis }, &parts)?;
        }
        let n = c.int("n")?;
        if !(0..=64).contains(&n) {
            return Err(OpError::unsupported(format!("'diff' {n} times is not supported")));
        }
        for _ in 0..n {
            let axes = c.builder().ints(&[axis as i64]);
            let part = |c: &mut Call<'_>, from: i64, to: i64| {
                let (from, to) = (c.builder().ints(&[from]), c.builder().ints(&[to]));
                c.apply(frit_ir::ops::slice_by::SliceBy {}, &[x, from, to, axes])
            };
            let (next, this) = (part(c, 1, i64::MAX)?, part(c, 0, -1)?);
            x = if c.dtype(x) == DType::Bool { c.apply(frit_ir::ops::xor::Xor {}, &[next, this])? } else { c.apply(Sub {}, &[next, this])? };
        }
        c.one(x)
    }),
    ("kthvalue", |c| {
        let x = c.tensor("self")?;
        let (axis, k, keep) = (c.axis("dim", x)?, c.int("k")?, c.flag("keepdim")?);
        let pair = chosen(c, x, axis, k.saturating_sub(1), keep)?;
        c.several(&pair)
    }),
    ("logcumsumexp", |c| {
        let x = c.tensor("self")?;
        let axis = c.axis("dim", x)?;
        let most = aggregate(c, x, Statistic::Max, &[axis], true)?;
        let low = c.apply(Sub {}, &[x, most])?;
        let power = c.apply(Exp {}, &[low])?;
        let sum = c.apply(Cumulate { how: Running::Sum, axis, exclusive: false, reverse: false }, &[power])?;
        let log = c.apply(Log {}, &[sum])?;
        let value = c.apply(Add {}, &[log, most])?;
        c.one(value)
    }),
    ("max.dim", |c| extreme_at(c, true)),
    ("median", |c| {
        let x = c.tensor("self")?;
        let x = reshaped(c, x, &[-1])?;
        let count = extent(c, x, 0)?;
        let pair = chosen(c, x, 0, (count - 1) / 2, false)?;
        c.one(pair[0])
    }),
    ("median.dim", |c| {
        let x = c.tensor("self")?;
        let (axis, keep) = (c.axis("dim", x)?, c.flag("keepdim")?);
        let count = extent(c, x, axis)?;
        let pair = chosen(c, x, axis, (count - 1) / 2, keep)?;
        c.several(&pair)
    }),
    ("min.dim", |c| extreme_at(c, false)),
    ("nanmean", |c| {
        let x = c.tensor("self")?;
        let (axes, keep) = (c.axes("dim", x, true)?, c.flag("keepdim")?);
        let (x, there) = without_nan(c, x)?;
        let count = c.dtype(x);
        let there = c.cast(there, count)?;
        let (sum, count) = (aggregate(c, x, Statistic::Sum, &axes, keep)?, aggregate(c, there, Statistic::Sum, &axes, keep)?);
        let value = c.apply(Div {}, &[sum, count])?;
        c.one(value)
    }),
    ("nansum", |c| {
        let x = c.tensor("self")?;
        let (axes, keep) = (c.axes("dim", x, true)?, c.flag("keepdim")?);
        let (x, _) = without_nan(c, x)?;
        let value = aggregate(c, x, Statistic::Sum, &axes, keep)?;
        c.one(value)
    }),
    ("std", |c| deviation(c, true, false)),
    ("std_mean", |c| deviation(c, true, true)),
    ("var", |c| deviation(c, false, false)),
    ("var_mean", |c| deviation(c, false, true)),
];

/// A statistic along axes; of a tensor without axes it is the tensor.
pub(super) fn aggregate(c: &mut Call<'_>, x: ValueId, statistic: Statistic, axes: &[usize], keep: bool) -> Built {
    c.apply(Aggregate { statistic, axes: axes.to_vec(), keep }, &[x])
}

/// The operand of a sum or product: integers become i64 unless a dtype is asked for.
fn summed(c: &mut Call<'_>) -> Built {
    let x = c.tensor("self")?;
    let own = c.dtype(x);
    let dtype = c.maybe_dtype("dtype")?.unwrap_or(if own.is_float() { own } else { DType::I64 });
    c.cast(x, dtype)
}

/// Truth values as bytes: the largest says whether any holds, the smallest whether all do.
fn truths(c: &mut Call<'_>, statistic: Statistic) -> Values {
    let x = c.tensor("self")?;
    let (axes, keep) = (c.axes("dim", x, c.schema.overload != "dims")?, c.flag("keepdim")?);
    let dtype = if c.dtype(x) == DType::U8 { DType::U8 } else { DType::Bool };
    let x = super::math::truth(c, x)?;
    let x = c.cast(x, DType::U8)?;
    let value = aggregate(c, x, statistic, &axes, keep)?;
    // Of nothing the smallest byte is the highest there is.
    let value = super::math::truth(c, value)?;
    let value = c.cast(value, dtype)?;
    c.one(value)
}

fn extreme(c: &mut Call<'_>, statistic: Statistic) -> Values {
    let x = c.tensor("self")?;
    let (axes, keep) = (c.axes("dim", x, true)?, c.flag("keepdim")?);
    let value = ordered(c, x, statistic, &axes, keep)?;
    c.one(value)
}

/// The largest or smallest, also of truth values.
fn ordered(c: &mut Call<'_>, x: ValueId, statistic: Statistic, axes: &[usize], keep: bool) -> Built {
    let dtype = c.dtype(x);
    if dtype != DType::Bool {
        return aggregate(c, x, statistic, axes, keep);
    }
    let bytes = c.cast(x, DType::U8)?;
    let value = aggregate(c, bytes, statistic, axes, keep)?;
    c.cast(value, dtype)
}

fn whole(c: &mut Call<'_>, statistic: Statistic) -> Values {
    let x = c.tensor("self")?;
    let axes: Vec<usize> = (0..c.rank(x)?).collect();
    let value = ordered(c, x, statistic, &axes, false)?;
    c.one(value)
}

/// The extreme along an axis, and where it is.
fn extreme_at(c: &mut Call<'_>, largest: bool) -> Values {
    let x = c.tensor("self")?;
    if c.rank(x)? == 0 {
        let zero = c.builder().constant(Tensor::scalar(DType::I64, Scalar::Int(0)));
        return c.several(&[x, zero]);
    }
    let (axis, keep) = (c.axis("dim", x)?, c.flag("keepdim")?);
    let value = ordered(c, x, if largest { Statistic::Max } else { Statistic::Min }, &[axis], keep)?;
    let number = if c.dtype(x) == DType::Bool { c.cast(x, DType::U8)? } else { x };
    let at = c.apply(ArgExtreme { axis, largest, last: false, keep }, &[number])?;
    c.several(&[value, at])
}

fn place(c: &mut Call<'_>, largest: bool) -> Values {
    let x = c.tensor("self")?;
    let keep = c.flag("keepdim")?;
    if !c.has("dim") {
        let rank = c.rank(x)?;
        let flat = reshaped(c, x, &[-1])?;
        let value = c.apply(ArgExtreme { axis: 0, largest, last: false, keep: false }, &[flat])?;
        let value = if keep { reshaped(c, value, &vec![1; rank])? } else { value };
        return c.one(value);
    }
    if c.rank(x)? == 0 {
        let zero = c.builder().constant(Tensor::scalar(DType::I64, Scalar::Int(0)));
        return c.one(zero);
    }
    let axis = c.axis("dim", x)?;
    let value = c.apply(ArgExtreme { axis, largest, last: false, keep }, &[x])?;
    c.one(value)
}

/// The k-th smallest along an axis and its place.
fn chosen(c: &mut Call<'_>, x: ValueId, axis: usize, k: i64, keep: bool) -> Result<[ValueId; 2], OpError> {
    let count = extent(c, x, axis)?;
    let count = c.builder().ints(&[count]);
    let sorted = c.context.builder.apply_all(TopK { axis, largest: false }, &[x, count])?;
    let index = if keep { c.builder().ints(&[k]) } else { c.builder().constant(Tensor::scalar(DType::I64, Scalar::Int(i128::from(k)))) };
    let gather = frit_ir::ops::gather::Gather { axis };
    Ok([c.apply(gather.clone(), &[sorted[0], index])?, c.apply(gather, &[sorted[1], index])?])
}

fn without_nan(c: &mut Call<'_>, x: ValueId) -> Result<(ValueId, ValueId), OpError> {
    let nan = c.apply(IsNan {}, &[x])?;
    let zero = c.like(x, 0.0);
    Ok((c.apply(Select {}, &[nan, zero, x])?, c.apply(Not {}, &[nan])?))
}

fn running(c: &mut Call<'_>, how: Running) -> Values {
    let x = summed(c)?;
    if c.rank(x)? == 0 {
        return c.one(x);
    }
    let axis = c.axis("dim", x)?;
    let value = c.apply(Cumulate { how, axis, exclusive: false, reverse: false }, &[x])?;
    c.one(value)
}

/// Each extreme so far: a matrix says for each element which ones count, and its row has an extreme. Of equal ones the last counts.
fn running_extreme(c: &mut Call<'_>, largest: bool) -> Values {
    let x = c.tensor("self")?;
    let (rank, axis) = (c.rank(x)?, c.axis("dim", x)?);
    let n = extent(c, x, axis)?;
    if rank == 0 || n.saturating_mul(n) > super::create::MOST {
        return Err(OpError::unsupported(format!("'{}' of {n} elements is not supported", c.name)));
    }
    let axes = [axis as i64];
    let wide = unsqueezed(c, x, &axes)?;
    let mut shape = vec![1; rank + 1];
    (shape[axis], shape[axis + 1]) = (n, n);
    let seen: Vec<bool> = (0..n).flat_map(|row| (0..n).map(move |column| column <= row)).collect();
    let seen = c.builder().constant(Tensor::from_bools(&shape, &seen));
    let dtype = c.dtype(x);
    let worst = c.builder().constant(Tensor::scalar(dtype, if largest { Scalar::lowest(dtype) } else { Scalar::highest(dtype) }));
    let masked = c.apply(Select {}, &[seen, wide, worst])?;
    let at = c.apply(ArgExtreme { axis: axis + 1, largest, last: true, keep: false }, &[masked])?;
    let value = c.apply(GatherElements { axis }, &[x, at])?;
    c.several(&[value, at])
}

fn norm(c: &mut Call<'_>, name: &str) -> Values {
    let order = c.maybe_float(name)?.unwrap_or(2.0);
    let x = c.tensor("self")?;
    let dtype = c.maybe_dtype("dtype")?.unwrap_or(promote::float(c.dtype(x)));
    let x = c.cast(x, dtype)?;
    let (axes, keep) = (c.axes("dim", x, true)?, c.flag("keepdim")?);
    let value = norm_of(c, x, order, &axes, keep)?;
    c.one(value)
}

/// The norm of an order.
pub(super) fn norm_of(c: &mut Call<'_>, x: ValueId, order: f64, axes: &[usize], keep: bool) -> Built {
    if order == 2.0 {
        return aggregate(c, x, Statistic::L2, axes, keep);
    }
    if order == 1.0 {
        return aggregate(c, x, Statistic::L1, axes, keep);
    }
    let size = c.apply(Abs {}, &[x])?;
    if order.is_infinite() {
        return aggregate(c, size, if order > 0.0 { Statistic::Max } else { Statistic::Min }, axes, keep);
    }
    if order == 0.0 {
        let zero = c.like(x, 0.0);
        let none = c.apply(Equal {}, &[x, zero])?;
        let there = c.apply(Not {}, &[none])?;
        let dtype = c.dtype(x);
        let there = c.cast(there, dtype)?;
        return aggregate(c, there, Statistic::Sum, axes, keep);
    }
    let (order_value, inverse) = (c.like(x, order), c.like(x, 1.0 / order));
    let power = c.apply(Pow {}, &[size, order_value])?;
    let sum = aggregate(c, power, Statistic::Sum, axes, keep)?;
    c.apply(Pow {}, &[sum, inverse])
}

fn linalg_norm(c: &mut Call<'_>) -> Values {
    let x = c.tensor("self")?;
    let matrix = c.maybe_ints("dim")?.map_or(c.rank(x)?, |axes| axes.len()) == 2;
    if c.has("ord") && matrix && c.maybe_text("ord").ok().flatten() != Some("fro") {
        return Err(OpError::unsupported("norms of matrices are not supported"));
    }
    if matches!(c.get("ord"), Value::Str(_)) {
        let (axes, keep) = (c.axes("dim", x, true)?, c.flag("keepdim")?);
        let value = aggregate(c, x, Statistic::L2, &axes, keep)?;
        return c.one(value);
    }
    norm(c, "ord")
}

/// Variance or deviation, with the mean: squares of what lies off the mean, summed, by the count less a correction.
fn deviation(c: &mut Call<'_>, root: bool, with_mean: bool) -> Values {
    let x = c.tensor("self")?;
    let (axes, keep) = (c.axes("dim", x, true)?, c.flag("keepdim")?);
    let correction = match c.get("correction") {
        Value::None if c.has("unbiased") => f64::from(c.flag("unbiased")?),
        Value::None => 1.0,
        _ => c.float("correction")?,
    };
    let mean = aggregate(c, x, Statistic::Mean, &axes, true)?;
    let off = c.apply(Sub {}, &[x, mean])?;
    let square = c.apply(Mul {}, &[off, off])?;
    let value = if correction == 0.0 {
        aggregate(c, square, Statistic::Mean, &axes, keep)?
    } else {
        let extents = axes.iter().map(|axis| extent(c, x, *axis)).collect::<Result<Vec<_>, _>>()?;
        let count = extents.iter().product::<i64>() as f64;
        let sum = aggregate(c, square, Statistic::Sum, &axes, keep)?;
        let divisor = c.like(sum, (count - correction).max(0.0));
        c.apply(Div {}, &[sum, divisor])?
    };
    let value = if root { c.apply(Sqrt {}, &[value])? } else { value };
    if !with_mean {
        return c.one(value);
    }
    let mean = if keep { mean } else { aggregate(c, x, Statistic::Mean, &axes, false)? };
    c.several(&[value, mean])
}
