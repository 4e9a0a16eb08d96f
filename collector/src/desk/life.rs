//! What becomes of incidents: which group is which incident, and what is new about it. Pure: no clock, no store.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::draft;
use super::incident::{Incident, Life, Member, State, Step};
use crate::correlate::Group;
use crate::signal::{Key, Role, Signal};

/// So long nothing of an incident may go on before it is over: what comes back sooner was never gone.
pub(super) const SETTLE_MS: u64 = 5 * 60_000;
/// Symptoms by which an incident is known again, its first ones; hints and changes that are named.
pub(super) const MEMBERS: usize = 200;

/// Which incident each group is: an index of `known`, or none for a new one; and what became part of what.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Matched {
    /// Of each group: the incident it goes on.
    pub(super) of: Vec<Option<usize>>,
    /// Of each group without one: the incident it came out of.
    pub(super) from: Vec<Option<usize>>,
    /// Incidents whose symptoms are another's now, and whose.
    pub(super) merged: Vec<(usize, usize)>,
}

/// Where the signal is that this key is or was of: they are in the order of their keys.
pub(super) fn find(signals: &[Signal], key: &Key) -> Option<usize> {
    let told = (key.epoch, key.id);
    signals.binary_search_by(|signal| signal.key.cmp(key)).ok().or_else(|| {
        // What is older came after it.
        let of = |s: &Signal| (&s.key.site, &s.key.node, s.key.what).cmp(&(&key.site, &key.node, key.what));
        let first = signals.partition_point(|s| of(s).is_lt());
        let end = signals.partition_point(|s| of(s).is_le());
        (first..end).find(|&i| signals[i].later.contains(&told))
    })
}

/// The older incident goes on; of a split, the part with the symptom that gave it its name does.
pub(super) fn matched(known: &[Incident], signals: &[Signal], groups: &[Group]) -> Matched {
    let mut group_of: Vec<Option<usize>> = vec![None; signals.len()];
    for (at, group) in groups.iter().enumerate() {
        group.symptoms.iter().for_each(|&i| group_of[i] = Some(at));
    }
    let group_of = |key: &Key| find(signals, key).and_then(|i| group_of[i]);
    let mut found =
        Matched { of: vec![None; groups.len()], from: vec![None; groups.len()], merged: Vec::new() };
    let mut theirs: BTreeMap<usize, usize> = BTreeMap::new();
    // What was merged is asked last: it has a group of its own only if it came out again.
    let mut order: Vec<usize> = (0..known.len()).collect();
    order.sort_by_key(|&k| {
        (known[k].state == State::Merged, known[k].opened_ms, known[k].onset_ms, &known[k].id)
    });
    for k in order {
        let mut symptoms: Vec<&Member> =
            known[k].members.iter().filter(|m| m.role == Role::Symptom).collect();
        // The one that gave it its name goes first, so that no other part can be given the same.
        symptoms.sort_by_key(|m| draft::id(&m.key) != known[k].id);
        let mut claimed: Vec<usize> = symptoms.iter().filter_map(|m| group_of(&m.key)).collect();
        let mut seen = BTreeSet::new();
        claimed.retain(|at| seen.insert(*at));
        match claimed.iter().position(|&at| found.of[at].is_none()) {
            Some(first) => {
                let at = claimed[first];
                found.of[at] = Some(k);
                theirs.insert(k, at);
                for &other in claimed.iter().filter(|&&other| other != at) {
                    found.from[other] = found.from[other].or(Some(k));
                }
            }
            None => {
                let into = claimed.first().and_then(|&at| found.of[at]);
                if let Some(into) = into.filter(|_| known[k].state != State::Merged) {
                    found.merged.push((k, into));
                }
            }
        }
    }
    for (at, of) in found.of.iter().enumerate() {
        if of.is_some_and(|k| known[k].state != State::Merged) {
            found.from[at] = None;
        }
    }
    found
}

/// When the last of its symptoms ended; none while something goes on.
pub(super) fn ended(mut ends: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    ends.try_fold(0, |last, end| Some(last.max(end?)))
}

/// Whether it is over by then, and else when it may be.
pub(super) fn over(ended: Option<u64>, now: u64) -> Result<u64, Option<u64>> {
    match ended {
        Some(end) if end.saturating_add(SETTLE_MS) <= now => Ok(end),
        Some(end) => Err(Some(end.saturating_add(SETTLE_MS))),
        None => Err(None),
    }
}

/// What is to be told of the change from `before` to `after`, if it is worth a step: what people would want to know.
pub(super) fn step(before: Option<&Incident>, after: &Incident) -> Option<(Step, String)> {
    let Some(before) = before else {
        let step = if after.split_from.is_some() { Step::Split } else { Step::Opened };
        return Some((step, after.title.clone()));
    };
    match (before.state, after.state) {
        (_, State::Merged) if before.state != State::Merged => {
            return Some((
                Step::Merged,
                format!("it is part of {}", after.merged_into.as_deref().unwrap_or("another")),
            ));
        }
        (State::Open, State::Closed) => {
            let lasted = after.closed_ms.unwrap_or(after.updated_ms).saturating_sub(after.onset_ms);
            return Some((Step::Closed, format!("over after {}", span(lasted))));
        }
        (State::Closed, State::Open) => return Some((Step::Reopened, after.title.clone())),
        (State::Merged, State::Open | State::Closed) => return Some((Step::Split, after.title.clone())),
        _ => {}
    }
    let mut new: Vec<String> = Vec::new();
    if before.priority != after.priority {
        new.push(format!("priority {} was {}", after.priority, before.priority));
    }
    let (was, is) = (before.causes.first(), after.causes.first());
    if was.map(|c| &c.entity) != is.map(|c| &c.entity)
        && let Some(cause) = is
    {
        new.push(format!("likely cause now {}", cause.entity));
    }
    if after.impact.devices > before.impact.devices {
        new.push(format!("{} devices were {}", after.impact.devices, before.impact.devices));
    }
    if after.severity > before.severity {
        new.push("it is graver".to_owned());
    }
    (!new.is_empty()).then(|| (Step::Updated, new.join("; ")))
}

/// The document of a step.
pub(super) fn life(after: &Incident, step: Step, text: String) -> Life {
    Life { incident: after.id.clone(), revision: after.revision, at_ms: after.updated_ms, step, text }
}

/// `2 h 5 min`
pub(crate) fn span(ms: u64) -> String {
    let minutes = ms / 60_000;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("{} s", ms / 1000),
        (0, 0, m) => format!("{m} min"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, h, _) => format!("{d} d {h} h"),
    }
}
