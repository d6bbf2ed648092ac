//! `a + b`. Integers wrap.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `a + b`. Integers wrap.
    Add = "add", Numbers, |e, a, b| e.binary(Binary::Add, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
