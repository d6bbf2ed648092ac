//! Blocks of networks as the exporters of PyTorch and TensorFlow write them (`exports/`, made by `exports/make.py`), in ONNX and in
//! their own formats: the same composites are found in each, results are the framework's own, and as many kernels come out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use frit_compiler::pipeline::{Options, rewritten};
use frit_compiler::rewrite::{self, Class};
use frit_ir::ops::Tolerance;
use frit_ir::{DType, Graph, Tensor, eval};
use frit_runtime::Threads;
use frit_tests::compare::difference;
use frit_tests::device::{self, Imported, Inputs};
use frit_tests::golden::home;
use frit_tests::npz;

/// The composites and convolutions that must be there in each export of a block, and no others of [`COMPOSITES`]. Single exports that differ
/// are named in full.
const WANTED: &[(&str, &[(&str, usize)])] = &[
    ("activations", &[("conv", 3), ("hard_sigmoid", 1), ("hard_swish", 1), ("mish", 1), ("softplus", 1), ("swish", 1)]),
    ("bert", &[("attention", 1), ("gelu", 1), ("layer_norm", 2)]),
    ("branches", &[("conv", 3)]),
    ("gpt", &[("attention", 1), ("gelu", 1), ("layer_norm", 2)]),
    ("grouped", &[("conv", 2)]),
    ("gru", &[("sigmoid", 10)]),
    ("half", &[("layer_norm", 1), ("rms_norm", 1)]),
    ("inverted", &[("conv", 5), ("sigmoid", 1)]),
    ("llama", &[("attention", 1), ("rms_norm", 2), ("rotary_embedding", 2), ("swiglu", 1)]),
    ("lstm", &[("sigmoid", 15)]),
    ("norms", &[("conv", 2), ("group_norm", 2), ("swish", 1)]),
    ("rotary", &[("attention", 1), ("rotary_embedding", 2)]),
    ("sdpa", &[("attention", 1), ("gelu", 1), ("layer_norm", 2)]),
    ("swiglu", &[("swiglu", 1)]),
    ("written", &[("gelu", 2), ("hard_swish", 1), ("layer_norm", 1), ("log_softmax", 1), ("mish", 1), ("sigmoid", 1), ("softmax", 2), ("swish", 2)]),
    // Of single exports.
    // The logarithm of 1 and an exponential, which may overflow.
    ("activations.tensorflow-lite", &[("conv", 3), ("hard_sigmoid", 1), ("hard_swish", 1), ("mish", 1), ("swish", 1)]),
    // Two of the converter's convolutions are one.
    ("branches.tensorflow-lite", &[("conv", 2)]),
    // The statistics of a batch of one are those of its instance, and as cheap.
    ("norms.torch-core", &[("conv", 2), ("group_norm", 1), ("swish", 1)]),
    // The converter computed the first step's gate of a state that is 0.
    ("lstm.tensorflow-lite", &[("sigmoid", 14)]),
];

/// The same where no value is NaN or infinite, for blocks in which more is found then.
const WANTED_IF_FINITE: &[(&str, &[(&str, usize)])] = &[
    ("branches", &[("conv", 2)]),
    ("llama", &[("attention", 1), ("rms_norm", 2), ("rotary_embedding", 2), ("swiglu", 1)]),
    ("masked", &[("attention", 2), ("layer_norm", 1)]),
    ("written", &[("gelu", 2), ("hard_swish", 1), ("layer_norm", 1), ("log_softmax", 3), ("mish", 1), ("sigmoid", 1), ("softmax", 1), ("softplus", 1), ("swish", 2)]),
    // Of single exports.
    // The logarithm of a sum is guarded against infinities.
    ("written.torch-core", &[("gelu", 2), ("hard_swish", 1), ("layer_norm", 1), ("log_softmax", 2), ("mish", 1), ("sigmoid", 1), ("softmax", 1), ("softplus", 1), ("swish", 2)]),
];

const COMPOSITES: &[&str] = &[
    "attention", "conv", "gelu", "group_norm", "hard_sigmoid", "hard_swish", "layer_norm", "log_softmax", "mish", "rms_norm", "rotary_embedding", "sigmoid", "softmax", "softplus", "swiglu", "swish",
];

/// What files of models end with.
const FORMATS: &[&str] = &[".onnx", ".pb", ".pt", ".pt2", ".tflite"];

/// How far a result may be off: what half precision rounds away after every op, or the little that single precision does.
fn tolerance(expected: &Tensor) -> Tolerance {
    match expected.dtype() {
        DType::F16 => Tolerance { absolute: 4e-3, relative: 4e-3 },
        _ => Tolerance { absolute: 1e-5, relative: 1e-4 },
    }
}

