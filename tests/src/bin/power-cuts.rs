//! Power cuts in simulation: `power-cuts [--states N | --seeds N] [--from SEED] [--threads N] [--quick]`.
#![expect(clippy::print_stdout, reason = "counts are what it is for")]
#![expect(clippy::unwrap_used, reason = "a harness fails by panicking")]

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use fieldmouse_tests::results::Row;
use fieldmouse_tests::sim::power::{Effort, Seen, run, script, tell};

fn main() -> anyhow::Result<ExitCode> {
    let (mut states, mut seeds, mut from, mut threads) = (20_000, u64::MAX, 1, 2);
    let mut args = std::env::args().skip(1);
    let mut quick = false;
    while let Some(name) = args.next() {
        if name == "--quick" {
            quick = true;
            continue;
        }
        let value: u64 = args.next().and_then(|v| v.parse().ok()).unwrap_or_default();
        match name.as_str() {
            "--states" => states = value,
            "--seeds" => (seeds, states) = (value, u64::MAX),
            "--from" => from = value,
            "--threads" => threads = value,
            _ => anyhow::bail!("`{name}`: the options are --states N, --seeds N, --from SEED, --threads N"),
        }
    }
    // A panic is a finding; it is told with its script.
    std::panic::set_hook(Box::new(|_| {}));
    let effort = Effort { samples: 8, again: 10 };
    let (next, opened) = (AtomicU64::new(from), AtomicU64::new(0));
    let (distinct, failures) = (Mutex::new(HashSet::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let enough = || {
                    let few = distinct.lock().unwrap().len() as u64 >= states;
                    few || failures.lock().unwrap().len() >= if quick { 1 } else { 5 }
                };
                while !enough() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - from >= seeds {
                        break;
                    }
                    let mut seen = Seen::default();
                    if let Err(what) = run(seed, &script(seed), effort, &mut seen) {
                        failures.lock().unwrap().push((seed, what));
                    }
                    opened.fetch_add(seen.states, Ordering::Relaxed);
                    distinct.lock().unwrap().extend(seen.distinct);
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    for (seed, what) in &failures {
        println!("{}", if quick { format!("seed {seed}: {what}") } else { tell(*seed, what, effort) });
    }
    let (opened, distinct) = (opened.into_inner(), distinct.lock().unwrap().len());
    let last = next.into_inner().min(from.saturating_add(seeds)) - 1;
    let mut row =
        Row::new("A3", "power cut at every call of the disk: every kind of state it may leave", Some(from));
    row.count("power_cuts.states", distinct as u64, "states");
    row.failures("power_cuts.wrong", failures.len() as u64, "scripts");
    row.bound("power_cuts.bound", distinct as u64);
    row.figure("power_cuts.scripts", last + 1 - from, "scripts");
    println!(
        "power-cuts: {opened} states opened, {distinct} distinct, seeds {from}..={last}, {} failures",
        failures.len()
    );
    Ok(if failures.is_empty() && distinct > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
