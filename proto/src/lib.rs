//! Wire types of the model formats that Frit reads, generated from the files under `proto/`.
//!
//! In: bytes. Out: messages as they lie in the file. Must not know: anything of Frit's.

/// ONNX.
#[allow(missing_docs, clippy::all, unreachable_pub, reason = "generated from onnx.proto")]
pub mod onnx {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}

/// TensorFlow.
#[allow(missing_docs, clippy::all, unreachable_pub, reason = "generated from tensorflow.proto")]
pub mod tensorflow {
    include!(concat!(env!("OUT_DIR"), "/tensorflow.rs"));
}
