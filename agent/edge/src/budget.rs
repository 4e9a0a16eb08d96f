//! The one knob: how many false alarms a device may raise.

use std::fmt;
use std::str::FromStr;

use fieldmouse_core::often::Often;
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

impl Default for Budget {
    fn default() -> Self {
        Self::from(Often::weekly(1.0))
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let often =
            text.parse::<Often>().map_err(|fix| format!("`{text}` is no false-alarm budget; {fix}"))?;
        Ok(Self::from(often))
    }
}

impl From<Often> for Budget {
    fn from(often: Often) -> Self {
        Self { alarms: often.times, period_ms: often.period_ms }
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
        let often = Often { times: self.alarms, period_ms: self.period_ms };
        often.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_written_as_it_was_read() {
        let check = |text: &str, want: Result<&str, &str>| {
            let got = text.parse::<Budget>().map(|b| b.to_string());
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{text}");
        };
        check("0.1 per day", Ok("0.1 per day"));
        check("3 per month", Ok("3 per month"));
        check(
            "often",
            Err(
                "`often` is no false-alarm budget; write a number `per hour`, `per day`, `per week` or `per month`",
            ),
        );
    }
}
