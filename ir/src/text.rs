//! The textual form of a graph: printing it, and reading it back to an equal graph.
//!
//! In: a [`Graph`] or text. Out: text or a [`Graph`]; `parse(print(g))` equals `g`, value numbers, names, origins and
//! bits of constants included. Text is untrusted: parsing never panics, allocates only in proportion to the text,
//! and says line and column of what is wrong. Must not know: single ops (their attributes come and go as
//! [`Attr`]s), files.
//!
//! ```text
//! graph "mlp" {
//!   input "x" %0: f32[batch,784]
//!   %1 "w": f32[784,10] = constant() {value=f32[784,10] x"0000803f.."}
//!   %2: f32[batch,10] = matmul(%0, %1) @"fc" "MatMul" "ai.onnx 17"
//!   output "y" %2
//! }
//! ```
//!
//! A value is `%` and its number, then the name that the user knows it by, if it has one, then its type. An input's
//! value goes by the input's name unless `as "other"` or `as _` (no name) follows. After `@` stand a source node's
//! name, op and op set; after `~` the name of a rewrite. Attributes are integers (`3`), floats (`3.0`, `inf`, `nan`, other NaNs as
//! `nan(0x7ff8000000000001)`), `true`, `false`, `"text"`, dtypes, lists, graphs, and tensors: dtype and extents, then
//! either the elements or `x"` and the bytes (little-endian) in hexadecimal. `//` begins a comment.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::dtype::DType;
use crate::error::Error;
use crate::graph::{Graph, Node, NodeId, Origin, Origins, Producer, Value, ValueId};
use crate::ops::{Attr, Op};
use crate::scalar::Scalar;
use crate::shape::{Dim, Shape, TensorType};
use crate::tensor::{AlignedBytes, Tensor, checked_elems};

/// Tensors of at most so many elements are written as numbers, larger ones as bytes.
const INLINE: usize = 64;

/// Lists and graphs nest no deeper than this.
const MAX_DEPTH: usize = 128;

/// Writes a graph so that [`parse`] gives it back.
pub fn print(graph: &Graph) -> String {
    let mut printer = Printer { out: String::new(), elide: false };
    printer.graph(graph, 0);
    printer.out.push('\n');
    printer.out
}

/// Writes a graph to be looked at: of large constants only dtype and shape are shown, as `<f32[64,3,7,7]>`. [`parse`]
/// does not take it if there are such.
pub fn summarise(graph: &Graph) -> String {
    let mut printer = Printer { out: String::new(), elide: true };
    printer.graph(graph, 0);
    printer.out.push('\n');
    printer.out
}

/// Writes an attribute as the text form has it.
pub fn print_attr(attr: &Attr) -> String {
    let mut printer = Printer { out: String::new(), elide: false };
    printer.attr(attr, 0);
    printer.out
}

/// Writes a float so that it reads back to the same bits and not as an integer.
fn float(x: f64) -> String {
    if x.is_nan() {
        return if x.to_bits() == f64::NAN.to_bits() { "nan".into() } else { format!("nan({:#x})", x.to_bits()) };
    }
    format!("{x:?}")
}

/// A float of a dtype: the shortest digits that read back to it.
fn element(value: Scalar, dtype: DType) -> String {
    match value {
        Scalar::Int(n) => n.to_string(),
        Scalar::Bool(b) => b.to_string(),
        Scalar::Float(x) => {
            let short = format!("{:?}", x as f32);
            let exact = dtype != DType::F64 && short.parse::<f64>().is_ok_and(|y| f64::from(y as f32).to_bits() == x.to_bits());
            if exact && !x.is_nan() { short } else { float(x) }
        }
    }
}

struct Printer {
    out: String,
    elide: bool,
}

impl Printer {
    fn put(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.out.write_fmt(arguments).expect("writing to a string does not fail");
    }

    fn indent(&mut self, depth: usize) {
        for _ in 0..depth {
            self.out.push_str("  ");
        }
    }

    fn graph(&mut self, graph: &Graph, depth: usize) {
        self.put(format_args!("graph {:?} {{\n", graph.name));
        for (name, id) in graph.inputs() {
            self.indent(depth + 1);
            self.put(format_args!("input {name:?} %{}", id.0));
            let value = graph.value(*id);
            match &value.name {
                Some(own) if own == name => {}
                Some(own) => self.put(format_args!(" as {own:?}")),
                None => self.out.push_str(" as _"),
            }
            self.put(format_args!(": {}\n", value.ty));
        }
        for state in graph.states() {
            self.indent(depth + 1);
            self.out.push_str("state ");
            self.tensor(state);
            self.out.push('\n');
        }
        for (_, node) in graph.nodes() {
            self.indent(depth + 1);
            self.node(graph, node, depth + 1);
            self.out.push('\n');
        }
        for (name, id) in graph.outputs() {
            self.indent(depth + 1);
            self.put(format_args!("output {name:?} %{}\n", id.0));
        }
        self.indent(depth);
        self.out.push('}');
    }

