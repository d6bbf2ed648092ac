//! A function of rows, applied to a tensor that is flattened to a matrix.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::attr::attr_enum;
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance};
use crate::ops::{hardmax::Hardmax, log_softmax::LogSoftmax, reshape::Reshape, softmax::Softmax};
use crate::shape::{TensorType, axis};

attr_enum! {
    /// A function of a row.
    pub enum RowFunction {
        /// See [`Softmax`].
        Softmax = "softmax",
        /// See [`LogSoftmax`].
        LogSoftmax = "log_softmax",
        /// See [`Hardmax`].
        Hardmax = "hardmax",
    }
}

op! {
    /// Applies a function over all axes from `axis` on together. Source: ONNX `Softmax` before opset 13.
    pub struct Flattened = "flattened" {
        /// The function.
        pub function: RowFunction,
        /// The first axis of a row; negative counts from the end, the rank itself means rows of one element.
        pub axis: i64,
        /// Is a row only the axis itself?
        pub alone: bool,
    }
}

impl OpDef for Flattened {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let rank = args[0].ty.rank()?;
        axis(self.axis, if self.alone { rank } else { rank + 1 })?;
        if !args[0].ty.dtype.is_float() {
            return Err(OpError::invalid(format!("the function takes floats, not {}", args[0].ty.dtype)));
        }
        Ok(vec![args[0].ty.clone()])
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let apply = |b: &mut Builder, x: ValueId, axis: usize| match self.function {
            RowFunction::Softmax => b.apply(Softmax { axis, zeros: false }, &[x]),
            RowFunction::LogSoftmax => b.apply(LogSoftmax { axis }, &[x]),
            RowFunction::Hardmax => b.apply(Hardmax { axis }, &[x]),
        };
        let rank = b.rank(x[0])?;
        let first = if self.axis == rank as i64 && !self.alone { rank } else { axis(self.axis, rank)? };
        if self.alone || first + 1 == rank {
            return Ok(vec![apply(b, x[0], first)?]);
        }
        let extents = b.extents(x[0])?;
        let matrix = vec![extents[..first].iter().product(), extents[first..].iter().product()];
        let rows = b.apply(Reshape { extents: matrix }, x)?;
        let rows = apply(b, rows, 1)?;
        Ok(vec![b.apply(Reshape { extents }, &[rows])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 4.0)
    }
}

impl Flattened {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for function in [RowFunction::Softmax, RowFunction::LogSoftmax, RowFunction::Hardmax] {
            for (axis, alone) in [(1, false), (-1, false), (0, false), (-2, true)] {
                samples.push(Sample::drawn(Flattened { function, axis, alone }, Domain::Ordinary, &[(DType::F32, &[2, 3, 7])]));
            }
        }
        samples
    }
}
