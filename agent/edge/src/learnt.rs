//! What was learnt, in a form that survives a restart: a file of records that vouch for themselves.
//!
//! A record is `magic 2 | length u32 | crc u32`, little endian, then postcard: what it is, of which series, when it was
//! written, and the layout of its state, then the state, packed. Damage costs the records it hits. State of another
//! layout, as an older or newer version wrote it, is not read: learning begins anew there, which is said.

pub mod keeper;
mod layout;
mod packed;

use std::collections::HashMap;

use fieldmouse_core::series::{Millis, SeriesKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::Stamp;

pub use layout::Layout;
use packed::Packer;

const MAGIC: [u8; 2] = [0xF1, 0x1E];
const FRAME: usize = 10;
/// The longest record.
const LONGEST: usize = 64 << 10;
/// The longest file: what does not fit is learnt anew after a restart.
pub const MOST: usize = 4 << 20;
/// A series that was not seen for so long is forgotten.
const FORGET_MS: Millis = 7 * 86_400_000;

/// What a record is about. The numbers stand in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum What {
    /// When the file was written; see [`Moment`].
    Moment = 0,
    /// The state of a series.
    Series = 1,
    /// What belongs to the whole device: its episodes.
    Device = 2,
    /// Maintenance: what was opened by hand, and what was told.
    Calendar = 3,
    /// Episodes of the last days.
    Account = 4,
    /// What is remembered of a series that has a limit, and what was foretold of it.
    Limit = 5,
}

/// When a file was written, by every clock there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// On the time axis of what was learnt, which goes on over restarts.
    pub at: Millis,
    /// Monotonic, since that boot.
    pub mono_ms: Millis,
    /// Milliseconds since 1970, if it was known.
    pub wall_ms: Option<u64>,
    /// Which boot that was; zero if unknown.
    pub boot: u128,
}

impl Moment {
    /// How long ago that was. None if no clock can say: the device was off, and has no time, or it ran backwards.
    #[must_use]
    pub fn ago(&self, now: Stamp, boot: u128) -> Option<Millis> {
        if boot != 0 && boot == self.boot {
            return now.mono_ms.checked_sub(self.mono_ms);
        }
        now.wall_ms?.checked_sub(self.wall_ms?)
    }
}

/// What stands in front of a state.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Label {
    what: u8,
    key: SeriesKey,
    at: Millis,
    layout: u32,
}

#[derive(Debug)]
struct Record {
    at: Millis,
    layout: u32,
    /// Packed.
    state: Vec<u8>,
}

/// What could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refused {
    /// Bytes that are no record.
    pub damaged: usize,
    /// Records of another layout.
    pub foreign: usize,
}

/// What was read and is not taken yet.
#[derive(Debug, Default)]
pub struct Learnt {
    /// When it was written; none if there is nothing.
    pub moment: Option<Moment>,
    /// What could not be used so far.
    pub refused: Refused,
    records: HashMap<(u8, SeriesKey), Record>,
}

