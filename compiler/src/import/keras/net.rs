//! The layers of a model and how they are connected.
//!
//! In: the configuration of a `Sequential` or `Functional` model. Out: the values of its outputs. Models in models are followed
//! by the same way. Must not know: what single layers do.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use frit_ir::shape::TensorType;
use frit_ir::{Builder, DType, Dim, Error, OpError};
use serde_json::Value;

use super::config::{self, Config};
use super::layer::{self, Arg, Call, Masked};
use super::{Importer, Names, Version, is_operation};

/// Models nest no deeper than this.
const MAX_DEPTH: usize = 48;

/// Where a layer's result comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ref {
    layer: usize,
    /// Which call of the layer.
    node: usize,
    /// Which of the call's results.
    tensor: usize,
}

/// One call of a layer.
struct Node<'m> {
    args: Vec<Arg<'m, Ref>>,
    kwargs: Vec<(&'m str, Arg<'m, Ref>)>,
}

/// A layer of a model.
struct Member<'m> {
    spec: &'m Value,
    class: &'m str,
    name: &'m str,
    path: String,
    nodes: Vec<Node<'m>>,
}

/// A model.
pub(super) struct Net<'m> {
    name: &'m str,
    members: Vec<Member<'m>>,
    inputs: Vec<usize>,
    outputs: Vec<(String, Ref)>,
    /// What goes in where no layer says it: a name and a shape.
    input: Option<(String, &'m Value)>,
    version: Version,
}

/// Classes of models.
pub(super) const MODELS: &[&str] = &["Functional", "Model", "Sequential"];

/// Is it a model that is made of layers?
pub(super) fn is_model(spec: &Value) -> bool {
    spec.get("class_name").and_then(Value::as_str).is_some_and(|class| MODELS.contains(&class))
}

fn invalid(message: impl Into<String>) -> OpError {
    OpError::invalid(message.into())
}

/// The list of a model's layers. Very old files of `Sequential` models have nothing else in their configuration.
pub(super) fn layers(spec: &Value) -> Result<&[Value], OpError> {
    let config = spec.get("config").ok_or_else(|| Config::missing("config"))?;
    let list = config.as_array().or_else(|| config.get("layers")?.as_array());
    list.map(Vec::as_slice).ok_or_else(|| Config::missing("layers"))
}

/// A layer's name.
pub(super) fn name(spec: &Value) -> Result<&str, OpError> {
    let own = spec.get("name").and_then(Value::as_str);
    own.or_else(|| spec.get("config")?.get("name")?.as_str()).ok_or_else(|| invalid("a layer has no name"))
}

/// A layer's class.
pub(super) fn class(spec: &Value) -> Result<&str, OpError> {
    spec.get("class_name").and_then(Value::as_str).ok_or_else(|| invalid("a layer has no class"))
}

impl<'m> Net<'m> {
    /// The model that a file holds.
    ///
    /// # Errors
    /// Invalid where the configuration is none of a model's; unsupported where the model is a class of its own.
    pub(super) fn of_model(spec: &'m Value, version: Version) -> Result<Self, OpError> {
        let class = class(spec)?;
        if !MODELS.contains(&class) {
            return Err(OpError::unsupported(format!("the model is of class '{class}', whose code is not in the file")).help("build it as a Functional model, or export it: model.export(\"folder\") writes a SavedModel"));
        }
        Self::new(spec, "", version)
    }

    /// A model whose weights lie below `path`.
    pub(super) fn new(spec: &'m Value, path: &str, version: Version) -> Result<Self, OpError> {
        let sequential = class(spec)? == "Sequential";
        let name = name(spec).unwrap_or("model");
        let mut names = Names::default();
        let mut members = Vec::new();
        for layer in layers(spec)? {
            let class = class(layer)?;
            // Keras doesn't count the input of a Sequential model among its layers.
            let counted = !(is_operation(layer) || sequential && class == "InputLayer" && members.is_empty());
            let place = if counted { names.next(class) } else { String::new() };
            let path = if path.is_empty() { format!("layers/{place}") } else { format!("{path}/layers/{place}") };
            members.push(Member { spec: layer, class, name: self::name(layer)?, path, nodes: Vec::new() });
        }
        let mut net = Net { name, members, inputs: Vec::new(), outputs: Vec::new(), input: None, version };
        if sequential { net.chain(spec)? } else { net.connect(spec)? }
        Ok(net)
    }

