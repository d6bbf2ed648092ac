//! Which kernels become one.
//!
//! In: the actions of a graph, in order. Out: the same, but kernels that share rows are one [`Group`]. Must not know: loops,
//! vectors, memory plans.
//!
//! The nests of a group run one after the other for some *rows* at a time: points along axes that all of them have and along
//! which each reads what the others made only at its own row. So grid points stay independent, and what only the group uses
//! lies in tiles. Softmax, normalisations, attention come out as one kernel each without being known here. What may be one
//! kernel ([`rows`], [`tiled`]) is apart from what is worth it ([`cost`]).

use std::collections::{BTreeMap, BTreeSet};

use frit_ir::affine::{Extents, simplify_all};
use frit_ir::expr::{Expr, ExprId, Exprs, Source, Var};
use frit_ir::graph::{Graph, ValueId};
use frit_ir::ops::reshape::{flatten, unflatten};
use frit_ir::scalar::Binary;
use frit_ir::vector::Target;

use super::Device;
use super::contraction::Contraction;
use super::fuse::{Action, Fused};
use super::nest::{self, Order};
use crate::cost::{Arithmetic, Machine, additions, of_bytes};

/// Tiles of a group's grid point take no more bytes than this on a CPU, so that they stay in a core's own cache.
const MAX_TILES: i64 = 256 << 10;
/// Groups have no more nests than this.
const MAX_MEMBERS: usize = 24;
/// Groups have no more operands than this.
const MAX_OPERANDS: usize = 32;
/// Rows that are done at once have at least so many elements, where there are enough rows.
const ROW_ELEMS: i64 = 1024;
/// Fewer rows than this at once waste a register tile.
const MIN_ROWS: i64 = 4;
/// Staging an element in a panel costs as much as so many additions.
const STAGED: f64 = 1.0;
/// A grid point of a kernel that is alone does no fewer elements than this.
const LEAST_POINTS: i64 = 256;

/// A nest and where its result goes.
pub(super) struct Member {
    /// What is computed.
    pub fused: Fused,
    /// Whose buffer it goes to.
    pub to: ValueId,
    /// Does it go to a buffer, because it is used outside the group? If not, it lies in a tile.
    pub stored: bool,
    /// The member in whose tile its own lies, element for element.
    pub over: Option<usize>,
}

/// An axis that the nests of a group share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    /// Its extent.
    pub extent: i64,
    /// How much of it a grid point does.
    pub width: i64,
    /// Which of its axes it is, for each nest.
    pub axes: Vec<usize>,
}

/// Nests that run one after the other in one kernel.
pub(super) struct Group {
    /// At least one, in order.
    pub members: Vec<Member>,
    /// The shared axes; meaningless for one nest.
    pub rows: Vec<Row>,
    /// Estimated nanoseconds on one core.
    pub cost: f64,
}

impl Group {
    /// The axis of a member's points that runs along an axis of its result, if that is a row.
    pub(super) fn row_of(&self, member: usize, axis: usize) -> Option<usize> {
        row_of(&self.members[member].fused, axis, &self.rows, member)
    }
}

/// What remains to be done.
pub(super) enum Grouped {
    /// A kernel.
    Kernel(Group),
    /// Something else.
    Other(Action),
}

/// Puts kernels together; without `grouping` each stays alone.
pub(super) fn group(graph: &Graph, actions: Vec<Action>, device: &Device<'_>, grouping: bool) -> Vec<Grouped> {
    Grouper::new(graph, actions, device).grouped(grouping).finish()
}

/// Estimated nanoseconds of a graph's actions, kernels put together.
pub(super) fn price(graph: &Graph, actions: Vec<Action>, device: &Device<'_>) -> f64 {
    let grouper = Grouper::new(graph, actions, device).grouped(true);
    grouper.groups.values().map(|group| grouper.cost(group).1).sum()
}

/// Members by the positions of their actions, ascending, and their rows.
#[derive(Clone, Default)]
struct Candidate {
    members: Vec<usize>,
    rows: Vec<Row>,
}

/// What a nest reads.
struct Read {
    value: ValueId,
    index: Vec<ExprId>,
    /// The variables, by number, that the index depends on.
    vars: BTreeSet<usize>,
    /// Bytes of the elements that are read.
    touched: f64,
    /// Is it staged in panels, element by element?
    staged: bool,
}

