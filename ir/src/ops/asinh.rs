//! Inverse hyperbolic sine.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = ln(x + sqrt(x^2 + 1))`.
    Asinh = "asinh", Floats, |e, x| e.unary(Unary::Asinh, x),
    // Close to zero the result is a small difference of larger terms.
    tolerance: |d| Tolerance::sum(d, 1.0),
    domain: Domain::Any,
}
