//! Kernels as CUDA C.
//!
//! In: a [`Kernel`] whose transcendental functions were expanded. Out: the text of one `__global__` function, and how many
//! threads run it. Must not know: graphs, schedules, the driver.
//!
//! A team of threads runs each grid point: one thread where the kernel has no vector loop, a warp, or a block. All of a team
//! run the same statements; the iterations of a vector loop are dealt out among them. Scratch is memory that the team shares. A
//! register tile of which each thread only touches its own part is an array of its own; one that no vector loop writes
//! is the same in every thread; another one is shared. Barriers stand where a thread may see what another one wrote.
//!
//! The text relies on [`PRELUDE`]. It is compiled without contraction and without fast math.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use frit_ir::affine::{Extents, Linear, ranges, simplify};
use frit_ir::compute::Combine;
use frit_ir::dtype::{Class, DType};
use frit_ir::error::{Error, OpError};
use frit_ir::expr::{Expr, ExprId, Exprs, Source, Var};
use frit_ir::loops::{Kernel, LoopKind, Space, Stmt};
use frit_ir::scalar::{Binary, Scalar, Unary};
use frit_ir::vector::Target;

/// What all kernels need before them.
pub const PRELUDE: &str = include_str!("cuda/prelude.cu");

/// Threads of a warp.
const WARP: i64 = 32;
/// Threads of a block whose teams are smaller.
const BLOCK: i64 = 256;
/// Elements of 16 bytes, the widest access.
const FOUR: i64 = 4;
/// Iterations of a reduction that a thread does, if it can.
const TURNS: i64 = 4;

/// A kernel as text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text {
    /// One function, whose name is the kernel's.
    pub text: String,
    /// Threads that run a grid point.
    pub team: u32,
    /// Grid points that a block runs.
    pub teams: u32,
    /// Bytes that a block's threads share.
    pub shared_bytes: u64,
}

/// Can expressions be emitted?
///
/// # Errors
/// Unsupported for dtypes narrower than a byte and 8-bit floats.
pub fn supported(exprs: &Exprs) -> Result<(), Error> {
    if exprs.nodes().iter().any(|(expr, _)| matches!(expr, Expr::Binary(Binary::Dot | Binary::DotPairs, ..))) {
        return Err(Error::unsupported("no CUDA code is made for dot products in words"));
    }
    exprs.nodes().iter().try_for_each(|(_, dtype)| in_memory(*dtype).map(drop))
}

/// The type of an element in memory.
fn in_memory(dtype: DType) -> Result<&'static str, Error> {
    Ok(match dtype {
        DType::F32 => "float",
        DType::F64 => "double",
        DType::F16 | DType::BF16 | DType::U16 => "u16",
        DType::I8 => "i8",
        DType::I16 => "short",
        DType::I32 => "int",
        DType::I64 => "i64",
        DType::U8 | DType::Bool => "u8",
        DType::U32 => "u32",
        DType::U64 => "u64",
        _ => return Err(Error::unsupported(format!("no CUDA code is made for dtype {dtype}"))),
    })
}

/// The type that a dtype is computed in.
fn computed(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 | DType::BF16 => "float",
        DType::Bool => "bool",
        _ => in_memory(dtype).unwrap_or("?"),
    }
}

/// Where a place lies.
#[derive(Clone, PartialEq, Debug)]
enum Home {
    /// A parameter.
    Parameter,
    /// Memory that the team shares.
    Shared,
    /// An array of each thread, which holds its own part of the tile: so many elements.
    Own(i64),
    /// An array that is the same in every thread of the team.
    Same,
}

/// A vector loop that is dealt out: its variable, extent, and number in the kernel.
type Dealt = (Var, i64, usize);

/// How a register tile is used.
#[derive(Default)]
struct Uses {
    /// Index, and the vector loop around.
    accesses: Vec<(ExprId, Option<Dealt>)>,
    /// Is it stored to in a vector loop?
    stored_in_vectors: bool,
}

struct Emitter<'k> {
    kernel: &'k Kernel,
    exprs: Exprs,
    extents: Extents,
    ranges: Vec<Option<(i64, i64)>>,
    homes: Vec<Home>,
    /// For tiles that threads hold parts of: the index within the part.
    inside: BTreeMap<(Source, ExprId), ExprId>,
    team: i64,
    text: String,
    names: u32,
    indent: usize,
    /// Does the team join what its threads have?
    joins: bool,
    /// Are we in a loop whose iterations are dealt out?
    dealt: bool,
    /// What threads of the team read and wrote since they last waited for each other.
    read: BTreeSet<Source>,
    written: BTreeSet<Source>,
    /// Accumulations that the loops around join in parts: place, index, and the part's name.
    parts: Vec<(Source, ExprId, String)>,
}

/// Emits a kernel.
///
/// # Errors
/// Unsupported for dtypes and operations that have no CUDA form; a bug where the kernel is malformed.
pub fn emit(kernel: &Kernel, target: &Target) -> Result<Text, Error> {
    let named = |error: OpError| Error::at(error, format!("kernel '{}'", kernel.name), Vec::new());
    kernel.verify().map_err(|problems| named(OpError::bug(problems.join("; "))))?;
    let mut uses = BTreeMap::new();
    let mut loops = Loops { exprs: &kernel.exprs, uses: &mut uses, kernel, number: 0, widest: 0, dealt: 0, joins: false };
    loops.body(&kernel.body, None);
    let (widest, dealt, joins) = (loops.widest, loops.dealt, loops.joins);
    let mut emitter = Emitter {
        kernel,
        exprs: kernel.exprs.clone(),
        extents: kernel.vars().into_iter().collect(),
        ranges: Vec::new(),
        homes: Vec::new(),
        inside: BTreeMap::new(),
        team: 1,
        text: String::new(),
        names: 0,
        indent: 1,
        joins,
        dealt: false,
        read: BTreeSet::new(),
        written: BTreeSet::new(),
        parts: Vec::new(),
    };
    emitter.team = team(dealt, i64::from(target.team));
    emitter.lay_out(&uses, widest).map_err(named)?;
    emitter.ranges = ranges(&emitter.exprs, &emitter.extents);
    emitter.function(i64::from(target.points)).map_err(named)
}

