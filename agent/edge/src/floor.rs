//! The earliest time it can be. Certificates are always verified; where the clock was never set, they are verified at
//! the last time that was known, so that one that had expired then is refused, and one that was valid is not.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::clock;

/// Name of the file in the state directory.
const FILE: &str = "time";
/// How far the file may be behind: it is written once a day at most, for the sake of the flash.
const BEHIND_S: u64 = 86_400;

/// A time below which no clock is believed. Shared by everything that verifies certificates.
#[derive(Debug)]
pub struct Floor {
    seconds: AtomicU64,
    clock: fn() -> u64,
}

impl Default for Floor {
    fn default() -> Self {
        Self::over(clock::wall_s)
    }
}

impl Floor {
    /// A floor under another clock, which tells seconds since 1970.
    #[must_use]
    pub fn over(clock: fn() -> u64) -> Self {
        Self { seconds: AtomicU64::new(clock::built_s()), clock }
    }

    /// The time by which certificates are judged, in seconds since 1970.
    #[must_use]
    pub fn now_s(&self) -> u64 {
        (self.clock)().max(self.seconds.load(Ordering::Relaxed))
    }

    /// It is at least so late.
    pub fn raise(&self, seconds: u64) {
        self.seconds.fetch_max(seconds, Ordering::Relaxed);
    }

    /// The clock has just been compared with others, and says this. It wins also over a floor that was too high, so
    /// that one wrong hour does not lock a device out for years.
    pub fn set(&self, seconds: u64) {
        self.seconds.store(seconds.max(clock::built_s()), Ordering::Relaxed);
    }

    /// This device's time in words.
    #[must_use]
    pub fn words(&self) -> String {
        let (now, clock) = (self.now_s(), (self.clock)());
        let note = if clock < now {
            format!(" (the last time known; the clock itself, at {}, was never set)", date(clock))
        } else {
            String::new()
        };
        format!("{}{note}", date(now))
    }

    /// Takes the time that was kept in the state directory, if there is one.
    pub fn load(&self, state_dir: &Path) {
        if let Some(seconds) = kept(state_dir) {
            self.raise(seconds);
        }
    }

    /// Keeps the time in the state directory, if what is there is a day old or lies ahead.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep(&self, state_dir: &Path) -> io::Result<()> {
        let now = self.seconds.load(Ordering::Relaxed);
        if kept(state_dir).is_some_and(|k| k <= now && now < k + BEHIND_S) {
            return Ok(());
        }
        let temp = state_dir.join("time.tmp");
        std::fs::write(&temp, line(now))?;
        std::fs::File::open(&temp)?.sync_all()?;
        std::fs::rename(temp, path(state_dir))
    }
}

impl TimeProvider for Floor {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.now_s())))
    }
}

/// A time in seconds since 1970, for people.
#[must_use]
pub fn date(seconds: u64) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_secs(seconds.min(253_402_300_799))) {
        Some(time) => humantime::format_rfc3339_seconds(time).to_string(),
        None => format!("{seconds} s after 1970"),
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

/// With a checksum: a flipped bit must not make every certificate expire.
fn line(seconds: u64) -> String {
    let text = seconds.to_string();
    format!("{text} {:08x}\n", crc32fast::hash(text.as_bytes()))
}

fn kept(state_dir: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(path(state_dir)).ok()?;
    let seconds = text.split(' ').next()?.parse().ok()?;
    (line(seconds) == text).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let later = clock::built_s() + 1_000_000;
        let floor = Floor::over(|| 0);
        assert_eq!(floor.now_s(), clock::built_s(), "never before the program was built");
        floor.raise(later);
        floor.raise(5);
        floor.keep(dir.path()).unwrap();
        let read = |dir: &Path| {
            let floor = Floor::over(|| 0);
            floor.load(dir);
            floor.now_s()
        };
        assert_eq!(read(dir.path()), later);
        // Less than a day is not worth a write; a day is; so is a floor that was too high.
        for (now, wanted) in
            [(later + BEHIND_S - 1, later), (later + BEHIND_S, later + BEHIND_S), (later, later)]
        {
            floor.set(now);
            floor.keep(dir.path()).unwrap();
            assert_eq!(read(dir.path()), wanted);
        }
        let file = path(dir.path());
        let good = std::fs::read(&file).unwrap();
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 1;
            std::fs::write(&file, bad).unwrap();
            assert_eq!(read(dir.path()), clock::built_s());
        }
    }

    #[test]
    fn a_clock_that_was_never_set_is_told() {
        let floor = Floor::over(|| 60);
        assert!(floor.words().ends_with("the clock itself, at 1970-01-01T00:01:00Z, was never set)"));
        assert_eq!(Floor::over(|| 4_000_000_000).words(), "2096-10-02T07:06:40Z");
    }
}
