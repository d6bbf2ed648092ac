//! What convolutions by Winograd's algorithm cost in exactness: no more than a stated multiple of what any order of summation may.
//!
//! A sum of n products is computed in f32 with an error of at most about `n * u * sum |x * w|`, `u` the unit roundoff (Higham, Accuracy and
//! Stability of Numerical Algorithms, 3.1); in practice it is a few `u * sum |x * w|`. Winograd's products are added up with factors that
//! cancel, which multiplies that. The reference is computed in f64.

#![allow(clippy::print_stdout, reason = "a test that prints a table")]

use frit::{Options, RunOptions, Session, Tensor, Threads, compile};
use frit_compiler::lower::target;
use frit_ir::ops::conv::Conv;
use frit_ir::ops::{Domain, OpDef};
use frit_ir::vector::Target;
use frit_ir::{Builder, DType, Graph, TensorType};
use frit_tests::draw;

/// Errors in units of `u * sum |x * w|` that results may have at most.
const BOUND: f64 = 32.0;
/// What the same convolution may have without Winograd.
const DIRECT: f64 = 8.0;

/// Image, weights, margins: one, two and no tiles left over, windows of 2 to 5 taps, few and many channels, groups.
const CASES: &[(&[i64], &[i64], i64, i64)] = &[
    (&[1, 64, 28, 28], &[32, 64, 3, 3], 1, 1),
    (&[2, 32, 15, 30], &[48, 32, 3, 3], 1, 1),
    (&[1, 512, 7, 7], &[64, 512, 3, 3], 1, 1),
    (&[1, 16, 33, 18], &[16, 16, 5, 5], 2, 1),
    (&[1, 24, 20, 21], &[24, 24, 2, 3], 0, 1),
    (&[1, 48, 16, 64], &[48, 12, 3, 3], 1, 4),
    (&[1, 32, 12, 40], &[32, 32, 1, 3], 0, 1),
];

fn graph(x: &[i64], w: &Tensor, margin: i64, groups: i64) -> Graph {
    let mut b = Builder::new("conv");
    let input = b.input("x", TensorType::known(DType::F32, x));
    let weights = b.constant(w.clone());
    let op = conv(margin, groups);
    let y = b.apply(op, &[input, weights]).expect("a convolution");
    b.output("y", y);
    b.finish()
}

fn conv(margin: i64, groups: i64) -> Conv {
    Conv { strides: vec![1, 1], dilations: vec![1, 1], before: vec![margin; 2], after: vec![margin; 2], groups }
}

/// The largest error in units of `u * sum |x * w|` of code for a target, and how many of the kernels are Winograd's.
fn error(x: &Tensor, w: &Tensor, margin: i64, groups: i64, without: &[&str], target: Target) -> (f64, usize) {
    let graph = graph(x.extents(), w, margin, groups);
    let mut options = Options { target, ..Options::default() };
    options.rewrite.without = without.iter().map(|name| (*name).to_owned()).collect();
    let executable = compile(&graph, &options).expect("a program");
    let kernels = executable.kernels.iter().filter(|kernel| kernel.name.contains("winograd")).count();
    let session = Session::new(executable, &RunOptions { threads: Threads::one() }).expect("a session");
    let got = session.run_named(vec![("x".to_owned(), x.clone())]).expect("a result").remove(0).1;
    let wide = |tensor: &Tensor, size: fn(f64) -> f64| Tensor::from_f64s(DType::F64, tensor.extents(), &tensor.f64s().into_iter().map(size).collect::<Vec<_>>()).expect("f64");
    let op = conv(margin, groups);
    let run = |size: fn(f64) -> f64| op.eval(&[&wide(x, size), &wide(w, size)]).expect("a reference").remove(0).f64s();
    let (exact, sizes) = (run(|x| x), run(f64::abs));
    let unit = f64::from(f32::EPSILON) / 2.0;
    let largest = got.f64s().iter().zip(&exact).zip(&sizes).map(|((got, exact), size)| (got - exact).abs() / (unit * size.max(1e-30))).fold(0.0, f64::max);
    (largest, kernels)
}

#[test]
fn errors_are_bounded() {
    const RULES: [&str; 2] = ["winograd-rows", "winograd-columns"];
    let mut used = 0;
    for (at, (x, w, margin, groups)) in CASES.iter().enumerate() {
        let image = draw::tensor(DType::F32, x, Domain::Ordinary, at as u64).expect("an image");
        let weights = draw::tensor(DType::F32, w, Domain::Ordinary, 100 + at as u64).expect("weights");
        let (direct, none) = error(&image, &weights, *margin, *groups, &RULES, target::host());
        let (rows, _) = error(&image, &weights, *margin, *groups, &RULES[1..], target::host());
        let (both, kernels) = error(&image, &weights, *margin, *groups, &[], target::host());
        println!("{x:?} * {w:?}: direct {direct:.1}, rows {rows:.1}, rows and columns {both:.1} ({kernels} kernels)");
        assert_eq!(none, 0);
        assert!(direct <= DIRECT && rows <= BOUND && both <= BOUND, "{x:?} * {w:?}: {direct:.1}, {rows:.1}, {both:.1} units");
        used += usize::from(kernels > 0);
    }
    assert!(used * 2 > CASES.len(), "only {used} convolutions of {} are Winograd's", CASES.len());
}

#[test]
fn older_machines_have_the_same_bounds() {
    let (x, w, margin, groups) = CASES[0];
    let image = draw::tensor(DType::F32, x, Domain::Ordinary, 1).expect("an image");
    let weights = draw::tensor(DType::F32, w, Domain::Ordinary, 2).expect("weights");
    for name in ["x86-64-v2", "x86-64-v3"] {
        let (target, host) = (target::named(name).expect("a target"), target::host());
        if target.triple != host.triple || !target.features.iter().all(|feature| host.features.contains(feature)) {
            println!("this machine doesn't run code for {name}");
            continue;
        }
        let (both, kernels) = error(&image, &weights, margin, groups, &[], target);
        assert!(kernels > 0 && both <= BOUND, "{name}: {both:.1} units, {kernels} kernels");
    }
}
