//! Comparing a compiled model with the reference interpreter, and finding what made a difference.
//!
//! In: a graph, the options that it was compiled with, inputs. Out: [`Comparison`]s, and the [`Culprit`] of a difference:
//! the stage, and where rewriting is to blame the one rule, found by bisection. Must not know: terminals.

use frit_compiler::pipeline::{Options, rewritten};
use frit_compiler::rewrite::{self, Rule};
use frit_compiler::specialise::specialise;
use frit_ir::{DType, Error, Graph, Tensor, eval};

/// How far an output may be off, as a part of its largest element. Single ops are held to their own, far smaller tolerances by
/// the project's tests; errors of a whole model add up.
const PART: f64 = 1e-3;

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
    /// Is the difference one that rounding explains?
    pub fits: bool,
}

impl Comparison {
    /// Compares an output with what was expected.
    pub fn of(name: &str, got: &Tensor, expected: &Tensor) -> Self {
        let same_type = got.ty() == expected.ty() && got.strings() == expected.strings();
        let (mut off, mut largest, mut worst) = (0f64, 0f64, 0);
        let (got_values, expected_values) = (got.f64s(), expected.f64s());
        for (k, (a, b)) in got_values.iter().zip(&expected_values).enumerate() {
            let same = a == b || (a.is_nan() && b.is_nan());
            let here = if same { 0.0 } else if (a - b).is_nan() { f64::INFINITY } else { (a - b).abs() };
            if here > off {
                (off, worst) = (here, k);
            }
            largest = if b.is_finite() { largest.max(b.abs()) } else { largest };
        }
        let ulps = if off > 0.0 { between(got_values[worst], expected_values[worst], expected.dtype()) } else { 0.0 };
        let allowed = if expected.dtype().is_float() { largest * PART } else { 0.0 };
        Self { name: name.to_owned(), ty: got.ty().to_string(), off, ulps, at: index(worst, expected.extents()), largest, fits: same_type && off <= allowed }
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

/// Compares all outputs of a graph.
pub fn compare(graph: &Graph, got: &[Tensor], expected: &[Tensor]) -> Vec<Comparison> {
    graph.outputs().iter().zip(got.iter().zip(expected)).map(|((name, _), (got, expected))| Comparison::of(name, got, expected)).collect()
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
        Ok(compare(graph, &got, &expected).iter().all(|comparison| comparison.fits))
    };
    if !fits(&specialise(graph, &options.binding)?)? {
        return Ok(Culprit::Specialise);
    }
    let with = |limit: usize| -> Result<Graph, Vec<Error>> {
        let rewrite = rewrite::Options { limit: Some(limit), ..options.rewrite.clone() };
        Ok(rewritten(graph, &Options { rewrite, ..options.clone() })?.0)
    };
    let rules = options.rewrite.rules().map_err(one)?;
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
