//! End to end on this machine, with real faults: stress-ng, mosquitto, the agent and the collector as they are shipped.
//!
//! `bench endtoend [--calm SECONDS] [--fault SECONDS] [--only NAME]` prints, for each fault, `name value unit`: after how long
//! its episode was in the collector's database, how many opened, what the first contributor was, and how long after the
//! fault's end it was closed. It judges nothing; the figures to reach are in ARCHITECTURE.md.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::broker::Mosquitto;
use crate::http;
use crate::program::{Agent, Collector};
use crate::wait::{timed, wait_until};
use serde_json::Value;

/// What stress-ng is told, and the part of the device it is about.
const FAULTS: [(&str, &str, &str); 4] = [
    ("cpu_hog", "--cpu 0", "cpu"),
    ("memory_hog", "--vm 1 --vm-bytes 25% --vm-keep", "memory"),
    ("disk_writer", "--hdd 1", "disk"),
    ("fork_storm", "--fork 4", "process"),
];

/// Whether it came true before `limit`. Asking costs processor time, which must not show: so it is done twice a second.
pub(super) fn patiently(limit: Duration, mut ask: impl FnMut() -> bool) -> bool {
    let mut waited = Duration::ZERO;
    while waited < limit {
        if ask() {
            return true;
        }
        waited += timed(|| wait_until(Duration::from_millis(500), || false)).1;
    }
    false
}

/// Prints the figures.
pub fn main(args: &[String]) {
    let mut calm = 300;
    let mut fault = 30;
    let mut only = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value = args.next().expect("a value");
        match arg.as_str() {
            "--calm" => calm = value.parse().expect("seconds"),
            "--fault" => fault = value.parse().expect("seconds"),
            "--only" => only = Some(value.clone()),
            other => {
                panic!("`{other}` is not understood; usage: endtoend [--calm S] [--fault S] [--only NAME]")
            }
        }
    }
    for (name, words, group) in FAULTS {
        if only.as_ref().is_none_or(|o| o == name) {
            measure(name, words, group, calm, fault);
        }
    }
}

/// Each fault has a device of its own that has seen nothing but calm.
fn measure(name: &str, words: &str, group: &str, calm: u64, fault: u64) {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let collector = Collector::start(dir.path(), &broker.url());
    let agent = Agent::on_host(dir.path(), &broker.url());
    let episodes = || -> Vec<Value> {
        let answer = http::get(&collector.http, "/api/v1/episodes?state=all").unwrap();
        answer["episodes"].as_array().unwrap().clone()
    };
    wait_until(Duration::from_secs(calm), || false);
    let in_the_calm = episodes();
    println!("{name}_opened_in_the_calm {} count", in_the_calm.len());
    for e in &in_the_calm {
        println!("# in the calm: {}", e["sentence"]);
    }
    let before = in_the_calm.len();

    let scratch = dir.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let mut stress = Command::new("stress-ng")
        .args(words.split(' '))
        .arg("--temp-path")
        .arg(&scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("no stress-ng; apt-get install stress-ng");
    let (seen, after) = timed(|| patiently(Duration::from_secs(60), || episodes().len() > before));
    if seen {
        println!("{name}_seen_after {:.1} s", after.as_secs_f64());
    } else {
        println!("{name}_seen_after never s");
    }
    wait_until(Duration::from_secs(fault).saturating_sub(after), || false);
    let pid = rustix::process::Pid::from_child(&stress);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    stress.wait().unwrap();
    let is_over = || episodes().iter().all(|e| e["state"] != "open");
    let (closed, after) = timed(|| patiently(Duration::from_secs(120), is_over));
    println!(
        "{name}_closed_after_end {} s",
        if closed { format!("{:.1}", after.as_secs_f64()) } else { "never".into() }
    );
    // What comes late would be a second episode of the same cause.
    wait_until(Duration::from_secs(15), || false);
    let new: Vec<Value> =
        episodes().into_iter().filter(|e| !in_the_calm.iter().any(|c| c["id"] == e["id"])).collect();
    println!("{name}_episodes {} count", new.len());
    for e in &new {
        let path = ["site", "node", "epoch", "id"].map(|k| e[k].as_str().unwrap_or_default()).join("/");
        let full = http::get(&collector.http, &format!("/api/v1/episodes/{path}")).unwrap();
        let first = &full["contributors"][0]["series"];
        println!("{name}_group_is_right {} bool", e["group"] == group);
        println!("# {name}: {first}: {}", e["sentence"]);
    }
    let cost = agent.status()["cost"].clone();
    println!("{name}_agent_cpu {} us_per_s", cost["cpu_us"]);
}
