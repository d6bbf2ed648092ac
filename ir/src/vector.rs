//! The vector program: straight-line vector operations on virtual registers inside counted loops.
//!
//! In: a [`Kernel`](crate::loops::Kernel) unrolled and vectorised for a [`Target`]. Out: what emitters translate one to one. The
//! vector length is a property of the target: nothing here is tied to 128 bits.
//!
//! Calling convention of the emitted code: `fn(buffers: *const *mut u8, begin: u64, end: u64)` runs the grid points
//! `begin..end` of the flattened (row-major) grid. `buffers` holds one pointer per parameter, then one to
//! `scratch_bytes` bytes of scratch aligned to 64.

use std::fmt;

use crate::compute::advance;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::bitcast;
use crate::scalar::{Binary, Scalar, Unary, cast, dot_pairs};
use crate::tensor::{read, write};

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
    /// Bytes of level-1 data cache, level-2 cache and level-3 cache. Where threads form teams, the first is what a team's
    /// threads share.
    pub cache: [u64; 3],
    /// How many threads run one grid point together, at most: 1 on a CPU, where vectors are registers; elsewhere the
    /// iterations of a vector loop are the threads.
    pub team: u32,
    /// How many grid points are reckoned to run at the same time.
    pub points: u32,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.triple)?;
        self.features.iter().try_for_each(|name| write!(f, " {}", name.strip_prefix("has_").unwrap_or(name)))
    }
}

impl Target {
    /// Is it an NVIDIA GPU, whose code is text in CUDA C?
    pub fn is_cuda(&self) -> bool {
        self.triple.starts_with("nvptx64-")
    }

    /// Does guarding each lane of a load or store cost nothing? 128-bit code does not use the masks that there may be.
    pub fn masks(&self) -> bool {
        self.vector_bits > 128 && self.features.iter().any(|name| name == "has_avx512f")
    }

    /// Has it an instruction for [`Inst::Dot`] of bytes?
    pub fn dots(&self) -> bool {
        self.masks() && self.features.iter().any(|name| name == "has_avx512vnni")
    }

    /// Has it an instruction for [`Inst::Dot`] of pairs of bf16?
    pub fn pairs(&self) -> bool {
        self.masks() && self.features.iter().any(|name| name == "has_avx512bf16")
    }

    /// Has it an instruction for [`Binary::Scale`]?
    pub fn scales(&self) -> bool {
        self.masks()
    }

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
    /// `dst = c + dot(a, b)`, where `a` and `b` are i32 lanes: of bytes, and wrapping, where `dst` is i32, see [`Binary::Dot`]; of
    /// pairs where it is f32, see [`dot_pairs`]. No `Binary` does this.
    Dot { dst: Reg, a: Reg, b: Reg, c: Reg },
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
    /// Each lane of `a` several times: lane `i` of `dst` is lane `i / times` of `a`, which has so many times fewer lanes.
    Repeat { dst: Reg, a: Reg, times: u32 },
    /// Lane `i` is the element at `index + offset + i * stride`; stride 1 is a contiguous load, 0 a broadcast.
    Load { dst: Reg, from: Address, stride: i64 },
    /// As `Load` for the first `live` lanes. The others are undefined, and no memory is touched for them.
    PartialLoad { dst: Reg, from: Address, stride: i64, live: u32 },
    /// As `Load` with stride 1, where `guard` has as many bool lanes: lane `i` is zero where that of the guard is false. Memory of
    /// such lanes is not touched, and may lie outside the buffer.
    GuardedLoad { dst: Reg, from: Address, guard: Reg },
    /// Lane `i` goes to `index + offset + i * stride`.
    Store { src: Reg, to: Address, stride: i64 },
    /// As `Store` with stride 1 of the lanes for which that of `guard` is true.
    GuardedStore { src: Reg, to: Address, guard: Reg },
    /// A parameter's element will be read soon, or written. It may lie outside the buffer, and an emitter may leave this out.
    Prefetch { at: Address, write: bool },
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

/// Vector instructions of arithmetic. What rearranges lanes, loads and stores is not among them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
pub struct Instructions {
    /// Multiplications, multiply-adds, divisions and roots.
    pub products: u64,
    /// All.
    pub all: u64,
}

impl Program {
    /// What all grid points execute where vectors have so many bytes.
    pub fn instructions(&self, vector_bytes: usize) -> Instructions {
        let points = self.grid.iter().map(|extent| (*extent).max(0) as u64).fold(1, u64::saturating_mul);
        self.instructions_of(&self.body, vector_bytes.max(1)).times(points)
    }

