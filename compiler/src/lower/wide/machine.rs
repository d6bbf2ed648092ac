//! The machine form: x86-64 instructions on registers without number.
//!
//! In: nothing. Out: [`Function`], what [`super::select`] makes of a vector program, [`super::allocate`] gives registers and
//! [`super::encode`] makes bytes of. Must not know: vector programs, tensors.

use std::collections::BTreeMap;

use iced_x86::Code;

/// Instruction sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Isa {
    /// 32 vectors of 512 bits, and masks.
    Avx512,
    /// 16 vectors of 256 bits, fused multiply-adds and conversions of f16. A mask is a vector whose lanes have all bits set or none.
    Avx2,
}

impl Isa {
    /// Bytes of the largest vector.
    pub(super) fn bytes(self) -> u32 {
        match self {
            Isa::Avx512 => 64,
            Isa::Avx2 => 32,
        }
    }

    /// Number of vectors.
    pub(super) fn vectors(self) -> usize {
        match self {
            Isa::Avx512 => 32,
            Isa::Avx2 => 16,
        }
    }
}

/// Kinds of registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    /// 64-bit integers. Narrower ones are extended to 64 bits as their dtype says; bools are 0 or 1.
    General,
    /// 128 to 512 bits, a scalar float being the first lane.
    Vector,
    /// One bit per lane. Bits behind the lanes are undefined.
    Mask,
}

/// A register without number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct VReg(pub u32);

/// A vector that is known when code is generated: code reads it from memory, or keeps it in a register throughout.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Constant {
    /// The same 4 or 8 bytes in every lane.
    Broadcast(Vec<u8>),
    /// 16, 32 or 64 bytes, of which narrower instructions read the first ones.
    Whole(Vec<u8>),
}

/// A place in memory: `base + index * scale + displacement`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Memory {
    pub base: VReg,
    pub index: Option<VReg>,
    pub scale: u8,
    pub displacement: i32,
}

/// Conditions of comparisons of 64-bit integers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Condition {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Below,
    BelowOrEqual,
}

/// Integer operations of two operands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Alu {
    Add,
    Sub,
    Mul,
    And,
    Or,
    Xor,
    /// Shifts by an immediate.
    Shl,
    Shr,
    Sar,
}

/// Divisions by a positive number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Division {
    Quotient,
    Remainder,
    /// Rounded down.
    Floor,
    /// With the sign of the divisor.
    Modulo,
}

/// What an instruction does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    /// The instruction of that code: destination, sources, immediate. Where there is a memory operand, it is the last source, or the
    /// destination if there is none.
    Simd(Code),
    /// As `Simd` of two sources that may be exchanged.
    Commutes(Code),
    /// As `Simd`, of the destination's old value too.
    Updates(Code),
    /// `dst = a * b + c`, by the forms 132, 213 and 231.
    Fma([Code; 3]),
    /// `dst = a`.
    Copy,
    /// The argument of that number.
    Argument(u32),
    /// An integer.
    Immediate(i64),
    /// All lanes of a mask.
    Ones,
    /// The second operand is a register or the immediate.
    Alu(Alu),
    /// `dst = memory`, of 1, 2, 4 or 8 bytes, extended with or without sign.
    Load { bytes: u8, signed: bool },
    /// `memory = source`.
    Store { bytes: u8 },
    /// Extends the low bytes of a general register.
    Extend { bytes: u8, signed: bool },
    /// 1 if the condition holds between the operands (the second may be the immediate), else 0.
    Compare(Condition),
    /// The first operand if the condition holds between both, else the second.
    Choose(Condition),
    /// The second operand if the first is not 0, else the third.
    Select,
    /// Divides the first operand by the second, which is positive.
    Divide(Division),
    /// A loop begins; it is left by [`Op::Repeat`].
    Loop,
    /// Adds the immediate to the source, which is the destination too, and repeats the loop if it is below `end`, or below the
    /// second source.
    Repeat { end: Option<i64> },
    /// Goes on at the [`Op::Label`] of that number if the source is 0.
    SkipUnless(u32),
    /// Goes on at that label unless the first source is below the second.
    SkipUnlessBelow(u32),
    /// Where skips go on.
    Label(u32),
}

/// An instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Instruction {
    pub op: Op,
    pub dst: Option<VReg>,
    pub sources: Vec<VReg>,
    pub memory: Option<Memory>,
    pub immediate: Option<i64>,
    /// A mask of lanes. Of the others memory is not touched, a register gets zeros if `zeroing`, and a blend gets its first operand.
    pub mask: Option<VReg>,
    pub zeroing: bool,
}

impl Instruction {
    pub(super) fn new(op: Op, dst: Option<VReg>, sources: &[VReg]) -> Self {
        Self { op, dst, sources: sources.to_vec(), memory: None, immediate: None, mask: None, zeroing: false }
    }

    /// The registers that it reads.
    pub(super) fn reads(&self) -> impl Iterator<Item = VReg> {
        let old = self.dst.filter(|_| matches!(self.op, Op::Updates(_)));
        let memory = self.memory.into_iter().flat_map(|memory| [Some(memory.base), memory.index]).flatten();
        self.sources.iter().copied().chain(memory).chain(self.mask).chain(old)
    }
}

/// Code with registers without number.
#[derive(Default)]
pub(super) struct Function {
    pub classes: Vec<Class>,
    pub constants: BTreeMap<VReg, Constant>,
    pub body: Vec<Instruction>,
}

impl Function {
    pub(super) fn reg(&mut self, class: Class) -> VReg {
        self.classes.push(class);
        VReg(self.classes.len() as u32 - 1)
    }

    pub(super) fn class(&self, reg: VReg) -> Class {
        self.classes[reg.0 as usize]
    }
}
