//! ONNX models, opsets 7 to the newest.
//!
//! In: the bytes of a model and the folder that its external data lies in. Out: a [`Graph`]. Functions are
//! inlined; subgraphs become graphs whose captures are operands. The tables of [`math`], [`movement`] and their
//! neighbours say what each op becomes; a table row is a name and a function from a [`Node`] to values.
//!
//! To add an op: add a row to the table of its family.

mod node;
mod tensor;

mod attention;
mod control;
mod image;
mod loss;
mod math;
mod ml;
mod movement;
mod nn;
mod quantise;
mod recurrent;
mod signal;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use frit_ir::build::Folding;
use frit_ir::shape::TensorType;
use frit_ir::tensor::Pages;
use frit_ir::{Builder, Dim, Error, Graph, OpError, Shape, ValueId};
use frit_proto::onnx as wire;
use prost::Message;

use crate::import::{Family, Known, Refused, ends, known};
use crate::specialise::Binding;

pub(crate) use node::Node;

/// Subgraphs, or the first complaint of each, and what they capture.
type Subgraphs = (Vec<Result<Graph, Error>>, Vec<ValueId>);

/// Makes values of a node's operands.
type Handler = fn(&mut Node<'_, '_>) -> Result<Vec<ValueId>, OpError>;

/// Ops of a domain by family: those that are one of ours, or none, and those that are made of several.
struct Domain {
    /// Its name, as models have it.
    name: &'static str,
    own: &'static [&'static [(&'static str, Handler)]],
    expanded: &'static [&'static [(&'static str, Handler)]],
}

/// The domains that are known. Of ONNX Runtime's own only what its quantiser writes is.
const DOMAINS: &[Domain] = &[
    Domain {
        name: "",
        own: &[attention::OPS, control::OPS, image::OPS, loss::OPS, math::OPS, movement::OPS, nn::OPS, quantise::OPS, recurrent::OPS, signal::OPS],
        expanded: &[loss::EXPANDED, quantise::EXPANDED],
    },
    Domain { name: "ai.onnx.ml", own: &[ml::OPS], expanded: &[ml::EXPANDED] },
    Domain { name: "com.microsoft", own: &[], expanded: &[quantise::MICROSOFT] },
];

/// Ops that people meet and that are not supported, those of other domains than the first two with it.
const REFUSED: &[Refused] = &[
    ("CastMap", MAPS, MAPS_INSTEAD),
    ("CategoryMapper", TEXT, TEXT_INSTEAD),
    ("ConcatFromSequence", LISTS, LISTS_INSTEAD),
    ("DictVectorizer", MAPS, MAPS_INSTEAD),
    ("ImageDecoder", "it decodes files", "export the model with decoded tensors as inputs"),
    ("Multinomial", "it draws as values say", "give probabilities out, and draw behind the model"),
    ("Optional*", "what may not be there is no tensor", "export the model without optional values"),
    ("RegexFullMatch", TEXT, TEXT_INSTEAD),
    ("Sequence*", LISTS, LISTS_INSTEAD),
    ("SplitToSequence", LISTS, LISTS_INSTEAD),
    ("String*", TEXT, TEXT_INSTEAD),
    ("TfIdfVectorizer", TEXT, TEXT_INSTEAD),
    ("ZipMap", MAPS, "export the model with zipmap=False"),
    ("ai.onnx.preview.training::*", "it is for training", "export the model for inference"),
    ("com.microsoft::*", "it is ONNX Runtime's own", "export the model with ops of ai.onnx, before ONNX Runtime optimises it"),
];

const LISTS: &str = "its lists are no tensors";
const LISTS_INSTEAD: &str = "export the model with tensors that are joined and split";
const MAPS: &str = "its maps are no tensors";
const MAPS_INSTEAD: &str = "export the model with tensors as results";
const TEXT: &str = "it works on text";
const TEXT_INSTEAD: &str = "prepare text before the model";

/// The opsets that are known.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=28;

/// What becomes of ops.
pub fn known() -> Known {
    let names = |tables: &'static [&[(&str, Handler)]]| tables.iter().flat_map(|table| table.iter().map(|(name, _)| *name));
    let families = DOMAINS.iter().map(|domain| Family::new(if domain.name.is_empty() { "ai.onnx" } else { domain.name }, names(domain.own), names(domain.expanded)));
    Known::new(families.collect(), &[("op", REFUSED)])
}

/// Decodes a tensor that lies in a file of its own (ONNX's test data).
///
/// # Errors
/// Invalid where sizes don't fit; unsupported dtypes.
pub fn decode_tensor(tensor: &wire::Tensor) -> Result<frit_ir::Tensor, OpError> {
    tensor::decode(tensor, None)
}

fn handler(domain: &str, name: &str) -> Option<Handler> {
    let domain = DOMAINS.iter().find(|known| known.name == domain)?;
    domain.own.iter().chain(domain.expanded).flat_map(|table| table.iter()).find(|(known, _)| *known == name).map(|(_, handler)| *handler)
}

/// Imports a model. `pages` are those of `bytes`, where they are mapped; external data lies in `folder`.
///
/// # Errors
/// Every complaint about the model, each with the node's name.
pub fn import(bytes: Bytes, pages: Option<Arc<dyn Pages>>, folder: Option<&Path>, binding: &Binding) -> Result<Graph, Vec<Error>> {
    let malformed = |why: String| vec![Error::invalid(format!("not a whole ONNX model: {why}")).help("the file may be cut off or of another format; `python -m onnx.checker` tells more")];
    let model = wire::Model::decode(bytes).map_err(|error| malformed(error.to_string()))?;
    let Some(graph) = &model.graph else { return Err(malformed("it holds no graph".into())) };
    if model.opset_import.is_empty() {
        return Err(malformed("it names no opset".into()));
    }
    let opsets = opsets(&model.opset_import);
    if let Some(version) = opsets.get("")
        && !OPSETS.contains(version)
    {
        return Err(vec![Error::unsupported(format!("the model uses opset {version} of ai.onnx; known are {} to {}", OPSETS.start(), OPSETS.end())).help("convert it with onnx.version_converter")]);
    }
    let mut importer = Importer { functions: HashMap::new(), folder, pages, binding, errors: Vec::new(), depth: 0 };
    for function in &model.functions {
        importer.functions.insert((domain(function.domain()), function.name(), function.overload()), function);
    }
    let mut builder = Builder::new(graph.name()).folding(Folding::Early);
    let mut scope = Scope { values: HashMap::new(), opsets };
    importer.graph(&mut builder, &mut scope, graph);
    ends::finish(builder, importer.errors)
}

fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

fn opsets(list: &[wire::OperatorSetId]) -> BTreeMap<String, i64> {
    list.iter().map(|id| (domain(id.domain()).to_owned(), id.version())).collect()
}

/// What a name stands for.
#[derive(Clone, Copy)]
enum Bound {
    /// A value.
    Value(ValueId),
    /// A node that could not be imported makes it; that was reported there.
    Failed,
    /// An optional input that the caller of a function left out.
    Absent,
}

impl From<Option<ValueId>> for Bound {
    fn from(value: Option<ValueId>) -> Self {
        value.map_or(Bound::Failed, Bound::Value)
    }
}

/// The names that are visible where nodes are added.
pub(crate) struct Scope {
    values: HashMap<String, Bound>,
    opsets: BTreeMap<String, i64>,
}

/// What is known of the whole model, and the complaints so far.
pub(crate) struct Importer<'m> {
    functions: HashMap<(&'m str, &'m str, &'m str), &'m wire::Function>,
    folder: Option<&'m Path>,
    pages: Option<Arc<dyn Pages>>,
    binding: &'m Binding,
    errors: Vec<Error>,
    depth: usize,
}

/// Functions nest no deeper than this.
const MAX_DEPTH: usize = 64;

/// Subgraphs nest no deeper than this: each level of a loop is inferred several times.
const MAX_SUBGRAPHS: usize = 12;

impl<'m> Importer<'m> {
    /// Adds the main graph: its inputs, then its body.
    fn graph(&mut self, builder: &mut Builder, scope: &mut Scope, graph: &'m wire::Graph) {
        let constants: BTreeSet<&str> = graph.initializer.iter().map(wire::Tensor::name).chain(graph.sparse_initializer.iter().filter_map(|s| s.values.as_ref()).map(wire::Tensor::name)).collect();
        let mut types = Vec::new();
        for input in graph.input.iter().filter(|input| !constants.contains(input.name())) {
            match declared(input) {
                Ok(ty) => types.push((input.name(), ty)),
                Err(error) => {
                    self.errors.push(Error { node: format!("input '{}'", input.name()), ..Error::new(error.kind, error.message) });
                    scope.values.insert(input.name().to_owned(), Bound::Failed);
                }
            }
        }
        match ends::inputs(builder, &types, self.binding) {
            Ok(values) => scope.values.extend(types.iter().zip(values).map(|((name, _), value)| ((*name).to_owned(), Bound::Value(value)))),
            Err(errors) => {
                self.errors.extend(errors);
                return;
            }
        }
        self.body(builder, scope, graph, &[]);
    }

    /// Adds a graph's constants, nodes and outputs; `bound` are its inputs and captures.
    fn body(&mut self, builder: &mut Builder, scope: &mut Scope, graph: &'m wire::Graph, bound: &[(String, ValueId)]) {
        for (name, value) in bound {
            scope.values.insert(name.clone(), Bound::Value(*value));
        }
        for tensor in &graph.initializer {
            let value = self.constant(builder, tensor.name(), tensor::decode(tensor, self.folder));
            scope.values.insert(tensor.name().to_owned(), value.into());
        }
        for tensor in &graph.sparse_initializer {
            let name = tensor.values.as_ref().map_or("", |t| t.name());
            let value = self.constant(builder, name, tensor::decode_sparse(tensor, self.folder));
            scope.values.insert(name.to_owned(), value.into());
        }
        match order(&graph.node) {
            Ok(nodes) => {
                for node in nodes {
                    self.node(builder, scope, node, &HashMap::new());
                }
            }
            Err(error) => self.errors.push(error),
        }
        for output in &graph.output {
            match scope.values.get(output.name()) {
                Some(Bound::Value(value)) => builder.output(output.name(), *value),
                Some(Bound::Failed | Bound::Absent) => {}
                None if self.errors.is_empty() => self.errors.push(Error::invalid(format!("output '{}' is made by no node", output.name()))),
                None => {}
            }
        }
    }

    fn constant(&mut self, builder: &mut Builder, name: &str, tensor: Result<frit_ir::Tensor, OpError>) -> Option<ValueId> {
        match tensor {
            Ok(tensor) => {
                let value = builder.constant(tensor.with_pages(self.pages.clone()));
                builder.name(value, name);
                Some(value)
            }
            Err(error) => {
                self.errors.push(Error::at(error, format!("initializer '{name}'"), Vec::new()));
                None
            }
        }
    }

    /// Adds one node. `attributes` are those of the function call that it stands in.
    fn node(&mut self, builder: &mut Builder, scope: &mut Scope, node: &'m wire::Node, attributes: &HashMap<&'m str, &'m wire::Attribute>) {
        let name = if node.name().is_empty() { node.output.iter().find(|o| !o.is_empty()).map_or("", String::as_str) } else { node.name() };
        let node_domain = domain(node.domain());
        let opset = scope.opsets.get(node_domain).copied();
        let shown = if node_domain.is_empty() { "ai.onnx" } else { node_domain };
        let outer = builder.origins().clone();
        let origins = if self.depth == 0 || outer.is_empty() { frit_ir::build::origin(name, node.op_type(), opset.map_or(shown.to_owned(), |v| format!("{shown} {v}"))) } else { outer.clone() };
        builder.set_origins(origins);
        let done = self.apply(builder, scope, node, attributes, opset);
        match done {
            Ok(Some(values)) => {
                for (output, value) in node.output.iter().zip(values) {
                    if !output.is_empty() {
                        if builder.graph().value(value).name.is_none() {
                            builder.name(value, output.clone());
                        }
                        scope.values.insert(output.clone(), Bound::Value(value));
                    }
                }
            }
            Ok(None) => self.poison(scope, node),
            Err(error) => {
                let place = builder.origins().first().map_or_else(String::new, |origin| origin.to_string());
                let inputs = node.input.iter().map(|i| match scope.values.get(i) {
                    Some(Bound::Value(value)) => builder.ty(*value).to_string(),
                    _ => "-".to_owned(),
                }).collect();
                self.errors.push(Error::at(error, place, inputs));
                self.poison(scope, node);
            }
        }
        builder.set_origins(outer);
    }

    fn poison(&self, scope: &mut Scope, node: &wire::Node) {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            scope.values.insert(output.clone(), Bound::Failed);
        }
    }

    /// The values that a node makes; nothing where an operand's node has failed before.
    fn apply(&mut self, builder: &mut Builder, scope: &mut Scope, node: &'m wire::Node, attributes: &HashMap<&'m str, &'m wire::Attribute>, opset: Option<i64>) -> Result<Option<Vec<ValueId>>, OpError> {
        let mut inputs = Vec::new();
        for input in &node.input {
            inputs.push(match scope.values.get(input) {
                _ if input.is_empty() => None,
                Some(Bound::Value(value)) => Some(*value),
                Some(Bound::Absent) => None,
                Some(Bound::Failed) => return Ok(None),
                None => return Err(OpError::invalid(format!("operand '{input}' is made by no node"))),
            });
        }
        let mut known: HashMap<&'m str, &'m wire::Attribute> = HashMap::new();
        for attribute in &node.attribute {
            if attribute.ref_attr_name().is_empty() {
                known.insert(attribute.name(), attribute);
            } else if let Some(given) = attributes.get(attribute.ref_attr_name()) {
                known.insert(attribute.name(), given);
            }
        }
        let key = (domain(node.domain()), node.op_type(), node.overload());
        if let Some(function) = self.functions.get(&key).copied() {
            return self.call(builder, function, &inputs, &known);
        }
        let Some(opset) = opset else {
            return Err(OpError::invalid(format!("the model imports no opset of domain '{}'", node.domain())).help("add it to the model's opset_import"));
        };
        let Some(handler) = handler(key.0, node.op_type()) else {
            let name = if matches!(key.0, "" | "ai.onnx.ml") { node.op_type().to_owned() } else { format!("{}::{}", key.0, node.op_type()) };
            return Err(known::unsupported("op", &name, REFUSED, "docs/onnx.md lists what is"));
        };
        let mut node = Node { builder, importer: self, scope, inputs, attributes: known, opset, outputs: node.output.len(), op: node.op_type(), wire: node, misread: RefCell::new(None) };
        let done = handler(&mut node);
        node.misread.take().map_or(done.map(Some), Err)
    }

    /// Inlines a model-local function.
    fn call(&mut self, builder: &mut Builder, function: &'m wire::Function, inputs: &[Option<ValueId>], given: &HashMap<&'m str, &'m wire::Attribute>) -> Result<Option<Vec<ValueId>>, OpError> {
        if self.depth >= MAX_DEPTH {
            return Err(OpError::invalid(format!("function '{}' nests deeper than {MAX_DEPTH}, or calls itself", function.name())));
        }
        let mut attributes: HashMap<&'m str, &'m wire::Attribute> = function.attribute_proto.iter().map(|a| (a.name(), a)).collect();
        attributes.extend(given);
        let mut scope = Scope { values: HashMap::new(), opsets: opsets(&function.opset_import) };
        for (name, value) in function.input.iter().zip(inputs.iter().copied().chain(std::iter::repeat(None))) {
            scope.values.insert(name.clone(), value.map_or(Bound::Absent, Bound::Value));
        }
        let before = self.errors.len();
        self.depth += 1;
        match order(&function.node) {
            Ok(nodes) => {
                for node in nodes {
                    self.node(builder, &mut scope, node, &attributes);
                }
            }
            Err(error) => self.errors.push(error),
        }
        self.depth -= 1;
        if self.errors.len() > before {
            return Ok(None);
        }
        let result = |name: &String| match scope.values.get(name) {
            Some(Bound::Value(value)) => Ok(*value),
            _ => Err(OpError::invalid(format!("function '{}' does not make its output '{name}'", function.name()))),
        };
        function.output.iter().map(result).collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// Imports subgraphs of one node. `given` are types for inputs of theirs that declare none. Each becomes a graph (or
    /// its first complaint) whose inputs are its own, then the captures, which all of
    /// them share in one order. Constants from outside are copied in (they share their bytes).
    fn subgraphs(&mut self, builder: &Builder, scope: &Scope, graphs: &[&'m wire::Graph], given: &[TensorType]) -> Result<Subgraphs, OpError> {
        if self.depth >= MAX_SUBGRAPHS {
            return Err(OpError::invalid(format!("subgraphs nest deeper than {MAX_SUBGRAPHS}")));
        }
        let mut free = Vec::new();
        for graph in graphs {
            free_names(graph, &BTreeSet::new(), &mut free);
        }
        let mut captured: Vec<(String, ValueId)> = Vec::new();
        let mut constants: Vec<(String, frit_ir::Tensor)> = Vec::new();
        let mut others: Vec<(String, Bound)> = Vec::new();
        for name in free {
            match scope.values.get(&name) {
                Some(Bound::Value(value)) => match builder.as_constant(*value) {
                    Some(tensor) => constants.push((name, tensor.clone())),
                    None => captured.push((name, *value)),
                },
                Some(other) => others.push((name, *other)),
                None => {}
            }
        }
        let before = self.errors.len();
        self.depth += 1;
        let mut done = Vec::new();
        for graph in graphs {
            let mut inner = Builder::new(graph.name()).folding(Folding::Early);
            inner.set_origins(builder.origins().clone());
            let mut inner_scope = Scope { values: others.iter().map(|(name, bound)| (name.clone(), *bound)).collect(), opsets: scope.opsets.clone() };
            for (name, tensor) in &constants {
                let value = inner.constant(tensor.clone());
                inner.name(value, name.clone());
                inner_scope.values.insert(name.clone(), Bound::Value(value));
            }
            let mut all = Vec::new();
            for (k, input) in graph.input.iter().enumerate() {
                let ty = match given.get(k) {
                    Some(ty) if input.r#type.as_ref().is_none_or(|ty| ty.value.is_none()) => ty.clone(),
                    _ => declared(input)?,
                };
                all.push((input.name().to_owned(), inner.input(input.name(), ty)));
            }
            for (name, value) in &captured {
                all.push((name.clone(), inner.input(name.clone(), builder.ty(*value).clone())));
            }
            self.body(&mut inner, &mut inner_scope, graph, &all);
            let complaint = self.errors.drain(before..).next();
            done.push(complaint.map_or_else(|| Ok(inner.finish()), Err));
        }
        self.depth -= 1;
        Ok((done, captured.into_iter().map(|(_, value)| value).collect()))
    }
}

/// The names that a graph uses and does not make, in the order of first use, each once.
fn free_names(graph: &wire::Graph, outer: &BTreeSet<String>, free: &mut Vec<String>) {
    let mut made = outer.clone();
    made.extend(graph.input.iter().map(|i| i.name().to_owned()));
    made.extend(graph.initializer.iter().map(|t| t.name().to_owned()));
    made.extend(graph.node.iter().flat_map(|n| n.output.iter().cloned()));
    let mut used = |name: &String| {
        if !name.is_empty() && !made.contains(name) && !free.contains(name) {
            free.push(name.clone());
        }
    };
    for node in &graph.node {
        node.input.iter().for_each(&mut used);
    }
    graph.output.iter().map(|o| o.name().to_owned()).for_each(|name| used(&name));
    for node in &graph.node {
        for attribute in &node.attribute {
            for inner in attribute.g.iter().chain(&attribute.graphs) {
                free_names(inner, &made, free);
            }
        }
    }
}

/// The nodes in an order in which operands come first: the file's, where it is one.
fn order(nodes: &[wire::Node]) -> Result<Vec<&wire::Node>, Error> {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            if let Some(first) = makers.insert(output, at) {
                let message = format!("node '{}' ({}) makes '{output}' too", nodes[first].name(), nodes[first].op_type());
                return Err(Error { node: format!("node '{}' ({})", node.name(), node.op_type()), ..Error::invalid(message).help("names of values must be unique") });
            }
        }
    }
    let mut graph = petgraph::graph::DiGraph::<usize, ()>::new();
    let ids: Vec<_> = (0..nodes.len()).map(|at| graph.add_node(at)).collect();
    let mut sorted = true;
    for (at, node) in nodes.iter().enumerate() {
        let mut names: Vec<String> = node.input.clone();
        for attribute in &node.attribute {
            for inner in attribute.g.iter().chain(&attribute.graphs) {
                free_names(inner, &BTreeSet::new(), &mut names);
            }
        }
        for name in &names {
            if let Some(maker) = makers.get(name.as_str()) {
                sorted &= *maker < at;
                graph.add_edge(ids[*maker], ids[at], ());
            }
        }
    }
    if sorted {
        return Ok(nodes.iter().collect());
    }
    match petgraph::algo::toposort(&graph, None) {
        Ok(order) => Ok(order.into_iter().map(|id| &nodes[graph[id]]).collect()),
        Err(cycle) => {
            let node = &nodes[graph[cycle.node_id()]];
            Err(Error { node: format!("node '{}' ({})", node.name(), node.op_type()), ..Error::invalid("the graph has a cycle: this node needs its own result") })
        }
    }
}

/// The declared type of an input.
fn declared(info: &wire::ValueInfo) -> Result<TensorType, OpError> {
    let ty = info.r#type.as_ref().and_then(|ty| ty.value.as_ref());
    let tensor = match ty {
        Some(wire::r#type::Value::TensorType(tensor)) => tensor,
        Some(_) => return Err(OpError::unsupported("sequences and optionals are not supported")),
        None => return Err(OpError::invalid("it has no type")),
    };
    let dtype = tensor::dtype(tensor.elem_type())?;
    let Some(shape) = &tensor.shape else { return Ok(TensorType::new(dtype, Shape::Unranked)) };
    let dims = shape.dim.iter().enumerate().map(|(axis, dim)| match &dim.value {
        Some(wire::shape::dimension::Value::DimValue(n)) if *n >= 0 => Dim::Known(*n),
        Some(wire::shape::dimension::Value::DimParam(name)) if !matches!(name.as_str(), "" | "?") => Dim::symbol(name.clone()),
        _ => Dim::symbol(format!("{}.{axis}", info.name())),
    });
    Ok(TensorType::ranked(dtype, dims.collect()))
}
