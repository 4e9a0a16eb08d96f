//! A line after masking: text in which every value is `<*>`, and the words of it by which lines are compared.

use heapless::Vec;
use serde::{Deserialize, Serialize};

/// Bytes of text that are kept of a line; what is longer is cut.
pub const MAX_TEXT: usize = 1024;
/// Words that are kept of a line.
pub const MAX_WORDS: usize = 96;
/// What stands in the text for a value.
pub const VALUE: &str = "<*>";

/// A word, or a value between words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// Alike for alike words; [`Word::VALUE`] for a value.
    pub hash: u32,
    /// Where it begins in the text, in bytes.
    pub start: u16,
    /// Where it ends.
    pub end: u16,
}

impl Word {
    /// The hash of every value.
    pub const VALUE: u32 = 0;

    /// Whether it is a value.
    #[must_use]
    pub fn is_value(&self) -> bool {
        self.hash == Self::VALUE
    }
}

/// A masked line. It is made by `mask` alone, is valid UTF-8, and holds no control characters.
#[derive(Debug, Clone, Default)]
pub struct Line {
    text: Vec<u8, MAX_TEXT>,
    words: Vec<Word, MAX_WORDS>,
    is_cut: bool,
    is_full: bool,
}

impl Line {
    /// The text, with [`VALUE`] in place of values.
    #[must_use]
    pub fn text(&self) -> &str {
        core::str::from_utf8(&self.text).unwrap_or("")
    }

    /// Its words, in order.
    #[must_use]
    pub fn words(&self) -> &[Word] {
        &self.words
    }

    /// Whether it was longer than is kept.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Alike for lines of alike words, whatever stands between these.
    #[must_use]
    pub fn hash(&self) -> u64 {
        hash_of(self.words.iter().map(|w| w.hash))
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.words.clear();
        self.is_cut = false;
        self.is_full = false;
    }

    pub(super) fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Whether nothing more will be taken.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    fn fill(&mut self) {
        self.is_cut = true;
        self.is_full = true;
    }

    /// Whether a value ends the line so far, but for `between`.
    pub(super) fn ends_in_value(&self) -> bool {
        let Some(last) = self.words.last() else { return false };
        last.is_value() && self.text[usize::from(last.end)..].iter().all(|b| is_soft(*b))
    }

    /// What stands between words: ASCII, and of spaces one.
    pub(super) fn push_between(&mut self, byte: u8) {
        let byte = if byte == b'\t' { b' ' } else { byte };
        if byte == b' ' && matches!(self.text.last(), None | Some(b' ')) {
            return;
        }
        if !(b' '..0x7f).contains(&byte) || self.is_full {
            return;
        }
        if self.text.push(byte).is_err() {
            self.fill();
        }
    }

    pub(super) fn push_word(&mut self, word: &[u8]) {
        let is_odd = |c: char| !c.is_ascii() && (c.is_control() || c.is_numeric());
        match core::str::from_utf8(word) {
            Ok(text) if word.is_ascii() || !text.contains(is_odd) => self.push(word, hash_word(word)),
            _ => self.push_value(),
        }
    }

    /// Values beside each other are one: so lists of any length are alike.
    pub(super) fn push_value(&mut self) {
        if self.ends_in_value() {
            let end = self.words.last().map_or(0, |w| usize::from(w.end));
            self.text.truncate(end);
        } else {
            self.push(VALUE.as_bytes(), Word::VALUE);
        }
    }

    fn push(&mut self, text: &[u8], hash: u32) {
        let start = self.text.len();
        let is_room = !self.is_full && !self.words.is_full();
        if !is_room || self.text.extend_from_slice(text).is_err() {
            return self.fill();
        }
        let _room_is_known = self.words.push(Word { hash, start: start as u16, end: self.text.len() as u16 });
    }

    pub(super) fn trim(&mut self) {
        while self.text.last() == Some(&b' ') {
            self.text.pop();
        }
    }
}

/// What may stand between the values of one list.
fn is_soft(byte: u8) -> bool {
    matches!(byte, b' ' | b',' | b'/' | b':' | b'=' | b'-' | b'.' | b'&' | b';' | b'+')
}

/// Of a sequence of words. The same on every machine and in every version: ids are made from it.
#[must_use]
pub fn hash_of(words: impl Iterator<Item = u32>) -> u64 {
    words.fold(0xcbf2_9ce4_8422_2325, |h, w| {
        let h = (h ^ u64::from(w)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h ^ (h >> 29)
    })
}

fn hash_word(word: &[u8]) -> u32 {
    let h = word.iter().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193));
    if h == Word::VALUE { 1 } else { h }
}
