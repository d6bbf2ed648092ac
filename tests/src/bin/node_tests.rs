//! Runs ONNX's node tests: `node_tests FOLDER eval|cpu [TEXT]` runs those whose name holds TEXT in the reference interpreter
//! or compiled.
#![allow(clippy::print_stdout, reason = "a command")]

use std::path::Path;

use frit_compiler::pipeline::{Options, compile};
use frit_compiler::specialise::Binding;
use frit_ir::executable::Step;
use frit_ir::{Graph, Tensor};
use frit_runtime::Session;
use frit_tests::compare::difference;
use frit_tests::node_cases::{Case, TOLERANCE, cases};

/// The number of steps that the interpreter runs.
fn interpreted(steps: &[Step]) -> usize {
    steps
        .iter()
        .map(|step| match step {
            Step::Interpret { .. } => 1,
            Step::If { then_steps, else_steps, .. } => interpreted(then_steps) + interpreted(else_steps),
            Step::Loop { body, .. } => interpreted(body),
            Step::Launch { .. } | Step::Copy { .. } => 0,
        })
        .sum()
}

fn compiled(graph: &Graph, inputs: &[Tensor]) -> Result<(Vec<Tensor>, usize), String> {
    let shapes = graph.inputs().iter().zip(inputs).map(|((name, _), tensor)| (name.clone(), tensor.extents().to_vec())).collect();
    let options = Options { binding: Binding { dims: Default::default(), shapes }, ..Options::default() };
    let executable = compile(graph, &options).map_err(|errors| errors[0].to_string())?;
    let fallbacks = interpreted(&executable.steps);
    let session = Session::new(executable, &Default::default()).map_err(|error| error.to_string())?;
    Ok((session.run(inputs).map_err(|error| error.to_string())?, fallbacks))
}

fn run(case: &Case, device: &str) -> Result<usize, String> {
    let mut fallbacks = 0;
    let graph = frit_compiler::import::load(&case.folder.join("model.onnx"), &Binding::default()).map_err(|errors| errors[0].to_string())?;
    for (inputs, outputs) in case.data_sets().map_err(|error| error.to_string())? {
        let results = if device == "cpu" {
            let (results, count) = compiled(&graph, &inputs)?;
            fallbacks = count;
            results
        } else {
            frit_ir::eval::run(&graph, &inputs.iter().collect::<Vec<_>>()).map_err(|error| error.to_string())?
        };
        if results.len() != outputs.len() {
            return Err(format!("{} outputs instead of {}", results.len(), outputs.len()));
        }
        for (got, expected) in results.iter().zip(&outputs) {
            if let Some(why) = difference(got, expected, TOLERANCE) {
                return Err(why);
            }
        }
    }
    Ok(fallbacks)
}

fn main() {
    let mut args = std::env::args().skip(1);
    let root = args.next().unwrap_or_default();
    let device = args.next().unwrap_or_default();
    let text = args.next().unwrap_or_default();
    let (mut passed, mut fallen, mut failed) = (0, 0, 0);
    for case in cases(Path::new(&root)).expect("a folder of cases").iter().filter(|case| case.name.contains(&text)) {
        let done = std::panic::catch_unwind(|| run(case, &device)).unwrap_or_else(|_| Err("PANIC".to_owned()));
        match done {
            Ok(0) => passed += 1,
            Ok(_) => fallen += 1,
            Err(why) => {
                failed += 1;
                println!("{}: {}", case.name, why.replace('\n', " "));
            }
        }
    }
    println!("compiled {passed}, interpreted in part {fallen}, failed {failed}");
}
