//! Recurrent cells that are one op: steps of version 1 of TensorFlow, and sequences of them.

use frit_ir::build::Folding;
use frit_ir::ops::scan::Scan;
use frit_ir::ops::{add::Add, clip::Clip, concat::Concat, matmul::MatMul, mul::Mul, pad::Pad, sigmoid::Sigmoid, slice::Slice, sub::Sub, tanh::Tanh};
use frit_ir::{Builder, OpError, Scalar, TensorType, ValueId};

use super::Handler;
use super::node::Node;

pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("BlockLSTM", |n| {
        let forget = n.float("forget_bias", 1.0);
        let clip = n.float("cell_clip", 3.0);
        sequence(n, forget, clip, &[0, 1, 2, 3])
    }),
    ("BlockLSTMV2", |n| {
        // The forget gate stands before the cell.
        let clip = n.float("cell_clip", 0.0);
        sequence(n, 0.0, clip, &[0, 2, 1, 3])
    }),
    ("GRUBlockCell", gru_cell),
    ("LSTMBlockCell", |n| {
        let [x, c, h, w, i, f, o, bias] = all(n)?;
        let peepholes = n.flag("use_peephole", false).then_some([i, f, o]);
        let cell = Cell { peepholes, forget: n.float("forget_bias", 1.0), clip: n.float("cell_clip", 3.0), order: &[0, 1, 2, 3] };
        let axis = n.builder.rank(x)?.saturating_sub(1);
        let joined = n.apply(Concat { axis }, &[x, h])?;
        let sums = n.apply(MatMul {}, &[joined, w])?;
        let sums = n.add(sums, bias)?;
        let Step { i, c, f, o, fresh, shown, h } = cell.step(n.builder, sums, c)?;
        Ok(vec![i, c, f, o, fresh, shown, h])
    }),
];

/// All operands, as many as the op has.
fn all<const COUNT: usize>(n: &mut Node<'_, '_>) -> Result<[ValueId; COUNT], OpError> {
    n.all_inputs()?.try_into().map_err(|given: Vec<ValueId>| OpError::invalid(format!("'{}' has {} operands, not {COUNT}", n.op, given.len())))
}

/// An LSTM's step, as attributes have it.
struct Cell {
    /// Weights by which the cell is seen by input, forget and output gate.
    peepholes: Option<[ValueId; 3]>,
    /// What is added to the forget gate's sum.
    forget: f64,
    /// The cell's bound; 0 where it has none.
    clip: f64,
    /// Where the sums of input gate, cell, forget gate and output gate lie.
    order: &'static [usize; 4],
}

/// What a step computes: gates, the new cell, what goes into it, what is shown of it, and the output.
struct Step {
    i: ValueId,
    c: ValueId,
    f: ValueId,
    o: ValueId,
    fresh: ValueId,
    shown: ValueId,
    h: ValueId,
}

impl Cell {
    /// One step, or independent ones side by side: of the gates' sums along the last axis, and the cell before.
    fn step(&self, b: &mut Builder, sums: ValueId, before: ValueId) -> Result<Step, OpError> {
        let extents = b.extents(sums)?;
        let last = extents.len().saturating_sub(1);
        let width = extents.last().copied().unwrap_or(0) / 4;
        let part = |b: &mut Builder, which: usize| {
            let (mut starts, mut kept) = (vec![0; extents.len()], extents.clone());
            starts[last] = self.order[which] as i64 * width;
            kept[last] = width;
            b.apply(Slice { starts, extents: kept, steps: vec![1; extents.len()] }, &[sums])
        };
        let [mut i, fresh, mut f, mut o] = [part(b, 0)?, part(b, 1)?, part(b, 2)?, part(b, 3)?];
        if self.forget != 0.0 {
            let bias = b.scalar(b.dtype(f), self.forget);
            f = b.apply(Add {}, &[f, bias])?;
        }
        let seen = |b: &mut Builder, sum: ValueId, cell: ValueId, peephole: usize| match self.peepholes {
            Some(weights) => {
                let product = b.apply(Mul {}, &[cell, weights[peephole]])?;
                b.apply(Add {}, &[sum, product])
            }
            None => Ok(sum),
        };
        (i, f) = (seen(b, i, before, 0)?, seen(b, f, before, 1)?);
        let (i, f, fresh) = (b.apply(Sigmoid {}, &[i])?, b.apply(Sigmoid {}, &[f])?, b.apply(Tanh {}, &[fresh])?);
        let (added, kept) = (b.apply(Mul {}, &[fresh, i])?, b.apply(Mul {}, &[before, f])?);
        let mut c = b.apply(Add {}, &[added, kept])?;
        if self.clip > 0.0 {
            let bounds = [-self.clip, self.clip].map(|bound| b.scalar(b.dtype(c), bound));
            c = b.apply(Clip {}, &[c, bounds[0], bounds[1]])?;
        }
        o = seen(b, o, c, 2)?;
        let (o, shown) = (b.apply(Sigmoid {}, &[o])?, b.apply(Tanh {}, &[c])?);
        Ok(Step { i, c, f, o, fresh, shown, h: b.apply(Mul {}, &[shown, o])? })
    }
}

