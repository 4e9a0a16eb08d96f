//! Room: first what is dead is given back, then the oldest of the lowest severity go.

use std::collections::{BTreeMap, BTreeSet};

use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::loss;

use super::segments::{TEMP, name};
use super::{FOR_LOSS, HEADER, Outbox};

impl Outbox {
    /// Whether a segment counts for the budget in force: all of them, or those in memory while the disk is sick.
    fn counts(&self, ord: u64) -> bool {
        self.sick.is_none()
            || self.segs.get(&ord).is_some_and(|s| !s.filed && (s.size == 0 || s.buf.is_some()))
    }

    fn used(&self) -> u64 {
        self.segs.iter().filter(|(o, _)| self.counts(**o)).map(|(_, s)| s.size).sum()
    }

    fn budget(&self) -> u64 {
        if self.sick.is_some() { self.options.memory_bytes } else { self.options.log_bytes() }
    }

    /// Bytes that are given back by writing segments anew.
    fn dead(&self) -> u64 {
        self.segs.iter().filter(|(o, _)| self.counts(**o)).map(|(_, s)| s.size - s.live_bytes).sum()
    }

    /// Whether `need` bytes fit without losing anything.
    pub(super) fn has_room(&self, need: u64) -> bool {
        self.used().saturating_sub(self.dead()) + need <= self.budget()
    }

    /// Makes room for `need` bytes of an event of this severity; false if it is the one that has to go.
    pub(super) fn make_room(&mut self, now: Millis, need: u64, severity: u8) -> bool {
        let size = self.segs.get(&self.active).map_or(0, |s| s.size);
        if size + need > self.options.segment_bytes && size > 0 && !self.rotate() {
            self.commit(now);
        }
        self.fit_beside(now, need, severity)
    }

    /// Brings the log down to its budget, whatever has to go.
    pub(super) fn fit(&mut self, now: Millis) -> bool {
        self.fit_beside(now, 0, u8::MAX)
    }

    fn fit_beside(&mut self, now: Millis, need: u64, severity: u8) -> bool {
        let mut rounds = 0;
        while self.used() + need > self.budget() {
            let before = self.used();
            if !self.has_room(need) && !self.choose(need, severity) {
                return false;
            }
            // The active segment is never written anew in place.
            if self.segs.get(&self.active).is_some_and(|s| s.size > s.live_bytes) && !self.rotate() {
                self.commit(now);
            }
            rounds += 1;
            if !self.compact(now) || self.used() >= before && rounds > 2 {
                return false;
            }
        }
        true
    }

    /// Drops the oldest of the lowest severity: enough for `need`, and a good piece more so that it is not done for
    /// every event. False if nothing is of lower or equal severity.
    fn choose(&mut self, need: u64, severity: u8) -> bool {
        let mut dead = self.dead();
        let over = (self.used() + need).saturating_sub(self.budget());
        let want = over.max(self.budget() / 8);
        let may_go = |loss: bool| !(loss && severity == FOR_LOSS);
        while dead < over {
            let lowest = self
                .lanes
                .iter()
                .flat_map(|l| l.recs.iter())
                .filter(|r| self.counts(r.seg) && may_go(r.loss))
                .map(|r| r.severity)
                .min();
            let Some(lowest) = lowest.filter(|l| *l <= severity) else { return false };
            let counted: BTreeSet<u64> = self.segs.keys().copied().filter(|o| self.counts(*o)).collect();
            for lane in &mut self.lanes {
                let mut gone = Vec::new();
                lane.recs.retain(|r| {
                    let goes =
                        r.severity == lowest && may_go(r.loss) && dead < want && counted.contains(&r.seg);
                    if goes {
                        dead += r.bytes();
                        gone.push(*r);
                    }
                    !goes
                });
                for rec in gone {
                    lane.drop_rec(&rec, loss::FULL);
                    if let Some(seg) = self.segs.get_mut(&rec.seg) {
                        seg.live -= 1;
                        seg.live_bytes -= rec.bytes();
                    }
                }
            }
        }
        true
    }

    /// Writes every segment with dead bytes anew, or removes it. The cursor goes first: it holds the reasons of what
    /// was lost, and how far was acknowledged.
    fn compact(&mut self, now: Millis) -> bool {
        let worn: BTreeSet<u64> = self
            .segs
            .iter()
            .filter(|(o, s)| **o != self.active && self.counts(**o) && s.size > s.live_bytes)
            .map(|(o, _)| *o)
            .collect();
        if self.sick.is_none() && !self.save_cursor(now) {
            return false;
        }
        // (lane, index) of what stays, by segment.
        let mut stays: BTreeMap<u64, Vec<(usize, usize)>> = worn.iter().map(|o| (*o, Vec::new())).collect();
        for (l, lane) in self.lanes.iter().enumerate() {
            for (i, rec) in lane.recs.iter().enumerate() {
                if let Some(list) = stays.get_mut(&rec.seg) {
                    list.push((l, i));
                }
            }
        }
        for (ord, list) in stays {
            if list.is_empty() {
                if !self.discard(ord) {
                    return false;
                }
            } else if !self.rewrite(ord, &list) {
                return false;
            }
        }
        self.sick.is_some() || self.store.sync_dir().is_ok()
    }

    fn rewrite(&mut self, ord: u64, stays: &[(usize, usize)]) -> bool {
        let Some(seg) = self.segs.get_mut(&ord) else { return true };
        let old = match &seg.buf {
            Some(buf) => buf.clone(),
            None => match self.store.read(&name(ord), 0, usize::try_from(seg.size).unwrap_or(0)) {
                Ok(bytes) => bytes,
                Err(_) => return false,
            },
        };
        let mut new = Vec::with_capacity(usize::try_from(seg.live_bytes).unwrap_or(0));
        let mut places = Vec::with_capacity(stays.len());
        for (l, i) in stays {
            let Some(rec) = self.lanes.get(*l).and_then(|l| l.recs.get(*i)) else { return false };
            let from = rec.off as usize;
            let Some(bytes) = old.get(from..from + HEADER + rec.len as usize) else { return false };
            places.push(u32::try_from(new.len()).unwrap_or(u32::MAX));
            new.extend_from_slice(bytes);
        }
        if seg.filed && self.store.swap(&name(ord), TEMP, &new).is_err() {
            return false;
        }
        seg.size = new.len() as u64;
        seg.live_bytes = seg.size;
        if seg.buf.is_some() {
            seg.buf = Some(new);
        }
        for ((l, i), off) in stays.iter().zip(places) {
            if let Some(rec) = self.lanes.get_mut(*l).and_then(|l| l.recs.get_mut(*i)) {
                rec.off = off;
            }
        }
        true
    }
}
