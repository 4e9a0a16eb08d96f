//! All that the devices of a site told of a time, as correlation wants it.

use fieldmouse_core::wire::{self, phase, state};

use super::engine::{Engine, Result, all};
use super::read::episode_row;
use super::value::{Row, values};
use super::write::{Origin, id, int};
use super::{Episode, Fact, Trouble, facts, troubles};

/// How far back a trouble may lie that is still one.
const TROUBLE_MS: u64 = 7 * 86_400_000;

/// What a site told.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Episodes that are open or changed since.
    pub episodes: Vec<Episode>,
    /// Facts since.
    pub facts: Vec<Fact>,
    /// Troubles since, and those that last.
    pub troubles: Vec<Trouble>,
    /// Limits that will be reached.
    pub forecasts: Vec<Expected>,
    /// When devices were lost, and came back.
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

pub(super) fn told(db: &mut dyn Engine, sites: &[&str], since_ms: u64) -> Result<Told> {
    let mut told = Told::default();
    for site in sites {
        of_site(db, site, since_ms, &mut told)?;
    }
    Ok(told)
}

fn of_site(db: &mut dyn Engine, site: &str, since_ms: u64, told: &mut Told) -> Result<()> {
    let since = int(since_ms);
    told.episodes.extend(all(
        db,
        "SELECT d.site, d.node, p.* FROM devices d JOIN episodes p ON p.device = d.id
         WHERE d.site = ?1 AND (p.closing = 0 OR p.updated_at >= ?2)",
        &values![site, since],
        episode_row,
    )?);
    told.facts.extend(all(
        db,
        "SELECT d.site, d.node, f.* FROM devices d JOIN facts f ON f.device = d.id WHERE d.site = ?1 AND f.at >= ?2",
        &values![site, since],
        facts::row,
    )?);
    told.troubles.extend(all(
        db,
        "SELECT d.site, d.node, t.* FROM devices d JOIN troubles t ON t.device = d.id
         WHERE d.site = ?1 AND t.at >= ?3 AND (t.at >= ?2 OR t.verdict <> 0 AND NOT EXISTS (SELECT 1 FROM troubles u
             WHERE u.device = t.device AND u.source = t.source AND u.series = t.series AND u.at > t.at))",
        &values![site, since, int(since_ms.saturating_sub(TROUBLE_MS))],
        troubles::row,
    )?);
    told.forecasts.extend(
        all(
            db,
            "SELECT d.site, d.node, f.epoch, f.first_at, f.at, f.severity, f.body
             FROM devices d JOIN forecasts f ON f.device = d.id WHERE d.site = ?1 AND f.phase <> ?2",
            &values![site, phase::CLOSED],
            expected,
        )?
        .into_iter()
        .flatten(),
    );
    told.presence.extend(all(
        db,
        "SELECT d.site, d.node, p.at, p.epoch, p.state FROM devices d JOIN presence p ON p.device = d.id
         WHERE d.site = ?1 AND (p.at >= ?2 OR d.state = ?3 AND p.at = d.state_at)",
        &values![site, since, state::LOST],
        |r| {
            Ok(Presence {
                site: r.get("site")?,
                node: r.get("node")?,
                at: r.get("at")?,
                epoch: r.get("epoch")?,
                state: r.get("state")?,
            })
        },
    )?);
    Ok(())
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