    fn instructions_of(&self, body: &[Inst], vector_bytes: usize) -> Instructions {
        let of = |inst: &Inst| {
            let products = match inst {
                Inst::Loop { end, step, body, .. } => return self.instructions_of(body, vector_bytes).times((end / (*step).max(1)).max(0) as u64),
                Inst::Unary { op: Unary::Sqrt, .. } | Inst::Binary { op: Binary::Mul | Binary::Div, .. } | Inst::Fma { .. } | Inst::Dot { .. } => 1,
                Inst::Unary { .. } | Inst::Binary { .. } | Inst::Select { .. } | Inst::Cast { .. } => 0,
                _ => return Instructions::default(),
            };
            let ty = inst.dst().map_or(RegType { dtype: DType::Bool, lanes: 1 }, |dst| self.regs[dst.0 as usize]);
            // Lanes of narrow elements are as wide as the others.
            let parts = if ty.lanes == 1 { 0 } else { (ty.lanes as usize * ty.dtype.size().max(4)).div_ceil(vector_bytes) as u64 };
            Instructions { products, all: 1 }.times(parts)
        };
        body.iter().map(of).fold(Instructions::default(), |a, b| Instructions { products: a.products.saturating_add(b.products), all: a.all.saturating_add(b.all) })
    }
}

impl Instructions {
    fn times(self, count: u64) -> Self {
        Self { products: self.products.saturating_mul(count), all: self.all.saturating_mul(count) }
    }
}

impl Inst {
    /// The register it writes.
    pub fn dst(&self) -> Option<Reg> {
        match self {
            Inst::Const { dst, .. }
            | Inst::Unary { dst, .. }
            | Inst::Binary { dst, .. }
            | Inst::Fma { dst, .. }
            | Inst::Dot { dst, .. }
            | Inst::Select { dst, .. }
            | Inst::Cast { dst, .. }
            | Inst::Bitcast { dst, .. }
            | Inst::Splat { dst, .. }
            | Inst::Ramp { dst, .. }
            | Inst::Extract { dst, .. }
            | Inst::Insert { dst, .. }
            | Inst::Repeat { dst, .. }
            | Inst::Load { dst, .. }
            | Inst::PartialLoad { dst, .. }
            | Inst::GuardedLoad { dst, .. }
            | Inst::Join { dst, .. }
            | Inst::Move { dst, .. } => Some(*dst),
            Inst::Loop { counter, .. } => Some(*counter),
            Inst::Store { .. } | Inst::GuardedStore { .. } | Inst::Prefetch { .. } => None,
        }
    }
}

/// Runs a vector program, one instruction after the other.
struct Machine<'a> {
    program: &'a Program,
    buffers: &'a mut [Vec<u8>],
    scratch: Vec<u8>,
    regs: Vec<Vec<Scalar>>,
}

