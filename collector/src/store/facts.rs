//! Facts: what happened on devices, as they told it.

use fieldmouse_core::wire;
use rusqlite::{Connection, Result, Row, Transaction, params};

use super::Fact;
use super::read::{all, unsigned};
use super::write::{Origin, id, int};
use crate::intake::decode::Entry;

pub(super) fn put(
    tx: &Transaction<'_>,
    origin: Origin,
    event: i64,
    entry: &Entry,
    f: &wire::Fact,
    at: u64,
) -> Result<()> {
    let detail = f.detail.clone().unwrap_or_default();
    tx.prepare_cached(
        "INSERT OR REPLACE INTO facts (event, device, received_at, at, severity, kind, text, about, since_ms, count,
         example, epoch, seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        event,
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
    ])?;
    Ok(())
}

/// Newest first.
pub(super) fn list(db: &Connection, node: Option<&str>, limit: u32) -> Result<Vec<Fact>> {
    all(
        db,
        "SELECT d.site, d.node, f.* FROM facts f JOIN devices d ON d.id = f.device
         WHERE ?1 IS NULL OR d.node = ?1 ORDER BY f.at DESC, f.event DESC LIMIT ?2",
        params![node, limit],
        row,
    )
}

pub(super) fn row(r: &Row<'_>) -> Result<Fact> {
    Ok(Fact {
        site: r.get("site")?,
        node: r.get("node")?,
        epoch: unsigned(r, "epoch")?,
        seq: unsigned(r, "seq")?,
        at: unsigned(r, "at")?,
        severity: r.get("severity")?,
        kind: r.get("kind")?,
        text: r.get("text")?,
        about: r.get("about")?,
        since_ms: r.get("since_ms")?,
        count: r.get("count")?,
        example: r.get("example")?,
    })
}
