//! What people decide: limits, directions, what is ignored, and maintenance, in which nothing alerts and nothing is learnt.

use std::fmt::Write;
use std::path::Path;

use fieldmouse::clock::Stamp;
use fieldmouse::config::load;
use fieldmouse::pipeline::Pipeline;
use fieldmouse_tests::free_port;
use fieldmouse_tests::program::{Agent, fieldmouse};
use rustix::process::Signal;
use serde_json::Value;

const MINUTE: u64 = 60;
/// 2026-11-22, a Sunday, 00:00 UTC.
const SUNDAY: u64 = 1_795_305_600;

const VAR: &str = "system.filesystem.utilization{system.filesystem.mountpoint=/var}";
const BUSY: &str = "system.cpu.utilization";
const CORE: &str = "system.cpu.utilization{cpu.logical_number=0}";

/// A device: the processor works in some minutes, or else `/var` grows from 85 % by a tenth of a percent a minute.
fn readings(t: u64, works: &[(u64, u64)]) -> [String; 3] {
    let noise = (t.wrapping_mul(2_654_435_761) >> 7 & 1023) as f64 / 1023.0;
    let busy = if works.iter().any(|(from, to)| (*from..*to).contains(&(t / MINUTE))) { 0.95 } else { 0.05 };
    let full = if works.is_empty() { 0.85 + t as f64 / 60_000.0 } else { 0.85 };
    [format!("{full:.5}"), format!("{:.4}", busy + 0.02 * noise), format!("{:.4}", busy + 0.02 * noise)]
}

