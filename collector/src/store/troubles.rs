//! Troubles: sources and series that failed, or work again.

use fieldmouse_core::wire;

use super::Trouble;
use super::engine::Result;
use super::value::{Row, Value, values};
use super::write::{Origin, id, int};
use crate::intake::decode::Entry;

/// The event's number, then [`columns`].
pub(super) const PUT: &str = "INSERT INTO troubles (event, device, received_at, at, severity, source, series, verdict, why,
    text, epoch, seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
    ON CONFLICT (event) DO UPDATE SET device = excluded.device, received_at = excluded.received_at, at = excluded.at,
    severity = excluded.severity, source = excluded.source, series = excluded.series, verdict = excluded.verdict,
    why = excluded.why, text = excluded.text, epoch = excluded.epoch, seq = excluded.seq";

pub(super) fn columns(origin: Origin, entry: &Entry, t: &wire::Trouble, at: u64) -> Vec<Value> {
    values![
        origin.device,
        int(origin.received_ms),
        int(at),
        entry.severity,
        t.source.as_str(),
        t.series.as_ref().map(ToString::to_string).unwrap_or_default(),
        t.verdict,
        t.why,
        t.text.as_str(),
        id(origin.epoch),
        int(entry.seq)
    ]
    .into()
}

pub(super) fn row(r: &Row) -> Result<Trouble> {
    Ok(Trouble {
        site: r.get("site")?,
        node: r.get("node")?,
        epoch: r.get("epoch")?,
        seq: r.get("seq")?,
        at: r.get("at")?,
        severity: r.get("severity")?,
        source: r.get("source")?,
        series: r.get("series")?,
        verdict: r.get("verdict")?,
        why: r.get("why")?,
        text: r.get("text")?,
    })
}
