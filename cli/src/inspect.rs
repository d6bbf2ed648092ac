//! `frit inspect`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use frit::artifact::{self, Artifact};
use frit::{Error, Executable, Graph, Stage};
use frit_ir::executable::Step;
use frit_ir::{Kind, Op};
use serde_json::{Value, json};

use crate::args::Inspect;
use crate::model::{self, Files, Source};
use crate::tell;

/// What is shown of a model.
#[derive(Default)]
struct Facts {
    inputs: Vec<(String, String)>,
    outputs: Vec<(String, String)>,
    /// States, which are the last inputs and outputs.
    states: usize,
    ops: BTreeMap<String, usize>,
    nodes: usize,
    parameters: Option<u64>,
    parameter_bytes: u64,
}

impl Facts {
    fn of_graph(graph: &Graph) -> Self {
        let ends = |ends: &[(String, frit_ir::ValueId)]| ends.iter().map(|(name, v)| (name.clone(), graph.ty(*v).to_string())).collect();
        let mut facts = Facts { inputs: ends(graph.inputs()), outputs: ends(graph.outputs()), states: graph.states().len(), parameters: Some(0), ..Facts::default() };
        for (_, node) in graph.nodes() {
            if let Op::Constant(constant) = &node.op {
                let elems = if constant.value.dtype().is_float() { constant.value.elems() as u64 } else { 0 };
                facts.parameters = facts.parameters.map(|n| n + elems);
                facts.parameter_bytes += constant.value.bytes().len() as u64;
            } else {
                facts.nodes += 1;
                *facts.ops.entry(node.op.name().to_owned()).or_default() += 1;
            }
        }
        facts
    }

    fn of_executable(executable: &Executable) -> Self {
        let ends = |ports: &[frit_ir::executable::Port]| ports.iter().map(|port| (port.name.clone(), format!("{}{}", port.dtype, port.extents.as_ref().map_or_else(|| "[..]".to_owned(), |extents| frit::Shape::known(extents).to_string())))).collect();
        Facts { inputs: ends(&executable.inputs), outputs: ends(&executable.outputs), states: executable.states.len(), ..Facts::default() }
    }
}

/// Shows a model.
pub(crate) fn inspect(args: &Inspect) -> Result<(), Vec<Error>> {
    let files = Files::none();
    let source = model::open(&args.model, &files)?;
    let Source::Graph(graph) = &source else {
        if args.stage.is_some_and(|stage| stage != Stage::Run) || args.dot.is_some() || args.html.is_some() {
            return Err(vec![Error::invalid("an artifact holds no graph").help("give the model that it was compiled from, or see the artifact's plan with --stage run")]);
        }
        let executable = loaded(&args.model.model).map_err(|error| vec![error])?;
        if args.stage.is_some() {
            tell::print(&executable.to_string());
        } else {
            show(args, &Facts::of_executable(&executable), Ok(&executable));
        }
        return Ok(());
    };
    let options = model::options(&args.model, &files, &args.on.device, false)?;
    if let Some(path) = &args.html {
        let explanation = tell::busy("compiling", || frit_compiler::explain::explain(graph, &options))?;
        let page = crate::explain::page(&args.model.model.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()), &explanation);
        std::fs::write(path, page).map_err(|error| vec![Error::invalid(format!("can't write '{}': {error}", path.display()))])?;
        tell::line(&format!("wrote '{}'; open it in a browser", path.display()));
        return Ok(());
    }
    if let Some(path) = &args.dot {
        let shown = match args.stage {
            Some(Stage::Import) => None,
            _ => frit_compiler::pipeline::rewritten(graph, &options).ok().map(|(graph, _)| graph),
        };
        artifact::replace(path, |mut file| file.write_all(dot(shown.as_ref().unwrap_or(graph)).as_bytes())).map_err(|error| vec![error])?;
        tell::line(&format!("wrote '{}'; `dot -Tsvg` draws it", path.display()));
        return Ok(());
    }
    if let Some(stage) = args.stage {
        tell::print(&tell::busy("compiling", || frit::dump(graph, &options, stage))?);
        return Ok(());
    }
    let compiled = tell::busy("compiling", || frit::compile(graph, &options));
    if let Err(errors) = &compiled
        && errors.iter().any(|error| error.kind == Kind::Bug)
    {
        return Err(errors.clone());
    }
    show(args, &Facts::of_graph(graph), compiled.as_ref());
    Ok(())
}

/// What an artifact holds, which may be for another machine.
fn loaded(path: &Path) -> Result<Executable, Error> {
    let Artifact { executable, sums } = artifact::load(path)?;
    frit_runtime::check::check(&executable)?;
    sums.map_or(Ok(()), |sums| sums.verify())?;
    Ok(executable)
}

