//! Every op against its own definition, by its samples.
//!
//! For each sample: inference agrees with evaluation, with open extents too; loop nests have the inferred type;
//! body and evaluation agree; compiled code agrees with evaluation within the op's tolerance; the text form comes back. All failures are reported together.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use frit_ir::build::Folding;
use frit_ir::ops::{Arg, Body, Input, Op, Sample, eval_body, if_::If};
use frit_ir::verify::{agree, verify};
use frit_ir::{Builder, DType, Dim, Graph, Kind, Shape, Tensor, TensorType, ValueId, text};
use frit_tests::compare::difference;
use frit_tests::draw;

/// Ops without samples, because tests need more than operands; each has a test of its own at the end of this file.
const ELSEWHERE: &[&str] = &["if", "fail"];

type Check = fn(&Sample, &[Tensor]) -> Result<(), String>;

/// Runs a check over all samples and reports every one that fails.
fn for_all_samples(check: Check) {
    let mut failures = Vec::new();
    let samples = Op::samples();
    for (at, sample) in samples.iter().enumerate() {
        let done = catch_unwind(AssertUnwindSafe(|| {
            let inputs = draw::operands(sample, at as u64).map_err(|error| format!("can't draw operands: {error}"))?;
            check(sample, &inputs)
        }));
        if let Err(why) = done.unwrap_or_else(|_| Err("panicked".into())) {
            failures.push(format!("{}: {why}", show(sample)));
        }
    }
    assert!(failures.is_empty(), "{} of {} samples fail:\n{}", failures.len(), samples.len(), failures.join("\n"));
}

fn show(sample: &Sample) -> String {
    let attrs: Vec<String> = sample.op.def().attrs().iter().map(|(name, attr)| format!("{name}={}", text::print_attr(attr))).collect();
    let inputs: Vec<String> = sample
        .inputs
        .iter()
        .map(|input| match input {
            Input::Drawn(dtype, extents, domain) => format!("{} {domain:?}", TensorType::known(*dtype, extents)),
            Input::Given(tensor) => format!("{tensor:?}"),
            Input::Constant(tensor) => format!("constant {tensor:?}"),
        })
        .collect();
    let text = format!("{}({}) {{{}}}", sample.op.name(), inputs.join(", "), attrs.join(", "));
    if text.chars().count() > 400 { format!("{}..", text.chars().take(400).collect::<String>()) } else { text }
}

fn is_constant(sample: &Sample, at: usize) -> bool {
    matches!(sample.inputs[at], Input::Constant(_))
}

/// Infers a sample's types for operands of types `types`; constants are known.
fn infer(sample: &Sample, inputs: &[Tensor], types: &[TensorType]) -> Result<Vec<TensorType>, String> {
    let args: Vec<Arg<'_>> = types.iter().enumerate().map(|(at, ty)| Arg { ty, value: is_constant(sample, at).then(|| &inputs[at]) }).collect();
    sample.op.infer(&args).map_err(|error| format!("inference for {}: {error}", list(types)))
}

fn list(types: &[TensorType]) -> String {
    types.iter().map(TensorType::to_string).collect::<Vec<_>>().join(", ")
}

fn types(inputs: &[Tensor]) -> Vec<TensorType> {
    inputs.iter().map(Tensor::ty).collect()
}

fn eval(sample: &Sample, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    sample.op.def().eval(&inputs.iter().collect::<Vec<_>>()).map_err(|error| format!("evaluation: {error}"))
}

fn compare_types(inferred: &[TensorType], actual: &[TensorType]) -> Result<(), String> {
    if inferred.len() == actual.len() && inferred.iter().zip(actual).all(|(a, b)| agree(a, b)) {
        return Ok(());
    }
    Err(format!("inferred {}, and in truth it is {}", list(inferred), list(actual)))
}

