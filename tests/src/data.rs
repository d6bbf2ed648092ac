//! Where the test material lies.
//!
//! In: the environment. Out: paths. Must not know: what the material is used for.

use std::path::{Path, PathBuf};

/// The folder that `tests/setup.sh` fills: `FRIT_TEST_DATA`, or `tests/data`.
///
/// # Errors
/// In words, where it is not there.
pub fn folder() -> Result<PathBuf, String> {
    let folder = std::env::var_os("FRIT_TEST_DATA").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("data"), PathBuf::from);
    if folder.join("oracles").is_dir() && folder.join("node").is_dir() {
        return Ok(folder);
    }
    Err(format!("the test material is not in '{}'\nhelp: run tests/setup.sh, which fetches it", folder.display()))
}

/// A model and its oracle.
pub struct Model {
    /// What it is called, as `zoo/resnet50`.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The oracle's path, less `.in.npz`, `.out.npz` or `.refused.txt`.
    pub oracle: PathBuf,
}

/// All models, by name.
///
/// # Errors
/// In words, where the folders can't be listed.
pub fn models(data: &Path) -> Result<Vec<Model>, String> {
    let mut folders = list(&data.join("models"))?;
    folders.push(data.join("zoo"));
    let mut models = Vec::new();
    for folder in folders {
        for path in list(&folder)?.into_iter().filter(|path| path.extension().is_some_and(|end| end == "onnx")) {
            let part = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let package = folder.file_name().unwrap_or_default().to_string_lossy();
            let name = format!("{package}/{}", part(&path));
            models.push(Model { oracle: data.join("oracles").join(&name), name, path });
        }
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(models)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unlisted = |error: std::io::Error| format!("can't list '{}': {error}", folder.display());
    std::fs::read_dir(folder).map_err(unlisted)?.map(|entry| entry.map(|entry| entry.path()).map_err(unlisted)).collect()
}
