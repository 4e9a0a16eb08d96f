//! A template: what the lines of one statement have in common.

use fieldmouse_core::logs::line::{Line, VALUE, Word, hash_of};
use serde::{Deserialize, Serialize};

/// What lines of one statement have in common, and how many there were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Made from the words of the first line, and kept whatever becomes of them.
    pub id: u32,
    /// Lines seen.
    pub count: u64,
    /// The number of the last one.
    pub(super) last: u64,
    text: String,
    words: Box<[Word]>,
}

impl Template {
    pub(super) fn new(id: u32, line: &Line) -> Self {
        Self { id, count: 0, last: 0, text: line.text().to_owned(), words: line.words().into() }
    }

    /// The text, with [`VALUE`] where lines differ.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn words(&self) -> &[Word] {
        &self.words
    }

    pub(super) fn hashes(&self) -> impl Iterator<Item = u32> {
        self.words.iter().map(|w| w.hash)
    }

    /// Each of its words once, with its hash; values are none.
    pub(super) fn distinct_words(&self) -> impl Iterator<Item = (u32, &str)> {
        let is_first = |at: usize, hash: u32| self.words[..at].iter().all(|w| w.hash != hash);
        let words = self.words.iter().enumerate();
        words
            .filter(move |(at, w)| !w.is_value() && w.end - w.start > 2 && is_first(*at, w.hash))
            .filter_map(|(_, w)| Some((w.hash, self.text.get(usize::from(w.start)..usize::from(w.end))?)))
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.capacity() + size_of_val(&*self.words)
    }

    /// Whether a word stands behind `=`: it tells cases apart rather than things.
    pub(super) fn is_attribute(&self, at: usize) -> bool {
        let start = usize::from(self.words[at].start);
        self.text[..start].ends_with('=')
    }

    /// Makes a value of a word.
    pub(super) fn forget_word(&mut self, at: usize) {
        let Word { hash, start, end } = self.words[at];
        if hash == Word::VALUE {
            return;
        }
        self.text.replace_range(usize::from(start)..usize::from(end), VALUE);
        let moved = |at: u16| at + VALUE.len() as u16 - (end - start);
        self.words[at] = Word { hash: Word::VALUE, start, end: start + VALUE.len() as u16 };
        for later in &mut self.words[at + 1..] {
            (later.start, later.end) = (moved(later.start), moved(later.end));
        }
    }

    /// Whether what was read from a file can be one, after so many lines.
    pub(super) fn is_sound(&self, lines: u64) -> bool {
        let mut end = 0;
        let in_order = self.words.iter().all(|w| {
            let is_behind = w.start >= end && w.start < w.end;
            end = w.end;
            let range = usize::from(w.start)..usize::from(w.end);
            is_behind && self.text.get(range).is_some_and(|text| !w.is_value() || text == VALUE)
        });
        in_order && self.count.max(self.last) <= lines && self.text.len() <= u16::MAX as usize
    }
}

/// How many places of difference are told; more is too many.
const MAX_PLACES: usize = 3;

/// How the words of a template differ from others of the same number.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Difference {
    /// Words alike, values not counted.
    pub(super) alike: usize,
    /// Places where one has a value and the other a word.
    pub(super) values: usize,
    /// Places where words differ: how many, and which.
    pub(super) words: usize,
    pub(super) places: [u8; MAX_PLACES],
}

impl Difference {
    /// Whether words differ in this place.
    pub(super) fn is_at(&self, at: usize) -> bool {
        self.places[..self.words].contains(&(at as u8))
    }

    /// Whether all places in which words differ are such.
    pub(super) fn is_all(&self, such: impl Fn(usize) -> bool) -> bool {
        self.places[..self.words].iter().all(|at| such(usize::from(*at)))
    }
}

/// `None`: they differ in more places than anybody asks for.
pub(super) fn difference(a: &[Word], b: &[Word]) -> Option<Difference> {
    let mut d = Difference::default();
    for (at, (a, b)) in a.iter().zip(b).enumerate() {
        if a.hash == b.hash {
            d.alike += usize::from(!a.is_value());
        } else if a.is_value() || b.is_value() {
            d.values += 1;
        } else {
            *d.places.get_mut(d.words)? = at as u8;
            d.words += 1;
        }
    }
    Some(d)
}

/// How many words of a line stand in the template; `None` if it is no line of it.
pub(super) fn fit(template: &[Word], line: &[Word]) -> Option<usize> {
    template.iter().zip(line).try_fold(0, |alike, (t, w)| match t.hash {
        Word::VALUE => Some(alike),
        hash => (hash == w.hash).then_some(alike + 1),
    })
}

/// An id from the words: the same on every device that saw the same first line.
pub(super) fn id_of(words: &[Word]) -> u32 {
    let hash = hash_of(words.iter().map(|w| w.hash));
    (hash ^ (hash >> 32)) as u32
}
