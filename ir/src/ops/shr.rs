//! Right shift.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `a >> b`, arithmetic for signed integers; shifts by the width or more give 0 (or -1).
    Shr = "shr", Ints, |e, a, b| e.binary(Binary::Shr, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Between(0.0, 9.0),
}
