//! The sign.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// -1, 0 or 1 as x is below, at or above zero; NaN stays NaN.
    Sign = "sign", Numbers, |e, x| e.unary(Unary::Sign, x),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
