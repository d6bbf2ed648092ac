//! The Cranelift emitter: machine code for every target that Cranelift knows.
//!
//! In: a [`Program`] whose vectors are 128 bits wide (wider ones are split) and a [`Target`]. Out: position-independent
//! leaf code without relocations, following the calling convention of [`frit_ir::vector`]; it must be placed at a
//! multiple of [`ALIGNMENT`] bytes. Must not know: loop nests, tensors, how code is loaded and run.
//!
//! How a register is held follows from its type alone, see [`Shape`]. 8- and 16-bit integers live extended in 32 bits and
//! are wrapped after every operation that can leave their range; f16 and bf16 live in f32 and are rounded after every
//! operation; bools are bytes of 0 or 1, or masks of 32-bit lanes.

use std::collections::BTreeSet;

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F32X4, F64, F64X2, I8, I8X16, I16X8, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{
    AbiParam, Block, BlockArg, ConstantData, Endianness, Function, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind, Type, UserFuncName, Value,
};
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use frit_ir::dtype::{Class, DType};
use frit_ir::error::Error;
use frit_ir::expr::Exprs;
use frit_ir::scalar::{Binary, Scalar, Unary};
use frit_ir::vector::{Address, Inst, Program, Reg, RegType, Target};
use target_lexicon::{Architecture, Triple};

/// Bytes that the emitted code must be aligned to.
pub const ALIGNMENT: usize = 64;

/// Features that Cranelift does not know of, and so makes no use of.
const UNKNOWN_FEATURES: [&str; 4] = ["has_avx512bf16", "has_avx512bw", "has_avx512vnni", "has_f16c"];

/// A loop that changes at least so many vectors in registers holds a tile of accumulators.
const TILE: u32 = 6;

/// The registers that a loop's body changes, if it is an innermost one that holds a tile of accumulators.
fn tile(program: &Program, body: &[Inst]) -> Result<BTreeSet<u32>, Error> {
    let mut written = BTreeSet::new();
    for inst in body {
        match inst {
            Inst::Loop { .. } => return Ok(BTreeSet::new()),
            Inst::Move { dst, .. } => {
                written.insert(dst.0);
            }
            _ => {}
        }
    }
    let mut parts = 0;
    for ty in written.iter().filter_map(|reg| program.regs.get(*reg as usize)) {
        let shape = shape(*ty)?;
        parts += if shape.lanes > 1 { shape.parts } else { 0 };
    }
    Ok(if parts >= TILE { written } else { BTreeSet::new() })
}

/// Does a loop hold a tile? Cranelift's optimiser moves arithmetic as late as it can, away from its loads, so that a tile no
/// longer fits the registers; the order that the vectoriser chose is then kept.
fn holds_tile(program: &Program, body: &[Inst]) -> Result<bool, Error> {
    for inst in body {
        if let Inst::Loop { body, .. } = inst
            && (!tile(program, body)?.is_empty() || holds_tile(program, body)?)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Cranelift's view of a target.
fn isa(target: &Target, keep_order: bool) -> Result<OwnedTargetIsa, Error> {
    let triple: Triple = target
        .triple
        .parse()
        .map_err(|_| Error::invalid(format!("`{}` is not a target triple", target.triple)).help("as in `x86_64-unknown-linux-gnu`"))?;
    let mut flags = settings::builder();
    let shared = [("opt_level", if keep_order { "none" } else { "speed" }), ("enable_probestack", "false"), ("is_pic", "true"), ("unwind_info", "false")];
    for (name, value) in shared {
        flags.set(name, value).map_err(|e| Error::bug(format!("code generator setting {name}: {e}")))?;
    }
    let verify = if cfg!(debug_assertions) { "true" } else { "false" };
    flags.set("enable_verifier", verify).map_err(|e| Error::bug(format!("code generator setting enable_verifier: {e}")))?;
    if matches!(triple.architecture, Architecture::X86_64) && !target.features.iter().any(|name| name == "has_sse41") {
        return Err(Error::unsupported(format!("no code can be made for target `{}` without SSE4.1", target.triple)));
    }
    let mut builder =
        isa::lookup(triple).map_err(|e| Error::unsupported(format!("no code can be made for target `{}`: {e}", target.triple)))?;
    for name in target.features.iter().filter(|name| !UNKNOWN_FEATURES.contains(&name.as_str())) {
        builder.enable(name).map_err(|_| Error::invalid(format!("target `{}` has no feature `{name}`", target.triple)))?;
    }
    builder
        .finish(settings::Flags::new(flags))
        .map_err(|e| Error::unsupported(format!("no code can be made for target `{}`: {e}", target.triple)))
}

/// Are an arena's dtypes among those that have a machine form?
///
/// # Errors
/// Unsupported, naming the dtype.
pub fn supported(exprs: &Exprs) -> Result<(), Error> {
    for (_, dtype) in exprs.nodes() {
        carrier(*dtype)?;
    }
    Ok(())
}

/// Machine code of a program, to be placed at a multiple of [`ALIGNMENT`].
///
/// # Errors
/// Unsupported for dtypes narrower than a byte and 8-bit floats, and operations that have no machine form (the
/// transcendental ones, which are expanded before); a bug where the program is malformed.
pub fn emit(program: &Program, target: &Target) -> Result<Vec<u8>, Error> {
    let isa = isa(target, holds_tile(program, &program.body)?)?;
    let mut context = Context::for_function(build(program, target, isa.as_ref())?);
    let compiled = context
        .compile(isa.as_ref(), &mut ControlPlane::default())
        .map_err(|e| Error::bug(format!("kernel {}: the code generator failed: {:?}", program.name, e.inner)))?;
    if let Some(relocation) = compiled.buffer.relocs().first() {
        return Err(Error::bug(format!("kernel {}: its code needs the relocation {:?}", program.name, relocation.target)));
    }
    Ok(compiled.code_buffer().to_vec())
}

fn build(program: &Program, target: &Target, isa: &dyn TargetIsa) -> Result<Function, Error> {
    let pointer = isa.pointer_type();
    if pointer != I64 {
        return Err(Error::unsupported(format!("target `{}` does not have 64-bit pointers", target.triple)));
    }
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.extend([AbiParam::new(pointer), AbiParam::new(I64), AbiParam::new(I64)]);
    let mut function = Function::with_name_signature(UserFuncName::user(0, 0), signature);
    let mut context = FunctionBuilderContext::new();
    let mut emitter = Emitter {
        b: FunctionBuilder::new(&mut function, &mut context),
        program,
        fma: target.fma,
        values: vec![None; program.regs.len()],
        variables: vec![None; program.regs.len()],
        constants: vec![None; program.regs.len()],
        made: vec![None; program.regs.len()],
        bases: Vec::new(),
    };
    emitter.function()?;
    emitter.b.seal_all_blocks();
    emitter.b.finalize(isa.frontend_config());
    Ok(function)
}

/// How a register is held.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// Type of each part.
    part: Type,
    /// Lanes per part; 1 for scalars.
    lanes: u32,
    /// Number of parts.
    parts: u32,
}

/// The type that one lane of a dtype is computed in.
fn carrier(dtype: DType) -> Result<Type, Error> {
    Ok(match dtype {
        DType::F32 | DType::F16 | DType::BF16 => F32,
        DType::F64 => F64,
        DType::I8 | DType::I16 | DType::I32 | DType::U8 | DType::U16 | DType::U32 => I32,
        DType::I64 | DType::U64 => I64,
        DType::Bool => I8,
        _ => return Err(Error::unsupported(format!("no machine code is made for dtype {dtype}"))),
    })
}

fn shape(ty: RegType) -> Result<Shape, Error> {
    let lane = carrier(ty.dtype)?;
    let (part, lanes) = match lane {
        F32 => (F32X4, 4),
        F64 => (F64X2, 2),
        I64 => (I64X2, 2),
        _ => (I32X4, 4),
    };
    Ok(if ty.lanes > 1 && ty.lanes.is_multiple_of(lanes) {
        Shape { part, lanes, parts: ty.lanes / lanes }
    } else {
        Shape { part: lane, lanes: 1, parts: ty.lanes }
    })
}

fn is_signed(dtype: DType) -> bool {
    dtype.class() == Class::Signed
}

fn is_narrow_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// The bytes of two vectors, the second of which begins one element before the end of the first, that hold every other element.
fn every_other(shape: Shape) -> Option<Vec<u8>> {
    let size = 16 / shape.lanes as u8;
    let element = |n: u8| n * size..(n + 1) * size;
    let half = shape.lanes as u8 / 2;
    (shape.lanes > 1).then(|| (0..half).map(|n| 2 * n).chain((0..half).map(|n| shape.lanes as u8 + 2 * n + 1)).flat_map(element).collect())
}

/// Memory that is mapped but may be unaligned.
fn memory() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

/// The integer type with the lanes of `ty`.
fn int_of(ty: Type) -> Type {
    match ty {
        F32 => I32,
        F64 => I64,
        F32X4 => I32X4,
        F64X2 => I64X2,
        _ => ty,
    }
}

const F32_SIGN: i64 = 1 << 31;
const F64_INFINITY: i64 = 0x7ff << 52;

struct Emitter<'a> {
    b: FunctionBuilder<'a>,
    program: &'a Program,
    fma: bool,
    /// What is in each register that is written once.
    values: Vec<Option<Vec<Value>>>,
    /// Where each mutable register is.
    variables: Vec<Option<Vec<Variable>>>,
    /// Registers that hold the same constant in every lane.
    constants: Vec<Option<Scalar>>,
    /// Constants that are made, and in which block.
    made: Vec<Option<(Option<Block>, Vec<Value>)>>,
    /// Buffers' addresses.
    bases: Vec<Value>,
}

