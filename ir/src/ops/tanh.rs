//! Hyperbolic tangent.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = sinh(x) / cosh(x)`.
    Tanh = "tanh", Floats, |e, x| e.unary(Unary::Tanh, x),
    // A polynomial or rational approximation in the result's precision, with a few roundings.
    tolerance: |d| Tolerance::ulps(8.0, d),
    domain: Domain::Any,
}
