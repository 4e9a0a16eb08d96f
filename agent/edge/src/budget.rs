//! The one knob: how many false alarms a device may raise.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `"1 per week"`: so many false alarms in so long.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Budget {
    /// How many.
    pub alarms: f32,
    /// In how many milliseconds.
    pub period_ms: f32,
}

const DAY_MS: f32 = 86_400e3;
const PERIODS: [(&str, f32); 4] =
    [("hour", DAY_MS / 24.0), ("day", DAY_MS), ("week", 7.0 * DAY_MS), ("month", 30.4 * DAY_MS)];

impl Default for Budget {
    fn default() -> Self {
        Self { alarms: 1.0, period_ms: 7.0 * DAY_MS }
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || {
            format!(
                "`{text}` is no false-alarm budget; write a number `per hour`, `per day`, `per week` or `per month`"
            )
        };
        let (alarms, period) = text.split_once(" per ").ok_or_else(error)?;
        let alarms = alarms.trim().parse::<f32>().ok().filter(|a| *a > 0.0 && *a <= 1e6).ok_or_else(error)?;
        let period = PERIODS.iter().find(|(name, _)| *name == period.trim()).ok_or_else(error)?;
        Ok(Self { alarms, period_ms: period.1 })
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
        let name = PERIODS.iter().find(|(_, ms)| *ms == self.period_ms).map_or("week", |(name, _)| name);
        write!(f, "{} per {name}", self.alarms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_read_as_people_write_them() {
        let check = |text: &str, per_week: Option<f32>| {
            let got = text.parse::<Budget>().map(|b| b.alarms * 7.0 * DAY_MS / b.period_ms);
            assert_eq!(got.ok(), per_week, "{text}");
        };
        check("1 per week", Some(1.0));
        check("0.5 per day", Some(3.5));
        check("2 per fortnight", None);
        check("-1 per week", None);
        check("often", None);
        assert_eq!("3 per month".parse::<Budget>().map(|b| b.to_string()), Ok("3 per month".into()));
    }
}
