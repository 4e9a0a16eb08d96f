//! What the false-alarm budget came to: how many episodes were opened in how much time that was observed.

use fieldmouse_core::series::Millis;
use serde::{Deserialize, Serialize};

use crate::budget::Budget;

const DAY_MS: Millis = 86_400_000;
/// Days that are looked back upon, the one that goes on included.
const DAYS: usize = 32;

/// Episodes of the last days. Time is that in which something was judged; it goes on over restarts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Account {
    observed_ms: Millis,
    /// `days[d % DAYS]` were opened on day `d`.
    days: [u16; DAYS],
}

/// What came of the budget. Which alarms were false nobody has said yet, so all that the detector opened count; those of
/// limits that people set do not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Realised {
    /// Episodes opened.
    pub opened: u32,
    /// In so much time.
    pub observed_ms: Millis,
    /// Per period of the budget, once that was observed as a whole.
    pub per_period: Option<f32>,
}

impl Account {
    /// So much more time was observed.
    pub(super) fn observe(&mut self, passed: Millis) {
        let before = self.observed_ms / DAY_MS;
        self.observed_ms += passed;
        for day in (before + 1..=self.observed_ms / DAY_MS).take(DAYS) {
            self.days[place(day)] = 0;
        }
    }

    /// An episode was opened.
    pub(super) fn note(&mut self) {
        let today = &mut self.days[place(self.observed_ms / DAY_MS)];
        *today = today.saturating_add(1);
    }

    /// What came of a budget, over its period and at most a day more.
    pub(super) fn realised(&self, budget: Budget) -> Realised {
        let today = self.observed_ms / DAY_MS;
        let whole = (budget.period_ms / DAY_MS as f32).ceil().clamp(1.0, (DAYS - 1) as f32) as Millis;
        let first = today.saturating_sub(whole);
        let opened = (first..=today).map(|day| u32::from(self.days[place(day)])).sum();
        let observed_ms = self.observed_ms - first * DAY_MS;
        let is_whole = observed_ms as f32 >= budget.period_ms;
        let per_period = is_whole.then(|| opened as f32 * budget.period_ms / observed_ms as f32);
        Realised { opened, observed_ms, per_period }
    }
}

fn place(day: Millis) -> usize {
    usize::try_from(day % DAYS as Millis).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: Millis = 3_600_000;

    /// Observes so many hours, with an episode every so many of them.
    fn check(budget: &str, hours: u64, every: u64, wanted: (u32, u64, Option<f32>)) {
        let mut account = Account::default();
        for hour in 0..hours {
            if hour % every == every - 1 {
                account.note();
            }
            account.observe(HOUR_MS);
        }
        let r = account.realised(budget.parse().unwrap());
        assert_eq!((r.opened, r.observed_ms / HOUR_MS, r.per_period), wanted, "{budget}, {hours} h");
    }

    #[test]
    fn a_budget_is_compared_with_what_was_opened() {
        check("1 per day", 5, 2, (2, 5, None));
        check("1 per day", 24, 12, (2, 24, Some(2.0)));
        check("1 per day", 36, 12, (3, 36, Some(2.0)));
        check("1 per day", 1000 * 24 + 12, 6, (6, 36, Some(4.0)));
        check("1 per week", 100, 48, (2, 100, None));
        check("1 per week", 10 * 7 * 24, 84, (2, 168, Some(2.0)));
        check("1 per hour", 30 * 24, 1, (24, 24, Some(1.0)));
        check("1 per month", 400 * 24, 24, (31, 31 * 24, Some(30.4)));
    }
}