/// How many threads run a point, where so many iterations are worth a thread.
fn team(dealt: i64, most: i64) -> i64 {
    let wanted = match dealt {
        0 => return 1,
        1..=4096 => dealt.min(BLOCK),
        4097..=16384 => 2 * BLOCK,
        _ => 4 * BLOCK,
    };
    (wanted.max(WARP) as u64).next_power_of_two().min(most as u64) as i64
}

/// Looks at vector loops and register tiles.
struct Loops<'a> {
    exprs: &'a Exprs,
    kernel: &'a Kernel,
    uses: &'a mut BTreeMap<Source, Uses>,
    number: usize,
    /// Iterations of the longest vector loop.
    widest: i64,
    /// As many iterations are worth threads.
    dealt: i64,
    /// Is anything joined across the iterations of a vector loop?
    joins: bool,
}

impl Loops<'_> {
    fn body(&mut self, body: &[Stmt], vector: Option<Dealt>) {
        for stmt in body {
            match stmt {
                Stmt::For { var, extent, kind: LoopKind::Vector, body } if vector.is_none() => {
                    self.number += 1;
                    self.widest = self.widest.max(*extent);
                    let reduces = self.reduces(body, *var);
                    self.joins |= reduces;
                    let turns = if reduces { TURNS } else { 1 };
                    self.dealt = self.dealt.max((extent + turns - 1) / turns);
                    self.body(body, Some((*var, *extent, self.number)));
                }
                Stmt::For { body, .. } => self.body(body, vector),
                Stmt::Store { place, index, .. } => {
                    self.access(*place, *index, vector);
                    if let (Some(uses), true) = (self.uses.get_mut(place), vector.is_some()) {
                        uses.stored_in_vectors = true;
                    }
                    self.loads(stmt, vector);
                }
                Stmt::Accumulate { place, index, .. } => {
                    self.access(*place, *index, vector);
                    self.loads(stmt, vector);
                }
            }
        }
    }

    fn reduces(&self, body: &[Stmt], var: Var) -> bool {
        body.iter().any(|stmt| match stmt {
            Stmt::For { body, .. } => self.reduces(body, var),
            Stmt::Accumulate { index, .. } => !depends(self.exprs, *index, var),
            Stmt::Store { .. } => false,
        })
    }

    fn loads(&mut self, stmt: &Stmt, vector: Option<Dealt>) {
        for id in self.exprs.reachable(&stmt.roots()) {
            if let Expr::Load { source, index, .. } = self.exprs.get(id) {
                self.access(*source, index[0], vector);
            }
        }
    }

    fn access(&mut self, place: Source, index: ExprId, vector: Option<Dealt>) {
        if self.kernel.places[place.0 as usize].space == Space::Registers {
            self.uses.entry(place).or_default().accesses.push((index, vector));
        }
    }
}

fn depends(exprs: &Exprs, root: ExprId, var: Var) -> bool {
    exprs.reachable(&[root]).into_iter().any(|id| *exprs.get(id) == Expr::Var(var))
}