struct Nest {
    fused: Fused,
    to: ValueId,
    reads: Vec<Read>,
    /// Are its vectors along what it reduces?
    reduces_vectors: bool,
    /// What is computed.
    arithmetic: Arithmetic,
    /// Bytes of its results.
    written: f64,
}

impl Nest {
    fn new(graph: &Graph, fused: Fused, to: ValueId, target: &Target) -> Self {
        let roles = contraction(&fused, &fused.extents);
        let staged = roles.as_ref().map(|roles| fused.exprs.reachable(&[roles.vector])).unwrap_or_default();
        let all: Vec<i64> = fused.extents.iter().chain(&fused.reduce).copied().collect();
        let roots: Vec<ExprId> = [fused.value].into_iter().chain(fused.epilogue).collect();
        let read = |id: ExprId| match fused.exprs.get(id) {
            Expr::Load { source, index, .. } => {
                let value = ValueId(source.0);
                let vars = variables(&fused.exprs, index);
                let ty = graph.ty(value);
                let points = vars.iter().map(|k| all[*k] as f64).product::<f64>();
                let touched = points.min(ty.shape.elems().unwrap_or(0) as f64) * ty.dtype.size() as f64;
                Some(Read { value, index: index.clone(), vars, touched, staged: staged.contains(&id) && graph.constant(value).is_none() })
            }
            _ => None,
        };
        let reads = fused.exprs.reachable(&roots).into_iter().filter_map(read).collect();
        let results: f64 = fused.extents.iter().map(|extent| *extent as f64).product();
        let steps: f64 = all.iter().map(|extent| *extent as f64).product();
        let finish = results * fused.epilogue.map_or(0.0, |epilogue| f64::from(additions(&fused.exprs, epilogue)));
        let arithmetic = match roles {
            Some(_) if target.dots() && of_bytes(&fused.exprs, fused.value) => Arithmetic { dot: 2.0 * steps, elementwise: finish, ..Arithmetic::default() },
            Some(_) => Arithmetic { contraction: 2.0 * steps, elementwise: finish, ..Arithmetic::default() },
            None => Arithmetic { elementwise: finish + steps * f64::from(additions(&fused.exprs, fused.value) + u32::from(fused.root.is_some())), ..Arithmetic::default() },
        };
        let reduces_vectors = fused.root.is_some() && nest::order(graph, &fused, target) != Order::Sequential;
        let written = results * graph.ty(to).dtype.size() as f64;
        Self { fused, to, reads, reduces_vectors, arithmetic, written }
    }

    /// Does it join in columns what is partly the same for all points along an axis?
    fn shares(&self, axis: usize) -> bool {
        let columns = self.fused.extents.iter().rposition(|extent| *extent > 1);
        self.fused.root.is_some() && !self.reduces_vectors && columns.is_some_and(|columns| columns > axis) && nest::shares(&self.fused, axis)
    }
}

struct Grouper<'a> {
    graph: &'a Graph,
    device: &'a Device<'a>,
    target: &'a Target,
    machine: &'a Machine,
    /// By position; `None` where the action is no kernel that may be grouped.
    nests: Vec<Option<Nest>>,
    /// By position; `None` where there is a nest.
    others: Vec<Option<Action>>,
    /// The value whose buffer an alias is.
    roots: BTreeMap<ValueId, ValueId>,
    /// Where a buffer is read.
    readers: BTreeMap<ValueId, Vec<usize>>,
    /// Where a buffer is written.
    writers: BTreeMap<ValueId, Vec<usize>>,
    /// Buffers that outlive the graph.
    outputs: BTreeSet<ValueId>,
    /// By the position where they run, that of their last member.
    groups: BTreeMap<usize, Candidate>,
    /// The position where a nest runs.
    runs: Vec<usize>,
}

