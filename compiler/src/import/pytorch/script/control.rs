//! Branches and loops that depend on the values of tensors.
//!
//! In: statements that are run once, with what only a run can tell left open. Out: `if` and `loop` nodes. What a branch or a step adds to
//! the graph is copied into a graph of its own; in the outer graph it is dead. Must not know: single operators.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use frit_ir::build::Folding;
use frit_ir::graph::Producer;
use frit_ir::ops::fail::Fail;
use frit_ir::ops::{if_::If, less::Less, loop_::Loop};
use frit_ir::{Builder, DType, Dim, Graph, OpError, Scalar, Tensor, ValueId};

use super::interpret::{Done, Flow, Interpreter, Scope};
use super::python::{self, Var};
use super::state;
use super::syntax::{Expr, Kind, Statement, StatementKind};
use crate::import::pytorch::alias::Aliases;
use crate::import::pytorch::value::{Symbol, Value};

/// Values nest no deeper than this.
const MAX_DEPTH: usize = 16;

/// What a program consists of between two statements.
struct World {
    scope: Scope,
    aliases: Aliases,
    attributes: Vec<BTreeMap<Rc<str>, Var>>,
}

/// The end of a branch.
struct End {
    world: World,
    /// The nodes that it added.
    nodes: std::ops::Range<usize>,
}

/// What a program consists of before an `if` and after each of its branches.
struct Sides<'w> {
    before: &'w World,
    then: &'w World,
    otherwise: &'w World,
}

/// A value that is one thing after one branch and another after the other.
struct Merge {
    then: ValueId,
    otherwise: ValueId,
}

fn symbol(value: ValueId) -> Var {
    Var::Plain(Value::Symbol(Symbol { value, dim: Dim::Unknown }))
}

