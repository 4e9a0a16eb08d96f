//! A subscriber that keeps all it hears.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};
use serde_json::Value;

use crate::wait::wait_for;

/// A message.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Where.
    pub topic: String,
    /// Whether the broker had kept it from before.
    pub retained: bool,
    /// What, undecoded.
    pub payload: bytes::Bytes,
    /// What, as `decode` shows it. Empty if it is no message of ours.
    pub events: Vec<Value>,
}

/// Listens to everything below a root.
pub struct Ear {
    client: Client,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl std::fmt::Debug for Ear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.heard.fmt(f)
    }
}

impl Ear {
    /// Subscribes to `filter` under its own name, and waits until the broker has agreed.
    #[must_use]
    pub fn at(port: u16, name: &str, filter: &str) -> Self {
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(30)).set_max_packet_size(Some(1 << 20));
        let (client, mut connection) = Client::new(options, 16);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let agreed = Arc::new(Mutex::new(false));
        client.subscribe(filter, QoS::AtLeastOnce).unwrap();
        let (to, done) = (heard.clone(), agreed.clone());
        std::thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::SubAck(_))) => *done.lock().unwrap() = true,
                    Ok(Event::Incoming(Packet::Publish(p))) => to.lock().unwrap().push(Heard {
                        topic: String::from_utf8_lossy(&p.topic).into_owned(),
                        retained: p.retain,
                        events: fieldmouse::decode::message(&p.payload).unwrap_or_default(),
                        payload: p.payload,
                    }),
                    // The broker is gone, or we said goodbye: the test is over.
                    Err(_) => return,
                    Ok(_) => {}
                }
            }
        });
        wait_for(Duration::from_secs(10), "a subscription", || agreed.lock().unwrap().then_some(()));
        Self { client, heard }
    }

    /// Says something.
    pub fn publish(&self, topic: &str, payload: &[u8]) {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload.to_vec()).unwrap();
    }

    /// Everything heard so far.
    #[must_use]
    pub fn all(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits for an event of the leaf (`status`, `event` …) that is as wanted, and returns its message and itself.
    #[track_caller]
    pub fn wait(
        &self,
        limit: Duration,
        leaf: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> (Heard, Value) {
        wait_for(limit, what, || {
            let heard = self.heard.lock().unwrap();
            heard
                .iter()
                .filter(|h| h.topic.rsplit('/').next() == Some(leaf))
                .find_map(|h| h.events.iter().find(|e| wanted(e)).map(|e| (h.clone(), e.clone())))
        })
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // The broker may be gone already.
        let _gone = self.client.try_disconnect();
    }
}
