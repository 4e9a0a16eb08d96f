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
