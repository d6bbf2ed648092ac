//! Tiling by numbers that are an operand.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::tile::Tile;
use crate::ops::{Arg, Arity, Domain, Input, OpDef, Sample, infer_parameters};
use crate::shape::{Dim, TensorType};
use crate::tensor::Tensor;

op! {
    /// `tile_by(x, repeats)`: as `tile`, with a vector of i64. Source: ONNX `Tile`.
    pub struct TileBy = "tile_by" {}
}

impl OpDef for TileBy {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        infer_parameters(self, args, || match args[0].ty.rank() {
            Ok(rank) => Ok(vec![Dim::Unknown; rank]),
            Err(_) => Ok(vec![Dim::Unknown; args[1].length()?]),
        })
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        b.rank(inputs[0])?;
        let repeats = b.as_ints(inputs[1])?;
        Ok(vec![b.apply(Tile { repeats }, &inputs[..1])?])
    }
}

impl TileBy {
    pub(crate) fn samples() -> Vec<Sample> {
        [&[2i64, 3][..], &[1, 1], &[0, 1]]
            .into_iter()
            .map(|repeats| Sample { op: TileBy {}.into(), inputs: vec![Input::Drawn(DType::F32, vec![3, 5], Domain::Any), Input::Constant(Tensor::from_ints(repeats))] })
            .collect()
    }
}
