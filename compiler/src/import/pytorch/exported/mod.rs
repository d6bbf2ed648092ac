//! Exported programs: `torch.export.save`'s archives of PyTorch 2.6 and later, undecomposed and decomposed.
//!
//! In: an archive. Out: a [`Graph`]. [`weights`] finds tensors in the archive's three layouts, [`tree`] names outputs, [`expression`] reads
//! dimensions, [`control`] has the operators that hold graphs. What a node does is said in [`aten`](super::aten).

mod control;
mod expression;
mod tree;
mod weights;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use frit_ir::build::Folding;
use frit_ir::ops::cast::Cast;
use frit_ir::tensor::checked_elems;
use frit_ir::{Builder, DType, Dim, Error, Graph, OpError, TensorType, ValueId};
use serde_json::Value as Json;

use super::aten::{self, Arguments, Context};
use super::value::{self, Value};
use crate::import::{Mapped, Model, ends, map};
use crate::import::archive::{Archive, Member};

/// Imports an archive.
///
/// # Errors
/// Every complaint about the model, each with the node's name.
pub(super) fn import(model: &Model<'_>) -> Result<Graph, Vec<Error>> {
    let one = |error: OpError| vec![Error::at(error, "", Vec::new())];
    let Mapped { bytes, pages } = map(model.path).map_err(|error| vec![error])?;
    let archive = Archive::open(&Member { bytes, pages: Some(pages) }).map_err(one)?;
    let file = program_file(&archive).map_err(one)?;
    let text = archive.text(&file).map_err(one)?;
    // Early versions write numbers that JSON has no words for.
    let program = serde_json::from_str::<Json>(&text).or_else(|_| serde_json::from_str::<Json>(&quoted(&text))).map_err(|error| vec![Error::invalid(format!("'{file}' is not the JSON of a program: {error}"))])?;
    drop(text);
    let weights = weights::Weights::open(&archive, &file).map_err(one)?;
    let version = program["torch_version"].as_str().map_or_else(|| "torch".to_owned(), |version| format!("torch {version}"));
    let mut importer = Importer { errors: Vec::new(), depth: 0, version };
    importer.program(model, &program, &weights)
}

/// The text with numbers that are not finite in quotes.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if !inside && let Some(word) = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| rest.starts_with(word)) {
            out.push('"');
            out.push_str(word);
            out.push('"');
            rest = &rest[word.len()..];
            continue;
        }
        inside ^= next == '"';
        out.push(next);
        rest = &rest[next.len_utf8()..];
        // What a backslash stands before does not end a text.
        if inside && next == '\\' && let Some(escaped) = rest.chars().next() {
            out.push(escaped);
            rest = &rest[escaped.len_utf8()..];
        }
    }
    out
}

/// The file that holds the program.
fn program_file(archive: &Archive) -> Result<String, OpError> {
    const FLAT: &str = "serialized_exported_program.json";
    if archive.has(FLAT) {
        return Ok(FLAT.to_owned());
    }
    let files: Vec<&str> = archive.names().filter(|name| name.starts_with("models/") && name.ends_with(".json")).collect();
    match files.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(OpError::invalid("the archive holds no program")),
        many => many.iter().find(|name| **name == "models/model.json").map(|name| (*name).to_owned()).ok_or_else(|| OpError::unsupported(format!("the archive holds several programs: {}", many.join(", ")))),
    }
}

/// What a name stands for.
#[derive(Clone)]
enum Bound {
    /// A value.
    Value(Value),
    /// A node that could not be imported makes it; that was reported there.
    Failed,
}

/// The names of a graph.
type Scope = HashMap<String, Bound>;

/// Graphs nest no deeper than this.
const MAX_DEPTH: usize = 16;

struct Importer {
    errors: Vec<Error>,
    depth: usize,
    /// Which PyTorch wrote the program.
    version: String,
}

fn odd(what: &str) -> OpError {
    OpError::invalid(format!("the program's {what} can't be read")).help("save it again with the newest PyTorch")
}

/// The one entry of an object that stands for a choice: its name and its content.
fn choice(json: &Json) -> Option<(&str, &Json)> {
    json.as_object()?.iter().next().map(|(name, content)| (name.as_str(), content))
}

