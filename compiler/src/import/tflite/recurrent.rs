//! Recurrent nets that are one op. Their states are variables, which live from run to run.

use frit_ir::build::Folding;
use frit_ir::ops::aggregate::{Aggregate, Statistic};
use frit_ir::ops::scan::Scan;
use frit_ir::ops::slice::Slice;
use frit_ir::ops::{concat::Concat, div::Div, matmul::MatMul, matmul_integer::MatMulInteger, round::Round, sigmoid::Sigmoid, sqrt::Sqrt, tanh::Tanh, transpose::Transpose};
use frit_ir::{Builder, DType, OpError, Tensor, TensorType, ValueId};

use super::How::Stored;
use super::Row;
use super::nn::Rounded;
use super::node::{Node, Value, Values, dequantised, parameters};
use super::schema::Quantisation;
use crate::import::layout::permuted;

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[(27, "SVDF", Stored, svdf), (44, "UNIDIRECTIONAL_SEQUENCE_LSTM", Stored, lstm), (35, "UNIDIRECTIONAL_SEQUENCE_RNN", Stored, rnn)];

/// Where an LSTM's operands begin: weights of input, forget, cell and output gate each.
const WEIGHTS: usize = 1;
const RECURRENT: usize = 5;
const PEEPHOLES: usize = 9;
const BIASES: usize = 12;
const PROJECTION: usize = 16;
const HIDDEN: usize = 18;
const CELL: usize = 19;
const NORMS: usize = 20;

/// Numbers of 16 bits that stand for -8 to 8, as sums of a gate are kept.
const SUM_UNIT: f64 = 1.0 / 4096.0;
/// And for -1 to 1, as activations are.
const GATE_UNIT: f64 = 1.0 / 32768.0;

/// What happens at each step: a body under construction, and what it takes from outside.
struct Steps {
    outside: Builder,
    inputs: Vec<ValueId>,
}

impl Steps {
    /// A scan with these states over one tensor. The body is built by a function, which is given the states and the element, while the node's
    /// builder is the body's, and gives the next states and an element; the results are the last states and all elements.
    fn scan(n: &mut Node<'_, '_>, states: &[ValueId], scanned: ValueId, body: impl FnOnce(&mut Node<'_, '_>, &mut Steps, &[ValueId]) -> Result<(Vec<ValueId>, ValueId), OpError>) -> Values {
        let mut inner = Builder::new("cell").folding(Folding::Early);
        inner.set_origins(n.builder.origins().clone());
        let mut values = Vec::new();
        for (k, state) in states.iter().enumerate() {
            values.push(inner.input(format!("state{k}"), n.builder.ty(*state).clone()));
        }
        let ty = n.builder.ty(scanned);
        let dims = ty.dims()?.get(1..).ok_or_else(|| OpError::invalid("a sequence has a time axis"))?.to_vec();
        values.push(inner.input("element", TensorType::ranked(ty.dtype, dims)));
        let inputs = states.iter().copied().chain([scanned]).collect();
        let mut steps = Self { outside: std::mem::replace(n.builder, inner), inputs };
        match body(n, &mut steps, &values) {
            Ok((states, element)) => steps.end(n, &states, element),
            Err(error) => {
                *n.builder = steps.outside;
                Err(error)
            }
        }
    }

    /// A value from outside.
    fn capture(&mut self, n: &mut Node<'_, '_>, value: ValueId) -> ValueId {
        if let Some(tensor) = self.outside.as_constant(value) {
            return n.builder.constant(tensor.clone());
        }
        self.inputs.push(value);
        n.builder.input(format!("capture{}", self.inputs.len()), self.outside.ty(value).clone())
    }

    fn end(self, n: &mut Node<'_, '_>, states: &[ValueId], element: ValueId) -> Values {
        for (k, state) in states.iter().enumerate() {
            n.builder.output(format!("state{k}"), *state);
        }
        n.builder.output("element", element);
        let body = std::mem::replace(n.builder, self.outside).finish();
        let scan = Scan { body, states: states.len(), input_axes: vec![0], input_reversed: vec![false], output_axes: vec![0], output_reversed: vec![false] };
        n.builder.apply_all(scan, &self.inputs)
    }
}

/// The time axis first, or back again.
fn time_first(n: &mut Node<'_, '_>, x: ValueId, already: bool) -> Value {
    if already { Ok(x) } else { permuted(n.builder, x, &[1, 0, 2]) }
}

