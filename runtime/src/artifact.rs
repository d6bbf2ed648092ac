//! Artifacts: an executable as one file, which the run time maps.
//!
//! In: an [`Executable`], or a file. Out: the other. Must not know: how executables are made or run.
//!
//! # The file
//!
//! All numbers are little-endian. The header has 192 bytes:
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | `FRIT` |
//! | 4..8 | version, now 2 |
//! | 8..16 | bytes of the whole file |
//! | 16..136 | for each of the five sections: first byte, bytes, XXH3 of its bytes |
//! | 136..144 | XXH3 of bytes 0..136 |
//! | 144..192 | zero |
//!
//! The sections follow in this order, each at the next multiple of 64, with zeros between them:
//!
//! 1. *target*: what the code needs, a `Target` in postcard.
//! 2. *program*: everything else that is small (ports, kernels, steps, where each constant lies), in postcard.
//! 3. *code*: the kernels' machine code.
//! 4. *sums*: XXH3 of each [`CHUNK`] bytes of the constants, 8 bytes each.
//! 5. *constants*: each at the next multiple of 64 (text is part of *program*). Their checksum in the header is 0: *sums* has them.
//!
//! Loading checks everything but the constants, so that it takes as long for a large model as for a small one. They are
//! checked in parallel before the first result is given ([`Sums::verify`]).

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use frit_ir::executable::{Code, Executable, Port, Step};
use frit_ir::tensor::ALIGNMENT;
use frit_ir::vector::Target;
use frit_ir::{DType, Error, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The first bytes of an artifact.
pub const MAGIC: [u8; 4] = *b"FRIT";

/// The version of the file format that is written and read.
pub const VERSION: u32 = 4;

/// Bytes of constants under one checksum.
pub const CHUNK: usize = 4 << 20;

const HEADER: usize = 192;
const TABLE: usize = 16;
const SECTIONS: usize = 5;
const NAMES: [&str; SECTIONS] = ["target", "program", "code", "sums", "constants"];
const HEADER_SUM: usize = TABLE + SECTIONS * 24;

/// Everything of an executable that is small.
#[derive(Serialize, Deserialize)]
struct Program {
    name: String,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    states: Vec<u32>,
    constants: Vec<Constant>,
    kernels: Vec<Code>,
    arena_bytes: u64,
    dynamics: u32,
    steps: Vec<Step>,
}

/// Where a constant lies.
#[derive(Serialize, Deserialize)]
struct Constant {
    dtype: DType,
    extents: Vec<i64>,
    place: Place,
}

#[derive(Serialize, Deserialize)]
enum Place {
    /// First byte in the section of constants, and number of bytes.
    Bytes(u64, u64),
    /// Here.
    Text(Vec<String>),
}

/// A loaded artifact.
pub struct Artifact {
    /// The program. Its constants lie in the file's bytes.
    pub executable: Executable,
    /// The checksums of its constants, which are still to be compared.
    pub sums: Option<Sums>,
}

/// Constants and their checksums.
pub struct Sums {
    constants: Bytes,
    sums: Bytes,
}

impl Sums {
    /// Compares the constants with their checksums, on all threads.
    ///
    /// # Errors
    /// Invalid where the file was altered.
    pub fn verify(&self) -> Result<(), Error> {
        let stored = self.sums.chunks_exact(8).map(number).collect::<Vec<u64>>();
        let intact = self.constants.par_chunks(CHUNK).zip(&stored).all(|(chunk, sum)| xxh3_64(chunk) == *sum);
        if intact { Ok(()) } else { Err(altered("the constants")) }
    }
}

fn altered(what: &str) -> Error {
    Error::invalid(format!("the artifact was altered: {what} don't match their checksum")).help("copy the file again, or compile the model again")
}

fn malformed(why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("the artifact is malformed: {why}")).help("compile the model again")
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Do these bytes begin an artifact?
pub fn is_artifact(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Writes an artifact. Equal executables make equal files. The file appears whole or not at all.
///
/// # Errors
/// Invalid where the file can't be written.
pub fn write(executable: &Executable, path: &Path) -> Result<(), Error> {
    let layout = Layout::new(executable)?;
    replace(path, |file| layout.write(file))
}

/// Makes a file, or another of one that is there, whole or not at all. What is no regular file (a pipe, say) is written to.
///
/// # Errors
/// Invalid where the file can't be written.
pub fn replace(path: &Path, write: impl FnOnce(&File) -> std::io::Result<()>) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::invalid(format!("can't write '{}': {error}", path.display())).help("give a path in a folder that exists and that you may write to");
    if path.exists() && !path.is_file() {
        return File::options().write(true).open(path).and_then(|file| write(&file)).map_err(failed);
    }
    let beside = beside(path).ok_or_else(|| failed(std::io::Error::other("the path names no file")))?;
    let file = File::options().write(true).create_new(true).open(&beside).map_err(failed)?;
    let done = write(&file).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&beside, path)).map_err(failed);
    if done.is_err() {
        // The first error is the one to tell; a file that can't be removed either is the lesser trouble.
        let _ = std::fs::remove_file(&beside);
    }
    done
}

