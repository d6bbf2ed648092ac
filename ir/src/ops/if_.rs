//! One of two subgraphs, by a condition.
use crate::error::OpError;
use crate::dtype::DType;
use crate::graph::Graph;
use crate::ops::subgraph::{either, infer};
use crate::ops::{Arg, Arity, Body, OpDef, Sample, at_least};
use crate::shape::TensorType;
use crate::tensor::Tensor;

op! {
    /// `if(cond, captures..)`: the outputs of `then_branch` where `cond` (one bool) holds, else of
    /// `else_branch`. Both take the captures as their inputs; numbers and dtypes of their outputs are equal.
    pub struct If = "if" {
        /// Taken where the condition holds.
        pub then_branch: Graph,
        /// Taken where it does not.
        pub else_branch: Graph,
    }
}

impl OpDef for If {
    derived!();
    fn arity(&self) -> Arity {
        at_least(1)
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        self.then_branch.outputs().iter().map(|(_, v)| self.then_branch.ty(*v).dtype).collect()
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (a, b) = (&self.then_branch, &self.else_branch);
        if args[0].ty.dtype != DType::Bool {
            return Err(OpError::invalid(format!("the condition of 'if' is {}, not bool", args[0].ty)));
        }
        if a.inputs().len() != args.len() - 1 || b.inputs().len() != args.len() - 1 {
            return Err(OpError::bug("the branches of 'if' take other captures than it has"));
        }
        if a.outputs().len() != b.outputs().len() {
            return Err(OpError::invalid(format!("the branches of 'if' give {} and {} results", a.outputs().len(), b.outputs().len())));
        }
        let outer = &args[1..];
        infer(a, outer)?
            .into_iter()
            .zip(infer(b, outer)?)
            .map(|(x, y)| {
                if x.dtype != y.dtype {
                    return Err(OpError::invalid(format!("the branches of 'if' give {x} and {y}")));
                }
                Ok(if x.shape == y.shape { x } else { TensorType::new(x.dtype, either(&x.shape, &y.shape)) })
            })
            .collect()
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        if inputs[0].elems() != 1 {
            return Err(OpError::invalid(format!("the condition of 'if' has {} elements, not one", inputs[0].elems())));
        }
        let branch = if inputs[0].get(0).as_bool() { &self.then_branch } else { &self.else_branch };
        crate::eval::run(branch, &inputs[1..]).map_err(Into::into)
    }
}

impl If {
    pub(crate) fn samples() -> Vec<Sample> {
        Vec::new()
    }
}
