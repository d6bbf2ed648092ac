//! The smaller of two; NaN if either is NaN.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// The smaller of two; NaN if either is NaN.
    Min = "min", Numbers, |e, a, b| e.binary(Binary::Min, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
