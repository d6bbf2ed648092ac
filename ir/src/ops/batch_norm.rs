//! Normalisation of each channel by numbers of a whole data set.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{add, add_number, cast, div, mean, mul, per_channel, reshape, scale, sub};
use crate::ops::{Arg, Arity, Domain, Input, OpDef, Sample, Tolerance, sqrt::Sqrt};
use crate::shape::TensorType;

op! {
    /// `batch_norm(x, factor, shift, mean, variance)`: `y = (x - mean) / sqrt(variance + epsilon) * factor + shift`, one of
    /// each number per channel (axis 1 of `x`). Narrow floats are computed in f32. With `momentum`, mean and variance
    /// are those of `x` itself, and the operands' means and variances follow them: the second and third result are
    /// `old * momentum + new * (1 - momentum)`. Source: Ioffe and Szegedy, arXiv 1502.03167; ONNX `BatchNormalization`.
    pub struct BatchNorm = "batch_norm" {
        /// Added to the variance.
        pub epsilon: f64,
        /// In training: how slowly mean and variance follow.
        pub momentum: Option<f64>,
    }
}

impl OpDef for BatchNorm {
    derived!();
    fn arity(&self) -> Arity {
        5..=5
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        if self.momentum.is_some() { vec![args[0], args[3], args[4]] } else { vec![args[0]] }
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let x = args[0].ty;
        let dims = x.dims()?;
        let channel = dims.get(1);
        for arg in &args[1..] {
            let fits = arg.ty.shape.dims().is_none_or(|d| d.len() == 1 && channel.is_none_or(|c| c.may_equal(&d[0])));
            if !fits || !arg.ty.dtype.is_float() || !x.dtype.is_float() {
                return Err(OpError::invalid(format!("'batch_norm' of {x} by {}", arg.ty)));
            }
        }
        let mut types = vec![x.clone()];
        if self.momentum.is_some() {
            types.extend([args[3].ty.clone(), args[4].ty.clone()]);
        }
        Ok(types)
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let dtype = b.dtype(inputs[0]);
        let wide = dtype.accumulator();
        let rank = b.rank(inputs[0])?;
        let x = cast(b, inputs[0], wide)?;
        let (factor, shift) = (cast(b, inputs[1], wide)?, cast(b, inputs[2], wide)?);
        let (mut average, mut variance) = (cast(b, inputs[3], wide)?, cast(b, inputs[4], wide)?);
        let mut followed = Vec::new();
        if let Some(momentum) = self.momentum {
            let axes: Vec<usize> = (0..rank).filter(|k| *k != 1).collect();
            let channels = b.extents(inputs[1])?;
            let center = mean(b, x, &axes)?;
            let off = sub(b, x, center)?;
            let squares = mul(b, off, off)?;
            let spread = mean(b, squares, &axes)?;
            let new = [reshape(b, center, &channels)?, reshape(b, spread, &channels)?];
            for ((old, new), input) in [average, variance].into_iter().zip(new).zip(&inputs[3..]) {
                let (a, c) = (scale(b, old, momentum)?, scale(b, new, 1.0 - momentum)?);
                let sum = add(b, a, c)?;
                let to = b.dtype(*input);
                followed.push(cast(b, sum, to)?);
            }
            [average, variance] = new;
        }
        let raised = add_number(b, variance, self.epsilon)?;
        let deviation = b.apply(Sqrt {}, &[raised])?;
        let factor = div(b, factor, deviation)?;
        let moved = mul(b, average, factor)?;
        let shift = sub(b, shift, moved)?;
        let (factor, shift) = (per_channel(b, factor, rank)?, per_channel(b, shift, rank)?);
        let scaled = mul(b, x, factor)?;
        let y = add(b, scaled, shift)?;
        let mut results = vec![cast(b, y, dtype)?];
        results.extend(followed);
        Ok(results)
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 64.0)
    }
}

impl BatchNorm {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |momentum, dtype, x: &[i64]| {
            let per = |domain| Input::Drawn(dtype, vec![x[1]], domain);
            Sample {
                op: BatchNorm { epsilon: 1e-5, momentum }.into(),
                inputs: vec![Input::Drawn(dtype, x.to_vec(), Domain::Ordinary), per(Domain::Ordinary), per(Domain::Ordinary), per(Domain::Ordinary), per(Domain::Between(0.5, 2.0))],
            }
        };
        vec![sample(None, DType::F32, &[2, 3, 4, 5]), sample(None, DType::F16, &[2, 3, 7]), sample(Some(0.9), DType::F32, &[3, 5, 6]), sample(None, DType::F32, &[4, 3])]
    }
}
