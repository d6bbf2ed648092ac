//! `1 / x`.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `y = 1 / x`.
    Reciprocal = "reciprocal", Floats, |e, x| {
        let dtype = e.dtype(x);
        let one = e.float(1.0, dtype);
        e.binary(Binary::Div, one, x)
    },
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