#[test]
fn inference_agrees_with_evaluation() {
    for_all_samples(|sample, inputs| {
        let actual = types(&eval(sample, inputs)?);
        let dtypes: Vec<DType> = inputs.iter().map(Tensor::dtype).collect();
        let claimed = sample.op.def().dtypes(&dtypes);
        if claimed != actual.iter().map(|ty| ty.dtype).collect::<Vec<_>>() {
            return Err(format!("dtypes() says {claimed:?}, and evaluation gives {}", list(&actual)));
        }
        compare_types(&infer(sample, inputs, &types(inputs))?, &actual)
    });
}

/// Replaces extents by symbols: each by its own, or all that are equal by one.
fn opened(sample: &Sample, inputs: &[Tensor], shared: bool) -> (Vec<TensorType>, BTreeMap<String, i64>) {
    let mut binding = BTreeMap::new();
    let mut types = types(inputs);
    for (at, tensor) in inputs.iter().enumerate().filter(|(at, _)| !is_constant(sample, *at)) {
        let dims = tensor.extents().iter().enumerate().map(|(axis, extent)| {
            let name = if shared { format!("n{extent}") } else { format!("n{at}_{axis}") };
            binding.insert(name.clone(), *extent);
            Dim::symbol(name)
        });
        types[at] = TensorType::ranked(tensor.dtype(), dims.collect());
    }
    (types, binding)
}

#[test]
fn inference_of_open_extents_agrees_with_evaluation() {
    for_all_samples(|sample, inputs| {
        let actual = types(&eval(sample, inputs)?);
        for shared in [false, true] {
            let (types, binding) = opened(sample, inputs, shared);
            let inferred = infer(sample, inputs, &types)?;
            let bound: Vec<TensorType> = inferred.iter().map(|ty| TensorType::new(ty.dtype, ty.shape.bind(&binding))).collect();
            compare_types(&bound, &actual).map_err(|why| format!("for {}: {why}", list(&types)))?;
            if let Some(dim) = bound.iter().flat_map(|ty| ty.shape.dims().unwrap_or_default()).find(|dim| !dim.symbols().is_empty()) {
                return Err(format!("inference invents symbol {dim}"));
            }
        }
        let mut unranked = types(inputs);
        for (at, ty) in unranked.iter_mut().enumerate().filter(|(at, _)| !is_constant(sample, *at)) {
            *ty = TensorType::new(inputs[at].dtype(), Shape::Unranked);
        }
        compare_types(&infer(sample, inputs, &unranked)?, &actual)
    });
}

#[test]
fn bodies_agree_with_inference_and_evaluation() {
    for_all_samples(|sample, inputs| {
        let operands = types(inputs);
        let inferred = infer(sample, inputs, &operands)?;
        let def = sample.op.def();
        match def.body(&operands.iter().collect::<Vec<_>>()).map_err(|error| format!("body: {error}"))? {
            Body::Routine => return Ok(()),
            Body::Loops(nests) => {
                let of_nests: Vec<TensorType> = nests.iter().map(|nest| TensorType::known(nest.dtype, &nest.extents)).collect();
                compare_types(&inferred, &of_nests).map_err(|why| format!("loop nests: {why}"))?;
            }
            Body::Expansion => {
                let mut builder = Builder::new("expansion");
                let operands = bind(&mut builder, sample, inputs);
                match def.expand(&mut builder, &operands) {
                    Ok(values) => {
                        let of_expansion: Vec<TensorType> = values.iter().map(|value| builder.ty(*value).clone()).collect();
                        compare_types(&inferred, &of_expansion).map_err(|why| format!("expansion: {why}"))?;
                    }
                    Err(error) if error.kind == Kind::Unknown && sample.inputs.iter().any(|input| matches!(input, Input::Given(_))) => {}
                    Err(error) => return Err(format!("expansion: {error}")),
                }
            }
        }
        let by_body = eval_body(def, &inputs.iter().collect::<Vec<_>>()).map_err(|error| format!("evaluation of the body: {error}"))?;
        for (by_body, result) in by_body.iter().zip(&eval(sample, inputs)?) {
            if let Some(why) = difference(by_body, result, def.tolerance(result.dtype())) {
                return Err(format!("body against evaluation: {why}"));
            }
        }
        Ok(())
    });
}

