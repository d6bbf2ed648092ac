//! Lists of tensors: `TensorList` of version 2 and `TensorArray` of version 1.
//!
//! In: ops on lists. Out: values. A list is no value of a graph: it is what is known of its elements, or one tensor that holds all along its first axis.
//! In a loop's body a list of outside is only watched: [`super::control`] makes of what was read and set what the loop scans, collects or carries.

use std::rc::Rc;

use frit_ir::ops::scatter_nd::ScatterNd;
use frit_ir::ops::scatter_elements::Update;
use frit_ir::ops::{cast::Cast, concat::Concat, expand_to::ExpandTo, gather::Gather, reshape_to::ReshapeTo, shape_of::ShapeOf, slice_by::SliceBy, unsqueeze::Unsqueeze};
use frit_ir::{Builder, DType, Dim, OpError, Shape, Tensor, TensorType, ValueId};
use frit_proto::tensorflow as wire;

use super::evaluate::{Bound, Importer};
use super::node::Node;
use super::BoundHandler;

/// A list of tensors.
#[derive(Clone, Debug)]
pub(crate) struct List {
    /// What its elements are of.
    pub(super) dtype: DType,
    /// The shape of all elements, as far as it is known.
    pub(super) element: Option<Vec<Option<i64>>>,
    pub(super) form: Form,
}

/// How a list is held.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Element by element; those that were never set are zeros.
    Items(Rc<Vec<Option<ValueId>>>),
    /// That many zeros.
    Reserved(ValueId),
    /// One tensor with all elements along its first axis.
    Stacked(ValueId),
    /// The list that a loop was given as its variable `at`, and what was set since.
    Loop { at: usize, set: Option<(Index, ValueId)> },
}

/// Where an element was set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Index {
    At(ValueId),
    End,
}

/// What a loop's body does with the lists that it is given.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) lists: std::collections::BTreeMap<usize, Watched>,
}

/// One of them.
#[derive(Default)]
pub(super) struct Watched {
    /// Is this for finding out only, so that any value of the right type will do?
    pub(super) probing: bool,
    /// The type of its elements.
    pub(super) element: Option<TensorType>,
    /// The index of each read.
    pub(super) reads: Vec<ValueId>,
    /// Is it used in another way than reading and setting elements?
    pub(super) general: bool,
    /// What reads give.
    pub(super) scanned: Option<ValueId>,
}

/// Lists are held element by element up to this length.
const MAX_ITEMS: i64 = 1 << 12;

