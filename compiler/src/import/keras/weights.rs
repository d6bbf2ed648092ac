//! Weights in HDF5.
//!
//! In: the bytes of an HDF5 file. Out: tensors by path, over the file's own bytes where these lie in one piece. Must not know: layers.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use frit_ir::tensor::{AlignedBytes, Pages};
use frit_ir::{DType, OpError, Tensor};
use hdf5_reader::error::ByteOrder;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::layout::DataLayout;
use hdf5_reader::group::Group;
use hdf5_reader::{Dataset, Datatype, Hdf5File, OpenOptions};

/// An open file.
pub(super) struct Weights {
    file: Hdf5File,
    bytes: Bytes,
    pages: Option<Arc<dyn Pages>>,
    /// Groups that were opened, by path.
    groups: HashMap<String, Option<Group>>,
}

fn broken(error: &hdf5_reader::error::Error) -> OpError {
    OpError::invalid(format!("the HDF5 file is broken: {error}"))
}

impl Weights {
    /// Opens a file.
    ///
    /// # Errors
    /// Invalid where it is none.
    pub(super) fn open(bytes: Bytes, pages: Option<Arc<dyn Pages>>) -> Result<Self, OpError> {
        let most = bytes.len().saturating_mul(2).saturating_add(16 << 20);
        let options = OpenOptions::default().with_chunk_cache_bytes(0).with_max_chunk_bytes(most).with_max_read_bytes(most).with_max_object_header_bytes(most.min(8 << 20));
        let file = Hdf5File::from_owner(bytes.clone(), options).map_err(|error| broken(&error))?;
        Ok(Self { file, bytes, pages, groups: HashMap::new() })
    }

    /// A group, if it is there.
    fn group(&mut self, path: &str) -> Option<Group> {
        if let Some(known) = self.groups.get(path) {
            return known.clone();
        }
        let found = match path.rsplit_once('/') {
            Some((parent, name)) => self.group(parent).and_then(|group| group.group(name).ok()),
            None if path.is_empty() => self.file.root_group().ok(),
            None => self.group("").and_then(|group| group.group(path).ok()),
        };
        self.groups.insert(path.to_owned(), found.clone());
        found
    }

    /// Is there such a group?
    pub(super) fn has(&mut self, path: &str) -> bool {
        self.group(path).is_some()
    }

    /// Text that a group is said to have, if it is there.
    pub(super) fn text(&mut self, path: &str, name: &str) -> Option<String> {
        self.group(path)?.attribute(name).ok()?.read_string().ok()
    }

    /// A list of text that a group is said to have. Long ones are kept in parts with numbers.
    pub(super) fn texts(&mut self, path: &str, name: &str) -> Result<Vec<String>, OpError> {
        let group = self.group(path).ok_or_else(|| OpError::invalid(format!("the file has no group '{path}'")))?;
        let attributes = group.attributes().map_err(|error| broken(&error))?;
        let read = |name: &str| attributes.iter().find(|attribute| attribute.name == name).map(|attribute| match attribute.num_elements() {
            Ok(0) => Ok(Vec::new()),
            _ => attribute.read_strings().map_err(|error| broken(&error)),
        });
        if let Some(list) = read(name) {
            return list;
        }
        let mut all = Vec::new();
        for part in 0..attributes.len() {
            let Some(list) = read(&format!("{name}{part}")) else { break };
            all.extend(list?);
        }
        Ok(all)
    }

