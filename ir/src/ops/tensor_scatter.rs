//! New elements written into a cache.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample};
use crate::scalar::Binary;
use crate::shape::TensorType;
use crate::tensor::Tensor;

op! {
    /// `tensor_scatter(cache, update, starts)`: `cache` with `update` written along `axis` from index `starts[b]` for
    /// each `b` along axis 0, or from 0 without `starts`; where `circular`, it goes on at the beginning when the end
    /// is reached. Source: ONNX `TensorScatter`.
    pub struct TensorScatter = "tensor_scatter" {
        /// The axis; not 0.
        pub axis: usize,
        /// Does it go on at the beginning?
        pub circular: bool,
    }
}

impl OpDef for TensorScatter {
    derived!();
    fn arity(&self) -> Arity {
        2..=3
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (cache, update) = (args[0].ty, args[1].ty);
        let (from, new) = (cache.dims()?, update.dims()?);
        let fits = cache.dtype == update.dtype
            && from.len() == new.len()
            && (1..from.len()).contains(&self.axis)
            && (0..from.len()).all(|k| k == self.axis || from[k].may_equal(&new[k]))
            && from[self.axis].known().zip(new[self.axis].known()).is_none_or(|(n, m)| m <= n);
        let starts = match args.get(2) {
            Some(arg) => arg.ty.dtype.is_int() && matches!(arg.ty.dims()?, [n] if n.may_equal(&from[0])),
            None => true,
        };
        if !fits || !starts {
            return Err(OpError::invalid(format!("'tensor_scatter' of {update} into {cache} along axis {}", self.axis)));
        }
        Ok(vec![cache.clone()])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let (extents, new) = (args[0].extents()?, args[1].extents()?);
        let dtype = args[0].dtype;
        Ok(Body::Loops(vec![Compute::map(dtype, &extents, |e, at| {
            let start = match args.get(2) {
                Some(ty) => {
                    let raw = e.load(Source(2), ty.dtype, vec![at[0]]);
                    e.cast(DType::I64, raw)
                }
                None => e.int(0),
            };
            let mut offset = e.sub(at[self.axis], start);
            if self.circular {
                let whole = e.int(extents[self.axis]);
                offset = e.binary(Binary::Mod, offset, whole);
            }
            let written = e.within(offset, Some(0), Some(new[self.axis]));
            let mut place = at.to_vec();
            place[self.axis] = offset;
            let update = e.guarded_load(Source(1), dtype, place, written);
            let old = e.load(Source(0), dtype, at.to_vec());
            e.select(written, update, old)
        })]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let (whole, new) = (inputs[0].extents()[self.axis], inputs[1].extents()[self.axis]);
        let room = if self.circular { whole } else { whole - new };
        if let Some(start) = inputs.get(2).and_then(|starts| starts.ints().into_iter().find(|n| !(0..=room).contains(n))) {
            return Err(OpError::invalid(format!("'tensor_scatter' writes {new} elements from index {start} of {whole}")));
        }
        crate::ops::eval_body(self, inputs)
    }
}

impl TensorScatter {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for (circular, starts) in [(false, [0i64, 3]), (true, [4, 1])] {
            let inputs = vec![Input::Drawn(DType::F32, vec![2, 5, 3], Domain::Any), Input::Drawn(DType::F32, vec![2, 2, 3], Domain::Any), Input::Given(Tensor::from_ints(&starts))];
            samples.push(Sample { op: TensorScatter { axis: 1, circular }.into(), inputs });
        }
        samples.push(Sample::drawn(TensorScatter { axis: 2, circular: false }, Domain::Any, &[(DType::F16, &[1, 2, 4]), (DType::F16, &[1, 2, 4])]));
        samples
    }
}