impl Emitter<'_> {
    /// Gives every place its home. Threads that keep parts of a tile from one vector loop to the next are as many as its iterations.
    fn lay_out(&mut self, uses: &BTreeMap<Source, Uses>, widest: i64) -> Result<(), OpError> {
        let mut kept = 0;
        for at in 0..self.kernel.places.len() {
            let source = Source(at as u32);
            let home = match (self.kernel.places[at].space, uses.get(&source)) {
                (Space::Input | Space::Output, _) => Home::Parameter,
                (Space::Scratch, _) => Home::Shared,
                (Space::Registers, None) => Home::Same,
                (Space::Registers, Some(uses)) => match self.part(source, uses) {
                    Some(part) => {
                        let loops: BTreeSet<usize> = uses.accesses.iter().filter_map(|(_, vector)| vector.map(|(.., number)| number)).collect();
                        if loops.len() > 1 {
                            kept = uses.accesses.iter().filter_map(|(_, vector)| vector.map(|(_, extent, _)| extent)).max().unwrap_or(0);
                        }
                        Home::Own(part)
                    }
                    None if self.team == 1 || (!uses.stored_in_vectors && uses.accesses.iter().all(|(index, vector)| vector.is_none_or(|(var, ..)| !depends(&self.exprs, *index, var)))) => Home::Same,
                    None => Home::Shared,
                },
            };
            self.homes.push(home);
        }
        if kept > 0 {
            self.team = kept;
        }
        if self.team > 4 * BLOCK || (self.team > 1 && self.team % WARP != 0) || kept > widest {
            return Err(OpError::bug(format!("a team of {} threads", self.team)));
        }
        Ok(())
    }

    /// How many elements of a tile each iteration of the vector loops has to itself, if that is all that it touches. Notes
    /// where they lie in the part.
    fn part(&mut self, source: Source, uses: &Uses) -> Option<i64> {
        if self.team == 1 {
            return None;
        }
        let mut part = None;
        let mut inside = Vec::new();
        for (index, vector) in &uses.accesses {
            let (var, extent, _) = (*vector)?;
            let var_at = self.exprs.var(var);
            let linear = Linear::of(&self.exprs, *index);
            let own = linear.terms.iter().find(|(atom, _)| *atom == var_at).map(|(_, c)| *c).filter(|c| *c > 0)?;
            if part.is_some_and(|(known, iterations)| known != own || iterations != extent) {
                return None;
            }
            part = Some((own, extent));
            let own_at = self.exprs.int(own);
            let first = self.exprs.mul(var_at, own_at);
            let rest = self.exprs.sub(*index, first);
            let rest = simplify(&mut self.exprs, rest, &self.extents);
            let (low, high) = frit_ir::affine::range(&self.exprs, rest, &self.extents)?;
            if low < 0 || high >= own {
                return None;
            }
            inside.push(((source, *index), rest));
        }
        self.inside.extend(inside);
        part.map(|(own, _)| own)
    }

    fn line(&mut self, text: impl AsRef<str>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{:width$}{}", "", text.as_ref(), width = self.indent * 4);
    }

    fn function(mut self, points_at_once: i64) -> Result<Text, OpError> {
        let kernel = self.kernel;
        let points = kernel.points();
        let mut shared_bytes = 0u64;
        for (at, place) in kernel.places.iter().enumerate() {
            if self.homes[at] == Home::Shared {
                // What is computed with takes four bytes at least.
                let size = if self.is_stored(Source(at as u32)) { place.dtype.size() } else { place.dtype.size().max(4) };
                shared_bytes += (place.elems as u64 * size as u64).next_multiple_of(16);
            }
        }
        let teams = match self.team {
            1 => (points / points_at_once.max(1)).clamp(WARP, BLOCK) as u64,
            WARP => ((BLOCK / WARP) as u64).min((40 << 10) / shared_bytes.max(1)).max(1),
            _ => 1,
        };
        let teams = if teams.is_power_of_two() { teams } else { teams.next_power_of_two() / 2 };
        let threads = self.team as u64 * teams;
        let params: Vec<String> = kernel
            .params()
            .map(|(source, place)| {
                let ty = in_memory(place.dtype).unwrap_or("?");
                if place.space == Space::Input { format!("const {ty} *__restrict__ p{}", source.0) } else { format!("{ty} *p{}", source.0) }
            })
            .collect();
        let mut head = format!("extern \"C\" __global__ void __launch_bounds__({threads}) {}({}) {{\n", kernel.name, params.join(", "));
        // The last block may reach beyond the last point.
        let wide = points > i64::from(i32::MAX) - BLOCK;
        let (number, cast) = if wide { ("i64", "(i64)blockIdx.x") } else { ("int", "(int)blockIdx.x") };
        let team = self.team;
        let point = match (team, teams) {
            (_, 1) => cast.to_owned(),
            (1, _) => format!("{cast} * {teams} + (int)threadIdx.x"),
            _ => format!("{cast} * {teams} + (int)threadIdx.x / {team}"),
        };
        self.line(format!("const {number} point = {point};"));
        if teams > 1 {
            self.line(format!("if (point >= {points}) return;"));
        }
        if team > 1 {
            self.line(if teams > 1 { format!("const int thread = (int)threadIdx.x % {team};") } else { "const int thread = (int)threadIdx.x;".to_owned() });
        }
        let mut inner = 1i64;
        for (at, (var, extent)) in kernel.grid.iter().enumerate().rev() {
            let own = if at == 0 { quotient("point", inner) } else { format!("{} % {extent}", quotient("point", inner)) };
            let (ty, cast) = if is_narrow(*extent) { ("int", "(int)") } else { ("i64", "(i64)") };
            self.line(format!("const {ty} i{} = {cast}({own});", var.0));
            inner = inner.saturating_mul(*extent);
        }
        if team > WARP && self.joins {
            self.line("__shared__ __align__(16) u64 parts[32];");
            shared_bytes += 256;
        } else if self.joins {
            self.line("void *const parts = 0;");
        }
        for (at, place) in kernel.places.iter().enumerate() {
            let elems = place.elems.max(1);
            match self.homes[at] {
                Home::Parameter => {}
                Home::Shared => {
                    let ty = if self.is_stored(Source(at as u32)) { in_memory(place.dtype).unwrap_or("?") } else { computed(place.dtype) };
                    if teams == 1 {
                        self.line(format!("__shared__ __align__(16) {ty} t{at}[{elems}];"));
                    } else {
                        self.line(format!("__shared__ __align__(16) {ty} all{at}[{}];", elems * teams as i64));
                        self.line(format!("{ty} *const t{at} = all{at} + (int)threadIdx.x / {team} * {elems};"));
                    }
                }
                Home::Own(elems) => self.line(format!("{} t{at}[{elems}];", computed(place.dtype))),
                Home::Same => self.line(format!("{} t{at}[{elems}];", computed(place.dtype))),
            }
        }
        self.block(&kernel.body)?;
        head.push_str(&self.text);
        head.push_str("}\n");
        Ok(Text { text: head, team: team as u32, teams: teams as u32, shared_bytes: shared_bytes * if team == WARP { teams } else { 1 } })
    }

    fn block(&mut self, body: &[Stmt]) -> Result<(), OpError> {
        body.iter().try_for_each(|stmt| self.stmt(stmt))
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<(), OpError> {
        match stmt {
            Stmt::For { extent: 0, .. } => Ok(()),
            Stmt::For { var, extent, kind: LoopKind::Vector, body } if self.team > 1 && !self.dealt => self.deal(*var, *extent, body),
            Stmt::For { var, extent: FOUR, kind: LoopKind::Unrolled, body } if let Some((place, index, source, from)) = self.fours(*var, body) => self.load_fours(*var, (place, index), (source, from)),
            Stmt::For { var, extent, kind, body } => {
                if self.team > 1 && !self.dealt {
                    // What the threads do at the end of an iteration must not disturb the begin of the next one.
                    let (text, names, read, written) = (self.text.clone(), self.names, self.read.clone(), self.written.clone());
                    self.block(body)?;
                    (self.text, self.names) = (text, names);
                    self.read.extend(read);
                    self.written.extend(written);
                }
                if *kind == LoopKind::Unrolled {
                    self.line("#pragma unroll");
                }
                let ty = if is_narrow(*extent) { "int" } else { "i64" };
                self.line(format!("for ({ty} i{v} = 0; i{v} < {extent}; ++i{v}) {{", v = var.0));
                self.inner(body)?;
                self.line("}");
                Ok(())
            }
            Stmt::Store { place, index, value, guard } => self.store(*place, *index, *value, *guard),
            Stmt::Accumulate { place, index, combine, value } => self.accumulate(*place, *index, *combine, *value),
        }
    }

    /// Four neighbours that a thread loads to its own part of a tile, the first at a multiple of four: where to, and where from.
    fn fours(&self, var: Var, body: &[Stmt]) -> Option<(Source, ExprId, Source, ExprId)> {
        let [Stmt::Store { place, index, value, guard: None }] = body else { return None };
        let Expr::Load { source, index: from, guard: None } = self.exprs.get(*value) else { return None };
        let home = |place: &Source| &self.homes[place.0 as usize];
        let (to, from) = (*self.inside.get(&(*place, *index))?, from[0]);
        let float = self.kernel.places[source.0 as usize].dtype == DType::F32 && self.kernel.places[source.0 as usize].space == Space::Input;
        let side_by_side = |id: ExprId, by: i64| {
            let linear = Linear::of(&self.exprs, id);
            let steps = |atom: ExprId| *self.exprs.get(atom) == Expr::Var(var);
            let others = linear.terms.iter().all(|(atom, c)| steps(*atom) || c % by == 0 || self.is_multiple(*atom, by));
            linear.constant % by == 0 && others && linear.terms.iter().any(|(atom, c)| steps(*atom) && *c == 1)
        };
        (self.dealt && float && matches!(home(place), Home::Own(_)) && side_by_side(to, 1) && side_by_side(from, FOUR)).then_some((*place, to, *source, from))
    }

    /// Is an integer a multiple of another one, as far as can be seen?
    fn is_multiple(&self, id: ExprId, by: i64) -> bool {
        match self.exprs.get(id) {
            Expr::Const(_) => self.exprs.as_int(id).is_some_and(|n| n % by == 0),
            Expr::Binary(Binary::Mul, a, b) => self.is_multiple(*a, by) || self.is_multiple(*b, by),
            Expr::Binary(Binary::Add | Binary::Sub | Binary::Min | Binary::Max | Binary::Mod, a, b) => self.is_multiple(*a, by) && self.is_multiple(*b, by),
            _ => false,
        }
    }

    /// One access of 16 bytes. All buffers begin at multiples of 64.
    fn load_fours(&mut self, var: Var, to: (Source, ExprId), from: (Source, ExprId)) -> Result<(), OpError> {
        self.line("{");
        self.indent += 1;
        self.line(format!("const int i{} = 0;", var.0));
        let texts = self.evaluate(&[to.1, from.1])?;
        self.line(format!("const float4 four = *(const float4 *)(p{} + {});", from.0.0, texts[1]));
        for (nth, part) in ["x", "y", "z", "w"].into_iter().enumerate() {
            self.line(format!("t{}[{} + {nth}] = four.{part};", to.0.0, texts[0]));
        }
        self.indent -= 1;
        self.line("}");
        Ok(())
    }

    fn inner(&mut self, body: &[Stmt]) -> Result<(), OpError> {
        self.indent += 1;
        let done = self.block(body);
        self.indent -= 1;
        done
    }

    /// A loop whose iterations are dealt out to the threads. What all iterations join is joined by each thread for itself, then by the
    /// team.
    fn deal(&mut self, var: Var, extent: i64, body: &[Stmt]) -> Result<(), OpError> {
        let (mut read, mut written) = (BTreeSet::new(), BTreeSet::new());
        self.touched(body, &mut read, &mut written);
        self.wait(&read, &written);
        let mut joined = Vec::new();
        self.joined(body, &mut joined);
        for (place, index, combine) in &joined {
            let dtype = self.kernel.places[place.0 as usize].dtype;
            let name = format!("part{}", self.names);
            self.names += 1;
            let identity = constant(combine.identity(dtype), dtype, false);
            self.line(format!("{} {name} = {identity};", computed(dtype)));
            self.parts.push((*place, *index, name));
        }
        if extent == self.team {
            self.line("{");
            self.line(format!("    const int i{} = thread;", var.0));
        } else {
            let ty = if is_narrow(extent + self.team) { "int" } else { "i64" };
            self.line(format!("for ({ty} i{v} = thread; i{v} < {extent}; i{v} += {}) {{", self.team, v = var.0));
        }
        self.dealt = true;
        self.inner(body)?;
        self.dealt = false;
        self.line("}");
        self.read.extend(read);
        self.written.extend(written);
        for (place, index, combine) in joined {
            let Some(at) = self.parts.iter().position(|(p, i, _)| (*p, *i) == (place, index)) else { return Err(OpError::bug("a sum that was not begun")) };
            let (.., name) = self.parts.remove(at);
            let dtype = self.kernel.places[place.0 as usize].dtype;
            let all = format!("team_join<{}, {}>({name}, parts)", self.team, join(combine));
            if self.team > WARP {
                self.read.clear();
                self.written.clear();
            }
            let scope = self.open();
            let at = self.evaluate(&[index])?.remove(0);
            let to = format!("t{}[{at}]", place.0);
            let whole = rounded(dtype, format!("{}::of({to}, {all})", join(combine)));
            self.line(format!("{to} = {whole};"));
            self.close(scope);
        }
        Ok(())
    }

    /// The accumulations of a vector loop that all its iterations share.
    fn joined(&self, body: &[Stmt], found: &mut Vec<(Source, ExprId, Combine)>) {
        for stmt in body {
            match stmt {
                Stmt::For { body, .. } => self.joined(body, found),
                Stmt::Accumulate { place, index, combine, .. } if self.homes[place.0 as usize] == Home::Same && !found.iter().any(|(p, i, _)| (p, i) == (place, index)) => found.push((*place, *index, *combine)),
                Stmt::Accumulate { .. } | Stmt::Store { .. } => {}
            }
        }
    }

    /// What statements read and write of memory that other threads of the team see.
    fn touched(&self, body: &[Stmt], read: &mut BTreeSet<Source>, written: &mut BTreeSet<Source>) {
        for stmt in body {
            match stmt {
                Stmt::For { body, .. } => self.touched(body, read, written),
                Stmt::Store { place, .. } | Stmt::Accumulate { place, .. } => {
                    if self.is_seen(*place) {
                        written.insert(*place);
                    }
                }
            }
            for id in self.exprs.reachable(&stmt.roots()) {
                if let Expr::Load { source, .. } = self.exprs.get(id)
                    && self.is_seen(*source)
                {
                    read.insert(*source);
                }
            }
        }
    }

    /// Can other threads of the team see what a thread writes there?
    fn is_seen(&self, place: Source) -> bool {
        let at = place.0 as usize;
        self.homes[at] == Home::Shared || self.kernel.places[at].space == Space::Output
    }

    /// Lets the team's threads wait for each other before something that touches what they touched.
    fn wait(&mut self, read: &BTreeSet<Source>, written: &BTreeSet<Source>) {
        if self.team == 1 || self.dealt {
            return;
        }
        let disturbs = read.iter().any(|place| self.written.contains(place)) || written.iter().any(|place| self.written.contains(place) || self.read.contains(place));
        if disturbs {
            self.line(if self.team > WARP { "__syncthreads();" } else { "__syncwarp();" });
            self.read.clear();
            self.written.clear();
        }
    }

    /// Begins a block for the names of a statement.
    fn open(&mut self) -> usize {
        self.line("{");
        self.indent += 1;
        self.text.len()
    }

    /// Ends it; without names there is no block.
    fn close(&mut self, start: usize) {
        self.indent -= 1;
        let inside = self.text.split_off(start);
        if inside.lines().count() == 1 {
            let begin = self.text.trim_end().len() - 1;
            self.text.truncate(self.text[..begin].rfind('\n').map_or(0, |at| at + 1));
            self.line(inside.trim_start().trim_end());
        } else {
            self.text.push_str(&inside);
            self.line("}");
        }
    }

    /// Waits for what a statement outside of dealt loops reads; is it one that a single thread must do, because others see what it
    /// writes?
    fn single(&mut self, place: Source, roots: &[ExprId]) -> bool {
        if self.dealt || self.team == 1 {
            return false;
        }
        let (mut read, mut written) = (BTreeSet::new(), BTreeSet::new());
        for id in self.exprs.reachable(roots) {
            if let Expr::Load { source, .. } = self.exprs.get(id)
                && self.is_seen(*source)
            {
                read.insert(*source);
            }
        }
        let single = self.is_seen(place);
        if single {
            written.insert(place);
        }
        self.wait(&read, &written);
        self.read.extend(read);
        self.written.extend(written);
        single
    }

    /// Where an element of a place lies: its index there, and the name of what holds it.
    fn element(&self, place: Source, index: ExprId) -> (ExprId, String) {
        let index = self.inside.get(&(place, index)).copied().unwrap_or(index);
        (index, if self.homes[place.0 as usize] == Home::Parameter { format!("p{}", place.0) } else { format!("t{}", place.0) })
    }

    fn store(&mut self, place: Source, index: ExprId, value: ExprId, guard: Option<ExprId>) -> Result<(), OpError> {
        let roots: Vec<ExprId> = [index, value].into_iter().chain(guard).collect();
        let single = self.single(place, &roots);
        let scope = self.open();
        let (index, name) = self.element(place, index);
        let roots: Vec<ExprId> = [index, value].into_iter().chain(guard).collect();
        let texts = self.evaluate(&roots)?;
        let value = self.in_home(place, texts[1].clone());
        let mut conditions: Vec<String> = texts.get(2).cloned().into_iter().collect();
        if single {
            conditions.insert(0, "thread == 0".to_owned());
        }
        let condition = if conditions.is_empty() { String::new() } else { format!("if ({}) ", conditions.join(" && ")) };
        self.line(format!("{condition}{name}[{}] = {value};", bare(&texts[0])));
        self.close(scope);
        Ok(())
    }

    fn accumulate(&mut self, place: Source, index: ExprId, combine: Combine, value: ExprId) -> Result<(), OpError> {
        let dtype = self.kernel.places[place.0 as usize].dtype;
        if self.is_stored(place) && matches!(dtype, DType::F16 | DType::BF16) {
            return Err(OpError::bug("a sum of narrow floats that lies in memory"));
        }
        let single = self.single(place, &[index, value]);
        let scope = self.open();
        let part = if self.dealt { self.parts.iter().find(|(p, i, _)| (*p, *i) == (place, index)).map(|(.., name)| name.clone()) } else { None };
        let (index, name) = self.element(place, index);
        let factors = match *self.exprs.get(value) {
            Expr::Binary(Binary::Mul, a, b) if combine == Combine::Sum && matches!(dtype, DType::F32 | DType::F64) => Some((a, b)),
            _ => None,
        };
        let roots: Vec<ExprId> = match factors {
            Some((a, b)) => vec![index, a, b],
            None => vec![index, value],
        };
        let texts = self.evaluate(&roots)?;
        let to = part.unwrap_or_else(|| format!("{name}[{}]", bare(&texts[0])));
        let joined = match factors {
            Some(_) => format!("{}({}, {}, {to})", if dtype == DType::F32 { "fmaf" } else { "fma" }, bare(&texts[1]), bare(&texts[2])),
            None => rounded(dtype, format!("{}::of<{}>({to}, {})", join(combine), computed(dtype), bare(&texts[1]))),
        };
        self.line(format!("{}{to} = {joined};", if single { "if (thread == 0) " } else { "" }));
        self.close(scope);
        Ok(())
    }

    /// Do elements lie in a place as in memory, rather than as they are computed with?
    fn is_stored(&self, place: Source) -> bool {
        self.kernel.places[place.0 as usize].space != Space::Registers
    }

    /// A value as it lies in a place.
    fn in_home(&self, place: Source, value: String) -> String {
        let dtype = self.kernel.places[place.0 as usize].dtype;
        match (dtype, self.is_stored(place)) {
            (DType::F16, true) => format!("f16_bits({})", bare(&value)),
            (DType::BF16, true) => format!("bf16_bits({})", bare(&value)),
            _ => bare(&value).to_owned(),
        }
    }

    /// Which `i64` expressions are computed in 32 bits: those that have no room to overflow, nor have their parts.
    fn narrow(&self, order: &[ExprId]) -> BTreeSet<ExprId> {
        let mut narrow = BTreeSet::new();
        for id in order {
            let fits = self.ranges[id.0 as usize].is_some_and(|(low, high)| low >= -i64::from(i32::MAX) && high <= i64::from(i32::MAX));
            let parts = match self.exprs.get(*id) {
                Expr::Load { .. } => false,
                expr => expr.children().iter().all(|child| self.exprs.dtype(*child) != DType::I64 || narrow.contains(child)),
            };
            if self.exprs.dtype(*id) == DType::I64 && fits && parts {
                narrow.insert(*id);
            }
        }
        narrow
    }

    /// The texts of expressions, after lines that name what is used twice or is long.
    fn evaluate(&mut self, roots: &[ExprId]) -> Result<Vec<String>, OpError> {
        /// A longer text gets a name.
        const LONGEST: usize = 60;
        // Indices of tiles that threads hold parts of are others than in the kernel.
        let order = self.order(roots);
        let narrow = self.narrow(&order);
        let mut uses: BTreeMap<ExprId, usize> = BTreeMap::new();
        for id in &order {
            for child in self.parts_of(*id) {
                *uses.entry(child).or_default() += 1;
            }
        }
        roots.iter().for_each(|id| *uses.entry(*id).or_default() += 1);
        let mut texts: BTreeMap<ExprId, String> = BTreeMap::new();
        for id in &order {
            let text = self.node(*id, &texts, &narrow)?;
            let leaf = matches!(self.exprs.get(*id), Expr::Const(_) | Expr::Var(_));
            let text = if !leaf && (uses[id] > 1 || text.len() > LONGEST) {
                let ty = if narrow.contains(id) { "int" } else { computed(self.exprs.dtype(*id)) };
                let name = format!("e{}", self.names);
                self.names += 1;
                self.line(format!("const {ty} {name} = {};", bare(&text)));
                name
            } else {
                text
            };
            texts.insert(*id, text);
        }
        Ok(roots.iter().map(|id| texts[id].clone()).collect())
    }

    /// The expressions that one is made of, where a part of a tile is indexed within it.
    fn parts_of(&self, id: ExprId) -> Vec<ExprId> {
        match self.exprs.get(id) {
            Expr::Load { source, index, guard } => std::iter::once(self.inside.get(&(*source, index[0])).copied().unwrap_or(index[0])).chain(*guard).collect(),
            expr => expr.children(),
        }
    }

    /// What roots need, parts first.
    fn order(&self, roots: &[ExprId]) -> Vec<ExprId> {
        fn visit(emitter: &Emitter<'_>, id: ExprId, seen: &mut BTreeSet<ExprId>, order: &mut Vec<ExprId>) {
            if seen.insert(id) {
                for part in emitter.parts_of(id) {
                    visit(emitter, part, seen, order);
                }
                order.push(id);
            }
        }
        let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
        roots.iter().for_each(|root| visit(self, *root, &mut seen, &mut order));
        order
    }

    fn node(&self, id: ExprId, texts: &BTreeMap<ExprId, String>, narrow: &BTreeSet<ExprId>) -> Result<String, OpError> {
        let dtype = self.exprs.dtype(id);
        let of = |id: &ExprId| texts[id].as_str();
        Ok(match self.exprs.get(id) {
            Expr::Const(value) => constant(*value, dtype, narrow.contains(&id)),
            Expr::Var(var) => format!("i{}", var.0),
            Expr::Load { source, index, guard } => {
                let index = self.inside.get(&(*source, index[0])).unwrap_or(&index[0]);
                let (parameter, stored) = (self.homes[source.0 as usize] == Home::Parameter, self.is_stored(*source));
                let element = format!("{}{}[{}]", if parameter { 'p' } else { 't' }, source.0, bare(of(index)));
                let value = match dtype {
                    DType::F16 if stored => format!("f16_of({element})"),
                    DType::BF16 if stored => format!("bf16_of({element})"),
                    DType::Bool if stored => format!("({element} != 0)"),
                    _ => element,
                };
                match guard {
                    Some(guard) => format!("({} ? {value} : {})", of(guard), constant(Scalar::zero(dtype), dtype, false)),
                    None => value,
                }
            }
            Expr::Unary(op, a) => unary(*op, of(a), self.exprs.dtype(*a), narrow.contains(&id))?,
            Expr::Binary(op, a, b) => {
                let operand = self.exprs.dtype(*a);
                if operand == DType::I64 {
                    let least = |id: &ExprId| self.ranges[id.0 as usize].map_or(-1, |(low, _)| low);
                    let both = narrow.contains(a) && narrow.contains(b);
                    indices(*op, of(a), of(b), op.compares() || (both && (narrow.contains(&id))), both && least(a) >= 0 && least(b) > 0)?
                } else {
                    binary(*op, of(a), of(b), operand)?
                }
            }
            Expr::Fma(a, b, c) => rounded(dtype, format!("{}({}, {}, {})", if dtype == DType::F64 { "fma" } else { "fmaf" }, bare(of(a)), bare(of(b)), bare(of(c)))),
            Expr::Select(cond, a, b) => format!("({} ? {} : {})", of(cond), of(a), of(b)),
            Expr::Cast(a) => cast(of(a), self.exprs.dtype(*a), dtype, narrow.contains(&id)),
            Expr::Bitcast(a) => {
                let from = self.exprs.dtype(*a);
                let bits = match from {
                    DType::F16 => format!("f16_bits({})", bare(of(a))),
                    DType::BF16 => format!("bf16_bits({})", bare(of(a))),
                    // A number of 32 bits that stands for 64 is widened first.
                    _ => format!("({})({})", in_memory(from).unwrap_or("?"), bare(of(a))),
                };
                let ty = in_memory(dtype).unwrap_or("?");
                match dtype {
                    DType::F16 => format!("f16_of(bits_as<u16>({bits}))"),
                    DType::BF16 => format!("bf16_of(bits_as<u16>({bits}))"),
                    _ => format!("bits_as<{ty}>({bits})"),
                }
            }
            Expr::Reduced => return Err(OpError::bug("a reference to a reduction outside an epilogue")),
        })
    }
}

