//! Complex numbers, of which a tensor is a pair of tensors: real and imaginary parts. Fourier transforms, and what is done between them.
//!
//! [`OPS`] and [`EXPANDED`] are rows as elsewhere, whose functions take complex numbers themselves. What other rows make of complex arguments is
//! [`lifted`]: of the parts by themselves ([`PARTWISE`]), of all products of parts ([`PRODUCTS`]), or as [`OTHERS`] says.

use frit_ir::ops::{broadcast::Broadcast, concat::Concat, dft::Dft, div::Div, fold::Fold, less::Less, mul::Mul, pad::Pad, select::Select, slice_by::SliceBy, squeeze::Squeeze, stft::Stft, transpose::Transpose};
use frit_ir::{DType, Dim, OpError, Scalar, ValueId};

use super::call::{Call, Values};
use super::movement::{reshaped, unsqueezed};
use super::{Arguments, Handler};
use crate::import::pytorch::alias::View;
use crate::import::pytorch::value::Value;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("_conj", conjugate),
    ("_conj_physical", conjugate),
    ("complex", |c| Ok(vec![pair(c.get("real").clone(), c.get("imag").clone())?])),
    ("conj", conjugate),
    ("conj_physical", conjugate),
    ("imag", |c| match c.get("self") {
        Value::Complex(_, imaginary) => Ok(vec![Value::Tensor(*imaginary)]),
        _ => Err(c.wrong("self")),
    }),
    ("is_complex", |c| Ok(vec![Value::Bool(matches!(c.get("self"), Value::Complex(..)))])),
    ("real", |c| match c.get("self") {
        Value::Complex(real, _) => Ok(vec![Value::Tensor(*real)]),
        real => Ok(vec![real.clone()]),
    }),
    ("view_as_real", |c| {
        // What is written to it would have to reach both parts; what is expanded can't be written to.
        let x = numbers(c, "self")?;
        let shape = c.extents_of(x)?;
        let joined = c.context.aliases.fresh(x);
        c.view(joined, vec![View::Expand(shape)])
    }),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("_fft_c2c", |c| {
        let inverse = !c.flag("forward")?;
        plain_fourier(c, Kind::Complex, inverse)
    }),
    ("_fft_c2r", |c| plain_fourier(c, Kind::ToReal, true)),
    ("_fft_r2c", |c| {
        let kind = if c.flag("onesided")? { Kind::FromReal } else { Kind::Complex };
        plain_fourier(c, kind, false)
    }),
    ("angle", |c| match c.get("self").clone() {
        Value::Complex(real, imaginary) => one(c, "atan2", &[Value::Tensor(imaginary), Value::Tensor(real)]),
        _ => {
            // Of negative numbers half a turn.
            let x = c.tensor("self")?;
            let (zero, pi) = (c.like(x, 0.0), c.like(x, std::f64::consts::PI));
            let negative = c.apply(Less {}, &[x, zero])?;
            let y = c.apply(Select {}, &[negative, pi, zero])?;
            c.one(y)
        }
    }),
    ("fft_fft", |c| fourier(c, Kind::Complex, false)),
    ("fft_fft2", |c| fourier(c, Kind::Complex, false)),
    ("fft_fftn", |c| fourier(c, Kind::Complex, false)),
    ("fft_fftshift", |c| shifted(c, 0)),
    ("fft_ifft", |c| fourier(c, Kind::Complex, true)),
    ("fft_ifft2", |c| fourier(c, Kind::Complex, true)),
    ("fft_ifftn", |c| fourier(c, Kind::Complex, true)),
    ("fft_ifftshift", |c| shifted(c, 1)),
    ("fft_irfft", |c| fourier(c, Kind::ToReal, true)),
    ("fft_irfft2", |c| fourier(c, Kind::ToReal, true)),
    ("fft_irfftn", |c| fourier(c, Kind::ToReal, true)),
    ("fft_rfft", |c| fourier(c, Kind::FromReal, false)),
    ("fft_rfft2", |c| fourier(c, Kind::FromReal, false)),
    ("fft_rfftn", |c| fourier(c, Kind::FromReal, false)),
    ("istft", istft),
    ("polar", |c| {
        let (size, angle) = (c.get("abs").clone(), c.get("angle").clone());
        turned(c, &size, &angle)
    }),
    ("stft", stft),
    ("view_as_complex", |c| {
        let x = c.get("self").clone();
        let parts = [0, 1].map(|part| one(c, "select", &[x.clone(), Value::Int(-1), Value::Int(part)]));
        let [real, imaginary] = parts.map(|part| part.map(|mut part| part.remove(0)));
        Ok(vec![pair(real?, imaginary?)?])
    }),
];

