//! A running agent keeps what it read around an episode; the capsule outlives it, and gives the same scores again.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use fieldmouse_tests::free_port;
use fieldmouse_tests::hostile::dice::Dice;
use fieldmouse_tests::program::{Agent, fieldmouse};
use fieldmouse_tests::results::say;
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

/// Secrets in the ways in which programs let them slip, each with the line that it stands in.
fn secrets() -> Vec<(String, String)> {
    const LINES: [&str; 12] = [
        "ERROR connecting to postgres://app:{}@db.example/x failed",
        "ERROR request with Authorization: Bearer {} refused",
        "ERROR login password={} site=berlin failed",
        "ERROR {\"user\":\"anna\",\"password\":\"{}\",\"status\":503}",
        "ERROR started with --api-key={} --fast",
        "ERROR the token is {} for now",
        "ERROR Cookie: theme=dark; session={}",
        "ERROR mail for {}@mail.example bounced",
        "ERROR GET https://api.example/v?token={}&page=two",
        "ERROR curl -H 'Authorization: Basic {}' https://x",
        "ERROR config client_secret='{}' mode=fast",
        "panic: passphrase: {}",
    ];
    let mut dice = Dice::new(20_261_123);
    let word = |dice: &mut Dice| (0..14).map(|_| char::from(b'a' + dice.below(26) as u8)).collect::<String>();
    let one = |n: usize| {
        let secret = word(&mut dice);
        (LINES[n % LINES.len()].replacen("{}", &secret, 1), secret)
    };
    (0..240).map(one).collect()
}

/// A call that was slow, and one that failed; secrets stand wherever they may.
fn spans(secret: &str) -> String {
    let span = |name: &str, ms: u32, code: u8| {
        format!(
            r#"{{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"{name}","kind":2,
            "startTimeUnixNano":"0","endTimeUnixNano":"{ms}000000",
            "attributes":[{{"key":"user.password","value":{{"stringValue":"{secret}"}}}},
            {{"key":"url.full","value":{{"stringValue":"https://x.example/v?token={secret}"}}}},
            {{"key":"http.response.status_code","value":{{"intValue":"503"}}}}],
            "status":{{"code":{code},"message":"refused: password={secret}"}}}}"#
        )
    };
    let resource = r#""resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]}"#;
    let spans = [span("GET /slow", 2500, 0), span("GET /broken", 7, 2), span("GET /fast", 3, 0)].join(",");
    format!(r#"{{"resourceSpans":[{{{resource},"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#)
}

fn post(port: u16, body: &str) {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = "Host: here\r\nConnection: close\r\nContent-Type: application/json";
    write!(stream, "POST /v1/traces HTTP/1.1\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// All bytes of all files below a folder.
fn bytes_below(folder: &Path, to: &mut Vec<u8>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            bytes_below(&path, to)
        } else {
            to.extend(std::fs::read(path).unwrap_or_default())
        }
    }
}

#[test]
fn the_readings_around_an_episode_outlive_the_agent_and_give_its_scores() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sensors")).unwrap();
    let (port, otlp) = (free_port(), free_port());
    let off = ["host", "filesystem", "process", "hwmon", "thermal"]
        .map(|source| format!("[source.{source}]\nenabled = false\n"))
        .concat();
    let config = format!(
        "[node]\nname = \"mouse-1\"\n[agent]\ntick = \"100ms\"\n[broker]\nurl = \"mqtt://127.0.0.1:{port}\"\n[source.file]\nevery = \"100ms\"\ndir = \"{}\"\n{off}\
         [source.log]\nevery = \"100ms\"\nfiles = [\"{}\"]\nfrom = \"beginning\"\n\
         [source.otlp]\nevery = \"100ms\"\nwindow = \"1s\"\nlisten = \"127.0.0.1:{otlp}\"\n",
        dir.path().join("sensors").display(),
        dir.path().join("app.log").display()
    );
    let secrets = secrets();
    let mut unsaid = secrets.iter().cycle();
    let mut log = std::fs::File::create(dir.path().join("app.log")).unwrap();
    write(dir.path(), 0, false);
    let mut agent =
        Agent::with(dir.path(), &config, |command| command.env("FIELDMOUSE__SOURCE__OTLP__ENABLED", "true"));
    wait_for(LIMIT, "a listener", || std::net::TcpStream::connect(("127.0.0.1", otlp)).ok());
    let mut turn = 0;
    let mut sensor = |far: bool| {
        turn += 1;
        write(dir.path(), turn, far);
        let (line, secret) = unsaid.next().unwrap();
        writeln!(log, "{line}").unwrap();
        if turn % 10 == 0 {
            post(otlp, &spans(secret));
        }
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
    let near = listed["near"].as_array().unwrap();
    let has = |kind: &str, example: &str| {
        near.iter().any(|n| n["kind"] == kind && n["example"].as_str().is_some_and(|e| e.contains(example)))
    };
    assert!(has("trace-slowest", "2.5 s") && has("trace-slowest", "user.password=<*>"), "{near:#?}");
    assert!(has("trace-failing", "failed: refused: password=<*>"), "{near:#?}");
    assert!(has("log-example", "<*>"), "{near:#?}");
    // What was told is there, too: a crash.
    assert!(has("log-crash", "passphrase: <*>"), "{near:#?}");
    let mut kept = agent.run.said().into_bytes();
    bytes_below(&dir.path().join("state"), &mut kept);
    let kept = String::from_utf8_lossy(&kept);
    let found: Vec<_> =
        secrets.iter().take(turn as usize).filter(|(_, secret)| kept.contains(secret)).collect();
    say(&format!(
        "{} secrets planted, {} found in {} bytes",
        secrets.len().min(turn as usize),
        found.len(),
        kept.len()
    ));
    assert!(found.is_empty() && turn as usize >= secrets.len(), "{found:#?}");
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