/// Does a loop's variable fit into 32 bits?
fn is_narrow(extent: i64) -> bool {
    extent <= i64::from(i32::MAX)
}

/// `flat / by`, unless that is `flat`.
fn quotient(flat: &str, by: i64) -> String {
    if by == 1 { flat.to_owned() } else { format!("{flat} / {by}") }
}

fn join(combine: Combine) -> &'static str {
    match combine {
        Combine::Sum => "Sum",
        Combine::Product => "Product",
        Combine::Max => "Max",
        Combine::Min => "Min",
    }
}

/// Takes the brackets off that enclose a whole text.
fn bare(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) else { return text };
    let mut depth = 0i32;
    for c in inner.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth < 0 {
            return text;
        }
    }
    inner
}

/// A value of a narrow float, rounded.
fn rounded(dtype: DType, value: String) -> String {
    match dtype {
        DType::F16 => format!("f16_round({})", bare(&value)),
        DType::BF16 => format!("bf16_round({})", bare(&value)),
        _ => value,
    }
}

fn constant(value: Scalar, dtype: DType, narrow: bool) -> String {
    let suffix = |text: String, suffix: &str| if text.starts_with('-') { format!("({text}{suffix})") } else { format!("{text}{suffix}") };
    match dtype.class() {
        Class::Bool => value.as_bool().to_string(),
        Class::Float => {
            let x = value.as_f64();
            match (dtype, x.is_finite()) {
                (DType::F64, true) => suffix(format!("{x:?}"), ""),
                (DType::F64, false) => format!("__longlong_as_double({:#x}ll)", x.to_bits()),
                (_, true) => suffix(format!("{:?}", x as f32), "f"),
                (_, false) => format!("__uint_as_float({:#x}u)", (x as f32).to_bits()),
            }
        }
        Class::Signed | Class::Unsigned | Class::Text => {
            let n = value.as_int();
            match dtype {
                DType::I64 if narrow => suffix(n.to_string(), ""),
                DType::I64 if n == i128::from(i64::MIN) => "(-9223372036854775807ll - 1)".to_owned(),
                DType::I64 => suffix(n.to_string(), "ll"),
                DType::U64 => format!("{n}ull"),
                DType::U32 => format!("{n}u"),
                DType::I32 if n == i128::from(i32::MIN) => "(-2147483647 - 1)".to_owned(),
                _ => suffix(n.to_string(), ""),
            }
        }
    }
}

