//! One number per channel, added.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{add, per_channel};
use crate::ops::{Arity, Domain, OpDef, Sample};

op! {
    /// `channel_bias(x, bias)`: `x` plus `bias[c]` for each channel `c` (axis 1).
    pub struct ChannelBias = "channel_bias" {}
}

impl OpDef for ChannelBias {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let rank = b.rank(inputs[0])?;
        let bias = per_channel(b, inputs[1], rank)?;
        Ok(vec![add(b, inputs[0], bias)?])
    }
}

impl ChannelBias {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![Sample::drawn(ChannelBias {}, Domain::Any, &[(DType::F32, &[2, 3, 5]), (DType::F32, &[3])])]
    }
}
