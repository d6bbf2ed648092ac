//! Transcendental functions as arithmetic that every emitter has.
//!
//! In: a [`Kernel`] whose expressions may hold exponentials, logarithms, trigonometry. Out: the same kernel with each of
//! them expanded into sums, products, comparisons, selections and integer arithmetic on the bits of floats; no tables and
//! no branches, so that it runs in vectors. Must not know: emitters, machine code.
//!
//! Functions of f32 stay in f32 lanes, but for two steps that need more: where sine, cosine and tangent drop whole turns, and
//! the logarithm inside of a power. f64 has the same algorithms with longer polynomials.
//!
//! Polynomials are minimax fits: in f32 by Lawson's reweighted least squares, each coefficient in its turn rounded to f32
//! and the others fitted again; in f64 Chebyshev interpolants. The comment on each gives the largest error of what is fitted
//! over its range, with the coefficients as they stand (relative, unless said otherwise). How far whole functions are from the
//! truth stands in the tests, which hold each to its bound: 2.8 units in the last place of f32 or less (3.8 for the tangent), 4 of f64.

use std::f64::consts::{FRAC_PI_2, LN_2, LOG2_E, TAU};

use frit_ir::dtype::{Class, DType};
use frit_ir::error::Error;
use frit_ir::expr::{Expr, ExprId, Exprs};
use frit_ir::loops::{Kernel, Stmt};
use frit_ir::scalar::{Binary, Scalar, Unary};
use frit_ir::vector::Target;

/// (exp(r) - 1 - r) / r^2 on [-ln 2, ln 2]: 2^-26 of exp(r).
const EXP_F32: &[f64] =
    &[0.5000003576278687, 0.166666179895401, 0.041661228984594345, 0.008335934951901436, 0.0014104777947068214, 0.00019629750749027597];
/// (exp(r) - 1 - r) / r^2 on [-ln 2 / 2, ln 2 / 2]: 2^-28 of exp(r).
const EXP_NEAR: &[f64] = &[0.4999999403953552, 0.1666652113199234, 0.041668254882097244, 0.008368662558495998, 0.0013821468455716968];
/// (exp(r) - 1 - r) / r^2 on [-ln 2, ln 2]: 2^-29 of exp(r) - 1.
const EXPM1_F32: &[f64] = &[
    0.5,
    0.16666671633720398,
    0.04166664555668831,
    0.008332661353051662,
    0.0013889751862734556,
    0.00020091221085749567,
    2.483977732481435e-05,
];
/// (exp(r) - 1 - r) / r^2 on [-ln 2, ln 2]: 2^-57 of exp(r) - 1.
const EXP_F64: &[f64] = &[
    0.5,
    0.16666666666666663,
    0.041666666666666664,
    0.008333333333335085,
    0.0013888888888889982,
    0.0001984126983835456,
    2.4801587299766367e-05,
    2.755732130333927e-06,
    2.755732052282738e-07,
    2.5051387605090805e-08,
    2.087630673445304e-09,
    1.6178899017003842e-10,
    1.154562566086358e-11,
];
/// (exp(r) - 1 - r) / r^2 on [-ln 2 / 2, ln 2 / 2]: 2^-23 of exp(r).
const EXP_SHORT: &[f64] = &[0.4999922811985016, 0.16667114198207855, 0.041890617460012436, 0.008312659338116646];
/// (log(1 + f) - f) / f^2 on [-1/3, 1/3]: 2^-25 of log(1 + f).
const LOG_F32: &[f64] = &[
    -0.49999937415122986,
    0.33333200216293335,
    -0.250077486038208,
    0.20011074841022491,
    -0.1641702800989151,
    0.13997100293636322,
    -0.15383616089820862,
    0.14020773768424988,
];
/// (log(1 + f) - f) / f^2 on [-1/3, 1/3]: 2^-34 of log(1 + f), for powers of f32.
const LOG_POW: &[f64] = &[
    -0.49999999991095556,
    0.33333333325001285,
    -0.2500000576109734,
    0.20000005390705253,
    -0.16666066115759573,
    0.14285152376692803,
    -0.1252272305244623,
    0.11132369613814212,
    -0.09616481562767237,
    0.08732188556949,
    -0.11223666286455318,
    0.10394460947919894,
];
/// (log(1 + f) - f) / f^2 on [-1/3, 1/3]: 2^-55 of log(1 + f).
const LOG_F64: &[f64] = &[
    -0.49999999999999994,
    0.3333333333333333,
    -0.2500000000000762,
    0.20000000000007306,
    -0.16666666664409038,
    0.1428571428355068,
    -0.12500000258757513,
    0.11111111359087993,
    -0.09999984982286461,
    0.09090894699253782,
    -0.08333832009002445,
    0.0769278556058168,
    -0.07132835190623121,
    0.06657063444046214,
    -0.06373433850418735,
    0.06000618793048784,
    -0.04654484855143605,
    0.04399948352240294,
    -0.0846779719765413,
    0.0808291543676995,
];
/// (log(1 + x) - x) / x^2 on [0, 1]: 2^-27 of log(1 + x).
const LOG1P_SHORT: &[f64] = &[
    -0.4999993145465851,
    0.33330464363098145,
    -0.24958018958568573,
    0.19692102074623108,
    -0.15344880521297455,
    0.10661128163337708,
    -0.05745723098516464,
    0.020086241886019707,
    -0.003290468594059348,
];
/// (atan(x) - x) / x^3 in x^2, for x up to 1: 2^-28 of atan(x).
const ATAN_F32: &[f64] = &[
    -0.33333298563957214,
    0.1999852955341339,
    -0.14264015853405,
    0.10950878262519836,
    -0.08399287611246109,
    0.05788078531622887,
    -0.031096037477254868,
    0.01086796261370182,
    -0.0017826063558459282,
];
/// (atan(x) - x) / x^3 in x^2, for x up to 1: 2^-54 of atan(x).
const ATAN_F64: &[f64] = &[
    -0.3333333333333333,
    0.19999999999999554,
    -0.14285714285648404,
    0.11111111107234799,
    -0.09090908969557403,
    0.07692305354678655,
    -0.06666636435777692,
    0.05882074956371294,
    -0.05261265735709454,
    0.04752086773576656,
    -0.04308119655330471,
    0.03872640214042632,
    -0.033750132001619734,
    0.027567942297344678,
    -0.020238706986393514,
    0.012756172907694298,
    -0.006575683344151699,
    0.002622977891906089,
    -0.0007518472526973822,
    0.0001368724853148122,
    -1.1832505417555692e-05,
];
/// (asin(x) - x) / x^3 in x^2, for x up to 1/2: 2^-27 of asin(x).
const ASIN_F32: &[f64] = &[0.16666752099990845, 0.074953094124794, 0.04546914994716644, 0.024184780195355415, 0.04215829819440842];
/// (asin(x) - x) / x^3 in x^2, for x up to 1/2: 2^-57 of asin(x).
const ASIN_F64: &[f64] = &[
    0.16666666666666669,
    0.07499999999998433,
    0.04464285714635543,
    0.030381944138531247,
    0.02237217294214989,
    0.017352392720869973,
    0.013971212973552933,
    0.011479177415184906,
    0.01032281435018578,
    0.005457506718640358,
    0.01740087944269402,
    -0.014851887071247204,
    0.028757851367421566,
];
/// (sinh(x) - x) / x^3 in x^2, for x up to 1: 2^-25 of sinh(x).
const SINH_F32: &[f64] = &[0.1666671633720398, 0.008330270648002625, 0.00020373340521473438];
/// (sinh(x) - x) / x^3 in x^2, for x up to 1: 2^-56 of sinh(x).
const SINH_F64: &[f64] = &[
    0.16666666666666666,
    0.008333333333333299,
    0.00019841269841324198,
    2.7557319191381816e-06,
    2.5052117695907823e-08,
    1.6057679623801638e-10,
    7.746178593018827e-13,
];
/// (sin(x) - x) / x^3 in x^2, for x up to pi / 4: 2^-27 of sin(x).
const SIN: &[f64] = &[-0.16666655242443085, 0.008332189172506332, -0.00019518285989761353];
/// (cos(x) - 1 + x^2 / 2) / x^4 in x^2, for x up to pi / 4: 2^-32 of cos(x).
const COS: &[f64] = &[0.04166664555668831, -0.0013887309469282627, 2.4432327336398885e-05];
/// erf(x) / x - 1 in x^2, for x up to 1: 2^-29 of erf(x) / x.
const ERF: &[f64] = &[
    0.12837916612625122,
    -0.3761262595653534,
    0.11283578723669052,
    -0.026853347197175026,
    0.005187162198126316,
    -0.0007997853099368513,
    7.806903886375949e-05,
];
/// log(1 - erf(x)) for x in [1, 3.93]: 2^-29 of erf(x).
const ERFC_LOG: &[f64] = &[
    -0.0003415369428694248,
    -1.1270891427993774,
    -0.6381449103355408,
    -0.10310667008161545,
    0.021838003769516945,
    -0.0029476347845047712,
    0.00018637553148437291,
];
/// log2 of the part of a normal distribution that lies above x, for x up to 6: 2^-26.5 of the whole. From there it goes on falling, and
/// comes to -127 at [`ABOVE_END`].
const ABOVE_LOG2: &[f64] = &[
    -1.0,
    -1.1511054039001465,
    -0.4592054784297943,
    -0.052507705986499786,
    0.007085228338837624,
    -0.0001579282688908279,
    -0.0001755491684889421,
    3.669486250146292e-05,
    -2.570391416156781e-06,
];
const ABOVE_END: f64 = 10.08895;
/// -2^r on [-1/2, 1/2]: 2^-23.3 of it.
const MINUS_EXP2: &[f64] = &[-1.0, -0.6931470036506653, -0.24022246897220612, -0.0555071085691452, -0.009671294130384922, -0.0013269572518765926];
/// 1 / (2 pi) in pieces of 29 bits, largest first: their products with an f32 are exact in f64. What is left out counts less
/// than 2^-76 of a turn for every f32.
const TURN: [f64; 7] = [
    0.15915494272485375,
    3.6704158115630214e-10,
    5.690025167992954e-19,
    1.4703036846932608e-27,
    2.5867171752090537e-36,
    9.458140877728297e-46,
    9.301187196294348e-54,
];
/// How many of the pieces of [`TURN`] can give half a turn or more.
const TURN_PIECES_OF_TURNS: usize = 5;
/// ln 2 in two pieces, the first short enough that its products with exponents are exact.
const LN2_F32: [f64; 2] = [0.693145751953125, 1.428606765330187e-06];
/// As [`LN2_F32`].
const LN2_F64: [f64; 2] = [0.6931471805592082, 7.371002565167799e-13];
/// From here on 1 + x^2 is x^2 and log(1 + x) is log(x), while squares still are numbers.
const LARGE: f64 = (1u64 << 60) as f64;

