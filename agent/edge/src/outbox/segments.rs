//! Segments: filling, making durable, giving back; what is sent from them; and what happens when the disk fails.

use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::{self, Item, loss};

use super::cursor::{self, Noted};
use super::ranges::Range;
use super::record::{self, HEADER};
use super::{Batch, CURSOR_LOSS_MS, CURSOR_MS, Lane, Outbox, Rec, Seg, Sick, random};

/// First and longest wait before a failed disk is tried again.
const RETRY: (Millis, Millis) = (5_000, 60_000);

impl Sick {
    pub(super) fn begin(now: Millis) -> Self {
        Self { retry_at: now + RETRY.0, wait: RETRY.0 }
    }
}

/// Temporary name of a segment that is written anew.
pub(super) const TEMP: &str = "segment.tmp";

pub(super) fn name(seg: u64) -> String {
    format!("{seg:016x}.seg")
}

impl Outbox {
    /// Makes the active segment durable and offers it to the link.
    pub(super) fn commit(&mut self, now: Millis) {
        self.unsynced_since = None;
        self.urgent = false;
        if self.sick.is_none() && !self.flush() {
            self.fall_back(now);
        }
        let sick = self.sick.is_some();
        let current = self.lanes.len().saturating_sub(1);
        for (i, lane) in self.lanes.iter_mut().enumerate() {
            if !sick || i == current {
                lane.ready = lane.next - 1;
            }
        }
    }

    /// Writes what is not yet in the file. A file that failed is not trusted again: its content is written anew.
    fn flush(&mut self) -> bool {
        let file = name(self.active);
        let Some(seg) = self.segs.get_mut(&self.active) else { return true };
        let Some(buf) = &seg.buf else { return true };
        let fresh = buf.get(self.flushed..).unwrap_or_default();
        if fresh.is_empty() {
            return true;
        }
        let done = match self.store.append(&file, fresh) {
            Ok(()) => Ok(()),
            Err(e) => {
                log::warn!("outbox: {file}: {e}; writing it anew");
                self.store.replace(&file, TEMP, buf)
            }
        };
        match done {
            Ok(()) => {
                self.flushed = buf.len();
                seg.filed = true;
                true
            }
            Err(e) => {
                log::error!("outbox: the disk failed ({e}); events are kept in memory");
                false
            }
        }
    }

    /// Closes the active segment and begins another. False if the disk fails.
    pub(super) fn rotate(&mut self) -> bool {
        if self.sick.is_none() && !self.flush() {
            return false;
        }
        if let Some(seg) = self.segs.get_mut(&self.active)
            && seg.filed
        {
            seg.buf = None;
        }
        self.active += 1;
        self.flushed = 0;
        true
    }

