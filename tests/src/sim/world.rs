//! The whole system on virtual time: devices, a broker, collectors, and what goes wrong. One thread, one seed, one
//! course of events.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fieldmouse::outbox::{Options, Outbox};

use super::audit::Account;
use super::broker::{Broker, Mood};
use super::device::Device;
use super::gatherer::Gatherer;
use super::queue::{Event, Queue};
use super::rng::{Rng, hash};
use super::schedule::{Fault, Plan, What};

/// What may pass until everything is delivered once nothing is wrong any more: the longest backoff, and a little more.
pub const SETTLES: u64 = 2 * 3_600_000;
/// More happenings than this in a day are a timer that spins.
const SPINS: u64 = 4_000_000;

/// What a run was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Of the whole course of events.
    pub trace: u64,
    /// Happenings.
    pub events: u64,
    /// Events produced, and of those durable.
    pub produced: u64,
    /// Events that the outbox called durable.
    pub durable: u64,
    /// Numbers declared lost.
    pub lost: u64,
    /// Items that came more than once.
    pub twice: u64,
    /// Transactions of the collectors.
    pub commits: u64,
    /// Connections the devices attempted.
    pub dials: u64,
    /// Milliseconds until everything was delivered, after the last fault.
    pub settled: u64,
}

struct World {
    q: Queue,
    broker: Broker,
    devices: Vec<Device>,
    collectors: Vec<Gatherer>,
    account: Account,
    rng: Rng,
    /// Chance of what is produced, apart, so that it stays when faults are left out.
    produce: Vec<(Rng, u64)>,
    faults: Vec<Fault>,
    ms: u64,
    trace: u64,
    events: u64,
    moods: BTreeMap<usize, What>,
    ended: bool,
}

