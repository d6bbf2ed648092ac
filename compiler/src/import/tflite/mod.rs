//! TensorFlow Lite models.
//!
//! In: the path of a model. Out: a [`Graph`]. The tables of [`math`], [`movement`] and their neighbours say what each op becomes; a table row is
//! an op's number, its name, how it takes quantised numbers, and a function from a [`Node`] to values.
//!
//! Of a quantised tensor a value holds what the file stores: integers. An op either moves them, or is told the numbers that they stand for,
//! and what it makes is quantised again ([`How`]); the rewriter makes integer arithmetic of that. Only products have integers of their own.
//!
//! To add an op: add a row to the table of its family.

mod flat;
mod node;
mod schema;
mod sparse;

mod control;
mod image;
mod math;
mod movement;
mod nn;
mod quantise;
mod recurrent;
mod signal;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use frit_ir::build::Folding;
use frit_ir::tensor::{Pages, checked_elems};
use frit_ir::{Builder, DType, Dim, Error, Graph, OpError, Tensor, TensorType, ValueId};

use super::{Family, Known, Mapped, Model, Refused, ends, known, map};
use flat::File;
use node::{Node, Values, dequantised, quantised};
use schema::{Described, Operator, Schema, Signature, Subgraph, dtype};

/// Makes values of an operator's operands.
type Handler = fn(&mut Node<'_, '_>) -> Values;

/// How an op takes quantised numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    /// As they are stored.
    Stored,
    /// As the numbers that they stand for.
    Real,
    /// As they are stored where all operands and results are quantised alike, else as the numbers that they stand for.
    Moved,
}

