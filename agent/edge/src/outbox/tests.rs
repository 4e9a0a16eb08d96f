//! The outbox against a plain model, a folder in memory that fails and loses power, and damage at every byte.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use fieldmouse_core::wire::{self, Fact, Kind, Loss, loss};
use proptest::prelude::*;

use super::*;
use crate::disk::Disk;

/// A folder in memory. Clones are the same folder.
#[derive(Clone, Default)]
pub(super) struct Ram(Arc<Mutex<Files>>);

#[derive(Clone, Default)]
struct Files {
    /// Content, and what of it is durable.
    files: BTreeMap<String, (Vec<u8>, Vec<u8>)>,
    calls: u64,
    /// Writing calls that fail: from, how many, partly done.
    fail: Option<(u64, u64)>,
    capacity: Option<u64>,
    peak: u64,
    writes: u64,
}

impl Files {
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        match self.fail {
            Some((from, n)) if (from..from.saturating_add(n)).contains(&self.calls) => {
                Err(io::Error::other("EIO"))
            }
            _ => Ok(()),
        }
    }

    fn total(&self) -> u64 {
        self.files.values().map(|(b, _)| b.len() as u64).sum()
    }
}

fn none() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Disk for Ram {
    fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        let f = self.0.lock().unwrap();
        Ok(f.files.iter().map(|(n, (b, _))| (n.clone(), b.len() as u64)).collect())
    }
    fn read(&mut self, name: &str, at: u64, len: usize, to: &mut Vec<u8>) -> io::Result<()> {
        let f = self.0.lock().unwrap();
        let b = &f.files.get(name).ok_or_else(none)?.0;
        let at = usize::try_from(at).unwrap().min(b.len());
        to.extend_from_slice(&b[at..at.saturating_add(len).min(b.len())]);
        Ok(())
    }
    fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut f = self.0.lock().unwrap();
        let done = f.call();
        f.writes += 1;
        let room = f.capacity.map_or(usize::MAX, |c| usize::try_from(c.saturating_sub(f.total())).unwrap());
        let file = &mut f.files.entry(name.to_owned()).or_default().0;
        let at = usize::try_from(at).unwrap();
        let room = room.saturating_add(file.len().saturating_sub(at));
        // A failing write leaves half of it behind.
        let take = if done.is_err() { bytes.len() / 2 } else { bytes.len().min(room) };
        file.resize(file.len().max(at + take), 0);
        file[at..at + take].copy_from_slice(&bytes[..take]);
        f.peak = f.peak.max(f.total());
        done?;
        if take < bytes.len() { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut f = self.0.lock().unwrap();
        f.call()?;
        let file = f.files.get_mut(name).ok_or_else(none)?;
        file.1.clone_from(&file.0);
        Ok(())
    }
    fn sync_dir(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().call()
    }
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut f = self.0.lock().unwrap();
        f.call()?;
        let file = f.files.remove(from).ok_or_else(none)?;
        f.files.insert(to.to_owned(), file);
        Ok(())
    }
    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut f = self.0.lock().unwrap();
        f.call()?;
        f.files.remove(name).map(|_| ()).ok_or_else(none)
    }
    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        let mut f = self.0.lock().unwrap();
        f.call()?;
        f.files.get_mut(name).ok_or_else(none)?.0.truncate(usize::try_from(len).unwrap());
        Ok(())
    }
    fn size(&mut self, name: &str) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().files.get(name).ok_or_else(none)?.0.len() as u64)
    }
}

impl Ram {
    /// Another folder with what this one holds.
    fn copy(&self) -> Self {
        let mut files = self.0.lock().unwrap().clone();
        (files.calls, files.fail, files.peak) = (0, None, 0);
        Self(Arc::new(Mutex::new(files)))
    }
    /// Of the writing calls from now on, `times` fail beginning with the `nth`.
    fn fail_from(&self, nth: u64, times: u64) {
        let mut files = self.0.lock().unwrap();
        files.fail = Some((files.calls + nth, times));
    }
    /// Power is lost: what was not synced is gone but for `torn` bytes of it.
    fn cut(&self, torn: usize) {
        for (bytes, durable) in self.0.lock().unwrap().files.values_mut() {
            let same = bytes.iter().zip(durable.iter()).take_while(|(a, b)| a == b).count();
            let kept = (same + torn).min(bytes.len());
            durable.resize(durable.len().max(kept), 0);
            durable[..kept].copy_from_slice(&bytes[..kept]);
            bytes.clone_from(durable);
        }
    }
    fn open(&self, max: u64) -> (Outbox, Recovery) {
        Outbox::open(Box::new(self.clone()), Options::new(max), entropy(), at(0))
    }
    fn edit(&self, name: &str, how: impl FnOnce(&mut Vec<u8>)) {
        let mut f = self.0.lock().unwrap();
        let file = f.files.get_mut(name).unwrap();
        how(&mut file.0);
        file.1.clone_from(&file.0);
    }
}

