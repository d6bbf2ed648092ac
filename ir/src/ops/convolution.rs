//! Convolution whose margins may follow from a rule, with a bias.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{add, per_channel};
use crate::ops::padding::{Padding, Windows};
use crate::ops::{Arity, Domain, OpDef, Sample, Tolerance, conv::Conv};

op! {
    /// `convolution(x, w, bias?)`: `conv` of `x` and `w`, plus one number per output channel. Empty lists stand for ones
    /// (strides, dilations) and zeros (margins). Source: ONNX `Conv`.
    pub struct Convolution = "convolution" {
        /// Distance between windows, per spatial axis.
        pub strides: Vec<i64>,
        /// Distance between a window's elements, per spatial axis.
        pub dilations: Vec<i64>,
        /// Zeros in front, if given.
        pub before: Vec<i64>,
        /// Zeros behind, if given.
        pub after: Vec<i64>,
        /// How the margins are found.
        pub padding: Padding,
        /// Number of groups of channels that are convolved apart.
        pub groups: i64,
    }
}

impl OpDef for Convolution {
    derived!();
    fn arity(&self) -> Arity {
        2..=3
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let windows = self.windows(b, inputs)?;
        let rank = windows.strides.len() + 2;
        let conv = Conv { strides: windows.strides, dilations: windows.dilations, before: windows.before, after: windows.after, groups: self.groups };
        let mut y = b.apply(conv, &inputs[..2])?;
        if let Some(bias) = inputs.get(2) {
            let bias = per_channel(b, *bias, rank)?;
            y = add(b, y, bias)?;
        }
        Ok(vec![y])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl Convolution {
    /// The windows, their margins found.
    pub(crate) fn windows(&self, b: &Builder, inputs: &[ValueId]) -> Result<Windows, OpError> {
        let kernel = b.ty(inputs[1]).dims()?.to_vec();
        if kernel.len() < 3 {
            return Err(OpError::invalid(format!("weights of shape {} have no spatial axes", b.ty(inputs[1]).shape)));
        }
        let ruled = self.padding != Padding::Given;
        let extents = kernel[2..].iter().map(|dim| dim.known().or((!ruled).then_some(1)).ok_or_else(OpError::unknown)).collect::<Result<Vec<_>, _>>()?;
        let mut windows = Windows::new(&extents, &self.strides, &self.dilations, &self.before, &self.after)?;
        if ruled {
            windows.place(b.ty(inputs[0]).dims()?.get(2..).unwrap_or_default(), self.padding, false)?;
        }
        Ok(windows)
    }

    pub(crate) fn samples() -> Vec<Sample> {
        [Padding::Given, Padding::None, Padding::SameEnd, Padding::SameBegin]
            .into_iter()
            .map(|padding| Convolution { strides: vec![2, 1], dilations: vec![], before: vec![], after: vec![], padding, groups: 1 })
            .map(|op| Sample::drawn(op, Domain::Ordinary, &[(DType::F32, &[1, 3, 8, 9]), (DType::F32, &[4, 3, 3, 2]), (DType::F32, &[4])]))
            .collect()
    }
}
