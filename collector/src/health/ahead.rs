//! How well something will be in half an hour, and how far such forecasts were off.
//!
//! Four simple forecasts are asked at each point of the past as they are asked now, and weigh by the tenth power of their
//! mean error there, as the devices' own do (forecasts combined by their past errors: Bates and Granger, "The combination of
//! forecasts", 1969). It stays as it is; it becomes what it became when it was like this (the median of the nearest
//! neighbours: Lorenz, "Atmospheric predictability as revealed by naturally occurring analogues", 1969); it is as it mostly
//! is at that time of day; it stays as far from that as it is now. Each error is that of a forecast which knew nothing of
//! what came after it.

use serde::{Deserialize, Serialize};

/// Steps of five minutes in half an hour.
const AHEAD: usize = 6;
/// Steps in a day.
const DAY: usize = 288;
/// Moments of the past that are most like now.
const NEIGHBOURS: usize = 8;
/// Points of the past at which the forecasts are tried, at most, and how far apart. The first half teaches whom to believe,
/// the second is what errors are told of.
const TRIALS: usize = 384;
const APART: usize = 3;
/// With less of a past nothing is foretold.
const LEAST: usize = 4 * AHEAD;
/// How an error of none counts.
const FINE: f64 = 0.5;
/// How much better forecasts count more.
const POWER: i32 = 10;

/// How well something will be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// 0 to 100.
    pub score: f64,
    /// Lower in one of ten cases.
    pub low: f64,
    /// Higher in one of ten cases.
    pub high: f64,
    /// How far such forecasts were off.
    pub error: Measured,
}

/// How far forecasts were off, on what they did not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Mean absolute error, in points of 100.
    pub mean: f64,
    /// That of "it stays as it is", on the same.
    pub staying: f64,
    /// How many forecasts.
    pub count: usize,
}

/// The outlook on half an hour from now, from readings every five minutes up to now. `cap` is what the score cannot be above,
/// because a limit will have been reached.
#[must_use]
pub fn ahead(readings: &[f64], now_ms: u64, cap: Option<f64>) -> Option<Outlook> {
    let last = readings.len().checked_sub(1)?;
    if readings.len() < LEAST + AHEAD {
        return None;
    }
    let trials = trials(readings);
    let all = combined(&candidates(readings, last), &weights(&trials));
    let score = if pays(&trials) { all } else { readings[last] };
    let mut off: Vec<f64> = held_back(&trials).iter().map(|t| t.truth - t.told).collect();
    off.sort_by(f64::total_cmp);
    let quantile =
        |share: f64| off.get(((off.len() - 1) as f64 * share).round() as usize).copied().unwrap_or(0.0);
    let below = |score: f64| score.clamp(0.0, cap.unwrap_or(100.0).clamp(0.0, 100.0));
    Some(Outlook {
        at_ms: now_ms + AHEAD as u64 * super::STEP_MS,
        score: below(score),
        low: below((score + quantile(0.1)).min(score)),
        high: below((score + quantile(0.9)).max(score)),
        error: error(&trials),
    })
}

/// How far forecasts were off on this past.
#[must_use]
pub fn measure(readings: &[f64]) -> Measured {
    error(&trials(readings))
}

fn held_back(trials: &[Trial]) -> &[Trial] {
    &trials[trials.len() / 2..]
}

fn error(trials: &[Trial]) -> Measured {
    let trials = held_back(trials);
    let mean = |of: &dyn Fn(&Trial) -> f64| trials.iter().map(of).sum::<f64>() / trials.len().max(1) as f64;
    Measured {
        mean: mean(&|t| (t.truth - t.told).abs()),
        staying: mean(&|t| (t.truth - t.said[0].unwrap_or(t.truth)).abs()),
        count: trials.len(),
    }
}

/// What was said at a point of the past, and what came.
struct Trial {
    said: [Option<f64>; 4],
    combined: f64,
    /// What was foretold of it in the end.
    told: f64,
    truth: f64,
}

/// Whether all of them together were nearer than "it stays as it is".
fn pays(trials: &[Trial]) -> bool {
    let off = |of: fn(&Trial) -> f64| trials.iter().map(|t| (t.truth - of(t)).abs()).sum::<f64>();
    off(|t| t.combined) < off(|t| t.said[0].unwrap_or(t.combined))
}

