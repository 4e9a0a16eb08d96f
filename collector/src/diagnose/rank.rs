//! From a case to ranked causes: what is unusual about somebody, what it explains, and what explains it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::graph::{Graph, reach};
use super::{Alert, Argument, Case, Cause, Evidence, Kind, Reason, Tuning};

/// Beyond this, strength is only a matter of arithmetic.
const MOST: f64 = 100.0;

/// Everybody observed, the likeliest cause first, and of what nobody observes what could be one.
#[must_use]
pub fn rank(case: &Case) -> Vec<Cause> {
    rank_with(case, &Tuning::DEFAULT)
}

/// The same with other constants.
#[must_use]
pub fn rank_with(case: &Case, tuning: &Tuning) -> Vec<Cause> {
    let names = case.suspects.iter().map(|s| s.entity.as_str());
    let graph = Graph::new(names.chain(case.alert.iter().map(|a| a.entity.as_str())), &case.edges);
    let mut ranking =
        Ranking { case, tuning, graph: &graph, views: views(case, &graph), reachable: None, onsets: None };
    ranking.weigh();
    ranking.reachable = ranking.reachable_from_alert();
    let mut causes: Vec<(f64, usize, Vec<Reason>)> = (0..graph.names.len())
        .map(|at| ranking.reasons(at))
        .enumerate()
        .map(|(at, reasons)| (reasons.iter().map(|r| r.weight).sum(), at, reasons))
        .filter(|(total, at, _)| ranking.views[*at].is_observed || *total > 0.0)
        .collect();
    causes.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let most = causes.first().map_or(0.0, |c| c.0);
    let odds: Vec<f64> = causes.iter().map(|c| ((c.0 - most) / tuning.doubt).exp()).collect();
    let all: f64 = odds.iter().sum();
    let with_rank = causes.into_iter().zip(odds).enumerate();
    with_rank
        .map(|(i, ((_, at, reasons), odds))| Cause {
            rank: i + 1,
            entity: graph.names[at].to_owned(),
            metric: ranking.views[at].strongest(tuning).map(|e| e.metric.clone()).unwrap_or_default(),
            score: odds / all,
            why: why(&reasons),
            reasons,
        })
        .collect()
}

/// What is known of one entity.
#[derive(Debug, Default)]
struct View<'a> {
    is_observed: bool,
    /// The strongest evidence of each kind, with what it counts.
    evidence: BTreeMap<Kind, (&'a Evidence, f64)>,
    /// What its symptoms count together.
    symptoms: f64,
    /// What counts of them for others: beyond what is by chance, and up to what is plenty.
    suffers: f64,
    onset_ms: Option<u64>,
}

impl<'a> View<'a> {
    /// What each kind of symptom counts.
    fn catching(&self) -> impl Iterator<Item = f64> {
        self.evidence.iter().filter(|(kind, _)| kind.spreads()).map(|(_, (_, counts))| *counts)
    }

    fn strongest(&self, tuning: &Tuning) -> Option<&'a Evidence> {
        let by_weight = |(e, counts): &(&Evidence, f64)| (*counts, strength(e) * tuning.weight(e.kind));
        let mut all: Vec<_> = self.evidence.values().copied().filter(|(_, counts)| *counts > 0.0).collect();
        all.sort_by(|a, b| {
            by_weight(b).0.total_cmp(&by_weight(a).0).then(by_weight(b).1.total_cmp(&by_weight(a).1))
        });
        all.first().map(|(e, _)| *e)
    }
}

fn strength(evidence: &Evidence) -> f64 {
    if evidence.strength.is_nan() { 0.0 } else { evidence.strength.clamp(0.0, MOST) }
}

/// Views by number. Somebody who is listed twice is one.
fn views<'a>(case: &'a Case, graph: &Graph<'_>) -> Vec<View<'a>> {
    let mut views: Vec<View<'a>> = graph.names.iter().map(|_| View::default()).collect();
    for suspect in &case.suspects {
        let Some(view) = graph.number(&suspect.entity).map(|at| &mut views[at]) else { continue };
        view.is_observed = true;
        for e in &suspect.evidence {
            let (best, _) = view.evidence.entry(e.kind).or_insert((e, 0.0));
            // Equal strengths are told apart by what is no chance of order.
            let order = |e: &'a Evidence| (Reverse(e.onset_ms), Reverse(&e.metric), Reverse(&e.text));
            let changes = e.kind == Kind::Change;
            let is_more =
                if changes { e.onset_ms.cmp(&best.onset_ms) } else { strength(e).total_cmp(&strength(best)) };
            if is_more.then_with(|| order(e).cmp(&order(best))).is_gt() {
                *best = e;
            }
        }
    }
    views
}

