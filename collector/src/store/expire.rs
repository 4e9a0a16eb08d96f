//! Retention: what is too old goes, a bounded piece at a time.

use super::engine::{Engine, Result};
use super::value::values;
use super::write::int;

/// Rows removed per table and call, so that intake never waits long for the retention.
pub(super) const ROWS: i64 = 2000;

/// Each removes of a table what is older than `?1`, at most `?2` rows. The newest event stays: the numbers of events must
/// never be given twice.
const STATEMENTS: &[&str] = &[
    "DELETE FROM forecasts WHERE (device, series) IN
     (SELECT device, series FROM forecasts WHERE received_at < ?1 LIMIT ?2)",
    "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE received_at < ?1
     AND id < (SELECT max(id) FROM events) LIMIT ?2)",
    "DELETE FROM facts WHERE event IN (SELECT event FROM facts WHERE received_at < ?1 LIMIT ?2)",
    "DELETE FROM troubles WHERE event IN (SELECT event FROM troubles WHERE received_at < ?1 LIMIT ?2)",
    "DELETE FROM episodes WHERE (device, epoch, id) IN (SELECT device, epoch, id FROM episodes
     WHERE closing <> 0 AND updated_at < ?1 LIMIT ?2)",
    "DELETE FROM losses WHERE (device, epoch, first, count) IN (SELECT device, epoch, first, count
     FROM losses WHERE declared_at < ?1 LIMIT ?2)",
    "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE received_at < ?1 LIMIT ?2)",
    // Those that nobody has asked for lately.
    "DELETE FROM capsules WHERE id IN (SELECT id FROM capsules WHERE asked_at < ?1 LIMIT ?2)",
];

/// Removes a piece of what is older than `before_ms`; returns how many rows went.
pub(super) fn piece(db: &mut dyn Engine, before_ms: u64) -> Result<usize> {
    let mut gone = 0;
    for sql in STATEMENTS {
        gone += db.execute(sql, &values![int(before_ms), ROWS])?;
    }
    Ok(gone)
}
