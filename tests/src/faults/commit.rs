//! A12: the collector is killed before each call by which it commits. What it acknowledged must be in its database.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fieldmouse_core::wire::{self, Head, Item, Kind};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};
use rusqlite::Connection;
use rustix::process::Signal;

use super::receiver::fact;
use super::strace::{self, Place};
use super::{each, folder, shuffle};
use crate::broker::Mosquitto;
use crate::program::{Running, collector_binary};
use crate::results::{Row, say};
use crate::wait::{LIMIT, timed, wait_for, wait_until};
use crate::{free_port, http};

const CALLS: &str =
    "?write,?pwrite64,?pwritev,?fsync,?fdatasync,?rename,?unlink,?unlinkat,?ftruncate,?openat";
/// Messages, and events in each.
const MESSAGES: u64 = 12;
const EVENTS: u64 = 8;
const EPOCH: u64 = 77;

/// A device that says what an agent would say, and hears what is acknowledged.
struct Device {
    client: Client,
    name: String,
    acked: Arc<AtomicU64>,
}

impl Device {
    fn new(port: u16, name: &str) -> Self {
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(30)).set_max_packet_size(Some(1 << 20));
        let (client, mut connection) = Client::new(options, 64);
        client.subscribe(format!("{name}/1/lab/{name}/ack"), QoS::AtLeastOnce).unwrap();
        let (acked, ready) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(false)));
        let (to, done) = (acked.clone(), ready.clone());
        std::thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::SubAck(_))) => *done.lock().unwrap() = true,
                    Ok(Event::Incoming(Packet::Publish(p))) => {
                        let item = wire::read(&p.payload).unwrap().1.next().unwrap().unwrap();
                        let ack: wire::Ack = wire::read_body(item.body).unwrap();
                        assert_eq!(ack.epoch, EPOCH);
                        to.fetch_max(ack.seq, Ordering::SeqCst);
                    }
                    // The broker is gone, or we said goodbye: the case is over.
                    Err(_) => return,
                    Ok(_) => {}
                }
            }
        });
        wait_for(LIMIT, "a subscription", || ready.lock().unwrap().then_some(()));
        Self { client, name: name.to_owned(), acked }
    }

    /// The `nth` message, from 0.
    fn publish(&self, nth: u64) {
        let mut payload = vec![0; 64];
        let len = wire::write_head(&Head { node: &self.name, epoch: EPOCH }, &mut payload).unwrap();
        payload.truncate(len);
        for seq in nth * EVENTS + 1..=(nth + 1) * EVENTS {
            let (mut body, mut item) = ([0; 300], [0; 400]);
            let len = wire::write_body(&fact(seq), &mut body).unwrap();
            let said = Item {
                seq,
                mono_ms: seq,
                wall_ms: None,
                clock: 0,
                severity: 9,
                kind: Kind::Fact as u16,
                rev: 1,
                body: &body[..len],
            };
            let len = wire::write_item(&said, &mut item).unwrap();
            payload.extend_from_slice(&item[..len]);
        }
        let topic = format!("{0}/1/lab/{0}/event", self.name);
        self.client.publish(topic, QoS::AtLeastOnce, false, payload).unwrap();
    }

    fn acked(&self) -> u64 {
        self.acked.load(Ordering::SeqCst)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // The broker may be gone already.
        let _gone = self.client.try_disconnect();
    }
}

/// The collector in `dir`, under strace if there are options for it. Topics begin with its id, so that it hears its own
/// device alone. With `-D` the child is the collector itself.
fn collector(dir: &Path, broker: &Mosquitto, id: &str, options: Option<&[&str]>) -> (Running, String) {
    let at = format!("127.0.0.1:{}", free_port());
    let config = format!(
        "root = \"{id}\"\nid = \"{id}\"\n[broker]\nurl = \"{}\"\n[http]\nlisten = \"{at}\"\n[store]\npath = \"{}\"\n",
        broker.url(),
        dir.join("collector.db").display()
    );
    std::fs::write(dir.join("collector.toml"), config).unwrap();
    let mut command = match options {
        Some(options) => strace::command(&collector_binary(), options),
        None => std::process::Command::new(collector_binary()),
    };
    command.args(["run", "--config", "collector.toml"]).current_dir(dir);
    (Running::start("fieldmouse-collector", command), at)
}

fn is_connected(at: &str) -> bool {
    http::get(at, "/api/v1/status").is_ok_and(|s| s["connected"] == true)
}

