//! What work costs: an estimate of its time, by a roofline.
//!
//! In: what is computed and moved, and a [`Machine`]. Out: nanoseconds. The one estimate of the compiler: rewriting prices
//! terms by it, scheduling kernels. Must not know: ops, graphs, kernels.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use frit_ir::{DType, Error};
use frit_ir::expr::{Expr, ExprId, Exprs};
use frit_ir::scalar::{Binary, Unary};

/// A cache of a core.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cache {
    /// What it holds, in bytes.
    pub bytes: u64,
    /// Bytes from and to it in a nanosecond.
    pub bandwidth: f64,
}

/// What a machine can do.
#[derive(Clone, PartialEq, Debug)]
pub struct Machine {
    /// Products and sums in register tiles, each counted, that a core does in a nanosecond.
    pub contraction: f64,
    /// Products and sums of 8-bit integers in register tiles, each counted, that a core does in a nanosecond where it has instructions for
    /// them.
    pub dot: f64,
    /// Additions of single elements that a core does in a nanosecond.
    pub elementwise: f64,
    /// The caches, the smallest first.
    pub caches: [Cache; 3],
    /// Bytes from and to memory in a nanosecond.
    pub memory: f64,
    /// Nanoseconds that launching a kernel takes.
    pub launch: f64,
    /// Threads that share the work.
    pub threads: u32,
}

impl Machine {
    /// A usual x86-64 server core. Builds that must not depend on the machine are priced by it.
    pub const DEFAULT: Machine = Machine {
        contraction: 50.0,
        dot: 200.0,
        elementwise: 10.0,
        caches: [Cache { bytes: 32 << 10, bandwidth: 100.0 }, Cache { bytes: 1 << 20, bandwidth: 50.0 }, Cache { bytes: 16 << 20, bandwidth: 25.0 }],
        memory: 10.0,
        launch: 2000.0,
        threads: 16,
    };

    /// A large GPU, in which a core is a unit with the memory that its threads share.
    pub const GPU: Machine = Machine {
        contraction: 200.0,
        dot: 100.0,
        elementwise: 60.0,
        caches: [Cache { bytes: 46 << 10, bandwidth: 120.0 }, Cache { bytes: 256 << 10, bandwidth: 60.0 }, Cache { bytes: 32 << 20, bandwidth: 40.0 }],
        memory: 20.0,
        launch: 1500.0,
        threads: 128,
    };

    /// All numbers by their names.
    pub fn numbers(&self) -> Vec<(&'static str, f64)> {
        let caches = self.caches.iter().enumerate().flat_map(|(k, cache)| [(BYTES[k], cache.bytes as f64), (BANDWIDTH[k], cache.bandwidth)]);
        let rates = [("contraction", self.contraction), ("dot", self.dot), ("elementwise", self.elementwise), ("memory-bandwidth", self.memory), ("launch", self.launch), ("threads", f64::from(self.threads))];
        rates.into_iter().chain(caches).collect()
    }

    /// Bytes in a nanosecond where so many of them are used again and again: the rate of the cache that holds them.
    pub fn bandwidth(&self, working_set: f64) -> f64 {
        self.caches.iter().find(|cache| working_set <= cache.bytes as f64).map_or(self.memory, |cache| cache.bandwidth)
    }

    /// Bytes that the caches of one core hold; the last one is shared.
    pub fn own(&self) -> f64 {
        self.caches[1].bytes as f64
    }

    /// Nanoseconds that moving bytes takes which are read or written once, by itself.
    pub fn traffic(&self, bytes: f64) -> f64 {
        bytes / self.bandwidth(bytes)
    }

    /// The time of a kernel by itself that does so many operations and moves so many bytes, in nanoseconds.
    pub fn kernel(&self, work: Arithmetic, bytes: f64) -> f64 {
        self.launch + self.time(work).max(self.traffic(bytes))
    }

    /// The time of arithmetic on one core, in nanoseconds.
    pub fn time(&self, work: Arithmetic) -> f64 {
        work.contraction / self.contraction + work.dot / self.dot + work.elementwise / self.elementwise
    }
}

/// One number a line, by name; [`Machine::from_str`] reads it.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.numbers().iter().try_for_each(|(name, number)| writeln!(f, "{name} {number}"))
    }
}

