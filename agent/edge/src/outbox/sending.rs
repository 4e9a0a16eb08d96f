//! Sending and acknowledging: what goes next, and what the collector's word frees.

use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::{self, Item, loss};

use super::ranges::Range;
use super::record::{self, HEADER};
use super::segments::{name, wire_item};
use super::{Batch, CURSOR_MS, Lane, Outbox, Rec, Seg, URGENT, cursor};

/// So many records are sent in a moment; more of them are a backlog.
const BACKLOG: usize = 64;
/// Urgent events that go ahead of a backlog.
const URGENT_AHEAD: usize = 64;

impl Outbox {
    /// The collector has everything up to `seq` of `epoch`. True if that frees something.
    pub fn acked(&mut self, now: Millis, epoch: u64, seq: u64) -> bool {
        let Some(at) = self.lanes.iter().position(|l| l.epoch == epoch) else { return false };
        let Some(lane) = self.lanes.get_mut(at) else { return false };
        let (ready, beyond) = (lane.ready, seq >= lane.next);
        let mut seq = seq;
        if seq > ready {
            self.strange_acks += 1;
            if at + 1 == self.lanes.len() {
                if !beyond || self.lanes.len() >= cursor::LANES {
                    return false;
                }
                self.leave(at, now);
            }
            seq = self.lanes.get(at).map_or(0, |l| l.ready);
        }
        let Some(lane) = self.lanes.get_mut(at) else { return false };
        if seq <= lane.acked {
            lane.doubt(seq);
            return false;
        }
        lane.guessed = None;
        lane.acked = seq;
        lane.sent = lane.sent.max(seq);
        while let Some(rec) = lane.recs.front().copied().filter(|r| r.seq <= seq) {
            lane.recs.pop_front();
            if let Some(seg) = self.segs.get_mut(&rec.seg) {
                seg.live -= 1;
                seg.live_bytes -= rec.bytes();
            }
        }
        lane.covers.retain(|c| c.seq > seq);
        lane.holes.forget(seq);
        self.note_by(now + CURSOR_MS);
        self.sweep(now);
        true
    }

    /// Whether the collector has everything up to `seq` of `epoch`.
    #[must_use]
    pub fn has_acked(&self, epoch: u64, seq: u64) -> bool {
        self.lanes.iter().find(|l| l.epoch == epoch).is_none_or(|l| seq <= l.acked)
    }

    /// The collector knows numbers that were never given here: the folder is an old copy. What was pushed since
    /// it was opened may have numbers that are taken; it gets new ones, in a new epoch.
    fn leave(&mut self, at: usize, now: Millis) {
        let new = self.new_lane();
        self.lanes.push(new);
        let to = self.lanes.len() - 1;
        // The cursor names the new epoch before any of its records is there; else another time.
        if self.sick.is_none() && !self.save_cursor(now) {
            self.lanes.pop();
            return;
        }
        let Some(lane) = self.lanes.get_mut(at) else { return };
        let opened = lane.opened;
        log::warn!(
            "outbox: the collector knows more of this outbox than it does itself; beginning a new epoch"
        );
        let mut moving = Vec::new();
        while let Some(rec) = lane.recs.back().copied().filter(|r| r.seq >= opened) {
            lane.recs.pop_back();
            moving.push(rec);
        }
        lane.covers.retain(|c| c.seq < opened);
        lane.next = opened;
        lane.ready = lane.ready.min(opened - 1);
        lane.sent = lane.sent.min(lane.ready);
        lane.ahead = Ahead::from(lane.ready);
        let gone = lane.holes.cut(opened);
        lane.lost -= gone.min(lane.lost);
        if let Some(new) = self.lanes.get_mut(to).filter(|_| gone > 0) {
            new.next += gone;
            new.lose(1, gone, loss::FULL);
        }
        for rec in moving.into_iter().rev() {
            let payload = self.payload(rec, self.lanes.get(at).map_or(0, |l| l.epoch), &mut None);
            if let Some(seg) = self.segs.get_mut(&rec.seg) {
                seg.live -= 1;
                seg.live_bytes -= rec.bytes();
            }
            let Some(item) = payload.as_deref().and_then(wire_item).filter(|_| !rec.loss) else { continue };
            if self.make_room(now, rec.bytes() + 10, rec.severity) {
                let lane = self.lane();
                let seq = lane.next;
                lane.next += 1;
                let mut new = vec![0; rec.len as usize + 10];
                let len = wire::write_item(&Item { seq, ..item }, &mut new).unwrap_or(0);
                self.enter(to, seq, rec.severity, false, new.get(..len).unwrap_or_default());
            }
        }
        self.unsynced_since = Some(now);
    }

