//! The declared file: importance, labels, dependencies and services, over patterns.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::Path;

use serde::Deserialize;

use super::entity::Name;
use super::graph::{MOST_IMPORTANT, USUAL_IMPORTANCE};
use super::pattern::{Entities, Glob};
use crate::config::{ConfigError, parse, wrong};

/// What people declare.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    rules: Vec<Rule>,
    depends: Vec<Depends>,
    /// Services, with what their health is made of.
    pub services: Vec<Service>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    name: Entities,
    importance: Option<u8>,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Depends {
    from: Entities,
    on: Vec<Entities>,
}

/// A service: something people use, whose health is a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name, which is an entity's too.
    pub name: String,
    /// 0 to 11.
    pub importance: u8,
    /// What it depends on.
    pub depends: Vec<Entities>,
    /// What its health is made of.
    pub kpis: Vec<Kpi>,
}

/// One thing by which a service's health is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kpi {
    /// In words.
    pub name: String,
    /// Whose series.
    pub of: Vec<Entities>,
    /// Which of them.
    pub series: Glob,
    /// 0 to 11: how much it counts; 11 alone can make the service critical.
    pub importance: u8,
    /// Whether the mean over its entities counts, or the worst of them.
    pub mean: bool,
    /// OpenTelemetry severity number from which on it is critical.
    pub critical: u8,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    entity: Vec<WrittenEntity>,
    depends: Vec<WrittenDepends>,
    service: Vec<WrittenService>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEntity {
    name: String,
    importance: Option<u8>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDepends {
    from: OneOrMany,
    on: OneOrMany,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenService {
    name: String,
    importance: Option<u8>,
    depends: Option<OneOrMany>,
    #[serde(default)]
    kpi: Vec<WrittenKpi>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKpi {
    name: String,
    of: Option<OneOrMany>,
    series: Option<String>,
    importance: Option<u8>,
    level: Option<String>,
    critical: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "one name or a list of names")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn entities(&self, key: &str) -> Result<Vec<Entities>, ConfigError> {
        let all = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        };
        all.iter().map(|text| entities(key, text)).collect()
    }
}

fn entities(key: &str, text: &str) -> Result<Entities, ConfigError> {
    Entities::new(text).or_else(|what| wrong(key, &what))
}

fn importance(key: &str, given: Option<u8>) -> Result<u8, ConfigError> {
    match given.unwrap_or(USUAL_IMPORTANCE) {
        n if n <= MOST_IMPORTANT => Ok(n),
        n => wrong(key, &format!("{n} is not 0 to {MOST_IMPORTANT}")),
    }
}

impl Declared {
    /// Reads the file.
    ///
    /// # Errors
    /// Names file, line, key and what is allowed.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let place = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::read(&place, &text),
            Err(e) => {
                Err(ConfigError { place, key: "topology.file".to_owned(), what: format!("cannot read: {e}") })
            }
        }
    }

    /// Reads the text of a file of that name.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn read(file: &str, text: &str) -> Result<Self, ConfigError> {
        let written: Written = parse(file, text)?;
        Self::mean(written).map_err(|e| e.within(file, text))
    }

    fn mean(w: Written) -> Result<Self, ConfigError> {
        let mut this = Self::default();
        for (i, e) in w.entity.into_iter().enumerate() {
            let key = format!("entity[{i}]");
            let weight = e.importance.map(|n| importance(&format!("{key}.importance"), Some(n)));
            this.rules.push(Rule {
                name: entities(&format!("{key}.name"), &e.name)?,
                importance: weight.transpose()?,
                labels: e.labels,
            });
        }
        for (i, d) in w.depends.into_iter().enumerate() {
            let on = d.on.entities(&format!("depends[{i}].on"))?;
            for from in d.from.entities(&format!("depends[{i}].from"))? {
                if let Some(on) = on.iter().find(|on| on.stars() > from.stars()) {
                    let what = format!(
                        "`{}` has more stars than `{}`: each is replaced by what a star of `from` stands for",
                        on.text(),
                        from.text()
                    );
                    return wrong(&format!("depends[{i}].on"), &what);
                }
                this.depends.push(Depends { from, on: on.clone() });
            }
        }
        let mut names = BTreeSet::new();
        for (i, s) in w.service.into_iter().enumerate() {
            let key = format!("service[{i}]");
            if Name::of(&s.name).is_none_or(|n| n.node.is_some()) {
                let shown: String = s.name.chars().take(80).collect();
                let what = format!("`{shown}` is not a name: [a-z0-9-], 1 to 48 characters");
                return wrong(&format!("{key}.name"), &what);
            }
            if !names.insert(s.name.clone()) {
                return wrong(&format!("{key}.name"), &format!("`{}` is declared twice", s.name));
            }
            this.services.push(service(&key, s)?);
        }
        Ok(this)
    }

    /// What is declared of an entity: of several rules that match, the later wins key by key.
    #[must_use]
    pub fn of(&self, entity: &str) -> (Option<u8>, BTreeMap<String, String>) {
        let mut found = (None, BTreeMap::new());
        for rule in self.rules.iter().filter(|r| r.name.matches(entity)) {
            found.0 = rule.importance.or(found.0);
            found.1.extend(rule.labels.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        if let Some(service) = self.services.iter().find(|s| s.name == entity) {
            found.0 = found.0.or(Some(service.importance));
        }
        found
    }

    /// Names that stand in the file in full.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let depends = self.depends.iter().flat_map(|d| d.on.iter().chain([&d.from]));
        let rules = self.rules.iter().map(|r| &r.name);
        let exact = depends.chain(rules).filter(|e| e.is_exact()).map(Entities::text);
        exact.chain(self.services.iter().map(|s| s.name.as_str()))
    }

    /// The declared edges among these entities, and what of the file names nothing that has reported.
    #[must_use]
    pub fn edges(&self, entities: &BTreeSet<&str>) -> (BTreeSet<(String, String)>, Vec<String>) {
        let (mut found, mut notes) = (BTreeSet::new(), BTreeSet::new());
        for d in &self.depends {
            let mut any = false;
            for from in matching(entities, &d.from) {
                any = true;
                let captures = d.from.captures(from).unwrap_or_default();
                // A pattern may well match what it makes depend on.
                for to in d.on.iter().filter_map(|on| on.filled(&captures)).filter(|to| to != from) {
                    if to.contains('/') && !entities.contains(to.as_str()) {
                        notes.insert(format!("depends: `{from}` on `{to}`: no such device has reported"));
                    }
                    if Name::of(&to).is_some() {
                        found.insert((from.to_owned(), to));
                    }
                }
            }
            if !any {
                notes
                    .insert(format!("depends: from = `{}` matches nothing that has reported", d.from.text()));
            }
        }
        for s in &self.services {
            for pattern in s.depends.iter().chain(s.kpis.iter().flat_map(|k| &k.of)) {
                let mut on = matching(entities, pattern).peekable();
                if on.peek().is_none() {
                    notes.insert(format!("service `{}`: `{}` matches nothing", s.name, pattern.text()));
                }
                found.extend(on.filter(|on| *on != s.name).map(|on| (s.name.clone(), on.to_owned())));
            }
        }
        (found, notes.into_iter().collect())
    }
}

