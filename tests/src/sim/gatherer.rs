//! A collector: the real reading of messages and the real store, and around them a model of its connection and of the
//! order in which it commits and acknowledges.

use std::collections::VecDeque;
use std::path::PathBuf;

use bytes::Bytes;
use fieldmouse_collector::intake::decode::{Arrival, Leaf, arrival};
use fieldmouse_collector::intake::presence;
use fieldmouse_collector::store::{Database, Store};
use fieldmouse_core::wire::state;

use super::device::{BEGAN, KEEP_ALIVE};
use super::queue::{Conn, Event, Queue};
use super::wire::{Filter, Message, Packet, ROOT, Topic};

/// As in the collector.
const BATCH: usize = 256;
const SESSION: u64 = 3_600_000;
const RECEIVE_MAX: usize = 256;
const REQUESTS: usize = 1024;
const ACK_EXPIRES: u64 = 60_000;

/// A transaction: the messages in it; device, epoch and number of what is acknowledged.
pub type Taken = (Vec<Message>, Vec<(usize, u64, u64)>);

/// Something that arrived.
#[derive(Debug)]
struct Inbound {
    message: Message,
    received_ms: u64,
}

/// A collector.
#[derive(Debug)]
pub struct Gatherer {
    me: usize,
    id: usize,
    path: PathBuf,
    store: Option<Database>,
    conn: Option<Conn>,
    connected: bool,
    dials: u64,
    failures: u32,
    /// Tells what an earlier process had begun apart.
    life: u64,
    inbound: VecDeque<Inbound>,
    committing: bool,
    requests: VecDeque<Packet>,
    /// A commit takes so long.
    pub commit_ms: u64,
    /// The store refuses until then.
    pub failing: u64,
    /// Its wall clock, beside the world's.
    pub wall: i64,
    /// Transactions so far.
    pub commits: u64,
}

impl Gatherer {
    /// A collector that is off: client `me`, the `id`th of its kind.
    #[must_use]
    pub fn new(me: usize, id: usize, path: PathBuf) -> Self {
        Self {
            me,
            id,
            path,
            store: None,
            conn: None,
            connected: false,
            dials: 0,
            failures: 0,
            life: 0,
            inbound: VecDeque::new(),
            committing: false,
            requests: VecDeque::new(),
            commit_ms: 5,
            failing: 0,
            wall: 0,
            commits: 0,
        }
    }

    fn wall_ms(&self, now: u64) -> u64 {
        BEGAN.saturating_add(now).saturating_add_signed(self.wall)
    }

    /// It starts.
    pub fn start(&mut self, q: &mut Queue) {
        if self.store.is_none() {
            self.store = Some(Database::open(&self.path).unwrap());
            self.dial(q);
        }
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.store.is_some()
    }

    /// It is killed: what was not committed is gone.
    pub fn kill(&mut self, q: &mut Queue) {
        self.store = None;
        self.life += 1;
        self.inbound.clear();
        self.requests.clear();
        (self.committing, self.connected) = (false, false);
        if let Some(conn) = self.conn.take() {
            q.hang_up(conn, KEEP_ALIVE);
        }
    }

    fn presence(&self, now: u64, state: u8) -> Message {
        let payload = presence::status(&format!("c{}", self.id), state, self.wall_ms(now));
        Message {
            topic: Topic::Collector(self.id),
            payload: payload.into(),
            retain: true,
            confirm: true,
            expires: None,
        }
    }

    fn dial(&mut self, q: &mut Queue) {
        let hello = Packet::Connect {
            client: self.me,
            expiry: SESSION,
            receive_max: RECEIVE_MAX,
            will: Some((self.presence(q.now, state::LOST), 0)),
        };
        self.conn = Some(q.dial(self.me, hello));
        self.dials += 1;
    }

    /// A try to connect is due.
    pub fn redial(&mut self, q: &mut Queue, dials: u64) {
        if self.store.is_some() && self.conn.is_none() && self.dials == dials {
            self.dial(q);
        }
    }

