//! Policies: an ordered table of conditions on an incident and what is done with it. The first that matches decides.

use std::fmt;

use fieldmouse_core::calendar::Day;
use serde::{Deserialize, Serialize};

use super::matcher::{Matcher, Reach};
use super::rules::span_ms;
use super::{IncidentView, Outcome, Window};
use crate::config::ConfigError;

/// `[[policy]]`, as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyTable {
    /// What it is called in explanations.
    pub name: String,
    /// Days of the week; every day if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// Time of day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Time of day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What is to be added to UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// It comes at this time of the day or week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_seasonal: Option<bool>,
    /// It comes and goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_flapping: Option<bool>,
    /// Something is being done there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_maintenance: Option<bool>,
    /// What is done.
    pub then: Outcome,
    /// How long it must have been so before it is done.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub lasting: Option<String>,
    /// Who tells it; every outlet if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outlets: Vec<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// Which incidents.
    #[serde(rename = "match", default, skip_serializing_if = "Matcher::is_everything")]
    pub matches: Matcher,
    /// File and line.
    #[serde(skip)]
    pub place: String,
}

/// A policy, as meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// What it is called.
    pub name: String,
    /// What is done.
    pub then: Outcome,
    /// How long it must have been so before it is done, in milliseconds.
    pub lasting_ms: u64,
    /// Who tells it; every outlet if none is named.
    pub outlets: Vec<String>,
    /// What to do about it.
    pub runbook: Option<String>,
    matches: Matcher,
    window: Window,
    is_seasonal: Option<bool>,
    is_flapping: Option<bool>,
    in_maintenance: Option<bool>,
    place: String,
}

/// What is known of an incident beside itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the keys of a policy")]
pub struct Marks {
    pub is_seasonal: bool,
    pub is_flapping: bool,
    pub in_maintenance: bool,
}

impl PolicyTable {
    /// What is meant, where there are these outlets.
    pub(super) fn policy(&self, outlets: &[String]) -> Result<Policy, ConfigError> {
        let error =
            |key: &str, what: String| ConfigError::of_table(&self.place, "policy", &self.name, key, what);
        if self.name.trim().is_empty() {
            return Err(error("name", "is empty; explanations name it".to_owned()));
        }
        if let Some(unknown) = self.outlets.iter().find(|o| !outlets.contains(o)) {
            let there_are = if outlets.is_empty() { "none".to_owned() } else { outlets.join(", ") };
            return Err(error(
                "outlets",
                format!("there is no outlet \"{unknown}\"; there are: {there_are}"),
            ));
        }
        if !self.outlets.is_empty() && matches!(self.then, Outcome::Hold | Outcome::Suppress) {
            return Err(error("outlets", format!("go with page or digest, not with {}", self.then.word())));
        }
        self.matches.check().map_err(|(key, what)| error(&format!("match.{key}"), what))?;
        let window = Window::of(&self.days, self.from.as_deref(), self.to.as_deref(), self.offset.as_deref())
            .map_err(|(key, what)| error(key, what))?;
        let lasting_ms = match &self.lasting {
            None => 0,
            Some(text) => {
                span_ms(text).ok_or_else(|| error("for", format!("\"{text}\" is not a span: 90s, 5m, 2h")))?
            }
        };
        Ok(Policy {
            name: self.name.clone(),
            then: self.then,
            lasting_ms,
            outlets: self.outlets.clone(),
            runbook: self.runbook.clone(),
            matches: self.matches.clone(),
            window,
            is_seasonal: self.is_seasonal,
            is_flapping: self.is_flapping,
            in_maintenance: self.in_maintenance,
            place: self.place.clone(),
        })
    }
}

impl Policy {
    fn matches(&self, incident: &IncidentView, marks: Marks, now: u64) -> bool {
        let is = |wanted: Option<bool>, is_so: bool| wanted.is_none_or(|wanted| wanted == is_so);
        is(self.is_seasonal, marks.is_seasonal)
            && is(self.is_flapping, marks.is_flapping)
            && is(self.in_maintenance, marks.in_maintenance)
            && self.window.is_open(now)
            && self.matches.matches(incident, Reach::Any)
    }
}

/// `policy "night" (collector.toml:12): hold`
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy \"{}\" ({}): {}", self.name, self.place, self.then.word())
    }
}

