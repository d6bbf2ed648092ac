//! Families of instructions: the same operation on registers of 128, 256 and 512 bits.
//!
//! In: nothing. Out: [`Family`]s of AVX-512, by what they do and the bits of a lane, what AVX2 has instead ([`vex`]), and [`Narrow`]
//! families that only AVX2 needs. Must not know: programs, registers.

use iced_x86::Code::{self, *};

/// An instruction for 128, 256 and 512 bits.
pub(super) type Family = [Code; 3];

/// An instruction for 128 and 256 bits.
pub(super) type Narrow = [Code; 2];

/// Floats: add (32-bit lanes).
pub(super) const ADD_F_32: Family = [EVEX_Vaddps_xmm_k1z_xmm_xmmm128b32, EVEX_Vaddps_ymm_k1z_ymm_ymmm256b32, EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er];

/// Floats: add (64-bit lanes).
pub(super) const ADD_F_64: Family = [EVEX_Vaddpd_xmm_k1z_xmm_xmmm128b64, EVEX_Vaddpd_ymm_k1z_ymm_ymmm256b64, EVEX_Vaddpd_zmm_k1z_zmm_zmmm512b64_er];

/// Floats: sub (32-bit lanes).
pub(super) const SUB_F_32: Family = [EVEX_Vsubps_xmm_k1z_xmm_xmmm128b32, EVEX_Vsubps_ymm_k1z_ymm_ymmm256b32, EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er];

/// Floats: sub (64-bit lanes).
pub(super) const SUB_F_64: Family = [EVEX_Vsubpd_xmm_k1z_xmm_xmmm128b64, EVEX_Vsubpd_ymm_k1z_ymm_ymmm256b64, EVEX_Vsubpd_zmm_k1z_zmm_zmmm512b64_er];

/// Floats: mul (32-bit lanes).
pub(super) const MUL_F_32: Family = [EVEX_Vmulps_xmm_k1z_xmm_xmmm128b32, EVEX_Vmulps_ymm_k1z_ymm_ymmm256b32, EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er];

/// Floats: mul (64-bit lanes).
pub(super) const MUL_F_64: Family = [EVEX_Vmulpd_xmm_k1z_xmm_xmmm128b64, EVEX_Vmulpd_ymm_k1z_ymm_ymmm256b64, EVEX_Vmulpd_zmm_k1z_zmm_zmmm512b64_er];

/// Floats: div (32-bit lanes).
pub(super) const DIV_F_32: Family = [EVEX_Vdivps_xmm_k1z_xmm_xmmm128b32, EVEX_Vdivps_ymm_k1z_ymm_ymmm256b32, EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er];

/// Floats: div (64-bit lanes).
pub(super) const DIV_F_64: Family = [EVEX_Vdivpd_xmm_k1z_xmm_xmmm128b64, EVEX_Vdivpd_ymm_k1z_ymm_ymmm256b64, EVEX_Vdivpd_zmm_k1z_zmm_zmmm512b64_er];

/// Floats: times a power of two (32-bit lanes).
pub(super) const SCALE_F_32: Family = [EVEX_Vscalefps_xmm_k1z_xmm_xmmm128b32, EVEX_Vscalefps_ymm_k1z_ymm_ymmm256b32, EVEX_Vscalefps_zmm_k1z_zmm_zmmm512b32_er];

/// Floats: min (32-bit lanes).
pub(super) const MIN_F_32: Family = [EVEX_Vminps_xmm_k1z_xmm_xmmm128b32, EVEX_Vminps_ymm_k1z_ymm_ymmm256b32, EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae];

/// Floats: min (64-bit lanes).
pub(super) const MIN_F_64: Family = [EVEX_Vminpd_xmm_k1z_xmm_xmmm128b64, EVEX_Vminpd_ymm_k1z_ymm_ymmm256b64, EVEX_Vminpd_zmm_k1z_zmm_zmmm512b64_sae];

/// Floats: max (32-bit lanes).
pub(super) const MAX_F_32: Family = [EVEX_Vmaxps_xmm_k1z_xmm_xmmm128b32, EVEX_Vmaxps_ymm_k1z_ymm_ymmm256b32, EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae];

/// Floats: max (64-bit lanes).
pub(super) const MAX_F_64: Family = [EVEX_Vmaxpd_xmm_k1z_xmm_xmmm128b64, EVEX_Vmaxpd_ymm_k1z_ymm_ymmm256b64, EVEX_Vmaxpd_zmm_k1z_zmm_zmmm512b64_sae];

/// Floats: the smaller or larger, as the immediate says (32-bit lanes).
pub(super) const RANGE_F_32: Family = [EVEX_Vrangeps_xmm_k1z_xmm_xmmm128b32_imm8, EVEX_Vrangeps_ymm_k1z_ymm_ymmm256b32_imm8, EVEX_Vrangeps_zmm_k1z_zmm_zmmm512b32_imm8_sae];

/// Floats: the smaller or larger, as the immediate says (64-bit lanes).
pub(super) const RANGE_F_64: Family = [EVEX_Vrangepd_xmm_k1z_xmm_xmmm128b64_imm8, EVEX_Vrangepd_ymm_k1z_ymm_ymmm256b64_imm8, EVEX_Vrangepd_zmm_k1z_zmm_zmmm512b64_imm8_sae];

/// Floats: and (32-bit lanes).
pub(super) const AND_F_32: Family = [EVEX_Vandps_xmm_k1z_xmm_xmmm128b32, EVEX_Vandps_ymm_k1z_ymm_ymmm256b32, EVEX_Vandps_zmm_k1z_zmm_zmmm512b32];

/// Floats: and (64-bit lanes).
pub(super) const AND_F_64: Family = [EVEX_Vandpd_xmm_k1z_xmm_xmmm128b64, EVEX_Vandpd_ymm_k1z_ymm_ymmm256b64, EVEX_Vandpd_zmm_k1z_zmm_zmmm512b64];

/// Floats: or (32-bit lanes).
pub(super) const OR_F_32: Family = [EVEX_Vorps_xmm_k1z_xmm_xmmm128b32, EVEX_Vorps_ymm_k1z_ymm_ymmm256b32, EVEX_Vorps_zmm_k1z_zmm_zmmm512b32];

/// Floats: or (64-bit lanes).
pub(super) const OR_F_64: Family = [EVEX_Vorpd_xmm_k1z_xmm_xmmm128b64, EVEX_Vorpd_ymm_k1z_ymm_ymmm256b64, EVEX_Vorpd_zmm_k1z_zmm_zmmm512b64];

/// Floats: xor (32-bit lanes).
pub(super) const XOR_F_32: Family = [EVEX_Vxorps_xmm_k1z_xmm_xmmm128b32, EVEX_Vxorps_ymm_k1z_ymm_ymmm256b32, EVEX_Vxorps_zmm_k1z_zmm_zmmm512b32];

/// Floats: xor (64-bit lanes).
pub(super) const XOR_F_64: Family = [EVEX_Vxorpd_xmm_k1z_xmm_xmmm128b64, EVEX_Vxorpd_ymm_k1z_ymm_ymmm256b64, EVEX_Vxorpd_zmm_k1z_zmm_zmmm512b64];

/// Floats: square root (32-bit lanes).
pub(super) const SQRT_F_32: Family = [EVEX_Vsqrtps_xmm_k1z_xmmm128b32, EVEX_Vsqrtps_ymm_k1z_ymmm256b32, EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er];

/// Floats: square root (64-bit lanes).
pub(super) const SQRT_F_64: Family = [EVEX_Vsqrtpd_xmm_k1z_xmmm128b64, EVEX_Vsqrtpd_ymm_k1z_ymmm256b64, EVEX_Vsqrtpd_zmm_k1z_zmmm512b64_er];

/// Floats: rounding to an integer (32-bit lanes).
pub(super) const ROUND_F_32: Family = [EVEX_Vrndscaleps_xmm_k1z_xmmm128b32_imm8, EVEX_Vrndscaleps_ymm_k1z_ymmm256b32_imm8, EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae];

/// Floats: rounding to an integer (64-bit lanes).
pub(super) const ROUND_F_64: Family = [EVEX_Vrndscalepd_xmm_k1z_xmmm128b64_imm8, EVEX_Vrndscalepd_ymm_k1z_ymmm256b64_imm8, EVEX_Vrndscalepd_zmm_k1z_zmmm512b64_imm8_sae];