/// How numbers are multiplied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Floats,
    /// Quantised weights; activations are rounded as they come.
    Rounded,
    /// Quantised weights, activations and states.
    Integers,
}

/// A row of columns for each gate.
fn gate(n: &mut Node<'_, '_>, sums: ValueId, at: usize, hidden: i64) -> Value {
    let mut extents = n.builder.extents(sums)?;
    let last = extents.len() - 1;
    extents[last] = hidden;
    let mut starts = vec![0; extents.len()];
    starts[last] = at as i64 * hidden;
    let steps = vec![1; extents.len()];
    n.apply(Slice { starts, extents, steps }, &[sums])
}

fn weights_of(n: &mut Node<'_, '_>, at: usize) -> Value {
    let value = n.input(at)?;
    match n.quantised(at) {
        Some(quantisation) => dequantised(n.builder, value, quantisation),
        None => Ok(value),
    }
}

/// Matrices below each other, transposed.
fn stacked(n: &mut Node<'_, '_>, parts: &[ValueId]) -> Value {
    let joined = if let [one] = parts { *one } else { n.apply(Concat { axis: 0 }, parts)? };
    n.apply(Transpose { perm: vec![1, 0] }, &[joined])
}

/// Rounds floats to bytes, row by row, and gives what these stand for.
fn rounded(n: &mut Node<'_, '_>, x: ValueId, asymmetric: bool) -> Value {
    if asymmetric { Rounded::new(n, x)?.floats(n) } else { Rounded::symmetric(n, x)?.floats(n) }
}

fn lstm(n: &mut Node<'_, '_>) -> Values {
    let time_major = n.flag(3)?;
    let kind = match (n.quantised(0), n.quantised(RECURRENT + 1)) {
        (None, None) => Kind::Floats,
        (None, Some(_)) => Kind::Rounded,
        (Some(_), Some(_)) => Kind::Integers,
        (Some(_), None) => return Err(OpError::unsupported(format!("'{}' of quantised numbers with weights that are floats is not supported", n.op))),
    };
    if n.flag(5)? {
        return Err(OpError::unsupported(format!("'{}' with diagonal recurrent weights is not supported", n.op)));
    }
    let (h, c) = (n.state(HIDDEN)?, n.state(CELL)?);
    let x = n.input(0)?;
    let x = time_first(n, x, time_major)?;
    let mut results = if kind == Kind::Integers { integer_lstm(n, x, h, c)? } else { float_lstm(n, x, h, c, kind)? };
    let (all, c, h) = (results.pop(), results.pop(), results.pop());
    let (Some(all), Some(c), Some(h)) = (all, c, h) else { return Err(OpError::bug("a scan of two states gives three results")) };
    n.set_state(HIDDEN, h)?;
    n.set_state(CELL, c)?;
    Ok(vec![time_first(n, all, time_major)?])
}

