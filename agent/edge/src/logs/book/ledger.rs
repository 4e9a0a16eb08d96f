//! What is known of each template besides its text: when it comes, and how often.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use fieldmouse_core::logs::beat::Beat;
use fieldmouse_core::logs::rate::Rate;
use fieldmouse_core::logs::severity::Class;
use fieldmouse_core::logs::sign::Sign;
use serde::{Deserialize, Serialize};

/// What comes again within so many seconds is one occasion.
pub(super) const OCCASION: u32 = 600;
/// Seconds after which a template counts as new no more in what is expected of new ones.
const NOVELTY: u32 = 7 * 86_400;
/// Templates that were forgotten, and are known when they come again.
const GONE: usize = 1024;
/// Lines between two ticks are fewer.
pub(super) const MOST_NOW: u32 = 1 << 30;
/// Seconds in which the count of lately loses two thirds of its weight.
const LATELY: f32 = 120.0;

/// Of one template.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Entry {
    /// When it came first and last, in seconds of the book.
    pub(super) first: u32,
    pub(super) last: u32,
    /// Lines since the last tick.
    pub(super) now: u32,
    /// Lines of late.
    lately: f32,
    /// When it was told last; 0: never.
    pub(super) told: u32,
    /// Parts of ten minutes in which it came.
    pub(super) occasions: u16,
    /// Lines of its first ten minutes.
    pub(super) debut: u16,
    /// Of its last line.
    pub(super) class: Class,
    /// Where it came first.
    pub(super) stream: u8,
    pub(super) sign: Option<Sign>,
    /// Whether its silence was told.
    pub(super) is_missed: bool,
    pub(super) rate: Rate,
    pub(super) beat: Beat,
}

impl Entry {
    pub(super) fn new(first: u32, stream: u8, sign: Option<Sign>) -> Self {
        Self { first, stream, sign, ..Self::default() }
    }

    /// Counts the lines since the last tick. `is_backlog`: they were not written when they came. `Some`: it is back after
    /// a silence of so many seconds.
    pub(super) fn settle(&mut self, at: u32, is_backlog: bool) -> Option<u32> {
        let lines = std::mem::take(&mut self.now);
        self.lately = self.lately(at) + lines as f32;
        let is_other = at / OCCASION != self.last / OCCASION;
        let more = if is_backlog { lines.min(2) as u16 } else { u16::from(is_other || self.occasions == 0) };
        self.occasions = self.occasions.saturating_add(more);
        if at - self.first < OCCASION {
            self.debut = self.debut.saturating_add(u16::try_from(lines).unwrap_or(u16::MAX));
        }
        self.last = at;
        if is_backlog {
            self.beat.resume(at);
            return None;
        }
        self.rate.add(lines);
        self.beat.seen(at)
    }

    /// Lines of the last minutes, the latest first.
    pub(super) fn lately(&self, at: u32) -> f32 {
        self.lately * (-(at.saturating_sub(self.last) as f32) / LATELY).exp()
    }

    /// Whether it was told within so many seconds.
    pub(super) fn is_told(&self, at: u32, within: u32) -> bool {
        self.told != 0 && at.saturating_sub(self.told) < within
    }

    /// Whether what was read from a file can be one, `at` being the second it was written in.
    pub(super) fn is_sound(&self, at: u32) -> bool {
        self.first.max(self.last).max(self.told) <= at
            && self.now <= MOST_NOW
            && usize::from(self.stream) < super::streams::MOST
    }

    fn join(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.now = self.now.saturating_add(other.now);
        self.lately += other.lately;
        self.last = self.last.max(other.last);
        self.told = self.told.max(other.told);
        self.occasions = self.occasions.saturating_add(other.occasions);
        self.debut = self.debut.saturating_add(other.debut);
        self.class = self.class.max(other.class);
        self.rate.join(&other.rate);
    }
}

/// Of all templates. Ids are hashes already.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: HashMap<u32, Entry, BuildHasherDefault<AsIs>>,
    /// Those with lines since the last tick.
    touched: Vec<u32>,
    gone: VecDeque<u32>,
}

impl Ledger {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, id: u32) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Entry)> {
        self.entries.iter_mut().map(|(id, entry)| (*id, entry))
    }

    /// A line of a template; `new` makes the entry of one that is not known.
    pub(super) fn line(&mut self, id: u32, new: impl FnOnce() -> Entry) -> &mut Entry {
        let entry = self.entries.entry(id).or_insert_with(new);
        if entry.now == 0 {
            self.touched.push(id);
        }
        entry.now += 1;
        entry
    }

    /// Those with lines since the last time.
    pub(super) fn take_touched(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.touched)
    }

    /// Gives the list of [`Ledger::take_touched`] back, so that its room is used again.
    pub(super) fn reuse(&mut self, mut touched: Vec<u32>) {
        touched.clear();
        self.touched = touched;
    }

    /// Two turned out to be one.
    pub(super) fn merge(&mut self, from: u32, into: u32) {
        let Some(other) = self.entries.remove(&from) else { return };
        let Some(entry) = self.entries.get_mut(&into) else {
            self.entries.insert(into, other);
            self.touched.push(into);
            return;
        };
        if entry.now == 0 && other.now > 0 {
            self.touched.push(into);
        }
        entry.join(&other);
    }

    /// There was no room for it. It is no news when it comes again.
    pub(super) fn evict(&mut self, id: u32) {
        self.entries.remove(&id);
        self.remember(id);
    }

    fn remember(&mut self, id: u32) {
        if self.gone.len() == GONE {
            self.gone.pop_front();
        }
        self.gone.push_back(id);
    }

    /// Whether it was known once.
    pub(super) fn was_known(&self, id: u32) -> bool {
        self.gone.contains(&id)
    }

    /// How many came on one occasion alone, of those like this one: of its stream, as grave, and about as many lines at
    /// once. Where many did, another one is no news (Good 1953).
    pub(super) fn alike(&self, of: &Entry, at: u32) -> usize {
        let is_alike = |e: &&Entry| {
            let is_old = at.saturating_sub(e.first) > OCCASION && at.saturating_sub(e.first) < NOVELTY;
            let is_of = e.stream == of.stream && (e.class == of.class || of.class == Class::Info);
            is_of && is_old && e.occasions <= 1 && u32::from(e.debut) * 2 > u32::from(of.debut)
        };
        self.entries.values().filter(is_alike).count()
    }

    pub(super) fn save(&self) -> (Vec<(u32, Entry)>, Vec<u32>) {
        let entries = self.entries.iter().map(|(id, entry)| (*id, entry.clone())).collect();
        (entries, self.gone.iter().copied().collect())
    }

    pub(super) fn restore((entries, gone): (Vec<(u32, Entry)>, Vec<u32>)) -> Self {
        let mut ledger = Self { entries: entries.into_iter().collect(), ..Self::default() };
        // What came after the last tick was not settled.
        ledger.touched = ledger.iter().filter(|(_, e)| e.now > 0).map(|(id, _)| id).collect();
        gone.into_iter().for_each(|id| ledger.remember(id));
        ledger
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * (size_of::<(u32, Entry)>() + 1)
            + 4 * (self.touched.capacity() + self.gone.capacity())
    }
}

/// Takes a number for its own hash.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.0 = self.0 << 8 | u64::from(*b));
    }

    fn write_u32(&mut self, n: u32) {
        // The table looks at the upper bits, too.
        self.0 = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
