//! The embedded broker: for one machine, a small site, a demonstration, a test.
//!
//! Why `mqtt5`: of the brokers that can be linked in, it alone speaks the whole of MQTT 5 (wills with delay, session
//! expiry, receive maximum, both directions of QoS 1), tells which port it bound, and can be stopped. `rumqttd` 0.20
//! can do neither of the last two and its MQTT 5 is partial; `rmqtt` brings half as many crates again and its own
//! plugin framework. The tests below hold it to what Fieldmouse needs, with the agents' own client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, anyhow};
use fieldmouse_core::wire;
use mqtt5::broker::config::{BrokerConfig, StorageBackend, StorageConfig, TlsConfig};
use mqtt5::broker::{BrokerShutdownHandle, MqttBroker};
use tokio::task::JoinHandle;

use crate::config::Embedded;
use crate::listen::listen;
use crate::tls;

/// A packet is the payload, the topic and the properties.
pub(crate) const MAX_PACKET: usize = wire::MAX_PAYLOAD + 1024;

/// A running broker. Dropped, it stops.
#[derive(Debug)]
pub struct Broker {
    /// Where devices connect.
    pub listen: SocketAddr,
    /// Where this program connects, without TLS.
    pub own: SocketAddr,
    handle: Handle,
    task: JoinHandle<()>,
}

struct Handle(BrokerShutdownHandle);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.handle.0.shutdown();
    }
}