/// Operators that do the same to real and imaginary parts, and the arguments whose parts they are: the others are the same for both.
const PARTWISE: &[(&str, &[&str])] = &[
    ("_to_copy", &["self"]),
    ("_unsafe_view", &["self"]),
    ("add", &["self", "other"]),
    ("alias", &["self"]),
    ("cat", &["tensors"]),
    ("chunk", &["self"]),
    ("clone", &["self"]),
    ("concat", &["tensors"]),
    ("constant_pad_nd", &["self", "value"]),
    ("contiguous", &["self"]),
    ("cumsum", &["self"]),
    ("detach", &["self"]),
    ("diagonal", &["self"]),
    ("diff", &["self"]),
    ("dropout", &["input"]),
    ("expand", &["self"]),
    ("expand_as", &["self"]),
    ("flatten", &["self"]),
    ("flip", &["self"]),
    ("gather", &["self"]),
    ("index", &["self"]),
    ("index_select", &["self"]),
    ("lift_fresh_copy", &["self"]),
    ("masked_fill", &["self", "value"]),
    ("mean", &["self"]),
    ("movedim", &["self"]),
    ("narrow", &["self"]),
    ("neg", &["self"]),
    ("pad", &["self", "value"]),
    ("permute", &["self"]),
    ("repeat", &["self"]),
    ("reshape", &["self"]),
    ("resolve_conj", &["self"]),
    ("resolve_neg", &["self"]),
    ("roll", &["self"]),
    ("select", &["self"]),
    ("slice", &["self"]),
    ("split", &["self"]),
    ("split_with_sizes", &["self"]),
    ("squeeze", &["self"]),
    ("stack", &["tensors"]),
    ("sub", &["self", "other"]),
    ("sum", &["self"]),
    ("swapaxes", &["self"]),
    ("t", &["self"]),
    ("to", &["self"]),
    ("transpose", &["self"]),
    ("tril", &["self"]),
    ("triu", &["self"]),
    ("unbind", &["self"]),
    ("unflatten", &["self"]),
    ("unfold", &["self"]),
    ("unsqueeze", &["self"]),
    ("view", &["self"]),
    ("where", &["self", "other"]),
    ("zeros_like", &["self"]),
];

/// Operators that are linear in each of two arguments.
const PRODUCTS: &[(&str, [&str; 2])] = &[("bmm", ["self", "mat2"]), ("matmul", ["self", "other"]), ("mm", ["self", "mat2"]), ("mul", ["self", "other"]), ("mv", ["self", "vec"])];

/// Operators that ask for shapes only.
const SHAPES: &[&str] = &["_assert_tensor_metadata", "dim", "len", "numel", "size", "sym_numel", "sym_size"];

