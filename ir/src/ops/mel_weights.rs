//! Weights that turn a spectrum into mel bands.
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::{Arg, Arity, Body, Input, OpDef, Sample, Tolerance};
use crate::scalar::Scalar;
use crate::shape::{Dim, TensorType};
use crate::tensor::Tensor;

op! {
    /// `mel_weights(bands, dft_length, sample_rate, lowest, highest)`: a matrix `[dft_length / 2 + 1, bands]` of triangles
    /// whose corners lie at equal distances on the scale `2595 * log10(1 + f / 700)` between two frequencies. All operands
    /// are single numbers. Source: ONNX `MelWeightMatrix`.
    pub struct MelWeights = "mel_weights" {
        /// Dtype of the result.
        pub dtype: DType,
    }
}

fn one(tensor: &Tensor) -> Result<Scalar, OpError> {
    if tensor.elems() == 1 { Ok(tensor.get(0)) } else { Err(OpError::invalid(format!("'mel_weights' takes single numbers, not {}", tensor.ty()))) }
}

impl OpDef for MelWeights {
    derived!();
    fn arity(&self) -> Arity {
        5..=5
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![self.dtype]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let known = |at: usize| args[at].value.map(one).transpose().map(|value| value.map(|n| n.as_int() as i64));
        if [known(0)?, known(1)?].iter().flatten().any(|n| *n < 0) {
            return Err(OpError::invalid("mel weights for a negative number of bands or bins"));
        }
        let bins = known(1)?.map_or(Dim::Unknown, |n| Dim::Known(n / 2 + 1));
        let bands = known(0)?.map_or(Dim::Unknown, Dim::Known);
        Ok(vec![TensorType::ranked(self.dtype, vec![bins, bands])])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let [bands, length, rate] = [one(inputs[0])?, one(inputs[1])?, one(inputs[2])?].map(|n| n.as_int() as i64);
        let [low, high] = [one(inputs[3])?, one(inputs[4])?].map(|f| 2595.0 * (1.0 + f.as_f64() / 700.0).log10());
        if bands < 0 || length < 0 || rate < 1 {
            return Err(OpError::invalid(format!("mel weights for {bands} bands, transforms of {length} and a rate of {rate}")));
        }
        // The step is that of ONNX's definition: the range over the number of corners, not of gaps.
        let step = (high - low) / (bands as f64 + 2.0);
        let corner = |k: i64| {
            let frequency = 700.0 * (10f64.powf((k as f64 * step + low) / 2595.0) - 1.0);
            ((length as f64 + 1.0) * frequency / rate as f64).floor()
        };
        let weight = |bin: i64, band: i64| {
            let (bin, left, centre, right) = (bin as f64, corner(band), corner(band + 1), corner(band + 2));
            if centre <= bin && bin < right {
                (right - bin) / (right - centre)
            } else if bin == centre && centre == left {
                1.0
            } else if left <= bin && bin <= centre {
                (bin - left) / (centre - left)
            } else {
                0.0
            }
        };
        let bins = length / 2 + 1;
        let weights = (0..bins).flat_map(|bin| (0..bands).map(move |band| (bin, band))).map(|(bin, band)| Scalar::Float(weight(bin, band)));
        Ok(vec![Tensor::from_scalars(self.dtype, &[bins, bands], weights)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        // One quotient of small integers.
        Tolerance::ulps(1.0, dtype)
    }
}

impl MelWeights {
    pub(crate) fn samples() -> Vec<Sample> {
        let int = |n: i32| Input::Constant(Tensor::from_slice(&[], &[n]));
        let float = |x: f32| Input::Constant(Tensor::from_slice(&[], &[x]));
        vec![Sample { op: MelWeights { dtype: DType::F32 }.into(), inputs: vec![int(8), int(16), int(8192), float(0.0), float(4096.0)] }]
    }
}
