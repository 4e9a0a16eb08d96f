//! Who writes: the streams of a source, each with what belongs to all of its lines.

use fieldmouse_core::logs::rate::Rate;
use serde::{Deserialize, Serialize};

use super::ledger::MOST_NOW;

/// More streams than this are one.
pub(super) const MOST: usize = 32;
/// Bytes of a name.
const NAME: usize = 40;
/// Seconds for which a kind of fact is not told again of one stream at first. Doubled each time it would be.
const HUSH: u32 = 600;
/// Times it is doubled.
const DOUBLINGS: u8 = 7;

/// One of them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) name: String,
    /// Seconds of the book in which it wrote first and last.
    pub(super) first: u32,
    pub(super) last: u32,
    /// All lines, and those of errors, since the last tick.
    pub(super) now: [u32; 2],
    pub(super) lines: Rate,
    pub(super) errors: Rate,
    /// Whether it was told that it writes nothing any more.
    pub(super) is_missed: bool,
    hushes: [Hush; super::tell::KINDS],
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Hush {
    until: u32,
    doublings: u8,
}

impl Stream {
    /// Whether what was read from a file can be one, `at` being the second it was written in.
    pub(super) fn is_sound(&self, at: u32) -> bool {
        let is_hush =
            |hush: &Hush| hush.doublings <= DOUBLINGS && hush.until <= at.saturating_add(HUSH << DOUBLINGS);
        self.first.max(self.last) <= at
            && self.now.iter().all(|now| *now <= MOST_NOW)
            && self.hushes.iter().all(is_hush)
    }

    /// Whether a fact of this kind may be told now; if so, the next has to wait.
    pub(super) fn may_tell(&mut self, kind: usize, at: u32) -> bool {
        let Some(hush) = self.hushes.get_mut(kind) else { return false };
        if at < hush.until {
            return false;
        }
        let wait = HUSH << hush.doublings;
        if at - hush.until > 4 * wait {
            hush.doublings = 0;
        }
        hush.until = at + (HUSH << hush.doublings);
        hush.doublings = (hush.doublings + 1).min(DOUBLINGS);
        true
    }
}

/// All of them, in the order in which they were seen.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) all: Vec<Stream>,
    /// The last one asked for.
    latest: usize,
}

impl Streams {
    /// The place of a stream. Those for which there is no place share the last.
    pub(super) fn of(&mut self, name: &str, at: u32) -> u8 {
        let name = &name[..name.floor_char_boundary(NAME)];
        let is = |s: &Stream| s.name == name;
        if !self.all.get(self.latest).is_some_and(is) {
            let found = self.all.iter().position(is);
            self.latest = found.unwrap_or_else(|| self.add(name, at));
        }
        self.latest as u8
    }

    fn add(&mut self, name: &str, at: u32) -> usize {
        if self.all.len() < MOST {
            let name = if self.all.len() == MOST - 1 { "others" } else { name };
            let name = name.chars().filter(|c| !c.is_control()).collect();
            self.all.push(Stream { name, first: at, ..Stream::default() });
        }
        self.all.len() - 1
    }

    pub(super) fn name(&self, at: u8) -> &str {
        self.all.get(usize::from(at)).map_or("", |s| &s.name)
    }
}
