//! Hyperbolic cosine.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = (e^x + e^-x) / 2`.
    Cosh = "cosh", Floats, |e, x| e.unary(Unary::Cosh, x),
    // An exponential and its reciprocal, each with a few roundings.
    tolerance: |d| Tolerance::ulps(16.0, d),
    domain: Domain::Any,
}
