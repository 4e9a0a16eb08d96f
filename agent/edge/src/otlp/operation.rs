//! One operation of a service: how often it is called, fails, and how long it takes; what is usual of it; and a call
//! that shows what is not.

use fieldmouse_core::metric;
use fieldmouse_core::series::{LABEL, Millis, NoData, SeriesKey, cut};
use fieldmouse_core::wire::{Detail, Fact};

use super::sketch::Sketch;
use crate::logs::shown::fit;
use crate::sources::{Readings, Slot};

/// Without a call for so long, nothing is known of its duration.
const IDLE_MS: Millis = 120_000;
/// One fact of a kind in this span.
const TELL_MS: Millis = 600_000;
const SLOWEST: f64 = 0.99;
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p95", 0.95), ("p99", SLOWEST)];
/// Room for a service's name in a label.
const SERVICE: usize = 20;

/// Calls of a window that show what went on.
#[derive(Debug, Default)]
pub(super) struct Examples {
    /// How long the slowest took, and what it was.
    pub(super) slowest: Option<(f64, String)>,
    /// How many failed, and one of them.
    pub(super) failing: Option<(u64, String)>,
}

/// A call that ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) seconds: f64,
    pub(super) is_error: bool,
}

#[derive(Debug, Default)]
pub(super) struct Operation {
    service: Box<str>,
    name: Box<str>,
    calls: u64,
    errors: u64,
    last: Millis,
    /// Of this window: durations, failures, the slowest call, and one that failed.
    sketch: Sketch,
    failed: u64,
    slowest: Option<(f64, String)>,
    failing: Option<String>,
    slowness: Slowness,
    failures: Failures,
    told: [Option<Millis>; 2],
    counters: Option<[Slot; 2]>,
    durations: Option<[Slot; 3]>,
}

impl Operation {
    /// By its names as they may leave the device.
    pub(super) fn new(service: &str, name: &str) -> Self {
        let service = fit(service, SERVICE);
        let room = LABEL - service.len() - ";;p99".len();
        Self { name: fit(name, room).into(), service: service.into(), ..Self::default() }
    }

    /// Whether this call would be an example, which is worth describing.
    pub(super) fn wants(&self, call: Call) -> bool {
        let is_slower = |(seconds, _): &(f64, String)| call.seconds > seconds * 1.1;
        call.is_error && self.failing.is_none() || self.slowest.as_ref().is_none_or(is_slower)
    }

    pub(super) fn take(&mut self, call: Call, example: Option<String>, now: Millis) {
        self.sketch.add(call.seconds);
        self.calls += 1;
        self.errors += u64::from(call.is_error);
        self.failed += u64::from(call.is_error);
        self.last = now;
        match example {
            Some(text) if call.is_error && self.failing.is_none() => self.failing = Some(text),
            Some(text) => self.slowest = Some((call.seconds, text)),
            None => {}
        }
    }

    /// The two names.
    pub(super) fn called(&self) -> String {
        format!("{} {}", self.service, self.name)
    }

    /// A window ends: sets the series, and tells what is not usual.
    pub(super) fn roll(&mut self, now: Millis, window_ms: Millis, out: &mut Readings) -> Examples {
        let every = u32::try_from(window_ms).unwrap_or(u32::MAX);
        let Self { service, name, sketch, .. } = self;
        let slot = |out: &mut Readings, code, last: &[&str]| {
            let values = [&[&**service, &**name], last].concat();
            out.slot_every(SeriesKey::new(code, &values), every)
        };
        let [calls, errors] = *self
            .counters
            .get_or_insert_with(|| [metric::SPAN_COUNT, metric::SPAN_ERROR].map(|code| slot(out, code, &[])));
        out.set(calls, self.calls as f64);
        out.set(errors, self.errors as f64);
        let slowest = sketch.quantile(SLOWEST);
        if slowest.is_some() {
            let slots = *self
                .durations
                .get_or_insert_with(|| QUANTILES.map(|(word, _)| slot(out, metric::SPAN_DURATION, &[word])));
            for (slot, (_, share)) in slots.into_iter().zip(QUANTILES) {
                out.set(slot, sketch.quantile(share).unwrap_or(0.0));
            }
        } else {
            self.rest_durations(now, out);
        }
        let count = u64::from(self.sketch.count());
        self.sketch.clear();
        let failing = self.failing.clone().map(|example| (self.failed, example));
        let examples = Examples { slowest: self.slowest.clone(), failing };
        self.judge(now, window_ms, count, slowest, out);
        (self.failing, self.slowest, self.failed) = (None, None, 0);
        examples
    }

