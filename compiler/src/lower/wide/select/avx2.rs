//! What AVX2 does otherwise than AVX-512: it has no masks, and neither broadcasts from general registers nor narrowing.
//!
//! In: registers of the machine form. Out: instructions of AVX2 for them. Must not know: how programs hold their registers beyond
//! [`Form`].

use frit_ir::dtype::DType;
use frit_ir::error::Error;
use frit_ir::scalar::Binary;
use frit_ir::vector::{Address, Reg, RegType};
use iced_x86::{Code, EncodingKind};

use super::super::codes::{self, Narrow};
use super::super::machine::{Alu, Constant, Instruction, Memory, Op, VReg};
use super::{Form, NEAREST, Selector, by_size, carrier, is_signed, lane_bytes};

/// Lanes 0 and 2 of the first vector, then 1 and 3 of the second, in each 128 bits.
const EVEN_THEN_ODD: i64 = 0b11_01_10_00;
/// Lanes 0 and 2 of both vectors.
const EVEN: i64 = 0b10_00_10_00;
/// As `EVEN_THEN_ODD` for 64-bit lanes, of which there are two in each 128 bits.
const FIRST_THEN_SECOND: i64 = 0b1010;
/// Exchanges the inner quarters of 256 bits.
const INNER: i64 = 0b11_01_10_00;

/// The family for lanes of so many bits.
fn by_lane(narrow: Narrow, wide: Narrow, dtype: DType) -> Narrow {
    if carrier(dtype) == Some(8) { wide } else { narrow }
}

