//! What matrix products by Strassen's algorithm cost in exactness: no more than a stated multiple of what any order of summation may.
//!
//! As in `winograd.rs` the unit is `u * sum |x * w|`, `u` the unit roundoff, and the reference is computed in f64. Strassen adds up parts before
//! it multiplies, so that an error also depends on what lies in the other row of a pair, in the other half of the sum and in the column half the
//! width away (Higham, Accuracy and Stability of Numerical Algorithms, 23.2.2: the error is bounded by norms, not element by element). The
//! unit's sum therefore is the mean over the 16 products of the parts that an element is made of.

#![allow(clippy::print_stdout, reason = "a test that prints a table")]

use frit::{Options, RunOptions, Session, Tensor, Threads, compile};
use frit_compiler::lower::target;
use frit_ir::ops::matmul::MatMul;
use frit_ir::ops::pad::Pad;
use frit_ir::ops::reshape::Reshape;
use frit_ir::ops::{Domain, OpDef};
use frit_ir::vector::Target;
use frit_ir::{Builder, DType, Graph, Scalar, TensorType};
use frit_tests::draw;

/// Errors in units that results may have at most.
const BOUND: f64 = 8.0;
/// What the same product may have without Strassen's rule.
const DIRECT: f64 = 8.0;

/// What is multiplied by what: an even and an odd number of rows, more axes than two, an odd number of columns, panels that don't come out even.
const CASES: &[(&[i64], &[i64])] = &[
    (&[128, 768], &[768, 768]),
    (&[197, 256], &[256, 640]),
    (&[1, 14, 14, 384], &[384, 230]),
    (&[2, 49, 230], &[230, 260]),
    (&[64, 512], &[512, 1025]),
    (&[1, 48, 1536], &[1536, 384]),
];

fn graph(x: &[i64], w: &Tensor) -> Graph {
    let mut b = Builder::new("product");
    let input = b.input("x", TensorType::known(DType::F32, x));
    let weights = b.constant(w.clone());
    let y = b.apply(MatMul {}, &[input, weights]).expect("a product");
    b.output("y", y);
    b.finish()
}

/// Results of code for a target, and how many kernels are Strassen's.
fn run(x: &Tensor, w: &Tensor, without: &[&str], target: Target) -> (Tensor, usize) {
    run_graph(&graph(x.extents(), w), x, without, target)
}

fn run_graph(graph: &Graph, x: &Tensor, without: &[&str], target: Target) -> (Tensor, usize) {
    let mut options = Options { target, ..Options::default() };
    options.rewrite.without = without.iter().map(|name| (*name).to_owned()).collect();
    let executable = compile(graph, &options).expect("a program");
    let kernels = executable.kernels.iter().filter(|kernel| kernel.name.contains("strassen")).count();
    let session = Session::new(executable, &RunOptions { threads: Threads::one() }).expect("a session");
    (session.run_named(vec![("x".to_owned(), x.clone())]).expect("a result").remove(0).1, kernels)
}

/// The largest error of results in units.
fn error(x: &Tensor, w: &Tensor, got: &Tensor) -> f64 {
    let double = |tensor: &Tensor| tensor.cast(DType::F64).expect("f64");
    let exact = MatMul {}.eval(&[&double(x), &double(w)]).expect("a reference").remove(0).f64s();
    let (depth, columns) = (w.extents()[0] as usize, w.extents()[1] as usize);
    let (x, w) = (x.f64s(), w.f64s());
    let rows = x.len() / depth;
    let half = columns / 2;
    // Sums of sizes of the parts that belong together.
    let of_rows = |pair: usize, k: usize| -> f64 { (2 * pair..(2 * pair + 2).min(rows)).flat_map(|r| [k, depth / 2 + k].map(|k| x[r * depth + k].abs())).sum() };
    let of_columns = |n: usize, k: usize| -> f64 { [k, depth / 2 + k].into_iter().flat_map(|k| [n, half + n].map(|n| w[k * columns + n].abs())).sum() };
    let beside: Vec<f64> = (0..half * depth / 2).map(|at| of_columns(at / (depth / 2), at % (depth / 2))).collect();
    let mut largest = 0.0f64;
    for pair in 0..rows.div_ceil(2) {
        let above: Vec<f64> = (0..depth / 2).map(|k| of_rows(pair, k)).collect();
        for n in 0..half {
            let size: f64 = above.iter().zip(&beside[n * depth / 2..]).map(|(x, w)| x * w).sum::<f64>() / 8.0;
            for (r, n) in (2 * pair..(2 * pair + 2).min(rows)).flat_map(|r| [(r, n), (r, half + n)]) {
                let at = r * columns + n;
                largest = largest.max((got.get(at).as_f64() - exact[at]).abs() / (f64::from(f32::EPSILON) / 2.0 * size));
            }
        }
    }
    largest
}

