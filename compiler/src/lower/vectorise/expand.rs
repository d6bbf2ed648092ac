//! Writes unrolled loops out and splits vector loops into pieces.
//!
//! In: a [`Kernel`]. Out: [`Expanded`]: counted loops around [`Leaf`]s that each do some lanes at once. The
//! index within a piece is a lane variable, of which there is one for each number of lanes. Must not know: registers, instructions.

use std::collections::BTreeMap;

use frit_ir::affine::{Extents, Linear, simplify_all};
use frit_ir::compute::Combine;
use frit_ir::dtype::DType;
use frit_ir::error::OpError;
use frit_ir::expr::{Expr, ExprId, Exprs, Source, Var};
use frit_ir::loops::{Kernel, LoopKind, Place, Space, Stmt};
use frit_ir::scalar::Scalar;
use frit_ir::vector::Target;

/// Unrolled loops longer than this stay loops.
const LONGEST_UNROLLED: i64 = 1024;
/// No kernel is written out into more statements than this.
const MOST_LEAVES: usize = 20_000;
/// Remainders are done in pieces of at least so many bytes, then element by element.
const SMALLEST_VECTOR_BYTES: usize = 16;
/// Independent partial sums of an accumulation across lanes.
const PARTIAL_SUMS: i64 = 4;
/// Bodies of counted vector loops with at most so many expressions are repeated four times, two times.
const SMALL_BODY: [(usize, i64); 2] = [(12, 4), (40, 2)];
/// Elements that lie no farther apart are loaded as far as lanes live.
pub(super) const FARTHEST: i64 = 4;
/// Register tiles that need more than so many times the registers there are lie in memory.
const MOST_REGISTERS: i64 = 4;

/// The lanes of a piece.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Lanes {
    /// How many there are; 1 has no lane variable.
    pub all: u32,
    /// So many of them, the first, stand for an iteration; what the others, the dead ones, hold does not matter, and what they would
    /// read and write may not be there.
    pub live: u32,
}

impl Lanes {
    /// A scalar.
    pub(super) const ONE: Self = Self::whole(1);

    /// Lanes that all live.
    pub(super) const fn whole(all: u32) -> Self {
        Self { all, live: all }
    }
}

/// Loops around leaves, and all they need.
pub(super) struct Expanded {
    /// Arena of all expressions.
    pub exprs: Exprs,
    /// The kernel's places, then those of partial sums.
    pub places: Vec<Place>,
    /// Lane variables; each is below the number of live lanes.
    pub lane_vars: BTreeMap<Lanes, Var>,
    /// Extents of all variables.
    pub extents: Extents,
    /// What one grid point does.
    pub body: Vec<Node>,
}

/// A loop or a leaf.
pub(super) enum Node {
    /// Runs `var` from 0 to `count`. What indices need is mostly `var * scale`.
    Loop {
        /// The variable, bound nowhere else.
        var: Var,
        /// Iterations.
        count: i64,
        /// Elements per iteration.
        scale: i64,
        /// What runs.
        body: Vec<Node>,
    },
    /// A store or an accumulation.
    Leaf(Leaf),
}

/// A store or an accumulation of some lanes.
pub(super) struct Leaf {
    /// Where to.
    pub place: Source,
    /// Which element, in terms of the lane variable. Where it is in terms of one with more live lanes, elements of dead lanes stay as
    /// they are.
    pub index: ExprId,
    /// What, in terms of the lane variable.
    pub value: ExprId,
    /// Only if this holds.
    pub guard: Option<ExprId>,
    /// How it is joined to what is there; `None` to overwrite it.
    pub combine: Option<Combine>,
    /// Which lanes.
    pub lanes: Lanes,
}

/// Partial sums that stand for one element inside a vector loop.
struct Partial {
    place: Source,
    index: ExprId,
    combine: Combine,
    sums: Source,
}

/// Where partial sums are used: inside a vector loop's whole pieces.
struct Across {
    /// Variables from here on are bound inside the loop.
    mark: Var,
    /// Which of the sums the current piece adds to.
    sum: i64,
    /// How many sums there are.
    sums: i64,
    partials: Vec<Partial>,
}

struct Expander<'a> {
    kernel: &'a Kernel,
    lanes: u32,
    smallest: u32,
    masks: bool,
    next: u32,
    leaves: usize,
    env: BTreeMap<Var, ExprId>,
    across: Option<Across>,
    out: Expanded,
}

