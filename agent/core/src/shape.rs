//! Shapes: what an anomaly looks like, told from the window of its first series; and the little plot of it.

use crate::judge::Series;
use crate::metric::Metric;
use crate::quality::Verdict;
use crate::series::Millis;
use crate::window;
use crate::wire::{SPARK, Spark};

/// What an anomaly looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Shape {
    /// Up and soon back.
    Spike = 1,
    /// Down and soon back.
    Dip = 2,
    /// Up, and staying.
    Step = 3,
    /// Down, and staying.
    Drop = 4,
    /// Growing steadily.
    Ramp = 5,
    /// Swinging more widely around its usual place.
    Variance = 6,
    /// No change where there always was.
    Frozen = 7,
    /// Beyond a limit that somebody set, which stands where else the expected value does.
    Limit = 32,
}

impl Shape {
    /// One word for people.
    #[must_use]
    pub fn word(number: u8) -> &'static str {
        match number {
            1 => "spike",
            2 => "dip",
            3 => "step",
            4 => "drop",
            5 => "ramp",
            6 => "variance",
            7 => "frozen",
            32 => "limit",
            _ => "change",
        }
    }
}

/// An anomaly that is over within this was a spike.
const BRIEF_MS: Millis = 20_000;

/// The shape of what this series does; `lasted` if it is over.
#[must_use]
pub fn of(series: &Series, metric: &Metric, lasted: Option<Millis>) -> Shape {
    if series.now.verdict == Verdict::Frozen {
        return Shape::Frozen;
    }
    let usual = series.baseline.median;
    let spread = series.baseline.spread.max(window::measured_floor(metric) / 8.0).max(f32::MIN_POSITIVE);
    let (mut above, mut below, mut rises, mut falls, mut n) = (0u32, 0u32, 0u32, 0u32, 0u32);
    let mut last = None;
    // What is over lies further back: the newest readings are as usual again.
    let looked = if lasted.is_some() { window::WINDOW } else { 12 };
    for x in series.window.iter().rev().take(looked) {
        n += 1;
        above += u32::from(x > usual + 2.0 * spread);
        below += u32::from(x < usual - 2.0 * spread);
        if let Some(later) = last {
            let step: f32 = later - x;
            rises += u32::from(step > spread / 4.0);
            falls += u32::from(step < -spread / 4.0);
        }
        last = Some(x);
    }
    let up = above >= below;
    if lasted.is_some_and(|ms| ms <= BRIEF_MS) {
        return if up { Shape::Spike } else { Shape::Dip };
    }
    if lasted.is_none() && above >= 2 && below >= 2 {
        return Shape::Variance;
    }
    if lasted.is_none() && (rises.max(falls)) * 4 >= n * 3 && rises.min(falls) == 0 {
        return Shape::Ramp;
    }
    if up { Shape::Step } else { Shape::Drop }
}

/// The last readings of a series in [`SPARK`] bytes; `ago_ms` is how long before now the onset was.
#[must_use]
pub fn spark(series: &Series, metric: &Metric, tick_ms: Millis, ago_ms: u32) -> Option<Spark> {
    let every = series.window.len().div_ceil(SPARK).max(1);
    let back = |x: f32| window::unmeasure(metric, x);
    let newest_first = || series.window.iter().rev().step_by(every).map(back);
    let low = newest_first().fold(f32::INFINITY, f32::min);
    let high = newest_first().fold(f32::NEG_INFINITY, f32::max);
    if !(low.is_finite() && high.is_finite()) {
        return None;
    }
    let width = if high > low { high - low } else { 1.0 };
    let mut points: heapless::Vec<u8, SPARK> =
        newest_first().map(|x| ((x - low) / width * 254.0 + 0.5).clamp(0.0, 254.0) as u8).collect();
    points.reverse();
    let step_ms = u32::try_from(tick_ms * every as u64).unwrap_or(u32::MAX);
    Some(Spark { step_ms, onset_ms: ago_ms, low, high: low + width, points })
}
