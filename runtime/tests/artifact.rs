//! Artifacts: written, loaded, run; and refused where they are not what they were.

mod common;

use std::path::Path;

use bytes::Bytes;
use common::{empty, interpreted, port, ramp, scratch, target, two_launches};
use frit_ir::executable::{Executable, Step};
use frit_ir::{DType, Error, Tensor};
use frit_runtime::artifact::{self, is_artifact, write};
use frit_runtime::{Options, Session};
use xxhash_rust::xxh3::xxh3_64;

fn bytes_of(executable: &Executable, name: &str) -> Vec<u8> {
    let path = scratch(name);
    write(executable, &path).expect("a folder to write to");
    std::fs::read(&path).expect("the file is there")
}

fn open(bytes: Vec<u8>) -> Result<Session, Error> {
    Session::from_bytes(Bytes::from(bytes), &Options::default())
}

/// First byte and bytes of each section.
fn sections(bytes: &[u8]) -> Vec<(usize, usize)> {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes")) as usize;
    (0..5).map(|at| (number(16 + at * 24), number(24 + at * 24))).collect()
}

/// Makes checksums right again after a change to a section that is not the constants.
fn seal(bytes: &mut [u8]) {
    for (at, (offset, len)) in sections(bytes).into_iter().enumerate().take(4) {
        let sum = xxh3_64(&bytes[offset..offset + len]);
        bytes[32 + at * 24..40 + at * 24].copy_from_slice(&sum.to_le_bytes());
    }
    let sum = xxh3_64(&bytes[..136]);
    bytes[136..144].copy_from_slice(&sum.to_le_bytes());
}

fn refused(bytes: Vec<u8>, what: &str) -> Error {
    let error = open(bytes).and_then(|session| session.run(&[ramp(100)])).map(drop).expect_err(what);
    assert!(error.is_invalid() && error.help.is_some(), "{what}: {error}");
    error
}

#[test]
fn what_was_written_is_loaded_and_runs() {
    for (name, executable) in [("launches", two_launches(100)), ("interpreted", interpreted(100))] {
        if !executable.code.is_empty() && !common::has_machine_code() {
            continue;
        }
        let path = scratch(&format!("{name}.frit"));
        write(&executable, &path).expect("a folder to write to");
        let session = Session::load(&path, &Options::default()).expect("a whole artifact");
        let loaded = session.executable();
        assert_eq!(loaded.constants, executable.constants);
        assert_eq!((&loaded.steps, &loaded.kernels, &loaded.inputs, &loaded.outputs, &loaded.code), (&executable.steps, &executable.kernels, &executable.inputs, &executable.outputs, &executable.code));
        assert!(loaded.constants.iter().all(|tensor| tensor.bytes().is_empty() || tensor.address().is_multiple_of(64)));
        let outputs = session.run(&[ramp(100)]).expect("a run");
        assert_eq!(outputs, common::session(executable, 2).run(&[ramp(100)]).expect("a run"));
    }
}

#[test]
fn equal_programs_make_equal_files() {
    let bytes = bytes_of(&two_launches(100), "first");
    assert!(is_artifact(&bytes));
    assert_eq!(bytes, bytes_of(&two_launches(100), "second"));
    let names: Vec<_> = std::fs::read_dir(scratch("").as_path()).expect("a folder").filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    assert!(names.iter().all(|name| name != ".first" && !name.to_string_lossy().starts_with(".first.")), "nothing is left beside the file: {names:?}");
}

#[test]
fn a_file_that_cannot_be_written_leaves_nothing() {
    let folder = scratch("taken.frit");
    std::fs::create_dir_all(folder.join("inside")).expect("a folder");
    let error = write(&two_launches(4), &folder).expect_err("a folder is in the way");
    assert!(error.is_invalid() && error.message.starts_with("can't write"));
    let left = std::fs::read_dir(scratch("")).expect("a folder").filter_map(Result::ok).any(|entry| entry.file_name().to_string_lossy().starts_with(".taken"));
    assert!(!left);
    assert!(write(&two_launches(4), &scratch("missing").join("folder.frit")).is_err());
}

