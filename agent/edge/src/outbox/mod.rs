//! The durable, bounded, honest queue of events. It alone owns delivery.
//!
//! The log is the truth: segment files of checksummed records. Everything else is a cache. A number (`seq`) is never
//! given twice within an epoch, and every number is delivered or covered by a counted [`Loss`]. If the folder cannot
//! be written the outbox goes on in memory, under a new epoch (numbers given there leave no trace on disk), says so,
//! and returns to the disk as soon as it can.

mod cursor;
mod evict;
pub mod inspect;
mod ranges;
mod record;
mod recover;
mod recovery;
mod seen;
mod segments;
mod sending;
mod standing;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::{self, Item, Kind, Loss, loss};
use ring::rand::{SecureRandom, SystemRandom};

use crate::clock::Stamp;
use crate::store::Store;
use ranges::{Range, Ranges};
use record::HEADER;

pub use recovery::Recovery;
pub use standing::Standing;

/// Severity of a loss record.
const LOSS_SEVERITY: u8 = 13;
/// The most a loss record takes.
const LOSS_BYTES: u64 = (HEADER + ITEM + 24) as u64;
/// What may go for a loss record, as a severity: everything but another loss record, or two of them would take turns.
const FOR_LOSS: u8 = u8::MAX - 1;
/// From this severity on an event is made durable at once.
const URGENT: u8 = 17;
/// Group commit: nothing waits longer for the disk, …
const SYNC_MS: Millis = 1000;
/// … unless the flash had its share for the day.
pub(crate) const SYNC_WORN_MS: Millis = 10_000;
/// What an item takes beside its body, at most.
const ITEM: usize = 48;
/// How often the cursor is written when only acknowledgements came.
const CURSOR_MS: Millis = 600_000;
/// How long a loss that left no record stays unwritten.
const CURSOR_LOSS_MS: Millis = 60_000;

/// How large it may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// All files together, to the byte.
    pub max_bytes: u64,
    /// One segment file.
    pub segment_bytes: u64,
    /// What is kept of damaged bytes.
    pub quarantine_bytes: u64,
    /// Events kept while there is no disk.
    pub memory_bytes: u64,
    /// Bytes of flash written in 24 hours, pages counted whole, before commits become rare.
    pub flash_bytes_per_day: u64,
}

impl Options {
    /// Sizes that go with a budget for everything; less than 32 KiB is taken for 32 KiB.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let max_bytes = max_bytes.max(32 * 1024);
        let segment_bytes = (max_bytes / 16).clamp(4 * 1024, 64 * 1024);
        let mut o = Self {
            max_bytes,
            segment_bytes,
            quarantine_bytes: segment_bytes,
            memory_bytes: 128 * 1024,
            flash_bytes_per_day: 50 << 20,
        };
        o.memory_bytes = o.memory_bytes.min(o.log_bytes());
        o
    }

    /// What segments may take: what is free in the active one, and a temporary copy of one and of the cursor, must fit
    /// beside them.
    fn log_bytes(&self) -> u64 {
        self.max_bytes - 2 * self.segment_bytes - self.quarantine_bytes - 2 * cursor::LARGEST
    }

    /// The largest payload of a record.
    fn payload_bytes(&self) -> usize {
        usize::try_from(self.segment_bytes / 2).unwrap_or(wire::MAX_PAYLOAD / 2)
    }
}

/// Where a live record is.
#[derive(Debug, Clone, Copy)]
struct Rec {
    seq: u64,
    seg: u64,
    off: u32,
    len: u32,
    severity: u8,
    loss: bool,
}

impl Rec {
    fn bytes(&self) -> u64 {
        HEADER as u64 + u64::from(self.len)
    }
}

/// A live loss record and what it covers.
#[derive(Debug, Clone, Copy)]
struct Cover {
    seq: u64,
    range: Range,
    /// Sent ahead of its turn, when the gap was reached: behind it the collector waits.
    sent: bool,
}

