//! `replay`: recorded telemetry through the very same pipeline, faster than real time and deterministically.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use fieldmouse_core::series::{Millis, NoData, Reading, SeriesKey};
use fieldmouse_core::wire::{self, Head, Item, Kind};

use crate::clock::Stamp;
use crate::learnt::Learnt;
use crate::pipeline::{Output, Pipeline};
use crate::{decode, keys};

/// What to read and what to write.
#[derive(Debug, Default)]
pub struct Files {
    /// The recording: `timestamp`, then a column a series.
    pub input: PathBuf,
    /// Scores, row by row.
    pub scores: Option<PathBuf>,
    /// Events, one JSON object a line.
    pub events: Option<PathBuf>,
    /// What was learnt before, as `state_out` or a running agent wrote it.
    pub state_in: Option<PathBuf>,
    /// What was learnt in the end.
    pub state_out: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summary {
    /// Rows read.
    pub rows: u64,
    /// Episodes opened.
    pub episodes: u64,
    /// Recorded time from the first row to the last.
    pub span_ms: Millis,
}

/// Runs a recording through the pipeline.
///
/// # Errors
/// If a file cannot be read or written, or a row is malformed; the message names the line.
pub fn run(files: &Files, mut pipeline: Pipeline) -> anyhow::Result<Summary> {
    let name = files.input.display();
    let mut csv = csv::ReaderBuilder::new()
        .flexible(false)
        .from_path(&files.input)
        .with_context(|| format!("{name}: cannot be read"))?;
    let header = csv.headers().with_context(|| format!("{name}: no header line"))?.clone();
    if header.get(0) != Some("timestamp") {
        bail!(
            "{name}: line 1: the first column is `{}`; it must be `timestamp`",
            header.get(0).unwrap_or("")
        );
    }
    let mut learnt = files.state_in.as_deref().map(read_state).transpose()?;
    let mut scores = files.scores.as_deref().map(create).transpose()?;
    let mut events = files.events.as_deref().map(create).transpose()?;
    if let Some(out) = &mut scores {
        let mut titles = csv::WriterBuilder::new().from_writer(out);
        titles.write_record(["timestamp", "score"].into_iter().chain(header.iter().skip(1)))?;
        titles.flush()?;
    }

    let mut columns = Vec::new();
    let mut readings: Vec<Option<Reading>> = Vec::new();
    let mut row = csv::StringRecord::new();
    let mut told = Vec::new();
    let mut seq = 0;
    let mut line = String::new();
    let mut summary = Summary::default();
    let (mut first, mut last) = (None, 0);
    while csv.read_record(&mut row).with_context(|| format!("{name}: malformed row"))? {
        let at = || format!("{name}: line {}", row.position().map_or(0, csv::Position::line));
        let stamp = row.get(0).unwrap_or("");
        let wall = timestamp_ms(stamp).with_context(|| {
            format!(
                "{}: timestamp `{stamp}` is neither RFC 3339, `YYYY-MM-DD HH:MM:SS` nor epoch seconds",
                at()
            )
        })?;
        if first.is_none() {
            if let Some(learnt) = learnt.take() {
                pipeline.restore(learnt, at_row(0, wall), NO_BOOT);
            }
            columns = index(&mut pipeline, &header);
            readings.resize(pipeline.keys().len(), None);
        }
        // Before the first row nothing is known; a clock that falls back stands still.
        let now = Millis::try_from(wall - *first.get_or_insert(wall)).unwrap_or(0).max(summary.span_ms);
        for (column, i) in columns.iter().enumerate() {
            let text = row.get(column + 1).unwrap_or("");
            readings[*i] = Some(reading(text).with_context(|| {
                format!(
                    "{}: `{text}` in column `{}` is no number",
                    at(),
                    header.get(column + 1).unwrap_or("")
                )
            })?);
        }
        told.clear();
        pipeline.set_wall(u64::try_from(wall).ok());
        pipeline.follow_calendar(at_row(now, wall), &mut told);
        pipeline.tick(now, &readings, &mut told);
        summary.rows += 1;
        summary.span_ms = now;
        last = wall;
        if let Some(out) = &mut scores {
            write_scores(out, stamp, &pipeline, &columns, &mut line)?;
        }
        for output in &told {
            seq += 1;
            if let Some(out) = &mut events {
                let json = event_json(output, seq, now, u64::try_from(wall).ok());
                writeln!(out, "{json}")?;
            }
        }
    }
    for out in [scores, events].into_iter().flatten() {
        out.into_inner().context("the output cannot be written")?.sync_all().ok();
    }
    if let Some(path) = &files.state_out {
        let state = pipeline.save(at_row(summary.span_ms, last), NO_BOOT);
        std::fs::write(path, state).with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    summary.episodes = pipeline.episodes().opened;
    Ok(summary)
}

/// The series of the columns.
fn index(pipeline: &mut Pipeline, header: &csv::StringRecord) -> Vec<usize> {
    let mut columns: Vec<usize> = Vec::new();
    for (i, column) in header.iter().skip(1).enumerate() {
        let mut index = pipeline.index(&keys::parse(column), 0);
        if columns.contains(&index) {
            // Names may differ only where a series' name is cut; the column is still one of its own.
            index = pipeline.index(&SeriesKey::custom(&format!("{}:{column}", i + 1)), 0);
        }
        columns.push(index);
    }
    columns
}

/// A recording knows wall time alone.
const NO_BOOT: u128 = 0;

fn at_row(mono_ms: Millis, wall: i64) -> Stamp {
    Stamp { mono_ms, wall_ms: u64::try_from(wall).ok(), clock: wire::Clock::Free as u8 }
}

fn read_state(path: &Path) -> anyhow::Result<Learnt> {
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("{name}: cannot be read"))?;
    let learnt = Learnt::read(&bytes);
    if learnt.moment.is_none() {
        bail!("{name}: no state of Fieldmouse; `replay --state-out` writes one");
    }
    Ok(learnt)
}

fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("{}: cannot be written", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 16, file))
}

