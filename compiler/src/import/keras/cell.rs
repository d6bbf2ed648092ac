//! Cells of recurrent nets, and how they are run over time.
//!
//! In: an input over time, weights, states. Out: what the cell gives at each step, and its last states. Where nothing is masked this is one
//! of the recurrent composites; else a `scan` whose steps keep what was where the mask says so. Must not know: layers around cells.

use frit_ir::build::Folding;
use frit_ir::ops::recurrent::{Activation, Direction};
use frit_ir::ops::{broadcast::Broadcast, concat::Concat, gru::Gru, lstm::Lstm, matmul::MatMul, rnn::Rnn, scan::Scan, split::Split, squeeze::Squeeze, unsqueeze::Unsqueeze};
use frit_ir::shape::TensorType;
use frit_ir::{Builder, OpError, ValueId};

use super::Version;
use super::activation::{activate_as, name_of};
use super::config::Config;
use super::layer::{Call, Layer};

/// The kinds of cells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Simple,
    Lstm,
    Gru {
        /// Is the reset gate applied after the product with the recurrent weights?
        reset_after: bool,
    },
}

/// A cell with its weights.
#[derive(Clone, Copy)]
pub(super) struct Cell<'m> {
    kind: Kind,
    config: Config<'m>,
    kernel: ValueId,
    recurrent: ValueId,
    /// Biases of input and recurrence.
    biases: [Option<ValueId>; 2],
    pub(super) hidden: i64,
}

/// What a run gives.
pub(super) struct Outcome {
    /// What the first cell's states after the last are is said at each step, `[batch, time, hidden]`, in the order of time.
    pub(super) sequence: ValueId,
    /// The result of the last step that is run.
    pub(super) last: ValueId,
    pub(super) states: Vec<ValueId>,
}

impl<'m> Cell<'m> {
    /// A cell by its class, with weights below `part`.
    ///
    /// # Errors
    /// Unsupported where the class is not known.
    pub(super) fn new(n: &mut Layer<'_>, class: &str, config: Config<'m>, part: &str) -> Result<Self, OpError> {
        let kind = match class {
            "SimpleRNN" | "SimpleRNNCell" => Kind::Simple,
            "LSTM" | "LSTMCell" | "CuDNNLSTM" => Kind::Lstm,
            "GRU" | "GRUCell" => Kind::Gru { reset_after: config.flag("reset_after", n.version() == Version::Three)? },
            other => return Err(OpError::unsupported(format!("cells of class '{other}' are not supported")).help("say it with LSTMCell, GRUCell, SimpleRNNCell or StackedRNNCells")),
        };
        let (kernel, recurrent) = (n.weight_of(part, 0)?, n.weight_of(part, 1)?);
        let hidden = n.extent(recurrent, 0)?;
        let gates = match kind {
            Kind::Simple => 1,
            Kind::Lstm => 4,
            Kind::Gru { .. } => 3,
        };
        if n.builder.extents(recurrent)? != [hidden, gates * hidden] || n.rank(kernel)? != 2 || n.extent(kernel, 1)? != gates * hidden {
            return Err(OpError::invalid(format!("its weights have the shapes {:?} and {:?}", n.builder.extents(kernel)?, n.builder.extents(recurrent)?)));
        }
        let mut biases = [None; 2];
        if config.flag("use_bias", true)? {
            let bias = n.weight_of(part, 2)?;
            biases = match n.builder.extents(bias)?.as_slice() {
                [2, _] => {
                    let rows = n.builder.apply_all(Split { axis: 0, parts: 2 }, &[bias])?;
                    [Some(n.reshape(rows[0], &[-1])?), Some(n.reshape(rows[1], &[-1])?)]
                }
                [wide] if *wide == 2 * gates * hidden => {
                    let rows = n.builder.apply_all(Split { axis: 0, parts: 2 }, &[bias])?;
                    [Some(rows[0]), Some(rows[1])]
                }
                _ => [Some(bias), None],
            };
        }
        Ok(Self { kind, config, kernel, recurrent, biases, hidden })
    }

