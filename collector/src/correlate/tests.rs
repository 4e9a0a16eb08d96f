use proptest::prelude::*;

use super::*;
use crate::signal::{Key, Moved, What};
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
        later: Vec::new(),
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
    // A node's name before the first `-` is its line.
    let line =
        |name: &str| name.rsplit('/').next().and_then(|n| n.split('-').next()).unwrap_or("").to_owned();
    let known = |name| {
        let labels = [("line".to_owned(), line(name))].into();
        (name, Known { reported: true, labels, ..Known::default() })
    };
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
    // A scope may be any label of the devices.
    let by_line = Rules { scopes: vec!["line".into()], ..Rules::default() };
    let told = ["hall/press-1 cpu 0", "hall/press-2 cpu 5", "hall/saw-1 cpu 6", "hall/press-3 cpu 21"];
    check_with(&by_line, "", &told, &[&[told[0], told[1]], &[told[2]], &[told[3]]]);
}

/// One of a part of a device that goes on for so many minutes, or for ever.
fn lasting(n: usize, text: &str, group: &str, minutes: Option<u64>) -> Signal {
    let mut signal = signal(n, text);
    signal.end_ms = minutes.map(|m| signal.onset_ms + m * MINUTE);
    signal.moved = vec![Moved { series: "x".into(), group: group.into(), share: 1.0 }];
    signal
}

#[test]
fn what_goes_on_in_a_part_of_a_device_is_one_problem_however_long_it_takes() {
    let check = |told: &[(&str, &str, Option<u64>)], want: &[&[&str]]| {
        let signals: Vec<Signal> = told
            .iter()
            .enumerate()
            .map(|(n, (text, group, minutes))| lasting(n, text, group, *minutes))
            .collect();
        assert_eq!(grouped(&signals, "", &Rules::default()), want, "{told:?}");
    };
    let (leak, kill) = ("hall/a leak 0", "hall/a oom 300");
    check(&[(leak, "memory", None), (kill, "memory", Some(1))], &[&[leak, kill]]);
    check(&[(leak, "memory", Some(300)), (kill, "memory", Some(1))], &[&[leak, kill]]);
    check(&[(leak, "memory", Some(299)), (kill, "memory", Some(1))], &[&[leak], &[kill]]);
    check(&[(leak, "memory", None), (kill, "disk", Some(1))], &[&[leak], &[kill]]);
    check(&[(leak, "", None), (kill, "", Some(1))], &[&[leak], &[kill]]);
    let other = "hall/b oom 300";
    check(&[(leak, "memory", None), (other, "memory", Some(1))], &[&[leak], &[other]]);
    // A short one between does not end the long one.
    let short = "hall/a page 100";
    check(
        &[(leak, "memory", Some(400)), (short, "memory", Some(1)), (kill, "memory", Some(1))],
        &[&[leak, short, kill]],
    );
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
    check(&format!("{edges} gw>core"), &told, &[&[told[0], told[1], told[2], "!hall/gw"]]);
    check(edges, &told[..2], &[&told[..1], &told[1..2]]);
    // Who speaks twice is one.
    let twice = ["hall/s1 lost 0", "hall/s1 slow 0.5", "hall/s2 lost 1"];
    check(edges, &twice, &[&twice[..2], &twice[2..]]);
    // A crowd that goes on is one crowd.
    let on = ["hall/s1 lost 0", "hall/s2 lost 0.5", "hall/s3 lost 1", "hall/s4 lost 2.5", "hall/s5 lost 3"];
    let signals: Vec<Signal> = on.iter().enumerate().map(|(n, text)| signal(n, text)).collect();
    let groups = correlate(&signals, &topology(edges, &signals), &Rules::default(), &[]);
    assert_eq!(groups[0].links, [Link::Shared { on: "hall/gw".into(), count: 5, of: 5 }]);
    let slow = ["hall/s1 lost 0", "hall/s2 lost 3", "hall/s3 lost 6"];
    check(edges, &slow, &[&slow[..1], &slow[1..2], &slow[2..]]);
    // What runs on the thing itself is told apart by its parts.
    let parts = ["hall/gw#service=a slow 0", "hall/gw#service=b slow 0.5", "hall/s1 lost 1"];
    check(edges, &parts, &[&[parts[0], parts[1], parts[2], "!hall/gw"]]);
    let one = ["hall/gw#service=a slow 0", "hall/gw#service=a slow 0.5", "hall/s1 lost 1"];
    check(edges, &one, &[&one[..2], &one[2..]]);
}

