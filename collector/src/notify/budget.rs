//! How much people are told at once: `pages = "3 per day"`. What comes is compared with what came before, and the budget is
//! spent on the worthiest.
//!
//! Two things decide. A *bucket* (J. Turner, "New directions in communications", IEEE Communications Magazine 24(10),
//! 1986) fills at the rate of the budget and holds one period: what was spent can be spent again a while later, at any hour
//! of the day. A *price* is the worth that so many incidents as the budget allows had or exceeded lately; it falls while
//! the bucket is full and rises while it is empty. What half the budget would hold may run into debt, by one period
//! at most, so that the worst of the week is not kept waiting by the ordinary of the morning.

use std::fmt;
use std::str::FromStr;

use fieldmouse_core::often::Often;
use serde::{Deserialize, Serialize};

/// `"3 per day"`: so many incidents in so long.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Budget(Often);

const DAY_MS: f64 = 86_400e3;
/// So many periods are looked back at,
const PERIODS_BACK: f64 = 14.0;
/// but no longer than this.
const LONGEST_BACK_MS: f64 = 35.0 * DAY_MS;
/// Of what the budget allows, so much is dear.
const DEAR: f64 = 0.5;

impl Default for Budget {
    fn default() -> Self {
        Self(Often::daily(3.0))
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|fix| format!("\"{text}\" is no budget; {fix}"))
    }
}

impl TryFrom<String> for Budget {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Budget> for String {
    fn from(budget: Budget) -> Self {
        budget.to_string()
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Budget {
    /// So many in a period,
    fn pages(self) -> f64 {
        self.0.times.into()
    }

    /// which is so many milliseconds.
    fn period_ms(self) -> f64 {
        self.0.period_ms.into()
    }

    /// How long is looked back at, in milliseconds.
    #[must_use]
    pub fn looks_back_ms(&self) -> u64 {
        whole((PERIODS_BACK * self.period_ms()).min(LONGEST_BACK_MS))
    }
}

/// An incident that asked to be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// How much it was worth.
    pub worth: f32,
    /// When it asked first.
    pub at_ms: u64,
    /// When it was told, if it was.
    pub told_ms: Option<u64>,
}

/// What is left of the budget, and what it is spent on.
#[derive(Debug, Clone, PartialEq)]
pub struct Spending {
    budget: Budget,
    /// Incidents that may be told now; negative while in debt.
    pub left: f64,
    /// The worth that is told now.
    pub price: f32,
    /// The worth that may run into debt.
    pub dear: f32,
    /// Incidents told in a period, on average over what is looked back at.
    pub realised: f64,
}

impl Spending {
    /// How it stands at this time, after what asked and what was told before.
    #[must_use]
    pub fn of(budget: Budget, past: &[Asked], now: u64) -> Self {
        let from = now.saturating_sub(budget.looks_back_ms());
        let rate = budget.pages() / budget.period_ms();
        let room = budget.pages().max(1.0);
        let mut told: Vec<u64> =
            past.iter().filter_map(|a| a.told_ms).filter(|t| (from..=now).contains(t)).collect();
        told.sort_unstable();
        let (mut left, mut then) = (room, from);
        for at in &told {
            left = (left + rate * span(then, *at)).min(room) - 1.0;
            // Whatever must be told does not silence the rest for longer than a period.
            left = left.max(-room);
            then = *at;
        }
        left = (left + rate * span(then, now)).min(room);
        let mut worths: Vec<f32> =
            past.iter().filter(|a| (from..=now).contains(&a.at_ms)).map(|a| a.worth).collect();
        worths.sort_unstable_by(|a, b| b.total_cmp(a));
        let first = past.iter().map(|a| a.at_ms).filter(|at| *at >= from).min().unwrap_or(now);
        let seen = span(first, now).max(budget.period_ms());
        let most = |share: f64| {
            let index = usize::try_from(whole(rate * seen * share)).unwrap_or(usize::MAX);
            worths.get(index).copied().unwrap_or(0.0)
        };
        let fill = (left / room).clamp(0.0, 1.0);
        Self {
            budget,
            left,
            price: most(0.5 + fill),
            dear: most(DEAR),
            realised: told.len() as f64 * budget.period_ms() / seen,
        }
    }

