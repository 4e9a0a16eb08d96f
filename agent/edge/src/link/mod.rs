//! The MQTT 5 connection: a lossy pipe, on purpose. It promises nothing; the outbox does.
//!
//! A client is thrown away with its connection and built anew for the next one, so that no state of an earlier
//! connection (parked packets, packet ids that collide, requests that were wiped) can hold up or lose anything. What
//! was on its way is sent again by [`crate::link::delivery`] from the outbox.

mod backoff;
mod collectors;
mod config;
pub mod delivery;
mod fault;
mod session;
mod stall;
mod task;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::{self, Ack, Head, Item, Kind, Status, state};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use backoff::{backoff, seed};
pub use config::{Broker, Config, ConfigError, Ready, Urls};
pub use fault::words_of_tls;

use crate::clock::Stamp;

/// The last part of a topic we publish to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// Who is here.
    Status,
    /// What this device is.
    Birth,
    /// How the agent is.
    Beat,
    /// Batches from the outbox.
    Event,
    /// Pieces of capsules.
    Capsule,
}

impl Leaf {
    /// As it stands in the topic.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Birth => "birth",
            Self::Beat => "beat",
            Self::Event => "event",
            Self::Capsule => "capsule",
        }
    }
}

/// What the agent asks of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Send this, if connected. Nothing is kept for later.
    Publish {
        /// Where.
        leaf: Leaf,
        /// What.
        payload: Bytes,
        /// Whether the broker keeps it for those who come later.
        retain: bool,
        /// QoS 1 if true, else 0.
        confirm: bool,
        /// Comes back in [`News`].
        token: u64,
    },
    /// Subscribe again: acknowledgements do not come although the broker takes our messages.
    Subscribe,
    /// Drop the connection and begin anew.
    Rebuild {
        /// For the log.
        why: &'static str,
    },
    /// Say goodbye and end.
    Stop,
}

/// What the link tells the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A connection stands; status, birth and subscriptions are on their way.
    Connected {
        /// Whether the broker still had our session.
        session_present: bool,
        /// The largest payload it takes.
        max_payload: usize,
    },
    /// It fell, or could not be made.
    Disconnected {
        /// In words.
        why: String,
        /// Until the next attempt.
        retry_in_ms: Millis,
        /// The broker does not want us: waiting is long.
        refused: bool,
    },
    /// A QoS 0 message went out.
    Sent {
        /// Whose.
        token: u64,
    },
    /// The broker has it. That is not delivery: it may lose it.
    Stored {
        /// Whose.
        token: u64,
    },
    /// The broker (or the link) did not take it.
    Refused {
        /// Whose.
        token: u64,
        /// Why.
        why: String,
    },
    /// A collector has it in its database.
    Acked {
        /// What.
        ack: Ack,
        /// Which collector, if it says.
        from: Option<String>,
    },
    /// A collector wants a piece of a capsule.
    Asked {
        /// The epoch of the episode.
        epoch: u64,
        /// What it wants.
        ask: wire::Ask,
    },
    /// A collector came or went.
    Collector {
        /// Its name.
        name: String,
        /// Whether one is there.
        online: bool,
        /// It happened now; otherwise it is what the broker remembered.
        fresh: bool,
    },
    /// Something to write to the log.
    Warning(String),
    /// The end, after [`Command::Stop`].
    Stopped,
}

/// A retained message about ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hello {
    /// Status online.
    Online,
    /// Status offline.
    Offline,
    /// Status lost: the last will.
    Lost,
    /// The birth; empty if there is none yet.
    Birth,
}

/// Makes the payload of a [`Hello`] when it is needed.
pub type Compose = Box<dyn FnMut(Hello) -> Bytes + Send>;

/// Bytes of topics and payloads, both ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Published.
    pub sent: u64,
    /// Received.
    pub received: u64,
    /// Connections attempted.
    pub attempts: u64,
    /// The broker in use or tried last, by its place in the list.
    pub broker: usize,
    /// When the link last showed that it lives.
    pub alive: Millis,
}

/// The running link.
#[derive(Debug)]
pub struct Link {
    /// To it. Bounded: use `try_send`.
    pub commands: mpsc::Sender<Command>,
    /// From it. Read it steadily: the link waits while it is full.
    pub news: mpsc::Receiver<News>,
    /// Ends after [`News::Stopped`].
    pub task: JoinHandle<()>,
    traffic: Arc<Mutex<Traffic>>,
}

/// How many commands and news wait at most.
const CHANNEL: usize = 64;

impl Link {
    /// Starts the link on the current runtime.
    #[must_use]
    pub fn start(ready: Ready, compose: Compose) -> Self {
        let (commands, from_agent) = mpsc::channel(CHANNEL);
        let (to_agent, news) = mpsc::channel(CHANNEL);
        let traffic = Arc::new(Mutex::new(Traffic::default()));
        let task = tokio::spawn(task::run(ready, compose, from_agent, to_agent, traffic.clone()));
        Self { commands, news, task, traffic }
    }

    /// What went over it so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.traffic.lock().map(|t| *t).unwrap_or_default()
    }
}

/// A message of one item that does not go through the outbox. Empty if it does not fit.
#[must_use]
pub fn message(head: &Head<'_>, stamp: Stamp, kind: Kind, body: &[u8]) -> Bytes {
    message_of(head, stamp, kind, 1, body)
}

/// The same for a body of another revision.
#[must_use]
pub fn message_of(head: &Head<'_>, stamp: Stamp, kind: Kind, rev: u8, body: &[u8]) -> Bytes {
    let item = Item {
        seq: 0,
        mono_ms: stamp.mono_ms,
        wall_ms: stamp.wall_ms,
        clock: stamp.clock,
        severity: 9,
        kind: kind as u16,
        rev,
        body,
    };
    let mut to = vec![0; body.len() + 160];
    let written = wire::write_head(head, &mut to).and_then(|at| {
        let rest = to.get_mut(at..)?;
        Some(at + wire::write_item(&item, rest)?)
    });
    to.truncate(written.unwrap_or(0));
    to.into()
}

/// The status message for a [`Hello`].
#[must_use]
pub fn status(head: &Head<'_>, stamp: Stamp, hello: Hello, version: &str) -> Bytes {
    let mut said = Status {
        state: match hello {
            Hello::Online | Hello::Birth => state::ONLINE,
            Hello::Offline => state::OFFLINE,
            Hello::Lost => state::LOST,
        },
        version: heapless::String::new(),
    };
    if said.version.push_str(version).is_err() {
        log::debug!("link: the version does not fit");
    }
    let mut body = [0; 40];
    let len = wire::write_body(&said, &mut body).unwrap_or(0);
    message(head, stamp, Kind::Status, body.get(..len).unwrap_or_default())
}
