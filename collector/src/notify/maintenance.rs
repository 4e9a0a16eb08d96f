//! Maintenance: when something is done where, by the calendar.

use fieldmouse_core::calendar::Day;
use serde::{Deserialize, Serialize};

use super::matcher::{Matcher, Reach};
use super::{IncidentView, Window};
use crate::config::ConfigError;

/// `[[maintenance]]`, as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceTable {
    /// What is done then, in words.
    pub name: String,
    /// Days on which it begins; every day if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// Time of day, or a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Time of day, or a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What is to be added to UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// Which incidents.
    #[serde(rename = "match", default, skip_serializing_if = "Matcher::is_everything")]
    pub matches: Matcher,
    /// File and line.
    #[serde(skip)]
    pub place: String,
}

/// When something is done where, as meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Maintenance {
    name: String,
    window: Window,
    matches: Matcher,
}

impl MaintenanceTable {
    pub(super) fn maintenance(&self) -> Result<Maintenance, ConfigError> {
        let error = |key: &str, what: String| {
            ConfigError::of_table(&self.place, "maintenance", &self.name, key, what)
        };
        if self.name.trim().is_empty() {
            return Err(error("name", "is empty; write what is done then".to_owned()));
        }
        let window = Window::of(&self.days, self.from.as_deref(), self.to.as_deref(), self.offset.as_deref())
            .map_err(|(key, what)| error(key, what))?;
        if window.is_always() {
            let what = "is needed; what is never told is a policy's matter".to_owned();
            return Err(error("from", what));
        }
        self.matches.check().map_err(|(key, what)| error(&format!("match.{key}"), what))?;
        Ok(Maintenance { name: self.name.clone(), window, matches: self.matches.clone() })
    }
}

/// What is being done where this incident is, in words.
pub(super) fn maintained(all: &[Maintenance], incident: &IncidentView, now: u64) -> Option<String> {
    let is_there = |m: &&Maintenance| m.window.is_open(now) && m.matches.matches(incident, Reach::All);
    all.iter().find(is_there).map(|m| format!("in maintenance: {}", m.name))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{incident, rules};
    use super::*;

    #[test]
    fn maintenance_holds_in_its_window_and_place() {
        const HOUR_MS: u64 = 3_600_000;
        let rules = rules(
            r#"
            [[maintenance]]
            name = "weekly backup"
            days = ["mon"]
            from = "02:00"
            to = "04:00"
            match = { site = ["home"], label = { role = "db" } }
            [[maintenance]]
            name = "move"
            from = "2026-11-24T00:00:00Z"
            to = "2026-11-25T00:00:00Z"
        "#,
        );
        let monday = 1_795_392_000_000;
        let check = |site: &str, role: &str, hour: u64, wanted: Option<&str>| {
            let mut seen = incident("1", 3);
            seen.sites = vec![site.into()];
            seen.labels.insert("role".into(), [role.into()].into());
            let got = maintained(&rules.maintenance, &seen, monday + hour * HOUR_MS);
            assert_eq!(got, wanted.map(|w| format!("in maintenance: {w}")), "{site} {role} {hour}");
        };
        check("home", "db", 1, None);
        check("home", "db", 2, Some("weekly backup"));
        check("home", "web", 2, None);
        check("shop", "db", 2, None);
        check("home", "db", 4, None);
        check("shop", "web", 30, Some("move"));
        check("home", "db", 48, None);
        check("home", "db", 7 * 24 + 3, Some("weekly backup"));
    }
}
