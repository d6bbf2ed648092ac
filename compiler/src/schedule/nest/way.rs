//! Ways to do a contraction: tiles, and which operand's elements lie in panels.
//!
//! In: a nest's operands and the roles of its axes. Out: [`Way`]s, by estimated cycles. Must not know: how loops are built.

use frit_ir::DType;
use frit_ir::affine::{Linear, gcd};
use frit_ir::expr::{Expr, ExprId, Exprs, Source, Var};
use frit_ir::graph::ValueId;
use frit_ir::ops::reshape::flatten;
use frit_ir::vector::Target;

use super::super::contraction::Contraction;
use super::super::group::Member;
use super::{Work, depends, is_constant};

/// Rows that are not packed are no more than this: those whose distance is a power of two displace each other in a cache.
pub(super) const MOST_LOOSE_ROWS: i64 = 8;

/// So many tiles of each form are worth a trial,
const MOST_TILES: usize = 4;
/// so many ways of a contraction,
const MOST_WAYS: usize = 6;
/// and none that should take so many times longer than the best.
const MUCH_LONGER: f64 = 1.4;

/// A register tile: as many accumulators as the target's registers hold beside the operands, in a shape that leaves little over.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) rows: i64,
    pub(super) width: i64,
    /// Cycles of one step of the sum for all tiles.
    time: f64,
}

impl Tile {
    /// Tiles for `m` rows of `n` columns and a depth of elements of a dtype, among those whose number of rows fits: the best first, then
    /// others by time.
    pub(super) fn ranked([m, n, depth]: [i64; 3], dtype: DType, target: &Target, fits: impl Fn(i64) -> bool) -> Vec<Self> {
        // Two registers stay free for what the code generator moves about.
        let (lanes, room) = (i64::from(target.lanes(dtype)), i64::from(target.vector_registers) - 2);
        let mut tiles = vec![Self { rows: 1, width: lanes.min(n), time: f64::MAX }];
        let mut best = 0;
        for vectors in 1..=room {
            let width = vectors * lanes;
            // Where there are masks, the last vector may have dead lanes.
            if vectors > 1 && (width > n && !target.masks() || width - lanes >= n) {
                break;
            }
            for rows in (1..=m.min(room)).filter(|rows| fits(*rows)) {
                // A single row uses each vector once, straight from memory.
                let held = if rows == 1 { vectors + 1 } else { rows * vectors + vectors + 1 };
                if held > room {
                    break;
                }
                // Two multiply-adds or two loads at once, four cycles of latency (a little more where nothing may be late), and what
                // panels cost that come from the second cache, or do not fit into it, and rows that lie far apart.
                let (fmas, loads) = ((rows * vectors) as f64, (rows + vectors) as f64);
                let far = (depth * width) as u64 * dtype.size() as u64 > target.cache[1] * 3 / 4;
                let step = (fmas / 2.0).max(loads / 2.0).max(5.0) + if far { 2.0 } else { 0.25 } * vectors as f64 + 0.1 * rows as f64;
                let time = step * (m as f64 / rows as f64).ceil() * (n as f64 / width.min(n) as f64).ceil();
                tiles.push(Self { rows, width: width.min(n), time });
                if time < tiles[best].time * 0.999 {
                    best = tiles.len() - 1;
                }
            }
        }
        let best = tiles.remove(best);
        tiles.sort_by(|a, b| a.time.total_cmp(&b.time));
        [best].into_iter().chain(tiles).filter(|tile| tile.time < f64::MAX || best.time == f64::MAX).collect()
    }

    /// The best of them.
    pub(super) fn best(sizes: [i64; 3], dtype: DType, target: &Target, fits: impl Fn(i64) -> bool) -> Self {
        Self::ranked(sizes, dtype, target, fits)[0]
    }
}

/// How a contraction is done.
#[derive(Clone)]
pub(super) struct Way {
    /// The roles of its operands.
    pub(super) roles: Contraction,
    pub(super) tile: Tile,
    /// Are panels read where they lie, and not staged?
    pub(super) direct: bool,
    /// Cycles.
    time: f64,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{} of {:?} by {:?}{}", self.tile.rows, self.tile.width, self.roles.m, self.roles.n, if self.direct { ", in place" } else { "" })
    }
}

