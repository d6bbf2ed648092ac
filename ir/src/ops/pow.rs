//! `a` to the power of `b`.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `a` to the power of `b`.
    Pow = "pow", Numbers, |e, a, b| e.binary(Binary::Pow, a, b),
    tolerance: |d| Tolerance::ulps(16.0, d),
    domain: Domain::Between(0.1, 3.0),
}
