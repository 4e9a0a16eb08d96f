//! A little collector: keeps the numbers of events, and answers with how far they are contiguous.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use fieldmouse::{clock, link};
use fieldmouse_core::wire::{self, Ack, Head, Kind};

/// What one epoch has brought.
#[derive(Debug, Default)]
struct Epoch {
    high: u64,
    ahead: BTreeSet<u64>,
}

/// What it has.
#[derive(Debug, Default)]
pub struct Collector {
    epochs: BTreeMap<u64, Epoch>,
    /// Messages that were no events.
    pub unreadable: u64,
}

impl Collector {
    /// Takes a message in and answers with the acknowledgement.
    pub fn take(&mut self, payload: &[u8]) -> Option<Bytes> {
        let Ok((head, items)) = wire::read(payload) else {
            self.unreadable += 1;
            return None;
        };
        let epoch = self.epochs.entry(head.epoch).or_default();
        for item in items {
            match item {
                Ok(item) if item.seq > epoch.high => drop(epoch.ahead.insert(item.seq)),
                Ok(_) => {}
                Err(_) => self.unreadable += 1,
            }
        }
        while epoch.ahead.remove(&(epoch.high + 1)) {
            epoch.high += 1;
        }
        Some(ack(head.epoch, epoch.high))
    }

    /// Every number up to here has come.
    #[must_use]
    pub fn has(&self, epoch: u64) -> u64 {
        self.epochs.get(&epoch).map_or(0, |e| e.high)
    }
}

/// The word of a collector that it has everything up to `seq`.
#[must_use]
pub fn ack(epoch: u64, seq: u64) -> Bytes {
    let mut body = [0; 24];
    let len = wire::write_body(&Ack { epoch, seq }, &mut body).unwrap();
    link::message(&Head { node: "n-1", epoch }, clock::stamp(), Kind::Ack, &body[..len])
}

/// The word of a collector that it is there.
#[must_use]
pub fn online() -> Bytes {
    link::status(&Head { node: "c-1", epoch: 0 }, clock::stamp(), link::Hello::Online, "0.1.0")
}
