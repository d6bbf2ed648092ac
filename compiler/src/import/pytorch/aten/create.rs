//! Operators that make tensors out of numbers.

use frit_ir::ops::expand_to::ExpandTo;
use frit_ir::ops::random::{Distribution, Random};
use frit_ir::ops::{add::Add, cast::Cast, cosine_window::CosineWindow, eye_like::EyeLike, iota::Iota, mul::Mul, random_like::RandomLike, range::Range, reshape_to::ReshapeTo};
use frit_ir::tensor::checked_elems;
use frit_ir::{DType, Dim, OpError, Scalar, Shape, Tensor, TensorType, ValueId};

use super::call::{Call, Values};
use super::{Handler, promote};
use crate::import::pytorch::value::Value;

/// Tables that are made here have no more elements than this.
pub(super) const MOST: i64 = 1 << 22;

/// A tensor is cut into no more parts than this.
pub(super) const PARTS: i64 = 1 << 14;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("arange", arange),
    ("blackman_window", |c| window(c, &[0.42, -0.5, 0.08])),
    ("empty", |c| {
        let dtype = c.maybe_dtype("dtype")?.unwrap_or(promote::DEFAULT);
        filled(c, "size", &Value::Int(0), dtype)
    }),
    ("empty_like", |c| like(c, &Value::Int(0))),
    ("empty_permuted", |c| {
        let dtype = c.maybe_dtype("dtype")?.unwrap_or(promote::DEFAULT);
        filled(c, "size", &Value::Int(0), dtype)
    }),
    ("empty_strided", |c| {
        let dtype = c.maybe_dtype("dtype")?.unwrap_or(promote::DEFAULT);
        filled(c, "size", &Value::Int(0), dtype)
    }),
    ("eye", |c| {
        let n = c.int("n")?;
        square(c, n, n)
    }),
    ("eye.m", |c| {
        let (n, m) = (c.int("n")?, c.int("m")?);
        square(c, n, m)
    }),
    ("fill", |c| {
        let x = c.tensor("self")?;
        let dtype = c.dtype(x);
        let value = c.as_dtype("value", dtype)?;
        let value = super::movement::expand_like(c.builder(), value, x)?;
        c.one(value)
    }),
    ("full", |c| {
        let value = c.get("fill_value").clone();
        let own = match &value {
            Value::Bool(_) => DType::Bool,
            Value::Int(_) => DType::I64,
            Value::Symbol(symbol) if !c.dtype(symbol.value).is_float() => c.dtype(symbol.value),
            _ => promote::DEFAULT,
        };
        let dtype = c.maybe_dtype("dtype")?.unwrap_or(own);
        filled(c, "size", &value, dtype)
    }),
    ("full_like", |c| {
        let value = c.get("fill_value").clone();
        like(c, &value)
    }),
    ("hamming_window", |c| window(c, &[0.54, -0.46])),
    ("hann_window", |c| window(c, &[0.5, -0.5])),
    ("linspace", linspace),
    ("new_empty", |c| new(c, &Value::Int(0))),
    ("new_empty_strided", |c| new(c, &Value::Int(0))),
    ("new_full", |c| {
        let value = c.get("fill_value").clone();
        new(c, &value)
    }),
    ("new_ones", |c| new(c, &Value::Int(1))),
    ("new_zeros", |c| new(c, &Value::Int(0))),
    ("normal_functional", |c| {
        let (mean, deviation) = (c.float("mean")?, c.float("std")?);
        drawn_like(c, Distribution::Normal, mean, deviation)
    }),
    ("ones", |c| {
        let dtype = c.maybe_dtype("dtype")?.unwrap_or(promote::DEFAULT);
        filled(c, "size", &Value::Int(1), dtype)
    }),
    ("ones_like", |c| like(c, &Value::Int(1))),
    ("rand", |c| drawn(c, Distribution::Uniform)),
    ("rand_like", |c| drawn_like(c, Distribution::Uniform, 0.0, 1.0)),
    ("randn", |c| drawn(c, Distribution::Normal)),
    ("randn_like", |c| drawn_like(c, Distribution::Normal, 0.0, 1.0)),
    ("scalar_tensor", |c| {
        let dtype = c.maybe_dtype("dtype")?.unwrap_or(promote::DEFAULT);
        let value = c.as_dtype("s", dtype)?;
        c.one(value)
    }),
    ("tril_indices", |c| triangle(c, |row, column, offset| column - row <= offset)),
    ("triu_indices", |c| triangle(c, |row, column, offset| column - row >= offset)),
    ("uniform", |c| {
        let (from, to) = (c.float("from")?, c.float("to")?);
        drawn_like(c, Distribution::Uniform, from, to)
    }),
    ("zero", |c| like(c, &Value::Int(0))),
    ("zeros", |c| {
        let dtype = c.maybe_dtype("dtype")?.unwrap_or(promote::DEFAULT);
        filled(c, "size", &Value::Int(0), dtype)
    }),
    ("zeros_like", |c| like(c, &Value::Int(0))),
];

