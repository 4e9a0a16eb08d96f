//! The one place where time is read. Everything else is told `now`.
#![expect(clippy::disallowed_methods, reason = "the one place where time enters")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fieldmouse_core::series::Millis;
use fieldmouse_core::wire;

/// What an event is stamped with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Milliseconds since boot, suspend included.
    pub mono_ms: Millis,
    /// Milliseconds since 1970, if the clock was ever set.
    pub wall_ms: Option<u64>,
    /// A [`wire::Clock`] number.
    pub clock: u8,
}

/// Milliseconds since boot. Counts on while the machine sleeps, never jumps.
#[must_use]
pub fn mono_ms() -> Millis {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1000 + u64::try_from(t.tv_nsec).unwrap_or(0) / 1_000_000
}

/// Microseconds of the clock by which systemd measures.
#[must_use]
pub fn monotonic_us() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0) / 1000
}

/// Before this a clock was never set: no Fieldmouse is older.
const OLDEST_SANE_S: u64 = 1_767_225_600;

fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Seconds since 1970 by the clock of the machine, be it right or not.
#[must_use]
pub fn wall_s() -> u64 {
    wall().as_secs()
}

/// When this program was built, in seconds since 1970, as far as whoever built it told (`SOURCE_DATE_EPOCH`).
#[must_use]
pub fn built_s() -> u64 {
    let told = option_env!("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok());
    told.unwrap_or(0).max(OLDEST_SANE_S)
}

/// Monotonic and wall time at this moment, with how far the wall clock can be trusted.
#[must_use]
pub fn stamp() -> Stamp {
    let wall = u64::try_from(wall().as_millis()).unwrap_or(0);
    let (wall_ms, clock) = if wall < OLDEST_SANE_S * 1000 {
        (None, wire::Clock::Unset)
    } else if is_synced() {
        (Some(wall), wire::Clock::Synced)
    } else {
        (Some(wall), wire::Clock::Free)
    };
    Stamp { mono_ms: mono_ms(), wall_ms, clock: clock as u8 }
}

/// A number for this boot of the machine; zero if the kernel does not tell.
#[must_use]
pub fn boot() -> u128 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap_or(0)
}

/// systemd-timesyncd and chrony both leave a trace; asking the kernel would need a privileged call on old kernels.
#[must_use]
pub fn is_synced() -> bool {
    std::path::Path::new("/run/systemd/timesync/synchronized").exists()
}

/// A point for measuring spans of this process, for the runtime's timers and for cost accounts.
#[must_use]
pub fn instant() -> Instant {
    Instant::now()
}

/// Time since `start`.
#[must_use]
pub fn since(start: Instant) -> Duration {
    Instant::now().duration_since(start)
}

/// Processor time this process has used.
#[must_use]
pub fn cpu() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}
