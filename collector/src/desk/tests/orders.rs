//! Whatever comes late, before what it follows, twice, with much else or alone, and whoever looks: the same incidents.

use std::collections::BTreeSet;
use std::ops::Range;

use proptest::test_runner::TestCaseError;

use super::*;
use crate::signal::{Key, Role};

/// Sites that depend on one another, and one that does not.
const NODES: [&str; 7] =
    ["hall/press-1", "hall/press-2", "hall/press-3", "hall/gw", "hall/other", "yard/db", "shed/pump"];
const DEPENDS: &str = "[[depends]]\nfrom = \"hall/press-*\"\non = \"hall/gw\"\n\
                       [[depends]]\nfrom = \"hall/gw\"\non = \"yard/db\"\n";
/// When nothing happens or comes any more.
const QUIET: u64 = 23 * 60;

/// Something happens to a node, and is over so many minutes later.
#[derive(Debug, Clone)]
struct Happening {
    node: usize,
    what: Sort,
    minute: u64,
    lasts: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Sort {
    Episode,
    Crash,
    Warning,
    Deployment,
    /// A source fails, and halfway in another way.
    Trouble,
}

/// What a node tells, and when.
struct Told {
    node: usize,
    minute: u64,
    item: Sample,
}

fn happenings(until: u64) -> impl Strategy<Value = Vec<Happening>> {
    let sort = prop_oneof![
        6 => Just(Sort::Episode), 2 => Just(Sort::Crash), 1 => Just(Sort::Warning), 1 => Just(Sort::Deployment),
        2 => Just(Sort::Trouble)
    ];
    let lasts =
        prop_oneof![6 => (1..20_u64).prop_map(Some), 2 => (20..300_u64).prop_map(Some), 1 => Just(None)];
    // Most of it comes close to something else.
    let minute = prop_oneof![2 => 0..60_u64, 1 => 0..until];
    let one = (0..NODES.len(), sort, minute, lasts);
    prop::collection::vec(
        one.prop_map(|(node, what, minute, lasts)| Happening { node, what, minute, lasts }),
        1..16,
    )
}

/// What nodes tell of it, each in its order.
fn told(happenings: &[Happening]) -> Vec<Told> {
    let mut all = Vec::new();
    for (id, h) in (0..).zip(happenings) {
        let mut tell = |after, item: Sample| all.push(Told { node: h.node, minute: h.minute + after, item });
        match h.what {
            Sort::Episode => {
                tell(0, sample::episode(0, id, phase::OPENED, 0));
                if let Some(lasts) = h.lasts {
                    let lasted_ms = u32::try_from(lasts * MINUTE).unwrap();
                    tell(lasts, sample::episode(0, id, phase::CLOSED, lasted_ms));
                }
            }
            Sort::Crash => tell(0, sample::fact(0, "log-crash", "shop died").of(17)),
            Sort::Warning => tell(0, sample::fact(0, "log-new", "shop moans").of(13)),
            Sort::Deployment => tell(0, sample::fact(0, "deployment", "shop 2")),
            Sort::Trouble => {
                tell(0, sample::trouble(0, 2, "does not answer"));
                if let Some(lasts) = h.lasts {
                    tell(lasts / 2, sample::trouble(0, 3, "is not there"));
                    tell(lasts, sample::trouble(0, 0, ""));
                }
            }
        }
    }
    all.sort_by_key(|told| told.minute);
    let mut numbers = [0; NODES.len()];
    for told in &mut all {
        numbers[told.node] += 1;
        told.item = told.item.clone().numbered(numbers[told.node]).at(NOON + told.minute * MINUTE);
    }
    all
}

/// How it comes. What is said of each applies to the events in turn.
#[derive(Debug, Clone)]
struct Way {
    /// Of each event: so many minutes late, and so many more until it comes again.
    late: Vec<(u64, Option<u64>)>,
    /// Of each minute: whether all that comes then is committed together; else one by one, the last first.
    together: Vec<bool>,
    /// Of each commit: whether a desk that knows nothing looks from then on.
    anew: Vec<bool>,
}

fn ways(late: Range<u64>) -> impl Strategy<Value = Way> {
    let each = prop_oneof![2 => Just(0), 1 => 0..30_u64, 2 => late.clone(), 1 => Just(late.end)];
    let again = prop_oneof![3 => Just(None), 1 => (0..120_u64).prop_map(Some)];
    let late = prop::collection::vec((each, again), 1..24);
    let flags = || prop::collection::vec(any::<bool>(), 1..8);
    let anew = prop::collection::vec(prop::bool::weighted(0.1), 1..30);
    (late, flags(), anew).prop_map(|(late, together, anew)| Way { late, together, anew })
}

/// As it happens.
fn at_once() -> Way {
    Way { late: vec![(0, None)], together: vec![true], anew: vec![false] }
}

fn desk(store: &Arc<Database>) -> Desk {
    let declared = Declared::read("topology.toml", DEPENDS).unwrap();
    let store = Arc::clone(store) as Arc<dyn Store>;
    Desk::new(store, Rules::default(), Learn::Automatic, declared, Sites::All, NOON).unwrap()
}

/// Looks at whatever is due by then.
fn pass(desk: &mut Desk, until: u64) {
    while let Some(due) = desk.next().filter(|due| *due <= until) {
        desk.look(BTreeMap::new(), due).unwrap();
        assert!(desk.next().is_none_or(|next| next > due), "looking does not settle what is due");
    }
}

/// What comes of it if it comes so.
fn incidents(all: &[Told], way: &Way) -> Bench {
    let store = Arc::new(Database::in_memory().unwrap());
    let mut desk = desk(&store);
    let commit = |desk: &mut Desk, items: &[(usize, &str, &Sample)], now: u64| {
        pass(desk, now);
        let arrival = |(node, leaf, item): &(usize, &str, &Sample)| {
            let payload = Bytes::from(sample::message(
                NODES[*node].split_once('/').unwrap().1,
                7,
                std::slice::from_ref(*item),
            ));
            decode::arrival("fm", &format!("fm/1/{}/{leaf}", NODES[*node]), &payload, false, now)
        };
        let done = store.commit(&items.iter().map(arrival).collect::<Vec<_>>()).unwrap();
        desk.hear(&done.born, now).unwrap();
        desk.look(done.touched, now).unwrap();
    };
    let online = sample::status(state::ONLINE);
    let there: Vec<_> = (0..NODES.len()).map(|node| (node, "status", &online)).collect();
    commit(&mut desk, &there, NOON - MINUTE);
    let mut minutes: BTreeMap<u64, Vec<&Told>> = BTreeMap::new();
    for (told, (late, again)) in all.iter().zip(way.late.iter().cycle()) {
        let at = told.minute + late;
        minutes.entry(at).or_default().push(told);
        if let Some(again) = again {
            minutes.entry(at + again).or_default().push(told);
        }
    }
    let mut anew = way.anew.iter().cycle();
    for ((minute, told), together) in minutes.into_iter().zip(way.together.iter().cycle()) {
        let items: Vec<_> = told.iter().rev().map(|t| (t.node, "event", &t.item)).collect();
        let now = NOON + minute * MINUTE;
        for (n, some) in items.chunks(if *together { items.len() } else { 1 }).enumerate() {
            let now = now + n as u64 * 1000;
            if anew.next() == Some(&true) {
                desk = self::desk(&store);
                let unseen = desk.unseen(now).unwrap();
                desk.look(unseen, now).unwrap();
            }
            commit(&mut desk, some, now);
        }
    }
    pass(&mut desk, NOON + QUIET * MINUTE);
    Bench { store, desk }
}

/// What is the same of incidents in whatever order their signals came: not their names, nor when they were seen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Essence {
    state: String,
    onset_ms: u64,
    closed_ms: Option<u64>,
    causes: Vec<String>,
    members: Vec<(Key, String, Option<u64>)>,
}