/// What else is known of complex numbers.
const OTHERS: &[(&str, Handler)] = &[
    ("abs", |c| {
        let (real, imaginary) = argument(c, "self")?;
        one(c, "hypot", &[real, imaginary])
    }),
    ("div", |c| {
        let divisor = c.get("other").clone();
        if c.has("rounding_mode") {
            return Err(c.wrong("rounding_mode"));
        }
        if !complex(&divisor) {
            return each(c, &["self"], |c, values| one(c, "div", &[values[0].clone(), divisor.clone()]));
        }
        let dividend = c.get("self").clone();
        let inverse = reciprocal(c, &divisor)?;
        one(c, "mul", &[dividend, inverse])
    }),
    ("exp", |c| {
        let (real, imaginary) = argument(c, "self")?;
        let size = one(c, "exp", &[real])?.remove(0);
        turned(c, &size, &imaginary)
    }),
    ("reciprocal", |c| {
        let x = c.get("self").clone();
        Ok(vec![reciprocal(c, &x)?])
    }),
    ("square", |c| {
        let x = c.get("self").clone();
        one(c, "mul", &[x.clone(), x])
    }),
];

/// Is an argument complex, or does it hold what is?
fn complex(value: &Value) -> bool {
    match value {
        Value::Complex(..) | Value::ComplexNumber(..) | Value::ComplexDtype(_) => true,
        Value::List(list) | Value::Tuple(list) => list.iter().any(complex),
        _ => false,
    }
}

/// Calls an operator whose arguments may be complex.
pub(super) fn call(c: &mut Call<'_>, handler: Handler) -> Values {
    let own = |table: &[(&str, Handler)]| table.iter().any(|(name, _)| *name == c.name);
    if own(OPS) || own(EXPANDED) || !c.values.iter().any(complex) { handler(c) } else { lifted(c, handler) }
}

/// What an operator on real numbers makes of complex ones.
fn lifted(c: &mut Call<'_>, handler: Handler) -> Values {
    let name = c.name;
    let unknown = || OpError::unsupported(format!("'{name}' of complex numbers is not supported")).help("compute with real and imaginary parts as tensors");
    if let Some((_, data)) = PARTWISE.iter().find(|(known, _)| *known == name) {
        let numeric = matches!(name, "to" | "_to_copy");
        for value in &mut c.values {
            match value {
                Value::ComplexDtype(part) if numeric => *value = Value::Dtype(*part),
                // Imaginary parts are dropped.
                Value::Dtype(_) if numeric => {
                    real_only(c)?;
                    return handler(c);
                }
                Value::Dtype(_) | Value::ComplexDtype(_) => return Err(unknown()),
                _ => {}
            }
        }
        return each(c, data, |c, values| {
            let saved = c.values.clone();
            for (name, value) in data.iter().zip(values) {
                if let Some(at) = c.schema.parameters.iter().position(|parameter| parameter.name == *name) {
                    c.values[at] = value.clone();
                }
            }
            let result = if c.values.iter().any(complex) { Err(unknown()) } else { handler(c) };
            c.values = saved;
            result
        });
    }
    if let Some((_, [left, right])) = PRODUCTS.iter().find(|(known, _)| *known == name) {
        let (left, right) = (c.get(left).clone(), c.get(right).clone());
        return product(c, name, &left, &right);
    }
    if SHAPES.contains(&name) {
        real_only(c)?;
        return handler(c);
    }
    match OTHERS.iter().find(|(known, _)| *known == name) {
        Some((_, handler)) => handler(c),
        None => Err(unknown()),
    }
}

/// Makes the first argument its real part.
fn real_only(c: &mut Call<'_>) -> Result<(), OpError> {
    let first = c.values.first().cloned().unwrap_or(Value::None);
    c.values[0] = parts(c, &first)?.0;
    Ok(())
}

/// The same done to the real and to the imaginary parts of arguments.
fn each(c: &mut Call<'_>, data: &[&str], mut what: impl FnMut(&mut Call<'_>, &[Value]) -> Values) -> Values {
    let (mut real, mut imaginary) = (Vec::new(), Vec::new());
    for name in data {
        let (a, b) = argument(c, name)?;
        real.push(a);
        imaginary.push(b);
    }
    let (real, imaginary) = (what(c, &real)?, what(c, &imaginary)?);
    real.into_iter().zip(imaginary).map(|(real, imaginary)| pair(real, imaginary)).collect()
}

