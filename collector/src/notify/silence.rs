//! What is not told although it is so: silences of people, maintenance, and what another incident explains.

use std::collections::BTreeSet;

use fieldmouse_core::calendar::Day;
use serde::{Deserialize, Serialize};

use super::calendar::minute;
use super::matcher::{Matcher, Reach};
use super::rules::RuleError;
use super::{IncidentView, Window};
use crate::store::{Class, Record};

/// An incident explains others for so long after it is over: what depends on it needs a while to recover.
const LINGERS_MS: u64 = 5 * 60_000;

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
}

impl Silence {
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
}

/// When something is done where, as meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Maintenance {
    name: String,
    window: Window,
    matches: Matcher,
}

impl MaintenanceTable {
    pub(super) fn maintenance(&self) -> Result<Maintenance, RuleError> {
        let error = |key: &str, what: String| RuleError::new("", "maintenance", &self.name, key, what);
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

/// `[[inhibit]]`, as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InhibitionTable {
    /// What it is called in explanations.
    pub name: String,
    /// How far it reaches.
    #[serde(default)]
    pub of: Within,
    /// What explains.
    #[serde(default, skip_serializing_if = "Matcher::is_everything")]
    pub by: Matcher,
    /// What is explained; everything within reach if nothing is said.
    #[serde(rename = "match", default, skip_serializing_if = "Matcher::is_everything")]
    pub matches: Matcher,
    /// File and line.
    #[serde(skip)]
    pub place: String,
}

/// How far an incident explains others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Within {
    /// What depends on its leading entity.
    #[default]
    Dependents,
    /// Its sites.
    Site,
    /// Anywhere.
    All,
}

/// What explains what, as meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Inhibition {
    name: String,
    of: Within,
    by: Matcher,
    matches: Matcher,
}

impl InhibitionTable {
    pub(super) fn inhibition(&self) -> Result<Inhibition, RuleError> {
        let error = |key: &str, what: String| RuleError::new(&self.place, "inhibit", &self.name, key, what);
        if self.by.is_everything() {
            return Err(error("by", "is everything; say what explains the others".to_owned()));
        }
        for (table, matcher) in [("by", &self.by), ("match", &self.matches)] {
            matcher.check().map_err(|(key, what)| error(&format!("{table}.{key}"), what))?;
        }
        Ok(Inhibition {
            name: self.name.clone(),
            of: self.of,
            by: self.by.clone(),
            matches: self.matches.clone(),
        })
    }
}

impl Inhibition {
    fn explains(&self, by: &IncidentView, what: &IncidentView, now: u64) -> bool {
        let device = |entity: &str| entity.split('#').next().unwrap_or("").to_owned();
        let depends =
            |entity: &String| by.dependents.contains(entity) || by.dependents.contains(&device(entity));
        by.id != what.id
            && by.closed_ms.is_none_or(|closed| now < closed.saturating_add(LINGERS_MS))
            && self.by.matches(by, Reach::Any)
            && self.matches.matches(what, Reach::All)
            && match self.of {
                Within::Dependents => !what.entities.is_empty() && what.entities.iter().all(depends),
                Within::Site => what.sites.iter().all(|site| by.sites.contains(site)),
                Within::All => true,
            }
    }
}

/// For each incident, what explains it, in words. Of incidents that explain each other in a circle one is told, the
/// earliest: never do all fall silent.
pub(super) fn inhibited(incidents: &[IncidentView], rules: &[Inhibition], now: u64) -> Vec<Option<String>> {
    let mut why: Vec<Option<String>> = vec![None; incidents.len()];
    let explains = |by: usize, what: usize| {
        rules.iter().find(|rule| rule.explains(&incidents[by], &incidents[what], now))
    };
    // Only what some rule speaks of can explain.
    let sources: Vec<usize> = (0..incidents.len())
        .filter(|i| rules.iter().any(|rule| rule.by.matches(&incidents[*i], Reach::Any)))
        .collect();
    let is_explained = |what: usize| sources.iter().any(|by| explains(*by, what).is_some());
    let mut left: BTreeSet<usize> = (0..incidents.len()).collect();
    // Those that nothing explains come first, then the earliest of what is left, which is a circle.
    let mut order: Vec<usize> = left.iter().copied().collect();
    order.sort_by_cached_key(|i| (is_explained(*i), incidents[*i].opened_ms, incidents[*i].id.clone()));
    for root in order {
        if !left.remove(&root) {
            continue;
        }
        let mut reached = vec![root];
        while let Some(by) = reached.pop().filter(|_| !sources.is_empty()) {
            let explained: Vec<(usize, &Inhibition)> =
                left.iter().filter_map(|what| Some((*what, explains(by, *what)?))).collect();
            for (what, rule) in explained {
                left.remove(&what);
                reached.push(what);
                let by = &incidents[by];
                why[what] = Some(format!(
                    "explained by incident {} ({}), inhibition \"{}\"",
                    by.id, by.title, rule.name
                ));
            }
        }
    }
    why
}

