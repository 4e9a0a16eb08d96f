//! Many devices connect at once, each with what it has to say first: `bench storm [--devices 10000] [--postgres] [--queue]`.
//! Real MQTT clients, each with a socket of its own, through mosquitto to one collector. As it is installed mosquitto keeps
//! 1,000 messages for a subscriber that is behind, and drops the rest; with `--queue` it keeps all.

use std::net::SocketAddr;
use std::time::Duration;

use fieldmouse::clock;
use fieldmouse_core::series::cut;
use fieldmouse_core::wire::{self, Ack, Fact, Head, Item, Kind, state};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::broker::Mosquitto;
use crate::hostile::packet::{frame, publish, published, read};
use crate::hostile::prepare;
use crate::http;
use crate::postgres::Postgres;
use crate::program::Collector;
use crate::results::Row;
use crate::wait::{LIMIT, wait_for};

/// Events that each device has.
pub const EVENTS: u64 = 4;
/// As an agent: what is not acknowledged is sent again.
const RESEND: Duration = Duration::from_secs(60);
const GIVE_UP: Duration = Duration::from_secs(600);
const SITES: u64 = 100;

/// Prints the figures.
pub fn main(args: &[String]) {
    let devices = args.iter().position(|a| a == "--devices").and_then(|at| args.get(at + 1)?.parse().ok());
    let devices: u64 = devices.unwrap_or(10_000);
    prepare();
    let dir = tempfile::tempdir().unwrap();
    let is_given = |option: &str| args.iter().any(|a| a == option);
    let queue = if is_given("--queue") { "\nmax_queued_messages 0" } else { "" };
    let broker = Mosquitto::on(dir.path(), crate::free_port(), &format!("allow_anonymous true{queue}"));
    let server = is_given("--postgres").then(Postgres::start);
    let collector = match &server {
        Some(server) => {
            let config =
                format!("[broker]\nurl = \"{}\"\n[store]\nurl = \"{}\"\n", broker.url(), server.url());
            Collector::configured(dir.path(), "collector", &config, |command| command)
        }
        None => Collector::start(dir.path(), &broker.url()),
    };
    wait_for(LIMIT, "the collector to be connected", || {
        (http::get(&collector.http, "/api/v1/status").ok()?["connected"] == true).then_some(())
    });
    let before = collector.run.memory_kib();
    let waits = storm(broker.port, devices);
    let what = match (server.is_some(), queue.is_empty()) {
        (false, true) => "devices that all connect at once, SQLite, mosquitto as installed",
        (true, true) => "devices that all connect at once, PostgreSQL, mosquitto as installed",
        (false, false) => {
            "devices that all connect at once, SQLite, mosquitto without a limit of queued messages"
        }
        (true, false) => {
            "devices that all connect at once, PostgreSQL, mosquitto without a limit of queued messages"
        }
    };
    let mut row = Row::new("storm", what, None);
    row.count("storm.devices", devices, "MQTT clients");
    row.failures("storm.unacknowledged", devices - waits.len() as u64, "devices");
    let part =
        |of: f64| waits.get(((waits.len() as f64 * of) as usize).min(waits.len().saturating_sub(1))).copied();
    for (name, of) in [("storm.p50", 0.5), ("storm.p99", 0.99), ("storm.all", 1.0)] {
        row.figure(name, part(of).unwrap_or(0), "ms until acknowledged");
    }
    let metrics = http::text(&collector.http, "/metrics").unwrap();
    let metric = |name: &str| -> u64 {
        let name = format!("fieldmouse_collector_{name} ");
        metrics.lines().find_map(|l| l.strip_prefix(name.as_str())?.parse().ok()).unwrap_or(0)
    };
    row.figure("storm.messages", metric("messages_total"), "messages taken in");
    row.figure("storm.stored", metric("events_stored_total"), "events stored");
    row.figure("storm.commits", metric("commit_seconds_count"), "commits");
    row.figure("storm.memory", collector.run.memory_kib(), "KiB held by the collector at the end");
    row.figure(
        "storm.grown",
        collector.run.memory_kib().saturating_sub(before),
        "KiB more than before the storm",
    );
}

/// Lets so many devices connect at once; how long each waited until all that it has was acknowledged, the shortest wait
/// first. Who waits for too long is not among them.
#[must_use]
pub fn storm(port: u16, devices: u64) -> Vec<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    let began = clock::mono_ms();
    let mut waits = runtime.block_on(async {
        let mut all = JoinSet::new();
        (0..devices).for_each(|n| drop(all.spawn(timeout(GIVE_UP, device(at, n)))));
        let mut waits = Vec::new();
        while let Some(done) = all.join_next().await {
            if done.unwrap().is_ok() {
                waits.push(clock::mono_ms() - began);
            }
        }
        waits
    });
    waits.sort_unstable();
    waits
}

