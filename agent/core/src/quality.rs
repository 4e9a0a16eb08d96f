//! Quality: the verdict on a reading before anything learns from it.
//!
//! Counters become rates here, because a reset or a wrap is a matter of quality and not of anomaly.

use serde::{Deserialize, Serialize};

use crate::metric::{Kind, Metric};
use crate::series::{Millis, NoData, Reading};

/// What is thought of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Verdict {
    /// It may be judged and learnt from.
    Ok = 0,
    /// There is none.
    Missing = 1,
    /// An analogue sensor that has shown one value for far longer than it ever did.
    Frozen = 2,
    /// Outside what is possible for the metric.
    OutOfRange = 3,
    /// A change within one tick that the thing measured cannot make.
    ImpossibleJump = 4,
}

impl Verdict {
    /// One phrase for people.
    #[must_use]
    pub fn word(number: u8) -> &'static str {
        match number {
            0 => "good",
            1 => "missing",
            2 => "frozen",
            3 => "out of range",
            4 => "impossible jump",
            _ => "unknown",
        }
    }
}

/// A reading with its verdict. There is a value whenever one could be made, even if it is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Checked {
    /// The value in the metric's unit (a rate, for a counter).
    pub value: Option<f32>,
    /// What is thought of it.
    pub verdict: Verdict,
    /// Why there is no value.
    pub why: Option<NoData>,
}

impl Checked {
    fn missing(why: NoData) -> Self {
        Self { value: None, verdict: Verdict::Missing, why: Some(why) }
    }
}

/// How long an analogue value must stand still, at least, to be called frozen.
const FROZEN_TICKS: u32 = 30;
/// And how many times longer than it ever stood still before.
const FROZEN_TIMES: u32 = 6;
/// So long is enough where chance cannot repeat a value: where steps are usually so many of the smallest.
const FROZEN_FINE_TICKS: u32 = 8;
const FINE: f32 = 16.0;
/// The usual step follows by this share of every step.
const FOLLOW: f32 = 0.05;
/// A jump that is still there after so many ticks was no glitch.
const JUMP_TICKS: u8 = 3;

/// What is remembered of one series to tell good readings from bad.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Quality {
    /// The last raw reading, for rates and for "unchanged".
    last: Option<(Millis, f64)>,
    /// The last value that was believed.
    believed: Option<f32>,
    jumps: u8,
    unchanged: u32,
    longest_unchanged: u32,
    changes: u32,
    /// When the last raw reading was first read.
    pub same_since: Millis,
    least_step: f32,
    usual_step: f32,
}

