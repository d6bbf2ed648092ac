//! Transcendental functions as arithmetic that every emitter has.
//!
//! In: a [`Kernel`] whose expressions may hold exponentials, logarithms, trigonometry. Out: the same kernel with each of
//! them expanded into sums, products, comparisons, selections and integer arithmetic on the bits of floats; no tables and
//! no branches, so that it runs in vectors. Must not know: emitters, machine code.
//!
//! Polynomials are minimax fits; the comment on each gives the largest error of the fit over its range (relative, unless said
//! otherwise). Bounds of whole functions, over all of f32: exp, log, tanh, erf, sin and cos within 2 units in the last
//! place, the others within 4. Most of those others are computed in f64 and rounded, and so are almost always right.
//! In f64, where a function is there, it is within 4 units.

use frit_ir::dtype::{Class, DType};
use frit_ir::error::Error;
use frit_ir::expr::{Expr, ExprId, Exprs};
use frit_ir::loops::{Kernel, Stmt};
use frit_ir::scalar::{Binary, Scalar, Unary};

/// exp on [-ln 2 / 2, ln 2 / 2]: 2^-29.
const EXP_F32: &[f64] = &[
    1.0,
    1.0,
    0.49999991059303284,
    0.16666418313980103,
    0.04166823998093605,
    0.008374981582164764,
    0.0013836625730618834,
];
/// exp on [-ln 2 / 2, ln 2 / 2]: 2^-64.
const EXP_F64: &[f64] = &[
    1.0,
    1.0,
    0.5,
    0.16666666666666702,
    0.04166666666666592,
    0.008333333333309708,
    0.001388888888914556,
    0.00019841269908964514,
    2.480158691148044e-05,
    2.7557225091919673e-06,
    2.7557575759740037e-07,
    2.511485231160158e-08,
    2.0831946475212176e-09,
];
/// (exp(x) - 1) / x on [-0.35, 0.35]: 2^-68.
const EXPM1: &[f64] = &[
    1.0,
    0.5,
    0.16666666666666666,
    0.04166666666666669,
    0.008333333333333307,
    0.0013888888888870616,
    0.00019841269841355566,
    2.4801587352836546e-05,
    2.755731910390029e-06,
    2.755724938518709e-07,
    2.5052173821191647e-08,
    2.0922416642539874e-09,
    1.6058993067301998e-10,
];
/// (log(1 + x) - x + x^2 / 2) / x^3 on [sqrt(1/2) - 1, sqrt(2) - 1]: 2^-30 of x.
const LOG_F32: &[f64] = &[
    0.3333331048488617,
    -0.24999986588954926,
    0.20002226531505585,
    -0.16669252514839172,
    0.14218661189079285,
    -0.12384314090013504,
    0.1187293604016304,
    -0.11790013313293457,
    0.06915687769651413,
];
/// (log((1 + s) / (1 - s)) - 2 s) / s^3 in s^2, for s^2 up to 0.02945: 2^-51 absolute.
const LOG_F64: &[f64] = &[
    0.666666666666667,
    0.39999999999898245,
    0.2857142862649004,
    0.22222211058022562,
    0.18182894298069185,
    0.15331561053221032,
    0.14618317193018396,
];
/// atan(x) / x in x^2, for x up to tan(pi / 8): 2^-59.
const ATAN: &[f64] = &[
    1.0,
    -0.3333333333333313,
    0.19999999999942716,
    -0.14285714279415276,
    0.11111110752579934,
    -0.09090897016568414,
    0.07692048836135967,
    -0.0666298984896503,
    0.05847143477415851,
    -0.05036250662776052,
    0.037993357154553535,
    -0.017835097006359196,
];
/// sin(2 pi x) / x in x^2, for x up to 1/8: 2^-47.
const SIN_TURN: &[f64] =
    &[6.283185307179558, -41.34170224027137, 81.60524918122823, -76.70583405495552, 42.05553978540755, -14.915811524147736];
