//! How what is told travels: numbers, clocks that are wrong, connections that break, backlogs, and what comes twice.

use fieldmouse_core::metric;
use fieldmouse_core::series::{SeriesKey, cut};
use fieldmouse_core::wire::{self, Clock, Kind, state};
use serde::Serialize;
use serde_json::{Value, json};

use super::layout::{CALLS, Layout, Node, Role};
use super::signs;
use super::tell::{Absence, Body, DAY, HOUR, MINUTE, SECOND, Script, Telling, Way};
use crate::sim::rng::Rng;
use fieldmouse_collector::signal::fnv;

/// A message as it reaches the collector.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Milliseconds since 1970 at the collector.
    pub received_ms: u64,
    /// From which device.
    pub node: usize,
    /// Last part of the topic.
    pub leaf: &'static str,
    /// The bytes.
    pub payload: Vec<u8>,
    /// How many events of the outbox it carries for the first time.
    pub events: usize,
}

impl Sent {
    /// What stands in `EVENTS.jsonl`: one object per item.
    #[must_use]
    pub fn lines(&self, layout: &Layout) -> Vec<Value> {
        let mut items = fieldmouse::decode::message(&self.payload).expect("it was written as a message");
        for item in &mut items {
            item["site"] = json!(layout.nodes[self.node].site);
            item["received_ms"] = json!(self.received_ms);
        }
        items
    }
}

/// What comes of which fault, by the names that incidents give their members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    /// Which fault.
    pub fault: usize,
    /// `episode`, `fact`, `forecast`, `trouble` or `presence`.
    pub what: &'static str,
    /// The episode's number, a hash of the forecast's series, the event's number, or when the connection was lost.
    pub id: u64,
}

/// Where and when something that comes of a fault reached the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// What it is.
    pub owed: Owed,
    /// Which device.
    pub node: usize,
    /// Epoch of its outbox.
    pub epoch: u64,
    /// When it reached the collector.
    pub received_ms: u64,
}

/// Everything that arrives, in the order in which it does, and what of it comes of which fault.
#[must_use]
pub fn deliver(layout: &Layout, script: &Script, rng: &mut Rng, start: u64) -> (Vec<Sent>, Vec<Trace>) {
    let mut tellings: Vec<Vec<&Telling>> = vec![Vec::new(); layout.nodes.len()];
    script.tellings.iter().for_each(|t| tellings[t.node].push(t));
    let mut absences: Vec<Vec<&Absence>> = vec![Vec::new(); layout.nodes.len()];
    script.absences.iter().for_each(|a| absences[a.node].push(a));
    let (mut sent, mut traces) = (Vec::new(), Vec::new());
    for (node, (mut tellings, absences)) in tellings.into_iter().zip(absences).enumerate() {
        tellings.sort_by_key(|t| t.at);
        let mut post = Post::new(layout, node, rng.fork(), start, &absences);
        tellings.iter().for_each(|t| post.tell(t));
        let (mut its, mut of_faults) = post.end();
        sent.append(&mut its);
        traces.append(&mut of_faults);
    }
    // A stable sort: of one moment, what a device sent first comes first.
    sent.sort_by_key(|s| s.received_ms);
    traces.sort_by_key(|t| (t.owed.fault, t.received_ms, t.node, t.owed.id));
    (sent, traces)
}

/// A time in which the device cannot be reached, and when it is back.
#[derive(Debug, Clone)]
struct Gone {
    from: u64,
    to: u64,
    back: u64,
    way: Way,
    fault: Option<usize>,
}

impl Gone {
    fn is_anew(&self) -> bool {
        matches!(self.way, Way::Restart | Way::Power)
    }
}

/// One device's way to the collector.
struct Post<'a> {
    layout: &'a Layout,
    node: usize,
    rng: Rng,
    epoch: u64,
    seq: u64,
    booted: u64,
    start: u64,
    /// Its clock is wrong by so much.
    skew_ms: i64,
    clock: Clock,
    /// It keeps no time while it is off.
    forgets: bool,
    keep_alive: u64,
    gone: Vec<Gone>,
    /// What waits for the connection, and until when.
    waiting: Vec<(u64, Vec<u8>, Option<Owed>)>,
    undated: Vec<u64>,
    sent: Vec<Sent>,
    traces: Vec<Trace>,
}

