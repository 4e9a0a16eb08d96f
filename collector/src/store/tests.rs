//! The intake's promises, on a store in memory: what arrives twice, in any order, never, or broken.

use bytes::Bytes;
use fieldmouse_core::wire::{Kind, phase, state};
use proptest::prelude::*;

use super::*;
use crate::intake::decode;
use crate::sample::{self, NOON, Sample};

const EPOCH: u64 = 0xfeed_beef_dead_cafe;

struct Bench(Sqlite);

impl Bench {
    fn new() -> Self {
        Self(Sqlite::in_memory().unwrap())
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

fn arrival(leaf: &str, epoch: u64, items: &[Sample], retained: bool) -> Arrival {
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

#[test]
fn what_comes_twice_is_stored_once_and_acknowledged_again() {
    let bench = Bench::new();
    let first = bench.events(&[fact(1), fact(2)]);
    assert_eq!((first.stored, first.duplicates, acked(&first)), (2, 0, Some(2)));
    let again = bench.events(&[fact(1), fact(2)]);
    assert_eq!((again.stored, again.duplicates, acked(&again)), (0, 2, Some(2)));
    assert_eq!(bench.0.facts(None, 10).unwrap().len(), 2);
}

#[test]
fn a_gap_holds_the_acknowledgement_until_it_is_filled() {
    let bench = Bench::new();
    assert_eq!(acked(&bench.events(&[fact(1)])), Some(1));
    assert_eq!(acked(&bench.events(&[fact(4)])), Some(1));
    assert_eq!(bench.0.gaps("hall", "press-1").unwrap(), [Gap { epoch: EPOCH, first: 2, last: 3 }]);
    assert_eq!(bench.device().missing, 2);
    assert_eq!(acked(&bench.events(&[fact(3)])), Some(1));
    assert_eq!(acked(&bench.events(&[fact(2)])), Some(4));
    assert_eq!(bench.device().missing, 0);
}

#[test]
fn a_declared_loss_fills_its_gap_and_is_shown() {
    let bench = Bench::new();
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

#[test]
fn a_loss_of_what_had_arrived_counts_only_what_is_missing() {
    let bench = Bench::new();
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

#[test]
fn a_device_acknowledged_by_an_earlier_database_is_not_stuck() {
    let bench = Bench::new();
    assert_eq!(acked(&bench.events(&[fact(501)])), None);
    assert_eq!(acked(&bench.take("beat", EPOCH, &[sample::beat(501, 500)], false)), Some(501));
    assert_eq!((bench.device().missing, bench.device().lost), (0, 0));
    assert_eq!(bench.0.losses("hall", "press-1").unwrap()[0].reason, words::own_loss::EARLIER_DATABASE);
    // A beat that lags behind is answered with what it missed.
    assert_eq!(acked(&bench.take("beat", EPOCH, &[sample::beat(501, 400)], false)), Some(501));
    assert_eq!(acked(&bench.take("beat", EPOCH, &[sample::beat(501, 501)], false)), None);
}

#[test]
fn an_episode_in_any_order_ends_up_the_same() {
    let told = || {
        [
            sample::episode(1, 9, phase::OPENED, 5_000).at(NOON),
            sample::episode(2, 9, phase::UPDATED, 65_000).at(NOON + 60_000),
            sample::episode(3, 9, phase::CLOSED, 125_000).at(NOON + 120_000),
        ]
    };
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]] {
        let bench = Bench::new();
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

#[test]
fn an_episode_that_comes_back_is_open_again_and_one_left_behind_is_closed() {
    let bench = Bench::new();
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

#[test]
fn a_will_marks_the_device_lost_unless_it_is_of_an_epoch_that_is_over() {
    let bench = Bench::new();
    bench.take("status", 1, &[sample::status(state::ONLINE)], false);
    bench.take("status", 2, &[sample::status(state::ONLINE)], false);
    let done = bench.take("status", 1, &[sample::status(state::LOST)], false);
    assert_eq!((done.stale, bench.device().state), (1, state::ONLINE));
    let seen = bench.device().seen_at;
    bench.take("status", 2, &[sample::status(state::LOST)], false);
    assert_eq!((bench.device().state, bench.device().seen_at), (state::LOST, seen));
}

#[test]
fn what_the_broker_kept_does_not_show_that_the_device_lives() {
    let bench = Bench::new();
    let hour_ago = NOON - 3_600_000;
    bench.take("status", EPOCH, &[sample::status(state::ONLINE).at(hour_ago)], true);
    assert_eq!(bench.device().seen_at, hour_ago);
    bench.take("beat", EPOCH, &[sample::beat(1, 0)], false);
    assert_eq!(bench.device().seen_at, NOON + 1000);
    assert_eq!(bench.device().beat.unwrap().waiting, 3);
}

#[test]
fn a_birth_describes_the_device() {
    use fieldmouse_core::series::SeriesKey;
    let bench = Bench::new();
    let series =
        [SeriesKey::new(fieldmouse_core::metric::CPU_MODE, &["user"]), SeriesKey::custom("tank.level")];
    bench.take("birth", EPOCH, &[sample::birth(&series)], true);
    let d = bench.device();
    assert_eq!((d.os.as_str(), d.cpus, d.memory), ("Debian 12", 4, 4 << 30));
    assert_eq!(d.series, r#"["system.cpu.utilization{cpu.mode=user}","tank.level"]"#);
    assert_eq!(d.edges, r#"[{"from":"web","to":"shop"}]"#);
}

#[test]
fn a_body_that_cannot_be_read_is_kept_and_does_not_stop_the_queue() {
    let bench = Bench::new();
    let done = bench.events(&[fact(1), sample::raw(2, Kind::Episode, vec![1, 2]), fact(3)]);
    assert_eq!((done.stored, acked(&done), done.malformed.as_slice()), (3, Some(3), ["body"].as_slice()));
    let letters = bench.0.dead_letters(10).unwrap();
    assert_eq!((letters[0].reason.as_str(), letters[0].payload.as_slice()), ("body", [1, 2].as_slice()));
}

#[test]
fn a_refused_message_touches_nothing_and_its_letters_are_capped() {
    let bench = Bench::new();
    let junk = |n: u8| decode::arrival("fm", "fm/1/hall/press-1/event", &[n; 9], false, NOON);
    for _ in 0..5 {
        let many: Vec<Arrival> = (0..250).map(junk).collect();
        assert_eq!(bench.0.commit(&many).unwrap().malformed.len(), 250);
    }
    assert!(bench.0.devices().unwrap().is_empty());
    assert_eq!(bench.0.totals().unwrap().dead_letters, 1000);
}

#[test]
fn a_clock_from_the_future_or_never_set_is_not_believed() {
    let bench = Bench::new();
    bench.events(&[fact(1).at(NOON + 400 * 24 * 3_600_000), fact(2).at(NOON - 7_000)]);
    let at: Vec<u64> = bench.0.facts(None, 10).unwrap().iter().map(|f| f.at).collect();
    assert_eq!(at, [NOON + 1000, NOON - 7_000]);
}

#[test]
fn retention_forgets_closed_things_and_keeps_the_numbers() {
    let bench = Bench::new();
    bench.events(&[
        fact(1),
        sample::episode(2, 1, phase::CLOSED, 0),
        sample::episode(3, 2, phase::OPENED, 0),
    ]);
    assert_eq!(bench.0.expire(NOON).unwrap(), 0, "nothing is that old");
    while bench.0.expire(NOON + 2000).unwrap() > 0 {}
    assert_eq!(bench.0.facts(None, 10).unwrap().len(), 0);
    assert_eq!(bench.episodes().iter().map(|e| e.id).collect::<Vec<_>>(), [2]);
    assert_eq!(bench.events(&[fact(1)]).duplicates, 1, "an old event is not new again");
}

#[test]
fn a_file_keeps_what_was_committed_and_a_newer_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.db");
    let store = Sqlite::open(&path).unwrap();
    store.commit(&[arrival("event", EPOCH, &[fact(1), fact(5)], false)]).unwrap();
    drop(store);
    let store = Sqlite::open(&path).unwrap();
    let done = store.commit(&[arrival("event", EPOCH, &[fact(2), fact(5)], false)]).unwrap();
    assert_eq!((done.stored, done.duplicates, acked(&done)), (1, 1, Some(2)));
    drop(store);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Sqlite::open(&path), Err(StoreError::Newer { found: 99, known: 7, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_order_with_any_repeats_stores_each_once(
        order in Just((1_u64..=24).collect::<Vec<_>>()).prop_shuffle(),
        repeats in proptest::collection::vec(1_u64..=24, 0..12),
        batch in 1_usize..6,
    ) {
        let bench = Bench::new();
        let mut highest = 0;
        let sent: Vec<u64> = order.into_iter().chain(repeats).collect();
        for seqs in sent.chunks(batch) {
            let arrivals: Vec<Arrival> =
                seqs.iter().map(|s| arrival("event", EPOCH, &[fact(*s)], false)).collect();
            if let Some(seq) = acked(&bench.0.commit(&arrivals).unwrap()) {
                prop_assert!(seq >= highest, "acknowledgements never go back");
                highest = seq;
            }
        }
        prop_assert_eq!(highest, 24);
        prop_assert_eq!(bench.0.facts(None, 100).unwrap().len(), 24);
    }
}
