use proptest::prelude::*;

use super::*;
use crate::signal::{Key, What};
use crate::topology::{Known, Topology};

const MINUTE: u64 = 60_000;

/// `site/node[#part] pattern minute`, with `?` before it for a hint, and `+` for a change.
fn signal(n: usize, text: &str) -> Signal {
    let role = match text.as_bytes()[0] {
        b'?' => Role::Hint,
        b'+' => Role::Change,
        _ => Role::Symptom,
    };
    let mut words = text.trim_start_matches(['?', '+']).split(' ');
    let (entity, pattern) = (words.next().unwrap(), words.next().unwrap());
    let minute: f64 = words.next().unwrap().parse().unwrap();
    let (site, node) = device_of(entity).split_once('/').unwrap();
    Signal {
        key: Key { site: site.into(), node: node.into(), what: What::Episode, epoch: 1, id: n as u64 },
        role,
        entity: entity.into(),
        pattern: pattern.into(),
        onset_ms: 1_000_000_000 + (minute * MINUTE as f64) as u64,
        end_ms: Some(1_000_000_000 + (minute * MINUTE as f64) as u64 + MINUTE),
        severity: 17,
        score: 0.9,
        confidence: 90,
        text: text.into(),
        moved: Vec::new(),
        culprit: None,
        near: Vec::new(),
        due_ms: None,
    }
}

/// `sensor-1>gw`: who depends on what. All devices of a signal or an edge have reported.
fn topology(edges: &str, signals: &[Signal]) -> Topology {
    let edges: Vec<(String, String)> = edges
        .split_whitespace()
        .map(|e| e.split_once('>').map(|(a, b)| (format!("hall/{a}"), format!("hall/{b}"))).unwrap())
        .collect();
    let named =
        edges.iter().flat_map(|(a, b)| [a.as_str(), b.as_str()]).chain(signals.iter().map(Signal::device));
    let known = |name| (name, Known { reported: true, ..Known::default() });
    let extra: Vec<String> = (0..10).map(|i| format!("wide/d{i}")).collect();
    let all = named.map(device_of).chain(extra.iter().map(String::as_str)).map(known).collect::<Vec<_>>();
    Topology::new(all, edges.iter().map(|(a, b)| (a.as_str(), b.as_str())))
}

fn grouped(signals: &[Signal], edges: &str, rules: &Rules) -> Vec<Vec<String>> {
    let depends = topology(edges, signals);
    let groups = correlate(signals, &depends, rules, &[]);
    let name = |i: &usize| signals[*i].text.clone();
    groups
        .iter()
        .map(|g| {
            let silent = g.silent.iter().map(|s| format!("!{s}"));
            g.symptoms.iter().chain(&g.hints).chain(&g.changes).map(name).chain(silent).collect()
        })
        .collect()
}

fn check_with(rules: &Rules, edges: &str, told: &[&str], want: &[&[&str]]) {
    let signals: Vec<Signal> = told.iter().enumerate().map(|(n, text)| signal(n, text)).collect();
    assert_eq!(grouped(&signals, edges, rules), want, "{edges}: {told:?}");
}

fn check(edges: &str, told: &[&str], want: &[&[&str]]) {
    check_with(&Rules::default(), edges, told, want);
}

#[test]
fn one_device_within_a_rolling_window() {
    let (a, b, c) = ("hall/a cpu 0", "hall/a disk 14", "hall/a cpu 29.1");
    check("", &[a, b], &[&[a, b]]);
    check("", &[a, b, c], &[&[a, b], &[c]]);
    check("", &[a, "hall/b cpu 0.1"], &[&[a], &["hall/b cpu 0.1"]]);
}

#[test]
fn one_scope_within_a_rolling_window() {
    let rules = Rules { scopes: vec!["site".into()], ..Rules::default() };
    let told: Vec<String> = (0..40).map(|i| format!("hall/d{i} p{i} {i}")).collect();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    check_with(&rules, "", &told, &[&told]);
    let late = "hall/d0 p 54.02";
    check_with(&rules, "", &[&told[..], &[late]].concat(), &[&told, &[late]]);
    check("", &told[..2], &[&told[..1], &told[1..2]]);
}

