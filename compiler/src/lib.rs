//! Frit's compiler: from a model's bytes to an executable.
//!
//! In: a model file or a [`frit_ir::Graph`]. Out: a [`frit_ir::executable::Executable`]. Must not
//! know: the run time.

pub mod cost;
pub mod explain;
pub mod import;
pub mod lower;
pub mod pipeline;
pub mod rewrite;
pub mod schedule;
pub mod specialise;