    /// How many states it has.
    pub(super) fn states(&self) -> usize {
        if self.kind == Kind::Lstm { 2 } else { 1 }
    }

    /// What it has of an input, for one step or all.
    fn project(n: &mut Layer<'_>, x: ValueId, kernel: ValueId, bias: Option<ValueId>) -> Result<ValueId, OpError> {
        let product = n.apply(MatMul {}, &[x, kernel])?;
        match bias {
            Some(bias) => n.add(product, bias),
            None => Ok(product),
        }
    }

    /// One step: the states after it, of which the first is the result. `recurrent` and `bias` are values of the same graph.
    fn step(&self, n: &mut Layer<'_>, input: ValueId, states: &[ValueId], recurrent: ValueId, bias: Option<ValueId>) -> Result<Vec<ValueId>, OpError> {
        // The activations are the cell's.
        let (gate, shown) = ("recurrent_activation", "activation");
        let hidden = states[0];
        let split = |n: &mut Layer<'_>, x: ValueId, parts: usize| n.builder.apply_all(Split { axis: 1, parts }, &[x]);
        let product = |n: &mut Layer<'_>, x: ValueId, weights: ValueId| n.apply(MatMul {}, &[x, weights]);
        match self.kind {
            Kind::Simple => {
                let old = product(n, hidden, recurrent)?;
                let sum = n.add(input, old)?;
                Ok(vec![activate_as(n, sum, self.config, shown)?])
            }
            Kind::Lstm => {
                let old = product(n, hidden, recurrent)?;
                let sum = n.add(input, old)?;
                let parts = split(n, sum, 4)?;
                Self::lstm(n, &parts, states[1], self.config)
            }
            Kind::Gru { reset_after: true } => {
                let old = Self::project(n, hidden, recurrent, bias)?;
                let (new, old) = (split(n, input, 3)?, split(n, old, 3)?);
                let (z, r) = (n.add(new[0], old[0])?, n.add(new[1], old[1])?);
                let (z, r) = (activate_as(n, z, self.config, gate)?, activate_as(n, r, self.config, gate)?);
                let kept = n.mul(r, old[2])?;
                let sum = n.add(new[2], kept)?;
                let next = activate_as(n, sum, self.config, shown)?;
                Ok(vec![Self::between(n, z, hidden, next)?])
            }
            Kind::Gru { reset_after: false } => {
                let new = split(n, input, 3)?;
                let weights = split(n, recurrent, 3)?;
                let (z, r) = (product(n, hidden, weights[0])?, product(n, hidden, weights[1])?);
                let (z, r) = (n.add(new[0], z)?, n.add(new[1], r)?);
                let (z, r) = (activate_as(n, z, self.config, gate)?, activate_as(n, r, self.config, gate)?);
                let kept = n.mul(r, hidden)?;
                let kept = product(n, kept, weights[2])?;
                let sum = n.add(new[2], kept)?;
                let next = activate_as(n, sum, self.config, shown)?;
                Ok(vec![Self::between(n, z, hidden, next)?])
            }
        }
    }

    /// `z old + (1 - z) next`.
    fn between(n: &mut Layer<'_>, z: ValueId, old: ValueId, next: ValueId) -> Result<ValueId, OpError> {
        let one = n.number_like(z, 1.0);
        let rest = n.sub(one, z)?;
        let (old, next) = (n.mul(z, old)?, n.mul(rest, next)?);
        n.add(old, next)
    }

    /// The states after a step from the four gates, input, forget, cell and output.
    pub(super) fn lstm(n: &mut Layer<'_>, gates: &[ValueId], cell: ValueId, config: Config<'_>) -> Result<Vec<ValueId>, OpError> {
        let (gate, shown) = ("recurrent_activation", "activation");
        let (i, f, c, o) = (activate_as(n, gates[0], config, gate)?, activate_as(n, gates[1], config, gate)?, activate_as(n, gates[2], config, shown)?, activate_as(n, gates[3], config, gate)?);
        let (kept, new) = (n.mul(f, cell)?, n.mul(i, c)?);
        let cell = n.add(kept, new)?;
        let seen = activate_as(n, cell, config, shown)?;
        Ok(vec![n.mul(o, seen)?, cell])
    }

