//! A device: the real outbox on a simulated disk, the real delivery, and in place of the task of the link a model that
//! connects, retries, passes commands on and tells news as that task does.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use fieldmouse::clock::Stamp;
use fieldmouse::link::delivery::{self, Delivery};
use fieldmouse::link::{self, Command, Hello, Leaf, News, backoff, seed};
use fieldmouse::outbox::{Options, Outbox};
use fieldmouse_collector::intake::decode;
use fieldmouse_core::wire::{self, Head, Kind, Status, state};

use super::disk::Ram;
use super::model::Ledger;
use super::queue::{Conn, Event, Queue};
use super::rng::Rng;
use super::wire::{Filter, Message, Packet, Topic, node};

/// As in the agent's default configuration.
pub const KEEP_ALIVE: u64 = 600_000;
const SESSION: u64 = 3_600_000;
const RETRY: (u64, u64) = (1_000, 120_000);
const REFUSED_MAX: u64 = 600_000;
const WILL_DELAY: u64 = 30_000;
/// A connection that lasted so long and carried an acknowledgement was good.
const GOOD: u64 = 60_000;
/// Commands that wait for the link.
const CHANNEL: usize = 64;
/// Packets the client takes before it says that it is too much.
const INFLIGHT: usize = 48;
const MAX_PAYLOAD: usize = 64 * 1024;
/// When the simulation begins, by the clock of the world: 2026-11-22.
pub const BEGAN: u64 = 1_795_305_600_000;
/// Before this a clock was never set, as in the agent's clock.
const OLDEST_SANE: u64 = 1_767_225_600_000;

/// The link's side of a connection.
#[derive(Debug, Default)]
struct Link {
    conn: Option<Conn>,
    connected: bool,
    since: u64,
    acked: bool,
    attempt: u32,
    dials: u64,
    next: u16,
    unconfirmed: BTreeMap<u16, Option<u64>>,
    commands: VecDeque<Command>,
}

/// What runs.
#[derive(Debug)]
struct Process {
    outbox: Outbox,
    delivery: Delivery,
    link: Link,
}

/// A device.
#[derive(Debug)]
pub struct Device {
    me: usize,
    name: String,
    /// Its disk.
    pub disk: Ram,
    options: Options,
    entropy: Rng,
    /// What it produced.
    pub ledger: Ledger,
    process: Option<Process>,
    /// When it booted: its monotonic clock began.
    booted: u64,
    /// Its wall clock, beside the world's; none if it was never set.
    pub wall: Option<i64>,
    /// It sleeps until then.
    pub asleep: u64,
    /// Its link takes no commands until then.
    pub stalled: u64,
    wakes_at: Option<u64>,
    /// Connections attempted.
    pub dials: u64,
}

impl Device {
    /// A device that is off.
    #[must_use]
    pub fn new(me: usize, options: Options, entropy: Rng) -> Self {
        Self {
            me,
            name: node(me),
            disk: Ram::default(),
            options,
            entropy,
            ledger: Ledger::default(),
            process: None,
            booted: 0,
            wall: Some(0),
            asleep: 0,
            stalled: 0,
            wakes_at: None,
            dials: 0,
        }
    }

    fn stamp(&self, now: u64) -> Stamp {
        let wall = self.wall.map(|off| BEGAN.saturating_add(now).saturating_add_signed(off));
        let wall_ms = wall.filter(|w| *w >= OLDEST_SANE);
        Stamp { mono_ms: now - self.booted, wall_ms, clock: if wall_ms.is_some() { 2 } else { 0 } }
    }

