//! Cosine.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = cos(x)`, x in radians; NaN for infinities.
    Cos = "cos", Floats, |e, x| e.unary(Unary::Cos, x),
    // Near a zero of the function the error is that of the reduced argument, which is absolute.
    tolerance: |d| Tolerance::sum(d, 1.0),
    domain: Domain::Between(-20.0, 20.0),
}
