//! What the recurrent composites share: activations, directions, and the scan over time.
//!
//! In: operands as the ops' files list them. Out: values of core ops: one product of the whole input with the input
//! weights, then a `scan` over time whose body is one cell. Must not know: which gates a cell has.

use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::attr::attr_enum;
use crate::ops::compose::{Built, add, add_number, broadcast, cast, count, div, less, mul, reshape, scale, select, slice, transpose};
use crate::ops::{Arg, abs::Abs, concat::Concat, exp::Exp, log::Log, matmul::MatMul, max::Max, min::Min, neg::Neg, relu::Relu, scan::Scan, sigmoid::Sigmoid, tanh::Tanh};
use crate::shape::{Dim, TensorType};

attr_enum! {
    /// Functions of a cell's gates; `a` and `b` are their parameters.
    pub enum Activation {
        /// `max(x, 0)`.
        Relu = "relu",
        /// Hyperbolic tangent.
        Tanh = "tanh",
        /// `1 / (1 + exp(-x))`.
        Sigmoid = "sigmoid",
        /// `a x + b`.
        Affine = "affine",
        /// `x` from 0 on, below `a x`.
        LeakyRelu = "leaky_relu",
        /// `x` from `a` on, below 0.
        ThresholdedRelu = "thresholded_relu",
        /// `a tanh(b x)`.
        ScaledTanh = "scaled_tanh",
        /// `min(max(a x + b, 0), 1)`.
        HardSigmoid = "hard_sigmoid",
        /// `x` from 0 on, below `a (exp(x) - 1)`.
        Elu = "elu",
        /// `x / (1 + |x|)`.
        Softsign = "softsign",
        /// `log(1 + exp(x))`.
        Softplus = "softplus",
    }
}

impl Activation {
    /// What `a` and `b` are where they are not given; nothing where the function has none.
    fn defaults(self) -> (Option<f64>, Option<f64>) {
        match self {
            Activation::Relu | Activation::Tanh | Activation::Sigmoid | Activation::Softsign | Activation::Softplus => (None, None),
            Activation::Affine => (Some(1.0), Some(0.0)),
            Activation::LeakyRelu => (Some(0.01), None),
            Activation::ThresholdedRelu | Activation::Elu => (Some(1.0), None),
            Activation::ScaledTanh => (Some(1.0), Some(1.0)),
            Activation::HardSigmoid => (Some(0.2), Some(0.5)),
        }
    }
}

attr_enum! {
    /// Which way time goes.
    pub enum Direction {
        /// From the first step.
        Forward = "forward",
        /// From the last step.
        Reverse = "reverse",
        /// Both, apart.
        Both = "both",
    }
}

impl Direction {
    /// How many directions.
    pub(crate) fn count(self) -> usize {
        if self == Direction::Both { 2 } else { 1 }
    }
}

/// A gate's function with its parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate {
    activation: Activation,
    a: f64,
    b: f64,
}

impl Gate {
    /// The function's value, of `x` first limited to `-clip..=clip`.
    pub(crate) fn apply(self, b: &mut Builder, x: ValueId, clip: Option<f64>) -> Built {
        let x = match clip {
            Some(limit) => bounded(b, x, -limit, limit)?,
            None => x,
        };
        let zero = b.scalar(b.dtype(x), 0.0);
        match self.activation {
            Activation::Relu => b.apply(Relu {}, &[x]),
            Activation::Tanh => b.apply(Tanh {}, &[x]),
            Activation::Sigmoid => b.apply(Sigmoid {}, &[x]),
            Activation::Affine => {
                let scaled = scale(b, x, self.a)?;
                add_number(b, scaled, self.b)
            }
            Activation::LeakyRelu => {
                let (low, below) = (scale(b, x, self.a)?, less(b, x, zero)?);
                select(b, below, low, x)
            }
            Activation::ThresholdedRelu => {
                let from = b.scalar(b.dtype(x), self.a);
                let below = less(b, x, from)?;
                select(b, below, zero, x)
            }
            Activation::ScaledTanh => {
                let scaled = scale(b, x, self.b)?;
                let y = b.apply(Tanh {}, &[scaled])?;
                scale(b, y, self.a)
            }
            Activation::HardSigmoid => {
                let scaled = scale(b, x, self.a)?;
                let line = add_number(b, scaled, self.b)?;
                bounded(b, line, 0.0, 1.0)
            }
            Activation::Elu => {
                let power = b.apply(Exp {}, &[x])?;
                let low = add_number(b, power, -1.0)?;
                let low = scale(b, low, self.a)?;
                let below = less(b, x, zero)?;
                select(b, below, low, x)
            }
            Activation::Softsign => {
                let size = b.apply(Abs {}, &[x])?;
                let divisor = add_number(b, size, 1.0)?;
                div(b, x, divisor)
            }
            Activation::Softplus => {
                // max(x, 0) + log(1 + exp(-|x|)), which does not overflow.
                let size = b.apply(Abs {}, &[x])?;
                let negative = b.apply(Neg {}, &[size])?;
                let power = b.apply(Exp {}, &[negative])?;
                let sum = add_number(b, power, 1.0)?;
                let log = b.apply(Log {}, &[sum])?;
                let positive = b.apply(Relu {}, &[x])?;
                add(b, positive, log)
            }
        }
    }
}

