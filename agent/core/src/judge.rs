//! The judge of one series: from a reading to its evidence.
//!
//! Two questions are asked of every reading, each calibrated by the series' own past: is it far from where the
//! series has been over the last minutes (the baseline), and is it far from what the model predicted from the last
//! 64 readings? The rarer answer counts.

mod appraisal;

use serde::{Deserialize, Serialize};

pub use appraisal::{SHORTEST_MS, Tick};

use crate::baseline::Baseline;
use crate::drift::Drift;
use crate::metric::{Metric, Role};
use crate::novelty::Novelty;
use crate::quality::{Checked, Quality, Verdict};
use crate::rules::{Direction, Overrides};
use crate::series::{Millis, NoData, Reading};
use crate::surprise::{Evidence, Tail, Threshold};
use crate::usual::Usual;
use crate::window::{self, Norm, WINDOW, Window};

/// Quantile levels a model must predict, as the contract `forecast/1` lists them.
pub const LEVELS: [f32; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

/// Readings after which a series may be judged.
const WARM_UP: u32 = 30;
/// Fewer do of what has a limit, where they took as long: what is read seldom may be used up meanwhile.
const EARLY: (u32, Millis) = (8, 30_000);
/// Readings after which half of the confidence is there.
const HALF_CONFIDENT: f32 = 120.0;
/// What is hot for so many readings is the new usual (half an hour at one a second).
const ADOPT: u32 = 1800;
/// Probability, at least, of what it has often been in its long past.
const ORDINARY: f32 = 0.5;
/// The floor is so many robust scales wide: a deviation of the floor's size is notable, not yet alarming.
const FLOOR_SCALES: f32 = 8.0;

/// A series beyond its limit is at least so anomalous: half-way from the threshold to certainty.
const LIMIT_SCORE: f32 = 0.75;
/// And strays by so many scales at least.
const LIMIT_SCALES: f32 = 10.0;

/// By what a series is judged.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// From the false-alarm budget.
    pub threshold: Threshold,
    /// What people decided about it.
    pub overrides: Overrides,
}

/// The state of one series: a few hundred bytes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Series {
    quality: Quality,
    /// Measured values, newest last.
    pub window: Window,
    /// Where the series usually is.
    pub baseline: Baseline,
    from_baseline: Tail,
    from_model: Tail,
    evidence: Evidence,
    predicted: Option<Prediction>,
    first: Option<Millis>,
    /// The smallest difference between two unlike readings: nothing smaller is resolved.
    quantum: f32,
    readings: u32,
    hot_for: u32,
    rising_since: Option<Millis>,
    /// What was predicted of the last reading.
    foretold: Option<f32>,
    /// The last reading was good and is not learnt yet.
    fresh: bool,
    /// When that was, and how many milliseconds after the one before.
    read_at: Option<Millis>,
    lasted: f32,
    /// Since when it does what it hardly ever did.
    novel_since: Option<Millis>,
    usual: Usual,
    /// Only of what nobody described.
    novelty: Option<Novelty>,
    drift: Drift,
    /// Since when it has been beyond which limit.
    beyond: Option<(Millis, f32)>,
    /// What is thought now.
    pub now: Judgement,
}

/// What the model expects of the next reading, in measured units.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Prediction {
    median: f32,
    spread: f32,
    low: f32,
    high: f32,
}

/// What is thought of a series after a tick.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict of quality.
    pub verdict: Verdict,
    /// The value in the metric's unit, if there is one.
    pub value: Option<f32>,
    /// What was expected, and between which limits, in the metric's unit.
    pub expected: (f32, f32, f32),
    /// Deviation in robust scales, signed.
    pub deviation: f32,
    /// 0..1, where 0.5 is the threshold.
    pub score: f32,
    /// At the threshold or above.
    pub hot: bool,
    /// Half-way there.
    pub warm: bool,
    /// When the evidence began to gather.
    pub since: Option<Millis>,
    /// The static limit that it is beyond, in the metric's unit.
    pub beyond: Option<f32>,
    /// Its part, 0..1, in what all series of the device say together, while that is strange.
    pub part: f32,
    /// It is held to be anomalous on the word of the whole device alone.
    pub by_device: bool,
}