/// One epoch: the current one, or an earlier one that still has something to deliver.
#[derive(Debug, Default)]
struct Lane {
    epoch: u64,
    acked: u64,
    next: u64,
    /// `next` when the files were opened.
    opened: u64,
    /// Numbers up to here may be sent: they are durable, or openly in memory.
    ready: u64,
    /// Numbers up to here are with the link, …
    sent: u64,
    /// … and of those behind it these.
    ahead: sending::Ahead,
    lost: u64,
    recs: VecDeque<Rec>,
    covers: Vec<Cover>,
    /// Lost and not yet declared.
    holes: Ranges,
    /// `acked` is a guess, as the cursor was lost; how often the collector spoke of less.
    guessed: Option<u8>,
}

impl Lane {
    fn new(epoch: u64) -> Self {
        Self { epoch, next: 1, opened: 1, ..Self::default() }
    }

    fn lose(&mut self, first: u64, count: u64, reason: u8) {
        self.holes.add(Range { first, count, reason });
        self.lost += count;
    }

    /// Lost numbers without a durable record that says so.
    fn unwritten(&self) -> Ranges {
        let mut ranges = self.holes.clone();
        self.covers.iter().filter(|c| c.seq > self.ready).for_each(|c| ranges.add(c.range));
        ranges
    }

    /// A record goes: what is lost with it is noted.
    fn drop_rec(&mut self, rec: &Rec, reason: u8) {
        self.lose(rec.seq, 1, reason);
        if rec.loss
            && let Some(at) = self.covers.iter().position(|c| c.seq == rec.seq)
        {
            let range = self.covers.swap_remove(at).range;
            if range.last() > self.acked {
                self.holes.add(range);
            }
        }
    }
}

/// A segment.
#[derive(Debug, Default)]
struct Seg {
    size: u64,
    live: u64,
    live_bytes: u64,
    /// The bytes, of the active segment and of those that are not safely on disk.
    buf: Option<Vec<u8>>,
    /// Whether what is in the file can be relied upon.
    filed: bool,
    /// How often in a row it could not be read.
    unread: u8,
}

/// The disk could not be written.
#[derive(Debug, Clone, Copy)]
struct Sick {
    retry_at: Millis,
    wait: Millis,
}

/// What to send next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Epoch of all items.
    pub epoch: u64,
    /// With this and earlier batches everything up to this number is sent; if it went ahead, its highest number.
    pub last: u64,
    /// How many items.
    pub items: u32,
    /// Whether it went ahead of older ones.
    pub ahead: bool,
}

/// The queue.
pub struct Outbox {
    store: Store,
    options: Options,
    entropy: Entropy,
    /// The last one is the current one; there is always one.
    lanes: Vec<Lane>,
    segs: BTreeMap<u64, Seg>,
    active: u64,
    /// Bytes of the active segment that are durable, …
    flushed: usize,
    /// … and those behind them in its file that are known to stand for nothing.
    free: u64,
    unsynced_since: Option<Millis>,
    urgent: bool,
    sick: Option<Sick>,
    /// The cursor file is behind, and is to be written by then.
    cursor_due: Option<Millis>,
    /// An event was refused, and the cursor file does not know of it yet.
    unnoted: bool,
    strange_acks: u64,
    /// Whether the files were ever read, …
    scanned: bool,
    /// … and how often they could not be.
    unread: u32,
    /// Files to remove when the disk is back.
    orphans: Vec<u64>,
    scratch: Vec<u8>,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Outbox {{ epoch: {:x}, waiting: {}, bytes: {} }}",
            self.epoch(),
            self.waiting(),
            self.bytes()
        )
    }
}

/// Where the numbers of epochs come from: each as good as never given before. Injected, so that a simulation replays.
pub type Entropy = Box<dyn FnMut() -> u64 + Send>;

/// The kernel's entropy.
#[must_use]
pub fn entropy() -> Entropy {
    Box::new(random)
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // No entropy at early boot: time is better than a constant.
        bytes = crate::clock::mono_ms().wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
    }
    u64::from_le_bytes(bytes)
}

impl Outbox {
    /// A lane of a new epoch.
    fn new_lane(&mut self) -> Lane {
        Lane::new((self.entropy)().max(1))
    }

    fn lane(&mut self) -> &mut Lane {
        if self.lanes.is_empty() {
            let lane = self.new_lane();
            self.lanes.push(lane);
        }
        let last = self.lanes.len() - 1;
        &mut self.lanes[last]
    }

