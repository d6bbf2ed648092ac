//! Rectifier whose slope below zero is an operand.
use crate::ops::{Domain, Tolerance};
use crate::scalar::{Binary, Scalar};

elementwise! {
    /// `prelu(x, slope) = x` where `x >= 0`, else `slope * x`. Source: arXiv:1502.01852.
    Prelu = "prelu", Numbers, |e, x, slope| {
        let dtype = e.dtype(x);
        let zero = e.constant(Scalar::Int(0), dtype);
        let below = e.binary(Binary::Lt, x, zero);
        let scaled = e.mul(slope, x);
        e.select(below, scaled, x)
    },
    tolerance: |_d| Tolerance::EXACT,
    domain: Domain::Any,
}
