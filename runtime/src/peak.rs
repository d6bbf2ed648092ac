//! The fastest that this machine multiplies and adds, executes vector instructions, reads, and copies, measured: what kernels' speeds are
//! compared with.
//!
//! In: a number of threads. Out: GFLOP/s in f32, instructions in a nanosecond, GB/s. Must not know: kernels.

#![allow(unsafe_code, reason = "functions for CPU features that were found are called")]

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Independent accumulators: enough to hide the latency of a fused multiply-add on every CPU known, and few enough to stay
/// in the sixteen registers that every vector unit has, beside the multiplier.
const CHAINS: usize = 12;

/// Elements that a reading loop joins at a time.
const BLOCK: usize = 128;

/// Rounds in one measurement.
const ROUNDS: u64 = 1 << 18;

/// Measures so many threads at once, for some 50 ms, and gives the best rounds' GFLOP/s.
pub fn gflops(threads: usize) -> f64 {
    together(threads, || {
        let Loops { lanes, products, .. } = widest();
        move || {
            black_box(products(black_box(1.000_001)));
            (2 * lanes * CHAINS as u64 * ROUNDS) as f64
        }
    })
}

/// Measures so many threads at once, for some 50 ms: vector instructions in a nanosecond where a third are multiply-adds, a third
/// additions, and a third of integers, so that units that do one of these only have their share.
pub fn vectors(threads: usize) -> f64 {
    together(threads, || {
        let Loops { mixed, .. } = widest();
        move || {
            black_box(mixed(black_box(1.000_001)));
            (CHAINS as u64 * ROUNDS) as f64
        }
    })
}

/// GB/s that so many threads at once read, each from an array of its own of so many bytes (at least a kilobyte), again and again.
pub fn bandwidth(threads: usize, bytes: usize) -> f64 {
    together(threads, || {
        let data = vec![1f32; (bytes / size_of::<f32>()).next_multiple_of(BLOCK)];
        let run = reader();
        let times = ((1 << 18) / data.len()).max(1);
        move || {
            (0..times).for_each(|_| {
                black_box(run(black_box(&data)));
            });
            (times * data.len() * size_of::<f32>()) as f64
        }
    })
}

/// GB/s that so many threads at once move, read and written together, each from one array to another, both together of so many bytes
/// (at least a kilobyte), again and again.
pub fn copying(threads: usize, bytes: usize) -> f64 {
    together(threads, || {
        let data = vec![1f32; (bytes / 2 / size_of::<f32>()).next_multiple_of(BLOCK)];
        let mut other = data.clone();
        let run = copier();
        let times = ((1 << 18) / data.len()).max(1);
        move || {
            (0..times).for_each(|_| run(black_box(&data), black_box(&mut other)));
            (times * 2 * data.len() * size_of::<f32>()) as f64
        }
    })
}

/// Repeats what `make` makes on each thread for some 50 ms, all at once, and adds up the best rates: thousand millions a second
/// of what each round says that it did.
fn together<R: FnMut() -> f64>(threads: usize, make: impl Fn() -> R + Sync) -> f64 {
    let barrier = Barrier::new(threads.max(1));
    let one = || {
        let mut round = make();
        barrier.wait();
        let end = Instant::now() + Duration::from_millis(50);
        let mut best = 0f64;
        while Instant::now() < end {
            let start = Instant::now();
            let done = round();
            best = best.max(done / start.elapsed().as_secs_f64() / 1e9);
        }
        best
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        one() + others.into_iter().map(|other| other.join().unwrap_or(0.0)).sum::<f64>()
    })
}

/// The widest reading loop that this CPU runs.
fn reader() -> fn(&[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the CPU has the feature that the function is compiled for.
            return |data| unsafe { x86::read_wide(data) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return |data| unsafe { x86::read_half(data) };
        }
    }
    read
}

/// The widest copying loop that this CPU runs.
fn copier() -> fn(&[f32], &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the CPU has the feature that the function is compiled for.
            return |data, other| unsafe { x86::copy_wide(data, other) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return |data, other| unsafe { x86::copy_half(data, other) };
        }
    }
    copy
}

/// Copies all elements with their signs turned, as a kernel would and no library's copy does.
#[inline(always)]
fn copy(data: &[f32], other: &mut [f32]) {
    for (to, from) in other.iter_mut().zip(data) {
        *to = -*from;
    }
}

