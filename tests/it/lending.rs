//! A capsule comes to the collector when somebody asks for it: over real brokers, that die, from a device that may not send
//! all it has.

use std::path::Path;
use std::time::Duration;

use fieldmouse::link::message;
use fieldmouse_core::series::cut;
use fieldmouse_core::wire::{self, Ask, Head, Kind};
use fieldmouse_tests::broker::Mosquitto;
use fieldmouse_tests::ear::Ear;
use fieldmouse_tests::http;
use fieldmouse_tests::program::{Agent, Collector, fieldmouse};
use fieldmouse_tests::wait::{LIMIT, pause, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// So many that a capsule takes several pieces.
const SENSORS: u32 = 40;

/// Writes all sensors: noise around 20, or far away.
fn write(dir: &Path, turn: u32, far: bool) {
    for i in 0..SENSORS {
        let noise = f64::from((turn * SENSORS + i).wrapping_mul(2_654_435_761) >> 12) / f64::from(1u32 << 20);
        let value = if far { 90.0 } else { 20.0 } + noise;
        let (new, name) = (dir.join(format!("sensors/new-{i}")), dir.join(format!("sensors/tank-{i}")));
        std::fs::write(&new, format!("{value:.6}\n")).unwrap();
        std::fs::rename(new, name).unwrap();
    }
}

fn config(dir: &Path, broker: &Mosquitto, bytes_per_day: u32) -> String {
    let off = ["host", "filesystem", "process", "hwmon", "thermal"]
        .map(|source| format!("[source.{source}]\nenabled = false\n"))
        .concat();
    format!(
        "[node]\nname = \"mouse-1\"\nsite = \"lab\"\n[agent]\ntick = \"100ms\"\n[broker]\nurl = \"{}\"\nretry_min = \"200ms\"\nretry_max = \"1s\"\n[capsule]\nbytes_per_day = {bytes_per_day}\n[source.file]\nevery = \"100ms\"\ndir = \"{}\"\n{off}",
        broker.url(),
        dir.join("sensors").display()
    )
}

/// Makes an episode and its capsule, and stops the agent.
fn record(dir: &Path, broker: &Mosquitto) {
    std::fs::create_dir(dir.join("sensors")).unwrap();
    write(dir, 0, false);
    let mut agent = Agent::with(dir, &config(dir, broker, 0), |command| command);
    let mut turn = 0;
    let mut sensors = |far: bool| {
        for _ in 0..10 {
            turn += 1;
            write(dir, turn, far);
            pause(Duration::from_millis(50));
        }
    };
    while agent.status()["ticks"].as_u64() < Some(300) {
        sensors(false);
    }
    wait_for(3 * LIMIT, "a capsule", || {
        sensors(true);
        agent.run.check_alive();
        (agent.status()["capsules"]["count"] == 1).then_some(())
    });
    agent.until("the word of every collector", |s| s["outbox"]["waiting"] == 0);
    agent.run.signal(Signal::TERM);
    assert_eq!(agent.run.ended().code(), Some(0), "{}", agent.run.said());
}

/// The path of the episode's capsule, once the collector knows of it.
fn path(collector: &Collector) -> String {
    wait_for(LIMIT, "the episode", || {
        let answer = http::get(&collector.http, "/api/v1/episodes").ok()?;
        let e = answer["episodes"].as_array()?.first().cloned()?;
        Some(format!("/api/v1/episodes/lab/mouse-1/{}/{}/capsule", e["epoch"].as_str()?, e["id"].as_str()?))
    })
}

/// Asks until the answer is no longer that it is on its way. Returns that answer, and how far it was each time.
fn fetch(collector: &Collector, path: &str, mut each: impl FnMut(u64)) -> (u16, Vec<u8>) {
    wait_for(3 * LIMIT, "the capsule", || {
        let (status, body) = http::bytes(&collector.http, path).ok()?;
        if status != 202 {
            return Some((status, body));
        }
        let told: Value = serde_json::from_slice(&body).unwrap();
        each(told["have"].as_u64().unwrap());
        None
    })
}

fn error(answer: (u16, Vec<u8>)) -> (u16, String) {
    let told: Value = serde_json::from_slice(&answer.1).unwrap();
    (answer.0, told["error"].as_str().unwrap().to_owned())
}

#[test]
fn a_capsule_is_fetched_in_pieces_over_a_broker_that_dies() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let broker = Mosquitto::plain(dir);
    let [one, two, three] = ["one", "two", "three"].map(|id| Collector::named(dir, &broker.url(), id));
    record(dir, &broker);
    let capsules = dir.join("state/capsules");
    let name = std::fs::read_dir(&capsules).unwrap().flatten().next().unwrap().file_name();
    let file = std::fs::read(capsules.join(&name)).unwrap();
    assert!(file.len() > 40_000, "{} bytes are too few pieces", file.len());
    let path = path(&one);
    assert_eq!(http::bytes(&one.http, &path.replace("mouse-1", "mouse-2")).unwrap().0, 404);

    // Room for one piece, not for two.
    let mut agent = Agent::with(dir, &config(dir, &broker, 20_000), |command| command);
    let (status, said) = error(fetch(&one, &path, |_| {}));
    assert!(status == 503 && said.contains("as much of capsules as it may in a day"), "{status} {said}");
    assert_eq!(agent.status()["capsules"]["sent_bytes_day"], 16_384);
    agent.run.signal(Signal::TERM);
    assert_eq!(agent.run.ended().code(), Some(0), "{}", agent.run.said());

    let mut agent = Agent::with(dir, &config(dir, &broker, 1 << 20), |command| command);
    let port = broker.port;
    let (mut broker, mut last, mut is_killed) = (Some(broker), 0, false);
    let (status, bytes) = fetch(&two, &path, |have| {
        assert!(have >= last, "what came stays: {have} after {last}");
        last = have;
        if have > 0 && !is_killed {
            is_killed = true;
            drop(broker.take());
            broker = Some(Mosquitto::on(dir, port, "allow_anonymous true"));
        }
    });
    assert!(is_killed, "it came in several pieces");
    assert!(status == 200 && bytes == file, "{status}, {} bytes of {}", bytes.len(), file.len());
    std::fs::write(dir.join("fetched.capsule"), bytes).unwrap();
    let ran = fieldmouse(dir, &["replay", "--capsule", "fetched.capsule"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.lines().nth(1).is_some_and(|l| l.ends_with("largest difference 0e0")), "{}", ran.out);

    // Whoever is no collector gets nothing, whatever is asked, and harms nobody.
    let side = broker.as_ref().map(|b| b.side_port).unwrap();
    let ear = Ear::at(side, "ear", "fieldmouse/1/lab/mouse-1/capsule");
    let epoch = path.split('/').nth(6).unwrap().parse().unwrap();
    let ask = |by: &str| {
        let mut body = [0; 80];
        let len = wire::write_body(&Ask { episode: 1, at: 0, by: cut(by) }, &mut body).unwrap();
        let stamp = fieldmouse::clock::Stamp { mono_ms: 0, wall_ms: None, clock: 0 };
        message(&Head { node: "mouse-1", epoch }, stamp, Kind::Ask, &body[..len]).to_vec()
    };
    let cut_short = ask("two");
    let topic = "fieldmouse/1/lab/mouse-1/ask";
    for payload in
        [ask("stranger"), cut_short[..cut_short.len() - 3].to_vec(), vec![0xFD; 60_000], vec![0xFD; 400_000]]
    {
        ear.publish(topic, &payload);
    }
    wait_for(LIMIT, "a word of the stranger", || {
        agent
            .run
            .said()
            .contains("`stranger` asks for a capsule, and no collector of that name")
            .then_some(())
    });
    agent.event("deployment", "the agent lives");
    agent.until("the link", |s| s["link"]["state"] == "up" && s["outbox"]["waiting"] == 0);
    assert_eq!(ear.all().len(), 0, "{ear:?}");

    std::fs::remove_dir_all(&capsules).unwrap();
    let (status, said) = error(fetch(&three, &path, |_| {}));
    assert!(status == 404 && said.starts_with("the device has no capsule of it"), "{status} {said}");
    assert_eq!(ear.all().len(), 1, "the answer to the collector");
}