fn float_lstm(n: &mut Node<'_, '_>, x: ValueId, h: ValueId, c: ValueId, kind: Kind) -> Values {
    let [time, batch, features] = n.builder.extents(x)?[..] else { return Err(OpError::invalid("the input of a recurrent op has three axes")) };
    let (cell_clip, projection_clip, asymmetric) = (n.float(1)?, n.float(2)?, n.flag(4)?);
    // Without an input gate it is what the forget gate leaves.
    let coupled = n.optional(WEIGHTS).is_none();
    let gates: Vec<usize> = (usize::from(coupled)..4).collect();
    let normed = n.optional(NORMS + 1).is_some();
    let hidden = n.builder.extents(c)?.last().copied().unwrap_or(0);
    let mut flat = n.reshaped(x, &[time * batch, features])?;
    if kind == Kind::Rounded {
        flat = rounded(n, flat, asymmetric)?;
    }
    let part = |n: &mut Node<'_, '_>, from: usize| gates.iter().map(|gate| weights_of(n, from + gate)).collect::<Result<Vec<_>, _>>();
    let (weights, recurrent) = (part(n, WEIGHTS)?, part(n, RECURRENT)?);
    let (weights, recurrent) = (stacked(n, &weights)?, stacked(n, &recurrent)?);
    let mut sums = n.apply(MatMul {}, &[flat, weights])?;
    let biases = gates.iter().filter_map(|gate| n.optional(BIASES + gate)).collect::<Vec<_>>();
    if biases.len() != gates.len() {
        return Err(OpError::invalid(format!("'{}' lacks biases", n.op)));
    }
    if !normed {
        let bias = n.apply(Concat { axis: 0 }, &biases)?;
        sums = n.add(sums, bias)?;
    }
    let wide = gates.len() as i64 * hidden;
    let sums = n.reshaped(sums, &[time, batch, wide])?;
    let mut outer = Vec::new();
    for at in PEEPHOLES..PEEPHOLES + 3 {
        outer.push(if n.optional(at).is_some() { Some(weights_of(n, at)?) } else { None });
    }
    let norms: Vec<Option<ValueId>> = (NORMS..NORMS + 4).map(|at| n.optional(at)).collect();
    let biases: Vec<Option<ValueId>> = (BIASES..BIASES + 4).map(|at| n.optional(at)).collect();
    let projection = match n.optional(PROJECTION) {
        Some(_) => {
            let weights = weights_of(n, PROJECTION)?;
            Some(stacked(n, &[weights])?)
        }
        None => None,
    };
    let projection_bias = n.optional(PROJECTION + 1);
    Steps::scan(n, &[h, c], sums, |n, steps, inside| {
        let [h, c, element] = inside[..] else { return Err(OpError::bug("two states and an element")) };
        let recurrent = steps.capture(n, recurrent);
        let mut inner = |n: &mut Node<'_, '_>, list: Vec<Option<ValueId>>| list.into_iter().map(|value| value.map(|value| steps.capture(n, value))).collect::<Vec<_>>();
        let (peepholes, norms, biases) = (inner(n, outer), inner(n, norms), inner(n, biases));
        let ends = inner(n, vec![projection, projection_bias]);
        let shown = if kind == Kind::Rounded { rounded(n, h, asymmetric)? } else { h };
        let product = n.apply(MatMul {}, &[shown, recurrent])?;
        let sums = n.add(element, product)?;
        // A gate's sum: with a peephole at the cell, and normed.
        let sum = |n: &mut Node<'_, '_>, which: usize, peephole: Option<ValueId>, cell: ValueId| -> Value {
            let mut value = gate(n, sums, which - usize::from(coupled), hidden)?;
            if let Some(peephole) = peephole {
                let seen = n.mul(peephole, cell)?;
                value = n.add(value, seen)?;
            }
            if let (true, Some(norm), Some(bias)) = (normed, norms[which], biases[which]) {
                value = standardised(n, value)?;
                value = n.mul(value, norm)?;
                value = n.add(value, bias)?;
            }
            Ok(value)
        };
        let forget = sum(n, 1, peepholes[1], c)?;
        let forget = n.apply(Sigmoid {}, &[forget])?;
        let input = if coupled {
            let one = n.number(forget, 1.0);
            n.sub(one, forget)?
        } else {
            let input = sum(n, 0, peepholes[0], c)?;
            n.apply(Sigmoid {}, &[input])?
        };
        let fresh = sum(n, 2, None, c)?;
        let fresh = n.activated(fresh, 0)?;
        let (kept, added) = (n.mul(forget, c)?, n.mul(input, fresh)?);
        let mut cell = n.add(kept, added)?;
        if cell_clip > 0.0 {
            cell = n.between(cell, -cell_clip, cell_clip)?;
        }
        let output = sum(n, 3, peepholes[2], cell)?;
        let output = n.apply(Sigmoid {}, &[output])?;
        let shown = n.activated(cell, 0)?;
        let mut hidden = n.mul(output, shown)?;
        if let Some(projection) = ends[0] {
            let shown = if kind == Kind::Rounded { rounded(n, hidden, asymmetric)? } else { hidden };
            hidden = n.apply(MatMul {}, &[shown, projection])?;
            if let Some(bias) = ends[1] {
                hidden = n.add(hidden, bias)?;
            }
            if projection_clip > 0.0 {
                hidden = n.between(hidden, -projection_clip, projection_clip)?;
            }
        }
        Ok((vec![hidden, cell], hidden))
    })
}

/// Rows less their mean, divided by their deviation.
fn standardised(n: &mut Node<'_, '_>, x: ValueId) -> Value {
    let axes = vec![n.builder.rank(x)? - 1];
    let mean = |n: &mut Node<'_, '_>, x: ValueId| n.apply(Aggregate { statistic: Statistic::Mean, axes: axes.clone(), keep: true }, &[x]);
    let middle = mean(n, x)?;
    let apart = n.sub(x, middle)?;
    let squares = n.mul(apart, apart)?;
    let variance = mean(n, squares)?;
    let least = n.number(x, 1e-8);
    let variance = n.add(variance, least)?;
    let deviation = n.apply(Sqrt {}, &[variance])?;
    n.apply(Div {}, &[apart, deviation])
}

