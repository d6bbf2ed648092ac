//! Recurrent nets.

use frit_ir::ops::recurrent::{Activation, Direction};
use frit_ir::ops::{gru::Gru, lstm::Lstm, rnn::Rnn};
use frit_ir::{OpError, ValueId};

use super::{Handler, Node};

type Values = Result<Vec<ValueId>, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[("GRU", gru), ("LSTM", lstm), ("RNN", rnn)];

fn direction(n: &Node<'_, '_>) -> Result<Direction, OpError> {
    match n.text("direction", "forward") {
        "forward" => Ok(Direction::Forward),
        "reverse" => Ok(Direction::Reverse),
        "bidirectional" => Ok(Direction::Both),
        other => Err(OpError::invalid(format!("direction is '{other}'")).help("it is forward, reverse or bidirectional")),
    }
}

fn activation(name: &str) -> Result<Activation, OpError> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "relu" => Activation::Relu,
        "tanh" => Activation::Tanh,
        "sigmoid" => Activation::Sigmoid,
        "affine" => Activation::Affine,
        "leakyrelu" => Activation::LeakyRelu,
        "thresholdedrelu" => Activation::ThresholdedRelu,
        "scaledtanh" => Activation::ScaledTanh,
        "hardsigmoid" => Activation::HardSigmoid,
        "elu" => Activation::Elu,
        "softsign" => Activation::Softsign,
        "softplus" => Activation::Softplus,
        _ => return Err(OpError::unsupported(format!("activation '{name}' is not supported"))),
    })
}

fn activations(n: &Node<'_, '_>, default: &[Activation]) -> Result<Vec<Activation>, OpError> {
    match n.maybe_texts("activations") {
        Some(names) if !names.is_empty() => names.iter().map(|name| activation(name)).collect(),
        _ => {
            let directions = if direction(n)? == Direction::Both { 2 } else { 1 };
            Ok(default.repeat(directions))
        }
    }
}

fn floats(n: &Node<'_, '_>, name: &str) -> Vec<f64> {
    n.maybe_floats(name).unwrap_or_default().iter().map(|x| f64::from(*x)).collect()
}

/// The three operands that are always there, then those that are.
fn operands(n: &Node<'_, '_>) -> Values {
    let mut inputs = vec![n.input(0)?, n.input(1)?, n.input(2)?];
    inputs.extend((3..n.inputs.len()).filter_map(|at| n.optional(at)));
    Ok(inputs)
}

fn lstm(n: &mut Node<'_, '_>) -> Values {
    let op = Lstm {
        direction: direction(n)?,
        batch_first: n.flag("layout", false),
        activations: activations(n, &[Activation::Sigmoid, Activation::Tanh, Activation::Tanh])?,
        alphas: floats(n, "activation_alpha"),
        betas: floats(n, "activation_beta"),
        clip: n.maybe_float("clip"),
        coupled: n.flag("input_forget", false),
        has_bias: n.optional(3).is_some(),
        has_lengths: n.optional(4).is_some(),
        has_h: n.optional(5).is_some(),
        has_c: n.optional(6).is_some(),
        has_peepholes: n.optional(7).is_some(),
    };
    let inputs = operands(n)?;
    n.builder.apply_all(op, &inputs)
}

fn gru(n: &mut Node<'_, '_>) -> Values {
    let op = Gru {
        direction: direction(n)?,
        batch_first: n.flag("layout", false),
        activations: activations(n, &[Activation::Sigmoid, Activation::Tanh])?,
        alphas: floats(n, "activation_alpha"),
        betas: floats(n, "activation_beta"),
        clip: n.maybe_float("clip"),
        reset_after: n.flag("linear_before_reset", false),
        has_bias: n.optional(3).is_some(),
        has_lengths: n.optional(4).is_some(),
        has_h: n.optional(5).is_some(),
    };
    let inputs = operands(n)?;
    n.builder.apply_all(op, &inputs)
}

fn rnn(n: &mut Node<'_, '_>) -> Values {
    let op = Rnn {
        direction: direction(n)?,
        batch_first: n.flag("layout", false),
        activations: activations(n, &[Activation::Tanh])?,
        alphas: floats(n, "activation_alpha"),
        betas: floats(n, "activation_beta"),
        clip: n.maybe_float("clip"),
        has_bias: n.optional(3).is_some(),
        has_lengths: n.optional(4).is_some(),
        has_h: n.optional(5).is_some(),
    };
    let inputs = operands(n)?;
    n.builder.apply_all(op, &inputs)
}
