//! One connection: one task polls the client and is never cancelled while the client lives on; the other decides, over
//! channels only.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use fieldmouse_core::wire::{self, Kind, Status, state};
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Filter, Packet, PubAckReason, Publish, PublishProperties, RetainForwardRule, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::fault::{Fault, words};
use super::task::Task;
use super::{Command, Hello, Leaf, News};
use crate::clock;

/// Packets on their way: the client's own default takes 14 MB.
pub(super) const INFLIGHT: u16 = 16;
/// A connection that lasted so long and confirmed something was good.
const GOOD: Duration = Duration::from_secs(60);
/// For the goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why a connection ended.
pub(super) enum End {
    /// We were told to.
    Stopped,
    /// To go back to the first broker.
    Moving,
    /// It fell, or could not be made.
    Fault { why: String, kind: Fault },
}

/// Ends a task with the connection.
struct Held<T>(JoinHandle<T>);

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection.
pub(super) struct Session {
    client: AsyncClient,
    connected: bool,
    retain: bool,
    max_payload: usize,
    /// What was given to the client, in its order; none for our own.
    queued: VecDeque<Option<u64>>,
    unconfirmed: HashMap<u16, Option<u64>>,
    since: Option<std::time::Instant>,
    /// When something last came in, and whether the silence since was broken by us.
    heard: std::time::Instant,
    asked: bool,
    /// The broker confirmed something, or the collector acknowledged.
    worked: bool,
    /// The offline message was queued; it is confirmed when nothing of ours is left.
    leaving: Option<Instant>,
    /// We leave for the first broker of the list.
    moving: bool,
    /// Looks whether the first broker is back.
    looking: Option<Held<bool>>,
    looked: std::time::Instant,
}

