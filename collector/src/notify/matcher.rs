//! Which incidents are meant: what policies, silences, maintenance windows and inhibitions have in common.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::IncidentView;
use crate::signal::What;
use crate::words::severity_word;

/// Conditions on an incident. All that are given must hold; a list holds if any of it does; `*` stands for anything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Matcher {
    /// 1 (the most urgent) to 5.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priority: Vec<u8>,
    /// At least this: `info`, `warning`, `error`, `fatal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// At least this, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// Names of sites.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub site: Vec<String>,
    /// Entities: `site/node`, `site/node#service=shop`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entity: Vec<String>,
    /// Kinds of its signals: `episode`, `fact`, `forecast`, `trouble`, `presence`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kind: Vec<String>,
    /// What its signals look like on another day or device.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pattern: Vec<String>,
    /// Kind of its first cause.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cause: Vec<String>,
    /// Labels of its devices.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub label: BTreeMap<String, String>,
}

/// A severity in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of OpenTelemetry")]
pub enum Severity {
    Debug = 1,
    Info = 9,
    Warning = 13,
    Error = 17,
    Fatal = 21,
}

/// How much of an incident must be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Any of its sites, entities, signals and labels: to decide what is done with it.
    Any,
    /// All of its sites and labels, and what leads it. Whoever hides something may only hide what he speaks of: an
    /// incident that reaches beyond a silenced site is told.
    All,
}

impl Matcher {
    /// Whether this incident is meant.
    #[must_use]
    pub fn matches(&self, incident: &IncidentView, reach: Reach) -> bool {
        let listed = |patterns: &[String], names: &[String]| {
            let names = if reach == Reach::All { &names[..names.len().min(1)] } else { names };
            patterns.is_empty() || names.iter().any(|name| matches_any(patterns, name))
        };
        let sites = || match reach {
            Reach::Any => incident.sites.iter().any(|site| matches_any(&self.site, site)),
            Reach::All => {
                !incident.sites.is_empty() && incident.sites.iter().all(|s| matches_any(&self.site, s))
            }
        };
        let label = |(key, pattern): (&String, &String)| {
            incident.labels.get(key).is_some_and(|values| match reach {
                Reach::Any => values.iter().any(|value| matches(pattern, value)),
                Reach::All => values.iter().all(|value| matches(pattern, value)),
            })
        };
        (self.priority.is_empty() || self.priority.contains(&incident.priority))
            && self.severity.is_none_or(|least| incident.severity >= least as u8)
            && self.confidence.is_none_or(|least| incident.confidence >= least)
            && (self.site.is_empty() || sites())
            && listed(&self.entity, &incident.entities)
            && listed(&self.kind, &incident.kinds)
            && listed(&self.pattern, &incident.patterns)
            && (self.cause.is_empty()
                || incident.causes.first().is_some_and(|cause| matches_any(&self.cause, &cause.kind)))
            && self.label.iter().all(label)
    }

    /// What means this incident, and what is like it at the same place: its sites, what leads it, and what that looks like.
    #[must_use]
    pub fn of(incident: &IncidentView) -> Self {
        let first = |names: &[String]| names.first().cloned().into_iter().collect();
        Self {
            site: incident.sites.clone(),
            entity: first(&incident.entities),
            pattern: first(&incident.patterns),
            ..Self::default()
        }
    }

    /// Whether it means every incident.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// What cannot be meant: the key, and what is wrong with it.
    ///
    /// # Errors
    /// If a number is out of its range or a pattern is empty.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if let Some(wrong) = self.priority.iter().find(|p| !(1..=5).contains(*p)) {
            return Err(("priority", format!("{wrong} is no priority: 1 (the most urgent) to 5")));
        }
        if let Some(wrong) = self.confidence.filter(|c| !(0.0..=1.0).contains(c)) {
            return Err(("confidence", format!("{wrong} is no confidence: 0 to 1")));
        }
        for (key, patterns) in self.lists() {
            if patterns.iter().any(String::is_empty) {
                return Err((key, "an empty pattern names nothing; `*` stands for anything".to_owned()));
            }
        }
        let kinds = What::ALL.map(What::word);
        let causes: Vec<&str> = kinds.into_iter().chain(["change"]).collect();
        for (key, patterns, words) in [("kind", &self.kind, &kinds[..]), ("cause", &self.cause, &causes)] {
            let is_none = |pattern: &&String| !words.iter().any(|word| matches(pattern, word));
            if let Some(wrong) = patterns.iter().find(is_none) {
                return Err((key, format!("\"{wrong}\" is none of {}", words.join(", "))));
            }
        }
        Ok(())
    }

    fn lists(&self) -> [(&'static str, &[String]); 5] {
        [
            ("site", &self.site),
            ("entity", &self.entity),
            ("kind", &self.kind),
            ("pattern", &self.pattern),
            ("cause", &self.cause),
        ]
    }
}