/// Every forecast knows what was before it alone: readings as well as errors.
fn trials(readings: &[f64]) -> Vec<Trial> {
    let Some(last) = readings.len().checked_sub(AHEAD + 1) else { return Vec::new() };
    let first = last.saturating_sub(TRIALS * APART).max(LEAST);
    if first > last {
        return Vec::new();
    }
    let mut trials: Vec<Trial> = Vec::new();
    // Most things are well, and were so for days.
    let flat = readings.iter().all(|r| *r == readings[0]);
    for at in (first..=last).filter(|at| (last - at).is_multiple_of(APART)) {
        let said = if flat { [Some(readings[at]), None, None, None] } else { candidates(readings, at) };
        // The errors of the last half hour are not known yet.
        let known = trials.len().saturating_sub(AHEAD / APART);
        let combined = combined(&said, &weights(&trials[..known]));
        let told = if pays(&trials[..known]) { combined } else { readings[at] };
        trials.push(Trial { said, combined, told, truth: readings[at + AHEAD] });
    }
    trials
}

fn weights(trials: &[Trial]) -> [f64; 4] {
    std::array::from_fn(|i| {
        let off = trials.iter().filter_map(|t| Some((t.said[i]? - t.truth).abs()));
        let (n, sum) = off.fold((0, 0.0), |(n, sum), off| (n + 1, sum + off));
        // Who was never tried is not believed, unless nobody was.
        let mean = if n == 0 { 100.0 } else { sum / f64::from(n) };
        (mean + FINE).powi(-POWER)
    })
}

/// The weighted median: scores go in steps, and the mean of two levels is none of them.
fn combined(said: &[Option<f64>; 4], weights: &[f64; 4]) -> f64 {
    let mut known: Vec<(f64, f64)> =
        said.iter().zip(weights).filter_map(|(said, weight)| Some(((*said)?, *weight))).collect();
    known.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = known.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut sum = 0.0;
    let reaches = |(_, weight): &&(f64, f64)| {
        sum += weight;
        sum >= half
    };
    known.iter().find(reaches).map_or(0.0, |(said, _)| *said)
}

/// What each says at a point of the past, in the order of the words above.
fn candidates(readings: &[f64], at: usize) -> [Option<f64>; 4] {
    let now = readings[at];
    let then = usual(readings, at, at + AHEAD);
    let as_far =
        then.zip(usual(readings, at, at)).map(|(then, usual)| (now - usual + then).clamp(0.0, 100.0));
    [Some(now), neighbours(readings, at), then, as_far]
}

/// The median of the same time on the days before, of which there must be two.
fn usual(readings: &[f64], at: usize, time: usize) -> Option<f64> {
    let days = (1..).map_while(|day| time.checked_sub(day * DAY)).filter(|then| *then <= at);
    let days: Vec<f64> = days.map(|then| readings[then]).collect();
    (days.len() >= 2).then(|| median(days))
}

fn median(mut of: Vec<f64>) -> f64 {
    let middle = of.len() / 2;
    *of.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// The median of what came half an hour after the moments that were most like this one: by the score now, a quarter and
/// half an hour before. Those of which it is known already, of the last three days.
fn neighbours(readings: &[f64], at: usize) -> Option<f64> {
    let like = |a: usize| [readings[a], readings[a - AHEAD / 2], readings[a - AHEAD]];
    let now = at.checked_sub(AHEAD).map(|_| like(at))?;
    let from = at.saturating_sub(3 * DAY).max(AHEAD);
    let mut nearest: Vec<(f64, f64)> = (from..=at.checked_sub(AHEAD)?)
        .map(|then| {
            let apart: f64 = like(then).iter().zip(now).map(|(a, b)| (a - b).powi(2)).sum();
            (apart, readings[then + AHEAD])
        })
        .collect();
    if nearest.len() < NEIGHBOURS {
        return None;
    }
    // Of moments that are equally like it, all count: a calm day would else be told by its first hour.
    nearest.select_nth_unstable_by(NEIGHBOURS - 1, |a, b| a.0.total_cmp(&b.0));
    let farthest = nearest[..NEIGHBOURS].iter().map(|n| n.0).fold(0.0, f64::max);
    Some(median(nearest.into_iter().filter(|n| n.0 <= farthest).map(|n| n.1).collect()))
}
