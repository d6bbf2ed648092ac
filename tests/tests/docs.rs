//! Generated documents are what they would be if they were generated now. `BLESS=1` writes them.

use std::fmt::Write;

use frit_compiler::rewrite::{Class, FUNCTIONS, tables};
use frit_tests::golden::{blessing, home};

#[test]
fn the_list_of_onnx_ops_is_fresh() {
    let mut text = "# ONNX ops that Frit imports\n\nOpsets 7 to 28 of ai.onnx. Written by `BLESS=1 cargo test --release -p frit-tests --test docs`.\n".to_owned();
    for (domain, names) in frit_compiler::import::onnx::supported() {
        writeln!(text, "\n## {domain}: {} ops\n", names.len()).expect("text takes text");
        for line in names.chunks(8) {
            writeln!(text, "{}", line.join(", ")).expect("text takes text");
        }
    }
    compare("onnx.md", &text);
}

#[test]
fn the_list_of_pytorch_ops_is_fresh() {
    let names = frit_compiler::import::pytorch::supported();
    let mut text = format!(
        "# PyTorch operators that Frit imports\n\n{} operators of ATen and of torchvision, with all their overloads unless one is named, from exported programs (undecomposed and \
         decomposed) and TorchScript. Those that write to a tensor (`add_`, `copy_`) are the same with an underscore. Beside them: `cond`, `while_loop`, `scan` and `map`; arithmetic on \
         sizes. Written by `BLESS=1 cargo test --release -p frit-tests --test docs`.\n\n",
        names.len()
    );
    for line in names.chunks(8) {
        writeln!(text, "{}", line.join(", ")).expect("text takes text");
    }
    compare("pytorch.md", &text);
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
