//! Generated documents are what they would be if they were generated now. `BLESS=1` writes them.

use std::fmt::Write;

use frit_compiler::import::{self, Family, Known};
use frit_compiler::rewrite::{Class, FUNCTIONS, tables};
use frit_tests::golden::{blessing, home};

/// The document of a format's ops, after what it says of the format.
fn listed(file: &str, intro: &str, known: Known) {
    let mut text = format!("{intro} Written by `BLESS=1 cargo test --release -p frit-tests --test docs`.\n");
    for Family { kind, own, expanded } in known.families {
        for (how, names) in [("supported, one op here or none", own), ("expanded, made of several", expanded)] {
            if names.is_empty() {
                continue;
            }
            write!(text, "\n## {kind}: {how}: {}\n\n", names.len()).expect("text takes text");
            for line in names.chunks(8) {
                writeln!(text, "{}", line.join(", ")).expect("text takes text");
            }
        }
    }
    text += "\n## Not supported\n\nAll others, among them (`*` stands for the rest of a name):\n\n| what | name | why | instead |\n|---|---|---|---|\n";
    for (what, (name, why, instead)) in known.refused {
        writeln!(text, "| {what} | `{name}` | {why} | {instead} |").expect("text takes text");
    }
    compare(file, &text);
}

#[test]
fn the_list_of_onnx_ops_is_fresh() {
    listed("onnx.md", "# ONNX ops that Frit imports\n\nOpsets 7 to 28 of ai.onnx.", import::onnx::known());
}

#[test]
fn the_list_of_pytorch_ops_is_fresh() {
    let intro = "# PyTorch operators that Frit imports\n\nOperators of ATen and of torchvision, with all their overloads unless one is named, from exported programs (undecomposed and \
         decomposed) and TorchScript. Those that write to a tensor (`add_`, `copy_`) are the same with an underscore. Beside them: `cond`, `while_loop`, `scan` and `map`; arithmetic on \
         sizes. Tensors of complex numbers are computed with, but can't be inputs or outputs.";
    listed("pytorch.md", intro, import::pytorch::known());
}

#[test]
fn the_list_of_tensorflow_ops_is_fresh() {
    let intro = "# TensorFlow ops that Frit imports\n\nFrom SavedModels, GraphDefs, checkpoints with their meta graphs, and graph models of TensorFlow.js.\n\n\
        A model with signatures has their names for inputs and outputs; `--signature` picks one, else it is `serving_default` or the only one. A graph \
        without signatures has its placeholders as inputs (those with a constant as their default keep it) and as outputs what nobody uses. \
        Variables that a run assigns are states: in a stream the next run begins with what the last one left. Functions are inlined; `While`, `If`, \
        `Case` and the control flow of version 1 become loops and branches, lists of tensors in loops what these scan, collect or carry.";
    listed("tensorflow.md", intro, import::tensorflow::known());
}

#[test]
fn the_list_of_tflite_ops_is_fresh() {
    let intro = "# TensorFlow Lite ops that Frit imports\n\nFloats, weights of 16 and 8 bits, full quantisation to 8 bits and to 16 with weights of 8; sparse constants. A model with \
         signatures has their names for inputs and outputs; `--signature` picks one, else it is `serving_default` or that of the first subgraph. Variables, and states of recurrent ops, \
         live from call to call. Operands and results that are quantised are converted beside what is said here.";
    listed("tflite.md", intro, import::tflite::known());
}

#[test]
fn the_list_of_keras_layers_is_fresh() {
    let intro = "# What Frit imports of Keras\n\n`.keras` archives of Keras 3 and of Keras 2.12 and newer, and HDF5 files of Keras 2 and 3. Sequential and Functional models, within each other too. \
        Layers that draw numbers do in a run what Keras does outside of training; layers with state begin each run with zeros. Custom layers are not supported: their code is not in the file.";
    listed("keras.md", intro, import::keras::known());
}

#[test]
fn the_list_of_rules_is_fresh() {
    let mut text = "# Rules\n\nEvery rewrite that Frit knows, as `compiler/src/rewrite/rules/` has it. The language of left and right sides is that of \
        `compiler/src/rewrite/pattern.rs`. Written by `BLESS=1 cargo test --release -p frit-tests --test docs`.\n"
        .to_owned();
    for class in [Class::Exact, Class::Reassociating, Class::Blocked, Class::Finite] {
        write!(text, "\n- **{}**: {}", class.name(), class.promise()).expect("text takes text");
    }
    text.push('\n');
    for (table, rules) in tables() {
        write!(text, "\n## {table}\n").expect("text takes text");
        for rule in *rules {
            let when = if rule.when.is_empty() { String::new() } else { format!("if  {}\n", rule.when) };
            write!(text, "\n**{}** ({}). {}\n\n```text\n    {}\n=>  {}\n{when}```\n", rule.name, rule.class.name(), rule.why, rule.left, rule.right).expect("text takes text");
        }
    }
    text += "\n## Functions\n\nWhat conditions and attributes are computed with. A rule fires only where each result is known.\n\n";
    for function in FUNCTIONS {
        writeln!(text, "- `{}`: {}", function.name, function.about).expect("text takes text");
    }
    compare("rules.md", &text);
}

fn compare(name: &str, text: &str) {
    let path = home().join("../docs").join(name);
    if blessing() {
        std::fs::create_dir_all(path.with_file_name("")).and_then(|()| std::fs::write(&path, text)).expect("the document can be written");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "docs/{name} is stale");
}