    /// Bytes its outbox may take.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.options.max_bytes
    }

    /// Its outbox, while it runs.
    #[must_use]
    pub fn outbox(&self) -> Option<&Outbox> {
        self.process.as_ref().map(|p| &p.outbox)
    }

    /// The device or its process starts.
    pub fn start(&mut self, q: &mut Queue) {
        if self.process.is_some() {
            return;
        }
        let mut epochs = self.entropy.fork();
        let entropy = Box::new(move || epochs.draw());
        let (outbox, _) = Outbox::open(Box::new(self.disk.clone()), self.options, entropy, self.stamp(q.now));
        let delivery = Delivery::new(&self.name, delivery::Options::new(KEEP_ALIVE));
        self.process = Some(Process { outbox, delivery, link: Link::default() });
        self.wakes_at = None;
        self.dial(q);
        self.pump(q);
    }

    /// The process is killed.
    pub fn kill(&mut self, q: &mut Queue) {
        if let Some(p) = self.process.take()
            && let Some(conn) = p.link.conn
        {
            q.hang_up(conn, KEEP_ALIVE);
        }
        self.ledger.died();
    }

    /// The process is stopped as it should be.
    pub fn stop(&mut self, q: &mut Queue) {
        let now = self.stamp(q.now).mono_ms;
        if let Some(p) = &mut self.process {
            p.outbox.close(now);
            self.ledger.look(&p.outbox);
            if let Some(conn) = p.link.conn {
                q.to_broker(conn, Packet::Disconnect);
            }
        }
        self.kill(q);
    }

    /// The power goes: the disk keeps what it may, the connection falls silent, the monotonic clock begins anew.
    pub fn lose_power(&mut self, q: &mut Queue, rng: &mut Rng) {
        if let Some(p) = self.process.take()
            && let Some(conn) = p.link.conn
        {
            q.go_dark(conn, true, true, KEEP_ALIVE);
        }
        self.ledger.died();
        let left = self.disk.files().cut(rng);
        self.disk.become_(left);
    }

    /// The monotonic clock begins.
    pub fn boot(&mut self, q: &mut Queue) {
        if self.process.is_none() {
            self.booted = q.now;
            self.start(q);
        }
    }

    /// Events happen on the device.
    pub fn produce(&mut self, q: &mut Queue, n: u64, severity: u8, len: u16) {
        let stamp = self.stamp(q.now);
        let Some(p) = &mut self.process else { return };
        for _ in 0..n {
            self.ledger.push(&mut p.outbox, stamp, severity, len);
            self.ledger.look_at_epoch(&p.outbox);
        }
        if severity >= 17 {
            p.outbox.sync_now(stamp.mono_ms);
        }
        self.pump(q);
    }

    /// Tells how it is.
    pub fn beat(&mut self, q: &mut Queue) {
        let stamp = self.stamp(q.now);
        let Some(p) = &mut self.process else { return };
        let beat = wire::Beat {
            seq: p.outbox.next_seq() - 1,
            acked: p.outbox.acked_seq(),
            waiting: p.outbox.waiting() as u32,
            outbox_bytes: p.outbox.bytes() as u32,
            lost: p.outbox.lost() as u32,
            flags: 0,
            series: 0,
            no_data: 0,
            open: 0,
            uptime_s: 0,
            cpu_us: 0,
            rss_kib: 0,
            late: 0,
        };
        let mut body = [0; 128];
        let len = wire::write_body(&beat, &mut body).unwrap_or(0);
        let head = Head { node: &self.name, epoch: p.outbox.epoch() };
        let payload = link::message(&head, stamp, Kind::Beat, &body[..len]);
        p.give(Command::Publish { leaf: Leaf::Beat, payload, retain: false, confirm: false, token: 0 });
        self.pump(q);
    }

    /// It has something to do.
    pub fn wake(&mut self, q: &mut Queue) {
        if self.wakes_at.is_some_and(|at| at <= q.now) {
            self.wakes_at = None;
            self.pump(q);
        }
    }

    /// A try to connect is due.
    pub fn redial(&mut self, q: &mut Queue, dials: u64) {
        if self.process.as_ref().is_some_and(|p| p.link.dials == dials && p.link.conn.is_none()) {
            self.dial(q);
        }
    }

    fn status(&self, now: u64, hello: Hello) -> Bytes {
        let epoch = self.outbox().map_or(0, Outbox::epoch);
        link::status(&Head { node: &self.name, epoch }, self.stamp(now), hello, "sim")
    }

    fn message(&self, leaf: decode::Leaf, payload: Bytes, retain: bool, confirm: bool) -> Message {
        Message { topic: Topic::of(self.me, leaf), payload, retain, confirm, expires: None }
    }

    fn dial(&mut self, q: &mut Queue) {
        let will = self.message(decode::Leaf::Status, self.status(q.now, Hello::Lost), true, true);
        let hello = Packet::Connect {
            client: self.me,
            expiry: SESSION,
            receive_max: 65_535,
            will: Some((will, WILL_DELAY)),
        };
        let conn = q.dial(self.me, hello);
        self.dials += 1;
        if let Some(p) = &mut self.process {
            p.link = Link {
                conn: Some(conn),
                attempt: p.link.attempt,
                dials: p.link.dials + 1,
                commands: std::mem::take(&mut p.link.commands),
                ..Link::default()
            };
        }
    }

    /// A connection ended: the next one in a while.
    fn ended(&mut self, q: &mut Queue, why: &str, refused: bool) {
        let stamp = self.stamp(q.now);
        let Some(p) = &mut self.process else { return };
        let l = &mut p.link;
        if l.connected && l.acked && q.now - l.since >= GOOD {
            l.attempt = 0;
        }
        let most = if refused { REFUSED_MAX } else { RETRY.1 };
        let wait = backoff(l.attempt, seed(&self.name), RETRY.0, most);
        l.attempt += 1;
        (l.conn, l.connected) = (None, false);
        l.unconfirmed.clear();
        q.after(wait, Event::Dial(self.me, l.dials));
        let news = News::Disconnected { why: why.to_owned(), retry_in_ms: wait, refused };
        p.delivery.on_news(stamp.mono_ms, &news, &mut p.outbox);
        self.pump(q);
    }

    /// The connection is found dead.
    pub fn lost(&mut self, q: &mut Queue, conn: Conn) {
        if self.process.as_ref().is_some_and(|p| p.link.conn == Some(conn)) {
            self.ended(q, "lost", false);
        }
    }

    /// A packet arrives.
    pub fn receive(&mut self, q: &mut Queue, conn: Conn, packet: Packet) {
        if self.process.as_ref().is_none_or(|p| p.link.conn != Some(conn)) {
            return;
        }
        let mut news = Vec::new();
        match packet {
            Packet::ConnAck { welcome: false, .. } => {
                q.hang_up(conn, KEEP_ALIVE);
                return self.ended(q, "not authorized", true);
            }
            Packet::ConnAck { session_present, .. } => {
                if let Some(p) = &mut self.process {
                    (p.link.connected, p.link.since) = (true, q.now);
                }
                news.push(News::Connected { session_present, max_payload: MAX_PAYLOAD });
                q.to_broker(conn, Packet::Subscribe(vec![Filter::Ack(self.me), Filter::Collectors]));
                let online =
                    self.message(decode::Leaf::Status, self.status(q.now, Hello::Online), true, true);
                if let Some(p) = &mut self.process {
                    let id = p.link.number(None);
                    q.to_broker(conn, Packet::Publish(id, online));
                }
            }
            Packet::PubAck(id, taken) => {
                let token = self.process.as_mut().and_then(|p| p.link.unconfirmed.remove(&id)).flatten();
                news.extend(token.map(|token| match taken {
                    true => News::Stored { token },
                    false => News::Refused { token, why: "quota exceeded".to_owned() },
                }));
            }
            Packet::Publish(id, message) => {
                if id > 0 {
                    q.to_broker(conn, Packet::PubAck(id, true));
                }
                self.heard(&message, &mut news);
            }
            _ => {}
        }
        let now = self.stamp(q.now).mono_ms;
        if let Some(p) = &mut self.process {
            for news in &news {
                p.delivery.on_news(now, news, &mut p.outbox);
            }
        }
        self.pump(q);
    }

    fn heard(&mut self, message: &Message, news: &mut Vec<News>) {
        let Ok((head, items)) = wire::read(&message.payload) else { return };
        for item in items.flatten() {
            match message.topic {
                Topic::Ack(_) if item.kind == Kind::Ack as u16 => {
                    if let Ok((ack, from)) = wire::read_ack(item.rev, item.body) {
                        if let Some(p) = &mut self.process {
                            p.link.acked = true;
                        }
                        news.push(News::Acked { ack, from: from.map(|f| f.as_str().to_owned()) });
                    }
                }
                Topic::Collector(_) if item.kind == Kind::Status as u16 => {
                    if let Ok(said) = wire::read_body::<Status>(item.body) {
                        let online = said.state == state::ONLINE;
                        let name = head.node.to_owned();
                        news.push(News::Collector { name, online, fresh: !message.retain });
                    }
                }
                _ => {}
            }
        }
    }

    /// Moves what is due, as the agent does after everything that wakes it, and says when to be woken next.
    fn pump(&mut self, q: &mut Queue) {
        let stamp = self.stamp(q.now);
        let Some(p) = &mut self.process else { return };
        if p.outbox.has_undeclared() {
            p.outbox.declare(stamp);
        }
        p.outbox.sync(stamp.mono_ms);
        let mut rebuild = false;
        // The link works through its commands at once, but for when it is stalled.
        loop {
            let command = p.delivery.poll(stamp, &mut p.outbox);
            let none = command.is_none();
            let full = command.is_some_and(|c| !p.take(c));
            if self.stalled <= q.now {
                rebuild |= p.obey(q, self.me, stamp.mono_ms);
            }
            if none || full || rebuild {
                break;
            }
        }
        self.ledger.look(&p.outbox);
        let due = [p.outbox.sync_due(stamp.mono_ms), p.delivery.deadline()].into_iter().flatten().min();
        let due = due.map(|at| (self.booted + at).max(q.now + 1));
        let due = if self.stalled > q.now { due.into_iter().chain([self.stalled]).min() } else { due };
        if let Some(due) = due.filter(|due| self.wakes_at.is_none_or(|at| *due < at || at <= q.now)) {
            self.wakes_at = Some(due);
            q.at(due, Event::Wake(self.me));
        }
        if rebuild {
            if let Some(conn) = self.process.as_ref().and_then(|p| p.link.conn) {
                q.hang_up(conn, KEEP_ALIVE);
            }
            self.ended(q, "rebuild", false);
        }
    }
}

