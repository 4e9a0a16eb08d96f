//! What the collector itself says: that it is there, and what is safe.

use fieldmouse_core::series::cut;
use fieldmouse_core::wire::{self, Clock, Kind};
use serde::Serialize;

use crate::clock;
use crate::store::{Acknowledged, Wanted};

/// `status` of this collector.
#[must_use]
pub fn status(id: &str, state: u8, now_ms: u64) -> Vec<u8> {
    let body = wire::Status { state, version: cut(env!("CARGO_PKG_VERSION")) };
    message(&wire::Head { node: id, epoch: 0 }, (Kind::Status, 1), Some(now_ms), &body)
}

/// `ack` for an agent. The head names the agent, as the topic does, so that it can check both alike.
#[must_use]
pub fn ack(id: &str, ack: &Acknowledged) -> Vec<u8> {
    let said = wire::Ack { epoch: ack.epoch, seq: ack.seq };
    let body = wire::AckFrom { ack: said, collector: cut(id) };
    message(&wire::Head { node: &ack.node, epoch: ack.epoch }, (Kind::Ack, 2), None, &body)
}

/// `ask` for a piece of a capsule.
#[must_use]
pub fn ask(id: &str, w: &Wanted) -> Vec<u8> {
    let body = wire::Ask { episode: w.episode, at: w.at, by: cut(id) };
    message(&wire::Head { node: &w.node, epoch: w.epoch }, (Kind::Ask, 1), None, &body)
}

fn message<T: Serialize>(
    head: &wire::Head<'_>,
    (kind, rev): (Kind, u8),
    wall_ms: Option<u64>,
    body: &T,
) -> Vec<u8> {
    // Names are at most 48 bytes and these bodies at most 70: it always fits.
    let mut payload = vec![0; 256];
    let mut bytes = [0; 80];
    let body_len = wire::write_body(body, &mut bytes).unwrap_or(0);
    let item = wire::Item {
        seq: 0,
        mono_ms: 0,
        wall_ms,
        clock: match wall_ms {
            None => Clock::Unset,
            Some(_) if clock::is_synced() => Clock::Synced,
            Some(_) => Clock::Free,
        } as u8,
        severity: 9,
        kind: kind as u16,
        rev,
        body: &bytes[..body_len],
    };
    let start = wire::write_head(head, &mut payload).unwrap_or(0);
    let len = wire::write_item(&item, &mut payload[start..]).unwrap_or(0);
    payload.truncate(start + len);
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_can_be_read() {
        let longest = "a".repeat(wire::NAME);
        let done = Acknowledged { site: "s".into(), node: longest.clone(), epoch: u64::MAX, seq: u64::MAX };
        let said = ack(&longest, &done);
        let (head, mut items) = wire::read(&said).unwrap();
        assert_eq!((head.node, head.epoch), (longest.as_str(), u64::MAX));
        let item = items.next().unwrap().unwrap();
        assert_eq!((item.kind, item.rev), (Kind::Ack as u16, 2));
        let body: wire::AckFrom = wire::read_body(item.body).unwrap();
        let safe = wire::Ack { epoch: u64::MAX, seq: u64::MAX };
        assert_eq!((body.ack, body.collector.as_str()), (safe, longest.as_str()));
        // An agent of yesterday reads what it knows.
        assert_eq!(wire::read_body::<wire::Ack>(item.body), Ok(safe));
        assert!(items.next().is_none());
        assert!(wire::read(&status(&longest, wire::state::LOST, 1)).is_ok());
    }
}
