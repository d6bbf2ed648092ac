//! Depthwise convolution over time that looks back only, with the past as an operand.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{add, cast, mul, per_channel, slice};
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance};
use crate::ops::{concat::Concat, conv::Conv, pad::Pad, sigmoid::Sigmoid};
use crate::scalar::Scalar;
use crate::shape::{Dim, TensorType};

op! {
    /// `causal_conv(x, w, bias?, past?)`: each channel of `x` `[batch, channels, time]`, with the past (`[batch, channels,
    /// k-1]`, or zeros) before it, is convolved with its own row of `w` `[channels, 1, k]`; with `silu` each result `y` becomes
    /// `y * sigmoid(y)`, computed in f32. Results: `y` with `x`'s shape, and the last `k-1` elements of past and `x`.
    /// Source: ONNX `CausalConvWithState`.
    pub struct CausalConv = "causal_conv" {
        /// Is the result multiplied with its sigmoid?
        pub silu: bool,
        /// Is `bias` there?
        pub has_bias: bool,
        /// Is `past` there?
        pub has_past: bool,
    }
}

impl OpDef for CausalConv {
    derived!();
    fn arity(&self) -> Arity {
        let n = 2 + usize::from(self.has_bias) + usize::from(self.has_past);
        n..=n
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        vec![args[0]; 2]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, w) = (args[0].ty, args[1].ty);
        let (dx, dw) = (x.dims()?, w.dims()?);
        if dx.len() != 3 || dw.len() != 3 || x.dtype != w.dtype || !dx[1].may_equal(&dw[0]) || dw[2].known() == Some(0) {
            return Err(OpError::invalid(format!("'causal_conv' of {x} with weights {w}")));
        }
        let state = TensorType::ranked(x.dtype, vec![dx[0].clone(), dx[1].clone(), dw[2].minus(&Dim::Known(1))]);
        Ok(vec![x.clone(), state])
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let dtype = b.dtype(inputs[0]);
        let (&[_, channels, time], &[_, _, width]) = (&b.extents(inputs[0])?[..], &b.extents(inputs[1])?[..]) else {
            return Err(OpError::invalid("'causal_conv' takes tensors of three axes"));
        };
        let whole = if self.has_past {
            b.apply(Concat { axis: 2 }, &[inputs[inputs.len() - 1], inputs[0]])?
        } else {
            b.apply(Pad { before: vec![0, 0, width - 1], after: vec![0; 3], value: Scalar::zero(dtype) }, &inputs[..1])?
        };
        let conv = Conv { strides: vec![1], dilations: vec![1], before: vec![0], after: vec![0], groups: channels };
        let mut y = b.apply(conv, &[whole, inputs[1]])?;
        if self.has_bias {
            let bias = per_channel(b, inputs[2], 3)?;
            y = add(b, y, bias)?;
        }
        if self.silu {
            let wide = cast(b, y, dtype.accumulator())?;
            let gate = b.apply(Sigmoid {}, &[wide])?;
            let product = mul(b, wide, gate)?;
            y = cast(b, product, dtype)?;
        }
        Ok(vec![y, slice(b, whole, 2, time, width - 1, 1)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl CausalConv {
    pub(crate) fn samples() -> Vec<Sample> {
        let f = DType::F32;
        vec![
            Sample::drawn(CausalConv { silu: true, has_bias: true, has_past: true }, Domain::Ordinary, &[(f, &[2, 3, 7]), (f, &[3, 1, 4]), (f, &[3]), (f, &[2, 3, 3])]),
            Sample::drawn(CausalConv { silu: false, has_bias: false, has_past: false }, Domain::Ordinary, &[(f, &[2, 3, 2]), (f, &[3, 1, 4])]),
        ]
    }
}
