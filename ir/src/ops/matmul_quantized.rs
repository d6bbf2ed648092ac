//! Products of matrices of quantised numbers, quantised again.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::matmul_integer::{MatMulInteger, per_row};
use crate::ops::{Arity, Domain, Input, OpDef, Sample};
use crate::ops::{cast::Cast, mul::Mul, quantize::Quantize};
use crate::scalar::Scalar;
use crate::tensor::Tensor;

op! {
    /// `matmul_quantized(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero)`:
    /// `quantize(matmul_integer(a, b, a_zero, b_zero) * (a_scale * b_scale), y_scale, y_zero)`, in f32.
    /// Source: ONNX `QLinearMatMul`.
    pub struct MatMulQuantized = "matmul_quantized" {}
}

impl OpDef for MatMulQuantized {
    derived!();
    fn arity(&self) -> Arity {
        8..=8
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        args.last().copied().into_iter().collect()
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let product = b.apply(MatMulInteger {}, &[x[0], x[3], x[2], x[5]])?;
        let product = b.apply(Cast { to: DType::F32 }, &[product])?;
        let float = |b: &mut Builder, value: ValueId| b.apply(Cast { to: DType::F32 }, &[value]);
        let (left, right, scale) = (float(b, x[1])?, float(b, x[4])?, float(b, x[6])?);
        let left = per_row(b, left)?;
        let unit = b.apply(Mul {}, &[left, right])?;
        let value = b.apply(Mul {}, &[product, unit])?;
        let to = b.dtype(x[7]);
        Ok(vec![b.apply(Quantize { to, axis: -2, block: 0 }, &[value, scale, x[7]])?])
    }
}

impl MatMulQuantized {
    pub(crate) fn samples() -> Vec<Sample> {
        let number = |dtype, value| Input::Given(Tensor::scalar(dtype, Scalar::Float(value)));
        let drawn = |dtype, extents: &[i64]| Input::Drawn(dtype, extents.to_vec(), Domain::Any);
        vec![Sample {
            op: MatMulQuantized {}.into(),
            inputs: vec![
                drawn(DType::U8, &[5, 9]),
                number(DType::F32, 0.125),
                number(DType::U8, 3.0),
                drawn(DType::I8, &[9, 7]),
                number(DType::F32, 0.25),
                number(DType::I8, -2.0),
                number(DType::F32, 16.0),
                number(DType::U8, 100.0),
            ],
        }]
    }
}