    /// The connection is found dead.
    pub fn lost(&mut self, q: &mut Queue, conn: Conn) {
        if self.conn != Some(conn) {
            return;
        }
        (self.conn, self.connected) = (None, false);
        let longest = 250 << self.failures.min(7);
        self.failures += 1;
        let wait = longest / 2 + q.rng.below(longest / 2);
        q.after(wait, Event::Dial(self.me, self.dials));
    }

    /// A packet arrives.
    pub fn receive(&mut self, q: &mut Queue, conn: Conn, packet: Packet) {
        if self.conn != Some(conn) {
            return;
        }
        match packet {
            Packet::ConnAck { welcome: false, .. } => {
                q.hang_up(conn, KEEP_ALIVE);
                self.lost(q, conn);
            }
            Packet::ConnAck { .. } => {
                (self.connected, self.failures) = (true, 0);
                q.to_broker(conn, Packet::Subscribe(vec![Filter::Devices]));
                let online = self.presence(q.now, state::ONLINE);
                q.to_broker(conn, Packet::Publish(1, online));
                for request in std::mem::take(&mut self.requests) {
                    q.to_broker(conn, request);
                }
            }
            Packet::Publish(id, message) => {
                // The client answers the broker at once and on its own.
                if id > 0 {
                    q.to_broker(conn, Packet::PubAck(id, true));
                }
                let received_ms = self.wall_ms(q.now);
                self.inbound.push_back(Inbound { message, received_ms });
                self.work(q);
            }
            _ => {}
        }
    }

    fn work(&mut self, q: &mut Queue) {
        if !self.committing && !self.inbound.is_empty() {
            self.committing = true;
            q.after(self.commit_ms, Event::Commit(self.me, self.life));
        }
    }

    /// A transaction ends: what it held, and what is acknowledged of it.
    pub fn commit(&mut self, q: &mut Queue, life: u64) -> Option<Taken> {
        if life != self.life {
            return None;
        }
        if q.now < self.failing {
            q.after(1000, Event::Commit(self.me, life));
            return None;
        }
        let n = self.inbound.len().min(BATCH);
        let inbound: Vec<Inbound> = self.inbound.drain(..n).collect();
        let read = |i: &Inbound| {
            let topic = i.message.topic.text();
            // The presence of collectors is no device's.
            let device = matches!(i.message.topic, Topic::Device(..));
            device.then(|| arrival(ROOT, &topic, &i.message.payload, i.message.retain, i.received_ms))
        };
        let batch: Vec<Arrival> = inbound.iter().filter_map(read).collect();
        let done = match self.store.as_ref()?.commit(&batch) {
            Ok(done) => done,
            Err(e) => panic!("the store refuses: {e}"),
        };
        self.commits += 1;
        let mut acks = Vec::new();
        let mut packets = Vec::new();
        for ack in &done.acks {
            let device: usize =
                ack.node.strip_prefix("n-").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
            acks.push((device, ack.epoch, ack.seq));
            let expires = Some(q.now + ACK_EXPIRES);
            let payload = Bytes::from(presence::ack(&format!("c{}", self.id), ack));
            packets.push(Packet::Publish(
                2,
                Message { topic: Topic::Ack(device), payload, retain: false, confirm: true, expires },
            ));
        }
        // Between the commit and the word of it lies time to die.
        q.after(2, Event::Acknowledge(self.me, life, packets));
        let taken = inbound.into_iter().map(|i| i.message).collect();
        Some((taken, acks))
    }

    /// Acknowledgements go out, and the next transaction begins.
    pub fn acknowledge(&mut self, q: &mut Queue, life: u64, packets: Vec<Packet>) {
        if life != self.life {
            return;
        }
        for packet in packets {
            match self.conn.filter(|_| self.connected) {
                Some(conn) => q.to_broker(conn, packet),
                None if self.requests.len() < REQUESTS => self.requests.push_back(packet),
                None => {}
            }
        }
        self.committing = false;
        self.work(q);
    }

    /// The file of its database.
    #[must_use]
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Whether a message is of events.
    #[must_use]
    pub fn is_event(message: &Message) -> Option<usize> {
        match message.topic {
            Topic::Device(device, leaf) if Leaf::ALL[leaf] == Leaf::Event => Some(device),
            _ => None,
        }
    }
}