impl Machine<'_> {
    fn scalar(&self, reg: Reg) -> Scalar {
        self.regs[reg.0 as usize][0]
    }

    /// Byte position of the element `lane * stride` elements behind an address.
    fn locate(&self, at: &Address, dtype: DType, lane: usize, stride: i64) -> Result<usize, OpError> {
        let scratch = at.buffer as usize == self.program.params.len();
        let len = if scratch { self.scratch.len() } else { self.buffers[at.buffer as usize].len() };
        let element = self.scalar(at.index).as_int() + i128::from(at.offset) + lane as i128 * i128::from(stride);
        let size = dtype.size() as i128;
        let byte = i128::from(at.base) + element * size;
        if byte < i128::from(at.base) || byte + size > len as i128 {
            return Err(OpError::bug(format!("program '{}' reaches element {element} behind byte {} of buffer {}, which has {len} bytes", self.program.name, at.base, at.buffer)));
        }
        Ok(byte as usize)
    }

    fn load(&self, from: &Address, dtype: DType, lane: usize, stride: i64) -> Result<Scalar, OpError> {
        let byte = self.locate(from, dtype, lane, stride)?;
        let buffer = if from.buffer as usize == self.program.params.len() { &self.scratch } else { &self.buffers[from.buffer as usize] };
        Ok(read(&buffer[byte..byte + dtype.size()], 0, dtype))
    }

    fn store(&mut self, to: &Address, dtype: DType, lane: usize, stride: i64, value: Scalar) -> Result<(), OpError> {
        let byte = self.locate(to, dtype, lane, stride)?;
        let buffer = if to.buffer as usize == self.program.params.len() { &mut self.scratch } else { &mut self.buffers[to.buffer as usize] };
        write(&mut buffer[byte..byte + dtype.size()], 0, dtype, value);
        Ok(())
    }

    fn block(&mut self, insts: &[Inst]) -> Result<(), OpError> {
        for inst in insts {
            self.inst(inst)?;
        }
        Ok(())
    }

    fn inst(&mut self, inst: &Inst) -> Result<(), OpError> {
        let ty = |reg: &Reg| self.program.regs[reg.0 as usize];
        let lanes = |reg: &Reg| self.regs[reg.0 as usize].as_slice();
        let value = match inst {
            Inst::Loop { counter, end, step, body } => {
                let mut i = 0;
                while i < *end {
                    self.regs[counter.0 as usize] = vec![Scalar::Int(i128::from(i))];
                    self.block(body)?;
                    i += step;
                }
                return Ok(());
            }
            Inst::Store { src, to, stride } => {
                for (lane, value) in lanes(src).to_vec().into_iter().enumerate() {
                    self.store(to, ty(src).dtype, lane, *stride, value)?;
                }
                return Ok(());
            }
            Inst::GuardedStore { src, to, guard } => {
                let stored: Vec<_> = lanes(src).iter().zip(lanes(guard)).map(|(value, guard)| (*value, guard.as_bool())).collect();
                for (lane, (value, _)) in stored.into_iter().enumerate().filter(|(_, (_, inside))| *inside) {
                    self.store(to, ty(src).dtype, lane, 1, value)?;
                }
                return Ok(());
            }
            Inst::Prefetch { .. } => return Ok(()),
            Inst::Const { dst, value } => vec![cast(*value, ty(dst).dtype); ty(dst).lanes as usize],
            Inst::Unary { op, a, .. } => lanes(a).iter().map(|x| op.apply(*x, ty(a).dtype)).collect(),
            Inst::Binary { op, a, b, .. } => lanes(a).iter().zip(lanes(b)).map(|(x, y)| op.apply(*x, *y, ty(a).dtype)).collect(),
            Inst::Fma { dst, a, b, c } => {
                let fused = |a: f64, b: f64, c: f64| if ty(dst).dtype == DType::F32 { f64::from((a as f32).mul_add(b as f32, c as f32)) } else { a.mul_add(b, c) };
                let operands = lanes(a).iter().zip(lanes(b)).zip(lanes(c));
                operands.map(|((a, b), c)| cast(Scalar::Float(fused(a.as_f64(), b.as_f64(), c.as_f64())), ty(dst).dtype)).collect()
            }
            Inst::Dot { dst, a, b, c } if ty(dst).dtype == DType::F32 => {
                let sum = |a: &Scalar, b: &Scalar, c: &Scalar| Scalar::Float(f64::from(dot_pairs(a.as_int(), b.as_int(), c.as_f64() as f32)));
                lanes(a).iter().zip(lanes(b)).zip(lanes(c)).map(|((a, b), c)| sum(a, b, c)).collect()
            }
            Inst::Dot { a, b, c, .. } => {
                let sum = |a: &Scalar, b: &Scalar, c: &Scalar| Binary::Add.apply(*c, Binary::Dot.apply(*a, *b, DType::I32), DType::I32);
                lanes(a).iter().zip(lanes(b)).zip(lanes(c)).map(|((a, b), c)| sum(a, b, c)).collect()
            }
            Inst::Select { cond, a, b, .. } => lanes(cond).iter().zip(lanes(a).iter().zip(lanes(b))).map(|(c, (a, b))| if c.as_bool() { *a } else { *b }).collect(),
            Inst::Cast { dst, a } => lanes(a).iter().map(|x| cast(*x, ty(dst).dtype)).collect(),
            Inst::Bitcast { dst, a } => lanes(a).iter().map(|x| bitcast(*x, ty(a).dtype, ty(dst).dtype)).collect(),
            Inst::Splat { dst, a } => vec![self.scalar(*a); ty(dst).lanes as usize],
            Inst::Ramp { dst, a, step } => {
                let (first, dtype) = (self.scalar(*a).as_int(), ty(dst).dtype);
                (0..i128::from(ty(dst).lanes)).map(|lane| cast(Scalar::Int(first + lane * i128::from(*step)), dtype)).collect()
            }
            Inst::Extract { a, lane, .. } => vec![lanes(a)[*lane as usize]],
            Inst::Insert { a, b, lane, .. } => {
                let mut value = lanes(a).to_vec();
                value[*lane as usize] = self.scalar(*b);
                value
            }
            Inst::Repeat { a, times, .. } => lanes(a).iter().flat_map(|x| std::iter::repeat_n(*x, *times as usize)).collect(),
            Inst::Load { dst, from, stride } => (0..ty(dst).lanes as usize).map(|lane| self.load(from, ty(dst).dtype, lane, *stride)).collect::<Result<_, _>>()?,
            Inst::PartialLoad { dst, from, stride, live } => (0..ty(dst).lanes as usize)
                .map(|lane| if lane < *live as usize { self.load(from, ty(dst).dtype, lane, *stride) } else { Ok(Scalar::zero(ty(dst).dtype)) })
                .collect::<Result<_, _>>()?,
            Inst::GuardedLoad { dst, from, guard } => {
                let dtype = ty(dst).dtype;
                lanes(guard).iter().enumerate().map(|(lane, inside)| if inside.as_bool() { self.load(from, dtype, lane, 1) } else { Ok(Scalar::zero(dtype)) }).collect::<Result<_, _>>()?
            }
            Inst::Join { op, a, .. } => {
                let mut values = lanes(a).to_vec();
                while values.len() > 1 {
                    let half = values.len() / 2;
                    values = (0..half).map(|i| op.apply(values[i], values[i + half], ty(a).dtype)).collect();
                }
                values
            }
            Inst::Move { a, .. } => lanes(a).to_vec(),
        };
        if let Some(dst) = inst.dst() {
            self.regs[dst.0 as usize] = value;
        }
        Ok(())
    }
}

