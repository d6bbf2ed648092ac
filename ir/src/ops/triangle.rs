//! The upper or lower part of matrices.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::scalar::Binary;
use crate::shape::TensorType;

op! {
    /// `y[.., i, j] = x[.., i, j]` where `j - i >= diagonal` (upper) or `j - i <= diagonal` (lower), else 0. Source:
    /// NumPy `triu` and `tril`.
    pub struct Triangle = "triangle" {
        /// Is the part above the diagonal kept (else that below)?
        pub upper: bool,
        /// Which diagonal; 0 is the main one, positive ones stand to its right. It is kept too.
        pub diagonal: i64,
    }
}

impl OpDef for Triangle {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if args[0].ty.rank()? < 2 {
            return Err(OpError::invalid(format!("'triangle' of {}, which is no matrix", args[0].ty)));
        }
        Ok(vec![args[0].ty.clone()])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let extents = args[0].extents()?;
        let rank = extents.len();
        Ok(Body::Loops(vec![Compute::map(args[0].dtype, &extents, |e, at| {
            let distance = e.sub(at[rank - 1], at[rank - 2]);
            let diagonal = e.int(self.diagonal);
            let kept = if self.upper { e.binary(Binary::Le, diagonal, distance) } else { e.binary(Binary::Le, distance, diagonal) };
            e.guarded_load(Source(0), args[0].dtype, at.to_vec(), kept)
        })]))
    }
}

impl Triangle {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for upper in [true, false] {
            for diagonal in [0, 2, -1, i64::MAX, i64::MIN] {
                samples.push(Sample::drawn(Triangle { upper, diagonal }, Domain::Any, &[(DType::F32, &[2, 4, 5])]));
            }
            samples.push(Sample::drawn(Triangle { upper, diagonal: 1 }, Domain::Any, &[(DType::I64, &[0, 5])]));
            samples.push(Sample::drawn(Triangle { upper, diagonal: 0 }, Domain::Any, &[(DType::Bool, &[33, 17])]));
        }
        samples
    }
}