impl Task {
    /// One connection from attempt to end, whether it stood, and whether it was a good one.
    pub(super) async fn connection(&mut self) -> (End, bool, bool) {
        if let Ok(mut t) = self.traffic.lock() {
            t.attempts += 1;
            t.broker = self.broker;
        }
        let (client, events) = AsyncClient::new(self.options(), usize::from(INFLIGHT) * 2);
        let (to, mut from) = channel(32);
        let own = self.ready.config.keep_alive.duration();
        let _poller = Held(tokio::spawn(poll(events, to, own)));
        let mut pulse = self.pulse();
        let mut s = Session {
            client,
            connected: false,
            retain: true,
            max_payload: wire::MAX_PAYLOAD,
            queued: VecDeque::new(),
            unconfirmed: HashMap::new(),
            since: None,
            heard: clock::instant(),
            asked: false,
            worked: false,
            leaving: None,
            moving: false,
            looking: None,
            looked: clock::instant(),
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
                _ = pulse.tick() => {
                    self.show_life();
                    match self.look_after(&mut s).await {
                        Some(end) => break end,
                        None => None,
                    }
                }
                () = until(deadline) => break End::Stopped,
            };
            let end = match happened {
                None => None,
                Some(Some(Ok(event))) => self.happened(&mut s, event).await,
                Some(Some(Err(e))) => {
                    Some(End::Fault { why: words(&e, &self.ready.floor), kind: Fault::of(&e) })
                }
                Some(None) => Some(End::Fault { why: "the client ended".to_owned(), kind: Fault::Other }),
            };
            if let Some(end) = end {
                break if s.leaving.is_some() { End::Stopped } else { end };
            }
        };
        let end = if s.moving && matches!(end, End::Stopped) { End::Moving } else { end };
        let good = s.worked && s.since.is_some_and(|t| clock::since(t) >= GOOD);
        (end, s.connected, good)
    }

    /// What has to be looked after even if nothing happens: a silent broker, and the way back to the first one.
    async fn look_after(&mut self, s: &mut Session) -> Option<End> {
        if !s.connected || s.leaving.is_some() {
            return None;
        }
        let own = self.ready.config.keep_alive.duration();
        let silent = clock::since(s.heard);
        if silent > own * 3 {
            let why = format!("the broker is silent for {} s", silent.as_secs());
            return Some(End::Fault { why, kind: Fault::Other });
        }
        if silent > own * 3 / 2 && !s.asked {
            // The client asks at the pace the broker set, which may be days.
            s.asked = true;
            self.subscribe(s);
        }
        if self.broker == 0 {
            return None;
        }
        let is_back = match s.looking.take() {
            Some(mut task) if task.0.is_finished() => (&mut task.0).await.unwrap_or(false),
            Some(task) => {
                s.looking = Some(task);
                false
            }
            None if clock::since(s.looked) >= self.ready.config.return_after.duration() => {
                s.looked = clock::instant();
                s.looking = self.ready.brokers.first().map(|first| {
                    let (at, limit) = ((first.host.clone(), first.port), self.ready.config.connect_timeout);
                    Held(tokio::spawn(async move {
                        matches!(timeout(limit.duration(), TcpStream::connect(at)).await, Ok(Ok(_)))
                    }))
                });
                false
            }
            None => false,
        };
        if is_back {
            s.moving = true;
            return self.say_goodbye(s);
        }
        None
    }

    /// Leaves politely, so that the will stays unsaid. The end comes with the answer, or at once if there is no way.
    fn say_goodbye(&mut self, s: &mut Session) -> Option<End> {
        let payload = (self.compose)(Hello::Offline);
        if self.publish(s, Leaf::Status, payload, true, true, None).is_err() {
            return Some(End::Stopped);
        }
        s.leaving = Some(clock::instant().checked_add(GOODBYE)?.into());
        None
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
            Command::Rebuild { why } => return Some(End::Fault { why: why.to_owned(), kind: Fault::Stuck }),
            Command::Stop if s.connected => return self.say_goodbye(s),
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
            if self.poison > 0 || path != self.collector_filter {
                f.retain_forward_rule = RetainForwardRule::Never;
            }
            f
        };
        let mut filters = vec![filter(&self.ack_topic), filter(&self.ask_topic)];
        if self.poison < 2 {
            filters.push(filter(&self.collector_filter));
        }
        if s.client.try_subscribe_many(filters).is_err() {
            log::warn!("link: cannot subscribe now");
        }
    }

    async fn happened(&mut self, s: &mut Session, event: Event) -> Option<End> {
        if matches!(event, Event::Incoming(_)) {
            (s.heard, s.asked) = (clock::instant(), false);
        }
        match event {
            Event::Incoming(Packet::ConnAck(ack)) => self.connected(s, &ack).await,
            Event::Incoming(Packet::PubAck(ack)) => {
                let taken = matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers);
                s.worked |= taken;
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
            Event::Outgoing(Outgoing::Disconnect) if s.leaving.is_some() => return Some(End::Stopped),
            // The client's own answer to a topic alias that was never agreed upon.
            Event::Outgoing(Outgoing::Disconnect) => {
                let why = "the broker broke the protocol".to_owned();
                return Some(End::Fault { why, kind: Fault::Poison });
            }
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
        self.fresh = false;
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
        let asked = message.topic.as_ref() == self.ask_topic.as_bytes();
        let (head, items) = match wire::read(&message.payload) {
            Ok(read) => read,
            // An empty retained message is a removal.
            Err(_) if message.payload.is_empty() => return,
            Err(e) => return self.tell(News::Warning(format!("a message was not read: {}", e.word()))).await,
        };
        for item in items.flatten() {
            if ours && item.kind == Kind::Ack as u16 {
                if let Ok((ack, from)) = wire::read_ack(item.rev, item.body) {
                    s.worked = true;
                    self.tell(News::Acked { ack, from: from.map(|f| f.as_str().to_owned()) }).await;
                }
            } else if asked {
                // A question that the broker kept is nobody's any more.
                if item.kind == Kind::Ask as u16 && !message.retain && head.node == self.ready.config.node {
                    match wire::read_body(item.body) {
                        Ok(ask) => self.tell(News::Asked { epoch: head.epoch, ask }).await,
                        Err(e) => {
                            self.tell(News::Warning(format!("a question was not read: {}", e.word()))).await;
                        }
                    }
                }
            } else if !ours
                && item.kind == Kind::Status as u16
                && let Ok(said) = wire::read_body::<Status>(item.body)
            {
                if self.broker().is_some_and(|b| b.tls)
                    && item.clock == wire::Clock::Synced as u8
                    && let Some(wall) = item.wall_ms
                {
                    // Who speaks was verified, and its clock was compared with others.
                    self.ready.floor.raise(wall / 1000);
                }
                let (online, fresh) = (said.state == state::ONLINE, !message.retain);
                self.tell(News::Collector { name: head.node.to_owned(), online, fresh }).await;
            }
        }
    }
}

/// Polls until the connection ends. It waits for nothing but the client and room in the channel.
async fn poll(mut events: EventLoop, to: Sender<Result<Event, ConnectionError>>, own_keep_alive: Duration) {
    loop {
        let event = events.poll().await;
        if let Ok(Event::Incoming(Packet::ConnAck(ack))) = &event {
            if !ack.session_present {
                events.state.collision = None;
            }
            if events.options.keep_alive() < Duration::from_secs(1) {
                // A broker that says 0 turns the keep alive off; the client would take that for "at once".
                events.options.set_keep_alive(own_keep_alive);
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