/// The unsigned type in which arithmetic of an integer type wraps.
fn wrapping(dtype: DType) -> &'static str {
    if dtype.size() == 8 { "u64" } else { "u32" }
}

fn unary(op: Unary, a: &str, dtype: DType, narrow: bool) -> Result<String, OpError> {
    let ty = if narrow { "int" } else { computed(dtype) };
    let wide = wrapping(dtype);
    Ok(match dtype.class() {
        Class::Float => {
            let f = if dtype == DType::F64 { "" } else { "f" };
            let inner = bare(a);
            match op {
                Unary::Neg => format!("(-{a})"),
                Unary::Abs => format!("fabs{f}({inner})"),
                Unary::Sign => format!("sign_of({inner})"),
                Unary::Floor => format!("floor{f}({inner})"),
                Unary::Ceil => format!("ceil{f}({inner})"),
                Unary::Round => format!("rint{f}({inner})"),
                Unary::Trunc => format!("trunc{f}({inner})"),
                Unary::Sqrt => rounded(dtype, format!("sqrt{f}({inner})")),
                Unary::IsNan => format!("({a} != {a})"),
                Unary::Not => a.to_owned(),
                _ => return Err(OpError::unsupported(format!("no CUDA code is made for {} of {dtype}", op.name()))),
            }
        }
        Class::Bool => match op {
            Unary::Not => format!("(!{a})"),
            Unary::IsNan => "false".to_owned(),
            _ => a.to_owned(),
        },
        Class::Signed | Class::Unsigned | Class::Text => match op {
            Unary::Neg => format!("({ty})(0 - ({wide}){a})"),
            Unary::Abs => format!("({a} < 0 ? ({ty})(0 - ({wide}){a}) : {a})"),
            Unary::Sign => format!("({ty})(({a} > 0) - ({a} < 0))"),
            Unary::Not => format!("({ty})(~{a})"),
            Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => a.to_owned(),
            Unary::IsNan => "false".to_owned(),
            Unary::Sqrt => cast(&format!("sqrt((double){a})"), DType::F64, dtype, narrow),
            _ => return Err(OpError::unsupported(format!("no CUDA code is made for {} of {dtype}", op.name()))),
        },
    })
}

