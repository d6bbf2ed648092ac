//! The vector program: straight-line vector operations on virtual registers inside counted loops.
//!
//! In: a [`Kernel`](crate::loops::Kernel) unrolled and vectorised for a [`Target`]. Out: what emitters translate one to one. The
//! vector length is a property of the target: nothing here is tied to 128 bits.
//!
//! Calling convention of the emitted code: `fn(buffers: *const *mut u8, begin: u64, end: u64)` runs the grid points
//! `begin..end` of the flattened (row-major) grid. `buffers` holds one pointer per parameter, then one to
//! `scratch_bytes` bytes of scratch aligned to 64.

use crate::dtype::DType;
use crate::scalar::{Binary, Scalar, Unary};

/// What code is generated for.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Target {
    /// The target triple, as `x86_64-unknown-linux-gnu`.
    pub triple: String,
    /// CPU features the code needs, sorted, in the words of Cranelift's settings (`has_avx`, `has_fma`).
    pub features: Vec<String>,
    /// Bits of a vector register.
    pub vector_bits: u32,
    /// Number of vector registers.
    pub vector_registers: u32,
    /// Has it a fused multiply-add?
    pub fma: bool,
    /// Bytes of level-1 data cache, level-2 cache and level-3 cache.
    pub cache: [u64; 3],
}

impl Target {
    /// Elements of a dtype in one vector register.
    pub fn lanes(&self, dtype: DType) -> u32 {
        self.vector_bits / 8 / dtype.size().max(1) as u32
    }
}

/// A virtual register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Reg(pub u32);

/// Type of a virtual register: so many lanes of a dtype. Bool lanes hold truth values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RegType {
    /// Element type.
    pub dtype: DType,
    /// Number of lanes; 1 is a scalar.
    pub lanes: u32,
}

/// Memory operand: a buffer and an element index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Address {
    /// Parameter number, or the scratch pointer where it equals the number of parameters.
    pub buffer: u32,
    /// Bytes from the buffer's start to the element that index 0 means (scratch tiles share a pointer).
    pub base: u64,
    /// Element index, a scalar `i64` register.
    pub index: Reg,
    /// Elements added to the index.
    pub offset: i64,
}

/// An instruction. A register is written by one instruction, unless `Program::mutable` names it.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "each variant's comment names its fields")]
pub enum Inst {
    /// `dst = value` in every lane.
    Const { dst: Reg, value: Scalar },
    /// `dst = unary(a)`, lane by lane.
    Unary { dst: Reg, op: Unary, a: Reg },
    /// `dst = binary(a, b)`, lane by lane; for comparisons `dst` is bool.
    Binary { dst: Reg, op: Binary, a: Reg, b: Reg },
    /// `dst = a * b + c`, rounded once.
    Fma { dst: Reg, a: Reg, b: Reg, c: Reg },
    /// `dst = cond ? a : b`, lane by lane.
    Select { dst: Reg, cond: Reg, a: Reg, b: Reg },
    /// Converts lanes to `dst`'s dtype.
    Cast { dst: Reg, a: Reg },
    /// The same bits as `dst`'s dtype.
    Bitcast { dst: Reg, a: Reg },
    /// Every lane of `dst` is the scalar `a`.
    Splat { dst: Reg, a: Reg },
    /// `dst = a + lane number * step`, where `a` is a scalar integer.
    Ramp { dst: Reg, a: Reg, step: i64 },
    /// One lane of `a` as a scalar.
    Extract { dst: Reg, a: Reg, lane: u32 },
    /// `dst` is `a` with one lane replaced by the scalar `b`.
    Insert { dst: Reg, a: Reg, b: Reg, lane: u32 },
    /// Lane `i` is the element at `index + offset + i * stride`; stride 1 is a contiguous load, 0 a broadcast.
    Load { dst: Reg, from: Address, stride: i64 },
    /// As `Load`, for a scalar `dst` that is zero where the scalar bool `guard` is false; memory is not touched then.
    GuardedLoad { dst: Reg, from: Address, guard: Reg },
    /// Lane `i` goes to `index + offset + i * stride`.
    Store { src: Reg, to: Address, stride: i64 },
    /// As `Store` of a scalar, unless the scalar bool `guard` is false.
    GuardedStore { src: Reg, to: Address, guard: Reg },
    /// Joins all lanes of `a` into the scalar `dst`, pairwise halves first.
    Join { dst: Reg, op: Binary, a: Reg },
    /// `dst = a`, where `dst` is mutable.
    Move { dst: Reg, a: Reg },
    /// Runs the body with `counter` (a scalar i64) at 0, step, 2*step, .. below `end`.
    Loop { counter: Reg, end: i64, step: i64, body: Vec<Inst> },
}

/// A kernel as a vector program.
#[derive(Clone, PartialEq, Debug)]
pub struct Program {
    /// The kernel's name.
    pub name: String,
    /// Types of all registers.
    pub regs: Vec<RegType>,
    /// Registers that are written more than once, through `Move`.
    pub mutable: Vec<Reg>,
    /// Dtypes of the parameters.
    pub params: Vec<DType>,
    /// Bytes of scratch that one call needs.
    pub scratch_bytes: u64,
    /// Extents of the grid, outermost first.
    pub grid: Vec<i64>,
    /// Registers that hold the grid point's index along each axis.
    pub grid_regs: Vec<Reg>,
    /// What one grid point does.
    pub body: Vec<Inst>,
}
