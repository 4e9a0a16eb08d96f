//! From a device to the collector's database, with the programs as they are built.

use fieldmouse_tests::broker::Mosquitto;
use fieldmouse_tests::http;
use fieldmouse_tests::program::{Agent, Collector};
use fieldmouse_tests::wait::{LIMIT, wait_for};
use rustix::process::Signal;

fn config(broker: &Mosquitto) -> String {
    format!(
        "[node]\nname = \"mouse-1\"\nsite = \"lab\"\n[broker]\nurl = \"{}\"\nretry_min = \"200ms\"\nretry_max = \"1s\"\n",
        broker.url()
    )
}

#[test]
fn the_outbox_is_emptied_by_the_collectors_word_alone() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let mut agent = Agent::start(dir.path(), &config(&broker));
    agent.event("deployment", "web 2.4.1 is out");
    let status =
        agent.until("the link", |s| s["link"]["state"] == "up" && s["link"]["bytes_sent"].as_u64() > Some(0));
    assert_eq!((&status["outbox"]["waiting"], &status["outbox"]["acked"]), (&1.into(), &0.into()));

    let mut collector = Collector::start(dir.path(), &broker.url());
    agent.until("the collector's word", |s| {
        s["outbox"]["waiting"] == 0 && s["outbox"]["acked"] == s["outbox"]["seq"]
    });
    let device = || {
        let answer = http::get(&collector.http, "/api/v1/devices").ok()?;
        answer["devices"]
            .as_array()?
            .iter()
            .find(|d| d["node"] == "mouse-1" && d["state"] == "online")
            .cloned()
    };
    wait_for(LIMIT, "the device on the page", device);

    // Killed in the middle of its work, it has what it acknowledged.
    collector.run.signal(Signal::KILL);
    assert_eq!(collector.run.ended().code(), None);
    agent.event("deployment", "web 2.4.2 is out");
    let mut collector = Collector::start(dir.path(), &broker.url());
    agent.until("the second word", |s| {
        s["outbox"]["waiting"] == 0 && s["outbox"]["acked"].as_u64() >= Some(2)
    });
    let facts = http::get(&collector.http, "/api/v1/facts").unwrap();
    let texts: Vec<_> =
        facts["facts"].as_array().unwrap().iter().map(|f| f["text"].as_str().unwrap()).collect();
    for text in ["web 2.4.1 is out", "web 2.4.2 is out"] {
        assert_eq!(texts.iter().filter(|t| **t == text).count(), 1, "{text} is shown once: {facts}");
    }
    collector.run.signal(Signal::TERM);
    assert_eq!(collector.run.ended().code(), Some(0), "{}", collector.run.said());
}

#[test]
fn neither_of_two_collectors_speaks_for_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let [quick, slow] = ["quick", "slow"].map(|id| Collector::named(dir.path(), &broker.url(), id));
    let mut agent = Agent::start(dir.path(), &config(&broker));
    agent.event("deployment", "web 2.4.1 is out");
    agent.until("the word of both", |s| s["outbox"]["acked"] == 1 && s["outbox"]["waiting"] == 0);

    slow.run.signal(Signal::STOP);
    agent.event("deployment", "web 2.4.2 is out");
    let has = |at: &Collector, text: &str| {
        let facts = http::get(&at.http, "/api/v1/facts").ok()?;
        facts["facts"].as_array()?.iter().any(|f| f["text"] == text).then_some(())
    };
    wait_for(LIMIT, "the quick one's commit", || has(&quick, "web 2.4.2 is out"));
    // Its acknowledgement went before its page could show the commit; a third event shows that it was heard.
    agent.event("deployment", "web 2.4.3 is out");
    wait_for(LIMIT, "the quick one's next commit", || has(&quick, "web 2.4.3 is out"));
    let o = &agent.status()["outbox"];
    assert_eq!((&o["acked"], &o["waiting"]), (&1.into(), &2.into()), "freed without the slow one's commit");

    slow.run.signal(Signal::CONT);
    agent.until("the word of both again", |s| s["outbox"]["acked"] == 3 && s["outbox"]["waiting"] == 0);
    for text in ["web 2.4.1 is out", "web 2.4.2 is out", "web 2.4.3 is out"] {
        assert!(has(&slow, text).is_some() && has(&quick, text).is_some(), "{text}");
    }
}
