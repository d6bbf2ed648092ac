//! Floats as integers or narrow floats with a scale.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::{ExprId, Exprs, Source};
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::scalar::{Binary, Unary};
use crate::shape::{TensorType, axis};

op! {
    /// `quantize(x, scale, zero?)`: `y = round(x / scale) + zero`, ties to even, brought into the range of `to`; a float
    /// `to` is rounded to instead of to integers. `scale` and `zero` have one shape: one element, one per element of an
    /// axis of `x`, or the rank of `x` with one element for each block of an axis. Source: ONNX `QuantizeLinear`.
    pub struct Quantize = "quantize" {
        /// Dtype of the result.
        pub to: DType,
        /// The axis that scales belong to; negative counts from the end.
        pub axis: i64,
        /// Elements along the axis that share a scale; 0 where there are no blocks.
        pub block: i64,
    }
}

/// Checks that scales fit a tensor.
pub(crate) fn check_scale(ty: &TensorType, scale: &TensorType, at: i64, block: i64) -> Result<(), OpError> {
    let (dims, scales) = (ty.dims()?, scale.dims()?);
    let complain = |why: &str| Err(OpError::invalid(format!("scales {scale} don't fit {ty}: {why}")));
    if block < 0 {
        return complain("the block size is negative");
    }
    if scales.is_empty() || (scales.len() == 1 && scales[0].known() == Some(1)) {
        return Ok(());
    }
    let at = axis(at, dims.len())?;
    if block == 0 {
        return if scales.len() == 1 && scales[0].may_equal(&dims[at]) { Ok(()) } else { complain(&format!("there is one for each element of axis {at}")) };
    }
    let fits = scales.len() == dims.len()
        && (0..dims.len()).all(|k| match (dims[k].known(), scales[k].known()) {
            (Some(n), Some(blocks)) if k == at => n.saturating_add(block - 1) / block == blocks,
            (Some(n), Some(m)) => n == m,
            _ => true,
        });
    if fits { Ok(()) } else { complain(&format!("there is one for each {block} elements of axis {at}")) }
}

/// The index of the scale that belongs to an element.
pub(crate) fn scale_index(e: &mut Exprs, scale: &[i64], rank: usize, at: i64, block: i64, index: &[ExprId]) -> Result<Vec<ExprId>, OpError> {
    if scale.iter().all(|n| *n == 1) {
        return Ok(scale.iter().map(|_| e.int(0)).collect());
    }
    let at = axis(at, rank)?;
    if block == 0 {
        return Ok(vec![index[at]]);
    }
    let mut blocked = index.to_vec();
    let size = e.int(block);
    blocked[at] = e.binary(Binary::FloorDiv, index[at], size);
    Ok(blocked)
}

impl OpDef for Quantize {
    derived!();
    fn arity(&self) -> Arity {
        2..=3
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![self.to]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, scale) = (args[0].ty, args[1].ty);
        if !scale.dtype.is_float() || x.dtype == DType::Str || !(self.to.is_float() || self.to.is_int()) {
            return Err(OpError::invalid(format!("'quantize' of {x} with scales {scale} to {}", self.to)));
        }
        for arg in &args[1..] {
            check_scale(x, arg.ty, self.axis, self.block)?;
        }
        Ok(vec![TensorType::new(self.to, x.shape.clone())])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let extents = args[0].extents()?;
        let operands = args.iter().map(|ty| Ok((ty.extents()?, ty.dtype))).collect::<Result<Vec<_>, OpError>>()?;
        let mut failed = None;
        let nest = Compute::map(self.to, &extents, |e, at| {
            let mut loads = vec![e.load(Source(0), operands[0].1, at.to_vec())];
            for (k, (scale, dtype)) in operands.iter().enumerate().skip(1) {
                match scale_index(e, scale, extents.len(), self.axis, self.block, at) {
                    Ok(index) => loads.push(e.load(Source(k as u32), *dtype, index)),
                    Err(error) => failed = Some(error),
                }
            }
            let [x, scale, zero @ ..] = &loads[..] else { return loads[0] };
            let x = e.cast(operands[1].1, *x);
            let mut ratio = e.binary(Binary::Div, x, *scale);
            if self.to.is_int() {
                ratio = e.unary(Unary::Round, ratio);
            }
            let mut value = e.cast(operands[1].1.accumulator(), ratio);
            if let [zero] = zero {
                let zero = e.cast(e.dtype(value), *zero);
                value = e.add(value, zero);
            }
            e.cast(self.to, value)
        });
        failed.map_or(Ok(Body::Loops(vec![nest])), Err)
    }
    fn tolerance(&self, _: DType) -> Tolerance {
        Tolerance::EXACT
    }
}

impl Quantize {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for to in [DType::I8, DType::U8, DType::I16, DType::U4, DType::I4, DType::F8E4M3FN] {
            for (axis, block, x, scale) in [(1, 0, &[3i64, 37][..], &[][..]), (0, 0, &[5, 4], &[5]), (-1, 3, &[2, 9], &[2, 3]), (0, 0, &[0, 4], &[1])] {
                samples.push(Sample::drawn(Quantize { to, axis, block }, Domain::Between(0.5, 90.0), &[(DType::F32, x), (DType::F32, scale)]));
            }
        }
        samples.push(Sample::drawn(Quantize { to: DType::U8, axis: 1, block: 0 }, Domain::Between(0.5, 9.0), &[(DType::F32, &[2, 3, 5]), (DType::F32, &[3]), (DType::U8, &[3])]));
        samples
    }
}
