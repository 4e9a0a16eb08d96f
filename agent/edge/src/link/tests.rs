//! The link against a real mosquitto: plain, password, TLS.

mod hostile;

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use fieldmouse_core::wire::{Ack, Fact};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::delivery::{Delivery, Options};
use super::*;
use crate::clock;
use crate::disk::Folder;
use crate::duration::Span;
use crate::outbox::{self, Outbox};

const LIMIT: Duration = Duration::from_secs(20);

fn config(port: u16) -> Config {
    Config {
        url: format!("mqtt://127.0.0.1:{port}").into(),
        site: "lab".into(),
        node: "n-1".into(),
        retry_min: Span(50),
        retry_max: Span(400),
        refused_max: Span(60_000),
        connect_timeout: Span::secs(3),
        ..Config::default()
    }
}

fn compose() -> Compose {
    Box::new(|hello| {
        let head = Head { node: "n-1", epoch: 7 };
        match hello {
            Hello::Birth => message(&head, clock::stamp(), Kind::Birth, &[0; 40]),
            _ => status(&head, clock::stamp(), hello, "0.1.0"),
        }
    })
}

fn start(c: &Config) -> Link {
    Link::start(c.check().unwrap(), compose())
}

/// Reads news until one is wanted.
async fn wait_for(link: &mut Link, mut wanted: impl FnMut(&News) -> bool) -> News {
    let found = timeout(LIMIT, async {
        loop {
            let news = link.news.recv().await.unwrap();
            if wanted(&news) {
                return news;
            }
        }
    });
    found.await.expect("the news in time")
}

/// An outbox, its delivery and the link, run as the agent would.
struct Rig {
    outbox: Outbox,
    delivery: Delivery,
    link: Link,
    news: Vec<News>,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn new(c: &Config, mut o: impl FnMut(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = Box::new(Folder::new(dir.path()));
        let (outbox, _) =
            Outbox::open(disk, outbox::Options::new(1 << 20), outbox::entropy(), clock::stamp());
        let mut options = Options::new(c.keep_alive.0);
        o(&mut options);
        let link = start(c);
        Self { outbox, delivery: Delivery::new("n-1", options), link, news: Vec::new(), _dir: dir }
    }

    fn push(&mut self, n: u64) {
        for i in 0..n {
            let mut f = Fact::default();
            f.text.push_str(&format!("fact {i}")).unwrap();
            let mut body = [0; 64];
            let len = wire::write_body(&f, &mut body).unwrap();
            self.outbox.push(clock::stamp(), Kind::Fact, 1, 17, &body[..len]);
        }
    }

    /// Until the condition holds; fails after a while.
    async fn until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        let end = clock::instant() + LIMIT;
        while !done(self) {
            let last = &self.news[self.news.len().saturating_sub(6)..];
            assert!(clock::instant() < end, "{:?} {last:?}", self.delivery);
            let now = clock::mono_ms();
            self.outbox.sync(now);
            while let Some(command) = self.delivery.poll(clock::stamp(), &mut self.outbox) {
                if let Err(e) = self.link.commands.try_send(command) {
                    self.delivery.not_taken(e.into_inner(), &mut self.outbox);
                    break;
                }
            }
            if let Ok(Some(news)) = timeout(Duration::from_millis(20), self.link.news.recv()).await {
                self.delivery.on_news(clock::mono_ms(), &news, &mut self.outbox);
                self.news.push(news);
            }
        }
    }

    fn connections(&self) -> usize {
        self.news.iter().filter(|n| matches!(n, News::Connected { .. })).count()
    }
}

/// A mosquitto on a port of its own, ended with the test.
struct Mosquitto {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

impl Mosquitto {
    async fn start(more: impl Fn(&Path) -> String) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port().await;
        let more = more(dir.path());
        Self::start_in(dir, port, &more).await
    }

    async fn start_in(dir: tempfile::TempDir, port: u16, more: &str) -> Option<Self> {
        let file = dir.path().join("mosquitto.conf");
        let user = if more.contains("user ") { "" } else { "user root\n" };
        std::fs::write(&file, format!("listener {port} 127.0.0.1\n{user}{more}\n")).unwrap();
        let mut run = Process::new("mosquitto");
        run.arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(child) = run.spawn() else {
            println!("mosquitto is not installed: not tested");
            return None;
        };
        let broker = Self { child, port, dir };
        let up = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, up).await.expect("mosquitto in time");
        Some(broker)
    }
}

