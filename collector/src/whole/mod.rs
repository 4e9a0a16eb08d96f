//! The collector as a whole, with its own broker and the agents' own client.

mod incidents;
mod people;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use fieldmouse_core::wire::{self, Kind, phase, state};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::sample::{self, NOON, Sample};
use crate::{Bound, Config, run_and_tell};

const SOON: Duration = Duration::from_secs(20);

struct Collector {
    bound: Bound,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Collector {
    async fn start(dir: &Path, id: &str, broker: &str) -> Self {
        let db = dir.join("c.db");
        let text = format!(
            "id = \"{id}\"\n[broker]\n{broker}\n[http]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"{}\"\n",
            db.display()
        );
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let shutdown = async {
            let _stop = stopped.await;
        };
        let task = tokio::spawn(run_and_tell(Config::from_toml(&text).unwrap(), shutdown, Some(tell)));
        let bound = timeout(SOON, told).await.expect("it starts").expect("it tells where");
        Self { bound, stop, task }
    }

    async fn stop(self) {
        drop(self.stop);
        timeout(SOON, self.task).await.expect("it stops").unwrap().unwrap();
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = http(self.bound.http, "GET", path).await;
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// Asks until the answer is as wanted.
    async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        timeout(SOON, async {
            loop {
                let (_, answer) = self.get(path).await;
                if wanted(&answer) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{path} did not become what was wanted"))
    }
}

async fn http(at: SocketAddr, method: &str, path: &str) -> (u16, String, String) {
    said(at, method, path, "text/plain", "").await
}

async fn said(at: SocketAddr, method: &str, path: &str, content: &str, body: &str) -> (u16, String, String) {
    let mut socket = TcpStream::connect(at).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {at}\r\ncontent-type: {content}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(SOON, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

struct Agent(AsyncClient, mpsc::UnboundedReceiver<Packet>);

impl Agent {
    async fn connect(at: SocketAddr, name: &str, filter: &str) -> Self {
        let mut options = MqttOptions::new(name, at.ip().to_string(), at.port());
        options.set_max_packet_size(Some(70_000)).set_outgoing_inflight_upper_limit(16);
        let (client, mut events) = AsyncClient::new(options, 64);
        let (to, packets) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                if let Event::Incoming(packet) = event
                    && to.send(packet).is_err()
                {
                    break;
                }
            }
        });
        client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        let mut this = Self(client, packets);
        this.until(|p| matches!(p, Packet::SubAck(_)).then_some(())).await;
        this
    }

    async fn until<T>(&mut self, mut wanted: impl FnMut(Packet) -> Option<T>) -> T {
        timeout(SOON, async {
            loop {
                let packet = self.1.recv().await.expect("connection holds");
                if let Some(found) = wanted(packet) {
                    return found;
                }
            }
        })
        .await
        .expect("it comes before the deadline")
    }

    async fn say(&self, leaf: &str, epoch: u64, items: &[Sample]) {
        let topic = format!("fieldmouse/1/hall/press-1/{leaf}");
        let payload = sample::message("press-1", epoch, items);
        self.0.publish(topic, QoS::AtLeastOnce, leaf == "status" || leaf == "birth", payload).await.unwrap();
    }

    async fn message(&mut self) -> Publish {
        self.until(|p| if let Packet::Publish(p) = p { Some(p) } else { None }).await
    }

    async fn acked(&mut self, epoch: u64, seq: u64) {
        loop {
            let publish = self.message().await;
            let (head, mut items) = wire::read(&publish.payload).unwrap();
            let item = items.next().unwrap().unwrap();
            assert_eq!((head.node, item.kind), ("press-1", Kind::Ack as u16));
            let ack: wire::Ack = wire::read_body(item.body).unwrap();
            assert_eq!(ack.epoch, epoch);
            if ack.seq >= seq {
                assert_eq!(ack.seq, seq);
                return;
            }
        }
    }
}

const EMBEDDED: &str = "embedded = true\nlisten = \"127.0.0.1:0\"";
const ACKS: &str = "fieldmouse/1/hall/press-1/ack";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_episode_goes_in_is_acknowledged_and_comes_out() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(dir.path(), "collector", EMBEDDED).await;
    let mut agent = Agent::connect(collector.bound.broker.unwrap(), "press-1", ACKS).await;
    collector.until("/api/v1/status", |s| s["connected"] == true).await;
    agent.say("status", u64::MAX, &[sample::status(state::ONLINE)]).await;
    agent.say("birth", u64::MAX, &[sample::birth(&[])]).await;
    agent.say("beat", u64::MAX, &[sample::beat(2, 0)]).await;
    let told = [
        sample::fact(1, "deployment", "label-printer 2.4 <script>"),
        sample::episode(2, u64::MAX - 1, phase::OPENED, 65_000).at(NOON),
    ];
    agent.say("event", u64::MAX, &told).await;
    agent.acked(u64::MAX, 2).await;

    let (_, listed) = collector.get("/api/v1/episodes?state=open&node=press-1&limit=5").await;
    let (epoch, id) = (u64::MAX.to_string(), (u64::MAX - 1).to_string());
    assert_eq!(listed["episodes"][0]["epoch"], epoch.as_str());
    let (status, e) = collector.get(&format!("/api/v1/episodes/hall/press-1/{epoch}/{id}")).await;
    assert_eq!(status, 200);
    assert_eq!(e["contributors"][0]["series"], "system.cpu.utilization{cpu.mode=user}");
    assert_eq!(
        (e["contributors"][0]["share"].as_u64(), e["model"].as_str()),
        (Some(71), Some("abcd010203040506"))
    );
    assert_eq!(
        (e["onset_ms"].as_u64(), e["phases"][0]["phase"].as_str()),
        (Some(NOON - 65_000), Some("opened"))
    );
    assert_eq!((e["shape"].as_str(), e["culprit"]["name"].as_str()), (Some("step"), Some("label-printer")));
    assert!(
        e["sentence"].as_str().unwrap().contains("94.0 %; usual is 5.00 % to 22.0 %"),
        "{}",
        e["sentence"]
    );
    let points = e["spark"]["points"].as_array().unwrap();
    assert_eq!((points.len(), points[31]["at_ms"].as_u64()), (wire::SPARK, Some(NOON)));
    assert_eq!((points[28]["value"].is_null(), e["spark"]["onset_ms"].as_u64()), (true, Some(NOON - 60_000)));

    let (_, d) = collector.get("/api/v1/devices/hall/press-1").await;
    assert_eq!((d["state"].as_str(), d["open_episodes"].as_u64()), (Some("online"), Some(1)));
    assert_eq!(
        (d["model"]["name"].as_str(), d["labels"]["hall"].as_str()),
        (Some("fieldmouse-quantiles 1"), Some("b"))
    );
    assert_eq!(d["beat"]["waiting"], 3);

    for (path, answer) in [
        ("/api/v1/devices/{site}/{node}", &d),
        ("/api/v1/episodes/{site}/{node}/{epoch}/{id}", &e),
        ("/api/v1/episodes", &listed),
        ("/api/v1/devices", &collector.get("/api/v1/devices").await.1),
        ("/api/v1/facts", &collector.get("/api/v1/facts").await.1),
        ("/api/v1/status", &collector.get("/api/v1/status").await.1),
        ("/healthz", &collector.get("/healthz").await.1),
    ] {
        let document: Value =
            serde_json::from_str(&http(collector.bound.http, "GET", "/openapi.json").await.2).unwrap();
        let schema =
            &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        as_described(&document, &[schema], answer, path);
    }

    // A gap, twice the same, and a declared loss.
    agent.say("event", u64::MAX, &[sample::fact(6, "note", "later")]).await;
    agent.say("event", u64::MAX, &[sample::fact(6, "note", "later")]).await;
    collector.until("/api/v1/devices/hall/press-1", |d| d["missing"] == 3).await;
    agent.say("event", u64::MAX, &[sample::loss(7, 3, 3)]).await;
    agent.acked(u64::MAX, 7).await;
    let (_, d) = collector.get("/api/v1/devices/hall/press-1").await;
    assert_eq!((d["missing"].as_u64(), d["lost"].as_u64()), (Some(0), Some(3)));
    assert_eq!(d["losses"][0]["reason"], "outbox full");

    // Bytes that are no message are kept and counted, and nothing else happens.
    agent.0.publish("fieldmouse/1/hall/press-1/event", QoS::AtLeastOnce, false, "junk").await.unwrap();
    let letters = collector.until("/api/v1/dead-letters", |l| l["dead_letters"][0].is_object()).await;
    assert_eq!(
        (letters["dead_letters"][0]["reason"].as_str(), letters["dead_letters"][0]["payload_hex"].as_str()),
        (Some("not_ours"), Some("6a756e6b"))
    );
    let (_, _, metrics) = http(collector.bound.http, "GET", "/metrics").await;
    for line in [
        "events_stored_total 4",
        "events_duplicate_total 1",
        "malformed_total{reason=\"not_ours\"} 1",
        "lost_events 3",
    ] {
        assert!(metrics.contains(&format!("fieldmouse_collector_{line}\n")), "{line} is not in\n{metrics}");
    }
    collector.stop().await;
}

/// An object has exactly the keys of its schemas, all the way down.
fn as_described(document: &Value, schemas: &[&Value], answer: &Value, place: &str) {
    let mut parts: Vec<&Value> = Vec::new();
    let mut open: Vec<&Value> = schemas.to_vec();
    while let Some(schema) = open.pop() {
        match schema["$ref"].as_str() {
            Some(name) => {
                open.push(document.pointer(name.trim_start_matches('#')).expect("the schema exists"))
            }
            None => match schema.get("allOf").or_else(|| schema.get("oneOf")) {
                Some(some) => open.extend(some.as_array().unwrap()),
                None => parts.push(schema),
            },
        }
    }
    if let Some(list) = answer.as_array() {
        let items: Vec<&Value> = parts.iter().filter_map(|p| p.get("items")).collect();
        assert!(!items.is_empty(), "{place} is described as a list");
        list.iter().for_each(|item| as_described(document, &items, item, place));
    } else if let Some(object) = answer.as_object() {
        if parts.iter().any(|p| p.get("additionalProperties").is_some()) {
            return;
        }
        let mut described: Vec<&String> =
            parts.iter().filter_map(|p| p["properties"].as_object()).flat_map(|p| p.keys()).collect();
        let mut answered: Vec<&String> = object.keys().collect();
        described.sort();
        answered.sort();
        assert_eq!(answered, described, "{place}");
        for (key, value) in object {
            let inner: Vec<&Value> = parts.iter().filter_map(|p| p["properties"].get(key)).collect();
            as_described(document, &inner, value, &format!("{place}.{key}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_answers_as_described() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(dir.path(), "collector", EMBEDDED).await;
    collector.until("/api/v1/status", |s| s["connected"] == true).await;
    let at = collector.bound.http;
    let openapi: Value = serde_json::from_str(&http(at, "GET", "/openapi.json").await.2).unwrap();
    let answers = |(path, item): &(&String, &Value)| !path.contains('{') && item.get("get").is_some();
    for (path, item) in openapi["paths"].as_object().unwrap().iter().filter(answers) {
        let (status, head, _) = http(at, "GET", path).await;
        assert_eq!(status, 200, "{path}");
        assert!(head.contains("default-src 'none'") && !head.contains("unsafe"), "{path}: {head}");
        assert!(head.contains("nosniff") && !head.contains("access-control"), "{path}: {head}");
        // Where something can be said it has to be JSON.
        let status = if item.get("post").is_some() { 400 } else { 405 };
        assert_eq!(http(at, "POST", path).await.0, status, "{path}");
    }
    for (path, status) in [
        ("/nothing", 404),
        ("/api/v1/devices/no/body", 404),
        ("/api/v1/episodes/no/body/1/2", 404),
        ("/api/v1/episodes/no/body/one/2", 404),
        ("/api/v1/episodes?state=ajar", 400),
        ("/api/v1/episodes?limit=0", 400),
        ("/api/v1/episodes?colour=red", 400),
        ("/api/v1/facts?state=open", 400),
        ("/api/v1/incidents/nobody", 404),
        ("/api/v1/incidents/*", 404),
        ("/api/v1/incidents?state=ajar", 400),
        ("/api/v1/incidents?limit=1001", 400),
        ("/api/v1/topology?entity=hall/nobody", 404),
        ("/api/v1/topology?limit=0", 400),
        ("/api/v1/services/service/none", 404),
        ("/api/v1/services/*/*", 404),
        ("/api/v1/topology/edges", 405),
    ] {
        let (got, answer) = collector.get(path).await;
        assert_eq!((got, answer["error"].is_string()), (status, true), "{path}: {answer}");
    }
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_announces_itself_says_goodbye_and_survives_its_brokers_absence() {
    let dir = tempfile::tempdir().unwrap();
    // The broker of one collector serves as the foreign broker of another.
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    std::fs::create_dir_all(&a).unwrap();
    std::fs::create_dir_all(&b).unwrap();
    let home = Collector::start(&a, "home", EMBEDDED).await;
    let at = home.bound.broker.unwrap();
    let mut watcher = Agent::connect(at, "watcher", "fieldmouse/1/_collector/+/status").await;
    let told = |p: Packet| {
        let Packet::Publish(p) = p else { return None };
        let (head, mut items) = wire::read(&p.payload).unwrap();
        let body: wire::Status = wire::read_body(items.next().unwrap().unwrap().body).unwrap();
        Some((head.node.to_owned(), body.state))
    };
    let other = Collector::start(&b, "other", &format!("url = \"mqtt://{at}\"")).await;
    watcher.until(|p| (told(p)? == ("other".to_owned(), state::ONLINE)).then_some(())).await;
    other.stop().await;
    let end = watcher.until(|p| told(p).filter(|said| said.0 == "other" && said.1 != state::ONLINE)).await;
    assert_eq!(end.1, state::OFFLINE, "a goodbye, not a will");
    home.stop().await;
    // Nobody listens there any more: it runs, shows what it has, and says that it is alone.
    let alone = Collector::start(&b, "other", &format!("url = \"mqtt://{at}\"")).await;
    let (status, health) = alone.get("/healthz").await;
    assert_eq!((status, health["broker_connected"].as_bool()), (503, Some(false)));
    assert_eq!(alone.get("/api/v1/devices").await.0, 200);
    alone.stop().await;
}
