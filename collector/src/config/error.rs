//! What is wrong with what was written, and where that stands.

use std::fmt;

use toml::de::{DeTable, DeValue};

/// What is wrong with the configuration: where, which key, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// File and line, or the environment variable; empty if no place is at fault.
    pub place: String,
    /// `broker.url`, or `policy "night", match.priority`
    pub key: String,
    /// What is wrong, and what is allowed.
    pub what: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.place, &self.key] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// What is wrong with a key of a table that has a name.
    pub(crate) fn of_table(place: &str, table: &str, name: &str, key: &str, what: String) -> Self {
        Self { place: place.to_owned(), key: format!("{table} \"{name}\", {key}"), what }
    }

    /// The same with its place in this file, unless it has one.
    pub(crate) fn within(self, file: &str, text: &str) -> Self {
        if self.place.is_empty() {
            return Self { place: Lines::of(file, text).place(&self.key), ..self };
        }
        self
    }
}

pub(crate) fn wrong<T>(key: &str, what: &str) -> Result<T, ConfigError> {
    Err(ConfigError { place: String::new(), key: key.to_owned(), what: what.to_owned() })
}

/// Where the keys of a file stand.
#[derive(Debug)]
pub(crate) struct Lines<'t> {
    file: &'t str,
    text: &'t str,
    root: Option<DeValue<'t>>,
}

impl<'t> Lines<'t> {
    /// Those of the text of a file of that name.
    pub(crate) fn of(file: &'t str, text: &'t str) -> Self {
        Self { file, text, root: DeTable::parse(text).ok().map(|root| DeValue::Table(root.into_inner())) }
    }

    /// `file:line` of a key such as `store.keep.facts` or `entity[2].name`, or of what it should stand in; the file alone if
    /// nothing of it is there.
    pub(crate) fn place(&self, key: &str) -> String {
        let (mut here, mut at) = (self.root.as_ref(), None);
        for part in key.split(['.', '[']) {
            let found = here.and_then(|here| match part.strip_suffix(']').map(str::parse::<usize>) {
                Some(index) => here.get(index.ok()?),
                None => here.get(part),
            });
            let Some(found) = found else { break };
            (here, at) = (Some(found.get_ref()), Some(found.span().start));
        }
        self.at(at)
    }

    /// `file:line` of a byte of the text.
    pub(crate) fn at(&self, offset: Option<usize>) -> String {
        let before = offset.and_then(|at| self.text.get(..at));
        before.map_or_else(
            || self.file.to_owned(),
            |text| format!("{}:{}", self.file, text.matches('\n').count() + 1),
        )
    }
}
