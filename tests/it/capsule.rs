//! A running agent keeps what it read around an episode; the capsule outlives it, and gives the same scores again.

use std::time::Duration;

use fieldmouse_tests::free_port;
use fieldmouse_tests::program::{Agent, fieldmouse};
use fieldmouse_tests::wait::{LIMIT, pause, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// Writes a sensor until it is told to stop: noise around 20, or far away.
fn write(dir: &std::path::Path, turn: u32, far: bool) {
    let noise = f64::from(turn.wrapping_mul(2_654_435_761) >> 12) / f64::from(1u32 << 20);
    let value = if far { 90.0 } else { 20.0 } + noise;
    std::fs::write(dir.join("sensors/tank.new"), format!("{value:.4}\n")).unwrap();
    std::fs::rename(dir.join("sensors/tank.new"), dir.join("sensors/tank")).unwrap();
}

#[test]
fn the_readings_around_an_episode_outlive_the_agent_and_give_its_scores() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sensors")).unwrap();
    let port = free_port();
    let off = ["host", "filesystem", "process", "hwmon", "thermal"]
        .map(|source| format!("[source.{source}]\nenabled = false\n"))
        .concat();
    let config = format!(
        "[node]\nname = \"mouse-1\"\n[agent]\ntick = \"100ms\"\n[broker]\nurl = \"mqtt://127.0.0.1:{port}\"\n[source.file]\nevery = \"100ms\"\ndir = \"{}\"\n{off}",
        dir.path().join("sensors").display()
    );
    write(dir.path(), 0, false);
    let mut agent = Agent::with(dir.path(), &config, |command| command);
    let mut turn = 0;
    let mut sensor = |far: bool| {
        turn += 1;
        write(dir.path(), turn, far);
        pause(Duration::from_millis(50));
    };
    while agent.status()["ticks"].as_u64() < Some(300) {
        (0..10).for_each(|_| sensor(false));
    }
    assert_eq!(agent.status()["capsules"]["count"], 0);
    wait_for(3 * LIMIT, "a capsule", || {
        (0..10).for_each(|_| sensor(true));
        agent.run.check_alive();
        (agent.status()["capsules"]["count"] == 1).then_some(())
    });
    (0..10).for_each(|_| sensor(true));
    agent.run.signal(Signal::TERM);
    assert_eq!(agent.run.ended().code(), Some(0), "{}", agent.run.said());

    let run = |args: &[&str]| {
        let state = format!("[agent]\nstate_dir = \"{}\"\n", dir.path().join("state").display());
        std::fs::write(dir.path().join("here.toml"), state).unwrap();
        let ran = fieldmouse(dir.path(), &[&["-c", "here.toml"], args].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out
    };
    let listed: Value = serde_json::from_str(&run(&["capsule", "list", "--json"])).unwrap();
    assert_eq!(
        (&listed["node"], &listed["damaged"], &listed["id"]),
        (&"mouse-1".into(), &0.into(), &1.into())
    );
    let named = listed["events"][0]["contributors"][0]["series"].as_str().unwrap();
    assert_eq!(named, "sensor.value{sensor.name=tank}");
    assert!(run(&["capsule", "list"]).contains("tank"), "{}", run(&["capsule", "list"]));
    run(&["capsule", "get", "1", "--out", "one.capsule"]);

    // Elsewhere: another machine has neither the configuration nor the state.
    let ran = fieldmouse(
        dir.path(),
        &["replay", "--capsule", "one.capsule", "--scores", "s.csv", "--events", "e.jsonl"],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    let words: Vec<&str> = lines[1].split(' ').collect();
    let (replayed, same) = (words[2], words[8]);
    assert_eq!(replayed, same, "{}", ran.out);
    assert!(replayed.parse::<u32>().unwrap() >= 20, "{}", ran.out);
    assert!(lines[1].ends_with("largest difference 0e0"), "{}", ran.out);
    let told: Vec<&str> = lines[2].split(' ').collect();
    assert_eq!(told[0], told[2], "{}", ran.out);
    let scores = std::fs::read_to_string(dir.path().join("s.csv")).unwrap();
    assert_eq!(scores.lines().count(), replayed.parse::<usize>().unwrap() + 1);
    let events = std::fs::read_to_string(dir.path().join("e.jsonl")).unwrap();
    assert!(events.contains("\"kind\":\"episode\""), "{events}");

    let ran = fieldmouse(dir.path(), &["replay", "--capsule", "s.csv"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("s.csv: is no capsule: it does not begin like one"), "{}", ran.err);
    let ran = fieldmouse(dir.path(), &["-c", "here.toml", "capsule", "get", "7", "--out", "x"]);
    assert!(ran.err.contains("there is no capsule 7"), "{}", ran.err);
}