/// A row: an op's number and name, how it takes quantised numbers, what it becomes.
type Row = (i32, &'static str, How, Handler);

/// Ops that are one of ours, or none.
const OPS: &[&[Row]] = &[control::OPS, image::OPS, math::OPS, movement::OPS, nn::OPS, quantise::OPS, signal::OPS];
/// Ops that are made of several of ours.
const EXPANDED: &[&[Row]] = &[image::EXPANDED, math::EXPANDED, movement::EXPANDED, nn::EXPANDED, quantise::EXPANDED, recurrent::EXPANDED, signal::EXPANDED];

/// The number of ops that are known by name only.
const CUSTOM: i32 = 32;

/// Ops that can't be imported, by their numbers.
const REFUSED: &[(std::ops::RangeInclusive<i32>, Refused)] = &[
    (52..=52, ("BIDIRECTIONAL_SEQUENCE_LSTM", BOTH, BOTH_INSTEAD)),
    (46..=46, ("BIDIRECTIONAL_SEQUENCE_RNN", BOTH, BOTH_INSTEAD)),
    (31..=31, ("CALL", "converters write no calls", CONVERT)),
    (29..=29, ("CONCAT_EMBEDDINGS", OLD, CONVERT)),
    (33..=33, ("EMBEDDING_LOOKUP_SPARSE", "its rows are weighted lists", SAVED)),
    (136..=136, ("HASHTABLE", TABLE, TABLE_INSTEAD)),
    (137..=137, ("HASHTABLE_FIND", TABLE, TABLE_INSTEAD)),
    (138..=138, ("HASHTABLE_IMPORT", TABLE, TABLE_INSTEAD)),
    (10..=10, ("HASHTABLE_LOOKUP", TABLE, TABLE_INSTEAD)),
    (139..=139, ("HASHTABLE_SIZE", TABLE, TABLE_INSTEAD)),
    (15..=15, ("LSH_PROJECTION", OLD, CONVERT)),
    (16..=16, ("LSTM", STEP, STEP_INSTEAD)),
    (149..=149, ("MULTINOMIAL", RANDOM, RANDOM_INSTEAD)),
    (146..=146, ("RANDOM_STANDARD_NORMAL", RANDOM, RANDOM_INSTEAD)),
    (148..=148, ("RANDOM_UNIFORM", RANDOM, RANDOM_INSTEAD)),
    (205..=205, ("REDUCE_WINDOW", "its windows are other than pools", CONVERT)),
    (24..=24, ("RNN", STEP, STEP_INSTEAD)),
    (30..=30, ("SKIP_GRAM", OLD, CONVERT)),
    (162..=202, ("STABLEHLO_*", DIALECT, CONVERT)),
    (204..=204, ("STABLEHLO_*", DIALECT, CONVERT)),
    (206..=209, ("STABLEHLO_*", DIALECT, CONVERT)),
];

/// Ops that are known by name only, by these names.
const CUSTOM_REFUSED: &[Refused] = &[("Flex*", "it is TensorFlow's own", SAVED), ("*", "only its author knows it", "export the model without custom ops")];

const BOTH: &str = "it runs in both directions";
const BOTH_INSTEAD: &str = "export the model with two ops, one for each direction";
const CONVERT: &str = "convert the model anew, with TensorFlow Lite's own ops";
const DIALECT: &str = "it is of another dialect";
const OLD: &str = "converters have not written it for years";
const RANDOM: &str = "its results are random";
const RANDOM_INSTEAD: &str = "export the model for inference";
const SAVED: &str = "import the SavedModel instead";
const STEP: &str = "it is a single step";
const STEP_INSTEAD: &str = "export the model with whole sequences";
const TABLE: &str = "it looks up a table";
const TABLE_INSTEAD: &str = "export the model with indices as inputs, and look them up before";

/// What becomes of ops.
pub fn known() -> Known {
    let names = |tables: &'static [&[Row]]| tables.iter().flat_map(|table| table.iter().map(|(_, name, ..)| *name));
    let mut refused: Vec<Refused> = REFUSED.iter().map(|(_, refused)| *refused).collect();
    refused.dedup();
    Known::new(vec![Family::new("Ops", names(OPS), names(EXPANDED))], &[("op", &refused), ("custom op", CUSTOM_REFUSED)])
}

/// Imports a model.
///
/// # Errors
/// Every complaint about the model, each with the operator's name.
pub(crate) fn import(model: &Model<'_>) -> Result<Graph, Vec<Error>> {
    let Mapped { bytes, pages } = map(model.path).map_err(|error| vec![error])?;
    let file = File::new(&bytes);
    let one = |error: OpError| vec![Error::at(error, String::new(), Vec::new())];
    let schema = schema::read(&file, bytes.len()).map_err(one)?;
    let signature = signature(&schema, model.signature).map_err(|error| vec![error])?;
    let operators: usize = schema.subgraphs.iter().map(|graph| graph.operators.len()).sum();
    let mut importer = Importer { schema: &schema, bytes: bytes.clone(), pages, errors: Vec::new(), depth: 0, left: operators.saturating_mul(MAX_COPIES), variables: Vec::new(), states: Vec::new(), initialising: false };
    let subgraph = &schema.subgraphs[signature.map_or(0, |signature| signature.subgraph)];
    let mut builder = Builder::new(subgraph.name.clone()).folding(Folding::Early);
    importer.main(&mut builder, subgraph, signature, model);
    ends::finish(builder, importer.errors)
}

/// The signature that is asked for; otherwise the one of the usual name, or that of the first subgraph.
fn signature<'s>(schema: &'s Schema<'_>, asked: Option<&str>) -> Result<Option<&'s Signature>, Error> {
    let named = |name: &str| schema.signatures.iter().find(|signature| signature.key == name);
    let Some(name) = asked else {
        return Ok(named("serving_default").or_else(|| schema.signatures.iter().find(|signature| signature.subgraph == 0)));
    };
    named(name).map(Some).ok_or_else(|| {
        let keys: Vec<&str> = schema.signatures.iter().map(|signature| signature.key.as_str()).collect();
        Error::invalid(format!("there is no signature '{name}'")).help(if keys.is_empty() { "the model has none; leave --signature out".to_owned() } else { format!("the model has: {}", keys.join(", ")) })
    })
}

/// What a tensor of a subgraph stands for.
#[derive(Clone, Copy)]
enum Bound {
    /// A value.
    Value(ValueId),
    /// A variable that lives from run to run, by its place in the list of them.
    Variable(usize),
    /// An operator that could not be imported makes it; that was reported there.
    Failed,
}

/// The tensors of one subgraph that are made so far.
struct Scope {
    values: BTreeMap<usize, Bound>,
}

/// A variable that lives from run to run.
struct Variable {
    name: String,
    /// What it is at first, once that is known.
    initial: Option<Tensor>,
    /// The state, once it is read.
    state: Option<ValueId>,
    /// What it is now, once it is read or written.
    now: Option<ValueId>,
}

/// What is known of the whole model, and the complaints so far.
struct Importer<'f> {
    schema: &'f Schema<'f>,
    bytes: Bytes,
    pages: Arc<dyn Pages>,
    errors: Vec<Error>,
    depth: usize,
    /// How many more operators may be imported.
    left: usize,
    variables: Vec<Variable>,
    /// States that are variable tensors of the main graph.
    states: Vec<(ValueId, usize)>,
    /// Are these operators those that say what variables are at first?
    initialising: bool,
}