impl Default for Judgement {
    fn default() -> Self {
        Self {
            verdict: Verdict::Missing,
            value: None,
            expected: (0.0, 0.0, 0.0),
            deviation: 0.0,
            score: 0.0,
            hot: false,
            warm: false,
            since: None,
            beyond: None,
            part: 0.0,
            by_device: false,
        }
    }
}

impl Series {
    /// Takes one reading: checks it, judges it, learns from it.
    pub fn observe(&mut self, metric: &Metric, rules: &Rules, now: Millis, reading: Reading) -> Checked {
        if rules.overrides.quiet {
            return self.see(metric, now, reading);
        }
        let checked = self.quality.check(metric, now, reading);
        match (checked.verdict, checked.value) {
            (Verdict::Ok, Some(value)) => self.judge(metric, rules, now, value),
            (Verdict::Frozen, Some(value)) => {
                // A dead sensor is the sensor's fault: told as such, and nothing is learnt from it.
                self.evidence.be_sure(rules.threshold);
                self.rising_since = self.rising_since.or(Some(self.quality.same_since));
                self.conclude(rules, now, checked.verdict, Some(value), 0.0);
            }
            (verdict, value) => {
                self.predicted = None;
                if checked.why == Some(NoData::Idle) {
                    // What does not happen does not go wrong any more.
                    self.evidence.clear();
                    self.novel_since = None;
                }
                // What cannot be seen is neither strange nor ordinary: the evidence stays as it is.
                self.conclude(rules, now, verdict, value, 0.0);
            }
        }
        self.heed_limit(rules, now, checked);
        checked
    }

    /// Takes one reading to be shown: nothing is judged, nothing is learnt.
    fn see(&mut self, metric: &Metric, now: Millis, reading: Reading) -> Checked {
        if !self.window.is_empty() {
            self.after_gap();
        }
        let checked = self.quality.see(metric, now, reading);
        (self.now.verdict, self.now.value) = (checked.verdict, checked.value);
        checked
    }

    /// A limit that somebody set holds whatever the past says. What cannot be seen leaves it as it was.
    fn heed_limit(&mut self, rules: &Rules, now: Millis, checked: Checked) {
        let limit = rules.overrides.limit;
        if let (Some(value), Verdict::Ok | Verdict::Frozen) = (checked.value, checked.verdict) {
            let since = self.beyond.map_or(now, |(since, _)| since);
            self.beyond = limit.and_then(|limit| limit.broken_by(value)).map(|at| (since, at));
        }
        let lasted = |since| limit.is_some_and(|limit| now.saturating_sub(since) >= limit.for_ms);
        let reached = self.beyond.filter(|(since, _)| lasted(*since));
        let shown = &mut self.now;
        shown.beyond = reached.map(|(_, at)| at);
        if let Some((since, at)) = reached {
            (shown.hot, shown.warm) = (true, true);
            shown.score = shown.score.max(LIMIT_SCORE);
            shown.since = Some(shown.since.map_or(since, |began| began.min(since)));
            if shown.deviation.abs() < LIMIT_SCALES {
                let is_above = shown.value.is_none_or(|value| value > at);
                shown.deviation = if is_above { LIMIT_SCALES } else { -LIMIT_SCALES };
            }
        }
    }

    fn judge(&mut self, metric: &Metric, rules: &Rules, now: Millis, value: f32) {
        let x = window::measure(metric, value);
        self.note_quantum(x);
        let floor = rules.overrides.floor_at(metric, self.baseline.median);
        let direction = rules.overrides.direction;
        let away = self.deviation_from_baseline(metric, direction, x, floor);
        let astray = self.predicted.map(|p| deviation(metric, direction, x - p.median, p.spread, floor));
        self.note_expected(metric);
        self.foretold = self.predicted.map(|p| p.median);
        self.fresh = true;

        if is_undescribed(metric, rules) {
            // Only standing still was evidence, and that is over.
            self.evidence.clear();
        } else if self.is_known(metric, now) {
            let mut probability = self.from_baseline.probability(away.abs());
            if let Some(astray) = astray {
                // Two questions, so each answer counts double.
                probability = (2.0 * probability.min(self.from_model.probability(astray.abs()))).min(1.0);
            }
            if !self.usual.is_beyond(x) {
                probability = probability.max(ORDINARY);
            }
            self.evidence.add(probability, rules.threshold);
        }
        self.learn(rules, x, away, astray);
        self.conclude(rules, now, Verdict::Ok, Some(value), away);
    }

