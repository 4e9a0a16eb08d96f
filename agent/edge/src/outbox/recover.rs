//! Opening: everything is learned from a scan of the segments. Damage is set aside, counted and declared; it never
//! stops the start.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use fieldmouse_core::wire::{self, Kind, Loss, loss};

use super::cursor::{self, Noted};
use super::ranges::Range;
use super::record::{self, Found, HEADER, SMALLEST};
use super::segments::{TEMP, name, wire_item};
use super::store::Store;
use super::{Cover, Entropy, Lane, Options, Outbox, Rec, Seg, Sick};
use crate::clock::Stamp;
use crate::disk::Disk;

/// Where damaged bytes are kept.
const QUARANTINE: &str = "quarantine.bin";

/// What was found at opening.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records that wait to be delivered.
    pub records: u64,
    /// Bytes that told nothing, or payloads that were not what was written.
    pub damaged_bytes: u64,
    /// Numbers newly found lost.
    pub lost: u64,
    /// The cursor file was missing or damaged although there were segments.
    pub cursor_lost: bool,
    /// A new epoch began.
    pub new_epoch: bool,
    /// Why events stand in memory alone, if they do.
    pub memory_only: Option<String>,
}

/// What a scan knows of one epoch.
#[derive(Default)]
struct Seen {
    recs: Vec<Rec>,
    covers: Vec<Cover>,
    highest: u64,
}

impl Outbox {
    /// Opens the outbox in a folder, whatever state that is in. Epochs are drawn from `entropy`.
    #[must_use]
    pub fn open(disk: Box<dyn Disk>, options: Options, entropy: Entropy, stamp: Stamp) -> (Self, Recovery) {
        let mut outbox = Self {
            store: Store::new(disk),
            options,
            entropy,
            lanes: Vec::new(),
            segs: BTreeMap::new(),
            active: 0,
            flushed: 0,
            unsynced_since: None,
            urgent: false,
            sick: None,
            cursor_due: None,
            unnoted: false,
            strange_acks: 0,
            scanned: false,
            orphans: Vec::new(),
            scratch: Vec::new(),
        };
        let now = stamp.mono_ms;
        let mut report = Recovery::default();
        match outbox.scan() {
            Ok(found) => report = found,
            Err(e) => {
                report.memory_only = Some(e.to_string());
                outbox.sick = Some(Sick::begin(now));
            }
        }
        if outbox.lanes.is_empty() {
            let lane = outbox.new_lane();
            outbox.lanes.push(lane);
            report.new_epoch = true;
        }
        if outbox.sick.is_none() {
            outbox.settle(&mut report, stamp);
        }
        report.records = outbox.waiting();
        (outbox, report)
    }

    /// Makes what was found durable and tidy.
    fn settle(&mut self, report: &mut Recovery, stamp: Stamp) {
        let now = stamp.mono_ms;
        let fresh = report.new_epoch || report.cursor_lost;
        if fresh && !self.save_cursor(now) {
            report.memory_only = Some("the folder cannot be written".to_owned());
            if let Some(seg) = self.segs.get_mut(&self.active) {
                seg.buf = None;
            }
            (self.active, self.flushed) = (self.active + 1, 0);
            self.sick = Some(Sick::begin(now));
            let lane = self.new_lane();
            self.lanes.push(lane);
            return;
        }
        self.sweep(now);
        self.fit(now);
        self.declare(stamp);
        self.unsynced_since = Some(now);
        self.commit(now);
        if self.sick.is_some() {
            report.memory_only = Some("the folder cannot be written".to_owned());
        }
    }

    /// Reads every segment and puts what it finds in front of the lanes there are.
    pub(super) fn scan(&mut self) -> io::Result<Recovery> {
        let (mine, lanes) = (std::mem::take(&mut self.segs), self.lanes.len());
        let found = self.scan_files();
        if found.is_err() {
            self.segs = mine;
        } else if lanes > 0 {
            // What was put into memory before the folder could be read goes behind what is there.
            let above = self.segs.keys().next_back().map_or(0, |ord| ord + 1);
            let by = above.saturating_sub(mine.keys().next().copied().unwrap_or(self.active));
            self.active += by;
            self.segs.extend(mine.into_iter().map(|(ord, seg)| (ord + by, seg)));
            let recs = self.lanes.iter_mut().rev().take(lanes).flat_map(|l| l.recs.iter_mut());
            recs.for_each(|r| r.seg += by);
        }
        found
    }

