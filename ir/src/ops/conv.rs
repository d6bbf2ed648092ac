//! Convolution over any number of spatial axes.
use crate::compute::{Combine, Compute};
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::{ExprId, Exprs, Source};
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::scalar::Scalar;
use crate::shape::{Dim, TensorType};
use crate::tensor::Tensor;

op! {
    /// `y[n, o, p..] = sum over c, k.. of x[n, g*C/groups + c, p*strides + k*dilations - before..] * w[o, c, k..]`,
    /// where `g = o / (O/groups)` and `x` counts as zero outside its bounds. `x` is `[N, C, spatial..]`, `w` is
    /// `[O, C/groups, kernel..]`. Narrow floats are accumulated in f32.
    pub struct Conv = "conv" {
        /// Distance between windows, per spatial axis.
        pub strides: Vec<i64>,
        /// Distance between a window's elements, per spatial axis.
        pub dilations: Vec<i64>,
        /// Zeros in front, per spatial axis.
        pub before: Vec<i64>,
        /// Zeros behind, per spatial axis.
        pub after: Vec<i64>,
        /// Number of groups of channels that are convolved apart.
        pub groups: i64,
    }
}

impl OpDef for Conv {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, w) = (args[0].ty, args[1].ty);
        let (dx, dw) = (x.dims()?, w.dims()?);
        let spatial = self.strides.len();
        let complain = |why: &str| Err(OpError::invalid(format!("'conv' of {x} with weights {w}: {why}")));
        if x.dtype != w.dtype {
            return complain("dtypes differ");
        }
        if dx.len() != spatial + 2 || dw.len() != spatial + 2 || [&self.dilations, &self.before, &self.after].iter().any(|list| list.len() != spatial) {
            return complain("ranks don't fit the strides");
        }
        if self.groups < 1 || self.strides.iter().chain(&self.dilations).any(|n| *n < 1) {
            return complain("groups, strides and dilations must be positive");
        }
        if !dx[1].may_equal(&dw[1].times(&Dim::Known(self.groups))) {
            return complain(&format!("{} channels are not {} groups of {}", dx[1], self.groups, dw[1]));
        }
        if dw[0].known().is_some_and(|n| n % self.groups != 0) {
            return complain(&format!("{} output channels don't make {} groups", dw[0], self.groups));
        }
        let mut dims = vec![dx[0].clone(), dw[0].clone()];
        for k in 0..spatial {
            let reach = dw[k + 2].minus(&Dim::Known(1)).times(&Dim::Known(self.dilations[k]));
            let room = dx[k + 2].plus(&Dim::Known(self.before[k])).plus(&Dim::Known(self.after[k])).minus(&Dim::Known(1)).minus(&reach);
            if room.known().is_some_and(|n| n < 0) {
                return complain(&format!("the window does not fit spatial axis {k}"));
            }
            dims.push(room.floor_div(&Dim::Known(self.strides[k])).plus(&Dim::Known(1)));
        }
        Ok(vec![TensorType::ranked(x.dtype, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let dtype = args[0].dtype;
        let nest = self.nest(args, dtype, |e, a, b| {
            let (a, b) = (e.cast(dtype.accumulator(), a), e.cast(dtype.accumulator(), b));
            e.mul(a, b)
        })?;
        Ok(Body::Loops(vec![nest]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        if !inputs[0].dtype().is_float() {
            return crate::ops::eval_body(self, inputs);
        }
        let (x, w) = (inputs[0], inputs[1]);
        let (tx, tw) = (x.ty(), w.ty());
        let extents = self.infer(&[Arg { ty: &tx, value: None }, Arg { ty: &tw, value: None }])?[0].extents()?;
        let (ex, ew) = (x.extents().to_vec(), w.extents().to_vec());
        let (a, b) = (x.f64s(), w.f64s());
        let spatial = self.strides.len();
        let taps = crate::tensor::checked_elems(&ew[2..])?;
        let pixels = crate::tensor::checked_elems(&extents[2..])?;
        let plane = crate::tensor::checked_elems(&ex[2..])?;
        let (channels, per_group) = (ew[1] as usize, (ew[0] / self.groups) as usize);
        // For each pixel and tap, where in a plane of `x` it falls.
        let mut places = Vec::with_capacity(pixels * taps);
        let mut p = vec![0i64; spatial];
        for _ in 0..pixels {
            let mut q = vec![0i64; spatial];
            for _ in 0..taps {
                let place = (0..spatial).try_fold(0i64, |flat, k| {
                    let i = p[k] * self.strides[k] + q[k] * self.dilations[k] - self.before[k];
                    (0..ex[k + 2]).contains(&i).then_some(flat * ex[k + 2] + i)
                });
                places.push(place);
                crate::compute::advance(&mut q, &ew[2..]);
            }
            crate::compute::advance(&mut p, &extents[2..]);
        }
        let mut result = Vec::with_capacity(crate::tensor::checked_elems(&extents)?);
        for n in 0..ex[0] as usize {
            for o in 0..ew[0] as usize {
                let first = o / per_group * channels;
                for pixel in 0..pixels {
                    let mut sum = 0.0;
                    for c in 0..channels {
                        let image = (n * ex[1] as usize + first + c) * plane;
                        let weights = (o * channels + c) * taps;
                        for tap in 0..taps {
                            if let Some(place) = places[pixel * taps + tap] {
                                sum += a[image + place as usize] * b[weights + tap];
                            }
                        }
                    }
                    result.push(sum);
                }
            }
        }
        Ok(vec![Tensor::from_f64s(x.dtype(), &extents, &result)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl Conv {
    /// Where a window's element lies in the image, for a point of the result, a channel of its group and taps, and whether that is inside;
    /// given the extents of image, weights and result.
    pub(super) fn place(&self, e: &mut Exprs, at: &[ExprId], channel: ExprId, taps: &[ExprId], [x, w, y]: [&[i64]; 3]) -> (Vec<ExprId>, ExprId) {
        let mut inside = e.constant(Scalar::Bool(true), DType::Bool);
        let channel = if self.groups == 1 {
            channel
        } else {
            let (size, wide) = (e.int(w[0] / self.groups), e.int(w[1]));
            let group = e.binary(crate::scalar::Binary::FloorDiv, at[1], size);
            let first = e.mul(group, wide);
            e.add(first, channel)
        };
        let mut index = vec![at[0], channel];
        for k in 0..self.strides.len() {
            let (stride, dilation, shift) = (e.int(self.strides[k]), e.int(self.dilations[k]), e.int(-self.before[k]));
            let (p, q) = (e.mul(at[k + 2], stride), e.mul(taps[k], dilation));
            let sum = e.add(p, q);
            let i = e.add(sum, shift);
            let last = (y[k + 2] - 1) * self.strides[k] + (w[k + 2] - 1) * self.dilations[k] - self.before[k];
            let holds = e.within(i, (self.before[k] > 0).then_some(0), (last >= x[k + 2]).then_some(x[k + 2]));
            inside = e.and(inside, holds);
            index.push(i);
        }
        (index, inside)
    }

    /// The nest, with a product of its own.
    pub(super) fn nest(&self, args: &[&TensorType], to: DType, product: impl FnOnce(&mut Exprs, ExprId, ExprId) -> ExprId) -> Result<Compute, OpError> {
        let (x, w) = (args[0].extents()?, args[1].extents()?);
        let dtype = args[0].dtype;
        let extents = self.infer(&[Arg { ty: args[0], value: None }, Arg { ty: args[1], value: None }])?[0].extents()?;
        Ok(Compute::reduction(to, &extents, &w[1..], Combine::Sum, |e, at, r| {
            let (index, inside) = self.place(e, at, r[0], &r[1..], [&x, &w, &extents]);
            let mut weight = vec![at[1]];
            weight.extend_from_slice(r);
            let a = e.guarded_load(Source(0), dtype, index, inside);
            let b = e.load(Source(1), dtype, weight);
            product(e, a, b)
        }))
    }

    pub(crate) fn samples() -> Vec<Sample> {
        let conv = |strides: &[i64], dilations: &[i64], before: &[i64], after: &[i64], groups| Conv { strides: strides.into(), dilations: dilations.into(), before: before.into(), after: after.into(), groups };
        [
            (conv(&[1, 1], &[1, 1], &[1, 1], &[1, 1], 1), &[1i64, 3, 9, 11][..], &[8i64, 3, 3, 3][..]),
            (conv(&[2, 2], &[1, 1], &[0, 1], &[1, 2], 1), &[2, 5, 15, 13], &[7, 5, 3, 3]),
            (conv(&[1, 1], &[1, 1], &[0, 0], &[0, 0], 1), &[1, 16, 7, 7], &[24, 16, 1, 1]),
            (conv(&[1, 1], &[1, 1], &[1, 1], &[1, 1], 6), &[1, 6, 10, 17], &[6, 1, 3, 3]),
            (conv(&[2, 1], &[1, 2], &[1, 2], &[1, 2], 2), &[1, 4, 9, 9], &[6, 2, 3, 3]),
            (conv(&[1], &[3], &[0], &[0], 1), &[1, 4, 40], &[5, 4, 5]),
            (conv(&[1, 1, 1], &[1, 1, 1], &[1, 0, 1], &[1, 0, 1], 1), &[1, 2, 5, 6, 7], &[3, 2, 3, 2, 3]),
            (conv(&[1, 1], &[1, 1], &[1, 1], &[1, 1], 1), &[0, 3, 5, 5], &[2, 3, 3, 3]),
        ]
        .into_iter()
        .map(|(op, x, w)| Sample::drawn(op, Domain::Ordinary, &[(DType::F32, x), (DType::F32, w)]))
        .collect()
    }
}
