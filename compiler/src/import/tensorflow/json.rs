//! Graph models of TensorFlow.js: a graph as JSON, and shards of weights.
//!
//! In: the path of `model.json` or its folder. Out: a meta graph whose constants hold the weights. Must not know: what ops mean.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use bytes::{Bytes, BytesMut};
use frit_ir::tensor::checked_elems;
use frit_ir::{Error, OpError};
use frit_proto::tensorflow as wire;
use frit_proto::tensorflow::attribute::Value;
use serde_json::Value as Json;

use crate::import::map;

/// Reads a model.
///
/// # Errors
/// Invalid where the JSON is none, weights are missing, cut off or lie outside the folder.
pub(super) fn read(path: &Path) -> Result<wire::MetaGraph, Error> {
    let file = if path.is_dir() { path.join("model.json") } else { path.to_owned() };
    let folder = file.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
    let bytes = map(&file)?.bytes;
    let json: Json = serde_json::from_slice(&bytes).map_err(|error| Error::invalid(format!("'{}' is no JSON: {error}", file.display())).help("the file may have been cut off when it was copied"))?;
    let topology = json.get("modelTopology").unwrap_or(&Json::Null);
    if topology.get("node").is_none() {
        let help = "convert the original model to a graph model, or give Keras's own file";
        return Err(Error::unsupported(format!("'{}' holds no graph", file.display())).help(help));
    }
    let mut def = graph(topology);
    let at = |error: OpError| Error::at(error, format!("'{}'", file.display()), Vec::new());
    let weights = weights(&json, &folder).map_err(at)?;
    let functions = def.library.iter_mut().flat_map(|library| &mut library.function).map(|function| (&mut function.node_def, true));
    for (nodes, inside) in std::iter::once((&mut def.node, false)).chain(functions) {
        let mut more = Vec::new();
        for node in nodes.iter_mut().filter(|node| node.op == "Const") {
            if let Some(weight) = weights.get(&node.name) {
                fill(node, weight, &mut more);
            }
        }
        if inside && !more.is_empty() {
            return Err(Error::unsupported("quantised weights in functions are not supported").help("convert the model without quantisation"));
        }
        nodes.extend(more);
    }
    let signature = ["signature", "userDefinedMetadata"].iter().find_map(|key| json.get(*key)).map(|found| found.get("signature").unwrap_or(found)).and_then(signature);
    let signature_def = signature.into_iter().map(|signature| ("serving_default".to_owned(), signature)).collect();
    Ok(wire::MetaGraph { graph_def: Some(def), signature_def, ..wire::MetaGraph::default() })
}

fn text(json: Option<&Json>) -> String {
    json.and_then(Json::as_str).unwrap_or("").to_owned()
}

/// A number, which JSON may hold as text.
fn int(json: &Json) -> Option<i64> {
    json.as_i64().or_else(|| json.as_str()?.parse().ok())
}

fn float(json: &Json) -> Option<f64> {
    json.as_f64().or_else(|| json.as_str()?.parse().ok())
}

