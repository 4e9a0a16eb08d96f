//! Windows of the calendar: times of day on days of the week, or from one moment to another.
//!
//! Times of day are counted from UTC by a fixed offset: a device may have no time-zone database, and a window that moves
//! by an hour twice a year is better told than guessed.

use core::fmt;

use serde::{Deserialize, Serialize};

/// When a window is open. Times are milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Once, counted from 1970.
    Once {
        /// Its first moment.
        from: i64,
        /// The first moment after it.
        to: i64,
    },
    /// Every week.
    Weekly {
        /// Days on which it begins, from Monday.
        days: [bool; 7],
        /// Time of day.
        from: i64,
        /// Time of day; one that is not later than `from` is on the next day.
        to: i64,
        /// What is to be added to UTC to get the times of day.
        offset: i64,
    },
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// What is wrong with a window as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mistake<'a> {
    /// At `days`, `from`, `to` or `offset`.
    pub key: &'static str,
    text: &'a str,
    what: &'static str,
}

impl fmt::Display for Mistake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.text, self.what)
    }
}

impl When {
    /// What is meant by `["sat", "sun"]` (none: every day), `22:00`, `06:00`, `+01:00`; or by two moments with their offsets,
    /// and no days.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn written<'a>(on: &[Day], from: &'a str, to: &'a str, offset: &'a str) -> Result<Self, Mistake<'a>> {
        let mistake = |key, text, what| Mistake { key, text, what };
        match (time_of_day(from), time_of_day(to)) {
            (Some(a), Some(b)) if a == b => {
                Err(mistake("to", to, "is when it begins; a whole day is 00:00 to 24:00"))
            }
            (Some(from), Some(to)) => {
                let wrong = mistake("offset", offset, "is no offset from UTC; write +01:00");
                let offset = offset_ms(offset).ok_or(wrong)?;
                let mut days = [on.is_empty(); 7];
                on.iter().for_each(|d| days[*d as usize] = true);
                Ok(Self::Weekly { days, from, to, offset })
            }
            (None, None) => {
                let what = "is neither a time of day like 02:00 nor a date like 2026-12-24T18:00:00+01:00";
                let a = moment_ms(from).ok_or(mistake("from", from, what))?;
                let b = moment_ms(to).ok_or(mistake("to", to, what))?;
                if a >= b {
                    return Err(mistake("to", to, "is not after the beginning"));
                }
                if !on.is_empty() {
                    return Err(mistake("days", from, "is a date; days go with times of day"));
                }
                Ok(Self::Once { from: a, to: b })
            }
            (Some(_), None) => Err(mistake("to", to, "is no time of day, as the beginning is; write 02:00")),
            (None, Some(_)) => Err(mistake("from", from, "is no time of day, as the end is; write 02:00")),
        }
    }

    /// Whether it is open at this time, in milliseconds since 1970.
    #[must_use]
    pub fn is_open(&self, wall_ms: u64) -> bool {
        let wall = i64::try_from(wall_ms).unwrap_or(i64::MAX);
        match self {
            Self::Once { from, to } => (*from..*to).contains(&wall),
            Self::Weekly { days, from, to, offset } => {
                let local = wall.saturating_add(*offset);
                let (day, time) = (local.div_euclid(DAY_MS), local.rem_euclid(DAY_MS));
                // The first day of 1970 was a Thursday.
                let is_one = |day: i64| usize::try_from((day + 3).rem_euclid(7)).is_ok_and(|d| days[d]);
                if from < to {
                    is_one(day) && (*from..*to).contains(&time)
                } else {
                    is_one(day) && time >= *from || is_one(day - 1) && time < *to
                }
            }
        }
    }
}

/// `02:30` in milliseconds, to `24:00` at most.
#[must_use]
pub fn time_of_day(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |digits: &str| (digits.len() == 2).then(|| digits.parse::<u8>().ok()).flatten().map(i64::from);
    let minutes = two(hours)? * 60 + two(minutes).filter(|m| *m < 60)?;
    (minutes <= 24 * 60).then_some(minutes * MINUTE_MS)
}

/// `+01:00` in milliseconds, 14 hours at most.
#[must_use]
pub fn offset_ms(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    Some(sign * time_of_day(&text[1..]).filter(|ms| *ms <= 14 * 60 * MINUTE_MS)?)
}

/// `2026-12-24T18:00:00+01:00` in milliseconds since 1970. Without its offset nobody knows whose time it is.
#[must_use]
pub fn moment_ms(text: &str) -> Option<i64> {
    let (ms, _) = rfc3339(text.as_bytes()).filter(|(_, rest)| rest.is_empty())?;
    i64::try_from(ms).ok()
}

