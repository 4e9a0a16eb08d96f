//! Who should hold what: pure, and the same for everybody who looks at the same moment.
//!
//! Each member decides for itself alone, under the store's lock: which of the domains without a holder it takes, and which
//! of its own it gives up. What is given up has no holder for a moment, and is then taken by whoever has least to do.
//! So no domain ever has two holders, and nobody needs to lead.

use std::collections::BTreeMap;

/// A life of a collector in the cluster. Each life has a number of its own, higher than any before it: it is what a
/// commit is fenced by.
pub type Number = i64;

/// Sites that must go to one holder together: for now, one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its name: that of the site.
    pub name: String,
    /// How much work it is, roughly: its devices. Never less than one.
    pub weight: u64,
    /// Who holds it. One that lives no longer counts as nobody.
    pub holder: Option<Number>,
}

/// What a member does now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Domains to take.
    pub take: Vec<String>,
    /// Domains to give up.
    pub release: Vec<String>,
}

/// A difference smaller than this part of the mean load is not worth a move.
const SLACK: u64 = 8;

/// What member `me` does, where `members` live and `domains` are held as they say.
///
/// Domains without a holder go to whoever has least, the heaviest first (Graham's longest processing time first, 1969).
/// Then, as long as somebody would still have clearly less with a domain than its holder has now, that domain moves there.
/// Everybody works the whole of this out, comes to the same, and does its own part.
#[must_use]
pub fn plan(me: Number, members: &[Number], domains: &[Domain]) -> Plan {
    let mut shares: BTreeMap<Number, Share<'_>> = members.iter().map(|m| (*m, Share::default())).collect();
    let mut plan = Plan::default();
    if !shares.contains_key(&me) {
        return plan;
    }
    let mut heaviest_first: Vec<&Domain> = domains.iter().collect();
    heaviest_first.sort_unstable_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.name.cmp(&b.name)));
    let mut free = Vec::new();
    for domain in heaviest_first {
        match domain.holder.and_then(|h| shares.get_mut(&h)) {
            Some(share) => share.add(domain),
            None => free.push(domain),
        }
    }
    for domain in free {
        let Some((to, share)) = shares.iter_mut().min_by_key(|(m, s)| (s.load, **m)) else { break };
        share.load += domain.weight.max(1);
        if *to == me {
            plan.take.push(domain.name.clone());
        }
    }
    let slack = shares.values().map(|s| s.load).sum::<u64>() / shares.len() as u64 / SLACK;
    while let Some((from, at, to)) = next_move(&shares, slack) {
        let Some(domain) = shares.get_mut(&from).map(|s| s.remove(at)) else { break };
        if let Some(share) = shares.get_mut(&to) {
            share.load += domain.weight.max(1);
        }
        if from == me {
            plan.release.push(domain.name.clone());
        }
    }
    plan
}

/// What a member has.
#[derive(Debug, Default)]
struct Share<'d> {
    load: u64,
    /// What it may give up, the heaviest first.
    domains: Vec<&'d Domain>,
}

impl<'d> Share<'d> {
    fn add(&mut self, domain: &'d Domain) {
        self.load += domain.weight.max(1);
        self.domains.push(domain);
    }

    fn remove(&mut self, at: usize) -> &'d Domain {
        let domain = self.domains.remove(at);
        self.load -= domain.weight.max(1);
        domain
    }
}

/// The next domain that should move: from whom, which of its own, and to whom. From whoever has most, if that helps.
fn next_move(shares: &BTreeMap<Number, Share<'_>>, slack: u64) -> Option<(Number, usize, Number)> {
    let (to, least) = shares.iter().min_by_key(|(m, s)| (s.load, **m))?;
    let mut givers: Vec<(&Number, &Share<'_>)> = shares.iter().collect();
    givers.sort_by_key(|(m, s)| (std::cmp::Reverse(s.load), **m));
    givers.into_iter().find_map(|(from, share)| {
        let helps = |d: &&Domain| least.load + d.weight.max(1) + slack < share.load;
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
        domains: Vec<Domain>,
        moves: usize,
    }

    impl World {
        fn of(weights: &[u64]) -> Self {
            let domain = |(n, weight): (usize, &u64)| Domain {
                name: format!("site-{n}"),
                weight: *weight,
                holder: None,
            };
            Self { domains: weights.iter().enumerate().map(domain).collect(), ..Self::default() }
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
            let plan = plan(me, &self.members, &self.domains);
            let members = self.members.clone();
            for (names, holder) in [(&plan.take, Some(me)), (&plan.release, None)] {
                for name in names {
                    let domain = self.domains.iter_mut().find(|d| d.name == *name).unwrap();
                    match holder {
                        Some(_) => {
                            assert!(domain.holder.is_none_or(|h| !members.contains(&h)), "two holders")
                        }
                        None => assert_eq!(domain.holder, Some(me), "not its own"),
                    }
                    domain.holder = holder;
                    self.moves += usize::from(holder.is_some());
                }
            }
        }

        /// Everybody has three turns: one to see what is free, one to give up, one to take what was given up.
        fn settle(&mut self) {
            (0..3 * self.members.len()).for_each(|which| self.turn(which));
        }

        fn load(&self, member: Number) -> u64 {
            self.domains.iter().filter(|d| d.holder == Some(member)).map(|d| d.weight).sum()
        }

        fn check_settled(&self) {
            if self.members.is_empty() {
                return;
            }
            for d in &self.domains {
                assert!(d.holder.is_some_and(|h| self.members.contains(&h)), "{d:?} has no holder");
            }
            let loads: Vec<u64> = self.members.iter().map(|m| self.load(*m)).collect();
            let heaviest = self.domains.iter().map(|d| d.weight).max().unwrap_or(0);
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
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            2 => Just(Step::Joins),
            2 => (0..9_usize).prop_map(Step::Leaves),
            8 => (0..9_usize).prop_map(Step::Turn),
            3 => (1..100_u64).prop_map(Step::Appears),
        ];
        proptest::collection::vec(step, 0..80)
    }

    proptest! {
        #[test]
        fn whatever_happens_each_domain_has_one_holder_soon_and_then_rests(
            weights in proptest::collection::vec(1..100_u64, 0..40), steps in steps(),
        ) {
            let mut world = World::of(&weights);
            for step in steps {
                match step {
                    Step::Joins => world.joins(),
                    Step::Leaves(which) => world.leaves(which),
                    Step::Turn(which) => world.turn(which),
                    Step::Appears(weight) => {
                        let name = format!("site-{}", world.domains.len());
                        world.domains.push(Domain { name, weight, holder: None });
                    }
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

    #[test]
    fn one_that_is_no_member_does_nothing() {
        let domains = [Domain { name: "a".into(), weight: 1, holder: None }];
        assert_eq!(plan(1, &[], &domains), Plan::default());
        assert_eq!(plan(1, &[2], &domains), Plan::default());
        assert_eq!(plan(2, &[2], &domains).take, ["a"]);
    }
}
