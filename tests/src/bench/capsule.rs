//! What the flight recorder costs: memory, time of a tick, and bytes of a capsule. The readings are this host's, as they
//! were recorded by `fieldmouse record FILE.csv`, or made up if there is no recording.

use fieldmouse::budget::Budget;
use fieldmouse::capsule::{Here, Recorder, Usage};
use fieldmouse::clock::Stamp;
use fieldmouse::config::{Config, Written};
use fieldmouse::keys;
use fieldmouse::pipeline::Pipeline;
use fieldmouse_core::series::{NoData, Reading};

use crate::results::Row;
use crate::wait::timed;

const SERIES: usize = 200;
const TICKS: usize = 1200;

/// Prints the figures.
pub fn main(args: &[String]) {
    let (names, rows) = args.first().map_or_else(made_up, |file| recorded(file));
    let mut row = Row::new("capsule", "the flight recorder of a device, tick by tick", None);
    let mut pipeline = Pipeline::new(Budget::default(), None, 1);
    for name in &names {
        pipeline.index(&keys::parse(name), 0);
    }
    let config = Config::new(Written::default(), "bench").unwrap();
    let mut recorder = Recorder::default();
    let (mut told, mut states, mut spent, mut most) = (Vec::new(), Vec::new(), Vec::new(), Usage::default());
    for t in 0..TICKS {
        let (now, readings) = (1000 * t as u64, &rows[t % rows.len()]);
        let before = recorder.usage().taken;
        let ((), took) = timed(|| recorder.before(now, &pipeline));
        if recorder.usage().taken > before {
            states.push(took);
        }
        pipeline.tick(now, readings, &mut told);
        let here = Here { config: &config, stamp: Stamp { mono_ms: now, wall_ms: None, clock: 0 } };
        let (_, took) = timed(|| recorder.after(readings, &pipeline, &[], &here));
        spent.push(took);
        let usage = recorder.usage();
        most.state_bytes = most.state_bytes.max(usage.state_bytes);
        most.reading_bytes = most.reading_bytes.max(usage.reading_bytes);
        told.clear();
    }
    let mean = |all: &[std::time::Duration]| {
        all.iter().map(std::time::Duration::as_nanos).sum::<u128>() as f64 / 1000.0 / all.len().max(1) as f64
    };
    row.count("capsule.series", names.len() as u64, "series");
    row.figure("capsule.tick", format!("{:.1}", mean(&spent)), "us");
    row.figure("capsule.state_taken", format!("{:.0}", mean(&states)), "us");
    row.count("capsule.states", states.len() as u64, "in 1200 ticks");
    row.figure("capsule.state", most.state_bytes, "By at most");
    row.figure("capsule.readings", most.reading_bytes, "By at most");
    let usage = recorder.usage();
    row.figure("capsule.window", usage.ticks, "ticks");
    let each = usage.reading_bytes as f64 / usage.ticks.max(1) as f64 / names.len() as f64;
    row.figure("capsule.reading", format!("{each:.2}"), "By");
}

type Readings = Vec<Vec<Option<Reading>>>;

fn made_up() -> (Vec<String>, Readings) {
    let names = (0..SERIES).map(|i| format!("series {i}")).collect();
    let mut x = 1u64;
    let rows = (0..TICKS).map(|_| {
        let readings = (0..SERIES).map(|_| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            Some(Ok((x >> 11) as f64 / (1u64 << 53) as f64))
        });
        readings.collect()
    });
    (names, rows.collect())
}

fn recorded(file: &str) -> (Vec<String>, Readings) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
    let mut lines = text.lines();
    let names = split(lines.next().unwrap_or("")).into_iter().skip(1).collect();
    let rows = lines.map(|line| {
        let cells = split(line).into_iter().skip(1);
        cells
            .map(|cell| if cell.is_empty() { Some(Err(NoData::Absent)) } else { cell.parse().ok().map(Ok) })
            .collect()
    });
    (names, rows.collect())
}

/// The cells of a line; names of series hold commas, and are quoted then.
fn split(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cells.last_mut().unwrap().push(c),
        }
    }
    cells
}
