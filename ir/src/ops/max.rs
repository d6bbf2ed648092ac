//! The larger of two values; NaN if either is NaN.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// The larger of two values; NaN if either is NaN.
    Max = "max", Numbers, |e, a, b| e.binary(Binary::Max, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
