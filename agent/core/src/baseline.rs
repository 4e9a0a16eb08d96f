//! The usual: where a series has been over the last minutes, and how far it strays.
//!
//! This is the built-in robust scorer. It needs no model: the median of a thinned sample of the past is what is
//! expected, and the median absolute deviation, or the middle 80 % if wider, is how far readings usually are from it.

use serde::{Deserialize, Serialize};

const SAMPLES: usize = 64;
/// When full, the sample keeps every 8th reading: 512 ticks.
const LONGEST_STRIDE: u32 = 8;

/// A thinned sample of the past and its robust summary.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Baseline {
    #[serde(with = "crate::array")]
    samples: [f32; SAMPLES],
    len: usize,
    at: usize,
    stride: u32,
    skipped: u32,
    /// What is expected.
    pub median: f32,
    /// A robust standard deviation. Zero if the sample does not vary.
    pub spread: f32,
    /// 5 % of the sample are lower.
    pub low: f32,
    /// 5 % of the sample are higher.
    pub high: f32,
}

impl Default for Baseline {
    fn default() -> Self {
        Self {
            samples: [0.0; SAMPLES],
            len: 0,
            at: 0,
            stride: 1,
            skipped: 0,
            median: 0.0,
            spread: 0.0,
            low: 0.0,
            high: 0.0,
        }
    }
}

impl Baseline {
    /// Learns from one reading.
    pub fn push(&mut self, value: f32) {
        self.skipped += 1;
        if self.skipped < self.stride {
            return;
        }
        self.skipped = 0;
        if self.len == SAMPLES && self.stride < LONGEST_STRIDE {
            self.thin_out();
        }
        if self.len < SAMPLES {
            self.samples[self.len] = value;
            self.len += 1;
        } else {
            self.samples[self.at] = value;
            self.at = (self.at + 1) % SAMPLES;
        }
        self.summarise();
    }

    /// Starts again from these readings: what was strange has lasted so long that it is the new usual.
    pub fn restart(&mut self, values: impl Iterator<Item = f32>) {
        *self = Self::default();
        for value in values {
            self.push(value);
        }
    }

    /// Keeps every other sample, so that the sample reaches twice as far back.
    fn thin_out(&mut self) {
        for i in 0..SAMPLES / 2 {
            self.samples[i] = self.samples[2 * i + 1];
        }
        self.len = SAMPLES / 2;
        self.stride *= 2;
    }

    fn summarise(&mut self) {
        let mut sorted = self.samples;
        let sorted = &mut sorted[..self.len];
        sorted.sort_unstable_by(f32::total_cmp);
        let at = |q: f32| sorted[(((self.len - 1) as f32) * q + 0.5) as usize];
        self.median = at(0.5);
        self.low = at(0.05);
        self.high = at(0.95);
        let middle = (at(0.9) - at(0.1)) / 2.563;
        for x in sorted.iter_mut() {
            *x = (*x - self.median).abs();
        }
        sorted.sort_unstable_by(f32::total_cmp);
        self.spread = (sorted[self.len / 2] * 1.4826).max(middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: impl Iterator<Item = f32>, median: f32, spread: f32, within: f32) {
        let mut b = Baseline::default();
        values.for_each(|v| b.push(v));
        assert!((b.median - median).abs() <= within, "median {}", b.median);
        assert!((b.spread - spread).abs() <= within, "spread {}", b.spread);
    }

    #[test]
    fn it_is_robust() {
        check([5.0].into_iter(), 5.0, 0.0, 0.0);
        check(core::iter::repeat_n(3.0, 1000), 3.0, 0.0, 0.0);
        let uniform =
            (0..10_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1u32 << 24) as f32);
        check(uniform.clone(), 0.5, 0.35, 0.12);
        let with_outliers = uniform.enumerate().map(|(i, x)| if i % 25 == 0 { 1e6 } else { x });
        check(with_outliers, 0.5, 0.35, 0.15);
    }

    #[test]
    fn it_reaches_back_512_ticks_and_no_further() {
        let mut b = Baseline::default();
        (0..2000).for_each(|_| b.push(1.0));
        (0..240).for_each(|_| b.push(9.0));
        assert_eq!(b.median, 1.0, "less than half of what is remembered");
        (0..300).for_each(|_| b.push(9.0));
        assert_eq!(b.median, 9.0);
        b.restart([4.0, 4.0, 4.0].into_iter());
        assert_eq!(b.median, 4.0);
    }
}