/// Subgraphs nest no deeper than this: each level of a loop is inferred several times.
const MAX_SUBGRAPHS: usize = 12;

/// Operators are imported so many times each on average: subgraphs may be used at several places.
const MAX_COPIES: usize = 64;

impl<'f> Importer<'f> {
    /// Adds the main graph: its inputs, its operators, its outputs.
    fn main(&mut self, builder: &mut Builder, subgraph: &'f Subgraph<'f>, signature: Option<&'f Signature>, model: &Model<'_>) {
        let name_of = |tensor: usize| {
            let named = signature.and_then(|signature| signature.inputs.iter().find(|(_, input)| *input == tensor));
            named.map_or(subgraph.tensors[tensor].name.as_str(), |(name, _)| name.as_str())
        };
        let mut declared = Vec::new();
        for tensor in &subgraph.inputs {
            match declared_type(name_of(*tensor), &subgraph.tensors[*tensor]) {
                Ok(ty) => declared.push((name_of(*tensor), ty)),
                Err(error) => self.errors.push(Error::at(error, format!("input '{}'", name_of(*tensor)), Vec::new())),
            }
        }
        if !self.errors.is_empty() {
            return;
        }
        let inputs = match ends::inputs(builder, &declared, model.binding) {
            Ok(inputs) => inputs,
            Err(errors) => {
                self.errors.extend(errors);
                return;
            }
        };
        let mut scope = Scope { values: subgraph.inputs.iter().copied().zip(inputs.into_iter().map(Bound::Value)).collect() };
        self.operators(builder, &mut scope, subgraph);
        let outputs: Vec<(&str, usize)> = match signature {
            Some(signature) => {
                // In the subgraph's order, under the signature's names.
                let mut outputs: Vec<(&str, usize)> = signature.outputs.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
                outputs.sort_by_key(|(_, tensor)| subgraph.outputs.iter().position(|output| output == tensor).unwrap_or(usize::MAX));
                outputs
            }
            None => subgraph.outputs.iter().map(|tensor| (subgraph.tensors[*tensor].name.as_str(), *tensor)).collect(),
        };
        for (name, tensor) in outputs {
            if signal::is_complex(&subgraph.tensors[tensor]) {
                let error = OpError::unsupported("it holds complex numbers, which is not supported").help("export the model with real and imaginary parts as outputs");
                self.errors.push(Error::at(error, format!("output '{name}'"), Vec::new()));
                continue;
            }
            match self.value(builder, &mut scope, subgraph, tensor) {
                Ok(Some(value)) => builder.output(name, value),
                Ok(None) => {}
                Err(error) => self.errors.push(Error::at(error, format!("output '{name}'"), Vec::new())),
            }
        }
        let named = self.variables.iter().filter_map(|variable| Some((variable.name.as_str(), variable.state?, variable.now?)));
        let tensors = self.states.iter().filter_map(|(state, tensor)| match scope.values.get(tensor) {
            Some(Bound::Value(now)) => Some((subgraph.tensors[*tensor].name.as_str(), *state, *now)),
            _ => None,
        });
        for (name, state, now) in named.chain(tensors) {
            if let Err(error) = builder.update(state, now) {
                self.errors.push(Error::at(error, format!("variable '{name}'"), Vec::new()));
            }
        }
    }

    /// Adds the operators of a subgraph, in the file's order, in which operands come first.
    fn operators(&mut self, builder: &mut Builder, scope: &mut Scope, subgraph: &'f Subgraph<'f>) {
        for operator in &subgraph.operators {
            self.operator(builder, scope, subgraph, operator);
        }
    }

    /// The value of a tensor; nothing where an operator before failed to make it.
    fn value(&mut self, builder: &mut Builder, scope: &mut Scope, subgraph: &'f Subgraph<'f>, tensor: usize) -> Result<Option<ValueId>, OpError> {
        match scope.values.get(&tensor) {
            Some(Bound::Value(value)) => return Ok(Some(*value)),
            Some(Bound::Failed) => return Ok(None),
            Some(Bound::Variable(_)) => return Err(OpError::unsupported("a variable is used as a value")),
            None => {}
        }
        let described = &subgraph.tensors[tensor];
        let value = self.constant(builder, described).map_err(|error| OpError { message: format!("tensor '{}': {}", described.name, error.message), ..error })?;
        scope.values.insert(tensor, Bound::Value(value));
        Ok(Some(value))
    }

