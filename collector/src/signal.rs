//! What correlation sees: one shape for episodes, facts, forecasts, troubles and lost devices.
//!
//! A signal is what a device told of one thing so far. It is made from the rows of the store, whole, each time: what came
//! in which order leaves no trace in it.

use std::collections::BTreeMap;
use std::fmt;

use fieldmouse_core::explain;
use fieldmouse_core::metric::Group;
use fieldmouse_core::quality::Verdict;
use fieldmouse_core::series::SeriesKey;
use fieldmouse_core::wire::state;
use serde::{Deserialize, Serialize};

use crate::store::{Closing, Episode, Expected, Fact, Presence, Told, Trouble};

/// Severity from which on a fact founds an incident: error.
const FOUNDS: u8 = 17;
/// Severity from which on a fact is more than a note: warning.
pub(crate) const HINTS: u8 = 13;
/// Severity of a device that is gone.
const LOST: u8 = 17;

/// What it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// An anomaly.
    Episode,
    /// Something that happened.
    Fact,
    /// A limit that will be reached.
    Forecast,
    /// A source or series that fails.
    Trouble,
    /// A device that is gone.
    Presence,
}

impl What {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Episode, Self::Fact, Self::Forecast, Self::Trouble, Self::Presence];

    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Episode => "episode",
            Self::Fact => "fact",
            Self::Forecast => "forecast",
            Self::Trouble => "trouble",
            Self::Presence => "presence",
        }
    }
}

/// Which signal: the same in every store and for every order of arrival.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Site.
    pub site: String,
    /// Node.
    pub node: String,
    /// What it was made of.
    pub what: What,
    /// Epoch.
    pub epoch: u64,
    /// The episode's number, else that of the event, or when the device went.
    pub id: u64,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::Episode => "episode",
            What::Fact => "fact",
            What::Forecast => "forecast",
            What::Trouble => "trouble",
            What::Presence => "presence",
        };
        write!(f, "{}/{}/{what}/{:x}/{:x}", self.site, self.node, self.epoch, self.id)
    }
}

/// What it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Founds an incident.
    Symptom,
    /// Joins one.
    Hint,
    /// Is suspected of one.
    Change,
}

/// A series that moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// Its name.
    pub series: String,
    /// Part of the device, in one word.
    pub group: String,
    /// Its share of the surprise, 0..1.
    pub share: f32,
}

/// What a device told of one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Which.
    pub key: Key,
    /// What it may do.
    pub role: Role,
    /// What it is about: `site/node`, or a part of it: `site/node#service=shop`.
    pub entity: String,
    /// What the same looks like on another day or device.
    pub pattern: String,
    /// When it began, in milliseconds since 1970.
    pub onset_ms: u64,
    /// When it ended; none while it lasts.
    pub end_ms: Option<u64>,
    /// OpenTelemetry severity number.
    pub severity: u8,
    /// 0..1, where 0.5 is the threshold of the device's false-alarm budget; 1 where it is no matter of degree.
    pub score: f32,
    /// 0..100.
    pub confidence: u8,
    /// In words.
    pub text: String,
    /// Series that moved, the most first.
    pub moved: Vec<Moved>,
    /// The process at work at onset.
    pub culprit: Option<String>,
    /// What the device held to have happened near the onset: kind, milliseconds before it, words.
    pub near: Vec<(String, i32, String)>,
    /// Of a forecast: when the limit will be reached.
    pub due_ms: Option<u64>,
    /// Of a trouble: epoch and number of what was told of it later. If its beginning came last, it was known by one of these.
    pub later: Vec<(u64, u64)>,
}

impl Signal {
    /// `site/node`
    #[must_use]
    pub fn device(&self) -> &str {
        self.entity.split('#').next().unwrap_or(&self.entity)
    }

    /// Whether it goes on at that time.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.end_ms.is_none()
    }
}

/// Kinds of facts that say what people or programs changed.
pub(crate) const CHANGES: [&str; 12] = [
    "package",
    "file-changed",
    "unit-changed",
    "kernel",
    "boot",
    "time-zone",
    "host",
    "image",
    "deployment",
    "release",
    "config",
    "job",
];