    /// The disk failed: what was not durable moves to memory under a new epoch, because numbers given from here on
    /// leave no trace on disk and would be given again after a restart.
    pub(super) fn fall_back(&mut self, now: Millis) {
        self.sick = Some(Sick::begin(now));
        let (old, cut) = (self.active, self.flushed);
        let Some(seg) = self.segs.get_mut(&old) else { return };
        let buf = seg.buf.take().unwrap_or_default();
        seg.filed = false;
        self.active += 1;
        self.flushed = 0;
        let mut moved = Lane::new(random());
        let current = self.lanes.len().saturating_sub(1);
        let mut again: Vec<(u8, Vec<u8>)> = Vec::new();
        for (i, lane) in self.lanes.iter_mut().enumerate() {
            while let Some(rec) = lane.recs.back().copied().filter(|r| r.seg == old && r.off as usize >= cut)
            {
                lane.recs.pop_back();
                if let Some(seg) = self.segs.get_mut(&old) {
                    seg.live -= 1;
                    seg.live_bytes -= rec.bytes();
                }
                if rec.loss {
                    if let Some(c) = lane.covers.iter().position(|c| c.seq == rec.seq) {
                        lane.holes.add(lane.covers.swap_remove(c).range);
                    }
                } else if i == current {
                    let from = rec.off as usize + HEADER;
                    let payload = buf.get(from..from + rec.len as usize).unwrap_or_default();
                    again.push((rec.severity, payload.to_vec()));
                }
            }
            // None of these was offered to the link: nobody knows the numbers.
            let keep = lane.recs.back().map_or(lane.acked, |r| r.seq).max(lane.ready).max(lane.acked);
            if i == current {
                let gone: u64 = lane.holes.cut(keep + 1);
                lane.lost -= gone.min(lane.lost);
                if gone > 0 {
                    moved.next += gone;
                    moved.lose(1, gone, loss::FULL);
                }
            }
            lane.next = keep + 1;
        }
        if let Some(seg) = self.segs.get_mut(&old) {
            let mut buf = buf;
            buf.truncate(cut);
            seg.size = cut as u64;
            seg.buf = Some(buf);
        }
        self.lanes.push(moved);
        let at = self.lanes.len() - 1;
        for (severity, payload) in again.into_iter().rev() {
            let Some(item) = wire_item(&payload) else { continue };
            let lane = self.lane();
            let seq = lane.next;
            lane.next += 1;
            let mut new = vec![0; payload.len() + 10];
            let len = wire::write_item(&Item { seq, ..item }, &mut new).unwrap_or(0);
            self.enter(at, seq, severity, false, new.get(..len).unwrap_or_default());
        }
    }

    /// Tries to bring what is in memory to the disk.
    pub(super) fn restore(&mut self, now: Millis) {
        let Some(sick) = self.sick else { return };
        let done = self.try_restore(now);
        if done {
            log::info!("outbox: the disk is back");
            for lane in &mut self.lanes {
                lane.ready = lane.next - 1;
            }
            return;
        }
        let wait = (sick.wait * 2).min(RETRY.1);
        self.sick = Some(Sick { retry_at: now + wait, wait });
    }

    fn try_restore(&mut self, now: Millis) -> bool {
        // Files that were never read come first: the folder may have been away since the start.
        let found = if self.scanned { self.store.list().map(|_| ()) } else { self.scan().map(|_| ()) };
        if found.is_err() {
            return false;
        }
        for ord in std::mem::take(&mut self.orphans) {
            if self.store.size(&name(ord)) > 0 && self.store.remove(&name(ord)).is_err() {
                self.orphans.push(ord);
            }
        }
        self.sick = None;
        let waiting: Vec<u64> = self.segs.iter().filter(|(_, s)| !s.filed).map(|(ord, _)| *ord).collect();
        // The cursor names the new epoch before any of its records is there.
        if !self.fit(now) || self.sick.is_some() || !self.save_cursor(now) {
            self.sick = Some(Sick::begin(now));
            return false;
        }
        for ord in waiting {
            let Some(seg) = self.segs.get_mut(&ord) else { continue };
            let Some(buf) = seg.buf.as_ref() else { continue };
            if !buf.is_empty() && self.store.replace(&name(ord), TEMP, buf).is_err() {
                self.sick = Some(Sick::begin(now));
                return false;
            }
            seg.filed = true;
            if ord == self.active {
                self.flushed = buf.len();
            } else {
                seg.buf = None;
            }
        }
        true
    }

    /// Writes the cursor file.
    pub(super) fn save_cursor(&mut self, now: Millis) -> bool {
        let share = cursor::RANGES / self.lanes.len().clamp(1, cursor::LANES);
        let noted: Vec<Noted> = self
            .lanes
            .iter()
            .map(|l| Noted {
                epoch: l.epoch,
                acked: l.acked,
                next: l.next,
                lost: l.lost,
                holes: l.holes.coarse(share),
            })
            .collect();
        let done = self.store.replace(cursor::NAME, cursor::TEMP, &cursor::encode(&noted));
        match done {
            Ok(()) => self.cursor_due = None,
            Err(e) => {
                log::warn!("outbox: the cursor cannot be written: {e}");
                self.cursor_due = Some(now + CURSOR_LOSS_MS);
            }
        }
        self.cursor_due.is_none()
    }

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