/// Floats: comparison to a mask (32-bit lanes).
pub(super) const COMPARE_F_32: Family = [EVEX_Vcmpps_kr_k1_xmm_xmmm128b32_imm8, EVEX_Vcmpps_kr_k1_ymm_ymmm256b32_imm8, EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae];

/// Floats: comparison to a mask (64-bit lanes).
pub(super) const COMPARE_F_64: Family = [EVEX_Vcmppd_kr_k1_xmm_xmmm128b64_imm8, EVEX_Vcmppd_kr_k1_ymm_ymmm256b64_imm8, EVEX_Vcmppd_kr_k1_zmm_zmmm512b64_imm8_sae];

/// Lanes of the second where the mask is set, else of the first (32-bit lanes).
pub(super) const BLEND_F_32: Family = [EVEX_Vblendmps_xmm_k1z_xmm_xmmm128b32, EVEX_Vblendmps_ymm_k1z_ymm_ymmm256b32, EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32];

/// Lanes of the second where the mask is set, else of the first (64-bit lanes).
pub(super) const BLEND_F_64: Family = [EVEX_Vblendmpd_xmm_k1z_xmm_xmmm128b64, EVEX_Vblendmpd_ymm_k1z_ymm_ymmm256b64, EVEX_Vblendmpd_zmm_k1z_zmm_zmmm512b64];

/// Fused multiply-add, form 132 (32-bit lanes).
pub(super) const FMA132_32: Family = [EVEX_Vfmadd132ps_xmm_k1z_xmm_xmmm128b32, EVEX_Vfmadd132ps_ymm_k1z_ymm_ymmm256b32, EVEX_Vfmadd132ps_zmm_k1z_zmm_zmmm512b32_er];

/// Fused multiply-add, form 132 (64-bit lanes).
pub(super) const FMA132_64: Family = [EVEX_Vfmadd132pd_xmm_k1z_xmm_xmmm128b64, EVEX_Vfmadd132pd_ymm_k1z_ymm_ymmm256b64, EVEX_Vfmadd132pd_zmm_k1z_zmm_zmmm512b64_er];

/// Fused multiply-add, form 213 (32-bit lanes).
pub(super) const FMA213_32: Family = [EVEX_Vfmadd213ps_xmm_k1z_xmm_xmmm128b32, EVEX_Vfmadd213ps_ymm_k1z_ymm_ymmm256b32, EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er];

/// Fused multiply-add, form 213 (64-bit lanes).
pub(super) const FMA213_64: Family = [EVEX_Vfmadd213pd_xmm_k1z_xmm_xmmm128b64, EVEX_Vfmadd213pd_ymm_k1z_ymm_ymmm256b64, EVEX_Vfmadd213pd_zmm_k1z_zmm_zmmm512b64_er];

/// Fused multiply-add, form 231 (32-bit lanes).
pub(super) const FMA231_32: Family = [EVEX_Vfmadd231ps_xmm_k1z_xmm_xmmm128b32, EVEX_Vfmadd231ps_ymm_k1z_ymm_ymmm256b32, EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er];

/// Fused multiply-add, form 231 (64-bit lanes).
pub(super) const FMA231_64: Family = [EVEX_Vfmadd231pd_xmm_k1z_xmm_xmmm128b64, EVEX_Vfmadd231pd_ymm_k1z_ymm_ymmm256b64, EVEX_Vfmadd231pd_zmm_k1z_zmm_zmmm512b64_er];

/// Sums of products of bytes, unsigned by signed ones, added to the old value.
pub(super) const DOT: Family = [EVEX_Vpdpbusd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpdpbusd_ymm_k1z_ymm_ymmm256b32, EVEX_Vpdpbusd_zmm_k1z_zmm_zmmm512b32];

/// Sums of products of two bf16 each, added to the old value.
pub(super) const DOT_PAIRS: Family = [EVEX_Vdpbf16ps_xmm_k1z_xmm_xmmm128b32, EVEX_Vdpbf16ps_ymm_k1z_ymm_ymmm256b32, EVEX_Vdpbf16ps_zmm_k1z_zmm_zmmm512b32];

/// Integers: add (32-bit lanes).
pub(super) const ADD_I_32: Family = [EVEX_Vpaddd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpaddd_ymm_k1z_ymm_ymmm256b32, EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32];

/// Integers: add (64-bit lanes).
pub(super) const ADD_I_64: Family = [EVEX_Vpaddq_xmm_k1z_xmm_xmmm128b64, EVEX_Vpaddq_ymm_k1z_ymm_ymmm256b64, EVEX_Vpaddq_zmm_k1z_zmm_zmmm512b64];

/// Integers: sub (32-bit lanes).
pub(super) const SUB_I_32: Family = [EVEX_Vpsubd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpsubd_ymm_k1z_ymm_ymmm256b32, EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32];

/// Integers: sub (64-bit lanes).
pub(super) const SUB_I_64: Family = [EVEX_Vpsubq_xmm_k1z_xmm_xmmm128b64, EVEX_Vpsubq_ymm_k1z_ymm_ymmm256b64, EVEX_Vpsubq_zmm_k1z_zmm_zmmm512b64];

/// Integers: mull (32-bit lanes).
pub(super) const MUL_I_32: Family = [EVEX_Vpmulld_xmm_k1z_xmm_xmmm128b32, EVEX_Vpmulld_ymm_k1z_ymm_ymmm256b32, EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32];

/// Integers: mull (64-bit lanes).
pub(super) const MUL_I_64: Family = [EVEX_Vpmullq_xmm_k1z_xmm_xmmm128b64, EVEX_Vpmullq_ymm_k1z_ymm_ymmm256b64, EVEX_Vpmullq_zmm_k1z_zmm_zmmm512b64];

/// Integers: mins (32-bit lanes).
pub(super) const MIN_S_I_32: Family = [EVEX_Vpminsd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpminsd_ymm_k1z_ymm_ymmm256b32, EVEX_Vpminsd_zmm_k1z_zmm_zmmm512b32];

/// Integers: mins (64-bit lanes).
pub(super) const MIN_S_I_64: Family = [EVEX_Vpminsq_xmm_k1z_xmm_xmmm128b64, EVEX_Vpminsq_ymm_k1z_ymm_ymmm256b64, EVEX_Vpminsq_zmm_k1z_zmm_zmmm512b64];

/// Integers: minu (32-bit lanes).
pub(super) const MIN_U_I_32: Family = [EVEX_Vpminud_xmm_k1z_xmm_xmmm128b32, EVEX_Vpminud_ymm_k1z_ymm_ymmm256b32, EVEX_Vpminud_zmm_k1z_zmm_zmmm512b32];

/// Integers: minu (64-bit lanes).
pub(super) const MIN_U_I_64: Family = [EVEX_Vpminuq_xmm_k1z_xmm_xmmm128b64, EVEX_Vpminuq_ymm_k1z_ymm_ymmm256b64, EVEX_Vpminuq_zmm_k1z_zmm_zmmm512b64];

/// Integers: maxs (32-bit lanes).
pub(super) const MAX_S_I_32: Family = [EVEX_Vpmaxsd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpmaxsd_ymm_k1z_ymm_ymmm256b32, EVEX_Vpmaxsd_zmm_k1z_zmm_zmmm512b32];

/// Integers: maxs (64-bit lanes).
pub(super) const MAX_S_I_64: Family = [EVEX_Vpmaxsq_xmm_k1z_xmm_xmmm128b64, EVEX_Vpmaxsq_ymm_k1z_ymm_ymmm256b64, EVEX_Vpmaxsq_zmm_k1z_zmm_zmmm512b64];

/// Integers: maxu (32-bit lanes).
pub(super) const MAX_U_I_32: Family = [EVEX_Vpmaxud_xmm_k1z_xmm_xmmm128b32, EVEX_Vpmaxud_ymm_k1z_ymm_ymmm256b32, EVEX_Vpmaxud_zmm_k1z_zmm_zmmm512b32];

/// Integers: maxu (64-bit lanes).
pub(super) const MAX_U_I_64: Family = [EVEX_Vpmaxuq_xmm_k1z_xmm_xmmm128b64, EVEX_Vpmaxuq_ymm_k1z_ymm_ymmm256b64, EVEX_Vpmaxuq_zmm_k1z_zmm_zmmm512b64];

/// Integers: and (32-bit lanes).
pub(super) const AND_I_32: Family = [EVEX_Vpandd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpandd_ymm_k1z_ymm_ymmm256b32, EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32];

