//! Tensors as PyTorch keeps them: a storage, and where in it the elements lie.
//!
//! In: archives and pickles. Out: [`View`]s of storages, which become values of a graph over the file's own bytes. What lies in
//! another order there than row by row is re-ordered by ops of the graph where they can say it. Must not know: what the
//! tensors are for.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::Bytes;
use frit_ir::ops::{broadcast::Broadcast, transpose::Transpose};
use frit_ir::tensor::{AlignedBytes, checked_elems, row_strides};
use frit_ir::{Builder, DType, OpError, Tensor, ValueId};

use crate::import::archive::{Archive, Member};
use super::aten::Context;
use super::pickle::{Id, Node, Pickle};
use super::value::Value;

/// The dtype that PyTorch numbers so (`c10::ScalarType`).
///
/// # Errors
/// Unsupported where Frit has no such dtype.
pub(crate) fn dtype(number: i64) -> Result<DType, OpError> {
    Ok(match number {
        0 => DType::U8,
        1 => DType::I8,
        2 => DType::I16,
        3 => DType::I32,
        4 => DType::I64,
        5 => DType::F16,
        6 => DType::F32,
        7 => DType::F64,
        8..=10 => return Err(OpError::unsupported("complex numbers are not supported here")),
        11 => DType::Bool,
        12..=14 | 16 | 17 => return Err(OpError::unsupported("quantised tensors are not supported here")),
        15 => DType::BF16,
        23 => DType::F8E5M2,
        24 => DType::F8E4M3FN,
        25 => DType::F8E5M2FNUZ,
        26 => DType::F8E4M3FNUZ,
        27 => DType::U16,
        28 => DType::U32,
        29 => DType::U64,
        _ => return Err(OpError::unsupported(format!("dtype number {number} is not supported"))),
    })
}

/// The dtype of a storage class (`FloatStorage`) or of a dtype's own name (`float32`), of the parts if numbers are complex, and whether they are.
fn named(name: &str) -> Result<(DType, bool), OpError> {
    let real = match name.strip_prefix("torch.").unwrap_or(name) {
        "ByteStorage" | "uint8" | "QUInt8Storage" => DType::U8,
        "CharStorage" | "int8" | "QInt8Storage" => DType::I8,
        "ShortStorage" | "int16" => DType::I16,
        "IntStorage" | "int32" | "QInt32Storage" => DType::I32,
        "LongStorage" | "int64" => DType::I64,
        "HalfStorage" | "float16" => DType::F16,
        "FloatStorage" | "float32" => DType::F32,
        "DoubleStorage" | "float64" => DType::F64,
        "BoolStorage" | "bool" => DType::Bool,
        "BFloat16Storage" | "bfloat16" => DType::BF16,
        "Float8_e5m2Storage" | "float8_e5m2" => DType::F8E5M2,
        "Float8_e4m3fnStorage" | "float8_e4m3fn" => DType::F8E4M3FN,
        "Float8_e5m2fnuzStorage" | "float8_e5m2fnuz" => DType::F8E5M2FNUZ,
        "Float8_e4m3fnuzStorage" | "float8_e4m3fnuz" => DType::F8E4M3FNUZ,
        "UInt16Storage" | "uint16" => DType::U16,
        "UInt32Storage" | "uint32" => DType::U32,
        "UInt64Storage" | "uint64" => DType::U64,
        "ComplexFloatStorage" | "complex64" => return Ok((DType::F32, true)),
        "ComplexDoubleStorage" | "complex128" => return Ok((DType::F64, true)),
        other => return Err(OpError::unsupported(format!("elements of type '{other}' are not supported"))),
    };
    Ok((real, false))
}

/// A tensor: elements of a storage. Views of one storage share its bytes.
#[derive(Clone)]
pub(crate) struct View {
    /// The storage.
    pub(crate) storage: Member,
    /// Element type; of complex numbers that of their parts, which follow each other.
    pub(crate) dtype: DType,
    /// Are the elements complex?
    pub(crate) complex: bool,
    /// Extents.
    pub(crate) sizes: Vec<i64>,
    /// Steps along the axes, in elements.
    pub(crate) strides: Vec<i64>,
    /// The first element.
    pub(crate) offset: i64,
    /// Are numbers in the storage big-endian?
    pub(crate) big_endian: bool,
}