fn list<'j>(json: &'j Json, name: &str) -> &'j [Json] {
    json[name].as_array().map_or(&[], Vec::as_slice)
}

/// A dtype as exported programs number it.
fn dtype(json: &Json) -> Result<Value, OpError> {
    Ok(match json.as_i64().ok_or_else(|| odd("dtype"))? {
        13 => Value::Dtype(DType::BF16),
        28 => Value::Dtype(DType::U16),
        29 => Value::Dtype(DType::F8E4M3FN),
        30 => Value::Dtype(DType::F8E5M2),
        31 => Value::Dtype(DType::F8E4M3FNUZ),
        32 => Value::Dtype(DType::F8E5M2FNUZ),
        33 => Value::Dtype(DType::F8E8M0),
        34 => Value::Dtype(DType::U32),
        35 => Value::Dtype(DType::U64),
        // The others are one more than PyTorch's own.
        number @ 1..=12 => value::dtype(number - 1)?,
        other => return Err(OpError::unsupported(format!("dtype number {other} is not supported"))),
    })
}

impl Importer {
    fn program(&mut self, model: &Model<'_>, program: &Json, weights: &weights::Weights) -> Result<Graph, Vec<Error>> {
        let one = |error: OpError| vec![Error::at(error, "", Vec::new())];
        let module = &program["graph_module"];
        let (graph, signature) = (&module["graph"], &module["signature"]);
        let specs = list(signature, "input_specs");
        if !graph["nodes"].is_array() || specs.len() != list(graph, "inputs").len() {
            return Err(one(odd("graph")));
        }
        let name = model.path.file_stem().map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned());
        let mut context = Context::new(Builder::new(name).folding(Folding::Early));
        let mut scope = Scope::new();
        let mut declared: Vec<(&str, TensorType)> = Vec::new();
        for spec in specs {
            let (kind, spec) = choice(spec).ok_or_else(|| one(odd("signature")))?;
            if kind == "user_input" {
                match user_input(graph, &spec["arg"]) {
                    Ok(Some((name, Some(ty)))) => declared.push((name, ty)),
                    Ok(_) => {}
                    Err(error) => self.errors.push(Error::at(error, "the inputs", Vec::new())),
                }
            }
        }
        if !self.errors.is_empty() {
            return Err(std::mem::take(&mut self.errors));
        }
        let inputs = ends::inputs(&mut context.builder, &declared, model.binding)?;
        in_range(&context.builder, &declared, &inputs, &program["range_constraints"]).map_err(|error| vec![error])?;
        for ((name, ty), value) in declared.iter().zip(&inputs) {
            let number = list(graph, "inputs").iter().any(|input| input["as_sym_int"]["as_name"] == **name);
            let bound = if number { Value::Symbol(value::Symbol::new(*value, Dim::symbol((*name).to_owned()))) } else { context.fresh(*value) };
            debug_assert_eq!(context.builder.dtype(*value), ty.dtype);
            scope.insert((*name).to_owned(), Bound::Value(bound));
        }
        let changed = mutated(graph, signature);
        let outputs = named(signature, &module["module_call_graph"]);
        let mut states = Vec::new();
        for spec in specs {
            let Some((kind, spec)) = choice(spec) else { continue };
            let (field, constant) = match kind {
                "parameter" => ("parameter_name", false),
                "buffer" => ("buffer_name", spec["persistent"] == false),
                "tensor_constant" => ("tensor_constant_name", true),
                _ => continue,
            };
            let (Some(arg), Some(name)) = (spec["arg"]["name"].as_str(), spec[field].as_str()) else { return Err(one(odd("signature"))) };
            let made = weights.get(name, constant).and_then(|view| {
                if !changed.contains(arg) {
                    return view.tensor(&mut context, name);
                }
                if view.complex {
                    return Err(OpError::unsupported(format!("buffer '{name}' is written to and holds complex numbers, which is not supported")).help("keep real and imaginary parts as two buffers"));
                }
                // A state begins with a tensor that lies row by row.
                let mut rows = Builder::new("").folding(Folding::All);
                let value = view.value(&mut rows)?;
                let initial = rows.as_constant(value).cloned().ok_or_else(|| OpError::unsupported(format!("buffer '{name}' is written to and does not lie row by row")).help("make it contiguous before the export"))?;
                // States and outputs are told apart by their names.
                let clashes = outputs.iter().any(|(output, _)| output == name) || declared.iter().any(|(input, _)| *input == name);
                let state = context.builder.state(if clashes { arg } else { name }, initial);
                states.push((name.to_owned(), arg.to_owned(), state));
                Ok(context.fresh(state))
            });
            match made {
                Ok(value) => drop(scope.insert(arg.to_owned(), Bound::Value(value))),
                Err(error) => {
                    self.errors.push(Error::at(error, format!("tensor '{name}'"), Vec::new()));
                    scope.insert(arg.to_owned(), Bound::Failed);
                }
            }
        }
        self.constants(graph, specs, &mut scope);
        self.nodes(&mut context, &mut scope, graph);
        let updates: BTreeMap<&str, &str> = list(signature, "output_specs")
            .iter()
            .filter_map(|spec| Some((spec["buffer_mutation"]["buffer_name"].as_str()?, spec["buffer_mutation"]["arg"]["name"].as_str()?)))
            .collect();
        for (name, arg, state) in states {
            let next = scope.get(*updates.get(name.as_str()).unwrap_or(&arg.as_str())).cloned();
            if let Some(Bound::Value(Value::Tensor(tensor))) = next {
                let updated = context.read(tensor).and_then(|next| {
                    let dtype = context.builder.dtype(state);
                    let next = if context.builder.dtype(next) == dtype { next } else { context.builder.apply(Cast { to: dtype }, &[next])? };
                    context.builder.update(state, next)
                });
                if let Err(error) = updated {
                    self.errors.push(Error::at(error, format!("buffer '{name}'"), Vec::new()));
                }
            }
        }
        self.outputs(&mut context, &scope, &outputs);
        ends::finish(context.builder, std::mem::take(&mut self.errors))
    }

    /// Inputs that are the same in every run.
    fn constants(&mut self, graph: &Json, specs: &[Json], scope: &mut Scope) {
        for (spec, input) in specs.iter().zip(list(graph, "inputs")) {
            let Some((kind, spec)) = choice(spec) else { continue };
            match kind {
                "constant_input" => {
                    let name = spec["name"].as_str().unwrap_or_default();
                    if let Ok(value) = self.argument(scope, &spec["value"]) {
                        scope.insert(name.to_owned(), Bound::Value(value.unwrap_or(Value::None)));
                    }
                }
                "custom_obj" => self.errors.push(Error::unsupported(format!("the program uses an object of a class of its own, '{}'", spec["custom_obj_name"].as_str().unwrap_or("?"))).help("export a model that keeps tensors only")),
                _ => {}
            }
            // An input that is a number was fixed when the program was exported.
            if let Some(name) = input["as_sym_int"]["as_name"].as_str().filter(|name| !scope.contains_key(*name)) {
                scope.insert(name.to_owned(), Bound::Failed);
            }
        }
    }

    /// Adds the nodes of a graph.
    fn nodes(&mut self, context: &mut Context, scope: &mut Scope, graph: &Json) {
        let strided = list(graph, "nodes").iter().any(|node| node["target"].as_str().is_some_and(|target| target.contains("as_strided")));
        for node in list(graph, "nodes") {
            let target = node["target"].as_str().unwrap_or_default();
            let outputs = list(node, "outputs");
            let name = node["name"].as_str().or_else(|| outputs.first().and_then(names).and_then(|names| names.first().copied())).unwrap_or(target);
            let outer = context.builder.origins().clone();
            if self.depth == 0 || outer.is_empty() {
                context.builder.set_origins(frit_ir::build::origin(name, target.strip_prefix("torch.ops.").unwrap_or(target), self.version.clone()));
            }
            match self.node(context, scope, target, node) {
                Ok(Some(values)) => {
                    if let Err(error) = bind(context, scope, outputs, values) {
                        self.complain(context, scope, node, error);
                    } else if strided {
                        note_strides(context, scope, graph, outputs);
                    }
                }
                Ok(None) => poison(scope, outputs),
                Err(error) => {
                    self.complain(context, scope, node, error);
                    poison(scope, outputs);
                }
            }
            context.builder.set_origins(outer);
        }
    }

    fn complain(&mut self, context: &mut Context, scope: &Scope, node: &Json, error: OpError) {
        let place = context.builder.origins().first().map_or_else(String::new, |origin| origin.to_string());
        let inputs = list(node, "inputs")
            .iter()
            .filter_map(|input| input["arg"]["as_tensor"]["name"].as_str())
            .map(|name| match scope.get(name) {
                Some(Bound::Value(Value::Tensor(tensor))) => context.read(*tensor).map_or_else(|_| "-".to_owned(), |value| context.builder.ty(value).to_string()),
                _ => "-".to_owned(),
            })
            .collect();
        self.errors.push(Error::at(error, place, inputs));
    }

    /// The values that a node gives; nothing where an operand's node has failed before.
    fn node(&mut self, context: &mut Context, scope: &Scope, target: &str, node: &Json) -> Result<Option<Vec<Value>>, OpError> {
        if let Some(operator) = target.strip_prefix("torch.ops.higher_order.") {
            return self.control(context, scope, operator, node);
        }
        let mut arguments = Arguments::default();
        for input in list(node, "inputs") {
            let Some(value) = self.argument(scope, &input["arg"])? else { return Ok(None) };
            let name = input["name"].as_str().unwrap_or_default();
            // Names are the signature's own, also of what was passed by position.
            if name.is_empty() {
                arguments.positional.push(value);
            } else {
                arguments.keyword.push((name.to_owned(), value));
            }
        }
        if let Some(operator) = target.strip_prefix("torch.ops.") {
            let (namespace, rest) = operator.split_once('.').ok_or_else(|| odd("operators"))?;
            let (name, overload) = rest.rsplit_once('.').unwrap_or((rest, "default"));
            let overload = if overload == "default" { "" } else { overload };
            return aten::call(context, &format!("{namespace}::{name}"), Some(overload), &arguments).map(Some);
        }
        let values: Vec<Value> = arguments.positional.into_iter().chain(arguments.keyword.into_iter().map(|(_, value)| value)).collect();
        let name = target.rsplit('.').next().unwrap_or(target);
        if name == "getitem" {
            return item(&values).map(|value| Some(vec![value]));
        }
        if target.starts_with("_operator.") || target.starts_with("math.") || target.starts_with("torch.sym_") || target.starts_with("torch._sym_") {
            return aten::python(context, name.trim_start_matches('_'), &values).map(|value| Some(vec![value]));
        }
        Err(OpError::unsupported(format!("'{target}' is not supported")).help("docs/pytorch.md lists what is"))
    }

    /// What an argument is; nothing where its node has failed before.
    fn argument(&self, scope: &Scope, json: &Json) -> Result<Option<Value>, OpError> {
        let (kind, content) = choice(json).ok_or_else(|| odd("arguments"))?;
        let named = |name: &Json| -> Result<Option<Value>, OpError> {
            let name = name.as_str().ok_or_else(|| odd("arguments"))?;
            match scope.get(name) {
                Some(Bound::Value(value)) => Ok(Some(value.clone())),
                Some(Bound::Failed) => Ok(None),
                None => Err(OpError::invalid(format!("operand '{name}' is made by no node"))),
            }
        };
        // A number is one, or the name of what computes it.
        let symbol = |json: &Json| -> Result<Option<Value>, OpError> {
            let (kind, content) = choice(json).ok_or_else(|| odd("arguments"))?;
            if kind == "as_name" { named(content) } else { plain(kind, content).map(Some) }
        };
        let each = |of: &dyn Fn(&Json) -> Result<Option<Value>, OpError>| -> Result<Option<Value>, OpError> {
            let list = content.as_array().ok_or_else(|| odd("arguments"))?;
            Ok(list.iter().map(of).collect::<Result<Option<Vec<_>>, _>>()?.map(Value::List))
        };
        match kind {
            "as_tensor" => named(&content["name"]),
            "as_tensors" => each(&|tensor| named(&tensor["name"])),
            "as_optional_tensor" => match choice(content) {
                Some(("as_tensor", tensor)) => named(&tensor["name"]),
                _ => Ok(Some(Value::None)),
            },
            "as_optional_tensors" => each(&|tensor| match choice(tensor) {
                Some(("as_tensor", tensor)) => named(&tensor["name"]),
                _ => Ok(Some(Value::None)),
            }),
            "as_nested_tensors" => each(&|tensors| Ok(tensors.as_array().ok_or_else(|| odd("arguments"))?.iter().map(|tensor| named(&tensor["name"])).collect::<Result<Option<Vec<_>>, _>>()?.map(Value::List))),
            "as_sym_int" | "as_sym_bool" | "as_sym_float" => symbol(content),
            "as_sym_ints" | "as_sym_bools" | "as_sym_floats" => each(&symbol),
            "as_ints" | "as_bools" | "as_floats" | "as_strings" => {
                let single = &kind[..kind.len() - 1];
                each(&|element| plain(single, element).map(Some))
            }
            "as_int_lists" => each(&|list| {
                let list = list.as_array().ok_or_else(|| odd("arguments"))?;
                list.iter().map(|n| plain("as_int", n)).collect::<Result<Vec<_>, _>>().map(|list| Some(Value::List(list)))
            }),
            _ => plain(kind, content).map(Some),
        }
    }

    /// Adds the outputs.
    fn outputs(&mut self, context: &mut Context, scope: &Scope, outputs: &[(String, &Json)]) {
        let mut any = false;
        for (name, arg) in outputs {
            let value = match self.argument(scope, arg) {
                Ok(Some(Value::Tensor(tensor))) => context.read(tensor),
                Ok(Some(Value::Symbol(symbol))) => Ok(symbol.value),
                Ok(Some(Value::Complex(..))) => Err(OpError::unsupported("it holds complex numbers, which is not supported").help("export the model with torch.view_as_real of the output")),
                // What is no tensor is the same in every run.
                Ok(_) => continue,
                Err(error) => Err(error),
            };
            match value {
                Ok(value) => {
                    context.builder.output(name.clone(), value);
                    any = true;
                }
                Err(error) => self.errors.push(Error::at(error, format!("output '{name}'"), Vec::new())),
            }
        }
        if !any && self.errors.is_empty() {
            self.errors.push(Error::invalid("the program gives no tensors"));
        }
    }
}

