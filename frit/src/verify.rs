//! Comparing a compiled model with the reference interpreter, and finding what made a difference.
//!
//! In: a graph, the options that it was compiled with, inputs. Out: [`Comparison`]s, and the [`Culprit`] of a difference:
//! the stage, and where rewriting is to blame the one rule, found by bisection; or how each kernel compares by itself. Must
//! not know: terminals.

use std::collections::{BTreeMap, BTreeSet};

use frit_compiler::pipeline::{Options, rewritten};
use frit_compiler::rewrite::{self, Rule};
use frit_compiler::schedule::{Precision, Trace, Traced};
use frit_compiler::specialise::specialise;
use frit_ir::executable::{Slot, Step, leaves};
use frit_ir::graph::{Producer, ValueId};
use frit_ir::ops::pair::apart;
use frit_ir::{DType, Error, Graph, Op, Tensor, eval};
use frit_runtime::{Observer, Options as RunOptions, Session, Tensors};

/// How far an output may be off, as a part of its largest element. Single ops are held to their own, far smaller tolerances by
/// the project's tests; errors of a whole model add up. A factor that is rounded to bf16 is off by up to 2^-8 of itself: they may add
/// up to sixteen times that.
pub fn part(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-3,
        Precision::BF16 => 0.0625,
    }
}

/// How an output compares.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The output's name.
    pub name: String,
    /// Its type.
    pub ty: String,
    /// The largest difference.
    pub off: f64,
    /// How many numbers of the dtype lie between the two elements that differ most.
    pub ulps: f64,
    /// The index of that element.
    pub at: Vec<i64>,
    /// The reference's largest element.
    pub largest: f64,
    /// The mean difference, as a part of the reference's mean element (both without signs).
    pub mean: f64,
    /// Is the difference one that rounding explains?
    pub fits: bool,
}

impl Comparison {
    /// Compares an output with what was expected, from which it may be off by a part of the largest element.
    pub fn of(name: &str, got: &Tensor, expected: &Tensor, part: f64) -> Self {
        let same_type = got.ty() == expected.ty() && got.strings() == expected.strings();
        let (mut off, mut largest, mut worst) = (0f64, 0f64, 0);
        let (mut differences, mut elements) = (0f64, 0f64);
        let (got_values, expected_values) = (got.f64s(), expected.f64s());
        for (k, (a, b)) in got_values.iter().zip(&expected_values).enumerate() {
            let same = a == b || (a.is_nan() && b.is_nan());
            let here = if same { 0.0 } else if (a - b).is_nan() { f64::INFINITY } else { (a - b).abs() };
            if here > off {
                (off, worst) = (here, k);
            }
            if b.is_finite() {
                largest = largest.max(b.abs());
                differences += here;
                elements += b.abs();
            }
        }
        let ulps = if off > 0.0 { between(got_values[worst], expected_values[worst], expected.dtype()) } else { 0.0 };
        let allowed = if expected.dtype().is_float() { largest * part } else { 0.0 };
        Self { name: name.to_owned(), ty: got.ty().to_string(), off, ulps, at: index(worst, expected.extents()), largest, mean: if differences > 0.0 { differences / elements } else { 0.0 }, fits: same_type && off <= allowed }
    }
}

/// How many numbers of a dtype lie between two of them.
fn between(a: f64, b: f64, dtype: DType) -> f64 {
    let step = match dtype {
        DType::F64 => b.abs() * f64::EPSILON,
        DType::F32 => b.abs() * f64::from(f32::EPSILON),
        DType::F16 => b.abs() * 2f64.powi(-10),
        DType::BF16 => b.abs() * 2f64.powi(-7),
        _ => 1.0,
    };
    (a - b).abs() / step.max(f64::MIN_POSITIVE)
}

/// The index of an element by its position.
fn index(mut flat: usize, extents: &[i64]) -> Vec<i64> {
    let mut at = vec![0; extents.len()];
    for (k, extent) in extents.iter().enumerate().rev() {
        let extent = (*extent).max(1) as usize;
        at[k] = (flat % extent) as i64;
        flat /= extent;
    }
    at
}

