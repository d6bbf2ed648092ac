//! Padding by numbers that are operands.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::attr::attr_enum;
use crate::ops::extend::{Extend, Margin};
use crate::ops::pad::Pad;
use crate::ops::{Arg, Arity, Domain, Input, OpDef, Sample, infer_parameters};
use crate::scalar::Scalar;
use crate::shape::{Dim, TensorType, axis};
use crate::tensor::Tensor;

attr_enum! {
    /// What stands outside the bounds.
    pub enum PadMode {
        /// One value.
        Constant = "constant",
        /// The nearest element.
        Edge = "edge",
        /// The elements mirrored, the outermost not repeated.
        Reflect = "reflect",
        /// The elements from the other end.
        Wrap = "wrap",
    }
}

op! {
    /// `pad_by(x, pads, value, axes)`: `x` with a margin along each of `axes`; `pads` holds the numbers of elements
    /// in front of each of them, then those behind; negative ones cut off, before anything is added. Without `value`
    /// (one element) zero, without `axes` all of them. Source: ONNX `Pad`.
    pub struct PadBy = "pad_by" {
        /// What the margin holds.
        pub mode: PadMode,
    }
}

impl OpDef for PadBy {
    derived!();
    fn arity(&self) -> Arity {
        2..=4
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        infer_parameters(self, args, || {
            let dims = args[0].ty.dims()?;
            let padded: Option<Vec<usize>> = args.get(3).and_then(Arg::ints).map(|axes| axes.iter().map(|k| axis(*k, dims.len())).collect::<Result<_, _>>()).transpose()?;
            Ok(dims.iter().enumerate().map(|(k, dim)| if padded.as_ref().is_some_and(|padded| !padded.contains(&k)) { dim.clone() } else { Dim::Unknown }).collect())
        })
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let rank = b.rank(inputs[0])?;
        let pads = b.as_ints(inputs[1])?;
        let axes = match inputs.get(3) {
            Some(axes) => b.as_ints(*axes)?,
            None => (0..rank as i64).collect(),
        };
        if pads.len() != 2 * axes.len() {
            return Err(OpError::invalid(format!("'pad_by' takes two numbers for each of {} axes, not {}", axes.len(), pads.len())));
        }
        if let Some(huge) = pads.iter().find(|n| n.unsigned_abs() > 1 << 48) {
            return Err(OpError::invalid(format!("'pad_by' adds {huge} elements")));
        }
        let (mut before, mut after) = (vec![0i64; rank], vec![0i64; rank]);
        for (k, named) in axes.iter().enumerate() {
            let at = axis(*named, rank)?;
            before[at] = pads[k];
            after[at] = pads[axes.len() + k];
        }
        let margin = match self.mode {
            PadMode::Constant => {
                let value = match inputs.get(2) {
                    None => Scalar::zero(b.dtype(inputs[0])),
                    Some(value) => {
                        let tensor = b.as_constant(*value).ok_or_else(OpError::unknown)?;
                        tensor.scalars().next().ok_or_else(|| OpError::invalid("'pad_by' pads with an empty tensor"))?
                    }
                };
                return Ok(vec![b.apply(Pad { before, after, value }, &inputs[..1])?]);
            }
            PadMode::Edge => Margin::Edge,
            PadMode::Reflect => Margin::Reflect,
            PadMode::Wrap => Margin::Wrap,
        };
        let mut x = inputs[0];
        if before.iter().chain(&after).any(|n| *n < 0) {
            let cut = |list: &mut Vec<i64>| list.iter_mut().map(|n| std::mem::replace(n, (*n).max(0)).min(0)).collect();
            let (front, back) = (cut(&mut before), cut(&mut after));
            x = b.apply(Pad { before: front, after: back, value: Scalar::zero(b.dtype(x)) }, &[x])?;
        }
        Ok(vec![b.apply(Extend { before, after, margin }, &[x])?])
    }
}

impl PadBy {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |mode, pads: &[i64], rest: Vec<Input>| {
            let mut inputs = vec![Input::Drawn(DType::F32, vec![4, 5], Domain::Any), Input::Constant(Tensor::from_ints(pads))];
            inputs.extend(rest);
            Sample { op: PadBy { mode }.into(), inputs }
        };
        let value = || Input::Constant(Tensor::scalar(DType::F32, Scalar::Float(1.5)));
        let mut samples = vec![sample(PadMode::Constant, &[1, 0, 0, 2], vec![]), sample(PadMode::Constant, &[3, -1], vec![value(), Input::Constant(Tensor::from_ints(&[-1]))])];
        for mode in [PadMode::Edge, PadMode::Reflect, PadMode::Wrap] {
            samples.push(sample(mode, &[2, -1, 0, 3], vec![]));
        }
        samples
    }
}