    /// A constant, over the file's own bytes.
    fn constant(&self, builder: &mut Builder, described: &Described<'_>) -> Result<ValueId, OpError> {
        let dtype = dtype(described.number)?;
        let extents: Vec<i64> = described.shape.iter().map(|extent| i64::from(*extent)).collect();
        let elems = checked_elems(&extents)?;
        let bytes = self.bytes.slice(described.data.clone());
        if bytes.is_empty() && elems > 0 {
            return Err(OpError::invalid("no operator makes it, and it is no constant"));
        }
        let tensor = match &described.sparsity {
            Some(sparsity) => sparse::dense(dtype, &extents, elems, &bytes, sparsity)?,
            None => decoded(dtype, &extents, elems, bytes)?,
        };
        let value = builder.constant(tensor.with_pages(Some(self.pages.clone())));
        builder.name(value, described.name.clone());
        Ok(value)
    }

    /// Adds one operator.
    fn operator(&mut self, builder: &mut Builder, scope: &mut Scope, subgraph: &'f Subgraph<'f>, operator: &'f Operator<'f>) {
        let row = OPS.iter().chain(EXPANDED).flat_map(|table| table.iter()).find(|(code, ..)| *code == operator.code && *code != CUSTOM);
        let op = row.map_or_else(|| name_of(operator), |(_, name, ..)| (*name).to_owned());
        let name = operator.outputs.first().map_or("", |tensor| subgraph.tensors[*tensor].name.as_str());
        let outer = builder.origins().clone();
        if self.depth == 0 {
            builder.set_origins(frit_ir::build::origin(name, op.clone(), format!("tflite {}", operator.version)));
        }
        let done = match row {
            Some(row) => self.apply(builder, scope, subgraph, operator, row),
            None => Err(unsupported(operator)),
        };
        match done {
            Ok(Some(values)) => {
                for (tensor, value) in operator.outputs.iter().zip(values) {
                    if builder.graph().value(value).name.is_none() {
                        builder.name(value, subgraph.tensors[*tensor].name.clone());
                    }
                    scope.values.insert(*tensor, Bound::Value(value));
                }
            }
            Ok(None) => poison(scope, operator),
            Err(error) => {
                let place = builder.origins().first().map_or_else(String::new, |origin| origin.to_string());
                let types = operator.inputs.iter().map(|input| match input.and_then(|tensor| scope.values.get(&tensor)) {
                    Some(Bound::Value(value)) => builder.ty(*value).to_string(),
                    _ => "-".to_owned(),
                });
                self.errors.push(Error::at(error, place, types.collect()));
                poison(scope, operator);
            }
        }
        builder.set_origins(outer);
    }

    /// The values that an operator makes; nothing where an operand's operator has failed before.
    fn apply(&mut self, builder: &mut Builder, scope: &mut Scope, subgraph: &'f Subgraph<'f>, operator: &'f Operator<'f>, row: &Row) -> Result<Option<Vec<ValueId>>, OpError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| OpError::invalid("subgraphs are used at too many places"))?;
        let (_, op, how, handler) = *row;
        if !signal::COMPLEX.contains(&op) && operator.inputs.iter().flatten().chain(&operator.outputs).any(|tensor| signal::is_complex(&subgraph.tensors[*tensor])) {
            return Err(OpError::unsupported(format!("'{op}' of complex numbers is not supported")).help(SAVED));
        }
        let ends = operator.inputs.iter().flatten().chain(&operator.outputs).map(|tensor| quantised(&subgraph.tensors[*tensor]));
        let real = match how {
            How::Stored => false,
            How::Real => true,
            How::Moved => {
                let mut alike = ends.flatten();
                let first = alike.next();
                alike.any(|other| Some(other) != first)
            }
        };
        let mut inputs = Vec::new();
        for input in &operator.inputs {
            let Some(tensor) = input else {
                inputs.push(None);
                continue;
            };
            if subgraph.tensors[*tensor].number == RESOURCE || (subgraph.tensors[*tensor].variable && !scope.values.contains_key(tensor)) {
                // Handlers that know of variables look them up themselves.
                inputs.push(None);
                continue;
            }
            let Some(mut value) = self.value(builder, scope, subgraph, *tensor)? else { return Ok(None) };
            if real && let Some(quantisation) = quantised(&subgraph.tensors[*tensor]) {
                value = dequantised(builder, value, quantisation)?;
            }
            inputs.push(Some(value));
        }
        let mut node = Node { builder, importer: self, scope, graph: subgraph, operator, inputs, op, real };
        let made = handler(&mut node)?;
        let mut values = Vec::new();
        for (at, mut value) in made.into_iter().enumerate().take(operator.outputs.len()) {
            if real {
                value = node.quantise(value, at)?;
            }
            // Indices and the like are computed in i64.
            let cast = if signal::is_complex(node.result(at)?) { value } else { node.cast(value, node.result_dtype(at)?)? };
            values.push(cast);
        }
        Ok(Some(values))
    }
}

