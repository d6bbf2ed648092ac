//! Recurrent layers, and layers that do one thing at each step of time.

use frit_ir::ops::padding::Padding;
use frit_ir::ops::{average::Average, broadcast::Broadcast, concat::Concat, convolution::Convolution, split::Split};
use frit_ir::{OpError, ValueId};
use serde_json::Value;

use super::cell::{Cell, Outcome, Run, run, scan};
use super::config::Config;
use super::conv::windows;
use super::layer::{Arg, Call, Layer, Masked, bare};
use super::{Mask, Names, Row, net};
use crate::import::layout;

type Values = Result<Vec<Masked>, OpError>;

pub(super) const LAYERS: &[Row] = &[
    ("GRU", Mask::Own, layer),
    ("LSTM", Mask::Own, layer),
    ("RNN", Mask::Own, layer),
    ("SimpleRNN", Mask::Own, layer),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[
    ("Bidirectional", Mask::Own, bidirectional),
    ("ConvLSTM1D", Mask::Own, |n| conv_lstm(n, 1)),
    ("ConvLSTM2D", Mask::Own, |n| conv_lstm(n, 2)),
    ("ConvLSTM3D", Mask::Own, |n| conv_lstm(n, 3)),
    ("TimeDistributed", Mask::Stays, time_distributed),
];

/// The cells of a recurrent layer, whose weights lie below `part`.
fn cells<'m>(n: &mut Layer<'_>, class: &str, config: Config<'m>, part: &str) -> Result<Vec<Cell<'m>>, OpError> {
    let below = |name: &str| if part.is_empty() { name.to_owned() } else { format!("{part}/{name}") };
    if class != "RNN" {
        return Ok(vec![Cell::new(n, class, config, &below("cell"))?]);
    }
    let cell = config.get("cell").ok_or_else(|| Config::missing("cell"))?;
    let inner = |spec: &'m Value| Config::new(spec.get("config").unwrap_or(&Value::Null));
    if let Some(list) = cell.as_array() {
        return stacked(n, list, &below("cell"));
    }
    if net::class(cell)? == "StackedRNNCells" {
        let list = inner(cell).maybe_list("cells")?.ok_or_else(|| Config::missing("cells"))?;
        return stacked(n, list, &below("cell"));
    }
    Ok(vec![Cell::new(n, net::class(cell)?, inner(cell), &below("cell"))?])
}

fn stacked<'m>(n: &mut Layer<'_>, list: &'m [Value], part: &str) -> Result<Vec<Cell<'m>>, OpError> {
    let mut names = Names::default();
    list.iter().map(|spec| {
        let class = net::class(spec)?;
        let place = format!("{part}/cells/{}", names.next(class));
        Cell::new(n, class, Config::new(spec.get("config").unwrap_or(&Value::Null)), &place)
    }).collect()
}

/// The input and the states that the call gives: by keyword, or behind the input.
fn operands(n: &Layer<'_>) -> Result<(Masked, Vec<ValueId>), OpError> {
    let x = n.first()?;
    let given = match n.arg(usize::MAX, "initial_state") {
        Some(arg) => arg.values(),
        None => match n.call.args.as_slice() {
            [arg @ Arg::List(_)] => arg.values().split_off(1),
            args => args.get(1..).unwrap_or_default().iter().flat_map(Arg::values).collect(),
        },
    };
    Ok((x, given.into_iter().map(|state| state.value).collect()))
}

/// What a recurrent layer that is said by a configuration makes of an input.
fn recur(n: &mut Layer<'_>, class: &str, config: Config<'_>, part: &str, x: Masked, initial: &[ValueId]) -> Result<Outcome, OpError> {
    let cells = cells(n, class, config, part)?;
    let backward = config.flag("go_backwards", false)?;
    let zero_masked = config.flag("zero_output_for_mask", false)?;
    run(n, &cells, x.value, x.mask, initial, backward, zero_masked)
}

fn layer(n: &mut Layer<'_>) -> Values {
    let (x, initial) = operands(n)?;
    let x = Masked { value: x.value, mask: n.mask() };
    if !n.config.flag("time_major", false)? {
        let outcome = recur(n, n.class, n.config, "", x, &initial)?;
        return finish(n, outcome, x.mask, 1);
    }
    if x.mask.is_some() {
        return Err(OpError::unsupported("a mask of an input whose first axis is time is not supported").help("make the layer with time_major=False"));
    }
    let value = swapped(n, x.value)?;
    let mut outcome = recur(n, n.class, n.config, "", value.into(), &initial)?;
    outcome.sequence = swapped(n, outcome.sequence)?;
    finish(n, outcome, None, 0)
}

/// The first two axes in the other order.
fn swapped(n: &mut Layer<'_>, x: ValueId) -> Result<ValueId, OpError> {
    let mut perm: Vec<usize> = (0..n.rank(x)?.max(2)).collect();
    perm.swap(0, 1);
    n.permuted(x, &perm)
}

/// The results that the configuration asks for.
fn finish(n: &mut Layer<'_>, outcome: Outcome, mask: Option<ValueId>, time: usize) -> Values {
    let sequences = n.config.flag("return_sequences", false)?;
    let mut results = Vec::new();
    if sequences {
        // The steps stand in the order in which they were run.
        let value = if n.config.flag("go_backwards", false)? { n.reversed(outcome.sequence, time)? } else { outcome.sequence };
        results.push(Masked { value, mask });
    } else {
        results.push(outcome.last.into());
    }
    if n.config.flag("return_state", false)? {
        results.extend(bare(outcome.states));
    }
    Ok(results)
}

fn bidirectional(n: &mut Layer<'_>) -> Values {
    let forward = n.config.get("layer").ok_or_else(|| Config::missing("layer"))?;
    let backward = n.config.get("backward_layer").filter(|spec| spec.is_object());
    let (first, second) = (forward, backward.unwrap_or(forward));
    let (x, initial) = operands(n)?;
    let x = Masked { value: x.value, mask: n.mask() };
    let (ahead, behind) = initial.split_at(initial.len() / 2);
    let config = |spec| Config::new(Value::get(spec, "config").unwrap_or(&Value::Null));
    let (one, other) = (config(first), config(second));
    let class = net::class(first)?;
    if !matches!(class, "LSTM" | "GRU" | "SimpleRNN" | "RNN") || !matches!(net::class(second)?, "LSTM" | "GRU" | "SimpleRNN" | "RNN") {
        return Err(OpError::unsupported(format!("'Bidirectional' around '{class}' is not supported")).help("say it with two layers, one with go_backwards=True"));
    }
    // A layer that is not given for the way back is the same as that for the way forth, but for its direction.
    let back = if backward.is_some() { other.flag("go_backwards", false)? } else { !one.flag("go_backwards", false)? };
    let forth = one.flag("go_backwards", false)?;
    let policy = n.policy;
    n.policy = super::layer::Policy::of(&one)?;
    let way = |n: &mut Layer<'_>, spec: &Value, config: Config<'_>, part: &str, initial: &[ValueId], backward: bool| -> Result<Outcome, OpError> {
        let cells = cells(n, net::class(spec)?, config, part)?;
        // Whatever the layer itself says.
        let zero_masked = config.flag("return_sequences", false)?;
        run(n, &cells, x.value, x.mask, initial, backward, zero_masked)
    };
    let there = way(n, first, one, "forward_layer", ahead, forth)?;
    let again = way(n, second, other, "backward_layer", behind, back)?;
    n.policy = policy;
    let sequences = one.flag("return_sequences", false)?;
    let (y, z) = if sequences {
        // Keras turns the way back around; a way that is run backward stands in that order else.
        let y = if forth { n.reversed(there.sequence, 1)? } else { there.sequence };
        let z = if back { again.sequence } else { n.reversed(again.sequence, 1)? };
        (y, z)
    } else {
        (there.last, again.last)
    };
    let mask = x.mask.filter(|_| sequences);
    let merged = match n.config.maybe_text("merge_mode")? {
        Some("concat") => {
            let axis = n.axis_of(y, -1)?;
            vec![n.apply(Concat { axis }, &[y, z])?]
        }
        Some("sum") => vec![n.add(y, z)?],
        Some("mul") => vec![n.mul(y, z)?],
        Some("ave") => vec![n.apply(Average {}, &[y, z])?],
        None => vec![y, z],
        Some(other) => return Err(OpError::invalid(format!("'merge_mode' is '{other}'"))),
    };
    let mut results: Vec<Masked> = merged.into_iter().map(|value| Masked { value, mask }).collect();
    if one.flag("return_state", false)? {
        results.extend(bare(there.states));
        results.extend(bare(again.states));
    }
    Ok(results)
}

/// The first two axes as one.
fn flat(n: &mut Layer<'_>, x: ValueId) -> Result<ValueId, OpError> {
    let rest = n.builder.extents(x)?.get(2..).map(<[i64]>::to_vec).ok_or_else(|| OpError::invalid("it takes an operand of at least 3 axes"))?;
    let shape: Vec<i64> = std::iter::once(-1).chain(rest).collect();
    n.reshape(x, &shape)
}

/// The first axis as those two that it was made of.
fn unflat(n: &mut Layer<'_>, y: ValueId, batch: i64, time: i64) -> Result<ValueId, OpError> {
    let rest = n.builder.extents(y)?.split_off(1);
    let shape: Vec<i64> = [batch, time].into_iter().chain(rest).collect();
    n.reshape(y, &shape)
}

fn time_distributed(n: &mut Layer<'_>) -> Values {
    let layer = n.config.get("layer").ok_or_else(|| Config::missing("layer"))?;
    let x = n.x()?;
    let (batch, time) = (n.extent(x, 0)?, n.extent(x, 1)?);
    let x = if n.rank(x)? == 2 { n.reshape(x, &[-1])? } else { flat(n, x)? };
    let values = n.inner(layer, "layer", Call::of(x.into()))?;
    values.into_iter().map(|y| Ok(unflat(n, y.value, batch, time)?.into())).collect()
}

fn conv_lstm(n: &mut Layer<'_>, spatial: usize) -> Values {
    let (first, initial) = operands(n)?;
    let (x, mask) = (first.value, n.mask());
    if n.rank(x)? != spatial + 3 {
        return Err(OpError::invalid(format!("it takes an operand of {} axes, not {}", spatial + 3, n.rank(x)?)));
    }
    let last = n.channels_last()?;
    let (batch, time) = (n.extent(x, 0)?, n.extent(x, 1)?);
    let x = flat(n, x)?;
    let x = if last { layout::channels_first(n.builder, x)? } else { x };
    let (kernel, recurrent) = (n.weight_of("cell", 0)?, n.weight_of("cell", 1)?);
    let extents = n.builder.extents(kernel)?;
    if extents.len() != spatial + 2 || n.rank(recurrent)? != spatial + 2 {
        return Err(OpError::invalid(format!("its kernel has shape {extents:?}")));
    }
    let way = windows(n, &extents[..spatial])?;
    let filter = layout::filter_first(n.builder, kernel)?;
    let mut operands = vec![x, filter];
    if n.config.flag("use_bias", true)? {
        operands.push(n.weight_of("cell", 2)?);
    }
    let after = vec![0; way.before.len()];
    let input = n.apply(Convolution { strides: way.strides, dilations: way.dilations, before: way.before, after, padding: way.padding, groups: 1 }, &operands)?;
    let input = unflat(n, input, batch, time)?;
    let filters = n.extent(recurrent, spatial)?;
    let mut shape = n.builder.extents(input)?;
    shape.remove(1);
    shape[1] = filters;
    let dtype = n.builder.dtype(input);
    let zero = n.builder.scalar(dtype, 0.0);
    let zero = n.apply(Broadcast { extents: shape }, &[zero])?;
    let states = match initial.as_slice() {
        [] => vec![zero, zero],
        [h, c] if last => vec![layout::channels_first(n.builder, *h)?, layout::channels_first(n.builder, *c)?],
        [h, c] => vec![*h, *c],
        many => return Err(OpError::invalid(format!("it has 2 states, but {} are given", many.len()))),
    };
    let recurrent = layout::filter_first(n.builder, recurrent)?;
    let (backward, zero_masked) = (n.config.flag("go_backwards", false)?, n.config.flag("zero_output_for_mask", false)?);
    let run = Run { states, shown: zero, scanned: input, mask, captures: vec![recurrent], backward, zero_masked };
    let config = n.config;
    let mut outcome = scan(n, run, &mut |n, input, states, captures| {
        let old = n.apply(Convolution { strides: vec![], dilations: vec![], before: vec![], after: vec![], padding: Padding::SameEnd, groups: 1 }, &[states[0], captures[0]])?;
        let sum = n.add(input, old)?;
        let gates = n.builder.apply_all(Split { axis: 1, parts: 4 }, &[sum])?;
        let states = Cell::lstm(n, &gates, states[1], config)?;
        Ok((states[0], states))
    })?;
    if last {
        let rank = spatial + 3;
        let perm: Vec<usize> = [0, 1].into_iter().chain(3..rank).chain([2]).collect();
        outcome.sequence = n.permuted(outcome.sequence, &perm)?;
        outcome.last = layout::channels_last(n.builder, outcome.last)?;
        for state in &mut outcome.states {
            *state = layout::channels_last(n.builder, *state)?;
        }
    }
    finish(n, outcome, mask, 1)
}