impl<'a> Post<'a> {
    fn new(layout: &'a Layout, node: usize, mut rng: Rng, start: u64, absences: &[&Absence]) -> Self {
        let small = layout.nodes[node].role == Role::Sensor;
        let free = small && rng.chance(40);
        let skew = if free { rng.between(SECOND, 90 * SECOND) } else { rng.between(0, 400) };
        let skew_ms = if rng.chance(500) { skew.cast_signed() } else { -skew.cast_signed() };
        let mut post = Self {
            layout,
            node,
            epoch: rng.draw(),
            seq: 0,
            booted: start - rng.between(HOUR, 60 * DAY),
            start,
            skew_ms,
            clock: if free { Clock::Free } else { Clock::Synced },
            forgets: small && rng.chance(150),
            keep_alive: keep_alive(&layout.nodes[node]) * SECOND,
            gone: Vec::new(),
            waiting: Vec::new(),
            undated: Vec::new(),
            sent: Vec::new(),
            traces: Vec::new(),
            rng,
        };
        post.gone = post.merged(absences);
        post
    }

    /// Absences that overlap are one; what takes the power wins.
    fn merged(&mut self, absences: &[&Absence]) -> Vec<Gone> {
        let mut sorted = absences.to_vec();
        sorted.sort_by_key(|a| a.from);
        let mut gone: Vec<Gone> = Vec::new();
        for a in sorted {
            match gone.last_mut() {
                Some(last) if a.from <= last.back => {
                    last.to = last.to.max(a.to);
                    last.back = last.back.max(a.to + SECOND);
                    last.fault = last.fault.or(a.fault);
                    last.way = if a.way == Way::Power { a.way } else { last.way };
                }
                _ => {
                    let back = a.to + self.rng.spread(SECOND, 40 * SECOND);
                    gone.push(Gone { from: a.from, to: a.to, back, way: a.way, fault: a.fault });
                }
            }
        }
        gone
    }

    /// The absence in which `at` lies, until the device is back.
    fn gone_at(&self, at: u64) -> Option<&Gone> {
        self.gone.iter().find(|g| g.from <= at && at < g.back)
    }

    /// When the device last started, and when its clock was set after that.
    fn boot_at(&mut self, at: u64) -> (u64, u64) {
        match self.gone.iter().rev().find(|g| g.is_anew() && g.to <= at) {
            Some(g) if self.forgets => (g.to, g.to + 20 * SECOND + (self.epoch ^ g.to) % (100 * SECOND)),
            Some(g) => (g.to, 0),
            None => (self.booted, 0),
        }
    }

    fn tell(&mut self, t: &Telling) {
        let (released, is_backlog) = match self.gone_at(t.at) {
            // Nobody was there to tell it.
            Some(g) if g.is_anew() && t.at < g.to => return,
            Some(g) => (g.back, true),
            None => (t.at, false),
        };
        let (booted, set) = self.boot_at(t.at);
        if t.at >= set && !self.undated.is_empty() {
            self.date(booted, set, released, is_backlog);
        }
        self.seq += 1;
        // An outbox that was full drops the least grave.
        if t.fault.is_none() && t.severity == 9 && self.rng.chance(2) {
            let loss = wire::Loss { first: self.seq, count: 1, reason: wire::loss::FULL };
            self.seq += 1;
            let item = self.item(self.seq, Kind::Loss, (17, t.at, booted, set), &bytes(&loss));
            self.hand_in(item, released, is_backlog, None);
            return;
        }
        let (kind, body, what, id) = match &t.body {
            Body::Episode(e) => (Kind::Episode, bytes(e), "episode", e.id),
            Body::Fact(f) => (Kind::Fact, bytes(f), "fact", self.seq),
            Body::Trouble(t) => (Kind::Trouble, bytes(t), "trouble", self.seq),
            Body::Forecast(f) => (Kind::Forecast, bytes(f), "forecast", fnv(&f.key.to_string())),
        };
        if t.at < set {
            self.undated.push(self.seq);
        }
        let item = self.item(self.seq, kind, (t.severity, t.at, booted, set), &body);
        self.hand_in(item, released, is_backlog, t.fault.map(|fault| Owed { fault, what, id }));
    }

    /// The clock was set: when earlier events really happened.
    fn date(&mut self, booted: u64, set: u64, released: u64, is_backlog: bool) {
        let (Some(first), Some(last)) = (self.undated.first(), self.undated.last()) else { return };
        let body = wire::ClockSet { epoch: self.epoch, first: *first, last: *last, boot_ms: booted };
        self.undated.clear();
        self.seq += 1;
        let item = self.item(self.seq, Kind::ClockSet, (9, set, booted, set), &bytes(&body));
        self.hand_in(item, released, is_backlog, None);
    }

