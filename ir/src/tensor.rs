//! Tensors: a dtype, extents and bytes that several owners may share.
//!
//! In: numbers, or bytes mapped from a file. Out: [`Tensor`]. Row-major, little-endian, dense.
//! Must not know: graphs, ops, files.

use std::sync::Arc;

use bytemuck::Pod;
use bytes::Bytes;
use half::{bf16, f16};
use memmap2::MmapMut;

use crate::dtype::{Class, DType};
use crate::error::OpError;
use crate::scalar::{Scalar, cast};
use crate::shape::{Shape, TensorType};

/// Buffers start at multiples of this many bytes.
pub const ALIGNMENT: usize = 64;

/// What a large page holds on x86-64 and on most AArch64 systems, in bytes.
const LARGE_PAGE: usize = 2 << 20;
/// A buffer that would fill this much of a large page lies in one, where the system has some. To the caches such memory is one piece,
/// while small pages from all over the machine fill their sets unevenly; and it takes few entries of the TLB.
const LARGE: usize = LARGE_PAGE / 4 * 3;

/// Bytes in memory whose first lies at a multiple of [`ALIGNMENT`].
pub struct AlignedBytes {
    memory: Memory,
    start: usize,
    len: usize,
}

enum Memory {
    Heap(Vec<u8>),
    Pages(MmapMut),
}

impl AlignedBytes {
    /// Zeroed bytes.
    ///
    /// # Errors
    /// Unsupported if there is not that much memory.
    pub fn zeroed(len: usize) -> Result<Self, OpError> {
        if len < LARGE {
            return Self::brief(len);
        }
        let too_large = || Self::too_large(len);
        let whole = len.checked_add(2 * LARGE_PAGE).filter(|n| *n <= isize::MAX as usize).ok_or_else(too_large)?;
        let pages = MmapMut::map_anon(whole).map_err(|_| too_large())?;
        let start = pages.as_ptr().align_offset(LARGE_PAGE);
        #[cfg(target_os = "linux")]
        {
            let large = (len + LARGE_PAGE - LARGE) / LARGE_PAGE * LARGE_PAGE;
            // Where there are none, small pages do as well.
            let _ = pages.advise_range(memmap2::Advice::HugePage, start, large);
        }
        Ok(Self { memory: Memory::Pages(pages), start, len })
    }

    /// Zeroed bytes that are soon given back: an allocator has such memory at hand, while the system makes all pages anew.
    ///
    /// # Errors
    /// As [`AlignedBytes::zeroed`].
    pub fn brief(len: usize) -> Result<Self, OpError> {
        let whole = len.checked_add(ALIGNMENT).filter(|n| *n <= isize::MAX as usize).ok_or_else(|| Self::too_large(len))?;
        // A zeroed vector comes from the allocator as untouched pages; the reservation is tried first so that
        // running out of address space is an error and not an abort.
        let mut probe: Vec<u8> = Vec::new();
        probe.try_reserve_exact(whole).map_err(|_| Self::too_large(len))?;
        drop(probe);
        let memory = vec![0u8; whole];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Ok(Self { memory: Memory::Heap(memory), start, len })
    }

    fn too_large(len: usize) -> OpError {
        OpError::unsupported(format!("a buffer of {len} bytes does not fit into memory"))
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        let memory: &[u8] = match &self.memory {
            Memory::Heap(memory) => memory,
            Memory::Pages(pages) => pages,
        };
        &memory[self.start..self.start + self.len]
    }

    /// The bytes, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let memory: &mut [u8] = match &mut self.memory {
            Memory::Heap(memory) => memory,
            Memory::Pages(pages) => pages,
        };
        &mut memory[self.start..self.start + self.len]
    }
}

impl AsRef<[u8]> for AlignedBytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

/// Memory that can be given back and comes back by itself, as pages of a mapped file do.
pub trait Pages: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe {
    /// Gives back the pages that lie wholly within `bytes`. They keep their contents.
    fn release(&self, bytes: &[u8]);
}

