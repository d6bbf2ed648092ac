//! Algebraic sigmoid.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::{Binary, Unary};

elementwise! {
    /// `y = x / (1 + |x|)`.
    Softsign = "softsign", Floats, |e, x| wide(e, x, |e, x| {
        let d = e.dtype(x);
        let size = e.unary(Unary::Abs, x);
        let one = e.float(1.0, d);
        let sum = e.add(one, size);
        e.binary(Binary::Div, x, sum)
    }),
    // One sum and one quotient.
    tolerance: |d| Tolerance::ulps(1.0, d),
    domain: Domain::Any,
}