fn at(mono_ms: u64) -> Stamp {
    Stamp { mono_ms, wall_ms: Some(1_800_000_000_000 + mono_ms), clock: 1 }
}

fn say(outbox: &mut Outbox, now: u64, severity: u8, id: u64, long: usize) -> u64 {
    let mut fact = Fact::default();
    fact.kind.push_str(&id.to_string()).unwrap();
    for _ in 0..long.min(200) {
        fact.text.push('x').unwrap();
    }
    let mut body = [0; 300];
    let n = wire::write_body(&fact, &mut body).unwrap();
    outbox.push(at(now), Kind::Fact, 1, severity, &body[..n])
}

/// The other end: keeps what came, finds gaps, acknowledges.
#[derive(Default)]
pub(super) struct Collector {
    /// Epoch, number: the fact's id, or none for a loss.
    got: BTreeMap<(u64, u64), Option<u64>>,
    lost: BTreeMap<(u64, u64), u8>,
    twice: u64,
}

impl Collector {
    fn take(&mut self, epoch: u64, mut items: &[u8]) {
        while !items.is_empty() {
            let (item, rest) = postcard::take_from_bytes::<Item<'_>>(items).unwrap();
            items = rest;
            let id = if item.kind == Kind::Loss as u16 {
                let l: Loss = wire::read_body(item.body).unwrap();
                for n in l.first..l.first + l.count {
                    self.lost.insert((epoch, n), l.reason);
                }
                None
            } else {
                let f: Fact = wire::read_body(item.body).unwrap();
                Some(f.kind.parse().unwrap())
            };
            if let Some(before) = self.got.insert((epoch, item.seq), id) {
                assert_eq!(before, id, "number {} was given twice", item.seq);
                self.twice += 1;
            }
        }
    }

    fn contiguous(&self, epoch: u64) -> u64 {
        (1..)
            .take_while(|n| self.got.contains_key(&(epoch, *n)) || self.lost.contains_key(&(epoch, *n)))
            .last()
            .unwrap_or(0)
    }

    fn ids(&self) -> BTreeSet<u64> {
        self.got.values().flatten().copied().collect()
    }

    fn ack(&self, outbox: &mut Outbox, now: u64) {
        let epochs: BTreeSet<u64> = self.got.keys().map(|k| k.0).collect();
        for epoch in epochs {
            outbox.acked(now, epoch, self.contiguous(epoch));
        }
    }

    fn deliver(&mut self, outbox: &mut Outbox, batches: usize) {
        for _ in 0..batches {
            let mut bytes = Vec::new();
            let Some(b) = outbox.batch(600, true, &mut bytes) else { return };
            self.take(b.epoch, &bytes);
        }
    }

    /// Until nothing waits.
    fn drain(&mut self, outbox: &mut Outbox, mut now: u64) {
        for _ in 0..200 {
            now += 60_000;
            outbox.sync(now);
            outbox.declare(at(now));
            outbox.sync(now + 1000);
            outbox.rewind();
            self.deliver(outbox, usize::MAX);
            self.ack(outbox, now);
            if outbox.waiting() == 0 && !outbox.has_undeclared() {
                return;
            }
        }
        panic!("{outbox:?} does not drain");
    }
}

