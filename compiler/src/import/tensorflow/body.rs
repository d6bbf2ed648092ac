//! A graph or a function as a list of nodes whose operands are resolved.
//!
//! In: wire nodes. Out: a [`Body`]: for each node where its operands come from, which frame of version 1 control flow it belongs to, and which
//! assignments must have been done before it. Must not know: what ops mean beyond that.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use frit_ir::OpError;
use frit_proto::tensorflow as wire;

use super::Attributes;

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Source {
    /// An argument of the function.
    Arg(usize),
    /// A result of a node.
    Node(usize, usize),
    /// A name that nothing has.
    Missing(String),
}

impl Source {
    /// The node, if it is one's.
    pub(super) fn node(&self) -> Option<usize> {
        if let Source::Node(node, _) = self { Some(*node) } else { None }
    }
}

/// A loop of version 1 control flow.
#[derive(Default, Debug)]
pub(super) struct Frame {
    /// For each of its variables the nodes `Enter`, `Merge`, `NextIteration` and, if they are there, `Switch` and `Exit`.
    pub(super) variables: Vec<LoopVariable>,
    /// `Enter` nodes of what does not change.
    pub(super) constants: Vec<usize>,
    /// The condition.
    pub(super) condition: Option<Source>,
}

/// A variable of such a loop.
#[derive(Clone, Debug)]
pub(super) struct LoopVariable {
    pub(super) enter: usize,
    pub(super) merge: usize,
    pub(super) next: usize,
    pub(super) switch: Option<usize>,
    pub(super) exit: Option<usize>,
}

/// What decides which operand a `Merge` gives: the condition, and which operand stands where it holds.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) condition: Source,
    pub(super) when_true: usize,
}

/// A graph or a function.
#[derive(Default)]
pub(super) struct Body<'m> {
    /// Its name.
    pub(super) name: &'m str,
    pub(super) nodes: Vec<&'m wire::Node>,
    /// The operands of each node.
    pub(super) inputs: Vec<Vec<Source>>,
    /// The nodes that must be done before each, where order matters.
    pub(super) after: Vec<Vec<usize>>,
    /// All nodes that assign variables, where it does.
    pub(super) effects: Vec<usize>,
    /// Number of arguments.
    pub(super) args: usize,
    /// What it returns.
    pub(super) returns: Vec<Source>,
    /// Loops by the name of their frames.
    pub(super) frames: BTreeMap<String, Frame>,
    /// The frame that each `Exit` leaves.
    pub(super) exits: BTreeMap<usize, String>,
    /// What each `Merge` outside of loops chooses by.
    pub(super) choices: BTreeMap<usize, Choice>,
    index: HashMap<&'m str, usize>,
    walked: Cell<usize>,
}

/// The condition that two sides lie on different sides of.
fn chosen(a: &BTreeMap<Source, [bool; 2]>, b: &BTreeMap<Source, [bool; 2]>) -> Option<Choice> {
    let both = a.iter().find_map(|(condition, of_a)| match (of_a, b.get(condition)) {
        ([true, false], None | Some([false, true])) => Some(Choice { condition: condition.clone(), when_true: 1 }),
        ([false, true], None | Some([true, false])) => Some(Choice { condition: condition.clone(), when_true: 0 }),
        _ => None,
    });
    let second = || {
        b.iter().filter(|(condition, _)| !a.contains_key(condition)).find_map(|(condition, of_b)| match of_b {
            [true, false] => Some(Choice { condition: condition.clone(), when_true: 0 }),
            [false, true] => Some(Choice { condition: condition.clone(), when_true: 1 }),
            _ => None,
        })
    };
    both.or_else(second)
}

