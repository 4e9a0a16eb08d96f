//! How well incidents fit the faults that were there.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::Fleet;
use super::faults::Label;

/// A line of what `replay --incidents` writes, as far as it is of interest here.
#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    /// The incident as it ended.
    pub incident: Incident,
    /// What was told to people at once.
    #[serde(default)]
    pub notices: Vec<Notice>,
    /// The digests in which people could read of it.
    #[serde(default)]
    pub digests: Vec<String>,
}

/// A notice of an incident.
#[derive(Debug, Clone, Deserialize)]
pub struct Notice {
    /// `told`, `raised` or `over`.
    pub event: String,
}

/// An incident.
#[derive(Debug, Clone, Deserialize)]
pub struct Incident {
    /// Its name.
    pub id: String,
    /// `open`, `closed` or `merged`.
    pub state: String,
    /// 1 (highest) to 5.
    pub priority: u8,
    /// In one sentence.
    pub title: String,
    /// The likeliest first.
    pub causes: Vec<Cause>,
    /// What it is made of.
    pub members: Vec<Member>,
    /// When it began.
    pub onset_ms: u64,
    /// The incident it became part of.
    #[serde(default)]
    pub merged_into: Option<String>,
}

/// A likely cause.
#[derive(Debug, Clone, Deserialize)]
pub struct Cause {
    /// What is at fault.
    pub entity: String,
    /// 0..1.
    pub score: f64,
    /// In one sentence.
    pub why: String,
}

/// A signal of an incident.
#[derive(Debug, Clone, Deserialize)]
pub struct Member {
    /// Site.
    pub site: String,
    /// Node.
    pub node: String,
    /// `episode`, `fact`, …
    pub what: String,
    /// Its number.
    pub id: u64,
    /// `symptom`, `hint` or `change`.
    pub role: String,
}

/// What became of one fault.
#[derive(Debug, Clone, Default)]
pub struct Fate {
    /// The incident that is about it: the one with most of its signals that is not more about another fault.
    pub incident: Option<usize>,
    /// Whether people were told at once.
    pub paged: bool,
    /// Whether they could read of it in a digest.
    pub digested: bool,
    /// At which place its cause is named, from 0 on.
    pub place: Option<usize>,
    /// How many incidents have symptoms of it.
    pub pieces: usize,
    /// Faults that are in the same incident.
    pub with: Vec<usize>,
    /// What was named first.
    pub named: String,
}

/// The whole.
#[derive(Debug)]
pub struct Score {
    /// By fault.
    pub fates: Vec<Fate>,
    /// Incidents that stand.
    pub incidents: usize,
    /// Incidents that were opened at all: some became part of others.
    pub opened: usize,
    /// Incidents that are about no fault.
    pub idle: Idle,
    /// Notifications by what they say: `told`, `raised`, `over`, and `digest`, which is one for each.
    pub notices: BTreeMap<String, usize>,
    /// Events of outboxes.
    pub events: usize,
}

/// Incidents that are about no fault.
#[derive(Debug, Default, Clone, Copy)]
pub struct Idle {
    /// All of them.
    pub all: usize,
    /// Those that people were told of at once.
    pub paged: usize,
    /// Those of the others that stood in a digest.
    pub digested: usize,
}

