//! Chooses instructions for a vector program.
//!
//! In: a [`Program`]. Out: a [`Function`]. Must not know: register numbers, encodings.
//!
//! How a register of the program is held follows from its type alone, see [`Form`]. 8- and 16-bit integers live extended in 32-bit
//! lanes and are wrapped after every operation that can leave their range; f16 and bf16 live in f32 and are rounded after every
//! operation; bools are masks, or without these 32-bit lanes that have all bits set or none. What is chosen is AVX-512's where AVX2 has
//! the same under another code, which it gets in the end; [`avx2`] has the rest.

mod avx2;

use std::collections::HashMap;

use frit_ir::dtype::{Class as Kind, DType};
use frit_ir::error::Error;
use frit_ir::scalar::{Binary, Scalar, Unary};
use frit_ir::vector::{Address, Inst, Program, Reg, RegType};
use iced_x86::Code;

use super::codes::{self, Family};
use super::machine::{Alu, Class, Condition, Constant, Division, Function, Instruction, Isa, Memory, Op, VReg};

/// Lanes that a mask has at most.
const MOST_LANES: u32 = 16;
/// A loop that changes at least so many vectors holds a tile of accumulators.
const TILE: usize = 6;

/// Comparisons of floats: quiet, and false for NaN but for the last two.
const EQUAL: i64 = 0x00;
const LESS: i64 = 0x11;
const LESS_OR_EQUAL: i64 = 0x12;
const NOT_EQUAL: i64 = 0x04;
const UNORDERED: i64 = 0x03;
const ORDERED: i64 = 0x07;
const GREATER_OR_EQUAL: i64 = 0x1d;
const GREATER: i64 = 0x1e;
/// Comparisons of integers.
const INT_EQUAL: i64 = 0;
const INT_LESS: i64 = 1;
const INT_LESS_OR_EQUAL: i64 = 2;
const INT_NOT_EQUAL: i64 = 4;
/// Roundings to an integer, without exceptions.
const NEAREST: i64 = 8;
const DOWN: i64 = 9;
const UP: i64 = 10;
const TO_ZERO: i64 = 11;

/// How a register of the program is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// One integer or bool.
    General,
    /// Lanes of a mask of AVX-512.
    Mask,
    /// Vectors: how many, and which of the three widths. A scalar float is the first lane of one.
    Vectors { parts: u32, width: usize },
}

/// A register of the program.
#[derive(Clone)]
enum Held {
    Nothing,
    Regs(Vec<VReg>),
    Known(Scalar),
}

/// Bytes that a lane of a dtype is computed in; none for dtypes without a machine form.
fn carrier(dtype: DType) -> Option<u32> {
    match dtype {
        DType::F32 | DType::F16 | DType::BF16 | DType::I8 | DType::I16 | DType::I32 | DType::U8 | DType::U16 | DType::U32 => Some(4),
        DType::F64 | DType::I64 | DType::U64 => Some(8),
        DType::Bool => Some(1),
        _ => None,
    }
}

/// Bytes of a lane in a vector.
fn lane_bytes(dtype: DType) -> u32 {
    carrier(dtype).unwrap_or(4).max(4)
}

fn is_signed(dtype: DType) -> bool {
    dtype.class() == Kind::Signed
}

fn is_narrow_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// The family for lanes of so many bits.
fn by_size(narrow: Family, wide: Family, dtype: DType) -> Family {
    if carrier(dtype) == Some(8) { wide } else { narrow }
}

struct Selector<'a> {
    program: &'a Program,
    isa: Isa,
    function: Function,
    held: Vec<Held>,
    /// How often each register is read.
    uses: Vec<u32>,
    mutable: Vec<bool>,
    bases: Vec<Option<VReg>>,
    interned: HashMap<Constant, VReg>,
    labels: u32,
}

/// Chooses the instructions of a program.
///
/// # Errors
/// Unsupported for what only the other emitter makes code of; a bug where the program is malformed.
pub(super) fn select(program: &Program, isa: Isa) -> Result<Function, Error> {
    let mut selector = Selector {
        program,
        isa,
        function: Function::default(),
        held: vec![Held::Nothing; program.regs.len()],
        uses: vec![0; program.regs.len()],
        mutable: vec![false; program.regs.len()],
        bases: vec![None; program.params.len() + 1],
        interned: HashMap::new(),
        labels: 0,
    };
    count_uses(&program.body, &mut selector.uses);
    for reg in &program.mutable {
        selector.mutable[reg.0 as usize] = true;
        let regs = selector.fresh(*reg)?;
        selector.held[reg.0 as usize] = Held::Regs(regs);
    }
    selector.grid()?;
    if isa == Isa::Avx2 {
        selector.translate()?;
    }
    Ok(selector.function)
}

fn count_uses(body: &[Inst], uses: &mut [u32]) {
    for inst in body {
        let mut reads = |reg: &Reg| uses[reg.0 as usize] += 1;
        match inst {
            Inst::Const { .. } => {}
            Inst::Unary { a, .. } | Inst::Cast { a, .. } | Inst::Bitcast { a, .. } | Inst::Splat { a, .. } | Inst::Ramp { a, .. } | Inst::Extract { a, .. } | Inst::Repeat { a, .. } | Inst::Join { a, .. } | Inst::Move { a, .. } => reads(a),
            Inst::Binary { a, b, .. } | Inst::Insert { a, b, .. } => [a, b].into_iter().for_each(reads),
            Inst::Fma { a, b, c, .. } | Inst::Dot { a, b, c, .. } => [a, b, c].into_iter().for_each(reads),
            Inst::Select { cond, a, b, .. } => [cond, a, b].into_iter().for_each(reads),
            Inst::Load { from, .. } | Inst::PartialLoad { from, .. } => reads(&from.index),
            Inst::GuardedLoad { from, guard, .. } => [&from.index, guard].into_iter().for_each(reads),
            Inst::Store { src, to, .. } => [src, &to.index].into_iter().for_each(reads),
            Inst::GuardedStore { src, to, guard } => [src, &to.index, guard].into_iter().for_each(reads),
            Inst::Loop { body, .. } => count_uses(body, uses),
        }
    }
}