/// Names of the results of ops that have several: in functions results are told by names.
const RESULTS: &[(&str, &[&str])] = &[
    ("ArgMinMax", &["output"]),
    ("BlockLSTM", &["i", "cs", "f", "o", "ci", "co", "h"]),
    ("BlockLSTMV2", &["i", "cs", "f", "o", "ci", "co", "h"]),
    ("CombinedNonMaxSuppression", &["nmsed_boxes", "nmsed_scores", "nmsed_classes", "valid_detections"]),
    ("FusedBatchNorm", &["y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"]),
    ("FusedBatchNormV2", &["y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"]),
    ("FusedBatchNormV3", &["y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2", "reserve_space_3"]),
    ("GRUBlockCell", &["r", "u", "c", "h"]),
    ("LSTMBlockCell", &["i", "cs", "f", "o", "ci", "co", "h"]),
    ("ListDiff", &["out", "idx"]),
    ("MaxPoolWithArgmax", &["output", "argmax"]),
    ("Merge", &["output", "value_index"]),
    ("NonMaxSuppressionV4", &["selected_indices", "valid_outputs"]),
    ("NonMaxSuppressionV5", &["selected_indices", "selected_scores", "valid_outputs"]),
    ("RefMerge", &["output", "value_index"]),
    ("RefSwitch", &["output_false", "output_true"]),
    ("SparseSoftmaxCrossEntropyWithLogits", &["loss", "backprop"]),
    ("Switch", &["output_false", "output_true"]),
    ("TensorArrayConcatV3", &["value", "lengths"]),
    ("TensorArrayV3", &["handle", "flow"]),
    ("TensorListConcat", &["tensor", "lengths"]),
    ("TensorListConcatV2", &["tensor", "lengths"]),
    ("TensorListPopBack", &["output_handle", "tensor"]),
    ("TopK", &["values", "indices"]),
    ("TopKV2", &["values", "indices"]),
    ("Unique", &["y", "idx"]),
    ("UniqueV2", &["y", "idx"]),
    ("UniqueWithCounts", &["y", "idx", "count"]),
    ("UniqueWithCountsV2", &["y", "idx", "count"]),
];

/// All walks back from nodes together visit no more than this, whatever a file says.
const MAX_WALK: usize = 1 << 22;

/// Does the op change a variable?
fn assigns(op: &str) -> bool {
    op.starts_with("Assign") || op.starts_with("ResourceApply") || op.starts_with("ResourceScatter") || (op.starts_with("Scatter") && op != "ScatterNd")
}

/// The functions that a node calls or may call.
pub(super) fn called(attributes: &Attributes) -> Vec<&str> {
    let mut names = Vec::new();
    for attribute in attributes.values() {
        match &attribute.value {
            Some(wire::attribute::Value::Func(function)) => names.push(function.name.as_str()),
            Some(wire::attribute::Value::List(list)) => names.extend(list.func.iter().map(|function| function.name.as_str())),
            _ => {}
        }
    }
    names
}

/// The functions that assign variables, themselves or through others.
pub(super) fn assigning<'m>(functions: &HashMap<&'m str, &'m wire::Function>) -> BTreeSet<&'m str> {
    let mut callers: BTreeMap<&str, Vec<&'m str>> = BTreeMap::new();
    let mut todo: Vec<&'m str> = Vec::new();
    let mut names: Vec<&'m str> = functions.keys().copied().collect();
    names.sort_unstable();
    for name in names {
        for node in &functions[name].node_def {
            if assigns(&node.op) {
                todo.push(name);
            }
            for callee in called(&node.attr) {
                callers.entry(callee).or_default().push(name);
            }
        }
    }
    let mut found = BTreeSet::new();
    while let Some(name) = todo.pop() {
        if found.insert(name) {
            todo.extend(callers.get(name).into_iter().flatten());
        }
    }
    found
}

impl<'m> Body<'m> {
    /// A graph. `assigning` are the functions that assign variables.
    ///
    /// # Errors
    /// Invalid where two nodes have one name.
    pub(super) fn graph(nodes: &'m [wire::Node], assigning: &BTreeSet<&str>) -> Result<Self, OpError> {
        Self::new("", nodes, HashMap::new(), assigning)
    }

    /// A function.
    ///
    /// # Errors
    /// Invalid where two nodes have one name, or it doesn't say what a result is.
    pub(super) fn function(function: &'m wire::Function, assigning: &BTreeSet<&str>) -> Result<Self, OpError> {
        let signature = function.signature.as_ref().ok_or_else(|| OpError::invalid("a function has no signature"))?;
        let args: HashMap<&'m str, usize> = signature.input_arg.iter().enumerate().map(|(at, arg)| (arg.name.as_str(), at)).collect();
        let mut body = Self::new(&signature.name, &function.node_def, args.clone(), assigning)?;
        body.args = signature.input_arg.len();
        for result in &signature.output_arg {
            let from = function.ret.get(&result.name).ok_or_else(|| OpError::invalid(format!("function '{}' does not make its result '{}'", signature.name, result.name)))?;
            let source = body.source(from, &args);
            body.returns.push(source);
        }
        Ok(body)
    }

