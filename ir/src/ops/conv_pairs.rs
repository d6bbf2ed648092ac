//! Convolution of channels that are pairs of bf16.
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::{Arg, Arity, Body, OpDef, Sample, Tolerance, conv::Conv, pair};
use crate::scalar::Binary;
use crate::shape::TensorType;
use crate::tensor::Tensor;

op! {
    /// `y[n, o, p..] = sum over c, k.. of dot_pairs(x[n, g*C/groups + c, p*strides + k*dilations..], w[o, c, k..])` in f32, as `conv`
    /// without margins. The elements of both are pairs as [`pair`](crate::ops::pair::Pair) makes them along the channels: subnormal ones
    /// count as zero.
    pub struct ConvPairs = "conv_pairs" {
        /// Distance between windows, per spatial axis.
        pub strides: Vec<i64>,
        /// Distance between a window's elements, per spatial axis.
        pub dilations: Vec<i64>,
        /// Number of groups of channels that are convolved apart.
        pub groups: i64,
    }
}

impl ConvPairs {
    fn conv(&self) -> Conv {
        let zeros = vec![0; self.strides.len()];
        Conv { strides: self.strides.clone(), dilations: self.dilations.clone(), before: zeros.clone(), after: zeros, groups: self.groups }
    }
}

impl OpDef for ConvPairs {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![DType::F32]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if args.iter().any(|arg| arg.ty.dtype != DType::I32) {
            return Err(OpError::invalid(format!("'conv_pairs' of {} and {}", args[0].ty, args[1].ty)));
        }
        let types = self.conv().infer(args)?;
        Ok(types.into_iter().map(|ty| TensorType::new(DType::F32, ty.shape)).collect())
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Loops(vec![self.conv().nest(args, DType::F32, |e, x, w| e.binary(Binary::DotPairs, x, w))?]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let [x, w] = [pair::apart(inputs[0], 1)?, pair::apart(inputs[1], 1)?];
        self.conv().eval(&[&x, &w])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        self.conv().tolerance(dtype)
    }
}

impl ConvPairs {
    pub(crate) fn samples() -> Vec<Sample> {
        let conv = |strides: &[i64], dilations: &[i64], groups| ConvPairs { strides: strides.into(), dilations: dilations.into(), groups };
        [
            (conv(&[1, 1], &[1, 1], 1), &[1i64, 3, 9, 11][..], &[8i64, 3, 3, 3][..]),
            (conv(&[1, 1], &[1, 1], 1), &[1, 16, 7, 7], &[24, 16, 1, 1]),
            (conv(&[2, 1], &[1, 2], 2), &[1, 4, 9, 9], &[6, 2, 3, 3]),
            (conv(&[1], &[3], 1), &[1, 4, 40], &[5, 4, 5]),
        ]
        .into_iter()
        .map(|(op, x, w)| Sample { op: op.into(), inputs: [x, w].map(pair::drawn).to_vec() })
        .collect()
    }
}
