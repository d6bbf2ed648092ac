//! ONNX's own node tests: one folder per case, a model and data sets of inputs and outputs.
//!
//! In: the folder that `tests/fetch.py` fills. Out: cases and their tensors. Must not know: how they are run.

use std::path::{Path, PathBuf};

use frit_ir::ops::Tolerance;
use frit_ir::{Error, Tensor};
use frit_proto::onnx as wire;
use prost::Message;

/// One case.
pub struct Case {
    /// The folder's name, as `test_add_bcast`.
    pub name: String,
    /// Where it lies.
    pub folder: PathBuf,
}

/// All cases below a folder, by name.
///
/// # Errors
/// Where the folder can't be listed.
pub fn cases(root: &Path) -> std::io::Result<Vec<Case>> {
    let mut cases: Vec<Case> = std::fs::read_dir(root)?
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("model.onnx").is_file())
        .map(|entry| Case { name: entry.file_name().to_string_lossy().into_owned(), folder: entry.path() })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

/// A data set: inputs and expected outputs, in the model's order.
pub type DataSet = (Vec<Tensor>, Vec<Tensor>);

impl Case {
    /// The data sets of a case.
    ///
    /// # Errors
    /// Where a file can't be read or holds something else than a tensor.
    pub fn data_sets(&self) -> Result<Vec<DataSet>, Error> {
        (0..)
            .map(|k| self.folder.join(format!("test_data_set_{k}")))
            .take_while(|folder| folder.is_dir())
            .map(|folder| Ok((tensors(&folder, "input")?, tensors(&folder, "output")?)))
            .collect()
    }
}

fn tensors(folder: &Path, kind: &str) -> Result<Vec<Tensor>, Error> {
    (0..).map(|k| folder.join(format!("{kind}_{k}.pb"))).take_while(|path| path.is_file()).map(|path| tensor(&path)).collect()
}

fn tensor(path: &Path) -> Result<Tensor, Error> {
    let bytes = std::fs::read(path).map_err(|error| Error::invalid(error.to_string()))?;
    let wire = wire::Tensor::decode(bytes.as_slice()).map_err(|error| Error::unsupported(format!("{}: {error}", path.display())))?;
    if wire.data_type() == 0 {
        return Err(Error::unsupported(format!("{} is not a tensor", path.display())));
    }
    frit_compiler::import::onnx::decode_tensor(&wire).map_err(|error| Error::at(error, path.display().to_string(), Vec::new()))
}

/// What ONNX's own `onnx.backend.test.runner` allows.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-7, relative: 1e-3 };
