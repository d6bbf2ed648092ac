//! Columns: the values of one expression at many points, typed.
//!
//! In: [`Scalar`]s, or bytes of tensors. Out: columns, element for element what the scalar operations give: they are
//! the only definition of arithmetic, applied here in loops whose operation and dtype the compiler knows. Must not
//! know: expressions, loops, ops.

use crate::dtype::{Class, DType};
use crate::expr::{bitcast, fma};
use crate::scalar::{Binary, Scalar, Unary, cast};
use crate::tensor::{read, write};

/// Values of one dtype at points one after the other. A column of one element holds the same value at all points.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Column {
    /// [`Scalar::Float`]s.
    Float(Vec<f64>),
    /// [`Scalar::Int`]s of any dtype but `u64`.
    Int(Vec<i64>),
    /// [`Scalar::Int`]s of `u64`.
    Wide(Vec<i128>),
    /// [`Scalar::Bool`]s.
    Bool(Vec<bool>),
}

/// Evaluates an expression in which `$known` is a constant where `$value` is one of the listed ones, so that each of
/// these gets a loop of its own.
macro_rules! specialise {
    ($value:expr, $ty:ident :: { $($variant:ident),* }, |$known:ident| $body:expr) => {
        match $value {
            $($ty::$variant => { const $known: $ty = $ty::$variant; $body })*
            #[allow(non_snake_case, reason = "a constant in the other arms")]
            $known => $body,
        }
    };
}

/// Maps the elements of columns, as scalars: `map!(a, |x| ..)` and `map!(a, b, |x, y| ..)`, the latter with both of one
/// length. Gives a column of the dtype `$to`.
macro_rules! map {
    ($a:expr, $to:expr, |$x:ident| $body:expr) => {
        match $a {
            Column::Float(a) => Column::collect($to, a.iter().map(|x| { let $x = Scalar::Float(*x); $body })),
            Column::Int(a) => Column::collect($to, a.iter().map(|x| { let $x = Scalar::Int(i128::from(*x)); $body })),
            Column::Wide(a) => Column::collect($to, a.iter().map(|x| { let $x = Scalar::Int(*x); $body })),
            Column::Bool(a) => Column::collect($to, a.iter().map(|x| { let $x = Scalar::Bool(*x); $body })),
        }
    };
    ($a:expr, $b:expr, $to:expr, |$x:ident, $y:ident| $body:expr) => {
        match ($a, $b) {
            (Column::Float(a), Column::Float(b)) => Column::collect($to, a.iter().zip(b).map(|(x, y)| { let ($x, $y) = (Scalar::Float(*x), Scalar::Float(*y)); $body })),
            (Column::Int(a), Column::Int(b)) => Column::collect($to, a.iter().zip(b).map(|(x, y)| { let ($x, $y) = (Scalar::Int(i128::from(*x)), Scalar::Int(i128::from(*y))); $body })),
            (a, b) => Column::collect($to, (0..a.len()).map(|at| { let ($x, $y) = (a.get(at), b.get(at)); $body })),
        }
    };
}

impl Column {
    /// Scalars of one dtype.
    #[inline(always)]
    pub(crate) fn collect(dtype: DType, values: impl Iterator<Item = Scalar>) -> Self {
        match dtype.class() {
            Class::Float => Column::Float(values.map(Scalar::as_f64).collect()),
            Class::Bool => Column::Bool(values.map(Scalar::as_bool).collect()),
            _ if dtype == DType::U64 => Column::Wide(values.map(Scalar::as_int).collect()),
            _ => Column::Int(values.map(|value| value.as_int() as i64).collect()),
        }
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        match self {
            Column::Float(a) => a.len(),
            Column::Int(a) => a.len(),
            Column::Wide(a) => a.len(),
            Column::Bool(a) => a.len(),
        }
    }