    fn node(&mut self, graph: &Graph, node: &Node, depth: usize) {
        for (at, id) in node.outputs.iter().enumerate() {
            let value = graph.value(*id);
            self.put(format_args!("{}%{}", if at > 0 { ", " } else { "" }, id.0));
            if let Some(name) = &value.name {
                self.put(format_args!(" {name:?}"));
            }
            self.put(format_args!(": {}", value.ty));
        }
        self.put(format_args!("{}= {}(", if node.outputs.is_empty() { "" } else { " " }, node.op.name()));
        for (at, id) in node.inputs.iter().enumerate() {
            self.put(format_args!("{}%{}", if at > 0 { ", " } else { "" }, id.0));
        }
        self.out.push(')');
        let attrs = node.op.def().attrs();
        if !attrs.is_empty() {
            self.out.push_str(" {");
            for (at, (name, attr)) in attrs.iter().enumerate() {
                self.put(format_args!("{}{name}=", if at > 0 { ", " } else { "" }));
                self.attr(attr, depth);
            }
            self.out.push('}');
        }
        for origin in &node.origins.nodes {
            self.put(format_args!(" @{:?} {:?} {:?}", origin.name, origin.op, origin.opset));
        }
        for rule in &node.origins.rules {
            self.put(format_args!(" ~{rule:?}"));
        }
    }

    fn attr(&mut self, attr: &Attr, depth: usize) {
        match attr {
            Attr::Int(n) => self.put(format_args!("{n}")),
            Attr::Float(x) => self.out.push_str(&float(*x)),
            Attr::Bool(b) => self.put(format_args!("{b}")),
            Attr::Text(text) => self.put(format_args!("{text:?}")),
            Attr::DType(dtype) => self.put(format_args!("{dtype}")),
            Attr::List(items) => {
                self.out.push('[');
                for (at, item) in items.iter().enumerate() {
                    self.out.push_str(if at > 0 { ", " } else { "" });
                    self.attr(item, depth);
                }
                self.out.push(']');
            }
            Attr::Tensor(tensor) => self.tensor(tensor),
            Attr::Graph(graph) => self.graph(graph, depth),
        }
    }

    fn tensor(&mut self, tensor: &Tensor) {
        let elems = tensor.elems();
        if self.elide && elems > INLINE {
            self.put(format_args!("<{}>", tensor.ty()));
            return;
        }
        self.put(format_args!("{} ", tensor.ty()));
        if tensor.dtype() == DType::Str {
            self.put(format_args!("{:?}", tensor.strings()));
            return;
        }
        // A byte that no number stands for (a NaN's payload, a bool that is neither 0 nor 1) is kept by writing bytes.
        let same = |copy: Tensor| copy == *tensor;
        if elems <= INLINE && Tensor::from_scalars(tensor.dtype(), tensor.extents(), tensor.scalars()).is_ok_and(same) {
            let items: Vec<String> = tensor.scalars().map(|value| element(value, tensor.dtype())).collect();
            self.put(format_args!("[{}]", items.join(", ")));
            return;
        }
        self.out.push_str("x\"");
        for byte in tensor.bytes() {
            for digit in [byte >> 4, byte & 15] {
                self.out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        self.out.push('"');
    }
}

/// Reads a graph, and checks it as [`verify`](crate::verify::verify) does.
///
/// # Errors
/// Invalid, with line and column, where the text is not a graph, names an op or a value that does not exist, or
/// gives a value a type that contradicts what its op infers.
pub fn parse(text: &str) -> Result<Graph, Error> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    parser.keyword("graph")?;
    let graph = parser.graph()?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.error(parser.at, "expected the end of the text after the graph"));
    }
    Ok(graph)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

/// A graph's values while it is read: by number, as they come.
#[derive(Default)]
struct Values(BTreeMap<u32, Value>);

impl<'t> Parser<'t> {
    fn error(&self, at: usize, message: impl AsRef<str>) -> Error {
        Error::invalid(self.place(at, message.as_ref()))
    }

