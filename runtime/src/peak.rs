//! The fastest that this machine multiplies and adds, measured: what kernels' speeds are compared with.
//!
//! In: a number of threads. Out: GFLOP/s in f32. Must not know: kernels.

#![allow(unsafe_code, reason = "functions for CPU features that were found are called")]

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Independent accumulators: enough to hide the latency of a fused multiply-add on every CPU known, and few enough to stay
/// in the sixteen registers that every vector unit has, beside the multiplier.
const CHAINS: usize = 12;

/// Rounds in one measurement.
const ROUNDS: u64 = 1 << 18;

/// Measures so many threads at once, for some 50 ms, and gives the best round's GFLOP/s.
pub fn gflops(threads: usize) -> f64 {
    let one = || {
        let (flops, run) = kernel();
        let end = Instant::now() + Duration::from_millis(50);
        let mut best = 0f64;
        while Instant::now() < end {
            let start = Instant::now();
            black_box(run(black_box(1.000_001)));
            best = best.max((flops * ROUNDS) as f64 / start.elapsed().as_secs_f64() / 1e9);
        }
        best
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        one() + others.into_iter().map(|other| other.join().unwrap_or(0.0)).sum::<f64>()
    })
}

/// The widest loop that this CPU runs, and the floating-point operations of one of its rounds.
fn kernel() -> (u64, fn(f32) -> f32) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the CPU has the feature that the function is compiled for.
            return (2 * 16 * CHAINS as u64, |x| unsafe { x86::wide(x) });
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            return (2 * 8 * CHAINS as u64, |x| unsafe { x86::half(x) });
        }
    }
    (2 * 4 * CHAINS as u64, plain)
}

/// Four lanes, as every compiler can vectorise it.
fn plain(x: f32) -> f32 {
    let mut sums = [[x; 4]; CHAINS];
    for _ in 0..ROUNDS {
        for lane in sums.iter_mut().flatten() {
            *lane = if cfg!(target_arch = "aarch64") { lane.mul_add(x, x) } else { *lane * x + x };
        }
        black_box(&mut sums);
    }
    sums[0][0]
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{_mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_cvtss_f32, _mm512_fmadd_ps, _mm512_set1_ps};

    use super::{CHAINS, ROUNDS};

    #[target_feature(enable = "avx512f")]
    pub(super) fn wide(x: f32) -> f32 {
        let x = _mm512_set1_ps(x);
        let mut sums = [x; CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, x, x);
            }
        }
        sums.into_iter().map(|sum| _mm512_cvtss_f32(sum)).sum()
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn half(x: f32) -> f32 {
        let x = _mm256_set1_ps(x);
        let mut sums = [x; CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, x, x);
            }
        }
        sums.into_iter().map(|sum| _mm256_cvtss_f32(sum)).sum()
    }
}
