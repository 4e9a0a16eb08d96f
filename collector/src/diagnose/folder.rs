//! One failure in a folder: `case.json` and one CSV file per service.
//!
//! `case.json` holds `injected_at` (epoch seconds), `interval_s`, `alert` (service and metric, or null), `graph` (pairs of
//! caller and callee) and `hosts` (service to host). `<service>.csv` has `timestamp` (epoch seconds) as its first column,
//! and one column per metric; what is no number is no data. Logs may stand beside them (`logs.rs`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::logs::{self, Columns, Logs};
use super::rank::short;

/// What was recorded around one failure.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recording {
    /// When it began, in seconds since 1970: rows before it are free of the fault.
    pub injected_at: f64,
    /// Seconds from row to row.
    pub interval_s: f64,
    /// What people were told of first.
    pub alert: Option<Alarm>,
    /// (caller, callee)
    pub graph: Vec<(String, String)>,
    /// Service to host.
    pub hosts: BTreeMap<String, String>,
    /// Metrics by service.
    pub services: BTreeMap<String, Table>,
    /// What the services wrote.
    pub logs: Logs,
}

/// Service and metric of an alert.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Alarm {
    /// Who.
    pub service: String,
    /// What.
    pub metric: String,
}

/// Metrics of one service: rows in the order of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Seconds since 1970.
    pub times: Vec<f64>,
    /// Name and one value per row; NaN is no data.
    pub columns: Vec<(String, Vec<f64>)>,
}

/// Why a folder cannot be diagnosed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadFolder {
    /// A file or the folder cannot be read.
    #[error("{}: cannot be read: {why}; a folder with case.json and one CSV file per service is wanted", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// The description of the case is none.
    #[error("{}: {key}: {why}; wanted are injected_at (epoch seconds), and if known interval_s, alert, graph, hosts", path.display())]
    Case {
        /// Which.
        path: PathBuf,
        /// Where in it.
        key: String,
        /// Why.
        why: String,
    },
    /// A table is none.
    #[error("{}: line {line}: {why}", path.display())]
    Row {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong, and the fix.
        why: String,
    },
    /// There is nothing to compare.
    #[error("{}: no <service>.csv in it, so there is nobody to suspect", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
}

impl BadFolder {
    fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable { why, .. } if why.kind() == io::ErrorKind::NotFound)
    }
}

#[derive(Deserialize)]
struct Written {
    injected_at: f64,
    #[serde(default)]
    interval_s: Option<f64>,
    #[serde(default)]
    alert: Option<Alarm>,
    #[serde(default)]
    graph: Vec<(String, String)>,
    #[serde(default)]
    hosts: BTreeMap<String, String>,
}

/// Reads a case's folder.
///
/// # Errors
/// If a file cannot be read or is not what it should be, with its name and what is wanted.
pub fn read(folder: &Path) -> Result<Recording, BadFolder> {
    let path = folder.join("case.json");
    let text = std::fs::read(&path).map_err(unreadable(&path))?;
    let mut json = serde_json::Deserializer::from_slice(&text);
    let written: Written = serde_path_to_error::deserialize(&mut json).map_err(|e| BadFolder::Case {
        path: path.clone(),
        key: e.path().to_string(),
        why: e.inner().to_string(),
    })?;
    let mut reading = Reading { injected_at: written.injected_at, ..Reading::default() };
    let (mut files, mut lines) = (Vec::new(), Vec::new());
    list(folder, &mut files)?;
    list(&folder.join("logs"), &mut lines).or_else(|e| if e.is_missing() { Ok(()) } else { Err(e) })?;
    for path in &files {
        reading.metrics(path)?;
    }
    for path in files.iter().filter(|p| has_ending(p, "log")).chain(&reading.tables.clone()).chain(&lines) {
        reading.lines(folder, path)?;
    }
    let Reading { services, logs, .. } = reading;
    if services.is_empty() {
        return Err(BadFolder::Empty { path: folder.to_owned() });
    }
    Ok(Recording {
        injected_at: written.injected_at,
        interval_s: written.interval_s.filter(|s| *s > 0.0).unwrap_or(60.0),
        alert: written.alert,
        graph: written.graph,
        hosts: written.hosts,
        services,
        logs,
    })
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> BadFolder + use<> {
    let path = path.to_owned();
    |why| BadFolder::Unreadable { path, why }
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending))
}

