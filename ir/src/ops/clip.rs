//! Values brought between two bounds.
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `clip(x, low, high) = min(max(x, low), high)`; where `low > high` that is `high`. NaN stays NaN.
    Clip = "clip", Numbers, |e, x, low, high| {
        let above = e.binary(Binary::Max, x, low);
        e.binary(Binary::Min, above, high)
    },
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
