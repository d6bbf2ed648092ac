//! Products of matrices whose elements are pairs of bf16.
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::{Arg, Arity, Body, OpDef, Sample, Tolerance, matmul::MatMul, pair};
use crate::scalar::Binary;
use crate::shape::TensorType;
use crate::tensor::Tensor;

op! {
    /// `y[b.., m, n] = sum over k of dot_pairs(a[b.., m, k], b[b.., k, n])` in f32, where the elements of both are pairs as
    /// [`pair`](crate::ops::pair::Pair) makes them along `k`: subnormal ones count as zero. Shapes are those of `matmul`.
    pub struct MatMulPairs = "matmul_pairs" {}
}

impl OpDef for MatMulPairs {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![DType::F32]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if args.iter().any(|arg| arg.ty.dtype != DType::I32) {
            return Err(OpError::invalid(format!("'matmul_pairs' of {} and {}", args[0].ty, args[1].ty)));
        }
        let types = MatMul {}.infer(args)?;
        Ok(types.into_iter().map(|ty| TensorType::new(DType::F32, ty.shape)).collect())
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Loops(vec![MatMul {}.nest(args, DType::F32, |e, x, y| e.binary(Binary::DotPairs, x, y))?]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let [a, b] = [pair::apart(inputs[0], inputs[0].extents().len() - 1)?, pair::apart(inputs[1], inputs[1].extents().len() - 2)?];
        MatMul {}.eval(&[&a, &b])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        MatMul {}.tolerance(dtype)
    }
}

impl MatMulPairs {
    pub(crate) fn samples() -> Vec<Sample> {
        [(&[3i64, 5][..], &[5i64, 7][..]), (&[19, 31], &[31, 50]), (&[2, 3, 4, 5], &[3, 5, 6]), (&[1, 64], &[64, 33]), (&[3, 0], &[0, 4]), (&[1, 1], &[1, 1])]
            .into_iter()
            .map(|(a, b)| Sample { op: MatMulPairs {}.into(), inputs: [a, b].map(pair::drawn).to_vec() })
            .collect()
    }
}
