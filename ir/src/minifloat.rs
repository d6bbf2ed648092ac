//! Floats of 8 bits and fewer: their bit patterns.
//!
//! In: a value or a bit pattern. Out: the other. Sources: OCP 8-bit Floating Point Specification
//! 1.0 (E4M3, E5M2), arXiv:2206.02915 (the FNUZ variants), OCP Microscaling Formats 1.0 (E2M1,
//! E8M0). Must not know: tensors.

use crate::dtype::DType;

struct Format {
    exponent_bits: u32,
    fraction_bits: u32,
    bias: i32,
    /// No infinities; the only NaN is the pattern of negative zero.
    unsigned_zero: bool,
    infinities: bool,
    nan: bool,
}

const fn format(dtype: DType) -> Option<Format> {
    let (exponent_bits, fraction_bits, bias, unsigned_zero, infinities, nan) = match dtype {
        DType::F8E4M3FN => (4, 3, 7, false, false, true),
        DType::F8E4M3FNUZ => (4, 3, 8, true, false, true),
        DType::F8E5M2 => (5, 2, 15, false, true, true),
        DType::F8E5M2FNUZ => (5, 2, 16, true, false, true),
        DType::F4E2M1 => (2, 1, 1, false, false, false),
        _ => return None,
    };
    Some(Format { exponent_bits, fraction_bits, bias, unsigned_zero, infinities, nan })
}

/// The value of a bit pattern (in the low bits of the byte).
pub fn decode(bits: u8, dtype: DType) -> f64 {
    if dtype == DType::F8E8M0 {
        return if bits == 0xff { f64::NAN } else { (f64::from(bits) - 127.0).exp2() };
    }
    let Some(f) = format(dtype) else { return f64::NAN };
    let sign_at = f.exponent_bits + f.fraction_bits;
    let negative = bits >> sign_at & 1 == 1;
    let exponent = i32::from(bits >> f.fraction_bits) & ((1 << f.exponent_bits) - 1);
    let fraction = f64::from(bits & ((1 << f.fraction_bits) - 1)) / f64::from(1 << f.fraction_bits);
    let magnitude_bits = bits & ((1u16 << sign_at) - 1) as u8;
    let all_ones = exponent == (1 << f.exponent_bits) - 1;
    if f.unsigned_zero {
        if negative && magnitude_bits == 0 {
            return f64::NAN;
        }
    } else if f.infinities && all_ones {
        return if fraction != 0.0 { f64::NAN } else if negative { f64::NEG_INFINITY } else { f64::INFINITY };
    } else if f.nan && !f.infinities && magnitude_bits == ((1u16 << sign_at) - 1) as u8 {
        return f64::NAN;
    }
    let magnitude = if exponent == 0 { fraction * f64::from(1 - f.bias).exp2() } else { (1.0 + fraction) * f64::from(exponent - f.bias).exp2() };
    if negative { -magnitude } else { magnitude }
}

/// The bit pattern nearest to a value, ties to even. A value beyond the largest becomes the largest
/// if `saturate`, else infinity, or NaN where the format has no infinity.
pub fn encode(x: f64, dtype: DType, saturate: bool) -> u8 {
    if dtype == DType::F8E8M0 {
        return encode_power(x, saturate);
    }
    let Some(f) = format(dtype) else { return 0 };
    let sign_at = f.exponent_bits + f.fraction_bits;
    let sign = u8::from(x.is_sign_negative()) << sign_at;
    let nan = if f.unsigned_zero { 1 << sign_at } else if f.nan { sign | ((1u16 << sign_at) - 1) as u8 } else { sign };
    if x.is_nan() {
        return nan;
    }
    let largest = largest(&f);
    let scale_exponent = (x.abs().log2().floor() as i32).max(1 - f.bias);
    let quantum = f64::from(scale_exponent - f.fraction_bits as i32).exp2();
    let rounded = if x.is_infinite() { f64::INFINITY } else { (x.abs() / quantum).round_ties_even() * quantum };
    let top = (((1u32 << f.exponent_bits) - 1) << f.fraction_bits) as u8;
    let largest_bits = if f.infinities { top - 1 } else if f.unsigned_zero || !f.nan { ((1u16 << sign_at) - 1) as u8 } else { ((1u16 << sign_at) - 2) as u8 };
    if rounded > largest {
        return if saturate || !f.nan { sign | largest_bits } else if f.infinities { sign | top } else { nan };
    }
    if rounded == 0.0 {
        return if f.unsigned_zero { 0 } else { sign };
    }
    let exponent = (rounded.log2().floor() as i32).max(1 - f.bias);
    let significand = (rounded / f64::from(exponent - f.fraction_bits as i32).exp2()) as u32;
    let hidden = 1u32 << f.fraction_bits;
    let magnitude = if significand < hidden { significand } else { ((exponent + f.bias) as u32) << f.fraction_bits | (significand - hidden) };
    sign | magnitude as u8
}

fn largest(f: &Format) -> f64 {
    let ones = (1u32 << f.exponent_bits) - 1;
    let (exponent, missing) = if f.infinities { (ones - 1, 1) } else if f.unsigned_zero || !f.nan { (ones, 1) } else { (ones, 2) };
    let fraction = 2.0 - f64::from(missing) / f64::from(1u32 << f.fraction_bits);
    fraction * f64::from(exponent as i32 - f.bias).exp2()
}

/// E8M0: powers of two, no sign, no zero; rounds to nearest, ties away from zero.
fn encode_power(x: f64, saturate: bool) -> u8 {
    if x.is_nan() || x < 0.0 {
        return 0xff;
    }
    if x == 0.0 {
        return 0;
    }
    let floor = x.log2().floor();
    let exponent = if x / floor.exp2() >= 1.5 { floor + 1.0 } else { floor } + 127.0;
    if exponent > 254.0 { if saturate { 254 } else { 255 } } else { exponent.max(0.0) as u8 }
}