    fn new(name: &'m str, nodes: &'m [wire::Node], args: HashMap<&'m str, usize>, assigning: &BTreeSet<&str>) -> Result<Self, OpError> {
        let mut body = Self { name, nodes: nodes.iter().collect(), ..Self::default() };
        for (at, node) in nodes.iter().enumerate() {
            if body.index.insert(&node.name, at).is_some() {
                return Err(OpError::invalid(format!("two nodes are called '{}'", node.name)).help("names of nodes must be unique"));
            }
        }
        for node in nodes {
            let sources = node.input.iter().filter(|input| !input.starts_with('^')).map(|input| body.source(input, &args)).collect();
            body.inputs.push(sources);
        }
        body.order(assigning);
        body.find_frames()?;
        body.find_choices();
        Ok(body)
    }

    /// Counts a node that a walk visits; false where that were too many.
    fn walks(&self) -> bool {
        self.walked.set(self.walked.get() + 1);
        self.walked.get() <= MAX_WALK
    }

    /// The node of a name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// What a name stands for: `node`, `node:result` in graphs, `argument`, `node:name:result` in functions.
    pub(super) fn source(&self, text: &str, args: &HashMap<&'m str, usize>) -> Source {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or("");
        if let Some(arg) = args.get(name) {
            return Source::Arg(*arg);
        }
        let missing = || Source::Missing(text.to_owned());
        let Some(node) = self.find(name) else { return missing() };
        let (second, third) = (parts.next(), parts.next());
        let number = |text: Option<&str>| text.map_or(Some(0), |text| text.parse::<usize>().ok());
        let result = match (second, third) {
            (Some(result), third) if result.parse::<usize>().is_err() => {
                let names = RESULTS.iter().find(|(op, _)| *op == self.nodes[node].op).map_or(&[][..], |(_, names)| names);
                let first = if names.is_empty() { Some(0) } else { names.iter().position(|name| *name == result) };
                first.zip(number(third)).and_then(|(first, at)| first.checked_add(at))
            }
            (second, _) => number(second),
        };
        result.map_or_else(missing, |result| Source::Node(node, result))
    }

    /// Finds which assignments come before which nodes.
    fn order(&mut self, assigning: &BTreeSet<&str>) {
        self.after = vec![Vec::new(); self.nodes.len()];
        let effect: Vec<bool> = self.nodes.iter().map(|node| assigns(&node.op) || assigning.contains(node.op.as_str()) || called(&node.attr).iter().any(|name| assigning.contains(name))).collect();
        if !effect.contains(&true) {
            return;
        }
        self.effects = (0..effect.len()).filter(|at| effect[*at]).collect();
        let controls: Vec<Vec<usize>> = self.nodes.iter().map(|node| node.input.iter().filter_map(|input| self.find(input.strip_prefix('^')?)).collect()).collect();
        for at in 0..self.nodes.len() {
            let mut seen = BTreeSet::new();
            let mut todo = controls[at].clone();
            while let Some(before) = todo.pop() {
                if before == at || !seen.insert(before) || !self.walks() {
                    continue;
                }
                if effect[before] {
                    self.after[at].push(before);
                } else {
                    todo.extend(&controls[before]);
                }
            }
            self.after[at].sort_unstable();
        }
    }

