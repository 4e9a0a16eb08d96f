//! Series that grow towards a limit of 1.0, or only look like it: one reading a minute, decided by a seed.

use crate::sim::rng::Rng;

/// Minutes of a day.
const DAY: f64 = 1440.0;
/// No series is longer.
const LONGEST: usize = 40 * 1440;

/// How a series grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// At one rate.
    Linear,
    /// At one rate, under noise that remembers itself.
    Noisy,
    /// With one to three removals.
    Deletions,
    /// Most of it is removed time and again, a part stays.
    Rotation,
    /// In working hours.
    Daily,
    /// In pieces.
    Bursts,
    /// By turns.
    Plateaus,
    /// Faster and faster, or slower and slower.
    Bending,
    /// At another rate from some day on.
    NewWriter,
}

/// Every way of growing.
pub(super) const GROWTHS: [(Growth, &str); 9] = [
    (Growth::Linear, "linear"),
    (Growth::Noisy, "noisy"),
    (Growth::Deletions, "deletions"),
    (Growth::Rotation, "rotation"),
    (Growth::Daily, "daily"),
    (Growth::Bursts, "bursts"),
    (Growth::Plateaus, "plateaus"),
    (Growth::Bending, "bending"),
    (Growth::NewWriter, "new-writer"),
];

/// How a series does not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calm {
    /// Around a level.
    Noise,
    /// Away and back.
    Wander,
    /// All of it is removed time and again.
    Rotation,
    /// Up by day, down by night.
    Daily,
    /// Slower and slower, and never so far.
    Levelling,
    /// Once, within minutes or hours.
    Step,
}

/// Every way of not growing.
pub(super) const CALMS: [(Calm, &str); 6] = [
    (Calm::Noise, "noise"),
    (Calm::Wander, "wander"),
    (Calm::Rotation, "rotation"),
    (Calm::Daily, "daily"),
    (Calm::Levelling, "levelling"),
    (Calm::Step, "step"),
];

fn uniform(rng: &mut Rng, from: f64, to: f64) -> f64 {
    from + (to - from) * (rng.draw() as f64 / u64::MAX as f64)
}

/// Evenly spread over orders of magnitude.
fn scale(rng: &mut Rng, from: f64, to: f64) -> f64 {
    uniform(rng, from.ln(), to.ln()).exp()
}

/// Roughly normal.
fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| uniform(rng, -0.5, 0.5)).sum()
}

fn exponential(rng: &mut Rng, mean: f64) -> f64 {
    -mean * uniform(rng, 1e-9, 1.0).ln()
}

/// A series until it is full; the last reading is the first at the limit. Fills within a month, or is drawn again.
pub(super) fn growing(growth: Growth, seed: u64) -> Vec<f64> {
    let mut rng = Rng::new(seed ^ (growth as u64) << 32);
    loop {
        let series = draw(growth, &mut rng);
        // A day, at least, so that there is a past to go by.
        if series.len() > 1440 && series.last().is_some_and(|x| *x >= 1.0) {
            return series;
        }
    }
}

