//! Arc cosine.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = acos(x)` in radians; NaN outside -1..1.
    Acos = "acos", Floats, |e, x| e.unary(Unary::Acos, x),
    // Close to x = 1 the result is a small difference of larger terms.
    tolerance: |d| Tolerance::sum(d, 1.0),
    domain: Domain::Any,
}
