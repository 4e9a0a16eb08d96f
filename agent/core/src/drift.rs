//! Drift: a series that has grown or fallen for days, so slowly that at no moment it was anywhere strange.
//!
//! Means of quarters of days are kept for five days, and each is compared with the same quarter of the day before: so
//! whatever the hours do is left out. It is a drift if they agree on the direction, if every day has brought a good part
//! of it, so that it is no step, and if it is large beside what is left when drift and hours are taken out. It is told
//! once, until it has ended.

use heapless::Deque;
use serde::{Deserialize, Serialize};

use crate::series::Millis;

const QUARTERS: usize = 4;
const DAYS: usize = 5;
const BLOCK_MS: Millis = 6 * 3_600_000;
const STEPS: usize = (DAYS - 1) * QUARTERS;
/// So many of them may go the other way.
const DISSENT: usize = 1;
/// Each day's part of what a day brings on average, at least.
const EVEN: f32 = 0.4;
/// All of it in standard deviations of what is left.
const PLAIN: f32 = 8.0;
/// It has ended when no more than so many quarters are beyond those of the day before.
const ENDED: usize = STEPS * 2 / 3;

/// What is kept of a series for it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Drift {
    blocks: Deque<f32, { DAYS * QUARTERS }>,
    /// The block that is being gathered: its number, sum and count.
    open: (u64, f64, u32),
    /// The direction that was told.
    told: i8,
}

/// A drift, in the units of its readings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drifting {
    /// Where it was on the first of the days.
    pub from: f32,
    /// Where it was on the last.
    pub to: f32,
    /// Milliseconds between.
    pub over_ms: Millis,
}

impl Drift {
    /// Takes one reading. Returns a drift that was not told yet, whose size is at least `least`.
    pub fn observe(&mut self, now: Millis, x: f32, least: f32) -> Option<Drifting> {
        let number = now / BLOCK_MS;
        let (open, sum, count) = self.open;
        if number == open {
            self.open = (open, sum + f64::from(x), count.saturating_add(1));
            return None;
        }
        self.open = (number, x.into(), 1);
        if self.blocks.is_full() {
            self.blocks.pop_front();
        }
        // There is room.
        let _fits = self.blocks.push_back((sum / f64::from(count.max(1))) as f32);
        if number != open + 1 || count == 0 {
            // Something is missing, or time went back: days can no longer be compared.
            self.blocks.clear();
        }
        self.judge(least)
    }

    fn judge(&mut self, least: f32) -> Option<Drifting> {
        if !self.blocks.is_full() {
            return None;
        }
        let at = |i: usize| self.blocks.iter().nth(i).copied().unwrap_or(0.0);
        let day = |d: usize| (0..QUARTERS).map(|q| at(d * QUARTERS + q)).sum::<f32>() / QUARTERS as f32;
        let (from, to) = (day(0), day(DAYS - 1));
        let size = (to - from).abs();
        let sign = if to < from { -1.0 } else { 1.0 };
        let agree = (0..STEPS).filter(|i| sign * (at(i + QUARTERS) - at(*i)) > 0.0).count();
        if agree <= ENDED || (self.told != 0) != (f32::from(self.told) == sign) {
            self.told = 0;
        }
        let a_day = size / (DAYS - 1) as f32;
        let is_even = (1..DAYS).all(|d| sign * (day(d) - day(d - 1)) >= EVEN * a_day);
        // What is left of every block when its hour's mean and the drift are taken out.
        let hour = |q: usize| (0..DAYS).map(|d| at(d * QUARTERS + q)).sum::<f32>() / DAYS as f32;
        let middle = (DAYS - 1) as f32 / 2.0;
        let left = |i: usize| at(i) - hour(i % QUARTERS) - sign * a_day * ((i / QUARTERS) as f32 - middle);
        let rest = (0..DAYS * QUARTERS).map(|i| left(i) * left(i)).sum::<f32>() / (DAYS * QUARTERS) as f32;
        let is_plain = size >= least && size >= PLAIN * libm::sqrtf(rest);
        if self.told != 0 || agree + DISSENT < STEPS || !is_even || !is_plain || size <= 0.0 {
            return None;
        }
        self.told = sign as i8;
        Some(Drifting { from, to, over_ms: (DAYS - 1) as Millis * 24 * 3_600_000 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;

    fn noise(t: u64) -> f32 {
        let x = (t ^ (t >> 13)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    }

    /// Days of readings, one every five minutes; returns the days on which a drift was told.
    fn check(days: u64, least: f32, reading: impl Fn(f32, u64) -> f32) -> std::vec::Vec<u64> {
        let mut drift = Drift::default();
        let told = (0..days * 288).filter(|t| {
            let x = reading(*t as f32 / 288.0, *t);
            drift.observe(t * 5 * MINUTE, x, least).is_some_and(|d| {
                assert!((d.to - d.from).abs() >= least && d.over_ms == 4 * 288 * 5 * MINUTE, "{d:?}");
                true
            })
        });
        told.map(|t| t / 288).collect()
    }

    #[test]
    fn the_boiling_frog_is_told_once() {
        let day = |d: f32| 4.0 * libm::sinf(d * core::f32::consts::TAU);
        let frog = |slope: f32| move |d: f32, t: u64| 40.0 + day(d) + 2.0 * noise(t) + slope * d;
        assert_eq!(check(30, 1.0, frog(0.5)), [5], "half a degree a day, under four degrees of hours");
        assert_eq!(check(30, 1.0, frog(-0.5)), [5]);
        assert_eq!(check(30, 5.0, frog(0.5)), [], "less than matters");
        assert_eq!(check(30, 0.1, frog(0.0)), []);
        let later = |d: f32, t: u64| frog(0.0)(d, t) + if d > 12.0 { 0.5 * (d - 12.0) } else { 0.0 };
        assert!(matches!(check(30, 1.0, later)[..], [15..=17]), "{:?}", check(30, 1.0, later));
        let twice = |d: f32, t: u64| frog(0.0)(d, t) + 0.5 * d.min(10.0) + 0.5 * (d - 20.0).max(0.0);
        assert_eq!(check(30, 1.0, twice).len(), 2, "it ended between");
    }

    #[test]
    fn what_is_no_drift_is_not_told() {
        let nothing: [u64; 0] = [];
        assert_eq!(check(30, 0.1, |d, t| noise(t) + if d > 9.5 { 5.0 } else { 0.0 }), nothing, "a step");
        let week = |d: f32, t: u64| noise(t) + if d as u64 % 7 >= 5 { 0.0 } else { 6.0 };
        assert_eq!(check(40, 0.1, week), nothing, "weeks");
        assert_eq!(check(30, 0.1, |d, t| noise(t) + d % 2.0), nothing, "saw-teeth");
        assert_eq!(check(30, 0.1, |_, _| 7.0), nothing, "nothing at all");
        let gap = |d: f32, t: u64| if (d as u64).is_multiple_of(4) { f32::NAN } else { noise(t) + d };
        assert_eq!(check(30, 0.1, gap), nothing, "no number");
    }
}
