//! Numbers of Python's: sizes of tensors, arithmetic on them, and what checks them.

use frit_ir::ops::{add::Add, and::And, ceil::Ceil, div::Div, equal::Equal, floor::Floor, less::Less, less_equal::LessEqual, max::Max, min::Min, mul::Mul, neg::Neg, not::Not, or::Or, pow::Pow, sqrt::Sqrt, sub::Sub};
use frit_ir::{Builder, DType, Dim, Op, OpError, Scalar, Tensor, ValueId};

use super::call::{Call, Values};
use super::{Context, Handler, create, math, promote};
use crate::import::pytorch::value::{Symbol, Value};

pub(super) const OPS: &[(&str, Handler)] = &[
    ("Bool", item),
    ("Float", item),
    ("Int", item),
    ("_assert_async", |_| Ok(Vec::new())),
    ("_assert_scalar", |_| Ok(Vec::new())),
    ("_assert_tensor_metadata", |_| Ok(Vec::new())),
    ("_local_scalar_dense", item),
    ("dim", |c| {
        let x = c.tensor("self")?;
        Ok(vec![Value::Int(c.rank(x)? as i64)])
    }),
    ("is_floating_point", |c| {
        let x = c.tensor("self")?;
        Ok(vec![Value::Bool(c.dtype(x).is_float())])
    }),
    ("is_nonzero", item),
    ("item", item),
    ("len.Tensor", |c| {
        let x = c.first()?;
        let dim = c.context.builder.ty(x).dims()?.first().cloned().ok_or_else(|| OpError::invalid("the length of a tensor without axes"))?;
        Ok(vec![super::movement::size(c, x, 0, dim)?])
    }),
    ("numel", numel),
    ("size", |c| {
        let x = c.tensor("self")?;
        Ok(vec![Value::List(super::movement::sizes(c, x)?)])
    }),
    ("size.int", extent),
    ("sym_constrain_range", |_| Ok(Vec::new())),
    ("sym_constrain_range_for_size", |_| Ok(Vec::new())),
    ("sym_numel", numel),
    ("sym_size.int", extent),
];

/// How many elements a tensor has.
fn numel(c: &mut Call<'_>) -> Values {
    let x = c.tensor("self")?;
    let dims = c.context.builder.ty(x).dims()?.to_vec();
    let dim = dims.iter().fold(Dim::Known(1), |product, dim| product.times(dim));
    if let Some(n) = dim.known() {
        return Ok(vec![Value::Int(n)]);
    }
    let value = c.apply(frit_ir::ops::size_of::SizeOf {}, &[x])?;
    Ok(vec![Value::Symbol(Symbol::new(value, dim))])
}

fn extent(c: &mut Call<'_>) -> Values {
    let x = c.tensor("self")?;
    let axis = c.axis("dim", x)?;
    let dim = c.context.builder.ty(x).dims()?.get(axis).cloned().ok_or_else(|| OpError::invalid("a tensor without axes has no such axis"))?;
    Ok(vec![super::movement::size(c, x, axis as i64, dim)?])
}

/// The one element of a tensor.
fn item(c: &mut Call<'_>) -> Values {
    let x = c.first()?;
    let x = if c.rank(x)? == 0 { x } else { create::single(c, x)? };
    let x = match c.name {
        "Bool" | "is_nonzero" => math::truth(c, x)?,
        "Float" => c.cast(x, DType::F64)?,
        "Int" => c.cast(x, DType::I64)?,
        _ => x,
    };
    Ok(vec![number(&mut c.context.builder, x)?])
}

/// A tensor of one element as a number.
fn number(builder: &mut Builder, x: ValueId) -> Result<Value, OpError> {
    let dtype = builder.dtype(x);
    if let Some(tensor) = builder.as_constant(x).filter(|tensor| tensor.elems() == 1) {
        return Ok(match tensor.get(0) {
            Scalar::Bool(x) => Value::Bool(x),
            Scalar::Int(x) => Value::Int(i64::try_from(x).map_err(|_| OpError::unsupported("an integer is too large"))?),
            Scalar::Float(x) => Value::Float(x),
        });
    }
    let wide = match dtype {
        DType::Bool => DType::Bool,
        _ if dtype.is_float() => DType::F64,
        _ => DType::I64,
    };
    Ok(Value::Symbol(Symbol { value: promote::cast(builder, x, wide)?, dim: Dim::Unknown }))
}

