//! The queue by itself, and the outlets against receivers: a scripted one, and the real Alertmanager.

use std::collections::{BTreeMap, VecDeque};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Given;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::sample::{incident, rules};
use super::super::{By, Decision, Digest, Outcome, Row, Told};
use super::queue::{settled, work};
use super::*;
use crate::clock;
use crate::store::{Change, Class, Database, Record, RecordFilter, Store};

const SOON: Duration = Duration::from_secs(60);
const MINUTE: u64 = 60_000;

fn notice(incident: &str, revision: u64, event: Event, made_ms: u64) -> Notice {
    Notice {
        outlet: "pager".into(),
        incident: incident.into(),
        revision,
        site: "home".into(),
        event,
        made_ms,
        labels: [("alertname".into(), "disk busy".into()), ("incident".into(), incident.into())].into(),
        replaces: None,
        title: "disk of home/nas is busy".into(),
        cause: "backup.service began a minute before".into(),
        why: vec!["policy \"urgent\" (built in): page".into()],
        runbook: Some("https://wiki.example/nas".into()),
        opened_ms: 1_795_392_000_000,
        closed_ms: (event == Event::Over).then_some(1_795_392_600_000),
        document: json!({ "id": incident, "revision": revision }),
        statement: "priority 2: disk of home/nas is busy\n".into(),
        state: State::Waiting,
        tries: 0,
        next_ms: made_ms,
        said: String::new(),
    }
}

fn later(after_ms: Option<u64>) -> Answer {
    Answer::Later { what: "503".into(), after_ms }
}

#[test]
fn it_waits_longer_each_time_and_as_long_as_it_is_asked_to() {
    for (tries, whole) in
        [(1, 1000), (2, 2000), (5, 16_000), (9, 256_000), (10, 300_000), (4_000_000, 300_000)]
    {
        let waits: Vec<u64> = (0..200).map(|seed| backoff_ms(tries, &seed.to_string())).collect();
        assert!(waits.iter().all(|ms| (whole / 2..=whole).contains(ms)), "{tries}: {waits:?}");
        let spread = waits.iter().max().unwrap() - waits.iter().min().unwrap();
        assert!(spread > whole / 4, "{tries}: they come together: {spread}");
    }
    let first = notice("a", 1, Event::Told, 0);
    let wait = |answer: &Answer| first.answered(answer, 10, false, 1000).next_ms - 1000;
    assert!((500..=1000).contains(&wait(&later(None))));
    assert!((500..=1000).contains(&wait(&later(Some(10)))));
    assert_eq!(wait(&later(Some(90_000))), 90_000);
    assert_eq!(wait(&later(Some(u64::MAX))), 3_600_000, "no receiver is waited for for ever");
}

#[test]
fn what_becomes_of_a_notice() {
    let check = |before: &Notice, answer: &Answer, is_repeated: bool, state: State, tries: u32| {
        let after = before.answered(answer, 3, is_repeated, 0);
        assert_eq!((after.state, after.tries), (state, tries), "{answer:?}");
        after
    };
    let refused = Answer::Refused("400".into());
    let (told, over) = (notice("a", 1, Event::Told, 0), notice("a", 2, Event::Over, 0));
    check(&told, &Answer::Taken, false, State::Sent, 0);
    check(&told, &refused, false, State::Dead, 1);
    let once = check(&told, &later(None), false, State::Waiting, 1);
    let twice = check(&once, &later(None), false, State::Waiting, 2);
    let dead = check(&twice, &later(None), false, State::Dead, 3);
    assert_eq!(dead.said, "503");
    // Alertmanager is told again and again, until it is over.
    let stands = check(&told, &Answer::Taken, true, State::Standing, 0);
    check(&over, &Answer::Taken, true, State::Sent, 0);
    for answer in [Answer::Taken, refused, later(None)] {
        check(&stands, &answer, true, State::Standing, 0);
    }
}

