//! Logs of a failure: which statements a service came to write more often, less often or for the first time.
//!
//! A log is `<service>.log`, or any file below `logs/` named or in a folder named after the service; a table (`.csv`) has
//! a column of time and one of messages, and perhaps one that names the service or its pod. Lines are masked as the agent
//! does it, so that lines of one statement are alike; a line without a time belongs to the one before it.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::path::Path;

use fieldmouse_core::calendar::rfc3339;
use fieldmouse_core::logs::line::Line;
use fieldmouse_core::logs::mask::{MAX_LINE, Masker};
use fieldmouse_core::logs::severity::severity;

use super::deviation::strength;
use super::rank::short;
use super::{Evidence, Kind, Tuning};

/// Statements that are told apart in one log; what comes beyond is not counted.
const MOST: usize = 20_000;
/// Severity from which on a line tells of trouble: warning.
const TROUBLE: u8 = 13;
/// By how much of its usual rate a statement's rate varies with load alone.
const BURSTY: f64 = 0.3;
/// What a change of rate counts of a statement that tells of no trouble and is not new.
const ORDINARY: f64 = 0.5;

/// How often each service wrote each statement, before the failure and since.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logs {
    /// Statements by service.
    pub services: BTreeMap<String, BTreeMap<String, Count>>,
    /// When the first and the last line were written, in seconds since 1970.
    pub span: Option<(f64, f64)>,
}

/// Lines of one statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Count {
    /// Before the failure.
    pub before: u64,
    /// Since.
    pub since: u64,
    /// OpenTelemetry severity number of the gravest; 0 if none says.
    pub severity: u8,
    /// When the first since the failure was written, in seconds since 1970.
    pub first_s: Option<f64>,
}

impl Logs {
    /// Counts one line.
    pub fn add(&mut self, service: &str, at_s: f64, statement: &str, severity: u8, injected_at: f64) {
        let (first, last) = self.span.unwrap_or((at_s, at_s));
        self.span = Some((first.min(at_s), last.max(at_s)));
        let statements = self.services.entry(service.to_owned()).or_default();
        if statements.len() >= MOST && !statements.contains_key(statement) {
            return;
        }
        let count = statements.entry(statement.to_owned()).or_default();
        count.severity = count.severity.max(severity);
        if at_s < injected_at {
            count.before += 1;
        } else {
            count.since += 1;
            count.first_s = Some(count.first_s.map_or(at_s, |first| first.min(at_s)));
        }
    }

    /// What is unusual in a service's log: its most unusual statement.
    #[must_use]
    pub fn evidence(&self, service: &str, injected_at: f64, tuning: &Tuning) -> Option<Evidence> {
        let (first, last) = self.span?;
        let (before_s, since_s) = ((injected_at - first).max(0.0), (last - injected_at).max(0.0));
        let statements = self.services.get(service)?;
        let all: u64 = statements.values().map(|c| c.since).sum();
        let unusual = statements.iter().map(|(text, count)| {
            let is_trouble = count.severity >= TROUBLE;
            let since = count.since as f64;
            let z = if before_s > 0.0 {
                // Half a line more than was seen: what never was may yet be usual.
                let usual = (count.before as f64 + 0.5) / before_s * since_s;
                (since - usual) / (usual.max(1.0) + (BURSTY * usual).powi(2)).sqrt()
            } else if is_trouble {
                // Nothing is known of before: trouble is measured by its share of the lines.
                let usual = tuning.ratio_floor * all as f64;
                (since - usual) / (usual.max(1.0) + (BURSTY * since).powi(2)).sqrt()
            } else {
                0.0
            };
            let part = if is_trouble || count.before == 0 { 1.0 } else { ORDINARY };
            (strength(z, tuning.freedom) * part, z, text, count)
        });
        let (nats, z, text, count) = unusual.max_by(|a, b| a.0.total_cmp(&b.0).then(b.2.cmp(a.2)))?;
        let what = match (count.before, z > 0.0) {
            (0, _) if before_s > 0.0 => "a new line",
            (0, _) => "a line of trouble",
            (_, true) => "a line more often",
            (_, false) => "a line less often",
        };
        (nats > 0.0).then(|| Evidence {
            kind: Kind::Log,
            metric: "log".to_owned(),
            strength: nats,
            onset_ms: count.first_s.map(|s| (s * 1000.0) as u64),
            text: format!(
                "its log has {what} ({} before, {} since): `{}`",
                count.before,
                count.since,
                short(text.trim())
            ),
        })
    }
}