/// Where a tensor's bytes lie.
#[derive(Clone)]
enum Storage {
    Owned(Arc<AlignedBytes>),
    Shared(Bytes, Option<Arc<dyn Pages>>),
    Text(Arc<[String]>),
}

/// A dense tensor. Cloning shares the bytes.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    extents: Vec<i64>,
    storage: Storage,
}

/// Rust types that are elements of a dtype.
pub trait Element: Pod {
    /// The dtype.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident,)*) => { $(impl Element for $rust { const DTYPE: DType = DType::$dtype; })* };
}

elements! {
    f32 => F32, f64 => F64, f16 => F16, bf16 => BF16,
    i8 => I8, i16 => I16, i32 => I32, i64 => I64,
    u8 => U8, u16 => U16, u32 => U32, u64 => U64,
}

/// Number of elements of extents that come from outside.
///
/// # Errors
/// Invalid where an extent is negative or the product does not fit.
pub fn checked_elems(extents: &[i64]) -> Result<usize, OpError> {
    if let Some(negative) = extents.iter().find(|n| **n < 0) {
        return Err(OpError::invalid(format!("extent {negative} is negative")));
    }
    if extents.contains(&0) {
        return Ok(0);
    }
    extents
        .iter()
        .try_fold(1usize, |product, n| product.checked_mul(*n as usize))
        .filter(|n| *n <= isize::MAX as usize / 16)
        .ok_or_else(|| OpError::invalid(format!("a tensor of shape {extents:?} has more elements than memory can hold")))
}

impl Tensor {
    /// A tensor over bytes on the heap.
    ///
    /// # Errors
    /// Invalid where the number of bytes is not that of the shape.
    pub fn from_bytes(dtype: DType, extents: &[i64], data: AlignedBytes) -> Result<Self, OpError> {
        Self::check_len(dtype, extents, data.len)?;
        Ok(Self { dtype, extents: extents.to_vec(), storage: Storage::Owned(Arc::new(data)) })
    }

    /// A tensor over bytes that somebody else owns (a mapped file, say). They need not be aligned.
    ///
    /// # Errors
    /// Invalid where the number of bytes is not that of the shape.
    pub fn from_shared(dtype: DType, extents: &[i64], data: Bytes) -> Result<Self, OpError> {
        Self::check_len(dtype, extents, data.len())?;
        Ok(Self { dtype, extents: extents.to_vec(), storage: Storage::Shared(data, None) })
    }

    /// The same tensor, knowing whose pages its bytes are. Nothing changes where it owns them itself or knows already.
    #[must_use]
    pub fn with_pages(mut self, pages: Option<Arc<dyn Pages>>) -> Self {
        if let Storage::Shared(_, known @ None) = &mut self.storage {
            *known = pages;
        }
        self
    }

    /// Says that the bytes won't be needed soon. Those of a mapped file need no memory until they are read again.
    pub fn release(&self) {
        if let Storage::Shared(data, Some(pages)) = &self.storage {
            pages.release(data);
        }
    }

    /// Brings tensors of few bytes into one buffer, each to begin at a multiple of [`ALIGNMENT`]. Large ones and text stay where
    /// they are.
    ///
    /// # Errors
    /// Unsupported if there is not that much memory.
    pub fn gather(tensors: &mut [Self]) -> Result<(), OpError> {
        let few = |tensor: &&mut Self| !matches!(tensor.storage, Storage::Text(_)) && tensor.bytes().len() < LARGE;
        let len = tensors.iter_mut().filter(few).map(|tensor| tensor.bytes().len().next_multiple_of(ALIGNMENT)).sum();
        let mut buffer = AlignedBytes::zeroed(len)?;
        let mut left = buffer.as_mut_slice();
        for tensor in tensors.iter_mut().filter(few) {
            let bytes = tensor.bytes();
            let (place, rest) = left.split_at_mut(bytes.len().next_multiple_of(ALIGNMENT));
            place[..bytes.len()].copy_from_slice(bytes);
            left = rest;
        }
        let buffer = Bytes::from_owner(buffer);
        let mut first = 0;
        for tensor in tensors.iter_mut().filter(few) {
            let len = tensor.bytes().len();
            tensor.storage = Storage::Shared(buffer.slice(first..first + len), None);
            first += len.next_multiple_of(ALIGNMENT);
        }
        Ok(())
    }

