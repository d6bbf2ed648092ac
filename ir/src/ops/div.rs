//! `a / b`. Integers are cut off towards zero; by zero they give 0.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `a / b`. Integers are cut off towards zero; by zero they give 0.
    Div = "div", Numbers, |e, a, b| e.binary(Binary::Div, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
