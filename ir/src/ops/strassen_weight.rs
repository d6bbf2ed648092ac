//! Weights as the second factors of Strassen's products.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::strassen::{PRODUCTS, SECOND, Sum, sum};
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::shape::{Dim, TensorType};
use crate::tensor::{AlignedBytes, Tensor, checked_elems};

op! {
    /// `w` is `[K, N]`, `y` is `[7, K div 2, N div 2]`: `y[p, k, n]` is a sum of `w[k, n]`, `w[k, N div 2 + n]`, `w[K div 2 + k, n]` and `w[K div 2 + k, N
    /// div 2 + n]`, which are the parts of Strassen's second factor. `K` and `N` are even.
    pub struct StrassenWeight = "strassen_weight" {}
}

impl OpDef for StrassenWeight {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let w = args[0].ty;
        let wrong = || OpError::invalid(format!("'strassen_weight' of {w}, which is no matrix of f32 or f64 with even extents"));
        let [depth, columns] = w.dims()? else { return Err(wrong()) };
        if !matches!(w.dtype, DType::F32 | DType::F64) || [depth, columns].iter().any(|dim| dim.known().is_some_and(|n| n % 2 != 0)) {
            return Err(wrong());
        }
        let two = Dim::Known(2);
        Ok(vec![TensorType::ranked(w.dtype, vec![Dim::Known(PRODUCTS as i64), depth.floor_div(&two), columns.floor_div(&two)])])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let dtype = args[0].dtype;
        let extents = self.infer(&[Arg { ty: args[0], value: None }])?[0].extents()?;
        Ok(Body::Loops(vec![Compute::map(dtype, &extents, |e, at| {
            let (below, beside) = (e.int(extents[1]), e.int(extents[2]));
            let (lower, right) = (e.add(at[1], below), e.add(at[2], beside));
            let parts = [[at[1], at[2]], [at[1], right], [lower, at[2]], [lower, right]];
            let sums = SECOND.map(|terms| sum(e, terms, |e, part| e.load(Source(0), dtype, parts[part].to_vec())));
            e.pick(at[0], &sums)
        })]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let w = inputs[0];
        if w.dtype() != DType::F32 {
            return crate::ops::eval_body(self, inputs);
        }
        let extents = self.infer(&[Arg { ty: &w.ty(), value: None }])?[0].extents()?;
        let mut buffer = AlignedBytes::zeroed(checked_elems(&extents)? * 4)?;
        let (depth, width) = (extents[1] as usize, extents[2] as usize);
        let given = w.bytes().as_chunks::<4>().0;
        let rows = buffer.as_mut_slice().as_chunks_mut::<4>().0.chunks_mut(width.max(1));
        for (at, row) in rows.enumerate() {
            let (terms, k): (Sum, usize) = (SECOND[at / depth], at % depth);
            // No sum has more than two parts.
            let part = |part: usize| &given[((part / 2 * depth + k) * 2 + part % 2) * width..][..width];
            let number = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes);
            match terms {
                (&[a, b], _) => row.iter_mut().zip(part(a)).zip(part(b)).for_each(|((sum, a), b)| *sum = (number(a) + number(b)).to_le_bytes()),
                (&[a, ..], &[b, ..]) => row.iter_mut().zip(part(a)).zip(part(b)).for_each(|((sum, a), b)| *sum = (number(a) - number(b)).to_le_bytes()),
                (added, _) => row.copy_from_slice(part(added[0])),
            }
        }
        Ok(vec![Tensor::from_bytes(DType::F32, &extents, buffer)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 2.0)
    }
}

impl StrassenWeight {
    pub(crate) fn samples() -> Vec<Sample> {
        [(DType::F32, &[8i64, 64][..]), (DType::F32, &[2, 2]), (DType::F64, &[6, 10]), (DType::F32, &[34, 6]), (DType::F32, &[0, 4]), (DType::F32, &[4, 0])]
            .into_iter()
            .map(|(dtype, x)| Sample::drawn(StrassenWeight {}, Domain::Ordinary, &[(dtype, x)]))
            .collect()
    }
}