impl Selector<'_> {
    fn bug(&self, what: &str) -> Error {
        Error::bug(format!("kernel {}: {what}", self.program.name))
    }

    fn unsupported(&self, what: &str, dtype: DType) -> Error {
        Error::unsupported(format!("kernel {}: there are no wide instructions for {what} on {dtype}", self.program.name))
    }

    // ---- registers ----

    fn ty(&self, reg: Reg) -> RegType {
        self.program.regs[reg.0 as usize]
    }

    fn form(&self, ty: RegType) -> Result<Form, Error> {
        if carrier(ty.dtype).is_none() {
            return Err(self.unsupported("anything", ty.dtype));
        }
        if ty.lanes == 1 {
            return Ok(if ty.dtype.is_float() { Form::Vectors { parts: 1, width: 0 } } else { Form::General });
        }
        if !ty.lanes.is_power_of_two() || ty.lanes > MOST_LANES {
            return Err(self.unsupported(&format!("{} lanes", ty.lanes), ty.dtype));
        }
        if ty.dtype == DType::Bool && self.isa == Isa::Avx512 {
            return Ok(Form::Mask);
        }
        let (bytes, largest) = (ty.lanes * lane_bytes(ty.dtype), self.isa.bytes());
        Ok(Form::Vectors { parts: bytes.div_ceil(largest), width: (bytes.clamp(16, largest) / 16).trailing_zeros() as usize })
    }

    fn width(&self, ty: RegType) -> Result<usize, Error> {
        match self.form(ty)? {
            Form::Vectors { width, .. } => Ok(width),
            Form::General | Form::Mask => Err(self.bug("a vector was expected")),
        }
    }

    /// Lanes of each part.
    fn part_lanes(&self, ty: RegType) -> u32 {
        ty.lanes.min(self.isa.bytes() / lane_bytes(ty.dtype))
    }

    fn vector(&mut self) -> VReg {
        self.function.reg(Class::Vector)
    }

    fn general(&mut self) -> VReg {
        self.function.reg(Class::General)
    }

    fn mask(&mut self) -> VReg {
        self.function.reg(if self.isa == Isa::Avx512 { Class::Mask } else { Class::Vector })
    }

    /// New registers for one of the program.
    fn fresh(&mut self, reg: Reg) -> Result<Vec<VReg>, Error> {
        Ok(match self.form(self.ty(reg))? {
            Form::General => vec![self.general()],
            Form::Mask => vec![self.mask()],
            Form::Vectors { parts, .. } => (0..parts).map(|_| self.vector()).collect(),
        })
    }

    /// What a register of the program holds.
    fn get(&mut self, reg: Reg) -> Result<Vec<VReg>, Error> {
        match self.held[reg.0 as usize].clone() {
            Held::Nothing => Err(self.bug(&format!("register {} is read before it is written", reg.0))),
            Held::Regs(regs) => Ok(regs),
            Held::Known(value) => {
                let ty = self.ty(reg);
                Ok(match self.form(ty)? {
                    Form::General => vec![self.immediate(integer(value))],
                    Form::Mask => {
                        let mask = self.mask();
                        if value.as_bool() {
                            self.emit(Op::Ones, Some(mask), &[]);
                        } else {
                            let ones = self.mask();
                            self.emit(Op::Ones, Some(ones), &[]);
                            self.emit(Op::Simd(Code::VEX_Knotw_kr_kr), Some(mask), &[ones]);
                        }
                        vec![mask]
                    }
                    Form::Vectors { parts, .. } => vec![self.constant(value, ty.dtype); parts as usize],
                })
            }
        }
    }

    fn known(&self, reg: Reg) -> Option<Scalar> {
        match self.held[reg.0 as usize] {
            Held::Known(value) => Some(value),
            _ => None,
        }
    }

    fn one(&mut self, reg: Reg) -> Result<VReg, Error> {
        match self.get(reg)?[..] {
            [one] => Ok(one),
            _ => Err(self.bug(&format!("register {} is not in one part", reg.0))),
        }
    }

    fn set(&mut self, reg: Reg, regs: Vec<VReg>) {
        if let (true, Held::Regs(own)) = (self.mutable[reg.0 as usize], self.held[reg.0 as usize].clone()) {
            for (to, from) in own.into_iter().zip(regs) {
                if to != from {
                    self.emit(Op::Copy, Some(to), &[from]);
                }
            }
        } else {
            self.held[reg.0 as usize] = Held::Regs(regs);
        }
    }

    /// Gives a register the value of another one, of which it is a copy if that may change.
    fn alias(&mut self, dst: Reg, from: Reg, regs: Vec<VReg>) {
        let regs = if self.mutable[from.0 as usize] && !self.mutable[dst.0 as usize] {
            regs.into_iter()
                .map(|reg| {
                    let class = self.function.class(reg);
                    let copy = self.function.reg(class);
                    self.emit(Op::Copy, Some(copy), &[reg]);
                    copy
                })
                .collect()
        } else {
            regs
        };
        self.set(dst, regs);
    }

    // ---- instructions ----

    fn push(&mut self, instruction: Instruction) {
        self.function.body.push(instruction);
    }

    fn emit(&mut self, op: Op, dst: Option<VReg>, sources: &[VReg]) {
        self.push(Instruction::new(op, dst, sources));
    }

    fn emit_with(&mut self, op: Op, dst: VReg, sources: &[VReg], immediate: i64) {
        self.push(Instruction { immediate: Some(immediate), ..Instruction::new(op, Some(dst), sources) });
    }

    /// A vector that a code makes of others.
    fn simd(&mut self, code: Code, sources: &[VReg]) -> VReg {
        let dst = self.vector();
        self.emit(Op::Simd(code), Some(dst), sources);
        dst
    }

    fn simd_with(&mut self, code: Code, sources: &[VReg], immediate: i64) -> VReg {
        let dst = self.vector();
        self.emit_with(Op::Simd(code), dst, sources, immediate);
        dst
    }

    /// A mask that a code makes of vectors.
    fn masking(&mut self, code: Code, sources: &[VReg], immediate: Option<i64>) -> VReg {
        let dst = self.mask();
        self.push(Instruction { immediate, ..Instruction::new(Op::Simd(code), Some(dst), sources) });
        dst
    }

    fn mask_op(&mut self, code: Code, sources: &[VReg]) -> VReg {
        self.masking(code, sources, None)
    }

    /// As `simd`, zero where a mask is not set.
    fn zeroed(&mut self, code: Code, sources: &[VReg], mask: VReg) -> VReg {
        if self.isa == Isa::Avx2 {
            let all = self.simd(code, sources);
            return self.mask_op(Code::VEX_Kandw_kr_kr_kr, &[all, mask]);
        }
        let dst = self.vector();
        self.push(Instruction { mask: Some(mask), zeroing: true, ..Instruction::new(Op::Simd(code), Some(dst), sources) });
        dst
    }

    /// Lanes of `yes` where the mask is set, of `no` elsewhere.
    fn blend(&mut self, dst: VReg, size: u32, width: usize, mask: VReg, yes: VReg, no: VReg) {
        if self.isa == Isa::Avx2 {
            self.emit(Op::Simd(codes::BLEND[width]), Some(dst), &[no, yes, mask]);
            return;
        }
        let family = if size == 8 { codes::BLEND_F_64 } else { codes::BLEND_F_32 };
        self.push(Instruction { mask: Some(mask), ..Instruction::new(Op::Simd(family[width]), Some(dst), &[no, yes]) });
    }

    fn immediate(&mut self, value: i64) -> VReg {
        let dst = self.general();
        self.emit(Op::Immediate(value), Some(dst), &[]);
        dst
    }

    fn intern(&mut self, constant: Constant) -> VReg {
        if let Some(known) = self.interned.get(&constant) {
            return *known;
        }
        let reg = self.vector();
        // Without broadcasts instructions read whole vectors only.
        let laid = match (&constant, self.isa) {
            (Constant::Broadcast(bytes), Isa::Avx2) => Constant::Whole(bytes.repeat(self.isa.bytes() as usize / bytes.len())),
            _ => constant.clone(),
        };
        self.function.constants.insert(reg, laid);
        self.interned.insert(constant, reg);
        reg
    }

    /// A number in every lane.
    fn constant(&mut self, value: Scalar, dtype: DType) -> VReg {
        let bytes = match dtype {
            DType::F64 => value.as_f64().to_le_bytes().to_vec(),
            _ if dtype.is_float() => (value.as_f64() as f32).to_le_bytes().to_vec(),
            _ if carrier(dtype) == Some(8) => integer(value).to_le_bytes().to_vec(),
            DType::Bool => (-(integer(value) as i32)).to_le_bytes().to_vec(),
            _ => (integer(value) as i32).to_le_bytes().to_vec(),
        };
        self.intern(Constant::Broadcast(bytes))
    }

    fn bits32(&mut self, bits: u32) -> VReg {
        self.intern(Constant::Broadcast(bits.to_le_bytes().to_vec()))
    }

    fn bits64(&mut self, bits: u64) -> VReg {
        self.intern(Constant::Broadcast(bits.to_le_bytes().to_vec()))
    }

    /// Bits in every lane of a float dtype's carrier: those of f32 or those of f64.
    fn float_bits(&mut self, dtype: DType, single: u32, double: u64) -> VReg {
        if dtype == DType::F64 { self.bits64(double) } else { self.bits32(single) }
    }

    // ---- the function around the body ----

    /// The grid points from `begin` to `end`, row-major.
    fn grid(&mut self) -> Result<(), Error> {
        let (buffers, point, end) = (self.general(), self.general(), self.general());
        let grid = self.program.grid.clone();
        if grid.len() != self.program.grid_regs.len() {
            return Err(self.bug("grid and grid registers differ in number"));
        }
        let done = self.label();
        let mut axes = Vec::new();
        let moving: Vec<usize> = (0..grid.len()).filter(|axis| grid[*axis] != 1).collect();
        let mut left = point;
        let mut start = Vec::new();
        for (seen, axis) in moving.iter().rev().enumerate() {
            let reg = self.general();
            axes.push((*axis, reg));
            if seen + 1 == moving.len() {
                start.push(Instruction::new(Op::Copy, Some(reg), &[left]));
            } else {
                let extent = self.general();
                start.push(Instruction::new(Op::Immediate(grid[*axis].max(1)), Some(extent), &[]));
                start.push(Instruction::new(Op::Divide(Division::Remainder), Some(reg), &[left, extent]));
                let rest = self.general();
                start.push(Instruction::new(Op::Divide(Division::Quotient), Some(rest), &[left, extent]));
                left = rest;
            }
        }
        for (axis, reg) in self.program.grid_regs.iter().enumerate() {
            let held = match axes.iter().find(|(moving, _)| *moving == axis) {
                Some((_, index)) => Held::Regs(vec![*index]),
                None => Held::Known(Scalar::Int(0)),
            };
            self.held[reg.0 as usize] = held;
        }
        self.emit(Op::Loop, None, &[]);
        let program = self.program;
        self.block(&program.body)?;
        // Moves to the next point.
        let mut carry = None;
        for (at, (axis, reg)) in axes.iter().enumerate() {
            match carry {
                None => self.emit_with(Op::Alu(Alu::Add), *reg, &[*reg], 1),
                Some(carry) => self.emit(Op::Alu(Alu::Add), Some(*reg), &[*reg, carry]),
            }
            if at + 1 == axes.len() {
                break;
            }
            let over = self.general();
            let extent = self.immediate(grid[*axis]);
            self.emit(Op::Compare(Condition::Equal), Some(over), &[*reg, extent]);
            let zero = self.immediate(0);
            self.emit(Op::Select, Some(*reg), &[over, zero, *reg]);
            carry = Some(over);
        }
        self.push(Instruction { immediate: Some(1), ..Instruction::new(Op::Repeat { end: None }, Some(point), &[point, end]) });
        self.emit(Op::Label(done), None, &[]);
        // What comes before the loop is known now.
        let body = std::mem::take(&mut self.function.body);
        for (number, reg) in [(1, point), (2, end), (0, buffers)] {
            self.emit(Op::Argument(number), Some(reg), &[]);
        }
        self.emit(Op::SkipUnlessBelow(done), None, &[point, end]);
        for (number, base) in self.bases.clone().into_iter().enumerate() {
            if let Some(base) = base {
                let memory = Memory { base: buffers, index: None, scale: 1, displacement: 8 * number as i32 };
                self.push(Instruction { memory: Some(memory), ..Instruction::new(Op::Load { bytes: 8, signed: false }, Some(base), &[]) });
            }
        }
        self.function.body.extend(start);
        self.function.body.extend(body);
        Ok(())
    }

    fn label(&mut self) -> u32 {
        self.labels += 1;
        self.labels - 1
    }

    // ---- the program's instructions ----

    fn block(&mut self, insts: &[Inst]) -> Result<(), Error> {
        let mut at = 0;
        while let Some(inst) = insts.get(at) {
            at += 1;
            // A result that only goes to a mutable register is computed there.
            if let (Some(Inst::Move { dst, a }), Some(result)) = (insts.get(at), inst.dst())
                && *a == result
                && self.uses[result.0 as usize] == 1
                && matches!(inst, Inst::Binary { .. } | Inst::Fma { .. } | Inst::Dot { .. } | Inst::Load { .. })
            {
                self.inst(inst, *dst)?;
                at += 1;
                continue;
            }
            if let Some(chain) = self.chain(&insts[at - 1..]) {
                let (Inst::Splat { a, .. }, Some(Inst::Insert { dst, .. })) = (inst, insts.get(at + chain - 2)) else { return Err(self.bug("lanes one by one")) };
                let mut lanes = vec![self.one(*a)?];
                for inst in &insts[at..at + chain - 1] {
                    if let Inst::Insert { b, .. } = inst {
                        lanes.push(self.one(*b)?);
                    }
                }
                let regs = self.gather_lanes(&lanes, self.ty(*dst))?;
                self.set(*dst, regs);
                at += chain - 1;
                continue;
            }
            if let Inst::Loop { counter, end, step, body } = inst {
                let cleared = insts[..at - 1].iter().filter_map(|inst| match inst {
                    Inst::Move { dst, .. } => Some(*dst),
                    _ => None,
                });
                let cleared: Vec<Reg> = cleared.collect();
                self.counted(*counter, *end, *step, body, &cleared)?;
                continue;
            }
            self.inst(inst, inst.dst().unwrap_or(Reg(0)))?;
        }
        Ok(())
    }

    /// How many instructions put scalars side by side, in as many lanes as they are: one that fills all lanes, then one for each of the
    /// others, from the second on.
    fn chain(&self, insts: &[Inst]) -> Option<usize> {
        let Some(Inst::Splat { dst, .. }) = insts.first() else { return None };
        let ty = self.ty(*dst);
        if ty.dtype == DType::Bool {
            return None;
        }
        let (mut whole, mut count) = (*dst, 1);
        while let Some(Inst::Insert { dst, a, lane, .. }) = insts.get(count)
            && *a == whole
            && *lane as usize == count
            && self.uses[whole.0 as usize] == 1
            && !self.mutable[whole.0 as usize]
        {
            whole = *dst;
            count += 1;
        }
        (count > 1 && !self.mutable[whole.0 as usize]).then_some(count)
    }

    /// A loop. `cleared`: the registers that are set before it in the same block.
    fn counted(&mut self, counter: Reg, end: i64, step: i64, body: &[Inst], cleared: &[Reg]) -> Result<(), Error> {
        if step <= 0 {
            return Err(self.bug("a loop whose step is not positive"));
        }
        if end <= 0 {
            return Ok(());
        }
        let index = self.general();
        if end <= step {
            self.held[counter.0 as usize] = Held::Known(Scalar::Int(0));
            return self.block(body);
        }
        self.emit(Op::Immediate(0), Some(index), &[]);
        self.held[counter.0 as usize] = Held::Regs(vec![index]);
        self.emit(Op::Loop, None, &[]);
        self.block(body)?;
        self.push(Instruction { immediate: Some(step), ..Instruction::new(Op::Repeat { end: Some(end) }, Some(index), &[index]) });
        self.part_tile(body, cleared)
    }

    /// After a loop that holds a tile of accumulators they get other registers, which may lie in memory: what follows may need many,
    /// and nothing of that may reach into the loop.
    fn part_tile(&mut self, body: &[Inst], cleared: &[Reg]) -> Result<(), Error> {
        let mut tile: Vec<Reg> = Vec::new();
        for inst in body {
            match inst {
                Inst::Loop { .. } => return Ok(()),
                Inst::Move { dst, .. } if self.ty(*dst).lanes > 1 && !tile.contains(dst) => tile.push(*dst),
                _ => {}
            }
        }
        if tile.len() < TILE {
            return Ok(());
        }
        for reg in tile.into_iter().filter(|reg| cleared.contains(reg)) {
            let old = self.get(reg)?;
            let new = self.fresh(reg)?;
            for (to, from) in new.iter().zip(old) {
                self.emit(Op::Copy, Some(*to), &[from]);
            }
            self.held[reg.0 as usize] = Held::Regs(new);
        }
        Ok(())
    }

    /// Registers for a result.
    fn result(&mut self, dst: Reg) -> Result<Vec<VReg>, Error> {
        match (&self.held[dst.0 as usize], self.mutable[dst.0 as usize]) {
            (Held::Regs(own), true) => Ok(own.clone()),
            _ => self.fresh(dst),
        }
    }

    /// One instruction, whose result goes to `dst`.
    fn inst(&mut self, inst: &Inst, dst: Reg) -> Result<(), Error> {
        match inst {
            Inst::Const { dst, value } => {
                if self.mutable[dst.0 as usize] {
                    let before = std::mem::replace(&mut self.held[dst.0 as usize], Held::Known(*value));
                    let regs = self.get(*dst)?;
                    self.held[dst.0 as usize] = before;
                    self.set(*dst, regs);
                } else {
                    self.held[dst.0 as usize] = Held::Known(*value);
                }
                Ok(())
            }
            Inst::Unary { op, a, .. } => self.unary(dst, *op, *a),
            Inst::Binary { op, a, b, .. } => self.binary(dst, *op, *a, *b),
            Inst::Fma { a, b, c, .. } => self.fma(dst, *a, *b, *c),
            Inst::Dot { a, b, c, .. } => self.dot(dst, *a, *b, *c),
            Inst::Select { cond, a, b, .. } => self.select(dst, *cond, *a, *b),
            Inst::Cast { a, .. } => self.cast(dst, *a),
            Inst::Bitcast { a, .. } => self.bitcast(dst, *a),
            Inst::Splat { a, .. } => self.splat(dst, *a),
            Inst::Ramp { a, step, .. } => self.ramp(dst, *a, *step),
            Inst::Extract { a, lane, .. } => {
                let value = self.extract(*a, *lane)?;
                self.set(dst, vec![value]);
                Ok(())
            }
            Inst::Insert { a, b, lane, .. } => self.insert(dst, *a, *b, *lane),
            Inst::Repeat { a, times, .. } => self.repeat(dst, *a, *times),
            Inst::Load { from, stride, .. } => self.load(dst, from, *stride),
            Inst::PartialLoad { from, stride: 2, live, .. } if self.parts_in_two(dst) => self.load_every_other(dst, from, *live),
            Inst::PartialLoad { from, stride, live, .. } => self.load_lanes(dst, from, *stride, *live),
            Inst::GuardedLoad { from, guard, .. } => self.guarded_load(dst, from, *guard),
            Inst::Store { src, to, stride } => self.store(*src, to, *stride),
            Inst::GuardedStore { src, to, guard } => self.guarded_store(*src, to, *guard),
            Inst::Join { op, a, .. } => self.join(dst, *op, *a),
            Inst::Move { a, .. } => {
                let regs = self.get(*a)?;
                self.set(dst, regs);
                Ok(())
            }
            Inst::Loop { .. } => Err(self.bug("a loop in the wrong place")),
        }
    }

    fn unary(&mut self, dst: Reg, op: Unary, a: Reg) -> Result<(), Error> {
        let ty = self.ty(a);
        if op == Unary::IsNan {
            if !ty.dtype.is_float() {
                self.held[dst.0 as usize] = Held::Known(Scalar::Bool(false));
                return Ok(());
            }
            let parts = self.get(a)?;
            let pairs: Vec<[VReg; 2]> = parts.iter().map(|x| [*x, *x]).collect();
            return self.compare_floats(dst, ty, &pairs, UNORDERED);
        }
        let parts = self.get(a)?;
        match ty.dtype.class() {
            Kind::Float => {
                let width = self.width(ty)?;
                let regs = parts.iter().map(|x| self.unary_float(op, ty.dtype, width, *x)).collect::<Result<Vec<_>, _>>()?;
                self.alias(dst, a, regs);
            }
            Kind::Bool => {
                if op != Unary::Not {
                    self.alias(dst, a, parts);
                } else if ty.lanes == 1 {
                    let not = self.general();
                    self.emit_with(Op::Alu(Alu::Xor), not, &parts, 1);
                    self.set(dst, vec![not]);
                } else {
                    let nots = parts.iter().map(|x| self.not_mask(*x)).collect();
                    self.set(dst, nots);
                }
            }
            _ if ty.lanes == 1 => {
                let value = self.unary_general(op, ty.dtype, parts[0])?;
                self.alias(dst, a, vec![value]);
            }
            _ => {
                let width = self.width(ty)?;
                let regs = parts.iter().map(|x| self.unary_int(op, ty.dtype, width, *x)).collect::<Result<Vec<_>, _>>()?;
                self.alias(dst, a, regs);
            }
        }
        Ok(())
    }

    fn unary_general(&mut self, op: Unary, dtype: DType, x: VReg) -> Result<VReg, Error> {
        let signed = is_signed(dtype);
        let value = match op {
            Unary::Neg => {
                let zero = self.immediate(0);
                let value = self.general();
                self.emit(Op::Alu(Alu::Sub), Some(value), &[zero, x]);
                value
            }
            Unary::Abs if signed => {
                let (zero, minus, value) = (self.immediate(0), self.general(), self.general());
                self.emit(Op::Alu(Alu::Sub), Some(minus), &[zero, x]);
                // The larger of both; the smallest integer is its own negation.
                let below = self.general();
                self.emit(Op::Compare(Condition::Less), Some(below), &[x, zero]);
                self.emit(Op::Select, Some(value), &[below, minus, x]);
                value
            }
            Unary::Not => {
                let value = self.general();
                self.emit_with(Op::Alu(Alu::Xor), value, &[x], -1);
                value
            }
            Unary::Sign => {
                let (zero, above, below, value) = (self.immediate(0), self.general(), self.general(), self.general());
                let (less, unequal) = (Condition::Less, Condition::NotEqual);
                if signed {
                    self.emit(Op::Compare(less), Some(above), &[zero, x]);
                    self.emit(Op::Compare(less), Some(below), &[x, zero]);
                    self.emit(Op::Alu(Alu::Sub), Some(value), &[above, below]);
                } else {
                    self.emit(Op::Compare(unequal), Some(value), &[x, zero]);
                }
                return Ok(value);
            }
            Unary::Abs | Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => return Ok(x),
            _ => return Err(self.unsupported(op.name(), dtype)),
        };
        Ok(self.wrap_general(value, dtype))
    }

    fn unary_int(&mut self, op: Unary, dtype: DType, width: usize, x: VReg) -> Result<VReg, Error> {
        let signed = is_signed(dtype);
        let family = |narrow: Family, wide: Family| by_size(narrow, wide, dtype)[width];
        let value = match op {
            Unary::Neg => {
                let zero = self.constant(Scalar::Int(0), dtype);
                self.simd(family(codes::SUB_I_32, codes::SUB_I_64), &[zero, x])
            }
            Unary::Abs if signed => self.simd(family(codes::ABS_I_32, codes::ABS_I_64), &[x]),
            Unary::Not => {
                let ones = self.constant(Scalar::Int(-1), dtype);
                self.simd(family(codes::XOR_I_32, codes::XOR_I_64), &[x, ones])
            }
            Unary::Sign => {
                let one = self.constant(Scalar::Int(1), dtype);
                return Ok(if signed {
                    let minus = self.constant(Scalar::Int(-1), dtype);
                    let low = self.simd(family(codes::MIN_S_I_32, codes::MIN_S_I_64), &[x, one]);
                    self.simd(family(codes::MAX_S_I_32, codes::MAX_S_I_64), &[low, minus])
                } else {
                    self.simd(family(codes::MIN_U_I_32, codes::MIN_U_I_64), &[x, one])
                });
            }
            Unary::Abs | Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => return Ok(x),
            _ => return Err(self.unsupported(op.name(), dtype)),
        };
        Ok(self.wrap(value, dtype, width))
    }

    fn unary_float(&mut self, op: Unary, dtype: DType, width: usize, x: VReg) -> Result<VReg, Error> {
        let family = |narrow: Family, wide: Family| by_size(narrow, wide, dtype)[width];
        let round = family(codes::ROUND_F_32, codes::ROUND_F_64);
        Ok(match op {
            Unary::Neg => {
                let sign = self.float_bits(dtype, 1 << 31, 1 << 63);
                self.simd(family(codes::XOR_F_32, codes::XOR_F_64), &[x, sign])
            }
            Unary::Abs => {
                let magnitude = self.float_bits(dtype, !(1 << 31), !(1 << 63));
                self.simd(family(codes::AND_F_32, codes::AND_F_64), &[x, magnitude])
            }
            Unary::Sign => {
                let zero = self.constant(Scalar::Float(0.0), dtype);
                let (one, minus) = (self.constant(Scalar::Float(1.0), dtype), self.constant(Scalar::Float(-1.0), dtype));
                let compare = family(codes::COMPARE_F_32, codes::COMPARE_F_64);
                let above = self.masking(compare, &[x, zero], Some(GREATER));
                let below = self.masking(compare, &[x, zero], Some(LESS));
                let (low, result) = (self.vector(), self.vector());
                let size = carrier(dtype).unwrap_or(4);
                self.blend(low, size, width, below, minus, x);
                self.blend(result, size, width, above, one, low);
                result
            }
            Unary::Floor => self.simd_with(round, &[x], DOWN),
            Unary::Ceil => self.simd_with(round, &[x], UP),
            Unary::Round => self.simd_with(round, &[x], NEAREST),
            Unary::Trunc => self.simd_with(round, &[x], TO_ZERO),
            Unary::Not => x,
            Unary::Sqrt => {
                let root = self.simd(family(codes::SQRT_F_32, codes::SQRT_F_64), &[x]);
                self.round(root, dtype, width)
            }
            _ => return Err(self.unsupported(op.name(), dtype)),
        })
    }

    // ---- comparisons and masks ----

    /// Sets a bool register from comparisons of the parts of a type.
    fn compare_floats(&mut self, dst: Reg, ty: RegType, pairs: &[[VReg; 2]], predicate: i64) -> Result<(), Error> {
        let code = by_size(codes::COMPARE_F_32, codes::COMPARE_F_64, ty.dtype)[self.width(ty)?];
        let masks = pairs.iter().map(|pair| self.masking(code, pair, Some(predicate))).collect::<Vec<_>>();
        self.set_masks(dst, &masks, ty)
    }

    /// Sets a bool register from the masks of a type's parts.
    fn set_masks(&mut self, dst: Reg, masks: &[VReg], ty: RegType) -> Result<(), Error> {
        if self.isa == Isa::Avx2 {
            return self.set_lane_masks(dst, masks, ty);
        }
        let mask = match *masks {
            [one] => one,
            [low, high] => self.mask_op(Code::VEX_Kunpckbw_kr_kr_kr, &[high, low]),
            _ => return Err(self.bug("a comparison of too many parts")),
        };
        if ty.lanes > 1 {
            self.set(dst, vec![mask]);
        } else {
            let bits = self.general();
            self.emit(Op::Simd(Code::VEX_Kmovw_r32_kr), Some(bits), &[mask]);
            let bit = self.general();
            self.emit_with(Op::Alu(Alu::And), bit, &[bits], 1);
            self.set(dst, vec![bit]);
        }
        Ok(())
    }

    /// The masks of a type's parts, from what holds a bool for each lane.
    fn split_mask(&mut self, masks: &[VReg], ty: RegType) -> Vec<VReg> {
        if self.isa == Isa::Avx2 {
            return self.lane_masks(masks, ty);
        }
        if ty.lanes == self.part_lanes(ty) {
            return masks.to_vec();
        }
        let high = self.mask();
        self.emit_with(Op::Simd(Code::VEX_Kshiftrw_kr_kr_imm8), high, masks, 8);
        vec![masks[0], high]
    }

    /// A mask all of whose lanes are a bool, whatever their type.
    fn splat_mask(&mut self, value: VReg) -> VReg {
        let (zero, all) = (self.immediate(0), self.general());
        self.emit(Op::Alu(Alu::Sub), Some(all), &[zero, value]);
        match self.isa {
            Isa::Avx512 => self.mask_op(Code::VEX_Kmovw_kr_r32, &[all]),
            Isa::Avx2 => self.splat_register(all, DType::I64, 1),
        }
    }

    fn not_mask(&mut self, mask: VReg) -> VReg {
        match self.isa {
            Isa::Avx512 => self.mask_op(Code::VEX_Knotw_kr_kr, &[mask]),
            Isa::Avx2 => {
                let ones = self.bits32(u32::MAX);
                self.mask_op(Code::VEX_Kxorw_kr_kr_kr, &[mask, ones])
            }
        }
    }

    // ---- operations of two operands ----

    fn binary(&mut self, dst: Reg, op: Binary, a: Reg, b: Reg) -> Result<(), Error> {
        let ty = self.ty(a);
        if self.ty(b) != ty {
            return Err(self.bug(&format!("{} of two types", op.name())));
        }
        if ty.lanes == 1 && !ty.dtype.is_float() {
            return self.binary_general(dst, op, ty.dtype, a, b);
        }
        let known = self.known(b);
        let (xs, ys) = (self.get(a)?, self.get(b)?);
        if ty.dtype == DType::Bool {
            let values = xs.iter().zip(&ys).map(|(x, y)| self.binary_mask(op, *x, *y)).collect();
            self.set(dst, values);
            return Ok(());
        }
        let width = self.width(ty)?;
        if op.compares() {
            let pairs: Vec<[VReg; 2]> = xs.iter().zip(&ys).map(|(x, y)| [*x, *y]).collect();
            if ty.dtype.is_float() {
                let predicate = match op {
                    Binary::Eq => EQUAL,
                    Binary::Ne => NOT_EQUAL,
                    Binary::Lt => LESS,
                    _ => LESS_OR_EQUAL,
                };
                return self.compare_floats(dst, ty, &pairs, predicate);
            }
            let masks: Vec<VReg> = pairs.iter().map(|[x, y]| self.compare_ints(op, ty.dtype, width, *x, *y)).collect();
            return self.set_masks(dst, &masks, ty);
        }
        if !ty.dtype.is_float() && matches!(op, Binary::Div | Binary::FloorDiv | Binary::Rem | Binary::Mod) && power_of_two(op, ty.dtype, known).is_none() {
            return self.by_lane(dst, op, a, b);
        }
        let results = self.result(dst)?;
        for ((x, y), result) in xs.iter().zip(&ys).zip(&results) {
            if ty.dtype.is_float() {
                self.binary_float(*result, op, ty.dtype, width, *x, *y, known)?;
            } else {
                self.binary_int(*result, op, ty.dtype, width, *x, *y, known)?;
            }
        }
        self.set(dst, results);
        Ok(())
    }

    /// Mask of a comparison of integers.
    fn compare_ints(&mut self, op: Binary, dtype: DType, width: usize, x: VReg, y: VReg) -> VReg {
        if self.isa == Isa::Avx2 {
            return self.compare_lanes(op, dtype, width, x, y);
        }
        let predicate = match op {
            Binary::Eq => INT_EQUAL,
            Binary::Ne => INT_NOT_EQUAL,
            Binary::Lt => INT_LESS,
            _ => INT_LESS_OR_EQUAL,
        };
        let (narrow, wide) = if is_signed(dtype) { (codes::COMPARE_S_32, codes::COMPARE_S_64) } else { (codes::COMPARE_U_32, codes::COMPARE_U_64) };
        self.masking(by_size(narrow, wide, dtype)[width], &[x, y], Some(predicate))
    }

    /// Divides lane by lane.
    fn by_lane(&mut self, dst: Reg, op: Binary, a: Reg, b: Reg) -> Result<(), Error> {
        let ty = self.ty(a);
        let known = self.known(b);
        let mut lanes = Vec::new();
        for lane in 0..ty.lanes {
            let x = self.extract(a, lane)?;
            let y = match known {
                Some(value) => self.immediate(integer(value)),
                None => self.extract(b, lane)?,
            };
            lanes.push(self.divide(op, ty.dtype, x, y, known)?);
        }
        let regs = self.gather_lanes(&lanes, ty)?;
        self.set(dst, regs);
        Ok(())
    }

    fn binary_mask(&mut self, op: Binary, x: VReg, y: VReg) -> VReg {
        match op {
            Binary::Add | Binary::Or | Binary::Max => self.mask_op(Code::VEX_Korw_kr_kr_kr, &[x, y]),
            Binary::Mul | Binary::And | Binary::Min => self.mask_op(Code::VEX_Kandw_kr_kr_kr, &[x, y]),
            Binary::Eq if self.isa == Isa::Avx512 => self.mask_op(Code::VEX_Kxnorw_kr_kr_kr, &[x, y]),
            Binary::Eq => {
                let not = self.not_mask(x);
                self.mask_op(Code::VEX_Kxorw_kr_kr_kr, &[not, y])
            }
            Binary::Lt => self.mask_op(Code::VEX_Kandnw_kr_kr_kr, &[x, y]),
            Binary::Le => {
                let not = self.not_mask(x);
                self.mask_op(Code::VEX_Korw_kr_kr_kr, &[not, y])
            }
            _ => self.mask_op(Code::VEX_Kxorw_kr_kr_kr, &[x, y]),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "an operation, its type, its operands and where the result goes")]
    fn binary_float(&mut self, dst: VReg, op: Binary, dtype: DType, width: usize, x: VReg, y: VReg, known: Option<Scalar>) -> Result<(), Error> {
        let family = |narrow: Family, wide: Family| by_size(narrow, wide, dtype)[width];
        let (code, commutes) = match op {
            Binary::Add => (family(codes::ADD_F_32, codes::ADD_F_64), true),
            Binary::Sub => (family(codes::SUB_F_32, codes::SUB_F_64), false),
            Binary::Mul => (family(codes::MUL_F_32, codes::MUL_F_64), true),
            Binary::Div => (family(codes::DIV_F_32, codes::DIV_F_64), false),
            Binary::Min | Binary::Max => {
                self.extreme(dst, op, dtype, width, x, y, known);
                return Ok(());
            }
            _ => return Err(self.unsupported(op.name(), dtype)),
        };
        let op = if commutes { Op::Commutes(code) } else { Op::Simd(code) };
        if !is_narrow_float(dtype) {
            self.emit(op, Some(dst), &[x, y]);
            return Ok(());
        }
        let exact = self.vector();
        self.emit(op, Some(exact), &[x, y]);
        let rounded = self.round(exact, dtype, width);
        self.emit(Op::Copy, Some(dst), &[rounded]);
        Ok(())
    }

    /// The smaller or larger of two floats. The instruction gives its second operand where one is NaN or both are zero.
    #[expect(clippy::too_many_arguments, reason = "an operation, its type, its operands and where the result goes")]
    fn extreme(&mut self, dst: VReg, op: Binary, dtype: DType, width: usize, x: VReg, y: VReg, known: Option<Scalar>) {
        let family = |narrow: Family, wide: Family| by_size(narrow, wide, dtype)[width];
        let max = op == Binary::Max;
        let code = if max { family(codes::MAX_F_32, codes::MAX_F_64) } else { family(codes::MIN_F_32, codes::MIN_F_64) };
        if let Some(Scalar::Float(c)) = known {
            if !c.is_nan() && c != 0.0 {
                self.emit(Op::Simd(code), Some(dst), &[y, x]);
                return;
            }
            // The larger of x and +0: adding +0 turns -0 into it and changes nothing else.
            if max && c.to_bits() == 0 {
                let larger = self.simd(code, &[y, x]);
                self.emit(Op::Simd(family(codes::ADD_F_32, codes::ADD_F_64)), Some(dst), &[larger, y]);
                return;
            }
        }
        // Of two zeros the bits are joined; where one is NaN, the sum is.
        let (first, second) = (self.simd(code, &[x, y]), self.simd(code, &[y, x]));
        let joined = if max { family(codes::AND_F_32, codes::AND_F_64) } else { family(codes::OR_F_32, codes::OR_F_64) };
        let either = self.simd(joined, &[first, second]);
        let nan = self.masking(family(codes::COMPARE_F_32, codes::COMPARE_F_64), &[x, y], Some(UNORDERED));
        let sum = self.simd(family(codes::ADD_F_32, codes::ADD_F_64), &[x, y]);
        self.blend(dst, carrier(dtype).unwrap_or(4), width, nan, sum, either);
    }

    #[expect(clippy::too_many_arguments, reason = "an operation, its type, its operands and where the result goes")]
    fn binary_int(&mut self, dst: VReg, op: Binary, dtype: DType, width: usize, x: VReg, y: VReg, known: Option<Scalar>) -> Result<(), Error> {
        let signed = is_signed(dtype);
        let family = |narrow: Family, wide: Family| by_size(narrow, wide, dtype)[width];
        let bits = i128::from(dtype.int_bits().unwrap_or(64));
        let code = match op {
            Binary::Add => family(codes::ADD_I_32, codes::ADD_I_64),
            Binary::Sub => family(codes::SUB_I_32, codes::SUB_I_64),
            Binary::Mul => family(codes::MUL_I_32, codes::MUL_I_64),
            Binary::Min if signed => family(codes::MIN_S_I_32, codes::MIN_S_I_64),
            Binary::Min => family(codes::MIN_U_I_32, codes::MIN_U_I_64),
            Binary::Max if signed => family(codes::MAX_S_I_32, codes::MAX_S_I_64),
            Binary::Max => family(codes::MAX_U_I_32, codes::MAX_U_I_64),
            Binary::And => family(codes::AND_I_32, codes::AND_I_64),
            Binary::Or => family(codes::OR_I_32, codes::OR_I_64),
            Binary::Xor => family(codes::XOR_I_32, codes::XOR_I_64),
            Binary::Shl | Binary::Shr => {
                let left = op == Binary::Shl;
                let value = match known {
                    Some(by) => {
                        // By the width or more, all bits or all but the sign's copies are gone.
                        let by = by.as_int();
                        let by = if (0..bits).contains(&by) { by as i64 } else if left || !signed { 255 } else { bits as i64 - 1 };
                        let code = match (left, signed) {
                            (true, _) => family(codes::SHL_IMM_32, codes::SHL_IMM_64),
                            (_, true) => family(codes::SHR_S_IMM_32, codes::SHR_S_IMM_64),
                            (_, false) => family(codes::SHR_U_IMM_32, codes::SHR_U_IMM_64),
                        };
                        self.simd_with(code, &[x], by)
                    }
                    None => {
                        let code = match (left, signed) {
                            (true, _) => family(codes::SHL_VAR_32, codes::SHL_VAR_64),
                            (_, true) => family(codes::SHR_S_VAR_32, codes::SHR_S_VAR_64),
                            (_, false) => family(codes::SHR_U_VAR_32, codes::SHR_U_VAR_64),
                        };
                        self.simd(code, &[x, y])
                    }
                };
                let value = self.wrap(value, dtype, width);
                self.emit(Op::Copy, Some(dst), &[value]);
                return Ok(());
            }
            Binary::Div | Binary::FloorDiv | Binary::Rem | Binary::Mod => {
                let Some(n) = power_of_two(op, dtype, known) else { return Err(self.bug("a division in the wrong place")) };
                if matches!(op, Binary::Div | Binary::FloorDiv) {
                    let code = if signed { family(codes::SHR_S_IMM_32, codes::SHR_S_IMM_64) } else { family(codes::SHR_U_IMM_32, codes::SHR_U_IMM_64) };
                    self.emit_with(Op::Simd(code), dst, &[x], i64::from(n.trailing_zeros()));
                } else {
                    let low = self.constant(Scalar::Int(i128::from(n - 1)), dtype);
                    self.emit(Op::Simd(family(codes::AND_I_32, codes::AND_I_64)), Some(dst), &[x, low]);
                }
                return Ok(());
            }
            _ => return Err(self.unsupported(op.name(), dtype)),
        };
        let op = if op == Binary::Sub { Op::Simd(code) } else { Op::Commutes(code) };
        if dtype.size() >= 4 {
            self.emit(op, Some(dst), &[x, y]);
            return Ok(());
        }
        let value = self.vector();
        self.emit(op, Some(value), &[x, y]);
        let value = self.wrap(value, dtype, width);
        self.emit(Op::Copy, Some(dst), &[value]);
        Ok(())
    }

    fn binary_general(&mut self, dst: Reg, op: Binary, dtype: DType, a: Reg, b: Reg) -> Result<(), Error> {
        // A number that fits an instruction need not be in a register.
        let small = self.known(b).map(integer).filter(|n| i32::try_from(*n).is_ok());
        let x = self.one(a)?;
        let signed = is_signed(dtype);
        let unsigned64 = dtype == DType::U64;
        let result = self.general();
        let simple = match op {
            Binary::Add if dtype != DType::Bool => Some(Alu::Add),
            Binary::Sub if dtype != DType::Bool => Some(Alu::Sub),
            Binary::Mul if dtype != DType::Bool => Some(Alu::Mul),
            Binary::And => Some(Alu::And),
            Binary::Or => Some(Alu::Or),
            Binary::Xor => Some(Alu::Xor),
            Binary::Add | Binary::Max if dtype == DType::Bool => Some(Alu::Or),
            Binary::Mul | Binary::Min if dtype == DType::Bool => Some(Alu::And),
            Binary::Sub | Binary::Ne if dtype == DType::Bool => Some(Alu::Xor),
            _ => None,
        };
        if let Some(alu) = simple {
            match small {
                Some(n) if alu == Alu::Mul && n > 0 && n.count_ones() == 1 => self.emit_with(Op::Alu(Alu::Shl), result, &[x], i64::from(n.trailing_zeros())),
                Some(n) => self.emit_with(Op::Alu(alu), result, &[x], n),
                None => {
                    let y = self.one(b)?;
                    self.emit(Op::Alu(alu), Some(result), &[x, y]);
                }
            }
            let wraps = matches!(alu, Alu::Add | Alu::Sub | Alu::Mul);
            let value = if wraps { self.wrap_general(result, dtype) } else { result };
            self.set(dst, vec![value]);
            return Ok(());
        }
        if op.compares() {
            let condition = match (op, unsigned64) {
                (Binary::Eq, _) => Condition::Equal,
                (Binary::Ne, _) => Condition::NotEqual,
                (Binary::Lt, false) => Condition::Less,
                (Binary::Lt, true) => Condition::Below,
                (_, false) => Condition::LessOrEqual,
                (_, true) => Condition::BelowOrEqual,
            };
            match small {
                Some(n) => self.emit_with(Op::Compare(condition), result, &[x], n),
                None => {
                    let y = self.one(b)?;
                    self.emit(Op::Compare(condition), Some(result), &[x, y]);
                }
            }
            self.set(dst, vec![result]);
            return Ok(());
        }
        let known = self.known(b);
        let value = match op {
            Binary::Min | Binary::Max => {
                let y = self.one(b)?;
                let condition = if unsigned64 { Condition::Below } else { Condition::Less };
                let (first, second) = if op == Binary::Min { (x, y) } else { (y, x) };
                // The smaller is the first if it is less than the second; the larger, the second if the first is less.
                if op == Binary::Min {
                    self.emit(Op::Choose(condition), Some(result), &[first, second]);
                } else {
                    let less = self.general();
                    self.emit(Op::Compare(condition), Some(less), &[x, y]);
                    self.emit(Op::Select, Some(result), &[less, first, second]);
                }
                result
            }
            Binary::Shl | Binary::Shr => {
                let Some(by) = known else { return Err(self.unsupported(op.name(), dtype)) };
                let bits = i128::from(dtype.int_bits().unwrap_or(64));
                let by = by.as_int();
                match (op, (0..bits).contains(&by)) {
                    (Binary::Shl, true) => self.emit_with(Op::Alu(Alu::Shl), result, &[x], by as i64),
                    (_, true) => self.emit_with(Op::Alu(if signed { Alu::Sar } else { Alu::Shr }), result, &[x], by as i64),
                    (Binary::Shr, false) if signed => self.emit_with(Op::Alu(Alu::Sar), result, &[x], 63),
                    _ => self.emit(Op::Immediate(0), Some(result), &[]),
                }
                self.wrap_general(result, dtype)
            }
            Binary::Div | Binary::FloorDiv | Binary::Rem | Binary::Mod => {
                let y = self.one(b)?;
                self.divide(op, dtype, x, y, known)?
            }
            _ => return Err(self.unsupported(op.name(), dtype)),
        };
        self.set(dst, vec![value]);
        Ok(())
    }

    /// Divides by a positive constant.
    fn divide(&mut self, op: Binary, dtype: DType, x: VReg, y: VReg, known: Option<Scalar>) -> Result<VReg, Error> {
        let result = self.general();
        if let Some(n) = power_of_two(op, dtype, known) {
            if matches!(op, Binary::Div | Binary::FloorDiv) {
                let shift = if is_signed(dtype) { Alu::Sar } else { Alu::Shr };
                self.emit_with(Op::Alu(shift), result, &[x], i64::from(n.trailing_zeros()));
            } else if i32::try_from(n - 1).is_ok() {
                self.emit_with(Op::Alu(Alu::And), result, &[x], (n - 1) as i64);
            } else {
                let low = self.immediate((n - 1) as i64);
                self.emit(Op::Alu(Alu::And), Some(result), &[x, low]);
            }
            return Ok(result);
        }
        let positive = matches!(known, Some(Scalar::Int(n)) if n > 0 && i64::try_from(n).is_ok());
        if !positive || dtype == DType::U64 {
            return Err(self.unsupported(op.name(), dtype));
        }
        let division = match op {
            Binary::Div => Division::Quotient,
            Binary::Rem => Division::Remainder,
            Binary::FloorDiv => Division::Floor,
            _ => Division::Modulo,
        };
        self.emit(Op::Divide(division), Some(result), &[x, y]);
        Ok(result)
    }

    fn fma(&mut self, dst: Reg, a: Reg, b: Reg, c: Reg) -> Result<(), Error> {
        let ty = self.ty(dst);
        if !matches!(ty.dtype, DType::F32 | DType::F64) {
            return Err(self.unsupported("a multiply-add", ty.dtype));
        }
        let (xs, ys, zs) = (self.get(a)?, self.get(b)?, self.get(c)?);
        let width = self.width(ty)?;
        let forms = [(codes::FMA132_32, codes::FMA132_64), (codes::FMA213_32, codes::FMA213_64), (codes::FMA231_32, codes::FMA231_64)];
        let forms = forms.map(|(narrow, wide)| by_size(narrow, wide, ty.dtype)[width]);
        let results = self.result(dst)?;
        for (((x, y), z), result) in xs.into_iter().zip(ys).zip(zs).zip(&results) {
            self.emit(Op::Fma(forms), Some(*result), &[x, y, z]);
        }
        self.set(dst, results);
        Ok(())
    }

    fn dot(&mut self, dst: Reg, a: Reg, b: Reg, c: Reg) -> Result<(), Error> {
        let ty = self.ty(dst);
        if self.form(ty)? == Form::General {
            return Err(self.unsupported("a dot product of one lane", ty.dtype));
        }
        let (xs, ys, zs) = (self.get(a)?, self.get(b)?, self.get(c)?);
        let code = codes::DOT[self.width(ty)?];
        // The factors are read after the result is written for the first time.
        let own = self.result(dst)?;
        let overlap = own.iter().any(|reg| xs.contains(reg) || ys.contains(reg));
        let results = if overlap { self.fresh(dst)? } else { own };
        for (((x, y), z), result) in xs.into_iter().zip(ys).zip(zs).zip(&results) {
            if *result != z {
                self.emit(Op::Copy, Some(*result), &[z]);
            }
            self.emit(Op::Updates(code), Some(*result), &[x, y]);
        }
        self.set(dst, results);
        Ok(())
    }

    fn select(&mut self, dst: Reg, cond: Reg, a: Reg, b: Reg) -> Result<(), Error> {
        let ty = self.ty(dst);
        let cond_type = self.ty(cond);
        let (xs, ys) = (self.get(a)?, self.get(b)?);
        let conditions = self.get(cond)?;
        match self.form(ty)? {
            Form::General => {
                let result = self.general();
                self.emit(Op::Select, Some(result), &[conditions[0], xs[0], ys[0]]);
                self.set(dst, vec![result]);
            }
            Form::Mask => {
                let mask = if cond_type.lanes == 1 { self.splat_mask(conditions[0]) } else { conditions[0] };
                let yes = self.mask_op(Code::VEX_Kandw_kr_kr_kr, &[mask, xs[0]]);
                let no = self.mask_op(Code::VEX_Kandnw_kr_kr_kr, &[mask, ys[0]]);
                let either = self.mask_op(Code::VEX_Korw_kr_kr_kr, &[yes, no]);
                self.set(dst, vec![either]);
            }
            Form::Vectors { parts, width } => {
                let masks = if cond_type.lanes == 1 { vec![self.splat_mask(conditions[0]); parts as usize] } else { self.split_mask(&conditions, ty) };
                let results: Vec<VReg> = (0..parts).map(|_| self.vector()).collect();
                for (((x, y), mask), result) in xs.iter().zip(&ys).zip(masks).zip(&results) {
                    self.blend(*result, lane_bytes(ty.dtype), width, mask, *x, *y);
                }
                self.set(dst, results);
            }
        }
        Ok(())
    }

    fn bitcast(&mut self, dst: Reg, a: Reg) -> Result<(), Error> {
        let (from, to) = (self.ty(a), self.ty(dst));
        if from.dtype.size() != to.dtype.size() || from.lanes != to.lanes || from.dtype.size() < 4 {
            return Err(self.unsupported("a reinterpretation", from.dtype));
        }
        let parts = self.get(a)?;
        match (from.lanes, from.dtype.is_float(), to.dtype.is_float()) {
            (1, true, false) => {
                let bits = self.general_of(parts[0], to.dtype);
                self.set(dst, vec![bits]);
            }
            (1, false, true) => {
                let code = if to.dtype.size() == 8 { Code::EVEX_Vmovq_xmm_rm64 } else { Code::EVEX_Vmovd_xmm_rm32 };
                let value = self.simd(code, &parts);
                self.set(dst, vec![value]);
            }
            (1, false, false) => {
                let value = self.wrap_general(parts[0], to.dtype);
                self.alias(dst, a, vec![value]);
            }
            _ => self.alias(dst, a, parts),
        }
        Ok(())
    }

    /// The first lane, whose bits are an integer of a dtype's carrier, as a general register.
    fn general_of(&mut self, value: VReg, dtype: DType) -> VReg {
        let bits = self.general();
        if carrier(dtype) == Some(8) {
            self.emit(Op::Simd(Code::EVEX_Vmovq_rm64_xmm), Some(bits), &[value]);
            return bits;
        }
        self.emit(Op::Simd(Code::EVEX_Vmovd_rm32_xmm), Some(bits), &[value]);
        if is_signed(dtype) { self.extend(bits, 4, true) } else { bits }
    }

    fn extend(&mut self, value: VReg, bytes: u8, signed: bool) -> VReg {
        let result = self.general();
        self.emit(Op::Extend { bytes, signed }, Some(result), &[value]);
        result
    }

    // ---- lanes ----

    fn splat(&mut self, dst: Reg, a: Reg) -> Result<(), Error> {
        if let (Some(value), false) = (self.known(a), self.mutable[dst.0 as usize]) {
            self.held[dst.0 as usize] = Held::Known(value);
            return Ok(());
        }
        let ty = self.ty(dst);
        let value = self.one(a)?;
        let regs = self.broadcast(value, ty)?;
        self.set(dst, regs);
        Ok(())
    }

    /// A scalar in every lane of a type.
    fn broadcast(&mut self, value: VReg, ty: RegType) -> Result<Vec<VReg>, Error> {
        Ok(match self.form(ty)? {
            Form::General => vec![value],
            Form::Mask => vec![self.splat_mask(value)],
            Form::Vectors { parts, width } => {
                let part = match ty.dtype {
                    DType::Bool => self.splat_mask(value),
                    _ if ty.dtype.is_float() => self.simd(by_size(codes::SPLAT_F_32, codes::SPLAT_F_64, ty.dtype)[width], &[value]),
                    _ => self.splat_int(value, ty.dtype, width),
                };
                vec![part; parts as usize]
            }
        })
    }

    /// An integer in every lane of a vector.
    fn splat_int(&mut self, value: VReg, dtype: DType, width: usize) -> VReg {
        match self.isa {
            Isa::Avx512 => self.simd(by_size(codes::SPLAT_I_32, codes::SPLAT_I_64, dtype)[width], &[value]),
            Isa::Avx2 => self.splat_register(value, dtype, width),
        }
    }

    fn ramp(&mut self, dst: Reg, a: Reg, step: i64) -> Result<(), Error> {
        let ty = self.ty(dst);
        let Form::Vectors { parts, width } = self.form(ty)? else { return Err(self.bug("a ramp of one lane")) };
        let lanes = i64::from(self.part_lanes(ty));
        let first = match self.known(a) {
            Some(value) => self.constant(value, ty.dtype),
            None => {
                let value = self.one(a)?;
                self.splat_int(value, ty.dtype, width)
            }
        };
        let mut regs = Vec::new();
        for part in 0..i64::from(parts) {
            let offsets: Vec<i64> = (0..lanes).map(|lane| (part * lanes + lane).wrapping_mul(step)).collect();
            let offsets = self.lanes_constant(&offsets, ty.dtype, width);
            let sum = self.simd(by_size(codes::ADD_I_32, codes::ADD_I_64, ty.dtype)[width], &[first, offsets]);
            regs.push(self.wrap(sum, ty.dtype, width));
        }
        self.set(dst, regs);
        Ok(())
    }

    /// Integers lane by lane, in lanes of a dtype's carrier.
    fn lanes_constant(&mut self, values: &[i64], dtype: DType, width: usize) -> VReg {
        let wide = carrier(dtype) == Some(8);
        let mut bytes: Vec<u8> = values.iter().flat_map(|value| if wide { value.to_le_bytes().to_vec() } else { (*value as i32).to_le_bytes().to_vec() }).collect();
        bytes.resize(16 << width, 0);
        self.intern(Constant::Whole(bytes))
    }

    /// One lane of a register.
    fn extract(&mut self, a: Reg, lane: u32) -> Result<VReg, Error> {
        let ty = self.ty(a);
        if lane >= ty.lanes {
            return Err(self.bug("a lane that is not there"));
        }
        let parts = self.get(a)?;
        if ty.lanes == 1 {
            return Ok(parts[0]);
        }
        if ty.dtype == DType::Bool && self.isa == Isa::Avx2 {
            let per_part = self.part_lanes(ty);
            let bits = self.signs(parts[(lane / per_part) as usize], self.width(ty)?);
            let (shifted, bit) = (self.general(), self.general());
            self.emit_with(Op::Alu(Alu::Shr), shifted, &[bits], i64::from(lane % per_part));
            self.emit_with(Op::Alu(Alu::And), bit, &[shifted], 1);
            return Ok(bit);
        }
        if ty.dtype == DType::Bool {
            let shifted = self.mask();
            self.emit_with(Op::Simd(Code::VEX_Kshiftrw_kr_kr_imm8), shifted, &parts, i64::from(lane));
            let (bits, bit) = (self.general(), self.general());
            self.emit(Op::Simd(Code::VEX_Kmovw_r32_kr), Some(bits), &[shifted]);
            self.emit_with(Op::Alu(Alu::And), bit, &[bits], 1);
            return Ok(bit);
        }
        let per_part = self.part_lanes(ty);
        let part = parts[(lane / per_part) as usize];
        let width = self.width(ty)?;
        let lane = lane % per_part;
        let first = if lane == 0 {
            if ty.dtype.is_float() {
                // The register itself may change.
                let copy = self.vector();
                self.emit(Op::Copy, Some(copy), &[part]);
                copy
            } else {
                part
            }
        } else {
            self.lane_to_front(part, lane, ty.dtype, width)
        };
        Ok(if ty.dtype.is_float() { first } else { self.general_of(first, ty.dtype) })
    }

    /// The vector with a lane as its first one.
    fn lane_to_front(&mut self, value: VReg, lane: u32, dtype: DType, width: usize) -> VReg {
        match self.isa {
            Isa::Avx512 => self.simd_with(by_size(codes::ALIGN_32, codes::ALIGN_64, dtype)[width], &[value, value], i64::from(lane)),
            Isa::Avx2 => self.rotate(value, lane, dtype),
        }
    }

    /// A mask of the lanes of a dtype whose bits are set.
    fn lane_mask(&mut self, bits: u32, dtype: DType) -> VReg {
        if self.isa == Isa::Avx2 {
            return self.chosen_lanes(bits, dtype);
        }
        let bits = self.immediate(i64::from(bits));
        self.mask_op(Code::VEX_Kmovw_kr_r32, &[bits])
    }

    fn insert(&mut self, dst: Reg, a: Reg, b: Reg, lane: u32) -> Result<(), Error> {
        let ty = self.ty(dst);
        let (mut parts, value) = (self.get(a)?, self.one(b)?);
        if ty.lanes == 1 {
            self.alias(dst, b, vec![value]);
            return Ok(());
        }
        if self.form(ty)? == Form::Mask {
            let all = self.splat_mask(value);
            let here = self.lane_mask(1 << lane, ty.dtype);
            let yes = self.mask_op(Code::VEX_Kandw_kr_kr_kr, &[here, all]);
            let no = self.mask_op(Code::VEX_Kandnw_kr_kr_kr, &[here, parts[0]]);
            let either = self.mask_op(Code::VEX_Korw_kr_kr_kr, &[yes, no]);
            self.set(dst, vec![either]);
            return Ok(());
        }
        let per_part = self.part_lanes(ty);
        let at = (lane / per_part) as usize;
        let all = self.broadcast(value, ty)?[0];
        let here = self.lane_mask(1 << (lane % per_part), ty.dtype);
        let (result, width) = (self.vector(), self.width(ty)?);
        self.blend(result, lane_bytes(ty.dtype), width, here, all, parts[at]);
        for (other, part) in parts.iter_mut().enumerate() {
            if other == at {
                *part = result;
            } else if self.mutable[a.0 as usize] && !self.mutable[dst.0 as usize] {
                let copy = self.vector();
                self.emit(Op::Copy, Some(copy), &[*part]);
                *part = copy;
            }
        }
        self.set(dst, parts);
        Ok(())
    }

    /// Scalars as the lanes of a type.
    fn gather_lanes(&mut self, lanes: &[VReg], ty: RegType) -> Result<Vec<VReg>, Error> {
        let float = ty.dtype.is_float();
        let wide = carrier(ty.dtype) == Some(8);
        let per_part = self.part_lanes(ty) as usize;
        let mut regs = Vec::new();
        for part in lanes.chunks(per_part) {
            let mut quarters = Vec::new();
            for quarter in part.chunks(if wide { 2 } else { 4 }) {
                let mut whole = match (float, wide) {
                    (true, _) => quarter[0],
                    (false, true) => self.simd(Code::EVEX_Vmovq_xmm_rm64, &quarter[..1]),
                    (false, false) => self.simd(Code::EVEX_Vmovd_xmm_rm32, &quarter[..1]),
                };
                for (lane, value) in quarter.iter().enumerate().skip(1) {
                    whole = match (float, wide) {
                        (true, true) => self.simd(Code::EVEX_Vunpcklpd_xmm_k1z_xmm_xmmm128b64, &[whole, *value]),
                        (true, false) => self.simd_with(Code::EVEX_Vinsertps_xmm_xmm_xmmm32_imm8, &[whole, *value], (lane as i64) << 4),
                        (false, true) => self.simd_with(Code::EVEX_Vpinsrq_xmm_xmm_rm64_imm8, &[whole, *value], lane as i64),
                        (false, false) => self.simd_with(Code::EVEX_Vpinsrd_xmm_xmm_rm32_imm8, &[whole, *value], lane as i64),
                    };
                }
                quarters.push(whole);
            }
            let halves: Vec<VReg> = quarters.chunks(2).map(|pair| if let [low, high] = *pair { self.simd_with(Code::EVEX_Vinsertf32x4_ymm_k1z_ymm_xmmm128_imm8, &[low, high], 1) } else { pair[0] }).collect();
            regs.push(self.whole(&halves)[0]);
        }
        Ok(regs)
    }

    /// Joins all lanes, the halves first.
    fn join(&mut self, dst: Reg, op: Binary, a: Reg) -> Result<(), Error> {
        let ty = self.ty(a);
        if ty.lanes == 1 {
            let parts = self.get(a)?;
            self.alias(dst, a, parts);
            return Ok(());
        }
        if ty.dtype == DType::Bool {
            return self.join_mask(dst, op, a);
        }
        let mut parts = self.get(a)?;
        let largest = self.isa.bytes();
        while parts.len() > 1 {
            let (low, high) = parts.split_at(parts.len() / 2);
            let mut joined = Vec::new();
            for (x, y) in low.iter().zip(high) {
                let both = self.vector();
                self.join_parts(both, op, ty.dtype, (largest / 16).trailing_zeros() as usize, *x, *y)?;
                joined.push(both);
            }
            parts = joined;
        }
        let mut lanes = self.part_lanes(ty);
        let mut whole = parts[0];
        while lanes > 1 {
            let half = lanes / 2;
            let bytes = lanes * carrier(ty.dtype).unwrap_or(4);
            // The upper half, as the lower half of another register.
            let upper = match bytes {
                64 => self.simd_with(Code::EVEX_Vextractf64x4_ymmm256_k1z_zmm_imm8, &[whole], 1),
                32 => self.simd_with(Code::EVEX_Vextractf32x4_xmmm128_k1z_ymm_imm8, &[whole], 1),
                _ => self.lane_to_front(whole, half, ty.dtype, 0),
            };
            let joined = self.vector();
            let width = if bytes == 64 { 1 } else { 0 };
            self.join_parts(joined, op, ty.dtype, width, whole, upper)?;
            whole = joined;
            lanes = half;
        }
        let value = if ty.dtype.is_float() { whole } else { self.general_of(whole, ty.dtype) };
        self.set(dst, vec![value]);
        Ok(())
    }

    fn join_parts(&mut self, dst: VReg, op: Binary, dtype: DType, width: usize, x: VReg, y: VReg) -> Result<(), Error> {
        if dtype.is_float() { self.binary_float(dst, op, dtype, width, x, y, None) } else { self.binary_int(dst, op, dtype, width, x, y, None) }
    }

    fn join_mask(&mut self, dst: Reg, op: Binary, a: Reg) -> Result<(), Error> {
        let ty = self.ty(a);
        let parts = self.get(a)?;
        let mask = parts[1..].iter().fold(parts[0], |x, y| self.binary_mask(op, x, *y));
        let bits = match self.isa {
            Isa::Avx512 => {
                let bits = self.general();
                self.emit(Op::Simd(Code::VEX_Kmovw_r32_kr), Some(bits), &[mask]);
                bits
            }
            Isa::Avx2 => self.signs(mask, self.width(ty)?),
        };
        let (own, result) = (self.general(), self.general());
        let lanes = if self.isa == Isa::Avx2 { self.part_lanes(ty) } else { ty.lanes };
        let all = (1i64 << lanes) - 1;
        self.emit_with(Op::Alu(Alu::And), own, &[bits], all);
        match op {
            Binary::Or | Binary::Max | Binary::Add => self.emit_with(Op::Compare(Condition::NotEqual), result, &[own], 0),
            Binary::And | Binary::Min | Binary::Mul => self.emit_with(Op::Compare(Condition::Equal), result, &[own], all),
            _ => return Err(self.unsupported(op.name(), DType::Bool)),
        }
        self.set(dst, vec![result]);
        Ok(())
    }

    // ---- narrow dtypes in wider lanes ----

    /// Brings a general register back into the range of a dtype.
    fn wrap_general(&mut self, value: VReg, dtype: DType) -> VReg {
        match dtype.size() {
            8 => value,
            _ if dtype == DType::Bool => value,
            size => self.extend(value, size as u8, is_signed(dtype)),
        }
    }

    /// Brings lanes back into the range of an integer dtype.
    fn wrap(&mut self, value: VReg, dtype: DType, width: usize) -> VReg {
        match dtype {
            DType::I8 | DType::I16 => {
                let by = if dtype == DType::I8 { 24 } else { 16 };
                let up = self.simd_with(codes::SHL_IMM_32[width], &[value], by);
                self.simd_with(codes::SHR_S_IMM_32[width], &[up], by)
            }
            DType::U8 | DType::U16 => {
                let low = self.bits32(if dtype == DType::U8 { 0xff } else { 0xffff });
                self.simd(codes::AND_I_32[width], &[value, low])
            }
            _ => value,
        }
    }

    /// Rounds lanes of f32 to a narrower float dtype.
    fn round(&mut self, value: VReg, dtype: DType, width: usize) -> VReg {
        match dtype {
            DType::F16 => {
                let bits = self.simd_with(codes::TO_F16[width], &[value], NEAREST & 7);
                self.simd(codes::FROM_F16[width], &[bits])
            }
            DType::BF16 => {
                let bits = self.bf16_bits(value, width);
                self.simd_with(codes::SHL_IMM_32[width], &[bits], 16)
            }
            _ => value,
        }
    }

    /// The 16 bits of the bf16 nearest to an f32, ties to even, in 32-bit lanes.
    fn bf16_bits(&mut self, value: VReg, width: usize) -> VReg {
        // Adding half a unit, less one where the kept part is even, carries into it.
        let kept = self.simd_with(codes::SHR_U_IMM_32[width], &[value], 16);
        let one = self.bits32(1);
        let odd = self.simd(codes::AND_I_32[width], &[kept, one]);
        let half = self.bits32(0x7fff);
        let sum = self.simd(codes::ADD_I_32[width], &[value, half]);
        let sum = self.simd(codes::ADD_I_32[width], &[sum, odd]);
        let rounded = self.simd_with(codes::SHR_U_IMM_32[width], &[sum], 16);
        let quiet = self.bits32(0x40);
        let nan = self.simd(codes::OR_I_32[width], &[kept, quiet]);
        let is_nan = self.masking(codes::COMPARE_F_32[width], &[value, value], Some(UNORDERED));
        let bits = self.vector();
        self.blend(bits, 4, width, is_nan, nan, rounded);
        bits
    }

    // ---- conversions ----

    fn cast(&mut self, dst: Reg, a: Reg) -> Result<(), Error> {
        let (from, to) = (self.ty(a), self.ty(dst));
        if from.dtype == to.dtype {
            let parts = self.get(a)?;
            self.alias(dst, a, parts);
            return Ok(());
        }
        let parts = self.get(a)?;
        if from.lanes == 1 {
            return self.cast_scalar(dst, a, from.dtype, to.dtype, parts[0]);
        }
        if to.dtype == DType::Bool {
            let width = self.width(from)?;
            if from.dtype.is_float() {
                let zero = self.constant(Scalar::Float(0.0), from.dtype);
                let pairs: Vec<[VReg; 2]> = parts.iter().map(|x| [*x, zero]).collect();
                return self.compare_floats(dst, from, &pairs, NOT_EQUAL);
            }
            let mut masks = Vec::new();
            for x in &parts {
                masks.push(match self.isa {
                    Isa::Avx512 => self.masking(by_size(codes::TEST_I_32, codes::TEST_I_64, from.dtype)[width], &[*x, *x], None),
                    Isa::Avx2 => {
                        let zero = self.constant(Scalar::Int(0), from.dtype);
                        self.compare_lanes(Binary::Ne, from.dtype, width, *x, zero)
                    }
                });
            }
            return self.set_masks(dst, &masks, from);
        }
        if from.dtype == DType::Bool {
            let Form::Vectors { width, .. } = self.form(to)? else { return Err(self.bug("a cast of lanes to none")) };
            let one = if to.dtype.is_float() { Scalar::Float(1.0) } else { Scalar::Int(1) };
            let one = self.constant(one, to.dtype);
            let code = by_size(codes::OR_I_32, codes::OR_I_64, to.dtype)[width];
            let masks = self.split_mask(&parts, to);
            let regs = masks.into_iter().map(|mask| self.zeroed(code, &[one, one], mask)).collect();
            self.set(dst, regs);
            return Ok(());
        }
        let regs = self.convert(&parts, from, to)?;
        self.alias(dst, a, regs);
        Ok(())
    }

    fn cast_scalar(&mut self, dst: Reg, a: Reg, from: DType, to: DType, x: VReg) -> Result<(), Error> {
        let scalar = |dtype| RegType { dtype, lanes: 1 };
        if to == DType::Bool {
            if from.is_float() {
                let zero = self.constant(Scalar::Float(0.0), from);
                return self.compare_floats(dst, scalar(from), &[[x, zero]], NOT_EQUAL);
            }
            let result = self.general();
            self.emit_with(Op::Compare(Condition::NotEqual), result, &[x], 0);
            self.set(dst, vec![result]);
            return Ok(());
        }
        let value = match (from.is_float(), to.is_float()) {
            (true, true) => self.convert(&[x], scalar(from), scalar(to))?[0],
            (false, false) => self.wrap_general(x, to),
            (false, true) => {
                // An integer that f32 may not hold goes through f64, as the definition does.
                let wide = from.size() == 8;
                if from == DType::U64 || is_narrow_float(to) && from.size() > 2 {
                    return Err(self.unsupported(&format!("a cast to {to}"), from));
                }
                let zero = self.constant(Scalar::Float(0.0), DType::F32);
                let code = if wide || to == DType::F64 { Code::EVEX_Vcvtsi2sd_xmm_xmm_rm64_er } else { Code::EVEX_Vcvtsi2ss_xmm_xmm_rm64_er };
                let float = self.simd(code, &[zero, x]);
                match to {
                    DType::F64 => float,
                    _ if wide => self.simd(codes::F64_TO_F32[0], &[float]),
                    _ => self.round(float, to, 0),
                }
            }
            (true, false) => {
                let whole = self.convert(&[x], scalar(from), scalar(to))?[0];
                self.general_of(whole, to)
            }
        };
        self.alias(dst, a, vec![value]);
        Ok(())
    }

    /// Converts lanes between numbers. A scalar counts as the first lane of a vector, integers as well.
    fn convert(&mut self, parts: &[VReg], from: RegType, to: RegType) -> Result<Vec<VReg>, Error> {
        let (is, becomes) = (from.dtype, to.dtype);
        let wide = |dtype| carrier(dtype) == Some(8);
        let largest = self.isa.bytes();
        let bytes = |dtype: DType| (from.lanes * carrier(dtype).unwrap_or(4)).clamp(16, largest);
        let width = |dtype| (bytes(dtype) / 16).trailing_zeros() as usize;
        let (narrow_width, wide_width) = (width(DType::F32), width(DType::F64));
        let signed = is_signed(is);
        Ok(match (is.is_float(), becomes.is_float()) {
            (true, true) => match (wide(is), wide(becomes)) {
                (false, false) => parts.iter().map(|x| self.round(*x, becomes, narrow_width)).collect(),
                (false, true) => self.halves(parts, from.lanes).into_iter().map(|x| self.simd(codes::F32_TO_F64[wide_width], &[x])).collect(),
                _ if becomes == DType::F32 => {
                    let halves: Vec<VReg> = parts.iter().map(|x| self.simd(codes::F64_TO_F32[wide_width], &[*x])).collect();
                    self.whole(&halves)
                }
                _ => return Err(self.unsupported(&format!("a cast to {becomes}"), is)),
            },
            (false, true) => match (wide(is), becomes) {
                (false, DType::F64) => {
                    let family = if is == DType::U32 { codes::U32_TO_F64 } else { codes::I32_TO_F64 };
                    self.halves(parts, from.lanes).into_iter().map(|x| self.simd(family[wide_width], &[x])).collect()
                }
                (false, _) if becomes == DType::F32 || is.size() < 4 => {
                    let family = if is == DType::U32 { codes::U32_TO_F32 } else { codes::I32_TO_F32 };
                    let mut regs = Vec::new();
                    for x in parts {
                        let float = self.simd(family[narrow_width], &[*x]);
                        regs.push(self.round(float, becomes, narrow_width));
                    }
                    regs
                }
                (true, DType::F64 | DType::F32) => {
                    let family = if is == DType::U64 { codes::U64_TO_F64 } else { codes::I64_TO_F64 };
                    let floats: Vec<VReg> = parts.iter().map(|x| self.simd(family[wide_width], &[*x])).collect();
                    if becomes == DType::F64 {
                        floats
                    } else {
                        let halves: Vec<VReg> = floats.iter().map(|x| self.simd(codes::F64_TO_F32[wide_width], &[*x])).collect();
                        self.whole(&halves)
                    }
                }
                _ => return Err(self.unsupported(&format!("a cast to {becomes}"), is)),
            },
            (true, false) => self.cut_off(parts, from, becomes, narrow_width, wide_width)?,
            (false, false) => match (wide(is), wide(becomes)) {
                (false, false) => parts.iter().map(|x| self.wrap(*x, becomes, narrow_width)).collect(),
                (false, true) => {
                    let family = if signed { codes::WIDEN_S32 } else { codes::WIDEN_U32 };
                    self.halves(parts, from.lanes).into_iter().map(|x| self.simd(family[wide_width], &[x])).collect()
                }
                (true, false) => {
                    let halves: Vec<VReg> = parts.iter().map(|x| self.narrow(*x, wide_width)).collect();
                    self.whole(&halves).into_iter().map(|x| self.wrap(x, becomes, narrow_width)).collect()
                }
                (true, true) => parts.to_vec(),
            },
        })
    }

    /// Floats as integers: cut off towards zero, as near as the dtype has it, NaN being 0.
    fn cut_off(&mut self, parts: &[VReg], from: RegType, to: DType, narrow_width: usize, wide_width: usize) -> Result<Vec<VReg>, Error> {
        let is = from.dtype;
        let (double, long) = (is == DType::F64, carrier(to) == Some(8));
        let unsigned = matches!(to, DType::U32 | DType::U64);
        let family = match (double, long, unsigned) {
            (false, false, false) => codes::F32_TO_I32,
            (false, false, true) => codes::F32_TO_U32,
            (false, true, false) => codes::F32_TO_I64,
            (false, true, true) => codes::F32_TO_U64,
            (true, false, false) => codes::F64_TO_I32,
            (true, false, true) => codes::F64_TO_U32,
            (true, true, false) => codes::F64_TO_I64,
            (true, true, true) => codes::F64_TO_U64,
        };
        let sources = if !double && long { self.halves(parts, from.lanes) } else { parts.to_vec() };
        let wide = double || long;
        let width = if wide { wide_width } else { narrow_width };
        // The width of the source's own lanes: f32 that become 64-bit integers fill half of that.
        let own_width = if double { wide_width } else if long { wide_width.saturating_sub(1) } else { narrow_width };
        let float = |narrow: Family, wide: Family| if double { wide[own_width] } else { narrow[own_width] };
        let zero = self.constant(Scalar::Float(0.0), is);
        let mut regs = Vec::new();
        for x in sources {
            let value = if self.isa == Isa::Avx2 && double && !long && !unsigned {
                // In f64 the largest integer is exact; what is too small comes out as the smallest one.
                let ordered = self.masking(codes::COMPARE_F_64[width], &[x, x], Some(ORDERED));
                let number = self.mask_op(Code::VEX_Kandw_kr_kr_kr, &[x, ordered]);
                let most = self.constant(Scalar::Float(f64::from(i32::MAX)), is);
                let below = self.simd(codes::MIN_F_64[width], &[number, most]);
                self.simd(family[width], &[below])
            } else if unsigned {
                // What is below zero, and NaN, becomes zero; what is too large comes out as all ones.
                let above = self.simd(float(codes::MAX_F_32, codes::MAX_F_64), &[x, zero]);
                self.simd(family[width], &[above])
            } else {
                // What is too large comes out as the smallest integer, as does what is too small and NaN.
                let ordered = self.masking(float(codes::COMPARE_F_32, codes::COMPARE_F_64), &[x, x], Some(ORDERED));
                let limit = self.constant(Scalar::Float(if long { 2f64.powi(63) } else { 2f64.powi(31) }), is);
                let over = self.masking(float(codes::COMPARE_F_32, codes::COMPARE_F_64), &[x, limit], Some(GREATER_OR_EQUAL));
                let whole = self.zeroed(family[width], &[x], ordered);
                let largest = if long { self.bits64(i64::MAX as u64) } else { self.bits32(i32::MAX as u32) };
                let value = self.vector();
                // The result's lanes: half as wide as the source's where doubles become 32-bit integers.
                let result_width = if double && !long { wide_width.saturating_sub(1) } else { width };
                self.blend(value, if long { 8 } else { 4 }, result_width, over, largest, whole);
                value
            };
            regs.push(value);
        }
        if double && !long {
            regs = self.whole(&regs);
        }
        Ok(regs.into_iter().map(|x| self.clamp(x, to, narrow_width)).collect())
    }

    /// Keeps 32-bit lanes inside the range of a narrower dtype.
    fn clamp(&mut self, value: VReg, dtype: DType, width: usize) -> VReg {
        match dtype.int_range() {
            Some((low, high)) if dtype.size() < 4 => {
                let (low, high) = (self.bits32(low as i32 as u32), self.bits32(high as u32));
                let value = self.simd(codes::MAX_S_I_32[width], &[value, low]);
                self.simd(codes::MIN_S_I_32[width], &[value, high])
            }
            _ => value,
        }
    }

    /// Vectors of 32-bit lanes as many as there will be of 64-bit lanes: those that are too long are two halves.
    fn halves(&mut self, parts: &[VReg], lanes: u32) -> Vec<VReg> {
        if lanes * 8 <= self.isa.bytes() {
            return parts.to_vec();
        }
        let code = if self.isa == Isa::Avx512 { Code::EVEX_Vextractf64x4_ymmm256_k1z_zmm_imm8 } else { Code::VEX_Vextractf128_xmmm128_ymm_imm8 };
        parts.iter().flat_map(|part| [*part, self.simd_with(code, &[*part], 1)]).collect()
    }

    /// The other way round.
    fn whole(&mut self, halves: &[VReg]) -> Vec<VReg> {
        let code = if self.isa == Isa::Avx512 { Code::EVEX_Vinsertf64x4_zmm_k1z_zmm_ymmm256_imm8 } else { Code::VEX_Vinsertf128_ymm_ymm_xmmm128_imm8 };
        halves.chunks(2).map(|pair| if let [low, high] = *pair { self.simd_with(code, &[low, high], 1) } else { pair[0] }).collect()
    }

    /// The low halves of 64-bit lanes side by side.
    fn narrow(&mut self, value: VReg, width: usize) -> VReg {
        match self.isa {
            Isa::Avx512 => self.simd(codes::NARROW_32[width], &[value]),
            Isa::Avx2 => self.low_halves(value, width),
        }
    }

    /// Each lane several times.
    fn repeat(&mut self, dst: Reg, a: Reg, times: u32) -> Result<(), Error> {
        let (ty, from) = (self.ty(dst), self.ty(a));
        if times == 0 || from.lanes.checked_mul(times) != Some(ty.lanes) {
            return Err(self.bug("lanes that can't be repeated so"));
        }
        if self.form(ty)? == Form::Mask {
            let lanes = (0..ty.lanes).map(|lane| self.extract(a, lane / times)).collect::<Result<Vec<_>, _>>()?;
            let mask = self.mask_of_lanes(&lanes, ty)?;
            self.set(dst, mask);
            return Ok(());
        }
        let sources = self.get(a)?;
        let (own, theirs) = (self.part_lanes(ty), self.part_lanes(from));
        let regs = (0..ty.lanes / own)
            .map(|part| {
                let first = part * own / times;
                let numbers = (0..own).map(|lane| i64::from((part * own + lane) / times - first / theirs * theirs)).collect::<Vec<_>>();
                self.rearranged(sources[(first / theirs) as usize], ty, &numbers)
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.set(dst, regs);
        Ok(())
    }

    /// One part of a register with lanes of another by number.
    fn rearranged(&mut self, from: VReg, ty: RegType, numbers: &[i64]) -> Result<VReg, Error> {
        if self.isa == Isa::Avx2 {
            return self.permuted(from, ty, numbers);
        }
        let width = self.width(ty)?;
        let wide = carrier(ty.dtype) == Some(8);
        let numbers = self.lanes_constant(numbers, if wide { DType::I64 } else { DType::I32 }, width);
        let result = self.vector();
        self.emit(Op::Copy, Some(result), &[from]);
        let code = if wide { codes::PERMUTE_64[width] } else { codes::PERMUTE_32[width] };
        self.emit(Op::Updates(code), Some(result), &[numbers, from]);
        Ok(result)
    }

    // ---- memory ----

    /// The place of an element and bytes behind it.
    fn memory(&mut self, at: &Address, dtype: DType, behind: i64) -> Result<Memory, Error> {
        let size = dtype.size() as i64;
        let slot = self.bases.get(at.buffer as usize).copied().ok_or_else(|| self.bug("a buffer that is not there"))?;
        let base = match slot {
            Some(base) => base,
            None => {
                let base = self.general();
                self.bases[at.buffer as usize] = Some(base);
                base
            }
        };
        let known = self.known(at.index).map(integer);
        let fixed = i64::try_from(at.base).ok().and_then(|base| {
            let elements = at.offset.checked_add(known.unwrap_or(0))?;
            base.checked_add(elements.checked_mul(size)?)?.checked_add(behind)
        });
        let fixed = fixed.ok_or_else(|| self.bug("an offset that is too large"))?;
        let index = if known.is_some() { None } else { Some(self.one(at.index)?) };
        if let Ok(displacement) = i32::try_from(fixed) {
            return Ok(Memory { base, index, scale: size as u8, displacement });
        }
        let (far, sum) = (self.immediate(fixed), self.general());
        self.emit(Op::Alu(Alu::Add), Some(sum), &[base, far]);
        Ok(Memory { base: sum, index, scale: size as u8, displacement: 0 })
    }

    fn load_with(&mut self, code: Code, memory: Memory, mask: Option<VReg>, dst: VReg) {
        self.push(Instruction { memory: Some(memory), mask, zeroing: mask.is_some(), ..Instruction::new(Op::Simd(code), Some(dst), &[]) });
    }

    fn store_with(&mut self, code: Code, memory: Memory, mask: Option<VReg>, value: VReg, immediate: Option<i64>) {
        self.push(Instruction { memory: Some(memory), mask, immediate, ..Instruction::new(Op::Simd(code), None, &[value]) });
    }

    fn load(&mut self, dst: Reg, from: &Address, stride: i64) -> Result<(), Error> {
        let ty = self.ty(dst);
        if ty.lanes == 1 {
            let memory = self.memory(from, ty.dtype, 0)?;
            let own = self.result(dst)?[0];
            let value = self.load_lane(ty.dtype, memory, own);
            self.set(dst, vec![value]);
            return Ok(());
        }
        if stride == 1 {
            return self.load_vector(dst, from, None);
        }
        if stride == 0 && matches!(ty.dtype, DType::F32 | DType::F64 | DType::I32 | DType::U32 | DType::I64 | DType::U64) {
            let memory = self.memory(from, ty.dtype, 0)?;
            let Form::Vectors { parts, width } = self.form(ty)? else { return Err(self.bug("a vector was expected")) };
            let own = self.result(dst)?;
            self.load_with(by_size(codes::SPLAT_F_32, codes::SPLAT_F_64, ty.dtype)[width], memory, None, own[0]);
            if self.mutable[dst.0 as usize] {
                for part in &own[1..] {
                    self.emit(Op::Copy, Some(*part), &[own[0]]);
                }
                return Ok(());
            }
            self.set(dst, vec![own[0]; parts as usize]);
            return Ok(());
        }
        if stride == 2 && self.parts_in_two(dst) {
            return self.load_every_other(dst, from, ty.lanes);
        }
        self.load_lanes(dst, from, stride, ty.lanes)
    }

    /// Do two vectors of at least 128 bits hold every part's elements, every other of which it is?
    fn parts_in_two(&self, dst: Reg) -> bool {
        let ty = self.ty(dst);
        ty.dtype.size() >= 4 && self.part_lanes(ty) as usize * ty.dtype.size() >= 16
    }

    /// The first lanes, one by one; the others get the first one's element.
    fn load_lanes(&mut self, dst: Reg, from: &Address, stride: i64, live: u32) -> Result<(), Error> {
        let ty = self.ty(dst);
        let mut lanes = Vec::new();
        for lane in 0..i64::from(if stride == 0 { 1 } else { live }) {
            let behind = lane.checked_mul(stride).and_then(|at| at.checked_mul(ty.dtype.size() as i64)).ok_or_else(|| self.bug("a stride that is too large"))?;
            let memory = self.memory(from, ty.dtype, behind)?;
            let own = if ty.dtype.is_float() { self.vector() } else { self.general() };
            lanes.push(self.load_lane(ty.dtype, memory, own));
        }
        let regs = if stride == 0 {
            self.broadcast(lanes[0], ty)?
        } else if ty.dtype == DType::Bool {
            self.mask_of_lanes(&lanes, ty)?
        } else {
            lanes.resize(ty.lanes as usize, lanes[0]);
            self.gather_lanes(&lanes, ty)?
        };
        self.set(dst, regs);
        Ok(())
    }

    /// Every other element, from two vectors that overlap in one element, so that nothing behind the last live one is read.
    fn load_every_other(&mut self, dst: Reg, from: &Address, live: u32) -> Result<(), Error> {
        if self.isa == Isa::Avx2 {
            return self.load_shuffled(dst, from, live);
        }
        let ty = self.ty(dst);
        let (lanes, size) = (i64::from(self.part_lanes(ty)), ty.dtype.size() as i64);
        let width = self.width(ty)?;
        let numbers: Vec<i64> = (0..lanes).map(|lane| if lane < lanes / 2 { 2 * lane } else { lanes + 2 * lane - (lanes - 1) }).collect();
        let carrier = if size == 8 { DType::I64 } else { DType::I32 };
        let numbers = self.lanes_constant(&numbers, carrier, width);
        let results = self.result(dst)?;
        for (part, result) in results.iter().enumerate() {
            let first = part as i64 * lanes;
            // Elements from this part's first on that may be read.
            let there = (2 * (i64::from(live) - first) - 1).max(0);
            let (low, high) = (self.memory(from, ty.dtype, first * 2 * size)?, self.memory(from, ty.dtype, (first * 2 + lanes - 1) * size)?);
            let load = by_size(codes::LOAD_32, codes::LOAD_64, ty.dtype)[width];
            let fetch = |this: &mut Self, memory: Memory, there: i64, to: VReg| {
                let mask = (there < lanes).then(|| this.lane_mask((1 << there.max(0)) - 1, ty.dtype));
                this.load_with(load, memory, mask, to);
            };
            fetch(self, low, there, *result);
            let permute = Op::Updates(by_size(codes::PERMUTE_32, codes::PERMUTE_64, ty.dtype)[width]);
            if there >= 2 * lanes - 1 {
                self.push(Instruction { memory: Some(high), ..Instruction::new(permute, Some(*result), &[numbers]) });
            } else {
                let upper = self.vector();
                fetch(self, high, there - (lanes - 1), upper);
                self.emit(permute, Some(*result), &[numbers, upper]);
            }
        }
        self.set(dst, results);
        Ok(())
    }

    /// Bools as the lanes of a mask.
    fn mask_of_lanes(&mut self, lanes: &[VReg], ty: RegType) -> Result<Vec<VReg>, Error> {
        if self.isa == Isa::Avx2 {
            let numbers = self.gather_lanes(lanes, RegType { dtype: DType::I32, ..ty })?;
            let (zero, width) = (self.bits32(0), self.width(ty)?);
            return Ok(numbers.into_iter().map(|number| self.simd(codes::SUB_I_32[width], &[zero, number])).collect());
        }
        let mut bits = lanes[0];
        for (at, lane) in lanes.iter().enumerate().skip(1) {
            let (moved, sum) = (self.general(), self.general());
            self.emit_with(Op::Alu(Alu::Shl), moved, &[*lane], at as i64);
            self.emit(Op::Alu(Alu::Or), Some(sum), &[bits, moved]);
            bits = sum;
        }
        Ok(vec![self.mask_op(Code::VEX_Kmovw_kr_r32, &[bits])])
    }

    /// One element; gives `own`, or another register with the value.
    fn load_lane(&mut self, dtype: DType, memory: Memory, own: VReg) -> VReg {
        let integer = |this: &mut Self, bytes: u8, signed: bool, to: VReg| {
            this.push(Instruction { memory: Some(memory), ..Instruction::new(Op::Load { bytes, signed }, Some(to), &[]) });
        };
        match dtype {
            DType::F32 => self.load_with(Code::EVEX_Vmovss_xmm_k1z_m32, memory, None, own),
            DType::F64 => self.load_with(Code::EVEX_Vmovsd_xmm_k1z_m64, memory, None, own),
            DType::F16 | DType::BF16 => {
                let bits = self.general();
                integer(self, 2, false, bits);
                let lanes = self.simd(Code::EVEX_Vmovd_xmm_rm32, &[bits]);
                if dtype == DType::F16 {
                    self.emit(Op::Simd(codes::FROM_F16[0]), Some(own), &[lanes]);
                } else {
                    self.emit_with(Op::Simd(codes::SHL_IMM_32[0]), own, &[lanes], 16);
                }
            }
            DType::Bool => {
                let byte = self.general();
                integer(self, 1, false, byte);
                self.emit_with(Op::Compare(Condition::NotEqual), own, &[byte], 0);
            }
            _ => integer(self, dtype.size() as u8, is_signed(dtype), own),
        }
        own
    }

    /// Contiguous lanes, zero where a mask is not set.
    fn load_vector(&mut self, dst: Reg, from: &Address, guard: Option<&[VReg]>) -> Result<(), Error> {
        if self.isa == Isa::Avx2 {
            return self.load_contiguous(dst, from, guard);
        }
        let ty = self.ty(dst);
        let size = ty.dtype.size() as i64;
        if ty.dtype == DType::Bool {
            let memory = self.memory(from, ty.dtype, 0)?;
            let bytes = self.vector();
            let all = guard.map(|masks| masks[0]).or_else(|| (ty.lanes < 16).then(|| self.lane_mask((1 << ty.lanes) - 1, ty.dtype)));
            self.load_with(codes::LOAD_8[0], memory, all, bytes);
            let set = self.mask_op(codes::TEST_8[0], &[bytes, bytes]);
            self.set(dst, vec![set]);
            return Ok(());
        }
        let Form::Vectors { parts, width } = self.form(ty)? else { return Err(self.bug("a vector was expected")) };
        let part_lanes = self.part_lanes(ty);
        let results = self.result(dst)?;
        // Fewer lanes than the smallest register has.
        let few = part_lanes * carrier(ty.dtype).unwrap_or(4) < 16;
        let masks = match guard {
            Some(masks) => self.split_mask(masks, ty).into_iter().map(Some).collect(),
            None if few => vec![Some(self.lane_mask((1 << part_lanes) - 1, ty.dtype))],
            None => vec![None; parts as usize],
        };
        for ((at, result), mask) in results.iter().enumerate().zip(masks) {
            let memory = self.memory(from, ty.dtype, at as i64 * i64::from(part_lanes) * size)?;
            match ty.dtype {
                DType::I8 => self.load_with(codes::WIDEN_S8[width], memory, mask, *result),
                DType::U8 => self.load_with(codes::WIDEN_U8[width], memory, mask, *result),
                DType::I16 => self.load_with(codes::WIDEN_S16[width], memory, mask, *result),
                DType::U16 => self.load_with(codes::WIDEN_U16[width], memory, mask, *result),
                DType::F16 => self.load_with(codes::FROM_F16[width], memory, mask, *result),
                DType::BF16 => {
                    let bits = self.vector();
                    self.load_with(codes::WIDEN_U16[width], memory, mask, bits);
                    self.emit_with(Op::Simd(codes::SHL_IMM_32[width]), *result, &[bits], 16);
                }
                DType::F32 if mask.is_none() => self.load_with(codes::LOAD_F[width], memory, mask, *result),
                _ => self.load_with(by_size(codes::LOAD_32, codes::LOAD_64, ty.dtype)[width], memory, mask, *result),
            }
        }
        self.set(dst, results);
        Ok(())
    }

    fn store(&mut self, src: Reg, to: &Address, stride: i64) -> Result<(), Error> {
        let ty = self.ty(src);
        if ty.lanes == 1 {
            let memory = self.memory(to, ty.dtype, 0)?;
            let value = self.one(src)?;
            self.store_lane(ty.dtype, value, memory);
            return Ok(());
        }
        if stride == 1 {
            return self.store_vector(src, to, None);
        }
        // AVX2's masked stores take longer than one lane after the other.
        if stride == 2 && self.isa == Isa::Avx512 && ty.dtype.size() >= 4 && self.part_lanes(ty) as usize * ty.dtype.size() >= 16 {
            return self.store_every_other(src, to);
        }
        for lane in 0..ty.lanes {
            let behind = i64::from(lane).checked_mul(stride).and_then(|at| at.checked_mul(ty.dtype.size() as i64)).ok_or_else(|| self.bug("a stride that is too large"))?;
            let memory = self.memory(to, ty.dtype, behind)?;
            let value = self.extract(src, lane)?;
            self.store_lane(ty.dtype, value, memory);
        }
        Ok(())
    }

    /// To every other element: the lanes of each half twice, of which a mask keeps one.
    fn store_every_other(&mut self, src: Reg, to: &Address) -> Result<(), Error> {
        let ty = self.ty(src);
        let (lanes, size, width) = (self.part_lanes(ty), ty.dtype.size() as i64, self.width(ty)?);
        let mask = self.lane_mask(0x5555 & ((1 << lanes) - 1), ty.dtype);
        for (part, value) in self.get(src)?.into_iter().enumerate() {
            for half in 0..2 {
                let numbers: Vec<i64> = (0..lanes).map(|lane| i64::from(half * (lanes / 2) + lane / 2)).collect();
                let value = self.rearranged(value, ty, &numbers)?;
                let first = (part as i64 * 2 + i64::from(half)) * i64::from(lanes);
                let memory = self.memory(to, ty.dtype, first * size)?;
                self.store_with(by_size(codes::STORE_32, codes::STORE_64, ty.dtype)[width], memory, Some(mask), value, None);
            }
        }
        Ok(())
    }

    fn store_lane(&mut self, dtype: DType, value: VReg, memory: Memory) {
        let integer = |this: &mut Self, bytes: u8, value: VReg| {
            this.push(Instruction { memory: Some(memory), ..Instruction::new(Op::Store { bytes }, None, &[value]) });
        };
        match dtype {
            DType::F32 => self.store_with(Code::EVEX_Vmovss_m32_k1_xmm, memory, None, value, None),
            DType::F64 => self.store_with(Code::EVEX_Vmovsd_m64_k1_xmm, memory, None, value, None),
            DType::F16 | DType::BF16 => {
                let lanes = if dtype == DType::F16 { self.simd_with(codes::TO_F16[0], &[value], NEAREST & 7) } else { self.bf16_bits(value, 0) };
                let bits = self.general();
                self.emit(Op::Simd(Code::EVEX_Vmovd_rm32_xmm), Some(bits), &[lanes]);
                integer(self, 2, bits);
            }
            _ => integer(self, dtype.size() as u8, value),
        }
    }

    /// Contiguous lanes, those that a mask has set.
    fn store_vector(&mut self, src: Reg, to: &Address, guard: Option<&[VReg]>) -> Result<(), Error> {
        if self.isa == Isa::Avx2 {
            return self.store_contiguous(src, to, guard);
        }
        let ty = self.ty(src);
        let size = ty.dtype.size() as i64;
        let values = self.get(src)?;
        if ty.dtype == DType::Bool {
            let memory = self.memory(to, ty.dtype, 0)?;
            let ones = self.intern(Constant::Whole(vec![1; 16]));
            let bytes = self.zeroed(codes::LOAD_8[0], &[ones], values[0]);
            let all = guard.map(|masks| masks[0]).or_else(|| (ty.lanes < 16).then(|| self.lane_mask((1 << ty.lanes) - 1, ty.dtype)));
            self.store_with(Code::EVEX_Vmovdqu8_xmmm128_k1z_xmm, memory, all, bytes, None);
            return Ok(());
        }
        let width = self.width(ty)?;
        let part_lanes = self.part_lanes(ty);
        let few = part_lanes * carrier(ty.dtype).unwrap_or(4) < 16;
        let masks = match guard {
            Some(masks) => self.split_mask(masks, ty).into_iter().map(Some).collect(),
            None if few => vec![Some(self.lane_mask((1 << part_lanes) - 1, ty.dtype))],
            None => vec![None; values.len()],
        };
        for ((at, value), mask) in values.into_iter().enumerate().zip(masks) {
            let memory = self.memory(to, ty.dtype, at as i64 * i64::from(part_lanes) * size)?;
            match ty.dtype {
                DType::F16 => self.store_with(codes::TO_F16[width], memory, mask, value, Some(NEAREST & 7)),
                DType::BF16 => {
                    let bits = self.bf16_bits(value, width);
                    self.store_with(codes::NARROW_16[width], memory, mask, bits, None);
                }
                DType::F32 if mask.is_none() => self.store_with(codes::STORE_F[width], memory, mask, value, None),
                _ => {
                    let family = match size {
                        1 => codes::NARROW_8,
                        2 => codes::NARROW_16,
                        4 => codes::STORE_32,
                        _ => codes::STORE_64,
                    };
                    self.store_with(family[width], memory, mask, value, None);
                }
            }
        }
        Ok(())
    }

    /// A guard without the bits behind the lanes of a type, which are undefined, where instructions have more lanes than the type.
    fn guard_of_lanes(&mut self, guards: Vec<VReg>, ty: RegType) -> Vec<VReg> {
        let size = if ty.dtype == DType::Bool { 1 } else { carrier(ty.dtype).unwrap_or(4) };
        if self.isa == Isa::Avx2 || ty.lanes * size >= 16 {
            return guards;
        }
        let live = self.lane_mask((1 << ty.lanes) - 1, ty.dtype);
        guards.into_iter().map(|guard| self.mask_op(Code::VEX_Kandw_kr_kr_kr, &[guard, live])).collect()
    }

    fn guarded_load(&mut self, dst: Reg, from: &Address, guard: Reg) -> Result<(), Error> {
        let ty = self.ty(dst);
        let guards = self.get(guard)?;
        if ty.lanes > 1 {
            let guards = self.guard_of_lanes(guards, ty);
            return self.load_vector(dst, from, Some(&guards));
        }
        let skipped = self.label();
        let memory = self.memory(from, ty.dtype, 0)?;
        let own = if ty.dtype.is_float() {
            let zero = self.constant(Scalar::Float(0.0), ty.dtype);
            let own = self.vector();
            self.emit(Op::Copy, Some(own), &[zero]);
            own
        } else {
            self.immediate(0)
        };
        self.emit(Op::SkipUnless(skipped), None, &guards);
        self.load_lane(ty.dtype, memory, own);
        self.emit(Op::Label(skipped), None, &[]);
        self.set(dst, vec![own]);
        Ok(())
    }

    fn guarded_store(&mut self, src: Reg, to: &Address, guard: Reg) -> Result<(), Error> {
        let ty = self.ty(src);
        let guards = self.get(guard)?;
        if ty.lanes > 1 {
            let guards = self.guard_of_lanes(guards, ty);
            return self.store_vector(src, to, Some(&guards));
        }
        let skipped = self.label();
        let memory = self.memory(to, ty.dtype, 0)?;
        let value = self.one(src)?;
        self.emit(Op::SkipUnless(skipped), None, &guards);
        self.store_lane(ty.dtype, value, memory);
        self.emit(Op::Label(skipped), None, &[]);
        Ok(())
    }
}

/// An integer's or a bool's bits.
fn integer(value: Scalar) -> i64 {
    match value {
        Scalar::Bool(truth) => i64::from(truth),
        _ => value.as_int() as i64,
    }
}

/// The divisor of a division that shifts and masks do: a power of two.
fn power_of_two(op: Binary, dtype: DType, known: Option<Scalar>) -> Option<u64> {
    let Some(Scalar::Int(n)) = known else { return None };
    let floors = matches!(op, Binary::FloorDiv | Binary::Mod) || !is_signed(dtype);
    (floors && n > 0 && n.count_ones() == 1 && n <= 1 << 62).then_some(n as u64)
}
