//! The configuration as written: closed, every key optional.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{ConfigError, Lines};
use crate::notify::outlets::OutletTable;
use crate::notify::{InhibitionTable, MaintenanceTable, Notify, PolicyTable, Tables};

const ENV: &str = "FIELDMOUSE_COLLECTOR__";

/// All keys there are.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are described in the example configuration")]
pub struct Written {
    pub root: Option<String>,
    pub id: Option<String>,
    pub broker: Option<Broker>,
    pub http: Option<Http>,
    pub store: Option<Store>,
    pub correlation: Option<Correlation>,
    pub topology: Option<Topology>,
    pub intake: Option<Intake>,
    pub cluster: Option<Cluster>,
    pub notify: Option<Notify>,
    #[serde(default)]
    pub policy: Vec<PolicyTable>,
    #[serde(default)]
    pub maintenance: Vec<MaintenanceTable>,
    #[serde(default)]
    pub inhibit: Vec<InhibitionTable>,
    #[serde(default)]
    pub outlet: Vec<OutletTable>,
}

/// `[broker]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    pub url: Option<String>,
    pub embedded: Option<bool>,
    pub listen: Option<String>,
    pub allow_plain: Option<bool>,
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub user: Option<String>,
    pub password_file: Option<PathBuf>,
}

/// `[http]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub listen: Option<String>,
}

/// `[store]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    pub path: Option<PathBuf>,
    pub url: Option<String>,
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub retention: Option<String>,
    pub keep: Option<BTreeMap<String, String>>,
}

/// `[correlation]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correlation {
    pub window: Option<String>,
    pub scopes: Option<Vec<String>>,
    pub learn: Option<String>,
}

/// `[topology]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    pub file: Option<PathBuf>,
}

/// `[intake]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intake {
    pub device_rate: Option<u32>,
}

/// `[cluster]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    pub instance: Option<String>,
}

impl Written {
    /// Every key, for the test of the example.
    #[cfg(test)]
    pub(super) const KEYS: &[&str] = &[
        "root",
        "id",
        "url",
        "embedded",
        "listen",
        "allow_plain",
        "ca_file",
        "cert_file",
        "key_file",
        "user",
        "password_file",
        "path",
        "retention",
        "window",
        "scopes",
        "learn",
        "file",
        "device_rate",
        "instance",
        "pages",
        "always",
        "keep_open",
        "flaps",
        "flap_window",
        "page_url",
        "name",
        "match",
        "days",
        "from",
        "to",
        "offset",
        "is_seasonal",
        "is_flapping",
        "in_maintenance",
        "then",
        "for",
        "outlets",
        "runbook",
        "by",
        "of",
        "kind",
        "secret_file",
        "token_file",
        "tries",
    ];

