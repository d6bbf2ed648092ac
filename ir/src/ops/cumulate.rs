//! Running sums and products.
use crate::compute::{Combine, Compute};
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::attr::attr_enum;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::scalar::{Binary, Scalar};
use crate::shape::TensorType;
use crate::tensor::Tensor;

attr_enum! {
    /// How elements are joined.
    pub enum Running {
        /// Sum.
        Sum = "sum",
        /// Product.
        Product = "product",
    }
}

op! {
    /// `y[i] = join of x[0..=i]` along `axis`; integers wrap. Source: NumPy `cumsum`, `cumprod`; ONNX `CumSum`, `CumProd`.
    pub struct Cumulate = "cumulate" {
        /// How.
        pub how: Running,
        /// The axis.
        pub axis: usize,
        /// Is element `i` itself left out?
        pub exclusive: bool,
        /// From the end rather than from the beginning?
        pub reverse: bool,
    }
}

/// Axes up to this long become loops, in which each result is a reduction of its own; the work grows with the square.
const LONGEST_LOOPS: i64 = 256;

impl Cumulate {
    fn combine(&self) -> Combine {
        match self.how {
            Running::Sum => Combine::Sum,
            Running::Product => Combine::Product,
        }
    }
}

impl OpDef for Cumulate {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let ty = args[0].ty;
        if self.axis >= ty.rank()? || !(ty.dtype.is_float() || ty.dtype.is_int()) {
            return Err(OpError::invalid(format!("'cumulate' along axis {} of {ty}", self.axis)));
        }
        Ok(vec![ty.clone()])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let extents = args[0].extents()?;
        let (dtype, count) = (args[0].dtype, extents[self.axis]);
        if count > LONGEST_LOOPS {
            return Ok(Body::Routine);
        }
        Ok(Body::Loops(vec![Compute::reduction(dtype, &extents, &[count], self.combine(), |e, at, r| {
            let (low, high) = if self.reverse { (at[self.axis], r[0]) } else { (r[0], at[self.axis]) };
            let counts = e.binary(if self.exclusive { Binary::Lt } else { Binary::Le }, low, high);
            let mut index = at.to_vec();
            index[self.axis] = r[0];
            let x = e.load(Source(0), dtype, index);
            let wide = e.cast(dtype.accumulator(), x);
            let neutral = e.constant(self.combine().identity(dtype), dtype.accumulator());
            e.select(counts, wide, neutral)
        })]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let (x, dtype) = (inputs[0], inputs[0].dtype());
        let wide = if dtype.is_float() { DType::F64 } else { dtype };
        let (join, first) = (self.combine().op(), self.combine().identity(wide));
        let count = x.extents()[self.axis] as usize;
        let inner = x.extents()[self.axis + 1..].iter().product::<i64>() as usize;
        let mut result: Vec<Scalar> = x.scalars().collect();
        for start in (0..result.len()).step_by((count * inner).max(1)) {
            for lane in 0..inner {
                let mut sum = first;
                for step in 0..count {
                    let place = start + lane + inner * if self.reverse { count - 1 - step } else { step };
                    let next = join.apply(sum, result[place], wide);
                    result[place] = if self.exclusive { sum } else { next };
                    sum = next;
                }
            }
        }
        Ok(vec![Tensor::from_scalars(dtype, x.extents(), result)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl Cumulate {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for how in [Running::Sum, Running::Product] {
            for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
                for (axis, dtype, extents) in [(1, DType::F32, &[3i64, 17][..]), (0, DType::F32, &[9, 4]), (1, DType::I32, &[2, 5, 3]), (0, DType::F32, &[300]), (0, DType::F32, &[0]), (0, DType::F16, &[1])] {
                    samples.push(Sample::drawn(Cumulate { how, axis, exclusive, reverse }, Domain::Between(0.5, 1.5), &[(dtype, extents)]));
                }
            }
        }
        samples
    }
}
