//! Models in TensorFlow's, Keras's and PyTorch's own formats (`frameworks/FORMAT/`, made by the script `make.py` there) give what the framework
//! gives on drawn inputs.
//!
//! Beside each model, a file or a folder, lies `NAME.npz`: its inputs as `in:NAME`, in order, and what the framework makes of them as `out:NAME`.
//! `NAME@SIGNATURE.npz` is for another signature than the model's own choice. Of large outputs every 61st element is kept, as `some:NAME`.
//! Numbers that a model is compiled for are `dim:NAME`. Of models that keep something between runs, `in2:NAME` and `out2:NAME` are those of the
//! second run, and so on.
//! Where the framework's own kernels are further apart than results may be, by how much is `spread:NAME`.
//!
//! `frameworks/public/` has those of the models that `fetch.py` brings; `/` is `__` in their names.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use frit::{Options, RunOptions, Session, Threads};
use frit_compiler::specialise::Binding;
use frit_ir::ops::{Domain, Tolerance};
use frit_ir::{DType, Tensor};
use frit_tests::compare::difference;
use frit_tests::golden::home;
use frit_tests::{data, draw, npz};

/// Floats may be off by what the order of sums makes of them; bytes and shorts are quantised, and may be off by a quantum.
fn tolerance(dtype: DType) -> Tolerance {
    match dtype {
        DType::F32 | DType::F64 => Tolerance { absolute: 1e-4, relative: 1e-3 },
        DType::F16 | DType::BF16 => Tolerance { absolute: 1e-2, relative: 1e-2 },
        _ => Tolerance::EXACT,
    }
}

fn differs(got: &Tensor, expected: &Tensor, spread: f64) -> Option<String> {
    if got.ty() == expected.ty() && matches!(got.dtype(), DType::I8 | DType::U8 | DType::I16) {
        let far = got.scalars().zip(expected.scalars()).position(|(a, b)| (a.as_int() - b.as_int()).abs() > 1);
        return far.map(|at| format!("element {at} is more than a quantum off"));
    }
    // NumPy has no bf16; such results are kept as f32.
    if got.dtype() == DType::BF16 && expected.dtype() == DType::F32 {
        let wide = Tensor::from_scalars(DType::F32, got.extents(), got.scalars()).ok()?;
        return difference(&wide, expected, tolerance(DType::BF16));
    }
    let tolerance = tolerance(expected.dtype());
    difference(got, expected, Tolerance { absolute: tolerance.absolute + spread, ..tolerance })
}

/// The distance of the elements that are kept of large outputs.
const STEP: usize = 61;

/// What is wrong with a model, if anything is.
fn complaint(model: &Path, signature: Option<&str>, oracle: &Path) -> Result<(), String> {
    let tensors = npz::read(oracle)?;
    let part = |prefix: &str| -> Vec<(String, Tensor)> { tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))).collect() };
    let (inputs, outputs, samples) = (part("in:"), part("out:"), part("some:"));
    if outputs.is_empty() && samples.is_empty() {
        return Err("the oracle holds no outputs".to_owned());
    }
    let dims = part("dim:").iter().map(|(name, tensor)| (name.clone(), tensor.get(0).as_int() as i64)).collect();
    let dtypes = inputs.iter().map(|(name, tensor)| (name.clone(), tensor.dtype())).collect();
    let shapes = inputs.iter().map(|(name, tensor)| (name.clone(), tensor.extents().to_vec())).collect();
    let options = Options { binding: Binding { dims, shapes, dtypes }, signature: signature.map(str::to_owned), strict: false, ..Options::default() };
    let words = |errors: Vec<frit::Error>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let session: Session = frit::load(model, &options, &RunOptions { threads: Threads::all().map_err(|error| error.to_string())? }).map_err(words)?;
    later(&session, &tensors)?;
    let results = session.run_named(inputs).map_err(|error| error.to_string())?;
    let names: Vec<&str> = results.iter().map(|(name, _)| name.as_str()).collect();
    for (name, expected) in outputs.iter().chain(&samples) {
        let (_, got) = results.iter().find(|(known, _)| known == name).ok_or_else(|| format!("there is no output '{name}', but {names:?}"))?;
        let sampled = samples.iter().any(|(known, _)| known == name);
        let got = if sampled { Tensor::from_scalars(got.dtype(), expected.extents(), got.scalars().step_by(STEP)).map_err(|error| error.message)? } else { got.clone() };
        let spread = part("spread:").iter().find(|(known, _)| known == name).map_or(0.0, |(_, spread)| spread.get(0).as_f64());
        if let Some(why) = differs(&got, expected, spread) {
            return Err(format!("output '{name}': {why}"));
        }
    }
    Ok(())
}

