//! The loop form: kernels as loop nests over scalar expressions.
//!
//! In: what the scheduler makes of [`Compute`](crate::compute::Compute)s. Out: [`Kernel`]s, which the vectoriser turns into
//! [vector programs](crate::vector) and the interpreter (`run`) executes point by point. No tensor op
//! survives into it and no device word enters it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::compute::{Combine, advance};
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::{Expr, ExprId, Exprs, Source, Var, evaluate};
use crate::scalar::{Binary, Scalar, cast};
use crate::tensor::{checked_elems, read, write};

/// Memory that a kernel reads or writes, flat: an index counts elements. `Source(k)` in a kernel's
/// expressions is place `k`.
#[derive(Clone, PartialEq, Debug)]
pub struct Place {
    /// Element type.
    pub dtype: DType,
    /// Number of elements.
    pub elems: i64,
    /// What kind of memory.
    pub space: Space,
}

/// Kinds of memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Space {
    /// A buffer passed by the caller that is only read. Its rank among all parameters is its place's
    /// rank among the places that are parameters.
    Input,
    /// A buffer passed by the caller that is written (and read back only where the kernel wrote it).
    Output,
    /// A tile private to one grid point, in memory. Undefined until written.
    Scratch,
    /// A tile private to one grid point whose indices are constants once loops are unrolled and vectorised: it becomes registers.
    Registers,
}

/// How a loop runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LoopKind {
    /// One iteration after the other.
    Serial,
    /// All iterations written out.
    Unrolled,
    /// Iterations are independent (or accumulate); a target runs as many at once as its vectors
    /// hold. Extents need not be multiples of that.
    Vector,
}

/// A statement of a kernel's body. Its expressions are evaluated whether or not a guard of the statement holds; a
/// load that must not happen has a guard of its own.
#[derive(Clone, PartialEq, Debug)]
pub enum Stmt {
    /// Runs the body for `var` from 0 to `extent` (exclusive).
    For {
        /// The variable; each loop has its own.
        var: Var,
        /// Number of iterations.
        extent: i64,
        /// How it runs.
        kind: LoopKind,
        /// What runs.
        body: Vec<Stmt>,
    },
    /// Writes `value` to `place[index]`, unless `guard` is false.
    Store {
        /// Where to.
        place: Source,
        /// Which element.
        index: ExprId,
        /// What; has the place's dtype.
        value: ExprId,
        /// Only if this holds.
        guard: Option<ExprId>,
    },
    /// Joins `value` to `place[index]` (a tile). Inside a vector loop over which `index` does not move this is a
    /// reduction across lanes, done in an order that only the target's vector length decides.
    Accumulate {
        /// Where to.
        place: Source,
        /// Which element.
        index: ExprId,
        /// How.
        combine: Combine,
        /// What; has the place's dtype.
        value: ExprId,
    },
}

/// A kernel: a grid of independent points, and what each does.
#[derive(Clone, PartialEq, Debug)]
pub struct Kernel {
    /// Encodes what it does, as `matmul_f32_128x768x768_add_gelu`.
    pub name: String,
    /// Memory.
    pub places: Vec<Place>,
    /// The grid, outermost first: variables and extents. Points may run in any order and on any thread.
    pub grid: Vec<(Var, i64)>,
    /// The arena of all expressions.
    pub exprs: Exprs,
    /// What one grid point does.
    pub body: Vec<Stmt>,
    /// Floating-point operations of the whole kernel (a multiply-add is two), for reports.
    pub flops: u64,
    /// Bytes of parameters that must move at least once, for reports.
    pub bytes: u64,
}

impl Kernel {
    /// Number of grid points.
    pub fn points(&self) -> i64 {
        self.grid.iter().map(|(_, extent)| extent).product()
    }

    /// The places that are parameters, in the order of the calling convention.
    pub fn params(&self) -> impl Iterator<Item = (Source, &Place)> {
        self.places.iter().enumerate().filter(|(_, place)| matches!(place.space, Space::Input | Space::Output)).map(|(at, place)| (Source(at as u32), place))
    }
}

