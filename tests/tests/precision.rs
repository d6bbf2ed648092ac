//! Models whose products are computed in bf16, against ONNX Runtime's outputs in f32; and their bits, on any threads.
#![allow(clippy::print_stdout, reason = "a test that prints a table")]

use std::path::PathBuf;

use frit::{Binding, Executable, Options, Precision, RunOptions, Session, Tensor, Threads, compile, import};
use frit_compiler::lower::target;
use frit_ir::Builder;
use frit_ir::ops::{conv::Conv, matmul::MatMul};
use frit_ir::vector::Target;
use frit_tests::{data, npz};

/// Models, and how many products follow each other in them. Each factor is off by up to 2^-8 of itself, this way or that: so are the results of
/// each product, in the mean less. Errors that don't depend on each other add up as their squares do.
const MODELS: &[(&str, u32)] = &[
    ("zoo/mlp_b64", 4),
    ("zoo/lstm_lm", 64),
    ("zoo/squeezenet", 18),
    ("zoo/resnet18", 18),
    ("zoo/mobilenet_v3_large", 48),
    ("zoo/convnext_tiny", 59),
    ("zoo/gpt2", 73),
];

fn compiled(model: &data::Model, inputs: &[(String, Tensor)], options: Options) -> Executable {
    let binding = Binding { shapes: inputs.iter().map(|(name, tensor)| (name.clone(), tensor.extents().to_vec())).collect(), ..Binding::default() };
    let graph = import(&model.path, &binding, None).unwrap_or_else(|errors| panic!("{}: {errors:?}", model.name));
    compile(&graph, &Options { binding, ..options }).unwrap_or_else(|errors| panic!("{}: {errors:?}", model.name))
}

fn run(executable: &Executable, inputs: &[(String, Tensor)], threads: Threads) -> Vec<(String, Tensor)> {
    let session = Session::new(executable.clone(), &RunOptions { threads }).expect("a session");
    session.run_named(inputs.to_vec()).expect("outputs")
}

/// The mean difference as a part of the mean element.
fn error(got: &Tensor, wanted: &Tensor) -> f64 {
    assert_eq!(got.ty(), wanted.ty());
    let (mut off, mut all) = (0.0, 0.0);
    for (got, wanted) in got.f64s().into_iter().zip(wanted.f64s()) {
        off += (got - wanted).abs();
        all += wanted.abs();
    }
    off / all
}

#[test]
fn models_are_as_near_as_rounding_explains_and_the_same_on_any_threads() {
    let folder = data::folder().unwrap_or_else(|why| panic!("{why}"));
    let models = data::models(&folder).unwrap_or_else(|why| panic!("{why}"));
    for (name, products) in MODELS {
        let model = models.iter().find(|model| model.name == *name).unwrap_or_else(|| panic!("'{name}' is not there"));
        let read = |end: &str| npz::read(&PathBuf::from(format!("{}.{end}.npz", model.oracle.display()))).unwrap_or_else(|why| panic!("{why}"));
        let (inputs, expected) = (read("in"), read("out"));
        let executable = compiled(model, &inputs, Options { precision: Precision::BF16, ..Options::default() });
        let outputs = run(&executable, &inputs, Threads::one());
        for (output, wanted) in &expected {
            let (_, got) = outputs.iter().find(|(given, _)| given == output).unwrap_or_else(|| panic!("{name} lacks '{output}'"));
            let error = error(got, wanted);
            println!("{name:28} {output:12} {error:.2e}");
            assert!(error <= 2f64.powi(-7) * f64::from(*products).sqrt(), "{name}: '{output}' is off by {error:.2e} of its mean element");
            // Something was rounded.
            assert!(error > 1e-5, "{name}: '{output}' is off by {error:.2e} only");
        }
        if executable.target.pairs() {
            assert!(executable.kernels.iter().any(|kernel| kernel.name.contains("_pairs")), "{name} has no products of pairs");
        }
        for threads in [2, 3, 8] {
            let again = run(&executable, &inputs, Threads::count(threads).expect("threads"));
            let same = outputs.iter().zip(&again).all(|((_, a), (_, b))| a.bytes() == b.bytes());
            assert!(same, "{name}: {threads} threads change the outputs");
        }
    }
}

