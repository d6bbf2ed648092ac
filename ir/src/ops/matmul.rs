//! Products of matrices, batched.
use crate::compute::{Combine, Compute};
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::{ExprId, Exprs, Source};
use crate::ops::sample::broadcast_index;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::shape::{TensorType, broadcast};
use crate::tensor::Tensor;

op! {
    /// `y[b.., m, n] = sum over k of a[b.., m, k] * b[b.., k, n]`. Both have at least two axes; the leading
    /// ones broadcast. Narrow floats are accumulated in f32; integers wrap in their own dtype.
    pub struct MatMul = "matmul" {}
}

impl OpDef for MatMul {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (a, b) = (args[0].ty, args[1].ty);
        let (da, db) = (a.dims()?, b.dims()?);
        if a.dtype != b.dtype {
            return Err(OpError::invalid(format!("'matmul' multiplies {a} by {b}: dtypes differ")));
        }
        if da.len() < 2 || db.len() < 2 {
            return Err(OpError::invalid(format!("'matmul' multiplies {a} by {b}: each needs two axes")));
        }
        let (ka, kb) = (&da[da.len() - 1], &db[db.len() - 2]);
        if !ka.may_equal(kb) {
            return Err(OpError::invalid(format!("'matmul' multiplies {a} by {b}: inner extents {ka} and {kb} differ")));
        }
        let batch = |ty: &TensorType, dims: &[crate::shape::Dim]| TensorType::ranked(ty.dtype, dims[..dims.len() - 2].to_vec());
        let mut dims = broadcast(&[&batch(a, da), &batch(b, db)])?;
        dims.extend([da[da.len() - 2].clone(), db[db.len() - 1].clone()]);
        Ok(vec![TensorType::ranked(a.dtype, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let dtype = args[0].dtype;
        let nest = self.nest(args, dtype, |e, x, y| {
            let (x, y) = (e.cast(dtype.accumulator(), x), e.cast(dtype.accumulator(), y));
            e.mul(x, y)
        })?;
        Ok(Body::Loops(vec![nest]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        if !inputs[0].dtype().is_float() {
            return crate::ops::eval_body(self, inputs);
        }
        let (a, b) = (inputs[0], inputs[1]);
        let (ta, tb) = (a.ty(), b.ty());
        let extents = self.infer(&[Arg { ty: &ta, value: None }, Arg { ty: &tb, value: None }])?[0].extents()?;
        let (rank, ea, eb) = (extents.len(), a.extents(), b.extents());
        let (m, n, k) = (extents[rank - 2] as usize, extents[rank - 1] as usize, ea[ea.len() - 1] as usize);
        let (x, y) = (a.f64s(), b.f64s());
        let batches = crate::tensor::checked_elems(&extents[..rank - 2])?;
        let mut result = vec![0f64; crate::tensor::checked_elems(&extents)?];
        let mut at = vec![0i64; rank - 2];
        let offset = |at: &[i64], operand: &[i64]| {
            let lead = &operand[..operand.len() - 2];
            let skipped = at.len() - lead.len();
            lead.iter().zip(&at[skipped..]).fold(0, |flat, (extent, i)| flat * *extent as usize + if *extent == 1 { 0 } else { *i as usize })
        };
        for batch in 0..batches {
            let (oa, ob) = (offset(&at, ea) * m * k, offset(&at, eb) * k * n);
            let out = &mut result[batch * m * n..(batch + 1) * m * n];
            for i in 0..m {
                for p in 0..k {
                    let scale = x[oa + i * k + p];
                    for (sum, value) in out[i * n..(i + 1) * n].iter_mut().zip(&y[ob + p * n..ob + (p + 1) * n]) {
                        *sum += scale * value;
                    }
                }
            }
            crate::compute::advance(&mut at, &extents[..rank - 2]);
        }
        Ok(vec![Tensor::from_f64s(a.dtype(), &extents, &result)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl MatMul {
    /// The nest, with a product of its own.
    pub(super) fn nest(&self, args: &[&TensorType], to: DType, product: impl FnOnce(&mut Exprs, ExprId, ExprId) -> ExprId) -> Result<Compute, OpError> {
        let (a, b) = (args[0].extents()?, args[1].extents()?);
        let dtype = args[0].dtype;
        let result = self.infer(&[Arg { ty: args[0], value: None }, Arg { ty: args[1], value: None }])?;
        let extents = result[0].extents()?;
        let rank = extents.len();
        Ok(Compute::reduction(to, &extents, &[a[a.len() - 1]], Combine::Sum, |e, at, k| {
            let mut ia = broadcast_index(e, &a[..a.len() - 2], &at[..rank - 2]);
            ia.extend([at[rank - 2], k[0]]);
            let mut ib = broadcast_index(e, &b[..b.len() - 2], &at[..rank - 2]);
            ib.extend([k[0], at[rank - 1]]);
            let x = e.load(Source(0), dtype, ia);
            let y = e.load(Source(1), dtype, ib);
            product(e, x, y)
        }))
    }

    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for (a, b) in [
            (&[3i64, 5][..], &[5i64, 7][..]),
            (&[1, 64], &[64, 33]),
            (&[19, 31], &[31, 50]),
            (&[2, 3, 4, 5], &[3, 5, 6]),
            (&[4, 1, 8], &[1, 8, 9]),
            (&[3, 0], &[0, 4]),
            (&[0, 3], &[3, 4]),
            (&[1, 1], &[1, 1]),
            (&[130, 257], &[257, 65]),
        ] {
            samples.push(Sample::drawn(MatMul {}, Domain::Ordinary, &[(DType::F32, a), (DType::F32, b)]));
        }
        samples.push(Sample::drawn(MatMul {}, Domain::Ordinary, &[(DType::F16, &[3, 9]), (DType::F16, &[9, 5])]));
        samples.push(Sample::drawn(MatMul {}, Domain::Ordinary, &[(DType::F64, &[3, 9]), (DType::F64, &[9, 5])]));
        samples.push(Sample::drawn(MatMul {}, Domain::Any, &[(DType::I32, &[3, 9]), (DType::I32, &[9, 5])]));
        samples
    }
}
