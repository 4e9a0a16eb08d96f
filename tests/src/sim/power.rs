//! Power cuts: a script of what an agent does with its outbox, and behind every single call of the disk the states that
//! a power cut there may leave. The outbox is opened on each of them and has to account for everything.

use std::collections::HashSet;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use fieldmouse::clock::Stamp;
use fieldmouse::link::delivery::{self, Delivery};
use fieldmouse::link::{Command, News};
use fieldmouse::outbox::{Options, Outbox};
use fieldmouse_core::wire::Ack;

use super::disk::{Fault, Files, Ram};
use super::model::{Collector, Ledger};
use super::rng::Rng;

/// One step of a script.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    /// Events: how many, severity, bytes.
    Push(u8, u8, u16),
    /// Time passes: what is due is done.
    Wait(u64),
    /// What was pushed is made durable at once.
    SyncNow,
    /// Losses are declared.
    Declare,
    /// So many messages reach the collector.
    Deliver(u8),
    /// The collector acknowledges what it has.
    Ack,
    /// A connection without the old session.
    Reconnect,
    /// A clean stop and a start.
    Restart,
    /// The process dies and starts; the kernel lives on.
    Kill,
    /// The power goes; one of the states it may leave is gone on with.
    Cut,
    /// The disk fails: after so many writing calls, so many times.
    Fail(u8, u8, Fault),
    /// The disk has room for so many bytes.
    Capacity(Option<u16>),
}

/// How many states are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Samples behind every call of the disk.
    pub samples: u64,
    /// Of a thousand states, in so many the power goes again while they are recovered.
    pub again: u64,
}

/// What was looked at.
#[derive(Debug, Default)]
pub struct Seen {
    /// States opened.
    pub states: u64,
    /// Fingerprints of them.
    pub distinct: HashSet<u64>,
}

/// The script of a seed.
#[must_use]
pub fn script(seed: u64) -> Vec<Op> {
    let mut rng = Rng::new(seed);
    let faulty = rng.chance(400);
    let ops = rng.between(10, 90);
    // Some scripts are about filling up, some about coming and going.
    let busy = rng.chance(300);
    let op = |rng: &mut Rng| match rng.below(if faulty { 112 } else { 100 }) {
        0..32 => {
            let severity = rng.pick(&[9, 9, 9, 13, 17, 21]);
            let len = if rng.chance(20) { 4000 } else { rng.spread(1, 220) as u16 };
            Op::Push(if busy { rng.between(5, 25) as u8 } else { rng.between(1, 4) as u8 }, severity, len)
        }
        32..52 => Op::Wait(rng.pick(&[1, 300, 1000, 5000, 70_000, 700_000])),
        52..58 => Op::SyncNow,
        58..62 => Op::Declare,
        62..74 => Op::Deliver(rng.between(1, 12) as u8),
        74..86 => Op::Ack,
        86..89 => Op::Reconnect,
        89..92 => Op::Restart,
        92..95 => Op::Kill,
        95..100 => Op::Cut,
        100..109 => {
            let fault = rng.pick(&[Fault::Eio, Fault::LostPages, Fault::ReadOnly, Fault::Full]);
            Op::Fail(rng.below(8) as u8, rng.pick(&[1, 1, 2, 3, 10, 60]), fault)
        }
        _ => Op::Capacity(if rng.chance(500) { None } else { Some(rng.between(600, 9000) as u16) }),
    };
    (0..ops).map(|_| op(&mut rng)).collect()
}

/// Sizes so small that segments end and the box is full soon.
fn options(seed: u64) -> Options {
    let mut o = Options::new(32 * 1024);
    if !seed.is_multiple_of(4) {
        (o.max_bytes, o.segment_bytes, o.quarantine_bytes, o.memory_bytes) = (8 * 1024, 1024, 1024, 2048);
    }
    o
}

fn at(mono_ms: u64) -> Stamp {
    Stamp { mono_ms, wall_ms: Some(1_800_000_000_000 + mono_ms), clock: 1 }
}

/// An outbox and what sends from it.
struct Box_ {
    outbox: Outbox,
    delivery: Delivery,
}

impl Box_ {
    /// Opens it; epochs are counted from `epoch` on, so that equal states are equal.
    fn open(disk: &Ram, options: Options, epoch: &mut u64, now: u64) -> Self {
        *epoch += 1_000_000;
        let mut next = *epoch;
        let entropy = move || {
            next += 1;
            next
        };
        let (outbox, _) = Outbox::open(Box::new(disk.clone()), options, Box::new(entropy), at(now));
        let options = delivery::Options { batch_bytes: 600, ..delivery::Options::new(300_000) };
        let mut it = Self { outbox, delivery: Delivery::new("n", options) };
        it.connect(now);
        it
    }