impl Quality {
    /// Judges one reading.
    pub fn check(&mut self, metric: &Metric, now: Millis, reading: Reading) -> Checked {
        let raw = match reading {
            Ok(raw) if raw.is_finite() => raw,
            Ok(_) => return Checked::missing(NoData::NotFinite),
            Err(why) => return Checked::missing(why),
        };
        let last = self.last.replace((now, raw));
        self.count_unchanged(last, now, raw);
        let value = match metric.kind {
            Kind::Gauge => raw,
            Kind::Counter => match last.and_then(|last| rate(last, now, raw)) {
                Some(rate) => rate,
                None => return Checked::missing(NoData::FirstReading),
            },
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "f32 is the precision of judgement; overflow is caught"
        )]
        let value = value as f32;
        let verdict = self.verdict(metric, value);
        if verdict == Verdict::Ok {
            self.believed = Some(value);
        }
        Checked { value: value.is_finite().then_some(value), verdict, why: None }
    }

    /// Takes one reading without learning what is usual from it.
    pub fn see(&mut self, metric: &Metric, now: Millis, reading: Reading) -> Checked {
        let before = self.clone();
        let checked = self.check(metric, now, reading);
        *self = Self { last: self.last, believed: self.believed, ..before };
        checked
    }

    /// Time has passed unseen: what was read last says nothing of the next reading. What was learnt stays.
    pub fn after_gap(&mut self) {
        (self.last, self.believed, self.jumps, self.unchanged) = (None, None, 0, 0);
    }

    fn count_unchanged(&mut self, last: Option<(Millis, f64)>, now: Millis, raw: f64) {
        let Some((_, before)) = last else {
            self.same_since = now;
            return;
        };
        if before.to_bits() == raw.to_bits() {
            self.unchanged = self.unchanged.saturating_add(1);
        } else {
            self.changes = self.changes.saturating_add(1);
            // A fault is not what is usual: the next one is a fault as well.
            if self.unchanged < self.frozen_ticks(before as f32) {
                self.longest_unchanged = self.longest_unchanged.max(self.unchanged);
            }
            self.unchanged = 0;
            self.same_since = now;
            #[expect(clippy::cast_possible_truncation, reason = "only compared with another")]
            let step = (raw - before).abs() as f32;
            self.least_step = if self.changes > 1 { self.least_step.min(step) } else { step };
            // One large step is not usual.
            let most = if self.usual_step > 0.0 { 4.0 * self.usual_step } else { step };
            self.usual_step += FOLLOW * (step.min(most) - self.usual_step);
        }
    }

    /// How long a reading must stand still to be called frozen.
    fn frozen_ticks(&self, value: f32) -> u32 {
        // What is off reads nothing, and stays so.
        let is_fine = value != 0.0 && self.usual_step > FINE * self.least_step;
        let least = if is_fine { FROZEN_FINE_TICKS } else { FROZEN_TICKS };
        least.max(FROZEN_TIMES.saturating_mul(self.longest_unchanged))
    }

    fn verdict(&mut self, metric: &Metric, value: f32) -> Verdict {
        let (low, high) = metric.range;
        if !value.is_finite() || value < low || value > high {
            return Verdict::OutOfRange;
        }
        if metric.freezes && self.changes >= FROZEN_TICKS && self.unchanged >= self.frozen_ticks(value) {
            return Verdict::Frozen;
        }
        // Only a quantity with inertia and a known range can be said to jump impossibly.
        let most = if metric.freezes { (high - low) / 4.0 } else { f32::INFINITY };
        if self.believed.is_some_and(|b| (value - b).abs() > most) && self.jumps < JUMP_TICKS {
            self.jumps += 1;
            return Verdict::ImpossibleJump;
        }
        self.jumps = 0;
        Verdict::Ok
    }
}

