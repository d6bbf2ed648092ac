//! Recurrent nets.

use frit_ir::ops::recurrent::{Activation, Direction};
use frit_ir::ops::{add::Add, concat::Concat, gru::Gru, lstm::Lstm, mul::Mul, reshape_to::ReshapeTo, rnn::Rnn, sigmoid::Sigmoid, slice_by::SliceBy, sub::Sub, tanh::Tanh, transpose::Transpose};
use frit_ir::{OpError, ValueId};

use super::Handler;
use super::call::{Call, Values};
use super::math::in_training;
use super::movement::unsqueezed;
use super::nn::linear;

type Built = Result<ValueId, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("gru.input", |c| layers(c, Cell::Gru)),
    ("lstm.input", |c| layers(c, Cell::Lstm)),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("gru_cell", gru_cell),
    ("lstm_cell", lstm_cell),
    ("rnn_relu.input", |c| layers(c, Cell::Rnn(Activation::Relu))),
    ("rnn_relu_cell", |c| rnn_cell(c, true)),
    ("rnn_tanh.input", |c| layers(c, Cell::Rnn(Activation::Tanh))),
    ("rnn_tanh_cell", |c| rnn_cell(c, false)),
];

#[derive(Clone, Copy, PartialEq)]
enum Cell {
    Lstm,
    Gru,
    Rnn(Activation),
}

impl Cell {
    /// PyTorch's gates are i, f, g, o and r, z, n; Frit's i, o, f, c and z, r, h.
    fn gates(self) -> &'static [i64] {
        match self {
            Cell::Lstm => &[0, 3, 1, 2],
            Cell::Gru => &[1, 0, 2],
            Cell::Rnn(_) => &[0],
        }
    }
}

/// The parts of a tensor's first axis, one for each gate, in another order.
fn reordered(c: &mut Call<'_>, x: ValueId, gates: &[i64]) -> Built {
    if gates.len() == 1 {
        return Ok(x);
    }
    let Some(rows) = c.extents(x)?.first().copied() else { return Err(OpError::invalid("a cell's parameter has no axis")) };
    let size = rows / gates.len() as i64;
    let axes = c.builder().ints(&[0]);
    let mut parts = Vec::new();
    for gate in gates {
        let (from, to) = (c.builder().ints(&[gate * size]), c.builder().ints(&[(gate + 1) * size]));
        parts.push(c.apply(SliceBy {}, &[x, from, to, axes])?);
    }
    c.apply(Concat { axis: 0 }, &parts)
}

fn side_by_side(c: &mut Call<'_>, parts: &[ValueId]) -> Built {
    let parts = parts.iter().map(|x| unsqueezed(c, *x, &[0])).collect::<Result<Vec<_>, _>>()?;
    c.apply(Concat { axis: 0 }, &parts)
}

