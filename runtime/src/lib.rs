//! Frit's run time: runs executables and artifacts, without a compiler.
//!
//! In: an [`Executable`](frit_ir::executable::Executable), from memory or from an [`artifact`]. Out: a [`Session`] that
//! turns input tensors into output tensors. Must not know: the compiler, source formats, terminals.
//!
//! Nothing of an executable is believed: [`check`] looks at every step before any code runs. `unsafe` is confined to
//! [`code`] (bytes become callable), `launch` (they are called), `map` (files become bytes), `pool` (threads do a call's work),
//! `cuda::driver` (a GPU is used) and [`peak`] (the machine is measured).

pub mod artifact;
pub mod check;
pub mod code;
pub mod cuda;
mod frame;
mod launch;
mod map;
mod memory;
pub mod peak;
mod pool;
mod session;
mod spans;
pub mod target;
mod threads;

pub use session::{Observer, Options, Session, Stream, Tensors, Timing};
pub use spans::Span;
pub use threads::Threads;