/// The number of the type that handles of variables have.
const RESOURCE: i8 = 13;

fn poison(scope: &mut Scope, operator: &Operator<'_>) {
    scope.values.extend(operator.outputs.iter().map(|tensor| (*tensor, Bound::Failed)));
}

fn unsupported(operator: &Operator<'_>) -> OpError {
    let name = name_of(operator);
    if operator.code == CUSTOM {
        return known::unsupported("custom op", &name, CUSTOM_REFUSED, "");
    }
    let refused = REFUSED.iter().find(|(codes, _)| codes.contains(&operator.code));
    known::unsupported("op", &name, refused.map(|(_, refused)| refused), "docs/tflite.md lists what is")
}

/// The name of an op that can't be imported.
fn name_of(operator: &Operator<'_>) -> String {
    match REFUSED.iter().find(|(codes, _)| codes.contains(&operator.code)) {
        Some((_, (name, ..))) => (*name).to_owned(),
        None if operator.code == CUSTOM => operator.custom.clone(),
        None => format!("number {}", operator.code),
    }
}

/// The declared type of an input; open extents are symbols.
fn declared_type(name: &str, tensor: &Described<'_>) -> Result<TensorType, OpError> {
    let dims = tensor.shape.iter().enumerate().map(|(axis, extent)| if *extent >= 0 { Dim::Known(i64::from(*extent)) } else { Dim::symbol(format!("{name}.{axis}")) });
    Ok(TensorType::ranked(dtype(tensor.number)?, dims.collect()))
}

/// A tensor of bytes as they lie in a file.
fn decoded(dtype: DType, extents: &[i64], elems: usize, bytes: Bytes) -> Result<Tensor, OpError> {
    let bits = match dtype {
        DType::I4 | DType::U4 => 4,
        DType::I2 => 2,
        DType::Str => return strings(extents, elems, &bytes),
        _ => dtype.size() * 8,
    };
    let expected = elems.saturating_mul(bits).div_ceil(8);
    if bytes.len() != expected {
        return Err(OpError::invalid(format!("a {dtype} tensor of shape {extents:?} takes {expected} bytes, and {} are there", bytes.len())));
    }
    if bits >= 8 {
        return Tensor::from_shared(dtype, extents, bytes);
    }
    // Narrow elements lie several to a byte, the first in the low bits; in memory each has its own.
    let (each, mask) = (8 / bits, (1u8 << bits) - 1);
    let spread = (0..elems).map(|at| {
        let low = bytes[at / each] >> (at % each * bits) & mask;
        if dtype != DType::U4 && low >> (bits - 1) == 1 { low | !mask } else { low }
    });
    Tensor::from_shared(dtype, extents, spread.collect::<Vec<u8>>().into())
}

/// Text: how many there are, where each begins and the last ends, and the text itself.
fn strings(extents: &[i64], elems: usize, bytes: &[u8]) -> Result<Tensor, OpError> {
    let broken = || OpError::invalid("text reaches outside its buffer");
    let number = |at: usize| bytes.get(4 * at..4 * at + 4).and_then(|bytes| bytes.try_into().ok()).map(|bytes| u32::from_le_bytes(bytes) as usize).ok_or_else(broken);
    if number(0)? != elems || elems > bytes.len() / 4 {
        return Err(OpError::invalid(format!("a tensor of shape {extents:?} holds {} texts", number(0)?)));
    }
    let texts = (1..=elems).map(|at| {
        let text = bytes.get(number(at)?..number(at + 1)?).ok_or_else(broken)?;
        String::from_utf8(text.to_vec()).map_err(|_| OpError::invalid("text that is not UTF-8"))
    });
    Tensor::from_strings(extents, texts.collect::<Result<Vec<_>, _>>()?)
}
