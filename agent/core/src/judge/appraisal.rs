//! The second look at a series: beside its long past, and as a part of the device.

use super::{FLOOR_SCALES, Rules, Series, deviation, is_undescribed};
use crate::drift::Drifting;
use crate::joint::Part;
use crate::metric::{Metric, Role};
use crate::season::TimeOfDay;
use crate::series::Millis;
use crate::window;

/// What has been novel for so long is not any more.
const ADOPT_MS: Millis = 1_800_000;
/// What lasts less is not looked at in a series that nobody described.
pub const SHORTEST_MS: f32 = 5000.0;
/// Who has less of what all series say together is not said to have moved.
const GOOD_PART: f32 = 0.05;

/// What is the same for all series at one tick.
#[derive(Debug, Clone, Copy)]
pub struct Tick {
    /// The monotonic clock.
    pub now: Millis,
    /// The time of day, if a clock knows.
    pub time: Option<TimeOfDay>,
    /// Milliseconds between ticks.
    pub every: f32,
    /// Novelty from which on a series that nobody described is held to be anomalous.
    pub novel: f32,
}

impl Series {
    /// Asks what the last reading means beside the long past, and judges by it what nobody described.
    pub fn appraise(&mut self, metric: &Metric, rules: &Rules, tick: &Tick) {
        self.usual.begin_tick();
        let Some(x) = self.window.last().filter(|_| self.fresh) else { return };
        // A source may be slower than the device.
        self.lasted = self.read_at.map_or(tick.every, |at| tick.now.saturating_sub(at) as f32).max(1.0);
        self.read_at = Some(tick.now);
        let floor = rules.overrides.floor_at(metric, self.baseline.median);
        let direction = rules.overrides.direction;
        let least = floor / FLOOR_SCALES;
        let worth = |difference, scale| deviation(metric, direction, difference, scale, floor);
        self.usual.ask(x, tick.time, least, self.foretold, worth);
        if is_undescribed(metric, rules) {
            // Of a sensor that stands still its quality tells.
            let may_stand = metric.freezes || self.usual.is_coarse();
            self.judge_novelty(tick, [1.0, -1.0].map(|sign| direction.counts(metric, sign)), may_stand);
        }
    }

    fn judge_novelty(&mut self, tick: &Tick, counts: [bool; 2], may_stand: bool) {
        let (place, scale) = self.usual.place(tick.time, 0.0);
        let shortest = libm::ceilf(SHORTEST_MS / self.lasted) as usize;
        let ways = self.novelty.get_or_insert_default();
        let novelty = ways.follow(&self.window, place, self.usual.floor(), shortest, counts, may_stand);
        let is_away = ways.is_away;
        let lasts = |since: &Millis| is_away && tick.now.saturating_sub(*since) < ADOPT_MS;
        self.novel_since = self.novel_since.filter(lasts);
        if novelty >= tick.novel {
            self.novel_since.get_or_insert(tick.now);
        }
        let now = &mut self.now;
        now.deviation = self.window.last().map_or(0.0, |x| (x - place) / scale);
        now.score = now.score.max(novelty / (novelty + tick.novel));
        if self.novel_since.is_some() {
            (now.hot, now.warm) = (true, true);
            now.since = now.since.or(self.novel_since);
        }
    }

    /// Held to be anomalous since then, on the word of the whole device, which is so strange.
    pub fn answer_for_device(&mut self, since: Millis, score: f32) {
        let now = &mut self.now;
        now.by_device = !now.hot;
        (now.hot, now.warm) = (true, true);
        now.score = now.score.max(score);
        now.since = now.since.or(Some(since));
    }

    /// Has such a part in what all series say together since then; if it is a good one, it moves with them.
    pub fn take_part(&mut self, part: f32, since: Millis) {
        self.now.part = part;
        if part >= GOOD_PART {
            self.now.warm = true;
            self.now.since = self.now.since.or(Some(since));
        }
    }

    /// What the series says of the device.
    #[must_use]
    pub fn part(&self) -> Part {
        self.part_ago(0)
    }

    /// What it said so many ticks ago; 0 is now.
    #[must_use]
    pub fn part_ago(&self, ticks: usize) -> Part {
        Part { answers: self.usual.answers_ago(ticks), is_switch: self.usual.is_switch() }
    }

    /// Whether the series has come to be seen to drift with the last reading: slowly, for days. Of what has a limit it
    /// is foretold when it will be reached, and that is enough. In the metric's unit.
    pub fn drifts(&mut self, metric: &Metric, rules: &Rules, now: Millis) -> Option<Drifting> {
        let x = self.window.last().filter(|_| self.fresh)?;
        if metric.role != Role::Headline || metric.limit.is_some() {
            return None;
        }
        let least = match is_undescribed(metric, rules) {
            true => self.usual.place(None, 0.0).1,
            false => rules.overrides.floor_at(metric, self.baseline.median),
        };
        let Drifting { from, to, over_ms } = self.drift.observe(now, x, least)?;
        let back = |x| window::unmeasure(metric, x);
        let counts = rules.overrides.direction.counts(metric, to - from);
        counts.then(|| Drifting { from: back(from), to: back(to), over_ms })
    }

    /// Learns the last reading in proportion to how plausible the whole device was.
    pub fn settle(&mut self, tick: &Tick, plausible: f32) {
        if core::mem::take(&mut self.fresh) {
            self.usual.learn(plausible, tick.time, self.lasted);
        }
    }
}