/// A collector: acknowledges what it gets, tells what it saw.
async fn collector(port: u16) -> mpsc::UnboundedReceiver<(String, bool, Vec<u64>)> {
    let mut o = MqttOptions::new("collector", "127.0.0.1", port);
    o.set_keep_alive(Duration::from_secs(30)).set_outgoing_inflight_upper_limit(16);
    o.set_max_packet_size(Some(70_000));
    let (client, mut events) = AsyncClient::new(o, 16);
    let (to, from) = mpsc::unbounded_channel();
    let (ready, subscribed) = tokio::sync::oneshot::channel();
    client.try_subscribe("fieldmouse/1/lab/n-1/#", QoS::AtLeastOnce).unwrap();
    let (mut ready, presence) = (Some(ready), client.clone());
    tokio::spawn(async move {
        // As a real one: it vouches only for what has no gap below it.
        let (mut got, mut whole) = (std::collections::BTreeSet::<u64>::new(), 0);
        while let Ok(event) = events.poll().await {
            if let Event::Incoming(Packet::SubAck(_)) = &event {
                ready.take().map(|r| r.send(()));
            }
            let Event::Incoming(Packet::Publish(p)) = event else { continue };
            let topic = String::from_utf8(p.topic.to_vec()).unwrap();
            if topic.ends_with("/ack") {
                continue;
            }
            let (head, items) = wire::read(&p.payload).unwrap();
            let seqs: Vec<u64> = items.map(|i| i.unwrap().seq).collect();
            if topic.ends_with("/event") {
                got.extend(&seqs);
                while got.remove(&(whole + 1)) {
                    whole += 1;
                }
                let mut body = [0; 24];
                let n = wire::write_body(&Ack { epoch: head.epoch, seq: whole }, &mut body).unwrap();
                let ack = message(&head, clock::stamp(), Kind::Ack, &body[..n]);
                client.try_publish("fieldmouse/1/lab/n-1/ack", QoS::AtLeastOnce, false, ack).unwrap();
            }
            if to.send((topic, p.retain, seqs)).is_err() {
                return;
            }
        }
    });
    timeout(LIMIT, subscribed).await.unwrap().unwrap();
    let head = Head { node: "c-1", epoch: 0 };
    let here = status(&head, clock::stamp(), Hello::Online, "0.1.0");
    presence.try_publish("fieldmouse/1/_collector/c-1/status", QoS::AtLeastOnce, true, here).unwrap();
    from
}

#[tokio::test]
async fn events_reach_a_collector_and_are_freed_by_its_word_alone() {
    let Some(broker) = Mosquitto::start(|_| "allow_anonymous true".into()).await else { return };
    let mut rig = Rig::new(&config(broker.port), |_| {});
    rig.push(500);
    rig.until(|r| r.news.iter().filter(|n| matches!(n, News::Stored { .. })).count() > 0).await;
    assert_eq!(rig.outbox.acked_seq(), 0, "the broker's word frees nothing");
    let mut seen = collector(broker.port).await;
    rig.push(500);
    rig.until(|r| r.delivery.collector() == Some(true) && r.outbox.waiting() == 0).await;
    let (topic, retained, _) = timeout(LIMIT, seen.recv()).await.unwrap().unwrap();
    assert!(retained && topic.ends_with("/birth") || topic.ends_with("/status"), "{topic}");
    assert!(rig.link.traffic().sent > 0 && rig.link.traffic().received > 0);
    // Goodbye: offline is retained and the will stays unsaid.
    rig.link.commands.send(Command::Stop).await.unwrap();
    wait_for(&mut rig.link, |n| *n == News::Stopped).await;
    let offline = async {
        loop {
            let (topic, ..) = seen.recv().await.unwrap();
            if topic.ends_with("/status") {
                return;
            }
        }
    };
    timeout(LIMIT, offline).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_killed_and_forgets_loses_nothing() {
    let Some(broker) = Mosquitto::start(|_| "allow_anonymous true".into()).await else { return };
    let port = broker.port;
    let mut rig = Rig::new(&config(port), |_| {});
    rig.push(50);
    rig.until(|r| r.news.iter().any(|n| matches!(n, News::Stored { .. }))).await;
    drop(broker);
    rig.until(|r| r.news.iter().any(|n| matches!(n, News::Disconnected { .. }))).await;
    rig.push(50);
    let dir = tempfile::tempdir().unwrap();
    let Some(_again) = Mosquitto::start_in(dir, port, "allow_anonymous true").await else { return };
    let mut seen = collector(port).await;
    rig.until(|r| r.outbox.waiting() == 0).await;
    let mut got = std::collections::BTreeSet::new();
    while let Ok((topic, _, seqs)) = seen.try_recv() {
        if topic.ends_with("/event") {
            got.extend(seqs);
        }
    }
    assert_eq!(got, (1..=100).collect());
}

#[tokio::test]
async fn passwords_are_checked_and_refusal_slows_down() {
    let broker = Mosquitto::start(|dir| {
        let file = dir.join("passwords");
        let made =
            Process::new("mosquitto_passwd").args(["-b", "-c"]).arg(&file).args(["mouse", "cheese"]).status();
        if made.is_err() {
            std::fs::write(&file, "").unwrap();
        }
        format!("allow_anonymous false\npassword_file {}", file.display())
    });
    let Some(broker) = broker.await else { return };
    let file = broker.dir.path().join("secret");
    std::fs::write(&file, "cheese\n").unwrap();
    let mut c =
        Config { user: Some("mouse".into()), password_file: Some(file.clone()), ..config(broker.port) };
    let mut link = start(&c);
    wait_for(&mut link, |n| matches!(n, News::Connected { .. })).await;
    std::fs::File::create(&file).unwrap().write_all(b"wine").unwrap();
    c.node = "n-2".into();
    let mut link = start(&c);
    let mut longest = 0;
    for _ in 0..4 {
        let news = wait_for(&mut link, |n| matches!(n, News::Disconnected { .. })).await;
        let News::Disconnected { why, retry_in_ms, refused } = news else { unreachable!() };
        assert!(refused && (why.contains("NotAuthorized") || why.contains("BadUserNamePassword")), "{why}");
        longest = longest.max(retry_in_ms);
    }
    assert!(longest <= 400);
}

fn openssl(dir: &Path, args: &str) {
    let done = Process::new("openssl")
        .args(args.split(' '))
        .current_dir(dir)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success(), "openssl {args}");
}

