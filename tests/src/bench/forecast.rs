//! How well it is foretold when something is full, beside Prometheus' `predict_linear` in the same run.
//!
//! `bench forecast [FILE.csv…]`: generated series, or every column of the recordings that grows, a row a minute. A look is made at
//! five points of each series' way to its limit; an error is a share of the time that was left. No forecast where there
//! should be one counts as an infinite error, for everybody.

mod generate;
mod tally;

use std::path::Path;

use fieldmouse_core::forecast::{Limit, Outlook, Past, Watch};
use fieldmouse_core::wire::phase;

use crate::wait::timed;
use generate::{CALMS, GROWTHS};
use tally::Tally;

/// The forecaster was fitted on the seeds 0 to 39, and its forms were compared on 1000 to 1099. These are others.
const SEEDS: std::ops::Range<u64> = 2000..2060;
const LOOKS: [f64; 5] = [0.3, 0.5, 0.7, 0.85, 0.95];
/// Windows of `predict_linear` in minutes, as people write them.
const WINDOWS: [(usize, &str); 3] = [(60, "1h"), (240, "4h"), (360, "6h")];
const MINUTE_MS: u64 = 60_000;
const WEEK_MIN: f64 = 7.0 * 1440.0;
const WEEK_MS: u64 = 7 * 1440 * MINUTE_MS;

/// Prints the figures of generated series, or of the columns that grow of these recordings.
pub fn main(files: &[String]) {
    let mut all = Tally::default();
    for file in files {
        for (column, values) in recording(Path::new(file)) {
            let mut tally = Tally::default();
            [0.5, 0.75, 1.0].iter().for_each(|part| look_at_growth(&values, *part, &mut tally));
            if !tally.is_empty() {
                tally.print(&column);
                all.join(tally);
            }
        }
    }
    if !files.is_empty() {
        all.print("recorded");
        return;
    }
    for (growth, name) in GROWTHS {
        let mut tally = Tally::default();
        SEEDS.for_each(|seed| look(&generate::growing(growth, seed), 1.0, &mut tally));
        tally.print(name);
        all.join(tally);
    }
    all.print("generated");
    for (calm, name) in CALMS {
        false_forecasts(name, SEEDS.map(|seed| generate::calm(calm, seed)));
    }
    cost();
}

/// Looks at a series, one reading a minute, on its way to `limit`, which its last reading is the first to reach.
fn look(series: &[f64], limit: f64, tally: &mut Tally) {
    let full = series.len() - 1;
    let looks = LOOKS.map(|part| (part * full as f64) as usize);
    let mut past = Past::default();
    let mut watch = Watch::new(Limit::Above(limit as f32));
    for (i, x) in series.iter().enumerate() {
        let now = i as u64 * MINUTE_MS;
        past.observe(now, *x as f32);
        if watch.observe(now, *x as f32, WEEK_MS).is_some_and(|change| change.phase == phase::OPENED) {
            tally.told_ahead(full - i);
        }
        if looks.contains(&i) {
            let linear = WINDOWS.map(|(window, _)| predict_linear(&series[..=i], window, limit));
            tally.note((full - i) as f64, past.outlook(Limit::Above(limit as f32)), linear);
        }
    }
    tally.series += 1;
}

/// The same for a recording, on its way up to a part of what it ever held; if growth is what it mostly does.
fn look_at_growth(values: &[f64], part: f64, tally: &mut Tally) {
    // What a program needs for a moment (a database that rewrites itself) is nobody's growth.
    const HELD: usize = 10;
    let held: Vec<f64> = values.windows(HELD).map(|w| w.iter().copied().fold(f64::MAX, f64::min)).collect();
    let (low, high) = held.iter().fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(*x), h.max(*x)));
    let limit = low + part * (high - low);
    let Some(full) = held.iter().position(|x| *x >= limit) else { return };
    // Half a day of history, at least, is what every forecaster is given.
    if full > 720 && correlation(&values[..=full]) > 0.9 {
        look(&values[..=full], limit, tally);
    }
}

