//! From a group of signals to what an incident says of it.

use std::collections::BTreeSet;

use super::diagnosis;
use super::incident::{Cause, Impact, Incident, Member, Siblings, State};
use super::life::{self, MEMBERS};
use crate::correlate::{Depends, Group, Link};
use crate::priority::{Priority, Stakes, priority};
use crate::signal::{Key, Role, Signal, fnv};
use crate::topology::{Topology, USUAL_IMPORTANCE};

/// Beyond so many that do the same it is a crowd.
const ALIKE: usize = 1000;
/// What siblings do within this of each other is the same.
const LIKEWISE_MS: u64 = 10 * 60_000;
/// Patterns, sites and entities that are named.
const NAMED: usize = 16;

/// The incident that a group is now. `before` is what it was, and `since_ms` from when on all signals are known: what it
/// said of earlier times stands. With it, when it may be over.
pub(super) fn incident(
    signals: &[Signal],
    group: &Group,
    before: Option<&Incident>,
    since_ms: u64,
    topology: &Topology,
    now: u64,
) -> (Incident, Option<u64>) {
    let members = members(signals, group, before, since_ms);
    let symptoms: Vec<&Member> = members.iter().filter(|m| m.role == Role::Symptom).collect();
    let first = symptoms.first().map(|m| &m.key);
    let (ended, severity) = (life::ended(&members), symptoms.iter().map(|m| m.severity).max().unwrap_or(0));
    let onset_ms = symptoms.first().map_or(now, |m| m.onset_ms);
    let (state, closed_ms, due) = match life::over(ended, now) {
        Ok(end) => (State::Closed, Some(end), None),
        Err(due) => (State::Open, None, due),
    };
    let mut sites: Vec<String> = Vec::new();
    for m in symptoms.iter().take(MEMBERS) {
        if !sites.contains(&m.key.site) && sites.len() < NAMED {
            sites.push(m.key.site.clone());
        }
    }
    let devices: BTreeSet<String> =
        symptoms.iter().map(|m| format!("{}/{}", m.key.site, m.key.node)).collect();
    let entities: BTreeSet<&str> = symptoms.iter().map(|m| m.entity.as_str()).collect();
    let old = before.filter(|b| b.onset_ms < since_ms);
    // What was found out when all of it was known is not found out again from the rest.
    let found = match old.filter(|b| !b.causes.is_empty()) {
        Some(b) => Found::kept(b),
        None => Found::out(signals, group, &symptoms, (&devices, &entities), topology, now),
    };
    let confidence = group.symptoms.iter().map(|&i| signals[i].confidence).max().unwrap_or(0);
    let incident = Incident {
        id: before.map_or_else(|| first.map(id).unwrap_or_default(), |b| b.id.clone()),
        revision: before.map_or(1, |b| b.revision),
        state,
        sites,
        title: found.title,
        priority: found.priority.level,
        priority_why: found.priority.why,
        severity,
        confidence,
        onset_ms,
        opened_ms: before.map_or(now, |b| b.opened_ms),
        updated_ms: now,
        closed_ms,
        reopened: before.map_or(0, |b| b.reopened),
        merged_into: None,
        split_from: before.and_then(|b| b.split_from.clone()),
        causes: found.causes,
        impact: found.impact,
        count: members.len(),
        links: found.links,
        patterns: patterns(signals, group, old),
        members: shown(members),
    };
    (incident, due)
}

/// What an incident says of its cause, and what follows from it.
struct Found {
    title: String,
    priority: Priority,
    causes: Vec<Cause>,
    impact: Impact,
    links: Vec<Link>,
}

impl Found {
    fn kept(before: &Incident) -> Self {
        let b = before.clone();
        let priority = Priority { level: b.priority, why: b.priority_why };
        Self { title: b.title, priority, causes: b.causes, impact: b.impact, links: b.links }
    }

    fn out(
        signals: &[Signal],
        group: &Group,
        symptoms: &[&Member],
        (devices, entities): (&BTreeSet<String>, &BTreeSet<&str>),
        topology: &Topology,
        now: u64,
    ) -> Self {
        let causes = diagnosis::causes(signals, group, topology);
        let at_fault = causes.first().map(|c| c.entity.as_str());
        // Of a cause that is doubtful, what is seen to suffer counts.
        let concerned = || at_fault.into_iter().chain(entities.iter().copied());
        let dependents = concerned().map(|entity| Depends::dependents(topology, entity)).max().unwrap_or(0);
        let due = group.symptoms.iter().filter_map(|&i| signals[i].due_ms).min();
        let priority = priority(&Stakes {
            severity: symptoms.iter().map(|m| m.severity).max().unwrap_or(0),
            importance: concerned()
                .map(|entity| topology.importance(entity))
                .max()
                .unwrap_or(USUAL_IMPORTANCE),
            dependents,
            suffer: devices.len(),
            confidence: group.symptoms.iter().map(|&i| signals[i].confidence).max().unwrap_or(0),
            left_ms: due.map(|due| due.saturating_sub(now)),
        });
        let impact = Impact {
            devices: devices.len(),
            entities: entities.iter().take(NAMED).map(|e| (*e).to_owned()).collect(),
            dependents,
            siblings: siblings(signals, group, at_fault, topology),
        };
        let title = title(symptoms, at_fault, devices.len());
        Self { title, priority, causes, impact, links: group.links.clone() }
    }
}

