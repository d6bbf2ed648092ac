//! Columns of windows added up to an image whose shape is an operand.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::fold::Fold;
use crate::ops::{Arg, Arity, Domain, Input, OpDef, Sample, Tolerance, infer_parameters};
use crate::shape::{Dim, TensorType};
use crate::tensor::Tensor;

op! {
    /// `col2im(x, image, kernel)`: as `fold`, with the extents of image and window as vectors of i64. Source: ONNX
    /// `Col2Im`.
    pub struct Col2Im = "col2im" {
        /// Distance between windows, per axis; 1 where left out.
        pub strides: Option<Vec<i64>>,
        /// Distance between a window's elements, per axis; 1 where left out.
        pub dilations: Option<Vec<i64>>,
        /// Margins in front of the image, per axis, then those behind; 0 where left out.
        pub pads: Option<Vec<i64>>,
    }
}

impl OpDef for Col2Im {
    derived!();
    fn arity(&self) -> Arity {
        3..=3
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        infer_parameters(self, args, || {
            let mut dims = vec![args[0].ty.dims()?.first().cloned().unwrap_or(Dim::Unknown), Dim::Unknown];
            match args[1].ints() {
                Some(image) => dims.extend(image.into_iter().map(Dim::Known)),
                None => dims.extend(vec![Dim::Unknown; args[1].length()?]),
            }
            Ok(dims)
        })
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let (image, kernel) = (b.as_ints(inputs[1])?, b.as_ints(inputs[2])?);
        let rank = image.len();
        let pads = self.pads.clone().unwrap_or_else(|| vec![0; 2 * rank]);
        if pads.len() != 2 * rank {
            return Err(OpError::invalid(format!("'col2im' takes {} margins, not {}", 2 * rank, pads.len())));
        }
        let ones = |list: &Option<Vec<i64>>| list.clone().unwrap_or_else(|| vec![1; rank]);
        let fold = Fold { strides: ones(&self.strides), dilations: ones(&self.dilations), before: pads[..rank].to_vec(), after: pads[rank..].to_vec(), image, kernel };
        Ok(vec![b.apply(fold, &inputs[..1])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl Col2Im {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![Sample {
            op: Col2Im { strides: None, dilations: None, pads: Some(vec![0, 1, 0, 1]) }.into(),
            inputs: vec![Input::Drawn(DType::F32, vec![1, 5, 15], Domain::Ordinary), Input::Constant(Tensor::from_ints(&[5, 5])), Input::Constant(Tensor::from_ints(&[1, 5]))],
        }]
    }
}