impl Learnt {
    /// Reads a file. Total: whatever stands there, the rest is what is known.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let mut learnt = Self::default();
        let mut at = 0;
        while at < bytes.len() {
            match frame(&bytes[at..]) {
                Some(body) => {
                    at += FRAME + body.len();
                    learnt.file(body);
                }
                None => {
                    at += 1;
                    learnt.refused.damaged += 1;
                }
            }
        }
        let moment = learnt.device::<Moment>(What::Moment);
        // Without its head a file is as old as its newest record, on the axis of what was learnt alone.
        let newest = learnt.records.values().map(|r| r.at).max();
        learnt.moment = moment.or_else(|| newest.map(|at| Moment { at, mono_ms: 0, wall_ms: None, boot: 0 }));
        learnt
    }

    fn file(&mut self, body: &[u8]) {
        match postcard::take_from_bytes::<Label>(body) {
            Ok((label, state)) => {
                let record = Record { at: label.at, layout: label.layout, state: state.to_vec() };
                self.records.insert((label.what, label.key), record);
            }
            Err(_) => self.refused.foreign += 1,
        }
    }

    /// Adds what another file says; of two records about the same the newer one stands.
    pub fn merge(&mut self, other: Self) {
        for (id, record) in other.records {
            if self.records.get(&id).is_none_or(|mine| mine.at <= record.at) {
                self.records.insert(id, record);
            }
        }
        self.refused.damaged += other.refused.damaged;
        self.refused.foreign += other.refused.foreign;
        self.moment = [self.moment, other.moment].into_iter().flatten().max_by_key(|m| m.at);
    }

    /// Takes the state of a series out, if it is there in this layout.
    pub fn series<T: DeserializeOwned>(&mut self, key: &SeriesKey) -> Option<T> {
        self.take(What::Series, key)
    }

    /// Takes out what is remembered of a series' limit.
    pub fn limit<T: DeserializeOwned>(&mut self, key: &SeriesKey) -> Option<T> {
        self.take(What::Limit, key)
    }

    /// Takes out what belongs to the whole device.
    pub fn device<T: DeserializeOwned>(&mut self, what: What) -> Option<T> {
        self.take(what, &device())
    }

    fn take<T: DeserializeOwned>(&mut self, what: What, key: &SeriesKey) -> Option<T> {
        if self.records.is_empty() {
            return None;
        }
        let record = self.records.remove(&(what as u8, key.clone()))?;
        if self.records.is_empty() {
            // What was taken leaves no empty places behind.
            self.records = HashMap::new();
        }
        let state = (record.layout == Layout::of::<T>().0)
            .then(|| postcard::from_bytes::<T>(&packed::unpack(&record.state, LONGEST)).ok())
            .flatten();
        self.refused.foreign += usize::from(state.is_none());
        state
    }

    /// How many records were not taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether everything was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// The body of a whole record at the beginning of `bytes`.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if !bytes.starts_with(&MAGIC) {
        return None;
    }
    let len = usize::try_from(word(2)?).ok().filter(|len| *len <= LONGEST)?;
    let body = bytes.get(FRAME..FRAME + len)?;
    (crc32fast::hash(body) == word(6)?).then_some(body)
}

/// The key of what belongs to no series.
fn device() -> SeriesKey {
    SeriesKey::custom("")
}

/// Writes a file.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    at: Millis,
}

impl Writer {
    /// A file written now, of about so many bytes.
    #[must_use]
    pub fn new(moment: &Moment, about: usize) -> Self {
        let mut writer = Self { bytes: Vec::with_capacity(about), at: moment.at };
        writer.device(What::Moment, Layout::of::<Moment>(), moment);
        writer
    }

    /// Adds the state of a series, which is to be read as the type of this layout.
    pub fn series<T: Serialize>(&mut self, key: &SeriesKey, layout: Layout, state: &T) {
        self.put(What::Series, key.clone(), layout, state);
    }

    /// Adds what is remembered of a series' limit.
    pub fn limit<T: Serialize>(&mut self, key: &SeriesKey, layout: Layout, state: &T) {
        self.put(What::Limit, key.clone(), layout, state);
    }

    /// Adds what belongs to the whole device.
    pub fn device<T: Serialize>(&mut self, what: What, layout: Layout, state: &T) {
        self.put(what, device(), layout, state);
    }

    fn put<T: Serialize>(&mut self, what: What, key: SeriesKey, layout: Layout, state: &T) {
        let label = Label { what: what as u8, key, at: self.at, layout: layout.0 };
        self.frame(
            |to| Ok(postcard::to_extend(state, Packer::new(postcard::to_extend(&label, to)?))?.done()),
        );
    }

    /// Adds the states of series that were read and have not come back yet, unless that was long ago.
    pub fn carry(&mut self, learnt: &Learnt) {
        for ((what, key), record) in &learnt.records {
            let is_of_series = [What::Series, What::Limit].iter().any(|w| *w as u8 == *what);
            if !is_of_series || self.at.saturating_sub(record.at) > FORGET_MS {
                continue;
            }
            let label = Label { what: *what, key: key.clone(), at: record.at, layout: record.layout };
            self.frame(|to| {
                let mut to = postcard::to_extend(&label, to)?;
                to.extend_from_slice(&record.state);
                Ok(to)
            });
        }
    }