pub(super) const OPS: &[(&str, BoundHandler)] = &[
    ("EmptyTensorList", |n| {
        let (dtype, element) = (element_dtype(n)?, shape_operand(n, 0));
        Ok(vec![Bound::List(List { dtype, element, form: Form::Items(Rc::default()) })])
    }),
    ("TensorArrayCloseV3", |_| Ok(vec![Bound::Other("nothing")])),
    ("TensorArrayConcatV3", |n| concat(n, 1)),
    ("TensorArrayGatherV3", |n| {
        let list = list(n, 2)?;
        gather(n, &list, 1)
    }),
    ("TensorArrayReadV3", |n| {
        let list = list(n, 2)?;
        get(n, &list, 1)
    }),
    ("TensorArrayScatterV3", |n| {
        let list = list(n, 3)?;
        scatter(n, list, 1, 2)
    }),
    ("TensorArraySizeV3", |n| {
        let list = list(n, 1)?;
        length(n, &list)
    }),
    ("TensorArraySplitV3", |n| {
        let list = list(n, 3)?;
        split(n, list, 1, 2)
    }),
    ("TensorArrayV3", |n| {
        let dtype = n.maybe_dtype("dtype")?.ok_or_else(|| n.missing("dtype"))?;
        let element = n.maybe_shape("element_shape").and_then(partial);
        let list = reserve(n, 0, dtype, element)?;
        Ok(vec![Bound::Other("the handle of a TensorArray"), Bound::List(list)])
    }),
    ("TensorArrayWriteV3", |n| {
        let list = list(n, 3)?;
        let item = n.input(2)?;
        set(n, list, 1, item)
    }),
    ("TensorListConcat", |n| concat(n, 0)),
    ("TensorListConcatV2", |n| concat(n, 0)),
    ("TensorListElementShape", |n| {
        let list = list(n, 0)?;
        let shape = n.builder.ints(&list.element.unwrap_or_default().iter().map(|dim| dim.unwrap_or(-1)).collect::<Vec<_>>());
        let dtype = n.dtype("shape_type", DType::I32)?;
        Ok(vec![n.cast(shape, dtype)?.into()])
    }),
    ("TensorListFromTensor", |n| {
        let stacked = n.input(0)?;
        let dtype = n.builder.dtype(stacked);
        Ok(vec![Bound::List(List { dtype, element: shape_operand(n, 1), form: Form::Stacked(stacked) })])
    }),
    ("TensorListGather", |n| {
        let list = list(n, 0)?;
        gather(n, &list, 1)
    }),
    ("TensorListGetItem", |n| {
        let list = list(n, 0)?;
        get(n, &list, 1)
    }),
    ("TensorListLength", |n| {
        let list = list(n, 0)?;
        length(n, &list)
    }),
    ("TensorListPopBack", |n| {
        let mut list = list(n, 0)?;
        let last = match &mut list.form {
            Form::Items(items) => Rc::make_mut(items).pop().flatten(),
            _ => None,
        };
        match last {
            Some(last) => Ok(vec![Bound::List(list), last.into()]),
            None => Err(OpError::unsupported("taking the last element of a list is only supported where all its elements are known")),
        }
    }),
    ("TensorListPushBack", |n| {
        let mut list = list(n, 0)?;
        let item = n.input(1)?;
        list.form = match list.form {
            Form::Items(mut items) => {
                if items.len() as i64 >= MAX_ITEMS {
                    return Err(OpError::unsupported(format!("a list of more than {MAX_ITEMS} elements is not supported")));
                }
                Rc::make_mut(&mut items).push(Some(item));
                Form::Items(items)
            }
            Form::Loop { at, set: None } => Form::Loop { at, set: Some((Index::End, item)) },
            _ => {
                let stacked = stack(n.importer, n.builder, &list)?;
                let item = n.unsqueeze(item, &[0])?;
                Form::Stacked(n.apply(Concat { axis: 0 }, &[stacked, item])?)
            }
        };
        Ok(vec![Bound::List(list)])
    }),
    ("TensorListReserve", |n| {
        let (dtype, element) = (element_dtype(n)?, shape_operand(n, 0));
        Ok(vec![Bound::List(reserve(n, 1, dtype, element)?)])
    }),
    ("TensorListResize", |n| {
        let mut list = list(n, 0)?;
        let size = n.known_int(1)?;
        match &mut list.form {
            Form::Items(items) if (0..=MAX_ITEMS).contains(&size) => Rc::make_mut(items).resize(size as usize, None),
            _ => return Err(OpError::unsupported("a list is only made longer where all its elements are known")),
        }
        Ok(vec![Bound::List(list)])
    }),
    ("TensorListScatterIntoExistingList", |n| {
        let list = list(n, 0)?;
        scatter(n, list, 2, 1)
    }),
    ("TensorListScatterV2", |n| {
        let (element, indices) = (shape_operand(n, 2), n.known_ints(1)?);
        let value = n.input(0)?;
        let dtype = n.builder.dtype(value);
        let known = n.known_int(3)?;
        let size = if known < 0 { indices.iter().max().map_or(0, |last| last.saturating_add(1)) } else { known };
        let size = n.builder.ints(&[size]);
        let list = reserved(n, size, dtype, element)?;
        scatter(n, list, 1, 0)
    }),
    ("TensorListSetItem", |n| {
        let list = list(n, 0)?;
        let item = n.input(2)?;
        set(n, list, 1, item)
    }),
    ("TensorListSplit", |n| {
        let value = n.input(0)?;
        let dtype = n.builder.dtype(value);
        let empty = List { dtype, element: shape_operand(n, 1), form: Form::Items(Rc::default()) };
        split(n, empty, 0, 2)
    }),
    ("TensorListStack", |n| {
        let mut list = list(n, 0)?;
        if list.element.is_none() || list.element.as_ref().is_some_and(|dims| dims.contains(&None)) {
            list.element = shape_operand(n, 1).or(list.element);
        }
        Ok(vec![stack(n.importer, n.builder, &list)?.into()])
    }),
];

