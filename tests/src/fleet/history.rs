//! Small histories as people would write them down, one happening a row, for tests.
//!
//! `00:30 hall/gw lost`: when (minutes and seconds, or hours too, or `2d 03:00:00`), who, what:
//!
//! | what | is told as |
//! |---|---|
//! | `is KEY=VALUE,… FROM>TO …` | a birth with these labels, and with who calls whom |
//! | `online`, `lost` | status |
//! | `moved SERIES SECONDS` | an episode of this series that lasts so long |
//! | `fact KIND SEVERITY TEXT` | a fact |

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::MONDAY;

/// Lines of `EVENTS.jsonl`, in the order of their time.
///
/// # Panics
/// If a row is none.
#[must_use]
pub fn lines(history: &str) -> Vec<String> {
    let mut told: Vec<(u64, Value)> = Vec::new();
    let mut seqs: BTreeMap<String, u64> = BTreeMap::new();
    for row in history.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let wrong = |what: &str| -> ! { panic!("`{row}`: {what}") };
        let mut words = row.split_whitespace().peekable();
        let mut at = MONDAY;
        if let Some(days) = words.peek().and_then(|w| w.strip_suffix('d')) {
            at += 86_400_000 * days.parse::<u64>().unwrap_or_else(|_| wrong("no number of days"));
            words.next();
        }
        at += time(words.next().unwrap_or_default()).unwrap_or_else(|| wrong("no time"));
        let Some((site, node)) = words.next().and_then(|w| w.split_once('/')) else { wrong("no site/node") };
        let who = format!("{site}/{node}");
        let mut say = |at: u64, kind: &str, rev: u8, severity: u8, body: Value| {
            let numbered = !["status", "birth"].contains(&kind);
            let seq = seqs.entry(who.clone()).or_default();
            *seq += u64::from(numbered);
            let line = json!({
                "site": site, "node": node, "epoch": "7", "seq": if numbered { *seq } else { 0 }, "mono_ms": at - MONDAY + 1000,
                "wall_ms": at, "clock": "synced", "severity": severity, "kind": kind, "rev": rev, "received_ms": at, "body": body,
            });
            told.push((at, line));
        };
        match (words.next().unwrap_or_default(), words.collect::<Vec<_>>().as_slice()) {
            ("is", says) => say(at, "birth", 2, 9, birth(node, says)),
            (state @ ("online" | "lost"), []) => {
                say(at, "status", 1, 9, json!({"state": state, "version": "0.1.0"}));
            }
            ("moved", [series, seconds]) => {
                let lasts = 1000 * seconds.parse::<u64>().unwrap_or_else(|_| wrong("no number of seconds"));
                say(at, "episode", 3, 13, episode(series, at, "opened", 0));
                say(at + lasts, "episode", 3, 9, episode(series, at, "closed", lasts));
            }
            ("fact", [kind, severity, text @ ..]) => {
                let severity = severity.parse().unwrap_or_else(|_| wrong("no severity"));
                let body = json!({"kind": kind, "text": text.join(" "), "detail": null});
                say(at, "fact", 2, severity, body);
            }
            _ => wrong("nothing that can be told"),
        }
    }
    told.sort_by_key(|(at, _)| *at);
    told.into_iter().map(|(_, line)| line.to_string()).collect()
}

/// `05:30` or `03:05:30`, in milliseconds.
fn time(text: &str) -> Option<u64> {
    let parts: Vec<u64> = text.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let seconds = match parts.as_slice() {
        [minutes, seconds] => 60 * minutes + seconds,
        [hours, minutes, seconds] => 3600 * hours + 60 * minutes + seconds,
        _ => return None,
    };
    Some(1000 * seconds)
}

fn episode(series: &str, at: u64, phase: &str, lasted_ms: u64) -> Value {
    let contributor = json!({
        "series": series, "actual": 9.0, "expected": 1.0, "low": 0.5, "high": 1.5, "unit": "1", "share": 100,
    });
    json!({
        "id": at - MONDAY + 1, "phase": phase, "since_ms": lasted_ms, "lasted_ms": lasted_ms, "shape": "step", "group": group(series),
        "score": 0.8, "confidence": 90, "recurred": 0, "moved": 1, "contributors": [contributor], "culprit": null,
        "model": "0000000000000000", "spark": null, "without": null, "near": [],
    })
}

/// The part of the device that a series speaks of.
fn group(series: &str) -> &'static str {
    let key = fieldmouse_core::series::SeriesKey::named(series);
    fieldmouse_core::metric::Group::word(key.metric().group as u8)
}

fn birth(node: &str, says: &[&str]) -> Value {
    let (calls, labels): (Vec<&str>, Vec<&str>) = says.iter().partition(|word| word.contains('>'));
    let calls: Vec<(&str, &str)> = calls.iter().filter_map(|call| call.split_once('>')).collect();
    let edges: Vec<Value> = calls
        .iter()
        .filter(|(from, _)| !from.is_empty())
        .map(|(from, to)| json!({"from": from, "to": to}))
        .collect();
    // `>shop`: the service is here, and calls nobody.
    let here = calls.iter().map(|(from, to)| if from.is_empty() { to } else { from });
    let series: Vec<String> =
        here.map(|service| format!("span.count{{service.name={service},span.name=all}}")).collect();
    json!({
        "version": "0.1.0", "platform": "linux/x86_64", "os": "Debian 12", "host": node, "cpus": 4, "memory": 1 << 30,
        "model": "0000000000000000", "model_name": "", "tick_ms": 1000, "labels": labels.join(","), "series": series, "edges": edges,
    })
}
