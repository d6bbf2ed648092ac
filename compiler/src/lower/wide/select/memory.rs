//! Chooses instructions that load and store: whole vectors, lanes at a stride, under masks.
//!
//! In: addresses of the program. Out: instructions with memory operands. Must not know: what is computed.

use std::cmp::Ordering;

use frit_ir::dtype::DType;
use frit_ir::error::Error;
use frit_ir::scalar::Scalar;
use frit_ir::vector::{Address, Reg, RegType};
use iced_x86::Code;

use super::super::codes;
use super::super::machine::{Alu, Condition, Constant, Instruction, Isa, Memory, Op, VReg};
use super::{FARTHEST, NEAREST, Form, Selector, by_size, carrier, integer, is_signed};

impl Selector<'_> {
    /// The place of an element and bytes behind it.
    pub(super) fn memory(&mut self, at: &Address, dtype: DType, behind: i64) -> Result<Memory, Error> {
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

    pub(super) fn load_with(&mut self, code: Code, memory: Memory, mask: Option<VReg>, dst: VReg) {
        self.push(Instruction { memory: Some(memory), mask, zeroing: mask.is_some(), ..Instruction::new(Op::Simd(code), Some(dst), &[]) });
    }

    pub(super) fn store_with(&mut self, code: Code, memory: Memory, mask: Option<VReg>, value: VReg, immediate: Option<i64>) {
        self.push(Instruction { memory: Some(memory), mask, immediate, ..Instruction::new(Op::Simd(code), None, &[value]) });
    }

    pub(super) fn load(&mut self, dst: Reg, from: &Address, stride: i64) -> Result<(), Error> {
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
        self.load_apart(dst, from, stride, ty.lanes)
    }

    /// The first lanes, whose elements lie apart.
    pub(super) fn load_apart(&mut self, dst: Reg, from: &Address, stride: i64, live: u32) -> Result<(), Error> {
        let whole = self.parts_in_two(dst);
        match (self.isa, stride) {
            (Isa::Avx2, 2) if whole => self.load_shuffled(dst, from, live),
            (Isa::Avx512, 2..=FARTHEST) if whole => self.load_permuted(dst, from, stride, live),
            _ => self.load_lanes(dst, from, stride, live),
        }
    }

    /// Do two vectors of at least 128 bits hold every part's elements, every other of which it is?
    pub(super) fn parts_in_two(&self, dst: Reg) -> bool {
        let ty = self.ty(dst);
        ty.dtype.size() >= 4 && self.part_lanes(ty) as usize * ty.dtype.size() >= 16
    }

    pub(super) fn prefetch(&mut self, at: &Address, write: bool) -> Result<(), Error> {
        let dtype = *self.program.params.get(at.buffer as usize).ok_or_else(|| self.bug("scratch is prefetched"))?;
        let memory = self.memory(at, dtype, 0)?;
        let code = if write { Code::Prefetchw_m8 } else { Code::Prefetcht0_m8 };
        self.push(Instruction { memory: Some(memory), ..Instruction::new(Op::Simd(code), None, &[]) });
        Ok(())
    }

    /// The first lanes, one by one; the others get the first one's element.
    pub(super) fn load_lanes(&mut self, dst: Reg, from: &Address, stride: i64, live: u32) -> Result<(), Error> {
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

    /// Elements `stride` apart, from so many vectors, the last of which overlaps the one before, so that nothing behind the last live
    /// element is read.
    fn load_permuted(&mut self, dst: Reg, from: &Address, stride: i64, live: u32) -> Result<(), Error> {
        let ty = self.ty(dst);
        let (lanes, size) = (i64::from(self.part_lanes(ty)), ty.dtype.size() as i64);
        let width = self.width(ty)?;
        let carrier = if size == 8 { DType::I64 } else { DType::I32 };
        // Where each vector begins, from the part's first element on, and which lanes are taken from it.
        let begin = |vector: i64| if vector == stride - 1 { vector * lanes - (stride - 1) } else { vector * lanes };
        let vector_of = |lane: i64| (lane * stride / lanes).min(stride - 1);
        let load = by_size(codes::LOAD_32, codes::LOAD_64, ty.dtype)[width];
        let permute = Op::Updates(by_size(codes::PERMUTE_32, codes::PERMUTE_64, ty.dtype)[width]);
        let results = self.result(dst)?;
        for (part, result) in results.iter().enumerate() {
            let first = part as i64 * lanes;
            // Elements from this part's first on that may be read.
            let there = (stride * (i64::from(live) - first - 1) + 1).max(0);
            for vector in 0..stride {
                let memory = self.memory(from, ty.dtype, (first * stride + begin(vector)) * size)?;
                let readable = there - begin(vector);
                let mask = (readable < lanes).then(|| self.lane_mask((1 << readable.max(0)) - 1, ty.dtype));
                if vector == 0 {
                    self.load_with(load, memory, mask, *result);
                    continue;
                }
                let number = |lane: i64| match vector_of(lane).cmp(&vector) {
                    Ordering::Equal => lanes + lane * stride - begin(vector),
                    Ordering::Less if vector == 1 => lane * stride,
                    _ => lane,
                };
                let numbers: Vec<i64> = (0..lanes).map(number).collect();
                let numbers = self.lanes_constant(&numbers, carrier, width);
                if mask.is_none() {
                    self.push(Instruction { memory: Some(memory), ..Instruction::new(permute, Some(*result), &[numbers]) });
                } else if readable > 0 {
                    let upper = self.vector();
                    self.load_with(load, memory, mask, upper);
                    self.emit(permute, Some(*result), &[numbers, upper]);
                } else if vector == 1 {
                    self.emit(permute, Some(*result), &[numbers, *result]);
                }
            }
        }
        self.set(dst, results);
        Ok(())
    }

    /// Bools as the lanes of a mask.
    pub(super) fn mask_of_lanes(&mut self, lanes: &[VReg], ty: RegType) -> Result<Vec<VReg>, Error> {
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
    pub(super) fn load_lane(&mut self, dtype: DType, memory: Memory, own: VReg) -> VReg {
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
    pub(super) fn load_vector(&mut self, dst: Reg, from: &Address, guard: Option<&[VReg]>) -> Result<(), Error> {
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

    pub(super) fn store(&mut self, src: Reg, to: &Address, stride: i64) -> Result<(), Error> {
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
    pub(super) fn store_every_other(&mut self, src: Reg, to: &Address) -> Result<(), Error> {
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

    pub(super) fn store_lane(&mut self, dtype: DType, value: VReg, memory: Memory) {
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
    pub(super) fn store_vector(&mut self, src: Reg, to: &Address, guard: Option<&[VReg]>) -> Result<(), Error> {
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
    pub(super) fn guard_of_lanes(&mut self, guards: Vec<VReg>, ty: RegType) -> Vec<VReg> {
        let size = if ty.dtype == DType::Bool { 1 } else { carrier(ty.dtype).unwrap_or(4) };
        if self.isa == Isa::Avx2 || ty.lanes * size >= 16 {
            return guards;
        }
        let live = self.lane_mask((1 << ty.lanes) - 1, ty.dtype);
        guards.into_iter().map(|guard| self.mask_op(Code::VEX_Kandw_kr_kr_kr, &[guard, live])).collect()
    }

    pub(super) fn guarded_load(&mut self, dst: Reg, from: &Address, guard: Reg) -> Result<(), Error> {
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

    pub(super) fn guarded_store(&mut self, src: Reg, to: &Address, guard: Reg) -> Result<(), Error> {
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
