//! Questions to the database. No statement here changes anything.

use fieldmouse_core::wire::{self, state};

use super::engine::{Engine, Result, all, one};
use super::value::{Row, values};
use super::write::id;
use super::{Closing, DeadLetter, Device, Episode, EpisodeEvent, Gap, Loss, OpenFilter, Totals};

/// A sum of what devices claim, which may be absurd: as a float it never overflows.
macro_rules! sum {
    ($what:literal) => {
        concat!("CAST(coalesce(sum(1.0 * (", $what, ")), 0) AS DOUBLE PRECISION)")
    };
}

fn count(sum: f64) -> u64 {
    // Casts of floats stop at the ends of the type.
    (sum as u64).min(i64::MAX as u64)
}

pub(super) fn devices(db: &mut dyn Engine, one: Option<(&str, &str)>) -> Result<Vec<Device>> {
    let (site, node) = one.unzip();
    all(
        db,
        concat!(
            "SELECT d.*, h.seen_at, coalesce(e.high, 0) AS high, (SELECT ",
            sum!("g.last - g.first + 1"),
            " FROM gaps g WHERE g.device = d.id AND g.epoch = d.epoch) AS missing, (SELECT ",
            sum!("l.count - l.arrived"),
            " FROM losses l WHERE l.device = d.id AND l.reason <> 255) AS lost,
             (SELECT count(*) FROM episodes p WHERE p.device = d.id AND p.closing = 0) AS open_episodes
             FROM devices d JOIN heard h ON h.device = d.id
             LEFT JOIN epochs e ON e.device = d.id AND e.epoch = d.epoch
             WHERE CAST(?1 AS TEXT) IS NULL OR (d.site = ?1 AND d.node = ?2) ORDER BY d.site, d.node"
        ),
        &values![site, node],
        |r| {
            let beat: Option<Vec<u8>> = r.get("beat")?;
            Ok(Device {
                site: r.get("site")?,
                node: r.get("node")?,
                epoch: r.get("epoch")?,
                state: r.get("state")?,
                state_at: r.get("state_at")?,
                first_seen: r.get("first_seen")?,
                seen_at: r.get("seen_at")?,
                version: r.get("version")?,
                platform: r.get("platform")?,
                os: r.get("os")?,
                host: r.get("host")?,
                cpus: r.get("cpus")?,
                memory: r.get("memory")?,
                model: r.get("model")?,
                model_name: r.get("model_name")?,
                tick_ms: r.get("tick_ms")?,
                labels: r.get("labels")?,
                series: r.get("series")?,
                edges: r.get("edges")?,
                beat_at: r.get("beat_at")?,
                beat: beat.and_then(|bytes| wire::read_body(&bytes).ok()),
                high: r.get("high")?,
                missing: count(r.get("missing")?),
                lost: count(r.get("lost")?),
                open_episodes: r.get("open_episodes")?,
            })
        },
    )
}

