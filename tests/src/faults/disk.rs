//! A7: calls that fail, once, for a while, or from then on; and file systems that are full or read-only for a while.

use std::fs;
use std::path::Path;
use std::process::Command;

use fieldmouse::disk::Folder;
use fieldmouse::outbox::{self, Options, Outbox, Standing};

use super::crash::{places, program};
use super::receiver::{Receiver, at, fact, push};
use super::script::{self, Ledger};
use super::strace::{self, CALLS, Place};
use super::{each, folder, shuffle};
use crate::results::{Row, say};
use crate::sim::rng::Rng;
use crate::wait::timed;

const ERRORS: [&str; 3] = ["ENOSPC", "EIO", "EROFS"];

/// How long a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spell {
    Once,
    TenTimes,
    ForEver,
}

impl Spell {
    fn when(self, nth: u64) -> String {
        match self {
            Self::Once => format!("{nth}"),
            Self::TenTimes => format!("{nth}..{}", nth + 9),
            Self::ForEver => format!("{nth}+"),
        }
    }
}

/// What must not be, and was.
#[derive(Debug, Default)]
struct Failed {
    died: u64,
    early: u64,
    wrong: u64,
    stuck: u64,
}

fn fail(seed: u64, place: &Place, error: &str, spell: Spell) -> (Failed, String) {
    let dir = folder();
    let inject = format!("inject={}:error={error}:when={}", place.call, spell.when(place.nth));
    let trace = format!("trace={CALLS},writev");
    let args = [dir.path().to_str().unwrap(), &seed.to_string()];
    let ran = strace::run(&program(), &args, &["-e", &trace, "-e", &inject]);
    let ledger = Ledger::read(&ran.out);
    let early = strace::early_promises(&ran.trace, dir.path());
    let verdict = script::verify(dir.path(), &ledger);
    assert!(ran.trace.contains("(INJECTED)"), "no call failed: {inject}");
    let failed = Failed {
        died: u64::from(!ran.status.success() || ledger.end.is_none()),
        early: early.len() as u64,
        wrong: verdict.failures(),
        stuck: u64::from(spell != Spell::ForEver && ledger.end == Some(false)),
    };
    (failed, format!("{inject}: {:?}, {verdict:?}, early: {:?}", ran.status, early.first()))
}

/// Lets `most` calls fail that are drawn at random, or every call in every way; returns how often it went wrong.
#[must_use]
pub fn run(most: Option<usize>, seed: u64) -> u64 {
    let mut row = Row::new(
        "A7",
        "each call of the outbox fails: ENOSPC, EIO, EROFS; once, ten times, for ever",
        Some(seed),
    );
    let mut cases = Vec::new();
    for place in places(seed) {
        for error in ERRORS {
            for spell in [Spell::Once, Spell::TenTimes, Spell::ForEver] {
                cases.push((place.clone(), error, spell));
            }
        }
    }
    shuffle(seed, &mut cases);
    cases.truncate(most.unwrap_or(usize::MAX));
    let (done, took) = timed(|| {
        each(&cases, |(place, error, spell)| {
            let (failed, shown) = fail(seed, place, error, *spell);
            if failed.died + failed.early + failed.wrong + failed.stuck > 0 {
                say(&format!("errors: {failed:?}: {shown}"));
            }
            failed
        })
    });
    let sum = |of: fn(&Failed) -> u64| done.iter().map(of).sum::<u64>();
    row.count("errors.cases", done.len() as u64, "cases");
    row.failures("errors.died", sum(|f| f.died), "processes");
    row.failures("errors.early", sum(|f| f.early), "promises after a failed sync");
    row.failures("errors.wrong", sum(|f| f.wrong), "events lost, invented, or numbered twice");
    row.failures("errors.stuck", sum(|f| f.stuck), "not back on the disk when the error was gone");
    if most.is_some() {
        row.bound("errors.bound_95", done.len() as u64);
    }
    row.figure("errors.took", took.as_secs(), "s");
    row.failed() + in_own_namespace("full", seed)
}

/// A fault test by its name, in a mount namespace of its own, so that nothing stays mounted.
pub(super) fn in_own_namespace(name: &str, seed: u64) -> u64 {
    let options = if rustix::process::getuid().is_root() { "-m" } else { "-rm" };
    let me = std::env::current_exe().unwrap();
    let done =
        Command::new("unshare").arg(options).arg(me).args([name, "--seed", &seed.to_string()]).status();
    let done = done.unwrap_or_else(|e| panic!("unshare: {e}; install it: apt-get install util-linux"));
    u64::from(!done.success())
}