/// Whole numbers of 16 bits, as floats.
fn whole(n: &mut Node<'_, '_>, x: ValueId) -> Value {
    let x = n.apply(Round {}, &[x])?;
    n.between(x, -32768.0, 32767.0)
}

fn scaled(n: &mut Node<'_, '_>, x: ValueId, factor: f64) -> Value {
    let factor = n.number(x, factor);
    n.mul(x, factor)
}

/// Products of bytes with the weights of each gate, in units of a gate's sum.
fn gate_sums(n: &mut Node<'_, '_>, x: ValueId, weights: ValueId, zeros: (ValueId, ValueId), units: &[f32], hidden: i64, bias: Option<ValueId>) -> Value {
    let mut sums = n.apply(MatMulInteger {}, &[x, weights, zeros.0, zeros.1])?;
    if let Some(bias) = bias {
        sums = n.add(sums, bias)?;
    }
    let sums = n.cast(sums, DType::F32)?;
    let units: Vec<f32> = units.iter().flat_map(|unit| std::iter::repeat_n(*unit, usize::try_from(hidden).unwrap_or(0))).collect();
    let units = n.builder.constant(Tensor::from_slice(&[units.len() as i64], &units));
    let sums = n.mul(sums, units)?;
    whole(n, sums)
}

/// Weights, activations and hidden states of 8 bits, cells of 16: sums are rounded to 16 bits, and so are activations.
fn integer_lstm(n: &mut Node<'_, '_>, x: ValueId, h: ValueId, c: ValueId) -> Values {
    let odd = [PEEPHOLES, PEEPHOLES + 1, PEEPHOLES + 2, PROJECTION, NORMS, NORMS + 1].iter().any(|at| n.optional(*at).is_some());
    let plain = !odd && n.choice(0)? == 4 && n.builder.dtype(c) == DType::I16 && n.builder.dtype(h) == DType::I8;
    if !plain {
        return Err(OpError::unsupported(format!("'{}' in integers with peepholes, projection, layer normalisation or other activations is not supported", n.op)));
    }
    let [time, batch, features] = n.builder.extents(x)?[..] else { return Err(OpError::invalid("the input of a recurrent op has three axes")) };
    let hidden = n.builder.extents(c)?.last().copied().unwrap_or(0);
    if hidden > 1 << 20 {
        return Err(OpError::unsupported("a cell of more than 2^20 numbers is not supported"));
    }
    let coupled = n.optional(WEIGHTS).is_none();
    let gates: Vec<usize> = (usize::from(coupled)..4).collect();
    let needed = |value: Option<&'_ Quantisation>, what: &str| value.filter(|q| q.scales.len() == 1).cloned().ok_or_else(|| OpError::invalid(format!("{what} of an integer LSTM has not one scale")));
    let (x_scale, h_scale, c_scale) = (needed(n.quantised(0), "the input")?, needed(n.quantised(HIDDEN), "the hidden state")?, needed(n.quantised(CELL), "the cell")?);
    let cell_unit = f64::from(c_scale.scales[0]);
    let clip = n.float(1)?;
    let limit = if clip > 0.0 { (clip / cell_unit).min(32767.0) } else { 32767.0 };
    let mut units = (Vec::new(), Vec::new());
    let (mut weights, mut recurrent, mut biases) = (Vec::new(), Vec::new(), Vec::new());
    for gate in &gates {
        weights.push(n.input(WEIGHTS + gate)?);
        recurrent.push(n.input(RECURRENT + gate)?);
        biases.push(n.input(BIASES + gate)?);
        let (w, r) = (needed(n.quantised(WEIGHTS + gate), "a matrix")?, needed(n.quantised(RECURRENT + gate), "a matrix")?);
        units.0.push((f64::from(x_scale.scales[0]) * f64::from(w.scales[0]) / SUM_UNIT) as f32);
        units.1.push((f64::from(h_scale.scales[0]) * f64::from(r.scales[0]) / SUM_UNIT) as f32);
    }
    let (weights, recurrent, bias) = (stacked(n, &weights)?, stacked(n, &recurrent)?, n.apply(Concat { axis: 0 }, &biases)?);
    let none = n.number(weights, 0.0);
    let (_, x_zero) = parameters(n.builder, &x_scale, DType::I8)?;
    let flat = n.reshaped(x, &[time * batch, features])?;
    let sums = gate_sums(n, flat, weights, (x_zero, none), &units.0, hidden, Some(bias))?;
    let sums = n.reshaped(sums, &[time, batch, gates.len() as i64 * hidden])?;
    Steps::scan(n, &[h, c], sums, |n, steps, inside| {
        let [h, c, element] = inside[..] else { return Err(OpError::bug("two states and an element")) };
        let recurrent = steps.capture(n, recurrent);
        let (_, h_zero) = parameters(n.builder, &h_scale, DType::I8)?;
        let none = n.number(recurrent, 0.0);
        let product = gate_sums(n, h, recurrent, (h_zero, none), &units.1, hidden, None)?;
        let sums = n.add(element, product)?;
        let sums = n.between(sums, -32768.0, 32767.0)?;
        let activation = |n: &mut Node<'_, '_>, value: ValueId, unit: f64, tanh: bool| {
            let value = scaled(n, value, unit)?;
            let value = if tanh { n.apply(Tanh {}, &[value])? } else { n.apply(Sigmoid {}, &[value])? };
            let value = scaled(n, value, 1.0 / GATE_UNIT)?;
            whole(n, value)
        };
        let gate_of = |n: &mut Node<'_, '_>, which: usize, tanh: bool| {
            let value = gate(n, sums, which - usize::from(coupled), hidden)?;
            activation(n, value, SUM_UNIT, tanh)
        };
        let forget = gate_of(n, 1, false)?;
        let input = if coupled {
            let full = n.number(forget, 32767.0);
            n.sub(full, forget)?
        } else {
            gate_of(n, 0, false)?
        };
        let (fresh, output) = (gate_of(n, 2, true)?, gate_of(n, 3, false)?);
        let cell = n.cast(c, DType::F32)?;
        let kept = n.mul(forget, cell)?;
        let kept = scaled(n, kept, GATE_UNIT)?;
        let kept = whole(n, kept)?;
        let added = n.mul(input, fresh)?;
        let added = scaled(n, added, GATE_UNIT * GATE_UNIT / cell_unit)?;
        let added = whole(n, added)?;
        let cell = n.add(kept, added)?;
        let cell = n.between(cell, -limit, limit)?;
        let shown = activation(n, cell, cell_unit, true)?;
        let product = n.mul(output, shown)?;
        let product = scaled(n, product, GATE_UNIT * GATE_UNIT)?;
        let (scale, zero) = parameters(n.builder, &h_scale, DType::I8)?;
        let hidden = n.apply(frit_ir::ops::quantize::Quantize { to: DType::I8, axis: 0, block: 0 }, &[product, scale, zero])?;
        let cell = n.cast(cell, DType::I16)?;
        Ok((vec![hidden, cell], hidden))
    })
}

