//! Every form that a program takes in Frit, as data, and the reference interpreter.
//!
//! A model is a [`graph::Graph`] of [`ops`]; an op with known shapes is a loop nest
//! ([`compute::Compute`]); the scheduler fuses nests into kernels ([`loops::Kernel`]); those become
//! [vector programs](vector::Program), then machine code in an [`executable::Executable`]. This crate
//! depends on nothing else of Frit's and knows neither source formats nor devices.

pub mod affine;
pub mod build;
mod column;
pub mod compute;
pub mod dtype;
pub mod error;
pub mod eval;
pub mod executable;
pub mod expr;
pub mod graph;
pub mod loops;
pub mod minifloat;
pub mod model;
pub mod ops;
pub mod scalar;
pub mod shape;
pub mod tensor;
pub mod text;
pub mod vector;
pub mod verify;

pub use build::Builder;
pub use dtype::DType;
pub use error::{Error, Kind, OpError};
pub use graph::{Graph, ValueId};
pub use ops::Op;
pub use scalar::Scalar;
pub use shape::{Dim, Shape, TensorType};
pub use tensor::Tensor;
