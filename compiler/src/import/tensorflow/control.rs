//! Loops and conditions, of functions (version 2) and of `Switch`, `Merge` and frames (version 1).
//!
//! In: regions of nodes, and what they are given. Out: values of `scan`, `loop` and `if`. A loop is tried out first: which of its variables never
//! change, which count its steps, which lists it only reads or sets at the step's index. Then it is built: what is read becomes scanned, what is set collected,
//! the condition a number of steps, as far as that is so.

use std::collections::BTreeMap;
use std::rc::Rc;

use frit_ir::build::Folding;
use frit_ir::ops::{fail::failing, if_::If, loop_::Loop, scan::Scan};
use frit_ir::ops::{add::Add, cast::Cast, concat::Concat, equal::Equal, iota::Iota, not::Not, reshape_to::ReshapeTo, slice_by::SliceBy};
use frit_ir::{Builder, DType, Dim, Graph, Op, OpError, Scalar, Shape, Tensor, TensorType, ValueId};

use super::body::{Body, Source};
use super::evaluate::{Bound, Env, Importer, Layer};
use super::list::{Form, Index, List, Watched, stack, stacked_type};
use super::node::Node;
use super::{BoundHandler, Handler};

pub(super) const OPS: &[(&str, BoundHandler)] = &[
    ("Case", case),
    ("If", if_),
    ("PartitionedCall", call),
    ("StatefulPartitionedCall", call),
    ("StatelessCase", case),
    ("StatelessIf", if_),
    ("StatelessWhile", while_),
    ("While", while_),
];

/// Nodes of version 1 that hand on what they are given, where their condition is known or nothing depends on it.
pub(super) const HANDED_ON: &[(&str, BoundHandler)] = &[
    ("Enter", |n| Ok(vec![n.bound(0)?.clone()])),
    ("Exit", |n| Ok(vec![n.bound(0)?.clone()])),
    ("RefEnter", |n| Ok(vec![n.bound(0)?.clone()])),
    ("RefSwitch", |n| Ok(vec![n.bound(0)?.clone(), n.bound(0)?.clone()])),
    ("Switch", |n| Ok(vec![n.bound(0)?.clone(), n.bound(0)?.clone()])),
];

pub(super) const VALUES: &[(&str, Handler)] = &[("LoopCond", |n| Ok(vec![n.input(0)?]))];

/// Made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[("ToBool", |n| {
    let x = n.input(0)?;
    Ok(vec![truth(n.builder, x)?])
})];