fn essence(bench: &Bench) -> Vec<Essence> {
    let of = |i: &Incident| Essence {
        state: format!("{:?}", i.state),
        onset_ms: i.onset_ms,
        closed_ms: i.closed_ms,
        causes: i.causes.iter().map(|c| c.entity.clone()).collect(),
        members: i.members.iter().map(|m| (m.key.clone(), format!("{:?}", m.role), m.end_ms)).collect(),
    };
    let mut all: Vec<Essence> =
        bench.incidents().iter().filter(|i| i.state != State::Merged).map(of).collect();
    all.sort();
    all
}

/// Nothing is lost, nothing stands twice, and the steps of each life follow each other.
fn check_lives(bench: &Bench) {
    let all = bench.incidents();
    let by_id: BTreeMap<&str, &Incident> = all.iter().map(|i| (i.id.as_str(), i)).collect();
    let mut symptoms = BTreeSet::new();
    for incident in &all {
        let begin = format!("{}/*", incident.id);
        let of = RecordFilter { key: Some(&begin), ..RecordFilter::all(Class::Life) };
        let found = bench.store.records(&of).unwrap();
        let mut lives: Vec<Life> = found.iter().map(|r| serde_json::from_str(&r.doc).unwrap()).collect();
        lives.sort_by_key(|life| life.revision);
        let numbers: Vec<u32> = lives.iter().map(|life| life.revision).collect();
        assert_eq!(numbers, (1..=incident.revision).collect::<Vec<_>>(), "{incident:#?}");
        assert_eq!(lives[0].at_ms, incident.opened_ms, "{lives:#?}");
        assert!(lives.is_sorted_by_key(|life| life.at_ms), "{lives:#?}");
        let (first, later) = lives.split_first().unwrap();
        assert!(matches!(first.step, Step::Opened | Step::Split), "{lives:#?}");
        assert!(later.iter().all(|life| life.step != Step::Opened), "{lives:#?}");
        if incident.state == State::Merged {
            let into = incident.merged_into.as_deref().and_then(|id| by_id.get(id));
            assert!(into.is_some_and(|into| into.id != incident.id), "{incident:#?}");
            continue;
        }
        for member in incident.members.iter().filter(|m| m.role == Role::Symptom) {
            assert!(symptoms.insert(member.key.clone()), "{:?} is in two incidents: {all:#?}", member.key);
        }
    }
}

