//! A model's inputs.
//!
//! In: what the file declares of them, and what is known of open dimensions. Out: the graph's inputs, or complaints in the user's
//! words. Must not know: any format.

use std::collections::BTreeSet;

use frit_ir::shape::TensorType;
use frit_ir::{Builder, Dim, Error, Graph, Kind, ValueId};

use crate::specialise::Binding;

/// Adds a model's inputs, in order. Open dimensions are symbols in the declared types.
///
/// # Errors
/// Invalid where a dimension is bound that the model doesn't leave open, or shapes are given that don't fit.
pub(crate) fn inputs(builder: &mut Builder, declared: &[(&str, TensorType)], binding: &Binding) -> Result<Vec<ValueId>, Vec<Error>> {
    let known = symbols(declared.iter().map(|(_, ty)| ty));
    let mut errors = Vec::new();
    for name in binding.dims.keys().filter(|name| !known.contains(*name)) {
        let help = if known.is_empty() { "all its dimensions are fixed".to_owned() } else { format!("it leaves open: {}", known.iter().cloned().collect::<Vec<_>>().join(", ")) };
        errors.push(Error::invalid(format!("the model has no open dimension '{name}'")).help(help));
    }
    let binding = binding.by_name(&declared.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    match binding.symbols(&declared.iter().map(|(name, ty)| (*name, ty)).collect::<Vec<_>>()) {
        Ok(dims) if errors.is_empty() => Ok(declared.iter().map(|(name, ty)| builder.input(*name, binding.bind(name, ty, &dims))).collect()),
        Ok(_) => Err(errors),
        Err(more) => Err(errors.into_iter().chain(more).collect()),
    }
}

/// The open dimensions of types.
fn symbols<'t>(types: impl Iterator<Item = &'t TensorType>) -> BTreeSet<String> {
    types.filter_map(|ty| ty.shape.dims()).flatten().flat_map(Dim::symbols).collect()
}

/// A finished import: its graph, or the errors in the user's words where nodes need shapes that open dimensions leave unknown.
pub(crate) fn finish(builder: Builder, errors: Vec<Error>) -> Result<Graph, Vec<Error>> {
    if errors.is_empty() {
        return Ok(builder.finish());
    }
    let open = symbols(builder.graph().inputs().iter().map(|(_, value)| builder.ty(*value)));
    Err(errors.into_iter().map(|error| waiting(error, &open)).collect())
}

/// An error in the user's words where a node needs a shape that open dimensions leave unknown.
fn waiting(error: Error, open: &BTreeSet<String>) -> Error {
    if error.kind != Kind::Unknown {
        return error;
    }
    let dims = |form: fn(&String) -> String, between: &str| open.iter().map(form).collect::<Vec<_>>().join(between);
    let (message, help) = if open.is_empty() {
        ("it needs the shape of an operand that is only known when the model runs".to_owned(), "export the model with fixed shapes".to_owned())
    } else {
        (
            format!("it needs the shape of an operand, and the model leaves dimensions open: {}", dims(|name| format!("'{name}'"), ", ")),
            format!("bind them, as in {}, or give the inputs", dims(|name| format!("--dim {name}=1"), " ")),
        )
    };
    Error { kind: Kind::Unsupported, message, help: Some(help), ..error }
}
