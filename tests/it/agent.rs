//! A running agent and a real broker: what subscribers see when it comes, speaks, leaves, is killed or is not let in.

use std::time::Duration;

use fieldmouse_tests::broker::{self, Mosquitto};
use fieldmouse_tests::ear::Ear;
use fieldmouse_tests::free_port;
use fieldmouse_tests::program::Agent;
use fieldmouse_tests::wait::{LIMIT, timed};
use rustix::process::Signal;
use serde_json::Value;

const ALL: &str = "fieldmouse/1/lab/mouse-1/#";

fn config(url: &str, more: &str) -> String {
    format!(
        "[node]\nname = \"mouse-1\"\nsite = \"lab\"\n[broker]\nurl = \"{url}\"\nretry_min = \"200ms\"\nretry_max = \"1s\"\n{more}\n"
    )
}

fn is_state(word: &str) -> impl Fn(&Value) -> bool {
    move |e| e["kind"] == "status" && e["body"]["state"] == word
}

fn is_fact(kind: &str) -> impl Fn(&Value) -> bool {
    move |e| e["kind"] == "fact" && e["body"]["kind"] == kind
}

fn is_up(status: &Value) -> bool {
    status["link"]["state"] == "up"
}

#[test]
fn it_comes_speaks_and_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let early = Ear::at(broker.side_port, "early", ALL);
    let mut agent = Agent::start(dir.path(), &config(&broker.url(), "[node.labels]\nline = \"b\""));

    let (_, online) = early.wait(LIMIT, "status", "status online", is_state("online"));
    assert_eq!(online["node"], "mouse-1");
    let (_, birth) = early.wait(LIMIT, "birth", "a birth", |e| e["kind"] == "birth");
    assert_eq!(birth["body"]["labels"], "line=b");
    let series = birth["body"]["series"].as_array().unwrap();
    assert!(series.iter().any(|s| s == "system.memory.utilization"), "{series:?}");
    let (_, beat) = early.wait(LIMIT, "beat", "a beat", |e| e["kind"] == "beat");
    assert!(beat["body"]["series"].as_u64().unwrap() > 0);
    let alarms = &beat["body"]["alarms"];
    assert_eq!((alarms["budget"].as_f64(), alarms["period_s"].as_u64()), (Some(1.0), Some(604_800)));
    assert_eq!(beat["epoch"], online["epoch"]);

    agent.event("deployment", "web 2.4.1 is out");
    let (_, fact) = early.wait(LIMIT, "event", "the fact", is_fact("deployment"));
    assert_eq!(fact["body"]["text"], "web 2.4.1 is out");
    assert!(fact["seq"].as_u64().unwrap() >= 1);

    // Those who come later see who is here.
    let late = Ear::at(broker.side_port, "late", ALL);
    assert!(late.wait(LIMIT, "status", "retained status", is_state("online")).0.retained);
    assert!(late.wait(LIMIT, "birth", "retained birth", |e| e["kind"] == "birth").0.retained);

    agent.run.signal(Signal::TERM);
    let (status, took) = timed(|| agent.run.ended());
    assert_eq!(status.code(), Some(0), "{}", agent.run.said());
    assert!(took < Duration::from_secs(10), "drained in {took:?}");
    early.wait(LIMIT, "status", "status offline", is_state("offline"));
    let after = Ear::at(broker.side_port, "after", ALL);
    assert!(after.wait(LIMIT, "status", "retained offline", is_state("offline")).0.retained);
    assert!(
        !early.all().iter().flat_map(|h| &h.events).any(is_state("lost")),
        "a goodbye keeps the will unsaid"
    );
}

#[test]
fn killed_it_is_reported_lost_and_nothing_told_is_forgotten() {
    // The will is delayed by 30 s, so that a quick reconnect is no news.
    const WILL: Duration = Duration::from_secs(60);
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let config = config(&broker.url(), "");
    let mut agent = Agent::start(dir.path(), &config);
    agent.until("the link", is_up);
    let ear = Ear::at(broker.side_port, "ear", ALL);
    agent.event("note", "before the end");
    let (_, before) = ear.wait(LIMIT, "event", "the note", is_fact("note"));
    agent.run.signal(Signal::KILL);
    assert_eq!(agent.run.ended().code(), None);
    ear.wait(WILL, "status", "status lost", is_state("lost"));
    let late = Ear::at(broker.side_port, "late", ALL);
    assert!(late.wait(LIMIT, "status", "retained lost", is_state("lost")).0.retained);

    // No collector said it has the note: the next life sends it again under the same number.
    let again = Ear::at(broker.side_port, "again", "fieldmouse/1/lab/mouse-1/event");
    let _agent = Agent::start(dir.path(), &config);
    let (_, after) = again.wait(LIMIT, "event", "the note again", is_fact("note"));
    assert_eq!((&after["seq"], &after["epoch"]), (&before["seq"], &before["epoch"]));
}

#[test]
fn without_a_broker_it_works_on_and_connects_when_one_comes() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut agent = Agent::start(dir.path(), &config(&format!("mqtt://127.0.0.1:{port}"), ""));
    agent.event("note", "told to nobody");
    let status = agent.until("ticks without a broker", |s| {
        s["ticks"].as_u64() > Some(10) && s["link"]["why"].as_str().is_some_and(|w| w.contains("refused"))
    });
    assert_eq!((&status["link"]["state"], &status["outbox"]["waiting"]), (&"down".into(), &1.into()));
    let broker = Mosquitto::on(dir.path(), port, "allow_anonymous true");
    let ear = Ear::at(broker.side_port, "ear", ALL);
    agent.until("the link", is_up);
    ear.wait(LIMIT, "event", "what was told meanwhile", is_fact("note"));
}

