//! A beat: something that comes at regular intervals, and what it means when it fails to.
//!
//! Regular is what kept its interval often enough. How many beats may be missed follows from how many of them it missed so
//! far, and from how many beats there are in the time in which one false alarm is allowed.

use libm::{fabsf, logf};
use serde::{Deserialize, Serialize};

/// Seconds within which lines are of one occasion.
const JOIN: u32 = 2;
/// The shortest interval that is called one, in seconds.
const SHORTEST: f32 = 5.0;
/// How much of the interval it may be early or late.
const TOLERANCE: f32 = 0.12;
/// Intervals kept before it is called regular.
const REGULAR: u8 = 6;
/// For how long it has to be regular, and the shortest silence that is told, in seconds.
const LEARNT: f32 = 600.0;
const SILENCE: u32 = 60;

/// When something comes, in whole seconds of any clock that only goes forward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// The last occasion that was on the beat.
    at: u32,
    /// The last line.
    last: u32,
    /// Seconds from one to the next; 0: unknown yet.
    period: f32,
    /// What it is early or late, on average.
    jitter: f32,
    /// Intervals kept; broken ones count against them.
    kept: u8,
    /// Beats there should have been of late, and those of them that were missed.
    beats: u16,
    missed: u16,
    is_silent: bool,
}

/// Something regular has failed to come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Silence {
    /// Seconds from one to the next, as it was.
    pub period_s: f32,
    /// Seconds since it came last.
    pub for_s: u32,
}

impl Beat {
    /// It came at `now`. `Some`: it is back after a silence of so many seconds that was told.
    pub fn seen(&mut self, now: u32) -> Option<u32> {
        let last = core::mem::replace(&mut self.last, now);
        if core::mem::take(&mut self.is_silent) {
            self.at = now;
            self.kept /= 2;
            return Some(now.saturating_sub(last));
        }
        // The first second of all is second 1.
        if last == 0 {
            self.at = now;
        } else if now.saturating_sub(last) > JOIN {
            self.occasion(now);
        }
        None
    }

    fn occasion(&mut self, now: u32) {
        let gap = now.saturating_sub(self.at) as f32;
        let off = gap - self.period;
        let most = (TOLERANCE * self.period).max(1.0);
        if self.period > 0.0 && fabsf(off) <= most {
            let weight = 1.0 / (f32::from(self.kept) + 2.0).min(8.0);
            self.period += weight * off;
            self.jitter += weight * (fabsf(off) - self.jitter);
            self.kept = self.kept.saturating_add(1);
            self.at = now;
            self.count(1);
            return;
        }
        if self.period > 0.0 && off < 0.0 && self.kept > 1 {
            // One more in between.
            self.kept -= 2;
            return;
        }
        let times = libm::roundf(gap / self.period.max(1.0));
        let is_multiple = self.period > 0.0 && fabsf(gap - times * self.period) <= most;
        let cost = if is_multiple { 2.0 * (times - 1.0) } else { 4.0 };
        self.kept = self.kept.saturating_sub(cost as u8);
        self.at = now;
        self.count(times.clamp(1.0, 64.0) as u16);
        if self.kept == 0 {
            (self.period, self.jitter, self.beats, self.missed) = (gap, 0.0, 0, 0);
        }
    }

    /// So many beats have passed, of which it kept the last.
    fn count(&mut self, beats: u16) {
        self.beats = self.beats.saturating_add(beats);
        self.missed = self.missed.saturating_add(beats - 1);
        if self.beats >= 256 {
            (self.beats, self.missed) = (self.beats / 2, self.missed / 2);
        }
    }

    /// Whether it is silent at `now`, told once. `alarm_s`: seconds in which one false alarm is allowed.
    pub fn missed(&mut self, now: u32, alarm_s: f32) -> Option<Silence> {
        if !self.is_regular() || self.is_silent || f32::from(self.beats) * self.period < LEARNT {
            return None;
        }
        let seldom = (f32::from(self.beats) + 2.0) / (f32::from(self.missed) + 1.0);
        let beats = logf((alarm_s / self.period).max(1.0)) / logf(seldom.max(1.1));
        let wait = (beats.max(2.0) + 0.5) * self.period + 4.0 * self.jitter;
        let for_s = now.saturating_sub(self.at.max(self.last));
        if for_s < SILENCE || (for_s as f32) < wait {
            return None;
        }
        self.is_silent = true;
        Some(Silence { period_s: self.period, for_s })
    }

    /// Time has passed in which nobody listened: what was missed then does not count.
    pub fn resume(&mut self, now: u32) {
        if self.last != 0 && !self.is_silent {
            (self.at, self.last) = (now, now);
        }
    }

    /// Whether it is regular.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        self.kept >= REGULAR && self.period >= SHORTEST
    }

    /// Whether a silence was told that has not ended.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.is_silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: f32 = 604_800.0;

    /// Lets it beat at these times, asks every second until `until`; tells when it was found silent and back.
    fn run(times: &[u32], until: u32) -> (std::vec::Vec<u32>, std::vec::Vec<u32>) {
        let (mut beat, mut silent, mut back) = (Beat::default(), std::vec![], std::vec![]);
        for now in 1..=until {
            for _ in times.iter().filter(|t| **t == now) {
                back.extend(beat.seen(now));
            }
            silent.extend(beat.missed(now, WEEK).map(|_| now));
        }
        (silent, back)
    }

    #[test]
    fn regular_or_not() {
        let every = |period: u32, times: u32| (1..=times).map(|n| n * period).collect::<std::vec::Vec<_>>();
        // 20 minutes of one a minute, then nothing.
        let (silent, _) = run(&every(60, 20), 3600);
        assert!(silent.len() == 1 && (1201 + 120..1201 + 300).contains(&silent[0]), "{silent:?}");
        // Two intervals prove nothing.
        assert_eq!(run(&every(60, 3), 3600).0, []);
        // It is told again when it is back, and once.
        let times = [every(60, 20), every(60, 60)[39..].to_vec()].concat();
        let (silent, back) = run(&times, 3600);
        assert_eq!((silent.len(), back), (1, std::vec![1200]));
        // Jitter is learnt.
        let jittered: std::vec::Vec<u32> = (1..60).map(|n| n * 100 + (n * 7919 % 17)).collect();
        let (silent, _) = run(&jittered, 5900);
        assert_eq!(silent, []);
        // Three lines at once are one occasion; one missed is no silence.
        let mut thrice: std::vec::Vec<u32> = every(60, 30).iter().flat_map(|t| [*t, *t, t + 1]).collect();
        thrice.retain(|t| !(1080..1090).contains(t));
        assert_eq!(run(&thrice, 1800).0, []);
    }

    #[test]
    fn chance_is_not_regular() {
        let mut state = 7_u64;
        let (mut now, mut times) = (0, std::vec![]);
        while now < 300_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let u = (state >> 40) as f32 / (1 << 24) as f32;
            now += (-60.0 * logf(u.max(1e-6))) as u32 + 1;
            times.push(now);
        }
        let (mut beat, mut silent, mut next) = (Beat::default(), 0, times.iter().peekable());
        for now in 1..300_000 {
            while next.next_if(|t| **t == now).is_some() {
                beat.seen(now);
            }
            silent += usize::from(beat.missed(now, WEEK).is_some());
        }
        std::println!("seed 7: {} lines by chance, {silent} silences", times.len());
        assert_eq!(silent, 0);
    }
}
