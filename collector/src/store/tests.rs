//! The intake's promises, on either engine: what arrives twice, in any order, never, or broken.

use std::collections::BTreeSet;

use bytes::Bytes;
use fieldmouse_core::wire::{Kind, phase, state};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::intake::decode;
use crate::sample::{self, NOON, Sample};

#[path = "../../../tests/src/postgres.rs"]
#[allow(unreachable_pub, reason = "it is a part of the harness")]
mod server;

const EPOCH: u64 = 0xfeed_beef_dead_cafe;

/// Makes an empty store.
pub(super) type Open<'a> = &'a dyn Fn() -> Database;

/// What a store promises, on whichever engine.
macro_rules! promises {
    ($($($name:ident)::+,)*) => {
        const PROMISES: &[(&str, fn(Open<'_>))] = &[$((stringify!($($name)::+), $($name)::+)),*];
    };
}

promises! {
    what_comes_twice_is_stored_once_and_acknowledged_again,
    a_gap_holds_the_acknowledgement_until_it_is_filled,
    a_declared_loss_fills_its_gap_and_is_shown,
    a_loss_of_what_had_arrived_counts_only_what_is_missing,
    a_device_acknowledged_by_an_earlier_database_is_not_stuck,
    an_episode_in_any_order_ends_up_the_same,
    an_episode_that_comes_back_is_open_again_and_one_left_behind_is_closed,
    a_will_marks_the_device_lost_unless_it_is_of_an_epoch_that_is_over,
    what_the_broker_kept_does_not_show_that_the_device_lives,
    a_birth_describes_the_device,
    a_body_that_cannot_be_read_is_kept_and_does_not_stop_the_queue,
    a_refused_message_touches_nothing_and_its_letters_are_capped,
    a_clock_from_the_future_or_never_set_is_not_believed,
    retention_forgets_closed_things_and_keeps_the_numbers,
    any_order_with_any_repeats_stores_each_once,
    rows_of_one_batch_belong_to_their_events,
    what_no_column_holds_does_not_stop_the_queue,
    documents_are_kept_found_and_removed,
    what_a_site_told_is_found_since_then,
    copy::tests::a_restored_backup_gives_the_same_answers,
    export::tests::what_is_exported_is_read_back,
    capsules::tests::pieces_come_once_twice_late_or_never,
    capsules::tests::what_is_not_what_was_sent_is_not_kept,
    dating::tests::what_came_before_the_clock_was_set_is_dated_whatever_comes_first,
    dating::tests::an_absurd_date_is_refused,
    forecasts::tests::the_latest_word_on_each_series_holds_in_any_order,
    forecasts::tests::a_new_outbox_begins_anew_and_an_old_one_changes_nothing,
}

fn at(url: &str) -> Server {
    Server::new(url, None, None).unwrap()
}

fn check(engine: &str, open: Open<'_>) {
    for (name, promise) in PROMISES {
        println!("{engine}: {name}");
        promise(open);
    }
}

#[test]
fn sqlite_keeps_what_is_promised() {
    check("sqlite", &|| Database::in_memory().unwrap());
}

#[test]
fn postgresql_keeps_what_is_promised() {
    let server = server::Postgres::start();
    let nth = std::cell::Cell::new(0);
    check("postgresql", &|| {
        nth.set(nth.get() + 1);
        let mut client = ::postgres::Client::connect(&server.url(), ::postgres::NoTls).unwrap();
        client.batch_execute(&format!("CREATE SCHEMA s{}", nth.get())).unwrap();
        let url = format!("{}?options=-csearch_path%3Ds{}", server.url(), nth.get());
        Database::connect(&at(&url)).unwrap()
    });
}

#[test]
fn a_server_that_comes_back_is_found_again() {
    let server = server::Postgres::start();
    let bench = Bench(Database::connect(&at(&server.url())).unwrap());
    assert_eq!(acked(&bench.events(&[fact(1)])), Some(1));
    server.halt();
    assert!(bench.0.commit(&[arrival("event", EPOCH, &[fact(2)], false)]).is_err());
    assert!(bench.0.devices().is_err());
    server.resume();
    assert_eq!(bench.0.devices().unwrap().len(), 1);
    assert_eq!(acked(&bench.events(&[fact(2)])), Some(2));
    assert!(Database::connect(&at("postgres://nobody@127.0.0.1:1/x")).is_err());
}

#[test]
fn a_server_is_spoken_to_by_tls_and_has_to_show_who_it_is() {
    let server = server::Postgres::start_tls("sesame");
    let stranger = server::Postgres::start_tls("sesame");
    let check = |from: &server::Postgres,
                 options: &str,
                 password: &str,
                 ca: Option<&server::Postgres>,
                 said: &str| {
        let (url, ca) = (format!("{}{options}", from.url()), ca.map(server::Postgres::authority));
        let there = Server::new(&url, Some(password), ca.as_deref()).unwrap();
        match Database::connect(&there) {
            Ok(store) => {
                assert_eq!("", said, "{options}");
                let bench = Bench(store);
                assert_eq!(acked(&bench.events(&[fact(1)])), Some(1));
            }
            Err(e) => {
                let e = e.to_string();
                assert!(!said.is_empty() && e.contains(said) && !e.contains("sesame"), "{options}: {e}");
            }
        }
    };
    check(&server, "?sslmode=require", "sesame", Some(&server), "");
    check(&server, "?sslmode=verify-full", "sesame", Some(&server), "");
    check(&server, "?sslmode=require", "swordfish", Some(&server), "password authentication failed");
    check(&server, "?sslmode=require", "sesame", Some(&stranger), "name the file with the authority");
    // Without a word on it, as this is the same machine, and when it is said.
    for options in ["", "?sslmode=disable"] {
        check(&server, options, "sesame", None, "sslmode=require in store.url speaks TLS");
    }
    let plain = server::Postgres::start();
    check(&plain, "?sslmode=require", "", Some(&server), "`ssl = on` in its postgresql.conf");
    let by_name = server.url().replace("127.0.0.1", "localhost");
    let there = Server::new(&format!("{by_name}?sslmode=require"), Some("sesame"), Some(&server.authority()));
    let said = Database::connect(&there.unwrap()).unwrap_err().to_string();
    assert!(said.contains("the host in store.url must be one that its certificate names"), "{said}");
}

#[test]
fn collectors_that_share_a_server_store_each_event_once() {
    let server = server::Postgres::start();
    // All make the schema at once.
    let stores: Vec<Database> = std::thread::scope(|all| {
        let open = || Database::connect(&at(&server.url())).unwrap();
        let threads: Vec<_> = (0..3).map(|_| all.spawn(open)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    // Each takes in all numbers in an order of its own; what another was faster with fails as a whole and comes again.
    std::thread::scope(|all| {
        for (nth, store) in stores.iter().enumerate() {
            all.spawn(move || {
                for step in 0..40_u64 {
                    let seq = 1 + (step * 7 + 13 * nth as u64) % 40;
                    let what = [arrival("event", EPOCH, &[fact(seq)], false)];
                    while store.commit(&what).is_err() {}
                }
            });
        }
    });
    assert_eq!(stores[0].facts(None, 100).unwrap().len(), 40);
    assert_eq!(stores[1].gaps("hall", "press-1").unwrap(), []);
    let again = stores[2].commit(&[arrival("event", EPOCH, &[fact(40)], false)]).unwrap();
    assert_eq!((again.duplicates, acked(&again)), (1, Some(40)));
}

struct Bench(Database);

impl Bench {
    fn new(open: Open<'_>) -> Self {
        Self(open())
    }

    fn take(&self, leaf: &str, epoch: u64, items: &[Sample], retained: bool) -> Committed {
        self.0.commit(&[arrival(leaf, epoch, items, retained)]).unwrap()
    }

    fn events(&self, items: &[Sample]) -> Committed {
        self.take("event", EPOCH, items, false)
    }

    fn device(&self) -> Device {
        self.0.device("hall", "press-1").unwrap().unwrap()
    }

    fn episodes(&self) -> Vec<Episode> {
        self.0.episodes(&OpenFilter { limit: 10, ..OpenFilter::default() }).unwrap()
    }
}

pub(super) fn arrival(leaf: &str, epoch: u64, items: &[Sample], retained: bool) -> Arrival {
    let payload = Bytes::from(sample::message("press-1", epoch, items));
    decode::arrival("fm", &format!("fm/1/hall/press-1/{leaf}"), &payload, retained, NOON + 1000)
}

fn fact(seq: u64) -> Sample {
    sample::fact(seq, "note", &format!("number {seq}"))
}

fn acked(done: &Committed) -> Option<u64> {
    assert!(done.acks.len() <= 1, "one acknowledgement per device and batch");
    done.acks.first().map(|a| a.seq)
}

fn what_comes_twice_is_stored_once_and_acknowledged_again(open: Open<'_>) {
    let bench = Bench::new(open);
    let first = bench.events(&[fact(1), fact(2)]);
    assert_eq!((first.stored, first.duplicates, acked(&first)), (2, 0, Some(2)));
    let again = bench.events(&[fact(1), fact(2)]);
    assert_eq!((again.stored, again.duplicates, acked(&again)), (0, 2, Some(2)));
    assert_eq!(bench.0.facts(None, 10).unwrap().len(), 2);
}

fn a_gap_holds_the_acknowledgement_until_it_is_filled(open: Open<'_>) {
    let bench = Bench::new(open);
    assert_eq!(acked(&bench.events(&[fact(1)])), Some(1));
    assert_eq!(acked(&bench.events(&[fact(4)])), Some(1));
    assert_eq!(bench.0.gaps("hall", "press-1").unwrap(), [Gap { epoch: EPOCH, first: 2, last: 3 }]);
    assert_eq!(bench.device().missing, 2);
    assert_eq!(acked(&bench.events(&[fact(3)])), Some(1));
    assert_eq!(acked(&bench.events(&[fact(2)])), Some(4));
    assert_eq!(bench.device().missing, 0);
}

fn a_declared_loss_fills_its_gap_and_is_shown(open: Open<'_>) {
    let bench = Bench::new(open);
    bench.events(&[fact(1), fact(6)]);
    let done = bench.events(&[sample::loss(7, 2, 4)]);
    assert_eq!((done.lost, acked(&done)), (4, Some(7)));
    assert_eq!(bench.device().lost, 4);
    // One of them comes after all: it is stored, and the sum is corrected.
    let late = bench.events(&[fact(3)]);
    assert_eq!((late.stored, late.duplicates), (1, 0));
    assert_eq!(bench.device().lost, 3);
    assert_eq!(bench.events(&[fact(3)]).duplicates, 1);
    // A loss that has no number of its own is declared once, however often it is said.
    assert_eq!(bench.events(&[sample::loss(0, 8, 2)]).lost, 2);
    assert_eq!(bench.events(&[sample::loss(0, 8, 2)]).lost, 0);
    assert_eq!(acked(&bench.events(&[fact(10)])), Some(10));
}

fn a_loss_of_what_had_arrived_counts_only_what_is_missing(open: Open<'_>) {
    let bench = Bench::new(open);
    bench.events(&[fact(1), fact(2)]);
    assert_eq!(bench.events(&[sample::loss(4, 1, 3)]).lost, 1);
    assert_eq!(bench.device().lost, 1);
    for hostile in [(0, 5), (1, 0), (u64::MAX, u64::MAX)] {
        let done = bench.events(&[sample::loss(bench.device().high + 1, hostile.0, hostile.1)]);
        assert_eq!((done.stored, done.malformed.as_slice()), (1, ["body"].as_slice()));
    }
    bench.events(&[sample::loss(0, 5, u64::MAX)]);
    assert_eq!(bench.device().high, i64::MAX as u64);
}

fn a_device_acknowledged_by_an_earlier_database_is_not_stuck(open: Open<'_>) {
    let bench = Bench::new(open);
    assert_eq!(acked(&bench.events(&[fact(501)])), None);
    assert_eq!(acked(&bench.take("beat", EPOCH, &[sample::beat(501, 500)], false)), Some(501));
    assert_eq!((bench.device().missing, bench.device().lost), (0, 0));
    assert_eq!(bench.0.losses("hall", "press-1").unwrap()[0].reason, words::own_loss::EARLIER_DATABASE);
    // A beat that lags behind is answered with what it missed.
    assert_eq!(acked(&bench.take("beat", EPOCH, &[sample::beat(501, 400)], false)), Some(501));
    assert_eq!(acked(&bench.take("beat", EPOCH, &[sample::beat(501, 501)], false)), None);
}

fn an_episode_in_any_order_ends_up_the_same(open: Open<'_>) {
    let told = || {
        [
            sample::episode(1, 9, phase::OPENED, 5_000).at(NOON),
            sample::episode(2, 9, phase::UPDATED, 65_000).at(NOON + 60_000),
            sample::episode(3, 9, phase::CLOSED, 125_000).at(NOON + 120_000),
        ]
    };
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]] {
        let bench = Bench::new(open);
        for i in order {
            let mut items = told().into_iter().skip(i);
            bench.events(&[items.next().unwrap()]);
        }
        let e = bench.episodes().remove(0);
        assert_eq!(
            (e.onset_at, e.opened_at, e.updated_at),
            (NOON - 5_000, NOON, NOON + 120_000),
            "{order:?}"
        );
        assert_eq!((e.phase, e.closing, e.closed_at), (phase::CLOSED, Closing::Told, Some(NOON + 120_000)));
        assert_eq!((e.severity, e.body.is_some()), (17, true));
        let phases: Vec<u8> =
            bench.0.episode_events(&e).unwrap().iter().map(|event| event.body.phase).collect();
        assert_eq!(phases, [phase::OPENED, phase::UPDATED, phase::CLOSED]);
    }
}

fn an_episode_that_comes_back_is_open_again_and_one_left_behind_is_closed(open: Open<'_>) {
    let bench = Bench::new(open);
    bench.events(&[sample::episode(1, 9, phase::CLOSED, 0), sample::episode(2, 9, phase::REOPENED, 0)]);
    assert_eq!(bench.episodes()[0].closing, Closing::Open);
    assert_eq!(bench.device().open_episodes, 1);
    bench.take("status", EPOCH + 1, &[sample::status(state::ONLINE)], false);
    assert_eq!(bench.episodes()[0].closing, Closing::NotTold);
    assert_eq!((bench.device().epoch, bench.device().open_episodes), (EPOCH + 1, 0));
    // What the old outbox still had does not open it again.
    bench.events(&[sample::episode(3, 9, phase::UPDATED, 0)]);
    assert_eq!(bench.episodes()[0].closing, Closing::NotTold);
}

fn a_will_marks_the_device_lost_unless_it_is_of_an_epoch_that_is_over(open: Open<'_>) {
    let bench = Bench::new(open);
    bench.take("status", 1, &[sample::status(state::ONLINE)], false);
    bench.take("status", 2, &[sample::status(state::ONLINE)], false);
    let done = bench.take("status", 1, &[sample::status(state::LOST)], false);
    assert_eq!((done.stale, bench.device().state), (1, state::ONLINE));
    let seen = bench.device().seen_at;
    bench.take("status", 2, &[sample::status(state::LOST)], false);
    assert_eq!((bench.device().state, bench.device().seen_at), (state::LOST, seen));
}

fn what_the_broker_kept_does_not_show_that_the_device_lives(open: Open<'_>) {
    let bench = Bench::new(open);
    let hour_ago = NOON - 3_600_000;
    bench.take("status", EPOCH, &[sample::status(state::ONLINE).at(hour_ago)], true);
    assert_eq!(bench.device().seen_at, hour_ago);
    bench.take("beat", EPOCH, &[sample::beat(1, 0)], false);
    assert_eq!(bench.device().seen_at, NOON + 1000);
    assert_eq!(bench.device().beat.unwrap().waiting, 3);
}

fn a_birth_describes_the_device(open: Open<'_>) {
    use fieldmouse_core::series::SeriesKey;
    let bench = Bench::new(open);
    let series =
        [SeriesKey::new(fieldmouse_core::metric::CPU_MODE, &["user"]), SeriesKey::custom("tank.level")];
    bench.take("birth", EPOCH, &[sample::birth(&series)], true);
    let d = bench.device();
    assert_eq!((d.os.as_str(), d.cpus, d.memory), ("Debian 12", 4, 4 << 30));
    assert_eq!(d.series, r#"["system.cpu.utilization{cpu.mode=user}","tank.level"]"#);
    assert_eq!(d.edges, r#"[{"from":"web","to":"shop"}]"#);
}

fn a_body_that_cannot_be_read_is_kept_and_does_not_stop_the_queue(open: Open<'_>) {
    let bench = Bench::new(open);
    let done = bench.events(&[fact(1), sample::raw(2, Kind::Episode, vec![1, 2]), fact(3)]);
    assert_eq!((done.stored, acked(&done), done.malformed.as_slice()), (3, Some(3), ["body"].as_slice()));
    let letters = bench.0.dead_letters(10).unwrap();
    assert_eq!((letters[0].reason.as_str(), letters[0].payload.as_slice()), ("body", [1, 2].as_slice()));
}

fn a_refused_message_touches_nothing_and_its_letters_are_capped(open: Open<'_>) {
    let bench = Bench::new(open);
    let junk = |n: u8| decode::arrival("fm", "fm/1/hall/press-1/event", &[n; 9], false, NOON);
    for _ in 0..5 {
        let many: Vec<Arrival> = (0..250).map(junk).collect();
        assert_eq!(bench.0.commit(&many).unwrap().malformed.len(), 250);
    }
    assert!(bench.0.devices().unwrap().is_empty());
    assert_eq!(bench.0.totals().unwrap().dead_letters, 1000);
}

fn a_clock_from_the_future_or_never_set_is_not_believed(open: Open<'_>) {
    let bench = Bench::new(open);
    bench.events(&[fact(1).at(NOON + 400 * 24 * 3_600_000), fact(2).at(NOON - 7_000)]);
    let at: Vec<u64> = bench.0.facts(None, 10).unwrap().iter().map(|f| f.at).collect();
    assert_eq!(at, [NOON + 1000, NOON - 7_000]);
}

fn rows_of_one_batch_belong_to_their_events(open: Open<'_>) {
    use fieldmouse_core::wire::ClockSet;
    let store = open();
    let message = |node: &str, items: &[Sample]| {
        let payload = Bytes::from(sample::message(node, EPOCH, items));
        decode::arrival("fm", &format!("fm/1/hall/{node}/event"), &payload, false, NOON)
    };
    let nodes = ["a", "b", "c"];
    let said = |node: &str, seq: u64| sample::fact(seq, "note", &format!("{node} {seq}")).undated(seq * 1000);
    let batch: Vec<Arrival> = (1..=4)
        .flat_map(|seq| nodes.map(|node| message(node, &[said(node, 2 * seq), said(node, 2 * seq - 1)])))
        .collect();
    assert_eq!(store.commit(&batch).unwrap().stored, 24);
    // Only what one device told is dated, from its fourth number on: its facts are found by their events.
    let boot_ms = NOON - 100_000;
    let said = ClockSet { epoch: EPOCH, first: 4, last: 8, boot_ms };
    store.commit(&[message("b", &[sample::raw(9, Kind::ClockSet, sample::body(&said))])]).unwrap();
    for f in store.facts(None, 100).unwrap() {
        let (node, seq) = f.text.split_once(' ').unwrap();
        assert_eq!((node, seq.parse::<u64>().unwrap()), (f.node.as_str(), f.seq));
        let expected = if node == "b" && f.seq >= 4 { boot_ms + f.seq * 1000 } else { NOON };
        assert_eq!(f.at, expected, "{}", f.text);
    }
}

fn what_no_column_holds_does_not_stop_the_queue(open: Open<'_>) {
    use fieldmouse_core::wire::ClockSet;
    let bench = Bench::new(open);
    let said = ClockSet { epoch: EPOCH, first: 1, last: 2, boot_ms: NOON };
    let done = bench.events(&[
        sample::fact(1, "note", "a nul: \0.").undated(u64::MAX),
        sample::fact(2, "note", "up for ever").undated(i64::MAX as u64),
        sample::raw(3, Kind::ClockSet, sample::body(&said)),
    ]);
    assert_eq!((done.stored, acked(&done)), (3, Some(3)));
    let facts = bench.0.facts(None, 10).unwrap();
    assert!(facts.iter().all(|f| f.at == i64::MAX as u64), "{facts:?}");
    assert!(facts.iter().any(|f| f.text.starts_with("a nul: ")));
}

fn documents_are_kept_found_and_removed(open: Open<'_>) {
    let store = open();
    let record = |key: &str, site: &str, at_ms: u64, is_open: bool, doc: &str| Record {
        class: Class::Incident,
        key: key.to_owned(),
        site: site.to_owned(),
        at_ms,
        is_open,
        doc: doc.to_owned(),
    };
    let keys = |filter: RecordFilter<'_>| {
        store.records(&filter).unwrap().into_iter().map(|r| r.key).collect::<Vec<_>>().join(" ")
    };
    let all = || RecordFilter::all(Class::Incident);
    store
        .keep(&[
            Change::Put(record("a-1", "hall", 10, true, "{}")),
            Change::Put(record("a-2", "yard", 20, false, "{}")),
            Change::Put(record("b_1", "hall", 30, true, "{}")),
            Change::Add(record("a-1", "yard", 99, false, "another")),
        ])
        .unwrap();
    assert_eq!(keys(all()), "b_1 a-2 a-1");
    assert_eq!(keys(RecordFilter { key: Some("a-*"), ..all() }), "a-2 a-1");
    assert_eq!(keys(RecordFilter { site: Some("hall"), open: Some(true), since_ms: 11, ..all() }), "b_1");
    assert_eq!(keys(RecordFilter { limit: 1, ..all() }), "b_1");
    assert_eq!(keys(RecordFilter::all(Class::Notice)), "");
    let changed = record("a-1", "hall", 40, false, "{\"n\":1}");
    store.keep(&[Change::Put(changed.clone()), Change::Remove(Class::Incident, "b_1".to_owned())]).unwrap();
    assert_eq!(store.records(&RecordFilter::one(Class::Incident, "a-1")).unwrap(), [changed]);
    assert_eq!(keys(all()), "a-1 a-2");
}

fn what_a_site_told_is_found_since_then(open: Open<'_>) {
    let bench = Bench::new(open);
    bench.take("status", EPOCH, &[sample::status(state::ONLINE)], false);
    let done = bench.events(&[
        sample::fact(1, "note", "long ago").at(NOON - 100_000).of(13),
        fact(2).at(NOON).of(13),
        sample::episode(3, 9, phase::OPENED, 5_000).at(NOON - 90_000),
        // A note concerns nobody else, unless it is of a change.
        fact(4).at(NOON),
        sample::fact(5, "package", "libc6 2.37").at(NOON),
    ]);
    assert_eq!(done.touched.into_iter().collect::<Vec<_>>(), [("hall".to_owned(), NOON - 100_000)]);
    bench.take("status", EPOCH, &[sample::status(state::LOST)], false);
    let told = bench.0.told(&["hall", "yard"], NOON - 50_000).unwrap();
    assert_eq!(told.facts.iter().map(|f| (f.epoch, f.seq)).collect::<Vec<_>>(), [(EPOCH, 2), (EPOCH, 5)]);
    assert_eq!(told.episodes.len(), 1, "it is still open");
    assert_eq!(told.presence.last().map(|p| (p.node.as_str(), p.state)), Some(("press-1", state::LOST)));
    assert!(bench.0.told(&["yard"], 0).unwrap().facts.is_empty());
    let told =
        bench.0.told_by(&[("hall", "press-2"), ("yard", "press-1"), ("hall", "press-1")], NOON).unwrap();
    assert_eq!((told.facts.len(), told.episodes.len(), told.presence.len()), (2, 1, 1));
    let times = || bench.0.told_times("hall").unwrap();
    let [(_, before)] = times()[..] else { panic!("{:?}", times()) };
    let more = |n| [("press-1".to_owned(), before + n)];
    bench.take("beat", EPOCH, &[sample::beat(9, 0)], false);
    assert_eq!(times(), more(0), "a beat tells nothing");
    bench.events(&[fact(10).at(NOON)]);
    assert_eq!(times(), more(1));
    bench.take("beat", EPOCH + 1, &[sample::beat(0, 0)], false);
    assert_eq!(times(), more(2), "what goes on in the old epoch is over");
}

fn retention_forgets_closed_things_and_keeps_the_numbers(open: Open<'_>) {
    let bench = Bench::new(open);
    bench.events(&[
        fact(1),
        sample::episode(2, 1, phase::CLOSED, 0),
        sample::episode(3, 2, phase::OPENED, 0),
    ]);
    for what in Kept::ALL {
        assert_eq!(bench.0.expire(what, NOON).unwrap(), 0, "nothing is that old");
    }
    while bench.0.expire(Kept::Episodes, NOON + 2000).unwrap() > 0 {}
    assert_eq!(bench.0.facts(None, 10).unwrap().len(), 1, "each class has a time of its own");
    for what in [Kept::Facts, Kept::Events] {
        while bench.0.expire(what, NOON + 2000).unwrap() > 0 {}
    }
    assert_eq!(bench.0.facts(None, 10).unwrap().len(), 0);
    assert_eq!(bench.episodes().iter().map(|e| e.id).collect::<Vec<_>>(), [2]);
    assert_eq!(bench.events(&[fact(1)]).duplicates, 1, "an old event is not new again");
    // Documents go by class, and only what is over.
    let record = |class: Class, key: &str, is_open: bool| {
        let (site, doc) = (String::new(), "{}".to_owned());
        Change::Put(Record { class, key: key.to_owned(), site, at_ms: NOON, is_open, doc })
    };
    let all = [
        record(Class::Incident, "over", false),
        record(Class::Incident, "open", true),
        record(Class::Audit, "who", false),
    ];
    bench.0.keep(&all).unwrap();
    assert_eq!(bench.0.expire(Kept::Incidents, NOON + 1).unwrap(), 1);
    assert_eq!(bench.0.records(&RecordFilter::all(Class::Incident)).unwrap()[0].key, "open");
    assert_eq!(bench.0.records(&RecordFilter::all(Class::Audit)).unwrap().len(), 1);
}

#[test]
fn a_file_keeps_what_was_committed_and_a_newer_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.db");
    let store = Database::open(&path).unwrap();
    store.commit(&[arrival("event", EPOCH, &[fact(1), fact(5)], false)]).unwrap();
    drop(store);
    let store = Database::open(&path).unwrap();
    let done = store.commit(&[arrival("event", EPOCH, &[fact(2), fact(5)], false)]).unwrap();
    assert_eq!((done.stored, done.duplicates, acked(&done)), (1, 1, Some(2)));
    drop(store);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Database::open(&path), Err(StoreError::Newer { found: 99, known: 9 })));
}

#[test]
fn a_file_of_any_version_before_keeps_its_devices() {
    let dir = tempfile::tempdir().unwrap();
    for version in 1..engine::MIGRATIONS.len() {
        let path = dir.path().join(format!("{version}.db"));
        let old = rusqlite::Connection::open(&path).unwrap();
        engine::MIGRATIONS[..version].iter().for_each(|step| old.execute_batch(step).unwrap());
        old.pragma_update(None, "user_version", engine::version(&engine::MIGRATIONS[..version])).unwrap();
        old.execute(
            "INSERT INTO devices (site, node, first_seen, seen_at, epoch) VALUES ('hall', 'press-1', 5, 6, 7)",
            [],
        )
        .unwrap();
        drop(old);
        let devices = Database::open(&path).unwrap().devices().unwrap();
        let found: Vec<_> = devices.iter().map(|d| (d.node.as_str(), d.first_seen, d.seen_at)).collect();
        assert_eq!(found, [("press-1", 5, 6)], "version {version}");
    }
}

fn any_order_with_any_repeats_stores_each_once(open: Open<'_>) {
    let order = Just((1_u64..=24).collect::<Vec<_>>()).prop_shuffle();
    let repeats = proptest::collection::vec(1_u64..=24, 0..12);
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) });
    let (bench, nth) = (Bench::new(open), std::cell::Cell::new(0));
    let ran = runner.run(&(order, repeats, 1_usize..6), |(order, repeats, batch)| {
        // Each case is an epoch of its own.
        nth.set(nth.get() + 1);
        let (epoch, mut highest) = (nth.get(), 0);
        let sent: Vec<u64> = order.into_iter().chain(repeats).collect();
        for seqs in sent.chunks(batch) {
            let arrivals: Vec<Arrival> =
                seqs.iter().map(|s| arrival("event", epoch, &[fact(*s)], false)).collect();
            if let Some(seq) = acked(&bench.0.commit(&arrivals).unwrap()) {
                prop_assert!(seq >= highest, "acknowledgements never go back");
                highest = seq;
            }
        }
        prop_assert_eq!(highest, 24);
        let facts = bench.0.facts(None, u32::MAX).unwrap();
        prop_assert_eq!(facts.iter().filter(|f| f.epoch == epoch).count(), 24);
        Ok(())
    });
    ran.unwrap();
}

