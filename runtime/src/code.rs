//! Executable memory: machine code that the run time calls.
//!
//! In: position-independent machine code without relocations, from the compiler or an artifact. Out: entry points.
//! Must not know: what the code computes, or what made it.
//!
//! Memory is never writable and executable at the same time: code is copied into writable pages, which then become
//! readable and executable for good.

#![allow(unsafe_code, reason = "turning bytes into callable code can't be checked by the compiler")]

use frit_ir::Error;
use memmap2::{Mmap, MmapMut};

/// A kernel's machine code: runs the grid points `begin..end` on the buffers.
///
/// Calling one is unsafe: the code must follow this convention, every buffer must have the size that the kernel was
/// compiled for, and nobody else may write to what the kernel touches while it runs.
pub type KernelFn = unsafe extern "C" fn(buffers: *const *mut u8, begin: u64, end: u64);

/// Machine code that can be called, for as long as this lives.
#[derive(Debug)]
pub struct CodeMemory {
    pages: Mmap,
    len: usize,
}

impl CodeMemory {
    /// Copies code into executable memory.
    ///
    /// # Errors
    /// Where the system gives no memory, or forbids memory to be executable.
    pub fn new(code: &[u8]) -> Result<CodeMemory, Error> {
        let failed = |what: &str, error: std::io::Error| {
            Error::unsupported(format!("can't {what} {} bytes of machine code: {error}", code.len()))
                .help("the system may limit memory, or forbid programs to make code at run time")
        };
        let mut pages = MmapMut::map_anon(code.len().max(1)).map_err(|e| failed("allocate memory for", e))?;
        pages[..code.len()].copy_from_slice(code);
        let pages = pages.make_exec().map_err(|e| failed("make executable", e))?;
        synchronise(&pages);
        Ok(CodeMemory { pages, len: code.len() })
    }

    /// The kernel whose code starts at `offset` bytes; `None` behind the end of the code.
    pub fn entry(&self, offset: usize) -> Option<KernelFn> {
        let start = self.pages[..self.len].get(offset..)?.first()? as *const u8;
        // SAFETY: `start` is not null and lies in mapped, executable memory. A function pointer has the size of a data
        // pointer on every supported target. That there is a kernel of this type at `offset` is for the caller of the
        // (unsafe) function to know.
        Some(unsafe { std::mem::transmute::<*const u8, KernelFn>(start) })
    }

    /// Bytes of code.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is there no code?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Makes instruction fetches see what was written. x86 does so by itself.
#[cfg(not(target_arch = "aarch64"))]
fn synchronise(_: &[u8]) {}

/// Makes instruction fetches see what was written.
#[cfg(target_arch = "aarch64")]
fn synchronise(code: &[u8]) {
    use std::arch::asm;
    let sizes: u64;
    // SAFETY: reads the register that holds the cache line sizes; user programs may.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) sizes, options(nomem, nostack)) };
    let (data, instruction) = (4usize << (sizes >> 16 & 15), 4usize << (sizes & 15));
    let range = code.as_ptr_range();
    let (start, end) = (range.start as usize, range.end as usize);
    for line in (start & !(data - 1)..end).step_by(data) {
        // SAFETY: cleans a cache line of memory that is mapped.
        unsafe { asm!("dc cvau, {}", in(reg) line, options(nostack)) };
    }
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", options(nostack)) };
    for line in (start & !(instruction - 1)..end).step_by(instruction) {
        // SAFETY: invalidates a cache line of memory that is mapped.
        unsafe { asm!("ic ivau, {}", in(reg) line, options(nostack)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack)) };
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::CodeMemory;

    #[test]
    fn code_is_called() {
        // mov rax, [rdi]; mov [rax], esi; ret, after a byte that is skipped
        let code = [0x90, 0x48, 0x8b, 0x07, 0x89, 0x30, 0xc3];
        let memory = CodeMemory::new(&code).expect("memory");
        let mut cell = [0u32];
        let buffers = [cell.as_mut_ptr().cast::<u8>()];
        let kernel = memory.entry(1).expect("inside");
        // SAFETY: the code above writes `begin` to the first four bytes of the first buffer.
        unsafe { kernel(buffers.as_ptr(), 77, 0) };
        assert_eq!(cell[0], 77);
        assert!(memory.entry(7).is_none());
    }

    #[test]
    fn no_code_has_no_entry() {
        let memory = CodeMemory::new(&[]).expect("memory");
        assert!(memory.is_empty() && memory.entry(0).is_none());
    }
}
