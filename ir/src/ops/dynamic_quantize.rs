//! Quantisation with a scale that follows from the values.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::aggregate::Statistic;
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance};
use crate::ops::{aggregate_by::AggregateBy, cast::Cast, clip::Clip, div::Div, max::Max, min::Min, neg::Neg, quantize::Quantize, round::Round, sub::Sub};
use crate::shape::TensorType;

op! {
    /// Gives `y` (u8), `scale = (max(x, 0) - min(x, 0)) / 255` and `zero = round(-min(x, 0) / scale)` (u8) such that
    /// `y = quantize(x, scale, zero)`. Source: ONNX `DynamicQuantizeLinear`.
    pub struct DynamicQuantize = "dynamic_quantize" {}
}

impl OpDef for DynamicQuantize {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        vec![DType::U8, args[0], DType::U8]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let dtype = args[0].ty.dtype;
        if !dtype.is_float() {
            return Err(OpError::invalid(format!("'dynamic_quantize' takes floats, not {dtype}")));
        }
        Ok(vec![TensorType::new(DType::U8, args[0].ty.shape.clone()), TensorType::known(dtype, &[]), TensorType::known(DType::U8, &[])])
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let dtype = b.dtype(x[0]);
        let axes = b.ints(&[]);
        let zero = b.scalar(dtype, 0.0);
        let range = b.scalar(dtype, 255.0);
        let high = b.apply(AggregateBy { statistic: Statistic::Max, keep: false, empty_is_none: false }, &[x[0], axes])?;
        let low = b.apply(AggregateBy { statistic: Statistic::Min, keep: false, empty_is_none: false }, &[x[0], axes])?;
        let high = b.apply(Max {}, &[high, zero])?;
        let low = b.apply(Min {}, &[low, zero])?;
        let width = b.apply(Sub {}, &[high, low])?;
        let scale = b.apply(Div {}, &[width, range])?;
        let below = b.apply(Neg {}, &[low])?;
        let steps = b.apply(Div {}, &[below, scale])?;
        let inside = b.apply(Clip {}, &[steps, zero, range])?;
        let rounded = b.apply(Round {}, &[inside])?;
        let offset = b.apply(Cast { to: DType::U8 }, &[rounded])?;
        let y = b.apply(Quantize { to: DType::U8, axis: 0, block: 0 }, &[x[0], scale, offset])?;
        Ok(vec![y, scale, offset])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        // One difference and one quotient.
        Tolerance::ulps(2.0, dtype)
    }
}

impl DynamicQuantize {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![
            Sample::drawn(DynamicQuantize {}, Domain::Ordinary, &[(DType::F32, &[5, 67])]),
            Sample::drawn(DynamicQuantize {}, Domain::Between(1.0, 9.0), &[(DType::F32, &[1])]),
        ]
    }
}