fn write_scores(
    out: &mut impl Write,
    stamp: &str,
    pipeline: &Pipeline,
    columns: &[usize],
    line: &mut String,
) -> std::io::Result<()> {
    use std::fmt::Write as _;
    line.clear();
    line.push_str(stamp);
    // Writing to a string cannot fail.
    let _ok = write!(line, ",{}", pipeline.score());
    for i in columns {
        let _ok = write!(line, ",{}", pipeline.series()[*i].now.score);
    }
    line.push('\n');
    out.write_all(line.as_bytes())
}

/// The event of an output as `decode` prints it.
pub(crate) fn event_json(
    output: &Output,
    seq: u64,
    mono_ms: Millis,
    wall_ms: Option<u64>,
) -> serde_json::Value {
    let mut buffer = [0; 2048];
    let (kind, severity, len) = match output {
        Output::Episode { body, severity } => (Kind::Episode, *severity, wire::write_body(body, &mut buffer)),
        Output::Trouble { body, .. } => (Kind::Trouble, 13, wire::write_body(body, &mut buffer)),
        Output::Drift(fact) => (Kind::Fact, 9, wire::write_body(fact, &mut buffer)),
        Output::Maintenance(m) => (Kind::Fact, 9, wire::write_body(&m.fact(), &mut buffer)),
        Output::Forecast { body, severity } => {
            (Kind::Forecast, *severity, wire::write_body(body, &mut buffer))
        }
    };
    let body = &buffer[..len.unwrap_or(0)];
    let item = Item {
        seq,
        mono_ms,
        wall_ms,
        clock: wire::Clock::Free as u8,
        severity,
        kind: kind as u16,
        rev: kind.rev(),
        body,
    };
    decode::event(&Head { node: "replay", epoch: 0 }, &item)
}

fn reading(text: &str) -> anyhow::Result<Reading> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Err(NoData::Absent));
    }
    Ok(Ok(text.parse::<f64>()?))
}

/// Milliseconds since 1970 of a timestamp in one of the three forms.
pub(crate) fn timestamp_ms(text: &str) -> anyhow::Result<i64> {
    if let Ok(seconds) = text.trim().parse::<f64>()
        && seconds.abs() < 1e12
    {
        #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
        return Ok((seconds * 1000.0).round() as i64);
    }
    let (text, offset_ms) = split_offset(text.trim());
    let time = humantime::parse_rfc3339_weak(text)?;
    let ms = match time.duration_since(std::time::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis())?,
        Err(before) => -i64::try_from(before.duration().as_millis())?,
    };
    Ok(ms - offset_ms)
}

/// Takes `+02:00` off the end of a time, which the parser does not know.
fn split_offset(text: &str) -> (&str, i64) {
    let parsed =
        text.len().checked_sub(6).filter(|at| *at >= 10 && text.is_char_boundary(*at)).and_then(|at| {
            let (time, offset) = text.split_at(at);
            let sign = match offset.as_bytes() {
                [b'+', ..] => 1,
                [b'-', ..] => -1,
                _ => return None,
            };
            let (hours, minutes) = offset[1..].split_once(':')?;
            Some((time, sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?) * 60_000))
        });
    parsed.unwrap_or((text, 0))
}

/// Names a series of the recording; see [`keys`].
#[must_use]
pub fn key(column: &str) -> SeriesKey {
    keys::parse(column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_of_three_forms() {
        let check = |text: &str, ms: Option<i64>| assert_eq!(timestamp_ms(text).ok(), ms, "{text}");
        check("1500000000", Some(1_500_000_000_000));
        check("1500000000.25", Some(1_500_000_000_250));
        check("2017-07-14T02:40:00Z", Some(1_500_000_000_000));
        check("2017-07-14 02:40:00", Some(1_500_000_000_000));
        check("2017-07-14T04:40:00+02:00", Some(1_500_000_000_000));
        check("2017-07-14T04:40:00.5+02:00", Some(1_500_000_000_500));
        check("1969-12-31 23:59:59", None);
        check("yesterday", None);
        check("", None);
    }
}