    fn place(&self, at: usize, message: &str) -> String {
        let before = &self.text[..at];
        let start = before.rfind('\n').map_or(0, |n| n + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before[start..].chars().count() + 1;
        format!("line {line}, column {column}: {message}")
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Skips white space and comments.
    fn space(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.space();
        self.rest().chars().next()
    }

    fn accept(&mut self, token: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn found(&mut self) -> String {
        match self.peek() {
            Some(c) => format!("'{}'", c.escape_debug()),
            None => "the end of the text".into(),
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), Error> {
        if self.accept(token) {
            return Ok(());
        }
        let found = self.found();
        Err(self.error(self.at, format!("expected '{token}', found {found}")))
    }

    /// The identifier that comes next, without taking it; empty where there is none.
    fn ident(&mut self) -> &'t str {
        self.space();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if rest.starts_with(|c: char| c.is_ascii_digit()) { "" } else { &rest[..end] }
    }

    fn name(&mut self, what: &str) -> Result<&'t str, Error> {
        let name = self.ident();
        if name.is_empty() {
            let found = self.found();
            return Err(self.error(self.at, format!("expected {what}, found {found}")));
        }
        self.at += name.len();
        Ok(name)
    }

    fn accept_keyword(&mut self, word: &str) -> bool {
        let found = self.ident() == word;
        if found {
            self.at += word.len();
        }
        found
    }

    fn keyword(&mut self, word: &str) -> Result<(), Error> {
        if self.accept_keyword(word) {
            return Ok(());
        }
        let found = self.found();
        Err(self.error(self.at, format!("expected '{word}', found {found}")))
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error(self.at, format!("lists and graphs nest deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Items between commas up to `end`, which is taken too.
    fn list(&mut self, end: &str, mut item: impl FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        if self.accept(end) {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.accept(end) {
                return Ok(());
            }
            if !self.accept(",") {
                let found = self.found();
                return Err(self.error(self.at, format!("expected ',' or '{end}', found {found}")));
            }
        }
    }

    fn string(&mut self) -> Result<String, Error> {
        if self.peek() != Some('"') {
            let found = self.found();
            return Err(self.error(self.at, format!("expected a string in double quotes, found {found}")));
        }
        let start = self.at;
        let mut chars = self.rest().char_indices().skip(1);
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at = start + at + 1;
                    return Ok(text);
                }
                '\\' => text.push(escape(&mut chars).ok_or_else(|| self.error(start + at, "there is no such escape in strings"))?),
                c => text.push(c),
            }
        }
        Err(self.error(start, "this string has no end"))
    }

    /// The characters of a number, without taking them for an integer or a float yet.
    fn number(&mut self) -> Result<&'t str, Error> {
        self.space();
        let rest = self.rest();
        let mut end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-'))).unwrap_or(rest.len());
        // A sign belongs to the number only in front and in an exponent: `3+n` is a sum.
        if let Some((sign, _)) = rest[..end].char_indices().skip(1).find(|(at, c)| matches!(c, '+' | '-') && !matches!(rest.as_bytes()[at - 1], b'e' | b'E')) {
            end = sign;
        }
        if end == 0 {
            let found = self.found();
            return Err(self.error(self.at, format!("expected a number, found {found}")));
        }
        self.at += end;
        Ok(&rest[..end])
    }

    fn integer<T: std::str::FromStr>(&mut self) -> Result<T, Error> {
        self.space();
        let start = self.at;
        let text = self.number()?;
        text.parse().map_err(|_| self.error(start, format!("'{text}' is not an integer, or too large")))
    }

    /// A float's text, `nan(bits)` included.
    fn float(&mut self) -> Result<f64, Error> {
        self.space();
        let start = self.at;
        let text = self.number()?;
        if text == "nan" {
            if !self.accept("(") {
                return Ok(f64::NAN);
            }
            let at = self.at;
            let bits = self.number()?.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()).map(f64::from_bits);
            let nan = bits.filter(|x| x.is_nan()).ok_or_else(|| self.error(at, "expected the bits of a NaN in hexadecimal"))?;
            self.expect(")")?;
            return Ok(nan);
        }
        let known = matches!(text, "inf" | "-inf") || text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        text.parse().ok().filter(|_| known).ok_or_else(|| self.error(start, format!("'{text}' is not a number")))
    }

    fn dtype(&mut self) -> Result<DType, Error> {
        self.space();
        let start = self.at;
        let name = self.name("a dtype")?;
        name.parse().map_err(|()| self.error(start, format!("there is no dtype '{name}'")))
    }

