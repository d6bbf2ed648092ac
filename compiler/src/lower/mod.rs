//! Stage 5: kernels become machine code.
//!
//! In: a [`Schedule`] and a [`Target`]. Out: an [`Executable`]. Kernels are vectorised to
//! [programs](frit_ir::vector), transcendental functions having become arithmetic ([`math`]), and each program is
//! emitted by [`clif`]. Must not know: graphs, the run time.

pub mod clif;
pub mod math;
pub mod target;
pub mod vectorise;

use frit_ir::compute::Compute;
use frit_ir::executable::{Code, Executable, Param};
use frit_ir::loops::{Kernel, Space};
use frit_ir::vector::{Program, Target};
use frit_ir::{Error, OpError};
use rayon::prelude::*;

use crate::schedule::Schedule;

/// Kernels start at multiples of this many bytes.
const CODE_ALIGNMENT: usize = 64;
/// Work (floating-point operations, or bytes) below which a second thread costs more than it brings.
const GRAIN: u64 = 1 << 17;

/// Can a nest be compiled?
///
/// # Errors
/// Why it can't be.
pub fn supported(nest: &Compute) -> Result<(), String> {
    let (exprs, _) = math::legalise(&nest.exprs, &[nest.value], true).map_err(|error| error.message)?;
    clif::supported(&exprs).map_err(|error| error.message)
}

/// The vector program of a kernel.
///
/// # Errors
/// Unsupported where a function has no expansion; a bug where the kernel is malformed.
pub fn program(kernel: &Kernel, target: &Target) -> Result<Program, Error> {
    let named = |error: OpError| Error::at(error, format!("kernel '{}'", kernel.name), Vec::new());
    let kernel = math::legalise_kernel(kernel, target.fma)?;
    vectorise::vectorise(&kernel, target).map_err(named)
}

/// Lowers all kernels of a schedule.
///
/// # Errors
/// As [`program`], and what the emitter says.
pub fn lower(schedule: Schedule, target: &Target) -> Result<Executable, Error> {
    let compiled: Vec<(Program, Vec<u8>)> = schedule
        .kernels
        .par_iter()
        .map(|kernel| {
            let program = program(kernel, target)?;
            let code = clif::emit(&program, target)?;
            Ok((program, code))
        })
        .collect::<Result<_, Error>>()?;
    let mut code = Vec::new();
    let mut kernels = Vec::new();
    for (kernel, (program, bytes)) in schedule.kernels.iter().zip(compiled) {
        code.resize(code.len().next_multiple_of(CODE_ALIGNMENT), 0);
        let points = kernel.points().max(0) as u64;
        let work = kernel.flops.max(kernel.bytes).max(1);
        kernels.push(Code {
            name: kernel.name.clone(),
            offset: code.len() as u64,
            len: bytes.len() as u64,
            points,
            grain: (GRAIN.saturating_mul(points) / work).clamp(1, points.max(1)),
            scratch_bytes: program.scratch_bytes,
            params: kernel.params().map(|(_, place)| Param { dtype: place.dtype, elems: place.elems as u64, written: place.space == Space::Output }).collect(),
            flops: kernel.flops,
            bytes: kernel.bytes,
        });
        code.extend_from_slice(&bytes);
    }
    Ok(Executable {
        name: schedule.name,
        target: target.clone(),
        inputs: schedule.inputs,
        outputs: schedule.outputs,
        constants: schedule.constants,
        kernels,
        code,
        arena_bytes: schedule.arena_bytes,
        dynamics: schedule.dynamics,
        steps: schedule.steps,
    })
}
