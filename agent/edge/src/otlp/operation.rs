//! One operation of a service: how often it is called, fails, and how long it takes; what is usual of it; and a call
//! that shows what is not.

use fieldmouse_core::metric;
use fieldmouse_core::series::{LABEL, Millis, NoData, cut};
use fieldmouse_core::wire::{Detail, Fact};

use super::names::fit;
use super::sketch::Sketch;
use crate::sources::{Readings, Slot};

/// Calls that are enough for quantiles; fewer are waited for …
const ENOUGH: u32 = 30;
/// … so long.
const WINDOW_MS: Millis = 10_000;
/// Without a call for so long, nothing is known of its duration.
const IDLE_MS: Millis = 120_000;
/// One fact of a kind in this span.
const TELL_MS: Millis = 600_000;
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)];
/// Room for a service's name in a label.
const SERVICE: usize = 20;

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
    /// Durations, since then.
    sketch: Sketch,
    since: Millis,
    /// The slowest call of the last seconds, and one that failed.
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
        if self.sketch.count() == 0 {
            self.since = now;
        }
        self.sketch.add(call.seconds);
        self.calls += 1;
        self.errors += u64::from(call.is_error);
        self.last = now;
        match example {
            Some(text) if call.is_error && self.failing.is_none() => self.failing = Some(text),
            Some(text) => self.slowest = Some((call.seconds, text)),
            None => {}
        }
    }

    pub(super) fn tick(&mut self, now: Millis, out: &mut Readings) {
        let Self { service, name, .. } = self;
        let [calls, errors] = *self.counters.get_or_insert_with(|| {
            [metric::SPAN_COUNT, metric::SPAN_ERROR].map(|code| out.slot(code, &[service, name]))
        });
        out.set(calls, self.calls as f64);
        out.set(errors, self.errors as f64);
        self.time(now, out);
        if let Some((calls, errors, usually)) = self.failures.note(now, self.calls, self.errors) {
            let text = format!(
                "{}: {errors} of {calls} calls of {} failed within {} s, usually {:.1} %",
                self.service,
                self.name,
                WINDOW_MS / 1000,
                usually * 100.0
            );
            let example = self.failing.clone();
            self.tell(now, 0, Fact::new("trace-error", &text), errors, example, out);
        }
        if self.failures.is_begun(now) {
            (self.failing, self.slowest) = (None, None);
        }
    }

    /// Sets the quantiles when there is enough for them.
    fn time(&mut self, now: Millis, out: &mut Readings) {
        let count = self.sketch.count();
        let is_due = count >= ENOUGH || count > 0 && now.saturating_sub(self.since) >= WINDOW_MS;
        if !is_due {
            let is_idle = now.saturating_sub(self.last) >= IDLE_MS;
            for slot in self.durations.into_iter().flatten() {
                if is_idle { out.fail(slot, NoData::Idle) } else { out.rest(slot) }
            }
            return;
        }
        let Self { service, name, sketch, .. } = self;
        let slots = *self.durations.get_or_insert_with(|| {
            QUANTILES.map(|(word, _)| out.slot(metric::SPAN_DURATION, &[service, name, word]))
        });
        let mut slowest = 0.0;
        for (slot, (_, share)) in slots.into_iter().zip(QUANTILES) {
            slowest = sketch.quantile(share).unwrap_or(0.0);
            out.set(slot, slowest);
        }
        sketch.clear();
        if let Some(usually) = self.slowness.note(now, slowest) {
            let (is, was) = (in_words(slowest), in_words(usually));
            let text =
                format!("{}: {} takes {is} (99 % of calls less), usually {was}", self.service, self.name);
            let example = self.slowest.as_ref().map(|(_, text)| text.clone());
            self.tell(now, 1, Fact::new("trace-slow", &text), u64::from(count), example, out);
        }
    }

    fn tell(
        &mut self,
        now: Millis,
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
            since_ms: u32::try_from(WINDOW_MS).unwrap_or(0),
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
    since: Option<Millis>,
}

