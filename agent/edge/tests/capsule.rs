//! A capsule gives the scores of the device again, bit for bit: whatever was going on, and wherever it was cut.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::path::{Path, PathBuf};

use fieldmouse::budget::Budget;
use fieldmouse::capsule::replay::{self, Compared};
use fieldmouse::capsule::{Capsule, Here, Job, Recorder};
use fieldmouse::clock::Stamp;
use fieldmouse::config::{Config, Written};
use fieldmouse::pipeline::{Output, Pipeline};
use fieldmouse::scorer::joint::Joint;
use fieldmouse::scorer::models::{Engine, Models, Own};
use fieldmouse::scorer::onnx::Model;
use fieldmouse::scorer::{Forecaster, SCORE, SHIPPED};
use fieldmouse_core::metric;
use fieldmouse_core::series::{NoData, Reading, SeriesKey};

fn noise(t: u64, salt: u64) -> f64 {
    let mut x = t.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt.wrapping_mul(0xD1B5_4A32_D192_ED03);
    x = (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (x >> 11) as f64 / (1u64 << 53) as f64
}

fn shipped() -> Models {
    Models::of(Some(Forecaster::new(SHIPPED).unwrap()))
}

fn with_joint() -> Models {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/joint/pump-window.onnx");
    let model = Model::load(&std::fs::read(path).unwrap(), 1).unwrap();
    let joint = Engine::Joint(Box::new(Joint::new(model, 0)));
    let own = Own::new("pump", PathBuf::new(), SCORE, vec!["pump.*".into()], joint);
    Models::new(Engine::forecast(Forecaster::new(SHIPPED).unwrap()), vec![own])
}

const SERIES: usize = 40;

/// A device of gauges, counters, slow and broken sensors; from tick `late` on with three more series.
struct Device {
    pipeline: Pipeline,
    recorder: Recorder,
    config: Config,
    late: u64,
    /// Scores of the device, tick by tick, and all that was told.
    told: Vec<Output>,
    files: Vec<Vec<u8>>,
}

fn key(i: usize) -> SeriesKey {
    match i {
        0 => SeriesKey::new(metric::CPU_BUSY, &[]),
        1 => SeriesKey::new(metric::MEMORY_USED, &[]),
        2 => SeriesKey::new(metric::NETWORK_IO, &["eth0", "receive"]),
        3..=6 => SeriesKey::custom(&format!("pump.{i}")),
        i => SeriesKey::custom(&format!("series {i}")),
    }
}

impl Device {
    fn new(models: Models, late: u64) -> Self {
        let mut pipeline = Pipeline::new(Budget::default(), None, 1);
        pipeline.set_models(models);
        let config = Config::new(Written::default(), "mouse").unwrap();
        Self { pipeline, recorder: Recorder::default(), config, late, told: Vec::new(), files: Vec::new() }
    }

    fn reading(t: u64, i: usize, fault: bool) -> Option<Reading> {
        let n = noise(t, i as u64);
        let usual = match i {
            0 => 0.05 + 0.02 * n,
            1 => 0.3 + 0.001 * n,
            2 => t as f64 * 1.0e5 + (1000.0 * n).round(),
            _ if i.is_multiple_of(5) && !t.is_multiple_of(5) => return None,
            _ if i.is_multiple_of(7) && n < 0.02 => return Some(Err(NoData::Timeout)),
            _ if i.is_multiple_of(11) && n < 0.01 => return Some(Ok(f64::NAN)),
            _ if i.is_multiple_of(3) => (20.0 * n).round(),
            // Heavy tails, so that evidence comes and goes in the calm, too.
            _ => 10.0 + 1.0 / (n + 0.02),
        };
        let strange = fault && [0, 1, 8, 9, 13].contains(&i);
        Some(Ok(if strange { usual * 3.0 + 0.5 } else { usual }))
    }

    /// Runs ticks `from..to`, the fault from `fault` on.
    fn run(&mut self, from: u64, to: u64, fault: std::ops::Range<u64>) {
        let mut outputs = Vec::new();
        for t in from..to {
            let count = SERIES + if t >= self.late { 3 } else { 0 };
            let mut readings: Vec<Option<Reading>> = Vec::new();
            for i in 0..count {
                let index = self.pipeline.index(&key(i), if i.is_multiple_of(5) { 5000 } else { 0 });
                readings.resize(readings.len().max(index + 1), None);
                readings[index] = Self::reading(t, i, fault.contains(&t));
            }
            // A clock that jitters.
            let now = 5_000_000 + 1000 * t + t % 3;
            self.recorder.before(now, &self.pipeline);
            let stamp = Stamp { mono_ms: now, wall_ms: Some(1_700_000_000_000 + now), clock: 2 };
            self.pipeline.follow_calendar(stamp, &mut outputs);
            self.pipeline.set_wall(stamp.wall_ms);
            self.pipeline.tick(now, &readings, &mut outputs);
            let here = Here { config: &self.config, stamp };
            match self.recorder.after(&readings, &self.pipeline, &outputs, &here) {
                Some(Job::Begin(_, bytes)) => self.files.push(bytes),
                Some(Job::More(bytes)) => self.files.last_mut().unwrap().extend(bytes),
                None => {}
            }
            self.told.append(&mut outputs);
        }
    }
}

fn replayed(bytes: &[u8], models: Models) -> (Capsule, Compared) {
    let capsule = Capsule::read(bytes).unwrap();
    let mut pipeline = Pipeline::new(Budget::default(), None, 1);
    let mut models = models;
    models.forget_joint();
    pipeline.set_models(models);
    let compared = replay::run(&capsule, pipeline, &mut None, |_, _| Ok(())).unwrap();
    (capsule, compared)
}

fn check(models: fn() -> Models, late: u64, fault: u64) -> Vec<u8> {
    let mut device = Device::new(models(), late);
    device.run(0, fault + 200, fault..fault + 30);
    assert_eq!(device.files.len(), 1, "late {late}, fault {fault}: {:?}", device.told);
    let file = device.files.pop().unwrap();
    let (capsule, compared) = replayed(&file, models());
    let place = format!("late {late}, fault {fault}: {compared:?}");
    assert!(compared.is_identical() && compared.worst == 0.0, "{place}");
    assert!(compared.told >= 2 && compared.replayed >= 60 && compared.ticks > 90, "{place}");
    assert_eq!(capsule.damaged, 0);
    assert_eq!(capsule.head.node, "mouse");
    file
}

const NEVER: u64 = u64::MAX;

#[test]
fn every_score_comes_out_bit_for_bit() {
    // Onsets at every place between two states, and after a ring that went round.
    for fault in (300..430).step_by(26) {
        check(shipped, NEVER, fault);
    }
    let file = check(shipped, NEVER, 1100);
    // For a replay on another kind of processor.
    if let Some(path) = std::env::var_os("CAPSULE_OUT") {
        std::fs::write(path, file).unwrap();
    }
}

#[test]
fn series_that_come_in_the_middle_are_no_trouble() {
    for late in [290, 305, 310, 330] {
        check(shipped, late, 310);
    }
}

#[test]
fn what_joint_models_said_stands_in_the_capsule() {
    check(with_joint, NEVER, 400);
    check(|| Models::of(None), NEVER, 400);
}

#[test]
fn another_threshold_or_a_changed_reading_shows() {
    let file = check(shipped, NEVER, 350);
    // Another threshold is another score, wherever there is evidence.
    let often = Budget { alarms: 100.0, ..Budget::default() };
    let mut pipeline = Pipeline::new(often, None, 1);
    pipeline.set_models(shipped());
    let compared = replay::run(&Capsule::read(&file).unwrap(), pipeline, &mut None, |_, _| Ok(())).unwrap();
    assert!(!compared.is_identical() && compared.worst.max(compared.told_worst) > 0.0, "{compared:?}");
    let mut capsule = Capsule::read(&file).unwrap();
    let from = capsule.state.0;
    let block = capsule.blocks.iter_mut().find(|b| b.first >= from).unwrap();
    let at = block.bytes.len() / 2;
    block.bytes[at] ^= 0x40;
    let mut pipeline = Pipeline::new(Budget::default(), None, 1);
    pipeline.set_models(shipped());
    let compared = replay::run(&capsule, pipeline, &mut None, |_, _| Ok(())).unwrap();
    assert!(!compared.is_identical(), "{compared:?}");
}

#[test]
fn a_capsule_that_was_cut_says_the_rest_and_damage_does_no_harm() {
    let file = check(shipped, NEVER, 350);
    let whole = replayed(&file, shipped()).1;
    let (mut read, mut refused) = (0, 0);
    for len in (0..file.len()).step_by(file.len() / 24) {
        match Capsule::read(&file[..len]) {
            Ok(_) => {
                let (_, compared) = replayed(&file[..len], shipped());
                assert!(
                    compared.is_identical() && compared.replayed <= whole.replayed,
                    "{len}: {compared:?}"
                );
                read += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > 5 && refused > 5, "{read} {refused}");
    for at in (0..file.len()).step_by(file.len() / 200) {
        let mut bad = file.clone();
        bad[at] ^= 0xFF;
        if let Ok(capsule) = Capsule::read(&bad) {
            assert!(capsule.damaged > 0, "byte {at} is covered by a sum");
        }
    }
}

#[test]
fn the_next_episode_has_a_capsule_of_its_own_and_a_reload_begins_anew() {
    let mut device = Device::new(shipped(), NEVER);
    device.run(0, 400, 300..330);
    device.recorder.restart();
    device.run(400, 1100, 900..930);
    assert_eq!(device.files.len(), 2);
    for file in &device.files {
        let (_, compared) = replayed(file, shipped());
        assert!(compared.is_identical() && compared.told >= 2, "{compared:?}");
    }
}
