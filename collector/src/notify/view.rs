//! An incident as the rules see it, and when it was, from the documents that the desk keeps.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cause, IncidentView};
use crate::desk::incident::{Incident, Life, Step};
use crate::signal::Role;
use crate::topology::{Topology, device_of};

/// When an incident was, each time: its beginning and its end.
pub type Spells = Vec<(u64, Option<u64>)>;

impl IncidentView {
    /// This incident, in the last of its spells.
    #[must_use]
    pub fn of(incident: &Incident, spells: &Spells, topology: &Topology) -> Self {
        let cause = incident.causes.first().map(|c| c.entity.clone());
        let symptoms: Vec<_> = incident.members.iter().filter(|m| m.role == Role::Symptom).collect();
        let founder = symptoms.first().map(|m| m.entity.clone()).unwrap_or_default();
        let mut entities: Vec<String> = cause.iter().cloned().collect();
        let mut kinds: Vec<String> = Vec::new();
        let named = symptoms.iter().map(|m| &m.entity).chain(&incident.impact.entities);
        named.for_each(|entity| add(&mut entities, entity));
        symptoms.iter().for_each(|m| add(&mut kinds, m.key.what.word()));
        let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for device in entities.iter().filter_map(|e| device_of(e)).collect::<BTreeSet<_>>() {
            for (name, value) in topology.known(device).into_iter().flat_map(|known| &known.labels) {
                labels.entry(name.clone()).or_default().insert(value.clone());
            }
        }
        let causes = incident.causes.iter().map(|c| Cause {
            entity: c.entity.clone(),
            kind: kind(incident, &c.entity).to_owned(),
            why: c.why.clone(),
        });
        let (opened_ms, _) = spells.last().copied().unwrap_or((incident.onset_ms, None));
        Self {
            id: incident.id.clone(),
            revision: u64::from(incident.revision),
            priority: incident.priority,
            severity: incident.severity,
            confidence: f32::from(incident.confidence) / 100.0,
            sites: incident.sites.clone(),
            dependents: entities
                .first()
                .map(|first| topology.dependents(first).map(|(entity, _)| entity.to_owned()).collect())
                .unwrap_or_default(),
            entities,
            devices: incident.impact.devices,
            founder,
            labels,
            kinds,
            patterns: incident.patterns.clone(),
            causes: causes.collect(),
            opened_ms,
            closed_ms: incident
                .closed_ms
                .or_else(|| incident.merged_into.as_ref().map(|_| incident.updated_ms)),
            merged_into: incident.merged_into.clone(),
            title: incident.title.clone(),
        }
    }
}

fn add(to: &mut Vec<String>, name: &str) {
    if !to.iter().any(|known| known == name) {
        to.push(name.to_owned());
    }
}

/// What kind of cause an entity is: a change, if one is among what was told of it; else that of its first symptom.
fn kind(incident: &Incident, entity: &str) -> &'static str {
    let mut of =
        incident.members.iter().filter(|m| m.entity == entity || device_of(entity) == Some(&m.entity));
    if of.clone().any(|m| m.role == Role::Change) {
        return "change";
    }
    of.find(|m| m.role == Role::Symptom).map_or("", |m| m.key.what.word())
}

/// When an incident was, from the steps of its life in their order.
#[must_use]
pub fn spells(incident: &Incident, lives: &[Life]) -> Spells {
    let mut lives: Vec<&Life> = lives.iter().filter(|life| life.incident == incident.id).collect();
    lives.sort_by_key(|life| life.revision);
    let mut spells: Spells = vec![(incident.onset_ms, None)];
    for life in lives {
        let last = spells.len() - 1;
        match life.step {
            Step::Closed | Step::Merged => spells[last].1 = Some(life.at_ms.max(spells[last].0)),
            Step::Reopened if spells[last].1.is_some() => spells.push((life.at_ms, None)),
            _ => {}
        }
    }
    if let (Some(last), closed) = (spells.last_mut(), incident.closed_ms) {
        last.1 = closed.map(|at| at.max(last.0)).or(last.1);
    }
    spells
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_time_that_it_came_back_is_one() {
        let check = |steps: &[(Step, u64)], closed_ms: Option<u64>, want: &[(u64, Option<u64>)]| {
            let incident = json!({
                "id": "x", "revision": steps.len(), "state": "open", "sites": ["home"], "title": "", "priority": 3,
                "priority_why": [], "severity": 17, "confidence": 80, "onset_ms": 5, "opened_ms": 10, "updated_ms": 10,
                "closed_ms": closed_ms, "reopened": 0, "merged_into": null, "split_from": null, "causes": [],
                "impact": { "devices": 1, "entities": [], "dependents": 0 }, "members": [], "count": 1, "links": [],
                "patterns": [],
            });
            let incident: Incident = serde_json::from_value(incident).unwrap();
            let life = |(revision, &(step, at_ms)): (u32, &(Step, u64))| Life {
                incident: "x".into(),
                revision,
                at_ms,
                step,
                text: String::new(),
            };
            let mut lives: Vec<Life> = (1..).zip(steps).map(life).collect();
            lives.reverse();
            assert_eq!(spells(&incident, &lives), want, "{steps:?}");
        };
        use Step::{Closed, Merged, Opened, Reopened, Updated};
        check(&[(Opened, 10)], None, &[(5, None)]);
        check(&[(Opened, 10), (Updated, 12), (Closed, 30)], Some(20), &[(5, Some(20))]);
        let back = [(Opened, 10), (Closed, 30), (Reopened, 40)];
        check(&back, None, &[(5, Some(30)), (40, None)]);
        check(&[&back[..], &[(Closed, 60)]].concat(), Some(55), &[(5, Some(30)), (40, Some(55))]);
        check(&[(Opened, 10), (Merged, 15)], None, &[(5, Some(15))]);
    }
}