impl Comparison {
    /// The largest difference as a part of the largest element.
    pub fn part(&self) -> f64 {
        if self.off == 0.0 { 0.0 } else { self.off / self.largest }
    }
}

/// Compares all outputs of a graph, which may be off by a part of the largest element.
pub fn compare(graph: &Graph, got: &[Tensor], expected: &[Tensor], part: f64) -> Vec<Comparison> {
    graph.outputs().iter().zip(got.iter().zip(expected)).map(|((name, _), (got, expected))| Comparison::of(name, got, expected, part)).collect()
}

/// How a kernel compares.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The kernel's name.
    pub kernel: String,
    /// The source nodes that it stands for.
    pub sources: Vec<String>,
    /// The rules that made it.
    pub rules: Vec<String>,
    /// Were its operands drawn with NaN, infinities, signed zeros and subnormal numbers among them?
    pub edges: bool,
    /// How what it writes compares.
    pub comparison: Comparison,
}

/// How far what a single kernel writes may be off, as a part of its largest element: a few thousand roundings of f32.
const KERNEL_PART: f64 = 1e-4;

/// How far it may be off where the kernel rounds to bf16 what it computed before: what lies halfway between two of them may become
/// the other one.
const ROUNDED_PART: f64 = 0.0078125;

/// Runs a graph's kernels one by one, each on the operands that the reference interpreter finds for it, and compares what it writes with
/// what the interpreter makes of the same operands; then again with edge values among them. Kernels in branches and
/// loops, and those that write only a part of a tensor, are left out.
///
/// # Errors
/// As [`compile`](crate::compile) and [`Session::run`].
pub fn kernels(graph: &Graph, options: &Options, inputs: &[Tensor]) -> Result<Vec<Checked>, Vec<Error>> {
    let one = |error| vec![error];
    let (executable, trace) = frit_compiler::pipeline::traced(graph, options)?;
    let session = Session::new(executable, &RunOptions::default()).map_err(one)?;
    let used: BTreeSet<ValueId> = trace.launches.iter().flat_map(|launch| launch.values.iter().flatten()).copied().collect();
    let mut values: BTreeMap<ValueId, Tensor> = trace.graph.inputs().iter().map(|(_, v)| *v).zip(inputs.iter().cloned()).collect();
    let observe = |value, tensor: &Tensor| {
        if used.contains(&value) {
            values.insert(value, tensor.clone());
        }
    };
    eval::run_observed(&trace.graph, &inputs.iter().collect::<Vec<_>>(), observe).map_err(one)?;
    let executable = session.executable();
    let mut launches = BTreeMap::new();
    let mut writers: BTreeMap<ValueId, usize> = BTreeMap::new();
    let mut traced = trace.launches.iter().peekable();
    let mut leaf = 0;
    for (at, step) in executable.steps.iter().enumerate() {
        if let (Some(launch), Step::Launch { kernel, .. }) = (traced.next_if(|launch| launch.step == at), step) {
            launches.insert(leaf, launch);
            for (value, param) in launch.values.iter().zip(&executable.kernels[*kernel as usize].params) {
                if let (Some(value), true) = (value, param.written) {
                    *writers.entry(*value).or_default() += 1;
                }
            }
        }
        leaf += leaves(std::slice::from_ref(step)).len();
    }
    let mut checked = Vec::new();
    for edges in [false, true] {
        let mut checker = Checker { session: &session, trace: &trace, launches: &launches, values: &values, writers: &writers, edges, expected: Vec::new(), checked: Vec::new() };
        session.run_observed(inputs, &mut checker).map_err(one)?;
        checked.extend(checker.checked);
    }
    Ok(checked)
}

/// Gives kernels their operands and looks at what they write.
struct Checker<'a> {
    session: &'a Session,
    trace: &'a Trace,
    launches: &'a BTreeMap<usize, &'a Traced>,
    values: &'a BTreeMap<ValueId, Tensor>,
    /// How many launches write each value.
    writers: &'a BTreeMap<ValueId, usize>,
    edges: bool,
    /// What the launch at work must write: the operand's number, and what it is.
    expected: Vec<(usize, Part)>,
    checked: Vec<Checked>,
}