fn operands(at: usize) -> (Tensor, Tensor) {
    let (x, w) = CASES[at];
    (draw::tensor(DType::F32, x, Domain::Ordinary, at as u64).expect("rows"), draw::tensor(DType::F32, w, Domain::Ordinary, 100 + at as u64).expect("weights"))
}

#[test]
fn errors_are_bounded() {
    for at in 0..CASES.len() {
        let (x, w) = operands(at);
        let ((direct, none), (sevenfold, kernels)) = (run(&x, &w, &["strassen"], target::host()), run(&x, &w, &[], target::host()));
        let (direct, sevenfold) = (error(&x, &w, &direct), error(&x, &w, &sevenfold));
        println!("{:?} * {:?}: direct {direct:.2}, Strassen {sevenfold:.2} ({kernels} kernels)", x.extents(), w.extents());
        assert_eq!(none, 0);
        assert!(kernels > 0, "{:?} * {:?}: Strassen's rule is not used", x.extents(), w.extents());
        assert!(direct <= DIRECT && sevenfold <= BOUND, "{:?} * {:?}: {direct:.2}, {sevenfold:.2} units", x.extents(), w.extents());
    }
}

/// A row of large numbers, as the first token of many language models is, only reaches the other row of its pair.
#[test]
fn large_rows_stay_in_their_pair() {
    let (x, w) = operands(0);
    let depth = x.extents()[1] as usize;
    let mut numbers = x.f64s();
    numbers[6 * depth..7 * depth].iter_mut().for_each(|x| *x *= 3e4);
    let large = Tensor::from_f64s(DType::F32, x.extents(), &numbers).expect("rows");
    let ((plain, _), (other, kernels)) = (run(&x, &w, &[], target::host()), run(&large, &w, &[], target::host()));
    assert!(kernels > 0);
    let columns = w.extents()[1] as usize;
    let row = |tensor: &Tensor, r: usize| tensor.f64s()[r * columns..(r + 1) * columns].to_vec();
    for r in (0..128).filter(|r| r / 2 != 3) {
        assert_eq!(row(&plain, r), row(&other, r), "row {r}");
    }
    assert!(error(&large, &w, &other) <= BOUND);
}

/// Rows of zeros that padding made give zeros, not what is left of the other row of a pair: shifted windows of attention divide keys by their length.
#[test]
fn padded_rows_give_zeros() {
    let w = draw::tensor(DType::F32, &[512, 1024], Domain::Ordinary, 1).expect("weights");
    let x = draw::tensor(DType::F32, &[1, 7, 7, 512], Domain::Ordinary, 2).expect("rows");
    let mut b = Builder::new("padded");
    let input = b.input("x", x.ty());
    let weights = b.constant(w);
    let padded = b.apply(Pad { before: vec![0; 4], after: vec![0, 1, 1, 0], value: Scalar::Float(0.0) }, &[input]).expect("padding");
    let rows = b.apply(Reshape { extents: vec![64, 512] }, &[padded]).expect("rows");
    let y = b.apply(MatMul {}, &[rows, weights]).expect("a product");
    b.output("y", y);
    let (y, kernels) = run_graph(&b.finish(), &x, &[], target::host());
    assert_eq!(kernels, 0);
    for (r, row) in y.f64s().chunks(1024).enumerate() {
        assert_eq!(row.iter().all(|x| *x == 0.0), r / 8 == 7 || r % 8 == 7, "row {r}");
    }
}

#[test]
fn older_machines_have_the_same_bounds() {
    let (x, w) = operands(1);
    for name in ["x86-64-v2", "x86-64-v3"] {
        let (target, host) = (target::named(name).expect("a target"), target::host());
        if target.triple != host.triple || !target.features.iter().all(|feature| host.features.contains(feature)) {
            println!("this machine doesn't run code for {name}");
            continue;
        }
        let (got, kernels) = run(&x, &w, &[], target);
        let error = error(&x, &w, &got);
        assert!(kernels > 0 && error <= BOUND, "{name}: {error:.2} units, {kernels} kernels");
    }
}
