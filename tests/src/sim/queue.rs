//! Virtual time: what happens when, and the wires on which packets take their time, or are lost with the connection.

use std::collections::BTreeMap;

use super::rng::Rng;
use super::wire::Packet;

/// Connections are numbered.
pub type Conn = u64;

/// Something that happens.
#[derive(Debug, Clone)]
pub enum Event {
    /// A packet reaches the broker.
    ToBroker(Conn, Packet),
    /// A packet reaches a client.
    ToClient(Conn, Packet),
    /// A client finds its connection dead.
    Lost(Conn, usize),
    /// The broker finds a connection dead.
    BrokerLost(Conn),
    /// A client tries to connect; the number tells old timers apart.
    Dial(usize, u64),
    /// The broker says what a client's will was.
    Will(usize, u64),
    /// A device has something to do.
    Wake(usize),
    /// A device has something to tell.
    Produce(usize),
    /// A device tells how it is.
    Beat(usize),
    /// A device starts.
    Boot(usize),
    /// A collector starts.
    Start(usize),
    /// The broker starts.
    StartBroker,
    /// A collector's transaction ends.
    Commit(usize, u64),
    /// A collector's acknowledgements go out.
    Acknowledge(usize, u64, Vec<Packet>),
    /// A fault of the schedule begins.
    Fault(usize),
    /// It ends.
    Heal(usize),
}

/// A connection's two ways.
#[derive(Debug, Clone, Copy)]
pub struct Wire {
    /// Whose.
    pub client: usize,
    /// To the broker.
    pub up: bool,
    /// From it.
    pub down: bool,
    last_up: u64,
    last_down: u64,
}

/// A client's way to the broker.
#[derive(Debug, Clone, Copy, Default)]
pub struct Path {
    /// Nothing goes through, by so many faults.
    pub cut: u32,
    /// Everything takes so many milliseconds more.
    pub slow: u64,
}

/// What is due, and the network.
#[derive(Debug)]
pub struct Queue {
    /// Milliseconds since the simulation began.
    pub now: u64,
    /// Chance of the network.
    pub rng: Rng,
    /// By client.
    pub paths: Vec<Path>,
    /// Open connections.
    pub wires: BTreeMap<Conn, Wire>,
    due: BTreeMap<(u64, u64), Event>,
    order: u64,
    conns: Conn,
}

impl Queue {
    /// For so many clients.
    #[must_use]
    pub fn new(rng: Rng, clients: usize) -> Self {
        Self {
            now: 0,
            rng,
            paths: vec![Path::default(); clients],
            wires: BTreeMap::new(),
            due: BTreeMap::new(),
            order: 0,
            conns: 0,
        }
    }

    /// Something will happen.
    pub fn at(&mut self, when: u64, event: Event) {
        self.order += 1;
        self.due.insert((when.max(self.now), self.order), event);
    }

    /// Something will happen in a while.
    pub fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now + ms, event);
    }

    /// Goes on to what happens next.
    pub fn pop(&mut self) -> Option<Event> {
        let ((when, _), event) = self.due.pop_first()?;
        self.now = when;
        Some(event)
    }

    /// When something happens next.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.due.first_key_value().map(|((when, _), _)| *when)
    }

    fn latency(&mut self, client: usize) -> u64 {
        self.rng.between(1, 40) + self.paths[client].slow
    }

    /// A client connects: its first packet is on its way, if there is a way.
    pub fn dial(&mut self, client: usize, hello: Packet) -> Conn {
        self.conns += 1;
        let conn = self.conns;
        if self.paths[client].cut > 0 {
            let patience = self.rng.between(100, 20_000);
            self.after(patience, Event::Lost(conn, client));
            return conn;
        }
        self.wires.insert(conn, Wire { client, up: true, down: true, last_up: 0, last_down: 0 });
        self.to_broker(conn, hello);
        conn
    }

    /// Sends a packet to the broker.
    pub fn to_broker(&mut self, conn: Conn, packet: Packet) {
        let Some(client) = self.wires.get(&conn).filter(|w| w.up).map(|w| w.client) else { return };
        let when = self.now + self.latency(client);
        let Some(w) = self.wires.get_mut(&conn) else { return };
        w.last_up = w.last_up.max(when);
        let when = w.last_up;
        self.at(when, Event::ToBroker(conn, packet));
    }

    /// Sends a packet to the client.
    pub fn to_client(&mut self, conn: Conn, packet: Packet) {
        let Some(client) = self.wires.get(&conn).filter(|w| w.down).map(|w| w.client) else { return };
        let when = self.now + self.latency(client);
        let Some(w) = self.wires.get_mut(&conn) else { return };
        w.last_down = w.last_down.max(when);
        let when = w.last_down;
        self.at(when, Event::ToClient(conn, packet));
    }

    /// The client closes; what it sent before still arrives, if there is a way.
    pub fn hang_up(&mut self, conn: Conn, keep_alive: u64) {
        let Some(w) = self.wires.get_mut(&conn) else { return };
        w.down = false;
        let (alive, last, client) = (w.up, w.last_up, w.client);
        let rtt = self.latency(client);
        let when = if alive { last.max(self.now + rtt) } else { self.now + keep_alive * 3 / 2 };
        self.at(when, Event::BrokerLost(conn));
    }

    /// The connection breaks, and both ends know soon.
    pub fn reset(&mut self, conn: Conn) {
        self.go_dark(conn, true, true, 20);
    }

    /// A connection goes dark without a word: what is on its way is lost, and the ends find out by their keep alive.
    pub fn go_dark(&mut self, conn: Conn, up: bool, down: bool, keep_alive: u64) {
        let Some(w) = self.wires.get_mut(&conn) else { return };
        w.up &= !up;
        w.down &= !down;
        let client = w.client;
        self.after(keep_alive * 3 / 2, Event::Lost(conn, client));
        if up {
            self.after(keep_alive * 3 / 2 + 1, Event::BrokerLost(conn));
        }
    }

    /// The open connections of a client.
    #[must_use]
    pub fn conns_of(&self, client: usize) -> Vec<Conn> {
        self.wires.iter().filter(|(_, w)| w.client == client).map(|(c, _)| *c).collect()
    }
}
