//! Threads that wait for work: a few at once help the caller with one piece, and are let go.
//!
//! In: work that any number of threads may do together. Out: the work, done. Must not know: ranges, kernels.
//!
//! A caller *opens* its work by one atomic store that says how many may help. Threads that are awake join it and leave it by one
//! atomic operation each. When the caller's own part returns, it closes the work and waits for those who are inside; one who
//! has not joined by then holds nobody up. Threads spin for [`SPIN`] after their last work, because waking one takes longer
//! than most kernels; then they sleep. A caller who finds the pool at work for another one does its work alone: its own thread is
//! there anyway, and nobody ever waits for another caller's work.

#![allow(unsafe_code, reason = "threads that outlive a call do work that borrows from it")]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a thread without work stays awake: the time of many small kernels, and of what lies between two runs, so that it is there for the
/// next kernel that is worth it. One that is woken begins where it was woken, and that is often where the caller works.
const SPIN: Duration = Duration::from_micros(200);

/// Looks at the state between two looks at the clock.
const LOOKS: u32 = 32;

/// One thread inside, in [`Shared::state`].
const INSIDE: u32 = 1;
/// Those inside.
const ALL_INSIDE: u32 = 0x7fff;
/// The caller sleeps until nobody is inside.
const WAITING: u32 = 0x8000;
/// A place for one more thread.
const PLACE: u32 = 0x1_0000;

/// Work in progress, on its caller's stack.
struct Job<'w> {
    /// Called once by each thread that joins, with its place, from 1.
    work: &'w (dyn Fn(usize) + Sync),
    /// What the first thread that panicked did so with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Who sleeps.
struct Sleep {
    /// Threads that nobody has woken.
    asleep: usize,
    /// Threads that were woken and are not up yet.
    woken: usize,
}

/// What the threads and their callers see.
#[repr(align(128))]
struct Shared {
    /// Places that are free, whether the caller sleeps, and who is inside. 0 between two pieces of work.
    state: AtomicU32,
    /// The work, while there are places or threads inside.
    job: AtomicPtr<Job<'static>>,
    /// Has a caller got the pool?
    busy: AtomicBool,
    stop: AtomicBool,
    /// [`Sleep::asleep`], to be seen without the lock.
    asleep: AtomicUsize,
    sleep: Mutex<Sleep>,
    /// Somebody was woken.
    up: Condvar,
    /// Nobody is inside any more.
    left: Condvar,
}

/// The threads; they end when it is dropped.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts so many threads, fewer than 2^15.
    ///
    /// # Errors
    /// The system's, where it gives no more threads.
    pub(crate) fn new(count: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: AtomicU32::new(0),
            job: AtomicPtr::new(ptr::null_mut()),
            busy: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            asleep: AtomicUsize::new(0),
            sleep: Mutex::new(Sleep { asleep: 0, woken: 0 }),
            up: Condvar::new(),
            left: Condvar::new(),
        });
        // One who spins where there is no core for it would take the time from those who work.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut pool = Self { shared, threads: Vec::with_capacity(count) };
        for number in 1..=count {
            let shared = Arc::clone(&pool.shared);
            let spin = if number < cores { SPIN } else { Duration::ZERO };
            pool.threads.push(std::thread::Builder::new().name(format!("frit-{number}")).spawn(move || shared.serve(spin))?);
        }
        Ok(pool)
    }

    /// Calls `work(0)` here and, at the same time, `work` with other numbers up to `helpers` on threads that join, each number
    /// at most once. When one of the calls returns, there must be nothing left to begin. Threads that sleep are woken only if
    /// `wake`. Calls nothing, and says no, if nobody would help: all sleep, or the pool is at work, for another caller or for this one.
    ///
    /// # Panics
    /// As `work`, wherever it did.
    pub(crate) fn run(&self, helpers: usize, wake: bool, work: &(dyn Fn(usize) + Sync)) -> bool {
        let shared = &*self.shared;
        let helpers = helpers.min(self.threads.len());
        let nobody = helpers == 0 || (!wake && shared.asleep.load(Ordering::Relaxed) == self.threads.len());
        if nobody || shared.busy.swap(true, Ordering::Acquire) {
            return false;
        }
        let job = Job { work, panic: Mutex::new(None) };
        shared.job.store(ptr::from_ref(&job).cast_mut().cast(), Ordering::Relaxed);
        // Whoever sees the places sees the job. Either this thread sees a sleeper below, or the sleeper sees the places.
        shared.state.store(helpers as u32 * PLACE, Ordering::SeqCst);
        let open = Open(shared);
        if wake {
            shared.wake();
        }
        work(0);
        drop(open);
        if let Some(panic) = job.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(panic);
        }
        true
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(self.shared.lock());
        self.shared.up.notify_all();
        for thread in self.threads.drain(..) {
            // What panics in work is caught there.
            let _ = thread.join();
        }
    }
}

