//! What to send next. No clock and no socket: it is told the time and the news, and answers with commands.
//!
//! Events go out in order, a window of messages at a time; while there is a backlog every other message is of what is
//! new or urgent. A message has three lives: given to the link, stored by the
//! broker (which may lose it), acknowledged by the collector. Only the last one frees anything. If the broker is silent the
//! client is rebuilt; if the collector is silent the oldest message is sent again, slowly.

use std::collections::VecDeque;

use bytes::Bytes;
use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::{self, Head};

use super::collectors::Collectors;
use super::stall::Stall;
use super::{Command, Leaf, News};
use crate::clock::Stamp;
use crate::outbox::Outbox;

/// Whose word frees an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The collector's, after its commit.
    Collector,
    /// The broker's, for those who have no collector: what it loses is lost.
    Broker,
}

/// How delivery behaves.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Messages the broker has not confirmed, at most.
    pub window: usize,
    /// Messages the collector has not acknowledged, at most.
    pub ahead: usize,
    /// Bytes of items in a message.
    pub batch_bytes: usize,
    /// The broker may be silent for so long.
    pub watchdog_ms: Millis,
    /// The collector may be silent for so long before the oldest message is sent again; doubled each time, …
    pub resend_ms: Millis,
    /// … up to this.
    pub resend_max_ms: Millis,
    /// Whose word counts.
    pub trust: Trust,
}

impl Options {
    /// What goes with a keep alive.
    #[must_use]
    pub fn new(keep_alive_ms: Millis) -> Self {
        Self {
            window: 8,
            ahead: 32,
            batch_bytes: 16 * 1024,
            watchdog_ms: 3 * keep_alive_ms.min(60_000),
            resend_ms: 60_000,
            resend_max_ms: 600_000,
            trust: Trust::Collector,
        }
    }
}

/// A message on its way.
#[derive(Debug, Clone, Copy)]
struct Flight {
    token: u64,
    epoch: u64,
    last: u64,
    since: Millis,
    stored: bool,
    /// Sent ahead of its turn: what lies before it decides when it is acknowledged.
    ahead: bool,
}

/// The state machine between outbox and link.
#[derive(Debug)]
pub struct Delivery {
    node: String,
    options: Options,
    up: bool,
    max_payload: usize,
    flights: VecDeque<Flight>,
    /// The window in force: it begins at one with each connection and grows with each confirmation, so that a
    /// connection that always breaks soon still brings something home.
    open: usize,
    tokens: u64,
    /// The latest message went ahead of a backlog: the next one is the backlog's.
    went_ahead: bool,
    /// The collector has been silent: one message at a time.
    probing: bool,
    wait: Millis,
    resend_at: Option<Millis>,
    /// The broker refused: nothing before this.
    hold_until: Millis,
    collectors: Collectors,
    next: Option<Command>,
    refused: u64,
    /// An event was too large for this connection.
    too_large: bool,
    stall: Stall,
}

impl Delivery {
    /// For the events of `node`.
    #[must_use]
    pub fn new(node: &str, options: Options) -> Self {
        Self {
            node: node.to_owned(),
            options,
            up: false,
            max_payload: wire::MAX_PAYLOAD,
            flights: VecDeque::new(),
            open: 1,
            tokens: 0,
            went_ahead: false,
            probing: false,
            wait: options.resend_ms,
            resend_at: None,
            hold_until: 0,
            collectors: Collectors::default(),
            next: None,
            refused: 0,
            too_large: false,
            stall: Stall::new(options.watchdog_ms, options.resend_max_ms),
        }
    }