    fn item(
        &self,
        seq: u64,
        kind: Kind,
        (severity, at, booted, set): (u8, u64, u64, u64),
        body: &[u8],
    ) -> Vec<u8> {
        let dated = at >= set;
        let item = wire::Item {
            seq,
            mono_ms: at.saturating_sub(booted),
            wall_ms: dated.then(|| at.saturating_add_signed(self.skew_ms)),
            clock: if dated { self.clock } else { Clock::Unset } as u8,
            severity,
            kind: kind as u16,
            rev: kind.rev(),
            body,
        };
        let mut to = vec![0; body.len() + 64];
        let len = wire::write_item(&item, &mut to).expect("an item fits");
        to.truncate(len);
        to
    }

    fn hand_in(&mut self, item: Vec<u8>, released: u64, is_backlog: bool, owed: Option<Owed>) {
        if is_backlog {
            self.waiting.push((released, item, owed));
            return;
        }
        let mut received_ms = released + self.rng.spread(30, 2 * SECOND);
        if self.rng.chance(5) {
            // A network of telephones has its moments.
            received_ms += self.rng.between(MINUTE, 10 * MINUTE);
            if let Some(g) = self.gone_at(received_ms) {
                received_ms = g.back + self.rng.between(0, SECOND);
            }
        }
        self.trace(owed, received_ms);
        self.publish("event", received_ms, &[item], 1);
    }

    fn trace(&mut self, owed: Option<Owed>, received_ms: u64) {
        let (node, epoch) = (self.node, self.epoch);
        self.traces.extend(owed.map(|owed| Trace { owed, node, epoch, received_ms }));
    }

    /// The connection was lost, of a fault or not.
    fn lost(&mut self, fault: Option<usize>, at: u64, connected: u64) {
        self.trace(fault.map(|fault| Owed { fault, what: "presence", id: at }), at);
        self.status(state::LOST, at, connected);
    }

    fn publish(&mut self, leaf: &'static str, received_ms: u64, items: &[Vec<u8>], events: usize) {
        let head = wire::Head { node: &self.layout.nodes[self.node].name, epoch: self.epoch };
        let mut payload = vec![0; 80 + items.iter().map(Vec::len).sum::<usize>()];
        let mut len = wire::write_head(&head, &mut payload).expect("a head fits");
        for item in items {
            payload[len..len + item.len()].copy_from_slice(item);
            len += item.len();
        }
        payload.truncate(len);
        let again = events > 0 && self.rng.chance(10);
        let sent = Sent { received_ms, node: self.node, leaf, payload, events };
        if again {
            let received_ms = received_ms + self.rng.spread(100, 5 * MINUTE);
            self.sent.push(Sent { received_ms, events: 0, ..sent.clone() });
        }
        self.sent.push(sent);
    }

    /// What waited is sent when the device is back: in pieces, sometimes the newest first.
    fn empty(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let mut at = 0;
        for of_one in waiting.chunk_by(|a, b| a.0 == b.0) {
            let mut pieces: Vec<_> = of_one.chunks(8).collect();
            if self.rng.chance(300) {
                pieces.reverse();
            }
            at = of_one[0].0.max(at);
            for piece in pieces {
                at += self.rng.between(50, 800);
                piece.iter().for_each(|(.., owed)| self.trace(*owed, at));
                let items: Vec<Vec<u8>> = piece.iter().map(|(_, item, ..)| item.clone()).collect();
                self.publish("event", at, &items, items.len());
            }
        }
    }

    fn status(&mut self, number: u8, received_ms: u64, said: u64) {
        let (booted, set) = self.boot_at(said);
        let body = wire::Status { state: number, version: cut("0.1.0") };
        let item = self.item(0, Kind::Status, (9, said, booted, set), &bytes(&body));
        self.publish("status", received_ms, &[item], 0);
    }

    fn birth(&mut self, at: u64) {
        let (booted, set) = self.boot_at(at);
        let body = birth(self.layout, self.node);
        let item = self.item(0, Kind::Birth, (9, at, booted, set), &body);
        self.publish("birth", at + 20, &[item], 0);
    }

