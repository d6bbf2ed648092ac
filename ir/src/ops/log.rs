//! Natural logarithm.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// Natural logarithm.
    Log = "log", Floats, |e, x| e.unary(Unary::Log, x),
    tolerance: |d| Tolerance::ulps(4.0, d),
    domain: Domain::Between(0.01, 100.0),
}