    fn ty(&mut self) -> Result<TensorType, Error> {
        let dtype = self.dtype()?;
        self.expect("[")?;
        if self.accept("..") {
            self.expect("]")?;
            return Ok(TensorType::new(dtype, Shape::Unranked));
        }
        let mut dims = Vec::new();
        self.list("]", |p| {
            dims.push(p.dim()?);
            Ok(())
        })?;
        Ok(TensorType::ranked(dtype, dims))
    }

    /// `?` or a sum of products of symbols and at most one number each.
    fn dim(&mut self) -> Result<Dim, Error> {
        if self.accept("?") {
            return Ok(Dim::Unknown);
        }
        let start = self.at;
        let mut terms: BTreeMap<Vec<String>, i64> = BTreeMap::new();
        loop {
            let mut coefficient = 1i64;
            let mut monomial = Vec::new();
            if self.peek().is_some_and(|c| c.is_ascii_digit() || c == '-') {
                coefficient = self.integer()?;
            } else {
                monomial.push(self.symbol()?);
            }
            while self.accept("*") {
                monomial.push(self.symbol()?);
            }
            monomial.sort();
            let slot = terms.entry(monomial).or_insert(0);
            *slot = slot.checked_add(coefficient).ok_or_else(|| self.error(start, "this extent overflows"))?;
            if !self.accept("+") {
                return Ok(Dim::from_terms(terms));
            }
        }
    }

    fn symbol(&mut self) -> Result<String, Error> {
        if self.peek() == Some('"') { self.string() } else { self.name("an extent").map(str::to_owned) }
    }

    fn value(&mut self) -> Result<ValueId, Error> {
        self.expect("%")?;
        self.integer().map(ValueId)
    }

    /// A value that was defined before.
    fn operand(&mut self, values: &Values) -> Result<ValueId, Error> {
        self.space();
        let start = self.at;
        let id = self.value()?;
        if values.0.contains_key(&id.0) { Ok(id) } else { Err(self.error(start, format!("value %{} is used before it is defined", id.0))) }
    }

    fn define(&mut self, at: usize, values: &mut Values, id: ValueId, value: Value) -> Result<(), Error> {
        match values.0.insert(id.0, value) {
            None => Ok(()),
            Some(_) => Err(self.error(at, format!("value %{} is defined twice", id.0))),
        }
    }

    /// A graph, after its keyword.
    fn graph(&mut self) -> Result<Graph, Error> {
        self.nested(Self::graph_body)
    }

    fn graph_body(&mut self) -> Result<Graph, Error> {
        let start = self.at;
        let mut graph = Graph { name: self.string()?, ..Graph::default() };
        let mut values = Values::default();
        let mut places = Vec::new();
        self.expect("{")?;
        while self.accept_keyword("input") {
            let name = self.string()?;
            self.space();
            let at = self.at;
            let id = self.value()?;
            let own = match (self.accept_keyword("as"), self.peek()) {
                (false, _) => Some(name.clone()),
                (true, Some('_')) => {
                    self.expect("_")?;
                    None
                }
                (true, _) => Some(self.string()?),
            };
            self.expect(":")?;
            let ty = self.ty()?;
            self.define(at, &mut values, id, Value { ty, name: own, producer: Producer::Input(graph.inputs.len()) })?;
            graph.inputs.push((name, id));
        }
        while self.accept_keyword("state") {
            let dtype = self.dtype()?;
            graph.states.push(self.tensor(dtype)?);
        }
        while matches!(self.peek(), Some('%' | '=')) {
            places.push(self.at);
            let node = self.node(&mut values, NodeId(graph.nodes.len() as u32))?;
            graph.nodes.push(node);
        }
        while self.accept_keyword("output") {
            let name = self.string()?;
            let id = self.operand(&values)?;
            graph.outputs.push((name, id));
        }
        self.expect("}")?;
        if graph.states.len() > graph.inputs.len().min(graph.outputs.len()) {
            return Err(self.error(start, "states are the last inputs and outputs, and there are fewer of these"));
        }
        if let Some((missing, _)) = values.0.keys().enumerate().find(|(at, id)| *at as u32 != **id) {
            return Err(self.error(start, format!("values are numbered from 0 without gaps, and %{missing} is missing")));
        }
        graph.values = values.0.into_values().collect();
        for (node, at) in graph.nodes.iter().zip(places) {
            crate::verify::types(&graph, node).map_err(|error| {
                let node = node.origins.first().map_or_else(|| format!("op {}", node.op.name()), |origin| origin.to_string());
                Error { message: self.place(at, &format!("{node}: {}", error.message)), kind: error.kind, help: error.help, node: String::new(), inputs: Vec::new() }
            })?;
        }
        Ok(graph)
    }

