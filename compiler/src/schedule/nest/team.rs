//! Schedules for targets whose grid points are run by teams of threads (GPUs).
//!
//! In: a nest, or a region of it. Out: a [`Piece`], in which the iterations of a vector loop are the team's threads, register
//! tiles are what each thread holds, and scratch is what the team shares. Must not know: emitters.
//!
//! A nest alone has one grid point per point of a map, or of a reduction whose points are many; then a thread does it all.
//! Where what is reduced lies in a row, a team does a point, its threads taking turns along the row; where the points lie in a
//! row and are few, a team does some columns in slices. A sum of products is done in tiles: both operands are staged in
//! scratch, a slab of the sum at a time, and each thread keeps a small tile of results. Where there are few tiles, the team's
//! threads do slices of the sum, which are joined in order at the end.

use frit_ir::affine::Affine;
use frit_ir::expr::{Expr, ExprId, Var};
use frit_ir::loops::{LoopKind, Space, Stmt};
use frit_ir::scalar::Binary;
use frit_ir::vector::Target;

use super::super::contraction::{CONTRACTED, Contraction};
use super::super::group::Member;
use super::{MAX_UNROLLED, Piece, Region, Work, assign, float_ops, grouped, identity, least, strides};

/// Rows of fewer elements are reduced by one thread.
const MIN_ROW: i64 = 16;
/// Columns of fewer elements are reduced by one thread.
const MIN_COLUMN: i64 = 64;
/// Columns that a team reduces at once, and in how many slices.
const COLUMNS: i64 = 32;
const SLICES: i64 = 8;
/// Threads that read four elements side by side do so at once.
const WIDE: i64 = 4;

/// What a nest does. `alone`: its parallel loops will be the grid.
pub(super) fn piece(work: &mut Work<'_>, member: &Member, region: &Region, target: &Target, alone: bool) -> Piece {
    let fused = &member.fused;
    if fused.root.is_none() {
        return map(work, member, region, alone);
    }
    if alone
        && CONTRACTED.contains(&fused.exprs.dtype(fused.value))
        && let Some(roles) = Contraction::find(&fused.exprs, fused.value, &region.extents, &fused.reduce, fused.combine)
        && roles.m.iter().any(|k| region.extents[*k] > 1)
    {
        return contraction(work, member, region, target, &roles);
    }
    let points: i64 = region.extents.iter().product();
    let steps: i64 = fused.reduce.iter().product();
    let (rank, value) = (fused.extents.len(), fused.value);
    let in_rows = side_by_side(work, member, region, value, rank..rank + fused.reduce.len()) && !side_by_side(work, member, region, value, 0..rank);
    let few = points < COLUMNS * i64::from(target.points);
    match (alone, in_rows) {
        (true, true) if steps >= MIN_ROW => by_rows(work, member, region),
        (true, _) if few && steps >= MIN_COLUMN => if points >= COLUMNS { by_columns(work, member, region) } else { by_rows(work, member, region) },
        (false, _) if steps > points && steps >= MIN_ROW => by_rows(work, member, region),
        _ => by_points(work, member, region, alone),
    }
}

/// A loop over the team's threads.
fn threads((var, extent): (Var, i64), body: Vec<Stmt>) -> Stmt {
    Stmt::For { var, extent, kind: if extent == 1 { LoopKind::Serial } else { LoopKind::Vector }, body }
}

fn unrolled(var: Var, extent: i64, body: Vec<Stmt>) -> Stmt {
    Stmt::For { var, extent, kind: LoopKind::Unrolled, body }
}

/// Floating-point operations of a reduction.
fn flops(member: &Member) -> u64 {
    let fused = &member.fused;
    fused.extents.iter().chain(&fused.reduce).product::<i64>() as u64 * (1 + float_ops(fused, &[fused.value]))
}

/// A nest without reduction: a thread does a point.
fn map(work: &mut Work<'_>, member: &Member, region: &Region, alone: bool) -> Piece {
    let fused = &member.fused;
    let (vars, axes) = grouped(work, &region.extents, &[(0..region.extents.len()).collect()]);
    let placed = region.place(work, &axes);
    let place = work.destination(member);
    let value = work.import(fused, &[fused.value], &placed, None)[0];
    let index = work.store_index(member, &placed);
    let store = Stmt::Store { place, index, value, guard: None };
    let flops = fused.extents.iter().product::<i64>() as u64 * float_ops(fused, &[fused.value]);
    if alone { Piece { parallel: vars, body: vec![store], flops } } else { Piece { parallel: Vec::new(), body: vec![threads(vars[0], vec![store])], flops } }
}

