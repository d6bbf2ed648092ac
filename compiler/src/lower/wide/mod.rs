//! The wide emitter: x86-64 machine code with AVX-512, in vectors of up to 512 bits.
//!
//! In: a [`Program`] and a [`Target`]. Out: position-independent leaf code without relocations, its constants behind it, following the
//! calling convention of [`frit_ir::vector`]; it must be placed at a multiple of [`ALIGNMENT`] bytes. Must not know: loop nests,
//! tensors, how code is loaded and run.
//!
//! [`select`] chooses instructions for registers without number, [`allocate`] gives these numbers, [`encode`] makes bytes of
//! them. What it has no instructions for is left to the portable emitter, [`super::clif`].

mod allocate;
mod codes;
mod encode;
mod machine;
mod select;

use frit_ir::error::Error;
use frit_ir::vector::{Program, Target};

/// Bytes that the emitted code must be aligned to.
pub const ALIGNMENT: usize = 64;

/// A kernel puts no more values than this on the stack, which may be small.
const MOST_SLOTS: u32 = 512;

/// The CPU features that the emitted code needs.
pub const FEATURES: [&str; 4] = ["has_avx512bw", "has_avx512dq", "has_avx512f", "has_avx512vl"];

/// A CPU feature that is used where a program asks for it.
pub const DOT: &str = "has_avx512vnni";

/// Can code be made for a target?
pub fn supports(target: &Target) -> bool {
    let has = |name: &&str| target.features.iter().any(|feature| feature == name);
    target.triple.starts_with("x86_64-") && !target.triple.contains("windows") && FEATURES.iter().all(has)
}

/// Machine code of a program, to be placed at a multiple of [`ALIGNMENT`].
///
/// # Errors
/// Unsupported for what it has no instructions for; a bug where the program is malformed.
pub fn emit(program: &Program) -> Result<Vec<u8>, Error> {
    let function = select::select(program)?;
    let allocation = allocate::allocate(&function);
    if allocation.slots > MOST_SLOTS {
        return Err(Error::unsupported(format!("kernel {}: {} values at a time lie on the stack", program.name, allocation.slots)));
    }
    encode::encode(&function, &allocation)
}