struct Ranking<'a> {
    case: &'a Case,
    tuning: &'a Tuning,
    graph: &'a Graph<'a>,
    views: Vec<View<'a>>,
    /// Of each, whether the alert's entity depends on it; none if that is not known.
    reachable: Option<Vec<bool>>,
    /// When the first and the last began.
    onsets: Option<(u64, u64)>,
}

impl Ranking<'_> {
    /// What each piece of evidence counts, and who is affected.
    fn weigh(&mut self) {
        let (case, t) = (self.case, self.tuning);
        for view in &mut self.views {
            for (kind, (evidence, counts)) in &mut view.evidence {
                *counts = match kind {
                    Kind::Change => fresh(evidence, case.onset_ms, t),
                    _ => strength(evidence) * t.weight(*kind) * beside(*kind, case.alert.as_ref(), t),
                };
            }
            view.symptoms = view.catching().sum();
            view.suffers = (view.symptoms - t.affected * t.symptom).clamp(0.0, t.plenty * t.symptom);
            let strong =
                view.evidence.values().filter(|(e, _)| e.kind != Kind::Change && strength(e) > t.affected);
            view.onset_ms = strong.filter_map(|(e, _)| e.onset_ms).min();
        }
        let onsets = || self.views.iter().filter_map(|v| v.onset_ms);
        self.onsets = onsets().min().zip(onsets().max());
    }

    fn reachable_from_alert(&self) -> Option<Vec<bool>> {
        let at = self.graph.number(&self.case.alert.as_ref()?.entity)?;
        if self.graph.needs[at].is_empty() && self.graph.serves[at].is_empty() {
            return None;
        }
        let mut reachable = vec![false; self.views.len()];
        reachable[at] = true;
        reach(at, &self.graph.needs, |_| true).into_iter().for_each(|i| reachable[i] = true);
        Some(reachable)
    }

    /// All arguments for and against one, the weightiest first.
    fn reasons(&self, at: usize) -> Vec<Reason> {
        let view = &self.views[at];
        let mut reasons: Vec<Reason> = view
            .evidence
            .iter()
            .map(|(kind, (e, counts))| reason(Argument::Evidence(*kind), *counts, e.text.clone()))
            .collect();
        let own: f64 = reasons.iter().map(|r| r.weight).sum();
        reasons.extend(self.covers(at, own));
        reasons.extend(self.explained(at));
        reasons.extend(self.first(at));
        if self.reachable.as_ref().is_some_and(|r| !r[at]) {
            let total: f64 = reasons.iter().map(|r| r.weight).sum();
            let alert = self.case.alert.as_ref().map(|a| short(&a.entity)).unwrap_or_default();
            let text = format!("{alert}, which raised the alert, does not depend on it");
            reasons.push(reason(Argument::Apart, -(1.0 - self.tuning.apart) * total.max(0.0), text));
        }
        reasons.retain(|r| r.weight != 0.0 && r.weight.is_finite());
        reasons.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()).then(a.kind.cmp(&b.kind)));
        reasons
    }

    /// Those who depend on it and are affected, along unbroken paths.
    fn covers(&self, at: usize, own: f64) -> Option<Reason> {
        let t = self.tuning;
        let passes = |i: usize| self.views[i].suffers > 0.0 || !self.views[i].is_observed;
        let mut affected = reach(at, &self.graph.serves, passes);
        let observed = affected.iter().filter(|i| self.views[**i].is_observed).count();
        affected.retain(|i| self.views[*i].suffers > 0.0);
        let share = match affected.len() {
            // One of whom nothing is unusual explains little, however many depend on it.
            _ if self.views[at].is_observed => (own / (t.plenty * t.symptom)).clamp(0.0, 1.0),
            // Of one whom nobody observes, only what its dependents have in common tells.
            0 | 1 => 0.0,
            n => (n as f64 / observed as f64).powi(2),
        };
        let suffered: f64 = affected.iter().map(|i| self.views[*i].suffers).sum();
        let names: Vec<String> = affected.iter().take(3).map(|i| short(self.graph.names[*i])).collect();
        let more = affected.len().saturating_sub(names.len());
        let text = match (affected.len(), more) {
            (0, _) => return self.below(at, share),
            (1, _) => format!("{}, which depends on it, is affected as well", names.join(", ")),
            (n, 0) => format!("{n} that depend on it are affected as well ({})", names.join(", ")),
            (n, more) => {
                format!("{n} that depend on it are affected as well ({} and {more} more)", names.join(", "))
            }
        };
        Some(reason(Argument::Covers, t.covers * share * suffered, text))
    }

    /// Whoever depends on it and is unusual as well, though not by what one catches: that decides between equals.
    fn below(&self, at: usize, share: f64) -> Option<Reason> {
        let is_hidden = |i: usize| !self.views[i].is_observed;
        let is_odd = |i: &usize| self.views[*i].onset_ms.is_some();
        let odd = reach(at, &self.graph.serves, is_hidden).into_iter().find(is_odd)?;
        let text = format!("{}, which depends on it, is unusual as well", short(self.graph.names[odd]));
        Some(reason(Argument::Covers, self.tuning.below * share, text))
    }

    /// Each of its symptoms, up to those of the worst on whom it depends, directly or through what nobody observes.
    fn explained(&self, at: usize) -> Option<Reason> {
        let is_hidden = |i: usize| !self.views[i].is_observed;
        let mut affected = reach(at, &self.graph.needs, is_hidden);
        affected.retain(|i| self.views[*i].suffers > 0.0);
        let worst = affected.into_iter().max_by(|a, b| {
            let of = |i: usize| self.views[i].symptoms;
            of(*a).total_cmp(&of(*b)).then(b.cmp(a))
        })?;
        // What is slow makes others slow, and fail: two symptoms of one trouble are no two troubles.
        let caught: f64 = self.views[at].catching().map(|own| own.min(self.views[worst].symptoms)).sum();
        let text = format!("{}, on which it depends, is affected as well", short(self.graph.names[worst]));
        Some(reason(Argument::Explained, -self.tuning.explained * caught, text))
    }

    /// How early it began among all.
    fn first(&self, at: usize) -> Option<Reason> {
        let (first, last) = self.onsets?;
        let after_s = self.views[at].onset_ms?.checked_sub(first)? as f64 / 1000.0;
        let share = (1.0 - after_s / self.tuning.first_s).max(0.0);
        let text = if after_s == 0.0 {
            "nothing began earlier".to_owned()
        } else {
            format!("it began {after_s:.0} s after the first")
        };
        (first < last).then(|| reason(Argument::First, self.tuning.first * share, text))
    }
}

