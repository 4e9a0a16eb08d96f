//! The atlas and the graph together: kept over time, and total on whatever comes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::cluster::Sites;
use crate::correlate::Depends;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// A device with these labels and calls, heard at a moment.
fn heard(name: &str, labels: &[(&str, &str)], calls: &[(&str, &str)], at: u64) -> Heard {
    let (site, node) = name.split_once('/').unwrap();
    let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    Heard {
        site: site.to_owned(),
        node: node.to_owned(),
        labels: labels.iter().map(own).collect(),
        calls: calls.iter().map(own).collect(),
        first_seen: at,
        seen_at: at,
        ..Heard::default()
    }
}

/// `a > b, a > c` into a graph.
fn graph(edges: &str) -> Topology {
    let edges = edges.split(", ").filter_map(|edge| edge.split_once(" > "));
    Topology::new([], edges)
}

fn shown<'a>(found: impl Iterator<Item = (&'a str, u8)>) -> String {
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|(name, hops)| (*hops, *name));
    found.iter().map(|(name, hops)| format!("{name} {hops}")).collect::<Vec<_>>().join(", ")
}

#[test]
fn dependencies_are_followed_in_either_direction() {
    let fleet = "h/s1 > h/gw, h/s2 > h/gw, h/gw > h/up, h/cam > h/up, h/gw#service=a > h/gw#service=b";
    let check = |entity: &str, on: &str, by: &str| {
        let topology = graph(fleet);
        assert_eq!(shown(topology.dependencies(entity)), on, "what {entity} depends on");
        assert_eq!(shown(topology.dependents(entity)), by, "what depends on {entity}");
        assert_eq!(topology.dependents_count(entity), topology.dependents(entity).count());
    };
    check("h/s1", "h/gw 1, h/up 2", "");
    check("h/gw", "h/up 1", "h/gw#service=a 1, h/gw#service=b 1, h/s1 1, h/s2 1");
    check("h/up", "", "h/cam 1, h/gw 1, h/gw#service=a 2, h/gw#service=b 2, h/s1 2, h/s2 2");
    check("h/gw#service=a", "h/gw 1, h/gw#service=b 1, h/up 2", "");
    // A part that nobody has named is on its device all the same.
    check("h/s1#unit=x", "h/s1 1, h/gw 2, h/up 3", "");
    check("nowhere/x", "", "");
    check("", "", "");
    check("a b/../c", "", "");
}

#[test]
fn what_several_have_in_common_is_found() {
    let topology = graph("h/s1 > h/gw, h/s2 > h/gw, h/s3 > h/gw2, h/gw > h/up, h/gw2 > h/up");
    let check = |of: &[&str], want: &str| assert_eq!(shown(topology.common(of).into_iter()), want, "{of:?}");
    check(&["h/s1", "h/s2"], "h/gw 1, h/up 2");
    check(&["h/s1", "h/s3"], "h/up 2");
    check(&["h/s1", "h/gw"], "h/gw 1, h/up 2");
    check(&["h/s1"], "h/s1 0, h/gw 1, h/up 2");
    check(&["h/s1", "other/x"], "");
    check(&[], "");
    assert_eq!(topology.path("h/s1", "h/up").unwrap(), ["h/s1", "h/gw", "h/up"]);
    assert_eq!(topology.path("h/s1", "h/s1").unwrap(), ["h/s1"]);
    assert_eq!(topology.path("h/up", "h/s1"), None);
    assert_eq!(topology.dependents_of_all(["h/gw", "h/gw2"]), 3);
    assert_eq!(topology.dependents_of_all(["h/gw", "h/s1", "h/up", "?"]), 3);
}

#[test]
fn correlation_counts_devices_and_knows_their_labels() {
    let mut atlas = Atlas::default();
    for node in ["h/s1", "h/s2"] {
        let mut sensor = heard(node, &[("gateway", "gw"), ("line", "3")], &[], 1);
        sensor.parts.extend([format!("{node}#sensor=a"), format!("{node}#sensor=b")]);
        atlas.hear(sensor);
    }
    let mut gateway = heard("h/gw", &[("uplink", "up")], &[], 1);
    gateway.parts.insert("h/gw#service=mqtt".into());
    atlas.hear(gateway);
    let topology = atlas.present();
    let check =
        |entity: &str, want: usize| assert_eq!(Depends::dependents(&*topology, entity), want, "{entity}");
    check("h/gw", 2);
    check("h/up", 3);
    check("h/s1", 2);
    check("h/s1#sensor=a", 0);
    assert_eq!((topology.devices("h"), topology.devices("yard")), (3, 0));
    assert_eq!(topology.label("h/s1", "line"), Some("3"));
    assert_eq!(topology.dependents_count("h/gw"), 7);
}

