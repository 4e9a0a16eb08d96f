//! Data points: each stream of them becomes a series, or three of a histogram.

mod point;
mod stream;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use fieldmouse_core::logs::mask::Masker;
use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::Fact;

use super::answer::Partial;
use super::fields::{Malformed, Message, Table};
use super::resource::{self, Nest};
use crate::logs::shown::Names;
use crate::sources::Readings;
use point::{Kind, Point};
use stream::{Meaning, Stream};

const NEST: Nest = Nest {
    export: &[(1, "resourceMetrics")],
    resource: &[(1, "resource"), (2, "scopeMetrics")],
    scope: &[(2, "metrics")],
};
const METRIC: &Table =
    &[(1, "name"), (5, "gauge"), (7, "sum"), (9, "histogram"), (10, "exponentialHistogram"), (11, "summary")];
const DATA: &Table = &[(1, "dataPoints"), (2, "aggregationTemporality"), (3, "isMonotonic")];
const DELTA: u64 = 1;

/// All that is known of data points.
#[derive(Debug)]
pub(super) struct Metrics {
    names: Names,
    /// By the hash of service, name and attributes.
    streams: HashMap<u64, Stream>,
    hasher: RandomState,
    /// Series that there are, and may be.
    series: usize,
    most: usize,
    now: Millis,
    is_full_told: bool,
}

impl Metrics {
    pub(super) fn new(most: usize, masker: Masker) -> Self {
        Self {
            names: Names::new(masker),
            streams: HashMap::new(),
            hasher: RandomState::new(),
            series: 0,
            most,
            now: 0,
            is_full_told: false,
        }
    }

    /// What would be one series too many is refused.
    pub(super) fn take(&mut self, export: Message<'_>, now: Millis) -> Result<Partial, Malformed> {
        self.now = now;
        let mut refused = 0;
        resource::each(&NEST, export, &mut |service, metric| self.metric(service, metric, &mut refused))?;
        let why = if refused > 0 { self.fullness() } else { String::new() };
        Ok(Partial { refused, why })
    }

    pub(super) fn tick(&mut self, now: Millis, out: &mut Readings) {
        self.streams.values_mut().for_each(|stream| stream.tick(now, out));
        if self.is_full_told {
            return;
        }
        if self.series > self.most {
            self.is_full_told = true;
            out.tell(13, Fact::new("otlp-full", &self.fullness()));
        }
    }

    fn fullness(&self) -> String {
        format!(
            "more than {} series of metrics are exported; the others are not judged (source.otlp.series)",
            self.most
        )
    }

    fn metric(&mut self, service: &str, metric: Message<'_>, refused: &mut u64) -> Result<(), Malformed> {
        let mut name = "".into();
        for field in metric.fields(METRIC) {
            if let (1, text) = field? {
                name = text.text()?;
            }
        }
        for field in metric.fields(METRIC) {
            let (kind, data) = match field? {
                (1, _) => continue,
                (5 | 7, data) => (Kind::Number, data.message()?),
                (9, data) => (Kind::Histogram, data.message()?),
                (10, data) => (Kind::Exponential, data.message()?),
                (_, data) => (Kind::Summary, data.message()?),
            };
            // A gauge has none of these, a summary counts from its start.
            let (mut is_delta, mut is_monotonic) = (false, false);
            for field in data.fields(DATA) {
                match field? {
                    (2, temporality) => is_delta = temporality.uint()? == DELTA,
                    (3, flag) => is_monotonic = flag.uint()? != 0,
                    _ => {}
                }
            }
            let meaning = match (kind, is_monotonic) {
                (Kind::Number, false) if is_delta => Meaning::Change,
                (Kind::Number, false) => Meaning::Level,
                (Kind::Number, true) => Meaning::Count,
                _ => Meaning::Distribution,
            };
            for field in data.fields(DATA) {
                let (1, point) = field? else { continue };
                let point = Point::read(kind, point.message()?)?;
                *refused += u64::from(!self.point(service, &name, meaning, is_delta, &point)?);
            }
        }
        Ok(())
    }

    /// Whether there was room for it.
    fn point(
        &mut self,
        service: &str,
        name: &str,
        meaning: Meaning,
        is_delta: bool,
        point: &Point<'_>,
    ) -> Result<bool, Malformed> {
        let mut id = self.hasher.hash_one((service, name));
        for entry in point.attributes() {
            let (key, value) = resource::attribute(entry?)?;
            // In whatever order they come.
            id = id.wrapping_add(self.hasher.hash_one((key, value.shown())));
        }
        if !self.streams.contains_key(&id) {
            let parts = meaning.parts();
            if self.series + parts.len() > self.most {
                // Never fits again, and so is told.
                self.series = self.series.max(self.most + 1);
                return Ok(false);
            }
            self.series += parts.len();
            let labels = stream::labels(&mut self.names, service, name, parts, point)?;
            self.streams.insert(id, Stream::new(labels, self.now));
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.take(meaning, is_delta, point, self.now);
        }
        Ok(true)
    }
}