/// Entities that match, in order; only those are looked at that begin as the pattern does.
fn matching<'e>(entities: &BTreeSet<&'e str>, pattern: &Entities) -> impl Iterator<Item = &'e str> {
    let prefix = pattern.prefix();
    entities
        .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
        .copied()
        .take_while(move |name| name.starts_with(prefix))
        .filter(move |name| pattern.matches(name))
}

fn service(key: &str, s: WrittenService) -> Result<Service, ConfigError> {
    let depends = match &s.depends {
        Some(given) => given.entities(&format!("{key}.depends"))?,
        None => Vec::new(),
    };
    // A service of which nobody said what to measure is as well as what it depends on.
    let mut written = s.kpi;
    if written.is_empty() && !depends.is_empty() {
        written.push(WrittenKpi { name: "what it depends on".to_owned(), ..WrittenKpi::default() });
    }
    let mut kpis = Vec::new();
    for (i, k) in written.into_iter().enumerate() {
        let key = format!("{key}.kpi[{i}]");
        let of = match &k.of {
            Some(given) => given.entities(&format!("{key}.of"))?,
            None => depends.clone(),
        };
        if of.is_empty() {
            return wrong(
                &format!("{key}.of"),
                "is missing: say whose series, or give the service `depends`",
            );
        }
        kpis.push(Kpi {
            name: k.name,
            of,
            series: Glob::new(k.series.as_deref().unwrap_or("*")),
            importance: importance(&format!("{key}.importance"), k.importance)?,
            mean: match k.level.as_deref() {
                None | Some("worst") => false,
                Some("mean") => true,
                Some(other) => {
                    return wrong(&format!("{key}.level"), &format!("\"{other}\" is not worst or mean"));
                }
            },
            critical: match k.critical.as_deref() {
                None | Some("fatal") => 21,
                Some("error") => 17,
                Some("warning") => 13,
                Some(other) => {
                    let what = format!("\"{other}\" is not warning, error or fatal");
                    return wrong(&format!("{key}.critical"), &what);
                }
            },
        });
    }
    let importance = importance(&format!("{key}.importance"), s.importance)?;
    Ok(Service { name: s.name, importance, depends, kpis })
}

#[cfg(test)]
mod tests;
