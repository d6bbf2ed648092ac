//! Models in TensorFlow's, Keras's and PyTorch's own formats (`frameworks/FORMAT/`, made by the script `make.py` there) give what the framework
//! gives on drawn inputs.
//!
//! Beside each model, a file or a folder, lies `NAME.npz`: its inputs as `in:NAME`, in order, and what the framework makes of them as `out:NAME`.
//! `NAME@SIGNATURE.npz` is for another signature than the model's own choice. `dim:NAME` binds a number or an open dimension; of models that keep
//! something between runs, `in2:NAME` and `out2:NAME` are those of the second run, and so on.

use std::path::{Path, PathBuf};

use frit::{Options, RunOptions, Session, Threads};
use frit_compiler::specialise::Binding;
use frit_ir::ops::Tolerance;
use frit_ir::{DType, Tensor};
use frit_tests::compare::difference;
use frit_tests::golden::home;
use frit_tests::npz;

/// Floats may be off by what the order of sums makes of them; bytes and shorts are quantised, and may be off by a quantum.
fn tolerance(dtype: DType) -> Tolerance {
    match dtype {
        DType::F32 | DType::F64 => Tolerance { absolute: 1e-4, relative: 1e-3 },
        DType::F16 | DType::BF16 => Tolerance { absolute: 1e-2, relative: 1e-2 },
        _ => Tolerance::EXACT,
    }
}

fn differs(got: &Tensor, expected: &Tensor) -> Option<String> {
    if got.ty() == expected.ty() && matches!(got.dtype(), DType::I8 | DType::U8 | DType::I16) {
        let far = got.scalars().zip(expected.scalars()).position(|(a, b)| (a.as_int() - b.as_int()).abs() > 1);
        return far.map(|at| format!("element {at} is more than a quantum off"));
    }
    difference(got, expected, tolerance(expected.dtype()))
}

/// What is wrong with a model, if anything is.
fn complaint(model: &Path, signature: Option<&str>, oracle: &Path) -> Result<(), String> {
    let tensors = npz::read(oracle)?;
    let part = |prefix: &str| -> Vec<(String, Tensor)> { tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))).collect() };
    let (inputs, outputs) = (part("in:"), part("out:"));
    if outputs.is_empty() {
        return Err("the oracle holds no outputs".to_owned());
    }
    let shapes = inputs.iter().map(|(name, tensor)| (name.clone(), tensor.extents().to_vec())).collect();
    let options = Options { binding: Binding { shapes, ..Binding::default() }, signature: signature.map(str::to_owned), strict: false, ..Options::default() };
    let words = |errors: Vec<frit::Error>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let session: Session = frit::load(model, &options, &RunOptions { threads: Threads::all().map_err(|error| error.to_string())? }).map_err(words)?;
    let results = session.run_named(inputs).map_err(|error| error.to_string())?;
    let names: Vec<&str> = results.iter().map(|(name, _)| name.as_str()).collect();
    for (name, expected) in &outputs {
        let (_, got) = results.iter().find(|(known, _)| known == name).ok_or_else(|| format!("there is no output '{name}', but {names:?}"))?;
        if let Some(why) = differs(got, expected) {
            return Err(format!("output '{name}': {why}"));
        }
    }
    Ok(())
}

/// Checks all models of a folder.
fn check(folder: &str) {
    let folder = home().join("frameworks").join(folder);
    let mut oracles: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|extension| extension == "npz")).collect();
    oracles.sort();
    assert!(!oracles.is_empty(), "{} holds no oracles", folder.display());
    let mut complaints = Vec::new();
    for oracle in &oracles {
        let stem = oracle.file_stem().unwrap().to_string_lossy().into_owned();
        let (name, signature) = stem.split_once('@').map_or((stem.as_str(), None), |(name, signature)| (name, Some(signature)));
        if let Err(why) = complaint(&folder.join(name), signature, oracle) {
            complaints.push(format!("{stem}: {why}"));
        }
    }
    assert!(complaints.is_empty(), "{} of {} models:\n{}", complaints.len(), oracles.len(), complaints.join("\n"));
}

#[test]
fn pytorch() {
    check("pytorch");
}
