//! Segments: filling, making durable, giving back; what is sent from them; and what happens when the disk fails.

use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::{self, Item, loss};

use super::cursor::{self, Noted};
use super::record::HEADER;
use super::{CURSOR_LOSS_MS, Outbox, Sick};

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
        let at = self.flushed as u64;
        if self.store.size(&file) == 0 {
            match self.store.prepare(&file, TEMP, self.options.segment_bytes) {
                Ok(()) => self.free = self.options.segment_bytes,
                Err(e) => log::debug!("outbox: {file} cannot be made full-size: {e}"),
            }
        }
        let done = if self.store.size(&file) == at + self.free {
            self.store.write(&file, at, fresh).or_else(|e| {
                log::warn!("outbox: {file}: {e}; writing it anew");
                self.store.replace(&file, TEMP, buf)
            })
        } else {
            // An earlier attempt left more than was called durable.
            self.store.replace(&file, TEMP, buf)
        };
        match done {
            Ok(()) => {
                self.flushed = buf.len();
                self.free = self.store.size(&file).saturating_sub(buf.len() as u64);
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
            if self.sick.is_none() {
                let size = seg.size;
                self.give_back(self.active, size);
            }
        }
        self.active += 1;
        (self.flushed, self.free) = (0, 0);
        true
    }

    /// Takes from a segment's file what lies behind `size`. If the disk will not, it is tried again at the next start.
    pub(super) fn give_back(&mut self, ord: u64, size: u64) {
        if let Err(e) = self.store.cut(&name(ord), size) {
            log::warn!("outbox: {}: {e}", name(ord));
        }
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
        (self.flushed, self.free) = (0, 0);
        // A kernel may hold for clean what it could not write: nobody must read it there.
        self.give_back(old, cut as u64);
        let mut moved = self.new_lane();
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
        if self.is_readable() && self.write_back(now) {
            log::info!("outbox: the disk is back");
            for lane in &mut self.lanes {
                lane.ready = lane.next - 1;
            }
            return;
        }
        let wait = (sick.wait * 2).min(RETRY.1);
        self.sick = Some(Sick { retry_at: now + wait, wait });
        self.renew();
    }

    fn is_readable(&mut self) -> bool {
        // Files that were never read come first: the folder may have been away since the start.
        let found = if self.scanned { self.store.list().map(|_| ()) } else { self.scan().map(|_| ()) };
        // The cursor has room for so many epochs; acknowledgements make room for more.
        found.is_ok() && self.lanes.len() <= cursor::LANES
    }

    fn write_back(&mut self, now: Millis) -> bool {
        self.sick = None;
        let waiting: Vec<u64> = self.segs.iter().filter(|(_, s)| !s.filed).map(|(ord, _)| *ord).collect();
        // The cursor names the new epoch before any of its records is there, and what was acknowledged before the
        // records that show it are gone.
        if !self.save_cursor(now) {
            return false;
        }
        for ord in std::mem::take(&mut self.orphans) {
            if self.store.size(&name(ord)) > 0 && self.store.remove(&name(ord)).is_err() {
                self.orphans.push(ord);
            }
        }
        // Numbers in a file that came back could by then be given to others.
        if self.store.sync_dir().is_err() || !self.fit(now) || self.sick.is_some() {
            return false;
        }
        for ord in waiting {
            let Some(buf) = self.segs.get(&ord).and_then(|s| s.buf.as_ref()) else { continue };
            let file = name(ord);
            let done = if !buf.is_empty() {
                self.store.replace(&file, TEMP, buf)
            } else if self.store.size(&file) > 0 {
                // What did not become durable was given other numbers.
                self.store.remove(&file).and_then(|()| self.store.sync_dir())
            } else {
                Ok(())
            };
            if done.is_err() {
                return false;
            }
            let Some(seg) = self.segs.get_mut(&ord) else { continue };
            seg.filed = true;
            if ord == self.active {
                (self.flushed, self.free) = (seg.buf.as_ref().map_or(0, Vec::len), 0);
            } else {
                seg.buf = None;
            }
        }
        true
    }

    /// If the cursor on disk names the current epoch, numbers given in memory must be of another: after a restart they
    /// would be given again.
    fn renew(&mut self) {
        let Some(lane) = self.lanes.last() else { return };
        let (epoch, is_empty) = (lane.epoch, lane.next == 1);
        let size = usize::try_from(cursor::LARGEST).unwrap_or(4096) * 2;
        let is_named = match self.store.read(cursor::NAME, 0, size) {
            Ok(bytes) => cursor::decode(&bytes).is_some_and(|l| l.iter().any(|n| n.epoch == epoch)),
            Err(e) => e.kind() != std::io::ErrorKind::NotFound,
        };
        if is_named {
            if is_empty {
                self.lanes.pop();
            }
            let lane = self.new_lane();
            self.lanes.push(lane);
        }
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
                holes: l.unwritten().coarse(share),
            })
            .collect();
        let done = self.store.replace(cursor::NAME, cursor::TEMP, &cursor::encode(&noted));
        match done {
            Ok(()) => {
                (self.cursor_due, self.unnoted) = (None, false);
                if self.unsynced_since.is_none() && self.sick.is_none() {
                    // Numbers without a record are on disk now, too.
                    self.lanes.iter_mut().for_each(|l| l.ready = l.next - 1);
                }
            }
            Err(e) => {
                log::warn!("outbox: the cursor cannot be written: {e}");
                self.cursor_due = Some(now + CURSOR_LOSS_MS);
            }
        }
        self.cursor_due.is_none()
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
}

/// The item a payload is.
pub(super) fn wire_item(payload: &[u8]) -> Option<Item<'_>> {
    postcard::from_bytes(payload).ok()
}
