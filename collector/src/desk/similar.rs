//! Past incidents that were like one: what came of them is the best advice there is.
//!
//! Two incidents are as alike as the share of their traits that they have in common: P. Jaccard's index ("The distribution of
//! the flora in the alpine zone", New Phytologist 11(2), 1912), in which a trait weighs as much as it is rare. Of `N` incidents,
//! one that `n` of them have weighs `ln(1 + N / n)` (K. Spärck Jones, "A statistical interpretation of term specificity and
//! its application in retrieval", Journal of Documentation 28(1), 1972).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::incident::{Incident, State};
use crate::signal::Role;

/// So many are named.
const NAMED: usize = 5;
/// What is less alike is another matter.
const ALIKE: f64 = 0.2;
/// So many past incidents are remembered, the latest.
const MOST: usize = 20_000;

/// By what an incident is known again. Those that say only where it was make nothing alike by themselves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Trait {
    Pattern(String),
    Cause(String),
    Entity(String),
}

impl fmt::Display for Trait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(name) => write!(f, "pattern {name}"),
            Self::Cause(name) => write!(f, "cause {name}"),
            Self::Entity(name) => write!(f, "entity {name}"),
        }
    }
}

/// What is remembered of an incident.
#[derive(Debug, Clone)]
struct Sketch {
    traits: BTreeSet<Trait>,
    title: String,
    priority: u8,
    onset_ms: u64,
    closed_ms: Option<u64>,
    updated_ms: u64,
}

/// Past incidents, and what came of them.
#[derive(Debug, Clone, Default)]
pub struct Past {
    known: BTreeMap<String, Sketch>,
    /// Who has a trait.
    by: BTreeMap<Trait, BTreeSet<String>>,
    runbooks: BTreeMap<String, String>,
    /// Who thought what, by incident.
    thought: BTreeMap<String, Vec<(String, &'static str)>>,
}

/// A past incident that was like another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Similar {
    /// Which.
    pub id: String,
    /// What it was, in words.
    pub title: String,
    /// 1 (highest) to 5.
    pub priority: u8,
    /// When it began, in milliseconds since 1970.
    pub onset_ms: u64,
    /// When it was over; none if it goes on.
    pub closed_ms: Option<u64>,
    /// How alike, 0 to 1.
    pub alike: f64,
    /// What both have, the rarest first: `pattern …`, `cause …`, `entity …`.
    pub shared: Vec<String>,
    /// What people thought of it: `ana: real`.
    pub thought: Vec<String>,
    /// What was to be done about it.
    pub runbook: Option<String>,
}

impl Past {
    /// Remembers an incident as it is now.
    pub fn note(&mut self, incident: &Incident) {
        let known = self.known.get(&incident.id);
        if known.is_some_and(|known| known.updated_ms == incident.updated_ms) {
            return;
        }
        self.drop(&incident.id);
        if incident.state == State::Merged {
            return;
        }
        let traits = traits(incident);
        for of in &traits {
            self.by.entry(of.clone()).or_default().insert(incident.id.clone());
        }
        let sketch = Sketch {
            traits,
            title: incident.title.clone(),
            priority: incident.priority,
            onset_ms: incident.onset_ms,
            closed_ms: incident.closed_ms,
            updated_ms: incident.updated_ms,
        };
        self.known.insert(incident.id.clone(), sketch);
    }

    /// Remembers what was to be done about an incident.
    pub fn runbook(&mut self, incident: &str, runbook: Option<&str>) {
        match runbook {
            Some(runbook) => drop(self.runbooks.insert(incident.to_owned(), runbook.to_owned())),
            None => drop(self.runbooks.remove(incident)),
        }
    }