    /// Takes an event in and returns its number. It is durable after the next [`Outbox::sync`].
    pub fn push(&mut self, stamp: Stamp, kind: Kind, rev: u8, severity: u8, body: &[u8]) -> u64 {
        let fits = body.len() + ITEM <= self.options.payload_bytes();
        // Room first: it may end in memory, under another epoch.
        let room = fits && self.make_room(stamp.mono_ms, (HEADER + ITEM + body.len()) as u64, severity);
        let lane = self.lane();
        let seq = lane.next;
        lane.next += 1;
        if !room {
            lane.lose(seq, 1, if fits { loss::FULL } else { loss::TOO_LARGE });
            self.unnoted = true;
            self.note_by(stamp.mono_ms + CURSOR_LOSS_MS);
            return seq;
        }
        let at = self.lanes.len() - 1;
        self.write(at, seq, stamp, kind, rev, severity, body);
        seq
    }

    #[expect(clippy::too_many_arguments, reason = "one item, field by field")]
    fn write(&mut self, lane: usize, seq: u64, stamp: Stamp, kind: Kind, rev: u8, severity: u8, body: &[u8]) {
        let item = Item {
            seq,
            mono_ms: stamp.mono_ms,
            wall_ms: stamp.wall_ms,
            clock: stamp.clock,
            severity,
            kind: kind as u16,
            rev,
            body,
        };
        let mut payload = std::mem::take(&mut self.scratch);
        payload.resize(body.len() + ITEM, 0);
        let len = wire::write_item(&item, &mut payload).unwrap_or(0);
        self.enter(lane, seq, severity, kind == Kind::Loss, payload.get(..len).unwrap_or_default());
        self.scratch = payload;
        self.unsynced_since.get_or_insert(stamp.mono_ms);
        self.urgent |= severity >= URGENT;
    }

    /// Puts an encoded item into the active segment.
    fn enter(&mut self, lane: usize, seq: u64, severity: u8, loss: bool, payload: &[u8]) {
        let active = self.active;
        let seg = self.segs.entry(active).or_default();
        let buf = seg.buf.get_or_insert_default();
        let (Some(lane), Ok(off), Ok(len)) =
            (self.lanes.get_mut(lane), u32::try_from(buf.len()), u32::try_from(payload.len()))
        else {
            return;
        };
        record::write(buf, lane.epoch, seq, severity, payload);
        let rec = Rec { seq, seg: active, off, len, severity, loss };
        seg.size = buf.len() as u64;
        seg.live += 1;
        seg.live_bytes += rec.bytes();
        lane.recs.push_back(rec);
    }

    /// When [`Outbox::sync`] is wanted next.
    #[must_use]
    pub fn sync_due(&self, now: Millis) -> Option<Millis> {
        let group = if self.is_worn() { SYNC_WORN_MS } else { SYNC_MS };
        let commit = self.unsynced_since.map(|t| if self.urgent { now } else { t + group });
        let retry = self.sick.map(|s| s.retry_at);
        let cursor = self.cursor_due.filter(|_| self.sick.is_none());
        [commit, retry, cursor].into_iter().flatten().min()
    }

    /// Makes what was pushed durable now, though its second is not over; unless that wears the flash too much.
    pub fn sync_now(&mut self, now: Millis) {
        self.urgent |= self.unsynced_since.is_some() && !self.is_worn();
        self.sync(now);
    }

    /// Makes what was pushed durable, if that is due; tries a failed disk again; notes acknowledgements now and then.
    pub fn sync(&mut self, now: Millis) {
        self.store.settle(now);
        if self.sync_due(now).is_none_or(|due| due > now) {
            return;
        }
        if self.sick.is_some_and(|s| s.retry_at <= now) {
            self.restore(now);
        }
        if self.unsynced_since.is_some() {
            self.commit(now);
        }
        if self.sick.is_none() && self.cursor_due.is_some_and(|due| due <= now) {
            self.save_cursor(now);
        }
    }

    fn note_by(&mut self, due: Millis) {
        self.cursor_due = Some(self.cursor_due.map_or(due, |d| d.min(due)));
    }

    /// Makes everything durable now and notes how far it was acknowledged: before the end.
    pub fn close(&mut self, now: Millis) {
        if self.sick.is_some() {
            self.restore(now);
        }
        self.commit(now);
        if self.sick.is_none() && self.cursor_due.is_some() {
            self.save_cursor(now);
        }
    }

