//! 300 operations on an outbox in a real folder, and the ledger of what was promised meanwhile.
//!
//! The ledger goes line by line to whoever watches, so that what was promised before a kill is known after it. Time is
//! the script's own: it runs as fast as the disk, and alike each time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::time::Duration;

use fieldmouse::disk::Folder;
use fieldmouse::outbox::{self, Options, Outbox, Standing};
use fieldmouse_core::wire::loss;

use super::receiver::{Came, Receiver, at, push};
use crate::sim::rng::Rng;
use crate::wait::timed;

const OPERATIONS: u64 = 300;
/// Nobody takes anything meanwhile, so that the outbox fills and something has to go.
const DARK: std::ops::Range<u64> = 90..210;

fn open(dir: &Path, now: u64) -> Outbox {
    Outbox::open(Box::new(Folder::new(dir)), Options::new(32 * 1024), outbox::entropy(), at(now)).0
}

struct Script<'a> {
    outbox: Outbox,
    receiver: Receiver,
    pending: VecDeque<(u64, u64, u64)>,
    now: u64,
    id: u64,
    say: &'a mut dyn FnMut(&str),
}

/// Does it all, and tells each promise before the next operation.
pub fn run(dir: &Path, seed: u64, say: &mut dyn FnMut(&str)) {
    let mut rng = Rng::new(seed);
    say("begin");
    let mut s = Script {
        outbox: open(dir, 1000),
        receiver: Receiver::default(),
        pending: VecDeque::new(),
        now: 1000,
        id: 0,
        say,
    };
    for operation in 0..OPERATIONS {
        match rng.below(100) {
            0..55 => s.push(),
            55..76 => s.wait(rng.between(500, 2500)),
            76..94 if !DARK.contains(&operation) => s.deliver(rng.below(5) > 0),
            94..96 => s.outbox.rewind(),
            96..98 => s.wait(700_000),
            98 => s.restart(dir, true),
            99 => s.restart(dir, false),
            _ => s.push(),
        }
    }
    s.push();
    // Long enough for a disk that fails ten times to be tried again after each.
    for _ in 0..15 {
        s.wait(61_000);
    }
    let end = if s.outbox.is_memory_only() { "end memory" } else { "end disk" };
    (s.say)(end);
}

impl Script<'_> {
    fn push(&mut self) {
        self.id += 1;
        let id = self.id;
        (self.say)(&format!("try {id}"));
        let severity = if id.is_multiple_of(50) { 17 } else { 9 + u8::from(id.is_multiple_of(7)) * 4 };
        let seq = push(&mut self.outbox, self.now, id, severity);
        self.pending.push_back((self.outbox.epoch(), seq, id));
        self.wait(0);
    }

    fn wait(&mut self, ms: u64) {
        self.now += ms;
        if self.outbox.has_undeclared() {
            self.outbox.declare(at(self.now));
        }
        self.outbox.sync(self.now);
        while let Some(&(epoch, seq, id)) = self.pending.front() {
            match self.outbox.standing(epoch, seq) {
                Standing::Pending => break,
                Standing::Durable => (self.say)(&format!("durable {epoch} {seq} {id}")),
                Standing::Volatile | Standing::Lost => {}
            }
            self.pending.pop_front();
        }
    }

    fn deliver(&mut self, answers: bool) {
        for (epoch, seq, came) in self.receiver.take(&mut self.outbox) {
            if let Came::Fact(id) = came {
                (self.say)(&format!("sent {epoch} {seq} {id}"));
            }
        }
        for epoch in self.receiver.epochs().into_iter().filter(|_| answers) {
            let seq = self.receiver.contiguous(epoch);
            (self.say)(&format!("acked {epoch} {seq}"));
            self.outbox.acked(self.now, epoch, seq);
        }
    }

    fn restart(&mut self, dir: &Path, clean: bool) {
        if clean {
            self.outbox.close(self.now);
        }
        self.wait(0);
        self.pending.clear();
        self.outbox = open(dir, self.now);
    }
}

/// What was promised.
#[derive(Debug, Default)]
pub struct Ledger {
    tried: u64,
    /// Epoch, number, id of what was told to be durable.
    pub durable: Vec<(u64, u64, u64)>,
    sent: HashMap<(u64, u64), u64>,
    acked: HashMap<u64, u64>,
    /// Whether it ended, and then whether the outbox stood on the disk.
    pub end: Option<bool>,
}

