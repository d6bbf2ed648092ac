//! Division by the root of the mean square along the last axes.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{add_number, cast, div, mean, mul};
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance, sqrt::Sqrt};
use crate::shape::{TensorType, axis, fits};

op! {
    /// `rms_norm(x, factor)`: `y = x / sqrt(mean(x^2) + epsilon) * factor`, the mean over the axes from `axis` on. All but
    /// the last step is computed in dtype `stash`. Source: Zhang and Sennrich, arXiv 1910.07467; ONNX `RMSNormalization`.
    pub struct RmsNorm = "rms_norm" {
        /// The first axis; negative counts from the end.
        pub axis: i64,
        /// Added to the mean square.
        pub epsilon: f64,
        /// The dtype that the mean is computed in.
        pub stash: DType,
    }
}

impl OpDef for RmsNorm {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        vec![args[1]]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let x = args[0].ty;
        axis(self.axis, x.rank()?)?;
        if !x.dtype.is_float() || !args[1].ty.dtype.is_float() {
            return Err(OpError::invalid(format!("'rms_norm' of {x} by {}", args[1].ty)));
        }
        fits(args[1].ty, x)?;
        Ok(vec![TensorType::new(args[1].ty.dtype, x.shape.clone())])
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let rank = b.rank(inputs[0])?;
        let axes: Vec<usize> = (axis(self.axis, rank)?..rank).collect();
        let x = cast(b, inputs[0], self.stash)?;
        let squares = mul(b, x, x)?;
        let size = mean(b, squares, &axes)?;
        let raised = add_number(b, size, self.epsilon)?;
        let root = b.apply(Sqrt {}, &[raised])?;
        let normal = div(b, x, root)?;
        let to = b.dtype(inputs[1]);
        let normal = cast(b, normal, to)?;
        Ok(vec![mul(b, normal, inputs[1])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 64.0)
    }
}

impl RmsNorm {
    pub(crate) fn samples() -> Vec<Sample> {
        let op = |axis| RmsNorm { axis, epsilon: 1e-5, stash: DType::F32 };
        vec![
            Sample::drawn(op(-1), Domain::Ordinary, &[(DType::F32, &[2, 3, 33]), (DType::F32, &[33])]),
            Sample::drawn(op(1), Domain::Ordinary, &[(DType::F16, &[2, 3, 5]), (DType::F16, &[3, 5])]),
        ]
    }
}
