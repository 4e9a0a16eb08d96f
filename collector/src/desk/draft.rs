//! From a group of signals to what an incident says of it.

use std::collections::HashSet;

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

/// Since when all signals are known, and since when what began is known with all that was changed before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Horizon {
    pub(super) signals_ms: u64,
    pub(super) causes_ms: u64,
}

/// The incident that a group is now. `before` is what it was: what it said of times that are not all known any more stands.
/// With it, when it may be over.
pub(super) fn incident(
    signals: &[Signal],
    group: &Group,
    before: Option<&Incident>,
    known: Horizon,
    topology: &Topology,
    now: u64,
) -> (Incident, Option<u64>) {
    let members = members(signals, group, before, known.signals_ms);
    let symptoms: Vec<&Part<'_>> = members.iter().filter(|m| m.role == Role::Symptom).collect();
    let first = symptoms.first().map(|m| m.key);
    let ended = life::ended(symptoms.iter().map(|m| m.end_ms));
    let severity = symptoms.iter().map(|m| m.severity).max().unwrap_or(0);
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
    let devices: HashSet<(&str, &str)> =
        symptoms.iter().map(|m| (m.key.site.as_str(), m.key.node.as_str())).collect();
    let mut entities: Vec<&str> = symptoms.iter().map(|m| m.entity).collect();
    entities.sort_unstable();
    entities.dedup();
    // What was found out when all of it was known is not found out again from the rest.
    let found = match before.filter(|b| b.onset_ms < known.causes_ms && !b.causes.is_empty()) {
        Some(b) => Found::kept(b),
        None => Found::out(signals, group, &symptoms, (devices.len(), &entities), topology, now),
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
        patterns: patterns(signals, group, before.filter(|b| b.onset_ms < known.signals_ms)),
        members: shown(&members),
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
        symptoms: &[&Part<'_>],
        (devices, entities): (usize, &[&str]),
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
            suffer: devices,
            confidence: group.symptoms.iter().map(|&i| signals[i].confidence).max().unwrap_or(0),
            left_ms: due.map(|due| due.saturating_sub(now)),
        });
        let impact = Impact {
            devices,
            entities: entities.iter().take(NAMED).map(|e| (*e).to_owned()).collect(),
            dependents,
            siblings: siblings(signals, group, at_fault, topology),
        };
        let title = title(symptoms, at_fault, devices);
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
    let alike: HashSet<&str> = signals.iter().filter(is_same).map(Signal::device).take(ALIKE).collect();
    let same = alike.iter().filter(|device| topology.are_siblings(first.device(), device)).count();
    (of > 0).then_some(Siblings { of, same })
}

/// What its symptoms look like, that of the first one first: by it an incident is known again. `before` began before all is
/// known.
fn patterns(signals: &[Signal], group: &Group, before: Option<&Incident>) -> Vec<String> {
    let known = before.into_iter().flat_map(|b| &b.patterns);
    let mut patterns: Vec<String> = Vec::new();
    // They are in the order of onset.
    for pattern in known.chain(group.symptoms.iter().map(|&i| &signals[i].pattern)) {
        if patterns.len() < NAMED && !patterns.contains(pattern) {
            patterns.push(pattern.clone());
        }
    }
    patterns
}

/// What is at fault, what it says or what others say of it, and how many suffer.
fn title(symptoms: &[&Part<'_>], at_fault: Option<&str>, devices: usize) -> String {
    let gravest = |of: &dyn Fn(&Part<'_>) -> bool| {
        symptoms.iter().filter(|m| of(m)).max_by_key(|m| (m.severity, std::cmp::Reverse(m.onset_ms)))
    };
    let own = at_fault.and_then(|entity| gravest(&|m| m.entity == entity));
    let Some(told) = own.or_else(|| gravest(&|_| true)) else { return String::new() };
    let text = told.text.split("; ").next().unwrap_or(told.text).trim_end_matches('.');
    // Some texts say whom they are about.
    let is_named = text.starts_with(told.entity);
    let begin = match at_fault.filter(|_| own.is_none()) {
        Some(entity) if is_named => format!("{entity}: {text}"),
        Some(entity) => format!("{entity}, as {} tells: {text}", told.entity),
        None if is_named => text.to_owned(),
        None => format!("{}: {text}", told.entity),
    };
    match devices {
        0 | 1 => begin,
        n => format!("{begin}; {n} devices suffer"),
    }
}

/// What is seen of a signal in an incident, whoever has it.
struct Part<'a> {
    key: &'a Key,
    role: Role,
    entity: &'a str,
    onset_ms: u64,
    end_ms: Option<u64>,
    severity: u8,
    text: &'a str,
}

macro_rules! part {
    ($of:expr) => {
        Part {
            key: &$of.key,
            role: $of.role,
            entity: &$of.entity,
            onset_ms: $of.onset_ms,
            end_ms: $of.end_ms,
            severity: $of.severity,
            text: &$of.text,
        }
    };
}

impl Part<'_> {
    fn member(&self) -> Member {
        Member {
            key: self.key.clone(),
            role: self.role,
            entity: self.entity.to_owned(),
            onset_ms: self.onset_ms,
            end_ms: self.end_ms,
            severity: self.severity,
            text: self.text.to_owned(),
        }
    }
}

/// In the order of onset.
fn members<'a>(
    signals: &'a [Signal],
    group: &Group,
    before: Option<&'a Incident>,
    since_ms: u64,
) -> Vec<Part<'a>> {
    let ours = group.symptoms.iter().chain(&group.hints).chain(&group.changes);
    let mut all: Vec<Part<'_>> = ours.map(|&i| part!(signals[i])).collect();
    let past = before.into_iter().flat_map(|b| &b.members);
    let mut past: Vec<&Member> = past.filter(|m| m.end_ms.is_some_and(|end| end < since_ms)).collect();
    if !past.is_empty() {
        let known: HashSet<&Key> = all.iter().map(|m| m.key).collect();
        past.retain(|m| !known.contains(&m.key));
        all.extend(past.into_iter().map(|m| part!(m)));
    }
    all.sort_by(|a, b| (a.onset_ms, a.key).cmp(&(b.onset_ms, b.key)));
    all
}

/// The first symptoms, by which it is known again, and the first of what stands beside them.
fn shown(all: &[Part<'_>]) -> Vec<Member> {
    let is_symptom = |m: &&Part<'_>| m.role == Role::Symptom;
    let beside = all.iter().filter(|m| !is_symptom(m)).count();
    let (most, room) = if all.len() <= MEMBERS {
        (all.len(), beside)
    } else {
        let room = beside.min(MEMBERS / 4);
        (MEMBERS - room, room)
    };
    let (mut symptoms, mut others) = (most, room);
    let is_shown = |m: &&Part<'_>| {
        let left = if is_symptom(m) { &mut symptoms } else { &mut others };
        let is_left = *left > 0;
        *left = left.saturating_sub(1);
        is_left
    };
    all.iter().filter(is_shown).map(Part::member).collect()
}

/// The name of the incident that begins with this symptom: the site, and 48 bits of what it is.
pub(super) fn id(first: &Key) -> String {
    named(first, &first.to_string())
}

/// The same, if that is the name of another incident: of one that began with this symptom and went on without it.
pub(super) fn another_id(first: &Key, is_taken: impl Fn(&str) -> bool) -> String {
    let mut names = (2..).map(|n: u64| named(first, &format!("{first}/{n}")));
    names.find(|name| !is_taken(name)).unwrap_or_default()
}

fn named(first: &Key, text: &str) -> String {
    format!("{}-{:012x}", first.site, fnv(text) & 0xffff_ffff_ffff)
}
