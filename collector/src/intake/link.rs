//! The connection to the broker: what comes in goes to the intake, acknowledgements go out.
//!
//! The event loop runs in a task of its own that is never cancelled: a poll that is dropped half-way can lose what it
//! had read. The client answers the broker at once and on its own. To hold that answer back until the commit would
//! gain nothing, because the agent keeps every event until it hears of the commit; and it would cost much: brokers
//! count unanswered messages differently (mosquitto 2.0 sends two for every answer), and one lost answer blocks a
//! place for good. When the intake falls behind, this task waits for it, and TCP holds the broker back.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use fieldmouse_core::wire;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    LastWill, LastWillProperties, Packet, Publish, PublishProperties, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{Outgoing, TlsConfiguration, Transport};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::answers::Answers;
use super::door::{Door, Entrance};
use super::presence;
use super::reach::{Reach, status_topic};
use crate::broker::MAX_PACKET;
use crate::clock;
use crate::config::Remote;
use crate::counters::{Counters, add};
use crate::store::{Acknowledged, Wanted};
use crate::tls;

/// Messages under way from the broker at once: as many as it likes. A broker that has a thousand devices to read takes one
/// packet of each in turn, and ours as one of them: whoever lets it wait for our answers lets its queue run over.
const RECEIVE_MAX: u16 = u16::MAX;
/// Messages that wait for the intake.
const ROOM: usize = 4096;
/// What waits for the client.
const REQUESTS: usize = 1024;
/// Acknowledgements under way to the broker at once.
const INFLIGHT: u16 = 64;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The broker keeps what comes while the collector restarts; what it forgets, agents send again.
const SESSION_S: u32 = 3600;

/// What arrived, and when.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) publish: Publish,
    pub(super) received_ms: u64,
}

/// The way back to the broker.
#[derive(Debug)]
pub struct Link {
    client: AsyncClient,
    names: Names,
    reach: Arc<Reach>,
    answers: Arc<Answers>,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    speaker: JoinHandle<()>,
}

/// Root of the topics and name of the collector.
#[derive(Debug, Clone)]
pub struct Names {
    /// First part of every topic.
    pub root: String,
    /// Name of this collector.
    pub id: String,
    /// Name among the members of a cluster that share the id; none for who is alone.
    pub instance: Option<String>,
}

impl Link {
    /// Begins to connect, and goes on trying until stopped.
    ///
    /// # Errors
    /// If a file of the configuration cannot be used.
    pub(super) fn start(
        remote: &Remote,
        names: Names,
        door: Arc<Door>,
        counters: Arc<Counters>,
    ) -> anyhow::Result<(Self, mpsc::Receiver<Inbound>)> {
        let (client, events) = AsyncClient::new(options(remote, &names)?, REQUESTS);
        let reach = Arc::new(Reach::new(client.clone(), names.clone()));
        let (to, from) = mpsc::channel(ROOM);
        let (stop, stopped) = watch::channel(false);
        let answers = Arc::new(Answers::default());
        let speaker = Speaker {
            client: client.clone(),
            names: names.clone(),
            answers: Arc::clone(&answers),
            counters: Arc::clone(&counters),
        };
        let pump = Pump {
            events,
            answers: Arc::clone(&answers),
            reach: Arc::clone(&reach),
            door,
            to,
            counters: Arc::clone(&counters),
            stopped,
            broker: remote.url.clone(),
            failures: 0,
        };
        let (task, speaker) = (tokio::spawn(pump.run()), tokio::spawn(speaker.run()));
        Ok((Self { client, names, reach, answers, counters, stop, task, speaker }, from))
    }

    /// Tells an agent what is safe.
    pub(super) fn acknowledge(&self, ack: &Acknowledged) {
        self.answers.add(ack);
    }

    /// Who asks devices for capsules.
    #[must_use]
    pub fn asker(&self) -> Asker {
        Asker { client: self.client.clone(), names: self.names.clone() }
    }

