//! NumPy's `.npz` files, as `numpy.savez` and `savez_compressed` write them.
//!
//! In: the path of an oracle. Out: its tensors under their names, in the file's order. Must not know: what they are
//! for. An `.npz` is a zip of `.npy` files, whose format is that of `numpy.lib.format` 1.0 to 3.0.

use std::io::Read;
use std::path::Path;

use frit_ir::tensor::AlignedBytes;
use frit_ir::{DType, Tensor};

/// The tensors of a file, by name.
///
/// # Errors
/// In words, where the file can't be read or holds something else than dense little-endian arrays.
pub fn read(path: &Path) -> Result<Vec<(String, Tensor)>, String> {
    let words = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(|error| format!("{}; run tests/setup.sh", words(&error)))?;
    let mut archive = zip::ZipArchive::new(std::io::BufReader::new(file)).map_err(|error| words(&error))?;
    let mut tensors = Vec::new();
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).map_err(|error| words(&error))?;
        let name = entry.name().map_err(|error| words(&error))?.into_owned();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).map_err(|error| words(&error))?;
        let tensor = array(&data).ok_or_else(|| words(&format!("'{name}' is not an array that is read here")))?;
        tensors.push((name.strip_suffix(".npy").unwrap_or(&name).to_owned(), tensor));
    }
    Ok(tensors)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).ok()
}

/// The array of an `.npy` file.
fn array(npy: &[u8]) -> Option<Tensor> {
    let rest = npy.strip_prefix(b"\x93NUMPY")?;
    let (start, len) = if *rest.first()? == 1 { (4, u16_at(rest, 2)?) } else { (6, u32_at(rest, 2)?) };
    let header = std::str::from_utf8(rest.get(start..start + len)?).ok()?;
    let data = rest.get(start + len..)?;
    let field = |key: &str| header.split_once(&format!("'{key}': ")).map(|(_, after)| after);
    if !field("fortran_order")?.starts_with("False") {
        return None;
    }
    let dtype = match field("descr")?.trim_start_matches('\'').split('\'').next()? {
        "<f4" => DType::F32,
        "<f8" => DType::F64,
        "<f2" => DType::F16,
        // NumPy knows no bf16, and keeps the bytes of one that a package adds.
        "<V2" | "|V2" => DType::BF16,
        "|b1" => DType::Bool,
        "|i1" => DType::I8,
        "<i2" => DType::I16,
        "<i4" => DType::I32,
        "<i8" => DType::I64,
        "|u1" => DType::U8,
        "<u2" => DType::U16,
        "<u4" => DType::U32,
        "<u8" => DType::U64,
        _ => return None,
    };
    let shape = field("shape")?.strip_prefix('(')?.split_once(')')?.0;
    let extents: Vec<i64> = shape.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let mut aligned = AlignedBytes::zeroed(data.len()).ok()?;
    aligned.as_mut_slice().copy_from_slice(data);
    Tensor::from_bytes(dtype, &extents, aligned).ok()
}