/// Integers: and (64-bit lanes).
pub(super) const AND_I_64: Family = [EVEX_Vpandq_xmm_k1z_xmm_xmmm128b64, EVEX_Vpandq_ymm_k1z_ymm_ymmm256b64, EVEX_Vpandq_zmm_k1z_zmm_zmmm512b64];

/// Integers: or (32-bit lanes).
pub(super) const OR_I_32: Family = [EVEX_Vpord_xmm_k1z_xmm_xmmm128b32, EVEX_Vpord_ymm_k1z_ymm_ymmm256b32, EVEX_Vpord_zmm_k1z_zmm_zmmm512b32];

/// Integers: or (64-bit lanes).
pub(super) const OR_I_64: Family = [EVEX_Vporq_xmm_k1z_xmm_xmmm128b64, EVEX_Vporq_ymm_k1z_ymm_ymmm256b64, EVEX_Vporq_zmm_k1z_zmm_zmmm512b64];

/// Integers: xor (32-bit lanes).
pub(super) const XOR_I_32: Family = [EVEX_Vpxord_xmm_k1z_xmm_xmmm128b32, EVEX_Vpxord_ymm_k1z_ymm_ymmm256b32, EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32];

/// Integers: xor (64-bit lanes).
pub(super) const XOR_I_64: Family = [EVEX_Vpxorq_xmm_k1z_xmm_xmmm128b64, EVEX_Vpxorq_ymm_k1z_ymm_ymmm256b64, EVEX_Vpxorq_zmm_k1z_zmm_zmmm512b64];

/// Integers: absolute value (32-bit lanes).
pub(super) const ABS_I_32: Family = [EVEX_Vpabsd_xmm_k1z_xmmm128b32, EVEX_Vpabsd_ymm_k1z_ymmm256b32, EVEX_Vpabsd_zmm_k1z_zmmm512b32];

/// Integers: absolute value (64-bit lanes).
pub(super) const ABS_I_64: Family = [EVEX_Vpabsq_xmm_k1z_xmmm128b64, EVEX_Vpabsq_ymm_k1z_ymmm256b64, EVEX_Vpabsq_zmm_k1z_zmmm512b64];

/// Integers: shift by a constant (32-bit lanes).
pub(super) const SHL_IMM_32: Family = [EVEX_Vpslld_xmm_k1z_xmmm128b32_imm8, EVEX_Vpslld_ymm_k1z_ymmm256b32_imm8, EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8];

/// Integers: shift by a constant (64-bit lanes).
pub(super) const SHL_IMM_64: Family = [EVEX_Vpsllq_xmm_k1z_xmmm128b64_imm8, EVEX_Vpsllq_ymm_k1z_ymmm256b64_imm8, EVEX_Vpsllq_zmm_k1z_zmmm512b64_imm8];

/// Integers: shift lane by lane (32-bit lanes).
pub(super) const SHL_VAR_32: Family = [EVEX_Vpsllvd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpsllvd_ymm_k1z_ymm_ymmm256b32, EVEX_Vpsllvd_zmm_k1z_zmm_zmmm512b32];

/// Integers: shift lane by lane (64-bit lanes).
pub(super) const SHL_VAR_64: Family = [EVEX_Vpsllvq_xmm_k1z_xmm_xmmm128b64, EVEX_Vpsllvq_ymm_k1z_ymm_ymmm256b64, EVEX_Vpsllvq_zmm_k1z_zmm_zmmm512b64];

/// Integers: shift by a constant (32-bit lanes).
pub(super) const SHR_U_IMM_32: Family = [EVEX_Vpsrld_xmm_k1z_xmmm128b32_imm8, EVEX_Vpsrld_ymm_k1z_ymmm256b32_imm8, EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8];

/// Integers: shift by a constant (64-bit lanes).
pub(super) const SHR_U_IMM_64: Family = [EVEX_Vpsrlq_xmm_k1z_xmmm128b64_imm8, EVEX_Vpsrlq_ymm_k1z_ymmm256b64_imm8, EVEX_Vpsrlq_zmm_k1z_zmmm512b64_imm8];

/// Integers: shift lane by lane (32-bit lanes).
pub(super) const SHR_U_VAR_32: Family = [EVEX_Vpsrlvd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpsrlvd_ymm_k1z_ymm_ymmm256b32, EVEX_Vpsrlvd_zmm_k1z_zmm_zmmm512b32];

/// Integers: shift lane by lane (64-bit lanes).
pub(super) const SHR_U_VAR_64: Family = [EVEX_Vpsrlvq_xmm_k1z_xmm_xmmm128b64, EVEX_Vpsrlvq_ymm_k1z_ymm_ymmm256b64, EVEX_Vpsrlvq_zmm_k1z_zmm_zmmm512b64];

/// Integers: shift by a constant (32-bit lanes).
pub(super) const SHR_S_IMM_32: Family = [EVEX_Vpsrad_xmm_k1z_xmmm128b32_imm8, EVEX_Vpsrad_ymm_k1z_ymmm256b32_imm8, EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8];

/// Integers: shift by a constant (64-bit lanes).
pub(super) const SHR_S_IMM_64: Family = [EVEX_Vpsraq_xmm_k1z_xmmm128b64_imm8, EVEX_Vpsraq_ymm_k1z_ymmm256b64_imm8, EVEX_Vpsraq_zmm_k1z_zmmm512b64_imm8];

/// Integers: shift lane by lane (32-bit lanes).
pub(super) const SHR_S_VAR_32: Family = [EVEX_Vpsravd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpsravd_ymm_k1z_ymm_ymmm256b32, EVEX_Vpsravd_zmm_k1z_zmm_zmmm512b32];

/// Integers: shift lane by lane (64-bit lanes).
pub(super) const SHR_S_VAR_64: Family = [EVEX_Vpsravq_xmm_k1z_xmm_xmmm128b64, EVEX_Vpsravq_ymm_k1z_ymm_ymmm256b64, EVEX_Vpsravq_zmm_k1z_zmm_zmmm512b64];

/// Integers: signed comparison to a mask (32-bit lanes).
pub(super) const COMPARE_S_32: Family = [EVEX_Vpcmpd_kr_k1_xmm_xmmm128b32_imm8, EVEX_Vpcmpd_kr_k1_ymm_ymmm256b32_imm8, EVEX_Vpcmpd_kr_k1_zmm_zmmm512b32_imm8];

/// Integers: signed comparison to a mask (64-bit lanes).
pub(super) const COMPARE_S_64: Family = [EVEX_Vpcmpq_kr_k1_xmm_xmmm128b64_imm8, EVEX_Vpcmpq_kr_k1_ymm_ymmm256b64_imm8, EVEX_Vpcmpq_kr_k1_zmm_zmmm512b64_imm8];

/// Integers: unsigned comparison to a mask (32-bit lanes).
pub(super) const COMPARE_U_32: Family = [EVEX_Vpcmpud_kr_k1_xmm_xmmm128b32_imm8, EVEX_Vpcmpud_kr_k1_ymm_ymmm256b32_imm8, EVEX_Vpcmpud_kr_k1_zmm_zmmm512b32_imm8];

/// Integers: unsigned comparison to a mask (64-bit lanes).
pub(super) const COMPARE_U_64: Family = [EVEX_Vpcmpuq_kr_k1_xmm_xmmm128b64_imm8, EVEX_Vpcmpuq_kr_k1_ymm_ymmm256b64_imm8, EVEX_Vpcmpuq_kr_k1_zmm_zmmm512b64_imm8];

/// Mask of lanes that are not zero (32-bit lanes).
pub(super) const TEST_I_32: Family = [EVEX_Vptestmd_kr_k1_xmm_xmmm128b32, EVEX_Vptestmd_kr_k1_ymm_ymmm256b32, EVEX_Vptestmd_kr_k1_zmm_zmmm512b32];

/// Mask of lanes that are not zero (64-bit lanes).
pub(super) const TEST_I_64: Family = [EVEX_Vptestmq_kr_k1_xmm_xmmm128b64, EVEX_Vptestmq_kr_k1_ymm_ymmm256b64, EVEX_Vptestmq_kr_k1_zmm_zmmm512b64];

/// Rotates the lanes of two vectors (32-bit lanes).
pub(super) const ALIGN_32: Family = [EVEX_Valignd_xmm_k1z_xmm_xmmm128b32_imm8, EVEX_Valignd_ymm_k1z_ymm_ymmm256b32_imm8, EVEX_Valignd_zmm_k1z_zmm_zmmm512b32_imm8];