/// Runs a plan; its databases live in `dir`.
///
/// # Errors
/// In words, which promise was broken.
pub fn run(plan: &Plan, dir: &std::path::Path) -> Result<Report, String> {
    let done = catch_unwind(AssertUnwindSafe(|| World::new(plan, dir).run()));
    done.unwrap_or_else(|e| {
        let text = e.downcast_ref::<String>().cloned();
        let text = text.or_else(|| e.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

impl World {
    fn new(plan: &Plan, dir: &std::path::Path) -> Self {
        let mut rng = Rng::new(plan.seed ^ 0x5157);
        let clients = plan.devices + plan.collectors;
        let mut q = Queue::new(rng.fork(), clients);
        let devices: Vec<Device> = (0..plan.devices)
            .map(|d| Device::new(d, Options::new(rng.pick(&[32 * 1024, 32 * 1024, 1 << 20])), rng.fork()))
            .collect();
        let collectors: Vec<Gatherer> = (0..plan.collectors)
            .map(|c| Gatherer::new(plan.devices + c, c, dir.join(format!("{}-{c}.db", plan.seed))))
            .collect();
        let produce = (0..plan.devices).map(|_| (rng.fork(), 0)).collect();
        q.at(0, Event::StartBroker);
        (0..plan.collectors).for_each(|c| q.at(5, Event::Start(c)));
        for d in 0..plan.devices {
            q.at(10 + d as u64, Event::Boot(d));
            q.at(1000, Event::Produce(d));
            q.at(20_000, Event::Beat(d));
        }
        for (i, fault) in plan.faults.iter().enumerate() {
            q.at(fault.at, Event::Fault(i));
        }
        Self {
            q,
            broker: Broker::default(),
            account: Account::new(plan.devices, plan.collectors),
            devices,
            collectors,
            rng,
            produce,
            faults: plan.faults.clone(),
            ms: plan.ms,
            trace: plan.seed,
            events: 0,
            moods: BTreeMap::new(),
            ended: false,
        }
    }

    fn run(mut self) -> Result<Report, String> {
        let settled = loop {
            if self.q.next().is_none_or(|at| at > self.ms) && !self.ended {
                self.heal();
            }
            if self.ended && self.is_settled() {
                break self.q.now - self.ms;
            }
            let Some(event) = self.q.pop() else {
                return Err("stuck: nothing will ever happen again".to_owned());
            };
            if self.q.now > self.ms + SETTLES {
                let waiting: Vec<_> = self.devices.iter().map(Device::outbox).collect();
                return Err(format!("stuck: two hours after the last fault {waiting:?}"));
            }
            self.events += 1;
            if self.events > SPINS {
                return Err(format!("a timer spins: {event:?}"));
            }
            self.happen(event)?;
        };
        self.account.close(&self.devices, &self.collectors)?;
        let sum = |f: fn(&Device) -> u64| self.devices.iter().map(f).sum();
        Ok(Report {
            trace: self.trace,
            events: self.events,
            produced: sum(|d| d.ledger.events.len() as u64),
            durable: sum(|d| d.ledger.events.iter().filter(|e| e.durable).count() as u64),
            lost: self.account.lost(),
            twice: self.account.twice,
            commits: self.collectors.iter().map(|c| c.commits).sum(),
            dials: sum(|d| d.dials),
            settled,
        })
    }

    fn note(&mut self, tag: u64, what: u64) {
        let words = [self.q.now, tag, what];
        self.trace = words.iter().fold(self.trace, |h, w| hash(h, &w.to_le_bytes()));
    }

    /// The device whose sleep this has to wait for.
    fn sleeper(&self, event: &Event) -> Option<usize> {
        let client = match event {
            Event::ToClient(conn, _) => self.q.wires.get(conn).map(|w| w.client),
            Event::Lost(_, client) | Event::Dial(client, _) => Some(*client),
            Event::Wake(d) | Event::Produce(d) | Event::Beat(d) => Some(*d),
            _ => None,
        };
        client.filter(|d| self.devices.get(*d).is_some_and(|d| d.asleep > self.q.now))
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        if let Some(d) = self.sleeper(&event) {
            self.q.at(self.devices[d].asleep, event);
            return Ok(());
        }
        let q = &mut self.q;
        let devices = self.devices.len();
        match event {
            Event::ToBroker(conn, packet) => {
                if !q.wires.get(&conn).is_some_and(|w| w.up) {
                    return Ok(());
                }
                if self.broker.up {
                    self.broker.receive(conn, packet, q);
                } else {
                    q.reset(conn);
                }
                self.note(1, conn);
            }
            Event::ToClient(conn, packet) => {
                let Some(client) = q.wires.get(&conn).filter(|w| w.down).map(|w| w.client) else {
                    return Ok(());
                };
                if client < devices {
                    self.devices[client].receive(q, conn, packet);
                } else {
                    self.collectors[client - devices].receive(q, conn, packet);
                }
                self.note(2, conn);
            }
            Event::Lost(conn, client) => {
                if client < devices {
                    self.devices[client].lost(q, conn);
                } else {
                    self.collectors[client - devices].lost(q, conn);
                }
                if let Some(w) = q.wires.get_mut(&conn) {
                    (w.up, w.down) = (false, false);
                }
                q.after(1000, Event::BrokerLost(conn));
                self.note(3, conn);
            }
            Event::BrokerLost(conn) => self.broker.lost(conn, q),
            Event::Dial(client, dials) => {
                if client < devices {
                    self.devices[client].redial(q, dials);
                } else {
                    self.collectors[client - devices].redial(q, dials);
                }
                self.note(4, client as u64);
            }
            Event::Will(client, life) => self.broker.will(client, life, q),
            Event::Wake(d) => {
                self.devices[d].wake(q);
                self.note(5, d as u64);
            }
            Event::Produce(d) => self.produce(d),
            Event::Beat(d) => {
                self.devices[d].beat(q);
                if !self.ended {
                    q.after(600_000, Event::Beat(d));
                } else {
                    q.after(60_000, Event::Beat(d));
                }
            }
            Event::Boot(d) => self.devices[d].boot(q),
            Event::Start(c) => self.collectors[c].start(q),
            Event::StartBroker => self.broker.up = true,
            Event::Commit(client, life) => {
                let c = client - devices;
                if let Some((taken, acks)) = self.collectors[c].commit(q, life) {
                    let (now, count) = (q.now, taken.len() as u64);
                    self.account.committed(c, now, &taken, &acks, &self.devices)?;
                    self.note(6, count);
                }
            }
            Event::Acknowledge(client, life, packets) => {
                self.collectors[client - devices].acknowledge(q, life, packets);
            }
            Event::Fault(i) => self.begin(i),
            Event::Heal(i) => self.finish(i),
        }
        self.power();
        Ok(())
    }

    /// A device whose disk died in the midst of a call lost its power.
    fn power(&mut self) {
        for d in 0..self.devices.len() {
            if self.devices[d].disk.is_dead() {
                self.devices[d].lose_power(&mut self.q, &mut self.rng);
                let off = self.rng.spread(1000, 600_000);
                self.q.after(off, Event::Boot(d));
            }
        }
    }

    /// Calm, with a burst now and then.
    fn produce(&mut self, d: usize) {
        if self.ended {
            return;
        }
        let (rng, burst) = &mut self.produce[d];
        let n = if rng.chance(50) { rng.between(2, 10) } else { 1 };
        let severity = rng.pick(&[9, 9, 9, 9, 9, 9, 9, 13, 13, 17, 21]);
        let len = rng.spread(1, 199) as u16;
        if *burst == 0 && rng.chance(30) {
            *burst = rng.between(20, 400);
        }
        let wait = if *burst > 0 {
            *burst -= 1;
            rng.spread(1, 2000)
        } else {
            rng.spread(5_000, 7_200_000)
        };
        // An agent that does not run sees nothing.
        self.devices[d].produce(&mut self.q, n, severity, len);
        self.q.after(wait, Event::Produce(d));
        self.note(7, severity.into());
    }

    fn begin(&mut self, i: usize) {
        let Fault { what, ms, .. } = self.faults[i];
        self.note(8, i as u64);
        let now = self.q.now;
        let q = &mut self.q;
        match what {
            What::Kill(d) => {
                self.devices[d].kill(q);
                q.after(ms.min(600_000), Event::Heal(i));
            }
            What::Restart(d) => {
                self.devices[d].stop(q);
                q.after(ms.min(60_000), Event::Heal(i));
            }
            What::Power(d) => {
                self.devices[d].lose_power(q, &mut self.rng);
                q.after(ms, Event::Boot(d));
            }
            What::PowerAtCall(d, n) => self.devices[d].disk.set(|f, calls| f.dies_at = Some(calls + 1 + n)),
            What::Suspend(d) => {
                self.devices[d].asleep = (now + ms).min(self.ms);
                if ms > super::device::KEEP_ALIVE {
                    for conn in q.conns_of(d) {
                        q.go_dark(conn, true, true, super::device::KEEP_ALIVE);
                    }
                }
            }
            What::Wall(d, wall) => self.devices[d].wall = wall,
            What::DiskFull(d, room) => {
                let used = self.devices[d].disk.bytes().0;
                self.devices[d].disk.set(|f, _| f.capacity = Some(used + room));
                q.after(ms, Event::Heal(i));
            }
            What::DiskFails(d, after, times, fault) => {
                self.account.disk_failed(d);
                self.devices[d].disk.set(|f, calls| f.fail = Some((calls + 1 + after, times, fault)));
                q.after(ms, Event::Heal(i));
            }
            What::Stall(d) => self.devices[d].stalled = now + ms.min(600_000),
            What::Break(client) => q.conns_of(client).into_iter().for_each(|c| q.reset(c)),
            What::Partition(client) => {
                q.paths[client].cut += 1;
                for conn in q.conns_of(client) {
                    q.go_dark(conn, true, true, super::device::KEEP_ALIVE);
                }
                q.after(ms, Event::Heal(i));
            }
            What::HalfOpen(client, up, down) => {
                for conn in q.conns_of(client) {
                    q.go_dark(conn, up, down, super::device::KEEP_ALIVE);
                }
            }
            What::Slow(client, by) => {
                q.paths[client].slow = by;
                q.after(ms, Event::Heal(i));
            }
            What::BrokerCrash(keeps) => {
                self.broker.crash(q, keeps);
                q.after(ms, Event::StartBroker);
            }
            What::CollectorKill(c) => {
                self.collectors[c].kill(q);
                q.after(ms, Event::Start(c));
            }
            What::CollectorKillInCommit(c) => {
                // A slow commit, and death before it ends or before its word is out.
                self.collectors[c].commit_ms = 400;
                q.after(ms, Event::Heal(i));
            }
            What::CollectorSlow(c, by) => {
                self.collectors[c].commit_ms = by;
                q.after(ms, Event::Heal(i));
            }
            What::CollectorFails(c) => self.collectors[c].failing = now + ms,
            What::CollectorWall(c, wall) => self.collectors[c].wall = wall,
            _ => {
                self.moods.insert(i, what);
                self.broker.mood = mood(self.moods.values());
                q.after(ms, Event::Heal(i));
            }
        }
    }

    fn finish(&mut self, i: usize) {
        let q = &mut self.q;
        match self.faults[i].what {
            What::Kill(d) | What::Restart(d) => self.devices[d].start(q),
            What::DiskFull(d, _) => self.devices[d].disk.set(|f, _| f.capacity = None),
            What::DiskFails(d, ..) => self.devices[d].disk.set(|f, _| f.fail = None),
            What::Partition(client) => q.paths[client].cut = q.paths[client].cut.saturating_sub(1),
            What::Slow(client, _) => q.paths[client].slow = 0,
            What::CollectorSlow(c, _) => self.collectors[c].commit_ms = 5,
            What::CollectorKillInCommit(c) => {
                self.collectors[c].commit_ms = 5;
                self.collectors[c].kill(q);
                q.after(1000, Event::Start(c));
            }
            _ => {
                self.moods.remove(&i);
                self.broker.mood = mood(self.moods.values());
                self.broker.flush(q);
            }
        }
    }

    /// Nothing is wrong any more.
    fn heal(&mut self) {
        self.ended = true;
        self.q.now = self.ms;
        self.broker.mood = Mood::default();
        self.moods.clear();
        self.q.paths.iter_mut().for_each(|p| *p = super::queue::Path::default());
        for d in &mut self.devices {
            d.disk.set(|f, _| *f = super::disk::Faults::default());
            (d.asleep, d.stalled) = (0, 0);
        }
        for c in &mut self.collectors {
            (c.commit_ms, c.failing) = (5, 0);
        }
        let now = self.q.now;
        self.broker.flush(&mut self.q);
        self.q.at(now, Event::StartBroker);
        (0..self.collectors.len()).for_each(|c| self.q.at(now, Event::Start(c)));
        (0..self.devices.len())
            .filter(|d| self.devices[*d].outbox().is_none())
            .for_each(|d| self.q.at(now, Event::Boot(d)));
    }

    fn is_settled(&self) -> bool {
        let empty = |o: &Outbox| o.waiting() == 0 && !o.has_undeclared() && o.is_durable();
        self.devices.iter().all(|d| d.outbox().is_some_and(empty))
            && self.collectors.iter().all(Gatherer::is_up)
    }
}

fn mood<'a>(all: impl Iterator<Item = &'a What>) -> Mood {
    let mut m = Mood::default();
    for what in all {
        match *what {
            What::Drops(n) => m.drops = n,
            What::Doubles(n) => m.doubles = n,
            What::Shuffles(n) => m.shuffles = n.min(900),
            What::Refuses(n) => m.refuses = n,
            What::Silent(n) => m.silent = n,
            What::Unwelcoming(n) => m.unwelcoming = n,
            What::Forgetful(n) => m.forgetful = n,
            _ => {}
        }
    }
    m
}
