//! The pipeline: one tick of readings in, episodes and troubles out. The agent and `replay` run the very same one.
//!
//! It counts time on an axis of its own, which goes on over restarts, so that what was learnt keeps its dates.

mod account;
mod calendar;
mod decide;
mod device;
mod keep;
mod limits;
mod without;

use std::collections::HashMap;

use fieldmouse_core::episode::{Episodes, Times};
use fieldmouse_core::judge::{Rules, Series};
use fieldmouse_core::quality::Verdict;
use fieldmouse_core::series::{self, Millis, NoData, Reading, SeriesKey};
use fieldmouse_core::shape::Shape;
use fieldmouse_core::surprise::Threshold;
use fieldmouse_core::{explain, shape, wire};

use crate::budget::Budget;
use crate::config::Config;
use crate::scorer::Forecaster;
use crate::scorer::models::Models;
use device::Device;
use limits::Limits;

pub use account::Realised;
pub use calendar::Maintenance;
pub use limits::HORIZON_MS;

/// What a tick may bring to tell.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "kept in one reused vector; a box would cost every event")]
pub enum Output {
    /// An episode opened, changed, closed or came back.
    Episode {
        /// What is told. The culprit is not known here.
        body: wire::Episode,
        /// OpenTelemetry severity number.
        severity: u8,
    },
    /// A series lost or regained good data.
    Trouble {
        /// Its index.
        series: usize,
        /// What is told.
        body: wire::Trouble,
    },
    /// Maintenance begins or ends.
    Maintenance(Maintenance),
    /// A series drifts: no anomaly, but somebody should know.
    Drift(wire::Fact),
    /// A limit will be reached, or no longer will.
    Forecast {
        /// What is told.
        body: wire::Forecast,
        /// OpenTelemetry severity number.
        severity: u8,
    },
}

/// A fault of data is told when it has lasted so many readings, and so is its end.
const TROUBLE_READINGS: u8 = 5;

/// What is longer is no tick.
const GAP_TICKS: Millis = 10;

/// Anomalies that last less than this are not told.
const SUSTAIN_MS: f32 = 5000.0;

#[derive(Debug, Clone, Copy, Default)]
struct Trouble {
    told: u8,
    seen: u8,
    times: u8,
}

/// The state of a device: all its series, and its episodes.
#[derive(Debug)]
pub struct Pipeline {
    keys: Vec<SeriesKey>,
    by_key: HashMap<SeriesKey, usize>,
    series: Vec<Series>,
    rules: Vec<Rules>,
    decided: decide::Decided,
    calendar: calendar::Calendar,
    account: account::Account,
    every_ms: Vec<u32>,
    troubles: Vec<Trouble>,
    limits: Limits,
    models: Models,
    scored: Vec<(usize, f32)>,
    has_ticked: bool,
    model: [u8; 8],
    episodes: Episodes,
    budget: Budget,
    tick_ms: Millis,
    last: Option<Millis>,
    ruled_for: (usize, Millis),
    /// When each series was first read, on the pipeline's own time.
    since: Vec<Option<Millis>>,
    /// By how much the pipeline's own time is ahead of the caller's.
    ahead: i64,
    restored: keep::Restored,
    device: Device,
}

impl Pipeline {
    /// With this model, or with the robust scorer alone. The first episode is numbered `first_episode`.
    #[must_use]
    pub fn new(budget: Budget, forecaster: Option<Forecaster>, first_episode: u64) -> Self {
        Self {
            keys: Vec::new(),
            by_key: HashMap::new(),
            series: Vec::new(),
            rules: Vec::new(),
            decided: decide::Decided::default(),
            calendar: calendar::Calendar::default(),
            account: account::Account::default(),
            every_ms: Vec::new(),
            troubles: Vec::new(),
            limits: Limits::new(),
            model: forecaster.as_ref().map_or([0; 8], Forecaster::id),
            models: Models::of(forecaster),
            scored: Vec::new(),
            has_ticked: false,
            episodes: Episodes::new(Times::for_tick(1000), first_episode),
            budget,
            tick_ms: 1000,
            last: None,
            ruled_for: (0, 0),
            since: Vec::new(),
            ahead: 0,
            restored: keep::Restored::default(),
            device: Device::default(),
        }
    }

    /// As a configuration says.
    #[must_use]
    pub fn of(config: &Config, forecaster: Option<Forecaster>, first_episode: u64) -> Self {
        let mut pipeline = Self::new(config.written.detect.false_alarms, forecaster, first_episode);
        pipeline.set_tables(config.written.series.clone());
        pipeline.set_windows(config.windows.clone());
        pipeline.set_horizon(config.written.forecast.horizon.0);
        pipeline
    }