impl View {
    /// The tensor as what a program computes with, its values named.
    ///
    /// # Errors
    /// As [`View::value`].
    pub(crate) fn tensor(&self, context: &mut Context, name: &str) -> Result<Value, OpError> {
        let named = |context: &mut Context, view: &Self, name: String| {
            let value = view.value(&mut context.builder)?;
            if context.builder.graph().value(value).name.is_none() {
                context.builder.name(value, name);
            }
            Ok::<_, OpError>(context.aliases.fresh(value))
        };
        if !self.complex {
            return named(context, self, name.to_owned()).map(Value::Tensor);
        }
        // Each part is every other number.
        let twice = |n: &i64| n.checked_mul(2).ok_or_else(|| OpError::invalid(format!("a tensor of shape {:?} has strides {:?}", self.sizes, self.strides)));
        let strides = self.strides.iter().map(twice).collect::<Result<Vec<_>, _>>()?;
        let real = Self { strides, offset: twice(&self.offset)?, complex: false, ..self.clone() };
        let imaginary = Self { offset: real.offset.saturating_add(1), ..real.clone() };
        Ok(Value::Complex(named(context, &real, format!("{name}.real"))?, named(context, &imaginary, format!("{name}.imag"))?))
    }

    /// The tensor as a value: a constant over the storage's bytes, with the ops that put its axes in order and repeat it along those of
    /// stride 0.
    ///
    /// # Errors
    /// Invalid where elements lie outside the storage; unsupported where they overlap otherwise.
    pub(crate) fn value(&self, builder: &mut Builder) -> Result<ValueId, OpError> {
        let (dense, perm) = self.dense()?;
        let mut value = builder.constant(dense);
        if !perm.iter().copied().eq(0..perm.len()) {
            value = builder.apply(Transpose { perm }, &[value])?;
        }
        if self.sizes != builder.extents(value)? {
            value = builder.apply(Broadcast { extents: self.sizes.clone() }, &[value])?;
        }
        Ok(value)
    }

    /// A tensor whose axes are those of the view in another order, those that only repeat it with extent 1; and for each axis of the
    /// view, which one of the tensor's it is.
    fn dense(&self) -> Result<(Tensor, Vec<usize>), OpError> {
        let rank = self.sizes.len();
        if self.strides.len() != rank {
            return Err(OpError::invalid(format!("a tensor of shape {:?} has strides {:?}", self.sizes, self.strides)));
        }
        checked_elems(&self.sizes)?;
        let repeats = |k: usize| self.strides[k] == 0 && self.sizes[k] > 1;
        let extents: Vec<i64> = (0..rank).map(|k| if repeats(k) { 1 } else { self.sizes[k] }).collect();
        let elems = checked_elems(&extents)?;
        let bytes = self.within(&extents, elems)?;
        // The axes from the one with the widest step to that with the narrowest; axes of extent 1 stay beside their neighbours.
        let mut order: Vec<usize> = (0..rank).collect();
        if elems > 0 && !self.rows(&extents, &order) {
            order.sort_by_key(|k| (std::cmp::Reverse(if extents[*k] == 1 { i64::MAX } else { self.strides[*k] }), *k));
        }
        let sorted: Vec<i64> = order.iter().map(|k| extents[*k]).collect();
        let mut perm = vec![0; rank];
        for (at, axis) in order.iter().enumerate() {
            perm[*axis] = at;
        }
        if elems == 0 || self.rows(&extents, &order) {
            let len = elems * self.dtype.size();
            let tensor = if self.big_endian && self.dtype.size() > 1 {
                let mut swapped = AlignedBytes::zeroed(len)?;
                for (to, from) in swapped.as_mut_slice().chunks_exact_mut(self.dtype.size()).zip(bytes.chunks_exact(self.dtype.size())) {
                    to.iter_mut().zip(from.iter().rev()).for_each(|(to, from)| *to = *from);
                }
                Tensor::from_bytes(self.dtype, &sorted, swapped)?
            } else {
                Tensor::from_shared(self.dtype, &sorted, bytes.slice(..len))?.with_pages(self.storage.pages.clone())
            };
            return Ok((tensor, perm));
        }
        let whole = bytes.len() / self.dtype.size();
        if elems > whole {
            return Err(OpError::unsupported(format!("a tensor of shape {:?} and strides {:?} uses elements several times", self.sizes, self.strides)).help("save a copy of it: tensor.contiguous()"));
        }
        let strip = View { sizes: vec![whole as i64], strides: vec![1], ..self.clone() };
        let (strip, _) = strip.dense()?;
        let strides: Vec<i64> = order.iter().map(|k| self.strides[*k]).collect();
        Ok((strip.strided(&sorted, 0, &strides)?, perm))
    }

