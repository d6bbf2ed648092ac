//! Transposed convolution whose margins may follow from a rule or from the result's shape, with a bias.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{add, per_channel};
use crate::ops::padding::{Padding, Windows};
use crate::ops::{Arity, Domain, OpDef, Sample, Tolerance, conv_transpose::ConvTranspose};

op! {
    /// `deconvolution(x, w, bias?)`: `conv_transpose` of `x` and `w`, plus one number per output channel. Empty lists
    /// stand for ones (strides, dilations) and zeros (the others). Source: ONNX `ConvTranspose`.
    pub struct Deconvolution = "deconvolution" {
        /// Distance in the result between elements of `x`, per spatial axis.
        pub strides: Vec<i64>,
        /// Distance in the result between a window's elements.
        pub dilations: Vec<i64>,
        /// Elements cut off in front, if given.
        pub before: Vec<i64>,
        /// Elements cut off behind, if given.
        pub after: Vec<i64>,
        /// Elements added behind.
        pub extra: Vec<i64>,
        /// Spatial extents of the result, from which the margins follow; empty where they do not.
        pub extents: Vec<i64>,
        /// How the margins are found.
        pub padding: Padding,
        /// Number of groups of channels that are convolved apart.
        pub groups: i64,
    }
}

impl OpDef for Deconvolution {
    derived!();
    fn arity(&self) -> Arity {
        2..=3
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let (dims, kernel) = (b.ty(inputs[0]).dims()?.to_vec(), b.ty(inputs[1]).dims()?.to_vec());
        let complain = || Err(OpError::invalid(format!("'deconvolution' of {} with weights {}", b.ty(inputs[0]), b.ty(inputs[1]))));
        if kernel.len() < 3 || dims.len() != kernel.len() {
            return complain();
        }
        let rank = kernel.len();
        let reach = kernel[2..].iter().map(|dim| dim.known().ok_or_else(OpError::unknown)).collect::<Result<Vec<_>, _>>()?;
        let mut windows = Windows::new(&reach, &self.strides, &self.dilations, &self.before, &self.after)?;
        let spatial = rank - 2;
        let fits = |list: &[i64]| list.is_empty() || (list.len() == spatial && list.iter().all(|n| (0..1 << 31).contains(n)));
        if !fits(&self.extra) || !fits(&self.extents) {
            return complain();
        }
        let ruled = !self.extents.is_empty() || matches!(self.padding, Padding::SameBegin | Padding::SameEnd);
        for k in 0..spatial {
            let extra = self.extra.get(k).copied().unwrap_or(0);
            if ruled {
                let n = dims[k + 2].known().ok_or_else(OpError::unknown)?;
                let wanted = match self.extents.get(k) {
                    Some(wanted) => *wanted,
                    None => n.saturating_mul(windows.strides[k]),
                };
                let full = (n - 1).saturating_mul(windows.strides[k]).saturating_add(windows.reach(k));
                let total = full.saturating_add(extra).saturating_sub(wanted).max(0);
                windows.before[k] = if self.padding == Padding::SameEnd { total / 2 } else { total - total / 2 };
                windows.after[k] = full - windows.before[k] - wanted;
            } else {
                if self.padding == Padding::None {
                    (windows.before[k], windows.after[k]) = (0, 0);
                }
                windows.after[k] -= extra;
            }
        }
        let conv = ConvTranspose { strides: windows.strides, dilations: windows.dilations, before: windows.before, after: windows.after, groups: self.groups };
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

impl Deconvolution {
    pub(crate) fn samples() -> Vec<Sample> {
        let op = |padding, extra: &[i64], extents: &[i64]| Deconvolution { strides: vec![3, 2], dilations: vec![], before: vec![], after: vec![], extra: extra.into(), extents: extents.into(), padding, groups: 1 };
        [op(Padding::Given, &[1, 1], &[]), op(Padding::SameEnd, &[], &[]), op(Padding::SameBegin, &[], &[]), op(Padding::Given, &[], &[10, 8])]
            .into_iter()
            .map(|op| Sample::drawn(op, Domain::Ordinary, &[(DType::F32, &[1, 2, 3, 3]), (DType::F32, &[2, 4, 3, 3]), (DType::F32, &[4])]))
            .collect()
    }
}
