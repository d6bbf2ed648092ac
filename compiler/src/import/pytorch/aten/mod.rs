//! ATen's operators as graphs.
//!
//! In: an operator's name, its arguments, a graph under construction. Out: what it gives. The tables of [`math`], [`movement`] and their
//! neighbours say what each operator becomes. An operator whose name ends in `_` and that no table lists is the one without it,
//! written to its first argument. Must not know: file layouts, who calls.
//!
//! To add an operator: a row in the table of its family, named as PyTorch names it (or `name.overload`, for that one only);
//! `tests/frameworks/pytorch/schemas.py` brings its signature.

mod call;
mod promote;
mod schema;

mod attention;
mod complex;
mod create;
mod fused;
mod image;
mod index;
mod math;
mod movement;
mod nn;
mod quantise;
mod recurrent;
mod reduce;
mod scalar;

use frit_ir::{Builder, OpError, ValueId};

pub(crate) use call::Call;
pub(crate) use movement::{RESHAPERS, VIEWS};
pub(crate) use scalar::python;
pub(crate) use schema::Arguments;

use super::alias::{Aliases, TensorId};
use super::value::Value;
use crate::import::{Family, Refused};

/// Makes the results of an operator, one for each that its signature has.
type Handler = fn(&mut Call<'_>) -> Result<Vec<Value>, OpError>;

/// Operators that are one op of ours, or none.
const OPS: &[&[(&str, Handler)]] = &[attention::OPS, complex::OPS, create::OPS, image::OPS, index::OPS, math::OPS, movement::OPS, nn::OPS, recurrent::OPS, reduce::OPS, scalar::OPS];
/// Operators that are made of several of ours.
const EXPANDED: &[&[(&str, Handler)]] = &[complex::EXPANDED, fused::EXPANDED, image::EXPANDED, index::EXPANDED, math::EXPANDED, movement::EXPANDED, nn::EXPANDED, quantise::EXPANDED, recurrent::EXPANDED, reduce::EXPANDED];

/// Operators that people meet and that are not supported, without their namespace.
pub(crate) const REFUSED: &[Refused] = &[
    ("_nested_*", "nested tensors are ragged", "export the model with padded tensors"),
    ("_sparse_*", SPARSE, SPARSE_INSTEAD),
    ("_thnn_*", KERNELS, KERNELS_INSTEAD),
    ("ctc_loss*", "it is for training", "export the model for inference"),
    ("cudnn_*", KERNELS, KERNELS_INSTEAD),
    ("linalg_*", "it factorises matrices", "compute what depends on weights only before the export"),
    ("miopen_*", KERNELS, KERNELS_INSTEAD),
    ("multinomial", "it draws as values say", "give probabilities out, and draw behind the model"),
    ("quantize_per_*", QUANTISED, QUANTISED_INSTEAD),
    ("quantized::*", QUANTISED, QUANTISED_INSTEAD),
    ("to_sparse*", SPARSE, SPARSE_INSTEAD),
    ("torchaudio::*", "it has kernels of its own", "say it with PyTorch's own operators"),
];

const SPARSE: &str = "its tensors are sparse";
const SPARSE_INSTEAD: &str = "export the model with dense tensors";
const KERNELS: &str = "it is a GPU's kernel";
const KERNELS_INSTEAD: &str = "export the model on the CPU";
const QUANTISED: &str = "its tensors are PyTorch's quantised ones";
const QUANTISED_INSTEAD: &str = "export with simulated quantisation, or to ONNX";

/// A graph under construction and its tensors.
pub(crate) struct Context {
    /// The graph.
    pub(crate) builder: Builder,
    /// Its tensors.
    pub(crate) aliases: Aliases,
    draws: i64,
}

impl Context {
    /// An empty graph's.
    pub(crate) fn new(builder: Builder) -> Self {
        Self { builder, aliases: Aliases::default(), draws: 0 }
    }

    /// A tensor in memory of its own.
    pub(crate) fn fresh(&mut self, value: ValueId) -> Value {
        Value::Tensor(self.aliases.fresh(value))
    }

    /// Another seed for each operator that draws.
    fn seed(&mut self) -> i64 {
        self.draws += 1;
        self.draws
    }

    /// What a tensor is now.
    ///
    /// # Errors
    /// See [`Aliases::read`].
    pub(crate) fn read(&mut self, tensor: TensorId) -> Result<ValueId, OpError> {
        self.aliases.read(&mut self.builder, tensor)
    }
}

/// What becomes of operators.
pub(crate) fn family() -> Family {
    let names = |tables: &'static [&[(&str, Handler)]]| tables.iter().flat_map(|table| table.iter().map(|(name, _)| *name));
    Family::new("Operators", names(OPS), names(EXPANDED))
}

fn handler(name: &str, overload: &str) -> Option<Handler> {
    let whole = format!("{name}.{overload}");
    let find = |wanted: &str| OPS.iter().chain(EXPANDED).flat_map(|table| table.iter()).find(|(known, _)| *known == wanted).map(|(_, handler)| *handler);
    find(&whole).or_else(|| find(name))
}

/// Do arguments fit an overload of an operator?
pub(crate) fn fits(target: &str, arguments: &Arguments) -> bool {
    schema::resolve(target, None, arguments).is_ok()
}

/// Calls an operator, such as `aten::add`; without `overload` the first that the arguments fit. Gives its results, one for each that its
/// signature has.
///
/// # Errors
/// Unsupported where the operator is not known; what it says of its arguments.
pub(crate) fn call(context: &mut Context, target: &str, overload: Option<&str>, arguments: &Arguments) -> Result<Vec<Value>, OpError> {
    let (schema, values) = schema::resolve(target, overload, arguments)?;
    let name = target.strip_prefix("aten::").unwrap_or(target);
    if let Some(handler) = handler(name, schema.overload) {
        return complex::call(&mut Call { context, name, schema, values }, handler);
    }
    // `add_` is `add`, written to its first argument.
    let pure = target.strip_suffix('_').filter(|_| schema.parameters.first().is_some_and(|first| first.written));
    let Some(pure) = pure else { return Err(schema::unknown(target)) };
    let Some(Value::Tensor(written)) = values.first().cloned() else { return Err(OpError::unsupported(format!("'{target}' writes to {}", values.first().map_or("nothing", Value::words)))) };
    // Their first parameters may have other names.
    let (keyword, positional): (Vec<_>, Vec<_>) = schema.parameters.iter().zip(values).partition(|(parameter, _)| parameter.by_keyword);
    let keyword = keyword.into_iter().map(|(parameter, value)| (parameter.name.to_owned(), value)).collect();
    let positional = positional.into_iter().map(|(_, value)| value).collect();
    let result = call(context, pure, Some(schema.overload), &Arguments { positional, keyword })?;
    let Some(Value::Tensor(result)) = result.into_iter().next() else { return Err(OpError::unsupported(format!("'{target}' writes what is no tensor of real numbers"))) };
    let value = context.read(result)?;
    write(context, written, value)?;
    Ok(vec![Value::Tensor(written)])
}

/// Writes to a tensor; the value is brought to its dtype and shape.
fn write(context: &mut Context, tensor: TensorId, value: ValueId) -> Result<(), OpError> {
    let before = context.read(tensor)?;
    let dtype = context.builder.dtype(before);
    let value = promote::cast(&mut context.builder, value, dtype)?;
    let value = movement::expand_like(&mut context.builder, value, before)?;
    context.aliases.write(&mut context.builder, tensor, value)
}
