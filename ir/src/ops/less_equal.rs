//! `a <= b`, a bool.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `a <= b`, a bool; false where either is NaN.
    LessEqual = "less_equal", All -> bool, |e, a, b| e.binary(Binary::Le, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
