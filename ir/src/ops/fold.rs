//! Columns of windows added up to an image.
use crate::compute::{Combine, Compute};
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::reshape::flatten;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::scalar::{Binary, Scalar};
use crate::shape::{Dim, TensorType};

op! {
    /// `x` is `[n, c * K, L]`, its columns the windows (of `kernel`, `K` elements) of an image in row-major order;
    /// the result is `[n, c, image..]`: the sum of the windows at their places, the inverse of taking windows. A
    /// window starts every `strides`, `before` ahead of the image. Source: ONNX `Col2Im`, PyTorch `fold`.
    pub struct Fold = "fold" {
        /// Extents of the image.
        pub image: Vec<i64>,
        /// Extents of a window.
        pub kernel: Vec<i64>,
        /// Distance between windows, per axis.
        pub strides: Vec<i64>,
        /// Distance between a window's elements, per axis.
        pub dilations: Vec<i64>,
        /// Margin in front of the image, per axis.
        pub before: Vec<i64>,
        /// Margin behind the image, per axis.
        pub after: Vec<i64>,
    }
}

impl Fold {
    /// Number of windows along each axis.
    fn counts(&self) -> Result<Vec<i64>, OpError> {
        let rank = self.image.len();
        let lists = [&self.kernel, &self.strides, &self.dilations, &self.before, &self.after];
        let small = |list: &Vec<i64>, low: i64| list.iter().all(|n| (low..1 << 31).contains(n));
        if rank == 0 || lists.iter().any(|list| list.len() != rank) || lists[..3].iter().any(|list| !small(list, 1)) || !small(&self.image, 0) || !small(&self.before, 0) || !small(&self.after, 0) {
            return Err(OpError::invalid(format!("'fold' to an image {:?} of windows {:?}", self.image, self.kernel)));
        }
        (0..rank)
            .map(|k| {
                let room = self.image[k] + self.before[k] + self.after[k] - self.dilations[k] * (self.kernel[k] - 1) - 1;
                if room < 0 { Err(OpError::invalid(format!("'fold': the window does not fit axis {k} of the image"))) } else { Ok(room / self.strides[k] + 1) }
            })
            .collect()
    }
}

impl OpDef for Fold {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let x = args[0].ty;
        let windows = crate::tensor::checked_elems(&self.counts()?)? as i64;
        let size = crate::tensor::checked_elems(&self.kernel)? as i64;
        let [n, columns, length] = x.dims()? else { return Err(OpError::invalid(format!("'fold' of {x}, which has not three axes"))) };
        if !length.may_equal(&Dim::Known(windows)) || columns.known().is_some_and(|c| c % size != 0) {
            return Err(OpError::invalid(format!("'fold' of {x}: there are {windows} windows of {size} elements")));
        }
        let mut dims = vec![n.clone(), columns.floor_div(&Dim::Known(size))];
        dims.extend(self.image.iter().map(|n| Dim::Known(*n)));
        Ok(vec![TensorType::ranked(x.dtype, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let dtype = args[0].dtype;
        let counts = self.counts()?;
        let extents = self.infer(&[Arg { ty: args[0], value: None }])?[0].extents()?;
        let size = crate::tensor::checked_elems(&self.kernel)? as i64;
        Ok(Body::Loops(vec![Compute::reduction(dtype, &extents, &self.kernel, Combine::Sum, |e, at, r| {
            let mut inside = e.constant(Scalar::Bool(true), DType::Bool);
            let mut window = Vec::new();
            for k in 0..self.image.len() {
                let (shift, dilation, stride, zero) = (e.int(self.before[k]), e.int(self.dilations[k]), e.int(self.strides[k]), e.int(0));
                let moved = e.add(at[k + 2], shift);
                let reach = e.mul(r[k], dilation);
                let start = e.sub(moved, reach);
                let rest = e.binary(Binary::Mod, start, stride);
                let even = e.binary(Binary::Eq, rest, zero);
                let place = e.binary(Binary::FloorDiv, start, stride);
                let there = e.within(place, Some(0), Some(counts[k]));
                inside = e.and(inside, even);
                inside = e.and(inside, there);
                window.push(place);
            }
            let element = flatten(e, &self.kernel, r);
            let size = e.int(size);
            let first = e.mul(at[1], size);
            let row = e.add(first, element);
            let column = flatten(e, &counts, &window);
            let x = e.guarded_load(Source(0), dtype, vec![at[0], row, column], inside);
            e.cast(dtype.accumulator(), x)
        })]))
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl Fold {
    pub(crate) fn samples() -> Vec<Sample> {
        let fold = |image: &[i64], kernel: &[i64], strides: &[i64], dilations: &[i64], before: &[i64], after: &[i64]| Fold {
            image: image.into(),
            kernel: kernel.into(),
            strides: strides.into(),
            dilations: dilations.into(),
            before: before.into(),
            after: after.into(),
        };
        vec![
            Sample::drawn(fold(&[5, 5], &[1, 5], &[1, 1], &[1, 1], &[0, 0], &[0, 0]), Domain::Ordinary, &[(DType::F32, &[1, 5, 5])]),
            Sample::drawn(fold(&[5, 6], &[3, 2], &[2, 1], &[1, 2], &[1, 0], &[1, 1]), Domain::Ordinary, &[(DType::F32, &[2, 12, 15])]),
            Sample::drawn(fold(&[9], &[3], &[2], &[1], &[0], &[0]), Domain::Ordinary, &[(DType::F32, &[1, 6, 4])]),
        ]
    }
}
