//! Tangent.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = tan(x)`, x in radians; NaN for infinities.
    Tan = "tan", Floats, |e, x| e.unary(Unary::Tan, x),
    // Near a zero of the function the error is that of the reduced argument, which is absolute.
    tolerance: |d| Tolerance::sum(d, 1.0),
    domain: Domain::Between(-1.5, 1.5),
}