    /// The last that is heard of it. Of the beats between, every five minutes, nothing is told that is not in this one.
    fn beat(&mut self, at: u64) {
        let (booted, set) = self.boot_at(at);
        let beat = wire::Beat {
            seq: self.seq,
            acked: self.seq,
            waiting: 0,
            outbox_bytes: 4096,
            lost: 0,
            flags: 0,
            series: 40,
            no_data: 0,
            open: 0,
            uptime_s: u32::try_from(at.saturating_sub(booted) / SECOND).unwrap_or(u32::MAX),
            cpu_us: 4100,
            rss_kib: 9800,
            late: 0,
        };
        let alarms =
            wire::Alarms { budget: 1.0, period_s: 604_800, opened: 1, observed_s: 604_800, confident: 40 };
        let body = [bytes(&beat), bytes(&alarms)].concat();
        let item = self.item(0, Kind::Beat, (9, at, booted, set), &body);
        self.publish("beat", at + 40, &[item], 0);
    }

    fn end(mut self) -> (Vec<Sent>, Vec<Trace>) {
        self.empty();
        let mut connected = self.start + self.rng.between(0, 60 * SECOND);
        self.status(state::ONLINE, connected, connected);
        self.birth(connected);
        for g in self.gone.clone() {
            let beat = g.from - self.rng.between(0, 300 * SECOND).min(g.from.saturating_sub(connected));
            self.beat(beat);
            let lost = match g.way {
                Way::Restart => None,
                Way::Cut => Some(self.rng.between(100, 3 * SECOND)),
                // The broker waits half as long again as was agreed, from the last it has heard.
                Way::Silence | Way::Power => {
                    let heard = self.rng.between(0, self.keep_alive.min(300 * SECOND));
                    Some(self.keep_alive * 3 / 2 - heard)
                }
            };
            match lost.map(|after| g.from + after) {
                None => self.status(state::OFFLINE, g.from, g.from),
                Some(at) if at < g.back => self.lost(g.fault, at, connected),
                // Taken over by the next connection.
                Some(_) if self.rng.chance(500) => self.lost(g.fault, g.back - 30, connected),
                Some(_) => {}
            }
            connected = g.back;
            self.status(state::ONLINE, connected, connected);
            self.birth(connected);
        }
        (self.sent, self.traces)
    }
}

/// After how many seconds of silence, and half as many again, a device's broker gives it up: who set up a site decided it
/// for its sensors and for all others.
fn keep_alive(node: &Node) -> u64 {
    const SPANS: [u64; 5] = [30, 60, 60, 120, 600];
    let who = format!("{} {}", node.site, node.role == Role::Sensor);
    SPANS[usize::try_from(fnv(&who) % SPANS.len() as u64).expect("few")]
}

fn bytes<T: Serialize>(body: &T) -> Vec<u8> {
    let mut to = vec![0; 2048];
    let len = wire::write_body(body, &mut to).expect("a body fits");
    to.truncate(len);
    to
}

/// What a device says of itself.
fn birth(layout: &Layout, node: usize) -> Vec<u8> {
    let it = &layout.nodes[node];
    let mut series = vec![
        SeriesKey::new(metric::CPU_BUSY, &[]),
        SeriesKey::new(metric::MEMORY_USED, &[]),
        SeriesKey::new(metric::FILESYSTEM_USED, &["/"]),
    ];
    if it.role == Role::Sensor {
        series.push(SeriesKey::new(metric::TEMPERATURE, &["soc", "package"]));
        series.push(SeriesKey::new(metric::SENSOR_VALUE, &["vibration"]));
    }
    for service in &it.services {
        series.push(SeriesKey::new(metric::SPAN_COUNT, &[service, &signs::operation(service)]));
        series.push(SeriesKey::new(metric::SPAN_ERROR, &[service, &signs::operation(service)]));
    }
    let role = match it.role {
        Role::Uplink => "uplink",
        Role::Ups => "ups",
        Role::Gateway => "gateway",
        Role::Sensor => "sensor",
        Role::Host => "host",
    };
    let birth = wire::Birth {
        version: cut("0.1.0"),
        platform: cut("linux/aarch64"),
        os: cut("Debian GNU/Linux 12"),
        host: cut(&it.name),
        cpus: 4,
        memory: 4 << 30,
        model: [0x86, 0xD7, 0x11, 0x22, 0x39, 0x07, 0x4C, 0xDD],
        model_name: cut("forecaster 1"),
        tick_ms: 1000,
        labels: cut(&format!("role={role}")),
        series: u16::try_from(series.len()).expect("few"),
    };
    let mut all = bytes(&birth);
    series.iter().for_each(|key| all.extend(bytes(key)));
    let before = all.len();
    for (from, to) in CALLS.iter().filter(|(from, _)| it.services.contains(from)) {
        all.extend(bytes(&wire::Edge { from: cut(from), to: cut(to) }));
    }
    let edges = u16::try_from(all.len() - before).expect("few");
    all.extend(edges.to_le_bytes());
    all
}