#[test]
fn what_is_durable_survives_and_is_delivered_once() {
    let ram = Ram::default();
    let (mut o, r) = ram.open(1 << 20);
    assert!(r.new_epoch && !o.is_memory_only());
    let epoch = o.epoch();
    for id in 1..=20 {
        assert_eq!(say(&mut o, 10, 9, id, 20), id);
    }
    assert_eq!(o.batch(4096, true, &mut Vec::new()), None, "nothing is offered before it is durable");
    assert_eq!(o.sync_due(10), Some(1010));
    o.sync(1010);
    say(&mut o, 2000, 17, 21, 0);
    assert_eq!(o.sync_due(2000), Some(2000), "an error does not wait");
    o.sync(2000);
    say(&mut o, 2100, 9, 22, 0);
    drop(o);
    ram.cut(0);
    let (mut o, r) = ram.open(1 << 20);
    assert_eq!((o.epoch(), o.next_seq(), r.records, r.lost), (epoch, 22, 21, 0));
    let mut c = Collector::default();
    c.drain(&mut o, 0);
    assert_eq!((c.ids().len(), c.lost.len(), c.twice), (21, 0, 0));
    let writes = ram.0.lock().unwrap().writes;
    o.sync(10_000_000);
    let quiet = ram.0.lock().unwrap().writes;
    assert!(quiet <= writes + 1, "the cursor, once");
    o.sync(20_000_000);
    assert_eq!((ram.0.lock().unwrap().writes, o.sync_due(20_000_000)), (quiet, None));
    o.close(20_000_000);
    let (o, r) = ram.open(1 << 20);
    assert_eq!((o.next_seq(), r.records, r.cursor_lost), (22, 0, false));
}

#[test]
fn cut_at_every_byte() {
    let (ram, file, _) = twelve();
    let whole = ram.copy().0.lock().unwrap().files[&file].0.clone();
    let ends = ends(&whole);
    for cut in 0..whole.len() {
        let ram = ram.copy();
        ram.edit(&file, |b| b.truncate(cut));
        let (mut o, r) = ram.open(1 << 20);
        let left = ends.iter().filter(|e| **e <= cut).count() as u64;
        let torn = u64::from(left > 0 || cut > 0) * u64::from(!ends.contains(&cut) && cut > 0);
        assert_eq!((o.next_seq() > left + torn, r.lost), (true, torn), "at {cut}");
        let mut c = Collector::default();
        c.drain(&mut o, 0);
        assert_eq!((c.ids().len() as u64, c.lost.len() as u64), (left, torn), "at {cut}");
    }
}

#[test]
fn what_is_free_in_a_segment_tells_of_no_loss() {
    // Where a byte changes in it: nothing that was told stood there.
    for at in [None, Some(0), Some(39), Some(40), Some(2000)] {
        let (ram, file, _) = twelve();
        ram.edit(&file, |b| {
            let end = b.len();
            b.resize(1 << 16, 0xFF);
            if let Some(at) = at {
                b[end + at] ^= 4;
            }
        });
        let (o, r) = ram.open(1 << 20);
        assert_eq!((r.records, r.lost, r.damaged_bytes), (12, 0, u64::from(at.is_some())), "at {at:?}");
        assert_eq!(o.next_seq(), 13, "at {at:?}");
    }
}

#[test]
fn a_zeroed_block_is_damage_even_where_nothing_else_is() {
    let (ram, ..) = twelve();
    let zeroed = [vec![0; 512], vec![0xFF; 3584]].concat();
    ram.0.lock().unwrap().files.insert("0000000000000001.seg".to_owned(), (zeroed.clone(), zeroed));
    let seen = inspect::inspect(&mut ram.clone()).unwrap();
    assert!(!seen.is_whole(), "who only looks sees it, too");
    let (o, r) = ram.open(1 << 20);
    assert_eq!(
        (r.records, r.damaged_bytes, r.lost),
        (13, 512, 12),
        "as many as may have stood there, and their loss"
    );
    assert_eq!(o.next_seq(), 26);
}

#[test]
fn a_bit_flipped_in_every_byte() {
    let (ram, file, _) = twelve();
    let whole = ram.copy().0.lock().unwrap().files[&file].0.clone();
    let ends = ends(&whole);
    for i in 0..whole.len() {
        let ram = ram.copy();
        ram.edit(&file, |b| b[i] ^= 1 << (i % 8));
        let hit = ends.iter().filter(|e| **e <= i).count() as u64 + 1;
        let (mut o, r) = ram.open(1 << 20);
        assert_eq!((r.lost, r.records), (1, 12), "at {i}");
        assert!(ram.0.lock().unwrap().files.contains_key("quarantine.bin"));
        let mut c = Collector::default();
        c.drain(&mut o, 0);
        let missing: Vec<_> = (1..=12).filter(|id| !c.ids().contains(id)).collect();
        assert_eq!((missing, c.lost.len()), (vec![hit], 1), "at {i}");
        assert!(c.lost.iter().all(|((_, n), reason)| *n == hit && *reason == loss::DAMAGED));
        // Told once, not at every start.
        let (_, r) = ram.open(1 << 20);
        assert_eq!((r.lost, r.damaged_bytes), (0, 0), "at {i}");
    }
}

