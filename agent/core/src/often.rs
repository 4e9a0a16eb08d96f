//! How often people want something: `"3 per day"`.

use core::fmt;
use core::str::FromStr;

const DAY_MS: f32 = 86_400e3;
const PERIODS: [(&str, f32); 4] =
    [("hour", DAY_MS / 24.0), ("day", DAY_MS), ("week", 7.0 * DAY_MS), ("month", 30.4 * DAY_MS)];

/// So many times in so long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Often {
    /// How many, above 0 and at most a million.
    pub times: f32,
    /// In how many milliseconds.
    pub period_ms: f32,
}

/// What is to be written instead of a text that says no such thing.
pub const FIX: &str = "write a number `per hour`, `per day`, `per week` or `per month`";

impl Often {
    /// So many a day.
    #[must_use]
    pub const fn daily(times: f32) -> Self {
        Self { times, period_ms: DAY_MS }
    }

    /// So many a week.
    #[must_use]
    pub const fn weekly(times: f32) -> Self {
        Self { times, period_ms: 7.0 * DAY_MS }
    }
}

impl FromStr for Often {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (times, period) = text.split_once(" per ").ok_or(FIX)?;
        let times = times.trim().parse::<f32>().ok().filter(|n| *n > 0.0 && *n <= 1e6).ok_or(FIX)?;
        let (_, period_ms) = PERIODS.iter().find(|(name, _)| *name == period.trim()).ok_or(FIX)?;
        Ok(Self { times, period_ms: *period_ms })
    }
}

impl fmt::Display for Often {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match PERIODS.iter().find(|(_, ms)| *ms == self.period_ms) {
            Some((name, _)) => write!(f, "{} per {name}", self.times),
            None => write!(f, "{} per day", self.times * DAY_MS / self.period_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn budgets_read_as_people_write_them() {
        let check = |text: &str, per_week: Option<f32>| {
            let got = text.parse::<Often>().map(|o| o.times * 7.0 * DAY_MS / o.period_ms);
            assert_eq!(got.ok(), per_week, "{text}");
        };
        check("1 per week", Some(1.0));
        check("0.5 per day", Some(3.5));
        check("2 per fortnight", None);
        check("-1 per week", None);
        check("often", None);
        assert_eq!("3 per month".parse::<Often>().map(|o| o.to_string()), Ok("3 per month".into()));
    }
}
