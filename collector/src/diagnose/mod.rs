//! What caused it: a case in, ranked causes with their reasons out.
//!
//! `folder | signals → Case → rank → causes`. A case holds who is suspected, with evidence whose strength is comparable
//! whatever was measured, and who depends on whom. Ranking is pure and total: it takes cyclic graphs, missing edges and
//! numbers that are none, and the order in which things are listed leaves no trace. The theory and its sources are told
//! in `collector/DIAGNOSIS.md`.

mod command;
mod deviation;
mod folder;
mod graph;
mod kind;
mod logs;
mod measure;
mod rank;
#[cfg(test)]
mod tests;
mod tuning;

use serde::Serialize;

pub use command::{diagnose, print};
pub use deviation::strength;
pub use folder::{Alarm, BadFolder, Recording, Table, read};
pub use kind::Kind;
pub use logs::{Count, Logs};
pub use measure::measure;
pub use rank::{rank, rank_with};
pub use tuning::Tuning;

/// A failure to explain.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Case {
    /// Everybody who is observed, also those with nothing against them: a dependency that is observed and quiet breaks
    /// the path along which a fault spreads, one that nobody observes does not.
    pub suspects: Vec<Suspect>,
    /// Who depends on whom: (dependent, what it depends on).
    pub edges: Vec<(String, String)>,
    /// What people were told of first, if anything.
    pub alert: Option<Alert>,
    /// When the failure began, in milliseconds since 1970. Changes are suspected if they came shortly before.
    pub onset_ms: Option<u64>,
}

/// Somebody who may be the cause.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Suspect {
    /// Its name, the same as in the edges.
    pub entity: String,
    /// What speaks against it. Of several pieces of one kind the strongest counts.
    pub evidence: Vec<Evidence>,
}

/// One thing that is unusual about somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// What it tells of.
    pub kind: Kind,
    /// The series, the log or the change.
    pub metric: String,
    /// How unusual it is, in nats: the logarithm of the odds against chance, as of [`strength`]. 3 is remarkable,
    /// 10 beyond doubt. What is negative or no number counts as 0.
    pub strength: f64,
    /// When it began, in milliseconds since 1970.
    pub onset_ms: Option<u64>,
    /// In words, without a full stop.
    pub text: String,
}

/// What people were told of first.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Who.
    pub entity: String,
    /// What, if known: evidence of this kind counts in full, other symptoms less.
    pub kind: Option<Kind>,
}

/// A possible cause.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cause {
    /// 1 for the likeliest.
    pub rank: usize,
    /// Who.
    pub entity: String,
    /// The metric that says most, empty if nothing was seen of it itself.
    pub metric: String,
    /// 0..1: its share of the belief if exactly one of all is the cause.
    pub score: f64,
    /// The reasons in one sentence.
    pub why: String,
    /// What was added up, the weightiest first.
    pub reasons: Vec<Reason>,
}

/// Why somebody stands where it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reason {
    /// What kind of argument.
    pub kind: Argument,
    /// What it adds to the belief, in nats; negative if it speaks for innocence.
    pub weight: f64,
    /// In words, without a full stop.
    pub text: String,
}

/// Kinds of arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Argument {
    /// Something about it is unusual.
    Evidence(Kind),
    /// What depends on it is affected as well.
    Covers,
    /// What it depends on is affected as well.
    Explained,
    /// It began before the others.
    First,
    /// Whoever raised the alert does not depend on it.
    Apart,
}