fn list(n: &Node<'_, '_>, at: usize) -> Result<List, OpError> {
    match n.bound(at)? {
        Bound::List(list) => Ok(list.clone()),
        _ => Err(OpError::unsupported(format!("operand {at} of '{}' is no list of tensors that is known", n.op))),
    }
}

fn element_dtype(n: &Node<'_, '_>) -> Result<DType, OpError> {
    n.maybe_dtype("element_dtype")?.ok_or_else(|| n.missing("element_dtype"))
}

/// A shape that leaves extents open.
fn partial(shape: &wire::Shape) -> Option<Vec<Option<i64>>> {
    (!shape.unknown_rank).then(|| shape.dim.iter().map(|dim| (dim.size >= 0).then_some(dim.size)).collect())
}

/// A shape that is an operand; nothing where it is -1 or not known.
fn shape_operand(n: &mut Node<'_, '_>, at: usize) -> Option<Vec<Option<i64>>> {
    let value = n.input(at).ok()?;
    if n.builder.rank(value).ok()? == 0 {
        return None;
    }
    Some(n.builder.as_ints(value).ok()?.into_iter().map(|dim| (dim >= 0).then_some(dim)).collect())
}

fn reserve(n: &mut Node<'_, '_>, at: usize, dtype: DType, element: Option<Vec<Option<i64>>>) -> Result<List, OpError> {
    let size = n.input(at)?;
    reserved(n, size, dtype, element)
}

fn reserved(n: &mut Node<'_, '_>, size: ValueId, dtype: DType, element: Option<Vec<Option<i64>>>) -> Result<List, OpError> {
    let form = match n.builder.as_ints(size).ok().as_deref() {
        Some([count]) if (0..=MAX_ITEMS).contains(count) => Form::Items(Rc::new(vec![None; *count as usize])),
        _ => Form::Reserved(size),
    };
    Ok(List { dtype, element, form })
}

impl List {
    /// The type of its elements, if it is known.
    pub(super) fn element_type(&self, builder: &Builder) -> Option<TensorType> {
        let of = match &self.form {
            Form::Stacked(value) => builder.ty(*value).dims().ok().and_then(|dims| Some(TensorType::ranked(self.dtype, dims.get(1..)?.to_vec()))),
            Form::Items(items) => items.iter().flatten().next().map(|item| builder.ty(*item).clone()),
            _ => None,
        };
        of.or_else(|| Some(TensorType::ranked(self.dtype, self.element.as_ref()?.iter().map(|dim| dim.map_or(Dim::Unknown, Dim::Known)).collect())))
    }

    /// Number of elements, if it is known.
    pub(super) fn known_length(&self, builder: &Builder) -> Option<i64> {
        match &self.form {
            Form::Items(items) => Some(items.len() as i64),
            Form::Stacked(value) => builder.ty(*value).dims().ok()?.first()?.known(),
            Form::Reserved(size) => builder.as_ints(*size).ok()?.first().copied(),
            Form::Loop { .. } => None,
        }
    }
}