    /// Declares what was lost, the oldest first: one record per contiguous range. To be called while somebody listens;
    /// until then losses side by side grow together. In a full outbox a declaration waits for acknowledgements to make
    /// room, except the first: without it the collector would wait at the gap for ever.
    pub fn declare(&mut self, stamp: Stamp) {
        let mut at = 0;
        while at < self.lanes.len() {
            let current = at + 1 == self.lanes.len();
            while let Some(lane) = self.lanes.get(at).filter(|_| self.sick.is_none() || current) {
                let Some(first) = lane.holes.first() else { break };
                // The collector waits at the lowest gap that is open.
                let must = lane.covers.iter().all(|c| c.range.first > first || c.range.last() <= lane.acked);
                if !(must || self.has_room(LOSS_BYTES)) || !self.cover(at, stamp) {
                    break;
                }
            }
            at += 1;
        }
    }

    /// Declares the first lost range of a lane. While room is made it is still a hole, lest a cursor that is written
    /// then knows nothing of it.
    fn cover(&mut self, at: usize, stamp: Stamp) -> bool {
        let lanes = self.lanes.len();
        let room = self.make_room(stamp.mono_ms, LOSS_BYTES, FOR_LOSS);
        let stays = self.lanes.len() == lanes || self.sick.is_none();
        let Some(lane) = self.lanes.get_mut(at).filter(|_| room && stays) else { return false };
        let Some(range) = lane.holes.pop() else { return false };
        let seq = lane.next;
        lane.next += 1;
        lane.covers.push(Cover { seq, range, sent: false });
        let mut body = [0; 24];
        let said = Loss { first: range.first, count: range.count, reason: range.reason };
        let len = wire::write_body(&said, &mut body).unwrap_or(0);
        self.write(at, seq, stamp, Kind::Loss, 1, LOSS_SEVERITY, body.get(..len).unwrap_or_default());
        true
    }

    /// Whether [`Outbox::declare`] has something to say.
    #[must_use]
    pub fn has_undeclared(&self) -> bool {
        let current = self.lanes.len().saturating_sub(1);
        self.lanes.iter().enumerate().any(|(i, l)| l.holes.len() > 0 && (self.sick.is_none() || i == current))
    }

    /// The epoch of what is pushed now.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.lanes.last().map_or(0, |l| l.epoch)
    }

    /// The number the next event gets.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.lanes.last().map_or(1, |l| l.next)
    }

    /// Everything up to here of the current epoch is with the collector.
    #[must_use]
    pub fn acked_seq(&self) -> u64 {
        self.lanes.last().map_or(0, |l| l.acked)
    }

    /// Events waiting, loss records counted.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.lanes.iter().map(|l| l.recs.len() as u64).sum()
    }

    /// Numbers lost, of all epochs that still stand here.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lanes.iter().map(|l| l.lost).sum()
    }

    /// Bytes of all files, or of the events in memory while there is no disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let memory: u64 = self.segs.values().filter(|s| !s.filed).map(|s| s.size).sum();
        self.store.bytes() + if self.sick.is_some() { memory } else { 0 }
    }

    /// Bytes ever written to the disk since the start: what it costs the flash.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.store.written()
    }

    /// Bytes of flash written in the last 24 hours (since the start, if that is less), pages counted whole.
    #[must_use]
    pub fn flash_bytes_day(&self) -> u64 {
        self.store.worn()
    }

    /// Whether that is more than it may be: what is not urgent then waits longer for the disk.
    #[must_use]
    pub fn is_worn(&self) -> bool {
        self.flash_bytes_day() > self.options.flash_bytes_per_day
    }

    /// Whether everything pushed so far, or the account of its loss, would survive a power cut now.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.unsynced_since.is_none() && self.sick.is_none() && !self.unnoted
    }

    /// Whether new events stand in memory alone, as the folder cannot be written.
    #[must_use]
    pub fn is_memory_only(&self) -> bool {
        self.sick.is_some()
    }

    /// Acknowledgements of numbers that were never given: a forgery, or this folder is an old copy.
    #[must_use]
    pub fn strange_acks(&self) -> u64 {
        self.strange_acks
    }
}
