//! Frit: compile a model and run it, in process.
//!
//! In: the path of a model, or a [`Graph`] made with a [`Builder`](frit_ir::Builder). Out: an [`Executable`], a file of
//! it, or a [`Session`] that runs it. Must not know: terminals.
//!
//! ```
//! use frit::{Builder, DType, Options, RunOptions, Session, Tensor, TensorType};
//! use frit_ir::ops::add::Add;
//!
//! let mut builder = Builder::new("double");
//! let x = builder.input("x", TensorType::known(DType::F32, &[3]));
//! let y = builder.apply(Add {}, &[x, x])?;
//! builder.output("y", y);
//!
//! let executable = frit::compile(&builder.finish(), &Options::default()).map_err(|mut errors| errors.remove(0))?;
//! let session = Session::new(executable, &RunOptions::default())?;
//! let outputs = session.run(&[Tensor::from_slice(&[3], &[1f32, 2.0, 3.0])])?;
//! assert_eq!(outputs[0].as_slice::<f32>(), [2.0, 4.0, 6.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod machine;
pub mod tune;
pub mod verify;

use std::path::Path;

pub use frit_compiler::pipeline::{Options, Stage, compile, dump};
pub use frit_compiler::schedule::Precision;
pub use frit_compiler::specialise::Binding;
pub use frit_ir::executable::Executable;
pub use frit_ir::{Builder, DType, Error, Graph, Kind, Scalar, Shape, Tensor, TensorType};
pub use frit_runtime::{Options as RunOptions, Session, Span, Stream, Threads, Timing, artifact, target};

/// Reads a model. What `binding` says of its open dimensions is known from the start; `signature` picks one where a model has
/// several.
///
/// # Errors
/// Every complaint about the file, with the names of its nodes.
pub fn import(path: &Path, binding: &Binding, signature: Option<&str>) -> Result<Graph, Vec<Error>> {
    frit_compiler::import::load(path, binding, signature)
}

/// Is the file an artifact (rather than a model)?
///
/// # Errors
/// Invalid where it can't be read.
pub fn is_artifact(path: &Path) -> Result<bool, Error> {
    use std::io::Read;
    let unreadable = |error: std::io::Error| Error::invalid(format!("can't read '{}': {error}", path.display())).help("give the path of a model or an artifact");
    let mut head = Vec::new();
    if path.is_file() || !path.exists() {
        std::fs::File::open(path).and_then(|file| file.take(4).read_to_end(&mut head)).map_err(unreadable)?;
    }
    Ok(artifact::is_artifact(&head))
}

/// Makes a session of a model or an artifact, whichever the file is.
///
/// # Errors
/// As [`import`], [`compile`] and [`Session::load`].
pub fn load(path: &Path, options: &Options, run: &RunOptions) -> Result<Session, Vec<Error>> {
    let one = |error| vec![error];
    if is_artifact(path).map_err(one)? {
        return Session::load(path, run).map_err(one);
    }
    Session::new(compile(&import(path, &options.binding, options.signature.as_deref())?, options)?, run).map_err(one)
}
