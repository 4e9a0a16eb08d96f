//! What was before: past incidents, what was decided of them, and what people said.

use std::collections::{BTreeMap, BTreeSet};

use super::budget::Asked;
use super::norm::{Look, Norm};
use super::{Decision, IncidentView, Silence, Verdict};

/// How far back past incidents matter: five weeks, for what comes weekly.
pub const LOOKS_BACK_MS: u64 = 35 * 86_400_000;

/// What is usual is learnt again so often.
const NORM_MS: u64 = 3_600_000;

/// All that [`super::decide`] looks at beside the incidents themselves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// How each incident stands, by its name.
    pub decisions: BTreeMap<String, Decision>,
    /// When the same was, by [`IncidentView::same`], in the order of its beginnings.
    pub past: BTreeMap<String, Vec<Occurrence>>,
    /// What people thought.
    pub verdicts: Vec<Verdict>,
    /// What people do not want to hear of.
    pub silences: Vec<Silence>,
    /// What became part of an incident, by its name.
    pub(super) merged: BTreeMap<String, BTreeSet<String>>,
    /// What each incident was like, by its name.
    pub(super) looks: BTreeMap<String, Look>,
    /// What all of them are like, and of which hour.
    pub(super) norm: (u64, Norm),
}

/// One time that an incident was. One that came back was twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// Which incident.
    pub incident: String,
    /// When it began.
    pub opened_ms: u64,
    /// When it was over.
    pub closed_ms: Option<u64>,
    /// How urgent it was.
    pub priority: u8,
}

impl History {
    /// Remembers how an incident is; what was known of it since it began this time is replaced.
    pub fn note(&mut self, incident: &IncidentView) {
        if let Some(into) = &incident.merged_into {
            self.looks.remove(&incident.id);
            self.merged.entry(into.clone()).or_default().insert(incident.id.clone());
            // The whole counts, and is over when it is.
            self.past.values_mut().for_each(|past| past.retain(|o| o.incident != incident.id));
            return;
        }
        self.looks.insert(incident.id.clone(), Look::of(incident));
        let past = self.past.entry(incident.same()).or_default();
        let now = Occurrence {
            incident: incident.id.clone(),
            opened_ms: incident.opened_ms,
            closed_ms: incident.closed_ms,
            priority: incident.priority,
        };
        match past.iter_mut().find(|o| o.incident == now.incident && o.opened_ms == now.opened_ms) {
            Some(known) => *known = now,
            None => past.push(now),
        }
        past.sort_by(|a, b| (a.opened_ms, &a.incident).cmp(&(b.opened_ms, &b.incident)));
    }

    /// Remembers every time that an incident was.
    pub fn spells(&mut self, incident: &IncidentView, spells: &[(u64, Option<u64>)]) {
        for (opened_ms, closed_ms) in spells {
            self.note(&IncidentView { opened_ms: *opened_ms, closed_ms: *closed_ms, ..incident.clone() });
        }
        let known: BTreeSet<u64> = spells.iter().map(|s| s.0).collect();
        // What came late may have moved its beginning, or its pattern.
        let same = incident.same();
        let is_false = |o: &Occurrence| o.incident == incident.id && !known.contains(&o.opened_ms);
        for (name, past) in &mut self.past {
            past.retain(|o| if *name == same { !is_false(o) } else { o.incident != incident.id });
        }
    }

    /// Learns what is usual, once an hour.
    pub fn learn(&mut self, now: u64) {
        let hour = now / NORM_MS;
        if self.norm.0 != hour {
            self.norm = (hour, Norm::of(self.looks.values(), now));
        }
    }

    /// What is usual.
    pub(super) fn norm(&self) -> &Norm {
        &self.norm.1
    }

    /// Remembers what was decided.
    pub fn decided(&mut self, decision: Decision) {
        self.decisions.insert(decision.incident.clone(), decision);
    }

    /// Forgets what no longer matters at this time.
    pub fn forget(&mut self, now: u64) {
        let from = now.saturating_sub(LOOKS_BACK_MS);
        for past in self.past.values_mut() {
            past.retain(|o| o.closed_ms.is_none_or(|closed| closed >= from));
        }
        self.past.retain(|_, past| !past.is_empty());
        self.looks.retain(|_, look| !look.is_before(from));
        let is_kept = |d: &Decision| d.standing().is_some() || d.last_ms() >= from;
        self.decisions.retain(|_, d| is_kept(d));
        self.merged.values_mut().for_each(|parts| parts.retain(|id| self.decisions.contains_key(id)));
        self.merged.retain(|_, parts| !parts.is_empty());
    }

    /// When the same was.
    pub(super) fn same(&self, incident: &IncidentView) -> &[Occurrence] {
        self.past.get(&incident.same()).map(Vec::as_slice).unwrap_or_default()
    }

    /// What became part of an incident, and of its parts before.
    pub(super) fn parts<'a>(&'a self, incident: &'a str) -> BTreeSet<&'a str> {
        let mut parts = BTreeSet::new();
        let mut open: Vec<&str> = vec![incident];
        while let Some(whole) = open.pop() {
            let of = self.merged.get(whole).into_iter().flatten().map(String::as_str);
            open.extend(of.filter(|part| parts.insert(*part)));
        }
        parts
    }

    /// What asked the budget before, without these incidents.
    pub(super) fn asked<'a>(
        &'a self,
        without: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = Asked> + 'a {
        let others = self.decisions.values().filter(move |d| !without(&d.incident));
        others.flat_map(Decision::asked)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::incident;
    use super::*;

    #[test]
    fn an_incident_that_comes_back_was_twice() {
        let mut history = History::default();
        let mut seen = incident("1", 3);
        for (opened, closed) in [(1000, None), (1000, Some(2000)), (5000, None)] {
            (seen.opened_ms, seen.closed_ms) = (opened, closed);
            history.note(&seen);
        }
        let spans = |h: &History| -> Vec<_> {
            h.past.values().flatten().map(|o| (o.opened_ms, o.closed_ms)).collect()
        };
        assert_eq!(spans(&history), [(1000, Some(2000)), (5000, None)]);
        assert_eq!(history.same(&seen).len(), 2);
        history.forget(LOOKS_BACK_MS + 2001);
        assert_eq!(spans(&history), [(5000, None)], "what is open is remembered");
    }
}
