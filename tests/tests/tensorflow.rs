//! TensorFlow models that are wrong, damaged or not supported, and variables that a run changes. That right ones give TensorFlow's results is
//! `frameworks.rs`'s to test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use frit::{Options, RunOptions, Threads};
use frit_compiler::import;
use frit_compiler::specialise::Binding;
use frit_ir::{Error, Tensor};
use frit_proto::tensorflow as wire;
use frit_proto::tensorflow::attribute::Value;
use frit_tests::damage::{complaint, damage};
use frit_tests::draw::Random;
use frit_tests::golden::home;
use prost::Message;

fn models() -> PathBuf {
    home().join("frameworks/tensorflow")
}

/// A folder of its own for a test.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("frit-tensorflow-{}-{name}", std::process::id()));
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

fn node(op: &str, name: &str, input: &[&str], attr: Vec<(&str, Value)>) -> wire::Node {
    let attr = attr.into_iter().map(|(name, value)| (name.to_owned(), wire::Attribute { value: Some(value) })).collect();
    wire::Node { name: name.to_owned(), op: op.to_owned(), input: input.iter().map(|input| (*input).to_owned()).collect(), attr }
}

fn shape(extents: &[i64]) -> wire::Shape {
    wire::Shape { dim: extents.iter().map(|size| wire::shape::Dim { size: *size }).collect(), unknown_rank: false }
}

fn placeholder(name: &str) -> wire::Node {
    node("Placeholder", name, &[], vec![("dtype", Value::Type(1)), ("shape", Value::Shape(shape(&[2, 3])))])
}

/// What is said of a graph of these nodes behind a placeholder `x`.
fn said_of(nodes: Vec<wire::Node>, functions: Vec<wire::Function>) -> String {
    let folder = folder("graph");
    let path = folder.join("graph.pb");
    let graph = wire::Graph { node: std::iter::once(placeholder("x")).chain(nodes).collect(), library: (!functions.is_empty()).then_some(wire::Library { function: functions }) };
    std::fs::write(&path, graph.encode_to_vec()).expect("the folder can be written");
    let said = said(&path, None);
    std::fs::remove_dir_all(&folder).ok();
    said
}

fn said(path: &Path, signature: Option<&str>) -> String {
    match import::load(path, &Binding::default(), signature) {
        Ok(_) => "imported".to_owned(),
        Err(errors) => errors.iter().map(|error: &Error| format!("{} {error} / {}\n", error.kind.code(), error.help.as_deref().unwrap_or(""))).collect(),
    }
}

#[track_caller]
fn holds(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "'{part}' is missing in: {said}");
    }
}

