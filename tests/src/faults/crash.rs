//! A2: the outbox is killed before each of its calls, and opened again.

use std::path::{Path, PathBuf};

use super::script::{self, Ledger};
use super::strace::{self, CALLS, Place};
use super::{each, folder, shuffle};
use crate::results::{Row, say};
use crate::wait::timed;

/// The script as a program.
#[must_use]
pub fn program() -> PathBuf {
    crate::program::binary("outbox-script", "FIELDMOUSE_OUTBOX_SCRIPT_BIN")
}

/// Where a run of the script touches its folder: every call after it has begun.
///
/// # Panics
/// If the undisturbed run does not keep its promises.
#[must_use]
pub fn places(seed: u64) -> Vec<Place> {
    let dir = folder();
    let calls = format!("trace={CALLS},writev");
    let ran = strace::run(&program(), &[dir.path().to_str().unwrap(), &seed.to_string()], &["-e", &calls]);
    let ledger = Ledger::read(&ran.out);
    let verdict = script::verify(dir.path(), &ledger);
    assert!(
        ran.status.success() && ledger.end == Some(true),
        "an undisturbed run ends on the disk: {}",
        ran.out
    );
    assert_eq!((verdict.failures(), ledger.durable.len() > 100), (0, true), "{verdict:?}");
    assert_eq!(strace::early_promises(&ran.trace, dir.path()), [""; 0]);
    let inside = dir.path().to_str().unwrap();
    strace::places(&ran.trace, |shown| shown.contains(inside))
}

fn kill(dir: &Path, seed: u64, place: &Place) -> strace::Ran {
    let inject = format!("inject={}:signal=KILL:when={}", place.call, place.nth);
    let trace = format!("trace={}", place.call);
    strace::run(&program(), &[dir.to_str().unwrap(), &seed.to_string()], &["-e", &trace, "-e", &inject])
}

/// Kills at `most` places drawn at random, or at all of them; returns how often it failed.
#[must_use]
pub fn run(most: Option<usize>, seed: u64) -> u64 {
    let mut row =
        Row::new("A2", "outbox killed before each call of 300 operations, opened again", Some(seed));
    let mut places = places(seed);
    row.figure("crash.places", places.len(), "calls");
    shuffle(seed, &mut places);
    places.truncate(most.unwrap_or(usize::MAX));
    let (done, took) = timed(|| {
        each(&places, |place| {
            let dir = folder();
            let ran = kill(dir.path(), seed, place);
            let verdict = script::verify(dir.path(), &Ledger::read(&ran.out));
            if verdict.failures() > 0 || !ran.was_killed() {
                say(&format!("crash: {place:?}: {:?}, {verdict:?}", ran.status));
            }
            (ran.was_killed(), verdict)
        })
    });
    let sum = |of: fn(&script::Verdict) -> u64| done.iter().map(|(_, v)| of(v)).sum::<u64>();
    row.count("crash.kills", done.iter().filter(|(killed, _)| *killed).count() as u64, "kills");
    row.failures(
        "crash.spared",
        done.iter().filter(|(killed, _)| !killed).count() as u64,
        "kills that did not come",
    );
    row.failures("crash.lost", sum(|v| v.lost), "durable events");
    row.failures("crash.invented", sum(|v| v.invented), "events");
    row.failures("crash.reused", sum(|v| v.reused), "numbers");
    row.failures("crash.silent", sum(|v| v.silent), "numbers");
    let slow = done.iter().map(|(_, v)| v.start).max().unwrap_or_default();
    if most.is_some() {
        row.bound("crash.bound_95", done.len() as u64);
    }
    row.figure("crash.start_max", format!("{:.1}", slow.as_secs_f64() * 1e3), "ms");
    row.figure("crash.took", took.as_secs(), "s");
    row.failed()
}