impl Stmt {
    /// The expressions that a store or an accumulation evaluates; none for a loop.
    pub fn roots(&self) -> Vec<ExprId> {
        match self {
            Stmt::For { .. } => Vec::new(),
            Stmt::Store { index, value, guard, .. } => [*index, *value].into_iter().chain(*guard).collect(),
            Stmt::Accumulate { index, value, .. } => vec![*index, *value],
        }
    }
}

/// What a tile holds before it is written: all bits set, which is NaN for f32 and f64.
fn poison(dtype: DType) -> Scalar {
    read(&[0xff; 8], 0, dtype)
}

/// Runs a kernel point by point.
struct Runner<'a> {
    kernel: &'a Kernel,
    /// Bytes of parameters, by place; empty for tiles.
    params: Vec<&'a mut [u8]>,
    /// Elements of tiles, by place; empty for parameters. Float accumulators are rounded when they are read.
    tiles: Vec<Vec<Scalar>>,
    vars: Vec<i64>,
    values: Vec<Scalar>,
    orders: HashMap<Vec<ExprId>, Vec<ExprId>>,
}

impl Runner<'_> {
    fn place(&self, place: Source, index: i64) -> Result<usize, OpError> {
        let elems = self.kernel.places[place.0 as usize].elems;
        if (0..elems).contains(&index) {
            Ok(index as usize)
        } else {
            Err(OpError::bug(format!("kernel '{}' reaches element {index} of {}, which has {elems}", self.kernel.name, PlaceName(self.kernel, place))))
        }
    }

    fn evaluate(&mut self, roots: &[ExprId]) -> Result<(), OpError> {
        let kernel = self.kernel;
        if !self.orders.contains_key(roots) {
            self.orders.insert(roots.to_vec(), kernel.exprs.reachable(roots));
        }
        let order = &self.orders[roots];
        let (params, tiles, vars) = (&self.params, &self.tiles, &self.vars);
        let mut outside = None;
        let load = |source: Source, dtype: DType, index: &[&Scalar], guard: Option<&Scalar>| {
            if guard.is_some_and(|guard| !guard.as_bool()) {
                return Scalar::zero(dtype);
            }
            let at = source.0 as usize;
            let place = &kernel.places[at];
            let index: Vec<i64> = index.iter().map(|i| i.as_int() as i64).collect();
            match index[..] {
                [index] if (0..place.elems).contains(&index) => match place.space {
                    Space::Input | Space::Output => read(params[at], index as usize, place.dtype),
                    Space::Scratch | Space::Registers => cast(tiles[at][index as usize], place.dtype),
                },
                _ => {
                    outside.get_or_insert((source, index.first().copied().unwrap_or(-1)));
                    Scalar::zero(place.dtype)
                }
            }
        };
        evaluate(&kernel.exprs, order, &mut self.values, |var| Scalar::Int(i128::from(vars[var.0 as usize])), load);
        outside.map_or(Ok(()), |(source, index)| self.place(source, index).map(|_| ()))
    }

    fn body(&mut self, body: &[Stmt]) -> Result<(), OpError> {
        for stmt in body {
            self.stmt(stmt)?;
        }
        Ok(())
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<(), OpError> {
        if let Stmt::For { var, extent, body, .. } = stmt {
            for i in 0..*extent {
                self.vars[var.0 as usize] = i;
                self.body(body)?;
            }
            return Ok(());
        }
        self.evaluate(&stmt.roots())?;
        let value = |id: &ExprId| self.values[id.0 as usize];
        let (place, index, new) = match stmt {
            Stmt::For { .. } => return Ok(()),
            Stmt::Store { place, index, value: new, guard } => {
                if guard.as_ref().is_some_and(|guard| !value(guard).as_bool()) {
                    return Ok(());
                }
                (*place, value(index).as_int() as i64, value(new))
            }
            Stmt::Accumulate { place, index, combine, value: new } => {
                let index = value(index).as_int() as i64;
                let at = self.place(*place, index)?;
                let dtype = self.kernel.places[place.0 as usize].dtype;
                let wide = if dtype.is_float() { DType::F64 } else { dtype };
                (*place, index, combine.op().apply(self.tiles[place.0 as usize][at], value(new), wide))
            }
        };
        let at = self.place(place, index)?;
        let Place { dtype, space, .. } = self.kernel.places[place.0 as usize];
        match space {
            Space::Input | Space::Output => write(self.params[place.0 as usize], at, dtype, new),
            Space::Scratch | Space::Registers => self.tiles[place.0 as usize][at] = new,
        }
        Ok(())
    }
}