    /// Whether what is worth so much is told now; else why not.
    ///
    /// # Errors
    /// The reason, in words.
    pub fn passes(&self, worth: f32) -> Result<(), String> {
        let has_room = self.left >= 1.0;
        let may_owe =
            worth > self.price && worth >= self.dear && self.left > 1.0 - self.budget.pages().max(1.0);
        if worth >= self.price && (has_room || may_owe) {
            return Ok(());
        }
        let Self { budget, price, .. } = self;
        Err(if worth < *price {
            format!("its worth is {worth:.2}, and {budget} leave room for {price:.2} and more")
        } else {
            format!("{budget} are spent")
        })
    }

    /// One was told.
    pub fn spend(&mut self) {
        self.left = (self.left - 1.0).max(-self.budget.pages().max(1.0));
    }
}

fn span(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` clamps, and it is meant to"
)]
fn whole(x: f64) -> u64 {
    x as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: u64 = 60_000;
    const DAY: u64 = 24 * 60 * MINUTE_MS;

    #[test]
    fn budgets_read_as_people_write_them() {
        let check = |text: &str, per_day: Option<f64>| {
            let got = text.parse::<Budget>().map(|b| b.pages() * DAY_MS / b.period_ms());
            assert_eq!(got.ok(), per_day, "{text}");
        };
        check("3 per day", Some(3.0));
        check("7 per week", Some(1.0));
        check("0.5 per hour", Some(12.0));
        check("0 per day", None);
        check("2 per fortnight", None);
        check("often", None);
        assert_eq!("3 per month".parse::<Budget>().map(|b| b.to_string()), Ok("3 per month".into()));
    }

    /// xorshift64*: S. Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self) -> f64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
        }

        /// An exponential span of this mean.
        fn span(&mut self, mean: f64) -> f64 {
            -mean * (1.0 - self.roll()).ln()
        }
    }

    struct Came {
        worth: f32,
        from: u64,
        to: u64,
        told: Option<u64>,
    }

    /// Incidents that come as a Poisson process and last half an hour on average, decided every five minutes.
    fn simulate(budget: &str, days: u64, per_day: f64, seed: u64, worth: impl Fn(f64) -> f32) -> Vec<Came> {
        let (budget, mut dice): (Budget, _) = (budget.parse().unwrap(), Dice(seed));
        let mut all = Vec::new();
        let mut at = dice.span(DAY_MS / per_day);
        while whole(at) < days * DAY {
            let to = at + dice.span(30.0 * MINUTE_MS as f64);
            all.push(Came { worth: worth(dice.roll()), from: whole(at), to: whole(to), told: None });
            at += dice.span(DAY_MS / per_day);
        }
        for now in (0..days * DAY).step_by(5 * MINUTE_MS as usize) {
            // In the order in which they came; none lasts a day.
            let came = all.partition_point(|c: &Came| c.from <= now);
            let begin = all.partition_point(|c| c.from + DAY < now);
            let mut open: Vec<usize> =
                (begin..came).filter(|i| all[*i].told.is_none() && all[*i].to > now).collect();
            if open.is_empty() {
                continue;
            }
            let early = all.partition_point(|c| c.from + budget.looks_back_ms() < now);
            let past: Vec<Asked> = all[early..came]
                .iter()
                .map(|c| Asked { worth: c.worth, at_ms: c.from, told_ms: c.told })
                .collect();
            let mut spending = Spending::of(budget, &past, now);
            open.sort_by(|a, b| all[*b].worth.total_cmp(&all[*a].worth));
            for i in open {
                if spending.passes(all[i].worth).is_ok() {
                    spending.spend();
                    all[i].told = Some(now);
                }
            }
        }
        all
    }

    fn check(budget: &str, per_day: f64, seed: u64, worth: impl Fn(f64) -> f32) {
        const DAYS: u64 = 30;
        let all = simulate(budget, DAYS, per_day, seed, worth);
        let wanted =
            budget.parse::<Budget>().map(|b| b.pages() / b.period_ms() * DAY_MS).unwrap().min(per_day);
        let told = all.iter().filter(|c| c.told.is_some()).count() as f64 / DAYS as f64;
        let case = format!("{budget}, {per_day} a day, seed {seed}: {told:.2} told a day of {wanted:.2}");
        assert!(told > wanted / 2.0 && told < wanted * 2.0, "{case}");
        // After a week of learning, of those that a third of the budget would hold at least five in six are told.
        // What was over before it was decided once, and what is worth little, is no loss.
        let is_worthy = |c: &&Came| c.from > 7 * DAY && c.to - c.from >= 5 * MINUTE_MS && c.worth > 0.5;
        let mut late: Vec<&Came> = all.iter().filter(is_worthy).collect();
        late.sort_by(|a, b| b.worth.total_cmp(&a.worth));
        late.truncate(usize::try_from(whole(wanted / 3.0 * 23.0)).unwrap());
        let best = late;
        let missed = best.iter().filter(|c| c.told.is_none()).count();
        assert!(missed * 6 <= best.len(), "{case}: {missed} of the best {} not told", best.len());
        println!("{case}; {missed} of the best {} not told", best.len());
        // No hour of the day is worse off than the others: a bucket knows no midnight.
        let hour = |c: &Came| c.from % DAY / (6 * 60 * MINUTE_MS);
        for quarter in 0..4 {
            let of = best.iter().filter(|c| hour(c) == quarter);
            let (told, came) = of.fold((0, 0), |(t, n), c| (t + u32::from(c.told.is_some()), n + 1));
            assert!(came < 4 || told * 3 >= came * 2, "{case}: quarter {quarter}: {told} of {came}");
        }
    }

    #[test]
    fn the_budget_is_spent_on_the_worthiest() {
        for seed in 1..=2 {
            check("3 per day", 30.0, seed, |u| u as f32);
            check("3 per day", 60.0, seed, |u| (u * u * u) as f32);
            check("1 per hour", 100.0, seed, |u| u as f32);
            // Two worths alone: one in twenty is urgent.
            check("3 per day", 20.0, seed, |u| if u > 0.95 { 0.9 } else { 0.3 });
        }
        // Fewer than the budget allows: all are told.
        let few = simulate("3 per day", 30, 1.0, 5, |u| u as f32);
        let missed = few.iter().filter(|c| c.told.is_none() && c.to - c.from >= 5 * MINUTE_MS).count();
        assert!(missed * 10 <= few.len(), "{missed} of {} not told", few.len());
    }

    #[test]
    fn what_must_be_told_silences_the_rest_for_a_period_at_most() {
        let budget: Budget = "3 per day".parse().unwrap();
        let storm: Vec<Asked> = (0..500).map(|i| Asked { worth: 1.0, at_ms: i, told_ms: Some(i) }).collect();
        let after = |ms| Spending::of(budget, &storm, ms);
        assert!(after(1000).passes(0.9).is_err());
        assert!(after(1000).left >= -3.0);
        assert!(after(DAY + DAY / 2).left >= 1.0, "{:?}", after(DAY + DAY / 2));
    }

    #[test]
    fn why_it_was_held_back_is_told() {
        let budget: Budget = "1 per day".parse().unwrap();
        let asked = |worth, told_ms| Asked { worth, at_ms: DAY, told_ms };
        let past = [asked(0.9, Some(DAY)), asked(0.5, None), asked(0.2, None)];
        let spending = Spending::of(budget, &past, DAY);
        let why = |worth| spending.passes(worth).expect_err("nothing is left");
        assert_eq!(why(0.2), "its worth is 0.20, and 1 per day leave room for 0.90 and more");
        assert_eq!(why(0.9), "1 per day are spent");
    }
}