impl Selector<'_> {
    /// Gives all instructions the codes of AVX2.
    pub(super) fn translate(&mut self) -> Result<(), Error> {
        let name = &self.program.name;
        let own = |code: Code| {
            let found = codes::vex(code).or_else(|| matches!(code.op_code().encoding(), EncodingKind::VEX | EncodingKind::Legacy).then_some(code));
            found.ok_or_else(|| Error::unsupported(format!("kernel {name}: there are no wide instructions for {:?} in AVX2", code.mnemonic())))
        };
        for instruction in &mut self.function.body {
            instruction.op = match instruction.op {
                Op::Simd(code) => Op::Simd(own(code)?),
                Op::Commutes(code) => Op::Commutes(own(code)?),
                Op::Updates(code) => Op::Updates(own(code)?),
                Op::Fma([a, b, c]) => Op::Fma([own(a)?, own(b)?, own(c)?]),
                other => other,
            };
        }
        Ok(())
    }

    // ---- masks ----

    /// Sets a bool register from the masks of a type's parts, whose lanes are as wide as those of the type.
    pub(super) fn set_lane_masks(&mut self, dst: Reg, masks: &[VReg], ty: RegType) -> Result<(), Error> {
        if ty.lanes == 1 {
            let (bits, bit) = (self.general(), self.general());
            self.emit(Op::Simd(Code::VEX_Vmovd_rm32_xmm), Some(bits), masks);
            self.emit_with(Op::Alu(Alu::And), bit, &[bits], 1);
            self.set(dst, vec![bit]);
        } else if lane_bytes(ty.dtype) == 8 {
            let width = self.width(ty)?;
            let halves: Vec<VReg> = masks.iter().map(|mask| self.low_halves(*mask, width)).collect();
            let whole = self.whole(&halves);
            self.set(dst, whole);
        } else {
            self.set(dst, masks.to_vec());
        }
        Ok(())
    }

    /// The masks of a type's parts, with lanes as wide as those of the type.
    pub(super) fn lane_masks(&mut self, masks: &[VReg], ty: RegType) -> Vec<VReg> {
        if lane_bytes(ty.dtype) == 4 {
            return masks.to_vec();
        }
        let code = codes::WIDEN_S32[usize::from(self.part_lanes(ty) == 4)];
        self.halves(masks, ty.lanes).into_iter().map(|mask| self.simd(code, &[mask])).collect()
    }

    /// A mask of the lanes of a dtype whose bits are set.
    pub(super) fn chosen_lanes(&mut self, bits: u32, dtype: DType) -> VReg {
        let size = lane_bytes(dtype);
        let lanes = self.isa.bytes() / size;
        let bytes = (0..lanes).flat_map(|lane| vec![if bits >> lane & 1 == 1 { 0xff } else { 0 }; size as usize]).collect();
        self.intern(Constant::Whole(bytes))
    }

    /// The lanes of a mask as bits of a general register.
    pub(super) fn signs(&mut self, mask: VReg, width: usize) -> VReg {
        let bits = self.general();
        self.emit(Op::Simd(codes::SIGNS[width]), Some(bits), &[mask]);
        bits
    }

    /// Mask of a comparison of integers.
    pub(super) fn compare_lanes(&mut self, op: Binary, dtype: DType, width: usize, x: VReg, y: VReg) -> VReg {
        let equal = by_lane(codes::EQUAL_32, codes::EQUAL_64, dtype)[width];
        let greater = by_lane(codes::GREATER_32, codes::GREATER_64, dtype)[width];
        let (mut x, mut y) = (x, y);
        if matches!(op, Binary::Lt | Binary::Le) && matches!(dtype, DType::U32 | DType::U64) {
            // With the highest bit flipped they are in the same order as signed numbers.
            let highest = if dtype == DType::U64 { self.bits64(1 << 63) } else { self.bits32(1 << 31) };
            let flip = by_size(codes::XOR_I_32, codes::XOR_I_64, dtype)[width];
            (x, y) = (self.simd(flip, &[x, highest]), self.simd(flip, &[y, highest]));
        }
        match op {
            Binary::Eq => self.simd(equal, &[x, y]),
            Binary::Ne => {
                let same = self.simd(equal, &[x, y]);
                self.not_mask(same)
            }
            Binary::Lt => self.simd(greater, &[y, x]),
            _ => {
                let above = self.simd(greater, &[x, y]);
                self.not_mask(above)
            }
        }
    }

    // ---- lanes ----

    /// A general register in every lane of a vector.
    pub(super) fn splat_register(&mut self, value: VReg, dtype: DType, width: usize) -> VReg {
        let wide = carrier(dtype) == Some(8);
        let first = self.simd(if wide { Code::VEX_Vmovq_xmm_rm64 } else { Code::VEX_Vmovd_xmm_rm32 }, &[value]);
        self.simd(by_size(codes::SPLAT_F_32, codes::SPLAT_F_64, dtype)[width], &[first])
    }

    /// The vector's 128 bits that have a lane, with this as their first one.
    pub(super) fn rotate(&mut self, value: VReg, lane: u32, dtype: DType) -> VReg {
        let most = 16 / lane_bytes(dtype);
        let part = if lane >= most { self.simd_with(Code::VEX_Vextractf128_xmmm128_ymm_imm8, &[value], 1) } else { value };
        match (lane % most, most) {
            (0, _) => part,
            (_, 2) => self.simd_with(Code::VEX_Vpermilpd_xmm_xmmm128_imm8, &[part], 1),
            (lane, _) => {
                let numbers = (0..most).map(|at| i64::from((lane + at) % most) << (2 * at)).sum();
                self.simd_with(Code::VEX_Vpermilps_xmm_xmmm128_imm8, &[part], numbers)
            }
        }
    }

    /// One part of a register with lanes of a vector by number.
    pub(super) fn permuted(&mut self, from: VReg, ty: RegType, numbers: &[i64]) -> Result<VReg, Error> {
        let width = self.width(ty)?;
        if carrier(ty.dtype) == Some(8) {
            let (code, bits) = if width == 1 { (Code::VEX_Vpermpd_ymm_ymmm256_imm8, 2) } else { (Code::VEX_Vpermilpd_xmm_xmmm128_imm8, 1) };
            let numbers = numbers.iter().enumerate().map(|(lane, number)| number << (bits * lane)).sum();
            return Ok(self.simd_with(code, &[from], numbers));
        }
        let numbers = self.lanes_constant(numbers, DType::I32, width);
        Ok(match width {
            1 => self.simd(Code::VEX_Vpermps_ymm_ymm_ymmm256, &[numbers, from]),
            _ => self.simd(Code::VEX_Vpermilps_xmm_xmm_xmmm128, &[from, numbers]),
        })
    }

    /// The low halves of 64-bit lanes side by side.
    pub(super) fn low_halves(&mut self, value: VReg, width: usize) -> VReg {
        let high = if width == 1 { self.simd_with(Code::VEX_Vextractf128_xmmm128_ymm_imm8, &[value], 1) } else { value };
        self.simd_with(codes::SHUFFLE_32[0], &[value, high], EVEN)
    }

    /// The low 8 or 16 bits of 32-bit lanes side by side. Lanes are within the range of the dtype; bools become 0 and 1.
    fn pack(&mut self, value: VReg, dtype: DType, width: usize) -> VReg {
        let high = if width == 1 { self.simd_with(Code::VEX_Vextractf128_xmmm128_ymm_imm8, &[value], 1) } else { value };
        let signed = is_signed(dtype) || dtype == DType::Bool;
        let (to_half, to_byte) = if signed {
            (Code::VEX_Vpackssdw_xmm_xmm_xmmm128, Code::VEX_Vpacksswb_xmm_xmm_xmmm128)
        } else {
            (Code::VEX_Vpackusdw_xmm_xmm_xmmm128, Code::VEX_Vpackuswb_xmm_xmm_xmmm128)
        };
        let halves = self.simd(to_half, &[value, high]);
        if dtype.size() == 2 {
            return halves;
        }
        let bytes = self.simd(to_byte, &[halves, halves]);
        if dtype != DType::Bool {
            return bytes;
        }
        let ones = self.bits32(0x0101_0101);
        self.simd(codes::AND_I_32[0], &[bytes, ones])
    }

    // ---- memory ----

    /// Every other element, from two vectors that overlap in one element, so that nothing behind the last live one is read.
    pub(super) fn load_shuffled(&mut self, dst: Reg, from: &Address, live: u32) -> Result<(), Error> {
        let ty = self.ty(dst);
        let (lanes, size, width) = (i64::from(self.part_lanes(ty)), ty.dtype.size() as i64, self.width(ty)?);
        let load = by_size(codes::LOAD_F, codes::LOAD_64, ty.dtype)[width];
        let masked = by_lane(codes::MASKED_LOAD_32, codes::MASKED_LOAD_64, ty.dtype)[width];
        let shuffle = by_lane(codes::SHUFFLE_32, codes::SHUFFLE_64, ty.dtype)[width];
        let numbers = if size == 8 { FIRST_THEN_SECOND } else { EVEN_THEN_ODD };
        let results = self.result(dst)?;
        for (part, result) in results.iter().enumerate() {
            let first = part as i64 * lanes;
            // Elements from this part's first on that may be read.
            let there = (2 * (i64::from(live) - first) - 1).max(0);
            let (low, high) = (self.memory(from, ty.dtype, first * 2 * size)?, self.memory(from, ty.dtype, (first * 2 + lanes - 1) * size)?);
            let (even, both) = (self.vector(), if width == 1 { self.vector() } else { *result });
            let fetch = |this: &mut Self, memory: Memory, there: i64, to: VReg| {
                if there >= lanes {
                    this.load_with(load, memory, None, to);
                } else {
                    let mask = this.chosen_lanes((1 << there.max(0)) - 1, ty.dtype);
                    this.push(Instruction { memory: Some(memory), ..Instruction::new(Op::Simd(masked), Some(to), &[mask]) });
                }
            };
            fetch(self, low, there, even);
            if there >= 2 * lanes - 1 {
                self.push(Instruction { memory: Some(high), immediate: Some(numbers), ..Instruction::new(Op::Simd(shuffle), Some(both), &[even]) });
            } else {
                let upper = self.vector();
                fetch(self, high, there - (lanes - 1), upper);
                self.emit_with(Op::Simd(shuffle), both, &[even, upper], numbers);
            }
            if width == 1 {
                self.emit_with(Op::Simd(Code::VEX_Vpermpd_ymm_ymmm256_imm8), *result, &[both], INNER);
            }
        }
        self.set(dst, results);
        Ok(())
    }

    /// Masks of the lanes that a load or store may touch. Narrow lanes have no such instructions.
    fn guards(&mut self, guard: Option<&[VReg]>, ty: RegType) -> Result<Option<Vec<VReg>>, Error> {
        let Some(guard) = guard else { return Ok(None) };
        if ty.dtype.size() < 4 {
            return Err(self.unsupported("guarded elements", ty.dtype));
        }
        let masks = self.lane_masks(guard, ty);
        if ty.lanes * lane_bytes(ty.dtype) >= 16 {
            return Ok(Some(masks));
        }
        let live = self.chosen_lanes((1 << ty.lanes) - 1, ty.dtype);
        Ok(Some(masks.into_iter().map(|mask| self.mask_op(Code::VEX_Kandw_kr_kr_kr, &[mask, live])).collect()))
    }

    /// Contiguous lanes, zero where a guard is false.
    pub(super) fn load_contiguous(&mut self, dst: Reg, from: &Address, guard: Option<&[VReg]>) -> Result<(), Error> {
        let ty = self.ty(dst);
        let Form::Vectors { width, .. } = self.form(ty)? else { return Err(self.bug("a vector was expected")) };
        let part_lanes = self.part_lanes(ty);
        let bytes = part_lanes * ty.dtype.size() as u32;
        let masks = self.guards(guard, ty)?;
        let results = self.result(dst)?;
        let code = match ty.dtype {
            DType::I8 => codes::WIDEN_S8[width],
            DType::U8 | DType::Bool => codes::WIDEN_U8[width],
            DType::I16 => codes::WIDEN_S16[width],
            DType::U16 | DType::BF16 => codes::WIDEN_U16[width],
            DType::F16 => codes::FROM_F16[width],
            DType::F32 => codes::LOAD_F[width],
            _ => by_size(codes::LOAD_32, codes::LOAD_64, ty.dtype)[width],
        };
        for (at, result) in results.iter().enumerate() {
            let memory = self.memory(from, ty.dtype, at as i64 * i64::from(bytes))?;
            if let Some(masks) = &masks {
                let code = by_lane(codes::MASKED_LOAD_32, codes::MASKED_LOAD_64, ty.dtype)[width];
                self.push(Instruction { memory: Some(memory), ..Instruction::new(Op::Simd(code), Some(*result), &[masks[at]]) });
                continue;
            }
            let raw = if matches!(ty.dtype, DType::Bool | DType::BF16) { self.vector() } else { *result };
            if part_lanes * lane_bytes(ty.dtype) >= 16 {
                self.load_with(code, memory, None, raw);
            } else if ty.dtype.size() == 4 {
                self.load_with(Code::VEX_Vmovq_xmm_xmmm64, memory, None, raw);
            } else {
                // The instruction would read more than there is.
                let bits = self.general();
                self.push(Instruction { memory: Some(memory), ..Instruction::new(Op::Load { bytes: bytes as u8, signed: false }, Some(bits), &[]) });
                let lanes = self.simd(Code::VEX_Vmovd_xmm_rm32, &[bits]);
                self.emit(Op::Simd(code), Some(raw), &[lanes]);
            }
            if ty.dtype == DType::Bool {
                let zero = self.bits32(0);
                self.emit(Op::Simd(codes::GREATER_32[width]), Some(*result), &[raw, zero]);
            } else if ty.dtype == DType::BF16 {
                self.emit_with(Op::Simd(codes::SHL_IMM_32[width]), *result, &[raw], 16);
            }
        }
        self.set(dst, results);
        Ok(())
    }

    /// Contiguous lanes, those for which a guard is true.
    pub(super) fn store_contiguous(&mut self, src: Reg, to: &Address, guard: Option<&[VReg]>) -> Result<(), Error> {
        let ty = self.ty(src);
        let values = self.get(src)?;
        let width = self.width(ty)?;
        let bytes = self.part_lanes(ty) * ty.dtype.size() as u32;
        let masks = self.guards(guard, ty)?;
        for (at, value) in values.into_iter().enumerate() {
            let memory = self.memory(to, ty.dtype, at as i64 * i64::from(bytes))?;
            if let Some(masks) = &masks {
                let code = by_lane(codes::MASKED_STORE_32, codes::MASKED_STORE_64, ty.dtype)[width];
                self.push(Instruction { memory: Some(memory), ..Instruction::new(Op::Simd(code), None, &[masks[at], value]) });
                continue;
            }
            let packed = match ty.dtype {
                DType::F16 => self.simd_with(codes::TO_F16[width], &[value], NEAREST & 7),
                DType::BF16 => {
                    let bits = self.bf16_bits(value, width);
                    self.pack(bits, ty.dtype, width)
                }
                _ if ty.dtype.size() < 4 => self.pack(value, ty.dtype, width),
                _ => value,
            };
            let (code, immediate) = match bytes {
                2 => (Code::VEX_Vpextrw_r32m16_xmm_imm8, Some(0)),
                4 => (Code::VEX_Vmovd_rm32_xmm, None),
                8 => (Code::VEX_Vmovq_xmmm64_xmm, None),
                16 => (codes::STORE_F[0], None),
                _ => (codes::STORE_F[1], None),
            };
            self.store_with(code, memory, None, packed, immediate);
        }
        Ok(())
    }
}