impl Kernel {
    /// Runs every grid point in order, one element at a time; sums and products of floats are kept in f64. `buffers` holds the bytes of
    /// the parameters in the order of the calling convention. Tiles are filled with NaN (integers: -1) before each
    /// grid point, so that reading what was not written shows.
    ///
    /// # Errors
    /// A bug where the kernel is malformed, a buffer has the wrong size, or an index lies outside its place.
    pub fn run(&self, buffers: &mut [Vec<u8>]) -> Result<(), OpError> {
        self.verify().map_err(|problems| OpError::bug(format!("kernel '{}' is malformed: {}", self.name, problems.join("; "))))?;
        if buffers.len() != self.params().count() {
            return Err(OpError::bug(format!("kernel '{}' takes {} buffers, not {}", self.name, self.params().count(), buffers.len())));
        }
        let mut given = buffers.iter_mut();
        let mut params: Vec<&mut [u8]> = Vec::new();
        let mut tiles = Vec::new();
        for (at, place) in self.places.iter().enumerate() {
            let elems = checked_elems(&[place.elems])?;
            let is_param = matches!(place.space, Space::Input | Space::Output);
            let bytes: &mut [u8] = if is_param { given.next().map_or(&mut [], |b| b) } else { &mut [] };
            if is_param && bytes.len() != elems * place.dtype.size() {
                return Err(OpError::bug(format!("{} of kernel '{}' takes {} bytes, not {}", PlaceName(self, Source(at as u32)), self.name, elems * place.dtype.size(), bytes.len())));
            }
            params.push(bytes);
            tiles.push(if is_param { Vec::new() } else { vec![poison(place.dtype); elems] });
        }
        let vars = self.vars().last_key_value().map_or(0, |(var, _)| var.0 as usize + 1);
        let mut runner = Runner { kernel: self, params, tiles, vars: vec![0; vars], values: vec![Scalar::Int(0); self.exprs.len()], orders: HashMap::new() };
        let extents: Vec<i64> = self.grid.iter().map(|(_, extent)| *extent).collect();
        let mut at = vec![0; extents.len()];
        for _ in 0..self.points() {
            for (tile, place) in runner.tiles.iter_mut().zip(&self.places) {
                tile.fill(poison(place.dtype));
            }
            for ((var, _), i) in self.grid.iter().zip(&at) {
                runner.vars[var.0 as usize] = *i;
            }
            runner.body(&self.body)?;
            advance(&mut at, &extents);
        }
        Ok(())
    }

    /// All variables of grid and loops with their extents.
    pub fn vars(&self) -> BTreeMap<Var, i64> {
        fn collect(body: &[Stmt], vars: &mut BTreeMap<Var, i64>) {
            for stmt in body {
                if let Stmt::For { var, extent, body, .. } = stmt {
                    vars.insert(*var, *extent);
                    collect(body, vars);
                }
            }
        }
        let mut vars = self.grid.iter().copied().collect();
        collect(&self.body, &mut vars);
        vars
    }

