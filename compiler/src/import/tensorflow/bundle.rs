//! A checkpoint's files: an index, which is a sorted table of keys, and shards of data.
//!
//! In: the path that names of the files begin with. Out: tensors by key, over the mapped shards. Every offset is checked against the files, every
//! checksum is verified. Must not know: graphs, and what keys mean.
//!
//! Layout of the table: <https://github.com/google/leveldb/blob/main/doc/table_format.md>.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use frit_ir::tensor::checked_elems;
use frit_ir::{DType, Error, OpError, Tensor};
use frit_proto::tensorflow as wire;
use prost::Message;

use super::tensor;
use crate::import::Mapped;

/// The table's last bytes: two handles, padded, and this number.
const FOOTER: usize = 48;
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
/// No block of an index is longer than this when it is unpacked.
const MAX_BLOCK: usize = 1 << 26;
/// No checkpoint has more shards than this.
const MAX_SHARDS: i32 = 1 << 16;

/// A checkpoint.
pub(super) struct Bundle {
    entries: BTreeMap<Vec<u8>, wire::BundleEntry>,
    prefix: PathBuf,
    shards: BTreeMap<i32, Mapped>,
    count: i32,
}

/// A checksum as the files hold it, so that it is not mistaken for data it was computed of.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A number of 7 bits a byte, low bits first.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn size(bytes: &[u8], at: &mut usize) -> Option<usize> {
    usize::try_from(varint(bytes, at)?).ok()
}

