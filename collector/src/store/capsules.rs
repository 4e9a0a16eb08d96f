//! Capsules on their way here. What came stays, so that a question after any failure goes on where it ended; what comes
//! without a question is dropped.

use fieldmouse_core::wire::piece;

use super::engine::{Engine, Result, all, one};
use super::value::values;
use super::write::{id, int};
use super::{Capsule, Committed, Wanted};
use crate::intake::decode::{Body, Message, Piece};

/// No device keeps a longer one.
const LONGEST: u32 = 32 << 20;
/// A question is repeated after so long without an answer.
const PATIENCE_MS: u64 = 5000;
/// What was damaged on its way is fetched anew after so long.
const DAMAGED_MS: u64 = 60_000;
/// Beside the numbers that devices give: what came was not what had been sent.
const DAMAGED: u8 = 255;

/// A row.
struct Known {
    id: i64,
    asked_at: u64,
    why: u8,
    retry_at: u64,
    whole: (u32, u32),
    is_whole: bool,
}

fn known(db: &mut dyn Engine, w: &Wanted) -> Result<Option<Known>> {
    one(
        db,
        "SELECT id, asked_at, why, retry_at, length, sum, is_whole FROM capsules
         WHERE site = ?1 AND node = ?2 AND epoch = ?3 AND episode = ?4",
        &values![&w.site, &w.node, id(w.epoch), id(w.episode)],
        |r| {
            Ok(Known {
                id: r.get("id")?,
                asked_at: r.get("asked_at")?,
                why: r.get("why")?,
                retry_at: r.get("retry_at")?,
                whole: (r.get("length")?, r.get("sum")?),
                is_whole: r.get("is_whole")?,
            })
        },
    )
}

/// Bytes that are here, without a gap.
fn here(db: &mut dyn Engine, capsule: i64) -> Result<u32> {
    let sum = "SELECT CAST(coalesce(sum(length(bytes)), 0) AS BIGINT) AS bytes FROM capsule_pieces WHERE capsule = ?1";
    Ok(one(db, sum, &values![capsule], |r| r.get("bytes"))?.unwrap_or(0))
}

fn bytes(db: &mut dyn Engine, capsule: i64) -> Result<Vec<u8>> {
    let sql = "SELECT bytes FROM capsule_pieces WHERE capsule = ?1 ORDER BY at";
    let pieces: Vec<Vec<u8>> = all(db, sql, &values![capsule], |r| r.get("bytes"))?;
    Ok(pieces.concat())
}

fn begin_anew(db: &mut dyn Engine, capsule: i64, whole: (u32, u32)) -> Result<()> {
    db.execute("DELETE FROM capsule_pieces WHERE capsule = ?1", &values![capsule])?;
    db.execute(
        "UPDATE capsules SET length = ?2, sum = ?3 WHERE id = ?1",
        &values![capsule, whole.0, whole.1],
    )?;
    Ok(())
}

fn put_off(db: &mut dyn Engine, capsule: i64, why: u8, until: u64) -> Result<()> {
    db.execute(
        "UPDATE capsules SET why = ?2, retry_at = ?3 WHERE id = ?1",
        &values![capsule, why, int(until)],
    )?;
    Ok(())
}

/// Somebody wants a capsule: how far it is, and what is to be asked of the device, if anything.
pub(super) fn ask(db: &mut dyn Engine, mut wanted: Wanted, now: u64) -> Result<(Capsule, Option<Wanted>)> {
    let found = known(db, &wanted)?;
    if let Some(k) = &found
        && k.is_whole
    {
        return Ok((Capsule::Whole(bytes(db, k.id)?), None));
    }
    if let Some(k) = &found
        && k.why != piece::HERE
        && now < k.retry_at
    {
        return Ok((Capsule::PutOff { why: k.why, retry_s: (k.retry_at - now).div_ceil(1000) }, None));
    }
    wanted.at = found.as_ref().map_or(Ok(0), |k| here(db, k.id))?;
    let under_way = Capsule::UnderWay { have: wanted.at, of: found.as_ref().map_or(0, |k| k.whole.0) };
    if found.as_ref().is_some_and(|k| k.why == piece::HERE && now < k.asked_at + PATIENCE_MS) {
        return Ok((under_way, None));
    }
    db.execute(
        "INSERT INTO capsules (site, node, epoch, episode, asked_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (site, node, epoch, episode) DO UPDATE SET asked_at = excluded.asked_at, why = 0",
        &values![&wanted.site, &wanted.node, id(wanted.epoch), id(wanted.episode), int(now)],
    )?;
    Ok((under_way, Some(wanted)))
}