/// `(a + bi) (c + di) = ac - bd + (ad + bc) i`, and what is left of that where one of both is real.
fn product(c: &mut Call<'_>, name: &str, left: &Value, right: &Value) -> Values {
    let times = |c: &mut Call<'_>, a: &Value, b: &Value| one(c, name, &[a.clone(), b.clone()]).map(|mut product| product.remove(0));
    if !complex(right) {
        let (a, b) = parts(c, left)?;
        return Ok(vec![pair(times(c, &a, right)?, times(c, &b, right)?)?]);
    }
    let (x, y) = parts(c, right)?;
    if !complex(left) {
        return Ok(vec![pair(times(c, left, &x)?, times(c, left, &y)?)?]);
    }
    let (a, b) = parts(c, left)?;
    let [ax, by, ay, bx] = [times(c, &a, &x)?, times(c, &b, &y)?, times(c, &a, &y)?, times(c, &b, &x)?];
    let (real, imaginary) = (one(c, "sub", &[ax, by])?.remove(0), one(c, "add", &[ay, bx])?.remove(0));
    Ok(vec![pair(real, imaginary)?])
}

/// `1 / x`, which is the conjugate of `x` divided by the square of its size.
fn reciprocal(c: &mut Call<'_>, x: &Value) -> Result<Value, OpError> {
    let (real, imaginary) = parts(c, x)?;
    let [a, b] = [&real, &imaginary].map(|part| one(c, "mul", &[part.clone(), part.clone()]));
    let square = one(c, "add", &[a?.remove(0), b?.remove(0)])?.remove(0);
    let minus = one(c, "neg", &[imaginary])?.remove(0);
    let [real, imaginary] = [real, minus].map(|part| one(c, "div", &[part, square.clone()]));
    pair(real?.remove(0), imaginary?.remove(0))
}

/// Numbers of a size and an angle.
fn turned(c: &mut Call<'_>, size: &Value, angle: &Value) -> Values {
    let (cos, sin) = (one(c, "cos", std::slice::from_ref(angle))?.remove(0), one(c, "sin", std::slice::from_ref(angle))?.remove(0));
    let (real, imaginary) = (one(c, "mul", &[size.clone(), cos])?.remove(0), one(c, "mul", &[size.clone(), sin])?.remove(0));
    Ok(vec![pair(real, imaginary)?])
}

/// Imaginary parts with the other sign.
fn conjugate(c: &mut Call<'_>) -> Values {
    match c.get("self").clone() {
        Value::Complex(real, imaginary) => {
            let imaginary = one(c, "neg", &[Value::Tensor(imaginary)])?.remove(0);
            Ok(vec![pair(Value::Tensor(real), imaginary)?])
        }
        real => Ok(vec![real]),
    }
}

/// Another operator.
fn one(c: &mut Call<'_>, name: &str, arguments: &[Value]) -> Values {
    super::call(c.context, &format!("aten::{name}"), None, &Arguments::positional(arguments.to_vec()))
}

/// Real and imaginary parts as one value. What is known of both alike (a shape) stays what it is.
fn pair(real: Value, imaginary: Value) -> Result<Value, OpError> {
    match (real, imaginary) {
        (Value::Tensor(real), Value::Tensor(imaginary)) => Ok(Value::Complex(real, imaginary)),
        (Value::List(real), Value::List(imaginary)) => real.into_iter().zip(imaginary).map(|(real, imaginary)| pair(real, imaginary)).collect::<Result<_, _>>().map(Value::List),
        (real, _) => Err(OpError::unsupported(format!("a complex number's real part is {}, which is not supported", real.words()))),
    }
}