/// A number in a shape.
fn spread(c: &mut Call<'_>, shape: ValueId, dims: Option<Vec<Dim>>, value: &Value, dtype: DType) -> Values {
    let single = c.number(value, Some(dtype))?.0;
    let value = c.apply(ExpandTo {}, &[single, shape])?;
    if let Some(dims) = dims
        && c.rank(value).ok() == Some(dims.len())
    {
        c.builder().refine(value, TensorType::new(dtype, Shape::Ranked(dims)));
    }
    c.one(value)
}

fn filled(c: &mut Call<'_>, name: &str, value: &Value, dtype: DType) -> Values {
    let (shape, dims) = c.shape(name)?;
    if dims.iter().any(|dim| dim.known().is_some_and(|n| n < 0)) {
        return Err(OpError::invalid(format!("'{}' makes a tensor of a negative extent", c.name)));
    }
    spread(c, shape, Some(dims), value, dtype)
}

fn like(c: &mut Call<'_>, value: &Value) -> Values {
    let x = c.tensor("self")?;
    let dtype = c.maybe_dtype("dtype")?.unwrap_or(c.dtype(x));
    let shape = c.extents_of(x)?;
    let dims = c.context.builder.ty(x).shape.dims().map(<[Dim]>::to_vec);
    spread(c, shape, dims, value, dtype)
}

fn new(c: &mut Call<'_>, value: &Value) -> Values {
    let x = c.tensor("self")?;
    let dtype = c.maybe_dtype("dtype")?.unwrap_or(c.dtype(x));
    filled(c, "size", value, dtype)
}

fn square(c: &mut Call<'_>, n: i64, m: i64) -> Values {
    let dtype = c.maybe_dtype("dtype")?.unwrap_or(promote::DEFAULT);
    let shape = c.builder().ints(&[n, m]);
    let zero = c.builder().scalar(DType::F32, 0.0);
    let like = c.apply(ExpandTo {}, &[zero, shape])?;
    let value = if dtype == DType::Bool {
        let value = c.apply(EyeLike { dtype: DType::U8, diagonal: 0 }, &[like])?;
        c.cast(value, dtype)?
    } else {
        c.apply(EyeLike { dtype, diagonal: 0 }, &[like])?
    };
    c.one(value)
}

/// From `start` below `end` by `step`: integers unless one of them is a float.
fn arange(c: &mut Call<'_>) -> Values {
    let names = ["start", "end", "step"];
    let float = names.iter().any(|name| match c.get(name) {
        Value::Float(_) => true,
        Value::Symbol(symbol) => c.dtype(symbol.value).is_float(),
        _ => false,
    });
    let dtype = c.maybe_dtype("dtype")?.unwrap_or(if float { promote::DEFAULT } else { DType::I64 });
    // Bounds are f64 or integers, whatever the elements are.
    let within = if float { DType::F64 } else { DType::I64 };
    let bounds: Vec<Value> = names.iter().zip([Value::Int(0), Value::None, Value::Int(1)]).map(|(name, default)| if c.has(name) { c.get(name).clone() } else { default }).collect();
    if let [Value::Int(start), Value::Int(end), Value::Int(step)] = bounds[..]
        && dtype == DType::I64
    {
        if step == 0 || step > 0 && end < start || step < 0 && end > start {
            return Err(OpError::invalid(format!("'arange' from {start} to {end} by {step}")));
        }
        let (start, end, step) = (i128::from(start), i128::from(end), i128::from(step));
        let count = i64::try_from((end - start + step - step.signum()) / step).map_err(|_| OpError::invalid("'arange' of too many elements"))?;
        let value = c.apply(Iota { dtype, extents: vec![count], axis: 0 }, &[])?;
        let value = match step {
            1 => value,
            _ => {
                let step = c.builder().constant(Tensor::scalar(dtype, Scalar::Int(step)));
                c.apply(Mul {}, &[value, step])?
            }
        };
        let value = match start {
            0 => value,
            _ => {
                let start = c.builder().constant(Tensor::scalar(dtype, Scalar::Int(start)));
                c.apply(Add {}, &[value, start])?
            }
        };
        return c.one(value);
    }
    let inputs = bounds.iter().map(|bound| Ok(c.number(bound, Some(within))?.0)).collect::<Result<Vec<_>, OpError>>()?;
    let value = c.apply(Range {}, &inputs)?;
    let value = c.cast(value, dtype)?;
    if let (Value::Int(0), Value::Symbol(end), Value::Int(1)) = (&bounds[0], &bounds[1], &bounds[2]) {
        let ty = TensorType::ranked(dtype, vec![end.dim.clone()]);
        c.builder().refine(value, ty);
    }
    c.one(value)
}