    /// Reads one file's text.
    ///
    /// # Errors
    /// Names the place as `file:line`.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let mut written: Self = parse(file, text)?;
        // Explanations name a rule with its line.
        let lines = Lines::of(file.rsplit('/').next().unwrap_or(file), text);
        let place = |table: &str, at: usize| lines.place(&format!("{table}[{at}]"));
        written.policy.iter_mut().enumerate().for_each(|(at, t)| t.place = place("policy", at));
        written.maintenance.iter_mut().enumerate().for_each(|(at, t)| t.place = place("maintenance", at));
        written.inhibit.iter_mut().enumerate().for_each(|(at, t)| t.place = place("inhibit", at));
        written.outlet.iter_mut().enumerate().for_each(|(at, t)| t.place = place("outlet", at));
        Ok(written)
    }

    /// Takes out what people are told by.
    pub(crate) fn tables(&mut self) -> Tables {
        Tables {
            notify: self.notify.take().unwrap_or_default(),
            policy: std::mem::take(&mut self.policy),
            maintenance: std::mem::take(&mut self.maintenance),
            inhibit: std::mem::take(&mut self.inhibit),
            outlet: std::mem::take(&mut self.outlet),
        }
    }

    /// Reads the variables that begin with `FIELDMOUSE_COLLECTOR__`; sections and keys are parted by `__`.
    ///
    /// # Errors
    /// Names the variable.
    pub fn from_env(variables: &[(String, String)]) -> Result<Self, ConfigError> {
        let mut all = Self::default();
        for (name, value) in variables {
            let Some(path) = name.strip_prefix(ENV) else { continue };
            if path.is_empty() {
                let what = format!("names no key; such as {ENV}BROKER__URL");
                return Err(ConfigError { place: name.clone(), key: String::new(), what });
            }
            // A value that is no TOML is meant as text; a number or truth for a text key is refused by its type.
            let literal = match value.as_str() {
                "true" | "false" => value.clone(),
                _ => toml::Value::String(value.clone()).to_string(),
            };
            let key = path.to_ascii_lowercase().replace("__", ".");
            let one = read(&format!("{key} = {literal}"))
                // A number is a number where no text is wanted.
                .or_else(|e| if is_number(value) { read(&format!("{key} = {value}")) } else { Err(e) })
                .map_err(|(key, what, _)| ConfigError { place: name.clone(), key, what })?;
            all.overlay(one);
        }
        Ok(all)
    }

    /// What `later` says wins.
    pub fn overlay(&mut self, later: Self) {
        let Self { root, id, broker, http, store, correlation, topology, intake, cluster, notify, .. } =
            later;
        over(&mut self.root, root);
        over(&mut self.id, id);
        if let Some(b) = broker {
            let to = self.broker.get_or_insert_default();
            // How the broker is found is one decision: a later url replaces an embedded broker, and the reverse.
            if b.url.is_some() && b.embedded.is_none() {
                to.embedded = None;
                to.listen = None;
            }
            over(&mut to.url, b.url);
            over(&mut to.embedded, b.embedded);
            over(&mut to.listen, b.listen);
            over(&mut to.allow_plain, b.allow_plain);
            over(&mut to.ca_file, b.ca_file);
            over(&mut to.cert_file, b.cert_file);
            over(&mut to.key_file, b.key_file);
            over(&mut to.user, b.user);
            over(&mut to.password_file, b.password_file);
        }
        if let Some(h) = http {
            over(&mut self.http.get_or_insert_default().listen, h.listen);
        }
        if let Some(s) = store {
            let to = self.store.get_or_insert_default();
            // Which database is one decision: a later file replaces a server, and the reverse.
            if s.url.is_some() {
                to.path = None;
            }
            if s.path.is_some() {
                to.url = None;
                to.password_file = None;
                to.ca_file = None;
            }
            over(&mut to.path, s.path);
            over(&mut to.url, s.url);
            over(&mut to.password_file, s.password_file);
            over(&mut to.ca_file, s.ca_file);
            over(&mut to.retention, s.retention);
            to.keep.get_or_insert_default().extend(s.keep.unwrap_or_default());
        }
        if let Some(c) = correlation {
            let to = self.correlation.get_or_insert_default();
            over(&mut to.window, c.window);
            over(&mut to.scopes, c.scopes);
            over(&mut to.learn, c.learn);
        }
        if let Some(t) = topology {
            over(&mut self.topology.get_or_insert_default().file, t.file);
        }
        if let Some(i) = intake {
            over(&mut self.intake.get_or_insert_default().device_rate, i.device_rate);
        }
        if let Some(n) = notify {
            self.notify.get_or_insert_default().overlay(n);
        }
        self.policy.extend(later.policy);
        self.maintenance.extend(later.maintenance);
        self.inhibit.extend(later.inhibit);
        self.outlet.extend(later.outlet);
        if let Some(c) = cluster {
            over(&mut self.cluster.get_or_insert_default().instance, c.instance);
        }
    }
}

/// The variable that says this key, if there is one.
pub(super) fn variable(key: &str, variables: &[(String, String)]) -> Option<String> {
    let name = format!("{ENV}{}", key.replace('.', "__").to_ascii_uppercase());
    variables.iter().find(|(known, _)| *known == name).map(|_| name)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn over<T>(to: &mut Option<T>, later: Option<T>) {
    if later.is_some() {
        *to = later;
    }
}

/// Reads the text of a file of that name.
///
/// # Errors
/// Names the place as `file:line`.
pub(crate) fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, ConfigError> {
    read(text).map_err(|(key, what, offset)| {
        let place = Lines::of(file, text).at(offset);
        ConfigError { place, key, what }
    })
}

/// Key, what is wrong, and where in the text.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, (String, String, Option<usize>)> {
    let at = |e: &toml::de::Error| e.span().map(|s| s.start);
    let document = toml::Deserializer::parse(text)
        .map_err(|e| (String::new(), e.message().trim().to_owned(), at(&e)))?;
    serde_path_to_error::deserialize(document).map_err(|e| {
        let key = e.path().to_string();
        let e = e.into_inner();
        (if key == "." { String::new() } else { key }, in_words(e.message().trim()), at(&e))
    })
}

/// What is said of a value, with what people call its type.
fn in_words(message: &str) -> String {
    const TYPES: [(&str, &str); 5] = [
        ("expected u8", "expected a whole number from 0 to 255"),
        ("expected u32", "expected a whole number, 0 or more"),
        ("expected f32", "expected a number"),
        ("expected a sequence", "expected a list"),
        ("expected a map", "expected a table"),
    ];
    let known = TYPES.iter().find_map(|(of, words)| Some(format!("{}{words}", message.strip_suffix(of)?)));
    known.unwrap_or_else(|| message.to_owned())
}