    /// Whether enough was read to judge by.
    fn is_known(&mut self, metric: &Metric, now: Millis) -> bool {
        let (readings, ms) = EARLY;
        let first = *self.first.get_or_insert(now);
        let is_early = self.readings >= readings && now.saturating_sub(first) >= ms;
        self.readings >= WARM_UP || (metric.limit.is_some() && is_early)
    }

    fn deviation_from_baseline(&self, metric: &Metric, direction: Direction, x: f32, floor: f32) -> f32 {
        // A share that is used up evenly has but one difference between readings; shares are resolved finely.
        let resolved = if metric.limit.is_some() { 0.0 } else { self.quantum / 2.0 };
        let least = (floor / FLOOR_SCALES).max(resolved).max(self.baseline.median.abs() * 1e-3);
        deviation(metric, direction, x - self.baseline.median, self.baseline.spread.max(least), floor)
    }

    fn learn(&mut self, rules: &Rules, x: f32, away: f32, astray: Option<f32>) {
        self.readings = self.readings.saturating_add(1);
        self.window.push(x);
        self.predicted = None;
        if self.readings > WARM_UP {
            self.from_baseline.note(away.abs());
            if let Some(astray) = astray {
                self.from_model.note(astray.abs());
            }
        }
        if self.evidence.is_hot(rules.threshold) {
            self.hot_for += 1;
        }
        if self.hot_for >= ADOPT {
            self.baseline.restart(self.window.iter());
            self.evidence.clear();
        }
        if !self.evidence.is_warm(rules.threshold) {
            self.baseline.push(x);
        }
        if !self.evidence.is_rising() {
            // The excursion is over. If it never got hot, it was this series' ordinary life.
            for tail in [&mut self.from_baseline, &mut self.from_model] {
                if self.hot_for > 0 { tail.forget() } else { tail.learn() }
            }
            self.hot_for = 0;
        }
    }

    fn conclude(&mut self, rules: &Rules, now: Millis, verdict: Verdict, value: Option<f32>, deviation: f32) {
        self.rising_since = if self.evidence.is_rising() { self.rising_since.or(Some(now)) } else { None };
        self.now = Judgement {
            verdict,
            value,
            deviation,
            score: self.evidence.score(rules.threshold),
            hot: self.evidence.is_hot(rules.threshold),
            warm: self.evidence.is_warm(rules.threshold),
            since: self.rising_since,
            part: 0.0,
            by_device: false,
            ..self.now
        };
    }

    fn note_quantum(&mut self, x: f32) {
        let step = self.window.last().map_or(0.0, |last| (x - last).abs());
        if step > 0.0 && (self.quantum == 0.0 || step < self.quantum) {
            self.quantum = step;
        }
    }

    /// While nothing is amiss the expectation moves on; during an anomaly it stays as it was at the onset.
    fn note_expected(&mut self, metric: &Metric) {
        if self.evidence.is_rising() {
            return;
        }
        let b = &self.baseline;
        let (low, high) = self.predicted.map_or((b.low, b.high), |p| (b.low.min(p.low), b.high.max(p.high)));
        let back = |x| window::unmeasure(metric, x).clamp(metric.range.0, metric.range.1);
        self.now.expected = (back(b.median), back(low), back(high));
    }

