//! Series and readings: one measured quantity, and one value of it at one tick.

use core::fmt;

use heapless::String;
use serde::{Deserialize, Serialize};

use crate::metric::{self, Metric};

/// Milliseconds of a monotonic clock. Zero is wherever the clock began.
pub type Millis = u64;

/// The longest label: attribute values, or the whole name of a series that no table knows.
pub const LABEL: usize = 64;

/// Which series: a row of the metric table and the values of its attributes.
///
/// On the wire it costs two bytes and the values, because names and attribute keys are in the table that both
/// ends share. A series that the table does not know has code [`metric::CUSTOM`] and its whole name as label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeriesKey {
    /// Row of the metric table.
    pub code: u16,
    /// Attribute values joined by `;`, in the table's order.
    pub label: String<LABEL>,
}

impl SeriesKey {
    /// The series `code` with these attribute values; what does not fit the label is cut at a character.
    #[must_use]
    pub fn new(code: u16, values: &[&str]) -> Self {
        let mut label = String::new();
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                push_cut(&mut label, ";");
            }
            push_cut(&mut label, value);
        }
        Self { code, label }
    }

    /// A series no table knows, by its own name.
    #[must_use]
    pub fn custom(name: &str) -> Self {
        Self::new(metric::CUSTOM, &[name])
    }

    /// The series that is shown so: the inverse of [`fmt::Display`]. What the table does not know is a custom series.
    #[must_use]
    pub fn named(name: &str) -> Self {
        metric::METRICS.iter().find_map(|m| of_row(m, name)).unwrap_or_else(|| Self::custom(name))
    }

    /// The table's row, or the row for custom series if a newer agent sent a code unknown here.
    #[must_use]
    pub fn metric(&self) -> &'static Metric {
        metric::by_code(self.code)
    }
}

/// The series of this row that is shown as `name`, if it is one.
fn of_row(metric: &Metric, name: &str) -> Option<SeriesKey> {
    let mut rest = name.strip_prefix(metric.name)?;
    if !metric.attributes.is_empty() {
        rest = rest.strip_prefix('{')?.strip_suffix('}')?;
    }
    let mut label = String::new();
    for (i, key) in metric.attributes.iter().enumerate() {
        if i > 0 {
            rest = rest.strip_prefix(',')?;
            push_cut(&mut label, ";");
        }
        rest = rest.strip_prefix(key)?.strip_prefix('=')?;
        // A value ends where the next key begins: it may hold commas itself.
        let end = match metric.attributes.get(i + 1) {
            Some(next) => rest
                .match_indices(',')
                .map(|(at, _)| at)
                .find(|at| rest[at + 1..].strip_prefix(next).is_some_and(|after| after.starts_with('=')))?,
            None => rest.len(),
        };
        push_cut(&mut label, &rest[..end]);
        rest = &rest[end..];
    }
    rest.is_empty().then_some(SeriesKey { code: metric.code, label })
}

/// `system.cpu.utilization{cpu.mode=user}`, as OpenTelemetry people write it.
impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = self.metric();
        if metric.code == metric::CUSTOM {
            return f.write_str(&self.label);
        }
        f.write_str(metric.name)?;
        if metric.attributes.is_empty() {
            return Ok(());
        }
        f.write_str("{")?;
        let mut values = self.label.split(';');
        for (i, key) in metric.attributes.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{key}={}", values.next().unwrap_or(""))?;
        }
        f.write_str("}")
    }
}

/// Why there is no value. It travels as data: a failed reading is not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum NoData {
    /// The series was there before and its source no longer shows it.
    Absent = 1,
    /// The source did not answer before its deadline.
    Timeout = 2,
    /// The source failed: a file that cannot be read, a device that returns an error.
    Failed = 3,
    /// What was read is not a number of the expected form.
    Unparsable = 4,
    /// NaN or infinite.
    NotFinite = 5,
    /// Permission was refused.
    Denied = 6,
    /// A counter needs two readings; this is the first after a start, reset or gap.
    FirstReading = 7,
    /// Nothing happened that could be measured: nobody was served, so nobody waited. No fault.
    Idle = 8,
}

impl NoData {
    /// The reason of a number, if this version knows it.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        [
            Self::Absent,
            Self::Timeout,
            Self::Failed,
            Self::Unparsable,
            Self::NotFinite,
            Self::Denied,
            Self::FirstReading,
            Self::Idle,
        ]
        .into_iter()
        .find(|why| *why as u8 == number)
    }

    /// One word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
            Self::Unparsable => "unparsable",
            Self::NotFinite => "not finite",
            Self::Denied => "permission denied",
            Self::FirstReading => "first reading",
            Self::Idle => "idle",
        }
    }
}

/// One value of one series at one tick, as the source saw it (a counter is still a counter here).
pub type Reading = Result<f64, NoData>;

/// Appends as much of `text` as fits, cut at a character.
pub fn push_cut<const N: usize>(to: &mut String<N>, text: &str) {
    // It fits: it is at most the room left.
    let _fits = to.push_str(&text[..text.floor_char_boundary(N - to.len())]);
}

/// `text`, cut to what fits.
#[must_use]
pub fn cut<const N: usize>(text: &str) -> String<N> {
    let mut s = String::new();
    push_cut(&mut s, text);
    s
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn keys_read_as_opentelemetry_writes_them() {
        let check = |key: SeriesKey, text: &str| assert_eq!(key.to_string(), text);
        check(SeriesKey::new(metric::CPU_MODE, &["user"]), "system.cpu.utilization{cpu.mode=user}");
        check(
            SeriesKey::new(metric::DISK_IO, &["sda", "write"]),
            "system.disk.io{system.device=sda,disk.io.direction=write}",
        );
        check(SeriesKey::custom("tank.level"), "tank.level");
        check(SeriesKey { code: 65_000, label: cut("from the future") }, "from the future");
    }

    #[test]
    fn what_is_shown_is_named_again() {
        for metric in metric::METRICS {
            let values: std::vec::Vec<_> =
                metric.attributes.iter().map(|a| std::format!("{a}, x={}", a.len())).collect();
            let values: std::vec::Vec<&str> = values.iter().map(std::string::String::as_str).collect();
            let key = SeriesKey::new(metric.code, &values);
            assert_eq!(SeriesKey::named(&key.to_string()), key);
        }
        for odd in [
            "",
            "tank.level",
            "system.cpu.utilization{",
            "system.disk.io{system.device=sda}",
            "hw.temperature",
        ] {
            assert_eq!(SeriesKey::named(odd), SeriesKey::custom(odd), "{odd}");
        }
    }

    #[test]
    fn labels_are_cut_at_a_character() {
        let long = "ä".repeat(100);
        let key = SeriesKey::custom(&long);
        assert_eq!(key.label.len(), LABEL);
        assert!(key.label.chars().all(|c| c == 'ä'));
    }
}