/// The f32 nearest to a number among those whose last 16 bits are zero, ties to the one whose next bit is: rounding to bf16 by its
/// definition and not by its bits. What is subnormal counts as zero where there is an instruction for pairs.
fn nearest(x: f32, pairs: bool) -> f64 {
    if !x.is_finite() || x == 0.0 {
        return f64::from(x);
    }
    let unit = 2f64.powi((x.abs().log2().floor() as i32).max(-126) - 7);
    // The logarithm of a number just below a power of two may be that of the power.
    let unit = if f64::from(x.abs()) < unit * 128.0 && unit > 2f64.powi(-133) { unit / 2.0 } else { unit };
    let rounded = (f64::from(x) / unit).round_ties_even() * unit;
    if pairs && rounded.abs() < f64::from(f32::MIN_POSITIVE) { 0.0 } else if rounded.abs() >= 2f64.powi(128) { f64::INFINITY.copysign(rounded) } else { rounded }
}

/// Numbers of many sizes, among them those that rounding is about.
fn drawn(extents: &[i64], seed: u32, special: bool) -> Tensor {
    let mut bits = seed;
    let edges = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-39, -1e-45, f32::from_bits(0x3f80_8000), f32::from_bits(0x3f81_8000), f32::from_bits(0xbf80_8001)];
    let values: Vec<f32> = (0..extents.iter().product::<i64>())
        .map(|_| {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let x = ((bits >> 8) as f32 / (1 << 23) as f32 - 1.0) * 4.0;
            let kind = bits >> 3 & 0xff;
            // NaN and infinities spoil whole rows: only a few.
            if kind < 7 { edges[3 + kind as usize] } else if special && kind == 7 && bits >> 24 & 3 == 0 { edges[(bits >> 28) as usize % 3] } else { x }
        })
        .collect();
    Tensor::from_slice(extents, &values)
}

/// Sums of products of rounded factors, and of their sizes, in f64.
fn product(a: &Tensor, b: &Tensor, pairs: bool) -> Vec<(f64, f64)> {
    let [m, k] = *a.extents() else { panic!("a matrix") };
    let n = b.extents()[1];
    let [a, b] = [a, b].map(|tensor| tensor.as_slice::<f32>().iter().map(|x| nearest(*x, pairs)).collect::<Vec<_>>());
    let sum = |i: i64, j: i64| (0..k).map(|p| a[(i * k + p) as usize] * b[(p * n + j) as usize]).fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
    (0..m).flat_map(|i| (0..n).map(move |j| (i, j))).map(|(i, j)| sum(i, j)).collect()
}

/// What this machine's code and that for the older ones among its kind make of a product.
fn products(a: &Tensor, b: &Tensor, constant: bool) -> Vec<(Target, Tensor)> {
    let mut builder = Builder::new("product");
    let x = builder.input("a", a.ty());
    let y = if constant { builder.constant(b.clone()) } else { builder.input("b", b.ty()) };
    let z = builder.apply(MatMul {}, &[x, y]).expect("a product");
    builder.output("y", z);
    let graph = builder.finish();
    let inputs = if constant { vec![a.clone()] } else { vec![a.clone(), b.clone()] };
    let mut results = Vec::new();
    for name in [target::NATIVE, "x86-64-v2", "x86-64-v3", "x86-64-v4"] {
        let target = target::named(name).expect("a target");
        if frit::target::check(&target).is_ok() {
            let executable = compile(&graph, &Options { target: target.clone(), precision: Precision::BF16, ..Options::default() }).expect("it compiles");
            results.push((target, Session::new(executable, &RunOptions::default()).expect("a session").run(&inputs).expect("results").remove(0)));
        }
    }
    results
}

#[test]
fn products_are_those_of_rounded_factors() {
    for (at, [m, k, n]) in [[1i64, 4, 4], [1, 33, 70], [2, 5, 17], [7, 31, 33], [21, 64, 50], [64, 129, 96], [130, 257, 65], [3, 2048, 16]].into_iter().enumerate() {
        for special in [false, true] {
            let (a, b) = (drawn(&[m, k], 1 + at as u32, special), drawn(&[k, n], 77 + at as u32, special));
            let wanted = [false, true].map(|pairs| product(&a, &b, pairs));
            for constant in [true, false] {
                // A row by a matrix that is not constant is not worth tiles: it stays in f32.
                if m == 1 && !constant {
                    continue;
                }
                for (target, got) in products(&a, &b, constant) {
                    for (place, (got, (wanted, size))) in got.f64s().into_iter().zip(&wanted[usize::from(target.pairs())]).enumerate() {
                        // Sums of k products in f32, each rounded, less what becomes zero on the way.
                        let bound = size * k as f64 * 2f64.powi(-24) + k as f64 * 2f64.powi(-120);
                        let fits = got == *wanted || got.is_nan() && wanted.is_nan() || (got - wanted).abs() <= bound;
                        assert!(fits, "[{m},{k}] x [{k},{n}] for {target}, constant: {constant}: element {place} is {got:e}, not {wanted:e}");
                    }
                }
            }
        }
    }
}