    /// Its activations as the composites have them, if they do: first that of the gates where there are any.
    fn activations(&self, version: Version) -> Option<(Vec<Activation>, Vec<f64>, Vec<f64>)> {
        let name = |entry, default| self.config.get(entry).map_or(Some(default), name_of);
        let shown = name("activation", "linear")?;
        let names = match self.kind {
            Kind::Simple => vec![shown],
            Kind::Lstm => vec![name("recurrent_activation", "linear")?, shown, shown],
            Kind::Gru { .. } => vec![name("recurrent_activation", "linear")?, shown],
        };
        let (mut all, mut alphas, mut betas) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let (activation, alpha, beta) = match name {
                "relu" => (Activation::Relu, None, None),
                "tanh" => (Activation::Tanh, None, None),
                "sigmoid" => (Activation::Sigmoid, None, None),
                "linear" => (Activation::Affine, Some(1.0), Some(0.0)),
                "leaky_relu" => (Activation::LeakyRelu, Some(0.2), None),
                "hard_sigmoid" => (Activation::HardSigmoid, Some(if version == Version::Two { 0.2 } else { 1.0 / 6.0 }), Some(0.5)),
                "elu" => (Activation::Elu, Some(1.0), None),
                "softsign" => (Activation::Softsign, None, None),
                "softplus" => (Activation::Softplus, None, None),
                _ => return None,
            };
            all.push(activation);
            alphas.extend(alpha);
            betas.extend(beta);
        }
        Some((all, alphas, betas))
    }

    /// Runs the cell by the composite of its kind.
    fn composite(&self, n: &mut Layer<'_>, x: ValueId, initial: &[ValueId], backward: bool, (activations, alphas, betas): (Vec<Activation>, Vec<f64>, Vec<f64>)) -> Result<Outcome, OpError> {
        let direction = if backward { Direction::Reverse } else { Direction::Forward };
        // Rows of gates, in the order of the composite; LSTM's gates stand as input, output, forget, cell there.
        let order: &[usize] = if self.kind == Kind::Lstm { &[0, 3, 1, 2] } else { &[] };
        let arranged = |n: &mut Layer<'_>, value: ValueId, axis: usize| -> Result<ValueId, OpError> {
            if order.is_empty() {
                return Ok(value);
            }
            let parts = n.builder.apply_all(Split { axis, parts: order.len() }, &[value])?;
            n.apply(Concat { axis }, &order.iter().map(|k| parts[*k]).collect::<Vec<_>>())
        };
        let ahead = n.builder.ints(&[0]);
        let matrix = |n: &mut Layer<'_>, value: ValueId| -> Result<ValueId, OpError> {
            let value = arranged(n, value, 1)?;
            let value = n.permuted(value, &[1, 0])?;
            n.apply(Unsqueeze {}, &[value, ahead])
        };
        let mut operands = vec![x, matrix(n, self.kernel)?, matrix(n, self.recurrent)?];
        let has_bias = self.biases[0].is_some();
        if let Some(bias) = self.biases[0] {
            let first = arranged(n, bias, 0)?;
            let second = match self.biases[1] {
                Some(bias) => arranged(n, bias, 0)?,
                None => {
                    let zero = n.number_like(first, 0.0);
                    let extents = n.builder.extents(first)?;
                    n.apply(Broadcast { extents }, &[zero])?
                }
            };
            let both = n.apply(Concat { axis: 0 }, &[first, second])?;
            operands.push(n.apply(Unsqueeze {}, &[both, ahead])?);
        }
        let between = n.builder.ints(&[1]);
        for state in initial {
            operands.push(n.apply(Unsqueeze {}, &[*state, between])?);
        }
        let has_h = !initial.is_empty();
        let (batch_first, clip, has_lengths) = (true, None, false);
        let results = match self.kind {
            Kind::Simple => n.builder.apply_all(Rnn { direction, batch_first, activations, alphas, betas, clip, has_bias, has_lengths, has_h }, &operands)?,
            Kind::Lstm => n.builder.apply_all(Lstm { direction, batch_first, activations, alphas, betas, clip, coupled: false, has_bias, has_lengths, has_h, has_c: has_h, has_peepholes: false }, &operands)?,
            Kind::Gru { reset_after } => n.builder.apply_all(Gru { direction, batch_first, activations, alphas, betas, clip, reset_after, has_bias, has_lengths, has_h }, &operands)?,
        };
        let axis = n.builder.ints(&[2]);
        let sequence = n.apply(Squeeze {}, &[results[0], axis])?;
        let states = results[1..].iter().map(|state| n.apply(Squeeze {}, &[*state, between])).collect::<Result<Vec<_>, _>>()?;
        Ok(Outcome { sequence, last: states[0], states })
    }
}