    fn frame(&mut self, body: impl FnOnce(Vec<u8>) -> postcard::Result<Vec<u8>>) {
        let at = self.bytes.len();
        if at + LONGEST > MOST {
            return;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.resize(at + FRAME, 0);
        // Nothing that is kept can fail to be written into memory.
        let Ok(mut bytes) = body(bytes) else { return };
        let body = bytes.get(at + FRAME..).unwrap_or_default();
        let (len, crc) = (u32::try_from(body.len()).unwrap_or(u32::MAX), crc32fast::hash(body));
        let head = [&MAGIC[..], &len.to_le_bytes(), &crc.to_le_bytes()].concat();
        bytes.splice(at..at + FRAME, head);
        self.bytes = bytes;
    }

    /// The file.
    #[must_use]
    pub fn done(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type State = (u32, [f32; 3]);

    const MOMENT: Moment = Moment { at: 5_000, mono_ms: 1_000, wall_ms: Some(9_000), boot: 7 };

    fn written() -> Vec<u8> {
        let mut w = Writer::new(&MOMENT, 0);
        for i in 0..4u8 {
            let state: State = (u32::from(i), [0.5; 3]);
            w.series(&SeriesKey::custom(&i.to_string()), Layout::of::<State>(), &state);
        }
        w.done()
    }

    fn count(learnt: &mut Learnt) -> usize {
        (0..4)
            .filter(|i| learnt.take::<State>(What::Series, &SeriesKey::custom(&i.to_string())).is_some())
            .count()
    }

    #[test]
    fn every_flipped_byte_costs_one_record_at_most() {
        let good = written();
        let mut learnt = Learnt::read(&good);
        assert_eq!(
            (learnt.moment, learnt.refused, count(&mut learnt)),
            (Some(MOMENT), Refused::default(), 4)
        );
        let mut lost = 0;
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            let mut learnt = Learnt::read(&bad);
            let (moment, known) = (learnt.moment, count(&mut learnt));
            assert!(learnt.refused.damaged > 0, "byte {at}");
            assert_eq!(moment.map(|m| m.at), Some(5_000), "byte {at}");
            lost += 4 - known;
            assert!(known == 4 && moment != Some(MOMENT) || known == 3, "byte {at}: {known} of 4");
        }
        assert!(lost > 100);
        for len in 0..good.len() {
            let mut learnt = Learnt::read(&good[..len]);
            assert!(count(&mut learnt) < 4);
        }
    }

    #[test]
    fn state_of_another_layout_is_refused_and_what_is_absent_is_carried() {
        let key = SeriesKey::custom("2");
        let mut learnt = Learnt::read(&written());
        assert_eq!(learnt.take::<(u32, [u32; 3])>(What::Series, &key), None);
        assert_eq!(learnt.refused, Refused { damaged: 0, foreign: 1 });
        let check = |later: Millis, known: usize| {
            let mut w = Writer::new(&Moment { at: 5_000 + later, ..MOMENT }, 0);
            w.carry(&learnt);
            assert_eq!(count(&mut Learnt::read(&w.done())), known);
        };
        check(60_000, 3);
        check(FORGET_MS + 1, 0);
    }

    #[test]
    fn how_long_ago_is_told_by_the_clock_that_knows() {
        let check = |mono_ms, wall_ms, boot, ago| {
            assert_eq!(MOMENT.ago(Stamp { mono_ms, wall_ms, clock: 1 }, boot), ago);
        };
        check(3_000, None, 7, Some(2_000));
        check(3_000, Some(1), 7, Some(2_000));
        check(500, Some(69_000), 8, Some(60_000));
        check(500, Some(8_000), 8, None);
        check(500, None, 8, None);
        check(500, None, 7, None);
    }
}
