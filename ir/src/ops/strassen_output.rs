//! Rows of a product from Strassen's products.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::strassen::{PRODUCTS, RESULT, sum};
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::scalar::Binary;
use crate::shape::{Dim, TensorType};

op! {
    /// `x` is `[7, (rows + 1) div 2, N]`, `y` is `[rows, 2N]`: `y[2i + s, q*N + n]` is the sum of `x[p, i, n]` that makes the part `s, q` of a matrix
    /// of the seven products that Strassen's algorithm has.
    pub struct StrassenOutput = "strassen_output" {
        /// Rows of the result; the last pair may have one more.
        pub rows: i64,
    }
}

impl OpDef for StrassenOutput {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let x = args[0].ty;
        let wrong = || OpError::invalid(format!("'strassen_output' of {x}, which are not {PRODUCTS} products of f32 or f64 that make {} rows", self.rows));
        let [products, pairs, columns] = x.dims()? else { return Err(wrong()) };
        let wanted = self.rows.checked_add(1).filter(|n| *n > 0).map(|n| n / 2).ok_or_else(wrong)?;
        if !matches!(x.dtype, DType::F32 | DType::F64) || products.known().is_some_and(|n| n != PRODUCTS as i64) || pairs.known().is_some_and(|n| n != wanted) {
            return Err(wrong());
        }
        Ok(vec![TensorType::ranked(x.dtype, vec![Dim::Known(self.rows), columns.times(&Dim::Known(2))])])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let (x, dtype) = (args[0].extents()?, args[0].dtype);
        let extents = self.infer(&[Arg { ty: args[0], value: None }])?[0].extents()?;
        Ok(Body::Loops(vec![Compute::map(dtype, &extents, |e, at| {
            let (two, half) = (e.int(2), e.int(x[2]));
            let (pair, row) = (e.binary(Binary::FloorDiv, at[0], two), e.binary(Binary::Mod, at[0], two));
            let (side, column) = (e.binary(Binary::FloorDiv, at[1], half), e.binary(Binary::Mod, at[1], half));
            let rows = RESULT.map(|parts| {
                let sides = parts.map(|terms| {
                    sum(e, terms, |e, p| {
                        let product = e.int(p as i64);
                        e.load(Source(0), dtype, vec![product, pair, column])
                    })
                });
                e.pick(side, &sides)
            });
            e.pick(row, &rows)
        })]))
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 4.0)
    }
}

impl StrassenOutput {
    pub(crate) fn samples() -> Vec<Sample> {
        [(8, DType::F32, &[7i64, 4, 32][..]), (7, DType::F32, &[7, 4, 17]), (1, DType::F32, &[7, 1, 1]), (6, DType::F64, &[7, 3, 20]), (0, DType::F32, &[7, 0, 4]), (4, DType::F32, &[7, 2, 0])]
            .into_iter()
            .map(|(rows, dtype, x)| Sample::drawn(StrassenOutput { rows }, Domain::Ordinary, &[(dtype, x)]))
            .collect()
    }
}
