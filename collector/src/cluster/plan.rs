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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The store as the plan sees it.
    #[derive(Debug, Default)]
    struct World {
        members: Vec<Number>,
        born: Number,
        sites: Vec<Site>,
        together: Vec<BTreeSet<String>>,
        moves: usize,
    }

    impl World {
        fn of(weights: &[u64]) -> Self {
            let site = |(n, weight): (usize, &u64)| Site {
                name: format!("site-{n}"),
                weight: *weight,
                holder: None,
            };
            Self { sites: weights.iter().enumerate().map(site).collect(), ..Self::default() }
        }

        fn joins(&mut self) {
            self.born += 1;
            self.members.push(self.born);
        }

        fn leaves(&mut self, which: usize) {
            if !self.members.is_empty() {
                self.members.remove(which % self.members.len());
            }
        }

        /// A member's turn. What it takes must be free, and what it gives up its own.
        fn turn(&mut self, which: usize) {
            let Some(me) = self.members.get(which % self.members.len().max(1)).copied() else { return };
            let plan = plan(me, &self.members, &self.sites, &self.together);
            let members = self.members.clone();
            for (names, holder) in [(&plan.take, Some(me)), (&plan.release, None)] {
                for name in names {
                    let site = self.sites.iter_mut().find(|s| s.name == *name).unwrap();
                    match holder {
                        Some(_) => {
                            assert!(site.holder.is_none_or(|h| !members.contains(&h)), "two holders")
                        }
                        None => assert_eq!(site.holder, Some(me), "not its own"),
                    }
                    site.holder = holder;
                    self.moves += usize::from(holder.is_some());
                }
            }
        }

        /// Everybody has five turns: to see what is free, and twice to give up and to take what was given up: first what
        /// comes together, then what moves.
        fn settle(&mut self) {
            (0..5 * self.members.len()).for_each(|which| self.turn(which));
        }

        /// An edge between two sites appears.
        fn join(&mut self, a: usize, b: usize) {
            let name = |n: usize| self.sites.get(n % self.sites.len().max(1)).map(|s| s.name.clone());
            let both: BTreeSet<String> = [a, b].into_iter().filter_map(name).collect();
            let (touched, rest): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.together).into_iter().partition(|set| !set.is_disjoint(&both));
            self.together = rest;
            self.together.push(touched.into_iter().flatten().chain(both).collect());
        }

        fn load(&self, member: Number) -> u64 {
            self.sites.iter().filter(|s| s.holder == Some(member)).map(|s| s.weight).sum()
        }

        fn check_settled(&self) {
            if self.members.is_empty() {
                return;
            }
            for s in &self.sites {
                assert!(s.holder.is_some_and(|h| self.members.contains(&h)), "{s:?} has no holder");
            }
            let of = |name: &String| self.sites.iter().find(|s| s.name == *name).unwrap();
            for set in &self.together {
                let holders: BTreeSet<_> = set.iter().map(|name| of(name).holder).collect();
                assert!(holders.len() <= 1, "{set:?} is held by {holders:?}");
            }
            let loads: Vec<u64> = self.members.iter().map(|m| self.load(*m)).collect();
            let alone = self.sites.iter().map(|s| s.weight);
            let joined = self.together.iter().map(|set| set.iter().map(|name| of(name).weight).sum());
            let heaviest = alone.chain(joined).max().unwrap_or(0);
            let slack = loads.iter().sum::<u64>() / loads.len() as u64 / SLACK;
            let (low, high) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
            assert!(high - low <= heaviest + slack, "{loads:?}, the heaviest domain is {heaviest}");
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Joins,
        Leaves(usize),
        Turn(usize),
        Appears(u64),
        Depends(usize, usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            2 => Just(Step::Joins),
            2 => (0..9_usize).prop_map(Step::Leaves),
            8 => (0..9_usize).prop_map(Step::Turn),
            3 => (1..100_u64).prop_map(Step::Appears),
            1 => (0..40_usize, 0..40_usize).prop_map(|(a, b)| Step::Depends(a, b)),
        ];
        proptest::collection::vec(step, 0..80)
    }

    proptest! {
        #[test]
        fn whatever_happens_each_site_has_one_holder_soon_and_then_rests(
            weights in proptest::collection::vec(1..100_u64, 0..40), steps in steps(),
        ) {
            let mut world = World::of(&weights);
            for step in steps {
                match step {
                    Step::Joins => world.joins(),
                    Step::Leaves(which) => world.leaves(which),
                    Step::Turn(which) => world.turn(which),
                    Step::Appears(weight) => {
                        let name = format!("site-{}", world.sites.len());
                        world.sites.push(Site { name, weight, holder: None });
                    }
                    Step::Depends(a, b) => world.join(a, b),
                }
            }
            world.settle();
            world.check_settled();
            let moves = world.moves;
            world.settle();
            prop_assert_eq!(world.moves, moves, "it does not come to rest");
        }

        #[test]
        fn when_one_goes_only_what_it_had_moves(count in 2..200_usize, members in 2..6_usize, gone in 0..6_usize) {
            let mut world = World::of(&vec![1; count]);
            (0..members).for_each(|_| world.joins());
            world.settle();
            let gone = world.members[gone % members];
            let had = usize::try_from(world.load(gone)).unwrap();
            let moves = world.moves;
            world.members.retain(|m| *m != gone);
            world.settle();
            prop_assert_eq!(world.moves - moves, had);
        }

        #[test]
        fn when_one_comes_no_more_moves_than_its_share(count in 2..200_usize, members in 1..6_usize) {
            let mut world = World::of(&vec![1; count]);
            (0..members).for_each(|_| world.joins());
            world.settle();
            let moves = world.moves;
            world.joins();
            world.settle();
            world.check_settled();
            prop_assert!(world.moves - moves <= count.div_ceil(members + 1), "{} moved", world.moves - moves);
        }
    }

    fn site(name: &str, weight: u64, holder: Option<Number>) -> Site {
        Site { name: name.into(), weight, holder }
    }

    #[test]
    fn one_that_is_no_member_does_nothing() {
        let sites = [site("a", 1, None)];
        assert_eq!(plan(1, &[], &sites, &[]), Plan::default());
        assert_eq!(plan(1, &[2], &sites, &[]), Plan::default());
        assert_eq!(plan(2, &[2], &sites, &[]).take, ["a"]);
    }

    #[test]
    fn what_comes_to_depend_on_each_other_is_gathered_where_most_of_it_is() {
        let sites = |shed| [site("hall", 5, Some(1)), site("shed", 2, shed), site("yard", 4, Some(2))];
        let together = [BTreeSet::from(["hall".to_owned(), "shed".to_owned()])];
        let check = |me, shed, together: &[BTreeSet<String>], take: &[&str], release: &[&str]| {
            let plan = plan(me, &[1, 2], &sites(shed), together);
            assert_eq!((plan.take, plan.release), (owned(take), owned(release)), "{me} {shed:?}");
        };
        fn owned(names: &[&str]) -> Vec<String> {
            names.iter().map(|n| (*n).to_owned()).collect()
        }
        // Nothing depends on anything: all is well as it is.
        check(1, Some(2), &[], &[], &[]);
        check(2, Some(2), &[], &[], &[]);
        // An edge appears: first it is given up, then taken; nobody else takes it although he has less.
        check(1, Some(2), &together, &[], &[]);
        check(2, Some(2), &together, &[], &["shed"]);
        check(2, None, &together, &[], &[]);
        check(1, None, &together, &["shed"], &[]);
        check(1, Some(1), &together, &[], &[]);
        let heavy = [site("hall", LARGEST, Some(1)), site("shed", 2, Some(2))];
        assert_eq!(plan(2, &[1, 2], &heavy, &together), Plan::default(), "too much for one");
    }
}
