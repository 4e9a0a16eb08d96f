//! Series that must not reach something, and what is forecast of them.

use fieldmouse_core::forecast::{Change, Limit, Outlook, Watch};
use fieldmouse_core::judge::Series;
use fieldmouse_core::metric::{
    FILESYSTEM_USAGE, FILESYSTEM_USED, MEMORY_AVAILABLE, MEMORY_USED, SWAP_USAGE, SWAP_USED,
};
use fieldmouse_core::series::{Millis, SeriesKey};
use fieldmouse_core::wire::{self, phase};

use super::{Output, Pipeline};

/// How far ahead a limit is news.
pub const HORIZON_MS: Millis = 7 * 86_400_000;

/// By the indices of the series; most have no limit.
#[derive(Debug)]
pub(super) struct Limits {
    watches: Vec<Option<Box<Watch>>>,
    horizon: Millis,
    /// Told when the next tick is taken.
    pending: Vec<(usize, Change)>,
}

impl Limits {
    pub(super) fn new() -> Self {
        Self { watches: Vec::new(), horizon: HORIZON_MS, pending: Vec::new() }
    }

    /// Of a series that its metric gives a limit, or that had one before the start.
    pub(super) fn add(&mut self, limit: Option<Limit>, kept: Option<Watch>) {
        let kept = kept.filter(|watch| limit.is_none_or(|limit| limit == watch.limit()));
        self.watches.push(kept.or_else(|| limit.map(Watch::new)).map(Box::new));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Watch)> {
        self.watches.iter().enumerate().filter_map(|(i, watch)| Some((i, watch.as_deref()?)))
    }

    fn set(&mut self, series: usize, limit: Option<Limit>) {
        let Some(place) = self.watches.get_mut(series) else { return };
        if place.as_ref().map(|watch| watch.limit()) == limit {
            return;
        }
        let before = std::mem::replace(place, limit.map(|limit| Box::new(Watch::new(limit))));
        self.pending.extend(before.and_then(|mut watch| watch.close()).map(|change| (series, change)));
    }

    /// Takes a reading that is good, or notes that there is none.
    pub(super) fn observe(&mut self, series: usize, now: Millis, value: Option<f32>) {
        let Some(watch) = self.watches.get_mut(series).and_then(Option::as_mut) else { return };
        let change = match value {
            Some(value) => watch.observe(now, value, self.horizon),
            None => watch.miss(now),
        };
        self.pending.extend(change.map(|change| (series, change)));
    }
}

impl Pipeline {
    /// How far ahead a limit is news, from now on.
    pub fn set_horizon(&mut self, horizon: Millis) {
        self.limits.horizon = horizon;
    }

    /// What a series must not reach from now on; none if there is no such thing. What its metric says stands until
    /// then. With another limit its past is forgotten: a battery that is charged anew is another story.
    pub fn set_limit(&mut self, series: usize, limit: Option<Limit>) {
        self.limits.set(series, limit);
    }

    /// What is forecast of every series that will reach its limit for certain, the nearest first.
    #[must_use]
    pub fn forecasts(&self) -> Vec<wire::Forecast> {
        let certain =
            self.limits.iter().filter_map(|(i, w)| Some((i, w.outlook().filter(|o| o.late.is_some())?)));
        let mut all: Vec<_> = certain.map(|(i, o)| self.body(i, phase::UPDATED, o)).collect();
        all.sort_by_key(|f| f.expected_s);
        all
    }

    pub(super) fn tell_forecasts(&mut self, out: &mut Vec<Output>) {
        for (series, change) in std::mem::take(&mut self.limits.pending) {
            let Change { phase, severity, outlook } = change;
            out.push(Output::Forecast { body: self.body(series, phase, &outlook), severity });
        }
    }

    fn body(&self, series: usize, phase: u8, o: &Outlook) -> wire::Forecast {
        let key = self.keys[series].clone();
        let limit = self.limits.watches[series].as_ref().map_or(0.0, |watch| watch.limit().at());
        let seconds = |ms: Millis| u32::try_from(ms / 1000).unwrap_or(u32::MAX);
        wire::Forecast {
            whole: self.whole(&key, o.level),
            phase,
            limit,
            level: o.level,
            per_day: o.per_day,
            expected_s: seconds(o.expected),
            early_s: seconds(o.early),
            late_s: o.late.map(seconds),
            key,
        }
    }

    /// How many bytes the whole is of which the series is a share, from the series beside it; 0 if there is none.
    fn whole(&self, key: &SeriesKey, share: f32) -> f32 {
        let value = |code: u16, values: &[&str]| {
            let i = self.by_key.get(&SeriesKey::new(code, values))?;
            self.series.get(*i).and_then(|s: &Series| s.now.value)
        };
        let (part, of) = match key.code {
            FILESYSTEM_USED => (value(FILESYSTEM_USAGE, &[&key.label, "used"]), share),
            SWAP_USED => (value(SWAP_USAGE, &["used"]), share),
            MEMORY_USED => (value(MEMORY_AVAILABLE, &[]), 1.0 - share),
            _ => (None, 0.0),
        };
        part.filter(|_| of > 0.0).map_or(0.0, |part| part / of)
    }
}