    fn scan_files(&mut self) -> io::Result<Recovery> {
        let files = self.store.list()?;
        let mut report = Recovery::default();
        for temp in [TEMP, cursor::TEMP] {
            if files.iter().any(|(n, _)| n == temp)
                && let Err(e) = self.store.remove(temp)
            {
                log::warn!("outbox: {temp} stays behind: {e}");
            }
        }
        let size = usize::try_from(cursor::LARGEST).unwrap_or(4096) * 2;
        let noted = self.store.read(cursor::NAME, 0, size).ok().and_then(|b| cursor::decode(&b));
        let mut seen: BTreeMap<u64, Seen> = BTreeMap::new();
        let mut order: Vec<u64> = noted.iter().flatten().map(|n| n.epoch).collect();
        let mut ords: Vec<u64> = files
            .iter()
            .filter_map(|(n, _)| {
                u64::from_str_radix(n.strip_suffix(".seg").filter(|n| n.len() == 16)?, 16).ok()
            })
            .collect();
        ords.sort_unstable();
        if let Some(last) = ords.last().filter(|_| self.lanes.is_empty()) {
            self.active = last + 1;
        }
        let mut damaged = BTreeSet::new();
        let (mut last_epoch, mut tail) = (None, 0);
        for &ord in &ords {
            tail = self.read_segment(ord, &mut seen, &mut order, &mut last_epoch, &mut damaged, &mut report);
        }
        report.cursor_lost = noted.is_none() && !files.is_empty();
        let current = noted.iter().flatten().last().map(|n| n.epoch);
        if let Some(epoch) = current.or(last_epoch) {
            // Bytes at the very end that tell nothing: as many numbers as could have stood there are not given again.
            let junk = if tail == 0 { 0 } else { (tail / SMALLEST).max(1) as u64 };
            let next = seen.entry(epoch).or_default();
            let noted = noted.iter().flatten().find(|n| n.epoch == epoch);
            next.highest = next.highest.max(noted.map_or(0, |n| n.acked)) + junk;
        }
        // The cursor names every epoch that is not done with. Of others there is only what came back with a segment whose
        // removal was lost.
        order.retain(|e| current.is_none() || noted.iter().flatten().any(|n| n.epoch == *e));
        let mut lanes = Vec::new();
        for epoch in order {
            let known = noted.iter().flatten().find(|n| n.epoch == epoch);
            let found = seen.remove(&epoch).unwrap_or_default();
            let lane = lane_of(epoch, known, found, &mut report);
            for rec in &lane.recs {
                if let Some(seg) = self.segs.get_mut(&rec.seg) {
                    seg.live += 1;
                    seg.live_bytes += rec.bytes();
                }
            }
            lanes.push(lane);
        }
        report.new_epoch = lanes.is_empty();
        self.resume(&ords, &damaged)?;
        lanes.append(&mut self.lanes);
        self.lanes = lanes;
        self.scanned = true;
        Ok(report)
    }

    /// Scans one segment; returns how many bytes at its end tell nothing.
    fn read_segment(
        &mut self,
        ord: u64,
        seen: &mut BTreeMap<u64, Seen>,
        order: &mut Vec<u64>,
        last_epoch: &mut Option<u64>,
        damaged: &mut BTreeSet<u64>,
        report: &mut Recovery,
    ) -> usize {
        let file = name(ord);
        let size = self.store.size(&file);
        let bytes = match self.store.read(&file, 0, usize::try_from(size).unwrap_or(0)) {
            Ok(bytes) => bytes,
            Err(e) => {
                log::error!("outbox: {file}: {e}");
                report.damaged_bytes += size;
                return usize::try_from(size).unwrap_or(0);
            }
        };
        self.segs.insert(ord, Seg { size, filed: true, ..Seg::default() });
        let mut bad = Vec::new();
        let mut tail = 0;
        record::scan(&bytes, |found| {
            let (at, head, whole) = match found {
                Found::Record(at, head) => (at, head, true),
                Found::Broken(at, head) => (at, head, false),
                Found::Junk(at, len) => {
                    bad.push((at, len));
                    tail = if at + len == bytes.len() { len } else { 0 };
                    return;
                }
            };
            let epoch = seen.entry(head.epoch).or_default();
            if !order.contains(&head.epoch) {
                order.push(head.epoch);
            }
            *last_epoch = Some(head.epoch);
            epoch.highest = epoch.highest.max(head.seq);
            if !whole {
                bad.push((at, (HEADER + head.len).min(bytes.len() - at)));
                return;
            }
            let payload = bytes.get(at + HEADER..at + HEADER + head.len).unwrap_or_default();
            let said = wire_item(payload)
                .filter(|i| i.kind == Kind::Loss as u16)
                .and_then(|i| wire::read_body::<Loss>(i.body).ok());
            let rec = Rec {
                seq: head.seq,
                seg: ord,
                off: u32::try_from(at).unwrap_or(u32::MAX),
                len: u32::try_from(head.len).unwrap_or(u32::MAX),
                severity: head.severity,
                loss: said.is_some(),
            };
            epoch.recs.push(rec);
            if let Some(l) = said {
                let range = Range { first: l.first, count: l.count, reason: l.reason };
                epoch.covers.push(Cover { seq: head.seq, range, sent: false });
            }
        });
        if !bad.is_empty() {
            damaged.insert(ord);
            report.damaged_bytes += bad.iter().map(|(_, n)| *n as u64).sum::<u64>();
            for (at, len) in bad {
                self.quarantine(&file, at, bytes.get(at..at + len).unwrap_or_default());
            }
        }
        tail
    }

