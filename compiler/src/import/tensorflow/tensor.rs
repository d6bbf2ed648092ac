//! Tensors and types as TensorFlow's messages hold them.
//!
//! In: wire tensors, shapes, numbers of dtypes. Out: a [`Tensor`], over the file's own bytes where it holds them; types. Every size is checked
//! against what is there before anything is allocated. Must not know: graphs.

use std::sync::Arc;

use bytes::Bytes;
use frit_ir::tensor::{Pages, checked_elems};
use frit_ir::{DType, Dim, OpError, Scalar, Shape, Tensor};
use frit_proto::tensorflow as wire;

/// The number of the dtype of resource handles.
pub(super) const RESOURCE: i32 = 20;
/// The number of the dtype of variants: lists and other values that are no tensors.
pub(super) const VARIANT: i32 = 21;

/// The dtype that TensorFlow numbers so. References to variables have numbers of their own, which are larger by 100.
pub(super) fn dtype(number: i32) -> Result<DType, OpError> {
    Ok(match if number > 100 { number - 100 } else { number } {
        1 => DType::F32,
        2 => DType::F64,
        3 => DType::I32,
        4 => DType::U8,
        5 => DType::I16,
        6 => DType::I8,
        7 => DType::Str,
        9 => DType::I64,
        10 => DType::Bool,
        14 => DType::BF16,
        17 => DType::U16,
        19 => DType::F16,
        22 => DType::U32,
        23 => DType::U64,
        24 => DType::F8E5M2,
        25 => DType::F8E4M3FN,
        0 => return Err(OpError::invalid("an element type is missing")),
        8 | 18 => return Err(OpError::unsupported("complex numbers are not supported")),
        RESOURCE => return Err(OpError::unsupported("a resource stands where a tensor is needed")),
        VARIANT => return Err(OpError::unsupported("a variant stands where a tensor is needed")),
        other => return Err(OpError::unsupported(format!("element type {other} is not supported"))),
    })
}

/// A shape whose open extents are named after `name` and their axis.
pub(super) fn shape(shape: Option<&wire::Shape>, name: &str) -> Shape {
    match shape {
        Some(shape) if !shape.unknown_rank => Shape::Ranked(shape.dim.iter().enumerate().map(|(axis, dim)| if dim.size >= 0 { Dim::Known(dim.size) } else { Dim::symbol(format!("{name}.{axis}")) }).collect()),
        _ => Shape::Unranked,
    }
}

/// Extents of a shape that leaves nothing open.
pub(super) fn extents(shape: Option<&wire::Shape>) -> Result<Vec<i64>, OpError> {
    let Some(shape) = shape else { return Ok(Vec::new()) };
    if shape.unknown_rank || shape.dim.iter().any(|dim| dim.size < 0) {
        return Err(OpError::invalid("a tensor's shape is not known"));
    }
    Ok(shape.dim.iter().map(|dim| dim.size).collect())
}

/// A tensor, or one element of it that stands for all.
pub(super) enum Decoded {
    /// The tensor.
    Whole(Tensor),
    /// One element, and the extents that it is to be spread to.
    Spread(Tensor, Vec<i64>),
}

/// Tensors are filled with copies of one number up to this many elements; beyond, an op does it.
const MAX_FILLED: usize = 1024;

/// Decodes a tensor. Fewer numbers than elements stand for copies of the last one, none for zeros.
///
/// # Errors
/// Invalid where sizes don't fit; unsupported dtypes.
pub(super) fn decode(tensor: &wire::Tensor, pages: Option<&Arc<dyn Pages>>) -> Result<Decoded, OpError> {
    let dtype = dtype(tensor.dtype)?;
    let extents = extents(tensor.tensor_shape.as_ref())?;
    let elems = checked_elems(&extents)?;
    if dtype == DType::Str {
        let mut texts = tensor.string_val.iter().map(|text| String::from_utf8(text.clone()).map_err(|_| OpError::unsupported("text that is not UTF-8 is not supported"))).collect::<Result<Vec<_>, _>>()?;
        if texts.len() < elems {
            if elems > MAX_FILLED {
                return Err(OpError::unsupported(format!("a text tensor of {elems} elements that are not all given is not supported")));
            }
            let last = texts.last().cloned().unwrap_or_default();
            texts.resize(elems, last);
        }
        return Tensor::from_strings(&extents, texts).map(Decoded::Whole);
    }
    if !tensor.tensor_content.is_empty() {
        return whole(dtype, &extents, elems, tensor.tensor_content.clone(), pages).map(Decoded::Whole);
    }
    let ints = |values: &mut dyn Iterator<Item = i128>| values.map(Scalar::Int).collect::<Vec<_>>();
    let floats = |values: &mut dyn Iterator<Item = f64>| values.map(Scalar::Float).collect::<Vec<_>>();
    let mut scalars = match dtype {
        DType::F32 => floats(&mut tensor.float_val.iter().map(|x| f64::from(*x))),
        DType::F64 => floats(&mut tensor.double_val.iter().copied()),
        DType::F16 => floats(&mut tensor.half_val.iter().map(|bits| half::f16::from_bits(*bits as u16).to_f64())),
        DType::BF16 => floats(&mut tensor.half_val.iter().map(|bits| half::bf16::from_bits(*bits as u16).to_f64())),
        DType::I64 => ints(&mut tensor.int64_val.iter().map(|n| i128::from(*n))),
        DType::U32 => ints(&mut tensor.uint32_val.iter().map(|n| i128::from(*n))),
        DType::U64 => ints(&mut tensor.uint64_val.iter().map(|n| i128::from(*n))),
        DType::Bool => tensor.bool_val.iter().map(|b| Scalar::Bool(*b)).collect(),
        DType::F8E5M2 | DType::F8E4M3FN => {
            let bytes = Bytes::from(tensor.float8_val.clone());
            let count = bytes.len() as i64;
            Tensor::from_shared(dtype, &[count], bytes)?.scalars().collect()
        }
        _ => ints(&mut tensor.int_val.iter().map(|n| i128::from(*n))),
    };
    if scalars.len() > elems {
        return Err(OpError::invalid(format!("a tensor of shape {extents:?} holds {} numbers, not {elems}", scalars.len())));
    }
    if scalars.len() < elems {
        let last = scalars.last().copied().unwrap_or(Scalar::zero(dtype));
        if elems > MAX_FILLED && scalars.len() <= 1 {
            return Ok(Decoded::Spread(Tensor::scalar(dtype, last), extents));
        }
        if elems > MAX_FILLED.max(scalars.len().saturating_mul(4)) {
            return Err(OpError::unsupported(format!("a tensor of shape {extents:?} of which only the first {} numbers are given is not supported", scalars.len())));
        }
        scalars.resize(elems, last);
    }
    Tensor::from_scalars(dtype, &extents, scalars).map(Decoded::Whole)
}

/// A tensor over bytes in the order of elements.
///
/// # Errors
/// Invalid where their number doesn't fit.
pub(super) fn whole(dtype: DType, extents: &[i64], elems: usize, bytes: Bytes, pages: Option<&Arc<dyn Pages>>) -> Result<Tensor, OpError> {
    let expected = elems.saturating_mul(dtype.size());
    if bytes.len() != expected {
        return Err(OpError::invalid(format!("a {dtype} tensor of shape {extents:?} takes {expected} bytes, and {} are there", bytes.len())));
    }
    Ok(Tensor::from_shared(dtype, extents, bytes)?.with_pages(pages.cloned()))
}