/// Whether facts of a kind say what people or programs changed.
#[must_use]
pub fn is_change(kind: &str) -> bool {
    CHANGES.contains(&kind)
}

/// All signals of what was told, in the order of their keys.
#[must_use]
pub fn signals(told: &Told) -> Vec<Signal> {
    let mut all: BTreeMap<Key, Signal> = BTreeMap::new();
    let mut put = |signal: Signal| drop(all.insert(signal.key.clone(), signal));
    told.episodes.iter().map(episode).for_each(&mut put);
    told.facts.iter().filter_map(fact).for_each(&mut put);
    told.forecasts.iter().map(forecast).for_each(&mut put);
    troubles(&told.troubles).into_iter().for_each(&mut put);
    lost(&told.presence).into_iter().for_each(&mut put);
    all.into_values().collect()
}

fn key(site: &str, node: &str, what: What, epoch: u64, id: u64) -> Key {
    Key { site: site.to_owned(), node: node.to_owned(), what, epoch, id }
}

/// What is beyond doubt, of the device itself, and goes on: to be filled in.
fn certain(key: Key, role: Role, severity: u8, onset_ms: u64) -> Signal {
    Signal {
        entity: format!("{}/{}", key.site, key.node),
        key,
        role,
        pattern: String::new(),
        onset_ms,
        end_ms: None,
        severity,
        score: 1.0,
        confidence: 100,
        text: String::new(),
        moved: Vec::new(),
        culprit: None,
        near: Vec::new(),
        due_ms: None,
        later: Vec::new(),
    }
}

/// Attributes that name a part of a device which others may depend on.
const PARTS: [(&str, &str); 4] = [
    ("service.name", "service"),
    ("container.name", "container"),
    ("systemd.unit", "unit"),
    ("cicd.pipeline.name", "job"),
];

/// The device, or the part of it that a series belongs to.
fn entity(site: &str, node: &str, series: Option<&SeriesKey>) -> String {
    let part = series.and_then(|key| {
        let values = key.label.split(';');
        let mut named = key.metric().attributes.iter().zip(values);
        named.find_map(|(name, value)| {
            let (_, word) = PARTS.iter().find(|(attribute, _)| attribute == name)?;
            (!value.is_empty()).then(|| format!("#{word}={value}"))
        })
    });
    format!("{site}/{node}{}", part.unwrap_or_default())
}

fn episode(e: &Episode) -> Signal {
    let body = e.body.as_ref();
    let contributors = body.map(|b| b.contributors.as_slice()).unwrap_or_default();
    let first = contributors.first().map(|c| &c.key);
    let group = Group::word(e.group);
    Signal {
        key: key(&e.site, &e.node, What::Episode, e.epoch, e.id),
        role: Role::Symptom,
        entity: entity(&e.site, &e.node, first),
        pattern: format!("{group} {}", first.map(|key| key.metric().name).unwrap_or_default()),
        onset_ms: e.onset_at,
        end_ms: (e.closing != Closing::Open).then_some(e.closed_at.unwrap_or(e.updated_at)),
        severity: e.severity,
        score: e.score,
        confidence: e.confidence,
        text: body.map(|b| explain::sentence(b).to_string()).unwrap_or_default(),
        moved: contributors
            .iter()
            .map(|c| Moved {
                series: c.key.to_string(),
                group: Group::word(c.key.metric().group as u8).to_owned(),
                share: f32::from(c.share) / 100.0,
            })
            .collect(),
        culprit: body.and_then(|b| b.culprit.as_ref()).map(|c| c.name.to_string()),
        near: body
            .map(|b| b.near.iter().map(|n| (n.kind.to_string(), n.before_ms, n.text.to_string())).collect())
            .unwrap_or_default(),
        due_ms: None,
        later: Vec::new(),
    }
}