#[test]
fn a_broker_that_goes_and_comes_back_gets_what_was_told_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let port = broker.port;
    let mut agent = Agent::start(dir.path(), &config(&broker.url(), ""));
    agent.until("the link", is_up);
    drop(broker);
    agent.until("the link down", |s| !is_up(s));
    agent.event("note", "told in the dark");
    // It comes back without any memory.
    let broker = Mosquitto::on(dir.path(), port, "allow_anonymous true");
    let ear = Ear::at(broker.side_port, "ear", ALL);
    ear.wait(LIMIT, "event", "what was told meanwhile", is_fact("note"));
    ear.wait(LIMIT, "status", "status online", is_state("online"));
}

#[test]
fn a_wrong_password_is_said_and_not_hammered() {
    let dir = tempfile::tempdir().unwrap();
    let passwords = broker::passwords(dir.path(), "mouse", "cheese");
    let lines = format!("allow_anonymous false\npassword_file {}", passwords.display());
    let broker = Mosquitto::on(dir.path(), free_port(), &lines);
    std::fs::write(dir.path().join("right"), "cheese\n").unwrap();
    std::fs::write(dir.path().join("wrong"), "ham\n").unwrap();
    let login = |file: &str| config(&broker.url(), &format!("user = \"mouse\"\npassword_file = \"{file}\""));

    let mut agent = Agent::start(dir.path(), &login("wrong"));
    let refused = |s: &Value| s["link"]["why"].as_str().is_some_and(|why| why.contains("refused"));
    agent.until("a refusal", refused);
    // Three seconds of ticks. Waits grow from 200 ms; one that spins would try hundreds of times.
    let status = agent.until("30 ticks", |s| s["ticks"].as_u64() > Some(30));
    let attempts = status["link"]["attempts"].as_u64().unwrap();
    assert!(refused(&status) && (1..=15).contains(&attempts), "{}", status["link"]);
    assert!(!agent.run.said().contains("ham"), "a password in the log");
    drop(agent);

    let mut agent = Agent::start(dir.path(), &login("right"));
    agent.until("the link", is_up);
}

#[test]
fn tls_with_certificates_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    broker::certificates(dir.path());
    let d = dir.path().display();
    let lines = format!(
        "allow_anonymous true\ncafile {d}/ca.pem\ncertfile {d}/broker.pem\nkeyfile {d}/broker.key\nrequire_certificate true"
    );
    let broker = Mosquitto::on(dir.path(), free_port(), &lines);
    let url = format!("mqtts://localhost:{}", broker.port);
    let ear = Ear::at(broker.side_port, "ear", ALL);
    let without = config(&url, "ca_file = \"ca.pem\"");
    let with = config(&url, "ca_file = \"ca.pem\"\ncert_file = \"mouse.pem\"\nkey_file = \"mouse.key\"");

    let mut agent = Agent::start(dir.path(), &without);
    agent.until("a failed handshake", |s| s["link"]["attempts"].as_u64() > Some(1) && !is_up(s));
    drop(agent);
    let mut agent = Agent::start(dir.path(), &with);
    agent.until("the link", is_up);
    ear.wait(LIMIT, "birth", "a birth over TLS", |e| e["kind"] == "birth");
}

#[test]
fn a_reload_takes_a_good_file_and_refuses_a_bad_one() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let ear = Ear::at(broker.side_port, "ear", ALL);
    let config = config(&broker.url(), "");
    let file = dir.path().join("fieldmouse.toml");
    let mut agent = Agent::start(dir.path(), &config);
    let has = |s: &Value, name: &str| s["sources"].as_array().unwrap().iter().any(|x| x["name"] == name);
    assert!(has(&agent.until("the link", is_up), "hwmon"));

    std::fs::write(&file, format!("{config}\n[source.hwmom]\nenabled = false\n")).unwrap();
    agent.run.signal(Signal::HUP);
    let (_, refused) = ear.wait(LIMIT, "event", "the refusal", is_fact("reload-refused"));
    let text = refused["body"]["text"].as_str().unwrap();
    assert!(
        text.contains("fieldmouse.toml: line ") && text.contains("no source is called `hwmom`"),
        "{text}"
    );
    let ticks = agent.status()["ticks"].as_u64();
    let status = agent.until("more ticks", |s| s["ticks"].as_u64() > ticks);
    assert!(has(&status, "hwmon") && is_up(&status));

    std::fs::write(&file, format!("{config}\n[source.hwmon]\nenabled = false\n")).unwrap();
    agent.run.signal(Signal::HUP);
    ear.wait(LIMIT, "event", "the reload", is_fact("reload"));
    agent.until("hwmon to be off", |s| !has(s, "hwmon"));
}

#[test]
fn two_agents_on_one_socket_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&format!("mqtt://127.0.0.1:{}", free_port()), "");
    let agent = Agent::start(dir.path(), &config);
    let socket = dir.path().join("agent.sock");
    let more = format!("{config}\n[agent]\nsocket = \"{}\"\n", socket.display());
    std::fs::write(dir.path().join("second.toml"), more).unwrap();
    let ran = fieldmouse_tests::program::fieldmouse(dir.path(), &["run", "-c", "second.toml"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("another agent answers on this socket"), "{}", ran.err);
    assert!(agent.status()["ticks"].as_u64().is_some(), "the first is none the wiser");
}
