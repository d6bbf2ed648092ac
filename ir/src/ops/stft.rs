//! Short-time Fourier transforms.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::cosine_window_by::number;
use crate::ops::{Arity, Domain, Input, OpDef, Sample, Tolerance};
use crate::ops::{dft::Dft, frames::Frames, mul::Mul, reshape::Reshape};
use crate::tensor::Tensor;

op! {
    /// `stft(x, step, length, window?)`: the transforms `[b, frame, bin, 2]` of the pieces of a signal `[b, n, 1 or 2]`
    /// that are `length` long and begin every `step` elements, each multiplied by the window. Source: ONNX `STFT`.
    pub struct Stft = "stft" {
        /// Only the first half of the bins, and the one in the middle?
        pub onesided: bool,
    }
}

impl OpDef for Stft {
    derived!();
    fn arity(&self) -> Arity {
        3..=4
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let (step, length) = (number(b, inputs[1])?, number(b, inputs[2])?);
        let mut signal = inputs[0];
        if b.rank(signal)? == 2 {
            let extents = b.extents(signal)?.into_iter().chain([1]).collect();
            signal = b.apply(Reshape { extents }, &[signal])?;
        }
        let mut pieces = b.apply(Frames { length, step }, &[signal])?;
        if let Some(window) = inputs.get(3) {
            let column = b.apply(Reshape { extents: vec![length, 1] }, &[*window])?;
            pieces = b.apply(Mul {}, &[pieces, column])?;
        }
        Ok(vec![b.apply(Dft { axis: 2, length, inverse: false, onesided: self.onesided }, &[pieces])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 64.0)
    }
}

impl Stft {
    pub(crate) fn samples() -> Vec<Sample> {
        let number = |n: i64| Input::Constant(Tensor::from_slice(&[], &[n]));
        let drawn = |extents: &[i64]| Input::Drawn(DType::F32, extents.to_vec(), Domain::Ordinary);
        vec![
            Sample { op: Stft { onesided: true }.into(), inputs: vec![drawn(&[2, 64, 1]), number(8), number(16)] },
            Sample { op: Stft { onesided: false }.into(), inputs: vec![drawn(&[1, 40, 2]), number(5), number(9), drawn(&[9])] },
        ]
    }
}
