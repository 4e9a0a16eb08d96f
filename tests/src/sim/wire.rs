//! MQTT as far as it matters here: packets, topics, filters.

use bytes::Bytes;
use fieldmouse_collector::intake::decode::Leaf;

/// The first part of every topic.
pub const ROOT: &str = "fieldmouse";
/// The site of every device.
pub const SITE: &str = "hall";

/// Where something is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// By a device; the leaf as an index of [`Leaf::ALL`].
    Device(usize, usize),
    /// To a device.
    Ack(usize),
    /// A collector's presence.
    Collector(usize),
}

impl Topic {
    /// Of a device's leaf.
    #[must_use]
    pub fn of(device: usize, leaf: Leaf) -> Self {
        Self::Device(device, Leaf::ALL.iter().position(|l| *l == leaf).unwrap_or(0))
    }

    /// As it is written.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Device(d, leaf) => format!("{ROOT}/1/{SITE}/{}/{}", node(d), Leaf::ALL[leaf].word()),
            Self::Ack(d) => format!("{ROOT}/1/{SITE}/{}/ack", node(d)),
            Self::Collector(c) => format!("{ROOT}/1/_collector/c{c}/status"),
        }
    }
}

/// A device's name.
#[must_use]
pub fn node(device: usize) -> String {
    format!("n-{device}")
}

/// What a client wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Acknowledgements to a device; none that were kept.
    Ack(usize),
    /// Presence of collectors.
    Collectors,
    /// Everything of devices.
    Devices,
}

impl Filter {
    /// Whether it catches a topic.
    #[must_use]
    pub fn catches(self, topic: Topic) -> bool {
        match (self, topic) {
            (Self::Ack(a), Topic::Ack(b)) => a == b,
            // `+/+/status` catches collectors too.
            (Self::Collectors, Topic::Collector(_))
            | (Self::Devices, Topic::Device(..) | Topic::Collector(_)) => true,
            _ => false,
        }
    }
}

/// What is published.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where.
    pub topic: Topic,
    /// What.
    pub payload: Bytes,
    /// To be kept, or was kept.
    pub retain: bool,
    /// QoS 1 if true, else 0.
    pub confirm: bool,
    /// Worthless from then on.
    pub expires: Option<u64>,
}

/// A packet, either way.
#[derive(Debug, Clone)]
pub enum Packet {
    /// Who comes, whether it begins anew, how long its session is kept, and its will with its delay.
    Connect { client: usize, expiry: u64, receive_max: usize, will: Option<(Message, u64)> },
    /// Whether it may, and whether its session is known.
    ConnAck { welcome: bool, session_present: bool },
    /// A message; with QoS 1 it has a number.
    Publish(u16, Message),
    /// Taken, or refused.
    PubAck(u16, bool),
    /// What is wanted.
    Subscribe(Vec<Filter>),
    /// A goodbye: the will is void.
    Disconnect,
}
