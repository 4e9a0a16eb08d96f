//! What is done with each incident, and why.

use std::collections::{BTreeMap, BTreeSet};

use super::budget::{Asked, Spending};
use super::norm::Look;
use super::policy::{self, Marks, Policy};
use super::{By, Decision, History, IncidentView, Outcome, Rules, Told};
use super::{inhibition, maintenance, recurrence, silence, verdict};

/// What people are told of these incidents now: one decision for each, in their order.
///
/// `incidents` are those that are open, those that people were told of and not yet that they are over, and those that were
/// over a few minutes ago (they may still explain others). `history` holds what was decided at the last call.
#[must_use]
pub fn decide(incidents: &[IncidentView], history: &History, rules: &Rules, now: u64) -> Vec<Decision> {
    let explained = inhibition::inhibited(incidents, &rules.inhibitions, now);
    let mut judged: Vec<Judged<'_>> = incidents
        .iter()
        .zip(explained)
        .map(|(incident, explained)| Case { incident, history, rules, now }.judge(explained))
        .collect();
    spend(&mut judged, incidents, history, rules, now);
    let dated = |mut decision: Decision| {
        let before = history.decisions.get(&decision.incident).filter(|before| !decision.is_news(before));
        decision.at_ms = before.map_or(now, |before| before.at_ms);
        decision
    };
    judged.into_iter().map(|j| dated(j.decision)).collect()
}

/// How the budget stands after these decisions: for the page and the metrics.
#[must_use]
pub fn spending(history: &History, rules: &Rules, now: u64) -> Spending {
    let past: Vec<Asked> = history.asked(|_| false).collect();
    Spending::of(rules.budget, &past, now)
}

struct Case<'a> {
    incident: &'a IncidentView,
    history: &'a History,
    rules: &'a Rules,
    now: u64,
}

struct Judged<'a> {
    decision: Decision,
    /// The policy that wants it told, if it is not yet.
    asks: Option<&'a Policy>,
}

