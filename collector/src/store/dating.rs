//! When things happened. A device may not know the time when it speaks, and tell later how to date what it said.

use fieldmouse_core::wire::{self, Clock, Kind, phase};

use super::engine::{Engine, Result, all};
use super::value::values;
use super::write::{id, int};
use crate::intake::decode::Entry;

/// A device's clock may be ahead by a time zone, not by a year.
const AHEAD_MS: u64 = 24 * 3600 * 1000;

fn sane(wall_ms: u64, received_ms: u64) -> bool {
    wall_ms <= received_ms.saturating_add(AHEAD_MS)
}

/// When it happened: by the device's clock where that was ever set and is not absurd, else when it arrived.
pub(super) fn happened(entry: &Entry, received_ms: u64) -> u64 {
    match entry.wall_ms {
        Some(wall) if entry.clock != Clock::Unset as u8 && sane(wall, received_ms) => wall,
        _ => received_ms,
    }
}

/// The same for an event of the outbox, which may have been dated by a [`wire::ClockSet`] that came before it: each has
/// the first and last number it dates, and the boot they count from.
pub(super) fn dated(clock_sets: &[(u64, u64, u64)], entry: &Entry, received_ms: u64) -> u64 {
    if entry.clock >= Clock::Synced as u8 {
        return happened(entry, received_ms);
    }
    let set = clock_sets.iter().find(|(first, last, _)| (*first..=*last).contains(&entry.seq));
    set.map_or_else(|| happened(entry, received_ms), |(.., boot)| boot.saturating_add(entry.mono_ms))
}

/// Dates what was told before the device's clock was set; false if the date is absurd.
pub(super) fn set(db: &mut dyn Engine, device: i64, said: &wire::ClockSet, received_ms: u64) -> Result<bool> {
    if !sane(said.boot_ms, received_ms) || said.first == 0 || said.first > said.last {
        return Ok(false);
    }
    let span = values![device, id(said.epoch), int(said.first), int(said.last)];
    let (boot, [device_, epoch, first, last]) = (int(said.boot_ms), span.clone());
    let dated = [device_, epoch, first, last, boot.into()];
    db.execute(
        "INSERT INTO clock_sets (device, epoch, first, last, boot_ms) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (device, epoch, first) DO UPDATE SET last = excluded.last, boot_ms = excluded.boot_ms",
        &dated,
    )?;
    // A device may say that it has been up for ever.
    db.execute(
        "UPDATE events SET at = CASE WHEN mono_ms > 9223372036854775807 - ?5 THEN 9223372036854775807 ELSE ?5 + mono_ms END
         WHERE device = ?1 AND epoch = ?2 AND seq BETWEEN ?3 AND ?4 AND clock < 2",
        &dated,
    )?;
    for table in ["facts", "troubles", "forecasts"] {
        let sql = format!(
            "UPDATE {table} SET at = (SELECT events.at FROM events WHERE events.id = {table}.event)
             WHERE event IN (SELECT id FROM events WHERE device = ?1 AND epoch = ?2 AND seq BETWEEN ?3 AND ?4)"
        );
        db.execute(&sql, &span)?;
    }
    let touched: Vec<i64> = all(
        db,
        "SELECT DISTINCT episode FROM events WHERE device = ?1 AND epoch = ?2 AND seq BETWEEN ?3 AND ?4
         AND episode IS NOT NULL",
        &span,
        |r| r.get("episode"),
    )?;
    touched.into_iter().try_for_each(|episode| redate(db, device, id(said.epoch), episode))?;
    Ok(true)
}

