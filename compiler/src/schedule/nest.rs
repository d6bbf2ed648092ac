//! From fused nests to kernels in the loop form.
//!
//! In: a [`Group`] of nests and a [`Target`]. Out: a [`Kernel`] and the values that its parameters are. There are
//! three schedules of a nest: a map (vectors along the last axis), a reduction (vectors along the last output axis or along the
//! reduced one, whichever is contiguous; few steps are always done in columns), and a contraction (register tiles over staged
//! panels). A nest alone runs its parallel loops as the grid; those of a group run one after the other at each grid point,
//! which does some rows, and what only they use lies in tiles. Where teams of threads run grid points, [`team`] has schedules
//! of its own. Must not know: emitters, memory plans.
//!
//! The order in which values are joined is fixed by the nest alone ([`Order`]), so that grouping never changes a bit.

mod team;
mod way;

use std::collections::BTreeMap;

use frit_ir::affine::{Affine, Extents, simplify_all};
use frit_ir::compute::{Combine, Compute};
use frit_ir::expr::{Expr, ExprId, Exprs, Source, Var};
use frit_ir::graph::{Graph, ValueId};
use frit_ir::loops::{Kernel, LoopKind, Place, Space, Stmt};
use frit_ir::ops::reshape::{flatten, unflatten};
use frit_ir::scalar::{Binary, Scalar};
use frit_ir::tensor::AlignedBytes;
use frit_ir::vector::Target;
use frit_ir::{DType, Tensor};

use super::contraction::{Bytes, CONTRACTED, Contraction};
use super::fuse::{Border, Fused, translate};
use super::group::{Group, Member};
use way::{MOST_LOOSE_ROWS, Motion, Tile, Way, ways};

/// One grid point of a map handles no more elements than this where its extents can be split evenly.
const MAP_BLOCK: i64 = 8192;
/// Sums of fewer vectors than this are done in columns where these lie side by side or are every other element, and sums of no
/// more elements than this in any case.
const COLUMN_STEPS: i64 = 4;
/// Fewer columns than this are not worth vectors.
const COLUMNS: i64 = 4;
/// Reductions of no more steps than this, or their last axes, are written out.
const MAX_UNROLLED: i64 = 25;
/// Rows of so many elements are work enough for a grid point.
const LONG_VECTORS: i64 = 128;
/// Sums of more floats than this, one after the other, are done in parts.
const LONG_SUM: i64 = 256;

/// A kernel, and what each of its parameters is.
pub(super) struct Built {
    /// The kernel.
    pub kernel: Kernel,
    /// One per parameter.
    pub operands: Vec<Operand>,
    /// Other ways to build it, by what is done otherwise.
    pub alternatives: Vec<String>,
}

/// What a kernel's parameter is.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Operand {
    /// A value of the graph.
    Value(ValueId),
    /// A constant made for this kernel.
    Packed(Tensor),
}

/// Builds a group's kernel: 0 is how it is best by what it is estimated to take, other numbers are those of alternatives, counted from 1.
pub(super) fn build(graph: &Graph, group: &Group, target: &Target, alternative: usize) -> Built {
    let mut work = Work { alternative, ..Work::new(graph) };
    if let [member] = group.members.as_slice() {
        work.output(member.to);
        let region = Region::whole(&mut work, &member.fused);
        let piece = piece(&mut work, member, &region, target, true);
        return work.finish(group, piece.parallel, piece.body, piece.flops, target);
    }
    let mut grid = Vec::new();
    let mut origins = Vec::new();
    for row in &group.rows {
        let blocks = (row.extent + row.width - 1) / row.width;
        if blocks == 1 {
            origins.push(work.exprs.int(0));
        } else {
            let block = work.var(blocks);
            grid.push((block, blocks));
            origins.push(overlapped(&mut work, block, row.width, row.extent));
        }
    }
    let (mut body, mut flops) = (Vec::new(), 0);
    for (at, member) in group.members.iter().enumerate() {
        let mut region = Region::whole(&mut work, &member.fused);
        for (row, origin) in group.rows.iter().zip(&origins) {
            region.extents[row.axes[at]] = row.width;
            region.origin[row.axes[at]] = *origin;
        }
        if member.stored {
            work.output(member.to);
        } else {
            work.hold(group, at, &region);
        }
        let piece = piece(&mut work, member, &region, target, false);
        body.extend(nested(&piece.parallel, LoopKind::Serial, piece.body));
        flops += piece.flops;
    }
    work.finish(group, grid, body, flops, target)
}

/// The points of a nest that are computed: along each axis where they begin, and how many they are.
struct Region {
    origin: Vec<ExprId>,
    extents: Vec<i64>,
}

impl Region {
    /// All points.
    fn whole(work: &mut Work<'_>, fused: &Fused) -> Self {
        Self { origin: vec![work.exprs.int(0); fused.extents.len()], extents: fused.extents.clone() }
    }

    /// Points in the nest from points in the region. What follows the axes (reduced ones) stays.
    fn place(&self, work: &mut Work<'_>, axes: &[ExprId]) -> Vec<ExprId> {
        axes.iter().enumerate().map(|(k, at)| self.origin.get(k).map_or(*at, |origin| work.exprs.add(*origin, *at))).collect()
    }
}

/// What one nest does: `body` for all points of the `parallel` loops, which are independent.
struct Piece {
    parallel: Vec<(Var, i64)>,
    body: Vec<Stmt>,
    flops: u64,
}

/// What one nest does; `alone`: its parallel loops will be the grid.
fn piece(work: &mut Work<'_>, member: &Member, region: &Region, target: &Target, alone: bool) -> Piece {
    let fused = &member.fused;
    if target.team > 1 {
        return team::piece(work, member, region, target, alone);
    }
    if fused.root.is_none() {
        return map(work, member, region);
    }
    if let Some(roles) = roles(work.graph, fused, &region.extents)
        && order(work.graph, fused, target) == Order::Sequential
    {
        let before = work.clone();
        if let Some(piece) = contraction(work, member, region, target, &roles) {
            return piece;
        }
        *work = before;
    }
    reduction(work, member, region, target)
}

/// The roles in a sum of products. Where the last axis is too short to be panels, constants may be.
fn roles(graph: &Graph, fused: &Fused, extents: &[i64]) -> Option<Contraction> {
    let exchanged = || Contraction::exchanged(&fused.exprs, fused.value, extents, &fused.reduce, fused.combine).filter(|roles| is_constant(graph, fused, roles.vector));
    Contraction::find(&fused.exprs, fused.value, extents, &fused.reduce, fused.combine).or_else(exchanged)
}

/// In which order a nest joins values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// One after the other, the last reduced axis innermost.
    Sequential,
    /// The last reduced axis in vectors; with `merged`, all reduced axes as one.
    Vectors {
        /// Are they one?
        merged: bool,
    },
}

/// The order in which a reduction joins values, from what it reads in buffers, whether or not it is grouped.
pub(super) fn order(graph: &Graph, fused: &Fused, target: &Target) -> Order {
    let dtype = fused.exprs.dtype(fused.value);
    if let Some(roles) = roles(graph, fused, &fused.extents)
        && CONTRACTED.contains(&dtype)
        && (roles.m.iter().any(|k| fused.extents[*k] > 1) || is_constant(graph, fused, roles.vector))
    {
        return Order::Sequential;
    }
    let lanes = i64::from(target.lanes(dtype)).max(1);
    for merged in [true, false] {
        let mut work = Work::new(graph);
        let region = Region::whole(&mut work, fused);
        let loops = Loops::new(&mut work, fused, &region, merged);
        let value = work.import(fused, &[fused.value], &loops.axes, None)[0];
        if merged && loops.inner.len() < loops.reduced && divides(&work.exprs, &[value]) {
            continue;
        }
        let along = |var: Option<&(Var, i64)>| var.and_then(|(var, extent)| strides(&work.exprs, value, *var).map(|s| (*extent, s)));
        let within = |most: i64, strides: &[i64]| strides.iter().all(|s| (0..=most).contains(s));
        // Columns pay for each step of the sum, rows once for joining lanes: few steps are done in columns even if these are fewer
        // than lanes or don't lie side by side.
        let few = |steps: i64| steps < COLUMN_STEPS * lanes;
        let in_columns = |steps: i64, (extent, s): (i64, Vec<i64>)| {
            extent >= lanes.min(COLUMNS) && (within(1, &s) && (extent >= lanes || few(steps)) || within(2, &s) && few(steps) || steps <= COLUMN_STEPS)
        };
        let by_rows = along(loops.inner.last()).is_some_and(|(steps, s)| within(1, &s) && !along(loops.outer.last()).is_some_and(|columns| in_columns(steps, columns)));
        return if by_rows { Order::Vectors { merged } } else { Order::Sequential };
    }
    unreachable!("axes that are not merged need no division")
}

/// The loops of a reduction: over the points, and over what is joined.
struct Loops {
    outer: Vec<(Var, i64)>,
    inner: Vec<(Var, i64)>,
    /// The axes of the points, then the reduced ones, within the region.
    axes: Vec<ExprId>,
    /// Number of reduced axes that are not 1.
    reduced: usize,
    /// Output axes that are not 1.
    wide: Vec<usize>,
}

impl Loops {
    fn new(work: &mut Work<'_>, fused: &Fused, region: &Region, merged: bool) -> Self {
        let rank = fused.extents.len();
        let all: Vec<i64> = region.extents.iter().chain(&fused.reduce).copied().collect();
        let wide: Vec<usize> = (0..rank).filter(|k| all[*k] != 1).collect();
        let reduced: Vec<usize> = (rank..all.len()).filter(|k| all[*k] != 1).collect();
        let mut groups: Vec<Vec<usize>> = wide.iter().map(|k| vec![*k]).collect();
        if merged && !reduced.is_empty() {
            groups.push(reduced.clone());
        } else if !merged {
            groups.extend(reduced.iter().map(|k| vec![*k]));
        }
        let (mut outer, axes) = grouped(work, &all, &groups);
        let inner = outer.split_off(wide.len());
        Self { outer, inner, axes, reduced: reduced.len(), wide }
    }
}

