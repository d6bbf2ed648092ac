//! Damaged models: bytes of the samples are flipped, cut off, repeated and overwritten. Import must answer, with a
//! graph that is well formed or with errors; it must not panic or take long.

use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use frit_compiler::import::onnx;
use frit_compiler::specialise::Binding;
use frit_ir::verify::verify;
use frit_tests::draw::Random;
use frit_tests::golden::home;

/// Damaged variants of each sample.
const VARIANTS: u64 = 3000;

/// No import of these small files may take longer.
const LIMIT: Duration = Duration::from_secs(5);

/// Damages bytes in one to four places.
fn damage(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..=random.below(4) {
        if damaged.is_empty() {
            break;
        }
        let at = random.below(damaged.len() as u64) as usize;
        match random.below(6) {
            0 => damaged[at] ^= 1 << random.below(8),
            1 => damaged[at] = random.bits() as u8,
            2 => damaged.truncate(at),
            3 => drop(damaged.remove(at)),
            4 => damaged.insert(at, [0, 1, 0x7f, 0x80, 0xff][random.below(5) as usize]),
            _ => {
                let end = (at + 1 + random.below(16) as usize).min(damaged.len());
                let copy = damaged[at..end].to_vec();
                damaged.splice(at..at, copy);
            }
        }
    }
    damaged
}

fn import(bytes: Vec<u8>, folder: &Path) -> Result<(), String> {
    let start = Instant::now();
    let done = catch_unwind(|| onnx::import(Bytes::from(bytes), None, Some(folder), &Binding::default())).map_err(|_| "import panicked".to_owned())?;
    if start.elapsed() > LIMIT {
        return Err(format!("import took {:?}", start.elapsed()));
    }
    match done {
        Ok(graph) => verify(&graph).map_err(|errors| format!("import made a graph that is not well formed: {}", errors[0])),
        Err(errors) if errors.is_empty() => Err("import failed without a reason".into()),
        Err(errors) => match errors.iter().find(|error| error.is_bug()) {
            Some(bug) => Err(format!("import blames itself: {bug}")),
            None => Ok(()),
        },
    }
}

/// Damaged variants of each model of a framework.
const FRAMEWORK_VARIANTS: u64 = 150;

/// Damages models of a framework's own format. They are read from files.
fn damaged_files_of(format: &str, named: fn(&str) -> bool) {
    let folder = home().join("frameworks").join(format);
    let mut models: Vec<_> = std::fs::read_dir(&folder).expect("models").filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(named)).collect();
    models.sort();
    assert!(!models.is_empty());
    let place = std::env::temp_dir().join(format!("frit-damaged-{format}-{}", std::process::id()));
    let mut failures = Vec::new();
    for (k, model) in models.iter().enumerate() {
        let bytes = std::fs::read(model).expect("a model");
        for variant in 0..FRAMEWORK_VARIANTS {
            let seed = (k as u64) << 32 | variant;
            std::fs::write(&place, damage(&bytes, &mut Random::new(seed))).expect("a file can be written");
            let start = Instant::now();
            let done = catch_unwind(|| frit_compiler::import::load(&place, &Binding::default(), None));
            let why = match done {
                _ if start.elapsed() > LIMIT => Some(format!("import took {:?}", start.elapsed())),
                Err(_) => Some("import panicked".to_owned()),
                Ok(Ok(graph)) => verify(&graph).err().map(|errors| format!("import made a graph that is not well formed: {}", errors[0])),
                Ok(Err(errors)) if errors.is_empty() => Some("import failed without a reason".to_owned()),
                Ok(Err(errors)) => errors.iter().find(|error| error.is_bug()).map(|bug| format!("import blames itself: {bug}")),
            };
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
fn damaged_models_are_answered() {
    let folder = home().join("samples/onnx");
    let mut samples: Vec<_> = std::fs::read_dir(&folder).expect("samples").filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|extension| extension == "onnx")).collect();
    samples.sort();
    assert!(!samples.is_empty());
    let mut failures = Vec::new();
    for (k, sample) in samples.iter().enumerate() {
        let bytes = std::fs::read(sample).expect("a sample");
        for variant in 0..VARIANTS {
            let seed = (k as u64) << 32 | variant;
            let damaged = damage(&bytes, &mut Random::new(seed));
            if let Err(why) = import(damaged, &folder) {
                failures.push(format!("{} with seed {seed}: {why}", sample.file_name().unwrap_or_default().display()));
            }
        }
    }
    assert!(failures.is_empty(), "{} damaged models:\n{}", failures.len(), failures.join("\n"));
}
