//! Watches lines: counts each by its template and its stream, and finds at each tick what is out of the ordinary.
//!
//! Time is that of the ticks, in seconds since the book was begun. When a line was written matters in one case: lines of
//! one tick that were written over more than a minute are a backlog, of which nobody knows how often they come.

use fieldmouse_core::logs::line::Line;
use fieldmouse_core::logs::mask::Masker;
use fieldmouse_core::logs::rate::Tails;
use fieldmouse_core::logs::severity::{Class, severity};
use fieldmouse_core::logs::sign::{Sign, sign};
use fieldmouse_core::series::{Millis, cut};
use fieldmouse_core::wire::{Detail, Fact};

use super::Record;
use super::fields::Fields;
use super::find::text;
use super::ledger::{Entry, Ledger, OCCASION};
use super::streams::Streams;
use super::tell::{self, Finding, Kind, span};
use crate::budget::Budget;
use crate::logs::miner::{self, Miner};
use crate::sources::Place;

/// Seconds for which a new template is looked at before it is told: more may come, and it may turn out to be none.
pub(super) const GATHER: u32 = 10;
/// New templates that are looked at, at most.
const FRESH: usize = 64;
/// Seconds after which a tick comes too late for what it brings to have come just now.
const LATE: u32 = 60;
/// Seconds between examples that are shown.
const SHOW: u32 = 10;
/// Seconds between looks for what is silent.
const LOOK: u32 = 5;
/// Crashes of which the next lines are awaited.
const CRASHED: usize = 8;
/// Crashes of one kind that are news, and starts.
const CRASHES: u16 = 5;
const STARTS: u16 = 3;
/// Lines that are shown of a crash, its own among them, and seconds in which they come.
const SHOWN: u8 = 4;
const SHOWN_S: u32 = 2;
/// Bytes that are kept of them.
const EXAMPLE: usize = 160;

/// What a crash is told with.
#[derive(Debug)]
struct Crash {
    id: u32,
    stream: u8,
    what: &'static str,
    at: u32,
    lines: u8,
    example: String,
}

impl Crash {
    fn goes_on(&mut self, text: &str) {
        if self.lines < SHOWN {
            self.lines += 1;
            let room = EXAMPLE.saturating_sub(self.example.len() + 3);
            self.example.extend([" | ", head(text, room)]);
        }
    }
}

/// A book that has seen a line.
#[derive(Debug)]
pub(super) struct Watch {
    masker: Masker,
    line: Line,
    pub(super) miner: Miner,
    pub(super) ledger: Ledger,
    pub(super) streams: Streams,
    /// Of errors. Made by the first one.
    pub(super) fields: Option<Box<Fields>>,
    /// Of templates, and of streams.
    pub(super) tails: [Tails; 2],
    totals: [u64; 3],
    pub(super) budget: Budget,
    /// Seconds of the book at the last tick; the first second is 1.
    pub(super) at: u32,
    /// The first tick: when, and which second it was.
    begin: Option<(Millis, u32)>,
    /// When rates are looked at next, and silences.
    next_minute: u32,
    next_look: u32,
    /// When the first and the last line of this tick were written.
    written: Option<(u64, u64)>,
    /// New templates, and the lines with which each is looked at next.
    pub(super) fresh: Vec<(u32, u16)>,
    crashes: Vec<Crash>,
    /// The message that most errors of late were: lines, and which.
    example: Option<(u32, u32)>,
    next_example: u32,
}

impl Watch {
    /// One that has listened since a tick, or that does not know what it missed.
    pub(super) fn new(place: &Place, since: Option<Millis>) -> Self {
        Self {
            // It was checked before.
            masker: place.logs.masker().unwrap_or_default(),
            line: Line::default(),
            miner: Miner::default(),
            ledger: Ledger::default(),
            streams: Streams::default(),
            fields: None,
            tails: Default::default(),
            totals: [0; 3],
            budget: place.budget,
            at: 1,
            begin: since.map(|since| (since, 1)),
            next_minute: 0,
            next_look: 0,
            written: None,
            fresh: Vec::new(),
            crashes: Vec::new(),
            example: None,
            next_example: 0,
        }
    }