    /// The series as it was when its evidence began to gather, so many readings ago, as far as it still knows; and what
    /// it has read since, oldest first, in the metric's unit.
    pub fn rewound(&self, metric: &Metric, readings: usize) -> (Self, heapless::Vec<f32, WINDOW>) {
        let mut was = self.clone();
        was.after_gap();
        let known = self.window.len().saturating_sub(readings);
        self.window.iter().take(known).for_each(|x| was.window.push(x));
        was.now.expected = self.now.expected;
        (was, self.window.iter().skip(known).map(|x| window::unmeasure(metric, x)).collect())
    }

    /// Judges a value that was, or could have been, read; nothing is asked of its quality.
    pub fn judge_again(&mut self, metric: &Metric, rules: &Rules, now: Millis, value: f32) {
        self.judge(metric, rules, now, value);
    }

    /// Time has passed unseen: what was going on is not known to go on. What was learnt stays.
    pub fn after_gap(&mut self) {
        self.quality.after_gap();
        self.window = Window::default();
        self.predicted = None;
        self.evidence.clear();
        self.from_baseline.forget();
        self.from_model.forget();
        (self.hot_for, self.rising_since, self.beyond) = (0, None, None);
        (self.novel_since, self.foretold, self.fresh, self.read_at) = (None, None, false, None);
        self.usual.after_gap();
        self.now = Judgement::default();
    }

    /// Writes the model's input for the next reading. None before there is anything to go by.
    pub fn ask(&self, metric: &Metric, out: &mut [f32]) -> Option<Norm> {
        if self.window.len() < 8 || out.len() != WINDOW {
            return None;
        }
        let least = window::measured_floor(metric) / FLOOR_SCALES;
        Some(self.window.normalise(least.max(self.quantum / 2.0).max(1e-9), out))
    }

    /// Takes the model's answer: quantiles at [`LEVELS`], in the units of `norm`.
    pub fn answer(&mut self, norm: Norm, quantiles: &[f32]) {
        let &[_, q05, _, q50, _, q95, _] = quantiles else { return };
        if !(q05.is_finite() && q50.is_finite() && q95.is_finite() && q05 <= q95) {
            return;
        }
        let back = |q: f32| norm.mean + norm.scale * q;
        // 3.29 standard deviations lie between these quantiles of a normal.
        let spread = norm.scale * ((q95 - q05) / 3.29).max(0.05);
        self.predicted = Some(Prediction { median: back(q50), spread, low: back(q05), high: back(q95) });
    }

    /// How far learning has come, 0..1.
    #[must_use]
    pub fn confidence(&self) -> f32 {
        let seen = self.from_baseline.seen() as f32;
        seen / (seen + HALF_CONFIDENT)
    }
}

/// Signed deviation in scales. Less than the floor is not worth anybody's time, and is shrunk accordingly; so is
/// less of what can only hurt by being more.
fn deviation(metric: &Metric, direction: Direction, difference: f32, spread: f32, floor: f32) -> f32 {
    if !direction.counts(metric, difference) {
        return 0.0;
    }
    let scales = if spread > 0.0 { difference / spread } else { 0.0 };
    if floor <= 0.0 {
        return scales;
    }
    let worth = (difference.abs() / floor).min(1.0);
    scales * worth * worth * worth
}

/// Whether nobody said how large a change matters: it is learnt from the series alone.
#[must_use]
pub fn is_undescribed(metric: &Metric, rules: &Rules) -> bool {
    metric.floor <= 0.0 && rules.overrides.floor.is_none()
}