/// Twelve durable records in one segment, and nothing free behind them.
fn twelve() -> (Ram, String, u64) {
    let ram = Ram::default();
    let (mut o, _) = ram.open(1 << 20);
    for id in 1..=12 {
        say(&mut o, 0, 9, id, 3);
    }
    o.sync(1000);
    let name = ram.0.lock().unwrap().files.keys().find(|n| n.ends_with(".seg")).unwrap().clone();
    ram.edit(&name, |b| b.truncate(*ends(b).last().unwrap()));
    (ram, name, o.epoch())
}

fn ends(bytes: &[u8]) -> Vec<usize> {
    let mut v = Vec::new();
    record::scan(bytes, |f| {
        if let record::Found::Record(at, h) = f {
            v.push(at + HEADER + h.len);
        }
    });
    v
}

#[test]
fn the_cursor_is_only_a_cache() {
    for spoil in 0..3 {
        let (ram, ..) = twelve();
        let (mut o, _) = ram.open(1 << 20);
        let epoch = o.epoch();
        assert!(o.acked(0, epoch, 5));
        o.close(0);
        match spoil {
            0 => ram.edit(cursor::NAME, |b| b[9] ^= 1),
            1 => ram.edit(cursor::NAME, Vec::clear),
            _ => drop(ram.0.lock().unwrap().files.remove(cursor::NAME)),
        }
        let (mut o, r) = ram.open(1 << 20);
        assert_eq!((o.epoch(), r.cursor_lost, r.lost, r.records), (epoch, true, 0, 12));
        let mut c = Collector::default();
        c.drain(&mut o, 0);
        assert_eq!((c.ids().len(), c.lost.len(), o.next_seq()), (12, 0, 13));
    }
}

#[test]
fn without_cursor_and_records_a_new_epoch_begins() {
    let (ram, file, epoch) = twelve();
    let (mut o, _) = ram.open(1 << 20);
    o.acked(0, epoch, 12);
    o.close(0);
    ram.0.lock().unwrap().files.remove(&file);
    let (o, _) = ram.open(1 << 20);
    assert_eq!((o.epoch(), o.next_seq()), (epoch, 13), "the cursor knows");
    drop(o);
    ram.edit(cursor::NAME, Vec::clear);
    let (o, _) = ram.open(1 << 20);
    assert_ne!(o.epoch(), epoch);
}

#[test]
fn a_full_outbox_accounts_for_every_number_and_every_byte() {
    for max in [32 * 1024, 100_000, 1 << 18] {
        let ram = Ram::default();
        let (mut o, _) = ram.open(max);
        let mut fatal = BTreeSet::new();
        for id in 1..=8000u64 {
            let severity = if id % 50 == 0 && fatal.len() < 60 { 21 } else { 9 + (id % 2) as u8 * 4 };
            if severity == 21 {
                fatal.insert(id);
            }
            say(&mut o, id * 20, severity, id, (id % 90) as usize);
            o.sync(id * 20);
            let f = ram.0.lock().unwrap();
            assert_eq!(o.bytes(), f.total(), "id {id}");
        }
        assert!(ram.0.lock().unwrap().peak <= max, "{} of {max}", ram.0.lock().unwrap().peak);
        assert!(o.lost() > 0 && o.next_seq() == 8001);
        o.close(200_000);
        drop(o);
        let (mut o, r) = ram.open(max);
        assert_eq!(r.lost, 0, "what was lost was noted with its reason");
        let mut c = Collector::default();
        c.drain(&mut o, 0);
        assert!(ram.0.lock().unwrap().peak <= max);
        let ids = c.ids();
        assert!(fatal.is_subset(&ids), "the severe stay");
        for n in 1..=8000 {
            assert!(ids.contains(&n) != c.lost.contains_key(&(o.epoch(), n)), "{n}: either or");
        }
        assert!(c.lost.values().all(|r| *r == loss::FULL));
        println!("max {max}: {} delivered, {} lost, {} written", ids.len(), c.lost.len(), o.bytes_written());
    }
}