fn fixed(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Is this the bytes' checksum? Fuzzing takes any, or else it would never reach what lies behind.
fn is_sum(crc: u32, bytes: &[u8]) -> bool {
    cfg!(fuzzing) || masked(crc32c::crc32c(bytes)) == crc
}

/// A block's bytes, unpacked. Behind them lie how they are compressed, and a checksum.
fn block(file: &[u8], offset: usize, length: usize) -> Result<Vec<u8>, OpError> {
    let cut = || OpError::invalid("a block of the index lies outside the file");
    let end = offset.checked_add(length).ok_or_else(cut)?;
    let stored = file.get(offset..end.checked_add(1).ok_or_else(cut)?).ok_or_else(cut)?;
    let crc = fixed(file, end + 1).ok_or_else(cut)?;
    if !is_sum(crc, stored) {
        return Err(OpError::invalid("a block of the index has another checksum than it says").help("the file is damaged; copy it again"));
    }
    let (raw, kind) = (&stored[..length], stored[length]);
    match kind {
        0 => Ok(raw.to_vec()),
        1 => {
            let broken = |error: snap::Error| OpError::invalid(format!("a block of the index can't be unpacked: {error}"));
            if snap::raw::decompress_len(raw).map_err(broken)? > MAX_BLOCK {
                return Err(OpError::invalid("a block of the index is too long"));
            }
            snap::raw::Decoder::new().decompress_vec(raw).map_err(broken)
        }
        other => Err(OpError::unsupported(format!("compression {other} of an index is not supported"))),
    }
}

/// A key and its value.
type Entry = (Vec<u8>, Vec<u8>);

/// Keys and values of a block. Each key is given by what it shares with the one before, and the rest.
fn entries(block: &[u8]) -> Result<Vec<Entry>, OpError> {
    let cut = || OpError::invalid("an entry of the index lies outside its block");
    let restarts = block.len().checked_sub(4).and_then(|at| fixed(block, at)).ok_or_else(cut)? as usize;
    let end = restarts.checked_mul(4).and_then(|n| block.len().checked_sub(4 + n)).ok_or_else(cut)?;
    let body = &block[..end];
    let mut at = 0;
    let mut key: Vec<u8> = Vec::new();
    let mut found = Vec::new();
    let mut total = 0usize;
    while at < end {
        let (shared, rest, length) = (size(body, &mut at).ok_or_else(cut)?, size(body, &mut at).ok_or_else(cut)?, size(body, &mut at).ok_or_else(cut)?);
        let value_at = at.checked_add(rest).ok_or_else(cut)?;
        let next = value_at.checked_add(length).ok_or_else(cut)?;
        if shared > key.len() || next > end {
            return Err(cut());
        }
        key.truncate(shared);
        key.extend_from_slice(&body[at..value_at]);
        // Keys that share long beginnings are much longer than what the file holds of them.
        total += key.len();
        if total > MAX_BLOCK {
            return Err(OpError::invalid("the keys of the index are too long"));
        }
        found.push((key.clone(), body[value_at..next].to_vec()));
        at = next;
    }
    Ok(found)
}

/// All keys and values of a table.
fn table(file: &[u8]) -> Result<Vec<Entry>, OpError> {
    let damaged = || OpError::invalid("it is no index of a checkpoint").help("the file may have been cut off when it was copied");
    let footer = file.len().checked_sub(FOOTER).map(|at| &file[at..]).ok_or_else(damaged)?;
    if footer[FOOTER - 8..] != MAGIC.to_le_bytes() {
        return Err(damaged());
    }
    let mut at = 0;
    let mut handle = || Some((size(footer, &mut at)?, size(footer, &mut at)?));
    let (_, (offset, length)) = handle().zip(handle()).ok_or_else(damaged)?;
    let mut all = Vec::new();
    let mut total = 0usize;
    for (_, value) in entries(&block(file, offset, length)?)? {
        let mut at = 0;
        let (offset, length) = size(&value, &mut at).zip(size(&value, &mut at)).ok_or_else(damaged)?;
        // Blocks don't overlap, so together they are no longer than the file.
        total = total.saturating_add(length);
        if total > file.len() {
            return Err(OpError::invalid("blocks of the index overlap"));
        }
        all.extend(entries(&block(file, offset, length)?)?);
    }
    Ok(all)
}

impl Bundle {
    /// Opens the checkpoint whose files' names begin with `prefix`.
    ///
    /// # Errors
    /// Invalid where the index can't be read.
    pub(super) fn open(prefix: &Path) -> Result<Self, Error> {
        let path = with_suffix(prefix, ".index");
        let file = crate::import::map(&path)?;
        let at = |error: OpError| Error { node: format!("'{}'", path.display()), ..Error::at(error, "", Vec::new()) };
        let mut bundle = Self { entries: BTreeMap::new(), prefix: prefix.to_owned(), shards: BTreeMap::new(), count: 1 };
        for (key, value) in table(&file.bytes).map_err(at)? {
            let malformed = |error: prost::DecodeError| at(OpError::invalid(format!("an entry of the index can't be read: {error}")));
            if key.is_empty() {
                let header = wire::BundleHeader::decode(value.as_slice()).map_err(malformed)?;
                if header.endianness != 0 {
                    return Err(at(OpError::unsupported("a checkpoint of a big-endian machine is not supported")));
                }
                bundle.count = header.num_shards.clamp(1, MAX_SHARDS);
            } else {
                bundle.entries.insert(key, wire::BundleEntry::decode(value.as_slice()).map_err(malformed)?);
            }
        }
        Ok(bundle)
    }

    /// Is there such a key?
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key.as_bytes())
    }

    /// An entry, and its bytes in its shard.
    fn bytes(&mut self, key: &str) -> Result<(wire::BundleEntry, Bytes), OpError> {
        let entry = self.entries.get(key.as_bytes()).cloned().ok_or_else(|| OpError::invalid(format!("the checkpoint holds no '{key}'")))?;
        if !entry.slices.is_empty() {
            return Err(OpError::unsupported(format!("'{key}' was saved in slices, which is not supported")).help("save the model again without partitioned variables"));
        }
        if entry.shard_id < 0 || entry.shard_id >= self.count {
            return Err(OpError::invalid(format!("'{key}' lies in shard {} of {}", entry.shard_id, self.count)));
        }
        if entry.size == 0 {
            return Ok((entry, Bytes::new()));
        }
        if !self.shards.contains_key(&entry.shard_id) {
            let path = with_suffix(&self.prefix, &format!(".data-{:05}-of-{:05}", entry.shard_id, self.count));
            let shard = crate::import::map(&path).map_err(|error| OpError::invalid(error.message).help("all files of the checkpoint must lie side by side"))?;
            self.shards.insert(entry.shard_id, shard);
        }
        let all = &self.shards[&entry.shard_id].bytes;
        let range = usize::try_from(entry.offset).ok().zip(usize::try_from(entry.size).ok()).and_then(|(from, size)| Some(from..from.checked_add(size)?)).filter(|range| range.end <= all.len());
        let range = range.ok_or_else(|| OpError::invalid(format!("'{key}' lies outside its shard")).help("the file may have been cut off when it was copied"))?;
        Ok((entry, all.slice(range)))
    }

    /// The tensor of a key.
    ///
    /// # Errors
    /// Invalid where there is none, it lies outside its file, or is damaged; unsupported dtypes.
    pub(super) fn tensor(&mut self, key: &str) -> Result<Tensor, OpError> {
        let (entry, bytes) = self.bytes(key)?;
        let dtype = tensor::dtype(entry.dtype)?;
        if dtype == DType::Str {
            return Err(OpError::unsupported(format!("'{key}' is text, which is not supported")));
        }
        let extents = tensor::extents(entry.shape.as_ref())?;
        let elems = checked_elems(&extents)?;
        if !is_sum(entry.crc32c, &bytes) {
            return Err(OpError::invalid(format!("'{key}' has another checksum than the index says")).help("the file is damaged; copy it again"));
        }
        let pages = self.shards.get(&entry.shard_id).map(|shard| &shard.pages);
        let tensor = tensor::whole(dtype, &extents, elems, bytes, pages)?;
        tensor.release();
        Ok(tensor)
    }

    /// The only text of a key, as bytes: lengths, a checksum of these, the texts one after another.
    pub(super) fn text(&mut self, key: &str) -> Result<Vec<u8>, OpError> {
        let (_, bytes) = self.bytes(key)?;
        let cut = || OpError::invalid(format!("'{key}' of the checkpoint is cut off"));
        let mut at = 0;
        let length = size(&bytes, &mut at).ok_or_else(cut)?;
        let from = at.checked_add(4).ok_or_else(cut)?;
        bytes.get(from..from.checked_add(length).ok_or_else(cut)?).map(<[u8]>::to_vec).ok_or_else(cut)
    }
}

fn with_suffix(prefix: &Path, suffix: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
