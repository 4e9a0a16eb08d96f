//! Incidents as they were, held against the groups that there are now; and what of the difference is written.

use std::collections::{BTreeSet, HashSet};

use super::draft::Horizon;
use super::incident::{Incident, Life, State, Step};
use super::{HOLD_MS, Looked, draft, life};
use crate::correlate::Group;
use crate::signal::{Role, Signal};
use crate::store::{Change, Class, Record};
use crate::topology::Topology;

/// What is written that an incident is as it is now, and how much that is.
pub(super) fn write(before: Option<&Incident>, after: &Incident, to: &mut Vec<Change>, done: &mut Looked) {
    let mut after = after.clone();
    let step = life::step(before, &after);
    if let Some(before) = before {
        after.revision = before.revision + u32::from(step.is_some());
        let same = Incident { updated_ms: before.updated_ms, ..after.clone() };
        if &same == before {
            return;
        }
        after.reopened += u32::from(matches!(step, Some((Step::Reopened, _))));
    }
    let site = after.sites.first().cloned().unwrap_or_default();
    done.incidents += 1;
    if let Some((step, text)) = step {
        done.steps += 1;
        let life: Life = life::life(&after, step, text);
        let key = format!("{}/{:06}", life.incident, life.revision);
        to.extend(record(Class::Life, key, &site, life.at_ms, false, &life).map(Change::Put));
    }
    let is_open = after.state == State::Open;
    to.extend(
        record(Class::Incident, after.id.clone(), &site, after.updated_ms, is_open, &after).map(Change::Put),
    );
}

pub(super) fn record<T: serde::Serialize>(
    class: Class,
    key: String,
    site: &str,
    at_ms: u64,
    is_open: bool,
    doc: &T,
) -> Option<Record> {
    let doc = serde_json::to_string(doc).ok()?;
    Some(Record { class, key, site: site.to_owned(), at_ms, is_open, doc })
}

/// Of incidents that began before all is known: their symptoms belong together as they did.
pub(super) fn stuck(known: &[Incident], signals: &[Signal], since: u64) -> Vec<Vec<usize>> {
    let old: Vec<&Incident> =
        known.iter().filter(|k| k.onset_ms < since && k.state != State::Merged).collect();
    let symptoms = |k: &&Incident| -> Vec<usize> {
        k.members
            .iter()
            .filter(|m| m.role == Role::Symptom)
            .filter_map(|m| life::find(signals, &m.key))
            .collect()
    };
    old.iter().map(symptoms).collect()
}

/// What becomes of an incident.
pub(super) struct Outcome<'k> {
    pub(super) before: Option<&'k Incident>,
    pub(super) after: Incident,
    /// When it may be over.
    pub(super) due: Option<u64>,
}

/// Until when a group waits before it is an incident: what it is part of may be told a moment later.
fn hold(signals: &[Signal], group: &Group, now: u64) -> Option<u64> {
    let onset = signals[*group.symptoms.first()?].onset_ms;
    let until = onset.saturating_add(HOLD_MS);
    (onset <= now && now < until).then_some(until)
}

/// Every incident that is or was; and when the first of those that wait is to be looked at again.
pub(super) fn outcome<'k>(
    known: &'k [Incident],
    signals: &[Signal],
    groups: &[Group],
    topology: &Topology,
    horizon: Horizon,
    now: u64,
) -> (Vec<Outcome<'k>>, Option<u64>) {
    let mut held = None;
    let matched = life::matched(known, signals, groups);
    let names: HashSet<&str> = known.iter().map(|k| k.id.as_str()).collect();
    let mut all: Vec<Outcome<'_>> = Vec::new();
    let mut gone: BTreeSet<usize> =
        known.iter().enumerate().filter(|(_, k)| k.state == State::Open).map(|(k, _)| k).collect();
    for (at, group) in groups.iter().enumerate() {
        let before = matched.of[at].map(|k| &known[k]);
        if let (None, Some(until)) = (before, hold(signals, group, now)) {
            held = held.into_iter().chain([until]).min();
            continue;
        }
        let (mut after, due) = draft::incident(signals, group, before, horizon, topology, now);
        if before.is_none() {
            after.split_from = matched.from[at].map(|k| known[k].id.clone());
            if let (Some(&first), true) = (group.symptoms.first(), names.contains(after.id.as_str())) {
                after.id = draft::another_id(&signals[first].key, |name| names.contains(name));
            }
        }
        if let Some(k) = matched.of[at] {
            gone.remove(&k);
        }
        all.push(Outcome { before, after, due });
    }
    for &(k, into) in &matched.merged {
        gone.remove(&k);
        let merged_into = Some(known[into].id.clone());
        let after = Incident { state: State::Merged, merged_into, updated_ms: now, ..known[k].clone() };
        all.push(Outcome { before: Some(&known[k]), after, due: None });
    }
    // Nothing of it is left in the store: its device was forgotten, or its events were dated anew.
    for k in gone {
        let symptoms = known[k].members.iter().filter(|m| m.role == Role::Symptom);
        let end = life::ended(symptoms.map(|m| m.end_ms)).unwrap_or(now);
        let after =
            Incident { state: State::Closed, closed_ms: Some(end), updated_ms: now, ..known[k].clone() };
        all.push(Outcome { before: Some(&known[k]), after, due: None });
    }
    (all, held)
}