    /// What people think of all incidents: incident, who, what.
    pub fn thought<'a>(&mut self, all: impl Iterator<Item = (&'a str, &'a str, &'static str)>) {
        self.thought.clear();
        for (incident, who, word) in all {
            self.thought.entry(incident.to_owned()).or_default().push((who.to_owned(), word));
        }
    }

    /// Forgets what was over before a moment.
    pub fn forget(&mut self, before_ms: u64) {
        let end = |s: &Sketch| s.closed_ms.unwrap_or(u64::MAX);
        let old = self.known.iter().filter(|(_, s)| end(s) < before_ms).map(|(id, _)| id.clone());
        let mut gone: Vec<String> = old.collect();
        let left = self.known.len() - gone.len();
        if left > MOST {
            let mut ends: Vec<(u64, &String)> = self.known.iter().map(|(id, s)| (end(s), id)).collect();
            ends.sort_unstable();
            gone = ends.iter().take(self.known.len() - MOST).map(|(_, id)| (*id).clone()).collect();
        }
        gone.iter().for_each(|id| self.drop(id));
        let known = &self.known;
        self.runbooks.retain(|id, _| known.contains_key(id));
    }

    fn drop(&mut self, id: &str) {
        let Some(sketch) = self.known.remove(id) else { return };
        for of in &sketch.traits {
            if let Some(all) = self.by.get_mut(of) {
                all.remove(id);
                if all.is_empty() {
                    self.by.remove(of);
                }
            }
        }
    }

    /// What began before this incident and was like it, the most alike first.
    #[must_use]
    pub fn similar(&self, incident: &Incident) -> Vec<Similar> {
        let own = traits(incident);
        let candidates: BTreeSet<&String> = own
            .iter()
            .filter(|of| !matches!(of, Trait::Entity(_)))
            .filter_map(|of| self.by.get(of))
            .flatten()
            .filter(|id| **id != incident.id)
            .collect();
        let mut found: Vec<Similar> = candidates
            .into_iter()
            .filter_map(|id| Some((id, self.known.get(id)?)))
            .filter(|(_, sketch)| sketch.onset_ms < incident.onset_ms)
            .filter_map(|(id, sketch)| self.compare(&own, id, sketch))
            .collect();
        found.sort_by(|a, b| {
            b.alike.total_cmp(&a.alike).then_with(|| (b.onset_ms, &a.id).cmp(&(a.onset_ms, &b.id)))
        });
        found.truncate(NAMED);
        found
    }

    fn compare(&self, own: &BTreeSet<Trait>, id: &str, sketch: &Sketch) -> Option<Similar> {
        let all: f64 = own.union(&sketch.traits).map(|of| self.weight(of)).sum();
        let mut shared: Vec<(f64, &Trait)> =
            own.intersection(&sketch.traits).map(|of| (self.weight(of), of)).collect();
        let share = shared.iter().map(|(weight, _)| weight).sum::<f64>() / all;
        if share < ALIKE {
            return None;
        }
        shared.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        let thought = self.thought.get(id).into_iter().flatten();
        Some(Similar {
            id: id.to_owned(),
            title: sketch.title.clone(),
            priority: sketch.priority,
            onset_ms: sketch.onset_ms,
            closed_ms: sketch.closed_ms,
            alike: (100.0 * share).round() / 100.0,
            shared: shared.into_iter().map(|(_, of)| of.to_string()).collect(),
            thought: thought.map(|(who, word)| format!("{who}: {word}")).collect(),
            runbook: self.runbooks.get(id).cloned(),
        })
    }

    /// How much a trait says.
    fn weight(&self, of: &Trait) -> f64 {
        let have = self.by.get(of).map_or(1, BTreeSet::len);
        (1.0 + self.known.len().max(1) as f64 / have as f64).ln()
    }
}

