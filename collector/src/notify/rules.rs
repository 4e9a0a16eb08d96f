//! The rules, as written and as meant: `[notify]`, `[[policy]]`, `[[maintenance]]`, `[[inhibit]]`, `[[outlet]]`.

use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::digest::Daily;
use super::inhibition::{Inhibition, InhibitionTable};
use super::maintenance::{Maintenance, MaintenanceTable};
use super::outlets::{Outlet, OutletTable, web};
use super::policy::{Policy, PolicyTable};
use crate::config::ConfigError;

/// What is done unless the configuration says otherwise first.
const BUILT_IN: &str = include_str!("policies.toml");

/// All tables, as written.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names of the tables")]
pub struct Tables {
    pub notify: Notify,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<PolicyTable>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub maintenance: Vec<MaintenanceTable>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inhibit: Vec<InhibitionTable>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outlet: Vec<OutletTable>,
}

/// `[notify]`, as written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// How many incidents people are told of at once.
    pub pages: Option<Budget>,
    /// Incidents of this priority or a more urgent one are told whatever the budget says; 0: none.
    pub always: Option<u8>,
    /// How long an incident must be over before people are told so.
    pub keep_open: Option<String>,
    /// How often the same must begin within `flap_window` to be called flapping.
    pub flaps: Option<u32>,
    /// See `flaps`.
    pub flap_window: Option<String>,
    /// At what time of day people are told what they were not told at once; or `never`.
    pub digest: Option<String>,
    /// What is to be added to UTC for that.
    pub offset: Option<String>,
    /// Where people find the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_url: Option<String>,
}

impl Notify {
    /// With what holds where nothing is said.
    fn complete(self) -> Self {
        Self {
            pages: self.pages.or_else(|| Some(Budget::default())),
            always: self.always.or(Some(1)),
            keep_open: self.keep_open.or_else(|| Some("15m".to_owned())),
            flaps: self.flaps.or(Some(3)),
            flap_window: self.flap_window.or_else(|| Some("1h".to_owned())),
            digest: self.digest.or_else(|| Some("08:00".to_owned())),
            offset: self.offset.or_else(|| Some("+00:00".to_owned())),
            page_url: self.page_url,
        }
    }

    /// What `later` says wins.
    pub(crate) fn overlay(&mut self, later: Self) {
        let Self { pages, always, keep_open, flaps, flap_window, digest, offset, page_url } = later;
        self.pages = pages.or(self.pages);
        self.always = always.or(self.always);
        self.flaps = flaps.or(self.flaps);
        for (to, later) in [
            (&mut self.keep_open, keep_open),
            (&mut self.flap_window, flap_window),
            (&mut self.digest, digest),
            (&mut self.offset, offset),
            (&mut self.page_url, page_url),
        ] {
            if later.is_some() {
                *to = later;
            }
        }
    }
}

/// The rules, complete and consistent.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// In their order; the last matches everything.
    pub policies: Vec<Policy>,
    /// When something is done where.
    pub maintenance: Vec<Maintenance>,
    /// What explains what.
    pub inhibitions: Vec<Inhibition>,
    /// Who tells people.
    pub outlets: Vec<Outlet>,
    /// How much people are told at once.
    pub budget: Budget,
    /// Incidents of this priority or a more urgent one are told whatever the budget says; 0: none.
    pub always: u8,
    /// How long an incident must be over before people are told so, in milliseconds.
    pub keep_open_ms: u64,
    /// How often the same must begin within [`Self::flap_ms`] to be called flapping.
    pub flaps: u32,
    /// In milliseconds.
    pub flap_ms: u64,
    /// When the digest is sent, if it is.
    pub digest: Option<Daily>,
    /// Where people find the page.
    pub page_url: Option<String>,
    tables: Tables,
}

impl Rules {
    /// What is meant.
    ///
    /// # Errors
    /// If a rule contradicts itself or names what there is not.
    pub fn of(tables: Tables) -> Result<Self, ConfigError> {
        let tables = Tables { notify: tables.notify.complete(), ..tables };
        let n = &tables.notify;
        let span = |key: &str, text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default();
            span_ms(text).ok_or_else(|| of_notify(key, format!("\"{text}\" is not a span: 90s, 10m, 2h")))
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let digest =
            Daily::of(&text(&n.digest), &text(&n.offset)).map_err(|(key, what)| of_notify(key, what))?;
        let (always, flaps) = (n.always.unwrap_or_default(), n.flaps.unwrap_or_default());
        if always > 5 {
            return Err(of_notify("always", format!("{always} is no priority: 1 to 5, or 0")));
        }
        if flaps < 2 {
            return Err(of_notify("flaps", format!("{flaps} is too few: 2 or more")));
        }
        let outlets: Vec<Outlet> = tables.outlet.iter().map(OutletTable::outlet).collect::<Result<_, _>>()?;
        let names: Vec<String> = outlets.iter().map(|outlet| outlet.name.clone()).collect();
        if let Some((at, twice)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            let what = "is there twice; a queue belongs to one outlet".to_owned();
            return Err(ConfigError::of_table(&tables.outlet[at].place, "outlet", twice, "name", what));
        }
        if let Some(url) = n.page_url.as_deref().filter(|url| web(url).is_none()) {
            return Err(of_notify("page_url", format!("\"{url}\" is not https://host or http://host:port")));
        }
        let built_in = BuiltIn::read();
        let policies = tables.policy.iter().chain(&built_in.policy);
        let inhibitions = tables.inhibit.iter().chain(&built_in.inhibit);
        Ok(Self {
            policies: policies.map(|table| table.policy(&names)).collect::<Result<_, _>>()?,
            maintenance: tables
                .maintenance
                .iter()
                .map(MaintenanceTable::maintenance)
                .collect::<Result<_, _>>()?,
            inhibitions: inhibitions.map(InhibitionTable::inhibition).collect::<Result<_, _>>()?,
            outlets,
            budget: n.pages.unwrap_or_default(),
            always,
            keep_open_ms: span("keep_open", &n.keep_open)?,
            flaps,
            flap_ms: span("flap_window", &n.flap_window)?,
            digest,
            page_url: n.page_url.clone(),
            tables,
        })
    }

