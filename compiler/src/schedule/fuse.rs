//! Which nodes become one kernel.
//!
//! In: a graph of core ops. Out: [`Action`]s, in order: kernels to make of [`Fused`] nests, nodes that no kernel does.
//! Must not know: tiles, vectors, memory plans.
//!
//! Values are visited operands first. A nest without reduction is *deferred*: its expression is put into its
//! consumers' where that costs nothing twice. A reduction is *pending*: consumers that read each of its elements where it
//! is made become its epilogue, and movement only changes where the result is stored. What can't wait is
//! *stored* to a buffer. Concatenation and padding are store addresses: each operand is stored into its part, and whoever
//! stores what is padded writes the border as well.

use std::collections::{BTreeMap, BTreeSet};

use frit_ir::affine::{Affine, Extents, simplify_all};
use frit_ir::compute::{Combine, Compute};
use frit_ir::expr::{Expr, ExprId, Exprs, Source, Var};
use frit_ir::graph::{Graph, Node, NodeId, ValueId};
use frit_ir::ops::{Body, reshape::flatten, reshape::unflatten};
use frit_ir::scalar::{Binary, Scalar};
use frit_ir::{DType, Op};

use super::Device;
use super::contraction::Contraction;
use crate::cost::{additions, by_index};

/// Expressions of more nodes than this are not fused further: they compile slowly and spill.
const MAX_NODES: usize = 256;
/// Kernels of more operands than this are not fused further.
const MAX_OPERANDS: usize = 16;
/// Between a value and the node where all its consumers meet lie no more nodes than this.
const MAX_REGION: usize = 32;

/// A fused computation, what one kernel will do: for every point of `extents`,
/// `out[axes] = epilogue(combine over reduce of value)`.
///
/// `Var(0..extents.len())` are the points, the following ones the reduction. `Source(v)` is the value `v` of the graph.
#[derive(Clone, Debug)]
pub(super) struct Fused {
    /// Extents of the points.
    pub extents: Vec<i64>,
    /// Extents of the reduction; empty where there is none.
    pub reduce: Vec<i64>,
    /// How values are joined.
    pub combine: Combine,
    /// The arena.
    pub exprs: Exprs,
    /// What is joined, or (without reduction) the result.
    pub value: ExprId,
    /// With reduction: the result, in which [`Expr::Reduced`] is what was joined.
    pub epilogue: Option<ExprId>,
    /// Where each point's result belongs: an index along each axis of `shape`.
    pub axes: Vec<ExprId>,
    /// Shape of the result.
    pub shape: Vec<i64>,
    /// Source nodes, in order.
    pub nodes: BTreeSet<NodeId>,
    /// For a reduction: the value that it is, which tells whether two pending values hold the same one.
    pub root: Option<ValueId>,
    /// What lies around the results in `shape`, if the kernel writes that as well.
    pub border: Option<Border>,
}

/// The elements of a buffer outside a box of it.
#[derive(Clone, Debug)]
pub(super) struct Border {
    /// What they are.
    pub value: Scalar,
    /// Where the box begins.
    pub before: Vec<i64>,
    /// The box's extents.
    pub extents: Vec<i64>,
}

impl Fused {
    /// A nest as it is.
    pub(super) fn new(compute: &Compute, node: NodeId, root: ValueId) -> Self {
        let mut exprs = compute.exprs.clone();
        let axes = (0..compute.extents.len()).map(|k| exprs.var(Var(k as u32))).collect();
        let (value, epilogue) = if compute.reduces() {
            let joined = exprs.add_node(Expr::Reduced, compute.exprs.dtype(compute.value));
            (compute.value, Some(exprs.cast(compute.dtype, joined)))
        } else {
            (exprs.cast(compute.dtype, compute.value), None)
        };
        Self {
            extents: compute.extents.clone(),
            reduce: compute.reduce.clone(),
            combine: compute.combine,
            exprs,
            value,
            epilogue,
            axes,
            shape: compute.extents.clone(),
            nodes: BTreeSet::from([node]),
            root: compute.reduces().then_some(root),
            border: None,
        }
    }

    /// As a kernel computes it: an axis whose index is divided is two.
    pub(super) fn settled(mut self) -> Self {
        if self.is_phased() {
            // Reshapes there and back leave divisions that say nothing.
            let extents = self.extents.clone();
            self = self.over(extents, |_, vars| vars);
        }
        while let Some((axis, by)) = self.divided() {
            self = self.split(axis, by);
        }
        self
    }