#[test]
fn windows_are_those_of_rounded_factors() {
    // Images and weights with odd numbers of channels, groups, strides, margins, dilations.
    for (at, (x, w, strides, dilations, margins, groups)) in [
        ([1i64, 3, 9, 11], [8i64, 3, 3, 3], [1i64, 1], [1i64, 1], [1i64, 1], 1i64),
        ([2, 5, 15, 13], [7, 5, 3, 3], [2, 2], [1, 1], [0, 1], 1),
        ([1, 16, 7, 7], [24, 16, 1, 1], [1, 1], [1, 1], [0, 0], 1),
        ([1, 8, 9, 20], [6, 4, 3, 3], [2, 1], [1, 2], [1, 2], 2),
        ([1, 6, 9, 20], [6, 3, 3, 3], [1, 1], [1, 1], [1, 1], 2),
        ([1, 65, 7, 7], [130, 65, 1, 1], [1, 1], [1, 1], [0, 0], 1),
    ]
    .into_iter()
    .enumerate()
    {
        let (image, weights) = (drawn(&x, 5 + at as u32, false), drawn(&w, 99 + at as u32, false));
        let mut builder = Builder::new("windows");
        let input = builder.input("x", image.ty());
        let constant = builder.constant(weights.clone());
        let conv = Conv { strides: strides.to_vec(), dilations: dilations.to_vec(), before: margins.to_vec(), after: margins.to_vec(), groups };
        let y = builder.apply(conv, &[input, constant]).expect("a convolution");
        builder.output("y", y);
        let extents = builder.extents(y).expect("known");
        let graph = builder.finish();
        // Groups of an odd number of channels stay in f32.
        let rounded = |tensor: &Tensor| -> Vec<f64> { tensor.as_slice::<f32>().iter().map(|v| if groups > 1 && w[1] % 2 == 1 { f64::from(*v) } else { nearest(*v, false) }).collect() };
        let (a, b) = (rounded(&image), rounded(&weights));
        for name in [target::NATIVE, "x86-64-v3"] {
            let target = target::named(name).expect("a target");
            if frit::target::check(&target).is_err() {
                continue;
            }
            let executable = compile(&graph, &Options { target, precision: Precision::BF16, ..Options::default() }).expect("it compiles");
            let got = Session::new(executable, &RunOptions::default()).expect("a session").run(std::slice::from_ref(&image)).expect("results").remove(0).f64s();
            for (place, got) in got.into_iter().enumerate() {
                let flat = place as i64;
                let [image_at, channel, row, column] = [flat / (extents[1] * extents[2] * extents[3]), flat / (extents[2] * extents[3]) % extents[1], flat / extents[3] % extents[2], flat % extents[3]];
                let (mut wanted, mut size, mut count) = (0.0, 0.0, 0.0);
                for c in 0..w[1] {
                    for (i, j) in (0..w[2]).flat_map(|i| (0..w[3]).map(move |j| (i, j))) {
                        let (down, right) = (row * strides[0] + i * dilations[0] - margins[0], column * strides[1] + j * dilations[1] - margins[1]);
                        if (0..x[2]).contains(&down) && (0..x[3]).contains(&right) {
                            let from = channel / (w[0] / groups) * w[1] + c;
                            let term = a[(((image_at * x[1] + from) * x[2] + down) * x[3] + right) as usize] * b[(((channel * w[1] + c) * w[2] + i) * w[3] + j) as usize];
                            (wanted, size, count) = (wanted + term, size + term.abs(), count + 1.0);
                        }
                    }
                }
                let bound = size * count * 2f64.powi(-24) + count * 2f64.powi(-120);
                assert!((got - wanted).abs() <= bound, "windows {at} for {name}: element {place} is {got:e}, not {wanted:e}");
            }
        }
    }
}
