//! Models that are wrong, and what is said about each: `golden/errors/*.txt`. The message names the node and says what to do;
//! nothing panics, and nothing is allocated by a number in the file.

use std::path::{Path, PathBuf};

use frit_compiler::import;
use frit_compiler::specialise::Binding;
use frit_ir::Error;
use frit_proto::onnx as wire;
use frit_tests::golden::{cases, home, report};
use prost::Message;

/// Writes a wrong model into a folder and says which file it is.
type Make = fn(&Path) -> PathBuf;

/// Every wrong model, by its golden file's name.
const CASES: &[(&str, Make)] = &[
    ("empty_file", |folder| written(folder, &[])),
    ("not_a_model", |folder| written(folder, b"This is a text, and not a model at all.\n")),
    ("no_graph", |folder| written(folder, &wire::Model { ir_version: Some(8), ..wire::Model::default() }.encode_to_vec())),
    ("truncated", |folder| {
        let bytes = model(vec![node("Relu", "act", &["x"], &["y"])]).encode_to_vec();
        written(folder, &bytes[..bytes.len() - 7])
    }),
    ("missing_file", |folder| folder.join("nowhere.onnx")),
    ("a_folder", |folder| folder.to_path_buf()),
    ("unknown_op", |folder| saved(folder, model(vec![node("Flurb", "strange", &["x"], &["y"])]))),
    ("unknown_domain", |folder| {
        let mut custom = node("Relu", "custom", &["x"], &["y"]);
        custom.domain = Some("com.example".into());
        let mut model = model(vec![custom]);
        model.opset_import.push(wire::OperatorSetId { domain: Some("com.example".into()), version: Some(1) });
        saved(folder, model)
    }),
    ("opset_99", |folder| {
        let mut model = model(vec![node("Relu", "act", &["x"], &["y"])]);
        model.opset_import[0].version = Some(99);
        saved(folder, model)
    }),
    ("no_opset", |folder| {
        let mut model = model(vec![node("Relu", "act", &["x"], &["y"])]);
        model.opset_import.clear();
        saved(folder, model)
    }),
    ("cycle", |folder| saved(folder, model(vec![node("Add", "first", &["x", "b"], &["a"]), node("Relu", "second", &["a"], &["b"]), node("Relu", "third", &["b"], &["y"])]))),
    ("needs_itself", |folder| saved(folder, model(vec![node("Add", "selfish", &["x", "y"], &["y"])]))),
    ("duplicate_value", |folder| saved(folder, model(vec![node("Relu", "one", &["x"], &["y"]), node("Abs", "two", &["x"], &["y"])]))),
    ("duplicate_input", |folder| saved(folder, model(vec![node("Relu", "shadow", &["x"], &["x"]), node("Relu", "last", &["x"], &["y"])]))),
    ("missing_operand", |folder| saved(folder, model(vec![node("Add", "sum", &["x", "lost"], &["y"])]))),
    ("operand_left_out", |folder| saved(folder, model(vec![node("Add", "sum", &["x", ""], &["y"])]))),
    ("too_few_operands", |folder| saved(folder, model(vec![node("Add", "sum", &["x"], &["y"])]))),
    ("output_not_made", |folder| saved(folder, model(vec![node("Relu", "act", &["x"], &["z"])]))),
    ("shapes_differ", |folder| {
        let mut model = model(vec![node("Add", "sum", &["x", "w"], &["y"])]);
        add(&mut model, floats("w", &[3], &[1.0, 2.0, 3.0]));
        saved(folder, model)
    }),
    ("attribute_missing", |folder| saved(folder, model(vec![node("Cast", "to what", &["x"], &["y"])]))),
    ("attribute_of_wrong_kind", |folder| {
        let mut transposed = node("Transpose", "swap", &["x"], &["y"]);
        transposed.attribute.push(wire::Attribute { name: Some("perm".into()), s: Some(b"1,0".to_vec()), r#type: Some(3), ..wire::Attribute::default() });
        saved(folder, model(vec![transposed]))
    }),
    ("attribute_float_for_int", |folder| {
        let mut softmax = node("Softmax", "probabilities", &["x"], &["y"]);
        softmax.attribute.push(wire::Attribute { name: Some("axis".into()), f: Some(1.0), r#type: Some(1), ..wire::Attribute::default() });
        saved(folder, model(vec![softmax]))
    }),
    ("axis_outside", |folder| {
        let mut softmax = node("Softmax", "probabilities", &["x"], &["y"]);
        softmax.attribute.push(wire::Attribute { name: Some("axis".into()), i: Some(5), r#type: Some(2), ..wire::Attribute::default() });
        saved(folder, model(vec![softmax]))
    }),
    ("two_mistakes", |folder| saved(folder, model(vec![node("Flurb", "strange", &["x"], &["a"]), node("Relu", "after it", &["a"], &["b"]), node("Add", "sum", &["x", "lost"], &["y"])]))),
    ("input_without_type", |folder| {
        let mut model = model(vec![node("Relu", "act", &["x"], &["y"])]);
        graph(&mut model).input[0].r#type = None;
        saved(folder, model)
    }),
    ("huge_tensor", |folder| {
        let mut model = model(vec![node("Add", "sum", &["x", "w"], &["y"])]);
        add(&mut model, wire::Tensor { raw_data: Some(vec![0; 16].into()), float_data: Vec::new(), ..floats("w", &[1 << 40], &[]) });
        saved(folder, model)
    }),
    ("huge_tensor_of_numbers", |folder| {
        let mut model = model(vec![node("Add", "sum", &["x", "w"], &["y"])]);
        add(&mut model, floats("w", &[1 << 40], &[1.0]));
        saved(folder, model)
    }),
    ("overflowing_tensor", |folder| {
        let mut model = model(vec![node("Add", "sum", &["x", "w"], &["y"])]);
        add(&mut model, floats("w", &[i64::MAX, i64::MAX], &[1.0]));
        saved(folder, model)
    }),
    ("negative_extent", |folder| {
        let mut model = model(vec![node("Add", "sum", &["x", "w"], &["y"])]);
        add(&mut model, floats("w", &[-2], &[1.0, 2.0]));
        saved(folder, model)
    }),
    ("huge_fill", |folder| {
        let mut model = model(vec![node("ConstantOfShape", "fill", &["shape"], &["y"])]);
        add(&mut model, wire::Tensor { data_type: Some(7), float_data: Vec::new(), int64_data: vec![1 << 31, 1 << 31, 1 << 31], ..floats("shape", &[3], &[]) });
        saved(folder, model)
    }),
    ("complex_numbers", |folder| {
        let mut model = model(vec![node("Add", "sum", &["x", "w"], &["y"])]);
        add(&mut model, wire::Tensor { data_type: Some(14), ..floats("w", &[1], &[1.0, 2.0]) });
        saved(folder, model)
    }),
    ("external_data_above", |folder| external(folder, "../weights.bin")),
    ("external_data_absolute", |folder| external(folder, "/etc/hostname")),
    ("external_data_missing", |folder| external(folder, "weights.bin")),
    ("external_data_too_short", |folder| {
        std::fs::write(folder.join("weights.bin"), [0; 3]).expect("the folder can be written");
        external(folder, "weights.bin")
    }),
    #[cfg(unix)]
    ("external_data_linked_away", |folder| {
        let outside = folder.with_extension("outside");
        std::fs::write(&outside, [0; 8]).expect("the folder can be written");
        std::os::unix::fs::symlink(&outside, folder.join("weights.bin")).expect("the folder can be written");
        external(folder, "weights.bin")
    }),
    ("function_that_calls_itself", |folder| {
        let mut call = node("Loop_", "call", &["x"], &["y"]);
        call.domain = Some("local".into());
        let mut model = model(vec![call.clone()]);
        let opset = wire::OperatorSetId { domain: Some("local".into()), version: Some(1) };
        model.opset_import.push(opset.clone());
        model.functions.push(wire::Function {
            name: Some("Loop_".into()),
            domain: Some("local".into()),
            input: vec!["x".into()],
            output: vec!["y".into()],
            node: vec![call],
            opset_import: vec![opset],
            ..wire::Function::default()
        });
        saved(folder, model)
    }),
    ("keras_lambda", |folder| copied(folder, "lambda.keras")),
    ("keras_custom_layer", |folder| copied(folder, "custom.keras")),
    ("keras_weights_only", |folder| copied(folder, "only.weights.h5")),
];

fn node(op: &str, name: &str, inputs: &[&str], outputs: &[&str]) -> wire::Node {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    wire::Node { op_type: Some(op.into()), name: Some(name.into()), input: owned(inputs), output: owned(outputs), ..wire::Node::default() }
}

/// A model with input `x` and output `y`, both f32[2].
fn model(nodes: Vec<wire::Node>) -> wire::Model {
    let value = |name: &str| wire::ValueInfo {
        name: Some(name.into()),
        r#type: Some(wire::Type {
            value: Some(wire::r#type::Value::TensorType(wire::r#type::TensorType {
                elem_type: Some(1),
                shape: Some(wire::Shape { dim: vec![wire::shape::Dimension { value: Some(wire::shape::dimension::Value::DimValue(2)) }] }),
            })),
        }),
    };
    wire::Model {
        ir_version: Some(8),
        opset_import: vec![wire::OperatorSetId { domain: None, version: Some(17) }],
        graph: Some(wire::Graph { name: Some("wrong".into()), node: nodes, input: vec![value("x")], output: vec![value("y")], ..wire::Graph::default() }),
        ..wire::Model::default()
    }
}

fn graph(model: &mut wire::Model) -> &mut wire::Graph {
    model.graph.get_or_insert_default()
}

fn add(model: &mut wire::Model, tensor: wire::Tensor) {
    graph(model).initializer.push(tensor);
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> wire::Tensor {
    wire::Tensor { name: Some(name.into()), data_type: Some(1), dims: dims.to_vec(), float_data: values.to_vec(), ..wire::Tensor::default() }
}

/// A model whose weights lie at `location`.
fn external(folder: &Path, location: &str) -> PathBuf {
    let mut model = model(vec![node("Add", "sum", &["x", "w"], &["y"])]);
    let entry = wire::StringEntry { key: Some("location".into()), value: Some(location.into()) };
    add(&mut model, wire::Tensor { float_data: Vec::new(), data_location: Some(1), external_data: vec![entry], ..floats("w", &[2], &[]) });
    saved(folder, model)
}

fn saved(folder: &Path, model: wire::Model) -> PathBuf {
    written(folder, &model.encode_to_vec())
}

fn written(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("model.onnx");
    std::fs::write(&path, bytes).expect("the folder can be written");
    path
}

/// A model that lies among the samples of Keras.
fn copied(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::copy(home().join("samples/keras").join(name), &path).expect("the sample is there and the folder can be written");
    path
}

/// What is said about a model, with its folder's name left out.
fn said(folder: &Path, make: Make) -> Result<String, String> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(|error| error.to_string())?;
    }
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    std::fs::remove_file(folder.with_extension("outside")).ok();
    let path = make(folder);
    match std::panic::catch_unwind(|| import::load(&path, &Binding::default(), None)) {
        Ok(Ok(_)) => Err("the model was imported".into()),
        Ok(Err(errors)) => Ok(errors.iter().map(|error: &Error| format!("{} {error}\n", error.kind.code())).collect::<String>().replace(&folder.display().to_string(), "FOLDER")),
        Err(_) => Err("importing panicked".into()),
    }
}

#[test]
fn wrong_models_are_explained() {
    let root = std::env::temp_dir().join(format!("frit-errors-{}", std::process::id()));
    let mut failures = Vec::new();
    if frit_tests::golden::blessing() {
        std::fs::create_dir_all(home().join("golden/errors")).expect("the tests can be written");
        for (name, _) in CASES {
            let path = home().join("golden/errors").join(name).with_extension("txt");
            if !path.exists() {
                std::fs::write(path, "---\n").expect("the golden folder can be written");
            }
        }
    }
    let goldens = cases("errors").unwrap_or_else(|error| panic!("{error}"));
    for golden in &goldens {
        let name = golden.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let Some((_, make)) = CASES.iter().find(|(known, _)| *known == name) else {
            failures.push(format!("there is no case '{name}' for its golden file"));
            continue;
        };
        if let Some((word, _)) = golden.header.first() {
            failures.push(format!("{name}: unknown directive '{word}'"));
        }
        if let Err(why) = said(&root.join(&name), *make).and_then(|said| golden.check(&said)) {
            failures.push(format!("{name}: {why}"));
        }
    }
    for (name, _) in CASES {
        if !goldens.iter().any(|golden| golden.path.file_stem().is_some_and(|stem| stem == *name)) {
            failures.push(format!("there is no golden file for case '{name}'"));
        }
    }
    std::fs::remove_dir_all(&root).ok();
    report(&failures);
}
