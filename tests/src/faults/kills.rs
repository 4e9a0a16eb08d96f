//! A1 and A11: agent, broker and collector are killed at random while the links between them are cut, and 200 events a
//! second go in. What the agent called durable is compared with what the collector's database holds at the end.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use fieldmouse::control::Ask;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::proxy::{Mode, Proxy};
use crate::broker::Mosquitto;
use crate::program::{Agent, Collector};
use crate::results::Row;
use crate::sim::rng::Rng;
use crate::wait::{LIMIT, pause, timed, wait_for, wait_until};
use crate::{free_port, http};

/// Events come in so many at a time, …
const BURST: u64 = 5;
/// … so far apart: 200 a second.
const APART: Duration = Duration::from_millis(25);
/// What is left alone must be delivered by then.
const DRAIN: Duration = Duration::from_secs(900);

/// What all threads share.
struct Scene {
    kills_left: AtomicU64,
    over: AtomicBool,
}

impl Scene {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn takes_a_kill(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        self.kills_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// How a part of the whole is treated: milliseconds alive, and dead.
struct Treatment {
    up: Range<u64>,
    down: Range<u64>,
}

/// Kills and starts a part until enough was killed; returns it alive, and how long each start took.
fn torment<T>(
    scene: &Scene,
    mut rng: Rng,
    how: &Treatment,
    start: impl Fn() -> T,
    last_words: impl Fn(&T),
) -> (T, Vec<Duration>) {
    let mut part = start();
    let mut starts = Vec::new();
    loop {
        pause(Duration::from_millis(rng.between(how.up.start, how.up.end)));
        if !scene.takes_a_kill() {
            return (part, starts);
        }
        last_words(&part);
        // To drop it is to kill it: SIGKILL.
        drop(part);
        pause(Duration::from_millis(rng.between(how.down.start, how.down.end)));
        let (again, took) = timed(&start);
        part = again;
        starts.push(took);
    }
}

/// Does what bad networks do until it is over; returns how often.
fn disturb(scene: &Scene, proxy: &Proxy, mut rng: Rng) -> u64 {
    let mut faults = 0;
    while !scene.is_over() {
        pause(Duration::from_millis(rng.between(200, 2000)));
        let ms = |rng: &mut Rng, from, to| Duration::from_millis(rng.between(from, to));
        let spell = match rng.below(6) {
            0 => {
                proxy.cut();
                Duration::ZERO
            }
            1 => {
                proxy.cut_after(usize::try_from(rng.between(1, 3000)).unwrap());
                Duration::from_secs(1)
            }
            2 => {
                proxy.set(Mode::Delay(ms(&mut rng, 1, 200)));
                ms(&mut rng, 500, 2000)
            }
            3 => {
                proxy.set(Mode::Stall);
                ms(&mut rng, 100, 3000)
            }
            4 => {
                proxy.set(Mode::Trickle);
                ms(&mut rng, 1000, 3000)
            }
            _ => {
                proxy.set(Mode::Refuse);
                proxy.cut();
                ms(&mut rng, 100, 1000)
            }
        };
        pause(spell);
        proxy.heal();
        faults += 1;
    }
    faults
}

/// Hands events to the agent until it is over, and writes down each one that the agent calls durable: epoch, number, id.
/// Returns how many were handed over. None is handed over twice, so none may be shown twice.
fn generate(scene: &Scene, socket: &Path, ledger: &Path) -> u64 {
    let mut ledger = File::create(ledger).unwrap();
    let mut id = 0;
    while !scene.is_over() {
        let Ok(stream) = UnixStream::connect(socket) else {
            pause(APART);
            continue;
        };
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        let (to, asked) = mpsc::channel();
        let (stream, ledger) = (&stream, &mut ledger);
        std::thread::scope(|scope| {
            scope.spawn(move || write_down(stream, &asked, ledger));
            while !scene.is_over() {
                pause(APART);
                let mut lines = String::new();
                let mut is_heard = true;
                for _ in 0..BURST {
                    id += 1;
                    let severity = if id % 50 == 0 { 17 } else { 9 };
                    let ask = Ask::Event { kind: "load".into(), text: id.to_string(), severity };
                    lines += &format!("{}\n", serde_json::to_string(&ask).unwrap());
                    is_heard &= to.send(id).is_ok();
                }
                if !is_heard || (&*stream).write_all(lines.as_bytes()).is_err() {
                    break;
                }
            }
            // What was asked is still answered, if anybody is there.
            let _gone = stream.shutdown(Shutdown::Write);
        });
    }
    id
}

fn write_down(stream: &UnixStream, asked: &mpsc::Receiver<u64>, ledger: &mut File) {
    for line in BufReader::new(stream).lines() {
        // The agent was killed.
        let Ok(line) = line else { return };
        // A line that was cut by a kill is no answer.
        let Ok(answer) = serde_json::from_str::<Value>(&line) else { return };
        let id = asked.recv().unwrap();
        if answer["durable"] == true {
            writeln!(ledger, "{} {} {id}", answer["epoch"].as_str().unwrap(), answer["seq"]).unwrap();
        }
    }
}

/// An event as the ledger and the database know it.
type Entry = (u64, u64, u64);

fn read_ledger(path: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(path).unwrap();
    let entry = |line: &str| {
        let mut numbers = line.split(' ').map(|n| n.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap(), numbers.next().unwrap())
    };
    text.lines().map(entry).collect()
}

/// What the collector shows, by epoch and number; numbers that are missing; numbers that were declared lost.
fn read_database(path: &Path) -> (Vec<Entry>, u64, u64) {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut facts = db
        .prepare(
            "SELECT e.epoch, e.seq, f.text FROM facts f JOIN events e ON e.id = f.event WHERE f.kind = 'load'
             ORDER BY e.device, e.epoch, e.seq",
        )
        .unwrap();
    let entry = |row: &rusqlite::Row<'_>| {
        let (epoch, seq): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok((epoch.cast_unsigned(), seq.cast_unsigned(), row.get::<_, String>(2)?.parse().unwrap()))
    };
    let facts = facts.query_map([], entry).unwrap().collect::<Result<_, _>>().unwrap();
    let sum = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned();
    let missing = sum("SELECT coalesce(sum(last - first + 1), 0) FROM gaps");
    let declared = sum("SELECT coalesce(sum(count - arrived), 0) FROM losses");
    (facts, missing, declared)
}

/// How ledger and database differ.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    lost: u64,
    twice: u64,
    reordered: u64,
    invented: u64,
}

