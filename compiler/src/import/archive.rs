//! Zip archives: what Keras 3 and PyTorch keep models in.
//!
//! In: the bytes of a file, or of a member of another archive. Out: members by name, as slices of those bytes where they are
//! stored and inflated where they are not. Local headers are not believed: `torch.save` leaves their sizes out. Must not
//! know: what the members mean.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use frit_ir::OpError;
use frit_ir::tensor::Pages;
use zip::result::ZipError;
use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

/// All that is inflated takes at most three times the archive and this: what is worth memory (weights) is stored, or hardly packs.
const INFLATED: u64 = 32 << 20;

/// A zip archive over shared bytes.
#[derive(Clone)]
pub(crate) struct Archive {
    bytes: Bytes,
    pages: Option<Arc<dyn Pages>>,
    zip: ZipArchive<Cursor<Bytes>>,
    members: BTreeMap<String, usize>,
    /// Bytes that may yet be inflated.
    budget: Rc<Cell<u64>>,
}

/// A member's bytes, and whose pages they are where they lie in a mapped file.
#[derive(Clone)]
pub(crate) struct Member {
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// Their pages.
    pub(crate) pages: Option<Arc<dyn Pages>>,
}

fn broken(error: &ZipError) -> OpError {
    OpError::invalid(format!("the archive can't be read: {error}")).help("the file may have been cut off when it was copied")
}

impl Archive {
    /// Reads the directory of an archive. A folder that all members lie in (`torch.save` names it after the file) is left
    /// out of their names.
    ///
    /// # Errors
    /// Invalid where it is no whole archive.
    pub(crate) fn open(member: &Member) -> Result<Self, OpError> {
        // Stored members may be archives themselves, so that the beginning is not looked for: it is that of the file.
        let zip = ZipArchive::with_config(Config { archive_offset: ArchiveOffset::Known(0) }, Cursor::new(member.bytes.clone())).map_err(|error| broken(&error))?;
        let mut names = Vec::with_capacity(zip.len());
        for at in 0..zip.len() {
            let entry = zip.name_for_index(at).ok_or_else(|| broken(&ZipError::FileNotFound))?.map_err(|error| broken(&error))?;
            names.push(entry.into_owned());
        }
        let root = names.first().and_then(|name| name.split_once('/')).map(|(root, _)| format!("{root}/")).filter(|root| names.iter().all(|name| name.starts_with(root))).unwrap_or_default();
        let members = names.iter().enumerate().map(|(at, name)| (name[root.len()..].to_owned(), at)).collect();
        let budget = Rc::new(Cell::new((member.bytes.len() as u64).saturating_mul(3).saturating_add(INFLATED)));
        Ok(Self { bytes: member.bytes.clone(), pages: member.pages.clone(), zip, members, budget })
    }

    /// The members' names, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// Is there such a member?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// A member's bytes: those of the archive where it is stored.
    ///
    /// # Errors
    /// Invalid where there is no such member, or it does not lie within the archive or is not what its sum says; unsupported where it is
    /// compressed too well or otherwise than by deflation.
    pub(crate) fn read(&self, name: &str) -> Result<Member, OpError> {
        let lost = || OpError::invalid(format!("the archive has no '{name}'")).help("the file may have been cut off when it was copied");
        let at = *self.members.get(name).ok_or_else(lost)?;
        let mut zip = self.zip.clone();
        let mut entry = zip.by_index(at).map_err(|error| broken(&error))?;
        if entry.compression() == CompressionMethod::Stored && !entry.encrypted() {
            let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
            let size = usize::try_from(entry.size()).ok();
            let within = start.zip(size).and_then(|(start, size)| Some(start..start.checked_add(size)?)).filter(|range| range.end <= self.bytes.len());
            return within.map(|range| Member { bytes: self.bytes.slice(range), pages: self.pages.clone() }).ok_or_else(lost);
        }
        let size = entry.size();
        let left = self.budget.get().checked_sub(size).ok_or_else(|| OpError::unsupported(format!("'{name}' takes {size} bytes when it is inflated, and the archive {}", self.bytes.len())))?;
        self.budget.set(left);
        let mut bytes = Vec::new();
        entry.by_ref().take(size).read_to_end(&mut bytes).map_err(|error| OpError::invalid(format!("'{name}' can't be inflated: {error}")))?;
        Ok(Member { bytes: bytes.into(), pages: None })
    }

    /// A member that is text.
    ///
    /// # Errors
    /// As [`Archive::read`]; invalid where it is not UTF-8.
    pub(crate) fn text(&self, name: &str) -> Result<String, OpError> {
        String::from_utf8(self.read(name)?.bytes.into()).map_err(|_| OpError::invalid(format!("'{name}' is not text")))
    }
}
