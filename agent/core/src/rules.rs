//! What people decided about a series beforehand, whatever its past says.

use crate::metric::{self, Group, Metric};
use crate::series::Millis;
use crate::window;

/// Decisions about one series. None of them, unless somebody made one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Overrides {
    /// Seen only: neither judged nor learnt from.
    pub quiet: bool,
    /// Which deviations can be anomalies.
    pub direction: Direction,
    /// The smallest change worth anybody's time, in the metric's unit.
    pub floor: Option<f32>,
    /// Beyond this it is an anomaly, however usual.
    pub limit: Option<Limit>,
}

/// Which deviations can be anomalies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// As its metric says: a device that uses less of itself is well; a tank, a fan or a stream that falls may not be.
    #[default]
    ByMetric,
    /// More than usual.
    Up,
    /// Less than usual.
    Down,
    /// Either.
    Both,
}

impl Direction {
    /// Whether a difference of this sign counts.
    #[must_use]
    pub fn counts(self, metric: &Metric, difference: f32) -> bool {
        match self {
            Self::ByMetric => difference >= 0.0 || cares_for_less(metric),
            Self::Up => difference >= 0.0,
            Self::Down => difference <= 0.0,
            Self::Both => true,
        }
    }
}

/// Whether a fall can be an anomaly. A device that uses less of itself is well, and so is one whose models find it less
/// strange; a tank, a fan or a stream that falls may not be.
fn cares_for_less(metric: &Metric) -> bool {
    matches!(metric.group, Group::Other | Group::Sensor) && metric.code != metric::MODEL_SCORE
}

/// A static limit, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// Values above are beyond it; infinity if there is no such limit.
    pub above: f32,
    /// Values below are beyond it; minus infinity if there is no such limit.
    pub below: f32,
    /// For how long it must be so.
    pub for_ms: Millis,
}

impl Limit {
    /// The limit that this value is beyond.
    #[must_use]
    pub fn broken_by(&self, value: f32) -> Option<f32> {
        if value > self.above {
            Some(self.above)
        } else if value < self.below {
            Some(self.below)
        } else {
            None
        }
    }
}