#[test]
fn siblings_do_the_same_at_the_same_site() {
    let check = |devices: &[(&str, &[(&str, &str)])], of: &str, want: &[&str]| {
        let mut atlas = Atlas::default();
        for (name, labels) in devices {
            atlas.hear(heard(name, labels, &[], 1));
        }
        let topology = atlas.present();
        let mut found: Vec<&str> = topology.siblings(of).collect();
        found.sort_unstable();
        assert_eq!(found, want, "siblings of {of}");
    };
    let plain: &[(&str, &[(&str, &str)])] =
        &[("h/press-1", &[]), ("h/press-12", &[]), ("h/saw-1", &[]), ("yard/press-1", &[])];
    check(plain, "h/press-1", &["h/press-12"]);
    check(plain, "h/saw-1", &[]);
    check(plain, "h/gone", &[]);
    let role: &[(&str, &[(&str, &str)])] = &[
        ("h/a", &[("role", "probe")]),
        ("h/b", &[("role", "probe"), ("gateway", "gw")]),
        ("h/c", &[("role", "camera"), ("gateway", "gw")]),
        ("h/d", &[("gateway", "gw")]),
        ("h/e", &[("gateway", "gw")]),
    ];
    check(role, "h/a", &["h/b"]);
    check(role, "h/d", &["h/e"]);
}

#[test]
fn importance_is_declared_or_inherited_or_usual() {
    let declared = Declared::read("t", "[[entity]]\nname = \"h/gw-*\"\nimportance = 11").unwrap();
    let mut atlas = Atlas::new(declared, []);
    atlas.hear(heard("h/gw-1", &[("importance", "2")], &[("web", "shop")], 1));
    atlas.hear(heard("h/a", &[("importance", "9")], &[], 1));
    atlas.hear(heard("h/b", &[("importance", "12")], &[], 1));
    let topology = atlas.present();
    let check = |entity: &str, want: u8| assert_eq!(topology.importance(entity), want, "{entity}");
    check("h/gw-1", 11);
    check("h/gw-1#service=web", 11);
    check("h/gw-1#unit=unheard", 11);
    check("h/a", 9);
    check("h/b", USUAL_IMPORTANCE);
    check("nobody", USUAL_IMPORTANCE);
}

#[test]
fn a_called_service_is_where_it_runs() {
    let mut atlas = Atlas::default();
    atlas.hear(heard("h/front", &[], &[("web", "shop")], 1));
    let mut back = heard("h/back", &[], &[], 1);
    back.parts.insert("h/back#service=shop".into());
    atlas.hear(back.clone());
    let on = shown(atlas.present().dependencies("h/front#service=web"));
    assert_eq!(on, "h/front 1, h/front#service=shop 1, h/back#service=shop 2, h/back 3");
    // Another site's shop is another shop.
    let mut atlas = Atlas::default();
    atlas.hear(heard("h/front", &[], &[("web", "shop")], 1));
    atlas.hear(Heard { site: "yard".into(), parts: ["yard/back#service=shop".into()].into(), ..back });
    assert_eq!(atlas.present().dependencies("h/front#service=web").count(), 2);
}

#[test]
fn sites_that_depend_on_one_another_are_one_domain() {
    let check =
        |edges: &str, site: &str, want: &[&str]| assert_eq!(graph(edges).domain(site), want, "{edges}");
    check("a/x > b/y, c/x > c/y", "a", &["a", "b"]);
    check("a/x > b/y, c/x > c/y", "c", &["c"]);
    check("a/x > b/y, b/z > c/y, d/x > d/y", "c", &["a", "b", "c"]);
    check("a/x > internet, b/y > internet", "a", &["a", "b"]);
    check("a/x > erp, erp > dc/server", "a", &["a", "dc"]);
    // A service that only depends joins nothing, and the whole world is no domain.
    check("shop > a/x, shop > b/y", "a", &["a"]);
    check("a/x > a/y", "nowhere", &["nowhere"]);
    let many: Vec<String> = (0..65).map(|i| format!("s{i}/x > internet")).collect();
    check(&many.join(", "), "s0", &["s0"]);
    assert_eq!(graph(&many[1..].join(", ")).domain("s1").len(), 64);
}

