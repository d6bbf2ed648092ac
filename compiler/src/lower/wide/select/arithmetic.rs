//! Chooses instructions that compute: unary and binary operations, comparisons, multiply-adds, dot products.
//!
//! In: registers of the program. Out: instructions that compute lane by lane. Must not know: where values come from or go.

use frit_ir::dtype::{Class as Kind, DType};
use frit_ir::error::Error;
use frit_ir::scalar::{Binary, Scalar, Unary};
use frit_ir::vector::{Reg, RegType};
use iced_x86::Code;

use super::super::codes::{self, Family};
use super::super::machine::{Alu, Condition, Division, Instruction, Isa, Op, VReg};
use super::{DOWN, EQUAL, GREATER, INT_EQUAL, INT_LESS, INT_LESS_OR_EQUAL, INT_NOT_EQUAL, LESS, LESS_OR_EQUAL, NEAREST, NOT_EQUAL, TO_ZERO, UNORDERED, UP, Held, Selector, by_size, carrier, integer, is_narrow_float, is_signed, power_of_two};

impl Selector<'_> {
    pub(super) fn unary(&mut self, dst: Reg, op: Unary, a: Reg) -> Result<(), Error> {
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

    pub(super) fn unary_general(&mut self, op: Unary, dtype: DType, x: VReg) -> Result<VReg, Error> {
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

    pub(super) fn unary_int(&mut self, op: Unary, dtype: DType, width: usize, x: VReg) -> Result<VReg, Error> {
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

    pub(super) fn unary_float(&mut self, op: Unary, dtype: DType, width: usize, x: VReg) -> Result<VReg, Error> {
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
    pub(super) fn compare_floats(&mut self, dst: Reg, ty: RegType, pairs: &[[VReg; 2]], predicate: i64) -> Result<(), Error> {
        let code = by_size(codes::COMPARE_F_32, codes::COMPARE_F_64, ty.dtype)[self.width(ty)?];
        let masks = pairs.iter().map(|pair| self.masking(code, pair, Some(predicate))).collect::<Vec<_>>();
        self.set_masks(dst, &masks, ty)
    }

    /// Sets a bool register from the masks of a type's parts.
    pub(super) fn set_masks(&mut self, dst: Reg, masks: &[VReg], ty: RegType) -> Result<(), Error> {
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
    pub(super) fn split_mask(&mut self, masks: &[VReg], ty: RegType) -> Vec<VReg> {
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
    pub(super) fn splat_mask(&mut self, value: VReg) -> VReg {
        let (zero, all) = (self.immediate(0), self.general());
        self.emit(Op::Alu(Alu::Sub), Some(all), &[zero, value]);
        match self.isa {
            Isa::Avx512 => self.mask_op(Code::VEX_Kmovw_kr_r32, &[all]),
            Isa::Avx2 => self.splat_register(all, DType::I64, 1),
        }
    }

    pub(super) fn not_mask(&mut self, mask: VReg) -> VReg {
        match self.isa {
            Isa::Avx512 => self.mask_op(Code::VEX_Knotw_kr_kr, &[mask]),
            Isa::Avx2 => {
                let ones = self.bits32(u32::MAX);
                self.mask_op(Code::VEX_Kxorw_kr_kr_kr, &[mask, ones])
            }
        }
    }

    // ---- operations of two operands ----

    pub(super) fn binary(&mut self, dst: Reg, op: Binary, a: Reg, b: Reg) -> Result<(), Error> {
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
    pub(super) fn compare_ints(&mut self, op: Binary, dtype: DType, width: usize, x: VReg, y: VReg) -> VReg {
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
    pub(super) fn by_lane(&mut self, dst: Reg, op: Binary, a: Reg, b: Reg) -> Result<(), Error> {
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

    pub(super) fn binary_mask(&mut self, op: Binary, x: VReg, y: VReg) -> VReg {
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
    pub(super) fn binary_float(&mut self, dst: VReg, op: Binary, dtype: DType, width: usize, x: VReg, y: VReg, known: Option<Scalar>) -> Result<(), Error> {
        let family = |narrow: Family, wide: Family| by_size(narrow, wide, dtype)[width];
        let (code, commutes) = match op {
            Binary::Add => (family(codes::ADD_F_32, codes::ADD_F_64), true),
            Binary::Sub => (family(codes::SUB_F_32, codes::SUB_F_64), false),
            Binary::Mul => (family(codes::MUL_F_32, codes::MUL_F_64), true),
            Binary::Div => (family(codes::DIV_F_32, codes::DIV_F_64), false),
            Binary::Scale if self.isa == Isa::Avx512 && dtype == DType::F32 => (codes::SCALE_F_32[width], false),
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
    pub(super) fn extreme(&mut self, dst: VReg, op: Binary, dtype: DType, width: usize, x: VReg, y: VReg, known: Option<Scalar>) {
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
        if self.isa == Isa::Avx512 {
            // Of two zeros this gives the right one, of a number and NaN the number. There the sum is NaN.
            let nan = self.masking(family(codes::COMPARE_F_32, codes::COMPARE_F_64), &[x, y], Some(UNORDERED));
            let result = if dst == x || dst == y { self.vector() } else { dst };
            let sign_of_result = 4;
            self.emit_with(Op::Simd(family(codes::RANGE_F_32, codes::RANGE_F_64)), result, &[x, y], sign_of_result + i64::from(max));
            let sum = Op::Updates(family(codes::ADD_F_32, codes::ADD_F_64));
            self.push(Instruction { mask: Some(nan), ..Instruction::new(sum, Some(result), &[x, y]) });
            if result != dst {
                self.emit(Op::Copy, Some(dst), &[result]);
            }
            return;
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
    pub(super) fn binary_int(&mut self, dst: VReg, op: Binary, dtype: DType, width: usize, x: VReg, y: VReg, known: Option<Scalar>) -> Result<(), Error> {
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

    pub(super) fn binary_general(&mut self, dst: Reg, op: Binary, dtype: DType, a: Reg, b: Reg) -> Result<(), Error> {
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
    pub(super) fn divide(&mut self, op: Binary, dtype: DType, x: VReg, y: VReg, known: Option<Scalar>) -> Result<VReg, Error> {
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

    pub(super) fn fma(&mut self, dst: Reg, a: Reg, b: Reg, c: Reg) -> Result<(), Error> {
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

    pub(super) fn dot(&mut self, dst: Reg, a: Reg, b: Reg, c: Reg) -> Result<(), Error> {
        let ty = self.ty(dst);
        let family = if ty.dtype == DType::F32 { codes::DOT_PAIRS } else { codes::DOT };
        if ty.lanes == 1 {
            // One lane of words is in a general register, and so is a sum of integers.
            let [x, y] = [a, b].map(|reg| self.one(reg).map(|word| self.simd(Code::EVEX_Vmovd_xmm_rm32, &[word])));
            let (x, y, z) = (x?, y?, self.one(c)?);
            let integer = ty.dtype.is_int();
            let sum = if integer { self.simd(Code::EVEX_Vmovd_xmm_rm32, &[z]) } else { self.vector() };
            if !integer {
                self.emit(Op::Copy, Some(sum), &[z]);
            }
            self.emit(Op::Updates(family[0]), Some(sum), &[x, y]);
            let result = if integer { self.general_of(sum, ty.dtype) } else { sum };
            self.set(dst, vec![result]);
            return Ok(());
        }
        let (xs, ys, zs) = (self.get(a)?, self.get(b)?, self.get(c)?);
        let code = family[self.width(ty)?];
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
}