#[test]
fn files_that_are_cut_off_are_refused() {
    let bytes = bytes_of(&interpreted(100), "cut");
    let mut ends = vec![0, 1, 3, 4, 7, 8, 15, 16, 100, 191, 192, bytes.len() - 1];
    for (offset, len) in sections(&bytes) {
        ends.extend([offset - 1, offset, offset + 1, offset + len / 2, offset + len - usize::from(len > 0)]);
    }
    for end in ends {
        let error = refused(bytes[..end].to_vec(), "a cut");
        let expected = if end < 4 { "not an artifact" } else { "the artifact is cut off" };
        assert!(error.message.starts_with(expected), "{end}: {error}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(refused(longer, "a longer file").message.contains("bytes instead of"));
    let path = scratch("nothing.frit");
    std::fs::write(&path, []).expect("a folder to write to");
    assert!(Session::load(&path, &Options::default()).map(drop).expect_err("an empty file").message.contains("cut off"));
}

#[test]
fn every_altered_byte_is_found() {
    let bytes = bytes_of(&interpreted(100), "altered");
    let constants = sections(&bytes)[4].0;
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1 << (at % 8);
        let error = refused(altered, "an altered byte");
        let expected: &[&str] = match at {
            0..4 => &["not an artifact"],
            4..8 => &["is of version"],
            _ if at >= constants => &["the constants don't match"],
            _ => &["was altered"],
        };
        assert!(expected.iter().any(|text| error.message.contains(text)), "byte {at}: {error}");
    }
}

#[test]
fn constants_are_checked_after_loading() {
    let mut bytes = bytes_of(&interpreted(100), "constants");
    *bytes.last_mut().expect("not empty") ^= 1;
    let session = open(bytes).expect("all else is whole");
    assert!(session.verify().is_err() && session.run(&[ramp(100)]).is_err());
}

#[test]
fn artifacts_for_other_machines_are_refused() {
    let mut executable = two_launches(100);
    executable.target.features = vec!["has_avx9000".to_owned()];
    let error = refused(bytes_of(&executable, "features"), "no such feature");
    if !cfg!(windows) {
        assert_eq!(error.message, "the code needs CPU features that this machine lacks: avx9000");
    }
    executable.target = target();
    executable.target.triple = "pdp11-unknown-none".to_owned();
    let error = refused(bytes_of(&executable, "triple"), "another machine");
    assert!(error.message.starts_with("the code is for 'pdp11-unknown-none', and this machine is"), "{error}");

    let mut portable = interpreted(100);
    portable.target.triple = "pdp11-unknown-none".to_owned();
    assert!(open(bytes_of(&portable, "portable")).is_ok(), "without code there is nothing that a machine could lack");
}

#[test]
fn another_version_is_refused() {
    let mut bytes = bytes_of(&two_launches(100), "version");
    bytes[4..8].copy_from_slice(&1u32.to_le_bytes());
    seal(&mut bytes);
    assert_eq!(refused(bytes, "another version").message, "the artifact is of version 1, and this run time reads version 4");
}

/// Whoever alters a file can also make its checksums right. That must not bring the process down, unless it is the machine
/// code that was altered: so only sections of data are.
#[test]
fn altered_files_with_right_checksums_give_errors_or_run() {
    let executable = interpreted(100);
    let bytes = bytes_of(&executable, "sealed");
    let sections = sections(&bytes);
    for (offset, len) in [sections[0], sections[1], sections[3]] {
        for at in offset..offset + len {
            for bit in [0, 3, 7] {
                let mut altered = bytes.clone();
                altered[at] ^= 1 << bit;
                seal(&mut altered);
                if let Ok(session) = open(altered) {
                    let _either = session.run(&[ramp(100)]);
                }
            }
        }
    }
    for at in 8..136 {
        let mut altered = bytes.clone();
        altered[at] ^= 1 << (at % 8);
        let sum = xxh3_64(&altered[..136]);
        altered[136..144].copy_from_slice(&sum.to_le_bytes());
        let _either = open(altered).and_then(|session| session.run(&[ramp(100)]));
    }
}

#[test]
fn steps_that_nest_too_deep_are_refused_before_they_exhaust_the_stack() {
    let mut executable = empty();
    executable.inputs = vec![port("c", DType::Bool, Some(&[]))];
    // Each level of nesting is the same few bytes, so a deep file is made from a shallow one.
    let level = |steps| Step::If { cond: common::operand(frit_ir::executable::Slot::Input(0), DType::Bool, &[]), then_steps: steps, else_steps: Vec::new() };
    for _ in 0..70 {
        executable.steps = vec![level(std::mem::take(&mut executable.steps))];
    }
    let error = refused(bytes_of(&executable, "deep"), "too deep");
    assert!(error.message.starts_with("the artifact is malformed"), "{error}");
}

#[test]
fn constants_larger_than_a_chunk_are_covered() {
    let n = (artifact::CHUNK / 4 + 1000) as i64;
    let bytes = bytes_of(&interpreted(n), "large");
    let (first, len) = sections(&bytes)[4];
    for at in [first, first + artifact::CHUNK - 1, first + artifact::CHUNK, first + len / 2] {
        let mut altered = bytes.clone();
        altered[at] ^= 16;
        assert!(open(altered).expect("constants are checked later").run(&[ramp(n)]).is_err());
    }
    assert_eq!(open(bytes).expect("a whole artifact").run(&[ramp(n)]).expect("a run")[0].extents(), [n]);
}

/// The run time is small because it knows no compiler.
#[test]
fn no_compiler_is_among_the_dependencies() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("the manifest");
    let ir = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../ir/Cargo.toml")).expect("the manifest");
    for (name, manifest) in [("runtime", manifest), ("ir", ir)] {
        for word in ["compiler", "cranelift", "frit-proto", "prost", "regalloc", "iced"] {
            let found = manifest.lines().any(|line| line.contains(word) && !line.starts_with("description"));
            assert!(!found, "{name}/Cargo.toml has {word}");
        }
    }
}

#[test]
fn a_constant_may_be_empty() {
    let executable = Executable { constants: vec![Tensor::from_slice::<f32>(&[0, 3], &[]), Tensor::from_ints(&[1])], ..empty() };
    let loaded = artifact::parse(Bytes::from(bytes_of(&executable, "empty"))).expect("a whole artifact");
    assert_eq!(loaded.executable.constants, executable.constants);
}

#[test]
#[ignore = "writes 440 MB"]
#[allow(clippy::print_stderr, reason = "the measured time is the point")]
fn a_large_artifact_loads_at_once() {
    let n = 110 << 20;
    let path = scratch("huge.frit");
    let weights = Tensor::zeros(DType::F32, &[n]).expect("memory");
    write(&Executable { constants: vec![weights], ..interpreted(4) }, &path).expect("a folder to write to");
    let time = |work: &mut dyn FnMut()| {
        let start = std::time::Instant::now();
        work();
        start.elapsed()
    };
    let mut session = None;
    let load = time(&mut || session = Some(artifact::load(&path).expect("a whole artifact")));
    let verify = time(&mut || session.take().and_then(|artifact| artifact.sums).expect("sums").verify().expect("whole"));
    std::fs::remove_file(&path).expect("it was there");
    eprintln!("load {load:?}, verify {verify:?}");
    assert!(load.as_millis() < 50);
}