    fn node(&mut self, values: &mut Values, id: NodeId) -> Result<Node, Error> {
        let mut outputs = Vec::new();
        let mut made = Vec::new();
        if !self.accept("=") {
            self.list("=", |p| {
                p.space();
                let at = p.at;
                let value = p.value()?;
                let name = if p.peek() == Some('"') { Some(p.string()?) } else { None };
                p.expect(":")?;
                made.push((at, Value { ty: p.ty()?, name, producer: Producer::Node(id, outputs.len()) }));
                outputs.push(value);
                Ok(())
            })?;
        }
        self.space();
        let start = self.at;
        let name = self.name("an op")?;
        let mut inputs = Vec::new();
        self.expect("(")?;
        self.list(")", |p| {
            inputs.push(p.operand(values)?);
            Ok(())
        })?;
        let mut attrs = BTreeMap::new();
        if self.accept("{") {
            self.list("}", |p| {
                p.space();
                let at = p.at;
                let name = p.name("an attribute")?;
                p.expect("=")?;
                let attr = p.attr()?;
                match attrs.insert(name.to_owned(), attr) {
                    None => Ok(()),
                    Some(_) => Err(p.error(at, format!("attribute '{name}' is given twice"))),
                }
            })?;
        }
        let op = Op::parse(name, &mut attrs).map_err(|error| self.error(start, format!("op '{name}': {}", error.message)))?;
        if let Some(unknown) = attrs.keys().next() {
            return Err(self.error(start, format!("op '{name}' has no attribute '{unknown}'")));
        }
        let mut origins = Origins::default();
        while self.accept("@") {
            origins.nodes.push(Arc::new(Origin { name: self.string()?, op: self.string()?, opset: self.string()? }));
        }
        while self.accept("~") {
            origins.rules.push(self.string()?.into());
        }
        for (value, (at, what)) in outputs.iter().zip(made) {
            self.define(at, values, *value, what)?;
        }
        Ok(Node { op, inputs, outputs, origins })
    }

    fn attr(&mut self) -> Result<Attr, Error> {
        match self.peek() {
            Some('"') => return self.string().map(Attr::Text),
            Some('[') => return self.nested(Self::attr_list),
            Some('<') => return Err(self.error(self.at, "this text leaves out a tensor's elements, so it can't be read").help("print the graph whole")),
            _ => {}
        }
        match self.ident() {
            "true" => self.keyword("true").map(|()| Attr::Bool(true)),
            "false" => self.keyword("false").map(|()| Attr::Bool(false)),
            "inf" | "nan" => self.float().map(Attr::Float),
            "graph" => {
                self.keyword("graph")?;
                self.graph().map(|graph| Attr::Graph(Box::new(graph)))
            }
            "" => {
                let start = self.at;
                let text = self.number()?;
                if text.contains(['.', 'e', 'E', 'i', 'n']) {
                    self.at = start;
                    return self.float().map(Attr::Float);
                }
                text.parse().map(Attr::Int).map_err(|_| self.error(start, format!("'{text}' is not a number, or too large")))
            }
            _ => {
                let dtype = self.dtype()?;
                if self.peek() == Some('[') { self.tensor(dtype).map(Attr::Tensor) } else { Ok(Attr::DType(dtype)) }
            }
        }
    }

    fn attr_list(&mut self) -> Result<Attr, Error> {
        self.expect("[")?;
        let mut items = Vec::new();
        self.list("]", |p| {
            items.push(p.attr()?);
            Ok(())
        })?;
        Ok(Attr::List(items))
    }

    /// A tensor, after its dtype.
    fn tensor(&mut self, dtype: DType) -> Result<Tensor, Error> {
        let start = self.at;
        let mut extents: Vec<i64> = Vec::new();
        self.expect("[")?;
        self.list("]", |p| {
            extents.push(p.integer()?);
            Ok(())
        })?;
        let elems = checked_elems(&extents).map_err(|error| self.error(start, error.message))?;
        let made = if self.accept("x\"") {
            Tensor::from_bytes(dtype, &extents, self.bytes()?)
        } else {
            self.expect("[")?;
            let (mut strings, mut scalars) = (Vec::new(), Vec::new());
            self.list("]", |p| {
                if dtype == DType::Str { strings.push(p.string()?) } else { scalars.push(p.scalar(dtype)?) }
                Ok(())
            })?;
            let count = strings.len() + scalars.len();
            if count != elems {
                return Err(self.error(start, format!("a tensor of shape {extents:?} has {elems} elements, not {count}")));
            }
            if dtype == DType::Str { Tensor::from_strings(&extents, strings) } else { Tensor::from_scalars(dtype, &extents, scalars) }
        };
        made.map_err(|error| self.error(start, error.message))
    }

