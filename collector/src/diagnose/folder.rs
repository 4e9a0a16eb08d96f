//! One failure in a folder: `case.json` and one CSV file per service.
//!
//! `case.json` holds `injected_at` (epoch seconds), `interval_s`, `alert` (service and metric, or null), `graph` (pairs of
//! caller and callee) and `hosts` (service to host). `<service>.csv` has `timestamp` (epoch seconds) as its first column,
//! and one column per metric; what is no number is no data.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

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
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        |why| BadFolder::Unreadable { path, why }
    };
    let path = folder.join("case.json");
    let text = std::fs::read(&path).map_err(unreadable(&path))?;
    let mut json = serde_json::Deserializer::from_slice(&text);
    let written: Written = serde_path_to_error::deserialize(&mut json).map_err(|e| BadFolder::Case {
        path: path.clone(),
        key: e.path().to_string(),
        why: e.inner().to_string(),
    })?;
    let mut services = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        let Some(service) = path.to_str().filter(|p| p.ends_with(".csv")).and(path.file_stem()) else {
            continue;
        };
        let name = service.to_string_lossy().into_owned();
        services.insert(name, table(&path)?);
    }
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
    })
}

/// Reads one service's metrics.
fn table(path: &Path) -> Result<Table, BadFolder> {
    let row = |line, why| BadFolder::Row { path: path.to_owned(), line, why };
    let bad = |e: csv::Error| {
        let line = e.position().map_or(1, csv::Position::line);
        match e.into_kind() {
            csv::ErrorKind::Io(why) => BadFolder::Unreadable { path: path.to_owned(), why },
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => row(
                line,
                format!("{len} cells where the header has {expected_len}; an empty cell is no data"),
            ),
            csv::ErrorKind::Utf8 { .. } => row(line, "is not UTF-8".to_owned()),
            other => row(line, format!("{other:?}")),
        }
    };
    let mut reader = csv::ReaderBuilder::new().from_path(path).map_err(bad)?;
    let header: Vec<String> = reader.headers().map_err(bad)?.iter().skip(1).map(str::to_owned).collect();
    let mut rows: Vec<(f64, Vec<f64>)> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(bad)?;
        let (line, first) = (record.position().map_or(1, csv::Position::line), record.get(0).unwrap_or(""));
        let time: f64 = first.trim().parse().ok().filter(|t: &f64| t.is_finite()).ok_or_else(|| {
            row(
                line,
                format!("\"{}\" is no time; the first column holds epoch seconds", super::rank::short(first)),
            )
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
