//! The rules: each finds sets of symptoms that belong together, and says why.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use petgraph::unionfind::UnionFind;

use super::{Depends, Link, Rules, device_of};
use crate::signal::{Signal, What};

/// Symptoms that belong together.
pub(super) struct Linked {
    pub(super) members: Vec<usize>,
    pub(super) link: Link,
}

/// So many of a shared dependency's dependents, and this share of them, must go together to speak of it.
const SHARED: (usize, f64) = (2, 0.5);
/// And of a site, of which nobody said that its devices depend on anything.
const SITE: (usize, f64) = (3, 0.5);

/// Everything that links, joined in `sets`. `order` holds the symptoms in the order of onset.
pub(super) fn join(
    signals: &[Signal],
    order: &[usize],
    depends: &dyn Depends,
    rules: &Rules,
    sets: &mut UnionFind<usize>,
) -> Vec<Linked> {
    let mut linked = Vec::new();
    let of = Near { signals, window: rules.window_ms };
    let device = |device: &str| Link::Device { device: device.to_owned() };
    of.runs(order, |i| Some(signals[i].device()), device, &mut linked);
    for name in &rules.scopes {
        let of_site = name == "site";
        let value = |i: usize| {
            let s = &signals[i];
            if of_site { Some(s.key.site.as_str()) } else { depends.label(s.device(), name) }
        };
        let scope = |value: &str| Link::Scope { scope: format!("{name}={value}") };
        of.runs(order, value, scope, &mut linked);
    }
    lasting(signals, order, &mut linked);
    together(signals, order, rules, &mut linked);
    let above = Above::new(signals, order, depends);
    above.depending(rules, &mut linked);
    linked.iter().for_each(|found| union(sets, &found.members));
    // What is silent is spoken of only where it joins what nothing else does, the nearest first.
    let mut silent = above.sharing(depends, rules);
    silent.sort_by_key(|found| if let Link::Shared { of, .. } = found.link { of } else { 0 });
    for found in silent.into_iter().chain(sites(signals, order, depends, rules)) {
        let first = found.members.first().map(|&i| sets.find(i));
        if found.members.iter().any(|&i| Some(sets.find(i)) != first) {
            union(sets, &found.members);
            linked.push(found);
        }
    }
    linked
}

/// Makes one set of all of these.
pub(super) fn union(sets: &mut UnionFind<usize>, members: &[usize]) {
    for pair in members.windows(2) {
        sets.union(pair[0], pair[1]);
    }
}

struct Near<'a> {
    signals: &'a [Signal],
    window: u64,
}

impl<'a> Near<'a> {
    /// Those of the same name, each within the window of the one before.
    fn runs(
        &self,
        order: &[usize],
        name: impl Fn(usize) -> Option<&'a str>,
        link: impl Fn(&str) -> Link,
        to: &mut Vec<Linked>,
    ) {
        let mut of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for &i in order {
            if let Some(name) = name(i) {
                of.entry(name).or_default().push(i);
            }
        }
        for (name, members) in of {
            let onset = |i: usize| self.signals[i].onset_ms;
            for run in
                members.chunk_by(|&a, &b| onset(b) - onset(a) <= self.window).filter(|run| run.len() > 1)
            {
                to.push(Linked { members: run.to_vec(), link: link(name) });
            }
        }
    }
}

/// What goes on in the same part of a device is one problem, however long it takes: a leak, and the crash it ends in.
fn lasting(signals: &[Signal], order: &[usize], to: &mut Vec<Linked>) {
    let mut of: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for &i in order {
        let signal = &signals[i];
        let part = signal.moved.first().map_or("", |m| m.group.as_str());
        if !part.is_empty() {
            of.entry((signal.entity.as_str(), part)).or_default().push(i);
        }
    }
    for members in of.into_values() {
        let mut until: Option<(usize, u64)> = None;
        for i in members {
            let end = signals[i].end_ms.unwrap_or(u64::MAX);
            match until {
                Some((first, open)) if signals[i].onset_ms <= open => {
                    let link = Link::Device { device: signals[i].device().to_owned() };
                    to.push(Linked { members: vec![first, i], link });
                    until = Some((i, open.max(end)));
                }
                _ => until = Some((i, end)),
            }
        }
    }
}

/// Symptoms by entity, and what each entity depends on.
struct Above<'a> {
    signals: &'a [Signal],
    /// In the order of onset.
    of: BTreeMap<&'a str, Vec<usize>>,
    dependencies: BTreeMap<&'a str, Vec<(&'a str, u8)>>,
}

impl<'a> Above<'a> {
    fn new(signals: &'a [Signal], order: &[usize], depends: &'a dyn Depends) -> Self {
        let mut of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for &i in order {
            of.entry(signals[i].entity.as_str()).or_default().push(i);
        }
        let dependencies = of.keys().map(|entity| (*entity, depends.dependencies(entity))).collect();
        Self { signals, of, dependencies }
    }