    fn connect(&mut self, now: u64) {
        let news = News::Connected { session_present: false, max_payload: 60_000 };
        self.delivery.on_news(now, &news, &mut self.outbox);
    }

    /// The next message, which the broker stores at once.
    fn message(&mut self, now: u64) -> Option<Bytes> {
        loop {
            if let Command::Publish { payload, token, .. } = self.delivery.poll(at(now), &mut self.outbox)? {
                self.delivery.on_news(now, &News::Stored { token }, &mut self.outbox);
                return Some(payload);
            }
        }
    }

    fn acknowledge(&mut self, now: u64, collector: &Collector) {
        for (epoch, seq) in collector.acks() {
            self.delivery.on_news(
                now,
                &News::Acked { ack: Ack { epoch, seq }, from: None },
                &mut self.outbox,
            );
        }
    }
}

/// A run of a script.
struct Run<'a> {
    seen: &'a mut Seen,
    effort: Effort,
    rng: Rng,
    options: Options,
    disk: Ram,
    /// Follows the disk change by change.
    shadow: Files,
    it: Box_,
    ledger: Ledger,
    collector: Collector,
    now: u64,
    epoch: u64,
    /// No disk fault so far.
    clean: bool,
    /// Numbers given up so far, as many as the outbox ever told of.
    lost: u64,
}

/// Runs a script and looks at every state on its way.
///
/// # Errors
/// In words, what is wrong, and where.
pub fn run(seed: u64, ops: &[Op], effort: Effort, seen: &mut Seen) -> Result<(), String> {
    let place = std::cell::Cell::new(0);
    let done = catch_unwind(AssertUnwindSafe(|| {
        let disk = Ram::default();
        disk.record();
        let options = options(seed);
        let mut epoch = 0;
        let it = Box_::open(&disk, options, &mut epoch, 0);
        let mut run = Run {
            seen,
            effort,
            rng: Rng::new(seed ^ 0xC0FFEE),
            options,
            disk,
            shadow: Files::default(),
            it,
            ledger: Ledger::default(),
            collector: Collector::default(),
            now: 10,
            epoch,
            clean: true,
            lost: 0,
        };
        run.look()?;
        for (i, op) in ops.iter().enumerate() {
            place.set(i);
            run.step(*op)?;
        }
        run.end()
    }));
    let why = |e: Box<dyn std::any::Any + Send>| {
        let text = e.downcast_ref::<String>().cloned();
        text.or_else(|| e.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
    };
    done.unwrap_or_else(|panic| Err(format!("panic: {}", why(panic))))
        .map_err(|what| format!("at step {}: {what}", place.get()))
}

impl Run<'_> {
    fn step(&mut self, op: Op) -> Result<(), String> {
        match op {
            Op::Push(n, severity, len) => {
                for _ in 0..n {
                    self.ledger.push(&mut self.it.outbox, at(self.now), severity, len);
                    self.ledger.look_at_epoch(&self.it.outbox);
                    self.now += 7;
                }
            }
            Op::Wait(ms) => {
                self.now += ms;
                self.it.outbox.sync(self.now);
            }
            Op::SyncNow => self.it.outbox.sync_now(self.now),
            Op::Declare => self.it.outbox.declare(at(self.now)),
            Op::Deliver(n) => {
                for _ in 0..n {
                    let Some(payload) = self.it.message(self.now) else { break };
                    // What the disk did for this message it did before the collector had it.
                    self.look()?;
                    self.collector.take(&payload, &self.ledger)?;
                }
            }
            Op::Ack => self.it.acknowledge(self.now, &self.collector),
            Op::Reconnect => self.it.connect(self.now),
            Op::Restart => {
                self.it.outbox.close(self.now);
                self.look()?;
                self.reopen();
            }
            Op::Kill => self.reopen(),
            Op::Cut => {
                let left = self.disk.files().cut(&mut self.rng);
                self.shadow = left.clone();
                self.disk.become_(left);
                self.now = 5;
                self.reopen();
            }
            Op::Fail(after, times, fault) => {
                self.clean = false;
                self.disk.set(|f, calls| {
                    let from = calls + 1 + u64::from(after);
                    f.fail = Some((from, u64::from(times), fault));
                });
            }
            Op::Capacity(room) => {
                self.clean &= room.is_none();
                self.disk.set(|f, _| f.capacity = room.map(u64::from));
            }
        }
        self.look()
    }

    fn reopen(&mut self) {
        self.ledger.died();
        self.it = Box_::open(&self.disk, self.options, &mut self.epoch, self.now);
    }

    /// Looks at what power cuts during the step would have left; then believes what the outbox says of itself.
    fn look(&mut self) -> Result<(), String> {
        self.lost = self.lost.max(self.it.outbox.lost());
        if self.disk.bytes().1 > self.options.max_bytes {
            return Err(format!("{} bytes, allowed are {}", self.disk.bytes().1, self.options.max_bytes));
        }
        let mut here = HashSet::new();
        for change in self.disk.changes() {
            self.shadow.apply(&change);
            if self.shadow.is_settled() {
                self.state(self.shadow.clone(), &mut here, 1)?;
                continue;
            }
            for _ in 0..self.effort.samples {
                let left = self.shadow.cut(&mut self.rng);
                self.state(left, &mut here, 1)?;
            }
        }
        self.ledger.look(&self.it.outbox);
        Ok(())
    }

    /// Opens the outbox on a state, lets it deliver everything, and checks the account.
    fn state(&mut self, files: Files, here: &mut HashSet<u64>, depth: u8) -> Result<(), String> {
        let print = files.fingerprint();
        if !here.insert(print) {
            return Ok(());
        }
        self.seen.states += 1;
        self.seen.distinct.insert(print);
        let disk = Ram::of(files.clone());
        let again = depth > 0 && self.rng.chance(self.effort.again);
        if again {
            disk.record();
        }
        let mut epoch = 1_000_000_000 * (u64::from(depth) + 1);
        let mut it = Box_::open(&disk, self.options, &mut epoch, 5);
        if it.outbox.is_memory_only() {
            return Err("after a power cut it does not use a disk that works".to_owned());
        }
        if again {
            let mut shadow = files;
            for change in disk.changes() {
                shadow.apply(&change);
                let left = shadow.cut(&mut self.rng);
                self.state(left, here, depth - 1)?;
            }
        }
        // A box that is full may have to give up more.
        let full = disk.bytes().0 > self.options.max_bytes / 5;
        let (mut ledger, mut collector) = (self.ledger.clone(), self.collector.clone());
        ledger.died();
        ledger.push(&mut it.outbox, at(6), 9, 20);
        ledger.push(&mut it.outbox, at(6), 17, 20);
        drain(&mut it, &mut ledger, &mut collector, 6)?;
        let (_, peak) = disk.bytes();
        if peak > self.options.max_bytes {
            return Err(format!("recovered, {peak} bytes; allowed are {}", self.options.max_bytes));
        }
        let lost = if full { u64::MAX } else { self.lost + self.collector.lost };
        collector.audit(&ledger, &it.outbox, lost, self.clean)
    }

    /// Everything heals, and everything is accounted for without any power cut.
    fn end(&mut self) -> Result<(), String> {
        self.disk.set(|f, _| (f.fail, f.capacity) = (None, None));
        self.disk.record();
        drain(&mut self.it, &mut self.ledger, &mut self.collector, self.now)?;
        self.collector.audit(&self.ledger, &self.it.outbox, u64::MAX, self.clean)
    }
}

