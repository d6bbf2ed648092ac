//! Convolution of quantised numbers.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{add, per_channel};
use crate::ops::padding::Padding;
use crate::ops::{Arity, Domain, OpDef, Sample};
use crate::ops::{conv_integer::ConvInteger, convolution::Convolution};

op! {
    /// `convolution_integer(x, w, x_zero, w_zero, bias?)`: `convolution` of `x - x_zero` and `w - w_zero` in i32, which
    /// wraps. `w_zero` is one number or one per output channel; margins count as `x_zero`. Source: ONNX `ConvInteger`,
    /// `QLinearConv`.
    pub struct ConvolutionInteger = "convolution_integer" {
        /// Distance between windows, per spatial axis.
        pub strides: Vec<i64>,
        /// Distance between a window's elements, per spatial axis.
        pub dilations: Vec<i64>,
        /// Margin in front, if given.
        pub before: Vec<i64>,
        /// Margin behind, if given.
        pub after: Vec<i64>,
        /// How the margins are found.
        pub padding: Padding,
        /// Number of groups of channels that are convolved apart.
        pub groups: i64,
    }
}

impl OpDef for ConvolutionInteger {
    derived!();
    fn arity(&self) -> Arity {
        4..=5
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![DType::I32]
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        if inputs.iter().any(|value| !b.dtype(*value).is_int()) {
            return Err(OpError::invalid("'convolution_integer' takes integers"));
        }
        let plain = Convolution {
            strides: self.strides.clone(),
            dilations: self.dilations.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
            padding: self.padding,
            groups: self.groups,
        };
        let windows = plain.windows(b, inputs)?;
        let rank = windows.strides.len() + 2;
        let conv = ConvInteger { strides: windows.strides, dilations: windows.dilations, before: windows.before, after: windows.after, groups: self.groups };
        let mut y = b.apply(conv, &inputs[..4])?;
        if let Some(bias) = inputs.get(4) {
            let bias = per_channel(b, *bias, rank)?;
            y = add(b, y, bias)?;
        }
        Ok(vec![y])
    }
}

impl ConvolutionInteger {
    pub(crate) fn samples() -> Vec<Sample> {
        let op = ConvolutionInteger { strides: vec![2, 1], dilations: vec![], before: vec![1, 0], after: vec![0, 1], padding: Padding::Given, groups: 1 };
        vec![
            Sample::drawn(op.clone(), Domain::Any, &[(DType::U8, &[1, 3, 8, 9]), (DType::I8, &[4, 3, 3, 2]), (DType::U8, &[]), (DType::I8, &[4]), (DType::I32, &[4])]),
            Sample::drawn(op, Domain::Any, &[(DType::U8, &[1, 1, 5, 5]), (DType::U8, &[1, 1, 2, 2]), (DType::U8, &[]), (DType::U8, &[])]),
        ]
    }
}
