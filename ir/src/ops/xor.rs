//! Exclusive or.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// Logical exclusive or of bools, bitwise of integers.
    Xor = "xor", Bits, |e, a, b| e.binary(Binary::Xor, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
