//! Rounding to nearest.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// The nearest integer; ties go to the even one (IEEE 754 roundTiesToEven).
    Round = "round", Floats, |e, x| e.unary(Unary::Round, x),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