    fn check_len(dtype: DType, extents: &[i64], len: usize) -> Result<(), OpError> {
        let expected = checked_elems(extents)?.checked_mul(dtype.size());
        if expected == Some(len) {
            Ok(())
        } else {
            Err(OpError::invalid(format!("a {dtype} tensor of shape {extents:?} does not take {len} bytes")))
        }
    }

    /// A tensor of Rust numbers, row-major.
    ///
    /// # Panics
    /// Where the number of elements is not that of the shape.
    pub fn from_slice<T: Element>(extents: &[i64], data: &[T]) -> Self {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let mut buffer = AlignedBytes::zeroed(bytes.len()).expect("the copy of a slice fits where the slice did");
        buffer.as_mut_slice().copy_from_slice(bytes);
        Self::from_bytes(T::DTYPE, extents, buffer).expect("as many elements as the shape says")
    }

    /// A vector of i64, the form that shapes and axes come in.
    pub fn from_ints(data: &[i64]) -> Self {
        Self::from_slice(&[data.len() as i64], data)
    }

    /// A tensor of truth values.
    ///
    /// # Panics
    /// Where the number of elements is not that of the shape.
    pub fn from_bools(extents: &[i64], data: &[bool]) -> Self {
        let data: Vec<u8> = data.iter().map(|b| u8::from(*b)).collect();
        let mut tensor = Self::from_slice(extents, &data);
        tensor.dtype = DType::Bool;
        tensor
    }

    /// A tensor of text.
    ///
    /// # Errors
    /// Invalid where the number of strings is not that of the shape.
    pub fn from_strings(extents: &[i64], data: Vec<String>) -> Result<Self, OpError> {
        if checked_elems(extents)? != data.len() {
            return Err(OpError::invalid(format!("a tensor of shape {extents:?} does not hold {} strings", data.len())));
        }
        Ok(Self { dtype: DType::Str, extents: extents.to_vec(), storage: Storage::Text(data.into()) })
    }

    /// A tensor of rank 0.
    pub fn scalar(dtype: DType, value: Scalar) -> Self {
        Self::from_scalars(dtype, &[], std::iter::once(value)).expect("one element")
    }

    /// A tensor filled from an iterator, each value converted to the dtype; missing ones are zero.
    ///
    /// # Errors
    /// Invalid or unsupported where the shape is not one that memory can hold.
    pub fn from_scalars(dtype: DType, extents: &[i64], values: impl IntoIterator<Item = Scalar>) -> Result<Self, OpError> {
        let elems = checked_elems(extents)?;
        let mut buffer = AlignedBytes::zeroed(elems * dtype.size())?;
        let bytes = buffer.as_mut_slice();
        for (at, value) in values.into_iter().take(elems).enumerate() {
            write(bytes, at, dtype, value);
        }
        Self::from_bytes(dtype, extents, buffer)
    }

    /// A tensor of floats, each rounded to the dtype.
    ///
    /// # Errors
    /// As [`Tensor::from_scalars`].
    pub fn from_f64s(dtype: DType, extents: &[i64], values: &[f64]) -> Result<Self, OpError> {
        if dtype == DType::F32 {
            let narrow: Vec<f32> = values.iter().map(|x| *x as f32).collect();
            let mut buffer = AlignedBytes::zeroed(narrow.len() * 4)?;
            buffer.as_mut_slice().copy_from_slice(bytemuck::cast_slice(&narrow));
            return Self::from_bytes(dtype, extents, buffer);
        }
        Self::from_scalars(dtype, extents, values.iter().map(|x| Scalar::Float(*x)))
    }

