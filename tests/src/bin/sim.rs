//! The whole system on virtual time: `sim [--seeds N] [--from SEED] [--threads N] [--quick]`. A day a seed; each seed alone decides
//! everything that happens.
#![expect(clippy::print_stdout, reason = "counts are what it is for")]
#![expect(clippy::unwrap_used, reason = "a harness fails by panicking")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use fieldmouse_tests::results::Row;
use fieldmouse_tests::sim::schedule::Plan;
use fieldmouse_tests::sim::shrink::tell;
use fieldmouse_tests::sim::world::run;

fn main() -> anyhow::Result<ExitCode> {
    let (mut seeds, mut from, mut threads) = (20, 1, 2);
    let mut args = std::env::args().skip(1);
    let mut quick = false;
    while let Some(name) = args.next() {
        if name == "--quick" {
            quick = true;
            continue;
        }
        let value: u64 = args.next().and_then(|v| v.parse().ok()).unwrap_or_default();
        match name.as_str() {
            "--seeds" => seeds = value,
            "--from" => from = value,
            "--threads" => threads = value,
            _ => anyhow::bail!("`{name}`: the options are --seeds N, --from SEED, --threads N"),
        }
    }
    // A panic is a finding; it is told with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let dir = tempfile::Builder::new().prefix("fieldmouse-sim-").tempdir_in(base)?;
    let next = AtomicU64::new(from);
    let (reports, failures) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failures.lock().unwrap().len() < if quick { 1 } else { 5 } {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - from >= seeds {
                        break;
                    }
                    let place = tempfile::tempdir_in(dir.path()).unwrap();
                    match run(&Plan::of(seed), place.path()) {
                        Ok(report) => reports.lock().unwrap().push(report),
                        Err(what) => failures.lock().unwrap().push((seed, what)),
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    for (seed, what) in &failures {
        println!(
            "{}",
            if quick { format!("seed {seed}: {what}") } else { tell(&Plan::of(*seed), what, dir.path()) }
        );
    }
    let reports = reports.into_inner().unwrap();
    let sum = |f: fn(&fieldmouse_tests::sim::world::Report) -> u64| reports.iter().map(f).sum::<u64>();
    let settled = reports.iter().map(|r| r.settled).max().unwrap_or_default();
    let ran = (reports.len() + failures.len()) as u64;
    let mut row =
        Row::new("A14", "the whole system on virtual time, a day a seed, everything going wrong", Some(from));
    row.count("sim.seeds", ran, "seeds");
    row.failures("sim.broken", failures.len() as u64, "seeds");
    row.bound("sim.bound", ran);
    row.figure("sim.events", sum(|r| r.produced), "events");
    row.figure("sim.settled", settled / 1000, "s after the last fault at most");
    let jumps = |seed: &u64| Plan::of(*seed).faults.iter().filter(|f| f.what.sets_a_clock()).count() as u64;
    let scripts: Vec<u64> = (from..from + ran).map(|seed| jumps(&seed)).filter(|n| *n > 0).collect();
    let mut row =
        Row::new("C1", "wall clocks set by seconds to decades and back, as part of A14", Some(from));
    row.count("sim.clock_scripts", scripts.len() as u64, "scripts");
    row.failures("sim.clock_broken", failures.len() as u64, "seeds");
    row.bound("sim.clock_bound", scripts.len() as u64);
    row.figure("sim.clock_jumps", scripts.iter().sum::<u64>(), "jumps");
    println!(
        "sim: {} seeds from {from}, {} days of virtual time, {} happenings: {} events produced, {} called durable, {} \
         declared lost, {} sent twice and shown once; {} commits, {} connections; settled {} s after the last fault at \
         most; {} failures",
        reports.len() + failures.len(),
        reports.len() + failures.len(),
        sum(|r| r.events),
        sum(|r| r.produced),
        sum(|r| r.durable),
        sum(|r| r.lost),
        sum(|r| r.twice),
        sum(|r| r.commits),
        sum(|r| r.dials),
        settled / 1000,
        failures.len()
    );
    Ok(if failures.is_empty() && !reports.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
