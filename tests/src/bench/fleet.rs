//! Faults of a generated fleet, replayed through the collector as it is shipped: were they seen, was each one incident,
//! was its cause named, and how much were people told.
//!
//! `bench fleet-week [--seeds 5] [--from 9000] [--pages "3 per day"] [--keep DIR]` and `bench uplink [--seeds 2] [--from 9000] [--devices 10000]`.
//! Rules are developed on the seeds below 1000; figures are of seeds from 9000 on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::fleet::score::{Idle, Line, Score, relation, score};
use crate::fleet::{Fleet, Plan, generate, storm};
use crate::program::collector_binary;
use crate::results::{Table, say};
use crate::wait::{pause, timed};

struct Options {
    seeds: std::ops::Range<u64>,
    devices: usize,
    pages: Option<String>,
    keep: Option<PathBuf>,
}

fn options(args: &[String], seeds: u64, devices: usize) -> Options {
    let (mut seeds, mut from, mut devices, mut pages, mut keep) = (seeds, 9000, devices, None, None);
    for pair in args.chunks(2) {
        let value = pair.get(1).map(String::as_str).unwrap_or_default();
        let number = || value.parse().unwrap_or_else(|e| panic!("{} `{value}`: {e}", pair[0]));
        match pair[0].as_str() {
            "--seeds" => seeds = number(),
            "--from" => from = number(),
            "--devices" => devices = usize::try_from(number()).unwrap(),
            "--pages" => pages = Some(value.to_owned()),
            "--keep" => keep = Some(PathBuf::from(value)),
            other => {
                panic!(
                    "`{other}` is not understood; usage: --seeds N, --from SEED, --devices N, --pages TEXT, --keep DIR"
                )
            }
        }
    }
    Options { seeds: from..from + seeds, devices, pages, keep }
}

/// Prints the figures of weeks.
pub fn week(args: &[String]) {
    let options = options(args, 5, 1000);
    let mut kinds: BTreeMap<&'static str, Kind> = BTreeMap::new();
    let (mut events, mut idle) = (0, Idle::default());
    let mut notices: BTreeMap<String, usize> = BTreeMap::new();
    for seed in options.seeds.clone() {
        let fleet = generate(Plan { devices: options.devices, ..Plan::week(seed) });
        let run = replay(&fleet, &options);
        let found = score(&fleet, &run.lines);
        tell(seed, &fleet, &found, &run);
        for (label, fate) in fleet.labels.iter().zip(&found.fates) {
            let relation = fate.incident.map_or("not found", |_| relation(&fleet, label, &fate.named));
            kinds.entry(label.kind).or_default().note(fate, relation);
        }
        events += found.events;
        found.notices.iter().for_each(|(event, n)| *notices.entry(event.clone()).or_default() += n);
        idle = Idle {
            all: idle.all + found.idle.all,
            paged: idle.paged + found.idle.paged,
            digested: idle.digested + found.idle.digested,
        };
    }
    let table = Table("fleet-week");
    let mut all = Kind::default();
    for (name, kind) in &kinds {
        kind.print(&table, name);
        all.join(kind);
    }
    all.print(&table, "all");
    table.tell("all", "events", events, "events");
    let sum: usize = notices.values().sum();
    table.tell("all", "notifications", sum, "notifications");
    let by: Vec<String> = notices.iter().map(|(event, n)| format!("{event} {n}")).collect();
    table.tell("all", "of which", by.join(", "), "");
    table.tell("all", "of no fault", idle.all, "incidents");
    table.tell("all", "of no fault, paged", idle.paged, "incidents");
    table.tell("all", "of no fault, in a digest alone", idle.digested, "incidents");
    table.tell("all", "fewer", format!("{:.2}", 100.0 * (1.0 - sum as f64 / events as f64)), "%");
}

/// Prints the figures of one uplink.
pub fn uplink(args: &[String]) {
    let options = options(args, 2, 10_000);
    let table = Table("uplink");
    for seed in options.seeds.clone() {
        let fleet = storm::uplink(seed, options.devices);
        let run = replay(&fleet, &options);
        let found = score(&fleet, &run.lines);
        tell(seed, &fleet, &found, &run);
        let name = format!("seed {seed}");
        let arrived: Vec<u64> =
            fleet.sent.iter().flat_map(|s| std::iter::repeat_n(s.received_ms, s.events)).collect();
        let within = |from: &u64| arrived.iter().filter(|at| (*from..from + 60_000).contains(at)).count();
        let most = arrived.iter().step_by(100).map(within).max().unwrap_or(0);
        table.tell(&name, "events", found.events, "events");
        table.tell(&name, "of them in one minute", most, "events");
        table.tell(&name, "incidents", found.incidents, "incidents");
        table.tell(&name, "opened and merged", found.opened - found.incidents, "incidents");
        table.tell(&name, "notifications", found.notices.values().sum::<usize>(), "notifications");
        let place = found.fates[0].place.map_or_else(|| "none".to_owned(), |p| (p + 1).to_string());
        table.tell(&name, "place of the root", place, "");
        table.tell(&name, "time", format!("{:.1}", run.took.as_secs_f64()), "s");
        table.tell(&name, "memory", run.peak_kib / 1024, "MiB");
    }
}

