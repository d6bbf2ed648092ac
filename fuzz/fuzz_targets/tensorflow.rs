//! A graph by itself; or a SavedModel and the index of its variables (`saved.rs`).
#![no_main]

use frit_fuzz::saved;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((model, index)) = saved::parts(bytes) else { return frit_fuzz::import(bytes) };
    let folder = frit_fuzz::folder().join("saved");
    saved::write(&folder, model, index).expect("files");
    frit_fuzz::load(&folder, bytes.len());
});
