//! Many hostile brokers: `hostile schedules COUNT [SEED]`, `hostile streams COUNT [SEED]`; and exporters: `hostile otlp SECONDS
//! [SEED]`.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program")]

use std::process::ExitCode;
use std::time::Duration;

use fieldmouse_tests::hostile::{otlp, panics, prepare, rubbish, schedule, stream};
use fieldmouse_tests::results::Row;
use fieldmouse_tests::wait::timed;

/// Schedules at once: they are mostly idle.
const AT_ONCE: usize = 400;
const LINKS: u64 = 16;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |at: usize, default: u64| args.get(at).map_or(default, |text| text.parse().expect("a number"));
    let (count, seed) = (number(1, 10_000), number(2, 1));
    prepare();
    let failed = match args.first().map(String::as_str) {
        Some("schedules") => schedules(seed, count),
        Some("streams") => streams(seed, count),
        Some("otlp") => exports(seed, Duration::from_secs(count)),
        Some("rubbish") => rubbish::run(count, (count / 100).max(1), seed),
        _ => {
            eprintln!(
                "usage: hostile schedules|streams|rubbish [COUNT [SEED]], hostile otlp [SECONDS [SEED]]"
            );
            return ExitCode::from(2);
        }
    };
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn schedules(seed: u64, count: u64) -> u64 {
    let (s, took) = timed(|| runtime().block_on(schedule::run_all(seed..seed + count, AT_ONCE)));
    for o in &s.wrong {
        eprintln!("seed {}: {:?}: {}", o.seed, o.evils, o.wrong.as_deref().unwrap_or_default());
    }
    let mut row = Row::new("B5", "brokers that misbehave for a while, then are honest", Some(seed));
    row.count("schedule.count", s.schedules, "schedules");
    row.failures("schedule.livelocks", s.livelocks() as u64, "schedules");
    row.failures("schedule.stuck_beyond_3_keep_alives_and_waits", s.stuck() as u64, "schedules");
    row.failures("schedule.otherwise_wrong", (s.wrong.len() - s.livelocks() - s.stuck()) as u64, "schedules");
    row.failures("schedule.panics", panics(), "panics");
    row.bound("schedule.bound", s.schedules);
    row.figure("schedule.events", s.events, "all acknowledged unless a failure stands here");
    row.figure("schedule.connections", s.connections, "connections");
    if let Some(w) = &s.worst {
        let allowed = format!("ms of {} allowed, seed {}", w.bound_ms, w.seed);
        row.figure("schedule.longest_without_progress", w.stuck_ms, &allowed);
    }
    row.figure("schedule.took", took.as_secs(), "s");
    row.failed()
}

fn exports(seed: u64, span: Duration) -> u64 {
    let summary = otlp::run(seed, span);
    for seed in &summary.failed {
        eprintln!("seed {seed}: a panic, an answer that is none, or more series than there may be");
    }
    let mut row = Row::new("O1", "exports that only look like some", Some(seed));
    row.count("otlp.exports", summary.exports, "exports");
    row.failures("otlp.failed", summary.failed.len() as u64, "exports");
    row.figure("otlp.taken", summary.taken, "exports");
    row.failed()
}

fn streams(seed: u64, count: u64) -> u64 {
    let (sent, took) = timed(|| runtime().block_on(stream::send_all(seed, count, LINKS)));
    let mut row = Row::new("B3", "bytes that only look like packets", Some(seed));
    row.count("stream.count", sent, "streams");
    row.failures("stream.without_reconnect", count - sent, "streams");
    row.failures("stream.panics", panics(), "panics");
    row.bound("stream.bound", sent);
    row.figure("stream.took", took.as_secs(), "s");
    row.failed()
}