#[test]
fn what_is_due() {
    let check = |notices: &[Notice], repeated: &[(&str, u64)], now: u64, due: &[&str], next: Option<u64>| {
        let repeated: BTreeMap<String, u64> = repeated.iter().map(|(k, at)| ((*k).to_owned(), *at)).collect();
        let work = work(notices, &repeated, now);
        let got: Vec<String> = work.due.iter().map(|n| n.idempotency_key()).collect();
        assert_eq!((got.iter().map(String::as_str).collect::<Vec<_>>(), work.next_ms), (due.to_vec(), next));
    };
    let (a1, a2) = (notice("a", 1, Event::Told, 10), notice("a", 2, Event::Over, 20));
    let b = notice("b", 1, Event::Told, 15);
    check(&[a2.clone(), b.clone(), a1.clone()], &[], 100, &["a-1-pager", "b-1-pager"], None);
    // One that is tried again later holds up its own incident alone.
    let waits = Notice { next_ms: 500, ..a1.clone() };
    check(&[waits.clone(), a2.clone(), b.clone()], &[], 100, &["b-1-pager"], Some(500));
    check(&[waits, a2.clone()], &[], 500, &["a-1-pager"], None);
    let gone = |state| Notice { state, ..a1.clone() };
    check(&[gone(State::Sent), a2.clone()], &[], 100, &["a-2-pager"], None);
    check(&[gone(State::Dead), a2.clone()], &[], 100, &["a-2-pager"], None);
    // What stands is told again after a while, at once after a restart, and not when it is about to be over.
    let stands = gone(State::Standing);
    check(std::slice::from_ref(&stands), &[], 100, &["a-1-pager"], None);
    check(std::slice::from_ref(&stands), &[("pager/a-1", 100)], 200, &[], Some(100 + MINUTE));
    check(std::slice::from_ref(&stands), &[("pager/a-1", 100)], 100 + MINUTE, &["a-1-pager"], None);
    let late = Notice { next_ms: 900, ..a2.clone() };
    check(&[stands.clone(), late], &[], 100, &[], Some(900));
    // When the newer one is settled, the older stands no more.
    let sent = a2.answered(&Answer::Taken, 3, true, 0);
    let states = |changed: Vec<Notice>| -> Vec<_> { changed.iter().map(|n| (n.revision, n.state)).collect() };
    assert_eq!(
        states(settled(&a2, sent, &[stands.clone(), a2.clone()])),
        [(2, State::Sent), (1, State::Sent)]
    );
    let waits = a2.answered(&later(None), 3, true, 0);
    assert_eq!(states(settled(&a2, waits, &[stands.clone(), a2.clone()])), [(2, State::Waiting)]);
    assert!(settled(&stands, stands.clone(), &[]).is_empty(), "nothing is written for what is told again");
}

#[test]
fn a_revision_is_told_once_by_each_outlet() {
    let told = |priority: u8, over_ms: Option<u64>| Told {
        at_ms: 5,
        priority,
        outlets: vec!["pager".into(), "chat".into()],
        labels: [("priority".into(), priority.to_string())].into(),
        over_ms,
    };
    let decision = |revision: u64, told: Vec<Told>| Decision {
        incident: "a".into(),
        revision,
        at_ms: 5,
        outcome: Outcome::Page,
        by: By::Policy,
        why: vec!["because".into()],
        runbook: None,
        worth: 0.5,
        asked_ms: Some(5),
        is_seasonal: false,
        is_flapping: false,
        in_maintenance: false,
        told,
    };
    let check = |before: Option<&Decision>, after: &Decision, wanted: &[&str]| {
        let changes = notices(before, after, &incident("a", 2), (&json!({}), ""), 9);
        let got: Vec<String> = changes
            .iter()
            .map(|change| {
                let Change::Add(record) = change else { panic!("{change:?} may replace what waits") };
                let notice: Notice = serde_json::from_str(&record.doc).unwrap();
                assert!(record.is_open && record.key == notice.key());
                format!("{} {:?} {}", notice.idempotency_key(), notice.event, notice.replaces.is_some())
            })
            .collect();
        assert_eq!(got, wanted);
    };
    let held = decision(1, vec![]);
    let first = decision(2, vec![told(2, None)]);
    check(None, &held, &[]);
    check(Some(&held), &first, &["a-2-pager Told false", "a-2-chat Told false"]);
    check(Some(&first), &first, &[]);
    let raised = decision(3, vec![told(1, None)]);
    check(Some(&first), &raised, &["a-3-pager Raised true", "a-3-chat Raised true"]);
    let over = decision(4, vec![told(1, Some(8))]);
    check(Some(&raised), &over, &["a-4-pager Over false", "a-4-chat Over false"]);
    let again = decision(5, vec![told(1, Some(8)), told(1, None)]);
    check(Some(&over), &again, &["a-5-pager Told false", "a-5-chat Told false"]);
}

