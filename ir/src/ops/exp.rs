//! `e^x`.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = e^x`. Overflows to infinity, underflows to zero.
    Exp = "exp", Floats, |e, x| e.unary(Unary::Exp, x),
    tolerance: |d| Tolerance::ulps(4.0, d),
    domain: Domain::Any,
}