/// A thread reduces a point.
fn by_points(work: &mut Work<'_>, member: &Member, region: &Region, alone: bool) -> Piece {
    let fused = &member.fused;
    let rank = region.extents.len();
    let all: Vec<i64> = region.extents.iter().chain(&fused.reduce).copied().collect();
    let groups: Vec<Vec<usize>> = std::iter::once((0..rank).collect()).chain((rank..all.len()).map(|k| vec![k])).collect();
    let (mut outer, axes) = grouped(work, &all, &groups);
    let inner = outer.split_off(1);
    let placed = region.place(work, &axes);
    let dtype = fused.exprs.dtype(fused.value);
    let single = alone || outer[0].1 == 1;
    let (tile, own) = if single { (work.tile(dtype, 1, Space::Registers), work.exprs.int(0)) } else { (work.tile(dtype, outer[0].1, Space::Registers), work.exprs.var(outer[0].0)) };
    let start = identity(work, fused.combine, dtype);
    let value = work.import(fused, &[fused.value], &placed, None)[0];
    let joined = work.exprs.load(tile, dtype, vec![own]);
    let result = work.import(fused, &[fused.result()], &placed, Some(joined))[0];
    let place = work.destination(member);
    let index = work.store_index(member, &placed);
    let short = inner.iter().map(|(_, extent)| extent).product::<i64>() <= MAX_UNROLLED;
    let step = vec![Stmt::Accumulate { place: tile, index: own, combine: fused.combine, value }];
    let mut body = vec![Stmt::Store { place: tile, index: own, value: start, guard: None }];
    body.extend(super::nested(&inner, if short { LoopKind::Unrolled } else { LoopKind::Serial }, step));
    body.push(Stmt::Store { place, index, value: result, guard: None });
    if alone { Piece { parallel: outer, body, flops: flops(member) } } else { Piece { parallel: Vec::new(), body: vec![threads(outer[0], body)], flops: flops(member) } }
}

/// A team reduces a point, its threads taking turns along what is reduced.
fn by_rows(work: &mut Work<'_>, member: &Member, region: &Region) -> Piece {
    let fused = &member.fused;
    let rank = region.extents.len();
    let all: Vec<i64> = region.extents.iter().chain(&fused.reduce).copied().collect();
    let (vars, axes) = grouped(work, &all, &[(0..rank).collect(), (rank..all.len()).collect()]);
    let placed = region.place(work, &axes);
    let dtype = fused.exprs.dtype(fused.value);
    let tile = work.tile(dtype, 1, Space::Registers);
    let zero = work.exprs.int(0);
    let start = identity(work, fused.combine, dtype);
    let value = work.import(fused, &[fused.value], &placed, None)[0];
    let joined = work.exprs.load(tile, dtype, vec![zero]);
    let result = work.import(fused, &[fused.result()], &placed, Some(joined))[0];
    let place = work.destination(member);
    let index = work.store_index(member, &placed);
    let body = vec![
        Stmt::Store { place: tile, index: zero, value: start, guard: None },
        threads(vars[1], vec![Stmt::Accumulate { place: tile, index: zero, combine: fused.combine, value }]),
        Stmt::Store { place, index, value: result, guard: None },
    ];
    Piece { parallel: vec![vars[0]], body, flops: flops(member) }
}

