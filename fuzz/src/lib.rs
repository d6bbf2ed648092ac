//! What the fuzz targets share: importing a file, with an eye on time and memory.
//!
//! In: bytes. Out: nothing; a panic where an importer panics, takes more than five seconds, or holds more than four times the file's size and
//! 64 MB. Must not know: formats.

pub mod saved;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use frit_compiler::import;
use frit_compiler::specialise::Binding;

/// Counts the bytes that are held, and the most that were.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator, which is asked for the same layouts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SLACK: usize = 64 << 20;
const LONGEST: Duration = Duration::from_secs(5);

/// A folder of this process's own, in memory where there is such a place.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let shared = Path::new("/dev/shm");
        let folder = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() }.join(format!("frit-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    })
}

/// Imports bytes as a file.
pub fn import(bytes: &[u8]) {
    let path = folder().join("model");
    std::fs::write(&path, bytes).expect("a file");
    load(&path, bytes.len());
}

/// Imports a model of so many bytes.
pub fn load(path: &Path, bytes: usize) {
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let begin = Instant::now();
    let _ = std::hint::black_box(import::load(path, &Binding::default(), None));
    let (took, held) = (begin.elapsed(), MOST.load(Ordering::Relaxed) - before);
    assert!(took < LONGEST, "it takes {took:?}");
    assert!(held <= 4 * bytes + SLACK, "it holds {held} bytes of a file of {bytes}");
}
