//! ONNX tensors as they lie in a file, inline or beside the model.
//!
//! In: a wire tensor and the model's folder. Out: a [`Tensor`], over the file's own bytes where they are
//! aligned. Every size is checked against the bytes there are before anything is allocated.

use std::path::{Component, Path};
use std::sync::Arc;

use bytes::Bytes;
use frit_ir::tensor::{Pages, checked_elems};
use frit_ir::{DType, OpError, Scalar, Tensor};
use frit_proto::onnx as wire;

use crate::import::Mapped;

/// The dtype that ONNX numbers so.
pub(super) fn dtype(number: i32) -> Result<DType, OpError> {
    Ok(match number {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        8 => DType::Str,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        16 => DType::BF16,
        17 => DType::F8E4M3FN,
        18 => DType::F8E4M3FNUZ,
        19 => DType::F8E5M2,
        20 => DType::F8E5M2FNUZ,
        21 => DType::U4,
        22 => DType::I4,
        23 => DType::F4E2M1,
        24 => DType::F8E8M0,
        25 => DType::U2,
        26 => DType::I2,
        0 => return Err(OpError::invalid("an element type is missing")),
        14 | 15 => return Err(OpError::unsupported("complex numbers are not supported")),
        _ => return Err(OpError::unsupported(format!("element type {number} is not supported"))),
    })
}

/// Decodes a tensor.
///
/// # Errors
/// Invalid where sizes don't fit or external data lies outside the folder; unsupported dtypes.
pub(super) fn decode(tensor: &wire::Tensor, folder: Option<&Path>) -> Result<Tensor, OpError> {
    let dtype = dtype(tensor.data_type())?;
    let elems = checked_elems(&tensor.dims)?;
    if dtype == DType::Str {
        let strings = tensor.string_data.iter().map(|s| String::from_utf8(s.clone()).map_err(|_| OpError::invalid("text that is not UTF-8"))).collect::<Result<Vec<_>, _>>()?;
        return Tensor::from_strings(&tensor.dims, strings);
    }
    if tensor.data_location() == 1 {
        let (bytes, pages) = external(tensor, folder, packed_len(elems, dtype))?;
        return Ok(raw(dtype, &tensor.dims, elems, bytes)?.with_pages(pages));
    }
    if let Some(bytes) = &tensor.raw_data {
        return raw(dtype, &tensor.dims, elems, bytes.clone());
    }
    let count = |len: usize, expected: usize| {
        if len == expected { Ok(()) } else { Err(OpError::invalid(format!("a tensor of shape {:?} holds {len} numbers, not {expected}", tensor.dims))) }
    };
    match dtype {
        DType::F32 => {
            count(tensor.float_data.len(), elems)?;
            Ok(Tensor::from_slice(&tensor.dims, &tensor.float_data))
        }
        DType::F64 => {
            count(tensor.double_data.len(), elems)?;
            Ok(Tensor::from_slice(&tensor.dims, &tensor.double_data))
        }
        DType::I64 => {
            count(tensor.int64_data.len(), elems)?;
            Ok(Tensor::from_slice(&tensor.dims, &tensor.int64_data))
        }
        DType::U64 | DType::U32 => {
            count(tensor.uint64_data.len(), elems)?;
            Tensor::from_scalars(dtype, &tensor.dims, tensor.uint64_data.iter().map(|n| Scalar::Int(i128::from(*n))))
        }
        DType::I4 | DType::U4 | DType::I2 | DType::U2 | DType::F4E2M1 => {
            let bytes: Vec<u8> = tensor.int32_data.iter().map(|n| *n as u8).collect();
            raw(dtype, &tensor.dims, elems, Bytes::from(bytes))
        }
        _ => {
            // int32_data holds values of the narrow integers and bit patterns of the narrow floats.
            count(tensor.int32_data.len(), elems)?;
            let size = dtype.size();
            let bytes: Vec<u8> = tensor.int32_data.iter().flat_map(|n| n.to_le_bytes().into_iter().take(size)).collect();
            Tensor::from_shared(dtype, &tensor.dims, Bytes::from(bytes))
        }
    }
}

/// Bits of one element in a file.
fn bits(dtype: DType) -> usize {
    match dtype {
        DType::I4 | DType::U4 | DType::F4E2M1 => 4,
        DType::I2 | DType::U2 => 2,
        _ => dtype.size() * 8,
    }
}

fn packed_len(elems: usize, dtype: DType) -> usize {
    elems.saturating_mul(bits(dtype)).div_ceil(8)
}