/// Expands a kernel for a target.
pub(super) fn expand(kernel: &Kernel, target: &Target) -> Result<Expanded, OpError> {
    // Vectors are as long as the target's for the narrowest of 4- and 8-byte elements; others follow.
    let widest = kernel.places.iter().all(|place| place.dtype.size() == 8);
    let element = if widest { DType::F64 } else { DType::F32 };
    let lanes = target.lanes(element).max(1);
    let next = kernel.vars().last_key_value().map_or(0, |(var, _)| var.0 + 1);
    let out = Expanded {
        exprs: kernel.exprs.clone(),
        places: kernel.places.clone(),
        lane_vars: BTreeMap::new(),
        extents: kernel.grid.iter().copied().collect(),
        body: Vec::new(),
    };
    let smallest = (SMALLEST_VECTOR_BYTES / element.size()) as u32;
    let mut expander = Expander { kernel, lanes, smallest, masks: target.masks(), next, leaves: 0, env: BTreeMap::new(), across: None, out };
    for (var, extent) in &kernel.grid {
        let value = if *extent == 1 { expander.out.exprs.int(0) } else { expander.out.exprs.var(*var) };
        expander.env.insert(*var, value);
    }
    let mut body = Vec::new();
    expander.block(&kernel.body, Lanes::ONE, &mut body)?;
    let mut out = expander.out;
    out.body = body;
    demote(&mut out, kernel.places.len(), target);
    Ok(out)
}

