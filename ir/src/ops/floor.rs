//! Rounding down.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// The largest integer not above x.
    Floor = "floor", Floats, |e, x| e.unary(Unary::Floor, x),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
