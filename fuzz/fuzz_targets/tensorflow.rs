//! A graph by itself; or a SavedModel and the index of its variables, where the first byte is 1: then the length of the model follows in
//! four bytes, and the index after the model.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let parts = bytes.strip_prefix(&[1]).and_then(|rest| rest.split_first_chunk::<4>()).and_then(|(len, rest)| rest.split_at_checked(u32::from_le_bytes(*len) as usize));
    let Some((model, index)) = parts else { return frit_fuzz::import(bytes) };
    let folder = frit_fuzz::folder().join("saved");
    std::fs::create_dir_all(folder.join("variables")).expect("a folder");
    std::fs::write(folder.join("saved_model.pb"), model).expect("a file");
    std::fs::write(folder.join("variables/variables.index"), index).expect("a file");
    std::fs::write(folder.join("variables/variables.data-00000-of-00001"), [0x3f; 4096]).expect("a file");
    frit_fuzz::load(&folder, bytes.len());
});
