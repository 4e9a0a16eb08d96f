//! The broker: sessions, QoS 1, retained messages, wills; and the faults brokers have.

use std::collections::{BTreeMap, VecDeque};

use super::queue::{Conn, Event, Queue};
use super::wire::{Filter, Message, Packet, Topic};

/// Messages it keeps for one client; more are dropped, as brokers do.
const QUEUE: usize = 1000;

/// What the broker does wrong just now, in cases of a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mood {
    /// It loses messages.
    pub drops: u64,
    /// It delivers twice.
    pub doubles: u64,
    /// It changes their order.
    pub shuffles: u64,
    /// It answers publishes with an error.
    pub refuses: u64,
    /// It does not answer publishes.
    pub silent: u64,
    /// It refuses connections.
    pub unwelcoming: u64,
    /// It says that a session is there without its subscriptions.
    pub forgetful: u64,
}

#[derive(Debug, Default)]
struct Session {
    conn: Option<Conn>,
    filters: Vec<Filter>,
    waiting: VecDeque<Message>,
    flying: BTreeMap<u16, Message>,
    next: u16,
    receive_max: usize,
    expiry: u64,
    ends: Option<u64>,
    will: Option<(Message, u64)>,
    /// Tells wills of earlier connections apart.
    lives: u64,
}

/// The broker.
#[derive(Debug, Default)]
pub struct Broker {
    /// Whether it runs.
    pub up: bool,
    /// What it does wrong.
    pub mood: Mood,
    sessions: BTreeMap<usize, Session>,
    retained: BTreeMap<Topic, Message>,
}

impl Broker {
    /// It dies; of what it had in memory so much is there when it starts again.
    pub fn crash(&mut self, q: &mut Queue, keeps: Keeps) {
        self.up = false;
        for conn in q.wires.keys().copied().collect::<Vec<_>>() {
            q.reset(conn);
        }
        match keeps {
            Keeps::All => {}
            Keeps::Sessions => self.sessions.values_mut().for_each(|s| {
                s.waiting.clear();
                s.flying.clear();
            }),
            Keeps::Nothing => {
                self.sessions.clear();
                self.retained.clear();
            }
        }
        for s in self.sessions.values_mut() {
            s.conn = None;
        }
    }

    /// A connection is found dead.
    pub fn lost(&mut self, conn: Conn, q: &mut Queue) {
        q.wires.remove(&conn);
        let Some((client, s)) = self.sessions.iter_mut().find(|(_, s)| s.conn == Some(conn)) else { return };
        s.conn = None;
        s.ends = Some(q.now + s.expiry);
        if let Some((_, delay)) = &s.will {
            q.after(*delay, Event::Will(*client, s.lives));
        }
    }

    /// A will is due, if the client did not come back.
    pub fn will(&mut self, client: usize, life: u64, q: &mut Queue) {
        let Some(s) = self.sessions.get_mut(&client).filter(|s| s.lives == life && s.conn.is_none()) else {
            return;
        };
        if let Some((will, _)) = s.will.take() {
            self.publish(will, q);
        }
    }

    /// Takes a packet.
    pub fn receive(&mut self, conn: Conn, packet: Packet, q: &mut Queue) {
        if let Packet::Connect { client, expiry, receive_max, will } = packet {
            return self.connect(conn, client, expiry, receive_max, will, q);
        }
        let Some(client) = self.sessions.iter().find(|(_, s)| s.conn == Some(conn)).map(|(c, _)| *c) else {
            return;
        };
        match packet {
            Packet::Publish(id, message) => {
                let refused = message.confirm && q.rng.chance(self.mood.refuses);
                if !refused {
                    self.publish(message.clone(), q);
                }
                if message.confirm && !q.rng.chance(self.mood.silent) {
                    q.to_client(conn, Packet::PubAck(id, !refused));
                }
            }
            Packet::PubAck(id, _) => {
                if let Some(s) = self.sessions.get_mut(&client) {
                    s.flying.remove(&id);
                    s.pump(q);
                }
            }
            Packet::Subscribe(filters) => {
                let kept: Vec<Message> = self
                    .retained
                    .values()
                    .filter(|m| filters.iter().any(|f| f.catches(m.topic)))
                    .cloned()
                    .collect();
                if let Some(s) = self.sessions.get_mut(&client) {
                    s.filters.extend(
                        filters.iter().filter(|f| !s.filters.contains(f)).copied().collect::<Vec<_>>(),
                    );
                    s.waiting.extend(kept);
                    s.pump(q);
                }
            }
            Packet::Disconnect => {
                if let Some(s) = self.sessions.get_mut(&client) {
                    s.will = None;
                }
            }
            Packet::Connect { .. } | Packet::ConnAck { .. } => {}
        }
    }