    /// Connects the layers of a Sequential model.
    fn chain(&mut self, spec: &'m Value) -> Result<(), OpError> {
        let mut last = None;
        for (at, member) in self.members.iter_mut().enumerate() {
            if member.class == "InputLayer" {
                if at > 0 {
                    return Err(invalid(format!("'{}' is an input amid a Sequential model", member.name)));
                }
                self.inputs.push(at);
            }
            let arg = last.map(|layer| Arg::Value(Ref { layer, node: 0, tensor: 0 }));
            member.nodes.push(Node { args: arg.into_iter().collect(), kwargs: Vec::new() });
            last = Some(at);
        }
        let Some(last) = last else { return Err(invalid("the model has no layers")) };
        self.outputs.push(("output_0".to_owned(), Ref { layer: last, node: 0, tensor: 0 }));
        if self.inputs.is_empty() {
            let config = self.members[0].spec.get("config");
            let said = config.and_then(|config| config.get("batch_input_shape").or_else(|| config.get("batch_shape")));
            let built = spec.get("config").and_then(|config| config.get("build_input_shape"));
            let built = built.or_else(|| spec.get("build_config")?.get("input_shape"));
            self.input = match said.or(built) {
                Some(shape) => Some((if said.is_some() { format!("{}_input", self.members[0].name) } else { "input_layer".to_owned() }, shape)),
                None => None,
            };
        }
        Ok(())
    }

    /// Connects the layers of a Functional model as they say.
    fn connect(&mut self, spec: &'m Value) -> Result<(), OpError> {
        let mut by_name = HashMap::new();
        for (at, member) in self.members.iter().enumerate() {
            if by_name.insert(member.name, at).is_some() {
                return Err(invalid(format!("two layers are named '{}'", member.name)));
            }
        }
        // How many calls each layer has, and whether the model's own first one is counted by those who refer to them.
        let calls = |at: usize| self.members[at].spec.get("inbound_nodes").and_then(Value::as_array).map_or(0, Vec::len).max(1);
        let first_is_own = |at: usize| is_model(self.members[at].spec) && (self.version == Version::Two || self.members[at].class != "Sequential");
        let find = |name: &str, node: i64, tensor: i64, outer: bool| -> Result<Ref, OpError> {
            let layer = *by_name.get(name).ok_or_else(|| invalid(format!("there is no layer '{name}'")))?;
            let shift = i64::from(first_is_own(layer) && (outer || self.version == Version::Two));
            let node = (node - shift).clamp(0, calls(layer) as i64 - 1) as usize;
            Ok(Ref { layer, node, tensor: usize::try_from(tensor).map_err(|_| invalid("a result has a negative number"))? })
        };
        let mut all = Vec::new();
        for member in &self.members {
            let nodes = match member.spec.get("inbound_nodes").and_then(Value::as_array) {
                Some(nodes) => nodes.iter().map(|node| parse(node, &find)).collect::<Result<Vec<_>, _>>().map_err(|error| OpError { message: format!("layer '{}': {}", member.name, error.message), ..error })?,
                None => Vec::new(),
            };
            all.push(if nodes.is_empty() { vec![Node { args: Vec::new(), kwargs: Vec::new() }] } else { nodes });
        }
        let config = spec.get("config").ok_or_else(|| Config::missing("config"))?;
        let mut inputs = Vec::new();
        let mut outputs = Vec::new();
        ends(config.get("input_layers").ok_or_else(|| Config::missing("input_layers"))?, None, &find, &mut inputs)?;
        ends(config.get("output_layers").ok_or_else(|| Config::missing("output_layers"))?, None, &find, &mut outputs)?;
        let mut used = BTreeSet::new();
        let mut named = Vec::new();
        for (key, end) in outputs {
            let name = key.unwrap_or(self.members[end.layer].name);
            let mut unique = name.to_owned();
            let mut count = 0;
            while !used.insert(unique.clone()) {
                count += 1;
                unique = format!("{name}_{count}");
            }
            named.push((unique, end));
        }
        if named.is_empty() {
            return Err(invalid("the model has no outputs"));
        }
        self.inputs = inputs.into_iter().map(|(_, end)| end.layer).collect();
        self.outputs = named;
        for (member, nodes) in self.members.iter_mut().zip(all) {
            member.nodes = nodes;
        }
        Ok(())
    }

