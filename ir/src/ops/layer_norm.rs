//! Normalisation along the last axes.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{add, add_number, cast, div, mean, mul, sub};
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance, sqrt::Sqrt};
use crate::shape::{Dim, TensorType, axis, fits};

op! {
    /// `layer_norm(x, factor, shift?)`: `y = (x - mean) / sqrt(variance + epsilon) * factor + shift`, with mean and
    /// variance over the axes from `axis` on; factor and shift broadcast. Results: `y`, the mean, and
    /// `1 / sqrt(variance + epsilon)`, the latter two with extent 1 along those axes and in dtype `stash`, in which all but
    /// the last two steps are computed. Source: Ba, Kiros and Hinton, arXiv 1607.06450; ONNX `LayerNormalization`.
    pub struct LayerNorm = "layer_norm" {
        /// The first axis; negative counts from the end.
        pub axis: i64,
        /// Added to the variance.
        pub epsilon: f64,
        /// The dtype that mean and variance are computed in.
        pub stash: DType,
    }
}

impl OpDef for LayerNorm {
    derived!();
    fn arity(&self) -> Arity {
        2..=3
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        vec![args[0], self.stash, self.stash]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let x = args[0].ty;
        let mut dims = x.dims()?.to_vec();
        let first = axis(self.axis, dims.len())?;
        if !x.dtype.is_float() || args[1..].iter().any(|arg| arg.ty.dtype != x.dtype) {
            return Err(OpError::invalid(format!("'layer_norm' of {x} by {}", args[1].ty)));
        }
        for arg in &args[1..] {
            fits(arg.ty, x)?;
        }
        dims[first..].fill(Dim::Known(1));
        let stashed = TensorType::ranked(self.stash, dims);
        Ok(vec![x.clone(), stashed.clone(), stashed])
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let dtype = b.dtype(inputs[0]);
        let rank = b.rank(inputs[0])?;
        let axes: Vec<usize> = (axis(self.axis, rank)?..rank).collect();
        let x = cast(b, inputs[0], self.stash)?;
        let center = mean(b, x, &axes)?;
        let off = sub(b, x, center)?;
        let squares = mul(b, off, off)?;
        let variance = mean(b, squares, &axes)?;
        let raised = add_number(b, variance, self.epsilon)?;
        let deviation = b.apply(Sqrt {}, &[raised])?;
        let one = b.scalar(self.stash, 1.0);
        let inverse = div(b, one, deviation)?;
        let normal = mul(b, off, inverse)?;
        let normal = cast(b, normal, dtype)?;
        let mut y = mul(b, normal, inputs[1])?;
        if let Some(shift) = inputs.get(2) {
            y = add(b, y, *shift)?;
        }
        Ok(vec![y, center, inverse])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 64.0)
    }
}

impl LayerNorm {
    pub(crate) fn samples() -> Vec<Sample> {
        let op = |axis| LayerNorm { axis, epsilon: 1e-5, stash: DType::F32 };
        let (f, h) = (DType::F32, DType::F16);
        vec![
            Sample::drawn(op(-1), Domain::Ordinary, &[(f, &[2, 3, 33]), (f, &[33]), (f, &[33])]),
            Sample::drawn(op(1), Domain::Ordinary, &[(f, &[2, 3, 5]), (f, &[3, 5])]),
            Sample::drawn(op(-1), Domain::Ordinary, &[(h, &[4, 8]), (h, &[8]), (h, &[8])]),
        ]
    }
}
