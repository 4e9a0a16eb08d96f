//! The generated fleet is what it says, and says it as agents would.

use std::collections::{BTreeMap, BTreeSet};

use fieldmouse_collector::intake::decode::{Arrival, Body, arrival};
use fieldmouse_collector::replay::line;
use fieldmouse_core::wire::Kind;
use fieldmouse_tests::fleet::faults::SORTS;
use fieldmouse_tests::fleet::noise::Noise;
use fieldmouse_tests::fleet::{Fleet, Plan, generate, storm};

const SMALL: Plan = Plan { seed: 1, devices: 150, days: 3, faults: 28, noise: Noise(1000) };

/// Numbers of outboxes are gap-free but for declared losses, and everything can be read by the collector.
fn check(fleet: &Fleet) {
    let mut numbers: BTreeMap<(usize, u64), BTreeSet<u64>> = BTreeMap::new();
    for sent in &fleet.sent {
        let node = &fleet.layout.nodes[sent.node];
        let topic = format!("fieldmouse/1/{}/{}/{}", node.site, node.name, sent.leaf);
        let Arrival::Message(message) = arrival("fieldmouse", &topic, &sent.payload, false, sent.received_ms)
        else {
            panic!("{topic} is refused")
        };
        let of = numbers.entry((sent.node, message.epoch)).or_default();
        for item in message.items {
            assert!(!matches!(item.body, Body::Malformed | Body::Unknown), "{topic}: {item:?}");
            if let Body::Loss(loss) = &item.body {
                of.extend(loss.first..loss.first + loss.count);
            }
            of.extend((item.seq > 0).then_some(item.seq));
        }
        for (line, own) in sent.lines(&fleet.layout).iter().zip(0..) {
            let read = line::read(&line.to_string()).unwrap();
            let (site, name) = (read.site.as_deref(), read.node.as_str());
            assert_eq!(
                (site, name, read.received_ms),
                (Some(&*node.site), &*node.name, Some(sent.received_ms))
            );
            assert!(own > 0 || read.kind != Kind::Status as u16 || sent.leaf == "status");
        }
    }
    for ((node, _), of) in numbers {
        assert!((1..=of.len() as u64).eq(of), "{}: a number is missing", fleet.layout.nodes[node].entity());
    }
    assert!(fleet.sent.is_sorted_by_key(|s| s.received_ms), "what arrives is in its order");
}

#[test]
fn a_fleet_speaks_as_agents_do() {
    let fleet = generate(SMALL);
    check(&fleet);
    let kinds: BTreeSet<&str> = fleet.labels.iter().map(|l| l.kind).collect();
    assert_eq!(kinds.len(), SORTS.len(), "every sort of fault");
    for label in &fleet.labels {
        let own = fleet.traces.iter().filter(|t| t.owed.fault == label.fault).count();
        assert!(own > 0, "{label:?} makes nobody say anything");
        println!("{} {} {own} of {}", label.kind, label.cause, label.affected.len());
    }
    println!("fleet.events {} events", fleet.events());
}

#[test]
fn a_seed_decides_all_of_it() {
    let said = |seed| {
        let dir = tempfile::tempdir().unwrap();
        generate(Plan { seed, ..SMALL }).write(dir.path()).unwrap();
        ["events.jsonl", "topology.toml", "truth.json"]
            .map(|file| std::fs::read(dir.path().join(file)).unwrap())
    };
    assert_eq!(said(7), said(7));
    assert_ne!(said(7), said(8));
}

#[test]
fn behind_one_uplink_everybody_speaks_at_once() {
    for seed in 0..2 {
        let fleet = storm::uplink(seed, 500);
        check(&fleet);
        let told: Vec<u64> = fleet.sent.iter().filter(|s| s.events > 0).map(|s| s.received_ms).collect();
        let span = told[told.len() - 1] - told[0];
        println!("uplink.events {} events, seed {seed}", fleet.events());
        println!("uplink.span {span} ms, seed {seed}");
        assert!(fleet.events() >= 4 * 499, "{} events", fleet.events());
    }
}
