//! Arenas: the memory that one call works in, kept and given to the next call.
//!
//! In: how many bytes a call needs. Out: a [`Lease`] on an arena, which goes back by itself. Must not know: steps, kernels.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use frit_ir::OpError;
use frit_ir::tensor::AlignedBytes;

/// Arenas of one size. There are never more of them than there were calls at the same time.
pub(crate) struct ArenaPool {
    bytes: usize,
    free: Mutex<Vec<AlignedBytes>>,
}

impl ArenaPool {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { bytes, free: Mutex::new(Vec::new()) }
    }

    /// An arena that nobody else uses. What an earlier call left in it is still there.
    pub(crate) fn lease(&self) -> Result<Lease<'_>, OpError> {
        let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let arena = kept.map_or_else(|| AlignedBytes::zeroed(self.bytes), Ok)?;
        Ok(Lease { pool: self, arena: Some(arena) })
    }
}

/// An arena for the time of one call.
pub(crate) struct Lease<'p> {
    pool: &'p ArenaPool,
    arena: Option<AlignedBytes>,
}

impl Deref for Lease<'_> {
    type Target = AlignedBytes;

    fn deref(&self) -> &AlignedBytes {
        self.arena.as_ref().expect("an arena until it is dropped")
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut AlignedBytes {
        self.arena.as_mut().expect("an arena until it is dropped")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let arena = self.arena.take();
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).extend(arena);
    }
}

#[cfg(test)]
mod tests {
    use super::ArenaPool;

    #[test]
    fn arenas_are_reused_and_never_shared() {
        let pool = ArenaPool::new(100);
        let first = pool.lease().expect("memory");
        let second = pool.lease().expect("memory");
        let (a, b) = (first.as_slice().as_ptr(), second.as_slice().as_ptr());
        assert!(a != b && (a as usize).is_multiple_of(64));
        drop(first);
        assert_eq!(pool.lease().expect("memory").as_slice().as_ptr(), a);
    }
}
