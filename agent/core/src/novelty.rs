//! Novelty: how little a series has ever done what it does now.
//!
//! Nine measures of the last 64 readings, on scales from one reading to all of them: where it is, how much it has
//! changed, how rough it is. Each excursion of a measure, upwards or downwards, is remembered by its height; a new one
//! is the less news the more often there was one about as high, lately. So a spike is news once, and a job that
//! comes every hour is none after a few repeats, while the first of its kind is, however small. That what is
//! rare counts, and not what is large, is the common trait of the detectors that lead on streams: Ahmad et al.,
//! *Unsupervised real-time anomaly detection for streaming data*, Neurocomputing 2017. Besides, a series that stands
//! still for longer than it ever did is news.

use serde::{Deserialize, Serialize};

use crate::usual::FAR;
use crate::window::{WINDOW, Window};

/// Readings over which place is measured; change over all but the last, roughness over the last two.
const SPANS: [usize; 4] = [1, 4, 16, WINDOW];
const MEASURES: usize = 9;
/// From so many scales on an excursion is news.
const LEAST: f32 = 1.5;
/// From so many on it is remembered: it may be taller when the scale has become finer.
const LOWEST: f32 = LEAST / core::f32::consts::SQRT_2;
/// No excursion is higher.
const MOST: f32 = 10.0;
/// Heights remembered: quarter octaves from the lowest to the most.
const HEIGHTS: usize = 14;
/// The ratio of two heights.
const QUARTER_OCTAVE: f32 = 1.189_207_1;
/// Half of an excursion is forgotten after so many readings.
const HALF_LIFE: f32 = 6000.0;
/// One excursion, in the units in which they are kept.
const ONE: u16 = 1024;
/// Readings below, after which an excursion is over.
const OVER: u8 = 3;
/// So many of about its height make an excursion half the news, and twice as many a ninth.
const HALF_NEWS: f32 = 2.0;
/// It is told again when it has risen by this factor.
const RISE: f32 = 1.05;
/// Readings before anything is judged, and before the usual size is taken for known.
const WARM_UP: u32 = 100;
const SETTLED: u32 = 60;
/// Readings after which half of what is new is news.
const YOUNG: f32 = 150.0;
/// What is learnt of a measure lies at most so many scales away.
const DRAWN_IN: f32 = 5.0;
/// Of three times so many readings only the most novel counts: the rest is the same event.
const APART: u32 = 20;
/// Readings that count; older ones fade.
const MEMORY: f32 = 2e5;
/// A series stands still for unusually long after so many like readings, and so many times as many as ever before.
const STILL: f32 = 8.0;
const STILL_RATIO: f32 = 3.0;
/// What that adds.
const STILL_NEWS: f32 = 2.6;

/// One direction of one measure.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Direction {
    /// Excursions of each height, in units of [`ONE`].
    past: [u16; HEIGHTS],
    /// Height of the excursion that goes on; zero if there is none.
    height: f32,
    told: f32,
    below: u8,
}

/// What was learnt of a series' ways.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Novelty {
    variance: [f32; MEASURES],
    roughness: [f32; 2],
    directions: [[Direction; 2]; MEASURES],
    /// The scale of each measure in which its heights are remembered.
    scales: [f32; MEASURES],
    readings: u32,
    stillness: Stillness,
    /// The most novel of the last readings, twenty by twenty, the latest last.
    peaks: [f32; 3],
    /// Whether it is away from its place.
    pub is_away: bool,
}

/// How long a series has stood still, now and ever, in readings.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Stillness {
    now: f32,
    longest: f32,
    told: bool,
}

impl Stillness {
    /// Whether it has just stood still for longer than it used to.
    fn follow(&mut self, is_still: bool) -> bool {
        if !is_still {
            self.longest = self.longest.max(self.now);
            (self.now, self.told) = (0.0, false);
            return false;
        }
        self.now += 1.0;
        let is_new = !self.told && self.now >= STILL && self.now > STILL_RATIO * self.longest;
        self.told |= is_new;
        is_new
    }
}

impl Direction {
    /// How many excursions there were lately that were higher than this, or a quarter octave lower at most.
    fn known(&self, height: f32) -> f32 {
        let from = libm::ceilf(bin(height) - 1.0).max(0.0) as usize;
        self.past[from.min(HEIGHTS - 1)..].iter().map(|n| f32::from(*n)).sum::<f32>() / f32::from(ONE)
    }

