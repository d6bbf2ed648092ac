//! An image sampled at given coordinates.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::{ExprId, Exprs, Source};
use crate::ops::attr::attr_enum;
use crate::ops::resize_to::Interpolation;
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample, Tolerance};
use crate::scalar::{Binary, Scalar, Unary};
use crate::shape::{Dim, TensorType};

attr_enum! {
    /// What stands outside the image.
    pub enum Outside {
        /// Zeros.
        Zeros = "zeros",
        /// The nearest element.
        Border = "border",
        /// The image mirrored.
        Reflection = "reflection",
    }
}

op! {
    /// `grid_sample(x, grid)`: `x` is `[n, c, d..]`, `grid` is `[n, o.., k]` with one coordinate for each of the `k`
    /// spatial axes, the last axis first, -1 to 1 from end to end of the image; `y[n, c, o..]` is `x` interpolated
    /// there. Source: ONNX `GridSample`, PyTorch `grid_sample`; the cubic kernel is that of Keys with -0.75.
    pub struct GridSample = "grid_sample" {
        /// How elements are weighted.
        pub interpolation: Interpolation,
        /// What stands outside.
        pub outside: Outside,
        /// Do -1 and 1 mean the middles of the outermost elements (rather than their outer edges)?
        pub align_corners: bool,
    }
}

/// One element along one axis: where it is, whether it is there, and its weight.
struct Tap {
    index: ExprId,
    inside: ExprId,
    weight: Option<ExprId>,
}

fn clamp(e: &mut Exprs, x: ExprId, low: ExprId, high: ExprId) -> ExprId {
    let x = e.binary(Binary::Max, x, low);
    e.binary(Binary::Min, x, high)
}

impl GridSample {
    /// Mirrors a coordinate into the image.
    fn reflect(&self, e: &mut Exprs, x: ExprId, n: i64) -> ExprId {
        let dtype = e.dtype(x);
        let (low, range) = if self.align_corners { (0.0, n as f64 - 1.0) } else { (-0.5, n as f64) };
        if range <= 0.0 {
            return e.float(0.0, dtype);
        }
        let (low, period) = (e.float(low, dtype), e.float(2.0 * range, dtype));
        let distance = e.sub(x, low);
        let distance = e.unary(Unary::Abs, distance);
        let there = e.binary(Binary::Mod, distance, period);
        let back = e.sub(period, there);
        let nearer = e.binary(Binary::Min, there, back);
        e.add(low, nearer)
    }

    /// The element at an index that is held as a whole float.
    fn tap(&self, e: &mut Exprs, at: ExprId, n: i64, weight: Option<ExprId>) -> Tap {
        let dtype = e.dtype(at);
        let yes = e.constant(Scalar::Bool(true), DType::Bool);
        let (zero, last) = (e.int(0), e.int(n - 1));
        match self.outside {
            Outside::Zeros => {
                // Cut so that the conversion is exact; what is cut lies outside either way.
                let (low, high) = (e.float(-8.0, dtype), e.float(n as f64 + 8.0, dtype));
                let cut = clamp(e, at, low, high);
                let index = e.cast(DType::I64, cut);
                Tap { index, inside: e.within(index, Some(0), Some(n)), weight }
            }
            Outside::Border | Outside::Reflection => {
                let at = if self.outside == Outside::Reflection { self.reflect(e, at, n) } else { at };
                let index = e.cast(DType::I64, at);
                Tap { index: clamp(e, index, zero, last), inside: yes, weight }
            }
        }
    }

    /// The elements along one axis that make the value at coordinate `g`.
    fn taps(&self, e: &mut Exprs, g: ExprId, n: i64) -> Vec<Tap> {
        let dtype = e.dtype(g);
        let number = |e: &mut Exprs, x: f64| e.float(x, dtype);
        let (one, half, extent) = (number(e, 1.0), number(e, 0.5), number(e, n as f64));
        let from_start = e.add(g, one);
        let mut x = if self.align_corners {
            let (halved, last) = (e.mul(from_start, half), number(e, n as f64 - 1.0));
            e.mul(halved, last)
        } else {
            let doubled = e.mul(from_start, extent);
            let shifted = e.sub(doubled, one);
            e.mul(shifted, half)
        };
        if self.interpolation == Interpolation::Nearest {
            x = e.unary(Unary::Round, x);
        }
        let (low, high) = if self.align_corners { (0.0, n as f64 - 1.0) } else { (-0.5, n as f64 - 0.5) };
        let (low, high) = (number(e, low), number(e, high));
        let (above, below) = (e.binary(Binary::Le, low, x), e.binary(Binary::Le, x, high));
        let within = e.and(above, below);
        let moved = match self.outside {
            Outside::Zeros => x,
            Outside::Border => {
                let (zero, last) = (number(e, 0.0), number(e, n as f64 - 1.0));
                clamp(e, x, zero, last)
            }
            Outside::Reflection => self.reflect(e, x, n),
        };
        x = e.select(within, x, moved);
        if self.interpolation == Interpolation::Nearest {
            return vec![self.tap(e, x, n, None)];
        }
        let floor = e.unary(Unary::Floor, x);
        let t = e.sub(x, floor);
        let rest = e.sub(one, t);
        let weights = match self.interpolation {
            Interpolation::Cubic => {
                // Near: |d| <= 1, far: 1 < |d| < 2.
                let near = |e: &mut Exprs, d: ExprId| {
                    let (a2, a3) = (e.float(1.25, dtype), e.float(2.25, dtype));
                    let scaled = e.mul(a2, d);
                    let sum = e.sub(scaled, a3);
                    let square = e.mul(d, d);
                    let product = e.mul(sum, square);
                    e.add(product, one)
                };
                let far = |e: &mut Exprs, d: ExprId| {
                    let (a, a5, a8, a4) = (e.float(-0.75, dtype), e.float(-3.75, dtype), e.float(-6.0, dtype), e.float(-3.0, dtype));
                    let scaled = e.mul(a, d);
                    let sum = e.sub(scaled, a5);
                    let product = e.mul(sum, d);
                    let sum = e.add(product, a8);
                    let product = e.mul(sum, d);
                    e.sub(product, a4)
                };
                let (before, behind) = (e.add(t, one), e.add(rest, one));
                vec![far(e, before), near(e, t), near(e, rest), far(e, behind)]
            }
            Interpolation::Linear | Interpolation::Nearest => vec![rest, t],
        };
        let first = 1 - weights.len() as i64 / 2;
        weights
            .into_iter()
            .enumerate()
            .map(|(k, weight)| {
                let offset = number(e, (first + k as i64) as f64);
                let at = e.add(floor, offset);
                self.tap(e, at, n, Some(weight))
            })
            .collect()
    }
}