impl<'a> Case<'a> {
    fn judge(&self, explained: Option<String>) -> Judged<'a> {
        let Self { incident, history, rules, now } = *self;
        let before = history.decisions.get(&incident.id);
        let same = history.same(incident);
        let seasonal = recurrence::seasonal(same, incident, now);
        let flapping = recurrence::flapping(same, incident, rules, now);
        let maintained = maintenance::maintained(&rules.maintenance, incident, now);
        let marks = Marks {
            is_seasonal: seasonal.is_some(),
            is_flapping: flapping.is_some(),
            in_maintenance: maintained.is_some(),
        };
        let opinion = verdict::opinion(&history.verdicts, incident.pattern(), now);
        let mut why: Vec<String> = [seasonal, maintained].into_iter().flatten().collect();
        why.extend(flapping.iter().map(|(_, why)| why.clone()));
        let unusual = history.norm().unusual(&Look::of(incident), now);
        why.extend(unusual.why);
        why.extend(opinion.why);
        let mut decision = Decision {
            incident: incident.id.clone(),
            revision: incident.revision,
            at_ms: now,
            outcome: Outcome::Hold,
            by: By::Policy,
            why,
            runbook: None,
            worth: worth(incident) * unusual.likely * opinion.factor,
            asked_ms: before.and_then(|b| b.asked_ms),
            is_seasonal: marks.is_seasonal,
            is_flapping: marks.is_flapping,
            in_maintenance: marks.in_maintenance,
            told: before.map(|b| b.told.clone()).unwrap_or_default(),
        };
        let policy = policy::first(&rules.policies, incident, marks, now);
        decision.runbook = policy.and_then(|p| p.runbook.clone());
        if let (Some(before), true) = (before, decision.standing().is_some()) {
            return self.told_before(decision, before, policy, marks);
        }
        if !incident.is_open() {
            return Judged { decision: self.over(decision, before, policy), asks: None };
        }
        let silenced = silence::silenced(&history.silences, incident, now);
        let told = self.told_as(flapping.map(|(since, _)| since));
        let mut settle = |outcome, by, because: String| {
            (decision.outcome, decision.by) = (outcome, by);
            decision.why.push(because);
        };
        let mut asks = None;
        match policy {
            _ if silenced.is_some() => settle(Outcome::Suppress, By::Silence, silenced.unwrap_or_default()),
            _ if explained.is_some() => {
                settle(Outcome::Suppress, By::Inhibition, explained.unwrap_or_default())
            }
            _ if told.is_some() => settle(Outcome::Hold, By::Flapping, told.unwrap_or_default()),
            None => settle(Outcome::Hold, By::Policy, "no policy matches it".to_owned()),
            // What comes and goes never lasts; that it does is worth telling.
            Some(p) if !marks.is_flapping && now < incident.opened_ms.saturating_add(p.lasting_ms) => {
                let seconds = p.lasting_ms / 1000;
                settle(Outcome::Hold, By::Wait, format!("{p}, once it has lasted {seconds} s"));
            }
            Some(p) => {
                settle(p.then, By::Policy, p.to_string());
                asks = (p.then == Outcome::Page).then_some(p);
            }
        }
        if asks.is_some() {
            decision.asked_ms = decision.asked_ms.or(Some(now));
        }
        Judged { decision, asks }
    }

    /// People were told of it. They are told again if it has become more urgent, and that it is over when it has been so for
    /// a while.
    fn told_before(
        &self,
        mut decision: Decision,
        before: &Decision,
        policy: Option<&Policy>,
        marks: Marks,
    ) -> Judged<'a> {
        let Self { incident, rules, now, .. } = *self;
        (decision.outcome, decision.by) = (Outcome::Page, before.by);
        decision.why.clone_from(&before.why);
        decision.worth = before.worth;
        let Some(told) = decision.told.last_mut() else { return Judged { decision, asks: None } };
        match incident.closed_ms {
            None if pages(policy) && incident.priority < told.priority => {
                told.priority = incident.priority;
                label_priority(&mut told.labels, incident.priority);
            }
            Some(_) if !marks.is_flapping && self.is_quiet(rules.keep_open_ms) => told.over_ms = Some(now),
            _ => {}
        }
        Judged { decision, asks: None }
    }

    /// It is over and was not told: what stood then stands.
    fn over(&self, mut decision: Decision, before: Option<&Decision>, policy: Option<&Policy>) -> Decision {
        let is_short = before.is_some_and(|b| (b.outcome, b.by) == (Outcome::Hold, By::Wait));
        if let Some(before) = before.filter(|_| !(is_short && pages(policy))) {
            return Decision { revision: decision.revision, ..before.clone() };
        }
        decision.by = before.map_or(decision.by, |b| b.by);
        let then = policy.map_or(Outcome::Hold, |p| p.then);
        decision.outcome = if then == Outcome::Page { Outcome::Digest } else { then };
        decision.why.extend(policy.map(ToString::to_string));
        decision.why.push("it was over before it could be told".to_owned());
        decision
    }

    /// Whether nothing of the same was there for so long.
    fn is_quiet(&self, for_ms: u64) -> bool {
        let Self { incident, history, now, .. } = *self;
        let ends = history.same(incident).iter().map(|o| o.closed_ms).chain([incident.closed_ms]);
        ends.into_iter().all(|end| end.is_some_and(|end| now >= end.saturating_add(for_ms)))
    }

    /// Under which name people know the same, in words: it is not over for them, or they were told since it flaps; or they
    /// were told of what became part of it.
    fn told_as(&self, flaps_since: Option<u64>) -> Option<String> {
        let Self { incident, history, .. } = *self;
        let others = history.same(incident).iter().map(|o| o.incident.as_str());
        let decisions = others.chain([incident.id.as_str()]).filter_map(|id| history.decisions.get(id));
        let is_known = |t: &&Told| {
            // What is worse than they know is news.
            let is_as_bad = t.priority <= incident.priority;
            is_as_bad && (t.over_ms.is_none() || flaps_since.is_some_and(|since| t.at_ms >= since))
        };
        let told =
            decisions.flat_map(|d| d.told.iter().filter(is_known).map(move |t| (t.at_ms, &d.incident)));
        let parts = history.parts(&incident.id);
        let parts = parts.into_iter().filter_map(|id| history.decisions.get(id));
        let parts = parts.flat_map(|d| d.told.iter().map(move |t| (t, &d.incident)));
        let parts = parts.filter(|(t, _)| t.priority <= incident.priority).map(|(t, id)| (t.at_ms, id));
        let (at_ms, name) = told.chain(parts).max()?;
        Some(format!("people know it as incident {name}, of {} UTC", super::calendar::minute(at_ms)))
    }
}

fn pages(policy: Option<&Policy>) -> bool {
    policy.is_some_and(|p| p.then == Outcome::Page)
}