fn array(json: Option<&Json>) -> &[Json] {
    json.and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn graph(json: &Json) -> wire::Graph {
    let library = json.get("library").map(|library| wire::Library { function: array(library.get("function")).iter().map(function).collect() });
    wire::Graph { node: array(json.get("node")).iter().map(node).collect(), library }
}

fn function(json: &Json) -> wire::Function {
    let arguments = |json: Option<&Json>| array(json).iter().map(|arg| wire::Argument { name: text(arg.get("name")), r#type: dtype(arg.get("type")) }).collect();
    let signature = json.get("signature").unwrap_or(&Json::Null);
    let texts = |json: Option<&Json>| json.and_then(Json::as_object).into_iter().flatten().map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned())).collect();
    wire::Function {
        signature: Some(wire::Signature { name: text(signature.get("name")), input_arg: arguments(signature.get("inputArg")), output_arg: arguments(signature.get("outputArg")) }),
        node_def: array(json.get("nodeDef")).iter().map(node).collect(),
        ret: texts(json.get("ret")),
        control_ret: texts(json.get("controlRet")),
    }
}

fn node(json: &Json) -> wire::Node {
    let input = array(json.get("input")).iter().map(|input| input.as_str().unwrap_or("").to_owned()).collect();
    let attr = attributes(json.get("attr"));
    wire::Node { name: text(json.get("name")), op: text(json.get("op")), input, attr }
}

fn attributes(json: Option<&Json>) -> BTreeMap<String, wire::Attribute> {
    json.and_then(Json::as_object).into_iter().flatten().map(|(name, value)| (name.clone(), wire::Attribute { value: attribute(value) })).collect()
}

/// The number of a dtype, which JSON names.
fn dtype(json: Option<&Json>) -> i32 {
    const NAMES: &[(&str, i32)] = &[
        ("DT_FLOAT", 1), ("DT_DOUBLE", 2), ("DT_INT32", 3), ("DT_UINT8", 4), ("DT_INT16", 5), ("DT_INT8", 6), ("DT_STRING", 7), ("DT_INT64", 9), ("DT_BOOL", 10), ("DT_BFLOAT16", 14), ("DT_UINT16", 17), ("DT_HALF", 19),
        ("DT_RESOURCE", 20), ("DT_VARIANT", 21), ("DT_UINT32", 22), ("DT_UINT64", 23),
    ];
    match json {
        Some(Json::String(name)) => NAMES.iter().find(|(known, _)| known == name).map_or(0, |(_, number)| *number),
        Some(other) => int(other).and_then(|number| i32::try_from(number).ok()).unwrap_or(0),
        None => 0,
    }
}

fn shape(json: &Json) -> wire::Shape {
    let dim = array(json.get("dim")).iter().map(|dim| wire::shape::Dim { size: dim.get("size").and_then(int).unwrap_or(0) }).collect();
    wire::Shape { dim, unknown_rank: json.get("unknownRank").and_then(Json::as_bool).unwrap_or(false) }
}

fn named(json: &Json) -> wire::NameAttrs {
    wire::NameAttrs { name: text(json.get("name")), attr: attributes(json.get("attr")) }
}

fn attribute(json: &Json) -> Option<Value> {
    let (kind, value) = json.as_object()?.iter().next()?;
    Some(match kind.as_str() {
        "s" => Value::S(base64(value.as_str()?)),
        "i" => Value::I(int(value)?),
        "f" => Value::F(float(value)? as f32),
        "b" => Value::B(value.as_bool()?),
        "type" => Value::Type(dtype(Some(value))),
        "shape" => Value::Shape(shape(value)),
        "tensor" => Value::Tensor(tensor(value)),
        "func" => Value::Func(named(value)),
        "list" => Value::List(wire::attribute::List {
            s: array(value.get("s")).iter().map(|text| base64(text.as_str().unwrap_or(""))).collect(),
            i: array(value.get("i")).iter().filter_map(int).collect(),
            f: array(value.get("f")).iter().filter_map(float).map(|x| x as f32).collect(),
            b: array(value.get("b")).iter().filter_map(Json::as_bool).collect(),
            r#type: array(value.get("type")).iter().map(|name| dtype(Some(name))).collect(),
            shape: array(value.get("shape")).iter().map(shape).collect(),
            tensor: Vec::new(),
            func: array(value.get("func")).iter().map(named).collect(),
        }),
        _ => return None,
    })
}

fn tensor(json: &Json) -> wire::Tensor {
    let ints = |key: &str| array(json.get(key)).iter().filter_map(int).collect::<Vec<_>>();
    let floats = |key: &str| array(json.get(key)).iter().filter_map(float).collect::<Vec<_>>();
    wire::Tensor {
        dtype: dtype(json.get("dtype")),
        tensor_shape: json.get("tensorShape").map(shape),
        tensor_content: Bytes::from(base64(json.get("tensorContent").and_then(Json::as_str).unwrap_or(""))),
        float_val: floats("floatVal").into_iter().map(|x| x as f32).collect(),
        double_val: floats("doubleVal"),
        int_val: ints("intVal").into_iter().map(|n| n as i32).collect(),
        int64_val: ints("int64Val"),
        bool_val: array(json.get("boolVal")).iter().filter_map(Json::as_bool).collect(),
        string_val: array(json.get("stringVal")).iter().map(|text| base64(text.as_str().unwrap_or(""))).collect(),
        ..wire::Tensor::default()
    }
}

/// Bytes of base 64. What is no digit is left out.
fn base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for digit in text.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => continue,
        };
        bits = bits << 6 & 0xff_ffff | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

fn signature(json: &Json) -> Option<wire::SignatureDef> {
    let side = |key: &str| -> BTreeMap<String, wire::TensorInfo> {
        let of = |info: &Json| wire::TensorInfo { name: text(info.get("name")), dtype: dtype(info.get("dtype")), tensor_shape: info.get("tensorShape").map(shape) };
        json.get(key).and_then(Json::as_object).into_iter().flatten().map(|(name, info)| (name.clone(), of(info))).collect()
    };
    let (inputs, outputs) = (side("inputs"), side("outputs"));
    // Inputs that say nothing of themselves are found in the graph.
    (!outputs.is_empty() && inputs.values().all(|info| info.dtype != 0)).then_some(wire::SignatureDef { inputs, outputs })
}

/// All weights by their names.
fn weights(json: &Json, folder: &Path) -> Result<BTreeMap<String, Weight>, OpError> {
    let mut found = BTreeMap::new();
    for group in array(json.get("weightsManifest")) {
        let mut shards = Vec::new();
        for path in array(group.get("paths")) {
            shards.push(shard(folder, path.as_str().unwrap_or(""))?);
        }
        let all = match shards.as_slice() {
            [only] => only.clone(),
            many => {
                let mut joined = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
                many.iter().for_each(|part| joined.extend_from_slice(part));
                joined.freeze()
            }
        };
        let mut at = 0usize;
        for weight in array(group.get("weights")) {
            let name = text(weight.get("name"));
            let (weight, size) = one(weight, &name, &all, at)?;
            at += size;
            found.insert(name, weight);
        }
    }
    Ok(found)
}

