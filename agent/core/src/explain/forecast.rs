//! A forecast in one plain sentence.

use core::fmt;

use super::{Amount, Words};
use crate::forecast::Limit;
use crate::metric::{self, Metric};
use crate::wire::{Forecast, phase};

/// The sentence of a forecast.
#[must_use]
pub fn expected(forecast: &Forecast) -> Expected<'_> {
    Expected(forecast)
}

/// Displays as one sentence.
#[derive(Debug)]
pub struct Expected<'a>(&'a Forecast);

/// What is exhausted, what it will do, and what it has done then.
struct Phrase {
    before: &'static str,
    named: bool,
    will: &'static str,
    has: &'static str,
}

/// None: the series reaches a value, and nothing more can be said.
fn phrase(code: u16) -> Option<Phrase> {
    let (before, named, will, has) = match code {
        metric::FILESYSTEM_USED => ("", true, "be full", "is full"),
        metric::INODES_USED => ("", true, "run out of inodes", "has run out of inodes"),
        metric::MEMORY_USED => ("Memory", false, "be full", "is full"),
        metric::SWAP_USED => ("Swap", false, "be full", "is full"),
        metric::FILE_DESCRIPTORS_USED => ("File descriptors", false, "run out", "have run out"),
        metric::CONNTRACK_USED => ("The connection tracking table", false, "be full", "is full"),
        metric::BATTERY_CHARGE => ("Battery ", true, "be empty", "is empty"),
        metric::DISK_ENDURANCE => ("The rated life of ", true, "be used up", "is used up"),
        metric::DISK_RESERVE => ("The spare blocks of ", true, "be used up", "are used up"),
        metric::CERTIFICATE_LEFT => ("Certificate ", true, "expire", "has expired"),
        _ => return None,
    };
    Some(Phrase { before, named, will, has })
}

impl fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = self.0;
        let metric = e.key.metric();
        let phrase = phrase(e.key.code);
        match &phrase {
            Some(p) => write!(f, "{}{}", p.before, if p.named { e.key.label.as_str() } else { "" })?,
            None => write!(f, "{}", Words { key: &e.key, capital: true })?,
        }
        let limit = Amount(e.limit, metric);
        let will = |f: &mut fmt::Formatter<'_>| match &phrase {
            Some(p) => f.write_str(p.will),
            None => write!(f, "reach {limit}"),
        };
        if e.phase == phase::CLOSED {
            f.write_str(" is no longer expected to ")?;
            will(f)?;
            return f.write_str(" soon.");
        }
        if e.expected_s == 0 {
            return match &phrase {
                Some(p) => write!(f, " {}.", p.has),
                None => write!(f, " has reached {limit}."),
            };
        }
        f.write_str(" will ")?;
        will(f)?;
        write!(f, " in {}", Long(e.expected_s))?;
        if metric.limit == Some(Limit::Countdown) {
            return f.write_str(".");
        }
        match e.late_s {
            Some(late) => write!(f, " (between {} and {})", Round(e.early_s), Round(late))?,
            None => write!(f, " ({} at the earliest, or never)", Round(e.early_s))?,
        }
        write!(f, ": {}.", Rate(e, metric))
    }
}

/// `grows 1.2 GB a day`, `falls 12 % an hour`.
struct Rate<'a>(&'a Forecast, &'static Metric);

impl fmt::Display for Rate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(e, metric) = self;
        let (by, every) = if e.expected_s < DAY { (24.0, "an hour") } else { (1.0, "a day") };
        let change = e.per_day.abs() / by;
        f.write_str(if e.per_day < 0.0 { "falls " } else { "grows " })?;
        if e.whole > 0.0 {
            write!(f, "{}", Amount(change * e.whole, Metric::bytes()))?;
        } else {
            write!(f, "{}", Amount(change, metric))?;
        }
        write!(f, " {every}")
    }
}

const MINUTE: u32 = 60;
const HOUR: u32 = 3600;
const DAY: u32 = 24 * HOUR;

/// `3 d 4 h`, `5 h 20 min`, `12 min`.
struct Long(u32);

impl fmt::Display for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (large, word, small, less) = match self.0 {
            0..HOUR => return Round(self.0).fmt(f),
            HOUR..DAY => (HOUR, "h", MINUTE, "min"),
            _ => (DAY, "d", HOUR, "h"),
        };
        write!(f, "{} {word}", self.0 / large)?;
        // Hours of a month do not matter.
        match self.0 % large / small {
            rest if rest > 0 && self.0 < 14 * DAY => write!(f, " {rest} {less}"),
            _ => Ok(()),
        }
    }
}

/// `2 d`, `30 h`, `12 min`.
struct Round(u32);

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, word) = match self.0 {
            0..120 => (1, "s"),
            120..7200 => (MINUTE, "min"),
            7200..172_800 => (HOUR, "h"),
            _ => (DAY, "d"),
        };
        write!(f, "{} {word}", self.0.saturating_add(unit / 2) / unit)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::series::SeriesKey;

    fn check(key: SeriesKey, limit: f32, per_day: f32, spans: (u32, u32, Option<u32>), sentence: &str) {
        let (expected_s, early_s, late_s) = spans;
        let whole = if key.code == metric::FILESYSTEM_USED { 100e9 } else { 0.0 };
        let phase = phase::OPENED;
        let f = Forecast { key, phase, limit, level: 0.7, per_day, whole, expected_s, early_s, late_s };
        assert_eq!(expected(&f).to_string(), sentence);
    }

    #[test]
    fn forecasts_are_plain() {
        let var = || SeriesKey::new(metric::FILESYSTEM_USED, &["/var"]);
        let spans = (3 * DAY + 4 * HOUR, 2 * DAY, Some(5 * DAY));
        check(
            var(),
            1.0,
            0.012,
            spans,
            "/var will be full in 3 d 4 h (between 2 d and 5 d): grows 1.20 GB a day.",
        );
        check(var(), 1.0, 0.012, (0, 0, Some(0)), "/var is full.");
        check(
            SeriesKey::new(metric::BATTERY_CHARGE, &["BAT0"]),
            0.0,
            -2.4,
            (2 * HOUR, 90 * MINUTE, Some(3 * HOUR)),
            "Battery BAT0 will be empty in 2 h (between 90 min and 3 h): falls 10.0 % an hour.",
        );
        check(
            SeriesKey::new(metric::CERTIFICATE_LEFT, &["/etc/ca.pem"]),
            0.0,
            -86_400.0,
            (6 * DAY, 6 * DAY, Some(6 * DAY)),
            "Certificate /etc/ca.pem will expire in 6 d.",
        );
        check(
            SeriesKey::new(metric::TEMPERATURE, &["coretemp.0", "Core 1"]),
            100.0,
            1200.0,
            (1200, 600, None),
            "Temperature of coretemp.0 Core 1 will reach 100 °C in 20 min (10 min at the earliest, or never): \
             grows 50.0 °C an hour.",
        );
    }

    #[test]
    fn what_is_no_longer_expected_is_said() {
        let key = SeriesKey::custom("tank.level");
        let f = Forecast {
            phase: phase::CLOSED,
            limit: 5.0,
            level: 1.0,
            per_day: 0.0,
            whole: 0.0,
            expected_s: 9,
            early_s: 9,
            late_s: None,
            key,
        };
        assert_eq!(expected(&f).to_string(), "tank.level is no longer expected to reach 5.00 soon.");
    }
}
