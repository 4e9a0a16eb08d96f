//! What was learnt outlives a restart: the next sample gets the score that it would have got without one.

use std::fmt::Write;
use std::path::Path;

use fieldmouse::budget::Budget;
use fieldmouse::clock::Stamp;
use fieldmouse::learnt::Learnt;
use fieldmouse::learnt::keeper::{File, Keeper};
use fieldmouse::pipeline::{Output, Pipeline, Realised};
use fieldmouse::scorer::{Forecaster, SHIPPED};
use fieldmouse_core::metric;
use fieldmouse_core::series::{NoData, Reading, SeriesKey};
use fieldmouse_tests::free_port;
use fieldmouse_tests::program::{Agent, fieldmouse};
use fieldmouse_tests::sim::disk::{Fault, Files, Ram};
use fieldmouse_tests::sim::rng::Rng;
use rustix::process::Signal;

const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;
/// A Sunday in November.
const WALL: u64 = 1_795_305_600_000;

fn keys() -> [SeriesKey; 3] {
    [
        SeriesKey::new(metric::CPU_BUSY, &[]),
        SeriesKey::new(metric::DISK_IO, &["sda", "write"]),
        SeriesKey::new(metric::TEMPERATURE, &["chip", "core"]),
    ]
}

/// A small device: busy from 600 s to 660 s, a counter, a sensor with a hole.
fn readings(t: u64) -> [Reading; 3] {
    let noise =
        |salt: u64| (t.wrapping_mul(2_654_435_761).wrapping_add(salt * 977) >> 7 & 1023) as f64 / 1023.0;
    let busy = if (600..660).contains(&t) { 0.95 } else { 0.05 + 0.02 * noise(1) };
    let sensor = if (100..104).contains(&t) { Err(NoData::Absent) } else { Ok(40.0 + noise(3)) };
    [Ok(busy), Ok(t as f64 * 4096.0 + noise(2)), sensor]
}

fn pipeline() -> Pipeline {
    Pipeline::new(Budget::default(), Some(Forecaster::new(SHIPPED).unwrap()), 1)
}

/// Takes seconds `from..to`, and returns every score and every word.
fn run(pipeline: &mut Pipeline, mono: impl Fn(u64) -> u64, from: u64, to: u64) -> Vec<String> {
    keys().iter().for_each(|k| assert!(pipeline.index(k, 0) < 3));
    let (mut told, mut all) = (Vec::new(), Vec::new());
    for t in from..to {
        pipeline.tick(mono(t), &readings(t).map(Some), &mut told);
        let scores: Vec<u32> = pipeline.series().iter().map(|s| s.now.score.to_bits()).collect();
        all.push(format!("{t} {scores:?} {told:?}"));
        told.clear();
    }
    all
}

#[test]
fn the_next_sample_gets_the_same_score() {
    let up = |t: u64| SECOND * (1000 + t);
    let at = |mono_ms, t: u64| Stamp { mono_ms, wall_ms: Some(WALL + SECOND * t), clock: 2 };
    // Young, half learnt, with a hole, before, in and after an anomaly.
    let cuts = [0, 1, 5, 30, 31, 64, 102, 500, 603, 606, 630, 661, 668, 700];
    let mut whole = pipeline();
    let (mut expected, mut kept) = (Vec::new(), Vec::new());
    for (from, to) in cuts.into_iter().zip(cuts.into_iter().skip(1).chain([800])) {
        let bytes = whole.save(at(up(from) - SECOND, from.saturating_sub(1)), 7);
        kept.push((from, bytes, whole.realised()));
        expected.extend(run(&mut whole, up, from, to));
    }
    let check = |(cut, bytes, realised): &(u64, Vec<u8>, Realised), boot: u128, mono: &dyn Fn(u64) -> u64| {
        let (mut second, cut) = (pipeline(), *cut);
        second.restore(Learnt::read(bytes), at(mono(cut), cut), boot);
        assert_eq!(second.realised(), *realised);
        let got = run(&mut second, mono, cut, (cut + 80).min(800));
        for (t, got) in (cut..).zip(got) {
            assert_eq!(got, expected[t as usize], "cut at {cut}, boot {boot}");
        }
        assert_eq!(second.standing().restored, 3);
    };
    for kept in kept.iter().skip(1) {
        // By the boot's own clock, and by the wall clock in another boot.
        check(kept, 7, &up);
        check(kept, 8, &|t| SECOND * (3 + t - kept.0));
    }
    assert_eq!(whole.realised().opened, 1);
}