impl Interpreter<'_> {
    fn world(&self, scope: &Scope) -> World {
        World { scope: scope.clone(), aliases: self.context.aliases.clone(), attributes: self.objects.iter().map(|object| object.attributes.clone()).collect() }
    }

    /// Puts things back as they were; objects made since stay, and nobody knows them.
    fn restore(&mut self, world: &World, scope: &mut Scope) {
        scope.clone_from(&world.scope);
        self.context.aliases = world.aliases.clone();
        for (object, attributes) in self.objects.iter_mut().zip(&world.attributes) {
            object.attributes.clone_from(attributes);
        }
    }

    fn nodes(&self) -> usize {
        self.context.builder.graph().nodes().len()
    }

    /// Runs a branch. An error that the model raises is one only if the branch is taken.
    fn branch(&mut self, statements: &[Statement], scope: &mut Scope) -> Done<Result<End, OpError>> {
        let from = self.nodes();
        let containers = Containers::of(scope);
        let depth = self.depth();
        match self.block(statements, scope) {
            Ok(Flow::Next) => {}
            Ok(Flow::Return(_)) => return Err(OpError::unsupported("a method returns in a branch that depends on the values of tensors")),
            Err(error) if error.kind == frit_ir::Kind::Invalid => {
                self.unwind(depth);
                return Ok(Err(error));
            }
            Err(error) => return Err(error),
        }
        if !containers.same() {
            return Err(OpError::unsupported("a list or dictionary is changed in a branch that depends on the values of tensors").help("make a new one instead"));
        }
        Ok(Ok(End { world: self.world(scope), nodes: from..self.nodes() }))
    }

    /// An `if` whose condition only a run can tell.
    pub(super) fn if_open(&mut self, condition: ValueId, then: &[Statement], otherwise: &[Statement], scope: &mut Scope) -> Done<()> {
        self.load();
        let before = self.world(scope);
        let then = self.branch(then, scope)?;
        self.restore(&before, scope);
        let otherwise = self.branch(otherwise, scope)?;
        self.restore(&before, scope);
        // What a model checks of values is not checked: where one branch raises an error, the other one is taken.
        let (then, otherwise) = match (then, otherwise) {
            (Ok(then), Ok(otherwise)) => (then, otherwise),
            (Ok(end), Err(_)) | (Err(_), Ok(end)) => {
                self.restore(&end.world, scope);
                return Ok(());
            }
            (Err(error), Err(_)) => return Err(error),
        };
        let mut merges = Vec::new();
        let mut made: Vec<(Target, Plan)> = Vec::new();
        let names: BTreeSet<Rc<str>> = then.world.scope.keys().chain(otherwise.world.scope.keys()).cloned().collect();
        for name in names {
            let (Some(a), Some(b)) = (then.world.scope.get(&name), otherwise.world.scope.get(&name)) else { continue };
            if before.scope.get(&name).is_some_and(|old| python::equal(old, a) && python::equal(old, b)) {
                continue;
            }
            let plan = self.merged(a, b, &Sides { before: &before, then: &then.world, otherwise: &otherwise.world }, MAX_DEPTH, &mut merges)?;
            made.push((Target::Name(name), plan));
        }
        for object in 0..before.attributes.len() {
            let empty = BTreeMap::new();
            let (a, b) = (then.world.attributes.get(object).unwrap_or(&empty), otherwise.world.attributes.get(object).unwrap_or(&empty));
            let names: BTreeSet<Rc<str>> = a.keys().chain(b.keys()).cloned().collect();
            for name in names {
                let (Some(a), Some(b)) = (a.get(&name), b.get(&name)) else { continue };
                if before.attributes[object].get(&name).is_some_and(|old| python::equal(old, a) && python::equal(old, b)) {
                    continue;
                }
                let plan = self.merged(a, b, &Sides { before: &before, then: &then.world, otherwise: &otherwise.world }, MAX_DEPTH, &mut merges)?;
                made.push((Target::Attribute(object, name), plan));
            }
        }
        for cell in before.aliases.cells() {
            let (old, ..) = before.aliases.content(cell);
            let (a, b) = (then.world.aliases.content(cell).0, otherwise.world.aliases.content(cell).0);
            if a != old || b != old {
                merges.push(Merge { then: a, otherwise: b });
                made.push((Target::Cell(cell), Plan::Tensor(merges.len() - 1)));
            }
        }
        if merges.is_empty() {
            return self.put(made, &[], scope);
        }
        let builder = &mut self.context.builder;
        let ends = |pick: fn(&Merge) -> ValueId| merges.iter().map(pick).collect::<Vec<_>>();
        let mut captures = Vec::new();
        let (ends_a, ends_b) = (ends(|merge| merge.then), ends(|merge| merge.otherwise));
        captured(builder.graph(), &then.nodes, &ends_a, &[], &mut captures);
        captured(builder.graph(), &otherwise.nodes, &ends_b, &[], &mut captures);
        let then_branch = copied(builder, &then.nodes, &[], &captures, &ends_a)?;
        let else_branch = copied(builder, &otherwise.nodes, &[], &captures, &ends_b)?;
        let operands: Vec<ValueId> = std::iter::once(condition).chain(captures).collect();
        let results = builder.apply_all(If { then_branch, else_branch }, &operands)?;
        self.put(made, &results, scope)
    }

    /// How a variable is made of what it is after each branch.
    fn merged(&mut self, a: &Var, b: &Var, sides: &Sides<'_>, depth: usize, merges: &mut Vec<Merge>) -> Done<Plan> {
        let depth = depth.checked_sub(1).ok_or_else(|| OpError::unsupported("a value nests too deep"))?;
        let mut each = |interpreter: &mut Self, a: &[Var], b: &[Var]| -> Done<Vec<Plan>> { a.iter().zip(b).map(|(a, b)| interpreter.merged(a, b, sides, depth, merges)).collect() };
        Ok(match (a, b) {
            (Var::List(x), Var::List(y)) if Rc::ptr_eq(x, y) && !a.is_open() => Plan::Known(a.clone()),
            (Var::List(x), Var::List(y)) if x.borrow().len() == y.borrow().len() => {
                let (x, y) = (x.borrow().clone(), y.borrow().clone());
                Plan::List(each(self, &x, &y)?)
            }
            (Var::Tuple(x, names), Var::Tuple(y, _)) if x.len() == y.len() => Plan::Tuple(each(self, x, y)?, names.clone()),
            (Var::Dict(x), Var::Dict(y)) if x.borrow().len() == y.borrow().len() && x.borrow().iter().zip(y.borrow().iter()).all(|((a, _), (b, _))| python::equal(a, b)) => {
                let (x, y) = (x.borrow().clone(), y.borrow().clone());
                let items = |entries: &[(Var, Var)]| entries.iter().map(|(_, item)| item.clone()).collect::<Vec<_>>();
                let plans = each(self, &items(&x), &items(&y))?;
                Plan::Dict(x.into_iter().map(|(key, _)| key).zip(plans).collect())
            }
            (Var::Plain(Value::Tensor(x)), Var::Plain(Value::Tensor(y))) if x == y && sides.before.aliases.knows(*x) => Plan::Known(a.clone()),
            _ if python::equal(a, b) && !a.is_open() => Plan::Known(a.clone()),
            _ => match (self.open(a, sides.then)?, self.open(b, sides.otherwise)?) {
                (Some((x, number)), Some((y, other))) if number == other && self.context.builder.dtype(x) == self.context.builder.dtype(y) => {
                    merges.push(Merge { then: x, otherwise: y });
                    let at = merges.len() - 1;
                    if number { Plan::Number(at) } else { Plan::Tensor(at) }
                }
                // What is not there after one branch is only used where the other one was taken.
                (Some((x, number)), None) if matches!(b, Var::Uninitialised) => self.missing(x, number, true, merges)?,
                (None, Some((y, number))) if matches!(a, Var::Uninitialised) => self.missing(y, number, false, merges)?,
                _ => Plan::Known(Var::Uninitialised),
            },
        })
    }

    fn missing(&mut self, value: ValueId, number: bool, then: bool, merges: &mut Vec<Merge>) -> Done<Plan> {
        let ty = self.context.builder.ty(value).clone();
        let failed = self.context.builder.apply(Fail { message: "a value is used that was never set".to_owned(), dtype: ty.dtype, extents: ty.shape.extents() }, &[])?;
        merges.push(if then { Merge { then: value, otherwise: failed } } else { Merge { then: failed, otherwise: value } });
        Ok(if number { Plan::Number(merges.len() - 1) } else { Plan::Tensor(merges.len() - 1) })
    }

    /// The value of a tensor or number at the end of a branch, and whether it is a number.
    fn open(&mut self, var: &Var, world: &World) -> Done<Option<(ValueId, bool)>> {
        Ok(match var {
            Var::Plain(Value::Tensor(tensor)) => {
                let mut aliases = world.aliases.clone();
                Some((aliases.read(&mut self.context.builder, *tensor)?, false))
            }
            Var::Plain(Value::Symbol(symbol)) => Some((symbol.value, true)),
            other => number(other).map(|tensor| (self.context.builder.constant(tensor), true)),
        })
    }

    /// Sets variables to what they are after an `if` with these results.
    fn put(&mut self, made: Vec<(Target, Plan)>, results: &[ValueId], scope: &mut Scope) -> Done<()> {
        for (target, plan) in made {
            match target {
                Target::Cell(cell) => {
                    let Plan::Tensor(at) = plan else { return Err(OpError::bug("memory is a tensor")) };
                    let whole = self.context.aliases.whole(cell);
                    self.context.aliases.write(&mut self.context.builder, whole, results[at])?;
                }
                Target::Name(name) => {
                    let var = self.planned(plan, results);
                    scope.insert(name, var);
                }
                Target::Attribute(object, name) => {
                    let var = self.planned(plan, results);
                    self.objects[object].attributes.insert(name, var);
                }
            }
        }
        Ok(())
    }

    fn planned(&mut self, plan: Plan, results: &[ValueId]) -> Var {
        match plan {
            Plan::Known(var) => var,
            Plan::Tensor(at) => Var::Plain(self.context.fresh(results[at])),
            Plan::Number(at) => symbol(results[at]),
            Plan::List(plans) => Var::list(plans.into_iter().map(|plan| self.planned(plan, results)).collect()),
            Plan::Tuple(plans, names) => Var::Tuple(plans.into_iter().map(|plan| self.planned(plan, results)).collect(), names),
            Plan::Dict(entries) => Var::dict(entries.into_iter().map(|(key, plan)| (key, self.planned(plan, results))).collect()),
        }
    }

    /// A loop that runs as often as only a run can tell: `trips` times at most, while its condition holds.
    pub(super) fn loop_open(&mut self, repeat: Repeat<'_>, scope: &mut Scope) -> Done<()> {
        self.load();
        let before = self.world(scope);
        // What the body sets and was there before is carried from step to step.
        let mut assigned = BTreeSet::new();
        names(repeat.body, &mut assigned);
        let carried: Vec<(Rc<str>, Var)> = assigned.into_iter().filter_map(|name| Some((name.clone(), scope.get(&name)?.clone()))).collect();
        let mut initial = Vec::new();
        for (_, var) in &carried {
            self.carried(var, MAX_DEPTH, &mut initial)?;
        }
        let zero = self.context.builder.constant(Tensor::scalar(DType::I64, Scalar::Int(0)));
        let (trips, condition) = match repeat.trips {
            Some(trips) => (trips, self.context.builder.apply(Less {}, &[zero, trips])?),
            None => (self.context.builder.constant(Tensor::scalar(DType::I64, Scalar::Int(i128::from(i64::MAX)))), repeat.condition.ok_or_else(|| OpError::bug("a loop has no end"))?.0),
        };
        // An `if` whose branches agree stands for what changes from step to step: folding can't see through it.
        let mut outer = vec![condition, zero, condition];
        outer.extend(&initial);
        let mut identity = Builder::new("");
        let inner: Vec<ValueId> = outer[1..].iter().map(|value| identity.input("", self.context.builder.ty(*value).clone())).collect();
        inner.iter().for_each(|value| identity.output("", *value));
        let identity = identity.finish();
        let stands = self.context.builder.apply_all(If { then_branch: identity.clone(), else_branch: identity }, &outer)?;
        let mut at = 2;
        for (name, var) in &carried {
            let var = self.standing(var, &stands, &mut at);
            scope.insert(name.clone(), var);
        }
        if let Some(target) = repeat.target {
            scope.insert(target.clone(), symbol(stands[0]));
        }
        let aliases = self.context.aliases.clone();
        let attributes: Vec<_> = self.objects.iter().map(|object| object.attributes.clone()).collect();
        let containers = Containers::of(scope);
        let from = self.nodes();
        if let Flow::Return(_) = self.block(repeat.body, scope)? {
            return Err(OpError::unsupported("a method returns in a loop that depends on the values of tensors"));
        }
        let goes_on = match repeat.condition {
            Some((_, expr)) => {
                let value = self.eval(expr, scope)?;
                self.condition(&value)?
            }
            None => self.context.builder.constant(Tensor::from_bools(&[], &[true])),
        };
        let mut ends = vec![goes_on];
        for (name, var) in &carried {
            let mut now = Vec::new();
            let value = scope.get(name).cloned().unwrap_or(Var::Uninitialised);
            self.carried(&value, MAX_DEPTH, &mut now)?;
            if !alike(var, &value, MAX_DEPTH) {
                return Err(OpError::unsupported(format!("'{name}' consists of something else after a step of a loop that depends on the values of tensors")));
            }
            ends.extend(now);
        }
        let written = aliases.cells().any(|cell| aliases.content(cell).0 != self.context.aliases.content(cell).0);
        let set = self.objects.iter().zip(&attributes).any(|(object, old)| old.iter().any(|(name, old)| object.attributes.get(name).is_none_or(|new| !python::equal(old, new))));
        if written || set || !containers.same() {
            return Err(OpError::unsupported("a loop that depends on the values of tensors writes to what was there before it").help("give new values to variables instead"));
        }
        let builder = &mut self.context.builder;
        for (before, after) in initial.iter().zip(&ends[1..]) {
            if builder.ty(*before) != builder.ty(*after) {
                let message = format!("a variable is {} before a step of a loop that depends on the values of tensors and {} after it", builder.ty(*before), builder.ty(*after));
                return Err(OpError::unsupported(message));
            }
        }
        let nodes = from..builder.graph().nodes().len();
        let mut captures = Vec::new();
        captured(builder.graph(), &nodes, &ends, &stands, &mut captures);
        let body = copied(builder, &nodes, &stands, &captures, &ends)?;
        self.restore(&before, scope);
        let mut operands = vec![trips, condition];
        operands.extend(&initial);
        operands.extend(captures);
        let results = self.context.builder.apply_all(Loop { body, carried: initial.len() }, &operands)?;
        let mut at = 0;
        for (name, var) in &carried {
            let var = self.standing(var, &results, &mut at);
            scope.insert(name.clone(), var);
        }
        Ok(())
    }

    /// The tensors and numbers of a variable, as values.
    fn carried(&mut self, var: &Var, depth: usize, values: &mut Vec<ValueId>) -> Done<()> {
        let depth = depth.checked_sub(1).ok_or_else(|| OpError::unsupported("a value nests too deep"))?;
        match var {
            Var::Plain(Value::Tensor(tensor)) => values.push(self.context.read(*tensor)?),
            Var::Plain(Value::Symbol(symbol)) => values.push(symbol.value),
            Var::List(_) | Var::Tuple(..) => {
                for item in var.elements().unwrap_or_default() {
                    self.carried(&item, depth, values)?;
                }
            }
            other => {
                if let Some(tensor) = number(other) {
                    values.push(self.context.builder.constant(tensor));
                }
            }
        }
        Ok(())
    }

    /// A variable like another one, of these values.
    fn standing(&mut self, like: &Var, values: &[ValueId], at: &mut usize) -> Var {
        match like {
            Var::Plain(Value::Tensor(_)) => {
                *at += 1;
                Var::Plain(self.context.fresh(values[*at - 1]))
            }
            Var::List(_) => Var::list(like.elements().unwrap_or_default().iter().map(|item| self.standing(item, values, at)).collect()),
            Var::Tuple(items, names) => Var::Tuple(items.iter().map(|item| self.standing(item, values, at)).collect(), names.clone()),
            Var::Plain(Value::Symbol(_)) => {
                *at += 1;
                symbol(values[*at - 1])
            }
            other if number(other).is_some() => {
                *at += 1;
                symbol(values[*at - 1])
            }
            other => other.clone(),
        }
    }

    /// A condition as a value: one bool.
    pub(super) fn condition(&mut self, var: &Var) -> Done<ValueId> {
        let value = match self.converted("Bool", var)? {
            Var::Plain(Value::Symbol(symbol)) => symbol.value,
            Var::Plain(Value::Bool(x)) => self.context.builder.constant(Tensor::from_bools(&[], &[x])),
            other => return Err(OpError::unsupported(format!("{} is no condition", other.words()))),
        };
        if self.context.builder.dtype(value) == DType::Bool { Ok(value) } else { self.context.builder.apply(frit_ir::ops::cast::Cast { to: DType::Bool }, &[value]) }
    }
}

