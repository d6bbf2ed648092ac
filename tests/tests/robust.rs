//! Damaged models: import must answer, with a graph that is well formed or with errors. TensorFlow's, which are folders, are in
//! `tensorflow.rs`.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use frit_compiler::import::{self, onnx};
use frit_compiler::specialise::Binding;
use frit_tests::damage::{complaint, damage};
use frit_tests::draw::Random;
use frit_tests::golden::home;

/// Damaged variants of each sample.
const VARIANTS: u64 = 3000;

/// Damaged variants of each model of a framework.
const FRAMEWORK_VARIANTS: u64 = 150;

/// The files of a folder whose names are so, sorted.
fn files_of(folder: &Path, named: fn(&str) -> bool) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<_> = files.filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(named)).collect();
    files.sort();
    assert!(!files.is_empty(), "'{}' holds none", folder.display());
    files
}

/// Damages models of a framework's own format. They are read from files.
fn damaged_files_of(format: &str, named: fn(&str) -> bool) {
    let place = std::env::temp_dir().join(format!("frit-damaged-{format}-{}", std::process::id()));
    let mut failures = Vec::new();
    for (k, model) in files_of(&home().join("frameworks").join(format), named).iter().enumerate() {
        let bytes = std::fs::read(model).expect("a model");
        for variant in 0..FRAMEWORK_VARIANTS {
            let seed = (k as u64) << 32 | variant;
            std::fs::write(&place, damage(&bytes, &mut Random::new(seed))).expect("a file can be written");
            let why = complaint(|| import::load(&place, &Binding::default(), None));
            failures.extend(why.map(|why| format!("{} with seed {seed}: {why}", model.display())));
        }
    }
    let _ = std::fs::remove_file(&place);
    assert!(failures.is_empty(), "{} damaged models:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn damaged_keras_models_are_answered() {
    damaged_files_of("keras", |name| name.starts_with("sample_") && !name.ends_with(".npz"));
}

#[test]
fn damaged_tflite_models_are_answered() {
    damaged_files_of("tflite", |name| name.ends_with(".tflite"));
}

#[test]
fn damaged_programs_of_pytorch_are_answered() {
    damaged_files_of("pytorch", |name| name.ends_with(".pt2"));
    damaged_files_of("torchscript", |name| name.ends_with(".pt") || name.ends_with(".ts"));
}

#[test]
fn damaged_models_are_answered() {
    let folder = home().join("samples/onnx");
    let mut failures = Vec::new();
    for (k, sample) in files_of(&folder, |name| name.ends_with(".onnx")).iter().enumerate() {
        let bytes = std::fs::read(sample).expect("a sample");
        for variant in 0..VARIANTS {
            let seed = (k as u64) << 32 | variant;
            let damaged = damage(&bytes, &mut Random::new(seed));
            let why = complaint(|| onnx::import(Bytes::from(damaged), None, Some(&folder), &Binding::default()));
            failures.extend(why.map(|why| format!("{} with seed {seed}: {why}", sample.display())));
        }
    }
    assert!(failures.is_empty(), "{} damaged models:\n{}", failures.len(), failures.join("\n"));
}