    /// The value at a point.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Scalar {
        fn pick<T: Copy>(a: &[T], at: usize) -> T {
            a[if a.len() == 1 { 0 } else { at }]
        }
        match self {
            Column::Float(a) => Scalar::Float(pick(a, at)),
            Column::Int(a) => Scalar::Int(i128::from(pick(a, at))),
            Column::Wide(a) => Scalar::Int(pick(a, at)),
            Column::Bool(a) => Scalar::Bool(pick(a, at)),
        }
    }

    /// The same values with an element for each of `len` points.
    pub(crate) fn spread(&self, len: usize) -> std::borrow::Cow<'_, Self> {
        use std::borrow::Cow;
        if self.len() == len {
            return Cow::Borrowed(self);
        }
        Cow::Owned(match self {
            Column::Float(a) => Column::Float(vec![a[0]; len]),
            Column::Int(a) => Column::Int(vec![a[0]; len]),
            Column::Wide(a) => Column::Wide(vec![a[0]; len]),
            Column::Bool(a) => Column::Bool(vec![a[0]; len]),
        })
    }

    /// Elements of a buffer.
    pub(crate) fn read(bytes: &[u8], dtype: DType, places: &[i64]) -> Self {
        specialise!(dtype, DType::{ F32, F64, I8, U8, I32, I64 }, |D| Column::collect(D, places.iter().map(|at| read(bytes, *at as usize, D))))
    }

    /// Writes one element after the other into a buffer, from element `first`, converted to its dtype.
    pub(crate) fn write(&self, bytes: &mut [u8], first: usize, dtype: DType) {
        specialise!(dtype, DType::{ F32, I8, I32, I64 }, |D| match self {
            Column::Float(a) => a.iter().enumerate().for_each(|(at, x)| write(bytes, first + at, D, Scalar::Float(*x))),
            Column::Int(a) => a.iter().enumerate().for_each(|(at, n)| write(bytes, first + at, D, Scalar::Int(i128::from(*n)))),
            _ => (0..self.len()).for_each(|at| write(bytes, first + at, D, self.get(at))),
        });
    }

    /// Joins the elements from `from` up to `to` to `sum`, one after the other.
    pub(crate) fn fold(&self, from: usize, to: usize, sum: Scalar, op: Binary, dtype: DType) -> Scalar {
        specialise!(op, Binary::{ Add, Mul, Max, Min }, |OP| match (self, sum) {
            (Column::Float(a), Scalar::Float(sum)) if dtype == DType::F64 => {
                Scalar::Float(a[from..to].iter().fold(sum, |sum, x| OP.apply(Scalar::Float(sum), Scalar::Float(*x), DType::F64).as_f64()))
            }
            _ => (from..to).fold(sum, |sum, at| OP.apply(sum, self.get(at), dtype)),
        })
    }
}

/// What expressions are evaluated over: [`Scalar`]s, or [`Column`]s of them.
pub(crate) trait Value: Sized + Clone {
    /// The same value at all points.
    fn constant(value: Scalar, dtype: DType) -> Self;
    /// See [`Unary::apply`].
    fn unary(&self, op: Unary, dtype: DType) -> Self;
    /// See [`Binary::apply`].
    fn binary(&self, op: Binary, other: &Self, dtype: DType) -> Self;
    /// The first where this holds, the second, also of `dtype`, elsewhere.
    fn select(&self, values: [&Self; 2], dtype: DType) -> Self;
    /// See [`cast`].
    fn cast(&self, dtype: DType) -> Self;
    /// See [`bitcast`].
    fn bitcast(&self, from: DType, to: DType) -> Self;
    /// See [`fma`].
    fn fma(&self, others: [&Self; 2], dtype: DType) -> Self;
}

impl Value for Scalar {
    fn constant(value: Scalar, _: DType) -> Self {
        value
    }

    fn unary(&self, op: Unary, dtype: DType) -> Self {
        op.apply(*self, dtype)
    }

    fn binary(&self, op: Binary, other: &Self, dtype: DType) -> Self {
        op.apply(*self, *other, dtype)
    }

