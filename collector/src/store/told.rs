//! All that the devices of a site told of a time, as correlation wants it.

use std::collections::BTreeMap;

use fieldmouse_core::wire::{self, phase, state};

use super::engine::{Engine, Result, all};
use super::read::episode_row;
use super::value::{Row, Value, values};
use super::write::{Origin, id, int};
use super::{Closing, Episode, Fact, Trouble, facts, troubles};
use crate::signal::{CHANGES, HINTS};

/// How far back a trouble may lie that is still one.
const TROUBLE_MS: u64 = 7 * 86_400_000;

/// What a site told.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Episodes that are open or changed since.
    pub episodes: Vec<Episode>,
    /// Facts since, without the notes that concern nobody else: a busy site tells thousands of them.
    pub facts: Vec<Fact>,
    /// Troubles since, and those that lasted then, from their beginning.
    pub troubles: Vec<Trouble>,
    /// Limits that will be reached.
    pub forecasts: Vec<Expected>,
    /// When devices were lost, and came back, since; and when those were lost that were so then.
    pub presence: Vec<Presence>,
}

/// A forecast that stands.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Site.
    pub site: String,
    /// Node.
    pub node: String,
    /// Epoch.
    pub epoch: u64,
    /// When it was first told.
    pub first_at: u64,
    /// When it was last told.
    pub at: u64,
    /// OpenTelemetry severity number.
    pub severity: u8,
    /// What it says.
    pub body: wire::Forecast,
}

/// A device's state from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Site.
    pub site: String,
    /// Node.
    pub node: String,
    /// When.
    pub at: u64,
    /// Epoch.
    pub epoch: u64,
    /// A [`state`] number.
    pub state: u8,
}

/// Notes that a device is in another state than before.
pub(super) fn came_or_went(db: &mut dyn Engine, origin: Origin, state: u8, at: u64) -> Result<()> {
    db.execute(
        "INSERT INTO presence (device, at, epoch, state) SELECT ?1, ?2, ?3, ?4 FROM devices
         WHERE id = ?1 AND state <> ?4
         ON CONFLICT (device, at) DO UPDATE SET epoch = excluded.epoch, state = excluded.state",
        &values![origin.device, int(at), id(origin.epoch), state],
    )?;
    Ok(())
}

/// Who told it.
pub(super) enum Who<'a> {
    /// The devices of these sites.
    Sites(&'a [&'a str]),
    /// These, by site and node.
    Devices(&'a [(&'a str, &'a str)]),
}

pub(super) fn told(db: &mut dyn Engine, who: Who<'_>, since_ms: u64) -> Result<Told> {
    let row = |site: &str, node: &str| {
        values![site, node, int(since_ms), int(since_ms.saturating_sub(TROUBLE_MS))].into()
    };
    let (of, rows): (_, Vec<Vec<Value>>) = match who {
        Who::Sites(sites) => ("d.site = k.site", sites.iter().map(|site| row(site, "")).collect()),
        Who::Devices(devices) => {
            let rows = devices.iter().map(|(site, node)| row(site, node));
            ("d.site = k.site AND d.node = k.node", rows.collect())
        }
    };
    let mut ask = Ask { db, of, rows };
    let changes = CHANGES.map(|kind| format!("'{kind}'")).join(", ");
    let news = format!("t.at >= k.since AND (t.severity >= {HINTS} OR t.kind IN ({changes}))");
    let open = format!("t.phase <> {}", phase::CLOSED);
    let lost = format!(
        "t.at >= k.since OR t.state = {} AND NOT EXISTS (SELECT 1 FROM presence u
         WHERE u.device = t.device AND u.at > t.at AND u.at < k.since)",
        state::LOST
    );
    Ok(Told {
        episodes: ask.all(("t.*", "episodes"), "t.closing = 0 OR t.updated_at >= k.since", episode_row)?,
        facts: ask.all(("t.*", "facts"), &news, facts::row)?,
        troubles: ask.all(
            ("t.*", "troubles"),
            "t.at >= k.far AND (t.at >= k.since OR t.verdict <> 0 AND NOT EXISTS (SELECT 1 FROM troubles u
             WHERE u.device = t.device AND u.source = t.source AND u.series = t.series AND u.verdict = 0
             AND (u.at, u.epoch, u.seq) > (t.at, t.epoch, t.seq) AND u.at < k.since))",
            troubles::row,
        )?,
        forecasts: ask
            .all(("t.epoch, t.first_at, t.at, t.severity, t.body", "forecasts"), &open, expected)?
            .into_iter()
            .flatten()
            .collect(),
        presence: ask.all(("t.at, t.epoch, t.state", "presence"), &lost, |r| {
            Ok(Presence {
                site: r.get("site")?,
                node: r.get("node")?,
                at: r.get("at")?,
                epoch: r.get("epoch")?,
                state: r.get("state")?,
            })
        })?,
    })
}

struct Ask<'a> {
    db: &'a mut dyn Engine,
    /// What of `k` makes a device one of those.
    of: &'static str,
    rows: Vec<Vec<Value>>,
}

impl Ask<'_> {
    /// Rows `t` of their devices `d` for which that is given.
    fn all<T>(
        &mut self,
        (columns, table): (&str, &str),
        given: &str,
        row: impl FnMut(&Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        // In this order: who is asked for, the device, its rows.
        let sql = format!(
            "WITH k (site, node, since, far) AS (VALUES (?1, ?2, ?3, ?4)) SELECT d.site, d.node, {columns}
             FROM k CROSS JOIN devices d CROSS JOIN {table} t WHERE {} AND t.device = d.id AND ({given})",
            self.of
        );
        self.db.many(&sql, &self.rows)?.iter().map(row).collect()
    }
}

/// See [`super::Store::told_times`].
pub(super) fn times(db: &mut dyn Engine, site: &str) -> Result<Vec<(String, u64)>> {
    all(
        db,
        "SELECT d.node, h.told FROM devices d JOIN heard h ON h.device = d.id WHERE d.site = ?1",
        &values![site],
        |r| Ok((r.get("node")?, r.get("told")?)),
    )
}

impl Told {
    /// Of each device that told anything since then when the first of it is told before that, as time goes on; what is here
    /// though it was told before, because it lasts, stays, but for troubles, which are forgotten in the end.
    #[must_use]
    pub fn leaves(&self, since_ms: u64) -> BTreeMap<(&str, &str), u64> {
        let episodes = self.episodes.iter().filter(|e| e.closing != Closing::Open);
        let episodes = episodes.map(|e| (&e.site, &e.node, e.updated_at));
        let facts = self.facts.iter().map(|f| (&f.site, &f.node, f.at));
        let troubles = self.troubles.iter().map(|t| {
            (&t.site, &t.node, if t.at < since_ms { t.at.saturating_add(TROUBLE_MS) } else { t.at })
        });
        let presence = self.presence.iter().filter(|p| p.at >= since_ms).map(|p| (&p.site, &p.node, p.at));
        let mut first: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (site, node, at) in episodes.chain(facts).chain(troubles).chain(presence) {
            let known = first.entry((site, node)).or_insert(at);
            *known = at.min(*known);
        }
        first
    }
}

fn expected(r: &Row) -> Result<Option<Expected>> {
    let Ok(body) = wire::read_body(&r.get::<Vec<u8>>("body")?) else { return Ok(None) };
    Ok(Some(Expected {
        site: r.get("site")?,
        node: r.get("node")?,
        epoch: r.get("epoch")?,
        first_at: r.get("first_at")?,
        at: r.get("at")?,
        severity: r.get("severity")?,
        body,
    }))
}
