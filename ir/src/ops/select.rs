//! One of two values, by a condition.
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::sample::broadcast_nest;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::shape::{TensorType, broadcast};

op! {
    /// `select(cond, a, b)`: where `cond` (bool) holds `a`, else `b`; shapes broadcast.
    pub struct Select = "select" {}
}

impl OpDef for Select {
    derived!();
    fn arity(&self) -> Arity {
        3..=3
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        vec![args[1]]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if args[0].ty.dtype != DType::Bool {
            return Err(OpError::invalid(format!("the condition of 'select' is {}, not bool", args[0].ty.dtype)));
        }
        if args[1].ty.dtype != args[2].ty.dtype {
            return Err(OpError::invalid(format!("'select' chooses between {} and {}", args[1].ty.dtype, args[2].ty.dtype)));
        }
        let dims = broadcast(&[args[0].ty, args[1].ty, args[2].ty])?;
        Ok(vec![TensorType::ranked(args[1].ty.dtype, dims)])
    }
    fn elementwise(&self) -> bool {
        true
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Loops(vec![broadcast_nest(args[1].dtype, args, |e, x| e.select(x[0], x[1], x[2]))?]))
    }
    fn tolerance(&self, _: DType) -> Tolerance {
        Tolerance::EXACT
    }
}

impl Select {
    pub(crate) fn samples() -> Vec<Sample> {
        [DType::F32, DType::I64, DType::Bool, DType::F16]
            .into_iter()
            .map(|d| Sample::drawn(Select {}, Domain::Any, &[(DType::Bool, &[3, 5]), (d, &[5]), (d, &[3, 1])]))
            .collect()
    }
}