/// The outputs that the user gets, each with a name of its own: the keys that lead to it, or its node's name.
fn named<'j>(signature: &'j Json, calls: &Json) -> Vec<(String, &'j Json)> {
    let user: Vec<&Json> = list(signature, "output_specs").iter().filter_map(|spec| choice(spec).filter(|(kind, _)| matches!(*kind, "user_output" | "loss_output")).map(|(_, spec)| &spec["arg"])).collect();
    let paths = tree::paths(calls, user.len());
    let mut taken = BTreeSet::new();
    let mut outputs = Vec::new();
    for (at, arg) in user.into_iter().enumerate() {
        let node = names(arg).and_then(|names| names.first().map(|name| (*name).to_owned()));
        let wanted = paths.get(at).cloned().flatten().or(node).unwrap_or_else(|| format!("output_{at}"));
        let mut name = wanted.clone();
        let mut k = 1;
        while !taken.insert(name.clone()) {
            name = format!("{wanted}_{k}");
            k += 1;
        }
        outputs.push((name, arg));
    }
    outputs
}

/// An argument that names nothing.
fn plain(kind: &str, content: &Json) -> Result<Value, OpError> {
    let wrong = || odd("arguments");
    Ok(match kind {
        "as_none" => Value::None,
        "as_int" => Value::Int(content.as_i64().ok_or_else(wrong)?),
        "as_bool" => Value::Bool(content.as_bool().ok_or_else(wrong)?),
        "as_float" => Value::Float(match content.as_str() {
            Some("Infinity") => f64::INFINITY,
            Some("-Infinity") => f64::NEG_INFINITY,
            Some("NaN") => f64::NAN,
            Some(_) => return Err(wrong()),
            None => content.as_f64().ok_or_else(wrong)?,
        }),
        "as_string" => Value::Str(content.as_str().ok_or_else(wrong)?.to_owned()),
        "as_scalar_type" => dtype(content)?,
        "as_device" => Value::Device(content["type"].as_str().unwrap_or_default().to_owned()),
        "as_layout" | "as_memory_format" => Value::Layout,
        "as_complex" => Value::ComplexNumber(content["real"].as_f64().ok_or_else(wrong)?, content["imag"].as_f64().ok_or_else(wrong)?),
        "as_custom_obj" => return Err(OpError::unsupported("objects of a class of the program's own are not supported")),
        "as_graph" => return Err(OpError::unsupported("a graph as an argument is not supported here")),
        other => return Err(OpError::unsupported(format!("arguments of kind '{other}' are not supported"))),
    })
}

