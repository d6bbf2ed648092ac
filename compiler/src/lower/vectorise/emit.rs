//! Turns expanded loops into instructions.
//!
//! In: [`Expanded`]. Out: a [`Program`]. Each expression is computed once, at the end of what is emitted so far of the
//! outermost loop in which its variables are known and in which nothing inside writes what it reads. Must not know: loop kinds,
//! tensor ops.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use frit_ir::affine::{Extents, Linear, Linears, simplify};
use frit_ir::dtype::DType;
use frit_ir::error::OpError;
use frit_ir::expr::{Expr, ExprId, Exprs, Source, Var};
use frit_ir::loops::{Kernel, Place, Space};
use frit_ir::scalar::{Binary, Scalar};
use frit_ir::tensor::ALIGNMENT;
use frit_ir::vector::{Address, Inst, Program, Reg, RegType, Target};

use super::expand::{Expanded, FARTHEST, Lanes, Leaf, Node, leaves, tile_access, tile_accesses};

/// Expressions nested deeper than this are refused.
const DEEPEST: u32 = 600;

/// Vectors of more runs than this are loaded and stored lane by lane.
const MOST_RUNS: i64 = 6;

/// A register that holds elements of a tile.
struct TileReg {
    first: i64,
    lanes: Lanes,
    reg: Reg,
    /// Has all of it been written before this point of the program?
    defined: bool,
}

impl TileReg {
    fn holds(&self, element: i64) -> bool {
        (self.first..self.first + i64::from(self.lanes.live)).contains(&element)
    }
}

/// Lanes that follow each other and whose index is affine.
struct Run {
    /// The index in these lanes.
    index: ExprId,
    /// Is a lane one of them?
    here: ExprId,
    /// Is it one of them, or behind them?
    from: ExprId,
}

/// Where a place lies.
enum Home {
    Buffer { buffer: u32, base: u64 },
    Registers(Vec<TileReg>),
}

/// What is known of an expression wherever it is computed.
#[derive(Clone)]
struct Facts {
    /// Lanes of the lane variable that it depends on; one if it is the same for all.
    lanes: Lanes,
    /// Loops that bind its variables: it can be computed inside so many.
    depth: usize,
    /// Places that it reads and the kernel writes.
    reads: BTreeSet<Source>,
    /// Levels of operations.
    height: u32,
}

/// A loop that is being filled.
struct Scope {
    insts: Vec<Inst>,
    writes: BTreeSet<Source>,
    /// What was computed in it.
    made: Vec<(ExprId, u32)>,
}

struct Emitter<'a> {
    name: &'a str,
    fma: bool,
    /// Does guarding each lane cost nothing?
    guards: bool,
    exprs: Exprs,
    extents: Extents,
    places: Vec<Place>,
    homes: Vec<Home>,
    written: BTreeSet<Source>,
    lane_vars: BTreeMap<Lanes, Var>,
    regs: Vec<RegType>,
    mutable: Vec<Reg>,
    scopes: Vec<Scope>,
    /// Counters of open loops and of the grid: register, number of loops around, elements per iteration.
    counters: BTreeMap<Var, (Reg, usize, i64)>,
    known: HashMap<(ExprId, u32), (Reg, u64)>,
    /// When a place was last written.
    changed: BTreeMap<Source, u64>,
    clock: u64,
    facts: HashMap<ExprId, Facts>,
    linears: Linears,
    at_lane: HashMap<(ExprId, u32), ExprId>,
    /// Bool registers that are true in live lanes.
    masks: BTreeMap<Lanes, Reg>,
    /// Tile registers that are read or partly written before all of them was written.
    undefined: Vec<Reg>,
}

/// Emits a kernel's program.
pub(super) fn emit(kernel: &Kernel, expanded: Expanded, target: &Target) -> Result<Program, OpError> {
    let accesses = tile_accesses(&expanded);
    let mut written = Vec::new();
    leaves(&expanded.body, &mut written);
    let written = written.iter().map(|leaf| leaf.place).collect();
    let Expanded { exprs, places, lane_vars, extents, body } = expanded;
    let mut emitter = Emitter {
        name: &kernel.name,
        fma: target.fma,
        guards: target.masks(),
        exprs,
        extents,
        places,
        homes: Vec::new(),
        written,
        lane_vars,
        regs: Vec::new(),
        mutable: Vec::new(),
        scopes: vec![Scope { insts: Vec::new(), writes: BTreeSet::new(), made: Vec::new() }],
        counters: BTreeMap::new(),
        known: HashMap::new(),
        changed: BTreeMap::new(),
        clock: 1,
        facts: HashMap::new(),
        linears: Linears::default(),
        at_lane: HashMap::new(),
        masks: BTreeMap::new(),
        undefined: Vec::new(),
    };
    let grid_regs = kernel.grid.iter().map(|(var, _)| {
        let reg = emitter.reg(DType::I64, 1);
        emitter.counters.insert(*var, (reg, 0, 1));
        reg
    });
    let grid_regs = grid_regs.collect();
    let (params, scratch_bytes) = emitter.lay_out(&accesses)?;
    emitter.block(&body)?;
    let mut insts = Vec::new();
    for reg in std::mem::take(&mut emitter.undefined) {
        let ty = emitter.regs[reg.0 as usize];
        let zero = emitter.reg(ty.dtype, ty.lanes);
        insts.push(Inst::Const { dst: zero, value: Scalar::zero(ty.dtype) });
        insts.push(Inst::Move { dst: reg, a: zero });
    }
    insts.append(&mut emitter.scopes[0].insts);
    Ok(Program {
        name: kernel.name.clone(),
        regs: emitter.regs,
        mutable: emitter.mutable,
        params,
        scratch_bytes,
        grid: kernel.grid.iter().map(|(_, extent)| *extent).collect(),
        grid_regs,
        body: insts,
    })
}

