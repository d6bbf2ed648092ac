//! Piecewise linear sigmoid.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `y = max(0, min(1, alpha * x + beta))`.
    HardSigmoid = "hard_sigmoid" {
        /// Slope.
        pub alpha: f64 = 0.2,
        /// Value at zero.
        pub beta: f64 = 0.5,
    }, Floats, |e, x| wide(e, x, |e, x| {
        let d = e.dtype(x);
        let (alpha, beta) = (e.float(*alpha, d), e.float(*beta, d));
        let scaled = e.mul(alpha, x);
        let line = e.add(scaled, beta);
        let (zero, one) = (e.float(0.0, d), e.float(1.0, d));
        let low = e.binary(Binary::Min, one, line);
        e.binary(Binary::Max, zero, low)
    }),
    // The result is a small difference of larger terms close to a zero.
    tolerance: |d| Tolerance::sum(d, 4.0),
    domain: Domain::Any,
}