/// Runs 600 s, keeps, is away, and comes back to readings like those of before; returns the words told.
fn away(name: &str, gone: u64, wall: impl Fn(u64) -> Option<u64>, busy: bool) -> Vec<String> {
    let mut before = pipeline();
    run(&mut before, |t| SECOND * t, 0, if busy { 640 } else { 600 });
    let bytes = before.save(Stamp { mono_ms: 640 * SECOND, wall_ms: wall(0), clock: 2 }, 7);
    let mut after = pipeline();
    let boot = Stamp { mono_ms: 20 * SECOND, wall_ms: wall(gone), clock: 2 };
    after.restore(Learnt::read(&bytes), boot, 8);
    let mut told = Vec::new();
    keys().iter().for_each(|k| assert!(after.index(k, 0) < 3));
    for t in 0..120 {
        // The machine was started anew: its counters, too.
        let mut row = readings(t);
        row[0] = readings(if busy { 620 } else { t })[0];
        after.tick(SECOND * (20 + t), &row.map(Some), &mut told);
        if t == 40 {
            let s = after.standing();
            assert_eq!((s.restored, s.confident), (3, 3), "{name}");
        }
    }
    told.iter()
        .map(|o| match o {
            Output::Episode { body, .. } => {
                format!("{} {} after {} s", body.phase, body.id, body.lasted_ms / 1000)
            }
            Output::Trouble { body, .. } => body.text.as_str().to_owned(),
            Output::Maintenance(m) => m.text.clone(),
            Output::Drift(fact) => fact.text.as_str().to_owned(),
            Output::Forecast { body, .. } => fieldmouse_core::explain::expected(body).to_string(),
        })
        .collect()
}

/// Eight sensors, of which four go together, found in this order. Returns the device's scores.
fn company(pipeline: &mut Pipeline, order: [u64; 8], from: u64, to: u64) -> Vec<f32> {
    let key = |i: &u64| SeriesKey::new(metric::TEMPERATURE, &["chip", &i.to_string()]);
    let index = order.each_ref().map(|i| pipeline.index(&key(i), 0));
    let noise = |t: u64, salt: u64| (t * 2_654_435_761 + salt * 40_503) / 64 % 1009;
    let mut told = Vec::new();
    let score = |t: u64| {
        let mut row = [None; 8];
        for (i, at) in order.iter().zip(index) {
            let together = if *i < 4 { noise(t * 31, 99) as f64 / 100.0 } else { 0.0 };
            row[at] = Some(Ok(40.0 + together + noise(t * 17, *i) as f64 / 1009.0));
        }
        pipeline.tick(SECOND * t, &row, &mut told);
        pipeline.score()
    };
    (from..to).map(score).collect()
}

#[test]
fn series_that_are_found_in_another_order_keep_their_company() {
    let order = [0, 1, 2, 3, 4, 5, 6, 7];
    let mut whole = Pipeline::new(Budget::default(), None, 1);
    company(&mut whole, order, 0, 1200);
    let stamp = Stamp { mono_ms: 1199 * SECOND, wall_ms: None, clock: 0 };
    let bytes = whole.save(stamp, 7);
    let expected = company(&mut whole, order, 1200, 1260);
    for order in [order, [7, 3, 5, 1, 6, 2, 4, 0]] {
        let mut after = Pipeline::new(Budget::default(), None, 1);
        after.restore(Learnt::read(&bytes), stamp, 7);
        let got = company(&mut after, order, 1200, 1260);
        let apart = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // Sums of the same in another order differ by rounding.
        assert!(apart < 1e-4, "{order:?}: scores differ by {apart}");
    }
}

#[test]
fn time_away_makes_no_anomaly_and_ends_what_went_on() {
    let none: [&str; 0] = [];
    let known = |gone: u64| Some(WALL + gone);
    let calm = |name, gone, wall: &dyn Fn(u64) -> Option<u64>| {
        assert_eq!(away(name, gone, wall, false), none, "{name}");
    };
    calm("a minute", 60 * SECOND, &known);
    calm("a night", 8 * HOUR, &known);
    calm("no clock", HOUR, &|_| None);
    calm("the clock jumped by 55 years", HOUR, &|gone| Some(if gone == 0 { WALL } else { WALL * 2 }));
    calm("the clock fell back by two weeks", HOUR, &|gone| {
        Some(if gone == 0 { WALL } else { WALL - 14 * 24 * HOUR })
    });
    // Opened under its number before; closed under it now, when it lasted as long as it was seen to.
    let busy = away("busy", HOUR, known, true);
    assert_eq!(busy[0], "3 1 after 39 s", "{busy:?}");
}