/// A team reduces some columns: each thread a slice of one, then the slices of each are joined in order.
fn by_columns(work: &mut Work<'_>, member: &Member, region: &Region) -> Piece {
    let fused = &member.fused;
    let rank = region.extents.len();
    let dtype = fused.exprs.dtype(fused.value);
    let all: Vec<i64> = region.extents.iter().chain(&fused.reduce).copied().collect();
    let (points, steps): (i64, i64) = (region.extents.iter().product(), fused.reduce.iter().product());
    let blocks = (points + COLUMNS - 1) / COLUMNS;
    let (block, thread, column) = (work.var(blocks), work.var(COLUMNS * SLICES), work.var(COLUMNS));
    let rounds = (steps + SLICES - 1) / SLICES;
    let (round, slice) = (work.var(rounds), work.var(SLICES));
    let (own, shared, whole) = (work.tile(dtype, COLUMNS * SLICES, Space::Registers), work.tile(dtype, COLUMNS * SLICES, Space::Scratch), work.tile(dtype, COLUMNS, Space::Registers));
    let start = identity(work, fused.combine, dtype);
    let (wide, slices) = (work.exprs.int(COLUMNS), work.exprs.int(SLICES));
    let (block_at, thread_at, column_at, round_at, slice_at) = (work.exprs.var(block), work.exprs.var(thread), work.exprs.var(column), work.exprs.var(round), work.exprs.var(slice));
    let base = work.exprs.mul(block_at, wide);
    // The axes of a column, which is the last one where there are no more.
    let at = |work: &mut Work<'_>, column: ExprId| {
        let point = work.exprs.add(base, column);
        let last = least(work, point, points - 1);
        let mut axes = vec![work.exprs.int(0); all.len()];
        assign(work, &mut axes, &all, &(0..rank).collect::<Vec<_>>(), last);
        (axes, point)
    };
    let inside = work.exprs.binary(Binary::Mod, thread_at, wide);
    let (mut axes, _) = at(work, inside);
    let first = work.exprs.binary(Binary::FloorDiv, thread_at, wide);
    let turn = work.exprs.mul(round_at, slices);
    let step = work.exprs.add(turn, first);
    let last = least(work, step, steps - 1);
    assign(work, &mut axes, &all, &(rank..all.len()).collect::<Vec<_>>(), last);
    let placed = region.place(work, &axes);
    let value = work.import(fused, &[fused.value], &placed, None)[0];
    let value = within(work, step, steps, value, start);
    let sum = work.exprs.load(own, dtype, vec![thread_at]);
    let slices = vec![
        Stmt::Store { place: own, index: thread_at, value: start, guard: None },
        Stmt::For { var: round, extent: rounds, kind: LoopKind::Serial, body: vec![Stmt::Accumulate { place: own, index: thread_at, combine: fused.combine, value }] },
        Stmt::Store { place: shared, index: thread_at, value: sum, guard: None },
    ];
    let (axes, point) = at(work, column_at);
    let placed = region.place(work, &axes);
    let down = work.exprs.mul(slice_at, wide);
    let part = work.exprs.add(down, column_at);
    let part = work.exprs.load(shared, dtype, vec![part]);
    let joined = work.exprs.load(whole, dtype, vec![column_at]);
    let result = work.import(fused, &[fused.result()], &placed, Some(joined))[0];
    let place = work.destination(member);
    let index = work.store_index(member, &placed);
    let guard = below(work, point, points);
    let join = vec![
        Stmt::Store { place: whole, index: column_at, value: start, guard: None },
        unrolled(slice, SLICES, vec![Stmt::Accumulate { place: whole, index: column_at, combine: fused.combine, value: part }]),
        Stmt::Store { place, index, value: result, guard },
    ];
    Piece { parallel: vec![(block, blocks)], body: vec![threads((thread, COLUMNS * SLICES), slices), threads((column, COLUMNS), join)], flops: flops(member) }
}

/// `index < end`, unless it always holds.
fn below(work: &mut Work<'_>, index: ExprId, end: i64) -> Option<ExprId> {
    let end = work.exprs.int(end);
    let holds = work.exprs.binary(Binary::Lt, index, end);
    let holds = frit_ir::affine::simplify(&mut work.exprs, holds, &work.extents);
    work.exprs.as_const(holds).is_none().then_some(holds)
}

/// A value where `index < end`, and elsewhere another.
fn within(work: &mut Work<'_>, index: ExprId, end: i64, value: ExprId, other: ExprId) -> ExprId {
    match below(work, index, end) {
        Some(holds) => work.exprs.select(holds, value, other),
        None => value,
    }
}

