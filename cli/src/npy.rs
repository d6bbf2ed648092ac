//! NumPy's files: `.npy` holds an array, `.npz` is a zip of them.
//!
//! In: bytes of such files, or tensors. Out: the other. Must not know: models.
//!
//! Formats: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. Dtypes that NumPy lacks are written
//! as the nearest that holds all their values: `bf16` and the narrow floats as `float32`, integers narrower than a byte
//! as `int8` or `uint8`. They are read from raw bytes (`V1`, `V2`, which is how `ml_dtypes` saves them) where the model
//! asks for them.

use std::io::{Cursor, Read, Write};

use frit_ir::tensor::{AlignedBytes, checked_elems};
use frit_ir::{DType, OpError, Tensor};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

const MAGIC: &[u8] = b"\x93NUMPY";

fn invalid(why: impl Into<String>) -> OpError {
    OpError::invalid(why)
}

/// Reads an `.npy` file. `expected` tells what raw bytes are.
///
/// # Errors
/// Invalid where it is not a whole file of this kind; unsupported dtypes.
pub(crate) fn read(bytes: &[u8], expected: Option<DType>) -> Result<Tensor, OpError> {
    let (header, data) = parts(bytes).ok_or_else(|| invalid("not a whole .npy file").help("save the array with numpy.save"))?;
    let elems = checked_elems(&header.shape)?;
    let extents: Vec<i64> = if header.fortran { header.shape.iter().rev().copied().collect() } else { header.shape.clone() };

    let (order, kind, width) = header.descr().ok_or_else(|| unknown(&header.descr))?;
    let size = elems.checked_mul(if kind == 'U' { width.saturating_mul(4) } else { width });
    let data = size.and_then(|size| data.get(..size)).ok_or_else(|| invalid(format!("an array of shape {:?} is cut off", header.shape)))?;
    let tensor = if matches!(kind, 'S' | 'U') {
        let strings = (0..elems).map(|at| text(kind, order, &data[data.len() / elems * at..][..data.len() / elems])).collect();
        Tensor::from_strings(&extents, strings)?
    } else {
        let dtype = dtype(kind, width).or_else(|| expected.filter(|dtype| kind == 'V' && dtype.size() == width)).ok_or_else(|| unknown(&header.descr))?;
        let mut buffer = AlignedBytes::zeroed(data.len())?;
        buffer.as_mut_slice().copy_from_slice(data);
        if order == '>' {
            buffer.as_mut_slice().chunks_exact_mut(width).for_each(<[u8]>::reverse);
        }
        if dtype == DType::Bool {
            buffer.as_mut_slice().iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        }
        Tensor::from_bytes(dtype, &extents, buffer)?
    };
    if header.fortran { transposed(&tensor) } else { Ok(tensor) }
}

/// The shape of the array in an `.npy` file, if it is one.
pub(crate) fn shape(bytes: &[u8]) -> Option<Vec<i64>> {
    Some(parts(bytes)?.0.shape)
}

/// The dtype of the array in an `.npy` file, if it is one and NumPy has that dtype.
pub(crate) fn element(bytes: &[u8]) -> Option<DType> {
    let (_, kind, width) = parts(bytes)?.0.descr()?;
    dtype(kind, width)
}

/// The header and the data of an `.npy` file.
fn parts(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let (version, rest) = bytes.strip_prefix(MAGIC)?.split_at_checked(2)?;
    let (length, rest) = rest.split_at_checked(if version[0] == 1 { 2 } else { 4 })?;
    let length = length.iter().rev().fold(0usize, |n, byte| n << 8 | usize::from(*byte));
    let (header, data) = rest.split_at_checked(length)?;
    Some((Header::parse(std::str::from_utf8(header).ok()?)?, data))
}

fn unknown(descr: &str) -> OpError {
    OpError::unsupported(format!("arrays of NumPy dtype '{descr}'")).help("convert the array with .astype before saving it")
}

fn dtype(kind: char, width: usize) -> Option<DType> {
    Some(match (kind, width) {
        ('f', 2) => DType::F16,
        ('f', 4) => DType::F32,
        ('f', 8) => DType::F64,
        ('i', 1) => DType::I8,
        ('i', 2) => DType::I16,
        ('i', 4) => DType::I32,
        ('i', 8) => DType::I64,
        ('u', 1) => DType::U8,
        ('u', 2) => DType::U16,
        ('u', 4) => DType::U32,
        ('u', 8) => DType::U64,
        ('b', 1) => DType::Bool,
        _ => return None,
    })
}

