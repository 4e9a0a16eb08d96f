//! The template miner: which lines were written by one statement. Online, in bounded memory, one setting for all logs.
//!
//! A line is compared by its words after masking, and with templates of as many words only. Lines that agree in all
//! but one word stay apart until so many words were seen in that place that they must be names: what varies is
//! counted, not guessed. A word that is known to be a name needs no further count in another place.

use std::collections::{HashSet, VecDeque};

use fieldmouse_core::logs::line::{Line, MAX_WORDS, Word};
use serde::{Deserialize, Serialize};

use super::names::Names;
use super::template::{Difference, Template, difference, fit, id_of};

/// What came of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The template it is of.
    pub id: u32,
    /// Whether there was none before.
    pub is_new: bool,
}

/// What became of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It turned out to be of the same statement as another, which counts its lines from now on.
    Merged {
        /// The id that is no more.
        from: u32,
        /// The one in its place.
        into: u32,
    },
    /// There was no room for it.
    Evicted(Template),
}

/// How much a miner may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Templates at once, at most 65,535.
    pub templates: usize,
    /// Bytes of all of them.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { templates: 2000, bytes: 900 << 10 }
    }
}

/// How many words have to be seen in one place to be names, by how many others stand around it.
const NAMES: [usize; 4] = [usize::MAX, 6, 5, 4];
/// The same for the first word, which more often than others says what the statement is.
const FIRST_NAMES: usize = 20;
/// The same behind `=`: states and levels.
const ATTRIBUTES: usize = 5;
/// Templates looked at again after a line, at most; the rest waits for the next line.
const LOOKS: usize = 16;
/// Lines whose template is known without looking.
const LATELY: usize = 4096;
/// Nobody has read more.
const MOST_LINES: u64 = 1 << 60;
/// Lines in which a template that is not seen loses half its weight against being forgotten.
const HALF_LIFE: u64 = 1 << 16;

/// Learns templates, line by line.
#[derive(Debug)]
pub struct Miner {
    limits: Limits,
    slots: Vec<Option<Template>>,
    free: Vec<u16>,
    /// Slots of the templates with so many words.
    by_length: Vec<Vec<u16>>,
    /// The slot of lines seen lately: all but the last 16 bits are of the line's hash.
    lately: Box<[u64]>,
    names: Names,
    /// Slots that have to be looked at again.
    doubtful: VecDeque<u16>,
    changes: Vec<Change>,
    bytes: usize,
    lines: u64,
}

/// What came of looking at a template.
enum Look {
    /// It is a statement of its own.
    Apart,
    /// These are of the same.
    Kin(Vec<u16>),
    /// In this place of it and of these stand names.
    Names(usize, Vec<u16>),
}

/// What outlives a restart.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    lines: u64,
    names: Vec<u32>,
    templates: Vec<Template>,
}