impl<'a> Grouper<'a> {
    fn new(graph: &'a Graph, actions: Vec<Action>, device: &'a Device<'a>) -> Self {
        let target = device.target;
        let mut grouper = Self {
            graph,
            device,
            target,
            machine: device.machine,
            nests: Vec::new(),
            others: Vec::new(),
            roots: BTreeMap::new(),
            readers: BTreeMap::new(),
            writers: BTreeMap::new(),
            outputs: BTreeSet::new(),
            groups: BTreeMap::new(),
            runs: (0..actions.len()).collect(),
        };
        for (at, action) in actions.into_iter().enumerate() {
            let mut read = Vec::new();
            match &action {
                Action::Kernel(fused, _) => read = fused.sources(),
                Action::Node(node, _) => read.extend(&graph.node(*node).inputs),
                Action::Alias(value, of) => {
                    let root = grouper.root(*of);
                    grouper.roots.insert(*value, root);
                }
                Action::Fill(_, to, _) => grouper.writers.entry(*to).or_default().push(at),
            }
            for value in read {
                let root = grouper.root(value);
                grouper.readers.entry(root).or_default().push(at);
            }
            let (nest, other) = match action {
                Action::Kernel(fused, to) if !fused.extents.contains(&0) => {
                    grouper.writers.entry(to).or_default().push(at);
                    let fused = grouper.simplified(*fused);
                    (Some(Nest::new(graph, fused, to, target)), None)
                }
                other => {
                    if let Action::Kernel(_, to) = &other {
                        grouper.writers.entry(*to).or_default().push(at);
                    }
                    (None, Some(other))
                }
            };
            grouper.nests.push(nest);
            grouper.others.push(other);
        }
        grouper.outputs = graph.outputs().iter().map(|(_, value)| grouper.root(*value)).collect();
        grouper
    }

    fn root(&self, value: ValueId) -> ValueId {
        self.roots.get(&value).copied().unwrap_or(value)
    }

    fn nest(&self, at: usize) -> Option<&Nest> {
        self.nests.get(at)?.as_ref()
    }

    /// A nest with simple indices, which reads other kernels' results under their own shapes where that needs no division.
    fn simplified(&self, mut fused: Fused) -> Fused {
        let extents: Extents = fused.extents.iter().chain(&fused.reduce).enumerate().map(|(k, extent)| (Var(k as u32), *extent)).collect();
        let roots: Vec<ExprId> = [fused.value].into_iter().chain(fused.axes.iter().copied()).chain(fused.epilogue).collect();
        let simplify = |exprs: &Exprs, own: bool| {
            let mut to = Exprs::new();
            let mut map: BTreeMap<ExprId, ExprId> = BTreeMap::new();
            for id in exprs.reachable(&roots) {
                let (expr, dtype) = (exprs.get(id), exprs.dtype(id));
                let new = match expr {
                    Expr::Load { source: Source(v), index, guard } if own && self.root(ValueId(*v)) != ValueId(*v) => {
                        let root = self.root(ValueId(*v));
                        let index: Vec<ExprId> = index.iter().map(|id| map[id]).collect();
                        let flat = flatten(&mut to, &self.extents(ValueId(*v)), &index);
                        let index = unflatten(&mut to, &self.extents(root), flat);
                        to.add_node(Expr::Load { source: Source(root.0), index, guard: guard.map(|id| map[&id]) }, dtype)
                    }
                    other => to.rebuild(other, dtype, |id| map[&id]),
                };
                map.insert(id, new);
            }
            let roots: Vec<ExprId> = roots.iter().map(|id| map[id]).collect();
            let roots = simplify_all(&mut to, &roots, &extents);
            (to, roots)
        };
        let (plain, plain_roots) = simplify(&fused.exprs, false);
        let (own, own_roots) = simplify(&fused.exprs, true);
        let (exprs, roots) = if divisions(&own, &own_roots) <= divisions(&plain, &plain_roots) { (own, own_roots) } else { (plain, plain_roots) };
        fused.value = roots[0];
        fused.epilogue = fused.epilogue.and_then(|_| roots.last().copied());
        fused.axes = roots[1..=fused.axes.len()].to_vec();
        fused.exprs = exprs;
        fused
    }

    fn extents(&self, value: ValueId) -> Vec<i64> {
        self.graph.ty(value).shape.extents().unwrap_or_default()
    }

    /// Forms all groups.
    fn grouped(mut self, grouping: bool) -> Self {
        for at in 0..self.nests.len() {
            if self.nests[at].is_some() {
                self.visit(at, grouping);
            }
        }
        self
    }