    /// Sees to it that these sites are subscribed to, and no others.
    pub fn attend(&self, held: &Arc<BTreeSet<String>>) {
        self.reach.attend(held);
    }

    /// Says goodbye, and waits for it to be on its way. Where others go on under the same name, the connection ends
    /// without a word.
    pub async fn stop(self, others_live: bool) {
        self.speaker.abort();
        let goodbye = presence::status(&self.names.id, wire::state::OFFLINE, clock::wall_ms());
        let deadline = Duration::from_secs(3);
        if self.counters.connected.load(Ordering::Relaxed) {
            let topic = status_topic(&self.names);
            // One stream, in order: the broker reads the message before the disconnect that cancels the will.
            let said = async {
                if !others_live {
                    self.client.publish(topic, QoS::AtLeastOnce, true, goodbye).await?;
                }
                self.client.disconnect().await
            };
            if !matches!(tokio::time::timeout(deadline, said).await, Ok(Ok(()))) {
                log::warn!("could not say goodbye to the broker");
            }
        }
        self.stop.send_replace(true);
        let mut task = self.task;
        if tokio::time::timeout(deadline, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// Asks devices for pieces of capsules.
#[derive(Debug, Clone)]
pub struct Asker {
    client: AsyncClient,
    names: Names,
}

impl Asker {
    /// Asks for a piece. A question that is lost is asked again by whoever still wants it.
    pub fn ask(&self, w: &Wanted) {
        let topic = topic(&self.names, (&w.site, &w.node, "ask"));
        let payload = presence::ask(&self.names.id, w);
        let said = self.client.try_publish_with_properties(topic, QoS::AtLeastOnce, false, payload, soon());
        if said.is_err() {
            log::debug!("{}/{}: not asked for a capsule: too much is on its way", w.site, w.node);
        }
    }
}

/// Tells agents what is safe, as fast as the broker takes it.
struct Speaker {
    client: AsyncClient,
    names: Names,
    answers: Arc<Answers>,
    counters: Arc<Counters>,
}

impl Speaker {
    async fn run(self) {
        loop {
            let (ack, is_crowded) = self.answers.next().await;
            let topic = topic(&self.names, (&ack.site, &ack.node, "ack"));
            let payload = presence::ack(&self.names.id, &ack);
            let qos = if is_crowded { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            let said = self.client.publish_with_properties(topic, qos, false, payload, soon()).await;
            // It fails only when the pump is gone, and then nobody hears it.
            add(&self.counters.acks, u64::from(said.is_ok()));
        }
    }
}

fn topic(names: &Names, (site, node, leaf): (&str, &str, &str)) -> String {
    format!("{}/1/{site}/{node}/{leaf}", names.root)
}

/// What is worthless a minute later.
fn soon() -> PublishProperties {
    PublishProperties {
        content_type: Some(wire::CONTENT_TYPE.to_owned()),
        message_expiry_interval: Some(60),
        ..PublishProperties::default()
    }
}

struct Pump {
    events: EventLoop,
    answers: Arc<Answers>,
    reach: Arc<Reach>,
    door: Arc<Door>,
    to: mpsc::Sender<Inbound>,
    counters: Arc<Counters>,
    stopped: watch::Receiver<bool>,
    broker: String,
    failures: u32,
}

impl Pump {
    async fn run(mut self) {
        loop {
            match self.events.poll().await {
                Ok(Event::Incoming(packet)) => self.incoming(packet).await,
                Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(ConnectionError::RequestsDone) => break,
                Ok(Event::Outgoing(Outgoing::Publish(_))) => self.answers.sent(),
                Ok(Event::Outgoing(_)) => {}
                Err(e) => {
                    self.lost(&e);
                    if self.wait().await {
                        break;
                    }
                }
            }
        }
        self.counters.connection(false, clock::wall_ms());
    }

    async fn incoming(&mut self, packet: Packet) {
        match packet {
            Packet::ConnAck(ack) => {
                if !ack.session_present {
                    // Else the client waits for ever for an answer that belonged to the lost session.
                    self.events.state.collision = None;
                }
                self.reach.greet();
            }
            Packet::SubAck(ack) => {
                let refused = ack.return_codes.iter().find(|c| !matches!(c, SubscribeReasonCode::Success(_)));
                match refused {
                    None => {
                        if !self.counters.connected.load(Ordering::Relaxed) {
                            log::info!("connected to {}", self.broker);
                            self.answers.open(true);
                        }
                        self.failures = 0;
                        self.counters.connection(true, clock::wall_ms());
                    }
                    Some(code) => log::error!("{} refused a subscription: {code:?}", self.broker),
                }
            }
            Packet::Publish(publish) => {
                let received_ms = clock::wall_ms();
                if self.reach.hears(&publish) {
                    return;
                }
                let topic = std::str::from_utf8(&publish.topic).unwrap_or_default();
                match self.door.entrance(received_ms, topic) {
                    Entrance::Open => {}
                    Entrance::Quarantine => return add(&self.counters.held_back, 1),
                    Entrance::Foreign => return add(&self.counters.foreign, 1),
                }
                let inbound = Inbound { publish, received_ms };
                // It fails only when the intake is gone, and then what arrives no longer matters.
                let _gone = self.to.send(inbound).await;
            }
            Packet::Disconnect(d) => log::warn!("{} ended the connection: {:?}", self.broker, d.reason_code),
            _ => {}
        }
    }

    fn lost(&mut self, error: &ConnectionError) {
        self.counters.connection(false, clock::wall_ms());
        self.answers.open(false);
        // At each doubling, so that a broker that is away for a week does not fill the log.
        if self.failures.is_power_of_two() || self.failures == 0 {
            log::warn!("{}: {error}", self.broker);
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// Waits before the next attempt, longer each time; true if it is time to stop.
    async fn wait(&mut self) -> bool {
        let longest = 250 << self.failures.min(7);
        let jitter = RandomState::new().hash_one(self.failures) % longest;
        let pause = Duration::from_millis(longest / 2 + jitter / 2);
        tokio::select! {
            () = tokio::time::sleep(pause) => false,
            _ = self.stopped.wait_for(|stop| *stop) => true,
        }
    }
}

fn options(remote: &Remote, names: &Names) -> anyhow::Result<MqttOptions> {
    // No node can have this name: nodes have no underscore.
    let member = names.instance.as_ref().map(|instance| format!("_{instance}")).unwrap_or_default();
    let name = format!("collector_{}{member}", names.id);
    let mut options = MqttOptions::new(name, &remote.host, remote.port);
    // What a member holds may be another's by the time it is back.
    let is_alone = names.instance.is_none();
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_start(!is_alone)
        .set_session_expiry_interval(Some(if is_alone { SESSION_S } else { 0 }))
        .set_receive_maximum(Some(RECEIVE_MAX))
        .set_max_packet_size(Some(u32::try_from(MAX_PACKET)?))
        .set_outgoing_inflight_upper_limit(INFLIGHT)
        .set_connection_timeout(20);
    let lost = presence::status(&names.id, wire::state::LOST, clock::wall_ms());
    let properties = LastWillProperties {
        delay_interval: None,
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: Some(wire::CONTENT_TYPE.to_owned()),
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    };
    options.set_last_will(LastWill::new(status_topic(names), lost, QoS::AtLeastOnce, true, Some(properties)));
    if let Some(user) = &remote.user {
        let password = match &remote.password_file {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("broker.password_file {}", path.display()))?,
            None => String::new(),
        };
        options.set_credentials(user, password.trim_end_matches(['\r', '\n']));
    }
    if remote.tls {
        let config = tls::client(remote.ca_file.as_deref(), remote.identity.as_ref()).context("broker")?;
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
    }
    Ok(options)
}
