//! Time to full.
mod generate;

use fieldmouse_core::forecast::{Limit, Past};
use generate::{CALMS, GROWTHS};

const MINUTE_MS: u64 = 60_000;

/// Least squares over the last `window` minutes, as Prometheus' `predict_linear` has it: minutes until 1.0.
fn predict_linear(series: &[f64], window: usize) -> Option<f64> {
    let y = &series[series.len().saturating_sub(window + 1)..];
    let n = y.len() as f64;
    let (mx, my) = ((n - 1.0) / 2.0, y.iter().sum::<f64>() / n);
    let (mut xy, mut xx) = (0.0, 0.0);
    for (i, v) in y.iter().enumerate() {
        let x = i as f64 - mx;
        xy += x * (v - my);
        xx += x * x;
    }
    let slope = xy / xx;
    let at_end = my + slope * (n - 1.0 - mx);
    (slope > 0.0).then(|| ((1.0 - at_end) / slope).max(0.0))
}

#[derive(Default, Clone)]
struct Tally {
    ours: Vec<f64>,
    linear: [Vec<f64>; 3],
    covered: u32,
    early: u32,
    late: u32,
    told: u32,
    bounded: Vec<f64>,
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v.get(v.len() / 2).copied().unwrap_or(f64::NAN)
}

pub fn main(args: &[String]) {
    let (from, to): (u64, u64) = (args[0].parse().unwrap(), args[1].parse().unwrap());
    let mut total = Tally::default();
    for (growth, name) in GROWTHS {
        let mut t = Tally::default();
        for seed in from..to {
            let series = generate::growing(growth, seed);
            let full = series.len() - 1;
            let looks: Vec<usize> =
                [0.3, 0.5, 0.7, 0.85, 0.95].iter().map(|p| (p * full as f64) as usize).collect();
            let mut past = Past::default();
            for (i, x) in series.iter().enumerate() {
                past.observe(i as u64 * MINUTE_MS, *x as f32);
                if !looks.contains(&i) {
                    continue;
                }
                let truth = (full - i) as f64;
                let error = |told: Option<f64>| told.map_or(f64::INFINITY, |m| (m - truth).abs() / truth);
                let outlook = past.outlook(Limit::Above(1.0));
                t.ours.push(error(outlook.map(|o| o.expected as f64 / MINUTE_MS as f64)));
                for (k, w) in [60, 240, 360].into_iter().enumerate() {
                    t.linear[k].push(error(predict_linear(&series[..=i], w)));
                }
                if let Some(o) = outlook {
                    t.told += 1;
                    let min = MINUTE_MS as f64;
                    if truth < o.early as f64 / min {
                        t.early += 1
                    } else if o.late.is_some_and(|l| truth > l as f64 / min) {
                        t.late += 1
                    } else {
                        t.covered += 1
                    }
                    if let Some(l) = o.late {
                        t.bounded.push(l as f64 / (o.early.max(1)) as f64);
                    }
                }
            }
        }
        print(name, &t);
        total.ours.extend(&t.ours);
        for k in 0..3 {
            total.linear[k].extend(&t.linear[k]);
        }
        total.covered += t.covered;
        total.early += t.early;
        total.late += t.late;
        total.told += t.told;
        total.bounded.extend(&t.bounded);
    }
    print("all", &total);
    for (calm, name) in CALMS {
        let (mut ours, mut certain, mut linear, mut looks) = (0, 0, [0; 3], 0);
        for seed in from..to {
            let series = generate::calm(calm, seed);
            let mut past = Past::default();
            for (i, x) in series.iter().enumerate() {
                past.observe(i as u64 * MINUTE_MS, *x as f32);
                if i < 720 || i % 719 != 0 {
                    continue;
                }
                looks += 1;
                let o = past.outlook(Limit::Above(1.0));
                let week = 7 * 86_400_000;
                ours += u32::from(o.is_some_and(|o| o.expected < week));
                certain += u32::from(o.is_some_and(|o| o.expected < week && o.late.is_some()));
                for (k, w) in [60, 240, 360].into_iter().enumerate() {
                    linear[k] +=
                        u32::from(predict_linear(&series[..=i], w).is_some_and(|m| m < 7.0 * 1440.0));
                }
            }
        }
        let s = |n: u32| 100.0 * f64::from(n) / f64::from(looks);
        println!(
            "{name:<12} any {:5.1} sure {:5.1}   linear {:5.1} {:5.1} {:5.1}",
            s(ours),
            s(certain),
            s(linear[0]),
            s(linear[1]),
            s(linear[2])
        );
    }
}

fn print(name: &str, t: &Tally) {
    let s = |n: u32| 100.0 * f64::from(n) / f64::from(t.told.max(1));
    println!(
        "{name:<12} err {:6.3}  linear {:6.3} {:6.3} {:6.3}  told {:4}/{:4}  cover {:5.1} (early {:4.1} late {:4.1})  bounded {:4} ratio {:5.2}",
        median(t.ours.clone()),
        median(t.linear[0].clone()),
        median(t.linear[1].clone()),
        median(t.linear[2].clone()),
        t.told,
        t.ours.len(),
        s(t.covered),
        s(t.early),
        s(t.late),
        t.bounded.len(),
        median(t.bounded.clone())
    );
}