    /// Puts a kernel together with those before it that make what it reads.
    fn visit(&mut self, at: usize, grouping: bool) {
        let mut group = Candidate { members: vec![at], rows: Vec::new() };
        let mut tried = BTreeSet::new();
        while grouping && let Some(from) = self.producer(&group, &tried) {
            tried.insert(from);
            let before = &self.groups[&from];
            if !self.may_move(before, &group, at) {
                continue;
            }
            let mut members: Vec<usize> = before.members.iter().chain(&group.members).copied().collect();
            members.sort_unstable();
            let mut nodes = members.iter().filter_map(|at| self.nest(*at)).flat_map(|nest| &nest.fused.nodes);
            let first = nodes.next();
            if !nodes.all(|id| first.is_some_and(|first| self.device.joins(self.graph, *first, *id))) {
                continue;
            }
            let Some(rows) = self.plan(&members) else { continue };
            let both = Candidate { members, rows };
            if self.cost(&both).1 < self.cost(before).1 + self.cost(&group).1 {
                self.groups.remove(&from);
                group = both;
                for member in &group.members {
                    self.runs[*member] = at;
                }
            }
        }
        self.groups.insert(at, group);
    }

    /// The last group that makes something that a group reads.
    fn producer(&self, group: &Candidate, tried: &BTreeSet<usize>) -> Option<usize> {
        let nests = group.members.iter().filter_map(|at| self.nest(*at));
        let writers = nests.flat_map(|nest| &nest.reads).filter_map(|read| self.writers.get(&read.value)).flatten();
        writers.filter(|at| self.nests[**at].is_some() && !group.members.contains(at)).map(|at| self.runs[*at]).filter(|at| !tried.contains(at)).max()
    }

    /// May a group run as late as at a position, together with another one? Nobody else must read it before.
    fn may_move(&self, group: &Candidate, other: &Candidate, to: usize) -> bool {
        let together = |at: &usize| group.members.contains(at) || other.members.contains(at);
        let results = group.members.iter().filter_map(|at| self.nest(*at)).filter_map(|nest| self.readers.get(&nest.to));
        results.flatten().all(|reader| together(reader) || self.runs[*reader] > to)
    }

    /// The shared rows of nests, if they can be one kernel.
    fn plan(&self, members: &[usize]) -> Option<Vec<Row>> {
        let nests: Vec<&Nest> = members.iter().filter_map(|at| self.nest(*at)).collect();
        let made: BTreeMap<ValueId, usize> = nests.iter().enumerate().map(|(at, nest)| (nest.to, at)).collect();
        let operands: BTreeSet<ValueId> = nests.iter().flat_map(|nest| &nest.reads).map(|read| read.value).filter(|value| !made.contains_key(value)).collect();
        // Vectors have one length in a kernel, which decides the order of sums: all nests must agree on it.
        let alike = nests.iter().all(|nest| self.widest(nest) == self.widest(nests[0]));
        // What is read must be whole, and not the same buffer under another name.
        let sound = nests.iter().flat_map(|nest| &nest.reads).all(|read| match made.get(&read.value) {
            Some(at) => self.writers[&read.value].len() == 1 && nests[*at].fused.border.is_none() && nests[*at].fused.shape == self.extents(read.value),
            None => !made.contains_key(&self.root(read.value)),
        });
        if members.len() > MAX_MEMBERS || operands.len() > MAX_OPERANDS || !alike || !sound {
            return None;
        }
        // What is small may be done whole by one grid point where rows don't do.
        self.widths(members, &nests, rows(&nests, &made)).or_else(|| self.widths(members, &nests, Vec::new()))
    }

    /// Are all elements that a nest's kernel touches 8 bytes long?
    fn widest(&self, nest: &Nest) -> bool {
        let of = |value: ValueId| self.graph.ty(value).dtype.size() == 8;
        of(nest.to) && nest.reads.iter().all(|read| of(read.value)) && (nest.fused.root.is_none() || nest.fused.exprs.dtype(nest.fused.value).size() == 8)
    }

    /// Is a nest's result needed outside of a group?
    fn stored(&self, members: &[usize], at: usize) -> bool {
        let Some(nest) = self.nest(at) else { return true };
        self.outputs.contains(&nest.to) || members.last() == Some(&at) || self.readers.get(&nest.to).is_none_or(|readers| readers.iter().any(|reader| !members.contains(reader)))
    }

