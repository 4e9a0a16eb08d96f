//! The usual: where a series is in the long run, how far it strays, at which hour, and how rough it is.
//!
//! Mean and variance of the whole past, with what lies far out drawn in before it is learnt (winsorised: Huber, *Robust
//! Statistics*, 1981), so that an anomaly moves them little. Four questions are asked of every reading, each answered
//! in the series' own scales: is it far from its usual place, from what was expected of it a moment ago, has it been
//! off for a while, and is it rougher or smoother than it used to be?

use serde::{Deserialize, Serialize};

use crate::joint::TRAIL;
use crate::season::{Season, TimeOfDay};

/// Readings before which there is no usual.
pub const WARM_UP: f32 = 30.0;
/// No answer is larger: beyond it, far is far.
pub const MOST: f32 = 12.0;
/// What is learnt of a reading lies at most so many scales away.
const DRAWN_IN: f32 = 3.0;
/// The scale is at least this share of the range that was seen: a series that hardly ever moves may move a little.
const LEAST_SHARE: f32 = 0.04;
/// Readings that count; older ones fade.
const MEMORY: f32 = 2e5;
/// Readings over which "for a while" is averaged.
const WHILE: f32 = 60.0;
/// The built-in expectation follows by this share of every error.
const FOLLOW: f32 = 0.4;

/// The answers, in scales.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// From its usual place.
    pub level: f32,
    /// From what was expected a moment ago.
    pub step: f32,
    /// From its usual place, on average over a while.
    pub drift: f32,
    /// Rougher (above zero) or smoother than it used to be.
    pub rough: f32,
}

impl Answers {
    /// The largest, whatever its direction.
    #[must_use]
    pub fn farthest(&self) -> f32 {
        [self.level, self.step, self.drift, self.rough].into_iter().fold(0.0, |most, x| x.abs().max(most))
    }
}

/// What was learnt of a series.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Usual {
    readings: f32,
    mean: f32,
    variance: f32,
    low: f32,
    high: f32,
    season: Season,
    expected: f32,
    error: f32,
    drift: f32,
    drift_variance: f32,
    roughness: f32,
    usual_roughness: f32,
    roughness_variance: f32,
    distinct: heapless::Vec<f32, 3>,
    /// The reading that was asked about, and what was expected of it.
    asked: Option<(f32, f32)>,
    /// The answers of the last reading.
    pub answers: Answers,
    /// Those of the ticks before, the latest first.
    before: [Answers; TRAIL - 1],
}

/// Squares of what lies farther out could not be told from infinity.
pub const FAR: f32 = 1e15;

/// Draws a value in between these bounds; what is no number says nothing. What is next to nothing is nothing: products of such numbers are denormal,
/// which processors reckon a hundred times more slowly.
fn within(x: f32, most: f32) -> f32 {
    if x.is_nan() || x.abs() < 1e-9 { 0.0 } else { x.clamp(-most, most) }
}

impl Usual {
    /// Where the series is expected at this hour, and how far it usually strays. `least`: nothing smaller is resolved.
    #[must_use]
    pub fn place(&self, time: Option<TimeOfDay>, least: f32) -> (f32, f32) {
        let floor = self.floor().max(least);
        let (season, narrower) = time.map_or((0.0, 1.0), |h| self.season.at(h));
        let scale = libm::sqrtf(self.variance).max(floor);
        (self.mean + season, (scale * narrower).max(floor))
    }

    /// The smallest scale that is believed.
    #[must_use]
    pub fn floor(&self) -> f32 {
        LEAST_SHARE * (self.high - self.low) + 1e-6 * self.mean.abs() + 1e-12
    }

    /// How many readings were learnt, those in doubt counted in part.
    #[must_use]
    pub fn readings(&self) -> f32 {
        self.readings
    }

