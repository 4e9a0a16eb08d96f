//! Which collector holds which sites: what [`crate::cluster`] needs of the database. PostgreSQL only.
//!
//! Whoever takes a site changes its row; whoever commits for it locks that row. So a commit and a change of holder cannot
//! pass each other: one of them waits or fails, and is tried again. All times are those of the database's clock.

use std::collections::BTreeSet;

use super::engine::{Engine, Result, all, one};
use super::records::{Change, Class};
use super::value::values;
use super::{Committed, StoreError};
use crate::cluster::plan::{Site, plan};
use crate::cluster::{Number, Tenure, Turn};
use crate::intake::decode::Arrival;

/// A life that is renewed now.
const RENEW: &str =
    "UPDATE lives SET until = CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) + ?2
    WHERE id = ?1";
const BEGIN: &str = "INSERT INTO lives (instance, until)
    VALUES (?1, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) + ?2) RETURNING id";
const END: &str =
    "DELETE FROM lives WHERE until < CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";

/// See [`super::Store::turn`].
pub(super) fn turn(db: &mut dyn Engine, turn: &Turn) -> Result<Tenure> {
    let span = i64::try_from(turn.span.as_millis()).unwrap_or(i64::MAX);
    let life = match turn.life {
        Some(life) if db.execute(RENEW, &values![life, span])? > 0 => life,
        _ => begin(db, &turn.instance, span)?,
    };
    db.execute(END, &[])?;
    let found: Vec<_> = turn.found.iter().map(|site| values![site].into()).collect();
    db.many("INSERT INTO domains (name) VALUES (?1) ON CONFLICT DO NOTHING", &found)?;
    let members: Vec<Number> = all(db, "SELECT id FROM lives", &[], |r| r.get("id"))?;
    let mut sites = all(db, "SELECT name, weight, holder FROM domains", &[], |r| {
        Ok(Site { name: r.get("name")?, weight: r.get("weight")?, holder: r.get("holder")? })
    })?;
    let plan = plan(life, &members, &sites, &turn.together);
    for (names, holder) in [(&plan.take, Some(life)), (&plan.release, None)] {
        let changed = change(db, names, holder)?;
        sites.iter_mut().filter(|d| changed.contains(&d.name)).for_each(|d| d.holder = holder);
    }
    let without = sites.iter().filter(|d| d.holder.is_none_or(|h| !members.contains(&h))).count();
    Ok(Tenure {
        life,
        members: u32::try_from(members.len()).unwrap_or(u32::MAX),
        without: u32::try_from(without).unwrap_or(u32::MAX),
        sites: sites.into_iter().filter(|d| d.holder == Some(life)).map(|d| d.name).collect(),
    })
}

/// A new life. It ends the one before of that name, and weighs the sites anew, as they are now to be shared out.
fn begin(db: &mut dyn Engine, instance: &str, span: i64) -> Result<Number> {
    db.execute("DELETE FROM lives WHERE instance = ?1", &values![instance])?;
    db.execute(
        "INSERT INTO domains (name, weight) SELECT site, count(*) FROM devices GROUP BY site
         ON CONFLICT (name) DO UPDATE SET weight = excluded.weight WHERE domains.weight <> excluded.weight",
        &[],
    )?;
    one(db, BEGIN, &values![instance, span], |r| r.get("id"))?.ok_or(StoreError::Column("id"))
}

/// Gives sites a holder, or none; which were changed. One for which somebody commits just now is left for the next turn.
fn change(db: &mut dyn Engine, names: &[String], holder: Option<Number>) -> Result<BTreeSet<String>> {
    if names.is_empty() {
        return Ok(BTreeSet::new());
    }
    let free = all(
        db,
        "SELECT name FROM domains WHERE name = ANY(string_to_array(?1, ',')) ORDER BY name FOR UPDATE SKIP LOCKED",
        &values![names.join(",")],
        |r| r.get::<String>("name"),
    )?;
    let list = free.join(",");
    db.execute(
        "UPDATE domains SET holder = ?1 WHERE name = ANY(string_to_array(?2, ','))",
        &values![holder, list],
    )?;
    Ok(free.into_iter().collect())
}

/// See [`super::Store::leave`].
pub(super) fn leave(db: &mut dyn Engine, life: Number) -> Result<u32> {
    db.execute("DELETE FROM lives WHERE id = ?1", &values![life])?;
    let others = one(db, "SELECT count(*) AS n FROM lives", &[], |r| r.get("n"))?;
    Ok(others.unwrap_or(0))
}

/// Of these sites those that the life holds; nobody can take them before the transaction is over.
fn held(db: &mut dyn Engine, life: Number, sites: &BTreeSet<&str>) -> Result<BTreeSet<String>> {
    if sites.is_empty() {
        return Ok(BTreeSet::new());
    }
    let list: Vec<&str> = sites.iter().copied().collect();
    let held = all(
        db,
        "SELECT name FROM domains WHERE holder = ?1 AND name = ANY(string_to_array(?2, ',')) ORDER BY name FOR SHARE",
        &values![life, list.join(",")],
        |r| r.get::<String>("name"),
    )?;
    Ok(held.into_iter().collect())
}

/// Commits what of the batch is for sites that the life holds, and leaves the rest to whoever holds it.
pub(super) fn fenced(
    db: &mut dyn Engine,
    life: Number,
    batch: &[Arrival],
    commit: impl FnOnce(&mut dyn Engine, &[Arrival]) -> Result<Committed>,
) -> Result<Committed> {
    fn site(arrival: &Arrival) -> Option<&str> {
        match arrival {
            Arrival::Message(m) => Some(m.site.as_str()),
            Arrival::Refused(_) => None,
        }
    }
    let sites: BTreeSet<&str> = batch.iter().filter_map(site).collect();
    let held = held(db, life, &sites)?;
    if held.len() == sites.len() {
        return commit(db, batch);
    }
    let ours: Vec<Arrival> =
        batch.iter().filter(|a| site(a).is_none_or(|site| held.contains(site))).cloned().collect();
    let mut done = commit(db, &ours)?;
    done.foreign = (batch.len() - ours.len()) as u64;
    Ok(done)
}

/// Sees to it that these documents are of sites that the life holds. What people say, anybody may write down.
pub(super) fn check(db: &mut dyn Engine, life: Number, changes: &[Change]) -> Result<()> {
    let made = [
        Class::Incident,
        Class::Life,
        Class::Decision,
        Class::Notice,
        Class::Pattern,
        Class::Health,
        Class::Alert,
    ];
    let sites: BTreeSet<&str> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Put(record) | Change::Add(record) if made.contains(&record.class) => {
                Some(record.site.as_str())
            }
            _ => None,
        })
        .filter(|site| !site.is_empty())
        .collect();
    let held = held(db, life, &sites)?;
    match sites.into_iter().find(|site| !held.contains(*site)) {
        None => Ok(()),
        Some(site) => Err(StoreError::Foreign(site.to_owned())),
    }
}
