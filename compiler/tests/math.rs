//! Expanded transcendental functions, as machine code, against f64 references.

#![allow(unsafe_code, reason = "runs the code that is tested")]

use std::f32::consts::{FRAC_PI_2, PI, TAU};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use frit_compiler::lower::math::{self, Has};
use frit_compiler::lower::{clif, target, wide};
use frit_ir::DType;
use frit_ir::expr::{Expr, ExprId, Exprs, Source};
use frit_ir::scalar::{Binary, Scalar, Unary};
use frit_ir::vector::{Address, Inst, Program, Reg, RegType, Target};
use frit_runtime::code::CodeMemory;

/// Elements that the wide emitter computes at a time.
const WIDE: usize = 16;
const I64: RegType = RegType { dtype: DType::I64, lanes: 1 };

/// A program that computes an expression of elements of the inputs for every element of the output, so many at a time.
fn program(name: &str, exprs: &Exprs, root: ExprId, dtype: DType, count: usize, lanes: usize) -> Program {
    let inputs = exprs.nodes().iter().filter(|(expr, _)| matches!(expr, Expr::Load { .. })).count();
    let mut regs = vec![I64; 3];
    let (group, width, index) = (Reg(0), Reg(1), Reg(2));
    let mut body =
        vec![Inst::Const { dst: width, value: Scalar::Int(lanes as i128) }, Inst::Binary { dst: index, op: Binary::Mul, a: group, b: width }];
    let mut of = vec![Reg(0); exprs.len()];
    for id in exprs.reachable(&[root]) {
        let (expr, dtype) = &exprs.nodes()[id.0 as usize];
        let dst = Reg(regs.len() as u32);
        regs.push(RegType { dtype: *dtype, lanes: lanes as u32 });
        let r = |id: &ExprId| of[id.0 as usize];
        body.push(match expr {
            Expr::Const(value) => Inst::Const { dst, value: *value },
            Expr::Load { source, .. } => Inst::Load { dst, from: Address { buffer: source.0, base: 0, index, offset: 0 }, stride: 1 },
            Expr::Unary(op, a) => Inst::Unary { dst, op: *op, a: r(a) },
            Expr::Binary(op, a, b) => Inst::Binary { dst, op: *op, a: r(a), b: r(b) },
            Expr::Fma(a, b, c) => Inst::Fma { dst, a: r(a), b: r(b), c: r(c) },
            Expr::Select(c, a, b) => Inst::Select { dst, cond: r(c), a: r(a), b: r(b) },
            Expr::Cast(a) => Inst::Cast { dst, a: r(a) },
            Expr::Bitcast(a) => Inst::Bitcast { dst, a: r(a) },
            Expr::Var(_) | Expr::Reduced => panic!("not in these tests"),
        });
        of[id.0 as usize] = dst;
    }
    body.push(Inst::Store { src: of[root.0 as usize], to: Address { buffer: inputs as u32, base: 0, index, offset: 0 }, stride: 1 });
    Program {
        name: name.to_owned(),
        regs,
        mutable: Vec::new(),
        params: vec![dtype; inputs + 1],
        scratch_bytes: 0,
        grid: vec![(count / lanes) as i64],
        grid_regs: vec![group],
        body,
    }
}

/// What an expression of loads from `inputs` gives, computed with a target's code: four elements at a time by the portable emitter and,
/// where the machine has them, in the wide vectors of the target and of x86-64-v3, which does not scale.
fn run<T: Copy + Default>(name: &str, (exprs, root): &(Exprs, ExprId), Way { target, has }: &Way, dtype: DType, inputs: &[&[T]]) -> Vec<Vec<T>> {
    let program = |lanes| program(name, exprs, *root, dtype, inputs[0].len(), lanes);
    let mut codes = vec![(4, clif::emit(&program(4), target))];
    let narrower = target::named("x86-64-v3").expect("a target");
    for target in [target, &narrower] {
        if (target.scales() || !has.scale) && wide::vectors(target).is_some() && frit_runtime::target::check(target).is_ok() {
            codes.push((WIDE, wide::emit(&program(WIDE), target)));
        }
    }
    codes.into_iter().map(|(lanes, code)| run_code(&code.unwrap_or_else(|e| panic!("{name}: {e}")), lanes, inputs)).collect()
}

fn run_code<T: Copy + Default>(code: &[u8], lanes: usize, inputs: &[&[T]]) -> Vec<T> {
    let memory = CodeMemory::new(code).expect("memory");
    let count = inputs[0].len();
    assert!(count.is_multiple_of(lanes), "whole vectors");
    let mut output = vec![T::default(); count];
    let mut pointers: Vec<*mut u8> = inputs.iter().map(|input| input.as_ptr().cast_mut().cast()).collect();
    pointers.push(output.as_mut_ptr().cast());
    pointers.push(std::ptr::null_mut());
    let kernel = memory.entry(0).expect("code");
    // SAFETY: the program reads and writes `count` elements, a multiple of its lanes, of each buffer, and no scratch.
    unsafe { kernel(pointers.as_ptr(), 0, (count / lanes) as u64) };
    output
}

