//! Convolution whose windows' elements are moved by offsets.
use crate::compute::{Combine, Compute};
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::{ExprId, Source};
use crate::ops::padding::Windows;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::scalar::{Binary, Scalar, Unary};
use crate::shape::{Dim, TensorType};

op! {
    /// `deform_conv(x, w, offset, mask?)`: as `conv`, but the element of `x` for tap `k` of the window at `p` is taken at
    /// `p*strides + k*dilations - before + offset[n, (g*K + k)*S + axis, p..]` (`K` taps, `S` spatial axes), linearly between
    /// its neighbours, which count as zero outside `x`; with `mask`, times `mask[n, g*K + k, p..]`. `g` is the offset group of the
    /// channel of `x`. Narrow floats are computed in f32. Source: Dai et al., arXiv 1703.06211; ONNX `DeformConv`.
    pub struct DeformConv = "deform_conv" {
        /// Distance between windows; empty for ones.
        pub strides: Vec<i64>,
        /// Distance between a window's elements; empty for ones.
        pub dilations: Vec<i64>,
        /// Zeros in front; empty for none.
        pub before: Vec<i64>,
        /// Zeros behind; empty for none.
        pub after: Vec<i64>,
        /// Number of groups of channels that are convolved apart.
        pub groups: i64,
        /// Number of groups of channels that have offsets of their own.
        pub offset_groups: i64,
    }
}

impl DeformConv {
    fn windows(&self, kernel: &[i64]) -> Result<Windows, OpError> {
        Windows::new(kernel, &self.strides, &self.dilations, &self.before, &self.after)
    }
}

