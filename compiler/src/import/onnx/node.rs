//! A node of an ONNX graph as the tables' functions see it: operands, attributes, a builder.

use std::cell::RefCell;
use std::collections::HashMap;

use frit_ir::{Builder, DType, Graph, Op, OpError, Tensor, TensorType, ValueId};
use frit_proto::onnx as wire;

use super::{Importer, Scope, Subgraphs, tensor};

/// A node under import.
pub(crate) struct Node<'a, 'm> {
    /// Where values are added.
    pub(crate) builder: &'a mut Builder,
    pub(super) importer: &'a mut Importer<'m>,
    pub(super) scope: &'a Scope,
    /// The operands; nothing where an optional one is left out.
    pub(crate) inputs: Vec<Option<ValueId>>,
    pub(super) attributes: HashMap<&'m str, &'m wire::Attribute>,
    /// Version of the opset that the node's op belongs to.
    pub(crate) opset: i64,
    /// Number of outputs that the node names (trailing ones may be left out, inner ones may be unnamed).
    pub(crate) outputs: usize,
    /// The op's name.
    pub(crate) op: &'m str,
    pub(super) wire: &'m wire::Node,
    /// The first complaint about an attribute of another kind than the one it was read as.
    pub(super) misread: RefCell<Option<OpError>>,
}

/// The kinds of attributes that are read, as ONNX numbers and words them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Float = 1,
    Int = 2,
    Text = 3,
    Floats = 6,
    Ints = 7,
    Texts = 8,
}

impl Kind {
    const fn words(self) -> &'static str {
        match self {
            Kind::Float => "a float",
            Kind::Int => "an integer",
            Kind::Text => "text",
            Kind::Floats => "a list of floats",
            Kind::Ints => "a list of integers",
            Kind::Texts => "a list of texts",
        }
    }
}