fn draw(growth: Growth, rng: &mut Rng) -> Vec<f64> {
    let start = uniform(rng, 0.05, 0.5);
    let span = scale(rng, DAY, 20.0 * DAY);
    let rate = (1.0 - start) / span;
    let mut level = start;
    let mut series = Vec::new();
    let jitter = scale(rng, 0.02, 0.3);
    let noise = if growth == Growth::Noisy { scale(rng, 2e-3, 3e-2) } else { 2e-4 };
    let memory = (-1.0 / scale(rng, 2.0, 120.0)).exp();
    let mut ar = 0.0;
    // What only some of them need; drawn for all, so that a seed means the same everywhere.
    let mut removals: Vec<f64> = (0..rng.between(1, 3)).map(|_| uniform(rng, 0.1, 0.9) * span).collect();
    let removed = uniform(rng, 0.05, 0.25);
    let period = scale(rng, 3.0 * 60.0, DAY);
    let kept = uniform(rng, 0.05, 0.4);
    let mut since_rotation = 0.0;
    let opens = uniform(rng, 5.0, 12.0) * 60.0;
    let open_for = uniform(rng, 3.0, 10.0) * 60.0;
    let night = uniform(rng, 0.0, 0.2);
    let every = scale(rng, 20.0, 300.0);
    let (on, off) = (scale(rng, 60.0, DAY), scale(rng, 60.0, DAY));
    let (mut is_on, mut toggle) = (true, exponential(rng, on));
    let bend = if rng.chance(500) { uniform(rng, 1.3, 2.5) } else { uniform(rng, 0.6, 0.85) };
    let (change_at, change) = (uniform(rng, 0.2, 0.8) * span, scale(rng, 0.3, 5.0));
    for t in 0..LONGEST {
        let t = t as f64;
        let steady = rate * (1.0 + jitter * normal(rng));
        level += match growth {
            Growth::Linear | Growth::Noisy | Growth::Deletions => steady,
            Growth::Rotation => {
                since_rotation += steady / kept;
                steady / kept
            }
            Growth::Daily => {
                let clock = t % DAY;
                let is_open = (opens..opens + open_for).contains(&clock);
                steady * if is_open { 1.0 } else { night } * DAY / (open_for + (DAY - open_for) * night)
            }
            Growth::Bursts => {
                let size = rate * every * scale(rng, 0.1, 3.6);
                0.2 * steady + if rng.chance((1000.0 / every).ceil() as u64) { size.min(0.2) } else { 0.0 }
            }
            Growth::Plateaus => {
                toggle -= 1.0;
                if toggle <= 0.0 {
                    is_on = !is_on;
                    toggle = exponential(rng, if is_on { on } else { off });
                }
                if is_on { steady * (on + off) / on } else { 0.0 }
            }
            Growth::Bending => {
                let at = |t: f64| (1.0 - start) * (t / span).powf(bend);
                at(t + 1.0) - at(t) + rate * jitter * normal(rng)
            }
            Growth::NewWriter => steady * if t > change_at { change } else { 1.0 },
        };
        if growth == Growth::Deletions && removals.iter().any(|r| (t - r).abs() < 0.5) {
            removals.retain(|r| (t - r).abs() >= 0.5);
            level = (level - removed).max(0.01);
        }
        if growth == Growth::Rotation && t % period < 1.0 && t > 0.0 {
            level -= since_rotation * (1.0 - kept);
            since_rotation = 0.0;
        }
        ar = memory * ar + (1.0 - memory * memory).sqrt() * noise * normal(rng);
        let shown = (level + ar).clamp(0.0, 1.0);
        series.push(shown);
        if shown >= 1.0 {
            break;
        }
    }
    series
}

/// Two weeks of a series that never fills.
pub(super) fn calm(calm: Calm, seed: u64) -> Vec<f64> {
    let rng = &mut Rng::new(seed ^ 0xCA13 ^ (calm as u64) << 32);
    let level = uniform(rng, 0.2, 0.75);
    let noise = scale(rng, 1e-4, 3e-2);
    let memory = (-1.0 / scale(rng, 2.0, 240.0)).exp();
    let (pull, period) = ((-1.0 / scale(rng, 60.0, 2.0 * DAY)).exp(), scale(rng, 30.0, 2.0 * DAY));
    let height = uniform(rng, 0.05, 0.2);
    let (tau, step_at) = (scale(rng, 120.0, 3.0 * DAY), uniform(rng, 0.1, 0.8) * 14.0 * DAY);
    let ramp = scale(rng, 5.0, 120.0);
    let (mut ar, mut wander) = (0.0, 0.0);
    (0..14 * 1440)
        .map(|t| {
            let t = f64::from(t);
            ar = memory * ar + (1.0 - memory * memory).sqrt() * noise * normal(rng);
            wander = pull * wander + (1.0 - pull * pull).sqrt() * 0.05 * normal(rng);
            let more = match calm {
                Calm::Noise => 0.0,
                Calm::Wander => wander,
                Calm::Rotation => height * (t % period) / period,
                Calm::Daily => 0.5 * height * (1.0 + (t / DAY * core::f64::consts::TAU).sin()),
                Calm::Levelling => height * (1.0 - (-t / tau).exp()),
                Calm::Step => height * ((t - step_at) / ramp).clamp(0.0, 1.0),
            };
            (level + more + ar).clamp(0.0, 0.98)
        })
        .collect()
}
