//! Devices that say so much that others would have to wait. Pure: every entry takes `now`.
//!
//! A device that floods is put aside: what it sends is dropped unread and unacknowledged, so that it keeps its events and
//! sends them again when it is let out. A backlog is no flood. What tells them apart is the device's own clock: the events
//! of a backlog were far apart when they happened, those of a flood were not.

use std::collections::HashMap;

use super::decode::{Leaf, Message};

/// Milliseconds of a clock that never goes back.
type Millis = u64;

/// So many seconds of the rate at once are no flood yet.
const BURST_S: f64 = 30.0;
/// What happened slowly and comes at once counts this part: an outbox is finite, one that never ends is a flood too.
const BACKLOG: f64 = 0.05;
/// How long the first quarantine lasts; each that follows twice as long, …
const FIRST_MS: Millis = 60_000;
/// … up to this.
const LONGEST_MS: Millis = 600_000;
/// Who did not flood for so long after a quarantine begins anew with the first.
const FORGIVEN_MS: Millis = 3_600_000;
/// Presence passes so often even then, so that it is known who is there.
const STATUS_MS: Millis = 1000;

/// A device in quarantine, or one that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Site.
    pub site: String,
    /// Node.
    pub node: String,
    /// Since when.
    pub since: Millis,
    /// When it is let out.
    pub until: Millis,
    /// Which time it is, from 1, since it was last forgiven.
    pub times: u32,
    /// Messages dropped.
    pub dropped: u64,
}

/// How a device behaves.
#[derive(Debug)]
struct Conduct {
    /// Events beyond the rate that have not drained away yet.
    level: f64,
    /// When `level` was right.
    at: Millis,
    /// When the device began, by our clock and its own; never later than it was.
    boot: Millis,
    /// What happened before this, by the device's clock, was judged already: it may come as a backlog does.
    judged: Millis,
    case: Option<Case>,
    is_held: bool,
    status_at: Option<Millis>,
}

/// All devices that spoke lately.
#[derive(Debug)]
pub struct Quarantine {
    rate: f64,
    /// By `site/node`.
    devices: HashMap<String, Conduct>,
    held: usize,
}

impl Quarantine {
    /// `rate`: events a second that a device may produce.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self { rate: f64::from(rate.max(1)), devices: HashMap::new(), held: 0 }
    }

    /// Whether to take in a message that came from the device `place` (`site/node`). To be asked before it is read.
    pub fn lets_in(&mut self, now: Millis, place: &str, leaf: Leaf) -> bool {
        if self.held == 0 {
            return true;
        }
        let Some(conduct) = self.devices.get_mut(place).filter(|c| c.is_held) else { return true };
        if leaf == Leaf::Status && conduct.status_at.is_none_or(|at| now.saturating_sub(at) >= STATUS_MS) {
            conduct.status_at = Some(now);
            return true;
        }
        if let Some(case) = &mut conduct.case {
            case.dropped += 1;
        }
        false
    }

    /// Counts a message that was let in and read. Tells if it was one too many.
    pub fn count(&mut self, now: Millis, m: &Message) -> Option<Case> {
        let rate = self.rate;
        let place = format!("{}/{}", m.site, m.node);
        let conduct = self.devices.entry(place).or_insert_with(|| Conduct {
            level: 0.0,
            at: now,
            boot: now,
            judged: 0,
            case: None,
            is_held: false,
            status_at: None,
        });
        conduct.drain(now, rate);
        let last = m.items.iter().map(|e| e.mono_ms).max().unwrap_or(0);
        conduct.boot = conduct.boot.min(now.saturating_sub(last));
        conduct.level += if last < conduct.judged { events(m) * BACKLOG } else { cost(m, rate) };
        if conduct.is_held || conduct.level <= rate * BURST_S {
            return None;
        }
        let times = conduct.case.as_ref().map_or(0, |c| c.times) + 1;
        let span = (FIRST_MS << (times - 1).min(8)).min(LONGEST_MS);
        let case = Case {
            site: m.site.clone(),
            node: m.node.clone(),
            since: now,
            until: now + span,
            times,
            dropped: 0,
        };
        conduct.case = Some(case.clone());
        conduct.is_held = true;
        conduct.status_at = None;
        self.held += 1;
        Some(case)
    }

    /// Lets out whose time is over, and forgets who is quiet. To be called about once a second.
    pub fn turn(&mut self, now: Millis) -> Vec<Case> {
        let mut out = Vec::new();
        let rate = self.rate;
        self.devices.retain(|_, conduct| {
            conduct.drain(now, rate);
            if let Some(case) = conduct.case.as_ref().filter(|c| conduct.is_held && c.until <= now) {
                out.push(case.clone());
                conduct.is_held = false;
                conduct.level = 0.0;
                conduct.judged = now.saturating_sub(conduct.boot);
            }
            let is_forgiven = conduct.case.as_ref().is_none_or(|c| c.until + FORGIVEN_MS <= now);
            conduct.is_held || !is_forgiven || conduct.level > 0.0
        });
        self.held -= out.len();
        out.sort_by(|a, b| (&a.site, &a.node).cmp(&(&b.site, &b.node)));
        out
    }

    /// Who is in quarantine, by site and node.
    #[must_use]
    pub fn cases(&self) -> Vec<Case> {
        let mut cases: Vec<Case> =
            self.devices.values().filter(|c| c.is_held).filter_map(|c| c.case.clone()).collect();
        cases.sort_by(|a, b| (&a.site, &a.node).cmp(&(&b.site, &b.node)));
        cases
    }
}

