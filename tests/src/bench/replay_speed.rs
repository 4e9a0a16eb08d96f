//! How much faster than real time `replay` is: 20,000 rows of 38 columns, one row a second.
#![expect(clippy::print_stdout, reason = "the figure is what it is for")]

use std::fmt::Write;

use crate::program::fieldmouse;
use crate::wait::timed;

const ROWS: u64 = 20_000;
const COLUMNS: u64 = 38;

/// Prints the figures.
pub fn main() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = String::from("timestamp");
    for c in 0..COLUMNS {
        write!(csv, ",m{c}").unwrap();
    }
    let mut x = 1u64;
    for t in 0..ROWS {
        write!(csv, "\n{}", 1_700_000_000 + t).unwrap();
        for c in 0..COLUMNS {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = (x >> 40) as f64 / f64::from(1u32 << 24);
            let wave = ((t + 40 * c) as f64 / (20.0 + c as f64)).sin();
            write!(csv, ",{:.4}", wave + 0.2 * noise).unwrap();
        }
    }
    std::fs::write(dir.path().join("in.csv"), csv + "\n").unwrap();
    let run = |n: u32| {
        let (scores, events) = (format!("scores{n}.csv"), format!("events{n}.jsonl"));
        let args = ["replay", "in.csv", "--scores", &scores, "--events", &events];
        let (ran, took) = timed(|| fieldmouse(dir.path(), &args));
        assert_eq!(ran.code, 0, "{}", ran.err);
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        (took.as_secs_f64(), read(&scores), read(&events))
    };
    let (first, second) = (run(1), run(2));
    println!("replay_speed {:.0} times_real_time", ROWS as f64 / first.0.min(second.0));
    println!("replay_per_series {:.2} us", first.0.min(second.0) * 1e6 / (ROWS * COLUMNS) as f64);
    println!("replay_runs_identical {} bool", (first.1, first.2) == (second.1, second.2));
}