/// An LSTM over `[time, batch, feature]`: products of the features at once, then a scan. Only cells and outputs are collected; what else is asked for
/// follows from these, all steps at once.
fn sequence(n: &mut Node<'_, '_>, forget: f64, clip: f64, order: &'static [usize; 4]) -> Result<Vec<ValueId>, OpError> {
    let [_, x, c, h, w, wi, wf, wo, bias] = all(n)?;
    let [time, batch, features] = n.builder.extents(x)?[..] else { return Err(OpError::invalid(format!("the sequence of '{}' has three axes", n.op))) };
    let [rows, wide] = n.builder.extents(w)?[..] else { return Err(OpError::invalid(format!("the weights of '{}' are a matrix", n.op))) };
    let width = wide / 4;
    if rows != features.saturating_add(width) || time < 1 {
        return Err(OpError::invalid(format!("'{}' of {time} steps with weights [{rows}, {wide}] for {features} features", n.op)));
    }
    let steps = n.known_int(0)?.clamp(0, time);
    let part = |n: &mut Node<'_, '_>, from: i64, count: i64| n.apply(Slice { starts: vec![from, 0], extents: vec![count, wide], steps: vec![1, 1] }, &[w]);
    let (own, recurrent) = (part(n, 0, features)?, part(n, features, width)?);
    let sums = n.apply(MatMul {}, &[x, own])?;
    let sums = n.add(sums, bias)?;
    let peepholes = n.flag("use_peephole", false).then_some([wi, wf, wo]);

    let mut inner = Builder::new("cell").folding(Folding::Early);
    inner.set_origins(n.builder.origins().clone());
    let (inner_c, inner_h) = (inner.input("c", n.builder.ty(c).clone()), inner.input("h", n.builder.ty(h).clone()));
    let element = inner.input("element", TensorType::known(n.builder.dtype(sums), &[batch, wide]));
    let mut inputs = vec![c, h, sums];
    let mut capture = |value: ValueId| match n.builder.as_constant(value) {
        Some(tensor) => inner.constant(tensor.clone()),
        None => {
            inputs.push(value);
            inner.input(format!("capture{}", inputs.len()), n.builder.ty(value).clone())
        }
    };
    let weights = capture(recurrent);
    let cell = Cell { peepholes: peepholes.map(|weights| weights.map(&mut capture)), forget, clip, order };
    let product = inner.apply(MatMul {}, &[inner_h, weights])?;
    let sum = inner.apply(Add {}, &[element, product])?;
    let step = cell.step(&mut inner, sum, inner_c)?;
    for (name, value) in [("c", step.c), ("h", step.h), ("cells", step.c), ("outputs", step.h)] {
        inner.output(name, value);
    }
    let scan = Scan { body: inner.finish(), states: 2, input_axes: vec![0], input_reversed: vec![false], output_axes: vec![0; 2], output_reversed: vec![false; 2] };
    let [_, _, cells, outputs] = n.builder.apply_all(scan, &inputs)?[..] else { return Err(OpError::bug("a scan of two states collects two results")) };

    let before = |n: &mut Node<'_, '_>, first: ValueId, all: ValueId| {
        let first = n.unsqueeze(first, &[0])?;
        if time == 1 {
            return Ok(first);
        }
        let rest = n.part(all, 0, 0, time - 1)?;
        n.apply(Concat { axis: 0 }, &[first, rest])
    };
    let (c_before, h_before) = (before(n, c, cells)?, before(n, h, outputs)?);
    let product = n.apply(MatMul {}, &[h_before, recurrent])?;
    let sums = n.add(sums, product)?;
    let Step { i, f, o, fresh, shown, .. } = Cell { peepholes, forget, clip, order }.step(n.builder, sums, c_before)?;
    // Steps behind the longest sequence's end are zeros.
    let ended = |value: ValueId| {
        if steps == time {
            return Ok(value);
        }
        let kept = n.apply(Slice { starts: vec![0; 3], extents: vec![steps, batch, width], steps: vec![1; 3] }, &[value])?;
        n.apply(Pad { before: vec![0; 3], after: vec![time - steps, 0, 0], value: Scalar::Float(0.0) }, &[kept])
    };
    [i, cells, f, o, fresh, shown, outputs].into_iter().map(ended).collect()
}

/// `h' = u h + (1 - u) tanh([x, r h] w + b)`.
fn gru_cell(n: &mut Node<'_, '_>) -> Result<Vec<ValueId>, OpError> {
    let [x, h, gates, weights, gates_bias, bias] = all(n)?;
    let axis = n.builder.rank(x)?.saturating_sub(1);
    let joined = n.apply(Concat { axis }, &[x, h])?;
    let sums = n.apply(MatMul {}, &[joined, gates])?;
    let sums = n.add(sums, gates_bias)?;
    let width = n.builder.extents(bias)?.first().copied().unwrap_or(0);
    let (reset, update) = (n.part(sums, axis, 0, width)?, n.part(sums, axis, width, 2 * width)?);
    let (reset, update) = (n.apply(Sigmoid {}, &[reset])?, n.apply(Sigmoid {}, &[update])?);
    let seen = n.mul(reset, h)?;
    let joined = n.apply(Concat { axis }, &[x, seen])?;
    let fresh = n.apply(MatMul {}, &[joined, weights])?;
    let fresh = n.add(fresh, bias)?;
    let fresh = n.apply(Tanh {}, &[fresh])?;
    let one = n.number(update, 1.0);
    let rest = n.apply(Sub {}, &[one, update])?;
    let (kept, added) = (n.mul(update, h)?, n.mul(rest, fresh)?);
    Ok(vec![reset, update, fresh, n.add(kept, added)?])
}