/// cos(2 pi x) in x^2, for x up to 1/8: 2^-54.
const COS_TURN: &[f64] = &[
    0.9999999999999999,
    -19.739208802178382,
    64.93939402233683,
    -85.45681708261672,
    60.24461913924858,
    -26.4242034850079,
    7.809153900441346,
];
/// tanh(x) / x in x^2, for x up to 0.64: 2^-27.
const TANH: &[f64] =
    &[1.0, -0.3333324193954468, 0.13330720365047455, -0.05368862673640251, 0.020487090572714806, -0.005544866435229778];
/// erf(x) / x - 1 in x^2, for x up to 1: 2^-34 of erf(x) / x (before rounding to f32).
const ERF: &[f64] = &[
    0.12837916709551256,
    -0.37612637877464294,
    0.11283782124519348,
    -0.0268654003739357,
    0.005220945458859205,
    -0.0008482830598950386,
    0.00011256959260208532,
    -9.641547876526602e-06,
];
/// log(1 - erf(x)) in x - 2, for x in [1, 4]: 2^-40 of the whole erf (before rounding to f32).
const ERFC_LOG: &[f64] = &[
    -5.364941120147705,
    -4.418160915374756,
    -0.9237508177757263,
    -0.016465086489915848,
    0.0035708483774214983,
    -0.0007324522593989968,
    0.00013498144107870758,
    -2.081831007672008e-05,
    2.2933575110073434e-06,
    3.957295007239736e-07,
    -2.9165286719035066e-07,
];
/// The fractions of 2^(32 i) / (2 pi), each in four pieces of 29 bits, largest first: their products with an f32 are exact in f64.
const TURNS: [[f64; 4]; 4] = [
    [0.15915494225919247, 8.327028684640414e-10, 5.69002511952534e-19, 6.317065083361892e-27],
    [0.5764315892010927, 5.812020552331543e-10, 2.8454592954545855e-18, 4.647517135953859e-27],
    [0.49624383077025414, 1.0452837380381386e-09, 2.613699359678035e-18, 4.5224935158322655e-27],
    [0.48945948109030724, 4.9882393354794274e-11, 2.0767270000282648e-18, 2.0823855115732065e-28],
];
/// ln 2 in two pieces, the first short enough that its products with exponents are exact.
const LN2_F32: [f64; 2] = [0.693145751953125, 1.428606765330187e-06];
/// As [`LN2_F32`].
const LN2_F64: [f64; 2] = [0.6931471805592082, 7.371002565167799e-13];

