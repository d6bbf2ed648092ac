//! Losses.

use frit_ir::ops::flattened::{Flattened, RowFunction};
use frit_ir::ops::nll_loss::{NllLoss, Reduction};
use frit_ir::{OpError, ValueId};

use super::{Handler, Node};

pub(super) const OPS: &[(&str, Handler)] = &[
    ("NegativeLogLikelihoodLoss", |n| {
        let x = n.input(0)?;
        Ok(vec![loss(n, x)?])
    }),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("SoftmaxCrossEntropyLoss", |n| {
        let logits = n.input(0)?;
        let logs = n.apply(Flattened { function: RowFunction::LogSoftmax, axis: 1, alone: true }, &[logits])?;
        Ok(vec![loss(n, logs)?, logs])
    }),
];

fn loss(n: &mut Node<'_, '_>, logs: ValueId) -> Result<ValueId, OpError> {
    let reduction = match n.text("reduction", "mean") {
        "none" => Reduction::None,
        "sum" => Reduction::Sum,
        "mean" => Reduction::Mean,
        other => return Err(OpError::invalid(format!("reduction '{other}' is none of none, sum and mean"))),
    };
    let operands: Vec<ValueId> = [logs, n.input(1)?].into_iter().chain(n.optional(2)).collect();
    n.apply(NllLoss { ignore: n.maybe_int("ignore_index"), reduction }, &operands)
}
