//! What simulations compare the product with: a ledger of what was produced, and a collector that is as plain as can be.

use std::collections::{BTreeMap, BTreeSet};

use fieldmouse::clock::Stamp;
use fieldmouse::outbox::Outbox;
use fieldmouse_core::wire::{self, Kind, Loss, loss};

/// One event that was pushed. Its place in the ledger is its id.
#[derive(Debug, Clone, Copy)]
pub struct Pushed {
    /// Its severity.
    pub severity: u8,
    /// Bytes of its body.
    pub len: u16,
    /// The epoch it was pushed in.
    pub epoch: u64,
    /// The number it got.
    pub seq: u64,
    /// When.
    pub stamp: Stamp,
    /// The outbox said that it would survive.
    pub durable: bool,
    /// The outbox began another epoch before it was durable: its number may be another.
    pub moved: bool,
}

/// All that was pushed.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// By id.
    pub events: Vec<Pushed>,
    /// The first that is not known to be durable.
    open: usize,
    /// Epochs whose numbers stand in memory alone, …
    doubtful: BTreeSet<u64>,
    /// … and those that stood there when the process died.
    volatile: BTreeSet<u64>,
}

/// The body of an event, a fact: its id, then a text of so many bytes.
#[must_use]
pub fn body(id: u64, len: u16) -> Vec<u8> {
    let mut to = Vec::with_capacity(usize::from(len) + 20);
    to.push(8);
    to.extend_from_slice(format!("{id:08x}").as_bytes());
    let len = usize::from(len);
    if len >= 128 {
        to.push((len & 127) as u8 | 128);
    }
    to.push(if len >= 128 { (len >> 7) as u8 } else { len as u8 });
    to.extend((0..len).map(|i| b'a' + ((id as usize).wrapping_mul(7) + i) as u8 % 26));
    to
}

/// The id in a body.
#[must_use]
pub fn id(body: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(body.get(1..9)?).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

impl Ledger {
    /// Whether numbers of an epoch died with the memory they stood in.
    #[must_use]
    pub fn is_volatile(&self, epoch: u64) -> bool {
        self.volatile.contains(&epoch)
    }

    /// Pushes an event and writes it down.
    pub fn push(&mut self, outbox: &mut Outbox, stamp: Stamp, severity: u8, len: u16) -> u64 {
        let id = self.events.len() as u64;
        let seq = outbox.push(stamp, Kind::Fact, 1, severity, &body(id, len));
        let epoch = outbox.epoch();
        self.events.push(Pushed { severity, len, epoch, seq, stamp, durable: false, moved: false });
        id
    }

    /// Takes in what the outbox says of itself now.
    pub fn look(&mut self, outbox: &Outbox) {
        if outbox.is_memory_only() {
            self.doubtful.insert(outbox.epoch());
        }
        for e in &mut self.events[self.open..] {
            e.moved |= e.epoch != outbox.epoch();
            e.durable |= outbox.is_durable();
        }
        if outbox.is_durable() {
            self.open = self.events.len();
            self.doubtful.clear();
        }
    }

    /// As [`Ledger::look`], of the epoch alone: it may change with every push.
    pub fn look_at_epoch(&mut self, outbox: &Outbox) {
        if outbox.is_memory_only() {
            self.doubtful.insert(outbox.epoch());
        }
        for e in &mut self.events[self.open..] {
            e.moved |= e.epoch != outbox.epoch();
        }
    }

    /// The process is gone: what was not durable is nobody's word any more.
    pub fn died(&mut self) {
        self.volatile.append(&mut self.doubtful);
        self.open = self.events.len();
    }
}

/// What is known of one number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Slot {
    /// Id and one; a loss record is [`LOSS`]; 0 if it did not come.
    got: u64,
    /// A loss reason; 0 if it was not declared lost.
    lost: u8,
}

const LOSS: u64 = u64::MAX;

#[derive(Debug, Clone, Default)]
struct Epoch {
    slots: Vec<Slot>,
    contiguous: usize,
}

impl Epoch {
    fn slot(&mut self, seq: u64) -> &mut Slot {
        let at = seq as usize - 1;
        if self.slots.len() <= at {
            self.slots.resize(at + 1, Slot::default());
        }
        &mut self.slots[at]
    }

    fn settle(&mut self) {
        let more = self.slots[self.contiguous..].iter().take_while(|s| **s != Slot::default()).count();
        self.contiguous += more;
    }
}

/// Keeps what comes, finds gaps, acknowledges.
#[derive(Debug, Clone, Default)]
pub struct Collector {
    epochs: BTreeMap<u64, Epoch>,
    /// Numbers declared lost that had not come.
    pub lost: u64,
    /// Items that came more than once.
    pub twice: u64,
}