    fn select(&self, [a, b]: [&Self; 2], _: DType) -> Self {
        if self.as_bool() { *a } else { *b }
    }

    fn cast(&self, dtype: DType) -> Self {
        cast(*self, dtype)
    }

    fn bitcast(&self, from: DType, to: DType) -> Self {
        bitcast(*self, from, to)
    }

    fn fma(&self, [b, c]: [&Self; 2], dtype: DType) -> Self {
        fma(*self, *b, *c, dtype)
    }
}

impl Value for Column {
    fn constant(value: Scalar, dtype: DType) -> Self {
        Column::collect(dtype, std::iter::once(value))
    }

    fn unary(&self, op: Unary, dtype: DType) -> Self {
        specialise!(op, Unary::{ Neg, Abs, Sqrt, Floor, Round, Not }, |OP| {
            specialise!(dtype, DType::{ F32, F64 }, |D| map!(self, OP.result(D), |x| OP.apply(x, D)))
        })
    }

    fn binary(&self, op: Binary, other: &Self, dtype: DType) -> Self {
        let len = self.len().max(other.len());
        let (a, b) = (&*self.spread(len), &*other.spread(len));
        specialise!(op, Binary::{ Add, Sub, Mul, Div, FloorDiv, Mod, Min, Max, Lt, Le, And }, |OP| {
            specialise!(dtype, DType::{ F32, I32, I64 }, |D| map!(a, b, OP.result(D), |x, y| OP.apply(x, y, D)))
        })
    }

    fn select(&self, [a, b]: [&Self; 2], dtype: DType) -> Self {
        fn pick<T: Copy>(cond: &[bool], a: &[T], b: &[T]) -> Vec<T> {
            cond.iter().zip(a.iter().zip(b)).map(|(cond, (a, b))| if *cond { *a } else { *b }).collect()
        }
        let len = self.len().max(a.len()).max(b.len());
        match (&*self.spread(len), &*a.spread(len), &*b.spread(len)) {
            (Column::Bool(cond), Column::Float(a), Column::Float(b)) => Column::Float(pick(cond, a, b)),
            (Column::Bool(cond), Column::Int(a), Column::Int(b)) => Column::Int(pick(cond, a, b)),
            (cond, a, b) => Column::collect(dtype, (0..len).map(|at| cond.get(at).select([&a.get(at), &b.get(at)], dtype))),
        }
    }

    fn cast(&self, dtype: DType) -> Self {
        specialise!(dtype, DType::{ F32, F64, I8, U8, I32, I64, Bool }, |D| map!(self, D, |x| cast(x, D)))
    }

    fn bitcast(&self, from: DType, to: DType) -> Self {
        map!(self, to, |x| bitcast(x, from, to))
    }

