//! Runs ONNX's node tests in the reference interpreter: `node_tests FOLDER [TEXT]` runs those whose name holds TEXT.
#![allow(clippy::print_stdout, reason = "a command")]

use std::path::Path;

use frit_tests::node_cases::{Case, cases, difference};

fn run(case: &Case) -> Result<(), String> {
    let graph = frit_compiler::import::load(&case.folder.join("model.onnx")).map_err(|errors| errors[0].to_string())?;
    for (inputs, outputs) in case.data_sets().map_err(|error| error.to_string())? {
        let results = frit_ir::eval::run(&graph, &inputs.iter().collect::<Vec<_>>()).map_err(|error| error.to_string())?;
        if results.len() != outputs.len() {
            return Err(format!("{} outputs instead of {}", results.len(), outputs.len()));
        }
        for (got, expected) in results.iter().zip(&outputs) {
            if let Some(why) = difference(got, expected) {
                return Err(why);
            }
        }
    }
    Ok(())
}

fn main() {
    let mut args = std::env::args().skip(1);
    let root = args.next().unwrap_or_default();
    let text = args.next().unwrap_or_default();
    let (mut passed, mut failed) = (0, 0);
    for case in cases(Path::new(&root)).expect("a folder of cases").iter().filter(|case| case.name.contains(&text)) {
        let done = std::panic::catch_unwind(|| run(case)).unwrap_or_else(|_| Err("PANIC".to_owned()));
        match done {
            Ok(()) => passed += 1,
            Err(why) => {
                failed += 1;
                println!("{}: {}", case.name, why.replace('\n', " "));
            }
        }
    }
    println!("{passed} passed, {failed} failed");
}
