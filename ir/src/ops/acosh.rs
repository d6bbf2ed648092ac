//! Inverse hyperbolic cosine.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = ln(x + sqrt(x^2 - 1))`; NaN below 1.
    Acosh = "acosh", Floats, |e, x| e.unary(Unary::Acosh, x),
    // Close to x = 1 the result is a small difference of larger terms.
    tolerance: |d| Tolerance::sum(d, 1.0),
    domain: Domain::Any,
}
