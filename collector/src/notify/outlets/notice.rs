//! A notice: one thing that one outlet is to tell of one incident. Kept as a document until it is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::queue::State;
use crate::notify::{Decision, IncidentView, Told};
use crate::store::{Change, Class, Record};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// People are told of it.
    Told,
    /// It is more urgent than they were told.
    Raised,
    /// It is over.
    Over,
    /// What they were not told at once.
    Digest,
}

/// One thing to be told by one outlet: of an incident, or a digest in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The outlet.
    pub outlet: String,
    /// The incident.
    pub incident: String,
    /// Its revision. An incident's revision is told by an outlet once.
    pub revision: u64,
    /// The site it belongs to.
    pub site: String,
    /// What happened.
    pub event: Event,
    /// When it was decided, in milliseconds since 1970.
    pub made_ms: u64,
    /// By what the alert is known.
    pub labels: BTreeMap<String, String>,
    /// By what it was known before it was raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<BTreeMap<String, String>>,
    /// What it is, in words.
    pub title: String,
    /// Why, in words; empty if nobody knows.
    pub cause: String,
    /// Why it is told.
    pub why: Vec<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// When the incident began.
    pub opened_ms: u64,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_ms: Option<u64>,
    /// The incident, as it was then.
    pub document: Value,
    /// The same in one text, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub statement: String,
    /// How far it is.
    pub state: State,
    /// How often it was tried in vain.
    pub tries: u32,
    /// When it is tried next.
    pub next_ms: u64,
    /// What the last try came to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
}

impl Notice {
    /// The same however often it is sent: receivers drop what they know.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        format!("{}-{}-{}", self.incident, self.revision, self.outlet)
    }

    /// The key of its document; those of an outlet begin with its name.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}-{}", self.outlet, self.incident, self.revision)
    }

    /// As it is kept.
    #[must_use]
    pub fn record(&self, now: u64) -> Record {
        Record {
            class: Class::Notice,
            key: self.key(),
            site: self.site.clone(),
            at_ms: now,
            is_open: self.state.is_open(),
            doc: serde_json::to_string(self).unwrap_or_default(),
        }
    }
}

/// What is to be told now that `after` is decided where `before` stood: to be kept in one transaction with the decision.
/// `document` is the incident as the page shows it, and `statement` the same as a text. Whoever computes it again adds nothing.
#[must_use]
pub fn notices(
    before: Option<&Decision>,
    after: &Decision,
    incident: &IncidentView,
    (document, statement): (&Value, &str),
    now: u64,
) -> Vec<Change> {
    let earlier: &[Told] = before.map(|b| b.told.as_slice()).unwrap_or_default();
    let Some(told) = after.told.last() else { return Vec::new() };
    let was = earlier.get(after.told.len() - 1);
    let event = match was {
        None => Event::Told,
        Some(was) if was.over_ms.is_none() && told.over_ms.is_some() => Event::Over,
        Some(was) if was.priority != told.priority => Event::Raised,
        Some(_) => return Vec::new(),
    };
    let notice = |outlet: &String| Notice {
        outlet: outlet.clone(),
        incident: after.incident.clone(),
        revision: after.revision,
        site: incident.sites.first().cloned().unwrap_or_default(),
        event,
        made_ms: now,
        labels: told.labels.clone(),
        replaces: was.map(|was| was.labels.clone()).filter(|labels| *labels != told.labels),
        title: incident.title.clone(),
        cause: incident.causes.first().map(|c| c.why.clone()).unwrap_or_default(),
        why: after.why.clone(),
        runbook: after.runbook.clone(),
        opened_ms: incident.opened_ms,
        closed_ms: incident.closed_ms,
        document: document.clone(),
        statement: statement.to_owned(),
        state: State::Waiting,
        tries: 0,
        next_ms: now,
        said: String::new(),
    };
    told.outlets.iter().map(|outlet| Change::Add(notice(outlet).record(now))).collect()
}
