//! Many hostile brokers: `hostile schedules COUNT [SEED]`, `hostile streams COUNT [SEED]`.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test program")]

use std::process::ExitCode;

use fieldmouse_tests::hostile::{panics, prepare, schedule, stream};
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ok = match args.first().map(String::as_str) {
        Some("schedules") => {
            let (s, took) = timed(|| runtime.block_on(schedule::run_all(seed..seed + count, AT_ONCE)));
            for o in &s.wrong {
                eprintln!("seed {}: {:?}: {}", o.seed, o.evils, o.wrong.as_deref().unwrap_or_default());
            }
            println!("schedules {} first seed {seed}", s.schedules);
            println!("schedule_events {} connections {}", s.events, s.connections);
            println!("schedule_livelocks {}", s.livelocks());
            println!("schedule_stuck {}", s.stuck());
            println!("schedule_wrong {}", s.wrong.len());
            println!("schedule_panics {}", panics());
            if let Some(w) = &s.worst {
                println!("schedule_worst {} ms of {} seed {} {:?}", w.stuck_ms, w.bound_ms, w.seed, w.evils);
            }
            println!("schedule_seconds {}", took.as_secs());
            s.schedules == count && s.wrong.is_empty()
        }
        Some("streams") => {
            let (sent, took) = timed(|| runtime.block_on(stream::send_all(seed, count, LINKS)));
            println!("streams {sent} first seed {seed}");
            println!("stream_panics {}", panics());
            println!("stream_seconds {}", took.as_secs());
            sent == count
        }
        _ => {
            eprintln!("usage: hostile schedules|streams [COUNT [SEED]]");
            return ExitCode::from(2);
        }
    };
    if ok && panics() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