    fn scalar(&mut self, dtype: DType) -> Result<Scalar, Error> {
        if dtype.is_float() {
            return self.float().map(Scalar::Float);
        }
        if let Some((low, high)) = dtype.int_range().filter(|_| dtype.is_int()) {
            self.space();
            let start = self.at;
            let n: i128 = self.integer()?;
            return if (low..=high).contains(&n) { Ok(Scalar::Int(n)) } else { Err(self.error(start, format!("{n} is no {dtype}"))) };
        }
        match (self.accept_keyword("true"), self.accept_keyword("false")) {
            (true, _) => Ok(Scalar::Bool(true)),
            (_, true) => Ok(Scalar::Bool(false)),
            _ => Err(self.error(self.at, "expected true or false")),
        }
    }

    /// Bytes in hexadecimal, after the opening quote.
    fn bytes(&mut self) -> Result<AlignedBytes, Error> {
        let start = self.at;
        let length = self.rest().find('"').ok_or_else(|| self.error(start, "these bytes have no end"))?;
        let digits = &self.rest().as_bytes()[..length];
        let mut bytes = AlignedBytes::zeroed(length / 2).map_err(|error| self.error(start, error.message))?;
        let value = |digit: u8| char::from(digit).to_digit(16);
        let well_formed = length.is_multiple_of(2)
            && digits.chunks_exact(2).zip(bytes.as_mut_slice()).all(|(pair, byte)| match (value(pair[0]), value(pair[1])) {
                (Some(high), Some(low)) => {
                    *byte = (high * 16 + low) as u8;
                    true
                }
                _ => false,
            });
        if !well_formed {
            return Err(self.error(start, "expected an even number of hexadecimal digits"));
        }
        self.at += length + 1;
        Ok(bytes)
    }
}