/// Real and imaginary part of an argument: that of real numbers is 0.
fn parts(c: &mut Call<'_>, value: &Value) -> Result<(Value, Value), OpError> {
    Ok(match value {
        Value::Complex(real, imaginary) => (Value::Tensor(*real), Value::Tensor(*imaginary)),
        Value::ComplexNumber(real, imaginary) => (Value::Float(*real), Value::Float(*imaginary)),
        Value::Tensor(_) => (value.clone(), one(c, "zeros_like", std::slice::from_ref(value))?.remove(0)),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Symbol(_) => (value.clone(), Value::Int(0)),
        Value::None => (Value::None, Value::None),
        Value::List(list) | Value::Tuple(list) => {
            let parts = list.iter().map(|value| self::parts(c, value)).collect::<Result<Vec<_>, _>>()?;
            let (real, imaginary) = parts.into_iter().unzip();
            (Value::List(real), Value::List(imaginary))
        }
        _ => return Err(OpError::unsupported(format!("'{}' gets {} beside complex numbers, which is not supported", c.name, value.words()))),
    })
}

/// Real and imaginary part of an argument.
fn argument(c: &mut Call<'_>, name: &str) -> Result<(Value, Value), OpError> {
    let value = c.get(name).clone();
    parts(c, &value)
}

/// What lies along an axis from one index to behind another.
fn between(c: &mut Call<'_>, x: ValueId, axis: usize, from: i64, to: i64) -> Result<ValueId, OpError> {
    let [from, to, axis] = [from, to, axis as i64].map(|n| c.builder().ints(&[n]));
    c.apply(SliceBy {}, &[x, from, to, axis])
}

fn squeezed(c: &mut Call<'_>, x: ValueId, axis: i64) -> Result<ValueId, OpError> {
    let axis = c.builder().ints(&[axis]);
    c.apply(Squeeze {}, &[x, axis])
}

/// An argument with its parts along a last axis: two of complex numbers.
fn numbers(c: &mut Call<'_>, name: &str) -> Result<ValueId, OpError> {
    let Value::Complex(real, imaginary) = *c.get(name) else { return Err(c.wrong(name)) };
    let (real, imaginary) = (c.context.read(real)?, c.context.read(imaginary)?);
    let axis = c.rank(real)?;
    let (real, imaginary) = (unsqueezed(c, real, &[-1])?, unsqueezed(c, imaginary, &[-1])?);
    c.apply(Concat { axis }, &[real, imaginary])
}

/// Numbers whose parts lie along the last axis, as a pair, or as a real tensor where there is one part.
fn number(c: &mut Call<'_>, value: ValueId) -> Result<Value, OpError> {
    let dims = c.context.builder.ty(value).dims()?;
    let (axis, parts) = (dims.len().saturating_sub(1), dims.last().and_then(Dim::known));
    if parts == Some(1) {
        let real = squeezed(c, value, -1)?;
        return Ok(c.context.fresh(real));
    }
    let mut part = |at: i64| {
        let part = between(c, value, axis, at, at + 1)?;
        let part = squeezed(c, part, -1)?;
        Ok::<_, OpError>(c.context.fresh(part))
    };
    pair(part(0)?, part(1)?)
}

/// What a Fourier transform takes and makes.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Complex numbers of complex or real ones.
    Complex,
    /// Of real numbers the half of the results that says all.
    FromReal,
    /// Real numbers of that half.
    ToReal,
}

/// The operand of a transform with its parts along a last axis: one if it is real.
fn signal(c: &mut Call<'_>, name: &str, kind: Kind) -> Result<ValueId, OpError> {
    match c.get(name) {
        Value::Complex(..) if kind == Kind::FromReal => Err(c.wrong(name)),
        Value::Complex(..) => numbers(c, name),
        _ => {
            let x = c.tensor(name)?;
            let x = if c.dtype(x).is_float() { x } else { c.cast(x, DType::F32)? };
            unsqueezed(c, x, &[-1])
        }
    }
}