impl Slowness {
    /// Takes another such duration. If it has been far above what is usual for a while, returns that.
    fn note(&mut self, now: Millis, seconds: f64) -> Option<f64> {
        const KNOWN: u32 = 20;
        const MEMORY: u32 = 100;
        let x = seconds.max(1e-6).ln();
        let away = x - self.mean;
        let usually = self.mean.exp();
        let is_far = self.seen >= KNOWN
            && away > (6.0 * self.spread).max(std::f64::consts::LN_2)
            && seconds - usually > 0.05;
        self.since = if is_far { self.since.or(Some(now)) } else { None };
        self.seen += 1;
        // Of what is unusual little is learnt, but it may become the usual.
        let rate = if is_far { 0.1 } else { 1.0 } / f64::from(self.seen.min(MEMORY));
        if self.seen == 1 {
            self.mean = x;
        } else {
            self.mean += rate * away;
            self.spread += rate * (away.abs() - self.spread);
        }
        self.since.is_some_and(|since| now.saturating_sub(since) >= WINDOW_MS).then_some(usually)
    }
}

/// Which share of calls usually fails, and what was counted when this window began.
#[derive(Debug, Default)]
struct Failures {
    share: f64,
    seen: u32,
    began: Millis,
    calls: u64,
    errors: u64,
}

impl Failures {
    /// Takes the counts. If far more failed in the window that ends now than usually do: calls, errors, usual share.
    fn note(&mut self, now: Millis, calls: u64, errors: u64) -> Option<(u64, u64, f64)> {
        const KNOWN: u32 = 6;
        const MEMORY: u32 = 360;
        if now.saturating_sub(self.began) < WINDOW_MS {
            return None;
        }
        let (n, e) = (calls - self.calls, errors - self.errors);
        (self.began, self.calls, self.errors) = (now, calls, errors);
        if n == 0 {
            return None;
        }
        let (all, failed, usually) = (n as f64, e as f64, self.share);
        let chance = 6.0 * (all * usually * (1.0 - usually) + 1.0).sqrt();
        let is_far = self.seen >= KNOWN && failed > all * usually + chance && failed > 2.0 * all * usually;
        self.seen += 1;
        let rate = if is_far { 0.1 } else { 1.0 } / f64::from(self.seen.min(MEMORY));
        self.share += rate * (failed / all - usually);
        is_far.then_some((n, e, usually))
    }

    /// Whether a window begins now.
    fn is_begun(&self, now: Millis) -> bool {
        self.began == now
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
                operation.tick(1000 * second, &mut out);
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
        let mut check = |second: u64, calls: u32, wanted: &[Option<Result<f64, NoData>>]| {
            for _ in 0..calls {
                operation.take(Call { seconds: 0.1, is_error: true }, None, 1000 * second);
            }
            out.begin();
            operation.tick(1000 * second, &mut out);
            let got: Vec<_> = out.due().map(|r| r.map(|r| r.map(|x| (x * 10.0).round() / 10.0))).collect();
            assert_eq!(got, wanted, "second {second}");
            assert!(out.iter().all(|(key, _)| key.label.len() <= LABEL));
        };
        let counts = |n: f64| [Some(Ok(n)), Some(Ok(n))];
        check(1, 1, &counts(1.0));
        check(10, 0, &counts(1.0));
        check(11, 0, &[counts(1.0).as_slice(), &[Some(Ok(0.1)); 3]].concat());
        check(12, 0, &[counts(1.0).as_slice(), &[None; 3]].concat());
        check(13, 30, &[counts(31.0).as_slice(), &[Some(Ok(0.1)); 3]].concat());
        check(132, 0, &[counts(31.0).as_slice(), &[None; 3]].concat());
        check(133, 0, &[counts(31.0).as_slice(), &[Some(Err(NoData::Idle)); 3]].concat());
    }
}
