//! The past of a job or pipeline: whether a run took longer, or failed more often, than runs of it do.
//!
//! A run is one reading, now and then; the evidence of [`crate::judge`], which is gathered over time, does not suit that.
//! So each run is compared with those before it, and what is strange is told once, until it is over.

use heapless::Deque;
use serde::{Deserialize, Serialize};

/// Durations that are remembered.
const RUNS: usize = 32;
/// No run is called slow before so many that succeeded are known.
const LEAST_RUNS: usize = 8;
/// Outcomes that are remembered.
const OUTCOMES: u32 = 32;
/// A slow run is beyond the usual by so many robust standard deviations of the logarithm, …
const DEVIATIONS: f32 = 4.0;
/// … which are at least as large as this, …
const LEAST_SPREAD: f32 = 0.07;
/// … and by so many seconds, …
const LEAST_S: f32 = 10.0;
/// … and longer than any that is known, by so much: of jobs that are long now and then the longest is no news.
const LONGER: f32 = 1.25;
/// How many deviations are said to be expected.
const EXPECTED: f32 = 2.0;
/// Failures in a row are told when chance makes so many of them in one of a hundred cases at most.
const CHANCE: f32 = 0.01;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should. Its duration counts.
    Succeeded,
    /// It did not.
    Failed,
    /// Somebody or something ended it before, or it was left out. It says nothing.
    Cancelled,
}

/// What a run is beside those before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finding {
    /// It took a good deal longer than any that is known, and much longer than usual: between these, in seconds.
    Slow {
        /// Least that was expected.
        from: f32,
        /// Most.
        to: f32,
    },
    /// So many in a row failed, of which usually so large a share does.
    Failing {
        /// How many.
        in_a_row: u16,
        /// The usual share.
        usual: f32,
    },
    /// It is as usual again.
    Recovered,
}

/// What is remembered of one job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// Seconds of the last runs that succeeded.
    seconds: Deque<f32, RUNS>,
    /// The last outcomes before this row of failures; a bit is a failure, the lowest is the last.
    failures: u32,
    outcomes: u8,
    in_a_row: u16,
    is_slow: bool,
    is_failing: bool,
}

impl Past {
    /// Judges a run, then remembers it. Of slow and failing each is told once.
    pub fn take(&mut self, outcome: Outcome, seconds: Option<f32>) -> Option<Finding> {
        match outcome {
            Outcome::Cancelled => None,
            Outcome::Failed => self.fail(),
            Outcome::Succeeded => {
                let was_failing = core::mem::take(&mut self.is_failing);
                self.end_row();
                self.note(false);
                let slow = seconds.filter(|s| s.is_finite() && *s >= 0.0).and_then(|s| self.time(s));
                slow.or_else(|| was_failing.then_some(Finding::Recovered))
            }
        }
    }

    /// Seconds of the last run that succeeded.
    #[must_use]
    pub fn last(&self) -> Option<f32> {
        self.seconds.back().copied()
    }

    /// The share of failures in the last runs.
    #[must_use]
    pub fn failed(&self) -> f32 {
        let row = u32::from(self.in_a_row).min(OUTCOMES);
        let known = OUTCOMES.min(u32::from(self.outcomes) + row);
        let before = known - row;
        let mask = if before == 0 { 0 } else { u32::MAX >> (OUTCOMES - before) };
        let failed = row + (self.failures & mask).count_ones();
        failed as f32 / (known.max(1)) as f32
    }

    fn fail(&mut self) -> Option<Finding> {
        self.in_a_row = self.in_a_row.saturating_add(1);
        // Before anything is known, half of them fail.
        let usual = (self.failures.count_ones() as f32 + 1.0) / (f32::from(self.outcomes) + 2.0);
        let is_chance = libm::powf(usual, f32::from(self.in_a_row)) > CHANCE;
        if is_chance || core::mem::replace(&mut self.is_failing, true) {
            return None;
        }
        Some(Finding::Failing { in_a_row: self.in_a_row, usual })
    }

    /// A row of failures is a part of the past when it is over.
    fn end_row(&mut self) {
        for _ in 0..self.in_a_row.min(OUTCOMES as u16) {
            self.note(true);
        }
        self.in_a_row = 0;
    }

    fn note(&mut self, failed: bool) {
        self.failures = self.failures << 1 | u32::from(failed);
        self.outcomes = (self.outcomes + 1).min(OUTCOMES as u8);
    }

    fn time(&mut self, seconds: f32) -> Option<Finding> {
        let usual = self.usual();
        if self.seconds.is_full() {
            self.seconds.pop_front();
        }
        let longest = self.seconds.iter().copied().fold(0.0, f32::max);
        // There is room.
        let _room = self.seconds.push_back(seconds);
        let (median, spread) = usual?;
        let at = |deviations: f32| median * libm::expf(deviations * spread);
        let is_slow = seconds > at(DEVIATIONS) && seconds > median + LEAST_S;
        let was_slow = core::mem::replace(&mut self.is_slow, is_slow);
        match (was_slow, is_slow) {
            // What took as long before is no news.
            (false, true) if seconds > longest * LONGER => {
                Some(Finding::Slow { from: at(-EXPECTED), to: at(EXPECTED) })
            }
            (true, false) => Some(Finding::Recovered),
            _ => None,
        }
    }

