//! Error function.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = 2 / sqrt(pi) * integral of e^(-t^2) for t from 0 to x`.
    Erf = "erf", Floats, |e, x| e.unary(Unary::Erf, x),
    // A polynomial approximation with an absolute error of a few units in the last place of 1.
    tolerance: |d| Tolerance::sum(d, 1.0),
    domain: Domain::Any,
}
