//! Square root; of negative numbers NaN.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// Square root; of negative numbers NaN.
    Sqrt = "sqrt", Floats, |e, x| e.unary(Unary::Sqrt, x),
    tolerance: |d| Tolerance::ulps(1.0, d),
    domain: Domain::Between(0.0, 100.0),
}
