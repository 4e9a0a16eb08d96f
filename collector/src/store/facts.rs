//! Facts: what happened on devices, as they told it.

use fieldmouse_core::wire;

use super::Fact;
use super::engine::Result;
use super::value::{Row, Value, values};
use super::write::{Origin, id, int};
use crate::intake::decode::Entry;

/// The event's number, then [`columns`].
pub(super) const PUT: &str = "INSERT INTO facts (event, device, received_at, at, severity, kind, text, about, since_ms,
    count, example, epoch, seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
    ON CONFLICT (event) DO UPDATE SET device = excluded.device, received_at = excluded.received_at, at = excluded.at,
    severity = excluded.severity, kind = excluded.kind, text = excluded.text, about = excluded.about,
    since_ms = excluded.since_ms, count = excluded.count, example = excluded.example, epoch = excluded.epoch,
    seq = excluded.seq";

pub(super) fn columns(origin: Origin, entry: &Entry, f: &wire::Fact, at: u64) -> Vec<Value> {
    let detail = f.detail.clone().unwrap_or_default();
    values![
        origin.device,
        int(origin.received_ms),
        int(at),
        entry.severity,
        f.kind.as_str(),
        f.text.as_str(),
        detail.about.as_str(),
        detail.since_ms,
        detail.count,
        detail.example.as_str(),
        id(origin.epoch),
        int(entry.seq)
    ]
    .into()
}

pub(super) fn row(r: &Row) -> Result<Fact> {
    Ok(Fact {
        site: r.get("site")?,
        node: r.get("node")?,
        epoch: r.get("epoch")?,
        seq: r.get("seq")?,
        at: r.get("at")?,
        severity: r.get("severity")?,
        kind: r.get("kind")?,
        text: r.get("text")?,
        about: r.get("about")?,
        since_ms: r.get("since_ms")?,
        count: r.get("count")?,
        example: r.get("example")?,
    })
}
