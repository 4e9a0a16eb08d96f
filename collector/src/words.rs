//! Numbers of the wire in words.

use fieldmouse_core::metric::Group;
use fieldmouse_core::wire::{self, phase, state};

/// An episode in one plain sentence.
#[must_use]
pub fn sentence(e: &wire::Episode) -> String {
    let Some(c) = e.contributors.first() else {
        return "something unusual happened".to_owned();
    };
    let metric = c.key.metric();
    let what = metric.words.replace("{}", &c.key.label.replace(';', " "));
    let unit = metric.unit;
    let (actual, low, high) = (quantity(c.actual, unit), quantity(c.low, unit), quantity(c.high, unit));
    format!("{what} was {actual} where {low} to {high} is usual")
}

/// A value with its unit, as people write it.
#[must_use]
pub fn quantity(value: f32, unit: &str) -> String {
    let v = f64::from(value);
    match unit {
        "1" => format!("{:.0} %", v * 100.0),
        "By" => scaled(v, &["B", "kB", "MB", "GB", "TB"]),
        "By/s" => scaled(v, &["B/s", "kB/s", "MB/s", "GB/s", "TB/s"]),
        "Cel" => format!("{v:.1} °C"),
        _ => {
            let unit = unit.replace(['{', '}'], "");
            let digits = if v.abs() >= 100.0 { 0 } else { 2 };
            format!("{v:.digits$} {unit}").trim_end().to_owned()
        }
    }
}

fn scaled(value: f64, names: &[&str]) -> String {
    let mut v = value;
    let mut at = 0;
    while v.abs() >= 1000.0 && at + 1 < names.len() {
        v /= 1000.0;
        at += 1;
    }
    let digits = usize::from(at > 0 && v.abs() < 100.0);
    format!("{v:.digits$} {}", names[at])
}

/// `online`, `offline`, `lost`.
#[must_use]
pub fn state_word(number: u8) -> &'static str {
    match number {
        state::ONLINE => "online",
        state::OFFLINE => "offline",
        state::LOST => "lost",
        _ => "unknown",
    }
}

/// `opened`, `updated`, `closed`, `reopened`.
#[must_use]
pub fn phase_word(number: u8) -> &'static str {
    match number {
        phase::OPENED => "opened",
        phase::UPDATED => "updated",
        phase::CLOSED => "closed",
        phase::REOPENED => "reopened",
        _ => "unknown",
    }
}

/// The part of the device.
#[must_use]
pub fn group_word(number: u8) -> &'static str {
    let is = |g: Group| g as u8 == number;
    match number {
        _ if is(Group::Cpu) => "processor",
        _ if is(Group::Memory) => "memory",
        _ if is(Group::Disk) => "disk",
        _ if is(Group::Filesystem) => "file system",
        _ if is(Group::Network) => "network",
        _ if is(Group::Process) => "processes",
        _ if is(Group::Sensor) => "sensor",
        _ => "other",
    }
}

/// The form of the deviation.
#[must_use]
pub fn shape_word(number: u8) -> &'static str {
    match number {
        1 => "spike",
        2 => "dip",
        3 => "step",
        4 => "ramp",
        5 => "variance",
        6 => "silence",
        _ => "other",
    }
}

/// The quality of a reading.
#[must_use]
pub fn verdict_word(number: u8) -> &'static str {
    match number {
        0 => "good again",
        1 => "missing",
        2 => "frozen",
        3 => "out of range",
        4 => "impossible jump",
        5 => "saturated",
        6 => "clock suspect",
        _ => "unknown",
    }
}

/// Why a reading is missing.
#[must_use]
pub fn no_data_word(number: u8) -> &'static str {
    use fieldmouse_core::series::NoData;
    [
        NoData::Absent,
        NoData::Timeout,
        NoData::Failed,
        NoData::Unparsable,
        NoData::NotFinite,
        NoData::Denied,
        NoData::FirstReading,
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
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        // Writing into a String cannot fail.
        let _infallible = write!(s, "{b:02x}");
        s
    })
}