/// Index arithmetic: `narrow` in 32 bits without overflow, `natural` where the operands are not negative and the second one
/// is not zero.
fn indices(op: Binary, a: &str, b: &str, narrow: bool, natural: bool) -> Result<String, OpError> {
    Ok(match op {
        _ if !narrow => return binary(op, &format!("(i64){a}"), &format!("(i64){b}"), DType::I64),
        Binary::Add => format!("({a} + {b})"),
        Binary::Sub => format!("({a} - {b})"),
        Binary::Mul => format!("({a} * {b})"),
        Binary::FloorDiv | Binary::Div if natural => format!("(int)((u32){a} / (u32){b})"),
        Binary::Mod | Binary::Rem if natural => format!("(int)((u32){a} % (u32){b})"),
        Binary::Min => format!("min({}, {})", bare(a), bare(b)),
        Binary::Max => format!("max({}, {})", bare(a), bare(b)),
        Binary::Eq => format!("({a} == {b})"),
        Binary::Ne => format!("({a} != {b})"),
        Binary::Lt => format!("({a} < {b})"),
        Binary::Le => format!("({a} <= {b})"),
        _ => return binary(op, &format!("(int){a}"), &format!("(int){b}"), DType::I32),
    })
}

fn binary(op: Binary, a: &str, b: &str, dtype: DType) -> Result<String, OpError> {
    let ty = computed(dtype);
    let (x, y) = (bare(a), bare(b));
    let compared = match op {
        Binary::Eq => Some("=="),
        Binary::Ne => Some("!="),
        Binary::Lt => Some("<"),
        Binary::Le => Some("<="),
        _ => None,
    };
    let unknown = || OpError::unsupported(format!("no CUDA code is made for {} of {dtype}", op.name()));
    Ok(match dtype.class() {
        Class::Bool => match op {
            Binary::Add | Binary::Or | Binary::Max => format!("({a} || {b})"),
            Binary::Mul | Binary::And | Binary::Min => format!("({a} && {b})"),
            Binary::Eq => format!("({a} == {b})"),
            Binary::Lt => format!("(!{a} && {b})"),
            Binary::Le => format!("(!{a} || {b})"),
            _ => format!("({a} != {b})"),
        },
        _ if compared.is_some() => format!("({a} {} {b})", compared.unwrap_or_default()),
        Class::Float => {
            let value = match op {
                Binary::Add => format!("({a} + {b})"),
                Binary::Sub => format!("({a} - {b})"),
                Binary::Mul => format!("({a} * {b})"),
                Binary::Div => format!("({a} / {b})"),
                Binary::FloorDiv => format!("floor({a} / {b})"),
                Binary::Rem => format!("remainder_of({x}, {y})"),
                Binary::Mod => format!("modulo_of({x}, {y})"),
                Binary::Min => return Ok(format!("minimum({x}, {y})")),
                Binary::Max => return Ok(format!("maximum({x}, {y})")),
                _ => return Err(unknown()),
            };
            rounded(dtype, value)
        }
        Class::Signed | Class::Unsigned | Class::Text => {
            let wide = wrapping(dtype);
            match op {
                Binary::Add => format!("({ty})(({wide}){a} + ({wide}){b})"),
                Binary::Sub => format!("({ty})(({wide}){a} - ({wide}){b})"),
                Binary::Mul => format!("({ty})(({wide}){a} * ({wide}){b})"),
                Binary::Div => format!("quotient<{ty}>({x}, {y})"),
                Binary::FloorDiv => format!("floor_quotient<{ty}>({x}, {y})"),
                Binary::Rem => format!("remainder<{ty}>({x}, {y})"),
                Binary::Mod => format!("floor_remainder<{ty}>({x}, {y})"),
                Binary::Min => format!("minimum<{ty}>({x}, {y})"),
                Binary::Max => format!("maximum<{ty}>({x}, {y})"),
                Binary::And => format!("({ty})({a} & {b})"),
                Binary::Or => format!("({ty})({a} | {b})"),
                Binary::Xor => format!("({ty})({a} ^ {b})"),
                Binary::Shl => format!("shift_left<{ty}>({x}, {y})"),
                Binary::Shr => format!("shift_right<{ty}>({x}, {y})"),
                Binary::Pow => format!("power<{ty}>({x}, {y})"),
                _ => return Err(unknown()),
            }
        }
    })
}

