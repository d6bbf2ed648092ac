//! A scaled product of two matrices plus a third.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{add, scale, transpose};
use crate::ops::{Arity, Domain, OpDef, Sample, Tolerance, matmul::MatMul};

op! {
    /// `gemm(a, b, c?) = alpha * a' b' + beta * c`, where `'` transposes if so said and `c` is broadcast.
    /// Source: BLAS, ONNX `Gemm`.
    pub struct Gemm = "gemm" {
        /// Factor of the product.
        pub alpha: f64,
        /// Factor of `c`.
        pub beta: f64,
        /// Is `a` transposed?
        pub trans_a: bool,
        /// Is `b` transposed?
        pub trans_b: bool,
    }
}

impl OpDef for Gemm {
    derived!();
    fn arity(&self) -> Arity {
        2..=3
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        if b.rank(inputs[0])? != 2 || b.rank(inputs[1])? != 2 {
            return Err(OpError::invalid(format!("'gemm' multiplies matrices, not {} by {}", b.ty(inputs[0]), b.ty(inputs[1]))));
        }
        let left = if self.trans_a { transpose(b, inputs[0], &[1, 0])? } else { inputs[0] };
        let right = if self.trans_b { transpose(b, inputs[1], &[1, 0])? } else { inputs[1] };
        let product = b.apply(MatMul {}, &[left, right])?;
        let mut y = scale(b, product, self.alpha)?;
        if let Some(c) = inputs.get(2) {
            let c = scale(b, *c, self.beta)?;
            y = add(b, y, c)?;
        }
        Ok(vec![y])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl Gemm {
    pub(crate) fn samples() -> Vec<Sample> {
        let f = DType::F32;
        vec![
            Sample::drawn(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true }, Domain::Ordinary, &[(f, &[3, 5]), (f, &[7, 5]), (f, &[7])]),
            Sample::drawn(Gemm { alpha: 0.5, beta: 2.0, trans_a: true, trans_b: false }, Domain::Ordinary, &[(f, &[5, 3]), (f, &[5, 7]), (f, &[3, 1])]),
            Sample::drawn(Gemm { alpha: 2.0, beta: 1.0, trans_a: false, trans_b: false }, Domain::Ordinary, &[(f, &[3, 5]), (f, &[5, 7])]),
        ]
    }
}