/// Joins all elements, as every compiler can vectorise it; elements behind the last whole block are left out.
#[inline(always)]
fn read(data: &[f32]) -> f32 {
    let mut joined = [0u32; BLOCK];
    for block in data.chunks_exact(BLOCK) {
        for (joined, x) in joined.iter_mut().zip(block) {
            *joined |= x.to_bits();
        }
    }
    f32::from_bits(joined.into_iter().fold(0, |a, b| a | b))
}

/// Loops of as many rounds as a measurement has.
struct Loops {
    /// Lanes of a vector.
    lanes: u64,
    /// Multiply-adds.
    products: fn(f32) -> f32,
    /// Multiply-adds, additions, and integers.
    mixed: fn(f32) -> f32,
}

/// The widest loops that this CPU runs.
fn widest() -> Loops {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the CPU has the feature that the functions are compiled for.
            return Loops { lanes: 16, products: |x| unsafe { x86::wide(x) }, mixed: |x| unsafe { x86::wide_mixed(x) } };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            return Loops { lanes: 8, products: |x| unsafe { x86::half(x) }, mixed: |x| unsafe { x86::half_mixed(x) } };
        }
    }
    Loops { lanes: 4, products: plain, mixed: plain }
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
    use std::arch::x86_64::{
        _mm256_add_epi32, _mm256_add_ps, _mm256_castps_si256, _mm256_castsi256_ps, _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_add_epi32, _mm512_add_ps,
        _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cvtss_f32, _mm512_fmadd_ps, _mm512_set1_ps,
    };

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

    #[target_feature(enable = "avx512f")]
    pub(super) fn wide_mixed(x: f32) -> f32 {
        let (x, n) = (_mm512_set1_ps(x), _mm512_castps_si512(_mm512_set1_ps(x)));
        let (mut products, mut sums, mut numbers) = ([x; CHAINS / 3], [x; CHAINS / 3], [n; CHAINS / 3]);
        for _ in 0..ROUNDS {
            for k in 0..CHAINS / 3 {
                products[k] = _mm512_fmadd_ps(products[k], x, x);
                sums[k] = _mm512_add_ps(sums[k], x);
                numbers[k] = _mm512_add_epi32(numbers[k], n);
            }
        }
        products.into_iter().chain(sums).chain(numbers.map(|number| _mm512_castsi512_ps(number))).map(|sum| _mm512_cvtss_f32(sum)).sum()
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn half_mixed(x: f32) -> f32 {
        let (x, n) = (_mm256_set1_ps(x), _mm256_castps_si256(_mm256_set1_ps(x)));
        let (mut products, mut sums, mut numbers) = ([x; CHAINS / 3], [x; CHAINS / 3], [n; CHAINS / 3]);
        for _ in 0..ROUNDS {
            for k in 0..CHAINS / 3 {
                products[k] = _mm256_fmadd_ps(products[k], x, x);
                sums[k] = _mm256_add_ps(sums[k], x);
                numbers[k] = _mm256_add_epi32(numbers[k], n);
            }
        }
        products.into_iter().chain(sums).chain(numbers.map(|number| _mm256_castsi256_ps(number))).map(|sum| _mm256_cvtss_f32(sum)).sum()
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn read_wide(data: &[f32]) -> f32 {
        super::read(data)
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn read_half(data: &[f32]) -> f32 {
        super::read(data)
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn copy_wide(data: &[f32], other: &mut [f32]) {
        super::copy(data, other);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn copy_half(data: &[f32], other: &mut [f32]) {
        super::copy(data, other);
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, bandwidth, copier, copying, gflops, read, reader, vectors};

    #[test]
    fn what_is_measured_is_done() {
        let data: Vec<f32> = (0..3 * BLOCK).map(|k| f32::from_bits(1 << (k % 20))).collect();
        assert_eq!(read(&data).to_bits(), (1 << 20) - 1);
        assert_eq!(reader()(&data).to_bits(), (1 << 20) - 1);
        let mut other = vec![0f32; data.len()];
        copier()(&data, &mut other);
        assert!(other.iter().zip(&data).all(|(a, b)| a.to_bits() == (-b).to_bits()));
        assert!(copying(1, 16 << 10) > 1.0);
        let (one, mixed, small, large) = (gflops(1), vectors(1), bandwidth(1, 16 << 10), bandwidth(2, 64 << 20));
        assert!(one > 1.0 && mixed > 0.1 && small > 1.0 && large > 0.1, "{one} {mixed} {small} {large}");
    }
}