/// What became of the faults of a kind.
#[derive(Debug, Default)]
struct Kind {
    faults: usize,
    found: usize,
    paged: usize,
    digested: usize,
    missed: usize,
    first: usize,
    three: usize,
    pieces: usize,
    mixed: usize,
    named: BTreeMap<&'static str, usize>,
}

impl Kind {
    fn note(&mut self, fate: &crate::fleet::score::Fate, relation: &'static str) {
        self.faults += 1;
        self.found += usize::from(fate.incident.is_some());
        self.paged += usize::from(fate.paged);
        self.digested += usize::from(fate.digested && !fate.paged);
        self.missed += usize::from(!fate.digested && !fate.paged);
        self.first += usize::from(fate.place == Some(0));
        self.three += usize::from(fate.place.is_some_and(|p| p < 3));
        self.pieces += fate.pieces;
        self.mixed += usize::from(!fate.with.is_empty());
        *self.named.entry(relation).or_default() += 1;
    }

    fn join(&mut self, other: &Self) {
        self.faults += other.faults;
        self.found += other.found;
        self.paged += other.paged;
        self.digested += other.digested;
        self.missed += other.missed;
        self.first += other.first;
        self.three += other.three;
        self.pieces += other.pieces;
        self.mixed += other.mixed;
        other.named.iter().for_each(|(name, n)| *self.named.entry(name).or_default() += n);
    }

    fn print(&self, table: &Table, name: &str) {
        let of = |n: usize| format!("{n}/{}", self.faults);
        table.tell(name, "found", of(self.found), "faults");
        table.tell(name, "paged", of(self.paged), "faults");
        table.tell(name, "in a digest alone", of(self.digested), "faults");
        table.tell(name, "missed", of(self.missed), "faults");
        table.tell(name, "cause first", of(self.first), "faults");
        table.tell(name, "cause in first three", of(self.three), "faults");
        table.tell(name, "mixed with others", of(self.mixed), "faults");
        table.tell(
            name,
            "incidents per fault",
            format!("{:.2}", self.pieces as f64 / self.faults.max(1) as f64),
            "",
        );
        let named: Vec<String> = self.named.iter().map(|(what, n)| format!("{what} {n}")).collect();
        table.tell(name, "named first", named.join(", "), "");
    }
}

fn tell(seed: u64, fleet: &Fleet, found: &Score, run: &Run) {
    say(&format!(
        "# seed {seed}: {} events, {} incidents ({} opened), {:?} notifications, {:?} of no fault, {:.1} s, {} MiB",
        found.events,
        found.incidents,
        found.opened,
        found.notices,
        found.idle,
        run.took.as_secs_f64(),
        run.peak_kib / 1024
    ));
    for (label, fate) in fleet.labels.iter().zip(&found.fates) {
        if fate.place == Some(0) && fate.paged && fate.pieces == 1 && fate.with.is_empty() {
            continue;
        }
        say(&format!(
            "#   fault {} {} {} at {}: {}; place {:?}, paged {}, in a digest {}, in {} incidents, with {:?}",
            label.fault,
            label.kind,
            label.cause,
            label.onset_ms,
            fate.incident.map_or_else(
                || "not found".to_owned(),
                |i| format!("{} names {}", run.lines[i].incident.id, fate.named)
            ),
            fate.place,
            fate.paged,
            fate.digested,
            fate.pieces,
            fate.with
        ));
    }
}

/// What a replay came to.
struct Run {
    lines: Vec<Line>,
    took: Duration,
    peak_kib: u64,
}

/// Replays with the program that lies beside this one.
fn replay(fleet: &Fleet, options: &Options) -> Run {
    let temporary = tempfile::tempdir().unwrap();
    let dir = options.keep.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(dir).unwrap();
    fleet.write(dir).unwrap();
    let out = dir.join("incidents.jsonl");
    std::fs::write(dir.join("collector.toml"), fleet.config(dir, options.pages.as_deref())).unwrap();
    let mut child = std::process::Command::new(collector_binary())
        .arg("replay")
        .arg(dir.join("events.jsonl"))
        .arg("--incidents")
        .arg(&out)
        .arg("--config")
        .arg(dir.join("collector.toml"))
        .spawn()
        .unwrap();
    let mut peak_kib = 0;
    let (status, took) = timed(|| {
        loop {
            let path = format!("/proc/{}/status", child.id());
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let peak = peak.and_then(|p| p.trim().split(' ').next()).and_then(|p| p.parse().ok());
            peak_kib = peak.unwrap_or(0).max(peak_kib);
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            pause(Duration::from_millis(20));
        }
    });
    assert!(status.success(), "the replay failed: {status}");
    let text = std::fs::read_to_string(&out).unwrap();
    let lines = text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l:.300}")));
    Run { lines: lines.collect(), took, peak_kib }
}
