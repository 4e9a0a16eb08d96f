//! The flight recorder: keeps what a capsule is made of, and makes it when an episode opens.
//!
//! The state is taken now and then while the device is calm, because whatever was at work then, the readings since lead
//! from it to the scores of now. What has happened before it is kept to be looked at.

use std::collections::VecDeque;

use fieldmouse_core::series::{Millis, Reading};
use fieldmouse_core::wire::{self, phase};
use ring::digest;

use super::ring::Ring;
use super::shelf::Job;
use super::{Head, What, Writer};
use crate::clock::Stamp;
use crate::config::{AgentKeys, Config, Written};
use crate::pipeline::{Output, Pipeline};

/// So old a state is taken anew when the device is calm.
const FRESH: u64 = 128;
/// A score from which on something may be going on: half of the evidence that opens.
const CALM: f32 = 0.3;
/// Ticks after an opening that belong to its capsule.
const AFTER: u64 = 60;
/// Facts that are remembered, and examples; each of its own, so that neither drives out the other.
const NEAR: [usize; 2] = [24, 12];
/// What happened so many ticks before an opening is not near it.
const BEFORE: u64 = 900;
/// Facts and examples of one capsule.
const MOST_NEAR: usize = 128;
/// The boot that states are saved and restored with: their time is the pipeline's alone.
pub(super) const BOOT: u128 = 1;

/// The recorder.
#[derive(Debug, Default)]
pub struct Recorder {
    ring: Ring,
    /// The tick before which it was taken, and the state.
    state: Option<u64>,
    saved: Vec<u8>,
    /// Series before the tick.
    series: usize,
    taken: u64,
    /// What happened of late, and examples: the tick, and the record's body.
    near: [VecDeque<(u64, Vec<u8>)>; 2],
    /// The capsule that is being written.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// The first tick that is not written yet, and the one at which it ends.
    from: u64,
    until: u64,
    /// How many series it names.
    series: usize,
    told: Vec<(u64, u8, wire::Episode)>,
    /// How many facts and examples it has, and those that are not written yet.
    has_near: usize,
    near: Vec<Vec<u8>>,
}

impl Open {
    fn add_near(&mut self, body: Vec<u8>) {
        if self.has_near < MOST_NEAR {
            self.has_near += 1;
            self.near.push(body);
        }
    }
}

/// Who records, for the head of a capsule.
#[derive(Debug, Clone, Copy)]
pub struct Here<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// Now.
    pub stamp: Stamp,
}

/// What is kept in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of the state.
    pub state_bytes: usize,
    /// Bytes of readings.
    pub reading_bytes: usize,
    /// Ticks that the readings are of.
    pub ticks: u64,
    /// How often a state was taken.
    pub taken: u64,
}

