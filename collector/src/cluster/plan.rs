//! Who should hold what: pure, and the same for everybody who looks at the same moment.
//!
//! Each member decides for itself alone, under the store's lock: which of the sites without a holder it takes, and which
//! of its own it gives up. What is given up has no holder for a moment, and is then taken by whoever has least to do.
//! So no site ever has two holders, and nobody needs to lead.

use std::collections::{BTreeMap, BTreeSet};

/// A life of a collector in the cluster. Each life has a number of its own, higher than any before it: it is what a
/// commit is fenced by.
pub type Number = i64;

/// A site as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// How much work it is, roughly: its devices. Never less than one.
    pub weight: u64,
    /// Who holds it. One that lives no longer counts as nobody.
    pub holder: Option<Number>,
}

/// What a member does now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Sites to take.
    pub take: Vec<String>,
    /// Sites to give up.
    pub release: Vec<String>,
}

/// A difference smaller than this part of the mean load is not worth a move.
const SLACK: u64 = 8;
/// Sites that depend on each other and have more devices than this are shared out one by one all the same: it is as many
/// as one member takes in when all come back at once.
const LARGEST: u64 = 10_000;

/// What member `me` does, where `members` live, `sites` are held as they say, and those of each set in `together` depend
/// on each other, as far as `me` knows.
///
/// Sites that depend on each other are one domain, and are gathered where most of it is already. Domains without a holder
/// go to whoever has least, the heaviest first (Graham's longest processing time first, 1969). Then, as long as somebody
/// would still have clearly less with a domain than its holder has now, that domain moves there. Everybody works the
/// whole of this out, comes to the same, and does its own part. Who knows less of what depends on what takes nothing that
/// is held, and gives up nothing that is not its own.
#[must_use]
pub fn plan(me: Number, members: &[Number], sites: &[Site], together: &[BTreeSet<String>]) -> Plan {
    let mut shares: BTreeMap<Number, Share<'_>> = members.iter().map(|m| (*m, Share::default())).collect();
    let mut plan = Plan::default();
    if !shares.contains_key(&me) {
        return plan;
    }
    let mut free = Vec::new();
    for domain in domains(sites, members, together) {
        match domain.home().and_then(|home| shares.get_mut(&home)) {
            Some(share) => {
                plan.gather(me, &domain);
                share.add(domain);
            }
            None => free.push(domain),
        }
    }
    for domain in free {
        let Some((to, share)) = shares.iter_mut().min_by_key(|(m, s)| (s.load, **m)) else { break };
        share.load += domain.weight;
        if *to == me {
            plan.take.extend(domain.names());
        }
    }
    let slack = shares.values().map(|s| s.load).sum::<u64>() / shares.len() as u64 / SLACK;
    while let Some((from, at, to)) = next_move(&shares, slack) {
        let Some(domain) = shares.get_mut(&from).map(|s| s.remove(at)) else { break };
        if let Some(share) = shares.get_mut(&to) {
            share.load += domain.weight;
        }
        if from == me {
            plan.release.extend(domain.names());
        }
    }
    plan
}

impl Plan {
    /// What there is to do that a domain comes together at its home.
    fn gather(&mut self, me: Number, domain: &Domain<'_>) {
        if domain.home() == Some(me) {
            self.take.extend(domain.held_by(None));
        } else {
            self.release.extend(domain.held_by(Some(me)));
        }
    }
}

/// Sites that must go to one holder together, the heaviest domain first.
fn domains<'s>(sites: &'s [Site], members: &[Number], together: &[BTreeSet<String>]) -> Vec<Domain<'s>> {
    let weight: BTreeMap<&str, u64> = sites.iter().map(|s| (s.name.as_str(), s.weight.max(1))).collect();
    let mut set_of: BTreeMap<&str, usize> = BTreeMap::new();
    for (n, set) in together.iter().enumerate() {
        if set.iter().filter_map(|name| weight.get(name.as_str())).sum::<u64>() <= LARGEST {
            set_of.extend(set.iter().map(|name| (name.as_str(), n)));
        }
    }
    let (mut all, mut joined) = (Vec::new(), BTreeMap::<usize, Domain<'_>>::new());
    for site in sites {
        let holder = site.holder.filter(|h| members.contains(h));
        let domain = match set_of.get(site.name.as_str()) {
            Some(n) => joined.entry(*n).or_default(),
            None => {
                all.push(Domain::default());
                let Some(domain) = all.last_mut() else { continue };
                domain
            }
        };
        domain.weight += site.weight.max(1);
        domain.sites.push((site, holder));
    }
    all.extend(joined.into_values());
    let name = |d: &Domain<'s>| d.sites.first().map(|(site, _)| site.name.as_str());
    all.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| name(a).cmp(&name(b))));
    all
}

/// Sites of one holder, or of one that is to be.
#[derive(Debug, Default)]
struct Domain<'s> {
    weight: u64,
    /// Each with its holder, if that lives.
    sites: Vec<(&'s Site, Option<Number>)>,
}

impl Domain<'_> {
    /// Who holds most of it; of several the one that has lived longest.
    fn home(&self) -> Option<Number> {
        let mut held: BTreeMap<Number, u64> = BTreeMap::new();
        for (site, holder) in &self.sites {
            if let Some(holder) = holder {
                *held.entry(*holder).or_default() += site.weight.max(1);
            }
        }
        held.into_iter().max_by_key(|(member, weight)| (*weight, std::cmp::Reverse(*member))).map(|(m, _)| m)
    }

    fn names(&self) -> impl Iterator<Item = String> {
        self.sites.iter().map(|(site, _)| site.name.clone())
    }

    fn held_by(&self, holder: Option<Number>) -> impl Iterator<Item = String> {
        self.sites.iter().filter(move |(_, by)| *by == holder).map(|(site, _)| site.name.clone())
    }

    fn is_whole(&self) -> bool {
        self.sites.iter().all(|(_, holder)| *holder == self.sites.first().and_then(|(_, first)| *first))
    }
}

/// What a member has.
#[derive(Debug, Default)]
struct Share<'s> {
    load: u64,
    /// What it may give up, the heaviest first. What is still being gathered does not move.
    domains: Vec<Domain<'s>>,
}

impl<'s> Share<'s> {
    fn add(&mut self, domain: Domain<'s>) {
        self.load += domain.weight;
        if domain.is_whole() {
            self.domains.push(domain);
        }
    }

    fn remove(&mut self, at: usize) -> Domain<'s> {
        let domain = self.domains.remove(at);
        self.load -= domain.weight;
        domain
    }
}

/// The next domain that should move: from whom, which of its own, and to whom. From whoever has most, if that helps.
fn next_move(shares: &BTreeMap<Number, Share<'_>>, slack: u64) -> Option<(Number, usize, Number)> {
    let (to, least) = shares.iter().min_by_key(|(m, s)| (s.load, **m))?;
    let mut givers: Vec<(&Number, &Share<'_>)> = shares.iter().collect();
    givers.sort_by_key(|(m, s)| (std::cmp::Reverse(s.load), **m));
    givers.into_iter().find_map(|(from, share)| {
        let helps = |d: &Domain<'_>| least.load + d.weight + slack < share.load;
        share.domains.iter().position(helps).map(|at| (*from, at, *to))
    })
}

#[cfg(test)]
mod tests;
