//! A service instrumented by the real OpenTelemetry SDK exports to a running agent: what it does becomes series, and what
//! goes wrong with it is told.

use std::process::Command;

use fieldmouse::control;
use fieldmouse_tests::program::{Agent, Running};
use fieldmouse_tests::wait::{LIMIT, wait_for};
use fieldmouse_tests::{free_port, repository};
use serde_json::Value;

/// Calls before the first failure, some twenty a second.
const CALMLY: u32 = 700;

/// The Python that has the SDK.
fn python() -> std::path::PathBuf {
    let path = repository().join("target/tools/otlp/bin/python");
    let install = "python3 -m venv target/tools/otlp && target/tools/otlp/bin/pip install -r tests/otlp/requirements.txt";
    assert!(path.exists(), "{}: absent; install: {install}", path.display());
    path
}

fn has(status: &Value, from: &str, to: &str) -> bool {
    status["edges"].as_array().is_some_and(|edges| edges.iter().any(|e| e["from"] == from && e["to"] == to))
}

#[test]
fn what_a_real_sdk_exports_is_judged() {
    let dir = tempfile::tempdir().unwrap();
    let (port, broker) = (free_port(), free_port());
    let config = format!(
        "[node]\nname = \"mouse-1\"\n[detect]\nfalse_alarms = \"1 per hour\"\n[broker]\nurl = \"mqtt://127.0.0.1:{broker}\"\n\
         [source.otlp]\nevery = \"100ms\"\nwindow = \"1s\"\nlisten = \"127.0.0.1:{port}\"\n"
    );
    let mut agent = Agent::start_with(dir.path(), &config, |command| {
        command.env("FIELDMOUSE__SOURCE__OTLP__ENABLED", "true")
    });
    agent.until("a first sample", |s| s["ticks"].as_u64() > Some(10));

    let mut command = Command::new(python());
    command
        .arg(repository().join("tests/otlp/service.py"))
        .arg(format!("http://127.0.0.1:{port}"))
        .arg(CALMLY.to_string());
    let mut service = Running::start("service.py", command);
    let status = agent.until("both services in the graph", |s| has(s, "shop", "stock"));
    service.check_alive();
    assert_eq!(status["edges"].as_array().map(Vec::len), Some(1));
    let series = || control::ask(&dir.path().join("agent.sock"), &control::Ask::Series).unwrap().to_string();
    let wanted = [
        "span.count{service.name=shop,span.name=GET /order/<*>}",
        "span.error{service.name=stock,span.name=stock.Reserve}",
        "span.duration{service.name=shop,span.name=ask stock,quantile=p99}",
        "queue.length{service.name=shop}",
        "orders{service.name=shop,ok=true}",
        "wait.mean{service.name=shop}",
    ];
    wait_for(LIMIT, "all series", || {
        service.check_alive();
        let shown = series();
        wanted.iter().all(|name| shown.contains(name)).then_some(())
    });
    // Fewer orders are a sign of the same, so it need not be the first that moved.
    let is_told = |e: &Value| {
        let moved = e["contributors"].as_array().into_iter().flatten();
        moved.filter_map(|c| c["series"].as_str()).any(|series| series.starts_with("span.error{"))
    };
    wait_for(3 * LIMIT, "an episode of failed calls", || {
        service.check_alive();
        agent.run.check_alive();
        agent.status()["episodes"].as_array()?.iter().any(is_told).then_some(())
    });
}
