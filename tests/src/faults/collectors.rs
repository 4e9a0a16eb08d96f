//! C2: several collectors on one PostgreSQL are killed, stopped and paused at random while devices tell events.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use postgres::{Client, NoTls};
use rustix::process::Signal;
use serde_json::Value;

use crate::broker::Mosquitto;
use crate::crowd::{Account, Crowd, Size};
use crate::http;
use crate::postgres::Postgres;
use crate::program::Collector;
use crate::results::{Row, say};
use crate::sim::rng::Rng;
use crate::wait::{LIMIT, pause, wait_for};

/// Shared out among them.
const SITES: usize = 12;
const INSTANCES: [&str; 3] = ["a", "b", "c"];
/// What is left alone must be acknowledged by then.
const DRAIN: Duration = Duration::from_secs(300);

/// What is done to a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// SIGKILL.
    Killed,
    /// SIGTERM: it leaves in good order.
    Stopped,
    /// SIGSTOP for longer than its life lasts, then SIGCONT: it does not know that it was gone.
    Paused,
}

/// Torments the collectors for so long under `rate` events a second; returns how much went wrong.
#[must_use]
pub fn run(span: Duration, rate: u64, seed: u64) -> u64 {
    let what = "3 collectors on one PostgreSQL, killed, stopped and paused at random";
    let mut row = Row::new("C2", what, Some(seed));
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (broker, server) = (Mosquitto::plain(dir), Postgres::start());
    let start = |instance: &str| Collector::member(dir, &broker.url(), &server.url(), instance);
    let mut members: Vec<Option<Collector>> = INSTANCES.iter().map(|i| Some(start(i))).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let devices: usize = 100;
    let apart = Duration::from_secs_f64(devices as f64 / rate as f64);
    let size =
        Size { named: "d", sites: SITES, devices, apart, crash_every: usize::try_from(2 * rate).unwrap() };
    let crowd = {
        let _inside = runtime.enter();
        Crowd::start(broker.port, size)
    };
    let mut rng = Rng::new(seed);
    let mut done: BTreeMap<Fault, u64> = BTreeMap::new();
    let mut spent = Duration::ZERO;
    while spent < span {
        let ms = |rng: &mut Rng, from, to| Duration::from_millis(rng.between(from, to));
        let up = ms(&mut rng, 8_000, 18_000);
        pause(up);
        let at = rng.index(members.len());
        let fault = [Fault::Killed, Fault::Killed, Fault::Stopped, Fault::Paused][rng.index(4)];
        let down = ms(&mut rng, 1_000, 12_000);
        if let Some(mut member) = members[at].take() {
            *done.entry(fault).or_default() += 1;
            match fault {
                // To drop it is to kill it.
                Fault::Killed => drop(member),
                Fault::Stopped => {
                    member.run.signal(Signal::TERM);
                    assert!(member.run.ended().success(), "{}", member.run.said());
                }
                Fault::Paused => {
                    member.run.signal(Signal::STOP);
                    pause(down);
                    member.run.signal(Signal::CONT);
                    members[at] = Some(member);
                }
            }
        }
        if members[at].is_none() {
            pause(down);
            members[at] = Some(start(INSTANCES[at]));
        }
        spent += up + down;
    }
    let accounts = runtime.block_on(crowd.accounts(DRAIN));
    members.iter_mut().flatten().for_each(|member| member.run.check_alive());
    let mut client = Client::connect(&server.url(), NoTls).unwrap();
    let one = |client: &mut Client, sql: &str| client.query_one(sql, &[]).unwrap().get::<_, i64>(0);
    let held = "SELECT count(*) FROM domains WHERE holder IN (SELECT id FROM lives)";
    wait_for(LIMIT, "every site to have a holder", || (one(&mut client, held) == SITES as i64).then_some(()));
    wait_for(LIMIT, "the desks to have looked", || settled(&mut client));
    let found = compare(&accounts, &stored(&mut client));
    let (incidents, doubled) = incidents(&mut client);
    row.count("collectors.faults", done.values().sum(), "faults");
    for (fault, n) in &done {
        row.figure(&format!("collectors.{}", format!("{fault:?}").to_lowercase()), n, "times");
    }
    row.figure("collectors.rate", rate, "events/s told");
    row.figure("collectors.events", found.told, "events told");
    row.failures("collectors.lost", found.lost, "events told and not stored");
    row.failures("collectors.twice", found.twice, "events stored twice");
    row.failures("collectors.unacknowledged", found.unacknowledged, "events that no device was freed of");
    let missing = one(&mut client, "SELECT coalesce(sum(last - first + 1), 0)::bigint FROM gaps");
    row.failures("collectors.missing", missing.unsigned_abs(), "numbers missing");
    row.figure("collectors.incidents", incidents, "incidents");
    row.failures("collectors.doubled", doubled, "symptoms that stand in two incidents");
    row.figure(
        "collectors.foreign",
        sum(&members, "messages_foreign_total"),
        "messages left to another member",
    );
    row.figure("collectors.duplicates", sum(&members, "events_duplicate_total"), "events that came again");
    let mut waits: Vec<u64> = accounts.iter().flat_map(|a| &a.events).filter_map(|e| e.wait()).collect();
    waits.sort_unstable();
    for (name, part) in [("wait_p50", 0.5), ("wait_p99", 0.99)] {
        let at = (waits.len() as f64 * part) as usize;
        row.figure(
            &format!("collectors.{name}"),
            waits.get(at).copied().unwrap_or(0),
            "ms to the acknowledgement",
        );
    }
    row.figure(
        "collectors.handover",
        waits.last().copied().unwrap_or(0),
        "ms: the longest that any event waited",
    );
    row.bound("collectors.bound_95", done.values().sum());
    row.failed()
}

