//! What is counted of forecasts that can be compared with what came.

use fieldmouse_core::forecast::Outlook;

use super::{MINUTE_MS, WINDOWS};

/// Errors, coverage, and how early it was told.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) series: u32,
    ours: Vec<f64>,
    linear: [Vec<f64>; 3],
    forecasts: u32,
    too_early: u32,
    too_late: u32,
    widths: Vec<f64>,
    /// Minutes before it was full.
    told: Vec<f64>,
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Tally {
    /// One look: minutes that were left, and what was said.
    pub(super) fn note(&mut self, left: f64, ours: Option<Outlook>, linear: [Option<f64>; 3]) {
        let minutes = |ms: u64| ms as f64 / MINUTE_MS as f64;
        let error = |told: Option<f64>| told.map_or(f64::INFINITY, |told| (told - left).abs() / left);
        self.ours.push(error(ours.map(|o| minutes(o.expected))));
        self.linear.iter_mut().zip(linear).for_each(|(errors, told)| errors.push(error(told)));
        let Some(o) = ours else { return };
        self.forecasts += 1;
        self.too_early += u32::from(left < minutes(o.early));
        self.too_late += u32::from(o.late.is_some_and(|late| left > minutes(late)));
        self.widths.push(o.late.map_or(f64::INFINITY, |late| late as f64 / o.early.max(1) as f64));
    }

    /// It was told so many minutes before it was full.
    pub(super) fn told_ahead(&mut self, minutes: usize) {
        self.told.push(minutes as f64);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.series == 0
    }

    pub(super) fn join(&mut self, other: Self) {
        self.series += other.series;
        self.forecasts += other.forecasts;
        self.too_early += other.too_early;
        self.too_late += other.too_late;
        self.ours.extend(other.ours);
        self.linear.iter_mut().zip(other.linear).for_each(|(all, more)| all.extend(more));
        self.widths.extend(other.widths);
        self.told.extend(other.told);
    }

    pub(super) fn print(&self, name: &str) {
        let share = |n: u32| 100.0 * f64::from(n) / f64::from(self.forecasts.max(1));
        let error = median(&self.ours);
        println!("forecast_error_{name} {error:.3} of_the_time_left");
        let linear = self.linear.each_ref().map(|errors| median(errors));
        for (error, (_, window)) in linear.iter().zip(WINDOWS) {
            println!("forecast_error_{name}_predict_linear_{window} {error:.3} of_the_time_left");
        }
        let best = linear.into_iter().fold(f64::INFINITY, f64::min);
        println!("forecast_error_{name}_ratio {:.2} of_the_best_window", error / best);
        let missed = self.too_early + self.too_late;
        println!("forecast_coverage_{name} {:.1} %", 100.0 - share(missed));
        println!("forecast_coverage_{name}_too_early {:.1} %", share(self.too_early));
        println!("forecast_coverage_{name}_too_late {:.1} %", share(self.too_late));
        println!("forecast_width_{name} {:.2} late_by_early", median(&self.widths));
        let bounded = self.widths.iter().filter(|w| w.is_finite()).count();
        println!("forecast_bounded_{name} {:.1} %", 100.0 * bounded as f64 / self.widths.len().max(1) as f64);
        println!(
            "forecast_told_{name} {:.2} per_series",
            self.told.len() as f64 / f64::from(self.series.max(1))
        );
        println!("forecast_told_ahead_{name} {:.1} h", median(&self.told) / 60.0);
    }
}