/// Rotates the lanes of two vectors (64-bit lanes).
pub(super) const ALIGN_64: Family = [EVEX_Valignq_xmm_k1z_xmm_xmmm128b64_imm8, EVEX_Valignq_ymm_k1z_ymm_ymmm256b64_imm8, EVEX_Valignq_zmm_k1z_zmm_zmmm512b64_imm8];

/// Broadcast of a lane.
pub(super) const SPLAT_F_32: Family = [EVEX_Vbroadcastss_xmm_k1z_xmmm32, EVEX_Vbroadcastss_ymm_k1z_xmmm32, EVEX_Vbroadcastss_zmm_k1z_xmmm32];

/// Broadcast of a general register.
pub(super) const SPLAT_I_32: Family = [EVEX_Vpbroadcastd_xmm_k1z_r32, EVEX_Vpbroadcastd_ymm_k1z_r32, EVEX_Vpbroadcastd_zmm_k1z_r32];

/// Broadcast of a general register.
pub(super) const SPLAT_I_64: Family = [EVEX_Vpbroadcastq_xmm_k1z_r64, EVEX_Vpbroadcastq_ymm_k1z_r64, EVEX_Vpbroadcastq_zmm_k1z_r64];

/// Broadcast of a lane.
pub(super) const SPLAT_F_64: Family = [EVEX_Vpbroadcastq_xmm_k1z_xmmm64, EVEX_Vpbroadcastq_ymm_k1z_xmmm64, EVEX_Vpbroadcastq_zmm_k1z_xmmm64];

/// Load of any lanes.
pub(super) const LOAD_32: Family = [EVEX_Vmovdqu32_xmm_k1z_xmmm128, EVEX_Vmovdqu32_ymm_k1z_ymmm256, EVEX_Vmovdqu32_zmm_k1z_zmmm512];

/// Store of any lanes.
pub(super) const STORE_32: Family = [EVEX_Vmovdqu32_xmmm128_k1z_xmm, EVEX_Vmovdqu32_ymmm256_k1z_ymm, EVEX_Vmovdqu32_zmmm512_k1z_zmm];

/// Load of any lanes.
pub(super) const LOAD_64: Family = [EVEX_Vmovdqu64_xmm_k1z_xmmm128, EVEX_Vmovdqu64_ymm_k1z_ymmm256, EVEX_Vmovdqu64_zmm_k1z_zmmm512];

/// Store of any lanes.
pub(super) const STORE_64: Family = [EVEX_Vmovdqu64_xmmm128_k1z_xmm, EVEX_Vmovdqu64_ymmm256_k1z_ymm, EVEX_Vmovdqu64_zmmm512_k1z_zmm];

/// Load of floats.
pub(super) const LOAD_F: Family = [EVEX_Vmovups_xmm_k1z_xmmm128, EVEX_Vmovups_ymm_k1z_ymmm256, EVEX_Vmovups_zmm_k1z_zmmm512];

/// Store of floats.
pub(super) const STORE_F: Family = [EVEX_Vmovups_xmmm128_k1z_xmm, EVEX_Vmovups_ymmm256_k1z_ymm, EVEX_Vmovups_zmmm512_k1z_zmm];

/// Widens bytes.
pub(super) const WIDEN_S8: Family = [EVEX_Vpmovsxbd_xmm_k1z_xmmm32, EVEX_Vpmovsxbd_ymm_k1z_xmmm64, EVEX_Vpmovsxbd_zmm_k1z_xmmm128];

/// Widens 16 bits.
pub(super) const WIDEN_S16: Family = [EVEX_Vpmovsxwd_xmm_k1z_xmmm64, EVEX_Vpmovsxwd_ymm_k1z_xmmm128, EVEX_Vpmovsxwd_zmm_k1z_ymmm256];

/// Widens 32 bits to 64.
pub(super) const WIDEN_S32: Family = [EVEX_Vpmovsxdq_xmm_k1z_xmmm64, EVEX_Vpmovsxdq_ymm_k1z_xmmm128, EVEX_Vpmovsxdq_zmm_k1z_ymmm256];

/// Widens bytes.
pub(super) const WIDEN_U8: Family = [EVEX_Vpmovzxbd_xmm_k1z_xmmm32, EVEX_Vpmovzxbd_ymm_k1z_xmmm64, EVEX_Vpmovzxbd_zmm_k1z_xmmm128];

/// Widens 16 bits.
pub(super) const WIDEN_U16: Family = [EVEX_Vpmovzxwd_xmm_k1z_xmmm64, EVEX_Vpmovzxwd_ymm_k1z_xmmm128, EVEX_Vpmovzxwd_zmm_k1z_ymmm256];

/// Widens 32 bits to 64.
pub(super) const WIDEN_U32: Family = [EVEX_Vpmovzxdq_xmm_k1z_xmmm64, EVEX_Vpmovzxdq_ymm_k1z_xmmm128, EVEX_Vpmovzxdq_zmm_k1z_ymmm256];

/// Low bytes of 32-bit lanes.
pub(super) const NARROW_8: Family = [EVEX_Vpmovdb_xmmm32_k1z_xmm, EVEX_Vpmovdb_xmmm64_k1z_ymm, EVEX_Vpmovdb_xmmm128_k1z_zmm];

/// Low halves of 32-bit lanes.
pub(super) const NARROW_16: Family = [EVEX_Vpmovdw_xmmm64_k1z_xmm, EVEX_Vpmovdw_xmmm128_k1z_ymm, EVEX_Vpmovdw_ymmm256_k1z_zmm];

/// Low halves of 64-bit lanes.
pub(super) const NARROW_32: Family = [EVEX_Vpmovqd_xmmm64_k1z_xmm, EVEX_Vpmovqd_xmmm128_k1z_ymm, EVEX_Vpmovqd_ymmm256_k1z_zmm];

/// f16 to f32.
pub(super) const FROM_F16: Family = [EVEX_Vcvtph2ps_xmm_k1z_xmmm64, EVEX_Vcvtph2ps_ymm_k1z_xmmm128, EVEX_Vcvtph2ps_zmm_k1z_ymmm256_sae];

/// f32 to f16.
pub(super) const TO_F16: Family = [EVEX_Vcvtps2ph_xmmm64_k1z_xmm_imm8, EVEX_Vcvtps2ph_xmmm128_k1z_ymm_imm8, EVEX_Vcvtps2ph_ymmm256_k1z_zmm_imm8_sae];

/// f32 to f64.
pub(super) const F32_TO_F64: Family = [EVEX_Vcvtps2pd_xmm_k1z_xmmm64b32, EVEX_Vcvtps2pd_ymm_k1z_xmmm128b32, EVEX_Vcvtps2pd_zmm_k1z_ymmm256b32_sae];

/// f64 to f32, by the width of the f64.
pub(super) const F64_TO_F32: Family = [EVEX_Vcvtpd2ps_xmm_k1z_xmmm128b64, EVEX_Vcvtpd2ps_xmm_k1z_ymmm256b64, EVEX_Vcvtpd2ps_ymm_k1z_zmmm512b64_er];

/// i32 to f32.
pub(super) const I32_TO_F32: Family = [EVEX_Vcvtdq2ps_xmm_k1z_xmmm128b32, EVEX_Vcvtdq2ps_ymm_k1z_ymmm256b32, EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er];

/// u32 to f32.
pub(super) const U32_TO_F32: Family = [EVEX_Vcvtudq2ps_xmm_k1z_xmmm128b32, EVEX_Vcvtudq2ps_ymm_k1z_ymmm256b32, EVEX_Vcvtudq2ps_zmm_k1z_zmmm512b32_er];

/// i32 to f64.
pub(super) const I32_TO_F64: Family = [EVEX_Vcvtdq2pd_xmm_k1z_xmmm64b32, EVEX_Vcvtdq2pd_ymm_k1z_xmmm128b32, EVEX_Vcvtdq2pd_zmm_k1z_ymmm256b32_er];

/// u32 to f64.
pub(super) const U32_TO_F64: Family = [EVEX_Vcvtudq2pd_xmm_k1z_xmmm64b32, EVEX_Vcvtudq2pd_ymm_k1z_xmmm128b32, EVEX_Vcvtudq2pd_zmm_k1z_ymmm256b32_er];