    /// Takes in what the link said.
    pub fn on_news(&mut self, now: Millis, news: &News, outbox: &mut Outbox) {
        match news {
            News::Connected { session_present, max_payload } => {
                self.up = true;
                self.open = 1;
                self.stall.begin();
                self.too_large = false;
                if *max_payload > self.max_payload {
                    // What was too large may fit now.
                    self.hold_until = 0;
                }
                self.max_payload = *max_payload;
                // With its session the broker still has what it stored; without, it may have forgotten that too.
                let kept =
                    if *session_present { self.flights.iter().take_while(|f| f.stored).count() } else { 0 };
                self.again(outbox, kept);
                self.wait = self.options.resend_ms;
                self.resend_at = (!self.flights.is_empty()).then_some(now + self.wait);
            }
            News::Disconnected { .. } | News::Stopped => {
                self.up = false;
                self.next = None;
            }
            News::Stored { token } => self.stored(now, *token, outbox),
            News::Refused { token, .. } => {
                if let Some(at) = self.flights.iter().position(|f| f.token == *token) {
                    self.refused += 1;
                    self.again(outbox, at);
                    self.slow_down();
                    self.hold_until = now + self.wait;
                }
            }
            News::Acked { ack, from } => {
                let ack = self.collectors.acked(now, from.as_deref(), *ack);
                if outbox.acked(now, ack.epoch, ack.seq) {
                    self.progress(now, outbox);
                }
            }
            News::Collector { name, online, fresh } => {
                let was = self.collectors.online();
                self.collectors.presence(now, name, *online);
                if *online && (*fresh || was == Some(false) || self.probing) {
                    self.again(outbox, 0);
                    self.settle();
                }
            }
            News::Sent { .. } | News::Asked { .. } | News::Warning(_) => {}
        }
    }

    fn stored(&mut self, now: Millis, token: u64, outbox: &mut Outbox) {
        if let Some(f) = self.flights.iter_mut().find(|f| f.token == token) {
            f.stored = true;
            self.open = (self.open + 1).min(self.options.window);
        }
        self.flights.retain(|f| !(f.ahead && f.stored));
        if self.options.trust == Trust::Broker {
            while let Some(f) = self.flights.front().copied().filter(|f| f.stored) {
                self.flights.pop_front();
                outbox.acked(now, f.epoch, f.last);
                self.settle();
            }
        }
    }

    /// The collector has more than before.
    fn progress(&mut self, now: Millis, outbox: &mut Outbox) {
        self.stall.moved();
        let before = self.flights.len();
        self.flights.retain(|f| !outbox.has_acked(f.epoch, f.last));
        if self.probing {
            // What was sent before the silence may be lost on the way.
            self.again(outbox, 0);
        }
        self.settle();
        if before > 0 {
            self.resend_at = Some(now + self.wait);
        }
    }

    fn settle(&mut self) {
        self.probing = false;
        self.wait = self.options.resend_ms;
        self.hold_until = 0;
    }

    fn slow_down(&mut self) {
        self.wait = (self.wait * 2).min(self.options.resend_max_ms);
    }

    /// Keeps the first `kept` messages in flight; everything behind them is to be sent again.
    fn again(&mut self, outbox: &mut Outbox, kept: usize) {
        self.flights.truncate(kept);
        if kept == 0 {
            self.resend_at = None;
        }
        outbox.rewind();
        for f in &self.flights {
            outbox.skip_to(f.epoch, f.last);
        }
    }

    /// Whether a collector of this name is there, as far as is known.
    #[must_use]
    pub fn knows(&self, collector: &str) -> bool {
        self.collectors.is_online(collector)
    }

