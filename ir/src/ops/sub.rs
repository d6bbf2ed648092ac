//! `a - b`. Integers wrap.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `a - b`. Integers wrap.
    Sub = "sub", Numbers, |e, a, b| e.binary(Binary::Sub, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