/// Code for a target, made as if it had something or had not.
struct Way {
    target: Target,
    has: Has,
}

/// The host's target: with scaling and fused multiply-adds, without scaling, without both.
fn ways() -> [Way; 3] {
    let host = target::host();
    let mut plain = host.clone();
    plain.fma = false;
    plain.features.retain(|name| name != "has_fma");
    [(host.clone(), true, true), (host, true, false), (plain, false, false)].map(|(target, fma, scale)| Way { target, has: Has { fma, scale } })
}

/// Distance from the exact value in units of the last place of f32; 0 where both are the same non-number.
fn units(got: f32, want: f64) -> f64 {
    let nearest = want as f32;
    if got.to_bits() == nearest.to_bits() || got.is_nan() && want.is_nan() {
        return 0.0;
    }
    if got.is_nan() || want.is_nan() || got == 0.0 && nearest == 0.0 {
        return f64::INFINITY;
    }
    let exponent = (want.abs().clamp(f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX)).to_bits() >> 52) as i32 - 1023;
    let unit = 2f64.powi(exponent - 23);
    // What rounds to infinity is held to be the next number after the largest.
    let got = if got.is_infinite() { 2f64.powi(128).copysign(f64::from(got)) } else { f64::from(got) };
    let want = if want.abs() > 2f64.powi(128) { 2f64.powi(128).copysign(want) } else { want };
    (got - want).abs() / unit
}

fn expand(dtype: DType, inputs: u32, has: Has, make: impl Fn(&mut Exprs, &[ExprId]) -> ExprId) -> (Exprs, ExprId) {
    let mut exprs = Exprs::new();
    let zero = exprs.int(0);
    let operands: Vec<ExprId> = (0..inputs).map(|at| exprs.load(Source(at), dtype, vec![zero])).collect();
    let root = make(&mut exprs, &operands);
    let (exprs, map) = math::legalise(&exprs, &[root], has).expect("expansion");
    (exprs, map[root.0 as usize])
}

/// Every 4096th f32, every 97th from 2^-13 to 2^8, where functions bend, and what is special.
fn samples() -> Vec<f32> {
    let mut all: Vec<f32> = (0..1u64 << 20).map(|n| f32::from_bits((n * 4096 + n * 2654435761 % 4096) as u32)).collect();
    for sign in [0, 1 << 31] {
        all.extend(((127 - 13) << 23..(127 + 8) << 23).step_by(97).map(|bits: u32| f32::from_bits(bits | sign)));
    }
    for x in [0.0, f32::MIN_POSITIVE, 1e-45, 1.0, 1.0 + f32::EPSILON, 1.0 - f32::EPSILON / 2.0, 0.35, 0.64, 2.0, 4.0, 9.02, 88.72284, 88.72283, 103.97, 104.0, 89.0, f32::MAX, f32::INFINITY, f32::NAN, FRAC_PI_2, PI, TAU, 16_367_173.0, 3.6e16, 1e30] {
        all.extend([x, -x]);
    }
    all
}

/// The largest error of a function in units, each of the [`ways`], and where they are: found among all f32 from 2^-13 to 2^8, every 102nd
/// of the others, and the hardest of all to reduce by quarter turns.
struct Bound {
    op: Unary,
    units: [f64; 3],
    at: [u32; 3],
}

/// One that does not scale.
const fn bound(op: Unary, [fused, plain]: [f64; 2], at: [u32; 2]) -> Bound {
    Bound { op, units: [fused, fused, plain], at: [at[0], at[0], at[1]] }
}

