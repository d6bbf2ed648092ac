//! The same elements under another shape.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::{ExprId, Exprs, Source};
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::scalar::Binary;
use crate::shape::TensorType;
use crate::tensor::Tensor;

op! {
    /// The elements of `x`, in row-major order, under shape `extents`.
    pub struct Reshape = "reshape" {
        /// The new shape, with as many elements.
        pub extents: Vec<i64>,
    }
}

impl OpDef for Reshape {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let wanted = crate::tensor::checked_elems(&self.extents)? as i64;
        if let Some(elems) = args[0].ty.shape.elems()
            && elems != wanted
        {
            return Err(OpError::invalid(format!("shape {} has {elems} elements, and {:?} has {wanted}", args[0].ty.shape, self.extents)));
        }
        Ok(vec![TensorType::known(args[0].ty.dtype, &self.extents)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let from = args[0].extents()?;
        Ok(Body::Loops(vec![Compute::map(args[0].dtype, &self.extents, |e, at| {
            let flat = flatten(e, &self.extents, at);
            let index = unflatten(e, &from, flat);
            e.load(Source(0), args[0].dtype, index)
        })]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![inputs[0].reshaped(&self.extents)?])
    }
}

/// The row-major position of an index.
pub fn flatten(e: &mut Exprs, extents: &[i64], at: &[ExprId]) -> ExprId {
    let mut flat = e.int(0);
    for (extent, i) in extents.iter().zip(at) {
        let extent = e.int(*extent);
        let scaled = e.mul(flat, extent);
        flat = e.add(scaled, *i);
    }
    flat
}

/// The index at a row-major position.
pub fn unflatten(e: &mut Exprs, extents: &[i64], flat: ExprId) -> Vec<ExprId> {
    let mut index = Vec::new();
    let mut inner: i64 = 1;
    for (axis, extent) in extents.iter().enumerate().rev() {
        let stride = e.int(inner);
        let mut i = e.binary(Binary::FloorDiv, flat, stride);
        if axis > 0 {
            let extent = e.int(*extent);
            i = e.binary(Binary::Mod, i, extent);
        }
        index.push(i);
        inner = inner.saturating_mul(*extent);
    }
    index.reverse();
    index
}

impl Reshape {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![
            Sample::drawn(Reshape { extents: vec![6, 35] }, Domain::Any, &[(DType::F32, &[2, 3, 5, 7])]),
            Sample::drawn(Reshape { extents: vec![2, 105] }, Domain::Any, &[(DType::I64, &[7, 30])]),
            Sample::drawn(Reshape { extents: vec![] }, Domain::Any, &[(DType::F16, &[1, 1])]),
            Sample::drawn(Reshape { extents: vec![0, 7] }, Domain::Any, &[(DType::F32, &[3, 0])]),
        ]
    }
}