/// Checks the runs of a stream after its first one, where the oracle has such.
fn later(session: &Session, tensors: &[(String, Tensor)]) -> Result<(), String> {
    let ports = &session.inputs()[..session.inputs().len() - session.states().len()];
    let mut stream = session.stream();
    for run in 1.. {
        let count = if run == 1 { String::new() } else { run.to_string() };
        let find = |kind: &str, name: &str| tensors.iter().find(|(known, _)| *known == format!("{kind}{count}:{name}")).map(|(_, tensor)| tensor.clone());
        if run > 1 && !tensors.iter().any(|(name, _)| name.starts_with(&format!("out{count}:"))) {
            break;
        }
        let inputs = ports.iter().map(|port| find("in", &port.name).ok_or_else(|| format!("the oracle has no input '{}' of run {run}", port.name))).collect::<Result<Vec<_>, _>>()?;
        let results = stream.run(&inputs).map_err(|error| error.to_string())?;
        for (port, got) in session.outputs().iter().zip(&results).filter(|_| run > 1) {
            let expected = find("out", &port.name).ok_or_else(|| format!("the oracle has no output '{}' of run {run}", port.name))?;
            if let Some(why) = differs(got, &expected, 0.0) {
                return Err(format!("output '{}' of run {run}: {why}", port.name));
            }
        }
    }
    Ok(())
}

/// Checks all models of a folder.
fn check(folder: &str) {
    let folder = home().join("frameworks").join(folder);
    let names: Vec<String> = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    let compared: HashSet<&str> = names.iter().filter_map(|name| name.strip_suffix(".npz")).map(|stem| stem.split_once('@').map_or(stem, |(name, _)| name)).collect();
    let bare: Vec<&String> = names.iter().filter(|name| !name.ends_with(".npz") && !name.ends_with(".py") && *name != "__pycache__" && !compared.contains(name.as_str())).collect();
    assert!(bare.is_empty(), "models without an oracle: {bare:?}");
    check_all(&folder, |name| folder.join(name));
}

#[test]
fn public_models() {
    check_all(&home().join("frameworks/public"), |name| data::folder().expect("the data").join("models").join(name.replace("__", "/")));
}

/// One net that is published as ONNX, as SavedModel and as TFLite gives the same through all three.
#[test]
fn one_net_in_three_formats() {
    let folder = data::folder().expect("the data").join("models/basic-pitch");
    let x = draw::tensor(DType::F32, &[1, 43844, 1], Domain::Ordinary, 3).expect("a tensor");
    let run = |file: &str, names: [&str; 3]| {
        let options = Options { binding: Binding { shapes: [("0".to_owned(), x.extents().to_vec())].into(), ..Binding::default() }, ..Options::default() };
        let session = frit::load(&folder.join(file), &options, &RunOptions { threads: Threads::all().expect("threads") }).unwrap_or_else(|errors| panic!("{file}: {}", errors[0]));
        let results = session.run(std::slice::from_ref(&x)).unwrap_or_else(|error| panic!("{file}: {error}"));
        names.map(|name| {
            let at = session.outputs().iter().position(|port| port.name == name).unwrap_or_else(|| panic!("{file} has no output '{name}'"));
            results[at].clone()
        })
    };
    let names = ["contour", "note", "onset"];
    let expected = run("nmp.onnx", ["StatefulPartitionedCall:0", "StatefulPartitionedCall:1", "StatefulPartitionedCall:2"]);
    for file in ["nmp", "nmp.tflite"] {
        for ((got, expected), name) in run(file, names).iter().zip(&expected).zip(names) {
            if let Some(why) = differs(got, expected, 0.0) {
                panic!("{file}, output '{name}': {why}");
            }
        }
    }
}

/// Checks a folder's oracles; `model` says where the model of a name lies.
fn check_all(folder: &Path, model: impl Fn(&str) -> PathBuf) {
    let mut oracles: Vec<PathBuf> = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|extension| extension == "npz")).collect();
    oracles.sort();
    assert!(!oracles.is_empty(), "{} holds no oracles", folder.display());
    let mut complaints = Vec::new();
    for oracle in &oracles {
        let stem = oracle.file_stem().unwrap().to_string_lossy().into_owned();
        let (name, signature) = stem.split_once('@').map_or((stem.as_str(), None), |(name, signature)| (name, Some(signature)));
        if let Err(why) = complaint(&model(name), signature, oracle) {
            complaints.push(format!("{stem}: {why}"));
        }
    }
    assert!(complaints.is_empty(), "{} of {} models:\n{}", complaints.len(), oracles.len(), complaints.join("\n"));
}

#[test]
fn torchscript() {
    check("torchscript");
}

#[test]
fn keras() {
    check("keras");
}

#[test]
fn pytorch() {
    check("pytorch");
}

#[test]
fn tensorflow() {
    check("tensorflow");
}

#[test]
fn tflite() {
    check("tflite");
}