/// An element of a list or tuple.
fn item(values: &[Value]) -> Result<Value, OpError> {
    let [list, Value::Int(at)] = values else { return Err(OpError::unsupported("'getitem' is only supported of lists")) };
    let list = list.elements().ok_or_else(|| OpError::unsupported("'getitem' is only supported of lists"))?;
    let index = if *at < 0 { *at + list.len() as i64 } else { *at };
    usize::try_from(index).ok().and_then(|index| list.get(index)).cloned().ok_or_else(|| OpError::invalid(format!("element {at} of a list of {}", list.len())))
}

/// An input that the user gives: its name, and its type unless it is fixed.
fn user_input<'j>(graph: &Json, arg: &'j Json) -> Result<Option<(&'j str, Option<TensorType>)>, OpError> {
    let Some((kind, content)) = choice(arg) else { return Err(odd("signature")) };
    match kind {
        "as_tensor" => {
            let name = content["name"].as_str().ok_or_else(|| odd("signature"))?;
            let meta = &graph["tensor_values"][name];
            let dtype = match dtype(&meta["dtype"])? {
                Value::Dtype(dtype) => dtype,
                _ => return Err(OpError::unsupported(format!("input '{name}' holds complex numbers, which is not supported")).help("export the model with torch.view_as_complex of an input")),
            };
            let dims = (0..).zip(list(meta, "sizes")).map(|(axis, size)| expression::dim(size).unwrap_or_else(|| Dim::symbol(format!("{name}.{axis}")))).collect();
            let ty = TensorType::ranked(dtype, dims);
            if let Some(extents) = ty.shape.extents() {
                checked_elems(&extents)?;
            }
            Ok(Some((name, Some(ty))))
        }
        "as_sym_int" => match content["as_name"].as_str() {
            Some(name) => Ok(Some((name, Some(TensorType::known(DType::I64, &[]))))),
            None => Ok(None),
        },
        _ => Ok(None),
    }
}

