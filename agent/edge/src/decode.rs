//! A wire message in JSON: what `decode` prints, what `replay --events` writes, and what people read in tests.

use fieldmouse_core::explain;
use fieldmouse_core::metric::Group;
use fieldmouse_core::quality::Verdict;
use fieldmouse_core::series::{NoData, SeriesKey};
use fieldmouse_core::shape::Shape;
use fieldmouse_core::wire::{self, DecodeError, Head, Item, Kind};
use serde_json::{Value, json};

/// Every item of a message, one JSON object each. A body that cannot be read is shown as bytes with the reason.
///
/// # Errors
/// If the bytes are no message.
pub fn message(payload: &[u8]) -> Result<Vec<Value>, DecodeError> {
    let (head, items) = wire::read(payload)?;
    items.map(|item| item.map(|item| event(&head, &item))).collect()
}

/// One item in JSON.
#[must_use]
pub fn event(head: &Head<'_>, item: &Item<'_>) -> Value {
    let kind = Kind::of(item.kind);
    let body = kind.ok_or(DecodeError::Body).and_then(|kind| body(kind, item.rev, item.body));
    json!({
        "node": head.node,
        "epoch": head.epoch.to_string(),
        "seq": item.seq,
        "mono_ms": item.mono_ms,
        "wall_ms": item.wall_ms,
        "clock": wire::Clock::word(item.clock),
        "severity": item.severity,
        "kind": kind.map_or_else(|| json!(item.kind), |k| json!(format!("{k:?}").to_lowercase())),
        "rev": item.rev,
        "body": body.unwrap_or_else(|e| json!({"unreadable": e.word(), "bytes": hex(item.body)})),
    })
}

/// Who calls whom.
pub(crate) fn edge(edge: &wire::Edge) -> Value {
    json!({"from": edge.from.as_str(), "to": edge.to.as_str()})
}

fn body(kind: Kind, rev: u8, bytes: &[u8]) -> Result<Value, DecodeError> {
    Ok(match kind {
        Kind::Status => {
            let s: wire::Status = wire::read_body(bytes)?;
            json!({"state": wire::state::word(s.state), "version": s.version.as_str()})
        }
        Kind::Birth => {
            let (b, series, edges) = wire::read_birth(rev, bytes)?;
            json!({
                "version": b.version.as_str(), "platform": b.platform.as_str(), "os": b.os.as_str(),
                "host": b.host.as_str(), "cpus": b.cpus, "memory": b.memory, "model": hex(&b.model),
                "model_name": b.model_name.as_str(), "tick_ms": b.tick_ms, "labels": b.labels.as_str(),
                "series": series.map(|k| k.to_string()).collect::<Vec<_>>(),
                "edges": edges.map(|e| edge(&e)).collect::<Vec<_>>(),
            })
        }
        Kind::Beat => {
            let (beat, alarms) = wire::read_beat(rev, bytes)?;
            let mut value = serde_json::to_value(beat).unwrap_or_default();
            value["alarms"] = serde_json::to_value(alarms).unwrap_or_default();
            value
        }
        Kind::Ack => {
            let (a, from) = wire::read_ack(rev, bytes)?;
            json!({
                "epoch": a.epoch.to_string(), "seq": a.seq,
                "collector": from.as_deref(),
            })
        }
        Kind::Ask => {
            let a: wire::Ask = wire::read_body(bytes)?;
            json!({"episode": a.episode, "at": a.at, "by": a.by.as_str()})
        }
        Kind::Piece => {
            let p: wire::Piece<'_> = wire::read_body(bytes)?;
            json!({
                "episode": p.episode, "why": wire::piece::word(p.why), "retry_s": p.retry_s, "of": p.whole.0,
                "sum": p.whole.1, "at": p.at, "bytes": p.bytes.len(),
            })
        }
        Kind::Episode => episode(&wire::read_body(bytes)?),
        Kind::Forecast => forecast(&wire::read_body(bytes)?),
        Kind::Fact => {
            let f: wire::Fact = wire::read_body(bytes)?;
            json!({"kind": f.kind.as_str(), "text": f.text.as_str(), "detail": f.detail.as_ref().map(|d| json!({
                "about": d.about.as_str(), "since_ms": d.since_ms, "count": d.count, "example": d.example.as_str(),
            }))})
        }
        Kind::Trouble => {
            let t: wire::Trouble = wire::read_body(bytes)?;
            json!({
                "source": t.source.as_str(), "series": t.series.as_ref().map(SeriesKey::to_string),
                "verdict": Verdict::word(t.verdict), "why": NoData::of(t.why).map(NoData::word), "text": t.text.as_str(),
            })
        }
        Kind::Loss => {
            let l: wire::Loss = wire::read_body(bytes)?;
            json!({"first": l.first, "count": l.count, "reason": wire::loss::word(l.reason)})
        }
        Kind::ClockSet => {
            let c: wire::ClockSet = wire::read_body(bytes)?;
            json!({"epoch": c.epoch.to_string(), "first": c.first, "last": c.last, "boot_ms": c.boot_ms})
        }
    })
}

/// An episode in JSON, with its sentence.
#[must_use]
pub fn episode(e: &wire::Episode) -> Value {
    let contributors: Vec<Value> = e
        .contributors
        .iter()
        .map(|c| {
            json!({
                "series": c.key.to_string(), "actual": c.actual, "expected": c.expected, "low": c.low,
                "high": c.high, "unit": c.key.metric().unit, "share": c.share,
            })
        })
        .collect();
    json!({
        "id": e.id,
        "phase": wire::phase::word(e.phase),
        "since_ms": e.since_ms,
        "lasted_ms": e.lasted_ms,
        "shape": Shape::word(e.shape),
        "group": Group::word(e.group),
        "score": e.score,
        "confidence": e.confidence,
        "recurred": e.recurred,
        "moved": e.moved,
        "contributors": contributors,
        "culprit": e.culprit.as_ref().map(|c| json!({
            "name": c.name.as_str(), "pid": c.pid, "count": c.count, "amount": c.amount,
        })),
        "model": hex(&e.model),
        "spark": e.spark.as_ref().map(|s| json!({
            "step_ms": s.step_ms, "onset_ms": s.onset_ms, "low": s.low, "high": s.high, "points": s.points.as_slice(),
        })),
        "without": e.without.map(|w| json!({
            "omitted": wire::omitted::word(w.omitted), "score": w.score, "without": w.without,
        })),
        "near": e.near.iter().map(|n| json!({
            "kind": n.kind.as_str(), "before_ms": n.before_ms, "text": n.text.as_str(),
        })).collect::<Vec<_>>(),
        "sentence": explain::sentence(e).to_string(),
    })
}

/// A forecast in JSON, with its sentence.
#[must_use]
pub fn forecast(f: &wire::Forecast) -> Value {
    json!({
        "series": f.key.to_string(),
        "unit": f.key.metric().unit,
        "phase": wire::phase::word(f.phase),
        "limit": f.limit,
        "level": f.level,
        "per_day": f.per_day,
        "whole": f.whole,
        "expected_s": f.expected_s,
        "early_s": f.early_s,
        "late_s": f.late_s,
        "sentence": explain::expected(f).to_string(),
    })
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
