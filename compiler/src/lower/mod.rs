//! Stage 5: kernels become code.
//!
//! In: a [`Schedule`] and a [`Target`]. Out: an [`Executable`]. Transcendental functions become arithmetic ([`math`]). For a CPU,
//! kernels are then vectorised to [programs](frit_ir::vector), which [`wide`] makes machine code of where the target has AVX-512 or
//! AVX2, and [`clif`] elsewhere; for a GPU, [`cuda`] makes text of them that the run time compiles. Must not know: graphs, the run time.

pub mod clif;
pub mod cuda;
pub mod math;
pub mod target;
pub mod vectorise;
pub mod wide;

use frit_ir::compute::Compute;
use frit_ir::executable::{Code, Executable, Param};
use frit_ir::loops::{Kernel, Space};
use frit_ir::vector::{Instructions, Program, Target};
use frit_ir::{Error, OpError, Tensor};
use rayon::prelude::*;

use crate::schedule::Schedule;

/// A loop that changes at least so many vectors holds a tile of accumulators.
const TILE: usize = 6;
/// Kernels start at multiples of this many bytes.
const CODE_ALIGNMENT: usize = 64;
/// Estimated nanoseconds that are worth a range of their own. Two threads begin and end a kernel together in about one
/// microsecond (`benches/fork_join.rs`), so a kernel of two such ranges is the least that gets faster.
const GRAIN: f64 = 2000.0;

/// Can a nest be compiled for a CPU?
///
/// # Errors
/// Why it can't be.
pub fn supported(nest: &Compute) -> Result<(), String> {
    let (exprs, _) = math::legalise(&nest.exprs, &[nest.value], math::Has { fma: true, scale: false }).map_err(|error| error.message)?;
    clif::supported(&exprs).map_err(|error| error.message)
}

/// Can a nest be compiled for a GPU?
///
/// # Errors
/// Why it can't be.
pub fn supported_on_gpu(nest: &Compute) -> Result<(), String> {
    let (exprs, _) = math::legalise(&nest.exprs, &[nest.value], math::Has { fma: true, scale: false }).map_err(|error| error.message)?;
    cuda::supported(&exprs).map_err(|error| error.message)
}

/// The vector program of a kernel.
///
/// # Errors
/// Unsupported where a function has no expansion; a bug where the kernel is malformed.
pub fn program(kernel: &Kernel, target: &Target) -> Result<Program, Error> {
    let named = |error: OpError| Error::at(error, format!("kernel '{}'", kernel.name), Vec::new());
    let kernel = math::legalise_kernel(kernel, target.into())?;
    vectorise::vectorise(&kernel, target).map_err(named)
}

/// What an emitter made of a kernel.
struct Emitted {
    bytes: Vec<u8>,
    scratch_bytes: u64,
    grain: u64,
    team: u32,
    instructions: Instructions,
}

/// The text of a kernel, for a GPU.
///
/// # Errors
/// As [`program`], and what the emitter says.
pub fn text(kernel: &Kernel, target: &Target) -> Result<cuda::Text, Error> {
    cuda::emit(&math::legalise_kernel(kernel, target.into())?, target)
}

fn emit(kernel: &Kernel, cost: f64, target: &Target) -> Result<Emitted, Error> {
    if target.is_cuda() {
        let text = text(kernel, target)?;
        return Ok(Emitted { bytes: text.text.into_bytes(), scratch_bytes: 0, grain: u64::from(text.teams), team: text.team, instructions: Instructions::default() });
    }
    let program = program(kernel, target)?;
    let points = kernel.points().max(0) as u64;
    let grain = ((GRAIN / cost.max(1.0) * points as f64) as u64).clamp(1, points.max(1));
    Ok(Emitted { bytes: code(&program, target)?, scratch_bytes: program.scratch_bytes, grain, team: 1, instructions: program.instructions(target.vector_bits as usize / 8) })
}

/// Machine code of a program, from the wide emitter where it can.
///
/// # Errors
/// What the portable emitter says.
fn code(program: &Program, target: &Target) -> Result<Vec<u8>, Error> {
    if wide::vectors(target).is_some() {
        match wide::emit(program, target) {
            Err(error) if error.is_unsupported() => tracing::debug!(%error, "left to the portable emitter"),
            done => return done,
        }
    }
    clif::emit(program, target)
}

/// Lowers all kernels of a schedule.
///
/// # Errors
/// As [`program`], and what the emitter says.
pub fn lower(mut schedule: Schedule, target: &Target) -> Result<Executable, Error> {
    let emitted: Vec<Emitted> = schedule.kernels.par_iter().zip(&schedule.costs).map(|(kernel, cost)| emit(kernel, *cost, target)).collect::<Result<_, Error>>()?;
    let (mut code, filler) = if target.is_cuda() { (cuda::PRELUDE.as_bytes().to_vec(), b'\n') } else { (Vec::new(), 0) };
    let mut kernels = Vec::new();
    for (kernel, emitted) in schedule.kernels.iter().zip(emitted) {
        code.resize(code.len().next_multiple_of(CODE_ALIGNMENT), filler);
        kernels.push(Code {
            name: kernel.name.clone(),
            offset: code.len() as u64,
            len: emitted.bytes.len() as u64,
            points: kernel.points().max(0) as u64,
            grain: emitted.grain,
            team: emitted.team,
            scratch_bytes: emitted.scratch_bytes,
            params: kernel.params().map(|(_, place)| Param { dtype: place.dtype, elems: place.elems as u64, written: place.space == Space::Output }).collect(),
            flops: kernel.flops,
            instructions: emitted.instructions,
            bytes: kernel.bytes,
        });
        code.extend_from_slice(&emitted.bytes);
    }
    if kernels.is_empty() {
        code.clear();
    }
    // Few pages for the processor to look up, as in an artifact.
    Tensor::gather(&mut schedule.constants).map_err(|error| Error::at(error, "", Vec::new()))?;
    Ok(Executable {
        name: schedule.name,
        target: target.clone(),
        inputs: schedule.inputs,
        outputs: schedule.outputs,
        states: schedule.states,
        constants: schedule.constants,
        kernels,
        code,
        arena_bytes: schedule.arena_bytes,
        dynamics: schedule.dynamics,
        steps: schedule.steps,
    })
}