/// Transforms along axes, the last of them that of which half is held, to lengths, multiplied by a factor.
fn transformed(c: &mut Call<'_>, mut x: ValueId, kind: Kind, inverse: bool, axes: &[(usize, i64)], factor: f64) -> Result<ValueId, OpError> {
    let Some(((axis, length), others)) = axes.split_last() else { return Err(OpError::unsupported(format!("'{}' along no axis is not supported", c.name))) };
    let half = Dft { axis: *axis, length: *length, inverse, onesided: kind != Kind::Complex };
    if kind != Kind::ToReal {
        x = c.apply(half.clone(), &[x])?;
    }
    for (axis, length) in others {
        x = c.apply(Dft { axis: *axis, length: *length, inverse, onesided: false }, &[x])?;
    }
    if kind == Kind::ToReal {
        x = c.apply(half, &[x])?;
    }
    if factor == 1.0 {
        return Ok(x);
    }
    let factor = c.like(x, factor);
    c.apply(Mul {}, &[x, factor])
}

/// What `torch.fft` has: along the axis or the axes `dim`, to the length `n` or the lengths `s`.
fn fourier(c: &mut Call<'_>, kind: Kind, inverse: bool) -> Values {
    let x = signal(c, "self", kind)?;
    let rank = c.rank(x)? - 1;
    let lengths = match c.maybe_ints("s")? {
        Some(lengths) => Some(lengths),
        None => c.maybe_int("n")?.map(|n| vec![n]),
    };
    let axes = match (c.maybe_ints("dim")?, &lengths) {
        (Some(axes), _) => axes.iter().map(|axis| frit_ir::shape::axis(*axis, rank)).collect::<Result<Vec<_>, _>>()?,
        // As many as there are lengths, the last ones; or all.
        (None, Some(lengths)) => (rank.saturating_sub(lengths.len())..rank).collect(),
        (None, None) => (0..rank).collect(),
    };
    if lengths.as_ref().is_some_and(|lengths| lengths.len() != axes.len()) {
        return Err(c.wrong("s"));
    }
    let extents = c.extents(x)?;
    let own = |at: usize| if kind == Kind::ToReal && at + 1 == axes.len() { 2 * (extents[axes[at]] - 1) } else { extents[axes[at]] };
    let axes: Vec<(usize, i64)> = (0..axes.len()).map(|at| (axes[at], lengths.as_ref().map_or(-1, |lengths| lengths[at]))).enumerate().map(|(at, (axis, n))| (axis, if n == -1 { own(at) } else { n })).collect();
    let count: f64 = axes.iter().map(|(_, n)| *n as f64).product();
    // The inverse is divided by the count as it is.
    let factor = match (c.maybe_text("norm")?.unwrap_or("backward"), inverse) {
        ("backward", _) => 1.0,
        ("ortho", false) => 1.0 / count.sqrt(),
        ("ortho", true) => count.sqrt(),
        ("forward", false) => 1.0 / count,
        ("forward", true) => count,
        _ => return Err(c.wrong("norm")),
    };
    let y = transformed(c, x, kind, inverse, &axes, factor)?;
    Ok(vec![number(c, y)?])
}

/// Moved around by half the extents of axes, `more` of them if they are odd.
fn shifted(c: &mut Call<'_>, more: i64) -> Values {
    let input = c.get("self").clone();
    let (Value::Complex(tensor, _) | Value::Tensor(tensor)) = input else { return Err(c.wrong("self")) };
    let x = c.context.read(tensor)?;
    let extents = c.extents(x)?;
    let axes = match c.maybe_ints("dim")? {
        Some(axes) => axes.iter().map(|axis| frit_ir::shape::axis(*axis, extents.len())).collect::<Result<Vec<_>, _>>()?,
        None => (0..extents.len()).collect(),
    };
    let shifts = axes.iter().map(|axis| Value::Int((extents[*axis] + more) / 2)).collect();
    let axes = axes.iter().map(|axis| Value::Int(*axis as i64)).collect();
    one(c, "roll", &[input, Value::List(shifts), Value::List(axes)])
}

