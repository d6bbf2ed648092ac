//! Tensors one after another.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, at_least};
use crate::shape::TensorType;
use crate::tensor::{AlignedBytes, Tensor, checked_elems};

op! {
    /// The operands one after another along `axis`; their other extents are equal.
    pub struct Concat = "concat" {
        /// The axis.
        pub axis: usize,
    }
}

impl OpDef for Concat {
    derived!();
    fn arity(&self) -> Arity {
        at_least(1)
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let first = args[0].ty;
        let mut dims = first.dims()?.to_vec();
        if self.axis >= dims.len() {
            return Err(OpError::invalid(format!("'concat' joins axis {} of shape {}", self.axis, first.shape)));
        }
        for arg in &args[1..] {
            let other = arg.ty.dims()?;
            let fits = arg.ty.dtype == first.dtype && other.len() == dims.len() && (0..dims.len()).all(|k| k == self.axis || dims[k].may_equal(&other[k]));
            if !fits {
                return Err(OpError::invalid(format!("'concat' along axis {} joins {} and {}", self.axis, first, arg.ty)));
            }
            for (k, dim) in other.iter().enumerate() {
                if k == self.axis {
                    dims[k] = dims[k].plus(dim);
                } else if dims[k].known().is_none() && dim.known().is_some() {
                    dims[k] = dim.clone();
                }
            }
        }
        Ok(vec![TensorType::ranked(first.dtype, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let dtype = args[0].dtype;
        let shapes = args.iter().map(|ty| ty.extents()).collect::<Result<Vec<_>, _>>()?;
        let mut extents = shapes[0].clone();
        extents[self.axis] = shapes.iter().map(|shape| shape[self.axis]).sum();
        Ok(Body::Loops(vec![Compute::map(dtype, &extents, |e, at| {
            let mut value = None;
            let mut end = extents[self.axis];
            for (k, shape) in shapes.iter().enumerate().rev() {
                if shape[self.axis] == 0 {
                    continue;
                }
                let start = end - shape[self.axis];
                let (low, high) = ((start > 0).then_some(start), (end < extents[self.axis]).then_some(end));
                let mut index = at.to_vec();
                let offset = e.int(start);
                index[self.axis] = e.sub(at[self.axis], offset);
                let inside = e.within(at[self.axis], low, high);
                let load = e.guarded_load(Source(k as u32), dtype, index, inside);
                value = Some(match value {
                    None => load,
                    Some(later) => {
                        let before = e.within(at[self.axis], None, Some(end));
                        e.select(before, load, later)
                    }
                });
                end = start;
            }
            value.unwrap_or_else(|| e.constant(crate::scalar::Scalar::zero(dtype), dtype))
        })]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let (first, axis) = (inputs[0], self.axis);
        if first.dtype() == DType::Str {
            return crate::ops::eval_body(self, inputs);
        }
        let mut extents = first.extents().to_vec();
        extents[axis] = inputs.iter().map(|tensor| tensor.extents()[axis]).sum();
        let size = first.dtype().size();
        let mut joined = AlignedBytes::zeroed(checked_elems(&extents)? * size)?;
        let rows = checked_elems(&extents[..axis])?;
        // Bytes of each operand in one row of the leading axes.
        let pieces: Vec<usize> = inputs.iter().map(|tensor| tensor.bytes().len() / rows.max(1)).collect();
        let mut at = 0;
        for row in 0..rows {
            for (tensor, piece) in inputs.iter().zip(&pieces) {
                joined.as_mut_slice()[at..at + piece].copy_from_slice(&tensor.bytes()[row * piece..(row + 1) * piece]);
                at += piece;
            }
        }
        Ok(vec![Tensor::from_bytes(first.dtype(), &extents, joined)?])
    }
}

impl Concat {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![
            Sample::drawn(Concat { axis: 1 }, Domain::Any, &[(DType::F32, &[2, 3]), (DType::F32, &[2, 0]), (DType::F32, &[2, 14])]),
            Sample::drawn(Concat { axis: 0 }, Domain::Any, &[(DType::I64, &[2, 3]), (DType::I64, &[5, 3]), (DType::I64, &[1, 3])]),
            Sample::drawn(Concat { axis: 0 }, Domain::Any, &[(DType::Bool, &[4])]),
        ]
    }
}
