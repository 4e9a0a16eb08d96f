//! What happened near an episode's onset reaches people with it: told to the agent, ranked there, shown by the collector.

use std::time::Duration;

use fieldmouse_tests::broker::Mosquitto;
use fieldmouse_tests::http;
use fieldmouse_tests::program::{Agent, Collector};
use fieldmouse_tests::wait::{LIMIT, pause, wait_for};

#[test]
fn a_change_before_the_onset_is_told_with_the_episode() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let broker = Mosquitto::plain(dir);
    let collector = Collector::start(dir, &broker.url());
    let sensors = dir.join("sensors");
    std::fs::create_dir(&sensors).unwrap();
    let write = |value: f32| {
        let new = sensors.join(".new");
        std::fs::write(&new, format!("{value}\n")).unwrap();
        std::fs::rename(new, sensors.join("boiler")).unwrap();
    };
    write(20.0);
    let config = format!(
        "[node]\nname = \"mouse-1\"\nsite = \"lab\"\n[agent]\ntick = \"100ms\"\n[broker]\nurl = \"{}\"\n[source.file]\nevery = \"100ms\"\ndir = \"{}\"\n\
         [[series]]\nmatch = \"sensor.value*\"\nlimit = {{ above = 50.0 }}\n",
        broker.url(),
        sensors.display()
    );
    let mut agent = Agent::with(dir, &config, |command| command);
    agent.until("a tick", |s| s["ticks"].as_u64() > Some(3));
    agent.event("note", "the cat was fed");
    agent.event("package", "boiler-firmware upgraded to 2.1.");
    let mut turn = 0.0;
    let episode = wait_for(LIMIT, "the episode", || {
        turn += 1.0;
        write(80.0 + turn % 7.0);
        pause(Duration::from_millis(50));
        let answer = http::get(&collector.http, "/api/v1/episodes").ok()?;
        answer["episodes"].as_array()?.first().cloned()
    });
    let [epoch, id] = ["epoch", "id"].map(|key| episode[key].as_str().unwrap());
    let e = http::get(&collector.http, &format!("/api/v1/episodes/lab/mouse-1/{epoch}/{id}")).unwrap();
    let near: Vec<&str> = e["near"].as_array().unwrap().iter().map(|n| n["text"].as_str().unwrap()).collect();
    assert_eq!(near, ["boiler-firmware upgraded to 2.1", "the cat was fed"], "{e}");
    assert!(e["near"][0]["before_ms"].as_i64().unwrap() >= 0, "{e}");
    let sentence = e["sentence"].as_str().unwrap();
    assert!(sentence.contains(" before: boiler-firmware upgraded to 2.1; for "), "{sentence}");
}
