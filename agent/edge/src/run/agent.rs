//! What the agent holds, and what it does when woken.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::{self, Kind, phase};
use tokio::sync::mpsc;

use super::blame::Blamed;
use super::handed::Handed;
use super::models::Loading;
use super::near::Nearby;
use super::recording::Recording;
use super::{Start, report};
use crate::clock::{self, Stamp};
use crate::config::Config;
use crate::culprit::Culprits;
use crate::dating::Undated;
use crate::disk::{self, Folder};
use crate::floor::Floor;
use crate::jobs::Inbox;
use crate::learnt::keeper::Keeper;
use crate::link::delivery::{self, Delivery};
use crate::link::{Command, Compose, Leaf, News, Traffic};
use crate::outbox::{self, Outbox};
use crate::pipeline::{Output, Pipeline};
use crate::sampler::{Health, Sampler};
use crate::sources::machine::{self, Machine};
use crate::sources::{Place, Told};
use crate::supervisor::Vitals;

/// How often processes are counted, so that the one at fault can be told.
const CULPRITS_MS: Millis = 10_000;

/// The state of a running agent.
pub(super) struct Agent {
    pub(super) config: Config,
    /// The brokers' addresses, in the link's order.
    pub(super) brokers: Vec<String>,
    pub(super) pipeline: Pipeline,
    pub(super) keeper: Keeper,
    /// The same in memory that outlives this process, if there is any.
    pub(super) beside: Option<Keeper>,
    pub(super) boot: u128,
    pub(super) sampler: Sampler,
    pub(super) outbox: Outbox,
    pub(super) delivery: Delivery,
    pub(super) machine: Machine,
    pub(super) culprits: Culprits,
    pub(super) blamed: Blamed,
    pub(super) nearby: Nearby,
    pub(super) link: LinkState,
    pub(super) cost: report::Cost,
    pub(super) started: Millis,
    pub(super) ticks: u64,
    pub(super) late: u32,
    last_tick: Option<Millis>,
    next_beat: Millis,
    next_culprits: Millis,
    pub(super) next_time: Millis,
    pub(super) floor: Arc<Floor>,
    pub(super) troubles: HashMap<&'static str, (u8, bool)>,
    birth: Arc<Mutex<report::Hello>>,
    /// How many series and edges the last birth knew of.
    born_with: (usize, usize),
    pub(super) publish: Vec<Command>,
    outputs: Vec<Output>,
    body: Vec<u8>,
    undated: Undated,
    pub(super) file: Option<PathBuf>,
    pub(super) handed: Handed,
    pub(super) loading: Loading,
    pub(super) recording: Recording,
    /// Where runs of jobs are handed in.
    pub(super) jobs: Inbox,
}

/// What is known of the connection.
#[derive(Debug, Default)]
pub(super) struct LinkState {
    pub(super) up: bool,
    pub(super) since: Millis,
    pub(super) why: String,
    /// The broker does not want us.
    pub(super) refused: bool,
}

impl Agent {
    pub(super) fn new(start: Start) -> anyhow::Result<Self> {
        let Start { config, models, file, broker } = start;
        let written = &config.written;
        let now = clock::mono_ms();
        let dir = written.agent.state_dir.join("outbox");
        let options = outbox::Options {
            flash_bytes_per_day: written.outbox.flash_bytes_per_day,
            ..outbox::Options::new(written.outbox.max_bytes)
        };
        let (outbox, recovery) =
            Outbox::open(Box::new(Folder::new(&dir)), options, outbox::entropy(), clock::stamp());
        log::info!("outbox {}: {}", dir.display(), recovery.in_words(outbox.epoch()));
        if outbox.is_memory_only() {
            log::warn!("outbox {}: cannot be written; events are kept in memory only", dir.display());
        }
        let mut pipeline = Pipeline::of(&config, None, outbox.next_seq());
        pipeline.set_models(models);
        let dir = written.agent.state_dir.join("learnt");
        let budget = Some(written.detect.flash_bytes_per_day);
        let (keeper, mut learnt) = Keeper::open(Box::new(Folder::new(&dir)), budget, now);
        let run = written.agent.socket.parent().filter(|dir| disk::is_memory(dir));
        let beside = run.map(|run| {
            let (keeper, newer) = Keeper::open(Box::new(Folder::new(&run.join("learnt"))), None, now);
            learnt.merge(newer);
            keeper
        });
        let boot = clock::boot();
        pipeline.restore(learnt, clock::stamp(), boot);
        let jobs = Inbox::default();
        let place = Place { jobs: jobs.clone(), ..config.place() };
        let sampler = Sampler::new(&config.sources, &place, config.deadline(), written.agent.tick.0)?;
        let recording = Recording::new(&config);
        let floor = broker.floor().clone();
        floor.load(&written.agent.state_dir);
        let delivery = Delivery::new(&config.node, delivery::Options::new(written.broker.keep_alive.0));
        let culprits = Culprits::new(&written.agent.root);
        Ok(Self {
            machine: machine::describe(),
            next_beat: now + 10_000,
            brokers: broker.brokers().iter().map(ToString::to_string).collect(),
            config,
            pipeline,
            keeper,
            beside,
            boot,
            sampler,
            outbox,
            delivery,
            culprits,
            blamed: Blamed::default(),
            nearby: Nearby::default(),
            link: LinkState { why: "connecting".into(), since: now, ..LinkState::default() },
            cost: report::Cost::new(),
            started: now,
            ticks: 0,
            late: 0,
            last_tick: None,
            next_culprits: 0,
            next_time: now + 60_000,
            floor,
            troubles: HashMap::new(),
            birth: Arc::default(),
            born_with: (0, 0),
            publish: Vec::new(),
            outputs: Vec::new(),
            body: vec![0; wire::MAX_PAYLOAD],
            undated: Undated::default(),
            file,
            handed: Handed::default(),
            loading: Loading::new(),
            recording,
            jobs,
        })
    }

