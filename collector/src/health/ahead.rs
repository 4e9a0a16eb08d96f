//! How well something will be in half an hour, and how far such forecasts were off.
//!
//! Four simple forecasts are asked at each point of the past as they are asked now, and weigh by the square of their mean
//! error there (Bates and Granger, "The combination of forecasts", 1969): it stays as it is; it comes back as it did when it was
//! like this (the mean of the nearest neighbours: Lorenz, "Atmospheric predictability as revealed by naturally occurring
//! analogues", 1969); it does what it did yesterday at this time; it is as it mostly is. Each error is that of a forecast
//! which knew nothing of what came after it.

use serde::{Deserialize, Serialize};

/// Steps of five minutes in half an hour.
const AHEAD: usize = 6;
/// Steps in a day.
const DAY: usize = 288;
/// Moments of the past that are most like now.
const NEIGHBOURS: usize = 8;
/// Points of the past at which the forecasts are tried, at most, and how far apart.
const TRIALS: usize = 192;
const APART: usize = 3;
/// With less of a past nothing is foretold.
const LEAST: usize = 4 * AHEAD;
/// How an error of none counts: a score is known to about a point.
const FINE: f64 = 1.0;

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
    let (last, trials) = (readings.len().checked_sub(1)?, trials(readings));
    if readings.len() < LEAST || trials.is_empty() {
        return None;
    }
    let weights = weights(&trials);
    let score = combined(&candidates(readings, last), &weights);
    let mut off: Vec<f64> = trials.iter().map(|t| t.truth - t.combined).collect();
    off.sort_by(f64::total_cmp);
    let quantile = |share: f64| off.get(((off.len() - 1) as f64 * share).round() as usize).copied().unwrap_or(0.0);
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

fn error(trials: &[Trial]) -> Measured {
    let mean = |of: &dyn Fn(&Trial) -> f64| trials.iter().map(of).sum::<f64>() / trials.len().max(1) as f64;
    Measured {
        mean: mean(&|t| (t.truth - t.combined).abs()),
        staying: mean(&|t| (t.truth - t.said[0].unwrap_or(t.truth)).abs()),
        count: trials.len(),
    }
}

/// What was said at a point of the past, and what came.
struct Trial {
    said: [Option<f64>; 4],
    combined: f64,
    truth: f64,
}

/// Every forecast knows what was before it alone: readings as well as errors.
fn trials(readings: &[f64]) -> Vec<Trial> {
    let Some(last) = readings.len().checked_sub(AHEAD + 1) else { return Vec::new() };
    let first = last.saturating_sub(TRIALS * APART).max(LEAST - AHEAD);
    let mut trials: Vec<Trial> = Vec::new();
    for at in (first..=last).filter(|at| (last - at).is_multiple_of(APART)) {
        let said = candidates(readings, at);
        // The errors of the last half hour are not known yet.
        let known = trials.len().saturating_sub(AHEAD / APART);
        let combined = combined(&said, &weights(&trials[..known]));
        trials.push(Trial { said, combined, truth: readings[at + AHEAD] });
    }
    trials
}

fn weights(trials: &[Trial]) -> [f64; 4] {
    std::array::from_fn(|i| {
        let (n, sum) = trials
            .iter()
            .filter_map(|t| Some((t.said[i]? - t.truth).powi(2)))
            .fold((0, 0.0), |(n, sum), off| (n + 1, sum + off));
        // Who was never tried has half a say at most.
        if n == 0 { 0.5 / FINE } else { 1.0 / (sum / f64::from(n) + FINE) }
    })
}

fn combined(said: &[Option<f64>; 4], weights: &[f64; 4]) -> f64 {
    let known = || said.iter().zip(weights).filter_map(|(said, weight)| Some(((*said)?, *weight)));
    let weight: f64 = known().map(|(_, weight)| weight).sum();
    known().map(|(said, weight)| said * weight).sum::<f64>() / weight.max(f64::MIN_POSITIVE)
}

/// What each says at a point of the past: stays, comes back, as yesterday, as mostly.
fn candidates(readings: &[f64], at: usize) -> [Option<f64>; 4] {
    let now = readings[at];
    let yesterday = (at + AHEAD).checked_sub(DAY).map(|then| readings[then]);
    let mean = readings[..=at].iter().sum::<f64>() / (at + 1) as f64;
    [Some(now), neighbours(readings, at), yesterday, Some(mean)]
}

/// The mean of what came half an hour after the moments that were most like this one: by the score now, a quarter and
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
    let chosen = nearest.iter().filter(|n| n.0 <= farthest);
    let (n, sum) = chosen.fold((0, 0.0), |(n, sum), (_, came)| (n + 1, sum + came));
    Some(sum / f64::from(n))
}
