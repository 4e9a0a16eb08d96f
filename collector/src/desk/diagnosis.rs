//! What a group says of its cause: its signals as evidence, and the topology around them, for `diagnose` to rank.

use std::collections::{BTreeMap, BTreeSet};

use super::incident::Cause;
use crate::correlate::{Depends, Group, Link, device_of};
use crate::diagnose::{Case, Evidence, Kind, Suspect, rank};
use crate::signal::{Moved, Signal, What};
use crate::topology::Topology;

/// Causes that an incident names.
const CAUSES: usize = 5;
/// Reasons of each that it keeps.
const REASONS: usize = 6;
/// So much less one is believed to be the cause that is heard of and says nothing, or that nobody declared.
const QUIET: f64 = 0.5;
const DECLARED: f64 = 0.8;
/// So many devices of a site at least.
const SITE: usize = 3;
/// Severity of an error.
const ERROR: u8 = 17;
/// Nats of a score of 0.5, the threshold of the device, and of 1.
const NATS: (f64, f64) = (3.0, 15.0);
/// Of what is told only when it is so: a limit foretold, a sensor that stands still, a crash.
const PLAIN: f64 = 8.0;
/// Of all that share something going together: what nobody tells of counts less than what somebody does.
const TOGETHER: f64 = 40.0;
/// Of an error that was told, and of what is not heard of: there is no degree to it.
const SURE: f64 = 15.0;

/// The likeliest causes of a group.
pub(super) fn causes(signals: &[Signal], group: &Group, topology: &Topology) -> Vec<Cause> {
    let case = case(signals, group, topology);
    let mut causes: Vec<Cause> = rank(&case).into_iter().take(CAUSES).map(cause).collect();
    // What nothing speaks for is none.
    causes.retain(|c| c.reasons.iter().any(|(_, weight)| *weight > 0.0));
    causes
}

fn cause(c: crate::diagnose::Cause) -> Cause {
    let reasons = c
        .reasons
        .into_iter()
        .filter(|r| !r.text.is_empty())
        .take(REASONS)
        .map(|r| (r.text, rounded(r.weight)));
    Cause {
        entity: c.entity,
        score: rounded(c.score),
        metric: (!c.metric.is_empty()).then_some(c.metric),
        why: c.why,
        reasons: reasons.collect(),
    }
}