    /// Between the ends of windows.
    pub(super) fn rest(&self, now: Millis, out: &mut Readings) {
        self.counters.into_iter().flatten().for_each(|slot| out.rest(slot));
        self.rest_durations(now, out);
    }

    fn rest_durations(&self, now: Millis, out: &mut Readings) {
        let is_idle = now.saturating_sub(self.last) >= IDLE_MS;
        for slot in self.durations.into_iter().flatten() {
            if is_idle { out.fail(slot, NoData::Idle) } else { out.rest(slot) }
        }
    }

    fn judge(
        &mut self,
        now: Millis,
        window_ms: Millis,
        calls: u64,
        slowest: Option<f64>,
        out: &mut Readings,
    ) {
        if let Some(usually) = self.failures.note(calls, self.failed) {
            let text = format!(
                "{}: {} of {calls} calls of {} failed within {} s, usually {:.1} %",
                self.service,
                self.failed,
                self.name,
                window_ms as f64 / 1000.0,
                usually * 100.0
            );
            let example = self.failing.take();
            self.tell(now, window_ms, 0, Fact::new("trace-error", &text), self.failed, example, out);
        }
        let Some(slowest) = slowest else { return };
        if let Some(usually) = self.slowness.note(slowest) {
            let (is, was) = (in_words(slowest), in_words(usually));
            let text =
                format!("{}: {} takes {is} (99 % of calls less), usually {was}", self.service, self.name);
            let example = self.slowest.take().map(|(_, text)| text);
            self.tell(now, window_ms, 1, Fact::new("trace-slow", &text), calls, example, out);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one fact, in one place")]
    fn tell(
        &mut self,
        now: Millis,
        window_ms: Millis,
        which: usize,
        fact: Fact,
        count: u64,
        example: Option<String>,
        out: &mut Readings,
    ) {
        if self.told[which].is_some_and(|told| now.saturating_sub(told) < TELL_MS) {
            return;
        }
        self.told[which] = Some(now);
        let detail = Detail {
            about: cut(&format!("{} {}", self.service, self.name)),
            since_ms: u32::try_from(window_ms).unwrap_or(u32::MAX),
            count: u32::try_from(count).unwrap_or(u32::MAX),
            example: cut(&example.unwrap_or_default()),
        };
        let severity = if which == 0 { 17 } else { 13 };
        out.tell(severity, Fact { detail: Some(detail), ..fact });
    }
}

/// A duration for people.
pub(super) fn in_words(seconds: f64) -> String {
    match seconds {
        s if s < 0.01 => format!("{:.1} ms", s * 1000.0),
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s => format!("{s:.1} s"),
    }
}

/// How slow the slowest calls usually are: their logarithm's mean, and how far it strays.
#[derive(Debug, Default)]
struct Slowness {
    mean: f64,
    spread: f64,
    seen: u32,
    far: u32,
}

impl Slowness {
    /// Takes another such duration. If it is far above what is usual for the second time, returns that.
    fn note(&mut self, seconds: f64) -> Option<f64> {
        const KNOWN: u32 = 20;
        const MEMORY: u32 = 100;
        let x = seconds.max(1e-6).ln();
        let away = x - self.mean;
        let usually = self.mean.exp();
        let is_far = self.seen >= KNOWN
            && away > (6.0 * self.spread).max(std::f64::consts::LN_2)
            && seconds - usually > 0.05;
        self.far = if is_far { self.far + 1 } else { 0 };
        self.seen += 1;
        // Of what is unusual little is learnt, but it may become the usual.
        let rate = if is_far { 0.1 } else { 1.0 } / f64::from(self.seen.min(MEMORY));
        if self.seen == 1 {
            self.mean = x;
        } else {
            self.mean += rate * away;
            self.spread += rate * (away.abs() - self.spread);
        }
        (self.far >= 2).then_some(usually)
    }
}

/// Which share of calls usually fails.
#[derive(Debug, Default)]
struct Failures {
    share: f64,
    seen: u32,
}

impl Failures {
    /// Takes the counts of a window. If far more failed than usually do, returns the usual share.
    fn note(&mut self, calls: u64, failed: u64) -> Option<f64> {
        const KNOWN: u32 = 6;
        const MEMORY: u32 = 360;
        if calls == 0 {
            return None;
        }
        let (calls, failed, usually) = (calls as f64, failed as f64, self.share);
        let chance = 6.0 * (calls * usually * (1.0 - usually) + 1.0).sqrt();
        let is_far =
            self.seen >= KNOWN && failed > calls * usually + chance && failed > 2.0 * calls * usually;
        self.seen += 1;
        let rate = if is_far { 0.1 } else { 1.0 } / f64::from(self.seen.min(MEMORY));
        self.share += rate * (failed / calls - usually);
        is_far.then_some(usually)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many seconds of so many calls each, of which so many fail, and of that duration; returns the facts.
    fn run(phases: &[(u64, u64, u64, f64)]) -> Vec<(u64, Fact)> {
        let mut operation = Operation::new("shop", "GET /user/<*>");
        let mut out = Readings::default();
        let mut facts = Vec::new();
        let mut second = 0;
        for (seconds, calls, errors, duration) in phases {
            for _ in 0..*seconds {
                for i in 0..*calls {
                    // Durations stray by a fifth.
                    let strays = 1.0 + ((second * 7 + i * 13) % 41) as f64 / 100.0 - 0.2;
                    let call = Call { seconds: duration * strays, is_error: i < *errors };
                    let example = operation.wants(call).then(|| format!("{} at {second}", call.is_error));
                    operation.take(call, example, 1000 * second);
                }
                out.begin();
                if second % 10 == 9 {
                    let _shown = operation.roll(1000 * second, 10_000, &mut out);
                } else {
                    operation.rest(1000 * second, &mut out)
                }
                facts.extend(out.told().map(|told| (second, told.fact)));
                second += 1;
            }
        }
        facts
    }

    #[test]
    fn what_is_usual_is_not_told() {
        for calls in [0, 1, 20, 200] {
            assert_eq!(run(&[(3600, calls, calls / 20, 0.02)]), []);
        }
        assert_eq!(run(&[(600, 20, 0, 0.02), (600, 60, 0, 0.025)]), [], "more calls, a little slower");
    }

    #[test]
    fn failures_and_slowness_are_told_once_with_an_example() {
        let check = |phases: &[(u64, u64, u64, f64)], kind: &str, text: &str, example: &str| {
            let facts = run(phases);
            let [(second, fact)] = facts.as_slice() else { panic!("{facts:#?}") };
            let detail = fact.detail.as_ref().unwrap();
            assert_eq!((fact.kind.as_str(), detail.about.as_str()), (kind, "shop GET /user/<*>"));
            assert!((600..630).contains(second), "at {second}");
            assert!(fact.text.contains(text) && detail.example.starts_with(example), "{fact:?}");
        };
        let calm = (600, 20, 0, 0.02);
        check(
            &[calm, (60, 20, 10, 0.02)],
            "trace-error",
            "calls of GET /user/<*> failed within 10 s, usually 0.0 %",
            "true",
        );
        check(&[calm, (60, 20, 0, 0.5)], "trace-slow", "(99 % of calls less), usually 2", "false");
        check(&[(600, 2, 0, 0.02), (60, 2, 2, 0.02)], "trace-error", "20 of 20 calls", "true");
        // What goes on is told again, but seldom.
        assert_eq!(run(&[calm, (700, 20, 10, 0.02)]).len(), 2);
    }

    #[test]
    fn what_nobody_calls_has_counts_and_no_durations() {
        let mut operation = Operation::new("a service with quite a long name", &"b".repeat(80));
        let mut out = Readings::default();
        let mut check = |second: u64, calls: u32, ends: bool, wanted: &[Option<Result<f64, NoData>>]| {
            for _ in 0..calls {
                operation.take(Call { seconds: 0.1, is_error: true }, None, 1000 * second);
            }
            out.begin();
            if ends {
                let _shown = operation.roll(1000 * second, 10_000, &mut out);
            } else {
                operation.rest(1000 * second, &mut out)
            }
            let got: Vec<_> = out.due().map(|r| r.map(|r| r.map(|x| (x * 10.0).round() / 10.0))).collect();
            assert_eq!(got, wanted, "second {second}");
            assert!(out.iter().all(|(key, _)| key.label.len() <= LABEL));
        };
        let all = |n: f64, duration| [[Some(Ok(n)); 2].as_slice(), &[duration; 3]].concat();
        check(1, 1, false, &[]);
        check(10, 0, true, &all(1.0, Some(Ok(0.1))));
        check(11, 0, false, &[None; 5]);
        check(13, 30, false, &[None; 5]);
        check(20, 0, true, &all(31.0, Some(Ok(0.1))));
        check(30, 0, true, &all(31.0, None));
        check(132, 0, false, &[None; 5]);
        check(133, 0, false, &[[None; 2].as_slice(), &[Some(Err(NoData::Idle)); 3]].concat());
    }
}