/// What the members count since their start, summed.
fn sum(members: &[Option<Collector>], name: &str) -> u64 {
    let of = |member: &Collector| {
        let text = http::text(&member.http, "/metrics").unwrap_or_default();
        let line = text.lines().find(|l| l.starts_with(&format!("fieldmouse_collector_{name} ")))?;
        line.rsplit(' ').next()?.parse::<u64>().ok()
    };
    members.iter().flatten().filter_map(of).sum()
}

/// By node: each number and how often it is there.
fn stored(client: &mut Client) -> HashMap<String, BTreeMap<(u64, u64), u64>> {
    let sql =
        "SELECT d.node, f.epoch, f.seq FROM facts f JOIN devices d ON d.id = f.device WHERE f.kind = 'load'";
    let mut all: HashMap<String, BTreeMap<(u64, u64), u64>> = HashMap::new();
    for row in client.query(sql, &[]).unwrap() {
        let (epoch, seq): (i64, i64) = (row.get(1), row.get(2));
        let of = all.entry(row.get(0)).or_default();
        *of.entry((epoch.cast_unsigned(), seq.cast_unsigned())).or_default() += 1;
    }
    all
}

/// How what was told and what is stored differ.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    told: u64,
    lost: u64,
    twice: u64,
    unacknowledged: u64,
}

fn compare(accounts: &[Account], stored: &HashMap<String, BTreeMap<(u64, u64), u64>>) -> Difference {
    let mut found = Difference::default();
    for account in accounts {
        for (n, told) in account.events.iter().enumerate() {
            let times = stored.get(&account.node).and_then(|of| of.get(&(account.epoch, n as u64 + 1)));
            found.told += 1;
            found.lost += u64::from(times.is_none());
            found.twice += times.map_or(0, |n| n - 1);
            found.unacknowledged += u64::from(told.acked_at.is_none());
        }
    }
    found
}

/// Whether every crash is in an incident by now.
fn settled(client: &mut Client) -> Option<()> {
    let crashes: i64 =
        client.query_one("SELECT count(*) FROM facts WHERE severity >= 17", &[]).unwrap().get(0);
    let (_, by_key) = symptoms(client);
    (by_key.len() as i64 >= crashes).then_some(())
}

/// How many incidents stand, and by symptom how many of them it stands in.
fn symptoms(client: &mut Client) -> (u64, BTreeMap<String, u64>) {
    let (mut count, mut by_key) = (0, BTreeMap::new());
    for row in client.query("SELECT doc FROM records WHERE class = 'incident'", &[]).unwrap() {
        let doc: Value = serde_json::from_str(row.get(0)).unwrap();
        if doc["state"] == "merged" {
            continue;
        }
        count += 1;
        for member in doc["members"].as_array().into_iter().flatten().filter(|m| m["role"] == "symptom") {
            let key = ["site", "node", "what", "epoch", "id"].map(|part| member[part].to_string());
            *by_key.entry(key.join(" ")).or_default() += 1;
        }
    }
    (count, by_key)
}

fn incidents(client: &mut Client) -> (u64, u64) {
    let (count, by_key) = symptoms(client);
    for (key, n) in by_key.iter().filter(|(_, n)| **n > 1).take(3) {
        say(&format!("in {n} incidents: {key}"));
    }
    (count, by_key.values().map(|n| n - 1).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::Told;

    #[test]
    fn every_difference_is_seen() {
        let told = |acked: bool| Told { at: 1, acked_at: acked.then_some(2) };
        let account =
            Account { site: "s".into(), node: "d".into(), epoch: 7, events: vec![told(true), told(false)] };
        let check = |rows: &[((u64, u64), u64)], lost, twice| {
            let stored = HashMap::from([("d".to_owned(), rows.iter().copied().collect())]);
            let found = compare(std::slice::from_ref(&account), &stored);
            assert_eq!(found, Difference { told: 2, lost, twice, unacknowledged: 1 }, "{rows:?}");
        };
        check(&[((7, 1), 1), ((7, 2), 1)], 0, 0);
        check(&[((7, 1), 2)], 1, 1);
        check(&[((8, 1), 1), ((8, 2), 1)], 2, 0);
    }
}
