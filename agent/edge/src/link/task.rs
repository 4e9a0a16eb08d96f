//! The tasks behind [`super::Link`]: one polls the client and is never cancelled while the client lives on; the other
//! decides, over channels only.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fieldmouse_core::wire::{self, Kind, Status, state};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Filter, LastWill, LastWillProperties, Packet, PubAckReason, Publish, PublishProperties,
    RetainForwardRule, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{Outgoing, TlsConfiguration, Transport};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::fault::Fault;
use super::{Command, Compose, Hello, Leaf, News, Ready, Traffic, backoff, seed};
use crate::clock;

/// Packets on their way: the client's own default takes 14 MB.
const INFLIGHT: u16 = 16;
/// Topic and properties beside a payload.
const OVERHEAD: usize = 1024;
/// How long the broker waits before it tells that we are lost: a quick reconnect is no news.
const WILL_DELAY_S: u32 = 30;
/// A connection that lasted so long and carried an acknowledgement was good.
const GOOD: Duration = Duration::from_secs(60);
/// For the goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why a connection ended.
enum End {
    Stopped,
    Fault { why: String, kind: Fault },
}

/// Ends the polling task with the connection.
struct Poller(JoinHandle<()>);

impl Drop for Poller {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What outlives a connection.
struct Task {
    ready: Ready,
    compose: Compose,
    commands: Receiver<Command>,
    news: Sender<News>,
    traffic: Arc<Mutex<Traffic>>,
    ack_topic: String,
    collector_filter: String,
    /// How far unreadable input has made us: 1 a fresh session and nothing retained, 2 no word of collectors either.
    poison: u8,
}

/// A connection.
struct Session {
    client: AsyncClient,
    connected: bool,
    retain: bool,
    max_payload: usize,
    /// What was given to the client, in its order; none for our own.
    queued: VecDeque<Option<u64>>,
    unconfirmed: HashMap<u16, Option<u64>>,
    since: Option<std::time::Instant>,
    acked: bool,
    /// The offline message was queued; it is confirmed when nothing of ours is left.
    leaving: Option<Instant>,
}

pub(super) async fn run(
    ready: Ready,
    compose: Compose,
    commands: Receiver<Command>,
    news: Sender<News>,
    traffic: Arc<Mutex<Traffic>>,
) {
    let c = &ready.config;
    let ack_topic = format!("{}/1/{}/{}/ack", c.root, c.site, c.node);
    let collector_filter = format!("{}/1/_collector/+/status", c.root);
    let mut task = Task { ready, compose, commands, news, traffic, ack_topic, collector_filter, poison: 0 };
    let mut attempt = 0;
    loop {
        let (end, good) = task.connection().await;
        if good {
            (attempt, task.poison) = (0, 0);
        }
        let End::Fault { why, kind } = end else { break };
        let c = &task.ready.config;
        let refused = matches!(kind, Fault::Refused | Fault::TakenOver);
        let most = if refused { c.refused_max } else { c.retry_max };
        let mut wait = backoff(attempt, seed(&c.node), c.retry_min.0, most.0);
        if kind == Fault::TakenOver {
            // Two of one name must not throw each other out in turn.
            wait = wait.max(c.retry_max.0 / 2);
        }
        if kind == Fault::Poison {
            task.poison = (task.poison + 1).min(2);
        }
        attempt = attempt.saturating_add(1);
        task.tell(News::Disconnected { why, retry_in_ms: wait, refused }).await;
        if !task.pause(Duration::from_millis(wait)).await {
            break;
        }
    }
    task.tell(News::Stopped).await;
}

impl Task {
    async fn tell(&mut self, news: News) {
        if self.news.send(news).await.is_err() {
            log::debug!("link: nobody listens");
        }
    }

