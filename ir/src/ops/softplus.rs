//! Smooth rectifier.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::{Binary, Unary};

elementwise! {
    /// `y = ln(e^x + 1)`, computed as `max(x, 0) + ln(1 + e^-|x|)`, which does not overflow.
    Softplus = "softplus", Floats, |e, x| wide(e, x, |e, x| {
        let d = e.dtype(x);
        let size = e.unary(Unary::Abs, x);
        let minus = e.unary(Unary::Neg, size);
        let power = e.unary(Unary::Exp, minus);
        let log = e.unary(Unary::Log1p, power);
        let zero = e.float(0.0, d);
        let above = e.binary(Binary::Max, x, zero);
        e.add(above, log)
    }),
    // An exponential, a logarithm and a sum of terms of one sign.
    tolerance: |d| Tolerance::ulps(16.0, d),
    domain: Domain::Any,
}