/// The tile of a sum of products that a team does: rows, columns, how much of the sum is staged at once, the rows and
/// columns of each thread, and slices of the sum.
#[derive(Clone, Copy)]
struct Tile {
    m: i64,
    n: i64,
    k: i64,
    rows: i64,
    columns: i64,
    slices: i64,
}

impl Tile {
    const fn new(m: i64, n: i64, k: i64, rows: i64, columns: i64, slices: i64) -> Self {
        Self { m, n, k, rows, columns, slices }
    }

    /// Threads of a slice.
    const fn threads(&self) -> i64 {
        self.m / self.rows * (self.n / self.columns)
    }

    /// Elements that a team shares.
    const fn shared(&self) -> i64 {
        (self.m + self.n + 2 * WIDE) * self.k * self.slices + if self.slices > 1 { self.m * self.n * self.slices } else { 0 }
    }
}

/// The threads of a slice stage the same number of elements each, those of all slices finish the same number of results, and what they
/// share fits.
const TILES: [Tile; 18] = [
    Tile::new(128, 128, 8, 8, 8, 1),
    Tile::new(64, 64, 16, 4, 4, 1),
    Tile::new(64, 64, 8, 4, 4, 2),
    Tile::new(64, 32, 16, 4, 4, 1),
    Tile::new(64, 32, 16, 4, 4, 2),
    Tile::new(32, 64, 16, 4, 4, 1),
    Tile::new(32, 64, 16, 4, 4, 2),
    Tile::new(32, 32, 16, 4, 4, 1),
    Tile::new(32, 32, 16, 4, 4, 2),
    Tile::new(32, 32, 16, 4, 4, 4),
    Tile::new(32, 16, 16, 4, 4, 4),
    Tile::new(32, 16, 8, 4, 4, 8),
    Tile::new(16, 32, 16, 4, 4, 4),
    Tile::new(16, 32, 8, 4, 4, 8),
    Tile::new(16, 16, 8, 2, 4, 8),
    Tile::new(16, 16, 8, 2, 4, 16),
    Tile::new(8, 32, 16, 2, 4, 8),
    Tile::new(8, 32, 8, 2, 4, 16),
];

/// The tile for elements of a size that takes least time, by an estimate in cycles: of each slab multiply-adds, reads from scratch and staging, but no
/// less than memory takes to answer; then joining the slices.
fn tile(m: i64, n: i64, batch: i64, depth: i64, size: i64, target: &Target) -> Tile {
    /// What a slab takes at least, and what a team takes beside its slabs.
    const WAIT: i64 = 600;
    const BEGIN: i64 = 1500;
    /// Instructions for an element that is staged.
    const STAGE: i64 = 16;
    let up = |a: i64, b: i64| (a + b - 1) / b;
    let time = |tile: &Tile| {
        let units = i64::from(target.points) / 4;
        let teams = batch * up(m, tile.m) * up(n, tile.n);
        let slabs = up(depth, tile.k * tile.slices);
        let threads = tile.threads() * tile.slices;
        let warps = threads / 32;
        let staged = (tile.m + tile.n) * tile.k / tile.threads();
        let (products, reads) = (tile.k * tile.rows * tile.columns, tile.k * (up(tile.rows, WIDE) + up(tile.columns, WIDE)));
        let busy = (warps * (products + reads + STAGE * staged) / 4).max(warps * (reads * 3 / 2 + 2 * staged));
        let each = up(teams, units);
        let at_once = (2048 / threads).min(65536 / ((tile.rows * tile.columns + 2 * staged + 40) * threads)).max(1);
        let join = if tile.slices > 1 { tile.m * tile.n * tile.slices / 16 } else { 0 };
        slabs * (busy * each).max(WAIT * up(each, at_once)) + (BEGIN + join) * up(each, at_once)
    };
    *TILES.iter().filter(|tile| tile.shared() * size <= target.cache[0] as i64).min_by_key(|tile| time(tile)).unwrap_or(&TILES[0])
}

/// An operand of a sum of products.
struct Staged {
    /// What it is at some row (or column) and step.
    value: ExprId,
    /// Its axes among the points.
    along: Vec<usize>,
    /// Extent of these axes.
    extent: i64,
    /// How much of them a tile has.
    width: i64,
    /// Where the tile begins.
    base: ExprId,
    /// Elements between two steps of the sum in scratch.
    stride: i64,
    /// Are steps of the sum (rather than rows) neighbours in memory?
    in_steps: bool,
    /// How many neighbours a thread stages at once.
    wide: i64,
}

