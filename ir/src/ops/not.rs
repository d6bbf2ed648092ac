//! Complement.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// Logical complement of a bool, bitwise complement of an integer.
    Not = "not", Bits, |e, x| e.unary(Unary::Not, x),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
