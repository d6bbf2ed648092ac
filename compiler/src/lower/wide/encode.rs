//! Makes bytes of instructions.
//!
//! In: a [`Function`] and the [`Allocation`] of its registers. Out: machine code with its constants behind it. Must not know:
//! vector programs.
//!
//! `rax` and `rdx` belong to no register of the function: operands that lie in memory pass through them, and instructions that take
//! several steps work in them. The last vectors and masks do the same where [`super::allocate`] kept them free.

use std::collections::HashMap;

use frit_ir::error::Error;
use iced_x86::{Code, Encoder, Instruction as Encoded, OpCodeOperandKind, OpKind, Register};

use super::allocate::{Allocation, Location, SPARE};
use super::machine::{Alu, Class, Condition, Constant, Division, Function, Instruction, Isa, Memory, Op, VReg};

/// General registers by number: first those that a function may overwrite.
const GENERAL: [Register; 13] = [
    Register::RCX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::RBX,
    Register::RBP,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];
/// Those from here on must be restored.
const FIRST_SAVED: u8 = 7;
const FIRST_SCRATCH: Register = Register::RAX;
const SECOND_SCRATCH: Register = Register::RDX;
const STACK: Register = Register::RSP;

const MASKS: usize = 7;
/// Bytes of a stack slot.
const SLOT: i64 = 64;
/// Loops begin at multiples of this many bytes.
const LOOP_ALIGNMENT: usize = 32;
/// Longest instruction that does nothing.
const LONGEST_NOP: usize = 9;
/// Stands for a distance that is not known yet.
const UNKNOWN: u64 = 0x1000;

fn bug(what: impl std::fmt::Display) -> Error {
    Error::bug(format!("the wide emitter: {what}"))
}

/// Something that an instruction can name.
#[derive(Clone, Copy)]
enum Operand {
    Register(Register),
    Memory(Place),
}

/// Memory with numbered registers.
#[derive(Clone, Copy)]
enum Place {
    At { base: Register, index: Register, scale: u8, displacement: i64 },
    Constant { number: usize, broadcast: bool },
}

/// What becomes known when all code is there.
enum Patch {
    Label(u32),
    Constant(usize),
}

struct Assembler<'a> {
    function: &'a Function,
    allocation: &'a Allocation,
    isa: Isa,
    encoder: Encoder,
    position: usize,
    /// Distances to fill in: where their four bytes are, and where they count from.
    patches: Vec<(usize, usize, Patch)>,
    labels: HashMap<u32, usize>,
    /// Where open loops begin.
    loops: Vec<usize>,
    pool: Vec<&'a Constant>,
    pooled: HashMap<VReg, usize>,
}

/// Machine code of a function.
///
/// # Errors
/// A bug where an instruction can't be encoded.
pub(super) fn encode(function: &Function, allocation: &Allocation, isa: Isa) -> Result<Vec<u8>, Error> {
    let mut pool: Vec<&Constant> = Vec::new();
    let mut pooled = HashMap::new();
    let mut known: Vec<VReg> = function.constants.keys().copied().collect();
    // Whole vectors come first, so that all lie aligned.
    known.sort_by_key(|reg| std::cmp::Reverse(bytes(&function.constants[reg]).len()));
    for reg in known {
        if allocation.locations[reg.0 as usize] != Location::Nowhere {
            pooled.insert(reg, pool.len());
            pool.push(&function.constants[&reg]);
        }
    }
    let mut assembler =
        Assembler { function, allocation, isa, encoder: Encoder::new(64), position: 0, patches: Vec::new(), labels: HashMap::new(), loops: Vec::new(), pool, pooled };
    assembler.function()?;
    assembler.finish()
}

fn bytes(constant: &Constant) -> &[u8] {
    match constant {
        Constant::Broadcast(bytes) | Constant::Whole(bytes) => bytes,
    }
}

fn condition_codes(condition: Condition) -> (Code, Code) {
    match condition {
        Condition::Equal => (Code::Sete_rm8, Code::Cmove_r64_rm64),
        Condition::NotEqual => (Code::Setne_rm8, Code::Cmovne_r64_rm64),
        Condition::Less => (Code::Setl_rm8, Code::Cmovl_r64_rm64),
        Condition::LessOrEqual => (Code::Setle_rm8, Code::Cmovle_r64_rm64),
        Condition::Below => (Code::Setb_rm8, Code::Cmovb_r64_rm64),
        Condition::BelowOrEqual => (Code::Setbe_rm8, Code::Cmovbe_r64_rm64),
    }
}

/// The register that an operand of a kind names, from its number within its class.
fn named(kind: OpCodeOperandKind, class: Class, number: usize) -> Register {
    use OpCodeOperandKind::{r32_or_mem, r32_reg, r32_rm, r32_vvvv, xmm_is4, xmm_or_mem, xmm_reg, xmm_rm, xmm_vvvv, ymm_is4, ymm_or_mem, ymm_reg, ymm_rm, ymm_vvvv};
    match (class, kind) {
        (Class::General, r32_or_mem | r32_reg | r32_rm | r32_vvvv) => low_word(GENERAL[number]),
        (Class::General, _) => GENERAL[number],
        (Class::Mask, _) => Register::K1 + number as u32,
        (Class::Vector, xmm_is4 | xmm_or_mem | xmm_reg | xmm_rm | xmm_vvvv) => Register::XMM0 + number as u32,
        (Class::Vector, ymm_is4 | ymm_or_mem | ymm_reg | ymm_rm | ymm_vvvv) => Register::YMM0 + number as u32,
        (Class::Vector, _) => Register::ZMM0 + number as u32,
    }
}

