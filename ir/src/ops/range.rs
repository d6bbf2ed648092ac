//! Numbers at equal distances.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::{Arg, Arity, Input, OpDef, Sample, Tolerance, infer_parameters};
use crate::ops::{add::Add, cast::Cast, iota::Iota, mul::Mul};
use crate::scalar::Scalar;
use crate::shape::{Dim, TensorType};
use crate::tensor::Tensor;

op! {
    /// `range(start, limit, delta)`: `start + i * delta` for `i` from 0 below `(limit - start) / delta`; each operand
    /// is one number. Narrow floats are computed in f32. Source: ONNX `Range`.
    pub struct Range = "range" {}
}

/// How many numbers there are.
fn count(start: Scalar, limit: Scalar, delta: Scalar) -> Result<i64, OpError> {
    let n = match (start, limit, delta) {
        (Scalar::Int(_), Scalar::Int(_), Scalar::Int(0)) => None,
        (Scalar::Int(a), Scalar::Int(b), Scalar::Int(d)) => {
            let (distance, step) = if d > 0 { (b - a, d) } else { (a - b, -d) };
            i64::try_from((distance.max(0) + step - 1) / step).ok()
        }
        _ => {
            let n = ((limit.as_f64() - start.as_f64()) / delta.as_f64()).ceil().max(0.0);
            (n < 1e15).then_some(n as i64)
        }
    };
    let n = n.ok_or_else(|| OpError::invalid(format!("'range' from {} to {} by {}", start.as_f64(), limit.as_f64(), delta.as_f64())))?;
    crate::tensor::checked_elems(&[n])?;
    Ok(n)
}

impl OpDef for Range {
    derived!();
    fn arity(&self) -> Arity {
        3..=3
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if args.iter().any(|arg| arg.ty.dtype != args[0].ty.dtype) {
            return Err(OpError::invalid("'range' takes operands of one dtype"));
        }
        infer_parameters(self, args, || Ok(vec![Dim::Unknown]))
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let dtype = b.dtype(inputs[0]);
        let mut numbers = Vec::new();
        for value in inputs {
            let tensor = b.as_constant(*value).ok_or_else(OpError::unknown)?;
            if tensor.elems() != 1 {
                return Err(OpError::invalid(format!("'range' takes single numbers, not {}", tensor.ty())));
            }
            numbers.push(tensor.get(0));
        }
        let n = count(numbers[0], numbers[1], numbers[2])?;
        let wide = dtype.accumulator();
        let i = b.apply(Iota { dtype: DType::I64, extents: vec![n], axis: 0 }, &[])?;
        let i = b.apply(Cast { to: wide }, &[i])?;
        let (start, delta) = (b.constant(Tensor::scalar(wide, numbers[0])), b.constant(Tensor::scalar(wide, numbers[2])));
        let scaled = b.apply(Mul {}, &[i, delta])?;
        let sum = b.apply(Add {}, &[scaled, start])?;
        Ok(vec![b.apply(Cast { to: dtype }, &[sum])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::ulps(2.0, dtype)
    }
}

impl Range {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |dtype, numbers: [f64; 3]| Sample { op: Range {}.into(), inputs: numbers.map(|x| Input::Constant(Tensor::scalar(dtype, Scalar::Float(x)))).to_vec() };
        vec![
            sample(DType::I64, [0.0, 10.0, 3.0]),
            sample(DType::I32, [5.0, -4.0, -2.0]),
            sample(DType::I64, [3.0, 3.0, 1.0]),
            sample(DType::F32, [0.5, 7.25, 0.75]),
            sample(DType::F16, [-1.0, 1.0, 0.25]),
            sample(DType::F64, [1.0, 0.0, 2.0]),
        ]
    }
}
