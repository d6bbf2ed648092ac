//! Arc tangent.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = atan(x)` in radians.
    Atan = "atan", Floats, |e, x| e.unary(Unary::Atan, x),
    // A polynomial or rational approximation in the result's precision, with a few roundings.
    tolerance: |d| Tolerance::ulps(8.0, d),
    domain: Domain::Any,
}