/// The edges of a moment.
fn at(atlas: &Atlas, ms: u64) -> Vec<String> {
    let mut found: Vec<String> = atlas
        .as_of(ms)
        .edges()
        .filter(|(from, _)| !from.contains('#'))
        .map(|(a, b)| format!("{a} > {b}"))
        .collect();
    found.sort();
    found
}

#[test]
fn an_edge_has_a_life_and_every_moment_can_be_asked() {
    let mut atlas = Atlas::default();
    let mut records: BTreeMap<String, Edge> = BTreeMap::new();
    let mut keep = |edges: Vec<Edge>| {
        let n = edges.len();
        records.extend(edges.into_iter().map(|e| (e.key(), e)));
        n
    };
    assert_eq!(keep(atlas.hear(heard("h/s", &[("gateway", "gw-1")], &[], DAY))), 1);
    assert_eq!(keep(atlas.hear(heard("h/s", &[("gateway", "gw-1")], &[], DAY + 1))), 0);
    assert_eq!(keep(atlas.hear(heard("h/s", &[("gateway", "gw-1")], &[], DAY + HOUR))), 1);
    assert_eq!(keep(atlas.hear(heard("h/s", &[("gateway", "gw-2")], &[], 2 * DAY))), 2);
    assert_eq!(keep(atlas.hear(heard("h/s", &[("gateway", "gw-1")], &[], 3 * DAY))), 2);
    let restarted = Atlas::new(Declared::default(), records.values().cloned());
    for atlas in [&atlas, &restarted] {
        assert_eq!(at(atlas, DAY - 1), Vec::<String>::new());
        assert_eq!(at(atlas, DAY), ["h/s > h/gw-1"]);
        assert_eq!(at(atlas, 2 * DAY), ["h/s > h/gw-2"]);
        assert_eq!(at(atlas, 3 * DAY), ["h/s > h/gw-1"]);
        assert_eq!(atlas.edges().count(), 3);
    }
    let mut restarted = restarted;
    assert_eq!(restarted.hear(heard("h/s", &[("gateway", "gw-1")], &[], 3 * DAY + 5)), []);
    restarted.forget(2 * DAY + 1);
    assert_eq!(restarted.edges().count(), 2);
}

#[test]
fn calls_last_a_day_beyond_the_last_time_they_were_seen() {
    let mut atlas = Atlas::default();
    let calls = [("web", "shop")];
    let check = |atlas: &mut Atlas, calls: &[(&str, &str)], at: u64, held: bool| {
        atlas.hear(heard("h/p", &[], calls, at));
        let found =
            atlas.present().dependencies("h/p#service=web").any(|(name, _)| name == "h/p#service=shop");
        assert_eq!(found, held, "at {at}");
    };
    check(&mut atlas, &calls, DAY, true);
    // An agent that starts anew has seen nobody yet.
    check(&mut atlas, &[], DAY + HOUR, true);
    check(&mut atlas, &calls, DAY + 2 * HOUR, true);
    check(&mut atlas, &[], 2 * DAY, true);
    check(&mut atlas, &[], 2 * DAY + 2 * HOUR, false);
    check(&mut atlas, &calls, 3 * DAY, true);
}

#[test]
fn people_add_deny_and_take_back() {
    let mut atlas = Atlas::default();
    atlas.hear(heard("h/s", &[("gateway", "gw")], &[], 1));
    atlas.say("h/s", "internet", false, "ana", 10).unwrap();
    assert_eq!(at(&atlas, 10), ["h/s > h/gw", "h/s > internet"]);
    atlas.say("h/s", "h/gw", true, "ana", 20).unwrap();
    assert_eq!(at(&atlas, 20), ["h/s > internet"]);
    assert_eq!(atlas.hear(heard("h/s", &[("gateway", "gw")], &[], 25)), []);
    let ended = atlas.take_back("h/s", "h/gw", "bo", 30).unwrap();
    assert_eq!((ended[0].by.as_deref(), ended[0].gone_by.as_deref()), (Some("ana"), Some("bo")));
    assert_eq!(at(&atlas, 30), ["h/s > h/gw", "h/s > internet"]);
    assert_eq!(at(&atlas, 20), ["h/s > internet"]);
    let check = |refused: Refused, part: &str| {
        let said = refused.to_string();
        assert!(said.contains(part) && said.len() < 400, "{said}");
    };
    check(atlas.say("h/s", "internet", false, "bo", 40).unwrap_err(), "already");
    check(atlas.say("h/s", "h/s", false, "bo", 40).unwrap_err(), "itself");
    check(atlas.say("h/s", "A B", false, "bo", 40).unwrap_err(), "`A B` names no entity");
    check(atlas.say(&"x".repeat(1 << 20), "a", false, "bo", 40).unwrap_err(), "names no entity");
    check(atlas.take_back("h/s", "h/gw", "bo", 50).unwrap_err(), "nobody said");
}

