//! `a == b`, a bool. NaN equals nothing.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `a == b`, a bool. NaN equals nothing.
    Equal = "equal", All -> bool, |e, a, b| e.binary(Binary::Eq, a, b),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
