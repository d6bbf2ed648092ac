//! Statistics along axes that are an operand.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::aggregate::{Aggregate, Statistic};
use crate::ops::{Arity, Domain, Input, OpDef, Sample, Tolerance};
use crate::shape::axis;
use crate::tensor::Tensor;

op! {
    /// `aggregate_by(x, axes)`: as `aggregate`, with the axes given as a vector of i64 (negative ones count from the end).
    /// Source: ONNX `ReduceMean` and its neighbours.
    pub struct AggregateBy = "aggregate_by" {
        /// Which statistic.
        pub statistic: Statistic,
        /// Do the axes stay, with extent 1?
        pub keep: bool,
        /// Does an empty list of axes mean none (`x` itself) rather than all?
        pub empty_is_none: bool,
    }
}

impl OpDef for AggregateBy {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let given = b.as_ints(inputs[1])?;
        if given.is_empty() && self.empty_is_none {
            return Ok(vec![inputs[0]]);
        }
        let rank = b.rank(inputs[0])?;
        let mut axes = given.iter().map(|k| axis(*k, rank)).collect::<Result<Vec<usize>, _>>()?;
        if given.is_empty() {
            axes = (0..rank).collect();
        }
        axes.sort_unstable();
        axes.dedup();
        Ok(vec![b.apply(Aggregate { statistic: self.statistic, axes, keep: self.keep }, &inputs[..1])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Aggregate { statistic: self.statistic, axes: Vec::new(), keep: self.keep }.tolerance(dtype)
    }
}

impl AggregateBy {
    pub(crate) fn samples() -> Vec<Sample> {
        [(vec![-1, 0], true, false), (vec![], false, false), (vec![], false, true), (vec![1], false, true)]
            .into_iter()
            .map(|(axes, keep, empty_is_none)| Sample {
                op: AggregateBy { statistic: Statistic::Mean, keep, empty_is_none }.into(),
                inputs: vec![Input::Drawn(DType::F32, vec![2, 3, 4], Domain::Ordinary), Input::Constant(Tensor::from_ints(&axes))],
            })
            .collect()
    }
}
