//! Transposed convolution: the gradient of a convolution with regard to its input.
use crate::compute::{Combine, Compute};
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::padding::Windows;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::scalar::{Binary, Scalar};
use crate::shape::{Dim, TensorType};

op! {
    /// `y[n, o, p..] = sum over c, k.. of x[n, c, i..] * w[c, o % (O/groups), k..]` where `i*strides + k*dilations - before
    /// = p`, and `c` runs over the group of channels that `o` lies in. `x` is `[N, C, spatial..]`, `w` is
    /// `[C, O/groups, kernel..]`; the spatial extents of `y` are `(n-1)*strides + (k-1)*dilations + 1 - before - after`.
    /// Narrow floats are accumulated in f32.
    pub struct ConvTranspose = "conv_transpose" {
        /// Distance in `y` between elements of `x`, per spatial axis.
        pub strides: Vec<i64>,
        /// Distance in `y` between a window's elements.
        pub dilations: Vec<i64>,
        /// Elements of `y` cut off in front.
        pub before: Vec<i64>,
        /// Elements of `y` cut off behind; negative numbers add zeros.
        pub after: Vec<i64>,
        /// Number of groups of channels that are convolved apart.
        pub groups: i64,
    }
}

impl OpDef for ConvTranspose {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, w) = (args[0].ty, args[1].ty);
        let (dx, dw) = (x.dims()?, w.dims()?);
        let spatial = self.strides.len();
        let complain = |why: &str| Err(OpError::invalid(format!("'conv_transpose' of {x} with weights {w}: {why}")));
        if x.dtype != w.dtype {
            return complain("dtypes differ");
        }
        if dx.len() != spatial + 2 || dw.len() != spatial + 2 || [&self.dilations, &self.before, &self.after].iter().any(|list| list.len() != spatial) {
            return complain("ranks don't fit the strides");
        }
        let ones = vec![1; spatial];
        Windows::new(&ones, &self.strides, &self.dilations, &self.before, &self.after)?;
        if self.groups < 1 || dx[1].known().is_some_and(|n| n % self.groups != 0) || !dx[1].may_equal(&dw[0]) {
            return complain(&format!("channels don't make {} groups", self.groups));
        }
        let mut dims = vec![dx[0].clone(), dw[1].times(&Dim::Known(self.groups))];
        for k in 0..spatial {
            let one = Dim::Known(1);
            let reach = dw[k + 2].minus(&one).times(&Dim::Known(self.dilations[k]));
            let dim = dx[k + 2].minus(&one).times(&Dim::Known(self.strides[k])).plus(&reach).plus(&Dim::Known(1 - self.before[k] - self.after[k]));
            if dim.known().is_some_and(|n| n < 0) {
                return complain(&format!("more is cut off than spatial axis {k} has"));
            }
            dims.push(dim);
        }
        Ok(vec![TensorType::ranked(x.dtype, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let (x, w) = (args[0].extents()?, args[1].extents()?);
        let dtype = args[0].dtype;
        let extents = self.infer(&[Arg { ty: args[0], value: None }, Arg { ty: args[1], value: None }])?[0].extents()?;
        let (per_group, made) = (x[1] / self.groups, w[1]);
        let reduce: Vec<i64> = std::iter::once(per_group).chain(w[2..].iter().copied()).collect();
        Ok(Body::Loops(vec![Compute::reduction(dtype, &extents, &reduce, Combine::Sum, |e, at, r| {
            let mut inside = e.constant(Scalar::Bool(true), DType::Bool);
            let (mut channel, mut output) = (r[0], at[1]);
            if self.groups > 1 {
                let (size, wide) = (e.int(made), e.int(per_group));
                let group = e.binary(Binary::FloorDiv, at[1], size);
                let first = e.mul(group, wide);
                channel = e.add(first, r[0]);
                output = e.binary(Binary::Mod, at[1], size);
            }
            let mut index = vec![at[0], channel];
            for k in 0..self.strides.len() {
                let (stride, dilation, shift) = (e.int(self.strides[k]), e.int(self.dilations[k]), e.int(self.before[k]));
                let place = e.add(at[k + 2], shift);
                let offset = e.mul(r[k + 1], dilation);
                let distance = e.sub(place, offset);
                let rest = e.binary(Binary::Mod, distance, stride);
                let zero = e.int(0);
                let even = e.binary(Binary::Eq, rest, zero);
                let i = e.binary(Binary::FloorDiv, distance, stride);
                let holds = e.within(i, Some(0), Some(x[k + 2]));
                inside = e.and(inside, even);
                inside = e.and(inside, holds);
                index.push(i);
            }
            let mut weight = vec![channel, output];
            weight.extend_from_slice(&r[1..]);
            let a = e.guarded_load(Source(0), dtype, index, inside);
            // Guarded alike: where `x` counts as nothing, an infinite weight must not either.
            let b = e.guarded_load(Source(1), dtype, weight, inside);
            let (a, b) = (e.cast(dtype.accumulator(), a), e.cast(dtype.accumulator(), b));
            e.mul(a, b)
        })]))
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl ConvTranspose {
    pub(crate) fn samples() -> Vec<Sample> {
        let conv = |strides: &[i64], dilations: &[i64], before: &[i64], after: &[i64], groups| ConvTranspose { strides: strides.into(), dilations: dilations.into(), before: before.into(), after: after.into(), groups };
        [
            (conv(&[1, 1], &[1, 1], &[0, 0], &[0, 0], 1), &[1i64, 3, 4, 5][..], &[3i64, 4, 3, 3][..]),
            (conv(&[2, 3], &[1, 1], &[1, 0], &[1, -1], 1), &[2, 3, 4, 5], &[3, 2, 3, 3]),
            (conv(&[2, 2], &[2, 1], &[1, 1], &[0, 1], 2), &[1, 4, 4, 5], &[4, 3, 2, 3]),
            (conv(&[2], &[1], &[0], &[0], 1), &[1, 2, 9], &[2, 3, 4]),
            (conv(&[2, 3], &[1, 1], &[0, 0], &[0, 0], 1), &[2, 3, 4, 5], &[3, 2, 2, 3]),
            (conv(&[4], &[1], &[0], &[0], 1), &[1, 2, 19], &[2, 3, 4]),
        ]
        .into_iter()
        .map(|(op, x, w)| Sample::drawn(op, Domain::Ordinary, &[(DType::F32, x), (DType::F32, w)]))
        .collect()
    }
}
