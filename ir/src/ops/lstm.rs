//! Long short-term memory.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{add, mul, scale, add_number};
use crate::ops::recurrent::{Activation, Course, Direction, gates, operands, peep, product_plus};
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance};
use crate::shape::TensorType;

op! {
    /// `lstm(x, w, r, bias?, lengths?, h?, c?, peepholes?)`. `x` is `[time, batch, features]`; per direction, `w` is
    /// `[4 hidden, features]`, `r` `[4 hidden, hidden]`, `bias` `[8 hidden]` (the input's, then the recurrence's; their sum
    /// counts), the states `[batch, hidden]`, `peepholes` `[3 hidden]`; the gates stand in the order i, o, f, c (peepholes i, o, f).
    ///
    /// `i = f(x wi + h ri + pi c + bi)`, `f = f(x wf + h rf + pf c + bf)`, `c' = f c + i g(x wc + h rc + bc)`,
    /// `o = f(x wo + h ro + po c' + bo)`, `h' = o h(c')`. Steps at or behind a sample's length leave the states as they are and
    /// give 0. Results: all `h` `[time, directions, batch, hidden]`, the last `h` and the last `c` `[directions, batch, hidden]`.
    /// Source: Hochreiter and Schmidhuber 1997; ONNX `LSTM`.
    pub struct Lstm = "lstm" {
        /// Which way time goes.
        pub direction: Direction,
        /// Are the first axes `[batch, time]`, `[batch, time, directions]` and `[batch, directions]`?
        pub batch_first: bool,
        /// `f`, `g` and `h`, per direction.
        pub activations: Vec<Activation>,
        /// First parameters of those activations that have one.
        pub alphas: Vec<f64>,
        /// Second parameters of those activations that have one.
        pub betas: Vec<f64>,
        /// Limit of the activations' arguments.
        pub clip: Option<f64>,
        /// Is `f` taken to be `1 - i`?
        pub coupled: bool,
        /// Is `bias` there?
        pub has_bias: bool,
        /// Is `lengths` there?
        pub has_lengths: bool,
        /// Is `h` there?
        pub has_h: bool,
        /// Is `c` there?
        pub has_c: bool,
        /// Are `peepholes` there?
        pub has_peepholes: bool,
    }
}

impl Lstm {
    fn course(&self) -> Course {
        Course { direction: self.direction, batch_first: self.batch_first, gates: 4, states: 2 }
    }
}

impl OpDef for Lstm {
    derived!();
    fn arity(&self) -> Arity {
        3..=8
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        vec![args[0]; 3]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        self.course().infer(args)
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let operands = operands(inputs, self.has_bias, self.has_lengths, &[self.has_h, self.has_c], self.has_peepholes)?;
        let gates = gates(&self.activations, &self.alphas, &self.betas, 3 * self.direction.count())?;
        self.course().expand(b, &operands, |b, step| {
            let [f, g, h] = [0, 1, 2].map(|k| gates[3 * step.direction + k]);
            let (hidden, cell) = (step.states[0], step.states[1]);
            let input = step.biased(b, step.input, 0)?;
            let input = step.biased(b, input, 1)?;
            let sums = product_plus(b, hidden, step.weights, input)?;
            let [i, o, forget, c] = [step.gate(b, sums, 0)?, step.gate(b, sums, 1)?, step.gate(b, sums, 2)?, step.gate(b, sums, 3)?];
            let i = peep(b, i, step.peepholes, 0, cell)?;
            let i = f.apply(b, i, self.clip)?;
            let forget = if self.coupled {
                let negative = scale(b, i, -1.0)?;
                add_number(b, negative, 1.0)?
            } else {
                let forget = peep(b, forget, step.peepholes, 2, cell)?;
                f.apply(b, forget, self.clip)?
            };
            let c = g.apply(b, c, self.clip)?;
            let (kept, new) = (mul(b, forget, cell)?, mul(b, i, c)?);
            let cell = add(b, kept, new)?;
            let o = peep(b, o, step.peepholes, 1, cell)?;
            let o = f.apply(b, o, self.clip)?;
            let shown = h.apply(b, cell, self.clip)?;
            Ok(vec![mul(b, o, shown)?, cell])
        })
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl Lstm {
    pub(crate) fn samples() -> Vec<Sample> {
        let op = |direction, batch_first| Lstm {
            direction,
            batch_first,
            activations: [Activation::Sigmoid, Activation::Tanh, Activation::Tanh].repeat(direction.count()),
            alphas: vec![],
            betas: vec![],
            clip: None,
            coupled: false,
            has_bias: true,
            has_lengths: false,
            has_h: false,
            has_c: false,
            has_peepholes: false,
        };
        let f = DType::F32;
        vec![
            Sample::drawn(op(Direction::Forward, false), Domain::Between(-1.0, 1.0), &[(f, &[5, 2, 3]), (f, &[1, 16, 3]), (f, &[1, 16, 4]), (f, &[1, 32])]),
            Sample::drawn(op(Direction::Reverse, true), Domain::Between(-1.0, 1.0), &[(f, &[2, 5, 3]), (f, &[1, 16, 3]), (f, &[1, 16, 4]), (f, &[1, 32])]),
            Sample::drawn(op(Direction::Both, false), Domain::Between(-1.0, 1.0), &[(f, &[5, 1, 3]), (f, &[2, 16, 3]), (f, &[2, 16, 4]), (f, &[2, 32])]),
        ]
    }
}