    /// Finds loops of version 1 control flow: a frame's variables, its constants and its condition.
    fn find_frames(&mut self) -> Result<(), OpError> {
        let ops = |at: usize| self.nodes[at].op.strip_prefix("Ref").unwrap_or(&self.nodes[at].op);
        let mut users: HashMap<usize, Vec<usize>> = HashMap::new();
        for (at, inputs) in self.inputs.iter().enumerate() {
            for node in inputs.iter().filter_map(Source::node) {
                users.entry(node).or_default().push(at);
            }
        }
        let uses = |at: usize, op: &str| users.get(&at).into_iter().flatten().copied().filter(|user| ops(*user) == op).collect::<Vec<_>>();
        let mut frames: BTreeMap<String, Frame> = BTreeMap::new();
        let mut exits = BTreeMap::new();
        for enter in (0..self.nodes.len()).filter(|at| ops(*at) == "Enter") {
            let name = match self.nodes[enter].attr.get("frame_name").and_then(|a| a.value.as_ref()) {
                Some(wire::attribute::Value::S(name)) => String::from_utf8_lossy(name).into_owned(),
                _ => return Err(OpError::invalid(format!("node '{}' (Enter) names no frame", self.nodes[enter].name))),
            };
            let frame = frames.entry(name.clone()).or_default();
            let merge = uses(enter, "Merge").into_iter().find_map(|merge| self.inputs[merge].iter().filter_map(Source::node).find(|node| ops(*node) == "NextIteration").map(|next| (merge, next)));
            let Some((merge, next)) = merge else {
                frame.constants.push(enter);
                continue;
            };
            let switch = uses(merge, "Switch").into_iter().find(|switch| self.inputs[*switch].get(1).and_then(Source::node).is_some_and(|node| ops(node) == "LoopCond"));
            let exit = switch.and_then(|switch| uses(switch, "Exit").into_iter().find(|exit| self.inputs[*exit].first() == Some(&Source::Node(switch, 0))));
            if let Some(condition) = switch.and_then(|switch| self.inputs[switch][1].node()) {
                frame.condition = self.inputs[condition].first().cloned();
            }
            if let Some(exit) = exit {
                exits.insert(exit, name);
            }
            frame.variables.push(LoopVariable { enter, merge, next, switch, exit });
        }
        self.frames = frames;
        self.exits = exits;
        Ok(())
    }

    /// Finds what each `Merge` outside of loops chooses by: the condition whose sides lead to different operands.
    fn find_choices(&mut self) {
        let of_loops: BTreeSet<usize> = self.frames.values().flat_map(|frame| frame.variables.iter().map(|variable| variable.merge)).collect();
        let mut choices = BTreeMap::new();
        for merge in (0..self.nodes.len()).filter(|at| matches!(self.nodes[*at].op.as_str(), "Merge" | "RefMerge") && !of_loops.contains(at)) {
            // Sides that hold conditions themselves may only differ in one further back; but further back the same condition may have been used before.
            let choice = [false, true].into_iter().find_map(|beyond| {
                let sides: Vec<BTreeMap<Source, [bool; 2]>> = self.inputs[merge].iter().map(|operand| self.conditions(operand, beyond)).collect();
                chosen(sides.first()?, sides.get(1)?)
            });
            choices.extend(choice.map(|choice| (merge, choice)));
        }
        self.choices = choices;
    }

    /// The conditions of the switches that a value leads back to, and on which of their results (for false, for true) it does; of those behind them, too.
    fn conditions(&self, from: &Source, beyond: bool) -> BTreeMap<Source, [bool; 2]> {
        let controls = |at: usize| self.nodes[at].input.iter().filter_map(|input| self.find(input.strip_prefix('^')?).map(|node| Source::Node(node, 0)));
        let mut found: BTreeMap<Source, [bool; 2]> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut todo = vec![from.clone()];
        while let Some(source) = todo.pop() {
            let Source::Node(node, result) = source else { continue };
            if !seen.insert((node, result)) || !self.walks() {
                continue;
            }
            if matches!(self.nodes[node].op.as_str(), "Switch" | "RefSwitch") {
                if let Some(condition) = self.inputs[node].get(1) {
                    found.entry(self.origin(condition)).or_default()[result.min(1)] = true;
                }
                todo.extend(self.inputs[node].first().filter(|_| beyond).cloned());
                continue;
            }
            todo.extend(self.inputs[node].iter().cloned());
            todo.extend(controls(node));
        }
        found
    }

    /// What a value is handed on from.
    fn origin(&self, source: &Source) -> Source {
        let mut source = source;
        while self.walks() {
            match source.node().filter(|node| self.nodes[*node].op == "Identity").and_then(|node| self.inputs[node].first()) {
                Some(before) => source = before,
                None => break,
            }
        }
        source.clone()
    }

    /// The switches by a condition that a value leads back to, on the way from one of their results. Other switches are gone through.
    pub(super) fn switches(&self, from: &Source, condition: &Source) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut todo: Vec<usize> = from.node().into_iter().collect();
        while let Some(node) = todo.pop() {
            if !seen.insert(node) || !self.walks() {
                continue;
            }
            if matches!(self.nodes[node].op.as_str(), "Switch" | "RefSwitch") && self.inputs[node].get(1).is_some_and(|own| self.origin(own) == *condition) {
                found.insert(node);
                continue;
            }
            todo.extend(self.inputs[node].iter().filter_map(Source::node));
        }
        found
    }
}