/// What `torch.fft` is decomposed to.
fn plain_fourier(c: &mut Call<'_>, kind: Kind, inverse: bool) -> Values {
    let x = signal(c, "self", kind)?;
    let (rank, extents) = (c.rank(x)? - 1, c.extents(x)?);
    let mut axes = Vec::new();
    for axis in c.ints("dim")? {
        let axis = frit_ir::shape::axis(axis, rank)?;
        axes.push((axis, extents[axis]));
    }
    if kind == Kind::ToReal
        && let Some((_, length)) = axes.last_mut()
    {
        *length = c.int("last_dim_size")?;
    }
    let count: f64 = axes.iter().map(|(_, n)| *n as f64).product();
    let wanted = match c.int("normalization")? {
        0 => 1.0,
        1 => 1.0 / count.sqrt(),
        2 => 1.0 / count,
        _ => return Err(c.wrong("normalization")),
    };
    let y = transformed(c, x, kind, inverse, &axes, if inverse { wanted * count } else { wanted })?;
    Ok(vec![number(c, y)?])
}

/// Ones.
fn ones(c: &mut Call<'_>, dtype: DType, extents: &[i64]) -> Result<ValueId, OpError> {
    let one = c.builder().scalar(dtype, 1.0);
    c.apply(Broadcast { extents: extents.to_vec() }, &[one])
}

/// The window of a short-time transform, with zeros on both sides to the length of the transform; nothing where it is 1 all over.
fn window(c: &mut Call<'_>, length: i64, dtype: DType) -> Result<Option<ValueId>, OpError> {
    let own = c.maybe_int("win_length")?.unwrap_or(length);
    if !(1..=length).contains(&own) {
        return Err(c.wrong("win_length"));
    }
    let given = match c.maybe_tensor("window")? {
        Some(window) => c.cast(window, dtype)?,
        None if own == length => return Ok(None),
        None => ones(c, dtype, &[own])?,
    };
    let before = (length - own) / 2;
    let padded = if own == length { given } else { c.apply(Pad { before: vec![before], after: vec![length - own - before], value: Scalar::Float(0.0) }, &[given])? };
    Ok(Some(padded))
}

/// Frames come last: `[batch?, bin, frame]`.
fn stft(c: &mut Call<'_>) -> Values {
    let length = c.int("n_fft")?;
    let step = c.maybe_int("hop_length")?.unwrap_or(length / 4);
    if c.flag("align_to_window")? {
        return Err(c.wrong("align_to_window"));
    }
    let input = c.get("self").clone();
    let is_complex = complex(&input);
    let rank = match &input {
        Value::Complex(real, _) | Value::Tensor(real) => {
            let real = c.context.read(*real)?;
            c.rank(real)?
        }
        _ => return Err(c.wrong("self")),
    };
    if c.flag("center")? {
        let margin = Value::Int(length / 2);
        let mode = c.get("pad_mode").clone();
        let batch = one(c, "unsqueeze", &[input, Value::Int(0)])?.remove(0);
        let padded = one(c, "pad", &[batch, Value::List(vec![margin.clone(), margin]), mode])?.remove(0);
        c.values[0] = one(c, "squeeze", &[padded, Value::Int(0)])?.remove(0);
    }
    let mut x = signal(c, "self", Kind::Complex)?;
    if rank == 1 {
        x = unsqueezed(c, x, &[0])?;
    }
    let dtype = c.dtype(x);
    let (by, over) = (c.builder().ints(&[step]), c.builder().ints(&[length]));
    let (by, over) = (reshaped(c, by, &[])?, reshaped(c, over, &[])?);
    let mut inputs = vec![x, by, over];
    inputs.extend(window(c, length, dtype)?);
    let onesided = match c.get("onesided") {
        Value::None => !is_complex,
        _ => c.flag("onesided")?,
    };
    let mut y = c.apply(Stft { onesided }, &inputs)?;
    if c.flag("normalized")? {
        let factor = c.like(y, 1.0 / (length as f64).sqrt());
        y = c.apply(Mul {}, &[y, factor])?;
    }
    y = c.apply(Transpose { perm: vec![0, 2, 1, 3] }, &[y])?;
    if rank == 1 {
        y = squeezed(c, y, 0)?;
    }
    if c.flag("return_complex")? { Ok(vec![number(c, y)?]) } else { c.one(y) }
}