    /// The tensor at a path; nothing where there is none.
    ///
    /// # Errors
    /// Invalid where it is broken; unsupported where its dtype is.
    pub(super) fn tensor(&mut self, path: &str) -> Result<Option<Tensor>, OpError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(group) = self.group(parent) else { return Ok(None) };
        match group.dataset(name) {
            Ok(dataset) => self.read(&dataset).map(Some),
            Err(hdf5_reader::error::Error::DatasetNotFound(_)) => Ok(None),
            Err(error) => Err(broken(&error)),
        }
    }

    fn read(&self, dataset: &Dataset) -> Result<Tensor, OpError> {
        let dtype = dtype(dataset)?;
        let extents = dataset.shape().iter().map(|n| i64::try_from(*n)).collect::<Result<Vec<_>, _>>().map_err(|_| OpError::invalid("a weight's shape does not fit"))?;
        let size = dataset.raw_byte_len().map_err(|error| broken(&error))?;
        if size > self.bytes.len().saturating_mul(2).saturating_add(1 << 20) {
            return Err(OpError::invalid(format!("a weight of shape {extents:?} takes {size} bytes, which is more than the file's size allows for")));
        }
        if let Some(bytes) = self.in_place(dataset, size)? {
            return Ok(Tensor::from_shared(dtype, &extents, bytes)?.with_pages(self.pages.clone()));
        }
        let mut data = AlignedBytes::zeroed(size)?;
        dataset.read_raw_bytes_into(data.as_mut_slice()).map_err(|error| broken(&error))?;
        Tensor::from_bytes(dtype, &extents, data)
    }

    /// The bytes of a dataset that lies in one piece.
    fn in_place(&self, dataset: &Dataset, size: usize) -> Result<Option<Bytes>, OpError> {
        let header = self.file.get_or_parse_header(dataset.address()).map_err(|error| broken(&error))?;
        let mut place = None;
        for message in &header.messages {
            match message {
                HdfMessage::DataLayout(layout) => match layout.layout {
                    DataLayout::Contiguous { address, size: stored } if stored == size as u64 && address != u64::MAX => place = Some(address),
                    _ => return Ok(None),
                },
                HdfMessage::ExternalFiles(_) => return Err(OpError::unsupported("a weight lies in another file")),
                _ => {}
            }
        }
        let Some(place) = place.filter(|_| size > 0) else { return Ok(None) };
        let view = self.file.storage().read_range(place, size).map_err(|error| broken(&error))?;
        let start = (view.as_ptr() as usize).wrapping_sub(self.bytes.as_ptr() as usize);
        Ok(start.checked_add(size).filter(|end| *end <= self.bytes.len()).map(|end| self.bytes.slice(start..end)))
    }
}

/// What the elements of a dataset are. Keras says of those that HDF5 has no type for what they are.
fn dtype(dataset: &Dataset) -> Result<DType, OpError> {
    let said = || dataset.attribute("dtype").ok().and_then(|attribute| attribute.read_string().ok());
    Ok(match dataset.dtype() {
        Datatype::FloatingPoint { size: 2, byte_order: ByteOrder::LittleEndian } => DType::F16,
        Datatype::FloatingPoint { size: 4, byte_order: ByteOrder::LittleEndian } => DType::F32,
        Datatype::FloatingPoint { size: 8, byte_order: ByteOrder::LittleEndian } => DType::F64,
        Datatype::FixedPoint { size: 1, signed: true, .. } => DType::I8,
        Datatype::FixedPoint { size: 1, signed: false, .. } => DType::U8,
        Datatype::FixedPoint { size: 2, signed: true, byte_order: ByteOrder::LittleEndian } => DType::I16,
        Datatype::FixedPoint { size: 2, signed: false, byte_order: ByteOrder::LittleEndian } => DType::U16,
        Datatype::FixedPoint { size: 4, signed: true, byte_order: ByteOrder::LittleEndian } => DType::I32,
        Datatype::FixedPoint { size: 4, signed: false, byte_order: ByteOrder::LittleEndian } => DType::U32,
        Datatype::FixedPoint { size: 8, signed: true, byte_order: ByteOrder::LittleEndian } => DType::I64,
        Datatype::FixedPoint { size: 8, signed: false, byte_order: ByteOrder::LittleEndian } => DType::U64,
        Datatype::Opaque { size: 2, .. } if said().as_deref() == Some("bfloat16") => DType::BF16,
        other => return Err(OpError::unsupported(format!("a weight is of HDF5's type {other:?}, which is not supported"))),
    })
}