/// A net of several layers, each read forward or both ways.
fn layers(c: &mut Call<'_>, cell: Cell) -> Values {
    if c.flag("train")? && c.float("dropout")? > 0.0 {
        return Err(in_training(c.name));
    }
    let (has_bias, count, both, batch_first) = (c.flag("has_biases")?, c.int("num_layers")?, c.flag("bidirectional")?, c.flag("batch_first")?);
    let input = c.tensor("input")?;
    let states = if cell == Cell::Lstm { c.tensors("hx")? } else { vec![c.tensor("hx")?] };
    let parameters = c.tensors("params")?;
    let directions = if both { 2 } else { 1 };
    let each = if has_bias { 4 } else { 2 };
    let wanted = usize::try_from(count).ok().and_then(|count| count.checked_mul(directions * each));
    if wanted != Some(parameters.len()) || count < 1 {
        return Err(if cell == Cell::Lstm && parameters.len() as i64 == count.saturating_mul((directions * (each + 1)) as i64) {
            OpError::unsupported("an LSTM with a projection (proj_size) is not supported")
        } else {
            OpError::invalid(format!("'{}' of {count} layers has {} parameters", c.name, parameters.len()))
        });
    }
    if states.len() != if cell == Cell::Lstm { 2 } else { 1 } {
        return Err(OpError::invalid(format!("'{}' has {} states", c.name, states.len())));
    }
    let swap = |c: &mut Call<'_>, x: ValueId| c.apply(Transpose { perm: vec![1, 0, 2] }, &[x]);
    let single = c.rank(input)? == 2;
    let mut x = if single { unsqueezed(c, input, &[1])? } else if batch_first { swap(c, input)? } else { input };
    let states = states.iter().map(|state| if single { unsqueezed(c, *state, &[1]) } else { Ok(*state) }).collect::<Result<Vec<_>, _>>()?;
    let mut last: Vec<Vec<ValueId>> = vec![Vec::new(); states.len()];
    for layer in 0..count as usize {
        let part = |k: usize, direction: usize| parameters[(layer * directions + direction) * each + k];
        let mut weights = Vec::new();
        for k in 0..2 {
            let rows = (0..directions).map(|direction| reordered(c, part(k, direction), cell.gates())).collect::<Result<Vec<_>, _>>()?;
            weights.push(side_by_side(c, &rows)?);
        }
        if has_bias {
            let mut rows = Vec::new();
            for direction in 0..directions {
                let pair = [reordered(c, part(2, direction), cell.gates())?, reordered(c, part(3, direction), cell.gates())?];
                rows.push(c.apply(Concat { axis: 0 }, &pair)?);
            }
            weights.push(side_by_side(c, &rows)?);
        }
        let axes = c.builder().ints(&[0]);
        let (from, to) = (c.builder().ints(&[(layer * directions) as i64]), c.builder().ints(&[((layer + 1) * directions) as i64]));
        let begin = states.iter().map(|state| c.apply(SliceBy {}, &[*state, from, to, axes])).collect::<Result<Vec<_>, _>>()?;
        let direction = if both { Direction::Both } else { Direction::Forward };
        let inputs: Vec<ValueId> = [x].into_iter().chain(weights).chain(begin).collect();
        let activations = |list: &[Activation]| list.repeat(directions);
        let outputs = match cell {
            Cell::Lstm => c.context.builder.apply_all(
                Lstm {
                    direction,
                    batch_first: false,
                    activations: activations(&[Activation::Sigmoid, Activation::Tanh, Activation::Tanh]),
                    alphas: Vec::new(),
                    betas: Vec::new(),
                    clip: None,
                    coupled: false,
                    has_bias,
                    has_lengths: false,
                    has_h: true,
                    has_c: true,
                    has_peepholes: false,
                },
                &inputs,
            )?,
            Cell::Gru => c.context.builder.apply_all(
                Gru {
                    direction,
                    batch_first: false,
                    activations: activations(&[Activation::Sigmoid, Activation::Tanh]),
                    alphas: Vec::new(),
                    betas: Vec::new(),
                    clip: None,
                    reset_after: true,
                    has_bias,
                    has_lengths: false,
                    has_h: true,
                },
                &inputs,
            )?,
            Cell::Rnn(activation) => c.context.builder.apply_all(
                Rnn { direction, batch_first: false, activations: activations(&[activation]), alphas: Vec::new(), betas: Vec::new(), clip: None, has_bias, has_lengths: false, has_h: true },
                &inputs,
            )?,
        };
        // `[time, directions, batch, hidden]` as `[time, batch, directions * hidden]`.
        let y = outputs[0];
        x = if both {
            let y = c.apply(Transpose { perm: vec![0, 2, 1, 3] }, &[y])?;
            let shape = c.builder().ints(&[0, 0, -1]);
            c.apply(ReshapeTo { zero_copies: true }, &[y, shape])?
        } else {
            let axes = c.builder().ints(&[1]);
            c.apply(frit_ir::ops::squeeze::Squeeze {}, &[y, axes])?
        };
        for (list, state) in last.iter_mut().zip(&outputs[1..]) {
            list.push(*state);
        }
    }
    let y = if single {
        let axes = c.builder().ints(&[1]);
        c.apply(frit_ir::ops::squeeze::Squeeze {}, &[x, axes])?
    } else if batch_first {
        swap(c, x)?
    } else {
        x
    };
    let mut results = vec![y];
    for list in last {
        let state = if list.len() == 1 { list[0] } else { c.apply(Concat { axis: 0 }, &list)? };
        results.push(if single {
            let axes = c.builder().ints(&[1]);
            c.apply(frit_ir::ops::squeeze::Squeeze {}, &[state, axes])?
        } else {
            state
        });
    }
    c.several(&results)
}

