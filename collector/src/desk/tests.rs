mod orders;

use bytes::Bytes;
use fieldmouse_core::wire::{phase, state};
use proptest::prelude::*;

use super::incident::{Incident, Life, State, Step};
use super::*;
use crate::correlate::learnt::Pair;
use crate::intake::decode;
use crate::sample::{self, NOON, Sample};
use crate::signal;
use crate::store::Database;
use crate::topology::Origin;

const MINUTE: u64 = 60_000;

/// A collector without broker and page.
struct Bench {
    store: Arc<Database>,
    desk: Desk,
}

impl Bench {
    fn new(topology: &str) -> Self {
        Self::learning(topology, Learn::Automatic)
    }

    fn learning(topology: &str, learn: Learn) -> Self {
        let store = Arc::new(Database::in_memory().unwrap());
        let declared = Declared::read("topology.toml", topology).unwrap();
        let desk = Desk::new(
            Arc::clone(&store) as Arc<dyn Store>,
            Rules::default(),
            learn,
            declared,
            Sites::All,
            NOON,
        )
        .unwrap();
        Self { store, desk }
    }

    /// A device tells this at the minute, and the desk looks.
    fn tell(&mut self, node: &str, leaf: &str, item: &Sample, minute: u64) {
        let (site, node) = node.split_once('/').unwrap_or(("hall", node));
        let payload = Bytes::from(sample::message(node, 7, std::slice::from_ref(item)));
        let arrival = decode::arrival(
            "fm",
            &format!("fm/1/{site}/{node}/{leaf}"),
            &payload,
            false,
            NOON + minute * MINUTE,
        );
        let done = self.store.commit(&[arrival]).unwrap();
        assert_eq!(done.malformed, Vec::<&str>::new());
        self.desk.hear(&done.born, NOON + minute * MINUTE).unwrap();
        self.desk.look(done.touched, NOON + minute * MINUTE + HOLD_MS).unwrap();
    }

    fn episode(&mut self, node: &str, seq: u64, id: u64, phase: u8, minute: u64) {
        let item = sample::episode(seq, id, phase, 0).at(NOON + minute * MINUTE);
        self.tell(node, "event", &item, minute);
    }

    fn wait(&mut self, minute: u64) {
        self.desk.look(BTreeMap::new(), NOON + minute * MINUTE).unwrap();
    }

    fn incidents(&self) -> Vec<Incident> {
        let all = self.store.records(&RecordFilter::all(Class::Incident)).unwrap();
        let mut all: Vec<Incident> = all.iter().map(|r| serde_json::from_str(&r.doc).unwrap()).collect();
        all.sort_by(|a, b| (a.onset_ms, &a.id).cmp(&(b.onset_ms, &b.id)));
        all
    }

    /// Of each incident its state, and its symptoms' devices.
    fn check(&self, want: &[(State, &str)]) {
        let shown = |i: &Incident| {
            let mut nodes: Vec<&str> = i.members.iter().map(|m| m.key.node.as_str()).collect();
            nodes.sort_unstable();
            (i.state, nodes.join(" "))
        };
        let found: Vec<_> = self.incidents().iter().map(shown).collect();
        let want: Vec<_> = want.iter().map(|(state, nodes)| (*state, (*nodes).to_owned())).collect();
        assert_eq!(found, want);
    }

    fn steps(&self) -> Vec<Step> {
        let mut all = self.store.records(&RecordFilter::all(Class::Life)).unwrap();
        all.sort_by(|a, b| (a.at_ms, &a.key).cmp(&(b.at_ms, &b.key)));
        all.iter().map(|r| serde_json::from_str::<Life>(&r.doc).unwrap().step).collect()
    }
}

const GATEWAY: &str = "[[depends]]\nfrom = \"hall/press-*\"\non = \"hall/gw\"\n";

