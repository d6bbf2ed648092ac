//! PyTorch: exported programs and TorchScript.
//!
//! In: the path of a model. Out: a [`Graph`].

mod alias;
mod archive;
mod aten;
mod exported;
mod pickle;
mod storage;
mod value;

use frit_ir::{Error, Graph};

use super::{Format, Model};

/// Imports a model.
///
/// # Errors
/// Every complaint about the model, each with the node's name.
pub(crate) fn import(model: &Model<'_>, format: Format) -> Result<Graph, Vec<Error>> {
    if format == Format::ExportedProgram {
        return exported::import(model);
    }
    Err(vec![Error::unsupported(format!("'{}' is {}, which is not supported", model.path.display(), format.words()))])
}
