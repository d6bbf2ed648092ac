//! Names of outputs.
//!
//! In: how a program's results nest (a *tree spec* of PyTorch's). Out: for each leaf the keys that lead to it. Must not know: values.

use serde_json::Value as Json;

/// Trees nest no deeper than this.
const MAX_DEPTH: usize = 64;

/// For each output the keys of dictionaries and fields that lead to it, with the indices between and after them, joined by points;
/// nothing for those that only lie in lists and tuples, which go by their node's name. Empty where the tree has other than `count` leaves.
pub(super) fn paths(calls: &Json, count: usize) -> Vec<Option<String>> {
    let whole = calls.as_array().and_then(|calls| calls.iter().find(|call| call["fqn"] == "")).map(|call| &call["signature"]["out_spec"]);
    let Some(spec) = whole.and_then(Json::as_str).and_then(|text| serde_json::from_str::<Json>(text).ok()) else { return Vec::new() };
    let mut paths = Vec::new();
    // The first element says how the rest is written.
    if walk(&spec[1], &mut Vec::new(), false, &mut paths).is_none() || paths.len() != count {
        return Vec::new();
    }
    paths
}

fn walk(spec: &Json, path: &mut Vec<String>, keyed: bool, paths: &mut Vec<Option<String>>) -> Option<()> {
    if path.len() > MAX_DEPTH {
        return None;
    }
    let children = spec["children_spec"].as_array()?;
    if spec["type"].is_null() {
        paths.push(keyed.then(|| path.join(".")));
        return Some(());
    }
    let keys = keys(spec, children.len());
    for (at, child) in children.iter().enumerate() {
        let (part, named) = match &keys {
            Some(keys) => (Some(keys[at].clone()), true),
            // An index counts only below a key.
            None => (keyed.then(|| at.to_string()), keyed),
        };
        let depth = path.len();
        path.extend(part);
        walk(child, path, named, paths)?;
        path.truncate(depth);
    }
    Some(())
}

/// The keys of a node's children, where it is a dictionary or has fields. Its context lists them, at the top or further in.
fn keys(spec: &Json, count: usize) -> Option<Vec<String>> {
    let context: Json = serde_json::from_str(spec["context"].as_str()?).ok()?;
    let strings = |list: &[Json]| -> Option<Vec<String>> {
        if list.len() != count || count == 0 {
            return None;
        }
        list.iter().map(|key| key.as_str().map(str::to_owned).or_else(|| key.as_i64().map(|n| n.to_string()))).collect()
    };
    let list = context.as_array()?;
    strings(list).or_else(|| list.iter().filter_map(Json::as_array).find_map(|inner| strings(inner)))
}