#[test]
fn replay_goes_on_where_another_ended() {
    let dir = tempfile::tempdir().unwrap();
    let csv = |from: u64, to: u64| {
        let mut text = String::from("timestamp");
        for key in keys() {
            write!(text, ",\"{key}\"").unwrap();
        }
        for t in from..to {
            write!(text, "\n{}", WALL / 1000 + t).unwrap();
            for reading in readings(t) {
                write!(text, ",{}", reading.map_or(String::new(), |v| v.to_string())).unwrap();
            }
        }
        text + "\n"
    };
    let replay = |name: &str, rows: String, more: &[&str]| {
        std::fs::write(dir.path().join(name), rows).unwrap();
        let ran = fieldmouse(dir.path(), &[&["replay", name, "--scores", "scores.csv"], more].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let scores = std::fs::read_to_string(dir.path().join("scores.csv")).unwrap();
        scores.lines().skip(1).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let whole = replay("whole.csv", csv(0, 700), &[]);
    let first = replay("first.csv", csv(0, 630), &["--state-out", "state"]);
    let second = replay("second.csv", csv(630, 700), &["--state-in", "state"]);
    assert_eq!([first, second].concat(), whole);
    std::fs::write(dir.path().join("words"), "no state").unwrap();
    let ran = fieldmouse(dir.path(), &["replay", "second.csv", "--state-in", "words"]);
    assert_eq!((ran.code, ran.err.contains("words: no state of Fieldmouse")), (1, true), "{}", ran.err);
}

/// Seconds learnt by what stands on a disk; none if there is nothing. Damage is a failure.
fn kept_on(files: Files) -> Option<u64> {
    let (keeper, learnt) = Keeper::open(Box::new(Ram::of(files)), Some(1 << 20), 0);
    assert_eq!((learnt.refused.damaged, keeper.state.trouble), (0, None));
    learnt.moment.map(|m| m.at / SECOND)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    fieldmouse::once::runtime().unwrap().block_on(work)
}

async fn keep(keeper: &mut Keeper, pipeline: &Pipeline, second: u64, file: File) {
    let stamp = Stamp { mono_ms: second * SECOND, wall_ms: None, clock: 0 };
    let bytes = match file {
        File::Series => pipeline.save(stamp, 7),
        File::Device => pipeline.save_device(stamp, 7),
    };
    keeper.write(stamp.mono_ms, file, bytes, 0);
    keeper.settle().await;
}

#[test]
fn a_power_cut_leaves_the_old_or_the_new() {
    const SEED: u64 = 20_261_122;
    let mut pipeline = Pipeline::new(Budget::default(), None, 1);
    run(&mut pipeline, |t| SECOND * t, 0, 100);
    let (disk, mut rng) = (Ram::default(), Rng::new(SEED));
    disk.record();
    let mut durable = Vec::new();
    let mut changes = Vec::new();
    block_on(async {
        let (mut keeper, _) = Keeper::open(Box::new(disk.clone()), Some(1 << 20), 0);
        for (second, file) in
            [(100, File::Series), (200, File::Device), (300, File::Series), (400, File::Series)]
        {
            keep(&mut keeper, &pipeline, second, file).await;
            assert_eq!(keeper.state.trouble, None);
            changes.extend(disk.changes());
            durable.push((changes.len(), second));
        }
    });
    let (mut files, mut cuts) = (Files::default(), 0);
    for (done, change) in (1..).zip(&changes) {
        files.apply(change);
        let old = durable.iter().rfind(|(at, _)| *at <= done).map(|(_, second)| *second);
        let new = durable.iter().find(|(at, _)| *at > done).map(|(_, second)| *second);
        for _ in 0..50 {
            let kept = kept_on(files.cut(&mut rng));
            assert!(kept == old || kept == new, "{kept:?} after change {done}, seed {SEED}");
            cuts += 1;
        }
    }
    println!("learnt.power_cuts {cuts} cuts, seed {SEED}");
}

#[test]
fn a_failing_disk_keeps_the_old_and_is_said() {
    let mut pipeline = Pipeline::new(Budget::default(), None, 1);
    run(&mut pipeline, |t| SECOND * t, 0, 100);
    let (mut tried, mut said) = (0, 0);
    for fault in [Fault::Eio, Fault::LostPages, Fault::ReadOnly, Fault::Full] {
        for call in 0..4 {
            let disk = Ram::default();
            block_on(async {
                let (mut keeper, _) = Keeper::open(Box::new(disk.clone()), Some(1 << 20), 0);
                keep(&mut keeper, &pipeline, 100, File::Series).await;
                disk.set(|faults, calls| faults.fail = Some((calls + 1 + call, 1, fault)));
                keep(&mut keeper, &pipeline, 200, File::Series).await;
                let kept = kept_on(disk.files());
                match keeper.state.trouble.clone() {
                    // Not every call meets every fault: what is not said was kept.
                    None => assert_eq!(kept, Some(200), "{fault:?} at {call}"),
                    Some(trouble) => {
                        assert!(trouble.starts_with("series: cannot be written: "), "{trouble}");
                        // Of the name alone nobody knows; the bytes behind either are whole.
                        let whole = kept == Some(100) || (call == 3 && kept == Some(200));
                        assert!(whole, "{fault:?} at {call}: {kept:?}");
                        said += 1;
                    }
                }
                keep(&mut keeper, &pipeline, 300, File::Series).await;
                assert_eq!((keeper.state.trouble.clone(), kept_on(disk.files())), (None, Some(300)));
                tried += 1;
            });
        }
    }
    assert!(said >= 12, "{said}");
    println!("learnt.disk_faults {tried} faults, {said} said");
}

#[test]
fn a_killed_agent_goes_on_from_memory_that_outlives_it() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    assert!(fieldmouse::disk::is_memory(dir.path()), "/dev/shm is no tmpfs: mount -t tmpfs tmpfs /dev/shm");
    let mut agent = start(dir.path());
    agent.until("learning", |s| s["learnt"]["confident"].as_u64() > Some(20));
    let file = dir.path().join("learnt/series");
    let before = std::fs::read(&file).unwrap();
    agent.until("what is learnt now to be kept", |_| std::fs::read(&file).unwrap() != before);
    agent.run.signal(Signal::KILL);
    assert_eq!(agent.run.ended().code(), None);
    assert!(!dir.path().join("state/learnt/series").exists(), "nothing was worth a write of flash yet");
    let s = start(dir.path()).status();
    assert!(s["learnt"]["confident"].as_u64() > Some(20), "{}", s["learnt"]);
    assert_eq!(s["learnt"]["restored"], s["learnt"]["series"], "{}", s["learnt"]);
}

fn start(dir: &Path) -> Agent {
    let broker = format!("mqtt://127.0.0.1:{}", free_port());
    // Ten times as fast as on a device, so that something is learnt within the test.
    let config = format!("[broker]\nurl = \"{broker}\"\n[source.host]\nevery = \"100ms\"\n");
    Agent::start_with(dir, &config, |c| c)
}

#[test]
fn a_killed_agent_judges_at_once_when_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = start(dir.path());
    let learnt = |s: &serde_json::Value, key: &str| s["learnt"][key].as_u64().unwrap_or(0);
    agent.until("learning", |s| learnt(s, "confident") > 20);
    agent.run.signal(Signal::TERM);
    assert_eq!(agent.run.ended().code(), Some(0));
    let file = dir.path().join("state/learnt/series");
    let kept = std::fs::read(&file).unwrap();

    // Killed before it kept anything new: what was kept before still stands.
    let mut agent = start(dir.path());
    agent.run.signal(Signal::KILL);
    assert_eq!(agent.run.ended().code(), None);
    assert_eq!(std::fs::read(&file).unwrap(), kept);
    let agent = start(dir.path());
    let s = agent.status();
    assert!(learnt(&s, "confident") > 20 && s["ticks"].as_u64() < Some(100), "{}", s["learnt"]);
    assert_eq!(learnt(&s, "restored"), learnt(&s, "series"), "{}", s["learnt"]);
    drop(agent);

    // Damage costs what it hits, and is said.
    let mut bad = kept.clone();
    bad[kept.len() / 2] ^= 1;
    std::fs::write(&file, bad).unwrap();
    let agent = start(dir.path());
    let s = agent.status();
    assert_eq!(learnt(&s, "restored") + 1, learnt(&s, "series"), "{}", s["learnt"]);
    assert!(s["learnt"]["refused"]["damaged_bytes"].as_u64() > Some(0));
    drop(agent);
    std::fs::write(&file, "words").unwrap();
    assert_eq!(learnt(&start(dir.path()).status(), "restored"), 0);
}
