//! `max(x, 0)`.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `y = max(x, 0)`; NaN stays NaN.
    Relu = "relu", Numbers, |e, x| {
        let dtype = e.dtype(x);
        let zero = e.constant(crate::scalar::Scalar::Int(0), dtype);
        e.binary(Binary::Max, x, zero)
    },
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