/// i64 to f64.
pub(super) const I64_TO_F64: Family = [EVEX_Vcvtqq2pd_xmm_k1z_xmmm128b64, EVEX_Vcvtqq2pd_ymm_k1z_ymmm256b64, EVEX_Vcvtqq2pd_zmm_k1z_zmmm512b64_er];

/// u64 to f64.
pub(super) const U64_TO_F64: Family = [EVEX_Vcvtuqq2pd_xmm_k1z_xmmm128b64, EVEX_Vcvtuqq2pd_ymm_k1z_ymmm256b64, EVEX_Vcvtuqq2pd_zmm_k1z_zmmm512b64_er];

/// f32 to i32, cut off.
/// To the nearest, ties to even.
pub(super) const F32_NEAREST_I32: Family = [EVEX_Vcvtps2dq_xmm_k1z_xmmm128b32, EVEX_Vcvtps2dq_ymm_k1z_ymmm256b32, EVEX_Vcvtps2dq_zmm_k1z_zmmm512b32_er];
pub(super) const F32_TO_I32: Family = [EVEX_Vcvttps2dq_xmm_k1z_xmmm128b32, EVEX_Vcvttps2dq_ymm_k1z_ymmm256b32, EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae];

/// f32 to u32, cut off.
pub(super) const F32_TO_U32: Family = [EVEX_Vcvttps2udq_xmm_k1z_xmmm128b32, EVEX_Vcvttps2udq_ymm_k1z_ymmm256b32, EVEX_Vcvttps2udq_zmm_k1z_zmmm512b32_sae];

/// f32 to i64, cut off.
pub(super) const F32_TO_I64: Family = [EVEX_Vcvttps2qq_xmm_k1z_xmmm64b32, EVEX_Vcvttps2qq_ymm_k1z_xmmm128b32, EVEX_Vcvttps2qq_zmm_k1z_ymmm256b32_sae];

/// f32 to u64, cut off.
pub(super) const F32_TO_U64: Family = [EVEX_Vcvttps2uqq_xmm_k1z_xmmm64b32, EVEX_Vcvttps2uqq_ymm_k1z_xmmm128b32, EVEX_Vcvttps2uqq_zmm_k1z_ymmm256b32_sae];

/// f64 to i32, cut off, by the width of the f64.
pub(super) const F64_TO_I32: Family = [EVEX_Vcvttpd2dq_xmm_k1z_xmmm128b64, EVEX_Vcvttpd2dq_xmm_k1z_ymmm256b64, EVEX_Vcvttpd2dq_ymm_k1z_zmmm512b64_sae];

/// f64 to u32, cut off, by the width of the f64.
pub(super) const F64_TO_U32: Family = [EVEX_Vcvttpd2udq_xmm_k1z_xmmm128b64, EVEX_Vcvttpd2udq_xmm_k1z_ymmm256b64, EVEX_Vcvttpd2udq_ymm_k1z_zmmm512b64_sae];

/// f64 to i64, cut off.
pub(super) const F64_TO_I64: Family = [EVEX_Vcvttpd2qq_xmm_k1z_xmmm128b64, EVEX_Vcvttpd2qq_ymm_k1z_ymmm256b64, EVEX_Vcvttpd2qq_zmm_k1z_zmmm512b64_sae];

/// f64 to u64, cut off.
pub(super) const F64_TO_U64: Family = [EVEX_Vcvttpd2uqq_xmm_k1z_xmmm128b64, EVEX_Vcvttpd2uqq_ymm_k1z_ymmm256b64, EVEX_Vcvttpd2uqq_zmm_k1z_zmmm512b64_sae];

/// Load of bytes.
pub(super) const LOAD_8: Family = [EVEX_Vmovdqu8_xmm_k1z_xmmm128, EVEX_Vmovdqu8_ymm_k1z_ymmm256, EVEX_Vmovdqu8_zmm_k1z_zmmm512];

/// Mask of bytes that are not zero.
pub(super) const TEST_8: Family = [EVEX_Vptestmb_kr_k1_xmm_xmmm128, EVEX_Vptestmb_kr_k1_ymm_ymmm256, EVEX_Vptestmb_kr_k1_zmm_zmmm512];

/// Lanes of two vectors by number; the first of them is overwritten.
pub(super) const PERMUTE_32: Family = [EVEX_Vpermt2ps_xmm_k1z_xmm_xmmm128b32, EVEX_Vpermt2ps_ymm_k1z_ymm_ymmm256b32, EVEX_Vpermt2ps_zmm_k1z_zmm_zmmm512b32];

/// Lanes of two vectors by number; the first of them is overwritten.
pub(super) const PERMUTE_64: Family = [EVEX_Vpermt2pd_xmm_k1z_xmm_xmmm128b64, EVEX_Vpermt2pd_ymm_k1z_ymm_ymmm256b64, EVEX_Vpermt2pd_zmm_k1z_zmm_zmmm512b64];

/// AVX2: all bits of lanes that are equal (32-bit lanes).
pub(super) const EQUAL_32: Narrow = [VEX_Vpcmpeqd_xmm_xmm_xmmm128, VEX_Vpcmpeqd_ymm_ymm_ymmm256];

/// AVX2: all bits of lanes that are equal (64-bit lanes).
pub(super) const EQUAL_64: Narrow = [VEX_Vpcmpeqq_xmm_xmm_xmmm128, VEX_Vpcmpeqq_ymm_ymm_ymmm256];

/// AVX2: all bits of signed lanes that are greater (32-bit lanes).
pub(super) const GREATER_32: Narrow = [VEX_Vpcmpgtd_xmm_xmm_xmmm128, VEX_Vpcmpgtd_ymm_ymm_ymmm256];

/// AVX2: all bits of signed lanes that are greater (64-bit lanes).
pub(super) const GREATER_64: Narrow = [VEX_Vpcmpgtq_xmm_xmm_xmmm128, VEX_Vpcmpgtq_ymm_ymm_ymmm256];

/// AVX2: lanes of the second where the third has all bits set, of the first where it has none.
pub(super) const BLEND: Narrow = [VEX_Vblendvps_xmm_xmm_xmmm128_xmm, VEX_Vblendvps_ymm_ymm_ymmm256_ymm];

/// AVX2: load of the lanes whose bits are set (32-bit lanes).
pub(super) const MASKED_LOAD_32: Narrow = [VEX_Vpmaskmovd_xmm_xmm_m128, VEX_Vpmaskmovd_ymm_ymm_m256];

/// AVX2: load of the lanes whose bits are set (64-bit lanes).
pub(super) const MASKED_LOAD_64: Narrow = [VEX_Vpmaskmovq_xmm_xmm_m128, VEX_Vpmaskmovq_ymm_ymm_m256];

/// AVX2: store of the lanes whose bits are set (32-bit lanes).
pub(super) const MASKED_STORE_32: Narrow = [VEX_Vpmaskmovd_m128_xmm_xmm, VEX_Vpmaskmovd_m256_ymm_ymm];

/// AVX2: store of the lanes whose bits are set (64-bit lanes).
pub(super) const MASKED_STORE_64: Narrow = [VEX_Vpmaskmovq_m128_xmm_xmm, VEX_Vpmaskmovq_m256_ymm_ymm];

/// AVX2: the highest bits of all 32-bit lanes.
pub(super) const SIGNS: Narrow = [VEX_Vmovmskps_r32_xmm, VEX_Vmovmskps_r32_ymm];

/// AVX2: lanes of both by number (32-bit lanes).
pub(super) const SHUFFLE_32: Narrow = [VEX_Vshufps_xmm_xmm_xmmm128_imm8, VEX_Vshufps_ymm_ymm_ymmm256_imm8];

/// AVX2: lanes of both by number (64-bit lanes).
pub(super) const SHUFFLE_64: Narrow = [VEX_Vshufpd_xmm_xmm_xmmm128_imm8, VEX_Vshufpd_ymm_ymm_ymmm256_imm8];

