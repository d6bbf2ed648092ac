//! The wide emitter: x86-64 machine code with AVX-512 or AVX2, in vectors of up to 512 or 256 bits.
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

use machine::Isa;

/// Bytes that the emitted code must be aligned to.
pub const ALIGNMENT: usize = 64;

/// A kernel puts no more values than this on the stack, which may be small.
const MOST_SLOTS: u32 = 512;

/// The CPU features that the emitted code needs where it uses AVX-512.
pub const AVX512: [&str; 4] = ["has_avx512bw", "has_avx512dq", "has_avx512f", "has_avx512vl"];

/// The CPU features that it needs elsewhere.
pub const AVX2: [&str; 4] = ["has_avx", "has_avx2", "has_f16c", "has_fma"];

/// CPU features that are used where a program asks for them: dot products of bytes, and of pairs of bf16.
pub const DOTS: [&str; 2] = ["has_avx512vnni", "has_avx512bf16"];

/// The instructions that code for a target uses; none where there can be no code.
fn isa(target: &Target) -> Option<Isa> {
    let has = |name: &&str| target.features.iter().any(|feature| feature == name);
    let own = target.triple.starts_with("x86_64-") && !target.triple.contains("windows");
    let sets = [(AVX512, Isa::Avx512), (AVX2, Isa::Avx2)];
    sets.into_iter().find(|(features, _)| own && features.iter().all(has)).map(|(_, isa)| isa)
}

/// Bits of a vector register and how many of them there are, where code can be made for a target.
pub fn vectors(target: &Target) -> Option<(u32, u32)> {
    isa(target).map(|isa| (8 * isa.bytes(), isa.vectors() as u32))
}

/// Machine code of a program, to be placed at a multiple of [`ALIGNMENT`].
///
/// # Errors
/// Unsupported for what it has no instructions for; a bug where the program is malformed.
pub fn emit(program: &Program, target: &Target) -> Result<Vec<u8>, Error> {
    let isa = isa(target).ok_or_else(|| Error::unsupported(format!("there are no wide instructions for `{}`", target.triple)))?;
    let function = select::select(program, isa)?;
    let allocation = allocate::allocate(&function, isa);
    if allocation.slots > MOST_SLOTS {
        return Err(Error::unsupported(format!("kernel {}: {} values at a time lie on the stack", program.name, allocation.slots)));
    }
    encode::encode(&function, &allocation, isa)
}