#[test]
fn what_is_acknowledged_batch_by_batch_is_freed_to_the_last() {
    let ram = Ram::default();
    let (mut o, _) = ram.open(32 * 1024);
    for id in 1..=400 {
        say(&mut o, id, 9, id, 100);
    }
    o.declare(at(400));
    o.sync(2000);
    assert!(o.lost() > 0);
    let (mut bytes, mut n) = (Vec::new(), 0);
    while let Some(b) = o.batch(900, false, &mut bytes) {
        o.acked(3000, b.epoch, b.last);
        n += b.items;
        bytes.clear();
    }
    assert_eq!((o.waiting(), o.acked_seq()), (0, o.next_seq() - 1));
    assert!(n > 100);
}

#[test]
fn an_event_that_is_too_large_is_declared() {
    let ram = Ram::default();
    let (mut o, _) = ram.open(1 << 18);
    assert_eq!(o.push(at(0), Kind::Fact, 1, 9, &vec![0; 40_000]), 1);
    say(&mut o, 0, 9, 2, 0);
    let mut c = Collector::default();
    c.drain(&mut o, 0);
    assert_eq!(c.lost.values().copied().collect::<Vec<_>>(), [loss::TOO_LARGE]);
}

#[test]
fn a_disk_that_fails_at_the_nth_call() {
    for times in [1, 2, 3, 40, u64::MAX] {
        for nth in 1..60 {
            let ram = Ram::default();
            ram.0.lock().unwrap().fail = Some((nth, times));
            let (mut o, _) = ram.open(1 << 16);
            let mut c = Collector::default();
            let mut now = 0;
            for id in 1..=120 {
                now += 700;
                say(&mut o, now, 9, id, 60);
                o.sync(now);
                if id % 9 == 0 {
                    c.deliver(&mut o, 3);
                    c.ack(&mut o, now);
                }
            }
            if times == u64::MAX {
                assert!(o.is_memory_only(), "openly");
            } else {
                ram.0.lock().unwrap().fail = None;
            }
            c.drain(&mut o, now);
            assert_eq!(o.is_memory_only(), times == u64::MAX, "{nth} {times}");
            let lost = c.lost.len();
            assert_eq!(c.ids().len() + lost, 120, "fails {times} from call {nth} on");
            assert_eq!(lost, 0, "there was memory enough");
        }
    }
}

#[test]
fn numbers_given_in_memory_are_not_given_again_after_a_restart() {
    let (ram, _, epoch) = twelve();
    let (mut o, _) = ram.open(1 << 20);
    let mut c = Collector::default();
    ram.0.lock().unwrap().fail = Some((0, u64::MAX));
    for id in 13..=30 {
        say(&mut o, 5000, 9, id, 0);
    }
    o.sync(6000);
    assert!(o.is_memory_only() && o.epoch() != epoch);
    c.deliver(&mut o, 100);
    assert_eq!(c.ids().len(), 30);
    drop(o);
    ram.0.lock().unwrap().fail = None;
    let (mut o, _) = ram.open(1 << 20);
    for id in 31..=40 {
        say(&mut o, 0, 9, id, 0);
    }
    c.drain(&mut o, 0);
    assert_eq!(c.ids().len(), 40);
}

#[test]
fn a_full_outbox_declares_what_the_collector_waits_for() {
    let ram = Ram::default();
    let (mut o, _) = ram.open(36 * 1024);
    for id in 1..=400 {
        say(&mut o, 0, 17, id, 200);
    }
    o.declare(at(0));
    o.sync_now(0);
    // The collector has what was lost so far; the records that said so still wait behind all others.
    let told = o.lanes[0].covers.iter().map(|c| c.range.last()).max().unwrap();
    assert!(o.acked(0, o.epoch(), told));
    // The next one is damaged, and there is no room to say so.
    let first = o.lanes[0].recs[0];
    ram.edit(&segments::name(first.seg), |bytes| bytes[first.off as usize + HEADER + 20] ^= 1);
    Collector::default().deliver(&mut o, 1);
    (401..).take_while(|id| say(&mut o, 0, 17, *id, 0) > 0 && o.has_room(LOSS_BYTES)).last();
    assert!(o.has_undeclared() && first.seq == told + 1);
    o.declare(at(0));
    assert!(o.lanes[0].covers.iter().any(|c| c.range.first == first.seq), "{:?}", o.lanes[0].covers);
}