/// Arithmetic of Python's on numbers, by the name of the function (`add`, `floordiv`, `sym_max`).
///
/// # Errors
/// Unsupported functions; operands that are no numbers.
pub(crate) fn python(context: &mut Context, name: &str, arguments: &[Value]) -> Result<Value, OpError> {
    if let Some(value) = known(name, arguments)? {
        return Ok(value);
    }
    let builder = &mut context.builder;
    let whole = |value: &Value| match value {
        Value::Int(_) | Value::Bool(_) => true,
        Value::Symbol(symbol) => !builder.dtype(symbol.value).is_float(),
        _ => false,
    };
    let integers = arguments.iter().all(whole);
    let dim = match arguments {
        [a, b] => match (name, dim(a), dim(b)) {
            ("add", Some(a), Some(b)) => a.plus(&b),
            ("sub", Some(a), Some(b)) => a.minus(&b),
            ("mul", Some(a), Some(b)) => a.times(&b),
            ("floordiv", Some(a), Some(b)) => a.floor_div(&b),
            _ => Dim::Unknown,
        },
        [a] => match (name, dim(a)) {
            ("neg", Some(a)) => Dim::Known(0).minus(&a),
            ("pos" | "trunc" | "floor" | "ceil" | "sym_int" | "int" | "index", Some(a)) => a,
            _ => Dim::Unknown,
        },
        _ => Dim::Unknown,
    };
    if let Some(n) = dim.known() {
        return Ok(Value::Int(n));
    }
    let dtype = match name {
        "truediv" | "sym_float" | "float" | "sqrt" | "sym_sqrt" => DType::F64,
        "and_" | "or_" | "not_" | "sym_not" => DType::Bool,
        _ if integers => DType::I64,
        _ => DType::F64,
    };
    let mut inputs = Vec::new();
    for value in arguments {
        inputs.push(operand(builder, value, dtype)?);
    }
    let one = |builder: &mut Builder, op: Op| builder.apply(op, &inputs);
    let at = |k: usize| inputs.get(k).copied().ok_or_else(|| OpError::invalid(format!("'{name}' of {} numbers", inputs.len())));
    let value = match name {
        "add" => one(builder, Add {}.into())?,
        "sub" => one(builder, Sub {}.into())?,
        "mul" => one(builder, Mul {}.into())?,
        "truediv" => one(builder, Div {}.into())?,
        "pow" => one(builder, Pow {}.into())?,
        "mod" => one(builder, frit_ir::ops::modulo::Modulo {}.into())?,
        "floordiv" => {
            let rest = builder.apply(frit_ir::ops::modulo::Modulo {}, &inputs)?;
            let even = builder.apply(Sub {}, &[at(0)?, rest])?;
            builder.apply(Div {}, &[even, at(1)?])?
        }
        "sym_max" | "max" => one(builder, Max {}.into())?,
        "sym_min" | "min" => one(builder, Min {}.into())?,
        "neg" => one(builder, Neg {}.into())?,
        "eq" => one(builder, Equal {}.into())?,
        "ne" => {
            let equal = one(builder, Equal {}.into())?;
            builder.apply(Not {}, &[equal])?
        }
        "lt" => one(builder, Less {}.into())?,
        "le" => one(builder, LessEqual {}.into())?,
        "gt" => builder.apply(Less {}, &[at(1)?, at(0)?])?,
        "ge" => builder.apply(LessEqual {}, &[at(1)?, at(0)?])?,
        "and_" => one(builder, And {}.into())?,
        "or_" => one(builder, Or {}.into())?,
        "not_" | "sym_not" => one(builder, Not {}.into())?,
        "sqrt" | "sym_sqrt" => one(builder, Sqrt {}.into())?,
        "pos" | "sym_float" | "float" | "index" => at(0)?,
        "sym_int" | "int" | "trunc" => promote::cast(builder, at(0)?, DType::I64)?,
        "floor" | "ceil" if integers => at(0)?,
        "floor" => {
            let value = one(builder, Floor {}.into())?;
            promote::cast(builder, value, DType::I64)?
        }
        "ceil" => {
            let value = one(builder, Ceil {}.into())?;
            promote::cast(builder, value, DType::I64)?
        }
        _ => return Err(OpError::unsupported(format!("'{name}' of numbers that are only known when the model runs is not supported")).help("export the model with fixed shapes")),
    };
    match number(builder, value)? {
        Value::Symbol(symbol) => Ok(Value::Symbol(Symbol::new(symbol.value, dim))),
        known => Ok(known),
    }
}

fn dim(value: &Value) -> Option<Dim> {
    match value {
        Value::Int(n) => Some(Dim::Known(*n)),
        Value::Symbol(symbol) => Some(symbol.dim.clone()),
        _ => None,
    }
}

fn operand(builder: &mut Builder, value: &Value, dtype: DType) -> Result<ValueId, OpError> {
    let scalar = match value {
        Value::Int(n) => Scalar::Int(i128::from(*n)),
        Value::Float(x) => Scalar::Float(*x),
        Value::Bool(x) => Scalar::Bool(*x),
        Value::Symbol(symbol) => return promote::cast(builder, symbol.value, dtype),
        _ => return Err(OpError::unsupported(format!("{} is used as a number", value.words()))),
    };
    Ok(builder.constant(Tensor::scalar(dtype, frit_ir::scalar::cast(scalar, dtype))))
}