    /// The tables they were made of.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// What stands after the policies of the configuration, as TOML.
    #[must_use]
    pub fn built_in() -> &'static str {
        BUILT_IN
    }

    /// Names of the outlets that a policy means.
    #[must_use]
    pub fn outlets_of(&self, named: &[String]) -> Vec<String> {
        if named.is_empty() {
            return self.outlets.iter().map(|outlet| outlet.name.clone()).collect();
        }
        named.to_vec()
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::of(Tables::default()).expect("the built-in rules, which a test reads")
    }
}

/// As it is printed: the tables of the configuration.
impl Serialize for Rules {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.tables.serialize(s)
    }
}

#[derive(Deserialize)]
struct BuiltIn {
    policy: Vec<PolicyTable>,
    inhibit: Vec<InhibitionTable>,
}

impl BuiltIn {
    fn read() -> Self {
        let mut tables: Self = toml::from_str(BUILT_IN).expect("the built-in rules, which a test reads");
        tables.policy.iter_mut().for_each(|t| "built in".clone_into(&mut t.place));
        tables.inhibit.iter_mut().for_each(|t| "built in".clone_into(&mut t.place));
        tables
    }
}

fn of_notify(key: &str, what: String) -> ConfigError {
    ConfigError { place: String::new(), key: format!("notify.{key}"), what }
}

/// `90s`, `5m`, `2h`, `1d` in milliseconds.
pub(super) fn span_ms(text: &str) -> Option<u64> {
    crate::config::duration(text).and_then(|d| u64::try_from(d.as_millis()).ok())
}

#[cfg(test)]
mod tests {
    use super::super::sample::tables;
    use super::*;

    #[test]
    fn the_built_in_rules_are_right() {
        let rules = Rules::default();
        assert_eq!(rules.policies.len(), 5);
        assert_eq!((rules.budget.to_string().as_str(), rules.always), ("3 per day", 1));
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, wanted: &str| {
            let said = tables(text).and_then(|t| Rules::of(t).map_err(|e| e.to_string())).expect_err(text);
            assert!(said.contains(wanted), "{text}: {said}");
        };
        let policy = "[[policy]]\nname = \"x\"\nthen = \"page\"\n";
        check(
            &format!("{policy}outlets = [\"mail\"]"),
            "outlets: there is no outlet \"mail\"; there are: none",
        );
        check(&format!("{policy}for = \"soon\""), "rules:1: policy \"x\", for: \"soon\" is not a span");
        check(&format!("{policy}match = {{ priority = [7] }}"), "match.priority: 7 is no priority");
        check(&format!("{policy}from = \"22:00\""), "to: is needed");
        check(&format!("{policy}colour = 1"), "unknown field `colour`");
        check("[[policy]]\nname = \"x\"\nthen = \"shout\"", "unknown variant `shout`");
        check("[[policy]]\nname = \"\"\nthen = \"page\"", "name: is empty");
        check("[notify]\npages = \"often\"", "no budget");
        check("[notify]\npage_url = \"collector\"", "notify.page_url: \"collector\" is not https://host");
        check("[notify]\nalways = 6", "notify.always: 6");
        check("[notify]\nflaps = 1", "notify.flaps: 1");
        check("[notify]\ndigest = \"8\"", "notify.digest: \"8\" is no time of day: 08:00, or never");
        check("[notify]\ndigest = \"24:00\"", "notify.digest: \"24:00\" is no time of day");
        check("[notify]\noffset = \"CET\"", "notify.offset: \"CET\" is no offset from UTC; write +01:00");
        check("\n[[maintenance]]\nname = \"x\"", "rules:2: maintenance \"x\", from: is needed");
        check("[[inhibit]]\nname = \"x\"\nof = \"site\"", "rules:1: inhibit \"x\", by: is everything");
        let outlet = "[[outlet]]\nname = \"a\"\nkind = \"alertmanager\"\nurl = \"http://h:1\"\n";
        check(&format!("{outlet}{outlet}"), "rules:5: outlet \"a\", name: is there twice");
    }
}