/// What a request brought.
#[derive(Debug, Clone, PartialEq)]
struct Request {
    id: String,
    timestamp: u64,
    signature: String,
    again: String,
    body: Bytes,
}

/// A receiver that answers as told: a status and, if there is one, `Retry-After`; with 200 when nothing is left to say.
/// With 0 it never answers.
struct Receiver {
    url: String,
    got: mpsc::UnboundedReceiver<Request>,
    says: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
}

type Script = (mpsc::UnboundedSender<Request>, Arc<Mutex<VecDeque<(u16, &'static str)>>>);

async fn take(Given((to, says)): Given<Script>, head: HeaderMap, body: Bytes) -> (StatusCode, HeaderMap) {
    let text = |name: &str| head.get(name).map_or(String::new(), |v| v.to_str().unwrap().to_owned());
    let say = says.lock().unwrap().pop_front().unwrap_or((200, ""));
    let request = Request {
        id: text("webhook-id"),
        timestamp: text("webhook-timestamp").parse().unwrap_or(0),
        signature: text("webhook-signature"),
        again: text("idempotency-key"),
        body,
    };
    let _nobody_listens = to.send(request);
    if say.0 == 0 {
        std::future::pending::<()>().await;
    }
    let mut head = HeaderMap::new();
    if !say.1.is_empty() {
        head.insert("retry-after", say.1.parse().unwrap());
    }
    (StatusCode::from_u16(say.0).unwrap(), head)
}

impl Receiver {
    async fn start(says: &[(u16, &'static str)]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (to, got) = mpsc::unbounded_channel();
        let says = Arc::new(Mutex::new(says.iter().copied().collect()));
        let router = Router::new().fallback(take).with_state((to, Arc::clone(&says)));
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, got, says }
    }

    async fn next(&mut self) -> Request {
        timeout(SOON, self.got.recv()).await.expect("a request").expect("a receiver")
    }
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct Sending {
    dir: tempfile::TempDir,
    store: Arc<dyn Store>,
    text: String,
}

impl Sending {
    fn to(url: &str, keys: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        let store: Arc<dyn Store> = Arc::new(Database::open(&dir.path().join("c.db")).unwrap());
        let text = format!(
            "[[outlet]]\nname = \"pager\"\nkind = \"webhook\"\nurl = \"{url}\"\nsecret_file = \"{}\"\n{keys}",
            secret.display()
        );
        Self { dir, store, text }
    }

    fn start(&self) -> Outlets {
        let mine: Mine = Arc::new(|_: &str| true);
        Outlets::start(&rules(&self.text), &self.store, &mine).unwrap()
    }

    fn put(&self, notice: &Notice) {
        self.store.keep(&[Change::Add(notice.record(notice.made_ms))]).unwrap();
    }

    fn found(&self) -> Vec<Notice> {
        let found = self.store.records(&RecordFilter::all(Class::Notice)).unwrap();
        found.iter().map(|r| serde_json::from_str(&r.doc).unwrap()).collect()
    }

    async fn until(&self, wanted: impl Fn(&[Notice]) -> bool) -> Vec<Notice> {
        timeout(SOON, async {
            loop {
                let found = self.found();
                if wanted(&found) {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{:?}", self.found()))
    }
}

#[test]
fn a_digest_is_one_alert_with_all_rows() {
    let row = |title: &str| Row {
        incidents: vec![title.into()],
        title: format!("{title} is busy"),
        cause: String::new(),
        priority: 4,
        worth: 0.2,
        opened_ms: 1_795_392_000_000,
        closed_ms: None,
        spell: 1,
        why: vec!["policy \"rest\" (built in): digest".into()],
    };
    let (day, due_ms) = ("2026-11-23".to_owned(), 1_795_420_800_000);
    let digest = Digest { day, due_ms, rows: vec![row("a"), row("b")], rest: Vec::new() };
    let notice = digest.notice("pager", "home", due_ms);
    assert_eq!(notice.idempotency_key(), "digest-2026-11-23-1-pager");
    assert_eq!(notice.answered(&Answer::Taken, 3, true, due_ms).state, State::Sent, "it is told once");
    let lines = "P4 a is busy; from 2026-11-23 00:00 UTC, and goes on; policy \"rest\" (built in): digest\n\
                 P4 b is busy; from 2026-11-23 00:00 UTC, and goes on; policy \"rest\" (built in): digest\n";
    let webhook = webhook::body(&notice, Some("https://c/"));
    let alertmanager = alertmanager::body(&notice, Some("https://c/"), due_ms);
    for (got, wanted) in [
        (&webhook["event"], json!("digest")),
        (&webhook["groupKey"], json!("{}:{digest=\"2026-11-23\"}")),
        (&webhook["groupLabels"], json!({ "digest": "2026-11-23" })),
        (&webhook["digest"]["rows"][1]["incidents"], json!(["b"])),
        (&webhook["incident"], Value::Null),
        (&webhook["alerts"][0]["annotations"]["description"], json!(lines)),
        (&webhook["alerts"][1], Value::Null),
        (&alertmanager[0]["labels"]["alertname"], json!("digest")),
        (
            &alertmanager[0]["annotations"]["summary"],
            json!("digest of 2026-11-23: 2 incidents not told at once"),
        ),
        (&alertmanager[0]["annotations"]["description"], json!(lines)),
        (&alertmanager[0]["endsAt"], json!("2026-11-23T09:00:00.000Z")),
        (&alertmanager[0]["generatorURL"], json!("https://c/#/incidents")),
        (&alertmanager[1], Value::Null),
    ] {
        assert_eq!(*got, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_gets_a_signed_request_until_it_takes_it() {
    let mut receiver = Receiver::start(&[(503, ""), (429, "1")]).await;
    let sending = Sending::to(&receiver.url, "");
    sending.put(&notice("a", 1, Event::Told, 0));
    let outlets = sending.start();
    let tries = [receiver.next().await, receiver.next().await, receiver.next().await];
    let key = webhook::key(SECRET).unwrap();
    for request in &tries {
        assert_eq!((request.id.as_str(), request.again.as_str()), ("a-1-pager", "a-1-pager"));
        assert_eq!(
            request.signature,
            webhook::signature(&key, "a-1-pager", request.timestamp, &request.body)
        );
        assert!(request.timestamp.abs_diff(clock::wall_ms() / 1000) < 60);
        assert_eq!(request.body, tries[0].body, "the same however often");
    }
    let body: Value = serde_json::from_slice(&tries[0].body).unwrap();
    let alert = &body["alerts"][0];
    for (got, wanted) in [
        (&body["version"], json!("4")),
        (&body["status"], json!("firing")),
        (&body["receiver"], json!("pager")),
        (&body["incident"], json!({ "id": "a", "revision": 1 })),
        (&body["event"], json!("told")),
        (&alert["labels"]["alertname"], json!("disk busy")),
        (&alert["annotations"]["summary"], json!("disk of home/nas is busy")),
        (&alert["annotations"]["runbook_url"], json!("https://wiki.example/nas")),
        (&alert["startsAt"], json!("2026-11-23T00:00:00.000Z")),
        (&alert["endsAt"], json!("0001-01-01T00:00:00Z")),
    ] {
        assert_eq!(*got, wanted);
    }
    let sent = sending.until(|all| all.iter().all(|n| n.state == State::Sent)).await;
    assert_eq!(sent[0].tries, 2);
    // What happens next is told when it comes.
    sending.put(&notice("a", 2, Event::Over, 1));
    outlets.wake();
    let over: Value = serde_json::from_slice(&receiver.next().await.body).unwrap();
    assert_eq!(
        (&over["status"], &over["alerts"][0]["endsAt"]),
        (&json!("resolved"), &json!("2026-11-23T00:10:00.000Z"))
    );
    sending.until(|all| all.iter().all(|n| n.state == State::Sent)).await;
    let counts = &outlets.counts()["pager"];
    let read = |n: &std::sync::atomic::AtomicU64| n.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((read(&counts.sent), read(&counts.failed), read(&counts.dead)), (2, 2, 0));
    outlets.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_is_given_up_aloud() {
    let mut receiver = Receiver::start(&[(400, ""), (503, "0"), (503, "0")]).await;
    let sending = Sending::to(&receiver.url, "tries = 2\n");
    sending.put(&notice("a", 1, Event::Told, 0));
    let outlets = sending.start();
    receiver.next().await;
    sending.until(|all| all[0].state == State::Dead).await;
    sending.put(&notice("b", 1, Event::Told, 0));
    outlets.wake();
    let dead = sending.until(|all| all.iter().all(|n| n.state == State::Dead)).await;
    let tries: Vec<(&str, u32)> = dead.iter().map(|n| (n.incident.as_str(), n.tries)).collect();
    assert!(tries.contains(&("a", 1)) && tries.contains(&("b", 2)), "{tries:?}");
    let troubles = sending.store.records(&RecordFilter::all(Class::Alert)).unwrap();
    let texts: Vec<Value> = troubles.iter().map(|t: &Record| serde_json::from_str(&t.doc).unwrap()).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(
        texts.iter().all(|t| t["text"].as_str().unwrap().contains("gave up telling of incident")),
        "{texts:?}"
    );
    outlets.stop();
    // A secret that is not there keeps everything waiting, and says so.
    std::fs::remove_file(sending.dir.path().join("secret")).unwrap();
    sending.put(&notice("c", 1, Event::Told, 0));
    let outlets = sending.start();
    let is_said = |n: &Notice| n.incident == "c" && n.said.contains("secret: cannot read");
    sending.until(|all| all.iter().any(is_said)).await;
    outlets.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_between_sending_and_keeping_sends_once_more_with_the_same_key() {
    const NOTICES: u64 = 40;
    let mut receiver = Receiver::start(&[]).await;
    let sending = Sending::to(&receiver.url, "");
    for i in 0..NOTICES {
        sending.put(&notice(&format!("i{i:02}"), 1, Event::Told, i));
    }
    let (mut seed, mut kills) = (11_u64, 0);
    let mut requests: Vec<Request> = Vec::new();
    // Some are answered, the next is not: then it dies.
    loop {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let answered = 1 + usize::try_from((seed >> 33) % 4).unwrap();
        let left = sending.found().iter().filter(|n| n.state == State::Waiting).count();
        if left <= answered {
            break;
        }
        let mut says = vec![(200, ""); answered];
        says.push((0, ""));
        *receiver.says.lock().unwrap() = says.into();
        let outlets = sending.start();
        for _ in 0..=answered {
            requests.push(receiver.next().await);
        }
        outlets.stop();
        kills += 1;
    }
    receiver.says.lock().unwrap().clear();
    let outlets = sending.start();
    sending.until(|all| all.iter().all(|n| n.state == State::Sent)).await;
    outlets.stop();
    while let Ok(request) = receiver.got.try_recv() {
        requests.push(request);
    }
    let mut of: BTreeMap<&str, Vec<&Bytes>> = BTreeMap::new();
    requests.iter().for_each(|r| of.entry(r.id.as_str()).or_default().push(&r.body));
    println!("{kills} deaths, seed 11: {NOTICES} notices, {} requests", requests.len());
    assert_eq!(of.len() as u64, NOTICES, "none is lost");
    assert!(kills > 5);
    for (id, bodies) in of {
        assert!(bodies.len() <= 2, "{id} was sent {} times", bodies.len());
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{id}");
    }
}

/// The real thing, on a free port of the loopback.
struct Alertmanager {
    child: Child,
    at: String,
}

impl Alertmanager {
    async fn start(dir: &std::path::Path) -> Self {
        let config = dir.join("alertmanager.yml");
        std::fs::write(&config, "route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n").unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = format!("127.0.0.1:{port}");
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address={at}"))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.join("alertmanager.log")).unwrap())
            .spawn()
            .unwrap_or_else(|e| {
                panic!("prometheus-alertmanager: {e}; install it: apt-get install prometheus-alertmanager")
            });
        let this = Self { child, at };
        this.until("/-/ready", |_| true).await;
        this
    }

    async fn get(&self, path: &str) -> Option<Value> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut socket = tokio::net::TcpStream::connect(&self.at).await.ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.at);
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.contains(" 200 ").then(|| serde_json::from_str(body).unwrap_or(Value::Null))
    }

    async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        timeout(SOON, async {
            loop {
                if let Some(answer) = self.get(path).await.filter(&wanted) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{path} did not become what was wanted"))
    }

    /// The alerts that are active, by incident and priority.
    async fn active(&self, wanted: &[(&str, &str)]) -> Value {
        let of = |alerts: &Value| -> Vec<(String, String)> {
            let label = |a: &Value, name: &str| a["labels"][name].as_str().unwrap_or("").to_owned();
            let all = alerts.as_array().map(Vec::as_slice).unwrap_or_default();
            let mut all: Vec<_> = all.iter().map(|a| (label(a, "incident"), label(a, "priority"))).collect();
            all.sort();
            all
        };
        self.until("/api/v2/alerts?active=true", |alerts| {
            of(alerts).iter().map(|(i, p)| (i.as_str(), p.as_str())).eq(wanted.iter().copied())
        })
        .await
    }
}

impl Alertmanager {
    /// The outlet that leads to it.
    fn outlet(&self) -> String {
        format!("[[outlet]]\nname = \"pager\"\nkind = \"alertmanager\"\nurl = \"http://{}\"\n", self.at)
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_alertmanager_fires_is_raised_and_resolves() {
    let dir = tempfile::tempdir().unwrap();
    let real = Alertmanager::start(dir.path()).await;
    let sending = Sending { text: real.outlet(), ..Sending::to("http://127.0.0.1:1/", "") };
    let labels = |priority: &str| -> BTreeMap<String, String> {
        [("alertname", "disk busy"), ("incident", "a"), ("priority", priority)]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into()
    };
    let now = clock::wall_ms();
    let told = Notice { opened_ms: now - MINUTE, labels: labels("2"), ..notice("a", 1, Event::Told, now) };
    sending.put(&told);
    let outlets = sending.start();
    let alerts = real.active(&[("a", "2")]).await;
    assert_eq!(alerts[0]["annotations"]["summary"], "disk of home/nas is busy");
    assert_eq!(alerts[0]["annotations"]["description"], "backup.service began a minute before");
    sending.until(|all| all[0].state == State::Standing).await;
    // It is another alert now; the one before is over.
    let raised = Notice {
        event: Event::Raised,
        revision: 2,
        labels: labels("1"),
        replaces: Some(labels("2")),
        ..told.clone()
    };
    sending.put(&raised);
    outlets.wake();
    real.active(&[("a", "1")]).await;
    outlets.stop();
    // After a restart what stands is told again at once, though Alertmanager forgot it.
    sending.until(|all| all.iter().any(|n| n.revision == 2 && n.state == State::Standing)).await;
    drop(real);
    let dir = tempfile::tempdir().unwrap();
    let real = Alertmanager::start(dir.path()).await;
    let sending = Sending { text: real.outlet(), ..sending };
    let outlets = sending.start();
    real.active(&[("a", "1")]).await;
    let over = Notice { event: Event::Over, revision: 3, closed_ms: Some(now), replaces: None, ..raised };
    sending.put(&over);
    outlets.wake();
    real.active(&[]).await;
    sending.until(|all| all.iter().all(|n| n.state == State::Sent)).await;
    outlets.stop();
}