impl Emitter<'_> {
    // ---- the function around the body ----

    fn function(&mut self) -> Result<(), Error> {
        let entry = self.b.create_block();
        self.b.append_block_params_for_function_params(entry);
        self.b.switch_to_block(entry);
        let params = self.b.block_params(entry).to_vec();
        let (buffers, begin, end) = (params[0], params[1], params[2]);
        for at in 0..=self.program.params.len() {
            let address = self.b.ins().load(I64, memory().with_readonly().with_can_move(), buffers, (at * 8) as i32);
            self.bases.push(address);
        }
        for reg in &self.program.mutable {
            let shape = shape(self.reg_type(*reg)?)?;
            let variables = (0..shape.parts).map(|_| self.b.declare_var(shape.part)).collect();
            self.variables[reg.0 as usize] = Some(variables);
        }
        if self.program.grid.len() != self.program.grid_regs.len() {
            return Err(self.bug("grid and grid registers differ in number"));
        }

        let point = self.b.declare_var(I64);
        self.b.def_var(point, begin);
        let axes = self.grid_start(begin);
        let (head, done) = (self.b.create_block(), self.b.create_block());
        let any = self.b.ins().icmp(IntCC::UnsignedLessThan, begin, end);
        self.b.ins().brif(any, head, &[], done, &[]);

        self.b.switch_to_block(head);
        for (axis, reg) in self.program.grid_regs.clone().into_iter().enumerate() {
            let index = match axes[axis] {
                Some(variable) => self.b.use_var(variable),
                None => self.int(I64, 0),
            };
            self.set(reg, vec![index])?;
        }
        let program = self.program;
        self.block(&program.body)?;
        let now = self.b.use_var(point);
        let next = self.b.ins().iadd_imm_s(now, 1);
        self.b.def_var(point, next);
        self.grid_step(&axes);
        let more = self.b.ins().icmp(IntCC::UnsignedLessThan, next, end);
        self.b.ins().brif(more, head, &[], done, &[]);

        self.b.switch_to_block(done);
        self.b.ins().return_(&[]);
        Ok(())
    }

    /// Index along each axis at the first point; `None` for axes that are always at 0.
    fn grid_start(&mut self, begin: Value) -> Vec<Option<Variable>> {
        let grid = &self.program.grid;
        let moving = grid.iter().filter(|extent| **extent != 1).count();
        let mut left = begin;
        let mut axes = vec![None; grid.len()];
        let mut seen = 0;
        for (axis, extent) in grid.iter().enumerate().rev() {
            if *extent == 1 {
                continue;
            }
            seen += 1;
            let variable = self.b.declare_var(I64);
            axes[axis] = Some(variable);
            if seen == moving {
                self.b.def_var(variable, left);
            } else {
                let extent = self.int(I64, (*extent).max(1));
                let index = self.b.ins().urem(left, extent);
                left = self.b.ins().udiv(left, extent);
                self.b.def_var(variable, index);
            }
        }
        axes
    }

    /// Moves to the next point.
    fn grid_step(&mut self, axes: &[Option<Variable>]) {
        let mut carry = None;
        let first = axes.iter().position(Option::is_some);
        for (axis, variable) in axes.iter().enumerate().rev() {
            let Some(variable) = *variable else { continue };
            let index = self.b.use_var(variable);
            let step = match carry {
                Some(carry) => self.b.ins().uextend(I64, carry),
                None => self.int(I64, 1),
            };
            let next = self.b.ins().iadd(index, step);
            if Some(axis) == first {
                self.b.def_var(variable, next);
                continue;
            }
            let extent = self.int(I64, self.program.grid[axis]);
            let zero = self.int(I64, 0);
            let over = self.b.ins().icmp(IntCC::Equal, next, extent);
            let next = self.b.ins().select(over, zero, next);
            self.b.def_var(variable, next);
            carry = Some(over);
        }
    }

    // ---- registers ----

    fn bug(&self, what: &str) -> Error {
        Error::bug(format!("kernel {}: {what}", self.program.name))
    }

    fn unsupported(&self, op: &str, dtype: DType) -> Error {
        Error::unsupported(format!("kernel {}: no machine code is made for {op} on {dtype}", self.program.name))
    }

    fn reg_type(&self, reg: Reg) -> Result<RegType, Error> {
        self.program.regs.get(reg.0 as usize).copied().ok_or_else(|| self.bug("a register without a type"))
    }

    /// What a register holds, in the form of its [`Shape`].
    fn get(&mut self, reg: Reg) -> Result<Vec<Value>, Error> {
        if let Some(Some(variables)) = self.variables.get(reg.0 as usize) {
            return Ok(variables.clone().into_iter().map(|variable| self.b.use_var(variable)).collect());
        }
        // A constant is made anew in every block that uses it: kept in a register from the top of the kernel on, it would
        // push accumulators out of the inner loops.
        if let Some(Some(constant)) = self.constants.get(reg.0 as usize) {
            let block = self.b.current_block();
            if let Some((made, parts)) = &self.made[reg.0 as usize]
                && *made == block
            {
                return Ok(parts.clone());
            }
            let parts = self.constant(*constant, self.reg_type(reg)?)?;
            self.made[reg.0 as usize] = Some((block, parts.clone()));
            return Ok(parts);
        }
        match self.values.get(reg.0 as usize) {
            Some(Some(parts)) => Ok(parts.clone()),
            _ => Err(self.bug(&format!("register {} is read before it is written", reg.0))),
        }
    }

    fn set(&mut self, reg: Reg, parts: Vec<Value>) -> Result<(), Error> {
        let shape = shape(self.reg_type(reg)?)?;
        if parts.len() != shape.parts as usize || parts.iter().any(|part| self.b.func.dfg.value_type(*part) != shape.part) {
            return Err(self.bug(&format!("register {} is written with a value of another type", reg.0)));
        }
        if let Some(variables) = self.variables[reg.0 as usize].clone() {
            for (variable, part) in variables.into_iter().zip(parts) {
                self.b.def_var(variable, part);
            }
        } else {
            self.values[reg.0 as usize] = Some(parts);
        }
        Ok(())
    }

    fn scalar(&mut self, reg: Reg) -> Result<Value, Error> {
        match self.get(reg)?.as_slice() {
            [value] if self.reg_type(reg)?.lanes == 1 => Ok(*value),
            _ => Err(self.bug(&format!("register {} is not a scalar", reg.0))),
        }
    }

    /// The lanes of a register.
    fn lanes(&mut self, reg: Reg) -> Result<Vec<Value>, Error> {
        let ty = self.reg_type(reg)?;
        let parts = self.get(reg)?;
        self.split(&parts, ty)
    }

    /// Takes parts of a shape to pieces.
    fn split(&mut self, parts: &[Value], ty: RegType) -> Result<Vec<Value>, Error> {
        let shape = shape(ty)?;
        if shape.lanes == 1 {
            return Ok(parts.to_vec());
        }
        let mut lanes = Vec::with_capacity(ty.lanes as usize);
        for part in parts {
            for lane in 0..shape.lanes {
                let value = self.b.ins().extractlane(*part, lane as u8);
                lanes.push(if ty.dtype == DType::Bool { self.mask_to_bool(value) } else { value });
            }
        }
        Ok(lanes)
    }

    /// Puts lanes into the form of a shape.
    fn join(&mut self, lanes: &[Value], ty: RegType) -> Result<Vec<Value>, Error> {
        let shape = shape(ty)?;
        if shape.lanes == 1 {
            return Ok(lanes.to_vec());
        }
        let mut parts = Vec::with_capacity(shape.parts as usize);
        for group in lanes.chunks(shape.lanes as usize) {
            let mut vector = None;
            for (lane, value) in group.iter().enumerate() {
                let value = if ty.dtype == DType::Bool { self.bool_to_mask(*value) } else { *value };
                vector = Some(match vector {
                    None => self.b.ins().scalar_to_vector(shape.part, value),
                    Some(vector) => self.b.ins().insertlane(vector, value, lane as u8),
                });
            }
            parts.extend(vector);
        }
        Ok(parts)
    }

    fn splat(&mut self, value: Value, ty: RegType) -> Result<Vec<Value>, Error> {
        let shape = shape(ty)?;
        let part = if shape.lanes == 1 {
            value
        } else {
            let value = if ty.dtype == DType::Bool { self.bool_to_mask(value) } else { value };
            self.b.ins().splat(shape.part, value)
        };
        Ok(vec![part; shape.parts as usize])
    }

    // ---- constants ----

    /// An integer in every lane of a type.
    fn int(&mut self, ty: Type, value: i64) -> Value {
        let bytes = ty.lane_type().bytes() as usize;
        if ty.is_vector() {
            let data: Vec<u8> = value.to_le_bytes()[..bytes].repeat(ty.lane_count() as usize);
            let constant = self.b.func.dfg.constants.insert(ConstantData::from(data.as_slice()));
            return self.b.ins().vconst(ty, constant);
        }
        let mask = if bytes == 8 { -1 } else { (1i64 << (bytes * 8)) - 1 };
        self.b.ins().iconst(ty, value & mask)
    }

    /// A float in every lane of a type.
    fn float(&mut self, ty: Type, value: f64) -> Value {
        let double = ty.lane_type() == F64;
        if ty.is_vector() {
            let bits = if double { value.to_bits() } else { u64::from((value as f32).to_bits()) };
            let data: Vec<u8> = bits.to_le_bytes()[..if double { 8 } else { 4 }].repeat(ty.lane_count() as usize);
            let constant = self.b.func.dfg.constants.insert(ConstantData::from(data.as_slice()));
            return self.b.ins().vconst(ty, constant);
        }
        if double { self.b.ins().f64const(value) } else { self.b.ins().f32const(value as f32) }
    }

    fn constant(&mut self, value: Scalar, ty: RegType) -> Result<Vec<Value>, Error> {
        let shape = shape(ty)?;
        let part = if ty.dtype.is_float() {
            self.float(shape.part, value.as_f64())
        } else if ty.dtype == DType::Bool {
            let held = value.as_bool();
            self.int(shape.part, if shape.lanes == 1 { i64::from(held) } else { -i64::from(held) })
        } else {
            self.int(shape.part, value.as_int() as i64)
        };
        Ok(vec![part; shape.parts as usize])
    }

    // ---- bits and masks ----

    fn bits_as(&mut self, ty: Type, value: Value) -> Value {
        if self.b.func.dfg.value_type(value) == ty {
            return value;
        }
        let flags = if ty.is_vector() { MemFlagsData::new().with_endianness(Endianness::Little) } else { MemFlagsData::new() };
        self.b.ins().bitcast(ty, flags, value)
    }

    fn mask_to_bool(&mut self, lane: Value) -> Value {
        let byte = self.b.ins().ireduce(I8, lane);
        self.b.ins().band_imm_s(byte, 1)
    }

    fn bool_to_mask(&mut self, lane: Value) -> Value {
        let wide = self.b.ins().uextend(I32, lane);
        self.b.ins().ineg(wide)
    }

    /// `cond ? a : b`, where `cond` is what comparing values of this type gives: a byte, or a mask of the same width.
    fn choose(&mut self, cond: Value, a: Value, b: Value) -> Value {
        let ty = self.b.func.dfg.value_type(a);
        if ty.is_vector() {
            let cond = self.bits_as(ty, cond);
            self.b.ins().bitselect(cond, a, b)
        } else {
            self.b.ins().select(cond, a, b)
        }
    }

    /// Bytes of two vectors: the low or the high halves of both.
    fn halves(&mut self, a: Value, b: Value, high: bool) -> Value {
        let ty = self.b.func.dfg.value_type(a);
        let at = if high { 8u8 } else { 0 };
        let mask: Vec<u8> = (at..at + 8).chain(at + 16..at + 24).collect();
        self.shuffle(ty, a, b, &mask)
    }

    fn shuffle(&mut self, ty: Type, a: Value, b: Value, bytes: &[u8]) -> Value {
        let (a, b) = (self.bits_as(I8X16, a), self.bits_as(I8X16, b));
        let mask = self.b.func.dfg.immediates.push(ConstantData::from(bytes));
        let mixed = self.b.ins().shuffle(a, b, mask);
        self.bits_as(ty, mixed)
    }

    /// The low 32 bits of each of the four 64-bit lanes of two vectors.
    fn narrow64(&mut self, a: Value, b: Value) -> Value {
        self.shuffle(I32X4, a, b, &[0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27])
    }

    /// Four 32-bit lanes as two vectors of 64-bit lanes.
    fn widen32(&mut self, value: Value, signed: bool) -> [Value; 2] {
        if signed {
            [self.b.ins().swiden_low(value), self.b.ins().swiden_high(value)]
        } else {
            [self.b.ins().uwiden_low(value), self.b.ins().uwiden_high(value)]
        }
    }

    // ---- narrow dtypes in wider carriers ----

    /// Brings an integer back into the range of its dtype.
    fn wrap(&mut self, value: Value, dtype: DType) -> Value {
        let ty = self.b.func.dfg.value_type(value);
        match dtype {
            DType::I8 | DType::I16 => {
                let by = if dtype == DType::I8 { 24 } else { 16 };
                let by = self.int(I32, by);
                let up = self.b.ins().ishl(value, by);
                self.b.ins().sshr(up, by)
            }
            DType::U8 | DType::U16 => {
                let mask = self.int(ty, if dtype == DType::U8 { 0xff } else { 0xffff });
                self.b.ins().band(value, mask)
            }
            _ => value,
        }
    }

    /// Rounds an f32 to a narrower float type; nothing for the others.
    fn round(&mut self, value: Value, dtype: DType) -> Value {
        if is_narrow_float(dtype) {
            let bits = self.narrow_bits(value, dtype);
            self.widen_bits(bits, dtype)
        } else {
            value
        }
    }

    /// The 16 bits of an f16 or bf16, in 32-bit lanes, nearest to an f32, ties to even.
    fn narrow_bits(&mut self, value: Value, dtype: DType) -> Value {
        let float = self.b.func.dfg.value_type(value);
        let ty = int_of(float);
        let bits = self.bits_as(ty, value);
        let magnitude_mask = self.int(ty, F32_SIGN - 1);
        let magnitude = self.b.ins().band(bits, magnitude_mask);
        let sign = self.b.ins().bxor(bits, magnitude);
        let shift = if dtype == DType::F16 { 13 } else { 16 };
        let by = self.int(I32, shift);
        let infinity = self.int(ty, 0x7f80_0000);
        let is_nan = self.b.ins().icmp(IntCC::SignedGreaterThan, magnitude, infinity);
        let sixteen = self.int(I32, 16);
        let sign = self.b.ins().ushr(sign, sixteen);

        // Rounding: adding half a unit, less one where the kept part is even, carries into it.
        let kept = self.b.ins().ushr(magnitude, by);
        let one = self.int(ty, 1);
        let odd = self.b.ins().band(kept, one);
        let half = self.int(ty, (1 << (shift - 1)) - 1);
        let rounded = self.b.ins().iadd(magnitude, half);
        let rounded = self.b.ins().iadd(rounded, odd);
        let result = if dtype == DType::BF16 {
            let result = self.b.ins().ushr(rounded, by);
            let quiet = self.int(ty, 0x40);
            let nan = self.b.ins().bor(kept, quiet);
            self.choose(is_nan, nan, result)
        } else {
            let rebias = self.int(ty, (127 - 15) << 23);
            let normal = self.b.ins().isub(rounded, rebias);
            let normal = self.b.ins().ushr(normal, by);
            // Subnormals: 0.5 has units of 2^-24, the smallest f16, so that adding it rounds.
            let magic = self.float(float, 0.5);
            let magic_bits = self.int(ty, 0x3f00_0000);
            let small = self.bits_as(float, magnitude);
            let small = self.b.ins().fadd(small, magic);
            let small = self.bits_as(ty, small);
            let small = self.b.ins().isub(small, magic_bits);
            let first_normal = self.int(ty, 0x3880_0000);
            let is_small = self.b.ins().icmp(IntCC::SignedLessThan, magnitude, first_normal);
            let result = self.choose(is_small, small, normal);
            let first_infinite = self.int(ty, 0x477f_f000);
            let is_large = self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, magnitude, first_infinite);
            let f16_infinity = self.int(ty, 0x7c00);
            let result = self.choose(is_large, f16_infinity, result);
            let payload_mask = self.int(ty, 0x3ff);
            let payload = self.b.ins().band(kept, payload_mask);
            let quiet = self.int(ty, 0x7e00);
            let nan = self.b.ins().bor(payload, quiet);
            self.choose(is_nan, nan, result)
        };
        self.b.ins().bor(result, sign)
    }

    /// The f32 that the 16 bits of an f16 or bf16 (in 32-bit lanes) mean.
    fn widen_bits(&mut self, bits: Value, dtype: DType) -> Value {
        let ty = self.b.func.dfg.value_type(bits);
        let float = if ty == I32 { F32 } else { F32X4 };
        let sixteen = self.int(I32, 16);
        if dtype == DType::BF16 {
            let bits = self.b.ins().ishl(bits, sixteen);
            return self.bits_as(float, bits);
        }
        let magnitude_mask = self.int(ty, 0x7fff);
        let magnitude = self.b.ins().band(bits, magnitude_mask);
        let sign = self.b.ins().bxor(bits, magnitude);
        let sign = self.b.ins().ishl(sign, sixteen);
        let thirteen = self.int(I32, 13);
        let placed = self.b.ins().ishl(magnitude, thirteen);
        let rebias = self.int(ty, (127 - 15) << 23);
        let normal = self.b.ins().iadd(placed, rebias);
        let infinite = self.b.ins().iadd(normal, rebias);
        let f16_infinity = self.int(ty, 0x7c00);
        let is_infinite = self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, magnitude, f16_infinity);
        let result = self.choose(is_infinite, infinite, normal);
        // Subnormals: with the exponent of the smallest normal number in place, its value is too large by just that number.
        let one_up = self.int(ty, (127 - 14) << 23);
        let small = self.b.ins().iadd(placed, one_up);
        let small = self.bits_as(float, small);
        let excess = self.float(float, 2f64.powi(-14));
        let small = self.b.ins().fsub(small, excess);
        let small = self.bits_as(ty, small);
        let first_normal = self.int(ty, 0x0400);
        let is_small = self.b.ins().icmp(IntCC::SignedLessThan, magnitude, first_normal);
        let result = self.choose(is_small, small, result);
        let result = self.b.ins().bor(result, sign);
        self.bits_as(float, result)
    }

    /// An f64 as an f32 that rounds to any narrower float as the f64 would: where inexact, the odd one of the two neighbours.
    fn demote_to_odd(&mut self, value: Value) -> Value {
        let near = self.b.ins().fdemote(F32, value);
        let back = self.b.ins().fpromote(F64, near);
        let bits = self.bits_as(I32, near);
        let (size, back_size) = (self.b.ins().fabs(value), self.b.ins().fabs(back));
        let below = self.b.ins().fcmp(FloatCC::LessThan, back_size, size);
        let above = self.b.ins().fcmp(FloatCC::GreaterThan, back_size, size);
        let inexact = self.b.ins().bor(below, above);
        let odd = self.b.ins().ireduce(I8, bits);
        let odd = self.b.ins().band_imm_s(odd, 1);
        let even = self.b.ins().bxor_imm_s(odd, 1);
        let moves = self.b.ins().band(inexact, even);
        let (up, down) = (self.b.ins().iadd_imm_s(bits, 1), self.b.ins().iadd_imm_s(bits, -1));
        let moved = self.b.ins().select(below, up, down);
        let bits = self.b.ins().select(moves, moved, bits);
        self.bits_as(F32, bits)
    }

    // ---- instructions ----

    fn block(&mut self, insts: &[Inst]) -> Result<(), Error> {
        for inst in insts {
            self.inst(inst)?;
        }
        Ok(())
    }

    fn inst(&mut self, inst: &Inst) -> Result<(), Error> {
        match inst {
            Inst::Const { dst, value } => {
                if self.variables[dst.0 as usize].is_none() {
                    self.constants[dst.0 as usize] = Some(*value);
                    return Ok(());
                }
                let parts = self.constant(*value, self.reg_type(*dst)?)?;
                self.set(*dst, parts)
            }
            Inst::Unary { dst, op, a } => self.unary(*dst, *op, *a),
            Inst::Binary { dst, op, a, b } => self.binary(*dst, *op, *a, *b),
            Inst::Fma { dst, a, b, c } => self.fma(*dst, *a, *b, *c),
            Inst::Dot { dst, a, b, c } => self.dot(*dst, *a, *b, *c),
            Inst::Select { dst, cond, a, b } => self.select(*dst, *cond, *a, *b),
            Inst::Cast { dst, a } => {
                let (from, to) = (self.reg_type(*a)?, self.reg_type(*dst)?);
                let parts = self.get(*a)?;
                let parts = self.cast(&parts, from, to.dtype)?;
                self.set(*dst, parts)
            }
            Inst::Bitcast { dst, a } => self.bitcast(*dst, *a),
            Inst::Splat { dst, a } => {
                if let Some(constant) = self.constants[a.0 as usize]
                    && self.variables[dst.0 as usize].is_none()
                {
                    self.constants[dst.0 as usize] = Some(constant);
                    return Ok(());
                }
                let (value, ty) = (self.scalar(*a)?, self.reg_type(*dst)?);
                let parts = self.splat(value, ty)?;
                self.set(*dst, parts)
            }
            Inst::Ramp { dst, a, step } => self.ramp(*dst, *a, *step),
            Inst::Extract { dst, a, lane } => {
                let lanes = self.lanes(*a)?;
                let value = *lanes.get(*lane as usize).ok_or_else(|| self.bug("a lane that is not there"))?;
                self.set(*dst, vec![value])
            }
            Inst::Insert { dst, a, b, lane } => self.insert(*dst, *a, *b, *lane),
            Inst::Repeat { dst, a, times } => {
                let lanes: Vec<Value> = self.lanes(*a)?.into_iter().flat_map(|lane| std::iter::repeat_n(lane, *times as usize)).collect();
                let parts = self.join(&lanes, self.reg_type(*dst)?)?;
                self.set(*dst, parts)
            }
            Inst::Load { dst, from, stride } => self.load(*dst, from, *stride),
            Inst::PartialLoad { dst, from, stride, live } => self.partial_load(*dst, from, *stride, *live),
            Inst::GuardedLoad { dst, from, guard } => self.guarded_load(*dst, from, *guard),
            Inst::Store { src, to, stride } => self.store(*src, to, *stride),
            Inst::GuardedStore { src, to, guard } => self.guarded_store(*src, to, *guard),
            // Cranelift has no instruction for it.
            Inst::Prefetch { .. } => Ok(()),
            Inst::Join { dst, op, a } => self.reduce(*dst, *op, *a),
            Inst::Move { dst, a } => {
                let parts = self.get(*a)?;
                self.set(*dst, parts)
            }
            Inst::Loop { counter, end, step, body } => self.counted(*counter, *end, *step, body),
        }
    }

    fn counted(&mut self, counter: Reg, end: i64, step: i64, body: &[Inst]) -> Result<(), Error> {
        if step <= 0 {
            return Err(self.bug("a loop whose step is not positive"));
        }
        if end <= 0 {
            return Ok(());
        }
        let variable = self.b.declare_var(I64);
        let zero = self.int(I64, 0);
        self.b.def_var(variable, zero);
        let (head, done) = (self.b.create_block(), self.b.create_block());
        self.b.ins().jump(head, &[]);
        self.b.switch_to_block(head);
        let now = self.b.use_var(variable);
        self.set(counter, vec![now])?;
        self.block(body)?;
        let next = self.b.ins().iadd_imm_s(now, step);
        self.b.def_var(variable, next);
        let end = self.int(I64, end);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, next, end);
        self.b.ins().brif(more, head, &[], done, &[]);
        self.b.switch_to_block(done);
        // What follows may need all registers. The tile goes through the stack here, or the allocator would have it there in the
        // loop already.
        for reg in tile(self.program, body)? {
            let parts = self.get(Reg(reg))?.into_iter().map(|part| self.through_stack(part)).collect();
            self.set(Reg(reg), parts)?;
        }
        Ok(())
    }

    fn through_stack(&mut self, value: Value) -> Value {
        let ty = self.b.func.dfg.value_type(value);
        let slot = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, ty.bytes(), ty.bytes().trailing_zeros() as u8));
        self.b.ins().stack_store(I64, value, slot, 0);
        self.b.ins().stack_load(I64, ty, slot, 0)
    }

    fn unary(&mut self, dst: Reg, op: Unary, a: Reg) -> Result<(), Error> {
        let ty = self.reg_type(a)?;
        if op == Unary::IsNan {
            if !ty.dtype.is_float() {
                let parts = self.constant(Scalar::Bool(false), self.reg_type(dst)?)?;
                return self.set(dst, parts);
            }
            let parts = self.get(a)?;
            let masks = parts.iter().map(|x| self.b.ins().fcmp(FloatCC::Unordered, *x, *x)).collect::<Vec<_>>();
            return self.set_masks(dst, &masks, ty);
        }
        let parts = self.get(a)?;
        let result = match ty.dtype.class() {
            Class::Float => parts.iter().map(|x| self.unary_float(op, ty.dtype, *x)).collect::<Result<Vec<_>, _>>()?,
            Class::Bool if op == Unary::Not => parts.iter().map(|x| self.not_bool(*x)).collect(),
            Class::Bool => parts,
            _ => match op {
                Unary::Neg | Unary::Abs | Unary::Sign | Unary::Not => parts.iter().map(|x| self.unary_int(op, ty.dtype, *x)).collect(),
                Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => parts,
                _ => {
                    let double = RegType { dtype: DType::F64, ..ty };
                    let floats = self.cast(&parts, ty, DType::F64)?;
                    let floats = floats.iter().map(|x| self.unary_float(op, DType::F64, *x)).collect::<Result<Vec<_>, _>>()?;
                    self.cast(&floats, double, ty.dtype)?
                }
            },
        };
        self.set(dst, result)
    }

    fn not_bool(&mut self, x: Value) -> Value {
        if self.b.func.dfg.value_type(x).is_vector() { self.b.ins().bnot(x) } else { self.b.ins().bxor_imm_s(x, 1) }
    }

    fn unary_int(&mut self, op: Unary, dtype: DType, x: Value) -> Value {
        let ty = self.b.func.dfg.value_type(x);
        let signed = is_signed(dtype);
        match op {
            Unary::Neg => {
                let x = self.b.ins().ineg(x);
                self.wrap(x, dtype)
            }
            Unary::Abs if signed => {
                let x = self.b.ins().iabs(x);
                self.wrap(x, dtype)
            }
            Unary::Not => {
                let x = self.b.ins().bnot(x);
                self.wrap(x, dtype)
            }
            Unary::Sign => {
                let one = self.int(ty, 1);
                if signed {
                    let minus = self.int(ty, -1);
                    let x = self.b.ins().smin(x, one);
                    self.b.ins().smax(x, minus)
                } else {
                    self.b.ins().umin(x, one)
                }
            }
            _ => x,
        }
    }

    fn unary_float(&mut self, op: Unary, dtype: DType, x: Value) -> Result<Value, Error> {
        let ty = self.b.func.dfg.value_type(x);
        let exact = match op {
            Unary::Neg => self.b.ins().fneg(x),
            Unary::Abs => self.b.ins().fabs(x),
            Unary::Sign => {
                let zero = self.float(ty, 0.0);
                let (one, minus) = (self.float(ty, 1.0), self.float(ty, -1.0));
                let above = self.b.ins().fcmp(FloatCC::GreaterThan, x, zero);
                let below = self.b.ins().fcmp(FloatCC::LessThan, x, zero);
                let low = self.choose(below, minus, x);
                self.choose(above, one, low)
            }
            Unary::Floor => self.b.ins().floor(x),
            Unary::Ceil => self.b.ins().ceil(x),
            Unary::Round => self.b.ins().nearest(x),
            Unary::Trunc => self.b.ins().trunc(x),
            Unary::Not => x,
            Unary::Sqrt => {
                let root = self.b.ins().sqrt(x);
                return Ok(self.round(root, dtype));
            }
            _ => return Err(self.unsupported(op.name(), dtype)),
        };
        // Rounding to an integer can't leave a narrow type: it has every integer up to where all its values are integers.
        Ok(exact)
    }

    /// Sets a bool register from what comparing parts of a type gave.
    fn set_masks(&mut self, dst: Reg, masks: &[Value], compared: RegType) -> Result<(), Error> {
        let from = shape(compared)?;
        let to = shape(self.reg_type(dst)?)?;
        if from.lanes == 1 || from.lanes == to.lanes {
            return if from.lanes == 1 && to.lanes != 1 { Err(self.bug("lanes differ")) } else { self.set(dst, masks.to_vec()) };
        }
        if to.lanes == 4 {
            let parts = masks.chunks(2).map(|pair| self.narrow64(pair[0], *pair.last().unwrap_or(&pair[0]))).collect();
            return self.set(dst, parts);
        }
        let mut lanes = Vec::new();
        for mask in masks {
            for lane in 0..from.lanes {
                let lane = self.b.ins().extractlane(*mask, lane as u8);
                lanes.push(self.mask_to_bool(lane));
            }
        }
        self.set(dst, lanes)
    }

    fn binary(&mut self, dst: Reg, op: Binary, a: Reg, b: Reg) -> Result<(), Error> {
        let ty = self.reg_type(a)?;
        if self.reg_type(b)? != ty {
            return Err(self.bug(&format!("{} of two types", op.name())));
        }
        let (xs, ys) = (self.get(a)?, self.get(b)?);
        if op.compares() && ty.dtype != DType::Bool {
            let masks: Vec<Value> = xs.iter().zip(&ys).map(|(x, y)| self.compare(op, ty.dtype, *x, *y)).collect();
            return self.set_masks(dst, &masks, ty);
        }
        let known = self.constants[b.0 as usize];
        let parts = self.binary_parts(op, ty, &xs, &ys, known)?;
        self.set(dst, parts)
    }

    /// Applies an operation that is no comparison (but for bools) to two values in the form of a type's [`Shape`].
    fn binary_parts(&mut self, op: Binary, ty: RegType, xs: &[Value], ys: &[Value], known: Option<Scalar>) -> Result<Vec<Value>, Error> {
        let vector = shape(ty)?.lanes > 1;
        let by_lane = vector
            && match ty.dtype.class() {
                Class::Float => matches!(op, Binary::FloorDiv | Binary::Rem | Binary::Mod | Binary::Scale),
                Class::Bool => false,
                _ => match op {
                    Binary::Div | Binary::FloorDiv | Binary::Rem | Binary::Mod => !self.is_power_of_two(op, ty.dtype, known),
                    Binary::Pow => true,
                    Binary::Shl | Binary::Shr => known.is_none(),
                    _ => false,
                },
            };
        if by_lane {
            let (xs, ys) = (self.split(xs, ty)?, self.split(ys, ty)?);
            let lanes = self.binary_values(op, ty.dtype, &xs, &ys, known)?;
            return self.join(&lanes, ty);
        }
        self.binary_values(op, ty.dtype, xs, ys, known)
    }

    fn binary_values(&mut self, op: Binary, dtype: DType, xs: &[Value], ys: &[Value], known: Option<Scalar>) -> Result<Vec<Value>, Error> {
        xs.iter()
            .zip(ys)
            .map(|(x, y)| match dtype.class() {
                Class::Float => self.binary_float(op, dtype, *x, *y, known),
                Class::Bool => Ok(self.binary_bool(op, *x, *y)),
                _ => self.binary_int(op, dtype, *x, *y, known),
            })
            .collect()
    }

    fn compare(&mut self, op: Binary, dtype: DType, x: Value, y: Value) -> Value {
        if dtype.is_float() {
            let code = match op {
                Binary::Eq => FloatCC::Equal,
                Binary::Ne => FloatCC::NotEqual,
                Binary::Lt => FloatCC::LessThan,
                _ => FloatCC::LessThanOrEqual,
            };
            return self.b.ins().fcmp(code, x, y);
        }
        let code = match (op, is_signed(dtype)) {
            (Binary::Eq, _) => IntCC::Equal,
            (Binary::Ne, _) => IntCC::NotEqual,
            (Binary::Lt, true) => IntCC::SignedLessThan,
            (Binary::Lt, false) => IntCC::UnsignedLessThan,
            (_, true) => IntCC::SignedLessThanOrEqual,
            (_, false) => IntCC::UnsignedLessThanOrEqual,
        };
        self.b.ins().icmp(code, x, y)
    }

    fn binary_bool(&mut self, op: Binary, x: Value, y: Value) -> Value {
        match op {
            Binary::Add | Binary::Or | Binary::Max => self.b.ins().bor(x, y),
            Binary::Mul | Binary::And | Binary::Min => self.b.ins().band(x, y),
            Binary::Eq => {
                let differ = self.b.ins().bxor(x, y);
                self.not_bool(differ)
            }
            Binary::Lt => {
                let x = self.not_bool(x);
                self.b.ins().band(x, y)
            }
            Binary::Le => {
                let x = self.not_bool(x);
                self.b.ins().bor(x, y)
            }
            _ => self.b.ins().bxor(x, y),
        }
    }

    fn binary_float(&mut self, op: Binary, dtype: DType, x: Value, y: Value, known: Option<Scalar>) -> Result<Value, Error> {
        let value = match op {
            Binary::Add => self.b.ins().fadd(x, y),
            Binary::Sub => self.b.ins().fsub(x, y),
            Binary::Mul => self.b.ins().fmul(x, y),
            Binary::Div => self.b.ins().fdiv(x, y),
            Binary::Min | Binary::Max => return Ok(self.extreme(op, x, y, known)),
            Binary::FloorDiv | Binary::Rem | Binary::Mod => {
                let wide = dtype == DType::F64;
                let (x, y) = if wide { (x, y) } else { (self.b.ins().fpromote(F64, x), self.b.ins().fpromote(F64, y)) };
                let value = if op == Binary::FloorDiv {
                    let quotient = self.b.ins().fdiv(x, y);
                    self.b.ins().floor(quotient)
                } else {
                    self.remainder(x, y, op == Binary::Mod)
                };
                return Ok(self.narrow_double(value, dtype));
            }
            Binary::Scale if dtype == DType::F32 => {
                let (x, y) = (self.b.ins().fpromote(F64, x), self.b.ins().fpromote(F64, y));
                let power = self.power_of_two(y);
                let value = self.b.ins().fmul(x, power);
                return Ok(self.narrow_double(value, dtype));
            }
            _ => return Err(self.unsupported(op.name(), dtype)),
        };
        Ok(self.round(value, dtype))
    }

    /// 2 to the power of an f64 that is rounded down, where that is a power of f32s, else some power beyond those; of NaN NaN.
    fn power_of_two(&mut self, y: Value) -> Value {
        let floor = self.b.ins().floor(y);
        let whole = self.b.ins().fcvt_to_sint_sat(I64, floor);
        let (low, high) = (self.b.ins().iconst(I64, -400), self.b.ins().iconst(I64, 400));
        let whole = self.b.ins().smax(whole, low);
        let whole = self.b.ins().smin(whole, high);
        let biased = self.b.ins().iadd_imm_s(whole, 1023);
        let bits = self.b.ins().ishl_imm_s(biased, 52);
        let power = self.b.ins().bitcast(F64, MemFlagsData::new(), bits);
        let number = self.b.ins().fcmp(FloatCC::Ordered, y, y);
        self.b.ins().select(number, power, y)
    }

    /// The smaller or larger of two floats.
    fn extreme(&mut self, op: Binary, x: Value, y: Value, known: Option<Scalar>) -> Value {
        // With a constant that is neither NaN nor zero only the order matters, and NaN of `x` must stay: one comparison.
        if let Some(Scalar::Float(c)) = known
            && !c.is_nan()
            && c != 0.0
        {
            let code = if op == Binary::Max { FloatCC::LessThan } else { FloatCC::GreaterThan };
            let replace = self.b.ins().fcmp(code, x, y);
            return self.choose(replace, y, x);
        }
        // The larger of x and +0: adding +0 turns -0 into it and changes nothing else.
        if let Some(Scalar::Float(c)) = known
            && op == Binary::Max
            && c.to_bits() == 0
        {
            let replace = self.b.ins().fcmp(FloatCC::LessThan, x, y);
            let larger = self.choose(replace, y, x);
            return self.b.ins().fadd(larger, y);
        }
        if op == Binary::Max { self.b.ins().fmax(x, y) } else { self.b.ins().fmin(x, y) }
    }

    /// An f64 as another float dtype.
    fn narrow_double(&mut self, value: Value, dtype: DType) -> Value {
        match dtype {
            DType::F64 => value,
            DType::F16 | DType::BF16 => {
                let value = self.demote_to_odd(value);
                self.round(value, dtype)
            }
            _ => self.b.ins().fdemote(F32, value),
        }
    }

    /// C's fmod of two f64, or with `floored` the remainder with the divisor's sign. Exact: in each step the divisor,
    /// scaled by the largest power of two that still fits, is taken off.
    fn remainder(&mut self, x: Value, y: Value, floored: bool) -> Value {
        let (x_bits, y_bits) = (self.bits_as(I64, x), self.bits_as(I64, y));
        let magnitude_mask = self.int(I64, i64::MAX);
        let (size, divisor) = (self.b.ins().band(x_bits, magnitude_mask), self.b.ins().band(y_bits, magnitude_mask));
        let infinity = self.int(I64, F64_INFINITY);
        let zero = self.int(I64, 0);
        let bad_x = self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, size, infinity);
        let bad_y = self.b.ins().icmp(IntCC::SignedGreaterThan, divisor, infinity);
        let no_y = self.b.ins().icmp(IntCC::Equal, divisor, zero);
        let bad = self.b.ins().bor(bad_x, bad_y);
        let bad = self.b.ins().bor(bad, no_y);
        let size = self.b.ins().select(bad, zero, size);
        let divisor = self.b.ins().select(bad, infinity, divisor);

        // A subnormal divisor's fraction, as that of a normal number.
        let double = self.bits_as(F64, divisor);
        let scale = self.float(F64, 2f64.powi(54));
        let scaled = self.b.ins().fmul(double, scale);
        let scaled = self.bits_as(I64, scaled);
        let first_normal = self.int(I64, 1 << 52);
        let is_small = self.b.ins().icmp(IntCC::SignedLessThan, divisor, first_normal);
        let normal = self.b.ins().select(is_small, scaled, divisor);
        let fraction_mask = self.int(I64, (1 << 52) - 1);
        let fraction = self.b.ins().band(normal, fraction_mask);

        let (head, body, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let left = self.b.append_block_param(head, I64);
        self.b.ins().jump(head, &[BlockArg::from(size)]);

        self.b.switch_to_block(head);
        // Below 2^53 units of the smallest number bits count units, and integer arithmetic finishes the work.
        let countable = self.int(I64, 1 << 53);
        let large = self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, left, countable);
        let fits = self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, left, divisor);
        let go_on = self.b.ins().band(large, fits);
        self.b.ins().brif(go_on, body, &[], done, &[]);

        self.b.switch_to_block(body);
        let exponent_mask = self.int(I64, F64_INFINITY);
        let exponent = self.b.ins().band(left, exponent_mask);
        let taken = self.b.ins().bor(exponent, fraction);
        let too_large = self.b.ins().icmp(IntCC::SignedGreaterThan, taken, left);
        let halved = self.b.ins().isub(taken, first_normal);
        let taken = self.b.ins().select(too_large, halved, taken);
        let (from, taken) = (self.bits_as(F64, left), self.bits_as(F64, taken));
        let rest = self.b.ins().fsub(from, taken);
        let rest = self.bits_as(I64, rest);
        self.b.ins().jump(head, &[BlockArg::from(rest)]);

        self.b.switch_to_block(done);
        let fits = self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, left, divisor);
        let one = self.int(I64, 1);
        let units = self.b.ins().select(fits, divisor, one);
        let rest = self.b.ins().urem(left, units);
        let rest = self.b.ins().select(fits, rest, left);
        let sign = self.b.ins().band_not(x_bits, magnitude_mask);
        let rest = self.b.ins().bor(rest, sign);
        let rest = self.bits_as(F64, rest);
        let nan = self.float(F64, f64::NAN);
        let rest = self.b.ins().select(bad, nan, rest);
        if !floored {
            return rest;
        }
        let nought = self.float(F64, 0.0);
        let some = self.b.ins().fcmp(FloatCC::NotEqual, rest, nought);
        let rest_below = self.b.ins().fcmp(FloatCC::LessThan, rest, nought);
        let y_below = self.b.ins().fcmp(FloatCC::LessThan, y, nought);
        let differ = self.b.ins().bxor(rest_below, y_below);
        let shifted = self.b.ins().band(some, differ);
        let moved = self.b.ins().fadd(rest, y);
        self.b.ins().select(shifted, moved, rest)
    }

    /// Is this a division by a constant that is a power of two, which vectors can do?
    fn is_power_of_two(&self, op: Binary, dtype: DType, known: Option<Scalar>) -> bool {
        let Some(Scalar::Int(n)) = known else { return false };
        let floors = matches!(op, Binary::FloorDiv | Binary::Mod) || !is_signed(dtype);
        floors && n > 0 && n.count_ones() == 1 && n <= 1 << 62
    }

    fn binary_int(&mut self, op: Binary, dtype: DType, x: Value, y: Value, known: Option<Scalar>) -> Result<Value, Error> {
        let signed = is_signed(dtype);
        let value = match op {
            Binary::Add => self.b.ins().iadd(x, y),
            Binary::Sub => self.b.ins().isub(x, y),
            Binary::Mul => self.b.ins().imul(x, y),
            Binary::Min if signed => return Ok(self.b.ins().smin(x, y)),
            Binary::Min => return Ok(self.b.ins().umin(x, y)),
            Binary::Max if signed => return Ok(self.b.ins().smax(x, y)),
            Binary::Max => return Ok(self.b.ins().umax(x, y)),
            Binary::And => return Ok(self.b.ins().band(x, y)),
            Binary::Or => return Ok(self.b.ins().bor(x, y)),
            Binary::Xor => return Ok(self.b.ins().bxor(x, y)),
            Binary::Shl | Binary::Shr => self.shift(op, dtype, x, y, known),
            Binary::Div | Binary::FloorDiv | Binary::Rem | Binary::Mod => self.divide(op, dtype, x, y, known),
            Binary::Pow => self.power(dtype, x, y),
            _ => return Err(self.unsupported(op.name(), dtype)),
        };
        Ok(self.wrap(value, dtype))
    }

    fn shift(&mut self, op: Binary, dtype: DType, x: Value, y: Value, known: Option<Scalar>) -> Value {
        let ty = self.b.func.dfg.value_type(x);
        let bits = i64::from(dtype.int_bits().unwrap_or(64));
        let signed = is_signed(dtype);
        let last = self.int(I32, bits - 1);
        if let Some(by) = known {
            let by = by.as_int();
            return if (0..i128::from(bits)).contains(&by) {
                let by = self.int(I32, by as i64);
                self.shift_by(op, signed, x, by)
            } else if op == Binary::Shr && signed {
                self.b.ins().sshr(x, last)
            } else {
                self.int(ty, 0)
            };
        }
        let width = self.int(ty, bits);
        let inside = self.b.ins().icmp(IntCC::UnsignedLessThan, y, width);
        let shifted = self.shift_by(op, signed, x, y);
        let beyond = if op == Binary::Shr && signed { self.b.ins().sshr(x, last) } else { self.int(ty, 0) };
        self.b.ins().select(inside, shifted, beyond)
    }

    fn shift_by(&mut self, op: Binary, signed: bool, x: Value, by: Value) -> Value {
        match (op, signed) {
            (Binary::Shl, _) => self.b.ins().ishl(x, by),
            (_, true) => self.b.ins().sshr(x, by),
            (_, false) => self.b.ins().ushr(x, by),
        }
    }

    fn divide(&mut self, op: Binary, dtype: DType, x: Value, y: Value, known: Option<Scalar>) -> Value {
        let ty = self.b.func.dfg.value_type(x);
        let signed = is_signed(dtype);
        if self.is_power_of_two(op, dtype, known)
            && let Some(Scalar::Int(n)) = known
        {
            return if matches!(op, Binary::Div | Binary::FloorDiv) {
                let by = self.int(I32, i64::from(n.trailing_zeros()));
                self.shift_by(Binary::Shr, signed, x, by)
            } else {
                let mask = self.int(ty, n as i64 - 1);
                self.b.ins().band(x, mask)
            };
        }
        let zero = self.int(ty, 0);
        let safe = matches!(known, Some(Scalar::Int(n)) if n > 0);
        let (by_zero, divisor) = if safe {
            (None, y)
        } else {
            let one = self.int(ty, 1);
            let by_zero = self.b.ins().icmp(IntCC::Equal, y, zero);
            let divisor = self.b.ins().select(by_zero, one, y);
            (Some(by_zero), divisor)
        };
        if !signed {
            let value = if matches!(op, Binary::Div | Binary::FloorDiv) { self.b.ins().udiv(x, divisor) } else { self.b.ins().urem(x, divisor) };
            return match by_zero {
                Some(by_zero) => self.b.ins().select(by_zero, zero, value),
                None => value,
            };
        }
        // The smallest integer by -1 overflows: dividing by -1 is negation, and leaves no rest.
        let (by_minus, divisor) = if safe {
            (None, divisor)
        } else {
            let (one, minus) = (self.int(ty, 1), self.int(ty, -1));
            let by_minus = self.b.ins().icmp(IntCC::Equal, y, minus);
            (Some(by_minus), self.b.ins().select(by_minus, one, divisor))
        };
        let quotient = self.b.ins().sdiv(x, divisor);
        let whole = self.b.ins().imul(quotient, divisor);
        let rest = self.b.ins().isub(x, whole);
        let value = match op {
            Binary::Div => quotient,
            Binary::Rem => rest,
            _ => {
                let some = self.b.ins().icmp(IntCC::NotEqual, rest, zero);
                let signs = self.b.ins().bxor(rest, divisor);
                let differ = self.b.ins().icmp(IntCC::SignedLessThan, signs, zero);
                let adjust = self.b.ins().band(some, differ);
                let moved = if op == Binary::FloorDiv { self.b.ins().iadd_imm_s(quotient, -1) } else { self.b.ins().iadd(rest, divisor) };
                self.b.ins().select(adjust, moved, if op == Binary::FloorDiv { quotient } else { rest })
            }
        };
        let value = match by_minus {
            Some(by_minus) if matches!(op, Binary::Div | Binary::FloorDiv) => {
                let negated = self.b.ins().ineg(x);
                self.b.ins().select(by_minus, negated, value)
            }
            _ => value,
        };
        match by_zero {
            Some(by_zero) => self.b.ins().select(by_zero, zero, value),
            None => value,
        }
    }

    /// Integer power by repeated squaring, in 64 bits.
    fn power(&mut self, dtype: DType, x: Value, y: Value) -> Value {
        let ty = self.b.func.dfg.value_type(x);
        let signed = is_signed(dtype);
        let (base, exponent) = match (ty == I64, signed) {
            (true, _) => (x, y),
            (_, true) => (self.b.ins().sextend(I64, x), self.b.ins().sextend(I64, y)),
            _ => (self.b.ins().uextend(I64, x), self.b.ins().uextend(I64, y)),
        };
        let (zero, one) = (self.int(I64, 0), self.int(I64, 1));
        let (mut result, mut left) = (one, exponent);
        if signed {
            // A negative power of anything but 1 and -1 is cut off to 0.
            let minus = self.int(I64, -1);
            let below = self.b.ins().icmp(IntCC::SignedLessThan, exponent, zero);
            let low_bit = self.b.ins().band(exponent, one);
            let alternating = self.b.ins().select(low_bit, minus, one);
            let is_one = self.b.ins().icmp(IntCC::Equal, base, one);
            let is_minus = self.b.ins().icmp(IntCC::Equal, base, minus);
            let inverse = self.b.ins().select(is_minus, alternating, zero);
            let inverse = self.b.ins().select(is_one, one, inverse);
            result = self.b.ins().select(below, inverse, one);
            left = self.b.ins().select(below, zero, exponent);
        }
        let (head, body, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let product = self.b.append_block_param(head, I64);
        let square = self.b.append_block_param(head, I64);
        let power = self.b.append_block_param(head, I64);
        self.b.ins().jump(head, &[BlockArg::from(result), BlockArg::from(base), BlockArg::from(left)]);
        self.b.switch_to_block(head);
        self.b.ins().brif(power, body, &[], done, &[]);
        self.b.switch_to_block(body);
        let low_bit = self.b.ins().band(power, one);
        let times = self.b.ins().imul(product, square);
        let next_product = self.b.ins().select(low_bit, times, product);
        let next_square = self.b.ins().imul(square, square);
        let next_power = self.b.ins().ushr_imm_s(power, 1);
        self.b.ins().jump(head, &[BlockArg::from(next_product), BlockArg::from(next_square), BlockArg::from(next_power)]);
        self.b.switch_to_block(done);
        if ty == I64 { product } else { self.b.ins().ireduce(ty, product) }
    }

    fn fma(&mut self, dst: Reg, a: Reg, b: Reg, c: Reg) -> Result<(), Error> {
        let ty = self.reg_type(dst)?;
        if [a, b, c].iter().any(|reg| self.reg_type(*reg).ok() != Some(ty)) {
            return Err(self.bug("multiply-add of several types"));
        }
        let (xs, ys, zs) = (self.get(a)?, self.get(b)?, self.get(c)?);
        if is_narrow_float(ty.dtype) {
            // Products are exact in f64, where the sum is rounded for the first time.
            let double = RegType { dtype: DType::F64, ..ty };
            let (xs, ys, zs) = (self.cast(&xs, ty, DType::F64)?, self.cast(&ys, ty, DType::F64)?, self.cast(&zs, ty, DType::F64)?);
            let mut sums = Vec::with_capacity(xs.len());
            for ((x, y), z) in xs.into_iter().zip(ys).zip(zs) {
                let product = self.b.ins().fmul(x, y);
                sums.push(self.b.ins().fadd(product, z));
            }
            let parts = self.cast(&sums, double, ty.dtype)?;
            return self.set(dst, parts);
        }
        if ty.dtype.is_float() && !self.fma {
            return Err(self.bug("a fused multiply-add for a target that has none"));
        }
        let mut parts = Vec::with_capacity(xs.len());
        for ((x, y), z) in xs.into_iter().zip(ys).zip(zs) {
            parts.push(if ty.dtype.is_float() {
                self.b.ins().fma(x, y, z)
            } else {
                let product = self.b.ins().imul(x, y);
                let sum = self.b.ins().iadd(product, z);
                self.wrap(sum, ty.dtype)
            });
        }
        self.set(dst, parts)
    }

    fn dot(&mut self, dst: Reg, a: Reg, b: Reg, c: Reg) -> Result<(), Error> {
        if self.reg_type(dst)?.dtype == DType::F32 {
            return self.dot_pairs(dst, a, b, c);
        }
        let (xs, ys, zs) = (self.get(a)?, self.get(b)?, self.get(c)?);
        let mut parts = Vec::with_capacity(xs.len());
        for ((x, y), z) in xs.into_iter().zip(ys).zip(zs) {
            let mut sum = z;
            for byte in 0..4 {
                // Each byte is brought to the upper end, and from there down.
                let (up, down) = (self.int(I32, 24 - 8 * byte), self.int(I32, 24));
                let (x, y) = (self.b.ins().ishl(x, up), self.b.ins().ishl(y, up));
                let (x, y) = (self.b.ins().ushr(x, down), self.b.ins().sshr(y, down));
                let product = self.b.ins().imul(x, y);
                sum = self.b.ins().iadd(sum, product);
            }
            parts.push(sum);
        }
        self.set(dst, parts)
    }

    fn dot_pairs(&mut self, dst: Reg, a: Reg, b: Reg, c: Reg) -> Result<(), Error> {
        let (xs, ys, zs) = (self.get(a)?, self.get(b)?, self.get(c)?);
        let mut parts = Vec::with_capacity(xs.len());
        for ((x, y), z) in xs.into_iter().zip(ys).zip(zs) {
            let mut sum = self.flushed(z);
            for high in [true, false] {
                let [x, y] = [x, y].map(|word| {
                    let ty = self.b.func.dfg.value_type(word);
                    let by = self.int(if high { ty } else { I32 }, if high { 0xffff_0000 } else { 16 });
                    let bits = if high { self.b.ins().band(word, by) } else { self.b.ins().ishl(word, by) };
                    let float = if ty.is_vector() { F32X4 } else { F32 };
                    let number = self.bits_as(float, bits);
                    self.flushed(number)
                });
                let joined = if self.fma {
                    self.b.ins().fma(x, y, sum)
                } else {
                    // The product of two bf16 is exact, unless it is too large or too small for any f32.
                    let product = self.b.ins().fmul(x, y);
                    self.b.ins().fadd(product, sum)
                };
                sum = self.flushed(joined);
            }
            parts.push(sum);
        }
        self.set(dst, parts)
    }

    /// f32, subnormal ones being zeros of their sign.
    fn flushed(&mut self, value: Value) -> Value {
        let float = self.b.func.dfg.value_type(value);
        let ty = if float.is_vector() { I32X4 } else { I32 };
        let bits = self.bits_as(ty, value);
        let (without_sign, sign, least) = (self.int(ty, 0x7fff_ffff), self.int(ty, 0x8000_0000), self.int(ty, 0x0080_0000));
        let magnitude = self.b.ins().band(bits, without_sign);
        let is_small = self.b.ins().icmp(IntCC::SignedLessThan, magnitude, least);
        let zero = self.b.ins().band(bits, sign);
        let result = self.choose(is_small, zero, bits);
        self.bits_as(float, result)
    }

    fn select(&mut self, dst: Reg, cond: Reg, a: Reg, b: Reg) -> Result<(), Error> {
        let ty = self.reg_type(dst)?;
        let cond_type = self.reg_type(cond)?;
        if self.reg_type(a)? != ty || self.reg_type(b)? != ty || cond_type.dtype != DType::Bool {
            return Err(self.bug("a selection of several types"));
        }
        let (xs, ys) = (self.get(a)?, self.get(b)?);
        let to = shape(ty)?;
        if cond_type.lanes == 1 {
            let cond = self.scalar(cond)?;
            let parts = xs.iter().zip(&ys).map(|(x, y)| self.b.ins().select(cond, *x, *y)).collect();
            return self.set(dst, parts);
        }
        if cond_type.lanes != ty.lanes {
            return Err(self.bug("a selection of several lengths"));
        }
        let masks = self.get(cond)?;
        let by = shape(cond_type)?;
        if to.lanes == 1 || by.lanes == 1 {
            let (conds, xs, ys) = (self.split(&masks, cond_type)?, self.split(&xs, ty)?, self.split(&ys, ty)?);
            let lanes: Vec<Value> = conds.iter().zip(xs.iter().zip(&ys)).map(|(c, (x, y))| self.b.ins().select(*c, *x, *y)).collect();
            let parts = self.join(&lanes, ty)?;
            return self.set(dst, parts);
        }
        let masks = if to.lanes == 2 { masks.iter().flat_map(|mask| self.widen32(*mask, true)).collect() } else { masks };
        let parts = masks.iter().zip(xs.iter().zip(&ys)).map(|(mask, (x, y))| self.choose(*mask, *x, *y)).collect();
        self.set(dst, parts)
    }

    fn bitcast(&mut self, dst: Reg, a: Reg) -> Result<(), Error> {
        let (from, to) = (self.reg_type(a)?, self.reg_type(dst)?);
        if from.dtype.size() != to.dtype.size() || from.lanes != to.lanes {
            return Err(self.bug("a reinterpretation that changes the size"));
        }
        let parts = self.get(a)?;
        if from.dtype == DType::Bool || to.dtype == DType::Bool {
            let parts = self.cast(&parts, from, to.dtype)?;
            return self.set(dst, parts);
        }
        let part = shape(to)?.part;
        let mut result = Vec::with_capacity(parts.len());
        for value in parts {
            let bits = if is_narrow_float(from.dtype) { self.narrow_bits(value, from.dtype) } else { value };
            result.push(if is_narrow_float(to.dtype) {
                let bits = self.wrap(bits, DType::U16);
                self.widen_bits(bits, to.dtype)
            } else {
                let bits = self.bits_as(part, bits);
                if to.dtype.is_int() { self.wrap(bits, to.dtype) } else { bits }
            });
        }
        self.set(dst, result)
    }

    fn ramp(&mut self, dst: Reg, a: Reg, step: i64) -> Result<(), Error> {
        let ty = self.reg_type(dst)?;
        let scalar = RegType { lanes: 1, ..self.reg_type(a)? };
        let start = self.scalar(a)?;
        let start = self.cast(&[start], scalar, ty.dtype)?[0];
        let shape = shape(ty)?;
        let starts = self.splat(start, ty)?;
        if !ty.dtype.is_int() {
            return Err(self.bug("a ramp of something else than integers"));
        }
        let mut parts = Vec::with_capacity(starts.len());
        for (at, start) in starts.into_iter().enumerate() {
            let first = at as i64 * i64::from(shape.lanes);
            let offset = if shape.lanes == 1 {
                self.int(shape.part, first.wrapping_mul(step))
            } else {
                let bytes = shape.part.lane_type().bytes() as usize;
                let data: Vec<u8> = (0..i64::from(shape.lanes))
                    .flat_map(|lane| (first + lane).wrapping_mul(step).to_le_bytes()[..bytes].to_vec())
                    .collect();
                let constant = self.b.func.dfg.constants.insert(ConstantData::from(data.as_slice()));
                self.b.ins().vconst(shape.part, constant)
            };
            let sum = self.b.ins().iadd(start, offset);
            parts.push(self.wrap(sum, ty.dtype));
        }
        self.set(dst, parts)
    }

    fn insert(&mut self, dst: Reg, a: Reg, b: Reg, lane: u32) -> Result<(), Error> {
        let ty = self.reg_type(dst)?;
        if self.reg_type(a)? != ty || lane >= ty.lanes {
            return Err(self.bug("an insertion that does not fit"));
        }
        let value = self.scalar(b)?;
        let mut parts = self.get(a)?;
        let shape = shape(ty)?;
        if shape.lanes == 1 {
            parts[lane as usize] = value;
        } else {
            let value = if ty.dtype == DType::Bool { self.bool_to_mask(value) } else { value };
            let part = &mut parts[(lane / shape.lanes) as usize];
            *part = self.b.ins().insertlane(*part, value, (lane % shape.lanes) as u8);
        }
        self.set(dst, parts)
    }

    fn reduce(&mut self, dst: Reg, op: Binary, a: Reg) -> Result<(), Error> {
        let ty = self.reg_type(a)?;
        let mut parts = self.get(a)?;
        let mut ty = ty;
        let per_part = shape(ty)?.lanes;
        while per_part > 1 && parts.len() > 1 && parts.len().is_multiple_of(2) {
            let high = parts.split_off(parts.len() / 2);
            ty.lanes /= 2;
            parts = self.binary_parts(op, ty, &parts, &high, None)?;
        }
        let mut lanes = self.split(&parts, ty)?;
        while lanes.len() > 1 {
            let middle = lanes.len().div_ceil(2);
            let high = lanes.split_off(middle);
            let joined = self.binary_values(op, ty.dtype, &lanes[..high.len()], &high, None)?;
            lanes[..joined.len()].copy_from_slice(&joined);
        }
        self.set(dst, lanes)
    }

    // ---- conversions ----

    /// Converts a value in the form of its type's [`Shape`] to a dtype, in the form of the result's.
    fn cast(&mut self, parts: &[Value], from: RegType, dtype: DType) -> Result<Vec<Value>, Error> {
        let to = RegType { dtype, lanes: from.lanes };
        if from.dtype == dtype {
            return Ok(parts.to_vec());
        }
        let (is, becomes) = (shape(from)?, shape(to)?);
        if is.lanes > 1
            && becomes.lanes > 1
            && let Some(parts) = self.cast_vectors(parts, from.dtype, dtype)
        {
            return Ok(parts);
        }
        let lanes = self.split(parts, from)?;
        let lanes = lanes.into_iter().map(|lane| self.cast_lane(lane, from.dtype, dtype)).collect::<Result<Vec<_>, _>>()?;
        self.join(&lanes, to)
    }

    /// Converts whole vectors, where there is a way.
    fn cast_vectors(&mut self, parts: &[Value], from: DType, to: DType) -> Option<Vec<Value>> {
        let wide_int = |dtype| matches!(dtype, DType::I64 | DType::U64);
        let small_int = |dtype: DType| dtype.is_int() && !wide_int(dtype);
        let single = |dtype: DType| dtype.is_float() && dtype != DType::F64;
        let each = |emitter: &mut Self, change: &mut dyn FnMut(&mut Self, Value) -> Value| -> Vec<Value> {
            parts.iter().map(|part| change(emitter, *part)).collect()
        };
        Some(if from == DType::Bool {
            if single(to) {
                let one = self.int(I32X4, i64::from(1f32.to_bits()));
                each(self, &mut |e, mask| {
                    let bits = e.b.ins().band(mask, one);
                    e.bits_as(F32X4, bits)
                })
            } else if small_int(to) {
                let one = self.int(I32X4, 1);
                each(self, &mut |e, mask| e.b.ins().band(mask, one))
            } else {
                let one = if to == DType::F64 { 1f64.to_bits() as i64 } else { 1 };
                let ty = if to == DType::F64 { F64X2 } else { I64X2 };
                let one = self.int(I64X2, one);
                let masks: Vec<Value> = parts.iter().flat_map(|mask| self.widen32(*mask, true)).collect();
                masks
                    .into_iter()
                    .map(|mask| {
                        let bits = self.b.ins().band(mask, one);
                        self.bits_as(ty, bits)
                    })
                    .collect()
            }
        } else if to == DType::Bool {
            let masks = each(self, &mut |e, x| {
                let ty = e.b.func.dfg.value_type(x);
                let zero = if from.is_float() { e.float(ty, 0.0) } else { e.int(ty, 0) };
                e.compare(Binary::Ne, from, x, zero)
            });
            if from == DType::F64 || wide_int(from) {
                if masks.len() % 2 != 0 {
                    return None;
                }
                masks.chunks(2).map(|pair| self.narrow64(pair[0], pair[1])).collect()
            } else {
                masks
            }
        } else if single(from) && single(to) {
            each(self, &mut |e, x| e.round(x, to))
        } else if single(from) && to == DType::F64 {
            let halves: Vec<Value> = parts.iter().flat_map(|x| [*x, self.halves(*x, *x, true)]).collect();
            halves.into_iter().map(|x| self.b.ins().fvpromote_low(x)).collect()
        } else if from == DType::F64 && to == DType::F32 && parts.len().is_multiple_of(2) {
            let singles: Vec<Value> = parts.iter().map(|x| self.b.ins().fvdemote(*x)).collect();
            singles.chunks(2).map(|pair| self.halves(pair[0], pair[1], false)).collect()
        } else if small_int(from) && (to == DType::F32 || single(to) && from.size() < 4) {
            each(self, &mut |e, x| {
                let float = if from == DType::U32 { e.b.ins().fcvt_from_uint(F32X4, x) } else { e.b.ins().fcvt_from_sint(F32X4, x) };
                e.round(float, to)
            })
        } else if small_int(from) && to == DType::F64 {
            let halves: Vec<Value> = parts.iter().flat_map(|x| [*x, self.halves(*x, *x, true)]).collect();
            halves
                .into_iter()
                .map(|x| {
                    if from == DType::U32 {
                        let wide = self.b.ins().uwiden_low(x);
                        self.b.ins().fcvt_from_uint(F64X2, wide)
                    } else {
                        let wide = self.b.ins().swiden_low(x);
                        self.b.ins().fcvt_from_sint(F64X2, wide)
                    }
                })
                .collect()
        } else if single(from) && small_int(to) {
            each(self, &mut |e, x| {
                if to == DType::U32 {
                    return e.b.ins().fcvt_to_uint_sat(I32X4, x);
                }
                let whole = e.b.ins().fcvt_to_sint_sat(I32X4, x);
                e.clamp(whole, to)
            })
        } else if small_int(from) && small_int(to) {
            each(self, &mut |e, x| e.wrap(x, to))
        } else if small_int(from) && wide_int(to) {
            parts.iter().flat_map(|x| self.widen32(*x, is_signed(from))).collect()
        } else if wide_int(from) && small_int(to) && parts.len().is_multiple_of(2) {
            let low: Vec<Value> = parts.chunks(2).map(|pair| self.narrow64(pair[0], pair[1])).collect();
            low.into_iter().map(|x| self.wrap(x, to)).collect()
        } else if wide_int(from) && wide_int(to) {
            parts.to_vec()
        } else {
            return None;
        })
    }

    /// Keeps a 32-bit integer inside the range of a narrower dtype.
    fn clamp(&mut self, value: Value, dtype: DType) -> Value {
        match dtype.int_range() {
            Some((low, high)) if dtype.size() < 4 => {
                let ty = self.b.func.dfg.value_type(value);
                let (low, high) = (self.int(ty, low as i64), self.int(ty, high as i64));
                let value = self.b.ins().smax(value, low);
                self.b.ins().smin(value, high)
            }
            _ => value,
        }
    }

    fn cast_lane(&mut self, x: Value, from: DType, to: DType) -> Result<Value, Error> {
        let (is, becomes) = (carrier(from)?, carrier(to)?);
        if to == DType::Bool {
            let zero = if from.is_float() { self.float(is, 0.0) } else { self.int(is, 0) };
            return Ok(self.compare(Binary::Ne, from, x, zero));
        }
        Ok(match (from.is_float(), to.is_float()) {
            (true, true) => match (is, becomes) {
                (F64, _) => self.narrow_double(x, to),
                (_, F64) => self.b.ins().fpromote(F64, x),
                _ => self.round(x, to),
            },
            (true, false) => {
                let signed = to != DType::U32 && to != DType::U64;
                let whole = if signed { self.b.ins().fcvt_to_sint_sat(becomes, x) } else { self.b.ins().fcvt_to_uint_sat(becomes, x) };
                self.clamp(whole, to)
            }
            (false, true) => {
                let signed = is_signed(from);
                let x = if is == I8 { self.b.ins().uextend(I32, x) } else { x };
                // What f32 may not hold exactly goes through f64 as the definition does.
                if becomes == F32 && (from.size() < 4 || to == DType::F32 && from.size() == 4) {
                    let float = if signed { self.b.ins().fcvt_from_sint(F32, x) } else { self.b.ins().fcvt_from_uint(F32, x) };
                    self.round(float, to)
                } else {
                    let float = if signed { self.b.ins().fcvt_from_sint(F64, x) } else { self.b.ins().fcvt_from_uint(F64, x) };
                    self.narrow_double(float, to)
                }
            }
            (false, false) => {
                let sized = match (is, becomes) {
                    (I64, I32) => self.b.ins().ireduce(I32, x),
                    (I32, I64) if is_signed(from) => self.b.ins().sextend(I64, x),
                    (I8, _) | (I32, I64) => self.b.ins().uextend(becomes, x),
                    _ => x,
                };
                self.wrap(sized, to)
            }
        })
    }

    // ---- memory ----

    /// A pointer and a constant offset to the element that an address means, and the element's size.
    fn address(&mut self, address: &Address, dtype: DType, furthest: i64) -> Result<(Value, i32), Error> {
        let size = dtype.size() as i64;
        let base = *self.bases.get(address.buffer as usize).ok_or_else(|| self.bug("a buffer that is not there"))?;
        let index_type = self.reg_type(address.index)?;
        if index_type != (RegType { dtype: DType::I64, lanes: 1 }) {
            return Err(self.bug("an index that is not a scalar i64"));
        }
        let fixed = i64::try_from(address.base).ok().and_then(|base| base.checked_add(address.offset.checked_mul(size)?));
        let mut fixed = fixed.ok_or_else(|| self.bug("an offset that is too large"))?;
        let mut pointer = base;
        if let Some(index) = self.constants[address.index.0 as usize] {
            fixed = i64::try_from(index.as_int()).ok().and_then(|index| fixed.checked_add(index.checked_mul(size)?)).ok_or_else(|| self.bug("an offset that is too large"))?;
        } else {
            let index = self.scalar(address.index)?;
            let bytes = if size == 1 { index } else { self.b.ins().ishl_imm_s(index, i64::from(size.trailing_zeros())) };
            pointer = self.b.ins().iadd(base, bytes);
        }
        let last = fixed.checked_add(furthest).ok_or_else(|| self.bug("an offset that is too large"))?;
        match (i32::try_from(fixed), i32::try_from(last)) {
            (Ok(offset), Ok(_)) => Ok((pointer, offset)),
            _ => Ok((self.b.ins().iadd_imm_s(pointer, fixed), 0)),
        }
    }

    /// Byte offsets of a register's lanes from the first.
    fn lane_offsets(&self, ty: RegType, stride: i64) -> Result<Vec<i32>, Error> {
        let step = stride.checked_mul(ty.dtype.size() as i64);
        (0..i64::from(ty.lanes))
            .map(|lane| step.and_then(|step| step.checked_mul(lane)).and_then(|at| i32::try_from(at).ok()))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| self.bug("a stride that is too large"))
    }

    fn load(&mut self, dst: Reg, from: &Address, stride: i64) -> Result<(), Error> {
        let ty = self.reg_type(dst)?;
        let shape = shape(ty)?;
        let offsets = self.lane_offsets(ty, stride)?;
        let furthest = i64::from(offsets.last().copied().unwrap_or(0));
        let (pointer, at) = self.address(from, ty.dtype, furthest)?;
        let parts = if stride == 0 && ty.lanes > 1 {
            let value = self.load_lane(ty.dtype, pointer, at);
            self.splat(value, ty)?
        } else if stride == 1 && shape.lanes > 1 {
            offsets.iter().step_by(shape.lanes as usize).map(|offset| self.load_vector(ty.dtype, shape.part, pointer, at + offset)).collect()
        } else if let Some(bytes) = every_other(shape).filter(|_| stride == 2) {
            // The second half ends at the last lane's element, so that nothing behind it is touched.
            let second = (shape.lanes as usize - 1) as i32 * ty.dtype.size() as i32;
            let mut parts = Vec::with_capacity(shape.parts as usize);
            for offset in offsets.iter().step_by(shape.lanes as usize) {
                let low = self.load_vector(ty.dtype, shape.part, pointer, at + offset);
                let high = self.load_vector(ty.dtype, shape.part, pointer, at + offset + second);
                parts.push(self.shuffle(shape.part, low, high, &bytes));
            }
            parts
        } else {
            let lanes: Vec<Value> = offsets.iter().map(|offset| self.load_lane(ty.dtype, pointer, at + offset)).collect();
            self.join(&lanes, ty)?
        };
        self.set(dst, parts)
    }

    /// The first lanes; the others are zero.
    fn partial_load(&mut self, dst: Reg, from: &Address, stride: i64, live: u32) -> Result<(), Error> {
        let ty = self.reg_type(dst)?;
        let offsets = self.lane_offsets(ty, stride)?;
        let furthest = i64::from(offsets[live as usize - 1]);
        let (pointer, at) = self.address(from, ty.dtype, furthest)?;
        let zero = self.constant(Scalar::zero(ty.dtype), RegType { lanes: 1, ..ty })?[0];
        let lanes: Vec<Value> = offsets.iter().enumerate().map(|(lane, offset)| if lane < live as usize { self.load_lane(ty.dtype, pointer, at + offset) } else { zero }).collect();
        let parts = self.join(&lanes, ty)?;
        self.set(dst, parts)
    }

    fn load_lane(&mut self, dtype: DType, pointer: Value, at: i32) -> Value {
        let flags = memory();
        match dtype {
            DType::F32 => self.b.ins().load(F32, flags, pointer, at),
            DType::F64 => self.b.ins().load(F64, flags, pointer, at),
            DType::I64 | DType::U64 => self.b.ins().load(I64, flags, pointer, at),
            DType::I8 => self.b.ins().sload8(I32, flags, pointer, at),
            DType::U8 => self.b.ins().uload8(I32, flags, pointer, at),
            DType::I16 => self.b.ins().sload16(I32, flags, pointer, at),
            DType::U16 => self.b.ins().uload16(I32, flags, pointer, at),
            DType::F16 | DType::BF16 => {
                let bits = self.b.ins().uload16(I32, flags, pointer, at);
                self.widen_bits(bits, dtype)
            }
            DType::Bool => {
                let byte = self.b.ins().load(I8, flags, pointer, at);
                self.b.ins().icmp_imm_s(IntCC::NotEqual, byte, 0)
            }
            _ => self.b.ins().load(I32, flags, pointer, at),
        }
    }

    fn load_vector(&mut self, dtype: DType, part: Type, pointer: Value, at: i32) -> Value {
        let flags = memory();
        match dtype {
            DType::F16 | DType::BF16 => {
                let bits = self.b.ins().uload16x4(flags, pointer, at);
                self.widen_bits(bits, dtype)
            }
            DType::U16 => self.b.ins().uload16x4(flags, pointer, at),
            DType::I16 => self.b.ins().sload16x4(flags, pointer, at),
            DType::I8 | DType::U8 | DType::Bool => {
                let four = self.b.ins().load(I32, flags, pointer, at);
                let four = self.b.ins().scalar_to_vector(I32X4, four);
                let bytes = self.bits_as(I8X16, four);
                if dtype == DType::I8 {
                    let words = self.b.ins().swiden_low(bytes);
                    return self.b.ins().swiden_low(words);
                }
                let words = self.b.ins().uwiden_low(bytes);
                let lanes = self.b.ins().uwiden_low(words);
                if dtype == DType::U8 {
                    return lanes;
                }
                let zero = self.int(I32X4, 0);
                self.b.ins().icmp(IntCC::NotEqual, lanes, zero)
            }
            _ => self.b.ins().load(part, flags, pointer, at),
        }
    }

    fn store(&mut self, src: Reg, to: &Address, stride: i64) -> Result<(), Error> {
        let ty = self.reg_type(src)?;
        let shape = shape(ty)?;
        let offsets = self.lane_offsets(ty, stride)?;
        let furthest = i64::from(offsets.last().copied().unwrap_or(0));
        let (pointer, at) = self.address(to, ty.dtype, furthest)?;
        let parts = self.get(src)?;
        if stride == 1 && shape.lanes > 1 {
            for (part, offset) in parts.iter().zip(offsets.iter().step_by(shape.lanes as usize)) {
                self.store_vector(ty.dtype, *part, pointer, at + offset);
            }
        } else {
            let lanes = self.split(&parts, ty)?;
            for (lane, offset) in lanes.iter().zip(&offsets) {
                self.store_lane(ty.dtype, *lane, pointer, at + offset);
            }
        }
        Ok(())
    }

    fn store_lane(&mut self, dtype: DType, value: Value, pointer: Value, at: i32) {
        let flags = memory();
        match dtype {
            DType::I8 | DType::U8 => self.b.ins().istore8(flags, value, pointer, at),
            DType::I16 | DType::U16 => self.b.ins().istore16(flags, value, pointer, at),
            DType::F16 | DType::BF16 => {
                let bits = self.narrow_bits(value, dtype);
                self.b.ins().istore16(flags, bits, pointer, at)
            }
            _ => self.b.ins().store(flags, value, pointer, at),
        };
    }

    fn store_vector(&mut self, dtype: DType, value: Value, pointer: Value, at: i32) {
        let flags = memory();
        let value = match dtype {
            DType::F16 | DType::BF16 => self.narrow_bits(value, dtype),
            DType::Bool => {
                let one = self.int(I32X4, 1);
                self.b.ins().band(value, one)
            }
            _ => value,
        };
        // Values are inside the range of their dtype, so that narrowing with saturation keeps them.
        match dtype.size() {
            1 => {
                let words = self.b.ins().snarrow(value, value);
                let bytes = if is_signed(dtype) { self.b.ins().snarrow(words, words) } else { self.b.ins().unarrow(words, words) };
                let four = self.bits_as(I32X4, bytes);
                let four = self.b.ins().extractlane(four, 0);
                self.b.ins().store(flags, four, pointer, at);
            }
            2 => {
                let words = if is_signed(dtype) { self.b.ins().snarrow(value, value) } else { self.b.ins().unarrow(value, value) };
                let words = self.bits_as(I16X8, words);
                let eight = self.bits_as(I64X2, words);
                let eight = self.b.ins().extractlane(eight, 0);
                self.b.ins().store(flags, eight, pointer, at);
            }
            _ => {
                self.b.ins().store(flags, value, pointer, at);
            }
        }
    }

    /// Byte or mask, is it true in every lane? `parts` are those of a bool register.
    fn everywhere(&mut self, parts: &[Value]) -> Option<Value> {
        let all = parts.iter().copied().reduce(|a, b| self.b.ins().band(a, b))?;
        Some(if self.b.func.dfg.value_type(all).is_vector() { self.b.ins().vall_true(all) } else { all })
    }

    /// One test is enough where all lanes are loaded; otherwise each lane has a branch of its own.
    fn guarded_load(&mut self, dst: Reg, from: &Address, guard: Reg) -> Result<(), Error> {
        let ty = self.reg_type(dst)?;
        let shape = shape(ty)?;
        let guards = self.get(guard)?;
        let all = self.everywhere(&guards).ok_or_else(|| self.bug("a register without lanes"))?;
        let done = self.b.create_block();
        let parts: Vec<Value> = (0..shape.parts).map(|_| self.b.append_block_param(done, shape.part)).collect();
        let (whole, single) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(all, whole, &[], single, &[]);

        self.b.switch_to_block(whole);
        let (offsets, (pointer, at)) = self.guarded_address(from, ty)?;
        let loaded: Vec<BlockArg> = offsets
            .iter()
            .step_by(shape.lanes as usize)
            .map(|offset| if shape.lanes > 1 { self.load_vector(ty.dtype, shape.part, pointer, at + offset) } else { self.load_lane(ty.dtype, pointer, at + offset) })
            .map(BlockArg::from)
            .collect();
        self.b.ins().jump(done, &loaded);

        self.b.switch_to_block(single);
        let zero = self.constant(Scalar::zero(ty.dtype), ty)?;
        let mut lanes = Vec::with_capacity(ty.lanes as usize);
        if ty.lanes > 1 {
            let (offsets, (pointer, at)) = self.guarded_address(from, ty)?;
            let guards = self.lanes(guard)?;
            let lane_zero = self.split(&zero, ty)?[0];
            for (guard, offset) in guards.into_iter().zip(offsets) {
                let (inside, next) = (self.b.create_block(), self.b.create_block());
                let value = self.b.append_block_param(next, carrier(ty.dtype)?);
                self.b.ins().brif(guard, inside, &[], next, &[BlockArg::from(lane_zero)]);
                self.b.switch_to_block(inside);
                let loaded = self.load_lane(ty.dtype, pointer, at + offset);
                self.b.ins().jump(next, &[BlockArg::from(loaded)]);
                self.b.switch_to_block(next);
                lanes.push(value);
            }
        }
        let joined = if ty.lanes > 1 { self.join(&lanes, ty)? } else { zero };
        let joined: Vec<BlockArg> = joined.into_iter().map(BlockArg::from).collect();
        self.b.ins().jump(done, &joined);
        self.b.switch_to_block(done);
        self.set(dst, parts)
    }

    /// Byte offsets of the lanes, and the address of the first.
    fn guarded_address(&mut self, address: &Address, ty: RegType) -> Result<(Vec<i32>, (Value, i32)), Error> {
        let offsets = self.lane_offsets(ty, 1)?;
        let furthest = i64::from(offsets.last().copied().unwrap_or(0));
        Ok((offsets, self.address(address, ty.dtype, furthest)?))
    }

    /// As [`Self::guarded_load`].
    fn guarded_store(&mut self, src: Reg, to: &Address, guard: Reg) -> Result<(), Error> {
        let ty = self.reg_type(src)?;
        let guards = self.get(guard)?;
        let all = self.everywhere(&guards).ok_or_else(|| self.bug("a register without lanes"))?;
        let (whole, single, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.ins().brif(all, whole, &[], single, &[]);

        self.b.switch_to_block(whole);
        self.store(src, to, 1)?;
        self.b.ins().jump(done, &[]);

        self.b.switch_to_block(single);
        if ty.lanes > 1 {
            let (offsets, (pointer, at)) = self.guarded_address(to, ty)?;
            let (guards, values) = (self.lanes(guard)?, self.lanes(src)?);
            for ((guard, value), offset) in guards.into_iter().zip(values).zip(offsets) {
                let (inside, next) = (self.b.create_block(), self.b.create_block());
                self.b.ins().brif(guard, inside, &[], next, &[]);
                self.b.switch_to_block(inside);
                self.store_lane(ty.dtype, value, pointer, at + offset);
                self.b.ins().jump(next, &[]);
                self.b.switch_to_block(next);
            }
        }
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(done);
        Ok(())
    }
}
