//! A tensor with a margin made of its own elements.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::{ExprId, Exprs, Source};
use crate::ops::attr::attr_enum;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::scalar::Binary;
use crate::shape::{Dim, TensorType};

attr_enum! {
    /// What stands outside the bounds.
    pub enum Margin {
        /// The nearest element.
        Edge = "edge",
        /// The elements mirrored, the outermost not repeated.
        Reflect = "reflect",
        /// The elements from the other end.
        Wrap = "wrap",
    }
}

op! {
    /// `x` with `before` and `after` more elements along each axis, made as `margin` says; neither is negative.
    /// Source: NumPy `pad` with modes edge, reflect and wrap.
    pub struct Extend = "extend" {
        /// Elements added in front, per axis.
        pub before: Vec<i64>,
        /// Elements added behind, per axis.
        pub after: Vec<i64>,
        /// What they are.
        pub margin: Margin,
    }
}

impl Margin {
    /// The index within `0..n` that stands for `i`.
    fn index(self, e: &mut Exprs, i: ExprId, n: i64) -> ExprId {
        let zero = e.int(0);
        match self {
            Margin::Edge => {
                let last = e.int(n - 1);
                let low = e.binary(Binary::Max, i, zero);
                e.binary(Binary::Min, low, last)
            }
            Margin::Reflect if n < 2 => zero,
            Margin::Reflect => {
                let period = e.int(2 * (n - 1));
                let there = e.binary(Binary::Mod, i, period);
                let back = e.sub(period, there);
                e.binary(Binary::Min, there, back)
            }
            Margin::Wrap => {
                let period = e.int(n);
                e.binary(Binary::Mod, i, period)
            }
        }
    }
}

impl OpDef for Extend {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let dims = args[0].ty.dims()?;
        if dims.len() != self.before.len() || dims.len() != self.after.len() || self.before.iter().chain(&self.after).any(|n| *n < 0) {
            return Err(OpError::invalid(format!("'extend' of shape {} needs two numbers from 0 for each axis", args[0].ty.shape)));
        }
        if (0..dims.len()).any(|k| dims[k].known() == Some(0) && (self.before[k] > 0 || self.after[k] > 0)) {
            return Err(OpError::invalid(format!("'extend' of an empty axis of shape {}", args[0].ty.shape)));
        }
        let wide = dims.iter().zip(self.before.iter().zip(&self.after)).map(|(dim, (a, b))| dim.plus(&Dim::Known(*a)).plus(&Dim::Known(*b)));
        Ok(vec![TensorType::ranked(args[0].ty.dtype, wide.collect())])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let from = args[0].extents()?;
        let extents = self.infer(&[Arg { ty: args[0], value: None }])?[0].extents()?;
        Ok(Body::Loops(vec![Compute::map(args[0].dtype, &extents, |e, at| {
            let index = at
                .iter()
                .enumerate()
                .map(|(k, i)| {
                    if self.before[k] == 0 && self.after[k] == 0 {
                        return *i;
                    }
                    let offset = e.int(self.before[k]);
                    let i = e.sub(*i, offset);
                    self.margin.index(e, i, from[k])
                })
                .collect();
            e.load(Source(0), args[0].dtype, index)
        })]))
    }
}

impl Extend {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for margin in [Margin::Edge, Margin::Reflect, Margin::Wrap] {
            samples.push(Sample::drawn(Extend { before: vec![2, 0], after: vec![1, 9], margin }, Domain::Any, &[(DType::F32, &[3, 5])]));
            samples.push(Sample::drawn(Extend { before: vec![3], after: vec![2], margin }, Domain::Any, &[(DType::I64, &[1])]));
            samples.push(Sample::drawn(Extend { before: vec![0, 1], after: vec![0, 1], margin }, Domain::Any, &[(DType::U8, &[0, 2])]));
        }
        samples
    }
}