impl Observer for Checker<'_> {
    fn before(&mut self, leaf: usize, tensors: &mut Tensors<'_, '_>) -> Result<(), Error> {
        self.expected.clear();
        let (Some(launch), Some(Step::Launch { kernel, operands, .. })) = (self.launches.get(&leaf), self.session.executable().leaves().get(leaf).copied()) else { return Ok(()) };
        let params = &self.session.executable().kernels[*kernel as usize].params;
        let mut given: BTreeMap<ValueId, Tensor> = BTreeMap::new();
        for ((value, operand), param) in launch.values.iter().zip(operands).zip(params) {
            let Some((value, known)) = value.and_then(|v| Some((v, self.values.get(&v)?))) else { continue };
            if param.written {
                continue;
            }
            let replaceable = matches!(operand.slot, Slot::Arena(_) | Slot::Output(_));
            let tensor = if self.edges && replaceable { edged(known)? } else { known.clone() };
            if replaceable {
                tensors.put(operand, shaped(&tensor, &operand.extents)?)?;
            }
            given.insert(value, tensor);
        }
        for (at, (value, param)) in launch.values.iter().zip(params).enumerate() {
            // Others may write other parts of the same tensor.
            if let (Some(value), true) = (value, param.written)
                && self.writers.get(value) == Some(&1)
                && let Some(expected) = expected(&self.trace.graph, *value, &given)?
            {
                self.expected.push((at, expected));
            }
        }
        Ok(())
    }

    fn after(&mut self, leaf: usize, tensors: &mut Tensors<'_, '_>) -> Result<(), Error> {
        let Some(Step::Launch { kernel, operands, sources, rules }) = self.session.executable().leaves().get(leaf).copied() else { return Ok(()) };
        let name = &self.session.executable().kernels[*kernel as usize].name;
        for (at, expected) in std::mem::take(&mut self.expected) {
            let got = tensors.get(&operands[at])?;
            let wanted = shaped(&expected.tensor, got.extents())?;
            let [got, wanted] = if expected.pairs { [numbers(&got)?, numbers(&wanted)?] } else { [got, wanted] };
            let comparison = Comparison::of(name, &got, &wanted, if expected.rounds { ROUNDED_PART } else { KERNEL_PART });
            self.checked.push(Checked { kernel: name.clone(), sources: sources.clone(), rules: rules.clone(), edges: self.edges, comparison });
        }
        // What follows goes on with ordinary values.
        if let Some(launch) = self.launches.get(&leaf) {
            for (value, operand) in launch.values.iter().zip(operands) {
                if let (Some(known), Slot::Arena(_) | Slot::Output(_)) = (value.and_then(|v| self.values.get(&v)), &operand.slot) {
                    tensors.put(operand, shaped(known, &operand.extents)?)?;
                }
            }
        }
        Ok(())
    }
}

/// A tensor under the shape that an operand has.
fn shaped(tensor: &Tensor, extents: &[i64]) -> Result<Tensor, Error> {
    tensor.reshaped(extents).map_err(|error| Error::at(error, "", Vec::new()))
}

/// A tensor with edge values at some places, the same ones in every reading of the same elements.
fn edged(tensor: &Tensor) -> Result<Tensor, Error> {
    const EDGES: [f64; 6] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1e-40];
    if !tensor.dtype().is_float() {
        return Ok(tensor.clone());
    }
    let mut values = tensor.f64s();
    for (k, value) in values.iter_mut().enumerate() {
        // A few elements of a few rows, spread.
        let mixed = (k as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
        if mixed.is_multiple_of(1031) {
            *value = EDGES[k % EDGES.len()];
        }
    }
    Tensor::from_f64s(tensor.dtype(), tensor.extents(), &values).map_err(|error| Error::at(error, "", Vec::new()))
}

/// What a kernel must write.
struct Part {
    tensor: Tensor,
    /// Are its elements pairs of bf16?
    pairs: bool,
    /// Is something rounded to bf16 that the kernel computes itself?
    rounds: bool,
}

/// The numbers that pairs are made of.
fn numbers(words: &Tensor) -> Result<Tensor, Error> {
    shaped(words, &[words.elems() as i64]).and_then(|words| apart(&words, 0).map_err(|error| Error::at(error, "", Vec::new())))
}