/// Whether a series may open an episode: by its metric, or because it is beyond a limit that somebody set.
#[must_use]
pub fn may_open(metric: &Metric, now: &Judgement) -> bool {
    metric.role == Role::Headline || now.beyond.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric;

    const WEEK: f32 = 7.0 * 86_400e3;

    fn rules() -> Rules {
        let threshold = Threshold::of_budget(1.0, WEEK, 200, 1000.0, 5000.0);
        Rules { threshold, overrides: Overrides::default() }
    }

    fn noise(i: u32) -> f64 {
        f64::from(i.wrapping_mul(2_654_435_761) >> 8) / f64::from(1u32 << 24) - 0.5
    }

    fn observe(s: &mut Series, m: &Metric, second: u32, x: f64) {
        let now = 1000 * u64::from(second);
        let tick = Tick { now, time: None, every: 1000.0, novel: 2.5 };
        s.observe(m, &rules(), now, Ok(x));
        s.appraise(m, &rules(), &tick);
        s.settle(&tick, if s.now.hot { 0.02 } else { 1.0 });
    }

    /// Feeds `calm` then `strange` readings, one a second; returns after how many strange ones it was hot.
    fn check(code: u16, calm: impl Fn(u32) -> f64, strange: impl Fn(u32) -> f64) -> Option<u32> {
        let mut s = Series::default();
        let m = metric::by_code(code);
        for i in 0..600 {
            observe(&mut s, m, i, calm(i));
            assert!(!s.now.hot, "hot in the calm at {i}");
        }
        (0..120).find(|i| {
            observe(&mut s, m, 600 + i, strange(*i));
            s.now.hot
        })
    }

    #[test]
    fn steps_are_seen_within_seconds_and_blips_are_not() {
        let calm = |i| 0.05 + 0.04 * noise(i);
        assert!(check(metric::CPU_BUSY, calm, |_| 1.0).is_some_and(|n| n <= 6));
        assert_eq!(check(metric::CPU_BUSY, calm, |i| if i < 4 { 1.0 } else { 0.05 }), None, "four seconds");
        assert_eq!(check(metric::CPU_BUSY, calm, |i| 0.12 + 0.04 * noise(i)), None, "below the floor");
        assert_eq!(check(metric::CPU_BUSY, |_| 0.9, |_| 0.1), None, "less work is no fault");
        let unknown = |i| 20.0 + noise(i);
        assert!(check(metric::CUSTOM, unknown, |_| 35.0).is_some_and(|n| n <= 8));
        assert!(check(metric::CUSTOM, unknown, |_| 5.0).is_some_and(|n| n <= 8), "a fall is an anomaly here");
    }

    #[test]
    fn a_leak_is_seen_while_it_grows() {
        let n = check(metric::MEMORY_USED, |i| 0.2 + 0.002 * noise(i), |i| 0.2 + 0.002 * f64::from(i));
        assert!(n.is_some_and(|n| n < 60), "{n:?}");
    }

    #[test]
    fn slow_degradations_are_seen_while_they_grow_and_blips_are_not() {
        let check = |code: u16, from: f64, to: f64, minutes: u32| {
            let (mut s, m) = (Series::default(), metric::by_code(code));
            let part = |i: u32| f64::from(i.saturating_sub(900)) / f64::from(minutes * 60);
            let mut seconds = 0..900 + minutes * 60;
            seconds.find(|i| {
                observe(&mut s, m, *i, from + (to - from) * (part(*i) + 0.02 * noise(*i)));
                s.now.hot
            })
        };
        for minutes in [5, 15] {
            let half = |at: u32| (900..900 + minutes * 45).contains(&at);
            for (code, from, to) in [
                (metric::CPU_BUSY, 0.05, 0.95),
                (metric::MEMORY_USED, 0.3, 0.6),
                (metric::TEMPERATURE, 45.0, 85.0),
                (metric::CUSTOM, 10.0, 30.0),
            ] {
                let seen = check(code, from, to, minutes);
                assert!(seen.is_some_and(half), "{code} in {minutes} min: {seen:?}");
            }
        }
    }

    #[test]
    fn bursts_that_always_were_there_are_not_news() {
        let bursty = |i: u32| if i % 40 < 4 { 9.0 } else { 1.0 + 0.1 * noise(i) };
        assert_eq!(check(metric::TEMPERATURE, bursty, bursty), None);
        let longer = |i: u32| if i % 40 < 8 { 9.0 } else { 1.0 + 0.1 * noise(i) };
        assert_eq!(
            check(metric::TEMPERATURE, bursty, longer),
            None,
            "a tenth of all readings were like this"
        );
    }

    #[test]
    fn what_lasts_becomes_the_usual() {
        let mut s = Series::default();
        let m = metric::by_code(metric::TEMPERATURE);
        let mut hot = 0;
        for i in 0..5000u32 {
            let level = if i < 600 { 10.0 } else { 50.0 };
            observe(&mut s, m, i, level + noise(i));
            hot += u32::from(s.now.hot);
        }
        assert!((1700..2100).contains(&hot), "hot for {hot} readings");
        assert!(!s.now.hot);
    }

    #[test]
    fn nothing_that_arrives_breaks_it() {
        let odd =
            [f64::NAN, f64::MAX, -f64::MAX, 0.0, -0.0, f64::MIN_POSITIVE, 1e38, f64::INFINITY, 1e-40, -1e38];
        for (code, step) in [metric::TEMPERATURE, metric::CUSTOM].into_iter().flat_map(|c| [(c, 1), (c, 7)]) {
            let (mut s, m) = (Series::default(), metric::by_code(code));
            for i in 0..4000usize {
                observe(&mut s, m, i as u32, odd[i * step % odd.len()]);
                let mut out = [0.0; WINDOW];
                if let Some(norm) = s.ask(m, &mut out) {
                    s.answer(norm, &[0.0; 7]);
                }
                assert!((0.0..=1.0).contains(&s.now.score), "{code} {i}: {:?}", s.now);
                let far = s.part().answers.farthest();
                assert!(far <= crate::usual::MOST, "{code} {i}: {:?}", s.part());
                assert!([s.part().answers.level, s.part().answers.step].iter().all(|x| x.is_finite()));
            }
        }
    }

    #[test]
    fn a_disk_that_fills_up_soon_after_the_start_is_seen() {
        let check = |every: u64, begins: u64| {
            let (mut s, m) = (Series::default(), metric::by_code(metric::FILESYSTEM_USED));
            let at = |ms| if ms < begins { 0.2 } else { 0.2 + (ms - begins) as f64 / 80_000.0 };
            let threshold = Threshold::of_budget(1.0, WEEK, 200, every as f32, 5000.0);
            let rules = Rules { threshold, ..rules() };
            let mut times = (0..40).map(|i| every * i);
            times.find(|ms| {
                s.observe(m, &rules, *ms, Ok(at(*ms)));
                s.now.hot
            })
        };
        assert!(check(5000, 50_000).is_some_and(|at| at <= 70_000), "{:?}", check(5000, 50_000));
        assert!(check(1000, 10_000).is_none_or(|at| at >= 30_000), "thirty readings, or thirty seconds");
    }

    #[test]
    fn a_sensor_that_stands_still_is_told_at_once_and_until_it_moves() {
        for code in [metric::SENSOR_VALUE, metric::TEMPERATURE] {
            let (mut s, m) = (Series::default(), metric::by_code(code));
            let lively = |i: u32| (4000.0 + 100.0 * noise(i * i + i / 3)).round() / 100.0;
            (0..600).for_each(|i| observe(&mut s, m, i, lively(i)));
            assert!(!s.now.hot);
            (600..609).for_each(|i| observe(&mut s, m, i, lively(599)));
            assert!(s.now.hot && s.now.verdict == Verdict::Frozen, "{code}: {:?}", s.now);
            assert_eq!(s.now.since, Some(599_000), "{code}: since it was read first");
            (609..800).for_each(|i| observe(&mut s, m, i, lively(599)));
            assert!(s.now.hot);
            (800..820).for_each(|i| observe(&mut s, m, i, lively(i)));
            assert!(!s.now.hot, "{code}: {:?}", s.now);
        }
    }

    #[test]
    fn what_was_novel_before_a_gap_is_not_known_to_go_on() {
        let (mut s, m) = (Series::default(), metric::by_code(metric::CUSTOM));
        (0..600).for_each(|i| observe(&mut s, m, i, 10.0 + noise(i)));
        (600..640).for_each(|i| observe(&mut s, m, i, 40.0));
        assert!(s.now.hot);
        s.after_gap();
        (900..905).for_each(|i| observe(&mut s, m, i, 10.0 + noise(i)));
        assert!(!s.now.hot, "{:?}", s.now);
    }
}
