//! Inverse hyperbolic tangent.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = ln((1 + x) / (1 - x)) / 2`; NaN outside -1..1.
    Atanh = "atanh", Floats, |e, x| e.unary(Unary::Atanh, x),
    // Close to zero the result is a small difference of larger terms.
    tolerance: |d| Tolerance::sum(d, 1.0),
    domain: Domain::Any,
}