const BOUNDS: &[Bound] = &[
    bound(Unary::Log, [1.19, 1.31], [0x3faa_b896, 0x3faa_b44f]),
    Bound { op: Unary::Exp, units: [1.04, 1.71, 1.62], at: [0x41d5_d730, 0xc126_5b85, 0x4299_bf2e] },
    bound(Unary::Erf, [1.22, 1.28], [0x3f83_f17e, 0x3f81_e09c]),
    bound(Unary::Tanh, [2.48, 2.48], [0x3cfc_dea3, 0x3cfc_dea3]),
    bound(Unary::Sin, [1.57, 1.56], [0x61bb_b70d, 0xd0b1_b0a2]),
    // Of all f32 this is the nearest to an odd number of quarter turns.
    bound(Unary::Cos, [2.73, 2.73], [0xef79_be45, 0xef79_be45]),
    bound(Unary::Expm1, [1.55, 1.57], [0x4126_5b11, 0x40f3_fff5]),
    bound(Unary::Tan, [3.21, 3.75], [0xe9ff_1d42, 0x407b_5394]),
    bound(Unary::Log1p, [1.96, 2.07], [0x3eaa_e257, 0x3eaa_d13b]),
    bound(Unary::Asin, [1.95, 1.99], [0x3f07_f4a8, 0x3f06_cfec]),
    bound(Unary::Acos, [1.3, 1.29], [0xbf00_45bb, 0xbf00_39b2]),
    bound(Unary::Atan, [1.96, 2.13], [0x3f88_4a66, 0x3f80_7202]),
    Bound { op: Unary::Sinh, units: [1.62, 2.66, 2.39], at: [0x3fb5_88e8, 0x4005_f777, 0x4005_a51b] },
    Bound { op: Unary::Cosh, units: [1.47, 1.76, 1.69], at: [0x4090_f32f, 0x40f0_4485, 0x40f0_433b] },
    bound(Unary::Acosh, [2.4, 2.46], [0x3f80_3c4f, 0x3f83_6e64]),
    bound(Unary::Asinh, [2.25, 2.31], [0x3e96_425e, 0x3e96_962e]),
    bound(Unary::Atanh, [2.46, 2.59], [0x3e49_3106, 0x3e12_9a9e]),
];

/// The largest error in units, and which element has it.
fn worst(got: &[f32], want: impl Fn(usize) -> f64) -> (f64, usize) {
    got.iter().enumerate().map(|(at, got)| (units(*got, want(at)), at)).max_by(|a, b| a.0.total_cmp(&b.0)).expect("elements")
}

/// Is an error within its bound, and the bound no further away than a tenth?
fn holds(error: f64, bound: f64) -> bool {
    (0.9 * bound..=bound).contains(&error)
}

