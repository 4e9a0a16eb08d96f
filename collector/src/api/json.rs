//! How answers look. Times are milliseconds since 1970; identities of 64 bits are strings, because JavaScript would
//! round them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use fieldmouse_core::quality::Verdict;
use fieldmouse_core::wire;
use serde::Serialize;

use super::State;
use crate::clock;
use crate::counters::Counters;
use crate::store;
use crate::words;

#[derive(Debug, Serialize)]
pub(super) struct Status {
    id: String,
    version: &'static str,
    root: String,
    broker: String,
    connected: bool,
    connection_changed_ms: Option<u64>,
    store_failing: bool,
    store_error: Option<String>,
    quarantined: Vec<Quarantined>,
    cluster: Option<Cluster>,
    started_ms: u64,
    now_ms: u64,
    devices: BTreeMap<&'static str, u64>,
    episodes: BTreeMap<&'static str, u64>,
    events_stored: u64,
    missing_numbers: u64,
    lost_events: u64,
    dead_letters: u64,
    budget: Budget,
}

/// How much people are told at once, as allowed and as it is; so exactly that it does not change by the second.
#[derive(Debug, Serialize)]
pub(super) struct Budget {
    allowed: String,
    left: f64,
    realised: f64,
    price: f64,
    held_back: u64,
}

/// How the budget for people stands.
pub(super) fn budget(state: &State) -> Budget {
    let pages = state.counters.pages();
    let round = |n: f64| (10.0 * n).round() / 10.0;
    Budget {
        allowed: state.rules.budget.to_string(),
        left: round(pages.left),
        realised: round(pages.realised),
        price: (100.0 * f64::from(pages.price)).round() / 100.0,
        held_back: pages.held_back,
    }
}

/// A device that floods, and is not listened to for a while.
#[derive(Debug, Serialize)]
struct Quarantined {
    site: String,
    node: String,
    since_ms: u64,
    until_ms: u64,
    times: u32,
    dropped: u64,
}

/// This collector among others.
#[derive(Debug, Serialize)]
struct Cluster {
    instance: String,
    members: u64,
    sites: u64,
    sites_without: u64,
}