fn turn(instance: &str, life: Option<i64>, span_s: u64, found: &[&str]) -> Turn {
    Turn {
        instance: instance.to_owned(),
        life,
        span: std::time::Duration::from_secs(span_s),
        found: found.iter().map(|s| (*s).to_owned()).collect(),
        together: Vec::new(),
    }
}

fn takes_a_turn(
    store: &Database,
    instance: &str,
    life: Option<i64>,
    span_s: u64,
    found: &[&str],
) -> (i64, String) {
    taken(store, &turn(instance, life, span_s, found))
}

/// The life after a turn, and what it holds.
fn taken(store: &Database, turn: &Turn) -> (i64, String) {
    let tenure = store.turn(turn).unwrap();
    (tenure.life, tenure.sites.into_iter().collect::<Vec<_>>().join(" "))
}

#[test]
fn sites_that_come_to_depend_on_each_other_come_to_one_holder() {
    let server = server::Postgres::start();
    let [a, b] = [(); 2].map(|()| Database::connect_shared(&at(&server.url())).unwrap());
    let (life_a, _) = takes_a_turn(&a, "a", None, 60, &["hall", "shed", "yard", "attic"]);
    let (life_b, _) = takes_a_turn(&b, "b", None, 60, &[]);
    assert_eq!(takes_a_turn(&a, "a", Some(life_a), 60, &[]).1, "shed yard");
    assert_eq!(takes_a_turn(&b, "b", Some(life_b), 60, &[]).1, "attic hall");
    // An edge appears between sites of two holders: the one with the longer life gets both, and gives up
    // what the other has room for.
    let together = vec![BTreeSet::from(["hall".to_owned(), "yard".to_owned()])];
    let goes_on = |store: &Database, instance: &str, life| {
        taken(store, &Turn { together: together.clone(), ..turn(instance, Some(life), 60, &[]) }).1
    };
    for (store, instance, life, held) in [
        (&a, "a", life_a, "yard"),
        (&b, "b", life_b, "attic shed"),
        (&a, "a", life_a, "hall yard"),
        (&b, "b", life_b, "attic shed"),
        (&a, "a", life_a, "hall yard"),
        (&b, "b", life_b, "attic shed"),
    ] {
        assert_eq!(goes_on(store, instance, life), held, "{instance}");
    }
}

