//! Questions to the database. No statement here changes anything.

use fieldmouse_core::wire::{self, state};
use rusqlite::{Connection, OptionalExtension, Result, Row, ToSql, params};

use super::write::id;
use super::{Closing, DeadLetter, Device, Episode, EpisodeEvent, Gap, Loss, OpenFilter, Totals, Trouble};

pub(super) fn unsigned(row: &Row<'_>, column: &str) -> Result<u64> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

pub(super) fn all<T>(
    db: &Connection,
    sql: &str,
    params: &[&dyn ToSql],
    row: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    db.prepare_cached(sql)?.query_map(params, row)?.collect()
}

pub(super) fn devices(db: &Connection, one: Option<(&str, &str)>) -> Result<Vec<Device>> {
    let (site, node) = one.unzip();
    all(
        db,
        "SELECT d.*, coalesce(e.high, 0) AS high,
         (SELECT coalesce(sum(g.last - g.first + 1), 0) FROM gaps g WHERE g.device = d.id AND g.epoch = d.epoch)
             AS missing,
         (SELECT CAST(min(total(l.count - l.arrived), 9e18) AS INTEGER) FROM losses l
             WHERE l.device = d.id AND l.reason <> 255) AS lost,
         (SELECT count(*) FROM episodes p WHERE p.device = d.id AND p.closing = 0) AS open_episodes
         FROM devices d LEFT JOIN epochs e ON e.device = d.id AND e.epoch = d.epoch
         WHERE ?1 IS NULL OR (d.site = ?1 AND d.node = ?2) ORDER BY d.site, d.node",
        params![site, node],
        |r| {
            let beat: Option<Vec<u8>> = r.get("beat")?;
            Ok(Device {
                site: r.get("site")?,
                node: r.get("node")?,
                epoch: unsigned(r, "epoch")?,
                state: r.get("state")?,
                state_at: unsigned(r, "state_at")?,
                first_seen: unsigned(r, "first_seen")?,
                seen_at: unsigned(r, "seen_at")?,
                version: r.get("version")?,
                platform: r.get("platform")?,
                os: r.get("os")?,
                host: r.get("host")?,
                cpus: r.get("cpus")?,
                memory: unsigned(r, "memory")?,
                model: r.get("model")?,
                model_name: r.get("model_name")?,
                tick_ms: r.get("tick_ms")?,
                labels: r.get("labels")?,
                series: r.get("series")?,
                edges: r.get("edges")?,
                beat_at: r.get::<_, Option<i64>>("beat_at")?.map(i64::cast_unsigned),
                beat: beat.and_then(|bytes| wire::read_body(&bytes).ok()),
                high: unsigned(r, "high")?,
                missing: unsigned(r, "missing")?,
                lost: unsigned(r, "lost")?,
                open_episodes: r.get("open_episodes")?,
            })
        },
    )
}

pub(super) fn gaps(db: &Connection, site: &str, node: &str) -> Result<Vec<Gap>> {
    all(
        db,
        "SELECT g.epoch, g.first, g.last FROM gaps g JOIN devices d ON d.id = g.device
         JOIN epochs e ON e.device = g.device AND e.epoch = g.epoch
         WHERE d.site = ?1 AND d.node = ?2 ORDER BY e.first_seen DESC, g.first LIMIT 100",
        params![site, node],
        |r| {
            Ok(Gap { epoch: unsigned(r, "epoch")?, first: unsigned(r, "first")?, last: unsigned(r, "last")? })
        },
    )
}

pub(super) fn losses(db: &Connection, site: &str, node: &str) -> Result<Vec<Loss>> {
    all(
        db,
        "SELECT l.* FROM losses l JOIN devices d ON d.id = l.device
         WHERE d.site = ?1 AND d.node = ?2 ORDER BY l.declared_at DESC, l.first DESC LIMIT 100",
        params![site, node],
        |r| {
            Ok(Loss {
                epoch: unsigned(r, "epoch")?,
                first: unsigned(r, "first")?,
                count: unsigned(r, "count")?,
                reason: r.get("reason")?,
                declared_at: unsigned(r, "declared_at")?,
                arrived: unsigned(r, "arrived")?,
            })
        },
    )
}

pub(super) fn episode_row(r: &Row<'_>) -> Result<Episode> {
    let body: Vec<u8> = r.get("body")?;
    Ok(Episode {
        site: r.get("site")?,
        node: r.get("node")?,
        epoch: unsigned(r, "epoch")?,
        id: unsigned(r, "id")?,
        onset_at: unsigned(r, "onset_at")?,
        opened_at: unsigned(r, "opened_at")?,
        updated_at: unsigned(r, "updated_at")?,
        closed_at: r.get::<_, Option<i64>>("closed_at")?.map(i64::cast_unsigned),
        closing: match r.get::<_, u8>("closing")? {
            0 => Closing::Open,
            1 => Closing::Told,
            _ => Closing::NotTold,
        },
        phase: r.get("phase")?,
        severity: r.get("severity")?,
        group: r.get("grp")?,
        shape: r.get("shape")?,
        score: r.get("score")?,
        confidence: r.get("confidence")?,
        recurred: r.get("recurred")?,
        moved: r.get("moved")?,
        body: wire::read_body(&body).ok(),
    })
}

pub(super) fn episodes(db: &Connection, filter: &OpenFilter) -> Result<Vec<Episode>> {
    all(
        db,
        "SELECT d.site, d.node, p.* FROM episodes p JOIN devices d ON d.id = p.device
         WHERE (?1 IS NULL OR (p.closing = 0) = ?1) AND (?2 IS NULL OR d.node = ?2)
         ORDER BY p.updated_at DESC, p.id LIMIT ?3",
        params![filter.open, filter.node, filter.limit],
        episode_row,
    )
}

pub(super) fn episode(
    db: &Connection,
    site: &str,
    node: &str,
    epoch: u64,
    episode: u64,
) -> Result<Option<Episode>> {
    db.prepare_cached(
        "SELECT d.site, d.node, p.* FROM episodes p JOIN devices d ON d.id = p.device
         WHERE d.site = ?1 AND d.node = ?2 AND p.epoch = ?3 AND p.id = ?4",
    )?
    .query_row(params![site, node, id(epoch), id(episode)], episode_row)
    .optional()
}

pub(super) fn episode_events(db: &Connection, e: &Episode) -> Result<Vec<EpisodeEvent>> {
    let found = all(
        db,
        "SELECT v.* FROM events v JOIN devices d ON d.id = v.device
         WHERE d.site = ?1 AND d.node = ?2 AND v.epoch = ?3 AND v.episode = ?4 ORDER BY v.seq LIMIT 500",
        params![e.site, e.node, id(e.epoch), id(e.id)],
        |r| {
            let body: Vec<u8> = r.get("body")?;
            let body = wire::read_body(&body).ok();
            let (seq, at, received_at) =
                (unsigned(r, "seq")?, unsigned(r, "at")?, unsigned(r, "received_at")?);
            let severity = r.get("severity")?;
            Ok(body.map(|body| EpisodeEvent { seq, at, received_at, severity, body }))
        },
    )?;
    Ok(found.into_iter().flatten().collect())
}

pub(super) fn troubles(db: &Connection, node: Option<&str>, limit: u32) -> Result<Vec<Trouble>> {
    all(
        db,
        "SELECT d.site, d.node, t.* FROM troubles t JOIN devices d ON d.id = t.device
         WHERE ?1 IS NULL OR d.node = ?1 ORDER BY t.at DESC, t.event DESC LIMIT ?2",
        params![node, limit],
        trouble_row,
    )
}

pub(super) fn trouble_row(r: &Row<'_>) -> Result<Trouble> {
    Ok(Trouble {
        site: r.get("site")?,
        node: r.get("node")?,
        epoch: unsigned(r, "epoch")?,
        seq: unsigned(r, "seq")?,
        at: unsigned(r, "at")?,
        severity: r.get("severity")?,
        source: r.get("source")?,
        series: r.get("series")?,
        verdict: r.get("verdict")?,
        why: r.get("why")?,
        text: r.get("text")?,
    })
}

pub(super) fn dead_letters(db: &Connection, limit: u32) -> Result<Vec<DeadLetter>> {
    all(
        db,
        "SELECT received_at, topic, reason, size, payload FROM dead_letters ORDER BY id DESC LIMIT ?1",
        params![limit],
        |r| {
            Ok(DeadLetter {
                received_at: unsigned(r, "received_at")?,
                topic: r.get("topic")?,
                reason: r.get("reason")?,
                size: unsigned(r, "size")?,
                payload: r.get("payload")?,
            })
        },
    )
}

pub(super) fn totals(db: &Connection) -> Result<Totals> {
    let one = |sql: &str| -> Result<u64> {
        db.prepare_cached(sql)?.query_row([], |r| r.get::<_, i64>(0)).map(i64::cast_unsigned)
    };
    let mut totals = Totals {
        // The highest row number: counting the rows of a large table would take seconds.
        events: one("SELECT coalesce(max(id), 0) FROM events")?,
        open_episodes: one("SELECT count(*) FROM episodes WHERE closing = 0")?,
        closed_episodes: one("SELECT count(*) FROM episodes WHERE closing <> 0")?,
        missing_numbers: one("SELECT CAST(min(total(last - first + 1), 9e18) AS INTEGER) FROM gaps")?,
        lost_events: one(
            "SELECT CAST(min(total(count - arrived), 9e18) AS INTEGER) FROM losses WHERE reason <> 255",
        )?,
        dead_letters: one("SELECT count(*) FROM dead_letters")?,
        ..Totals::default()
    };
    let states = all(db, "SELECT state, count(*) FROM devices GROUP BY state", &[], |r| {
        Ok((r.get::<_, u8>(0)?, r.get::<_, i64>(1)?.cast_unsigned()))
    })?;
    for (number, count) in states {
        match number {
            state::ONLINE => totals.online += count,
            state::OFFLINE => totals.offline += count,
            state::LOST => totals.lost += count,
            _ => totals.unknown += count,
        }
    }
    Ok(totals)
}
