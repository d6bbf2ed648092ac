//! A SavedModel and the index of its variables in one run of bytes, as the `tensorflow` target takes them.

/// The model and the index, where the first byte is 1: then the length of the model follows in four bytes, and the index after the model.
pub fn parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.strip_prefix(&[1])?.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

/// Writes them as files below a folder, with some weights.
///
/// # Errors
/// Where they can't be written.
pub fn write(folder: &std::path::Path, model: &[u8], index: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder.join("variables"))?;
    std::fs::write(folder.join("saved_model.pb"), model)?;
    std::fs::write(folder.join("variables/variables.index"), index)?;
    std::fs::write(folder.join("variables/variables.data-00000-of-00001"), [0x3f; 4096])
}
