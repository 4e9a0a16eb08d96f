//! What is done to a day: 20 incidents of five kinds.

use super::day::{Source, unit};
use crate::sim::rng::Rng;

/// What sort of incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An error that was never there before.
    New,
    /// A message comes many times as often as usual, or hardly any more.
    Rate,
    /// A message that came by the clock is gone.
    Silence,
    /// Errors that are there now and then come by the dozen.
    Burst,
    /// A program or the kernel crashes.
    Crash,
}

pub(super) const KINDS: [Kind; 5] = [Kind::New, Kind::Rate, Kind::Silence, Kind::Burst, Kind::Crash];
/// Of each.
const PLANNED: [usize; 5] = [5, 5, 4, 3, 3];
/// Lines of events that are common enough for their rate to change, a minute.
const COMMON: f64 = 2.0;

impl Kind {
    pub(super) fn word(self) -> &'static str {
        ["new", "rate", "silence", "burst", "crash"][self as usize]
    }

    /// Whether a fact of this kind says what happened.
    pub(super) fn is_told_by(self, fact: &str) -> bool {
        match self {
            Self::New => matches!(fact, "log-new" | "log-crash"),
            Self::Rate => fact == "log-rate",
            Self::Silence => fact == "log-silent",
            // Errors that were hardly ever there are as well called new, and those that call themselves warnings more.
            Self::Burst => matches!(fact, "log-burst" | "log-new" | "log-rate"),
            Self::Crash => fact == "log-crash",
        }
    }
}

/// One of them.
#[derive(Debug)]
pub(super) struct Incident {
    pub(super) kind: Kind,
    pub(super) stream: String,
    pub(super) from: u32,
    /// Facts of the stream belong to it until then.
    pub(super) until: u32,
    pub(super) what: String,
}

/// Of an event, such a share is written in this time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    event: usize,
    from: u32,
    to: u32,
    pub(super) share: f64,
}

impl Change {
    pub(super) fn is_of(&self, at: u32, event: usize) -> bool {
        event == self.event && at >= self.from && at < self.to
    }
}

/// All of a day.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) incidents: Vec<Incident>,
    /// What is left out, by stream.
    pub(super) changes: Vec<(usize, Change)>,
    /// What is added: stream, when, what.
    pub(super) lines: Vec<(usize, u32, String)>,
    /// Events to which something was done: stream, event.
    used: Vec<(usize, usize)>,
}

