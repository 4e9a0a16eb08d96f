//! The other end of an outbox: keeps what comes, by number, and says how far it has everything.

use std::collections::{BTreeMap, HashMap, HashSet};

use fieldmouse::clock::Stamp;
use fieldmouse::outbox::Outbox;
use fieldmouse_core::wire::{self, Fact, Head, Kind, Loss};

/// A device time.
#[must_use]
pub fn at(mono_ms: u64) -> Stamp {
    Stamp { mono_ms, wall_ms: Some(1_800_000_000_000 + mono_ms), clock: 1 }
}

/// The fact of an id: its text follows from the id, so that nothing else passes for it.
#[must_use]
pub fn fact(id: u64) -> Fact {
    let mut text = format!("{id} ");
    let len = 180 + usize::try_from(id.wrapping_mul(7919) % 20).unwrap();
    while text.len() < len {
        text.push(char::from(b'a' + u8::try_from((id + text.len() as u64) % 26).unwrap()));
    }
    Fact::new("n", &text)
}

/// Pushes the fact of an id and returns its number.
pub fn push(outbox: &mut Outbox, now: u64, id: u64, severity: u8) -> u64 {
    let mut body = [0; 300];
    let len = wire::write_body(&fact(id), &mut body).unwrap();
    outbox.push(at(now), Kind::Fact, 1, severity, &body[..len])
}

/// What came under a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// The fact of this id.
    Fact(u64),
    /// A loss record.
    Loss,
    /// Bytes that are no fact that was ever pushed.
    Strange,
}

/// Keeps what comes.
#[derive(Debug, Default)]
pub struct Receiver {
    /// By epoch and number.
    pub got: BTreeMap<(u64, u64), Came>,
    /// Why a number does not come, by epoch and number.
    pub lost: BTreeMap<(u64, u64), u8>,
    /// Numbers that came with different contents.
    pub reused: u64,
    /// Everything up to here is known to have come already.
    pub base: HashMap<u64, u64>,
}

impl Receiver {
    /// Takes everything the outbox offers now; returns what came, in order.
    pub fn take(&mut self, outbox: &mut Outbox) -> Vec<(u64, u64, Came)> {
        let mut all = Vec::new();
        loop {
            let mut items = Vec::new();
            let Some(batch) = outbox.batch(2048, true, &mut items) else { return all };
            self.read(batch.epoch, &items, &mut all);
        }
    }

    fn read(&mut self, epoch: u64, items: &[u8], all: &mut Vec<(u64, u64, Came)>) {
        let mut message = vec![0; 64];
        let len = wire::write_head(&Head { node: "n", epoch }, &mut message).unwrap();
        message.truncate(len);
        message.extend_from_slice(items);
        for item in wire::read(&message).unwrap().1 {
            let Ok(item) = item else {
                all.push((epoch, 0, Came::Strange));
                return;
            };
            let came = if item.kind == Kind::Loss as u16 {
                let loss: Loss = wire::read_body(item.body).unwrap();
                for seq in loss.first..loss.first + loss.count {
                    self.lost.insert((epoch, seq), loss.reason);
                }
                Came::Loss
            } else {
                let read = wire::read_body::<Fact>(item.body).ok();
                let id = read.as_ref().and_then(|f| f.text.split(' ').next()?.parse().ok());
                match (id, read) {
                    (Some(id), Some(read)) if fact(id) == read => Came::Fact(id),
                    _ => Came::Strange,
                }
            };
            if self.got.insert((epoch, item.seq), came).is_some_and(|before| before != came) {
                self.reused += 1;
            }
            all.push((epoch, item.seq, came));
        }
    }

    /// Everything up to here of an epoch has come, or never will.
    #[must_use]
    pub fn contiguous(&self, epoch: u64) -> u64 {
        let base = self.base.get(&epoch).copied().unwrap_or(0);
        let is_known =
            |seq: &u64| self.got.contains_key(&(epoch, *seq)) || self.lost.contains_key(&(epoch, *seq));
        (base + 1..).take_while(is_known).last().unwrap_or(base)
    }

    /// Epochs of which something came.
    #[must_use]
    pub fn epochs(&self) -> HashSet<u64> {
        self.got.keys().map(|(epoch, _)| *epoch).collect()
    }

    /// Takes and acknowledges until nothing waits. False if that does not come about.
    pub fn drain(&mut self, outbox: &mut Outbox, mut now: u64) -> bool {
        // A full outbox may declare one loss at a time, each with the room that the last one left.
        for _ in 0..200 {
            now += 61_000;
            outbox.sync(now);
            outbox.declare(at(now));
            outbox.sync(now + 1000);
            outbox.rewind();
            self.take(outbox);
            for epoch in self.epochs() {
                outbox.acked(now + 1000, epoch, self.contiguous(epoch));
            }
            if outbox.waiting() == 0 && !outbox.has_undeclared() {
                return true;
            }
        }
        false
    }

    /// Numbers that neither came nor were declared lost, below the highest that came.
    #[must_use]
    pub fn silent(&self) -> u64 {
        let highest =
            |epoch: u64| self.got.range((epoch, 0)..=(epoch, u64::MAX)).next_back().map_or(0, |(k, _)| k.1);
        let is_missing = |epoch: u64, seq: u64| {
            !self.got.contains_key(&(epoch, seq)) && !self.lost.contains_key(&(epoch, seq))
        };
        let missing = |epoch: u64| {
            let base = self.base.get(&epoch).copied().unwrap_or(0);
            (base + 1..highest(epoch)).filter(|seq| is_missing(epoch, *seq)).count() as u64
        };
        self.epochs().into_iter().map(missing).sum()
    }
}