/// A loop that runs as often as only a run can tell.
pub(super) struct Repeat<'s> {
    /// How often, at most.
    pub(super) trips: Option<ValueId>,
    /// Whether it begins, and what says whether it goes on.
    pub(super) condition: Option<(ValueId, &'s Expr)>,
    /// The variable that counts steps.
    pub(super) target: Option<&'s Rc<str>>,
    pub(super) body: &'s [Statement],
}

/// What is set after an `if`.
enum Target {
    Name(Rc<str>),
    Attribute(usize, Rc<str>),
    Cell(crate::import::pytorch::alias::CellId),
}

/// How a variable is made of an `if`'s results.
enum Plan {
    Known(Var),
    Tensor(usize),
    Number(usize),
    List(Vec<Plan>),
    Tuple(Vec<Plan>, Option<Rc<[Rc<str>]>>),
    Dict(Vec<(Var, Plan)>),
}

/// A known number as a tensor.
fn number(var: &Var) -> Option<Tensor> {
    state::tensor(var)
}

/// Do two values consist of the same containers and kinds of parts?
fn alike(a: &Var, b: &Var, depth: usize) -> bool {
    let kind = |var: &Var| match var {
        Var::Plain(Value::Tensor(_)) => 1,
        Var::Plain(Value::Symbol(_)) => 2,
        other if number(other).is_some() => 2,
        _ => 0,
    };
    match (a.elements(), b.elements()) {
        (Some(a), Some(b)) => depth > 0 && a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| alike(a, b, depth - 1)),
        (None, None) => kind(a) == kind(b) && (kind(a) > 0 || python::equal(a, b)),
        _ => false,
    }
}

