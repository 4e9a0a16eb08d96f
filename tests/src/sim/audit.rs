//! The account of a run: what was committed, whether it may be acknowledged, and at the end whether everything produced
//! is stored once, in order, or declared lost for a reason.

use std::collections::BTreeMap;

use fieldmouse_core::wire::{self, Kind, Loss, loss};
use rusqlite::{Connection, OpenFlags};

use super::device::Device;
use super::gatherer::Gatherer;
use super::model::{self, Collector};
use super::wire::Message;

/// A loss record as it was first committed.
#[derive(Debug, Clone, Copy)]
struct Declared {
    epoch: u64,
    said: Loss,
    turn: u64,
}

/// What one device's events came to.
#[derive(Debug, Default)]
struct Story {
    all: Collector,
    /// When each event was first committed, in messages.
    first: BTreeMap<u64, u64>,
    losses: Vec<Declared>,
    disk_failed: bool,
}

/// The account.
#[derive(Debug)]
pub struct Account {
    stories: Vec<Story>,
    /// By collector and device.
    own: Vec<Vec<Collector>>,
    turn: u64,
    /// Items that came more than once.
    pub twice: u64,
}

impl Account {
    /// Of so many devices and collectors.
    #[must_use]
    pub fn new(devices: usize, collectors: usize) -> Self {
        Self {
            stories: (0..devices).map(|_| Story::default()).collect(),
            own: vec![vec![Collector::default(); devices]; collectors],
            turn: 0,
            twice: 0,
        }
    }

    /// A device's disk had errors: what stood in memory alone may be told twice, or vanish with the process.
    pub fn disk_failed(&mut self, device: usize) {
        self.stories[device].disk_failed = true;
    }

    /// Numbers declared lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.stories.iter().map(|s| s.all.lost).sum()
    }

    /// Collector `c` committed these messages and is about to acknowledge.
    ///
    /// # Errors
    /// If a message holds what was never produced, or an acknowledgement says more than is committed.
    pub fn committed(
        &mut self,
        c: usize,
        now: u64,
        taken: &[Message],
        acks: &[(usize, u64, u64)],
        devices: &[Device],
    ) -> Result<(), String> {
        for message in taken {
            let Some(d) = Gatherer::is_event(message) else { continue };
            self.turn += 1;
            let (story, ledger) = (&mut self.stories[d], &devices[d].ledger);
            let told = |what| format!("device {d}, {now} ms: {what}");
            self.own[c][d].take(&message.payload, ledger).map_err(told)?;
            story.all.take(&message.payload, ledger).map_err(told)?;
            self.twice = self.own.iter().flatten().map(|o| o.twice).sum();
            story.note(&message.payload, self.turn);
        }
        for &(d, epoch, seq) in acks {
            let has = self.stories.get(d).map_or(0, |s| s.all.contiguous(epoch));
            if seq > has {
                return Err(format!("device {d}, {now} ms: {seq} is acknowledged, {has} is committed"));
            }
        }
        Ok(())
    }

    /// Everything is delivered: does it add up?
    ///
    /// # Errors
    /// In words, what does not.
    pub fn close(&self, devices: &[Device], collectors: &[Gatherer]) -> Result<(), String> {
        for (d, (device, story)) in devices.iter().zip(&self.stories).enumerate() {
            let outbox = device.outbox().ok_or("a device does not run at the end")?;
            let told = |what| format!("device {d}: {what}");
            story.all.audit(&device.ledger, outbox, u64::MAX, !story.disk_failed).map_err(told)?;
            let (peak, most) = (device.disk.bytes().1, device.max_bytes());
            if peak > most {
                return Err(format!("device {d}: {peak} bytes, allowed are {most}"));
            }
            if !story.disk_failed {
                story.severe_stay(device).map_err(told)?;
            }
        }
        for (c, collector) in collectors.iter().enumerate() {
            database(collector, devices, &self.own[c], collectors.len() == 1)
                .map_err(|what| format!("collector {c}: {what}"))?;
        }
        Ok(())
    }
}

impl Story {
    fn note(&mut self, payload: &[u8], turn: u64) {
        let Ok((head, items)) = wire::read(payload) else { return };
        for item in items.flatten() {
            if item.kind != Kind::Loss as u16 {
                self.first.entry(model::id(item.body).unwrap_or(u64::MAX)).or_insert(turn);
            } else if let Ok(said) = wire::read_body::<Loss>(item.body) {
                self.losses.push(Declared { epoch: head.epoch, said, turn });
            }
        }
    }