fn bounded(b: &mut Builder, x: ValueId, low: f64, high: f64) -> Built {
    let (low, high) = (b.scalar(b.dtype(x), low), b.scalar(b.dtype(x), high));
    let raised = b.apply(Max {}, &[x, low])?;
    b.apply(Min {}, &[raised, high])
}

/// Pairs functions with parameters, which are used up in order by those functions that have one.
///
/// # Errors
/// Invalid where the number of functions is not `count`.
pub(crate) fn gates(activations: &[Activation], alphas: &[f64], betas: &[f64], count: usize) -> Result<Vec<Gate>, OpError> {
    if activations.len() != count {
        return Err(OpError::invalid(format!("the cell takes {count} activations, not {}", activations.len())));
    }
    let (mut alphas, mut betas) = (alphas.iter(), betas.iter());
    Ok(activations
        .iter()
        .map(|activation| {
            let (a, b) = activation.defaults();
            Gate {
                activation: *activation,
                a: a.map_or(0.0, |default| alphas.next().copied().unwrap_or(default)),
                b: b.map_or(0.0, |default| betas.next().copied().unwrap_or(default)),
            }
        })
        .collect())
}

/// Operands of a recurrent op, apart.
#[derive(Clone, Debug)]
pub(crate) struct Operands {
    pub(crate) x: ValueId,
    pub(crate) w: ValueId,
    pub(crate) r: ValueId,
    pub(crate) bias: Option<ValueId>,
    pub(crate) lengths: Option<ValueId>,
    /// Initial states.
    pub(crate) states: Vec<Option<ValueId>>,
    pub(crate) peepholes: Option<ValueId>,
}

/// How a recurrent op runs over time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) direction: Direction,
    /// Is the batch the first axis of `x` (and the states), before time?
    pub(crate) batch_first: bool,
    /// Number of gates.
    pub(crate) gates: usize,
    /// Number of states; the first is the output.
    pub(crate) states: usize,
}

/// What a cell is given to compute one step in one direction.
pub(crate) struct Step<'a> {
    /// 0 forward, 1 the other of two.
    pub(crate) direction: usize,
    /// The product with the input weights, `[batch, gates * hidden]`; no bias is added.
    pub(crate) input: ValueId,
    /// States before the step, `[batch, hidden]`.
    pub(crate) states: &'a [ValueId],
    /// Recurrent weights, `[hidden, gates * hidden]`.
    pub(crate) weights: ValueId,
    /// Biases `[2, gates * hidden]` of input and recurrence, if there are any.
    pub(crate) bias: Option<ValueId>,
    /// Peepholes `[3, hidden]`, if there are any.
    pub(crate) peepholes: Option<ValueId>,
    /// Width of a gate.
    pub(crate) hidden: i64,
}

impl Step<'_> {
    /// The columns of one gate.
    pub(crate) fn gate(&self, b: &mut Builder, x: ValueId, gate: usize) -> Built {
        slice(b, x, 1, gate as i64 * self.hidden, self.hidden, 1)
    }

    /// One bias as a row; `which` is 0 for the input's, 1 for the recurrence's.
    pub(crate) fn biased(&self, b: &mut Builder, x: ValueId, which: i64) -> Built {
        match self.bias {
            Some(bias) => {
                let row = slice(b, bias, 0, which, 1, 1)?;
                add(b, x, row)
            }
            None => Ok(x),
        }
    }
}

