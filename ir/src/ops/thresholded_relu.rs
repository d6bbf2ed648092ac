//! Rectifier with another threshold than zero.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::Binary;

elementwise! {
    /// `y = x` where `x > alpha`, else 0. Source: arXiv:1402.3337.
    ThresholdedRelu = "thresholded_relu" {
        /// The threshold.
        pub alpha: f64 = 1.0,
    }, Floats, |e, x| wide(e, x, |e, x| {
        let d = e.dtype(x);
        let alpha = e.float(*alpha, d);
        let above = e.binary(Binary::Lt, alpha, x);
        let zero = e.float(0.0, d);
        e.select(above, x, zero)
    }),
    // Nothing is rounded.
    tolerance: |d| Tolerance::ulps(0.0, d),
    domain: Domain::Any,
}
