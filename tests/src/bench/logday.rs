//! Whether a book of lines tells what matters and nothing else: a day of real log text with 20 planted incidents, after a
//! day in which it learns.
//!
//! `bench logday --data DIR [--seeds N] [--from SEED] [--systems A,B] [--show]`, where DIR holds `logs/NAME.raw.log.gz` and
//! `labels/NAME.csv.gz` (Loghub-2k). Each system is a stream with a rhythm of the day, and writes runs of lines as they
//! stand in the file. Messages that incidents bring are kept out of the rest of the day, and so are boots and panics that
//! are in the text. A fact is false if it speaks of a
//! stream to which nothing was done at the time.
#![expect(clippy::print_stdout, reason = "the figures are what they are for")]

mod day;
mod incidents;
mod systems;

use std::path::Path;

use fieldmouse::logs::book::{Book, Record};
use fieldmouse::sources::{Place, Readings, Told};

use crate::sim::rng::Rng;
use crate::wait::timed;
use day::Day;
use incidents::{Incident, KINDS};
use systems::System;

/// A fact, and when it was told.
#[derive(Debug)]
struct Heard {
    at: u32,
    told: Told,
}

/// What came of one or more days, by kind of incident; the last is for facts of no incident.
#[derive(Debug, Default)]
struct Tally {
    planted: [u32; KINDS.len()],
    seen: [u32; KINDS.len()],
    delays: Vec<u32>,
    beside: u32,
    /// Facts of the day before.
    learning: u32,
    falses: Vec<(String, u32)>,
}

/// Prints the figures.
pub fn main(args: &[String]) {
    let (mut data, mut seeds, mut from, mut only, mut show) = (String::new(), 1, 1, None, false);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().map(String::as_str).unwrap_or_default();
        match arg.as_str() {
            "--data" => value().clone_into(&mut data),
            "--seeds" => seeds = value().parse().expect("--seeds: a number"),
            "--from" => from = value().parse().expect("--from: a number"),
            "--systems" => only = Some(value().split(',').map(str::to_owned).collect::<Vec<_>>()),
            "--show" => show = true,
            other => panic!(
                "`{other}` is not understood; usage: logday --data DIR [--seeds N] [--from SEED] [--systems A,B] [--show]"
            ),
        }
    }
    let systems = systems::read(Path::new(&data), only.as_deref());
    let mut all = Tally::default();
    for seed in from..from + seeds {
        let mut tally = Tally::default();
        let lines = replay(&systems, seed, &mut tally, show);
        println!(
            "logday.seed.{seed} {}/{} seen, {} false, {} beside, {lines} lines",
            tally.seen.iter().sum::<u32>(),
            tally.planted.iter().sum::<u32>(),
            tally.falses.iter().map(|(_, n)| n).sum::<u32>(),
            tally.beside
        );
        all.add(tally);
    }
    all.tell(seeds);
}

/// A day of this seed. Its lines.
fn replay(systems: &[System], seed: u64, tally: &mut Tally, show: bool) -> usize {
    let day = Day::new(systems, &mut Rng::new(seed));
    let (heard, took) = timed(|| listen(&day));
    for incident in &day.incidents {
        let of: Vec<&Heard> = heard.iter().filter(|h| incident.is_of(h.at, &h.told.fact)).collect();
        let seen = of.iter().find(|h| incident.kind.is_told_by(&h.told.fact.kind));
        let at = KINDS.iter().position(|k| *k == incident.kind).expect("a kind");
        tally.planted[at] += 1;
        tally.seen[at] += u32::from(seen.is_some());
        tally.beside += of.len().saturating_sub(usize::from(seen.is_some())) as u32;
        tally.delays.extend(seen.map(|h| h.at - incident.from));
        if show {
            let mark = if seen.is_some() { "seen" } else { "MISSED" };
            println!("# {} {mark}: {}", clock(incident.from), incident.what);
            of.iter().for_each(|h| println!("#      {} {}", clock(h.at), sentence(&h.told)));
        }
    }
    tally.learning += heard.iter().filter(|h| h.at < day::DAY).count() as u32;
    for h in heard
        .iter()
        .filter(|h| h.at >= day::DAY && !day.incidents.iter().any(|i| i.is_of(h.at, &h.told.fact)))
    {
        tally.count_false(&h.told.fact.kind, 1);
        if show {
            println!("# {} FALSE: {}", clock(h.at), sentence(&h.told));
        }
    }
    println!("logday.seed.{seed}.speed {:.0} lines/s", day.lines.len() as f64 / took.as_secs_f64());
    day.lines.len()
}

/// What the book tells of a day, second by second.
fn listen(day: &Day) -> Vec<Heard> {
    let mut book = Book::new("log", &Place::default(), None);
    let (mut out, mut heard, mut lines) = (Readings::default(), Vec::new(), day.lines.iter().peekable());
    for at in 0..day::SECONDS {
        while let Some(line) = lines.next_if(|l| l.at <= at) {
            let wall_ms = Some(1_700_000_000_000 + 1000 * u64::from(line.at));
            let stream = day.streams[line.stream].as_str();
            book.take(&Record { stream, severity: None, text: day.texts[line.text].as_bytes(), wall_ms });
        }
        out.begin();
        book.tick(1000 * u64::from(at), &mut out);
        heard.extend(out.told().map(|told| Heard { at, told }));
    }
    heard
}

impl Tally {
    fn count_false(&mut self, kind: &str, n: u32) {
        match self.falses.iter_mut().find(|(k, _)| k == kind) {
            Some((_, count)) => *count += n,
            None => self.falses.push((kind.to_owned(), n)),
        }
    }

    fn add(&mut self, other: Self) {
        for at in 0..KINDS.len() {
            self.planted[at] += other.planted[at];
            self.seen[at] += other.seen[at];
        }
        self.delays.extend(other.delays);
        self.beside += other.beside;
        self.learning += other.learning;
        other.falses.iter().for_each(|(kind, n)| self.count_false(kind, *n));
    }

    fn tell(&mut self, days: u64) {
        for (at, kind) in KINDS.iter().enumerate() {
            println!("logday.seen.{} {}/{} incidents", kind.word(), self.seen[at], self.planted[at]);
        }
        let of = |n: u32| f64::from(n) / days as f64;
        println!("logday.seen {:.1} of 20 a day", of(self.seen.iter().sum()));
        println!("logday.false {:.1} facts a day", of(self.falses.iter().map(|(_, n)| n).sum()));
        self.falses.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        for (kind, n) in &self.falses {
            println!("logday.false.{kind} {:.2} facts a day", of(*n));
        }
        println!("logday.learning {:.1} facts a day", of(self.learning));
        println!("logday.beside {:.1} facts a day", of(self.beside));
        self.delays.sort_unstable();
        if let Some(median) = self.delays.get(self.delays.len() / 2) {
            println!("logday.delay {median} s");
        }
    }
}

fn sentence(told: &Told) -> String {
    let example = told.fact.detail.as_ref().map_or("", |d| d.example.as_str());
    format!("{} ({}) {} «{example}»", told.fact.kind, told.severity, told.fact.text)
}

fn clock(at: u32) -> String {
    format!("{:02}:{:02}:{:02}", at / 3600, at / 60 % 60, at % 60)
}

impl Incident {
    /// Whether a fact speaks of its stream, at its time.
    fn is_of(&self, at: u32, fact: &fieldmouse_core::wire::Fact) -> bool {
        let is_then = at >= self.from && at < self.until;
        is_then && fact.text.strip_prefix(self.stream.as_str()).is_some_and(|rest| rest.starts_with(':'))
    }
}