/// A sum of products in tiles.
fn contraction(work: &mut Work<'_>, member: &Member, region: &Region, target: &Target, roles: &Contraction) -> Piece {
    let fused = &member.fused;
    let rank = fused.extents.len();
    let dtype = fused.exprs.dtype(fused.value);
    let all: Vec<i64> = region.extents.iter().chain(&fused.reduce).copied().collect();
    let size = |axes: &[usize]| axes.iter().map(|k| all[*k]).product::<i64>();
    let (m, n, batch, depth) = (size(&roles.m), size(&roles.n), size(&roles.batch), fused.reduce.iter().product::<i64>());
    let tile = tile(m, n, batch, depth, dtype.size() as i64, target);
    let (own, team) = (tile.threads(), tile.threads() * tile.slices);
    let deep = tile.k * tile.slices;
    let (slabs, row_blocks, column_blocks) = ((depth + deep - 1) / deep, (m + tile.m - 1) / tile.m, (n + tile.n - 1) / tile.n);
    let (mut grid, batch_axes) = grouped(work, &all, std::slice::from_ref(&roles.batch));
    let (row_block, column_block) = (work.var(row_blocks), work.var(column_blocks));
    grid.extend([(row_block, row_blocks), (column_block, column_blocks)]);
    let base = |work: &mut Work<'_>, block: Var, width: i64| {
        let block = work.exprs.var(block);
        times(work, block, width)
    };
    let (row_base, column_base) = (base(work, row_block, tile.m), base(work, column_block, tile.n));
    let reduced: Vec<usize> = (rank..all.len()).collect();
    let in_steps = |work: &Work<'_>, value: ExprId, along: &[usize]| side_by_side(work, member, region, value, rank..all.len()) && !side_by_side(work, member, region, value, along.iter().copied());
    let operand = |work: &Work<'_>, value: ExprId, along: &[usize], extent: i64, width: i64, base: ExprId| {
        let in_steps = in_steps(work, value, along);
        let (neighbours, length): (Vec<usize>, i64) = if in_steps { (reduced.clone(), depth) } else { (along.to_vec(), extent) };
        let part = width * tile.k / own;
        let wide = if part % WIDE == 0 && length % WIDE == 0 && in_fours(work, member, region, value, &neighbours) { WIDE } else { 1 };
        Staged { in_steps, value, along: along.to_vec(), extent, width, base, stride: width + WIDE, wide }
    };
    let operands = [operand(work, roles.scalar, &roles.m, m, tile.m, row_base), operand(work, roles.vector, &roles.n, n, tile.n, column_base)];
    let held = operands.each_ref().map(|operand| work.tile(dtype, operand.width * deep, Space::Registers));
    let shared = operands.each_ref().map(|operand| work.tile(dtype, operand.stride * deep, Space::Scratch));
    let sums = work.tile(dtype, tile.m * tile.n * tile.slices, Space::Registers);
    let zero = identity(work, fused.combine, dtype);

    // What a thread of a slice stages at a turn: row (or column) within the tile, and step within the slab, of the first of the
    // neighbours that are staged at once.
    let element = |work: &mut Work<'_>, operand: &Staged, thread: ExprId, turn: ExprId| {
        let (slice, inside) = split(work, thread, own);
        let turn = times(work, turn, own);
        let number = work.exprs.add(turn, inside);
        let (b, a) = split(work, number, if operand.in_steps { tile.k } else { operand.width } / operand.wide);
        let a = times(work, a, operand.wide);
        let (across, step) = if operand.in_steps { (b, a) } else { (a, b) };
        let first = times(work, slice, tile.k);
        (across, work.exprs.add(first, step))
    };
    let kept = |work: &mut Work<'_>, operand: &Staged, thread: ExprId, turn: ExprId, nth: ExprId| {
        let first = times(work, thread, operand.width * tile.k / own);
        let each = times(work, turn, operand.wide);
        let each = work.exprs.add(each, nth);
        work.exprs.add(first, each)
    };
    // A loop over what a thread stages.
    let staging = |work: &mut Work<'_>, operand: &Staged, make: &mut dyn FnMut(&mut Work<'_>, ExprId, ExprId) -> Stmt| {
        let turns = operand.width * tile.k / own / operand.wide;
        let (turn, nth) = (work.var(turns), work.var(operand.wide));
        let (turn_at, nth_at) = (work.exprs.var(turn), work.exprs.var(nth));
        let stmt = make(work, turn_at, nth_at);
        unrolled(turn, turns, vec![unrolled(nth, operand.wide, vec![stmt])])
    };
    // Loads both operands' elements of a slab.
    let load = |work: &mut Work<'_>, thread: ExprId, slab: ExprId| {
        let mut body = Vec::new();
        for (operand, held) in operands.iter().zip(held) {
            body.push(staging(work, operand, &mut |work, turn, nth| {
                let (across, step) = element(work, operand, thread, turn);
                let at = work.exprs.add(operand.base, across);
                let first = times(work, slab, deep);
                let step = work.exprs.add(first, step);
                // Where there is no more, the last ones are read again.
                let (at, last, step) = if operand.in_steps {
                    let last = least(work, step, depth - operand.wide);
                    (least(work, at, operand.extent - 1), work.exprs.add(last, nth), work.exprs.add(step, nth))
                } else {
                    let at = least(work, at, operand.extent - operand.wide);
                    (work.exprs.add(at, nth), least(work, step, depth - 1), step)
                };
                let mut axes = batch_axes.clone();
                assign(work, &mut axes, &all, &operand.along, at);
                assign(work, &mut axes, &all, &reduced, last);
                let placed = region.place(work, &axes);
                let value = work.import(fused, &[operand.value], &placed, None)[0];
                let value = within(work, step, depth, value, zero);
                let index = kept(work, operand, thread, turn, nth);
                Stmt::Store { place: held, index, value, guard: None }
            }));
        }
        body
    };
    let share = |work: &mut Work<'_>, thread: ExprId| {
        let mut body = Vec::new();
        for ((operand, held), shared) in operands.iter().zip(held).zip(shared) {
            body.push(staging(work, operand, &mut |work, turn, nth| {
                let (across, step) = element(work, operand, thread, turn);
                let (across, step) = if operand.in_steps { (across, work.exprs.add(step, nth)) } else { (work.exprs.add(across, nth), step) };
                let row = times(work, step, operand.stride);
                let index = work.exprs.add(row, across);
                let from = kept(work, operand, thread, turn, nth);
                let value = work.exprs.load(held, dtype, vec![from]);
                Stmt::Store { place: shared, index, value, guard: None }
            }));
        }
        body
    };
    // Where a thread's rows (or columns) lie in the tile: side by side in fours, which are spread over the tile.
    let spread = |work: &mut Work<'_>, number: ExprId, each: ExprId, own: i64, width: i64| {
        let wide = own.min(WIDE);
        let (four, inside) = split(work, each, wide);
        let four = times(work, four, width / (own / wide));
        let first = times(work, number, wide);
        let first = work.exprs.add(four, first);
        work.exprs.add(first, inside)
    };
    // A loop over a thread's results: `make` gets slice, row and column within the tile, and where the result is held.
    let results = |work: &mut Work<'_>, thread: ExprId, make: &mut dyn FnMut(&mut Work<'_>, [ExprId; 3], ExprId) -> Stmt| {
        let (row, column) = (work.var(tile.rows), work.var(tile.columns));
        let (row_at, column_at) = (work.exprs.var(row), work.exprs.var(column));
        let (slice, inside) = split(work, thread, own);
        let (up, right) = split(work, inside, tile.n / tile.columns);
        let (up, right) = (spread(work, up, row_at, tile.rows, tile.m), spread(work, right, column_at, tile.columns, tile.n));
        let each = times(work, row_at, tile.columns);
        let each = work.exprs.add(each, column_at);
        let first = times(work, thread, tile.rows * tile.columns);
        let index = work.exprs.add(first, each);
        let stmt = make(work, [slice, up, right], index);
        unrolled(row, tile.rows, vec![unrolled(column, tile.columns, vec![stmt])])
    };
    let by_threads = |work: &mut Work<'_>, make: &mut dyn FnMut(&mut Work<'_>, ExprId) -> Vec<Stmt>| {
        let var = work.var(team);
        let thread = work.exprs.var(var);
        let body = make(work, thread);
        threads((var, team), body)
    };
    let place = work.destination(member);
    let finish = |work: &mut Work<'_>, row: ExprId, column: ExprId, joined: ExprId| {
        let (row, column) = (work.exprs.add(row_base, row), work.exprs.add(column_base, column));
        let (row_at, column_at) = (least(work, row, m - 1), least(work, column, n - 1));
        let mut axes = batch_axes.clone();
        assign(work, &mut axes, &all, &roles.m, row_at);
        assign(work, &mut axes, &all, &roles.n, column_at);
        let placed = region.place(work, &axes);
        let value = work.import(fused, &[fused.result()], &placed, Some(joined))[0];
        let index = work.store_index(member, &placed);
        let guard = match (below(work, row, m), below(work, column, n)) {
            (Some(a), Some(b)) => Some(work.exprs.and(a, b)),
            (a, b) => a.or(b),
        };
        Stmt::Store { place, index, value, guard }
    };

    let begin = by_threads(work, &mut |work, thread| {
        let first = work.exprs.int(0);
        let mut body = load(work, thread, first);
        body.push(results(work, thread, &mut |_, _, index| Stmt::Store { place: sums, index, value: zero, guard: None }));
        body
    });
    let slab = work.var(slabs);
    let store = by_threads(work, &mut |work, thread| share(work, thread));
    let step = by_threads(work, &mut |work, thread| {
        let (one, slab_at) = (work.exprs.int(1), work.exprs.var(slab));
        let next = work.exprs.add(slab_at, one);
        let next = least(work, next, slabs - 1);
        let mut body = load(work, thread, next);
        let k = work.var(tile.k);
        let k_at = work.exprs.var(k);
        let product = results(work, thread, &mut |work, [slice, row, column], index| {
            let mut factor = |place: usize, at: ExprId| {
                let first = times(work, slice, tile.k);
                let step = work.exprs.add(first, k_at);
                let first = times(work, step, operands[place].stride);
                let index = work.exprs.add(first, at);
                work.exprs.load(shared[place], dtype, vec![index])
            };
            let (a, b) = (factor(0, row), factor(1, column));
            let value = work.exprs.mul(a, b);
            Stmt::Accumulate { place: sums, index, combine: fused.combine, value }
        });
        body.push(unrolled(k, tile.k, vec![product]));
        body
    });
    let sum = Stmt::For { var: slab, extent: slabs, kind: LoopKind::Serial, body: vec![store, step] };
    let mut body = vec![begin, sum];
    if tile.slices == 1 {
        body.push(by_threads(work, &mut |work, thread| {
            vec![results(work, thread, &mut |work, [_, row, column], index| {
                let joined = work.exprs.load(sums, dtype, vec![index]);
                finish(work, row, column, joined)
            })]
        }));
    } else {
        let parts = work.tile(dtype, tile.m * tile.n * tile.slices, Space::Scratch);
        body.push(by_threads(work, &mut |work, thread| {
            vec![results(work, thread, &mut |work, [slice, row, column], index| {
                let first = times(work, slice, tile.m);
                let row = work.exprs.add(first, row);
                let first = times(work, row, tile.n);
                let to = work.exprs.add(first, column);
                let value = work.exprs.load(sums, dtype, vec![index]);
                Stmt::Store { place: parts, index: to, value, guard: None }
            })]
        }));
        let whole = work.tile(dtype, tile.m * tile.n, Space::Registers);
        // There may be fewer results than threads.
        let team = team.min(tile.m * tile.n);
        let thread = work.var(team);
        let thread_at = work.exprs.var(thread);
        let join = |work: &mut Work<'_>, thread: ExprId| {
            let part = tile.m * tile.n / team;
            let (turn, slice) = (work.var(part), work.var(tile.slices));
            let (turn_at, slice_at) = (work.exprs.var(turn), work.exprs.var(slice));
            let first = times(work, thread, part);
            let own = work.exprs.add(first, turn_at);
            let first = times(work, turn_at, team);
            let number = work.exprs.add(first, thread);
            let first = times(work, slice_at, tile.m * tile.n);
            let from = work.exprs.add(first, number);
            let value = work.exprs.load(parts, dtype, vec![from]);
            let joined = work.exprs.load(whole, dtype, vec![own]);
            let (row, column) = split(work, number, tile.n);
            let done = finish(work, row, column, joined);
            let join = Stmt::Accumulate { place: whole, index: own, combine: fused.combine, value };
            vec![unrolled(turn, part, vec![Stmt::Store { place: whole, index: own, value: zero, guard: None }, unrolled(slice, tile.slices, vec![join]), done])]
        };
        let join = join(work, thread_at);
        body.push(threads((thread, team), join));
    }
    Piece { parallel: grid, body, flops: 2 * (m * n * batch * depth) as u64 }
}