/// A string of fixed length, without the zeros behind it.
fn text(kind: char, order: char, bytes: &[u8]) -> String {
    if kind == 'S' {
        return String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    }
    let code = |c: &[u8]| if order == '>' { u32::from_be_bytes([c[0], c[1], c[2], c[3]]) } else { u32::from_le_bytes([c[0], c[1], c[2], c[3]]) };
    let text: String = bytes.chunks_exact(4).map(|c| char::from_u32(code(c)).unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    text.trim_end_matches('\0').to_owned()
}

/// The axes in the opposite order.
fn transposed(tensor: &Tensor) -> Result<Tensor, OpError> {
    let extents: Vec<i64> = tensor.extents().iter().rev().copied().collect();
    let elems = tensor.elems();
    // Walks the result in row-major order: its last axis is the tensor's first, whose stride is the largest.
    let mut strides: Vec<usize> = Vec::with_capacity(extents.len());
    let mut stride = 1;
    for extent in &extents {
        strides.push(stride);
        stride *= *extent as usize;
    }
    let mut index = vec![0; extents.len()];
    let mut from = Vec::with_capacity(elems);
    for _ in 0..elems {
        from.push(index.iter().zip(&strides).map(|(i, stride)| i * stride).sum::<usize>());
        for axis in (0..extents.len()).rev() {
            index[axis] += 1;
            if index[axis] < extents[axis] as usize {
                break;
            }
            index[axis] = 0;
        }
    }
    if tensor.dtype() == DType::Str {
        return Tensor::from_strings(&extents, from.iter().map(|at| tensor.strings()[*at].clone()).collect());
    }
    let size = tensor.dtype().size();
    let mut buffer = AlignedBytes::zeroed(elems * size)?;
    for (to, at) in buffer.as_mut_slice().chunks_exact_mut(size).zip(from) {
        to.copy_from_slice(&tensor.bytes()[at * size..][..size]);
    }
    Tensor::from_bytes(tensor.dtype(), &extents, buffer)
}

/// The header of an `.npy` file: a Python dictionary of three entries.
struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<i64>,
}

impl Header {
    fn parse(text: &str) -> Option<Self> {
        let after = |key: &str| {
            let at = text.find(&format!("'{key}'"))? + key.len() + 2;
            text[at..].trim_start().strip_prefix(':').map(str::trim_start)
        };
        let descr = after("descr")?.strip_prefix('\'')?.split('\'').next()?.to_owned();
        let fortran = after("fortran_order")?.starts_with("True");
        let shape = after("shape")?.strip_prefix('(')?.split(')').next()?;
        let shape = shape.split(',').map(str::trim).filter(|n| !n.is_empty()).map(|n| n.parse().ok()).collect::<Option<_>>()?;
        Some(Self { descr, fortran, shape })
    }

    /// Byte order, kind and width of the dtype.
    fn descr(&self) -> Option<(char, char, usize)> {
        let mut chars = self.descr.chars();
        let (order, kind) = (chars.next()?, chars.next()?);
        let width = chars.as_str().parse().ok().filter(|width| *width > 0)?;
        matches!(order, '<' | '>' | '|' | '=').then_some((order, kind, width))
    }
}

/// Writes a tensor as an `.npy` file.
pub(crate) fn write(tensor: &Tensor) -> Result<Vec<u8>, OpError> {
    let wide = match tensor.dtype() {
        DType::I4 | DType::I2 => tensor.cast(DType::I8)?,
        DType::U4 | DType::U2 => tensor.cast(DType::U8)?,
        DType::F32 | DType::F64 | DType::F16 => tensor.clone(),
        dtype if dtype.is_float() => tensor.cast(DType::F32)?,
        _ => tensor.clone(),
    };
    let (descr, data) = if tensor.dtype() == DType::Str {
        let width = tensor.strings().iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
        let mut data = Vec::with_capacity(tensor.strings().len() * width * 4);
        for text in tensor.strings() {
            for c in text.chars().chain(std::iter::repeat('\0')).take(width) {
                data.extend_from_slice(&(c as u32).to_le_bytes());
            }
        }
        (format!("<U{width}"), std::borrow::Cow::Owned(data))
    } else {
        let size = wide.dtype().size();
        let kind = match wide.dtype().class() {
            frit_ir::dtype::Class::Float => 'f',
            frit_ir::dtype::Class::Signed => 'i',
            frit_ir::dtype::Class::Unsigned => 'u',
            frit_ir::dtype::Class::Bool => 'b',
            frit_ir::dtype::Class::Text => return Err(OpError::bug("text among numbers")),
        };
        (format!("{}{kind}{size}", if size == 1 { '|' } else { '<' }), wide.bytes().into())
    };
    let extents: String = tensor.extents().iter().map(|n| format!("{n},")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({extents}), }}");
    // The data begins at a multiple of 64; the header's length takes four bytes where two are too few.
    let long = header.len() + 64 > usize::from(u16::MAX);
    let prefix = MAGIC.len() + if long { 6 } else { 4 };
    while !(prefix + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = Vec::with_capacity(prefix + header.len() + data.len());
    bytes.extend_from_slice(MAGIC);
    if long {
        bytes.extend_from_slice(&[2, 0]);
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
    } else {
        bytes.extend_from_slice(&[1, 0]);
        bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    }
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(&data);
    Ok(bytes)
}

