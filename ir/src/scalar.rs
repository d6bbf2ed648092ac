//! Single numbers of any dtype, and the scalar operations that kernels are made of.
//!
//! In: [`Scalar`]s. Out: what [`Unary`], [`Binary`] and [`cast`] make of them, rounded to the dtype.
//! This is the one definition of scalar arithmetic: the reference interpreter, constant folding
//! and the loop interpreter call it. Must not know: tensors, loops.

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use crate::dtype::{Class, DType};

/// A number of any dtype. Floats are held as f64, which is exact for every float type; integers as
/// i128, which is exact for every integer type.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Scalar {
    /// A floating-point number.
    Float(f64),
    /// An integer.
    Int(i128),
    /// A truth value.
    Bool(bool),
}

impl PartialEq for Scalar {
    /// Same bits: NaN equals NaN, 0 differs from -0.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Scalar::Float(a), Scalar::Float(b)) => a.to_bits() == b.to_bits(),
            (Scalar::Int(a), Scalar::Int(b)) => a == b,
            (Scalar::Bool(a), Scalar::Bool(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Scalar {}

impl std::hash::Hash for Scalar {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self {
            Scalar::Float(a) => a.to_bits().hash(state),
            Scalar::Int(a) => a.hash(state),
            Scalar::Bool(a) => a.hash(state),
        }
    }
}

impl Scalar {
    /// As a float; integers round to nearest.
    #[inline(always)]
    pub fn as_f64(self) -> f64 {
        match self {
            Scalar::Float(x) => x,
            // The shorter conversion is much faster.
            Scalar::Int(n) => i64::try_from(n).map_or(n as f64, |n| n as f64),
            Scalar::Bool(b) => f64::from(u8::from(b)),
        }
    }

    /// As an integer; floats are cut off towards zero, NaN is 0.
    #[inline(always)]
    pub fn as_int(self) -> i128 {
        match self {
            Scalar::Float(x) => x as i128,
            Scalar::Int(n) => n,
            Scalar::Bool(b) => i128::from(b),
        }
    }

    /// As a truth value: anything but zero is true.
    #[inline(always)]
    pub fn as_bool(self) -> bool {
        match self {
            Scalar::Float(x) => x != 0.0,
            Scalar::Int(n) => n != 0,
            Scalar::Bool(b) => b,
        }
    }

    /// Zero of a dtype.
    pub fn zero(dtype: DType) -> Scalar {
        cast(Scalar::Int(0), dtype)
    }

    /// One of a dtype.
    pub fn one(dtype: DType) -> Scalar {
        cast(Scalar::Int(1), dtype)
    }

    /// The value that `max` leaves unchanged: -inf, or the smallest integer.
    pub fn lowest(dtype: DType) -> Scalar {
        match dtype.int_range() {
            Some((low, _)) => cast(Scalar::Int(low), dtype),
            None => cast(Scalar::Float(f64::NEG_INFINITY), dtype),
        }
    }

    /// The value that `min` leaves unchanged: +inf, or the largest integer.
    pub fn highest(dtype: DType) -> Scalar {
        match dtype.int_range() {
            Some((_, high)) => cast(Scalar::Int(high), dtype),
            None => cast(Scalar::Float(f64::INFINITY), dtype),
        }
    }
}

/// The order that sorting uses: by value, 0 equals -0, and NaN stands behind everything else and equals itself.
pub fn order(a: Scalar, b: Scalar) -> std::cmp::Ordering {
    match (a, b) {
        (Scalar::Float(_), _) | (_, Scalar::Float(_)) => {
            let (x, y) = (a.as_f64(), b.as_f64());
            x.partial_cmp(&y).unwrap_or_else(|| x.is_nan().cmp(&y.is_nan()))
        }
        _ => a.as_int().cmp(&b.as_int()),
    }
}

/// Converts to a dtype. Float to float rounds to nearest, ties to even. Integers wrap. Float to
/// integer cuts off towards zero and saturates, NaN becomes 0. To bool: anything but zero (NaN
/// included) is true.
#[inline(always)]
pub fn cast(value: Scalar, dtype: DType) -> Scalar {
    match dtype.class() {
        Class::Float => Scalar::Float(round_float(value.as_f64(), dtype)),
        Class::Bool => Scalar::Bool(value.as_bool()),
        Class::Text => value,
        Class::Signed | Class::Unsigned => match value {
            Scalar::Float(x) => {
                let (low, high) = dtype.int_range().unwrap_or((0, 0));
                Scalar::Int((x as i128).clamp(low, high))
            }
            Scalar::Int(_) | Scalar::Bool(_) => Scalar::Int(wrap(value.as_int(), dtype)),
        },
    }
}

/// Keeps the low bits of an integer, read as the dtype reads them.
#[inline(always)]
pub fn wrap(value: i128, dtype: DType) -> i128 {
    let bits = dtype.int_bits().unwrap_or(64);
    if dtype.class() == Class::Signed { value << (128 - bits) >> (128 - bits) } else { value & ((1i128 << bits) - 1) }
}

/// Rounds a float to the nearest value of a float dtype, ties to even.
#[inline(always)]
pub fn round_float(x: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F32 => f64::from(x as f32),
        DType::F16 => f16::from_f32(round_to_odd(x)).to_f64(),
        DType::BF16 => bf16::from_f32(round_to_odd(x)).to_f64(),
        DType::F8E4M3FN | DType::F8E4M3FNUZ | DType::F8E5M2 | DType::F8E5M2FNUZ | DType::F8E8M0 | DType::F4E2M1 => {
            crate::minifloat::decode(crate::minifloat::encode(x, dtype, true), dtype)
        }
        _ => x,
    }
}

/// An f64 as the f32 that every narrower float type rounds as it would the f64: where inexact, the neighbour whose last bit is 1.
fn round_to_odd(x: f64) -> f32 {
    let near = x as f32;
    let (bits, back) = (near.to_bits(), f64::from(near));
    if near.is_nan() || back == x || bits & 1 == 1 {
        return near;
    }
    f32::from_bits(if back.abs() < x.abs() { bits + 1 } else { bits - 1 })
}

macro_rules! scalar_ops {
    ($(#[$meta:meta])* $kind:ident { $($variant:ident $name:literal $doc:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        pub enum $kind { $(#[doc = $doc] $variant,)* }
        impl $kind {
            /// Every one of them.
            pub const ALL: &[$kind] = &[$($kind::$variant),*];
            /// The name in dumps.
            pub const fn name(self) -> &'static str {
                match self { $($kind::$variant => $name,)* }
            }
        }
        impl std::str::FromStr for $kind {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($name => Ok($kind::$variant),)* _ => Err(()) }
            }
        }
    };
}

