//! Forecasts: one row for each series that is, or was, expected to reach its limit.

use fieldmouse_core::wire::{self, phase};

use super::engine::{self, Engine, Result};
use super::value::{Value, values};
use super::write::{Origin, id, int};
use super::{Forecast, OpenFilter};
use crate::intake::decode::Entry;

macro_rules! latest {
    ($($column:literal)*) => {
        concat!($(
            $column,
            " = CASE WHEN excluded.epoch <> forecasts.epoch OR excluded.seq > forecasts.seq THEN excluded.",
            $column, " ELSE forecasts.", $column, " END, "
        ),*)
    };
}

/// The event's number, then [`columns`]. What the highest number says holds; one that comes late changes nothing but when
/// it was first told.
pub(super) const PUT: &str = concat!(
    "INSERT INTO forecasts (event, device, series, epoch, seq, received_at, at, severity, phase, body, first_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (device, series) DO UPDATE SET ",
    latest!("event" "seq" "received_at" "at" "severity" "phase" "body"),
    "first_at = CASE WHEN excluded.epoch <> forecasts.epoch OR excluded.first_at < forecasts.first_at
     THEN excluded.first_at ELSE forecasts.first_at END, epoch = excluded.epoch"
);

pub(super) fn columns(origin: Origin, entry: &Entry, f: &wire::Forecast, at: u64) -> Vec<Value> {
    values![
        origin.device,
        f.key.to_string(),
        id(origin.epoch),
        int(entry.seq),
        int(origin.received_ms),
        int(at),
        entry.severity,
        f.phase,
        entry.raw.as_slice(),
        int(at)
    ]
    .into()
}

/// A device that made a new outbox tells anew what it expects.
pub(super) fn forget(db: &mut dyn Engine, device: i64, epoch: u64) -> Result<usize> {
    db.execute("DELETE FROM forecasts WHERE device = ?1 AND epoch <> ?2", &values![device, id(epoch)])
}

/// Those told last come first.
pub(super) fn all(db: &mut dyn Engine, filter: &OpenFilter) -> Result<Vec<Forecast>> {
    let found = engine::all(
        db,
        "SELECT d.site, d.node, f.at, f.severity, f.body FROM forecasts f JOIN devices d ON d.id = f.device
         WHERE (CAST(?1 AS BIGINT) IS NULL OR CASE WHEN f.phase <> ?2 THEN 1 ELSE 0 END = ?1)
         AND (CAST(?3 AS TEXT) IS NULL OR d.node = ?3) ORDER BY f.at DESC, f.series LIMIT ?4",
        &values![filter.open, phase::CLOSED, filter.node.as_deref(), filter.limit],
        |r| {
            let (site, node, at) = (r.get("site")?, r.get("node")?, r.get("at")?);
            let (severity, body) = (r.get("severity")?, wire::read_body(&r.get::<Vec<u8>>("body")?).ok());
            Ok(body.map(|body| Forecast { site, node, at, severity, body }))
        },
    )?;
    Ok(found.into_iter().flatten().collect())
}

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;
    use fieldmouse_core::metric;
    use fieldmouse_core::wire::Kind;

    use super::*;
    use crate::intake::decode;
    use crate::sample::{self, NOON, Sample};
    use crate::store::Kept;
    use crate::store::tests::Open;
    use crate::store::{Database, Store};

    const EPOCH: u64 = 7;

    fn forecast(seq: u64, mount: &str, phase: u8, expected_s: u32) -> Sample {
        sample::raw(
            seq,
            Kind::Forecast,
            sample::body(&sample::forecast(metric::FILESYSTEM_USED, mount, phase, expected_s)),
        )
    }

    /// What is open after these, each a message of its own: mount point and seconds.
    fn check(open: Open<'_>, items: &[(u64, Sample)], want: &[(&str, u32)]) -> Database {
        let store = open();
        for (epoch, item) in items {
            let payload = Bytes::from(sample::message("press-1", *epoch, std::slice::from_ref(item)));
            let arrival = decode::arrival("fm", "fm/1/hall/press-1/event", &payload, false, NOON + 1000);
            let done = store.commit(&[arrival]).unwrap();
            assert_eq!((done.stored, done.malformed.len()), (1, 0));
        }
        let filter = OpenFilter { open: Some(true), node: None, limit: 10 };
        let mut found: Vec<_> = store.forecasts(&filter).unwrap();
        found.sort_by(|a, b| a.body.key.cmp(&b.body.key));
        let found: Vec<_> = found.iter().map(|f| (f.body.key.label.as_str(), f.body.expected_s)).collect();
        assert_eq!(found, want);
        store
    }

    pub(in crate::store) fn the_latest_word_on_each_series_holds_in_any_order(open: Open<'_>) {
        let (opened, updated, closed) = (phase::OPENED, phase::UPDATED, phase::CLOSED);
        let told = |order: [usize; 3], last: u8| {
            let all = [(1, opened, 900), (2, updated, 500), (3, last, 100)];
            order.map(|i| (EPOCH, forecast(all[i].0, "/var", all[i].1, all[i].2)))
        };
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            check(open, &told(order, updated), &[("/var", 100)]);
            check(open, &told(order, closed), &[]);
        }
        let two = [(EPOCH, forecast(1, "/", opened, 5)), (EPOCH, forecast(2, "/var", opened, 6))];
        check(open, &two, &[("/", 5), ("/var", 6)]);
    }

    pub(in crate::store) fn a_new_outbox_begins_anew_and_an_old_one_changes_nothing(open: Open<'_>) {
        let old = || (EPOCH, forecast(9, "/var", phase::OPENED, 9));
        check(open, &[old(), (8, sample::fact(1, "note", "began anew"))], &[]);
        let new = (8, forecast(1, "/var", phase::OPENED, 1));
        let store =
            check(open, &[old(), new, (EPOCH, forecast(10, "/var", phase::UPDATED, 2))], &[("/var", 1)]);
        assert!(store.expire(Kept::Events, NOON + 2000).unwrap() > 0);
        let filter = OpenFilter { open: None, node: None, limit: 10 };
        assert!(store.forecasts(&filter).unwrap().is_empty());
    }
}