/// Work that is open; closed, and left by all, when it is dropped, also by a panic.
struct Open<'s>(&'s Shared);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Sleep> {
        self.sleep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life.
    fn serve(&self, spin: Duration) {
        while let Some(place) = self.joined(spin) {
            // SAFETY: this thread is inside. The caller stored the pointer before it opened the work, joining acquired that, and
            // the caller does not leave `Pool::run`, where the job and what it borrows live, while a thread is inside.
            let job = unsafe { &*self.job.load(Ordering::Relaxed) };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (job.work)(place))) {
                job.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
            }
            self.leave();
        }
    }

    /// Waits for work and joins it: the place; nothing when the pool ends.
    fn joined(&self, spin: Duration) -> Option<usize> {
        let mut until = Instant::now() + spin;
        loop {
            for _ in 0..LOOKS {
                if let Some(place) = self.join() {
                    return Some(place);
                }
                std::hint::spin_loop();
            }
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            if Instant::now() >= until {
                self.nap();
                until = Instant::now() + spin;
            }
        }
    }

    /// Joins the work, if there is a place.
    fn join(&self) -> Option<usize> {
        let mut state = self.state.load(Ordering::Relaxed);
        while state >= PLACE {
            match self.state.compare_exchange_weak(state, state - PLACE + INSIDE, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => {
                    let place = state / PLACE;
                    if place > 1 {
                        // Threads wake each other, so that it takes the caller no longer where they are many.
                        self.wake();
                    }
                    return Some(place as usize);
                }
                Err(now) => state = now,
            }
        }
        None
    }

    /// Leaves the work, of which nothing is left to begin.
    fn leave(&self) {
        let mut state = self.state.load(Ordering::Relaxed);
        while let Err(now) = self.state.compare_exchange_weak(state, state % PLACE - INSIDE, Ordering::Release, Ordering::Relaxed) {
            state = now;
        }
        if state % PLACE == WAITING + INSIDE {
            drop(self.lock());
            self.left.notify_all();
        }
    }

    /// Lets nobody join any more and waits until all have left.
    fn close(&self) {
        let mut state = self.state.fetch_and(PLACE - 1, Ordering::Acquire);
        let mut looks = 0u32;
        let mut until = None;
        while state & ALL_INSIDE > 0 {
            looks += 1;
            if looks.is_multiple_of(LOOKS) && Instant::now() >= *until.get_or_insert_with(|| Instant::now() + SPIN) {
                self.state.fetch_or(WAITING, Ordering::Relaxed);
                let mut sleep = self.lock();
                while self.state.load(Ordering::Acquire) & ALL_INSIDE > 0 {
                    sleep = self.left.wait(sleep).unwrap_or_else(PoisonError::into_inner);
                }
                break;
            }
            std::hint::spin_loop();
            state = self.state.load(Ordering::Acquire);
        }
        self.state.store(0, Ordering::Relaxed);
        self.busy.store(false, Ordering::Release);
    }

    /// Sleeps until somebody wakes this thread or there is work.
    fn nap(&self) {
        let mut sleep = self.lock();
        sleep.asleep += 1;
        self.asleep.store(sleep.asleep, Ordering::SeqCst);
        while sleep.woken == 0 && self.state.load(Ordering::SeqCst) < PLACE && !self.stop.load(Ordering::SeqCst) {
            sleep = self.up.wait(sleep).unwrap_or_else(PoisonError::into_inner);
        }
        if sleep.woken > 0 {
            sleep.woken -= 1;
        } else {
            sleep.asleep -= 1;
            self.asleep.store(sleep.asleep, Ordering::SeqCst);
        }
    }

    /// Wakes a thread, if one sleeps.
    fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut sleep = self.lock();
        if sleep.asleep > 0 {
            sleep.asleep -= 1;
            sleep.woken += 1;
            self.asleep.store(sleep.asleep, Ordering::SeqCst);
            drop(sleep);
            self.up.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::{Pool, SPIN};

    /// Adds the numbers below `count` up, each taken by whoever is free.
    fn sum(pool: &Pool, helpers: usize, count: u64) -> (u64, bool) {
        let (next, sum) = (AtomicU64::new(0), AtomicU64::new(0));
        let add = |_: usize| {
            loop {
                let k = next.fetch_add(1, Ordering::Relaxed);
                if k >= count {
                    break;
                }
                sum.fetch_add(k, Ordering::Relaxed);
            }
        };
        let ran = pool.run(helpers, true, &add);
        (sum.into_inner(), ran)
    }

    #[test]
    fn all_work_is_done_before_run_returns() {
        for threads in [1, 3, 16] {
            let pool = Pool::new(threads).expect("threads");
            for round in 0..300 {
                assert_eq!(sum(&pool, threads, 100), (4950, true), "{threads} threads, round {round}");
                if round % 100 == 0 {
                    std::thread::sleep(SPIN * 4);
                }
            }
        }
    }

    #[test]
    fn places_are_given_once_and_none_beyond_what_is_asked() {
        let pool = Pool::new(4).expect("threads");
        for round in 0..500 {
            let places: [AtomicUsize; 5] = std::array::from_fn(|_| AtomicUsize::new(0));
            assert!(pool.run(2, true, &|place| {
                places[place].fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(round % 50));
            }));
            let counts = places.map(AtomicUsize::into_inner);
            assert!(counts[0] == 1 && counts[1] <= 1 && counts[2] <= 1 && counts[3..] == [0, 0], "{counts:?}");
        }
    }

    #[test]
    fn callers_at_once_get_it_one_at_a_time() {
        let pool = Pool::new(2).expect("threads");
        let helped: usize = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..200).map(|_| sum(&pool, 2, 50)).filter(|(sum, ran)| (*ran && *sum == 1225) || (!ran && *sum == 0)).count())).collect();
            callers.into_iter().map(|caller| caller.join().expect("no panic")).sum()
        });
        assert_eq!(helped, 4 * 200);
        // Work that asks for its own pool is not helped, and does not wait for itself.
        assert!(pool.run(2, true, &|_| assert!(!pool.run(2, true, &|_| unreachable!("the pool is at work")))));
    }

    #[test]
    fn panics_reach_the_caller_and_leave_the_pool_whole() {
        let pool = Pool::new(2).expect("threads");
        for culprit in [0, 1, 2] {
            let mut caught = 0;
            for _ in 0..20 {
                let met = AtomicUsize::new(0);
                let done = catch_unwind(AssertUnwindSafe(|| {
                    pool.run(2, true, &|place| {
                        met.fetch_add(1, Ordering::Relaxed);
                        // All wait for each other, for a while.
                        let start = Instant::now();
                        while met.load(Ordering::Relaxed) < 3 && start.elapsed() < Duration::from_millis(20) {
                            std::thread::yield_now();
                        }
                        assert!(place != culprit, "culprit {culprit}");
                    })
                }));
                if let Err(panic) = done {
                    assert_eq!(panic.downcast_ref::<String>(), Some(&format!("culprit {culprit}")));
                    caught += 1;
                }
                assert_eq!(sum(&pool, 2, 10), (45, true));
            }
            assert!(caught > 0, "{culprit}");
        }
    }

    #[test]
    fn threads_that_sleep_are_left_alone_unless_they_are_to_be_woken() {
        let pool = Pool::new(2).expect("threads");
        std::thread::sleep(Duration::from_millis(50));
        assert!(!pool.run(2, false, &|_| unreachable!("nobody is awake")));
        assert_eq!(sum(&pool, 2, 10), (45, true));
    }
}
