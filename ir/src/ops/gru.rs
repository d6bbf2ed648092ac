//! Gated recurrent unit.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{add, mul, slice, sub};
use crate::ops::matmul::MatMul;
use crate::ops::recurrent::{Activation, Course, Direction, gates, operands};
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance};
use crate::shape::TensorType;

op! {
    /// `gru(x, w, r, bias?, lengths?, h?)`. `x` is `[time, batch, features]`; per direction, `w` is `[3 hidden, features]`,
    /// `r` `[3 hidden, hidden]`, `bias` `[6 hidden]` (the input's, then the recurrence's), `h` `[batch, hidden]`; the gates
    /// stand in the order z, r, h.
    ///
    /// `z = f(x wz + h rz + bz)`, `r = f(x wr + h rr + br)`, `n = g(x wh + bwh + (r h) rh + brh)`, or with `reset_after`
    /// `g(x wh + bwh + r (h rh + brh))`, `h' = (1 - z) n + z h`. Steps at or behind a sample's length leave the state as it is
    /// and give 0. Results: all `h` `[time, directions, batch, hidden]`, the last `h` `[directions, batch, hidden]`.
    /// Source: Cho et al., arXiv 1406.1078; ONNX `GRU`.
    pub struct Gru = "gru" {
        /// Which way time goes.
        pub direction: Direction,
        /// Are the first axes `[batch, time]`, `[batch, time, directions]` and `[batch, directions]`?
        pub batch_first: bool,
        /// `f` and `g`, per direction.
        pub activations: Vec<Activation>,
        /// First parameters of those activations that have one.
        pub alphas: Vec<f64>,
        /// Second parameters of those activations that have one.
        pub betas: Vec<f64>,
        /// Limit of the activations' arguments.
        pub clip: Option<f64>,
        /// Is the reset gate applied after the product with the recurrent weights?
        pub reset_after: bool,
        /// Is `bias` there?
        pub has_bias: bool,
        /// Is `lengths` there?
        pub has_lengths: bool,
        /// Is `h` there?
        pub has_h: bool,
    }
}

impl Gru {
    fn course(&self) -> Course {
        Course { direction: self.direction, batch_first: self.batch_first, gates: 3, states: 1 }
    }
}

impl OpDef for Gru {
    derived!();
    fn arity(&self) -> Arity {
        3..=6
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        vec![args[0]; 2]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        self.course().infer(args)
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let operands = operands(inputs, self.has_bias, self.has_lengths, &[self.has_h], false)?;
        let gates = gates(&self.activations, &self.alphas, &self.betas, 2 * self.direction.count())?;
        self.course().expand(b, &operands, |b, step| {
            let [f, g] = [0, 1].map(|k| gates[2 * step.direction + k]);
            let hidden = step.states[0];
            let width = step.hidden;
            let input = step.biased(b, step.input, 0)?;
            let (zr, new) = (slice(b, input, 1, 0, 2 * width, 1)?, step.gate(b, input, 2)?);
            let (sums, new) = if self.reset_after {
                let product = b.apply(MatMul {}, &[hidden, step.weights])?;
                let product = step.biased(b, product, 1)?;
                let part = slice(b, product, 1, 0, 2 * width, 1)?;
                let sums = add(b, zr, part)?;
                let sums = f.apply(b, sums, self.clip)?;
                let (reset, part) = (step.gate(b, sums, 1)?, step.gate(b, product, 2)?);
                let part = mul(b, reset, part)?;
                (sums, add(b, new, part)?)
            } else {
                let weights = slice(b, step.weights, 1, 0, 2 * width, 1)?;
                let product = b.apply(MatMul {}, &[hidden, weights])?;
                let mut sums = add(b, zr, product)?;
                let mut new = new;
                if let Some(bias) = step.bias {
                    let bias = slice(b, bias, 0, 1, 1, 1)?;
                    let (first, last) = (slice(b, bias, 1, 0, 2 * width, 1)?, slice(b, bias, 1, 2 * width, width, 1)?);
                    sums = add(b, sums, first)?;
                    new = add(b, new, last)?;
                }
                let sums = f.apply(b, sums, self.clip)?;
                let reset = step.gate(b, sums, 1)?;
                let left = mul(b, reset, hidden)?;
                let weights = slice(b, step.weights, 1, 2 * width, width, 1)?;
                let product = b.apply(MatMul {}, &[left, weights])?;
                (sums, add(b, new, product)?)
            };
            let new = g.apply(b, new, self.clip)?;
            let update = step.gate(b, sums, 0)?;
            let one = b.scalar(b.dtype(update), 1.0);
            let rest = sub(b, one, update)?;
            let (fresh, kept) = (mul(b, rest, new)?, mul(b, update, hidden)?);
            Ok(vec![add(b, fresh, kept)?])
        })
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl Gru {
    pub(crate) fn samples() -> Vec<Sample> {
        let op = |direction, batch_first, reset_after| Gru {
            direction,
            batch_first,
            activations: [Activation::Sigmoid, Activation::Tanh].repeat(direction.count()),
            alphas: vec![],
            betas: vec![],
            clip: None,
            reset_after,
            has_bias: true,
            has_lengths: false,
            has_h: false,
        };
        let f = DType::F32;
        vec![
            Sample::drawn(op(Direction::Forward, false, false), Domain::Between(-1.0, 1.0), &[(f, &[5, 2, 3]), (f, &[1, 12, 3]), (f, &[1, 12, 4]), (f, &[1, 24])]),
            Sample::drawn(op(Direction::Both, true, true), Domain::Between(-1.0, 1.0), &[(f, &[2, 5, 3]), (f, &[2, 12, 3]), (f, &[2, 12, 4]), (f, &[2, 24])]),
        ]
    }
}