/// Zeros of a type that leaves nothing open, `count` of them along a new first axis.
fn zeros(builder: &mut Builder, count: ValueId, ty: &TensorType) -> Result<ValueId, OpError> {
    let extents = builder.ints(&ty.extents()?);
    let count = builder.apply(Cast { to: DType::I64 }, &[count])?;
    let one = builder.ints(&[-1]);
    let count = builder.apply(ReshapeTo { zero_copies: false }, &[count, one])?;
    let shape = builder.apply(Concat { axis: 0 }, &[count, extents])?;
    let zero = builder.constant(Tensor::scalar(ty.dtype, frit_ir::Scalar::zero(ty.dtype)));
    builder.apply(ExpandTo {}, &[zero, shape])
}

/// A list as one tensor.
pub(super) fn stack(importer: &mut Importer<'_>, builder: &mut Builder, list: &List) -> Result<ValueId, OpError> {
    match &list.form {
        Form::Stacked(value) => Ok(*value),
        Form::Items(items) if items.is_empty() => {
            let count = builder.ints(&[0]);
            let ty = list.element_type(builder).ok_or_else(OpError::unknown)?;
            zeros(builder, count, &ty)
        }
        Form::Items(items) => {
            let axis = builder.ints(&[0]);
            let mut parts = Vec::new();
            let mut run = 0;
            for (at, item) in items.iter().enumerate() {
                match item {
                    Some(item) => parts.push(builder.apply(Unsqueeze {}, &[*item, axis])?),
                    None => {
                        run += 1;
                        if items.get(at + 1).is_none_or(Option::is_some) {
                            let count = builder.ints(&[run]);
                            let ty = list.element_type(builder).ok_or_else(OpError::unknown)?;
                            parts.push(zeros(builder, count, &ty)?);
                            run = 0;
                        }
                    }
                }
            }
            if parts.len() == 1 { Ok(parts[0]) } else { builder.apply(Concat { axis: 0 }, &parts) }
        }
        Form::Reserved(count) => {
            let ty = list.element_type(builder).ok_or_else(OpError::unknown)?;
            zeros(builder, *count, &ty)
        }
        Form::Loop { at, .. } => {
            let watched = general(importer, *at)?;
            let element = watched.element.clone().ok_or_else(OpError::unknown)?;
            let dims = std::iter::once(Dim::Unknown).chain(element.dims()?.iter().cloned()).collect();
            Ok(builder.input("list", TensorType::ranked(element.dtype, dims)))
        }
    }
}

/// Notes that a loop uses a list in another way than by elements. That is only asked while it is found out.
fn general<'i>(importer: &'i mut Importer<'_>, at: usize) -> Result<&'i mut Watched, OpError> {
    let watched = importer.layers.last_mut().and_then(|layer| layer.lists.lists.get_mut(&at)).ok_or_else(|| OpError::unsupported("a list of an outer loop is used in a way that is not supported"))?;
    watched.general = true;
    if watched.probing { Ok(watched) } else { Err(OpError::bug("a loop uses a list in another way than it did before")) }
}

fn get(n: &mut Node<'_, '_>, list: &List, at: usize) -> Result<Vec<Bound>, OpError> {
    let index = n.input(at)?;
    let value = match &list.form {
        Form::Items(items) if n.builder.as_constant(index).is_some() => {
            let known = n.known_int(at)?;
            let item = usize::try_from(known).ok().and_then(|k| items.get(k)).ok_or_else(|| OpError::invalid(format!("a list of {} elements has no element {known}", items.len())))?;
            match item {
                Some(item) => *item,
                None => {
                    let ty = list.element_type(n.builder).ok_or_else(OpError::unknown)?;
                    let zero = n.constant(Tensor::scalar(ty.dtype, frit_ir::Scalar::zero(ty.dtype)));
                    let extents = n.builder.ints(&ty.extents()?);
                    n.apply(ExpandTo {}, &[zero, extents])?
                }
            }
        }
        Form::Loop { set: Some((Index::At(same), item)), .. } if *same == index => *item,
        Form::Loop { at, set } => {
            let watched = n.importer.layers.last_mut().and_then(|layer| layer.lists.lists.get_mut(at)).ok_or_else(|| OpError::unsupported("a list of an outer loop is used in a way that is not supported"))?;
            watched.reads.push(index);
            watched.general |= set.is_some();
            match watched.scanned {
                Some(element) => element,
                None if watched.probing => {
                    let ty = watched.element.clone().ok_or_else(OpError::unknown)?;
                    n.builder.input("element", ty)
                }
                None => return Err(OpError::bug("a loop reads a list in another way than it did before")),
            }
        }
        _ => {
            let stacked = stack(n.importer, n.builder, list)?;
            n.apply(Gather { axis: 0 }, &[stacked, index])?
        }
    };
    Ok(vec![value.into()])
}