fn compare(ledger: &[Entry], shown: &[Entry], tried: u64) -> Difference {
    let all: HashSet<&Entry> = shown.iter().collect();
    let mut times: HashMap<u64, u64> = HashMap::new();
    for (_, _, id) in shown {
        *times.entry(*id).or_default() += 1;
    }
    Difference {
        lost: ledger.iter().filter(|entry| !all.contains(entry)).count() as u64,
        twice: times.values().map(|n| n - 1).sum(),
        reordered: shown.windows(2).filter(|w| w[0].0 == w[1].0 && w[0].2 >= w[1].2).count() as u64,
        invented: times.keys().filter(|id| **id > tried).count() as u64,
    }
}

fn agent(dir: &Path, proxy: &Proxy) -> Agent {
    let config = format!(
        "[node]\nname = \"mouse-1\"\nsite = \"lab\"\n[model]\nenabled = false\n[broker]\nurl = \"mqtt://127.0.0.1:{}\"\n\
         retry_min = \"200ms\"\nretry_max = \"1s\"\nkeep_alive = \"5s\"\nconnect_timeout = \"5s\"\n\
         [outbox]\nmax_bytes = 67108864\n",
        proxy.port
    );
    // A machine on which nothing happens, looked at once a second.
    let machine = crate::repository().join("tests/machines/server");
    Agent::with(dir, &config, |command| command.env("FIELDMOUSE__AGENT__ROOT", machine))
}