scalar_ops! {
    /// Scalar operations of one operand. The result has the operand's dtype unless said otherwise.
    Unary {
        Neg "neg" "Negation; integers wrap.",
        Abs "abs" "Absolute value; integers wrap.",
        Sign "sign" "-1, 0 or 1; of -0 is -0, of NaN is NaN.",
        Floor "floor" "Largest integer not above.",
        Ceil "ceil" "Smallest integer not below.",
        Round "round" "Nearest integer, ties to even.",
        Trunc "trunc" "Cuts off towards zero.",
        Sqrt "sqrt" "Square root, correctly rounded.",
        Exp "exp" "e to the power.",
        Log "log" "Natural logarithm.",
        Log1p "log1p" "Natural logarithm of 1 + x.",
        Expm1 "expm1" "e to the power, minus 1.",
        Sin "sin" "Sine of radians.",
        Cos "cos" "Cosine of radians.",
        Tan "tan" "Tangent of radians.",
        Asin "asin" "Arc sine.",
        Acos "acos" "Arc cosine.",
        Atan "atan" "Arc tangent.",
        Sinh "sinh" "Hyperbolic sine.",
        Cosh "cosh" "Hyperbolic cosine.",
        Tanh "tanh" "Hyperbolic tangent.",
        Asinh "asinh" "Inverse hyperbolic sine.",
        Acosh "acosh" "Inverse hyperbolic cosine.",
        Atanh "atanh" "Inverse hyperbolic tangent.",
        Erf "erf" "Error function.",
        Gelu "gelu" "x times the part of a normal distribution that lies below x.",
        Not "not" "Bitwise complement; logical for bool.",
        IsNan "is_nan" "Is it NaN? Gives bool.",
    }
}