    /// The member whose tile a member may overwrite: it is the last to read it, and reads each element where it puts its own.
    fn over(&self, members: &[usize], nests: &[&Nest], at: usize) -> Option<usize> {
        let nest = nests[at];
        if nest.fused.root.is_some() || self.stored(members, members[at]) {
            return None;
        }
        (0..at).find(|from| {
            let maker = nests[*from];
            let last = nests[at + 1..].iter().all(|later| later.reads.iter().all(|read| read.value != maker.to));
            let mut own = nest.reads.iter().filter(|read| read.value == maker.to).peekable();
            let read = own.peek().is_some() && own.all(|read| read.index == nest.fused.axes);
            let alike = self.graph.ty(maker.to) == self.graph.ty(nest.to) && maker.fused.shape == nest.fused.shape;
            read && last && alike && !self.stored(members, members[*from])
        })
    }

    /// Bytes of tiles that a grid point needs.
    fn tiles(&self, members: &[usize], nests: &[&Nest], rows: &[Row]) -> i64 {
        let mut sum = 0i64;
        for (at, nest) in nests.iter().enumerate().filter(|(at, _)| !self.stored(members, members[*at]) && self.over(members, nests, *at).is_none()) {
            let width = |(t, extent): (usize, &i64)| row_of(&nest.fused, t, rows, at).map_or(*extent, |axis| rows.iter().find(|row| row.axes[at] == axis).map_or(*extent, |row| row.width));
            let elems = nest.fused.shape.iter().enumerate().map(width).fold(1, i64::saturating_mul);
            sum = sum.saturating_add(elems.saturating_mul(self.graph.ty(nest.to).dtype.size() as i64));
        }
        sum
    }

    /// How much of each row a grid point does. `None` where tiles would be too large or vectors too short.
    fn widths(&self, members: &[usize], nests: &[&Nest], mut rows: Vec<Row>) -> Option<Vec<Row>> {
        let teams = self.target.team > 1;
        let most_bytes = if teams { self.target.cache[0] as i64 } else { MAX_TILES };
        let contractions: Vec<Option<Contraction>> = nests.iter().map(|nest| contraction(&nest.fused, &nest.fused.extents)).collect();
        let last_axis = |nest: &Nest| (0..nest.fused.extents.len()).rev().find(|k| nest.fused.extents[*k] > 1);
        let lanes = i64::from(self.target.lanes(frit_ir::DType::F32)).max(1) * 4;
        let points: i64 = rows.iter().map(|row| row.extent).product();
        if let Some(row) = rows.last_mut() {
            let inner = |nest: &Nest| nest.fused.extents.iter().chain(&nest.fused.reduce).product::<i64>() / points;
            let most = nests.iter().map(|nest| inner(nest)).max().unwrap_or(1).max(1);
            // Do those that have most to do have their vectors along the row?
            let at_lanes = nests.iter().enumerate().any(|(at, nest)| 2 * inner(nest) >= most && !nest.reduces_vectors && last_axis(nest) == Some(row.axes[at]));
            let others = points / row.extent;
            let wanted = if at_lanes {
                lanes
            } else if contractions.iter().any(Option::is_some) {
                row.extent
            } else if teams {
                1
            } else if nests.iter().enumerate().any(|(at, nest)| nest.shares(row.axes[at])) {
                row.extent
            } else {
                (ROW_ELEMS + most - 1) / most
            };
            let blocks = (i64::from(self.target.points) + others - 1) / others;
            let most = if at_lanes { row.extent } else { (row.extent + blocks - 1) / blocks };
            let width = wanted.min(most).min(row.extent).max(1);
            row.width = width;
            let bytes = self.tiles(members, nests, &rows);
            let row = rows.last_mut()?;
            let width = if bytes > most_bytes { (row.width * most_bytes / bytes).max(1) } else { row.width };
            // Blocks of about the same size.
            let blocks = (row.extent + width - 1) / width;
            row.width = if at_lanes { width } else { (row.extent + blocks - 1) / blocks };
            if at_lanes && row.width < row.extent.min(lanes / 4) {
                return None;
            }
        }
        let fits = self.tiles(members, nests, &rows) <= most_bytes;
        // A sum of products keeps its roles, and enough rows for register tiles.
        let tiled = nests.iter().zip(&contractions).enumerate().all(|(at, (nest, roles))| {
            let Some(roles) = roles else { return true };
            // A team's tiles of results take the whole team.
            if teams {
                return false;
            }
            // Bytes are broadcast four at a time, from buffers.
            let made_here = |value: &ValueId| nests.iter().any(|other| other.to == *value);
            if self.target.dots() && of_bytes(&nest.fused.exprs, nest.fused.value) && nest.fused.sources().iter().any(made_here) {
                return false;
            }
            let mut extents = nest.fused.extents.clone();
            for row in &rows {
                extents[row.axes[at]] = row.width;
            }
            let size = |axes: &[usize], extents: &[i64]| axes.iter().map(|k| extents[*k]).product::<i64>();
            // Its vectors run along panels of its own; only what it broadcasts is cut.
            let across = rows.iter().any(|row| roles.n.contains(&row.axes[at]));
            let enough = size(&roles.m, &extents) >= MIN_ROWS.min(size(&roles.m, &nest.fused.extents));
            let whole = !nest::is_constant(self.graph, &nest.fused, roles.vector) || rows.iter().all(|row| !roles.batch.contains(&row.axes[at]));
            !across && enough && whole && contraction(&nest.fused, &extents).is_some_and(|own| own.vector == roles.vector)
        });
        (fits && tiled).then_some(rows)
    }

