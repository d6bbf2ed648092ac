//! Rectifier that lets a little through below zero.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `y = x` where `x >= 0`, else `alpha * x`.
    LeakyRelu = "leaky_relu" {
        /// Slope below zero.
        pub alpha: f64 = 0.01,
    }, Floats, |e, x| wide(e, x, |e, x| {
        let d = e.dtype(x);
        let zero = e.float(0.0, d);
        let below = e.binary(Binary::Lt, x, zero);
        let alpha = e.float(*alpha, d);
        let scaled = e.mul(alpha, x);
        e.select(below, scaled, x)
    }),
    // One product, rounded to the dtype.
    tolerance: |d| Tolerance::ulps(1.0, d),
    domain: Domain::Any,
}