impl Link {
    fn number(&mut self, token: Option<u64>) -> u16 {
        self.next = self.next.checked_add(1).unwrap_or(1);
        self.unconfirmed.insert(self.next, token);
        self.next
    }
}

impl Process {
    /// A command for which no room is no loss.
    fn give(&mut self, command: Command) {
        if self.link.commands.len() < CHANNEL {
            self.link.commands.push_back(command);
        }
    }

    /// A command of the delivery; false if there was no room.
    fn take(&mut self, command: Command) -> bool {
        if self.link.commands.len() < CHANNEL {
            self.link.commands.push_back(command);
            return true;
        }
        self.delivery.not_taken(command, &mut self.outbox);
        false
    }

    /// The link does what it was told; true if it is to begin anew.
    fn obey(&mut self, q: &mut Queue, me: usize, now: u64) -> bool {
        while let Some(command) = self.link.commands.pop_front() {
            let conn = self.link.conn;
            match command {
                // While there is no connection everything is dropped; while it is being made, only a rebuild counts.
                Command::Rebuild { .. } if conn.is_some() => return true,
                Command::Publish { leaf, payload, retain, confirm, token } if self.link.connected => {
                    let Some(conn) = conn else { continue };
                    let leaf = decode::Leaf::ALL.into_iter().find(|l| l.word() == leaf.word());
                    let Some(leaf) = leaf else { continue };
                    if self.link.unconfirmed.len() >= INFLIGHT {
                        let news = News::Refused { token, why: "too much is on its way".to_owned() };
                        self.delivery.on_news(now, &news, &mut self.outbox);
                        continue;
                    }
                    let id = if confirm { self.link.number(Some(token)) } else { 0 };
                    let topic = Topic::of(me, leaf);
                    q.to_broker(
                        conn,
                        Packet::Publish(id, Message { topic, payload, retain, confirm, expires: None }),
                    );
                }
                Command::Subscribe => {
                    if let Some(conn) = conn.filter(|_| self.link.connected) {
                        q.to_broker(conn, Packet::Subscribe(vec![Filter::Ack(me), Filter::Collectors]));
                    }
                }
                _ => {}
            }
        }
        false
    }
}