#[test]
fn what_depends_on_each_other() {
    let edges = "sensor>gw gw>uplink";
    let (sensor, gw, uplink) = ("hall/sensor lost 0", "hall/gw lost 1", "hall/uplink lost 2");
    check(edges, &[sensor, gw, uplink], &[&[sensor, gw, uplink]]);
    check(edges, &[sensor, uplink], &[&[sensor, uplink]]);
    let late = "hall/uplink lost 10.1";
    check(edges, &[sensor, late], &[&[sensor], &[late]]);
    // Two that have nothing to do with each other, ten seconds apart.
    let (a, b) = ("hall/sensor temperature 0", "hall/other cpu 0.2");
    check(edges, &[a, b], &[&[a], &[b]]);
    let (shop, stock) = ("hall/a#service=shop latency 0", "hall/a#service=stock latency 1");
    check("a#service=shop>a#service=stock", &[shop, stock], &[&[shop, stock]]);
}

#[test]
fn many_that_depend_on_the_same_silent_thing() {
    let edges = "s1>gw s2>gw s3>gw s4>gw s5>gw";
    let told = ["hall/s1 lost 0", "hall/s2 lost 0.5", "hall/s3 lost 1"];
    check(edges, &told, &[&[told[0], told[1], told[2], "!hall/gw"]]);
    check(edges, &told[..2], &[&told[..1], &told[1..2]]);
    let slow = ["hall/s1 lost 0", "hall/s2 lost 3", "hall/s3 lost 6"];
    check(edges, &slow, &[&slow[..1], &slow[1..2], &slow[2..]]);
}

#[test]
fn most_of_a_site_doing_the_same() {
    let told: Vec<String> = (0..5).map(|i| format!("wide/d{i} temperature 0.{i}")).collect();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    check("", &told, &[&[told[0], told[1], told[2], told[3], told[4], "!wide"]]);
    check("", &told[..4], &[&told[..1], &told[1..2], &told[2..3], &told[3..4]]);
    let mixed = ["wide/d0 a 0", "wide/d1 b 0", "wide/d2 c 0", "wide/d3 d 0", "wide/d4 e 0"];
    check("", &mixed, &[&mixed[..1], &mixed[1..2], &mixed[2..3], &mixed[3..4], &mixed[4..]]);
}

#[test]
fn hints_join_and_changes_are_suspected() {
    let (cpu, hint, change) = ("hall/a cpu 30", "?hall/a log-new 31", "+hall/a deployment 25");
    check("", &[cpu, hint, change], &[&[cpu, hint, change]]);
    check("", &[hint, change], &[]);
    check("", &[cpu, "?hall/b log-new 31", "+hall/b deployment 25"], &[&[cpu]]);
    check("", &[cpu, "+hall/a deployment 32"], &[&[cpu]]);
    check("a>gw", &[cpu, "+hall/gw kernel 20"], &[&[cpu, "+hall/gw kernel 20"]]);
}

#[test]
fn what_came_together_three_times_is_together_the_fourth() {
    let day = 24.0 * 60.0;
    let history = |days: u32| -> Vec<Signal> {
        (0..days)
            .flat_map(|d| {
                let at = f64::from(d) * day;
                ["a cpu", "b disk", "c log"].map(|s| format!("hall/{s} {}", at + f64::from(s.len() as u32)))
            })
            .enumerate()
            .map(|(n, text)| signal(n, &text))
            .collect()
    };
    let rules = Rules::default();
    let learn = |days| learnt::pairs(&history(days), rules.reach_ms);
    assert_eq!(learn(2), []);
    let pairs = learn(3).into_iter().map(|p| p.names).collect();
    let told = ["hall/a cpu 0", "hall/b disk 1", "hall/c log 2"];
    check("", &told, &[&told[..1], &told[1..2], &told[2..]]);
    check_with(&Rules { pairs, ..Rules::default() }, "", &told, &[&told]);
}

proptest! {
    #[test]
    fn the_order_of_arrival_leaves_no_trace(
        told in prop::collection::vec((0u8..8, 0u8..3, 0u32..90, 0u8..6), 0..40),
        seed in any::<u64>(),
    ) {
        let text = |(device, pattern, minute, role): &(u8, u8, u32, u8)| {
            let role = match role { 0 => "?", 1 => "+", _ => "" };
            format!("{role}hall/d{device} p{pattern} {minute}")
        };
        let signals: Vec<Signal> = told.iter().enumerate().map(|(n, t)| signal(n, &text(t))).collect();
        let mut other = signals.clone();
        // A permutation drawn from the seed.
        other.sort_by_key(|s| crate::signal::fnv(&format!("{seed} {}", s.key)));
        let edges = "d0>d1 d1>d2 d3>d2 d4>d2 d5>d6 d6>d5";
        let sorted = |signals: &[Signal]| {
            let mut groups = grouped(signals, edges, &Rules::default());
            groups.iter_mut().for_each(|g| g.sort());
            groups.sort();
            groups
        };
        prop_assert_eq!(sorted(&signals), sorted(&other));
    }
}
