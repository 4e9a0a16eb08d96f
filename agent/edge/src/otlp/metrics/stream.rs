//! A stream of data points: what comes of each, and when it has ended.

use std::fmt::Write;

use fieldmouse_core::series::{LABEL, Millis, NoData, SeriesKey};

use super::super::fields::Malformed;
use super::super::resource;
use super::point::{Point, quantile};
use crate::logs::shown::{Names, fit};
use crate::sources::{Readings, Slot};

/// A stream whose rhythm is unknown is taken to have this one.
const EVERY_MS: u32 = 60_000;
/// What misses so many of its times has ended …
const MISSED: u64 = 3;
/// … after this at least.
const GONE_MS: Millis = 60_000;
/// The rhythms that are told apart.
const RHYTHMS_MS: [u32; 9] = [1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000];

/// What the points of a stream say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A value as it stands.
    Level,
    /// By how much a level changed.
    Change,
    /// A count that only grows; what is judged is its rate.
    Count,
    /// Many values: their rate, mean and 95 % quantile.
    Distribution,
}

impl Meaning {
    /// What the series are called that come of it.
    pub(super) fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Distribution => &[".count", ".mean", ".p95"],
            _ => &[""],
        }
    }
}

/// `name.part{service.name=shop,key=value}`, or as much of it as fits: then without keys, and with a hash of all.
pub(super) fn labels(
    names: &mut Names,
    service: &str,
    name: &str,
    parts: &[&str],
    point: &Point<'_>,
) -> Result<Vec<SeriesKey>, Malformed> {
    let mut attributes = vec![("service.name".to_owned(), service.to_owned())];
    for entry in point.attributes() {
        let (key, value) = resource::attribute(entry?)?;
        attributes.push((key.into_owned(), value.shown().into_owned()));
    }
    attributes[1..].sort();
    let shown = |(i, (key, value)): (usize, &(String, String))| {
        let value = if i == 0 { crate::sources::label(value) } else { names.value(key, value) };
        (crate::sources::label(key), value)
    };
    let masked: Vec<(String, String)> = attributes.iter().enumerate().map(shown).collect();
    let key = |part: &&str| {
        let name = crate::sources::label(&format!("{name}{part}"));
        let whole = format!("{name}{{{}}}", joined(&masked, true));
        if whole.len() <= LABEL && masked == attributes {
            return SeriesKey::custom(&whole);
        }
        // The hash is of what it really is, not of what is shown of it.
        let real = format!("{name}{{{}}}", joined(&attributes, true));
        let hash = fit(&real, 0).into_owned();
        let short = if whole.len() + hash.len() <= LABEL {
            whole
        } else {
            format!("{name}{{{}}}", joined(&masked, false))
        };
        SeriesKey::custom(&format!("{}{hash}", crate::logs::shown::head(&short, LABEL - hash.len())))
    };
    Ok(parts.iter().map(key).collect())
}

fn joined(attributes: &[(String, String)], with_keys: bool) -> String {
    let mut text = String::new();
    for (i, (key, value)) in attributes.iter().enumerate() {
        let (comma, equals) = (if i > 0 { "," } else { "" }, if with_keys { "=" } else { "" });
        let key = if with_keys { key } else { "" };
        // Writing to a string cannot fail.
        let _ok = write!(text, "{comma}{key}{equals}{value}");
    }
    text
}

#[derive(Debug)]
struct Part {
    key: SeriesKey,
    slot: Option<Slot>,
    fresh: Option<f64>,
}

/// What the last point said, to compare the next one with.
#[derive(Debug, Default)]
struct Last {
    start: u64,
    time: u64,
    value: f64,
    sum: f64,
    buckets: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct Stream {
    parts: Vec<Part>,
    last: Option<Last>,
    every_ms: Option<u32>,
    first_seen: Millis,
    last_seen: Millis,
}

impl Stream {
    pub(super) fn new(keys: Vec<SeriesKey>, now: Millis) -> Self {
        let parts = keys.into_iter().map(|key| Part { key, slot: None, fresh: None }).collect();
        Self { parts, last: None, every_ms: None, first_seen: now, last_seen: now }
    }