/// Does a value hold pairs, moved perhaps?
fn holds_pairs(graph: &Graph, mut value: ValueId) -> bool {
    while let Producer::Node(node, _) = graph.value(value).producer {
        match graph.node(node).op {
            Op::Transpose(_) | Op::Reshape(_) | Op::Pad(_) => value = graph.node(node).inputs[0],
            Op::Pair(_) => return true,
            _ => return false,
        }
    }
    false
}

/// What the interpreter makes of a value if others are given; none where it depends on more.
fn expected(graph: &Graph, wanted: ValueId, given: &BTreeMap<ValueId, Tensor>) -> Result<Option<Part>, Error> {
    let mut needed = BTreeSet::from([wanted]);
    for (_, node) in graph.nodes().rev() {
        if node.outputs.iter().any(|v| needed.contains(v) && !given.contains_key(v)) {
            needed.extend(&node.inputs);
        }
    }
    let mut values = given.clone();
    let mut rounds = false;
    for (_, node) in graph.nodes().filter(|(_, node)| node.outputs.iter().any(|v| needed.contains(v) && !given.contains_key(v))) {
        let operands: Option<Vec<&Tensor>> = node.inputs.iter().map(|v| values.get(v)).collect();
        let Some(operands) = operands else { return Ok(None) };
        let narrows = matches!(node.op, Op::Pair(_)) || matches!(&node.op, Op::Cast(cast) if cast.to == DType::BF16);
        rounds |= narrows && !node.inputs.iter().all(|v| given.contains_key(v) || graph.constant(*v).is_some());
        let results = eval::apply(node, &operands)?;
        for (value, result) in node.outputs.iter().zip(results) {
            values.entry(*value).or_insert(result);
        }
    }
    Ok(values.remove(&wanted).map(|tensor| Part { tensor, pairs: holds_pairs(graph, wanted), rounds }))
}

/// What made a difference.
#[derive(Clone, Debug)]
pub enum Culprit {
    /// Binding shapes and folding constants.
    Specialise,
    /// A rewrite, by bisection, and the source nodes of the nodes that it made.
    Rule(&'static Rule, Vec<String>),
    /// Rewriting, but no single rule.
    Rewrite,
    /// Scheduling or code generation.
    Kernels,
}

/// Finds what makes the compiled model differ from the reference interpreter on some inputs, by interpreting the graph after each
/// stage, and with fewer and fewer rules.
///
/// # Errors
/// What interpreting or rewriting says.
pub fn locate(graph: &Graph, options: &Options, inputs: &[Tensor]) -> Result<Culprit, Vec<Error>> {
    let one = |error| vec![error];
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let expected = eval::run(graph, &inputs).map_err(one)?;
    let fits = |other: &Graph| -> Result<bool, Vec<Error>> {
        let got = eval::run(other, &inputs).map_err(one)?;
        Ok(compare(graph, &got, &expected, part(Precision::F32)).iter().all(|comparison| comparison.fits))
    };
    if !fits(&specialise(graph, &options.binding)?)? {
        return Ok(Culprit::Specialise);
    }
    let with = |limit: usize| -> Result<Graph, Vec<Error>> {
        let rewrite = rewrite::Options { limit: Some(limit), ..options.rewrite.clone() };
        Ok(rewritten(graph, &Options { rewrite, ..options.clone() })?.0)
    };
    let rules = options.rewriting().rules().map_err(one)?;
    if fits(&with(rules.len())?)? {
        return Ok(Culprit::Kernels);
    }
    // The first `good` rules are right together, the first `bad` are not.
    let (mut good, mut bad) = (0, rules.len());
    if !fits(&with(0)?)? {
        return Ok(Culprit::Rewrite);
    }
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        if fits(&with(middle)?)? { good = middle } else { bad = middle }
    }
    let culprit = rules[bad - 1];
    let mut sources: Vec<String> = Vec::new();
    for (_, node) in with(bad)?.nodes().filter(|(_, node)| node.origins.rules.iter().any(|name| **name == *culprit.name)) {
        sources.extend(node.origins.iter().map(|origin| origin.name.clone()));
    }
    sources.dedup();
    Ok(Culprit::Rule(culprit, sources))
}