    fn connect(
        &mut self,
        conn: Conn,
        client: usize,
        expiry: u64,
        receive_max: usize,
        will: Option<(Message, u64)>,
        q: &mut Queue,
    ) {
        if q.rng.chance(self.mood.unwelcoming) {
            q.to_client(conn, Packet::ConnAck { welcome: false, session_present: false });
            return;
        }
        let now = q.now;
        self.sessions.retain(|_, s| s.conn.is_some() || s.ends.is_none_or(|at| at > now));
        let session_present = self.sessions.contains_key(&client);
        let forgets = q.rng.chance(self.mood.forgetful);
        let s = self.sessions.entry(client).or_default();
        if let Some(before) = s.conn.replace(conn) {
            q.reset(before);
        }
        (s.expiry, s.receive_max, s.will, s.ends) = (expiry, receive_max, will, None);
        s.lives += 1;
        if forgets {
            s.filters.clear();
            s.waiting.clear();
        }
        q.to_client(conn, Packet::ConnAck { welcome: true, session_present });
        // What was not confirmed comes again; not every broker keeps the order.
        let mut again: Vec<Message> = std::mem::take(&mut s.flying).into_values().collect();
        if q.rng.chance(self.mood.shuffles) {
            again.reverse();
            again.iter().for_each(|m| s.waiting.push_back(m.clone()));
        } else {
            again.into_iter().rev().for_each(|m| s.waiting.push_front(m));
        }
        s.pump(q);
    }

    fn publish(&mut self, message: Message, q: &mut Queue) {
        if message.retain {
            self.retained.insert(message.topic, message.clone());
        }
        let now = q.now;
        self.sessions.retain(|_, s| s.conn.is_some() || s.ends.is_none_or(|at| at > now));
        for s in self.sessions.values_mut() {
            if !s.filters.iter().any(|f| f.catches(message.topic)) || s.conn.is_none() && !message.confirm {
                continue;
            }
            if s.waiting.len() >= QUEUE || q.rng.chance(self.mood.drops) {
                continue;
            }
            // Kept is what comes on subscribing, not what is heard live.
            let live = Message { retain: false, ..message.clone() };
            if q.rng.chance(self.mood.doubles) {
                s.waiting.push_back(live.clone());
            }
            if q.rng.chance(self.mood.shuffles) {
                let at = q.rng.index(s.waiting.len() + 1);
                s.waiting.insert(at, live);
            } else {
                s.waiting.push_back(live);
            }
            // A shuffling broker sends in fits and starts; the next packet brings the rest.
            if !q.rng.chance(self.mood.shuffles) {
                s.pump(q);
            }
        }
    }

    /// Sends what a shuffling broker held back.
    pub fn flush(&mut self, q: &mut Queue) {
        self.sessions.values_mut().for_each(|s| s.pump(q));
    }
}

/// What of a broker's memory is there after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Everything.
    All,
    /// Sessions without their messages.
    Sessions,
    /// Nothing.
    Nothing,
}

impl Session {
    fn pump(&mut self, q: &mut Queue) {
        let Some(conn) = self.conn else { return };
        while self.flying.len() < self.receive_max {
            let Some(message) = self.waiting.pop_front() else { return };
            if message.expires.is_some_and(|at| at <= q.now) {
                continue;
            }
            if !message.confirm {
                q.to_client(conn, Packet::Publish(0, message));
                continue;
            }
            self.next = self.next.checked_add(1).unwrap_or(1);
            self.flying.insert(self.next, message.clone());
            q.to_client(conn, Packet::Publish(self.next, message));
        }
    }
}