/// The names that statements set.
fn names(statements: &[Statement], all: &mut BTreeSet<Rc<str>>) {
    for statement in statements {
        match &statement.kind {
            StatementKind::Assign(target, _) => targets(target, all),
            StatementKind::If { then, otherwise, .. } => {
                names(then, all);
                names(otherwise, all);
            }
            StatementKind::For { target, body, .. } => {
                all.insert(target.clone());
                names(body, all);
            }
            StatementKind::While { body, .. } | StatementKind::With { body } => names(body, all),
            StatementKind::Return(_) | StatementKind::Expr(_) | StatementKind::Pass => {}
        }
    }
}

fn targets(target: &Expr, all: &mut BTreeSet<Rc<str>>) {
    match &target.kind {
        Kind::Name(name) => drop(all.insert(name.clone())),
        Kind::Tuple(items) => items.iter().for_each(|item| targets(item, all)),
        _ => {}
    }
}

/// Lists and dictionaries that variables hold, and what they consist of.
struct Containers(Vec<(Var, Vec<Var>)>);

impl Containers {
    fn of(scope: &Scope) -> Self {
        let mut found = Vec::new();
        let mut names: Vec<&Rc<str>> = scope.keys().collect();
        names.sort_unstable();
        for name in names {
            Self::gather(&scope[name], MAX_DEPTH, &mut found);
        }
        Self(found)
    }