/// Counts the lines of a file of text.
///
/// # Errors
/// If it cannot be read.
pub(super) fn text(logs: &mut Logs, path: &Path, service: &str, injected_at: f64) -> io::Result<()> {
    let mut file = io::BufReader::new(std::fs::File::open(path)?);
    let (mut masker, mut line, mut bytes, mut at) = (Masker::default(), Line::default(), Vec::new(), None);
    while file.read_until(b'\n', &mut bytes)? > 0 {
        bytes.truncate(MAX_LINE + 1);
        unquote(&mut bytes);
        at = time(&bytes).or(at);
        if let Some(at) = at {
            masker.mask(bytes.trim_ascii(), &mut line);
            logs.add(service, at, line.text(), severity(&bytes).unwrap_or(0), injected_at);
        }
        bytes.clear();
    }
    Ok(())
}

/// Columns of a table of log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    time: usize,
    message: usize,
    services: Vec<usize>,
}

impl Columns {
    /// None if the header is not one of log lines.
    pub(super) fn of(header: &csv::StringRecord) -> Option<Self> {
        let names: Vec<String> = header
            .iter()
            .map(|n| n.trim().to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect())
            .collect();
        let find = |wanted: &[&str]| wanted.iter().find_map(|w| names.iter().position(|n| n == w));
        Some(Self {
            time: find(&["timeunixnano", "timestamp", "time", "ts", "datetime"])?,
            message: find(&["message", "msg", "log", "body"])?,
            services: ["service", "servicename", "podname", "pod", "containername", "container", "app"]
                .iter()
                .filter_map(|w| names.iter().position(|n| n == w))
                .collect(),
        })
    }
}

/// Counts the rows of a table. `known` are services by which pods are known; `otherwise` wrote what names nobody.
///
/// # Errors
/// If it cannot be read or a row is none.
pub(super) fn table(
    logs: &mut Logs,
    reader: &mut csv::Reader<std::fs::File>,
    columns: &Columns,
    known: &[&str],
    otherwise: &str,
    injected_at: f64,
) -> csv::Result<()> {
    let (mut masker, mut line, mut message) = (Masker::default(), Line::default(), Vec::new());
    for record in reader.records() {
        let record = record?;
        let cell = |i: usize| record.get(i).unwrap_or("");
        let Some(at) = time(cell(columns.time).as_bytes()) else { continue };
        let named = columns.services.iter().find_map(|i| service(cell(*i), known));
        message.clear();
        message.extend(cell(columns.message).bytes().take(MAX_LINE + 1));
        unquote(&mut message);
        masker.mask(&message, &mut line);
        logs.add(named.unwrap_or(otherwise), at, line.text(), severity(&message).unwrap_or(0), injected_at);
    }
    Ok(())
}

/// Takes quoting away: what wraps lines into JSON, some more than once, hides the level that a line itself tells.
fn unquote(line: &mut Vec<u8>) {
    line.retain(|b| *b != b'\\');
}

/// The service that a pod, a container or a file is named after: the longest name that it begins with.
pub(super) fn service<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let begins = |service: &&&str| {
        name.strip_prefix(**service).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.', '_']))
    };
    known.iter().filter(begins).max_by_key(|s| s.len()).copied()
}