/// Frames are turned back, weighted by the window, added where they overlap, and divided by what the windows' squares add up to there.
fn istft(c: &mut Call<'_>) -> Values {
    let length = c.int("n_fft")?;
    let step = c.maybe_int("hop_length")?.unwrap_or(length / 4);
    if c.flag("return_complex")? {
        return Err(c.wrong("return_complex"));
    }
    let onesided = match c.get("onesided") {
        Value::None => true,
        _ => c.flag("onesided")?,
    };
    let mut x = numbers(c, "self")?;
    let single = c.rank(x)? == 3;
    if single {
        x = unsqueezed(c, x, &[0])?;
    }
    let dtype = c.dtype(x);
    let extents = c.extents(x)?;
    let [batch, bins, count, _] = extents[..] else { return Err(c.wrong("self")) };
    if bins != if onesided { length / 2 + 1 } else { length } {
        return Err(OpError::invalid(format!("'istft' of {bins} bins to frames of {length}")));
    }
    let start = if c.flag("center")? { length / 2 } else { 0 };
    let all = (count - 1).checked_mul(step).and_then(|last| last.checked_add(length)).filter(|all| step > 0 && *all <= count.saturating_mul(length)).ok_or_else(|| c.wrong("hop_length"))?;
    let wanted = c.maybe_int("length")?.unwrap_or(all - 2 * start);
    let kept = wanted.min(all - start);
    if kept < 1 {
        return Err(c.wrong("length"));
    }
    // [batch, bin, frame, part] becomes [batch, place in a frame, frame].
    let factor = if c.flag("normalized")? { (length as f64).sqrt() } else { 1.0 };
    let frames = transformed(c, x, if onesided { Kind::ToReal } else { Kind::Complex }, true, &[(1, length)], factor)?;
    let frames = between(c, frames, 3, 0, 1)?;
    let frames = squeezed(c, frames, -1)?;
    let fold = Fold { image: vec![1, all], kernel: vec![1, length], strides: vec![1, step], dilations: vec![1, 1], before: vec![0, 0], after: vec![0, 0] };
    let column = match window(c, length, dtype)? {
        Some(window) => reshaped(c, window, &[1, length, 1])?,
        None => ones(c, dtype, &[1, length, 1])?,
    };
    let frames = c.apply(Mul {}, &[frames, column])?;
    let square = c.apply(Mul {}, &[column, column])?;
    let squares = c.apply(Broadcast { extents: vec![1, length, count] }, &[square])?;
    let (sum, weight) = (c.apply(fold.clone(), &[frames])?, c.apply(fold, &[squares])?);
    let (sum, weight) = (between(c, sum, 3, start, start + kept)?, between(c, weight, 3, start, start + kept)?);
    let mut y = c.apply(Div {}, &[sum, weight])?;
    if wanted > kept {
        y = c.apply(Pad { before: vec![0; 4], after: vec![0, 0, 0, wanted - kept], value: Scalar::Float(0.0) }, &[y])?;
    }
    let y = if single { reshaped(c, y, &[wanted])? } else { reshaped(c, y, &[batch, wanted])? };
    c.one(y)
}