    /// What most errors of the last seconds were, masked; no more often than is of use to anybody.
    pub(super) fn take_example(&mut self) -> Option<Fact> {
        let (count, id) = self.example.filter(|_| self.at >= self.next_example)?;
        (self.example, self.next_example) = (None, self.at + SHOW);
        let stream = self.streams.name(self.ledger.get(id)?.stream);
        let (about, example) = (cut(&format!("{id:08x}")), cut(text(&self.miner, id)));
        let detail = Detail { about, count, example, ..Detail::default() };
        Some(Fact { detail: Some(detail), ..Fact::new("log-example", stream) })
    }

    /// Lines of a class.
    pub(super) fn lines(&self, class: Class) -> u64 {
        self.totals[class as usize]
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.miner.bytes()
            + self.ledger.bytes()
            + self.streams.all.capacity() * 256
            + self.fields.as_ref().map_or(0, |fields| fields.bytes())
    }

    pub(super) fn take(&mut self, record: &Record<'_>, beside: &[(&str, &str)]) {
        let class = Class::of(record.severity.or_else(|| severity(record.text)).unwrap_or(0));
        self.totals[class as usize] += 1;
        if let Some(ms) = record.wall_ms {
            let (first, last) = self.written.unwrap_or((ms, ms));
            self.written = Some((first.min(ms), last.max(ms)));
        }
        let (at, stream) = (self.at, self.streams.of(record.stream, self.at));
        let of = &mut self.streams.all[usize::from(stream)].now;
        of[0] += 1;
        of[1] += u32::from(class == Class::Error);
        if class == Class::Error {
            let masker = &self.masker;
            let fields = self.fields.get_or_insert_with(|| Box::new(Fields::new(masker.anew())));
            fields.take(stream, record.text, beside, at);
        }
        self.masker.mask(record.text, &mut self.line);
        let seen = self.miner.learn(&self.line);
        let text = self.line.text();
        let new = || Entry::new(at, stream, sign(text).map(|s| s.0));
        let entry = self.ledger.line(seen.id, new);
        entry.class = class;
        if let Some(crash) = self.crashes.iter_mut().find(|c| c.stream == stream) {
            crash.goes_on(text);
        } else if entry.sign.is_some() && self.crashes.len() < CRASHED && is_news(entry, stream, at) {
            let what = sign(text).map_or("a crash", |s| s.1);
            let (id, example) = (seen.id, head(text, EXAMPLE).to_owned());
            self.crashes.push(Crash { id, stream, what, at, lines: 1, example });
        }
        if seen.is_new && self.fresh.len() < FRESH && !self.ledger.was_known(seen.id) {
            self.fresh.push((seen.id, 0));
        }
        for change in self.miner.take_changes() {
            match change {
                miner::Change::Merged { from, into } => self.ledger.merge(from, into),
                miner::Change::Evicted(template) => self.ledger.evict(template.id),
            }
        }
    }

    pub(super) fn tick(&mut self, now: Millis) -> Vec<(u8, Fact)> {
        let last = self.at;
        let is_first = self.begin.is_none();
        let (begin, from) = *self.begin.get_or_insert((now, last));
        self.at = last
            .max(from.saturating_add(u32::try_from(now.saturating_sub(begin) / 1000).unwrap_or(u32::MAX)));
        let passed = self.at - last;
        let written_s = self.written.take().map_or(0, |(first, last)| (last - first) / 1000);
        let is_late = is_first || passed > LATE;
        let is_backlog = is_late || written_s > u64::from(passed + LATE);
        if is_late {
            self.resume();
        }
        let mut found = Vec::new();
        self.settle(is_backlog, &mut found);
        self.tell_crashes(is_backlog, &mut found);
        self.news(&mut found);
        if self.at >= self.next_look {
            self.next_look = self.at + LOOK;
            self.silences(&mut found);
        }
        if self.at >= self.next_minute {
            self.next_minute = self.at + 60;
            self.rates(&mut found);
        }
        if found.is_empty() {
            return Vec::new();
        }
        let ledger = &mut self.ledger;
        tell::facts(found, &mut self.streams, self.at, |f| {
            let entry = f.id.and_then(|id| ledger.get_mut(id));
            if let (Some(entry), Kind::Silent) = (entry, f.kind) {
                entry.is_missed = true;
            }
        })
    }