    /// Does an index say which of several expressions is computed?
    fn is_phased(&self) -> bool {
        self.exprs.reachable(&[self.value]).into_iter().any(|id| matches!(self.exprs.get(id), Expr::Select(cond, ..) if by_index(&self.exprs, *cond)))
    }

    /// The axes whose index, or what remains of it when it is divided, says which of several expressions is computed: each axis, and of how
    /// many. Those that would be too many together are left out.
    pub(super) fn phases(&self) -> Vec<(usize, i64)> {
        let axis_of = |id: ExprId| if let Expr::Var(Var(k)) = self.exprs.get(id) { self.extents.get(*k as usize).map(|extent| (*k as usize, *extent)) } else { None };
        let mut phases: BTreeMap<usize, i64> = BTreeMap::new();
        for id in self.exprs.reachable(&[self.value]) {
            let found = || {
                let Expr::Select(cond, ..) = *self.exprs.get(id) else { return None };
                let Expr::Binary(Binary::Eq, which, number) = *self.exprs.get(cond) else { return None };
                self.exprs.as_int(number)?;
                match *self.exprs.get(which) {
                    Expr::Binary(Binary::Mod, a, by) => Some((axis_of(a)?.0, self.exprs.as_int(by)?)),
                    _ => axis_of(which),
                }
            };
            if let Some((axis, count)) = found()
                && count >= 1
                && count * phases.iter().filter(|(other, _)| **other != axis).map(|(_, count)| count).product::<i64>() <= MOST_PHASES
            {
                phases.entry(axis).or_insert(count);
            }
        }
        phases.into_iter().collect()
    }

    /// The first axis whose index is divided by something that divides its extent (groups of channels), and by what. Not the last one, along
    /// which vectors lie, unless enough is left of it and they would have to be computed several expressions at a time.
    fn divided(&self) -> Option<(usize, i64)> {
        self.exprs.reachable(&[self.value]).into_iter().find_map(|id| {
            let Expr::Binary(Binary::FloorDiv, a, b) = *self.exprs.get(id) else { return None };
            let (Expr::Var(Var(k)), by) = (self.exprs.get(a), self.exprs.as_int(b)?) else { return None };
            let extent = *self.extents.get(*k as usize)?;
            let last = self.extents.iter().rposition(|extent| *extent > 1);
            (1 < by && by < extent && extent % by == 0 && (last != Some(*k as usize) || by >= LONG_ROW && self.is_phased())).then_some((*k as usize, by))
        })
    }

    /// The same with an axis as two, the second of which has an extent of `by`: where these have different roles, each can have its own.
    fn split(self, axis: usize, by: i64) -> Self {
        let mut extents = self.extents.clone();
        extents.splice(axis..=axis, [extents[axis] / by, by]);
        self.over(extents, |exprs, mut vars| {
            let (outer, inner, by) = (vars[axis], vars[axis + 1], exprs.int(by));
            let first = exprs.mul(outer, by);
            let whole = exprs.add(first, inner);
            vars.splice(axis..=axis + 1, [whole]);
            vars
        })
    }

    /// The same, simplified, at points of other extents: `at` says its variables in terms of the new ones.
    fn over(self, extents: Vec<i64>, at: impl FnOnce(&mut Exprs, Vec<ExprId>) -> Vec<ExprId>) -> Self {
        let mut exprs = Exprs::new();
        let known: Extents = extents.iter().chain(&self.reduce).enumerate().map(|(k, extent)| (Var(k as u32), *extent)).collect();
        let vars: Vec<ExprId> = (0..extents.len() + self.reduce.len()).map(|k| exprs.var(Var(k as u32))).collect();
        let vars = at(&mut exprs, vars);
        let roots: Vec<Option<ExprId>> = [Some(self.value), self.epilogue].into_iter().chain(self.axes.iter().copied().map(Some)).collect();
        let mut load = |e: &mut Exprs, source: Source, dtype: DType, index: Vec<ExprId>, guard: Option<ExprId>| e.add_node(Expr::Load { source, index, guard }, dtype);
        let done: Vec<ExprId> = translate(&self.exprs, &roots, &mut exprs, &vars, None, &mut load).into_iter().flatten().collect();
        let done = simplify_all(&mut exprs, &done, &known);
        let (results, axes) = done.split_at(done.len() - self.axes.len());
        Self { extents, exprs, value: results[0], epilogue: results.get(1).copied(), axes: axes.to_vec(), ..self }
    }

    /// The result's expression.
    pub(super) fn result(&self) -> ExprId {
        self.epilogue.unwrap_or(self.value)
    }

