//! `frit verify`: the compiled model against the reference interpreter.

use frit::verify::{Checked, Comparison, Culprit, compare, kernels, locate, part};
use frit::{Error, Tensor};
use serde_json::json;

use crate::args::Verify;
use crate::{model, tell};

/// Compares a model with the reference interpreter.
pub(crate) fn verify(args: &Verify) -> Result<(), Vec<Error>> {
    let one = |error| vec![error];
    let ready = model::ready(&args.model, &args.inputs, &args.on.device, args.threads, false, false)?;
    let Some(graph) = &ready.graph else {
        return Err(one(Error::invalid("an artifact has no graph to compare with").help("give the model that it was compiled from")));
    };
    let seeds = if ready.inputs.is_some() { 1 } else { args.seeds };
    let mut comparisons: Vec<(u64, Comparison)> = Vec::new();
    let mut wrong: Option<(Comparison, Vec<Tensor>)> = None;
    let mut checked: Vec<Checked> = Vec::new();
    for seed in 0..seeds {
        let inputs = model::inputs(&ready, seed)?;
        let got = ready.session.run(&inputs).map_err(one)?;
        let expected = tell::busy("interpreting", || frit_ir::eval::run(graph, &inputs.iter().collect::<Vec<_>>())).map_err(one)?;
        checked.extend(tell::busy("checking kernels", || kernels(graph, &ready.options, &inputs))?);
        let these = compare(graph, &got, &expected, part(ready.options.precision));
        if let (None, Some(off)) = (&wrong, these.iter().find(|comparison| !comparison.fits)) {
            wrong = Some((off.clone(), inputs));
        }
        comparisons.extend(these.into_iter().map(|comparison| (seed, comparison)));
    }
    let culprit = match &wrong {
        Some((_, inputs)) => Some(tell::busy("looking for the cause", || locate(graph, &ready.options, inputs))?),
        None => None,
    };
    let off: Vec<&Checked> = checked.iter().filter(|checked| !checked.comparison.fits).collect();
    if args.json {
        let kernels: Vec<_> = checked.iter().map(|k| json!({ "kernel": k.kernel, "source_nodes": k.sources, "rules": k.rules, "edge_values": k.edges, "difference": k.comparison.off, "ulps": k.comparison.ulps, "largest": k.comparison.largest, "fits": k.comparison.fits })).collect();
        let rows: Vec<_> = comparisons.iter().map(|(seed, c)| json!({ "seed": seed, "output": c.name, "type": c.ty, "difference": c.off, "ulps": c.ulps, "largest": c.largest, "largest_error": c.part(), "mean_error": c.mean, "fits": c.fits })).collect();
        tell::print(&format!("{:#}", json!({ "model": args.model.model, "fits": wrong.is_none() && off.is_empty(), "outputs": rows, "kernels": kernels, "cause": culprit.as_ref().map(cause) })));
    } else {
        let rows = comparisons.iter().map(|(seed, c)| vec![seed.to_string(), c.name.clone(), c.ty.clone(), format!("{:.2e}", c.off), format!("{:.0}", c.ulps), format!("{:.2e}", c.largest), format!("{:.1e}", c.part()), format!("{:.1e}", c.mean), if c.fits { "fits".to_owned() } else { "OFF".to_owned() }]);
        tell::print(&tell::table(&[">seed", "output", "type", ">difference", ">ulps", ">largest", ">error", ">mean error", ""], rows));
        let worst = checked.iter().filter(|k| !k.edges).max_by(|a, b| a.comparison.part().total_cmp(&b.comparison.part()));
        if let Some(worst) = worst {
            tell::print(&format!("{} launches compared by themselves, with ordinary and edge values; the worst with ordinary ones is\n{}, off by {:.1e} of the largest element", checked.len(), worst.kernel, worst.comparison.part()));
        }
        let rows = off.iter().take(8).map(|k| vec![k.kernel.clone(), tell::brief(&k.sources), if k.edges { "edges".to_owned() } else { String::new() }, format!("{:.1e}", k.comparison.off), format!("{:.0}", k.comparison.ulps), k.rules.join(", ")]);
        if !off.is_empty() {
            tell::print(&tell::table(&["kernel that is OFF", "source nodes", "", ">difference", ">ulps", "rules"], rows));
        }
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
        _ => match off.first() {
            Some(k) => Err(one(Error::bug(format!("kernel '{}' of {} is off by {:.2e} at {:?}{}", k.kernel, tell::names(&k.sources), k.comparison.off, k.comparison.at, if k.edges { ", with edge values" } else { "" })).help("compiled code and the reference interpreter differ; please report it with the model"))),
            None => Ok(()),
        },
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