#[test]
fn an_incident_opens_closes_and_comes_back() {
    let mut bench = Bench::new("");
    bench.episode("press-1", 1, 9, phase::OPENED, 0);
    bench.check(&[(State::Open, "press-1")]);
    bench.episode("press-1", 2, 9, phase::CLOSED, 3);
    bench.wait(7);
    bench.check(&[(State::Open, "press-1")]);
    bench.wait(8);
    bench.check(&[(State::Closed, "press-1")]);
    assert_eq!(bench.incidents()[0].closed_ms, Some(NOON + 3 * MINUTE));
    bench.episode("press-1", 3, 10, phase::OPENED, 12);
    bench.check(&[(State::Open, "press-1 press-1")]);
    assert_eq!(bench.steps(), [Step::Opened, Step::Closed, Step::Reopened]);
    assert_eq!(bench.incidents()[0].reopened, 1);
    bench.episode("press-1", 4, 10, phase::CLOSED, 13);
    bench.episode("press-1", 5, 11, phase::OPENED, 40);
    bench.check(&[(State::Closed, "press-1 press-1"), (State::Open, "press-1")]);
}

#[test]
fn two_become_one_when_what_both_depend_on_speaks() {
    let mut bench = Bench::new(GATEWAY);
    bench.episode("press-1", 1, 9, phase::OPENED, 0);
    bench.episode("press-2", 1, 9, phase::OPENED, 5);
    bench.check(&[(State::Open, "press-1"), (State::Open, "press-2")]);
    bench.episode("gw", 1, 9, phase::OPENED, 6);
    bench.check(&[(State::Open, "gw press-1 press-2"), (State::Merged, "press-2")]);
    let all = bench.incidents();
    assert_eq!(all[1].merged_into.as_ref(), Some(&all[0].id));
    assert!(bench.steps().contains(&Step::Merged));
}

#[test]
fn a_lost_device_is_a_symptom_until_it_is_heard_of() {
    let mut bench = Bench::new("");
    bench.tell("press-1", "status", &sample::status(state::ONLINE), 0);
    bench.check(&[]);
    bench.tell("press-1", "status", &sample::status(state::LOST), 1);
    bench.check(&[(State::Open, "press-1")]);
    assert_eq!(bench.incidents()[0].title, "hall/press-1 is not heard of");
    bench.tell("press-1", "status", &sample::status(state::ONLINE), 9);
    bench.wait(14);
    bench.check(&[(State::Closed, "press-1")]);
    bench.tell("press-1", "status", &sample::status(state::OFFLINE), 60);
    bench.check(&[(State::Closed, "press-1")]);
}

#[test]
fn what_lasts_for_days_is_one_incident_until_it_is_over() {
    const DAY: u64 = 24 * 60;
    let mut bench = Bench::new("");
    let trouble = |seq, verdict, text, minute| sample::trouble(seq, verdict, text).at(NOON + minute * MINUTE);
    bench.tell("press-1", "event", &trouble(1, 2, "does not answer", 0), 0);
    bench.tell("press-1", "event", &trouble(2, 3, "is not there", 60), 60);
    bench.tell("other", "status", &sample::status(state::ONLINE), 60);
    bench.tell("other", "status", &sample::status(state::LOST), 90);
    for day in 1..4 {
        bench.episode("press-2", day, day, phase::OPENED, day * DAY);
        bench.tell(
            "press-2",
            "event",
            &sample::episode(10 + day, day, phase::CLOSED, 60_000).at(NOON + (day * DAY + 1) * MINUTE),
            day * DAY + 1,
        );
    }
    let past = [(State::Closed, "press-2"); 3];
    let open = [&[(State::Open, "press-1"), (State::Open, "other")], &past[..]].concat();
    bench.wait(3 * DAY + 10);
    bench.check(&open);
    let over = 3 * DAY + 20;
    bench.tell("press-1", "event", &trouble(3, 0, "", over), over);
    bench.tell("other", "status", &sample::status(state::ONLINE), over);
    bench.wait(over + 1);
    bench.check(&open);
    bench.wait(over + 6);
    bench.check(&[&[(State::Closed, "press-1"), (State::Closed, "other")], &past[..]].concat());
    let ends: Vec<Option<u64>> = bench.incidents().iter().map(|i| i.closed_ms).take(2).collect();
    assert_eq!(ends, [Some(NOON + over * MINUTE); 2]);
}