    /// Each with the nearest in time of what it depends on. Those of one entity are linked among themselves already.
    fn depending(&self, rules: &Rules, to: &mut Vec<Linked>) {
        for (entity, members) in &self.of {
            for (on, _) in &self.dependencies[entity] {
                let Some(causes) = self.of.get(on) else { continue };
                for &i in members {
                    let onset = self.signals[i].onset_ms;
                    let at = causes.partition_point(|&c| self.signals[c].onset_ms <= onset);
                    let beside =
                        [at.checked_sub(1), Some(at)].into_iter().flatten().filter_map(|at| causes.get(at));
                    for &c in beside.filter(|&&c| self.signals[c].onset_ms.abs_diff(onset) <= rules.reach_ms)
                    {
                        let link = Link::Depends { who: (*entity).to_owned(), on: (*on).to_owned() };
                        to.push(Linked { members: vec![i, c], link });
                    }
                }
            }
        }
    }

    /// Many that depend on the same, and went together.
    fn sharing(&self, depends: &dyn Depends, rules: &Rules) -> Vec<Linked> {
        let mut to = Vec::new();
        let mut below: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (entity, members) in &self.of {
            for (on, _) in &self.dependencies[entity] {
                below.entry(on).or_default().extend(members);
            }
        }
        for (on, mut members) in below {
            let of = depends.dependents(on);
            members.sort_by_key(|&i| self.signals[i].onset_ms);
            // What is on the thing itself is told apart by its parts.
            let who = |i: usize| {
                let signal = &self.signals[i];
                if signal.device() == device_of(on) { signal.entity.as_str() } else { signal.device() }
            };
            let crowds = crowds(self.signals, &members, who, rules.together_ms, many(of, SHARED));
            to.extend(crowds.into_iter().map(|(members, count)| Linked {
                members,
                link: Link::Shared { on: on.to_owned(), count, of: of.max(count) },
            }));
        }
        to
    }
}

/// How many of so many are too many for chance: a share of a few, and of a crowd some more than what goes on in any
/// crowd, which grows as its square root.
pub(super) fn many(of: usize, (least, share): (usize, f64)) -> usize {
    let of = of as f64;
    ((share * of).ceil().min(3.0 + 2.0 * of.sqrt()) as usize).max(least)
}

/// Stretches of `members`, in the order of onset, in which at least `many` told something within the window of each
/// other; and how many did in all.
fn crowds<'s>(
    signals: &'s [Signal],
    members: &[usize],
    who: impl Fn(usize) -> &'s str,
    window: u64,
    many: usize,
) -> Vec<(Vec<usize>, usize)> {
    let onset = |at: usize| signals[members[at]].onset_ms;
    let mut here: HashMap<&str, usize> = HashMap::new();
    let mut stretches: Vec<(usize, usize)> = Vec::new();
    let mut first = 0;
    for last in 0..members.len() {
        *here.entry(who(members[last])).or_default() += 1;
        while onset(last) - onset(first) > window {
            let gone = who(members[first]);
            if let Some(n) = here.get_mut(gone) {
                *n -= 1;
                if *n == 0 {
                    here.remove(gone);
                }
            }
            first += 1;
        }
        if here.len() >= many {
            match stretches.last_mut() {
                Some(before) if before.1 >= first => before.1 = last,
                _ => stretches.push((first, last)),
            }
        }
    }
    let whole = |(from, to): (usize, usize)| {
        let members = members[from..=to].to_vec();
        let count = members.iter().map(|&i| who(i)).collect::<BTreeSet<_>>().len();
        (members, count)
    };
    stretches.into_iter().map(whole).collect()
}

/// Most devices of a site did the same at once: something that they share, even if nobody declared it.
fn sites(signals: &[Signal], order: &[usize], depends: &dyn Depends, rules: &Rules) -> Vec<Linked> {
    let mut to = Vec::new();
    let mut same: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for &i in order {
        let signal = &signals[i];
        // A fact's pattern names the thing, so that only the same fact is the same.
        if matches!(signal.key.what, What::Episode | What::Presence | What::Fact | What::Trouble) {
            same.entry((&signal.key.site, &signal.pattern)).or_default().push(i);
        }
    }
    for ((site, _), members) in same {
        let of = depends.devices(site);
        let crowds = crowds(signals, &members, |i| signals[i].device(), rules.together_ms, many(of, SITE));
        to.extend(crowds.into_iter().map(|(members, count)| Linked {
            members,
            link: Link::Shared { on: site.to_owned(), count, of: of.max(count) },
        }));
    }
    to
}

/// What came together again and again.
fn together(signals: &[Signal], order: &[usize], rules: &Rules, to: &mut Vec<Linked>) {
    if rules.pairs.is_empty() {
        return;
    }
    let mut of: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for &i in order {
        of.entry(super::learnt::name(&signals[i])).or_default().push(i);
    }
    for pair in &rules.pairs {
        let (Some(ours), Some(theirs)) = (of.get(&pair.0), of.get(&pair.1)) else { continue };
        for &i in ours {
            let onset = signals[i].onset_ms;
            let near = theirs.iter().filter(|&&j| signals[j].onset_ms.abs_diff(onset) <= rules.reach_ms);
            to.extend(
                near.map(|&j| Linked { members: vec![i, j], link: Link::Learnt { pair: pair.clone() } }),
            );
        }
    }
}
