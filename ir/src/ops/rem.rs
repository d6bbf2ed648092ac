//! Remainder with the sign of the dividend.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `a - trunc(a / b) * b`, as C's `fmod`; integers by zero give 0.
    Rem = "rem", Numbers, |e, a, b| e.binary(Binary::Rem, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
