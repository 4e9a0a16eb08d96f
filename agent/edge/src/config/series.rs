//! `[[series]]`: what people decide about series, by patterns on their names. Every table that matches applies, in the
//! order in which they stand: later wins, key by key.

use fieldmouse_core::metric::METRICS;
use fieldmouse_core::rules::{self, Overrides};
use serde::{Deserialize, Serialize};

use super::KeyError;
use crate::budget::Budget;
use crate::duration::Span;
use crate::sources::text;

/// One table.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesTable {
    /// Names as `fieldmouse once` prints them; `*` stands for anything.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Neither judged nor told.
    pub ignore: Option<bool>,
    /// Which deviations can be anomalies.
    pub direction: Option<Direction>,
    /// The smallest change worth anybody's time, in the unit of the series.
    pub floor: Option<f32>,
    /// A budget that the matching series have for themselves, together.
    pub false_alarms: Option<Budget>,
    /// Beyond it is an anomaly, however usual.
    pub limit: Option<Limit>,
}

/// `direction = "up"`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// More than usual.
    Up,
    /// Less than usual.
    Down,
    /// Either.
    Both,
}

/// `limit = { above = 0.9, for = "30s" }`
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Values above are beyond it.
    pub above: Option<f32>,
    /// Values below are beyond it.
    pub below: Option<f32>,
    /// For how long it must be so.
    #[serde(rename = "for", default)]
    pub span: Span,
}

impl SeriesTable {
    /// Whether it speaks of this series.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        text::matches(&self.pattern, name)
    }

    fn apply(&self, to: &mut Overrides) {
        to.quiet = self.ignore.unwrap_or(to.quiet);
        to.floor = self.floor.or(to.floor);
        to.direction = match self.direction {
            None => to.direction,
            Some(Direction::Up) => rules::Direction::Up,
            Some(Direction::Down) => rules::Direction::Down,
            Some(Direction::Both) => rules::Direction::Both,
        };
        if let Some(Limit { above, below, span }) = self.limit {
            to.limit = Some(rules::Limit {
                above: above.unwrap_or(f32::INFINITY),
                below: below.unwrap_or(f32::NEG_INFINITY),
                for_ms: span.0,
            });
        }
    }

    /// Refuses what cannot be meant. `at`: which table it is.
    pub(super) fn check(&self, at: usize) -> Result<(), KeyError> {
        let error = |key: &str, what: String| Err(KeyError::new(&format!("series[{at}]{key}"), what));
        let Self { pattern, ignore, direction, floor, false_alarms, limit } = self;
        if pattern.is_empty() {
            return error(".match", "names no series; `*` stands for anything".into());
        }
        if (ignore, direction, floor, false_alarms, limit) == (&None, &None, &None, &None, &None) {
            return error(
                "",
                format!(
                    "`{pattern}`: nothing is decided; write limit, direction, floor, false_alarms or ignore"
                ),
            );
        }
        if let Some(floor) = floor.filter(|f| !(f.is_finite() && *f > 0.0)) {
            return error(".floor", format!("`{floor}` is no change; write a number above 0"));
        }
        let Some(limit) = limit else { return Ok(()) };
        let (low, high) = (limit.below, limit.above);
        if (low, high) == (None, None) {
            return error(".limit", "has no `above` and no `below`".into());
        }
        let range = range_of(pattern);
        for (key, value) in [(".limit.below", low), (".limit.above", high)] {
            let Some(value) = value else { continue };
            if !value.is_finite() {
                return error(key, format!("`{value}` is no limit; write a number"));
            }
            if let Some((name, (least, most))) = range.filter(|(_, (l, m))| !(*l..=*m).contains(&value)) {
                let share = if most == 1.0 { "; a share of all is written like 0.9" } else { "" };
                let what =
                    format!("`{value}` is outside {least} to {most}, which `{name}` never leaves{share}");
                return error(key, what);
            }
        }
        match (low, high) {
            (Some(low), Some(high)) if low >= high => {
                error(".limit", format!("nothing is both above {low} and below {high}: everything is beyond"))
            }
            _ => Ok(()),
        }
    }
}

/// The range of the metric that a pattern names in full.
fn range_of(pattern: &str) -> Option<(&'static str, (f32, f32))> {
    let name = pattern.split('{').next()?.trim_end_matches('*');
    METRICS.iter().find(|m| m.name == name).map(|m| (m.name, m.range))
}

/// What all tables together decide about a series, and which of them, if any, gives it a budget of its own.
#[must_use]
pub fn decide(tables: &[SeriesTable], name: &str) -> (Overrides, Option<usize>) {
    let (mut overrides, mut budget) = (Overrides::default(), None);
    for (i, table) in tables.iter().enumerate().filter(|(_, t)| t.matches(name)) {
        table.apply(&mut overrides);
        budget = table.false_alarms.map(|_| i).or(budget);
    }
    (overrides, budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(text: &str) -> Vec<SeriesTable> {
        #[derive(Deserialize)]
        struct File {
            series: Vec<SeriesTable>,
        }
        toml::from_str::<File>(text).unwrap().series
    }

    #[test]
    fn later_wins_key_by_key() {
        let all = tables(
            "[[series]]\nmatch = \"system.filesystem.*\"\nlimit = { above = 0.9, for = \"30s\" }\ndirection = \"up\"\n\
             [[series]]\nmatch = \"*mountpoint=/var*}\"\nlimit = { above = 0.8 }\nfalse_alarms = \"1 per month\"\n\
             [[series]]\nmatch = \"*\"\nfloor = 0.1\n\
             [[series]]\nmatch = \"*loop*\"\nignore = true\n",
        );
        let check = |name: &str, above: Option<(f32, u64)>, direction, quiet, budget| {
            let (o, of) = decide(&all, name);
            assert_eq!(o.limit.map(|l| (l.above, l.for_ms)), above, "{name}");
            assert_eq!((o.direction, o.quiet, of, o.floor), (direction, quiet, budget, Some(0.1)), "{name}");
        };
        use rules::Direction::{ByMetric, Up};
        let root = "system.filesystem.utilization{system.filesystem.mountpoint=/}";
        check(root, Some((0.9, 30_000)), Up, false, None);
        let var = "system.filesystem.utilization{system.filesystem.mountpoint=/var/log}";
        check(var, Some((0.8, 0)), Up, false, Some(1));
        check("system.cpu.utilization", None, ByMetric, false, None);
        check("system.disk.io{system.device=loop1,disk.io.direction=read}", None, ByMetric, true, None);
    }
}