    /// Checks the structure: variables are bound once and used only inside their loops, dtypes agree, inputs are not
    /// written, indices of register tiles are made of constants and of unrolled and vector variables.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn verify(&self) -> Result<(), Vec<String>> {
        let mut check = Check { kernel: self, problems: Vec::new(), bound: BTreeMap::new(), open: BTreeMap::new() };
        for (var, extent) in &self.grid {
            check.bind(*var, *extent, LoopKind::Serial);
        }
        for place in &self.places {
            if place.elems < 0 || place.dtype.size() == 0 {
                check.problems.push(format!("a place of {} elements of {}", place.elems, place.dtype));
            }
        }
        check.body(&self.body);
        if check.problems.is_empty() { Ok(()) } else { Err(check.problems) }
    }
}

struct Check<'a> {
    kernel: &'a Kernel,
    problems: Vec<String>,
    bound: BTreeMap<Var, ()>,
    open: BTreeMap<Var, LoopKind>,
}

impl<'a> Check<'a> {
    fn bind(&mut self, var: Var, extent: i64, kind: LoopKind) {
        if self.bound.insert(var, ()).is_some() {
            self.problems.push(format!("i{} is bound twice", var.0));
        }
        if extent < 0 {
            self.problems.push(format!("i{} has extent {extent}", var.0));
        }
        self.open.insert(var, kind);
    }

    fn body(&mut self, body: &[Stmt]) {
        for stmt in body {
            match stmt {
                Stmt::For { var, extent, kind, body } => {
                    self.bind(*var, *extent, *kind);
                    self.body(body);
                    self.open.remove(var);
                }
                Stmt::Store { place, index, value, guard } => self.write(*place, *index, *value, *guard, false),
                Stmt::Accumulate { place, index, value, .. } => self.write(*place, *index, *value, None, true),
            }
        }
    }

    fn write(&mut self, place: Source, index: ExprId, value: ExprId, guard: Option<ExprId>, tile_only: bool) {
        let kernel = self.kernel;
        let roots: Vec<ExprId> = [index, value].into_iter().chain(guard).collect();
        if roots.iter().any(|id| id.0 as usize >= kernel.exprs.len()) {
            self.problems.push("an expression that is not in the arena".into());
            return;
        }
        for id in kernel.exprs.reachable(&roots) {
            self.node(id);
        }
        if let Some(to) = self.place(place, index) {
            let name = PlaceName(kernel, place);
            if to.space == Space::Input || (tile_only && to.space == Space::Output) {
                self.problems.push(format!("{name} is written"));
            }
            if kernel.exprs.dtype(value) != to.dtype {
                self.problems.push(format!("{} is written to {name}, which is {}", kernel.exprs.dtype(value), to.dtype));
            }
        }
        if guard.is_some_and(|guard| kernel.exprs.dtype(guard) != DType::Bool) {
            self.problems.push("a guard that is not a bool".into());
        }
    }

    fn place(&mut self, place: Source, index: ExprId) -> Option<&'a Place> {
        let kernel = self.kernel;
        let Some(found) = kernel.places.get(place.0 as usize) else {
            self.problems.push(format!("there is no place {}", place.0));
            return None;
        };
        if kernel.exprs.dtype(index) != DType::I64 {
            self.problems.push(format!("an index of {} is {}", PlaceName(kernel, place), kernel.exprs.dtype(index)));
        }
        if found.space == Space::Registers {
            for id in kernel.exprs.reachable(&[index]) {
                let fixed = match kernel.exprs.get(id) {
                    Expr::Var(var) => self.open.get(var).is_none_or(|kind| *kind != LoopKind::Serial),
                    Expr::Load { .. } => false,
                    _ => true,
                };
                if !fixed {
                    self.problems.push(format!("an index of {} is not known once loops are unrolled", PlaceName(kernel, place)));
                }
            }
        }
        Some(found)
    }

    fn node(&mut self, id: ExprId) {
        let exprs = &self.kernel.exprs;
        let dtype = exprs.dtype(id);
        match exprs.get(id) {
            Expr::Var(var) if !self.open.contains_key(var) => self.problems.push(format!("i{} is used outside its loop", var.0)),
            Expr::Load { source, index, guard } => {
                let [index] = index[..] else {
                    self.problems.push("a load with several indices".into());
                    return;
                };
                if guard.is_some_and(|guard| exprs.dtype(guard) != DType::Bool) {
                    self.problems.push("a guard that is not a bool".into());
                }
                if let Some(place) = self.place(*source, index)
                    && place.dtype != dtype
                {
                    let place = place.dtype;
                    self.problems.push(format!("{dtype} is read from {}, which is {place}", PlaceName(self.kernel, *source)));
                }
            }
            Expr::Binary(op, a, b) if exprs.dtype(*a) != exprs.dtype(*b) => self.problems.push(format!("{} of {} and {}", op.name(), exprs.dtype(*a), exprs.dtype(*b))),
            Expr::Select(cond, a, b) if exprs.dtype(*cond) != DType::Bool || exprs.dtype(*a) != exprs.dtype(*b) => self.problems.push("a selection between two dtypes, or by something that is not a bool".into()),
            Expr::Reduced => self.problems.push("a reference to a reduction outside an epilogue".into()),
            _ => {}
        }
    }
}