    /// Follows a deviation in this direction; returns what is new about it. `unit`: the scale of now in the unit of what
    /// is remembered.
    fn follow(&mut self, deviation: f32, unit: f32) -> f32 {
        if deviation > LOWEST {
            if self.height == 0.0 {
                self.told = 0.0;
            }
            self.below = 0;
            self.height = self.height.max(deviation);
            if deviation > (self.told * RISE).max(LEAST) {
                self.told = deviation;
                let often = self.known(deviation * unit) / HALF_NEWS;
                return libm::logf(1.0 + deviation) / (1.0 + often * often * often);
            }
        } else if self.height > 0.0 {
            self.below += 1;
            if self.below >= OVER {
                let i = (bin(self.height * unit) + 0.5).max(0.0) as usize;
                self.past[i.min(HEIGHTS - 1)] = self.past[i.min(HEIGHTS - 1)].saturating_add(ONE);
                self.height = 0.0;
            }
        }
        0.0
    }

    /// Remembers all heights in a scale that is a quarter octave finer, or else coarser.
    fn rescale(&mut self, finer: bool) {
        // What was as high as can be still is.
        let (rest, top) = self.past.split_at_mut(HEIGHTS - 1);
        if finer {
            top[0] = top[0].saturating_add(rest[HEIGHTS - 2]);
            rest.copy_within(..HEIGHTS - 2, 1);
            rest[0] = 0;
        } else {
            rest.copy_within(1.., 0);
            rest[HEIGHTS - 2] = 0;
        }
    }

    fn forget(&mut self, keep: f32) {
        for n in &mut self.past {
            *n = (f32::from(*n) * keep) as u16;
        }
    }
}

/// Quarter octaves above the lowest excursion.
fn bin(height: f32) -> f32 {
    4.0 * libm::log2f(height / LOWEST)
}

impl Novelty {
    /// How novel the last reading of this window is, in nats or so; zero for most. `place`: where the series is
    /// expected; `floor`: the smallest scale that is believed; `shortest`: spans below so many readings are not looked
    /// at; `counts`: whether excursions upwards and downwards do.
    pub fn follow(
        &mut self,
        window: &Window,
        place: f32,
        floor: f32,
        shortest: usize,
        counts: [bool; 2],
        may_stand: bool,
    ) -> f32 {
        self.readings = self.readings.saturating_add(1);
        self.is_away = false;
        if window.len() < 2 {
            return 0.0;
        }
        let measures = measure(window, place, floor);
        let rate = 1.0 / (self.readings as f32).min(MEMORY);
        let mut novelty = 0.0;
        for (i, x) in measures.into_iter().enumerate() {
            let is_rough = i >= 7;
            let (mut x, least) = (x, if is_rough { 0.1 } else { floor });
            if is_rough {
                let usual = &mut self.roughness[i - 7];
                if self.readings < SETTLED {
                    *usual = if *usual == 0.0 { x } else { *usual + 0.1 * (x - *usual) };
                }
                x -= *usual;
                *usual += rate * x.clamp(-0.5, 0.5);
            }
            let scale = libm::sqrtf(self.variance[i]).max(least).max(f32::MIN_POSITIVE);
            let z = x / scale;
            let unit = self.unit(i, scale);
            // A jump is rough in either direction: where only one counts, roughness says nothing.
            let counts = if is_rough { [counts == [true; 2]; 2] } else { counts };
            if self.readings > SETTLED && span(i) >= shortest {
                for ((direction, z), counts) in self.directions[i].iter_mut().zip([z, -z]).zip(counts) {
                    if !counts {
                        continue;
                    }
                    novelty += direction.follow(z.min(MOST), unit);
                    self.is_away |= i < SPANS.len() && direction.height > 0.0;
                }
            }
            let near = if self.readings > SETTLED { x.clamp(-DRAWN_IN * scale, DRAWN_IN * scale) } else { x };
            self.variance[i] += rate * (near * near - self.variance[i]);
        }
        let mut last = window.iter().rev();
        if self.stillness.follow(last.next() == last.next()) && !may_stand {
            novelty += STILL_NEWS;
        }
        // Rounding would keep small counts for ever if they faded at every reading.
        if self.readings.is_multiple_of(128) {
            let keep = libm::exp2f(-128.0 / HALF_LIFE);
            self.directions.iter_mut().flatten().for_each(|d| d.forget(keep));
        }
        if self.readings <= WARM_UP {
            return 0.0;
        }
        let highest = self.peaks.iter().copied().fold(0.0, f32::max);
        if self.readings.is_multiple_of(APART) {
            self.peaks = [self.peaks[1], self.peaks[2], 0.0];
        }
        self.peaks[2] = self.peaks[2].max(novelty);
        // Where little was ever seen, much is new.
        let known = self.readings as f32;
        if novelty > highest { novelty * known / (known + YOUNG) } else { 0.0 }
    }