    /// Number of points of the result.
    fn points(&self) -> i64 {
        self.extents.iter().product()
    }

    /// The values it reads, each once, in order of first use.
    pub(super) fn sources(&self) -> Vec<ValueId> {
        let roots: Vec<ExprId> = [Some(self.value), self.epilogue].into_iter().flatten().collect();
        let mut sources = Vec::new();
        for id in self.exprs.reachable(&roots) {
            if let Expr::Load { source: Source(v), .. } = self.exprs.get(id)
                && !sources.contains(&ValueId(*v))
            {
                sources.push(ValueId(*v));
            }
        }
        sources
    }

    /// Is it only movement: one load, or a select among loads and constants?
    fn is_movement(&self) -> bool {
        self.root.is_none() && additions(&self.exprs, self.value) == 0
    }

    fn is_small(&self) -> bool {
        let roots: Vec<ExprId> = [Some(self.value), self.epilogue].into_iter().flatten().collect();
        self.exprs.reachable(&roots).len() <= MAX_NODES && self.sources().len() <= MAX_OPERANDS
    }
}

/// A value whose elements are needed several times is an expression up to so many additions, unless it is priced.
const CHEAP: u32 = 3;
/// And is always stored if they are needed more often than this.
const MOST_TIMES: i64 = 64;
/// An axis of so many elements is enough for vectors.
const LONG_ROW: i64 = 16;
/// No more expressions than this are computed one after the other at a point.
const MOST_PHASES: i64 = 8;

/// What is to be done, one after the other.
pub(super) enum Action {
    /// A kernel that writes a nest into the buffer of a value, all of it or (concatenation) its part.
    Kernel(Box<Fused>, ValueId),
    /// A kernel that fills the buffer of a value with a number, because of a node.
    Fill(Scalar, ValueId, NodeId),
    /// The first value is the buffer of the second under another shape.
    Alias(ValueId, ValueId),
    /// A node that no kernel does, and why. Its operands are stored.
    Node(NodeId, String),
}

/// What is known of a value.
enum State {
    /// In a buffer, or a constant, or an input.
    Stored,
    /// A nest that is not stored yet.
    Waiting(Box<Fused>),
}

/// What becomes of a value that is not a graph's output.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Form {
    /// It is stored to a buffer, once.
    Buffer,
    /// It is computed wherever it is read.
    Expression,
}

/// Forms of values, where they are not what [`fuse`] would choose by itself.
pub(super) type Forms = BTreeMap<ValueId, Form>;

/// A graph's actions, and what could have been otherwise.
pub(super) struct Fusion {
    /// What is to be done.
    pub actions: Vec<Action>,
    /// Values that could have another form, and which. Where only one can be right (nothing is computed twice, or the value
    /// can't be put elsewhere), there is no doubt.
    pub doubts: Forms,
}

/// Fuses a graph. Values have the given forms where that is possible.
pub(super) fn fuse(graph: &Graph, device: &Device<'_>, forms: &Forms) -> Fusion {
    let mut fuser = Fuser { graph, device, forms, doubts: Forms::new(), actions: Vec::new(), states: (0..graph.values().len()).map(|_| None).collect(), uses: uses(graph) };
    for (_, value) in graph.inputs() {
        fuser.states[value.0 as usize] = Some(State::Stored);
    }
    for (id, node) in graph.nodes() {
        fuser.visit(id, node);
    }
    for (_, value) in graph.outputs() {
        fuser.store(*value);
    }
    Fusion { actions: fuser.actions, doubts: fuser.doubts }
}

/// For each value the nodes that use it, each once.
fn uses(graph: &Graph) -> Vec<Vec<NodeId>> {
    let mut uses = graph.uses();
    for list in &mut uses {
        list.dedup();
    }
    uses
}

struct Fuser<'a> {
    graph: &'a Graph,
    device: &'a Device<'a>,
    forms: &'a Forms,
    doubts: Forms,
    actions: Vec<Action>,
    states: Vec<Option<State>>,
    uses: Vec<Vec<NodeId>>,
}

