//! From many events to one incident: small histories through the collector's `replay`, and what becomes of them.

use std::fmt::Write as _;

use fieldmouse_collector::config::Config;
use fieldmouse_collector::replay::replay;
use fieldmouse_tests::fleet::history::lines;
use serde_json::Value;

/// What of a history is checked: configuration beside the broker's, and what is declared.
#[derive(Default, Clone, Copy)]
struct Given<'a> {
    config: &'a str,
    topology: &'a str,
}

/// The incidents of a history, as `replay` writes them; those that became part of others are left out.
fn incidents(given: Given<'_>, history: &str) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("topology.toml");
    std::fs::write(&file, given.topology).unwrap();
    let config =
        format!("[broker]\nembedded = true\n[topology]\nfile = \"{}\"\n{}", file.display(), given.config);
    let config = Config::from_toml(&config).unwrap();
    let mut out = Vec::new();
    replay(&config, lines(history).join("\n").as_bytes(), &mut out, false).unwrap();
    let all = std::str::from_utf8(&out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap());
    all.filter(|line: &Value| line["incident"]["state"] != "merged").collect()
}

/// `open hall/a hall/b: hall/gw`: its state, who has symptoms, and the likeliest cause.
fn shown(line: &Value) -> String {
    let incident = &line["incident"];
    let members = incident["members"].as_array().unwrap().iter();
    let mut who: Vec<&str> =
        members.filter(|m| m["role"] == "symptom").map(|m| m["entity"].as_str().unwrap()).collect();
    who.sort_unstable();
    who.dedup();
    let cause = incident["causes"][0]["entity"].as_str().unwrap_or("nobody");
    let state = incident["state"].as_str().unwrap();
    if who.len() > 5 {
        format!("{state} {} of them: {cause}", who.len())
    } else {
        format!("{state} {}: {cause}", who.join(" "))
    }
}

#[track_caller]
fn check(given: Given<'_>, history: &str, want: &[&str]) -> Vec<Value> {
    let found = incidents(given, history);
    let words: Vec<String> = found.iter().map(shown).collect();
    assert_eq!(words, want, "{history:.2000}");
    found
}

