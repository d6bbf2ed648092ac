//! Mapped files.
//!
//! In: an open file. Out: its bytes, read by the system as they are used. Must not know: what they mean.

#![allow(unsafe_code, reason = "mapping a file is the one way to use its bytes without copying them")]

use std::fs::File;

use bytes::Bytes;

/// Maps a file that is not empty, read-only.
pub(crate) fn map(file: &File) -> std::io::Result<Bytes> {
    // SAFETY: the mapping is private and read-only. As with every mapped file, another process that truncates the file
    // meanwhile can end this one with a signal; nothing is written through the mapping.
    let mapping = unsafe { memmap2::Mmap::map(file) }?;
    // A file system that keeps files in large pages takes fewer of them; others don't know the word.
    #[cfg(target_os = "linux")]
    let _ = mapping.advise(memmap2::Advice::HugePage);
    Ok(Bytes::from_owner(mapping))
}