#[test]
fn a_file_that_cannot_be_read_now_is_tried_again_and_given_up_at_last() {
    for comes_back in [true, false] {
        let (ram, file, _) = twelve();
        // Not the active one, whose bytes are in memory.
        let (mut o, _) = ram.open(1 << 20);
        o.rotate();
        let bytes = ram.0.lock().unwrap().files.remove(&file).unwrap();
        let mut c = Collector::default();
        for _ in 0..20 {
            c.deliver(&mut o, 1);
        }
        assert!(c.got.is_empty() && o.lost() == 0);
        if comes_back {
            ram.0.lock().unwrap().files.insert(file, bytes);
        }
        for _ in 0..100 {
            c.deliver(&mut o, 1);
        }
        c.drain(&mut o, 0);
        assert_eq!((c.ids().len(), c.lost.len()), if comes_back { (12, 0) } else { (0, 12) });
    }
}

#[test]
fn what_became_of_an_event_is_known() {
    let ram = Ram::default();
    let (mut o, _) = ram.open(1 << 15);
    let (epoch, seq) = (o.epoch(), say(&mut o, 0, 9, 1, 0));
    assert_eq!(o.standing(epoch, seq), Standing::Pending);
    o.sync(1000);
    assert_eq!(o.standing(epoch, seq), Standing::Durable);
    o.acked(1000, epoch, seq);
    assert_eq!(o.standing(epoch, seq), Standing::Durable);
    let seq = say(&mut o, 1000, 9, 2, 200);
    for id in 3..=300 {
        say(&mut o, 1000, 17, id, 200);
    }
    assert_eq!(o.standing(epoch, seq), Standing::Lost, "it had to make room");
    ram.fail_from(1, u64::MAX);
    let seq = say(&mut o, 2000, 17, 302, 0);
    o.sync(2000);
    assert_eq!(o.standing(epoch, seq), Standing::Volatile, "it moved to another epoch");
    let (epoch, seq) = (o.epoch(), say(&mut o, 2000, 17, 303, 0));
    assert_eq!(o.standing(epoch, seq), Standing::Volatile);
    ram.fail_from(1, 0);
    o.sync(100_000);
    assert_eq!(o.standing(epoch, seq), Standing::Durable, "the disk is back");
}

#[test]
fn what_moved_to_memory_is_not_found_under_its_old_number() {
    let (ram, ..) = twelve();
    let (mut o, _) = ram.open(1 << 20);
    say(&mut o, 0, 9, 13, 0);
    // The bytes are written, then the sync fails, and so does writing them anew.
    ram.fail_from(2, 2);
    o.sync(1000);
    assert!(o.is_memory_only());
    let mut c = Collector::default();
    c.deliver(&mut o, 100);
    // Killed: the file has what was written, synced or not.
    c.drain(&mut ram.copy().open(1 << 20).0, 0);
    assert_eq!(c.got.values().filter(|id| **id == Some(13)).count(), 1);
}

#[test]
fn numbers_are_not_forgotten_while_the_cursor_cannot_be_written() {
    let (ram, _, epoch) = twelve();
    let (mut o, _) = ram.open(1 << 20);
    say(&mut o, 0, 9, 13, 0);
    ram.fail_from(1, u64::MAX);
    o.sync(1000);
    let mut c = Collector::default();
    c.deliver(&mut o, 100);
    c.ack(&mut o, 1000);
    // One call works, then no other: not the time to remove the file that shows which numbers were given.
    ram.fail_from(2, u64::MAX);
    o.sync(10_000);
    drop(o);
    ram.fail_from(1, 0);
    let (o, _) = ram.open(1 << 20);
    assert!(o.epoch() != epoch || o.next_seq() > 12, "{} is given again", o.next_seq());
}

#[test]
fn an_epoch_that_is_over_does_not_come_back() {
    let (ram, file, _) = twelve();
    let old = ram.0.lock().unwrap().files[&file].clone();
    let (mut o, _) = ram.open(1 << 20);
    say(&mut o, 0, 9, 13, 0);
    ram.fail_from(1, 5);
    o.sync(1000);
    let mut c = Collector::default();
    c.drain(&mut o, 1000);
    o.sync(10_000_000);
    assert!(!o.is_memory_only());
    let epoch = o.epoch();
    drop(o);
    // The removal of the first epoch's file did not last.
    ram.0.lock().unwrap().files.insert(file, old);
    let (mut o, _) = ram.open(1 << 20);
    assert_eq!(o.epoch(), epoch);
    say(&mut o, 0, 9, 14, 0);
    c.drain(&mut o, 0);
    assert_eq!(c.ids().len(), 14);
}

