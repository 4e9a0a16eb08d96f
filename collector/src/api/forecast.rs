//! How a forecast looks. Times are milliseconds since 1970.

use fieldmouse_core::explain;
use fieldmouse_core::wire::{self, phase};
use serde::Serialize;

use crate::store;
use crate::words;

#[derive(Debug, Serialize)]
pub(super) struct Forecast {
    site: String,
    node: String,
    series: String,
    unit: &'static str,
    state: &'static str,
    severity: &'static str,
    told_ms: u64,
    limit: f32,
    level: f32,
    per_day: f32,
    expected_ms: u64,
    early_ms: u64,
    late_ms: Option<u64>,
    sentence: String,
}

/// The answer at `now`: a sentence of yesterday's spans would be wrong today.
pub(super) fn forecast(f: &store::Forecast, now: u64) -> Forecast {
    let b = &f.body;
    let at = |seconds: u32| f.at.saturating_add(u64::from(seconds) * 1000);
    Forecast {
        site: f.site.clone(),
        node: f.node.clone(),
        series: b.key.to_string(),
        unit: b.key.metric().unit,
        state: if b.phase == phase::CLOSED { "closed" } else { "open" },
        severity: words::severity_word(f.severity),
        told_ms: f.at,
        limit: b.limit,
        level: b.level,
        per_day: b.per_day,
        expected_ms: at(b.expected_s),
        early_ms: at(b.early_s),
        late_ms: b.late_s.map(at),
        sentence: explain::expected(&aged(b, now.saturating_sub(f.at) / 1000)).to_string(),
    }
}

/// The same, told later. What is overdue may be any minute; only what was reached is reached.
fn aged(b: &wire::Forecast, seconds: u64) -> wire::Forecast {
    const SOON: u32 = 60;
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    let left = |span: u32| span.saturating_sub(seconds).max(span.min(SOON));
    wire::Forecast {
        expected_s: left(b.expected_s),
        early_s: left(b.early_s),
        late_s: b.late_s.map(left),
        ..b.clone()
    }
}

#[cfg(test)]
mod tests {
    use fieldmouse_core::metric;

    use super::*;
    use crate::sample::{self, NOON};

    #[test]
    fn a_forecast_grows_old_as_it_should() {
        let check = |expected_s: u32, hours_later: u64, sentence: &str| {
            let body = sample::forecast(metric::FILESYSTEM_USED, "/var", phase::OPENED, expected_s);
            let f =
                store::Forecast { site: "hall".into(), node: "press-1".into(), at: NOON, severity: 13, body };
            let shown = forecast(&f, NOON + hours_later * 3_600_000);
            assert!(shown.sentence.starts_with(sentence), "{}", shown.sentence);
            assert_eq!(shown.expected_ms, NOON + u64::from(expected_s) * 1000);
        };
        check(4 * 86_400, 0, "/var will be full in 4 d (between 2 d and 8 d): grows 1.20 GB a day.");
        check(4 * 86_400, 24, "/var will be full in 3 d (between 24 h and 7 d): ");
        check(4 * 86_400, 240, "/var will be full in 60 s ");
        check(0, 240, "/var is full.");
    }
}
