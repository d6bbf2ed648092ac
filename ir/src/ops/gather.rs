//! Slices of a tensor, picked by index.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::{ExprId, Exprs, Source};
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample};
use crate::scalar::Binary;
use crate::shape::TensorType;
use crate::tensor::{Tensor, row_strides};

op! {
    /// `gather(x, indices)`: `y[a.., i.., b..] = x[a.., indices[i..], b..]`, where `a` runs over the axes before
    /// `axis` and `b` over those behind. Indices below 0 count from the extent; one outside is an error in the
    /// interpreter and gives 0 in compiled code, which never reads outside `x`. Source: ONNX `Gather`, NumPy `take`.
    pub struct Gather = "gather" {
        /// The axis.
        pub axis: usize,
    }
}

/// The index that an expression (an integer of any dtype, negative ones counting from `extent`) means, and whether
/// it lies inside.
pub(crate) fn index(e: &mut Exprs, raw: ExprId, extent: i64) -> (ExprId, ExprId) {
    let (i, n, zero) = (e.cast(DType::I64, raw), e.int(extent), e.int(0));
    let negative = e.binary(Binary::Lt, i, zero);
    let from_end = e.add(i, n);
    let i = e.select(negative, from_end, i);
    (i, e.within(i, Some(0), Some(extent)))
}

/// The indices that a tensor holds, made positive.
///
/// # Errors
/// Invalid where one lies outside.
pub(crate) fn checked(op: &str, indices: impl IntoIterator<Item = i64>, extent: i64) -> Result<Vec<i64>, OpError> {
    indices
        .into_iter()
        .map(|i| {
            let at = if i < 0 { i.saturating_add(extent) } else { i };
            if (0..extent).contains(&at) { Ok(at) } else { Err(OpError::invalid(format!("index {i} of '{op}' is outside an axis of extent {extent}"))) }
        })
        .collect()
}

impl OpDef for Gather {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, indices) = (args[0].ty, args[1].ty);
        let mut dims = x.dims()?.to_vec();
        if self.axis >= dims.len() || !indices.dtype.is_int() {
            return Err(OpError::invalid(format!("'gather' along axis {} of {x} by {indices}", self.axis)));
        }
        dims.splice(self.axis..=self.axis, indices.dims()?.iter().cloned());
        Ok(vec![TensorType::ranked(x.dtype, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let (from, chosen) = (args[0].extents()?, args[1].extents()?);
        let mut extents = from.clone();
        extents.splice(self.axis..=self.axis, chosen.iter().copied());
        Ok(Body::Loops(vec![Compute::map(args[0].dtype, &extents, |e, at| {
            let behind = self.axis + chosen.len();
            let raw = e.load(Source(1), args[1].dtype, at[self.axis..behind].to_vec());
            let (i, inside) = index(e, raw, from[self.axis]);
            let mut place = at[..self.axis].to_vec();
            place.push(i);
            place.extend_from_slice(&at[behind..]);
            e.guarded_load(Source(0), args[0].dtype, place, inside)
        })]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let from = inputs[0].extents();
        let chosen = checked(self.name(), inputs[1].ints(), from[self.axis])?;
        let mut extents = from.to_vec();
        extents.splice(self.axis..=self.axis, inputs[1].extents().iter().copied());
        let elems = crate::tensor::checked_elems(&extents)?;
        let inner = row_strides(from)[self.axis] as usize;
        let places = (0..elems).map(|flat| {
            let (block, k) = (flat / inner, flat % inner);
            let (outer, i) = (block / chosen.len(), chosen[block % chosen.len()] as usize);
            Some((outer * from[self.axis] as usize + i) * inner + k)
        });
        Ok(vec![inputs[0].picked(&extents, places)?])
    }
}

impl Gather {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |axis, dtype, shape: &[i64], indices: Tensor| Sample { op: Gather { axis }.into(), inputs: vec![Input::Drawn(dtype, shape.to_vec(), Domain::Any), Input::Given(indices)] };
        vec![
            sample(0, DType::F32, &[5, 7], Tensor::from_ints(&[4, 0, -1, -5, 2, 2])),
            sample(1, DType::I64, &[2, 5, 3], Tensor::from_slice(&[2, 2], &[0i32, -2, 4, 4])),
            sample(2, DType::F16, &[2, 3, 33], Tensor::from_slice(&[], &[-1i64])),
            sample(0, DType::Bool, &[3], Tensor::from_slice(&[3, 1], &[2u8, 1, 0])),
            sample(0, DType::F32, &[3, 4], Tensor::from_ints(&[])),
            sample(0, DType::F32, &[3, 0], Tensor::from_ints(&[1, 1])),
            sample(0, DType::F32, &[1000, 67], Tensor::from_ints(&[999, 0, 1, 500])),
        ]
    }
}
