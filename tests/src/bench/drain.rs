//! How fast a day's backlog goes home, and how long what is new waits meanwhile: real broker, agent and collector.

use std::time::Duration;

use crate::broker::Mosquitto;
use crate::http;
use crate::program::{Agent, Collector};
use crate::results::Row;
use crate::wait::{timed, wait_for};
use fieldmouse::clock::{self, Stamp};
use fieldmouse::disk::Folder;
use fieldmouse::outbox::{self, Outbox};
use fieldmouse_core::wire::{self, Fact, Kind};

/// One event a second for a day.
const BACKLOG: u64 = 86_400;
const MAX_BYTES: u64 = 32 << 20;
/// What is asked of: a second.
const LIVE: Duration = Duration::from_secs(60);

/// What an agent leaves behind that was alone for a day.
fn day_offline(state: &std::path::Path) -> u64 {
    let now = clock::stamp();
    let at = |s: u64| Stamp { wall_ms: now.wall_ms.map(|w| w - (BACKLOG - s) * 1000), ..now };
    let options = outbox::Options { flash_bytes_per_day: u64::MAX, ..outbox::Options::new(MAX_BYTES) };
    let (mut outbox, _) =
        Outbox::open(Box::new(Folder::new(&state.join("outbox"))), options, outbox::entropy(), now);
    let mut body = [0; 256];
    for s in 0..BACKLOG {
        let text = format!("{s:06} {}", "a sentence as long as that of an ordinary event ".repeat(3));
        let len = wire::write_body(&Fact::new("note", &text), &mut body).unwrap();
        outbox.push(at(s), Kind::Fact, 1, 9, &body[..len]);
        if s % 500 == 0 {
            outbox.sync_now(now.mono_ms);
        }
    }
    outbox.close(now.mono_ms);
    assert_eq!((outbox.waiting(), outbox.lost()), (BACKLOG, 0));
    outbox.bytes()
}

/// Prints the figures.
pub fn main() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let bytes = day_offline(&dir.path().join("state"));
    let broker = Mosquitto::plain(dir.path());
    let collector = Collector::start(dir.path(), &broker.url());
    let config = format!(
        "[node]\nname = \"mouse-1\"\nsite = \"lab\"\n[broker]\nurl = \"{}\"\n[outbox]\nmax_bytes = {MAX_BYTES}\n",
        broker.url()
    );
    let mut agent = Agent::start(dir.path(), &config);
    let mut waits = Vec::new();
    let ((), took) = timed(|| {
        for n in 0.. {
            let text = format!("live {n}");
            let ((), wait) = timed(|| {
                agent.event("live", &text);
                wait_for(LIVE, "a live event at the collector", || {
                    let facts = http::get(&collector.http, "/api/v1/facts?limit=20").ok()?;
                    facts["facts"].as_array()?.iter().any(|f| f["text"] == text.as_str()).then_some(())
                });
            });
            waits.push(wait.as_secs_f64());
            if agent.status()["outbox"]["acked"].as_u64() >= Some(BACKLOG) {
                break;
            }
        }
    });
    agent.until("an empty outbox", |s| s["outbox"]["waiting"] == 0);
    let mut row = Row::new("drain", "a backlog of a day goes home while events go on", None);
    row.count("drain.backlog", BACKLOG, "events");
    row.failures("drain.lost", agent.status()["outbox"]["lost"].as_u64().unwrap(), "events");
    row.figure("drain.rate", format!("{:.0}", BACKLOG as f64 / took.as_secs_f64()), "events/s");
    row.figure("drain.bytes", bytes, "By");
    row.figure("drain.live", waits.len(), "live events meanwhile");
    let longest = waits.iter().copied().fold(0.0, f64::max);
    row.figure("drain.live_wait_max", format!("{longest:.2}"), "s");
}