fn steps(line: &Value) -> Vec<&str> {
    line["life"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect()
}

const NOTHING: Given<'_> = Given { config: "", topology: "" };
const CPU: &str = "system.cpu.utilization";
const UPLINK: &str = "
    [[depends]]
    from = ['hall/sensor-*']
    on = 'hall/gateway'
    [[depends]]
    from = 'hall/gateway'
    on = 'hall/uplink'
";

#[test]
fn what_came_together_three_times_is_one_incident_the_fourth_time() {
    // Others of the site, or the three would be all of it.
    let mut history = String::new();
    for i in 0..9 {
        writeln!(history, "00:00 hall/other-{i} is role=host").unwrap();
    }
    for day in 0..4 {
        for (seconds, node) in [(0, "a"), (20, "b"), (45, "c")] {
            writeln!(history, "{day}d 10:{day}0:{seconds:02} hall/{node} moved {CPU} 120").unwrap();
        }
    }
    let found = incidents(NOTHING, &history);
    let sizes: Vec<usize> =
        found.iter().map(|line| line["incident"]["impact"]["devices"].as_u64().unwrap() as usize).collect();
    assert_eq!(sizes, [1, 1, 1, 1, 1, 1, 1, 1, 1, 3], "{:?}", found.iter().map(shown).collect::<Vec<_>>());
}

#[test]
fn a_scope_holds_together_until_it_was_silent_for_fifteen_minutes() {
    let scoped = Given { config: "[correlation]\nscopes = [\"site\"]\n", topology: "" };
    let mut history = String::new();
    for i in 0..40 {
        writeln!(history, "{:02}:00 hall/d-{i} moved {CPU} 60", i * 2).unwrap();
    }
    let last = 39 * 2 * 60 + 901;
    let late = format!("{}:{:02} hall/e moved {CPU} 60", last / 60, last % 60);
    let found = incidents(scoped, &(history + &late));
    let sizes: Vec<&Value> = found.iter().map(|line| &line["incident"]["impact"]["devices"]).collect();
    assert_eq!(sizes, [40, 1]);
}

#[test]
fn what_is_behind_an_uplink_folds_into_its_incident() {
    let mut history = String::from("00:00 hall/uplink is role=uplink\n00:00 hall/gateway is role=gateway\n");
    for i in 1..=10 {
        writeln!(history, "00:01 hall/sensor-{i} is role=sensor\n30:{:02} hall/sensor-{i} lost", 4 * i)
            .unwrap();
    }
    history += "30:40 hall/gateway lost\n30:50 hall/uplink lost\n";
    let given = Given { topology: UPLINK, ..NOTHING };
    check(given, &history, &["open 12 of them: hall/uplink"]);
    // The cause itself may be silent: what they share is named all the same.
    let silent: String = history
        .lines()
        .filter(|row| !row.ends_with("gateway lost"))
        .fold(String::new(), |all, row| all + row + "\n");
    check(
        given,
        &silent.replace("hall/uplink lost", "hall/uplink online"),
        &["open 10 of them: hall/gateway"],
    );
}

#[test]
fn many_notables_become_an_incident_a_site_and_are_over_after_quiet() {
    let scoped = Given { config: "[correlation]\nscopes = [\"site\"]\n", topology: "" };
    let mut history = String::new();
    for i in 0..400 {
        let (at, site) = (i * 600 / 400, ["north", "south", "east", "west"][i % 4]);
        writeln!(history, "{:02}:{:02} {site}/d-{} moved {CPU} 30", at / 60, at % 60, i % 40).unwrap();
    }
    let found = incidents(scoped, &history);
    let mut sites: Vec<&str> =
        found.iter().map(|line| line["incident"]["sites"][0].as_str().unwrap()).collect();
    sites.sort_unstable();
    assert_eq!(sites, ["east", "north", "south", "west"]);
    for line in &found {
        assert_eq!(line["incident"]["state"], "closed");
        assert_eq!((steps(line).first(), steps(line).last()), (Some(&"opened"), Some(&"closed")));
    }
}

/// Two hosts whose services call each other.
const SHOP: &str = "
    00:00 hall/host-1 is role=host web>shop
    00:00 hall/host-2 is role=host shop>db
    00:00 hall/host-3 is role=host >db
";

#[test]
fn five_symptoms_of_one_fault_are_one_incident_with_a_life() {
    let history = format!(
        "{SHOP}
        60:00 hall/host-3 moved span.duration{{service.name=db,span.name=q,quantile=p99}} 600
        60:10 hall/host-2 moved span.duration{{service.name=shop,span.name=buy,quantile=p99}} 600
        60:20 hall/host-1 moved span.duration{{service.name=web,span.name=get,quantile=p99}} 600
        60:30 hall/host-1 moved span.error{{service.name=web,span.name=get}} 500
        60:40 hall/host-2 moved span.error{{service.name=shop,span.name=buy}} 500"
    );
    let found = check(
        NOTHING,
        &history,
        &[
            "closed hall/host-1#service=web hall/host-2#service=shop hall/host-3#service=db: hall/host-3#service=db",
        ],
    );
    assert_eq!(found[0]["incident"]["impact"]["devices"], 3);
    let steps = steps(&found[0]);
    assert_eq!((steps[0], steps[steps.len() - 1]), ("opened", "closed"), "{steps:?}");
    assert!(steps.contains(&"updated"), "{steps:?}");
}

#[test]
fn faults_that_have_nothing_to_do_with_each_other_stay_apart_however_near_in_time() {
    let unrelated = format!("00:00 hall/a moved {CPU} 300\n00:10 hall/b moved {CPU} 300\n");
    check(NOTHING, &unrelated, &["closed hall/a: hall/a", "closed hall/b: hall/b"]);
    let given = Given { topology: "[[depends]]\nfrom = 'hall/a'\non = 'hall/b'\n", ..NOTHING };
    // Whichever was seen first.
    let found = check(given, &unrelated, &["closed hall/a hall/b: hall/b"]);
    let links = found[0]["incident"]["links"].to_string();
    assert!(links.contains("\"who\":\"hall/a\"") && links.contains("\"on\":\"hall/b\""), "{links}");
}

#[test]
fn what_was_changed_shortly_before_is_named() {
    for (kind, text) in [
        ("package", "openssl upgraded from 3.0.15 to 3.0.16"),
        ("file-changed", "/etc/shop.toml was changed"),
    ] {
        let history = format!(
            "00:00 hall/a is role=host
            20:00 hall/a fact {kind} 9 {text}
            29:30 hall/a moved {CPU} 300"
        );
        let found = check(NOTHING, &history, &["closed hall/a: hall/a"]);
        let cause = found[0]["incident"]["causes"][0].to_string();
        assert!(cause.contains(text), "{cause}");
        // Not what was changed on another device, nor long ago.
        let others = format!(
            "00:00 hall/b fact {kind} 9 {text}\n00:00 hall/a fact {kind} 9 {text}\n200:30 hall/a moved {CPU} 300"
        );
        let found = check(NOTHING, &others, &["closed hall/a: hall/a"]);
        let cause = found[0]["incident"]["causes"][0].to_string();
        assert!(!cause.contains(text), "{cause}");
    }
}

#[test]
fn one_of_twenty_is_odd_and_twenty_of_twenty_are_the_site() {
    const HOT: &str = "hw.temperature{hw.id=soc,hw.sensor_location=package}";
    let mut there = String::new();
    let mut all = String::new();
    for i in 1..=20 {
        writeln!(there, "00:00 hall/d-{i:02} is role=sensor").unwrap();
        writeln!(all, "30:{i:02} hall/d-{i:02} moved {HOT} 600").unwrap();
    }
    let odd = format!("{there}30:00 hall/d-07 moved {HOT} 600");
    let found = check(NOTHING, &odd, &["closed hall/d-07: hall/d-07"]);
    let siblings = &found[0]["incident"]["impact"]["siblings"];
    assert_eq!((siblings["of"].as_u64(), siblings["same"].as_u64()), (Some(19), Some(0)), "{siblings}");
    let found = check(NOTHING, &format!("{there}{all}"), &["closed 20 of them: hall"]);
    assert_eq!(found[0]["incident"]["impact"]["devices"], 20);
}

#[test]
fn who_depends_on_it_is_counted_and_decides_the_order() {
    let mut history = String::from("00:00 hall/gateway is role=gateway\n00:00 hall/lonely is role=host\n");
    for i in 1..=12 {
        writeln!(history, "00:00 hall/sensor-{i} is role=sensor").unwrap();
    }
    writeln!(history, "30:00 hall/lonely moved {CPU} 300\n31:00 hall/gateway moved {CPU} 300").unwrap();
    let given = Given { topology: UPLINK, ..NOTHING };
    let found =
        check(given, &history, &["closed hall/lonely: hall/lonely", "closed hall/gateway: hall/gateway"]);
    let [lonely, gateway] = [0, 1].map(|i| &found[i]["incident"]);
    assert_eq!((&lonely["impact"]["dependents"], &gateway["impact"]["dependents"]), (&0.into(), &12.into()));
    assert!(gateway["priority"].as_u64() < lonely["priority"].as_u64(), "{gateway:#}\n{lonely:#}");
    let why = gateway["priority_why"].to_string();
    assert!(why.contains("12 entities depend on it"), "{why}");
}