    /// An estimate of the time that a group's kernel takes, in nanoseconds, by one core and by as many as can share it.
    /// The latter is all that decides what is worth grouping.
    fn cost(&self, group: &Candidate) -> (f64, f64) {
        let members: Vec<(usize, &Nest)> = group.members.iter().filter_map(|at| Some((*at, self.nest(*at)?))).collect();
        let made: BTreeSet<ValueId> = members.iter().map(|(_, nest)| nest.to).collect();
        let blocks = |row: &Row| (row.extent + row.width - 1) / row.width;
        let stored: Vec<bool> = members.iter().map(|(at, _)| self.stored(&group.members, *at)).collect();
        // What lies in buffers, and what a grid point holds in tiles.
        let outside: BTreeSet<ValueId> = members.iter().flat_map(|(_, nest)| &nest.reads).map(|read| read.value).filter(|value| !made.contains(value)).collect();
        let nests: Vec<&Nest> = members.iter().map(|(_, nest)| *nest).collect();
        let written: f64 = members.iter().zip(&stored).filter(|(_, stored)| **stored).map(|((_, nest), _)| nest.written).sum();
        let buffers = self.machine.bandwidth(outside.iter().map(|value| self.bytes(*value)).sum::<f64>() + written);
        let tiles = self.machine.bandwidth(self.tiles(&group.members, &nests, &group.rows) as f64);
        // Blocks that overlap do some rows twice.
        let twice: f64 = group.rows.iter().map(|row| (blocks(row) * row.width) as f64 / row.extent as f64).product();
        let mut time = 0.0;
        for (k, (_, nest)) in members.iter().enumerate() {
            // What each block of rows reads again is there in time if a core's own caches hold it, and waited for if not.
            let mut moved = nest.written / if stored[k] { buffers } else { tiles };
            let mut awaited = 0.0;
            let mut work = nest.arithmetic;
            for read in &nest.reads {
                let (own, other): (Vec<&Row>, Vec<&Row>) = group.rows.iter().partition(|row| read.vars.contains(&row.axes[k]));
                let again: i64 = other.into_iter().map(blocks).product();
                let part = read.touched / own.into_iter().map(blocks).product::<i64>() as f64;
                moved += read.touched / if made.contains(&read.value) { tiles } else { buffers };
                let repeated = read.touched * (again - 1) as f64 / self.machine.bandwidth(part);
                *if part <= self.machine.own() { &mut moved } else { &mut awaited } += repeated;
                if read.staged {
                    work.elementwise += STAGED * again as f64 * read.touched / self.graph.ty(read.value).dtype.size() as f64;
                }
            }
            time += (self.machine.time(work) * twice).max(moved) + awaited;
        }
        let points: i64 = match members.as_slice() {
            [(_, nest)] => (nest.fused.extents.iter().product::<i64>() / LEAST_POINTS).max(1),
            _ => group.rows.iter().map(blocks).product(),
        };
        // A thread that is woken must have something to do.
        let threads = (points as f64).min(time / self.machine.launch).clamp(1.0, f64::from(self.machine.threads.max(1)));
        (self.machine.launch + time, self.machine.launch + time / threads)
    }

