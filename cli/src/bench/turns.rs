//! Programs that are timed in turn, round by round, so that what else the machine does meets all alike.
//!
//! In: things that run. Out: their times. Must not know: what they are.

use std::time::{Duration, Instant};

use frit::Error;

/// How long each is repeated where the number of runs is not given, all rounds together.
const ENOUGH: Duration = Duration::from_secs(1);

/// Rounds of turns, where there are several.
const ROUNDS: usize = 5;

/// Runs a batch: the milliseconds of each run. Ends after so many runs, or where none are given after the time.
pub(super) type Batch<'r> = Box<dyn FnMut(Option<usize>, Duration) -> Result<Vec<f64>, Error> + 'r>;

/// Something that is timed.
pub(super) struct Timed<'r> {
    /// What it is called.
    pub name: String,
    pub batch: Batch<'r>,
    /// Milliseconds of each run; sorted in the end.
    pub times: Vec<f64>,
}

impl<'r> Timed<'r> {
    pub(super) fn new(name: &str, batch: Batch<'r>) -> Self {
        Self { name: name.to_owned(), batch, times: Vec::new() }
    }

    pub(super) fn median(&self) -> f64 {
        self.times[self.times.len() / 2]
    }

    pub(super) fn least(&self) -> f64 {
        self.times[0]
    }
}

/// Times them all, `runs` runs each.
pub(super) fn time(all: &mut [Timed<'_>], runs: Option<usize>) -> Result<(), Error> {
    let rounds = if all.len() > 1 { ROUNDS } else { 1 };
    for round in 0..rounds {
        // The runs are dealt out to the rounds; each has one at least where their number is free.
        let part = runs.map(|runs| runs.max(1)).map(|runs| runs * (round + 1) / rounds - runs * round / rounds);
        for timed in all.iter_mut().filter(|_| part != Some(0)) {
            timed.times.extend((timed.batch)(part, ENOUGH / rounds as u32)?);
        }
    }
    all.iter_mut().for_each(|timed| timed.times.sort_by(f64::total_cmp));
    Ok(())
}

/// A batch of something that is called here.
pub(super) fn called<'r>(mut run: impl FnMut() -> Result<(), Error> + 'r) -> Batch<'r> {
    Box::new(move |runs, enough| {
        let (begin, mut times) = (Instant::now(), Vec::new());
        while runs.map_or_else(|| times.is_empty() || begin.elapsed() < enough, |runs| times.len() < runs) {
            let start = Instant::now();
            run()?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(times)
    })
}

#[cfg(test)]
mod tests {
    use super::{Timed, called, time};

    #[test]
    fn turns_are_dealt_out_evenly() {
        for runs in [1, 3, 5, 7, 23] {
            let order = std::cell::RefCell::new(String::new());
            let run = |name: char| called({
                let order = &order;
                move || {
                    order.borrow_mut().push(name);
                    Ok(())
                }
            });
            let mut all = [Timed::new("a", run('a')), Timed::new("b", run('b'))];
            time(&mut all, Some(runs)).expect("no error");
            assert!(all.iter().all(|timed| timed.times.len() == runs && timed.least() <= timed.median()));
            drop(all);
            let order = order.into_inner();
            assert!(order.len() == 2 * runs && (runs < 2 || order.matches("ba").count() > 0), "{order}");
        }
    }
}