#[test]
fn what_was_changed_before_is_suspected_as_long_as_it_lasts() {
    let mut bench = Bench::new(GATEWAY);
    let deployment = sample::fact(1, "deployment", "shop 2").at(NOON);
    bench.tell("gw", "event", &deployment, 0);
    bench.episode("press-1", 1, 9, phase::OPENED, 40);
    let causes = |bench: &Bench| bench.incidents()[0].causes.clone();
    let before = causes(&bench);
    assert!(before.iter().any(|cause| cause.entity == "hall/gw"), "{before:?}");
    bench.episode("other", 1, 1, phase::OPENED, 300);
    assert_eq!(causes(&bench), before);
}

#[test]
fn what_depends_on_each_other_at_two_sites_is_one_incident() {
    let mut bench = Bench::new("[[depends]]\nfrom = \"hall/gw\"\non = \"yard/db\"\n");
    bench.episode("gw", 1, 9, phase::OPENED, 0);
    bench.episode("yard/db", 1, 9, phase::OPENED, 1);
    bench.check(&[(State::Open, "db gw")]);
}

#[test]
fn who_is_heard_of_and_says_nothing_stands_between() {
    // How far the core is believed to be the cause of what a press suffers, if the gateway between them was heard of or not.
    let believed = |heard: &[&str]| {
        let mut bench = Bench::new(
            "[[depends]]\nfrom = \"hall/press-1\"\non = \"hall/gw\"\n[[depends]]\nfrom = \"hall/gw\"\non = \"hall/core\"\n",
        );
        for node in heard {
            bench.tell(node, "status", &sample::status(state::ONLINE), 0);
        }
        bench.episode("core", 1, 9, phase::OPENED, 1);
        bench.episode("press-1", 1, 9, phase::OPENED, 2);
        let incident = bench.incidents().remove(0);
        incident.causes.iter().find(|c| c.entity == "hall/core").map_or(0.0, |c| c.score)
    };
    let (unknown, well) = (believed(&["press-1", "core"]), believed(&["press-1", "core", "gw"]));
    assert!(well < unknown, "{well} {unknown}");
}

/// Who is blamed first when these devices of five tell the same within a minute.
fn check_blamed(topology: &str, nodes: &[&str], want: &str) {
    let mut bench = Bench::new(topology);
    for node in ["press-1", "press-2", "press-3", "press-4", "other"] {
        bench.tell(node, "status", &sample::status(state::ONLINE), 0);
    }
    for node in nodes {
        bench.episode(node, 1, 9, phase::OPENED, 1);
    }
    let all = bench.incidents();
    let open: Vec<&Incident> = all.iter().filter(|i| i.state == State::Open).collect();
    assert_eq!(open.len(), 1, "{nodes:?}");
    let causes: Vec<(&str, f64)> = open[0].causes.iter().map(|c| (c.entity.as_str(), c.score)).collect();
    assert_eq!(causes.first().map(|c| c.0), Some(want), "{nodes:?}: {causes:?}");
}

#[test]
fn what_all_share_is_blamed_though_it_says_nothing() {
    let all = ["press-1", "press-2", "press-3", "press-4", "other"];
    check_blamed("", &all, "hall");
    check_blamed("", &all[..1], "hall/press-1");
    check_blamed(GATEWAY, &all[..4], "hall/gw");
    check_blamed(GATEWAY, &["press-1", "press-2", "press-3", "gw"], "hall/gw");
}

#[test]
fn what_begins_waits_for_what_it_is_part_of() {
    let mut bench = Bench::new("");
    let item = sample::episode(1, 9, phase::OPENED, 0).at(NOON + MINUTE);
    let payload = Bytes::from(sample::message("press-1", 7, &[item]));
    let arrival = decode::arrival("fm", "fm/1/hall/press-1/event", &payload, false, NOON + MINUTE);
    let done = bench.store.commit(&[arrival]).unwrap();
    bench.desk.look(done.touched, NOON + MINUTE).unwrap();
    bench.check(&[]);
    assert_eq!(bench.desk.next(), Some(NOON + MINUTE + HOLD_MS));
    bench.desk.look(BTreeMap::new(), NOON + MINUTE + HOLD_MS).unwrap();
    bench.check(&[(State::Open, "press-1")]);
}

