//! Channels laid out as blocks of pixels.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::scalar::Binary;
use crate::shape::{Dim, TensorType};

op! {
    /// `x` is `[n, c*s*s, h, w]`, `y` is `[n, c, h*s, w*s]` with `s = block`:
    /// `y[n, c, h*s + i, w*s + j] = x[n, k, h, w]`, where `k` is `(i*s + j)*C + c` for `C` channels of `y`, or
    /// `(c*s + i)*s + j` where `channels_first`. Source: ONNX `DepthToSpace` (modes DCR and CRD).
    pub struct DepthToSpace = "depth_to_space" {
        /// Extent of a block along each of the two axes.
        pub block: i64,
        /// Is a channel's block in one piece?
        pub channels_first: bool,
    }
}

impl OpDef for DepthToSpace {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let x = args[0].ty;
        let [n, c, h, w] = x.dims()? else { return Err(OpError::invalid(format!("'depth_to_space' of {x}, which has not four axes"))) };
        let area = self.block.checked_mul(self.block).filter(|_| self.block > 0).ok_or_else(|| OpError::invalid(format!("blocks of extent {}", self.block)))?;
        if c.known().is_some_and(|c| c % area != 0) {
            return Err(OpError::invalid(format!("'depth_to_space' of {x}: channels don't make blocks of {area}")));
        }
        let (block, area) = (Dim::Known(self.block), Dim::Known(area));
        Ok(vec![TensorType::ranked(x.dtype, vec![n.clone(), c.floor_div(&area), h.times(&block), w.times(&block)])])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let extents = self.infer(&[Arg { ty: args[0], value: None }])?[0].extents()?;
        Ok(Body::Loops(vec![Compute::map(args[0].dtype, &extents, |e, at| {
            let (block, channels) = (e.int(self.block), e.int(extents[1]));
            let (h, w) = (e.binary(Binary::FloorDiv, at[2], block), e.binary(Binary::FloorDiv, at[3], block));
            let (i, j) = (e.binary(Binary::Mod, at[2], block), e.binary(Binary::Mod, at[3], block));
            let channel = if self.channels_first {
                let rows = e.mul(at[1], block);
                let row = e.add(rows, i);
                let first = e.mul(row, block);
                e.add(first, j)
            } else {
                let row = e.mul(i, block);
                let place = e.add(row, j);
                let first = e.mul(place, channels);
                e.add(first, at[1])
            };
            e.load(Source(0), args[0].dtype, vec![at[0], channel, h, w])
        })]))
    }
}

impl DepthToSpace {
    pub(crate) fn samples() -> Vec<Sample> {
        [true, false]
            .into_iter()
            .flat_map(|channels_first| {
                [
                    Sample::drawn(DepthToSpace { block: 2, channels_first }, Domain::Any, &[(DType::F32, &[2, 12, 3, 5])]),
                    Sample::drawn(DepthToSpace { block: 3, channels_first }, Domain::Any, &[(DType::I8, &[1, 9, 1, 2])]),
                    Sample::drawn(DepthToSpace { block: 1, channels_first }, Domain::Any, &[(DType::F16, &[1, 3, 2, 2])]),
                    Sample::drawn(DepthToSpace { block: 2, channels_first }, Domain::Any, &[(DType::F32, &[1, 4, 0, 2])]),
                ]
            })
            .collect()
    }
}
