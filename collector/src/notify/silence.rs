//! Silences: what people do not want to hear of for a while.

use serde::{Deserialize, Serialize};

use super::IncidentView;
use super::calendar::minute;
use super::matcher::{Matcher, Reach};
use crate::store::{Class, Record};

/// What somebody does not want to hear of for a while. Kept as a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Its name.
    pub id: String,
    /// Which incidents.
    #[serde(rename = "match")]
    pub matches: Matcher,
    /// From when, in milliseconds since 1970.
    pub from_ms: u64,
    /// Until when.
    pub until_ms: u64,
    /// Who said so.
    #[serde(rename = "by")]
    pub who: String,
    /// Why.
    pub why: String,
    /// Who ended it before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
}

impl Silence {
    /// Whether it can be meant.
    ///
    /// # Errors
    /// The key, and what is wrong with it.
    pub fn check(&self) -> Result<(), (String, String)> {
        let wrong = |key: &str, what: &str| Err((key.to_owned(), what.to_owned()));
        if self.matches.is_everything() {
            return wrong(
                "match",
                "names nothing, and would silence everything; name a site, an entity, a pattern …",
            );
        }
        if self.until_ms <= self.from_ms {
            let what = format!("{} is not after from_ms, {}", self.until_ms, self.from_ms);
            return wrong("until_ms", &what);
        }
        if self.who.trim().is_empty() {
            return wrong("by", "is empty; say who does not want to hear of it");
        }
        if self.why.trim().is_empty() {
            return wrong("why", "is empty; say why, for those who wonder at the silence");
        }
        self.matches.check().map_err(|(key, what)| (format!("match.{key}"), what))
    }

    /// Whether this incident falls under it at this time.
    #[must_use]
    pub fn covers(&self, incident: &IncidentView, now: u64) -> bool {
        (self.from_ms..self.until_ms).contains(&now) && self.matches.matches(incident, Reach::All)
    }

    /// As it is kept: open as long as it may matter.
    #[must_use]
    pub fn record(&self, now: u64) -> Record {
        let doc = serde_json::to_string(self).unwrap_or_default();
        let is_open = self.until_ms > now;
        Record { class: Class::Silence, key: self.id.clone(), site: String::new(), at_ms: now, is_open, doc }
    }
}

/// The silence that this incident falls under, in words.
pub(super) fn silenced(silences: &[Silence], incident: &IncidentView, now: u64) -> Option<String> {
    // The one that lasts longest tells how long.
    let silence = silences.iter().filter(|s| s.covers(incident, now)).max_by_key(|s| s.until_ms)?;
    Some(format!(
        "silenced by {} until {} UTC ({}): {}",
        silence.who,
        minute(silence.until_ms),
        silence.matches,
        silence.why
    ))
}

#[cfg(test)]
mod tests {
    use super::super::sample::incident;
    use super::*;

    #[test]
    fn a_silence_covers_what_it_names_and_while_it_lasts() {
        let silence = |text: &str| Silence {
            id: "s".into(),
            matches: toml::from_str(text).unwrap(),
            from_ms: 1_000_000,
            until_ms: 2_000_000,
            who: "anna".into(),
            why: "new disk".into(),
            ended_by: None,
        };
        let mut seen = incident("1", 3);
        seen.sites = vec!["home".into()];
        let check = |text: &str, seen: &IncidentView, now: u64, wanted: bool| {
            assert_eq!(silenced(&[silence(text)], seen, now).is_some(), wanted, "{text} at {now}");
        };
        check("site = [\"home\"]", &seen, 999_999, false);
        check("site = [\"home\"]", &seen, 1_000_000, true);
        check("site = [\"home\"]", &seen, 2_000_000, false);
        check("site = [\"shop\"]", &seen, 1_500_000, false);
        let mut wide = seen.clone();
        wide.sites.push("shop".into());
        check("site = [\"home\"]", &wide, 1_500_000, false);
        assert_eq!(
            silenced(&[silence("site = [\"home\"]")], &seen, 1_500_000).unwrap(),
            "silenced by anna until 1970-01-01 00:33 UTC (site home): new disk"
        );
        assert_eq!(silence("").check().unwrap_err().0, "match");
        assert_eq!(silence("priority = [9]").check().unwrap_err().0, "match.priority");
        let short = Silence { until_ms: 1_000_000, ..silence("site = [\"home\"]") };
        assert_eq!(short.check().unwrap_err().0, "until_ms");
        let mute = Silence { why: " ".into(), ..silence("site = [\"home\"]") };
        assert_eq!(mute.check().unwrap_err().0, "why");
    }
}
