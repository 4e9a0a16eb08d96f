//! Windows of the calendar: times of day on days of the week, or from one moment to another.
//!
//! Times of day are counted from UTC by a fixed offset: a device may have no time-zone database, and a window that moves
//! by an hour twice a year is better told than guessed.

use serde::{Deserialize, Serialize};

/// When a window is open. Times are milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Once, counted from 1970.
    Once {
        /// Its first moment.
        from: i64,
        /// The first moment after it.
        to: i64,
    },
    /// Every week.
    Weekly {
        /// Days on which it begins, from Monday.
        days: [bool; 7],
        /// Time of day.
        from: i64,
        /// Time of day; one that is not later than `from` is on the next day.
        to: i64,
        /// What is to be added to UTC to get the times of day.
        offset: i64,
    },
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

impl When {
    /// Whether it is open at this time, in milliseconds since 1970.
    #[must_use]
    pub fn is_open(&self, wall_ms: u64) -> bool {
        let wall = i64::try_from(wall_ms).unwrap_or(i64::MAX);
        match self {
            Self::Once { from, to } => (*from..*to).contains(&wall),
            Self::Weekly { days, from, to, offset } => {
                let local = wall.saturating_add(*offset);
                let (day, time) = (local.div_euclid(DAY_MS), local.rem_euclid(DAY_MS));
                // The first day of 1970 was a Thursday.
                let is_one = |day: i64| usize::try_from((day + 3).rem_euclid(7)).is_ok_and(|d| days[d]);
                if from < to {
                    is_one(day) && (*from..*to).contains(&time)
                } else {
                    is_one(day) && time >= *from || is_one(day - 1) && time < *to
                }
            }
        }
    }
}

/// `02:30` in milliseconds, to `24:00` at most.
#[must_use]
pub fn time_of_day(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |digits: &str| (digits.len() == 2).then(|| digits.parse::<u8>().ok()).flatten().map(i64::from);
    let minutes = two(hours)? * 60 + two(minutes).filter(|m| *m < 60)?;
    (minutes <= 24 * 60).then_some(minutes * MINUTE_MS)
}

/// `+01:00` in milliseconds, 14 hours at most.
#[must_use]
pub fn offset_ms(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    Some(sign * time_of_day(&text[1..]).filter(|ms| *ms <= 14 * 60 * MINUTE_MS)?)
}