    fn contents(var: &Var) -> Vec<Var> {
        match var {
            Var::Dict(entries) => entries.borrow().iter().flat_map(|(key, item)| [key.clone(), item.clone()]).collect(),
            other => other.elements().unwrap_or_default(),
        }
    }

    fn gather(var: &Var, depth: usize, found: &mut Vec<(Var, Vec<Var>)>) {
        if depth == 0 || !matches!(var, Var::List(_) | Var::Tuple(..) | Var::Dict(_)) {
            return;
        }
        let contents = Self::contents(var);
        for item in &contents {
            Self::gather(item, depth - 1, found);
        }
        found.push((var.clone(), contents));
    }

    fn same(&self) -> bool {
        self.0.iter().all(|(var, old)| {
            let now = Self::contents(var);
            now.len() == old.len() && now.iter().zip(old).all(|(now, old)| python::equal(now, old))
        })
    }
}

/// Which nodes of a range some values need.
fn needed(graph: &Graph, nodes: &std::ops::Range<usize>, ends: &[ValueId]) -> Vec<bool> {
    let mut wanted = vec![false; nodes.len()];
    let mark = |value: ValueId, wanted: &mut Vec<bool>| {
        if let Producer::Node(node, _) = graph.value(value).producer
            && nodes.contains(&(node.0 as usize))
        {
            wanted[node.0 as usize - nodes.start] = true;
        }
    };
    ends.iter().for_each(|value| mark(*value, &mut wanted));
    for at in nodes.clone().rev() {
        if wanted[at - nodes.start] {
            graph.node(frit_ir::graph::NodeId(at as u32)).inputs.iter().for_each(|value| mark(*value, &mut wanted));
        }
    }
    wanted
}