    /// Do the elements follow each other when the axes are walked in this order?
    fn rows(&self, extents: &[i64], order: &[usize]) -> bool {
        let sorted: Vec<i64> = order.iter().map(|k| extents[*k]).collect();
        order.iter().zip(row_strides(&sorted)).all(|(k, stride)| extents[*k] == 1 || self.strides[*k] == stride)
    }

    /// The storage's bytes from the first element to the last.
    fn within(&self, extents: &[i64], elems: usize) -> Result<Bytes, OpError> {
        let outside = || OpError::invalid(format!("a tensor of shape {:?}, strides {:?} and offset {} lies outside its storage of {} bytes", self.sizes, self.strides, self.offset, self.storage.bytes.len()));
        let start = usize::try_from(self.offset).ok().and_then(|offset| offset.checked_mul(self.dtype.size())).ok_or_else(outside)?;
        let mut last = 0usize;
        for (extent, stride) in extents.iter().zip(&self.strides) {
            let stride = usize::try_from(*stride).map_err(|_| outside())?;
            let steps = usize::try_from(*extent).map_err(|_| outside())?.saturating_sub(1);
            last = steps.checked_mul(stride).and_then(|reach| last.checked_add(reach)).ok_or_else(outside)?;
        }
        let len = if elems == 0 { 0 } else { last.checked_add(1).and_then(|count| count.checked_mul(self.dtype.size())).ok_or_else(outside)? };
        let end = start.checked_add(len).ok_or_else(outside)?;
        if elems == 0 {
            return Ok(Bytes::new());
        }
        if end > self.storage.bytes.len() { Err(outside()) } else { Ok(self.storage.bytes.slice(start..end)) }
    }
}

/// The storages of an archive, by the keys that its pickle uses.
pub(crate) struct Storages<'a> {
    archive: &'a Archive,
    folder: String,
    big_endian: bool,
    read: RefCell<BTreeMap<String, Member>>,
}

/// A tensor in a pickle.
pub(crate) enum Pickled {
    /// One of plain numbers.
    Plain(View),
    /// A quantised one, which no graph here can use.
    Quantised,
}

fn odd(what: &str) -> OpError {
    OpError::invalid(format!("a pickle holds a malformed {what}"))
}

/// Are numbers in an archive big-endian? The member `byteorder` says so; without it they are little-endian.
///
/// # Errors
/// As [`Archive::text`]; invalid where it says something else.
pub(crate) fn big_endian(archive: &Archive) -> Result<bool, OpError> {
    if !archive.has("byteorder") {
        return Ok(false);
    }
    match archive.text("byteorder")?.trim() {
        "little" => Ok(false),
        "big" => Ok(true),
        other => Err(OpError::invalid(format!("byte order '{other}' is unknown"))),
    }
}

impl<'a> Storages<'a> {
    /// The storages in a folder of the archive (`data/`).
    ///
    /// # Errors
    /// As [`big_endian`].
    pub(crate) fn new(archive: &'a Archive, folder: &str) -> Result<Self, OpError> {
        Ok(Self { archive, folder: folder.to_owned(), big_endian: big_endian(archive)?, read: RefCell::default() })
    }

