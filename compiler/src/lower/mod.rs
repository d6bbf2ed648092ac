//! Lowering: from kernels to machine code.
//!
//! In: [`Kernel`](frit_ir::loops::Kernel)s. Out: code for a [`Target`](frit_ir::vector::Target). Must not know: tensor
//! operations, the run time.

pub mod clif;