fn function(name: &str, calls: &[&str]) -> wire::Function {
    let argument = |name: &str| wire::Argument { name: name.to_owned(), r#type: 1 };
    let named = |name: &str| Value::Func(wire::NameAttrs { name: name.to_owned(), attr: BTreeMap::new() });
    let mut nodes = Vec::new();
    let mut last = "a".to_owned();
    for (k, callee) in calls.iter().enumerate() {
        nodes.push(node("PartitionedCall", &format!("call{k}"), &[&last], vec![("f", named(callee))]));
        last = format!("call{k}:output:0");
    }
    wire::Function {
        signature: Some(wire::Signature { name: name.to_owned(), input_arg: vec![argument("a")], output_arg: vec![argument("r")] }),
        node_def: nodes,
        ret: BTreeMap::from([("r".to_owned(), last)]),
        control_ret: BTreeMap::new(),
    }
}

#[test]
fn graphs_that_are_wrong_are_explained() {
    holds(&said_of(vec![node("Flurb", "strange", &["x"], vec![])], vec![]), &["unsupported", "strange", "op 'Flurb' is not supported", "docs/tensorflow.md"]);
    holds(&said_of(vec![node("StringLower", "lower", &["x"], vec![])], vec![]), &["unsupported", "lower", "text"]);
    holds(&said_of(vec![node("LookupTableFindV2", "words", &["x", "x", "x"], vec![])], vec![]), &["unsupported", "words", "table"]);
    holds(&said_of(vec![node("Relu", "act", &["lost"], vec![]), node("Add", "sum", &["x", "act"], vec![])], vec![]), &["invalid", "act", "'lost' is made by no node"]);
    holds(&said_of(vec![node("Add", "sum", &["x"], vec![])], vec![]), &["invalid", "sum", "operand 1 of 'Add' is missing"]);
    holds(&said_of(vec![node("Relu", "x", &["x"], vec![])], vec![]), &["invalid", "two nodes are called 'x'"]);
    holds(&said_of(vec![node("Add", "a", &["x", "b"], vec![]), node("Relu", "b", &["a"], vec![]), node("Neg", "y", &["b"], vec![])], vec![]), &["invalid", "cycle"]);
    holds(&said_of(vec![node("Cast", "to what", &["x"], vec![])], vec![]), &["invalid", "to what", "attribute 'DstT' of 'Cast' is missing"]);
    holds(&said_of(vec![node("LeakyRelu", "leak", &["x"], vec![("alpha", Value::I(3))])], vec![]), &["invalid", "leak", "attribute 'alpha' of 'LeakyRelu' is not a float"]);
    let call = |name: &str| node("PartitionedCall", "call", &["x"], vec![("f", Value::Func(wire::NameAttrs { name: name.to_owned(), attr: BTreeMap::new() }))]);
    holds(&said_of(vec![call("nowhere")], vec![]), &["invalid", "call", "there is no function 'nowhere'"]);
    holds(&said_of(vec![call("f")], vec![function("f", &["f"])]), &["invalid", "calls itself"]);
    // Each function calls the next one twice.
    let names: Vec<String> = (0..40).map(|k| format!("f{k}")).collect();
    let doubling = (0..39).map(|k| function(&names[k], &[&names[k + 1], &names[k + 1]])).chain([function(&names[39], &[])]).collect();
    let start = Instant::now();
    holds(&said_of(vec![call("f0")], doubling), &["unsupported", "when its functions are inlined"]);
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    let huge = wire::Tensor { dtype: 1, tensor_shape: Some(shape(&[1 << 40, 1 << 40])), ..wire::Tensor::default() };
    holds(&said_of(vec![node("Const", "huge", &[], vec![("value", Value::Tensor(huge))]), node("Add", "sum", &["x", "huge"], vec![])], vec![]), &["invalid", "huge"]);
    let short = wire::Tensor { dtype: 1, tensor_shape: Some(shape(&[4])), tensor_content: vec![0; 12].into(), ..wire::Tensor::default() };
    holds(&said_of(vec![node("Const", "short", &[], vec![("value", Value::Tensor(short))]), node("Add", "sum", &["x", "short"], vec![])], vec![]), &["invalid", "short", "takes 16 bytes, and 12 are there"]);
    holds(&said_of(vec![node("VarHandleOp", "v", &[], vec![]), node("ReadVariableOp", "read", &["v"], vec![]), node("Add", "sum", &["x", "read"], vec![])], vec![]), &["invalid", "variable 'v' has no value"]);
}

#[test]
fn signatures_are_chosen_by_name() {
    let module = models().join("module");
    holds(&said(&module, Some("wrong")), &["invalid", "there is no signature 'wrong'", "'other', 'serving_default', 'text'"]);
    holds(&said(&module, Some("text")), &["unsupported", "input 'text'", "text, which is not supported", "'other', 'serving_default'"]);
    assert_eq!(said(&module, Some("other")), "imported");
    holds(&said(&models().join("case_v2.pb"), Some("other")), &["invalid", "there is no signature 'other'"]);
}

#[test]
fn assigned_variables_are_states() {
    let options = Options { signature: Some("other".to_owned()), binding: Binding { dims: [("b.0".to_owned(), 1)].into(), ..Binding::default() }, ..Options::default() };
    let session = frit::load(&models().join("module"), &options, &RunOptions { threads: Threads::all().expect("threads") }).expect("it loads");
    let mut stream = session.stream();
    for expected in [14i64, 32, 68] {
        // Inputs are `a` and `b`, outputs `count` and `sum`.
        let results = stream.run(&[Tensor::from_slice(&[2], &[1.0f32, 2.0]), Tensor::from_slice(&[1, 2], &[3.0f32, 4.0])]).expect("it runs");
        assert_eq!(results[0].ints(), [expected]);
    }
}

#[test]
fn weights_outside_the_folder_are_refused() {
    let (home, folder) = (models().join("tfjs_plain"), folder("tfjs"));
    let text = std::fs::read_to_string(home.join("model.json")).expect("the sample can be read");
    std::fs::write(folder.join("model.json"), text.replace("group1-shard1of1.bin", "../secret.bin")).expect("the folder can be written");
    holds(&said(&folder, None), &["invalid", "leave the model's folder"]);
    std::fs::write(folder.join("model.json"), text).expect("the folder can be written");
    std::fs::write(folder.join("group1-shard1of1.bin"), [0; 16]).expect("the folder can be written");
    holds(&said(&folder, None), &["invalid", "lies outside its shards"]);
    std::fs::remove_dir_all(&folder).ok();
}

/// Damaged variants of each file.
const VARIANTS: u64 = 60;

#[test]
fn damaged_models_are_answered() {
    let mut models: Vec<PathBuf> = std::fs::read_dir(models()).expect("models").filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "pb")).collect();
    models.sort();
    let root = folder("damaged");
    let mut failures = Vec::new();
    for (k, model) in models.iter().enumerate() {
        let copy = root.join(model.file_name().expect("a name"));
        let mut files = Vec::new();
        if model.is_dir() {
            std::fs::create_dir_all(copy.join("variables")).expect("a folder can be made");
            for inner in [model.clone(), model.join("variables")] {
                for file in std::fs::read_dir(inner).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file()) {
                    let to = copy.join(file.strip_prefix(model).expect("it lies below"));
                    std::fs::copy(&file, &to).expect("it can be copied");
                    files.push(to);
                }
            }
            files.sort();
        } else {
            std::fs::copy(model, &copy).expect("it can be copied");
            files.push(copy.clone());
        }
        for (j, file) in files.iter().enumerate() {
            let bytes = std::fs::read(file).expect("a file");
            for variant in 0..VARIANTS {
                let seed = (k as u64) << 32 | (j as u64) << 16 | variant;
                std::fs::write(file, damage(&bytes, &mut Random::new(seed))).expect("it can be written");
                let why = complaint(|| import::load(&copy, &Binding::default(), None));
                failures.extend(why.map(|why| format!("{} with seed {seed}: {why}", file.display())));
            }
            std::fs::write(file, &bytes).expect("it can be written");
        }
    }
    std::fs::remove_dir_all(&root).ok();
    assert!(failures.is_empty(), "{} damaged models:\n{}", failures.len(), failures.join("\n"));
}
