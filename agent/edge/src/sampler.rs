//! The sampler: asks every due source, each on a thread of the blocking pool, and waits no longer than the deadline.
//!
//! A source that has not answered is left alone until it does; its series have no data meanwhile, and the others are
//! none the wiser.

use std::time::Duration;

use anyhow::Context;
use fieldmouse_core::series::{Millis, NoData, Reading};
use fieldmouse_core::wire::{Edge, Fact};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::config::SourceConfig;
use crate::pipeline::Pipeline;
use crate::sources::{self, Place, Readings, Source, SourceError, Told};

/// The next source waits for the one before it so long: most have answered by then, and share a thread and its memory. Who
/// needs longer has one of its own.
const MOMENT: Duration = Duration::from_millis(2);

/// What a source was found to be at its last sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It answered.
    Good,
    /// It did not answer before the deadline.
    Hung,
    /// It failed as a whole.
    Failed(SourceError),
}

struct Slot {
    name: &'static str,
    every_ms: Millis,
    due: Millis,
    /// Taken while the source is being sampled.
    idle: Option<(Box<dyn Source>, Readings)>,
    /// Index in the pipeline of each of the source's series.
    series: Vec<usize>,
    /// Answers so far.
    samples: u64,
    health: Health,
}

struct Answer {
    source: usize,
    it: Box<dyn Source>,
    readings: Readings,
    result: Result<(), SourceError>,
}

/// All sources of this agent.
pub struct Sampler {
    slots: Vec<Slot>,
    deadline: Duration,
    tick_ms: Millis,
    answers: (mpsc::UnboundedSender<Answer>, mpsc::UnboundedReceiver<Answer>),
    readings: Vec<Option<Reading>>,
    told: Vec<Told>,
    shown: Vec<Fact>,
    edges: Vec<Edge>,
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.slots.iter().map(|s| s.name)).finish()
    }
}

impl Sampler {
    /// Builds the configured sources at this place.
    ///
    /// # Errors
    /// If a source refuses its configuration.
    pub fn new(
        configs: &[SourceConfig],
        place: &Place,
        deadline: Duration,
        tick_ms: Millis,
    ) -> anyhow::Result<Self> {
        let slots = configs
            .iter()
            .map(|c| {
                let it = (c.kind.build)(c.keys.clone(), place)
                    .with_context(|| format!("source.{}", c.kind.name))?;
                Ok(Slot {
                    name: c.kind.name,
                    every_ms: c.every_ms.max(tick_ms),
                    due: 0,
                    idle: Some((it, Readings::default())),
                    series: Vec::new(),
                    samples: 0,
                    health: Health::Good,
                })
            })
            .collect::<anyhow::Result<_>>()?;
        let answers = mpsc::unbounded_channel();
        Ok(Self {
            slots,
            deadline,
            tick_ms,
            answers,
            readings: Vec::new(),
            told: Vec::new(),
            shown: Vec::new(),
            edges: Vec::new(),
        })
    }

    /// Samples what is due at `now`, and returns the readings by the pipeline's indices.
    pub async fn sample(&mut self, now: Millis, pipeline: &mut Pipeline) -> &[Option<Reading>] {
        self.readings.fill(None);
        // A hung source may have answered since.
        while let Ok(late) = self.answers.1.try_recv() {
            self.take(late, false, pipeline);
        }
        let deadline = tokio::time::sleep(self.deadline);
        tokio::pin!(deadline);
        let mut waiting = 0;
        for source in 0..self.slots.len() {
            let slot = &mut self.slots[source];
            if now < slot.due {
                continue;
            }
            // Due times follow the clock, not the last answer, so that rhythm is kept.
            slot.due =
                if slot.due + slot.every_ms <= now { now + slot.every_ms } else { slot.due + slot.every_ms };
            match slot.idle.take() {
                Some((mut it, mut readings)) => {
                    let answers = self.answers.0.clone();
                    waiting += 1;
                    tokio::task::spawn_blocking(move || {
                        readings.begin();
                        let result = it.sample(now, &mut readings);
                        // Nobody listens any more only when the agent is stopping.
                        let _stopping = answers.send(Answer { source, it, readings, result });
                    });
                    if let Ok(Some(answer)) = tokio::time::timeout(MOMENT, self.answers.1.recv()).await {
                        waiting -= self.accept(answer, pipeline);
                    }
                }
                None => self.give_up(source),
            }
        }
        while waiting > 0 {
            tokio::select! {
                answer = self.answers.1.recv() => {
                    let Some(answer) = answer else { break };
                    waiting -= self.accept(answer, pipeline);
                }
                () = &mut deadline => {
                    for source in 0..self.slots.len() {
                        if self.slots[source].idle.is_none() {
                            self.give_up(source);
                        }
                    }
                    break;
                }
            }
        }
        &self.readings
    }

