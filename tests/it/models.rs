//! A running agent and models of the user's own: one that may not run is told, and is taken up when it is mended.

use fieldmouse_tests::broker::Mosquitto;
use fieldmouse_tests::ear::Ear;
use fieldmouse_tests::program::{Agent, fieldmouse};
use fieldmouse_tests::repository;
use fieldmouse_tests::wait::LIMIT;
use rustix::process::Signal;
use serde_json::Value;

fn config(url: &str, models: &str) -> String {
    format!("[node]\nname = \"mouse-1\"\nsite = \"lab\"\n[broker]\nurl = \"{url}\"\n{models}\n")
}

fn shipped() -> Vec<u8> {
    std::fs::read(repository().join("models/forecaster.onnx")).unwrap()
}

fn is_trouble(verdict: &str, text: &str) -> impl Fn(&Value) -> bool {
    move |e| {
        let body = &e["body"];
        e["kind"] == "trouble"
            && body["source"] == "model"
            && body["verdict"] == verdict
            && body["text"].as_str().is_some_and(|t| t.contains(text))
    }
}

const PRESS: &str = "[[model]]\nname = \"press\"\nfile = \"press.onnx\"\nseries = [\"system.memory.*\"]\n";

#[test]
fn a_model_comes_fails_and_goes_while_the_agent_runs() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let ear = Ear::at(broker.side_port, "ear", "fieldmouse/1/lab/mouse-1/event");
    let file = dir.path().join("press.onnx");
    std::fs::write(&file, &shipped()[..3000]).unwrap();
    let mut agent = Agent::start(dir.path(), &config(&broker.url(), PRESS));
    let status = agent.until("ticks", |s| s["ticks"].as_u64() > Some(5));
    let why = status["models"][0]["why_off"].as_str().unwrap();
    assert!(why.starts_with("press.onnx: not a readable ONNX file"), "{why}");
    assert!(status["model"]["name"].is_string(), "the shipped model judges the rest: {status}");
    ear.wait(
        LIMIT,
        "event",
        "the model's trouble",
        is_trouble("missing", "press: press.onnx: not a readable"),
    );
    let words = fieldmouse(dir.path(), &["status", "--socket", "agent.sock"]).out;
    assert!(words.contains("press: OFF (press.onnx: not a readable"), "{words}");

    std::fs::write(&file, shipped()).unwrap();
    agent.run.signal(Signal::HUP);
    let status = agent.until("the mended model", |s| s["models"][0]["series"].as_u64() > Some(3));
    assert_eq!(
        (&status["models"][0]["why_off"], &status["models"][0]["contract"]),
        (&Value::Null, &"forecast/1".into())
    );
    ear.wait(LIMIT, "event", "its end", is_trouble("good", "press: works again"));

    // Golden vectors that it does not give: it is another model than its maker tried.
    let wrong = std::iter::repeat_n("0.5", 64 + 7).collect::<Vec<_>>().join(",");
    std::fs::write(dir.path().join("press.golden.csv"), wrong).unwrap();
    agent.run.signal(Signal::HUP);
    agent.until("another model than was tried", |s| {
        s["models"][0]["why_off"]
            .as_str()
            .is_some_and(|w| w.contains("differs from its golden vectors in press.golden.csv"))
    });
    std::fs::remove_file(dir.path().join("press.golden.csv")).unwrap();

    std::fs::write(dir.path().join("fieldmouse.toml"), config(&broker.url(), "")).unwrap();
    agent.run.signal(Signal::HUP);
    agent.until("no model of its own", |s| s["models"].as_array().is_some_and(Vec::is_empty));
    agent.run.check_alive();
}

#[test]
fn without_the_devices_model_it_runs_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let ear = Ear::at(broker.side_port, "ear", "fieldmouse/1/lab/mouse-1/event");
    let models = "[model]\nfile = \"absent.onnx\"\n";
    let mut agent = Agent::start(dir.path(), &config(&broker.url(), models));
    let status = agent.until("ticks", |s| s["ticks"].as_u64() > Some(5));
    assert_eq!(status["model"], Value::Null);
    assert!(status["model_why_off"].as_str().unwrap().contains("absent.onnx: cannot be read"), "{status}");
    ear.wait(LIMIT, "event", "trouble", is_trouble("missing", "device: absent.onnx: cannot be read"));
    // Who asks beforehand is told that it is not as it was meant.
    let ran = fieldmouse(dir.path(), &["check", "--config", "fieldmouse.toml"]);
    assert_eq!(ran.code, 78, "{}", ran.err);
    std::fs::write(dir.path().join("absent.onnx"), shipped()).unwrap();
    agent.run.signal(Signal::HUP);
    agent.until("the model", |s| s["model"]["name"].is_string());
}
