//! Rounding up.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// The smallest integer not below x.
    Ceil = "ceil", Floats, |e, x| e.unary(Unary::Ceil, x),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