    /// The index of a series, made at its first mention. `every_ms`: how often it is read; 0 = at every tick.
    pub fn index(&mut self, key: &SeriesKey, every_ms: u32) -> usize {
        if let Some(i) = self.by_key.get(key) {
            return *i;
        }
        let i = self.keys.len();
        self.by_key.insert(key.clone(), i);
        self.keys.push(key.clone());
        let (series, told, since) = self.recall(key);
        self.series.push(series);
        self.since.push(since);
        self.decided.add(key, &self.calendar);
        self.every_ms.push(every_ms);
        self.rules.push(self.rules_for(i));
        self.troubles.push(Trouble { told, seen: told, times: 0 });
        self.recall_limit(key);
        i
    }

    /// Series in the order of their indices.
    #[must_use]
    pub fn keys(&self) -> &[SeriesKey] {
        &self.keys
    }

    /// The state of every series.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// The episodes.
    #[must_use]
    pub fn episodes(&self) -> &Episodes {
        &self.episodes
    }

    /// First bytes of the model's SHA-256; zero without a model.
    #[must_use]
    pub fn model(&self) -> [u8; 8] {
        self.model
    }

    /// The model's name and version; empty without a model.
    #[must_use]
    pub fn model_name(&self) -> String {
        self.models.device().map_or_else(String::new, Forecaster::name)
    }

    /// Milliseconds between samples of every series; 0 = at every tick.
    #[must_use]
    pub fn every_ms(&self) -> &[u32] {
        &self.every_ms
    }

    /// Readings that models made at the last tick: of which series, and what.
    #[must_use]
    pub fn made(&self) -> &[(usize, f32)] {
        &self.scored
    }

    /// Whether there was a tick since the start, so that all there is to restore was restored.
    #[must_use]
    pub fn has_ticked(&self) -> bool {
        self.has_ticked
    }

    /// The models, and how they are.
    #[must_use]
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// Goes on with these models. What was learnt of the series stays.
    pub fn set_models(&mut self, models: Models) {
        self.models = models;
        self.model = self.models.device().map_or([0; 8], Forecaster::id);
    }

    /// Milliseconds between ticks, as observed.
    #[must_use]
    pub fn tick_ms(&self) -> Millis {
        self.tick_ms
    }

    /// Follows another budget from now on.
    pub fn set_budget(&mut self, budget: Budget) {
        self.budget = budget;
        self.ruled_for = (0, self.tick_ms);
    }

    /// What the budget came to.
    #[must_use]
    pub fn realised(&self) -> Realised {
        self.account.realised(self.budget)
    }

    /// What there is to say of every open episode now.
    #[must_use]
    pub fn open_episodes(&self, now: Millis) -> Vec<wire::Episode> {
        let now = self.own(now);
        let mut open: Vec<_> = self.episodes.describe(now, &self.keys, &self.series).collect();
        open.iter_mut().for_each(|e| e.model = self.model);
        open
    }

    /// Takes one tick. `readings[i]` belongs to series `i`; `None`: it was not due.
    pub fn tick(&mut self, now: Millis, readings: &[Option<Reading>], out: &mut Vec<Output>) {
        let now = self.own(now);
        let passed = self.last.map_or(0, |last| now.saturating_sub(last));
        self.note_tick(now);
        self.has_ticked = true;
        self.recall_episodes(now);
        for (i, reading) in readings.iter().enumerate().take(self.keys.len()) {
            if let Some(reading) = reading {
                self.observe(i, *reading, now, out);
            }
        }
        self.score_together(now, out);
        self.appraise(now, passed);
        self.tell_forecasts(out);
        self.models.forecast(&self.keys, &mut self.series);
        self.model = self.models.device().map_or([0; 8], Forecaster::id);
        let Self { keys, series, model, tick_ms, episodes, account, .. } = self;
        let told = out.len();
        episodes.step(now, keys, series, &mut |notice| {
            let mut body = notice.body;
            body.model = *model;
            body.spark = spark(&body, keys, series, *tick_ms);
            if body.phase == wire::phase::OPENED && body.shape != Shape::Limit as u8 {
                account.note();
            }
            out.push(Output::Episode { body, severity: notice.severity });
        });
        self.tell_without(&mut out[told..]);
    }