/// The character that an escape stands for, after its backslash.
fn escape(chars: &mut impl Iterator<Item = (usize, char)>) -> Option<char> {
    Some(match chars.next()?.1 {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '0' => '\0',
        c @ ('\\' | '"' | '\'') => c,
        'u' => {
            chars.next().filter(|(_, c)| *c == '{')?;
            let mut code = 0u32;
            for _ in 0..7 {
                match chars.next()?.1 {
                    '}' => return char::from_u32(code),
                    digit => code = code.checked_mul(16)?.checked_add(digit.to_digit(16)?)?,
                }
            }
            return None;
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Builder, origin};
    use crate::ops::{add::Add, constant::Constant, if_::If, iota::Iota, matmul::MatMul, pad::Pad, reduce::How, reduce::Reduce};

    fn round_trip(graph: &Graph) {
        let text = print(graph);
        match parse(&text) {
            Ok(back) => assert_eq!(back, *graph, "{text}"),
            Err(error) => panic!("{error}\n{text}"),
        }
    }

    fn constants(tensors: Vec<Tensor>) -> Graph {
        let mut builder = Builder::new("constants");
        for tensor in tensors {
            let value = builder.constant(tensor);
            builder.output("", value);
        }
        builder.finish()
    }

    #[test]
    fn names_origins_and_order_come_back() {
        let mut b = Builder::new("a \"graph\"\n");
        let x = b.input("x", TensorType::ranked(DType::F32, vec!["batch".into(), 3.into()]));
        let mut origins = origin("first \\ \u{1f600}", "MatMul", "ai.onnx 17");
        origins.add(&origin("", "", ""));
        origins.rules = vec!["a rule".into(), "another".into()];
        b.set_origins(origins);
        let w = b.constant(Tensor::from_slice(&[3, 2], &[1.0f32, -0.0, 0.1, f32::NAN, f32::INFINITY, 1e-40]));
        b.name(w, "w");
        let y = b.apply(MatMul {}, &[x, w]).unwrap();
        let late = b.input("late", TensorType::new(DType::F32, Shape::Unranked));
        b.name(late, "another name");
        b.set_origins(Origins::default());
        let sum = b.apply(Add {}, &[y, late]).unwrap();
        b.refine(sum, TensorType::ranked(DType::F32, vec!["batch".into(), 2.into()]));
        b.output("y", sum);
        b.output("y", sum);
        round_trip(&b.finish());
    }

    #[test]
    fn every_kind_of_dim_comes_back() {
        let (n, odd) = (Dim::symbol("n"), Dim::symbol("x.0 \"?\""));
        let dims = vec![
            Dim::Unknown,
            Dim::Known(0),
            Dim::Known(i64::MAX),
            n.clone(),
            odd.clone(),
            n.times(&odd).times(&n).plus(&Dim::Known(-3)),
            n.times(&Dim::Known(-2)).minus(&odd),
            n.plus(&odd).times(&n.minus(&odd)),
            Dim::symbol(""),
            Dim::symbol("f32"),
            Dim::symbol("\u{e9}"),
        ];
        let mut b = Builder::new("");
        b.input("x", TensorType::ranked(DType::BF16, dims));
        b.input("", TensorType::ranked(DType::Str, vec![]));
        round_trip(&b.finish());
    }

    #[test]
    fn constants_of_every_dtype_come_back_with_their_bits() {
        let mut tensors = vec![
            Tensor::from_strings(&[2, 1], vec!["\u{7f}\"\\\n".into(), "\u{301}\u{1f1e9}'".into()]).unwrap(),
            Tensor::from_slice(&[2], &[f32::from_bits(0x7fc0_0001), f32::from_bits(0xffc0_0000)]),
            Tensor::from_slice(&[3], &[f64::from_bits(0x7ff8_0000_0000_0001), -f64::NAN, f64::MIN_POSITIVE / 3.0]),
            Tensor::from_slice(&[4], &[f32::MAX, f32::MIN_POSITIVE, 16_777_217.0, 1.0 / 3.0]),
            Tensor::from_slice(&[2], &[u64::MAX, 0]),
            Tensor::from_slice(&[2], &[i64::MIN, i64::MAX]),
        ];
        for dtype in DType::ALL.iter().copied().filter(|d| *d != DType::Str) {
            for extents in [&[][..], &[0, 3], &[2, 3], &[65, 2]] {
                let size = extents.iter().product::<i64>() as usize * dtype.size();
                let mut bytes = AlignedBytes::zeroed(size).unwrap();
                bytes.as_mut_slice().iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 37 % 251) as u8);
                tensors.push(Tensor::from_bytes(dtype, extents, bytes).unwrap());
                tensors.push(Tensor::zeros(dtype, extents).unwrap());
            }
        }
        round_trip(&constants(tensors));
    }

    #[test]
    fn attributes_come_back_with_their_kind() {
        let attrs = [
            Attr::Int(i64::MIN),
            Attr::Int(0),
            Attr::Float(0.0),
            Attr::Float(-0.0),
            Attr::Float(1e300),
            Attr::Float(f64::MIN_POSITIVE / 5.0),
            Attr::Float(f64::INFINITY),
            Attr::Float(f64::NEG_INFINITY),
            Attr::Bool(true),
            Attr::Text("true".into()),
            Attr::DType(DType::F8E8M0),
            Attr::List(vec![Attr::List(vec![]), Attr::Tensor(Tensor::from_ints(&[1])), Attr::DType(DType::I64), Attr::Float(3.0)]),
        ];
        for attr in attrs {
            let text = print_attr(&attr);
            let mut parser = Parser { text: &text, at: 0, depth: 0 };
            let back = parser.attr().unwrap();
            assert_eq!(format!("{back:?}"), format!("{attr:?}"), "{text}");
            assert_eq!(parser.at, text.len(), "{text}");
        }
        for bits in [f64::NAN.to_bits(), 0x7ff8_0000_0000_0001, 0xfff8_0000_0000_0000, 0x7ff0_0000_0000_0001] {
            let text = print_attr(&Attr::Float(f64::from_bits(bits)));
            let back = Parser { text: &text, at: 0, depth: 0 }.attr().unwrap();
            assert!(matches!(back, Attr::Float(x) if x.to_bits() == bits), "{text}");
        }
        let mut b = Builder::new("");
        let x = b.input("x", TensorType::known(DType::I64, &[2]));
        for value in [Scalar::Int(i128::from(u64::MAX)), Scalar::Float(2.0), Scalar::Int(2)] {
            b.apply(Pad { before: vec![1], after: vec![0], value }, &[x]).unwrap();
        }
        round_trip(&b.finish());
    }

    fn with_if(depth: usize) -> Graph {
        let mut b = Builder::new("nested");
        let cond = b.input("cond", TensorType::known(DType::Bool, &[]));
        let x = b.input("x", TensorType::known(DType::F32, &[2, 2]));
        let y = if depth == 0 {
            b.apply(Reduce { how: How::Sum, axes: vec![0, 1] }, &[x]).unwrap()
        } else {
            let branch = with_if(depth - 1);
            b.apply(If { then_branch: branch.clone(), else_branch: branch }, &[cond, cond, x]).unwrap()
        };
        b.output("y", y);
        b.finish()
    }

    #[test]
    fn subgraphs_come_back() {
        round_trip(&with_if(3));
    }

    #[test]
    fn what_is_wrong_is_said_with_line_and_column() {
        let cases = [
            ("", "line 1, column 1: expected 'graph', found the end of the text"),
            ("graph \"g\" {\n  %0: f32[2] = nope()\n}", "line 2, column 16: op 'nope': there is no op 'nope'"),
            ("graph \"g\" {\n  %0: f32[2] = iota() {axis=0}\n}", "line 2, column 16: op 'iota': attribute 'dtype' is missing"),
            ("graph \"g\" {\n  %0: f32[2] = add(%1, %1)\n}", "line 2, column 20: value %1 is used before it is defined"),
            ("graph \"g\" {\n  input \"x\" %1: f32[2]\n}", "line 1, column 6: values are numbered from 0 without gaps, and %0 is missing"),
            ("graph \"g\" {\n  input \"x\" %0: f32[2]\n  %0: f32[2] = abs(%0)\n}", "line 3, column 3: value %0 is defined twice"),
            ("graph \"g\" {\n  input \"x\" %0: f32[2]\n  %1: f32[3] = abs(%0) @\"a\" \"Abs\" \"\"\n}", "line 3, column 3: node 'a' (Abs): its result %1 is f32[2], not f32[3]"),
            ("graph \"g\" {\n  input \"\u{e9}\" %0: f33[2]\n}", "line 2, column 17: there is no dtype 'f33'"),
            ("graph \"g\" { output \"y", "line 1, column 20: this string has no end"),
            ("graph \"g\" { } }", "line 1, column 15: expected the end of the text after the graph"),
            ("graph \"g\" {\n  %0: f32[9223372036854775807] = constant() {value=f32[9223372036854775807] [1.0]}\n}", "line 2, column 55: a tensor of shape [9223372036854775807] has more elements than memory can hold"),
            ("graph \"g\" {\n  %0: f32[4611686018427387904,4611686018427387904,0] = constant() {value=f32[4611686018427387904,4611686018427387904,0] []}\n  %0\n}", "line 4, column 1: expected ':', found '}'"),
            ("graph \"g\" {\n  %0: f32[1000000000000] = constant() {value=f32[1000000000000] [1.0]}\n}", "line 2, column 49: a tensor of shape [1000000000000] has 1000000000000 elements, not 1"),
            ("graph \"g\" {\n  %0: f32[65] = constant() {value=<f32[65]>}\n}", "line 2, column 35: this text leaves out a tensor's elements, so it can't be read"),
        ];
        for (text, message) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.is_invalid());
            assert_eq!(error.message, message, "{text}");
        }
        let deep = format!("graph \"g\" {{ %0: f32[1] = iota() {{axis={}", "[".repeat(100_000));
        assert!(parse(&deep).unwrap_err().message.contains("nest deeper"));
    }

    #[test]
    fn cut_off_text_is_an_error_and_no_panic() {
        let text = print(&with_if(1));
        for end in 0..text.len() - 2 {
            assert!(parse(&text[..end]).is_err(), "{}", &text[..end]);
        }
    }

    #[test]
    fn large_constants_are_left_out_of_summaries() {
        let tensor = Tensor::zeros(DType::F32, &[64, 3, 7, 7]).unwrap();
        let graph = constants(vec![tensor]);
        assert!(summarise(&graph).contains("constant() {value=<f32[64,3,7,7]>}"));
        let small = constants(vec![Constant { value: Tensor::from_ints(&[1]) }.value]);
        assert_eq!(summarise(&small), print(&small));
    }

    #[test]
    fn comments_and_spaces_do_not_matter() {
        let mut b = Builder::new("g");
        let iota = b.apply(Iota { dtype: DType::I64, extents: vec![4], axis: 0 }, &[]).unwrap();
        b.output("y", iota);
        let graph = b.finish();
        let spread = "// a comment\ngraph\t\"g\"{%0:i64[ 4 ]=iota ( ) { axis = 0 ,\n// another\ndtype=i64, extents=[4]} output\"y\"%0 } //";
        assert_eq!(parse(spread).unwrap(), graph);
    }
}
