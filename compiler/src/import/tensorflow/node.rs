//! A node of a TensorFlow graph as the tables' functions see it: operands, attributes, a builder.

use std::cell::RefCell;

use frit_ir::ops::{add::Add, cast::Cast, gather::Gather, mul::Mul, reshape_to::ReshapeTo, shape_of::ShapeOf, slice_by::SliceBy, sub::Sub};
use frit_ir::{Builder, DType, Graph, Op, OpError, Tensor, ValueId};
use frit_proto::tensorflow as wire;
use frit_proto::tensorflow::attribute::Value;

use super::evaluate::{Bound, Importer};
use super::tensor;

/// A node under import.
pub(crate) struct Node<'a, 'm> {
    /// Where values are added.
    pub(crate) builder: &'a mut Builder,
    pub(super) importer: &'a mut Importer<'m>,
    /// The operands.
    pub(super) inputs: &'a [Bound],
    /// The op's name.
    pub(crate) op: &'m str,
    pub(super) wire: &'m wire::Node,
    /// The first complaint about an attribute of another kind than the one it was read as.
    misread: RefCell<Option<OpError>>,
}

impl<'a, 'm> Node<'a, 'm> {
    pub(super) fn new(builder: &'a mut Builder, importer: &'a mut Importer<'m>, inputs: &'a [Bound], wire: &'m wire::Node) -> Self {
        Self { builder, importer, inputs, op: &wire.op, wire, misread: RefCell::new(None) }
    }

    /// The first complaint about an attribute that was read.
    pub(super) fn misread(&self) -> Option<OpError> {
        self.misread.take()
    }