/// What a target has besides the arithmetic that all have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Has {
    /// Fused multiply-adds.
    pub fma: bool,
    /// [`Binary::Scale`].
    pub scale: bool,
}

impl From<&Target> for Has {
    fn from(target: &Target) -> Self {
        Self { fma: target.fma, scale: target.scales() }
    }
}

/// Expands what emitters do not have in a whole kernel.
///
/// # Errors
/// Unsupported, naming the function and the dtype, where there is no expansion.
pub fn legalise_kernel(kernel: &Kernel, has: Has) -> Result<Kernel, Error> {
    let mut roots = Vec::new();
    visit(&kernel.body, &mut roots);
    let (exprs, map) = legalise(&kernel.exprs, &roots, has)?;
    let mut body = kernel.body.clone();
    rename(&mut body, &map);
    Ok(Kernel { exprs, body, ..kernel.clone() })
}

fn visit(body: &[Stmt], roots: &mut Vec<ExprId>) {
    for stmt in body {
        match stmt {
            Stmt::For { body, .. } => visit(body, roots),
            Stmt::Store { index, value, guard, .. } => roots.extend([*index, *value].into_iter().chain(*guard)),
            Stmt::Accumulate { index, value, .. } => roots.extend([*index, *value]),
        }
    }
}

fn rename(body: &mut [Stmt], map: &[ExprId]) {
    let to = |id: &mut ExprId| *id = map[id.0 as usize];
    for stmt in body {
        match stmt {
            Stmt::For { body, .. } => rename(body, map),
            Stmt::Store { index, value, guard, .. } => {
                to(index);
                to(value);
                guard.iter_mut().for_each(to);
            }
            Stmt::Accumulate { index, value, .. } => {
                to(index);
                to(value);
            }
        }
    }
}

