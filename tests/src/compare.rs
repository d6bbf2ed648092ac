//! Do two tensors agree, within an op's tolerance?
//!
//! In: two tensors and a [`Tolerance`]. Out: where they differ, in words. Must not know: ops, how the tensors were made.

use frit_ir::ops::Tolerance;
use frit_ir::{DType, Scalar, Tensor};

/// Says where a result differs from the expected one by more than the tolerance, or nothing. NaN agrees with NaN,
/// 0 with -0; integers and truth values are compared exactly.
pub fn difference(got: &Tensor, expected: &Tensor, tolerance: Tolerance) -> Option<String> {
    if got.dtype() != expected.dtype() || got.extents() != expected.extents() {
        return Some(format!("{} instead of {}", got.ty(), expected.ty()));
    }
    if expected.dtype() == DType::Str {
        return (got.strings() != expected.strings()).then(|| format!("{:?} instead of {:?}", got.strings(), expected.strings()));
    }
    let wrong: Vec<(usize, Scalar, Scalar)> = got.scalars().zip(expected.scalars()).enumerate().filter(|(_, (a, b))| !fits(*a, *b, tolerance)).map(|(at, (a, b))| (at, a, b)).collect();
    let (at, a, b) = wrong.first()?;
    Some(format!("{} of {} elements differ; the first is number {at}, {a:?} instead of {b:?}", wrong.len(), expected.elems()))
}

fn fits(got: Scalar, expected: Scalar, tolerance: Tolerance) -> bool {
    match (got, expected) {
        // A tolerance in units of an infinity would let everything pass.
        (Scalar::Float(a), Scalar::Float(b)) => a == b || (a.is_nan() && b.is_nan()) || (b.is_finite() && (a - b).abs() <= tolerance.absolute + tolerance.relative * b.abs()),
        _ => got == expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_compared_within_the_tolerance() {
        let a = Tensor::from_slice(&[5], &[1.0f32, f32::NAN, -0.0, f32::INFINITY, 5.0]);
        let b = Tensor::from_slice(&[5], &[1.0f32, f32::NAN, 0.0, f32::INFINITY, 5.1]);
        assert_eq!(difference(&a, &b, Tolerance { absolute: 0.2, relative: 0.0 }), None);
        assert_eq!(difference(&a, &b, Tolerance::EXACT).unwrap(), "1 of 5 elements differ; the first is number 4, Float(5.0) instead of Float(5.099999904632568)");
        let c = Tensor::from_slice(&[5], &[1.0f32, 0.0, 0.0, f32::NEG_INFINITY, 5.1]);
        assert!(difference(&b, &c, Tolerance { absolute: 1.0, relative: 1.0 }).unwrap().starts_with("2 of 5"));
    }
}