/// The instruction of AVX2 and its companions for one of AVX-512 without mask, what is a mask there being a vector whose lanes have all
/// bits set or none; none where there is no such instruction.
pub(super) fn vex(code: Code) -> Option<Code> {
    Some(match code {
        EVEX_Vaddps_xmm_k1z_xmm_xmmm128b32 => VEX_Vaddps_xmm_xmm_xmmm128,
        EVEX_Vaddps_ymm_k1z_ymm_ymmm256b32 => VEX_Vaddps_ymm_ymm_ymmm256,
        EVEX_Vaddpd_xmm_k1z_xmm_xmmm128b64 => VEX_Vaddpd_xmm_xmm_xmmm128,
        EVEX_Vaddpd_ymm_k1z_ymm_ymmm256b64 => VEX_Vaddpd_ymm_ymm_ymmm256,
        EVEX_Vsubps_xmm_k1z_xmm_xmmm128b32 => VEX_Vsubps_xmm_xmm_xmmm128,
        EVEX_Vsubps_ymm_k1z_ymm_ymmm256b32 => VEX_Vsubps_ymm_ymm_ymmm256,
        EVEX_Vsubpd_xmm_k1z_xmm_xmmm128b64 => VEX_Vsubpd_xmm_xmm_xmmm128,
        EVEX_Vsubpd_ymm_k1z_ymm_ymmm256b64 => VEX_Vsubpd_ymm_ymm_ymmm256,
        EVEX_Vmulps_xmm_k1z_xmm_xmmm128b32 => VEX_Vmulps_xmm_xmm_xmmm128,
        EVEX_Vmulps_ymm_k1z_ymm_ymmm256b32 => VEX_Vmulps_ymm_ymm_ymmm256,
        EVEX_Vmulpd_xmm_k1z_xmm_xmmm128b64 => VEX_Vmulpd_xmm_xmm_xmmm128,
        EVEX_Vmulpd_ymm_k1z_ymm_ymmm256b64 => VEX_Vmulpd_ymm_ymm_ymmm256,
        EVEX_Vdivps_xmm_k1z_xmm_xmmm128b32 => VEX_Vdivps_xmm_xmm_xmmm128,
        EVEX_Vdivps_ymm_k1z_ymm_ymmm256b32 => VEX_Vdivps_ymm_ymm_ymmm256,
        EVEX_Vdivpd_xmm_k1z_xmm_xmmm128b64 => VEX_Vdivpd_xmm_xmm_xmmm128,
        EVEX_Vdivpd_ymm_k1z_ymm_ymmm256b64 => VEX_Vdivpd_ymm_ymm_ymmm256,
        EVEX_Vminps_xmm_k1z_xmm_xmmm128b32 => VEX_Vminps_xmm_xmm_xmmm128,
        EVEX_Vminps_ymm_k1z_ymm_ymmm256b32 => VEX_Vminps_ymm_ymm_ymmm256,
        EVEX_Vminpd_xmm_k1z_xmm_xmmm128b64 => VEX_Vminpd_xmm_xmm_xmmm128,
        EVEX_Vminpd_ymm_k1z_ymm_ymmm256b64 => VEX_Vminpd_ymm_ymm_ymmm256,
        EVEX_Vmaxps_xmm_k1z_xmm_xmmm128b32 => VEX_Vmaxps_xmm_xmm_xmmm128,
        EVEX_Vmaxps_ymm_k1z_ymm_ymmm256b32 => VEX_Vmaxps_ymm_ymm_ymmm256,
        EVEX_Vmaxpd_xmm_k1z_xmm_xmmm128b64 => VEX_Vmaxpd_xmm_xmm_xmmm128,
        EVEX_Vmaxpd_ymm_k1z_ymm_ymmm256b64 => VEX_Vmaxpd_ymm_ymm_ymmm256,
        EVEX_Vandps_xmm_k1z_xmm_xmmm128b32 => VEX_Vandps_xmm_xmm_xmmm128,
        EVEX_Vandps_ymm_k1z_ymm_ymmm256b32 => VEX_Vandps_ymm_ymm_ymmm256,
        EVEX_Vandpd_xmm_k1z_xmm_xmmm128b64 => VEX_Vandpd_xmm_xmm_xmmm128,
        EVEX_Vandpd_ymm_k1z_ymm_ymmm256b64 => VEX_Vandpd_ymm_ymm_ymmm256,
        EVEX_Vorps_xmm_k1z_xmm_xmmm128b32 => VEX_Vorps_xmm_xmm_xmmm128,
        EVEX_Vorps_ymm_k1z_ymm_ymmm256b32 => VEX_Vorps_ymm_ymm_ymmm256,
        EVEX_Vorpd_xmm_k1z_xmm_xmmm128b64 => VEX_Vorpd_xmm_xmm_xmmm128,
        EVEX_Vorpd_ymm_k1z_ymm_ymmm256b64 => VEX_Vorpd_ymm_ymm_ymmm256,
        EVEX_Vxorps_xmm_k1z_xmm_xmmm128b32 => VEX_Vxorps_xmm_xmm_xmmm128,
        EVEX_Vxorps_ymm_k1z_ymm_ymmm256b32 => VEX_Vxorps_ymm_ymm_ymmm256,
        EVEX_Vxorpd_xmm_k1z_xmm_xmmm128b64 => VEX_Vxorpd_xmm_xmm_xmmm128,
        EVEX_Vxorpd_ymm_k1z_ymm_ymmm256b64 => VEX_Vxorpd_ymm_ymm_ymmm256,
        EVEX_Vsqrtps_xmm_k1z_xmmm128b32 => VEX_Vsqrtps_xmm_xmmm128,
        EVEX_Vsqrtps_ymm_k1z_ymmm256b32 => VEX_Vsqrtps_ymm_ymmm256,
        EVEX_Vsqrtpd_xmm_k1z_xmmm128b64 => VEX_Vsqrtpd_xmm_xmmm128,
        EVEX_Vsqrtpd_ymm_k1z_ymmm256b64 => VEX_Vsqrtpd_ymm_ymmm256,
        EVEX_Vrndscaleps_xmm_k1z_xmmm128b32_imm8 => VEX_Vroundps_xmm_xmmm128_imm8,
        EVEX_Vrndscaleps_ymm_k1z_ymmm256b32_imm8 => VEX_Vroundps_ymm_ymmm256_imm8,
        EVEX_Vrndscalepd_xmm_k1z_xmmm128b64_imm8 => VEX_Vroundpd_xmm_xmmm128_imm8,
        EVEX_Vrndscalepd_ymm_k1z_ymmm256b64_imm8 => VEX_Vroundpd_ymm_ymmm256_imm8,
        EVEX_Vcmpps_kr_k1_xmm_xmmm128b32_imm8 => VEX_Vcmpps_xmm_xmm_xmmm128_imm8,
        EVEX_Vcmpps_kr_k1_ymm_ymmm256b32_imm8 => VEX_Vcmpps_ymm_ymm_ymmm256_imm8,
        EVEX_Vcmppd_kr_k1_xmm_xmmm128b64_imm8 => VEX_Vcmppd_xmm_xmm_xmmm128_imm8,
        EVEX_Vcmppd_kr_k1_ymm_ymmm256b64_imm8 => VEX_Vcmppd_ymm_ymm_ymmm256_imm8,
        EVEX_Vfmadd132ps_xmm_k1z_xmm_xmmm128b32 => VEX_Vfmadd132ps_xmm_xmm_xmmm128,
        EVEX_Vfmadd132ps_ymm_k1z_ymm_ymmm256b32 => VEX_Vfmadd132ps_ymm_ymm_ymmm256,
        EVEX_Vfmadd132pd_xmm_k1z_xmm_xmmm128b64 => VEX_Vfmadd132pd_xmm_xmm_xmmm128,
        EVEX_Vfmadd132pd_ymm_k1z_ymm_ymmm256b64 => VEX_Vfmadd132pd_ymm_ymm_ymmm256,
        EVEX_Vfmadd213ps_xmm_k1z_xmm_xmmm128b32 => VEX_Vfmadd213ps_xmm_xmm_xmmm128,
        EVEX_Vfmadd213ps_ymm_k1z_ymm_ymmm256b32 => VEX_Vfmadd213ps_ymm_ymm_ymmm256,
        EVEX_Vfmadd213pd_xmm_k1z_xmm_xmmm128b64 => VEX_Vfmadd213pd_xmm_xmm_xmmm128,
        EVEX_Vfmadd213pd_ymm_k1z_ymm_ymmm256b64 => VEX_Vfmadd213pd_ymm_ymm_ymmm256,
        EVEX_Vfmadd231ps_xmm_k1z_xmm_xmmm128b32 => VEX_Vfmadd231ps_xmm_xmm_xmmm128,
        EVEX_Vfmadd231ps_ymm_k1z_ymm_ymmm256b32 => VEX_Vfmadd231ps_ymm_ymm_ymmm256,
        EVEX_Vfmadd231pd_xmm_k1z_xmm_xmmm128b64 => VEX_Vfmadd231pd_xmm_xmm_xmmm128,
        EVEX_Vfmadd231pd_ymm_k1z_ymm_ymmm256b64 => VEX_Vfmadd231pd_ymm_ymm_ymmm256,
        EVEX_Vpaddd_xmm_k1z_xmm_xmmm128b32 => VEX_Vpaddd_xmm_xmm_xmmm128,
        EVEX_Vpaddd_ymm_k1z_ymm_ymmm256b32 => VEX_Vpaddd_ymm_ymm_ymmm256,
        EVEX_Vpaddq_xmm_k1z_xmm_xmmm128b64 => VEX_Vpaddq_xmm_xmm_xmmm128,
        EVEX_Vpaddq_ymm_k1z_ymm_ymmm256b64 => VEX_Vpaddq_ymm_ymm_ymmm256,
        EVEX_Vpsubd_xmm_k1z_xmm_xmmm128b32 => VEX_Vpsubd_xmm_xmm_xmmm128,
        EVEX_Vpsubd_ymm_k1z_ymm_ymmm256b32 => VEX_Vpsubd_ymm_ymm_ymmm256,
        EVEX_Vpsubq_xmm_k1z_xmm_xmmm128b64 => VEX_Vpsubq_xmm_xmm_xmmm128,
        EVEX_Vpsubq_ymm_k1z_ymm_ymmm256b64 => VEX_Vpsubq_ymm_ymm_ymmm256,
        EVEX_Vpmulld_xmm_k1z_xmm_xmmm128b32 => VEX_Vpmulld_xmm_xmm_xmmm128,
        EVEX_Vpmulld_ymm_k1z_ymm_ymmm256b32 => VEX_Vpmulld_ymm_ymm_ymmm256,
        EVEX_Vpminsd_xmm_k1z_xmm_xmmm128b32 => VEX_Vpminsd_xmm_xmm_xmmm128,
        EVEX_Vpminsd_ymm_k1z_ymm_ymmm256b32 => VEX_Vpminsd_ymm_ymm_ymmm256,
        EVEX_Vpminud_xmm_k1z_xmm_xmmm128b32 => VEX_Vpminud_xmm_xmm_xmmm128,
        EVEX_Vpminud_ymm_k1z_ymm_ymmm256b32 => VEX_Vpminud_ymm_ymm_ymmm256,
        EVEX_Vpmaxsd_xmm_k1z_xmm_xmmm128b32 => VEX_Vpmaxsd_xmm_xmm_xmmm128,
        EVEX_Vpmaxsd_ymm_k1z_ymm_ymmm256b32 => VEX_Vpmaxsd_ymm_ymm_ymmm256,
        EVEX_Vpmaxud_xmm_k1z_xmm_xmmm128b32 => VEX_Vpmaxud_xmm_xmm_xmmm128,
        EVEX_Vpmaxud_ymm_k1z_ymm_ymmm256b32 => VEX_Vpmaxud_ymm_ymm_ymmm256,
        EVEX_Vpandd_xmm_k1z_xmm_xmmm128b32 => VEX_Vpand_xmm_xmm_xmmm128,
        EVEX_Vpandd_ymm_k1z_ymm_ymmm256b32 => VEX_Vpand_ymm_ymm_ymmm256,
        EVEX_Vpandq_xmm_k1z_xmm_xmmm128b64 => VEX_Vpand_xmm_xmm_xmmm128,
        EVEX_Vpandq_ymm_k1z_ymm_ymmm256b64 => VEX_Vpand_ymm_ymm_ymmm256,
        EVEX_Vpord_xmm_k1z_xmm_xmmm128b32 => VEX_Vpor_xmm_xmm_xmmm128,
        EVEX_Vpord_ymm_k1z_ymm_ymmm256b32 => VEX_Vpor_ymm_ymm_ymmm256,
        EVEX_Vporq_xmm_k1z_xmm_xmmm128b64 => VEX_Vpor_xmm_xmm_xmmm128,
        EVEX_Vporq_ymm_k1z_ymm_ymmm256b64 => VEX_Vpor_ymm_ymm_ymmm256,
        EVEX_Vpxord_xmm_k1z_xmm_xmmm128b32 => VEX_Vpxor_xmm_xmm_xmmm128,
        EVEX_Vpxord_ymm_k1z_ymm_ymmm256b32 => VEX_Vpxor_ymm_ymm_ymmm256,
        EVEX_Vpxorq_xmm_k1z_xmm_xmmm128b64 => VEX_Vpxor_xmm_xmm_xmmm128,
        EVEX_Vpxorq_ymm_k1z_ymm_ymmm256b64 => VEX_Vpxor_ymm_ymm_ymmm256,
        EVEX_Vpabsd_xmm_k1z_xmmm128b32 => VEX_Vpabsd_xmm_xmmm128,
        EVEX_Vpabsd_ymm_k1z_ymmm256b32 => VEX_Vpabsd_ymm_ymmm256,
        EVEX_Vpslld_xmm_k1z_xmmm128b32_imm8 => VEX_Vpslld_xmm_xmm_imm8,
        EVEX_Vpslld_ymm_k1z_ymmm256b32_imm8 => VEX_Vpslld_ymm_ymm_imm8,
        EVEX_Vpsllq_xmm_k1z_xmmm128b64_imm8 => VEX_Vpsllq_xmm_xmm_imm8,
        EVEX_Vpsllq_ymm_k1z_ymmm256b64_imm8 => VEX_Vpsllq_ymm_ymm_imm8,
        EVEX_Vpsllvd_xmm_k1z_xmm_xmmm128b32 => VEX_Vpsllvd_xmm_xmm_xmmm128,
        EVEX_Vpsllvd_ymm_k1z_ymm_ymmm256b32 => VEX_Vpsllvd_ymm_ymm_ymmm256,
        EVEX_Vpsllvq_xmm_k1z_xmm_xmmm128b64 => VEX_Vpsllvq_xmm_xmm_xmmm128,
        EVEX_Vpsllvq_ymm_k1z_ymm_ymmm256b64 => VEX_Vpsllvq_ymm_ymm_ymmm256,
        EVEX_Vpsrld_xmm_k1z_xmmm128b32_imm8 => VEX_Vpsrld_xmm_xmm_imm8,
        EVEX_Vpsrld_ymm_k1z_ymmm256b32_imm8 => VEX_Vpsrld_ymm_ymm_imm8,
        EVEX_Vpsrlq_xmm_k1z_xmmm128b64_imm8 => VEX_Vpsrlq_xmm_xmm_imm8,
        EVEX_Vpsrlq_ymm_k1z_ymmm256b64_imm8 => VEX_Vpsrlq_ymm_ymm_imm8,
        EVEX_Vpsrlvd_xmm_k1z_xmm_xmmm128b32 => VEX_Vpsrlvd_xmm_xmm_xmmm128,
        EVEX_Vpsrlvd_ymm_k1z_ymm_ymmm256b32 => VEX_Vpsrlvd_ymm_ymm_ymmm256,
        EVEX_Vpsrlvq_xmm_k1z_xmm_xmmm128b64 => VEX_Vpsrlvq_xmm_xmm_xmmm128,
        EVEX_Vpsrlvq_ymm_k1z_ymm_ymmm256b64 => VEX_Vpsrlvq_ymm_ymm_ymmm256,
        EVEX_Vpsrad_xmm_k1z_xmmm128b32_imm8 => VEX_Vpsrad_xmm_xmm_imm8,
        EVEX_Vpsrad_ymm_k1z_ymmm256b32_imm8 => VEX_Vpsrad_ymm_ymm_imm8,
        EVEX_Vpsravd_xmm_k1z_xmm_xmmm128b32 => VEX_Vpsravd_xmm_xmm_xmmm128,
        EVEX_Vpsravd_ymm_k1z_ymm_ymmm256b32 => VEX_Vpsravd_ymm_ymm_ymmm256,
        EVEX_Vbroadcastss_xmm_k1z_xmmm32 => VEX_Vpbroadcastd_xmm_xmmm32,
        EVEX_Vbroadcastss_ymm_k1z_xmmm32 => VEX_Vpbroadcastd_ymm_xmmm32,
        EVEX_Vpbroadcastq_xmm_k1z_xmmm64 => VEX_Vpbroadcastq_xmm_xmmm64,
        EVEX_Vpbroadcastq_ymm_k1z_xmmm64 => VEX_Vpbroadcastq_ymm_xmmm64,
        EVEX_Vmovdqu32_xmm_k1z_xmmm128 => VEX_Vmovdqu_xmm_xmmm128,
        EVEX_Vmovdqu32_ymm_k1z_ymmm256 => VEX_Vmovdqu_ymm_ymmm256,
        EVEX_Vmovdqu32_xmmm128_k1z_xmm => VEX_Vmovdqu_xmmm128_xmm,
        EVEX_Vmovdqu32_ymmm256_k1z_ymm => VEX_Vmovdqu_ymmm256_ymm,
        EVEX_Vmovdqu64_xmm_k1z_xmmm128 => VEX_Vmovdqu_xmm_xmmm128,
        EVEX_Vmovdqu64_ymm_k1z_ymmm256 => VEX_Vmovdqu_ymm_ymmm256,
        EVEX_Vmovdqu64_xmmm128_k1z_xmm => VEX_Vmovdqu_xmmm128_xmm,
        EVEX_Vmovdqu64_ymmm256_k1z_ymm => VEX_Vmovdqu_ymmm256_ymm,
        EVEX_Vmovups_xmm_k1z_xmmm128 => VEX_Vmovups_xmm_xmmm128,
        EVEX_Vmovups_ymm_k1z_ymmm256 => VEX_Vmovups_ymm_ymmm256,
        EVEX_Vmovups_xmmm128_k1z_xmm => VEX_Vmovups_xmmm128_xmm,
        EVEX_Vmovups_ymmm256_k1z_ymm => VEX_Vmovups_ymmm256_ymm,
        EVEX_Vpmovsxbd_xmm_k1z_xmmm32 => VEX_Vpmovsxbd_xmm_xmmm32,
        EVEX_Vpmovsxbd_ymm_k1z_xmmm64 => VEX_Vpmovsxbd_ymm_xmmm64,
        EVEX_Vpmovsxwd_xmm_k1z_xmmm64 => VEX_Vpmovsxwd_xmm_xmmm64,
        EVEX_Vpmovsxwd_ymm_k1z_xmmm128 => VEX_Vpmovsxwd_ymm_xmmm128,
        EVEX_Vpmovsxdq_xmm_k1z_xmmm64 => VEX_Vpmovsxdq_xmm_xmmm64,
        EVEX_Vpmovsxdq_ymm_k1z_xmmm128 => VEX_Vpmovsxdq_ymm_xmmm128,
        EVEX_Vpmovzxbd_xmm_k1z_xmmm32 => VEX_Vpmovzxbd_xmm_xmmm32,
        EVEX_Vpmovzxbd_ymm_k1z_xmmm64 => VEX_Vpmovzxbd_ymm_xmmm64,
        EVEX_Vpmovzxwd_xmm_k1z_xmmm64 => VEX_Vpmovzxwd_xmm_xmmm64,
        EVEX_Vpmovzxwd_ymm_k1z_xmmm128 => VEX_Vpmovzxwd_ymm_xmmm128,
        EVEX_Vpmovzxdq_xmm_k1z_xmmm64 => VEX_Vpmovzxdq_xmm_xmmm64,
        EVEX_Vpmovzxdq_ymm_k1z_xmmm128 => VEX_Vpmovzxdq_ymm_xmmm128,
        EVEX_Vcvtph2ps_xmm_k1z_xmmm64 => VEX_Vcvtph2ps_xmm_xmmm64,
        EVEX_Vcvtph2ps_ymm_k1z_xmmm128 => VEX_Vcvtph2ps_ymm_xmmm128,
        EVEX_Vcvtps2ph_xmmm64_k1z_xmm_imm8 => VEX_Vcvtps2ph_xmmm64_xmm_imm8,
        EVEX_Vcvtps2ph_xmmm128_k1z_ymm_imm8 => VEX_Vcvtps2ph_xmmm128_ymm_imm8,
        EVEX_Vcvtps2pd_xmm_k1z_xmmm64b32 => VEX_Vcvtps2pd_xmm_xmmm64,
        EVEX_Vcvtps2pd_ymm_k1z_xmmm128b32 => VEX_Vcvtps2pd_ymm_xmmm128,
        EVEX_Vcvtpd2ps_xmm_k1z_xmmm128b64 => VEX_Vcvtpd2ps_xmm_xmmm128,
        EVEX_Vcvtpd2ps_xmm_k1z_ymmm256b64 => VEX_Vcvtpd2ps_xmm_ymmm256,
        EVEX_Vcvtdq2ps_xmm_k1z_xmmm128b32 => VEX_Vcvtdq2ps_xmm_xmmm128,
        EVEX_Vcvtdq2ps_ymm_k1z_ymmm256b32 => VEX_Vcvtdq2ps_ymm_ymmm256,
        EVEX_Vcvtdq2pd_xmm_k1z_xmmm64b32 => VEX_Vcvtdq2pd_xmm_xmmm64,
        EVEX_Vcvtdq2pd_ymm_k1z_xmmm128b32 => VEX_Vcvtdq2pd_ymm_xmmm128,
        EVEX_Vcvtps2dq_xmm_k1z_xmmm128b32 => VEX_Vcvtps2dq_xmm_xmmm128,
        EVEX_Vcvtps2dq_ymm_k1z_ymmm256b32 => VEX_Vcvtps2dq_ymm_ymmm256,
        EVEX_Vcvttps2dq_xmm_k1z_xmmm128b32 => VEX_Vcvttps2dq_xmm_xmmm128,
        EVEX_Vcvttps2dq_ymm_k1z_ymmm256b32 => VEX_Vcvttps2dq_ymm_ymmm256,
        EVEX_Vcvttpd2dq_xmm_k1z_xmmm128b64 => VEX_Vcvttpd2dq_xmm_xmmm128,
        EVEX_Vcvttpd2dq_xmm_k1z_ymmm256b64 => VEX_Vcvttpd2dq_xmm_ymmm256,
        EVEX_Vmovq_xmm_rm64 => VEX_Vmovq_xmm_rm64,
        EVEX_Vmovd_xmm_rm32 => VEX_Vmovd_xmm_rm32,
        EVEX_Vmovq_rm64_xmm => VEX_Vmovq_rm64_xmm,
        EVEX_Vmovd_rm32_xmm => VEX_Vmovd_rm32_xmm,
        EVEX_Vunpcklpd_xmm_k1z_xmm_xmmm128b64 => VEX_Vunpcklpd_xmm_xmm_xmmm128,
        EVEX_Vinsertps_xmm_xmm_xmmm32_imm8 => VEX_Vinsertps_xmm_xmm_xmmm32_imm8,
        EVEX_Vpinsrq_xmm_xmm_rm64_imm8 => VEX_Vpinsrq_xmm_xmm_rm64_imm8,
        EVEX_Vpinsrd_xmm_xmm_rm32_imm8 => VEX_Vpinsrd_xmm_xmm_rm32_imm8,
        EVEX_Vinsertf32x4_ymm_k1z_ymm_xmmm128_imm8 => VEX_Vinsertf128_ymm_ymm_xmmm128_imm8,
        EVEX_Vextractf32x4_xmmm128_k1z_ymm_imm8 => VEX_Vextractf128_xmmm128_ymm_imm8,
        EVEX_Vcvtsi2sd_xmm_xmm_rm64_er => VEX_Vcvtsi2sd_xmm_xmm_rm64,
        EVEX_Vcvtsi2ss_xmm_xmm_rm64_er => VEX_Vcvtsi2ss_xmm_xmm_rm64,
        EVEX_Vmovss_xmm_k1z_m32 => VEX_Vmovss_xmm_m32,
        EVEX_Vmovsd_xmm_k1z_m64 => VEX_Vmovsd_xmm_m64,
        EVEX_Vmovss_m32_k1_xmm => VEX_Vmovss_m32_xmm,
        EVEX_Vmovsd_m64_k1_xmm => VEX_Vmovsd_m64_xmm,
        VEX_Kandw_kr_kr_kr => VEX_Vpand_ymm_ymm_ymmm256,
        VEX_Kandnw_kr_kr_kr => VEX_Vpandn_ymm_ymm_ymmm256,
        VEX_Korw_kr_kr_kr => VEX_Vpor_ymm_ymm_ymmm256,
        VEX_Kxorw_kr_kr_kr => VEX_Vpxor_ymm_ymm_ymmm256,
        _ => return None,
    })
}
