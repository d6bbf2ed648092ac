//! Normalisation of groups of channels.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{add, add_number, broadcast, cast, div, mean, mul, per_channel, reshape, sub};
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance, sqrt::Sqrt};
use crate::shape::{Dim, TensorType};

op! {
    /// `group_norm(x, factor, shift)`: the channels (axis 1) of `x` make `groups` groups of neighbours; each group of each
    /// sample is made to have mean 0 and variance 1, then multiplied by `factor` and raised by `shift`, one number of each
    /// per channel (or, `per_group`, per group). Mean and variance are computed in dtype `stash`.
    /// Source: Wu and He, arXiv 1803.08494; ONNX `GroupNormalization`, and with one channel to a group `InstanceNormalization`.
    pub struct GroupNorm = "group_norm" {
        /// Number of groups; 0 stands for one per channel.
        pub groups: i64,
        /// Added to the variance.
        pub epsilon: f64,
        /// Are factor and shift one number per group?
        pub per_group: bool,
        /// The dtype that mean and variance are computed in.
        pub stash: DType,
    }
}

impl OpDef for GroupNorm {
    derived!();
    fn arity(&self) -> Arity {
        3..=3
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let x = args[0].ty;
        let dims = x.dims()?;
        let fits = self.groups >= 0 && dims.get(1).is_some_and(|c| c.known().is_none_or(|c| self.groups == 0 || c % self.groups == 0));
        let wanted = if self.per_group { Some(Dim::Known(self.groups)) } else { dims.get(1).cloned() };
        let numbers = args[1..].iter().all(|arg| {
            arg.ty.dtype == x.dtype && arg.ty.shape.dims().is_none_or(|d| d.len() == 1 && wanted.as_ref().is_none_or(|w| w.may_equal(&d[0])))
        });
        if !fits || !numbers || !x.dtype.is_float() {
            return Err(OpError::invalid(format!("'group_norm' of {x} in {} groups by {} and {}", self.groups, args[1].ty, args[2].ty)));
        }
        Ok(vec![x.clone()])
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let (dtype, extents) = (b.dtype(inputs[0]), b.extents(inputs[0])?);
        let (batch, channels) = (extents[0], extents[1]);
        let groups = if self.groups == 0 { channels } else { self.groups };
        let size = channels.checked_div(groups).unwrap_or(0);
        let mut split = vec![batch, groups, size];
        split.extend_from_slice(&extents[2..]);
        let axes: Vec<usize> = (2..split.len()).collect();
        let x = reshape(b, inputs[0], &split)?;
        let x = cast(b, x, self.stash)?;
        let center = mean(b, x, &axes)?;
        let off = sub(b, x, center)?;
        let squares = mul(b, off, off)?;
        let variance = mean(b, squares, &axes)?;
        let raised = add_number(b, variance, self.epsilon)?;
        let deviation = b.apply(Sqrt {}, &[raised])?;
        let normal = div(b, off, deviation)?;
        let normal = cast(b, normal, dtype)?;
        let mut y = reshape(b, normal, &extents)?;
        for (k, input) in inputs[1..].iter().enumerate() {
            let mut numbers = *input;
            if self.per_group {
                numbers = reshape(b, numbers, &[groups, 1])?;
                numbers = broadcast(b, numbers, &[groups, size])?;
                numbers = reshape(b, numbers, &[channels])?;
            }
            numbers = per_channel(b, numbers, extents.len())?;
            y = if k == 0 { mul(b, y, numbers)? } else { add(b, y, numbers)? };
        }
        Ok(vec![y])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 64.0)
    }
}

impl GroupNorm {
    pub(crate) fn samples() -> Vec<Sample> {
        let op = |groups, per_group| GroupNorm { groups, epsilon: 1e-5, per_group, stash: DType::F32 };
        let f = DType::F32;
        vec![
            Sample::drawn(op(2, false), Domain::Ordinary, &[(f, &[3, 4, 5, 2]), (f, &[4]), (f, &[4])]),
            Sample::drawn(op(2, true), Domain::Ordinary, &[(f, &[3, 4, 7]), (f, &[2]), (f, &[2])]),
            Sample::drawn(op(0, false), Domain::Ordinary, &[(f, &[2, 3, 5, 5]), (f, &[3]), (f, &[3])]),
        ]
    }
}