    /// The bytes of a record's payload, if they are what was written.
    pub(super) fn payload(
        &mut self,
        rec: Rec,
        epoch: u64,
        cache: &mut Option<(u64, Vec<u8>)>,
    ) -> Option<Vec<u8>> {
        let seg: &Seg = self.segs.get(&rec.seg)?;
        let bytes: &[u8] = match &seg.buf {
            Some(buf) => buf,
            None => {
                if cache.as_ref().is_none_or(|(ord, _)| *ord != rec.seg) {
                    let size = usize::try_from(seg.size).unwrap_or(0);
                    *cache = Some((rec.seg, self.store.read(&name(rec.seg), 0, size).ok()?));
                }
                &cache.as_ref()?.1
            }
        };
        let from = rec.off as usize;
        let head = record::header(bytes.get(from..)?)?;
        let payload = bytes.get(from + HEADER..from + HEADER + rec.len as usize)?;
        (head.seq == rec.seq && head.epoch == epoch && head.vouches(payload)).then(|| payload.to_vec())
    }

    /// Appends the next items that the link does not have yet, at most `max` bytes (one item in any case). Only what
    /// is durable (or openly in memory) is handed out, the oldest first; a loss comes where its gap is. If `ahead`,
    /// and behind a backlog only, what came since the last [`Outbox::rewind`] goes first, then what is urgent, the newest
    /// first: nobody who waits for news has to wait for history.
    pub fn batch(&mut self, max: usize, ahead: bool, to: &mut Vec<u8>) -> Option<Batch> {
        let backlog: usize = self.lanes.iter().map(Lane::backlog).sum();
        let first = if ahead && backlog > BACKLOG { self.fill(max, true, to) } else { None };
        first.or_else(|| self.fill(max, false, to))
    }

    /// A batch of one lane: of what goes ahead, the newest lane's; else the oldest lane's.
    fn fill(&mut self, max: usize, ahead: bool, to: &mut Vec<u8>) -> Option<Batch> {
        let mut cache = None;
        let lanes = self.lanes.len();
        for at in (0..lanes).map(|i| if ahead { lanes - 1 - i } else { i }) {
            let (mut items, mut last) = (0, 0);
            while let Some((epoch, rec, early)) = self.lanes.get_mut(at).and_then(|l| l.upcoming(ahead)) {
                if items > 0 && to.len() + rec.len as usize > max {
                    break;
                }
                let payload = self.payload(rec, epoch, &mut cache);
                let Some(lane) = self.lanes.get_mut(at) else { break };
                if let Some(payload) = payload {
                    to.extend_from_slice(&payload);
                    items += 1;
                    last = last.max(rec.seq);
                } else {
                    lane.recs.retain(|r| r.seq != rec.seq);
                    lane.drop_rec(&rec, loss::DAMAGED);
                    if let Some(seg) = self.segs.get_mut(&rec.seg) {
                        seg.live -= 1;
                        seg.live_bytes -= rec.bytes();
                    }
                }
                lane.hand_out(&rec, ahead, early);
            }
            if items > 0 {
                let lane = self.lanes.get_mut(at)?;
                if !ahead {
                    lane.pass_sent();
                    last = lane.sent;
                }
                return Some(Batch { epoch: lane.epoch, last, items, ahead });
            }
        }
        None
    }

    /// Everything unacknowledged is to be sent again.
    pub fn rewind(&mut self) {
        for lane in &mut self.lanes {
            lane.rewind(lane.acked);
        }
    }

    /// What lies up to `seq` of `epoch` is on its way and need not be sent again now.
    pub fn skip_to(&mut self, epoch: u64, seq: u64) {
        for lane in self.lanes.iter_mut().filter(|l| l.epoch == epoch) {
            lane.sent = lane.sent.max(seq.min(lane.ready));
        }
    }
}

/// What of a lane was sent ahead of its turn since the last rewind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ahead {
    /// Numbers above this came after the rewind: they are live.
    live: u64,
    /// Live numbers up to here are with the link.
    sent: u64,
    /// Urgent numbers from here up to `live` are with the link.
    urgent: u64,
    /// How many of those there are.
    count: usize,
}