/// A name in the same folder that nobody else writes to.
fn beside(path: &Path) -> Option<PathBuf> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name()?.to_string_lossy();
    Some(path.with_file_name(format!(".{name}.{}.{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))))
}

fn aligned(at: u64) -> u64 {
    at.next_multiple_of(ALIGNMENT as u64)
}

/// What a file will hold.
struct Layout<'e> {
    /// All sections but the constants.
    small: [Vec<u8>; SECTIONS - 1],
    /// The constants' bytes, in order, each to begin at the next multiple of 64.
    constants: Vec<&'e [u8]>,
    /// Their bytes with the gaps.
    constants_len: u64,
}

impl<'e> Layout<'e> {
    fn new(executable: &'e Executable) -> Result<Self, Error> {
        let encode = |error: postcard::Error| Error::bug(format!("a program can't be written: {error}"));
        let mut constants = Vec::with_capacity(executable.constants.len());
        let mut places = Vec::with_capacity(executable.constants.len());
        let mut constants_len = 0;
        for tensor in &executable.constants {
            let place = if tensor.dtype() == DType::Str {
                Place::Text(tensor.strings().to_vec())
            } else {
                let (offset, len) = (aligned(constants_len), tensor.bytes().len() as u64);
                constants_len = offset + len;
                constants.push(tensor.bytes());
                Place::Bytes(offset, len)
            };
            places.push(Constant { dtype: tensor.dtype(), extents: tensor.extents().to_vec(), place });
        }
        let program = Program {
            name: executable.name.clone(),
            inputs: executable.inputs.clone(),
            outputs: executable.outputs.clone(),
            states: executable.states.clone(),
            constants: places,
            kernels: executable.kernels.clone(),
            arena_bytes: executable.arena_bytes,
            dynamics: executable.dynamics,
            steps: executable.steps.clone(),
        };
        let target = postcard::to_stdvec(&executable.target).map_err(encode)?;
        let program = postcard::to_stdvec(&program).map_err(encode)?;
        let mut layout = Self { small: [target, program, executable.code.clone(), Vec::new()], constants, constants_len };
        layout.small[3] = layout.sums();
        Ok(layout)
    }

    /// Shows the constants with the gaps between them.
    fn constants<E>(&self, mut show: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut at = 0;
        for bytes in &self.constants {
            show(&[0; ALIGNMENT][..(aligned(at) - at) as usize])?;
            show(bytes)?;
            at = aligned(at) + bytes.len() as u64;
        }
        Ok(())
    }

    fn sums(&self) -> Vec<u8> {
        let mut sums = Vec::new();
        let (mut hasher, mut length) = (Xxh3::new(), 0);
        let Ok(()) = self.constants(|mut bytes| {
            while !bytes.is_empty() {
                let (head, tail) = bytes.split_at(bytes.len().min(CHUNK - length));
                hasher.update(head);
                length += head.len();
                bytes = tail;
                if length == CHUNK {
                    sums.extend_from_slice(&hasher.digest().to_le_bytes());
                    (hasher, length) = (Xxh3::new(), 0);
                }
            }
            Ok::<(), std::convert::Infallible>(())
        });
        if length > 0 {
            sums.extend_from_slice(&hasher.digest().to_le_bytes());
        }
        sums
    }

    fn write(&self, file: &File) -> std::io::Result<()> {
        let mut places = Vec::new();
        let mut end = HEADER as u64;
        for len in self.small.iter().map(|section| section.len() as u64).chain([self.constants_len]) {
            places.push((aligned(end), len));
            end = aligned(end) + len;
        }
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&end.to_le_bytes());
        for (at, (offset, len)) in places.iter().enumerate() {
            let sum = self.small.get(at).map_or(0, |section| xxh3_64(section));
            for number in [*offset, *len, sum] {
                header.extend_from_slice(&number.to_le_bytes());
            }
        }
        header.extend_from_slice(&xxh3_64(&header).to_le_bytes());
        header.resize(HEADER, 0);

        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(&header)?;
        let mut at = HEADER as u64;
        for (section, (offset, len)) in self.small.iter().zip(&places) {
            out.write_all(&[0; ALIGNMENT][..(offset - at) as usize])?;
            out.write_all(section)?;
            at = offset + len;
        }
        out.write_all(&[0; ALIGNMENT][..(places[SECTIONS - 1].0 - at) as usize])?;
        self.constants(|bytes| out.write_all(bytes))?;
        out.flush()
    }
}

