//! Rows as the first factors of Strassen's products.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::strassen::{FIRST, PRODUCTS, sum};
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::shape::{Dim, TensorType};

op! {
    /// `x` is `[M, K]`, `y` is `[7, (M + 1) div 2, K div 2]`: `y[p, i, k]` is a sum of `x[2i, k]`, `x[2i, K div 2 + k]`, `x[2i + 1, k]` and `x[2i + 1,
    /// K div 2 + k]`, which are the parts of Strassen's first factor; a row after the last one counts as zero. `K` is even. Products with what
    /// [`strassen_weight`](super::strassen_weight) makes and [`strassen_output`](super::strassen_output) make the matrix product of it.
    pub struct StrassenInput = "strassen_input" {}
}

impl OpDef for StrassenInput {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let x = args[0].ty;
        let [rows, depth] = x.dims()? else { return Err(OpError::invalid(format!("'strassen_input' of {x}, which is no matrix"))) };
        if !matches!(x.dtype, DType::F32 | DType::F64) || depth.known().is_some_and(|n| n % 2 != 0) {
            return Err(OpError::invalid(format!("'strassen_input' of {x}, which is not of f32 or f64 with an even number of columns")));
        }
        let two = Dim::Known(2);
        Ok(vec![TensorType::ranked(x.dtype, vec![Dim::Known(PRODUCTS as i64), rows.plus(&Dim::Known(1)).floor_div(&two), depth.floor_div(&two)])])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let (x, dtype) = (args[0].extents()?, args[0].dtype);
        let extents = self.infer(&[Arg { ty: args[0], value: None }])?[0].extents()?;
        Ok(Body::Loops(vec![Compute::map(dtype, &extents, |e, at| {
            let (two, one, half) = (e.int(2), e.int(1), e.int(extents[2]));
            let upper = e.mul(at[1], two);
            let lower = e.add(upper, one);
            let inside = e.within(lower, None, (x[0] % 2 == 1).then_some(x[0]));
            let right = e.add(at[2], half);
            let parts = [[upper, at[2]], [upper, right], [lower, at[2]], [lower, right]];
            let sums = FIRST.map(|terms| {
                sum(e, terms, |e, part| {
                    if part < 2 { e.load(Source(0), dtype, parts[part].to_vec()) } else { e.guarded_load(Source(0), dtype, parts[part].to_vec(), inside) }
                })
            });
            e.pick(at[0], &sums)
        })]))
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 2.0)
    }
}

impl StrassenInput {
    pub(crate) fn samples() -> Vec<Sample> {
        [(DType::F32, &[8i64, 64][..]), (DType::F32, &[7, 34]), (DType::F32, &[1, 2]), (DType::F64, &[6, 10]), (DType::F32, &[0, 4]), (DType::F32, &[3, 0])]
            .into_iter()
            .map(|(dtype, x)| Sample::drawn(StrassenInput {}, Domain::Ordinary, &[(dtype, x)]))
            .collect()
    }
}