    /// The model's name.
    pub(super) fn name(&self) -> &'m str {
        self.name
    }

    /// How many layers it has.
    pub(super) fn size(&self) -> usize {
        self.members.len()
    }

    /// The names of what comes out.
    pub(super) fn output_names(&self) -> Vec<String> {
        self.outputs.iter().map(|(name, _)| name.clone()).collect()
    }

    /// What goes in.
    ///
    /// # Errors
    /// Invalid where it is not said.
    pub(super) fn inputs(&self) -> Result<Vec<(String, TensorType)>, OpError> {
        if let Some((name, shape)) = &self.input {
            let config = Config::new(self.members[0].spec.get("config").unwrap_or(&Value::Null));
            let dtype = if self.members[0].class == "Embedding" && self.version == Version::Three { DType::F32 } else { layer::Policy::of(&config)?.compute };
            return Ok(vec![(name.clone(), declared(name, shape, dtype)?)]);
        }
        if self.inputs.is_empty() {
            // The first layer may be a model, which says what it takes.
            let first = &self.members[0];
            if is_model(first.spec) {
                return Net::new(first.spec, "", self.version)?.inputs();
            }
            return Err(invalid("the model doesn't say what shape its input has").help("call it once before it is saved, or begin it with keras.Input"));
        }
        let mut inputs = Vec::new();
        for at in &self.inputs {
            let member = &self.members[*at];
            let Some(config) = member.spec.get("config").filter(|_| member.class == "InputLayer") else {
                return Err(invalid(format!("the model's input '{}' is no InputLayer", member.name)));
            };
            let config = Config::new(config);
            if config.flag("sparse", false)? || config.flag("ragged", false)? {
                return Err(OpError::unsupported(format!("input '{}' is sparse or ragged, which is not supported", member.name)).help("make the model with a dense input"));
            }
            let shape = config.get("batch_shape").or_else(|| config.get("batch_input_shape")).ok_or_else(|| Config::missing("batch_shape"))?;
            let dtype = config.maybe_text("dtype")?.unwrap_or("float32");
            inputs.push((member.name.to_owned(), declared(member.name, shape, layer::dtype(dtype)?)?));
        }
        Ok(inputs)
    }
}

/// The type of an input. All open batches are one.
fn declared(name: &str, shape: &Value, dtype: DType) -> Result<TensorType, OpError> {
    let dims = config::items(shape).ok_or_else(|| invalid(format!("the shape of input '{name}' is no list")))?;
    let dims = dims.iter().enumerate().map(|(axis, dim)| match dim {
        Value::Null if axis == 0 => Ok(Dim::symbol("batch")),
        Value::Null => Ok(Dim::symbol(format!("{name}.{axis}"))),
        dim => config::integer(dim).filter(|n| (0..1 << 40).contains(n)).map(Dim::Known).ok_or_else(|| invalid(format!("the shape of input '{name}' holds {dim}"))),
    });
    Ok(TensorType::ranked(dtype, dims.collect::<Result<Vec<_>, _>>()?))
}

/// How a result is found by the layer's name, the number of its call and of the result, and whether the model's ends refer to it.
type Find<'f> = dyn Fn(&str, i64, i64, bool) -> Result<Ref, OpError> + 'f;

/// Is it a reference, as lists have it?
fn listed(value: &Value) -> Option<(&str, i64, i64)> {
    match value.as_array()?.as_slice() {
        [Value::String(name), node, tensor] | [Value::String(name), node, tensor, _] => Some((name, config::integer(node)?, config::integer(tensor)?)),
        _ => None,
    }
}

/// The ends of a model: one reference, or a list, or a dictionary, whose keys name them.
fn ends<'m>(value: &'m Value, key: Option<&'m str>, find: &Find<'_>, into: &mut Vec<(Option<&'m str>, Ref)>) -> Result<(), OpError> {
    if let Some((name, node, tensor)) = listed(value) {
        into.push((key, find(name, node, tensor, true)?));
        return Ok(());
    }
    if let Some(list) = config::items(value) {
        return list.iter().try_for_each(|item| ends(item, None, find, into));
    }
    match value {
        Value::Object(map) => map.iter().try_for_each(|(key, item)| ends(item, Some(key), find, into)),
        _ => Err(invalid("the model's ends are no references to layers")),
    }
}