impl Broker {
    /// Binds and starts.
    ///
    /// # Errors
    /// If the address cannot be bound or the certificates cannot be used.
    pub async fn start(config: &Embedded) -> anyhow::Result<Self> {
        // The broker itself tells neither which file nor in one line.
        if let Some(identity) = &config.tls {
            tls::chain_and_key(identity).context("broker")?;
        }
        if let Some(ca) = &config.ca_file {
            tls::certificates("ca_file", ca).context("broker")?;
        }
        drop(listen("broker.listen", config.listen).await?);
        let mut broker = MqttBroker::with_config(broker_config(config))
            .await
            .with_context(|| format!("embedded broker on {}", config.listen))?;
        let own = broker.local_addr().ok_or_else(|| anyhow!("embedded broker has no address"))?;
        let listen = if config.tls.is_some() {
            broker.tls_local_addr().ok_or_else(|| anyhow!("embedded broker has no TLS address"))?
        } else {
            own
        };
        // What listens on every address is reached on this machine's own.
        let own = match own.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, own.port()).into(),
            IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, own.port()).into(),
            _ => own,
        };
        let handle = Handle(broker.shutdown_handle());
        let mut ready = broker.ready_receiver();
        let task = tokio::spawn(async move {
            if let Err(e) = broker.run().await {
                log::error!("embedded broker: {e}");
            }
        });
        ready.wait_for(|ready| *ready).await.context("embedded broker did not start")?;
        Ok(Self { listen, own, handle, task })
    }

    /// Stops it and waits until it has.
    pub async fn stop(mut self) {
        self.handle.0.shutdown();
        let deadline = std::time::Duration::from_secs(3);
        if tokio::time::timeout(deadline, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

fn broker_config(config: &Embedded) -> BrokerConfig {
    let mut broker = BrokerConfig {
        max_packet_size: MAX_PACKET,
        maximum_qos: 1,
        topic_alias_maximum: 0,
        max_retained_message_size: MAX_PACKET,
        sys_topics_enabled: false,
        // A device that is away for a day will be told everything anew anyway.
        session_expiry_interval: std::time::Duration::from_secs(24 * 3600),
        storage_config: StorageConfig {
            backend: StorageBackend::Memory,
            enable_persistence: true,
            max_queued_messages_per_client: 1000,
            max_queued_bytes_per_client: 16 << 20,
            ..StorageConfig::default()
        },
        bind_addresses: vec![config.listen],
        ..BrokerConfig::default()
    };
    if let Some(identity) = &config.tls {
        broker.tls_config = Some(TlsConfig {
            cert_file: identity.cert_file.clone(),
            key_file: identity.key_file.clone(),
            ca_file: config.ca_file.clone(),
            require_client_cert: config.ca_file.is_some(),
            bind_addresses: vec![config.listen],
        });
        // This program itself does not need TLS to speak to itself.
        broker.bind_addresses = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    }
    broker
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{LastWill, Packet, Publish};
    use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};

    use super::*;
    use crate::config;

    struct Client(AsyncClient, EventLoop);

    impl Client {
        async fn connect(broker: &Broker, id: &str, change: impl FnOnce(&mut MqttOptions)) -> Self {
            let mut options = MqttOptions::new(id, broker.listen.ip().to_string(), broker.listen.port());
            options.set_max_packet_size(Some(u32::try_from(MAX_PACKET).unwrap()));
            options.set_outgoing_inflight_upper_limit(16);
            change(&mut options);
            let (client, events) = AsyncClient::new(options, 16);
            let mut this = Self(client, events);
            this.until(|p| matches!(p, Packet::ConnAck(_)).then_some(())).await;
            this
        }

        async fn until<T>(&mut self, mut wanted: impl FnMut(Packet) -> Option<T>) -> T {
            let deadline = Duration::from_secs(20);
            tokio::time::timeout(deadline, async {
                loop {
                    if let Event::Incoming(packet) = self.1.poll().await.expect("connection holds")
                        && let Some(found) = wanted(packet)
                    {
                        return found;
                    }
                }
            })
            .await
            .expect("it comes before the deadline")
        }

        async fn subscribe(&mut self, filter: &str) {
            self.0.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
            self.until(|p| matches!(p, Packet::SubAck(_)).then_some(())).await;
        }

        async fn publish(&mut self, topic: &str, retain: bool, payload: Vec<u8>) {
            self.0.publish(topic, QoS::AtLeastOnce, retain, payload).await.unwrap();
            self.until(|p| matches!(p, Packet::PubAck(_)).then_some(())).await;
        }

        async fn message(&mut self) -> Publish {
            self.until(|p| if let Packet::Publish(p) = p { Some(p) } else { None }).await
        }
    }

    async fn broker() -> Broker {
        let config =
            config::Config::from_toml("[broker]\nembedded = true\nlisten = \"127.0.0.1:0\"").unwrap();
        let Some(config::Broker::Embedded(embedded)) = config.broker else { panic!("it is embedded") };
        Broker::start(&embedded).await.unwrap()
    }

    #[tokio::test]
    async fn a_retained_message_greets_whoever_comes_later() {
        let broker = broker().await;
        Client::connect(&broker, "a", |_| {}).await.publish("t/status", true, b"on".to_vec()).await;
        let mut late = Client::connect(&broker, "b", |_| {}).await;
        late.subscribe("t/+").await;
        let m = late.message().await;
        assert_eq!((m.retain, m.payload.as_ref(), m.qos), (true, b"on".as_slice(), QoS::AtLeastOnce));
    }

    #[tokio::test]
    async fn the_largest_payload_passes() {
        let broker = broker().await;
        let mut to = Client::connect(&broker, "a", |_| {}).await;
        to.subscribe("t/big").await;
        let payload = vec![7; wire::MAX_PAYLOAD];
        Client::connect(&broker, "b", |_| {}).await.publish("t/big", false, payload.clone()).await;
        assert_eq!(to.message().await.payload, payload);
    }

    #[tokio::test]
    async fn a_will_speaks_for_who_vanishes_and_stays() {
        let broker = broker().await;
        let mut watcher = Client::connect(&broker, "w", |_| {}).await;
        watcher.subscribe("t/status").await;
        let device = Client::connect(&broker, "d", |o| {
            o.set_last_will(LastWill::new("t/status", "lost", QoS::AtLeastOnce, true, None));
        })
        .await;
        // Without a word: the socket closes.
        drop(device);
        assert_eq!(watcher.message().await.payload.as_ref(), b"lost");
        let mut late = Client::connect(&broker, "l", |_| {}).await;
        late.subscribe("t/status").await;
        assert_eq!(late.message().await.payload.as_ref(), b"lost");
    }

    #[tokio::test]
    async fn a_session_keeps_what_came_while_away_and_what_was_not_acknowledged() {
        let broker = broker().await;
        let durable = |o: &mut MqttOptions| {
            o.set_clean_start(false).set_session_expiry_interval(Some(3600)).set_manual_acks(true);
        };
        let mut reader = Client::connect(&broker, "r", durable).await;
        reader.subscribe("t/x").await;
        let mut writer = Client::connect(&broker, "w", |_| {}).await;
        writer.publish("t/x", false, b"1".to_vec()).await;
        assert_eq!(reader.message().await.payload.as_ref(), b"1");
        drop(reader);
        writer.publish("t/x", false, b"2".to_vec()).await;
        let mut reader = Client::connect(&broker, "r", durable).await;
        let mut seen = vec![reader.message().await.payload, reader.message().await.payload];
        seen.sort();
        assert_eq!(seen, [b"1".as_slice(), b"2".as_slice()]);
    }

    #[tokio::test]
    async fn a_port_in_use_is_an_error() {
        let first = broker().await;
        let text = format!("[broker]\nembedded = true\nlisten = \"{}\"", first.listen);
        let Some(config::Broker::Embedded(taken)) = config::Config::from_toml(&text).unwrap().broker else {
            panic!()
        };
        let said = format!("{:#}", Broker::start(&taken).await.unwrap_err());
        assert!(said.contains(&first.listen.to_string()), "{said}");
        first.stop().await;
    }
}