/// A place's name in dumps and messages.
struct PlaceName<'a>(&'a Kernel, Source);

impl fmt::Display for PlaceName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0.places.get(self.1.0 as usize).map(|place| place.space) {
            Some(Space::Input) => "in",
            Some(Space::Output) => "out",
            Some(Space::Scratch) => "tile",
            Some(Space::Registers) => "reg",
            None => "place",
        };
        write!(f, "{kind}{}", self.1.0)
    }
}

/// A node that is used once is written into its user, unless its text is longer than this.
const LONGEST_INLINE: usize = 90;

/// Writes expressions infix; those that are used twice get a line and a name of their own.
struct Printer<'a> {
    kernel: &'a Kernel,
    named: u32,
}

impl Printer<'_> {
    /// The texts of `roots`, after lines that name what they share.
    fn roots(&mut self, f: &mut fmt::Formatter<'_>, indent: usize, roots: &[ExprId]) -> Result<Vec<String>, fmt::Error> {
        let exprs = &self.kernel.exprs;
        let order = exprs.reachable(roots);
        let mut uses: HashMap<ExprId, usize> = HashMap::new();
        for child in order.iter().flat_map(|id| exprs.get(*id).children()).chain(roots.iter().copied()) {
            *uses.entry(child).or_default() += 1;
        }
        let mut texts: HashMap<ExprId, String> = HashMap::new();
        for id in &order {
            let mut text = self.node(*id, &texts);
            let leaf = matches!(exprs.get(*id), Expr::Const(_) | Expr::Var(_));
            if !leaf && (uses[id] > 1 || (text.len() > LONGEST_INLINE && !roots.contains(id))) {
                writeln!(f, "{:indent$}e{}: {} = {text}", "", self.named, exprs.dtype(*id))?;
                text = format!("e{}", self.named);
                self.named += 1;
            }
            texts.insert(*id, text);
        }
        // A name does not need the brackets that an infix expression gets.
        Ok(roots.iter().map(|id| strip(&texts[id]).to_string()).collect())
    }

    fn node(&self, id: ExprId, texts: &HashMap<ExprId, String>) -> String {
        let exprs = &self.kernel.exprs;
        let of = |id: &ExprId| texts[id].as_str();
        let inner = |id: &ExprId| strip(of(id));
        match exprs.get(id) {
            Expr::Const(Scalar::Float(x)) => format!("{x:?}"),
            Expr::Const(Scalar::Int(n)) => n.to_string(),
            Expr::Const(Scalar::Bool(b)) => b.to_string(),
            Expr::Var(var) => format!("i{}", var.0),
            Expr::Load { source, index, guard } => {
                let index: Vec<&str> = index.iter().map(inner).collect();
                let guard = guard.as_ref().map_or(String::new(), |guard| format!(" if {}", inner(guard)));
                format!("{}[{}{guard}]", PlaceName(self.kernel, *source), index.join(", "))
            }
            Expr::Unary(op, a) => format!("{}({})", op.name(), inner(a)),
            Expr::Binary(op, a, b) => match infix(*op) {
                Some(sign) => format!("({} {sign} {})", of(a), of(b)),
                None => format!("{}({}, {})", op.name(), inner(a), inner(b)),
            },
            Expr::Fma(a, b, c) => format!("fma({}, {}, {})", inner(a), inner(b), inner(c)),
            Expr::Select(c, a, b) => format!("({} ? {} : {})", of(c), of(a), of(b)),
            Expr::Cast(a) => format!("{}({})", exprs.dtype(id), inner(a)),
            Expr::Bitcast(a) => format!("bits_{}({})", exprs.dtype(id), inner(a)),
            Expr::Reduced => "reduced".to_string(),
        }
    }

    fn body(&mut self, f: &mut fmt::Formatter<'_>, indent: usize, body: &[Stmt]) -> fmt::Result {
        for stmt in body {
            match stmt {
                Stmt::For { var, extent, kind, body } => {
                    let kind = match kind {
                        LoopKind::Serial => "for",
                        LoopKind::Unrolled => "unrolled",
                        LoopKind::Vector => "vector",
                    };
                    writeln!(f, "{:indent$}{kind} i{} < {extent}:", "", var.0)?;
                    self.body(f, indent + 2, body)?;
                }
                Stmt::Store { place, .. } => {
                    let texts = self.roots(f, indent, &stmt.roots())?;
                    write!(f, "{:indent$}{}[{}] = {}", "", PlaceName(self.kernel, *place), texts[0], texts[1])?;
                    match texts.get(2) {
                        Some(guard) => writeln!(f, " if {guard}")?,
                        None => writeln!(f)?,
                    }
                }
                Stmt::Accumulate { place, combine, .. } => {
                    let texts = self.roots(f, indent, &stmt.roots())?;
                    let sign = match combine {
                        Combine::Sum => "+=",
                        Combine::Product => "*=",
                        Combine::Max => "max=",
                        Combine::Min => "min=",
                    };
                    writeln!(f, "{:indent$}{}[{}] {sign} {}", "", PlaceName(self.kernel, *place), texts[0], texts[1])?;
                }
            }
        }
        Ok(())
    }
}