impl Course {
    /// Types of the results: the outputs of all steps, then the last states.
    ///
    /// # Errors
    /// Invalid where ranks or dtypes don't fit.
    pub(crate) fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, w, r) = (args[0].ty, args[1].ty, args[2].ty);
        let (dx, dr) = (x.dims()?, r.dims()?);
        let directions = Dim::Known(self.direction.count() as i64);
        let wrong = dx.len() != 3
            || dr.len() != 3
            || w.dims()?.len() != 3
            || x.dtype != w.dtype
            || x.dtype != r.dtype
            || !x.dtype.is_float()
            || !dr[0].may_equal(&directions)
            || !w.dims()?[2].may_equal(&dx[2])
            || !dr[1].may_equal(&dr[2].times(&Dim::Known(self.gates as i64)))
            || !w.dims()?[1].may_equal(&dr[1]);
        if wrong {
            return Err(OpError::invalid(format!("a recurrent op of {} gates and {directions} directions takes x {x}, weights {w} and {r}", self.gates)));
        }
        let (time, batch) = if self.batch_first { (&dx[1], &dx[0]) } else { (&dx[0], &dx[1]) };
        let hidden = &dr[2];
        let (all, last) = if self.batch_first {
            ([batch, time, &directions, hidden].map(Clone::clone).to_vec(), [batch, &directions, hidden].map(Clone::clone).to_vec())
        } else {
            ([time, &directions, batch, hidden].map(Clone::clone).to_vec(), [&directions, batch, hidden].map(Clone::clone).to_vec())
        };
        let mut types = vec![TensorType::ranked(x.dtype, all)];
        types.extend(std::iter::repeat_n(TensorType::ranked(x.dtype, last), self.states));
        Ok(types)
    }

    /// Builds the op around a cell, which gives the states after a step.
    pub(crate) fn expand(&self, b: &mut Builder, operands: &Operands, cell: impl Fn(&mut Builder, &Step<'_>) -> Result<Vec<ValueId>, OpError>) -> Result<Vec<ValueId>, OpError> {
        let dtype = b.dtype(operands.x);
        let x = if self.batch_first { transpose(b, operands.x, &[1, 0, 2])? } else { operands.x };
        let [time, batch, features] = b.extents(x)?[..] else { return Err(OpError::invalid("the input of a recurrent op has three axes")) };
        let [_, wide, hidden] = b.extents(operands.r)?[..] else { return Err(OpError::invalid("recurrent weights have three axes")) };
        let flat = reshape(b, x, &[time * batch, features])?;
        let mask = match operands.lengths {
            Some(lengths) => Some(self.mask(b, lengths, time, batch)?),
            None => None,
        };
        let mut outputs = Vec::new();
        let mut lasts: Vec<Vec<ValueId>> = vec![Vec::new(); self.states];
        for direction in 0..self.direction.count() {
            let one = |b: &mut Builder, value: ValueId| slice(b, value, 0, direction as i64, 1, 1);
            let weights = one(b, operands.w)?;
            let weights = reshape(b, weights, &[wide, features])?;
            let weights = transpose(b, weights, &[1, 0])?;
            let product = b.apply(MatMul {}, &[flat, weights])?;
            let product = reshape(b, product, &[time, batch, wide])?;
            let mut inputs = Vec::new();
            for state in &operands.states {
                inputs.push(match state {
                    Some(state) => {
                        let state = if self.batch_first { transpose(b, *state, &[1, 0, 2])? } else { *state };
                        let state = one(b, state)?;
                        reshape(b, state, &[batch, hidden])?
                    }
                    None => {
                        let zero = b.scalar(dtype, 0.0);
                        broadcast(b, zero, &[batch, hidden])?
                    }
                });
            }
            inputs.push(product);
            inputs.extend(mask);
            let recurrent = one(b, operands.r)?;
            let recurrent = reshape(b, recurrent, &[wide, hidden])?;
            inputs.push(transpose(b, recurrent, &[1, 0])?);
            if let Some(bias) = operands.bias {
                let bias = one(b, bias)?;
                inputs.push(reshape(b, bias, &[2, wide])?);
            }
            if let Some(peepholes) = operands.peepholes {
                let peepholes = one(b, peepholes)?;
                inputs.push(reshape(b, peepholes, &[3, hidden])?);
            }
            let scanned = 1 + usize::from(mask.is_some());
            let body = self.body(b, &inputs, scanned, operands, direction, hidden, &cell)?;
            let reversed = self.direction == Direction::Reverse || direction == 1;
            let scan = Scan { body, states: self.states, input_axes: vec![0; scanned], input_reversed: vec![reversed; scanned], output_axes: vec![0], output_reversed: vec![reversed] };
            let mut results = b.apply_all(scan, &inputs)?;
            let Some(all) = results.pop() else { return Err(OpError::bug("a scan gives results")) };
            outputs.push(reshape(b, all, &[time, 1, batch, hidden])?);
            for (list, state) in lasts.iter_mut().zip(results) {
                list.push(reshape(b, state, &[1, batch, hidden])?);
            }
        }
        let join = |b: &mut Builder, parts: &[ValueId], axis| if let [one] = parts { Ok(*one) } else { b.apply(Concat { axis }, parts) };
        let all = join(b, &outputs, 1)?;
        let mut results = vec![if self.batch_first { transpose(b, all, &[2, 0, 1, 3])? } else { all }];
        for list in lasts {
            let last = join(b, &list, 0)?;
            results.push(if self.batch_first { transpose(b, last, &[1, 0, 2])? } else { last });
        }
        Ok(results)
    }

    /// `[time, batch, 1]`: does the step lie within the sample's length?
    fn mask(&self, b: &mut Builder, lengths: ValueId, time: i64, batch: i64) -> Built {
        let lengths = cast(b, lengths, DType::I64)?;
        let lengths = reshape(b, lengths, &[1, batch, 1])?;
        let steps = count(b, DType::I64, 3, 0, time)?;
        less(b, steps, lengths)
    }

    #[allow(clippy::too_many_arguments, reason = "one call, one caller")]
    fn body(&self, b: &Builder, inputs: &[ValueId], scanned: usize, operands: &Operands, direction: usize, hidden: i64, cell: &impl Fn(&mut Builder, &Step<'_>) -> Result<Vec<ValueId>, OpError>) -> Result<crate::graph::Graph, OpError> {
        let mut inner = Builder::new("cell");
        inner.set_origins(b.origins().clone());
        let mut values = Vec::new();
        for (k, input) in inputs.iter().enumerate() {
            let ty = b.ty(*input);
            let mut extents = ty.extents()?;
            if (self.states..self.states + scanned).contains(&k) {
                extents.remove(0);
            }
            values.push(inner.input(k.to_string(), TensorType::known(ty.dtype, &extents)));
        }
        let (states, rest) = values.split_at(self.states);
        let (elements, captures) = rest.split_at(scanned);
        let bias = operands.bias.map(|_| captures[1]);
        let peepholes = operands.peepholes.map(|_| captures[captures.len() - 1]);
        let step = Step { direction, input: elements[0], states, weights: captures[0], bias, peepholes, hidden };
        let mut next = cell(&mut inner, &step)?;
        let mut output = next[0];
        if let Some(mask) = elements.get(1) {
            for (new, old) in next.iter_mut().zip(states) {
                *new = select(&mut inner, *mask, *new, *old)?;
            }
            let zero = inner.scalar(inner.dtype(output), 0.0);
            output = select(&mut inner, *mask, output, zero)?;
        }
        for (k, state) in next.into_iter().enumerate() {
            inner.output(format!("state{k}"), state);
        }
        inner.output("output", output);
        Ok(inner.finish())
    }
}

/// `x * weights + y`.
pub(crate) fn product_plus(b: &mut Builder, x: ValueId, weights: ValueId, y: ValueId) -> Built {
    let product = b.apply(MatMul {}, &[x, weights])?;
    add(b, y, product)
}

/// `x + peephole * state` for one row of the peepholes.
pub(crate) fn peep(b: &mut Builder, x: ValueId, peepholes: Option<ValueId>, row: i64, state: ValueId) -> Built {
    let Some(peepholes) = peepholes else { return Ok(x) };
    let row = slice(b, peepholes, 0, row, 1, 1)?;
    let seen = mul(b, row, state)?;
    add(b, x, seen)
}

/// Takes the operands of a recurrent op apart: `x, w, r`, then those of `bias, lengths, states.., peepholes` that are there.
///
/// # Errors
/// Invalid where their number is not what the flags say.
pub(crate) fn operands(inputs: &[ValueId], has_bias: bool, has_lengths: bool, has_states: &[bool], has_peepholes: bool) -> Result<Operands, OpError> {
    let mut rest = inputs.iter().skip(3).copied();
    let mut next = |there: bool| if there { rest.next().map(Some).ok_or(()) } else { Ok(None) };
    let wrong = |()| OpError::invalid("a recurrent op has fewer operands than it says");
    let bias = next(has_bias).map_err(wrong)?;
    let lengths = next(has_lengths).map_err(wrong)?;
    let states = has_states.iter().map(|there| next(*there)).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    let peepholes = next(has_peepholes).map_err(wrong)?;
    if rest.next().is_some() || inputs.len() < 3 {
        return Err(OpError::invalid(format!("a recurrent op has {} operands, which is not what it says", inputs.len())));
    }
    Ok(Operands { x: inputs[0], w: inputs[1], r: inputs[2], bias, lengths, states, peepholes })
}