/// How an index moves along axes that run as one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Motion {
    /// Evenly, by so many elements.
    Even(i64),
    /// By so many within rows of so many points, and otherwise from row to row.
    Rows { step: i64, row: i64 },
    /// In another way.
    Other,
}

impl Motion {
    pub(super) fn of(exprs: &Exprs, shape: &[i64], index: &[ExprId], axes: &[usize], extents: &[i64]) -> Self {
        let mut exprs = exprs.clone();
        let flat = flatten(&mut exprs, shape, index);
        let mut steps = vec![0; extents.len()];
        for (atom, coefficient) in Linear::of(&exprs, flat).terms {
            match exprs.get(atom) {
                Expr::Var(Var(k)) => steps.get_mut(*k as usize).into_iter().for_each(|step| *step = coefficient),
                _ if axes.iter().any(|k| depends(&exprs, atom, Var(*k as u32))) => return Motion::Other,
                _ => {}
            }
        }
        let wide: Vec<(i64, i64)> = axes.iter().filter(|k| extents[**k] > 1).map(|k| (extents[*k], steps[*k])).collect();
        let Some((row, step)) = wide.last().copied() else { return Motion::Even(0) };
        if wide.windows(2).all(|pair| pair[0].1 == pair[1].0 * pair[1].1) { Motion::Even(step) } else { Motion::Rows { step, row } }
    }

    /// Cycles of a vector of it: loaded, put elsewhere, or stored.
    fn time(self, lanes: i64, target: &Target) -> f64 {
        // Elements that lie far apart, and such whose places have to be divided for, are fetched one by one.
        const APART: f64 = 1.5;
        const ACROSS: f64 = 9.0;
        match self {
            Motion::Even(0 | 1) => 1.0,
            Motion::Even(step @ 2..=4) => 1.25 * step as f64,
            Motion::Rows { step, row } if row % lanes == 0 && (target.masks() || step == 1) => Motion::Even(step).time(lanes, target),
            Motion::Rows { step: 1, row } if target.masks() && row * 4 >= lanes => 2.2 * ((lanes - 2) / row + 2) as f64,
            Motion::Even(_) => lanes as f64 * APART,
            Motion::Rows { .. } | Motion::Other => lanes as f64 * ACROSS,
        }
    }

    /// Are so many elements of a size in more lines than the sets of the first cache hold that they belong to? Then each is fetched anew
    /// for the next step, although it lies in the same line.
    fn crowds(self, columns: i64, size: i64, target: &Target) -> bool {
        const LINE: i64 = 64;
        const LINES_OF_A_SET: i64 = 8;
        let sets = (target.cache[0] as i64 / (LINE * LINES_OF_A_SET)).max(1);
        let Motion::Even(step) = self else { return false };
        let bytes = step.abs() * size;
        bytes >= LINE && bytes % LINE == 0 && columns > sets / gcd(bytes / LINE, sets) * LINES_OF_A_SET
    }
}

