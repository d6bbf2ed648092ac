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

use super::{Format, Known, Model};

/// What becomes of operators: those of ATen are without their namespace. What writes to its first operand (`add_`) is not listed.
pub fn known() -> Known {
    Known::new(vec![aten::family()], &[("op", aten::REFUSED)])
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
