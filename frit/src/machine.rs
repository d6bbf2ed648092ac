//! What this machine can do, measured with Frit's own kernels and kept.
//!
//! In: nothing, or a table that was kept. Out: a [`Machine`], by which programs and kernels are priced. Measured numbers make
//! what is compiled depend on the machine; [`Machine::DEFAULT`] doesn't, and is what is used unless a user asks.
//! Must not know: how prices are used.

use std::path::{Path, PathBuf};
use std::time::Instant;

use frit_compiler::cost::Cache;
use frit_compiler::lower::target::host;
use frit_ir::ops::{cast::Cast, matmul::MatMul, matmul_integer::MatMulInteger};
use frit_ir::ops::{add::Add, mul::Mul, neg::Neg, reduce::How, reduce::Reduce};

pub use frit_compiler::cost::Machine;

use crate::{Builder, DType, Error, Graph, Options, RunOptions, Session, Tensor, TensorType, Threads, compile};

/// A measurement takes at least this long, in nanoseconds; the best run of it counts.
const LEAST: f64 = 3e7;
/// No measurement works on more bytes than this.
const MOST_BYTES: u64 = 256 << 20;
/// Elements of a row that is read.
const ROW: i64 = 1024;
/// Steps of the chain by which additions are measured, each a product and a sum.
const CHAIN: usize = 24;

/// The machine as it was measured once; measured now if it wasn't, or if `again` is wanted. Also where it is kept, if there
/// is a folder for it: `FRIT_CACHE`, or `frit` in `XDG_CACHE_HOME` or in `.cache` of `HOME`.
///
/// # Errors
/// Invalid where what was kept is no such table; whatever compiling or running the measured kernels complains about.
pub fn measured(again: bool) -> Result<(Machine, Option<PathBuf>), Error> {
    let path = place();
    if let Some(path) = path.as_ref().filter(|path| !again && path.exists()) {
        let text = std::fs::read_to_string(path).map_err(|error| Error::invalid(format!("can't read '{}': {error}", path.display())))?;
        let damaged = |error: Error| error.help(format!("'{}' is damaged; `frit machine --again` measures anew", path.display()));
        return Ok((text.parse().map_err(damaged)?, Some(path.clone())));
    }
    let machine = measure()?;
    if let Some(path) = &path {
        keep(path, &machine.to_string()).map_err(|error| Error::invalid(format!("can't write '{}': {error}", path.display())).help("FRIT_CACHE names another folder"))?;
    }
    Ok((machine, path))
}

/// The file that holds this machine's table.
fn place() -> Option<PathBuf> {
    Some(folder()?.join(format!("machine-{}.txt", host_key())))
}

/// The folder where measurements are kept.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("FRIT_CACHE").or_else(|| Some(folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?.join("frit")))
}

/// What this machine goes by there: machines that share a folder have files of their own.
pub(crate) fn host_key() -> String {
    frit_compiler::schedule::tuning::key((host().to_string(), host().cache, threads(), env!("CARGO_PKG_VERSION")))
}

/// Writes a file as a whole or not at all.
pub(crate) fn keep(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let part = path.with_extension(format!("{}.part", std::process::id()));
    std::fs::write(&part, text)?;
    std::fs::rename(&part, path)
}

fn threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u32)
}

/// Measures this machine, on one thread; takes about a second.
///
/// # Errors
/// Whatever compiling or running the measured kernels complains about.
pub fn measure() -> Result<Machine, Error> {
    // Kernels of different sizes, which can't be one.
    let (few, many) = (time(&apart(16)?)?, time(&apart(48)?)?);
    let launch = ((many - few) / 32.0).max(1.0);
    let (m, k, n) = (128, 512, 512);
    let contraction = 2.0 * (m * k * n) as f64 / (time(&product(m, k, n)?)? - launch).max(1.0);
    let dot = 2.0 * (m * k * n) as f64 / (time(&product_of_bytes(m, k, n)?)? - 2.0 * launch).max(1.0);
    let elems = 4096;
    let elementwise = (2 * CHAIN) as f64 * elems as f64 / (time(&chain(elems)?)? - launch).max(1.0);
    // An array that fills half of a cache, or four times the last one, is read.
    let rate = |bytes: u64| -> Result<f64, Error> {
        let rows = (bytes.min(MOST_BYTES) / 4 / ROW as u64).max(1) as i64;
        Ok((4 * rows * ROW) as f64 / (time(&sums(rows)?)? - launch).max(1.0))
    };
    let sizes = host().cache;
    let mut caches = [Cache { bytes: 0, bandwidth: 0.0 }; 3];
    for (cache, bytes) in caches.iter_mut().zip(sizes) {
        *cache = Cache { bytes, bandwidth: rate(bytes / 2)? };
    }
    Ok(Machine { contraction, dot, elementwise, caches, memory: rate(sizes[2].saturating_mul(4))?, launch, threads: threads() })
}

