//! Damaged models, and what fuzzing found: import must answer, with a graph that is well formed or with errors. TensorFlow's damaged models,
//! which are folders, are in `tensorflow.rs`.

#[allow(unreachable_pub, reason = "the fuzz targets' crate gives it to its targets")]
#[path = "../../fuzz/src/saved.rs"]
mod saved;

use std::io::Read;
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

/// What fuzzing keeps (`fuzz/run.sh`): inputs that reach code that the samples do not.
#[test]
fn inputs_of_fuzzing_are_answered() {
    let place = std::env::temp_dir().join(format!("frit-fuzzed-{}", std::process::id()));
    std::fs::create_dir_all(&place).expect("a folder can be made");
    let mut failures = Vec::new();
    for corpus in files_of(&home().join("../fuzz/corpus"), |name| name.ends_with(".zip")) {
        let mut inputs = zip::ZipArchive::new(std::fs::File::open(&corpus).expect("the corpus")).expect("an archive");
        assert!(inputs.len() > 100, "'{}' holds {} inputs", corpus.display(), inputs.len());
        for at in 0..inputs.len() {
            let mut input = inputs.by_index(at).expect("an input");
            let mut bytes = Vec::new();
            input.read_to_end(&mut bytes).expect("its bytes");
            let model = match saved::parts(&bytes) {
                Some((model, index)) => {
                    saved::write(&place.join("saved"), model, index).expect("files can be written");
                    place.join("saved")
                }
                None => {
                    std::fs::write(place.join("model"), &bytes).expect("a file can be written");
                    place.join("model")
                }
            };
            let why = complaint(|| import::load(&model, &Binding::default(), None));
            failures.extend(why.map(|why| format!("input {at} of {}: {why}", corpus.display())));
        }
    }
    let _ = std::fs::remove_dir_all(&place);
    assert!(failures.is_empty(), "{} inputs:\n{}", failures.len(), failures.join("\n"));
}