/// The arrays of an `.npz` file as `.npy` files, in the file's order.
///
/// # Errors
/// Invalid where it is not a whole file of this kind.
pub(crate) fn unzip(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, OpError> {
    let whole = |error: &dyn std::fmt::Display| invalid(format!("not a whole .npz file: {error}")).help("save the arrays with numpy.savez");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| whole(&error))?;
    let mut arrays = Vec::new();
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).map_err(|error| whole(&error))?;
        let name = entry.name().map_err(|error| whole(&error))?.into_owned();
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).map_err(|error| whole(&error))?;
        arrays.push((name, data));
    }
    Ok(arrays)
}

/// Writes tensors as an `.npz` file, in this order.
///
/// # Errors
/// Unsupported where it does not fit into memory; invalid where two have one name.
pub(crate) fn zip<'t>(tensors: impl IntoIterator<Item = (&'t str, &'t Tensor)>) -> Result<Vec<u8>, OpError> {
    let unfit = |error: &dyn std::fmt::Display| invalid(format!("the outputs can't be put into an .npz file: {error}"));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, tensor) in tensors {
        let data = write(tensor)?;
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(data.len() >= u32::MAX as usize / 2);
        archive.start_file(format!("{name}.npy"), options).map_err(|error| unfit(&error))?;
        archive.write_all(&data).map_err(|error| unfit(&error))?;
    }
    Ok(archive.finish().map_err(|error| unfit(&error))?.into_inner())
}

#[cfg(test)]
mod tests {
    use frit_ir::{DType, Tensor};

    use super::{read, unzip, write, zip};

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn tensors_come_back() {
        let tensors = [
            Tensor::from_slice(&[2, 3], &[1f32, -2.0, 3.5, f32::INFINITY, 0.0, -0.0]),
            Tensor::from_ints(&[i64::MIN, 7]),
            Tensor::from_bools(&[3], &[true, false, true]),
            Tensor::from_slice::<u8>(&[0, 4], &[]),
            Tensor::from_slice(&[], &[2.5f64]),
            Tensor::from_slice(&[1], &[half::f16::from_f32(0.1)]),
            Tensor::from_strings(&[2], vec!["häßlich".to_owned(), String::new()]).expect("two strings"),
        ];
        for tensor in &tensors {
            let bytes = write(tensor).expect("small");
            assert_eq!(read(&bytes, None).expect("whole"), *tensor);
            assert!(write(tensor).expect("small").len() >= 64);
        }
        let names: Vec<String> = (0..tensors.len()).map(|n| format!("layer/{n}:0")).collect();
        let bytes = zip(names.iter().map(String::as_str).zip(&tensors)).expect("small");
        let back = unzip(&bytes).expect("whole");
        assert_eq!(back.iter().map(|(name, _)| name).collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
        assert!(back.iter().zip(&tensors).all(|((_, data), tensor)| read(data, None).expect("whole") == *tensor));
    }

    #[test]
    fn dtypes_that_numpy_lacks_are_widened_and_read_raw() {
        let narrow = Tensor::from_f64s(DType::BF16, &[2], &[1.5, -3.0]).expect("small");
        assert_eq!(read(&write(&narrow).expect("small"), None).expect("whole"), Tensor::from_slice(&[2], &[1.5f32, -3.0]));
        let raw = file("{'descr': '|V2', 'fortran_order': False, 'shape': (2,), }", narrow.bytes());
        assert_eq!(read(&raw, Some(DType::BF16)).expect("whole"), narrow);
        assert!(read(&raw, None).is_err());
    }

    #[test]
    fn column_major_and_big_endian_arrays_are_turned() {
        let data: Vec<u8> = [1i16, 4, 2, 5, 3, 6].iter().flat_map(|n| n.to_be_bytes()).collect();
        let tensor = read(&file("{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }", &data), None).expect("whole");
        assert_eq!(tensor, Tensor::from_slice(&[2, 3], &[1i16, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn what_is_not_an_array_is_refused() {
        for header in ["", "{}", "{'descr': '<f4'", "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999,), }", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "{'descr': '<U99999999999999', 'fortran_order': False, 'shape': (2,), }"] {
            assert!(read(&file(header, &[0; 4]), None).is_err(), "{header}");
        }
        let whole = write(&Tensor::from_ints(&[1, 2])).expect("small");
        assert!((0..whole.len()).all(|end| read(&whole[..end], None).is_err()));
        assert!(unzip(b"PK\x03\x04").is_err());
    }
}
