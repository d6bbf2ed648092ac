//! What measurements found of kernels and programs.
//!
//! In: what was measured, or a text that keeps it. Out: which alternative a kernel is built in, which rules a program had better go
//! without. Must not know: clocks; how alternatives are built.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

use frit_ir::Error;

/// What is known. Kernels and programs go by keys that say what they compute for which target, and not of which model.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tuning {
    /// For each kernel, the alternative that is best; empty where the estimated one is.
    pub kernels: BTreeMap<String, String>,
    /// For each program, the rules that are left out.
    pub programs: BTreeMap<String, Vec<String>>,
    /// The alternative in which kernels are built that are not known, so that it can be measured; 0 for none.
    pub trial: usize,
}

/// A kernel with alternatives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trial {
    /// Its number in the schedule.
    pub kernel: u32,
    /// What it goes by.
    pub key: String,
    /// Its alternatives.
    pub alternatives: Vec<String>,
}

/// What a thing goes by.
pub fn key(of: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

impl Tuning {
    /// The number of the alternative in which a kernel is built.
    pub(super) fn alternative(&self, key: &str, alternatives: &[String]) -> usize {
        match self.kernels.get(key) {
            Some(best) => alternatives.iter().position(|known| known == best).map_or(0, |at| at + 1),
            None if self.trial <= alternatives.len() => self.trial,
            None => 0,
        }
    }

    /// Takes in what another knows.
    pub fn extend(&mut self, other: Self) {
        self.kernels.extend(other.kernels);
        self.programs.extend(other.programs);
    }
}

impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kernels.iter().try_for_each(|(key, best)| writeln!(f, "kernel {key} {best}"))?;
        self.programs.iter().try_for_each(|(key, without)| writeln!(f, "program {key} {}", without.join(" ")))
    }
}

impl FromStr for Tuning {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut tuning = Self::default();
        for (at, line) in text.lines().enumerate() {
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("kernel"), Some(key), Some(best)) => drop(tuning.kernels.insert(key.to_owned(), best.to_owned())),
                (Some("program"), Some(key), Some(without)) => drop(tuning.programs.insert(key.to_owned(), without.split_whitespace().map(str::to_owned).collect())),
                _ => return Err(Error::invalid(format!("line {} is not what tuning keeps: '{line}'", at + 1))),
            }
        }
        Ok(tuning)
    }
}