/// Places written inside.
fn writes(body: &[Node], found: &mut BTreeSet<Source>) {
    let mut all = Vec::new();
    leaves(body, &mut all);
    found.extend(all.iter().map(|leaf| leaf.place));
}

impl Emitter<'_> {
    /// Gives every place its home. Returns the dtypes of the parameters and the size of scratch.
    fn lay_out(&mut self, accesses: &BTreeMap<Source, Option<Vec<(i64, Lanes)>>>) -> Result<(Vec<DType>, u64), OpError> {
        let params: Vec<DType> = self.places.iter().filter(|place| matches!(place.space, Space::Input | Space::Output)).map(|place| place.dtype).collect();
        let mut buffer = 0;
        let mut scratch = 0u64;
        for at in 0..self.places.len() {
            let Place { dtype, elems, space } = self.places[at];
            let home = match space {
                Space::Input | Space::Output => {
                    buffer += 1;
                    Home::Buffer { buffer: buffer - 1, base: 0 }
                }
                Space::Scratch => {
                    let base = scratch;
                    let too_large = || OpError::unsupported(format!("the tiles of kernel '{}' do not fit into memory", self.name));
                    let bytes = u64::try_from(elems).ok().and_then(|n| n.checked_mul(dtype.size() as u64)).ok_or_else(too_large)?;
                    scratch = base.checked_add(bytes).and_then(|end| end.checked_next_multiple_of(ALIGNMENT as u64)).ok_or_else(too_large)?;
                    Home::Buffer { buffer: params.len() as u32, base }
                }
                Space::Registers => {
                    let mut list = accesses.get(&Source(at as u32)).cloned().flatten().unwrap_or_default();
                    // Vectors first; then what no vector covers.
                    list.sort_by_key(|(first, lanes)| (std::cmp::Reverse(*lanes), *first));
                    let mut tile: Vec<TileReg> = Vec::new();
                    for (first, lanes) in list {
                        if tile.iter().any(|t| t.holds(first)) {
                            continue;
                        }
                        let reg = self.reg(dtype, lanes.all);
                        self.mutable.push(reg);
                        tile.push(TileReg { first, lanes, reg, defined: false });
                    }
                    Home::Registers(tile)
                }
            };
            self.homes.push(home);
        }
        Ok((params, scratch))
    }

    fn bug(&self, what: &str) -> OpError {
        OpError::bug(format!("kernel '{}': {what}", self.name))
    }

    fn reg(&mut self, dtype: DType, lanes: u32) -> Reg {
        self.regs.push(RegType { dtype, lanes });
        Reg(self.regs.len() as u32 - 1)
    }

    /// Adds an instruction to the innermost open loop.
    fn push(&mut self, inst: Inst) {
        let at = self.scopes.len() - 1;
        self.scopes[at].insts.push(inst);
    }

    fn block(&mut self, body: &[Node]) -> Result<(), OpError> {
        for node in body {
            match node {
                Node::Leaf(leaf) => self.leaf(leaf)?,
                Node::Loop { var, count, scale, body } => {
                    let mut inside = BTreeSet::new();
                    writes(body, &mut inside);
                    // In its second round the loop sees what it wrote in the first.
                    for place in &inside {
                        self.touch(*place);
                    }
                    let counter = self.reg(DType::I64, 1);
                    self.counters.insert(*var, (counter, self.scopes.len(), *scale));
                    self.scopes.push(Scope { insts: Vec::new(), writes: inside, made: Vec::new() });
                    self.block(body)?;
                    let Some(scope) = self.scopes.pop() else { return Err(self.bug("a loop ends that did not begin")) };
                    for key in scope.made {
                        self.known.remove(&key);
                    }
                    let end = count.checked_mul(*scale).ok_or_else(|| self.bug("a loop counter overflows"))?;
                    self.push(Inst::Loop { counter, end, step: *scale, body: scope.insts });
                }
            }
        }
        Ok(())
    }

    fn touch(&mut self, place: Source) {
        self.clock += 1;
        self.changed.insert(place, self.clock);
        self.clock += 1;
    }

    fn facts(&mut self, id: ExprId) -> Result<Facts, OpError> {
        if let Some(known) = self.facts.get(&id) {
            return Ok(known.clone());
        }
        for node in self.exprs.reachable(&[id]) {
            if self.facts.contains_key(&node) {
                continue;
            }
            let mut facts = Facts { lanes: Lanes::ONE, depth: 0, reads: BTreeSet::new(), height: 0 };
            for child in self.exprs.get(node).children() {
                let Some(child) = self.facts.get(&child) else { return Err(self.bug("an expression before its parts")) };
                facts.lanes = facts.lanes.max(child.lanes);
                facts.depth = facts.depth.max(child.depth);
                facts.height = facts.height.max(child.height + 1);
                facts.reads.extend(&child.reads);
            }
            match self.exprs.get(node) {
                Expr::Var(var) => {
                    if let Some((lanes, _)) = self.lane_vars.iter().find(|(_, lane)| *lane == var) {
                        facts.lanes = *lanes;
                    } else {
                        facts.depth = self.counters.get(var).map(|(_, depth, _)| *depth).ok_or_else(|| self.bug("a variable outside its loop"))?;
                    }
                }
                Expr::Load { source, .. } if self.written.contains(source) => {
                    facts.reads.insert(*source);
                }
                _ => {}
            }
            if facts.height > DEEPEST {
                return Err(OpError::unsupported(format!("kernel '{}' nests expressions more than {DEEPEST} deep", self.name)));
            }
            self.facts.insert(node, facts);
        }
        Ok(self.facts[&id].clone())
    }

    /// The loop to compute an expression in.
    fn home(&self, facts: &Facts) -> usize {
        let written = (0..self.scopes.len()).rev().find(|at| !self.scopes[*at].writes.is_disjoint(&facts.reads)).unwrap_or(0);
        facts.depth.max(written)
    }

    /// A register for an expression, computed by `inst`.
    fn make(&mut self, id: ExprId, lanes: u32, inst: impl FnOnce(Reg) -> Inst) -> Result<Reg, OpError> {
        let dst = self.reg(self.exprs.dtype(id), lanes);
        self.define(id, lanes, dst, vec![inst(dst)])
    }

    /// Adds instructions whose last result, `dst`, is the expression's value.
    fn define(&mut self, id: ExprId, lanes: u32, dst: Reg, insts: Vec<Inst>) -> Result<Reg, OpError> {
        let facts = self.facts(id)?;
        let home = self.home(&facts);
        self.scopes[home].insts.extend(insts);
        self.scopes[home].made.push((id, lanes));
        self.clock += 1;
        self.known.insert((id, lanes), (dst, self.clock));
        Ok(dst)
    }

    /// The register with an expression's value in `lanes` lanes.
    fn value(&mut self, id: ExprId, lanes: u32) -> Result<Reg, OpError> {
        let facts = self.facts(id)?;
        if let Some((reg, made)) = self.known.get(&(id, lanes))
            && facts.reads.iter().all(|place| self.changed.get(place).is_none_or(|changed| changed < made))
        {
            return Ok(*reg);
        }
        if facts.lanes.all != 1 && facts.lanes.all != lanes {
            return Err(self.bug("an expression of as many lanes in another context"));
        }
        let expr = self.exprs.get(id).clone();
        if let Expr::Load { source, index, guard } = &expr {
            return self.load(id, *source, index[0], *guard, lanes);
        }
        if let Expr::Const(value) = expr {
            return self.make(id, lanes, |dst| Inst::Const { dst, value });
        }
        if lanes > 1 && facts.lanes.all == 1 {
            let a = self.value(id, 1)?;
            return self.make(id, lanes, |dst| Inst::Splat { dst, a });
        }
        if lanes > 1
            && self.exprs.dtype(id) == DType::I64
            && let Some((rest, step)) = self.affine(id, lanes)?
        {
            let rest = self.build(&rest)?;
            let a = self.value(rest, 1)?;
            return self.make(id, lanes, |dst| Inst::Ramp { dst, a, step });
        }
        match expr {
            Expr::Const(_) | Expr::Load { .. } => Err(self.bug("an expression that was seen before")),
            Expr::Var(var) => {
                let (counter, _, scale) = self.counters[&var];
                if scale == 1 {
                    return Ok(counter);
                }
                let divisor = self.exprs.int(scale);
                let b = self.value(divisor, 1)?;
                self.make(id, lanes, |dst| Inst::Binary { dst, op: Binary::FloorDiv, a: counter, b })
            }
            Expr::Unary(op, a) => {
                let a = self.value(a, lanes)?;
                self.make(id, lanes, |dst| Inst::Unary { dst, op, a })
            }
            Expr::Binary(op, a, b) => {
                if op == Binary::Mul
                    && let Some(reg) = self.scaled_counter(id, a, b)?
                {
                    return Ok(reg);
                }
                let (a, b) = (self.value(a, lanes)?, self.value(b, lanes)?);
                if matches!(op, Binary::Dot | Binary::DotPairs) {
                    let zero = self.exprs.constant(Scalar::Int(0), op.result(DType::I32));
                    let c = self.value(zero, lanes)?;
                    return self.make(id, lanes, |dst| Inst::Dot { dst, a, b, c });
                }
                self.make(id, lanes, |dst| Inst::Binary { dst, op, a, b })
            }
            Expr::Fma(a, b, c) => {
                let (a, b, c) = (self.value(a, lanes)?, self.value(b, lanes)?, self.value(c, lanes)?);
                self.make(id, lanes, |dst| Inst::Fma { dst, a, b, c })
            }
            Expr::Select(cond, a, b) => {
                let (cond, a, b) = (self.value(cond, lanes)?, self.value(a, lanes)?, self.value(b, lanes)?);
                self.make(id, lanes, |dst| Inst::Select { dst, cond, a, b })
            }
            Expr::Cast(a) => {
                let a = self.value(a, lanes)?;
                self.make(id, lanes, |dst| Inst::Cast { dst, a })
            }
            Expr::Bitcast(a) => {
                let a = self.value(a, lanes)?;
                self.make(id, lanes, |dst| Inst::Bitcast { dst, a })
            }
            Expr::Reduced => Err(self.bug("a reference to a reduction outside an epilogue")),
        }
    }

    /// A counter that steps by more than 1, times a multiple of its step.
    fn scaled_counter(&mut self, id: ExprId, a: ExprId, b: ExprId) -> Result<Option<Reg>, OpError> {
        let (Expr::Var(var), Some(factor)) = (self.exprs.get(a), self.exprs.as_int(b)) else { return Ok(None) };
        let Some((counter, _, scale)) = self.counters.get(var).copied() else { return Ok(None) };
        if scale == 1 || factor % scale != 0 {
            return Ok(None);
        }
        if factor == scale {
            return Ok(Some(counter));
        }
        let factor = self.exprs.int(factor / scale);
        let b = self.value(factor, 1)?;
        self.make(id, 1, |dst| Inst::Binary { dst, op: Binary::Mul, a: counter, b }).map(Some)
    }

    /// An index as a part that is the same for all lanes, and what it grows by from lane to lane; `None` where
    /// it is not of that form.
    fn affine(&mut self, index: ExprId, lanes: u32) -> Result<Option<(Linear, i64)>, OpError> {
        let linear = self.linears.of(&self.exprs, index);
        let (mut rest, mut step) = (Linear::constant(linear.constant), 0);
        for (atom, coefficient) in linear.terms {
            let moves = self.facts(atom)?.lanes;
            if moves == Lanes::ONE {
                rest.terms.push((atom, coefficient));
            } else if moves.all == lanes && matches!(self.exprs.get(atom), Expr::Var(_)) {
                step = coefficient;
            } else {
                return Ok(None);
            }
        }
        Ok(Some((rest, step)))
    }

    /// The expression of a linear form, in which what outer loops know comes first.
    fn build(&mut self, linear: &Linear) -> Result<ExprId, OpError> {
        let mut terms = Vec::new();
        for (atom, coefficient) in &linear.terms {
            let facts = self.facts(*atom)?;
            terms.push((self.home(&facts), *atom, *coefficient));
        }
        terms.sort_by_key(|(home, ..)| *home);
        let terms = terms.into_iter().map(|(_, atom, coefficient)| (atom, coefficient)).collect();
        Ok(Linear { constant: linear.constant, terms }.build(&mut self.exprs))
    }

    /// The memory operand for an index without its lane part; `None` if the place is in registers.
    fn address(&mut self, place: Source, rest: &Linear) -> Result<Option<Address>, OpError> {
        let Home::Buffer { buffer, base } = self.homes[place.0 as usize] else { return Ok(None) };
        let moving = Linear { constant: 0, terms: rest.terms.clone() };
        let moving = self.build(&moving)?;
        let index = self.value(moving, 1)?;
        Ok(Some(Address { buffer, base, index, offset: rest.constant }))
    }

    /// The expression in one lane.
    fn at_lane(&mut self, id: ExprId, lane: u32) -> Result<ExprId, OpError> {
        let lanes = self.facts(id)?.lanes;
        if lanes == Lanes::ONE {
            return Ok(id);
        }
        if let Some(known) = self.at_lane.get(&(id, lane)) {
            return Ok(*known);
        }
        let var = self.lane_vars.get(&lanes).copied();
        let mut known: HashMap<ExprId, ExprId> = HashMap::new();
        for node in self.exprs.reachable(&[id]) {
            let (expr, dtype) = self.exprs.nodes()[node.0 as usize].clone();
            let new = match expr {
                Expr::Var(v) if Some(v) == var => self.exprs.int(i64::from(lane)),
                _ => self.exprs.rebuild(&expr, dtype, |child| known[&child]),
            };
            known.insert(node, new);
        }
        let new = simplify(&mut self.exprs, known[&id], &self.extents);
        self.at_lane.insert((id, lane), new);
        Ok(new)
    }

    fn load(&mut self, id: ExprId, source: Source, index: ExprId, guard: Option<ExprId>, lanes: u32) -> Result<Reg, OpError> {
        let dtype = self.exprs.dtype(id);
        if matches!(self.homes[source.0 as usize], Home::Registers(_)) {
            return match guard {
                // Registers are there whatever the guard says.
                Some(guard) => {
                    let (zero, load) = (self.exprs.constant(Scalar::zero(dtype), dtype), self.exprs.load(source, dtype, vec![index]));
                    let either = self.exprs.select(guard, load, zero);
                    self.value(either, lanes)
                }
                None => self.read_tile(id, source, index, lanes),
            };
        }
        let own = self.facts(id)?.lanes;
        let Some((rest, stride)) = self.affine(index, lanes)? else {
            if guard.is_none()
                && own.live == own.all
                && let Some((rest, stride, times)) = self.repeats(index, lanes)?
            {
                let Some(from) = self.address(source, &rest)? else { return Err(self.bug("a tile without an address")) };
                let (few, whole) = (self.reg(dtype, lanes / times), self.reg(dtype, lanes));
                let load = Inst::Load { dst: few, from, stride: if lanes == times { 1 } else { stride } };
                let all = if lanes == times { Inst::Splat { dst: whole, a: few } } else { Inst::Repeat { dst: whole, a: few, times } };
                return self.define(id, lanes, whole, vec![load, all]);
            }
            let Some(runs) = self.runs(index, lanes)? else { return self.gather(id, lanes) };
            let mut whole = None;
            for Run { index, here, from } in runs {
                let guard = guard.map_or(here, |guard| self.exprs.and(guard, here));
                let always = self.exprs.as_const(guard) == Some(Scalar::Bool(true));
                let load = if always { self.exprs.load(source, dtype, vec![index]) } else { self.exprs.guarded_load(source, dtype, vec![index], guard) };
                whole = Some(match whole {
                    Some(before) => self.exprs.select(from, load, before),
                    None => load,
                });
            }
            return match whole {
                Some(whole) => self.value(whole, lanes),
                None => Err(self.bug("an index without runs")),
            };
        };
        let all_live = own.live == own.all;
        if all_live && guard.is_none() {
            let Some(from) = self.address(source, &rest)? else { return Err(self.bug("a tile without an address")) };
            let stride = if lanes == 1 { 1 } else { stride };
            return self.make(id, lanes, |dst| Inst::Load { dst, from, stride });
        }
        if own == Lanes::ONE && lanes > 1 {
            let a = self.value(id, 1)?;
            return self.make(id, lanes, |dst| Inst::Splat { dst, a });
        }
        let reach = stride.checked_mul(i64::from(lanes) - 1);
        if let Some(guard) = guard
            && all_live
            && lanes > 1
            && self.facts(guard)?.lanes == Lanes::ONE
            && reach.is_some_and(|reach| (0..self.places[source.0 as usize].elems).contains(&reach))
        {
            // Where the guard is false the place's first elements are read instead, and dropped.
            let rest = self.build(&rest)?;
            let first = self.exprs.int(0);
            let safe = self.exprs.select(guard, rest, first);
            let Some(lane) = self.lane_vars.get(&own).copied() else { return Err(self.bug("lanes without a variable")) };
            let (lane, stride) = (self.exprs.var(lane), self.exprs.int(stride));
            let moved = self.exprs.mul(lane, stride);
            let index = self.exprs.add(safe, moved);
            let load = self.exprs.load(source, dtype, vec![index]);
            let zero = self.exprs.constant(Scalar::zero(dtype), dtype);
            let either = self.exprs.select(guard, load, zero);
            return self.value(either, lanes);
        }
        if guard.is_none() && (2..=FARTHEST).contains(&stride) {
            let Some(from) = self.address(source, &rest)? else { return Err(self.bug("a tile without an address")) };
            return self.make(id, lanes, |dst| Inst::PartialLoad { dst, from, stride, live: own.live });
        }
        if lanes == 1 || stride == 1 {
            let Some(from) = self.address(source, &rest)? else { return Err(self.bug("a tile without an address")) };
            let guard = guard.map(|guard| self.value(guard, lanes)).transpose()?;
            let (guard, before) = self.live(guard, own);
            let dst = self.reg(dtype, lanes);
            return self.define(id, lanes, dst, before.into_iter().chain([Inst::GuardedLoad { dst, from, guard }]).collect());
        }
        self.gather(id, lanes)
    }

    /// An index that is the same for so many lanes at a time and then grows evenly, as where an image is enlarged: the index
    /// of the first lane, the growth, and how many lanes. `None` where it is not of that form.
    fn repeats(&mut self, index: ExprId, lanes: u32) -> Result<Option<(Linear, i64, u32)>, OpError> {
        let linear = self.linears.of(&self.exprs, index);
        let mut moving = None;
        for (atom, coefficient) in &linear.terms {
            if self.facts(*atom)?.lanes != Lanes::ONE && moving.replace((*atom, *coefficient)).is_some() {
                return Ok(None);
            }
        }
        let Some((atom, growth)) = moving else { return Ok(None) };
        let Expr::Binary(Binary::FloorDiv, e, by) = *self.exprs.get(atom) else { return Ok(None) };
        let Some(times) = self.exprs.as_int(by).and_then(|by| u32::try_from(by).ok()).filter(|by| *by > 0 && lanes.is_multiple_of(*by)) else { return Ok(None) };
        let first = self.at_lane(e, 0)?;
        if self.affine(e, lanes)?.is_none_or(|(_, step)| step != 1) || !self.is_multiple(first, i64::from(times)) {
            return Ok(None);
        }
        let first = self.at_lane(index, 0)?;
        Ok(Some((self.linears.of(&self.exprs, first), growth, times)))
    }

    /// Splits the lanes of an index that divides `e` by a constant, `e` growing by one from lane to lane, as rows of an image that
    /// follow each other do, into runs in which the quotient is the same: there it is an index without division. `None` where it is
    /// not of that form, or where there may be too many runs.
    fn runs(&mut self, index: ExprId, lanes: u32) -> Result<Option<Vec<Run>>, OpError> {
        let mut divided = None;
        for id in self.exprs.reachable(&[index]) {
            let Expr::Binary(Binary::FloorDiv | Binary::Mod, e, by) = *self.exprs.get(id) else { continue };
            if self.facts(id)?.lanes == Lanes::ONE {
                continue;
            }
            match (self.exprs.as_int(by), divided) {
                (Some(by), None) => divided = Some((e, by)),
                (Some(by), Some(known)) if known == (e, by) => {}
                _ => return Ok(None),
            }
        }
        let Some((e, by)) = divided else { return Ok(None) };
        if !self.guards || by <= 0 || self.affine(e, lanes)?.is_none_or(|(_, step)| step != 1) {
            return Ok(None);
        }
        let (first, by_at) = (self.at_lane(e, 0)?, self.exprs.int(by));
        // Lanes that begin at a multiple of their number do not cross a multiple of it.
        let aligned = by % i64::from(lanes) == 0 && self.is_multiple(first, i64::from(lanes));
        let most = if aligned { 1 } else { (i64::from(lanes) - 2) / by + 2 };
        if most > MOST_RUNS {
            return Ok(None);
        }
        let first = self.exprs.binary(Binary::FloorDiv, first, by_at);
        let mut runs = Vec::new();
        for number in 0..most {
            let number_at = self.exprs.int(number);
            let quotient = self.exprs.add(first, number_at);
            let begin = self.exprs.mul(quotient, by_at);
            let end = self.exprs.add(begin, by_at);
            let rest = self.exprs.sub(e, begin);
            let mut known: HashMap<ExprId, ExprId> = HashMap::new();
            for node in self.exprs.reachable(&[index]) {
                let (expr, dtype) = self.exprs.nodes()[node.0 as usize].clone();
                let new = match expr {
                    Expr::Binary(Binary::FloorDiv, a, b) if a == e && self.exprs.as_int(b) == Some(by) => quotient,
                    Expr::Binary(Binary::Mod, a, b) if a == e && self.exprs.as_int(b) == Some(by) => rest,
                    _ => self.exprs.rebuild(&expr, dtype, |child| known[&child]),
                };
                known.insert(node, new);
            }
            let own = simplify(&mut self.exprs, known[&index], &self.extents);
            if self.affine(own, lanes)?.is_none_or(|(_, step)| step != 1 && !aligned) {
                return Ok(None);
            }
            let from = self.exprs.binary(Binary::Le, begin, e);
            let below = self.exprs.binary(Binary::Lt, e, end);
            let here = match number {
                _ if aligned => self.exprs.constant(Scalar::Bool(true), DType::Bool),
                0 => below,
                _ if number + 1 == most => from,
                _ => self.exprs.and(from, below),
            };
            runs.push(Run { index: own, here, from });
        }
        Ok(Some(runs))
    }

    /// Is an index known to be a multiple of a number?
    fn is_multiple(&mut self, index: ExprId, of: i64) -> bool {
        let linear = self.linears.of(&self.exprs, index);
        linear.constant % of == 0
            && linear.terms.iter().all(|(atom, coefficient)| {
                coefficient % of == 0
                    || match *self.exprs.get(*atom) {
                        Expr::Binary(Binary::Min | Binary::Max, a, b) => [a, b].into_iter().all(|part| {
                            let part = self.linears.of(&self.exprs, part);
                            part.constant % of == 0 && part.terms.iter().all(|(_, coefficient)| coefficient % of == 0)
                        }),
                        _ => false,
                    }
            })
    }

    /// A bool register that is true in live lanes.
    fn mask(&mut self, lanes: Lanes) -> Reg {
        if let Some(known) = self.masks.get(&lanes) {
            return *known;
        }
        let dtype = DType::I32;
        let (zero, number, live, mask) = (self.reg(dtype, 1), self.reg(dtype, lanes.all), self.reg(dtype, lanes.all), self.reg(DType::Bool, lanes.all));
        self.scopes[0].insts.extend([
            Inst::Const { dst: zero, value: Scalar::Int(0) },
            Inst::Ramp { dst: number, a: zero, step: 1 },
            Inst::Const { dst: live, value: Scalar::Int(i128::from(lanes.live)) },
            Inst::Binary { dst: mask, op: Binary::Lt, a: number, b: live },
        ]);
        self.masks.insert(lanes, mask);
        mask
    }

    /// A guard that also keeps dead lanes out, and what makes it.
    fn live(&mut self, guard: Option<Reg>, lanes: Lanes) -> (Reg, Option<Inst>) {
        match guard {
            Some(guard) if lanes.live == lanes.all => (guard, None),
            None => (self.mask(lanes), None),
            Some(guard) => {
                let (mask, dst) = (self.mask(lanes), self.reg(DType::Bool, lanes.all));
                (dst, Some(Inst::Binary { dst, op: Binary::And, a: guard, b: mask }))
            }
        }
    }

    /// An expression's value lane by lane.
    fn gather(&mut self, id: ExprId, lanes: u32) -> Result<Reg, OpError> {
        let dtype = self.exprs.dtype(id);
        let mut scalars = Vec::new();
        for lane in 0..self.facts(id)?.lanes.live {
            let element = self.at_lane(id, lane)?;
            scalars.push(self.value(element, 1)?);
        }
        let mut whole = self.reg(dtype, lanes);
        let mut insts = vec![Inst::Splat { dst: whole, a: scalars[0] }];
        for (lane, b) in scalars.into_iter().enumerate().skip(1) {
            let dst = self.reg(dtype, lanes);
            insts.push(Inst::Insert { dst, a: whole, b, lane: lane as u32 });
            whole = dst;
        }
        self.define(id, lanes, whole, insts)
    }

    /// The register of a tile that holds an element, and the lane in it.
    fn tile_reg(&mut self, place: Source, first: i64) -> Option<(&mut TileReg, u32)> {
        let Home::Registers(tile) = &mut self.homes[place.0 as usize] else { return None };
        tile.iter_mut().find(|t| t.holds(first)).map(|t| {
            let lane = (first - t.first) as u32;
            (t, lane)
        })
    }

    fn read_tile(&mut self, id: ExprId, place: Source, index: ExprId, lanes: u32) -> Result<Reg, OpError> {
        let Some(access) = tile_access(&self.exprs, &self.lane_vars, index) else { return Err(self.bug("a register tile at an index that is not known")) };
        let (reg, have, lane, defined) = match self.tile_reg(place, access.0) {
            Some((tile, lane)) => (tile.reg, tile.lanes.all, lane, tile.defined),
            None => return Err(self.bug("an element that a register tile does not have")),
        };
        if !defined && !self.undefined.contains(&reg) {
            self.undefined.push(reg);
        }
        if access.1.all > 1 {
            return if have == access.1.all && lanes == have && lane == 0 { Ok(reg) } else { Err(self.bug("a part of a vector of a register tile")) };
        }
        if lanes == 1 {
            return if have == 1 { Ok(reg) } else { self.make(id, 1, |dst| Inst::Extract { dst, a: reg, lane }) };
        }
        let a = self.value(id, 1)?;
        self.make(id, lanes, |dst| Inst::Splat { dst, a })
    }

    fn leaf(&mut self, leaf: &Leaf) -> Result<(), OpError> {
        let Leaf { place, index, value, guard, combine, lanes } = *leaf;
        let dtype = self.places[place.0 as usize].dtype;
        let Some(combine) = combine else {
            return self.store(place, index, Value::Expr(value), guard, lanes);
        };
        let op = combine.op();
        let at = self.facts(index)?.lanes;
        if lanes.all > 1 && at == Lanes::ONE {
            let mut whole = self.value(value, lanes.all)?;
            if lanes.live < lanes.all {
                let (cond, b, dst) = (self.mask(lanes), self.reg(dtype, lanes.all), self.reg(dtype, lanes.all));
                self.push(Inst::Const { dst: b, value: combine.identity(dtype) });
                self.push(Inst::Select { dst, cond, a: whole, b });
                whole = dst;
            }
            let b = self.reg(dtype, 1);
            self.push(Inst::Join { dst: b, op, a: whole });
            return self.accumulate(place, index, op, b, Lanes::ONE);
        }
        if lanes.all > 1 && self.affine(index, lanes.all)?.is_none_or(|(_, step)| step == 0) {
            // Lanes may meet in one element, so they come one after the other.
            let whole = self.value(value, lanes.all)?;
            for lane in 0..lanes.live {
                let index = self.at_lane(index, lane)?;
                let b = self.reg(dtype, 1);
                self.push(Inst::Extract { dst: b, a: whole, lane });
                self.accumulate(place, index, op, b, Lanes::ONE)?;
            }
            return Ok(());
        }
        if let Expr::Binary(Binary::Mul, a, b) = *self.exprs.get(value)
            && op == Binary::Add
            && self.fma
            && matches!(dtype, DType::F32 | DType::F64)
        {
            let (a, b) = (self.value(a, lanes.all)?, self.value(b, lanes.all)?);
            return self.update(place, index, lanes, |c, dst| Inst::Fma { dst, a, b, c });
        }
        if let Expr::Binary(Binary::Dot | Binary::DotPairs, a, b) = *self.exprs.get(value)
            && op == Binary::Add
        {
            let (a, b) = (self.value(a, lanes.all)?, self.value(b, lanes.all)?);
            return self.update(place, index, lanes, |c, dst| Inst::Dot { dst, a, b, c });
        }
        let b = self.value(value, lanes.all)?;
        self.accumulate(place, index, op, b, lanes)
    }

    /// `place[index] = place[index] op b`.
    fn accumulate(&mut self, place: Source, index: ExprId, op: Binary, b: Reg, lanes: Lanes) -> Result<(), OpError> {
        self.update(place, index, lanes, |a, dst| Inst::Binary { dst, op, a, b })
    }

    /// Replaces `place[index]` by what an instruction makes of it. Elements of dead lanes stay as they are.
    fn update(&mut self, place: Source, index: ExprId, lanes: Lanes, inst: impl FnOnce(Reg, Reg) -> Inst) -> Result<(), OpError> {
        let dtype = self.places[place.0 as usize].dtype;
        let old = self.exprs.load(place, dtype, vec![index]);
        let old = self.value(old, lanes.all)?;
        let mut new = self.reg(dtype, lanes.all);
        self.push(inst(old, new));
        if self.facts(index)?.lanes.live > lanes.live {
            let (cond, dst) = (self.mask(lanes), self.reg(dtype, lanes.all));
            self.push(Inst::Select { dst, cond, a: new, b: old });
            new = dst;
        }
        self.store(place, index, Value::Reg(new), None, lanes)
    }

    fn store(&mut self, place: Source, index: ExprId, value: Value, guard: Option<ExprId>, lanes: Lanes) -> Result<(), OpError> {
        if matches!(self.homes[place.0 as usize], Home::Registers(_)) {
            self.write_tile(place, index, value, guard, lanes)?;
        } else {
            self.store_to_memory(place, index, value, guard, lanes)?;
        }
        self.touch(place);
        Ok(())
    }

    fn store_to_memory(&mut self, place: Source, index: ExprId, value: Value, guard: Option<ExprId>, lanes: Lanes) -> Result<(), OpError> {
        let no_address = || OpError::bug("a tile without an address");
        let whole = self.settle(value, lanes.all)?;
        let guarded = guard.is_some() || lanes.live < lanes.all;
        if let Some((rest, stride)) = self.affine(index, lanes.all)?
            && (lanes == Lanes::ONE || if guarded { stride == 1 } else { stride != 0 })
        {
            let to = self.address(place, &rest)?.ok_or_else(no_address)?;
            if guarded {
                let guard = guard.map(|guard| self.value(guard, lanes.all)).transpose()?;
                let (guard, before) = self.live(guard, lanes);
                before.into_iter().for_each(|inst| self.push(inst));
                self.push(Inst::GuardedStore { src: whole, to, guard });
            } else {
                self.push(Inst::Store { src: whole, to, stride: if lanes == Lanes::ONE { 1 } else { stride } });
            }
            return Ok(());
        }
        if let Some(runs) = self.runs(index, lanes.all)? {
            for Run { index, here, .. } in runs {
                let guard = guard.map_or(here, |guard| self.exprs.and(guard, here));
                let always = self.exprs.as_const(guard) == Some(Scalar::Bool(true));
                self.store_to_memory(place, index, Value::Reg(whole), Some(guard).filter(|_| !always), lanes)?;
            }
            return Ok(());
        }
        let dtype = self.places[place.0 as usize].dtype;
        for lane in 0..lanes.live {
            let src = self.reg(dtype, 1);
            self.push(Inst::Extract { dst: src, a: whole, lane });
            let index = self.at_lane(index, lane)?;
            let guard = guard.map(|guard| self.at_lane(guard, lane)).transpose()?;
            let never = guard.is_some_and(|guard| self.exprs.as_const(guard) == Some(Scalar::Bool(false)));
            let always = guard.is_some_and(|guard| self.exprs.as_const(guard) == Some(Scalar::Bool(true)));
            if !never {
                self.store_to_memory(place, index, Value::Reg(src), guard.filter(|_| !always), Lanes::ONE)?;
            }
        }
        Ok(())
    }

    fn settle(&mut self, value: Value, lanes: u32) -> Result<Reg, OpError> {
        match value {
            Value::Expr(id) => self.value(id, lanes),
            Value::Reg(reg) => Ok(reg),
        }
    }

    fn write_tile(&mut self, place: Source, index: ExprId, value: Value, guard: Option<ExprId>, lanes: Lanes) -> Result<(), OpError> {
        let dtype = self.places[place.0 as usize].dtype;
        let mut src = self.settle(value, lanes.all)?;
        if let Some(guard) = guard {
            let cond = self.value(guard, lanes.all)?;
            let old = self.exprs.load(place, dtype, vec![index]);
            let b = self.value(old, lanes.all)?;
            let dst = self.reg(dtype, lanes.all);
            self.push(Inst::Select { dst, cond, a: src, b });
            src = dst;
        }
        let Some(access) = tile_access(&self.exprs, &self.lane_vars, index) else { return Err(self.bug("a register tile at an index that is not known")) };
        if access.1.all == 1 && lanes.all > 1 {
            // All lanes write one element: the last one stays.
            let dst = self.reg(dtype, 1);
            self.push(Inst::Extract { dst, a: src, lane: lanes.live - 1 });
            src = dst;
        }
        let Some((tile, lane)) = self.tile_reg(place, access.0) else { return Err(self.bug("an element that a register tile does not have")) };
        let (reg, have, defined) = (tile.reg, tile.lanes.all, tile.defined);
        if have == access.1.all {
            tile.defined = true;
        } else {
            if access.1.all != 1 {
                return Err(self.bug("a part of a vector of a register tile"));
            }
            if !defined && !self.undefined.contains(&reg) {
                self.undefined.push(reg);
            }
            let dst = self.reg(dtype, have);
            self.push(Inst::Insert { dst, a: reg, b: src, lane });
            src = dst;
        }
        self.push(Inst::Move { dst: reg, a: src });
        Ok(())
    }
}

/// What is stored.
#[derive(Clone, Copy)]
enum Value {
    Expr(ExprId),
    Reg(Reg),
}