/// `priority 1 or 2, site home, label env=prod`
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.priority.is_empty() {
            let all: Vec<String> = self.priority.iter().map(u8::to_string).collect();
            parts.push(format!("priority {}", all.join(" or ")));
        }
        parts.extend(self.severity.map(|s| format!("severity {} or more", severity_word(s as u8))));
        parts.extend(self.confidence.map(|c| format!("confidence {c} or more")));
        let lists = self.lists();
        let lists = lists.iter().filter(|(_, patterns)| !patterns.is_empty());
        parts.extend(lists.map(|(key, patterns)| format!("{key} {}", patterns.join(" or "))));
        parts.extend(self.label.iter().map(|(key, value)| format!("label {key}={value}")));
        f.write_str(if parts.is_empty() { "everything".to_owned() } else { parts.join(", ") }.as_str())
    }
}

/// Whether `pattern`, in which `*` stands for anything, is all of `name`.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

#[cfg(test)]
mod tests {
    use super::super::sample::incident;
    use super::*;

    fn check(matcher: &str, any: bool, all: bool) {
        // Two sites; the leading entity, pattern and kind come first.
        let mut seen = incident("1", 2);
        seen.sites = vec!["home".into(), "shop".into()];
        seen.entities = vec!["home/nas".into(), "shop/till#service=pay".into()];
        seen.patterns = vec!["disk.busy".into(), "service.slow".into()];
        seen.kinds = vec!["episode".into(), "fact".into()];
        seen.labels.insert("env".into(), ["prod".into(), "test".into()].into());
        let matcher: Matcher = toml::from_str(matcher).unwrap_or_else(|e| panic!("{matcher}: {e}"));
        let got = (matcher.matches(&seen, Reach::Any), matcher.matches(&seen, Reach::All));
        assert_eq!(got, (any, all), "{matcher}");
    }

    #[test]
    fn every_condition_must_hold() {
        check("", true, true);
        check("priority = [1, 2]", true, true);
        check("priority = [3]", false, false);
        check("severity = \"error\"", true, true);
        check("severity = \"fatal\"", false, false);
        check("confidence = 0.8", true, true);
        check("confidence = 0.9", false, false);
        check("site = [\"home\"]", true, false);
        check("site = [\"home\", \"sh*\"]", true, true);
        check("site = [\"hom\"]", false, false);
        check("entity = [\"*/nas\"]", true, true);
        check("entity = [\"*#service=pay\"]", true, false);
        check("pattern = [\"disk.*\"]", true, true);
        check("pattern = [\"service.*\"]", true, false);
        check("kind = [\"fact\"]", true, false);
        check("cause = [\"change\"]", false, false);
        check("label = { env = \"prod\" }", true, false);
        check("label = { env = \"*\" }", true, true);
        check("label = { owner = \"*\" }", false, false);
        check("priority = [2]\nsite = [\"office\"]", false, false);
    }

    #[test]
    fn what_is_made_of_an_incident_means_it() {
        let mut seen = incident("1", 2);
        seen.sites = vec!["home".into(), "shop".into()];
        seen.entities = vec!["home/nas".into(), "shop/till#service=pay".into()];
        let matcher = Matcher::of(&seen);
        assert!(matcher.matches(&seen, Reach::All) && !matcher.is_everything());
        assert_eq!(matcher.to_string(), "site home or shop, entity home/nas, pattern disk busy");
        let other = IncidentView { entities: vec!["home/cam".into()], ..seen };
        assert!(!matcher.matches(&other, Reach::All));
    }

    #[test]
    fn patterns() {
        for (pattern, name, want) in [
            ("nas", "nas", true),
            ("nas", "nas1", false),
            ("*", "", true),
            ("a*a", "a", false),
            ("*/nas#*", "home/nas#disk=sda", true),
            ("home/*", "shop/home/", false),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let check = |text: &str, wanted: &str| {
            let said = toml::from_str::<Matcher>(text)
                .map_err(|e| e.to_string())
                .and_then(|m| m.check().map_err(|(key, what)| format!("{key}: {what}")))
                .expect_err(text);
            assert!(said.contains(wanted), "{text}: {said}");
        };
        check("priority = [0]", "priority: 0 is no priority");
        check("confidence = 80.0", "confidence: 80 is no confidence");
        check("site = [\"\"]", "site: an empty pattern");
        check(
            "kind = [\"fact\", \"epsode\"]",
            "kind: \"epsode\" is none of episode, fact, forecast, trouble, presence",
        );
        check("cause = [\"chnge\"]", "cause: \"chnge\" is none of");
        check("severity = \"bad\"", "unknown variant `bad`");
        check("sites = [\"a\"]", "unknown field `sites`");
    }
}
