//! Slicing by bounds that are operands.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::slice::Slice;
use crate::ops::{Arg, Arity, Domain, Input, OpDef, Sample, infer_parameters};
use crate::shape::{Dim, TensorType, axis};
use crate::tensor::Tensor;

op! {
    /// `slice_by(x, starts, ends, axes, steps)`: along each of `axes` the elements from start to end (not included)
    /// by step. Bounds below 0 count from the extent, and bounds outside are cut to it, as in Python's `x[a:b:c]`.
    /// Without `axes` the first ones, without `steps` 1. Source: ONNX `Slice`.
    pub struct SliceBy = "slice_by" {}
}

/// First index and number of elements of Python's `start:end:step` along an axis of extent `n`.
fn bounds(start: i64, end: i64, step: i64, n: i64) -> (i64, i64) {
    let from_end = |i: i64| if i < 0 { i.saturating_add(n) } else { i };
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let (start, end) = (from_end(start).clamp(low.max(0), high.max(0)), from_end(end).clamp(low, high));
    let length = if step > 0 { (end - start).max(0) } else { (start - end).max(0) };
    let step = step.unsigned_abs();
    let count = (length as u64).div_ceil(step) as i64;
    (if count == 0 { 0 } else { start }, if n == 0 { 0 } else { count })
}

/// What is asked for along each axis: start, end, step; nothing where all is kept.
type Ranges = Vec<Option<(i64, i64, i64)>>;

fn ranges(lists: &[Option<Vec<i64>>], rank: usize) -> Result<Ranges, OpError> {
    let given = |k: usize| lists.get(k).map(|list| list.clone().ok_or_else(OpError::unknown)).transpose();
    let starts = given(0)?.ok_or_else(OpError::unknown)?;
    let ends = given(1)?.ok_or_else(OpError::unknown)?;
    let axes = given(2)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = given(3)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()].iter().any(|n| *n != starts.len()) {
        return Err(OpError::invalid("'slice_by' takes as many starts as ends, axes and steps"));
    }
    if steps.contains(&0) {
        return Err(OpError::invalid("'slice_by' by steps of 0"));
    }
    let mut result: Ranges = vec![None; rank];
    for (k, named) in axes.iter().enumerate() {
        result[axis(*named, rank)?] = Some((starts[k], ends[k], steps[k]));
    }
    Ok(result)
}

impl OpDef for SliceBy {
    derived!();
    fn arity(&self) -> Arity {
        3..=5
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        infer_parameters(self, args, || {
            let dims = args[0].ty.dims()?;
            let lists: Vec<Option<Vec<i64>>> = args[1..].iter().map(Arg::ints).collect();
            if let Ok(ranges) = ranges(&lists, dims.len()) {
                let cut = |dim: &Dim, range: &Option<(i64, i64, i64)>| match (range, dim) {
                    (None, _) => dim.clone(),
                    (Some((start, end, step)), Dim::Known(n)) => Dim::Known(bounds(*start, *end, *step, *n).1),
                    (Some((0, end, 1)), _) if *end >= i64::from(i32::MAX) => dim.clone(),
                    _ => Dim::Unknown,
                };
                return Ok(dims.iter().zip(&ranges).map(|(dim, range)| cut(dim, range)).collect());
            }
            // Which axes are cut may be known where the bounds are not.
            let cut: Option<Vec<usize>> = match args.get(3) {
                Some(arg) => arg.ints().map(|axes| axes.iter().map(|k| axis(*k, dims.len())).collect::<Result<_, _>>()).transpose()?,
                None => args[1].length().ok().map(|n| (0..n).collect()),
            };
            Ok(dims.iter().enumerate().map(|(k, dim)| if cut.as_ref().is_some_and(|cut| !cut.contains(&k)) { dim.clone() } else { Dim::Unknown }).collect())
        })
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let from = b.extents(inputs[0])?;
        let lists: Vec<Option<Vec<i64>>> = inputs[1..].iter().map(|v| b.as_ints(*v).ok()).collect();
        let mut op = Slice { starts: Vec::new(), extents: Vec::new(), steps: Vec::new() };
        for (range, n) in ranges(&lists, from.len())?.into_iter().zip(&from) {
            let (start, end, step) = range.unwrap_or((0, i64::MAX, 1));
            let (start, count) = bounds(start, end, step, *n);
            op.starts.push(start);
            op.extents.push(count);
            op.steps.push(if count > 1 { step } else { 1 });
        }
        Ok(vec![b.apply(op, &inputs[..1])?])
    }
}

impl SliceBy {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |lists: &[&[i64]]| {
            let mut inputs = vec![Input::Drawn(DType::F32, vec![4, 7], Domain::Any)];
            inputs.extend(lists.iter().map(|list| Input::Constant(Tensor::from_ints(list))));
            Sample { op: SliceBy {}.into(), inputs }
        };
        vec![
            sample(&[&[1], &[i64::MAX]]),
            sample(&[&[-3], &[-1], &[-1]]),
            sample(&[&[-1], &[i64::MIN], &[1], &[-2]]),
            sample(&[&[9, 0], &[20, 7], &[0, 1], &[1, 3]]),
            sample(&[&[0], &[7], &[1], &[i64::MAX]]),
            sample(&[&[], &[], &[], &[]]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::bounds;

    /// Counts as Python does.
    #[test]
    fn bounds_are_pythons() {
        assert_eq!(bounds(0, i64::MAX, 1, 5), (0, 5));
        assert_eq!(bounds(-1, i64::MIN, -1, 5), (4, 5));
        assert_eq!(bounds(4, 0, -3, 5), (4, 2));
        assert_eq!(bounds(7, 9, 1, 5), (0, 0));
        assert_eq!(bounds(0, 3, 1, 0), (0, 0));
        assert_eq!(bounds(5, -9, -1, 0), (0, 0));
        assert_eq!(bounds(1, 5, i64::MIN, 5), (0, 0));
    }
}