/// Adds a sample's operands to a graph: constants as such, the others as inputs.
fn bind(builder: &mut Builder, sample: &Sample, inputs: &[Tensor]) -> Vec<ValueId> {
    inputs
        .iter()
        .enumerate()
        .map(|(at, tensor)| if is_constant(sample, at) { builder.constant(tensor.clone()) } else { builder.input(format!("x{at}"), tensor.ty()) })
        .collect()
}

/// The graph of one node that a sample makes.
fn graph(sample: &Sample, inputs: &[Tensor]) -> Result<Graph, String> {
    let mut builder = Builder::new(sample.op.name());
    let operands = bind(&mut builder, sample, inputs);
    builder.set_origins(frit_ir::build::origin("sample", sample.op.name(), "test 1"));
    let results = builder.apply_all(sample.op.clone(), &operands).map_err(|error| error.to_string())?;
    for (at, value) in results.into_iter().enumerate() {
        builder.output(format!("y{at}"), value);
    }
    Ok(builder.finish())
}

#[test]
fn compiled_code_agrees_with_evaluation() {
    for_all_samples(|sample, inputs| {
        let graph = graph(sample, inputs)?;
        let executable = frit::compile(&graph, &frit::Options { machine: frit_compiler::lower::target::machine(&frit_tests::device::target()), target: frit_tests::device::target(), ..frit::Options::default() }).map_err(|errors| format!("compilation: {}", errors[0]))?;
        let session = frit::Session::new(executable, &Default::default()).map_err(|error| format!("session: {error}"))?;
        let passed: Vec<Tensor> = inputs.iter().enumerate().filter(|(at, _)| !is_constant(sample, *at)).map(|(_, tensor)| tensor.clone()).collect();
        let results = session.run(&passed).map_err(|error| format!("run: {error}"))?;
        for (at, (got, expected)) in results.iter().zip(&eval(sample, inputs)?).enumerate() {
            if let Some(why) = difference(got, expected, sample.op.def().tolerance(expected.dtype())) {
                return Err(format!("result {at}: {why}"));
            }
        }
        Ok(())
    });
}

#[test]
fn text_comes_back() {
    for_all_samples(|sample, inputs| {
        let graph = graph(sample, inputs)?;
        verify(&graph).map_err(|errors| format!("{errors:?}"))?;
        let printed = text::print(&graph);
        let back = text::parse(&printed).map_err(|error| format!("{error}\n{printed}"))?;
        // A graph with NaN among its attributes differs from its own copy.
        let comparable = graph.clone() == graph;
        if (comparable && back != graph) || text::print(&back) != printed {
            return Err(format!("it comes back as\n{}\ninstead of\n{printed}", text::print(&back)));
        }
        Ok(())
    });
}

/// Replaces the attributes' numbers in a sample's text by hostile ones, and lists by ones of other lengths, one at a time.
fn hostile(printed: &str) -> Vec<String> {
    let Some(start) = printed.rfind(") {") else { return Vec::new() };
    let bytes = printed.as_bytes();
    let is_digit = |at: &usize| bytes[*at].is_ascii_digit() || bytes[*at] == b'-';
    let numbers = (start + 3..bytes.len()).filter(|at| is_digit(at) && matches!(bytes[at - 1], b'=' | b'[' | b' ')).map(|at| (at, (at..bytes.len()).find(|end| !is_digit(end)).unwrap_or(bytes.len())));
    let extremes = ["-9223372036854775808", "9223372036854775807", "-1", "0", "4611686018427387904", "7"];
    let lists = (start + 3..bytes.len()).filter(|at| bytes[*at] == b'[' && bytes[at - 1] == b'=').filter_map(|at| Some((at, at + printed[at..].find(']')? + 1)));
    let lengths = ["[]", "[1]", "[1, 1, 1, 1, 1, 1, 1, 1, 1]"];
    let replaced = |from: usize, to: usize, new: &str| format!("{}{new}{}", &printed[..from], &printed[to..]);
    let by_numbers = numbers.take(12).flat_map(|(from, to)| extremes.map(|extreme| replaced(from, to, extreme)));
    by_numbers.chain(lists.flat_map(|(from, to)| lengths.map(|list| replaced(from, to, list)))).collect()
}