/// As people read it, and as JSON gives it back.
fn rounded(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

fn case(signals: &[Signal], group: &Group, topology: &Topology) -> Case {
    let mut alike: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for &i in &group.symptoms {
        alike.entry(&signals[i].pattern).or_default().insert(&signals[i].entity);
    }
    let shared = shared(signals, group, &alike, topology);
    let mut of: BTreeMap<&str, Vec<Evidence>> = BTreeMap::new();
    for &i in group.symptoms.iter().chain(&group.hints).chain(&group.changes) {
        let signal = &signals[i];
        // What all that share something do says little of each.
        let alike =
            if shared.is_empty() { 1 } else { alike.get(signal.pattern.as_str()).map_or(1, BTreeSet::len) };
        let each =
            evidence(signal).into_iter().map(|e| Evidence { strength: e.strength / alike as f64, ..e });
        of.entry(&signal.entity).or_default().extend(each);
    }
    let affected: BTreeSet<&str> = group.symptoms.iter().map(|&i| signals[i].entity.as_str()).collect();
    let mut edges: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = of.keys().copied().collect();
    while let Some(entity) = open.pop() {
        if seen.insert(entity) {
            for on in topology.needs(entity) {
                edges.insert((entity, on));
                open.push(on);
            }
        }
    }
    // What nobody declared, but most of its devices showed.
    for site in shared.iter().map(|s| &s.on).filter(|name| !name.contains('/')) {
        let devices = affected.iter().filter(|entity| entity.split('/').next() == Some(site));
        edges.extend(devices.map(|device| (*device, site.as_str())));
    }
    // Who is heard of and says nothing breaks the path, unless what depends on it went together.
    let is_told = |name: &str| of.contains_key(name) || group.silent.iter().any(|silent| silent == name);
    let quiet = seen.iter().filter(|name| !is_told(name));
    let quiet = quiet.filter(|name| topology.known(name).is_some_and(|known| known.reported));
    let quiet: Vec<String> = quiet.map(|name| (*name).to_owned()).collect();
    let mut suspects: Vec<Suspect> =
        of.into_iter().map(|(entity, evidence)| Suspect { entity: entity.to_owned(), evidence }).collect();
    suspects.extend(shared.iter().map(|s| Suspect { entity: s.on.clone(), evidence: vec![s.evidence()] }));
    suspects.extend(quiet.into_iter().map(|entity| Suspect { entity, evidence: Vec::new() }));
    Case {
        suspects,
        edges: edges.into_iter().map(|(who, on)| (who.to_owned(), on.to_owned())).collect(),
        alert: None,
        onset_ms: group.symptoms.iter().map(|&i| signals[i].onset_ms).min(),
    }
}

/// Something that tells nothing of the kind itself, and that most who share it went with.
struct Shared {
    on: String,
    count: usize,
    of: usize,
    /// How much of it is believed, 0..1.
    part: f64,
}

impl Shared {
    fn evidence(&self) -> Evidence {
        let share = self.count as f64 / self.of.max(1) as f64;
        Evidence {
            kind: Kind::Other,
            metric: String::new(),
            strength: TOGETHER * share * share * self.part,
            onset_ms: None,
            text: format!("{} of {} that share it went together", self.count, self.of),
        }
    }
}

/// What many of a group share: what is silent, and their site.
fn shared(
    signals: &[Signal],
    group: &Group,
    alike: &BTreeMap<&str, BTreeSet<&str>>,
    topology: &Topology,
) -> Vec<Shared> {
    let devices = group.symptoms.iter().map(|&i| signals[i].device()).collect::<BTreeSet<_>>().len();
    // Of two that all share the one that explains more.
    let explained = |count: usize| (count as f64 / devices.max(1) as f64).min(1.0);
    let most = alike.iter().max_by_key(|(pattern, names)| (names.len(), **pattern));
    let spreads = most.is_some_and(|(pattern, _)| Kind::of(pattern).spreads());
    let mut all: Vec<Shared> = Vec::new();
    for link in &group.links {
        if let Link::Shared { on, count, of } = link
            && on.contains('/')
            && group.silent.contains(on)
        {
            // Who is heard of and says nothing is likelier well, unless it is what spreads to those who depend on it.
            let is_quiet = !spreads && topology.known(on).is_some_and(|known| known.reported);
            let quiet = if is_quiet { QUIET } else { 1.0 };
            all.push(Shared { on: on.clone(), count: *count, of: *of, part: quiet * explained(*count) });
        }
    }
    let sites: BTreeSet<&str> = group.symptoms.iter().map(|&i| signals[i].key.site.as_str()).collect();
    for site in sites {
        let of = Depends::devices(topology, site);
        let at_site = |names: &BTreeSet<&str>| {
            let devices =
                names.iter().map(|name| device_of(name)).filter(|d| d.split('/').next() == Some(site));
            devices.collect::<BTreeSet<_>>().len()
        };
        let count = alike.values().map(at_site).max().unwrap_or(0);
        // What spreads does so along what is declared, if anything is.
        let is_open = !spreads || group.silent.iter().any(|on| on == site);
        if is_open && count >= SITE && 2 * count >= of {
            // Of what was declared and a site, what was declared.
            all.push(Shared {
                on: site.to_owned(),
                count,
                of: of.max(count),
                part: DECLARED * explained(count),
            });
        }
    }
    all
}

/// What a sensor measures is of the thing itself, whatever it is called.
fn kind(moved: &Moved) -> Kind {
    match Kind::of(&moved.series) {
        Kind::Other if moved.group == "sensor" => Kind::Usage,
        kind => kind,
    }
}

/// What a signal says of its entity.
fn evidence(signal: &Signal) -> Vec<Evidence> {
    let text = signal.text.trim_end_matches('.');
    let one = |kind, metric: &str, strength| Evidence {
        kind,
        metric: metric.to_owned(),
        strength,
        onset_ms: Some(signal.onset_ms),
        // What it is and what is usual; the rest stands in the event.
        text: text.match_indices("; ").nth(1).map_or(text, |(end, _)| &text[..end]).to_owned(),
    };
    match (signal.role, signal.key.what) {
        (crate::signal::Role::Change, _) => vec![one(Kind::Change, &signal.pattern, 0.0)],
        (_, What::Presence) => vec![one(Kind::Lost, "", SURE)],
        (_, What::Fact | What::Trouble) => {
            let kind = match signal.pattern.split(' ').next().unwrap_or_default() {
                // Who is failed by another writes errors, too.
                "log-burst" | "log-rate" => Kind::Errors,
                log if log.starts_with("log-") => Kind::Log,
                other => Kind::of(other),
            };
            vec![one(kind, &signal.pattern, if signal.severity >= ERROR { SURE } else { PLAIN })]
        }
        (_, What::Forecast | What::Episode) => {
            let strength = match signal.key.what {
                What::Episode => {
                    NATS.0 + (NATS.1 - NATS.0) * (2.0 * f64::from(signal.score) - 1.0).clamp(0.0, 1.0)
                }
                _ => PLAIN,
            };
            let mut all: Vec<Evidence> =
                signal
                    .moved
                    .iter()
                    // What says little of it beside the first says little at all.
                    .map(|m| (m, f64::from(m.share) / f64::from(signal.moved[0].share).max(0.01)))
                    .map(|(m, part)| one(kind(m), &m.series, strength * part.min(1.0)))
                    .enumerate()
                    // The sentence is of the first.
                    .map(|(n, e)| {
                        if n == 0 { e } else { Evidence { text: format!("{} moved with it", e.metric), ..e } }
                    })
                    .collect();
            if all.is_empty() {
                all.push(one(Kind::Other, "", strength));
            }
            if let Some(culprit) = &signal.culprit {
                all.push(Evidence {
                    text: format!("`{culprit}` was at work there"),
                    ..one(Kind::Culprit, culprit, PLAIN / 2.0)
                });
            }
            for (kind, before_ms, text) in
                signal.near.iter().filter(|(kind, ..)| crate::signal::is_change(kind))
            {
                let at = signal.onset_ms.saturating_add_signed(-i64::from(*before_ms));
                all.push(Evidence { onset_ms: Some(at), text: text.clone(), ..one(Kind::Change, kind, 0.0) });
            }
            all
        }
    }
}