/// Of values with their time: 1 is nothing but growth.
fn correlation(y: &[f64]) -> f64 {
    let count = y.len() as f64;
    let (middle, mean) = ((count - 1.0) / 2.0, y.iter().sum::<f64>() / count);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (i, value) in y.iter().enumerate() {
        let (x, y) = (i as f64 - middle, value - mean);
        (xy, xx, yy) = (xy + x * y, xx + x * x, yy + y * y);
    }
    xy / (xx * yy).sqrt()
}

/// Least squares over the last `window` minutes, as Prometheus has it: minutes until `limit`.
fn predict_linear(series: &[f64], window: usize, limit: f64) -> Option<f64> {
    let y = &series[series.len().saturating_sub(window + 1)..];
    let count = y.len() as f64;
    let (middle, mean) = ((count - 1.0) / 2.0, y.iter().sum::<f64>() / count);
    let (mut xy, mut xx) = (0.0, 0.0);
    for (i, value) in y.iter().enumerate() {
        let x = i as f64 - middle;
        xy += x * (value - mean);
        xx += x * x;
    }
    let slope = xy / xx;
    (slope > 0.0).then(|| ((limit - mean) / slope - middle).max(0.0))
}

/// How often a full disk within a week is expected of series that never fill.
fn false_forecasts(name: &str, series: impl Iterator<Item = Vec<f64>>) {
    let (mut told, mut expected, mut linear, mut looks, mut count) = (0, 0, [0; 3], 0, 0);
    for values in series {
        let mut watch = Watch::new(Limit::Above(1.0));
        for (i, x) in values.iter().enumerate() {
            let change = watch.observe(i as u64 * MINUTE_MS, *x as f32, WEEK_MS);
            told += u32::from(change.is_some_and(|change| change.phase == phase::OPENED));
            if i >= 720 && i % 719 == 0 {
                looks += 1;
                let is_near = |o: &Outlook| o.late.is_some() && o.expected < WEEK_MS;
                expected += u32::from(watch.outlook().is_some_and(is_near));
                for (n, (window, _)) in linear.iter_mut().zip(WINDOWS) {
                    let told = predict_linear(&values[..=i], window, 1.0);
                    *n += u32::from(told.is_some_and(|minutes| minutes < WEEK_MIN));
                }
            }
        }
        count += 1;
    }
    let share = |n: u32| 100.0 * f64::from(n) / f64::from(looks);
    println!("forecast_false_{name} {:.1} %", share(expected));
    for (n, (_, window)) in linear.into_iter().zip(WINDOWS) {
        println!("forecast_false_{name}_predict_linear_{window} {:.1} %", share(n));
    }
    println!("forecast_false_{name}_told {:.2} per_two_weeks", f64::from(told) / f64::from(count));
}

/// What a reading costs, forecasts included.
fn cost() {
    let series = generate::growing(generate::Growth::Daily, 1);
    let mut past = Past::default();
    for (i, x) in series.iter().enumerate() {
        past.observe(i as u64 * MINUTE_MS, *x as f32);
    }
    const TIMES: u32 = 2000;
    let (_, took) = timed(|| {
        for _ in 0..TIMES {
            std::hint::black_box(std::hint::black_box(&past).outlook(Limit::Above(1.0)));
        }
    });
    println!("forecast_outlook {:.1} us", took.as_secs_f64() * 1e6 / f64::from(TIMES));
    println!("forecast_state {} By", size_of::<Watch>());
}

/// The columns of a recording, a row a minute; what is missing is as it was before.
fn recording(file: &Path) -> Vec<(String, Vec<f64>)> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut lines = text.lines();
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let titles = lines.next().unwrap_or("").split(',').skip(1);
    let mut columns: Vec<(String, Vec<f64>)> = titles.map(|t| (format!("{name}_{t}"), Vec::new())).collect();
    for line in lines {
        for ((_, values), field) in columns.iter_mut().zip(line.split(',').skip(1)) {
            let before = values.last().copied().unwrap_or(0.0);
            values.push(field.parse().unwrap_or(before));
        }
    }
    columns
}
