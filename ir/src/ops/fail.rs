//! An error that waits for the program to come by.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::Graph;
use crate::ops::{Arg, Arity, Body, OpDef, Sample};
use crate::shape::{Shape, TensorType};
use crate::tensor::Tensor;

op! {
    /// Fails when it runs. It stands for a branch that can't run for the shapes that a program was specialised to, which
    /// is an error only if that branch is taken.
    pub struct Fail = "fail" {
        /// Why.
        pub message: String,
        /// Dtype of the result that there will never be.
        pub dtype: DType,
        /// Its extents, if they are known.
        pub extents: Option<Vec<i64>>,
    }
}

impl OpDef for Fail {
    derived!();
    fn arity(&self) -> Arity {
        0..=0
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![self.dtype]
    }
    fn infer(&self, _: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let shape = self.extents.as_ref().map_or(Shape::Unranked, |extents| Shape::known(extents));
        Ok(vec![TensorType::new(self.dtype, shape)])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, _: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        Err(OpError::invalid(self.message.clone()))
    }
}

/// A graph with the inputs and result types of another that fails when it runs.
///
/// # Errors
/// None that inference would not have found in `like`.
pub fn failing(like: &Graph, inputs: &[TensorType], message: &str) -> Result<Graph, OpError> {
    let mut builder = Builder::new(like.name.clone());
    for (k, ty) in inputs.iter().enumerate() {
        builder.input(format!("{k}"), ty.clone());
    }
    for (name, value) in like.outputs() {
        let ty = like.ty(*value);
        let failed = builder.apply(Fail { message: format!("this branch can't run: {message}"), dtype: ty.dtype, extents: ty.shape.extents() }, &[])?;
        builder.output(name.clone(), failed);
    }
    Ok(builder.finish())
}

impl Fail {
    pub(crate) fn samples() -> Vec<Sample> {
        Vec::new()
    }
}