/// The result where all operands are known.
fn known(name: &str, arguments: &[Value]) -> Result<Option<Value>, OpError> {
    let integers: Option<Vec<i64>> = arguments.iter().map(|value| match value {
        Value::Int(n) => Some(*n),
        Value::Bool(x) => Some(i64::from(*x)),
        _ => None,
    }).collect();
    let floats: Option<Vec<f64>> = arguments.iter().map(|value| match value {
        Value::Int(n) => Some(*n as f64),
        Value::Bool(x) => Some(f64::from(*x)),
        Value::Float(x) => Some(*x),
        _ => None,
    }).collect();
    let too_large = || OpError::invalid(format!("'{name}' of {integers:?} does not fit an integer"));
    let by_zero = || OpError::invalid(format!("'{name}' of {integers:?} divides by zero"));
    if let Some([a, b]) = integers.as_deref() {
        return Ok(Some(match name {
            "add" => Value::Int(a.checked_add(*b).ok_or_else(too_large)?),
            "sub" => Value::Int(a.checked_sub(*b).ok_or_else(too_large)?),
            "mul" => Value::Int(a.checked_mul(*b).ok_or_else(too_large)?),
            "floordiv" | "mod" if *b == 0 => return Err(by_zero()),
            "floordiv" => {
                let (a, b) = (i128::from(*a), i128::from(*b));
                let rest = a.rem_euclid(b);
                let rest = if b < 0 && rest != 0 { rest + b } else { rest };
                Value::Int(i64::try_from((a - rest) / b).map_err(|_| too_large())?)
            }
            "mod" => {
                let rest = i128::from(*a).rem_euclid(i128::from(*b).abs());
                Value::Int(if *b < 0 && rest != 0 { rest + i128::from(*b) } else { rest } as i64)
            }
            "pow" if *b >= 0 => Value::Int(u32::try_from(*b).ok().and_then(|b| a.checked_pow(b)).ok_or_else(too_large)?),
            "sym_max" | "max" => Value::Int(*a.max(b)),
            "sym_min" | "min" => Value::Int(*a.min(b)),
            "and_" if matches!(arguments[0], Value::Bool(_)) => Value::Bool(a & b != 0),
            "or_" if matches!(arguments[0], Value::Bool(_)) => Value::Bool(a | b != 0),
            "and_" => Value::Int(a & b),
            "or_" => Value::Int(a | b),
            _ => return Ok(compared(name, *a as f64, *b as f64)),
        }));
    }
    if let Some([a]) = integers.as_deref() {
        match name {
            "neg" => return Ok(Some(Value::Int(a.checked_neg().ok_or_else(too_large)?))),
            "pos" | "trunc" | "floor" | "ceil" | "round" | "sym_int" | "int" | "index" => return Ok(Some(Value::Int(*a))),
            "not_" | "sym_not" => return Ok(Some(Value::Bool(*a == 0))),
            "abs" => return Ok(Some(Value::Int(a.checked_abs().ok_or_else(too_large)?))),
            _ => {}
        }
    }
    Ok(match floats.as_deref() {
        Some([a, b]) => match name {
            "add" => Some(Value::Float(a + b)),
            "sub" => Some(Value::Float(a - b)),
            "mul" => Some(Value::Float(a * b)),
            "truediv" if *b == 0.0 => return Err(by_zero()),
            "truediv" => Some(Value::Float(a / b)),
            "floordiv" => Some(Value::Float((a / b).floor())),
            "mod" => Some(Value::Float(a - (a / b).floor() * b)),
            "pow" => Some(Value::Float(a.powf(*b))),
            "sym_max" | "max" => Some(Value::Float(a.max(*b))),
            "sym_min" | "min" => Some(Value::Float(a.min(*b))),
            _ => compared(name, *a, *b),
        },
        Some([a]) => match name {
            "neg" => Some(Value::Float(-a)),
            "abs" => Some(Value::Float(a.abs())),
            "pos" | "sym_float" | "float" => Some(Value::Float(*a)),
            "sqrt" | "sym_sqrt" => Some(Value::Float(a.sqrt())),
            "trunc" | "sym_int" | "int" => Some(Value::Int(a.trunc() as i64)),
            "floor" => Some(Value::Int(a.floor() as i64)),
            "ceil" => Some(Value::Int(a.ceil() as i64)),
            "round" => Some(Value::Int(a.round_ties_even() as i64)),
            "log" => Some(Value::Float(a.ln())),
            "log2" => Some(Value::Float(a.log2())),
            "exp" => Some(Value::Float(a.exp())),
            _ => None,
        },
        _ => None,
    })
}

fn compared(name: &str, a: f64, b: f64) -> Option<Value> {
    Some(match name {
        "eq" => Value::Bool(a == b),
        "ne" => Value::Bool(a != b),
        "lt" => Value::Bool(a < b),
        "le" => Value::Bool(a <= b),
        "gt" => Value::Bool(a > b),
        "ge" => Value::Bool(a >= b),
        "truediv" if b != 0.0 => Value::Float(a / b),
        _ => return None,
    })
}
