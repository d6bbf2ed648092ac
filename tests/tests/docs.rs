//! Generated documents are what they would be if they were generated now. `BLESS=1` writes them.

use std::fmt::Write;

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
    let path = home().join("../docs/onnx.md");
    if blessing() {
        std::fs::create_dir_all(path.with_file_name("")).and_then(|()| std::fs::write(&path, &text)).expect("the document can be written");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "docs/onnx.md is stale");
}
