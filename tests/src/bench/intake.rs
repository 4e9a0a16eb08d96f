//! How many events a second a collector takes in, durably, from many devices, and how long each waits for it.
//!
//! `bench intake [--store sqlite,postgresql] [--devices 10000] [--events 200000] [--seconds 10] [--in DIRECTORY]`. Every
//! message carries one event, as those of a quiet device do; devices take turns at random. First every device says that it
//! is there and what it is; then events come as fast as they are taken; then at the rate that is promised.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use fieldmouse_collector::intake::BATCH;
use fieldmouse_collector::intake::decode::{self, Arrival};
use fieldmouse_collector::store::{Database, Server, Store};
use fieldmouse_core::metric;
use fieldmouse_core::series::{SeriesKey, cut};
use fieldmouse_core::wire::{self, Head, Item, Kind, phase, state};
use serde::Serialize;

use crate::postgres::Postgres;
use crate::results::Row;
use crate::wait::{Watch, pause};

/// When it all happens: 2026-11-22T12:00:00Z.
const NOON: u64 = 1_795_348_800_000;
const EPOCH: u64 = 0x5eed;
/// Series that a device names when it is born.
const SERIES: usize = 150;
const SEED: u64 = 2026;

/// What devices say, one after the other, and how far each is.
#[derive(Debug)]
pub struct Fleet {
    seqs: Vec<u64>,
    dice: u64,
    told: u64,
}

impl Fleet {
    /// So many devices that have not said anything.
    #[must_use]
    pub fn new(devices: usize) -> Self {
        Self { seqs: vec![0; devices], dice: SEED, told: 0 }
    }

    fn roll(&mut self, of: usize) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.dice >> 33) % of as u64).unwrap()
    }

    /// Topic and bytes of what a device says of itself.
    #[must_use]
    pub fn birth(device: usize) -> [(String, Vec<u8>); 2] {
        let status = body(&wire::Status { state: state::ONLINE, version: cut("0.1.0") });
        let mut birth = body(&wire::Birth {
            version: cut("0.1.0"),
            platform: cut("linux/aarch64"),
            os: cut("Debian 12"),
            host: cut("press"),
            cpus: 4,
            memory: 4 << 30,
            model: [7; 8],
            model_name: cut("fieldmouse-quantiles 1"),
            tick_ms: 5000,
            labels: cut("line=3,hall=b"),
            series: u16::try_from(SERIES).unwrap(),
        });
        for i in 0..SERIES {
            birth.extend(body(&SeriesKey::custom(&format!("plant.line.sensor.temperature.{i}"))));
        }
        birth.extend(0_u16.to_le_bytes());
        [
            message(device, "status", 0, Kind::Status, &status),
            message(device, "birth", 0, Kind::Birth, &birth),
        ]
    }

    /// Topic and bytes of the next event: seven facts, two episodes, a trouble or a forecast.
    pub fn event(&mut self) -> (String, Vec<u8>) {
        let devices = self.seqs.len();
        let device = self.roll(devices);
        self.seqs[device] += 1;
        let seq = self.seqs[device];
        self.told += 1;
        match self.told % 10 {
            0 => {
                let trouble = wire::Trouble {
                    source: cut("modbus"),
                    series: None,
                    verdict: 1,
                    why: 1,
                    text: cut("no answer from 10.0.0.7:502 within 1 s"),
                };
                message(device, "event", seq, Kind::Trouble, &body(&trouble))
            }
            1 if self.told.is_multiple_of(3) => {
                message(device, "event", seq, Kind::Forecast, &body(&forecast()))
            }
            2 | 5 => message(device, "event", seq, Kind::Episode, &body(&episode(seq))),
            _ => message(device, "event", seq, Kind::Fact, &body(&fact(self.told))),
        }
    }
}

fn body<T: Serialize>(what: &T) -> Vec<u8> {
    let mut to = vec![0; 4096];
    let len = wire::write_body(what, &mut to).unwrap();
    to.truncate(len);
    to
}

fn message(device: usize, leaf: &str, seq: u64, kind: Kind, body: &[u8]) -> (String, Vec<u8>) {
    let node = format!("n-{device}");
    let mut to = vec![0; body.len() + 200];
    let head = wire::write_head(&Head { node: &node, epoch: EPOCH }, &mut to).unwrap();
    let item = Item {
        seq,
        mono_ms: seq * 1000,
        wall_ms: Some(NOON + seq * 1000),
        clock: 2,
        severity: 9,
        kind: kind as u16,
        rev: if kind == Kind::Birth { Kind::Birth.rev() } else { 1 },
        body,
    };
    let len = head + wire::write_item(&item, &mut to[head..]).unwrap();
    to.truncate(len);
    // A hundred devices make a site.
    (format!("fieldmouse/1/site-{}/{node}/{leaf}", device / 100), to)
}

fn fact(nth: u64) -> wire::Fact {
    let words =
        "kernel: usb 1-1.4: device descriptor read/64, error -110; the device does not answer to its address";
    wire::Fact::new("log", &format!("{words} {nth}"))
}

fn forecast() -> wire::Forecast {
    wire::Forecast {
        key: SeriesKey::new(metric::FILESYSTEM_USED, &["/var"]),
        phase: phase::UPDATED,
        limit: 1.0,
        level: 0.9,
        per_day: 0.012,
        whole: 1e11,
        expected_s: 90_000,
        early_s: 45_000,
        late_s: Some(180_000),
    }
}

