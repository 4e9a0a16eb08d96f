//! Two brokers in the list: the second one takes over, and the first one has its turn again.

use fieldmouse_tests::broker::Mosquitto;
use fieldmouse_tests::program::{Agent, Collector};

fn folder(dir: &std::path::Path, name: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    std::fs::create_dir(&path).unwrap();
    path
}

#[test]
fn when_the_first_broker_dies_everything_arrives_over_the_second() {
    const EVENTS: u64 = 20;
    let dir = tempfile::tempdir().unwrap();
    let first = Mosquitto::plain(&folder(dir.path(), "first"));
    let second = Mosquitto::plain(&folder(dir.path(), "second"));
    // The collector hears the second broker alone: what was told to the first one dies with it.
    let _collector = Collector::start(dir.path(), &second.url());
    let config = format!(
        "[node]\nname = \"mouse-1\"\nsite = \"lab\"\n[broker]\nurl = [\"{}\", \"{}\"]\nretry_min = \"200ms\"\nretry_max = \"1s\"\n",
        first.url(),
        second.url()
    );
    let mut agent = Agent::start(dir.path(), &config);
    let at = |port: u16| {
        move |s: &serde_json::Value| {
            let broker = s["link"]["broker"].as_str().unwrap_or_default();
            s["link"]["state"] == "up" && broker.ends_with(&port.to_string())
        }
    };
    agent.until("the first broker", at(first.port));
    for n in 0..EVENTS / 2 {
        agent.event("note", &format!("told to the first broker, {n}"));
    }
    agent.until("the first broker's confirmations", |s| s["outbox"]["waiting"].as_u64() >= Some(EVENTS / 2));
    let (port, place) = (first.port, dir.path().join("first"));
    drop(first);
    for n in 0..EVENTS / 2 {
        agent.event("note", &format!("told while nobody listened, {n}"));
    }
    agent.until("the second broker", at(second.port));
    let all = |s: &serde_json::Value| {
        s["outbox"]["waiting"] == 0
            && s["outbox"]["acked"].as_u64() >= Some(EVENTS)
            && s["outbox"]["lost"] == 0
    };
    agent.until("every event at the collector", all);
    println!("{EVENTS} events, 1 failover");

    // At the next reconnect the first one has its turn again, if it is there.
    let _first = Mosquitto::on(&place, port, "allow_anonymous true");
    drop(second);
    agent.until("the first broker again", at(port));
}
