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
use frit_tests::data;
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

/// guesslang reads programs.
#[test]
fn a_model_of_text_is_refused() {
    let guesslang = data::folder().expect("the data").join("models/guesslang/model");
    holds(&said(&guesslang, None), &["unsupported", "input 'inputs'", "text, which is not supported", "all its signatures take text", "prepare text before"]);
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

/// A block of a table, with what says how it is compressed and its checksum behind it; keys share nothing.
fn block(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (key, value) in entries {
        block.extend([0, u8::try_from(key.len()).expect("a short key"), u8::try_from(value.len()).expect("a short value")]);
        block.extend(key.bytes().chain(value.iter().copied()));
    }
    block.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    block
}

/// A checkpoint's index that has one block, stored as `kind` says, and where it is said to lie.
fn index(stored: Vec<u8>, kind: u8, at: Option<u64>) -> Vec<u8> {
    let number = |mut n: u64| {
        let mut bytes = Vec::new();
        while n >= 128 {
            bytes.push(n as u8 & 127 | 128);
            n >>= 7;
        }
        bytes.push(n as u8);
        bytes
    };
    let mut file = Vec::new();
    let mut put = |mut block: Vec<u8>, kind: u8| {
        let handle = [number(file.len() as u64), number(block.len() as u64)].concat();
        block.push(kind);
        file.extend(&block);
        file.extend(crc32c::crc32c(&block).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes());
        handle
    };
    let length = stored.len() as u64;
    let own = put(stored, kind);
    let handle = at.map_or(own, |at| [number(at), number(length)].concat());
    let mut footer = [vec![0, 0], put(block(&[("z", handle)]), 0)].concat();
    footer.resize(40, 0);
    file.extend(footer);
    file.extend(0xdb47_7524_8b80_fb57u64.to_le_bytes());
    file
}

/// What is said of the checkpoint in two shards with its index or a shard (`file`) replaced, or taken away.
fn said_of_shards(file: &str, bytes: Option<Vec<u8>>) -> String {
    let folder = folder("shards");
    for file in std::fs::read_dir(models().join("shards")).expect("the sample can be read").filter_map(Result::ok) {
        std::fs::copy(file.path(), folder.join(file.file_name())).expect("it can be copied");
    }
    let path = folder.join(format!("model.ckpt.{file}"));
    match bytes {
        Some(bytes) => std::fs::write(path, bytes).expect("the folder can be written"),
        None => std::fs::remove_file(path).expect("the file is there"),
    }
    let said = said(&folder, None);
    std::fs::remove_dir_all(&folder).ok();
    said
}

#[test]
fn damaged_checkpoints_are_explained() {
    let shard = "data-00001-of-00002";
    let sample = |file: &str| std::fs::read(models().join("shards").join(format!("model.ckpt.{file}"))).expect("the sample can be read");
    assert_eq!(said_of_shards(shard, Some(sample(shard))), "imported");
    holds(&said_of_shards(shard, None), &["invalid", "data-00001-of-00002", "lie side by side"]);
    holds(&said_of_shards(shard, Some(sample(shard)[..40].to_vec())), &["invalid", "lies outside its shard"]);
    let mut wrong = sample(shard);
    wrong[3] ^= 1;
    holds(&said_of_shards(shard, Some(wrong)), &["invalid", "has another checksum than the index says"]);

    let mut wrong = sample("index");
    wrong[9] ^= 1;
    holds(&said_of_shards("index", Some(wrong)), &["invalid", "a block of the index has another checksum"]);
    holds(&said_of_shards("index", Some(sample("index")[1..].to_vec())), &["invalid", "of the index"]);
    holds(&said_of_shards("index", Some(b"short".to_vec())), &["invalid", "no index of a checkpoint"]);
    for at in [1 << 20, u64::MAX] {
        holds(&said_of_shards("index", Some(index(block(&[]), 0, Some(at)))), &["invalid", "of the index"]);
    }
    let kinds = |stored: Vec<u8>, kind: u8| said_of_shards("index", Some(index(stored, kind, None)));
    holds(&kinds(block(&[]), 7), &["unsupported", "compression 7"]);
    // Of 2 GB, as it says; a copy of what is not there; cut off.
    holds(&kinds(vec![0xff, 0xff, 0xff, 0xff, 7, 0], 1), &["invalid", "too long"]);
    holds(&kinds(vec![8, 0b1_1110, 9, 0], 1), &["invalid", "can't be unpacked"]);
    holds(&kinds(vec![8, 0b1_1100, 1], 1), &["invalid", "can't be unpacked"]);

    let entry = |shard_id: i32, offset: i64, size: i64| wire::BundleEntry { dtype: 1, shape: Some(shape(&[4])), shard_id, offset, size, crc32c: 0, slices: Vec::new() }.encode_to_vec();
    let said = |shards: i32, entry: Vec<u8>| {
        let header = wire::BundleHeader { num_shards: shards, ..wire::BundleHeader::default() }.encode_to_vec();
        said_of_shards("index", Some(index(block(&[("", header), ("net/layer_0/bias", entry)]), 0, None)))
    };
    holds(&said(2, entry(0, 0, 16)), &["invalid", "'net/layer_0/bias' has another checksum", "the checkpoint holds no 'net/layer_0/weight'"]);
    holds(&said(2, entry(0, -16, 16)), &["invalid", "'net/layer_0/bias' lies outside its shard"]);
    holds(&said(2, entry(0, 1 << 40, 16)), &["invalid", "'net/layer_0/bias' lies outside its shard"]);
    holds(&said(2, entry(0, i64::MAX, i64::MAX)), &["invalid", "'net/layer_0/bias' lies outside its shard"]);
    holds(&said(2, entry(1, 0, -1)), &["invalid", "'net/layer_0/bias' lies outside its shard"]);
    holds(&said(2, entry(2, 0, 16)), &["invalid", "lies in shard 2 of 2"]);
    holds(&said(2, entry(-1, 0, 16)), &["invalid", "lies in shard -1 of 2"]);
    holds(&said(i32::MAX, entry(9, 0, 16)), &["invalid", "data-00009-of-65536"]);
    holds(&said(2, b"\xff\xff".to_vec()), &["invalid", "an entry of the index can't be read"]);
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
