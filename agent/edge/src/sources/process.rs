//! Processes by status, and threads: one read of `/proc/[pid]/stat` each, and nothing else of a process.
//!
//! The scan is shared with [`crate::culprit`], which wants names and amounts.

use std::path::{Path, PathBuf};

use fieldmouse_core::metric::{PROCESS_COUNT, THREAD_COUNT};
use fieldmouse_core::series::Millis;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir, openat};
use serde::Deserialize;

use super::places::{Places, Series};
use super::text::why;
use super::{Kind, Readings, Source, SourceError};

pub(super) const KIND: Kind = Kind {
    name: "process",
    about: "processes by status and threads, from /proc/[pid]/stat",
    every_ms: 10_000,
    build: |table, place| Ok(Box::new(Processes::new(&super::config(KIND.name, table)?, &place.root))),
};

/// `[source.process]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// No more processes than this are looked at.
    most: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { most: 16_384 }
    }
}

const SERIES: [Series; 8] = [
    (PROCESS_COUNT, &["total"]),
    (PROCESS_COUNT, &["running"]),
    (PROCESS_COUNT, &["sleeping"]),
    (PROCESS_COUNT, &["blocked"]),
    (PROCESS_COUNT, &["stopped"]),
    (PROCESS_COUNT, &["defunct"]),
    (PROCESS_COUNT, &["idle"]),
    (THREAD_COUNT, &[]),
];

/// The fields of `/proc/[pid]/stat` that are of use here. Times in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat<'a> {
    pub(crate) pid: u32,
    pub(crate) name: &'a [u8],
    pub(crate) state: u8,
    pub(crate) parent: u32,
    /// Minor page faults of children that ended and were waited for: every child costs some dozens.
    pub(crate) child_faults: u64,
    pub(crate) cpu: u64,
    pub(crate) child_cpu: u64,
    pub(crate) threads: u64,
    /// Ticks after boot. Tells apart two processes of one number.
    pub(crate) start: u64,
    /// Resident pages.
    pub(crate) rss: u64,
}

/// `15964 (a) name) R 15921 …`: the name ends at the last bracket, whatever it holds.
pub(crate) fn parse(text: &[u8]) -> Option<Stat<'_>> {
    let open = text.iter().position(|b| *b == b'(')?;
    let close = text.iter().rposition(|b| *b == b')').filter(|c| *c > open)?;
    let pid = std::str::from_utf8(&text[..open]).ok()?.trim().parse().ok()?;
    let rest = std::str::from_utf8(&text[close + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    // Fields are numbered from 1 in proc(5); the next is 5.
    let mut next = 5;
    let mut field = |number: usize| -> Option<u64> {
        let value = fields.nth(number - next)?;
        next = number + 1;
        value.parse().ok()
    };
    let child_faults = field(11)?;
    let (user, system) = (field(14)?, field(15)?);
    let (child_user, child_system) = (field(16)?, field(17)?);
    Some(Stat {
        pid,
        name: &text[open + 1..close],
        state,
        parent,
        child_faults,
        cpu: user.saturating_add(system),
        child_cpu: child_user.saturating_add(child_system),
        threads: field(20)?,
        start: field(22)?,
        rss: field(24)?,
    })
}

/// Walks over `/proc`. Keeps its room from scan to scan.
#[derive(Debug)]
pub(crate) struct Scanner {
    proc: PathBuf,
    listing: Vec<u8>,
    path: String,
    buf: Vec<u8>,
    beside: Vec<u8>,
}

/// The other files of the process that is looked at.
#[derive(Debug)]
pub(crate) struct Beside<'a> {
    proc: &'a OwnedFd,
    pid: &'a str,
    path: &'a mut String,
    buf: &'a mut Vec<u8>,
}

impl Beside<'_> {
    /// The start of a file; none if it may not be read.
    pub(crate) fn read(&mut self, file: &str) -> Option<&[u8]> {
        read(self.proc, self.path, self.pid, file, self.buf)
    }
}