/// A device from its first byte to the acknowledgement of all that it has.
async fn device(at: SocketAddr, n: u64) {
    let (site, node) = (format!("s-{}", n % SITES), format!("d-{n}"));
    let topic = |leaf: &str| format!("fieldmouse/1/{site}/{node}/{leaf}");
    let status = |state: u8| {
        let body = wire::Status { state, version: cut("0.1.0") };
        message(&node, &[(Kind::Status, 0, body_of(&body))])
    };
    loop {
        // The broker's queue of connections may be full.
        let Ok(mut socket) = TcpStream::connect(at).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let mut hello = connect(&node, &topic("status"), &status(state::LOST));
        hello.extend(subscribe(&[&topic("ack"), "fieldmouse/1/_collector/+/status"]));
        hello.extend(publish(&topic("status"), Some(2), true, &[], &status(state::ONLINE)));
        hello.extend(publish(
            &topic("birth"),
            Some(3),
            true,
            &[],
            &message(&node, &[(Kind::Birth, 0, birth(&node))]),
        ));
        let events: Vec<_> =
            (1..=EVENTS).map(|seq| (Kind::Fact, seq, body_of(&Fact::new("note", "I am here")))).collect();
        hello.extend(publish(&topic("event"), Some(4), false, &[], &message(&node, &events)));
        if socket.write_all(&hello).await.is_err() {
            continue;
        }
        let mut socket = BufReader::new(socket);
        loop {
            let Ok(packet) = timeout(RESEND, read(&mut socket)).await else {
                let again = publish(&topic("event"), Some(5), false, &[], &message(&node, &events));
                if socket.write_all(&again).await.is_err() {
                    break;
                }
                continue;
            };
            let Some((first, body)) = packet else { break };
            let Some(said) = (first >> 4 == 3).then(|| published(first, &body)).flatten() else { continue };
            if let Some([a, b]) = said.id.map(u16::to_be_bytes)
                && socket.write_all(&frame(0x40, &[a, b])).await.is_err()
            {
                break;
            }
            if said.topic.ends_with("/ack") && acked(&said.payload) >= EVENTS {
                // It says goodbye in good order, so that no will comes.
                let _gone = socket.write_all(&frame(0xE0, &[0, 0])).await;
                return;
            }
        }
    }
}

fn acked(payload: &[u8]) -> u64 {
    let item = wire::read(payload).ok().and_then(|(_, mut items)| items.next()?.ok());
    item.and_then(|item| wire::read_body::<Ack>(item.body).ok()).map_or(0, |ack| ack.seq)
}

fn body_of<T: serde::Serialize>(body: &T) -> Vec<u8> {
    let mut to = vec![0; 512];
    let len = wire::write_body(body, &mut to).unwrap();
    to.truncate(len);
    to
}

fn birth(node: &str) -> Vec<u8> {
    body_of(&wire::Birth {
        version: cut("0.1.0"),
        platform: cut("linux/x86_64"),
        os: cut("Debian 12"),
        host: cut(node),
        cpus: 2,
        memory: 1 << 30,
        model: [0; 8],
        model_name: cut(""),
        tick_ms: 1000,
        labels: cut(""),
        series: 0,
    })
}

fn message(node: &str, items: &[(Kind, u64, Vec<u8>)]) -> Vec<u8> {
    let mut to = vec![0; 4096];
    let mut at = wire::write_head(&Head { node, epoch: 7 }, &mut to).unwrap();
    for (kind, seq, body) in items {
        let (mono_ms, kind) = (seq * 1000, *kind as u16);
        let item = Item { seq: *seq, mono_ms, wall_ms: None, clock: 0, severity: 9, kind, rev: 1, body };
        at += wire::write_item(&item, &mut to[at..]).unwrap();
    }
    to.truncate(at);
    to
}

/// CONNECT with a will.
fn connect(name: &str, topic: &str, will: &[u8]) -> Vec<u8> {
    let text = |text: &[u8]| [&u16::try_from(text.len()).unwrap().to_be_bytes(), text].concat();
    // Clean start, a retained will of QoS 1; a keep alive of five minutes; no properties.
    let mut body = b"\0\x04MQTT\x05\x2E\x01\x2C\0".to_vec();
    body.extend(text(name.as_bytes()));
    body.push(0);
    body.extend(text(topic.as_bytes()));
    body.extend(text(will));
    frame(0x10, &body)
}

fn subscribe(filters: &[&str]) -> Vec<u8> {
    let mut body = vec![0, 1, 0];
    for filter in filters {
        body.extend(u16::try_from(filter.len()).unwrap().to_be_bytes());
        body.extend_from_slice(filter.as_bytes());
        body.push(1);
    }
    frame(0x82, &body)
}
