//! Surprise: how rare a deviation is, in the same meaning for every series; and evidence, surprise gathered over time.
//!
//! Each series keeps a histogram of its own past deviations (in robust scales). The probability of a deviation at
//! least as large is its rank among them, joined with a heavy-tailed prior that stands in until there is history
//! (a conformal p-value with pseudo-counts: Vovk et al., *Algorithmic Learning in a Random World*, 2005, ch. 2).
//! Evidence is Page's cumulative sum (*Continuous Inspection Schemes*, Biometrika 1954) of the negative logarithm of
//! these probabilities.

use serde::{Deserialize, Serialize};

/// Bins of a tail: half octaves of the deviation, from 1 scale to 181 scales.
const BINS: usize = 16;
/// How many observations the prior is worth.
const PRIOR: f32 = 40.0;
/// Counts are halved when so many are reached, so that the past fades (about a day at one reading a second).
const FADE: u32 = 1 << 16;

/// How often deviations of which size were seen.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tail {
    /// `counts[i]` deviations were in bin `i`.
    counts: [u32; BINS],
    seen: u32,
    /// Noted, but not learnt before it is known whether they were part of an anomaly.
    noted: [u16; BINS],
    noted_seen: u16,
}

impl Tail {
    /// Notes one deviation.
    pub fn note(&mut self, deviation: f32) {
        self.noted_seen = self.noted_seen.saturating_add(1);
        if let Some(bin) = bin(deviation) {
            self.noted[bin] = self.noted[bin].saturating_add(1);
        }
    }

    /// Learns what was noted: it was ordinary.
    pub fn learn(&mut self) {
        self.seen += u32::from(self.noted_seen);
        for (count, noted) in self.counts.iter_mut().zip(self.noted) {
            *count += u32::from(noted);
        }
        self.forget();
        if self.seen >= FADE {
            self.seen /= 2;
            self.counts.iter_mut().for_each(|c| *c /= 2);
        }
    }

    /// Forgets what was noted: it was an anomaly, which must not become ordinary by happening.
    pub fn forget(&mut self) {
        self.noted = [0; BINS];
        self.noted_seen = 0;
    }

    /// The probability of a deviation at least as large as this, in (0, 1].
    #[must_use]
    pub fn probability(&self, deviation: f32) -> f32 {
        // A whole bin counts as at least as large: rather too little surprise than too much.
        let larger: u32 = bin(deviation).map_or(self.seen, |b| self.counts[b..].iter().sum());
        ((PRIOR * prior(deviation) + larger as f32) / (PRIOR + self.seen as f32)).clamp(1e-30, 1.0)
    }

    /// How many readings were learnt from.
    #[must_use]
    pub fn seen(&self) -> u32 {
        self.seen
    }
}

/// Tail of a deviation before anything is known of the series: heavier than a normal's, as telemetry is.
fn prior(deviation: f32) -> f32 {
    let x = 1.0 + deviation.max(0.0) / 2.0;
    1.0 / (x * x * x * x * x)
}

fn bin(deviation: f32) -> Option<usize> {
    if deviation.is_nan() || deviation < 1.0 {
        return None;
    }
    // Half octaves: twice the binary exponent, and one more beyond the square root of two.
    let bits = deviation.to_bits();
    let exponent = (bits >> 23).saturating_sub(127) as usize;
    let upper_half = usize::from(bits & 0x007f_ffff >= 0x0035_04f3);
    Some((2 * exponent + upper_half).min(BINS - 1))
}

/// What the false-alarm budget asks of evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// Evidence at which a series is held to be anomalous, in nats.
    pub open: f32,
    /// The most that one reading may add, so that what lasts less than the wanted time never opens.
    pub most: f32,
}

/// Nats per reading that ordinary readings do not reach on average.
const DRIFT: f32 = 4.0;
/// Nats that an ordinary reading takes away, at most.
const FALL: f32 = 2.0;