    /// Zeros.
    ///
    /// # Errors
    /// As [`Tensor::from_scalars`].
    pub fn zeros(dtype: DType, extents: &[i64]) -> Result<Self, OpError> {
        Self::from_scalars(dtype, extents, std::iter::empty())
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Extents, outermost first.
    pub fn extents(&self) -> &[i64] {
        &self.extents
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.extents.len()
    }

    /// Number of elements.
    pub fn elems(&self) -> usize {
        if self.extents.contains(&0) { 0 } else { self.extents.iter().product::<i64>() as usize }
    }

    /// Dtype and shape.
    pub fn ty(&self) -> TensorType {
        TensorType { dtype: self.dtype, shape: Shape::known(&self.extents) }
    }

    /// The bytes; empty for text.
    pub fn bytes(&self) -> &[u8] {
        match &self.storage {
            Storage::Owned(data) => data.as_slice(),
            Storage::Shared(data, _) => data,
            Storage::Text(_) => &[],
        }
    }

    /// The strings of a text tensor; empty for numbers.
    pub fn strings(&self) -> &[String] {
        match &self.storage {
            Storage::Text(data) => data,
            Storage::Owned(_) | Storage::Shared(..) => &[],
        }
    }

    /// The elements.
    ///
    /// # Panics
    /// Where `T` is not the tensor's dtype, or the bytes are shared and not aligned to it. Results of a run always are.
    pub fn as_slice<T: Element>(&self) -> &[T] {
        assert_eq!(T::DTYPE, self.dtype, "the tensor holds another dtype");
        bytemuck::cast_slice(self.bytes())
    }

    /// One element, by its place in row-major order.
    ///
    /// # Panics
    /// Outside the tensor.
    pub fn get(&self, at: usize) -> Scalar {
        read(self.bytes(), at, self.dtype)
    }

    /// All elements in row-major order.
    pub fn scalars(&self) -> impl Iterator<Item = Scalar> + '_ {
        (0..if self.dtype == DType::Str { 0 } else { self.elems() }).map(|at| self.get(at))
    }

    /// All elements as f64.
    pub fn f64s(&self) -> Vec<f64> {
        match self.dtype {
            DType::F32 => self.bytes().as_chunks().0.iter().map(|x| f64::from(f32::from_le_bytes(*x))).collect(),
            DType::F64 => self.bytes().as_chunks().0.iter().map(|x| f64::from_le_bytes(*x)).collect(),
            _ => self.scalars().map(Scalar::as_f64).collect(),
        }
    }

    /// All elements as i64 (floats cut off, u64 wrapped).
    pub fn ints(&self) -> Vec<i64> {
        self.scalars().map(|s| s.as_int() as i64).collect()
    }

    /// The same elements under another shape with as many elements.
    ///
    /// # Errors
    /// Invalid where the number of elements differs.
    pub fn reshaped(&self, extents: &[i64]) -> Result<Self, OpError> {
        if checked_elems(extents)? != self.elems() {
            return Err(OpError::invalid(format!("{:?} elements don't fill shape {extents:?}", self.extents)));
        }
        Ok(Self { extents: extents.to_vec(), ..self.clone() })
    }