/// How many of the kind of what is at fault there are, and how many do what it does.
fn siblings(
    signals: &[Signal],
    group: &Group,
    at_fault: Option<&str>,
    topology: &Topology,
) -> Option<Siblings> {
    let at_fault = at_fault?;
    let first = group.symptoms.iter().map(|&i| &signals[i]).find(|s| s.entity == at_fault)?;
    let of = topology.siblings(first.device()).count();
    let is_same = |s: &&Signal| {
        s.role == Role::Symptom
            && s.pattern == first.pattern
            && s.onset_ms.abs_diff(first.onset_ms) <= LIKEWISE_MS
    };
    let alike: BTreeSet<&str> = signals.iter().filter(is_same).map(Signal::device).take(ALIKE).collect();
    let same = alike.iter().filter(|device| topology.are_siblings(first.device(), device)).count();
    (of > 0).then_some(Siblings { of, same })
}

/// What its symptoms look like, that of the first one first: by it an incident is known again. `before` began before all is
/// known.
fn patterns(signals: &[Signal], group: &Group, before: Option<&Incident>) -> Vec<String> {
    let mut symptoms: Vec<&Signal> = group.symptoms.iter().map(|i| &signals[*i]).collect();
    symptoms.sort_by(|a, b| (a.onset_ms, &a.key).cmp(&(b.onset_ms, &b.key)));
    let known = before.into_iter().flat_map(|b| &b.patterns);
    let mut patterns: Vec<String> = Vec::new();
    for pattern in known.chain(symptoms.into_iter().map(|s| &s.pattern)) {
        if patterns.len() < NAMED && !patterns.contains(pattern) {
            patterns.push(pattern.clone());
        }
    }
    patterns
}

/// What is at fault, what it says or what others say of it, and how many suffer.
fn title(symptoms: &[&Member], at_fault: Option<&str>, devices: usize) -> String {
    let gravest = |of: &dyn Fn(&Member) -> bool| {
        symptoms.iter().filter(|m| of(m)).max_by_key(|m| (m.severity, std::cmp::Reverse(m.onset_ms)))
    };
    let own = at_fault.and_then(|entity| gravest(&|m| m.entity == entity));
    let Some(told) = own.or_else(|| gravest(&|_| true)) else { return String::new() };
    let text = told.text.split("; ").next().unwrap_or(&told.text).trim_end_matches('.');
    let begin = match at_fault {
        Some(entity) if own.is_none() => format!("{entity}, as {} tells: {text}", told.entity),
        _ => format!("{}: {text}", told.entity),
    };
    match devices {
        0 | 1 => begin,
        n => format!("{begin}; {n} devices suffer"),
    }
}

fn members(signals: &[Signal], group: &Group, before: Option<&Incident>, since_ms: u64) -> Vec<Member> {
    let ours = group.symptoms.iter().chain(&group.hints).chain(&group.changes);
    let mut all: Vec<Member> = ours.map(|&i| member(&signals[i])).collect();
    let known: BTreeSet<Key> = all.iter().map(|m| m.key.clone()).collect();
    let is_past = |m: &&Member| !known.contains(&m.key) && m.end_ms.is_some_and(|end| end < since_ms);
    all.extend(before.into_iter().flat_map(|b| &b.members).filter(is_past).cloned());
    all.sort_by(|a, b| (a.onset_ms, &a.key).cmp(&(b.onset_ms, &b.key)));
    all
}

/// The first symptoms, by which it is known again, and the first of what stands beside them.
fn shown(all: Vec<Member>) -> Vec<Member> {
    if all.len() <= MEMBERS {
        return all;
    }
    let (symptoms, beside): (Vec<Member>, Vec<Member>) =
        all.into_iter().partition(|m| m.role == Role::Symptom);
    let room = beside.len().min(MEMBERS / 4);
    let mut shown: Vec<Member> =
        symptoms.into_iter().take(MEMBERS - room).chain(beside.into_iter().take(room)).collect();
    shown.sort_by(|a, b| (a.onset_ms, &a.key).cmp(&(b.onset_ms, &b.key)));
    shown
}

fn member(signal: &Signal) -> Member {
    Member {
        key: signal.key.clone(),
        role: signal.role,
        entity: signal.entity.clone(),
        onset_ms: signal.onset_ms,
        end_ms: signal.end_ms,
        severity: signal.severity,
        text: signal.text.clone(),
    }
}

/// The name of the incident that begins with this symptom: the site, and 48 bits of what it is.
pub(super) fn id(first: &Key) -> String {
    format!("{}-{:012x}", first.site, fnv(&first.to_string()) & 0xffff_ffff_ffff)
}
