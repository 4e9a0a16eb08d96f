//! What the agent says of itself: birth, beat, status, cost.

use std::time::Duration;

use bytes::Bytes;
use fieldmouse_core::series::{Millis, cut};
use fieldmouse_core::wire::{self, Head, Kind};
use serde_json::{Value, json};

use super::agent::Agent;
use crate::clock::{self, Stamp};
use crate::decode;
use crate::link::{self, Traffic};
use crate::sampler::Health;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the link needs to introduce this device.
#[derive(Debug, Default)]
pub(super) struct Hello {
    node: String,
    epoch: u64,
    body: Vec<u8>,
}

impl Hello {
    pub(super) fn compose(&self, what: link::Hello) -> Bytes {
        let stamp = clock::stamp();
        match what {
            link::Hello::Birth => self.birth(stamp),
            what => link::status(&self.head(), stamp, what, VERSION),
        }
    }

    pub(super) fn birth(&self, stamp: Stamp) -> Bytes {
        link::message_of(&self.head(), stamp, Kind::Birth, Kind::Birth.rev(), &self.body)
    }

    fn head(&self) -> Head<'_> {
        Head { node: &self.node, epoch: self.epoch }
    }
}

/// The end of a birth: who calls whom, and how many bytes that takes.
fn edges(edges: &[wire::Edge]) -> Vec<u8> {
    const LONGEST: usize = 2 * 33;
    let mut bytes = vec![0; wire::EDGES * LONGEST];
    let mut len = 0;
    for edge in edges.iter().take(wire::EDGES) {
        len += wire::write_body(edge, &mut bytes[len..]).unwrap_or(0);
    }
    bytes.truncate(len);
    bytes.extend(u16::try_from(len).unwrap_or(0).to_le_bytes());
    bytes
}

/// The birth of this device, with all series it has shown.
pub(super) fn hello(agent: &Agent) -> Hello {
    let keys = agent.pipeline.keys();
    let machine = &agent.machine;
    let birth = wire::Birth {
        version: cut(VERSION),
        platform: cut(&machine.platform),
        os: cut(&machine.os),
        host: cut(&machine.host),
        cpus: machine.cpus,
        memory: machine.memory,
        model: agent.pipeline.model(),
        model_name: cut(&agent.pipeline.model_name()),
        tick_ms: u32::try_from(agent.config.written.agent.tick.0).unwrap_or(u32::MAX),
        labels: cut(&agent.config.labels),
        series: u16::try_from(keys.len()).unwrap_or(u16::MAX),
    };
    // What does not fit a message is not named; the number still tells.
    const ROOM: usize = wire::MAX_PAYLOAD - 1024;
    let edges = edges(agent.sampler.edges());
    let mut body = vec![0; ROOM - edges.len()];
    let mut len = wire::write_body(&birth, &mut body).unwrap_or(0);
    for key in keys {
        match wire::write_body(key, &mut body[len..]) {
            Some(more) => len += more,
            None => break,
        }
    }
    body.truncate(len);
    body.extend(edges);
    body.shrink_to_fit();
    Hello { node: agent.config.node.clone(), epoch: agent.outbox.epoch(), body }
}

pub(super) fn beat(agent: &mut Agent, now: Millis) -> Bytes {
    let (cpu_us, rss_kib) = agent.cost.take(now);
    let series = agent.pipeline.series();
    let flags = u8::from(agent.outbox.is_memory_only()) | u8::from(agent.pipeline.model() == [0; 8]) << 1;
    let narrow = |x: u64| u32::try_from(x).unwrap_or(u32::MAX);
    let beat = wire::Beat {
        seq: agent.outbox.next_seq() - 1,
        acked: agent.outbox.acked_seq(),
        waiting: narrow(agent.outbox.waiting()),
        outbox_bytes: narrow(agent.outbox.bytes()),
        lost: narrow(agent.outbox.lost()),
        flags,
        series: u16::try_from(series.len()).unwrap_or(u16::MAX),
        no_data: u16::try_from(series.iter().filter(|s| s.now.value.is_none()).count()).unwrap_or(u16::MAX),
        open: u8::try_from(agent.pipeline.episodes().count_open()).unwrap_or(u8::MAX),
        uptime_s: narrow(now.saturating_sub(agent.started) / 1000),
        cpu_us,
        rss_kib,
        late: agent.late,
    };
    let mut body = [0; 160];
    let len = wire::write_body(&beat, &mut body).unwrap_or(0);
    let len = len + wire::write_body(&alarms(agent), &mut body[len..]).unwrap_or(0);
    let head = Head { node: &agent.config.node, epoch: agent.outbox.epoch() };
    link::message_of(&head, clock::stamp(), Kind::Beat, 2, &body[..len])
}