impl Expander<'_> {
    fn fresh(&mut self, extent: i64) -> Var {
        let var = Var(self.next);
        self.next += 1;
        self.out.extents.set(var, extent);
        var
    }

    fn lane_var(&mut self, lanes: Lanes) -> ExprId {
        let var = match self.out.lane_vars.get(&lanes) {
            Some(var) => *var,
            None => {
                let var = self.fresh(i64::from(lanes.live));
                self.out.lane_vars.insert(lanes, var);
                var
            }
        };
        self.out.exprs.var(var)
    }

    fn block(&mut self, body: &[Stmt], lanes: Lanes, out: &mut Vec<Node>) -> Result<(), OpError> {
        for stmt in body {
            match stmt {
                Stmt::For { extent: 0, .. } => {}
                Stmt::For { var, extent, kind, body } => {
                    let vector = *kind == LoopKind::Vector && lanes == Lanes::ONE && self.lanes > 1 && !self.carries(*var, body);
                    if vector {
                        self.vector(*var, *extent, body, out)?;
                    } else if *extent == 1 || (*kind != LoopKind::Serial && *extent <= LONGEST_UNROLLED && (*kind == LoopKind::Unrolled || self.indexes_registers(*var, body))) {
                        self.unrolled(*var, 0..*extent, body, lanes, out)?;
                    } else {
                        self.serial(*var, 0, *extent, body, lanes, out)?;
                    }
                }
                Stmt::Store { place, index, value, guard } => self.leaf(*place, *index, *value, *guard, None, lanes, out)?,
                Stmt::Accumulate { place, index, combine, value } => self.leaf(*place, *index, *value, None, Some(*combine), lanes, out)?,
            }
        }
        Ok(())
    }

    fn unrolled(&mut self, var: Var, range: std::ops::Range<i64>, body: &[Stmt], lanes: Lanes, out: &mut Vec<Node>) -> Result<(), OpError> {
        for i in range {
            let value = self.out.exprs.int(i);
            self.env.insert(var, value);
            self.block(body, lanes, out)?;
        }
        Ok(())
    }

    fn serial(&mut self, var: Var, first: i64, extent: i64, body: &[Stmt], lanes: Lanes, out: &mut Vec<Node>) -> Result<(), OpError> {
        let counter = self.fresh(extent);
        let value = self.out.exprs.var(counter);
        let first = self.out.exprs.int(first);
        let value = self.out.exprs.add(value, first);
        self.env.insert(var, value);
        let mut inner = Vec::new();
        self.block(body, lanes, &mut inner)?;
        out.push(Node::Loop { var: counter, count: extent, scale: 1, body: inner });
        Ok(())
    }

    /// A piece of `lanes` iterations of a vector loop that begins at iteration `first`.
    fn piece(&mut self, var: Var, first: ExprId, lanes: Lanes, body: &[Stmt], out: &mut Vec<Node>) -> Result<(), OpError> {
        let lane = self.lane_var(lanes);
        let value = self.out.exprs.add(first, lane);
        self.env.insert(var, value);
        self.block(body, lanes, out)
    }

    fn vector(&mut self, var: Var, extent: i64, body: &[Stmt], out: &mut Vec<Node>) -> Result<(), OpError> {
        let lanes = i64::from(self.lanes);
        let pieces = extent / lanes;
        let registers = self.indexes_registers(var, body) && pieces <= LONGEST_UNROLLED;
        // Lane variables exist before the mark, so that they don't count as bound inside.
        self.lane_var(Lanes::whole(self.lanes));
        let size = self.size(body);
        let nested = body.iter().any(|stmt| matches!(stmt, Stmt::For { kind: LoopKind::Serial, .. }));
        let sums = self.accumulates_across(var, body);
        let fit = SMALL_BODY.iter().find(|(most, _)| size <= *most).map_or(1, |(_, times)| *times);
        let times = if registers {
            pieces
        } else if nested {
            1
        } else if sums {
            fit.max(2) * 2
        } else {
            fit
        };
        let times = times.min(pieces).max(1);
        let rest = self.rest(var, extent - pieces * lanes, sums && pieces > 0, body);
        let rounds = pieces / times;
        let mut main = Vec::new();
        if pieces + i64::from(rest.is_some()) > 1 {
            self.across = Some(Across { mark: Var(self.next), sum: 0, sums: times.min(PARTIAL_SUMS), partials: Vec::new() });
        }
        let looped = if rounds > 1 { rounds * times } else { 0 };
        if looped > 0 {
            let counter = self.fresh(rounds);
            let mut inner = Vec::new();
            for u in 0..times {
                let scale = self.out.exprs.int(times * lanes);
                let counter = self.out.exprs.var(counter);
                let round = self.out.exprs.mul(counter, scale);
                let offset = self.out.exprs.int(u * lanes);
                let first = self.out.exprs.add(round, offset);
                self.sum_of_piece(u);
                self.piece(var, first, Lanes::whole(self.lanes), body, &mut inner)?;
            }
            main.push(Node::Loop { var: counter, count: rounds, scale: times * lanes, body: inner });
        }
        for u in looped..pieces {
            let first = self.out.exprs.int(u * lanes);
            self.sum_of_piece(u);
            self.piece(var, first, Lanes::whole(self.lanes), body, &mut main)?;
        }
        let mut done = pieces * lanes;
        if let Some(rest) = rest {
            let first = self.out.exprs.int(done);
            self.sum_of_piece(pieces);
            self.piece(var, first, rest, body, &mut main)?;
            done = extent;
        }
        let across = self.across.take();
        let partials = across.as_ref().map_or(&[][..], |across| &across.partials);
        let sums = across.as_ref().map_or(1, |across| across.sums);
        for partial in partials {
            self.clear(partial, sums, out);
        }
        out.append(&mut main);
        for partial in partials {
            self.join(partial, sums, out);
        }

        let mut fewer = self.lanes / 2;
        while fewer >= self.smallest && fewer > 1 {
            if extent - done >= i64::from(fewer) {
                let first = self.out.exprs.int(done);
                self.piece(var, first, Lanes::whole(fewer), body, out)?;
                done += i64::from(fewer);
            }
            fewer /= 2;
        }
        let left = extent - done;
        if registers || left <= 2 { self.unrolled(var, done..extent, body, Lanes::ONE, out) } else { self.serial(var, done, left, body, Lanes::ONE, out) }
    }

    /// The lanes that do all iterations left over by whole pieces, if they can be done at once. Those of sums are as many as the
    /// sums'.
    fn rest(&mut self, var: Var, left: i64, sums: bool, body: &[Stmt]) -> Option<Lanes> {
        let live = u32::try_from(left).ok().filter(|live| self.masks && *live > 1)?;
        let all = if sums { self.lanes } else { live.next_power_of_two().max(self.smallest).min(self.lanes) };
        if !self.side_by_side(var, body) {
            return None;
        }
        let lanes = Lanes { all, live };
        self.lane_var(lanes);
        Some(lanes)
    }

    /// Is no access one to elements that lie evenly apart (but for near ones, which are as good), and does each store move with
    /// the variable?
    fn side_by_side(&self, var: Var, body: &[Stmt]) -> bool {
        let mut stmts = Vec::new();
        Self::inside(body, &mut stmts);
        let roots: Vec<ExprId> = stmts.iter().flat_map(|stmt| stmt.roots()).collect();
        let step = |index: ExprId| {
            let linear = Linear::of(&self.kernel.exprs, index);
            let moving: Vec<_> = linear.terms.iter().filter(|(atom, _)| self.depends(*atom, var)).collect();
            match moving[..] {
                [] => Some(0),
                [(atom, step)] if *self.kernel.exprs.get(*atom) == Expr::Var(var) => Some(*step),
                // Done lane by lane.
                _ => None,
            }
        };
        self.kernel.exprs.reachable(&roots).iter().all(|id| match self.kernel.exprs.get(*id) {
            Expr::Load { source, index, guard } => index.iter().all(|index| match step(*index) {
                None | Some(0 | 1) => true,
                Some(2..=FARTHEST) => guard.is_none() && self.kernel.places[source.0 as usize].dtype.size() >= 4,
                _ => false,
            }),
            _ => true,
        }) && stmts.iter().all(|stmt| match stmt {
            Stmt::Store { index, .. } => matches!(step(*index), None | Some(1)),
            Stmt::Accumulate { index, .. } => matches!(step(*index), None | Some(0 | 1)),
            Stmt::For { .. } => true,
        })
    }

    fn sum_of_piece(&mut self, piece: i64) {
        if let Some(across) = &mut self.across {
            across.sum = piece % across.sums;
        }
    }

    /// Index of the lanes of one partial sum.
    fn sum_index(&mut self, sum: i64) -> ExprId {
        let lane = self.lane_var(Lanes::whole(self.lanes));
        let offset = self.out.exprs.int(sum * i64::from(self.lanes));
        self.out.exprs.add(lane, offset)
    }

    fn clear(&mut self, partial: &Partial, sums: i64, out: &mut Vec<Node>) {
        let dtype = self.out.places[partial.sums.0 as usize].dtype;
        for sum in 0..sums {
            let index = self.sum_index(sum);
            let value = self.out.exprs.constant(partial.combine.identity(dtype), dtype);
            out.push(Node::Leaf(Leaf { place: partial.sums, index, value, guard: None, combine: None, lanes: Lanes::whole(self.lanes) }));
        }
    }

    /// Joins partial sums pairwise, then their lanes, to the element that they stand for.
    fn join(&mut self, partial: &Partial, sums: i64, out: &mut Vec<Node>) {
        let dtype = self.out.places[partial.sums.0 as usize].dtype;
        let mut values: Vec<ExprId> = Vec::new();
        for sum in 0..sums {
            let index = self.sum_index(sum);
            values.push(self.out.exprs.load(partial.sums, dtype, vec![index]));
        }
        while values.len() > 1 {
            values = values.chunks(2).map(|pair| if let [a, b] = *pair { self.out.exprs.binary(partial.combine.op(), a, b) } else { pair[0] }).collect();
        }
        out.push(Node::Leaf(Leaf { place: partial.place, index: partial.index, value: values[0], guard: None, combine: Some(partial.combine), lanes: Lanes::whole(self.lanes) }));
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a statement")]
    fn leaf(&mut self, place: Source, index: ExprId, value: ExprId, guard: Option<ExprId>, combine: Option<Combine>, lanes: Lanes, out: &mut Vec<Node>) -> Result<(), OpError> {
        self.leaves += 1;
        if self.leaves > MOST_LEAVES {
            return Err(OpError::unsupported(format!("kernel '{}' has more than {MOST_LEAVES} statements when it is written out", self.kernel.name)));
        }
        let roots: Vec<ExprId> = [index, value].into_iter().chain(guard).collect();
        let roots = self.substitute(&roots);
        let (mut place, mut index, value) = (place, roots[0], roots[1]);
        let guard = match roots.get(2).map(|guard| (*guard, self.out.exprs.as_const(*guard))) {
            Some((_, Some(Scalar::Bool(false)))) => return Ok(()),
            None | Some((_, Some(_))) => None,
            Some((guard, None)) => Some(guard),
        };
        if let (Some(combine), true) = (combine, lanes.all == self.lanes && lanes.all > 1)
            && let Some(sums) = self.partial(place, index, combine)
        {
            place = sums;
            index = self.sum_index(self.across.as_ref().map_or(0, |across| across.sum));
        }
        out.push(Node::Leaf(Leaf { place, index, value, guard, combine, lanes }));
        Ok(())
    }

    /// The partial sums for an accumulation across lanes, if the element stays the same in the whole vector loop.
    fn partial(&mut self, place: Source, index: ExprId, combine: Combine) -> Option<Source> {
        let lane_vars = &self.out.lane_vars;
        let across = self.across.as_mut()?;
        let moves = self.out.exprs.reachable(&[index]).iter().any(|id| match self.out.exprs.get(*id) {
            Expr::Var(var) => lane_vars.values().any(|lane| lane == var) || *var >= across.mark,
            Expr::Load { .. } => true,
            _ => false,
        });
        if moves {
            return None;
        }
        if let Some(known) = across.partials.iter().find(|partial| partial.place == place && partial.index == index && partial.combine == combine) {
            return Some(known.sums);
        }
        let sums = Source(self.out.places.len() as u32);
        let dtype = self.out.places[place.0 as usize].dtype;
        self.out.places.push(Place { dtype, elems: across.sums * i64::from(self.lanes), space: Space::Registers });
        across.partials.push(Partial { place, index, combine, sums });
        Some(sums)
    }

    /// The expressions with the variables' present values, simplified.
    fn substitute(&mut self, roots: &[ExprId]) -> Vec<ExprId> {
        let mut known: BTreeMap<ExprId, ExprId> = BTreeMap::new();
        for id in self.kernel.exprs.reachable(roots) {
            let new = match self.kernel.exprs.get(id) {
                Expr::Var(var) => self.env.get(var).copied().unwrap_or(id),
                expr => self.out.exprs.rebuild(expr, self.kernel.exprs.dtype(id), |child| known[&child]),
            };
            known.insert(id, new);
        }
        let roots: Vec<ExprId> = roots.iter().map(|id| known[id]).collect();
        simplify_all(&mut self.out.exprs, &roots, &self.out.extents)
    }

    fn depends(&self, id: ExprId, var: Var) -> bool {
        self.kernel.exprs.reachable(&[id]).iter().any(|id| *self.kernel.exprs.get(*id) == Expr::Var(var))
    }

    /// All stores and accumulations inside.
    fn inside<'s>(body: &'s [Stmt], found: &mut Vec<&'s Stmt>) {
        for stmt in body {
            match stmt {
                Stmt::For { body, .. } => Self::inside(body, found),
                Stmt::Store { .. } | Stmt::Accumulate { .. } => found.push(stmt),
            }
        }
    }

    /// Number of expressions that one iteration evaluates.
    fn size(&self, body: &[Stmt]) -> usize {
        let mut stmts = Vec::new();
        Self::inside(body, &mut stmts);
        let roots: Vec<ExprId> = stmts.iter().flat_map(|stmt| stmt.roots()).collect();
        self.kernel.exprs.reachable(&roots).len()
    }

    fn accumulates_across(&self, var: Var, body: &[Stmt]) -> bool {
        let mut stmts = Vec::new();
        Self::inside(body, &mut stmts);
        stmts.iter().any(|stmt| matches!(stmt, Stmt::Accumulate { index, .. } if !self.depends(*index, var)))
    }

    /// Does an iteration read or overwrite what iterations accumulate into one element?
    fn carries(&self, var: Var, body: &[Stmt]) -> bool {
        let mut stmts = Vec::new();
        Self::inside(body, &mut stmts);
        let across: Vec<Source> = stmts
            .iter()
            .filter_map(|stmt| match stmt {
                Stmt::Accumulate { place, index, .. } if !self.depends(*index, var) => Some(*place),
                _ => None,
            })
            .collect();
        let roots: Vec<ExprId> = stmts.iter().flat_map(|stmt| stmt.roots()).collect();
        let reads = |id: &ExprId| matches!(self.kernel.exprs.get(*id), Expr::Load { source, .. } if across.contains(source));
        !across.is_empty()
            && (stmts.iter().any(|stmt| matches!(stmt, Stmt::Store { place, .. } if across.contains(place))) || self.kernel.exprs.reachable(&roots).iter().any(reads))
    }

    /// Is a register tile indexed by the variable?
    fn indexes_registers(&self, var: Var, body: &[Stmt]) -> bool {
        let in_registers = |place: &Source| self.kernel.places[place.0 as usize].space == Space::Registers;
        let mut stmts = Vec::new();
        Self::inside(body, &mut stmts);
        let roots: Vec<ExprId> = stmts.iter().flat_map(|stmt| stmt.roots()).collect();
        let loads = self.kernel.exprs.reachable(&roots);
        let loaded = loads.iter().filter_map(|id| match self.kernel.exprs.get(*id) {
            Expr::Load { source, index, .. } => index.first().map(|index| (*source, *index)),
            _ => None,
        });
        let stored = stmts.iter().filter_map(|stmt| match stmt {
            Stmt::Store { place, index, .. } | Stmt::Accumulate { place, index, .. } => Some((*place, *index)),
            Stmt::For { .. } => None,
        });
        loaded.chain(stored).any(|(place, index)| in_registers(&place) && self.depends(index, var))
    }
}