/// Expands what emitters do not have in a whole kernel. `fma` says whether fused multiply-adds may be used.
///
/// # Errors
/// Unsupported, naming the function and the dtype, where there is no expansion.
pub fn legalise_kernel(kernel: &Kernel, fma: bool) -> Result<Kernel, Error> {
    let mut roots = Vec::new();
    visit(&kernel.body, &mut roots);
    let (exprs, map) = legalise(&kernel.exprs, &roots, fma)?;
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
pub fn legalise(exprs: &Exprs, roots: &[ExprId], fma: bool) -> Result<(Exprs, Vec<ExprId>), Error> {
    let mut math = Math { e: Exprs::new(), fma };
    let mut map = vec![ExprId(0); exprs.len()];
    for id in exprs.reachable(roots) {
        let (expr, dtype) = &exprs.nodes()[id.0 as usize];
        let new = match expr {
            Expr::Unary(op, a) if is_math(*op) => math.unary(*op, map[a.0 as usize])?,
            Expr::Binary(op @ (Binary::Pow | Binary::Atan2), a, b) => math.binary(*op, map[a.0 as usize], map[b.0 as usize])?,
            _ => math.e.rebuild(expr, *dtype, |child| map[child.0 as usize]),
        };
        map[id.0 as usize] = new;
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
        | Unary::Erf => true,
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

/// The layout of a binary float type.
struct Layout {
    bits: DType,
    fraction: u32,
    bias: i128,
    sign: i128,
}

fn layout(dtype: DType) -> Layout {
    if dtype == DType::F32 {
        Layout { bits: DType::U32, fraction: 23, bias: 127, sign: 1 << 31 }
    } else {
        Layout { bits: DType::U64, fraction: 52, bias: 1023, sign: 1 << 63 }
    }
}

struct Math {
    e: Exprs,
    fma: bool,
}

impl Math {
    fn unary(&mut self, op: Unary, x: ExprId) -> Result<ExprId, Error> {
        let dtype = self.e.dtype(x);
        if self.e.as_const(x).is_some() || dtype == DType::Bool {
            return Ok(self.e.unary(op, x));
        }
        match (dtype, dtype.class()) {
            (DType::F32, _) => self.unary_f32(op, x),
            (DType::F64, _) => self.unary_f64(op, x).ok_or_else(|| unsupported(op.name(), dtype)),
            (DType::F16 | DType::BF16, _) => {
                let x = self.e.cast(DType::F32, x);
                let y = self.unary_f32(op, x)?;
                Ok(self.e.cast(dtype, y))
            }
            (_, Class::Signed | Class::Unsigned) => {
                let x = self.e.cast(DType::F64, x);
                let y = self.unary_f64(op, x).ok_or_else(|| unsupported(op.name(), dtype))?;
                Ok(self.e.cast(dtype, y))
            }
            _ => Err(unsupported(op.name(), dtype)),
        }
    }

    fn unary_f32(&mut self, op: Unary, x: ExprId) -> Result<ExprId, Error> {
        Ok(match op {
            Unary::Exp => self.exp(x),
            Unary::Log => self.log(x),
            Unary::Tanh => self.tanh_f32(x),
            Unary::Erf => self.erf_f32(x),
            _ => {
                let wide = self.e.cast(DType::F64, x);
                let y = match op {
                    Unary::Sin | Unary::Cos | Unary::Tan => self.trigonometric(op, wide),
                    _ => self.unary_f64(op, wide).ok_or_else(|| unsupported(op.name(), DType::F32))?,
                };
                self.e.cast(DType::F32, y)
            }
        })
    }

    /// Functions of f64; `None` where there is no expansion that is exact enough.
    fn unary_f64(&mut self, op: Unary, x: ExprId) -> Option<ExprId> {
        Some(match op {
            Unary::Exp => self.exp(x),
            Unary::Log => self.log(x),
            Unary::Expm1 => self.expm1(x),
            Unary::Log1p => self.log1p(x),
            Unary::Tanh => self.tanh_f64(x),
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
            Unary::Asin => {
                let cofactor = self.cofactor(x);
                let size = self.abs(x);
                let y = self.atan_quotient(size, cofactor);
                self.with_sign(y, x)
            }
            Unary::Acos => {
                // acos x = 2 atan(sqrt((1 - x) / (1 + x)))
                let one = self.k(x, 1.0);
                let (below, above) = (self.e.sub(one, x), self.e.add(one, x));
                let (below, above) = (self.e.unary(Unary::Sqrt, below), self.e.unary(Unary::Sqrt, above));
                let half = self.atan_quotient(below, above);
                self.e.add(half, half)
            }
            _ => return None,
        })
    }

    fn binary(&mut self, op: Binary, x: ExprId, y: ExprId) -> Result<ExprId, Error> {
        let dtype = self.e.dtype(x);
        if dtype == DType::Bool || op == Binary::Pow && dtype.is_int() || self.e.as_const(x).is_some() && self.e.as_const(y).is_some() {
            return Ok(self.e.binary(op, x, y));
        }
        let single = matches!(dtype, DType::F32 | DType::F16 | DType::BF16);
        let expanded = single || dtype == DType::F64 && op == Binary::Atan2;
        if !expanded {
            // A square needs no powers.
            if dtype == DType::F64 && self.e.as_const(y).is_some_and(|y| y.as_f64() == 2.0) {
                return Ok(self.e.mul(x, x));
            }
            return Err(unsupported(op.name(), dtype));
        }
        let (x, y) = (self.e.cast(DType::F64, x), self.e.cast(DType::F64, y));
        let z = if op == Binary::Pow { self.pow(x, y) } else { self.atan2(x, y) };
        // An f64 that is not exact would be rounded twice on the way to a narrow float; the error is far below a unit.
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
        if self.fma {
            return self.e.fma(a, b, c);
        }
        let product = self.e.mul(a, b);
        self.e.add(product, c)
    }

    fn polynomial(&mut self, x: ExprId, coefficients: &[f64]) -> ExprId {
        let mut terms = coefficients.iter().rev();
        let mut sum = self.k(x, terms.next().copied().unwrap_or(0.0));
        for c in terms {
            let c = self.k(x, *c);
            sum = self.mad(sum, x, c);
        }
        sum
    }

    fn abs(&mut self, x: ExprId) -> ExprId {
        self.e.unary(Unary::Abs, x)
    }

    fn less(&mut self, a: ExprId, b: f64) -> ExprId {
        let b = self.k(a, b);
        self.e.binary(Binary::Lt, a, b)
    }

    fn equals(&mut self, a: ExprId, b: f64) -> ExprId {
        let b = self.k(a, b);
        self.e.binary(Binary::Eq, a, b)
    }

    fn bits(&mut self, x: ExprId) -> ExprId {
        let bits = layout(self.e.dtype(x)).bits;
        self.e.bitcast(bits, x)
    }

    fn bit_op(&mut self, op: Binary, a: ExprId, b: i128) -> ExprId {
        let dtype = self.e.dtype(a);
        let b = self.e.constant(Scalar::Int(b), dtype);
        self.e.binary(op, a, b)
    }

    /// A result that is not negative, with the sign of `x`.
    fn with_sign(&mut self, y: ExprId, x: ExprId) -> ExprId {
        let dtype = self.e.dtype(x);
        let sign = self.bits(x);
        let sign = self.bit_op(Binary::And, sign, layout(dtype).sign);
        let bits = self.bits(y);
        let bits = self.e.binary(Binary::Or, bits, sign);
        self.e.bitcast(dtype, bits)
    }

    /// `y * 2^n` for |n| up to twice the exponent range, rounded once; `n` is an integer of the float's width, wrapped.
    fn scale(&mut self, y: ExprId, n: ExprId) -> ExprId {
        let dtype = self.e.dtype(y);
        let Layout { fraction, bias, .. } = layout(dtype);
        let both = self.bit_op(Binary::Add, n, 2 * bias);
        let first = self.bit_op(Binary::Shr, both, 1);
        let second = self.e.sub(both, first);
        let mut y = y;
        for part in [first, second] {
            let bits = self.bit_op(Binary::Shl, part, i128::from(fraction));
            let power = self.e.bitcast(dtype, bits);
            y = self.e.mul(y, power);
        }
        y
    }

    // ---- exponentials ----

    /// x = n ln 2 + r with |r| up to ln 2 / 2, and exp x = 2^n exp r.
    fn exp(&mut self, x: ExprId) -> ExprId {
        let dtype = self.e.dtype(x);
        let single = dtype == DType::F32;
        let (low, high) = if single { (-104.0, 89.0) } else { (-746.0, 710.0) };
        let (low, high) = (self.k(x, low), self.k(x, high));
        let x = self.e.binary(Binary::Max, x, low);
        let x = self.e.binary(Binary::Min, x, high);
        // Adding 1.5 * 2^fraction rounds to an integer, which then stands in the lowest bits.
        let magic = self.k(x, 1.5 * 2f64.powi(layout(dtype).fraction as i32));
        let per_power = self.k(x, std::f64::consts::LOG2_E);
        let shifted = self.mad(x, per_power, magic);
        let n = self.e.sub(shifted, magic);
        let (shifted_bits, magic_bits) = (self.bits(shifted), self.bits(magic));
        let n_bits = self.e.sub(shifted_bits, magic_bits);
        let [hi, lo] = if single { LN2_F32 } else { LN2_F64 };
        let (hi, lo) = (self.k(x, -hi), self.k(x, -lo));
        let r = self.mad(n, hi, x);
        let r = self.mad(n, lo, r);
        let y = self.polynomial(r, if single { EXP_F32 } else { EXP_F64 });
        self.scale(y, n_bits)
    }

    fn expm1(&mut self, x: ExprId) -> ExprId {
        let near = self.polynomial(x, EXPM1);
        let near = self.e.mul(near, x);
        let power = self.exp(x);
        let one = self.k(x, 1.0);
        let far = self.e.sub(power, one);
        let size = self.abs(x);
        let is_near = self.less(size, 0.35);
        self.e.select(is_near, near, far)
    }

    /// x = 2^e (1 + f) with 1 + f between sqrt(1/2) and sqrt(2), and log x = e ln 2 + log(1 + f).
    fn log(&mut self, x: ExprId) -> ExprId {
        let dtype = self.e.dtype(x);
        let single = dtype == DType::F32;
        let Layout { fraction, bias, .. } = layout(dtype);
        let (smallest, lift) = if single { (f64::from(f32::MIN_POSITIVE), 25) } else { (f64::MIN_POSITIVE, 54) };
        let subnormal = self.less(x, smallest);
        let factor = self.k(x, 2f64.powi(lift));
        let lifted = self.e.mul(x, factor);
        let normal = self.e.select(subnormal, lifted, x);
        let bits = self.bits(normal);
        let root = if single { i128::from(std::f32::consts::FRAC_1_SQRT_2.to_bits()) } else { i128::from(std::f64::consts::FRAC_1_SQRT_2.to_bits()) };
        let shifted = self.bit_op(Binary::Add, bits, (bias << fraction) - root);
        let exponent = self.bit_op(Binary::Shr, shifted, i128::from(fraction));
        let back = self.bit_op(Binary::Shl, exponent, i128::from(fraction));
        let mantissa = self.e.sub(bits, back);
        let mantissa = self.bit_op(Binary::Add, mantissa, bias << fraction);
        let mantissa = self.e.bitcast(dtype, mantissa);
        // An integer below 2^fraction, put into the fraction of 2^fraction, is that power plus the integer.
        let unit = 2f64.powi(fraction as i32);
        let placed = self.bit_op(Binary::Or, exponent, (bias + i128::from(fraction)) << fraction);
        let placed = self.e.bitcast(dtype, placed);
        let zero_at = self.k(x, unit + bias as f64);
        let zero_at_lifted = self.k(x, unit + bias as f64 + f64::from(lift));
        let zero_at = self.e.select(subnormal, zero_at_lifted, zero_at);
        let e = self.e.sub(placed, zero_at);

        let one = self.k(x, 1.0);
        let f = self.e.sub(mantissa, one);
        let square = self.e.mul(f, f);
        let half = self.k(x, 0.5);
        let half_square = self.e.mul(square, half);
        let [hi, lo] = if single { LN2_F32 } else { LN2_F64 };
        let (hi, lo) = (self.k(x, hi), self.k(x, lo));
        // log(1 + f) = f - (f^2 / 2 - rest)
        let rest = if single {
            let tail = self.polynomial(f, LOG_F32);
            let cube = self.e.mul(square, f);
            self.e.mul(cube, tail)
        } else {
            // With s = f / (2 + f): log(1 + f) = 2 s + s R(s^2), and 2 s = f - s f.
            let two = self.k(x, 2.0);
            let below = self.e.add(f, two);
            let s = self.e.binary(Binary::Div, f, below);
            let z = self.e.mul(s, s);
            let r = self.polynomial(z, LOG_F64);
            let r = self.e.mul(r, z);
            let r = self.e.add(r, half_square);
            self.e.mul(s, r)
        };
        let rest = self.mad(e, lo, rest);
        let inner = self.e.sub(half_square, rest);
        let inner = self.e.sub(f, inner);
        let y = self.mad(e, hi, inner);

        let infinity = self.k(x, f64::INFINITY);
        let nan = self.k(x, f64::NAN);
        let lowest = self.k(x, f64::NEG_INFINITY);
        let finite = self.e.binary(Binary::Lt, x, infinity);
        let y = self.e.select(finite, y, x);
        let negative = self.less(x, 0.0);
        let y = self.e.select(negative, nan, y);
        let zero = self.equals(x, 0.0);
        self.e.select(zero, lowest, y)
    }

    /// With u = 1 + x rounded, log(1 + x) is log u plus what rounding lost, over u.
    fn log1p(&mut self, x: ExprId) -> ExprId {
        let one = self.k(x, 1.0);
        let u = self.e.add(one, x);
        let main = self.log(u);
        let kept = self.e.sub(u, one);
        let lost = self.e.sub(x, kept);
        let correction = self.e.binary(Binary::Div, lost, u);
        let corrected = self.e.add(main, correction);
        // Far from 0 the correction does not count, and it is not a number for an infinite u or one of 0.
        let near = self.less(x, 1e10);
        let above = self.k(x, -1.0);
        let inside = self.e.binary(Binary::Lt, above, x);
        let both = self.e.and(near, inside);
        let y = self.e.select(both, corrected, main);
        let tiny = self.equals(u, 1.0);
        self.e.select(tiny, x, y)
    }

    fn pow(&mut self, x: ExprId, y: ExprId) -> ExprId {
        let size = self.abs(x);
        let log = self.log(size);
        let exponent = self.e.mul(y, log);
        let power = self.exp(exponent);
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
        let finite = {
            let lowest = self.k(x, f64::NEG_INFINITY);
            self.e.binary(Binary::Lt, lowest, x)
        };
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

    fn tanh_f32(&mut self, x: ExprId) -> ExprId {
        let size = self.abs(x);
        let square = self.e.mul(x, x);
        let near = self.polynomial(square, TANH);
        let near = self.e.mul(near, size);
        // 1 - 2 / (exp(2 x) + 1), which is 1 from 9.02 on.
        let end = self.k(x, 10.0);
        let held = self.e.binary(Binary::Min, size, end);
        let double = self.e.add(held, held);
        let power = self.exp(double);
        let (one, two) = (self.k(x, 1.0), self.k(x, 2.0));
        let below = self.e.add(power, one);
        let part = self.e.binary(Binary::Div, two, below);
        let far = self.e.sub(one, part);
        let is_near = self.less(size, 0.64);
        let y = self.e.select(is_near, near, far);
        self.with_sign(y, x)
    }

    fn tanh_f64(&mut self, x: ExprId) -> ExprId {
        let size = self.abs(x);
        let end = self.k(x, 22.0);
        let held = self.e.binary(Binary::Min, size, end);
        let double = self.e.add(held, held);
        let t = self.expm1(double);
        let two = self.k(x, 2.0);
        let below = self.e.add(t, two);
        let y = self.e.binary(Binary::Div, t, below);
        self.with_sign(y, x)
    }

    /// exp(|x|) / 2, which may be finite where exp(|x|) is not.
    fn half_exp(&mut self, size: ExprId) -> ExprId {
        let half = self.k(size, 0.5);
        let halved = self.e.mul(size, half);
        let root = self.exp(halved);
        let first = self.e.mul(root, half);
        self.e.mul(first, root)
    }

    fn sinh(&mut self, x: ExprId) -> ExprId {
        let size = self.abs(x);
        let far = self.half_exp(size);
        let end = self.k(x, 40.0);
        let held = self.e.binary(Binary::Min, size, end);
        let t = self.expm1(held);
        let (one, half) = (self.k(x, 1.0), self.k(x, 0.5));
        let below = self.e.add(t, one);
        let part = self.e.binary(Binary::Div, t, below);
        let sum = self.e.add(t, part);
        let near = self.e.mul(sum, half);
        let is_near = self.less(size, 22.0);
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

    /// log(2 x) for large x.
    fn log_double(&mut self, x: ExprId) -> ExprId {
        let log = self.log(x);
        let ln2 = self.k(x, std::f64::consts::LN_2);
        self.e.add(log, ln2)
    }

    fn asinh(&mut self, x: ExprId) -> ExprId {
        let size = self.abs(x);
        let (one, end) = (self.k(x, 1.0), self.k(x, 2f64.powi(28)));
        let held = self.e.binary(Binary::Min, size, end);
        let square = self.e.mul(held, held);
        let sum = self.e.add(square, one);
        let root = self.e.unary(Unary::Sqrt, sum);
        let below = self.e.add(root, one);
        let part = self.e.binary(Binary::Div, square, below);
        let argument = self.e.add(held, part);
        let near = self.log1p(argument);
        let far = self.log_double(size);
        let is_near = self.e.binary(Binary::Lt, size, end);
        let y = self.e.select(is_near, near, far);
        self.with_sign(y, x)
    }

    fn acosh(&mut self, x: ExprId) -> ExprId {
        let (one, end) = (self.k(x, 1.0), self.k(x, 2f64.powi(28)));
        let held = self.e.binary(Binary::Min, x, end);
        let t = self.e.sub(held, one);
        let double = self.e.add(t, t);
        let square = self.mad(t, t, double);
        let root = self.e.unary(Unary::Sqrt, square);
        let argument = self.e.add(t, root);
        let near = self.log1p(argument);
        let far = self.log_double(x);
        let is_far = self.e.binary(Binary::Lt, end, x);
        let y = self.e.select(is_far, far, near);
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
        let y = self.log1p(argument);
        let y = self.e.mul(y, half);
        self.with_sign(y, x)
    }

    fn erf_f32(&mut self, x: ExprId) -> ExprId {
        let size = self.abs(x);
        let square = self.e.mul(x, x);
        let near = self.polynomial(square, ERF);
        let near = self.mad(near, size, size);
        // 1 - exp(log(1 - erf)), which is 1 from 3.92 on.
        let (one, two, end) = (self.k(x, 1.0), self.k(x, 2.0), self.k(x, 4.0));
        let held = self.e.binary(Binary::Min, size, end);
        let at = self.e.sub(held, two);
        let log = self.polynomial(at, ERFC_LOG);
        let rest = self.exp(log);
        let far = self.e.sub(one, rest);
        let is_near = self.less(size, 1.0);
        let y = self.e.select(is_near, near, far);
        self.with_sign(y, x)
    }

    // ---- trigonometry ----

    /// sqrt(1 - x^2)
    fn cofactor(&mut self, x: ExprId) -> ExprId {
        let one = self.k(x, 1.0);
        let (below, above) = (self.e.sub(one, x), self.e.add(one, x));
        let product = self.e.mul(below, above);
        self.e.unary(Unary::Sqrt, product)
    }

    /// atan(y / x) of an f64 quotient of numbers that are not negative: with the angle taken down by 0, pi/4 or pi/2 the
    /// quotient is at most tan(pi / 8).
    fn atan_quotient(&mut self, y: ExprId, x: ExprId) -> ExprId {
        let tan = self.k(x, std::f64::consts::SQRT_2 - 1.0);
        let cotan = self.k(x, std::f64::consts::SQRT_2 + 1.0);
        let quotient = self.e.binary(Binary::Div, y, x);
        let is_low = self.e.binary(Binary::Lt, quotient, tan);
        let is_high = self.e.binary(Binary::Lt, cotan, quotient);
        let one = self.k(x, 1.0);
        let (minus, plus) = (self.e.sub(quotient, one), self.e.add(quotient, one));
        let minus_one = self.k(x, -1.0);
        let above = self.e.select(is_high, minus_one, minus);
        let below = self.e.select(is_high, quotient, plus);
        let turned = self.e.binary(Binary::Div, above, below);
        let t = self.e.select(is_low, quotient, turned);
        let square = self.e.mul(t, t);
        let series = self.polynomial(square, ATAN);
        let (zero, eighth, quarter) = (self.k(x, 0.0), self.k(x, std::f64::consts::FRAC_PI_4), self.k(x, std::f64::consts::FRAC_PI_2));
        let base = self.e.select(is_high, quarter, eighth);
        let base = self.e.select(is_low, zero, base);
        self.mad(series, t, base)
    }

    /// The angle of the point (x, y), f64.
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
        let pi = self.k(x, std::f64::consts::PI);
        let turned = self.e.sub(pi, angle);
        let bits = self.bits(x);
        let sign = self.bit_op(Binary::Shr, bits, 63);
        let zero = self.bit_op(Binary::And, sign, 0);
        let left = self.e.binary(Binary::Ne, sign, zero);
        let angle = self.e.select(left, turned, angle);
        self.with_sign(angle, y)
    }

    /// Sine, cosine or tangent of an f64 that holds an f32. The argument is brought into turns exactly enough for every f32:
    /// |x| is t 2^(32 i) with t an integer where i > 0, so that only the fraction of 2^(32 i) / (2 pi) counts.
    fn trigonometric(&mut self, op: Unary, x: ExprId) -> ExprId {
        let size = self.abs(x);
        let mut t = size;
        let mut pieces = TURNS[0].map(|piece| self.k(x, piece));
        for (i, turns) in TURNS.iter().enumerate().skip(1) {
            let start = self.k(x, 2f64.powi(23 + 32 * i as i32));
            let large = self.e.binary(Binary::Le, start, size);
            let factor = self.k(x, 2f64.powi(-32 * i as i32));
            let scaled = self.e.mul(size, factor);
            t = self.e.select(large, scaled, t);
            for (piece, value) in pieces.iter_mut().zip(turns) {
                let value = self.k(x, *value);
                *piece = self.e.select(large, value, *piece);
            }
        }
        // Whole turns are dropped as soon as they show; each of the first three products is exact.
        let mut turns = self.e.mul(t, pieces[0]);
        for piece in &pieces[1..] {
            let whole = self.e.unary(Unary::Round, turns);
            turns = self.e.sub(turns, whole);
            let product = self.e.mul(t, *piece);
            let whole = self.e.unary(Unary::Round, product);
            let product = self.e.sub(product, whole);
            turns = self.e.add(turns, product);
        }
        let (four, quarter) = (self.k(x, 4.0), self.k(x, 0.25));
        let quarters = self.e.mul(turns, four);
        let quarters = self.e.unary(Unary::Round, quarters);
        let taken = self.e.mul(quarters, quarter);
        let angle = self.e.sub(turns, taken);
        let square = self.e.mul(angle, angle);
        let sine = self.polynomial(square, SIN_TURN);
        let sine = self.e.mul(sine, angle);
        let cosine = self.polynomial(square, COS_TURN);

        let count = self.abs(quarters);
        // Of the quarter's number only the remainder by 4 counts.
        let half = self.k(x, 0.5);
        let pairs = self.e.mul(count, half);
        let whole_pairs = self.e.unary(Unary::Floor, pairs);
        let odd = self.e.binary(Binary::Ne, pairs, whole_pairs);
        let (swapped_sine, swapped_cosine) = (self.e.select(odd, cosine, sine), self.e.select(odd, sine, cosine));
        if op == Unary::Tan {
            let minus = self.e.unary(Unary::Neg, swapped_cosine);
            let below = self.e.select(odd, minus, swapped_cosine);
            let y = self.e.binary(Binary::Div, swapped_sine, below);
            return self.flip_sign(y, x);
        }
        // Quarters from -2 to 2: the sine of 0 to 3 quarters is s, c, -s, -c, the cosine c, -s, -c, s.
        let two_away = self.equals(count, 2.0);
        let negate = if op == Unary::Sin {
            let back = self.equals(quarters, -1.0);
            self.e.binary(Binary::Or, two_away, back)
        } else {
            let forth = self.equals(quarters, 1.0);
            self.e.binary(Binary::Or, two_away, forth)
        };
        let y = if op == Unary::Sin { swapped_sine } else { swapped_cosine };
        let minus = self.e.unary(Unary::Neg, y);
        let y = self.e.select(negate, minus, y);
        if op == Unary::Sin { self.flip_sign(y, x) } else { y }
    }

    /// `y`, negated where `x` is negative.
    fn flip_sign(&mut self, y: ExprId, x: ExprId) -> ExprId {
        let dtype = self.e.dtype(x);
        let sign = self.bits(x);
        let sign = self.bit_op(Binary::And, sign, layout(dtype).sign);
        let bits = self.bits(y);
        let bits = self.e.binary(Binary::Xor, bits, sign);
        self.e.bitcast(dtype, bits)
    }
}

fn unsupported(op: &str, dtype: DType) -> Error {
    Error::unsupported(format!("no machine code is made for {op} on {dtype}"))
}
