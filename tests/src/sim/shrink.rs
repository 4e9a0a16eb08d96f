//! A failing plan made smaller: fewer faults, fewer devices, less time.

use std::fmt::Write;
use std::path::Path;

use super::schedule::{Plan, What};
use super::world::run;

/// The smallest plan that still fails, as far as leaving out goes, and how it fails.
#[must_use]
pub fn shrink(plan: &Plan, dir: &Path) -> (Plan, String) {
    let fails = |plan: &Plan| {
        let place = tempfile::tempdir_in(dir).ok()?;
        run(plan, place.path()).err()
    };
    let mut plan = plan.clone();
    let mut why = fails(&plan).unwrap_or_default();
    let mut attempt = |smaller: Plan, plan: &mut Plan| match fails(&smaller) {
        Some(said) => {
            (*plan, why) = (smaller, said);
            true
        }
        None => false,
    };
    let mut piece = plan.faults.len();
    while piece > 0 {
        let mut from = 0;
        while from < plan.faults.len() {
            let mut smaller = plan.clone();
            smaller.faults.drain(from..(from + piece).min(plan.faults.len()));
            if !attempt(smaller, &mut plan) {
                from += piece;
            }
        }
        piece /= 2;
    }
    for part in [16, 8, 4, 2, 3] {
        let mut smaller = plan.clone();
        smaller.ms = if part == 3 { plan.ms * 2 / 3 } else { plan.ms / part };
        smaller.faults.retain(|f| f.at < smaller.ms);
        attempt(smaller, &mut plan);
    }
    (plan, why)
}

/// A failed plan in words: what, and the smallest one.
#[must_use]
pub fn tell(plan: &Plan, what: &str, dir: &Path) -> String {
    let (small, why) = shrink(plan, dir);
    let mut text = format!(
        "seed {}: {what}\n  with {} of {} faults, {} of {} minutes, {} devices, {} collectors: {why}\n",
        plan.seed,
        small.faults.len(),
        plan.faults.len(),
        small.ms / 60_000,
        plan.ms / 60_000,
        small.devices,
        small.collectors
    );
    for f in &small.faults {
        let _never_fails = writeln!(text, "    at {} ms, for {} ms: {:?}", f.at, f.ms, f.what as What);
    }
    text
}