/// Expands what emitters do not have in everything that `roots` need. Gives the new arena, and for each old expression
/// its new one (of no meaning for expressions that no root needs).
///
/// # Errors
/// Unsupported, naming the function and the dtype, where there is no expansion.
pub fn legalise(exprs: &Exprs, roots: &[ExprId], has: Has) -> Result<(Exprs, Vec<ExprId>), Error> {
    let mut math = Math { e: Exprs::new(), has };
    let mut map = vec![ExprId(0); exprs.len()];
    let mut bounds = vec![ANYTHING; exprs.len()];
    for id in exprs.reachable(roots) {
        let (expr, dtype) = &exprs.nodes()[id.0 as usize];
        let new = match expr {
            Expr::Unary(op, a) if is_math(*op) => math.unary(*op, map[a.0 as usize], bounds[a.0 as usize])?,
            Expr::Binary(op @ (Binary::Pow | Binary::Atan2), a, b) => math.binary(*op, map[a.0 as usize], map[b.0 as usize])?,
            // Where there is no such instruction it rounds twice.
            Expr::Fma(a, b, c) if !has.fma => {
                let product = math.e.mul(map[a.0 as usize], map[b.0 as usize]);
                math.e.add(product, map[c.0 as usize])
            }
            _ => math.e.rebuild(expr, *dtype, |child| map[child.0 as usize]),
        };
        map[id.0 as usize] = new;
        bounds[id.0 as usize] = bounds_of(expr, &bounds);
    }
    Ok((math.e, map))
}

/// Is this expanded here (rather than by emitters)?
fn is_math(op: Unary) -> bool {
    match op {
        Unary::Exp
        | Unary::Log
        | Unary::Log1p
        | Unary::Expm1
        | Unary::Sin
        | Unary::Cos
        | Unary::Tan
        | Unary::Asin
        | Unary::Acos
        | Unary::Atan
        | Unary::Sinh
        | Unary::Cosh
        | Unary::Tanh
        | Unary::Asinh
        | Unary::Acosh
        | Unary::Atanh
        | Unary::Erf
        | Unary::Gelu => true,
        Unary::Neg
        | Unary::Abs
        | Unary::Sign
        | Unary::Floor
        | Unary::Ceil
        | Unary::Round
        | Unary::Trunc
        | Unary::Sqrt
        | Unary::Not
        | Unary::IsNan => false,
    }
}

/// What the algorithms have to know of a binary float type.
struct Format {
    /// The unsigned integers of its width.
    bits: DType,
    fraction: u32,
    bias: i128,
    smallest_normal: f64,
    two_thirds: i128,
    /// Beyond these exponentials are 0 and infinity.
    exp_ends: [f64; 2],
    exp: &'static [f64],
    expm1: &'static [f64],
    /// From here on the hyperbolic tangent is 1.
    tanh_end: f64,
    ln2: [f64; 2],
    log: &'static [f64],
    half_pi: [f64; 2],
    atan: &'static [f64],
    asin: &'static [f64],
    sinh: &'static [f64],
}

const F32: Format = Format {
    bits: DType::U32,
    fraction: 23,
    bias: 127,
    smallest_normal: f32::MIN_POSITIVE as f64,
    two_thirds: (2f32 / 3.0).to_bits() as i128,
    exp_ends: [-104.0, 89.0],
    exp: EXP_F32,
    expm1: EXPM1_F32,
    tanh_end: 9.02,
    ln2: LN2_F32,
    log: LOG_F32,
    half_pi: [FRAC_PI_2 as f32 as f64, FRAC_PI_2 - FRAC_PI_2 as f32 as f64],
    atan: ATAN_F32,
    asin: ASIN_F32,
    sinh: SINH_F32,
};

const F64: Format = Format {
    bits: DType::U64,
    fraction: 52,
    bias: 1023,
    smallest_normal: f64::MIN_POSITIVE,
    two_thirds: (2f64 / 3.0).to_bits() as i128,
    exp_ends: [-746.0, 710.0],
    exp: EXP_F64,
    expm1: EXP_F64,
    tanh_end: 22.0,
    ln2: LN2_F64,
    log: LOG_F64,
    half_pi: [FRAC_PI_2, 6.123233995736766e-17],
    atan: ATAN_F64,
    asin: ASIN_F64,
    sinh: SINH_F64,
};

fn format(dtype: DType) -> &'static Format {
    if dtype == DType::F32 { &F32 } else { &F64 }
}

/// Bounds of an expression's value where it is a number.
type Bounds = (f64, f64);

const ANYTHING: Bounds = (f64::NEG_INFINITY, f64::INFINITY);

/// What an expression can be, from what its operands can be.
fn bounds_of(expr: &Expr, bounds: &[Bounds]) -> Bounds {
    match expr {
        Expr::Unary(Unary::Abs, _) => (0.0, f64::INFINITY),
        Expr::Unary(Unary::Neg, a) => {
            let (low, high) = bounds[a.0 as usize];
            (-high, -low)
        }
        Expr::Unary(Unary::Exp, a) => {
            let (low, high) = bounds[a.0 as usize];
            (low.exp().floor(), high.exp().ceil())
        }
        _ => ANYTHING,
    }
}

/// What is left of a number when whole steps are taken out.
struct Reduced {
    /// The rest.
    r: ExprId,
    /// How many steps.
    k: ExprId,
    /// The float that holds k and the exponent's bias in its lowest bits.
    shifted: ExprId,
}

struct Math {
    e: Exprs,
    has: Has,
}

impl Math {
    /// A function of `x`, which lies within `bounds`.
    fn unary(&mut self, op: Unary, x: ExprId, bounds: Bounds) -> Result<ExprId, Error> {
        let dtype = self.e.dtype(x);
        if self.e.as_const(x).is_some() || dtype == DType::Bool {
            return Ok(self.e.unary(op, x));
        }
        let computed = match (dtype, dtype.class()) {
            (DType::F32 | DType::F64, _) => dtype,
            (DType::F16 | DType::BF16, _) => DType::F32,
            (_, Class::Signed | Class::Unsigned) => DType::F64,
            _ => return Err(unsupported(op.name(), dtype)),
        };
        let x = self.e.cast(computed, x);
        let y = self.function(op, x, bounds).ok_or_else(|| unsupported(op.name(), dtype))?;
        Ok(self.e.cast(dtype, y))
    }