/// Delivers until nothing waits.
fn drain(it: &mut Box_, ledger: &mut Ledger, collector: &mut Collector, mut now: u64) -> Result<(), String> {
    for _ in 0..40 {
        it.outbox.sync_now(now);
        ledger.look(&it.outbox);
        while let Some(payload) = it.message(now) {
            collector.take(&payload, ledger)?;
            it.outbox.sync_now(now);
        }
        it.acknowledge(now, collector);
        if it.outbox.waiting() == 0 && !it.outbox.has_undeclared() && it.outbox.is_durable() {
            return Ok(());
        }
        now += 61_000;
        it.connect(now);
    }
    Err(format!("it does not drain: {:?}", it.outbox))
}

/// The smallest script that still fails like `ops`, as far as leaving out steps goes.
#[must_use]
pub fn shrink(seed: u64, ops: &[Op], effort: Effort) -> (Vec<Op>, String) {
    let effort = Effort { samples: effort.samples * 2, again: 0 };
    let mut ops = ops.to_vec();
    let mut why = run(seed, &ops, effort, &mut Seen::default()).err().unwrap_or_default();
    // The same sentence, whatever the numbers in it.
    let kind = |said: &str| said.split(|c: char| c.is_ascii_digit()).collect::<String>();
    let wanted = kind(&why);
    let fails =
        |ops: &[Op]| run(seed, ops, effort, &mut Seen::default()).err().filter(|said| kind(said) == wanted);
    let mut piece = ops.len() / 2;
    while piece > 0 {
        let mut from = 0;
        while from < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(from..(from + piece).min(ops.len()));
            match fails(&fewer) {
                Some(said) => (ops, why) = (fewer, said),
                None => from += piece,
            }
        }
        piece /= 2;
    }
    (ops, why)
}

/// A failed seed in words: what, and the smallest script.
#[must_use]
pub fn tell(seed: u64, what: &str, effort: Effort) -> String {
    let (ops, why) = shrink(seed, &script(seed), effort);
    let mut text = format!("seed {seed}: {what}\n  smallest script, {} steps: {why}\n", ops.len());
    for op in ops {
        let _never_fails = writeln!(text, "    {op:?}");
    }
    text
}