    /// Returns how many of those that are waited for it is: a late answer of an earlier tick brings the source back, but
    /// no reading of now.
    fn accept(&mut self, answer: Answer, pipeline: &mut Pipeline) -> usize {
        let on_time = self.slots[answer.source].health != Health::Hung;
        self.take(answer, on_time, pipeline);
        usize::from(on_time)
    }

    fn give_up(&mut self, source: usize) {
        self.slots[source].health = Health::Hung;
        for i in &self.slots[source].series {
            self.readings[*i] = Some(Err(NoData::Timeout));
        }
    }

    fn take(&mut self, answer: Answer, on_time: bool, pipeline: &mut Pipeline) {
        let Answer { source, it, mut readings, result } = answer;
        let slot = &mut self.slots[source];
        if let Err(error) = &result {
            readings.fail_all(error.why);
        }
        // The source's list of series only ever grows.
        let every =
            if slot.every_ms <= self.tick_ms { 0 } else { u32::try_from(slot.every_ms).unwrap_or(u32::MAX) };
        for (key, own) in readings.keys().skip(slot.series.len()) {
            slot.series.push(pipeline.index(key, if own > 0 { own } else { every }));
        }
        for (place, limit) in readings.limits() {
            if let Some(i) = slot.series.get(place) {
                pipeline.set_limit(*i, limit);
            }
        }
        // What happened is told, however late.
        self.told.extend(readings.told());
        self.shown.extend(readings.shown());
        if let Some(edges) = readings.take_edges() {
            self.edges = edges;
        }
        self.readings.resize(pipeline.keys().len(), None);
        if on_time {
            for (reading, i) in readings.due().zip(&slot.series) {
                self.readings[*i] = reading;
            }
        }
        slot.samples += 1;
        slot.health = result.map_or_else(Health::Failed, |()| Health::Good);
        slot.idle = Some((it, readings));
    }

    /// What the sources told since the last time.
    pub fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// What the sources showed since the last time.
    pub fn take_shown(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.shown)
    }

    /// Who calls whom.
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Every source with its health.
    pub fn health(&self) -> impl Iterator<Item = (&'static str, &Health)> {
        self.slots.iter().map(|s| (s.name, &s.health))
    }

    /// What every source says of itself; null if it is being sampled.
    pub fn about(&self) -> impl Iterator<Item = Value> {
        self.slots.iter().map(|s| s.idle.as_ref().map_or(Value::Null, |(it, _)| it.about()))
    }

    /// The source that a series belongs to.
    #[must_use]
    pub fn source_of(&self, series: usize) -> Option<(&'static str, &Health)> {
        self.slots.iter().find(|s| s.series.contains(&series)).map(|s| (s.name, &s.health))
    }

    /// How often each source has answered.
    pub fn samples(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().map(|s| s.samples)
    }

    /// Every source with the number of its series.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.slots.iter().map(|s| (s.name, s.series.len()))
    }
}

