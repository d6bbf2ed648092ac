//! A tensor's extents as a tensor.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, infer_parameters};
use crate::shape::Dim;

op! {
    /// The extents of `x`'s axes `start..end` as a vector of i64; negative bounds count from the rank, and both are
    /// cut to it. Source: ONNX `Shape`.
    pub struct ShapeOf = "shape_of" {
        /// First axis.
        pub start: i64,
        /// Behind the last axis; the rank where it is left out.
        pub end: Option<i64>,
    }
}

impl ShapeOf {
    fn axes(&self, rank: usize) -> std::ops::Range<usize> {
        let wide = rank as i64;
        let bound = |i: i64| (if i < 0 { i.saturating_add(wide) } else { i }).clamp(0, wide) as usize;
        let start = bound(self.start);
        start..self.end.map_or(rank, bound).max(start)
    }
}

impl OpDef for ShapeOf {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![DType::I64]
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<crate::shape::TensorType>, OpError> {
        infer_parameters(self, args, || Ok(vec![args[0].ty.rank().map_or(Dim::Unknown, |rank| Dim::Known(self.axes(rank).len() as i64))]))
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let dims = b.ty(inputs[0]).dims()?;
        let wanted = dims[self.axes(dims.len())].iter().map(Dim::known).collect::<Option<Vec<i64>>>().ok_or_else(OpError::unknown)?;
        Ok(vec![b.ints(&wanted)])
    }
}

impl ShapeOf {
    pub(crate) fn samples() -> Vec<Sample> {
        [(0, None), (1, None), (-1, None), (0, Some(-1)), (2, Some(1)), (-9, Some(9))]
            .into_iter()
            .flat_map(|(start, end)| [&[2i64, 0, 5][..], &[], &[7]].map(|shape| Sample::drawn(ShapeOf { start, end }, Domain::Any, &[(DType::F32, shape)])))
            .collect()
    }
}
