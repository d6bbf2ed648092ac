//! Plain recurrent net.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::recurrent::{Activation, Course, Direction, gates, operands, product_plus};
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance};
use crate::shape::TensorType;

op! {
    /// `rnn(x, w, r, bias?, lengths?, h?)`: `h' = f(x w + h r + b)`. `x` is `[time, batch, features]`; per direction, `w` is
    /// `[hidden, features]`, `r` `[hidden, hidden]`, `bias` `[2 hidden]` (the input's, then the recurrence's; their sum
    /// counts), `h` `[batch, hidden]`. Steps at or behind a sample's length leave the state as it is and give 0. Results: all
    /// `h` `[time, directions, batch, hidden]`, the last `h` `[directions, batch, hidden]`. Source: ONNX `RNN`.
    pub struct Rnn = "rnn" {
        /// Which way time goes.
        pub direction: Direction,
        /// Are the first axes `[batch, time]`, `[batch, time, directions]` and `[batch, directions]`?
        pub batch_first: bool,
        /// `f`, per direction.
        pub activations: Vec<Activation>,
        /// First parameters of those activations that have one.
        pub alphas: Vec<f64>,
        /// Second parameters of those activations that have one.
        pub betas: Vec<f64>,
        /// Limit of the activations' arguments.
        pub clip: Option<f64>,
        /// Is `bias` there?
        pub has_bias: bool,
        /// Is `lengths` there?
        pub has_lengths: bool,
        /// Is `h` there?
        pub has_h: bool,
    }
}

impl Rnn {
    fn course(&self) -> Course {
        Course { direction: self.direction, batch_first: self.batch_first, gates: 1, states: 1 }
    }
}

impl OpDef for Rnn {
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
        let gates = gates(&self.activations, &self.alphas, &self.betas, self.direction.count())?;
        self.course().expand(b, &operands, |b, step| {
            let input = step.biased(b, step.input, 0)?;
            let input = step.biased(b, input, 1)?;
            let sum = product_plus(b, step.states[0], step.weights, input)?;
            Ok(vec![gates[step.direction].apply(b, sum, self.clip)?])
        })
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl Rnn {
    pub(crate) fn samples() -> Vec<Sample> {
        let op = |direction, activation| Rnn { direction, batch_first: false, activations: vec![activation], alphas: vec![], betas: vec![], clip: Some(3.0), has_bias: true, has_lengths: false, has_h: false };
        let f = DType::F32;
        [Activation::Tanh, Activation::Softsign, Activation::Elu, Activation::HardSigmoid, Activation::Softplus]
            .into_iter()
            .map(|activation| Sample::drawn(op(Direction::Reverse, activation), Domain::Between(-1.0, 1.0), &[(f, &[5, 2, 3]), (f, &[1, 4, 3]), (f, &[1, 4, 4]), (f, &[1, 8])]))
            .collect()
    }
}