fn times(work: &mut Work<'_>, a: ExprId, by: i64) -> ExprId {
    let by = work.exprs.int(by);
    work.exprs.mul(a, by)
}

/// Quotient and remainder.
fn split(work: &mut Work<'_>, a: ExprId, by: i64) -> (ExprId, ExprId) {
    let by = work.exprs.int(by);
    (work.exprs.binary(Binary::FloorDiv, a, by), work.exprs.binary(Binary::Mod, a, by))
}

/// Do four neighbours along axes that run as one lie at a multiple of four elements, wherever the first is such a multiple?
fn in_fours(work: &Work<'_>, member: &Member, region: &Region, value: ExprId, axes: &[usize]) -> bool {
    let all: Vec<i64> = region.extents.iter().chain(&member.fused.reduce).copied().collect();
    let mut work = work.clone();
    let groups: Vec<Vec<usize>> = std::iter::once(axes.to_vec()).chain((0..all.len()).filter(|k| !axes.contains(k)).map(|k| vec![k])).collect();
    let (vars, at) = grouped(&mut work, &all, &groups);
    let placed = region.place(&mut work, &at);
    let value = work.import(&member.fused, &[value], &placed, None)[0];
    let own = vars[0].0;
    work.exprs.reachable(&[value]).into_iter().all(|id| match work.exprs.get(id) {
        Expr::Load { index, guard, .. } => Affine::of(&work.exprs, index[0]).is_some_and(|form| {
            let step = form.coefficient(own);
            let others = form.terms.iter().all(|(var, c)| *var == own || c % WIDE == 0) && form.constant % WIDE == 0;
            guard.is_none() && (step == 0 || (step == 1 && others))
        }),
        _ => true,
    })
}

