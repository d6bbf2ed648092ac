//! Calls kernels.
//!
//! In: an executable that [`check`](crate::check) has seen, and the tensors of a call. Out: the kernels' results, in
//! place. Must not know: what kernels compute.

#![allow(unsafe_code, reason = "machine code is called with raw pointers")]

use std::ptr;
use std::sync::atomic::Ordering;

use frit_ir::Error;
use frit_ir::executable::{Executable, Operand};
use frit_ir::tensor::ALIGNMENT;

use crate::code::{CodeMemory, KernelFn};
use crate::frame::Frame;
use crate::spans::Spans;
use crate::threads::Threads;

/// Kernels with more buffers than this take some of a call's time to allocate the list.
const FEW: usize = 32;

/// The kernels of a checked executable.
pub(crate) struct Kernels {
    entries: Vec<KernelFn>,
    /// Where scratch begins, behind the arena.
    scratch: usize,
    /// Bytes of scratch of one thread.
    stride: usize,
    /// Keeps the entries callable.
    _memory: CodeMemory,
}

impl Kernels {
    /// Makes the code of an executable callable. [`check`](crate::check::check) must have found nothing wrong with it.
    pub(crate) fn new(executable: &Executable) -> Result<Self, Error> {
        let memory = CodeMemory::new(&executable.code)?;
        let entry = |offset: u64| memory.entry(offset as usize).ok_or_else(|| Error::bug("a kernel lies outside the code"));
        let entries = executable.kernels.iter().map(|kernel| entry(kernel.offset)).collect::<Result<_, _>>()?;
        let stride = executable.kernels.iter().map(|kernel| kernel.scratch_bytes as usize).max().unwrap_or(0);
        let too_large = || Error::unsupported(format!("an arena of {} bytes does not fit into memory", executable.arena_bytes));
        let scratch = (executable.arena_bytes as usize).checked_next_multiple_of(ALIGNMENT).ok_or_else(too_large)?;
        Ok(Self { entries, scratch, stride: stride.next_multiple_of(ALIGNMENT), _memory: memory })
    }

    /// Bytes that a call with so many threads works in: the arena, then scratch for each thread.
    pub(crate) fn arena_bytes(&self, threads: usize) -> usize {
        self.scratch.saturating_add(self.stride.saturating_mul(threads))
    }

    /// Runs all grid points of a kernel, and notes who did what if `spans` are wanted. The frame's arena has [`Kernels::arena_bytes`] bytes for these threads.
    pub(crate) fn launch(&self, executable: &Executable, kernel: usize, operands: &[Operand], frame: &mut Frame<'_>, threads: &Threads, spans: Option<&Spans>) -> Result<(), Error> {
        let (code, entry) = (&executable.kernels[kernel], self.entries[kernel]);
        let buffers = frame.pointers(operands, self.scratch)?;
        if code.points == 0 {
            return Ok(());
        }
        threads.split(code.points, code.grain, |worker, range| {
            let begun = spans.map(Spans::now);
            let (mut few, mut many) = ([ptr::null_mut(); FEW], Vec::new());
            let own = match few.get_mut(..buffers.len()) {
                Some(few) => few,
                None => {
                    many.resize(buffers.len(), ptr::null_mut());
                    many.as_mut_slice()
                }
            };
            own.iter_mut().zip(buffers).for_each(|(own, buffer)| *own = buffer.load(Ordering::Relaxed));
            if let Some(scratch) = own.last_mut() {
                *scratch = scratch.wrapping_add(worker * self.stride);
            }
            // SAFETY: `entry` is a kernel of the executable that this was made of, whose memory lives as long as `self`.
            // `check` has seen that there is one operand per parameter, that each lies within its arena, constant, input
            // or output with at least the bytes that the kernel touches, and that none that is written is an input or a
            // constant. The frame is borrowed for the whole launch, so nobody else touches the arena and the outputs.
            // Scratch is the worker's own: worker numbers of calls at the same time differ. Ranges don't overlap, and the
            // compiler makes different grid points write to different places, but for points of overlapping blocks, which write
            // the same bits.
            unsafe { entry(own.as_ptr(), range.start, range.end) };
            if let (Some(spans), Some(begun)) = (spans, begun) {
                spans.add(worker, begun, Some(range));
            }
        });
        Ok(())
    }
}