    /// Nobody listened for a while: nothing is late, and what is counted counts from now on.
    fn resume(&mut self) {
        for (_, entry) in self.ledger.iter_mut() {
            entry.beat.resume(self.at);
            entry.rate.void();
        }
        for stream in &mut self.streams.all {
            stream.lines.void();
            stream.errors.void();
        }
        self.next_minute = self.at + 60;
    }

    /// Counts what came since the last tick.
    fn settle(&mut self, is_backlog: bool, found: &mut Vec<Finding>) {
        let at = self.at;
        let touched = self.ledger.take_touched();
        for id in &touched {
            let Some(entry) = self.ledger.get_mut(*id) else { continue };
            if entry.class == Class::Error && self.example.is_none_or(|(most, _)| entry.now > most) {
                self.example = Some((entry.now, *id));
            }
            let back = entry.settle(at, is_backlog);
            if let Some(for_s) = back.filter(|_| std::mem::take(&mut entry.is_missed)) {
                let what = format!("a message is back after {}", span(for_s));
                let (stream, class) = (entry.stream, entry.class);
                if !self.streams.all[usize::from(stream)].is_missed {
                    let example = text(&self.miner, *id).to_owned();
                    let (id, lines, weight) = (Some(*id), 1, 1.0);
                    found.push(Finding {
                        kind: Kind::Back,
                        stream,
                        id,
                        class,
                        for_s,
                        lines,
                        weight,
                        what,
                        example,
                    });
                }
            }
        }
        self.ledger.reuse(touched);
        for (stream, of) in (0..).zip(&mut self.streams.all) {
            let [lines, errors] = std::mem::take(&mut of.now);
            if lines == 0 {
                continue;
            }
            let for_s = at - of.last.min(at);
            of.last = at;
            if !is_backlog {
                of.lines.add(lines);
                of.errors.add(errors);
            }
            if std::mem::take(&mut of.is_missed) {
                let what = format!("it writes again after {}", span(for_s));
                found.push(Finding::of_stream(Kind::Back, stream, for_s, lines, what));
            }
        }
    }

    /// Tells a crash when its next lines had time to come.
    fn tell_crashes(&mut self, is_backlog: bool, found: &mut Vec<Finding>) {
        let at = self.at;
        let is_due = |c: &mut Crash| is_backlog || c.lines >= SHOWN || at - c.at.min(at) >= SHOWN_S;
        // A book that is begun may be given years of old lines; later a backlog is what was missed meanwhile.
        let is_old = is_backlog && at < LATE;
        for crash in self.crashes.extract_if(.., is_due) {
            // What it was merged into will be seen next time.
            let Some(entry) = self.ledger.get_mut(crash.id).filter(|_| !is_old) else { continue };
            entry.told = at;
            let Crash { id, stream, what, example, .. } = crash;
            let (class, what) = match entry.sign {
                Some(Sign::Start) => (Class::Warn, format!("{what}, once more")),
                _ => (Class::Error, what.to_owned()),
            };
            let (kind, id, for_s, lines, weight) = (Kind::Crash, Some(id), at - crash.at.min(at), 1, 1.0);
            found.push(Finding { kind, stream, id, class, for_s, lines, weight, what, example });
        }
    }
}

/// Whether a sign tells of something new: what crashes or starts again and again is a habit, seen by its rate.
fn is_news(entry: &Entry, stream: u8, at: u32) -> bool {
    let is_first = entry.occasions == 0 && entry.now <= 1;
    let is_apart = is_first || entry.stream != stream || at - entry.last.min(at) >= OCCASION;
    let is_rare = match entry.sign {
        Some(Sign::Start) => (1..=STARTS).contains(&entry.occasions),
        Some(_) => entry.occasions <= CRASHES,
        None => false,
    };
    is_apart && is_rare
}

fn head(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