/// Takes one pair of brackets off an infix expression.
fn strip(text: &str) -> &str {
    text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text)
}

fn infix(op: Binary) -> Option<&'static str> {
    Some(match op {
        Binary::Add => "+",
        Binary::Sub => "-",
        Binary::Mul => "*",
        Binary::Div => "/",
        Binary::FloorDiv => "//",
        Binary::Mod => "%",
        Binary::And => "&",
        Binary::Or => "|",
        Binary::Xor => "^",
        Binary::Shl => "<<",
        Binary::Shr => ">>",
        Binary::Eq => "==",
        Binary::Ne => "!=",
        Binary::Lt => "<",
        Binary::Le => "<=",
        Binary::Rem | Binary::Pow | Binary::Min | Binary::Max | Binary::Atan2 | Binary::Scale | Binary::Dot | Binary::DotPairs => return None,
    })
}

impl fmt::Display for Kernel {
    /// The whole kernel: places, grid, loops, expressions; equal kernels print the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kernel {}: {} flops, {} bytes", self.name, self.flops, self.bytes)?;
        for (at, place) in self.places.iter().enumerate() {
            writeln!(f, "  {}: {}[{}]", PlaceName(self, Source(at as u32)), place.dtype, place.elems)?;
        }
        if !self.grid.is_empty() {
            let grid: Vec<String> = self.grid.iter().map(|(var, extent)| format!("i{} < {extent}", var.0)).collect();
            writeln!(f, "  grid {}:", grid.join(", "))?;
        }
        Printer { kernel: self, named: 0 }.body(f, 2 + 2 * usize::from(!self.grid.is_empty()), &self.body)
    }
}