/// The name of a file without its ending.
fn stem(path: &Path) -> String {
    path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Files of a folder, and of those in it, by name.
fn list(folder: &Path, to: &mut Vec<PathBuf>) -> Result<(), BadFolder> {
    let entries = std::fs::read_dir(folder).map_err(unreadable(folder))?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|e| e.map(|e| e.path())).collect();
    let mut paths = paths.map_err(unreadable(folder))?;
    paths.sort();
    to.extend(paths);
    Ok(())
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    injected_at: f64,
    services: BTreeMap<String, Table>,
    logs: Logs,
    /// Tables that turned out to hold log lines.
    tables: Vec<PathBuf>,
}

impl Reading {
    fn metrics(&mut self, path: &Path) -> Result<(), BadFolder> {
        if !has_ending(path, "csv") {
            return Ok(());
        }
        let header =
            csv::Reader::from_path(path).and_then(|mut r| r.headers().cloned()).map_err(bad(path))?;
        if Columns::of(&header).is_some() {
            self.tables.push(path.to_owned());
        } else {
            self.services.insert(stem(path), table(path)?);
        }
        Ok(())
    }

    /// Log lines of a file, or of the files of a service's folder.
    fn lines(&mut self, folder: &Path, path: &Path) -> Result<(), BadFolder> {
        if path.is_dir() {
            let mut files = Vec::new();
            list(path, &mut files)?;
            // Folders have one level: services, each with its files.
            return files.iter().filter(|p| p.is_file()).try_for_each(|p| self.lines(folder, p));
        }
        let known: Vec<&str> = self.services.keys().map(String::as_str).collect();
        let parent = path.parent().filter(|p| *p != folder && !p.ends_with("logs")).map(stem);
        let name = parent.unwrap_or_else(|| stem(path));
        let service = logs::service(&name, &known).map(str::to_owned);
        let written_by = service.clone().unwrap_or(name);
        if has_ending(path, "csv") {
            let mut reader = csv::Reader::from_path(path).map_err(bad(path))?;
            let header = reader.headers().map_err(bad(path))?.clone();
            let columns = Columns::of(&header).ok_or_else(|| BadFolder::Row {
                path: path.to_owned(),
                line: 1,
                why: "a table of log lines has a column timestamp and a column message".to_owned(),
            })?;
            logs::table(&mut self.logs, &mut reader, &columns, &known, &written_by, self.injected_at)
                .map_err(bad(path))?;
        } else {
            logs::text(&mut self.logs, path, &written_by, self.injected_at).map_err(unreadable(path))?;
        }
        for name in self.logs.services.keys() {
            if !self.services.contains_key(name) {
                self.services.insert(name.clone(), Table::default());
            }
        }
        Ok(())
    }
}

/// What is wrong with a table, in words.
fn bad(path: &Path) -> impl Fn(csv::Error) -> BadFolder + use<> {
    let path = path.to_owned();
    move |e| {
        let line = e.position().map_or(1, csv::Position::line);
        let why = match e.into_kind() {
            csv::ErrorKind::Io(why) => return BadFolder::Unreadable { path: path.clone(), why },
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("{len} cells where the header has {expected_len}; an empty cell is no data")
            }
            csv::ErrorKind::Utf8 { .. } => "is not UTF-8".to_owned(),
            other => format!("{other:?}"),
        };
        BadFolder::Row { path: path.clone(), line, why }
    }
}

/// Reads one service's metrics.
fn table(path: &Path) -> Result<Table, BadFolder> {
    let mut reader = csv::Reader::from_path(path).map_err(bad(path))?;
    let header: Vec<String> =
        reader.headers().map_err(bad(path))?.iter().skip(1).map(str::to_owned).collect();
    let mut rows: Vec<(f64, Vec<f64>)> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(bad(path))?;
        let (line, first) = (record.position().map_or(1, csv::Position::line), record.get(0).unwrap_or(""));
        let time: f64 = first.trim().parse().ok().filter(|t: &f64| t.is_finite()).ok_or_else(|| {
            let why = format!("\"{}\" is no time; the first column holds epoch seconds", short(first));
            BadFolder::Row { path: path.to_owned(), line, why }
        })?;
        rows.push((time, record.iter().skip(1).map(|v| v.trim().parse().unwrap_or(f64::NAN)).collect()));
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let values = |i: usize| rows.iter().map(|(_, row)| row.get(i).copied().unwrap_or(f64::NAN)).collect();
    Ok(Table {
        times: rows.iter().map(|(time, _)| *time).collect(),
        columns: header.into_iter().enumerate().map(|(i, name)| (name, values(i))).collect(),
    })
}