    fn storage(&self, key: &str) -> Result<Member, OpError> {
        if let Some(member) = self.read.borrow().get(key) {
            return Ok(member.clone());
        }
        let member = self.archive.read(&format!("{}{key}", self.folder))?;
        self.read.borrow_mut().insert(key.to_owned(), member.clone());
        Ok(member)
    }

    /// Of a pickle's node, the tensor that it is; nothing where it is something else.
    ///
    /// # Errors
    /// Invalid where its parts are malformed; unsupported dtypes and layouts.
    pub(crate) fn tensor(&self, pickle: &Pickle, id: Id) -> Result<Option<Pickled>, OpError> {
        let Some((function, args, _)) = pickle.call(id) else { return Ok(None) };
        let view = |dtype: Option<&str>| self.view(pickle, args, dtype).ok_or_else(|| odd("tensor"))?;
        Ok(Some(match function {
            "torch._utils._rebuild_tensor_v2" => Pickled::Plain(view(None)?),
            "torch._utils._rebuild_tensor_v3" => Pickled::Plain(view(args.get(6).and_then(|id| pickle.global(*id)))?),
            // A parameter wraps its tensor.
            "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
                let inner = *args.first().ok_or_else(|| odd("parameter"))?;
                return match pickle.call(inner) {
                    Some(("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", ..)) => Err(odd("parameter")),
                    _ => self.tensor(pickle, inner),
                };
            }
            "torch._utils._rebuild_qtensor" => Pickled::Quantised,
            "torch._utils._rebuild_sparse_tensor" => return Err(OpError::unsupported("sparse tensors are not supported").help("save it dense: tensor.to_dense()")),
            _ => return Ok(None),
        }))
    }

    /// `(storage, offset, sizes, strides, ..)` as a view; nothing where that is malformed.
    fn view(&self, pickle: &Pickle, args: &[Id], dtype: Option<&str>) -> Option<Result<View, OpError>> {
        let Node::Persistent(key) = pickle.node(*args.first()?) else { return None };
        // ('storage', class, key, device, count of elements)
        let [kind, class, key, ..] = pickle.items(*key)? else { return None };
        if pickle.text(*kind)? != "storage" {
            return None;
        }
        let (class, key) = (pickle.global(*class)?, pickle.text(*key)?);
        let offset = pickle.int(*args.get(1)?)?;
        let shape = |at: usize| {
            let id = *args.get(at)?;
            // `torch.Size` wraps a tuple.
            pickle.ints(id).or_else(|| pickle.ints(*pickle.call(id).filter(|(name, ..)| *name == "torch.Size")?.1.first()?))
        };
        let (sizes, strides) = (shape(2)?, shape(3)?);
        let view = || {
            let (dtype, complex) = named(dtype.unwrap_or(class))?;
            Ok(View { storage: self.storage(key)?, dtype, complex, sizes, strides, offset, big_endian: self.big_endian })
        };
        Some(view())
    }
}

