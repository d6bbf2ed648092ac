//! Conjunction.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// Logical and of bools, bitwise and of integers.
    And = "and", Bits, |e, a, b| e.binary(Binary::And, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
