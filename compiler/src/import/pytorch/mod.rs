//! PyTorch: exported programs and TorchScript.
//!
//! In: the path of a model. Out: a [`Graph`].

mod alias;
mod aten;
mod exported;
mod pickle;
mod script;
mod storage;
mod value;

use frit_ir::{Error, Graph};

use super::{Format, Model};

/// The operators that can be imported, sorted: those of ATen without their namespace. Each is an op of Frit's or made of several; what writes
/// to its first operand (`add_`) and what only says how gradients are kept is not listed. Then some that can't be, and why.
pub fn supported() -> (Vec<&'static str>, &'static [(&'static str, &'static str)]) {
    (aten::names(), aten::UNSUPPORTED)
}

/// Imports a model.
///
/// # Errors
/// Every complaint about the model, each with the node's name.
pub(crate) fn import(model: &Model<'_>, format: Format) -> Result<Graph, Vec<Error>> {
    match format {
        Format::TorchScript => script::import(model),
        _ => exported::import(model),
    }
}