fn traits(incident: &Incident) -> BTreeSet<Trait> {
    let patterns = incident.patterns.iter().cloned().map(Trait::Pattern);
    let cause = incident.causes.first().map(|cause| &cause.entity);
    // What is to blame says where it was: said twice it would weigh twice.
    let symptoms = incident.members.iter().filter(|m| m.role == Role::Symptom && Some(&m.entity) != cause);
    let entities = symptoms.map(|m| Trait::Entity(m.entity.clone()));
    patterns.chain(cause.cloned().map(Trait::Cause)).chain(entities).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `id onset: patterns; cause; entities`
    fn incident(row: &str) -> Incident {
        let (head, traits) = row.split_once(": ").unwrap();
        let (id, onset) = head.split_once(' ').unwrap();
        let onset: u64 = onset.parse().unwrap();
        let words: Vec<Vec<&str>> =
            traits.split("; ").map(|part| part.split(' ').filter(|w| !w.is_empty()).collect()).collect();
        let members: Vec<_> = words[2]
            .iter()
            .map(|entity| {
                json!({ "site": "hall", "node": "n", "what": "episode", "epoch": 1, "id": 1, "role": "symptom",
                    "entity": entity, "onset_ms": onset, "end_ms": null, "severity": 17, "text": "busy" })
            })
            .collect();
        let causes: Vec<_> = words[1]
            .iter()
            .map(|entity| json!({ "entity": entity, "score": 0.7, "metric": null, "why": "it began", "reasons": [] }))
            .collect();
        serde_json::from_value(json!({
            "id": id, "revision": 1, "state": "closed", "sites": ["hall"], "title": format!("{id} was busy"),
            "priority": 3, "priority_why": [], "severity": 17, "confidence": 80, "onset_ms": onset,
            "opened_ms": onset, "updated_ms": onset, "closed_ms": onset + 10, "reopened": 0, "merged_into": null,
            "split_from": null, "causes": causes, "impact": { "devices": 1, "entities": [], "dependents": 0 },
            "members": members, "count": 1, "links": [], "patterns": words[0],
        }))
        .unwrap()
    }

    fn past(rows: &[&str]) -> Past {
        let mut past = Past::default();
        rows.iter().for_each(|row| past.note(&incident(row)));
        past
    }

    #[track_caller]
    fn check(past: &Past, now: &str, wanted: &[&str]) {
        let shown = |s: &Similar| format!("{} {:.2}: {}", s.id, s.alike, s.shared.join(", "));
        assert_eq!(past.similar(&incident(now)).iter().map(shown).collect::<Vec<_>>(), wanted, "{now}");
    }

    #[test]
    fn what_shares_patterns_or_a_cause_is_alike() {
        let past = past(&[
            "same 1: cpu disk; hall/a; hall/a",
            "elsewhere 2: cpu disk; hall/b; hall/b",
            "half 3: cpu; hall/b; hall/b",
            "neighbour 4: mail; hall/z; hall/a",
            "other 5: fan; hall/c; hall/c",
        ]);
        // ln(1 + 5/3), ln(1 + 5/2), ln 6 … for what three, two and one of five have.
        check(
            &past,
            "now 9: cpu disk; hall/a; hall/a",
            &[
                "same 1.00: cause hall/a, pattern disk, pattern cpu",
                "elsewhere 0.42: pattern disk, pattern cpu",
            ],
        );
        check(&past, "now 9: fan; hall/c; hall/x", &["other 0.67: pattern fan, cause hall/c"]);
        check(&past, "now 9: unheard; hall/q; hall/a", &[]);
        check(
            &past,
            "now 3: cpu disk; hall/b; hall/b",
            &[
                "elsewhere 1.00: pattern disk, cause hall/b, pattern cpu",
                "same 0.42: pattern disk, pattern cpu",
            ],
        );
        check(&past, "same 1: cpu disk; hall/a; hall/a", &[]);
    }

    #[test]
    fn what_is_rare_says_more() {
        let mut rows: Vec<String> = (0..20).map(|i| format!("c{i} {i}: cpu; ; hall/d{i}")).collect();
        rows.push("rare 50: leak; ; hall/d50".into());
        let past = past(&rows.iter().map(String::as_str).collect::<Vec<_>>());
        let found = past.similar(&incident("now 99: cpu leak; ; hall/x"));
        assert_eq!(found[0].id, "rare");
        assert!(found.iter().all(|s| s.id == "rare"), "what all have is not alike: {found:?}");
    }

    #[test]
    fn it_is_told_what_came_of_it_and_changed_ones_are_known_anew() {
        let mut past = past(&["a 1: cpu; hall/a; hall/a"]);
        past.runbook("a", Some("RB-7"));
        past.thought([("a", "ana", "real")].into_iter());
        let now = incident("now 9: cpu; hall/a; hall/a");
        let found = past.similar(&now);
        assert_eq!(
            (found[0].runbook.as_deref(), &found[0].thought[..]),
            (Some("RB-7"), &["ana: real".to_owned()][..])
        );
        let changed = Incident { updated_ms: 2, ..incident("a 1: fan; hall/f; hall/f") };
        past.note(&changed);
        assert!(past.similar(&now).is_empty());
        let merged = Incident { updated_ms: 3, state: State::Merged, ..changed };
        past.note(&merged);
        assert!(past.known.is_empty() && past.by.is_empty());
        past.note(&incident("b 1: cpu; hall/a; hall/a"));
        past.forget(11);
        assert_eq!(past.similar(&now).len(), 1);
        past.forget(12);
        assert!(past.similar(&now).is_empty() && past.by.is_empty());
    }
}