    /// Whether it has only ever had two values: a switch, whose position says little.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.distinct.len() == 2
    }

    /// Whether it takes so few values that one of them returning means nothing.
    #[must_use]
    pub fn is_coarse(&self) -> bool {
        !self.distinct.is_full()
    }

    /// Another tick begins: what is answered now will have been answered before it.
    pub fn begin_tick(&mut self) {
        self.before.rotate_right(1);
        self.before[0] = self.answers;
    }

    /// The answers so many ticks ago; 0 is now. None are known of what is longer ago than [`TRAIL`].
    #[must_use]
    pub fn answers_ago(&self, ticks: usize) -> Answers {
        match ticks {
            0 => self.answers,
            _ => self.before.get(ticks - 1).copied().unwrap_or_default(),
        }
    }

    /// Asks the questions of a reading. `forecast`: what a model predicted; without one, the built-in expectation
    /// stands in. `worth` turns a difference and its scale into scales, as the metric wants.
    pub fn ask(
        &mut self,
        x: f32,
        time: Option<TimeOfDay>,
        least: f32,
        forecast: Option<f32>,
        worth: impl Fn(f32, f32) -> f32,
    ) -> Answers {
        let x = within(x, FAR);
        // Two forecasts that err in different ways err less together.
        let expected = forecast
            .filter(|f| f.is_finite())
            .map_or(self.expected, |f| 0.5 * (within(f, FAR) + self.expected));
        self.asked = Some((x, expected));
        if !self.distinct.is_full() && !self.distinct.contains(&x) {
            // There is room: it is not full.
            let _pushed = self.distinct.push(x);
        }
        if self.readings < WARM_UP {
            self.answers = Answers::default();
            return self.answers;
        }
        let (place, scale) = self.place(time, least);
        let error =
            libm::sqrtf(self.error).max(0.1 * libm::sqrtf(self.variance).max(self.floor())).max(least);
        self.answers = Answers {
            level: within(worth(x - place, scale), MOST),
            step: within(worth(x - expected, error), MOST),
            drift: within(self.drift / libm::sqrtf(self.drift_variance).max(0.05), MOST),
            rough: within(
                (self.roughness - self.usual_roughness) / libm::sqrtf(self.roughness_variance).max(0.1),
                MOST,
            ),
        };
        self.answers
    }

    /// Time has passed unseen: what was going on is not known to go on.
    pub fn after_gap(&mut self) {
        (self.drift, self.roughness) = (0.0, self.usual_roughness);
        (self.expected, self.asked, self.answers) = (self.mean, None, Answers::default());
        self.before = Default::default();
    }

    /// Learns the reading that was asked about, in proportion to its plausibility. `lasted`: milliseconds that it stands
    /// for.
    pub fn learn(&mut self, plausible: f32, time: Option<TimeOfDay>, lasted: f32) {
        let Some((x, expected)) = self.asked.take() else { return };
        if self.readings == 0.0 {
            (self.low, self.high, self.expected) = (x, x, x);
        }
        let is_warm = self.readings > WARM_UP;
        let weight = if is_warm { plausible } else { 1.0 };
        self.readings += weight;
        let rate = weight / self.readings.min(MEMORY);
        let spread = libm::sqrtf(self.variance);
        let mut away = x - self.mean;
        if is_warm {
            away = within(away, DRAWN_IN * spread.max(LEAST_SHARE * (self.high - self.low)) + 1e-12);
            if let Some(time) = time {
                self.season.learn(time, away, lasted * weight);
            }
        }
        self.mean += rate * away;
        self.variance = (1.0 - rate) * (self.variance + rate * away * away);
        if plausible > 0.5 || !is_warm {
            self.low = self.low.min(x);
            self.high = self.high.max(x);
        }
        self.expected += FOLLOW * (x - self.expected);
        let mut error = x - expected;
        if is_warm {
            error = within(error, DRAWN_IN * libm::sqrtf(self.error).max(0.1 * spread) + 1e-12);
        }
        self.error = (1.0 - rate) * (self.error + rate * error * error);
        self.learn_answers(rate);
    }

    fn learn_answers(&mut self, rate: f32) {
        self.drift = within(self.drift + (self.answers.level - self.drift) / WHILE, MOST);
        let drift = within(self.drift, 3.0);
        self.drift_variance += rate * (drift * drift - self.drift_variance);
        self.roughness += (libm::logf(self.answers.step.abs() + 0.1) - self.roughness) / WHILE;
        self.usual_roughness += rate * (self.roughness - self.usual_roughness);
        let off = within(self.roughness - self.usual_roughness, 1.0);
        self.roughness_variance += rate * (off * off - self.roughness_variance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: u32) -> f32 {
        (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1u32 << 24) as f32 - 0.5
    }

    fn feed(u: &mut Usual, n: u32, plausible: f32, reading: impl Fn(u32) -> f32) -> Answers {
        for i in 0..n {
            u.ask(reading(i), None, 0.0, None, |d, s| d / s);
            u.learn(plausible, None, 0.0);
        }
        u.answers
    }

    #[test]
    fn each_question_has_its_fault() {
        let check = |strange: fn(u32) -> f32, n: u32, is_seen: fn(Answers) -> bool| {
            let mut u = Usual::default();
            let calm = feed(&mut u, 2000, 1.0, |i| 10.0 + noise(i));
            assert!(calm.level.abs() < 3.0 && calm.drift.abs() < 4.0 && calm.rough.abs() < 4.0, "{calm:?}");
            let answers = feed(&mut u, n, 0.02, strange);
            assert!(is_seen(answers), "{answers:?}");
        };
        check(|_| 14.0, 1, |a| a.level > 8.0 && a.step > 8.0);
        check(|i| 10.35 + noise(i), 200, |a| a.drift > 3.0);
        check(|i| 10.0 + 3.0 * noise(i), 200, |a| a.rough > 3.0);
        check(|i| 10.0 + 0.01 * noise(i), 200, |a| a.rough < -3.0);
    }

    #[test]
    fn what_is_implausible_moves_little() {
        let mut u = Usual::default();
        feed(&mut u, 1000, 1.0, noise);
        let (before, scale) = u.place(None, 0.0);
        feed(&mut u, 1000, 0.02, |_| 50.0);
        let (after, wider) = u.place(None, 0.0);
        assert!((after - before).abs() < 0.1 && wider < 1.5 * scale, "{before} {after} {scale} {wider}");
        feed(&mut u, 3000, 1.0, |i| 50.0 + noise(i));
        assert!(u.place(None, 0.0).0 > 10.0, "what is plausible is learnt");
    }

    #[test]
    fn it_is_total() {
        let mut u = Usual::default();
        let odd = [0.0, -0.0, f32::MAX, f32::MIN, 1e-40, 1.0, f32::MIN_POSITIVE];
        for i in 0..5000usize {
            let a = u.ask(odd[i * 5 % odd.len()], None, 0.0, None, |d, s| d / s);
            u.learn(1.0, None, 0.0);
            assert!(a.level.abs() <= MOST || a.level.is_nan(), "{a:?}");
        }
    }
}
