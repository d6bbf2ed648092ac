//! How many threads run a kernel, and whose they are.
//!
//! In: the caller's choice, and a number of grid points. Out: calls over ranges of grid points. Must not know: kernels.
//!
//! A thread begins with the same part of every grid, so that it finds in its cache what it wrote before (of two threads always; of
//! more as long as they join in the same order), and then helps others with theirs. The ranges depend on who is free; results don't,
//! because grid points are independent.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use frit_ir::Error;

use crate::pool::Pool;

/// More threads than this are a mistake.
const MOST: usize = 1024;

/// A range is at most this part of what is left of a thread's share: ranges get shorter, so that a thread that gets less
/// time than the others does not hold them up.
const PARTS: u64 = 4;

/// Threads above so many begin together with another one.
const SHARES: u64 = 16;

/// Ranges of least length that are worth waking a thread for. One that is awake joins for less.
const WORTH_WAKING: u64 = 4;

/// The threads of a session. Clones share them.
#[derive(Clone, Debug)]
pub struct Threads {
    count: usize,
    others: Others,
}

/// Threads beside the caller's.
#[derive(Clone)]
enum Others {
    None,
    Own(Arc<Pool>),
    Shared(Arc<rayon::ThreadPool>),
}

impl fmt::Debug for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Others::None => "none",
            Others::Own(_) => "own",
            Others::Shared(_) => "shared",
        })
    }
}

impl Threads {
    /// The caller's thread alone. Nothing is started.
    pub fn one() -> Self {
        Self { count: 1, others: Others::None }
    }

    /// So many threads, the caller's being one of them. The others are started now and end with the last clone. They are awake
    /// while kernels follow each other, and sleep when nothing has come for 200 microseconds. Where several callers
    /// run programs on the same threads at once, one has them for the time of a kernel, and the others go on alone.
    ///
    /// # Errors
    /// Invalid for none or more than a thousand; unsupported where the system gives no threads.
    pub fn count(count: usize) -> Result<Self, Error> {
        match count {
            1 => Ok(Self::one()),
            2..=MOST => {
                let pool = Pool::new(count - 1).map_err(|error| Error::unsupported(format!("can't start {count} threads: {error}")).help("ask for fewer threads"))?;
                Ok(Self { count, others: Others::Own(Arc::new(pool)) })
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

    /// A pool that the caller shares with other work. Each kernel that is worth it is a `rayon` scope there.
    pub fn shared(pool: Arc<rayon::ThreadPool>) -> Self {
        Self { count: pool.current_num_threads().clamp(1, MOST), others: Others::Shared(pool) }
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
    ///
    /// # Panics
    /// As `work`, on whichever thread it did.
    pub fn split(&self, points: u64, grain: u64, work: impl Fn(usize, Range<u64>) + Sync) {
        let grain = grain.max(1);
        let grains = points / grain;
        let workers = grains.clamp(1, self.count as u64);
        if workers == 1 {
            return work(0, 0..points);
        }
        // Grains that are taken of each share.
        let taken = [const { AtomicU64::new(0) }; SHARES as usize];
        let shares = workers.min(SHARES);
        let first = |share: u64| grains / shares * share + share.min(grains % shares);
        let run = |worker: usize| {
            for share in (0..shares).map(|next| (worker as u64 + next) % shares) {
                let (taken, first, end) = (&taken[share as usize], first(share), first(share + 1));
                let mut begin = first + taken.load(Ordering::Relaxed);
                while begin < end {
                    let next = begin + ((end - begin) / PARTS).max(1);
                    match taken.compare_exchange_weak(begin - first, next - first, Ordering::Relaxed, Ordering::Relaxed) {
                        Ok(_) => {
                            work(worker, begin * grain..if next == grains { points } else { next * grain });
                            begin = first + taken.load(Ordering::Relaxed);
                        }
                        Err(now) => begin = first + now,
                    }
                }
            }
        };
        match &self.others {
            Others::None => work(0, 0..points),
            Others::Own(pool) => {
                if !pool.run(workers as usize - 1, grains >= WORTH_WAKING, &run) {
                    work(0, 0..points);
                }
            }
            Others::Shared(pool) => pool.in_place_scope(|scope| {
                for worker in 1..workers as usize {
                    let run = &run;
                    scope.spawn(move |_| run(worker));
                }
                run(0);
            }),
        }
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