/// A call of a layer.
fn parse<'m>(node: &'m Value, find: &Find<'_>) -> Result<Node<'m>, OpError> {
    if let Some(list) = node.as_array() {
        // Some layers of Keras 2 have one reference instead of a list.
        let alone = list.first().is_some_and(Value::is_string);
        return parse_list(if alone { std::slice::from_ref(node) } else { list }, find);
    }
    let args = node.get("args").and_then(config::items).ok_or_else(|| invalid("a call has no 'args'"))?;
    let args = args.iter().map(|arg| argument(arg, find)).collect::<Result<Vec<_>, _>>()?;
    let kwargs = match node.get("kwargs") {
        Some(Value::Object(map)) => map.iter().map(|(key, arg)| Ok((key.as_str(), argument(arg, find)?))).collect::<Result<Vec<_>, OpError>>()?,
        _ => Vec::new(),
    };
    Ok(Node { args, kwargs })
}

/// A call as Keras 2 has it: a list of references with keywords, all of which make the first operand.
fn parse_list<'m>(list: &'m [Value], find: &Find<'_>) -> Result<Node<'m>, OpError> {
    let mut args = Vec::new();
    let mut kwargs = Vec::new();
    for item in list {
        let Some(parts) = item.as_array() else { return Err(invalid("a call is no list of references")) };
        match parts.as_slice() {
            // What is no layer's result.
            [Value::String(name), _, value, ..] if name == "_CONSTANT_VALUE" => args.push(Arg::Data(value)),
            _ => {
                let (name, node, tensor) = listed(item).ok_or_else(|| invalid("a call is no list of references"))?;
                args.push(Arg::Value(find(name, node, tensor, false)?));
            }
        }
        if let Some(Value::Object(map)) = parts.get(3) {
            for (key, value) in map {
                kwargs.push((key.as_str(), old_argument(value, find)?));
            }
        }
    }
    let args = if args.len() == 1 { args } else { vec![Arg::List(args)] };
    Ok(Node { args, kwargs })
}

/// A keyword of Keras 2, where lists may be references.
fn old_argument<'m>(value: &'m Value, find: &Find<'_>) -> Result<Arg<'m, Ref>, OpError> {
    if let Some((name, node, tensor)) = listed(value)
        && let Ok(found) = find(name, node, tensor, false)
    {
        return Ok(Arg::Value(found));
    }
    match value.as_array() {
        Some(list) => Ok(Arg::List(list.iter().map(|item| old_argument(item, find)).collect::<Result<_, _>>()?)),
        None => Ok(Arg::Data(value)),
    }
}

/// An operand as Keras 3 has it.
fn argument<'m>(value: &'m Value, find: &Find<'_>) -> Result<Arg<'m, Ref>, OpError> {
    if let Some(list) = config::items(value) {
        return Ok(Arg::List(list.iter().map(|item| argument(item, find)).collect::<Result<_, _>>()?));
    }
    let Some(map) = value.as_object() else { return Ok(Arg::Data(value)) };
    match map.get("class_name").and_then(Value::as_str) {
        Some("__keras_tensor__") => {
            let history = map.get("config").and_then(|config| config.get("keras_history"));
            let (name, node, tensor) = history.and_then(listed).ok_or_else(|| invalid("a tensor doesn't say where it comes from"))?;
            Ok(Arg::Value(find(name, node, tensor, false)?))
        }
        Some(_) => Ok(Arg::Data(value)),
        None => Ok(Arg::Dict(map.iter().map(|(key, item)| Ok((key.as_str(), argument(item, find)?))).collect::<Result<_, OpError>>()?)),
    }
}

/// The order in which calls can be made: each as soon as its operands are there, those of earlier layers first.
fn order(net: &Net<'_>) -> Result<Vec<(usize, usize)>, OpError> {
    let mut readers: HashMap<(usize, usize), Vec<(usize, usize)>> = HashMap::new();
    let mut missing: HashMap<(usize, usize), usize> = HashMap::new();
    let mut ready = BinaryHeap::new();
    for (layer, member) in net.members.iter().enumerate() {
        for (node, call) in member.nodes.iter().enumerate() {
            let mut operands = Vec::new();
            call.args.iter().chain(call.kwargs.iter().map(|(_, arg)| arg)).for_each(|arg| arg.each(&mut |r: &Ref| operands.push((r.layer, r.node))));
            operands.sort_unstable();
            operands.dedup();
            if operands.is_empty() {
                ready.push(Reverse((layer, node)));
            }
            missing.insert((layer, node), operands.len());
            for operand in operands {
                readers.entry(operand).or_default().push((layer, node));
            }
        }
    }
    let count = missing.len();
    let mut order = Vec::new();
    while let Some(Reverse(call)) = ready.pop() {
        order.push(call);
        for reader in readers.remove(&call).unwrap_or_default() {
            if let Some(left) = missing.get_mut(&reader) {
                *left -= 1;
                if *left == 0 {
                    ready.push(Reverse(reader));
                }
            }
        }
    }
    if order.len() < count {
        let stuck = (0..net.members.len()).find(|layer| (0..net.members[*layer].nodes.len()).any(|node| missing.get(&(*layer, node)).is_some_and(|left| *left > 0)));
        return Err(invalid(format!("the model has a cycle: layer '{}' needs its own result", stuck.map_or("", |layer| net.members[layer].name))));
    }
    Ok(order)
}