/// Builds a kernel that fills the buffer of `to` with a number.
pub(super) fn fill(graph: &Graph, value: Scalar, to: ValueId, target: &Target) -> Built {
    let elems = graph.ty(to).shape.elems().unwrap_or(0);
    let mut work = Work::new(graph);
    let place = work.output(to);
    let dtype = graph.ty(to).dtype;
    let value = work.exprs.constant(value, dtype);
    if target.team > 1 {
        let var = work.var(elems);
        let index = work.exprs.var(var);
        return work.done(vec![(var, elems)], vec![Stmt::Store { place, index, value, guard: None }], 0);
    }
    let (grid, (var, extent)) = work.split(elems);
    let at = work.position(&grid, var, extent);
    let body = vec![Stmt::For { var, extent, kind: LoopKind::Vector, body: vec![Stmt::Store { place, index: at, value, guard: None }] }];
    work.done(grid, body, 0)
}

/// A value of a group that lies in a tile: the tile's shape, and where it begins in the value.
#[derive(Clone)]
struct Held {
    place: Source,
    shape: Vec<i64>,
    origin: Vec<ExprId>,
}

/// A kernel under construction.
#[derive(Clone)]
struct Work<'g> {
    graph: &'g Graph,
    exprs: Exprs,
    places: Vec<Place>,
    operands: Vec<Option<Operand>>,
    held: BTreeMap<ValueId, Held>,
    extents: Extents,
    vars: u32,
    /// Which alternative is wanted; 0 for none.
    alternative: usize,
    /// The alternatives there are.
    alternatives: Vec<String>,
}

impl<'g> Work<'g> {
    fn new(graph: &'g Graph) -> Self {
        Self { graph, exprs: Exprs::new(), places: Vec::new(), operands: Vec::new(), held: BTreeMap::new(), extents: Extents::new(), vars: 0, alternative: 0, alternatives: Vec::new() }
    }

    /// Which of several ways is wanted: the first, unless another is the alternative.
    fn choose(&mut self, ways: &[Way]) -> usize {
        let before = self.alternatives.len();
        self.alternatives.extend(ways[1..].iter().map(ToString::to_string));
        if (before + 1..before + ways.len()).contains(&self.alternative) { self.alternative - before } else { 0 }
    }

    fn var(&mut self, extent: i64) -> Var {
        let var = Var(self.vars);
        self.vars += 1;
        self.extents.set(var, extent);
        var
    }

    /// The index of a loop, which is added to others unless it has one iteration.
    fn counted(&mut self, loops: &mut Vec<(Var, i64)>, extent: i64) -> ExprId {
        if extent == 1 {
            return self.exprs.int(0);
        }
        let var = self.var(extent);
        loops.push((var, extent));
        self.exprs.var(var)
    }

    fn place(&mut self, place: Place, operand: Option<Operand>) -> Source {
        self.places.push(place);
        self.operands.push(operand);
        Source(self.places.len() as u32 - 1)
    }

    fn tile(&mut self, dtype: DType, elems: i64, space: Space) -> Source {
        self.place(Place { dtype, elems, space }, None)
    }

    fn parameter(&mut self, value: ValueId, space: Space) -> Source {
        self.viewed(value, self.graph.ty(value).dtype, space)
    }

    /// A value's bytes as elements of a dtype.
    fn viewed(&mut self, value: ValueId, dtype: DType, space: Space) -> Source {
        let known = self.operands.iter().zip(&self.places).position(|(operand, place)| *operand == Some(Operand::Value(value)) && place.dtype == dtype);
        if let Some(at) = known {
            return Source(at as u32);
        }
        let ty = self.graph.ty(value);
        let elems = ty.shape.elems().unwrap_or(0) * ty.dtype.size() as i64 / dtype.size() as i64;
        self.place(Place { dtype, elems, space }, Some(Operand::Value(value)))
    }

    /// The shape of what holds a value here.
    fn shape(&self, value: ValueId) -> Vec<i64> {
        self.held.get(&value).map_or_else(|| self.graph.ty(value).shape.extents().unwrap_or_default(), |held| held.shape.clone())
    }

    fn output(&mut self, value: ValueId) -> Source {
        self.parameter(value, Space::Output)
    }

    /// Gives the results of a group's member a tile.
    fn hold(&mut self, group: &Group, at: usize, region: &Region) {
        let Member { fused, to, .. } = &group.members[at];
        let zero = self.exprs.int(0);
        let (shape, origin): (Vec<i64>, Vec<ExprId>) = (0..fused.shape.len()).map(|t| group.row_of(at, t).map_or((fused.shape[t], zero), |axis| (region.extents[axis], region.origin[axis]))).unzip();
        let elems = shape.iter().product();
        let over = group.members[at].over.and_then(|from| self.held.get(&group.members[from].to));
        let place = match over {
            Some(held) => held.place,
            None => self.tile(self.graph.ty(*to).dtype, elems, if elems == 1 { Space::Registers } else { Space::Scratch }),
        };
        self.held.insert(*to, Held { place, shape, origin });
    }

    /// Where a member's results go.
    fn destination(&mut self, member: &Member) -> Source {
        match self.held.get(&member.to) {
            Some(held) => held.place,
            None => self.output(member.to),
        }
    }

    /// Splits a long row into blocks for the grid: the grid's axes, and the variable and extent within a block.
    fn split(&mut self, extent: i64) -> (Vec<(Var, i64)>, (Var, i64)) {
        let block = block(extent);
        let grid = if block < extent { vec![(self.var(extent / block), extent / block)] } else { Vec::new() };
        let var = self.var(block);
        (grid, (var, block))
    }

    /// The position in a row that was split.
    fn position(&mut self, grid: &[(Var, i64)], var: Var, block: i64) -> ExprId {
        let inner = self.exprs.var(var);
        match grid.last() {
            Some((outer, _)) => {
                let outer = self.exprs.var(*outer);
                let block = self.exprs.int(block);
                let base = self.exprs.mul(outer, block);
                self.exprs.add(base, inner)
            }
            None => inner,
        }
    }

    /// Copies a nest's expressions, its variables replaced; loads become flat.
    fn import(&mut self, fused: &Fused, roots: &[ExprId], vars: &[ExprId], reduced: Option<ExprId>) -> Vec<ExprId> {
        let mut exprs = std::mem::take(&mut self.exprs);
        let roots: Vec<Option<ExprId>> = roots.iter().copied().map(Some).collect();
        let mut load = |e: &mut Exprs, Source(v): Source, dtype: DType, index: Vec<ExprId>, guard: Option<ExprId>| {
            let value = ValueId(v);
            if let Some(tensor) = self.graph.constant(value)
                && tensor.elems() == 1
                && guard.is_none()
            {
                return e.constant(tensor.get(0), dtype);
            }
            if let Some(held) = self.held.get(&value) {
                let flat = held.index(e, &index);
                return e.add_node(Expr::Load { source: held.place, index: vec![flat], guard }, dtype);
            }
            let extents = self.graph.ty(value).shape.extents().unwrap_or_default();
            let flat = flatten(e, &extents, &index);
            let source = self.parameter(value, Space::Input);
            e.add_node(Expr::Load { source, index: vec![flat], guard }, dtype)
        };
        let done = translate(&fused.exprs, &roots, &mut exprs, vars, None, &mut load);
        let done: Vec<ExprId> = done.into_iter().map(|id| id.expect("every root is there")).collect();
        self.exprs = exprs;
        let done = match reduced {
            Some(value) => done.into_iter().map(|id| self.substitute_reduced(id, value)).collect(),
            None => done,
        };
        simplify_all(&mut self.exprs, &done, &self.extents)
    }

    fn substitute_reduced(&mut self, root: ExprId, value: ExprId) -> ExprId {
        let order = self.exprs.reachable(&[root]);
        let mut map = std::collections::BTreeMap::new();
        for id in order {
            let (expr, dtype) = (self.exprs.get(id).clone(), self.exprs.dtype(id));
            let new = if expr == Expr::Reduced { value } else { self.exprs.rebuild(&expr, dtype, |child| map[&child]) };
            map.insert(id, new);
        }
        map[&root]
    }

    /// The flat index of a nest's result.
    fn store_index(&mut self, member: &Member, vars: &[ExprId]) -> ExprId {
        let axes = self.import(&member.fused, &member.fused.axes, vars, None);
        let flat = match self.held.get(&member.to) {
            Some(held) => held.index(&mut self.exprs, &axes),
            None => flatten(&mut self.exprs, &member.fused.shape, &axes),
        };
        simplify_all(&mut self.exprs, &[flat], &self.extents)[0]
    }

    /// The kernel of a group: what its members do, and the borders of their results.
    fn finish(mut self, group: &Group, grid: Vec<(Var, i64)>, mut body: Vec<Stmt>, flops: u64, target: &Target) -> Built {
        // Where threads form teams, a kernel without vectors is run by single threads.
        let vectors = target.team == 1 || has_vectors(&body);
        for member in &group.members {
            if let Some(around) = &member.fused.border {
                let place = self.output(member.to);
                body.extend(border(&mut self, around, &member.fused.shape, place, &grid, vectors));
            }
        }
        self.done(grid, body, flops)
    }

    fn done(self, grid: Vec<(Var, i64)>, body: Vec<Stmt>, flops: u64) -> Built {
        let bytes = self.places.iter().filter(|p| matches!(p.space, Space::Input | Space::Output)).map(|p| p.elems as u64 * p.dtype.size() as u64).sum();
        let kernel = Kernel { name: String::new(), places: self.places, grid, exprs: self.exprs, body, flops, bytes };
        let operands = self.operands.into_iter().flatten().collect();
        Built { kernel, operands, alternatives: self.alternatives }
    }
}