/// What a change counts, by its age at the onset. What came later caused nothing.
fn fresh(change: &Evidence, onset_ms: Option<u64>, t: &Tuning) -> f64 {
    match (change.onset_ms, onset_ms) {
        (Some(changed), Some(onset)) if changed > onset => 0.0,
        (Some(changed), Some(onset)) => {
            t.change * 0.5_f64.powf((onset - changed) as f64 / 1000.0 / t.change_s)
        }
        _ => t.change / 2.0,
    }
}

/// Whether what the alert is about is the same; what belongs to nobody else counts in any case.
fn beside(kind: Kind, alert: Option<&Alert>, t: &Tuning) -> f64 {
    let is_catching = kind.spreads() || matches!(kind, Kind::Load | Kind::Host | Kind::Other);
    let other = alert.and_then(|a| a.kind).is_some_and(|of| of != kind);
    if other && is_catching { t.beside } else { 1.0 }
}

fn reason(kind: Argument, weight: f64, text: String) -> Reason {
    Reason { kind, weight, text }
}

/// The reasons that speak for it, then those against, in one sentence.
fn why(reasons: &[Reason]) -> String {
    /// What weighs less is not worth the reader's time.
    const LEAST: f64 = 0.3;
    let told = |sign: f64| {
        reasons
            .iter()
            .filter(move |r| r.weight * sign >= LEAST && !r.text.is_empty())
            .map(|r| r.text.as_str())
    };
    let (pro, contra): (Vec<&str>, Vec<&str>) = (told(1.0).collect(), told(-1.0).collect());
    match (pro.is_empty(), contra.is_empty()) {
        (true, true) => "nothing unusual was seen of it".to_owned(),
        (false, true) => pro.join("; "),
        (true, false) => contra.join("; "),
        (false, false) => format!("{}; but {}", pro.join("; "), contra.join("; ")),
    }
}

/// A name that fits into a sentence.
pub(super) fn short(name: &str) -> String {
    const LONGEST: usize = 80;
    let mut short: String = name.chars().take(LONGEST).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    short
}
