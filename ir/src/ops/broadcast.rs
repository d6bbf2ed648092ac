//! Repeating a tensor along new axes and axes of extent 1.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::sample::broadcast_index;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::shape::{Dim, TensorType};
use crate::tensor::{Tensor, row_strides};

op! {
    /// Repeats `x` to shape `extents`; axes are matched from the last, and each of `x` equals the new
    /// extent or is 1.
    pub struct Broadcast = "broadcast" {
        /// The new shape.
        pub extents: Vec<i64>,
    }
}

impl OpDef for Broadcast {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let dims = args[0].ty.dims()?;
        let fits = dims.len() <= self.extents.len()
            && dims.iter().rev().zip(self.extents.iter().rev()).all(|(from, to)| from.known() == Some(1) || from.may_equal(&Dim::Known(*to)));
        if !fits {
            return Err(OpError::invalid(format!("shape {} does not broadcast to {:?}", args[0].ty.shape, self.extents)));
        }
        Ok(vec![TensorType::known(args[0].ty.dtype, &self.extents)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let from = args[0].extents()?;
        Ok(Body::Loops(vec![Compute::map(args[0].dtype, &self.extents, |e, at| {
            let index = broadcast_index(e, &from, at);
            e.load(Source(0), args[0].dtype, index)
        })]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let from = inputs[0].extents();
        let mut steps = vec![0; self.extents.len() - from.len()];
        steps.extend(from.iter().zip(row_strides(from)).map(|(extent, stride)| if *extent == 1 { 0 } else { stride }));
        Ok(vec![inputs[0].strided(&self.extents, 0, &steps)?])
    }
}

impl Broadcast {
    pub(crate) fn samples() -> Vec<Sample> {
        [DType::F32, DType::I64, DType::Bool]
            .into_iter()
            .map(|d| Sample::drawn(Broadcast { extents: vec![2, 3, 5] }, Domain::Any, &[(d, &[3, 1])]))
            .chain([Sample::drawn(Broadcast { extents: vec![0, 3] }, Domain::Any, &[(DType::F32, &[1, 3])])])
            .collect()
    }
}