    /// Elements of this tensor under a new shape: for each place of it, in row-major order, which element it is; zero
    /// (or empty text) where there is none.
    ///
    /// # Errors
    /// As [`Tensor::from_scalars`].
    ///
    /// # Panics
    /// Where a place lies outside the tensor.
    pub fn picked(&self, extents: &[i64], places: impl IntoIterator<Item = Option<usize>>) -> Result<Self, OpError> {
        let elems = checked_elems(extents)?;
        let places = places.into_iter().take(elems);
        if let Storage::Text(texts) = &self.storage {
            return Self::from_strings(extents, places.map(|place| place.map_or_else(String::new, |at| texts[at].clone())).collect());
        }
        let size = self.dtype.size();
        let mut buffer = AlignedBytes::zeroed(elems * size)?;
        let from = self.bytes();
        for (to, place) in buffer.as_mut_slice().chunks_exact_mut(size.max(1)).zip(places) {
            if let Some(at) = place {
                to.copy_from_slice(&from[at * size..(at + 1) * size]);
            }
        }
        Self::from_bytes(self.dtype, extents, buffer)
    }

    /// The elements at `start + sum of index * strides`, counted in row-major order of this tensor.
    ///
    /// # Errors
    /// As [`Tensor::from_scalars`].
    ///
    /// # Panics
    /// Where that lies outside the tensor, or `extents` and `strides` differ in length.
    pub fn strided(&self, extents: &[i64], start: i64, strides: &[i64]) -> Result<Self, OpError> {
        let mut at = vec![0i64; extents.len()];
        let mut place = start;
        let places = std::iter::repeat_with(|| {
            let now = place;
            for axis in (0..extents.len()).rev() {
                at[axis] += 1;
                place += strides[axis];
                if at[axis] < extents[axis] {
                    break;
                }
                place -= strides[axis] * extents[axis];
                at[axis] = 0;
            }
            Some(now as usize)
        });
        self.picked(extents, places)
    }

    /// Each element converted to another dtype, see [`cast`].
    ///
    /// # Errors
    /// Unsupported if there is not enough memory.
    pub fn cast(&self, dtype: DType) -> Result<Self, OpError> {
        if dtype == self.dtype {
            return Ok(self.clone());
        }
        Self::from_scalars(dtype, &self.extents, self.scalars())
    }

    /// Where the bytes begin, for sharing checks.
    pub fn address(&self) -> usize {
        self.bytes().as_ptr() as usize
    }
}