fn show(args: &Inspect, facts: &Facts, compiled: Result<&Executable, &Vec<Error>>) {
    let (inputs, states) = facts.inputs.split_at(facts.inputs.len() - facts.states);
    let (outputs, _) = facts.outputs.split_at(facts.outputs.len() - facts.states);
    if args.json {
        let ends = |ends: &[(String, String)]| ends.iter().map(|(name, ty)| json!({ "name": name, "type": ty })).collect::<Vec<_>>();
        let plan = compiled.map_or(Value::Null, |executable| {
            json!({
                "kernels": executable.kernels.len(), "arena_bytes": executable.arena_bytes, "constant_bytes": executable.constant_bytes(), "code_bytes": executable.code.len(),
                "target": executable.target.triple, "features": executable.target.features,
                "steps": executable.leaves().into_iter().map(step).map(|(placement, sources, why)| json!({ "placement": placement, "source_nodes": sources, "why": why })).collect::<Vec<_>>(),
            })
        });
        let report = json!({ "model": args.model.model, "inputs": ends(inputs), "outputs": ends(outputs), "states": ends(states), "nodes": facts.nodes, "ops": facts.ops, "parameters": facts.parameters, "parameter_bytes": facts.parameter_bytes, "compiled": plan });
        tell::print(&format!("{report:#}"));
        return;
    }
    let ends = |what: &'static str, ends: &[(String, String)]| ends.iter().map(|(name, ty)| vec![what.to_owned(), name.clone(), ty.clone()]).collect::<Vec<_>>();
    tell::print(&tell::table(&["", "name", "type"], ends("input", inputs).into_iter().chain(ends("output", outputs)).chain(ends("state", states))));
    let mut rows = Vec::new();
    if let Some(parameters) = facts.parameters {
        let mut census: Vec<(&String, &usize)> = facts.ops.iter().collect();
        census.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        rows.push(vec!["nodes".to_owned(), facts.nodes.to_string()]);
        rows.push(vec!["ops".to_owned(), census.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")]);
        rows.push(vec!["parameters".to_owned(), format!("{} ({})", tell::count(parameters), tell::bytes(facts.parameter_bytes))]);
    }
    match compiled {
        Ok(executable) => {
            let mut placements: BTreeMap<&str, usize> = BTreeMap::new();
            let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            for leaf in executable.leaves() {
                let (placement, sources, why) = step(leaf);
                *placements.entry(placement).or_default() += 1;
                if let Some(why) = why {
                    reasons.entry(why).or_default().extend(sources.iter().cloned());
                }
            }
            let target = if executable.code.is_empty() { "none needed".to_owned() } else { executable.target.to_string() };
            rows.push(vec!["kernels".to_owned(), format!("{} ({} of code)", executable.kernels.len(), tell::bytes(executable.code.len() as u64))]);
            rows.push(vec!["target".to_owned(), target]);
            rows.push(vec!["arena".to_owned(), tell::bytes(executable.arena_bytes)]);
            rows.push(vec!["constants".to_owned(), format!("{} ({})", executable.constants.len(), tell::bytes(executable.constant_bytes()))]);
            rows.push(vec!["steps".to_owned(), placements.iter().map(|(name, n)| format!("{n} {name}")).collect::<Vec<_>>().join(", ")]);
            for (why, sources) in reasons {
                rows.push(vec!["interpreted".to_owned(), format!("{}: {why}", tell::names(&sources))]);
            }
        }
        Err(errors) => rows.push(vec!["not compiled".to_owned(), errors.first().map(ToString::to_string).unwrap_or_default()]),
    }
    tell::print(&tell::table(&["fact", "value"], rows));
}

/// Where a step runs, what it stands for and why it has no kernel.
fn step(step: &Step) -> (&'static str, &[String], Option<&str>) {
    match step {
        Step::Launch { sources, .. } => ("compiled", sources, None),
        Step::Interpret { sources, why, .. } => ("interpreted", sources, Some(why)),
        Step::Copy { .. } => ("copied", &[], None),
        Step::If { .. } | Step::Loop { .. } => ("control", &[], None),
    }
}

/// A graph in Graphviz's language (<https://graphviz.org/doc/info/lang.html>). Constants of up to 16 elements are left out.
fn dot(graph: &Graph) -> String {
    let mut text = String::from("digraph {\n  node [shape=box, fontname=\"sans-serif\"]\n  edge [fontname=\"sans-serif\", fontsize=10]\n");
    // Writing to a string does not fail.
    let mut add = |line: String| {
        let _ = writeln!(text, "  {line}");
    };
    for (name, v) in graph.inputs() {
        add(format!("v{} [label={:?}, shape=ellipse]", v.0, name));
    }
    let small = |v: frit_ir::ValueId| graph.constant(v).is_some_and(|tensor| tensor.elems() <= 16);
    for (_, node) in graph.nodes() {
        let Some(first) = node.outputs.first().filter(|v| !small(**v)) else { continue };
        let name = node.origins.first().map(|origin| format!("\\n{}", origin.name.escape_default())).unwrap_or_default();
        add(format!("v{} [label=\"{}{}\"]", first.0, node.op.name(), name));
        for input in node.inputs.iter().filter(|v| !small(**v)) {
            add(format!("v{} -> v{} [label={:?}]", source(graph, *input), first.0, graph.ty(*input).to_string()));
        }
    }
    for (at, (name, v)) in graph.outputs().iter().enumerate() {
        add(format!("o{at} [label={name:?}, shape=ellipse]"));
        add(format!("v{} -> o{at} [label={:?}]", source(graph, *v), graph.ty(*v).to_string()));
    }
    text.push_str("}\n");
    text
}

/// The number of the box that a value comes out of.
fn source(graph: &Graph, v: frit_ir::ValueId) -> u32 {
    graph.producer(v).and_then(|node| node.outputs.first()).unwrap_or(&v).0
}