impl Program {
    /// Runs every grid point in order. `buffers` holds the parameters' bytes. Scratch has all bits set at first.
    ///
    /// # Errors
    /// A bug where the program is malformed or reaches outside a buffer.
    pub fn run(&self, buffers: &mut [Vec<u8>]) -> Result<(), OpError> {
        self.verify().map_err(|problems| OpError::bug(format!("program '{}' is malformed: {}", self.name, problems.join("; "))))?;
        if buffers.len() != self.params.len() {
            return Err(OpError::bug(format!("program '{}' takes {} buffers, not {}", self.name, self.params.len(), buffers.len())));
        }
        let mut scratch = Vec::new();
        let scratch_bytes = usize::try_from(self.scratch_bytes).unwrap_or(usize::MAX);
        scratch.try_reserve_exact(scratch_bytes).map_err(|_| OpError::unsupported(format!("{scratch_bytes} bytes of scratch do not fit into memory")))?;
        scratch.resize(scratch_bytes, 0xff);
        let regs = self.regs.iter().map(|ty| vec![Scalar::zero(ty.dtype); ty.lanes as usize]).collect();
        let mut machine = Machine { program: self, buffers, scratch, regs };
        let mut at = vec![0; self.grid.len()];
        for _ in 0..self.grid.iter().product::<i64>() {
            for (reg, i) in self.grid_regs.iter().zip(&at) {
                machine.regs[reg.0 as usize] = vec![Scalar::Int(i128::from(*i))];
            }
            machine.block(&self.body)?;
            advance(&mut at, &self.grid);
        }
        Ok(())
    }

