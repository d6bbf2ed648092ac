//! A tensor cut into parts along one axis.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::slice::Slice;
use crate::ops::{Arg, Arity, Domain, Input, OpDef, Sample};
use crate::shape::{Dim, TensorType};
use crate::tensor::Tensor;

op! {
    /// `split(x, sizes)`: parts of `x` one after another along `axis`, of the given extents (a vector of i64, one
    /// for each part); without the operand `sizes`, of equal extents rounded up, the last as long as what is left.
    /// Source: ONNX `Split`.
    pub struct Split = "split" {
        /// The axis.
        pub axis: usize,
        /// Number of parts.
        pub parts: usize,
    }
}

/// No more parts than this, so that what a model says is never allocated unseen.
const MAX_PARTS: usize = 1 << 16;

impl Split {
    fn sizes(&self, args: &[Arg<'_>]) -> Result<Vec<Dim>, OpError> {
        let x = args[0].ty;
        if self.parts == 0 || self.parts > MAX_PARTS {
            return Err(OpError::invalid(format!("'split' into {} parts", self.parts)).help(format!("parts number 1 to {MAX_PARTS}")));
        }
        let dims = x.dims()?;
        let Some(whole) = dims.get(self.axis) else { return Err(OpError::invalid(format!("'split' along axis {} of {x}", self.axis))) };
        let parts = self.parts as i64;
        let Some(sizes) = args.get(1) else {
            let Some(n) = whole.known() else { return Ok(vec![whole.floor_div(&Dim::Known(parts)); self.parts]) };
            let chunk = n.checked_add(parts - 1).ok_or_else(|| OpError::invalid("'split' overflows"))? / parts;
            return Ok((0..parts).map(|k| Dim::Known((n - (k * chunk).min(n)).min(chunk))).collect());
        };
        let Some(sizes) = sizes.ints() else { return Ok(vec![Dim::Unknown; self.parts]) };
        let sum = sizes.iter().try_fold(0i64, |sum, n| sum.checked_add(*n));
        let fits = sizes.len() == self.parts && sizes.iter().all(|n| *n >= 0) && sum.is_some_and(|sum| whole.may_equal(&Dim::Known(sum)));
        if !fits {
            return Err(OpError::invalid(format!("'split' of {x} along axis {} into {} parts of extents {sizes:?}", self.axis, self.parts)));
        }
        Ok(sizes.into_iter().map(Dim::Known).collect())
    }
}

impl OpDef for Split {
    derived!();
    fn arity(&self) -> Arity {
        1..=2
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        vec![args[0]; self.parts]
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let sizes = self.sizes(args)?;
        let dims = args[0].ty.dims()?;
        let part = |size: Dim| {
            let mut dims = dims.to_vec();
            dims[self.axis] = size;
            TensorType::ranked(args[0].ty.dtype, dims)
        };
        Ok(sizes.into_iter().map(part).collect())
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let args: Vec<Arg<'_>> = inputs.iter().map(|v| Arg { ty: b.ty(*v), value: b.as_constant(*v) }).collect();
        let parts = self.infer(&args)?.iter().map(TensorType::extents).collect::<Result<Vec<_>, _>>()?;
        let mut starts = vec![0; b.rank(inputs[0])?];
        let mut outputs = Vec::new();
        for extents in parts {
            let size = extents[self.axis];
            outputs.push(b.apply(Slice { starts: starts.clone(), steps: vec![1; extents.len()], extents }, &inputs[..1])?);
            starts[self.axis] += size;
        }
        Ok(outputs)
    }
}

impl Split {
    pub(crate) fn samples() -> Vec<Sample> {
        let sized = |axis, sizes: &[i64]| Sample { op: Split { axis, parts: sizes.len() }.into(), inputs: vec![Input::Drawn(DType::F32, vec![3, 7], Domain::Any), Input::Constant(Tensor::from_ints(sizes))] };
        vec![
            sized(1, &[2, 5]),
            sized(1, &[0, 7, 0]),
            sized(0, &[3]),
            Sample::drawn(Split { axis: 1, parts: 3 }, Domain::Any, &[(DType::I64, &[2, 7])]),
            Sample::drawn(Split { axis: 0, parts: 4 }, Domain::Any, &[(DType::F16, &[2])]),
        ]
    }
}
