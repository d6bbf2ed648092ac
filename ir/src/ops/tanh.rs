//! Hyperbolic tangent.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// Hyperbolic tangent.
    Tanh = "tanh", Floats, |e, x| e.unary(Unary::Tanh, x),
    tolerance: |d| Tolerance::ulps(4.0, d),
    domain: Domain::Ordinary,
}