    fn observe(&mut self, i: usize, reading: Reading, now: Millis, out: &mut Vec<Output>) {
        self.since[i].get_or_insert(now);
        let metric = self.keys[i].metric();
        let checked = self.series[i].observe(metric, &self.rules[i], now, reading);
        if self.rules[i].overrides.quiet {
            return;
        }
        self.limits.observe(i, now, checked.value.filter(|_| checked.verdict == Verdict::Ok));
        if let Some(drifting) = self.series[i].drifts(metric, &self.rules[i], now) {
            let text = explain::drift(&self.keys[i], drifting).to_string();
            out.push(Output::Drift(wire::Fact::new("drift", &text)));
        }
        // A first reading is no fault, nor is idleness, and what stands still is told as an episode.
        let is_fault = !matches!(checked.why, Some(NoData::FirstReading | NoData::Idle));
        let is_told = is_fault && checked.verdict != Verdict::Frozen;
        let verdict = if is_told { checked.verdict } else { Verdict::Ok };
        if let Some(told) = self.troubles[i].note(verdict as u8) {
            let (key, why) = (self.keys[i].clone(), checked.why);
            out.push(Output::Trouble { series: i, body: trouble(key, told, why, checked.value) });
        }
    }

    /// Models that read several series together say how strange these are; that is one more series.
    fn score_together(&mut self, now: Millis, out: &mut Vec<Output>) {
        for (model, keys) in self.models.assign(&self.keys) {
            let every_ms = u32::try_from(self.models.every_ms(model)).unwrap_or(u32::MAX);
            let indices = keys.iter().map(|key| self.index(key, every_ms)).collect();
            self.models.make(model, indices);
        }
        let mut scored = std::mem::take(&mut self.scored);
        scored.clear();
        self.models.score(now, &self.series, &mut scored);
        for (i, score) in &scored {
            self.observe(*i, Ok(f64::from(*score)), now, out);
        }
        self.scored = scored;
    }

    /// Learns the length of a tick, and sets the thresholds anew when it or the number of series has changed.
    fn note_tick(&mut self, now: Millis) {
        let passed = self.last.map_or(0, |last| now.saturating_sub(last));
        self.last = Some(now);
        // A gap was not observed, nor is what is only seen.
        if passed < GAP_TICKS * self.tick_ms && self.rules.iter().any(|r| !r.overrides.quiet) {
            self.account.observe(passed);
        }
        // A tenth off is jitter; more is another rhythm. A gap is no rhythm at all.
        let is_new_rhythm = passed > 0 && (passed * 10 < self.tick_ms * 9 || passed * 10 > self.tick_ms * 11);
        if is_new_rhythm && self.ruled_for.1 == 0 {
            self.tick_ms = passed;
            self.episodes.retime(Times::for_tick(passed));
        }
        if passed > 0 && self.ruled_for != (self.keys.len(), self.tick_ms) {
            self.ruled_for = (self.keys.len(), self.tick_ms);
            self.rule_anew();
        }
    }

    fn rule_anew(&mut self) {
        for i in 0..self.rules.len() {
            self.rules[i] = self.rules_for(i);
        }
    }

    fn rules_for(&self, i: usize) -> Rules {
        let every = if self.every_ms[i] == 0 { self.tick_ms as f32 } else { self.every_ms[i] as f32 };
        let (Budget { alarms, period_ms }, series) =
            self.decided.budget_of(i).unwrap_or((self.budget, self.keys.len()));
        let threshold = Threshold::of_budget(alarms, period_ms, series, every, SUSTAIN_MS);
        Rules { threshold, overrides: self.decided.overrides_of(i) }
    }
}

impl Trouble {
    /// Returns the verdict to tell, if it changed and has lasted.
    fn note(&mut self, verdict: u8) -> Option<u8> {
        if verdict != self.seen {
            (self.seen, self.times) = (verdict, 0);
        }
        self.times = self.times.saturating_add(1);
        if self.seen == self.told || self.times < TROUBLE_READINGS {
            return None;
        }
        self.told = self.seen;
        Some(self.told)
    }
}

fn trouble(key: SeriesKey, verdict: u8, why: Option<NoData>, value: Option<f32>) -> wire::Trouble {
    let word = why.map_or_else(|| Verdict::word(verdict), NoData::word);
    let text = match value {
        Some(value) if verdict != 0 => format!("{word} at {value}"),
        _ => word.to_owned(),
    };
    wire::Trouble {
        source: heapless::String::new(),
        series: Some(key),
        verdict,
        why: why.map_or(0, |w| w as u8),
        text: series::cut(&text),
    }
}

/// The plot of an episode's first series. A closed episode was plotted when it was updated, if it lasted that long.
fn spark(e: &wire::Episode, keys: &[SeriesKey], series: &[Series], tick_ms: Millis) -> Option<wire::Spark> {
    let first = e.contributors.first()?;
    let i = keys.iter().position(|k| *k == first.key)?;
    let seen = tick_ms * series[i].window.len() as u64;
    (u64::from(e.since_ms) < seen)
        .then(|| shape::spark(&series[i], first.key.metric(), tick_ms, e.since_ms))
        .flatten()
}
