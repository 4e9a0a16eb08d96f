//! The past of a score: when it changed, and to what. It is kept by days, and a day on which nothing changes is a line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Milliseconds between two readings of a history.
pub const STEP_MS: u64 = 300_000;
const DAY_MS: u64 = 86_400_000;
/// Days that are remembered: a week and a day, so that the same hour of last week is among them.
const DAYS: u64 = 8;
/// Smaller changes are none.
const CHANGE: f32 = 0.5;
/// Changes of a day that are kept: one each step and then some.
const CHANGES: usize = 600;

/// A day of a history, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Day {
    /// Whose.
    pub name: String,
    /// When it begins, in milliseconds since 1970.
    pub day_ms: u64,
    /// When the score changed, and to what. The first is what it was when the day, or the history, began.
    pub changes: Vec<(u64, f32)>,
}

/// The past of a score.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    days: BTreeMap<u64, Vec<(u64, f32)>>,
}

impl History {
    /// What was kept, in any order.
    #[must_use]
    pub fn of(days: impl IntoIterator<Item = Day>) -> Self {
        let mut this = Self::default();
        for mut day in days {
            day.changes.retain(|(at, score)| at / DAY_MS == day.day_ms / DAY_MS && score.is_finite());
            day.changes.sort_by_key(|c| c.0);
            if !day.changes.is_empty() {
                this.days.insert(day.day_ms / DAY_MS, day.changes);
            }
        }
        this
    }

    /// Enters the score of now; returns the day if it is to be kept. Times before the last one are not entered.
    pub fn note(&mut self, name: &str, at_ms: u64, score: f64) -> Option<Day> {
        let score = if score.is_finite() { score.clamp(0.0, 100.0) as f32 } else { return None };
        let day = at_ms / DAY_MS;
        let last = self.last();
        if last.is_some_and(|(before, _)| at_ms < before) {
            return None;
        }
        let changes = self.days.entry(day).or_default();
        let same = last.is_some_and(|(_, before)| (before - score).abs() < CHANGE);
        if (same && !changes.is_empty()) || changes.len() >= CHANGES {
            return None;
        }
        changes.push((at_ms, score));
        let kept = Day { name: name.to_owned(), day_ms: day * DAY_MS, changes: changes.clone() };
        self.days.retain(|known, _| known + DAYS > day);
        Some(kept)
    }

    /// The last change.
    #[must_use]
    pub fn last(&self) -> Option<(u64, f32)> {
        self.days.values().next_back()?.last().copied()
    }

    /// Every change since then, the first before it included.
    #[must_use]
    pub fn since(&self, at_ms: u64) -> Vec<(u64, f32)> {
        let all: Vec<(u64, f32)> = self.days.values().flatten().copied().collect();
        let from = all.partition_point(|(at, _)| *at <= at_ms).saturating_sub(1);
        all[from..].to_vec()
    }

    /// The score at every step, from when it was first known until then. A score holds until the next one.
    #[must_use]
    pub fn readings(&self, until_ms: u64) -> Vec<f64> {
        let mut changes = self.days.values().flatten().copied().peekable();
        let Some(&(first, _)) = changes.peek() else { return Vec::new() };
        let first = first.max(until_ms.saturating_sub(DAYS * DAY_MS));
        let mut readings = Vec::new();
        let mut score = 100.0;
        // Steps are counted back from now, so that the last reading is that of now.
        let steps = until_ms.saturating_sub(first) / STEP_MS;
        for back in (0..=steps).rev() {
            let at = until_ms - back * STEP_MS;
            while let Some((_, next)) = changes.next_if(|(changed, _)| *changed <= at) {
                score = f64::from(next);
            }
            readings.push(score);
        }
        readings
    }
}