#[test]
fn what_names_a_service_is_about_it() {
    let mut bench = Bench::new("");
    bench.tell("press-1", "birth", &sample::birth(&[]), 0);
    let told = |seq, text| sample::fact(seq, "unit-failed", text).of(17).at(NOON + MINUTE);
    bench.tell("press-1", "event", &told(1, "unit shop.service failed"), 1);
    bench.tell("press-1", "event", &told(2, "unit cron.service failed"), 1);
    let all = bench.incidents();
    let entities: Vec<&str> = all[0].members.iter().map(|m| m.entity.as_str()).collect();
    assert_eq!(entities, ["hall/press-1#service=shop", "hall/press-1"]);
}

#[test]
fn what_was_found_out_stays_when_the_rest_is_forgotten() {
    let mut bench = Bench::new(GATEWAY);
    bench.episode("gw", 1, 9, phase::OPENED, 0);
    bench.episode("gw", 2, 9, phase::CLOSED, 2);
    bench.episode("press-1", 1, 9, phase::OPENED, 1);
    // Only the gateway joins it to the other.
    bench.episode("press-2", 1, 9, phase::OPENED, 6);
    let before = bench.incidents().remove(0);
    // Only what goes on is loaded two days later, and the gateway's part is over.
    bench.episode("other", 1, 9, phase::OPENED, 2 * 24 * 60);
    let after = bench.incidents().remove(0);
    assert_eq!((&after.causes, &after.title, &after.links), (&before.causes, &before.title, &before.links));
    assert_eq!(after.members, before.members);
}

#[test]
fn a_restart_and_a_take_over_change_nothing() {
    let mut bench = Bench::new(GATEWAY);
    bench.episode("press-1", 1, 9, phase::OPENED, 0);
    bench.episode("gw", 1, 9, phase::OPENED, 1);
    let before = bench.incidents();
    let declared = Declared::read("topology.toml", GATEWAY).unwrap();
    let store = Arc::clone(&bench.store) as Arc<dyn Store>;
    bench.desk = Desk::new(store, Rules::default(), Learn::Automatic, declared, Sites::All, NOON).unwrap();
    let unseen = bench.desk.unseen(NOON + 2 * MINUTE).unwrap();
    assert_eq!(unseen.keys().collect::<Vec<_>>(), ["hall"]);
    assert_eq!(bench.desk.look(unseen, NOON + 2 * MINUTE).unwrap(), Looked::default());
    assert_eq!(bench.incidents(), before);
}

impl Bench {
    /// Two that have nothing to do with each other come within a minute, on these days.
    fn together(&mut self, days: std::ops::Range<u64>) {
        let day = 24 * 60;
        for d in days {
            for (node, minute) in [("press-1", 0), ("other", 1)] {
                let (seq, id) = (2 * d + 1, d);
                self.episode(node, seq, id, phase::OPENED, d * day + minute);
                self.episode(node, seq + 1, id, phase::CLOSED, d * day + minute + 2);
            }
            self.wait(d * day + 10);
        }
    }

    /// How many incidents there are, and how many devices the last of them has.
    fn check_last(&self, count: usize, devices: usize) {
        let all = self.incidents();
        assert_eq!((all.len(), all.last().map(|i| i.impact.devices)), (count, Some(devices)));
    }

    /// The pair that was learnt.
    fn learnt(&self) -> Pair {
        let [pair] = &patterns::learnt(&*self.store, None).unwrap()[..] else { panic!("not one pair") };
        pair.clone()
    }

    /// A person says whether it is wanted.
    fn want(&mut self, wanted: bool) {
        let names = self.learnt().names;
        let review = patterns::Review { names, wanted, by: "ana".into(), at_ms: NOON };
        self.store.keep(&[Change::Put(review.record().unwrap())]).unwrap();
        self.desk.listen(NOON).unwrap();
    }
}