    /// The scale of a measure in the unit in which its heights are remembered, which follows it: what is learnt makes
    /// scales finer, and the very same excursion is not to seem higher than it used to be.
    fn unit(&mut self, measure: usize, scale: f32) -> f32 {
        let (kept, directions) = (&mut self.scales[measure], &mut self.directions[measure]);
        if self.readings <= SETTLED || *kept == 0.0 {
            *kept = scale;
        }
        // In a world of sudden changes what is remembered soon means nothing: no more than all of it is moved.
        for _ in 0..HEIGHTS {
            let ratio = scale / *kept;
            if (1.0 / QUARTER_OCTAVE..=QUARTER_OCTAVE).contains(&ratio) {
                return ratio;
            }
            let finer = ratio < 1.0;
            *kept = if finer { *kept / QUARTER_OCTAVE } else { *kept * QUARTER_OCTAVE };
            directions.iter_mut().for_each(|d| d.rescale(finer));
        }
        *kept = scale;
        1.0
    }
}

fn span(measure: usize) -> usize {
    match measure {
        0..4 => SPANS[measure],
        4..7 => SPANS[measure - 4],
        _ => SPANS[measure - 5],
    }
}

/// Place over four spans, change over three, logarithm of the roughness over two.
fn measure(window: &Window, place: f32, floor: f32) -> [f32; MEASURES] {
    let mut newest_first = [0.0f32; WINDOW];
    let first = window.iter().next().unwrap_or(0.0);
    newest_first[window.len()..].fill(first.clamp(-FAR, FAR));
    for (to, x) in newest_first.iter_mut().zip(window.iter().rev()) {
        *to = x.clamp(-FAR, FAR);
    }
    let w = &newest_first;
    let mean = |from: usize, n: usize| w[from..from + n].iter().sum::<f32>() / n as f32;
    let rough = |n: usize| {
        let n = n.min(WINDOW - 1);
        let steps: f32 = w[..=n].windows(2).map(|pair| (pair[0] - pair[1]).abs()).sum();
        libm::logf(steps / n as f32 + 0.1 * floor + 1e-12)
    };
    let [a, b, c, d] = SPANS.map(|n| mean(0, n));
    [
        a - place,
        b - place,
        c - place,
        d - place,
        a - mean(1, 1),
        b - mean(4, 4),
        c - mean(16, 16),
        rough(16),
        rough(WINDOW),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: u32) -> f32 {
        (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1u32 << 24) as f32 - 0.5
    }

    /// Feeds a series; returns the readings at which it was novel by more than `least`.
    fn check(n: u32, least: f32, reading: impl Fn(u32) -> f32) -> std::vec::Vec<u32> {
        let (mut novelty, mut window) = (Novelty::default(), Window::default());
        (0..n)
            .filter(|i| {
                window.push(10.0 + reading(*i));
                let x = novelty.follow(&window, 10.0, 0.05, 1, [true; 2], false);
                assert!(x.is_finite() && x >= 0.0);
                x > least
            })
            .collect()
    }

    #[test]
    fn the_first_of_its_kind_is_news_and_the_tenth_is_none() {
        assert!(check(4000, 3.0, noise).is_empty());
        let once = check(2000, 3.0, |i| if i == 1500 { 8.0 } else { noise(i) });
        assert_eq!(once, [1500]);
        let job = |i: u32| if i >= 1000 && i % 300 < 10 { 8.0 } else { noise(i) };
        let told = check(6000, 2.0, job);
        assert!(!told.is_empty() && told.iter().all(|i| *i < 4000), "{told:?}");
        let other = check(6000, 2.0, |i| if i == 5500 { -8.0 } else { job(i) });
        assert!(other.contains(&5500), "another direction is another kind: {other:?}");
    }

    #[test]
    fn quiet_is_news_where_there_never_was_any() {
        let told = check(3000, 2.0, |i| if i > 2000 { 0.01 * noise(i) } else { noise(i) });
        assert!(told.iter().any(|i| (2000..2100).contains(i)), "{told:?}");
    }

    #[test]
    fn standing_still_is_news_once_where_it_never_did() {
        let told = check(3000, 2.0, |i| if (2000..2200).contains(&i) { 0.1 } else { noise(i) });
        assert!(told.iter().any(|i| (2007..2012).contains(i)), "{told:?}");
        // One that stands still all the time has nothing to tell by it.
        let still =
            check(3000, 2.0, |i| if (2000..2050).contains(&i) { noise(2000) } else { noise(i / 20 * 20) });
        assert!(!still.contains(&2007), "{still:?}");
    }

    #[test]
    fn what_comes_again_is_no_news_because_its_scale_became_finer() {
        // A loud beginning, from which the scale comes down for long; the same hump every 200 readings.
        let reading = |i: u32| match i {
            0..100 => 6.0 * noise(i),
            _ if i % 200 < 20 => 1.0 + 0.1 * noise(i),
            _ => 0.1 * noise(i),
        };
        let told = check(20_000, 1.5, reading);
        assert!(told.iter().all(|i| *i < 1000), "{told:?}");
    }
}
