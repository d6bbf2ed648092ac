//! Input times the hyperbolic tangent of its softplus.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::{Binary, Unary};

elementwise! {
    /// `y = x * tanh(ln(1 + e^x))`. Source: arXiv:1908.08681.
    Mish = "mish", Floats, |e, x| wide(e, x, |e, x| {
        let d = e.dtype(x);
        let size = e.unary(Unary::Abs, x);
        let minus = e.unary(Unary::Neg, size);
        let power = e.unary(Unary::Exp, minus);
        let log = e.unary(Unary::Log1p, power);
        let zero = e.float(0.0, d);
        let above = e.binary(Binary::Max, x, zero);
        let soft = e.add(above, log);
        let gate = e.unary(Unary::Tanh, soft);
        e.mul(x, gate)
    }),
    // Four functions in a row, each with a few roundings.
    tolerance: |d| Tolerance::sum(d, 4.0),
    domain: Domain::Any,
}
