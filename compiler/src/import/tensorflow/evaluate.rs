//! Nodes become values, from what is wanted back to what it needs.
//!
//! In: [`Body`]s, a builder, what is wanted. Out: values. Calls are inlined where they stand; loops and conditions are left to [`super::control`].
//! Must not know: single ops, files.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use frit_ir::tensor::Pages;
use frit_ir::{Builder, Error, OpError, Tensor, ValueId};
use frit_proto::tensorflow as wire;

use super::body::{Body, Source};
use super::control::Region;
use super::list::List;
use super::node::Node;
use super::variables::Variables;
use super::{How, handler, unsupported};

/// What a result of a node is.
#[derive(Clone, Debug)]
pub(crate) enum Bound {
    /// A tensor.
    Value(ValueId),
    /// A complex tensor: a real one whose last axis holds real and imaginary part.
    Complex(ValueId),
    /// The variable that a node of the main graph is.
    Variable(Rc<str>),
    /// A list of tensors, or an array of them as it is after an op on it.
    List(List),
    /// Something else that no op here takes, in words.
    Other(&'static str),
    /// A node that could not be imported makes it; that was reported there.
    Failed,
}

impl From<ValueId> for Bound {
    fn from(value: ValueId) -> Self {
        Bound::Value(value)
    }
}

/// Values of a body while it is evaluated.
#[derive(Default)]
pub(super) struct Env {
    /// Its arguments.
    pub(super) args: Vec<Bound>,
    /// Results of nodes that are done.
    pub(super) values: HashMap<usize, Vec<Bound>>,
}

/// What belongs to one builder.
#[derive(Default)]
pub(super) struct Layer {
    /// Variables as they are now.
    pub(super) variables: BTreeMap<Rc<str>, ValueId>,
    /// What is known of lists that a loop's body is given.
    pub(super) lists: super::list::Watch,
}

/// What is known of the whole model, and the complaints so far.
pub(crate) struct Importer<'m> {
    pub(super) functions: HashMap<&'m str, &'m wire::Function>,
    pub(super) assigning: BTreeSet<&'m str>,
    pub(super) bodies: HashMap<&'m str, Rc<Body<'m>>>,
    pub(super) variables: Variables,
    pub(super) loaded: BTreeMap<Rc<str>, Tensor>,
    /// Variables that are states: inputs that each run leaves to the next one.
    states: BTreeSet<Rc<str>>,
    /// The states' values when the run begins.
    begun: BTreeMap<Rc<str>, ValueId>,
    /// Variables that were assigned.
    pub(super) assigned: BTreeSet<Rc<str>>,
    pub(super) pages: Option<Arc<dyn Pages>>,
    pub(super) layers: Vec<Layer>,
    pub(super) errors: Vec<Error>,
    pub(super) depth: usize,
    evaluated: usize,
    /// How many nodes may be evaluated.
    most: usize,
    /// Constants of nodes, by their addresses.
    pub(super) constants: HashMap<usize, Tensor>,
}

/// Functions, loops and branches nest no deeper than this.
pub(super) const MAX_DEPTH: usize = 48;
/// Nodes are evaluated no more often than this in the mean, however often functions are called, loops tried out or unrolled,
const MAX_TIMES: usize = 32;
/// and so many more.
const MORE_NODES: usize = 30_000;

impl<'m> Importer<'m> {
    pub(super) fn new(graph: &'m wire::Graph, variables: Variables, pages: Option<Arc<dyn Pages>>, states: BTreeSet<Rc<str>>) -> Self {
        let functions: HashMap<&'m str, &'m wire::Function> = graph.library.iter().flat_map(|library| &library.function).filter_map(|function| Some((function.signature.as_ref()?.name.as_str(), function))).collect();
        let assigning = super::body::assigning(&functions);
        let nodes = graph.library.iter().flat_map(|library| &library.function).fold(graph.node.len(), |nodes, function| nodes + function.node_def.len());
        let most = nodes.saturating_mul(MAX_TIMES).saturating_add(MORE_NODES);
        Self { functions, assigning, bodies: HashMap::new(), variables, loaded: BTreeMap::new(), states, begun: BTreeMap::new(), assigned: BTreeSet::new(), pages, layers: vec![Layer::default()], errors: Vec::new(), depth: 0, evaluated: 0, most, constants: HashMap::new() }
    }

