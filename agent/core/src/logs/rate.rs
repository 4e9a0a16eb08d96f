//! How often something comes, and whether that has changed: up or down, against its own past.
//!
//! Lines are counted in windows that hold about as many of each kind, from a minute for what comes often to an hour for
//! what is rare. A count and what was expected are compared by their square roots (Anscombe 1948), in scales of what
//! the windows of this kind have strayed so far: lines come in clusters. How rare such a deviation is, is asked of all
//! kinds together ([`Tail`]), because one alone has too short a past; surprise is summed by Page's rule.

use libm::{logf, sqrtf};
use serde::{Deserialize, Serialize};

use crate::surprise::Tail;

/// Lines that a window is to hold.
const LINES: f32 = 16.0;
/// The longest window, in minutes.
const LONGEST: u8 = 60;
/// Minutes after which the past has lost two thirds of its weight; no less than so many windows.
const MEMORY: f32 = 90.0;
const WINDOWS: f32 = 8.0;
/// Windows before anything is judged, and minutes.
const WARM: u8 = 8;
const WARM_MINUTES: f32 = 45.0;
/// What is no change worth telling: less than three times, more than a quarter of it.
const UP: f32 = 3.0;
const DOWN: f32 = 0.25;
/// Surprise, in nats, that a window of chance does not reach on average; and what such a window takes away at most.
const DRIFT: f32 = 2.0;
const FALL: f32 = 2.0;
/// The share of the threshold that less than before has to reach: what stands still does so for long, but a window that
/// is empty may be a pause. So it takes two.
const LESS: f32 = 0.75;
const PAUSE: f32 = 0.45;
/// Lines a window must hold to be called more.
const LEAST: f32 = 8.0;

/// What deviations there were of all that is counted, upwards and downwards.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tails {
    up: Tail,
    down: Tail,
}

/// The rate of one thing.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Rate {
    /// Lines of the open window.
    count: u32,
    /// Minutes it has been open.
    open: u8,
    /// Windows closed.
    closed: u8,
    /// Lines a minute, and minutes from which that is known.
    mean: f32,
    span: f32,
    /// How much more than chance the counts vary: squared deviation.
    spread: f32,
    up: f32,
    down: f32,
    /// The mean before the last change that was told; 0: there was none.
    before: f32,
}

/// A rate that is another than it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Lines a minute before.
    pub from: f32,
    /// Lines a minute now.
    pub to: f32,
    /// Lines of the window in which it was seen.
    pub count: u32,
    /// Minutes of that window.
    pub minutes: u8,
}

impl Change {
    /// Whether there are more than before.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.to > self.from
    }
}

impl Rate {
    /// So many lines came.
    pub fn add(&mut self, lines: u32) {
        self.count = self.count.saturating_add(lines);
    }

    /// Lines a minute.
    #[must_use]
    pub fn mean(&self) -> f32 {
        self.mean
    }

    /// Lines a minute before the change that was told last, until the new level is known.
    #[must_use]
    pub fn usual(&self) -> f32 {
        if self.closed <= 1 { self.before } else { self.mean }
    }

    /// A minute has passed. `Some`: the rate has changed, told once. `minutes`: how many there are, of all kinds together,
    /// in the time in which one false alarm is allowed.
    pub fn minute(&mut self, tails: &mut Tails, minutes: f32) -> Option<Change> {
        self.open = self.open.saturating_add(1);
        let count = self.count as f32;
        let wanted = (LINES / self.mean.max(1e-3)).clamp(1.0, f32::from(LONGEST));
        // One that already holds far too many is not waited for.
        let is_over = f32::from(self.open) >= wanted || count >= LINES + 2.0 * self.mean * wanted;
        if !is_over {
            return None;
        }
        // There are as many chances of a false alarm as windows.
        let threshold = logf((minutes / wanted).max(1e3));
        let change = self.close(count, f32::from(self.open), tails, threshold);
        (self.count, self.open) = (0, 0);
        change
    }

    fn close(&mut self, count: f32, minutes: f32, tails: &mut Tails, threshold: f32) -> Option<Change> {
        self.closed = self.closed.saturating_add(1);
        let expected = self.mean * minutes;
        let off = 2.0 * (sqrtf(count + 0.375) - sqrtf(expected + 0.375));
        if self.closed > WARM && self.span >= WARM_MINUTES {
            let off = off / sqrtf(self.spread.max(1.0));
            let sum = |sum: f32, tail: &Tail, off: f32, most: f32| {
                let surprise = -logf(tail.probability(off.max(0.0)));
                (sum + (surprise - DRIFT).clamp(-FALL, most)).clamp(0.0, 1.4 * threshold)
            };
            self.up = sum(self.up, &tails.up, off, threshold);
            self.down = sum(self.down, &tails.down, -off, PAUSE * threshold);
            let is_more = self.up >= threshold && count >= LEAST && count >= UP * expected;
            let is_less = self.down >= LESS * threshold && count <= DOWN * expected;
            if is_more || is_less {
                return self.change(count, minutes);
            }
            if !self.is_astray(threshold) {
                for (tail, off) in [(&mut tails.up, off), (&mut tails.down, -off)] {
                    tail.note(off.max(0.0));
                    tail.learn();
                }
            }
        }
        self.learn(count, minutes, off, threshold);
        None
    }