/// Nanoseconds of a graph's best run on one thread.
fn time(graph: &Graph) -> Result<f64, Error> {
    let executable = compile(graph, &Options::default()).map_err(|mut errors| errors.swap_remove(0))?;
    let session = Session::new(executable, &RunOptions { threads: Threads::count(1)? })?;
    let drawn = |extents: &[i64]| {
        let elems: i64 = extents.iter().product();
        // Numbers between 1/2 and 1, so that no chain leaves the usual range.
        Tensor::from_slice(extents, &(0..elems).map(|k| 0.5 + (k * 7919 % 1000) as f32 / 2048.0).collect::<Vec<f32>>())
    };
    let inputs: Vec<Tensor> = session.inputs().iter().map(|port| drawn(port.extents.as_deref().unwrap_or_default())).collect();
    session.run(&inputs)?;
    let (begin, mut best) = (Instant::now(), f64::INFINITY);
    while (begin.elapsed().as_nanos() as f64) < LEAST {
        let start = Instant::now();
        session.run(&inputs)?;
        best = best.min(start.elapsed().as_nanos() as f64);
    }
    Ok(best)
}

fn float(extents: &[i64]) -> TensorType {
    TensorType::known(DType::F32, extents)
}

/// So many small kernels.
fn apart(count: i64) -> Result<Graph, Error> {
    let mut builder = Builder::new("apart");
    for k in 0..count {
        let x = builder.input(format!("x{k}"), float(&[8 + k]));
        let y = builder.apply(Neg {}, &[x])?;
        builder.output(format!("y{k}"), y);
    }
    Ok(builder.finish())
}

/// A product of matrices.
fn product(m: i64, k: i64, n: i64) -> Result<Graph, Error> {
    let mut builder = Builder::new("product");
    let (a, b) = (builder.input("a", float(&[m, k])), builder.input("b", float(&[k, n])));
    let y = builder.apply(MatMul {}, &[a, b])?;
    builder.output("y", y);
    Ok(builder.finish())
}

/// A product of matrices of 8-bit integers, one of them constant. The other is made by a kernel of its own.
fn product_of_bytes(m: i64, k: i64, n: i64) -> Result<Graph, Error> {
    let mut builder = Builder::new("product_of_bytes");
    let a = builder.input("a", float(&[m, k]));
    let a = builder.apply(Cast { to: DType::U8 }, &[a])?;
    let b = builder.constant(Tensor::from_slice(&[k, n], &(0..k * n).map(|at| (at * 7919 % 255 - 127) as i8).collect::<Vec<i8>>()));
    let (a_zero, b_zero) = (builder.scalar(DType::U8, 3.0), builder.scalar(DType::I8, 0.0));
    let y = builder.apply(MatMulInteger {}, &[a, b, a_zero, b_zero])?;
    builder.output("y", y);
    Ok(builder.finish())
}

/// Products and sums, one after the other, for each element by itself.
fn chain(elems: i64) -> Result<Graph, Error> {
    let mut builder = Builder::new("chain");
    let (x, a) = (builder.input("x", float(&[elems])), builder.input("a", float(&[elems])));
    let mut y = x;
    for _ in 0..CHAIN {
        let scaled = builder.apply(Mul {}, &[y, a])?;
        y = builder.apply(Add {}, &[scaled, x])?;
    }
    builder.output("y", y);
    Ok(builder.finish())
}

/// The sums of an array's rows.
fn sums(rows: i64) -> Result<Graph, Error> {
    let mut builder = Builder::new("sums");
    let x = builder.input("x", float(&[rows, ROW]));
    let y = builder.apply(Reduce { how: How::Sum, axes: vec![1] }, &[x])?;
    builder.output("y", y);
    Ok(builder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_machine_can_be_kept() {
        let machine = measure().expect("a measurement");
        for (name, number) in machine.numbers() {
            assert!(number.is_finite() && number > 0.0, "{name} is {number}");
        }
        assert!(machine.contraction > 1.0 && machine.contraction < 1e4, "{machine}");
        let again: Machine = machine.to_string().parse().expect("a table");
        assert_eq!(again, machine);
        for damaged in ["", "contraction 1\n", "contraction x\n", "threads -1\n", &format!("{machine}more 1\n")] {
            assert!(damaged.parse::<Machine>().is_err(), "{damaged}");
        }
    }
}