/// An episode's times are those of its events.
fn redate(db: &mut dyn Engine, device: i64, epoch: i64, episode: i64) -> Result<()> {
    let told: Vec<Option<(i64, wire::Episode)>> = all(
        db,
        "SELECT at, body FROM events WHERE device = ?1 AND epoch = ?2 AND episode = ?3 AND kind = ?4 ORDER BY seq",
        &values![device, epoch, episode, Kind::Episode as u16],
        |r| {
            Ok(wire::read_body(&r.get::<Vec<u8>>("body")?)
                .ok()
                .zip(r.get("at").ok())
                .map(|(body, at)| (at, body)))
        },
    )?;
    let told: Vec<(i64, wire::Episode)> = told.into_iter().flatten().collect();
    let (Some(opened), Some((updated, last))) = (told.iter().map(|t| t.0).min(), told.last()) else {
        return Ok(());
    };
    let onset = told.iter().map(|(at, e)| at - i64::from(e.since_ms)).min().unwrap_or(opened);
    let closed = (last.phase == phase::CLOSED).then_some(*updated);
    db.execute(
        "UPDATE episodes SET onset_at = ?4, opened_at = ?5, updated_at = ?6,
         closed_at = CASE WHEN closing = 1 THEN ?7 ELSE closed_at END WHERE device = ?1 AND epoch = ?2 AND id = ?3",
        &values![device, epoch, episode, onset, opened, *updated, closed],
    )?;
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;
    use fieldmouse_core::wire::phase;

    use super::*;
    use crate::intake::decode;
    use crate::sample::{self, NOON, Sample};
    use crate::store::tests::Open;
    use crate::store::{OpenFilter, Store};

    const EPOCH: u64 = 7;
    const BOOT: u64 = NOON - 100_000;

    fn told() -> [Sample; 5] {
        let said = wire::ClockSet { epoch: EPOCH, first: 1, last: 3, boot_ms: BOOT };
        [
            sample::fact(1, "note", "before anybody knew the time").undated(10_000),
            sample::episode(2, 9, phase::OPENED, 5_000).undated(20_000),
            sample::episode(3, 9, phase::UPDATED, 15_000).undated(30_000),
            sample::raw(4, Kind::ClockSet, sample::body(&said)),
            sample::episode(5, 9, phase::CLOSED, 90_000).at(BOOT + 105_000),
        ]
    }

    pub(in crate::store) fn what_came_before_the_clock_was_set_is_dated_whatever_comes_first(open: Open<'_>) {
        for order in [[0, 1, 2, 3, 4], [3, 0, 1, 2, 4], [4, 3, 2, 1, 0], [1, 3, 4, 0, 2], [0, 1, 2, 4, 3]] {
            let store = open();
            for at in order {
                let payload = Bytes::from(sample::message("press-1", EPOCH, &[told()[at].clone()]));
                let topic = "fm/1/hall/press-1/event";
                store.commit(&[decode::arrival("fm", topic, &payload, false, NOON + 60_000)]).unwrap();
            }
            let fact = store.facts(None, 10).unwrap().remove(0);
            assert_eq!(fact.at, BOOT + 10_000, "{order:?}");
            let e = store.episodes(&OpenFilter { limit: 10, ..OpenFilter::default() }).unwrap().remove(0);
            let times = [e.onset_at, e.opened_at, e.updated_at, e.closed_at.unwrap_or(0)];
            let expected = [BOOT + 15_000, BOOT + 20_000, BOOT + 105_000, BOOT + 105_000];
            assert_eq!(times, expected, "{order:?}");
        }
    }

    pub(in crate::store) fn an_absurd_date_is_refused(open: Open<'_>) {
        let store = open();
        for (seq, boot_ms, first, last) in
            [(1, u64::MAX, 1, 1), (2, NOON * 2, 1, 1), (3, BOOT, 0, 3), (4, BOOT, 3, 2)]
        {
            let said = wire::ClockSet { epoch: EPOCH, first, last, boot_ms };
            let items = [sample::raw(seq, Kind::ClockSet, sample::body(&said))];
            let payload = Bytes::from(sample::message("press-1", EPOCH, &items));
            let arrival = decode::arrival("fm", "fm/1/hall/press-1/event", &payload, false, NOON);
            assert_eq!(store.commit(&[arrival]).unwrap().malformed, ["body"], "{said:?}");
        }
    }
}
