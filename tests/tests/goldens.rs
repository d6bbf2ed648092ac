//! What each stage makes of small models, as text: `golden/<n>-<stage>/*.txt`.
//!
//! Header lines: `model FILE` (below the tests' folder; a graph's text or anything that can be imported), `dim NAME=N`,
//! `device cuda`.
//! A stage's result is also executed and compared with the imported graph, so that blessing can't hide a wrong one.

use std::collections::BTreeMap;

use frit_compiler::import;
use frit_compiler::lower::target;
use frit_compiler::pipeline::{rewritten, Options, Stage, compile, dump};
use frit_compiler::specialise::{Binding, specialise};
use frit_ir::ops::{Domain, Tolerance};
use frit_ir::vector::Target;
use frit_ir::verify::verify;
use frit_ir::{Error, Graph, Tensor, text};
use frit_tests::compare::difference;
use frit_tests::draw;
use frit_tests::golden::{Golden, cases, home, report};

/// A case's model and open dimensions.
struct Setup {
    graph: Graph,
    binding: Binding,
    target: Target,
}

fn words(errors: &[Error]) -> String {
    errors.iter().map(Error::to_string).collect::<Vec<_>>().join("\n")
}

fn setup(golden: &Golden) -> Result<Setup, String> {
    let mut model = None;
    let mut dims = BTreeMap::new();
    let mut on = target();
    for (word, rest) in &golden.header {
        match (word.as_str(), rest.split_once('=')) {
            ("model", _) if model.is_none() => model = Some(home().join(rest)),
            ("device", _) if rest == "cuda" => on = target::cuda(),
            ("dim", Some((name, extent))) => {
                dims.insert(name.to_owned(), extent.parse().map_err(|_| format!("'{extent}' is not an extent"))?);
            }
            _ => return Err(format!("unknown or repeated directive '{word} {rest}'")),
        }
    }
    let model = model.ok_or("no directive 'model'")?;
    let graph = if model.extension().is_some_and(|extension| extension == "txt") {
        let source = std::fs::read_to_string(&model).map_err(|error| format!("{}: {error}", model.display()))?;
        text::parse(&source).map_err(|error| error.to_string())?
    } else {
        import::load(&model, &Binding::default(), None).map_err(|errors| words(&errors))?
    };
    Ok(Setup { graph, binding: Binding { dims, ..Binding::default() }, target: on })
}

/// The target of dumps, so that they are the same on every machine.
fn target() -> Target {
    let target = target::named("x86-64-v3").unwrap_or_else(|error| panic!("{error}"));
    Target { triple: "x86_64-unknown-linux-gnu".into(), ..target }
}

/// Runs every case of a stage.
fn run(stage: Stage) {
    let number = Stage::ALL.iter().position(|known| *known == stage).map_or(0, |at| at + 1);
    let mut failures = Vec::new();
    for golden in cases(&format!("{number}-{stage}")).unwrap_or_else(|error| panic!("{error}")) {
        let done = setup(&golden).and_then(|setup| {
            executes_alike(&setup, stage)?;
            let options = Options { binding: setup.binding, machine: target::machine(&setup.target), target: setup.target, ..Options::default() };
            golden.check(&dump(&setup.graph, &options, stage).map_err(|errors| words(&errors))?)
        });
        if let Err(why) = done {
            failures.push(format!("{}: {why}", golden.path.strip_prefix(home()).unwrap_or(&golden.path).display()));
        }
    }
    report(&failures);
}

/// What a stage's result makes of inputs. Schedules and code are made for this machine.
fn execute(setup: &Setup, stage: Stage, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let specialised = || specialise(&setup.graph, &setup.binding).map_err(|errors| words(&errors));
    let graph = match stage {
        Stage::Import => setup.graph.clone(),
        Stage::Specialise => specialised()?,
        Stage::Rewrite => rewritten(&setup.graph, &Options { binding: setup.binding.clone(), ..Options::default() }).map_err(|errors| words(&errors))?.0,
        Stage::Schedule | Stage::Lower | Stage::Run => {
            let options = Options { binding: setup.binding.clone(), ..Options::default() };
            let executable = compile(&setup.graph, &options).map_err(|errors| words(&errors))?;
            return frit::Session::new(executable, &Default::default()).and_then(|session| session.run(inputs)).map_err(|error| error.to_string());
        }
    };
    verify(&graph).map_err(|errors| words(&errors))?;
    frit_ir::eval::run(&graph, &inputs.iter().collect::<Vec<_>>()).map_err(|error| error.to_string())
}

/// Runs the imported graph and a stage's result on the same drawn inputs.
fn executes_alike(setup: &Setup, stage: Stage) -> Result<(), String> {
    let inputs = setup
        .graph
        .inputs()
        .iter()
        .enumerate()
        .map(|(at, (name, value))| {
            let ty = setup.graph.ty(*value);
            let extents = ty.shape.bind(&setup.binding.dims).extents().ok_or_else(|| format!("input '{name}' is {ty}: give its open dimensions by 'dim NAME=N'"))?;
            let domain = if ty.dtype.is_float() { Domain::Ordinary } else { Domain::Between(0.0, 3.0) };
            draw::tensor(ty.dtype, &extents, domain, at as u64).map_err(|error| error.to_string())
        })
        .collect::<Result<Vec<Tensor>, String>>()?;
    let before = execute(setup, Stage::Import, &inputs).map_err(|error| format!("the imported graph fails: {error}"))?;
    let after = execute(setup, stage, &inputs).map_err(|error| format!("the result fails: {error}"))?;
    for ((name, _), (before, after)) in setup.graph.outputs().iter().zip(before.iter().zip(&after)) {
        if let Some(why) = difference(after, before, Tolerance::sum(before.dtype(), 16.0)) {
            return Err(format!("output '{name}' is no longer the same: {why}"));
        }
    }
    Ok(())
}

#[test]
fn import_stage() {
    run(Stage::Import);
}

#[test]
fn specialise_stage() {
    run(Stage::Specialise);
}

#[test]
fn rewrite_stage() {
    run(Stage::Rewrite);
}

#[test]
fn schedule_stage() {
    run(Stage::Schedule);
}

#[test]
fn lower_stage() {
    run(Stage::Lower);
}

#[test]
fn run_stage() {
    run(Stage::Run);
}