/// The products of a cell's input and state with their weights.
fn products(c: &mut Call<'_>, state: ValueId) -> Result<[ValueId; 2], OpError> {
    let input = c.tensor("input")?;
    let (w_input, w_state) = (c.tensor("w_ih")?, c.tensor("w_hh")?);
    let (b_input, b_state) = (c.maybe_tensor("b_ih")?, c.maybe_tensor("b_hh")?);
    Ok([linear(c, input, w_input, b_input)?, linear(c, state, w_state, b_state)?])
}

fn parts(c: &mut Call<'_>, x: ValueId, count: usize) -> Result<Vec<ValueId>, OpError> {
    let axis = c.rank(x)? - 1;
    c.context.builder.apply_all(frit_ir::ops::split::Split { axis, parts: count }, &[x])
}

fn lstm_cell(c: &mut Call<'_>) -> Values {
    let states = c.tensors("hx")?;
    let [h, cell] = states[..] else { return Err(OpError::invalid("'lstm_cell' has two states")) };
    let [a, b] = products(c, h)?;
    let sum = c.apply(Add {}, &[a, b])?;
    let gates = parts(c, sum, 4)?;
    let (input, forget, output) = (c.apply(Sigmoid {}, &[gates[0]])?, c.apply(Sigmoid {}, &[gates[1]])?, c.apply(Sigmoid {}, &[gates[3]])?);
    let new = c.apply(Tanh {}, &[gates[2]])?;
    let (kept, added) = (c.apply(Mul {}, &[forget, cell])?, c.apply(Mul {}, &[input, new])?);
    let cell = c.apply(Add {}, &[kept, added])?;
    let shown = c.apply(Tanh {}, &[cell])?;
    let h = c.apply(Mul {}, &[output, shown])?;
    c.several(&[h, cell])
}

fn gru_cell(c: &mut Call<'_>) -> Values {
    let h = c.tensor("hx")?;
    let [a, b] = products(c, h)?;
    let (a, b) = (parts(c, a, 3)?, parts(c, b, 3)?);
    let (reset, update) = (c.apply(Add {}, &[a[0], b[0]])?, c.apply(Add {}, &[a[1], b[1]])?);
    let (reset, update) = (c.apply(Sigmoid {}, &[reset])?, c.apply(Sigmoid {}, &[update])?);
    let past = c.apply(Mul {}, &[reset, b[2]])?;
    let sum = c.apply(Add {}, &[a[2], past])?;
    let new = c.apply(Tanh {}, &[sum])?;
    // (1 - z) n + z h = n + z (h - n).
    let difference = c.apply(Sub {}, &[h, new])?;
    let part = c.apply(Mul {}, &[update, difference])?;
    let value = c.apply(Add {}, &[new, part])?;
    c.one(value)
}

fn rnn_cell(c: &mut Call<'_>, relu: bool) -> Values {
    let h = c.tensor("hx")?;
    let [a, b] = products(c, h)?;
    let sum = c.apply(Add {}, &[a, b])?;
    let value = if relu { c.apply(frit_ir::ops::relu::Relu {}, &[sum])? } else { c.apply(Tanh {}, &[sum])? };
    c.one(value)
}
