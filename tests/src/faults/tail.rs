//! A log is written and rotated while its agent is killed and reloaded at random: no line is skipped, none is counted
//! twice.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fieldmouse::sources::KINDS;
use rustix::process::Signal;
use serde_json::Value;

use crate::free_port;
use crate::program::Agent;
use crate::results::Row;
use crate::sim::rng::Rng;
use crate::wait::{LIMIT, pause};

/// How the log is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// It is renamed, and a new one made; from the second generation on they are compressed.
    Rename,
    /// It is copied and truncated. What is written between these two is lost to everybody; so nothing is.
    CopyTruncate,
}

/// Generations that stay. The agent is never away for so many.
const STAY: usize = 12;

struct Log {
    path: PathBuf,
    scheme: Scheme,
    lines: u64,
    rotations: u64,
}

impl Log {
    fn write(&mut self, rng: &mut Rng, lines: u64) {
        let mut file = OpenOptions::new().append(true).create(true).open(&self.path).unwrap();
        for _ in 0..lines {
            self.lines += 1;
            let line = format!("line {} was written by worker {}\n", self.lines, rng.below(9));
            if rng.chance(100) {
                // In two pieces, so that the agent may see the first alone.
                let (head, rest) = line.split_at(rng.index(line.len()));
                file.write_all(head.as_bytes()).unwrap();
                pause(Duration::from_millis(rng.below(3)));
                file.write_all(rest.as_bytes()).unwrap();
            } else {
                file.write_all(line.as_bytes()).unwrap();
            }
        }
    }

    fn generation(&self, n: usize, ending: &str) -> PathBuf {
        PathBuf::from(format!("{}.{n}{ending}", self.path.display()))
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        for n in (1..STAY).rev() {
            for ending in ["", ".gz"] {
                // Not all are there yet.
                let _absent = std::fs::rename(self.generation(n, ending), self.generation(n + 1, ending));
            }
        }
        let first = self.generation(1, "");
        match self.scheme {
            Scheme::Rename => std::fs::rename(&self.path, first).unwrap(),
            Scheme::CopyTruncate => {
                std::fs::copy(&self.path, first).unwrap();
                OpenOptions::new().write(true).open(&self.path).unwrap().set_len(0).unwrap();
            }
        }
        let second = self.generation(2, "");
        if self.scheme == Scheme::Rename && second.exists() {
            assert!(Command::new("gzip").arg(&second).status().expect("apt-get install -y gzip").success());
        }
    }
}

/// Writes until it is over; a rotation every so often.
fn write(path: &Path, scheme: Scheme, mut rng: Rng, every: Duration, is_over: &AtomicBool) -> Log {
    const APART: Duration = Duration::from_millis(10);
    let mut log = Log { path: path.to_owned(), scheme, lines: 0, rotations: 0 };
    let rounds = u64::try_from(every.as_millis() / APART.as_millis()).unwrap();
    while !is_over.load(Ordering::Relaxed) {
        for _ in 0..rng.between(rounds / 2, rounds) {
            let lines = rng.below(40);
            log.write(&mut rng, lines);
            pause(APART);
        }
        log.rotate();
    }
    let lines = rng.between(1, 40);
    log.write(&mut rng, lines);
    log
}

fn agent(dir: &Path, log: &Path) -> Agent {
    let mut config = format!(
        "[node]\nname = \"mouse-1\"\n[model]\nenabled = false\n[broker]\nurl = \"mqtt://127.0.0.1:{}\"\n",
        free_port()
    );
    for kind in KINDS.iter().filter(|kind| kind.name != "log") {
        config += &format!("[source.{}]\nenabled = false\n", kind.name);
    }
    config +=
        &format!("[source.log]\nevery = \"100ms\"\nfiles = [\"{}\"]\nfrom = \"beginning\"\n", log.display());
    Agent::with(dir, &config, |command| {
        command.env("FIELDMOUSE__AGENT__TICK", "100ms").env("FIELDMOUSE__AGENT__DEADLINE", "90ms")
    })
}

/// Lines taken, and bytes told to be lost.
fn counted(status: &Value) -> Option<(u64, u64)> {
    let about = &status["sources"].as_array()?.iter().find(|source| source["name"] == "log")?["about"];
    let lost = about["files"].as_array()?.iter().filter_map(|file| file["lost_bytes"].as_u64()).sum();
    Some((about["lines"].as_u64()?, lost))
}

/// Kills so often while the log is rotated every so often; returns how many lines were skipped or counted twice.
#[must_use]
pub fn run(scheme: Scheme, kills: u64, every: Duration, seed: u64) -> u64 {
    let what = match scheme {
        Scheme::Rename => "kill -9 and reload of the agent while its log is renamed and compressed",
        Scheme::CopyTruncate => "kill -9 and reload of the agent while its log is copied and truncated",
    };
    let mut row = Row::new("L1", what, Some(seed));
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = elsewhere.path().join("app.log");
    let mut rng = Rng::new(seed);
    let is_over = AtomicBool::new(false);
    let (mut reloads, mut told) = (0, Vec::new());
    let mut running = agent(dir.path(), &log);
    let written = std::thread::scope(|scope| {
        let (for_writer, is_over, log) = (rng.fork(), &is_over, &log);
        let writer = scope.spawn(move || write(log, scheme, for_writer, every, is_over));
        for _ in 0..kills {
            pause(Duration::from_millis(rng.between(20, 1200)));
            if rng.chance(300) {
                reloads += 1;
                running.run.signal(Signal::HUP);
                pause(Duration::from_millis(rng.between(1, 300)));
            }
            running.run.signal(Signal::KILL);
            let _killed = running.run.ended();
            told.extend(
                running.run.said().lines().filter(|line| line.contains("lines-lost")).map(ToOwned::to_owned),
            );
            pause(Duration::from_millis(rng.below(700)));
            running = agent(dir.path(), log);
        }
        is_over.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    let found = crate::wait::wait_until(LIMIT, || {
        counted(&running.status()).is_some_and(|(lines, _)| lines >= written.lines)
    });
    // Long enough for whatever is still to be counted, and should not be.
    pause(Duration::from_secs(2));
    let (lines, lost) = counted(&running.status()).unwrap_or_default();
    row.count("tail.kills", kills, "kills");
    row.figure("tail.reloads", reloads, "reloads");
    row.figure("tail.rotations", written.rotations, "rotations");
    row.figure("tail.lines", written.lines, "lines");
    row.failures("tail.skipped", written.lines.saturating_sub(lines), "lines");
    row.failures("tail.twice", lines.saturating_sub(written.lines), "lines");
    row.failures("tail.called_lost", lost, "bytes");
    row.bound("tail.bound", kills);
    if !found || row.failed() > 0 {
        crate::results::say(&format!("{}\n{}", running.status()["sources"], told.join("\n")));
    }
    row.failed()
}