/// An authority, a broker's certificate for localhost and one for us.
fn certificates(dir: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(dir, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca"));
    openssl(dir, &format!("req -x509 {key} -keyout x.key -out other.pem -days 2 -subj /CN=other-ca"));
    std::fs::write(dir.join("san"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
    for (name, cn) in [("broker", "localhost"), ("mouse", "n-1")] {
        openssl(dir, &format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={cn}"));
        openssl(
            dir,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out {name}.pem -extfile san"
            ),
        );
    }
}

#[tokio::test]
async fn tls_with_certificates_on_both_sides() {
    let broker = Mosquitto::start(|dir| {
        certificates(dir);
        let d = dir.display();
        format!(
            "allow_anonymous true\ncafile {d}/ca.pem\ncertfile {d}/broker.pem\nkeyfile {d}/broker.key\nrequire_certificate true"
        )
    });
    let Some(broker) = broker.await else { return };
    let dir = broker.dir.path();
    let good = Config {
        url: format!("mqtts://localhost:{}", broker.port).into(),
        ca_file: Some(dir.join("ca.pem")),
        cert_file: Some(dir.join("mouse.pem")),
        key_file: Some(dir.join("mouse.key")),
        ..config(broker.port)
    };
    let mut link = start(&good);
    wait_for(&mut link, |n| matches!(n, News::Connected { .. })).await;
    let mut link = start(&Config {
        url: format!("mqtts://127.0.0.1:{}", broker.port).into(),
        node: "n-2".into(),
        ..good.clone()
    });
    wait_for(&mut link, |n| matches!(n, News::Connected { .. })).await;
    let mut link =
        start(&Config { ca_file: Some(dir.join("other.pem")), node: "n-3".into(), ..good.clone() });
    let news = wait_for(&mut link, |n| matches!(n, News::Disconnected { .. })).await;
    assert!(
        matches!(&news, News::Disconnected { why, refused: true, .. } if why.contains("invalid peer certificate")),
        "{news:?}"
    );
    let mut link = start(&Config { cert_file: None, key_file: None, node: "n-4".into(), ..good.clone() });
    let news = wait_for(&mut link, |n| matches!(n, News::Disconnected { .. })).await;
    assert!(matches!(&news, News::Disconnected { .. }), "{news:?}");
    let said =
        Config { key_file: Some(dir.join("broker.key")), ..good.clone() }.check().unwrap_err().to_string();
    assert!(said.contains("broker.key: does not go with"), "{said}");
    let said = Config { key_file: Some(dir.join("ca.pem")), ..good }.check().unwrap_err().to_string();
    assert!(said.contains("ca.pem: no private key in it"), "{said}");
}

#[tokio::test]
async fn from_the_second_broker_it_goes_back_to_the_first_once_that_answers() {
    let port = free_port().await;
    let Some(second) = Mosquitto::start(|_| "allow_anonymous true".into()).await else { return };
    let mut c = config(port);
    c.url.0.push(format!("mqtt://127.0.0.1:{}", second.port));
    (c.keep_alive, c.return_after) = (Span::secs(5), Span(1000));
    let mut link = start(&c);
    wait_for(&mut link, |n| matches!(n, News::Connected { .. })).await;
    assert_eq!(link.traffic().broker, 1);
    let Some(_first) = Mosquitto::start_in(tempfile::tempdir().unwrap(), port, "allow_anonymous true").await
    else {
        return;
    };
    let mut seen = collector(second.port).await;
    let back = |n: &News| matches!(n, News::Disconnected { why, .. } if why == "the first broker is back");
    wait_for(&mut link, back).await;
    wait_for(&mut link, |n| matches!(n, News::Connected { .. })).await;
    assert_eq!(link.traffic().broker, 0);
    // It said goodbye: nobody at the second broker is told that it was lost.
    let said = async {
        loop {
            let (topic, retained, _) = seen.recv().await.unwrap();
            if topic.ends_with("/status") && !retained {
                return;
            }
        }
    };
    timeout(LIMIT, said).await.unwrap();
}