    /// Whether something may be going on.
    fn is_astray(&self, threshold: f32) -> bool {
        self.up.max(self.down) >= threshold / 2.0
    }

    fn learn(&mut self, count: f32, minutes: f32, off: f32, threshold: f32) {
        // What may be a change teaches slowly where things are, and how far they stray.
        let slowly = if self.is_astray(threshold) { 0.25 } else { 1.0 };
        self.span = (self.span + minutes).min(MEMORY.max(WINDOWS * minutes));
        self.mean += slowly * minutes / self.span * (count / minutes - self.mean);
        if self.closed == 1 {
            self.spread = 2.0;
        } else {
            let weight = slowly / (f32::from(self.closed) + 3.0).min(48.0);
            self.spread += weight * ((off * off).min(16.0 * self.spread) - self.spread);
        }
    }

    /// The level of now is the new usual. Back to where it was is no news.
    fn change(&mut self, count: f32, minutes: f32) -> Option<Change> {
        let change =
            Change { from: self.mean, to: count / minutes, count: count as u32, minutes: minutes as u8 };
        let is_return = self.before > 0.0 && change.to >= 0.4 * self.before && change.to <= 2.5 * self.before;
        self.before = if is_return { 0.0 } else { self.mean };
        (self.mean, self.span, self.closed) = (change.to, minutes, 1);
        (self.up, self.down) = (0.0, 0.0);
        (!is_return).then_some(change)
    }

    /// What was counted counts for nothing: it did not come when it was written.
    pub fn void(&mut self) {
        (self.count, self.open) = (0, 0);
    }

    /// Another turned out to be the same thing.
    pub fn join(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.closed = self.closed.min(other.closed);
        self.mean += other.mean;
        self.spread = self.spread.max(other.spread);
        (self.up, self.down) = (0.0, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chance with a seed.
    struct Dice(u64);

    impl Dice {
        fn share(&mut self) -> f32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f32 / (1 << 24) as f32
        }

        /// How many come by chance where so many are expected.
        fn count(&mut self, expected: f32) -> u32 {
            let (mut n, mut left) = (0, expected);
            loop {
                left += libm::logf(self.share().max(1e-9));
                if left < 0.0 {
                    return n;
                }
                n += 1;
            }
        }
    }

    /// Twelve hours at `usual` lines a minute beside 40 others, then an hour at `now`. When the change was told, in
    /// minutes after it, and what else was.
    fn run(seed: u64, usual: f32, now: f32) -> (Option<(u32, Change)>, usize) {
        let (mut dice, mut tails) = (Dice(seed), Tails::default());
        let minutes = 10_080.0 * 41.0;
        let mut others: std::vec::Vec<(Rate, f32)> =
            (0..40).map(|n| (Rate::default(), 0.02 * libm::powf(1.25, n as f32))).collect();
        let (mut it, mut told, mut beside) = (Rate::default(), None, 0);
        for minute in 0..780 {
            for (rate, mean) in &mut others {
                rate.add(dice.count(*mean));
                beside += usize::from(rate.minute(&mut tails, minutes).is_some());
            }
            it.add(dice.count(if minute < 720 { usual } else { now }));
            if let Some(change) = it.minute(&mut tails, minutes) {
                if minute >= 720 && told.is_none() {
                    told = Some((minute - 720 + 1, change));
                } else {
                    beside += 1;
                }
            }
        }
        (told, beside)
    }

    #[test]
    fn changes_are_seen_and_chance_is_not() {
        let mut beside = 0;
        let mut check = |usual: f32, now: f32, within: Option<u32>| {
            for seed in 1..=5 {
                let (told, more) = run(seed, usual, now);
                beside += more;
                let is_seen = told.is_some_and(|(minutes, _)| within.is_some_and(|w| minutes <= w));
                assert_eq!(is_seen, within.is_some(), "seed {seed}: {usual} to {now}: {told:?}");
            }
        };
        check(100.0, 500.0, Some(5));
        check(10.0, 60.0, Some(5));
        check(1.0, 15.0, Some(10));
        check(0.05, 10.0, Some(10));
        check(60.0, 6.0, Some(5));
        check(2.0, 0.0, Some(40));
        check(20.0, 20.0, None);
        check(20.0, 25.0, None);
        check(0.1, 0.0, None);
        std::println!("seeds 1 to 5: {beside} beside in 45 runs of 41 rates and 13 hours");
        assert_eq!(beside, 0);
    }
}