#[test]
fn the_nearest_that_all_share_is_named_and_farther_ones_where_they_join_more() {
    let edges = "a1>g1 a2>g1 b1>g2 b2>g2 g1>core g2>core";
    let told = ["hall/a1 lost 0", "hall/a2 lost 0.5"];
    check(edges, &told, &[&[told[0], told[1], "!hall/g1"]]);
    let all = ["hall/a1 lost 0", "hall/a2 lost 0.5", "hall/b1 lost 0.7", "hall/b2 lost 0.9"];
    check(edges, &all, &[&[all[0], all[1], all[2], all[3], "!hall/core", "!hall/g1", "!hall/g2"]]);
    // What told something of itself is not silent, though it was too early to be linked with all.
    let edges = "s1>gw s2>gw s3>gw s4>gw s5>gw";
    let (gw, sensors) = ("hall/gw lost 0", ["hall/s1 lost 9", "hall/s2 lost 10.4", "hall/s3 lost 10.5"]);
    check(edges, &[gw, sensors[0], sensors[1], sensors[2]], &[&[gw, sensors[0], sensors[1], sensors[2]]]);
}

#[test]
fn a_crowd_is_more_than_chance_brings() {
    let check = |of: usize, rule: (usize, f64), want: usize| assert_eq!(links::many(of, rule), want, "{of}");
    let shared = (2, 0.5);
    for (of, want) in [(0, 2), (1, 2), (4, 2), (5, 3), (20, 10), (40, 15), (100, 23), (10_000, 203)] {
        check(of, shared, want);
    }
    for (of, want) in [(1, 3), (5, 3), (8, 4), (10_000, 203)] {
        check(of, (3, 0.5), want);
    }
}

#[test]
fn most_of_a_site_doing_the_same() {
    let told: Vec<String> = (0..5).map(|i| format!("wide/d{i} temperature 0.{i}")).collect();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    check("", &told, &[&[told[0], told[1], told[2], told[3], told[4], "!wide"]]);
    check("", &told[..4], &[&told[..1], &told[1..2], &told[2..3], &told[3..4]]);
    // A limit that is foretold is each device's own.
    let mut foretold: Vec<Signal> = told.iter().enumerate().map(|(n, text)| signal(n, text)).collect();
    foretold.iter_mut().for_each(|s| s.key.what = What::Forecast);
    assert_eq!(grouped(&foretold, "", &Rules::default()).len(), 5);
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
    check("b>a", &[cpu, "+hall/b kernel 20"], &[&[cpu]]);
    // For an hour, and told a moment late.
    let (early, late) = ("hall/a cpu 100", "+hall/a kernel 100.9");
    check("", &[early, "+hall/a kernel 40"], &[&[early, "+hall/a kernel 40"]]);
    check("", &[early, "+hall/a kernel 39.9", late, "+hall/a kernel 101.1"], &[&[early, late]]);
    // A hint joins the nearest, and none that is far.
    let (first, second) = ("hall/a cpu 0", "hall/a cpu 20");
    check("", &[first, second, "?hall/a log-new 9"], &[&[first, "?hall/a log-new 9"], &[second]]);
    check("", &[first, second, "?hall/a log-new 11"], &[&[first], &[second, "?hall/a log-new 11"]]);
    check("", &[first, "?hall/a log-new 15.1"], &[&[first]]);
}

#[test]
fn what_belonged_together_when_more_was_known_still_does() {
    let signals = ["hall/a cpu 0", "hall/b cpu 50", "hall/c cpu 90"].map(|text| signal(text.len(), text));
    let groups = |stuck: &[Vec<usize>]| -> Vec<Vec<usize>> {
        let depends = topology("", &signals);
        correlate(&signals, &depends, &Rules::default(), stuck).into_iter().map(|g| g.symptoms).collect()
    };
    assert_eq!(groups(&[]), [[0], [1], [2]]);
    assert_eq!(groups(&[vec![2, 0]]), [vec![0, 2], vec![1]]);
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
    let learnt = Rules { pairs, ..Rules::default() };
    check_with(&learnt, "", &told, &[&told]);
    let late = ["hall/a cpu 0", "hall/b disk 10.1"];
    check_with(&learnt, "", &late, &[&late[..1], &late[1..]]);
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
