//! Chooses instructions that move lanes: selection, broadcast, extraction, insertion, joins of all lanes, repetition.
//!
//! In: registers of the program. Out: instructions that rearrange them. Must not know: memory.

use frit_ir::dtype::DType;
use frit_ir::error::Error;
use frit_ir::scalar::Binary;
use frit_ir::vector::{Reg, RegType};
use iced_x86::Code;

use super::super::codes;
use super::super::machine::{Alu, Condition, Constant, Isa, Op, VReg};
use super::{Form, Held, Selector, by_size, carrier, is_signed, lane_bytes};

impl Selector<'_> {
    pub(super) fn select(&mut self, dst: Reg, cond: Reg, a: Reg, b: Reg) -> Result<(), Error> {
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

    pub(super) fn bitcast(&mut self, dst: Reg, a: Reg) -> Result<(), Error> {
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
    pub(super) fn general_of(&mut self, value: VReg, dtype: DType) -> VReg {
        let bits = self.general();
        if carrier(dtype) == Some(8) {
            self.emit(Op::Simd(Code::EVEX_Vmovq_rm64_xmm), Some(bits), &[value]);
            return bits;
        }
        self.emit(Op::Simd(Code::EVEX_Vmovd_rm32_xmm), Some(bits), &[value]);
        if is_signed(dtype) { self.extend(bits, 4, true) } else { bits }
    }

    pub(super) fn extend(&mut self, value: VReg, bytes: u8, signed: bool) -> VReg {
        let result = self.general();
        self.emit(Op::Extend { bytes, signed }, Some(result), &[value]);
        result
    }

    // ---- lanes ----

    pub(super) fn splat(&mut self, dst: Reg, a: Reg) -> Result<(), Error> {
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
    pub(super) fn broadcast(&mut self, value: VReg, ty: RegType) -> Result<Vec<VReg>, Error> {
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
    pub(super) fn splat_int(&mut self, value: VReg, dtype: DType, width: usize) -> VReg {
        match self.isa {
            Isa::Avx512 => self.simd(by_size(codes::SPLAT_I_32, codes::SPLAT_I_64, dtype)[width], &[value]),
            Isa::Avx2 => self.splat_register(value, dtype, width),
        }
    }

    pub(super) fn ramp(&mut self, dst: Reg, a: Reg, step: i64) -> Result<(), Error> {
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
    pub(super) fn lanes_constant(&mut self, values: &[i64], dtype: DType, width: usize) -> VReg {
        let wide = carrier(dtype) == Some(8);
        let mut bytes: Vec<u8> = values.iter().flat_map(|value| if wide { value.to_le_bytes().to_vec() } else { (*value as i32).to_le_bytes().to_vec() }).collect();
        bytes.resize(16 << width, 0);
        self.intern(Constant::Whole(bytes))
    }

    /// One lane of a register.
    pub(super) fn extract(&mut self, a: Reg, lane: u32) -> Result<VReg, Error> {
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
    pub(super) fn lane_to_front(&mut self, value: VReg, lane: u32, dtype: DType, width: usize) -> VReg {
        match self.isa {
            Isa::Avx512 => self.simd_with(by_size(codes::ALIGN_32, codes::ALIGN_64, dtype)[width], &[value, value], i64::from(lane)),
            Isa::Avx2 => self.rotate(value, lane, dtype),
        }
    }

    /// A mask of the lanes of a dtype whose bits are set.
    pub(super) fn lane_mask(&mut self, bits: u32, dtype: DType) -> VReg {
        if self.isa == Isa::Avx2 {
            return self.chosen_lanes(bits, dtype);
        }
        let bits = self.immediate(i64::from(bits));
        self.mask_op(Code::VEX_Kmovw_kr_r32, &[bits])
    }

    pub(super) fn insert(&mut self, dst: Reg, a: Reg, b: Reg, lane: u32) -> Result<(), Error> {
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
    pub(super) fn gather_lanes(&mut self, lanes: &[VReg], ty: RegType) -> Result<Vec<VReg>, Error> {
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
    pub(super) fn join(&mut self, dst: Reg, op: Binary, a: Reg) -> Result<(), Error> {
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

    pub(super) fn join_parts(&mut self, dst: VReg, op: Binary, dtype: DType, width: usize, x: VReg, y: VReg) -> Result<(), Error> {
        if dtype.is_float() { self.binary_float(dst, op, dtype, width, x, y, None) } else { self.binary_int(dst, op, dtype, width, x, y, None) }
    }

    pub(super) fn join_mask(&mut self, dst: Reg, op: Binary, a: Reg) -> Result<(), Error> {
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

    /// Each lane several times.
    pub(super) fn repeat(&mut self, dst: Reg, a: Reg, times: u32) -> Result<(), Error> {
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
    pub(super) fn rearranged(&mut self, from: VReg, ty: RegType, numbers: &[i64]) -> Result<VReg, Error> {
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
}
