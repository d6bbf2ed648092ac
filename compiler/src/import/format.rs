//! Which format is it?
//!
//! In: the path of a file or folder. Out: its [`Format`], told by content, never by name. Must not know: what any of
//! them means.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use frit_ir::Error;

/// The formats that can be imported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// An ONNX model.
    Onnx,
    /// The folder of a TensorFlow SavedModel.
    SavedModel,
    /// A frozen TensorFlow GraphDef.
    GraphDef,
    /// A folder with a checkpoint of TensorFlow 1 and its `.meta`, or that file.
    Checkpoint,
    /// A TensorFlow.js graph model, or the folder that `model.json` lies in.
    TensorFlowJs,
    /// A TensorFlow Lite model.
    Tflite,
    /// A Keras 3 archive (`.keras`).
    Keras,
    /// A Keras model in HDF5.
    KerasHdf5,
    /// A PyTorch exported program (`.pt2`).
    ExportedProgram,
    /// A TorchScript archive.
    TorchScript,
}

impl Format {
    /// Its name in a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Format::Onnx => "an ONNX model",
            Format::SavedModel => "a TensorFlow SavedModel",
            Format::GraphDef => "a TensorFlow GraphDef",
            Format::Checkpoint => "a TensorFlow checkpoint",
            Format::TensorFlowJs => "a TensorFlow.js model",
            Format::Tflite => "a TensorFlow Lite model",
            Format::Keras | Format::KerasHdf5 => "a Keras model",
            Format::ExportedProgram => "a PyTorch exported program",
            Format::TorchScript => "a TorchScript module",
        }
    }

    /// Can it hold several signatures?
    pub(crate) fn has_signatures(self) -> bool {
        matches!(self, Format::SavedModel | Format::Checkpoint | Format::TensorFlowJs | Format::Tflite | Format::TorchScript)
    }
}

/// How much of a file's beginning is looked at.
const HEAD: u64 = 512;

/// Tells a model's format.
///
/// # Errors
/// Invalid where it can't be read or is of no format that holds a graph Frit can read.
pub(crate) fn recognise(path: &Path) -> Result<Format, Error> {
    let unreadable = |error: std::io::Error| Error::invalid(format!("can't read '{}': {error}", path.display())).help("give the path of a model file");
    if path.is_dir() {
        return folder(path).map_err(unreadable)?.ok_or_else(|| {
            Error::invalid(format!("the folder '{}' holds no model", path.display())).help("a model folder holds saved_model.pb, model.json or a checkpoint with its .meta; else give the model's file")
        });
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let mut head = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut head).map_err(unreadable)?;
    if head.starts_with(b"PK\x03\x04") {
        file.rewind().map_err(unreadable)?;
        return archive(path, file);
    }
    Ok(match head.as_slice() {
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => Format::Tflite,
        [0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1a, b'\n', ..] => Format::KerasHdf5,
        [0x80, 2..=5, ..] => return Err(weights_only(path, "a pickle of PyTorch's", PYTORCH)),
        [b'G', b'G', b'U', b'F', ..] => return Err(weights_only(path, "a GGUF file", "compile a model that holds a graph")),
        [a, b, c, d, e, f, 0, 0, b'{', ..] if u64::from_le_bytes([*a, *b, *c, *d, *e, *f, 0, 0]) > 1 => return Err(weights_only(path, "a safetensors file", PYTORCH)),
        _ if head.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') => Format::TensorFlowJs,
        // Messages of protocol buffers say nothing of their type. A GraphDef begins with a node, which begins with its name;
        // a SavedModel with its version, 1, and a meta graph, and a meta graph with an inner message of its own; an ONNX model with its version.
        [0x08, 0x01, 0x12, ..] => Format::SavedModel,
        [0x0a, ..] if is_meta_graph(&head) => Format::Checkpoint,
        [0x0a, ..] => Format::GraphDef,
        _ => Format::Onnx,
    })
}

const PYTORCH: &str = "export the module: torch.export.save(torch.export.export(module, inputs), \"model.pt2\")";

fn weights_only(path: &Path, what: &str, help: &str) -> Error {
    Error::invalid(format!("'{}' is {what}: it holds weights and no graph", path.display())).help(help)
}

/// Is the first message one of a MetaGraphDef? That is a MetaInfoDef, whose fields 1 (an OpList) and 5 (a version) no node begins with.
fn is_meta_graph(head: &[u8]) -> bool {
    // Tag, then a length of any number of bytes; then the first field of the inner message.
    let Some(inner) = head[1..].iter().position(|byte| byte & 0x80 == 0).and_then(|end| head.get(end + 2..)) else { return false };
    match inner {
        // An OpList, whose ops begin with a name too: a length, then a message, and so another tag 0x0a where a node's name has text.
        [0x12, ..] => {
            let Some(rest) = inner[1..].iter().position(|byte| byte & 0x80 == 0).and_then(|end| inner.get(end + 2..)) else { return false };
            rest.first() == Some(&0x0a)
        }
        [0x22 | 0x2a | 0x32 | 0x38, ..] => true,
        _ => false,
    }
}

/// The format of a folder, if it is one's.
fn folder(path: &Path) -> std::io::Result<Option<Format>> {
    if path.join("saved_model.pb").is_file() {
        return Ok(Some(Format::SavedModel));
    }
    if path.join("model.json").is_file() {
        return Ok(Some(Format::TensorFlowJs));
    }
    for entry in std::fs::read_dir(path)? {
        if entry?.path().extension().is_some_and(|extension| extension == "meta") {
            return Ok(Some(Format::Checkpoint));
        }
    }
    Ok(None)
}

/// The format of a zip archive, told by the files in it.
fn archive(path: &Path, file: File) -> Result<Format, Error> {
    let broken = |error: zip::result::ZipError| Error::invalid(format!("'{}' is a zip archive that can't be read: {error}", path.display())).help("the file may have been cut off when it was copied");
    // Stored members may be archives themselves, so that the beginning is not looked for: it is that of the file.
    let begins = zip::read::Config { archive_offset: zip::read::ArchiveOffset::Known(0) };
    let archive = zip::ZipArchive::with_config(begins, BufReader::new(file)).map_err(broken)?;
    let mut pickle = false;
    let mut code = false;
    for name in archive.file_names() {
        let name = name.map_err(broken)?;
        let name = name.as_ref();
        let inner = name.split_once('/').map_or("", |(_, inner)| inner);
        if name == "serialized_exported_program.json" || (inner.starts_with("models/") && inner.ends_with(".json")) {
            return Ok(Format::ExportedProgram);
        }
        if name == "config.json" {
            return Ok(Format::Keras);
        }
        pickle |= name == "data.pkl" || inner == "data.pkl";
        code |= inner.starts_with("code/");
    }
    match (pickle, code) {
        (_, true) => Ok(Format::TorchScript),
        (true, false) => Err(weights_only(path, "a pickle of PyTorch's", PYTORCH)),
        _ => Err(Error::invalid(format!("'{}' is a zip archive, but no model", path.display())).help("Keras 3 and PyTorch keep models in such archives")),
    }
}
