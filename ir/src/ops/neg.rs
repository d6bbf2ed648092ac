//! `-x`. Integers wrap.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = -x`.
    Neg = "neg", Numbers, |e, x| e.unary(Unary::Neg, x),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