impl Overrides {
    /// The smallest change worth anybody's time at this place, as deviations are measured.
    #[must_use]
    pub fn floor_at(&self, metric: &Metric, measured: f32) -> f32 {
        match self.floor {
            None => window::measured_floor(metric),
            Some(floor) => window::measure(metric, window::unmeasure(metric, measured) + floor) - measured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Rules, Series, Tick};
    use crate::metric;
    use crate::surprise::Threshold;

    /// Feeds calm readings, then strange ones; tells after how many of these it was hot, and whether by a limit.
    fn check(
        code: u16,
        overrides: Overrides,
        calm: impl Fn(u32) -> f64,
        strange: impl Fn(u32) -> f64,
    ) -> Option<(u32, bool)> {
        let threshold = Threshold::of_budget(1.0, 7.0 * 86_400e3, 200, 1000.0, 5000.0);
        let (mut s, m) = (Series::default(), metric::by_code(code));
        let rules = Rules { threshold, overrides };
        let observe = |s: &mut Series, i: u32, x| {
            let now = 1000 * u64::from(i);
            let tick = Tick { now, time: None, every: 1000.0, novel: 2.5 };
            s.observe(m, &rules, now, Ok(x));
            s.appraise(m, &rules, &tick);
            s.settle(&tick, 1.0);
        };
        for i in 0..600 {
            observe(&mut s, i, calm(i));
            assert!(!s.now.hot, "hot in the calm at {i}");
        }
        (0..120).find_map(|i| {
            observe(&mut s, 600 + i, strange(i));
            s.now.hot.then_some((i, s.now.beyond.is_some()))
        })
    }

    fn noise(i: u32) -> f64 {
        f64::from(i.wrapping_mul(2_654_435_761) >> 8) / f64::from(1u32 << 24) - 0.5
    }

    #[test]
    fn a_limit_holds_whatever_is_usual() {
        let above = |above, for_ms| Overrides {
            limit: Some(Limit { above, below: f32::NEG_INFINITY, for_ms }),
            ..Overrides::default()
        };
        let full = |i| 0.949 + 0.0001 * noise(i);
        let fuller = |i| 0.951 + 0.0001 * noise(i);
        assert_eq!(check(metric::FILESYSTEM_USED, Overrides::default(), full, fuller), None);
        assert_eq!(check(metric::FILESYSTEM_USED, above(0.95, 0), full, fuller), Some((0, true)));
        assert_eq!(check(metric::FILESYSTEM_USED, above(0.95, 30_000), full, fuller), Some((30, true)));
        let blips = |i| if i % 20 < 15 { 0.951 } else { 0.949 };
        assert_eq!(check(metric::FILESYSTEM_USED, above(0.95, 30_000), full, blips), None, "never for 30 s");
        let below = Limit { above: f32::INFINITY, below: 2.0, for_ms: 0 };
        let below = Overrides { limit: Some(below), ..Overrides::default() };
        assert_eq!(check(metric::CUSTOM, below, |i| 2.2 + 0.1 * noise(i), |_| 1.99), Some((0, true)));
    }

    #[test]
    fn a_direction_says_what_can_be_an_anomaly() {
        let check = |code, direction, strange: f64| {
            let overrides = Overrides { direction, ..Overrides::default() };
            check(code, overrides, |i| 0.5 + 0.02 * noise(i), |_| strange).is_some()
        };
        use Direction::{Both, ByMetric, Down, Up};
        for (code, direction, more, less) in [
            (metric::CPU_BUSY, ByMetric, true, false),
            (metric::CPU_BUSY, Up, true, false),
            (metric::CPU_BUSY, Down, false, true),
            (metric::CPU_BUSY, Both, true, true),
            (metric::CUSTOM, ByMetric, true, true),
            (metric::CUSTOM, Up, true, false),
            (metric::CUSTOM, Down, false, true),
        ] {
            let seen = (check(code, direction, 0.98), check(code, direction, 0.02));
            assert_eq!(seen, (more, less), "{code} {direction:?}");
        }
    }

    #[test]
    fn a_floor_says_what_matters() {
        let floor = |floor| Overrides { floor: Some(floor), ..Overrides::default() };
        let calm = |i| 40.0 + 0.1 * noise(i);
        for code in [metric::CUSTOM, metric::DISK_IO_TIME] {
            let scale = if code == metric::CUSTOM { 1.0 } else { 0.01 };
            let seen = |o| check(code, o, |i| scale * calm(i), |_| scale * 45.0).is_some();
            assert!(seen(floor(1.0 * scale as f32)), "{code}: five times the floor");
            assert!(!seen(floor(50.0 * scale as f32)), "{code}: a tenth of the floor");
        }
    }

    #[test]
    fn what_is_quiet_is_seen_and_teaches_nothing() {
        let threshold = Threshold::of_budget(1.0, 7.0 * 86_400e3, 200, 1000.0, 5000.0);
        let loud = Rules { threshold, overrides: Overrides::default() };
        let quiet = Rules { threshold, overrides: Overrides { quiet: true, ..Overrides::default() } };
        let m = metric::by_code(metric::CPU_BUSY);
        let (mut s, mut now) = (Series::default(), 0);
        let mut feed = |s: &mut Series, rules: &Rules, n: u32, level: f64| {
            for i in 0..n {
                now += 1000;
                s.observe(m, rules, now, Ok(level + 0.02 * noise(i)));
            }
        };
        feed(&mut s, &loud, 600, 0.05);
        let (median, seen) = (s.baseline.median, s.confidence());
        // An hour of work, which would have been an anomaly for half an hour and then the new usual.
        for _ in 0..3600 {
            feed(&mut s, &quiet, 1, 0.9);
            assert!(!s.now.hot && s.now.score == 0.0 && s.now.value.is_some_and(|v| v > 0.8));
        }
        assert_eq!((s.baseline.median, s.confidence()), (median, seen));
        feed(&mut s, &loud, 60, 0.05);
        assert!(!s.now.hot);
        feed(&mut s, &loud, 6, 0.9);
        assert!(s.now.hot, "it is still strange");
    }
}
