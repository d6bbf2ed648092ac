//! Left shift.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `a << b`; shifts by the width or more give 0.
    Shl = "shl", Ints, |e, a, b| e.binary(Binary::Shl, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Between(0.0, 9.0),
}
