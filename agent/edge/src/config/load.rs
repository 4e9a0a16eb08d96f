//! Reads the files and the environment into one table, and turns every mistake into file, line, key and cure.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::{Config, KeyError, Written};

/// Where the configuration is unless told.
pub const DEFAULT_FILE: &str = "/etc/fieldmouse/fieldmouse.toml";
const ENV: &str = "FIELDMOUSE__";

/// A mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or the environment.
    pub place: String,
    /// The line, if it is in a file.
    pub line: Option<usize>,
    /// The dotted key, if it is one key.
    pub key: String,
    /// What is wrong, and what is allowed.
    pub what: String,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        if let Some(line) = self.line {
            write!(f, ": line {line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.what)
    }
}

struct Text {
    path: PathBuf,
    text: String,
}

/// Loads `file` (or the default one, which may be absent), the files of `conf.d` beside it, and the environment.
///
/// # Errors
/// With file, line, key and what is allowed.
pub fn load(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    host: &str,
) -> Result<Config, ConfigError> {
    let mut texts = Vec::new();
    let main = file.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(main) {
        Ok(text) => texts.push(Text { path: main.to_owned(), text }),
        // Only the file nobody asked for may be absent.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => {}
        Err(error) => return Err(unreadable(main, &error)),
    }
    for path in parts(main) {
        let text = std::fs::read_to_string(&path).map_err(|e| unreadable(&path, &e))?;
        texts.push(Text { path, text });
    }
    let mut merged = toml::Table::new();
    for text in &texts {
        merge(&mut merged, parse(text)?);
    }
    for (name, value) in env.filter(|(name, _)| name.starts_with(ENV)) {
        set_from_env(&mut merged, &name, &value)?;
    }
    let written: Written =
        serde_path_to_error::deserialize(toml::Value::Table(merged)).map_err(|e| ConfigError {
            place: "environment".into(),
            line: None,
            key: e.path().to_string(),
            what: e.inner().message().to_owned(),
        })?;
    Config::new(written, host).map_err(|e| locate(&texts, main, &e.key, e.what))
}

/// Loads the configuration of this process: its environment, its host's name.
///
/// # Errors
/// As [`load`].
pub fn from_here(file: Option<&Path>) -> Result<Config, ConfigError> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    load(file, env, &host)
}

/// Gives an error that was found after loading its place: the file and line where the key stands.
#[must_use]
pub fn locate_here(file: Option<&Path>, error: KeyError) -> ConfigError {
    let main = file.unwrap_or(Path::new(DEFAULT_FILE));
    let paths = std::iter::once(main.to_owned()).chain(parts(main));
    let texts: Vec<Text> = paths
        .filter_map(|path| std::fs::read_to_string(&path).ok().map(|text| Text { path, text }))
        .collect();
    locate(&texts, main, &error.key, error.what)
}

/// Gives an error about a key the file and line where the key, or else what it is part of, was written last.
fn locate(texts: &[Text], main: &Path, key: &str, what: String) -> ConfigError {
    let mut found = (main.display().to_string(), None);
    let mut part = Some(key);
    while let Some(key) = part.filter(|_| found.1.is_none()) {
        let mut tables = HashMap::new();
        for text in texts {
            if let Some(line) = line_of_key(&text.text, key, &mut tables) {
                found = (text.path.display().to_string(), Some(line));
            }
        }
        part = key.rsplit_once('.').map(|(whole, _)| whole);
    }
    ConfigError { place: found.0, line: found.1, key: key.to_owned(), what }
}

/// The line where a dotted key is set: `a.b.c` as `c = …` under `[a.b]`, or the table's own header. `a[1].c` is set
/// under the second `[[a]]`; how many there were before this text is in `tables`.
fn line_of_key(text: &str, key: &str, tables: &mut HashMap<String, usize>) -> Option<usize> {
    let mut table = String::new();
    let mut found = None;
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        let here = if let Some(name) = line.strip_prefix("[[").and_then(|l| l.split_once("]]")) {
            let name = name.0.trim();
            let count = tables.entry(name.to_owned()).or_default();
            *count += 1;
            table = format!("{name}[{}]", *count - 1);
            table.clone()
        } else if let Some(name) = line.strip_prefix('[').and_then(|l| l.split_once(']')) {
            let name = name.0.trim();
            let (first, rest) = name.split_once('.').unwrap_or((name, ""));
            // A table within the last one of an array.
            table = match tables.get(first) {
                Some(count) => format!("{first}[{}].{rest}", *count - 1),
                None => name.to_owned(),
            };
            table.clone()
        } else {
            let name = line.split_once('=').map_or("", |(name, _)| name.trim());
            if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
        };
        if here == key {
            found = Some(i + 1);
        }
    }
    found
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    let what = format!("cannot be read: {error}");
    ConfigError { place: path.display().to_string(), line: None, key: String::new(), what }
}

fn parts(main: &Path) -> Vec<PathBuf> {
    let dir = main.parent().unwrap_or(Path::new(".")).join("conf.d");
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let mut paths: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
    paths.sort();
    paths
}

/// A file as a table, after checking that it would do alone: so that a mistake is told with its line.
fn parse(text: &Text) -> Result<toml::Table, ConfigError> {
    let place = text.path.display().to_string();
    let line_at = |span: Option<std::ops::Range<usize>>| {
        span.map(|s| text.text.get(..s.start).unwrap_or("").matches('\n').count() + 1)
    };
    let table: toml::Table = toml::from_str(&text.text).map_err(|e| ConfigError {
        place: place.clone(),
        line: line_at(e.span()),
        key: String::new(),
        what: one_line(e.message()),
    })?;
    let error = |e: toml::de::Error, key: String| ConfigError {
        place: place.clone(),
        line: line_at(e.span()),
        key,
        what: one_line(e.message()),
    };
    let de = toml::Deserializer::parse(&text.text).map_err(|e| error(e, String::new()))?;
    serde_path_to_error::deserialize::<_, Written>(de).map_err(|e| {
        let key = e.path().to_string();
        error(e.into_inner(), key)
    })?;
    Ok(table)
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Later wins, key by key; tables of an array are added to those before.
fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            (Some(toml::Value::Array(old)), toml::Value::Array(new)) if are_tables(old, &new) => {
                old.extend(new);
            }
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn are_tables(a: &[toml::Value], b: &[toml::Value]) -> bool {
    a.iter().chain(b).all(toml::Value::is_table) && !b.is_empty()
}

/// `FIELDMOUSE__BROKER__URL=…` sets `broker.url`. A value that reads as TOML is that, anything else is text.
fn set_from_env(table: &mut toml::Table, name: &str, value: &str) -> Result<(), ConfigError> {
    let path: Vec<String> = name[ENV.len()..].split("__").map(str::to_ascii_lowercase).collect();
    let value = format!("x = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut t| t.remove("x"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let (last, tables) =
        path.split_last().filter(|(last, _)| !last.is_empty()).ok_or_else(|| ConfigError {
            place: "environment".into(),
            line: None,
            key: name.to_owned(),
            what: "names no key; write FIELDMOUSE__SECTION__KEY".into(),
        })?;
    let mut here = table;
    for part in tables {
        let entry = here.entry(part.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        here = match entry {
            toml::Value::Table(t) => t,
            _ => {
                return Err(ConfigError {
                    place: "environment".into(),
                    line: None,
                    key: name.to_owned(),
                    what: format!("`{part}` is a value, not a section"),
                });
            }
        };
    }
    here.insert(last.clone(), value);
    Ok(())
}
