//! How many threads run a kernel, and whose they are.
//!
//! In: the caller's choice, and a number of grid points. Out: calls over ranges of grid points. Must not know: kernels.
//!
//! The ranges depend on who is free; results don't, because grid points are independent.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use frit_ir::Error;

/// More threads than this are a mistake.
const MOST: usize = 1024;

/// Ranges per thread, so that a thread that gets less time than the others does not hold them up.
const RANGES_PER_THREAD: u64 = 4;

/// The threads of a session.
#[derive(Clone, Debug)]
pub struct Threads {
    count: usize,
    pool: Option<Arc<rayon::ThreadPool>>,
}

impl Threads {
    /// The caller's thread alone. Nothing is started.
    pub fn one() -> Self {
        Self { count: 1, pool: None }
    }

    /// So many threads, the caller's being one of them.
    ///
    /// # Errors
    /// Invalid for none or more than a thousand; unsupported where the system gives no threads.
    pub fn count(count: usize) -> Result<Self, Error> {
        match count {
            1 => Ok(Self::one()),
            2..=MOST => {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(count - 1)
                    .thread_name(|at| format!("frit-{}", at + 1))
                    .build()
                    .map_err(|error| Error::unsupported(format!("can't start {count} threads: {error}")).help("ask for fewer threads"))?;
                Ok(Self { count, pool: Some(Arc::new(pool)) })
            }
            _ => Err(Error::invalid(format!("{count} threads can't run a program")).help(format!("give a number from 1 to {MOST}"))),
        }
    }

    /// As many threads as the machine has for this process.
    ///
    /// # Errors
    /// As [`Threads::count`].
    pub fn all() -> Result<Self, Error> {
        Self::count(std::thread::available_parallelism().map_or(1, usize::from).min(MOST))
    }

    /// A pool that the caller shares with other work.
    pub fn shared(pool: Arc<rayon::ThreadPool>) -> Self {
        Self { count: pool.current_num_threads().clamp(1, MOST), pool: Some(pool) }
    }

    /// How many run at a time, at most.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Never: the caller's thread is always there.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Calls `work(worker, range)` until the ranges have covered `0..points`. Ranges have at least `grain` points (but
    /// the last); no two calls at the same time have the same worker number, which is below [`Threads::len`].
    pub(crate) fn split(&self, points: u64, grain: u64, work: impl Fn(usize, Range<u64>) + Sync) {
        let workers = (points / grain.max(1)).clamp(1, self.count as u64);
        let Some(pool) = self.pool.as_ref().filter(|_| workers > 1) else {
            return work(0, 0..points);
        };
        let length = points.div_ceil(workers * RANGES_PER_THREAD).max(grain);
        let next = AtomicU64::new(0);
        let run = |worker: usize| {
            loop {
                let begin = next.fetch_add(1, Ordering::Relaxed).saturating_mul(length);
                if begin >= points {
                    break;
                }
                work(worker, begin..points.min(begin.saturating_add(length)));
            }
        };
        pool.in_place_scope(|scope| {
            for worker in 1..workers as usize {
                let run = &run;
                scope.spawn(move |_| run(worker));
            }
            run(0);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::Threads;

    #[test]
    fn ranges_cover_the_grid_once() {
        for threads in [1, 2, 3, 8] {
            let threads = Threads::count(threads).expect("threads");
            for (points, grain) in [(0, 1), (1, 1), (7, 1), (100, 3), (100, 1000), (1000, 7), (u64::from(u32::MAX), 1 << 20)] {
                let ranges = Mutex::new(Vec::new());
                threads.split(points, grain, |worker, range| {
                    assert!(worker < threads.len());
                    ranges.lock().expect("no panic").push((range.start, range.end));
                });
                let mut ranges = ranges.into_inner().expect("no panic");
                ranges.sort_unstable();
                assert_eq!(ranges.first().expect("a range").0, 0);
                assert_eq!(ranges.last().expect("a range").1, points);
                assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0));
                assert!(ranges[..ranges.len() - 1].iter().all(|(a, b)| b - a >= grain));
            }
        }
    }

    #[test]
    fn no_threads_and_too_many_are_refused() {
        assert!(Threads::count(0).is_err_and(|error| error.is_invalid()));
        assert!(Threads::count(1_000_000).is_err_and(|error| error.is_invalid()));
    }
}
