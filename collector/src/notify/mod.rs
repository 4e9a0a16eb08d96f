//! What people are told of incidents, and what they are not: `silences → policies → budget → outlets`.
//!
//! [`decide`] is a pure function of the incidents, of what was decided before and of what people said. It may be called as
//! often as one likes: called twice it decides the same, and what it decided is kept beside the incident with its reasons.

mod budget;
mod calendar;
mod decide;
mod digest;
mod dry;
mod history;
mod inhibition;
mod maintenance;
mod matcher;
mod norm;
pub mod outlets;
mod policy;
mod recurrence;
mod rules;
#[cfg(test)]
mod sample;
mod silence;
mod statement;
mod teller;
mod verdict;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use budget::{Asked, Budget, Spending};
pub use calendar::Window;
pub use decide::{decide, spending};
pub use digest::{Daily, Digest, Row};
pub use dry::{Report, dry_run};
pub use history::{History, LOOKS_BACK_MS, Occurrence};
pub use inhibition::{Inhibition, InhibitionTable, Within};
pub use maintenance::{Maintenance, MaintenanceTable};
pub use matcher::{Matcher, Reach, Severity};
pub use policy::{Marks, Policy, PolicyTable};
pub use rules::{Notify, Rules, Tables};
pub use silence::Silence;
pub use statement::statement;
pub use teller::{Teller, last, run};
pub use verdict::{Verdict, Word, next_time};
pub use view::{Spells, spells};

/// What the rules look at in an incident. Times are milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IncidentView {
    /// Its name.
    pub id: String,
    /// Rises with every change.
    pub revision: u64,
    /// 1 (the most urgent) to 5.
    pub priority: u8,
    /// The worst of its signals, as OpenTelemetry numbers severities.
    pub severity: u8,
    /// How sure it is that something is wrong, 0 to 1.
    pub confidence: f32,
    /// Where it is.
    pub sites: Vec<String>,
    /// What it befell, the likeliest culprit first.
    pub entities: Vec<String>,
    /// How many devices suffer.
    pub devices: usize,
    /// Where it was seen first.
    pub founder: String,
    /// What depends on the first entity, directly or not.
    pub dependents: BTreeSet<String>,
    /// Labels of its devices, with every value that occurs.
    pub labels: BTreeMap<String, BTreeSet<String>>,
    /// Kinds of its signals, that of the founding one first.
    pub kinds: Vec<String>,
    /// What its signals look like on another day, that of the founding one first.
    pub patterns: Vec<String>,
    /// Why, the likeliest first.
    pub causes: Vec<Cause>,
    /// When it began this time.
    pub opened_ms: u64,
    /// When it was over, if it is.
    pub closed_ms: Option<u64>,
    /// The incident it became part of: that is over when this is.
    pub merged_into: Option<String>,
    /// What it is, in words.
    pub title: String,
}

/// A cause of an incident.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What is to blame.
    pub entity: String,
    /// What kind of cause: `change`, `fault` …
    pub kind: String,
    /// Why it is thought so.
    pub why: String,
}

impl IncidentView {
    /// Under which name it comes again: what was seen first, and where.
    #[must_use]
    pub fn same(&self) -> String {
        format!("{}@{}", self.pattern(), self.founder)
    }

    /// What it looks like on another day or device.
    #[must_use]
    pub fn pattern(&self) -> &str {
        self.patterns.first().map_or("", String::as_str)
    }

    /// Whether it is not over.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.closed_ms.is_none()
    }
}

/// How an incident stands with people. Kept beside it as a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Which incident.
    pub incident: String,
    /// At which of its revisions this was decided.
    pub revision: u64,
    /// Since when it stands so, in milliseconds since 1970.
    pub at_ms: u64,
    /// What stands.
    pub outcome: Outcome,
    /// What made it so.
    pub by: By,
    /// The reasons, one sentence each, the decisive one last.
    pub why: Vec<String>,
    /// What to do about it, if a policy names a runbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// How much it is worth a person, 0 to 1.
    pub worth: f32,
    /// When it was first found worth asking the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_ms: Option<u64>,
    /// It comes at this time of the day or week.
    #[serde(default)]
    pub is_seasonal: bool,
    /// It comes and goes.
    #[serde(default)]
    pub is_flapping: bool,
    /// Something is being done there.
    #[serde(default)]
    pub in_maintenance: bool,
    /// When who was told. Only the last can still be standing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Told>,
}

/// That people were told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When.
    pub at_ms: u64,
    /// How urgent it was said to be.
    pub priority: u8,
    /// By which outlets.
    pub outlets: Vec<String>,
    /// By what alerts of it are known.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// When they were told that it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_ms: Option<u64>,
}

/// What is done with an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// People are told at once.
    Page,
    /// It stands in the next digest.
    Digest,
    /// It is shown, and may be told later.
    Hold,
    /// It is shown, and not told.
    Suppress,
}

/// What made a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The first policy that matched.
    Policy,
    /// It has not lasted long enough.
    Wait,
    /// Somebody's silence.
    Silence,
    /// Another incident that explains it.
    Inhibition,
    /// It comes and goes, and was told.
    Flapping,
    /// The budget.
    Budget,
}

impl By {
    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Wait => "wait",
            Self::Silence => "silence",
            Self::Inhibition => "inhibition",
            Self::Flapping => "flapping",
            Self::Budget => "budget",
        }
    }
}

impl Outcome {
    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Digest => "digest",
            Self::Hold => "hold",
            Self::Suppress => "suppress",
        }
    }
}

impl Decision {
    /// What people were told and not yet that it is over.
    #[must_use]
    pub fn standing(&self) -> Option<&Told> {
        self.told.last().filter(|told| told.over_ms.is_none())
    }

    /// Whether it differs from `before` in anything but the wording of its reasons.
    #[must_use]
    pub fn is_news(&self, before: &Self) -> bool {
        let what = |d: &Self| (d.outcome, d.by, d.asked_ms, d.is_seasonal, d.is_flapping, d.in_maintenance);
        what(self) != what(before) || self.told != before.told || self.runbook != before.runbook
    }
}
