//! When each thread did what in a run.
//!
//! In: the begin and end of steps and of the ranges that threads take. Out: [`Span`]s. Must not know: what steps do.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A time in which a thread did something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// The step's number in [`Executable::leaves`](frit_ir::executable::Executable::leaves).
    pub step: usize,
    /// Which of the run's steps it was, counted as they ran: the body of a loop runs often.
    pub turn: u64,
    /// Who: 0 is the caller's thread.
    pub thread: usize,
    /// Nanoseconds from the begin of the run to its begin.
    pub start: u64,
    /// Nanoseconds from the begin of the run to its end.
    pub end: u64,
    /// The grid points of the kernel; none where it is the whole step, from its begin to when all threads were done.
    pub points: Option<Range<u64>>,
}

/// The spans of a run in progress.
pub(crate) struct Spans {
    start: Instant,
    step: AtomicUsize,
    turn: AtomicU64,
    threads: Vec<Mutex<Vec<Span>>>,
}

impl Spans {
    /// For so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        Self { start: Instant::now(), step: AtomicUsize::new(0), turn: AtomicU64::new(0), threads: (0..threads).map(|_| Mutex::default()).collect() }
    }

    /// Nanoseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// A step begins.
    pub(crate) fn begin(&self, step: usize) -> u64 {
        self.step.store(step, Ordering::Relaxed);
        self.turn.fetch_add(1, Ordering::Relaxed);
        self.now()
    }

    /// A thread has done a range of the step's points, or the step has ended.
    pub(crate) fn add(&self, thread: usize, start: u64, points: Option<Range<u64>>) {
        let span = Span { step: self.step.load(Ordering::Relaxed), turn: self.turn.load(Ordering::Relaxed), thread, start, end: self.now(), points };
        self.threads[thread].lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }

    /// All spans, by thread, in the order of their ends.
    pub(crate) fn finish(self) -> Vec<Span> {
        self.threads.into_iter().flat_map(|spans| spans.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
    }
}