/// None if it is a note that concerns nobody else.
fn fact(f: &Fact) -> Option<Signal> {
    let role = match f.severity {
        _ if is_change(&f.kind) && f.severity < FOUNDS => Role::Change,
        FOUNDS.. => Role::Symptom,
        HINTS.. => Role::Hint,
        _ => return None,
    };
    let at = f.at.saturating_sub(u64::from(f.since_ms));
    Some(Signal {
        pattern: if f.about.is_empty() { f.kind.clone() } else { format!("{} {}", f.kind, f.about) },
        end_ms: Some(f.at),
        text: f.text.clone(),
        ..certain(key(&f.site, &f.node, What::Fact, f.epoch, f.seq), role, f.severity, at)
    })
}

fn forecast(f: &Expected) -> Signal {
    let name = f.body.key.to_string();
    // Before the limit is near it is a matter of planning.
    let role = if f.severity >= HINTS { Role::Symptom } else { Role::Hint };
    let key = key(&f.site, &f.node, What::Forecast, f.epoch, fnv(&name));
    Signal {
        entity: entity(&f.site, &f.node, Some(&f.body.key)),
        pattern: format!("forecast {}", f.body.key.metric().name),
        text: explain::expected(&f.body).to_string(),
        moved: vec![Moved {
            series: name,
            group: Group::word(f.body.key.metric().group as u8).to_owned(),
            share: 1.0,
        }],
        due_ms: Some(f.at.saturating_add(u64::from(f.body.expected_s) * 1000)),
        ..certain(key, role, f.severity, f.first_at)
    }
}

/// One signal from each time that a source or series began to fail, to the time it worked again.
fn troubles(told: &[Trouble]) -> Vec<Signal> {
    let mut of: BTreeMap<(&str, &str, &str, &str), Vec<&Trouble>> = BTreeMap::new();
    for t in told {
        of.entry((&t.site, &t.node, &t.source, &t.series)).or_default().push(t);
    }
    let mut signals: Vec<Signal> = Vec::new();
    for ((site, node, source, series), mut all) in of {
        all.sort_by_key(|t| (t.at, t.epoch, t.seq));
        let mut open: Option<Signal> = None;
        for t in all {
            match &mut open {
                Some(signal) if t.verdict == 0 => {
                    signal.end_ms = Some(t.at);
                    signals.extend(open.take());
                }
                Some(signal) => {
                    signal.severity = signal.severity.max(t.severity);
                    signal.later.push((t.epoch, t.seq));
                }
                None if t.verdict == 0 => {}
                None => {
                    let verdict = Verdict::word(t.verdict);
                    let role = if t.severity >= HINTS { Role::Symptom } else { Role::Hint };
                    let key = key(site, node, What::Trouble, t.epoch, t.seq);
                    open = Some(Signal {
                        pattern: format!("{verdict} {source}{}", series.split('{').next().unwrap_or("")),
                        text: t.text.clone(),
                        ..certain(key, role, t.severity, t.at)
                    });
                }
            }
        }
        signals.extend(open);
    }
    signals
}

/// One signal from each time that a device was lost, to the time it was heard of again.
fn lost(told: &[Presence]) -> Vec<Signal> {
    let mut of: BTreeMap<(&str, &str), Vec<&Presence>> = BTreeMap::new();
    for p in told {
        of.entry((&p.site, &p.node)).or_default().push(p);
    }
    let mut signals: Vec<Signal> = Vec::new();
    for ((site, node), mut all) in of {
        all.sort_by_key(|p| p.at);
        let mut open: Option<Signal> = None;
        for p in all {
            if p.state != state::LOST {
                if let Some(mut signal) = open.take() {
                    signal.end_ms = Some(p.at);
                    signals.push(signal);
                }
            } else if open.is_none() {
                let key = key(site, node, What::Presence, p.epoch, p.at);
                open = Some(Signal {
                    pattern: "lost".to_owned(),
                    text: format!("{site}/{node} is not heard of"),
                    ..certain(key, Role::Symptom, LOST, p.at)
                });
            }
        }
        signals.extend(open);
    }
    signals
}

/// FNV-1a: a number that stands for a text on every machine. <http://www.isthe.com/chongo/tech/comp/fnv/>
#[must_use]
pub fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