    /// Samples, judges, and puts what there is to tell into the outbox.
    pub(super) async fn tick(&mut self, now: Millis) {
        let tick_ms = self.config.written.agent.tick.0;
        if self.last_tick.is_some_and(|last| now.saturating_sub(last) >= 2 * tick_ms) {
            self.late += 1;
        }
        self.last_tick = Some(now);
        self.ticks += 1;
        let readings = self.sampler.sample(now, &mut self.pipeline).await;
        let mut outputs = std::mem::take(&mut self.outputs);
        let stamp = Stamp { mono_ms: now, ..clock::stamp() };
        self.pipeline.set_wall(stamp.wall_ms);
        self.recording.before(now, &self.pipeline);
        self.pipeline.follow_calendar(stamp, &mut outputs);
        self.pipeline.tick(now, readings, &mut outputs);
        self.recording.after(stamp, readings, &self.pipeline, &outputs, &self.config);
        for output in outputs.drain(..) {
            self.tell(now, output);
        }
        self.outputs = outputs;
        for told in self.sampler.take_told() {
            self.tell_fact(now, &told);
        }
        self.sampler.take_shown().iter().for_each(|fact| self.recording.note(0, fact));
        self.tell_troubled_sources();
        self.tell_failed_models();
        self.date(stamp);
        if now >= self.next_culprits {
            self.culprits.observe(now);
            self.next_culprits = now + CULPRITS_MS;
        }
        if self.born_with != (self.pipeline.keys().len(), self.sampler.edges().len()) {
            self.be_born();
        }
        if self.ticks == 1 {
            self.tell_restored();
        }
        self.keep(now).await;
        self.recording.tend(now).await;
        self.lend(now).await;
        self.keep_time(now);
        if now >= self.next_beat {
            self.next_beat = now + self.config.written.agent.beat.0;
            self.beat(now);
        }
    }

    fn tell(&mut self, now: Millis, output: Output) {
        match output {
            Output::Episode { mut body, severity } => {
                self.blame(now, &mut body);
                self.nearby.attach(now, &mut body);
                if body.phase != phase::UPDATED {
                    self.note_change();
                }
                log::info!("episode {}: {}", body.id, fieldmouse_core::explain::sentence(&body));
                self.push(Kind::Episode, severity, &body);
                // People wait for this; the rest may wait for its second.
                self.outbox.sync_now(now);
            }
            Output::Maintenance(maintenance) => {
                let fact = maintenance.fact();
                log::info!("{}: {}", fact.kind, fact.text);
                self.push(Kind::Fact, 9, &fact);
                // Once it is kept that this was told, it must not be lost.
                self.outbox.sync_now(now);
                self.note_change();
            }
            Output::Drift(fact) => {
                log::info!("drift: {}", fact.text);
                self.push(Kind::Fact, 9, &fact);
            }
            Output::Trouble { series, body } => {
                // If its whole source is at fault, that is what is told.
                let is_alone =
                    self.sampler.source_of(series).is_none_or(|(_, health)| *health == Health::Good);
                if is_alone {
                    self.push(Kind::Trouble, if body.verdict == 0 { 9 } else { 13 }, &body);
                }
            }
            Output::Forecast { body, severity } => {
                log::info!("forecast: {}", fieldmouse_core::explain::expected(&body));
                self.push(Kind::Forecast, severity, &body);
            }
        }
    }

    /// Something happened: a source saw it, or somebody said so.
    pub(super) fn tell_fact(&mut self, now: Millis, told: &Told) -> u64 {
        log::info!("{}: {}", told.fact.kind, told.fact.text);
        self.nearby.note(now, told);
        self.recording.note(told.severity, &told.fact);
        self.push(Kind::Fact, told.severity, &told.fact)
    }

