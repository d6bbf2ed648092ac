//! `|x|`. Integers wrap: the smallest stays itself.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = |x|`.
    Abs = "abs", Numbers, |e, x| e.unary(Unary::Abs, x),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