fn shard(folder: &Path, name: &str) -> Result<Bytes, OpError> {
    let leaves = |why: &str| OpError::invalid(format!("weights '{name}' {why}")).help("weights must lie in the model's folder");
    if name.is_empty() || Path::new(name).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(leaves("leave the model's folder"));
    }
    let unreadable = |error: std::io::Error| leaves(&format!("can't be read: {error}"));
    let (real, home) = (folder.join(name).canonicalize().map_err(unreadable)?, folder.canonicalize().map_err(unreadable)?);
    if !real.starts_with(&home) {
        return Err(leaves("leave the model's folder through a link"));
    }
    Ok(map(&real).map_err(|error| leaves(&format!("can't be read: {}", error.message)))?.bytes)
}

/// A weight as it is stored, how it is to be read, and how many bytes of the shards it takes.
fn one(json: &Json, name: &str, all: &Bytes, at: usize) -> Result<(Weight, usize), OpError> {
    let bad = |why: &str| OpError::invalid(format!("weight '{name}' {why}"));
    let extents = array(json.get("shape")).iter().map(|extent| int(extent).ok_or_else(|| bad("has a shape that makes no sense"))).collect::<Result<Vec<_>, _>>()?;
    let elems = checked_elems(&extents)?;
    let number = |name: &str| match name {
        "float32" => Ok(1),
        "int32" => Ok(3),
        "uint8" => Ok(4),
        "uint16" => Ok(17),
        "bool" => Ok(10),
        "float16" => Ok(19),
        other => Err(OpError::unsupported(format!("weight '{name}' is of type '{other}', which is not supported"))),
    };
    let dtype = number(&text(json.get("dtype")))?;
    let quantised = json.get("quantization").filter(|quantised| quantised.is_object());
    let stored = quantised.map_or(Ok(dtype), |quantised| number(&text(quantised.get("dtype"))))?;
    let size = elems.checked_mul(super::tensor::dtype(stored)?.size()).ok_or_else(|| bad("is too large"))?;
    let bytes = at.checked_add(size).filter(|end| *end <= all.len()).map(|end| all.slice(at..end)).ok_or_else(|| bad("lies outside its shards"))?;
    let shape = wire::Shape { dim: extents.iter().map(|size| wire::shape::Dim { size: *size }).collect(), unknown_rank: false };
    let range = quantised.and_then(|quantised| Some((quantised.get("scale").and_then(float)?, quantised.get("min").and_then(float).unwrap_or(0.0))));
    Ok((Weight { tensor: wire::Tensor { dtype: stored, tensor_shape: Some(shape), tensor_content: bytes, ..wire::Tensor::default() }, dtype, range }, size))
}

/// A weight as it is stored.
#[derive(Clone)]
struct Weight {
    tensor: wire::Tensor,
    /// The number of the dtype that the graph wants.
    dtype: i32,
    /// What stored numbers are multiplied with, and what is added then.
    range: Option<(f64, f64)>,
}

/// Gives a constant its weight. One that is stored otherwise becomes nodes that convert it.
fn fill(node: &mut wire::Node, weight: &Weight, more: &mut Vec<wire::Node>) {
    let make = |name: String, op: &str, input: Vec<String>, attr: Vec<(&str, Value)>| wire::Node { name, op: op.to_owned(), input, attr: attr.into_iter().map(|(key, value)| (key.to_owned(), wire::Attribute { value: Some(value) })).collect() };
    let value = Value::Tensor(weight.tensor.clone());
    if weight.tensor.dtype == weight.dtype {
        node.attr.insert("value".to_owned(), wire::Attribute { value: Some(value) });
        return;
    }
    let name = &node.name;
    let part = |suffix: &str| format!("{name}/{suffix}");
    let number = |suffix: &str, x: f64| make(part(suffix), "Const", Vec::new(), vec![("value", Value::Tensor(wire::Tensor { dtype: 1, float_val: vec![x as f32], ..wire::Tensor::default() }))]);
    more.push(make(part("stored"), "Const", Vec::new(), vec![("value", value)]));
    let mut last = part("stored");
    if let Some((scale, min)) = weight.range {
        more.push(make(part("numbers"), "Cast", vec![last], vec![("DstT", Value::Type(1))]));
        more.extend([number("scale", scale), number("min", min)]);
        more.push(make(part("scaled"), "Mul", vec![part("numbers"), part("scale")], Vec::new()));
        more.push(make(part("moved"), "AddV2", vec![part("scaled"), part("min")], Vec::new()));
        last = part("moved");
        if weight.dtype == 3 {
            more.push(make(part("rounded"), "Round", vec![last], Vec::new()));
            last = part("rounded");
        }
    }
    *node = make(name.clone(), "Cast", vec![last], vec![("DstT", Value::Type(weight.dtype))]);
}