/// The tensors of a state dict: an archive of `torch.save` whose `data.pkl` is a dict.
///
/// # Errors
/// Invalid where it is none; unsupported tensors.
pub(crate) fn state_dict(archive: &Archive) -> Result<BTreeMap<String, View>, OpError> {
    let pickle = Pickle::read(&archive.read("data.pkl")?.bytes)?;
    let storages = Storages::new(archive, "data/")?;
    let entries = pickle.entries(pickle.root).ok_or_else(|| OpError::invalid("a state dict is no dict"))?;
    let mut tensors = BTreeMap::new();
    for (key, value) in entries {
        let name = pickle.text(*key).ok_or_else(|| odd("state dict"))?;
        match storages.tensor(&pickle, *value)? {
            Some(Pickled::Plain(view)) => drop(tensors.insert(name.to_owned(), view)),
            Some(Pickled::Quantised) => return Err(OpError::unsupported(format!("'{name}' is quantised, which is not supported here"))),
            // Constants that are no tensors.
            None => {}
        }
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A view of the numbers 0, 1, .. as f32.
    fn view(count: usize, sizes: &[i64], strides: &[i64], offset: i64) -> View {
        let bytes: Vec<u8> = (0..count).flat_map(|n| (n as f32).to_le_bytes()).collect();
        View { storage: Member { bytes: bytes.into(), pages: None }, dtype: DType::F32, complex: false, sizes: sizes.to_vec(), strides: strides.to_vec(), offset, big_endian: false }
    }

    fn read(view: &View) -> Result<(Vec<i64>, Vec<f64>), OpError> {
        let mut builder = Builder::new("").folding(frit_ir::build::Folding::Early);
        let value = view.value(&mut builder)?;
        let tensor = builder.as_constant(value).expect("small tensors are folded");
        Ok((tensor.extents().to_vec(), tensor.f64s()))
    }

    /// What the elements are, by the definition of strides.
    fn defined(view: &View) -> Vec<f64> {
        let count: i64 = view.sizes.iter().product();
        (0..count)
            .map(|mut n| {
                let mut place = view.offset;
                for (size, stride) in view.sizes.iter().zip(&view.strides).rev() {
                    place += n % size * stride;
                    n /= size;
                }
                place as f64
            })
            .collect()
    }

    #[test]
    fn elements_lie_where_sizes_strides_and_offset_say() {
        for view in [
            view(24, &[2, 3, 4], &[12, 4, 1], 0),
            view(24, &[3, 4], &[4, 1], 12),
            view(24, &[4, 6], &[1, 4], 0),
            // Channels last.
            view(120, &[2, 3, 4, 5], &[60, 1, 15, 3], 0),
            view(8, &[2, 1, 4, 1], &[4, 7, 1, 9], 0),
            view(24, &[1, 4, 1, 6], &[24, 1, 24, 4], 0),
            // Repeated, and repeated in another order.
            view(3, &[4, 3], &[0, 1], 0),
            view(6, &[2, 5, 3], &[1, 0, 2], 0),
            view(1, &[2, 2], &[0, 0], 0),
            // With gaps.
            view(24, &[3, 2], &[8, 3], 1),
            view(24, &[2, 3], &[3, 8], 1),
            view(5, &[], &[], 3),
            view(0, &[0, 3], &[3, 1], 0),
        ] {
            let (extents, numbers) = read(&view).unwrap();
            assert_eq!(extents, view.sizes);
            assert_eq!(numbers, defined(&view), "{:?} {:?}", view.sizes, view.strides);
        }
    }

    #[test]
    fn whole_storages_are_not_copied() {
        let whole = view(24, &[4, 6], &[1, 4], 0);
        assert_eq!(whole.dense().unwrap().0.address(), whole.storage.bytes.as_ptr() as usize);
    }

    #[test]
    fn big_endian_numbers_are_turned() {
        let bytes: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|x| x.to_be_bytes()).collect();
        let turned = View { storage: Member { bytes: bytes.into(), pages: None }, big_endian: true, ..view(2, &[2], &[1], 0) };
        assert_eq!(read(&turned).unwrap().1, [1.5, -2.0]);
    }

    #[test]
    fn what_lies_outside_is_an_error() {
        for view in [
            view(4, &[5], &[1], 0),
            view(4, &[4], &[1], 1),
            view(4, &[2], &[i64::MAX], 0),
            view(4, &[2], &[-1], 2),
            view(4, &[-1], &[1], 0),
            view(4, &[1], &[1], i64::MAX),
            view(4, &[1 << 40, 1 << 40], &[0, 0], 0),
            view(4, &[2, 2], &[1], 0),
            // Elements that are used several times would take more memory than there are.
            view(1 << 10, &[1 << 9, 1 << 9], &[1, 1], 0),
        ] {
            assert!(read(&view).is_err(), "{:?} {:?}", view.sizes, view.strides);
        }
    }
}
