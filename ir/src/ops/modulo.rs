//! Remainder with the sign of the divisor.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `a - floor(a / b) * b`, as Python's `%`; integers by zero give 0.
    Modulo = "modulo", Numbers, |e, a, b| e.binary(Binary::Mod, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Ordinary,
}