impl Conduct {
    fn drain(&mut self, now: Millis, rate: f64) {
        let seconds = now.saturating_sub(self.at) as f64 / 1e3;
        self.level = (self.level - rate * seconds).max(0.0);
        self.at = self.at.max(now);
    }
}

fn events(m: &Message) -> f64 {
    m.items.len().max(1) as f64
}

/// What a message counts: its events, or little if the device's clock says that they happened slowly.
fn cost(m: &Message, rate: f64) -> f64 {
    let events = events(m);
    let times = || m.items.iter().map(|e| e.mono_ms);
    let span_s = times().max().zip(times().min()).map_or(0.0, |(last, first)| (last - first) as f64 / 1e3);
    if events > rate * span_s { events } else { events * BACKLOG }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::decode::{self, Arrival};
    use crate::sample;

    const RATE: u32 = 200;

    /// A message of `events`, `apart_ms` apart by the device's clock.
    fn message(node: &str, events: u64, apart_ms: u64) -> Message {
        let items: Vec<_> =
            (0..events).map(|n| sample::fact(n + 1, "n", "x").undated(1000 + n * apart_ms)).collect();
        let payload = sample::message(node, 7, &items);
        match decode::arrival("fm", &format!("fm/1/hall/{node}/event"), &payload, false, 0) {
            Arrival::Message(m) => m,
            Arrival::Refused(letter) => panic!("{letter:?}"),
        }
    }

    /// Sends a message every `every_ms` for `span_ms`; when it was put aside, if it was.
    fn held_after(events: u64, apart_ms: u64, every_ms: u64, span_ms: u64) -> Option<Millis> {
        let mut q = Quarantine::new(RATE);
        let m = message("press-1", events, apart_ms);
        (0..span_ms).step_by(usize::try_from(every_ms).unwrap()).find(|now| q.count(*now, &m).is_some())
    }

    #[test]
    fn a_flood_is_held_within_a_minute_and_nothing_else_is() {
        let check = |what: &str, got: Option<Millis>, wanted: bool| {
            assert_eq!(got.is_some_and(|at| at <= 60_000), wanted, "{what}: {got:?}");
        };
        check("half the rate for an hour", held_after(10, 0, 100, 3_600_000), false);
        check("a burst of half a minute's worth", held_after(100, 0, 10, 500), false);
        check("twice the rate", held_after(40, 0, 100, 120_000), true);
        check("a hundred times the rate", held_after(200, 1, 10, 120_000), true);
        check("one event a message, five times the rate", held_after(1, 0, 1, 120_000), true);
        check("a day of one a second, as fast as it can", held_after(80, 1000, 10, 10_800), false);
        check("a backlog that never ends", held_after(80, 1000, 5, 600_000), true);
    }

    #[test]
    fn who_is_held_is_let_out_and_held_longer_the_next_time() {
        let mut q = Quarantine::new(RATE);
        let (bad, good) = (message("press-1", 1000, 0), message("press-2", 1, 0));
        let floods = |q: &mut Quarantine, now| {
            let mut bad = bad.clone();
            // The device was started a second before the first message.
            bad.items.iter_mut().for_each(|e| e.mono_ms = 1000 + now);
            (0..7).find_map(|_| q.count(now, &bad)).expect("held")
        };
        assert_eq!(q.count(0, &good), None);
        let case = floods(&mut q, 0);
        assert_eq!((case.until, case.times, case.node.as_str()), (FIRST_MS, 1, "press-1"));
        assert!(!q.lets_in(1, "hall/press-1", Leaf::Event) && !q.lets_in(1, "hall/press-1", Leaf::Birth));
        assert!(q.lets_in(1, "hall/press-2", Leaf::Event) && q.lets_in(1, "yard/press-1", Leaf::Event));
        // Its presence is known all the same, but is no way to flood.
        assert!(q.lets_in(1, "hall/press-1", Leaf::Status));
        assert!(!q.lets_in(2, "hall/press-1", Leaf::Status));
        assert!(q.lets_in(1001, "hall/press-1", Leaf::Status));
        assert_eq!(q.cases()[0].dropped, 3);
        assert_eq!(q.turn(FIRST_MS - 1), []);
        assert_eq!(q.turn(FIRST_MS)[0].dropped, 3);
        assert!(q.cases().is_empty() && q.lets_in(FIRST_MS, "hall/press-1", Leaf::Event));
        // What it could not tell meanwhile is no flood again; what happens from now on may be.
        assert!((0..40).all(|_| q.count(FIRST_MS, &bad).is_none()));
        let mut now = FIRST_MS + 60_000;
        q.turn(now);
        for (times, span) in [(2, 120_000), (3, 240_000), (4, 480_000), (5, LONGEST_MS), (6, LONGEST_MS)] {
            let case = floods(&mut q, now);
            assert_eq!((case.times, case.until - now), (times, span));
            now = case.until;
            assert_eq!(q.turn(now).len(), 1);
        }
        q.turn(now + FORGIVEN_MS);
        assert!(q.devices.is_empty(), "{:?}", q.devices);
        assert_eq!(floods(&mut q, now + FORGIVEN_MS).times, 1);
    }

    #[test]
    fn names_without_end_take_memory_for_a_moment() {
        let mut q = Quarantine::new(RATE);
        for n in 0..5000 {
            q.count(n, &message(&format!("n-{n}"), 1, 0));
        }
        q.turn(10_000);
        assert!(q.devices.is_empty());
    }
}