/// The sources of the table that are on by default.
#[must_use]
pub fn default_sources() -> Vec<SourceConfig> {
    sources::KINDS
        .iter()
        .map(|kind| SourceConfig { kind, every_ms: Millis::from(kind.every_ms), keys: toml::Table::new() })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Condvar, Mutex};

    use fieldmouse_core::metric;
    use fieldmouse_core::series::SeriesKey;

    use super::*;
    use crate::budget::Budget;
    use crate::sources::Kind;

    /// A source that answers at once, and one that answers only when the gate is open.
    struct Answers;
    struct Hangs;

    static GATE: (Mutex<bool>, Condvar) = (Mutex::new(true), Condvar::new());

    fn open_gate(open: bool) {
        *GATE.0.lock().unwrap() = open;
        GATE.1.notify_all();
    }

    impl Source for Answers {
        fn sample(&mut self, _: Millis, out: &mut Readings) -> Result<(), SourceError> {
            let slot = out.slot(metric::CPU_BUSY, &[]);
            out.set(slot, 0.5);
            Ok(())
        }
    }

    impl Source for Hangs {
        fn sample(&mut self, _: Millis, out: &mut Readings) -> Result<(), SourceError> {
            let slot = out.slot(metric::MEMORY_USED, &[]);
            out.set(slot, 0.5);
            drop(GATE.1.wait_while(GATE.0.lock().unwrap(), |open| !*open).unwrap());
            Ok(())
        }
    }

    static ANSWERS: Kind =
        Kind { name: "answers", about: "", every_ms: 1000, build: |_, _| Ok(Box::new(Answers)) };
    static HANGS: Kind = Kind { name: "hangs", about: "", every_ms: 1000, build: |_, _| Ok(Box::new(Hangs)) };

    /// Has a reading every third time, and rests between.
    struct Rests(u32);

    impl Source for Rests {
        fn sample(&mut self, _: Millis, out: &mut Readings) -> Result<(), SourceError> {
            let slot = out.slot_every(SeriesKey::custom("queue.length"), 5000);
            self.0 += 1;
            if self.0.is_multiple_of(3) {
                out.set(slot, f64::from(self.0))
            } else {
                out.rest(slot)
            }
            Ok(())
        }
    }

    static RESTS: Kind =
        Kind { name: "rests", about: "", every_ms: 1000, build: |_, _| Ok(Box::new(Rests(0))) };

    #[test]
    fn what_rests_is_not_due_and_no_fault() {
        let configs = [SourceConfig { kind: &RESTS, every_ms: 1000, keys: toml::Table::new() }];
        let runtime = crate::once::runtime().unwrap();
        let mut pipeline = Pipeline::new(Budget::default(), None, 1);
        let mut sampler =
            Sampler::new(&configs, &Place::at(Path::new("/")), Duration::from_secs(2), 1000).unwrap();
        let mut told = Vec::new();
        for second in 1..=30 {
            let readings = runtime.block_on(sampler.sample(1000 * second, &mut pipeline)).to_vec();
            let wanted = second.is_multiple_of(3).then_some(Ok(second as f64));
            assert_eq!(readings, [wanted], "second {second}");
            pipeline.tick(1000 * second, &readings, &mut told);
        }
        assert_eq!(told, []);
        assert_eq!(pipeline.every_ms(), [5000]);
        assert_eq!(pipeline.series()[0].window.len(), 10);
    }

    #[test]
    fn a_hung_source_delays_nobody_and_comes_back() {
        let config = |kind| SourceConfig { kind, every_ms: 1000, keys: toml::Table::new() };
        let configs = [config(&HANGS), config(&ANSWERS)];
        let runtime = crate::once::runtime().unwrap();
        let mut pipeline = Pipeline::new(Budget::default(), None, 1);
        let mut sampler =
            Sampler::new(&configs, &Place::at(Path::new("/")), Duration::from_secs(2), 1000).unwrap();
        let mut check = |second: Millis, hanging: Option<Reading>, health: Health| {
            let readings = runtime.block_on(sampler.sample(1000 * second, &mut pipeline)).to_vec();
            let at = |code| pipeline.keys().iter().position(|k| k.code == code);
            let of = |code| at(code).and_then(|i| readings[i]);
            assert_eq!(of(metric::CPU_BUSY), Some(Ok(0.5)), "second {second}");
            assert_eq!(of(metric::MEMORY_USED), hanging, "second {second}");
            assert_eq!(*sampler.health().next().unwrap().1, health, "second {second}");
        };
        check(1, Some(Ok(0.5)), Health::Good);
        open_gate(false);
        check(2, Some(Err(NoData::Timeout)), Health::Hung);
        check(3, Some(Err(NoData::Timeout)), Health::Hung);
        open_gate(true);
        // Its late answer comes back some time during these, and no tick waits for it.
        let mut second = 4;
        let mut back = || {
            second += 1;
            let readings = runtime.block_on(sampler.sample(1000 * second, &mut pipeline)).to_vec();
            readings.iter().all(|r| *r == Some(Ok(0.5)))
        };
        assert!((0..100).any(|_| back()), "it answers again");
    }
}