    /// Functions of f32 and f64; `None` where there is no expansion.
    fn function(&mut self, op: Unary, x: ExprId, bounds: Bounds) -> Option<ExprId> {
        let single = self.e.dtype(x) == DType::F32;
        Some(match op {
            Unary::Exp => self.exp(x, bounds),
            Unary::Log => self.log(x),
            Unary::Expm1 => self.expm1(x),
            Unary::Log1p => self.log1p(x, bounds),
            Unary::Tanh => self.tanh(x),
            Unary::Sinh => self.sinh(x),
            Unary::Cosh => self.cosh(x),
            Unary::Asinh => self.asinh(x),
            Unary::Acosh => self.acosh(x),
            Unary::Atanh => self.atanh(x),
            Unary::Atan => {
                let size = self.abs(x);
                let one = self.k(x, 1.0);
                let y = self.atan_quotient(size, one);
                self.with_sign(y, x)
            }
            Unary::Asin | Unary::Acos => self.asin_or_acos(op, x),
            Unary::Erf if single => self.erf(x),
            Unary::Gelu if single => self.gelu(x),
            Unary::Sin | Unary::Cos | Unary::Tan if single => self.trigonometric(op, x),
            _ => return None,
        })
    }

    fn binary(&mut self, op: Binary, x: ExprId, y: ExprId) -> Result<ExprId, Error> {
        let dtype = self.e.dtype(x);
        if dtype == DType::Bool || op == Binary::Pow && dtype.is_int() || self.e.as_const(x).is_some() && self.e.as_const(y).is_some() {
            return Ok(self.e.binary(op, x, y));
        }
        let computed = match dtype {
            DType::F32 | DType::F16 | DType::BF16 => DType::F32,
            DType::F64 if op == Binary::Atan2 => DType::F64,
            // A square needs no powers.
            DType::F64 if self.e.as_const(y).is_some_and(|y| y.as_f64() == 2.0) => return Ok(self.e.mul(x, x)),
            _ => return Err(unsupported(op.name(), dtype)),
        };
        let (x, y) = (self.e.cast(computed, x), self.e.cast(computed, y));
        let z = if op == Binary::Pow { self.pow(x, y) } else { self.atan2(x, y) };
        Ok(self.e.cast(dtype, z))
    }

    // ---- arithmetic ----

    /// A constant of the dtype of `like`.
    fn k(&mut self, like: ExprId, value: f64) -> ExprId {
        let dtype = self.e.dtype(like);
        self.e.float(value, dtype)
    }

    /// `a * b + c`, fused where the target can.
    fn mad(&mut self, a: ExprId, b: ExprId, c: ExprId) -> ExprId {
        if self.has.fma {
            return self.e.fma(a, b, c);
        }
        let product = self.e.mul(a, b);
        self.e.add(product, c)
    }

    /// Pairs of terms, then Horner's scheme in the square: hardly more work than without pairs, and half the wait.
    fn polynomial(&mut self, x: ExprId, coefficients: &[f64]) -> ExprId {
        let square = self.e.mul(x, x);
        let mut sum = None;
        for pair in coefficients.chunks(2).rev() {
            let mut term = self.k(x, pair[0]);
            if let Some(odd) = pair.get(1) {
                let odd = self.k(x, *odd);
                term = self.mad(odd, x, term);
            }
            sum = Some(match sum {
                Some(sum) => self.mad(sum, square, term),
                None => term,
            });
        }
        sum.unwrap_or_else(|| self.k(x, 0.0))
    }

    /// `x + x^2 p(x)`
    fn second_order(&mut self, x: ExprId, p: &[f64]) -> ExprId {
        let square = self.e.mul(x, x);
        let p = self.polynomial(x, p);
        self.mad(square, p, x)
    }

    /// `x + x z p(z)`, where `z` is the square of `x`.
    fn odd(&mut self, x: ExprId, z: ExprId, p: &[f64]) -> ExprId {
        let p = self.polynomial(z, p);
        let cube = self.e.mul(z, x);
        self.mad(cube, p, x)
    }

    fn abs(&mut self, x: ExprId) -> ExprId {
        self.e.unary(Unary::Abs, x)
    }

    fn square_root(&mut self, x: ExprId) -> ExprId {
        self.e.unary(Unary::Sqrt, x)
    }

    /// `x`, but at most `end`; NaN stays.
    fn at_most(&mut self, x: ExprId, end: f64) -> ExprId {
        let end = self.k(x, end);
        self.e.binary(Binary::Min, x, end)
    }

    fn at_least(&mut self, x: ExprId, end: f64) -> ExprId {
        let end = self.k(x, end);
        self.e.binary(Binary::Max, x, end)
    }

    fn less(&mut self, a: ExprId, b: f64) -> ExprId {
        let b = self.k(a, b);
        self.e.binary(Binary::Lt, a, b)
    }

    fn more(&mut self, a: ExprId, b: f64) -> ExprId {
        let b = self.k(a, b);
        self.e.binary(Binary::Lt, b, a)
    }

    fn equals(&mut self, a: ExprId, b: f64) -> ExprId {
        let b = self.k(a, b);
        self.e.binary(Binary::Eq, a, b)
    }

