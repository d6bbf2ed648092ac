//! `frit verify`: the compiled model against the reference interpreter.

use frit::{Error, Tensor};
use serde_json::json;

use crate::args::Verify;
use crate::{model, tell};

/// How far an output may be off, as a part of its largest element. Single ops are held to their own, far smaller tolerances by
/// the project's tests; errors of a whole model add up.
const PART: f64 = 1e-3;

/// How an output compares.
struct Comparison {
    name: String,
    ty: String,
    /// The largest difference.
    off: f64,
    /// The reference's largest element.
    largest: f64,
    fits: bool,
}

impl Comparison {
    fn of(name: &str, got: &Tensor, expected: &Tensor) -> Self {
        let same_type = got.ty() == expected.ty() && got.strings() == expected.strings();
        let (mut off, mut largest) = (0f64, 0f64);
        for (a, b) in got.f64s().into_iter().zip(expected.f64s()) {
            let same = a == b || (a.is_nan() && b.is_nan());
            off = off.max(if same { 0.0 } else if (a - b).is_nan() { f64::INFINITY } else { (a - b).abs() });
            largest = if b.is_finite() { largest.max(b.abs()) } else { largest };
        }
        let allowed = if expected.dtype().is_float() { largest * PART } else { 0.0 };
        Self { name: name.to_owned(), ty: got.ty().to_string(), off, largest, fits: same_type && off <= allowed }
    }
}

/// Compares a model with the reference interpreter.
pub(crate) fn verify(args: &Verify) -> Result<(), Vec<Error>> {
    let one = |error| vec![error];
    let ready = model::ready(&args.model, &args.inputs, args.threads, false)?;
    let Some(graph) = &ready.graph else {
        return Err(one(Error::invalid("an artifact has no graph to compare with").help("give the model that it was compiled from")));
    };
    let seeds = if ready.inputs.is_some() { 1 } else { args.seeds };
    let mut comparisons: Vec<(u64, Comparison)> = Vec::new();
    for seed in 0..seeds {
        let inputs = model::inputs(&ready, seed)?;
        let got = ready.session.run(&inputs).map_err(one)?;
        let expected = tell::busy("interpreting", || frit_ir::eval::run(graph, &inputs.iter().collect::<Vec<_>>())).map_err(one)?;
        let names = ready.session.outputs();
        comparisons.extend(names.iter().zip(got.iter().zip(&expected)).map(|(port, (got, expected))| (seed, Comparison::of(&port.name, got, expected))));
    }
    let wrong: Vec<&Comparison> = comparisons.iter().filter(|(_, c)| !c.fits).map(|(_, c)| c).collect();
    if args.json {
        let rows: Vec<_> = comparisons.iter().map(|(seed, c)| json!({ "seed": seed, "output": c.name, "type": c.ty, "difference": c.off, "largest": c.largest, "fits": c.fits })).collect();
        tell::print(&format!("{:#}", json!({ "model": args.model.model, "fits": wrong.is_empty(), "outputs": rows })));
    } else {
        let rows = comparisons.iter().map(|(seed, c)| vec![seed.to_string(), c.name.clone(), c.ty.clone(), format!("{:.2e}", c.off), format!("{:.2e}", c.largest), if c.fits { "fits".to_owned() } else { "OFF".to_owned() }]);
        tell::print(&tell::table(&[">seed", "output", "type", ">difference", ">largest", ""], rows));
    }
    match wrong.first() {
        None => Ok(()),
        Some(c) => Err(one(Error::bug(format!("output '{}' is off by {:.2e} where the largest element is {:.2e}", c.name, c.off, c.largest)).help("compiled code and the reference interpreter differ; please report it with the model"))),
    }
}