    fn fma(&self, [b, c]: [&Self; 2], dtype: DType) -> Self {
        let len = self.len().max(b.len()).max(c.len());
        Column::collect(dtype, (0..len).map(|at| fma(self.get(at), b.get(at), c.get(at), dtype)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers at which operations turn out differently, as a dtype holds them.
    fn numbers(dtype: DType) -> Vec<Scalar> {
        let mut all: Vec<Scalar> = [0.0, -0.0, 0.5, -1.5, 2.5, 1e-3, 3e4, -7e9, 1e300, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY, f64::NAN].map(Scalar::Float).to_vec();
        all.extend([-128, -3, -2, -1, 0, 1, 2, 3, 7, 31, 63, 64, 255, 1 << 31, i128::from(i64::MAX), i128::from(i64::MIN), i128::from(u64::MAX)].map(Scalar::Int));
        all.extend([false, true].map(Scalar::Bool));
        all.extend([Scalar::lowest(dtype), Scalar::highest(dtype)]);
        all.into_iter().map(|x| cast(x, dtype)).collect()
    }

    fn dtypes() -> impl Iterator<Item = DType> {
        DType::ALL.iter().copied().filter(|dtype| *dtype != DType::Str)
    }

    fn column(dtype: DType, values: &[Scalar]) -> Column {
        Column::collect(dtype, values.iter().copied())
    }

    fn same(got: &Column, len: usize, wanted: impl Fn(usize) -> Scalar, what: &str) {
        for at in 0..len {
            assert_eq!(got.get(at), wanted(at), "{what} at {at}");
        }
    }

    #[test]
    fn columns_do_what_scalars_do() {
        for dtype in dtypes() {
            let values = numbers(dtype);
            let len = values.len();
            let whole = column(dtype, &values);
            same(&whole, len, |at| values[at], "itself");
            for op in Unary::ALL {
                same(&whole.unary(*op, dtype), len, |at| op.apply(values[at], dtype), &format!("{} of {dtype}", op.name()));
            }
            for to in dtypes() {
                same(&Value::cast(&whole, to), len, |at| cast(values[at], to), &format!("{dtype} to {to}"));
                if to.size() == dtype.size() {
                    same(&Value::bitcast(&whole, dtype, to), len, |at| bitcast(values[at], dtype, to), &format!("bits of {dtype} as {to}"));
                }
            }
            // Each with each: whole columns against turned ones, and against single values.
            for turn in 0..len {
                let turned: Vec<Scalar> = (0..len).map(|at| values[(at + turn) % len]).collect();
                let (other, single) = (column(dtype, &turned), column(dtype, &turned[..1]));
                for op in Binary::ALL {
                    let what = format!("{} of {dtype}, turned by {turn}", op.name());
                    same(&whole.binary(*op, &other, dtype), len, |at| op.apply(values[at], turned[at], dtype), &what);
                    same(&whole.binary(*op, &single, dtype), len, |at| op.apply(values[at], turned[0], dtype), &what);
                    same(&single.binary(*op, &whole, dtype), len, |at| op.apply(turned[0], values[at], dtype), &what);
                }
                let cond: Vec<Scalar> = (0..len).map(|at| Scalar::Bool(at % 3 == 0)).collect();
                same(&column(DType::Bool, &cond).select([&whole, &single], dtype), len, |at| if at % 3 == 0 { values[at] } else { turned[0] }, "select");
                if dtype.is_float() {
                    same(&Value::fma(&whole, [&other, &single], dtype), len, |at| fma(values[at], turned[at], turned[0], dtype), "fma");
                }
            }
        }
    }

    #[test]
    fn folding_goes_from_first_to_last() {
        for dtype in dtypes() {
            let values = numbers(dtype);
            for wide in [dtype, DType::F64].into_iter().filter(|wide| wide.is_float() == dtype.is_float()) {
                for op in [Binary::Add, Binary::Mul, Binary::Max, Binary::Min] {
                    let start = Scalar::one(wide);
                    let wanted = values[2..].iter().fold(start, |sum, x| op.apply(sum, *x, wide));
                    let got = column(dtype, &values).fold(2, values.len(), start, op, wide);
                    // Which of two NaNs a sum hands on is left open.
                    assert!(got == wanted || got.as_f64().is_nan() && wanted.as_f64().is_nan(), "{} of {dtype} in {wide}: {got:?}, not {wanted:?}", op.name());
                }
            }
        }
    }

    #[test]
    fn bytes_are_read_and_written_as_scalars_are() {
        for dtype in dtypes() {
            let values = numbers(dtype);
            let (mut one, mut many) = (vec![0u8; values.len() * dtype.size()], vec![0u8; values.len() * dtype.size()]);
            values.iter().enumerate().for_each(|(at, value)| write(&mut one, at, dtype, *value));
            column(dtype, &values[..3]).write(&mut many, 0, dtype);
            column(dtype, &values[3..]).write(&mut many, 3, dtype);
            assert_eq!(one, many, "{dtype}");
            let places: Vec<i64> = (0..values.len() as i64).rev().collect();
            same(&Column::read(&many, dtype, &places), values.len(), |at| read(&one, places[at] as usize, dtype), "read");
        }
    }
}