/// What the false-alarm budget came to.
fn alarms(agent: &Agent) -> wire::Alarms {
    let budget = agent.config.written.detect.false_alarms;
    let realised = agent.pipeline.realised();
    wire::Alarms {
        budget: budget.alarms,
        period_s: (budget.period_ms / 1000.0) as u32,
        opened: u16::try_from(realised.opened).unwrap_or(u16::MAX),
        observed_s: u32::try_from(realised.observed_ms / 1000).unwrap_or(u32::MAX),
        confident: u16::try_from(agent.pipeline.standing().confident).unwrap_or(u16::MAX),
    }
}

/// Everything `status` shows.
pub(super) fn status(agent: &mut Agent, now: Millis, traffic: &Traffic) -> Value {
    let ago = |then: Millis| {
        humantime::format_duration(Duration::from_secs(now.saturating_sub(then) / 1000)).to_string()
    };
    let counts: Vec<_> = agent.sampler.counts().collect();
    let sources: Vec<Value> = agent
        .sampler
        .health()
        .zip(counts)
        .zip(agent.sampler.samples())
        .zip(agent.sampler.about())
        .map(|((((name, health), (_, series)), samples), about)| {
            let health = match health {
                Health::Good => "good".to_owned(),
                Health::Hung => "does not answer".to_owned(),
                Health::Failed(error) => error.to_string(),
            };
            json!({"name": name, "series": series, "samples": samples, "health": health, "about": about})
        })
        .collect();
    let model = agent.pipeline.model();
    let (cpu_us, rss_kib) = agent.cost.since_start(now);
    let outbox = &agent.outbox;
    json!({
        "node": agent.config.node,
        "site": agent.config.site,
        "version": VERSION,
        "uptime_s": now.saturating_sub(agent.started) / 1000,
        "ticks": agent.ticks,
        "late": agent.late,
        "clock": match clock::stamp().clock {
            0 => "unset",
            1 => "free",
            _ => "synced",
        },
        "time": agent.floor.words(),
        "false_alarms": agent.config.written.detect.false_alarms.to_string(),
        "realised": realised(agent),
        "opened": agent.pipeline.episodes().opened,
        "muted": agent.pipeline.episodes().muted,
        "maintenance": maintenance(agent, now),
        "decisions": agent.pipeline.matched().map(|(pattern, series)| json!({"match": pattern, "series": series})).collect::<Vec<_>>(),
        "learnt": learnt(agent, now),
        "link": {
            "state": if agent.link.up { "up" } else { "down" },
            "for": ago(agent.link.since),
            "why": agent.link.why,
            "broker": agent.brokers.get(traffic.broker),
            "brokers": agent.brokers,
            "refused": agent.link.refused,
            "collector": agent.delivery.collector(),
            "rebuilds": agent.delivery.stalled().map_or(0, |(_, times)| times),
            "bytes_sent": traffic.sent,
            "bytes_received": traffic.received,
            "attempts": traffic.attempts,
        },
        "outbox": {
            "epoch": outbox.epoch().to_string(),
            "seq": outbox.next_seq() - 1,
            "acked": outbox.acked_seq(),
            "waiting": outbox.waiting(),
            "bytes": outbox.bytes(),
            "lost": outbox.lost(),
            "bytes_written": outbox.bytes_written(),
            "flash_bytes_day": outbox.flash_bytes_day(),
            "flash_worn": outbox.is_worn(),
            "memory_only": outbox.is_memory_only(),
        },
        "model": (model != [0; 8]).then(|| json!({"id": decode::hex(&model), "name": agent.pipeline.model_name()})),
        "models": agent.pipeline.models().own().iter().map(|own| json!({
            "name": own.name,
            "file": own.file,
            "contract": own.contract,
            "id": decode::hex(&own.id),
            "series": own.reads(),
            "why_off": own.why_off(),
        })).collect::<Vec<_>>(),
        "capsules": agent.recording.status(),
        "model_why_off": agent.pipeline.models().device_why_off(),
        "cost": {"cpu_us": cpu_us, "rss_kib": rss_kib},
        "top": {"cpu": top(agent.culprits.top(3).cpu), "memory": top(agent.culprits.top(3).memory)},
        "sources": sources,
        "edges": agent.sampler.edges().iter().map(decode::edge).collect::<Vec<_>>(),
        "forecasts": agent.pipeline.forecasts().iter().map(decode::forecast).collect::<Vec<_>>(),
        "episodes": agent.open_episodes(now).iter().map(decode::episode).collect::<Vec<_>>(),
    })
}

