//! TensorFlow: SavedModels, graphs, checkpoints, TensorFlow.js.
//!
//! In: the path of a model. Out: a [`Graph`]. Files become a meta graph ([`mod@bundle`] and [`mod@variables`] find the values of variables, [`mod@json`] reads
//! TensorFlow.js), whose outputs are evaluated back to the inputs ([`mod@evaluate`]): functions are inlined, loops and branches structured ([`mod@control`]).
//! The tables of [`mod@math`], [`mod@movement`] and their neighbours say what each op becomes: a row is a name and a function from a [`Node`] to values.
//!
//! To add an op: add a row to the table of its family. One that has several results needs a row in [`mod@body`] too.

mod body;
mod bundle;
mod control;
mod evaluate;
mod image;
mod json;
mod list;
mod math;
mod movement;
mod nn;
mod node;
mod recurrent;
mod signal;
mod state;
mod tensor;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use frit_ir::build::Folding;
use frit_ir::shape::TensorType;
use frit_ir::tensor::Pages;
use frit_ir::{Builder, Error, Graph, OpError, ValueId};
use frit_proto::tensorflow as wire;
use prost::Message;

use self::body::{Body, Source};
use self::bundle::Bundle;
use self::evaluate::{Bound, Env, Importer};
use self::node::Node;
use self::variables::Variables;
use super::{Family, Format, Known, Mapped, Model, Refused, ends, known};

/// A node's attributes.
type Attributes = BTreeMap<String, wire::Attribute>;

/// Makes values of a node's operands.
type Handler = fn(&mut Node<'_, '_>) -> Result<Vec<ValueId>, OpError>;

/// Makes values, lists or variables of a node's operands.
type BoundHandler = fn(&mut Node<'_, '_>) -> Result<Vec<Bound>, OpError>;

/// What an op becomes.
enum How {
    Values(Handler),
    Bounds(BoundHandler),
}

/// Ops that are one of ours.
const OPS: &[&[(&str, Handler)]] = &[math::OPS, movement::OPS, nn::OPS, image::OPS, control::VALUES];
/// Ops that are made of several of ours.
const EXPANDED: &[&[(&str, Handler)]] = &[math::EXPANDED, movement::EXPANDED, nn::EXPANDED, image::EXPANDED, recurrent::EXPANDED, control::EXPANDED];
/// Ops on other things than tensors: variables, lists, functions; and those that hand on what they are given.
const BOUNDS: &[&[(&str, BoundHandler)]] = &[control::OPS, control::HANDED_ON, list::OPS, movement::HANDED_ON, signal::OPS, state::OPS];
/// Such ops that are made of several of ours.
const EXPANDED_BOUNDS: &[&[(&str, BoundHandler)]] = &[signal::EXPANDED];

/// What is asked for now and then, and why it is not supported. `*` stands for the rest of a name.
const REFUSED: &[Refused] = &[
    ("AsString", TEXT, TEXT_HELP),
    ("DecodeBase64", TEXT, TEXT_HELP),
    ("DecodeGif", FILES, FILES_HELP),
    ("DecodeImage", FILES, FILES_HELP),
    ("DecodeJpeg", FILES, FILES_HELP),
    ("DecodePng", FILES, FILES_HELP),
    ("DecodeRaw", TEXT, TEXT_HELP),
    ("DecodeWav", FILES, FILES_HELP),
    ("EncodeBase64", TEXT, TEXT_HELP),
    ("HashTable*", TABLES, TABLES_HELP),
    ("LookupTable*", TABLES, TABLES_HELP),
    ("MutableHashTable*", TABLES, TABLES_HELP),
    ("ParseExample*", TEXT, TEXT_HELP),
    ("ParseSingleExample", TEXT, TEXT_HELP),
    ("PyFunc", "it calls Python", "export the model without Python functions"),
    ("RandomGamma*", "its results are random", "export the model for inference"),
    ("RandomPoisson*", "its results are random", "export the model for inference"),
    ("RandomShuffle", "its results are random", "export the model for inference"),
    ("Ragged*", "its tensors are ragged", "export the model with padded tensors"),
    ("ReadFile", FILES, FILES_HELP),
    ("RegexFullMatch", TEXT, TEXT_HELP),
    ("RegexReplace", TEXT, TEXT_HELP),
    ("Sparse*", "its tensors are sparse", "export the model with dense tensors"),
    ("StatefulRandom*", "its results are random", "export the model for inference"),
    ("StatelessRandom*", "its results are random", "export the model for inference"),
    ("StaticRegex*", TEXT, TEXT_HELP),
    ("String*", TEXT, TEXT_HELP),
    ("UnicodeDecode*", TEXT, TEXT_HELP),
    ("XlaCallModule", "it holds a program of XLA", "export the model with native_serialization=False"),
];