impl Collector {
    /// Takes a message.
    ///
    /// # Errors
    /// If it holds what was never produced, or another content under a number that is known.
    pub fn take(&mut self, payload: &[u8], ledger: &Ledger) -> Result<(), String> {
        let (head, items) = wire::read(payload).map_err(|e| e.word().to_owned())?;
        let epoch = self.epochs.entry(head.epoch).or_default();
        for item in items {
            let item = item.map_err(|e| e.word().to_owned())?;
            let got = if item.kind == Kind::Loss as u16 {
                let l: Loss = wire::read_body(item.body).map_err(|e| e.word().to_owned())?;
                for seq in l.first..l.first + l.count {
                    let slot = epoch.slot(seq);
                    self.lost += u64::from(*slot == Slot::default());
                    slot.lost = l.reason;
                }
                LOSS
            } else {
                let id = id(item.body).unwrap_or(u64::MAX);
                let Some(e) = ledger.events.get(id as usize) else {
                    return Err(format!("invented: number {} has a body that nobody wrote", item.seq));
                };
                if item.body != body(id, e.len)
                    || item.severity != e.severity
                    || item.mono_ms != e.stamp.mono_ms
                {
                    return Err(format!("changed: event {id} is not what was pushed"));
                }
                id + 1
            };
            let slot = epoch.slot(item.seq);
            if slot.got != 0 && slot.got != got {
                return Err(format!("number {} of epoch {:x} was given twice", item.seq, head.epoch));
            }
            self.twice += u64::from(slot.got == got);
            slot.got = got;
        }
        epoch.settle();
        Ok(())
    }

    /// Everything up to here of an epoch came or is declared lost.
    #[must_use]
    pub fn contiguous(&self, epoch: u64) -> u64 {
        self.epochs.get(&epoch).map_or(0, |e| e.contiguous as u64)
    }

    /// The event that came under a number.
    #[must_use]
    pub fn event(&self, epoch: u64, seq: u64) -> Option<u64> {
        let slot = self.epochs.get(&epoch)?.slots.get(seq as usize - 1)?;
        (slot.got != 0 && slot.got != LOSS).then(|| slot.got - 1)
    }

    /// How many numbers came.
    #[must_use]
    pub fn count(&self) -> u64 {
        let came = |e: &Epoch| e.slots.iter().filter(|s| s.got != 0).count() as u64;
        self.epochs.values().map(came).sum()
    }

    /// What it would acknowledge: every epoch and how far it is whole.
    #[must_use]
    pub fn acks(&self) -> Vec<(u64, u64)> {
        self.epochs.iter().map(|(e, l)| (*e, l.contiguous as u64)).collect()
    }

    /// Checks the account at the end: `outbox` has nothing more to say. `known_lost` numbers at most may be missing for
    /// want of room; if `strict`, nothing came under two numbers.
    ///
    /// # Errors
    /// In words, what is wrong.
    pub fn audit(
        &self,
        ledger: &Ledger,
        outbox: &Outbox,
        known_lost: u64,
        strict: bool,
    ) -> Result<(), String> {
        let mut came = vec![0_u8; ledger.events.len()];
        for (epoch, e) in &self.epochs {
            for slot in e.slots.iter().filter(|s| s.got != 0 && s.got != LOSS) {
                came[slot.got as usize - 1] += 1;
            }
            if e.contiguous < e.slots.len() && !ledger.volatile.contains(epoch) {
                return Err(format!(
                    "number {} of epoch {epoch:x} is missing and not declared lost",
                    e.contiguous + 1
                ));
            }
        }
        let current = self.contiguous(outbox.epoch());
        if current + 1 != outbox.next_seq() {
            return Err(format!("the last number is {}, the collector has {current}", outbox.next_seq() - 1));
        }
        let (mut missing, mut unseen) = (0, 0);
        for (id, e) in ledger.events.iter().enumerate() {
            if came[id] > 1 && (strict || e.durable && !e.moved) {
                return Err(format!("event {id} is shown {} times", came[id]));
            }
            if came[id] > 0 || !e.durable {
                continue;
            }
            missing += 1;
            if e.moved {
                unseen += 1;
                continue;
            }
            let slot = self.epochs.get(&e.epoch).and_then(|l| l.slots.get(e.seq as usize - 1)).copied();
            match slot.unwrap_or_default().lost {
                loss::FULL | loss::TOO_LARGE => {}
                0 => return Err(format!("event {id}, number {}, was durable and is lost in silence", e.seq)),
                reason => {
                    return Err(format!(
                        "event {id} was durable and is declared lost: {}",
                        loss::word(reason)
                    ));
                }
            }
        }
        if unseen > self.lost {
            return Err(format!("{unseen} durable events are lost in silence"));
        }
        if missing > known_lost {
            return Err(format!("{missing} durable events are missing, {known_lost} were given up before"));
        }
        Ok(())
    }
}