    /// Removes segments without a live record; the cursor is durable before, so that no number comes back.
    pub(super) fn sweep(&mut self, now: Millis) {
        let last = self.lanes.len().saturating_sub(1);
        let mut i = 0;
        self.lanes.retain(|l| {
            i += 1;
            i > last || !l.recs.is_empty() || l.holes.len() > 0
        });
        let dead: Vec<u64> =
            self.segs.iter().filter(|(o, s)| **o != self.active && s.live == 0).map(|(o, _)| *o).collect();
        if dead.is_empty() || (self.sick.is_none() && !self.save_cursor(now)) {
            return;
        }
        for ord in dead {
            self.discard(ord);
        }
    }

    /// Gives a segment without live records back. False if its file cannot be removed now.
    pub(super) fn discard(&mut self, ord: u64) -> bool {
        let file = name(ord);
        if self.store.size(&file) > 0 {
            let filed = self.segs.get(&ord).is_some_and(|s| s.filed);
            if self.sick.is_none() {
                if self.store.remove(&file).is_err() {
                    return false;
                }
            } else if filed {
                return false;
            } else {
                self.orphans.push(ord);
            }
        }
        self.segs.remove(&ord);
        true
    }

    /// The collector knows numbers that were never given here: the folder is an old copy. What was pushed since
    /// it was opened may have numbers that are taken; it gets new ones, in a new epoch.
    fn leave(&mut self, at: usize, now: Millis) {
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
        let gone = lane.holes.cut(opened);
        lane.lost -= gone.min(lane.lost);
        let mut new = Lane::new(random());
        if gone > 0 {
            new.next += gone;
            new.lose(1, gone, loss::FULL);
        }
        self.lanes.push(new);
        let to = self.lanes.len() - 1;
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
        self.save_cursor(now);
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
    /// is durable (or openly in memory) is handed out, the oldest first; a loss comes where its gap is.
    pub fn batch(&mut self, max: usize, to: &mut Vec<u8>) -> Option<Batch> {
        let mut cache = None;
        for at in 0..self.lanes.len() {
            let mut items = 0;
            while let Some((epoch, rec, ahead)) = self.lanes.get(at).and_then(Lane::upcoming) {
                if items > 0 && to.len() + rec.len as usize > max {
                    break;
                }
                let payload = self.payload(rec, epoch, &mut cache);
                let Some(lane) = self.lanes.get_mut(at) else { break };
                if let Some(payload) = payload {
                    to.extend_from_slice(&payload);
                    items += 1;
                } else {
                    lane.recs.retain(|r| r.seq != rec.seq);
                    lane.drop_rec(&rec, loss::DAMAGED);
                    if let Some(seg) = self.segs.get_mut(&rec.seg) {
                        seg.live -= 1;
                        seg.live_bytes -= rec.bytes();
                    }
                }
                if rec.loss
                    && let Some(c) = lane.covers.iter_mut().find(|c| c.seq == rec.seq)
                {
                    c.sent = true;
                }
                if !ahead {
                    lane.sent = rec.seq;
                }
            }
            if items > 0 {
                let lane = self.lanes.get(at)?;
                return Some(Batch { epoch: lane.epoch, last: lane.sent, items });
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

/// The item a payload is.
pub(super) fn wire_item(payload: &[u8]) -> Option<Item<'_>> {
    postcard::from_bytes(payload).ok()
}

impl Lane {
    fn rewind(&mut self, seq: u64) {
        self.sent = self.sent.min(seq);
        for c in &mut self.covers {
            c.sent = false;
        }
    }

    /// The record to send next, and whether it is ahead of its turn.
    fn upcoming(&self) -> Option<(u64, Rec, bool)> {
        let from = self.recs.partition_point(|r| r.seq <= self.sent);
        for rec in self.recs.range(from..).take_while(|r| r.seq <= self.ready) {
            if rec.loss && self.covers.iter().any(|c| c.seq == rec.seq && c.sent) {
                continue;
            }
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
            return Some((self.epoch, *rec, false));
        }
        None
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
