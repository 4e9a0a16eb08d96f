//! Runs `fieldmouse replay` over a recording, and checks what every score file must be: a row per row, finite, in 0..1,
//! the same again, and the same if later rows are cut off.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use super::sets::{File, Recording};
use crate::program::agent_binary;
use crate::wait::timed;

/// What a replay wrote.
#[derive(Debug)]
pub struct Replayed {
    /// The score of every row.
    pub score: Vec<f64>,
    /// Events, one JSON object a line.
    pub events: String,
    /// How long it took.
    pub seconds: f64,
}

/// Replays a file of telemetry; `to` is where the scores and events go, without extension.
///
/// # Errors
/// If the program fails, with its last words.
pub fn run(csv: &Path, to: &Path, config: Option<&Path>) -> anyhow::Result<f64> {
    let mut command = Command::new(agent_binary());
    command
        .arg("replay")
        .arg(csv)
        .arg("--scores")
        .arg(with(to, "csv"))
        .arg("--events")
        .arg(with(to, "jsonl"));
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    let (done, took) = timed(|| command.stdin(Stdio::null()).stdout(Stdio::null()).output());
    let done = done.context("fieldmouse")?;
    ensure!(done.status.success(), "{}: {}", done.status, String::from_utf8_lossy(&done.stderr).trim());
    Ok(took.as_secs_f64())
}

/// What a replay left at `to`.
///
/// # Errors
/// If it is not a row per row with scores in 0..1.
pub fn read(to: &Path, rows: usize, names: Option<&[String]>) -> anyhow::Result<Replayed> {
    let path = with(to, "csv");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    ensure!(header.starts_with(&["timestamp", "score"]), "the header of the scores begins with {header:?}");
    if let Some(names) = names {
        ensure!(header[2..] == *names, "the columns after the score are not the recording's series");
    }
    let mut score = Vec::with_capacity(rows);
    for (n, line) in lines.enumerate() {
        for (i, cell) in line.split(',').enumerate().skip(1) {
            let value = cell.parse().unwrap_or(f64::NAN);
            ensure!((0.0..=1.0).contains(&value), "row {n}: score `{cell}` is not in 0..1");
            if i == 1 {
                score.push(value);
            }
        }
    }
    ensure!(score.len() == rows, "{} rows of scores for {rows} rows", score.len());
    let events = std::fs::read_to_string(with(to, "jsonl")).context("no events file")?;
    Ok(Replayed { score, events, seconds: 0.0 })
}

/// A second run must give the same bytes, and the first three fifths alone the same rows.
///
/// # Errors
/// If they differ; the message says where.
pub fn check(file: &File, of: &Recording, first: &Path, config: Option<&Path>) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (whole, again) = (dir.path().join("whole.csv"), dir.path().join("again"));
    std::fs::write(&whole, &of.csv)?;
    run(&whole, &again, config)?;
    for extension in ["csv", "jsonl"] {
        let same = std::fs::read(with(first, extension))? == std::fs::read(with(&again, extension))?;
        ensure!(same, "two runs differ ({extension})");
    }
    let (cut, part, rows) = (dir.path().join("cut.csv"), dir.path().join("part"), file.rows * 3 / 5);
    let begin: String = of.csv.split_inclusive('\n').take(rows + 1).collect();
    std::fs::write(&cut, begin)?;
    run(&cut, &part, config)?;
    let (long, short) =
        (std::fs::read_to_string(with(first, "csv"))?, std::fs::read_to_string(with(&part, "csv"))?);
    ensure!(short.lines().count() == rows + 1, "{} lines of scores for {rows} rows", short.lines().count());
    if let Some(row) = long.lines().zip(short.lines()).position(|(a, b)| a != b) {
        bail!("not causal: row {} changes when later rows are cut off", row.saturating_sub(1));
    }
    Ok(())
}

fn with(to: &Path, extension: &str) -> PathBuf {
    // A recording's name may hold a dot.
    let mut name = to.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}