/// Adds the values from outside that the nodes of a range use for some ends. Constants are copied instead.
fn captured(graph: &Graph, nodes: &std::ops::Range<usize>, ends: &[ValueId], inputs: &[ValueId], captures: &mut Vec<ValueId>) {
    let wanted = needed(graph, nodes, ends);
    let operands = nodes.clone().filter(|at| wanted[at - nodes.start]).flat_map(|at| graph.node(frit_ir::graph::NodeId(at as u32)).inputs.clone());
    let used: Vec<ValueId> = operands.chain(ends.iter().copied()).collect();
    for value in used {
        let inner = matches!(graph.value(value).producer, Producer::Node(node, _) if nodes.contains(&(node.0 as usize)));
        if !inner && !inputs.contains(&value) && graph.constant(value).is_none() && !captures.contains(&value) {
            captures.push(value);
        }
    }
}

/// The nodes of a range as a graph of their own.
fn copied(builder: &Builder, nodes: &std::ops::Range<usize>, inputs: &[ValueId], captures: &[ValueId], ends: &[ValueId]) -> Result<Graph, OpError> {
    let graph = builder.graph();
    let mut copy = Builder::new("").folding(Folding::Early);
    let mut map: HashMap<ValueId, ValueId> = HashMap::new();
    for (at, value) in inputs.iter().chain(captures).enumerate() {
        let name = graph.value(*value).name.clone().unwrap_or_else(|| format!("{at}"));
        let input = copy.input(name, graph.ty(*value).clone());
        map.insert(*value, input);
    }
    let wanted = needed(graph, nodes, ends);
    let known = |copy: &mut Builder, value: ValueId, map: &mut HashMap<ValueId, ValueId>| -> Result<ValueId, OpError> {
        if let Some(known) = map.get(&value) {
            return Ok(*known);
        }
        let tensor = graph.constant(value).ok_or_else(|| OpError::bug("a value of a branch is not known"))?;
        let constant = copy.constant(tensor.clone());
        map.insert(value, constant);
        Ok(constant)
    };
    for at in nodes.clone().filter(|at| wanted[at - nodes.start]) {
        let node = graph.node(frit_ir::graph::NodeId(at as u32));
        copy.set_origins(node.origins.clone());
        let operands = node.inputs.iter().map(|value| known(&mut copy, *value, &mut map)).collect::<Result<Vec<_>, _>>()?;
        let outputs = copy.apply_all(node.op.clone(), &operands)?;
        map.extend(node.outputs.iter().copied().zip(outputs));
    }
    for (at, value) in ends.iter().enumerate() {
        let value = known(&mut copy, *value, &mut map)?;
        copy.output(format!("{at}"), value);
    }
    Ok(copy.finish())
}