/// Replays so many minutes from Sunday 00:00 on and returns what was told.
fn replay(config: &str, minutes: u64, works: &[(u64, u64)]) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = format!("timestamp,{VAR},{BUSY},{CORE}");
    for t in 0..minutes * MINUTE {
        write!(csv, "\n{},{}", SUNDAY + t, readings(t, works).join(",")).unwrap();
    }
    std::fs::write(dir.path().join("in.csv"), csv + "\n").unwrap();
    // What is decided is the same with the model and without, which is faster.
    let config = format!("[model]\nenabled = false\n{config}");
    std::fs::write(dir.path().join("fieldmouse.toml"), config).unwrap();
    let args = ["replay", "in.csv", "--events", "out.jsonl", "--config", "fieldmouse.toml"];
    let ran = fieldmouse(dir.path(), &args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let out = std::fs::read_to_string(dir.path().join("out.jsonl")).unwrap();
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The same in short: minute, and what was opened, closed or begun.
fn check(name: &str, config: &str, minutes: u64, works: &[(u64, u64)], wanted: &[&str]) -> Vec<Value> {
    let told = replay(config, minutes, works);
    let short = |e: &Value| {
        let minute = e["mono_ms"].as_u64().unwrap() / 60_000;
        let body = &e["body"];
        match (body["phase"].as_str(), body["kind"].as_str()) {
            // What will happen is not what is decided here.
            (Some(_), _) if body["group"].is_null() => None,
            (Some("updated"), _) => None,
            (Some(phase), _) => Some(format!("{minute} {phase} {}", body["group"].as_str().unwrap())),
            (_, Some(kind)) => Some(format!("{minute} {kind} {}", body["text"].as_str().unwrap())),
            _ => Some(format!("{minute} {}", body["text"])),
        }
    };
    let got: Vec<String> = told.iter().filter_map(short).collect();
    assert_eq!(got, wanted, "{name}");
    told
}

#[test]
fn limits_are_told_whatever_is_usual() {
    check("slow growth alone is not told", "", 80, &[], &[]);
    let limit = "[[series]]\nmatch = \"system.filesystem.utilization{*mountpoint=/v*}\"\nlimit = { above = 0.9, for = \"2m\" }\n";
    let told = check("a limit", limit, 60, &[], &["52 opened filesystem"]);
    let body = &told.iter().find(|e| e["kind"] == "episode").unwrap()["body"];
    assert_eq!(body["shape"], "limit");
    let sentence = body["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("Space in use on /var is at 90.2 %, above its limit of 90.0 %; for "),
        "{sentence}"
    );
    assert_eq!(body["contributors"][0]["series"], VAR);

    // A symptom may not open an episode, unless somebody set it a limit.
    let core = format!(
        "[[series]]\nmatch = \"{CORE}\"\nlimit = {{ above = 0.5 }}\n[[series]]\nmatch = \"{BUSY}\"\nignore = true\n"
    );
    let works = [(20, 22)];
    check("a symptom", &core, 30, &works, &["20 opened cpu", "22 closed cpu"]);
    check("what is usual", "", 30, &works, &["20 opened cpu", "22 closed cpu"]);
    let ignored = "[[series]]\nmatch = \"system.cpu.*\"\nignore = true\n";
    check("ignored", ignored, 30, &works, &[]);
    let down = "[[series]]\nmatch = \"system.cpu.*\"\ndirection = \"down\"\n";
    check("another direction", down, 30, &works, &[]);
    let floor = "[[series]]\nmatch = \"system.cpu.*\"\nfloor = 20\n";
    check("a floor", floor, 30, &works, &[]);
    let undone = format!("{ignored}[[series]]\nmatch = \"{BUSY}\"\nignore = false\n");
    check("later wins", &undone, 30, &works, &["20 opened cpu", "22 closed cpu"]);
}

#[test]
fn in_maintenance_nothing_alerts_and_nothing_is_learnt() {
    let works = [(20, 50), (60, 62)];
    check("without", "", 55, &works[..1], &["20 opened cpu", "50 closed cpu"]);
    let weekly = "[[maintenance]]\nname = \"backup\"\ndays = [\"sun\"]\nfrom = \"00:19\"\nto = \"00:51\"\n";
    let told = ["19 maintenance-begin backup", "51 maintenance-end backup"];
    // Half an hour of work would be the new usual; what comes after it is as strange as ever, and no return of anything.
    let after = ["60 opened cpu", "62 closed cpu"];
    check("weekly", weekly, 66, &works, &[&told[..], &after].concat());
    let elsewhere = weekly.replace("from", "offset = \"-01:00\"\nfrom");
    check("in another zone it is Saturday", &elsewhere, 30, &[(20, 22)], &["20 opened cpu", "22 closed cpu"]);
    let once = "[[maintenance]]\nname = \"backup\"\nfrom = \"2026-11-22T01:19:00+01:00\"\nto = \"2026-11-22T00:51:00Z\"\n";
    check("once", once, 66, &works, &[&told[..], &after].concat());
    let other = weekly.replace("from", "match = [\"system.disk.*\"]\nfrom");
    let all = [told[0], "20 opened cpu", "50 closed cpu", told[1]];
    check("of other series", &other, 55, &works[..1], &all);
}

#[test]
fn without_a_clock_the_calendar_is_not_followed_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fieldmouse.toml");
    let text = "[[maintenance]]\nname = \"always\"\nfrom = \"00:00\"\nto = \"24:00\"\n";
    std::fs::write(&file, text).unwrap();
    let config = load(Some(&file), std::iter::empty(), "host").unwrap();
    let mut pipeline = Pipeline::of(&config, None, 1);
    let mut check = |mono_ms, wall_s: Option<u64>, names: &[&str], is_blind, told: usize| {
        let mut out = Vec::new();
        let wall_ms = wall_s.map(|s| s * 1000);
        pipeline.follow_calendar(Stamp { mono_ms, wall_ms, clock: u8::from(wall_s.is_some()) }, &mut out);
        let (now, _, blind) = pipeline.maintenance(mono_ms);
        assert_eq!((now.as_slice(), blind, out.len()), (names, is_blind, told));
    };
    check(1000, None, &[], true, 0);
    check(2000, Some(SUNDAY), &["always"], false, 1);
    check(3000, Some(SUNDAY + 1), &["always"], false, 0);
    check(4000, None, &[], true, 1);
}

