//! Negative log likelihood of classes.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::aggregate::Statistic;
use crate::ops::attr::attr_enum;
use crate::ops::{Arity, Domain, Input, OpDef, Sample, Tolerance};
use crate::ops::{aggregate::Aggregate, aggregate_by::AggregateBy, div::Div, equal::Equal, iota::Iota, mul::Mul, neg::Neg, reshape::Reshape, select::Select};
use crate::scalar::Scalar;
use crate::tensor::Tensor;

attr_enum! {
    /// What becomes of the losses of the samples.
    pub enum Reduction {
        /// They are the result.
        None = "none",
        /// Their sum.
        Sum = "sum",
        /// Their sum over the sum of their weights.
        Mean = "mean",
    }
}

op! {
    /// `nll_loss(x, target, weight?)`: `-weight[target[n, d..]] * x[n, target[n, d..], d..]`, for `x` of shape
    /// `[N, C, d..]`, integer `target` of shape `[N, d..]`, `weight` of shape `[C]`. Targets that are `ignore` or no class
    /// count nothing. Source: ONNX `NegativeLogLikelihoodLoss`.
    pub struct NllLoss = "nll_loss" {
        /// A target that counts nothing.
        pub ignore: Option<i64>,
        /// What the losses are made into.
        pub reduction: Reduction,
    }
}

impl OpDef for NllLoss {
    derived!();
    fn arity(&self) -> Arity {
        2..=3
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let (dtype, index) = (b.dtype(x[0]), b.dtype(x[1]));
        let extents = b.extents(x[0])?;
        let targets = b.extents(x[1])?;
        if extents.len() < 2 || extents[..1] != targets[..1.min(targets.len())] || extents[2..] != targets[1..] || !index.is_int() || !dtype.is_float() {
            return Err(OpError::invalid(format!("targets {} don't fit {}", b.ty(x[1]), b.ty(x[0]))));
        }
        // Classes are counted along axis 1 and compared with the targets: a row of truth values with one hit.
        let mut line = vec![1; extents.len()];
        line[1] = extents[1];
        let classes = b.apply(Iota { dtype: index, extents: line.clone(), axis: 1 }, &[])?;
        let mut column = extents.clone();
        column[1] = 1;
        let wanted = b.apply(Reshape { extents: column }, &x[1..2])?;
        let mut hit = b.apply(Equal {}, &[classes, wanted])?;
        let zero = b.scalar(dtype, 0.0);
        if let Some(ignore) = self.ignore {
            let ignore = b.constant(Tensor::scalar(index, Scalar::Int(i128::from(ignore))));
            let ignored = b.apply(Equal {}, &[wanted, ignore])?;
            let never = b.constant(Tensor::from_bools(&[], &[false]));
            hit = b.apply(Select {}, &[ignored, never, hit])?;
        }
        let one = b.scalar(dtype, 1.0);
        let weight = match x.get(2) {
            Some(weight) => b.apply(Reshape { extents: line }, &[*weight])?,
            None => one,
        };
        let weighted = b.apply(Mul {}, &[x[0], weight])?;
        let chosen = b.apply(Select {}, &[hit, weighted, zero])?;
        let sums = b.apply(Aggregate { statistic: Statistic::Sum, axes: vec![1], keep: false }, &[chosen])?;
        let losses = b.apply(Neg {}, &[sums])?;
        if self.reduction == Reduction::None {
            return Ok(vec![losses]);
        }
        let all = b.ints(&[]);
        let total = AggregateBy { statistic: Statistic::Sum, keep: false, empty_is_none: false };
        let sum = b.apply(total.clone(), &[losses, all])?;
        if self.reduction == Reduction::Sum {
            return Ok(vec![sum]);
        }
        let weights = b.apply(Select {}, &[hit, weight, zero])?;
        let counted = b.apply(total, &[weights, all])?;
        Ok(vec![b.apply(Div {}, &[sum, counted])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl NllLoss {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
            for ignore in [None, Some(1)] {
                samples.push(Sample {
                    op: NllLoss { ignore, reduction }.into(),
                    inputs: vec![
                        Input::Drawn(DType::F32, vec![2, 3, 2], Domain::Ordinary),
                        Input::Given(Tensor::from_slice(&[2, 2], &[0i64, 1, 2, 0])),
                        Input::Drawn(DType::F32, vec![3], Domain::Between(0.5, 1.5)),
                    ],
                });
            }
        }
        samples
    }
}