fn set(n: &mut Node<'_, '_>, mut list: List, at: usize, item: ValueId) -> Result<Vec<Bound>, OpError> {
    let index = n.input(at)?;
    list.form = match list.form.clone() {
        Form::Items(mut items) if n.builder.as_constant(index).is_some() => {
            let known = usize::try_from(n.known_int(at)?).map_err(|_| OpError::invalid("an index of a list is negative"))?;
            if known as i64 >= MAX_ITEMS {
                return Err(OpError::unsupported(format!("a list of more than {MAX_ITEMS} elements that grows is not supported")));
            }
            // A list that may grow does so by being set.
            let all = Rc::make_mut(&mut items);
            if known >= all.len() {
                all.resize(known + 1, None);
            }
            all[known] = Some(item);
            Form::Items(items)
        }
        Form::Loop { at, set: None } => Form::Loop { at, set: Some((Index::At(index), item)) },
        Form::Loop { at, set: Some((Index::At(same), _)) } if same == index => Form::Loop { at, set: Some((Index::At(index), item)) },
        // The only element of a list that does not grow is the list.
        form if n.op == "TensorListSetItem" && !n.flag("resize_if_index_out_of_bounds", false) && (List { form: form.clone(), ..list.clone() }).known_length(n.builder) == Some(1) => Form::Stacked(n.unsqueeze(item, &[0])?),
        form => {
            if list.element_type(n.builder).is_none_or(|ty| ty.shape.extents().is_none()) {
                list.element = n.builder.ty(item).shape.extents().map(|dims| dims.into_iter().map(Some).collect());
            }
            let stacked = stack(n.importer, n.builder, &List { form, ..list.clone() })?;
            let index = n.reshape(index, &[1, 1])?;
            let item = n.unsqueeze(item, &[0])?;
            Form::Stacked(n.apply(ScatterNd { update: Update::Replace }, &[stacked, index, item])?)
        }
    };
    Ok(vec![Bound::List(list)])
}

fn length(n: &mut Node<'_, '_>, list: &List) -> Result<Vec<Bound>, OpError> {
    if let Some(known) = list.known_length(n.builder) {
        return Ok(vec![n.constant(Tensor::from_slice(&[], &[known as i32])).into()]);
    }
    let size = match list.form {
        Form::Reserved(size) => size,
        _ => {
            let stacked = stack(n.importer, n.builder, list)?;
            n.apply(ShapeOf { start: 0, end: Some(1) }, &[stacked])?
        }
    };
    let size = n.cast(size, DType::I32)?;
    Ok(vec![n.reshape(size, &[])?.into()])
}

fn gather(n: &mut Node<'_, '_>, list: &List, at: usize) -> Result<Vec<Bound>, OpError> {
    let indices = n.input(at)?;
    let stacked = stack(n.importer, n.builder, list)?;
    // Often all elements are wanted, in order.
    if let (Ok(indices), Some(count)) = (n.builder.as_ints(indices), list.known_length(n.builder))
        && indices.iter().copied().eq(0..count)
    {
        return Ok(vec![stacked.into()]);
    }
    Ok(vec![n.apply(Gather { axis: 0 }, &[stacked, indices])?.into()])
}