/// Runs cells one above the other over time. `x` is `[batch, time, features]`, a mask `[batch, time]`, states `[batch, hidden]`.
pub(super) fn run(n: &mut Layer<'_>, cells: &[Cell<'_>], x: ValueId, mask: Option<ValueId>, initial: &[ValueId], backward: bool, zero_masked: bool) -> Result<Outcome, OpError> {
    let count: usize = cells.iter().map(Cell::states).sum();
    let [first, ..] = cells else { return Err(OpError::invalid("it has no cell")) };
    if !initial.is_empty() && initial.len() != count {
        return Err(OpError::invalid(format!("it has {count} states, but {} are given", initial.len())));
    }
    if n.rank(x)? != 3 {
        return Err(OpError::invalid(format!("it takes an operand of 3 axes, not {}", n.rank(x)?)));
    }
    if let ([cell], None) = (cells, mask)
        && let Some(activations) = cell.activations(n.version())
    {
        return cell.composite(n, x, initial, backward, activations);
    }
    let batch = n.extent(x, 0)?;
    let dtype = n.builder.dtype(x);
    let zero = |n: &mut Layer<'_>, hidden: i64| {
        let zero = n.builder.scalar(dtype, 0.0);
        n.apply(Broadcast { extents: vec![batch, hidden] }, &[zero])
    };
    let mut states = initial.to_vec();
    if states.is_empty() {
        for cell in cells {
            for _ in 0..cell.states() {
                states.push(zero(n, cell.hidden)?);
            }
        }
    }
    let top = cells[cells.len() - 1].hidden;
    // All that the first cell has of the input is one product.
    let input = Cell::project(n, x, first.kernel, first.biases[0])?;
    let mut captures = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            captures.push(cell.kernel);
            captures.extend(cell.biases[0]);
        }
        captures.push(cell.recurrent);
        captures.extend(cell.biases[1]);
    }
    let shown = zero(n, top)?;
    scan(n, Run { states, shown, scanned: input, mask, captures, backward, zero_masked }, &mut |n, input, states, captures| {
        let (mut input, mut all) = (input, Vec::new());
        let (mut states, mut captures) = (states, captures.iter().copied());
        let mut next = || captures.next().ok_or_else(|| OpError::bug("a cell lacks a weight"));
        for (at, cell) in cells.iter().enumerate() {
            if at > 0 {
                let kernel = next()?;
                let bias = cell.biases[0].map(|_| next()).transpose()?;
                input = Cell::project(n, input, kernel, bias)?;
            }
            let recurrent = next()?;
            let bias = cell.biases[1].map(|_| next()).transpose()?;
            let (own, rest) = states.split_at(cell.states());
            states = rest;
            let new = cell.step(n, input, own, recurrent, bias)?;
            input = new[0];
            all.extend(new);
        }
        Ok((input, all))
    })
}