/// Are dimensions that are known within the bounds that the program was exported for? A program for two or more is let run for less:
/// that bound is PyTorch's own where nobody gives one.
fn in_range(builder: &Builder, declared: &[(&str, TensorType)], inputs: &[ValueId], constraints: &Json) -> Result<(), Error> {
    for ((name, ty), value) in declared.iter().zip(inputs) {
        let (Some(dims), Some(bound)) = (ty.shape.dims(), builder.ty(*value).shape.dims()) else { continue };
        for (dim, bound) in dims.iter().zip(bound) {
            let symbols = dim.symbols();
            let (Some(n), [symbol]) = (bound.known(), symbols.as_slice()) else { continue };
            if *dim != Dim::symbol(symbol.clone()) {
                continue;
            }
            let range = &constraints[symbol.as_str()];
            let (low, high) = (range["min_val"].as_i64().filter(|low| *low > 2).unwrap_or(0), range["max_val"].as_i64().unwrap_or(i64::MAX));
            if !(low..=high).contains(&n) {
                let bounds = if high == i64::MAX { format!("{low} or more") } else { format!("{low} to {high}") };
                return Err(Error::invalid(format!("dimension '{symbol}' of input '{name}' is {n}, and the program was exported for {bounds}")).help("export it with other bounds, or give an input that keeps to them"));
            }
        }
    }
    Ok(())
}

