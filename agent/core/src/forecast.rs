//! Forecast of exhaustion: when a series will reach its limit, and how sure that is.
//!
//! The past ([`Past`]) is kept at two paces. Its windows of every length are heard: each is tried on the past itself, as
//! the straight line through it (least squares) and as something that comes again (so days repeat). What they say is
//! weighed by how well they would have told growth over a span like the one ahead: forecasts combined by their
//! past errors (Bates and Granger 1969), taken one after the other (prequentially, Dawid 1984). A removal or two (a deleted file) are
//! judged as if they had not been; three are a habit (log rotation). Growth faster than any that was ever seen is judged by
//! the last three quarters of an hour alone. The limit is crossed by the crests, not by the mean.
//!
//! The interval comes from the windows' own past errors and from what they disagree by, at the root of the ratio of the
//! spans, and from a prior for what no past can tell, in proportion to how far ahead it looks by how much it has
//! seen. The constants were fitted for 90 % on generated series; `bench forecast` measures the coverage on others.

mod growth;
mod past;
mod watch;

use growth::Trail;
pub use past::Past;
use past::{HISTORY, PACE_MS, RECENT};
pub use watch::{Change, Watch};

use serde::{Deserialize, Serialize};

use crate::series::Millis;

/// What a series must not reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Limit {
    /// It is exhausted when it rises to this.
    Above(f32),
    /// It is exhausted when it falls to this.
    Below(f32),
    /// It is a share that is used up over years.
    Wear,
    /// Its value is the time that is left, in seconds.
    Countdown,
}

impl Limit {
    /// The value not to be reached.
    #[must_use]
    pub fn at(self) -> f32 {
        match self {
            Self::Above(at) | Self::Below(at) => at,
            Self::Wear => 1.0,
            Self::Countdown => 0.0,
        }
    }

    /// How far ahead it is news, if a limit of the ordinary kind is so within `horizon`: what has to be bought or asked
    /// for is told earlier.
    #[must_use]
    pub fn horizon(self, horizon: Millis) -> Millis {
        match self {
            Self::Above(_) | Self::Below(_) => horizon,
            Self::Wear | Self::Countdown => horizon.saturating_mul(4),
        }
    }
}

/// When a series will reach its limit, from its last reading on. At most a thousand years.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// Where the series is.
    pub level: f32,
    /// How much it changes in a day.
    pub per_day: f32,
    /// The central estimate.
    pub expected: Millis,
    /// In one of twenty cases it is earlier.
    pub early: Millis,
    /// In one of twenty cases it is later; none if it may as well never come.
    pub late: Option<Millis>,
}

const DAY_MS: f64 = 86_400e3;
const LONGEST_MS: f64 = 365_250.0 * DAY_MS;
/// Standard deviations between the centre and either end: nine of ten cases lie within.
const Z: f64 = 1.64;
/// Errors of windows that count because their errors are small are told too small.
const CHOSEN: f64 = 1.3;
/// What the past cannot tell: of the rate, at once and for every span as long as what is known.
const UNKNOWN: (f64, f64) = (0.02, 0.18);

impl Past {
    /// When it will reach its limit. None: it does not approach it, or too little is known.
    #[must_use]
    pub fn outlook(&self, limit: Limit) -> Option<Outlook> {
        let (sign, at) = match limit {
            Limit::Above(at) => (1.0, f64::from(at)),
            Limit::Wear => (1.0, 1.0),
            Limit::Below(at) => (-1.0, -f64::from(at)),
            Limit::Countdown => return self.countdown(),
        };
        let (mut history, mut recent) = ([0.0; HISTORY], [0.0; RECENT]);
        let history = self.history(sign, &mut history);
        let recent = self.recent(sign, &mut recent);
        let level = *recent.last()?;
        let (trail, step_ms) = if self.is_flooded(sign) && is_steady(recent) {
            (Trail::new(recent), PACE_MS as f64)
        } else {
            (Trail::new(history), self.step_ms() as f64)
        };
        let gap = at - level - self.crest(sign);
        let ahead = |rate: f64| if rate > 0.0 { (gap / rate).max(1.0) } else { f64::INFINITY };
        let rough = trail.growth(ahead(trail.mean()), gap)?;
        // The span ahead turned out to be another one.
        let growth = trail.growth(ahead(rough.rate), gap)?;
        let outlook = |expected: f64, early: f64, late: Option<f64>| Outlook {
            level: (sign * level) as f32,
            per_day: (sign * growth.now * DAY_MS / step_ms).clamp(f64::from(f32::MIN), f64::from(f32::MAX))
                as f32,
            expected: span(expected * step_ms),
            early: span(early * step_ms),
            late: late.map(|late| span(late * step_ms)),
        };
        if gap <= 0.0 {
            return Some(outlook(0.0, 0.0, Some(0.0)));
        }
        if growth.rate <= 0.0 {
            return None;
        }
        let steps = gap / growth.rate;
        let known = trail.steps() as f64;
        // Over longer spans than were tried chance weighs less, but what is wrong with the rate stays.
        let longer = libm::sqrt(growth.span as f64 / steps.max(0.1)).clamp(0.5, 8.0);
        let unknown = UNKNOWN.0 + UNKNOWN.1 * steps / known;
        let error = Z * (CHOSEN * longer * growth.error / growth.rate + unknown);
        // Removals that were undone may come again.
        let slow = 1.0 - error.max(trail.lost / known / growth.rate);
        Some(outlook(steps, steps / (1.0 + error), (slow > 0.0).then(|| steps / slow)))
    }

    fn countdown(&self) -> Option<Outlook> {
        let left = self.latest()?;
        let at = span(f64::from(left) * 1000.0);
        Some(Outlook { level: left, per_day: -86_400.0, expected: at, early: at, late: Some(at) })
    }
}

fn span(ms: f64) -> Millis {
    ms.clamp(0.0, LONGEST_MS) as Millis
}

/// Whether the last quarter of an hour and the one before it had their part in it: one jump is no growth.
fn is_steady(recent: &[f64]) -> bool {
    if recent.len() < RECENT {
        return false;
    }
    let (half, quarter, last) = (recent[RECENT / 2], recent[RECENT * 3 / 4], recent[RECENT - 1]);
    quarter - half > (last - half) / 4.0 && last - quarter > (last - half) / 4.0
}

#[cfg(test)]
mod tests;
