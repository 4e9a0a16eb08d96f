//! What a series usually does at this time of day, told from what it usually does.
//!
//! The mean deviation of each half-hour, learnt from whole visits to it and shrunk by their number, interpolated between
//! them. It counts only while it has made the past easier to explain: a profile that does not help is silent.

use serde::{Deserialize, Serialize};

const BINS: usize = 48;
/// Milliseconds in each.
const BIN_MS: u64 = 86_400_000 / BINS as u64;
/// Visits before a half-hour is known.
const KNOWN: f32 = 2.0;
/// Visits that half of the trust in one takes.
const SHRINK: f32 = 2.0;
/// Older visits fade after so many.
const VISITS: f32 = 10.0;
/// Errors are forgotten when so many were added.
const FADE: f32 = 2e5;

/// A time of day.
#[derive(Debug, Clone, Copy)]
pub struct TimeOfDay {
    this: usize,
    next: usize,
    part: f32,
}

impl TimeOfDay {
    /// The time of day of a wall clock, in milliseconds since 1970.
    #[must_use]
    pub fn of(wall_ms: u64) -> Self {
        let ms = wall_ms % 86_400_000;
        let this = (ms / BIN_MS) as usize;
        Self { this, next: (this + 1) % BINS, part: (ms % BIN_MS) as f32 / BIN_MS as f32 }
    }
}

/// The profile of a day.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Season {
    #[serde(with = "crate::array")]
    mean: [f32; BINS],
    #[serde(with = "crate::array")]
    visits: [f32; BINS],
    /// Squared errors of the past without and with the profile, and how many.
    without: f32,
    with: f32,
    errors: f32,
}

impl Default for Season {
    fn default() -> Self {
        Self { mean: [0.0; BINS], visits: [0.0; BINS], without: 0.0, with: 0.0, errors: 0.0 }
    }
}

impl Season {
    /// What is usual at this time beyond what is usual, and by which factor it narrows the spread.
    #[must_use]
    pub fn at(&self, time: TimeOfDay) -> (f32, f32) {
        let gain = self.gain(time);
        if gain <= 0.0 { (0.0, 1.0) } else { (self.raw(time), libm::sqrtf((1.0 - gain).max(0.04))) }
    }

    /// The share of the past's variance that the profile explains.
    fn gain(&self, time: TimeOfDay) -> f32 {
        if self.knows(time) && self.without > 0.0 { 1.0 - self.with / self.without } else { 0.0 }
    }

    fn knows(&self, time: TimeOfDay) -> bool {
        self.visits[time.this] >= KNOWN && (time.part == 0.0 || self.visits[time.next] >= KNOWN)
    }

    fn raw(&self, time: TimeOfDay) -> f32 {
        let of = |i: usize| self.mean[i] * self.visits[i] / (self.visits[i] + SHRINK);
        (1.0 - time.part) * of(time.this) + time.part * of(time.next)
    }

    /// Learns a deviation from the usual that has lasted for so many milliseconds.
    pub fn learn(&mut self, time: TimeOfDay, deviation: f32, lasted: f32) {
        if self.knows(time) {
            let error = deviation - self.raw(time);
            self.without += deviation * deviation;
            self.with += error * error;
            self.errors += 1.0;
            if self.errors > FADE {
                self.errors /= 2.0;
                self.without /= 2.0;
                self.with /= 2.0;
            }
        }
        for (i, part) in [(time.this, 1.0 - time.part), (time.next, time.part)] {
            let share = (lasted / BIN_MS as f32).min(1.0) * part;
            self.visits[i] += share;
            if self.visits[i] > 0.0 {
                self.mean[i] += share / self.visits[i].min(VISITS) * (deviation - self.mean[i]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daily_job_becomes_usual_at_its_hour_and_a_whim_does_not() {
        let check = |reading: fn(u64, u64) -> f32, hour: u64, least: f32, most: f32| {
            let mut s = Season::default();
            for day in 0..8u64 {
                for minute in 0..1440u64 {
                    let at = TimeOfDay::of((day * 1440 + minute) * 60_000);
                    s.learn(at, reading(day, minute / 60), 60_000.0);
                }
            }
            let (usual, narrower) = s.at(TimeOfDay::of(hour * 3_600_000 + 1_800_000));
            assert!((least..=most).contains(&usual), "{usual}");
            assert!(narrower > 0.0 && narrower <= 1.0);
        };
        let backup = |_, hour| if (3..6).contains(&hour) { 10.0 } else { 0.0 };
        check(backup, 4, 6.0, 10.0);
        check(backup, 12, 0.0, 0.5);
        check(|day, hour| if (day * 7 + hour) % 24 == 3 { 10.0 } else { 0.0 }, 4, 0.0, 1.5);
    }
}
