//! `frit verify`: the compiled model against the reference interpreter.

use frit::verify::{Comparison, Culprit, compare, locate};
use frit::{Error, Tensor};
use serde_json::json;

use crate::args::Verify;
use crate::{model, tell};

/// Compares a model with the reference interpreter.
pub(crate) fn verify(args: &Verify) -> Result<(), Vec<Error>> {
    let one = |error| vec![error];
    let ready = model::ready(&args.model, &args.inputs, args.threads, false)?;
    let Some(graph) = &ready.graph else {
        return Err(one(Error::invalid("an artifact has no graph to compare with").help("give the model that it was compiled from")));
    };
    let seeds = if ready.inputs.is_some() { 1 } else { args.seeds };
    let mut comparisons: Vec<(u64, Comparison)> = Vec::new();
    let mut wrong: Option<(Comparison, Vec<Tensor>)> = None;
    for seed in 0..seeds {
        let inputs = model::inputs(&ready, seed)?;
        let got = ready.session.run(&inputs).map_err(one)?;
        let expected = tell::busy("interpreting", || frit_ir::eval::run(graph, &inputs.iter().collect::<Vec<_>>())).map_err(one)?;
        let these = compare(graph, &got, &expected);
        if let (None, Some(off)) = (&wrong, these.iter().find(|comparison| !comparison.fits)) {
            wrong = Some((off.clone(), inputs));
        }
        comparisons.extend(these.into_iter().map(|comparison| (seed, comparison)));
    }
    let culprit = match &wrong {
        Some((_, inputs)) => Some(tell::busy("looking for the cause", || locate(graph, &ready.options, inputs))?),
        None => None,
    };
    if args.json {
        let rows: Vec<_> = comparisons.iter().map(|(seed, c)| json!({ "seed": seed, "output": c.name, "type": c.ty, "difference": c.off, "ulps": c.ulps, "largest": c.largest, "fits": c.fits })).collect();
        tell::print(&format!("{:#}", json!({ "model": args.model.model, "fits": wrong.is_none(), "outputs": rows, "cause": culprit.as_ref().map(cause) })));
    } else {
        let rows = comparisons.iter().map(|(seed, c)| vec![seed.to_string(), c.name.clone(), c.ty.clone(), format!("{:.2e}", c.off), format!("{:.0}", c.ulps), format!("{:.2e}", c.largest), if c.fits { "fits".to_owned() } else { "OFF".to_owned() }]);
        tell::print(&tell::table(&[">seed", "output", "type", ">difference", ">ulps", ">largest", ""], rows));
    }
    match (wrong, culprit) {
        (Some((c, _)), Some(culprit)) => {
            let what = format!("output '{}' is off by {:.2e} at {:?}, where the largest element is {:.2e}; {}", c.name, c.off, c.at, c.largest, cause(&culprit));
            let help = match culprit {
                Culprit::Rule(rule, _) => format!("compile with `--without-rule {}`, and please report it with the model", rule.name),
                _ => "compiled code and the reference interpreter differ; please report it with the model".to_owned(),
            };
            Err(one(Error::bug(what).help(help)))
        }
        _ => Ok(()),
    }
}

/// What is to blame, in words.
fn cause(culprit: &Culprit) -> String {
    match culprit {
        Culprit::Specialise => "binding shapes and folding constants made it".to_owned(),
        Culprit::Rule(rule, sources) => format!("the rewrite '{}' ({} => {}) made it, in {}", rule.name, rule.left, rule.right, tell::names(sources)),
        Culprit::Rewrite => "rewriting made it, without any rule".to_owned(),
        Culprit::Kernels => "a kernel made it: the graph is right after rewriting".to_owned(),
    }
}