#[cfg(test)]
mod tests {
    use fieldmouse_core::metric;
    use fieldmouse_core::series::Reading;

    use super::*;
    use crate::budget::Budget;

    const MINUTE: Millis = 60_000;

    struct Device {
        pipeline: Pipeline,
        told: Vec<(u64, wire::Forecast, u8)>,
    }

    impl Device {
        /// One reading a minute of series 0, 1, ….
        fn feed(&mut self, minutes: std::ops::Range<u64>, readings: impl Fn(f64) -> Vec<Reading>) {
            for minute in minutes {
                let readings: Vec<_> = readings(minute as f64).into_iter().map(Some).collect();
                let mut out = Vec::new();
                self.pipeline.tick(minute * MINUTE, &readings, &mut out);
                for output in out {
                    if let Output::Forecast { body, severity } = output {
                        self.told.push((minute, body, severity));
                    }
                }
            }
        }
    }

    fn device(keys: &[SeriesKey]) -> Device {
        let mut pipeline = Pipeline::new(Budget::default(), None, 1);
        for key in keys {
            pipeline.index(key, 0);
        }
        Device { pipeline, told: Vec::new() }
    }

    #[test]
    fn a_file_system_that_fills_is_told_with_its_bytes() {
        let var = SeriesKey::new(FILESYSTEM_USED, &["/var"]);
        let mut d = device(&[var, SeriesKey::new(FILESYSTEM_USAGE, &["/var", "used"])]);
        // 100 GB, 5 % a day.
        d.feed(0..2 * 1440, |m| {
            let share = 0.7 + 0.05 * m / 1440.0;
            vec![Ok(share), Ok(share * 1e11)]
        });
        let (minute, first, severity) = &d.told[0];
        assert_eq!((first.phase, *severity, first.key.label.as_str()), (phase::OPENED, 13, "/var"));
        // Nobody can know of six days after an hour.
        assert!((1440..2160).contains(minute), "told after {minute} minutes");
        assert!((first.whole / 1e11 - 1.0).abs() < 1e-3, "{first:?}");
        let days = f64::from(first.expected_s) / 86_400.0 + *minute as f64 / 1440.0;
        assert!((days - 6.0).abs() < 0.1, "{first:?}");
        assert_eq!(d.told.len(), 1, "{:?}", d.told);
        let now = d.pipeline.forecasts();
        assert_eq!(now.len(), 1);
        assert!(fieldmouse_core::explain::expected(&now[0]).to_string().ends_with("grows 5.00 GB a day."));
    }

    #[test]
    fn a_limit_comes_and_goes_with_its_source() {
        let mut d = device(&[SeriesKey::new(metric::BATTERY_CHARGE, &["BAT0"])]);
        let drains = |m: f64| vec![Ok(0.9 - 0.1 * m / 60.0)];
        d.feed(0..60, drains);
        assert!(d.told.is_empty(), "nothing is known of a limit: {:?}", d.told);
        d.pipeline.set_limit(0, Some(Limit::Below(0.0)));
        d.feed(60..240, drains);
        assert_eq!(d.told.len(), 1, "{:?}", d.told);
        let hours = f64::from(d.told[0].1.expected_s) / 3600.0 + d.told[0].0 as f64 / 60.0;
        assert!((hours - 9.0).abs() < 0.3, "{:?}", d.told);
        d.pipeline.set_limit(0, None);
        d.feed(240..241, drains);
        assert_eq!(d.told.last().unwrap().1.phase, phase::CLOSED);
        assert!(d.pipeline.forecasts().is_empty());
    }

    #[test]
    fn what_was_told_is_not_told_again_after_a_restart() {
        use crate::clock::Stamp;
        use crate::learnt::Learnt;
        let at = |minute: u64| Stamp { mono_ms: minute * MINUTE, wall_ms: None, clock: 0 };
        let var = [SeriesKey::new(FILESYSTEM_USED, &["/var"])];
        let mut d = device(&var);
        let grows = |m: f64| vec![Ok(0.7 + 0.05 * m / 1440.0)];
        d.feed(0..3 * 1440, grows);
        assert_eq!(d.told.len(), 1, "{:?}", d.told);
        let kept = d.pipeline.save(at(3 * 1440), 1);
        let mut pipeline = Pipeline::new(Budget::default(), None, 1);
        pipeline.restore(Learnt::read(&kept), at(3 * 1440), 1);
        pipeline.index(&var[0], 0);
        let mut again = Device { pipeline, told: Vec::new() };
        again.feed(3 * 1440..3 * 1440 + 30, grows);
        assert_eq!(again.told, []);
        assert_eq!(again.pipeline.forecasts().len(), 1, "it is known at once");
    }

    #[test]
    fn what_vanishes_is_not_expected_for_ever() {
        let mut d = device(&[SeriesKey::new(FILESYSTEM_USED, &["/mnt"])]);
        d.feed(0..240, |m| vec![Ok(0.5 + m / 1440.0)]);
        d.feed(240..420, |_| vec![Err(fieldmouse_core::series::NoData::Absent)]);
        let phases: Vec<_> = d.told.iter().map(|t| t.1.phase).collect();
        assert_eq!(phases, [phase::OPENED, phase::CLOSED], "{:?}", d.told);
    }
}
