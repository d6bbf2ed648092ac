//! Piecewise quadratic swish.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `y = x * max(0, min(1, x / 6 + 1/2))`. Source: arXiv:1905.02244.
    HardSwish = "hard_swish", Floats, |e, x| wide(e, x, |e, x| {
        let d = e.dtype(x);
        let (sixth, half) = (e.float(1.0 / 6.0, d), e.float(0.5, d));
        let scaled = e.mul(sixth, x);
        let line = e.add(scaled, half);
        let (zero, one) = (e.float(0.0, d), e.float(1.0, d));
        let low = e.binary(Binary::Min, one, line);
        let gate = e.binary(Binary::Max, zero, low);
        e.mul(x, gate)
    }),
    // The result is a small difference of larger terms close to a zero.
    tolerance: |d| Tolerance::sum(d, 4.0),
    domain: Domain::Any,
}