/// The names of outputs.
fn names(output: &Json) -> Option<Vec<&str>> {
    let (kind, content) = choice(output)?;
    Some(match kind {
        "as_tensor" => vec![content["name"].as_str()?],
        "as_tensors" => content.as_array()?.iter().filter_map(|tensor| tensor["name"].as_str()).collect(),
        "as_optional_tensors" => content.as_array()?.iter().filter_map(|tensor| tensor["as_tensor"]["name"].as_str()).collect(),
        "as_sym_int" | "as_sym_bool" | "as_sym_float" => vec![content["as_name"].as_str()?],
        _ => Vec::new(),
    })
}

fn poison(scope: &mut Scope, outputs: &[Json]) {
    for name in outputs.iter().filter_map(names).flatten() {
        scope.insert(name.to_owned(), Bound::Failed);
    }
}

/// Gives the names of a node's outputs their values. A list of outputs takes the elements of a list.
fn bind(context: &mut Context, scope: &mut Scope, outputs: &[Json], values: Vec<Value>) -> Result<(), OpError> {
    let mut flat = Vec::new();
    for value in values {
        match value {
            Value::List(list) | Value::Tuple(list) => flat.extend(list),
            other => flat.push(other),
        }
    }
    let mut at = 0;
    for output in outputs {
        let Some((kind, content)) = choice(output) else { continue };
        let elements: Vec<Option<&str>> = match kind {
            "as_tensors" => content.as_array().map(|list| list.iter().map(|tensor| tensor["name"].as_str()).collect()).unwrap_or_default(),
            "as_optional_tensors" => content.as_array().map(|list| list.iter().map(|tensor| tensor["as_tensor"]["name"].as_str()).collect()).unwrap_or_default(),
            "as_none" => vec![None],
            _ => vec![names(output).and_then(|names| names.first().copied())],
        };
        for name in elements {
            let value = flat.get(at).cloned();
            at += 1;
            let Some(name) = name else { continue };
            let value = value.ok_or_else(|| OpError::invalid(format!("the node has {} outputs, and its operator gives {}", outputs.len(), flat.len())))?;
            let parts = match &value {
                Value::Tensor(tensor) => vec![*tensor],
                Value::Complex(real, imaginary) => vec![*real, *imaginary],
                _ => Vec::new(),
            };
            for tensor in parts {
                let value = context.read(tensor)?;
                // No tensor that is larger than memory can be is computed with.
                if let Some(extents) = context.builder.ty(value).shape.extents() {
                    checked_elems(&extents)?;
                }
                if context.builder.graph().value(value).name.is_none() {
                    context.builder.name(value, name);
                }
            }
            scope.insert(name.to_owned(), Bound::Value(value));
        }
    }
    Ok(())
}