    /// Waits; what is to be published meanwhile is dropped. False if told to stop.
    async fn pause(&mut self, wait: Duration) -> bool {
        let end = sleep(wait);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return true,
                command = self.commands.recv() => match command {
                    None | Some(Command::Stop) => return false,
                    Some(_) => {}
                },
            }
        }
    }

    fn options(&mut self) -> MqttOptions {
        let Ready { config: c, broker, tls, login } = &self.ready;
        let mut o = MqttOptions::new(c.node.clone(), broker.host.clone(), broker.port);
        if let Some(tls) = tls {
            o.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls.clone())));
        }
        if let Some((user, password)) = login {
            o.set_credentials(user, password);
        }
        let expiry = u32::try_from(c.session_expiry.0 / 1000).unwrap_or(u32::MAX);
        o.set_keep_alive(c.keep_alive.duration())
            .set_connection_timeout(c.connect_timeout.0.div_ceil(1000))
            .set_clean_start(self.poison > 0)
            .set_session_expiry_interval(Some(expiry))
            .set_max_packet_size(u32::try_from(wire::MAX_PAYLOAD + OVERHEAD).ok())
            .set_outgoing_inflight_upper_limit(INFLIGHT);
        let will = (self.compose)(Hello::Lost);
        let properties = LastWillProperties {
            delay_interval: Some(WILL_DELAY_S),
            payload_format_indicator: None,
            message_expiry_interval: None,
            content_type: Some(wire::CONTENT_TYPE.to_owned()),
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        };
        let topic = self.topic(Leaf::Status);
        o.set_last_will(LastWill::new(topic, will.to_vec(), QoS::AtLeastOnce, true, Some(properties)));
        o
    }

    fn topic(&self, leaf: Leaf) -> String {
        let c = &self.ready.config;
        let mut to = heapless::String::new();
        wire::topic(&c.root, &c.site, &c.node, leaf.word(), &mut to).to_owned()
    }

    /// One connection from attempt to end, and whether it was a good one.
    async fn connection(&mut self) -> (End, bool) {
        if let Ok(mut t) = self.traffic.lock() {
            t.attempts += 1;
        }
        let (client, events) = AsyncClient::new(self.options(), usize::from(INFLIGHT) * 2);
        let (to, mut from) = channel(32);
        let _poller = Poller(tokio::spawn(poll(events, to)));
        let mut s = Session {
            client,
            connected: false,
            retain: true,
            max_payload: wire::MAX_PAYLOAD,
            queued: VecDeque::new(),
            unconfirmed: HashMap::new(),
            since: None,
            acked: false,
            leaving: None,
        };
        let end = loop {
            let deadline = s.leaving;
            let happened = tokio::select! {
                event = from.recv() => Some(event),
                command = self.commands.recv(), if s.leaving.is_none() => {
                    match self.obey(&mut s, command.unwrap_or(Command::Stop)).await {
                        Some(end) => break end,
                        None => None,
                    }
                }
                () = until(deadline) => break End::Stopped,
            };
            let end = match happened {
                None => None,
                Some(Some(Ok(event))) => self.happened(&mut s, event).await,
                Some(Some(Err(e))) => Some(End::Fault { why: e.to_string(), kind: Fault::of(&e) }),
                Some(None) => Some(End::Fault { why: "the client ended".to_owned(), kind: Fault::Other }),
            };
            if let Some(end) = end {
                break if s.leaving.is_some() { End::Stopped } else { end };
            }
        };
        let good = s.acked && s.since.is_some_and(|t| clock::since(t) >= GOOD);
        (end, good)
    }

    async fn obey(&mut self, s: &mut Session, command: Command) -> Option<End> {
        match command {
            Command::Publish { leaf, payload, retain, confirm, token } if s.connected => {
                if let Err(why) = self.publish(s, leaf, payload, retain, confirm, Some(token)) {
                    self.tell(News::Refused { token, why: why.to_owned() }).await;
                }
            }
            Command::Publish { .. } => {}
            Command::Subscribe if s.connected => self.subscribe(s),
            Command::Subscribe => {}
            Command::Rebuild { why } => return Some(End::Fault { why: why.to_owned(), kind: Fault::Other }),
            Command::Stop if s.connected => {
                let payload = (self.compose)(Hello::Offline);
                if self.publish(s, Leaf::Status, payload, true, true, None).is_err() {
                    return Some(End::Stopped);
                }
                s.leaving = Some(clock::instant().checked_add(GOODBYE)?.into());
            }
            Command::Stop => return Some(End::Stopped),
        }
        None
    }

    fn publish(
        &self,
        s: &mut Session,
        leaf: Leaf,
        payload: Bytes,
        retain: bool,
        confirm: bool,
        token: Option<u64>,
    ) -> Result<(), &'static str> {
        if payload.len() > s.max_payload {
            // The client would answer with an error that ends the connection.
            return Err("larger than the broker takes");
        }
        let topic = self.topic(leaf);
        let size = topic.len() + payload.len();
        let qos = if confirm { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let content =
            PublishProperties { content_type: Some(wire::CONTENT_TYPE.to_owned()), ..Default::default() };
        s.client
            .try_publish_with_properties(topic, qos, retain && s.retain, payload, content)
            .map_err(|_| "too much is on its way")?;
        s.queued.push_back(token);
        if let Ok(mut t) = self.traffic.lock() {
            t.sent += size as u64;
        }
        Ok(())
    }

    fn subscribe(&self, s: &Session) {
        let filter = |path: &str| {
            let mut f = Filter::new(path, QoS::AtLeastOnce);
            if self.poison > 0 || path == self.ack_topic {
                f.retain_forward_rule = RetainForwardRule::Never;
            }
            f
        };
        let mut filters = vec![filter(&self.ack_topic)];
        if self.poison < 2 {
            filters.push(filter(&self.collector_filter));
        }
        if s.client.try_subscribe_many(filters).is_err() {
            log::warn!("link: cannot subscribe now");
        }
    }

    async fn happened(&mut self, s: &mut Session, event: Event) -> Option<End> {
        match event {
            Event::Incoming(Packet::ConnAck(ack)) => self.connected(s, &ack).await,
            Event::Incoming(Packet::PubAck(ack)) => {
                let taken = matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers);
                let token = s.unconfirmed.remove(&ack.pkid).flatten();
                match token {
                    Some(token) if taken => self.tell(News::Stored { token }).await,
                    Some(token) => self.tell(News::Refused { token, why: format!("{:?}", ack.reason) }).await,
                    None if !taken => {
                        self.tell(News::Warning(format!("status or birth refused: {:?}", ack.reason))).await;
                    }
                    None => {}
                }
                let ours = |q: &Option<u64>| q.is_none();
                if s.leaving.is_some() && !s.queued.iter().any(ours) && !s.unconfirmed.values().any(ours) {
                    // The offline message is there. A disconnect that is said keeps the will unsaid.
                    if s.client.try_disconnect().is_err() {
                        return Some(End::Stopped);
                    }
                }
            }
            Event::Outgoing(Outgoing::Publish(id)) => match s.queued.pop_front().flatten() {
                Some(token) if id == 0 => self.tell(News::Sent { token }).await,
                token if id != 0 => drop(s.unconfirmed.insert(id, token)),
                _ => {}
            },
            Event::Outgoing(Outgoing::Disconnect) => return Some(End::Stopped),
            Event::Incoming(Packet::SubAck(ack)) => {
                for code in ack.return_codes {
                    if !matches!(code, SubscribeReasonCode::Success(_)) {
                        self.tell(News::Warning(format!("a subscription was refused: {code:?}"))).await;
                    }
                }
            }
            Event::Incoming(Packet::Publish(message)) => self.received(s, &message).await,
            _ => {}
        }
        None
    }

    async fn connected(&mut self, s: &mut Session, ack: &ConnAck) {
        s.connected = true;
        s.since = Some(clock::instant());
        if let Some(p) = &ack.properties {
            s.retain = p.retain_available != Some(0);
            let most = p.max_packet_size.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
            let beside = self.topic(Leaf::Status).len() + wire::CONTENT_TYPE.len() + 32;
            s.max_payload = most.saturating_sub(beside).min(wire::MAX_PAYLOAD);
        }
        let news = News::Connected { session_present: ack.session_present, max_payload: s.max_payload };
        self.tell(news).await;
        // Each time: a broker may say that it has our session and have lost the subscriptions.
        self.subscribe(s);
        for (hello, leaf) in [(Hello::Online, Leaf::Status), (Hello::Birth, Leaf::Birth)] {
            let payload = (self.compose)(hello);
            if !payload.is_empty()
                && let Err(why) = self.publish(s, leaf, payload, true, true, None)
            {
                self.tell(News::Warning(format!("{} was not sent: {why}", leaf.word()))).await;
            }
        }
    }

    async fn received(&mut self, s: &mut Session, message: &Publish) {
        if let Ok(mut t) = self.traffic.lock() {
            t.received += (message.topic.len() + message.payload.len()) as u64;
        }
        let ours = message.topic.as_ref() == self.ack_topic.as_bytes();
        let (head, items) = match wire::read(&message.payload) {
            Ok(read) => read,
            // An empty retained message is a removal.
            Err(_) if message.payload.is_empty() => return,
            Err(e) => return self.tell(News::Warning(format!("a message was not read: {}", e.word()))).await,
        };
        for item in items.flatten() {
            if ours && item.kind == Kind::Ack as u16 {
                if let Ok((ack, from)) = wire::read_ack(item.rev, item.body) {
                    s.acked = true;
                    self.tell(News::Acked { ack, from: from.map(|f| f.as_str().to_owned()) }).await;
                }
            } else if !ours
                && item.kind == Kind::Status as u16
                && let Ok(said) = wire::read_body::<Status>(item.body)
            {
                let (online, fresh) = (said.state == state::ONLINE, !message.retain);
                self.tell(News::Collector { name: head.node.to_owned(), online, fresh }).await;
            }
        }
    }
}

/// Polls until the connection ends. It waits for nothing but the client and room in the channel.
async fn poll(mut events: EventLoop, to: Sender<Result<Event, ConnectionError>>) {
    loop {
        let event = events.poll().await;
        if let Ok(Event::Incoming(Packet::ConnAck(ack))) = &event {
            if !ack.session_present {
                events.state.collision = None;
            }
            if events.options.keep_alive() < Duration::from_secs(1) {
                // A broker that says 0 turns the keep alive off; the client would take that for "at once".
                events.options.set_keep_alive(Duration::from_secs(3600));
            }
        }
        let last = event.is_err() || matches!(event, Ok(Event::Outgoing(Outgoing::Disconnect)));
        if to.send(event).await.is_err() || last {
            return;
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
