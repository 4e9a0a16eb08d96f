//! When a forecast is told: once when the limit comes within the horizon, again when it is quite another time or
//! graver, and when it is no longer expected.

use serde::{Deserialize, Serialize};

use super::{Limit, Outlook, Past};
use crate::series::Millis;
use crate::wire::phase;

const MINUTE: Millis = 60_000;
const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

/// A series with a limit: what is remembered of it, and what was told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Watch {
    limit: Limit,
    past: Past,
    outlook: Option<Outlook>,
    told: Option<Told>,
    /// When it was last read.
    seen: Millis,
    /// Since when something else should have been told.
    differs: Option<Millis>,
}

/// What was told last.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Told {
    /// When it was to be reached.
    at: Millis,
    severity: u8,
    outlook: Outlook,
}

/// Something to tell of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// A [`phase`] number.
    pub phase: u8,
    /// OpenTelemetry severity number.
    pub severity: u8,
    /// What is expected; what was expected, if it no longer is.
    pub outlook: Outlook,
}

impl Watch {
    /// Of a series about which nothing is known but its limit.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        let past = if limit == Limit::Wear { Past::of_years() } else { Past::default() };
        Self { limit, past, outlook: None, told: None, seen: 0, differs: None }
    }

    /// What it must not reach.
    #[must_use]
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// What is thought now.
    #[must_use]
    pub fn outlook(&self) -> Option<&Outlook> {
        self.outlook.as_ref()
    }

    /// Whether its limit was told to be reached.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.told.is_some()
    }

    /// Takes one reading, and says what there is to tell. Within `horizon` it is news.
    pub fn observe(&mut self, now: Millis, value: f32, horizon: Millis) -> Option<Change> {
        self.seen = now;
        if !self.past.observe(now, value) {
            return None;
        }
        self.outlook = self.past.outlook(self.limit);
        // What may as well never come is no news; nor is what lies far beyond.
        let horizon = self.limit.horizon(horizon);
        let beyond = horizon.saturating_mul(3) / 2;
        let expected = self.outlook.filter(|o| o.late.is_some() && o.expected <= beyond);
        // What is far off may wait longer until it is sure; what was told is not taken back for a moment's rest.
        let (differs, hold) = match (expected, self.told) {
            (Some(o), None) => (o.expected <= horizon, o.expected / 64),
            (Some(o), Some(told)) => (is_other(now, &o, &told), o.expected / 64),
            (None, Some(told)) => (true, (told.at.saturating_sub(now) / 8).max(30 * MINUTE)),
            (None, None) => (false, 0),
        };
        if !differs {
            self.differs = None;
            return None;
        }
        if now.saturating_sub(*self.differs.get_or_insert(now)) < hold {
            return None;
        }
        self.differs = None;
        self.change(now, expected)
    }

    /// Notes that there is no reading. What was told of a series that has vanished for an hour is taken back.
    pub fn miss(&mut self, now: Millis) -> Option<Change> {
        if now.saturating_sub(self.seen) < HOUR {
            return None;
        }
        self.outlook = None;
        self.close()
    }

    /// Takes back what was told, if anything was.
    pub fn close(&mut self) -> Option<Change> {
        let was = self.told.take()?.outlook;
        let outlook = Outlook { level: self.past.latest().unwrap_or(was.level), ..was };
        Some(Change { phase: phase::CLOSED, severity: 9, outlook })
    }

    fn change(&mut self, now: Millis, expected: Option<Outlook>) -> Option<Change> {
        let Some(outlook) = expected else { return self.close() };
        let severity = severity(outlook.expected);
        let told = Told { at: now.saturating_add(outlook.expected), severity, outlook };
        let is_first = self.told.replace(told).is_none();
        Some(Change { phase: if is_first { phase::OPENED } else { phase::UPDATED }, severity, outlook })
    }
}

/// Whether what is expected is quite another time than what was told, or graver, or has come.
fn is_other(now: Millis, o: &Outlook, told: &Told) -> bool {
    // Below a quarter of an hour nobody minds the difference.
    const FINE: Millis = 15 * MINUTE;
    let (left, expected) = (told.at.saturating_sub(now).max(FINE), o.expected.max(FINE));
    let is_reached = o.expected == 0 && told.outlook.expected > 0;
    is_reached
        || severity(o.expected) > told.severity
        || expected > left.saturating_mul(2)
        || left > expected.saturating_mul(2)
}

/// A week away it is a warning, within a day an error, within an hour there is no time left.
fn severity(expected: Millis) -> u8 {
    match expected {
        0..HOUR => 21,
        HOUR..DAY => 17,
        _ => 13,
    }
}
