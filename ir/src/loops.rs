//! The loop form: kernels as loop nests over scalar expressions.
//!
//! In: what the scheduler makes of [`Compute`](crate::compute::Compute)s. Out: [`Kernel`]s, which the vectoriser turns into
//! [vector programs](crate::vector) and the interpreter (`run`) executes point by point. No tensor op
//! survives into it and no device word enters it.

use crate::compute::Combine;
use crate::dtype::DType;
use crate::expr::{ExprId, Exprs, Source, Var};

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

/// A statement of a kernel's body.
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
