//! Hyperbolic sine.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = (e^x - e^-x) / 2`.
    Sinh = "sinh", Floats, |e, x| e.unary(Unary::Sinh, x),
    // Close to zero the result is a small difference of larger terms.
    tolerance: |d| Tolerance::sum(d, 1.0),
    domain: Domain::Any,
}