impl Held {
    /// The flat index of an element of the value.
    fn index(&self, e: &mut Exprs, index: &[ExprId]) -> ExprId {
        let inside: Vec<ExprId> = index.iter().zip(&self.origin).map(|(at, origin)| e.sub(*at, *origin)).collect();
        flatten(e, &self.shape, &inside)
    }
}

/// Writes the elements of a buffer outside a box of it. Each grid point does some of them; where they can't be split evenly
/// several points write the same ones. `vectors`: in vectors, as the rest of the kernel.
fn border(work: &mut Work<'_>, around: &Border, shape: &[i64], place: Source, grid: &[(Var, i64)], vectors: bool) -> Vec<Stmt> {
    let points: i64 = grid.iter().map(|(_, extent)| extent).product();
    let kind = if vectors { LoopKind::Vector } else { LoopKind::Serial };
    let (vars, extents): (Vec<Var>, Vec<i64>) = grid.iter().copied().unzip();
    let vars: Vec<ExprId> = vars.into_iter().map(|var| work.exprs.var(var)).collect();
    let point = flatten(&mut work.exprs, &extents, &vars);
    let dtype = work.places[place.0 as usize].dtype;
    let value = work.exprs.constant(around.value, dtype);
    let mut body = Vec::new();
    for axis in 0..shape.len() {
        let inner: i64 = shape[axis + 1..].iter().product();
        let end = around.before[axis] + around.extents[axis];
        // Along this axis what is before the box and what is after it, all of the following axes, the box of those before.
        let slabs: Vec<(i64, i64)> = [(0, around.before[axis] * inner), (end * inner, (shape[axis] - end) * inner)].into_iter().filter(|(_, run)| *run > 0).collect();
        if slabs.is_empty() {
            continue;
        }
        let outer = &around.extents[..axis];
        let units: i64 = outer.iter().product();
        let mut loops = Vec::new();
        let mut at = Vec::new();
        // Which part of how many of a slab a point does, and whether it is the first of those that would do it.
        let mut part = (work.exprs.int(0), 1);
        let mut first_of = None;
        if axis == 0 || units < points {
            let longest = slabs.iter().map(|(_, run)| *run).max().unwrap_or(1);
            let parts = (points / units).min(longest);
            let repeats = points / (units * parts);
            let number = divided(work, point, repeats);
            if !vectors && repeats > 1 {
                let (repeats, zero) = (work.exprs.int(repeats), work.exprs.int(0));
                let place = work.exprs.binary(Binary::Mod, point, repeats);
                first_of = Some(work.exprs.binary(Binary::Eq, place, zero));
            }
            let unit = divided(work, number, parts);
            let unit = least(work, unit, units - 1);
            at.extend(unflatten(&mut work.exprs, outer, unit));
            let parts_at = work.exprs.int(parts);
            part = (work.exprs.binary(Binary::Mod, number, parts_at), parts);
        } else {
            let split = (1..=axis).find(|k| outer[..*k].iter().product::<i64>() >= points).unwrap_or(axis) - 1;
            let before: i64 = outer[..split].iter().product();
            let parts = points / before;
            let number = least(work, point, before * parts - 1);
            let lead = divided(work, number, parts);
            at.extend(unflatten(&mut work.exprs, &outer[..split], lead));
            let parts_at = work.exprs.int(parts);
            let inside = work.exprs.binary(Binary::Mod, number, parts_at);
            let rows = (outer[split] + parts - 1) / parts;
            let (rows_at, row) = (work.exprs.int(rows), work.var(rows));
            let start = work.exprs.mul(inside, rows_at);
            let start = least(work, start, outer[split] - rows);
            let row_at = work.exprs.var(row);
            at.push(work.exprs.add(start, row_at));
            loops.push((row, rows));
            for extent in &outer[split + 1..] {
                let var = work.var(*extent);
                at.push(work.exprs.var(var));
                loops.push((var, *extent));
            }
        }
        let mut index: Vec<ExprId> = Vec::new();
        for (at, before) in at.into_iter().zip(&around.before) {
            let before = work.exprs.int(*before);
            index.push(work.exprs.add(at, before));
        }
        index.resize(shape.len(), work.exprs.int(0));
        let base = flatten(&mut work.exprs, shape, &index);
        let mut stores = Vec::new();
        for (first, run) in slabs {
            let (part, parts) = part;
            let width = (run + parts - 1) / parts;
            let (first, width_at) = (work.exprs.int(first), work.exprs.int(width));
            let start = work.exprs.mul(part, width_at);
            let start = least(work, start, run - width);
            let var = work.var(width);
            let lane = work.exprs.var(var);
            let index = [base, first, start, lane].into_iter().reduce(|a, b| work.exprs.add(a, b)).unwrap_or(base);
            let index = simplify_all(&mut work.exprs, &[index], &work.extents)[0];
            stores.push(Stmt::For { var, extent: width, kind, body: vec![Stmt::Store { place, index, value, guard: first_of }] });
        }
        body.extend(nested(&loops, LoopKind::Serial, stores));
    }
    body
}

fn has_vectors(body: &[Stmt]) -> bool {
    body.iter().any(|stmt| matches!(stmt, Stmt::For { kind, body, .. } if *kind == LoopKind::Vector || has_vectors(body)))
}

fn least(work: &mut Work<'_>, a: ExprId, most: i64) -> ExprId {
    let most = work.exprs.int(most);
    work.exprs.binary(Binary::Min, a, most)
}

fn divided(work: &mut Work<'_>, a: ExprId, by: i64) -> ExprId {
    let by = work.exprs.int(by);
    work.exprs.binary(Binary::FloorDiv, a, by)
}

/// The longest even block of a row that is not too long, or the row.
fn block(extent: i64) -> i64 {
    if extent <= MAP_BLOCK {
        return extent;
    }
    (MAP_BLOCK / 8..=MAP_BLOCK).rev().find(|b| extent % b == 0).unwrap_or(extent)
}

/// Has an expression index arithmetic beyond sums and products?
fn divides(exprs: &Exprs, roots: &[ExprId]) -> bool {
    exprs.reachable(roots).into_iter().any(|id| exprs.dtype(id) == DType::I64 && matches!(exprs.get(id), Expr::Binary(Binary::FloorDiv | Binary::Mod, ..)))
}

/// Variables for a nest's axes, the axes of each group as one: the group's own variable, split up by division.
fn grouped(work: &mut Work<'_>, extents: &[i64], groups: &[Vec<usize>]) -> (Vec<(Var, i64)>, Vec<ExprId>) {
    let zero = work.exprs.int(0);
    let mut axes = vec![zero; extents.len()];
    let mut vars = Vec::new();
    for group in groups {
        let shape: Vec<i64> = group.iter().map(|k| extents[*k]).collect();
        let extent: i64 = shape.iter().product();
        let var = work.var(extent);
        vars.push((var, extent));
        let flat = work.exprs.var(var);
        let parts = unflatten(&mut work.exprs, &shape, flat);
        for (k, part) in group.iter().zip(parts) {
            axes[*k] = part;
        }
    }
    (vars, axes)
}

fn float_ops(fused: &Fused, roots: &[ExprId]) -> u64 {
    fused.exprs.reachable(roots).into_iter().filter(|id| fused.exprs.dtype(*id).is_float() && matches!(fused.exprs.get(*id), Expr::Unary(..) | Expr::Binary(..) | Expr::Fma(..))).count() as u64
}

/// A nest without reduction of which one expression after the other is computed along some axes, see [`Fused::phases`]: all of them at a point of
/// the other axes, so that what they share is read and computed once. None where no vectors lie along another axis.
fn phased(work: &mut Work<'_>, member: &Member, region: &Region, phases: &[(usize, i64)]) -> Option<Piece> {
    let fused = &member.fused;
    // Blocks of one axis may follow each other.
    let (axis, count) = *phases.iter().find(|(axis, count)| region.extents[*axis] != *count).or(phases.first())?;
    let within: Vec<usize> = phases.iter().map(|(other, _)| *other).filter(|other| *other != axis).collect();
    if phases.iter().any(|(other, count)| *other != axis && region.extents[*other] != *count) {
        return None;
    }
    let extent = region.extents[axis];
    let wide: Vec<usize> = (0..fused.extents.len()).filter(|k| region.extents[*k] != 1 && *k != axis && !within.contains(k)).collect();
    let (vectors, others) = wide.split_last().filter(|(last, _)| phases.iter().all(|(axis, _)| axis < *last))?;
    let groups: Vec<Vec<usize>> = others.iter().map(|k| vec![*k]).collect();
    let (mut parallel, others) = grouped(work, &region.extents, &groups);
    // The innermost of the other loops is done by one grid point, which would have too little to do otherwise.
    let serial = if parallel.len() > 1 || region.extents[*vectors] < LONG_VECTORS { parallel.pop() } else { None };
    let place = work.destination(member);
    let mut body = Vec::new();
    for (first, blocks, phases) in [(0, extent / count, count), (extent / count * count, 1, extent % count)] {
        if blocks * phases == 0 {
            continue;
        }
        let (block, phase, lane) = (work.var(blocks), work.var(phases), work.var(region.extents[*vectors]));
        let mut unrolled = vec![(phase, phases)];
        let (first, count) = (work.exprs.int(first), work.exprs.int(count));
        let (at, row) = (work.exprs.var(block), work.exprs.var(phase));
        let at = work.exprs.mul(at, count);
        let at = work.exprs.add(at, row);
        let mut axes = others.clone();
        axes[axis] = work.exprs.add(first, at);
        for other in &within {
            axes[*other] = work.counted(&mut unrolled, region.extents[*other]);
        }
        axes[*vectors] = work.exprs.var(lane);
        let axes = region.place(work, &axes);
        let value = work.import(fused, &[fused.value], &axes, None)[0];
        let index = work.store_index(member, &axes);
        let store = Stmt::Store { place, index, value, guard: None };
        let rows = nested(&unrolled, LoopKind::Unrolled, vec![store]);
        let vectors = nested(&[(lane, region.extents[*vectors])], LoopKind::Vector, rows);
        body.extend(nested(&[(block, blocks)], LoopKind::Serial, vectors));
    }
    let body = nested(&Vec::from_iter(serial), LoopKind::Serial, body);
    let flops = fused.extents.iter().product::<i64>() as u64 * float_ops(fused, &[fused.value]) / phases.iter().map(|(_, count)| *count as u64).product::<u64>().max(1);
    Some(Piece { parallel, body, flops })
}

