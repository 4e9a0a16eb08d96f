//! The one place where time is read. Everything else is told `now`.
#![expect(clippy::disallowed_methods, reason = "the one place where time enters")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
#[must_use]
pub fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// Whether the clock was compared with others, as far as the machine leaves a trace of it.
#[must_use]
pub fn is_synced() -> bool {
    std::path::Path::new("/run/systemd/timesync/synchronized").exists()
}

/// A point for measuring spans of this process.
#[must_use]
pub fn instant() -> Instant {
    Instant::now()
}