/// What a scan over time runs on.
pub(super) struct Run {
    /// States before the first step.
    pub(super) states: Vec<ValueId>,
    /// What stands for a result before there is one.
    pub(super) shown: ValueId,
    /// `[batch, time, ..]`.
    pub(super) scanned: ValueId,
    /// `[batch, time]`.
    pub(super) mask: Option<ValueId>,
    /// What each step needs.
    pub(super) captures: Vec<ValueId>,
    pub(super) backward: bool,
    /// Does a step that doesn't count give zeros, rather than what the one before gave?
    pub(super) zero_masked: bool,
}

/// A step: from an element of what is scanned, states and captures to a result and states.
type Step<'s> = dyn FnMut(&mut Layer<'_>, ValueId, &[ValueId], &[ValueId]) -> Result<(ValueId, Vec<ValueId>), OpError> + 's;

/// Runs steps over time.
pub(super) fn scan(n: &mut Layer<'_>, run: Run, step: &mut Step<'_>) -> Result<Outcome, OpError> {
    let mut inner = Builder::new("cell").folding(Folding::Early);
    inner.set_origins(n.builder.origins().clone());
    let mut states = run.states;
    let kept = states.len();
    if run.mask.is_some() {
        states.push(run.shown);
    }
    let mut operands = states.clone();
    operands.push(run.scanned);
    operands.extend(run.mask);
    let scanned = operands.len() - states.len();
    operands.extend(&run.captures);
    let mut values = Vec::new();
    for (k, operand) in operands.iter().enumerate() {
        let ty = n.builder.ty(*operand);
        let mut extents = ty.extents()?;
        if (states.len()..states.len() + scanned).contains(&k) {
            extents.remove(1);
        }
        values.push(inner.input(k.to_string(), TensorType::known(ty.dtype, &extents)));
    }
    let (old, rest) = values.split_at(states.len());
    let (elements, captures) = rest.split_at(scanned);
    let outputs = {
        let call = Call { args: Vec::new(), kwargs: Vec::new() };
        let mut within = Layer { builder: &mut inner, importer: &mut *n.importer, class: n.class, config: n.config, path: String::new(), call, policy: n.policy };
        let m = &mut within;
        let (mut result, mut new) = step(m, elements[0], &old[..kept], captures)?;
        if let Some(mask) = elements.get(1) {
            let rank = m.rank(result)?;
            let masked = |m: &mut Layer<'_>, new: ValueId, old: ValueId| {
                let axes = m.builder.ints(&(1..rank as i64).collect::<Vec<_>>());
                let mask = m.apply(Unsqueeze {}, &[*mask, axes])?;
                m.select(mask, new, old)
            };
            let before = if run.zero_masked { m.number_like(result, 0.0) } else { old[kept] };
            result = masked(m, result, before)?;
            for (new, old) in new.iter_mut().zip(old) {
                *new = masked(m, *new, *old)?;
            }
            new.push(result);
        }
        (result, new)
    };
    let (result, new) = outputs;
    for (k, state) in new.iter().enumerate() {
        inner.output(format!("state{k}"), *state);
    }
    inner.output("output", result);
    let op = Scan { body: inner.finish(), states: states.len(), input_axes: vec![1; scanned], input_reversed: vec![run.backward; scanned], output_axes: vec![1], output_reversed: vec![run.backward] };
    let mut results = n.builder.apply_all(op, &operands)?;
    let Some(sequence) = results.pop() else { return Err(OpError::bug("a scan gives results")) };
    let last = results.get(kept).copied();
    results.truncate(kept);
    let last = match last {
        Some(last) if !run.zero_masked => last,
        _ => {
            let end = if run.backward { n.slice(sequence, 1, 0, 1, 1)? } else { n.slice(sequence, 1, -1, i64::MAX, 1)? };
            let axis = n.builder.ints(&[1]);
            n.apply(Squeeze {}, &[end, axis])?
        }
    };
    Ok(Outcome { sequence, last, states: results })
}