/// A nest without reduction whose last axis is short and lies apart in what is read (channels that become the last axis), while the
/// axis before it lies side by side: vectors run along that one.
fn interleaved(work: &mut Work<'_>, member: &Member, region: &Region, wide: &[usize]) -> Option<Piece> {
    const SHORT: i64 = 4;
    const LONG: i64 = 16;
    let fused = &member.fused;
    let [outer @ .., long, short] = wide else { return None };
    if region.extents[*short] > SHORT || region.extents[*long] < LONG {
        return None;
    }
    let before = work.clone();
    let mut axes = vec![work.exprs.int(0); fused.extents.len()];
    let mut parallel = Vec::new();
    for k in outer {
        axes[*k] = work.counted(&mut parallel, region.extents[*k]);
    }
    let (split, (row, width)) = work.split(region.extents[*long]);
    let (channel, channels) = (work.var(region.extents[*short]), region.extents[*short]);
    axes[*long] = work.position(&split, row, width);
    axes[*short] = work.exprs.var(channel);
    parallel.extend(split);
    let axes = region.place(work, &axes);
    let place = work.destination(member);
    let value = work.import(fused, &[fused.value], &axes, None)[0];
    let index = work.store_index(member, &axes);
    let along = |var: Var| strides(&work.exprs, value, var);
    let beside = |strides: &[i64]| strides.iter().all(|stride| (0..=1).contains(stride));
    if divides(&work.exprs, &[value, index]) || !along(row).is_some_and(|s| beside(&s)) || along(channel).is_none_or(|s| beside(&s)) {
        *work = before;
        return None;
    }
    let flops = fused.extents.iter().product::<i64>() as u64 * float_ops(fused, &[fused.value]);
    let rows = Stmt::For { var: row, extent: width, kind: LoopKind::Vector, body: vec![Stmt::Store { place, index, value, guard: None }] };
    let body = vec![Stmt::For { var: channel, extent: channels, kind: LoopKind::Unrolled, body: vec![rows] }];
    Some(Piece { parallel, body, flops })
}

/// A nest without reduction.
fn map(work: &mut Work<'_>, member: &Member, region: &Region) -> Piece {
    let fused = &member.fused;
    let phases = fused.phases();
    if !phases.is_empty()
        && phases.iter().all(|(axis, _)| region.extents[*axis] == fused.extents[*axis])
        && let Some(piece) = phased(work, member, region, &phases)
    {
        return piece;
    }
    let wide: Vec<usize> = (0..fused.extents.len()).filter(|k| region.extents[*k] != 1).collect();
    if let Some(piece) = interleaved(work, member, region, &wide) {
        return piece;
    }
    // As many trailing axes as possible run as one, as long as no index needs a division for it.
    for first in 0..wide.len().max(1) {
        let mut groups: Vec<Vec<usize>> = wide[..first.min(wide.len())].iter().map(|k| vec![*k]).collect();
        groups.push(wide[first.min(wide.len())..].to_vec());
        let before = work.clone();
        let (mut vars, _) = grouped(work, &region.extents, &groups);
        let (inner, extent) = vars.pop().unwrap_or_else(|| (work.var(1), 1));
        // The innermost row is split for the grid.
        let block = block(extent);
        let (inner, parallel) = if block < extent {
            let outer = work.var(extent / block);
            let inside = work.var(block);
            ((inside, block), [vars.clone(), vec![(outer, extent / block)]].concat())
        } else {
            ((inner, extent), vars.clone())
        };
        let at = work.position(if block < extent { &parallel } else { &[] }, inner.0, block);
        let zero = work.exprs.int(0);
        let mut axes = vec![zero; fused.extents.len()];
        for (group, (var, _)) in groups.iter().zip(&vars) {
            axes[group[0]] = work.exprs.var(*var);
        }
        let last = groups.last().cloned().unwrap_or_default();
        let shape: Vec<i64> = last.iter().map(|k| region.extents[*k]).collect();
        let parts = unflatten(&mut work.exprs, &shape, at);
        for (k, part) in last.iter().zip(parts) {
            axes[*k] = part;
        }
        let axes = region.place(work, &axes);
        let place = work.destination(member);
        let value = work.import(fused, &[fused.value], &axes, None)[0];
        let index = work.store_index(member, &axes);
        let merged = last.len() > 1;
        if merged && divides(&work.exprs, &[value, index]) {
            *work = before;
            continue;
        }
        let flops = fused.extents.iter().product::<i64>() as u64 * float_ops(fused, &[fused.value]);
        let body = vec![Stmt::For { var: inner.0, extent: inner.1, kind: LoopKind::Vector, body: vec![Stmt::Store { place, index, value, guard: None }] }];
        return Piece { parallel, body, flops };
    }
    unreachable!("a group of one axis needs no division")
}

/// How far each load of an expression moves with a variable, if all move evenly.
fn strides(exprs: &Exprs, root: ExprId, var: Var) -> Option<Vec<i64>> {
    exprs
        .reachable(&[root])
        .into_iter()
        .filter_map(|id| match exprs.get(id) {
            Expr::Load { index, .. } => Some(Affine::of(exprs, index[0]).map(|form| form.coefficient(var))),
            _ => None,
        })
        .collect()
}

fn identity(work: &mut Work<'_>, combine: Combine, dtype: DType) -> ExprId {
    work.exprs.constant(combine.identity(dtype), dtype)
}

/// Wraps statements in loops, the first variable outermost.
fn nested(vars: &[(Var, i64)], kind: LoopKind, body: Vec<Stmt>) -> Vec<Stmt> {
    vars.iter().rev().fold(body, |body, (var, extent)| vec![Stmt::For { var: *var, extent: *extent, kind, body }])
}

/// A nest with reduction that is not worth tiles.
fn reduction(work: &mut Work<'_>, member: &Member, region: &Region, target: &Target) -> Piece {
    let fused = &member.fused;
    let dtype = fused.exprs.dtype(fused.value);
    let lanes = i64::from(target.lanes(dtype)).max(1);
    let order = order(work.graph, fused, target);
    let by_rows = order != Order::Sequential;
    let flops = fused.extents.iter().chain(&fused.reduce).product::<i64>() as u64 * (1 + float_ops(fused, &[fused.value]));
    let parted = !by_rows && is_long_sum(fused);
    // Reduced axes run as one if no index needs a division for it, or if the order of the sum is that.
    for merged in [true, false] {
        let forced = order == Order::Vectors { merged };
        if by_rows && !forced || parted && merged {
            continue;
        }
        let before = work.clone();
        let Loops { mut outer, inner: mut loops, mut axes, reduced, wide } = Loops::new(work, fused, region, merged);
        let parts = if parted { parts(work, &mut loops, &mut axes) } else { Vec::new() };
        let place = work.destination(member);
        let placed = region.place(work, &axes);
        let value = work.import(fused, &[fused.value], &placed, None)[0];
        if merged && !forced && loops.len() < reduced && divides(&work.exprs, &[value]) {
            *work = before;
            continue;
        }
        let columns = outer.last().is_some_and(|(_, extent)| *extent >= lanes.min(COLUMNS)) && !by_rows;
        let start = identity(work, fused.combine, dtype);
        if !columns {
            let tile = work.tile(dtype, 1, Space::Registers);
            let sum = if parted { work.tile(dtype, 1, Space::Registers) } else { tile };
            let zero = work.exprs.int(0);
            let joined = work.exprs.load(sum, dtype, vec![zero]);
            let result = work.import(fused, &[fused.result()], &placed, Some(joined))[0];
            let index = work.store_index(member, &placed);
            let step = vec![Stmt::Accumulate { place: tile, index: zero, combine: fused.combine, value }];
            let step = match loops.split_last() {
                Some(((var, extent), rest)) => nested(rest, LoopKind::Serial, vec![Stmt::For { var: *var, extent: *extent, kind: if by_rows { LoopKind::Vector } else { LoopKind::Serial }, body: step }]),
                None => step,
            };
            let clear = |place: Source| Stmt::Store { place, index: zero, value: start, guard: None };
            let mut body = [vec![clear(tile)], step].concat();
            if parted {
                let part = work.exprs.load(tile, dtype, vec![zero]);
                body.push(Stmt::Accumulate { place: sum, index: zero, combine: fused.combine, value: part });
                body = [vec![clear(sum)], nested(&parts, LoopKind::Serial, body)].concat();
            }
            body.push(Stmt::Store { place, index, value: result, guard: None });
            return Piece { parallel: outer, body, flops };
        }
        // Vectors along the last output axis, a block of it at a time; the last block overlaps the one before.
        let Some((_, extent)) = outer.pop() else { continue };
        let long = (0..loops.len()).find(|k| loops[*k..].iter().map(|(_, extent)| extent).product::<i64>() <= MAX_UNROLLED).unwrap_or(loops.len());
        let points = outer.last().copied().filter(|_| long < loops.len() && shares(fused, wide[wide.len() - 2]));
        let (rows, vectors) = points.map_or((1, 4), |(_, extent)| (shared_points(extent, target), 1));
        let width = if extent <= vectors * lanes { extent } else { vectors * lanes };
        let blocks = (extent + width - 1) / width;
        let first = match points {
            Some((_, extent)) => {
                outer.pop();
                let block = work.var((extent + rows - 1) / rows);
                outer.push((block, (extent + rows - 1) / rows));
                Some(overlapped(work, block, rows, extent))
            }
            None => None,
        };
        let base = if blocks > 1 {
            let block = work.var(blocks);
            outer.push((block, blocks));
            overlapped(work, block, width, extent)
        } else {
            work.exprs.int(0)
        };
        let tile = work.tile(dtype, rows * width, Space::Registers);
        let sum = if parted { work.tile(dtype, rows * width, Space::Registers) } else { tile };
        let mut vector = |make: &mut dyn FnMut(&mut Work<'_>, ExprId, &[ExprId]) -> Stmt| {
            let (row, var) = (work.var(rows), work.var(width));
            let (point, lane) = (work.exprs.var(row), work.exprs.var(var));
            let mut axes = axes.clone();
            axes[wide[wide.len() - 1]] = work.exprs.add(base, lane);
            if let Some(first) = first {
                axes[wide[wide.len() - 2]] = work.exprs.add(first, point);
            }
            let axes = region.place(work, &axes);
            let widths = work.exprs.int(width);
            let at = work.exprs.mul(point, widths);
            let at = work.exprs.add(at, lane);
            let body = vec![Stmt::For { var, extent: width, kind: LoopKind::Vector, body: vec![make(work, at, &axes)] }];
            Stmt::For { var: row, extent: rows, kind: LoopKind::Unrolled, body }
        };
        let mut clear = |place: Source| vector(&mut |_, lane, _| Stmt::Store { place, index: lane, value: start, guard: None });
        let clear = [clear(tile), clear(sum)];
        let step = vector(&mut |work, lane, axes| {
            let value = work.import(fused, &[fused.value], axes, None)[0];
            Stmt::Accumulate { place: tile, index: lane, combine: fused.combine, value }
        });
        let join = vector(&mut |work, lane, _| {
            let part = work.exprs.load(tile, dtype, vec![lane]);
            Stmt::Accumulate { place: sum, index: lane, combine: fused.combine, value: part }
        });
        let finish = vector(&mut |work, lane, axes| {
            let joined = work.exprs.load(sum, dtype, vec![lane]);
            let value = work.import(fused, &[fused.result()], axes, Some(joined))[0];
            let index = work.store_index(member, axes);
            Stmt::Store { place, index, value, guard: None }
        });
        let [clear, clear_sum] = clear;
        let mut body = vec![clear];
        body.extend(nested(&loops[..long], LoopKind::Serial, nested(&loops[long..], LoopKind::Unrolled, vec![step])));
        if parted {
            body.push(join);
            body = [vec![clear_sum], nested(&parts, LoopKind::Serial, body)].concat();
        }
        body.push(finish);
        return Piece { parallel: outer, body, flops };
    }
    unreachable!("axes that are not merged need no division")
}

