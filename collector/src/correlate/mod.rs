//! Which signals belong together.
//!
//! A group is a connected component: two signals are linked by what is true of the two, or of all that share a
//! dependency, and never by which came first. So late and shuffled events give the same groups. What links, the rules in
//! order: the same device within a rolling window (scope-based grouping); one depends on the other (topology); many that
//! depend on the same thing, silent itself, went together; too many of a site for chance did the same at once (siblings);
//! signals that came together again and again before (co-occurrence).
//!
//! What is *not* here: what the cause is (`diagnose`), and what becomes of a group over time (`desk`).

pub mod learnt;
mod links;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use petgraph::unionfind::UnionFind;
use serde::{Deserialize, Serialize};

use crate::signal::{Role, Signal};

/// What correlation asks of the topology.
pub trait Depends {
    /// What the entity depends on, directly or through others, nearest first, with the number of steps to it.
    fn dependencies(&self, entity: &str) -> Vec<(&str, u8)>;
    /// How many devices and parts depend on it, directly or through others.
    fn dependents(&self, entity: &str) -> usize;
    /// How many devices the site has.
    fn devices(&self, site: &str) -> usize;
    /// The sites that depend on one another, this one among them.
    fn domain(&self, site: &str) -> Vec<String>;
    /// The value of the label of a device, if it has it.
    fn label(&self, device: &str, name: &str) -> Option<&str>;
}

/// How near is near.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Silence that parts two problems of one device, or of one scope.
    pub window_ms: u64,
    /// Onsets of what depends on each other lie within this.
    pub reach_ms: u64,
    /// Onsets of what went together lie within this of the next.
    pub together_ms: u64,
    /// How long before the first onset a change is suspected.
    pub before_ms: u64,
    /// Labels, or `site`: signals with the same value are of one scope.
    pub scopes: Vec<String>,
    /// What came together again and again: pairs of `entity pattern`.
    pub pairs: Vec<(String, String)>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            window_ms: 15 * 60_000,
            reach_ms: 10 * 60_000,
            together_ms: 2 * 60_000,
            before_ms: 60 * 60_000,
            scopes: Vec::new(),
            pairs: Vec::new(),
        }
    }
}

/// Why signals belong together, what says most first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Link {
    /// They depend on the same, and went together.
    Shared {
        /// On what.
        on: String,
        /// How many of them.
        count: usize,
        /// Of how many.
        of: usize,
    },
    /// They did before.
    Learnt {
        /// What is seen with what.
        pair: (String, String),
    },
    /// Of one scope.
    Scope {
        /// `label=value`
        scope: String,
    },
    /// One depends on the other.
    Depends {
        /// What depends.
        who: String,
        /// On what.
        on: String,
    },
    /// Of one device.
    Device {
        /// Which.
        device: String,
    },
}

/// Signals that belong together. Indices are those of the signals given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// What is wrong, in the order of onset.
    pub symptoms: Vec<usize>,
    /// What was told besides.
    pub hints: Vec<usize>,
    /// What was changed shortly before.
    pub changes: Vec<usize>,
    /// Why they belong together.
    pub links: Vec<Link>,
    /// Entities that told nothing, but that many of them depend on.
    pub silent: Vec<String>,
}

/// The most links of a group that are kept; the others say the same.
const LINKS: usize = 32;

/// Groups of signals, in the order of their first onset. `stuck` are sets of signals that belong together because they
/// did when more was known of their time.
#[must_use]
pub fn correlate(
    signals: &[Signal],
    depends: &dyn Depends,
    rules: &Rules,
    stuck: &[Vec<usize>],
) -> Vec<Group> {
    let mut order: Vec<usize> = (0..signals.len()).filter(|&i| signals[i].role == Role::Symptom).collect();
    order.sort_by(|&a, &b| {
        (signals[a].onset_ms, &signals[a].key).cmp(&(signals[b].onset_ms, &signals[b].key))
    });
    let mut sets = UnionFind::<usize>::new(signals.len());
    let linked = links::join(signals, &order, depends, rules, &mut sets);
    stuck.iter().for_each(|set| links::union(&mut sets, set));
    let mut groups: BTreeMap<usize, usize> = BTreeMap::new();
    let mut all: Vec<Group> = Vec::new();
    for &i in &order {
        let at = *groups.entry(sets.find(i)).or_insert_with(|| {
            all.push(Group::default());
            all.len() - 1
        });
        all[at].symptoms.push(i);
    }
    let mut why: BTreeMap<usize, BTreeSet<Link>> = BTreeMap::new();
    for found in linked {
        let Some(&at) = found.members.first().and_then(|&i| groups.get(&sets.find(i))) else { continue };
        if let Link::Shared { on, .. } = &found.link
            && !all[at].symptoms.iter().any(|&i| &signals[i].entity == on)
            && !all[at].silent.contains(on)
        {
            all[at].silent.push(on.clone());
        }
        let links = why.entry(at).or_default();
        links.insert(found.link);
        if links.len() > LINKS {
            links.pop_last();
        }
    }
    for (at, links) in why {
        all[at].links = links.into_iter().collect();
    }
    for group in &mut all {
        group.silent.sort();
    }
    beside(signals, depends, rules, &mut all);
    all
}

/// Adds hints and changes to the groups they belong to.
fn beside(signals: &[Signal], depends: &dyn Depends, rules: &Rules, groups: &mut [Group]) {
    // Which groups have symptoms on a device of which something else was told, or on what depends on it.
    let is_beside = |signal: &&Signal| signal.role != Role::Symptom;
    let told: HashSet<&str> = signals.iter().filter(is_beside).map(Signal::device).collect();
    if told.is_empty() {
        return;
    }
    let mut near: HashMap<&str, Vec<(u64, usize)>> = HashMap::new();
    let mut above: HashMap<&str, Vec<(u64, usize)>> = HashMap::new();
    let mut needs: HashMap<&str, Vec<&str>> = HashMap::new();
    for (at, group) in groups.iter().enumerate() {
        for &i in &group.symptoms {
            let signal = &signals[i];
            if told.contains(signal.device()) {
                near.entry(signal.device()).or_default().push((signal.onset_ms, at));
            }
            let needs = needs.entry(&signal.entity).or_insert_with(|| {
                let all = depends.dependencies(&signal.entity).into_iter().map(|(on, _)| device_of(on));
                all.filter(|on| told.contains(on)).collect()
            });
            for on in needs {
                above.entry(on).or_default().push((signal.onset_ms, at));
            }
        }
    }
    for (i, signal) in signals.iter().enumerate() {
        let device = signal.device();
        match signal.role {
            Role::Symptom => {}
            Role::Hint => {
                let of = near.get(device).into_iter().flatten();
                let nearest = of.map(|&(onset, at)| (onset.abs_diff(signal.onset_ms), at)).min();
                if let Some((_, at)) = nearest.filter(|(apart, _)| *apart <= rules.window_ms) {
                    groups[at].hints.push(i);
                }
            }
            Role::Change => {
                let of = near.get(device).into_iter().chain(above.get(device)).flatten();
                // It may be told a little after what it did.
                let is_before = |onset: u64| {
                    signal.onset_ms <= onset + rules.together_ms / 2
                        && onset <= signal.onset_ms + rules.before_ms
                };
                for &(onset, at) in of {
                    // They come in their order.
                    if is_before(onset) && groups[at].changes.last() != Some(&i) {
                        groups[at].changes.push(i);
                    }
                }
            }
        }
    }
}

/// `site/node` of an entity.
#[must_use]
pub fn device_of(entity: &str) -> &str {
    entity.split('#').next().unwrap_or(entity)
}
