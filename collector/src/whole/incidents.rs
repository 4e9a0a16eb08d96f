//! Incidents, topology and health, from the messages of a device to the answers.

use fieldmouse_core::wire::{phase, state};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{ACKS, Agent, Collector, EMBEDDED, SOON, as_described, http, said};
use crate::sample;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_episode_becomes_an_incident_that_people_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let hook = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (secret, at) = (dir.path().join("secret"), hook.local_addr().unwrap());
    std::fs::write(&secret, "sixteen bytes and more").unwrap();
    let outlet = format!(
        "{EMBEDDED}\n[[outlet]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"http://{at}/\"\nsecret_file = \"{}\"\n\
         [[policy]]\nname = \"all\"\nthen = \"page\"\nrunbook = \"RB-7\"\n",
        secret.display()
    );
    let collector = Collector::start(dir.path(), "collector", &outlet).await;
    let agent = Agent::connect(collector.bound.broker.unwrap(), "press-1", ACKS).await;
    let now = crate::clock::wall_ms();
    agent.say("status", 1, &[sample::status(state::ONLINE)]).await;
    agent.say("birth", 1, &[sample::birth(&[])]).await;
    agent.say("event", 1, &[sample::episode(1, 1, phase::OPENED, 65_000).at(now)]).await;
    let (mut socket, _) = timeout(SOON, hook.accept()).await.expect("somebody calls").unwrap();
    let mut request = Vec::new();
    let body: Value = loop {
        assert!(timeout(SOON, socket.read_buf(&mut request)).await.unwrap().unwrap() > 0);
        let text = String::from_utf8_lossy(&request);
        let body = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
        if let Some(body) = body {
            break body;
        }
    };
    socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!((body["status"].as_str(), body["receiver"].as_str()), (Some("firing"), Some("hook")));
    let alert = &body["alerts"][0];
    assert_eq!(
        (alert["labels"]["site"].as_str(), alert["labels"]["hall"].as_str()),
        (Some("hall"), Some("b"))
    );
    assert_eq!(alert["annotations"]["runbook_url"], "RB-7");
    let why = body["why"].as_array().and_then(|all| all.last()).and_then(Value::as_str).unwrap_or_default();
    assert!(why.starts_with("policy \"all\" (configuration:"), "{why}");
    assert_eq!(body["incident"]["members"][0]["entity"], "hall/press-1");
    timeout(SOON, async {
        let sent = "fieldmouse_collector_notices_sent_total{outlet=\"hook\"} 1\n";
        while !http(collector.bound.http, "GET", "/metrics").await.2.contains(sent) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is counted");
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incidents_topology_and_health_are_shown_and_the_topology_is_corrected() {
    let dir = tempfile::tempdir().unwrap();
    let declared = dir.path().join("topology.toml");
    let text = "[[depends]]\nfrom = \"hall/press-*\"\non = \"hall/gw\"\n[[entity]]\nname = \"hall/gw\"\n\
                importance = 9\n[[service]]\nname = \"pressing\"\ndepends = \"hall/press-*\"\n";
    std::fs::write(&declared, text).unwrap();
    let broker = format!("{EMBEDDED}\n[topology]\nfile = \"{}\"", declared.display());
    let collector = Collector::start(dir.path(), "collector", &broker).await;
    let mut agent = Agent::connect(collector.bound.broker.unwrap(), "press-1", ACKS).await;
    agent.say("birth", 7, &[sample::birth(&[])]).await;
    agent.say("event", 7, &[sample::episode(1, 9, phase::OPENED, 10_000)]).await;
    agent.acked(7, 1).await;

    let is_open = |i: &Value| i["incidents"][0]["state"] == "open";
    let listed = collector.until("/api/v1/incidents?state=open&site=hall", is_open).await;
    let id = listed["incidents"][0]["id"].as_str().unwrap().to_owned();
    let one = collector.get(&format!("/api/v1/incidents/{id}")).await.1;
    assert_eq!(
        (one["life"][0]["step"].as_str(), one["members"][0]["id"].as_str()),
        (Some("opened"), Some("9"))
    );
    assert!(!one["priority_why"].as_array().unwrap().is_empty());
    let priority = listed["incidents"][0]["priority"].as_u64().unwrap();
    let of = |n: u64| format!("/api/v1/incidents?priority={n}");
    assert_eq!(collector.get(&of(priority)).await.1["incidents"].as_array().unwrap().len(), 1);
    assert_eq!(collector.get(&of(priority % 5 + 1)).await.1["incidents"].as_array().unwrap().len(), 0);

    // What the file declares, what spans showed, and what people say.
    let entity = "/api/v1/topology?entity=hall/press-1";
    let has = |t: &Value, from: &str, to: &str| {
        t["edges"].as_array().is_some_and(|all| all.iter().any(|e| e["from"] == from && e["to"] == to))
    };
    let graph = collector.until(entity, |t| has(t, "hall/press-1", "hall/gw")).await;
    assert!(has(&graph, "hall/press-1#service=web", "hall/press-1#service=shop"), "{graph}");
    assert_eq!(graph["entity"]["dependencies"][0]["name"], "hall/gw");
    assert!(graph["notes"][0].as_str().unwrap().contains("`hall/gw`: no such device has reported"));
    let before = collector.get("/api/v1/topology?at_ms=1").await.1;
    assert_eq!(before["edges"], serde_json::json!([]));
    let edit = async |method: &str, content: &str, body: &str| {
        let (status, _, answer) =
            said(collector.bound.http, method, "/api/v1/topology/edges", content, body).await;
        (status, serde_json::from_str::<Value>(&answer).unwrap())
    };
    const JSON: &str = "application/json";
    let body = r#"{"from":"hall/press-1","to":"internet","by":"ana"}"#;
    let (status, kept) = edit("POST", JSON, body).await;
    assert_eq!((status, kept["edges"][0]["by"].as_str()), (201, Some("ana")));
    assert!(has(&collector.get(entity).await.1, "hall/press-1", "internet"));
    for (method, content, body, status) in [
        ("POST", JSON, body, 400),
        // A page from elsewhere can send this kind without asking, so it is not taken.
        ("POST", "text/plain", r#"{"from":"hall/a","to":"hall/b","by":"eve"}"#, 400),
        ("POST", JSON, r#"{"from":"hall/a","to":"hall/a","by":"ana"}"#, 400),
        ("POST", JSON, r#"{"from":"hall/a","to":"hall/b","by":" "}"#, 400),
        ("POST", JSON, r#"{"from":"hall/a","to":"hall/b","by":"ana","colour":"red"}"#, 400),
        ("POST", JSON, r#"{"from":"../a","to":"hall/b","by":"ana"}"#, 400),
        ("POST", JSON, "{", 400),
        ("DELETE", JSON, r#"{"from":"hall/press-1","to":"hall/gw","by":"ana"}"#, 400),
    ] {
        let (got, answer) = edit(method, content, body).await;
        assert!(got == status && answer["error"].is_string(), "{method} {body}: {got} {answer}");
    }
    let (status, gone) = edit("DELETE", JSON, &body.replace("ana", "bo")).await;
    assert_eq!((status, gone["edges"][0]["gone_by"].as_str()), (200, Some("bo")));
    assert!(!has(&collector.get(entity).await.1, "hall/press-1", "internet"));

    let services = collector
        .until("/api/v1/services", |s| s["services"].as_array().is_some_and(|all| all.len() == 2))
        .await;
    let service = collector.until("/api/v1/services/service/pressing", |s| s["level"] == "high").await;
    assert_eq!(service["kpis"][0]["entities"][0]["entity"], "hall/press-1", "{service}");
    let document: Value =
        serde_json::from_str(&http(collector.bound.http, "GET", "/openapi.json").await.2).unwrap();
    for (path, answer) in [
        ("/api/v1/incidents", &listed),
        ("/api/v1/incidents/{id}", &one),
        ("/api/v1/services", &services),
        ("/api/v1/services/{kind}/{name}", &service),
    ] {
        let schema =
            &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        as_described(&document, &[schema], answer, path);
    }
    let schema = &document["components"]["schemas"]["Entity"];
    as_described(&document, &[schema], &graph["entities"][0], "an entity");
    collector.stop().await;
}