/// Takes in the pieces of a message.
pub(super) fn arrived(db: &mut dyn Engine, m: &Message, done: &mut Committed) -> Result<()> {
    for entry in &m.items {
        let Body::Piece(p) = &entry.body else { continue };
        let (site, node) = (m.site.clone(), m.node.clone());
        let wanted = Wanted { site, node, epoch: m.epoch, episode: p.episode, at: 0 };
        if let Some(k) = known(db, &wanted)?.filter(|k| !k.is_whole)
            && let Some(at) = take(db, &k, p, m.received_ms)?
        {
            done.wanted.push(Wanted { at, ..wanted });
        }
    }
    Ok(())
}

/// Takes in a piece. Returns from where on to ask for the next.
fn take(db: &mut dyn Engine, k: &Known, p: &Piece, now: u64) -> Result<Option<u32>> {
    if p.why != piece::HERE {
        put_off(db, k.id, p.why, now + 1000 * u64::from(p.retry_s))?;
        return Ok(None);
    }
    let mut have = here(db, k.id)?;
    if p.whole != k.whole {
        begin_anew(db, k.id, p.whole)?;
        have = 0;
    }
    let end = p.at.saturating_add(u32::try_from(p.bytes.len()).unwrap_or(u32::MAX));
    if p.whole.0 > LONGEST || end > p.whole.0 || (p.bytes.is_empty() && p.at < p.whole.0) {
        begin_anew(db, k.id, (0, 0))?;
        put_off(db, k.id, DAMAGED, now + DAMAGED_MS)?;
        return Ok(None);
    }
    if p.at != have {
        // Of an earlier question, or of another file: what comes next is asked for from where we are.
        return Ok((p.at > have).then_some(have));
    }
    db.execute(
        "INSERT INTO capsule_pieces (capsule, at, bytes) VALUES (?1, ?2, ?3)
         ON CONFLICT (capsule, at) DO UPDATE SET bytes = excluded.bytes",
        &values![k.id, p.at, p.bytes.as_slice()],
    )?;
    // It gets on, so nobody has to ask once more.
    db.execute(
        "UPDATE capsules SET asked_at = ?2 WHERE id = ?1 AND asked_at < ?2",
        &values![k.id, int(now)],
    )?;
    if end < p.whole.0 {
        return Ok(Some(end));
    }
    if crc32fast::hash(&bytes(db, k.id)?) == p.whole.1 {
        db.execute("UPDATE capsules SET is_whole = 1 WHERE id = ?1", &values![k.id])?;
    } else {
        begin_anew(db, k.id, (0, 0))?;
        put_off(db, k.id, DAMAGED, now + DAMAGED_MS)?;
    }
    Ok(None)
}

