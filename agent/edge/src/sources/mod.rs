//! Where readings come from. To add a source, write `foo.rs` beside this file, then name it in the table below.
//!
//! A source file holds, in this order: a header (what, from which kernel file or protocol, which units), `KIND`,
//! a closed `Config`, a pure `parse`, the `impl Source`, and tests over literal text. Every source is given its
//! [`Place`]: the root is `/`, or the tree of a captured machine in tests. That is the whole of its I/O injection.

use std::path::{Path, PathBuf};

use fieldmouse_core::forecast::Limit;
use fieldmouse_core::series::{Millis, NoData, Reading, SeriesKey};
use fieldmouse_core::wire::{Edge, Fact};

use crate::budget::Budget;
use crate::config::LogsKeys;
use crate::jobs::Inbox;

/// Takes readings, and facts. One method: what can be seen now.
///
/// It is called on a thread where it may block, but within the deadline. What arrives by itself (a listener) is gathered
/// by a task of the source's own, which begins with the first sample: a source that is only built touches nothing.
pub trait Source: Send {
    /// Sets what can be seen now, and tells what happened. An error costs this source this tick, and nothing else.
    ///
    /// # Errors
    /// If the source as a whole cannot be read. One bad value is `out.fail(slot, why)`, not an error.
    fn sample(&mut self, now: Millis, out: &mut Readings) -> Result<(), SourceError>;

    /// What `status` shows of it beside its series; null if that is all. Asked between samples.
    fn about(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

/// What a source is called and how it is made.
#[derive(Debug)]
pub struct Kind {
    /// The word in the configuration: `[source.<name>]`.
    pub name: &'static str,
    /// One line for the docs.
    pub about: &'static str,
    /// Milliseconds between samples unless configured.
    pub every_ms: u32,
    /// Makes it from its own keys (the shared ones are taken out) and its place.
    pub build: fn(toml::Table, &Place) -> anyhow::Result<Box<dyn Source>>,
}

/// Where a source finds things, and where it may leave some.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// `/`, or the tree of a captured machine.
    pub root: PathBuf,
    /// The folder for what has to outlive a reboot. None: nothing is kept, as this is no agent but a look.
    pub state: Option<PathBuf>,
    /// The folder for what has to outlive the process only, and may be written often. It is memory, if there is such.
    pub run: Option<PathBuf>,
    /// What of lines nobody may see, and which numbers in them are series.
    pub logs: LogsKeys,
    /// Where runs of jobs are handed in.
    pub jobs: Inbox,
    /// How many false alarms are allowed.
    pub budget: Budget,
}

impl Place {
    /// A machine to look at; nothing is kept.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), ..Self::default() }
    }
}

/// Something that happened, as a source tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// OpenTelemetry severity number.
    pub severity: u8,
    /// What.
    pub fact: Fact,
}

/// Why a source could not be read: what, where, the offending text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}", path = path.display())]
pub struct SourceError {
    /// The file or device.
    pub path: PathBuf,
    /// What went wrong.
    pub what: String,
    /// The same for the machine.
    pub why: NoData,
}

/// A place for one series in [`Readings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(u32);

/// The readings of one source at one tick. Kept and reused: a steady source allocates nothing.
#[derive(Debug, Default)]
pub struct Readings {
    keys: Vec<SeriesKey>,
    /// How often each is read, in milliseconds; 0: as often as its source.
    every: Vec<u32>,
    /// None: it rests.
    values: Vec<Option<Reading>>,
    /// What was said of limits since they were last asked for.
    limits: Vec<(Slot, Option<Limit>)>,
    /// What happened since it was last asked for.
    told: Vec<Told>,
    /// What need not be told, but belongs beside the readings of this time.
    shown: Vec<Fact>,
    /// The service graph, if it is another than at the last time.
    edges: Option<Vec<Edge>>,
}

impl Readings {
    /// Forgets the values, keeps the series: what is not set before the tick ends is absent.
    pub fn begin(&mut self) {
        self.values.fill(Some(Err(NoData::Absent)));
    }

    /// The place of a series, made at its first mention. Sources keep it rather than ask every tick.
    pub fn slot(&mut self, code: u16, values: &[&str]) -> Slot {
        self.slot_of(SeriesKey::new(code, values))
    }

    /// The place of a series by its key.
    pub fn slot_of(&mut self, key: SeriesKey) -> Slot {
        self.slot_every(key, 0)
    }

    /// The place of a series that is read more seldom than its source, so often: between two readings it rests.
    pub fn slot_every(&mut self, key: SeriesKey, every_ms: u32) -> Slot {
        let at = self.keys.iter().position(|k| *k == key).unwrap_or_else(|| {
            self.keys.push(key);
            self.every.push(every_ms);
            self.values.push(Some(Err(NoData::Absent)));
            self.keys.len() - 1
        });
        Slot(u32::try_from(at).unwrap_or(u32::MAX))
    }