    /// Checks the structure: registers are written before they are read and only once unless they are mutable, and dtypes and lanes
    /// of operands agree.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn verify(&self) -> Result<(), Vec<String>> {
        let mut check = Check { program: self, problems: Vec::new(), written: vec![false; self.regs.len()], open: vec![false; self.regs.len()] };
        if self.grid.len() != self.grid_regs.len() {
            check.problems.push("as many grid registers as axes are needed".into());
        }
        for reg in &self.grid_regs {
            check.define(*reg);
        }
        check.block(&self.body);
        if check.problems.is_empty() { Ok(()) } else { Err(check.problems) }
    }
}

struct Check<'a> {
    program: &'a Program,
    problems: Vec<String>,
    /// Written at all.
    written: Vec<bool>,
    /// Written in a block that is still open.
    open: Vec<bool>,
}

impl Check<'_> {
    fn ty(&mut self, reg: Reg) -> RegType {
        match self.program.regs.get(reg.0 as usize) {
            Some(ty) => *ty,
            None => {
                self.problems.push(format!("there is no r{}", reg.0));
                RegType { dtype: DType::I64, lanes: 1 }
            }
        }
    }

    fn define(&mut self, reg: Reg) {
        self.ty(reg);
        if let Some(written) = self.written.get_mut(reg.0 as usize) {
            if *written {
                self.problems.push(format!("r{} is written twice", reg.0));
            }
            *written = true;
            self.open[reg.0 as usize] = true;
        }
    }

    fn read(&mut self, reg: Reg) -> RegType {
        if !self.open.get(reg.0 as usize).copied().unwrap_or(true) {
            self.problems.push(format!("r{} is read before it is written", reg.0));
        }
        self.ty(reg)
    }

    /// Reads a register that must have a type.
    fn expect(&mut self, reg: Reg, wanted: RegType) {
        let ty = self.read(reg);
        if ty != wanted {
            self.problems.push(format!("r{} is {ty}, not {wanted}", reg.0));
        }
    }

    fn address(&mut self, at: &Address) {
        self.expect(at.index, RegType { dtype: DType::I64, lanes: 1 });
        if at.buffer as usize > self.program.params.len() {
            self.problems.push(format!("there is no buffer {}", at.buffer));
        }
    }

    fn block(&mut self, insts: &[Inst]) {
        let before = self.open.clone();
        for inst in insts {
            self.inst(inst);
        }
        // What a block writes is gone after it, except for mutable registers.
        for (at, open) in before.into_iter().enumerate() {
            self.open[at] = open || (self.open[at] && self.program.mutable.contains(&Reg(at as u32)));
        }
    }

    fn inst(&mut self, inst: &Inst) {
        let scalar = |dtype| RegType { dtype, lanes: 1 };
        let dst_type = inst.dst().map(|dst| self.ty(dst));
        let dst = dst_type.unwrap_or(scalar(DType::I64));
        let same_lanes = |dtype| RegType { dtype, lanes: dst.lanes };
        match inst {
            Inst::Const { .. } => {}
            Inst::Unary { op, a, .. } => {
                let operand = self.read(*a);
                if (RegType { dtype: op.result(operand.dtype), lanes: operand.lanes }) != dst {
                    self.problems.push(format!("{} of {operand} gives no {dst}", op.name()));
                }
            }
            Inst::Binary { op: Binary::Dot | Binary::DotPairs, .. } => self.problems.push("a dot product without a sum".into()),
            Inst::Binary { op, a, b, .. } => {
                let operand = self.read(*a);
                self.expect(*b, operand);
                if (RegType { dtype: op.result(operand.dtype), lanes: operand.lanes }) != dst {
                    self.problems.push(format!("{} of {operand} gives no {dst}", op.name()));
                }
            }
            Inst::Fma { a, b, c, .. } => [a, b, c].into_iter().for_each(|reg| self.expect(*reg, dst)),
            Inst::Dot { a, b, c, .. } => {
                [a, b].into_iter().for_each(|reg| self.expect(*reg, same_lanes(DType::I32)));
                self.expect(*c, dst);
                if !matches!(dst.dtype, DType::I32 | DType::F32) {
                    self.problems.push(format!("a dot product gives no {dst}"));
                }
            }
            Inst::Select { cond, a, b, .. } => {
                self.expect(*cond, same_lanes(DType::Bool));
                self.expect(*a, dst);
                self.expect(*b, dst);
            }
            Inst::Cast { a, .. } => {
                let from = self.read(*a);
                self.expect(*a, same_lanes(from.dtype));
            }
            Inst::Bitcast { a, .. } => {
                let from = self.read(*a);
                self.expect(*a, same_lanes(from.dtype));
                if from.dtype.size() != dst.dtype.size() {
                    self.problems.push(format!("{from} has not as many bits as {dst}"));
                }
            }
            Inst::Splat { a, .. } => self.expect(*a, scalar(dst.dtype)),
            Inst::Ramp { a, .. } => self.expect(*a, scalar(dst.dtype)),
            Inst::Extract { a, lane, .. } => {
                let from = self.read(*a);
                if from.dtype != dst.dtype || dst.lanes != 1 || *lane >= from.lanes {
                    self.problems.push(format!("lane {lane} of {from} is no {dst}"));
                }
            }
            Inst::Insert { a, b, lane, .. } => {
                self.expect(*a, dst);
                self.expect(*b, scalar(dst.dtype));
                if *lane >= dst.lanes {
                    self.problems.push(format!("{dst} has no lane {lane}"));
                }
            }
            Inst::Load { from, .. } => self.address(from),
            Inst::PartialLoad { from, live, .. } => {
                self.address(from);
                if *live == 0 || *live > dst.lanes {
                    self.problems.push(format!("{dst} has no {live} lanes"));
                }
            }
            Inst::GuardedLoad { from, guard, .. } => {
                self.address(from);
                self.expect(*guard, same_lanes(DType::Bool));
            }
            Inst::Store { src, to, .. } => {
                self.read(*src);
                self.address(to);
            }
            Inst::GuardedStore { src, to, guard } => {
                let ty = self.read(*src);
                self.address(to);
                self.expect(*guard, RegType { dtype: DType::Bool, lanes: ty.lanes });
            }
            Inst::Prefetch { at, .. } => {
                self.address(at);
                if at.buffer as usize == self.program.params.len() {
                    self.problems.push("scratch is prefetched".into());
                }
            }
            Inst::Join { a, .. } => {
                let from = self.read(*a);
                if dst != scalar(from.dtype) || !from.lanes.is_power_of_two() {
                    self.problems.push(format!("the lanes of {from} joined give no {dst}"));
                }
            }
            Inst::Repeat { a, times, .. } => {
                let from = self.read(*a);
                if from.dtype != dst.dtype || from.lanes.checked_mul(*times) != Some(dst.lanes) {
                    self.problems.push(format!("{from} repeated {times} times gives no {dst}"));
                }
            }
            Inst::Move { a, dst: to } => {
                self.expect(*a, dst);
                if !self.program.mutable.contains(to) {
                    self.problems.push(format!("r{} is moved to but not mutable", to.0));
                }
                if let Some(open) = self.open.get_mut(to.0 as usize) {
                    *open = true;
                }
                return;
            }
            Inst::Loop { counter, step, body, .. } => {
                if *step < 1 {
                    self.problems.push(format!("a loop with step {step}"));
                }
                let before = self.open.clone();
                self.expect_counter(*counter);
                self.block(body);
                let counter = counter.0 as usize;
                if counter < before.len() {
                    self.open[counter] = before[counter];
                }
                return;
            }
        }
        if let Some(dst) = inst.dst() {
            self.define(dst);
        }
    }

    fn expect_counter(&mut self, counter: Reg) {
        self.define(counter);
        self.expect(counter, RegType { dtype: DType::I64, lanes: 1 });
    }
}

