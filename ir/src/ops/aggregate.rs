//! Statistics along axes: mean, norms, log-sum-exp.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::attr::attr_enum;
use crate::ops::reduce::How;
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance};
use crate::ops::{abs::Abs, add::Add, cast::Cast, div::Div, exp::Exp, is_inf::IsInf, log::Log, mul::Mul, reduce::Reduce, reshape::Reshape, select::Select, sqrt::Sqrt, sub::Sub};
use crate::shape::{Dim, TensorType};

attr_enum! {
    /// What is said of the elements.
    pub enum Statistic {
        /// Sum; of nothing 0.
        Sum = "sum",
        /// Product; of nothing 1.
        Product = "product",
        /// Largest; of nothing the lowest value of the dtype.
        Max = "max",
        /// Smallest; of nothing the highest value of the dtype.
        Min = "min",
        /// Sum over count; integers cut off towards zero.
        Mean = "mean",
        /// Sum of absolute values.
        L1 = "l1",
        /// Root of the sum of squares.
        L2 = "l2",
        /// Sum of squares.
        SumSquare = "sum_square",
        /// Logarithm of the sum.
        LogSum = "log_sum",
        /// Logarithm of the sum of exponentials.
        LogSumExp = "log_sum_exp",
    }
}

op! {
    /// A statistic of the elements along `axes`. Narrow floats are computed in f32, roots and logarithms of integers in
    /// f64. Source: ONNX `ReduceMean` and its neighbours.
    pub struct Aggregate = "aggregate" {
        /// Which.
        pub statistic: Statistic,
        /// Which axes, ascending.
        pub axes: Vec<usize>,
        /// Do the axes stay, with extent 1?
        pub keep: bool,
    }
}

impl Aggregate {
    fn compute(&self, b: &mut Builder, x: ValueId) -> Result<ValueId, OpError> {
        let reduce = |b: &mut Builder, how: How, x: ValueId| b.apply(Reduce { how, axes: self.axes.clone() }, &[x]);
        match self.statistic {
            Statistic::Sum => reduce(b, How::Sum, x),
            Statistic::Product => reduce(b, How::Product, x),
            Statistic::Max => reduce(b, How::Max, x),
            Statistic::Min => reduce(b, How::Min, x),
            Statistic::Mean => {
                let extents = b.extents(x)?;
                let count: i64 = self.axes.iter().map(|axis| extents[*axis]).product();
                let sum = reduce(b, How::Sum, x)?;
                let count = b.scalar(b.dtype(x), count as f64);
                b.apply(Div {}, &[sum, count])
            }
            Statistic::L1 => {
                let sizes = b.apply(Abs {}, &[x])?;
                reduce(b, How::Sum, sizes)
            }
            Statistic::SumSquare | Statistic::L2 => {
                let squares = b.apply(Mul {}, &[x, x])?;
                let sum = reduce(b, How::Sum, squares)?;
                if self.statistic == Statistic::L2 { b.apply(Sqrt {}, &[sum]) } else { Ok(sum) }
            }
            Statistic::LogSum => {
                let sum = reduce(b, How::Sum, x)?;
                b.apply(Log {}, &[sum])
            }
            Statistic::LogSumExp => {
                // Shifted by the largest so that nothing overflows, but not by an infinity.
                let largest = reduce(b, How::Max, x)?;
                let infinite = b.apply(IsInf { negative: true, positive: true }, &[largest])?;
                let zero = b.scalar(b.dtype(x), 0.0);
                let shift = b.apply(Select {}, &[infinite, zero, largest])?;
                let shifted = b.apply(Sub {}, &[x, shift])?;
                let powers = b.apply(Exp {}, &[shifted])?;
                let sum = reduce(b, How::Sum, powers)?;
                let log = b.apply(Log {}, &[sum])?;
                b.apply(Add {}, &[log, shift])
            }
        }
    }
}

impl OpDef for Aggregate {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let dims = args[0].ty.dims()?;
        if !self.axes.is_sorted_by(|a, b| a < b) || self.axes.last().is_some_and(|k| *k >= dims.len()) {
            return Err(OpError::invalid(format!("{:?} are not ascending axes of shape {}", self.axes, args[0].ty.shape)));
        }
        let extreme = matches!(self.statistic, Statistic::Max | Statistic::Min);
        if args[0].ty.dtype == DType::Str || (args[0].ty.dtype == DType::Bool && !extreme) {
            return Err(OpError::invalid(format!("'aggregate' of {}", args[0].ty.dtype)));
        }
        let dims = dims.iter().enumerate().filter_map(|(k, dim)| if !self.axes.contains(&k) { Some(dim.clone()) } else { self.keep.then_some(Dim::Known(1)) });
        Ok(vec![TensorType::ranked(args[0].ty.dtype, dims.collect())])
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let dtype = b.dtype(x[0]);
        let within = match self.statistic {
            Statistic::Sum | Statistic::Product | Statistic::Max | Statistic::Min => dtype,
            Statistic::L2 | Statistic::LogSum | Statistic::LogSumExp if dtype.is_int() => DType::F64,
            _ => dtype.accumulator(),
        };
        let mut value = x[0];
        if within != dtype {
            value = b.apply(Cast { to: within }, &[value])?;
        }
        value = self.compute(b, value)?;
        if within != dtype {
            value = b.apply(Cast { to: dtype }, &[value])?;
        }
        if !self.keep && !self.axes.is_empty() {
            let extents = b.extents(value)?;
            let extents = extents.iter().enumerate().filter(|(k, _)| !self.axes.contains(k)).map(|(_, n)| *n).collect();
            value = b.apply(Reshape { extents }, &[value])?;
        }
        Ok(vec![value])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        match self.statistic {
            Statistic::Max | Statistic::Min => Tolerance::EXACT,
            _ => Tolerance::sum(dtype, 16.0),
        }
    }
}

/// Every statistic.
pub(crate) const STATISTICS: [Statistic; 10] = [
    Statistic::Sum,
    Statistic::Product,
    Statistic::Max,
    Statistic::Min,
    Statistic::Mean,
    Statistic::L1,
    Statistic::L2,
    Statistic::SumSquare,
    Statistic::LogSum,
    Statistic::LogSumExp,
];

impl Aggregate {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for statistic in STATISTICS {
            for (axes, keep, extents) in [(vec![1], false, &[3i64, 37, 5][..]), (vec![0, 2], true, &[3, 4, 5]), (vec![], false, &[3, 4]), (vec![1], false, &[3, 1])] {
                let domain = Domain::Between(0.5, 1.5);
                samples.push(Sample::drawn(Aggregate { statistic, axes: axes.clone(), keep }, domain, &[(DType::F32, extents)]));
                samples.push(Sample::drawn(Aggregate { statistic, axes, keep }, domain, &[(DType::F16, extents)]));
            }
            if statistic != Statistic::Mean {
                samples.push(Sample::drawn(Aggregate { statistic, axes: vec![0], keep: true }, Domain::Ordinary, &[(DType::F32, &[0, 3])]));
            }
        }
        for statistic in [Statistic::Sum, Statistic::Max, Statistic::Mean, Statistic::L1] {
            samples.push(Sample::drawn(Aggregate { statistic, axes: vec![1], keep: false }, Domain::Between(-30.0, 30.0), &[(DType::I32, &[5, 9])]));
        }
        samples.push(Sample::drawn(Aggregate { statistic: Statistic::Max, axes: vec![0], keep: false }, Domain::Any, &[(DType::Bool, &[5, 9])]));
        samples
    }
}