impl FromStr for Machine {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut numbers: BTreeMap<&str, f64> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let number = line.split_once(' ').and_then(|(name, number)| Some((name, number.trim().parse::<f64>().ok()?)));
            let (name, number) = number.filter(|(_, number)| number.is_finite() && *number > 0.0).ok_or_else(|| Error::invalid(format!("'{line}' is not a name and a number above 0")).help(HELP))?;
            numbers.insert(name, number);
        }
        let mut take = |name: &str| numbers.remove(name).ok_or_else(|| Error::invalid(format!("a machine lacks '{name}'")).help(HELP));
        let mut cache = |k: usize| Ok::<_, Error>(Cache { bytes: take(BYTES[k])? as u64, bandwidth: take(BANDWIDTH[k])? });
        let caches = [cache(0)?, cache(1)?, cache(2)?];
        let machine = Machine { contraction: take("contraction")?, dot: take("dot")?, elementwise: take("elementwise")?, caches, memory: take("memory-bandwidth")?, launch: take("launch")?, threads: take("threads")? as u32 };
        match numbers.keys().next() {
            Some(name) => Err(Error::invalid(format!("a machine has no '{name}'")).help(HELP)),
            None => Ok(machine),
        }
    }
}

/// What to do about a table that can't be read.
const HELP: &str = "`frit machine` prints such a table";
/// Names of the caches' sizes.
const BYTES: [&str; 3] = ["l1-bytes", "l2-bytes", "l3-bytes"];
/// Names of the caches' rates.
const BANDWIDTH: [&str; 3] = ["l1-bandwidth", "l2-bandwidth", "l3-bandwidth"];

/// How much is computed.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Arithmetic {
    /// Products and sums in register tiles.
    pub contraction: f64,
    /// Such of 8-bit integers.
    pub dot: f64,
    /// Everything else, in additions.
    pub elementwise: f64,
}

/// Is an expression a product of 8-bit integers, as i32?
pub(crate) fn of_bytes(exprs: &Exprs, value: ExprId) -> bool {
    exprs.dtype(value) == DType::I32 && exprs.reachable(&[value]).into_iter().all(|id| !matches!(exprs.get(id), Expr::Load { .. }) || matches!(exprs.dtype(id), DType::I8 | DType::U8))
}

/// Does a condition ask whether an index is a number?
pub(crate) fn by_index(exprs: &Exprs, cond: ExprId) -> bool {
    matches!(exprs.get(cond), Expr::Binary(Binary::Eq, which, number) if exprs.as_int(*number).is_some() && !matches!(exprs.get(*which), Expr::Load { .. } | Expr::Cast(_)))
}

/// What an element costs to compute, in additions. Index arithmetic and movement are free.
pub(crate) fn additions(exprs: &Exprs, root: ExprId) -> u32 {
    let mut seen = BTreeSet::new();
    let mut open = vec![root];
    let mut sum = 0;
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        // What lies below a load is index arithmetic.
        match exprs.get(id) {
            Expr::Const(_) | Expr::Var(_) | Expr::Load { .. } | Expr::Reduced => {}
            // Where the index says which, only one is computed.
            Expr::Select(which, a, b) if by_index(exprs, *which) => sum += additions(exprs, *a).max(additions(exprs, *b)),
            Expr::Select(_, a, b) => open.extend([*a, *b]),
            Expr::Bitcast(a) => open.push(*a),
            Expr::Cast(a) => {
                sum += 1;
                open.push(*a);
            }
            Expr::Unary(op, a) => {
                sum += match op {
                    Unary::Neg | Unary::Abs | Unary::Not | Unary::IsNan | Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc | Unary::Sign => 1,
                    Unary::Sqrt => 8,
                    // An exponential and a quotient.
                    Unary::Tanh | Unary::Sinh | Unary::Cosh | Unary::Atanh => 24,
                    _ => 16,
                };
                open.push(*a);
            }
            Expr::Binary(op, a, b) => {
                sum += match op {
                    Binary::Pow | Binary::Atan2 => 32,
                    Binary::Div | Binary::Rem | Binary::Mod | Binary::FloorDiv => 8,
                    _ => 1,
                };
                open.extend([*a, *b]);
            }
            Expr::Fma(a, b, c) => {
                sum += 1;
                open.extend([*a, *b, *c]);
            }
        }
    }
    sum
}