impl Fuser<'_> {
    fn visit(&mut self, id: NodeId, node: &Node) {
        if matches!(node.op, Op::Constant(_)) {
            self.states[node.outputs[0].0 as usize] = Some(State::Stored);
            return;
        }
        let types: Vec<_> = node.inputs.iter().map(|v| self.graph.ty(*v)).collect();
        let nests = match node.op.def().body(&types) {
            Ok(Body::Loops(nests)) => nests.iter().try_for_each(|nest| (self.device.supported)(nest)).map(|()| nests),
            _ => Err("it is irregular work that no kernel does".to_owned()),
        };
        let nests = match nests {
            Ok(nests) => nests,
            Err(why) => {
                for value in &node.inputs {
                    self.store(*value);
                }
                self.actions.push(Action::Node(id, why));
                for value in &node.outputs {
                    self.states[value.0 as usize] = Some(State::Stored);
                }
                return;
            }
        };
        let out = node.outputs[0];
        match &node.op {
            Op::Reshape(_) if self.is_stored(node.inputs[0]) => {
                self.actions.push(Action::Alias(out, node.inputs[0]));
                self.states[out.0 as usize] = Some(State::Stored);
                return;
            }
            Op::Concat(concat) => {
                let mut start = 0;
                for value in &node.inputs {
                    let extent = self.extents(*value)[concat.axis];
                    let mut offset = vec![0; nests[0].extents.len()];
                    offset[concat.axis] = start;
                    self.place(id, *value, out, &nests[0].extents, &offset, None);
                    start += extent;
                }
                self.states[out.0 as usize] = Some(State::Stored);
                return;
            }
            Op::Pad(pad) if pad.before.iter().chain(&pad.after).all(|n| *n >= 0) => {
                if self.extents(node.inputs[0]).contains(&0) {
                    self.actions.push(Action::Fill(pad.value, out, id));
                } else {
                    self.place(id, node.inputs[0], out, &nests[0].extents, &pad.before, Some(pad.value));
                }
                self.states[out.0 as usize] = Some(State::Stored);
                return;
            }
            _ => {}
        }
        for (nest, value) in nests.iter().zip(&node.outputs) {
            let fused = self.absorb(id, node, nest, *value);
            self.states[value.0 as usize] = Some(State::Waiting(Box::new(fused)));
            if !self.may_wait(id, *value) {
                self.store(*value);
            }
        }
    }

    fn extents(&self, value: ValueId) -> Vec<i64> {
        self.graph.ty(value).shape.extents().unwrap_or_default()
    }

    fn is_stored(&self, value: ValueId) -> bool {
        matches!(self.states[value.0 as usize], Some(State::Stored))
    }

    fn waiting(&self, value: ValueId) -> Option<&Fused> {
        match &self.states[value.0 as usize] {
            Some(State::Waiting(fused)) => Some(fused),
            _ => None,
        }
    }

    fn store(&mut self, value: ValueId) {
        let state = &mut self.states[value.0 as usize];
        if matches!(state, Some(State::Waiting(_)))
            && let Some(State::Waiting(fused)) = state.replace(State::Stored)
        {
            self.actions.push(Action::Kernel(Box::new(fused.settled()), value));
        }
    }

    /// Writes a value into its part of a larger buffer, and what is around it if it is given.
    fn place(&mut self, id: NodeId, value: ValueId, to: ValueId, shape: &[i64], offset: &[i64], around: Option<Scalar>) {
        let extents = self.extents(value);
        if extents.contains(&0) {
            return;
        }
        if self.waiting(value).is_some() && self.uses[value.0 as usize].len() > 1 && !self.waiting(value).is_some_and(Fused::is_movement) {
            self.store(value);
        }
        let mut fused = match self.waiting(value) {
            Some(fused) => fused.clone(),
            None => {
                let dtype = self.graph.ty(value).dtype;
                let copy = Compute::map(dtype, &extents, |e, at| e.load(Source(value.0), dtype, at.to_vec()));
                Fused::new(&copy, id, value)
            }
        };
        for (axis, shift) in fused.axes.iter_mut().zip(offset) {
            let shift = fused.exprs.int(*shift);
            *axis = fused.exprs.add(*axis, shift);
        }
        fused.shape = shape.to_vec();
        fused.nodes.insert(id);
        fused.border = around.map(|value| Border { value, before: offset.to_vec(), extents });
        self.actions.push(Action::Kernel(Box::new(fused.settled()), to));
    }

    /// May a value wait for its consumers?
    fn may_wait(&mut self, id: NodeId, value: ValueId) -> bool {
        if self.graph.outputs().iter().any(|(_, v)| *v == value) {
            return false;
        }
        if !self.uses[value.0 as usize].iter().all(|user| self.device.joins(self.graph, id, *user)) {
            return false;
        }
        let Some(fused) = self.waiting(value) else { return false };
        if !fused.is_small() || self.is_turned(value) {
            return false;
        }
        let movement = fused.is_movement() && fused.points() <= 1 << 31;
        let cheap = fused.root.is_none() && additions(&fused.exprs, fused.value) <= 1 && fused.sources().len() <= 2;
        let reduced = fused.root.is_some();
        match self.uses[value.0 as usize].len() {
            0 => false,
            1 => true,
            _ if movement => true,
            _ if self.converges(id, value) => true,
            _ if reduced => false,
            _ => self.form(value, if cheap { Form::Expression } else { Form::Buffer }) == Form::Expression,
        }
    }

    /// The form of a value that could have either: the one that is given, or else `usual`.
    fn form(&mut self, value: ValueId, usual: Form) -> Form {
        let form = self.forms.get(&value).copied().unwrap_or(usual);
        let other = if form == Form::Buffer { Form::Expression } else { Form::Buffer };
        self.doubts.insert(value, other);
        form
    }

    /// Do all consumers of a value lead, through elementwise nodes that only they feed, to one node?
    fn converges(&self, id: NodeId, value: ValueId) -> bool {
        let extents = self.extents(value);
        let mut region = BTreeSet::from([value]);
        let mut open: BTreeSet<NodeId> = self.uses[value.0 as usize].iter().copied().collect();
        let mut visited = BTreeSet::new();
        while let Some(next) = open.pop_first() {
            let node = self.graph.node(next);
            let types: Vec<_> = node.inputs.iter().map(|v| self.graph.ty(*v)).collect();
            let Ok(Body::Loops(nests)) = node.op.def().body(&types) else { return false };
            let [nest] = nests.as_slice() else { return false };
            let elementwise = !nest.reduces() && nest.extents == extents && !matches!(node.op, Op::Concat(_) | Op::Pad(_));
            let identity = node.inputs.iter().enumerate().filter(|(_, v)| region.contains(v)).all(|(k, _)| reads_identity(nest, Source(k as u32), &extents));
            // Other operands must be there by now and must not wait with a reduction of their own.
            let ready = node.inputs.iter().all(|v| region.contains(v) || self.ready(*v, id));
            if !elementwise || !identity || !ready || visited.len() >= MAX_REGION {
                return false;
            }
            visited.insert(next);
            let out = node.outputs[0];
            if open.is_empty() {
                return true;
            }
            if self.graph.outputs().iter().any(|(_, v)| *v == out) {
                return false;
            }
            region.insert(out);
            open.extend(self.uses[out.0 as usize].iter().copied());
        }
        false
    }

    fn ready(&self, value: ValueId, now: NodeId) -> bool {
        match &self.states[value.0 as usize] {
            Some(State::Stored) => true,
            Some(State::Waiting(fused)) => fused.root.is_none(),
            None => self.graph.constant(value).is_some() || matches!(self.graph.value(value).producer, frit_ir::graph::Producer::Node(maker, _) if maker < now),
        }
    }

    /// A node's nest with what waits of its operands put in.
    fn absorb(&mut self, id: NodeId, node: &Node, nest: &Compute, value: ValueId) -> Fused {
        let mut host = None;
        let mut kept: BTreeSet<ValueId> = BTreeSet::new();
        let operands: BTreeSet<ValueId> = node.inputs.iter().copied().collect();
        for operand in operands.iter().copied() {
            let Some(fused) = self.waiting(operand) else { continue };
            let places: Vec<usize> = (0..node.inputs.len()).filter(|k| node.inputs[*k] == operand).collect();
            let keep = if let Some(root) = fused.root {
                let moves = matches!(node.op, Op::Reshape(_)) || matches!(&node.op, Op::Transpose(t) if is_stored_in_vectors(&fused.shape, &t.perm) || self.turned(fused, value, &t.perm).is_some());
                let identity = !nest.reduces() && nest.extents == fused.shape && places.iter().all(|k| reads_identity(nest, Source(*k as u32), &fused.shape));
                let same = host.is_none_or(|(known, _)| known == root);
                // Only one reduction can be the host: the first, unless that is stored.
                let fits = same && (moves || identity);
                let rivals = operands.iter().any(|other| *other > operand && self.waiting(*other).is_some_and(|other| other.root.is_some_and(|other| other != root)));
                let kept = fits && (!rivals || self.form(operand, Form::Expression) == Form::Expression);
                if kept {
                    host = Some((root, operand));
                }
                kept
            } else {
                self.worth_inlining(nest, operand, &places)
            };
            if keep {
                kept.insert(operand);
            } else {
                self.store(operand);
            }
        }
        loop {
            let fused = self.combine(id, node, nest, value, host.map(|(_, operand)| operand), &kept);
            if fused.is_small() || kept.is_empty() {
                return fused;
            }
            // Too much for one kernel: what waits is stored after all.
            for operand in std::mem::take(&mut kept) {
                self.store(operand);
            }
            host = None;
        }
    }

    /// Is a waiting operand without reduction put into a nest?
    fn worth_inlining(&mut self, nest: &Compute, operand: ValueId, places: &[usize]) -> bool {
        let Some(fused) = self.waiting(operand) else { return false };
        // Whether each load of it is guarded.
        let loads: Vec<bool> = nest
            .exprs
            .nodes()
            .iter()
            .filter_map(|(expr, _)| match expr {
                Expr::Load { source, guard, .. } if places.contains(&(source.0 as usize)) => Some(guard.is_some()),
                _ => None,
            })
            .collect();
        let movement = fused.is_movement();
        let guarded = has_guard(&fused.exprs, fused.value);
        let cost = additions(&fused.exprs, fused.value);
        if let Some(contraction) = Contraction::of(nest) {
            let packed = fused.sources().iter().all(|v| self.graph.constant(*v).is_some());
            return match places {
                // It is computed when its panel is staged, element by element: not what is better computed several expressions at a time,
                // unless that is done once.
                _ if fused.is_phased() && !packed => false,
                [k] if contraction.vector_operand == Source(*k as u32) => movement || self.form(operand, if cost <= CHEAP * 4 { Form::Expression } else { Form::Buffer }) == Form::Expression,
                [_] => movement && !guarded,
                _ => false,
            };
        }
        if movement && !guarded {
            return true;
        }
        // What only constants feed would be computed in every run.
        if loads.contains(&true) && !fused.sources().iter().all(|v| self.graph.constant(*v).is_some()) {
            return false;
        }
        let points: i64 = nest.extents.iter().chain(&nest.reduce).product();
        let times = points.saturating_mul(loads.len() as i64) / fused.points().max(1);
        if times <= 1 || (!guarded && fused.sources().is_empty()) {
            return true;
        }
        !guarded && times <= MOST_TIMES && self.form(operand, if cost <= CHEAP { Form::Expression } else { Form::Buffer }) == Form::Expression
    }

    /// Puts the kept operands' expressions into a nest, which becomes the epilogue of `host` if there is one.
    fn combine(&self, id: NodeId, node: &Node, nest: &Compute, value: ValueId, host: Option<ValueId>, kept: &BTreeSet<ValueId>) -> Fused {
        let mut nodes = BTreeSet::from([id]);
        for operand in kept {
            if let Some(fused) = self.waiting(*operand) {
                nodes.extend(fused.nodes.iter().copied());
            }
        }
        let operand_of = |source: Source| node.inputs[source.0 as usize];
        let Some(host) = host.and_then(|v| self.waiting(v)) else {
            let base = Fused::new(nest, id, value);
            let mut exprs = Exprs::new();
            let vars: Vec<ExprId> = (0..nest.extents.len() + nest.reduce.len()).map(|k| exprs.var(Var(k as u32))).collect();
            let mut inline = |e: &mut Exprs, source: Source, dtype: DType, index: Vec<ExprId>, guard: Option<ExprId>| self.read(e, operand_of(source), kept, dtype, index, guard, None);
            let result = translate(&base.exprs, &[Some(base.value), base.epilogue], &mut exprs, &vars, None, &mut inline);
            let axes = vars[..nest.extents.len()].to_vec();
            return Fused { exprs, value: result[0].unwrap_or(base.value), epilogue: result[1], axes, nodes, ..base };
        };
        let mut exprs = host.exprs.clone();
        let mut fused = Fused { nodes, ..host.clone() };
        match &node.op {
            Op::Reshape(reshape) => {
                let flat = flatten(&mut exprs, &host.shape, &host.axes);
                fused.axes = unflatten(&mut exprs, &reshape.extents, flat);
                fused.shape = reshape.extents.clone();
            }
            Op::Transpose(transpose) if !is_stored_in_vectors(&host.shape, &transpose.perm) => {
                return Fused { nodes: fused.nodes, ..self.turned(host, value, &transpose.perm).unwrap_or(host.clone()) };
            }
            Op::Transpose(transpose) => {
                fused.axes = transpose.perm.iter().map(|k| host.axes[*k]).collect();
                fused.shape = transpose.perm.iter().map(|k| host.shape[*k]).collect();
            }
            _ => {
                let mut inline = |e: &mut Exprs, source: Source, dtype: DType, index: Vec<ExprId>, guard: Option<ExprId>| self.read(e, operand_of(source), kept, dtype, index, guard, host.root);
                let mut from = nest.exprs.clone();
                let value = from.cast(nest.dtype, nest.value);
                let result = translate(&from, &[Some(value)], &mut exprs, &host.axes, None, &mut inline);
                fused.epilogue = result[0];
            }
        }
        Fused { exprs, ..fused }
    }

    /// A reduction whose results are stored in another order of axes, its own points in that order as well. None unless
    /// what it reads along the axis that is then the last lies side by side or is the same; constants are packed. For teams of threads
    /// only bytes are worth it.
    fn turned(&self, fused: &Fused, value: ValueId, perm: &[usize]) -> Option<Fused> {
        if self.graph.ty(value).dtype.size() != 1 && self.device.target.team > 1 {
            return None;
        }
        let fused = &fused.clone().settled();
        let axes: Vec<ExprId> = perm.iter().map(|k| fused.axes[*k]).collect();
        let rank = fused.extents.len();
        let mut order: Vec<usize> = Vec::new();
        for axis in &axes {
            let vars: BTreeSet<usize> = fused.exprs.reachable(&[*axis]).into_iter().filter_map(|id| if let Expr::Var(Var(k)) = fused.exprs.get(id) { Some(*k as usize) } else { None }).collect();
            order.extend(vars);
        }
        let missing: Vec<usize> = (0..rank).filter(|k| !order.contains(k)).collect();
        order.splice(0..0, missing);
        let last = *order.iter().rev().find(|k| fused.extents[**k] > 1)?;
        if order.len() != rank {
            return None;
        }
        // How far each load that is not of constants moves with a variable.
        let roots: Vec<ExprId> = [Some(fused.value), fused.epilogue].into_iter().flatten().collect();
        let mut moves: Vec<Affine> = Vec::new();
        for id in fused.exprs.reachable(&roots) {
            if let Expr::Load { source: Source(v), index, .. } = fused.exprs.get(id)
                && self.graph.constant(ValueId(*v)).is_none()
            {
                let mut exprs = fused.exprs.clone();
                let flat = flatten(&mut exprs, &self.extents(ValueId(*v)), index);
                moves.push(Affine::of(&exprs, flat)?);
            }
        }
        if !moves.iter().all(|flat| (0..=1).contains(&flat.coefficient(Var(last as u32)))) {
            return None;
        }
        // Sums go along what lies side by side.
        let (beside, apart): (Vec<usize>, Vec<usize>) = (0..fused.reduce.len()).partition(|k| moves.iter().any(|flat| flat.coefficient(Var((rank + k) as u32)) == 1));
        let summed = [apart, beside].concat();
        let all: Vec<usize> = order.iter().copied().chain(summed.iter().map(|k| rank + k)).collect();
        let mut exprs = Exprs::new();
        let vars: Vec<ExprId> = (0..all.len()).map(|k| exprs.var(Var(all.iter().position(|old| *old == k).unwrap_or(k) as u32))).collect();
        let roots: Vec<Option<ExprId>> = [Some(fused.value), fused.epilogue].into_iter().chain(axes.into_iter().map(Some)).collect();
        let mut load = |e: &mut Exprs, source: Source, dtype: DType, index: Vec<ExprId>, guard: Option<ExprId>| e.add_node(Expr::Load { source, index, guard }, dtype);
        let done = translate(&fused.exprs, &roots, &mut exprs, &vars, None, &mut load);
        Some(Fused {
            extents: order.iter().map(|k| fused.extents[*k]).collect(),
            reduce: summed.iter().map(|k| fused.reduce[*k]).collect(),
            exprs,
            value: done[0]?,
            epilogue: done[1],
            axes: done[2..].iter().copied().collect::<Option<_>>()?,
            shape: perm.iter().map(|k| fused.shape[*k]).collect(),
            ..fused.clone()
        })
    }

    /// Is a value read by a convolution in another order of axes? It broadcasts elements of it, so it must lie in a buffer.
    fn is_turned(&self, value: ValueId) -> bool {
        let by = |value: ValueId, is: &dyn Fn(&Node) -> bool| self.uses[value.0 as usize].iter().any(|user| is(self.graph.node(*user)));
        let turns = |node: &Node| matches!(node.op, Op::Transpose(_)) && by(node.outputs[0], &|node| matches!(node.op, Op::ConvInteger(_) | Op::Conv(_) | Op::WinogradInput(_) | Op::WinogradOutput(_)));
        self.device.target.team == 1 && by(value, &turns)
    }

    /// Reads an element of an operand: out of its buffer, or by its expression.
    #[allow(clippy::too_many_arguments, reason = "a load's parts, and where they go")]
    fn read(&self, e: &mut Exprs, operand: ValueId, kept: &BTreeSet<ValueId>, dtype: DType, index: Vec<ExprId>, guard: Option<ExprId>, root: Option<ValueId>) -> ExprId {
        let Some(fused) = self.waiting(operand).filter(|_| kept.contains(&operand)) else {
            return e.add_node(Expr::Load { source: Source(operand.0), index, guard }, dtype);
        };
        let mut load = |e: &mut Exprs, source: Source, dtype: DType, index: Vec<ExprId>, guard: Option<ExprId>| e.add_node(Expr::Load { source, index, guard }, dtype);
        if root.is_some() && fused.root == root {
            // The same reduction, at the same point: its epilogue holds as it is, over the same variables.
            let vars: Vec<ExprId> = (0..fused.extents.len() + fused.reduce.len()).map(|k| e.var(Var(k as u32))).collect();
            let result = translate(&fused.exprs, &[fused.epilogue], e, &vars, None, &mut load);
            return result[0].expect("an epilogue was translated");
        }
        let result = translate(&fused.exprs, &[Some(fused.value)], e, &index, guard, &mut load);
        let value = result[0].expect("a value was translated");
        match guard {
            Some(guard) => {
                let zero = e.constant(Scalar::zero(dtype), dtype);
                e.select(guard, value, zero)
            }
            None => value,
        }
    }
}