/// Is a reduction a sum of so many floats, one after the other, that it is more exact in parts? The error of a sum grows with the
/// number of its steps, that of one in parts with the number of parts and of steps of a part (Higham, The Accuracy of Floating Point
/// Summation, 1993).
fn is_long_sum(fused: &Fused) -> bool {
    fused.combine == Combine::Sum && fused.exprs.dtype(fused.value).is_float() && fused.reduce.iter().product::<i64>() > LONG_SUM
}

/// Takes from the loops of a sum those over its parts, of which there are about as many as steps in a part. A single loop becomes two if
/// its extent can be divided.
fn parts(work: &mut Work<'_>, loops: &mut Vec<(Var, i64)>, axes: &mut [ExprId]) -> Vec<(Var, i64)> {
    if let [(var, extent)] = loops[..] {
        let count = (1..=extent.isqrt()).rev().find(|count| extent % count == 0).unwrap_or(1);
        let (outer, inner) = (work.var(count), work.var(extent / count));
        let (whole, part, steps, step) = (work.exprs.var(var), work.exprs.var(outer), work.exprs.int(extent / count), work.exprs.var(inner));
        let first = work.exprs.mul(part, steps);
        let at = work.exprs.add(first, step);
        axes.iter_mut().filter(|_| count > 1).for_each(|axis| *axis = replace(work, *axis, whole, at));
        if count == 1 {
            return Vec::new();
        }
        *loops = vec![(inner, extent / count)];
        return vec![(outer, count)];
    }
    let steps = |loops: &[(Var, i64)]| loops.iter().map(|(_, extent)| extent).product::<i64>();
    let first = (1..loops.len()).min_by_key(|k| steps(&loops[..*k]).max(steps(&loops[*k..]))).unwrap_or(0);
    let rest = loops.split_off(first);
    std::mem::replace(loops, rest)
}

/// Does a reduction join, at each of the points along an axis, what partly is the same for all of them (a window's weights)?
pub(super) fn shares(fused: &Fused, axis: usize) -> bool {
    fused.exprs.reachable(&[fused.value]).into_iter().any(|id| match fused.exprs.get(id) {
        Expr::Load { index, .. } => !index.iter().any(|index| depends(&fused.exprs, *index, Var(axis as u32))),
        _ => false,
    })
}

/// How many points along an axis are done together, which share what they read: as many as a quarter of the registers, and as few more
/// than there are as may be.
fn shared_points(extent: i64, target: &Target) -> i64 {
    let most = (i64::from(target.vector_registers) / 4).max(1);
    let blocks = (extent + most - 1) / most;
    (extent + blocks - 1) / blocks.max(1)
}

/// `min(block * width, extent - width)`: where a block starts, the last one overlapping the one before it. Points in both
/// are computed twice, to the same bits.
fn overlapped(work: &mut Work<'_>, block: Var, width: i64, extent: i64) -> ExprId {
    let (var, wide, last) = (work.exprs.var(block), work.exprs.int(width), work.exprs.int(extent - width));
    let start = work.exprs.mul(var, wide);
    if extent % width == 0 { start } else { work.exprs.binary(Binary::Min, start, last) }
}

/// Where there are fewer panels than this, blocks of rows are done by different threads, too.
const FEW_PANELS: i64 = 16;

/// How many steps of a sum are done at a time: those of the last axes (a window's), as long as they are few, or a divisor of the
/// last axis.
fn unrolled_steps(reduce: &[i64]) -> i64 {
    const MOST: i64 = 9;
    let mut steps = 1;
    for extent in reduce.iter().rev() {
        if steps * extent > MOST {
            break;
        }
        steps *= extent;
    }
    let last = reduce.iter().rev().copied().find(|extent| *extent > 1).unwrap_or(1);
    if steps > 1 { steps } else { [4, 3, 2, 5, 7].into_iter().find(|divisor| last % divisor == 0).unwrap_or(1) }
}

/// The steps of a sum over several axes, some at a time.
struct Steps {
    /// The loops over what is not done at a time.
    loops: Vec<(Var, i64)>,
    /// The loop over what is.
    some: (Var, i64),
    /// The index along each axis.
    axes: Vec<ExprId>,
    /// The number of the step.
    flat: ExprId,
}

impl Steps {
    fn new(work: &mut Work<'_>, reduce: &[i64]) -> Self {
        let steps = unrolled_steps(reduce);
        // Of the axes that are done at a time in part, the last has what is left over.
        let first = (0..=reduce.len()).rev().find(|first| reduce[*first..].iter().product::<i64>() % steps == 0).unwrap_or(0);
        let mut loops = Vec::new();
        let mut axes: Vec<ExprId> = reduce[..first].iter().map(|extent| work.counted(&mut loops, *extent)).collect();
        let outer = work.counted(&mut loops, reduce[first..].iter().product::<i64>() / steps);
        let some = work.var(steps);
        let (inner, steps_at) = (work.exprs.var(some), work.exprs.int(steps));
        let begin = work.exprs.mul(outer, steps_at);
        let at = work.exprs.add(begin, inner);
        let together = work.exprs.int(reduce[first..].iter().product());
        let before = flatten(&mut work.exprs, &reduce[..first], &axes);
        let before = work.exprs.mul(before, together);
        let flat = work.exprs.add(before, at);
        axes.extend(unflatten(&mut work.exprs, &reduce[first..], at));
        Self { loops, some: (some, steps), axes, flat }
    }
}

