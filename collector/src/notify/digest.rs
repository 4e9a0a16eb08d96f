//! The digest: once a day, in one message of each outlet, what people were not told of at once, the worthiest first.
//!
//! In it stands what a policy wants there, what the budget held back, and what was over before it could be told. What was
//! silenced, explained by another incident or held by somebody's policy does not: somebody wants it so. A day on which
//! there is nothing to say has no digest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use fieldmouse_core::calendar::{offset_ms, time_of_day};
use serde::{Deserialize, Serialize};

use super::calendar::minute;
use super::outlets::{Event, Notice, State};
use super::policy::{self, Marks};
use super::{By, Decision, IncidentView, Outcome, Rules};

const DAY_MS: i64 = 86_400_000;
/// What stands so for longer is no news to anybody.
pub(super) const LOOKS_BACK_MS: u64 = 7 * 86_400_000;
/// Nobody reads more rows.
const ROWS: usize = 100;

/// When the digest is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Daily {
    /// Time of day, in milliseconds.
    at: i64,
    /// What is to be added to UTC.
    offset: i64,
}

impl Daily {
    /// Of a time of day and an offset as they are written: `08:00`, `+01:00`. Of `never`, none.
    ///
    /// # Errors
    /// The key, and what is wrong with it.
    pub(super) fn of(at: &str, offset: &str) -> Result<Option<Self>, (&'static str, String)> {
        let wrong = |key, text: &str, fix| (key, format!("\"{text}\" is {fix}"));
        let offset =
            offset_ms(offset).ok_or_else(|| wrong("offset", offset, "no offset from UTC; write +01:00"))?;
        if at == "never" {
            return Ok(None);
        }
        let at = time_of_day(at)
            .filter(|ms| *ms < DAY_MS)
            .ok_or_else(|| wrong("digest", at, "no time of day: 08:00, or never"))?;
        Ok(Some(Self { at, offset }))
    }

    /// When it was due last, in milliseconds since 1970.
    #[must_use]
    pub fn due_ms(&self, now: u64) -> u64 {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let since = now.saturating_add(self.offset).saturating_sub(self.at);
        let due = since.div_euclid(DAY_MS) * DAY_MS + self.at - self.offset;
        u64::try_from(due).unwrap_or(0)
    }

    /// The day on which it is due then: `2026-11-23`.
    fn day(&self, due_ms: u64) -> String {
        let mut date = minute(due_ms.saturating_add_signed(self.offset));
        date.truncate(10);
        date
    }
}

/// What may stand in a digest: an incident, how it stands, and how often it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) incident: &'a IncidentView,
    pub(super) decision: &'a Decision,
    pub(super) spells: usize,
}

/// A digest, as it is kept and sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Digest {
    /// `2026-11-23`
    pub day: String,
    /// When it was due.
    pub due_ms: u64,
    /// The worthiest first.
    pub rows: Vec<Row>,
    /// Incidents that are worth less than any of these, and are not told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rest: Vec<String>,
}

/// What is the same at the same place, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// All of them, the worthiest first, which the rest of the row is about.
    pub incidents: Vec<String>,
    /// What it is, in words.
    pub title: String,
    /// Why, in words; empty if nobody knows.
    pub cause: String,
    /// 1 to 5.
    pub priority: u8,
    /// 0 to 1.
    pub worth: f32,
    /// When it began this time.
    pub opened_ms: u64,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_ms: Option<u64>,
    /// Which time this was.
    pub spell: usize,
    /// Why people were not told at once.
    pub why: Vec<String>,
}

impl Entry<'_> {
    /// Whether it belongs into a digest that is due then. `listed`: in which digest it stood last.
    pub(super) fn is_due(&self, due_ms: u64, listed: Option<u64>) -> bool {
        let Self { incident, decision, .. } = self;
        let is_meant = decision.outcome == Outcome::Digest || decision.by == By::Budget;
        let is_recent = decision.at_ms <= due_ms && decision.at_ms.saturating_add(LOOKS_BACK_MS) > due_ms;
        // What came back since is news.
        let is_known = |at: u64| at >= incident.opened_ms;
        let is_told = decision.standing().is_some() || decision.told.iter().any(|t| is_known(t.at_ms));
        is_meant && is_recent && !is_told && incident.merged_into.is_none() && !listed.is_some_and(is_known)
    }

    fn outlets(&self, rules: &Rules) -> Vec<String> {
        let Decision { is_seasonal, is_flapping, in_maintenance, at_ms, .. } = *self.decision;
        let marks = Marks { is_seasonal, is_flapping, in_maintenance };
        let policy = policy::first(&rules.policies, self.incident, marks, at_ms);
        policy.map_or_else(Vec::new, |p| rules.outlets_of(&p.outlets))
    }

    fn row(&self) -> Row {
        let Self { incident, decision, spells } = *self;
        Row {
            incidents: vec![incident.id.clone()],
            title: incident.title.clone(),
            cause: incident.causes.first().map(|c| c.why.clone()).unwrap_or_default(),
            priority: incident.priority,
            worth: decision.worth,
            opened_ms: incident.opened_ms,
            closed_ms: incident.closed_ms,
            spell: spells,
            why: decision.why.clone(),
        }
    }
}