impl Default for Miner {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Miner {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            slots: Vec::new(),
            free: Vec::new(),
            by_length: vec![Vec::new(); MAX_WORDS + 1],
            lately: vec![0; LATELY].into(),
            names: Names::default(),
            doubtful: VecDeque::new(),
            changes: Vec::new(),
            bytes: 0,
            lines: 0,
        }
    }

    /// All templates, in no order that means anything.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.slots.iter().flatten()
    }

    /// What became of templates since this was asked last.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Bytes of memory in all.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let lists: usize = self.by_length.iter().map(|list| 2 * list.capacity()).sum();
        let tables = size_of_val(&*self.lately) + self.names.bytes() + size_of_val(&*self.by_length);
        let empty = (self.slots.capacity() - self.templates().count()) * size_of::<Option<Template>>();
        self.bytes + lists + tables + empty
    }

    /// Takes the next line.
    pub fn learn(&mut self, line: &Line) -> Seen {
        self.lines += 1;
        let hash = line.hash();
        let place = hash as usize % LATELY;
        let known = self.lately[place];
        let (slot, is_new) = if known != 0 && (known ^ hash) >> 16 == 0 {
            (known as u16, false)
        } else {
            let found = self.find(line.words());
            let slot = found.unwrap_or_else(|| self.insert(line));
            self.lately[place] = (hash & !0xffff) | u64::from(slot);
            (slot, found.is_none())
        };
        let lines = self.lines;
        let template = self.slots[usize::from(slot)].as_mut();
        let template = template.expect("the slot of a template that is there");
        template.count += 1;
        template.last = lines;
        let seen = Seen { id: template.id, is_new };
        if is_new {
            self.doubtful.push_back(slot);
        }
        self.settle(LOOKS);
        seen
    }

    /// Does at once what would wait for further lines.
    pub fn settle_all(&mut self) {
        self.settle(usize::MAX);
    }

    fn at(&self, slot: u16) -> Option<&Template> {
        self.slots[usize::from(slot)].as_ref()
    }

    /// The template that says most of what the line says.
    fn find(&self, words: &[Word]) -> Option<u16> {
        let all = self.by_length[words.len()].iter();
        let fits = all.filter_map(|slot| Some((fit(self.at(*slot)?.words(), words)?, *slot)));
        fits.max_by_key(|(alike, slot)| (*alike, u16::MAX - slot)).map(|(_, slot)| slot)
    }

    fn insert(&mut self, line: &Line) -> u16 {
        let mut id = id_of(line.words());
        while self.templates().any(|t| t.id == id) {
            id = id.wrapping_add(0x9e37_79b9);
        }
        self.put(Template::new(id, line))
    }

    fn put(&mut self, template: Template) -> u16 {
        let room = |m: &Self| m.slots.len() - m.free.len() < m.limits.templates.min(usize::from(u16::MAX));
        while !room(self) || self.bytes + template.bytes() > self.limits.bytes {
            let Some(victim) = self.least_missed() else { break };
            let evicted = self.remove(victim);
            self.changes.extend(evicted.map(Change::Evicted));
        }
        self.bytes += template.bytes();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u16
        });
        self.by_length[template.words().len()].push(slot);
        self.slots[usize::from(slot)] = Some(template);
        slot
    }

    /// The one seen least, and of those the one seen longest ago; counts grow old.
    fn least_missed(&self) -> Option<u16> {
        let weight = |t: &Template| {
            let halvings = (self.lines.saturating_sub(t.last) / HALF_LIFE) as i64;
            (i64::from(t.count.checked_ilog2().unwrap_or(0)) - halvings, t.last)
        };
        let all = self.slots.iter().enumerate().filter_map(|(slot, t)| Some((weight(t.as_ref()?), slot)));
        all.min().map(|(_, slot)| slot as u16)
    }

    fn remove(&mut self, slot: u16) -> Option<Template> {
        let template = self.slots[usize::from(slot)].take()?;
        self.bytes -= template.bytes();
        self.by_length[template.words().len()].retain(|s| *s != slot);
        self.free.push(slot);
        self.lately.iter_mut().filter(|known| **known as u16 == slot).for_each(|known| *known = 0);
        self.doubtful.retain(|s| *s != slot);
        Some(template)
    }

    /// Looks at doubtful templates, and merges those of one statement.
    fn settle(&mut self, looks: usize) {
        for _ in 0..looks {
            let Some(slot) = self.doubtful.pop_front() else { return };
            match self.look(slot) {
                Look::Apart => {}
                Look::Kin(kin) => self.merge(slot, &kin),
                Look::Names(at, peers) => self.forget(at, peers.into_iter().chain([slot])),
            }
        }
    }

    fn look(&self, slot: u16) -> Look {
        let Some(template) = self.at(slot) else { return Look::Apart };
        let words = template.words();
        let (mut kin, mut siblings) = (Vec::new(), Vec::new());
        for peer in self.by_length[words.len()].iter().copied().filter(|peer| *peer != slot) {
            let Some(other) = self.at(peer) else { continue };
            let Some(d) = difference(words, other.words()) else { continue };
            if self.is_kin(template, other, d) {
                kin.push(peer);
            } else if d.values == 0 && (d.words == 1 || d.is_all(|at| template.is_attribute(at))) {
                siblings.push((d, peer));
            }
        }
        if !kin.is_empty() {
            return Look::Kin(kin);
        }
        let around = words.iter().filter(|w| !w.is_value()).count().saturating_sub(1);
        for at in 0..words.len() {
            let there: Vec<u16> =
                siblings.iter().filter(|(d, _)| d.is_at(at)).map(|(_, peer)| *peer).collect();
            let needed = if at == 0 { FIRST_NAMES } else { NAMES[around.min(NAMES.len() - 1)] };
            let needed = if template.is_attribute(at) { needed.max(ATTRIBUTES) } else { needed };
            if there.len() + 1 >= needed && self.distinct(at, &there) + 1 >= needed {
                return Look::Names(at, there);
            }
        }
        Look::Apart
    }

    /// How many words stand in one place of these.
    fn distinct(&self, at: usize, slots: &[u16]) -> usize {
        let words: HashSet<u32> = slots.iter().filter_map(|s| Some(self.at(*s)?.words()[at].hash)).collect();
        words.len()
    }

    /// Whether two are of one statement, whatever others say: one has values where the other has words, or they
    /// differ in names that are known.
    fn is_kin(&self, a: &Template, b: &Template, d: Difference) -> bool {
        let is_name = |at: &u8| {
            let at = usize::from(*at);
            let known = |t: &Template| self.names.holds(t.words()[at].hash);
            !a.is_attribute(at) && known(a) && known(b)
        };
        let enough =
            d.alike > 0 && d.alike >= 2 * (d.values + d.words) || d.alike >= 2 && d.words + d.values == 1;
        enough && d.places[..d.words].iter().all(is_name)
    }

    /// Makes a value of one place of all of these; those alike then are merged when they are looked at.
    fn forget(&mut self, at: usize, slots: impl Iterator<Item = u16>) {
        let mut fresh = Vec::new();
        for slot in slots {
            let Some(template) = self.slots[usize::from(slot)].as_mut() else { continue };
            fresh.extend(Some(template.words()[at].hash).filter(|word| self.names.add(*word)));
            self.bytes -= template.bytes();
            template.forget_word(at);
            self.bytes += template.bytes();
            self.doubt(slot);
        }
        self.doubt_those_with(&fresh);
    }

    /// Makes one of them all: the one with most lines, and of those the oldest, keeps its id.
    fn merge(&mut self, slot: u16, kin: &[u16]) {
        let all = || kin.iter().copied().chain([slot]);
        let weight = |slot: &u16| self.at(*slot).map(|t| (t.count, u64::MAX - t.last));
        let Some(into) = all().max_by_key(weight) else { return };
        let mut fresh = Vec::new();
        for from in all().filter(|from| *from != into) {
            let Some(other) = self.remove(from) else { continue };
            let Some(template) = self.slots[usize::from(into)].as_mut() else { continue };
            self.bytes -= template.bytes();
            for at in 0..other.words().len() {
                let pair = [template.words()[at].hash, other.words()[at].hash];
                if pair[0] != pair[1] {
                    let words = pair.into_iter().filter(|word| *word != Word::VALUE);
                    fresh.extend(words.filter(|word| self.names.add(*word)));
                    template.forget_word(at);
                }
            }
            template.count += other.count;
            self.bytes += template.bytes();
            self.changes.push(Change::Merged { from: other.id, into: template.id });
        }
        self.doubt(into);
        self.doubt_those_with(&fresh);
    }

    fn doubt(&mut self, slot: u16) {
        if !self.doubtful.contains(&slot) {
            self.doubtful.push_back(slot);
        }
    }

    /// Words that became names may be what kept other templates apart.
    fn doubt_those_with(&mut self, fresh: &[u32]) {
        if fresh.is_empty() {
            return;
        }
        for slot in 0..self.slots.len() as u16 {
            if self.at(slot).is_some_and(|t| t.hashes().any(|hash| fresh.contains(&hash))) {
                self.doubt(slot);
            }
        }
    }

    /// What was learnt, for [`Miner::restore`]. It holds masked text alone.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let state = State {
            lines: self.lines,
            names: self.names.all().collect(),
            templates: self.templates().cloned().collect(),
        };
        postcard::to_extend(&state, Vec::new()).unwrap_or_default()
    }

    /// A miner that goes on from there.
    ///
    /// # Errors
    /// If the bytes are no state of a miner.
    pub fn restore(limits: Limits, state: &[u8]) -> Result<Self, postcard::Error> {
        let state: State = postcard::from_bytes(state)?;
        let mut miner = Self::new(limits);
        miner.lines = state.lines.min(MOST_LINES);
        for word in state.names {
            miner.names.add(word);
        }
        for template in state.templates {
            if template.words().len() <= MAX_WORDS && template.is_sound(miner.lines) {
                miner.put(template);
            }
        }
        Ok(miner)
    }
}