    /// Keeps damaged bytes for people to look at, as long as there is room for them.
    fn quarantine(&mut self, file: &str, at: usize, bytes: &[u8]) {
        let used = self.store.size(QUARANTINE);
        let room = usize::try_from(self.options.quarantine_bytes.saturating_sub(used)).unwrap_or(0);
        let mut kept = format!("\n{file} at {at}, {} bytes:\n", bytes.len()).into_bytes();
        kept.extend_from_slice(bytes);
        kept.truncate(room);
        if !kept.is_empty()
            && let Err(e) = self.store.append(QUARANTINE, &kept)
        {
            log::warn!("outbox: {QUARANTINE}: {e}");
        }
    }

    /// Writes damaged segments anew and goes on in the last one if it is good.
    fn resume(&mut self, ords: &[u64], damaged: &BTreeSet<u64>) -> io::Result<()> {
        let Some(&last) = ords.last() else {
            if self.lanes.is_empty() {
                self.active = 0;
            }
            return Ok(());
        };
        // What a killed process left in the page cache, names too, is about to be called durable.
        if let Err(e) = self.store.sync(&name(last)) {
            log::warn!("outbox: {}: {e}", name(last));
            let bytes = self.store.read(&name(last), 0, usize::MAX >> 1)?;
            self.store.replace(&name(last), TEMP, &bytes)?;
        }
        self.store.sync_dir()?;
        if !self.lanes.is_empty() {
            return Ok(());
        }
        self.active = last + 1;
        let size = self.segs.get(&last).map_or(u64::MAX, |s| s.size);
        if !damaged.contains(&last) && size <= self.options.segment_bytes / 2 {
            let bytes = self.store.read(&name(last), 0, usize::try_from(size).unwrap_or(0))?;
            self.active = last;
            self.flushed = bytes.len();
            if let Some(seg) = self.segs.get_mut(&last) {
                seg.buf = Some(bytes);
            }
        }
        Ok(())
    }
}

/// What an epoch holds, with what is missing from it.
fn lane_of(epoch: u64, noted: Option<&Noted>, mut seen: Seen, report: &mut Recovery) -> Lane {
    // A number may stand twice, in a segment and in its copy: they are the same.
    seen.recs.sort_by_key(|r| r.seq);
    seen.recs.dedup_by_key(|r| r.seq);
    seen.covers.sort_by_key(|c| c.seq);
    seen.covers.dedup_by_key(|c| c.seq);
    let lowest = seen
        .recs
        .first()
        .map(|r| r.seq)
        .into_iter()
        .chain(seen.covers.iter().map(|c| c.range.first))
        .min()
        .unwrap_or(seen.highest + 1);
    let mut lane = Lane::new(epoch);
    lane.acked = noted.map_or(lowest - 1, |n| n.acked);
    lane.guessed = (noted.is_none() && lowest > 1).then_some(0);
    lane.next = noted.map_or(1, |n| n.next).max(seen.highest + 1).max(lane.acked + 1);
    seen.recs.retain(|r| r.seq > lane.acked);
    lane.recs = seen.recs.into();
    lane.covers = seen.covers.into_iter().filter(|c| c.seq > lane.acked).collect();
    lane.opened = lane.next;
    lane.ready = lane.next - 1;
    lane.sent = lane.acked;
    lane.lost = noted.map_or(0, |n| n.lost);
    // Every number without a record is covered by a loss record, or noted with its reason, or was damaged.
    let mut gaps = Vec::new();
    let mut from = lane.acked + 1;
    for rec in &lane.recs {
        gaps.push((from, rec.seq));
        from = rec.seq + 1;
    }
    gaps.push((from, lane.next));
    let mut said: Vec<Range> = lane.covers.iter().map(|c| c.range).collect();
    said.sort_unstable_by_key(|r| r.first);
    let holes = noted.map(|n| n.holes.as_slice()).unwrap_or_default();
    for (first, end) in gaps {
        for (first, end, known) in carve(first, end, &said) {
            if known.is_some() {
                continue;
            }
            for (first, end, reason) in carve(first, end, holes) {
                let count = end - first;
                lane.holes.add(Range { first, count, reason: reason.unwrap_or(loss::DAMAGED) });
                if reason.is_none() {
                    lane.lost += count;
                    report.lost += count;
                }
            }
        }
    }
    lane
}

/// Cuts `first..end` along sorted ranges: each piece with the reason of the range it lies in, if any.
fn carve(first: u64, end: u64, along: &[Range]) -> Vec<(u64, u64, Option<u8>)> {
    let (mut out, mut at) = (Vec::new(), first);
    for r in along {
        let (from, to) = (r.first.max(at), (r.last() + 1).min(end));
        if from < to {
            if at < from {
                out.push((at, from, None));
            }
            out.push((from, to, Some(r.reason)));
            at = to;
        }
    }
    if at < end {
        out.push((at, end, None));
    }
    out
}
