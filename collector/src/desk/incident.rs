//! An incident: one problem of one cause, as far as it is known. It is kept as a document and shown as it is.

use serde::{Deserialize, Serialize};

use crate::correlate::Link;
use crate::signal::{Key, Role};

/// How far an incident is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Something of it goes on.
    Open,
    /// It is over.
    Closed,
    /// It turned out to be part of another.
    Merged,
}

/// One problem. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Stands for it for ever; made of its first symptom, so that it is the same whoever computes it.
    pub id: String,
    /// Counts what was told of it: unique with `id`.
    pub revision: u32,
    /// How far it is.
    pub state: State,
    /// The sites concerned, the first symptom's first.
    pub sites: Vec<String>,
    /// One sentence: what, where, since when, why.
    pub title: String,
    /// 1 (highest) to 5.
    pub priority: u8,
    /// Why it has that priority.
    pub priority_why: Vec<String>,
    /// OpenTelemetry severity number: the gravest of its symptoms.
    pub severity: u8,
    /// 0..100.
    pub confidence: u8,
    /// The first onset.
    pub onset_ms: u64,
    /// When it was opened here.
    pub opened_ms: u64,
    /// When something about it changed last.
    pub updated_ms: u64,
    /// When it was over.
    pub closed_ms: Option<u64>,
    /// How often it came back.
    pub reopened: u32,
    /// The incident it became a part of.
    pub merged_into: Option<String>,
    /// The incident it was a part of.
    pub split_from: Option<String>,
    /// Likely causes, the likeliest first.
    pub causes: Vec<Cause>,
    /// Who suffers.
    pub impact: Impact,
    /// Symptoms, hints and changes, in the order of onset; the first of many.
    pub members: Vec<Member>,
    /// How many there are in all.
    pub count: usize,
    /// Why they belong together.
    pub links: Vec<Link>,
    /// What the same looks like on another day: patterns of its symptoms.
    pub patterns: Vec<String>,
}

/// A likely cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// What is at fault: `site/node`, a part of it, or a site.
    pub entity: String,
    /// 0..1; those of an incident add up to at most 1.
    pub score: f64,
    /// The series that shows it best, if one does.
    pub metric: Option<String>,
    /// In one sentence.
    pub why: String,
    /// Each reason with its weight.
    pub reasons: Vec<(String, f64)>,
}

/// Who suffers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Impact {
    /// Devices with symptoms.
    pub devices: usize,
    /// Parts and services with symptoms, the first of many.
    pub entities: Vec<String>,
    /// Devices and parts that depend on the likeliest cause.
    pub dependents: usize,
    /// Others of its kind: whether it is the odd one among them.
    #[serde(default)]
    pub siblings: Option<Siblings>,
}

/// Devices that are there for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Siblings {
    /// How many there are.
    pub of: usize,
    /// How many of them do the same at that time.
    pub same: usize,
}

/// A signal in an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Which.
    #[serde(flatten)]
    pub key: Key,
    /// What it is here.
    pub role: Role,
    /// What it is about.
    pub entity: String,
    /// When it began.
    pub onset_ms: u64,
    /// When it ended.
    pub end_ms: Option<u64>,
    /// OpenTelemetry severity number.
    pub severity: u8,
    /// In words.
    pub text: String,
}

/// A step of an incident's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// It was seen first.
    Opened,
    /// More of it was told, or its cause or priority changed.
    Updated,
    /// It is over.
    Closed,
    /// It came back.
    Reopened,
    /// It became part of another.
    Merged,
    /// It came out of another.
    Split,
}

/// What happened to an incident: a document of its own, `incident/revision`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Life {
    /// Of which incident.
    pub incident: String,
    /// Which revision began with it.
    pub revision: u32,
    /// When.
    pub at_ms: u64,
    /// What.
    pub step: Step,
    /// In words.
    pub text: String,
}