/// One incident in each slot of the day, the kinds in any order.
pub(super) fn plan(sources: &[Source<'_>], first: u32, slot: u32, rng: &mut Rng) -> Plan {
    let mut kinds: Vec<Kind> = KINDS.iter().zip(PLANNED).flat_map(|(k, n)| vec![*k; n]).collect();
    let mut plan = Plan::default();
    for at in 0.. {
        if kinds.is_empty() {
            break;
        }
        let kind = kinds.swap_remove(rng.index(kinds.len()));
        let from = first + at * slot + rng.below(300) as u32;
        let until = first + (at + 1) * slot;
        // A system in which there is something to do this to.
        let order: Vec<usize> = shuffled(sources.len(), rng);
        let done = order.into_iter().find_map(|stream| {
            let what = match kind {
                Kind::New => new(&mut plan, sources, stream, from, rng),
                Kind::Rate => rate(&mut plan, sources, stream, from, rng),
                Kind::Silence => silence(&mut plan, sources, stream, from),
                Kind::Burst => burst(&mut plan, sources, stream, from, rng),
                Kind::Crash => Some(crash(&mut plan, stream, from, rng)),
            };
            what.map(|what| (stream, what))
        });
        let (stream, what) = done.unwrap_or_else(|| panic!("no system is left for {}", kind.word()));
        let name = &sources[stream].system.name;
        let what = format!("{} in {name}: {what}", kind.word());
        plan.incidents.push(Incident { kind, stream: name.clone(), from, until, what });
    }
    plan
}

fn shuffled(n: usize, rng: &mut Rng) -> Vec<usize> {
    let mut left: Vec<usize> = (0..n).collect();
    (0..n).map(|_| left.swap_remove(rng.index(left.len()))).collect()
}

/// An error that was kept back, one to twelve times in ten minutes.
fn new(plan: &mut Plan, sources: &[Source<'_>], stream: usize, from: u32, rng: &mut Rng) -> Option<String> {
    let source = &sources[stream];
    let is_free = |e: &usize| source.system.is_error(*e) && !plan.used.contains(&(stream, *e));
    let free: Vec<usize> = source.held.iter().copied().filter(is_free).collect();
    let event = *free.get(rng.index(free.len()))?;
    plan.used.push((stream, event));
    let texts: Vec<&str> = source.system.of(event).collect();
    let times = rng.spread(1, 12) as u32;
    for n in 0..times {
        let at = from + if n == 0 { 0 } else { rng.below(600) as u32 };
        plan.lines.push((stream, at, texts[rng.index(texts.len())].to_owned()));
    }
    Some(format!("{times} times {}", texts[0]))
}

/// A message that is common comes 6 to 20 times as often for 25 minutes, or hardly any more.
fn rate(plan: &mut Plan, sources: &[Source<'_>], stream: usize, from: u32, rng: &mut Rng) -> Option<String> {
    let source = &sources[stream];
    let total = source.system.lines.len() as f64;
    let a_minute = |e: usize| 60.0 * source.rate * source.system.counts[e] as f64 / total;
    let is_common =
        |e: &usize| a_minute(*e) >= COMMON && !source.held.contains(e) && !source.system.is_error(*e);
    let common: Vec<usize> = (0..source.system.counts.len()).filter(is_common).collect();
    let event = *common.get(rng.index(common.len()))?;
    let to = from + 1500;
    if rng.chance(500) {
        let share = rng.pick(&[0.0, 0.05]);
        plan.changes.push((stream, Change { event, from, to, share }));
        let text = source.system.of(event).next().unwrap_or("");
        return Some(format!("{share} of {:.1}/min {text}", a_minute(event)));
    }
    let times = rng.spread(6, 20) as f64;
    let texts: Vec<&str> = source.system.of(event).collect();
    let mut at = f64::from(from);
    while at < f64::from(to) {
        plan.lines.push((stream, at as u32, texts[rng.index(texts.len())].to_owned()));
        at -= 60.0 / a_minute(event) / times * unit(rng).max(1e-9).ln();
    }
    Some(format!("{times} times {:.1}/min {}", a_minute(event), texts[0]))
}

/// What came by the clock is gone for 40 minutes.
fn silence(plan: &mut Plan, sources: &[Source<'_>], stream: usize, from: u32) -> Option<String> {
    let beat = sources[stream].beats.iter().find(|b| !plan.used.contains(&(stream, b.event)))?;
    plan.used.push((stream, beat.event));
    plan.changes.push((stream, Change { event: beat.event, from, to: from + 2400, share: 0.0 }));
    let text = sources[stream].system.of(beat.event).next().unwrap_or("");
    Some(format!("every {} s {text}", beat.period))
}

/// Errors that are there anyway, 60 to 300 of them in one to three minutes.
fn burst(plan: &mut Plan, sources: &[Source<'_>], stream: usize, from: u32, rng: &mut Rng) -> Option<String> {
    let source = &sources[stream];
    let is_free = |e: &usize| source.system.is_error(*e) && !source.held.contains(e);
    let free: Vec<usize> = (0..source.system.counts.len()).filter(is_free).collect();
    if free.is_empty() {
        return None;
    }
    let events: Vec<usize> = (0..rng.between(1, 3)).map(|_| rng.pick(&free)).collect();
    let (lines, span) = (rng.spread(60, 300), rng.between(60, 180));
    // By so much more than there is anyway that people would call it a burst.
    let usual: usize = free.iter().map(|e| source.system.counts[*e]).sum();
    let usual = source.rate * span as f64 * usual as f64 / source.system.lines.len() as f64;
    let lines = lines.max((6.0 * usual) as u64);
    for _ in 0..lines {
        let texts: Vec<&str> = source.system.of(events[rng.index(events.len())]).collect();
        let at = from + rng.below(span) as u32;
        plan.lines.push((stream, at, texts[rng.index(texts.len())].to_owned()));
    }
    let text = source.system.of(events[0]).next().unwrap_or("");
    Some(format!("{lines} in {span} s of {} kinds, usually {usual:.0}: {text}", events.len()))
}

/// A crash as programs of all kinds tell of it.
fn crash(plan: &mut Plan, stream: usize, from: u32, rng: &mut Rng) -> String {
    const CRASHES: [&[&str]; 8] = [
        &[
            "panic: runtime error: invalid memory address or nil pointer dereference",
            "[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x47b2c1]",
            "goroutine 1 [running]:",
            "main.main()",
        ],
        &[
            "Traceback (most recent call last):",
            "  File \"/srv/app/worker.py\", line 88, in run",
            "    self.queue.take(job)",
            "KeyError: 'customer'",
        ],
        &[
            "Exception in thread \"main\" java.lang.NullPointerException: Cannot invoke \"Order.id()\"",
            "\tat com.example.Shop.main(Shop.java:17)",
        ],
        &[
            "kernel: worker[4711]: segfault at 10 ip 00007f3a2c1b4e20 sp 00007ffd5a8e1f40 error 4 in libshop.so.2[7f3a2c180000+5a000]",
        ],
        &[
            "kernel: worker invoked oom-killer: gfp_mask=0x100cca(GFP_HIGHUSER_MOVABLE), order=0, oom_score_adj=0",
            "kernel: Out of memory: Killed process 4711 (worker) total-vm:8123456kB, anon-rss:7012345kB",
        ],
        &[
            "thread 'main' panicked at src/queue.rs:42:10:",
            "called `Option::unwrap()` on a `None` value",
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
        ],
        &[
            "terminate called after throwing an instance of 'std::bad_alloc'",
            "  what():  std::bad_alloc",
            "systemd[1]: worker.service: Main process exited, code=dumped, status=6/ABRT",
            "systemd[1]: worker.service: Failed with result 'core-dump'.",
        ],
        &["shop.c:212: take_job: Assertion `job != NULL' failed.", "Aborted (core dumped)"],
    ];
    let lines = CRASHES[rng.index(CRASHES.len())];
    plan.lines.extend(lines.iter().map(|text| (stream, from, (*text).to_owned())));
    lines[0].to_owned()
}