    /// A value, as it stands (a counter is still a counter).
    pub fn set(&mut self, slot: Slot, value: f64) {
        if let Some(v) = self.values.get_mut(slot.0 as usize) {
            *v = Some(Ok(value));
        }
    }

    /// A value, or why there is none.
    pub fn put(&mut self, slot: Slot, reading: Reading) {
        if let Some(v) = self.values.get_mut(slot.0 as usize) {
            *v = Some(reading);
        }
    }

    /// No value, and why.
    pub fn fail(&mut self, slot: Slot, why: NoData) {
        if let Some(v) = self.values.get_mut(slot.0 as usize) {
            *v = Some(Err(why));
        }
    }

    /// Nothing new, which says nothing: it is as if the series were not due at this tick.
    pub fn rest(&mut self, slot: Slot) {
        if let Some(v) = self.values.get_mut(slot.0 as usize) {
            *v = None;
        }
    }

    /// What the series must not reach, as its source knows it; none from now on, if so. What the metric table says need
    /// not be repeated here.
    pub fn limit(&mut self, slot: Slot, limit: Option<Limit>) {
        self.limits.push((slot, limit));
    }

    /// What was said of limits since the last time, by the places of the series.
    pub fn limits(&mut self) -> impl Iterator<Item = (usize, Option<Limit>)> {
        self.limits.drain(..).map(|(slot, limit)| (slot.0 as usize, limit))
    }

    /// Something happened. Told in order; what nobody asked for yet waits.
    pub fn tell(&mut self, severity: u8, fact: Fact) {
        self.told.push(Told { severity, fact });
    }

    /// What happened since the last time.
    pub fn told(&mut self) -> std::vec::Drain<'_, Told> {
        self.told.drain(..)
    }

    /// Something that is no news, but may tell people what went on if it turns out that something did: it goes into the
    /// capsule of an episode, and nowhere else. Masked, as everything.
    pub fn show(&mut self, fact: Fact) {
        self.shown.push(fact);
    }

    /// What was shown since the last time.
    pub fn shown(&mut self) -> std::vec::Drain<'_, Fact> {
        self.shown.drain(..)
    }

    /// All of it has the same reason for having no value.
    pub fn fail_all(&mut self, why: NoData) {
        self.values.fill(Some(Err(why)));
    }

    /// The service graph is this from now on.
    pub fn set_edges(&mut self, edges: Vec<Edge>) {
        self.edges = Some(edges);
    }

    /// The service graph, if it is another than at the last time.
    pub fn take_edges(&mut self) -> Option<Vec<Edge>> {
        self.edges.take()
    }

    /// Every series with its reading, in the order of their first mention. The order never changes; it only grows. What
    /// rests has none.
    pub fn iter(&self) -> impl Iterator<Item = (&SeriesKey, Reading)> {
        self.keys.iter().zip(self.values.iter().map(|reading| reading.unwrap_or(Err(NoData::Absent))))
    }

    /// Every series with how often it is read, in the same order; 0: as often as its source.
    pub fn keys(&self) -> impl Iterator<Item = (&SeriesKey, u32)> {
        self.keys.iter().zip(self.every.iter().copied())
    }

    /// Every reading, in the same order; none of what rests.
    pub fn due(&self) -> impl Iterator<Item = Option<Reading>> {
        self.values.iter().copied()
    }

    /// How many series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no series was ever mentioned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

macro_rules! sources {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*
        /// Every source, in the order in which they are sampled.
        pub static KINDS: &[Kind] = &[$($name::KIND),*];
    };
}

sources![
    host,
    filesystem,
    process,
    hwmon,
    thermal,
    power_supply,
    flash,
    certificate,
    file,
    syslog,
    otlp,
    log,
    journal,
    package,
    watch,
    change,
    job,
    webhook
];

#[cfg(test)]
pub(crate) use process::parse as parse_stat;
pub(crate) use process::{Scanner, Stat};
pub(crate) use text::label;
pub(crate) use text::matches_any;

pub mod machine;
mod places;
pub(crate) mod text;

#[cfg(test)]
mod tests;

/// A path of the configuration, under another root.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The configuration of the source `name`, from its own keys.
fn config<T: serde::de::DeserializeOwned>(name: &str, table: toml::Table) -> anyhow::Result<T> {
    serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|e| {
        let key = e.path().to_string();
        let e = e.into_inner();
        let what = e.message();
        if what.starts_with("unknown field") || key == "." {
            anyhow::anyhow!("in [source.{name}]: {what}")
        } else {
            anyhow::anyhow!("in [source.{name}]: `{key}`: {what}")
        }
    })
}