    /// The median of the durations, and the robust standard deviation of their logarithms. Of few runs it is not known
    /// well, so it is taken for larger.
    fn usual(&self) -> Option<(f32, f32)> {
        let n = self.seconds.len();
        let mut sorted = [0.0; RUNS];
        let sorted = &mut sorted[..n];
        for (to, seconds) in sorted.iter_mut().zip(&self.seconds) {
            *to = libm::logf(seconds.max(0.1));
        }
        let median = middle(sorted)?;
        for x in sorted.iter_mut() {
            *x = (*x - median).abs();
        }
        let spread = middle(sorted)? * 1.4826 * (1.0 + 4.0 / n as f32);
        (n >= LEAST_RUNS).then(|| (libm::expf(median), spread.max(LEAST_SPREAD)))
    }
}

fn middle(values: &mut [f32]) -> Option<f32> {
    values.sort_unstable_by(f32::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const OK: Outcome = Outcome::Succeeded;
    const BAD: Outcome = Outcome::Failed;

    /// What each run is found to be, by its place.
    fn findings(runs: impl IntoIterator<Item = (Outcome, f32)>) -> Vec<(usize, Finding)> {
        let mut past = Past::default();
        let found = runs
            .into_iter()
            .enumerate()
            .filter_map(|(i, (outcome, s))| Some((i, past.take(outcome, Some(s))?)));
        found.collect()
    }

    fn usual() -> impl Iterator<Item = (Outcome, f32)> {
        (0..20_u8).map(|i| (OK, 100.0 + f32::from(i % 5)))
    }

    #[test]
    fn a_slow_run_is_told_once_and_so_is_the_first_that_is_not() {
        let found =
            findings(usual().chain([(OK, 160.0), (OK, 170.0), (OK, 101.0), (OK, 102.0), (OK, 165.0)]));
        assert_eq!(found.len(), 2, "the last one is no news: it took as long before: {found:?}");
        assert!(
            matches!(found[0], (20, Finding::Slow { from, to }) if from > 80.0 && from < 100.0 && to > 104.0 && to < 125.0)
        );
        assert_eq!(found[1], (22, Finding::Recovered));
        assert_eq!(findings([(OK, 100.0), (OK, 900.0)]), [], "two say nothing");
        assert_eq!(
            findings((0..9_u8).map(|i| (OK, if i == 8 { 8.0 } else { 1.0 }))),
            [],
            "seven seconds are nobody's time"
        );
        assert_eq!(findings(usual().chain([(BAD, 900.0)])), [], "how long a failure takes says nothing");
    }

    #[test]
    fn a_job_that_takes_longer_from_now_on_is_told_once() {
        let found = findings(usual().chain((0..60_u8).map(|i| (OK, 200.0 + f32::from(i % 5)))));
        assert!(matches!(found[0], (20, Finding::Slow { .. })), "{found:?}");
        assert!(found.len() == 2 && found[1].1 == Finding::Recovered, "it is usual then: {found:?}");
    }

    #[test]
    fn failures_are_told_when_they_are_more_than_chance() {
        let bad = || (BAD, 5.0);
        let found = findings(usual().chain([bad(), bad(), bad(), (OK, 101.0), (OK, 101.0)]));
        assert!(
            matches!(found[0], (21, Finding::Failing { in_a_row: 2, usual }) if usual < 0.05),
            "{found:?}"
        );
        assert_eq!(found[1..], [(23, Finding::Recovered)]);
        // Every other one fails: seven in a row are not usual even there.
        let flaky = || (0..40_u8).map(|i| (if i % 2 == 0 { OK } else { BAD }, 50.0));
        assert_eq!(findings(flaky()), []);
        assert_eq!(findings(flaky().chain([bad(); 4])), []);
        assert_eq!(findings(flaky().chain([bad(); 8])).len(), 1);
        assert_eq!(findings([bad(); 6]), []);
        assert_eq!(findings([bad(); 20]).len(), 1, "a job that never succeeded is told, too");
        assert_eq!(findings(usual().chain([(Outcome::Cancelled, 1.0); 9])), []);
    }

    #[test]
    fn the_share_of_failures() {
        let check = |runs: &[Outcome], want: f32| {
            let mut past = Past::default();
            for outcome in runs {
                let _any = past.take(*outcome, None);
            }
            assert_eq!(past.failed(), want, "{runs:?}");
        };
        check(&[], 0.0);
        check(&[OK, BAD], 0.5);
        check(&[BAD, OK, OK, OK], 0.25);
        check(&[BAD; 100], 1.0);
        check(&[[OK; 32].as_slice(), &[BAD; 8]].concat(), 0.25);
    }

    /// Durations of jobs are about log-normal; some are short or long by turns. Counts what is told of ordinary ones.
    #[test]
    fn ordinary_runs_are_seldom_called_slow() {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut dice = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u64 << 24) as f32
        };
        let mut told = [0; 3];
        const JOBS: usize = 200;
        const RUNS: usize = 200;
        for (kind, told) in told.iter_mut().enumerate() {
            for _ in 0..JOBS {
                let mut past = Past::default();
                for _ in 0..RUNS {
                    let normal = (0..12).map(|_| dice()).sum::<f32>() - 6.0;
                    let seconds = match kind {
                        0 => 300.0 * libm::expf(0.1 * normal),
                        1 => 300.0 * libm::expf(0.5 * normal),
                        _ => (if dice() < 0.3 { 900.0 } else { 200.0 }) * libm::expf(0.15 * normal),
                    };
                    *told += usize::from(matches!(past.take(OK, Some(seconds)), Some(Finding::Slow { .. })));
                }
            }
        }
        std::println!(
            "slow of {} ordinary runs: steady {}, wide {}, by turns {}",
            JOBS * RUNS,
            told[0],
            told[1],
            told[2]
        );
        assert!(told.iter().all(|told| *told < JOBS * RUNS / 200), "{told:?}");
    }
}
