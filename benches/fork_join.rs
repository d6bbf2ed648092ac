//! What it costs to fork work and to join it.
//!
//! `cargo bench --workspace --bench fork_join`: for pools of 2, 4 and 8 threads, and for one of `rayon` beside them, nanoseconds
//! of a kernel's launch that does nothing but wait for another thread to take part (50 us at most): while the threads are awake, and
//! after they fell asleep; and in what part of the launches another one came. Then what a second thread brings for work of so many
//! nanoseconds.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use frit_runtime::Threads;

/// Launches in a measurement while threads are awake, and after they fell asleep.
const AWAKE: usize = 20_000;
const ASLEEP: usize = 300;

/// How long a caller waits for another thread.
const PATIENCE: Duration = Duration::from_micros(50);

fn main() {
    let rayon = |count: usize| rayon::ThreadPoolBuilder::new().num_threads(count).build().map(|pool| Threads::shared(Arc::new(pool)));
    println!("{:10} {:>7} {:>12} {:>10} {:>12} {:>10} {:>8}", "pool", "threads", "awake ns", "p99", "asleep ns", "p99", "joined");
    for count in [2, 4, 8] {
        if let Ok(own) = Threads::count(count) {
            row("frit", count, &own);
        }
        if let Ok(shared) = rayon(count) {
            row("rayon", count, &shared);
        }
    }
    let Ok(two) = Threads::count(2) else { return };
    println!("\n{:>12} {:>12} {:>12}", "work ns", "1 thread", "2 threads");
    for work in [250, 500, 1000, 2000, 4000, 8000, 16_000, 64_000] {
        // Parts of the work, as a kernel of 32 grains.
        let part = |_: usize, range: std::ops::Range<u64>| spin(work / 32 * (range.end - range.start));
        let timed = |launch: &dyn Fn()| {
            let start = Instant::now();
            launch();
            start.elapsed()
        };
        let (one, both) = (percentiles(AWAKE / 4, || timed(&|| part(0, 0..32))), percentiles(AWAKE / 4, || timed(&|| two.split(32, 1, part))));
        println!("{work:12} {:12} {:12}", one.0, both.0);
    }
}

/// Measures a pool.
fn row(name: &str, count: usize, threads: &Threads) {
    let (met, joined) = (AtomicBool::new(false), AtomicU64::new(0));
    let launch = || {
        met.store(false, Ordering::Relaxed);
        let start = Instant::now();
        threads.split(64, 1, |worker, _| {
            if worker > 0 {
                met.store(true, Ordering::Relaxed);
                return;
            }
            while !met.load(Ordering::Relaxed) && start.elapsed() < PATIENCE {
                std::hint::spin_loop();
            }
        });
        joined.fetch_add(u64::from(met.load(Ordering::Relaxed)), Ordering::Relaxed);
    };
    let timed = || {
        let start = Instant::now();
        launch();
        start.elapsed()
    };
    let awake = percentiles(AWAKE, timed);
    let part = joined.load(Ordering::Relaxed) as f64 / AWAKE as f64;
    let asleep = percentiles(ASLEEP, || {
        std::thread::sleep(Duration::from_millis(1));
        timed()
    });
    println!("{name:10} {count:7} {:12} {:10} {:12} {:10} {part:8.2}", awake.0, awake.1, asleep.0, asleep.1);
}

/// Median and 99th percentile of so many times, in nanoseconds.
fn percentiles(runs: usize, mut time: impl FnMut() -> Duration) -> (u128, u128) {
    let mut times: Vec<u128> = (0..runs).map(|_| time().as_nanos()).collect();
    times.sort_unstable();
    (times[runs / 2], times[runs * 99 / 100])
}

/// Is busy for so many nanoseconds.
fn spin(ns: u64) {
    let start = Instant::now();
    while start.elapsed().as_nanos() < u128::from(ns) {
        std::hint::spin_loop();
    }
}