fn raw(dtype: DType, extents: &[i64], elems: usize, bytes: Bytes) -> Result<Tensor, OpError> {
    let expected = packed_len(elems, dtype);
    if bytes.len() != expected {
        return Err(OpError::invalid(format!("a {dtype} tensor of shape {extents:?} takes {expected} bytes, and {} are there", bytes.len())));
    }
    let width = bits(dtype);
    if width >= 8 {
        return Tensor::from_shared(dtype, extents, bytes);
    }
    // Narrow elements lie several to a byte, the first in the low bits; in memory each has its own.
    let per_byte = 8 / width;
    let mask = (1u8 << width) - 1;
    let signed = matches!(dtype, DType::I4 | DType::I2);
    let spread: Vec<u8> = (0..elems)
        .map(|at| {
            let low = bytes[at / per_byte] >> (at % per_byte * width) & mask;
            if signed && low >> (width - 1) == 1 { low | !mask } else { low }
        })
        .collect();
    Tensor::from_shared(dtype, extents, Bytes::from(spread))
}

/// The bytes of external data, mapped, and their pages.
fn external(tensor: &wire::Tensor, folder: Option<&Path>, expected: usize) -> Result<(Bytes, Option<Arc<dyn Pages>>), OpError> {
    let key = |name: &str| tensor.external_data.iter().find(|entry| entry.key() == name).map(|entry| entry.value());
    let location = key("location").ok_or_else(|| OpError::invalid("external data without a location"))?;
    let number = |name: &str| key(name).map(|text| text.parse::<usize>().map_err(|_| OpError::invalid(format!("{name} '{text}' of external data is not a number")))).transpose();
    let folder = folder.ok_or_else(|| OpError::invalid("external data of a model that has no folder"))?;
    let leaves = |why: &str| OpError::invalid(format!("external data '{location}' {why}")).help("external data must lie in the model's folder");
    let relative = Path::new(location);
    if relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(leaves("leaves the model's folder"));
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let real = folder.join(relative).canonicalize().map_err(|error| leaves(&format!("can't be read: {error}")))?;
    let home = folder.canonicalize().map_err(|error| leaves(&format!("can't be read: {error}")))?;
    if !real.starts_with(&home) {
        return Err(leaves("leaves the model's folder through a link"));
    }
    if expected == 0 {
        return Ok((Bytes::new(), None));
    }
    let Mapped { bytes: all, pages } = crate::import::map(&real).map_err(|error| leaves(&format!("can't be read: {}", error.message)))?;
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    let end = offset.checked_add(length.unwrap_or(all.len().saturating_sub(offset))).filter(|end| *end <= all.len());
    match end {
        Some(end) if offset <= end => Ok((all.slice(offset..end), Some(pages))),
        _ => Err(leaves(&format!("ends before byte {}", offset.saturating_add(expected)))),
    }
}

/// Decodes a sparse tensor to a dense one.
///
/// # Errors
/// As [`decode`]; invalid where an index lies outside the shape.
pub(super) fn decode_sparse(tensor: &wire::SparseTensor, folder: Option<&Path>) -> Result<Tensor, OpError> {
    let (Some(values), Some(indices)) = (&tensor.values, &tensor.indices) else { return Err(OpError::invalid("a sparse tensor without values or indices")) };
    let (values, indices) = (decode(values, folder)?, decode(indices, folder)?);
    let elems = checked_elems(&tensor.dims)?;
    let count = values.elems();
    // A dense copy must stay in proportion to what the file holds.
    if elems > (count.max(1) << 16).max(1 << 24) {
        return Err(OpError::unsupported(format!("a sparse tensor of shape {:?} with {count} values is too sparse to be made dense", tensor.dims)));
    }
    let mut dense = vec![Scalar::zero(values.dtype()); elems];
    let index = indices.ints();
    let rank = tensor.dims.len();
    if index.len() != count && index.len() != count * rank {
        return Err(OpError::invalid("a sparse tensor with another number of indices than values"));
    }
    for at in 0..count {
        let flat = if indices.rank() == 2 { index[at * rank..(at + 1) * rank].iter().zip(&tensor.dims).fold(0i64, |flat, (i, n)| flat.wrapping_mul(*n).wrapping_add(*i)) } else { index[at] };
        *usize::try_from(flat).ok().and_then(|flat| dense.get_mut(flat)).ok_or_else(|| OpError::invalid("an index of a sparse tensor lies outside its shape"))? = values.get(at);
    }
    Tensor::from_scalars(values.dtype(), &tensor.dims, dense)
}