    fn bytes(&self, value: ValueId) -> f64 {
        let ty = self.graph.ty(value);
        ty.shape.elems().unwrap_or(0) as f64 * ty.dtype.size() as f64
    }

    fn finish(mut self) -> Vec<Grouped> {
        let mut done = Vec::new();
        for at in 0..self.nests.len() {
            if let Some(group) = self.groups.remove(&at) {
                let (cost, _) = self.cost(&group);
                let nests: Vec<&Nest> = group.members.iter().filter_map(|at| self.nest(*at)).collect();
                let homes: Vec<(bool, Option<usize>)> = group.members.iter().enumerate().map(|(k, at)| (self.stored(&group.members, *at), self.over(&group.members, &nests, k))).collect();
                let members = group.members.iter().zip(homes).filter_map(|(at, (stored, over))| self.nests[*at].take().map(|nest| Member { fused: nest.fused, to: nest.to, stored, over })).collect();
                done.push(Grouped::Kernel(Group { members, rows: group.rows, cost }));
            } else if let Some(other) = self.others[at].take() {
                done.push(Grouped::Other(other));
            }
        }
        done
    }
}

/// The axis of a nest's points that runs along an axis of its result, if that is a row.
fn row_of(fused: &Fused, axis: usize, rows: &[Row], member: usize) -> Option<usize> {
    match fused.exprs.get(fused.axes[axis]) {
        Expr::Var(Var(k)) => rows.iter().map(|row| row.axes[member]).find(|axis| axis == &(*k as usize)),
        _ => None,
    }
}

/// The axes that all nests share: axes of the last one along which each nest reads what the others made at its own point.
fn rows(nests: &[&Nest], made: &BTreeMap<ValueId, usize>) -> Vec<Row> {
    let Some(last) = nests.last() else { return Vec::new() };
    let mut rows = Vec::new();
    'axes: for (axis, extent) in last.fused.extents.iter().enumerate().filter(|(_, extent)| **extent > 1) {
        let mut axes: Vec<Option<usize>> = vec![None; nests.len()];
        axes[nests.len() - 1] = Some(axis);
        for (at, nest) in nests.iter().enumerate().rev() {
            let Some(own) = axes[at] else { continue 'axes };
            for (read, from) in nest.reads.iter().filter_map(|read| made.get(&read.value).map(|from| (read, *from))) {
                let maker = &nests[from].fused;
                // What has another rank there is read by other axes than it is made by.
                let along = |t: usize| match (nest.fused.exprs.get(read.index[t]), maker.exprs.get(*maker.axes.get(t)?)) {
                    (Expr::Var(a), Expr::Var(b)) if a.0 as usize == own && maker.extents.get(b.0 as usize) == Some(extent) => Some(b.0 as usize),
                    _ => None,
                };
                let found = (0..read.index.len()).find_map(along);
                if found.is_none() || axes[from].is_some_and(|known| Some(known) != found) {
                    continue 'axes;
                }
                axes[from] = found;
            }
        }
        // What is computed for all points of an axis together can't be done for one.
        if nests.iter().zip(&axes).any(|(nest, axis)| nest.fused.phases().iter().any(|(phases, _)| *axis == Some(*phases))) {
            continue;
        }
        let axes: Option<Vec<usize>> = axes.into_iter().collect();
        rows.extend(axes.map(|axes| Row { extent: *extent, width: 1, axes }));
    }
    rows
}

/// The roles in a sum of products of these extents.
fn contraction(fused: &Fused, extents: &[i64]) -> Option<Contraction> {
    fused.root?;
    Contraction::find(&fused.exprs, fused.value, extents, &fused.reduce, fused.combine)
}

/// The variables, by number, that expressions depend on.
fn variables(exprs: &Exprs, roots: &[ExprId]) -> BTreeSet<usize> {
    let of = |id: ExprId| match exprs.get(id) {
        Expr::Var(var) => Some(var.0 as usize),
        _ => None,
    };
    exprs.reachable(roots).into_iter().filter_map(of).collect()
}

/// Number of integer divisions.
fn divisions(exprs: &Exprs, roots: &[ExprId]) -> usize {
    exprs.reachable(roots).into_iter().filter(|id| exprs.dtype(*id).is_int() && matches!(exprs.get(*id), Expr::Binary(Binary::FloorDiv | Binary::Mod, ..))).count()
}