/// An export: its block, the way it was made, its file.
struct Export {
    block: String,
    way: String,
    path: PathBuf,
}

impl Export {
    fn name(&self) -> String {
        format!("{}.{}", self.block, self.way)
    }

    /// Inputs, and the framework's output.
    fn expected(&self) -> (Vec<Tensor>, Tensor) {
        let framework = self.way.split('-').next().unwrap_or_default();
        let path = home().join(format!("exports/{}.{framework}.npz", self.block));
        let tensors = npz::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        let (outputs, inputs): (Vec<_>, Vec<_>) = tensors.into_iter().partition(|(name, _)| name.starts_with("out"));
        (inputs.into_iter().map(|(_, tensor)| tensor).collect(), outputs.into_iter().map(|(_, tensor)| tensor).next().unwrap())
    }

    fn rewritten(&self, inputs: &[Tensor], numerics: Class) -> Graph {
        let Imported { graph, .. } = Imported::new(&self.path, &Inputs::Ordered(inputs)).unwrap_or_else(|why| panic!("{}: {why}", self.name()));
        let options = Options { rewrite: rewrite::Options { numerics: Some(numerics), ..rewrite::Options::default() }, ..Options::default() };
        rewritten(&graph, &options).unwrap_or_else(|errors| panic!("{}: {}", self.name(), errors[0])).0
    }
}

fn exports() -> Vec<Export> {
    let mut exports = Vec::new();
    for entry in std::fs::read_dir(home().join("exports")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if let Some((block, way)) = FORMATS.iter().find_map(|end| name.strip_suffix(end)).and_then(|name| name.split_once('.')) {
            exports.push(Export { block: block.to_owned(), way: way.to_owned(), path });
        }
    }
    exports.sort_by_key(Export::name);
    assert!(exports.len() > 20);
    exports
}

fn composites(graph: &Graph) -> BTreeMap<&'static str, usize> {
    let mut found = BTreeMap::new();
    for (_, node) in graph.nodes() {
        if let Some(name) = COMPOSITES.iter().find(|name| **name == node.op.name()) {
            *found.entry(*name).or_default() += 1;
        }
    }
    found
}

/// What differs from a table; also what the rewritten graph computes.
fn complaints(wanted: &[(&str, &[(&str, usize)])], numerics: Class) -> Vec<String> {
    let mut complaints = Vec::new();
    for export in exports() {
        let of = |wanted_of: &str| wanted.iter().find(|(name, _)| *name == wanted_of);
        let Some((_, wanted)) = of(&export.name()).or_else(|| of(&export.block)) else { continue };
        let (inputs, expected) = export.expected();
        let graph = export.rewritten(&inputs, numerics);
        let found = composites(&graph);
        if found != wanted.iter().copied().collect() {
            complaints.push(format!("{}: {found:?}", export.name()));
        }
        let results = eval::run(&graph, &inputs.iter().collect::<Vec<_>>()).unwrap_or_else(|error| panic!("{}: {error}", export.name()));
        if let Some(why) = difference(&results[0], &expected, tolerance(&expected)) {
            complaints.push(format!("{}: {why}", export.name()));
        }
    }
    complaints
}

#[test]
fn composites_are_found_whichever_exporter_wrote_them() {
    let complaints = complaints(WANTED, Class::Blocked);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn more_composites_are_found_where_all_is_finite() {
    let complaints = complaints(WANTED_IF_FINITE, Class::Finite);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_export_of_a_block_gives_the_framework_s_results_by_as_many_kernels() {
    let threads = Threads::all().unwrap();
    let mut kernels: BTreeMap<String, Vec<(String, usize)>> = BTreeMap::new();
    let mut complaints = Vec::new();
    for export in exports() {
        let (inputs, expected) = export.expected();
        let outcome = device::run(&export.path, &Inputs::Ordered(&inputs), &threads).unwrap_or_else(|why| panic!("{}: {why}", export.name()));
        if let Some(why) = difference(&outcome.outputs[0].1, &expected, tolerance(&expected)) {
            complaints.push(format!("{}: {why}", export.name()));
        }
        kernels.entry(export.block).or_default().push((export.way, outcome.kernels + outcome.interpreted));
    }
    for (block, counts) in &kernels {
        if counts.iter().any(|(_, count)| *count != counts[0].1) {
            complaints.push(format!("{block}: {counts:?}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