impl Decision {
    /// As the budget sees it.
    pub(super) fn asked(&self) -> impl Iterator<Item = Asked> + use<> {
        let worth = self.worth;
        let waits = self.asked_ms.filter(|_| self.told.is_empty());
        let waits = waits.map(|at_ms| Asked { worth, at_ms, told_ms: None });
        let told: Vec<u64> = self.told.iter().map(|t| t.at_ms).collect();
        told.into_iter().map(move |at| Asked { worth, at_ms: at, told_ms: Some(at) }).chain(waits)
    }

    /// The last time that something happened to it.
    pub(super) fn last_ms(&self) -> u64 {
        self.told.iter().flat_map(|t| [Some(t.at_ms), t.over_ms]).flatten().fold(self.at_ms, u64::max)
    }
}

/// How much an incident would be worth a person, 0 to 1, if something is the matter, before anybody's verdict.
pub(super) fn worth(incident: &IncidentView) -> f32 {
    const OF_PRIORITY: [f32; 5] = [1.0, 0.75, 0.5, 0.3, 0.15];
    let priority = usize::from(incident.priority.clamp(1, 5)) - 1;
    OF_PRIORITY[priority] * (0.5 + 0.5 * incident.confidence.clamp(0.0, 1.0))
}

/// What an alert is known by, and sent where by others: the same from when it is told until it is over. Labels of the
/// devices are among them if all devices agree.
fn labels(incident: &IncidentView) -> BTreeMap<String, String> {
    let is_name = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let agreed = incident.labels.iter().filter_map(|(name, values)| {
        let mut values = values.iter();
        let only = values.next().filter(|_| values.next().is_none())?;
        is_name(name).then(|| (name.clone(), only.clone()))
    });
    let first = |names: &[String]| names.first().cloned().unwrap_or_default();
    let own = [
        ("alertname", incident.pattern().to_owned()),
        ("incident", incident.id.clone()),
        ("site", first(&incident.sites)),
        ("entity", first(&incident.entities)),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value));
    let mut labels: BTreeMap<String, String> =
        agreed.chain(own).filter(|(name, value)| !name.is_empty() && !value.is_empty()).collect();
    labels.entry("alertname".to_owned()).or_insert_with(|| "incident".to_owned());
    label_priority(&mut labels, incident.priority);
    labels
}

/// Severity in the words that rules of Prometheus and routes of Alertmanager use.
fn label_priority(labels: &mut BTreeMap<String, String>, priority: u8) {
    let severity = match priority {
        ..=2 => "critical",
        3 => "warning",
        _ => "info",
    };
    labels.insert("priority".to_owned(), priority.to_string());
    labels.insert("severity".to_owned(), severity.to_owned());
}

/// Asks the budget for each that is to be told, the worthiest first.
fn spend(judged: &mut [Judged<'_>], incidents: &[IncidentView], history: &History, rules: &Rules, now: u64) {
    let mut asking: Vec<usize> = (0..judged.len()).filter(|i| judged[*i].asks.is_some()).collect();
    if asking.is_empty() {
        return;
    }
    asking.sort_by(|a, b| {
        let (x, y) = (&judged[*a].decision, &judged[*b].decision);
        y.worth.total_cmp(&x.worth).then_with(|| (x.asked_ms, &x.incident).cmp(&(y.asked_ms, &y.incident)))
    });
    let names: BTreeSet<&str> = incidents.iter().map(|i| i.id.as_str()).collect();
    let past: Vec<Asked> = history
        .asked(|id| names.contains(id))
        .chain(judged.iter().flat_map(|j| j.decision.asked()))
        .collect();
    let mut spending = Spending::of(rules.budget, &past, now);
    for i in asking {
        let (incident, Judged { decision, asks }) = (&incidents[i], &mut judged[i]);
        let Some(policy) = asks else { continue };
        let is_always = incident.priority <= rules.always;
        match spending.passes(decision.worth) {
            Err(why) if !is_always => {
                (decision.outcome, decision.by) = (Outcome::Hold, By::Budget);
                decision.why.push(format!("held back: {why}"));
            }
            passed => {
                if passed.is_err() {
                    decision.why.push(format!("priority {} is told whatever the budget", incident.priority));
                }
                spending.spend();
                let outlets = rules.outlets_of(&policy.outlets);
                decision.told.push(Told {
                    at_ms: now,
                    priority: incident.priority,
                    outlets,
                    labels: labels(incident),
                    over_ms: None,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
