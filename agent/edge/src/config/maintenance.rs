//! `[[maintenance]]`: windows in which nothing alerts and nothing is learnt. Recurring ones name days and times of day,
//! the others a beginning and an end.

use fieldmouse_core::calendar::{Day, When};
use serde::{Deserialize, Serialize};

use super::KeyError;
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
        let when = When::written(&self.days, &self.from, &self.to, &self.offset)
            .map_err(|mistake| error(mistake.key, mistake.to_string()))?;
        Ok(Window { name: self.name.clone(), when, patterns: self.patterns.clone() })
    }
}

#[cfg(test)]
mod tests {
    use fieldmouse_core::calendar::moment_ms;

    use super::*;

    fn window(text: &str) -> Result<Window, String> {
        let table: MaintenanceTable =
            toml::from_str(&format!("name = \"x\"\n{text}")).map_err(|e| e.to_string())?;
        table.window(0).map_err(|e| e.to_string())
    }

    #[test]
    fn a_window_opens_where_it_is_and_for_what_it_is() {
        let window =
            window("days = [\"sun\"]\nfrom = \"22:00\"\nto = \"23:00\"\nmatch = [\"system.cpu*\"]").unwrap();
        // 2026-11-22 is a Sunday.
        let is_open = |text: &str| window.is_open(u64::try_from(moment_ms(text).unwrap()).unwrap());
        assert_eq!((is_open("2026-11-22T22:30:00Z"), is_open("2026-11-23T22:30:00Z")), (true, false));
        assert!(window.matches("system.cpu.utilization") && !window.matches("system.memory.usage"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let check = |text: &str, wanted: &str| {
            let said = window(text).expect_err(text);
            assert!(said.contains(wanted), "{text}: {said}");
        };
        check("from = \"25:00\"\nto = \"26:00\"", "maintenance[0].from: `25:00` is neither");
        check(
            "from = \"03:00\"\nto = \"04:00\"\noffset = \"CET\"",
            "maintenance[0].offset: `CET` is no offset",
        );
        check("days = [\"funday\"]\nfrom = \"03:00\"\nto = \"04:00\"", "unknown variant `funday`");
        check("match = [\"\"]\nfrom = \"03:00\"\nto = \"04:00\"", "maintenance[0].match: an empty pattern");
    }
}