/// An access to a register tile: the first element and the lanes; `None` where that is not known.
pub(super) fn tile_access(exprs: &Exprs, lane_vars: &BTreeMap<Lanes, Var>, index: ExprId) -> Option<(i64, Lanes)> {
    let linear = Linear::of(exprs, index);
    match linear.terms[..] {
        [] => Some((linear.constant, Lanes::ONE)),
        [(atom, 1)] => match exprs.get(atom) {
            Expr::Var(var) => lane_vars.iter().find(|(_, lane)| *lane == var).map(|(lanes, _)| (linear.constant, *lanes)),
            _ => None,
        },
        _ => None,
    }
}

/// All leaves, in order.
pub(super) fn leaves<'n>(body: &'n [Node], found: &mut Vec<&'n Leaf>) {
    for node in body {
        match node {
            Node::Loop { body, .. } => leaves(body, found),
            Node::Leaf(leaf) => found.push(leaf),
        }
    }
}

/// Accesses to tiles in registers: by place, first element and lanes.
pub(super) fn tile_accesses(expanded: &Expanded) -> BTreeMap<Source, Option<Vec<(i64, Lanes)>>> {
    let mut all = Vec::new();
    leaves(&expanded.body, &mut all);
    let roots: Vec<ExprId> = all.iter().flat_map(|leaf| [leaf.index, leaf.value].into_iter().chain(leaf.guard)).collect();
    let loads = expanded.exprs.reachable(&roots).into_iter().filter_map(|id| match expanded.exprs.get(id) {
        Expr::Load { source, index, .. } => Some((*source, index[0])),
        _ => None,
    });
    let mut accesses: BTreeMap<Source, Option<Vec<(i64, Lanes)>>> = BTreeMap::new();
    for (place, index) in loads.chain(all.iter().map(|leaf| (leaf.place, leaf.index))) {
        let Place { space, elems, .. } = expanded.places[place.0 as usize];
        if space != Space::Registers {
            continue;
        }
        let access = tile_access(&expanded.exprs, &expanded.lane_vars, index).filter(|(first, lanes)| *first >= 0 && *first <= elems - i64::from(lanes.live));
        let slot = accesses.entry(place).or_insert_with(|| Some(Vec::new()));
        match (slot.as_mut(), access) {
            (Some(list), Some(access)) if !list.contains(&access) => list.push(access),
            (Some(_), None) => *slot = None,
            _ => {}
        }
    }
    accesses
}

/// Moves register tiles to memory whose elements can't be told apart when code is generated, or whose vectors overlap, or
/// that are far larger than all registers.
fn demote(expanded: &mut Expanded, own: usize, target: &Target) {
    for (place, accesses) in tile_accesses(expanded) {
        let fits = accesses.is_some_and(|list| {
            let elements = |(first, lanes): &(i64, Lanes)| *first..*first + i64::from(lanes.live);
            let vectors: Vec<_> = list.iter().filter(|(_, lanes)| lanes.all > 1).map(elements).collect();
            let overlap = vectors.iter().enumerate().any(|(at, a)| vectors[..at].iter().any(|b| a.start < b.end && b.start < a.end));
            let scalars = list.iter().filter(|(first, lanes)| lanes.all == 1 && !vectors.iter().any(|vector| vector.contains(first))).count();
            !overlap && (vectors.len() + scalars) as i64 <= MOST_REGISTERS * i64::from(target.vector_registers)
        });
        if !fits && (place.0 as usize) < own {
            expanded.places[place.0 as usize].space = Space::Scratch;
        }
    }
}
