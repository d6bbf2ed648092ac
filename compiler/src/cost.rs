//! What work costs: an estimate of its time, by a roofline.
//!
//! In: what is computed and moved, and a [`Machine`]. Out: nanoseconds. The one estimate of the compiler: rewriting prices
//! terms by it, scheduling kernels. Must not know: ops, graphs, kernels.

use std::collections::BTreeSet;

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
        elementwise: 10.0,
        caches: [Cache { bytes: 32 << 10, bandwidth: 100.0 }, Cache { bytes: 1 << 20, bandwidth: 50.0 }, Cache { bytes: 16 << 20, bandwidth: 25.0 }],
        memory: 10.0,
        launch: 2000.0,
        threads: 16,
    };

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
        work.contraction / self.contraction + work.elementwise / self.elementwise
    }
}

/// How much is computed.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Arithmetic {
    /// Products and sums in register tiles.
    pub contraction: f64,
    /// Everything else, in additions.
    pub elementwise: f64,
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