/// Rows of a table of what devices told, the newest first.
pub(super) fn newest<T>(
    db: &mut dyn Engine,
    table: &str,
    node: Option<&str>,
    limit: u32,
    row: impl FnMut(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    let sql = format!(
        "SELECT d.site, d.node, t.* FROM {table} t JOIN devices d ON d.id = t.device
         WHERE CAST(?1 AS TEXT) IS NULL OR d.node = ?1 ORDER BY t.at DESC, t.event DESC LIMIT ?2"
    );
    all(db, &sql, &values![node, limit], row)
}

pub(super) fn gaps(db: &mut dyn Engine, site: &str, node: &str) -> Result<Vec<Gap>> {
    all(
        db,
        "SELECT g.epoch, g.first, g.last FROM gaps g JOIN devices d ON d.id = g.device
         JOIN epochs e ON e.device = g.device AND e.epoch = g.epoch
         WHERE d.site = ?1 AND d.node = ?2 ORDER BY e.first_seen DESC, g.first LIMIT 100",
        &values![site, node],
        |r| Ok(Gap { epoch: r.get("epoch")?, first: r.get("first")?, last: r.get("last")? }),
    )
}

pub(super) fn losses(db: &mut dyn Engine, site: &str, node: &str) -> Result<Vec<Loss>> {
    all(
        db,
        "SELECT l.* FROM losses l JOIN devices d ON d.id = l.device
         WHERE d.site = ?1 AND d.node = ?2 ORDER BY l.declared_at DESC, l.first DESC LIMIT 100",
        &values![site, node],
        |r| {
            Ok(Loss {
                epoch: r.get("epoch")?,
                first: r.get("first")?,
                count: r.get("count")?,
                reason: r.get("reason")?,
                declared_at: r.get("declared_at")?,
                arrived: r.get("arrived")?,
            })
        },
    )
}

pub(super) fn episode_row(r: &Row) -> Result<Episode> {
    let body: Vec<u8> = r.get("body")?;
    Ok(Episode {
        site: r.get("site")?,
        node: r.get("node")?,
        epoch: r.get("epoch")?,
        id: r.get("id")?,
        onset_at: r.get("onset_at")?,
        opened_at: r.get("opened_at")?,
        updated_at: r.get("updated_at")?,
        closed_at: r.get("closed_at")?,
        closing: match r.get::<u8>("closing")? {
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

pub(super) fn episodes(db: &mut dyn Engine, filter: &OpenFilter) -> Result<Vec<Episode>> {
    all(
        db,
        "SELECT d.site, d.node, p.* FROM episodes p JOIN devices d ON d.id = p.device
         WHERE (CAST(?1 AS BIGINT) IS NULL OR CASE WHEN p.closing = 0 THEN 1 ELSE 0 END = ?1)
         AND (CAST(?2 AS TEXT) IS NULL OR d.node = ?2)
         ORDER BY p.updated_at DESC, p.id LIMIT ?3",
        &values![filter.open, filter.node.as_deref(), filter.limit],
        episode_row,
    )
}

pub(super) fn episode(
    db: &mut dyn Engine,
    site: &str,
    node: &str,
    epoch: u64,
    episode: u64,
) -> Result<Option<Episode>> {
    one(
        db,
        "SELECT d.site, d.node, p.* FROM episodes p JOIN devices d ON d.id = p.device
         WHERE d.site = ?1 AND d.node = ?2 AND p.epoch = ?3 AND p.id = ?4",
        &values![site, node, id(epoch), id(episode)],
        episode_row,
    )
}

pub(super) fn episode_events(db: &mut dyn Engine, e: &Episode) -> Result<Vec<EpisodeEvent>> {
    let found = all(
        db,
        "SELECT v.* FROM events v JOIN devices d ON d.id = v.device
         WHERE d.site = ?1 AND d.node = ?2 AND v.epoch = ?3 AND v.episode = ?4 ORDER BY v.seq LIMIT 500",
        &values![&e.site, &e.node, id(e.epoch), id(e.id)],
        |r| {
            let body: Vec<u8> = r.get("body")?;
            let body = wire::read_body(&body).ok();
            let (seq, at, received_at) = (r.get("seq")?, r.get("at")?, r.get("received_at")?);
            let severity = r.get("severity")?;
            Ok(body.map(|body| EpisodeEvent { seq, at, received_at, severity, body }))
        },
    )?;
    Ok(found.into_iter().flatten().collect())
}

pub(super) fn dead_letters(db: &mut dyn Engine, limit: u32) -> Result<Vec<DeadLetter>> {
    all(
        db,
        "SELECT received_at, topic, reason, size, payload FROM dead_letters ORDER BY id DESC LIMIT ?1",
        &values![limit],
        |r| {
            Ok(DeadLetter {
                received_at: r.get("received_at")?,
                topic: r.get("topic")?,
                reason: r.get("reason")?,
                size: r.get("size")?,
                payload: r.get("payload")?,
            })
        },
    )
}

pub(super) fn totals(db: &mut dyn Engine) -> Result<Totals> {
    // The highest number of an event: counting the rows of a large table would take seconds.
    let sql = concat!(
        "SELECT (SELECT coalesce(max(id), 0) FROM events) AS events,
         (SELECT count(*) FROM episodes WHERE closing = 0) AS open_episodes,
         (SELECT count(*) FROM episodes WHERE closing <> 0) AS closed_episodes,
         (SELECT count(*) FROM dead_letters) AS dead_letters,
         (SELECT ",
        sum!("last - first + 1"),
        " FROM gaps) AS missing,
         (SELECT ",
        sum!("count - arrived"),
        " FROM losses WHERE reason <> 255) AS lost"
    );
    let totals = one(db, sql, &[], |r| {
        Ok(Totals {
            events: r.get("events")?,
            open_episodes: r.get("open_episodes")?,
            closed_episodes: r.get("closed_episodes")?,
            missing_numbers: count(r.get("missing")?),
            lost_events: count(r.get("lost")?),
            dead_letters: r.get("dead_letters")?,
            ..Totals::default()
        })
    })?;
    let mut totals = totals.unwrap_or_default();
    let states = all(db, "SELECT state, count(*) AS devices FROM devices GROUP BY state", &[], |r| {
        Ok((r.get::<u8>("state")?, r.get::<u64>("devices")?))
    })?;
    for (number, devices) in states {
        match number {
            state::ONLINE => totals.online += devices,
            state::OFFLINE => totals.offline += devices,
            state::LOST => totals.lost += devices,
            _ => totals.unknown += devices,
        }
    }
    Ok(totals)
}