    /// No severe event was given up while an earlier one of no weight still stood in the outbox.
    fn severe_stay(&self, device: &Device) -> Result<(), String> {
        let events = &device.ledger.events;
        for (id, e) in events.iter().enumerate().filter(|(_, e)| e.severity >= 17 && !e.moved) {
            if self.first.contains_key(&(id as u64)) {
                continue;
            }
            let covers = |l: &&Declared| {
                l.epoch == e.epoch
                    && l.said.reason == loss::FULL
                    && (l.said.first..l.said.first + l.said.count).contains(&e.seq)
            };
            let Some(declared) = self.losses.iter().find(covers) else { continue };
            let stayed = self.first.iter().find(|(other, turn)| {
                **other < id as u64
                    && **turn > declared.turn
                    && events[**other as usize].severity < e.severity
            });
            if let Some((other, _)) = stayed {
                return Err(format!("event {id} of severity {} was given up, {other} was not", e.severity));
            }
        }
        Ok(())
    }
}

/// What the database holds is what was committed, once and in order.
fn database(collector: &Gatherer, devices: &[Device], own: &[Collector], alone: bool) -> Result<(), String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let db = Connection::open_with_flags(collector.path(), flags).map_err(|e| e.to_string())?;
    check(&db, devices, own, alone).map_err(|e| e.to_string())?
}

fn check(
    db: &Connection,
    devices: &[Device],
    own: &[Collector],
    alone: bool,
) -> rusqlite::Result<Result<(), String>> {
    let mut rows = vec![0; devices.len()];
    let mut last: BTreeMap<(usize, i64), u64> = BTreeMap::new();
    let mut events = db.prepare(
        "SELECT d.node, e.epoch, e.seq, e.mono_ms, e.wall_ms, e.kind, e.body, e.problem FROM events e
         JOIN devices d ON d.id = e.device ORDER BY e.device, e.epoch, e.seq",
    )?;
    let mut found = events.query([])?;
    while let Some(row) = found.next()? {
        let d = number(&row.get::<_, String>(0)?);
        let (epoch, seq): (i64, i64) = (row.get(1)?, row.get(2)?);
        rows[d] += 1;
        if let Some(problem) = row.get::<_, Option<String>>(7)? {
            return Ok(Err(format!("number {seq} was not understood: {problem}")));
        }
        let kind: u16 = row.get(5)?;
        if kind == Kind::Loss as u16 {
            continue;
        }
        let id = model::id(&row.get::<_, Vec<u8>>(6)?).unwrap_or(u64::MAX);
        if own[d].event(epoch.cast_unsigned(), seq.cast_unsigned()) != Some(id) {
            return Ok(Err(format!("number {seq} of device {d} holds event {id}, which was not committed")));
        }
        let stamp = devices[d].ledger.events[id as usize].stamp;
        let times: (i64, Option<i64>) = (row.get(3)?, row.get(4)?);
        if times != (stamp.mono_ms.cast_signed(), stamp.wall_ms.map(u64::cast_signed)) {
            return Ok(Err(format!("event {id} has another time than it had")));
        }
        if last.insert((d, epoch), id).is_some_and(|before| before >= id) {
            return Ok(Err(format!("event {id} of device {d} stands behind a later one")));
        }
    }
    for (d, own) in own.iter().enumerate() {
        if rows[d] != own.count() {
            return Ok(Err(format!("device {d}: {} rows, {} were committed", rows[d], own.count())));
        }
    }
    let mut gaps =
        db.prepare("SELECT d.node, g.epoch, g.first, g.last FROM gaps g JOIN devices d ON d.id = g.device")?;
    let mut found = gaps.query([])?;
    while let Some(row) = found.next()? {
        let (d, epoch) = (number(&row.get::<_, String>(0)?), row.get::<_, i64>(1)?.cast_unsigned());
        // With two collectors each has what it was sent; together they have all.
        if alone && !devices[d].ledger.is_volatile(epoch) {
            let (first, last): (i64, i64) = (row.get(2)?, row.get(3)?);
            return Ok(Err(format!("device {d}: numbers {first} to {last} are missing")));
        }
    }
    Ok(Ok(()))
}

fn number(node: &str) -> usize {
    node.strip_prefix("n-").and_then(|n| n.parse().ok()).unwrap_or_default()
}