/// The weighted sum over all combinations of taps, the last axis innermost.
fn sum(e: &mut Exprs, dtype: DType, wide: DType, taps: &[Vec<Tap>], place: &mut Vec<ExprId>, inside: ExprId) -> ExprId {
    let Some((first, rest)) = taps.split_first() else {
        let x = e.guarded_load(Source(0), dtype, place.clone(), inside);
        return e.cast(wide, x);
    };
    let mut total: Option<ExprId> = None;
    for tap in first {
        place.push(tap.index);
        let both = e.and(inside, tap.inside);
        let value = sum(e, dtype, wide, rest, place, both);
        place.pop();
        let term = match tap.weight {
            Some(weight) => {
                let weight = e.cast(wide, weight);
                e.mul(value, weight)
            }
            None => value,
        };
        total = Some(match total {
            Some(total) => e.add(total, term),
            None => term,
        });
    }
    total.unwrap_or_else(|| e.constant(Scalar::zero(wide), wide))
}

impl OpDef for GridSample {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, grid) = (args[0].ty, args[1].ty);
        let (from, at) = (x.dims()?, grid.dims()?);
        let spatial = from.len().saturating_sub(2);
        let fits = (1..=3).contains(&spatial)
            && at.len() == from.len()
            && grid.dtype.is_float()
            && x.dtype != DType::Str
            && from[0].may_equal(&at[0])
            && at[at.len() - 1].may_equal(&Dim::Known(spatial as i64))
            && from[2..].iter().all(|dim| dim.known() != Some(0))
            && (self.interpolation == Interpolation::Nearest || x.dtype.is_float());
        if !fits {
            return Err(OpError::invalid(format!("'grid_sample' of {x} at {grid}")));
        }
        let mut dims = from[..2].to_vec();
        dims.extend_from_slice(&at[1..at.len() - 1]);
        Ok(vec![TensorType::ranked(x.dtype, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let from = args[0].extents()?;
        let extents = self.infer(&[Arg { ty: args[0], value: None }, Arg { ty: args[1], value: None }])?[0].extents()?;
        let spatial = from.len() - 2;
        let dtype = args[0].dtype;
        let wide = if self.interpolation == Interpolation::Nearest { dtype } else { dtype.accumulator() };
        Ok(Body::Loops(vec![Compute::map(dtype, &extents, |e, at| {
            let taps: Vec<Vec<Tap>> = (0..spatial)
                .map(|k| {
                    let mut place = vec![at[0]];
                    place.extend_from_slice(&at[2..]);
                    place.push(e.int((spatial - 1 - k) as i64));
                    let g = e.load(Source(1), args[1].dtype, place);
                    let g = e.cast(args[1].dtype.accumulator(), g);
                    self.taps(e, g, from[k + 2])
                })
                .collect();
            let inside = e.constant(Scalar::Bool(true), DType::Bool);
            sum(e, dtype, wide, &taps, &mut at[..2].to_vec(), inside)
        })]))
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 256.0)
    }
}

impl GridSample {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for interpolation in [Interpolation::Nearest, Interpolation::Linear, Interpolation::Cubic] {
            for outside in [Outside::Zeros, Outside::Border, Outside::Reflection] {
                for align_corners in [true, false] {
                    let op = GridSample { interpolation, outside, align_corners };
                    let inputs = |x: &[i64], grid: &[i64]| vec![Input::Drawn(DType::F32, x.to_vec(), Domain::Ordinary), Input::Drawn(DType::F32, grid.to_vec(), Domain::Between(-1.5, 1.5))];
                    samples.push(Sample { op: op.clone().into(), inputs: inputs(&[2, 3, 5, 4], &[2, 3, 7, 2]) });
                    samples.push(Sample { op: op.clone().into(), inputs: inputs(&[1, 1, 1, 3], &[1, 2, 2, 2]) });
                    if interpolation != Interpolation::Cubic {
                        samples.push(Sample { op: op.into(), inputs: inputs(&[1, 2, 2, 3, 4], &[1, 2, 1, 3, 3]) });
                    }
                }
            }
        }
        samples
    }
}