    /// An operand, whatever it is.
    pub(super) fn bound(&self, at: usize) -> Result<&'a Bound, OpError> {
        self.inputs.get(at).ok_or_else(|| OpError::invalid(format!("operand {at} of '{}' is missing", self.op)))
    }

    /// An operand that is a tensor.
    pub(crate) fn input(&mut self, at: usize) -> Result<ValueId, OpError> {
        let bound = self.bound(at)?;
        self.importer.value(self.builder, bound)
    }

    /// All operands, which are tensors.
    pub(crate) fn all_inputs(&mut self) -> Result<Vec<ValueId>, OpError> {
        (0..self.inputs.len()).map(|at| self.input(at)).collect()
    }

    fn attribute<T>(&self, name: &str, what: &str, read: impl Fn(&'m Value) -> Option<T>) -> Option<T> {
        let value = self.wire.attr.get(name)?.value.as_ref()?;
        let read = read(value);
        if read.is_none() {
            self.misread.borrow_mut().get_or_insert_with(|| OpError::invalid(format!("attribute '{name}' of '{}' is not {what}", self.op)));
        }
        read
    }

    /// An integer attribute. One that is not there has the op's default.
    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name, "an integer", |value| if let Value::I(n) = value { Some(*n) } else { None }).unwrap_or(default)
    }

    /// A float attribute.
    pub(crate) fn float(&self, name: &str, default: f64) -> f64 {
        self.attribute(name, "a float", |value| if let Value::F(x) = value { Some(f64::from(*x)) } else { None }).unwrap_or(default)
    }

    /// A truth value.
    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        self.attribute(name, "a truth value", |value| if let Value::B(b) = value { Some(*b) } else { None }).unwrap_or(default)
    }

    /// A text attribute.
    pub(crate) fn text(&self, name: &str, default: &'static str) -> &'m str {
        self.attribute(name, "text", |value| if let Value::S(text) = value { std::str::from_utf8(text).ok() } else { None }).unwrap_or(default)
    }

    /// A dtype, if it is there.
    pub(crate) fn maybe_dtype(&self, name: &str) -> Result<Option<DType>, OpError> {
        self.attribute(name, "a type", |value| if let Value::Type(number) = value { Some(*number) } else { None }).map(tensor::dtype).transpose()
    }

    /// A dtype with a default.
    pub(crate) fn dtype(&self, name: &str, default: DType) -> Result<DType, OpError> {
        Ok(self.maybe_dtype(name)?.unwrap_or(default))
    }

    /// A list of integers; empty where it is not there.
    pub(crate) fn ints(&self, name: &str) -> &'m [i64] {
        self.attribute(name, "a list of integers", |value| if let Value::List(list) = value { Some(list.i.as_slice()) } else { None }).unwrap_or_default()
    }

    /// A list of floats; empty where it is not there.
    pub(crate) fn floats(&self, name: &str) -> &'m [f32] {
        self.attribute(name, "a list of floats", |value| if let Value::List(list) = value { Some(list.f.as_slice()) } else { None }).unwrap_or_default()
    }

    /// A list of texts; empty where it is not there.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.attribute(name, "a list of texts", |value| if let Value::List(list) = value { Some(list.s.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()) } else { None }).unwrap_or_default()
    }

    /// A shape, if it is there.
    pub(crate) fn maybe_shape(&self, name: &str) -> Option<&'m wire::Shape> {
        self.attribute(name, "a shape", |value| if let Value::Shape(shape) = value { Some(shape) } else { None })
    }

    /// Where the node lies, which tells it from all others.
    fn address(&self) -> usize {
        std::ptr::from_ref(self.wire).addr()
    }

    /// Keeps a constant's tensor for the next time that the node is evaluated.
    pub(crate) fn keep(&mut self, tensor: &Tensor) {
        let address = self.address();
        self.importer.constants.insert(address, tensor.clone());
    }

    /// A tensor.
    pub(crate) fn tensor(&self, name: &str) -> Result<tensor::Decoded, OpError> {
        if let Some(kept) = self.importer.constants.get(&self.address()) {
            return Ok(tensor::Decoded::Whole(kept.clone()));
        }
        let tensor = self.attribute(name, "a tensor", |value| if let Value::Tensor(tensor) = value { Some(tensor) } else { None });
        tensor::decode(tensor.ok_or_else(|| self.missing(name))?, self.importer.pages.as_ref())
    }

    /// The name of a function.
    pub(crate) fn function(&self, name: &str) -> Result<&'m str, OpError> {
        self.attribute(name, "a function", |value| if let Value::Func(function) = value { Some(function.name.as_str()) } else { None }).ok_or_else(|| self.missing(name))
    }

    /// The names of functions.
    pub(crate) fn functions(&self, name: &str) -> Vec<&'m str> {
        self.attribute(name, "a list of functions", |value| if let Value::List(list) = value { Some(list.func.iter().map(|function| function.name.as_str()).collect()) } else { None }).unwrap_or_default()
    }

    /// Complains about an attribute that is not there.
    pub(crate) fn missing(&self, name: &str) -> OpError {
        OpError::invalid(format!("attribute '{name}' of '{}' is missing", self.op))
    }

    /// Complains about a text attribute's value.
    pub(crate) fn unknown_text(&self, name: &str, value: &str) -> OpError {
        OpError::unsupported(format!("attribute '{name}' of '{}' is '{value}', which is not supported", self.op))
    }

    /// The integers of an operand that is a constant, or made of parts that are.
    pub(crate) fn known_ints(&mut self, at: usize) -> Result<Vec<i64>, OpError> {
        let value = self.input(at)?;
        if let Ok(ints) = self.builder.as_ints(value) {
            return Ok(ints);
        }
        self.partly_known(at)?.into_iter().map(|part| part.ok_or_else(OpError::unknown)).collect()
    }

    /// The integers of an operand, as far as they are known: shapes often are but for one extent.
    pub(crate) fn partly_known(&mut self, at: usize) -> Result<Vec<Option<i64>>, OpError> {
        let value = self.input(at)?;
        parts(self.builder.graph(), value, MAX_PARTS).ok_or_else(OpError::unknown)
    }

    /// A vector of integers as a constant, where all its parts are known.
    pub(crate) fn known_value(&mut self, value: ValueId) -> Option<ValueId> {
        if self.builder.as_constant(value).is_some() {
            return None;
        }
        let known = parts(self.builder.graph(), value, MAX_PARTS)?.into_iter().collect::<Option<Vec<_>>>()?;
        let constant = self.builder.ints(&known);
        let dtype = self.builder.dtype(value);
        self.cast(constant, dtype).ok().filter(|constant| self.builder.extents(*constant).ok() == self.builder.extents(value).ok())
    }

    /// The only integer of an operand that is a constant.
    pub(crate) fn known_int(&mut self, at: usize) -> Result<i64, OpError> {
        match self.known_ints(at)?.as_slice() {
            [one] => Ok(*one),
            many => Err(OpError::invalid(format!("operand {at} of '{}' has {} elements, not one", self.op, many.len()))),
        }
    }

    /// An operand of integers as a vector of i64.
    pub(crate) fn vector(&mut self, at: usize) -> Result<ValueId, OpError> {
        let value = self.input(at)?;
        let value = self.cast(value, DType::I64)?;
        if self.builder.rank(value)? == 0 { self.flat(value) } else { Ok(value) }
    }

    /// An axis of a value, counted as in Python.
    pub(crate) fn axis(&self, axis: i64, of: ValueId) -> Result<usize, OpError> {
        frit_ir::shape::axis(axis, self.builder.rank(of)?)
    }

    /// Adds an op of one result.
    pub(crate) fn apply(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, OpError> {
        self.builder.apply(op, inputs)
    }

    /// Adds an op of one result whose operands are the node's first `count`.
    pub(crate) fn simple(&mut self, op: impl Into<Op>, count: usize) -> Result<Vec<ValueId>, OpError> {
        let inputs = (0..count).map(|at| self.input(at)).collect::<Result<Vec<_>, _>>()?;
        self.builder.apply_all(op, &inputs)
    }

    pub(crate) fn add(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, OpError> {
        self.apply(Add {}, &[a, b])
    }

    pub(crate) fn sub(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, OpError> {
        self.apply(Sub {}, &[a, b])
    }

    pub(crate) fn mul(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, OpError> {
        self.apply(Mul {}, &[a, b])
    }

    /// A number of a value's dtype.
    pub(crate) fn number(&mut self, like: ValueId, number: f64) -> ValueId {
        let dtype = self.builder.dtype(like);
        self.builder.scalar(dtype, number)
    }

    /// Conversion; nothing where the dtype is right already.
    pub(crate) fn cast(&mut self, x: ValueId, to: DType) -> Result<ValueId, OpError> {
        if self.builder.dtype(x) == to { Ok(x) } else { self.apply(Cast { to }, &[x]) }
    }

    /// A value under another shape.
    pub(crate) fn reshape(&mut self, x: ValueId, shape: &[i64]) -> Result<ValueId, OpError> {
        let shape = self.builder.ints(shape);
        self.apply(ReshapeTo { zero_copies: false }, &[x, shape])
    }

    /// The elements in a row.
    pub(crate) fn flat(&mut self, x: ValueId) -> Result<ValueId, OpError> {
        self.reshape(x, &[-1])
    }

    /// A value's shape as a vector of i64.
    pub(crate) fn shape_of(&mut self, x: ValueId) -> Result<ValueId, OpError> {
        self.apply(ShapeOf { start: 0, end: None }, &[x])
    }

    /// What lies along an axis from one index to behind another, both counted as in Python.
    pub(crate) fn part(&mut self, x: ValueId, axis: usize, from: i64, to: i64) -> Result<ValueId, OpError> {
        let bounds = [self.builder.ints(&[from]), self.builder.ints(&[to]), self.builder.ints(&[axis as i64])];
        self.apply(SliceBy {}, &[x, bounds[0], bounds[1], bounds[2]])
    }

    /// What lies at an index along an axis, which goes.
    pub(crate) fn pick(&mut self, x: ValueId, axis: usize, index: ValueId) -> Result<ValueId, OpError> {
        self.apply(Gather { axis }, &[x, index])
    }

    /// An axis of extent 1, put in.
    pub(crate) fn unsqueeze(&mut self, x: ValueId, axes: &[i64]) -> Result<ValueId, OpError> {
        let axes = self.builder.ints(axes);
        self.apply(frit_ir::ops::unsqueeze::Unsqueeze {}, &[x, axes])
    }

    /// Axes of extent 1, taken out.
    pub(crate) fn squeeze(&mut self, x: ValueId, axes: &[i64]) -> Result<ValueId, OpError> {
        let axes = self.builder.ints(axes);
        self.apply(frit_ir::ops::squeeze::Squeeze {}, &[x, axes])
    }

    /// A constant.
    pub(crate) fn constant(&mut self, tensor: Tensor) -> ValueId {
        self.builder.constant(tensor)
    }
}

/// How far back parts of a vector are followed.
const MAX_PARTS: usize = 64;

/// The integers of a vector or number, as far as they are known.
fn parts(graph: &Graph, value: ValueId, left: usize) -> Option<Vec<Option<i64>>> {
    if let Some(tensor) = graph.constant(value) {
        return (tensor.dtype().is_int() && tensor.rank() <= 1).then(|| tensor.ints().into_iter().map(Some).collect());
    }
    let ty = graph.ty(value);
    let count = usize::try_from(ty.shape.elems()?).ok().filter(|count| *count <= MAX_PARTS)?;
    if !ty.dtype.is_int() || ty.rank().ok()? > 1 {
        return None;
    }
    let of = |node: &frit_ir::graph::Node, at: usize| parts(graph, node.inputs[at], left.checked_sub(1)?);
    let node = graph.producer(value);
    let found = node.and_then(|node| match &node.op {
        Op::Cast(_) | Op::ReshapeTo(_) | Op::Reshape(_) | Op::Unsqueeze(_) | Op::Squeeze(_) => of(node, 0),
        Op::Concat(_) => Some((0..node.inputs.len()).map(|at| of(node, at)).collect::<Option<Vec<_>>>()?.concat()),
        Op::ShapeOf(_) => Some(graph.ty(node.inputs[0]).dims().ok()?.iter().map(frit_ir::Dim::known).collect()),
        Op::Slice(slice) => {
            let from = of(node, 0)?;
            (0..count).map(|k| from.get(usize::try_from(slice.starts.first()? + slice.steps.first()? * k as i64).ok()?).copied()).collect()
        }
        _ => None,
    });
    Some(found.filter(|found| found.len() == count).unwrap_or_else(|| vec![None; count]))
}
