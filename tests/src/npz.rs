//! NumPy's `.npz` files, as `numpy.savez` writes them.
//!
//! In: the path of an oracle. Out: its tensors under their names, in the file's order. Must not know: what they are
//! for. An `.npz` is a zip of `.npy` files; `savez` stores them as they are, so no decompression is needed.
//! Formats: APPNOTE.TXT 4.3 of the zip format, `numpy.lib.format` 1.0 to 3.0.

use std::path::Path;

use frit_ir::tensor::AlignedBytes;
use frit_ir::{DType, Tensor};

/// The tensors of a file, by name.
///
/// # Errors
/// In words, where the file can't be read, is compressed, or holds something else than dense little-endian arrays.
pub fn read(path: &Path) -> Result<Vec<(String, Tensor)>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}; run tests/setup.sh", path.display()))?;
    entries(&bytes)
        .and_then(|entries| {
            entries
                .into_iter()
                .map(|(name, data)| {
                    let tensor = array(data).ok_or_else(|| format!("'{name}' is not an array that is read here"))?;
                    Ok((name.strip_suffix(".npy").unwrap_or(name).to_owned(), tensor))
                })
                .collect()
        })
        .map_err(|why: String| format!("{}: {why}", path.display()))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).ok()
}

/// The stored files of a zip, in the order of its directory.
fn entries(zip: &[u8]) -> Result<Vec<(&str, &[u8])>, String> {
    let end = zip.windows(4).rposition(|four| four == b"PK\x05\x06").ok_or("not a zip file")?;
    let cut = || "the zip is cut off".to_owned();
    let count = u16_at(zip, end + 10).ok_or_else(cut)?;
    let mut at = u32_at(zip, end + 16).ok_or_else(cut)?;
    let mut found = Vec::new();
    for _ in 0..count {
        let (name, data, next) = entry(zip, at).ok_or_else(cut)?;
        found.push((name, data.ok_or_else(|| format!("'{name}' is compressed or over 4 GB"))?));
        at = next;
    }
    Ok(found)
}

/// The directory entry at a place: name, bytes if they are stored as they are, place of the next.
fn entry(zip: &[u8], at: usize) -> Option<(&str, Option<&[u8]>, usize)> {
    let (method, size) = (u16_at(zip, at + 10)?, u32_at(zip, at + 20)?);
    let (name_len, extra, comment) = (u16_at(zip, at + 28)?, u16_at(zip, at + 30)?, u16_at(zip, at + 32)?);
    let local = u32_at(zip, at + 42)?;
    let name = std::str::from_utf8(zip.get(at + 46..at + 46 + name_len)?).ok()?;
    let next = at + 46 + name_len + extra + comment;
    let zip64 = u32::MAX as usize;
    if method != 0 || size == zip64 || local == zip64 {
        return Some((name, None, next));
    }
    let start = local + 30 + u16_at(zip, local + 26)? + u16_at(zip, local + 28)?;
    Some((name, Some(zip.get(start..start + size)?), next))
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