    /// The body of a function.
    pub(super) fn function(&mut self, name: &str) -> Result<Rc<Body<'m>>, OpError> {
        if let Some(body) = self.bodies.get(name) {
            return Ok(Rc::clone(body));
        }
        let function = *self.functions.get(name).ok_or_else(|| OpError::invalid(format!("there is no function '{name}'")))?;
        let body = Rc::new(Body::function(function, &self.assigning)?);
        self.bodies.insert(body.name, Rc::clone(&body));
        Ok(body)
    }

    /// The values of sources, after all that they need was evaluated.
    pub(super) fn run(&mut self, builder: &mut Builder, body: &Rc<Body<'m>>, env: &mut Env, wants: &[Source]) -> Vec<Bound> {
        for want in wants {
            if let Some(node) = want.node() {
                self.evaluate(builder, body, env, node);
            }
        }
        wants.iter().map(|want| self.bound(body, env, want).unwrap_or_else(|error| {
            self.errors.push(Error::at(error, place(body), Vec::new()));
            Bound::Failed
        })).collect()
    }

    /// Evaluates a node after what it needs.
    fn evaluate(&mut self, builder: &mut Builder, body: &Rc<Body<'m>>, env: &mut Env, wanted: usize) {
        let mut stack = vec![wanted];
        let mut open: HashSet<usize> = HashSet::new();
        while let Some(at) = stack.last().copied() {
            if env.values.contains_key(&at) {
                stack.pop();
                continue;
            }
            let missing: Vec<usize> = self.needs(builder, body, env, at).into_iter().filter(|node| !env.values.contains_key(node)).collect();
            if missing.is_empty() {
                self.node(builder, body, env, at);
                open.remove(&at);
                stack.pop();
            } else if !open.insert(at) && missing.iter().any(|node| open.contains(node)) {
                let node = body.nodes[at];
                let error = Error { node: format!("node '{}' ({})", node.name, node.op), ..Error::invalid("the graph has a cycle: this node needs its own result") };
                self.errors.push(error);
                env.values.insert(at, Vec::new());
                stack.pop();
            } else {
                stack.extend(missing);
            }
        }
    }

    /// The nodes that must be done before a node, as far as is known yet.
    fn needs(&self, builder: &Builder, body: &Body<'m>, env: &Env, at: usize) -> Vec<usize> {
        let operands = |at: usize| body.inputs[at].iter().filter_map(Source::node);
        if let Some(frame) = body.exits.get(&at).and_then(|name| body.frames.get(name)) {
            return frame.variables.iter().map(|variable| variable.enter).chain(frame.constants.iter().copied()).flat_map(operands).collect();
        }
        if let Some(choice) = body.choices.get(&at) {
            let condition = choice.condition.node();
            if condition.is_some_and(|node| !env.values.contains_key(&node)) {
                return condition.into_iter().collect();
            }
            return match self.known(builder, body, env, &choice.condition) {
                Some(holds) => body.inputs[at].get(taken(choice.when_true, holds)).and_then(Source::node).into_iter().collect(),
                None => body.inputs[at].iter().flat_map(|side| body.switches(side, &choice.condition)).filter_map(|switch| body.inputs[switch].first().and_then(Source::node)).collect(),
            };
        }
        operands(at).chain(body.after[at].iter().copied()).collect()
    }

    /// A condition that is a constant.
    pub(super) fn known(&self, builder: &Builder, body: &Body<'m>, env: &Env, condition: &Source) -> Option<bool> {
        match self.bound(body, env, condition) {
            Ok(Bound::Value(value)) => builder.as_constant(value).filter(|tensor| tensor.elems() == 1).map(|tensor| tensor.get(0).as_bool()),
            _ => None,
        }
    }

    /// What a source stands for.
    fn bound(&self, body: &Body<'m>, env: &Env, source: &Source) -> Result<Bound, OpError> {
        match source {
            Source::Arg(at) => env.args.get(*at).cloned().ok_or_else(|| OpError::invalid(format!("function '{}' is given fewer than {} operands", body.name, at + 1))),
            Source::Missing(name) => Err(OpError::invalid(format!("operand '{name}' is made by no node"))),
            Source::Node(node, result) => match env.values.get(node) {
                Some(results) if results.is_empty() => Ok(Bound::Failed),
                Some(results) => results.get(*result).cloned().ok_or_else(|| OpError::invalid(format!("node '{}' ({}) has no result {result}", body.nodes[*node].name, body.nodes[*node].op))),
                None => Err(OpError::bug(format!("node '{}' is used before it is done", body.nodes[*node].name))),
            },
        }
    }

    /// Adds one node whose operands are done.
    fn node(&mut self, builder: &mut Builder, body: &Rc<Body<'m>>, env: &mut Env, at: usize) {
        let node = body.nodes[at];
        let outer = builder.origins().clone();
        builder.set_origins(frit_ir::build::origin(&*node.name, &*node.op, "tensorflow"));
        let mut inputs = Vec::new();
        let done = self.operands(body, env, at, &mut inputs).and_then(|whole| if whole { self.apply(builder, body, env, at, &inputs) } else { Ok(Vec::new()) });
        let results = done.unwrap_or_else(|error| {
            let place = builder.origins().first().map_or_else(String::new, |origin| origin.to_string());
            let types = inputs.iter().map(|bound| match bound {
                Bound::Value(value) => builder.ty(*value).to_string(),
                _ => "-".to_owned(),
            }).collect();
            self.errors.push(Error::at(error, place, types));
            Vec::new()
        });
        for (at, result) in results.iter().enumerate() {
            if let Bound::Value(value) = result
                && builder.graph().value(*value).name.is_none()
            {
                builder.name(*value, if at == 0 { node.name.clone() } else { format!("{}:{at}", node.name) });
            }
        }
        builder.set_origins(outer);
        env.values.insert(at, results);
    }

    /// Collects a node's operands; false where a node has failed that one of them needs.
    fn operands(&self, body: &Body<'m>, env: &Env, at: usize, inputs: &mut Vec<Bound>) -> Result<bool, OpError> {
        if body.exits.contains_key(&at) || body.choices.contains_key(&at) {
            return Ok(true);
        }
        for source in &body.inputs[at] {
            match self.bound(body, env, source)? {
                Bound::Failed => return Ok(false),
                bound => inputs.push(bound),
            }
        }
        Ok(true)
    }

    /// The results of a node; none where it has failed without a complaint of its own.
    fn apply(&mut self, builder: &mut Builder, body: &Rc<Body<'m>>, env: &mut Env, at: usize, inputs: &[Bound]) -> Result<Vec<Bound>, OpError> {
        self.evaluated += 1;
        if self.evaluated > self.most {
            return Err(OpError::unsupported(format!("the model has more than {} nodes when its functions are inlined and its loops unrolled", self.most)));
        }
        let node = body.nodes[at];
        if let Some(name) = body.exits.get(&at) {
            self.frame(builder, body, env, name)?;
            return env.values.remove(&at).ok_or_else(|| OpError::bug("a loop gave no result"));
        }
        if body.choices.contains_key(&at) {
            return self.merge(builder, body, env, at);
        }
        if super::variables::is_variable(&node.op) {
            return Ok(vec![Bound::Variable(node.name.as_str().into())]);
        }
        if self.functions.contains_key(node.op.as_str()) {
            return self.call(builder, &node.op, inputs.to_vec());
        }
        match handler(&node.op) {
            Some(How::Values(handler)) => {
                let mut view = Node::new(builder, self, inputs, node);
                let values = handler(&mut view);
                let misread = view.misread();
                match misread {
                    Some(error) => Err(error),
                    None => Ok(values?.into_iter().map(Bound::Value).collect()),
                }
            }
            Some(How::Bounds(handler)) => {
                let mut view = Node::new(builder, self, inputs, node);
                let bounds = handler(&mut view);
                let misread = view.misread();
                misread.map_or(bounds, Err)
            }
            None => Err(unsupported(&node.op)),
        }
    }

    /// Inlines a function.
    pub(super) fn call(&mut self, builder: &mut Builder, name: &str, args: Vec<Bound>) -> Result<Vec<Bound>, OpError> {
        let body = self.function(name)?;
        let results = self.inside(|importer| {
            let mut env = Env { args, ..Env::default() };
            // All that assigns is done, in order, whether its result is used or not.
            for effect in body.effects.clone() {
                importer.evaluate(builder, &body, &mut env, effect);
            }
            Ok(importer.run(builder, &body, &mut env, &body.returns.clone()))
        })?;
        // A call that gives nothing is not one that has failed.
        Ok(if results.is_empty() { vec![Bound::Other("nothing")] } else { results })
    }

    /// Does something one level deeper.
    pub(super) fn inside<T>(&mut self, what: impl FnOnce(&mut Self) -> Result<T, OpError>) -> Result<T, OpError> {
        if self.depth >= MAX_DEPTH {
            return Err(OpError::invalid(format!("functions nest deeper than {MAX_DEPTH}, or one calls itself")));
        }
        self.depth += 1;
        let done = what(self);
        self.depth -= 1;
        done
    }

    /// A variable's value as it is now.
    pub(super) fn read(&mut self, builder: &mut Builder, name: &Rc<str>) -> Result<ValueId, OpError> {
        if let Some(value) = self.layers.last().and_then(|layer| layer.variables.get(name)) {
            return Ok(*value);
        }
        if self.states.contains(name) && self.layers.len() > 1 {
            return Err(OpError::unsupported(format!("variable '{name}', which is assigned, is read in a loop or branch, which is not supported")));
        }
        let tensor = match self.loaded.get(name) {
            Some(tensor) => tensor.clone(),
            None => {
                let tensor = self.variables.value(name)?;
                self.loaded.insert(Rc::clone(name), tensor.clone());
                tensor
            }
        };
        let value = if self.states.contains(name) {
            let value = builder.state(&**name, tensor);
            self.begun.insert(Rc::clone(name), value);
            value
        } else {
            let value = builder.constant(tensor);
            builder.name(value, &**name);
            value
        };
        if let Some(layer) = self.layers.last_mut() {
            layer.variables.insert(Rc::clone(name), value);
        }
        Ok(value)
    }

    /// Gives a variable another value.
    pub(super) fn assign(&mut self, builder: &mut Builder, name: &Rc<str>, value: ValueId) -> Result<(), OpError> {
        if self.layers.len() == 1 {
            self.read(builder, name)?;
        }
        match self.layers.as_mut_slice() {
            [layer] => {
                layer.variables.insert(Rc::clone(name), value);
                self.assigned.insert(Rc::clone(name));
                Ok(())
            }
            _ => Err(OpError::unsupported(format!("variable '{name}' is assigned in a loop or branch, which is not supported"))),
        }
    }

    /// Leaves what variables are now to the next run.
    pub(super) fn update(&mut self, builder: &mut Builder) {
        let now = self.layers.first().map(|layer| &layer.variables);
        for (name, state) in &self.begun {
            let next = now.and_then(|now| now.get(name)).copied().unwrap_or(*state);
            if let Err(error) = builder.update(*state, next) {
                self.errors.push(Error::at(error, format!("variable '{name}'"), Vec::new()));
            }
        }
    }

    /// The tensor that a result is.
    pub(super) fn value(&mut self, builder: &mut Builder, bound: &Bound) -> Result<ValueId, OpError> {
        match bound {
            Bound::Value(value) => Ok(*value),
            Bound::Variable(name) => self.read(builder, name),
            Bound::Complex(_) => Err(OpError::unsupported("complex numbers stand where real ones are needed; only transforms, parts and absolute values of them are supported")),
            Bound::List(_) => Err(OpError::unsupported("a list of tensors stands where a tensor is needed")),
            Bound::Other(what) => Err(OpError::unsupported(format!("{what} stands where a tensor is needed"))),
            Bound::Failed => Err(OpError::bug("a node that failed is used")),
        }
    }

    /// The region that a function is.
    pub(super) fn region(&mut self, name: &str) -> Result<Region<'m>, OpError> {
        Ok(Region::Function(self.function(name)?))
    }
}

/// Which operand a choice takes.
pub(super) fn taken(when_true: usize, holds: bool) -> usize {
    if holds { when_true } else { 1 - when_true.min(1) }
}

fn place(body: &Body<'_>) -> String {
    if body.name.is_empty() { "the graph".to_owned() } else { format!("function '{}'", body.name) }
}