fn takes_memory(kind: OpCodeOperandKind) -> bool {
    use OpCodeOperandKind::{k_or_mem, r32_or_mem, r64_or_mem, xmm_or_mem, ymm_or_mem, zmm_or_mem};
    matches!(kind, k_or_mem | r32_or_mem | r64_or_mem | xmm_or_mem | ymm_or_mem | zmm_or_mem)
}

impl<'a> Assembler<'a> {
    // ---- bytes ----

    fn put(&mut self, mut instruction: Encoded, patch: Option<Patch>) -> Result<(), Error> {
        let start = self.position;
        let length = self.encoder.encode(&instruction, start as u64).map_err(|error| {
            instruction.set_ip(start as u64);
            bug(format!("{:?} can't be encoded: {error}", instruction.code()))
        })?;
        self.position += length;
        if let Some(patch) = patch {
            let offsets = self.encoder.get_constant_offsets();
            let at = if matches!(patch, Patch::Label(_)) { length - 4 } else { offsets.displacement_offset() };
            self.patches.push((start + at, self.position, patch));
        }
        Ok(())
    }

    fn nops(&mut self, alignment: usize) {
        let mut left = self.position.next_multiple_of(alignment) - self.position;
        const NOPS: [&[u8]; LONGEST_NOP] = [
            &[0x90],
            &[0x66, 0x90],
            &[0x0f, 0x1f, 0x00],
            &[0x0f, 0x1f, 0x40, 0x00],
            &[0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
            &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
        ];
        while left > 0 {
            let some = left.min(LONGEST_NOP);
            NOPS[some - 1].iter().for_each(|byte| self.encoder.write_u8(*byte));
            self.position += some;
            left -= some;
        }
    }

    fn finish(mut self) -> Result<Vec<u8>, Error> {
        let mut code = self.encoder.take_buffer();
        let mut at = Vec::new();
        for constant in &self.pool {
            let bytes = bytes(constant);
            code.resize(code.len().next_multiple_of(bytes.len()), 0xcc);
            at.push(code.len());
            code.extend_from_slice(bytes);
        }
        for (place, from, patch) in self.patches {
            let to = match patch {
                Patch::Label(label) => *self.labels.get(&label).ok_or_else(|| bug("a label that is nowhere"))?,
                Patch::Constant(number) => at[number],
            };
            let distance = i32::try_from(to as i64 - from as i64).map_err(|_| bug("code that is too long"))?;
            code[place..place + 4].copy_from_slice(&distance.to_le_bytes());
        }
        Ok(code)
    }

    /// Encodes a code with operands as they come, and an immediate.
    fn code(&mut self, code: Code, operands: &[Operand], immediate: Option<i64>) -> Result<(), Error> {
        self.masked(code, operands, immediate, None, false)
    }

    fn masked(&mut self, code: Code, operands: &[Operand], immediate: Option<i64>, mask: Option<Register>, zeroing: bool) -> Result<(), Error> {
        let mut encoded = Encoded::default();
        encoded.set_code(code);
        let mut patch = None;
        for (at, operand) in operands.iter().enumerate() {
            let at = at as u32;
            match *operand {
                Operand::Register(register) => {
                    encoded.set_op_kind(at, OpKind::Register);
                    encoded.set_op_register(at, register);
                }
                Operand::Memory(place) => {
                    encoded.set_op_kind(at, OpKind::Memory);
                    match place {
                        Place::At { base, index, scale, displacement } => {
                            encoded.set_memory_base(base);
                            encoded.set_memory_index(index);
                            encoded.set_memory_index_scale(u32::from(scale.max(1)));
                            encoded.set_memory_displacement64(displacement as u64);
                            encoded.set_memory_displ_size(u32::from(displacement != 0));
                        }
                        Place::Constant { number, broadcast } => {
                            encoded.set_memory_base(Register::RIP);
                            encoded.set_memory_displ_size(8);
                            encoded.set_memory_displacement64(self.position as u64 + UNKNOWN);
                            encoded.set_is_broadcast(broadcast);
                            patch = Some(Patch::Constant(number));
                        }
                    }
                }
            }
        }
        if let Some(value) = immediate {
            let at = operands.len() as u32;
            let kind = code.op_code().op_kind(at);
            let kind = match kind {
                OpCodeOperandKind::imm64 => OpKind::Immediate64,
                OpCodeOperandKind::imm32sex64 => OpKind::Immediate32to64,
                OpCodeOperandKind::imm32 => OpKind::Immediate32,
                OpCodeOperandKind::imm8sex64 => OpKind::Immediate8to64,
                _ => OpKind::Immediate8,
            };
            encoded.set_op_kind(at, kind);
            match kind {
                OpKind::Immediate64 => encoded.set_immediate64(value as u64),
                OpKind::Immediate32to64 => encoded.set_immediate32to64(value),
                OpKind::Immediate32 => encoded.set_immediate32(value as u32),
                OpKind::Immediate8to64 => encoded.set_immediate8to64(value),
                _ => encoded.set_immediate8(value as u8),
            }
        }
        if let Some(mask) = mask {
            encoded.set_op_mask(mask);
            encoded.set_zeroing_masking(zeroing);
        }
        self.put(encoded, patch)
    }

    fn jump(&mut self, code: Code, label: u32) -> Result<(), Error> {
        let target = self.position as u64 + UNKNOWN;
        self.put(Encoded::with_branch(code, target).map_err(bug)?, Some(Patch::Label(label)))
    }

    // ---- operands ----

    fn location(&self, reg: VReg) -> Location {
        self.allocation.locations[reg.0 as usize]
    }

    fn slot(&self, number: u32) -> Place {
        Place::At { base: STACK, index: Register::None, scale: 1, displacement: i64::from(number) * SLOT }
    }

    /// A general register's value as an operand that may be memory.
    fn general(&self, reg: VReg) -> Result<Operand, Error> {
        match self.location(reg) {
            Location::Register(number) => Ok(Operand::Register(GENERAL[usize::from(number)])),
            Location::Slot(slot) => Ok(Operand::Memory(self.slot(slot))),
            Location::Constant | Location::Nowhere => Err(bug(format!("register {} has no value", reg.0))),
        }
    }

    /// A general register's value in a register: its own, or `scratch`.
    fn general_register(&mut self, reg: VReg, scratch: Register) -> Result<Register, Error> {
        match self.general(reg)? {
            Operand::Register(register) => Ok(register),
            place => {
                self.code(Code::Mov_r64_rm64, &[Operand::Register(scratch), place], None)?;
                Ok(scratch)
            }
        }
    }

    /// Moves what is in a register to where a general register lies.
    fn set_general(&mut self, dst: VReg, from: Register) -> Result<(), Error> {
        match self.location(dst) {
            Location::Nowhere => Ok(()),
            _ => match self.general(dst)? {
                Operand::Register(register) if register == from => Ok(()),
                place => self.code(Code::Mov_rm64_r64, &[place, Operand::Register(from)], None),
            },
        }
    }

    /// A register to compute a general register's value in.
    fn working(&self, dst: VReg) -> Register {
        match self.location(dst) {
            Location::Register(number) => GENERAL[usize::from(number)],
            _ => FIRST_SCRATCH,
        }
    }

    /// A place in memory. Base and index that lie in memory themselves pass through the scratch registers; the second is free again after.
    fn place(&mut self, memory: &Memory) -> Result<Place, Error> {
        let base = self.general_register(memory.base, FIRST_SCRATCH)?;
        let displacement = i64::from(memory.displacement);
        let Some(index) = memory.index else { return Ok(Place::At { base, index: Register::None, scale: 1, displacement }) };
        let index = if self.function.class(index) == Class::Vector {
            return Err(bug("lanes as an index"));
        } else {
            self.general_register(index, SECOND_SCRATCH)?
        };
        if index == SECOND_SCRATCH {
            // Leaves the second scratch register free.
            let sum = Place::At { base, index, scale: memory.scale, displacement };
            self.code(Code::Lea_r64_m, &[Operand::Register(FIRST_SCRATCH), Operand::Memory(sum)], None)?;
            return Ok(Place::At { base: FIRST_SCRATCH, index: Register::None, scale: 1, displacement: 0 });
        }
        Ok(Place::At { base, index, scale: memory.scale, displacement })
    }

    /// Number of the spare register of a class.
    fn spare(&self, class: Class, at: usize) -> Result<usize, Error> {
        if at >= SPARE {
            return Err(bug("too many operands in memory"));
        }
        match class {
            Class::Vector => Ok(self.isa.vectors() - SPARE + at),
            Class::Mask => Ok(MASKS - SPARE + at),
            Class::General => Err(bug("a spare general register")),
        }
    }

    fn load_spare(&mut self, reg: VReg, spare: usize) -> Result<(), Error> {
        let class = self.function.class(reg);
        let number = self.spare(class, spare)?;
        self.fetch(reg, class, number)
    }

    /// Brings the value of a vector or mask that lies in memory into a numbered register.
    fn fetch(&mut self, reg: VReg, class: Class, number: usize) -> Result<(), Error> {
        match (self.location(reg), class) {
            (Location::Slot(slot), Class::Mask) => {
                let place = self.slot(slot);
                self.code(Code::VEX_Kmovq_kr_km64, &[Operand::Register(Register::K1 + number as u32), Operand::Memory(place)], None)
            }
            (Location::Slot(slot), _) => {
                let place = self.slot(slot);
                let (code, register) = match self.isa {
                    Isa::Avx512 => (Code::EVEX_Vmovups_zmm_k1z_zmmm512, Register::ZMM0),
                    Isa::Avx2 => (Code::VEX_Vmovups_ymm_ymmm256, Register::YMM0),
                };
                self.code(code, &[Operand::Register(register + number as u32), Operand::Memory(place)], None)
            }
            (Location::Constant, _) => self.constant(reg, number),
            _ => Err(bug(format!("register {} is in no memory", reg.0))),
        }
    }

    /// Brings a constant into a vector register.
    fn constant(&mut self, reg: VReg, number: usize) -> Result<(), Error> {
        let pooled = *self.pooled.get(&reg).ok_or_else(|| bug("a constant that is not there"))?;
        let place = Operand::Memory(Place::Constant { number: pooled, broadcast: false });
        let (xmm, ymm, zmm) = (Register::XMM0 + number as u32, Register::YMM0 + number as u32, Register::ZMM0 + number as u32);
        let (code, register) = match self.pool[pooled] {
            Constant::Broadcast(bytes) if bytes.len() == 4 => (Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32, zmm),
            Constant::Broadcast(_) => (Code::EVEX_Vbroadcastsd_zmm_k1z_xmmm64, zmm),
            Constant::Whole(bytes) => match bytes.len() {
                16 => (Code::EVEX_Vmovups_xmm_k1z_xmmm128, xmm),
                32 if self.isa == Isa::Avx2 => (Code::VEX_Vmovups_ymm_ymmm256, ymm),
                32 => (Code::EVEX_Vmovups_ymm_k1z_ymmm256, ymm),
                _ => (Code::EVEX_Vmovups_zmm_k1z_zmmm512, zmm),
            },
        };
        self.code(code, &[Operand::Register(register), place], None)
    }

    fn keep_spare(&mut self, dst: VReg, number: usize) -> Result<(), Error> {
        let Location::Slot(slot) = self.location(dst) else { return Ok(()) };
        let place = Operand::Memory(self.slot(slot));
        match self.function.class(dst) {
            Class::Mask => self.code(Code::VEX_Kmovq_m64_kr, &[place, Operand::Register(Register::K1 + number as u32)], None),
            _ => {
                let (code, register) = match self.isa {
                    Isa::Avx512 => (Code::EVEX_Vmovups_zmmm512_k1z_zmm, Register::ZMM0),
                    Isa::Avx2 => (Code::VEX_Vmovups_ymmm256_ymm, Register::YMM0),
                };
                self.code(code, &[place, Operand::Register(register + number as u32)], None)
            }
        }
    }

    /// A source that is the operand number `at` of a code: in a register, or in memory if it can be there.
    fn source(&mut self, code: Code, at: u32, reg: VReg, spare: &mut usize) -> Result<Operand, Error> {
        let kind = code.op_code().op_kind(at);
        let class = self.function.class(reg);
        if class == Class::General {
            let register = match self.general(reg)? {
                Operand::Memory(place) if takes_memory(kind) => return Ok(Operand::Memory(place)),
                Operand::Memory(_) => self.general_register(reg, FIRST_SCRATCH)?,
                Operand::Register(register) => register,
            };
            let narrow = matches!(kind, OpCodeOperandKind::r32_or_mem | OpCodeOperandKind::r32_reg | OpCodeOperandKind::r32_rm | OpCodeOperandKind::r32_vvvv);
            return Ok(Operand::Register(if narrow { low_word(register) } else { register }));
        }
        match self.location(reg) {
            Location::Register(number) => Ok(Operand::Register(named(kind, class, usize::from(number)))),
            Location::Slot(slot) if takes_memory(kind) => Ok(Operand::Memory(self.slot(slot))),
            Location::Constant if takes_memory(kind) && self.broadcasts(code, reg).is_some() => {
                let broadcast = self.broadcasts(code, reg) == Some(true);
                Ok(Operand::Memory(Place::Constant { number: self.pooled[&reg], broadcast }))
            }
            Location::Slot(_) | Location::Constant => {
                self.load_spare(reg, *spare)?;
                let number = self.spare(class, *spare)?;
                *spare += 1;
                Ok(Operand::Register(named(kind, class, number)))
            }
            Location::Nowhere => Err(bug(format!("register {} has no value", reg.0))),
        }
    }

    /// Can a code read a constant from memory, and does it broadcast it?
    fn broadcasts(&self, code: Code, reg: VReg) -> Option<bool> {
        let info = code.op_code();
        match &self.function.constants[&reg] {
            Constant::Broadcast(bytes) => (info.can_broadcast() && info.broadcast_memory_size().element_size() == bytes.len()).then_some(true),
            Constant::Whole(bytes) => (info.memory_size().size() <= bytes.len()).then_some(false),
        }
    }

    /// The register to compute a vector's or mask's value in.
    fn target(&self, kind: OpCodeOperandKind, dst: VReg) -> Result<(Register, usize), Error> {
        let class = self.function.class(dst);
        let number = match self.location(dst) {
            Location::Register(number) => usize::from(number),
            Location::Slot(_) => self.spare(class, 0)?,
            Location::Nowhere if class == Class::General => 0,
            Location::Nowhere => self.spare(class, 0).unwrap_or(0),
            Location::Constant => return Err(bug("a constant is written")),
        };
        Ok((named(kind, class, number), number))
    }

    // ---- instructions ----

    fn function(&mut self) -> Result<(), Error> {
        let function = self.function;
        let used = |number: u8| self.allocation.locations.iter().enumerate().any(|(at, location)| function.classes[at] == Class::General && *location == Location::Register(number));
        let saved: Vec<Register> = (FIRST_SAVED..GENERAL.len() as u8).filter(|number| used(*number)).map(|number| GENERAL[usize::from(number)]).collect();
        for register in &saved {
            self.code(Code::Push_r64, &[Operand::Register(*register)], None)?;
        }
        let frame = i64::from(self.allocation.slots) * SLOT;
        let (stack, first) = (Operand::Register(STACK), Operand::Register(FIRST_SCRATCH));
        let kept = Operand::Memory(Place::At { base: STACK, index: Register::None, scale: 1, displacement: frame });
        if frame > 0 {
            // The old stack pointer lies behind the slots.
            self.code(Code::Mov_r64_rm64, &[first, stack], None)?;
            self.code(Code::Sub_rm64_imm32, &[stack], Some(frame + 8))?;
            self.code(Code::And_rm64_imm8, &[stack], Some(-SLOT))?;
            self.code(Code::Mov_rm64_r64, &[kept, first], None)?;
        }
        self.code(Code::Mov_r64_rm64, &[first, Operand::Register(Register::RDI)], None)?;
        for reg in function.constants.keys() {
            if let Location::Register(number) = self.location(*reg) {
                self.constant(*reg, usize::from(number))?;
            }
        }
        for instruction in &function.body {
            self.instruction(instruction)?;
        }
        if frame > 0 {
            self.code(Code::Mov_r64_rm64, &[stack, kept], None)?;
        }
        for register in saved.iter().rev() {
            self.code(Code::Pop_r64, &[Operand::Register(*register)], None)?;
        }
        if function.classes.contains(&Class::Vector) {
            self.code(Code::VEX_Vzeroupper, &[], None)?;
        }
        self.code(Code::Retnq, &[], None)
    }

    fn instruction(&mut self, instruction: &'a Instruction) -> Result<(), Error> {
        match instruction.op {
            Op::Simd(code) | Op::Commutes(code) | Op::Updates(code) => self.simd(code, instruction),
            Op::Fma(codes) => self.fma(codes, instruction),
            Op::Ones => {
                let (register, number) = self.target(OpCodeOperandKind::k_reg, dst(instruction)?)?;
                let register = Operand::Register(register);
                self.code(Code::VEX_Kxnorq_kr_kr_kr, &[register, register, register], None)?;
                self.keep_spare(dst(instruction)?, number)
            }
            Op::Loop => {
                self.nops(LOOP_ALIGNMENT);
                self.loops.push(self.position);
                Ok(())
            }
            Op::Repeat { end } => self.repeat(end, instruction),
            Op::SkipUnless(label) => {
                match self.general(instruction.sources[0])? {
                    Operand::Register(register) => self.code(Code::Test_rm64_r64, &[Operand::Register(register); 2], None)?,
                    place => self.code(Code::Cmp_rm64_imm8, &[place], Some(0))?,
                }
                self.jump(Code::Je_rel32_64, label)
            }
            Op::SkipUnlessBelow(label) => {
                self.compare(instruction)?;
                self.jump(Code::Jae_rel32_64, label)
            }
            Op::Label(label) => {
                self.labels.insert(label, self.position);
                Ok(())
            }
            Op::Copy => self.copy(instruction),
            _ => self.integer(instruction),
        }
    }

    fn simd(&mut self, code: Code, instruction: &Instruction) -> Result<(), Error> {
        let mut sources = instruction.sources.clone();
        if let (Op::Commutes(_), [a, b]) = (instruction.op, &mut sources[..])
            && !matches!(self.location(*a), Location::Register(_))
            && matches!(self.location(*b), Location::Register(_))
        {
            std::mem::swap(a, b);
        }
        let mut operands = Vec::with_capacity(5);
        let mut written = None;
        if let Some(dst) = instruction.dst {
            let kind = code.op_code().op_kind(0);
            if self.function.class(dst) == Class::General {
                let register = match self.location(dst) {
                    Location::Register(number) => named(kind, Class::General, usize::from(number)),
                    _ if matches!(kind, OpCodeOperandKind::r32_or_mem | OpCodeOperandKind::r32_reg) => low_word(FIRST_SCRATCH),
                    _ => FIRST_SCRATCH,
                };
                operands.push(Operand::Register(register));
            } else {
                let (register, number) = self.target(kind, dst)?;
                operands.push(Operand::Register(register));
                written = Some((dst, number));
            }
        }
        let mut spare = 0;
        if let (Op::Updates(_), Some((dst, _))) = (instruction.op, written)
            && !matches!(self.location(dst), Location::Register(_))
        {
            self.load_spare(dst, 0)?;
            spare = 1;
        }
        let store = instruction.dst.is_none();
        if store {
            let memory = instruction.memory.as_ref().ok_or_else(|| bug("an instruction that gives nothing"))?;
            let place = self.place(memory)?;
            operands.push(Operand::Memory(place));
        }
        for reg in sources {
            let operand = self.source(code, operands.len() as u32, reg, &mut spare)?;
            operands.push(operand);
        }
        if let (Some(memory), false) = (&instruction.memory, store) {
            let place = self.place(memory)?;
            operands.push(Operand::Memory(place));
        }
        let mask = match instruction.mask {
            None => None,
            Some(mask) => match self.location(mask) {
                Location::Register(number) => Some(Register::K1 + u32::from(number)),
                _ => {
                    self.load_spare(mask, 1)?;
                    Some(Register::K1 + self.spare(Class::Mask, 1)? as u32)
                }
            },
        };
        self.masked(code, &operands, instruction.immediate, mask, instruction.zeroing)?;
        match (written, instruction.dst) {
            (Some((dst, number)), _) => self.keep_spare(dst, number),
            (None, Some(dst)) if !matches!(self.location(dst), Location::Register(_)) => self.set_general(dst, FIRST_SCRATCH),
            _ => Ok(()),
        }
    }

    /// `dst = a * b + c`: whichever factor or addend may be overwritten decides on the form.
    fn fma(&mut self, [form132, form213, form231]: [Code; 3], instruction: &Instruction) -> Result<(), Error> {
        let [mut a, mut b, c] = instruction.sources[..] else { return Err(bug("a multiply-add of other than three operands")) };
        let dst = dst(instruction)?;
        let in_register = |location| matches!(location, Location::Register(_));
        let (is, at_a, at_b, at_c) = (self.location(dst), self.location(a), self.location(b), self.location(c));
        let (register, number) = self.target(form231.op_code().op_kind(0), dst)?;
        let target = Operand::Register(register);
        if in_register(is) && is == at_b && is != at_a {
            std::mem::swap(&mut a, &mut b);
        }
        let (at_a, at_b) = (self.location(a), self.location(b));
        let mut spare = usize::from(!in_register(is));
        if in_register(is) && is == at_c {
            // The addend is overwritten.
            if !in_register(at_a) && in_register(at_b) {
                std::mem::swap(&mut a, &mut b);
            }
            let first = self.source(form231, 1, a, &mut spare)?;
            let second = self.source(form231, 2, b, &mut spare)?;
            self.code(form231, &[target, first, second], None)?;
        } else if in_register(is) && is == at_a {
            // A factor is.
            if !in_register(at_b) && in_register(at_c) {
                let addend = self.source(form132, 1, c, &mut spare)?;
                let factor = self.source(form132, 2, b, &mut spare)?;
                self.code(form132, &[target, addend, factor], None)?;
            } else {
                let factor = self.source(form213, 1, b, &mut spare)?;
                let addend = self.source(form213, 2, c, &mut spare)?;
                self.code(form213, &[target, factor, addend], None)?;
            }
        } else {
            // The addend is brought to the target first, which is none of the factors.
            match self.location(c) {
                Location::Register(from) => self.move_vector(number, usize::from(from))?,
                _ => self.fetch(c, Class::Vector, number)?,
            }
            if !in_register(at_a) && in_register(at_b) {
                std::mem::swap(&mut a, &mut b);
            }
            let first = self.source(form231, 1, a, &mut spare)?;
            let second = self.source(form231, 2, b, &mut spare)?;
            self.code(form231, &[target, first, second], None)?;
        }
        self.keep_spare(dst, number)
    }

    fn move_vector(&mut self, to: usize, from: usize) -> Result<(), Error> {
        let (code, register) = match self.isa {
            Isa::Avx512 => (Code::EVEX_Vmovaps_zmm_k1z_zmmm512, Register::ZMM0),
            Isa::Avx2 => (Code::VEX_Vmovaps_ymm_ymmm256, Register::YMM0),
        };
        self.code(code, &[Operand::Register(register + to as u32), Operand::Register(register + from as u32)], None)
    }

    fn copy(&mut self, instruction: &Instruction) -> Result<(), Error> {
        let (to, from) = (dst(instruction)?, instruction.sources[0]);
        if self.location(to) == self.location(from) || self.location(to) == Location::Nowhere {
            return Ok(());
        }
        let class = self.function.class(to);
        if class == Class::General {
            return match self.general(from)? {
                Operand::Register(register) => self.set_general(to, register),
                place => {
                    let working = self.working(to);
                    self.code(Code::Mov_r64_rm64, &[Operand::Register(working), place], None)?;
                    self.set_general(to, working)
                }
            };
        }
        match (self.location(to), self.location(from)) {
            (Location::Register(number), Location::Register(other)) if class == Class::Vector => self.move_vector(usize::from(number), usize::from(other)),
            (Location::Register(number), Location::Register(other)) => {
                let (number, other) = (Register::K1 + u32::from(number), Register::K1 + u32::from(other));
                self.code(Code::VEX_Kmovq_kr_km64, &[Operand::Register(number), Operand::Register(other)], None)
            }
            (Location::Register(number), _) => self.fetch(from, class, usize::from(number)),
            (_, Location::Register(number)) => self.keep_spare(to, usize::from(number)),
            _ => {
                self.load_spare(from, 0)?;
                let number = self.spare(class, 0)?;
                self.keep_spare(to, number)
            }
        }
    }

    fn repeat(&mut self, end: Option<i64>, instruction: &Instruction) -> Result<(), Error> {
        let head = self.loops.pop().ok_or_else(|| bug("a loop ends that did not begin"))?;
        let step = instruction.immediate.ok_or_else(|| bug("a loop without a step"))?;
        let counter = self.general(instruction.sources[0])?;
        self.code(Code::Add_rm64_imm32, &[counter], Some(step))?;
        let again = match end {
            Some(end) if i32::try_from(end).is_ok() => {
                self.code(Code::Cmp_rm64_imm32, &[counter], Some(end))?;
                Code::Jl_rel32_64
            }
            Some(end) => {
                self.code(Code::Mov_r64_imm64, &[Operand::Register(FIRST_SCRATCH)], Some(end))?;
                self.code(Code::Cmp_rm64_r64, &[counter, Operand::Register(FIRST_SCRATCH)], None)?;
                Code::Jl_rel32_64
            }
            None => {
                let end = self.general_register(instruction.sources[1], FIRST_SCRATCH)?;
                self.code(Code::Cmp_rm64_r64, &[counter, Operand::Register(end)], None)?;
                Code::Jb_rel32_64
            }
        };
        self.put(Encoded::with_branch(again, head as u64).map_err(bug)?, None)
    }

    /// Compares the first operand with the second or the immediate.
    fn compare(&mut self, instruction: &Instruction) -> Result<(), Error> {
        let a = self.general_register(instruction.sources[0], FIRST_SCRATCH)?;
        match (instruction.immediate, instruction.sources.get(1)) {
            (Some(value), None) => self.code(Code::Cmp_rm64_imm32, &[Operand::Register(a)], Some(value)),
            (None, Some(b)) => {
                let b = self.general(*b)?;
                self.code(Code::Cmp_r64_rm64, &[Operand::Register(a), b], None)
            }
            _ => Err(bug("a comparison of other than two operands")),
        }
    }

    fn integer(&mut self, instruction: &Instruction) -> Result<(), Error> {
        let first = Operand::Register(FIRST_SCRATCH);
        match instruction.op {
            Op::Argument(number) => {
                let from = [FIRST_SCRATCH, Register::RSI, SECOND_SCRATCH][number as usize];
                self.set_general(dst(instruction)?, from)
            }
            Op::Immediate(value) => {
                let dst = dst(instruction)?;
                let working = self.working(dst);
                if value == 0 {
                    let low = Operand::Register(low_word(working));
                    self.code(Code::Xor_r32_rm32, &[low, low], None)?;
                } else if let Ok(value) = u32::try_from(value) {
                    self.code(Code::Mov_r32_imm32, &[Operand::Register(low_word(working))], Some(i64::from(value)))?;
                } else if i32::try_from(value).is_ok() {
                    self.code(Code::Mov_rm64_imm32, &[Operand::Register(working)], Some(value))?;
                } else {
                    self.code(Code::Mov_r64_imm64, &[Operand::Register(working)], Some(value))?;
                }
                self.set_general(dst, working)
            }
            Op::Alu(alu) => self.alu(alu, instruction),
            Op::Load { bytes, signed } => {
                let memory = instruction.memory.as_ref().ok_or_else(|| bug("a load from nowhere"))?;
                let place = Operand::Memory(self.place(memory)?);
                let dst = dst(instruction)?;
                let working = self.working(dst);
                self.extend(bytes, signed, working, place)?;
                self.set_general(dst, working)
            }
            Op::Store { bytes } => {
                let memory = instruction.memory.as_ref().ok_or_else(|| bug("a store to nowhere"))?;
                let place = Operand::Memory(self.place(memory)?);
                let register = self.general_register(instruction.sources[0], SECOND_SCRATCH)?;
                let (code, register) = match bytes {
                    1 => (Code::Mov_rm8_r8, low_byte(register)),
                    2 => (Code::Mov_rm16_r16, low_half(register)),
                    4 => (Code::Mov_rm32_r32, low_word(register)),
                    _ => (Code::Mov_rm64_r64, register),
                };
                self.code(code, &[place, Operand::Register(register)], None)
            }
            Op::Extend { bytes, signed } => {
                let from = self.general_register(instruction.sources[0], FIRST_SCRATCH)?;
                let from = Operand::Register(match bytes {
                    1 => low_byte(from),
                    2 => low_half(from),
                    4 => low_word(from),
                    _ => from,
                });
                let dst = dst(instruction)?;
                let working = self.working(dst);
                self.extend(bytes, signed, working, from)?;
                self.set_general(dst, working)
            }
            Op::Compare(condition) => {
                self.compare(instruction)?;
                self.code(condition_codes(condition).0, &[Operand::Register(Register::AL)], None)?;
                let dst = dst(instruction)?;
                let working = self.working(dst);
                self.code(Code::Movzx_r32_rm8, &[Operand::Register(low_word(working)), Operand::Register(Register::AL)], None)?;
                self.set_general(dst, working)
            }
            Op::Choose(condition) => {
                let [a, b] = instruction.sources[..] else { return Err(bug("a choice of other than two operands")) };
                let (a, b) = (self.general(a)?, self.general(b)?);
                self.code(Code::Mov_r64_rm64, &[first, b], None)?;
                let a = match a {
                    Operand::Register(register) => Operand::Register(register),
                    place => {
                        self.code(Code::Mov_r64_rm64, &[Operand::Register(SECOND_SCRATCH), place], None)?;
                        Operand::Register(SECOND_SCRATCH)
                    }
                };
                self.code(Code::Cmp_r64_rm64, &[a, first], None)?;
                self.code(condition_codes(condition).1, &[first, a], None)?;
                self.set_general(dst(instruction)?, FIRST_SCRATCH)
            }
            Op::Select => {
                let [cond, a, b] = instruction.sources[..] else { return Err(bug("a selection of other than three operands")) };
                let cond = self.general_register(cond, SECOND_SCRATCH)?;
                let (a, b) = (self.general(a)?, self.general(b)?);
                self.code(Code::Mov_r64_rm64, &[first, b], None)?;
                self.code(Code::Test_rm64_r64, &[Operand::Register(cond); 2], None)?;
                self.code(Code::Cmovne_r64_rm64, &[first, a], None)?;
                self.set_general(dst(instruction)?, FIRST_SCRATCH)
            }
            Op::Divide(division) => {
                let [a, b] = instruction.sources[..] else { return Err(bug("a division of other than two operands")) };
                let (a, b) = (self.general(a)?, self.general(b)?);
                let second = Operand::Register(SECOND_SCRATCH);
                self.code(Code::Mov_r64_rm64, &[first, a], None)?;
                self.code(Code::Cqo, &[], None)?;
                self.code(Code::Idiv_rm64, &[b], None)?;
                let result = match division {
                    Division::Quotient => FIRST_SCRATCH,
                    Division::Remainder => SECOND_SCRATCH,
                    Division::Floor => {
                        self.code(Code::Sar_rm64_imm8, &[second], Some(63))?;
                        self.code(Code::Add_r64_rm64, &[first, second], None)?;
                        FIRST_SCRATCH
                    }
                    Division::Modulo => {
                        self.code(Code::Mov_r64_rm64, &[first, second], None)?;
                        self.code(Code::Sar_rm64_imm8, &[first], Some(63))?;
                        self.code(Code::And_r64_rm64, &[first, b], None)?;
                        self.code(Code::Add_r64_rm64, &[first, second], None)?;
                        FIRST_SCRATCH
                    }
                };
                self.set_general(dst(instruction)?, result)
            }
            _ => Err(bug("an instruction in the wrong place")),
        }
    }

    fn extend(&mut self, bytes: u8, signed: bool, to: Register, from: Operand) -> Result<(), Error> {
        let (code, to) = match (bytes, signed) {
            (1, true) => (Code::Movsx_r64_rm8, to),
            (1, false) => (Code::Movzx_r32_rm8, low_word(to)),
            (2, true) => (Code::Movsx_r64_rm16, to),
            (2, false) => (Code::Movzx_r32_rm16, low_word(to)),
            (4, true) => (Code::Movsxd_r64_rm32, to),
            (4, false) => (Code::Mov_r32_rm32, low_word(to)),
            _ => (Code::Mov_r64_rm64, to),
        };
        self.code(code, &[Operand::Register(to), from], None)
    }

    fn alu(&mut self, alu: Alu, instruction: &Instruction) -> Result<(), Error> {
        let dst = dst(instruction)?;
        let a = instruction.sources[0];
        if let Some(value) = instruction.immediate {
            let working = self.working(dst);
            let (to, from) = (Operand::Register(working), self.general(a)?);
            if alu == Alu::Mul {
                self.code(Code::Imul_r64_rm64_imm32, &[to, from], Some(value))?;
                return self.set_general(dst, working);
            }
            if let (Alu::Add, Operand::Register(base)) = (alu, from)
                && base != working
            {
                let sum = Place::At { base, index: Register::None, scale: 1, displacement: value };
                self.code(Code::Lea_r64_m, &[to, Operand::Memory(sum)], None)?;
                return self.set_general(dst, working);
            }
            if !matches!(from, Operand::Register(register) if register == working) {
                self.code(Code::Mov_r64_rm64, &[to, from], None)?;
            }
            let code = match alu {
                Alu::Add => Code::Add_rm64_imm32,
                Alu::Sub => Code::Sub_rm64_imm32,
                Alu::And => Code::And_rm64_imm32,
                Alu::Or => Code::Or_rm64_imm32,
                Alu::Xor => Code::Xor_rm64_imm32,
                Alu::Shl => Code::Shl_rm64_imm8,
                Alu::Shr => Code::Shr_rm64_imm8,
                Alu::Sar => Code::Sar_rm64_imm8,
                Alu::Mul => return Err(bug("a product in the wrong place")),
            };
            self.code(code, &[to], Some(value))?;
            return self.set_general(dst, working);
        }
        let Some(b) = instruction.sources.get(1) else { return Err(bug("an operation of one operand")) };
        let (x, y) = (self.general(a)?, self.general(*b)?);
        if let (Alu::Add, Operand::Register(base), Operand::Register(index)) = (alu, x, y) {
            let working = self.working(dst);
            let sum = Place::At { base, index, scale: 1, displacement: 0 };
            self.code(Code::Lea_r64_m, &[Operand::Register(working), Operand::Memory(sum)], None)?;
            return self.set_general(dst, working);
        }
        // In a scratch register where the second operand would be overwritten.
        let own = self.working(dst);
        let working = if matches!(y, Operand::Register(register) if register == own) { FIRST_SCRATCH } else { own };
        let to = Operand::Register(working);
        if !matches!(x, Operand::Register(register) if register == working) {
            self.code(Code::Mov_r64_rm64, &[to, x], None)?;
        }
        let code = match alu {
            Alu::Add => Code::Add_r64_rm64,
            Alu::Sub => Code::Sub_r64_rm64,
            Alu::Mul => Code::Imul_r64_rm64,
            Alu::And => Code::And_r64_rm64,
            Alu::Or => Code::Or_r64_rm64,
            Alu::Xor => Code::Xor_r64_rm64,
            Alu::Shl | Alu::Shr | Alu::Sar => return Err(bug("a shift by a register")),
        };
        self.code(code, &[to, y], None)?;
        self.set_general(dst, working)
    }
}

fn dst(instruction: &Instruction) -> Result<VReg, Error> {
    instruction.dst.ok_or_else(|| bug("an instruction without a destination"))
}

/// The low 8 bits of a general register.
fn low_byte(register: Register) -> Register {
    match register {
        Register::RAX => Register::AL,
        Register::RCX => Register::CL,
        Register::RDX => Register::DL,
        Register::RBX => Register::BL,
        Register::RBP => Register::BPL,
        Register::RSI => Register::SIL,
        Register::RDI => Register::DIL,
        _ => Register::R8L + (register as u32 - Register::R8 as u32),
    }
}

/// The low 16 bits of a general register.
fn low_half(register: Register) -> Register {
    Register::AX + (register as u32 - Register::RAX as u32)
}

/// The low 32 bits of a general register.
fn low_word(register: Register) -> Register {
    Register::EAX + (register as u32 - Register::RAX as u32)
}