/// Seconds since 1970 of the first time in a line: a number of seconds, milli-, micro- or nanoseconds at its head, or a
/// date with a time of day, which is UTC if it does not say.
fn time(line: &[u8]) -> Option<f64> {
    /// What stands further back is not when it was written.
    const HEAD: usize = 256;
    let head = &line[..line.len().min(HEAD)];
    let number = head.split(|b| !b.is_ascii_digit() && *b != b'.').next().unwrap_or_default();
    if let Some(n) = std::str::from_utf8(number).ok().and_then(|n| n.parse::<f64>().ok()) {
        // From 2001 on; a unit finer by a thousand makes the number as much larger.
        let units = [1e9, 1e12, 1e15, 1e18].iter().zip([1.0, 1e3, 1e6, 1e9]);
        let unit = units.rev().find(|(least, _)| n >= **least).map(|(_, unit)| unit);
        if let Some(unit) = unit.filter(|_| n < 1e20) {
            return Some(n / unit);
        }
    }
    (0..head.len()).filter(|i| head[*i].is_ascii_digit()).find_map(|i| {
        let rest = &line[i..];
        let zoned = || rest.get(..19).and_then(|local| Some(rfc3339(&[local, b"Z"].concat())?.0));
        rfc3339(rest).map(|(ms, _)| ms).or_else(zoned).map(|ms| ms as f64 / 1000.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_logs_write_them() {
        let check = |line: &str, at: Option<f64>| assert_eq!(time(line.as_bytes()), at, "{line}");
        check("1661145522.5 error", Some(1_661_145_522.5));
        check("1661145522908 error", Some(1_661_145_522.908));
        check("1661145522908318000", Some(1_661_145_522.908_318));
        check("2022-08-22T05:18:42Z ok", Some(1_661_145_522.0));
        check("{\"time\":\"2022-08-22T07:18:42+02:00\"}", Some(1_661_145_522.0));
        check("INFO 2022-08-22 05:18:42,908 [main] ok", Some(1_661_145_522.0));
        check("17 apples", None);
        check("", None);
    }

    #[test]
    fn a_wrapped_line_tells_its_own_level() {
        let check = |line: &str, level: Option<u8>| {
            let mut bytes = line.as_bytes().to_vec();
            unquote(&mut bytes);
            assert_eq!(severity(&bytes), level, "{line}");
        };
        check(r#"{"log":"{\"message\":\"a failed bike\",\"severity\":\"info\"}\n"}"#, Some(9));
        check(r#"{"log":"{\"message\":\"a bike\",\"severity\":\"error\"}\n"}"#, Some(17));
    }

    #[test]
    fn a_pod_is_named_after_its_service() {
        let known = ["cart", "cart-db", "shop"];
        assert_eq!(service("cart-db-6cfdd55578-gfj6q", &known), Some("cart-db"));
        assert_eq!(service("cart-6cfdd55578", &known), Some("cart"));
        assert_eq!(service("cartoon", &known), None);
    }

    #[test]
    fn what_is_unusual_in_a_log() {
        let check = |before: u64, since: u64, severity: u8, least: f64, most: f64| {
            let mut logs = Logs::default();
            // Another statement shows from when to when there is a log.
            (0..600).for_each(|s| logs.add("a", f64::from(s), "tick", 9, 300.0));
            (0..before).for_each(|i| logs.add("a", i as f64 % 300.0, "x", severity, 300.0));
            (0..since).for_each(|i| logs.add("a", 300.0 + i as f64 % 300.0, "x", severity, 300.0));
            let nats = logs.evidence("a", 300.0, &Tuning::DEFAULT).map_or(0.0, |e| e.strength);
            assert!((least..=most).contains(&nats), "{before} then {since} of severity {severity}: {nats}");
        };
        check(100, 100, 9, 0.0, 0.1);
        check(0, 1, 17, 0.0, 1.0);
        check(0, 50, 17, 10.0, 30.0);
        check(0, 50, 0, 10.0, 30.0);
        check(100, 0, 9, 1.0, 4.0);
        check(100, 1000, 9, 4.0, 12.0);
    }
}