/// Milliseconds since 1970 of the time at the head of `text`, as in RFC 3339, and what comes after it. None for times
/// before 1970.
#[must_use]
pub fn rfc3339(text: &[u8]) -> Option<(u64, &[u8])> {
    let part = |from: usize, to: usize| number(text.get(from..to)?);
    let mark = |at: usize, mark: &[u8]| text.get(at).filter(|b| mark.contains(b)).map(|_| ());
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    for (at, what) in [(4, "-"), (7, "-"), (10, "T "), (13, ":"), (16, ":")] {
        mark(at, what.as_bytes())?;
    }
    let is_one = (1..=12).contains(&month)
        && (1..=longest(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    let mut rest = text.get(19..).filter(|_| is_one)?;
    let mut ms = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        ms = (0..3).fold(0, |ms, at| ms * 10 + fraction[..digits].get(at).map_or(0, |b| i64::from(b - b'0')));
        rest = &fraction[digits..];
    }
    let (offset, rest) = zone(rest)?;
    let seconds =
        days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset * 60;
    Some((u64::try_from(seconds * 1000 + ms).ok()?, rest))
}

/// Minutes east of Greenwich: `Z`, `+01:00`, `+0100`.
fn zone(text: &[u8]) -> Option<(i64, &[u8])> {
    let (first, rest) = text.split_first()?;
    let sign = match first {
        b'Z' | b'z' => return Some((0, rest)),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, rest) = rest.split_at_checked(2)?;
    let rest = rest.strip_prefix(b":").unwrap_or(rest);
    let (minutes, rest) = rest.split_at_checked(2)?;
    Some((sign * (number(hours)? * 60 + number(minutes)?), rest))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

/// Days of a month.
fn longest(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar: Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    const SUN: &[Day] = &[Day::Sun];
    const MON: &[Day] = &[Day::Mon];

    #[test]
    fn windows_open_and_close() {
        let check = |on: &[Day], from: &str, to: &str, offset: &str, moments: &[(&str, bool)]| {
            let when = When::written(on, from, to, offset).unwrap_or_else(|e| panic!("{from} to {to}: {e}"));
            for (moment, open) in moments {
                let wall = u64::try_from(moment_ms(moment).unwrap()).unwrap();
                assert_eq!(when.is_open(wall), *open, "{from} to {to} at {moment}");
            }
        };
        // 2026-11-22 is a Sunday.
        check(
            &[],
            "02:00",
            "04:30",
            "+00:00",
            &[
                ("2026-11-22T01:59:59.999Z", false),
                ("2026-11-22T02:00:00Z", true),
                ("2026-11-22T04:29:59Z", true),
                ("2026-11-22T04:30:00Z", false),
                ("2026-11-25T03:00:00Z", true),
            ],
        );
        check(
            SUN,
            "22:00",
            "02:00",
            "+01:00",
            &[
                ("2026-11-22T20:59:59Z", false),
                ("2026-11-22T21:00:00Z", true),
                ("2026-11-23T00:59:59Z", true),
                ("2026-11-23T01:00:00Z", false),
                ("2026-11-22T00:30:00Z", false),
                ("2026-11-23T22:00:00Z", false),
            ],
        );
        check(
            MON,
            "00:00",
            "24:00",
            "-05:30",
            &[
                ("2026-11-23T05:29:00Z", false),
                ("2026-11-23T05:30:00Z", true),
                ("2026-11-24T05:29:00Z", true),
                ("2026-11-24T05:30:00Z", false),
            ],
        );
        check(
            &[],
            "2026-12-24T18:00:00+01:00",
            "2026-12-27T06:00:00Z",
            "+00:00",
            &[
                ("2026-12-24T16:59:59Z", false),
                ("2026-12-24T17:00:00Z", true),
                ("2026-12-27T05:59:59Z", true),
                ("2026-12-27T06:00:00Z", false),
                ("2027-12-25T00:00:00Z", false),
            ],
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let check = |on: &[Day], from: &str, to: &str, offset: &str, wanted: &str| {
            let e = When::written(on, from, to, offset).expect_err(wanted);
            let said = [e.key, ": ", &e.to_string()].concat();
            assert!(said.starts_with(wanted), "{from} to {to}: {said}");
        };
        check(&[], "2:00", "04:30", "+00:00", "from: `2:00` is no time of day");
        check(&[], "02:00", "2026-12-24T18:00:00Z", "+00:00", "to: `2026-12-24T18:00:00Z` is no time of day");
        check(&[], "25:00", "26:00", "+00:00", "from: `25:00` is neither");
        check(&[], "03:00", "03:00", "+00:00", "to: `03:00` is when it begins");
        check(&[], "03:00", "04:00", "CET", "offset: `CET` is no offset");
        check(
            &[],
            "2026-12-24T18:00:00",
            "2026-12-27T06:00:00Z",
            "+00:00",
            "from: `2026-12-24T18:00:00` is neither",
        );
        check(
            &[],
            "2026-12-27T06:00:00Z",
            "2026-12-24T18:00:00Z",
            "+00:00",
            "to: `2026-12-24T18:00:00Z` is not after",
        );
        check(
            SUN,
            "2026-12-24T18:00:00Z",
            "2026-12-27T06:00:00Z",
            "+00:00",
            "days: `2026-12-24T18:00:00Z` is a date",
        );
    }

    #[test]
    fn moments_are_counted_from_1970() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1969-12-31T23:59:59Z", None),
            ("2000-02-29T12:00:00Z", Some(951_825_600_000)),
            ("2017-07-14T04:40:00+02:00", Some(1_500_000_000_000)),
            ("2017-07-14 04:40:00+0200", Some(1_500_000_000_000)),
            ("2000-02-29T12:00:00.5-00:30", Some(951_827_400_500)),
            ("2026-12-31T23:59:59.5Z", Some(1_798_761_599_500)),
            ("2026-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-12-24T24:00:00Z", None),
            ("2016-12-31T23:59:60Z", Some(1_483_228_800_000)),
            ("2026-12-24T18:00:61Z", None),
            ("2026-12-24T18:00:+1Z", None),
            ("2026-12-24T18:00:00Z ", None),
            ("2026-12-24T18:00:00", None),
            ("+026-12-24T18:00:00Z", None),
            ("T", None),
            ("", None),
        ] {
            assert_eq!(moment_ms(text), ms, "{text}");
        }
        let every: Vec<Option<i64>> =
            ["é", "2026-12-24Té+01:00", "2026-12-24T18:0é:00Z"].map(moment_ms).to_vec();
        assert_eq!(every, [None; 3]);
    }
}
