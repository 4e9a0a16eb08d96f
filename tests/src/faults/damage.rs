//! A5: an outbox of 64 KiB, cut at every byte, with a bit flipped in every byte, with blocks zeroed and segments swapped.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fieldmouse::outbox::{self, Options, Outbox};

use super::ram::{Files, Ram};
use super::receiver::{Came, Receiver, at, push};
use super::{each, shuffle};
use crate::results::{Row, say};
use crate::sim::rng::Rng;
use crate::wait::timed;

/// The log's size.
const BYTES: usize = 64 * 1024;
/// What stands where nothing was written yet.
const FILL: u8 = 0xFF;
/// In front of a payload, as `outbox/record.rs` describes it.
const HEADER: usize = 32;

fn options() -> Options {
    Options::new(2 * BYTES as u64)
}

/// What is done to one file.
#[derive(Debug, Clone)]
enum Damage {
    Cut(String, usize),
    Flip(String, usize, u8),
    Zero(String, Range<usize>),
    Swap(String, String),
}

/// A record: its file and place, and its number.
#[derive(Debug, Clone)]
struct Place {
    file: String,
    bytes: Range<usize>,
    seq: u64,
}

/// An outbox full of events that nobody took.
fn pristine() -> (Files, Vec<Place>, u64) {
    let ram = Ram::default();
    let (mut outbox, _) = Outbox::open(Box::new(ram.clone()), options(), outbox::entropy(), at(0));
    let is_log = |name: &String| name.ends_with(".seg");
    let len = |ram: &Ram| ram.files().iter().filter(|(n, _)| is_log(n)).map(|(_, b)| b.len()).sum::<usize>();
    for id in 1.. {
        assert_eq!(push(&mut outbox, 0, id, 9), id, "numbers are the ids here");
        outbox.sync_now(0);
        // The last segment is as long as it may become.
        if len(&ram) as u64 >= BYTES as u64 + options().segment_bytes {
            break;
        }
    }
    let (files, mut places) = (ram.files(), Vec::new());
    for (file, bytes) in files.iter().filter(|(n, _)| is_log(n)) {
        let mut from = 0;
        while bytes.get(from).is_some_and(|b| *b != FILL) {
            let word = |at: usize| u64::from_le_bytes(bytes[from + at..from + at + 8].try_into().unwrap());
            let to = from + HEADER + usize::try_from(word(4) & 0xFFFF_FFFF).unwrap();
            places.push(Place { file: file.clone(), bytes: from..to, seq: word(16) });
            from = to;
        }
    }
    (files, places, outbox.epoch())
}

fn apply(damage: &Damage, files: &mut Files) {
    match damage {
        Damage::Cut(file, at) => files.get_mut(file).unwrap().truncate(*at),
        Damage::Flip(file, at, bit) => files.get_mut(file).unwrap()[*at] ^= 1 << bit,
        Damage::Zero(file, range) => files.get_mut(file).unwrap()[range.clone()].fill(0),
        Damage::Swap(a, b) => {
            let bytes = std::mem::take(files.get_mut(a).unwrap());
            let bytes = std::mem::replace(files.get_mut(b).unwrap(), bytes);
            files.insert(a.clone(), bytes);
        }
    }
}

impl Damage {
    fn spares(&self, place: &Place) -> bool {
        let (file, range) = match self {
            Self::Cut(file, at) => (file, *at..usize::MAX),
            Self::Flip(file, at, _) => (file, *at..at + 1),
            Self::Zero(file, range) => (file, range.clone()),
            Self::Swap(..) => return true,
        };
        place.file != *file || place.bytes.end <= range.start || range.end <= place.bytes.start
    }

    /// Whether the record is gone without a trace, with the end of the log.
    fn cuts_off(&self, place: &Place, places: &[Place]) -> bool {
        let last = &places.last().unwrap().file;
        matches!(self, Self::Cut(file, at) if file == last && place.file == *file && place.bytes.start >= *at)
    }

    /// Whether bytes of a record are missing or wrong, so that it can be seen.
    fn shows(&self, places: &[Place]) -> bool {
        match self {
            // Between two records there is nothing to see but the numbers that are missing behind it.
            Self::Cut(file, at) => {
                let is_inside = |p: &&Place| p.file == *file && p.bytes.start < *at && *at < p.bytes.end;
                let last = places.last().unwrap();
                places.iter().find(is_inside).is_some()
                    || (last.file != *file && places.iter().any(|p| !self.spares(p)))
            }
            _ => places.iter().any(|p| !self.spares(p)),
        }
    }
}