/// The rate between two readings of a counter; none if it was reset or time stood still.
fn rate((then, before): (Millis, f64), now: Millis, after: f64) -> Option<f64> {
    const WRAP_32: f64 = 4_294_967_296.0;
    #[expect(clippy::cast_precision_loss, reason = "spans of milliseconds are far below 2^52")]
    let seconds = now.checked_sub(then).filter(|ms| *ms > 0)? as f64 / 1000.0;
    let grown = if after >= before {
        after - before
    } else if before < WRAP_32 && before > 0.9 * WRAP_32 && after < 0.1 * WRAP_32 {
        // A 32-bit counter ran over; wider ones do not in a lifetime.
        after + WRAP_32 - before
    } else {
        return None;
    };
    Some(grown / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric;

    /// Feeds readings one second apart and returns the last verdict and value.
    fn check(code: u16, readings: impl IntoIterator<Item = Reading>) -> (Verdict, Option<f32>) {
        let mut quality = Quality::default();
        let mut last = Checked::missing(NoData::Absent);
        for (i, reading) in readings.into_iter().enumerate() {
            last = quality.check(metric::by_code(code), 1000 * (i as Millis + 1), reading);
        }
        (last.verdict, last.value)
    }

    #[test]
    fn counters_become_rates_over_wrap_and_reset() {
        let io = metric::PAGE_FAULTS;
        assert_eq!(check(io, [Ok(10.0)]), (Verdict::Missing, None));
        assert_eq!(check(io, [Ok(10.0), Ok(15.0)]), (Verdict::Ok, Some(5.0)));
        assert_eq!(check(io, [Ok(4_294_967_290.0), Ok(4.0)]), (Verdict::Ok, Some(10.0)));
        assert_eq!(check(io, [Ok(5e9), Ok(4.0)]), (Verdict::Missing, None), "a reset is no rate");
        assert_eq!(check(io, [Ok(5e9), Ok(4.0), Ok(6.0)]), (Verdict::Ok, Some(2.0)));
        assert_eq!(
            check(io, [Ok(10.0), Err(NoData::Timeout), Ok(20.0)]),
            (Verdict::Ok, Some(5.0)),
            "mean of the gap"
        );
    }

    #[test]
    fn what_is_no_number_is_missing() {
        assert_eq!(check(metric::TEMPERATURE, [Ok(f64::NAN)]), (Verdict::Missing, None));
        assert_eq!(check(metric::TEMPERATURE, [Ok(f64::INFINITY)]), (Verdict::Missing, None));
        assert_eq!(check(metric::TEMPERATURE, [Err(NoData::Failed)]), (Verdict::Missing, None));
        assert_eq!(check(metric::CPU_BUSY, [Ok(1e300)]), (Verdict::OutOfRange, None));
    }

    #[test]
    fn the_impossible_is_named() {
        assert_eq!(check(metric::TEMPERATURE, [Ok(451.0)]).0, Verdict::OutOfRange);
        assert_eq!(check(metric::CPU_BUSY, [Ok(-0.1)]).0, Verdict::OutOfRange);
        assert_eq!(check(metric::TEMPERATURE, [Ok(40.0), Ok(140.0)]).0, Verdict::ImpossibleJump);
        assert_eq!(check(metric::TEMPERATURE, [Ok(40.0), Ok(140.0), Ok(41.0)]).0, Verdict::Ok);
        let stays = [40.0, 140.0, 140.0, 141.0, 140.0].map(Ok);
        assert_eq!(check(metric::TEMPERATURE, stays).0, Verdict::Ok, "what stays was no glitch");
    }

    #[test]
    fn a_sensor_freezes_but_an_idle_counter_does_not() {
        let lively = (0..60).map(|i| Ok(40.0 + f64::from(i % 7) * 0.1));
        let stuck = std::iter::repeat_n(Ok(40.3), 60);
        let fine = |n| {
            (0..60)
                .map(|i| Ok(40.0 + f64::from(i * i * 7 % 101) * 0.01))
                .chain(std::iter::repeat_n(Ok(40.37), n))
        };
        assert_eq!(check(metric::TEMPERATURE, fine(8)).0, Verdict::Ok);
        assert_eq!(check(metric::TEMPERATURE, fine(9)).0, Verdict::Frozen, "no chance repeats it so often");
        let off = (0..60)
            .map(|i| Ok(4.0 + f64::from(i * i * 7 % 101) * 0.01))
            .chain(std::iter::repeat_n(Ok(0.0), 20));
        assert_eq!(check(metric::POWER, off).0, Verdict::Ok, "what is off reads nothing");
        let coarse =
            (0..60).map(|i| Ok(40.0 + f64::from(i * 37 % 4))).chain(std::iter::repeat_n(Ok(41.0), 20));
        assert_eq!(check(metric::TEMPERATURE, coarse).0, Verdict::Ok);
        assert_eq!(check(metric::TEMPERATURE, lively.clone().chain(stuck.clone())).0, Verdict::Frozen);
        assert_eq!(check(metric::TEMPERATURE, fine(100).chain(fine(9))).0, Verdict::Frozen, "and once more");
        assert_eq!(
            check(metric::TEMPERATURE, stuck.clone()).0,
            Verdict::Ok,
            "it never moved: nothing is known of it"
        );
        assert_eq!(check(metric::MEMORY_USED, stuck.map(|_| Ok(0.3))).0, Verdict::Ok);
        let slow = (0..600).map(|i| Ok(40.0 + f64::from(i / 10 % 3)));
        assert_eq!(check(metric::TEMPERATURE, slow.chain(std::iter::repeat_n(Ok(41.0), 40))).0, Verdict::Ok);
    }
}
