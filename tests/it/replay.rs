//! `replay` is the agent: the same readings give the same scores, bit for bit, and the same events.

use std::fmt::Write;

use fieldmouse::budget::Budget;
use fieldmouse::pipeline::Pipeline;
use fieldmouse::replay::{self, Files};
use fieldmouse::scorer::{Forecaster, SHIPPED};
use fieldmouse_core::metric;
use fieldmouse_core::series::{NoData, Reading, SeriesKey};

fn pipeline() -> Pipeline {
    let forecaster = Forecaster::new(SHIPPED).unwrap();
    Pipeline::new(Budget::default(), Some(forecaster), 1)
}

/// Readings of a small device: a busy spell, a counter that is reset, a hole.
fn readings(t: u64) -> [Reading; 3] {
    let noise =
        |salt: u64| (t.wrapping_mul(2_654_435_761).wrapping_add(salt * 977) >> 7 & 1023) as f64 / 1023.0;
    let busy = if (200..240).contains(&t) { 0.95 } else { 0.05 + 0.02 * noise(1) };
    let counter = if t < 150 { t as f64 * 4096.0 + noise(2) } else { (t - 150) as f64 * 4096.0 };
    let sensor = if (100..104).contains(&t) { Err(NoData::Absent) } else { Ok(40.0 + noise(3)) };
    [Ok(busy), Ok(counter), sensor]
}

/// Phase and shape of the episodes that these readings of a sensor make, one a second.
fn episodes(seconds: u32, reading: impl Fn(u32) -> f64) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    let events = dir.path().join("events.jsonl");
    let files = Files { input: dir.path().join("in.csv"), events: Some(events.clone()), ..Files::default() };
    let mut csv = String::from("timestamp,\"hw.temperature{hw.id=soc,hw.sensor_location=package}\"\n");
    for i in 0..seconds {
        writeln!(csv, "{},{}", 1_700_000_000 + i, reading(i)).unwrap();
    }
    std::fs::write(&files.input, csv).unwrap();
    replay::run(&files, pipeline()).unwrap();
    let told = std::fs::read_to_string(events).unwrap();
    let told = told.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    let word =
        |event: &serde_json::Value, key: &str| event["body"][key].as_str().unwrap_or_default().to_owned();
    told.filter(|event| event["kind"] == "episode").map(|e| (word(&e, "phase"), word(&e, "shape"))).collect()
}

/// Between -0.5 and 0.5.
fn noise(i: u32) -> f64 {
    f64::from(i.wrapping_mul(2_654_435_761) >> 8) / f64::from(1u32 << 24) - 0.5
}

#[test]
fn the_noise_of_numbers_is_no_news() {
    for size in [0.0, 1e-12, 1e-6, 1e-3] {
        assert_eq!(episodes(1500, |i| 21.5 + size * noise(i)), [], "{size}");
    }
}

#[test]
fn shapes_are_told_with_their_episode() {
    let check = |strange: fn(u32) -> f64, phase: &str, want: &str| {
        let told = episodes(660, |i| 50.0 + noise(i) + if i < 600 { 0.0 } else { strange(i - 600) });
        let shape = told.iter().find(|(of, _)| of == phase).map(|(_, shape)| shape.as_str());
        assert_eq!(shape, Some(want), "{told:?}");
    };
    check(|_| 30.0, "opened", "step");
    check(|_| -30.0, "opened", "drop");
    check(|i| 19.0 * noise(600 + i), "opened", "variance");
    check(|i| 2.0 * f64::from(i), "updated", "ramp");
    check(|i| if i < 12 { 30.0 } else { 0.0 }, "closed", "spike");
    check(|i| if i < 12 { -30.0 } else { 0.0 }, "closed", "dip");
}

#[test]
fn a_disk_that_fills_is_foretold() {
    // 3 % a day and, at the end of the fourth day, nothing any more.
    let mut csv =
        String::from("timestamp,system.filesystem.utilization{system.filesystem.mountpoint=/var}\n");
    for minute in 0..6 * 1440 {
        let day = f64::from(minute.min(4 * 1440)) / 1440.0;
        writeln!(csv, "{},{}", 1_700_000_000 + 60 * minute, 0.8 + 0.03 * day).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let events = dir.path().join("events.jsonl");
    let files = Files { input: dir.path().join("in.csv"), events: Some(events.clone()), ..Files::default() };
    std::fs::write(&files.input, csv).unwrap();
    replay::run(&files, pipeline()).unwrap();
    let told = std::fs::read_to_string(events).unwrap();
    let told: Vec<serde_json::Value> = told.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let told: Vec<_> =
        told.iter().filter(|event| event["kind"] == "forecast").map(|event| &event["body"]).collect();
    assert_eq!(
        (told[0]["phase"].as_str(), told.last().unwrap()["phase"].as_str()),
        (Some("opened"), Some("closed"))
    );
    assert!(told.len() <= 4, "{told:#?}");
    let sentence = told[0]["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("/var will be full in 5 d"), "{sentence}");
    assert!(sentence.ends_with("grows 3.00 % a day."), "{sentence}");
}

#[test]
fn scores_are_those_of_the_live_pipeline() {
    let keys = [
        SeriesKey::new(metric::CPU_BUSY, &[]),
        SeriesKey::new(metric::DISK_IO, &["sda", "write"]),
        SeriesKey::new(metric::TEMPERATURE, &["chip", "core"]),
    ];
    let mut live = pipeline();
    let indices: Vec<usize> = keys.iter().map(|k| live.index(k, 0)).collect();
    assert_eq!(indices, [0, 1, 2]);
    let mut told = Vec::new();
    let (mut csv, mut expected) = (String::from("timestamp"), String::from("timestamp,score"));
    for key in &keys {
        let name = key.to_string();
        let quoted = if name.contains(',') { format!("\"{name}\"") } else { name };
        write!(csv, ",{quoted}").unwrap();
        write!(expected, ",{quoted}").unwrap();
    }
    for t in 0..300 {
        let row = readings(t);
        live.tick(1000 * t, &row.map(Some), &mut told);
        write!(csv, "\n{}", 1_700_000_000 + t).unwrap();
        for reading in row {
            write!(csv, ",{}", reading.map_or(String::new(), |v| v.to_string())).unwrap();
        }
        write!(expected, "\n{},{}", 1_700_000_000 + t, live.score()).unwrap();
        for s in live.series() {
            write!(expected, ",{}", s.now.score).unwrap();
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let files = Files {
        input: dir.path().join("in.csv"),
        scores: Some(dir.path().join("scores.csv")),
        events: Some(dir.path().join("events.jsonl")),
        ..Files::default()
    };
    std::fs::write(&files.input, csv + "\n").unwrap();
    let summary = replay::run(&files, pipeline()).unwrap();
    let scores = std::fs::read_to_string(files.scores.unwrap()).unwrap();
    assert_eq!(scores, expected + "\n");
    let events = std::fs::read_to_string(files.events.unwrap()).unwrap();
    assert_eq!(events.lines().count(), told.len());
    assert_eq!((summary.rows, summary.episodes), (300, 1), "{events}");
}