#[test]
fn functions_of_one_f32_keep_their_bounds() {
    let mut xs = samples();
    xs.extend(BOUNDS.iter().flat_map(|bound| bound.at.map(f32::from_bits)));
    xs.resize(xs.len().next_multiple_of(WIDE), 1.0);
    let failures: Mutex<Vec<String>> = Mutex::default();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(Bound { op, units: bounds, .. }) = BOUNDS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let want: Vec<f64> = xs.iter().map(|x| op.apply(Scalar::Float(f64::from(*x)), DType::F64).as_f64()).collect();
            for (way, bound) in ways().iter().zip(bounds) {
                let expanded = expand(DType::F32, 1, way.has, |e, x| e.unary(*op, x[0]));
                for got in run(op.name(), &expanded, way, DType::F32, &[&xs]) {
                    let (error, at) = worst(&got, |at| want[at]);
                    if !holds(error, *bound) {
                        let line = format!("{} ({:?}): {error:.3} units, not {bound}, at {:e}: {:e}, not {:e}", op.name(), way.has, xs[at], got[at], want[at]);
                        failures.lock().expect("no panic").push(line);
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().expect("no panic");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Far below 0 it is smaller than x by any factor, and held to units of x: no more can be asked of what is written with an error function.
#[test]
fn gelu_is_exact_to_units_of_its_argument() {
    let mut xs = samples();
    xs.resize(xs.len().next_multiple_of(WIDE), 1.0);
    let want: Vec<f64> = xs.iter().map(|x| Unary::Gelu.apply(Scalar::Float(f64::from(*x)), DType::F64).as_f64()).collect();
    for (way, bound) in ways().iter().zip([1.89, 1.89, 2.25]) {
        let expanded = expand(DType::F32, 1, way.has, |e, x| e.unary(Unary::Gelu, x[0]));
        for got in run("gelu", &expanded, way, DType::F32, &[&xs]) {
            let error = |at: usize| {
                let (x, got, want) = (xs[at], got[at], want[at]);
                if !x.is_finite() || want.is_nan() {
                    return if got.to_bits() == (want as f32).to_bits() || got.is_nan() && want.is_nan() { 0.0 } else { f64::INFINITY };
                }
                let unit = f64::from(x.abs().max(f32::MIN_POSITIVE)) * 2f64.powi(-24);
                (f64::from(got) - want).abs() / unit
            };
            let at = (0..xs.len()).max_by(|a, b| error(*a).total_cmp(&error(*b))).expect("samples");
            assert!(holds(error(at), bound), "gelu ({:?}): {:.3} units, not {bound}, at {:e}: {:e}, not {:e}", way.has, error(at), xs[at], got[at], want[at]);
        }
    }
}

#[test]
fn functions_of_two_f32_keep_their_bounds() {
    let special = [0.0f32, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, 1.5, -2.5, 1e-40, -1e-40, 1e30, -1e30, 16_777_217.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 7.3, -0.1];
    let mut pairs: Vec<(f32, f32)> = special.iter().flat_map(|a| special.iter().map(|b| (*a, *b))).collect();
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 32) as u32
    };
    for at in 0..1 << 20 {
        let (a, b) = (next(), next());
        pairs.push(match at % 4 {
            0 => (f32::from_bits(a), f32::from_bits(b)),
            1 => ((a as f32 / 2f32.powi(26)).powi(3) - 100.0, b as f32 / 2f32.powi(28) - 8.0),
            2 => (a as f32 / 2f32.powi(32), b as f32 / 2f32.powi(32)),
            _ => (a as f32 / 2f32.powi(28), b as f32 / 2f32.powi(27) - 16.0),
        });
    }
    pairs.resize(pairs.len().next_multiple_of(WIDE), (1.0, 1.0));
    let (xs, ys): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
    for (op, bounds) in [(Binary::Pow, [1.6, 1.6, 1.5]), (Binary::Atan2, [1.9, 1.9, 2.0])] {
        for (way, bound) in ways().iter().zip(bounds) {
            let expanded = expand(DType::F32, 2, way.has, |e, x| e.binary(op, x[0], x[1]));
            let want = |at: usize| op.apply(Scalar::Float(f64::from(xs[at])), Scalar::Float(f64::from(ys[at])), DType::F64).as_f64();
            for got in run(op.name(), &expanded, way, DType::F32, &[&xs, &ys]) {
                let (error, at) = worst(&got, want);
                assert!(holds(error, bound), "{} ({:?}) of {:e}, {:e}: {:e}, not {:e}: {error:.3} units, not {bound}", op.name(), way.has, xs[at], ys[at], got[at], want(at));
            }
        }
    }
}

#[test]
fn functions_of_one_f64_keep_their_bounds() {
    let ops = [Unary::Exp, Unary::Log, Unary::Expm1, Unary::Log1p, Unary::Tanh, Unary::Sinh, Unary::Cosh, Unary::Asinh, Unary::Acosh, Unary::Atanh, Unary::Asin, Unary::Acos, Unary::Atan];
    let mut xs: Vec<f64> = (0..1u64 << 16).map(|n| f64::from_bits(n << 48 | n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16)).collect();
    xs.extend((0..1 << 16).map(|n| f64::from(n) / 4096.0 - 8.0 + 1e-5));
    xs.extend([0.0, -0.0, 1.0, -1.0, 709.78, 709.79, -745.1, -745.2, 0.35, -0.35, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MAX, 1e-300, 5e-324]);
    xs.resize(xs.len().next_multiple_of(WIDE), 1.0);
    let mut failures = Vec::new();
    for op in ops {
        for way in ways() {
            let expanded = expand(DType::F64, 1, way.has, |e, x| e.unary(op, x[0]));
            for got in run(op.name(), &expanded, &way, DType::F64, &[&xs]) {
                let error = |at: usize| {
                    let (got, want) = (got[at], op.apply(Scalar::Float(xs[at]), DType::F64).as_f64());
                    if got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan() {
                        0.0
                    } else if got.is_nan() || want.is_nan() || got == want {
                        f64::INFINITY
                    } else {
                        (got.to_bits() as i64).abs_diff(want.to_bits() as i64) as f64
                    }
                };
                let worst = (0..xs.len()).max_by(|a, b| error(*a).total_cmp(&error(*b))).expect("samples");
                if error(worst) > 4.0 {
                    failures.push(format!("{} ({:?}): {} units at {:e}: {:e}", op.name(), way.has, error(worst), xs[worst], got[worst]));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn narrow_floats_are_computed_in_f32() {
    let [way, ..] = ways();
    let expanded = expand(DType::F16, 1, way.has, |e, x| e.unary(Unary::Tanh, x[0]));
    let xs: Vec<u16> = (0..=u16::MAX).collect();
    for outputs in run("tanh", &expanded, &way, DType::F16, &[&xs]) {
        for (x, got) in xs.iter().zip(outputs) {
            let value = |bits: u16| frit_ir::tensor::read(&bits.to_le_bytes(), 0, DType::F16);
            let want = Unary::Tanh.apply(value(*x), DType::F16).as_f64();
            let got = value(got).as_f64();
            assert!(got.is_nan() && want.is_nan() || (got - want).abs() <= want.abs() / 1024.0, "tanh {:?}: {got}, not {want}", value(*x));
        }
    }
}

#[test]
fn a_function_without_an_expansion_is_named() {
    let mut exprs = Exprs::new();
    let zero = exprs.int(0);
    let x = exprs.load(Source(0), DType::F64, vec![zero]);
    let y = exprs.unary(Unary::Sin, x);
    let error = math::legalise(&exprs, &[y], Has { fma: true, scale: true }).expect_err("no expansion");
    assert_eq!(error.message, "no machine code is made for sin on f64");
}