/// `h' = f(x w + h r + b)`.
fn rnn(n: &mut Node<'_, '_>) -> Values {
    let time_major = n.flag(0)?;
    let asymmetric = n.flag(2)?;
    let h = n.state(4)?;
    let x = n.input(0)?;
    let x = time_first(n, x, time_major)?;
    let [time, batch, features] = n.builder.extents(x)?[..] else { return Err(OpError::invalid("the input of a recurrent op has three axes")) };
    let hybrid = n.quantised(0).is_none() && n.quantised(1).is_some();
    let mut flat = n.reshaped(x, &[time * batch, features])?;
    if hybrid {
        flat = rounded(n, flat, asymmetric)?;
    }
    let (weights, recurrent) = (weights_of(n, 1)?, weights_of(n, 2)?);
    let (weights, recurrent) = (stacked(n, &[weights])?, stacked(n, &[recurrent])?);
    let sums = n.apply(MatMul {}, &[flat, weights])?;
    let sums = n.add(sums, n.input(3)?)?;
    let hidden = n.builder.extents(sums)?[1];
    let sums = n.reshaped(sums, &[time, batch, hidden])?;
    let mut results = Steps::scan(n, &[h], sums, |n, steps, inside| {
        let [h, element] = inside[..] else { return Err(OpError::bug("a state and an element")) };
        let recurrent = steps.capture(n, recurrent);
        let shown = if hybrid { rounded(n, h, asymmetric)? } else { h };
        let product = n.apply(MatMul {}, &[shown, recurrent])?;
        let sum = n.add(element, product)?;
        let h = n.activated(sum, 1)?;
        Ok((vec![h], h))
    })?;
    let (Some(all), Some(h)) = (results.pop(), results.pop()) else { return Err(OpError::bug("a scan of one state gives two results")) };
    n.set_state(4, h)?;
    Ok(vec![time_first(n, all, time_major)?])
}

