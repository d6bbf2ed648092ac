//! Chooses instructions that change a type: wrapping and rounding to a narrower one, casts.
//!
//! In: registers of the program, types. Out: instructions that convert. Must not know: memory.

use frit_ir::dtype::DType;
use frit_ir::error::Error;
use frit_ir::scalar::{Binary, Scalar};
use frit_ir::vector::{Reg, RegType};
use iced_x86::Code;

use super::super::codes::{self, Family};
use super::super::machine::{Condition, Isa, Op, VReg};
use super::{GREATER_OR_EQUAL, NEAREST, NOT_EQUAL, ORDERED, UNORDERED, Form, Selector, by_size, carrier, is_narrow_float, is_signed};

impl Selector<'_> {
    /// Brings a general register back into the range of a dtype.
    pub(super) fn wrap_general(&mut self, value: VReg, dtype: DType) -> VReg {
        match dtype.size() {
            8 => value,
            _ if dtype == DType::Bool => value,
            size => self.extend(value, size as u8, is_signed(dtype)),
        }
    }

    /// Brings lanes back into the range of an integer dtype.
    pub(super) fn wrap(&mut self, value: VReg, dtype: DType, width: usize) -> VReg {
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
    pub(super) fn round(&mut self, value: VReg, dtype: DType, width: usize) -> VReg {
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
    pub(super) fn bf16_bits(&mut self, value: VReg, width: usize) -> VReg {
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

    pub(super) fn cast(&mut self, dst: Reg, a: Reg) -> Result<(), Error> {
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

    pub(super) fn cast_scalar(&mut self, dst: Reg, a: Reg, from: DType, to: DType, x: VReg) -> Result<(), Error> {
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
    pub(super) fn convert(&mut self, parts: &[VReg], from: RegType, to: RegType) -> Result<Vec<VReg>, Error> {
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
            (true, false) if is != DType::F64 && becomes.size() < 4 => parts.iter().map(|x| self.narrow_integers(*x, becomes, narrow_width, codes::F32_TO_I32)).collect(),
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

    /// Lanes of f32, rounded to the nearest integer, as an integer dtype of less than 32 bits.
    pub(super) fn cast_nearest(&mut self, dst: Reg, a: Reg) -> Result<(), Error> {
        let to = self.ty(dst);
        let width = self.width(self.ty(a))?;
        let parts = self.get(a)?;
        let regs = parts.iter().map(|x| self.narrow_integers(*x, to.dtype, width, codes::F32_NEAREST_I32)).collect();
        self.set(dst, regs);
        Ok(())
    }

    /// Lanes of f32 as integers of less than 32 bits, which f32 holds: as near as the dtype has it, NaN being 0. The limits are
    /// integers, so a number may be kept between them before it is rounded.
    fn narrow_integers(&mut self, x: VReg, to: DType, width: usize, family: Family) -> VReg {
        let (low, high) = to.int_range().unwrap_or((0, 1));
        let [least, most] = [low as f64, high as f64].map(|limit| self.constant(Scalar::Float(limit), DType::F32));
        // NaN becomes the limit.
        let above = self.simd(codes::MAX_F_32[width], &[x, least]);
        let within = self.simd(codes::MIN_F_32[width], &[above, most]);
        if low as f64 == 0.0 {
            return self.simd(family[width], &[within]);
        }
        let ordered = self.masking(codes::COMPARE_F_32[width], &[x, x], Some(ORDERED));
        self.zeroed(family[width], &[within], ordered)
    }

    /// Floats as integers: cut off towards zero, as near as the dtype has it, NaN being 0.
    pub(super) fn cut_off(&mut self, parts: &[VReg], from: RegType, to: DType, narrow_width: usize, wide_width: usize) -> Result<Vec<VReg>, Error> {
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
    pub(super) fn clamp(&mut self, value: VReg, dtype: DType, width: usize) -> VReg {
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
    pub(super) fn halves(&mut self, parts: &[VReg], lanes: u32) -> Vec<VReg> {
        if lanes * 8 <= self.isa.bytes() {
            return parts.to_vec();
        }
        let code = if self.isa == Isa::Avx512 { Code::EVEX_Vextractf64x4_ymmm256_k1z_zmm_imm8 } else { Code::VEX_Vextractf128_xmmm128_ymm_imm8 };
        parts.iter().flat_map(|part| [*part, self.simd_with(code, &[*part], 1)]).collect()
    }

    /// The other way round.
    pub(super) fn whole(&mut self, halves: &[VReg]) -> Vec<VReg> {
        let code = if self.isa == Isa::Avx512 { Code::EVEX_Vinsertf64x4_zmm_k1z_zmm_ymmm256_imm8 } else { Code::VEX_Vinsertf128_ymm_ymm_xmmm128_imm8 };
        halves.chunks(2).map(|pair| if let [low, high] = *pair { self.simd_with(code, &[low, high], 1) } else { pair[0] }).collect()
    }

    /// The low halves of 64-bit lanes side by side.
    pub(super) fn narrow(&mut self, value: VReg, width: usize) -> VReg {
        match self.isa {
            Isa::Avx512 => self.simd(codes::NARROW_32[width], &[value]),
            Isa::Avx2 => self.low_halves(value, width),
        }
    }
}
