//! `a < b`, a bool.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `a < b`, a bool. False where either is NaN.
    Less = "less", Numbers -> bool, |e, a, b| e.binary(Binary::Lt, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
