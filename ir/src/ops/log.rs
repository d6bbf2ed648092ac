//! Natural logarithm.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = ln(x)`; -infinity at zero, NaN below.
    Log = "log", Floats, |e, x| e.unary(Unary::Log, x),
    // A polynomial or rational approximation in the result's precision, with a few roundings.
    tolerance: |d| Tolerance::ulps(4.0, d),
    domain: Domain::Any,
}