impl Ledger {
    /// Reads what [`run`] told; a line that was cut by a kill promises nothing.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut ledger = Self::default();
        for line in text.split_inclusive('\n').filter(|l| l.ends_with('\n')) {
            let mut words = line.split_whitespace();
            let word = words.next();
            let numbers: Vec<u64> = words.clone().filter_map(|w| w.parse().ok()).collect();
            match (word, numbers.as_slice()) {
                (Some("begin"), []) => {}
                (Some("try"), [id]) => ledger.tried = *id,
                (Some("durable"), [epoch, seq, id]) => ledger.durable.push((*epoch, *seq, *id)),
                (Some("sent"), [epoch, seq, id]) => {
                    ledger.sent.insert((*epoch, *seq), *id);
                }
                (Some("acked"), [epoch, seq]) => {
                    ledger.acked.insert(*epoch, *seq);
                }
                (Some("end"), []) => ledger.end = Some(words.next() == Some("disk")),
                _ => panic!("not a line of the ledger: {line}"),
            }
        }
        ledger
    }
}

/// How a folder compares with its ledger.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Durable, not acknowledged, and neither there nor declared to have made room.
    pub lost: u64,
    /// There, but never pushed; or there twice.
    pub invented: u64,
    /// Numbers given twice.
    pub reused: u64,
    /// Numbers missing without a word, or an outbox that does not drain.
    pub silent: u64,
    /// How long opening took.
    pub start: Duration,
    /// Each of them in words.
    pub notes: Vec<String>,
}

impl Verdict {
    /// All that must not be.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.lost + self.invented + self.reused + self.silent
    }
}

/// Opens the folder anew and takes everything out of it.
#[must_use]
pub fn verify(dir: &Path, ledger: &Ledger) -> Verdict {
    let (mut outbox, start) = timed(|| open(dir, 10_000_000));
    let mut verdict = Verdict { start, ..Verdict::default() };
    let mut receiver = Receiver { base: ledger.acked.clone(), ..Receiver::default() };
    let epoch = outbox.epoch();
    let seq = push(&mut outbox, 10_000_000, ledger.tried + 1, 9);
    if let Some(id) = ledger.sent.get(&(epoch, seq)) {
        verdict.notes.push(format!("number {seq} of {epoch}, sent with {id}, is given again"));
        verdict.reused += 1;
    }
    if !receiver.drain(&mut outbox, 10_000_000) || receiver.silent() > 0 {
        verdict
            .notes
            .push(format!("{outbox:?} does not drain, or {} numbers are missing", receiver.silent()));
        verdict.silent += 1;
    }
    verdict.reused += receiver.reused;
    for (epoch, seq, id) in &ledger.durable {
        let is_acked = ledger.acked.get(epoch).is_some_and(|acked| seq <= acked);
        let (came, why) = (receiver.got.get(&(*epoch, *seq)), receiver.lost.get(&(*epoch, *seq)));
        if !is_acked && came != Some(&Came::Fact(*id)) && why != Some(&loss::FULL) {
            verdict.notes.push(format!("durable {id} is lost: number {seq} of {epoch}, {came:?}, {why:?}"));
            verdict.lost += 1;
        }
    }
    let mut places: HashMap<u64, HashSet<(u64, u64)>> = HashMap::new();
    for (place, id) in &ledger.sent {
        places.entry(*id).or_default().insert(*place);
    }
    for (place, came) in &receiver.got {
        match came {
            Came::Fact(id) if *id <= ledger.tried + 1 => {
                places.entry(*id).or_default().insert(*place);
                if let Some(sent) = ledger.sent.get(place).filter(|sent| *sent != id) {
                    verdict.notes.push(format!("{place:?} was sent with {sent}, and comes with {id}"));
                    verdict.reused += 1;
                }
            }
            Came::Loss => {}
            Came::Fact(_) | Came::Strange => {
                verdict.notes.push(format!("{place:?}: {came:?} was never pushed"));
                verdict.invented += 1;
            }
        }
    }
    for (id, places) in places.iter().filter(|(_, p)| p.len() > 1) {
        verdict.notes.push(format!("{id} has several numbers: {places:?}"));
        verdict.invented += 1;
    }
    verdict
}
