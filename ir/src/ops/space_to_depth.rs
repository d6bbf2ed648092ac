//! Blocks of pixels laid out as channels.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::scalar::Binary;
use crate::shape::{Dim, TensorType};

op! {
    /// `x` is `[n, c, h*s, w*s]`, `y` is `[n, s*s*c, h, w]` with `s = block`:
    /// `y[n, (i*s + j)*C + c, h, w] = x[n, c, h*s + i, w*s + j]` for `C` channels of `x`. Source: ONNX
    /// `SpaceToDepth`.
    pub struct SpaceToDepth = "space_to_depth" {
        /// Extent of a block along each of the two axes.
        pub block: i64,
    }
}

impl OpDef for SpaceToDepth {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let x = args[0].ty;
        let [n, c, h, w] = x.dims()? else { return Err(OpError::invalid(format!("'space_to_depth' of {x}, which has not four axes"))) };
        let area = self.block.checked_mul(self.block).filter(|_| self.block > 0).ok_or_else(|| OpError::invalid(format!("blocks of extent {}", self.block)))?;
        if [h, w].iter().any(|dim| dim.known().is_some_and(|n| n % self.block != 0)) {
            return Err(OpError::invalid(format!("'space_to_depth' of {x}: it is not made of blocks of extent {}", self.block)));
        }
        let (block, area) = (Dim::Known(self.block), Dim::Known(area));
        Ok(vec![TensorType::ranked(x.dtype, vec![n.clone(), c.times(&area), h.floor_div(&block), w.floor_div(&block)])])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let from = args[0].extents()?;
        let extents = self.infer(&[Arg { ty: args[0], value: None }])?[0].extents()?;
        Ok(Body::Loops(vec![Compute::map(args[0].dtype, &extents, |e, at| {
            let (block, channels) = (e.int(self.block), e.int(from[1]));
            let (channel, place) = (e.binary(Binary::Mod, at[1], channels), e.binary(Binary::FloorDiv, at[1], channels));
            let (i, j) = (e.binary(Binary::FloorDiv, place, block), e.binary(Binary::Mod, place, block));
            let (top, left) = (e.mul(at[2], block), e.mul(at[3], block));
            let (row, column) = (e.add(top, i), e.add(left, j));
            e.load(Source(0), args[0].dtype, vec![at[0], channel, row, column])
        })]))
    }
}

impl SpaceToDepth {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![
            Sample::drawn(SpaceToDepth { block: 2 }, Domain::Any, &[(DType::F32, &[2, 3, 6, 10])]),
            Sample::drawn(SpaceToDepth { block: 3 }, Domain::Any, &[(DType::I8, &[1, 1, 3, 6])]),
            Sample::drawn(SpaceToDepth { block: 1 }, Domain::Any, &[(DType::F16, &[1, 3, 2, 2])]),
            Sample::drawn(SpaceToDepth { block: 2 }, Domain::Any, &[(DType::F32, &[1, 4, 0, 2])]),
        ]
    }
}