/// Notes the strides of tensors, which `as_strided` needs.
fn note_strides(context: &mut Context, scope: &Scope, graph: &Json, outputs: &[Json]) {
    for name in outputs.iter().filter_map(names).flatten() {
        let strides: Option<Vec<i64>> = list(&graph["tensor_values"][name], "strides").iter().map(|stride| stride["as_int"].as_i64()).collect();
        if let (Some(Bound::Value(Value::Tensor(tensor))), Some(strides)) = (scope.get(name), strides) {
            context.aliases.set_strides(*tensor, strides);
        }
    }
}

/// The names of the inputs whose tensors nodes write to, perhaps through views.
fn mutated<'j>(graph: &'j Json, signature: &'j Json) -> BTreeSet<&'j str> {
    let mut written = BTreeSet::new();
    for spec in list(signature, "output_specs") {
        if let Some(buffer) = spec["buffer_mutation"]["buffer_name"].as_str() {
            let arg = list(signature, "input_specs").iter().find(|spec| spec["buffer"]["buffer_name"] == *buffer).and_then(|spec| spec["buffer"]["arg"]["name"].as_str());
            written.extend(arg);
        }
    }
    let mut roots: HashMap<&str, &str> = list(graph, "inputs").iter().filter_map(|input| input["as_tensor"]["name"].as_str()).map(|name| (name, name)).collect();
    for node in list(graph, "nodes") {
        let target = node["target"].as_str().unwrap_or_default();
        let Some(first) = list(node, "inputs").first().and_then(|input| input["arg"]["as_tensor"]["name"].as_str()).and_then(|name| roots.get(name).copied()) else { continue };
        let operator = target.split('.').nth(3).unwrap_or_default();
        let writes = operator.ends_with('_') && !operator.ends_with("__") && !aten::RESHAPERS.contains(&operator);
        if writes {
            written.insert(first);
        }
        if writes || aten::VIEWS.contains(&operator.trim_end_matches('_')) {
            for name in list(node, "outputs").iter().filter_map(names).flatten() {
                roots.insert(name, first);
            }
        }
    }
    written
}