fn linspace(c: &mut Call<'_>) -> Values {
    let (start, end, steps) = (c.float("start")?, c.float("end")?, c.int("steps")?);
    let dtype = c.maybe_dtype("dtype")?.unwrap_or(promote::DEFAULT);
    if !(0..=MOST).contains(&steps) {
        return Err(OpError::invalid(format!("'linspace' of {steps} elements")));
    }
    let step = if steps > 1 { (end - start) / (steps - 1) as f64 } else { 0.0 };
    // As PyTorch does, from both ends.
    let numbers: Vec<f64> = (0..steps).map(|k| if k < steps / 2 { start + step * k as f64 } else { end - step * (steps - 1 - k) as f64 }).collect();
    let numbers = if steps == 1 { vec![start] } else { numbers };
    let value = c.builder().constant(Tensor::from_f64s(DType::F64, &[steps], &numbers)?);
    let value = c.apply(Cast { to: dtype }, &[value])?;
    c.one(value)
}

fn window(c: &mut Call<'_>, coefficients: &[f64]) -> Values {
    let size = c.int("window_length")?;
    let symmetric = c.has("periodic") && !c.flag("periodic")?;
    let dtype = c.maybe_dtype("dtype")?.unwrap_or(promote::DEFAULT);
    let value = c.apply(CosineWindow { coefficients: coefficients.to_vec(), size, symmetric, dtype }, &[])?;
    c.one(value)
}

fn triangle(c: &mut Call<'_>, inside: fn(i64, i64, i64) -> bool) -> Values {
    let (rows, columns, offset) = (c.int("row")?, c.int("col")?, c.int("offset")?);
    if rows < 0 || columns < 0 || rows.saturating_mul(columns) > MOST {
        return Err(OpError::invalid(format!("indices of a matrix of {rows} rows and {columns} columns")));
    }
    let places: Vec<(i64, i64)> = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))).filter(|(row, column)| inside(*row, *column, offset)).collect();
    let flat: Vec<i64> = places.iter().map(|(row, _)| *row).chain(places.iter().map(|(_, column)| *column)).collect();
    let tensor = Tensor::from_ints(&flat).reshaped(&[2, places.len() as i64])?;
    let value = c.builder().constant(tensor);
    let dtype = c.maybe_dtype("dtype")?.unwrap_or(DType::I64);
    let value = c.cast(value, dtype)?;
    c.one(value)
}

/// Numbers of PyTorch's generator can't be had; these are distributed as they are.
fn drawn(c: &mut Call<'_>, distribution: Distribution) -> Values {
    let extents = c.ints("size")?;
    checked_elems(&extents)?;
    let dtype = c.maybe_dtype("dtype")?.unwrap_or(promote::DEFAULT);
    let seed = c.context.seed();
    let value = c.apply(Random { dtype, extents, distribution, first: 0.0, second: 1.0, seed }, &[])?;
    c.one(value)
}

fn drawn_like(c: &mut Call<'_>, distribution: Distribution, first: f64, second: f64) -> Values {
    let x = c.tensor("self")?;
    let dtype = c.maybe_dtype("dtype")?.unwrap_or(c.dtype(x));
    let seed = c.context.seed();
    let value = c.apply(RandomLike { dtype, distribution, first, second, seed }, &[x])?;
    c.one(value)
}

/// A vector of one element as a tensor without axes.
pub(super) fn single(c: &mut Call<'_>, x: ValueId) -> Result<ValueId, OpError> {
    let shape = c.builder().ints(&[]);
    c.apply(ReshapeTo { zero_copies: false }, &[x, shape])
}