/// A dense layer of low rank over the last steps: filters of the features, which a state remembers (`[batch, filter * step]`, the newest last),
/// filters of those over time, and sums of `rank` filters each.
fn svdf(n: &mut Node<'_, '_>) -> Values {
    let (rank, asymmetric) = (n.int(0)?, n.flag(2)?);
    let state = n.state(4)?;
    let (x, features, time) = (n.input(0)?, n.input(1)?, n.input(2)?);
    let matrix = |n: &Node<'_, '_>, x: ValueId| <[i64; 2]>::try_from(n.builder.extents(x)?).map_err(|_| OpError::invalid(format!("an operand of '{}' is no matrix", n.op)));
    let ([batch, width], [filters, memory]) = (matrix(n, state)?, matrix(n, time)?);
    if rank < 1 || filters % rank != 0 || memory < 1 || filters.checked_mul(memory) != Some(width) {
        return Err(OpError::invalid(format!("'{}' of rank {rank} with {filters} filters of {memory} steps, and a state of {width}", n.op)));
    }
    let integers = match (n.quantised(0), n.quantised(1)) {
        (None, _) => None,
        (Some(x), Some(features)) if n.builder.dtype(state) == DType::I16 => Some((x, features)),
        _ => return Err(OpError::unsupported(format!("'{}' of quantised numbers with a state of {} is not supported", n.op, n.builder.dtype(state)))),
    };
    let fresh = match integers {
        None => {
            let x = if n.quantised(1).is_some() { rounded(n, x, asymmetric)? } else { x };
            let features = weights_of(n, 1)?;
            let features = stacked(n, &[features])?;
            n.apply(MatMul {}, &[x, features])?
        }
        Some((of_x, of_features)) => {
            // Products of bytes, in units of the state.
            let [from, by, to] = [Some(of_x), Some(of_features), n.quantised(4)].map(|q| only_scale(n, q));
            let (_, zero) = parameters(n.builder, of_x, n.builder.dtype(x))?;
            let features = stacked(n, &[features])?;
            let none = n.number(features, 0.0);
            let sums = n.apply(MatMulInteger {}, &[x, features, zero, none])?;
            let sums = n.cast(sums, DType::F32)?;
            let sums = scaled(n, sums, from? * by? / to?)?;
            let sums = whole(n, sums)?;
            n.cast(sums, DType::I16)?
        }
    };
    let newest = n.reshaped(fresh, &[batch, filters, 1])?;
    let next = if memory == 1 {
        newest
    } else {
        let all = n.reshaped(state, &[batch, filters, memory])?;
        let kept = n.apply(Slice { starts: vec![0, 0, 1], extents: vec![batch, filters, memory - 1], steps: vec![1; 3] }, &[all])?;
        n.apply(Concat { axis: 2 }, &[kept, newest])?
    };
    let sum = |n: &mut Node<'_, '_>, x: ValueId| n.apply(Aggregate { statistic: Statistic::Sum, axes: vec![2], keep: false }, &[x]);
    let (seen, time) = match integers {
        None => (next, weights_of(n, 2)?),
        Some(_) => (n.cast(next, DType::I32)?, n.cast(time, DType::I32)?),
    };
    let products = n.mul(seen, time)?;
    let each = sum(n, products)?;
    let each = n.reshaped(each, &[batch, filters / rank, rank])?;
    let mut y = sum(n, each)?;
    if let Some(bias) = n.optional(3) {
        y = n.add(y, bias)?;
    }
    let remembered = n.reshaped(next, &[batch, width])?;
    n.set_state(4, remembered)?;
    if integers.is_none() {
        return Ok(vec![n.activated(y, 1)?]);
    }
    let [of_state, of_time] = [n.quantised(4), n.quantised(2)].map(|q| only_scale(n, q));
    let y = n.cast(y, DType::F32)?;
    let y = scaled(n, y, of_state? * of_time?)?;
    Ok(vec![n.quantise(y, 0)?])
}

/// The scale of what has one.
fn only_scale(n: &Node<'_, '_>, quantisation: Option<&Quantisation>) -> Result<f64, OpError> {
    match quantisation.map(|quantisation| quantisation.scales.as_slice()) {
        Some([scale]) => Ok(f64::from(*scale)),
        _ => Err(OpError::invalid(format!("an operand of '{}' has not one scale", n.op))),
    }
}
