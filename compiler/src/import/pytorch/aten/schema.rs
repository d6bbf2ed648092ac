//! The signatures of ATen's operators.
//!
//! In: an operator's name, perhaps which of its overloads, and the arguments of a call. Out: the overload that is meant and all its
//! arguments, those that were left out completed. Must not know: what operators do.

use std::collections::HashMap;
use std::sync::OnceLock;

use frit_ir::OpError;

use super::REFUSED;
use crate::import::known;
use crate::import::pytorch::value::Value;

/// The signatures as PyTorch prints them (`torch._C._jit_get_all_schemas()`), one a line, made by `tests/frameworks/pytorch/schemas.py`.
const TEXT: &str = include_str!("schemas.txt");

/// One overload of an operator.
#[derive(Debug)]
pub(crate) struct Schema {
    /// Its name among the overloads; empty for the one without.
    pub(crate) overload: &'static str,
    /// The parameters.
    pub(crate) parameters: Vec<Parameter>,
    /// Number of results.
    pub(crate) results: usize,
}

/// A parameter of an operator.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    ty: Type,
    /// Is it only given by keyword?
    pub(crate) by_keyword: bool,
    default: Option<Value>,
    /// Is it a tensor that is written to?
    pub(crate) written: bool,
}

/// The type of a parameter, such as `Tensor`, `int[2]?` or `Tensor?[]`.
#[derive(Debug)]
struct Type {
    base: &'static str,
    list: bool,
    /// Does one number stand for a list of it?
    sized: bool,
    optional: bool,
    optional_elements: bool,
}

/// The arguments of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    /// By position.
    pub(crate) positional: Vec<Value>,
    /// By keyword.
    pub(crate) keyword: Vec<(String, Value)>,
}

impl Arguments {
    /// Arguments by position.
    pub(crate) fn positional(positional: Vec<Value>) -> Self {
        Self { positional, keyword: Vec::new() }
    }
}

/// The overloads of an operator such as `aten::add`.
pub(crate) fn overloads(name: &str) -> &'static [Schema] {
    static TABLE: OnceLock<HashMap<&'static str, Vec<Schema>>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut table: HashMap<&'static str, Vec<Schema>> = HashMap::new();
        for line in TEXT.lines() {
            if let Some((name, schema)) = parse(line) {
                table.entry(name).or_default().push(schema);
            }
        }
        table
    });
    table.get(name).map_or(&[], Vec::as_slice)
}

/// The overload that a call means and its arguments, in the order of the parameters. Without `overload` it is the first that fits.
///
/// # Errors
/// Unsupported where the operator or overload is not known; invalid where the arguments fit none.
pub(crate) fn resolve(name: &str, overload: Option<&str>, arguments: &Arguments) -> Result<(&'static Schema, Vec<Value>), OpError> {
    let all = overloads(name);
    if all.is_empty() {
        return Err(unknown(name));
    }
    match overload {
        Some(overload) => {
            let schema = all.iter().find(|schema| schema.overload == overload).ok_or_else(|| unknown(&format!("{name}.{overload}")))?;
            Ok((schema, schema.complete(name, arguments)?))
        }
        None => all
            .iter()
            .filter_map(|schema| Some((schema, schema.complete(name, arguments).ok()?)))
            .find(|(schema, values)| schema.parameters.iter().zip(values).all(|(parameter, value)| parameter.ty.takes(value)))
            .ok_or_else(|| OpError::invalid(format!("'{name}' has no overload for ({})", arguments.words()))),
    }
}

/// Complains about an operator that is not known.
pub(crate) fn unknown(name: &str) -> OpError {
    known::unsupported("op", name.strip_prefix("aten::").unwrap_or(name), REFUSED, "docs/pytorch.md lists what is")
}

impl Arguments {
    fn words(&self) -> String {
        let positional = self.positional.iter().map(|value| value.words().to_owned());
        positional.chain(self.keyword.iter().map(|(name, value)| format!("{name}={}", value.words()))).collect::<Vec<_>>().join(", ")
    }
}

impl Schema {
    fn complete(&self, name: &str, arguments: &Arguments) -> Result<Vec<Value>, OpError> {
        let mut values: Vec<Option<Value>> = self.parameters.iter().map(|_| None).collect();
        for (at, value) in arguments.positional.iter().enumerate() {
            let fits = self.parameters.get(at).is_some_and(|parameter| !parameter.by_keyword);
            match values.get_mut(at).filter(|_| fits) {
                Some(slot) => *slot = Some(value.clone()),
                None => return Err(OpError::invalid(format!("'{name}' takes fewer arguments than the {} that are given", arguments.positional.len()))),
            }
        }
        for (keyword, value) in &arguments.keyword {
            match self.parameters.iter().position(|parameter| parameter.name == keyword) {
                Some(at) if values[at].is_none() => values[at] = Some(value.clone()),
                _ => return Err(OpError::invalid(format!("'{name}' takes no argument '{keyword}'"))),
            }
        }
        let complete = values.into_iter().zip(&self.parameters).map(|(value, parameter)| {
            let default = || parameter.default.clone().or_else(|| parameter.ty.optional.then_some(Value::None));
            value.or_else(default).ok_or_else(|| OpError::invalid(format!("argument '{}' of '{name}' is missing", parameter.name)))
        });
        complete.collect()
    }
}