impl PartialEq for Tensor {
    /// Same dtype, shape and bits.
    fn eq(&self, other: &Self) -> bool {
        self.dtype == other.dtype
            && self.extents == other.extents
            && ((self.address() == other.address() && self.dtype != DType::Str) || self.bytes() == other.bytes())
            && self.strings() == other.strings()
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({}", self.ty())?;
        if self.dtype == DType::Str {
            write!(f, " {:?}", self.strings())?;
        } else if self.elems() <= 16 {
            write!(f, " {:?}", self.f64s())?;
        }
        f.write_str(")")
    }
}

/// Distances between neighbours along each axis, in elements, row-major.
pub fn row_strides(extents: &[i64]) -> Vec<i64> {
    let mut strides = vec![1i64; extents.len()];
    for axis in (1..extents.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(extents[axis]);
    }
    strides
}

/// Reads one element out of a buffer's bytes.
#[inline(always)]
pub fn read(bytes: &[u8], at: usize, dtype: DType) -> Scalar {
    fn pick<T: Pod>(bytes: &[u8], at: usize) -> T {
        let size = size_of::<T>();
        bytemuck::pod_read_unaligned(&bytes[at * size..(at + 1) * size])
    }
    match dtype {
        DType::F32 => Scalar::Float(f64::from(pick::<f32>(bytes, at))),
        DType::F64 => Scalar::Float(pick(bytes, at)),
        DType::F16 => Scalar::Float(pick::<f16>(bytes, at).to_f64()),
        DType::BF16 => Scalar::Float(pick::<bf16>(bytes, at).to_f64()),
        DType::I8 | DType::I4 | DType::I2 => Scalar::Int(i128::from(pick::<i8>(bytes, at))),
        DType::I16 => Scalar::Int(i128::from(pick::<i16>(bytes, at))),
        DType::I32 => Scalar::Int(i128::from(pick::<i32>(bytes, at))),
        DType::I64 => Scalar::Int(i128::from(pick::<i64>(bytes, at))),
        DType::U8 | DType::U4 | DType::U2 => Scalar::Int(i128::from(bytes[at])),
        DType::U16 => Scalar::Int(i128::from(pick::<u16>(bytes, at))),
        DType::U32 => Scalar::Int(i128::from(pick::<u32>(bytes, at))),
        DType::U64 => Scalar::Int(i128::from(pick::<u64>(bytes, at))),
        DType::Bool => Scalar::Bool(bytes[at] != 0),
        DType::F8E4M3FN | DType::F8E4M3FNUZ | DType::F8E5M2 | DType::F8E5M2FNUZ | DType::F8E8M0 | DType::F4E2M1 => {
            Scalar::Float(crate::minifloat::decode(bytes[at], dtype))
        }
        DType::Str => Scalar::Int(0),
    }
}

/// Writes one element into a buffer's bytes, converted to the dtype.
#[inline(always)]
pub fn write(bytes: &mut [u8], at: usize, dtype: DType, value: Scalar) {
    let value = cast(value, dtype);
    let mut put = |source: &[u8]| {
        let size = source.len();
        bytes[at * size..(at + 1) * size].copy_from_slice(source);
    };
    match (dtype, dtype.class()) {
        (DType::F32, _) => put(&(value.as_f64() as f32).to_le_bytes()),
        (DType::F64, _) => put(&value.as_f64().to_le_bytes()),
        (DType::F16, _) => put(&f16::from_f64(value.as_f64()).to_le_bytes()),
        (DType::BF16, _) => put(&bf16::from_f64(value.as_f64()).to_le_bytes()),
        (_, Class::Float) => put(&[crate::minifloat::encode(value.as_f64(), dtype, true)]),
        (_, Class::Bool) => put(&[u8::from(value.as_bool())]),
        (_, Class::Signed | Class::Unsigned) => put(&value.as_int().to_le_bytes()[..dtype.size()]),
        (_, Class::Text) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIGNMENT, AlignedBytes, LARGE, LARGE_PAGE, Tensor};

    #[test]
    fn buffers_are_aligned_zero_and_as_long_as_asked_for() {
        for len in [0, 1, 64, LARGE - 1, LARGE, LARGE + 1, LARGE_PAGE, 3 * LARGE_PAGE - 1] {
            for made in [AlignedBytes::zeroed, AlignedBytes::brief] {
                let mut buffer = made(len).expect("memory");
                assert_eq!((buffer.as_slice().len(), buffer.as_slice().as_ptr() as usize % ALIGNMENT), (len, 0));
                assert!(buffer.as_slice().iter().all(|byte| *byte == 0));
                buffer.as_mut_slice().fill(7);
                assert_eq!(buffer.as_ref().last(), (len > 0).then_some(&7));
            }
        }
        for made in [AlignedBytes::zeroed, AlignedBytes::brief] {
            assert!(made(usize::MAX).is_err() && made(isize::MAX as usize).is_err());
        }
    }

    #[test]
    fn gathered_tensors_lie_together_and_are_the_same() {
        let large = Tensor::from_slice(&[LARGE as i64], &vec![3u8; LARGE]);
        let text = Tensor::from_strings(&[1], vec!["a".into()]).expect("one string");
        let before = [Tensor::from_ints(&[1, 2, 3]), large, text, Tensor::from_slice(&[0], &[0f32; 0]), Tensor::from_slice(&[], &[2.5f32])];
        let mut after = before.clone();
        Tensor::gather(&mut after).expect("memory");
        assert!(before.iter().eq(&after));
        assert_eq!(after[1].bytes().as_ptr(), before[1].bytes().as_ptr());
        assert_eq!(after[4].bytes().as_ptr() as usize - after[0].bytes().as_ptr() as usize, ALIGNMENT);
        assert!(Tensor::gather(&mut []).is_ok());
    }
}