#[test]
fn what_may_not_be_durable_in_a_folder_that_cannot_be_written_waits_for_the_disk() {
    let (ram, _, epoch) = twelve();
    ram.fail_from(1, u64::MAX);
    let (mut o, report) = ram.open(1 << 20);
    assert!(o.is_memory_only() && report.memory_only.is_some() && o.epoch() != epoch);
    let mut c = Collector::default();
    c.deliver(&mut o, 100);
    assert_eq!(c.ids().len(), 0, "lost with the power, their numbers would be given again");
    say(&mut o, 0, 9, 13, 0);
    ram.fail_from(1, 0);
    c.drain(&mut o, 0);
    assert!(!o.is_memory_only());
    assert_eq!((c.ids().len(), c.lost.len()), (13, 0));
}

#[test]
fn a_full_disk_is_left_and_found_again() {
    let ram = Ram::default();
    let (mut o, _) = ram.open(1 << 20);
    ram.0.lock().unwrap().capacity = Some(3000);
    for id in 1..=100 {
        say(&mut o, id * 1000, 9, id, 50);
        o.sync(id * 1000 + 500);
    }
    assert!(o.is_memory_only());
    ram.0.lock().unwrap().capacity = None;
    o.sync(200_000);
    assert!(!o.is_memory_only());
    drop(o);
    ram.cut(0);
    let (mut o, _) = ram.open(1 << 20);
    let mut c = Collector::default();
    c.drain(&mut o, 0);
    assert_eq!((c.ids().len(), c.lost.len()), (100, 0));
}

#[test]
fn an_old_copy_of_the_folder_is_noticed() {
    let (ram, _, epoch) = twelve();
    let old = ram.copy();
    let mut c = Collector::default();
    let (mut o, _) = ram.open(1 << 20);
    for id in 13..=40 {
        say(&mut o, 0, 9, id, 0);
    }
    c.drain(&mut o, 0);
    let (mut o, _) = old.open(1 << 20);
    for id in 101..=105 {
        say(&mut o, 0, 9, id, 0);
    }
    o.sync(1000);
    o.acked(1000, epoch, 40);
    assert!(o.epoch() != epoch && o.strange_acks() == 1);
    c.drain(&mut o, 2000);
    assert!((101..=105).all(|id| c.ids().contains(&id)));
}

#[test]
fn acknowledgements_of_other_epochs_and_of_nothing_are_ignored() {
    let (ram, _, epoch) = twelve();
    let (mut o, _) = ram.open(1 << 20);
    assert!(!o.acked(0, epoch ^ 1, 5) && !o.acked(0, epoch, 0));
    say(&mut o, 0, 9, 13, 0);
    assert!(!o.acked(0, epoch, 13), "it is not durable: nobody can have it");
    assert_eq!(o.waiting(), 13);
}

#[test]
fn power_lost_at_every_call() {
    for torn in [0, 9, 300] {
        let (mut nth, mut cuts) = (1, 0);
        loop {
            let ram = Ram::default();
            ram.0.lock().unwrap().fail = Some((nth, u64::MAX));
            let (mut o, mut c, mut durable) = (ram.open(40_000).0, Collector::default(), BTreeMap::new());
            let (mut lost_power, mut pushed) = (false, BTreeMap::new());
            for id in 1..=600u64 {
                let now = id * 300;
                let seq = say(&mut o, now, if id % 7 == 0 { 17 } else { 9 }, id, (id % 150) as usize);
                pushed.insert((o.epoch(), seq), id);
                o.sync(now);
                lost_power = ram.0.lock().unwrap().calls >= nth;
                if lost_power {
                    break;
                }
                if o.sync_due(now).is_none_or(|due| due > now + 1000) {
                    durable.append(&mut pushed);
                }
                if id % 40 == 0 {
                    o.declare(at(now));
                    o.sync(now + 1000);
                    c.deliver(&mut o, 6);
                    c.ack(&mut o, now);
                }
            }
            drop(o);
            ram.0.lock().unwrap().fail = None;
            ram.cut(torn);
            let (mut o, _) = ram.open(40_000);
            for id in 1001..=1010 {
                say(&mut o, 0, 9, id, 20);
            }
            c.drain(&mut o, 0);
            let ids = c.ids();
            assert!((1001..=1010).all(|id| ids.contains(&id)), "call {nth}, {torn} torn");
            for (key, id) in &durable {
                let came = c.got.get(key) == Some(&Some(*id));
                assert!(came != c.lost.contains_key(key), "{key:?}: call {nth}, {torn} torn");
            }
            (nth, cuts) = (nth + 1, cuts + 1);
            if !lost_power {
                break;
            }
        }
        println!("{cuts} cuts with {torn} bytes torn");
    }
}

