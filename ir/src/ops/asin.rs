//! Arc sine.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = asin(x)` in radians; NaN outside -1..1.
    Asin = "asin", Floats, |e, x| e.unary(Unary::Asin, x),
    // A polynomial or rational approximation in the result's precision, with a few roundings.
    tolerance: |d| Tolerance::ulps(8.0, d),
    domain: Domain::Any,
}