/// The ways to do a contraction: the best by what it takes, then others that take little longer. The panels' columns are all points of their axes, or those of the last axis only, where
/// elements follow each other evenly but some lanes are left over. Panels that few rows use are not worth staging. Constant rows may as
/// well be the panels: then nothing is staged and they come from far away once and not for each panel, but results are stored one by one.
pub(super) fn ways(work: &Work<'_>, member: &Member, extents: &[i64], roles: &Contraction, target: &Target, constant_rows: bool) -> Vec<Way> {
    // Cycles of an element that is stored by itself.
    const STORED: f64 = 1.5;
    // A vector that is staged is stored, and loaded again. One that is read where it lies mostly lies in two lines of the cache.
    const STAGED: f64 = 2.0;
    const DIRECT: f64 = 0.15;
    // Estimates this near to each other say nothing.
    const NEARLY: f64 = 0.97;
    // Bytes per cycle that come from behind the second cache.
    const FAR_BYTES: f64 = 12.0;
    let fused = &member.fused;
    let dtype = fused.exprs.dtype(fused.value);
    let lanes = i64::from(target.lanes(dtype)).max(1);
    let size = |axes: &[usize]| axes.iter().map(|k| extents[*k]).product::<i64>();
    let (m, depth) = (size(&roles.m), fused.reduce.iter().product::<i64>());
    let bytes = (m * depth) as f64 * dtype.size() as f64;
    let far = if bytes > target.cache[1] as f64 { bytes / FAR_BYTES } else { 0.0 };
    let plain = match fused.exprs.get(roles.vector) {
        Expr::Load { source: Source(v), guard: None, .. } => Some(ValueId(*v)),
        _ => None,
    };
    let constant = is_constant(work.graph, fused, roles.vector);
    // The best tile comes first, as it is better read; then as it is not.
    let panels = |n: &[usize]| -> Vec<Way> {
        let columns = size(n);
        let motion = |id: ExprId| match fused.exprs.get(id) {
            Expr::Load { source: Source(v), index, .. } => Some(Motion::of(&fused.exprs, &work.shape(ValueId(*v)), index, n, extents)),
            _ => None,
        };
        let loads: Vec<Motion> = fused.exprs.reachable(&[roles.vector]).into_iter().filter_map(motion).collect();
        let load: f64 = loads.iter().map(|motion| motion.time(lanes, target)).sum();
        let stored = Motion::of(&fused.exprs, &fused.shape, &fused.axes, n, extents).time(lanes, target);
        let in_place = !constant && matches!(loads[..], [Motion::Even(1..=4)]) && plain.is_some_and(|value| !work.held.contains_key(&value));
        let batch: Vec<usize> = roles.batch.iter().chain(&roles.n).copied().filter(|k| !n.contains(k)).collect();
        let times = (size(&roles.n) / columns) as f64;
        let depth_steps = depth as f64;
        let mut tiles = Tile::ranked([m, columns, depth], dtype, target, |rows| constant_rows || rows <= MOST_LOOSE_ROWS);
        let crowds = |tile: &Tile| !constant && loads.iter().any(|motion| motion.crowds(tile.width, dtype.size() as i64, target));
        if !tiles.iter().all(crowds) {
            tiles.retain(|tile| !crowds(tile));
        }
        let ways = tiles.into_iter().take(MOST_TILES).flat_map(|tile| {
            let blocks = (columns as f64 / tile.width as f64).ceil() * times;
            let vectors = (tile.width as f64 / lanes as f64).ceil() * blocks;
            let passes = (m as f64 / tile.rows as f64).ceil();
            let staged = if constant { 0.0 } else { depth_steps * vectors * (load + STAGED) };
            let read = depth_steps * vectors * passes * (load - 1.0 + DIRECT);
            let way = |direct: bool| {
                let time = tile.time * times * depth_steps + far * blocks + if direct { read } else { staged } + m as f64 * vectors * stored;
                Way { roles: Contraction { n: n.to_vec(), batch: batch.clone(), ..roles.clone() }, tile, direct, time }
            };
            let direct = in_place && read < staged;
            [Some(way(direct)), in_place.then(|| way(!direct))].into_iter().flatten().collect::<Vec<_>>()
        });
        ways.collect()
    };
    let mut all = panels(&roles.n);
    let mut best = all[0].clone();
    if roles.n.len() > 1 {
        let rows = panels(&roles.n[roles.n.len() - 1..]);
        if rows[0].time < best.time * NEARLY {
            best = rows[0].clone();
        }
        all.extend(rows);
    }
    // A tile's rows lie in one row of the last axis, or are whole ones: then where they begin needs no division.
    let n = size(&roles.n);
    let last = roles.n.last().map_or(1, |k| extents[*k]);
    if constant_rows && plain.is_some() && m >= lanes {
        let turned = Contraction { vector: roles.scalar, scalar: roles.vector, n: roles.m.clone(), m: roles.n.clone(), ..roles.clone() };
        let tiles = Tile::ranked([n, m, depth], dtype, target, |rows| n % rows == 0 && (last % rows == 0 || rows % last == 0));
        let exchanged = |tile: &Tile| Way { roles: turned.clone(), tile: *tile, direct: false, time: tile.time * depth as f64 + far + (m * n) as f64 * STORED };
        all.extend(tiles.iter().take(MOST_TILES).map(exchanged));
        let first = exchanged(&tiles[0]);
        if first.time < best.time * NEARLY {
            best = first;
        }
    }
    all.sort_by(|a, b| a.time.total_cmp(&b.time));
    let mut ways = vec![best];
    for way in all {
        if ways.len() < MOST_WAYS && way.time <= ways[0].time * MUCH_LONGER && ways.iter().all(|known| known.to_string() != way.to_string()) {
            ways.push(way);
        }
    }
    ways
}