fn episode(seq: u64) -> wire::Episode {
    let contributor = |code, label: &[&str], share| wire::Contributor {
        key: SeriesKey::new(code, label),
        actual: 0.94,
        expected: 0.12,
        low: 0.05,
        high: 0.22,
        share,
    };
    wire::Episode {
        // Each is told of three times.
        id: seq / 3,
        phase: [phase::OPENED, phase::UPDATED, phase::CLOSED][usize::try_from(seq % 3).unwrap()],
        since_ms: 5000,
        lasted_ms: 5000,
        shape: 3,
        group: metric::Group::Cpu as u8,
        score: 0.83,
        confidence: 92,
        recurred: 0,
        moved: 7,
        contributors: [
            contributor(metric::CPU_MODE, &["user"], 71),
            contributor(metric::DISK_IO, &["sda", "write"], 18),
            contributor(metric::TEMPERATURE, &["soc", "package"], 8),
        ]
        .into_iter()
        .collect(),
        culprit: Some(wire::Culprit { name: cut("label-printer"), pid: 4121, count: 1, amount: 3.4 }),
        model: [7; 8],
        spark: None,
        without: None,
        near: [].into_iter().collect(),
    }
}

/// A message on its way, and when it was sent.
type Sent = (Duration, Arrival);

/// What was seen of events on their way.
struct Seen {
    stored: u64,
    took: Duration,
    waits: Vec<Duration>,
}

/// Takes in what comes, as the intake does: what waits makes up the next batch.
fn take(store: &Database, from: &Receiver<Sent>, watch: Watch) -> Seen {
    let mut seen = Seen { stored: 0, took: Duration::ZERO, waits: Vec::new() };
    while let Ok(first) = from.recv() {
        let (times, batch): (Vec<Duration>, Vec<Arrival>) =
            std::iter::once(first).chain(from.try_iter()).take(BATCH).unzip();
        let done = store.commit(&batch).unwrap();
        assert_eq!((done.duplicates, done.malformed.len()), (0, 0));
        seen.stored += done.stored;
        seen.took = watch.elapsed();
        seen.waits.extend(times.into_iter().map(|sent| seen.took.saturating_sub(sent)));
    }
    seen
}

/// Sends `messages`, so many a second if that is said, while the store takes them in.
fn drive(
    store: &Database,
    per_s: Option<u64>,
    messages: impl Iterator<Item = (String, Vec<u8>)> + Send,
) -> Seen {
    let (to, from) = sync_channel::<Sent>(4096);
    let watch = Watch::start();
    std::thread::scope(|all| {
        all.spawn(move || {
            for (nth, (topic, payload)) in messages.enumerate() {
                let due = per_s.map(|rate| Duration::from_micros(nth as u64 * 1_000_000 / rate));
                // In bursts of a few milliseconds, as a network brings them.
                if let Some(due) = due
                    && nth % 64 == 0
                    && let Some(early) = due.checked_sub(watch.elapsed())
                {
                    pause(early);
                }
                let arrival = decode::arrival("fieldmouse", &topic, &payload, false, NOON);
                if to.send((due.unwrap_or_else(|| watch.elapsed()), arrival)).is_err() {
                    return;
                }
            }
        });
        take(store, &from, watch)
    })
}

fn percentile(waits: &mut [Duration], part: f64) -> f64 {
    waits.sort_unstable();
    let at = ((waits.len() as f64 * part) as usize).min(waits.len().saturating_sub(1));
    waits.get(at).map_or(0.0, |wait| wait.as_secs_f64() * 1000.0)
}

fn option<'a>(args: &'a [String], name: &str, default: &'a str) -> &'a str {
    args.iter().position(|a| a == name).and_then(|at| args.get(at + 1)).map_or(default, String::as_str)
}

/// Prints the figures.
pub fn main(args: &[String]) {
    let number = |name, default| option(args, name, default).parse::<u64>().unwrap();
    let (devices, events, seconds) =
        (number("--devices", "10000"), number("--events", "200000"), number("--seconds", "10"));
    let place = Path::new(option(args, "--in", "."));
    let mut row = Row::new("intake", "events taken in durably, one a message, from many devices", Some(SEED));
    for name in option(args, "--store", "sqlite,postgresql").split(',') {
        let dir = tempfile::tempdir_in(place).unwrap();
        let (server, store, rate);
        match name {
            "sqlite" => (store, rate) = (Database::open(&dir.path().join("c.db")).unwrap(), 20_000),
            _ => {
                server = Postgres::start_in(place);
                (store, rate) =
                    (Database::connect(&Server::new(&server.url(), None, None).unwrap()).unwrap(), 10_000);
            }
        }
        let count = usize::try_from(devices).unwrap();
        let births = drive(&store, None, (0..count).flat_map(Fleet::birth));
        let told = |figure: &str| format!("intake.{name}.{figure}");
        row.figure(
            &told("births"),
            format!("{:.0}", devices as f64 / births.took.as_secs_f64()),
            "devices/s",
        );
        let mut fleet = Fleet::new(count);
        let flood = drive(&store, None, (0..events).map(|_| fleet.event()));
        assert_eq!(flood.stored, events);
        row.figure(&told("events"), format!("{:.0}", events as f64 / flood.took.as_secs_f64()), "events/s");
        let mut paced = drive(&store, Some(rate), (0..rate * seconds).map(|_| fleet.event()));
        assert_eq!(paced.stored, rate * seconds);
        row.count(&told("offered"), rate, "events/s");
        for (part, word) in [(0.5, "p50"), (0.99, "p99"), (1.0, "max")] {
            let wait = percentile(&mut paced.waits, part);
            row.figure(&told(&format!("ack_{word}")), format!("{wait:.1}"), "ms");
        }
        assert_eq!(store.totals().unwrap().missing_numbers, 0);
    }
}