    /// The largest payload of this connection.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.max_payload
    }

    /// What the link should do now. To be asked until it answers none.
    pub fn poll(&mut self, stamp: Stamp, outbox: &mut Outbox) -> Option<Command> {
        let now = stamp.mono_ms;
        if let Some(command) = self.next.take() {
            return Some(command);
        }
        if !self.up {
            return None;
        }
        if self.silent_broker().is_some_and(|at| at <= now) {
            self.up = false;
            return Some(Command::Rebuild { why: "the broker confirms nothing" });
        }
        if self.stall.is_over(now, self.collectors.online() == Some(true) && outbox.waiting() > 0) {
            self.up = false;
            return Some(Command::Rebuild { why: "nothing is acknowledged although a collector is online" });
        }
        if outbox.has_undeclared() {
            outbox.declare(stamp);
        }
        if outbox.waiting() == 0 {
            self.flights.clear();
            self.resend_at = None;
            return None;
        }
        if self.silent_collector().is_some_and(|at| at <= now) {
            self.slow_down();
            self.probing = true;
            self.again(outbox, 0);
            self.resend_at = Some(now + self.wait);
            return Some(Command::Subscribe);
        }
        let unstored = self.flights.iter().filter(|f| !f.stored).count();
        let ahead = if self.probing { 1 } else { self.options.ahead };
        if now >= self.hold_until {
            self.hold_until = 0;
        }
        if self.hold_until > 0 || unstored >= self.open || self.flights.len() >= ahead {
            return None;
        }
        self.send(now, outbox)
    }

    fn send(&mut self, now: Millis, outbox: &mut Outbox) -> Option<Command> {
        let head = self.node.len() + 16;
        let mut items = Vec::new();
        let room = self.max_payload.min(wire::MAX_PAYLOAD).saturating_sub(head);
        let ahead = self.options.trust == Trust::Collector && !self.probing && !self.went_ahead;
        let batch = outbox.batch(self.options.batch_bytes.min(room), ahead, &mut items)?;
        self.went_ahead = batch.ahead;
        if items.len() > room {
            // One event alone is more than this broker takes.
            if self.too_large {
                // Nothing goes over this connection; another one, or another broker, may take more.
                self.up = false;
                return Some(Command::Rebuild { why: "the broker takes no message as large as ours" });
            }
            self.too_large = true;
            self.refused += 1;
            self.again(outbox, self.flights.len());
            self.wait = self.options.resend_max_ms;
            self.hold_until = now + self.wait;
            return None;
        }
        let mut payload = vec![0; head];
        let at = wire::write_head(&Head { node: &self.node, epoch: batch.epoch }, &mut payload)?;
        payload.truncate(at);
        payload.append(&mut items);
        self.tokens += 1;
        let token = self.tokens;
        self.flights.push_back(Flight {
            token,
            epoch: batch.epoch,
            last: batch.last,
            since: now,
            stored: false,
            ahead: batch.ahead,
        });
        self.resend_at.get_or_insert(now + self.wait);
        Some(Command::Publish {
            leaf: Leaf::Event,
            payload: Bytes::from(payload),
            retain: false,
            confirm: true,
            token,
        })
    }

    /// The link had no room for a command of [`Delivery::poll`].
    pub fn not_taken(&mut self, command: Command, outbox: &mut Outbox) {
        match command {
            Command::Publish { token, .. } => {
                if let Some(at) = self.flights.iter().position(|f| f.token == token) {
                    self.again(outbox, at);
                }
            }
            other => self.next = Some(other),
        }
    }

    fn silent_broker(&self) -> Option<Millis> {
        self.flights.iter().find(|f| !f.stored).map(|f| f.since + self.options.watchdog_ms)
    }

    /// While the broker itself owes a confirmation, the collector cannot be blamed.
    fn silent_collector(&self) -> Option<Millis> {
        self.resend_at.filter(|_| self.flights.iter().all(|f| f.stored))
    }

    /// When [`Delivery::poll`] has something to do even without news.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        if !self.up {
            return None;
        }
        let hold = Some(self.hold_until).filter(|t| *t > 0);
        [self.silent_broker(), self.silent_collector(), hold, self.stall.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether a connection stands.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Whether a collector is there, as far as is known.
    #[must_use]
    pub fn collector(&self) -> Option<bool> {
        self.collectors.online()
    }

    /// When the link was first rebuilt since the last acknowledgement although everything was there, and how often.
    #[must_use]
    pub fn stalled(&self) -> Option<(Millis, u32)> {
        self.stall.over()
    }

    /// Messages the broker refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use fieldmouse_core::wire::{Ack, Kind};

    use super::*;
    use crate::disk::Folder;
    use crate::outbox;

    fn at(mono_ms: Millis) -> Stamp {
        Stamp { mono_ms, wall_ms: None, clock: 0 }
    }

    struct Rig {
        d: Delivery,
        o: Outbox,
        _dir: tempfile::TempDir,
    }

    impl Rig {
        /// With `n` durable events, and connected.
        fn new(n: u64) -> Self {
            Self::of(&vec![17; usize::try_from(n).unwrap()])
        }

        /// With an event of each severity.
        fn of(severities: &[u8]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let disk = Box::new(Folder::new(dir.path()));
            let (o, _) = Outbox::open(disk, outbox::Options::new(1 << 20), outbox::entropy(), at(0));
            let d = Delivery::new("n-1", Options { batch_bytes: 30, ..Options::new(300_000) });
            let mut rig = Self { d, o, _dir: dir };
            severities.iter().for_each(|s| rig.push(*s));
            rig.up(0, false);
            rig
        }

        fn push(&mut self, severity: u8) {
            self.o.push(at(0), Kind::Fact, 1, severity, &[7; 20]);
            self.o.sync_now(0);
        }

        fn up(&mut self, now: Millis, session_present: bool) {
            self.tell(now, News::Connected { session_present, max_payload: 65_536 });
        }

        fn tell(&mut self, now: Millis, news: News) {
            self.d.on_news(now, &news, &mut self.o);
        }

        /// The next message it wants to send, stored by the broker at once: the numbers in it.
        fn sends_one(&mut self, now: Millis) -> Option<Vec<u64>> {
            loop {
                if let Command::Publish { payload, token, .. } = self.d.poll(at(now), &mut self.o)? {
                    self.tell(now, News::Stored { token });
                    return Some(wire::read(&payload).unwrap().1.map(|i| i.unwrap().seq).collect());
                }
            }
        }

        /// Every message it wants to send.
        fn sends(&mut self, now: Millis) -> Vec<u64> {
            std::iter::from_fn(|| self.sends_one(now)).flatten().collect()
        }

        fn acked(&mut self, now: Millis, seq: u64) {
            let epoch = self.o.epoch();
            self.tell(now, News::Acked { ack: Ack { epoch, seq }, from: None });
        }
    }

    #[test]
    fn a_silent_collector_is_asked_slowly_and_everything_follows_when_it_speaks() {
        let mut r = Rig::new(5);
        assert_eq!(r.sends(0), [1, 2, 3, 4, 5]);
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..6 {
            let due = r.d.deadline().unwrap();
            assert!(r.sends(due - 1).is_empty());
            assert_eq!(r.sends(due), [1], "one message, not all");
            waits.push((due - now) / 1000);
            now = due;
        }
        assert_eq!(waits, [60, 120, 240, 480, 600, 600]);
        r.acked(now, 1);
        assert_eq!(r.sends(now), [2, 3, 4, 5], "the rest may have been lost on the way");
        r.acked(now, 5);
        assert_eq!((r.sends(now + 10_000_000), r.d.deadline()), (vec![], None));
    }

    #[test]
    fn a_collector_that_comes_gets_everything_at_once() {
        let mut r = Rig::new(3);
        assert_eq!(r.sends(0), [1, 2, 3]);
        r.tell(10, News::Collector { name: "c-1".to_owned(), online: true, fresh: false });
        assert!(r.sends(10).is_empty(), "it was there all the time");
        r.tell(20, News::Collector { name: "c-1".to_owned(), online: true, fresh: true });
        assert_eq!(r.sends(20), [1, 2, 3]);
    }

    #[test]
    fn what_the_broker_kept_with_the_session_is_not_sent_again() {
        let mut r = Rig::new(3);
        assert_eq!(r.sends(0), [1, 2, 3]);
        r.tell(5, News::Disconnected { why: String::new(), retry_in_ms: 1, refused: false });
        assert!(r.d.poll(at(6), &mut r.o).is_none());
        r.up(10, true);
        assert!(r.sends(10).is_empty());
        r.up(20, false);
        assert_eq!(r.sends(20), [1, 2, 3]);
    }

    #[test]
    fn the_window_opens_with_confirmations_and_a_silent_broker_is_left() {
        let mut r = Rig::new(20);
        let mut tokens = Vec::new();
        let mut burst = |r: &mut Rig| {
            let mut n = 0;
            while let Some(Command::Publish { token, .. }) = r.d.poll(at(0), &mut r.o) {
                tokens.push(token);
                n += 1;
            }
            (n, tokens.last().copied())
        };
        assert_eq!(burst(&mut r).0, 1);
        r.tell(0, News::Stored { token: 1 });
        assert_eq!(burst(&mut r).0, 2);
        assert_eq!(r.d.deadline(), Some(180_000));
        assert!(r.d.poll(at(179_999), &mut r.o).is_none());
        assert!(matches!(r.d.poll(at(180_000), &mut r.o), Some(Command::Rebuild { .. })));
        assert!(r.d.poll(at(180_001), &mut r.o).is_none());
    }

    #[test]
    fn what_is_new_and_what_is_urgent_goes_ahead_of_a_backlog() {
        let mut severities = vec![9; 200];
        (severities[49], severities[149]) = (17, 21);
        let mut r = Rig::of(&severities);
        r.push(9);
        let first: Vec<u64> = (0..6).flat_map(|_| r.sends_one(0).unwrap()).collect();
        assert_eq!(first, [201, 1, 150, 2, 50, 3]);
        let mut rest = Vec::new();
        while rest.len() < 195 {
            let sent = r.sends(0);
            assert!(!sent.is_empty(), "stands still after {rest:?}");
            rest.extend(sent);
            let last = *rest.last().unwrap();
            // What went ahead is not waited for.
            r.acked(0, if last == 200 { 201 } else { last });
        }
        let expected: Vec<u64> = (4..=200).filter(|n| *n != 50 && *n != 150).collect();
        assert_eq!((rest, r.o.waiting()), (expected, 0));
    }

    #[test]
    fn a_command_the_link_had_no_room_for_is_made_again() {
        let mut r = Rig::new(2);
        let command = r.d.poll(at(0), &mut r.o).unwrap();
        r.d.not_taken(command, &mut r.o);
        assert_eq!(r.sends(1), [1, 2]);
    }

    #[test]
    fn without_acknowledgements_though_a_collector_is_there_the_link_is_rebuilt_ever_more_rarely() {
        let mut r = Rig::new(3);
        r.tell(0, News::Collector { name: "c-1".to_owned(), online: true, fresh: false });
        let (mut now, mut rebuilt) = (0, Vec::new());
        while now < 3_600_000 {
            while let Some(command) = r.d.poll(at(now), &mut r.o) {
                match command {
                    Command::Publish { token, .. } => r.tell(now, News::Stored { token }),
                    Command::Rebuild { .. } => {
                        rebuilt.push(now / 1000);
                        r.tell(
                            now,
                            News::Disconnected { why: String::new(), retry_in_ms: 1, refused: false },
                        );
                        r.up(now, false);
                    }
                    _ => {}
                }
            }
            now = r.d.deadline().unwrap().max(now + 1);
        }
        assert_eq!(rebuilt, [180, 540, 1140, 1740, 2340, 2940, 3540]);
        assert_eq!(r.d.stalled().map(|(_, times)| times), Some(7));
        r.acked(now, 3);
        assert_eq!(r.d.stalled(), None);
        // One that is away is waited for.
        let mut r = Rig::new(3);
        r.tell(0, News::Collector { name: "c-1".to_owned(), online: false, fresh: true });
        for now in (0..3_600_000).step_by(1000) {
            r.sends(now);
        }
        assert_eq!(r.d.stalled(), None);
    }

    #[test]
    fn an_event_larger_than_the_broker_takes_is_held_not_hammered() {
        let mut r = Rig::new(1);
        r.tell(0, News::Connected { session_present: false, max_payload: 40 });
        assert!(r.sends(0).is_empty());
        assert_eq!((r.d.refused(), r.d.deadline()), (1, Some(600_000)));
        // It may have been changed meanwhile, which only another connection tells.
        assert!(matches!(r.d.poll(at(600_000), &mut r.o), Some(Command::Rebuild { .. })));
        // A broker that takes larger ones gets it at once.
        r.up(600_001, false);
        assert_eq!(r.sends(600_001), [1]);
        r.up(1, false);
        r.tell(1, News::Collector { name: "c-1".to_owned(), online: true, fresh: true });
        assert_eq!(r.sends(1), [1]);
    }
}