#[derive(Debug, Default)]
struct Failed {
    panicked: u64,
    missing: u64,
    wrong: u64,
    silent: u64,
    uncounted: u64,
}

fn check(damage: &Damage, pristine: &Files, places: &[Place], epoch: u64) -> Failed {
    let mut failed = Failed::default();
    let done = catch_unwind(AssertUnwindSafe(|| {
        let mut files = pristine.clone();
        apply(damage, &mut files);
        let (mut outbox, report) =
            Outbox::open(Box::new(Ram::with(files)), options(), outbox::entropy(), at(1));
        let lost = outbox.lost();
        let mut receiver = Receiver::default();
        let drained = receiver.drain(&mut outbox, 1);
        (receiver, drained, report, lost)
    }));
    let Ok((receiver, drained, report, lost)) = done else {
        failed.panicked = 1;
        return failed;
    };
    let came: BTreeMap<u64, Came> =
        receiver.got.iter().filter(|(k, _)| k.0 == epoch).map(|(k, came)| (k.1, *came)).collect();
    for place in places {
        match came.get(&place.seq) {
            Some(Came::Fact(id)) if *id == place.seq => {}
            // Nobody can know of numbers that stood behind a cut: the next may be given again.
            Some(Came::Loss) if damage.cuts_off(place, places) => {}
            Some(_) => failed.wrong += 1,
            None if damage.spares(place) => failed.missing += 1,
            None => {}
        }
    }
    failed.wrong += receiver.got.len() as u64 - came.len() as u64;
    failed.silent = u64::from(!drained) + receiver.silent();
    failed.uncounted = u64::from(damage.shows(places) && report.damaged_bytes == 0 && lost == 0);
    failed
}

/// Does one in `every` of all damages; returns how often it went wrong.
#[must_use]
pub fn run(every: usize, seed: u64) -> u64 {
    let mut row =
        Row::new("A5", "outbox of 64 KiB cut, flipped, zeroed at every byte, segments swapped", Some(seed));
    let (files, places, epoch) = pristine();
    let mut rng = Rng::new(seed);
    let mut all = Vec::new();
    for (file, bytes) in &files {
        for at in 0..bytes.len() {
            all.push(Damage::Cut(file.clone(), at));
            all.push(Damage::Flip(file.clone(), at, u8::try_from(rng.below(8)).unwrap()));
        }
        for block in [512, 4096] {
            for from in (0..bytes.len()).step_by(block) {
                all.push(Damage::Zero(file.clone(), from..(from + block).min(bytes.len())));
            }
        }
        for other in
            files.keys().filter(|other| *other > file && other.ends_with(".seg") && file.ends_with(".seg"))
        {
            all.push(Damage::Swap(file.clone(), other.clone()));
        }
    }
    row.figure("damage.records", places.len(), "records");
    shuffle(seed, &mut all);
    all.truncate(all.len() / every);
    // What panics is counted; its words would fill the screen.
    std::panic::set_hook(Box::new(|_| {}));
    let (done, took) = timed(|| {
        each(&all, |damage| {
            let failed = check(damage, &files, &places, epoch);
            if failed.panicked + failed.missing + failed.wrong + failed.silent + failed.uncounted > 0 {
                say(&format!("damage: {damage:?}: {failed:?}"));
            }
            failed
        })
    });
    // The default one again.
    let _ours = std::panic::take_hook();
    let sum = |of: fn(&Failed) -> u64| done.iter().map(of).sum::<u64>();
    row.count("damage.cases", done.len() as u64, "cases");
    row.failures("damage.panics", sum(|f| f.panicked), "panics");
    row.failures("damage.missing", sum(|f| f.missing), "undamaged events not delivered");
    row.failures("damage.wrong", sum(|f| f.wrong), "events that were never pushed");
    row.failures("damage.silent", sum(|f| f.silent), "numbers missing without a word");
    row.failures("damage.uncounted", sum(|f| f.uncounted), "damages not counted");
    if every > 1 {
        row.bound("damage.bound_95", done.len() as u64);
    }
    row.figure("damage.took", took.as_secs(), "s");
    row.failed()
}