impl Digest {
    /// What an outlet says that day; none if there is nothing to say. `listed`: in which of its digests an incident stood
    /// last.
    pub(super) fn of(
        outlet: &str,
        entries: &[Entry<'_>],
        listed: &BTreeMap<String, u64>,
        rules: &Rules,
        due_ms: u64,
    ) -> Option<Self> {
        let daily = rules.digest?;
        let is_due = |e: &&Entry<'_>| e.is_due(due_ms, listed.get(&e.incident.id).copied());
        let is_ours = |e: &&Entry<'_>| e.outlets(rules).iter().any(|name| name == outlet);
        let mut due: Vec<&Entry<'_>> = entries.iter().filter(is_due).filter(is_ours).collect();
        due.sort_by(|a, b| {
            let order = b.decision.worth.total_cmp(&a.decision.worth);
            let age = |e: &Entry<'_>| (e.incident.opened_ms, e.incident.id.clone());
            order.then_with(|| age(a).cmp(&age(b)))
        });
        let (mut rows, mut rest): (Vec<Row>, Vec<String>) = (Vec::new(), Vec::new());
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for entry in due {
            match places.get(&entry.incident.same()) {
                Some(&at) => rows[at].incidents.push(entry.incident.id.clone()),
                None if rows.len() < ROWS => {
                    places.insert(entry.incident.same(), rows.len());
                    rows.push(entry.row());
                }
                None => rest.push(entry.incident.id.clone()),
            }
        }
        (!rows.is_empty()).then(|| Self { day: daily.day(due_ms), due_ms, rows, rest })
    }

    /// All that it is about, named or counted.
    pub(super) fn incidents(&self) -> impl Iterator<Item = &String> {
        self.rows.iter().flat_map(|row| &row.incidents).chain(&self.rest)
    }

    /// In one sentence.
    #[must_use]
    pub fn title(&self) -> String {
        let all: BTreeSet<&String> = self.incidents().collect();
        format!("digest of {}: {} not told at once", self.day, plural(all.len(), "incident"))
    }

    /// As one outlet tells it. Of a day there is one, whoever makes it.
    pub(super) fn notice(&self, outlet: &str, site: &str, now: u64) -> Notice {
        Notice {
            outlet: outlet.to_owned(),
            incident: format!("digest-{}", self.day),
            statement: String::new(),
            revision: 1,
            site: site.to_owned(),
            event: Event::Digest,
            made_ms: now,
            labels: [("alertname", "digest"), ("digest", &self.day), ("severity", "info")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            replaces: None,
            title: self.title(),
            cause: self.to_string(),
            why: Vec::new(),
            runbook: None,
            opened_ms: self.due_ms,
            closed_ms: None,
            document: serde_json::to_value(self).unwrap_or_default(),
            state: State::Waiting,
            tries: 0,
            next_ms: now,
            said: String::new(),
        }
    }
}

/// A line for each row, and one for what is left out.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            write!(f, "P{} {}", row.priority, row.title)?;
            if !row.cause.is_empty() {
                write!(f, " ({})", row.cause)?;
            }
            write!(f, "; from {} UTC", minute(row.opened_ms))?;
            match row.closed_ms {
                Some(at) => write!(f, " to {}", minute(at))?,
                None => write!(f, ", and goes on")?,
            }
            if row.spell > 1 {
                write!(f, ", time {}", row.spell)?;
            }
            if row.incidents.len() > 1 {
                write!(f, ", {} like it", row.incidents.len() - 1)?;
            }
            writeln!(f, "; {}", row.why.last().map_or("", String::as_str))?;
        }
        if !self.rest.is_empty() {
            writeln!(f, "and {} worth less, which the page shows", plural(self.rest.len(), "incident"))?;
        }
        Ok(())
    }
}

fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