type Load<'a> = dyn FnMut(&mut Exprs, Source, DType, Vec<ExprId>, Option<ExprId>) -> ExprId + 'a;

/// Copies expressions into another arena with other variables; loads are made by `load`, under `guard` as well as their own.
pub(super) fn translate(from: &Exprs, roots: &[Option<ExprId>], to: &mut Exprs, vars: &[ExprId], guard: Option<ExprId>, load: &mut Load<'_>) -> Vec<Option<ExprId>> {
    let wanted: Vec<ExprId> = roots.iter().flatten().copied().collect();
    let mut map: Vec<Option<ExprId>> = vec![None; from.len()];
    for id in from.reachable(&wanted) {
        let (expr, dtype) = (from.get(id), from.dtype(id));
        let child = |id: &ExprId| map[id.0 as usize].expect("children come first");
        let new = match expr {
            Expr::Var(Var(k)) => vars[*k as usize],
            Expr::Load { source, index, guard: own } => {
                let index = index.iter().map(child).collect();
                let own = own.as_ref().map(child);
                let guard = match (own, guard) {
                    (Some(a), Some(b)) => Some(to.and(a, b)),
                    (a, b) => a.or(b),
                };
                load(to, *source, dtype, index, guard)
            }
            other => to.rebuild(other, dtype, |id| map[id.0 as usize].expect("children come first")),
        };
        map[id.0 as usize] = Some(new);
    }
    roots.iter().map(|root| root.and_then(|id| map[id.0 as usize])).collect()
}

/// Do the elements that lie along the last axis still lie side by side in another order of axes, or is every other one between them?
fn is_stored_in_vectors(shape: &[i64], perm: &[usize]) -> bool {
    let behind = perm.iter().rev().take_while(|k| **k + 1 != shape.len());
    behind.map(|k| shape[*k]).product::<i64>() <= 2
}

fn has_guard(exprs: &Exprs, root: ExprId) -> bool {
    exprs.reachable(&[root]).into_iter().any(|id| matches!(exprs.get(id), Expr::Load { guard: Some(_), .. } | Expr::Select(..)))
}

/// Does a nest read an operand of its own shape only at the point that it computes?
fn reads_identity(nest: &Compute, source: Source, shape: &[i64]) -> bool {
    nest.extents == shape
        && nest.exprs.reachable(&[nest.value]).into_iter().all(|id| match nest.exprs.get(id) {
            Expr::Load { source: from, index, guard } if *from == source => {
                guard.is_none()
                    && index.len() == shape.len()
                    && index.iter().enumerate().all(|(k, i)| *nest.exprs.get(*i) == Expr::Var(Var(k as u32)) || (shape[k] == 1 && nest.exprs.as_int(*i) == Some(0)))
            }
            _ => true,
        })
}