impl fmt::Display for RegType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lanes == 1 { write!(f, "{}", self.dtype) } else { write!(f, "{}x{}", self.dtype, self.lanes) }
    }
}

impl Program {
    fn operand(&self, at: &Address, stride: i64) -> String {
        let buffer = if at.buffer as usize == self.params.len() { format!("scratch@{}", at.base) } else { format!("p{}", at.buffer) };
        let offset = match at.offset {
            0 => String::new(),
            n if n < 0 => format!(" - {}", n.unsigned_abs()),
            n => format!(" + {n}"),
        };
        let stride = if stride == 1 { String::new() } else { format!(", stride {stride}") };
        format!("{buffer}[r{}{offset}{stride}]", at.index.0)
    }

    fn print(&self, f: &mut fmt::Formatter<'_>, indent: usize, insts: &[Inst]) -> fmt::Result {
        for inst in insts {
            write!(f, "{:indent$}", "")?;
            if let (Some(dst), false) = (inst.dst(), matches!(inst, Inst::Loop { .. })) {
                match self.regs.get(dst.0 as usize) {
                    Some(ty) => write!(f, "r{}: {ty} = ", dst.0)?,
                    None => write!(f, "r{} = ", dst.0)?,
                }
            }
            match inst {
                Inst::Const { value: Scalar::Float(x), .. } => writeln!(f, "{x:?}")?,
                Inst::Const { value: Scalar::Int(n), .. } => writeln!(f, "{n}")?,
                Inst::Const { value: Scalar::Bool(b), .. } => writeln!(f, "{b}")?,
                Inst::Unary { op, a, .. } => writeln!(f, "{} r{}", op.name(), a.0)?,
                Inst::Binary { op, a, b, .. } => writeln!(f, "{} r{}, r{}", op.name(), a.0, b.0)?,
                Inst::Fma { a, b, c, .. } => writeln!(f, "fma r{}, r{}, r{}", a.0, b.0, c.0)?,
                Inst::Dot { a, b, c, .. } => writeln!(f, "dot r{}, r{}, r{}", a.0, b.0, c.0)?,
                Inst::Select { cond, a, b, .. } => writeln!(f, "select r{}, r{}, r{}", cond.0, a.0, b.0)?,
                Inst::Cast { a, .. } => writeln!(f, "cast r{}", a.0)?,
                Inst::Bitcast { a, .. } => writeln!(f, "bitcast r{}", a.0)?,
                Inst::Splat { a, .. } => writeln!(f, "splat r{}", a.0)?,
                Inst::Ramp { a, step, .. } => writeln!(f, "ramp r{}, {step}", a.0)?,
                Inst::Extract { a, lane, .. } => writeln!(f, "extract r{}, {lane}", a.0)?,
                Inst::Insert { a, b, lane, .. } => writeln!(f, "insert r{}, r{}, {lane}", a.0, b.0)?,
                Inst::Repeat { a, times, .. } => writeln!(f, "repeat r{}, {times}", a.0)?,
                Inst::Load { from, stride, .. } => writeln!(f, "load {}", self.operand(from, *stride))?,
                Inst::PartialLoad { from, stride, live, .. } => writeln!(f, "load {} of {live}", self.operand(from, *stride))?,
                Inst::GuardedLoad { from, guard, .. } => writeln!(f, "load {} if r{}", self.operand(from, 1), guard.0)?,
                Inst::Store { src, to, stride } => writeln!(f, "store {} = r{}", self.operand(to, *stride), src.0)?,
                Inst::GuardedStore { src, to, guard } => writeln!(f, "store {} = r{} if r{}", self.operand(to, 1), src.0, guard.0)?,
                Inst::Prefetch { at, write } => writeln!(f, "prefetch {}{}", self.operand(at, 1), if *write { " to write" } else { "" })?,
                Inst::Join { op, a, .. } => writeln!(f, "join {} r{}", op.name(), a.0)?,
                Inst::Move { a, .. } => writeln!(f, "r{}", a.0)?,
                Inst::Loop { counter, end, step, body } => {
                    writeln!(f, "loop r{} < {end} step {step}:", counter.0)?;
                    self.print(f, indent + 2, body)?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Program {
    /// The whole program; equal programs print the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params: Vec<String> = self.params.iter().enumerate().map(|(at, dtype)| format!("p{at}: {dtype}")).collect();
        writeln!(f, "program {}({}), {} bytes of scratch", self.name, params.join(", "), self.scratch_bytes)?;
        let grid: Vec<String> = self.grid_regs.iter().zip(&self.grid).map(|(reg, extent)| format!("r{} < {extent}", reg.0)).collect();
        if !grid.is_empty() {
            writeln!(f, "  grid {}:", grid.join(", "))?;
        }
        self.print(f, 2 + 2 * usize::from(!grid.is_empty()), &self.body)
    }
}
