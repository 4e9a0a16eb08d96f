//! What is sent when: pure, with the time given.
//!
//! Each notice waits for itself, so that one that a receiver chokes on does not hold up the others; but those of one
//! incident stay in their order. Between two tries it waits twice as long as before, at most five minutes, and somewhere
//! between half of that and the whole ("equal jitter": M. Brooker, "Exponential Backoff and Jitter", AWS Architecture
//! Blog, 2015), or as long as the receiver asks for. The jitter is made of the key: no dice, and the same after a restart.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::notice::{Event, Notice};
use crate::signal::fnv;

const FIRST_MS: u64 = 1000;
const LONGEST_MS: u64 = 5 * 60_000;
/// No receiver is waited for longer than this.
const LONGEST_ASKED_MS: u64 = 3_600_000;
/// What stands is told to Alertmanager again so often,
pub(super) const AGAIN_MS: u64 = 60_000;
/// and holds there so long: three may be lost on the way.
pub(super) const HOLDS_MS: u64 = 4 * AGAIN_MS;

/// How far a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is to be sent.
    Waiting,
    /// It was sent, and is sent again and again until the incident is over.
    Standing,
    /// It was sent.
    Sent,
    /// It was given up.
    Dead,
}

impl State {
    /// Whether something is still to be done.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Standing)
    }
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The receiver has it.
    Taken,
    /// The receiver will never take it: what it said.
    Refused(String),
    /// It may take it later: what happened, and for how long it asks us to wait.
    Later {
        /// What happened.
        what: String,
        /// `Retry-After`, in milliseconds.
        after_ms: Option<u64>,
    },
}

/// How long to wait after so many tries in vain (1 or more); `seed` stands for the notice.
#[must_use]
pub fn backoff_ms(tries: u32, seed: &str) -> u64 {
    let doubled = FIRST_MS.saturating_mul(1 << tries.saturating_sub(1).min(30)).min(LONGEST_MS);
    doubled / 2 + fnv(&format!("{seed}/{tries}")) % (doubled / 2 + 1)
}

impl Notice {
    /// What it is after a try. `is_repeated`: the outlet wants to hear of it again and again.
    #[must_use]
    pub fn answered(&self, answer: &Answer, most_tries: u32, is_repeated: bool, now: u64) -> Self {
        let mut after = self.clone();
        match answer {
            Answer::Taken => {
                let stands = is_repeated && !matches!(self.event, Event::Over | Event::Digest);
                after.state = if stands { State::Standing } else { State::Sent };
                after.said = String::new();
            }
            // What stands was told; when it is told again is soon enough.
            _ if self.state == State::Standing => {}
            Answer::Refused(what) => {
                after.tries += 1;
                (after.state, after.said) = (State::Dead, what.clone());
            }
            Answer::Later { what, after_ms } => {
                after.tries += 1;
                after.said.clone_from(what);
                let asked = after_ms.unwrap_or(0).min(LONGEST_ASKED_MS);
                after.next_ms = now + backoff_ms(after.tries, &self.idempotency_key()).max(asked);
                if after.tries >= most_tries {
                    after.state = State::Dead;
                }
            }
        }
        after
    }
}

/// What is to be done with the notices of one outlet.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Work<'a> {
    /// To be sent now, the oldest first.
    pub(super) due: Vec<&'a Notice>,
    /// When there is something to do next.
    pub(super) next_ms: Option<u64>,
}

/// What is to be done now. `repeated`: when what stands was sent last, as far as this process knows.
pub(super) fn work<'a>(notices: &'a [Notice], repeated: &BTreeMap<String, u64>, now: u64) -> Work<'a> {
    let mut all: Vec<&Notice> = notices.iter().filter(|n| n.state.is_open()).collect();
    all.sort_by_key(|n| (n.made_ms, n.revision, &n.incident));
    let mut work = Work::default();
    let mut waits: BTreeSet<&str> = BTreeSet::new();
    let (waiting, standing): (Vec<&Notice>, Vec<&Notice>) =
        all.iter().partition(|n| n.state == State::Waiting);
    let waiting = waiting.into_iter().filter(|n| waits.insert(&n.incident)).map(|n| (n.next_ms, n));
    let mut timed: Vec<(u64, &Notice)> = waiting.collect();
    // What is about to be told anew is not repeated.
    let standing = standing.into_iter().filter(|n| !waits.contains(n.incident.as_str()));
    timed.extend(standing.map(|n| (repeated.get(&n.key()).map_or(0, |at| at + AGAIN_MS), n)));
    for (at, notice) in timed {
        if at <= now {
            work.due.push(notice);
        } else {
            work.next_ms = Some(work.next_ms.map_or(at, |next| next.min(at)));
        }
    }
    work
}

/// What changes when `before` became `after`: itself, and what stood of its incident until then.
pub(super) fn settled(before: &Notice, after: Notice, notices: &[Notice]) -> Vec<Notice> {
    if after == *before {
        return Vec::new();
    }
    let ends =
        |n: &&Notice| n.state == State::Standing && n.incident == after.incident && n.key() != after.key();
    let stood: Vec<Notice> = if after.state == State::Waiting {
        Vec::new()
    } else {
        notices.iter().filter(ends).map(|n| Notice { state: State::Sent, ..n.clone() }).collect()
    };
    [vec![after], stood].concat()
}