/// Numbers in the database as it lies there, looked at in a copy so that nothing is mended by looking.
fn numbers(dir: &Path) -> BTreeSet<u64> {
    let copy = folder();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("collector.db") {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    let db = Connection::open(copy.path().join("collector.db")).unwrap();
    // Killed before there was a schema.
    let Ok(mut all) = db.prepare("SELECT seq FROM events WHERE epoch = ?1") else { return BTreeSet::new() };
    let all = all.query_map([EPOCH.cast_signed()], |r| r.get::<_, i64>(0)).unwrap();
    all.map(|seq| seq.unwrap().cast_unsigned()).collect()
}

/// How a case went.
#[derive(Debug)]
struct Outcome {
    killed: bool,
    acked: u64,
    /// Acknowledged, and not in the database.
    absent: u64,
    /// Not delivered though all was sent again.
    stuck: u64,
    trace: String,
}

/// Kills the collector at a place, or nowhere.
fn case(broker: &Mosquitto, name: &str, place: Option<&Place>) -> Outcome {
    let (dir, notes) = (folder(), folder());
    let inject = place.map(|p| format!("inject={}:signal=KILL:when={}", p.call, p.nth));
    let trace = format!("trace={CALLS}");
    let note = notes.path().join("trace");
    let files =
        ["", "-wal", "-shm", "-journal"].map(|end| format!("{}/collector.db{end}", dir.path().display()));
    let mut options = vec!["-D", "-q", "-y", "-o", note.to_str().unwrap(), "-e", &trace];
    options.extend(files.iter().flat_map(|file| ["-P", file]));
    options.extend(inject.iter().flat_map(|inject| ["-e", inject]));

    let device = Device::new(broker.port, name);
    let (mut run, at) = collector(dir.path(), broker, name, Some(&options));
    let mut is_over = || run.is_over();
    assert!(wait_until(LIMIT, || is_over() || is_connected(&at)), "the collector neither ends nor connects");
    for nth in 0..MESSAGES {
        if is_over() {
            break;
        }
        device.publish(nth);
        assert!(
            wait_until(LIMIT, || is_over() || device.acked() >= (nth + 1) * EVENTS),
            "nothing is acknowledged"
        );
    }
    if place.is_none() {
        run.signal(Signal::TERM);
    }
    // A kill may come late, when the database is put in order; or not at all, if fewer calls were needed this time.
    wait_until(Duration::from_secs(1), || run.is_over());
    let killed = run.is_over() && place.is_some();
    drop(run);
    // Strace writes its last words after the collector's end.
    let trace = || std::fs::read_to_string(&note).unwrap_or_default();
    wait_until(LIMIT, || trace().contains("+++"));
    let acked = device.acked();
    let there = numbers(dir.path());
    let absent = (1..=acked).filter(|seq| !there.contains(seq)).count() as u64;

    let (mut run, at) = collector(dir.path(), broker, name, None);
    wait_for(LIMIT, "the collector to connect again", || {
        run.check_alive();
        is_connected(&at).then_some(())
    });
    // As an agent does: what is not acknowledged is sent again.
    (acked / EVENTS..MESSAGES).for_each(|nth| device.publish(nth));
    let all = MESSAGES * EVENTS;
    wait_until(LIMIT, || device.acked() == all);
    let stuck = all - device.acked().min(numbers(dir.path()).len() as u64);
    Outcome { killed, acked, absent, stuck, trace: trace() }
}

/// Kills at `most` places drawn at random, or at all of them; returns how often it failed.
#[must_use]
pub fn run(most: Option<usize>, seed: u64) -> u64 {
    let mut row = Row::new("A12", "collector killed before each call on its database", Some(seed));
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let whole = case(&broker, "whole", None);
    assert_eq!((whole.acked, whole.absent, whole.stuck), (MESSAGES * EVENTS, 0, 0), "undisturbed: {whole:?}");
    // Each thread of the collector has its own count: the first that gets so far is meant.
    let mut places = strace::places(&whole.trace, |_| true);
    places.sort_by(|a, b| (&a.call, a.nth).cmp(&(&b.call, b.nth)));
    places.dedup_by(|a, b| (&a.call, a.nth) == (&b.call, b.nth));
    row.figure("commit.places", places.len(), "calls");
    shuffle(seed, &mut places);
    places.truncate(most.unwrap_or(usize::MAX));
    let cases: Vec<(usize, Place)> = places.into_iter().enumerate().collect();
    let (done, took) = timed(|| {
        each(&cases, |(n, place)| {
            let outcome = case(&broker, &format!("case-{n}"), Some(place));
            if outcome.absent + outcome.stuck > 0 {
                say(&format!("commit: {place:?}: {outcome:?}"));
            }
            outcome
        })
    });
    let sum = |of: fn(&Outcome) -> u64| done.iter().map(of).sum::<u64>();
    row.count("commit.kills", sum(|o| u64::from(o.killed)), "kills");
    row.figure(
        "commit.spared",
        sum(|o| u64::from(!o.killed)),
        "kills that did not come, as that run needed fewer calls",
    );
    row.figure("commit.acked", sum(|o| o.acked), "events acknowledged before the kill");
    row.failures("commit.absent", sum(|o| o.absent), "acknowledged events not in the database");
    row.failures("commit.stuck", sum(|o| o.stuck), "events that do not arrive after a new start");
    if most.is_some() {
        row.bound("commit.bound_95", done.len() as u64);
    }
    row.figure("commit.took", took.as_secs(), "s");
    row.failed()
}