impl Scanner {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            proc: root.join("proc"),
            listing: Vec::with_capacity(16 << 10),
            path: String::new(),
            buf: vec![0; 1024],
            beside: vec![0; 512],
        }
    }

    pub(crate) fn proc(&self) -> &Path {
        &self.proc
    }

    /// Shows each process, in rising order of number on a real machine; at most `most`. The visitor may ask for
    /// another file of the process. Processes that end meanwhile are skipped.
    pub(crate) fn scan(
        &mut self,
        most: usize,
        mut each: impl FnMut(&Stat<'_>, Beside<'_>),
    ) -> Result<(), rustix::io::Errno> {
        let Self { proc, listing, path, buf, beside } = self;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let proc = openat(rustix::fs::CWD, proc.as_path(), flags | OFlags::DIRECTORY, Mode::empty())?;
        let mut entries = RawDir::new(proc.as_fd(), listing.spare_capacity_mut());
        let mut seen = 0;
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !name.first().is_some_and(u8::is_ascii_digit) {
                continue;
            }
            if seen == most {
                break;
            }
            let Ok(pid) = std::str::from_utf8(name) else { continue };
            let Some(text) = read(&proc, path, pid, "stat", buf) else { continue };
            let Some(stat) = parse(text) else { continue };
            seen += 1;
            each(&stat, Beside { proc: &proc, pid, path, buf: beside });
        }
        Ok(())
    }
}

fn read<'b>(proc: &OwnedFd, path: &mut String, pid: &str, file: &str, buf: &'b mut [u8]) -> Option<&'b [u8]> {
    path.clear();
    path.push_str(pid);
    path.push('/');
    path.push_str(file);
    let file = openat(proc, path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let n = rustix::io::read(&file, &mut *buf).ok()?;
    Some(&buf[..n])
}

#[derive(Debug)]
struct Processes {
    scanner: Scanner,
    most: usize,
    places: Places<8>,
}

impl Processes {
    fn new(config: &Config, root: &Path) -> Self {
        Self { scanner: Scanner::new(root), most: config.most, places: Places::default() }
    }
}

impl Source for Processes {
    fn sample(&mut self, _now: Millis, out: &mut Readings) -> Result<(), SourceError> {
        let mut counts = [0.0; 8];
        let scanned = self.scanner.scan(self.most, |stat, _| {
            counts[0] += 1.0;
            counts[status(stat.state)] += 1.0;
            counts[7] += stat.threads as f64;
        });
        if let Err(e) = scanned {
            let e = std::io::Error::from(e);
            let path = self.scanner.proc().to_owned();
            return Err(SourceError { path, what: format!("cannot be listed: {e}"), why: why(&e) });
        }
        self.places.put(&SERIES, &counts.map(|n| Some(Ok(n))), out);
        Ok(())
    }
}

/// Index in [`SERIES`] of the kernel's letter.
fn status(letter: u8) -> usize {
    match letter {
        b'R' => 1,
        b'D' => 3,
        b'T' | b't' => 4,
        b'Z' | b'X' | b'x' => 5,
        b'I' => 6,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let text = b"15964 (x) R (y) S 15921 15921 14138 0 -1 4194304 103 7 0 0 30 12 5 1 20 0 3 0 132404 3133440 417 18446744073709551615\n";
        let stat = Stat {
            pid: 15964,
            name: b"x) R (y",
            state: b'S',
            parent: 15921,
            child_faults: 7,
            cpu: 42,
            child_cpu: 6,
            threads: 3,
            start: 132_404,
            rss: 417,
        };
        assert_eq!(parse(text), Some(stat));
    }

    #[test]
    fn what_is_cut_or_garbage_is_no_process() {
        for text in ["", "1", ")(", "1 (a)", "1 (a) R", "1 (a) R 2 3 4", "x (a) R 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9 1 2"]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(&[0xff; 100]), None);
    }

    #[test]
    fn letters() {
        let word = |letter| SERIES[status(letter)].1[0];
        assert_eq!([b'R', b'S', b'D', b'Z', b'T', b'I', b'?'].map(word), [
            "running", "sleeping", "blocked", "defunct", "stopped", "idle", "sleeping"
        ]);
    }
}
