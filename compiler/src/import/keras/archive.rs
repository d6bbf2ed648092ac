//! The archive that Keras 3 keeps a model in.
//!
//! In: the bytes of a zip file. Out: those of a member, in place where they are stored. Must not know: what they mean.

use std::io::{Cursor, Read};

use bytes::Bytes;
use frit_ir::Error;
use zip::{CompressionMethod, ZipArchive};

/// What a packed member may take: packed text hardly comes to more.
const PACKED: u64 = 1 << 10;

/// A member's bytes; nothing where there is none of that name.
///
/// # Errors
/// Invalid where the archive is broken.
pub(super) fn member(archive: &Bytes, name: &str) -> Result<Option<Bytes>, Error> {
    let broken = |why: String| Error::invalid(format!("'{name}' can't be read from the archive: {why}")).help("the file may have been cut off when it was copied");
    let mut zip = ZipArchive::new(Cursor::new(archive.clone())).map_err(|error| broken(error.to_string()))?;
    let Some(index) = zip.index_for_name(name) else { return Ok(None) };
    let file = zip.by_index(index).map_err(|error| broken(error.to_string()))?;
    let size = file.size();
    if file.compression() == CompressionMethod::Stored && !file.encrypted() {
        let start = file.data_start().ok_or_else(|| broken("it has no place".to_owned()))?;
        let end = start.checked_add(size).filter(|end| *end <= archive.len() as u64).ok_or_else(|| broken("it ends behind the file".to_owned()))?;
        return Ok(Some(archive.slice(start as usize..end as usize)));
    }
    let most = (archive.len() as u64).saturating_mul(3).saturating_add(32 << 20);
    if size > most || size > file.compressed_size().saturating_mul(PACKED).saturating_add(1 << 16) {
        return Err(broken(format!("it unpacks to {size} bytes")));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(|error| broken(error.to_string()))?;
    Ok(Some(bytes.into()))
}