#[cfg(test)]
mod tests {
    use super::super::sample::{incident, rules};
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

    /// An incident of this pattern at this entity, on which these depend.
    fn at(id: &str, pattern: &str, entity: &str, dependents: &[&str]) -> IncidentView {
        let mut seen = incident(id, 3);
        seen.patterns = vec![pattern.into()];
        seen.entities = vec![entity.into()];
        seen.sites = vec![entity.split('/').next().unwrap().into()];
        seen.dependents = dependents.iter().map(|d| (*d).to_owned()).collect();
        seen
    }

    /// Which of these are explained, and by which.
    fn explained(text: &str, incidents: &[IncidentView], now: u64) -> Vec<String> {
        let why = inhibited(incidents, &rules(text).inhibitions, now);
        let by = |why: &String| why.split(' ').nth(3).unwrap().to_owned();
        let all =
            incidents.iter().zip(&why).filter_map(|(i, w)| Some(format!("{}<{}", i.id, by(w.as_ref()?))));
        all.collect()
    }

    const UPLINK: &str = r#"
        [[inhibit]]
        name = "uplink"
        by = { pattern = ["uplink*"] }
        match = { pattern = ["broker*"] }
    "#;

    #[test]
    fn an_uplink_that_is_down_silences_broker_timeouts_of_its_dependents() {
        let uplink = at("up", "uplink down", "home/router", &["home/nas", "home/cam"]);
        let nas = at("nas", "broker timeout", "home/nas#service=agent", &[]);
        let other = at("other", "broker timeout", "shop/till", &[]);
        let disk = at("disk", "disk busy", "home/nas", &[]);
        let mut wide = at("wide", "broker timeout", "home/cam", &[]);
        wide.entities.push("shop/till".into());
        let all = [nas.clone(), other, disk, uplink.clone(), wide];
        assert_eq!(explained(UPLINK, &all, 0), ["nas<up"]);
        // For a while after it is over, too.
        let over = IncidentView { closed_ms: Some(1000), ..uplink };
        assert_eq!(explained(UPLINK, &[nas.clone(), over.clone()], 1000 + LINGERS_MS - 1), ["nas<up"]);
        assert!(explained(UPLINK, &[nas, over], 1000 + LINGERS_MS).is_empty());
        let lost = IncidentView {
            kinds: vec!["presence".into()],
            ..at("gone", "lost", "home/router", &["home/nas"])
        };
        assert_eq!(
            explained("", &[lost, at("nas", "disk busy", "home/nas", &[])], 0),
            ["nas<gone"],
            "built in"
        );
    }

    #[test]
    fn chains_end_at_their_root_and_circles_are_told_once() {
        let rule = |by: &str, what: &str| {
            format!(
                "[[inhibit]]\nname = \"{by}\"\nof = \"all\"\nby = {{ pattern = [\"{by}\"] }}\nmatch = {{ pattern = [\"{what}\"] }}\n"
            )
        };
        let one = |id: &str, opened: u64| IncidentView { opened_ms: opened, ..at(id, id, "home/x", &[]) };
        let chain = rule("a", "b") + &rule("b", "c");
        assert_eq!(explained(&chain, &[one("c", 1), one("b", 2), one("a", 3)], 9), ["c<b", "b<a"]);
        let circle = rule("a", "b") + &rule("b", "c") + &rule("c", "a");
        assert_eq!(explained(&circle, &[one("c", 3), one("b", 2), one("a", 1)], 9), ["c<b", "b<a"]);
        let itself = rule("a", "a");
        assert!(explained(&itself, &[one("a", 1)], 9).is_empty());
        let twins = [one("a", 2), IncidentView { id: "a2".into(), ..one("a", 1) }];
        assert_eq!(explained(&itself, &twins, 9), ["a<a2"]);
    }
}