#[test]
fn conf_d_adds_tables_to_those_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("conf.d")).unwrap();
    let table = |pattern: &str| format!("[[series]]\nmatch = \"{pattern}\"\nignore = true\n");
    std::fs::write(dir.path().join("fieldmouse.toml"), table("a") + &table("b")).unwrap();
    std::fs::write(dir.path().join("conf.d/10-more.toml"), table("c")).unwrap();
    let file = dir.path().join("fieldmouse.toml");
    let config = load(Some(&file), std::iter::empty(), "host").unwrap();
    let patterns: Vec<&str> = config.written.series.iter().map(|t| t.pattern.as_str()).collect();
    assert_eq!(patterns, ["a", "b", "c"]);
    // A mistake is told where it stands, wherever the count began.
    let wrong = table("d") + "[[series]]\nmatch = \"\"\nignore = true\n";
    std::fs::write(dir.path().join("conf.d/20-wrong.toml"), wrong).unwrap();
    let said = load(Some(&file), std::iter::empty(), "host").unwrap_err().to_string();
    assert!(
        said.ends_with("20-wrong.toml: line 5: series[4].match: names no series; `*` stands for anything"),
        "{said}"
    );
}

fn start(dir: &Path, port: u16) -> Agent {
    let config = format!(
        "[broker]\nurl = \"mqtt://127.0.0.1:{port}\"\n[[series]]\nmatch = \"system.memory.*\"\nfloor = 0.5\n"
    );
    Agent::start_with(dir, &config, |c| c)
}

#[test]
fn maintenance_by_hand_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut agent = start(dir.path(), port);
    let names = |s: &Value| s["maintenance"]["now"].as_array().unwrap().clone();
    let ask = |args: &[&str]| {
        let ran = fieldmouse(dir.path(), &[&["maintenance"], args, &["--socket", "agent.sock"]].concat());
        (ran.code, ran.out + &ran.err)
    };
    assert_eq!(ask(&["end"]), (1, "fieldmouse: no maintenance was started by hand\n".into()));
    assert_eq!(ask(&["start", "--for", "2h"]).0, 2);
    assert_eq!(ask(&["start", "--for", "soon", "--text", "x"]).0, 2);
    assert_eq!(ask(&["start", "--for", "2h", "--text", "new disk"]).0, 0);
    let s = agent.until("maintenance", |s| names(s) == ["new disk"]);
    assert!((7190..=7200).contains(&s["maintenance"]["left_s"].as_u64().unwrap()), "{}", s["maintenance"]);
    let file = dir.path().join("state/learnt/device");
    agent.until("it to be kept", |_| file.exists());
    agent.run.signal(Signal::KILL);
    assert_eq!(agent.run.ended().code(), None);

    let mut agent = start(dir.path(), port);
    let s = agent.status();
    assert_eq!(names(&s), ["new disk"]);
    // The beginning was told once: kept, and not told anew by the next life.
    assert_eq!(s["outbox"]["seq"], 1, "{}", s["outbox"]);
    assert_eq!(ask(&["end"]).0, 0);
    agent.until("the end", |s| names(s).is_empty() && s["outbox"]["seq"] == 2);

    // `check` asks the running agent how far decisions reach.
    let config = format!(
        "[agent]\nsocket = \"{}\"\n[broker]\nurl = \"mqtt://127.0.0.1:{port}\"\n[[series]]\nmatch = \"system.memory.u*\"\nfloor = 0.5\n",
        dir.path().join("agent.sock").display()
    );
    std::fs::write(dir.path().join("next.toml"), config).unwrap();
    let ran = fieldmouse(dir.path(), &["check", "--config", "next.toml"]);
    let line = ran.out.lines().find(|l| l.starts_with("# `system.memory.u*` matches ")).expect(&ran.out);
    assert!(!line.contains("matches 0 of"), "{line}");
}