/// Does what is read of memory lie side by side along the last of some axes that is not 1?
fn side_by_side(work: &Work<'_>, member: &Member, region: &Region, value: ExprId, axes: impl DoubleEndedIterator<Item = usize>) -> bool {
    let all: Vec<i64> = region.extents.iter().chain(&member.fused.reduce).copied().collect();
    let Some(axis) = axes.rev().find(|k| all[*k] > 1) else { return false };
    let mut work = work.clone();
    let groups: Vec<Vec<usize>> = (0..all.len()).map(|k| vec![k]).collect();
    let (vars, axes) = grouped(&mut work, &all, &groups);
    let placed = region.place(&mut work, &axes);
    let value = work.import(&member.fused, &[value], &placed, None)[0];
    strides(&work.exprs, value, vars[axis].0).is_some_and(|found| found.contains(&1) && found.iter().all(|step| matches!(step, 0 | 1)))
}

#[cfg(test)]
mod tests {
    use super::TILES;

    #[test]
    fn tiles_are_dealt_out_evenly() {
        for tile in TILES {
            let (threads, team) = (tile.threads(), tile.threads() * tile.slices);
            assert!(tile.m % tile.rows == 0 && tile.n % tile.columns == 0 && threads % 32 == 0 && team <= 1024);
            assert!((tile.m * tile.k) % threads == 0 && (tile.n * tile.k) % threads == 0);
            assert!(tile.m * tile.n % team.min(tile.m * tile.n) == 0);
            assert!(tile.shared() * 4 <= 46 << 10, "what a team shares must fit beside its joins");
        }
        assert!(TILES[0].shared() * 8 <= 40 << 10);
    }
}