#[test]
fn what_the_file_no_longer_declares_ends() {
    let text = "[[depends]]\nfrom = \"h/s*\"\non = \"h/gw\"";
    let mut atlas = Atlas::new(Declared::read("t", text).unwrap(), []);
    atlas.hear(heard("h/s1", &[], &[], 5));
    let kept = atlas.declare(10, &Sites::All);
    assert_eq!(kept.len(), 1);
    assert_eq!(atlas.notes(), ["depends: `h/s1` on `h/gw`: no such device has reported"]);
    atlas.hear(heard("h/gw", &[], &[], 11));
    assert_eq!(atlas.declare(12, &Sites::All), []);
    assert_eq!(atlas.notes(), Vec::<String>::new());
    let mut atlas = Atlas::new(Declared::default(), kept);
    assert_eq!(atlas.declare(20, &Sites::All)[0].gone, Some(20));
}

#[test]
fn circles_are_told_and_end_every_walk() {
    let mut atlas = Atlas::default();
    for (from, to) in [("h/a", "h/b"), ("h/b", "h/c"), ("h/c", "h/a"), ("h/d", "h/a")] {
        atlas.say(from, to, false, "ana", 1).unwrap();
    }
    assert_eq!(atlas.notes(), ["these depend on each other in a circle: h/a, h/b, h/c"]);
    let topology = atlas.present();
    assert_eq!(shown(topology.dependencies("h/a")), "h/b 1, h/c 2");
    assert_eq!(shown(topology.dependents("h/a")), "h/c 1, h/d 1, h/b 2");
    assert_eq!(topology.common(&["h/a", "h/b"]).len(), 3);
}

#[test]
fn a_hundred_thousand_edges_are_no_trouble() {
    // What grew with the square of the graph would take hours.
    let n = 100_000;
    let names: Vec<String> = (0..n).map(|i| format!("h/n{i}")).collect();
    // A star whose hub is in one long chain, which closes to a circle.
    let star = names.iter().map(|name| (name.as_str(), "h/n0"));
    let topology = Topology::new([], star);
    assert_eq!(topology.dependents_count("h/n0"), n - 1);
    assert_eq!(topology.siblings("h/n7").count(), n - 2);
    let chain = (0..n).map(|i| (names[i].as_str(), names[(i + 1) % n].as_str()));
    let topology = Topology::new([], chain);
    assert_eq!(topology.cycles().len(), 1);
    assert_eq!(topology.dependencies("h/n5").count(), 16);
    assert_eq!(topology.path("h/n0", "h/n9").map(|chain| chain.len()), Some(10));
    assert_eq!(topology.path("h/n0", "h/n99"), None);
}

proptest! {
    #[test]
    fn any_text_for_a_name_is_taken_or_refused(names in proptest::collection::vec("\\PC{0,40}|[a-c]/[a-c](#x=[a-c])?", 0..40)) {
        let pairs: Vec<(&str, &str)> = names.iter().zip(names.iter().skip(1)).map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let topology = Topology::new([], pairs);
        for name in &names {
            let on: Vec<_> = topology.dependencies(name).collect();
            prop_assert!(on.iter().all(|(other, _)| other != name && Name::of(other).is_some()));
            for (other, _) in on {
                prop_assert!(topology.path(name, other).is_some());
                if topology.known(name).is_some() {
                    prop_assert!(topology.dependents(other).any(|(back, _)| back == name));
                }
            }
            topology.siblings(name).for_each(|sibling| assert_ne!(sibling, name));
            prop_assert!(topology.importance(name) <= MOST_IMPORTANT);
        }
        prop_assert!(topology.cycles().iter().all(|knot| knot.len() > 1));
    }
}