fn cast(a: &str, from: DType, to: DType, narrow: bool) -> String {
    let inner = bare(a);
    match (from.class(), to.class()) {
        (_, Class::Bool) => format!("({a} != 0)"),
        (Class::Float, Class::Float) => match to {
            DType::F64 => format!("(double){a}"),
            DType::F32 => format!("(float){a}"),
            _ if from == DType::F64 => rounded(to, format!("to_odd({inner})")),
            _ => rounded(to, a.to_owned()),
        },
        (_, Class::Float) => {
            let exact = from.class() == Class::Bool || from.size() < 4;
            match to {
                DType::F64 => format!("(double){a}"),
                DType::F32 if from.size() < 8 => format!("(float){a}"),
                DType::F32 => format!("(float)(double){a}"),
                _ if exact => rounded(to, format!("(float){a}")),
                _ => rounded(to, format!("to_odd((double){a})")),
            }
        }
        (Class::Float, _) => match to {
            DType::I32 if from != DType::F64 => format!("__float2int_rz({inner})"),
            DType::U64 => format!("cut_u64({inner})"),
            _ => {
                let (low, high) = to.int_range().unwrap_or((0, 0));
                let bound = |n: i128| constant(Scalar::Int(n), DType::I64, false);
                format!("cut<{}>({inner}, {}, {})", computed(to), bare(&bound(low)), bare(&bound(high)))
            }
        },
        _ => format!("({}){a}", if narrow { "int" } else { computed(to) }),
    }
}