/// What the false-alarm budget came to: `per_period` is null until a whole period of it was observed.
fn realised(agent: &Agent) -> Value {
    let r = agent.pipeline.realised();
    json!({"opened": r.opened, "observed_s": r.observed_ms / 1000, "per_period": r.per_period})
}

/// What is done to the device now.
fn maintenance(agent: &Agent, now: Millis) -> Value {
    let (names, left, is_blind) = agent.pipeline.maintenance(now);
    json!({"now": names, "left_s": left.map(|ms| ms / 1000), "clock_unset": is_blind})
}

/// What was learnt, how much came back, and how it is kept.
fn learnt(agent: &Agent, now: Millis) -> Value {
    let standing = agent.pipeline.standing();
    let kept = &agent.keeper.state;
    json!({
        "series": agent.pipeline.keys().len(),
        "confident": standing.confident,
        "oldest_s": standing.oldest_ms / 1000,
        "restored": standing.restored,
        "restored_age_s": standing.age_ms.map(|ms| ms / 1000),
        "refused": {"damaged_bytes": standing.refused.damaged, "foreign": standing.refused.foreign},
        "saved_s_ago": kept.saved.map(|then| now.saturating_sub(then) / 1000),
        "bytes": kept.bytes,
        "flash_bytes_day": kept.worn,
        "trouble": kept.trouble,
    })
}

/// How the agent is, in a line.
pub(super) fn one_line(agent: &Agent) -> String {
    let link =
        if agent.link.up { "connected".to_owned() } else { format!("not connected: {}", agent.link.why) };
    let (open, waiting) = (agent.pipeline.episodes().count_open(), agent.outbox.waiting());
    format!("{link}; {waiting} events waiting; {open} episodes open")
}

/// The processes that use most, by name.
fn top(users: Vec<wire::Culprit>) -> Vec<Value> {
    users.iter().map(|u| json!({"name": u.name.as_str(), "count": u.count, "amount": u.amount})).collect()
}

/// What the agent itself uses.
#[derive(Debug)]
pub(super) struct Cost {
    start: (Millis, Duration),
    last: (Millis, Duration),
}

impl Cost {
    pub(super) fn new() -> Self {
        let now = (clock::mono_ms(), clock::cpu());
        Self { start: now, last: now }
    }

    /// Microseconds of processor per second since the last time, and KiB resident.
    pub(super) fn take(&mut self, now: Millis) -> (u32, u32) {
        let cpu = clock::cpu();
        let rate = rate(self.last, (now, cpu));
        self.last = (now, cpu);
        (rate, rss_kib())
    }

    fn since_start(&self, now: Millis) -> (u32, u32) {
        (rate(self.start, (now, clock::cpu())), rss_kib())
    }
}

fn rate(from: (Millis, Duration), to: (Millis, Duration)) -> u32 {
    let ms = u128::from(to.0.saturating_sub(from.0)).max(1);
    u32::try_from(to.1.saturating_sub(from.1).as_micros() * 1000 / ms).unwrap_or(u32::MAX)
}

fn rss_kib() -> u32 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    u32::try_from(pages * rustix::param::page_size() as u64 / 1024).unwrap_or(u32::MAX)
}
