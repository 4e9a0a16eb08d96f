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
        let site =
            |(n, weight): (usize, &u64)| Site { name: format!("site-{n}"), weight: *weight, holder: None };
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
