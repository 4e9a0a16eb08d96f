//! Log files: read as they grow, whatever is done to them, each line once.
//!
//! A log is a name. The file behind it is known by its inode and its first bytes; when it loses the name (rotation), is
//! copied away and truncated, or compressed, it is found again and read to its end, and then every later one in their order.

mod chain;
mod file;
mod followed;
mod format;
mod glob;
mod join;
mod reading;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fieldmouse_core::series::Millis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::followed::{Followed, Kept as KeptLog};
use super::book::Record;
use crate::clock;

/// Where to begin with a log that is seen the first time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Begin {
    /// With what is written from now on.
    #[default]
    End,
    /// With what stands in it.
    Beginning,
}

/// What came of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Lines taken.
    pub lines: u64,
    /// Messages that they were.
    pub records: u64,
    /// Bytes that they had.
    pub bytes: u64,
    /// Bytes that were gone before they were read.
    pub lost: u64,
}

/// How much may be read at once.
#[derive(Debug)]
pub struct Quota {
    bytes: u64,
    until: Option<(Instant, Duration)>,
}

impl Quota {
    /// So many bytes.
    #[must_use]
    pub fn bytes(bytes: u64) -> Self {
        Self { bytes, until: None }
    }

    /// So many bytes, in so much time.
    #[must_use]
    pub fn new(bytes: u64, time: Duration) -> Self {
        Self { bytes, until: Some((clock::instant(), time)) }
    }

    pub(super) fn spend(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn room(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }

    pub(super) fn is_spent(&self) -> bool {
        self.bytes == 0 || self.until.is_some_and(|(began, time)| clock::since(began) >= time)
    }
}

/// What is kept of all logs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The machine's boot.
    pub boot: u128,
    /// Lines of logs that are no more.
    past: u64,
    logs: Vec<KeptLog>,
}

/// Logs at once; the others are not read.
const MOST: usize = 256;
/// New logs are looked for so often.
const SCAN_MS: Millis = 10_000;
/// One log does not keep the others waiting for longer than this takes.
const SHARE: u64 = 1 << 20;
const BUFFER: usize = 1 << 15;

/// All logs that the patterns name.
#[derive(Debug)]
pub struct Tails {
    patterns: Vec<PathBuf>,
    is_multiline: bool,
    from: Begin,
    logs: Vec<Followed>,
    past: u64,
    next_scan: Millis,
    left_out: usize,
    turn: usize,
    buffer: Vec<u8>,
}

impl Tails {
    /// Follows what the patterns name, from where `kept` says.
    #[must_use]
    pub fn new(patterns: Vec<PathBuf>, from: Begin, is_multiline: bool, kept: Kept, boot: u128) -> Self {
        let is_rebooted = kept.boot != boot;
        let is_wanted = |log: &KeptLog| patterns.iter().any(|p| glob::names_path(p, Path::new(&log.path)));
        let logs = kept.logs.into_iter().filter(is_wanted).take(MOST);
        let logs = logs.map(|log| Followed::resume(log, is_rebooted)).collect();
        Self {
            patterns,
            is_multiline,
            from,
            logs,
            past: kept.past,
            next_scan: 0,
            left_out: 0,
            turn: 0,
            buffer: Vec::new(),
        }
    }

    /// Notices what was done to files since the last look. What is kept afterwards knows every log that is there.
    pub fn look(&mut self, now: Millis, take: &mut dyn FnMut(&Record<'_>)) {
        if now >= self.next_scan {
            self.scan();
            self.next_scan = now + SCAN_MS;
        }
        for log in &mut self.logs {
            log.look(now, self.is_multiline, take);
        }
    }

    /// Reads on in all logs, and hands every record to `take`.
    pub fn read(&mut self, now: Millis, quota: &mut Quota, take: &mut dyn FnMut(&Record<'_>)) {
        if self.logs.is_empty() {
            return;
        }
        self.buffer.resize(BUFFER, 0);
        self.turn = (self.turn + 1) % self.logs.len();
        let mut is_more = true;
        while is_more && !quota.is_spent() {
            is_more = false;
            for at in 0..self.logs.len() {
                let at = (at + self.turn) % self.logs.len();
                is_more |= self.logs[at].read(SHARE, quota, &mut self.buffer, (now, self.is_multiline), take);
            }
        }
        for log in &mut self.logs {
            log.settle(now, self.is_multiline, take);
        }
    }

    /// Looks for logs that are new, and forgets those that are no more.
    fn scan(&mut self) {
        let mut found: Vec<PathBuf> = self.patterns.iter().flat_map(|p| glob::files(p)).collect();
        found.sort();
        found.dedup();
        // A log may just be without a file.
        let all: Vec<PathBuf> = found.iter().chain(self.logs.iter().map(|log| &log.path)).cloned().collect();
        found.retain(|path| !chain::is_packed(path) && !all.iter().any(|log| is_generation_of(log, path)));
        let (past, logs) = (&mut self.past, &mut self.logs);
        logs.retain(|log| {
            let stays = found.contains(&log.path) || !log.is_gone();
            *past += if stays { 0 } else { log.totals.lines };
            stays
        });
        found.retain(|path| logs.iter().all(|log| log.path != *path));
        let room = MOST.saturating_sub(logs.len());
        self.left_out = found.len().saturating_sub(room);
        logs.extend(found.into_iter().take(room).map(|path| Followed::begin(path, self.from)));
        // What comes into being later was not there before: all of it is new.
        self.from = Begin::Beginning;
    }

    /// What has to be kept.
    #[must_use]
    pub fn kept(&self, boot: u128) -> Kept {
        Kept { boot, past: self.past, logs: self.logs.iter().filter_map(Followed::kept).collect() }
    }

    /// Whether there is any log.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    /// What was gone before it was read since this was asked last: log, bytes, why.
    pub fn take_lost(&mut self) -> Vec<(PathBuf, u64, String)> {
        let lost = |log: &mut Followed| {
            let path = log.path.clone();
            log.take_lost().map(|(bytes, why)| (path, bytes, why.to_owned()))
        };
        self.logs.iter_mut().filter_map(lost).collect()
    }

    /// Logs that cannot be read, and why.
    pub fn refused(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.logs.iter().filter_map(|log| Some((log.path.as_path(), log.why.as_deref()?)))
    }

    /// How all are.
    #[must_use]
    pub fn about(&self) -> Value {
        let lines = self.past + self.logs.iter().map(|log| log.totals.lines).sum::<u64>();
        let logs: Vec<Value> = self.logs.iter().map(Followed::about).collect();
        json!({"lines": lines, "left_out": self.left_out, "files": logs})
    }
}

/// Whether a file is an older generation of a log.
fn is_generation_of(log: &Path, path: &Path) -> bool {
    let (Some(base), Some(name)) =
        (log.file_name().and_then(|n| n.to_str()), path.file_name().and_then(|n| n.to_str()))
    else {
        return false;
    };
    log.parent() == path.parent() && chain::is_generation(base, name)
}
