//! Disjunction.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// Logical or of bools, bitwise or of integers.
    Or = "or", Bits, |e, a, b| e.binary(Binary::Or, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
