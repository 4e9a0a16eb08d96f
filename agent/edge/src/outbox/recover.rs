//! Opening: everything is learned from a scan of the segments. Damage is set aside, counted and declared; it never
//! stops the start.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use fieldmouse_core::wire::{self, Kind, Loss};

use super::cursor;
use super::ranges::Range;
use super::record::{self, Found, HEADER, SMALLEST};
use super::recovery::Recovery;
use super::seen::{Seen, lane_of};
use super::segments::{TEMP, name, wire_item};
use super::sending::Ahead;
use super::{Cover, Entropy, Options, Outbox, Rec, Seg, Sick};
use crate::clock::Stamp;
use crate::disk::Disk;
use crate::store::{FILL, Store};

/// How often a folder is read again before what cannot be read is given up: some minutes.
const PATIENCE: u32 = 10;
/// Where damaged bytes are kept.
const QUARANTINE: &str = "quarantine.bin";

/// What a look through all segments finds.
#[derive(Default)]
struct Survey {
    seen: BTreeMap<u64, Seen>,
    /// Epochs, the oldest first.
    order: Vec<u64>,
    /// Of the latest record.
    epoch: Option<u64>,
    /// How many records may have stood at the very end, where bytes tell nothing.
    tail: usize,
    damaged: BTreeSet<u64>,
    /// File, place and bytes of what is damaged.
    bad: Vec<(String, usize, Vec<u8>)>,
    report: Recovery,
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
            free: 0,
            unsynced_since: None,
            urgent: false,
            sick: None,
            cursor_due: None,
            unnoted: false,
            strange_acks: 0,
            scanned: false,
            unread: 0,
            orphans: Vec::new(),
            scratch: Vec::new(),
        };
        let now = stamp.mono_ms;
        outbox.store.settle(now);
        let mut report = Recovery::default();
        match outbox.scan() {
            Ok(found) => {
                if found.memory_only.is_some() {
                    outbox.sick = Some(Sick::begin(now));
                    outbox.hold_back_last();
                    let lane = outbox.new_lane();
                    outbox.lanes.push(lane);
                }
                report = found;
            }
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
            self.unread += 1;
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
        for temp in [TEMP, cursor::TEMP] {
            if files.iter().any(|(n, _)| n == temp)
                && let Err(e) = self.store.remove(temp)
            {
                log::warn!("outbox: {temp} stays behind: {e}");
            }
        }
        let size = usize::try_from(cursor::LARGEST).unwrap_or(4096) * 2;
        let noted = match self.store.read(cursor::NAME, 0, size) {
            Err(e) if e.kind() != io::ErrorKind::NotFound && self.unread < PATIENCE => return Err(e),
            read => read.ok().and_then(|bytes| cursor::decode(&bytes)),
        };
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
        let order = noted.iter().flatten().map(|n| n.epoch).collect();
        let mut survey = Survey { order, ..Survey::default() };
        for &ord in &ords {
            self.read_segment(ord, Some(&ord) == ords.last(), &mut survey)?;
        }
        let Survey { mut seen, mut order, epoch, tail, damaged, bad, mut report } = survey;
        report.cursor_lost = noted.is_none() && !files.is_empty();
        let current = noted.iter().flatten().last().map(|n| n.epoch);
        if let Some(epoch) = current.or(epoch) {
            // Bytes at the very end that tell nothing: as many numbers as could have stood there are not given again.
            let next = seen.entry(epoch).or_default();
            let noted = noted.iter().flatten().find(|n| n.epoch == epoch);
            next.highest = next.highest.max(noted.map_or(0, |n| n.acked)) + tail as u64;
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
        report.memory_only = self.resume(&ords, &damaged)?.map(|e| e.to_string());
        for (file, at, bytes) in bad {
            self.quarantine(&file, at, &bytes);
        }
        lanes.append(&mut self.lanes);
        self.lanes = lanes;
        self.scanned = true;
        Ok(report)
    }

    /// Scans one segment. What cannot be read now may be readable later; only after many attempts it is damage.
    fn read_segment(&mut self, ord: u64, is_last: bool, survey: &mut Survey) -> io::Result<()> {
        let file = name(ord);
        let size = self.store.size(&file);
        let bytes = match self.store.read(&file, 0, usize::try_from(size).unwrap_or(0)) {
            Ok(bytes) => bytes,
            Err(e) if self.unread < PATIENCE => return Err(e),
            Err(e) => {
                log::error!("outbox: {file}: {e}");
                survey.report.damaged_bytes += size;
                survey.tail = (usize::try_from(size).unwrap_or(0) / SMALLEST).max(1);
                return Ok(());
            }
        };
        let mut bad = Vec::new();
        let is_cut = (bytes.len() as u64) < self.options.segment_bytes;
        let (mut end, mut tail) = (0, 0);
        record::scan(&bytes, |found| {
            let (at, head, whole) = match found {
                Found::Record(at, head) => (at, head, true),
                Found::Broken(at, head) => (at, head, false),
                Found::Junk(junk, whole) => {
                    let (at, len) = unfilled(&bytes, junk, whole);
                    if len > 0 {
                        bad.push((at, len));
                    }
                    // Records leave nothing free between them: what lies apart was never told.
                    if len > 0 && at == junk {
                        end = at + len;
                        // Where the file was cut, less than a record may be left of one.
                        tail = (len / SMALLEST).max(usize::from(is_cut && junk + whole == bytes.len()));
                    }
                    return;
                }
            };
            (end, tail) = ((at + HEADER + head.len).min(bytes.len()), 0);
            let epoch = survey.seen.entry(head.epoch).or_default();
            if !survey.order.contains(&head.epoch) {
                survey.order.push(head.epoch);
            }
            survey.epoch = Some(head.epoch);
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
        self.segs.insert(ord, Seg { size: end as u64, filed: true, ..Seg::default() });
        if !is_last {
            // It was given back once already; a power cut can bring it again.
            self.give_back(ord, end as u64);
        }
        if !bad.is_empty() {
            survey.damaged.insert(ord);
        }
        let mut room = usize::try_from(self.options.quarantine_bytes).unwrap_or(0);
        for (at, len) in bad {
            survey.report.damaged_bytes += len as u64;
            let kept = bytes.get(at..at + len.min(room)).unwrap_or_default();
            room -= kept.len();
            survey.bad.push((file.clone(), at, kept.to_vec()));
        }
        survey.tail = tail;
        Ok(())
    }

    /// Keeps damaged bytes for people to look at, as long as there is room for them.
    fn quarantine(&mut self, file: &str, at: usize, bytes: &[u8]) {
        let used = self.store.size(QUARANTINE);
        let room = usize::try_from(self.options.quarantine_bytes.saturating_sub(used)).unwrap_or(0);
        let mut kept = format!("\n{file} at {at}, {} bytes:\n", bytes.len()).into_bytes();
        kept.extend_from_slice(bytes);
        kept.truncate(room);
        if !kept.is_empty()
            && let Err(e) = self.store.write(QUARANTINE, used, &kept)
        {
            log::warn!("outbox: {QUARANTINE}: {e}");
        }
    }

    /// Goes on in the last segment if it is good. If the folder cannot be written, says why; what is there can still be
    /// delivered.
    fn resume(&mut self, ords: &[u64], damaged: &BTreeSet<u64>) -> io::Result<Option<io::Error>> {
        let first = self.lanes.is_empty();
        let Some(&last) = ords.last() else {
            if first {
                self.active = 0;
            }
            return Ok(None);
        };
        if let Err(e) = self.settle_last(&name(last)) {
            let bytes = self.store.read(&name(last), 0, usize::MAX >> 1)?;
            if let Some(seg) = self.segs.get_mut(&last) {
                // To be written anew when the disk is back.
                seg.filed = false;
                seg.buf = bytes.get(..usize::try_from(seg.size).unwrap_or(0)).map(<[u8]>::to_vec);
            }
            return Ok(Some(e));
        }
        let size = self.segs.get(&last).map_or(u64::MAX, |s| s.size);
        let is_good = !damaged.contains(&last) && size <= self.options.segment_bytes / 2;
        if !is_good || !first {
            self.give_back(last, size);
        }
        if !first {
            return Ok(None);
        }
        self.active = last + 1;
        if is_good {
            let bytes = self.store.read(&name(last), 0, usize::try_from(size).unwrap_or(0))?;
            self.active = last;
            self.flushed = bytes.len();
            self.free = self.store.size(&name(last)).saturating_sub(size);
            if let Some(seg) = self.segs.get_mut(&last) {
                seg.buf = Some(bytes);
            }
        }
        Ok(None)
    }

    /// What stands in the last segment may be in the page cache alone. If it were sent, and lost with the power, its
    /// numbers would be given again.
    fn hold_back_last(&mut self) {
        let Some(last) = self.segs.keys().next_back().copied() else { return };
        for lane in &mut self.lanes {
            let first = lane.recs.iter().find(|r| r.seg == last);
            lane.ready = first.map_or(lane.ready, |r| r.seq - 1);
            lane.ahead = Ahead::from(lane.ready);
        }
    }

    /// What a killed process left in the page cache, names too, is about to be called durable.
    fn settle_last(&mut self, file: &str) -> io::Result<()> {
        if let Err(e) = self.store.sync(file) {
            log::warn!("outbox: {file}: {e}");
            let bytes = self.store.read(file, 0, usize::MAX >> 1)?;
            self.store.replace(file, TEMP, &bytes)?;
        }
        self.store.sync_dir()
    }
}

/// Junk without what was never written around it.
pub(super) fn unfilled(bytes: &[u8], at: usize, len: usize) -> (usize, usize) {
    let junk = bytes.get(at..at + len).unwrap_or_default();
    let before = junk.iter().take_while(|b| **b == FILL).count();
    let behind = junk.iter().rev().take_while(|b| **b == FILL).count();
    (at + before, len.saturating_sub(before + behind))
}