scalar_ops! {
    /// Scalar operations of two operands of one dtype. The result has that dtype unless said otherwise.
    Binary {
        Add "add" "Sum; integers wrap.",
        Sub "sub" "Difference; integers wrap.",
        Mul "mul" "Product; integers wrap.",
        Div "div" "Quotient; integers cut off towards zero, by zero gives 0, MIN / -1 wraps.",
        FloorDiv "floor_div" "Integer quotient rounded down; by zero gives 0. Integers only.",
        Rem "rem" "Remainder with the dividend's sign (C's fmod); integers by zero give 0.",
        Mod "mod" "Remainder with the divisor's sign (Python's %); integers by zero give 0.",
        Pow "pow" "Power; integers by repeated product, wrapping.",
        Min "min" "The smaller; NaN if either is NaN.",
        Max "max" "The larger; NaN if either is NaN.",
        Atan2 "atan2" "Angle of the point (second, first).",
        Scale "scale" "The first times 2 to the power of the second, which is rounded down; if that is infinite, anything. f32 only.",
        And "and" "Bitwise and; logical for bool.",
        Or "or" "Bitwise or; logical for bool.",
        Xor "xor" "Bitwise exclusive or; logical for bool.",
        Shl "shl" "Left shift; by the width or more gives 0.",
        Shr "shr" "Right shift, arithmetic for signed types; by the width or more gives 0 (or -1).",
        Dot "dot" "Sum of the products of four bytes of each, the low ones: unsigned of the first, signed of the second. Integers only.",
        DotPairs "dot_pairs" "Sum of the products of two bf16 of each, which lie side by side in 32 bits; subnormal ones count as zero. Integers only; gives f32.",
        Eq "eq" "Equal? Gives bool.",
        Ne "ne" "Different? Gives bool.",
        Lt "lt" "Less? Gives bool.",
        Le "le" "Less or equal? Gives bool.",
    }
}

impl Unary {
    /// The dtype of the result.
    pub fn result(self, operand: DType) -> DType {
        if self == Unary::IsNan { DType::Bool } else { operand }
    }

    /// Applies it to a value of `dtype`, rounding the result to that dtype.
    #[inline(always)]
    pub fn apply(self, value: Scalar, dtype: DType) -> Scalar {
        let result = match value {
            Scalar::Float(x) => return self.apply_float(x, dtype),
            Scalar::Bool(b) => Scalar::Bool(match self {
                Unary::Not => !b,
                Unary::IsNan => false,
                _ => b,
            }),
            Scalar::Int(n) => Scalar::Int(match self {
                Unary::Neg => -n,
                Unary::Abs => n.abs(),
                Unary::Sign => n.signum(),
                Unary::Not => !n,
                Unary::IsNan => return Scalar::Bool(false),
                Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => n,
                _ => return cast(self.apply_float(n as f64, DType::F64), dtype),
            }),
        };
        cast(result, dtype)
    }

    #[inline(always)]
    fn apply_float(self, x: f64, dtype: DType) -> Scalar {
        let y = match self {
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Sign => {
                if x == 0.0 || x.is_nan() {
                    x
                } else {
                    x.signum()
                }
            }
            Unary::Floor => x.floor(),
            Unary::Ceil => x.ceil(),
            Unary::Round => x.round_ties_even(),
            Unary::Trunc => x.trunc(),
            Unary::Sqrt => x.sqrt(),
            Unary::Exp => libm::exp(x),
            Unary::Log => libm::log(x),
            Unary::Log1p => libm::log1p(x),
            Unary::Expm1 => libm::expm1(x),
            Unary::Sin => libm::sin(x),
            Unary::Cos => libm::cos(x),
            Unary::Tan => libm::tan(x),
            Unary::Asin => libm::asin(x),
            Unary::Acos => libm::acos(x),
            Unary::Atan => libm::atan(x),
            Unary::Sinh => libm::sinh(x),
            Unary::Cosh => libm::cosh(x),
            Unary::Tanh => libm::tanh(x),
            Unary::Asinh => libm::asinh(x),
            // Below 1 there is none, and libm is wrong far below.
            Unary::Acosh => if x < 1.0 { f64::NAN } else { libm::acosh(x) },
            Unary::Atanh => libm::atanh(x),
            Unary::Erf => libm::erf(x),
            // (1 + erf z) / 2 = erfc(-z) / 2, which does not cancel.
            Unary::Gelu => x * (libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2) / 2.0),
            Unary::Not => x,
            Unary::IsNan => return Scalar::Bool(x.is_nan()),
        };
        Scalar::Float(round_float(y, dtype))
    }
}

