//! Values near zero become zero, others move towards it.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `y = x + bias` where `x < -lambda`, `x - bias` where `x > lambda`, else 0.
    Shrink = "shrink" {
        /// Half the width of what becomes zero.
        pub lambda: f64 = 0.5,
        /// How far the rest moves.
        pub bias: f64 = 0.25,
    }, Floats, |e, x| wide(e, x, |e, x| {
        let d = e.dtype(x);
        let zero = e.float(0.0, d);
        let (low, high, bias) = (e.float(-*lambda, d), e.float(*lambda, d), e.float(*bias, d));
        let (below, above) = (e.binary(Binary::Lt, x, low), e.binary(Binary::Lt, high, x));
        let (raised, lowered) = (e.add(x, bias), e.sub(x, bias));
        let rest = e.select(above, lowered, zero);
        e.select(below, raised, rest)
    }),
    // One sum, rounded to the dtype.
    tolerance: |d| Tolerance::ulps(1.0, d),
    domain: Domain::Any,
}
