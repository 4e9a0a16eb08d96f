//! The task behind [`super::Link`]: one connection after the other, each at the broker whose turn it is, and the waits
//! between them. What happens within a connection is in [`super::session`].

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fieldmouse_core::wire;
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, LastWillProperties};
use rumqttc::{TlsConfiguration, Transport};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::backoff::{Ended, Retry};
use super::fault::Fault;
use super::session::{End, INFLIGHT};
use super::{Broker, Command, Compose, Hello, Leaf, News, Ready, Traffic, seed};
use crate::clock;

/// Topic and properties beside a payload.
const OVERHEAD: usize = 1024;
/// How long the broker waits before it tells that we are lost: a quick reconnect is no news, nor is one that waits its
/// turn after a restart of the broker.
const WILL_DELAY_S: u32 = 45;
/// How often the task shows that it lives, at least.
const PULSE: Duration = Duration::from_secs(10);

/// What outlives a connection.
pub(super) struct Task {
    pub(super) ready: Ready,
    pub(super) compose: Compose,
    pub(super) commands: Receiver<Command>,
    pub(super) news: Sender<News>,
    pub(super) traffic: Arc<Mutex<Traffic>>,
    pub(super) ack_topic: String,
    pub(super) ask_topic: String,
    pub(super) collector_filter: String,
    /// The broker in use, by its place in the list.
    pub(super) broker: usize,
    /// How far unreadable input has made us: 1 a fresh session and nothing retained, 2 no word of collectors either.
    pub(super) poison: u8,
    /// The next session begins anew: the last one did not move.
    pub(super) fresh: bool,
}

pub(super) async fn run(
    ready: Ready,
    compose: Compose,
    commands: Receiver<Command>,
    news: Sender<News>,
    traffic: Arc<Mutex<Traffic>>,
) {
    let c = &ready.config;
    let waits = (c.retry_min.0, c.retry_max.0, c.refused_max.0);
    let mut retry = Retry::new(seed(&c.node), ready.brokers.len(), waits);
    let own_topic = |leaf| format!("{}/1/{}/{}/{leaf}", c.root, c.site, c.node);
    let (ack_topic, ask_topic) = (own_topic("ack"), own_topic("ask"));
    let collector_filter = format!("{}/1/_collector/+/status", c.root);
    let mut task = Task {
        ready,
        compose,
        commands,
        news,
        traffic,
        ack_topic,
        ask_topic,
        collector_filter,
        broker: 0,
        poison: 0,
        fresh: false,
    };
    loop {
        task.broker = retry.broker;
        let (end, stood, good) = task.connection().await;
        if good {
            task.poison = 0;
        }
        let (why, fault, wait) = match end {
            End::Stopped => break,
            End::Moving => ("the first broker is back".to_owned(), Fault::Other, retry.back_to_first()),
            End::Fault { why, kind } => {
                let good = good && kind != Fault::Stuck;
                (why, kind, retry.next(Ended { fault: kind, stood, good }))
            }
        };
        match fault {
            Fault::Poison => task.poison = (task.poison + 1).min(2),
            Fault::Stuck => task.fresh = true,
            _ => {}
        }
        let refused = matches!(fault, Fault::Refused | Fault::TakenOver);
        task.tell(News::Disconnected { why, retry_in_ms: wait, refused }).await;
        if !task.pause(Duration::from_millis(wait)).await {
            break;
        }
    }
    task.tell(News::Stopped).await;
}

impl Task {
    pub(super) async fn tell(&mut self, news: News) {
        if self.news.send(news).await.is_err() {
            log::debug!("link: nobody listens");
        }
    }

    /// Shows that this task lives.
    pub(super) fn show_life(&self) {
        if let Ok(mut t) = self.traffic.lock() {
            t.alive = clock::mono_ms();
        }
    }

    /// How often the task wakes even if nothing happens.
    pub(super) fn pulse(&self) -> tokio::time::Interval {
        let mut pulse = interval(PULSE.min(self.ready.config.keep_alive.duration() / 4));
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pulse
    }

    /// Waits; what is to be published meanwhile is dropped. False if told to stop.
    async fn pause(&mut self, wait: Duration) -> bool {
        let (end, mut pulse) = (sleep(wait), self.pulse());
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return true,
                _ = pulse.tick() => self.show_life(),
                command = self.commands.recv() => match command {
                    None | Some(Command::Stop) => return false,
                    Some(_) => {}
                },
            }
        }
    }

    /// The broker in use. There is at least one, and the turn never leaves the list.
    pub(super) fn broker(&self) -> Option<&Broker> {
        self.ready.brokers.get(self.broker)
    }

    pub(super) fn options(&mut self) -> MqttOptions {
        let Ready { config: c, tls, login, .. } = &self.ready;
        let (host, port, is_tls) =
            self.broker().map_or_else(Default::default, |b| (b.host.clone(), b.port, b.tls));
        let mut o = MqttOptions::new(c.node.clone(), host, port);
        if let Some(tls) = tls.as_ref().filter(|_| is_tls) {
            o.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls.clone())));
        }
        if let Some((user, password)) = login {
            o.set_credentials(user, password);
        }
        let expiry = u32::try_from(c.session_expiry.0 / 1000).unwrap_or(u32::MAX);
        o.set_keep_alive(c.keep_alive.duration())
            .set_connection_timeout(c.connect_timeout.0.div_ceil(1000))
            .set_clean_start(self.poison > 0 || self.fresh)
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

    pub(super) fn topic(&self, leaf: Leaf) -> String {
        let c = &self.ready.config;
        let mut to = heapless::String::new();
        wire::topic(&c.root, &c.site, &c.node, leaf.word(), &mut to).to_owned()
    }
}
