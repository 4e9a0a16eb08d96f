//! Payloads that no agent sends, with good ones between, through a real broker to a real collector.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use fieldmouse_collector::intake::decode::{self, Arrival};
use fieldmouse_core::wire::{self, Fact, Head, Item, Kind};

use super::dice::Dice;
use super::packet::{frame, publish};
use crate::broker::Mosquitto;
use crate::http;
use crate::program::Collector;
use crate::results::{Row, say};
use crate::wait::wait_for;

const ROOT: &str = "fieldmouse";
const NODES: u64 = 50;
const LEAVES: [&str; 5] = ["status", "birth", "beat", "event", "capsule"];
/// Messages that the collector is behind by, at most: nothing may be lost on the way for want of room.
const BEHIND: u64 = 20_000;
const LIMIT: Duration = Duration::from_secs(120);
/// Memory is looked at first when a tenth has passed.
const WARM: u64 = 10;

/// Sends `count` that are refused with `good` between that are not; returns how much went wrong.
#[must_use]
pub fn run(count: u64, good: u64, seed: u64) -> u64 {
    let mut row = Row::new("C6", "payloads that no agent sends, with good ones between", Some(seed));
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::on(dir.path(), crate::free_port(), "allow_anonymous true\nmax_queued_messages 0");
    let mut collector = Collector::start(dir.path(), &broker.url());
    wait_for(LIMIT, "the collector to be connected", || {
        (http::get(&collector.http, "/api/v1/status").ok()?["connected"] == true).then_some(())
    });
    let mut to = connect(broker.port);
    let mut dice = Dice::new(seed);
    let (mut sent, mut told, mut warm_kib) = (BTreeMap::<&str, u64>::new(), 0, 0);
    for n in 0..count {
        let (topic, payload, reason) = rubbish(&mut dice);
        *sent.entry(reason).or_default() += 1;
        to.write_all(&publish(&topic, None, false, &[], &payload)).unwrap();
        while told * count < (n + 1) * good {
            let (node, seq) = (told % NODES, told / NODES + 1);
            to.write_all(&publish(&topic_of(node), None, false, &[], &event(node, seq))).unwrap();
            told += 1;
        }
        if n % 1000 == 999 || n + 1 == count {
            wait_for(LIMIT, "the collector to catch up", || {
                collector.run.check_alive();
                let taken = metric(&collector, "messages_total")?;
                ((n + 1 + told).saturating_sub(taken) <= BEHIND).then_some(())
            });
        }
        if n == count / WARM {
            warm_kib = collector.run.memory_kib();
        }
    }
    let refused = || -> Option<u64> {
        let text = http::text(&collector.http, "/metrics").ok()?;
        let lines = text.lines().filter(|l| l.starts_with("fieldmouse_collector_malformed_total{"));
        Some(lines.filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    };
    wait_for(LIMIT, "every message to be refused or stored", || {
        (refused()? >= count && metric(&collector, "events_stored_total")? >= told).then_some(())
    });
    // Names as long as no device's: a megabyte of it.
    let _refused = http::bytes(&collector.http, &format!("/api/v1/devices/lab/{}", "n".repeat(1 << 20)));
    collector.run.check_alive();
    let text = http::text(&collector.http, "/metrics").unwrap();
    let counted = |reason: &str| -> u64 {
        let name = format!("fieldmouse_collector_malformed_total{{reason=\"{reason}\"}} ");
        text.lines().find_map(|l| l.strip_prefix(name.as_str())?.parse().ok()).unwrap_or(0)
    };
    let wrong: u64 = sent.iter().map(|(reason, n)| n.abs_diff(counted(reason))).sum();
    for (reason, n) in sent.iter().filter(|(reason, n)| counted(reason) != **n) {
        say(&format!("{reason}: {n} sent, {} counted", counted(reason)));
    }
    let grown = collector.run.memory_kib().saturating_sub(warm_kib);
    row.count("rubbish.count", count, "payloads");
    row.failures("rubbish.crashes", u64::from(collector.run.is_over()), "crashes");
    row.failures(
        "rubbish.lost",
        told - metric(&collector, "events_stored_total").unwrap_or(0).min(told),
        "good ones not stored",
    );
    row.failures("rubbish.uncounted", wrong, "refused and not counted by their reason");
    row.failures("rubbish.memory", u64::from(grown > 16 * 1024), "times it grew by more than 16 MiB");
    row.figure("rubbish.good", told, "good ones between");
    row.figure("rubbish.reasons", sent.len(), "reasons");
    row.figure("rubbish.grown", grown, "KiB more than after the first tenth");
    row.figure(
        "rubbish.kept",
        metric(&collector, "dead_letters").unwrap_or(0),
        "of them kept to be looked at",
    );
    // Nobody reads what the broker still has to say.
    let _gone = to.shutdown(Shutdown::Both);
    row.failed()
}

fn connect(port: u16) -> TcpStream {
    let mut to = TcpStream::connect(("127.0.0.1", port)).unwrap();
    to.write_all(&frame(0x10, b"\0\x04MQTT\x05\x02\0\0\0\0\x07rubbish")).unwrap();
    let mut answer = [0; 4];
    to.read_exact(&mut answer).unwrap();
    assert_eq!((answer[0], answer[3]), (0x20, 0), "CONNACK");
    to
}

fn metric(collector: &Collector, name: &str) -> Option<u64> {
    let text = http::text(&collector.http, "/metrics").ok()?;
    let name = format!("fieldmouse_collector_{name} ");
    text.lines().find_map(|l| l.strip_prefix(name.as_str())?.parse().ok())
}

fn topic_of(node: u64) -> String {
    format!("{ROOT}/1/lab/n-{node}/event")
}

fn event(node: u64, seq: u64) -> Vec<u8> {
    let (mut to, mut body) = (vec![0; 512], [0; 200]);
    let node = format!("n-{node}");
    let mut at = wire::write_head(&Head { node: &node, epoch: 7 }, &mut to).unwrap();
    let len = wire::write_body(&Fact::new("load", "a good one"), &mut body).unwrap();
    // One a minute, by the device's clock.
    let (mono_ms, kind) = (seq * 60_000, Kind::Fact as u16);
    let item = Item { seq, mono_ms, wall_ms: None, clock: 0, severity: 9, kind, rev: 1, body: &body[..len] };
    at += wire::write_item(&item, &mut to[at..]).unwrap();
    to.truncate(at);
    to
}

/// Topic, payload, and the reason for which it must be refused.
fn rubbish(dice: &mut Dice) -> (String, Vec<u8>, &'static str) {
    loop {
        let (topic, payload) = candidate(dice);
        // What is good by chance is not what is tried here.
        if let Arrival::Refused(letter) = decode::arrival(ROOT, &topic, &payload, false, 0) {
            return (topic, payload, letter.reason);
        }
    }
}

fn candidate(dice: &mut Dice) -> (String, Vec<u8>) {
    let node = dice.of(0, NODES - 1);
    let good = event(node, dice.of(1, 1 << 40));
    let mut topic = topic_of(node);
    let payload = match dice.below(12) {
        0 => dice.bytes(300),
        1 => [vec![wire::MAGIC, wire::VERSION], dice.bytes(300)].concat(),
        2 => good[..dice.below(good.len())].to_vec(),
        3 => {
            let (mut bent, at) = (good.clone(), dice.below(good.len()));
            bent[at] ^= 1 << dice.below(8);
            bent
        }
        // Forged: the name inside is another's.
        4 => event(node + 1, 1),
        5 => {
            topic = format!("{ROOT}/1/lab/n-{node}/{}", LEAVES[dice.below(3)]);
            good
        }
        6 => event(node, 0),
        7 => vec![wire::MAGIC; wire::MAX_PAYLOAD + 1 + dice.below(500)],
        8 => b"{\"specversion\":\"1.0\",\"type\":\"episode\"}".to_vec(),
        9 => {
            let name =
                ["Hall", "a b", "..", "%00", "caf\u{e9}", "-".repeat(49).as_str()][dice.below(6)].to_owned();
            topic = format!("{ROOT}/1/{name}/n-1/event");
            good
        }
        // As long as a topic may be.
        10 if dice.percent(1) => {
            topic = format!("{ROOT}/1/lab/{}/event", "n".repeat(60_000));
            good
        }
        // A length that is not there: what is said to be gigabytes must not be asked of the memory.
        _ => [&good[..good.len().min(12)], &[0xFF; 9][..], &dice.bytes(30)].concat(),
    };
    (topic, payload)
}