#[derive(Debug, Clone)]
enum Op {
    Push(u8, usize),
    Wait(u64),
    Deliver(usize),
    Ack,
    Close,
    Cut(usize),
    Flip(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => (prop_oneof![Just(9u8), Just(13), Just(17)], 0usize..200).prop_map(|(s, l)| Op::Push(s, l)),
        4 => (1u64..3000).prop_map(Op::Wait),
        3 => (1usize..6).prop_map(Op::Deliver),
        2 => Just(Op::Ack),
        1 => Just(Op::Close),
        1 => (0usize..200).prop_map(Op::Cut),
        1 => (0usize..1_000_000).prop_map(Op::Flip),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn delivered_and_declared_lost_is_pushed(ops in proptest::collection::vec(op(), 1..400)) {
        let ram = Ram::default();
        let max = 36 * 1024;
        let (mut o, _) = ram.open(max);
        let mut c = Collector::default();
        let (mut now, mut id, mut flips) = (0, 0, 0);
        let mut pending: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let mut durable: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let mut maybe = BTreeSet::new();
        for op in ops {
            match op {
                Op::Push(severity, long) => {
                    for _ in 0..4 {
                        id += 1;
                        let seq = say(&mut o, now, severity, id, long);
                        pending.insert((o.epoch(), seq), id);
                    }
                }
                Op::Wait(ms) => {
                    now += ms;
                    o.declare(at(now));
                    o.sync(now);
                }
                Op::Deliver(n) => c.deliver(&mut o, n),
                Op::Ack => {
                    c.ack(&mut o, now);
                    o.rewind();
                }
                Op::Close => {
                    o.close(now);
                    durable.append(&mut pending);
                    o = ram.open(max).0;
                }
                Op::Cut(torn) => {
                    ram.cut(torn);
                    o = ram.open(max).0;
                    maybe.extend(std::mem::take(&mut pending).into_values());
                }
                Op::Flip(at) => {
                    o.close(now);
                    durable.append(&mut pending);
                    flips += 1;
                    let files: Vec<_> = ram.0.lock().unwrap().files.iter()
                        .filter(|(n, (b, _))| n.ends_with(".seg") && !b.is_empty()).map(|(n, _)| n.clone()).collect();
                    if let Some(file) = files.get(at % files.len().max(1)) {
                        ram.edit(file, |b| { let i = at % b.len(); b[i] ^= 0x10; });
                    }
                    o = ram.open(max).0;
                }
            }
            if o.sync_due(now).is_none() {
                durable.append(&mut pending);
            }
            let f = ram.0.lock().unwrap();
            prop_assert_eq!(o.bytes(), f.total());
            prop_assert!(f.peak <= max);
        }
        o.close(now);
        durable.append(&mut pending);
        c.drain(&mut o, now);
        for ((epoch, seq), id) in &durable {
            let got = c.got.get(&(*epoch, *seq)) == Some(&Some(*id));
            let lost = c.lost.get(&(*epoch, *seq)).copied();
            prop_assert!(got || lost.is_some(), "{} is neither delivered nor declared", seq);
            // What had to go while its acknowledgement was on the way did come.
            let wrong = got && lost.is_some_and(|reason| reason != loss::FULL);
            prop_assert!(!wrong || flips > 0, "{} is delivered and declared {:?}", seq, lost);
        }
        for (key, id) in &c.got {
            prop_assert!(id.is_none_or(|id| durable.get(key) == Some(&id) || maybe.contains(&id)), "invented");
        }
        prop_assert!(o.epoch() == 0 || c.got.keys().all(|(e, _)| *e == o.epoch()));
    }
}
