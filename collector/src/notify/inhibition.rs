//! Inhibition: what is not told because another incident explains it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::IncidentView;
use super::matcher::{Matcher, Reach};
use crate::config::ConfigError;

/// An incident explains others for so long after it is over: what depends on it needs a while to recover.
const LINGERS_MS: u64 = 5 * 60_000;

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
    pub(super) fn inhibition(&self) -> Result<Inhibition, ConfigError> {
        let error =
            |key: &str, what: String| ConfigError::of_table(&self.place, "inhibit", &self.name, key, what);
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
