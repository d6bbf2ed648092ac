//! What occurs in a tensor, each once.
use std::cmp::Ordering;

use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::scalar::{Scalar, order};
use crate::shape::{Dim, TensorType};
use crate::tensor::{Tensor, row_strides};

op! {
    /// The slices of `x` along `axis` (without one, its elements in row-major order), each once; the index at which
    /// each first occurs; for each slice of `x` the index of its equal in the first result; and how often each
    /// occurs. Sorted lexicographically, or in the order of first occurrence. NaN equals itself and comes last.
    /// Source: ONNX `Unique`, NumPy `unique`.
    pub struct Unique = "unique" {
        /// The axis, if slices are compared.
        pub axis: Option<usize>,
        /// Sorted (else in the order of first occurrence)?
        pub sorted: bool,
    }
}

impl OpDef for Unique {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        vec![args[0], DType::I64, DType::I64, DType::I64]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let x = args[0].ty;
        let (dims, whole) = match (self.axis, x.dims()) {
            (None, dims) => (vec![Dim::Unknown], dims.map_or(Dim::Unknown, |dims| dims.iter().fold(Dim::Known(1), |p, dim| p.times(dim)))),
            (Some(axis), dims) => {
                let mut dims = dims?.to_vec();
                let Some(slot) = dims.get_mut(axis) else { return Err(OpError::invalid(format!("'unique' along axis {axis} of {x}"))) };
                let whole = std::mem::replace(slot, Dim::Unknown);
                (dims, whole)
            }
        };
        let vector = |dim| TensorType::ranked(DType::I64, vec![dim]);
        Ok(vec![TensorType::ranked(x.dtype, dims), vector(Dim::Unknown), vector(whole), vector(Dim::Unknown)])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let flat;
        let (x, axis) = match self.axis {
            Some(axis) => (inputs[0], axis),
            None => {
                flat = inputs[0].reshaped(&[inputs[0].elems() as i64])?;
                (&flat, 0)
            }
        };
        let n = x.extents()[axis] as usize;
        let inner = row_strides(x.extents())[axis] as usize;
        let outer: usize = x.extents()[..axis].iter().product::<i64>() as usize;
        let values: Vec<Scalar> = x.scalars().collect();
        let compare = |a: usize, b: usize| {
            let places = (0..outer).flat_map(|o| (0..inner).map(move |r| (o, r)));
            places.map(|(o, r)| order(values[(o * n + a) * inner + r], values[(o * n + b) * inner + r])).find(|way| *way != Ordering::Equal).unwrap_or(Ordering::Equal)
        };
        let mut sorted: Vec<usize> = (0..n).collect();
        sorted.sort_by(|a, b| compare(*a, *b));
        // The sort is stable, so each group begins with its first occurrence.
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for i in sorted {
            match groups.last_mut() {
                Some(group) if compare(group[0], i) == Ordering::Equal => group.push(i),
                _ => groups.push(vec![i]),
            }
        }
        if !self.sorted {
            groups.sort_by_key(|group| group[0]);
        }
        let mut inverse = vec![0i64; n];
        for (k, group) in groups.iter().enumerate() {
            for i in group {
                inverse[*i] = k as i64;
            }
        }
        let first: Vec<i64> = groups.iter().map(|group| group[0] as i64).collect();
        let counts: Vec<i64> = groups.iter().map(|group| group.len() as i64).collect();
        let mut extents = x.extents().to_vec();
        extents[axis] = groups.len() as i64;
        let places = (0..outer).flat_map(|o| first.iter().flat_map(move |i| (0..inner).map(move |r| Some((o * n + *i as usize) * inner + r))));
        Ok(vec![x.picked(&extents, places)?, Tensor::from_ints(&first), Tensor::from_ints(&inverse), Tensor::from_ints(&counts)])
    }
}

impl Unique {
    pub(crate) fn samples() -> Vec<Sample> {
        let few = Domain::Between(0.0, 3.0);
        vec![
            Sample::drawn(Unique { axis: None, sorted: true }, few, &[(DType::I32, &[5, 7])]),
            Sample::drawn(Unique { axis: None, sorted: false }, Domain::Any, &[(DType::F32, &[41])]),
            Sample::drawn(Unique { axis: Some(0), sorted: true }, few, &[(DType::U8, &[20, 2])]),
            Sample::drawn(Unique { axis: Some(1), sorted: false }, few, &[(DType::I64, &[1, 9, 1])]),
            Sample::drawn(Unique { axis: None, sorted: true }, Domain::Any, &[(DType::F16, &[0])]),
        ]
    }
}