/// That it is the same if it comes so.
fn check(happenings: &[Happening], way: &Way) -> Result<(), TestCaseError> {
    let told = told(happenings);
    let (plain, other) = (incidents(&told, &at_once()), incidents(&told, way));
    check_lives(&plain);
    check_lives(&other);
    prop_assert_eq!(essence(&plain), essence(&other));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn however_it_comes_the_incidents_are_the_same(all in happenings(600), way in ways(1..300)) {
        check(&all, &way)?;
    }
}

/// Each was wrong once.
#[test]
fn what_was_found_to_differ_does_not() {
    use Sort::{Crash, Deployment, Episode, Trouble};
    let check = |happenings: &[(usize, Sort, u64, u64)], late: &[u64]| {
        let happening = |&(node, what, minute, lasts)| Happening { node, what, minute, lasts: Some(lasts) };
        let all: Vec<Happening> = happenings.iter().map(happening).collect();
        let way = Way {
            late: late.iter().map(|late| (*late, None)).collect(),
            together: vec![false],
            anew: vec![false],
        };
        check(&all, &way).unwrap();
    };
    // Something else happens three hours later: what is over stays what it was.
    check(&[(0, Episode, 15, 9), (0, Episode, 209, 1)], &[0]);
    // The beginning of a trouble comes last.
    check(&[(0, Trouble, 0, 1)], &[1, 0]);
    // What gave an incident its name goes on alone, and founds another.
    let others = [(6, Episode, 5, 1), (4, Episode, 0, 5)];
    let troubles = [(3, Trouble, 1, 1), (3, Trouble, 17, 1), (3, Trouble, 17, 1)];
    check(&[&others[..], &troubles].concat(), &[0, 17, 17, 21, 0, 0, 0, 0, 0, 0, 0, 0]);
    // What was changed an hour before counts however late is looked.
    check(&[(0, Episode, 119, 1), (3, Deployment, 20, 1), (0, Crash, 44, 1)], &[0, 0, 0, 96]);
}
