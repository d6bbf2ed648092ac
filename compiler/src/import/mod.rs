//! Stage 1: a model's bytes become a graph.
//!
//! In: a file or folder, recognised by its content. Out: a [`Graph`] whose nodes keep their origins.
//! Importers only build graphs: no shape rule and no numeric code here. Must not know: rewriting,
//! scheduling, devices.

pub mod onnx;

use std::path::Path;

use bytes::Bytes;
use frit_ir::{Error, Graph};

use crate::specialise::Binding;

/// Reads a model. Weights stay in the mapped file where their alignment allows. Dimensions that `binding` binds are
/// known from the start, so that shape arithmetic is folded as it is read.
///
/// # Errors
/// Every complaint about the file: not readable, not a model, nodes that are wrong or not supported.
pub fn load(path: &Path, binding: &Binding) -> Result<Graph, Vec<Error>> {
    let bytes = map(path).map_err(|error| vec![error])?;
    onnx::import(bytes, path.parent(), binding)
}

/// Maps a file, read-only.
pub(crate) fn map(path: &Path) -> Result<Bytes, Error> {
    let unreadable = |error: std::io::Error| Error::invalid(format!("can't read '{}': {error}", path.display())).help("give the path of a model file");
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?;
    if !length.is_file() {
        return Err(Error::invalid(format!("'{}' is not a file", path.display())).help("give the path of a model file"));
    }
    if length.len() == 0 {
        return Err(Error::invalid(format!("'{}' is empty", path.display())).help("the file may have been cut off when it was copied"));
    }
    #[allow(unsafe_code, reason = "mapping a file is the one way to read weights without copying them")]
    // SAFETY: the mapping is private and read-only. As with every mapped file, another process that truncates the
    // file meanwhile can end this one with a signal; nothing is written through the mapping.
    let mapping = unsafe { memmap2::Mmap::map(&file) }.map_err(unreadable)?;
    Ok(Bytes::from_owner(mapping))
}