/// Maps an artifact and reads everything but its constants.
///
/// # Errors
/// Invalid where the file can't be read, or is not a whole, unaltered artifact of this version.
pub fn load(path: &Path) -> Result<Artifact, Error> {
    let unreadable = |error: std::io::Error| Error::invalid(format!("can't read '{}': {error}", path.display())).help("give the path of an artifact, made by `frit compile`");
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() == 0 {
        return Err(truncated(HEADER as u64, 0));
    }
    parse(crate::map::map(&file).map_err(unreadable)?)
}

fn truncated(expected: u64, found: u64) -> Error {
    Error::invalid(format!("the artifact is cut off: it has {found} bytes of {expected}")).help("copy the file again, or compile the model again")
}

/// Reads an artifact's bytes; see [`load`].
///
/// # Errors
/// As [`load`].
pub fn parse(bytes: Bytes) -> Result<Artifact, Error> {
    let found = bytes.len() as u64;
    if !is_artifact(&bytes) {
        return Err(Error::invalid("not an artifact: it does not begin with `FRIT`").help("make an artifact with `frit compile`"));
    }
    if found < 8 {
        return Err(truncated(HEADER as u64, found));
    }
    let version = number(&bytes[4..8]);
    if version != u64::from(VERSION) {
        return Err(Error::invalid(format!("the artifact is of version {version}, and this run time reads version {VERSION}")).help("compile the model again with the same version of Frit"));
    }
    if bytes.len() < HEADER {
        return Err(truncated(HEADER as u64, found));
    }
    if number(&bytes[HEADER_SUM..HEADER_SUM + 8]) != xxh3_64(&bytes[..HEADER_SUM]) || bytes[HEADER_SUM + 8..HEADER].iter().any(|byte| *byte != 0) {
        return Err(altered("the header's bytes"));
    }
    let expected = number(&bytes[8..16]);
    if found < expected {
        return Err(truncated(expected, found));
    }
    if found > expected {
        return Err(Error::invalid(format!("the artifact has {found} bytes instead of {expected}")).help("copy the file again, or compile the model again"));
    }
    let [target, program, code, sums, constants] = sections(&bytes)?;
    let target: Target = postcard::from_bytes(&target).map_err(malformed)?;
    let program: Program = postcard::from_bytes(&program).map_err(malformed)?;
    if sums.len() != constants.len().div_ceil(CHUNK) * 8 {
        return Err(malformed("it has another number of checksums than of constants"));
    }
    let tensors = program.constants.iter().map(|constant| tensor(constant, &constants)).collect::<Result<_, _>>()?;
    let executable = Executable {
        name: program.name,
        target,
        inputs: program.inputs,
        outputs: program.outputs,
        states: program.states,
        constants: tensors,
        kernels: program.kernels,
        code: code.to_vec(),
        arena_bytes: program.arena_bytes,
        dynamics: program.dynamics,
        steps: program.steps,
    };
    Ok(Artifact { executable, sums: Some(Sums { constants, sums }) })
}

/// The sections, with the checksums compared of all but the last.
fn sections(bytes: &Bytes) -> Result<[Bytes; SECTIONS], Error> {
    let mut sections: [Bytes; SECTIONS] = Default::default();
    let mut end = HEADER;
    for (at, section) in sections.iter_mut().enumerate() {
        let entry = &bytes[TABLE + at * 24..][..24];
        let (offset, len, sum) = (number(&entry[..8]) as usize, number(&entry[8..16]) as usize, number(&entry[16..]));
        let stop = offset.checked_add(len).filter(|stop| *stop <= bytes.len());
        let (Some(stop), true) = (stop, offset == end.next_multiple_of(ALIGNMENT)) else {
            return Err(malformed(format!("section '{}' lies outside the file", NAMES[at])));
        };
        if bytes[end..offset].iter().any(|byte| *byte != 0) {
            return Err(altered("the bytes between sections"));
        }
        *section = bytes.slice(offset..stop);
        if at < SECTIONS - 1 && xxh3_64(section) != sum {
            return Err(altered(&format!("the bytes of section '{}'", NAMES[at])));
        }
        end = stop;
    }
    if end == bytes.len() { Ok(sections) } else { Err(malformed("its sections don't fill the file")) }
}

fn tensor(constant: &Constant, section: &Bytes) -> Result<Tensor, Error> {
    let unfit = |error: frit_ir::OpError| malformed(error.message);
    match &constant.place {
        Place::Text(strings) if constant.dtype == DType::Str => Tensor::from_strings(&constant.extents, strings.clone()).map_err(unfit),
        Place::Bytes(first, len) if constant.dtype != DType::Str => {
            let end = first.checked_add(*len).filter(|end| *end <= section.len() as u64);
            let end = end.ok_or_else(|| malformed("a constant lies outside its section"))?;
            Tensor::from_shared(constant.dtype, &constant.extents, section.slice(*first as usize..end as usize)).map_err(unfit)
        }
        Place::Text(_) | Place::Bytes(..) => Err(malformed("text and numbers are mixed up")),
    }
}