/// Nodes that are given values and give others.
pub(super) enum Region<'m> {
    /// A function.
    Function(Rc<Body<'m>>),
    /// A part of a body: the nodes whose results each operand stands for, and what is wanted.
    Part { body: Rc<Body<'m>>, places: Vec<Vec<usize>>, wants: Vec<Source> },
}

impl<'m> Region<'m> {
    fn run(&self, importer: &mut Importer<'m>, builder: &mut Builder, args: Vec<Bound>) -> Result<Vec<Bound>, OpError> {
        match self {
            Region::Function(body) => importer.call(builder, body.name, args),
            Region::Part { body, places, wants } => {
                let mut env = Env::default();
                for (nodes, arg) in places.iter().zip(args) {
                    for node in nodes {
                        env.values.insert(*node, vec![arg.clone(); 2]);
                    }
                }
                importer.inside(|importer| Ok(importer.run(builder, body, &mut env, wants)))
            }
        }
    }
}

/// What a loop's variable is.
#[derive(Clone, Debug)]
enum Kind {
    /// No tensor; it is handed on as it is.
    Same,
    /// A tensor that never changes.
    Fixed,
    /// One that counts steps from a number on.
    Counter(i64),
    /// Any other tensor.
    Carried(TensorType),
    /// A list that is only read at the step's index.
    Scanned,
    /// A list that is only read.
    FixedList,
    /// A list whose elements are set in order.
    Collected,
    /// Any other list, as a tensor of this type.
    CarriedList(TensorType),
    /// A list of which nothing is known yet.
    List,
}

/// What was found out about a loop.
struct Findings {
    kinds: Vec<Kind>,
    /// Counters that the body uses otherwise than to count and as indices.
    used: Vec<bool>,
    /// Lists and their elements' types.
    elements: BTreeMap<usize, TensorType>,
    /// The number of steps, where only counters decide it.
    trips: Option<i64>,
}

/// Loops of no more steps than this are unrolled where they can't be built otherwise.
const MAX_UNROLLED: i64 = 64;
/// How often a loop is tried out at most.
const MAX_TRIES: usize = 12;

/// A condition as a truth value: other numbers hold where they are not 0.
fn truth(builder: &mut Builder, x: ValueId) -> Result<ValueId, OpError> {
    let dtype = builder.dtype(x);
    if dtype == DType::Bool {
        return Ok(x);
    }
    let zero = builder.scalar(dtype, 0.0);
    let none = builder.apply(Equal {}, &[x, zero])?;
    builder.apply(Not {}, &[none])
}

fn call(n: &mut Node<'_, '_>) -> Result<Vec<Bound>, OpError> {
    let name = n.function("f")?;
    n.importer.call(n.builder, name, n.inputs.to_vec())
}

fn if_(n: &mut Node<'_, '_>) -> Result<Vec<Bound>, OpError> {
    let condition = n.input(0)?;
    let condition = truth(n.builder, condition)?;
    let (then_branch, else_branch) = (n.function("then_branch")?, n.function("else_branch")?);
    let regions = [n.importer.region(then_branch)?, n.importer.region(else_branch)?];
    n.importer.choose(n.builder, condition, &regions, n.inputs[1..].to_vec())
}

fn case(n: &mut Node<'_, '_>) -> Result<Vec<Bound>, OpError> {
    let index = n.input(0)?;
    let regions = n.functions("branches").into_iter().map(|name| n.importer.region(name)).collect::<Result<Vec<_>, _>>()?;
    n.importer.choose_of(n.builder, index, 0, &regions, n.inputs[1..].to_vec())
}

fn while_(n: &mut Node<'_, '_>) -> Result<Vec<Bound>, OpError> {
    let (cond, body) = (n.function("cond")?, n.function("body")?);
    let (cond, body) = (n.importer.region(cond)?, n.importer.region(body)?);
    let results = n.importer.loop_(n.builder, &cond, &body, n.inputs.to_vec())?;
    Ok(if results.is_empty() { vec![Bound::Other("nothing")] } else { results })
}

/// An operand of an inner graph: constants are copied (they share their bytes), other tensors become inputs, and `captured` notes which.
fn given(outer: &Builder, inner: &mut Builder, bound: &Bound, captured: &mut Vec<ValueId>) -> Bound {
    match bound {
        Bound::Value(value) => match outer.as_constant(*value) {
            Some(tensor) => inner.constant(tensor.clone()).into(),
            None => {
                let name = outer.graph().value(*value).name.clone().unwrap_or_else(|| format!("captured{}", captured.len()));
                captured.push(*value);
                inner.input(name, outer.ty(*value).clone()).into()
            }
        },
        other => other.clone(),
    }
}

/// A type with what may differ from another one open.
fn wider(a: &TensorType, b: &TensorType) -> TensorType {
    let shape = match (a.shape.dims(), b.shape.dims()) {
        (Some(a), Some(b)) if a.len() == b.len() => Shape::Ranked(a.iter().zip(b).map(|(a, b)| if a == b { a.clone() } else { Dim::Unknown }).collect()),
        _ => Shape::Unranked,
    };
    TensorType::new(a.dtype, shape)
}

/// The value that a chain of conversions begins with.
fn unconverted(graph: &Graph, mut value: ValueId) -> ValueId {
    while let Some(node) = graph.producer(value)
        && matches!(node.op, Op::Cast(_))
    {
        value = node.inputs[0];
    }
    value
}

fn is_one(graph: &Graph, value: ValueId) -> bool {
    graph.constant(value).is_some_and(|tensor| tensor.elems() == 1 && tensor.dtype().is_int() && tensor.get(0).as_int() == 1)
}

/// Does a value follow another one in counting?
fn counts(graph: &Graph, from: ValueId, to: ValueId) -> bool {
    graph.producer(to).is_some_and(|node| matches!(node.op, Op::Add(_)) && ((node.inputs[0] == from && is_one(graph, node.inputs[1])) || (node.inputs[1] == from && is_one(graph, node.inputs[0]))))
}

/// For how many steps a condition holds, if that depends on counters only: `counters` says where each begins.
fn steps(graph: &Graph, condition: ValueId, counters: &BTreeMap<ValueId, i64>) -> Option<i64> {
    if let Some(tensor) = graph.constant(condition) {
        return (tensor.elems() == 1 && tensor.get(0).as_bool()).then_some(i64::MAX);
    }
    let node = graph.producer(condition)?;
    let limit = |at: usize| graph.constant(node.inputs[at]).filter(|tensor| tensor.elems() == 1 && tensor.dtype().is_int()).map(|tensor| tensor.ints()[0]);
    let from = |at: usize| counters.get(&unconverted(graph, node.inputs[at])).copied();
    match node.op {
        Op::And(_) => Some(steps(graph, node.inputs[0], counters)?.min(steps(graph, node.inputs[1], counters)?)),
        Op::Less(_) => Some(limit(1)?.saturating_sub(from(0)?).max(0)),
        Op::LessEqual(_) => Some(limit(1)?.saturating_add(1).saturating_sub(from(0)?).max(0)),
        Op::Reshape(_) | Op::ReshapeTo(_) => steps(graph, node.inputs[0], counters),
        _ => None,
    }
}

impl<'m> Importer<'m> {
    /// Evaluates in a builder of its own. A complaint in it is an error of the whole.
    fn within<T>(&mut self, origins: &Builder, what: impl FnOnce(&mut Self, &mut Builder) -> Result<T, OpError>) -> Result<(T, Builder), OpError> {
        let mut inner = Builder::new("body").folding(Folding::Early);
        inner.set_origins(origins.origins().clone());
        let before = self.errors.len();
        self.layers.push(Layer::default());
        let done = self.inside(|importer| what(importer, &mut inner));
        self.layers.pop();
        match self.errors.drain(before..).next() {
            Some(error) => Err(error.into()),
            None => Ok((done?, inner)),
        }
    }

    /// One of two regions, by a condition. What both give must be tensors or lists.
    fn choose(&mut self, outer: &mut Builder, condition: ValueId, regions: &[Region<'m>; 2], args: Vec<Bound>) -> Result<Vec<Bound>, OpError> {
        if let Some(tensor) = outer.as_constant(condition)
            && tensor.elems() == 1
        {
            let holds = tensor.get(0).as_bool();
            return regions[usize::from(!holds)].run(self, outer, args);
        }
        // Lists go in as tensors.
        let mut inner_args = Vec::new();
        for arg in &args {
            inner_args.push(match arg {
                Bound::List(list) => Bound::List(List { form: Form::Stacked(stack(self, outer, list)?), ..list.clone() }),
                Bound::Variable(name) => Bound::Variable(Rc::clone(name)),
                other => other.clone(),
            });
        }
        let mut captured = Vec::new();
        let mut lists = Vec::new();
        let mut branches: Vec<Result<Graph, OpError>> = Vec::new();
        for region in regions {
            captured.clear();
            let mut shapes = Vec::new();
            let done = self.within(outer, |importer, inner| {
                let args = inner_args.iter().map(|arg| match arg {
                    Bound::List(list) => match &list.form {
                        Form::Stacked(value) => match given(outer, inner, &Bound::Value(*value), &mut captured) {
                            Bound::Value(value) => Bound::List(List { form: Form::Stacked(value), ..list.clone() }),
                            other => other,
                        },
                        _ => arg.clone(),
                    },
                    _ => given(outer, inner, arg, &mut captured),
                }).collect();
                for (k, result) in region.run(importer, inner, args)?.iter().enumerate() {
                    shapes.push(if let Bound::List(list) = result { Some(list.clone()) } else { None });
                    let value = match result {
                        Bound::List(list) => stack(importer, inner, list)?,
                        Bound::Other("nothing") => continue,
                        other => importer.value(inner, other)?,
                    };
                    inner.output(format!("{k}"), value);
                }
                Ok(())
            });
            if done.is_ok() {
                lists = shapes;
            }
            branches.push(done.map(|((), inner)| inner.finish()));
        }
        let types: Vec<TensorType> = captured.iter().map(|value| outer.ty(*value).clone()).collect();
        let (else_branch, then_branch) = (branches.pop(), branches.pop());
        let words = |error: &OpError| error.to_string();
        let (then_branch, else_branch) = match (then_branch, else_branch) {
            (Some(Ok(a)), Some(Ok(b))) => (a, b),
            // A branch that does not fit the shapes is an error only where it is taken.
            (Some(Ok(a)), Some(Err(error))) if error.kind == frit_ir::Kind::Invalid => {
                let b = failing(&a, &types, &words(&error))?;
                (a, b)
            }
            (Some(Err(error)), Some(Ok(b))) if error.kind == frit_ir::Kind::Invalid => (failing(&b, &types, &words(&error))?, b),
            (Some(Err(error)), _) | (_, Some(Err(error))) => return Err(error),
            _ => return Err(OpError::bug("two branches were asked for")),
        };
        if then_branch.outputs().is_empty() {
            return Ok(vec![Bound::Other("nothing")]);
        }
        let one = outer.ints(&[]);
        let condition = outer.apply(ReshapeTo { zero_copies: false }, &[condition, one])?;
        let inputs: Vec<ValueId> = std::iter::once(condition).chain(captured).collect();
        let results = outer.apply_all(If { then_branch, else_branch }, &inputs)?;
        Ok(results.into_iter().zip(lists).map(|(value, list)| match list {
            Some(list) => Bound::List(List { form: Form::Stacked(value), ..list }),
            None => value.into(),
        }).collect())
    }

    /// One of several regions, by its number; the last one for any other number.
    fn choose_of(&mut self, outer: &mut Builder, index: ValueId, first: i64, regions: &[Region<'m>], args: Vec<Bound>) -> Result<Vec<Bound>, OpError> {
        match regions {
            [] => Err(OpError::invalid("'Case' has no branches")),
            [last] => last.run(self, outer, args),
            [region, rest @ ..] => {
                if let Ok(known) = outer.as_ints(index) {
                    let at = known.first().and_then(|at| usize::try_from(at.checked_sub(first)?).ok()).filter(|at| *at < regions.len()).unwrap_or(regions.len() - 1);
                    return regions[at].run(self, outer, args);
                }
                if rest.len() > 1 {
                    return Err(OpError::unsupported("'Case' of more than two branches by a number that is only known when the model runs is not supported"));
                }
                let number = outer.scalar(outer.dtype(index), first as f64);
                let condition = outer.apply(Equal {}, &[index, number])?;
                let pair = [region.share(), rest[0].share()];
                self.choose(outer, condition, &pair, args)
            }
        }
    }

    /// A `Merge` of version 1.
    pub(super) fn merge(&mut self, outer: &mut Builder, body: &Rc<Body<'m>>, env: &mut Env, at: usize) -> Result<Vec<Bound>, OpError> {
        let choice = body.choices[&at].clone();
        let sides = &body.inputs[at];
        let side = |holds: bool| sides.get(super::evaluate::taken(choice.when_true, holds)).cloned().ok_or_else(|| OpError::invalid("'Merge' takes two operands"));
        if let Some(holds) = self.known(outer, body, env, &choice.condition) {
            return Ok(self.run(outer, body, env, &[side(holds)?]));
        }
        let mut condition = self.run(outer, body, env, std::slice::from_ref(&choice.condition));
        let condition = match condition.pop() {
            Some(Bound::Failed) | None => return Ok(Vec::new()),
            Some(bound) => self.value(outer, &bound)?,
        };
        let mut switches: Vec<usize> = sides.iter().flat_map(|side| body.switches(side, &choice.condition)).collect();
        switches.sort_unstable();
        switches.dedup();
        let data: Vec<Source> = switches.iter().filter_map(|switch| body.inputs[*switch].first().cloned()).collect();
        let args = self.run(outer, body, env, &data);
        if args.iter().any(|arg| matches!(arg, Bound::Failed)) {
            return Ok(Vec::new());
        }
        let places: Vec<Vec<usize>> = switches.iter().map(|switch| vec![*switch]).collect();
        let part = |holds: bool| Ok::<_, OpError>(Region::Part { body: Rc::clone(body), places: places.clone(), wants: vec![side(holds)?] });
        let regions = [part(true)?, part(false)?];
        self.choose(outer, condition, &regions, args)
    }

    /// A loop of version 1: its frame's `Exit` nodes get their values.
    pub(super) fn frame(&mut self, outer: &mut Builder, body: &Rc<Body<'m>>, env: &mut Env, name: &str) -> Result<(), OpError> {
        let frame = &body.frames[name];
        let condition = frame.condition.clone().ok_or_else(|| OpError::invalid(format!("the loop '{name}' has no condition")))?;
        let mut entries: Vec<Source> = Vec::new();
        for enter in frame.variables.iter().map(|variable| variable.enter).chain(frame.constants.iter().copied()) {
            entries.push(body.inputs[enter].first().cloned().ok_or_else(|| OpError::invalid("'Enter' takes an operand"))?);
        }
        let init = self.run(outer, body, env, &entries);
        if init.iter().any(|bound| matches!(bound, Bound::Failed)) {
            for exit in frame.variables.iter().filter_map(|variable| variable.exit) {
                env.values.insert(exit, Vec::new());
            }
            return Ok(());
        }
        let constants: Vec<Vec<usize>> = frame.constants.iter().map(|enter| vec![*enter]).collect();
        let places = |switches: bool| frame.variables.iter().map(|variable| std::iter::once(variable.merge).chain(variable.switch.filter(|_| switches)).collect()).chain(constants.iter().cloned()).collect();
        let mut wants = Vec::new();
        for variable in &frame.variables {
            wants.push(body.inputs[variable.next].first().cloned().ok_or_else(|| OpError::invalid("'NextIteration' takes an operand"))?);
        }
        wants.extend(frame.constants.iter().map(|enter| Source::Node(*enter, 0)));
        let cond = Region::Part { body: Rc::clone(body), places: places(false), wants: vec![condition] };
        let step = Region::Part { body: Rc::clone(body), places: places(true), wants };
        let results = self.loop_(outer, &cond, &step, init)?;
        for (variable, result) in frame.variables.iter().zip(results) {
            if let Some(exit) = variable.exit {
                env.values.insert(exit, vec![result]);
            }
        }
        Ok(())
    }

    /// A loop: `body` gives the next values of all variables while `cond` holds of them.
    fn loop_(&mut self, outer: &mut Builder, cond: &Region<'m>, body: &Region<'m>, init: Vec<Bound>) -> Result<Vec<Bound>, OpError> {
        let begins = self.condition(outer, cond, init.clone())?;
        if outer.as_constant(begins).is_some_and(|tensor| tensor.elems() == 1 && !tensor.get(0).as_bool()) {
            return Ok(init);
        }
        let found = self.explore(outer, cond, body, &init);
        let trips = found.as_ref().map_or(None, |found| found.trips);
        match found.and_then(|found| self.structured(outer, cond, body, &init, begins, &found)) {
            Err(error) => {
                // What changes its shape or form from step to step may still be known in each.
                let mut state = init;
                let mut begins = begins;
                let mut done = 0;
                while outer.as_constant(begins).is_some_and(|tensor| tensor.elems() == 1) {
                    if !outer.as_constant(begins).is_some_and(|tensor| tensor.get(0).as_bool()) {
                        return Ok(state);
                    }
                    if done >= MAX_UNROLLED || trips.is_some_and(|trips| trips > MAX_UNROLLED) || error.kind == frit_ir::Kind::Unsupported {
                        break;
                    }
                    done += 1;
                    state = body.run(self, outer, state)?;
                    if state.iter().any(|bound| matches!(bound, Bound::Failed)) {
                        break;
                    }
                    begins = self.condition(outer, cond, state.clone())?;
                }
                Err(error)
            }
            done => done,
        }
    }

    /// Whether a loop goes on.
    fn condition(&mut self, builder: &mut Builder, cond: &Region<'m>, args: Vec<Bound>) -> Result<ValueId, OpError> {
        let before = self.errors.len();
        let results = cond.run(self, builder, args)?;
        if let Some(error) = self.errors.drain(before..).next() {
            return Err(error.into());
        }
        let result = results.first().ok_or_else(|| OpError::invalid("a loop's condition gives nothing"))?;
        let value = self.value(builder, result)?;
        truth(builder, value)
    }

    /// Finds out what a loop does with its variables.
    fn explore(&mut self, outer: &Builder, cond: &Region<'m>, body: &Region<'m>, init: &[Bound]) -> Result<Findings, OpError> {
        let mut kinds: Vec<Kind> = Vec::new();
        let mut elements: BTreeMap<usize, TensorType> = BTreeMap::new();
        for (k, bound) in init.iter().enumerate() {
            kinds.push(match bound {
                Bound::Value(value) => Kind::Carried(outer.ty(*value).clone()),
                Bound::List(list) => {
                    elements.extend(list.element_type(outer).map(|ty| (k, ty)));
                    Kind::List
                }
                _ => Kind::Same,
            });
        }
        let mut used = vec![true; init.len()];
        for _ in 0..MAX_TRIES {
            let mut args: Vec<Bound> = Vec::new();
            let ((results, watched), inner) = self.within(outer, |importer, inner| {
                args = importer.trial(outer, inner, init, &kinds, &elements);
                let results = body.run(importer, inner, args.clone())?;
                let watched = importer.layers.last_mut().map(|layer| std::mem::take(&mut layer.lists.lists)).unwrap_or_default();
                Ok((results, watched))
            })?;
            if results.len() < init.len() {
                return Err(OpError::invalid(format!("a loop of {} variables gives {}", init.len(), results.len())));
            }
            let graph = inner.graph();
            let mut changed = false;
            let mut next = kinds.clone();
            for k in 0..init.len() {
                match (&kinds[k], &args[k], &results[k]) {
                    (Kind::Carried(ty), Bound::Value(from), Bound::Value(to)) => {
                        let begins = match &init[k] {
                            Bound::Value(value) => outer.as_constant(*value).filter(|tensor| tensor.dtype().is_int() && tensor.rank() == 0).map(|tensor| tensor.ints()[0]),
                            _ => None,
                        };
                        let after = inner.ty(*to);
                        if after.dtype != ty.dtype {
                            return Err(OpError::invalid(format!("variable {k} of a loop is {ty} before a step and {after} after it")));
                        }
                        let grown = wider(ty, after);
                        if from == to {
                            next[k] = Kind::Fixed;
                        } else if let Some(begins) = begins
                            && counts(graph, *from, *to)
                        {
                            next[k] = Kind::Counter(begins);
                        } else if grown != *ty {
                            next[k] = Kind::Carried(grown);
                        } else {
                            continue;
                        }
                        changed = true;
                    }
                    (Kind::Carried(_), _, Bound::Variable(_)) => return Err(OpError::unsupported("a loop makes a variable of a tensor")),
                    (Kind::List, _, Bound::List(list)) => {
                        if let Form::Loop { set: Some((_, item)), .. } = &list.form
                            && !elements.contains_key(&k)
                        {
                            elements.insert(k, inner.ty(*item).clone());
                            changed = true;
                        }
                    }
                    _ => {}
                }
            }
            if changed {
                kinds = next;
                continue;
            }
            let uses = graph.uses();
            let indices: Vec<ValueId> = kinds.iter().zip(&args).filter_map(|pair| if let (Kind::Counter(0), Bound::Value(value)) = pair { Some(*value) } else { None }).collect();
            let counter = |index: ValueId| indices.contains(&unconverted(graph, index));
            for k in 0..init.len() {
                if let (Kind::Counter(_), Bound::Value(from), Bound::Value(to)) = (&kinds[k], &args[k], &results[k]) {
                    let own = |node: frit_ir::graph::NodeId| graph.node(node).outputs.contains(to) && uses[to.0 as usize].is_empty();
                    let as_result = results.iter().any(|result| matches!(result, Bound::Value(value) if value == from));
                    used[k] = as_result || !uses[from.0 as usize].iter().all(|node| own(*node));
                }
                if !matches!(kinds[k], Kind::List) {
                    continue;
                }
                let (Bound::List(before), seen) = (&init[k], watched.get(&k)) else { continue };
                let general = seen.is_none_or(|seen| seen.general);
                let reads: &[ValueId] = seen.map_or(&[], |seen| &seen.reads);
                kinds[k] = match &results[k] {
                    Bound::List(List { form: Form::Loop { at, set: None }, .. }) if *at == k => {
                        if !general && !reads.is_empty() && reads.iter().all(|index| counter(*index)) { Kind::Scanned } else { Kind::FixedList }
                    }
                    Bound::List(List { form: Form::Loop { at, set: Some((index, item)) }, .. }) if *at == k => {
                        let in_order = match index {
                            Index::At(index) => counter(*index),
                            Index::End => before.known_length(outer) == Some(0),
                        };
                        if !general && reads.is_empty() && in_order { Kind::Collected } else { Kind::CarriedList(stacked_type(before, outer, Some(inner.ty(*item)))?) }
                    }
                    Bound::List(_) => Kind::CarriedList(stacked_type(before, outer, elements.get(&k))?),
                    _ => return Err(OpError::unsupported("a loop makes something else of a list")),
                };
            }
            let trips = self.trips(outer, cond, init, &kinds, &elements)?;
            if trips.is_none() {
                // Nothing tells the steps apart, so what is set in each is carried.
                for k in 0..init.len() {
                    if let Bound::List(list) = &init[k] {
                        match &kinds[k] {
                            Kind::Scanned => kinds[k] = Kind::FixedList,
                            Kind::Collected => kinds[k] = Kind::CarriedList(stacked_type(list, outer, elements.get(&k))?),
                            _ => {}
                        }
                    }
                    if let (Kind::Counter(_), Bound::Value(value)) = (&kinds[k], &init[k]) {
                        kinds[k] = Kind::Carried(outer.ty(*value).clone());
                    }
                }
            }
            return Ok(Findings { kinds, used, elements, trips });
        }
        Err(OpError::unsupported("a loop whose variables change their shapes in a way that does not settle is not supported"))
    }

    /// Operands for trying out a loop's body or condition.
    fn trial(&mut self, outer: &Builder, inner: &mut Builder, init: &[Bound], kinds: &[Kind], elements: &BTreeMap<usize, TensorType>) -> Vec<Bound> {
        let mut captured = Vec::new();
        let mut args = Vec::new();
        for (k, kind) in kinds.iter().enumerate() {
            args.push(match (kind, &init[k]) {
                (Kind::Carried(ty), _) => inner.input(format!("{k}"), ty.clone()).into(),
                (Kind::Counter(_), Bound::Value(value)) => inner.input(format!("{k}"), outer.ty(*value).clone()).into(),
                (Kind::Fixed, bound) => given(outer, inner, bound, &mut captured),
                (_, Bound::List(list)) => {
                    let watched = Watched { probing: true, element: elements.get(&k).cloned(), ..Watched::default() };
                    if let Some(layer) = self.layers.last_mut() {
                        layer.lists.lists.insert(k, watched);
                    }
                    Bound::List(List { form: Form::Loop { at: k, set: None }, ..list.clone() })
                }
                (_, bound) => bound.clone(),
            });
        }
        args
    }

    /// The number of steps that a loop's condition allows, if only counters decide it.
    fn trips(&mut self, outer: &Builder, cond: &Region<'m>, init: &[Bound], kinds: &[Kind], elements: &BTreeMap<usize, TensorType>) -> Result<Option<i64>, OpError> {
        let mut counters = BTreeMap::new();
        let (condition, inner) = self.within(outer, |importer, inner| {
            let args = importer.trial(outer, inner, init, kinds, elements);
            for (kind, arg) in kinds.iter().zip(&args) {
                if let (Kind::Counter(from), Bound::Value(value)) = (kind, arg) {
                    counters.insert(*value, *from);
                }
            }
            importer.condition(inner, cond, args)
        })?;
        Ok(steps(inner.graph(), condition, &counters).filter(|trips| *trips < i64::MAX))
    }

    /// Builds a loop.
    fn structured(&mut self, outer: &mut Builder, cond: &Region<'m>, body: &Region<'m>, init: &[Bound], begins: ValueId, found: &Findings) -> Result<Vec<Bound>, OpError> {
        let kinds = &found.kinds;
        // What the loop begins with.
        let mut states: Vec<ValueId> = Vec::new();
        let mut scanned: Vec<(usize, ValueId)> = Vec::new();
        let mut fixed_lists: BTreeMap<usize, ValueId> = BTreeMap::new();
        for (k, kind) in kinds.iter().enumerate() {
            match (kind, &init[k]) {
                (Kind::Carried(_), Bound::Value(value)) => states.push(*value),
                (Kind::CarriedList(ty), Bound::List(list)) => {
                    let element = ty.dims()?.get(1..).map(|dims| dims.iter().map(Dim::known).collect());
                    states.push(stack(self, outer, &List { element, ..list.clone() })?);
                }
                (Kind::Scanned, Bound::List(list)) => {
                    let value = stack(self, outer, list)?;
                    let length = outer.ty(value).dims()?.first().and_then(Dim::known);
                    match (found.trips, length) {
                        (Some(trips), Some(length)) if length == trips => scanned.push((k, value)),
                        (Some(trips), Some(length)) if length > trips => {
                            let bounds = [outer.ints(&[0]), outer.ints(&[trips])];
                            scanned.push((k, outer.apply(SliceBy {}, &[value, bounds[0], bounds[1]])?));
                        }
                        _ => {
                            fixed_lists.insert(k, value);
                        }
                    }
                }
                (Kind::FixedList, Bound::List(list)) => {
                    fixed_lists.insert(k, stack(self, outer, list)?);
                }
                _ => {}
            }
        }
        let counts = kinds.iter().zip(&found.used).any(|(kind, used)| matches!(kind, Kind::Counter(_)) && *used) || kinds.iter().enumerate().any(|(k, kind)| matches!(kind, Kind::Scanned) && fixed_lists.contains_key(&k));
        let as_scan = found.trips.is_some() && !scanned.is_empty();
        let mut captured: Vec<ValueId> = Vec::new();
        let mut collected: Vec<usize> = Vec::new();
        let ((), inner) = self.within(outer, |importer, inner| {
            let (mut step, mut goes_on) = (None, None);
            if !as_scan {
                step = Some(inner.input("step", TensorType::known(DType::I64, &[])));
                goes_on = Some(inner.input("cond", TensorType::known(DType::Bool, &[])));
            }
            let mut args: Vec<Option<Bound>> = vec![None; init.len()];
            for (k, kind) in kinds.iter().enumerate() {
                match (kind, &init[k]) {
                    (Kind::Carried(ty), _) => args[k] = Some(inner.input(format!("{k}"), ty.clone()).into()),
                    (Kind::CarriedList(ty), Bound::List(list)) => args[k] = Some(Bound::List(List { form: Form::Stacked(inner.input(format!("{k}"), ty.clone())), ..list.clone() })),
                    _ => {}
                }
            }
            let watch = |importer: &mut Self, k: usize, list: &List, scanned: Option<ValueId>| {
                if let Some(layer) = importer.layers.last_mut() {
                    layer.lists.lists.insert(k, Watched { scanned, element: found.elements.get(&k).cloned(), ..Watched::default() });
                }
                Bound::List(List { form: Form::Loop { at: k, set: None }, ..list.clone() })
            };
            if as_scan {
                for (k, value) in &scanned {
                    let dims = outer.ty(*value).dims()?[1..].to_vec();
                    let element = inner.input(format!("{k}"), TensorType::ranked(outer.dtype(*value), dims));
                    if let Bound::List(list) = &init[*k] {
                        args[*k] = Some(watch(importer, *k, list, Some(element)));
                    }
                }
                if counts {
                    step = Some(inner.input("step", TensorType::known(DType::I64, &[])));
                }
            }
            for (k, kind) in kinds.iter().enumerate() {
                if args[k].is_some() {
                    continue;
                }
                args[k] = Some(match (kind, &init[k]) {
                    (Kind::Fixed, bound) => given(outer, inner, bound, &mut captured),
                    (Kind::Counter(from), Bound::Value(value)) => {
                        let dtype = outer.dtype(*value);
                        let from = inner.constant(Tensor::scalar(dtype, Scalar::Int(i128::from(*from))));
                        match step {
                            Some(step) => {
                                let step = if dtype == DType::I64 { step } else { inner.apply(Cast { to: dtype }, &[step])? };
                                if matches!(kind, Kind::Counter(0)) { step.into() } else { inner.apply(Add {}, &[step, from])?.into() }
                            }
                            // Nobody looks at it but itself.
                            None => from.into(),
                        }
                    }
                    (Kind::Collected, Bound::List(list)) => watch(importer, k, list, None),
                    (_, Bound::List(list)) if fixed_lists.contains_key(&k) => match given(outer, inner, &Bound::Value(fixed_lists[&k]), &mut captured) {
                        Bound::Value(value) => Bound::List(List { form: Form::Stacked(value), ..list.clone() }),
                        other => other,
                    },
                    (_, bound) => bound.clone(),
                });
            }
            let args: Vec<Bound> = args.into_iter().flatten().collect();
            let results = body.run(importer, inner, args)?;
            if let Some(goes_on) = goes_on {
                let next = if found.trips.is_some() { goes_on } else { importer.condition(inner, cond, results.clone())? };
                let scalar = inner.ints(&[]);
                let next = inner.apply(ReshapeTo { zero_copies: false }, &[next, scalar])?;
                inner.output("cond", next);
            }
            for (k, kind) in kinds.iter().enumerate() {
                match (kind, &results[k]) {
                    (Kind::Carried(_), bound) => {
                        let value = importer.value(inner, bound)?;
                        inner.output(format!("{k}"), value);
                    }
                    (Kind::CarriedList(_), Bound::List(list)) => {
                        let value = stack(importer, inner, list)?;
                        inner.output(format!("{k}"), value);
                    }
                    _ => {}
                }
            }
            for (k, kind) in kinds.iter().enumerate() {
                if let (Kind::Collected, Bound::List(List { form: Form::Loop { set: Some((_, item)), .. }, .. })) = (kind, &results[k]) {
                    inner.output(format!("{k}"), *item);
                    collected.push(k);
                }
            }
            Ok(())
        })?;
        let graph = inner.finish();
        let carried = states.len();
        let results = if as_scan {
            let trips = found.trips.unwrap_or(0);
            let mut inputs = states;
            inputs.extend(scanned.iter().map(|(_, value)| *value));
            if counts {
                inputs.push(outer.apply(Iota { dtype: DType::I64, extents: vec![trips], axis: 0 }, &[])?);
            }
            let axes = inputs.len() - carried;
            inputs.extend(captured);
            outer.apply_all(Scan { states: carried, input_axes: vec![0; axes], input_reversed: vec![false; axes], output_axes: vec![0; collected.len()], output_reversed: vec![false; collected.len()], body: graph }, &inputs)?
        } else {
            let trips = outer.constant(Tensor::scalar(DType::I64, Scalar::Int(i128::from(found.trips.unwrap_or(i64::MAX)))));
            let begins = match found.trips {
                Some(_) => outer.constant(Tensor::from_bools(&[], &[true])),
                None => {
                    let scalar = outer.ints(&[]);
                    outer.apply(ReshapeTo { zero_copies: false }, &[begins, scalar])?
                }
            };
            let inputs: Vec<ValueId> = [trips, begins].into_iter().chain(states).chain(captured).collect();
            if carried == 0 && collected.is_empty() { Vec::new() } else { outer.apply_all(Loop { body: graph, carried }, &inputs)? }
        };
        let (last, elements) = results.split_at(carried.min(results.len()));
        let mut last = last.iter().copied();
        let mut results = Vec::new();
        for (k, kind) in kinds.iter().enumerate() {
            results.push(match (kind, &init[k]) {
                (Kind::Carried(_), _) => last.next().map_or(Bound::Failed, Bound::Value),
                (Kind::CarriedList(_), Bound::List(list)) => last.next().map_or(Bound::Failed, |value| Bound::List(List { form: Form::Stacked(value), ..list.clone() })),
                (Kind::Counter(from), Bound::Value(value)) => {
                    let end = from.saturating_add(found.trips.unwrap_or(0));
                    outer.constant(Tensor::scalar(outer.dtype(*value), Scalar::Int(i128::from(end)))).into()
                }
                (Kind::Collected, Bound::List(list)) => {
                    let at = collected.iter().position(|at| *at == k).ok_or_else(|| OpError::bug("a list was not collected"))?;
                    let value = elements.get(at).copied().ok_or_else(|| OpError::bug("a loop collects fewer lists than were asked for"))?;
                    Bound::List(self.lengthened(outer, list, value, found.trips.unwrap_or(0))?)
                }
                (_, bound) => bound.clone(),
            });
        }
        Ok(results)
    }

    /// A list whose first elements were set in a loop.
    fn lengthened(&mut self, outer: &mut Builder, list: &List, first: ValueId, count: i64) -> Result<List, OpError> {
        let length = list.known_length(outer).ok_or_else(OpError::unknown)?;
        let form = if length <= count {
            Form::Stacked(first)
        } else {
            let element = outer.ty(first).dims()?.get(1..).map(|dims| dims.iter().map(Dim::known).collect());
            let before = stack(self, outer, &List { element, ..list.clone() })?;
            let bounds = [outer.ints(&[count]), outer.ints(&[length])];
            let rest = outer.apply(SliceBy {}, &[before, bounds[0], bounds[1]])?;
            Form::Stacked(outer.apply(Concat { axis: 0 }, &[first, rest])?)
        };
        Ok(List { form, ..list.clone() })
    }
}

impl Region<'_> {
    fn share(&self) -> Self {
        match self {
            Region::Function(body) => Region::Function(Rc::clone(body)),
            Region::Part { body, places, wants } => Region::Part { body: Rc::clone(body), places: places.clone(), wants: wants.clone() },
        }
    }
}