/// A sum of products. Parallel: batch axes and panels of the vector operand. Each stages its panel (unless it was
/// packed at compile time) and runs register tiles over all rows. Rows that are constants are packed, too: what one step reads of
/// them lies side by side, and not in cache lines that displace each other.
fn contraction(work: &mut Work<'_>, member: &Member, region: &Region, target: &Target, roles: &Contraction) -> Option<Piece> {
    let fused = &member.fused;
    let rank = fused.extents.len();
    let dtype = fused.exprs.dtype(fused.value);
    let all: Vec<i64> = region.extents.iter().chain(&fused.reduce).copied().collect();
    let size = |axes: &[usize]| axes.iter().map(|k| all[*k]).product::<i64>();
    if !CONTRACTED.contains(&dtype) {
        return None;
    }
    // A constant is packed whole, so the region must not cut it.
    let whole = |operand: ExprId| (0..rank).all(|k| region.extents[k] == fused.extents[k] || !depends(&fused.exprs, operand, Var(k as u32)));
    let constant_rows = size(&roles.m) > 1 && whole(roles.scalar) && is_constant(work.graph, fused, roles.scalar);
    // Products of bytes are summed four at a time.
    let words = if target.dots() { Words::of(work, fused, &all, roles, target, &whole) } else { None };
    let (roles, Tile { rows, width, .. }, direct) = match &words {
        Some((roles, tile, _)) => (roles.clone(), *tile, false),
        None => {
            let mut ways = ways(work, member, &all, roles, target, constant_rows);
            let Way { roles, tile, direct, .. } = ways.swap_remove(work.choose(&ways));
            (roles, tile, direct)
        }
    };
    let (roles, words) = (&roles, words.map(|(_, _, words)| words));
    let (m, n) = (size(&roles.m), size(&roles.n));
    let mut summed = fused.reduce.clone();
    if let Some(words) = &words {
        summed[words.along] /= 4;
    }
    let depth = summed.iter().product::<i64>();
    let reduced: Vec<usize> = (0..fused.reduce.len()).map(|k| rank + k).collect();
    let columns = Blocks::new(fused, roles, widened(work.graph, fused, roles.vector).unwrap_or(roles.vector), &roles.n, n, width);
    let row_blocks = Blocks::new(fused, roles, roles.scalar, &roles.m, m, rows);
    let panels = columns.count;
    let packed = match &words {
        Some(words) => Some(words.packed.clone()),
        None if whole(roles.vector) => pack(work.graph, fused, &columns),
        None => None,
    };
    if m == 1 && packed.is_none() {
        return None;
    }
    let packed_rows = if constant_rows && packed.is_none() { pack(work.graph, fused, &row_blocks) } else { None };

    let place = work.destination(member);
    let groups: Vec<Vec<usize>> = roles.batch.iter().map(|k| vec![*k]).collect();
    let (mut parallel, mut axes) = grouped(work, &all, &groups);
    let panel = work.var(panels);
    let batch = parallel.clone();
    parallel.push((panel, panels));
    // Columns: a panel's start and a lane.
    let column = work.var(width);
    let base = overlapped(work, panel, width, n);
    let lane = work.exprs.var(column);
    let at_n = work.exprs.add(base, lane);
    assign(work, &mut axes, &all, &roles.n, at_n);
    // Rows: a block's start and a row.
    let (block, row) = (work.var(row_blocks.count), work.var(rows));
    let start = overlapped(work, block, rows, m);
    let row_at = work.exprs.var(row);
    let at_m = work.exprs.add(start, row_at);
    assign(work, &mut axes, &all, &roles.m, at_m);
    // Rows are broadcast some steps of the sum at a time.
    let Steps { loops: several, some: (k, steps), axes: steps_at, flat: k_at } = Steps::new(work, &summed);
    let depth_at = work.exprs.int(depth);
    let mut row_axes = axes.clone();
    row_axes.splice(rank.., steps_at.iter().copied());
    let scalar = match (packed_rows, &words) {
        (_, Some(words)) => {
            let four = work.exprs.int(4);
            row_axes[rank + words.along] = work.exprs.mul(row_axes[rank + words.along], four);
            let row_axes = region.place(work, &row_axes);
            words.broadcast(work, fused, &row_axes)
        }
        (Some(tensor), None) => {
            let dtype = tensor.dtype();
            let place = work.place(Place { dtype, elems: tensor.elems() as i64, space: Space::Input }, Some(Operand::Packed(tensor)));
            let first = packed_block(work, &row_blocks, roles, &batch, &all, block);
            let first = work.exprs.mul(first, depth_at);
            let step = work.exprs.add(first, k_at);
            let rows_at = work.exprs.int(rows);
            let first = work.exprs.mul(step, rows_at);
            let index = work.exprs.add(first, row_at);
            work.exprs.load(place, dtype, vec![index])
        }
        (None, None) => {
            let row_axes = region.place(work, &row_axes);
            work.import(fused, &[roles.scalar], &row_axes, None)[0]
        }
    };

    let wide = work.exprs.int(width);
    let mut body = Vec::new();
    let element = fused.exprs.dtype(roles.vector);
    // Where a panel's columns follow each other, step by step, if they do.
    let (side_by_side, number) = match packed {
        None if direct => (None, work.exprs.int(0)),
        Some(tensor) => {
            let packed = tensor.dtype();
            let place = Place { dtype: packed, elems: tensor.elems() as i64, space: Space::Input };
            let place = work.place(place, Some(Operand::Packed(tensor)));
            let number = packed_block(work, &columns, roles, &batch, &all, panel);
            let rows = work.exprs.mul(number, depth_at);
            let first = work.exprs.mul(rows, wide);
            if packed == element || row_blocks.count == 1 {
                (Some((place, first)), number)
            } else {
                // It is widened once for all blocks of rows.
                let tile = work.tile(element, depth * width, Space::Scratch);
                let step = work.var(depth);
                let at = work.exprs.var(step);
                let at = work.exprs.mul(at, wide);
                let index = work.exprs.add(at, lane);
                let from = work.exprs.add(first, index);
                let value = work.exprs.load(place, packed, vec![from]);
                let value = work.exprs.cast(element, value);
                let copy = Stmt::For { var: column, extent: width, kind: LoopKind::Vector, body: vec![Stmt::Store { place: tile, index, value, guard: None }] };
                body.extend(nested(&[(step, depth)], LoopKind::Serial, vec![copy]));
                (Some((tile, work.exprs.int(0))), number)
            }
        }
        None => {
            let tile = work.tile(element, depth * width, Space::Scratch);
            let groups: Vec<Vec<usize>> = reduced.iter().filter(|k| all[**k] != 1).map(|k| vec![*k]).collect();
            let (loops, parts) = grouped(work, &all, &groups);
            let mut stage_axes = axes.clone();
            for k in &reduced {
                stage_axes[*k] = parts[*k];
            }
            let placed = region.place(work, &stage_axes);
            let value = work.import(fused, &[roles.vector], &placed, None)[0];
            let flat = flatten(&mut work.exprs, &fused.reduce, &stage_axes[rank..]);
            let scaled = work.exprs.mul(flat, wide);
            let index = work.exprs.add(scaled, lane);
            let index = simplify_all(&mut work.exprs, &[index], &work.extents)[0];
            let copy = Stmt::For { var: column, extent: width, kind: LoopKind::Vector, body: vec![Stmt::Store { place: tile, index, value, guard: None }] };
            body.extend(nested(&loops, LoopKind::Serial, vec![copy]));
            (Some((tile, work.exprs.int(0))), work.exprs.int(0))
        }
    };
    let tile = work.tile(dtype, rows * width, Space::Registers);
    // Each vector loop has a variable of its own.
    let vector_loop = |work: &mut Work<'_>, make: &mut dyn FnMut(&mut Work<'_>, ExprId) -> Stmt| {
        let var = work.var(width);
        let lane = work.exprs.var(var);
        let body = vec![make(work, lane)];
        Stmt::For { var, extent: width, kind: LoopKind::Vector, body }
    };
    let rows_loop = |work: &mut Work<'_>, make: &mut dyn FnMut(&mut Work<'_>, ExprId, ExprId) -> Stmt| {
        let var = work.var(rows);
        let at = work.exprs.var(var);
        let stmt = vector_loop(work, &mut |work, lane| make(work, at, lane));
        Stmt::For { var, extent: rows, kind: LoopKind::Unrolled, body: vec![stmt] }
    };
    let tile_at = |work: &mut Work<'_>, row: ExprId, lane: ExprId| {
        let wide = work.exprs.int(width);
        let scaled = work.exprs.mul(row, wide);
        work.exprs.add(scaled, lane)
    };
    // The point of a row and a lane.
    let point = |work: &mut Work<'_>, row: ExprId, lane: ExprId| {
        let mut own = axes.clone();
        let n_at = work.exprs.add(base, lane);
        let m_at = work.exprs.add(start, row);
        assign(work, &mut own, &all, &roles.n, n_at);
        assign(work, &mut own, &all, &roles.m, m_at);
        region.place(work, &own)
    };
    // What is subtracted from a sum of bytes is so at its beginning.
    let begin = words.as_ref().and_then(|words| {
        let first = work.exprs.mul(number, wide);
        words.begin(work, fused, first)
    });
    let clear = rows_loop(work, &mut |work, row, lane| {
        let index = tile_at(work, row, lane);
        let value = match &begin {
            Some(begin) => {
                let own = point(work, row, lane);
                begin.value(work, fused, &own, lane)
            }
            None => identity(work, fused.combine, dtype),
        };
        Stmt::Store { place: tile, index, value, guard: None }
    });
    let step = rows_loop(work, &mut |work, at_row, lane| {
        let scalar = replace(work, scalar, row_at, at_row);
        let vector = match side_by_side {
            Some((place, first)) => {
                let wide = work.exprs.int(width);
                let scaled = work.exprs.mul(k_at, wide);
                let inner = work.exprs.add(scaled, lane);
                let index = work.exprs.add(first, inner);
                let vector = work.exprs.load(place, work.places[place.0 as usize].dtype, vec![index]);
                work.exprs.cast(element, vector)
            }
            None => {
                let mut own = axes.clone();
                let at = work.exprs.add(base, lane);
                assign(work, &mut own, &all, &roles.n, at);
                own.splice(rank.., steps_at.iter().copied());
                let own = region.place(work, &own);
                work.import(fused, &[roles.vector], &own, None)[0]
            }
        };
        let index = tile_at(work, at_row, lane);
        let value = work.exprs.binary(if words.is_some() { Binary::Dot } else { roles.product }, scalar, vector);
        Stmt::Accumulate { place: tile, index, combine: Combine::Sum, value }
    });
    let finish = rows_loop(work, &mut |work, at_row, at_lane| {
        let index = tile_at(work, at_row, at_lane);
        let joined = work.exprs.load(tile, dtype, vec![index]);
        let own = point(work, at_row, at_lane);
        let value = work.import(fused, &[fused.result()], &own, Some(joined))[0];
        let index = work.store_index(member, &own);
        Stmt::Store { place, index, value, guard: None }
    });
    let some = Stmt::For { var: k, extent: steps, kind: LoopKind::Unrolled, body: vec![step] };
    let mut tiles = vec![clear];
    tiles.extend(nested(&several, LoopKind::Serial, vec![some]));
    tiles.push(finish);
    if body.is_empty() && parallel.iter().map(|(_, extent)| extent).product::<i64>() < FEW_PANELS {
        // Nothing is staged that blocks of rows would share, and threads need points.
        parallel.push((block, row_blocks.count));
        body = tiles;
    } else {
        body.push(Stmt::For { var: block, extent: row_blocks.count, kind: LoopKind::Serial, body: tiles });
    }
    let flops = if roles.product == Binary::DotPairs { 4 } else { 2 } * fused.extents.iter().chain(&fused.reduce).product::<i64>() as u64;
    Some(Piece { parallel, body, flops })
}