impl OpDef for DeformConv {
    derived!();
    fn arity(&self) -> Arity {
        3..=4
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, w) = (args[0].ty, args[1].ty);
        let (dx, dw, offset) = (x.dims()?, w.dims()?, args[2].ty.dims()?);
        let complain = || OpError::invalid(format!("'deform_conv' of {x} with weights {w} and offsets {}", args[2].ty));
        if dx.len() < 3 || dx.len() != dw.len() || offset.len() != dx.len() || args.iter().any(|arg| arg.ty.dtype != x.dtype) || !x.dtype.is_float() {
            return Err(complain());
        }
        let kernel = dw[2..].iter().map(|dim| dim.known().ok_or_else(OpError::unknown)).collect::<Result<Vec<_>, _>>()?;
        let windows = self.windows(&kernel)?;
        let taps = kernel.iter().product::<i64>().saturating_mul(self.offset_groups);
        let numbers = self.groups > 0 && self.offset_groups > 0 && dx[1].may_equal(&dw[1].times(&Dim::Known(self.groups)));
        let wanted = |dims: &[Dim], count: i64| dims.len() == dx.len() && dims[1].may_equal(&Dim::Known(count));
        let masked = match args.get(3) {
            Some(mask) => wanted(mask.ty.dims()?, taps),
            None => true,
        };
        let even = numbers && dw[0].known().is_none_or(|n| n % self.groups == 0) && dx[1].known().is_none_or(|n| n % self.offset_groups == 0);
        if !numbers || !even || !masked || !wanted(offset, taps.saturating_mul(kernel.len() as i64)) {
            return Err(complain());
        }
        let mut dims = vec![dx[0].clone(), dw[0].clone()];
        for k in 0..kernel.len() {
            let room = dx[k + 2].plus(&Dim::Known(windows.before[k] + windows.after[k] - windows.reach(k)));
            let dim = room.floor_div(&Dim::Known(windows.strides[k])).plus(&Dim::Known(1));
            let alike = |ty: &TensorType| ty.dims().is_ok_and(|d| d[k + 2].may_equal(&dim));
            if room.known().is_some_and(|n| n < 0) || !args[2..].iter().all(|arg| alike(arg.ty)) {
                return Err(complain());
            }
            dims.push(dim);
        }
        Ok(vec![TensorType::ranked(x.dtype, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let (x, w) = (args[0].extents()?, args[1].extents()?);
        let dtype = args[0].dtype;
        let wide = dtype.accumulator();
        let typed: Vec<Arg<'_>> = args.iter().map(|ty| Arg { ty, value: None }).collect();
        let extents = self.infer(&typed)?[0].extents()?;
        let windows = self.windows(&w[2..])?;
        let spatial = w.len() - 2;
        let (made, per_offset) = (w[0] / self.groups, x[1] / self.offset_groups);
        let taps: i64 = w[2..].iter().product();
        Ok(Body::Loops(vec![Compute::reduction(dtype, &extents, &w[1..], Combine::Sum, |e, at, r| {
            let mut channel = r[0];
            if self.groups > 1 {
                let (size, inputs) = (e.int(made), e.int(w[1]));
                let group = e.binary(Binary::FloorDiv, at[1], size);
                let first = e.mul(group, inputs);
                channel = e.add(first, r[0]);
            }
            let size = e.int(per_offset);
            let offset_group = e.binary(Binary::FloorDiv, channel, size);
            let all = e.int(taps);
            let first = e.mul(offset_group, all);
            let tap = crate::ops::reshape::flatten(e, &w[2..], &r[1..]);
            let tap = e.add(first, tap);
            // Along each axis: the neighbour below, and how far behind it the place is.
            let mut places: Vec<(ExprId, ExprId)> = Vec::new();
            for k in 0..spatial {
                let (stride, dilation, shift) = (e.int(windows.strides[k]), e.int(windows.dilations[k]), e.int(-windows.before[k]));
                let (p, q) = (e.mul(at[k + 2], stride), e.mul(r[k + 1], dilation));
                let sum = e.add(p, q);
                let grid = e.add(sum, shift);
                let (axes, axis) = (e.int(spatial as i64), e.int(k as i64));
                let scaled = e.mul(tap, axes);
                let row = e.add(scaled, axis);
                let mut index = vec![at[0], row];
                index.extend_from_slice(&at[2..]);
                let offset = e.load(Source(2), dtype, index);
                let offset = e.cast(wide, offset);
                let grid = e.cast(wide, grid);
                let place = e.add(grid, offset);
                let below = e.unary(Unary::Floor, place);
                let fraction = e.sub(place, below);
                // Far outside nothing is read; the bounds keep the neighbour behind from overflowing.
                let (low, high) = (e.float(-2.0, wide), e.float(x[k + 2] as f64 + 1.0, wide));
                let below = e.binary(Binary::Max, below, low);
                let below = e.binary(Binary::Min, below, high);
                places.push((e.cast(DType::I64, below), fraction));
            }
            let mut sample = e.float(0.0, wide);
            for corner in 0..1usize << spatial {
                let mut inside = e.constant(Scalar::Bool(true), DType::Bool);
                let mut index = vec![at[0], channel];
                let mut share = e.float(1.0, wide);
                for (k, (below, fraction)) in places.iter().enumerate() {
                    let behind = corner >> k & 1 == 1;
                    let step = e.int(i64::from(behind));
                    let i = e.add(*below, step);
                    let holds = e.within(i, Some(0), Some(x[k + 2]));
                    inside = e.and(inside, holds);
                    index.push(i);
                    let one = e.float(1.0, wide);
                    let part = if behind { *fraction } else { e.sub(one, *fraction) };
                    share = e.mul(share, part);
                }
                let value = e.guarded_load(Source(0), dtype, index, inside);
                let value = e.cast(wide, value);
                let part = e.mul(share, value);
                sample = e.add(sample, part);
            }
            if args.len() > 3 {
                let mut index = vec![at[0], tap];
                index.extend_from_slice(&at[2..]);
                let mask = e.load(Source(3), dtype, index);
                let mask = e.cast(wide, mask);
                sample = e.mul(sample, mask);
            }
            let mut weight = vec![at[1]];
            weight.extend_from_slice(r);
            let weight = e.load(Source(1), dtype, weight);
            let weight = e.cast(wide, weight);
            e.mul(sample, weight)
        })]))
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 64.0)
    }
}

impl DeformConv {
    pub(crate) fn samples() -> Vec<Sample> {
        let op = |groups, offset_groups| DeformConv { strides: vec![], dilations: vec![], before: vec![1, 0], after: vec![1, 0], groups, offset_groups };
        let f = DType::F32;
        vec![
            Sample::drawn(op(1, 1), Domain::Between(-2.0, 2.0), &[(f, &[1, 2, 5, 6]), (f, &[3, 2, 2, 2]), (f, &[1, 8, 6, 5])]),
            Sample::drawn(op(2, 2), Domain::Between(-2.0, 2.0), &[(f, &[1, 2, 5, 6]), (f, &[4, 1, 2, 2]), (f, &[1, 16, 6, 5]), (f, &[1, 8, 6, 5])]),
        ]
    }
}