/// Compares. Merged incidents have become part of others, and count no more.
#[must_use]
pub fn score(fleet: &Fleet, lines: &[Line]) -> Score {
    let mut owed: BTreeMap<(&str, &str, &str, u64), usize> = BTreeMap::new();
    for t in &fleet.traces {
        let node = &fleet.layout.nodes[t.node];
        owed.insert((&node.site, &node.name, t.owed.what, t.owed.id), t.owed.fault);
    }
    let standing: Vec<usize> = (0..lines.len()).filter(|i| lines[*i].incident.state != "merged").collect();
    let mut shares: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for &i in &standing {
        for m in lines[i].incident.members.iter().filter(|m| m.role != "change") {
            if let Some(fault) = owed.get(&(m.site.as_str(), m.node.as_str(), m.what.as_str(), m.id)) {
                *shares.entry((*fault, i)).or_default() += 1;
            }
        }
    }
    let mut fates = vec![Fate::default(); fleet.labels.len()];
    let mut most: Vec<(usize, usize, usize)> = shares.iter().map(|((f, i), n)| (*n, *f, *i)).collect();
    most.sort_by_key(|(n, fault, i)| (std::cmp::Reverse(*n), *fault, *i));
    let mut taken: BTreeSet<usize> = BTreeSet::new();
    for &(_, fault, i) in &most {
        fates[fault].pieces += 1;
        let others = most.iter().filter(|(_, f, j)| *j == i && *f != fault).map(|(_, f, _)| *f);
        fates[fault].with.extend(others);
        if fates[fault].incident.is_none() && taken.insert(i) {
            fates[fault].incident = Some(i);
        }
    }
    let paged = paged(lines);
    for (fate, label) in fates.iter_mut().zip(&fleet.labels) {
        if let Some(line) = fate.incident.map(|i| &lines[i]) {
            (fate.paged, fate.digested) = (paged.contains(&line.incident.id), !line.digests.is_empty());
            fate.place = line.incident.causes.iter().position(|c| is_right(label, &c.entity));
            fate.named =
                line.incident.causes.first().map_or_else(|| "nothing".to_owned(), |c| c.entity.clone());
        }
    }
    let idle: Vec<usize> =
        standing.iter().copied().filter(|i| !most.iter().any(|(_, _, j)| j == i)).collect();
    let is_paged = |i: &&usize| paged.contains(&lines[**i].incident.id);
    let digested = |i: &&usize| !is_paged(i) && !lines[**i].digests.is_empty();
    let mut notices: BTreeMap<String, usize> = BTreeMap::new();
    for notice in lines.iter().flat_map(|line| &line.notices) {
        *notices.entry(notice.event.clone()).or_default() += 1;
    }
    let digests: BTreeSet<&String> = lines.iter().flat_map(|line| &line.digests).collect();
    notices.insert("digest".to_owned(), digests.len());
    Score {
        fates,
        incidents: standing.len(),
        opened: lines.len(),
        idle: Idle {
            all: idle.len(),
            paged: idle.iter().filter(is_paged).count(),
            digested: idle.iter().filter(digested).count(),
        },
        notices,
        events: fleet.events(),
    }
}

/// Incidents that people were told of at once, under their names or those of what became part of them.
fn paged(lines: &[Line]) -> BTreeSet<&String> {
    let into: BTreeMap<&String, &String> =
        lines.iter().filter_map(|l| Some((&l.incident.id, l.incident.merged_into.as_ref()?))).collect();
    let told = lines.iter().filter(|line| !line.notices.is_empty()).map(|line| &line.incident.id);
    told.map(|id| std::iter::successors(Some(id), |id| into.get(*id).copied()).take(16).last().unwrap_or(id))
        .collect()
}

fn is_right(label: &Label, entity: &str) -> bool {
    label.cause == entity || label.also.iter().any(|also| also == entity)
}

/// What somebody who is not at fault has to do with it.
#[must_use]
pub fn relation(fleet: &Fleet, label: &Label, entity: &str) -> &'static str {
    let device = |e: &str| e.split('#').next().unwrap_or_default().to_owned();
    if is_right(label, entity) {
        "the cause"
    } else if entity == "nothing" {
        "nothing"
    } else if device(entity) == device(&label.cause) {
        "the same device"
    } else if label.affected.iter().any(|a| a == entity || device(a) == device(entity)) {
        "who suffers"
    } else if fleet.layout.nodes.iter().any(|n| n.entity() == device(entity) && n.site == label.site) {
        "a bystander of the site"
    } else if entity == label.site {
        "the whole site"
    } else {
        "elsewhere"
    }
}
