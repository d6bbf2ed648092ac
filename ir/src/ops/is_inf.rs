//! Is it infinite?
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// A bool: is x an infinity of a sign that is asked for?
    IsInf = "is_inf" {
        /// Does negative infinity count?
        pub negative: bool = true,
        /// Does positive infinity count?
        pub positive: bool = false,
    }, Floats -> bool, |e, x| {
        // In a type without infinities nothing compares equal to one.
        let d = e.dtype(x).accumulator();
        let x = e.cast(d, x);
        let (low, high) = (e.float(f64::NEG_INFINITY, d), e.float(f64::INFINITY, d));
        let (is_low, is_high) = (e.binary(Binary::Eq, x, low), e.binary(Binary::Eq, x, high));
        let never = e.constant(crate::scalar::Scalar::Bool(false), crate::dtype::DType::Bool);
        let below = if *negative { is_low } else { never };
        let above = if *positive { is_high } else { never };
        e.binary(Binary::Or, below, above)
    },
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