    fn format(&self, x: ExprId) -> &'static Format {
        format(self.e.dtype(x))
    }

    fn bits(&mut self, x: ExprId) -> ExprId {
        let bits = self.format(x).bits;
        self.e.bitcast(bits, x)
    }

    fn bit_op(&mut self, op: Binary, a: ExprId, b: i128) -> ExprId {
        let b = self.bit_constant(a, b);
        self.e.binary(op, a, b)
    }

    fn bit_constant(&mut self, like: ExprId, value: i128) -> ExprId {
        let dtype = self.e.dtype(like);
        self.e.constant(Scalar::Int(value), dtype)
    }

    /// The sign of a float, in its place.
    fn sign(&mut self, x: ExprId) -> ExprId {
        let bits = self.bits(x);
        let place = self.e.dtype(x).size() * 8 - 1;
        self.bit_op(Binary::And, bits, 1 << place)
    }

    /// A result that has no sign or that of `x`, with the sign of `x`.
    fn with_sign(&mut self, y: ExprId, x: ExprId) -> ExprId {
        let sign = self.sign(x);
        self.change_bits(Binary::Or, y, sign)
    }

    /// A bitwise operation on a float's bits.
    fn change_bits(&mut self, op: Binary, y: ExprId, other: ExprId) -> ExprId {
        let dtype = self.e.dtype(y);
        let bits = self.bits(y);
        let bits = self.e.binary(op, bits, other);
        self.e.bitcast(dtype, bits)
    }

    // ---- exponentials ----

    /// x = k step + r with an integer k and |r| up to half a step. The step is a sum, the first of its terms short enough that its
    /// products are exact where there is a second.
    fn reduce(&mut self, x: ExprId, step: &[f64]) -> Reduced {
        let Format { fraction, bias, .. } = *self.format(x);
        // Adding 1.5 * 2^fraction rounds to an integer, which then stands in the lowest bits: an exponent, as the bias is added too.
        let magic = self.k(x, 1.5 * 2f64.powi(fraction as i32) + bias as f64);
        let steps = self.k(x, 1.0 / step.iter().sum::<f64>());
        let shifted = self.mad(x, steps, magic);
        let k = self.e.sub(shifted, magic);
        let mut r = x;
        for part in step {
            let part = self.k(x, -part);
            r = self.mad(k, part, r);
        }
        Reduced { r, k, shifted }
    }

    /// As [`Math::reduce`], but gives r and 2^k.
    fn reduce_to_power(&mut self, x: ExprId, step: &[f64]) -> (ExprId, ExprId) {
        let Reduced { r, shifted, .. } = self.reduce(x, step);
        (r, self.power(shifted))
    }

    /// 2^k from the float that holds k and the bias in its lowest bits.
    fn power(&mut self, shifted: ExprId) -> ExprId {
        let dtype = self.e.dtype(shifted);
        let bits = self.bits(shifted);
        let bits = self.bit_op(Binary::Shl, bits, i128::from(format(dtype).fraction));
        self.e.bitcast(dtype, bits)
    }

    /// As [`Math::reduce_to_power`] for a step of 2 ln 2, so that exp x = 2^k 2^k exp r: either power is a normal number for every result.
    fn reduce_exp(&mut self, x: ExprId) -> (ExprId, ExprId) {
        let ln2 = self.format(x).ln2;
        self.reduce_to_power(x, &ln2.map(|part| 2.0 * part))
    }

    fn exp(&mut self, x: ExprId, (low, high): Bounds) -> ExprId {
        let Format { exp_ends, exp, .. } = self.format(x);
        let x = if low < exp_ends[0] { self.at_least(x, exp_ends[0]) } else { x };
        let x = if high > exp_ends[1] { self.at_most(x, exp_ends[1]) } else { x };
        self.exp_of_held(x, exp, 1.0)
    }

    /// `factor exp x` for x that has no larger result than what is just infinite, and no smaller one than 0; `exp` is the polynomial on
    /// [-ln 2, ln 2].
    fn exp_of_held(&mut self, x: ExprId, exp: &[f64], factor: f64) -> ExprId {
        if self.has.scale && self.e.dtype(x) == DType::F32 {
            let Reduced { r, k, .. } = self.reduce(x, &LN2_F32);
            let y = self.exp_of_rest(r, EXP_NEAR, factor);
            return self.e.binary(Binary::Scale, y, k);
        }
        let (r, power) = self.reduce_exp(x);
        let y = self.exp_of_rest(r, exp, factor);
        self.times_square(y, power)
    }

    /// `factor exp r`
    fn exp_of_rest(&mut self, r: ExprId, exp: &[f64], factor: f64) -> ExprId {
        let rest = self.second_order(r, exp);
        let factor = self.k(r, factor);
        let one = self.k(r, 1.0);
        if factor == one { self.e.add(rest, one) } else { self.mad(rest, factor, factor) }
    }

    /// `y power power`
    fn times_square(&mut self, y: ExprId, power: ExprId) -> ExprId {
        let y = self.e.mul(y, power);
        self.e.mul(y, power)
    }

    /// With p = exp(r) - 1 and s = 2^k: exp(x) - 1 = s^2 p + s^2 - 1 = s (s p + (s - 1/s)).
    fn expm1(&mut self, x: ExprId) -> ExprId {
        let Format { fraction, bias, exp_ends, expm1, .. } = *self.format(x);
        let held = self.at_least(x, exp_ends[0]);
        let held = self.at_most(held, exp_ends[1]);
        let (r, power) = self.reduce_exp(held);
        let p = self.second_order(r, expm1);
        let power_bits = self.bits(power);
        let one_bits = self.bit_constant(power_bits, (2 * bias) << fraction);
        let inverse = self.e.sub(one_bits, power_bits);
        let inverse = self.e.bitcast(self.e.dtype(x), inverse);
        let whole = self.e.sub(power, inverse);
        let y = self.mad(power, p, whole);
        let y = self.e.mul(y, power);
        // Of -0 it is -0.
        self.with_sign(y, x)
    }

    /// The place of e in x = 2^e m, for m in [2/3, 4/3) and x positive and normal: an integer, which [`Math::exponent`] makes a float.
    fn exponent_bits(&mut self, x: ExprId) -> ExprId {
        let Format { fraction, two_thirds, .. } = *self.format(x);
        let bits = self.bits(x);
        let above = self.bit_op(Binary::Sub, bits, two_thirds);
        self.bit_op(Binary::And, above, -1 << fraction)
    }

    /// `e ln 2 + log(1 + f)`, where `e` stands in an exponent's place.
    fn log_of_parts(&mut self, e: ExprId, f: ExprId) -> ExprId {
        let dtype = self.e.dtype(f);
        let Format { fraction, bias, log, .. } = *format(dtype);
        let rest = self.second_order(f, log);
        let (e, unit) = if dtype == DType::F32 {
            let signed = self.e.bitcast(DType::I32, e);
            (self.e.cast(dtype, signed), 2f64.powi(-(fraction as i32)))
        } else {
            // Few vectors convert 64-bit integers. One below 2^fraction, put into the fraction of 2^fraction, is that power plus the integer.
            let place = bias + i128::from(fraction);
            let biased = self.bit_op(Binary::Add, e, place << fraction);
            let biased = self.bit_op(Binary::Shr, biased, i128::from(fraction));
            let placed = self.bit_op(Binary::Or, biased, place << fraction);
            let placed = self.e.bitcast(dtype, placed);
            let zero_at = self.k(f, 2f64.powi(fraction as i32) + place as f64);
            (self.e.sub(placed, zero_at), 1.0)
        };
        let ln2 = self.k(f, LN_2 * unit);
        self.mad(e, ln2, rest)
    }

    /// A positive number as 2^e m: e in an exponent's place, and m - 1.
    fn log_parts(&mut self, x: ExprId) -> (ExprId, ExprId) {
        let dtype = self.e.dtype(x);
        let Format { fraction, smallest_normal, .. } = *format(dtype);
        let subnormal = self.less(x, smallest_normal);
        let factor = self.k(x, 2f64.powi(fraction as i32));
        let lifted = self.e.mul(x, factor);
        let normal = self.e.select(subnormal, lifted, x);
        let exponent = self.exponent_bits(normal);
        let bits = self.bits(normal);
        let mantissa = self.e.sub(bits, exponent);
        let mantissa = self.e.bitcast(dtype, mantissa);
        let one = self.k(x, 1.0);
        let f = self.e.sub(mantissa, one);
        let (lift, none) = (self.bit_constant(bits, i128::from(fraction) << fraction), self.bit_constant(bits, 0));
        let lift = self.e.select(subnormal, lift, none);
        (self.e.sub(exponent, lift), f)
    }

    fn log(&mut self, x: ExprId) -> ExprId {
        let (e, f) = self.log_parts(x);
        let y = self.log_of_parts(e, f);
        self.log_ends(y, x, 0.0)
    }

    /// A logarithm that is -inf at `pole`, not a number below, and infinite at infinity.
    fn log_ends(&mut self, y: ExprId, x: ExprId, pole: f64) -> ExprId {
        let y = self.keep_infinity(y, x);
        let (lowest, nan) = (self.k(x, f64::NEG_INFINITY), self.k(x, f64::NAN));
        let at_pole = self.equals(x, pole);
        let outside = self.e.select(at_pole, lowest, nan);
        let inside = self.more(x, pole);
        self.e.select(inside, y, outside)
    }

    /// `x` where it is infinite or NaN, else `y`.
    fn keep_infinity(&mut self, y: ExprId, x: ExprId) -> ExprId {
        let finite = self.less(x, f64::INFINITY);
        self.e.select(finite, y, x)
    }

    fn log1p(&mut self, x: ExprId, (low, high): Bounds) -> ExprId {
        if self.e.dtype(x) == DType::F32 && low >= 0.0 && high <= 1.0 {
            return self.second_order(x, LOG1P_SHORT);
        }
        let y = self.log1p_inside(x, None);
        if low >= 0.0 { self.keep_infinity(y, x) } else { self.log_ends(y, x, -1.0) }
    }

    /// log(1 + x) for finite x above -1, and `more` added to it where x is large. With 1 + x = 2^e m, f = m - 1 is
    /// 2^-e x + (2^-e - 1), which is rounded once. A quarter of x goes with 4 * 2^-e, which is a normal number for every e.
    fn log1p_inside(&mut self, x: ExprId, more: Option<ExprId>) -> ExprId {
        let dtype = self.e.dtype(x);
        let Format { fraction, bias, .. } = *format(dtype);
        let one = self.k(x, 1.0);
        let sum = self.e.add(x, one);
        let exponent = self.exponent_bits(sum);
        let four = self.bit_constant(exponent, (bias + 2) << fraction);
        let scale = self.e.sub(four, exponent);
        let scale = self.e.bitcast(dtype, scale);
        let (quarter, minus_one) = (self.k(x, 0.25), self.k(x, -1.0));
        let shift = self.mad(scale, quarter, minus_one);
        let x_quarter = self.e.mul(x, quarter);
        let f = self.mad(x_quarter, scale, shift);
        let mut y = self.log_of_parts(exponent, f);
        if let Some(more) = more {
            y = self.e.add(y, more);
        }
        let tiny = self.equals(sum, 1.0);
        self.e.select(tiny, x, y)
    }

    /// x^y in f32: exp(y log x), whose logarithm, product and rest by 2 ln 2 are f64.
    fn pow(&mut self, x: ExprId, y: ExprId) -> ExprId {
        let size = self.abs(x);
        let (e, f) = self.log_parts(size);
        let e = self.e.bitcast(DType::I32, e);
        let e = self.e.cast(DType::F32, e);
        // The ends of the logarithm come in with the exponent.
        let lowest = self.k(x, f64::NEG_INFINITY);
        let zero = self.equals(size, 0.0);
        let e = self.e.select(zero, lowest, e);
        let e = self.keep_infinity(e, size);
        let (e, f, wide_y) = (self.e.cast(DType::F64, e), self.e.cast(DType::F64, f), self.e.cast(DType::F64, y));
        let rest = self.second_order(f, LOG_POW);
        let ln2 = self.k(e, LN_2 * 2f64.powi(-(F32.fraction as i32)));
        let log = self.mad(e, ln2, rest);
        let exponent = self.e.mul(wide_y, log);
        let exponent = self.at_least(exponent, F32.exp_ends[0]);
        let exponent = self.at_most(exponent, F32.exp_ends[1]);
        let steps = self.k(e, 0.5 * LOG2_E);
        let k = self.e.mul(exponent, steps);
        let k = self.e.unary(Unary::Round, k);
        let step = self.k(e, -2.0 * LN_2);
        let r = self.mad(k, step, exponent);
        let (k, r) = (self.e.cast(DType::F32, k), self.e.cast(DType::F32, r));
        let magic = self.k(x, 1.5 * 2f64.powi(F32.fraction as i32) + F32.bias as f64);
        let shifted = self.e.add(k, magic);
        let scale = self.power(shifted);
        let power = self.exp_of_rest(r, EXP_F32, 1.0);
        let power = self.times_square(power, scale);

        let one = self.k(x, 1.0);
        // (-1)^inf and 1^anything are 1.
        let is_one = self.equals(size, 1.0);
        let infinite = {
            let size = self.abs(y);
            self.equals(size, f64::INFINITY)
        };
        let constant = self.e.and(is_one, infinite);
        let power = self.e.select(constant, one, power);
        let whole = self.e.unary(Unary::Floor, y);
        let is_whole = self.e.binary(Binary::Eq, whole, y);
        let half = self.k(y, 0.5);
        let half_y = self.e.mul(y, half);
        let half_whole = self.e.unary(Unary::Floor, half_y);
        let odd = self.e.binary(Binary::Ne, half_whole, half_y);
        let odd = self.e.and(odd, is_whole);
        let signed = self.with_sign(power, x);
        let power = self.e.select(odd, signed, power);
        // A negative number has no other powers than whole ones.
        let negative = self.less(x, 0.0);
        let finite = self.more(x, f64::NEG_INFINITY);
        let fractional = self.e.unary(Unary::Not, is_whole);
        let undefined = self.e.and(negative, finite);
        let undefined = self.e.and(undefined, fractional);
        let nan = self.k(x, f64::NAN);
        let power = self.e.select(undefined, nan, power);
        let no_exponent = self.equals(y, 0.0);
        let base_one = self.equals(x, 1.0);
        let always_one = self.e.binary(Binary::Or, no_exponent, base_one);
        self.e.select(always_one, one, power)
    }

    // ---- hyperbolic functions and erf ----

    /// With t = (exp(2 |x|) - 1) / 2, |x| = k ln 2 + r and s = 2^2k: tanh |x| = t / (t + 1), and t = s (exp(2 r) - 1) / 2 + (s - 1) / 2.
    fn tanh(&mut self, x: ExprId) -> ExprId {
        let Format { tanh_end, expm1, .. } = *self.format(x);
        let size = self.abs(x);
        let held = self.at_most(size, tanh_end);
        // Where k is more than a few, nothing depends on the last bits of r.
        let (r, power) = self.reduce_to_power(held, &[LN_2]);
        let doubled: Vec<f64> = expm1.iter().zip(1..).map(|(c, power)| c * 2f64.powi(power)).collect();
        let p = self.second_order(r, &doubled);
        let power = self.e.mul(power, power);
        let (half, one) = (self.k(x, 0.5), self.k(x, 1.0));
        let minus_half = self.k(x, -0.5);
        let whole = self.mad(power, half, minus_half);
        let t = self.mad(power, p, whole);
        let below = self.e.add(t, one);
        let y = self.e.binary(Binary::Div, t, below);
        self.with_sign(y, x)
    }

    /// exp(|x|) / 2, which may be finite where exp(|x|) is not.
    fn half_exp(&mut self, size: ExprId) -> ExprId {
        let Format { exp_ends, expm1, .. } = *self.format(size);
        let held = self.at_most(size, exp_ends[1] + 1.0);
        self.exp_of_held(held, expm1, 0.5)
    }

    fn sinh(&mut self, x: ExprId) -> ExprId {
        let sinh = self.format(x).sinh;
        let size = self.abs(x);
        let grown = self.half_exp(size);
        let quarter = self.k(x, 0.25);
        let shrunk = self.e.binary(Binary::Div, quarter, grown);
        let far = self.e.sub(grown, shrunk);
        let square = self.e.mul(x, x);
        let near = self.odd(size, square, sinh);
        let is_near = self.less(size, 1.0);
        let y = self.e.select(is_near, near, far);
        self.with_sign(y, x)
    }

    fn cosh(&mut self, x: ExprId) -> ExprId {
        let size = self.abs(x);
        let grown = self.half_exp(size);
        let quarter = self.k(x, 0.25);
        let shrunk = self.e.binary(Binary::Div, quarter, grown);
        self.e.add(grown, shrunk)
    }

    /// log(1 + inside) where `x` is not large, and log(2 x) where it is.
    fn log1p_or_log_double(&mut self, inside: ExprId, x: ExprId) -> ExprId {
        let large = self.more(x, LARGE);
        let argument = self.e.select(large, x, inside);
        let (ln2, none) = (self.k(x, LN_2), self.k(x, 0.0));
        let more = self.e.select(large, ln2, none);
        let y = self.log1p_inside(argument, Some(more));
        self.keep_infinity(y, argument)
    }

    /// asinh |x| = log(1 + |x| + x^2 / (1 + sqrt(x^2 + 1)))
    fn asinh(&mut self, x: ExprId) -> ExprId {
        let size = self.abs(x);
        let one = self.k(x, 1.0);
        let held = self.at_most(size, LARGE);
        let square = self.e.mul(held, held);
        let sum = self.e.add(square, one);
        let root = self.square_root(sum);
        let below = self.e.add(root, one);
        let part = self.e.binary(Binary::Div, square, below);
        let inside = self.e.add(held, part);
        let y = self.log1p_or_log_double(inside, size);
        self.with_sign(y, x)
    }

    /// With t = x - 1: acosh x = log(1 + t + sqrt(2 t + t^2)).
    fn acosh(&mut self, x: ExprId) -> ExprId {
        let one = self.k(x, 1.0);
        let held = self.at_most(x, LARGE);
        let t = self.e.sub(held, one);
        let double = self.e.add(t, t);
        let square = self.mad(t, t, double);
        let root = self.square_root(square);
        let inside = self.e.add(t, root);
        let y = self.log1p_or_log_double(inside, x);
        let nan = self.k(x, f64::NAN);
        let outside = self.less(x, 1.0);
        self.e.select(outside, nan, y)
    }

    fn atanh(&mut self, x: ExprId) -> ExprId {
        let size = self.abs(x);
        let (one, half) = (self.k(x, 1.0), self.k(x, 0.5));
        let below = self.e.sub(one, size);
        let double = self.e.add(size, size);
        let argument = self.e.binary(Binary::Div, double, below);
        let y = self.log1p(argument, ANYTHING);
        let y = self.e.mul(y, half);
        self.with_sign(y, x)
    }

    fn erf(&mut self, x: ExprId) -> ExprId {
        let size = self.abs(x);
        // From 3.92 on it is 1.
        let held = self.at_most(size, 3.93);
        let square = self.e.mul(held, held);
        let near = self.polynomial(square, ERF);
        let near = self.mad(near, held, held);
        // 1 - exp(log(1 - erf)). The exponential is at most 0.16, so that its last bits don't matter.
        let log = self.polynomial(held, ERFC_LOG);
        let (r, power) = self.reduce_to_power(log, &[LN_2]);
        let rest = self.second_order(r, EXP_SHORT);
        let one = self.k(x, 1.0);
        let rest = self.mad(rest, power, power);
        let far = self.e.sub(one, rest);
        let is_near = self.less(size, 1.0);
        let y = self.e.select(is_near, near, far);
        self.with_sign(y, x)
    }

    /// With a = |x| and q, the part of a normal distribution above a: max(x, 0) - a q. No difference cancels, and far below 0 it
    /// is as exact, in parts of x, as above.
    fn gelu(&mut self, x: ExprId) -> ExprId {
        // At the end the power is 2^-127, the bits of which are those of 0: nothing is taken from what is larger, be it infinite.
        let size = self.at_most(x, ABOVE_END);
        let size = self.abs(size);
        let held = self.at_most(size, ABOVE_END);
        let log = self.polynomial(held, ABOVE_LOG2);
        let (r, power) = self.reduce_to_power(log, &[1.0]);
        let rest = self.polynomial(r, MINUS_EXP2);
        let above = self.e.mul(rest, power);
        let positive = self.at_least(x, 0.0);
        self.mad(size, above, positive)
    }

    // ---- trigonometry ----

    /// atan(y / x) of numbers that are not negative: the smaller over the larger, and the angle taken from pi/2 where `y` is the larger.
    fn atan_quotient(&mut self, y: ExprId, x: ExprId) -> ExprId {
        let Format { atan, half_pi, .. } = *self.format(x);
        let steep = self.e.binary(Binary::Lt, x, y);
        let (short, long) = (self.e.select(steep, x, y), self.e.select(steep, y, x));
        let quotient = self.e.binary(Binary::Div, short, long);
        let square = self.e.mul(quotient, quotient);
        let angle = self.odd(quotient, square, atan);
        let right = self.k(x, half_pi[0]);
        let rest = self.e.sub(right, angle);
        self.e.select(steep, rest, angle)
    }

    /// From 1/2 on, with s = sqrt((1 - |x|) / 2): asin |x| = pi/2 - 2 asin s, and acos |x| = 2 asin s.
    fn asin_or_acos(&mut self, op: Unary, x: ExprId) -> ExprId {
        let Format { asin, half_pi, .. } = *self.format(x);
        let size = self.abs(x);
        let large = self.more(size, 0.5);
        let (half, minus_half) = (self.k(x, 0.5), self.k(x, -0.5));
        let halved = self.mad(size, minus_half, half);
        let square = self.e.mul(x, x);
        let square = self.e.select(large, halved, square);
        let root = self.square_root(halved);
        let s = self.e.select(large, root, size);
        let angle = self.odd(s, square, asin);
        let right = self.k(x, half_pi[0]);
        if op == Unary::Asin {
            let (minus_two, low) = (self.k(x, -2.0), self.k(x, half_pi[1]));
            let rest = self.mad(angle, minus_two, right);
            let rest = self.e.add(rest, low);
            let y = self.e.select(large, rest, angle);
            return self.with_sign(y, x);
        }
        let sign = self.sign(x);
        let signed = self.change_bits(Binary::Or, angle, sign);
        let near = self.e.sub(right, signed);
        // 2 asin s, or pi less that.
        let (zero, two, straight) = (self.k(x, 0.0), self.k(x, 2.0), self.k(x, 2.0 * half_pi[0]));
        let left = self.less(x, 0.0);
        let base = self.e.select(left, straight, zero);
        let far = self.mad(signed, two, base);
        self.e.select(large, far, near)
    }

    /// The angle of the point (x, y).
    fn atan2(&mut self, y: ExprId, x: ExprId) -> ExprId {
        let (height, width) = (self.abs(y), self.abs(x));
        // 0/0 and inf/inf stand for the quotients 0 and 1.
        let both_zero = {
            let (a, b) = (self.equals(height, 0.0), self.equals(width, 0.0));
            self.e.and(a, b)
        };
        let both_infinite = {
            let (a, b) = (self.equals(height, f64::INFINITY), self.equals(width, f64::INFINITY));
            self.e.and(a, b)
        };
        let one = self.k(x, 1.0);
        let same = self.e.binary(Binary::Or, both_zero, both_infinite);
        let width = self.e.select(same, one, width);
        let height = self.e.select(both_infinite, one, height);
        let angle = self.atan_quotient(height, width);
        let half_pi = self.format(x).half_pi;
        let (straight, low) = (self.k(x, 2.0 * half_pi[0]), self.k(x, 2.0 * half_pi[1]));
        let turned = self.e.sub(angle, low);
        let turned = self.e.sub(straight, turned);
        let sign = self.sign(x);
        let left = self.bit_op(Binary::Ne, sign, 0);
        let angle = self.e.select(left, turned, angle);
        self.with_sign(angle, y)
    }

    /// Sine, cosine or tangent of an f32. Whole turns are dropped in f64, exactly enough for every f32: the products with the pieces
    /// of a turn are exact, and each loses its whole turns by itself.
    fn trigonometric(&mut self, op: Unary, x: ExprId) -> ExprId {
        let wide = self.e.cast(DType::F64, x);
        let mut turns = self.k(wide, -0.0);
        for (at, piece) in TURN.iter().enumerate() {
            let piece = self.k(wide, *piece);
            if at >= TURN_PIECES_OF_TURNS {
                turns = self.mad(wide, piece, turns);
                continue;
            }
            let product = self.e.mul(wide, piece);
            let whole = self.e.unary(Unary::Round, product);
            let part = self.e.sub(product, whole);
            turns = self.e.add(turns, part);
        }
        let (four, quarter, turn) = (self.k(wide, 4.0), self.k(wide, -0.25), self.k(wide, TAU));
        let quarters = self.e.mul(turns, four);
        let quarters = self.e.unary(Unary::Round, quarters);
        let angle = self.mad(quarters, quarter, turns);
        let angle = self.e.mul(angle, turn);
        let (quarters, angle) = (self.e.cast(DType::F32, quarters), self.e.cast(DType::F32, angle));

        let square = self.e.mul(angle, angle);
        let sine = self.odd(angle, square, SIN);
        let cosine = self.polynomial(square, COS);
        let (one, minus_half) = (self.k(x, 1.0), self.k(x, -0.5));
        let cosine = self.mad(cosine, square, minus_half);
        let cosine = self.mad(cosine, square, one);

        // The number of quarters, in the lowest bits. A cosine is the sine of a quarter more.
        let ahead = if op == Unary::Cos { 1.0 } else { 0.0 };
        let magic = self.k(x, 1.5 * 2f64.powi(F32.fraction as i32) + ahead);
        let count = self.e.add(quarters, magic);
        let count = self.bits(count);
        let odd = self.bit_op(Binary::And, count, 1);
        let is_odd = self.bit_op(Binary::Ne, odd, 0);
        let y = self.e.select(is_odd, cosine, sine);
        let (y, sign) = if op == Unary::Tan {
            let below = self.e.select(is_odd, sine, cosine);
            (self.e.binary(Binary::Div, y, below), self.bit_op(Binary::Shl, odd, 31))
        } else {
            let pair = self.bit_op(Binary::And, count, 2);
            (y, self.bit_op(Binary::Shl, pair, 30))
        };
        let y = self.change_bits(Binary::Xor, y, sign);
        if op == Unary::Cos {
            return y;
        }
        let zero = self.equals(x, 0.0);
        self.e.select(zero, x, y)
    }
}

fn unsupported(op: &str, dtype: DType) -> Error {
    Error::unsupported(format!("no machine code is made for {op} on {dtype}"))
}
