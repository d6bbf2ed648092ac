//! Chooses instructions for a vector program.
//!
//! In: a [`Program`]. Out: a [`Function`]. Must not know: register numbers, encodings.
//!
//! How a register of the program is held follows from its type alone, see [`Form`]. 8- and 16-bit integers live extended in 32-bit
//! lanes and are wrapped after every operation that can leave their range; f16 and bf16 live in f32 and are rounded after every
//! operation; bools are masks, or without these 32-bit lanes that have all bits set or none. What is chosen is AVX-512's where AVX2 has
//! the same under another code, which it gets in the end; [`avx2`] has the rest.

mod arithmetic;
mod avx2;
mod conversions;
mod lanes;
mod memory;

use std::collections::HashMap;

use frit_ir::dtype::{Class as Kind, DType};
use frit_ir::error::Error;
use frit_ir::scalar::{Binary, Scalar, Unary};
use frit_ir::vector::{Inst, Program, Reg, RegType};
use iced_x86::Code;

use crate::lower::TILE;
use super::codes::{self, Family};
use super::machine::{Alu, Class, Condition, Constant, Division, Function, Instruction, Isa, Memory, Op, VReg};

/// Lanes that a mask has at most.
const MOST_LANES: u32 = 16;
/// Elements that lie no farther apart are taken out of whole vectors.
const FARTHEST: i64 = 4;

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
            Inst::Prefetch { at, .. } => reads(&at.index),
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
            if let (Inst::Unary { op: Unary::Round, dst: whole, a }, Some(Inst::Cast { dst, a: cast })) = (inst, insts.get(at))
                && cast == whole
                && self.uses[whole.0 as usize] == 1
                && self.rounds(self.ty(*a), self.ty(*dst).dtype)
            {
                self.cast_nearest(*dst, *a)?;
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

    /// Are lanes rounded to integers of less than 32 bits by one instruction?
    fn rounds(&self, from: RegType, to: DType) -> bool {
        from.dtype == DType::F32 && from.lanes > 1 && to.is_int() && to.size() < 4 && carrier(to) == Some(4)
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
            Inst::PartialLoad { from, stride, live, .. } => self.load_apart(dst, from, *stride, *live),
            Inst::GuardedLoad { from, guard, .. } => self.guarded_load(dst, from, *guard),
            Inst::Store { src, to, stride } => self.store(*src, to, *stride),
            Inst::GuardedStore { src, to, guard } => self.guarded_store(*src, to, *guard),
            Inst::Prefetch { at, write } => self.prefetch(at, *write),
            Inst::Join { op, a, .. } => self.join(dst, *op, *a),
            Inst::Move { a, .. } => {
                let regs = self.get(*a)?;
                self.set(dst, regs);
                Ok(())
            }
            Inst::Loop { .. } => Err(self.bug("a loop in the wrong place")),
        }
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