/// The first policy that matches at this time.
pub(super) fn first<'a>(
    policies: &'a [Policy],
    incident: &IncidentView,
    marks: Marks,
    now: u64,
) -> Option<&'a Policy> {
    policies.iter().find(|policy| policy.matches(incident, marks, now))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{incident, rules};
    use super::*;

    /// 2026-11-23, a Monday, at this hour of UTC.
    fn monday(hour: u64) -> u64 {
        1_795_392_000_000 + hour * 3_600_000
    }

    #[test]
    fn the_first_that_matches_decides() {
        let rules = rules(
            r#"
            [[outlet]]
            name = "pager"
            kind = "alertmanager"
            url = "http://127.0.0.1:9093"
            [[outlet]]
            name = "chat"
            kind = "alertmanager"
            url = "http://127.0.0.1:9094"
            [[policy]]
            name = "lab"
            match = { site = ["lab-*"] }
            then = "suppress"
            [[policy]]
            name = "night"
            match = { priority = [2, 3, 4, 5] }
            from = "22:00"
            to = "06:00"
            then = "hold"
            [[policy]]
            name = "weekend"
            days = ["sat", "sun"]
            then = "digest"
            outlets = ["chat"]
            [[policy]]
            name = "database"
            match = { label = { role = "db" }, severity = "error" }
            then = "page"
            outlets = ["pager"]
            runbook = "RB-7"
            for = "5m"
            [[policy]]
            name = "usual"
            is_seasonal = true
            is_flapping = false
            then = "suppress"
            [[policy]]
            name = "flapping"
            is_flapping = true
            then = "digest"
        "#,
        );
        let plain = Marks::default();
        let seasonal = Marks { is_seasonal: true, ..plain };
        let both = Marks { is_flapping: true, ..seasonal };
        let work = Marks { in_maintenance: true, ..plain };
        let day = 86_400_000;
        // Site, role, priority, severity, marks, time → policy, what is done.
        type Row = (&'static str, &'static str, u8, u8, Marks, u64, &'static str, Outcome);
        let table: &[Row] = &[
            ("lab-1", "db", 1, 21, plain, monday(12), "lab", Outcome::Suppress),
            ("lab-1", "", 3, 13, both, monday(2), "lab", Outcome::Suppress),
            ("home", "", 1, 17, plain, monday(2), "urgent", Outcome::Page),
            ("home", "", 2, 17, plain, monday(2), "night", Outcome::Hold),
            ("home", "", 2, 17, plain, monday(22), "night", Outcome::Hold),
            ("home", "", 2, 17, plain, monday(6), "urgent", Outcome::Page),
            ("home", "db", 2, 17, plain, monday(12) - day, "weekend", Outcome::Digest),
            ("home", "db", 2, 17, plain, monday(23) - day, "night", Outcome::Hold),
            ("home", "db", 2, 17, plain, monday(12), "database", Outcome::Page),
            ("home", "db", 4, 13, plain, monday(12), "rest", Outcome::Digest),
            ("home", "web", 2, 17, plain, monday(12), "urgent", Outcome::Page),
            ("home", "", 3, 17, seasonal, monday(12), "usual", Outcome::Suppress),
            ("home", "", 3, 17, both, monday(12), "flapping", Outcome::Digest),
            ("home", "", 3, 17, work, monday(12), "maintenance", Outcome::Hold),
            ("home", "", 3, 17, plain, monday(12), "ordinary", Outcome::Page),
            ("home", "", 5, 9, plain, monday(12), "rest", Outcome::Digest),
        ];
        for (site, role, priority, severity, marks, now, name, then) in table {
            let mut seen = incident("1", *priority);
            seen.sites = vec![(*site).to_owned()];
            seen.severity = *severity;
            seen.labels.insert("role".into(), [(*role).to_owned()].into());
            let policy = first(&rules.policies, &seen, *marks, *now).expect("the last one always matches");
            let got = (policy.name.as_str(), policy.then);
            assert_eq!(got, (*name, *then), "{site} {role} {priority} {severity} {marks:?} {now}");
        }
        let database = rules.policies.iter().find(|p| p.name == "database").unwrap();
        assert_eq!((database.runbook.as_deref(), database.lasting_ms), (Some("RB-7"), 300_000));
        assert_eq!(database.to_string(), "policy \"database\" (rules:25): page");
    }

    #[test]
    fn an_empty_configuration_decides() {
        let rules = rules("");
        let plain = Marks::default();
        let marked = [
            plain,
            Marks { is_seasonal: true, ..plain },
            Marks { in_maintenance: true, ..plain },
            Marks { is_seasonal: true, in_maintenance: true, ..plain },
        ];
        use Outcome::{Digest, Hold, Page, Suppress};
        let table = [
            (1, [Page, Page, Hold, Hold]),
            (2, [Page, Suppress, Hold, Hold]),
            (3, [Page, Suppress, Hold, Hold]),
            (4, [Digest, Suppress, Hold, Hold]),
            (5, [Digest, Suppress, Hold, Hold]),
        ];
        for (priority, wanted) in table {
            let got = marked.map(|marks| {
                first(&rules.policies, &incident("1", priority), marks, monday(3)).unwrap().then
            });
            assert_eq!(got, wanted, "priority {priority}");
        }
    }
}