/// A sum of products of bytes and a constant, four products at a time: `sum of (x - z) * w` is `sum of x * w` less `z` times the sum of
/// `w`. As the instruction wants `x` unsigned, 128 is added to it where it is signed, and to `z`. All of that is exact, also where i32
/// wraps.
struct Words {
    /// `w`, `[batch, block, depth / 4, width]`, four bytes that follow each other along the sum being one element.
    packed: Tensor,
    /// The sums of `w`, `[batch, block, width]`.
    sums: Tensor,
    /// The axis of the sum along which four follow each other.
    along: usize,
    /// What holds `x`.
    value: ValueId,
    /// Where in it.
    index: Vec<ExprId>,
    /// `z`.
    zero: Option<ExprId>,
    signed: bool,
}

/// What a sum of products of bytes begins with.
struct Begin {
    /// The sums of constants, perhaps times what is constant as well.
    sums: Source,
    /// Where those of a panel begin.
    first: ExprId,
    /// What they are multiplied by at a point, if that is not done yet.
    times: Option<(Option<ExprId>, i64)>,
}

impl Words {
    /// A contraction's operands and their tile, if it is a sum of such products: one operand is constant and fits signed bytes, of
    /// the other four that follow each other along the sum are one word of a buffer.
    fn of(work: &Work<'_>, fused: &Fused, extents: &[i64], roles: &Contraction, target: &Target, whole: &dyn Fn(ExprId) -> bool) -> Option<(Contraction, Tile, Self)> {
        let turned = Contraction { vector: roles.scalar, scalar: roles.vector, n: roles.m.clone(), m: roles.n.clone(), ..roles.clone() };
        [roles, &turned].into_iter().filter(|roles| whole(roles.vector) && is_constant(work.graph, fused, roles.vector)).find_map(|roles| {
            let (load, zero, along) = Self::read(work, fused, roles.scalar)?;
            let Expr::Load { source: Source(value), index, .. } = fused.exprs.get(load) else { return None };
            let (value, signed) = (ValueId(*value), fused.exprs.dtype(load) == DType::I8);
            let size = |axes: &[usize]| axes.iter().map(|k| extents[*k]).product::<i64>();
            let (m, n, depth) = (size(&roles.m), size(&roles.n), fused.reduce.iter().product::<i64>());
            // A tile's rows lie in one row of the last axis, or are whole ones, unless they lie evenly: then where they begin needs no division.
            let last = roles.m.last().map_or(1, |k| extents[*k]);
            let even = matches!(Motion::of(&fused.exprs, &work.shape(value), index, &roles.m, extents), Motion::Even(_));
            let fits = |rows: i64| rows <= MOST_LOOSE_ROWS && (even || m % rows == 0 && (last % rows == 0 || rows % last == 0));
            let tile = Tile::best([m, n, depth / 4], DType::I32, target, fits);
            let blocks = Blocks::new(fused, roles, roles.vector, &roles.n, n, tile.width);
            let (packed, sums) = Self::pack(&pack(work.graph, fused, &blocks)?)?;
            Some((roles.clone(), tile, Self { packed, sums, along, value, index: index.clone(), zero, signed }))
        })
    }

    /// The load of an operand that is read in words, its zero point, and the axis of the sum along which their bytes lie.
    fn read(work: &Work<'_>, fused: &Fused, operand: ExprId) -> Option<(ExprId, Option<ExprId>, usize)> {
        let rank = fused.extents.len();
        let Bytes { load, zero } = Bytes::of(&fused.exprs, operand, rank)?;
        let Expr::Load { source: Source(value), index, .. } = fused.exprs.get(load) else { return None };
        let value = ValueId(*value);
        let written = work.operands.iter().zip(&work.places).any(|(operand, place)| *operand == Some(Operand::Value(value)) && place.space == Space::Output);
        if written || work.held.contains_key(&value) {
            return None;
        }
        let along = (0..fused.reduce.len()).rev().find(|k| fused.reduce[*k] > 1)?;
        let flat = flat_index(work, fused, value, index)?;
        let step = |k: usize| flat.coefficient(Var(k as u32));
        let all = fused.extents.iter().chain(&fused.reduce);
        let aligned = flat.constant % 4 == 0 && all.enumerate().all(|(k, extent)| *extent == 1 || k == rank + along || step(k) % 4 == 0);
        (step(rank + along) == 1 && fused.reduce[along] % 4 == 0 && aligned).then_some((load, zero, along))
    }

    /// Constants as words, and their sums; none where one is no signed byte.
    fn pack(numbers: &Tensor) -> Option<(Tensor, Tensor)> {
        let [batch, blocks, depth, width] = *numbers.extents() else { return None };
        if numbers.dtype() != DType::I32 {
            return None;
        }
        let numbers = numbers.bytes().chunks_exact(4).map(|bytes| i8::try_from(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).ok()).collect::<Option<Vec<i8>>>()?;
        let (mut words, mut sums) = (Vec::with_capacity(numbers.len() / 4), Vec::new());
        for block in numbers.chunks_exact((depth * width) as usize) {
            let mut sum = vec![0i32; width as usize];
            for four in block.chunks_exact(4 * width as usize) {
                for (lane, sum) in sum.iter_mut().enumerate() {
                    let bytes = [0, 1, 2, 3].map(|step| four[step * width as usize + lane]);
                    *sum = bytes.iter().fold(*sum, |sum, byte| sum.wrapping_add(i32::from(*byte)));
                    words.push(i32::from_le_bytes(bytes.map(|byte| byte as u8)));
                }
            }
            sums.extend(sum);
        }
        Some((Tensor::from_slice(&[batch, blocks, depth / 4, width], &words), Tensor::from_slice(&[batch, blocks, width], &sums)))
    }

    /// Four `x` at a point, whose index along the sum is a multiple of 4.
    fn broadcast(&self, work: &mut Work<'_>, fused: &Fused, axes: &[ExprId]) -> ExprId {
        let index = work.import(fused, &self.index, axes, None);
        let extents = work.graph.ty(self.value).shape.extents().unwrap_or_default();
        let flat = flatten(&mut work.exprs, &extents, &index);
        let word = divided(work, flat, 4);
        let word = simplify_all(&mut work.exprs, &[word], &work.extents)[0];
        let source = work.viewed(self.value, DType::I32, Space::Input);
        let word = work.exprs.load(source, DType::I32, vec![word]);
        if !self.signed {
            return word;
        }
        // 128 more is the other sign.
        let signs = work.exprs.constant(Scalar::Int(0x8080_8080), DType::I32);
        work.exprs.binary(Binary::Xor, word, signs)
    }

    /// What the sums of a panel begin with, whose own of constants begin at `first`; none if that is 0.
    fn begin(&self, work: &mut Work<'_>, fused: &Fused, first: ExprId) -> Option<Begin> {
        let more = if self.signed { 128 } else { 0 };
        let zero = match self.zero {
            Some(zero) => {
                let nowhere = vec![work.exprs.int(0); fused.extents.len() + fused.reduce.len()];
                let zero = work.import(fused, &[zero], &nowhere, None)[0];
                work.exprs.as_int(zero)
            }
            None => Some(0),
        };
        let times = zero.map(|zero| -(zero + more) as i32);
        if times == Some(0) {
            return None;
        }
        let sums = match times {
            Some(times) => {
                let sums = self.sums.bytes().chunks_exact(4).map(|bytes| i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).wrapping_mul(times));
                Tensor::from_slice(self.sums.extents(), &sums.collect::<Vec<i32>>())
            }
            None => self.sums.clone(),
        };
        let place = Place { dtype: DType::I32, elems: sums.elems() as i64, space: Space::Input };
        let sums = work.place(place, Some(Operand::Packed(sums)));
        Some(Begin { sums, first, times: if times.is_some() { None } else { Some((self.zero, more)) } })
    }
}

impl Begin {
    /// At a point, in a lane of its panel.
    fn value(&self, work: &mut Work<'_>, fused: &Fused, axes: &[ExprId], lane: ExprId) -> ExprId {
        let index = work.exprs.add(self.first, lane);
        let sum = work.exprs.load(self.sums, DType::I32, vec![index]);
        let Some((Some(zero), more)) = self.times else { return sum };
        let zero = work.import(fused, &[zero], axes, None)[0];
        let more = work.exprs.constant(Scalar::Int(more.into()), DType::I32);
        let shift = work.exprs.add(zero, more);
        let product = work.exprs.mul(shift, sum);
        let nothing = work.exprs.constant(Scalar::Int(0), DType::I32);
        work.exprs.sub(nothing, product)
    }
}

/// The place of an element in a value's buffer, as far as it is affine in a nest's variables.
fn flat_index(work: &Work<'_>, fused: &Fused, value: ValueId, index: &[ExprId]) -> Option<Affine> {
    let mut exprs = fused.exprs.clone();
    let flat = flatten(&mut exprs, &work.graph.ty(value).shape.extents()?, index);
    Affine::of(&exprs, flat)
}

/// The number of a block in a packed operand: there are as many blocks for each batch point that it depends on.
fn packed_block(work: &mut Work<'_>, blocks: &Blocks<'_>, roles: &Contraction, batch: &[(Var, i64)], extents: &[i64], block: Var) -> ExprId {
    let mut flat = work.exprs.int(0);
    for ((var, _), k) in batch.iter().zip(&roles.batch) {
        if blocks.batch.contains(k) {
            let (var, extent) = (work.exprs.var(*var), work.exprs.int(extents[*k]));
            let scaled = work.exprs.mul(flat, extent);
            flat = work.exprs.add(scaled, var);
        }
    }
    let (count, var) = (work.exprs.int(blocks.count), work.exprs.var(block));
    let scaled = work.exprs.mul(flat, count);
    work.exprs.add(scaled, var)
}

/// Sets the indices of axes that run as one.
fn assign(work: &mut Work<'_>, axes: &mut [ExprId], extents: &[i64], group: &[usize], at: ExprId) {
    let shape: Vec<i64> = group.iter().map(|k| extents[*k]).collect();
    let parts = unflatten(&mut work.exprs, &shape, at);
    for (k, part) in group.iter().zip(parts) {
        axes[*k] = part;
    }
}

