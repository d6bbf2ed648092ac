//! Square root.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = sqrt(x)`, correctly rounded; NaN below zero.
    Sqrt = "sqrt", Floats, |e, x| e.unary(Unary::Sqrt, x),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
