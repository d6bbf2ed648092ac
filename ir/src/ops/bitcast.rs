//! The same bits as another dtype.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::shape::TensorType;

op! {
    /// The bits of each element, read as `to`, which has the same number of bits. Source: ONNX `BitCast`.
    pub struct Bitcast = "bitcast" {
        /// The new dtype.
        pub to: DType,
    }
}

/// Bits of one element.
fn bits(dtype: DType) -> u32 {
    match dtype {
        DType::F4E2M1 => 4,
        DType::Bool => 8,
        _ => dtype.int_bits().unwrap_or(dtype.size() as u32 * 8),
    }
}

impl OpDef for Bitcast {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![self.to]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let from = args[0].ty.dtype;
        if from == DType::Str || self.to == DType::Str || bits(from) != bits(self.to) {
            return Err(OpError::invalid(format!("'bitcast' reads {from} as {}: they have other numbers of bits", self.to)));
        }
        Ok(vec![TensorType::new(self.to, args[0].ty.shape.clone())])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let from = args[0].dtype;
        Ok(Body::Loops(vec![Compute::map(self.to, &args[0].extents()?, |e, at| {
            let x = e.load(Source(0), from, at.to_vec());
            e.bitcast(self.to, x)
        })]))
    }
}

impl Bitcast {
    pub(crate) fn samples() -> Vec<Sample> {
        let pairs = [(DType::F32, DType::I32), (DType::U32, DType::F32), (DType::F64, DType::I64), (DType::I8, DType::U8), (DType::F16, DType::U16), (DType::Bool, DType::U8)];
        pairs.iter().map(|(from, to)| Sample::drawn(Bitcast { to: *to }, Domain::Ordinary, &[(*from, &[3, 13])])).collect()
    }
}