/// Why it is put off, in words.
pub(crate) fn word(why: u8) -> &'static str {
    if why == DAMAGED { "it was damaged on its way" } else { piece::word(why) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::intake::decode::{self, Arrival};
    use crate::sample;
    use crate::store::Kept;
    use crate::store::tests::Open;
    use crate::store::{Database, Store};
    use fieldmouse_core::wire::{self, Kind};

    const EPOCH: u64 = 77;
    const FILE: &[u8] = b"forty bytes that stand for a whole file.";

    fn ask(store: &Database, now: u64) -> (String, Option<u32>) {
        let (site, node) = ("hall".to_owned(), "press-1".to_owned());
        let wanted = Wanted { site, node, epoch: EPOCH, episode: 7, at: 0 };
        let (capsule, wanted) = store.ask_capsule(wanted, now).unwrap();
        let told = match capsule {
            Capsule::Whole(bytes) => format!("{} bytes", bytes.len()),
            Capsule::UnderWay { have, of } => format!("{have} of {of}"),
            Capsule::PutOff { why, retry_s } => format!("{} {retry_s} s", word(why)),
        };
        (told, wanted.map(|w| w.at))
    }

    /// Commits a piece that arrives now; returns what is asked for next.
    fn give(
        store: &Database,
        now: u64,
        episode: u64,
        at: usize,
        to: usize,
        why: u8,
        file: &[u8],
    ) -> Option<u32> {
        let whole = (u32::try_from(file.len()).unwrap(), crc32fast::hash(FILE));
        let (at_, bytes) = (u32::try_from(at).unwrap(), &file[at..to]);
        let body = sample::body(&wire::Piece { episode, why, retry_s: 90, whole, at: at_, bytes });
        let payload = sample::message("press-1", EPOCH, &[sample::raw(0, Kind::Piece, body)]);
        let arrival = decode::arrival("fm", "fm/1/hall/press-1/capsule", &payload, false, now);
        assert!(matches!(arrival, Arrival::Message(_)), "{arrival:?}");
        let done = store.commit(&[arrival]).unwrap();
        assert!(done.wanted.len() <= 1 && done.acks.is_empty());
        done.wanted.first().map(|w| w.at)
    }

    pub(in crate::store) fn pieces_come_once_twice_late_or_never(open: Open<'_>) {
        let store = open();
        let here = piece::HERE;
        assert_eq!(give(&store, 0, 7, 0, 10, here, FILE), None, "nobody asked");
        assert_eq!(ask(&store, 1000), ("0 of 0".into(), Some(0)));
        assert_eq!(ask(&store, 2000), ("0 of 0".into(), None), "it was asked for a moment ago");
        assert_eq!(give(&store, 2500, 8, 0, 10, here, FILE), None, "another one");
        assert_eq!(give(&store, 3000, 7, 0, 10, here, FILE), Some(10));
        assert_eq!(give(&store, 3000, 7, 0, 10, here, FILE), None, "the same once more");
        assert_eq!(give(&store, 3000, 7, 20, 30, here, FILE), Some(10), "one is missing");
        assert_eq!(ask(&store, 9000), ("10 of 40".into(), Some(10)), "no answer for long");
        assert_eq!(give(&store, 9100, 7, 10, 10, piece::BUDGET, FILE), None);
        let budget = "the device has sent as much of capsules as it may in a day 90 s";
        assert_eq!(ask(&store, 9100), (budget.into(), None));
        assert_eq!(ask(&store, 99_100), ("10 of 40".into(), Some(10)), "what came stays");
        assert_eq!(give(&store, 99_200, 7, 10, 40, here, FILE), None);
        assert_eq!(ask(&store, 99_300), ("40 bytes".into(), None));
        assert_eq!(give(&store, 99_400, 7, 0, 10, here, FILE), None, "it is whole");
        assert_eq!(ask(&store, 999_000), ("40 bytes".into(), None));
        assert_eq!(store.expire(Kept::Capsules, 2_000_000).unwrap(), 1);
        assert_eq!(ask(&store, 2_000_001), ("0 of 0".into(), Some(0)));
    }

    pub(in crate::store) fn what_is_not_what_was_sent_is_not_kept(open: Open<'_>) {
        let store = open();
        let mut bad = FILE.to_vec();
        bad[3] ^= 1;
        assert_eq!(ask(&store, 0).1, Some(0));
        assert_eq!(give(&store, 0, 7, 0, 40, piece::HERE, &bad), None);
        assert_eq!(ask(&store, 0), ("it was damaged on its way 60 s".into(), None));
        assert_eq!(ask(&store, 60_000), ("0 of 0".into(), Some(0)));
        // A file that grew meanwhile is another one.
        assert_eq!(give(&store, 60_000, 7, 0, 10, piece::HERE, &FILE[..20]), Some(10));
        assert_eq!(give(&store, 60_000, 7, 10, 20, piece::HERE, FILE), Some(0));
        assert_eq!(give(&store, 60_000, 7, 0, 40, piece::HERE, FILE), None);
        assert_eq!(ask(&store, 60_000), ("40 bytes".into(), None));
    }
}