impl Threshold {
    /// The threshold for `alarms` per `period_ms` over all series of a device, with ticks of `tick_ms`, and nothing
    /// opened before `sustain_ms`. By Wald's bound the chance that the sum ever passes `h` after a given start is
    /// `exp(-h)`, and there are as many starts as readings.
    #[must_use]
    pub fn of_budget(alarms: f32, period_ms: f32, series: usize, tick_ms: f32, sustain_ms: f32) -> Self {
        let readings = (period_ms / tick_ms.max(1.0)).max(1.0) * series.max(1) as f32;
        let open = libm::logf(readings / alarms.max(1e-6)).max(6.0);
        let ticks = libm::ceilf(sustain_ms / tick_ms.max(1.0)).max(1.0);
        Self { open, most: (open / ticks + 0.1).max(0.5) }
    }
}

/// Evidence that one series is anomalous, gathered over readings.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Evidence {
    sum: f32,
}

impl Evidence {
    /// Adds a reading of this probability.
    pub fn add(&mut self, probability: f32, threshold: Threshold) {
        let step = (-libm::logf(probability.clamp(1e-30, 1.0)) - DRIFT).clamp(-FALL, threshold.most);
        self.sum = (self.sum + step).clamp(0.0, 1.4 * threshold.open);
    }

    /// There is no doubt.
    pub fn be_sure(&mut self, threshold: Threshold) {
        self.sum = self.sum.max(threshold.open);
    }

    /// Forgets.
    pub fn clear(&mut self) {
        self.sum = 0.0;
    }

    /// Whether the series is held to be anomalous.
    #[must_use]
    pub fn is_hot(&self, threshold: Threshold) -> bool {
        self.sum >= threshold.open
    }

    /// Whether something may be going on.
    #[must_use]
    pub fn is_warm(&self, threshold: Threshold) -> bool {
        self.sum >= threshold.open / 2.0
    }

    /// Whether anything has gathered at all.
    #[must_use]
    pub fn is_rising(&self) -> bool {
        self.sum > 0.0
    }

    /// 0..1, with 0.5 at the threshold.
    #[must_use]
    pub fn score(&self, threshold: Threshold) -> f32 {
        self.sum / (self.sum + threshold.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: f32 = 7.0 * 86_400e3;

    #[test]
    fn bins_are_half_octaves() {
        let check = |x: f32, b: Option<usize>| assert_eq!(bin(x), b, "{x}");
        check(0.5, None);
        check(f32::NAN, None);
        check(1.0, Some(0));
        check(1.41, Some(0));
        check(1.42, Some(1));
        check(2.0, Some(2));
        check(181.1, Some(15));
        check(f32::INFINITY, Some(15));
    }

    #[test]
    fn probability_falls_with_size_and_follows_history() {
        let mut tail = Tail::default();
        assert!(tail.probability(0.0) == 1.0 && tail.probability(40.0) < 1e-5);
        for _ in 0..900 {
            tail.note(0.7);
            tail.learn();
        }
        for _ in 0..100 {
            tail.note(10.0);
            tail.learn();
        }
        let p = tail.probability(10.0);
        assert!((0.08..0.12).contains(&p), "one in ten readings was like this: {p}");
        assert!(tail.probability(50.0) < 1e-4);
        let mut last = 1.0;
        for i in 0..400 {
            let p = tail.probability(i as f32);
            assert!(p <= last && p > 0.0);
            last = p;
        }
        for _ in 0..1_000_000 {
            tail.note(0.1);
            tail.learn();
        }
        assert!(tail.seen() < FADE && tail.probability(10.0) < 1e-3, "the past fades");
    }

    #[test]
    fn the_budget_sets_the_threshold() {
        let week = Threshold::of_budget(1.0, WEEK, 200, 1000.0, 5000.0);
        let day = Threshold::of_budget(7.0, WEEK, 200, 1000.0, 5000.0);
        assert!((18.0..19.0).contains(&week.open) && day.open < week.open, "{week:?} {day:?}");
        let mut e = Evidence::default();
        for _ in 0..4 {
            e.add(1e-30, week);
            assert!(!e.is_hot(week), "four seconds are not five");
        }
        e.add(1e-30, week);
        assert!(e.is_hot(week) && e.score(week) >= 0.5);
        for _ in 0..15 {
            e.add(1.0, week);
        }
        assert!(!e.is_warm(week));
    }
}
