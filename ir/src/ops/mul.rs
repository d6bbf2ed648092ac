//! `a * b`. Integers wrap.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `a * b`. Integers wrap.
    Mul = "mul", Numbers, |e, a, b| e.binary(Binary::Mul, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