/// `error`: why the sums are not of now.
pub(super) fn status(state: &State, t: &store::Totals, error: Option<String>) -> Status {
    let c = &state.counters;
    let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
    Status {
        id: state.id.clone(),
        version: env!("CARGO_PKG_VERSION"),
        root: state.root.clone(),
        broker: state.broker.clone(),
        connected: c.connected.load(Ordering::Relaxed),
        connection_changed_ms: known(c.connection_changed_ms.load(Ordering::Relaxed)),
        store_failing: c.store_failing.load(Ordering::Relaxed) || error.is_some(),
        store_error: error.or_else(|| c.store_error()),
        quarantined: state
            .door
            .cases()
            .into_iter()
            .map(|case| Quarantined {
                site: case.site,
                node: case.node,
                since_ms: case.since,
                until_ms: case.until,
                times: case.times,
                dropped: case.dropped,
            })
            .collect(),
        cluster: state.instance.clone().map(|instance| Cluster {
            instance,
            members: read(&c.members),
            sites: read(&c.sites_held),
            sites_without: read(&c.sites_without),
        }),
        started_ms: state.started_ms,
        now_ms: clock::wall_ms(),
        devices: BTreeMap::from([
            ("online", t.online),
            ("offline", t.offline),
            ("lost", t.lost),
            ("unknown", t.unknown),
        ]),
        episodes: BTreeMap::from([("open", t.open_episodes), ("closed", t.closed_episodes)]),
        events_stored: t.events,
        missing_numbers: t.missing_numbers,
        lost_events: t.lost_events,
        dead_letters: t.dead_letters,
        budget: budget(state),
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Health {
    pub(super) ok: bool,
    broker_connected: bool,
    store_failing: bool,
}

pub(super) fn health(c: &Counters, store_answers: bool) -> Health {
    let broker_connected = c.connected.load(Ordering::Relaxed);
    let store_failing = c.store_failing.load(Ordering::Relaxed) || !store_answers;
    Health { ok: broker_connected && !store_failing, broker_connected, store_failing }
}

fn known(ms: u64) -> Option<u64> {
    (ms > 0).then_some(ms)
}

pub(super) fn model(bytes: &[u8], name: &str) -> Option<Model> {
    bytes.iter().any(|b| *b != 0).then(|| Model { hash: words::hex(bytes), name: name.to_owned() })
}

#[derive(Debug, Serialize)]
pub(super) struct Model {
    pub(super) hash: String,
    name: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Device {
    site: String,
    node: String,
    state: &'static str,
    state_ms: Option<u64>,
    seen_ms: Option<u64>,
    first_seen_ms: u64,
    epoch: String,
    version: String,
    platform: String,
    os: String,
    host: String,
    cpus: u32,
    memory_bytes: u64,
    model: Option<Model>,
    tick_ms: u32,
    labels: BTreeMap<String, String>,
    series_count: usize,
    beat: Option<Beat>,
    highest_seq: u64,
    missing: u64,
    lost: u64,
    open_episodes: u32,
}

#[derive(Debug, Serialize)]
struct Beat {
    at_ms: u64,
    seq: u64,
    acked: u64,
    waiting: u32,
    outbox_bytes: u32,
    lost: u32,
    outbox_in_memory: bool,
    model_off: bool,
    series: u16,
    no_data: u16,
    open: u8,
    uptime_s: u32,
    cpu_us_per_s: u32,
    rss_kib: u32,
    late_ticks: u32,
}

fn series_of(d: &store::Device) -> Vec<String> {
    serde_json::from_str(&d.series).unwrap_or_default()
}

pub(super) fn device(d: &store::Device) -> Device {
    let beat = d.beat.as_ref().map(|b| Beat {
        at_ms: d.beat_at.unwrap_or(0),
        seq: b.seq,
        acked: b.acked,
        waiting: b.waiting,
        outbox_bytes: b.outbox_bytes,
        lost: b.lost,
        outbox_in_memory: b.flags & 1 != 0,
        model_off: b.flags & 2 != 0,
        series: b.series,
        no_data: b.no_data,
        open: b.open,
        uptime_s: b.uptime_s,
        cpu_us_per_s: b.cpu_us,
        rss_kib: b.rss_kib,
        late_ticks: b.late,
    });
    let labels = d.labels.split(',').filter_map(|pair| pair.split_once('='));
    Device {
        site: d.site.clone(),
        node: d.node.clone(),
        state: wire::state::word(d.state),
        state_ms: known(d.state_at),
        seen_ms: known(d.seen_at),
        first_seen_ms: d.first_seen,
        epoch: d.epoch.to_string(),
        version: d.version.clone(),
        platform: d.platform.clone(),
        os: d.os.clone(),
        host: d.host.clone(),
        cpus: d.cpus,
        memory_bytes: d.memory,
        model: model(&d.model, &d.model_name),
        tick_ms: d.tick_ms,
        labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        series_count: beat.as_ref().map_or_else(|| series_of(d).len(), |b| usize::from(b.series)),
        beat,
        highest_seq: d.high,
        missing: d.missing,
        lost: d.lost,
        open_episodes: d.open_episodes,
    }
}

#[derive(Debug, Serialize)]
pub(super) struct DeviceInFull {
    #[serde(flatten)]
    device: Device,
    series: Vec<String>,
    edges: serde_json::Value,
    gaps: Vec<Gap>,
    losses: Vec<Loss>,
}

#[derive(Debug, Serialize)]
struct Gap {
    epoch: String,
    first: u64,
    last: u64,
}

#[derive(Debug, Serialize)]
struct Loss {
    epoch: String,
    first: u64,
    count: u64,
    arrived: u64,
    reason: &'static str,
    declared_ms: u64,
}

pub(super) fn device_in_full(d: &store::Device, gaps: &[store::Gap], losses: &[store::Loss]) -> DeviceInFull {
    DeviceInFull {
        device: device(d),
        series: series_of(d),
        edges: serde_json::from_str(&d.edges).unwrap_or_default(),
        gaps: gaps.iter().map(|g| Gap { epoch: g.epoch.to_string(), first: g.first, last: g.last }).collect(),
        losses: losses
            .iter()
            .map(|l| Loss {
                epoch: l.epoch.to_string(),
                first: l.first,
                count: l.count,
                arrived: l.arrived,
                reason: words::loss_word(l.reason),
                declared_ms: l.declared_at,
            })
            .collect(),
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Fact {
    site: String,
    node: String,
    at_ms: u64,
    severity: &'static str,
    kind: String,
    text: String,
    about: String,
    happened_ms: u64,
    count: u32,
    example: String,
}

pub(super) fn fact(f: &store::Fact) -> Fact {
    Fact {
        site: f.site.clone(),
        node: f.node.clone(),
        at_ms: f.at,
        severity: words::severity_word(f.severity),
        kind: f.kind.clone(),
        text: f.text.clone(),
        about: f.about.clone(),
        happened_ms: f.at.saturating_sub(f.since_ms.into()),
        count: f.count,
        example: f.example.clone(),
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Trouble {
    site: String,
    node: String,
    at_ms: u64,
    severity: &'static str,
    source: Option<String>,
    series: Option<String>,
    verdict: &'static str,
    why: Option<&'static str>,
    text: String,
}

pub(super) fn trouble(t: &store::Trouble) -> Trouble {
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    Trouble {
        site: t.site.clone(),
        node: t.node.clone(),
        at_ms: t.at,
        severity: words::severity_word(t.severity),
        source: some(&t.source),
        series: some(&t.series),
        verdict: Verdict::word(t.verdict),
        why: Some(words::no_data_word(t.why)).filter(|w| !w.is_empty()),
        text: t.text.clone(),
    }
}

#[derive(Debug, Serialize)]
pub(super) struct DeadLetter {
    received_ms: u64,
    topic: String,
    reason: String,
    size: u64,
    payload_hex: String,
}

pub(super) fn dead_letter(d: &store::DeadLetter) -> DeadLetter {
    DeadLetter {
        received_ms: d.received_at,
        topic: d.topic.clone(),
        reason: d.reason.clone(),
        size: d.size,
        payload_hex: words::hex(&d.payload),
    }
}