impl Type {
    /// Can a value be passed for it?
    fn takes(&self, value: &Value) -> bool {
        if value.is_none() {
            return self.optional;
        }
        if !self.list {
            return self.takes_one(value);
        }
        match value.elements() {
            Some(elements) => elements.iter().all(|value| self.takes_one(value) || self.optional_elements && value.is_none()),
            None => self.sized && self.takes_one(value),
        }
    }

    fn takes_one(&self, value: &Value) -> bool {
        match value {
            Value::Tensor(_) | Value::Complex(..) => self.base == "Tensor",
            Value::Bool(_) => matches!(self.base, "bool" | "Scalar" | "t"),
            Value::Int(_) => matches!(self.base, "int" | "SymInt" | "float" | "Scalar" | "ScalarType" | "Layout" | "MemoryFormat" | "t"),
            Value::Float(_) => matches!(self.base, "float" | "Scalar" | "t"),
            Value::ComplexNumber(..) => self.base == "Scalar",
            Value::Symbol(_) => matches!(self.base, "int" | "SymInt" | "float" | "bool" | "Scalar" | "t"),
            Value::Str(_) => matches!(self.base, "str" | "Dimname" | "Device"),
            Value::Dtype(_) | Value::ComplexDtype(_) => self.base == "ScalarType",
            Value::Device(_) => self.base == "Device",
            Value::Layout => matches!(self.base, "Layout" | "MemoryFormat"),
            Value::None | Value::List(_) | Value::Tuple(_) | Value::Dict(_) => false,
        }
    }
}

/// A line such as `aten::sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor`.
fn parse(line: &'static str) -> Option<(&'static str, Schema)> {
    let (head, rest) = line.split_once('(')?;
    let (rest, results) = rest.rsplit_once(" -> ")?;
    let rest = rest.strip_suffix(')')?;
    let (name, overload) = head.split_once('.').unwrap_or((head, ""));
    let mut parameters = Vec::new();
    let mut by_keyword = false;
    for part in split(rest) {
        if part == "*" {
            by_keyword = true;
            continue;
        }
        let (declaration, default) = part.split_once('=').map_or((part, None), |(declaration, default)| (declaration, Some(default)));
        let (ty, name) = declaration.rsplit_once(' ')?;
        let ty_parsed = parse_type(ty);
        let default = default.map(|text| parse_default(text, &ty_parsed));
        parameters.push(Parameter { name, written: ty.contains("!)"), ty: ty_parsed, by_keyword, default });
    }
    let results = match results.strip_prefix('(').and_then(|list| list.strip_suffix(')')) {
        Some("") => 0,
        Some(list) => split(list).len(),
        None => 1,
    };
    Some((name, Schema { overload, parameters, results }))
}

/// The parts of a list, which are separated by commas outside brackets.
fn split(list: &'static str) -> Vec<&'static str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if start < list.len() {
        parts.push(list[start..].trim());
    }
    parts
}

fn parse_type(text: &'static str) -> Type {
    let base_end = text.find(['(', '[', '?']).unwrap_or(text.len());
    let (base, rest) = text.split_at(base_end);
    // What stands in brackets after a tensor says what it shares memory with.
    let rest = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest);
    let list = rest.contains('[');
    let before = rest.split('[').next().unwrap_or_default();
    let sized = list && !rest.contains("[]");
    let optional = if list { rest.ends_with("]?") } else { rest.contains('?') };
    Type { base, list, sized, optional, optional_elements: list && before.contains('?') }
}

fn parse_default(text: &str, ty: &Type) -> Value {
    match text {
        "None" => Value::None,
        "True" => Value::Bool(true),
        "False" => Value::Bool(false),
        "[]" => Value::List(Vec::new()),
        "contiguous_format" | "strided" => Value::Layout,
        "Mean" => Value::Int(1),
        "long" => Value::Dtype(frit_ir::DType::I64),
        _ => {
            let number = |text: &str| match text.parse::<i64>() {
                Ok(n) if ty.base != "float" => Value::Int(n),
                _ => text.parse::<f64>().map_or_else(|_| Value::Str(text.trim_matches(['"', '\'']).to_owned()), Value::Float),
            };
            match text.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
                Some(list) => Value::List(list.split(',').map(|item| number(item.trim())).collect()),
                None => number(text),
            }
        }
    }
}