/// Adds a model's layers. Nothing where a layer could not be imported; that was reported.
///
/// # Errors
/// Invalid where the model's layers don't fit together.
pub(super) fn run(builder: &mut Builder, importer: &mut Importer, net: &Net<'_>, inputs: Vec<Masked>) -> Result<Option<Vec<Masked>>, OpError> {
    if importer.depth >= MAX_DEPTH {
        return Err(invalid(format!("models nest deeper than {MAX_DEPTH}")));
    }
    let expected = net.inputs.len().max(1);
    if inputs.len() != expected {
        return Err(invalid(format!("model '{}' takes {expected} inputs, not {}", net.name, inputs.len())));
    }
    let mut done: HashMap<(usize, usize), Option<Vec<Masked>>> = HashMap::new();
    for (layer, input) in net.inputs.iter().zip(&inputs) {
        done.insert((*layer, 0), Some(vec![layer::as_input(builder, &net.members[*layer].spec["config"], *input)?]));
    }
    importer.depth += 1;
    for (layer, node) in order(net)? {
        if done.contains_key(&(layer, node)) {
            continue;
        }
        let (member, call) = (&net.members[layer], &net.members[layer].nodes[node]);
        let mut failed = false;
        let mut resolve = |r: &Ref| -> Result<Masked, OpError> {
            match done.get(&(r.layer, r.node)) {
                Some(Some(values)) => {
                    let found = values.get(r.tensor).copied().ok_or_else(|| invalid(format!("layer '{}' has no result {}", net.members[r.layer].name, r.tensor)))?;
                    Ok(Masked { mask: found.mask.filter(|_| !importer.unmasked.contains(&found.value)), ..found })
                }
                _ => {
                    failed = true;
                    Err(invalid(""))
                }
            }
        };
        let mut resolved = || -> Result<Call<'_>, OpError> {
            let mut args = call.args.iter().map(|arg| arg.map(&mut resolve)).collect::<Result<Vec<_>, _>>()?;
            if args.is_empty() && net.inputs.is_empty() && layer == 0 {
                args.push(Arg::Value(inputs[0]));
            }
            let kwargs = call.kwargs.iter().map(|(key, arg)| Ok((*key, arg.map(&mut resolve)?))).collect::<Result<Vec<_>, OpError>>()?;
            Ok(Call { args, kwargs })
        };
        let resolved = resolved();
        if failed {
            done.insert((layer, node), None);
            continue;
        }
        let outer = builder.origins().clone();
        let shown: String = if outer.is_empty() { member.name.to_owned() } else { format!("{}/{}", outer.first().map_or("", |origin| &origin.name), member.name) };
        builder.set_origins(frit_ir::build::origin(shown, member.class, ""));
        let types = resolved.as_ref().map_or_else(|_| Vec::new(), |call| call.values().map(|v| builder.ty(v.value).to_string()).collect());
        let before = importer.errors.len();
        let values = resolved.and_then(|call| layer::apply(builder, importer, member.spec, &member.path, call));
        let values = match values {
            Ok(values) => {
                if let [one] = values.as_slice()
                    && builder.graph().value(one.value).name.is_none()
                {
                    builder.name(one.value, member.name);
                }
                Some(values)
            }
            Err(error) => {
                // What a model within complained about was reported there.
                if importer.errors.len() == before {
                    let place = builder.origins().first().map_or_else(String::new, |origin| origin.to_string());
                    importer.errors.push(Error::at(error, place, types));
                }
                None
            }
        };
        builder.set_origins(outer);
        done.insert((layer, node), values);
    }
    importer.depth -= 1;
    let mut outputs = Vec::new();
    for (name, end) in &net.outputs {
        match done.get(&(end.layer, end.node)) {
            Some(Some(values)) => outputs.push(*values.get(end.tensor).ok_or_else(|| invalid(format!("output '{name}' is made by no layer")))?),
            Some(None) => return Ok(None),
            None => return Err(invalid(format!("output '{name}' is made by no layer"))),
        }
    }
    Ok(Some(outputs))
}