fn scatter(n: &mut Node<'_, '_>, mut list: List, at: usize, values: usize) -> Result<Vec<Bound>, OpError> {
    let (indices, value) = (n.input(at)?, n.input(values)?);
    if let (Ok(indices), Some(count)) = (n.builder.as_ints(indices), list.known_length(n.builder))
        && indices.iter().copied().eq(0..count.max(indices.len() as i64))
    {
        list.form = Form::Stacked(value);
        return Ok(vec![Bound::List(list)]);
    }
    if list.element_type(n.builder).is_none_or(|ty| ty.shape.extents().is_none()) {
        list.element = n.builder.extents(value).ok().map(|dims| dims.into_iter().skip(1).map(Some).collect());
    }
    let stacked = stack(n.importer, n.builder, &list)?;
    let indices = n.unsqueeze(indices, &[-1])?;
    list.form = Form::Stacked(n.apply(ScatterNd { update: Update::Replace }, &[stacked, indices, value])?);
    Ok(vec![Bound::List(list)])
}

fn concat(n: &mut Node<'_, '_>, at: usize) -> Result<Vec<Bound>, OpError> {
    let at = if n.op == "TensorArrayConcatV3" { at } else { 0 };
    let list = list(n, at)?;
    let lengths: Vec<i64>;
    let joined = match &list.form {
        Form::Items(items) => {
            let parts: Vec<ValueId> = items.iter().copied().collect::<Option<_>>().ok_or_else(|| OpError::unsupported("a list is joined of which not all elements were set"))?;
            lengths = parts.iter().map(|part| n.builder.extents(*part)?.first().copied().ok_or_else(|| OpError::invalid("a list of single numbers can't be joined"))).collect::<Result<_, _>>()?;
            if parts.is_empty() { stack(n.importer, n.builder, &list)? } else { n.apply(Concat { axis: 0 }, &parts)? }
        }
        _ => {
            let stacked = stack(n.importer, n.builder, &list)?;
            let extents = n.builder.extents(stacked)?;
            let [count, each, rest @ ..] = extents.as_slice() else { return Err(OpError::invalid("a list of single numbers can't be joined")) };
            lengths = vec![*each; usize::try_from(*count).unwrap_or(0)];
            let shape: Vec<i64> = std::iter::once(count.saturating_mul(*each)).chain(rest.iter().copied()).collect();
            n.reshape(stacked, &shape)?
        }
    };
    let lengths = n.builder.ints(&lengths);
    Ok(vec![joined.into(), lengths.into()])
}

fn split(n: &mut Node<'_, '_>, mut list: List, value: usize, lengths: usize) -> Result<Vec<Bound>, OpError> {
    let (value, lengths) = (n.input(value)?, n.known_ints(lengths)?);
    let mut items = Vec::new();
    let mut from = 0i64;
    for length in lengths {
        let to = from.saturating_add(length);
        let bounds = [n.builder.ints(&[from]), n.builder.ints(&[to])];
        items.push(Some(n.apply(SliceBy {}, &[value, bounds[0], bounds[1]])?));
        from = to;
    }
    list.form = Form::Items(Rc::new(items));
    Ok(vec![Bound::List(list)])
}

/// The type of a list as one tensor, every extent that may differ between steps open.
pub(super) fn stacked_type(list: &List, builder: &Builder, item: Option<&TensorType>) -> Result<TensorType, OpError> {
    let element = item.cloned().or_else(|| list.element_type(builder)).ok_or_else(OpError::unknown)?;
    let count = list.known_length(builder).map_or(Dim::Unknown, Dim::Known);
    let dims = std::iter::once(count).chain(element.dims()?.iter().cloned()).collect();
    Ok(TensorType::new(element.dtype, Shape::Ranked(dims)))
}

