//! The machine that this process runs on, in the words of a [`Target`].
//!
//! In: a target that code was made for. Out: whether this machine can run it. Must not know: what the code does.

use frit_ir::Error;
use frit_ir::vector::Target;

macro_rules! features {
    ($detect:ident: $($name:literal = $feature:tt),* $(,)?) => {
        &[$(($name, || std::arch::$detect!($feature))),*]
    };
}

/// Names of CPU features in Cranelift's settings, and how each is found.
type Features = &'static [(&'static str, fn() -> bool)];

#[cfg(target_arch = "x86_64")]
const FEATURES: Features = features! { is_x86_feature_detected:
    "has_sse3" = "sse3", "has_ssse3" = "ssse3", "has_sse41" = "sse4.1", "has_sse42" = "sse4.2",
    "has_popcnt" = "popcnt", "has_cmpxchg16b" = "cmpxchg16b", "has_avx" = "avx", "has_avx2" = "avx2", "has_fma" = "fma",
    "has_f16c" = "f16c", "has_bmi1" = "bmi1", "has_bmi2" = "bmi2", "has_lzcnt" = "lzcnt",
    "has_avx512f" = "avx512f", "has_avx512dq" = "avx512dq", "has_avx512bw" = "avx512bw", "has_avx512vl" = "avx512vl",
    "has_avx512vbmi" = "avx512vbmi", "has_avx512bitalg" = "avx512bitalg", "has_avx512vnni" = "avx512vnni",
    "has_avx512bf16" = "avx512bf16", "has_avx512fp16" = "avx512fp16", "has_avxvnni" = "avxvnni",
};

#[cfg(target_arch = "aarch64")]
const FEATURES: Features = features! { is_aarch64_feature_detected:
    "has_lse" = "lse", "has_pauth" = "paca", "has_fp16" = "fp16", "has_dotprod" = "dotprod", "has_i8mm" = "i8mm",
    "has_bf16" = "bf16", "has_sve" = "sve", "has_sve2" = "sve2",
};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const FEATURES: Features = &[];

/// The CPU features of this machine that code can ask for, sorted.
pub fn host_features() -> Vec<&'static str> {
    let mut names: Vec<&str> = FEATURES.iter().filter(|(_, found)| found()).map(|(name, _)| *name).collect();
    names.sort_unstable();
    names
}

/// Can this machine run code for a target?
///
/// # Errors
/// Invalid where the code is for another architecture or calling convention, or needs CPU features that this machine lacks.
pub fn check(target: &Target) -> Result<(), Error> {
    let host = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let help = "compile the model on this machine, or with `--target` for it";
    let architecture = target.triple.split('-').next().unwrap_or_default();
    if architecture != std::env::consts::ARCH || target.triple.contains("windows") != cfg!(windows) {
        return Err(Error::invalid(format!("the code is for '{}', and this machine is '{host}'", target.triple)).help(help));
    }
    let known = host_features();
    let missing: Vec<&str> = target.features.iter().map(String::as_str).filter(|name| !known.contains(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|name| name.strip_prefix("has_").unwrap_or(name)).collect();
    Err(Error::invalid(format!("the code needs CPU features that this machine lacks: {}", names.join(", "))).help(help))
}

#[cfg(test)]
mod tests {
    use frit_ir::vector::Target;

    use super::{check, host_features};

    fn target(triple: &str, features: &[&str]) -> Target {
        let features = features.iter().map(ToString::to_string).collect();
        Target { triple: triple.to_owned(), features, vector_bits: 128, vector_registers: 16, fma: false, cache: [0; 3], team: 1, points: 16 }
    }

    #[test]
    fn other_machines_are_refused() {
        let own = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        assert_eq!(check(&target(&own, &host_features())).is_ok(), !cfg!(windows));
        assert!(check(&target("riscv64gc-unknown-linux-gnu", &[])).is_err());
        let error = check(&target(&own, &["has_seventh_sense"])).expect_err("no such feature");
        assert!(error.message.contains("seventh_sense") || cfg!(windows));
    }
}