#[test]
fn a_site_has_one_holder_and_nobody_else_commits_for_it() {
    let server = server::Postgres::start();
    let [a, b] = [(); 2].map(|()| Database::connect_shared(&at(&server.url())).unwrap());
    let at = |site: &str, seq: u64| {
        let payload = Bytes::from(sample::message("press-1", EPOCH, &[fact(seq)]));
        vec![decode::arrival("fm", &format!("fm/1/{site}/press-1/event"), &payload, false, NOON)]
    };
    let commits = |store: &Database, site: &str, seq: u64| {
        let done = store.commit(&at(site, seq)).unwrap();
        (done.stored, done.foreign, acked(&done))
    };
    assert_eq!(commits(&a, "hall", 1), (0, 1, None), "nobody holds anything before the first turn");
    let (life_a, held) = takes_a_turn(&a, "a", None, 60, &["hall", "yard", "hall"]);
    assert_eq!(held, "hall yard");
    assert_eq!(commits(&a, "hall", 1), (1, 0, Some(1)));
    // Another one comes, and gets its share when the first one has given it up.
    let (life_b, held) = takes_a_turn(&b, "b", None, 60, &[]);
    assert_eq!(held, "");
    assert_eq!(takes_a_turn(&a, "a", Some(life_a), 60, &[]), (life_a, "yard".to_owned()));
    assert_eq!(takes_a_turn(&b, "b", Some(life_b), 60, &[]), (life_b, "hall".to_owned()));
    assert_eq!(commits(&a, "hall", 2), (0, 1, None));
    assert_eq!(commits(&b, "hall", 2), (1, 0, Some(2)));
    let mixed: Vec<Arrival> = at("hall", 3).into_iter().chain(at("yard", 1)).collect();
    let done = b.commit(&mixed).unwrap();
    assert_eq!((done.stored, done.foreign), (1, 1), "the rest of the batch is no worse for it");
    // Documents are fenced alike, but for what people say.
    let record = |class, site: &str| {
        let (key, doc) = ("k".to_owned(), "{}".to_owned());
        [Change::Put(Record { class, key, site: site.to_owned(), at_ms: 1, is_open: true, doc })]
    };
    assert!(
        matches!(a.keep(&record(Class::Incident, "hall")), Err(StoreError::Foreign(site)) if site == "hall")
    );
    a.keep(&record(Class::Incident, "yard")).unwrap();
    a.keep(&record(Class::Verdict, "hall")).unwrap();
    // A life that is over is missed at the next turn of any other.
    let (_, held) = takes_a_turn(&a, "a", Some(life_a), 0, &[]);
    assert_eq!(held, "yard");
    std::thread::park_timeout(std::time::Duration::from_millis(5));
    assert_eq!(takes_a_turn(&b, "b", Some(life_b), 60, &[]).1, "hall yard");
    assert_eq!(commits(&a, "yard", 2), (0, 1, None), "it does not know yet");
    let (again, held) = takes_a_turn(&a, "a", Some(life_a), 60, &[]);
    assert!(again > life_b && held.is_empty(), "a new life, with nothing");
    // Whoever commits for a site keeps it from being taken, and holds up nothing else.
    let mut client = ::postgres::Client::connect(&server.url(), ::postgres::NoTls).unwrap();
    let mut tx = client.transaction().unwrap();
    tx.execute("SELECT 1 FROM domains WHERE name = 'hall' FOR SHARE", &[]).unwrap();
    assert_eq!(b.leave(life_b).unwrap(), 1, "one is left");
    assert_eq!(takes_a_turn(&a, "a", Some(again), 60, &["shed"]).1, "shed yard");
    tx.rollback().unwrap();
    assert_eq!(takes_a_turn(&a, "a", Some(again), 60, &[]).1, "hall shed yard");
    assert_eq!(commits(&a, "hall", 4), (1, 0, Some(4)));
    assert!(matches!(Database::in_memory().unwrap().leave(1), Err(StoreError::Alone)));
}

#[test]
fn an_error_says_everything_once() {
    let refused = Database::connect(&at("postgres://nobody@127.0.0.1:1/x")).err().unwrap();
    let said = format!("{:#}", anyhow::Error::from(refused));
    assert_eq!(said.matches("refused").count(), 1, "{said}");
}
