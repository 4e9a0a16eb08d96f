//! Acknowledgements on their way out.
//!
//! A commit of a storm frees thousands of devices at once, and the broker takes only so many messages at a time. What
//! waits is kept by device, and a newer word takes the place of the older: so nothing is dropped, and there is never more
//! of it than there are devices. Only some are with the client at a time, so that what else is to be said finds room.
//!
//! The broker confirms each, so that it keeps it for a device whose connection is just broken. Where many wait that would
//! take longer than it is worth: mosquitto lets no more than twenty be under way, and a busy machine turns one round
//! in a tenth of a second. Then they go without; what is lost of them, the agent asks for by sending again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::store::Acknowledged;

/// So many may be with the client at once.
const AT_ONCE: usize = 256;

/// Where more than so many wait, none waits for the broker's word.
const CROWD: usize = 64;

/// A device, and the outbox it had.
type Outbox = (String, String, u64);

/// What agents are to be told, in the order in which it became true.
#[derive(Debug, Default)]
pub(super) struct Answers {
    waiting: Mutex<Waiting>,
    rung: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    turns: VecDeque<Outbox>,
    latest: HashMap<Outbox, u64>,
    /// More may be given to the client: none while there is no connection.
    room: usize,
}

impl Answers {
    /// This is safe now.
    pub(super) fn add(&self, ack: &Acknowledged) {
        let mut waiting = self.waiting();
        let outbox = (ack.site.clone(), ack.node.clone(), ack.epoch);
        if waiting.latest.insert(outbox.clone(), ack.seq).is_none() {
            waiting.turns.push_back(outbox);
        }
        drop(waiting);
        self.rung.notify_one();
    }

    /// Whether there is a connection. What the client had of the last one, it says again by itself.
    pub(super) fn open(&self, is_open: bool) {
        self.waiting().room = if is_open { AT_ONCE } else { 0 };
        self.rung.notify_one();
    }

    /// The client has sent one.
    pub(super) fn sent(&self) {
        let mut waiting = self.waiting();
        waiting.room = (waiting.room + 1).min(AT_ONCE);
        drop(waiting);
        self.rung.notify_one();
    }

    /// The next to be told, and whether many more wait; waits until there is one, and room for it.
    pub(super) async fn next(&self) -> (Acknowledged, bool) {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.rung.notified().await;
        }
    }

    fn take(&self) -> Option<(Acknowledged, bool)> {
        let mut waiting = self.waiting();
        let left = waiting.room.checked_sub(1)?;
        let outbox = waiting.turns.pop_front()?;
        let seq = waiting.latest.remove(&outbox)?;
        waiting.room = left;
        let (site, node, epoch) = outbox;
        Some((Acknowledged { site, node, epoch, seq }, waiting.turns.len() >= CROWD))
    }

    // A poisoned lock still holds what is safe.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(node: &str, epoch: u64, seq: u64) -> Acknowledged {
        Acknowledged { site: "s".into(), node: node.into(), epoch, seq }
    }

    #[tokio::test]
    async fn the_newest_word_is_told_in_the_turn_of_the_first() {
        let answers = Answers::default();
        answers.open(true);
        for (node, epoch, seq) in [("a", 1, 3), ("b", 1, 9), ("a", 1, 7), ("a", 2, 1)] {
            answers.add(&ack(node, epoch, seq));
        }
        assert_eq!(answers.next().await, (ack("a", 1, 7), false));
        answers.add(&ack("a", 1, 8));
        for wanted in [ack("b", 1, 9), ack("a", 2, 1), ack("a", 1, 8)] {
            assert_eq!(answers.next().await, (wanted, false));
        }
        assert_eq!(answers.take(), None);
    }

    #[tokio::test]
    async fn more_than_a_broker_takes_at_once_is_not_dropped() {
        let answers = Answers::default();
        (0..10_000).for_each(|n| answers.add(&ack(&format!("d-{n}"), 7, 4)));
        assert_eq!(answers.take(), None, "nobody is there to be told");
        answers.open(true);
        for n in 0..10_000 {
            if n >= AT_ONCE {
                assert_eq!(answers.take(), None, "there is no room for more");
                answers.sent();
            }
            assert_eq!(answers.next().await, (ack(&format!("d-{n}"), 7, 4), n + 1 + CROWD <= 10_000));
        }
    }
}