impl Binary {
    /// Is the result a truth value whatever the operands are?
    pub const fn compares(self) -> bool {
        matches!(self, Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le)
    }

    /// The dtype of the result.
    pub fn result(self, operand: DType) -> DType {
        match self {
            Binary::DotPairs => DType::F32,
            _ if self.compares() => DType::Bool,
            _ => operand,
        }
    }

    /// Applies it to two values of `dtype`, rounding the result.
    #[inline(always)]
    pub fn apply(self, a: Scalar, b: Scalar, dtype: DType) -> Scalar {
        match (a, b) {
            _ if self == Binary::DotPairs => {
                let ([a0, a1], [b0, b1]) = (pair(a.as_int()), pair(b.as_int()));
                let sum = round_float(f64::from(a1) * f64::from(b1) + f64::from(a0) * f64::from(b0), DType::F32);
                // Which NaN comes out of infinities is left open by the machine.
                Scalar::Float(if sum.is_nan() { f64::NAN } else { sum })
            }
            (Scalar::Float(_), _) | (_, Scalar::Float(_)) => self.apply_float(a.as_f64(), b.as_f64(), dtype),
            (Scalar::Bool(a), Scalar::Bool(b)) => Scalar::Bool(match self {
                Binary::Add | Binary::Or | Binary::Max => a | b,
                Binary::Mul | Binary::And | Binary::Min => a & b,
                Binary::Eq => a == b,
                Binary::Lt => !a & b,
                Binary::Le => !a | b,
                _ => a ^ b,
            }),
            _ => self.apply_int(a.as_int(), b.as_int(), dtype),
        }
    }

    #[inline(always)]
    fn apply_float(self, a: f64, b: f64, dtype: DType) -> Scalar {
        let y = match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::FloorDiv => (a / b).floor(),
            Binary::Rem => a % b,
            Binary::Mod => {
                let r = a % b;
                if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
            }
            Binary::Pow => libm::pow(a, b),
            Binary::Min if a.is_nan() || b.is_nan() => f64::NAN,
            Binary::Max if a.is_nan() || b.is_nan() => f64::NAN,
            Binary::Min => if b < a || (a == b && b.is_sign_negative()) { b } else { a },
            Binary::Max => if b > a || (a == b && b.is_sign_positive()) { b } else { a },
            Binary::Atan2 => libm::atan2(a, b),
            // Powers that give nothing but 0 and infinity are still numbers here.
            Binary::Scale => a * libm::exp2(b.floor().clamp(-400.0, 400.0)),
            Binary::Eq => return Scalar::Bool(a == b),
            Binary::Ne => return Scalar::Bool(a != b),
            Binary::Lt => return Scalar::Bool(a < b),
            Binary::Le => return Scalar::Bool(a <= b),
            Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr | Binary::Dot | Binary::DotPairs => f64::NAN,
        };
        Scalar::Float(round_float(y, dtype))
    }

    #[inline(always)]
    fn apply_int(self, a: i128, b: i128, dtype: DType) -> Scalar {
        let bits = i128::from(dtype.int_bits().unwrap_or(64));
        let n = match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a.wrapping_mul(b),
            Binary::Div => quotient(a, b).0,
            Binary::FloorDiv => {
                let (q, r) = quotient(a, b);
                q - i128::from(r != 0 && (r < 0) != (b < 0))
            }
            Binary::Rem => quotient(a, b).1,
            Binary::Mod => {
                let r = quotient(a, b).1;
                if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
            }
            Binary::Pow => return Scalar::Int(int_pow(a, b, dtype)),
            Binary::Min => a.min(b),
            Binary::Max => a.max(b),
            Binary::Atan2 => libm::atan2(a as f64, b as f64) as i128,
            Binary::And => a & b,
            Binary::Or => a | b,
            Binary::Xor => a ^ b,
            Binary::Shl => if (0..bits).contains(&b) { a << b } else { 0 },
            Binary::Shr => if (0..bits).contains(&b) { a >> b } else if a < 0 { -1 } else { 0 },
            Binary::DotPairs | Binary::Scale => 0,
            Binary::Dot => (0..4).map(|byte| i128::from((a >> (8 * byte)) as u8) * i128::from((b >> (8 * byte)) as i8)).sum(),
            Binary::Eq => return Scalar::Bool(a == b),
            Binary::Ne => return Scalar::Bool(a != b),
            Binary::Lt => return Scalar::Bool(a < b),
            Binary::Le => return Scalar::Bool(a <= b),
        };
        Scalar::Int(wrap(n, dtype))
    }
}

