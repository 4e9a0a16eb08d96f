//! `[[maintenance]]`: windows in which nothing alerts and nothing is learnt. Recurring ones name days and times of day,
//! the others a beginning and an end.

use fieldmouse_core::calendar::{Day, When, offset_ms, time_of_day};
use serde::{Deserialize, Serialize};

use super::KeyError;
use crate::replay::timestamp_ms;
use crate::sources::text;

/// One table, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceTable {
    /// What it is, in words: told at its beginning and end.
    pub name: String,
    /// Days on which it begins; every day if none is named.
    #[serde(default)]
    pub days: Vec<Day>,
    /// `02:00`, or `2026-12-24T18:00:00+01:00`.
    pub from: String,
    /// `04:30`, or `2026-12-27T06:00:00+01:00`. A time of day that is not later than `from` is on the next day.
    pub to: String,
    /// What is to be added to UTC to get the times of day: `+01:00`.
    #[serde(default = "utc")]
    pub offset: String,
    /// Names as `fieldmouse once` prints them; `*` stands for anything. All series if none is named.
    #[serde(rename = "match", default)]
    pub patterns: Vec<String>,
}

fn utc() -> String {
    "+00:00".into()
}

/// A window, as meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// What it is, in words.
    pub name: String,
    when: When,
    patterns: Vec<String>,
}

impl Window {
    /// Whether it is open at this time, in milliseconds since 1970.
    #[must_use]
    pub fn is_open(&self, wall_ms: u64) -> bool {
        self.when.is_open(wall_ms)
    }

    /// Whether it speaks of this series.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.patterns.is_empty() || text::matches_any(&self.patterns, name)
    }
}

impl MaintenanceTable {
    /// What is meant. `at`: which table it is.
    pub(super) fn window(&self, at: usize) -> Result<Window, KeyError> {
        let error = |key: &str, what: String| KeyError::new(&format!("maintenance[{at}].{key}"), what);
        if self.name.trim().is_empty() {
            return Err(error("name", "is empty; write what is done then".into()));
        }
        if self.patterns.iter().any(String::is_empty) {
            return Err(error("match", "an empty pattern names no series; `*` stands for anything".into()));
        }
        let when = match (time_of_day(&self.from), time_of_day(&self.to)) {
            (Some(from), Some(to)) if from == to => {
                return Err(error(
                    "to",
                    format!("`{}` is when it begins; a whole day is 00:00 to 24:00", self.to),
                ));
            }
            (Some(from), Some(to)) => {
                let offset = offset_ms(&self.offset).ok_or_else(|| {
                    error("offset", format!("`{}` is no offset from UTC; write +01:00", self.offset))
                })?;
                let mut days = [self.days.is_empty(); 7];
                self.days.iter().for_each(|d| days[*d as usize] = true);
                When::Weekly { days, from, to, offset }
            }
            (from, to) => {
                let date = |key: &str, text: &str| {
                    let what =
                        "is neither a time of day like 02:00 nor a date like 2026-12-24T18:00:00+01:00";
                    dated(text).ok_or_else(|| error(key, format!("`{text}` {what}")))
                };
                if from.is_some() || to.is_some() {
                    let what = "one of `from` and `to` is a time of day, the other is not";
                    return Err(error("to", what.into()));
                }
                let (from, to) = (date("from", &self.from)?, date("to", &self.to)?);
                if from >= to {
                    return Err(error("to", format!("`{}` is not after `{}`", self.to, self.from)));
                }
                if !self.days.is_empty() {
                    return Err(error("days", "go with times of day, not with dates".into()));
                }
                When::Once { from, to }
            }
        };
        Ok(Window { name: self.name.clone(), when, patterns: self.patterns.clone() })
    }
}

/// A moment with its offset from UTC: without one, nobody knows whose time it is.
fn dated(text: &str) -> Option<i64> {
    let has_zone = text.ends_with('Z') || text.get(text.len().checked_sub(6)?..)?.starts_with(['+', '-']);
    (has_zone && text.contains('T')).then(|| timestamp_ms(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> Result<Window, String> {
        let table: MaintenanceTable =
            toml::from_str(&format!("name = \"x\"\n{text}")).map_err(|e| e.to_string())?;
        table.window(0).map_err(|e| e.to_string())
    }

    fn check(text: &str, moments: &[(&str, bool)]) {
        let window = window(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        for (moment, open) in moments {
            let wall = u64::try_from(timestamp_ms(moment).unwrap()).unwrap();
            assert_eq!(window.is_open(wall), *open, "{text} at {moment}");
        }
    }

    #[test]
    fn windows_open_and_close() {
        // 2026-11-22 is a Sunday.
        check(
            "from = \"02:00\"\nto = \"04:30\"",
            &[
                ("2026-11-22T01:59:59.999Z", false),
                ("2026-11-22T02:00:00Z", true),
                ("2026-11-22T04:29:59Z", true),
                ("2026-11-22T04:30:00Z", false),
                ("2026-11-25T03:00:00Z", true),
            ],
        );
        check(
            "days = [\"sun\"]\nfrom = \"22:00\"\nto = \"02:00\"\noffset = \"+01:00\"",
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
            "days = [\"mon\"]\nfrom = \"00:00\"\nto = \"24:00\"\noffset = \"-05:30\"",
            &[
                ("2026-11-23T05:29:00Z", false),
                ("2026-11-23T05:30:00Z", true),
                ("2026-11-24T05:29:00Z", true),
                ("2026-11-24T05:30:00Z", false),
            ],
        );
        check(
            "from = \"2026-12-24T18:00:00+01:00\"\nto = \"2026-12-27T06:00:00Z\"",
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
        let check = |text: &str, wanted: &str| {
            let said = window(text).expect_err(text);
            assert!(said.contains(wanted), "{text}: {said}");
        };
        check("from = \"2:00\"\nto = \"04:30\"", "one of `from` and `to` is a time of day");
        check("from = \"25:00\"\nto = \"26:00\"", "maintenance[0].from: `25:00` is neither");
        check("from = \"03:00\"\nto = \"03:00\"", "maintenance[0].to: `03:00` is when it begins");
        check(
            "from = \"03:00\"\nto = \"04:00\"\noffset = \"CET\"",
            "maintenance[0].offset: `CET` is no offset",
        );
        check("from = \"2026-12-24T18:00:00\"\nto = \"2026-12-27T06:00:00Z\"", "maintenance[0].from: `2026");
        check("from = \"2026-12-27T06:00:00Z\"\nto = \"2026-12-24T18:00:00Z\"", "is not after");
        check("days = [\"funday\"]\nfrom = \"03:00\"\nto = \"04:00\"", "unknown variant `funday`");
        check("match = [\"\"]\nfrom = \"03:00\"\nto = \"04:00\"", "maintenance[0].match: an empty pattern");
    }
}