impl Ahead {
    /// Nothing went ahead; what comes after `ready` is live.
    pub(super) fn from(ready: u64) -> Self {
        Self { live: ready, sent: ready, urgent: ready + 1, count: 0 }
    }

    fn has(&self, rec: &Rec) -> bool {
        if rec.seq > self.live {
            rec.seq <= self.sent
        } else {
            rec.seq >= self.urgent && rec.severity >= URGENT
        }
    }
}

impl Lane {
    fn rewind(&mut self, seq: u64) {
        self.sent = self.sent.min(seq);
        self.ahead = Ahead::from(self.ready);
        for c in &mut self.covers {
            c.sent = false;
        }
    }

    /// How many records wait their turn that were there before the last rewind.
    fn backlog(&self) -> usize {
        let index = |seq| self.recs.partition_point(|r| r.seq <= seq);
        index(self.ahead.live).saturating_sub(index(self.sent))
    }

    /// A record goes to the link.
    fn hand_out(&mut self, rec: &Rec, ahead: bool, early: bool) {
        if rec.loss
            && let Some(c) = self.covers.iter_mut().find(|c| c.seq == rec.seq)
        {
            c.sent = true;
        }
        match (ahead, early) {
            (true, _) if rec.seq > self.ahead.live => self.ahead.sent = rec.seq,
            (true, _) => {
                self.ahead.urgent = rec.seq;
                self.ahead.count += 1;
            }
            (false, false) => self.sent = rec.seq,
            (false, true) => {}
        }
    }

    /// Whether the link has it although its turn has not come.
    fn went_ahead(&self, rec: &Rec) -> bool {
        self.ahead.has(rec) || rec.loss && self.covers.iter().any(|c| c.seq == rec.seq && c.sent)
    }

    /// What went ahead of its turn belongs to the batch it would follow.
    fn pass_sent(&mut self) {
        let from = self.recs.partition_point(|r| r.seq <= self.sent);
        let passed = self.recs.range(from..).take_while(|r| r.seq <= self.ready && self.went_ahead(r)).last();
        self.sent = passed.map_or(self.sent, |r| r.seq);
    }

    /// The record to send next, and whether it is a loss that is ahead of its turn.
    fn upcoming(&mut self, ahead: bool) -> Option<(u64, Rec, bool)> {
        if ahead {
            return self.upcoming_ahead().map(|rec| (self.epoch, rec, false));
        }
        let from = self.recs.partition_point(|r| r.seq <= self.sent);
        let rec =
            self.recs.range(from..).take_while(|r| r.seq <= self.ready).find(|r| !self.went_ahead(r))?;
        let cover = self
            .covers
            .iter()
            .filter(|c| !c.sent && c.range.first < rec.seq && c.seq > rec.seq && c.seq <= self.ready)
            .min_by_key(|c| c.range.first);
        if let Some(cover) = cover
            && let Ok(i) = self.recs.binary_search_by_key(&cover.seq, |r| r.seq)
        {
            return Some((self.epoch, *self.recs.get(i)?, true));
        }
        Some((self.epoch, *rec, false))
    }

    /// Live ones in order, then urgent ones, the newest first. Only so many of these: each is a gap at the collector
    /// until the backlog has come.
    fn upcoming_ahead(&mut self) -> Option<Rec> {
        let next = self.recs.partition_point(|r| r.seq <= self.ahead.sent.max(self.ahead.live));
        if let Some(rec) = self.recs.get(next).filter(|r| r.seq <= self.ready) {
            return Some(*rec);
        }
        if self.ahead.count >= URGENT_AHEAD {
            return None;
        }
        let from = self.recs.partition_point(|r| r.seq <= self.sent);
        let to = self.recs.partition_point(|r| r.seq < self.ahead.urgent);
        let found = self.recs.range(from..to.max(from)).rev().find(|r| r.severity >= URGENT).copied();
        if found.is_none() {
            // Looked at once; there is nothing more to find until the next rewind.
            self.ahead.count = URGENT_AHEAD;
        }
        found
    }

    /// The collector has less than we hold for acknowledged. If that was a guess, what lies between is lost.
    fn doubt(&mut self, seq: u64) {
        let Some(times) = self.guessed.filter(|_| seq < self.acked) else { return };
        // Once may be an old message.
        self.guessed = Some(times + 1);
        if times >= 1 {
            let range = Range { first: seq + 1, count: self.acked - seq, reason: loss::DAMAGED };
            self.acked = seq;
            self.lose(range.first, range.count, range.reason);
            self.guessed = None;
        }
    }
}