impl Recorder {
    /// What is kept in memory.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            state_bytes: self.saved.capacity(),
            reading_bytes: self.ring.bytes(),
            ticks: self.ring.next() - self.ring.first(),
            taken: self.taken,
        }
    }

    /// Begins anew: something has changed that readings do not show, such as the configuration.
    pub fn restart(&mut self) {
        self.state = None;
        self.ring.cut();
    }

    /// Something happened, or an example was shown, which has no severity. No score depends on it.
    pub fn note(&mut self, severity: u8, fact: &wire::Fact) {
        let tick = self.ring.next().saturating_sub(1);
        let body = postcard::to_extend(&(tick, severity, fact), Vec::new()).unwrap_or_default();
        if let Some(open) = &mut self.open {
            open.add_near(body);
            return;
        }
        let which = usize::from(severity == 0);
        let near = &mut self.near[which];
        if near.len() == NEAR[which] {
            near.pop_front();
        }
        near.push_back((tick, body));
    }

    /// To be called before each tick of the pipeline.
    pub fn before(&mut self, now: Millis, pipeline: &Pipeline) {
        self.series = pipeline.keys().len();
        if !self.ring.is_at_start() || !pipeline.has_ticked() {
            return;
        }
        self.ring.begin();
        let next = self.ring.next();
        let is_calm = pipeline.score() < CALM && pipeline.episodes().count_open() == 0;
        let is_good = self.state.is_some_and(|at| at >= self.ring.first() && (next - at < FRESH || !is_calm));
        if !is_good {
            // The old one goes first, so that there are never two.
            self.saved = Vec::new();
            self.saved = pipeline.save(at(now), BOOT);
            self.saved.shrink_to_fit();
            self.state = Some(next);
            self.taken += 1;
        }
    }

    /// To be called after each tick. Returns what is to be written.
    pub fn after(
        &mut self,
        readings: &[Option<Reading>],
        pipeline: &Pipeline,
        outputs: &[Output],
        here: &Here<'_>,
    ) -> Option<Job> {
        let keys = pipeline.keys().len();
        let made = pipeline.made();
        let reading = |i: usize| {
            let made = made.iter().find(|(made, _)| *made == i).map(|(_, score)| Ok(f64::from(*score)));
            made.or_else(|| readings.get(i).copied().flatten())
        };
        self.ring.push(
            here.stamp.mono_ms,
            here.stamp.wall_ms,
            (0..keys).map(reading),
            pipeline.score(),
            sum(pipeline),
        );
        if keys != self.series {
            // These came in the middle of a tick, as they do in no replay.
            self.restart();
        }
        let tick = self.ring.next() - 1;
        let episodes = outputs.iter().filter_map(|output| match output {
            Output::Episode { body, severity } => Some((tick, *severity, body)),
            _ => None,
        });
        let mut begun = episodes.clone().filter(|(.., e)| matches!(e.phase, phase::OPENED | phase::REOPENED));
        let opened = begun.next().filter(|_| self.open.is_none() && self.state.is_some()).map(|(.., e)| e.id);
        if opened.is_some() {
            let (from, until) = (self.ring.first(), tick + AFTER);
            let mut open = Open { from, until, series: 0, told: Vec::new(), has_near: 0, near: Vec::new() };
            let near = self.near.iter_mut().flat_map(|near| near.drain(..));
            near.filter(|(at, _)| tick - at <= BEFORE).for_each(|(_, body)| open.add_near(body));
            self.open = Some(open);
        }
        if let Some(open) = &mut self.open {
            open.told.extend(episodes.map(|(tick, severity, e)| (tick, severity, e.clone())));
        }
        if let Some(episode) = opened {
            return self.begin(episode, pipeline, here);
        }
        let is_over = self.open.as_ref().is_some_and(|open| tick >= open.until);
        is_over.then(|| self.finish(pipeline)).flatten()
    }

    fn begin(&mut self, episode: u64, pipeline: &Pipeline, here: &Here<'_>) -> Option<Job> {
        let (at, open) = (self.state?, self.open.as_mut()?);
        let config = text_of(here.config);
        let hash = digest::digest(&digest::SHA256, config.as_bytes());
        let models = pipeline.models().all().filter(|m| m.why_off().is_none());
        let head = Head {
            node: here.config.node.clone(),
            agent: format!("{} {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH),
            episode,
            opened: here.stamp.mono_ms,
            wall_ms: here.stamp.wall_ms,
            models: models.map(|m| (m.name.clone(), m.id)).collect(),
            config: hash.as_ref().first_chunk().copied().unwrap_or_default(),
        };
        let mut file = Writer::begin();
        file.0.reserve(self.saved.len() + self.ring.bytes() + (4 << 10));
        file.put_as(What::Head, &head);
        file.put(What::Config, &[config.as_bytes()]);
        file.put(What::State, &[&at.to_le_bytes(), &self.saved]);
        write_more(&mut file, &mut self.ring, open, pipeline);
        Some(Job::Begin(episode, file.0))
    }

    /// Ends the capsule that is being written, if there is one.
    pub fn finish(&mut self, pipeline: &Pipeline) -> Option<Job> {
        let mut open = self.open.take()?;
        let mut file = Writer::more();
        write_more(&mut file, &mut self.ring, &mut open, pipeline);
        Some(Job::More(file.0))
    }
}

/// Writes what is not written yet.
fn write_more(file: &mut Writer, ring: &mut Ring, open: &mut Open, pipeline: &Pipeline) {
    let keys = &pipeline.keys()[open.series..];
    let every = &pipeline.every_ms()[open.series..];
    let series: Vec<_> = keys.iter().zip(every).collect();
    if !series.is_empty() {
        file.put_as(What::Series, &series);
    }
    open.series += series.len();
    // What follows stands in a block of its own.
    ring.cut();
    ring.since(open.from).for_each(|block| file.put_block(block));
    open.from = ring.next();
    for told in open.told.drain(..) {
        file.put_as(What::Told, &told);
    }
    for near in open.near.drain(..) {
        file.put(What::Near, &[&near]);
    }
}

/// A checksum of all series' scores.
pub(super) fn sum(pipeline: &Pipeline) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for series in pipeline.series() {
        sum.update(&series.now.score.to_bits().to_le_bytes());
    }
    sum.finalize()
}

/// What of the configuration decides scores: neither names, addresses nor sources.
fn text_of(config: &Config) -> String {
    let agent = AgentKeys { tick: config.written.agent.tick, ..AgentKeys::default() };
    let written = Written {
        agent,
        node: Default::default(),
        broker: Default::default(),
        outbox: Default::default(),
        source: Default::default(),
        logs: Default::default(),
        ..config.written.clone()
    };
    toml::to_string(&written).unwrap_or_default()
}

/// Milliseconds as a stamp that no wall clock knows.
pub(super) fn at(mono_ms: Millis) -> Stamp {
    Stamp { mono_ms, wall_ms: None, clock: wire::Clock::Unset as u8 }
}