#[test]
fn what_came_together_three_times_is_one_incident_the_fourth_time() {
    let mut bench = Bench::new("");
    bench.together(0..3);
    bench.check_last(6, 1);
    bench.together(3..4);
    bench.check_last(7, 2);
    assert_eq!(bench.learnt().count, 3);
    // Until a person says no.
    bench.want(false);
    bench.together(4..5);
    bench.check_last(9, 1);
}

#[test]
fn what_was_learnt_waits_for_a_person_where_that_is_wanted() {
    let mut bench = Bench::learning("", Learn::Review);
    bench.together(0..4);
    bench.check_last(8, 1);
    bench.want(true);
    bench.together(4..5);
    bench.check_last(9, 2);
    let mut bench = Bench::learning("", Learn::Off);
    bench.together(0..5);
    bench.check_last(10, 1);
    assert_eq!(bench.store.records(&RecordFilter::all(Class::Pattern)).unwrap().len(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn late_and_shuffled_events_end_in_the_same_incidents(seed in any::<u64>()) {
        let told: Vec<(&str, Sample)> = [("press-1", 0u64), ("press-2", 1), ("gw", 2), ("press-1", 40), ("other", 41), ("press-2", 100)]
            .iter()
            .enumerate()
            .flat_map(|(n, &(node, minute))| {
                let (seq, id) = (2 * n as u64 + 1, n as u64);
                let at = |m: u64| NOON + m * MINUTE;
                [
                    (node, sample::episode(seq, id, phase::OPENED, 0).at(at(minute))),
                    (node, sample::episode(seq + 1, id, phase::CLOSED, 60_000).at(at(minute + 1))),
                ]
            })
            .collect();
        let outcome = |order: &[usize]| {
            let mut bench = Bench::new(GATEWAY);
            for (n, &i) in order.iter().enumerate() {
                bench.tell(told[i].0, "event", &told[i].1, 110 + n as u64);
            }
            bench.wait(200);
            let mut all = bench.incidents();
            all.retain(|i| i.state != State::Merged);
            let shown = |i: &Incident| (i.onset_ms, i.closed_ms, i.state, i.causes.clone(), i.members.clone());
            all.iter().map(shown).collect::<Vec<_>>()
        };
        let in_order: Vec<usize> = (0..told.len()).collect();
        let mut shuffled = in_order.clone();
        shuffled.sort_by_key(|i| signal::fnv(&format!("{seed} {i}")));
        prop_assert_eq!(outcome(&in_order), outcome(&shuffled));
    }
}

fn these(names: &[&str]) -> Sites {
    Sites::These(Arc::new(names.iter().map(|n| (*n).to_owned()).collect()))
}

/// Which device depends on which, as a desk sees it.
fn seen(desk: &Desk) -> Vec<String> {
    let topology = desk.topology();
    let devices = topology.edges().filter(|(from, to)| !from.contains('#') && !to.contains('#'));
    let mut edges: Vec<String> = devices.map(|(from, to)| format!("{from} > {to}")).collect();
    edges.sort();
    edges
}

#[test]
fn what_is_said_at_one_collector_is_known_at_another() {
    let store: Arc<dyn Store> = Arc::new(Database::in_memory().unwrap());
    let file = "[[depends]]\nfrom = \"hall/press-*\"\non = \"yard/gw\"\n";
    let desk = |sites: &[&str]| {
        let declared = Declared::read("topology.toml", file).unwrap();
        Desk::new(Arc::clone(&store), Rules::default(), Learn::Automatic, declared, these(sites), NOON)
            .unwrap()
    };
    let (mut a, mut b) = (desk(&["hall"]), desk(&["yard"]));
    let domains = |desk: &Desk| desk.topology().domains().map(|d| d.join(" ")).collect::<Vec<_>>();
    // A person says something at one.
    let said = a.atlas().lock().unwrap().say("hall/press-1", "yard/db", false, "ana", NOON + 1000).unwrap();
    store.keep(&[said.kept(NOON + 1000)]).unwrap();
    assert_eq!(b.catch_up(NOON + REREAD_MS - 1).unwrap(), BTreeMap::new(), "not at every tick");
    let at = NOON + REREAD_MS;
    assert_eq!(b.catch_up(at).unwrap(), BTreeMap::from([("yard".to_owned(), at)]), "it is looked at again");
    assert_eq!(seen(&b), ["hall/press-1 > yard/db"]);
    assert_eq!(domains(&b), ["hall yard"]);
    assert_eq!(b.catch_up(at + REREAD_MS).unwrap(), BTreeMap::new(), "once");
    // It is taken back at the other, and that is known here.
    let ended = b.atlas().lock().unwrap().take_back("hall/press-1", "yard/db", "bo", at + 1000).unwrap();
    store.keep(&[ended[0].kept(at + 1000)]).unwrap();
    let at = at + 2 * REREAD_MS;
    assert_eq!(a.catch_up(at).unwrap(), BTreeMap::from([("hall".to_owned(), at)]));
    assert_eq!((seen(&a), domains(&a)), (vec![], vec![]));
    // A device is born at one that holds its site; the file speaks of it, and only there.
    let birth = sample::message("press-7", 7, &[sample::birth(&[])]);
    let birth = decode::arrival("fm", "fm/1/hall/press-7/birth", &Bytes::from(birth), true, at);
    let done = store.commit(&[birth]).unwrap();
    a.hear(&done.born, at).unwrap();
    assert_eq!(seen(&a), ["hall/press-7 > yard/gw"]);
    let at = at + REREAD_MS;
    b.catch_up(at).unwrap();
    assert_eq!(seen(&b), ["hall/press-7 > yard/gw"]);
    b.hear(&BTreeSet::from([("yard".to_owned(), "nobody".to_owned())]), at).unwrap();
    assert_eq!(seen(&b), ["hall/press-7 > yard/gw"], "who does not know its devices does not end it");
    // The site changes hands: who takes it over knows its devices, and says nothing twice.
    b.hold(&these(&["hall", "yard"]), at);
    b.catch_up(at).unwrap();
    assert!(b.topology().known("hall/press-7").is_some_and(|known| known.reported));
    let kept = Edge::all_kept(&*store).unwrap();
    let said = kept.iter().filter(|e| e.origin != Origin::Calls).count();
    assert_eq!(said, 2, "{kept:?}");
}

/// Another collector on the same store, that holds the same site.
fn other(of: &Bench, learn: Learn) -> Desk {
    let store = Arc::clone(&of.store) as Arc<dyn Store>;
    Desk::new(store, Rules::default(), learn, Declared::default(), Sites::All, NOON).unwrap()
}

#[test]
fn what_people_said_of_pairs_at_one_collector_reaches_the_others() {
    let names = ("hall/a cpu".to_owned(), "hall/b disk".to_owned());
    let check = |learn: Learn, wanted: bool, before: bool, after: bool| {
        let bench = Bench::new("");
        let mut there = other(&bench, learn);
        there.pairs.insert("hall".into(), (NOON, vec![names.clone()]));
        let used = |desk: &mut Desk| !desk.pairs(&["hall".into()], NOON + MINUTE).unwrap().is_empty();
        assert_eq!(used(&mut there), before, "{learn:?}");
        let review = patterns::Review { names: names.clone(), wanted, by: "ana".into(), at_ms: NOON };
        bench.store.keep(&[Change::Put(review.record().unwrap())]).unwrap();
        let touched: Vec<String> = there.listen(NOON + MINUTE).unwrap().into_keys().collect();
        assert_eq!((used(&mut there), touched), (after, vec!["hall".to_owned()]), "{learn:?} {wanted}");
        assert!(there.listen(NOON + MINUTE).unwrap().is_empty());
        let mut third = other(&bench, learn);
        third.pairs.insert("hall".into(), (NOON, vec![names.clone()]));
        assert_eq!(used(&mut third), after, "who starts later knows it, too");
        bench.store.keep(&[Change::Remove(Class::Review, patterns::key(&names))]).unwrap();
        assert_eq!(there.listen(NOON + MINUTE).unwrap().len(), 1);
        assert_eq!(used(&mut there), before, "it was taken back");
    };
    check(Learn::Automatic, false, true, false);
    check(Learn::Automatic, true, true, true);
    check(Learn::Review, true, false, true);
    check(Learn::Review, false, false, false);
    check(Learn::Off, true, false, false);
}
