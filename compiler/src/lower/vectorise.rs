//! From the loop form to the vector program.
//!
//! In: a [`Kernel`] and a [`Target`]. Out: a [`Program`] that does the same with the target's vectors. Must not know: tensor
//! ops, how instructions are encoded.
//!
//! It works in three steps. [`expand`] writes unrolled loops out, splits vector loops into pieces of as many lanes as the target
//! has (then one piece of which some lanes are dead, or smaller pieces and single elements), and gives accumulations across lanes partial sums. [`emit`] turns the
//! remaining loops into instructions: each expression is computed once, in the outermost loop in which all that it
//! needs is known, with one lane where it is the same for all lanes. [`ahead`] then prefetches what follows a tile's sum.

mod ahead;
mod emit;
mod expand;

use frit_ir::error::OpError;
use frit_ir::loops::Kernel;
use frit_ir::vector::{Program, Target};

/// Vectorises a kernel.
///
/// # Errors
/// A bug where the kernel is malformed; unsupported where its expressions are nested too deeply.
pub fn vectorise(kernel: &Kernel, target: &Target) -> Result<Program, OpError> {
    kernel.verify().map_err(|problems| OpError::bug(format!("kernel '{}' is malformed: {}", kernel.name, problems.join("; "))))?;
    let expanded = expand::expand(kernel, target)?;
    let mut program = emit::emit(kernel, expanded, target)?;
    ahead::prefetch(&mut program);
    Ok(program)
}

#[cfg(test)]
mod tests;