fn replace(work: &mut Work<'_>, root: ExprId, from: ExprId, to: ExprId) -> ExprId {
    let mut map = std::collections::BTreeMap::new();
    for id in work.exprs.reachable(&[root]) {
        let (expr, dtype) = (work.exprs.get(id).clone(), work.exprs.dtype(id));
        let new = if id == from { to } else { work.exprs.rebuild(&expr, dtype, |child| map[&child]) };
        map.insert(id, new);
    }
    map[&root]
}

fn depends(exprs: &Exprs, root: ExprId, var: Var) -> bool {
    exprs.reachable(&[root]).into_iter().any(|id| *exprs.get(id) == Expr::Var(var))
}

/// Do only constants feed an expression?
pub(super) fn is_constant(graph: &Graph, fused: &Fused, id: ExprId) -> bool {
    fused.exprs.reachable(&[id]).into_iter().all(|id| match fused.exprs.get(id) {
        Expr::Load { source: Source(v), .. } => graph.constant(ValueId(*v)).is_some(),
        _ => true,
    })
}

/// The narrow float that an operand widens, if only constants feed it: it takes less room, and time to read.
fn widened(graph: &Graph, fused: &Fused, operand: ExprId) -> Option<ExprId> {
    let Expr::Cast(narrow) = *fused.exprs.get(operand) else { return None };
    let widens = matches!(fused.exprs.dtype(narrow), DType::F16 | DType::BF16) && matches!(fused.exprs.dtype(operand), DType::F32 | DType::F64);
    (widens && is_constant(graph, fused, narrow)).then_some(narrow)
}

/// A constant of which an expression adds or takes away an element at each point.
struct Term {
    tensor: Tensor,
    flat: Affine,
    taken: bool,
}

/// What an expression adds up, one after the other, if these are elements of constants.
fn terms(graph: &Graph, exprs: &Exprs, id: ExprId) -> Option<Vec<Term>> {
    match exprs.get(id) {
        Expr::Load { source: Source(v), index, guard: None } => {
            let tensor = graph.constant(ValueId(*v))?.clone();
            let mut exprs = exprs.clone();
            let flat = flatten(&mut exprs, tensor.extents(), index);
            Some(vec![Term { flat: Affine::of(&exprs, flat)?, tensor, taken: false }])
        }
        Expr::Binary(op @ (Binary::Add | Binary::Sub), before, last) if exprs.dtype(id) == DType::F32 => {
            let (mut sum, last) = (terms(graph, exprs, *before)?, terms(graph, exprs, *last)?);
            let [last] = <[Term; 1]>::try_from(last).ok()?;
            sum.push(Term { taken: *op == Binary::Sub, ..last });
            Some(sum)
        }
        _ => None,
    }
}

/// An operand of a contraction in blocks of its own axes, the last block overlapping the one before.
struct Blocks<'a> {
    operand: ExprId,
    /// The output axes that only it has.
    own: &'a [usize],
    /// The batch axes that it has.
    batch: Vec<usize>,
    count: i64,
    width: i64,
    /// The extent of all its own axes.
    extent: i64,
}

impl<'a> Blocks<'a> {
    fn new(fused: &Fused, roles: &Contraction, operand: ExprId, own: &'a [usize], extent: i64, width: i64) -> Self {
        let batch = roles.batch.iter().copied().filter(|k| depends(&fused.exprs, operand, Var(*k as u32))).collect();
        Self { operand, own, batch, count: (extent + width - 1) / width, width, extent }
    }
}

/// Lays an operand that only constants feed out in blocks: `[batch, block, depth, width]`.
fn pack(graph: &Graph, fused: &Fused, blocks: &Blocks<'_>) -> Option<Tensor> {
    let shape: Vec<i64> = blocks.batch.iter().map(|k| fused.extents[*k]).collect();
    // At each point of the batch it may be another sum.
    let sums: Option<Vec<Vec<Term>>> = (0..shape.iter().product())
        .map(|point| {
            let mut exprs = Exprs::new();
            let mut vars: Vec<ExprId> = (0..fused.extents.len() + fused.reduce.len()).map(|k| exprs.var(Var(k as u32))).collect();
            let point = exprs.int(point);
            for (k, at) in blocks.batch.iter().zip(unflatten(&mut exprs, &shape, point)) {
                vars[*k] = at;
            }
            let mut load = |e: &mut Exprs, source: Source, dtype: DType, index: Vec<ExprId>, guard: Option<ExprId>| e.add_node(Expr::Load { source, index, guard }, dtype);
            let operand = translate(&fused.exprs, &[Some(blocks.operand)], &mut exprs, &vars, None, &mut load)[0]?;
            terms(graph, &exprs, operand)
        })
        .collect();
    match sums {
        Some(sums) => added(fused, blocks, &sums),
        None => computed(graph, fused, blocks),
    }
}

/// Packs what an expression makes of constants.
fn computed(graph: &Graph, fused: &Fused, blocks: &Blocks<'_>) -> Option<Tensor> {
    let mut operands: Vec<ValueId> = Vec::new();
    for id in fused.exprs.reachable(&[blocks.operand]) {
        if let Expr::Load { source: Source(v), .. } = fused.exprs.get(id) {
            operands.push(ValueId(*v));
        }
    }
    let tensors: Vec<&Tensor> = operands.iter().map(|v| graph.constant(*v)).collect::<Option<_>>()?;
    let shape = |axes: &[usize]| axes.iter().map(|k| fused.extents[*k]).collect::<Vec<i64>>();
    let Blocks { operand, own, batch, count, width, extent } = blocks;
    let extents = [shape(batch).iter().product(), *count, fused.reduce.iter().product(), *width];
    let packed = Compute::map(fused.exprs.dtype(*operand), &extents, |e, at| {
        let mut vars = vec![e.int(0); fused.extents.len() + fused.reduce.len()];
        let (wide, last) = (e.int(*width), e.int(extent - width));
        let first = e.mul(at[1], wide);
        let first = e.binary(Binary::Min, first, last);
        let column = e.add(first, at[3]);
        let reduced: Vec<usize> = (fused.extents.len()..vars.len()).collect();
        let parts = [unflatten(e, &shape(batch), at[0]), unflatten(e, &shape(own), column), unflatten(e, &fused.reduce, at[2])];
        for (k, part) in batch.iter().chain(*own).chain(&reduced).zip(parts.into_iter().flatten()) {
            vars[*k] = part;
        }
        let mut load = |e: &mut Exprs, source: Source, dtype: DType, index: Vec<ExprId>, guard: Option<ExprId>| {
            let operand = operands.iter().position(|v| v.0 == source.0).unwrap_or_default();
            e.add_node(Expr::Load { source: Source(operand as u32), index, guard }, dtype)
        };
        translate(&fused.exprs, &[Some(*operand)], e, &vars, None, &mut load)[0].expect("a value was translated")
    });
    let result = packed.run(&tensors).ok();
    tensors.iter().for_each(|tensor| tensor.release());
    result
}

/// Packs sums of elements of constants, a sum for each point of the batch.
fn added(fused: &Fused, blocks: &Blocks<'_>, sums: &[Vec<Term>]) -> Option<Tensor> {
    let rank = fused.extents.len();
    let Blocks { own, count, width, extent, .. } = blocks;
    let extents: Vec<i64> = fused.extents.iter().chain(&fused.reduce).copied().collect();
    let offsets = |term: &Term, axes: &[usize]| -> Vec<i64> {
        let step = |k: usize| term.flat.coefficient(Var(k as u32));
        axes.iter().fold(vec![0], |offsets, k| offsets.iter().flat_map(|o| (0..extents[*k]).map(move |i| o + i * step(*k))).collect())
    };
    let summed: Vec<usize> = (rank..extents.len()).collect();
    let dtype = sums.first()?.first()?.tensor.dtype();
    let (size, depth, wide) = (dtype.size(), fused.reduce.iter().product::<i64>() as usize, *width as usize);
    let elems = sums.len() * *count as usize * depth * wide;
    let mut data = AlignedBytes::zeroed(elems.checked_mul(size)?).ok()?;
    let mut panels = data.as_mut_slice().chunks_mut((depth * wide * size).max(1));
    let number = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes);
    for sum in sums {
        let places: Vec<(Vec<i64>, Vec<i64>)> = sum.iter().map(|term| (offsets(term, &summed), offsets(term, own))).collect();
        for (block, panel) in (0..*count).zip(&mut panels) {
            let first = (block * width).min(extent - width) as usize;
            for (at, (term, (rows, columns))) in sum.iter().zip(&places).enumerate() {
                let columns = &columns[first..first + wide];
                let beside = columns.windows(2).all(|pair| pair[1] == pair[0] + 1);
                let from = term.tensor.bytes();
                let join = |to: &mut [u8], from: &[u8]| {
                    if at == 0 {
                        to.copy_from_slice(from);
                        return;
                    }
                    for (to, from) in to.as_chunks_mut::<4>().0.iter_mut().zip(from.as_chunks::<4>().0) {
                        *to = if term.taken { number(to) - number(from) } else { number(to) + number(from) }.to_le_bytes();
                    }
                };
                for (row, to) in rows.iter().zip(panel.chunks_mut((wide * size).max(1))) {
                    let base = term.flat.constant + row;
                    if beside {
                        let start = (base + columns[0]) as usize * size;
                        join(to, &from[start..start + wide * size]);
                    } else {
                        for (column, to) in columns.iter().zip(to.chunks_mut(size)) {
                            let start = (base + column) as usize * size;
                            join(to, &from[start..start + size]);
                        }
                    }
                }
            }
        }
    }
    sums.iter().flatten().for_each(|term| term.tensor.release());
    let shape = [sums.len() as i64, *count, depth as i64, *width];
    Tensor::from_bytes(dtype, &shape, data).ok()
}