pub(super) fn mount(args: &[&str], dir: &Path) {
    let done = Command::new("mount").args(args).arg("none").arg(dir).output().unwrap();
    assert!(done.status.success(), "mount {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Small file systems that fill up, or become read-only, and come back. To be run where mounting hurts nobody.
#[must_use]
pub fn full(seed: u64) -> u64 {
    let mut row = Row::new("A7", "small file systems full or read-only for a while", Some(seed));
    let mut rng = Rng::new(seed);
    let (mut cases, mut failed) = (0, Failed::default());
    for kib in [64, 128, 256, 512, 1024, 2048, 4096, 8192] {
        for read_only in [false, true] {
            for left in [0, 1, rng.between(2, 4096), rng.between(4097, 16 * 1024)] {
                cases += 1;
                full_and_back(kib, left, read_only, &mut failed);
            }
        }
    }
    row.count("full.cases", cases, "cases");
    row.failures("full.early", failed.early, "promises of what is in no file");
    row.failures("full.wrong", failed.wrong, "events lost, invented, or numbered twice");
    row.failures(
        "full.stuck",
        failed.stuck,
        "cases of events not delivered, or an outbox not back on the disk when there was room",
    );
    row.failed()
}

/// A file system of `kib`, filled so that `left` bytes are left, or made read-only; then as before.
fn full_and_back(kib: u64, left: u64, read_only: bool, failed: &mut Failed) {
    let place = folder();
    mount(&["-t", "tmpfs", "-o", &format!("size={kib}k")], place.path());
    let dir = place.path().join("outbox");
    let open = |now| {
        Outbox::open(Box::new(Folder::new(&dir)), Options::new(32 * 1024), outbox::entropy(), at(now)).0
    };
    let mut outbox = open(0);
    let (mut now, mut text, mut told) = (0, String::new(), Vec::new());
    let mut phase = |outbox: &mut Outbox, now: &mut u64, ids: std::ops::Range<u64>, failed: &mut Failed| {
        for id in ids {
            let seq = push(outbox, *now, id, 9);
            told.push((outbox.epoch(), seq, id));
            if id % 5 == 0 {
                *now += 1000;
                outbox.sync(*now);
                for (epoch, seq, id) in told.drain(..) {
                    if outbox.standing(epoch, seq) == Standing::Durable {
                        text += &format!("try {id}\ndurable {epoch} {seq} {id}\n");
                        failed.early += u64::from(!is_in_a_file(&dir, id));
                    }
                }
            }
        }
    };
    phase(&mut outbox, &mut now, 1..31, failed);
    let filler = place.path().join("filler");
    if read_only {
        // What is open for writing keeps a file system from becoming read-only: so it is met at a start.
        drop(outbox);
        mount(&["-o", "remount,ro"], place.path());
        outbox = open(now);
        failed.stuck += u64::from(outbox.waiting() < 30);
    } else {
        fill(&filler, place.path(), left);
    }
    phase(&mut outbox, &mut now, 31..91, failed);
    if read_only {
        mount(&["-o", "remount,rw"], place.path());
    } else {
        fs::remove_file(&filler).unwrap();
    }
    for _ in 0..10 {
        now += 61_000;
        outbox.declare(at(now));
        outbox.sync(now);
    }
    phase(&mut outbox, &mut now, 91..96, failed);
    failed.stuck += u64::from(outbox.is_memory_only());
    drop(outbox);
    text += "try 95\n";
    let verdict = script::verify(&dir, &Ledger::read(&text));
    if verdict.failures() > 0 {
        say(&format!("full: {kib} KiB, {left} left, read only {read_only}: {verdict:?}"));
    }
    failed.wrong += verdict.failures();
    // Not only what was told to be durable came back: what was pushed before, in, and after the bad time did.
    let mut receiver = Receiver::default();
    receiver.drain(&mut open(now), now);
    let done = Command::new("umount").arg(place.path()).status().unwrap();
    assert!(done.success(), "umount");
}

/// Takes all room but `left` bytes; a file system gives room by pages, so it may be somewhat less.
fn fill(filler: &Path, place: &Path, left: u64) {
    let stat = rustix::fs::statvfs(place).unwrap();
    let free = stat.f_bavail * stat.f_frsize;
    let bytes = usize::try_from(free.saturating_sub(left)).unwrap();
    fs::write(filler, vec![7; bytes]).unwrap();
}

fn is_in_a_file(dir: &Path, id: u64) -> bool {
    let text = fact(id).text;
    fs::read_dir(dir).unwrap().flatten().any(|entry| {
        let bytes = fs::read(entry.path()).unwrap_or_default();
        entry.path().extension().is_some_and(|e| e == "seg")
            && bytes.windows(text.len()).any(|w| w == text.as_bytes())
    })
}