    /// What there is to say of every open episode now.
    pub(super) fn open_episodes(&self, now: Millis) -> Vec<wire::Episode> {
        let mut open = self.pipeline.open_episodes(now);
        for episode in &mut open {
            self.blamed.fill(episode);
            self.nearby.fill(episode);
        }
        open
    }

    pub(super) fn push<T: serde::Serialize>(&mut self, kind: Kind, severity: u8, body: &T) -> u64 {
        let stamp = clock::stamp();
        self.date(stamp);
        let seq = self.enter(stamp, kind, severity, body);
        self.undated.note(self.outbox.epoch(), seq, stamp);
        seq
    }

    fn enter<T: serde::Serialize>(&mut self, stamp: Stamp, kind: Kind, severity: u8, body: &T) -> u64 {
        let len = wire::write_body(body, &mut self.body).unwrap_or(0);
        self.outbox.push(stamp, kind, kind.rev(), severity, &self.body[..len])
    }

    /// If the clock was set, says so of what was told before.
    fn date(&mut self, stamp: Stamp) {
        for said in self.undated.settle(stamp) {
            self.enter(stamp, Kind::ClockSet, 9, &said);
        }
    }

    pub(super) fn be_born(&mut self) {
        self.born_with = (self.pipeline.keys().len(), self.sampler.edges().len());
        let hello = report::hello(self);
        if self.link.up {
            self.publish.push(Command::Publish {
                leaf: Leaf::Birth,
                payload: hello.birth(clock::stamp()),
                retain: true,
                confirm: true,
                token: 0,
            });
        }
        if let Ok(mut shared) = self.birth.lock() {
            *shared = hello;
        }
    }

    fn beat(&mut self, now: Millis) {
        let payload = report::beat(self, now);
        self.publish.push(Command::Publish {
            leaf: Leaf::Beat,
            payload,
            retain: false,
            confirm: false,
            token: 0,
        });
    }

    /// Makes status and birth for the link, whenever it connects.
    pub(super) fn compose(&self) -> Compose {
        let shared = self.birth.clone();
        Box::new(move |what| shared.lock().map(|hello| hello.compose(what)).unwrap_or_default())
    }

    pub(super) fn on_news(&mut self, now: Millis, news: &News, traffic: &Traffic) {
        let broker = self.brokers.get(traffic.broker).map_or("", String::as_str);
        match news {
            News::Connected { .. } => {
                self.link = LinkState { up: true, since: now, ..LinkState::default() };
                log::info!("connected to {broker}");
                self.beat(now);
            }
            // Told once per change, not per attempt.
            News::Disconnected { why, retry_in_ms, refused } if self.link.up || self.link.why != *why => {
                log::warn!("{broker}: {why}; next attempt in {retry_in_ms} ms");
                let since = if self.link.up { now } else { self.link.since };
                self.link = LinkState { up: false, since, why: why.clone(), refused: *refused };
            }
            News::Warning(what) => log::warn!("{what}"),
            News::Asked { epoch, ask } => self.asked(*epoch, ask),
            News::Refused { why, .. } => log::warn!("{broker} refused a message: {why}"),
            _ => {}
        }
        self.delivery.on_news(now, news, &mut self.outbox);
    }

    /// Moves what is due: events to disk, batches to the link.
    pub(super) fn pump(&mut self, commands: &mpsc::Sender<Command>) {
        let stamp = clock::stamp();
        if self.outbox.has_undeclared() {
            self.outbox.declare(stamp);
        }
        self.outbox.sync(stamp.mono_ms);
        self.handed.answer(&self.outbox);
        for command in self.publish.drain(..) {
            // A beat that finds no room is not missed; a birth is made again at the next connection.
            if let Err(error) = commands.try_send(command) {
                log::debug!("{error}");
            }
        }
        while let Some(command) = self.delivery.poll(stamp, &mut self.outbox) {
            if let Err(
                mpsc::error::TrySendError::Full(command) | mpsc::error::TrySendError::Closed(command),
            ) = commands.try_send(command)
            {
                self.delivery.not_taken(command, &mut self.outbox);
                break;
            }
        }
    }

    /// When there is something to do even if nothing happens.
    pub(super) fn deadline(&self) -> Millis {
        let now = clock::mono_ms();
        let due = [self.outbox.sync_due(now), self.delivery.deadline()];
        due.into_iter().flatten().min().unwrap_or(now + 60_000).max(now + 1)
    }

    /// Whether it gets on.
    pub(super) fn vitals(&self, traffic: &Traffic) -> Vitals {
        Vitals {
            ticked: self.last_tick.unwrap_or(self.started),
            tick_ms: self.config.written.agent.tick.0,
            // Before its first sign it has the time since the start.
            link: traffic.alive.max(self.started),
            wedged: self.delivery.stalled().filter(|_| self.link.up),
        }
    }
}
