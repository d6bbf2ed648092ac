//! Models that are wrong: damaging bytes, and whether an importer answers.
//!
//! In: bytes; an import. Out: damaged bytes; a complaint about the importer. Must not know: formats.

use std::panic::{UnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use frit_ir::verify::verify;
use frit_ir::{Error, Graph};

use crate::draw::Random;

/// No import of a small file may take longer.
const LIMIT: Duration = Duration::from_secs(5);

/// Damages bytes in one to four places: they are flipped, cut off, repeated and overwritten.
pub fn damage(bytes: &[u8], random: &mut Random) -> Vec<u8> {
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

/// What is wrong with how an importer answers: it must give a graph that is well formed, or errors with reasons; it must not panic, take long
/// or blame itself.
pub fn complaint(import: impl FnOnce() -> Result<Graph, Vec<Error>> + UnwindSafe) -> Option<String> {
    let start = Instant::now();
    let done = catch_unwind(import);
    match done {
        Err(_) => Some("import panicked".to_owned()),
        Ok(_) if start.elapsed() > LIMIT => Some(format!("import took {:?}", start.elapsed())),
        Ok(Ok(graph)) => verify(&graph).err().map(|errors| format!("import made a graph that is not well formed: {}", errors[0])),
        Ok(Err(errors)) if errors.is_empty() => Some("import failed without a reason".to_owned()),
        Ok(Err(errors)) => errors.iter().find(|error| error.is_bug()).map(|bug| format!("import blames itself: {bug}")),
    }
}
