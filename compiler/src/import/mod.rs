//! Stage 1: a model's bytes become a graph.
//!
//! In: a file or folder, recognised by its content. Out: a [`Graph`] whose nodes keep their origins.
//! Importers only build graphs: no shape rule and no numeric code here. Must not know: rewriting,
//! scheduling, devices.

mod archive;
mod ends;
mod format;
mod known;
mod layout;

pub mod keras;
pub mod onnx;
pub mod pytorch;
pub mod tensorflow;
pub mod tflite;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use frit_ir::tensor::Pages;
use frit_ir::{Error, Graph};

use crate::specialise::Binding;

pub use format::Format;
pub use known::{Family, Known, Refused};

/// Reads a model. Weights stay in the mapped file where their alignment allows. Dimensions that `binding` binds are
/// known from the start, so that shape arithmetic is folded as it is read. `signature` picks one where a model has
/// several.
///
/// # Errors
/// Every complaint about the file: not readable, not a model, nodes that are wrong or not supported.
pub fn load(path: &Path, binding: &Binding, signature: Option<&str>) -> Result<Graph, Vec<Error>> {
    let one = |error| vec![error];
    let format = format::recognise(path).map_err(one)?;
    let model = Model { path, binding, signature };
    if let Some(name) = signature
        && !format.has_signatures()
    {
        return Err(one(Error::invalid(format!("there is no signature '{name}'")).help(format!("{} has none; leave --signature out", format.words()))));
    }
    match format {
        Format::Onnx => {
            let Mapped { bytes, pages } = map(path).map_err(one)?;
            onnx::import(bytes, Some(pages), path.parent(), binding)
        }
        Format::SavedModel | Format::GraphDef | Format::Checkpoint | Format::TensorFlowJs => tensorflow::import(&model, format),
        Format::Tflite => tflite::import(&model),
        Format::Keras | Format::KerasHdf5 => keras::import(&model, format),
        Format::ExportedProgram | Format::TorchScript => pytorch::import(&model, format),
    }
}

/// What is asked of an importer.
pub(crate) struct Model<'a> {
    /// The file or folder.
    pub(crate) path: &'a Path,
    /// What is known of open dimensions.
    pub(crate) binding: &'a Binding,
    /// Which of its signatures is wanted, where it has such.
    pub(crate) signature: Option<&'a str>,
}

/// A file's bytes, mapped, and how to give their pages back.
pub(crate) struct Mapped {
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// Their pages.
    pub(crate) pages: Arc<dyn Pages>,
}

/// A mapping that [`Bytes`] and [`Pages`] share.
#[derive(Clone)]
struct Mapping(Arc<memmap2::Mmap>);

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Pages for Mapping {
    fn release(&self, bytes: &[u8]) {
        let Some(offset) = (bytes.as_ptr() as usize).checked_sub(self.0.as_ptr() as usize) else { return };
        if offset.checked_add(bytes.len()).is_some_and(|end| end <= self.0.len()) {
            #[allow(unsafe_code, reason = "no safe call gives mapped pages back")]
            // SAFETY: the mapping is of a file and never written, so a page that is dropped is read from the file again
            // when it is touched, with the same contents. The range lies within the mapping.
            let dropped = unsafe { self.0.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, bytes.len()) };
            if let Err(error) = dropped {
                tracing::debug!("pages of a mapped file stay in memory: {error}");
            }
        }
    }
}

/// Maps a file, read-only.
pub(crate) fn map(path: &Path) -> Result<Mapped, Error> {
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
    let mapping = Mapping(Arc::new(mapping));
    Ok(Mapped { bytes: Bytes::from_owner(mapping.clone()), pages: Arc::new(mapping) })
}