/// The two bf16 in a word, the low one first; subnormal ones are zeros of their sign.
pub fn pair(word: i128) -> [f32; 2] {
    [word as u16, (word >> 16) as u16].map(|bits| flushed(f32::from_bits(u32::from(bits) << 16)))
}

/// `c` plus the products of a [`pair`], the high ones first, each product and sum rounded once; subnormal numbers are zeros of their
/// sign before and after each. That is what `vdpbf16ps` does. Source: Intel SDM, volume 2, "VDPBF16PS".
pub fn dot_pairs(a: i128, b: i128, c: f32) -> f32 {
    let ([a0, a1], [b0, b1]) = (pair(a), pair(b));
    let high = flushed(a1.mul_add(b1, flushed(c)));
    flushed(a0.mul_add(b0, high))
}

fn flushed(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0f32.copysign(x) } else { x }
}

/// Quotient, cut off towards zero, and remainder; both are 0 for a division by zero.
#[inline(always)]
fn quotient(a: i128, b: i128) -> (i128, i128) {
    if b == 0 {
        return (0, 0);
    }
    // The shorter division is much faster.
    match (i64::try_from(a), i64::try_from(b)) {
        (Ok(a), Ok(b)) if b != -1 => (i128::from(a / b), i128::from(a % b)),
        _ => (a / b, a % b),
    }
}

fn int_pow(base: i128, exponent: i128, dtype: DType) -> i128 {
    if exponent < 0 {
        return match base {
            1 => 1,
            -1 => if exponent % 2 == 0 { 1 } else { -1 },
            _ => 0,
        };
    }
    let (mut result, mut square, mut left) = (1i128, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result = wrap(result.wrapping_mul(square), dtype);
        }
        square = wrap(square.wrapping_mul(square), dtype);
        left >>= 1;
    }
    wrap(result, dtype)
}

/// Is a cast through `between` to `to` the same as one to `to` at once?
pub fn lossless(from: DType, between: DType, to: DType) -> bool {
    let holds = match (from.int_range(), between.int_range()) {
        _ if from == between => true,
        (Some((a, b)), Some((c, d))) => c <= a && b <= d,
        // Integers up to this are exact.
        (Some((a, b)), None) => {
            let exact = match between {
                DType::F64 => 1i128 << 53,
                DType::F32 => 1 << 24,
                DType::F16 => 1 << 11,
                DType::BF16 => 1 << 8,
                _ => 0,
            };
            -exact <= a && b <= exact
        }
        (None, None) => matches!((from, between), (DType::F32 | DType::F16 | DType::BF16, DType::F64) | (DType::F16 | DType::BF16, DType::F32)),
        (None, Some(_)) => false,
    };
    // An integer that does not fit wraps, and as a float it is cut off.
    let cut = from.is_int() && between.is_float() && to.is_int() && !lossless(from, to, to);
    from != DType::Str && between != DType::Str && holds && !cut
}