/// The number of an attribute's kind. Files of early versions leave it out, and what they hold tells it; 0 if that is
/// nothing.
fn kind(attribute: &wire::Attribute) -> i32 {
    match attribute {
        wire::Attribute { r#type: Some(kind), .. } if *kind != 0 => *kind,
        wire::Attribute { f: Some(_), .. } => 1,
        wire::Attribute { i: Some(_), .. } => 2,
        wire::Attribute { s: Some(_), .. } => 3,
        wire::Attribute { t: Some(_), .. } => 4,
        wire::Attribute { g: Some(_), .. } => 5,
        wire::Attribute { floats, .. } if !floats.is_empty() => 6,
        wire::Attribute { ints, .. } if !ints.is_empty() => 7,
        wire::Attribute { strings, .. } if !strings.is_empty() => 8,
        _ => 0,
    }
}

impl<'m> Node<'_, 'm> {
    /// A required operand.
    pub(crate) fn input(&self, at: usize) -> Result<ValueId, OpError> {
        self.optional(at).ok_or_else(|| OpError::invalid(format!("operand {at} of '{}' is missing", self.op)))
    }

    /// An optional operand.
    pub(crate) fn optional(&self, at: usize) -> Option<ValueId> {
        self.inputs.get(at).copied().flatten()
    }

    /// All operands; none may be left out.
    pub(crate) fn all_inputs(&self) -> Result<Vec<ValueId>, OpError> {
        (0..self.inputs.len()).map(|at| self.input(at)).collect()
    }

    /// Is output `at` used?
    pub(crate) fn wants(&self, at: usize) -> bool {
        self.wire.output.get(at).is_some_and(|name| !name.is_empty())
    }

    /// Is the attribute there?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }

    /// An attribute, if it is there. One of another kind is complained about when the node is done.
    fn attribute(&self, name: &str, wanted: Kind) -> Option<&'m wire::Attribute> {
        let attribute = *self.attributes.get(name)?;
        let found = kind(attribute);
        if found == wanted as i32 || found == 0 {
            return Some(attribute);
        }
        self.misread.borrow_mut().get_or_insert_with(|| OpError::invalid(format!("attribute '{name}' of '{}' is not {}", self.op, wanted.words())));
        None
    }

    /// An integer attribute, if it is there. Some writers leave out zeros.
    pub(crate) fn maybe_int(&self, name: &str) -> Option<i64> {
        self.attribute(name, Kind::Int).map(|a| a.i())
    }

    /// An integer attribute.
    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.maybe_int(name).unwrap_or(default)
    }

    /// An integer attribute that has no default.
    pub(crate) fn required_int(&self, name: &str) -> Result<i64, OpError> {
        self.maybe_int(name).ok_or_else(|| self.missing(name))
    }

    /// A flag: an integer attribute that is 0 or 1.
    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        self.int(name, i64::from(default)) != 0
    }

    /// A float attribute.
    pub(crate) fn float(&self, name: &str, default: f64) -> f64 {
        self.maybe_float(name).unwrap_or(default)
    }

    /// A float attribute, if it is there.
    pub(crate) fn maybe_float(&self, name: &str) -> Option<f64> {
        self.attribute(name, Kind::Float).map(|a| f64::from(a.f()))
    }

    /// A text attribute, if it is there.
    pub(crate) fn maybe_text(&self, name: &str) -> Option<&'m str> {
        let text = std::str::from_utf8(self.attribute(name, Kind::Text)?.s());
        if text.is_err() {
            self.misread.borrow_mut().get_or_insert_with(|| OpError::invalid(format!("attribute '{name}' of '{}' is not UTF-8", self.op)));
        }
        text.ok()
    }

    /// A text attribute.
    pub(crate) fn text(&self, name: &str, default: &'static str) -> &'m str {
        self.maybe_text(name).unwrap_or(default)
    }

    /// An attribute that is a list of integers, if it is there.
    pub(crate) fn maybe_ints(&self, name: &str) -> Option<&'m [i64]> {
        self.attribute(name, Kind::Ints).map(|a| a.ints.as_slice())
    }

    /// An attribute that is a list of floats, if it is there.
    pub(crate) fn maybe_floats(&self, name: &str) -> Option<&'m [f32]> {
        self.attribute(name, Kind::Floats).map(|a| a.floats.as_slice())
    }

    /// An attribute that is a list of texts, if it is there.
    pub(crate) fn maybe_texts(&self, name: &str) -> Option<Vec<String>> {
        self.attribute(name, Kind::Texts).map(|a| a.strings.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect())
    }

    /// A dtype attribute (an integer that names one), if it is there.
    pub(crate) fn maybe_dtype(&self, name: &str) -> Result<Option<DType>, OpError> {
        self.maybe_int(name).map(|n| tensor::dtype(n as i32)).transpose()
    }

    /// A tensor attribute, if it is there.
    pub(crate) fn maybe_tensor(&self, name: &str) -> Result<Option<Tensor>, OpError> {
        match self.attributes.get(name) {
            Some(wire::Attribute { t: Some(t), .. }) => tensor::decode(t, self.importer.folder).map(Some),
            Some(wire::Attribute { sparse_tensor: Some(t), .. }) => tensor::decode_sparse(t, self.importer.folder).map(Some),
            _ => Ok(None),
        }
    }

    /// A subgraph attribute as a graph whose inputs are its own, then captures; and the captured values. `given` are types
    /// for inputs of its own that declare none.
    pub(crate) fn subgraph(&mut self, name: &str, given: &[TensorType]) -> Result<(Graph, Vec<ValueId>), OpError> {
        let (mut graphs, captures) = self.subgraphs(&[name], given)?;
        Ok((graphs.remove(0)?, captures))
    }

    /// As [`Node::subgraph`], for several that share their captures in one order. A graph that can't be imported is its
    /// first complaint.
    pub(crate) fn subgraphs(&mut self, names: &[&str], given: &[TensorType]) -> Result<Subgraphs, OpError> {
        let graphs = names.iter().map(|name| self.attributes.get(name).and_then(|a| a.g.as_ref()).ok_or_else(|| self.missing(name))).collect::<Result<Vec<_>, _>>()?;
        self.importer.subgraphs(self.builder, self.scope, &graphs, given)
    }

    /// Complains about an attribute that is not there.
    pub(crate) fn missing(&self, name: &str) -> OpError {
        OpError::invalid(format!("attribute '{name}' of '{}' is missing", self.op))
    }

    /// Complains about a text attribute's value.
    pub(crate) fn unknown_text(&self, name: &str, value: &str) -> OpError {
        OpError::invalid(format!("attribute '{name}' of '{}' is '{value}', which is unknown", self.op))
    }

    /// An axis of the first operand, counted as in Python.
    pub(crate) fn axis(&self, axis: i64) -> Result<usize, OpError> {
        frit_ir::shape::axis(axis, self.builder.rank(self.input(0)?)?)
    }

    /// An operand that was an attribute of integers in older opsets, if either is there.
    pub(crate) fn ints_operand(&mut self, at: usize, name: &str) -> Option<ValueId> {
        self.optional(at).or_else(|| self.maybe_ints(name).map(|ints| self.builder.ints(ints)))
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
}
