//! Quantised numbers as floats.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::quantize::{check_scale, scale_index};
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::shape::TensorType;

op! {
    /// `dequantize(x, scale, zero?)`: `y = (x - zero) * scale`; scales as in `quantize`. Source: ONNX `DequantizeLinear`.
    pub struct Dequantize = "dequantize" {
        /// Dtype of the result.
        pub to: DType,
        /// The axis that scales belong to; negative counts from the end.
        pub axis: i64,
        /// Elements along the axis that share a scale; 0 where there are no blocks.
        pub block: i64,
    }
}

impl OpDef for Dequantize {
    derived!();
    fn arity(&self) -> Arity {
        2..=3
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![self.to]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, scale) = (args[0].ty, args[1].ty);
        if !scale.dtype.is_float() || !self.to.is_float() || x.dtype == DType::Str || args.get(2).is_some_and(|zero| zero.ty.dtype != x.dtype) {
            return Err(OpError::invalid(format!("'dequantize' of {x} with scales {scale} to {}", self.to)));
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
            let wide = operands[1].1.accumulator();
            // Differences of integers are exact in i32.
            let between = if operands[0].1.is_float() { wide } else { DType::I32 };
            let mut value = e.cast(between, *x);
            if let [zero] = zero {
                let zero = e.cast(between, *zero);
                value = e.sub(value, zero);
            }
            let (value, scale) = (e.cast(wide, value), e.cast(wide, *scale));
            let product = e.mul(value, scale);
            e.cast(self.to, product)
        });
        failed.map_or(Ok(Body::Loops(vec![nest])), Err)
    }
    fn tolerance(&self, _: DType) -> Tolerance {
        Tolerance::EXACT
    }
}

impl Dequantize {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for from in [DType::I8, DType::U8, DType::I16, DType::I32, DType::U4, DType::I4, DType::F8E4M3FN] {
            for (axis, block, x, scale) in [(1, 0, &[3i64, 37][..], &[][..]), (0, 0, &[5, 4], &[5]), (-1, 3, &[2, 9], &[2, 3]), (0, 0, &[0, 4], &[1])] {
                samples.push(Sample::drawn(Dequantize { to: DType::F32, axis, block }, Domain::Ordinary, &[(from, x), (DType::F32, scale)]));
            }
        }
        samples.push(Sample::drawn(Dequantize { to: DType::F16, axis: 1, block: 0 }, Domain::Ordinary, &[(DType::U8, &[2, 3, 5]), (DType::F16, &[3]), (DType::U8, &[3])]));
        samples
    }
}
