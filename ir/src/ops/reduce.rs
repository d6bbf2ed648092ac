//! Sum, product, maximum or minimum along axes.
use crate::compute::{Combine, Compute};
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::attr::attr_enum;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::shape::{Dim, TensorType};

attr_enum! {
    /// How elements become one.
    pub enum How {
        /// Sum; of nothing 0.
        Sum = "sum",
        /// Product; of nothing 1.
        Product = "product",
        /// Largest; of nothing the lowest value of the dtype.
        Max = "max",
        /// Smallest; of nothing the highest value of the dtype.
        Min = "min",
    }
}

op! {
    /// Joins the elements along `axes`, which keep extent 1. Narrow floats are accumulated in f32.
    pub struct Reduce = "reduce" {
        /// How.
        pub how: How,
        /// Which axes, ascending.
        pub axes: Vec<usize>,
    }
}

impl OpDef for Reduce {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let mut dims = args[0].ty.dims()?.to_vec();
        if !self.axes.is_sorted_by(|a, b| a < b) || self.axes.last().is_some_and(|k| *k >= dims.len()) {
            return Err(OpError::invalid(format!("{:?} are not ascending axes of shape {}", self.axes, args[0].ty.shape)));
        }
        for axis in &self.axes {
            dims[*axis] = Dim::Known(1);
        }
        Ok(vec![TensorType::ranked(args[0].ty.dtype, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let dtype = args[0].dtype;
        let from = args[0].extents()?;
        let mut extents = from.clone();
        for axis in &self.axes {
            extents[*axis] = 1;
        }
        let reduce: Vec<i64> = self.axes.iter().map(|axis| from[*axis]).collect();
        let combine = match self.how {
            How::Sum => Combine::Sum,
            How::Product => Combine::Product,
            How::Max => Combine::Max,
            How::Min => Combine::Min,
        };
        Ok(Body::Loops(vec![Compute::reduction(dtype, &extents, &reduce, combine, |e, outer, inner| {
            let mut index = outer.to_vec();
            for (axis, r) in self.axes.iter().zip(inner) {
                index[*axis] = *r;
            }
            let x = e.load(Source(0), dtype, index);
            e.cast(dtype.accumulator(), x)
        })]))
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        match self.how {
            How::Sum | How::Product => Tolerance::sum(dtype, 16.0),
            How::Max | How::Min => Tolerance::EXACT,
        }
    }
}

impl Reduce {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for how in [How::Sum, How::Product, How::Max, How::Min] {
            let domain = if how == How::Product { Domain::Between(0.5, 1.5) } else { Domain::Ordinary };
            for (axes, extents) in [(vec![1], &[3i64, 37, 5][..]), (vec![0, 2], &[3, 4, 5]), (vec![2], &[3, 4, 67]), (vec![0], &[0, 3]), (vec![], &[3, 4])] {
                samples.push(Sample::drawn(Reduce { how, axes: axes.clone() }, domain, &[(DType::F32, extents)]));
                samples.push(Sample::drawn(Reduce { how, axes }, Domain::Between(-3.0, 3.0), &[(DType::I32, extents)]));
            }
            samples.push(Sample::drawn(Reduce { how, axes: vec![1] }, domain, &[(DType::F16, &[3, 11])]));
        }
        for how in [How::Max, How::Min] {
            samples.push(Sample::drawn(Reduce { how, axes: vec![1] }, Domain::Any, &[(DType::F32, &[40, 9])]));
        }
        samples
    }
}