/// The number of the dtype of text.
const TEXT_TYPE: i32 = 7;

const TEXT: &str = "it works on text";
const TEXT_HELP: &str = "choose or export a signature that takes numbers, and prepare text before";
const FILES: &str = "it decodes files";
const FILES_HELP: &str = "choose or export a signature that takes decoded tensors";
const TABLES: &str = "it looks up a table";
const TABLES_HELP: &str = "choose or export a signature that takes indices, and look them up before";

fn handler(op: &str) -> Option<How> {
    let values = OPS.iter().chain(EXPANDED).flat_map(|table| table.iter()).find(|(name, _)| *name == op).map(|(_, handler)| How::Values(*handler));
    values.or_else(|| BOUNDS.iter().chain(EXPANDED_BOUNDS).flat_map(|table| table.iter()).find(|(name, _)| *name == op).map(|(_, handler)| How::Bounds(*handler)))
}

/// The complaint about an op that has no row.
fn unsupported(op: &str) -> OpError {
    known::unsupported("op", op, REFUSED, "docs/tensorflow.md lists what is")
}

/// What becomes of ops.
pub fn known() -> Known {
    let values = |tables: &[&[(&'static str, Handler)]]| tables.iter().flat_map(|table| table.iter().map(|(name, _)| *name)).collect::<Vec<_>>();
    let bounds = |tables: &[&[(&'static str, BoundHandler)]]| tables.iter().flat_map(|table| table.iter().map(|(name, _)| *name)).collect::<Vec<_>>();
    let own = values(OPS).into_iter().chain(bounds(BOUNDS)).chain(["Merge", "NextIteration", "VarHandleOp", "VariableV2"]);
    Known::new(vec![Family::new("Ops", own, values(EXPANDED).into_iter().chain(bounds(EXPANDED_BOUNDS)))], &[("op", REFUSED)])
}

/// Imports a model.
///
/// # Errors
/// Every complaint about the model, each with the node's name.
pub(crate) fn import(model: &Model<'_>, format: Format) -> Result<Graph, Vec<Error>> {
    let one = |error| vec![error];
    match format {
        Format::SavedModel => {
            let folder = if model.path.is_dir() { model.path.to_owned() } else { model.path.parent().unwrap_or(Path::new(".")).to_owned() };
            let file = super::map(&folder.join("saved_model.pb")).map_err(one)?;
            let pages = file.pages;
            let saved = wire::SavedModel::decode(file.bytes).map_err(|error| malformed(&error.to_string()))?;
            let meta = chosen_meta(&saved).map_err(one)?;
            let prefix = folder.join("variables").join("variables");
            let bundle = if folder.join("variables").join("variables.index").is_file() { Some(Bundle::open(&prefix).map_err(one)?) } else { None };
            signature(model, meta, Variables::new(meta, bundle), Some(pages))
        }
        Format::Checkpoint => {
            let file = meta_file(model.path).map_err(one)?;
            let mapped = super::map(&file).map_err(one)?;
            let meta = wire::MetaGraph::decode(mapped.bytes).map_err(|error| malformed(&error.to_string()))?;
            let prefix = file.with_extension("");
            let bundle = if file.with_extension("index").is_file() { Some(Bundle::open(&prefix).map_err(one)?) } else { None };
            let variables = Variables::new(&meta, bundle);
            by_signature_or_ends(model, &meta, variables, Some(mapped.pages))
        }
        Format::TensorFlowJs => {
            let meta = json::read(model.path).map_err(one)?;
            let variables = Variables::default();
            by_signature_or_ends(model, &meta, variables, None)
        }
        _ => {
            let Mapped { bytes, pages } = super::map(model.path).map_err(one)?;
            let graph = wire::Graph::decode(bytes).map_err(|error| malformed(&error.to_string()))?;
            let meta = wire::MetaGraph { graph_def: Some(graph), ..wire::MetaGraph::default() };
            ends_of_graph(model, &meta, Variables::default(), Some(pages))
        }
    }
}

/// Imports by a signature where there are some or one is asked for, else by the graph's ends.
fn by_signature_or_ends(model: &Model<'_>, meta: &wire::MetaGraph, variables: Variables, pages: Option<Arc<dyn Pages>>) -> Result<Graph, Vec<Error>> {
    if meta.signature_def.is_empty() && model.signature.is_none() { ends_of_graph(model, meta, variables, pages) } else { signature(model, meta, variables, pages) }
}

fn malformed(why: &str) -> Vec<Error> {
    vec![Error::invalid(format!("not a whole TensorFlow model: {why}")).help("the file may be cut off or of another format")]
}

/// The meta graph that is for serving, else the first.
fn chosen_meta(saved: &wire::SavedModel) -> Result<&wire::MetaGraph, Error> {
    let serves = |meta: &&wire::MetaGraph| meta.meta_info_def.as_ref().is_some_and(|info| info.tags.iter().any(|tag| tag == "serve"));
    saved.meta_graphs.iter().find(serves).or(saved.meta_graphs.first()).ok_or_else(|| Error::invalid("the SavedModel holds no graph").help("the file may have been cut off when it was copied"))
}

/// The file of a checkpoint's meta graph: the path itself, or in a folder the only one, else the last by name.
fn meta_file(path: &Path) -> Result<PathBuf, Error> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let unreadable = |error: std::io::Error| Error::invalid(format!("can't read '{}': {error}", path.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|extension| extension == "meta") {
            files.push(file);
        }
    }
    // Of several steps the last: shorter numbers are smaller.
    files.sort_by_key(|file| (file.as_os_str().len(), file.clone()));
    files.pop().ok_or_else(|| Error::invalid(format!("'{}' holds no meta graph", path.display())))
}

/// Imports by a signature: the one that is asked for, else `serving_default`, else the only one.
fn signature(model: &Model<'_>, meta: &wire::MetaGraph, variables: Variables, pages: Option<Arc<dyn Pages>>) -> Result<Graph, Vec<Error>> {
    // Initialisers have signatures too, which give nothing.
    let usable: BTreeMap<&str, &wire::SignatureDef> = meta.signature_def.iter().filter(|(name, signature)| !name.starts_with("__") && !signature.outputs.is_empty()).map(|(name, signature)| (name.as_str(), signature)).collect();
    let names = usable.keys().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let found = match model.signature {
        Some(name) => usable.get(name).copied().ok_or_else(|| Error::invalid(format!("there is no signature '{name}'")).help(if names.is_empty() { "the model has none".to_owned() } else { format!("there are: {names}") })),
        None => match (usable.get("serving_default"), usable.len()) {
            (Some(default), _) => Ok(*default),
            (None, 1) => usable.values().next().copied().ok_or_else(|| Error::bug("a map of one entry is empty")),
            (None, 0) => Err(Error::invalid("the model has no signature").help("save it with signatures: tf.saved_model.save(model, folder, signatures=...), or model.export(folder)")),
            (None, _) => Err(Error::invalid("the model has several signatures, and none is the default").help(format!("choose one by --signature: {names}"))),
        },
    };
    let found = found.map_err(|error| vec![error])?;
    let mut inputs = Vec::new();
    let mut errors = Vec::new();
    for (name, info) in &found.inputs {
        match tensor::dtype(info.dtype) {
            Ok(frit_ir::DType::Str) => {
                let others = usable.iter().filter(|(_, signature)| signature.inputs.values().all(|info| info.dtype != TEXT_TYPE)).map(|(name, _)| format!("'{name}'")).collect::<Vec<_>>();
                let help = if others.is_empty() { "all its signatures take text; export one that takes numbers, and prepare text before".to_owned() } else { format!("choose another signature by --signature: {}", others.join(", ")) };
                errors.push(Error { node: format!("input '{name}'"), ..Error::unsupported("it is text, which is not supported").help(help) });
            }
            Ok(dtype) => inputs.push((name.as_str(), info.name.as_str(), TensorType::new(dtype, tensor::shape(info.tensor_shape.as_ref(), name)))),
            Err(error) => errors.push(Error::at(error, format!("input '{name}'"), Vec::new())),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let outputs: Vec<(&str, &str)> = found.outputs.iter().map(|(name, info)| (name.as_str(), info.name.as_str())).collect();
    graph(model, meta, variables, pages, &inputs, &outputs, false)
}

/// Imports a graph that names no ends: its outputs are what nobody uses, its inputs the placeholders that these need.
fn ends_of_graph(model: &Model<'_>, meta: &wire::MetaGraph, variables: Variables, pages: Option<Arc<dyn Pages>>) -> Result<Graph, Vec<Error>> {
    let Some(def) = &meta.graph_def else { return Err(malformed("it holds no graph")) };
    let body = Body::graph(&def.node, &BTreeSet::new()).map_err(|error| vec![Error::at(error, "the graph", Vec::new())])?;
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); def.node.len()];
    for (at, sources) in body.inputs.iter().enumerate() {
        for node in sources.iter().filter_map(Source::node) {
            users[node].push(at);
        }
    }
    // A placeholder with a default is one that must be given where the default is computed, or is true: graphs are told so whether they train.
    let given = |at: usize| match def.node[at].op.as_str() {
        "Placeholder" => true,
        "PlaceholderWithDefault" => body.inputs[at].first().and_then(Source::node).is_some_and(|default| def.node[default].op != "Const" || holds(&def.node[default])),
        _ => false,
    };
    let dtype = |at: usize| match def.node[at].attr.get("dtype").and_then(|a| a.value.as_ref()) {
        Some(wire::attribute::Value::Type(number)) => *number,
        _ => 0,
    };
    let placeholders: Vec<usize> = (0..def.node.len()).filter(|at| given(*at) && dtype(*at) != TEXT_TYPE).collect();
    // What a pipeline of training data feeds is nothing that can be computed here, so that who reads beside it doesn't count as a user.
    let pipeline = |at: usize| {
        let op = def.node[at].op.as_str();
        ["Iterator", "OneShotIterator", "FIFOQueue", "RandomShuffleQueue", "QueueDequeue", "ReaderRead"].iter().any(|start| op.starts_with(start)) || given(at) && dtype(at) == TEXT_TYPE
    };
    let roots: Vec<usize> = (0..def.node.len()).filter(|at| pipeline(*at)).collect();
    let fed = reached(&roots, def.node.len(), |at| users[at].iter().copied().filter(|user| !given(*user)).collect());
    for list in &mut users {
        list.retain(|user| !fed[*user]);
    }
    // What only orders nodes is left over from conditions and training; of a graph that trains only what depends on placeholders counts.
    let named: std::collections::HashMap<&str, usize> = def.node.iter().enumerate().map(|(at, node)| (node.name.as_str(), at)).collect();
    let mut orders = vec![false; def.node.len()];
    for node in def.node.iter().flat_map(|node| &node.input).filter_map(|input| named.get(input.strip_prefix('^')?)) {
        orders[*node] = true;
    }
    let trains = def.node.iter().any(|node| node.op.starts_with("Save") || node.op.starts_with("Assign"));
    let depends = reached(&placeholders, def.node.len(), |at| users[at].clone());
    let switch = |at: usize| body.inputs[at].first().and_then(Source::node).is_some_and(|from| def.node[from].op == "Switch");
    let silent = |at: usize| {
        let op = def.node[at].op.as_str();
        let known = matches!(op, "NoOp" | "Assert" | "Placeholder" | "PlaceholderWithDefault" | "Print" | "PrintV2" | "Const") || op.starts_with("Assign") || op.starts_with("Save") || op.ends_with("Summary") || op.contains("Apply");
        known || orders[at] || op == "Identity" && (switch(at) || def.node[at].name.ends_with("/pred_id"))
    };
    let unused: Vec<usize> = (0..def.node.len()).filter(|at| users[*at].is_empty() && !fed[*at] && (!trains || depends[*at]) && !silent(*at)).collect();
    // A loop leaves results that nobody wanted; they count where there is nothing else.
    let only_loops = unused.iter().all(|at| def.node[*at].op == "Exit");
    let ends: Vec<usize> = unused.into_iter().filter(|at| only_loops || def.node[*at].op != "Exit").collect();
    let needed = reached(&ends, def.node.len(), |at| if given(at) { Vec::new() } else { body.inputs[at].iter().filter_map(Source::node).collect() });
    let mut inputs = Vec::new();
    let mut errors = Vec::new();
    for at in placeholders.into_iter().filter(|at| needed[*at]) {
        let node = &def.node[at];
        let shape = match node.attr.get("shape").and_then(|a| a.value.as_ref()) {
            Some(wire::attribute::Value::Shape(shape)) => Some(shape),
            _ => None,
        };
        match tensor::dtype(dtype(at)) {
            Ok(dtype) => inputs.push((node.name.as_str(), node.name.as_str(), TensorType::new(dtype, tensor::shape(shape, &node.name)))),
            Err(error) => errors.push(Error::at(error, format!("input '{}'", node.name), Vec::new())),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let outputs: Vec<(&str, &str)> = ends.iter().map(|at| (def.node[*at].name.as_str(), def.node[*at].name.as_str())).collect();
    graph(model, meta, variables, pages, &inputs, &outputs, true)
}

/// Is a constant the truth value that holds?
fn holds(node: &wire::Node) -> bool {
    match node.attr.get("value").and_then(|a| a.value.as_ref()) {
        Some(wire::attribute::Value::Tensor(tensor)) => tensor.bool_val == [true] || tensor.dtype == 10 && tensor.tensor_content[..] == [1],
        _ => false,
    }
}

/// Which nodes a walk from some of them comes by.
fn reached(from: &[usize], count: usize, next: impl Fn(usize) -> Vec<usize>) -> Vec<bool> {
    let mut seen = vec![false; count];
    let mut todo = from.to_vec();
    while let Some(at) = todo.pop() {
        if !std::mem::replace(&mut seen[at], true) {
            todo.extend(next(at));
        }
    }
    seen
}

/// Imports what lies between ends: inputs and outputs are pairs of the user's name and the graph's. Where outputs were `guessed`, those that are no tensors
/// are left out.
fn graph(model: &Model<'_>, meta: &wire::MetaGraph, mut variables: Variables, pages: Option<Arc<dyn Pages>>, inputs: &[(&str, &str, TensorType)], outputs: &[(&str, &str)], guessed: bool) -> Result<Graph, Vec<Error>> {
    let Some(def) = &meta.graph_def else { return Err(malformed("it holds no graph")) };
    if outputs.is_empty() {
        return Err(vec![Error::invalid("the model has no outputs").help("nothing in it depends on its inputs; give a model that is exported for inference")]);
    }
    // Variables that are assigned are states, which is known after all was seen.
    let mut states = BTreeSet::new();
    loop {
        let mut importer = Importer::new(def, variables, pages.clone(), states.clone());
        let mut builder = evaluated(model, def, &mut importer, inputs, outputs, guessed)?;
        if importer.assigned.is_subset(&states) {
            importer.update(&mut builder);
            return ends::finish(builder, importer.errors);
        }
        states.append(&mut importer.assigned);
        variables = importer.variables;
    }
}

/// The outputs, evaluated.
fn evaluated<'m>(model: &Model<'_>, def: &'m wire::Graph, importer: &mut Importer<'m>, inputs: &[(&str, &str, TensorType)], outputs: &[(&str, &str)], guessed: bool) -> Result<Builder, Vec<Error>> {
    let body = Rc::new(Body::graph(&def.node, &importer.assigning).map_err(|error| vec![Error::at(error, "the graph", Vec::new())])?);
    let name = model.path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let mut builder = Builder::new(name).folding(Folding::Early);
    let types: Vec<(&str, TensorType)> = inputs.iter().map(|(name, _, ty)| (*name, ty.clone())).collect();
    let values = ends::inputs(&mut builder, &types, model.binding)?;
    let mut env = Env::default();
    let no_args = std::collections::HashMap::new();
    for ((name, from, _), value) in inputs.iter().zip(values) {
        match body.source(from, &no_args) {
            Source::Node(node, 0) => {
                env.values.insert(node, vec![value.into()]);
            }
            _ => importer.errors.push(Error::invalid(format!("input '{name}' is '{from}', which is no node of the graph"))),
        }
    }
    let wants: Vec<Source> = outputs.iter().map(|(_, from)| body.source(from, &no_args)).collect();
    let results = importer.run(&mut builder, &body, &mut env, &wants);
    for ((name, _), result) in outputs.iter().zip(results) {
        if matches!(result, Bound::Failed) || guessed && matches!(result, Bound::List(_) | Bound::Complex(_) | Bound::Other(_)) {
            continue;
        }
        match importer.value(&mut builder, &result) {
            Ok(value) => builder.output(*name, value),
            Err(error) => importer.errors.push(Error::at(error, format!("output '{name}'"), Vec::new())),
        }
    }
    Ok(builder)
}
