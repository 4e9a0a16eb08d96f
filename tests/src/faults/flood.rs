//! C5: one device tells far more than it may. It is put aside, others do not wait for it, and nothing of it is lost.

use std::time::Duration;

use fieldmouse::clock;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::broker::Mosquitto;
use crate::crowd::{Account, Crowd, Size, Told};
use crate::http;
use crate::program::Collector;
use crate::results::Row;
use crate::wait::{pause, wait_for};

/// What a device may produce here, and what the bad one does.
const RATE: u64 = 200;
const FLOOD_EVERY: Duration = Duration::from_millis(1);
/// Others are watched for so long before the flood, and again while the bad one is put aside.
const WATCH: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(60);
/// It is let out after a minute, and agents send again within another.
const DRAIN: Duration = Duration::from_secs(300);

/// Floods; returns how much went wrong.
#[must_use]
pub fn run(seed: u64) -> u64 {
    let mut row = Row::new("C5", "a device that floods", Some(seed));
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let rate = RATE.to_string();
    let collector = Collector::start_with(dir.path(), &broker.url(), "collector", |command| {
        command.env("FIELDMOUSE_COLLECTOR__INTAKE__DEVICE_RATE", rate)
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let size = Size {
        named: "good",
        sites: 2,
        devices: 20,
        apart: Duration::from_millis(500),
        crash_every: usize::MAX,
    };
    let good = Crowd::start(broker.port, size);
    pause(WATCH);
    let flood_at = clock::mono_ms();
    let bad =
        Crowd::start(broker.port, Size { named: "bad", sites: 1, devices: 1, apart: FLOOD_EVERY, ..size });
    let held = wait_for(LIMIT, "the flood to be put aside", || {
        let status = http::get(&collector.http, "/api/v1/status").ok()?;
        status["quarantined"].as_array()?.first().cloned()
    });
    let held_at = clock::mono_ms();
    pause(WATCH);
    let watched_at = clock::mono_ms();
    let open = alerts(dir.path().join("collector.db").as_path(), true);
    let bad = runtime.block_on(bad.accounts(DRAIN));
    let good = runtime.block_on(good.accounts(DRAIN));
    let released = wait_for(LIMIT, "nobody to be put aside", || {
        let status = http::get(&collector.http, "/api/v1/status").ok()?;
        (status["quarantined"] == Value::Array(Vec::new())).then_some(true)
    });
    let all = alerts(dir.path().join("collector.db").as_path(), false);
    let waits = |from: u64, to: u64| -> Vec<u64> {
        let is_within = |e: &&Told| (from..to).contains(&e.at);
        let mut waits: Vec<u64> =
            good.iter().flat_map(|a| &a.events).filter(is_within).filter_map(Told::wait).collect();
        waits.sort_unstable();
        waits
    };
    let p99 = |waits: &[u64]| waits.get(waits.len() * 99 / 100).copied().unwrap_or(0);
    let (before, during) = (waits(0, flood_at), waits(held_at, watched_at));
    let unacked = |accounts: &[Account]| -> u64 {
        accounts.iter().flat_map(|a| &a.events).filter(|e| e.acked_at.is_none()).count() as u64
    };
    let early: u64 = bad
        .iter()
        .flat_map(|a| &a.events)
        .filter(|e| e.acked_at.is_some_and(|at| at > held_at + 2000 && at < watched_at))
        .count() as u64;
    row.count(
        "flood.events",
        bad.iter().map(|a| a.events.len() as u64).sum(),
        "events of the one that floods",
    );
    row.figure("flood.held_after", held_at - flood_at, "ms");
    row.failures("flood.others_held", u64::from(held["node"] != "bad-0"), "devices put aside for nothing");
    row.failures("flood.alerts", open.abs_diff(1) + all.abs_diff(1), "alerts more or less than one");
    row.failures("flood.acknowledged", early, "of its events acknowledged while it was put aside");
    row.failures("flood.lost", unacked(&bad) + unacked(&good), "events that no device was freed of");
    row.failures("flood.stuck", u64::from(!released), "devices not let out");
    row.figure("flood.others_before", p99(&before), "ms, p99 of the others' wait before");
    row.figure("flood.others_during", p99(&during), "ms, p99 of the others' wait while it was put aside");
    row.failed()
}

/// How many alerts there are, or are open.
fn alerts(db: &std::path::Path, only_open: bool) -> u64 {
    let db = Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT count(*) FROM records WHERE class = 'alert' AND (is_open = 1 OR ?1 = 0)";
    db.query_row(sql, [i64::from(only_open)], |r| r.get::<_, i64>(0)).unwrap().unsigned_abs()
}
