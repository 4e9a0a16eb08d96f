//! C3: the database goes and comes back, and a file system is full for a while. Nothing is acknowledged that is not
//! stored, and whoever looks is told.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use fieldmouse::clock;
use postgres::{Client, NoTls};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::broker::Mosquitto;
use crate::crowd::{Account, Crowd, Size};
use crate::postgres::Postgres;
use crate::program::Collector;
use crate::results::Row;
use crate::wait::{LIMIT, pause, wait_for};
use crate::{faults::disk, http};

/// Devices go on telling meanwhile.
const AWAY: Duration = Duration::from_secs(8);
const DRAIN: Duration = Duration::from_secs(180);

/// Takes the database away and gives it back; returns how much went wrong.
#[must_use]
pub fn gone(seed: u64) -> u64 {
    let mut row = Row::new("C3", "PostgreSQL halted as by a power cut, and back", Some(seed));
    let dir = tempfile::tempdir().unwrap();
    let (broker, server) = (Mosquitto::plain(dir.path()), Postgres::start());
    let config = format!("[broker]\nurl = \"{}\"\n[store]\nurl = \"{}\"\n", broker.url(), server.url());
    let collector = Collector::configured(dir.path(), "collector", &config, |command| command);
    let stored = || -> u64 {
        let mut client = Client::connect(&server.url(), NoTls).unwrap();
        let n: i64 = client.query_one("SELECT count(*) FROM facts WHERE kind = 'load'", &[]).unwrap().get(0);
        n.unsigned_abs()
    };
    away(&mut row, &broker, collector, || server.halt(), || server.resume(), stored);
    row.failed()
}

/// The file system of a SQLite store fills up and has room again. To be run where mounting hurts nobody.
#[must_use]
pub fn full(seed: u64) -> u64 {
    let mut row = Row::new("C4", "the file system of a SQLite store is full, and has room again", Some(seed));
    let dir = tempfile::tempdir().unwrap();
    disk::mount(&["-t", "tmpfs", "-o", "size=24m"], dir.path());
    let broker_dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(broker_dir.path());
    let collector = Collector::start(dir.path(), &broker.url());
    let filler = dir.path().join("filler");
    let db = dir.path().join("collector.db");
    let stored = || -> u64 {
        let db = Connection::open_with_flags(&db, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let n: i64 =
            db.query_row("SELECT count(*) FROM facts WHERE kind = 'load'", [], |r| r.get(0)).unwrap();
        n.unsigned_abs()
    };
    away(
        &mut row,
        &broker,
        collector,
        || fill_up(&filler),
        || std::fs::remove_file(&filler).unwrap(),
        stored,
    );
    row.failed()
}

/// Takes all room there is, whoever else takes of it meanwhile.
fn fill_up(filler: &Path) {
    let mut to = File::create(filler).unwrap();
    while to.write_all(&[7; 4096]).is_ok() {}
}

/// [`full`] in a mount namespace of its own, so that nothing stays mounted.
#[must_use]
pub fn full_in_own_namespace(seed: u64) -> u64 {
    disk::in_own_namespace("full-store-here", seed)
}

fn status(collector: &Collector) -> Option<Value> {
    http::get(&collector.http, "/api/v1/status").ok()
}

fn away(
    row: &mut Row,
    broker: &Mosquitto,
    mut collector: Collector,
    take: impl Fn(),
    give: impl Fn(),
    stored: impl Fn() -> u64,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let apart = Duration::from_millis(100);
    let size = Size { named: "d", sites: 2, devices: 10, apart, crash_every: usize::MAX };
    let crowd = {
        let _inside = runtime.enter();
        Crowd::start(broker.port, size)
    };
    wait_for(LIMIT, "the first events", || (stored() > 50).then_some(()));
    take();
    let taken_at = clock::mono_ms();
    let told =
        wait_for(LIMIT, "the status to tell", || status(&collector).filter(|s| s["store_failing"] == true));
    let known_at = clock::mono_ms();
    pause(AWAY);
    let says = u64::from(!told["store_error"].is_string());
    let metrics = http::text(&collector.http, "/metrics").unwrap_or_default();
    let shows = u64::from(!metrics.contains("fieldmouse_collector_store_failing 1\n"));
    let healthy = u64::from(http::bytes(&collector.http, "/healthz").map_or(0, |(code, _)| code) != 503);
    give();
    let given_at = clock::mono_ms();
    wait_for(DRAIN, "the store to work again", || status(&collector).filter(|s| s["store_failing"] == false));
    let back_at = clock::mono_ms();
    pause(Duration::from_secs(3));
    let accounts = runtime.block_on(crowd.accounts(DRAIN));
    collector.run.check_alive();
    let all = |what: &dyn Fn(&crate::crowd::Told) -> bool| -> u64 {
        let of = |a: &Account| a.events.iter().filter(|e| what(e)).count() as u64;
        accounts.iter().map(of).sum()
    };
    let told = all(&|_| true);
    row.count("away.events", told, "events told");
    // An acknowledgement of just before may still be on its way.
    let early = all(&|e| e.acked_at.is_some_and(|at| at > known_at && at < given_at));
    row.failures("away.early", early, "events acknowledged while nothing could be stored");
    row.failures("away.unacknowledged", all(&|e| e.acked_at.is_none()), "events that no device was freed of");
    row.failures("away.lost", told.saturating_sub(stored()), "events told and not stored");
    row.failures("away.twice", stored().saturating_sub(told), "events stored twice");
    row.failures("away.silent", says + shows + healthy, "places that do not tell (status, metrics, health)");
    row.figure("away.known_after", known_at - taken_at, "ms until the status tells");
    row.figure("away.back_after", back_at - given_at, "ms until the status tells that it works again");
}
