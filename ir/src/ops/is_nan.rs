//! Is it NaN?
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// A bool: is x NaN?
    IsNan = "is_nan", Floats -> bool, |e, x| e.unary(Unary::IsNan, x),
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