/// Events the collector got that it had, since its start.
fn duplicates(collector: &Collector) -> u64 {
    let metrics = http::text(&collector.http, "/metrics").unwrap_or_default();
    let line = metrics.lines().find(|l| !l.starts_with('#') && l.contains("events_duplicate"));
    line.and_then(|l| l.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

fn p99(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    let at = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(at).map_or(0.0, |t| t.as_secs_f64() * 1e3)
}

/// Kills so often; returns how many events were lost, shown twice, or out of order.
#[must_use]
pub fn run(kills: u64, seed: u64) -> u64 {
    let what = "random kill -9 of agent, broker and collector while links are cut, 200 events/s";
    let mut row = Row::new("A1", what, Some(seed));
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (dir, ledger) = (dir.path(), elsewhere.path().join("ledger"));
    let port = free_port();
    let (near, far) = (Proxy::to(port), Proxy::to(port));
    let scene = Scene { kills_left: AtomicU64::new(kills), over: AtomicBool::new(false) };
    let seen_twice = AtomicU64::new(0);
    let count_duplicates = |collector: &Collector| {
        seen_twice.fetch_add(duplicates(collector), Ordering::Relaxed);
    };
    let rng = |part: u64| Rng::new(seed.wrapping_mul(8).wrapping_add(part));
    let start_broker = || Mosquitto::on(dir, port, "allow_anonymous true");
    let start_collector = || Collector::start(dir, &format!("mqtt://127.0.0.1:{}", far.port));
    let start_agent = || agent(dir, &near);
    let (parts, took) = timed(|| {
        std::thread::scope(|scope| {
            let torments = (
                scope.spawn(|| {
                    let how = Treatment { up: 50..2000, down: 0..500 };
                    torment(&scene, rng(0), &how, start_agent, |_| ())
                }),
                scope.spawn(|| {
                    let how = Treatment { up: 1500..6000, down: 0..1500 };
                    torment(&scene, rng(1), &how, start_broker, |_| ())
                }),
                scope.spawn(|| {
                    let how = Treatment { up: 500..4000, down: 0..1500 };
                    torment(&scene, rng(2), &how, start_collector, count_duplicates)
                }),
            );
            let links = [(&near, 3), (&far, 4)].map(|(proxy, n)| {
                let (scene, rng) = (&scene, rng(n));
                scope.spawn(move || disturb(scene, proxy, rng))
            });
            let generator = scope.spawn(|| generate(&scene, &dir.join("agent.sock"), &ledger));
            let parts = (torments.0.join(), torments.1.join(), torments.2.join());
            scene.over.store(true, Ordering::Relaxed);
            let faults: u64 = links.into_iter().map(|l| l.join().unwrap()).sum();
            (parts.0.unwrap(), parts.1.unwrap(), parts.2.unwrap(), faults, generator.join().unwrap())
        })
    });
    let ((mut agent, agent_starts), (_broker, broker_starts), (collector, collector_starts), faults, tried) =
        parts;
    let (_, drained) = timed(|| {
        let is_empty = |s: &Value| s["outbox"]["waiting"] == 0 && s["outbox"]["acked"] == s["outbox"]["seq"];
        let mut last = Value::Null;
        let done = wait_until(DRAIN, || {
            agent.run.check_alive();
            pause(Duration::from_millis(200));
            last = agent.status();
            is_empty(&last)
        });
        assert!(done, "left alone, the outbox does not empty: {last}");
    });
    count_duplicates(&collector);
    let ledger = wait_for(LIMIT, "the ledger", || Some(read_ledger(&ledger)));
    let (shown, missing, declared) = read_database(&dir.join("collector.db"));
    let found = compare(&ledger, &shown, tried);

    row.count("kills.count", kills, "kills");
    row.figure("kills.agent", agent_starts.len(), "kills");
    row.figure("kills.broker", broker_starts.len(), "kills");
    row.figure("kills.collector", collector_starts.len(), "kills");
    row.figure("kills.links", faults, "faults");
    row.figure("kills.handed", tried, "events");
    row.figure("kills.events", ledger.len(), "durable events");
    row.failures("kills.lost", found.lost, "durable events");
    row.failures("kills.twice", found.twice, "events shown twice");
    row.failures("kills.reordered", found.reordered, "events out of order");
    row.failures("kills.invented", found.invented, "events");
    row.failures("kills.missing", missing, "numbers neither shown nor declared lost");
    row.figure("kills.declared", declared, "numbers declared lost, none of them called durable");
    row.figure(
        "kills.duplicates",
        seen_twice.into_inner(),
        "duplicates that reached the collector, at least",
    );
    row.figure(
        "kills.ready_p99",
        format!("{:.0}", p99(agent_starts)),
        "ms until a killed agent answers again",
    );
    row.figure("kills.drained", format!("{:.1}", drained.as_secs_f64()), "s");
    row.figure("kills.took", took.as_secs(), "s");
    row.bound("kills.bound_95", kills);

    let mut wiped = Row::new("A11", "broker killed and its state wiped, as part of A1", Some(seed));
    wiped.count("wiped.count", broker_starts.len() as u64, "kills");
    wiped.failures("wiped.lost", found.lost, "durable events");
    wiped.bound("wiped.bound_95", broker_starts.len() as u64);
    row.failed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_seen() {
        let ledger = [(1, 1, 1), (1, 2, 2), (2, 1, 4)];
        let check = |shown: &[Entry], lost, twice, reordered, invented| {
            assert_eq!(
                compare(&ledger, shown, 4),
                Difference { lost, twice, reordered, invented },
                "{shown:?}"
            );
        };
        check(&ledger, 0, 0, 0, 0);
        check(&[(1, 1, 1), (1, 2, 2), (1, 3, 3), (2, 1, 4)], 0, 0, 0, 0);
        check(&[(1, 1, 1), (2, 1, 4)], 1, 0, 0, 0);
        check(&[(1, 1, 1), (1, 2, 2), (1, 3, 2), (2, 1, 4)], 0, 1, 1, 0);
        check(&[(1, 1, 2), (1, 2, 1), (2, 1, 4)], 2, 0, 1, 0);
        check(&[(1, 1, 1), (1, 2, 2), (2, 1, 4), (2, 2, 9)], 0, 0, 0, 1);
    }
}