    pub(super) fn take(&mut self, meaning: Meaning, is_delta: bool, point: &Point<'_>, now: Millis) {
        if point.is_empty {
            return;
        }
        self.last_seen = now;
        if let Some(last) = &self.last
            && point.time > last.time
        {
            self.every_ms.get_or_insert(rhythm((point.time - last.time) / 1_000_000));
        }
        let value = match meaning {
            Meaning::Distribution => point.count as f64,
            _ => match point.value.filter(|v| v.is_finite()) {
                Some(value) => value,
                None => return,
            },
        };
        match meaning {
            Meaning::Level => self.set(0, Some(value)),
            Meaning::Change => {
                let level = self.last.as_ref().map_or(0.0, |last| last.value) + value;
                self.set(0, Some(level));
                self.last = Some(Last { value: level, time: point.time, ..Last::default() });
                return;
            }
            Meaning::Count | Meaning::Distribution => self.compare(meaning, is_delta, value, point),
        }
        self.last = Some(Last {
            start: point.start,
            time: point.time,
            value,
            sum: point.sum.unwrap_or(0.0),
            buckets: point.buckets.clone(),
        });
    }

    /// What has come since the last point, and in which time.
    fn compare(&mut self, meaning: Meaning, is_delta: bool, value: f64, point: &Point<'_>) {
        let none = Last::default();
        let begins = Some((&none, point.start)).filter(|_| point.start > 0);
        let (before, since) = match &self.last {
            _ if is_delta => (&none, point.start),
            // Whoever counts has begun anew, and says when.
            Some(last) if point.start != last.start && point.start >= last.time => match begins {
                Some(begins) => begins,
                None => return,
            },
            // Or does not say it.
            Some(last) if value < last.value => return,
            Some(last) => (last, last.time),
            None => return,
        };
        let seconds = point.time.saturating_sub(since) as f64 / 1e9;
        if seconds <= 0.0 || since == 0 {
            return;
        }
        let more = value - before.value;
        let rate = more / seconds;
        let mean = (more > 0.0).then(|| point.sum.map(|sum| (sum - before.sum) / more)).flatten();
        let buckets: Vec<u64> = point
            .buckets
            .iter()
            .enumerate()
            .map(|(i, n)| n.saturating_sub(before.buckets.get(i).copied().unwrap_or(0)))
            .collect();
        self.set(0, Some(rate));
        if meaning == Meaning::Distribution {
            self.set(1, mean.filter(|mean| mean.is_finite()));
            self.set(2, quantile(&buckets, &point.bounds, 0.95));
        }
    }

    fn set(&mut self, part: usize, value: Option<f64>) {
        if let (Some(part), Some(value)) = (self.parts.get_mut(part), value) {
            part.fresh = Some(value);
        }
    }

    /// A value once, then nothing new, then nothing at all.
    pub(super) fn tick(&mut self, now: Millis, out: &mut Readings) {
        let waited = now.saturating_sub(self.first_seen) >= Millis::from(EVERY_MS);
        let every = self.every_ms.or(waited.then_some(EVERY_MS));
        let gone = GONE_MS.max(MISSED * Millis::from(every.unwrap_or(EVERY_MS)));
        let is_gone = now.saturating_sub(self.last_seen) >= gone;
        for part in &mut self.parts {
            if let (None, Some(_), Some(every)) = (part.slot, part.fresh, every) {
                part.slot = Some(out.slot_every(part.key.clone(), every));
            }
            let Some(slot) = part.slot else { continue };
            match part.fresh.take() {
                Some(value) => out.set(slot, value),
                None if is_gone => out.fail(slot, NoData::Absent),
                None => out.rest(slot),
            }
        }
    }
}

/// The nearest of the rhythms, as a ratio.
fn rhythm(ms: u64) -> u32 {
    let away = |rhythm: &&u32| (ms.max(1) as f64 / f64::from(**rhythm)).ln().abs();
    RHYTHMS_MS.iter().min_by(|a, b| away(a).total_cmp(&away(b))).copied().unwrap_or(EVERY_MS)
}