#[test]
fn hostile_attributes_are_errors_and_no_panics() {
    let mut failures = BTreeSet::new();
    for (at, sample) in Op::samples().iter().enumerate().filter(|(_, sample)| sample.op.name() != "constant") {
        let Ok(inputs) = draw::operands(sample, at as u64) else { continue };
        if inputs.iter().any(|tensor| tensor.elems() > 1000) {
            continue;
        }
        let Ok(graph) = graph(sample, &inputs) else { continue };
        for variant in hostile(&text::print(&graph)) {
            let checked = catch_unwind(|| drop(text::parse(&variant)));
            if checked.is_err() {
                failures.insert(variant.lines().rfind(|line| line.contains(" = ")).unwrap_or_default().to_owned());
            }
        }
    }
    assert!(failures.is_empty(), "inference panics for {} nodes:\n{}", failures.len(), failures.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn every_op_has_samples() {
    let sampled: BTreeSet<&str> = Op::samples().iter().map(|sample| sample.op.name()).collect();
    for name in Op::NAMES {
        assert_ne!(sampled.contains(name), ELSEWHERE.contains(name), "op '{name}' must either have samples or be tested below, and not both");
    }
    for name in ELSEWHERE {
        assert!(Op::NAMES.contains(name), "there is no op '{name}'");
    }
}

#[test]
fn if_takes_the_branch_that_its_condition_names() {
    let branch = |value: f32| {
        let mut b = Builder::new("branch");
        let x = b.input("x", TensorType::known(DType::F32, &[2]));
        let offset = b.constant(Tensor::from_slice(&[], &[value]));
        let y = b.apply(frit_ir::ops::add::Add {}, &[x, offset]).unwrap();
        b.output("y", y);
        b.finish()
    };
    let mut b = Builder::new("if");
    let cond = b.input("cond", TensorType::known(DType::Bool, &[]));
    let x = b.input("x", TensorType::known(DType::F32, &[2]));
    let y = b.apply(If { then_branch: branch(1.0), else_branch: branch(-1.0) }, &[cond, x]).unwrap();
    b.output("y", y);
    let graph = b.finish();
    verify(&graph).unwrap();
    assert_eq!(text::parse(&text::print(&graph)).unwrap(), graph);
    let x = Tensor::from_slice(&[2], &[10.0f32, 20.0]);
    for (cond, expected) in [(true, [11.0f32, 21.0]), (false, [9.0, 19.0])] {
        let results = frit_ir::eval::run(&graph, &[&Tensor::from_bools(&[], &[cond]), &x]).unwrap();
        assert_eq!(results, [Tensor::from_slice(&[2], &expected)]);
    }
}

/// An image as wide as a hostile file says makes no table while it is read.
#[test]
fn large_tables_wait() {
    use frit_ir::ops::resize_to::{Coordinates, Interpolation, ResizeTo};
    for (width, waits) in [(300, false), (5_000_000, true)] {
        let mut b = Builder::new("resize").folding(Folding::Early);
        let x = b.input("x", TensorType::known(DType::F32, &[1, 1, 200]));
        let (none, sizes) = (b.constant(Tensor::from_slice::<f32>(&[0], &[])), b.ints(&[1, 1, width]));
        let y = b.apply(ResizeTo::new(Interpolation::Linear, Coordinates::HalfPixel), &[x, none, none, sizes]).unwrap();
        assert_eq!(b.ty(y), &TensorType::known(DType::F32, &[1, 1, width]));
        b.output("y", y);
        let graph = b.finish();
        verify(&graph).unwrap();
        assert_eq!(graph.nodes().any(|(_, node)| node.op.name() == "resize_to"), waits);
    }
    // Nor does one of no rows, which needs no table.
    let mut b = Builder::new("resize").folding(Folding::Early);
    let x = b.constant(Tensor::from_slice::<f32>(&[0, 1, 200], &[]));
    let (none, sizes) = (b.constant(Tensor::from_slice::<f32>(&[0], &[])), b.ints(&[5_000_000]));
    let y = b.apply(ResizeTo { axes: Some(vec![2]), ..ResizeTo::new(Interpolation::Linear, Coordinates::HalfPixel) }, &[x, none, none, sizes]).unwrap();
    assert_eq!(b.as_constant(y).map(Tensor::extents), Some(&[0, 1, 5_000_000][..]));
    // Of constants neither: their tables are as large. Later, every image that people have is resampled.
    for (folding, from, to, waits) in [(Folding::Early, 1_000_000, 16, true), (Folding::All, 3840, 1280, false)] {
        let mut b = Builder::new("resize").folding(folding);
        let x = b.constant(Tensor::from_slice(&[1, 1, from as i64], &vec![0.5f32; from]));
        let (none, sizes) = (b.constant(Tensor::from_slice::<f32>(&[0], &[])), b.ints(&[1, 1, to]));
        let y = b.apply(ResizeTo { antialias: true, ..ResizeTo::new(Interpolation::Linear, Coordinates::HalfPixel) }, &[x, none, none, sizes]).unwrap();
        assert_eq!(b.ty(y), &TensorType::known(DType::F32, &[1, 1, to]));
        b.output("y", y);
        assert_eq!(b.finish().nodes().any(|(_, node)| node.op.name() == "resize_to"), waits);
    }
}

/// Constants are not folded where their expansion is large on the way: the maxima and sums of an empty tensor's rows, of which there may be billions.
#[test]
fn large_steps_wait() {
    use frit_ir::ops::log_softmax::LogSoftmax;
    for (rows, waits) in [(100, false), (1 << 31, true), (i64::MAX, true)] {
        let mut b = Builder::new("rows").folding(Folding::Early);
        let x = b.constant(Tensor::from_slice::<f32>(&[rows, 0], &[]));
        let y = b.apply(LogSoftmax { axis: 1 }, &[x]).unwrap();
        assert_eq!(b.as_constant(y).is_none(), waits, "{rows} rows");
    }
}

#[test]
fn fail_fails_only_where_it_runs() {
    let source = r#"graph "if" {
  input "cond" %0: bool[]
  input "x" %1: f32[2]
  %2: f32[2] = if(%0, %1) {then_branch=graph "then" {
    input "x" %0: f32[2]
    output "y" %0
  }, else_branch=graph "else" {
    input "x" %0: f32[2]
    %1: f32[2] = fail() {message="no way", dtype=f32, extents=[[2]]}
    output "y" %1
  }}
  output "y" %2
}
"#;
    let graph = text::parse(source).unwrap();
    assert_eq!(text::print(&graph), source);
    verify(&graph).unwrap();
    let x = Tensor::from_slice(&[2], &[10.0f32, 20.0]);
    assert_eq!(frit_ir::eval::run(&graph, &[&Tensor::from_bools(&[], &[true]), &x]).unwrap(), std::slice::from_ref(&x));
    let error = frit_ir::eval::run(&graph, &[&Tensor::from_bools(&[], &[false]), &x]).unwrap_err();
    assert!(error.is_invalid() && error.message.contains("no way"), "{error}");
}
