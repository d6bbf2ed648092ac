//! The machines that code can be made for.
//!
//! In: a name, or the machine that this runs on. Out: a [`Target`]. Must not know: what is compiled.
//!
//! The levels of x86-64 are those of the System V psABI for AMD64, "Micro-Architecture Levels"; of their features those
//! are listed that change what the emitters make. The first level is left out: rounding needs SSE4.1, which it lacks.

use frit_ir::Error;
use frit_ir::vector::Target;
use target_lexicon::{Aarch64Architecture, Architecture, Triple};

use super::wide;
use crate::cost::Machine;

/// Bytes of the caches that are reckoned with.
const CACHE: [u64; 3] = [32 << 10, 1 << 20, 16 << 20];

const V2: &[&str] = &["has_cmpxchg16b", "has_popcnt", "has_sse3", "has_sse41", "has_sse42", "has_ssse3"];
const V3: &[&str] = &["has_avx", "has_avx2", "has_bmi1", "has_bmi2", "has_f16c", "has_fma", "has_lzcnt"];
const V4: &[&str] = &wide::AVX512;

/// A machine by name: an architecture, and the features it has beyond the least.
struct Named {
    name: &'static str,
    architecture: Architecture,
    features: &'static [&'static [&'static str]],
}

const AARCH64: Architecture = Architecture::Aarch64(Aarch64Architecture::Aarch64);

const NAMED: &[Named] = &[
    Named { name: "x86-64-v2", architecture: Architecture::X86_64, features: &[V2] },
    Named { name: "x86-64-v3", architecture: Architecture::X86_64, features: &[V2, V3] },
    Named { name: "x86-64-v4", architecture: Architecture::X86_64, features: &[V2, V3, V4] },
    Named { name: "aarch64", architecture: AARCH64, features: &[] },
];

/// The name of an NVIDIA GPU, whichever it is: the run time compiles for the one that it finds.
pub const CUDA: &str = "cuda";

/// The triple of NVIDIA's GPUs.
const CUDA_TRIPLE: &str = "nvptx64-nvidia-cuda";

/// The name of the machine that this runs on.
pub const NATIVE: &str = "native";

/// The names of all targets.
pub fn names() -> impl Iterator<Item = &'static str> {
    std::iter::once(NATIVE).chain(NAMED.iter().map(|named| named.name)).chain([CUDA])
}

fn target(architecture: Architecture, mut features: Vec<String>) -> Target {
    features.sort_unstable();
    let x86 = architecture == Architecture::X86_64;
    let target = Target {
        triple: Triple { architecture, ..Triple::host() }.to_string(),
        vector_bits: 128,
        vector_registers: if x86 { 16 } else { 32 },
        fma: !x86 || features.iter().any(|name| name == "has_fma"),
        features,
        cache: CACHE,
        team: 1,
        points: 16,
    };
    match wide::vectors(&target) {
        Some((vector_bits, vector_registers)) => Target { vector_bits, vector_registers, ..target },
        None => target,
    }
}

/// A GPU. A team of threads is what a vector is elsewhere, a warp what fills it; of the memory that a team shares, as much is used as
/// all GPUs have without asking. About four teams run at a time on each of about 128 units.
pub fn cuda() -> Target {
    Target { triple: CUDA_TRIPLE.to_owned(), features: Vec::new(), vector_bits: 32 * 32, vector_registers: 255, fma: true, cache: [46 << 10, 4 << 20, 32 << 20], team: 1024, points: 512 }
}

/// What time is estimated for where code is made for a target.
pub fn machine(target: &Target) -> Machine {
    if target.is_cuda() { Machine::GPU } else { Machine::DEFAULT }
}

/// A target by its name, with the operating system of this machine.
///
/// # Errors
/// Invalid where there is none of that name; it lists those there are.
pub fn named(name: &str) -> Result<Target, Error> {
    if name == NATIVE {
        return Ok(host());
    }
    if name == CUDA {
        return Ok(cuda());
    }
    let Some(found) = NAMED.iter().find(|named| named.name == name) else {
        let why = if name == "x86-64" { "'x86-64' lacks SSE4.1, which compiled code needs" } else { "there is no such target" };
        return Err(Error::invalid(format!("no code can be made for '{name}': {why}")).help(format!("the targets are {}", names().collect::<Vec<_>>().join(", "))));
    };
    Ok(target(found.architecture, found.features.iter().flat_map(|level| level.iter().map(ToString::to_string)).collect()))
}

/// The machine that this runs on, with those of its features that the levels name.
pub fn host() -> Target {
    target(Triple::host().architecture, host_features())
}

/// CPU features by Cranelift's names.
#[cfg(target_arch = "x86_64")]
fn host_features() -> Vec<String> {
    let known = [
        ("has_avx", std::is_x86_feature_detected!("avx")),
        ("has_avx2", std::is_x86_feature_detected!("avx2")),
        ("has_avx512bw", std::is_x86_feature_detected!("avx512bw")),
        ("has_avx512dq", std::is_x86_feature_detected!("avx512dq")),
        ("has_avx512f", std::is_x86_feature_detected!("avx512f")),
        ("has_avx512vl", std::is_x86_feature_detected!("avx512vl")),
        (wide::DOTS[0], std::is_x86_feature_detected!("avx512vnni")),
        (wide::DOTS[1], std::is_x86_feature_detected!("avx512bf16")),
        ("has_bmi1", std::is_x86_feature_detected!("bmi1")),
        ("has_bmi2", std::is_x86_feature_detected!("bmi2")),
        ("has_f16c", std::is_x86_feature_detected!("f16c")),
        ("has_fma", std::is_x86_feature_detected!("fma")),
        ("has_lzcnt", std::is_x86_feature_detected!("lzcnt")),
        ("has_popcnt", std::is_x86_feature_detected!("popcnt")),
        ("has_sse3", std::is_x86_feature_detected!("sse3")),
        ("has_sse41", std::is_x86_feature_detected!("sse4.1")),
        ("has_sse42", std::is_x86_feature_detected!("sse4.2")),
        ("has_ssse3", std::is_x86_feature_detected!("ssse3")),
    ];
    known.iter().filter(|(_, has)| *has).map(|(name, _)| (*name).to_owned()).collect()
}

/// CPU features by Cranelift's names; the base instruction set has all that is needed.
#[cfg(not(target_arch = "x86_64"))]
fn host_features() -> Vec<String> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::{host, named, names};

    #[test]
    fn every_name_is_a_target() {
        for name in names() {
            let target = named(name).unwrap_or_else(|error| panic!("{error}"));
            assert!(target.features.is_sorted(), "{name}");
        }
        let arm = named("aarch64").expect("a target");
        assert!(arm.triple.starts_with("aarch64-") && arm.fma && arm.vector_registers == 32);
        assert!(!named("x86-64-v2").expect("a target").fma);
        assert_eq!(named("native").expect("a target"), host());
    }

    #[test]
    fn other_names_are_answered_with_those_there_are() {
        for name in ["x86-64", "pdp-11", ""] {
            let error = named(name).expect_err("no target");
            assert!(error.help.as_deref().is_some_and(|help| help.contains("x86-64-v3, x86-64-v4, aarch64")), "{error}");
        }
    }
}
