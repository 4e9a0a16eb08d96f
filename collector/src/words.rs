//! Numbers of the wire in words that only the collector has; the others are in `fieldmouse_core`.

use std::fmt::Write;

use fieldmouse_core::series::NoData;
use fieldmouse_core::wire;

/// Why a reading is missing.
#[must_use]
pub fn no_data_word(number: u8) -> &'static str {
    [
        NoData::Absent,
        NoData::Timeout,
        NoData::Failed,
        NoData::Unparsable,
        NoData::NotFinite,
        NoData::Denied,
        NoData::FirstReading,
        NoData::Idle,
    ]
    .into_iter()
    .find(|w| *w as u8 == number)
    .map_or("", NoData::word)
}

/// Reason numbers of losses that this collector declares itself. Agents never send them.
pub mod own_loss {
    /// The agent was acknowledged beyond what this database holds: it is new, or was restored from a backup.
    pub const EARLIER_DATABASE: u8 = 255;
}

/// Why numbers will never come.
#[must_use]
pub fn loss_word(reason: u8) -> &'static str {
    match reason {
        own_loss::EARLIER_DATABASE => "acknowledged before this database began",
        _ => wire::loss::word(reason),
    }
}

/// `info`, `warning`, `error`, `fatal`, by the ranges of OpenTelemetry.
#[must_use]
pub fn severity_word(number: u8) -> &'static str {
    match number {
        0..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warning",
        17..=20 => "error",
        _ => "fatal",
    }
}

/// Bytes as lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        // Writing into a String cannot fail.
        let _infallible = write!(s, "{b:02x}");
        s
    })
}
