//! From recorded metrics to a case: each metric's rows of the failure against its rows before it.

use std::collections::BTreeMap;

use super::deviation::{Usual, larger_half, quantile, strength, together};
use super::kind::{self, Per};
use super::rank::short;
use super::{Alert, Case, Evidence, Kind, Recording, Suspect, Table, Tuning};

/// Deviation from which on a row belongs to the failure.
const BEGUN: f64 = 3.0;

/// The case that a recording tells.
#[must_use]
pub fn measure(recording: &Recording, tuning: &Tuning) -> Case {
    let courses: Vec<Course<'_>> =
        recording.services.iter().flat_map(|(name, table)| courses(recording, name, table)).collect();
    let pooled = pooled(&courses);
    let moved: Vec<Moved<'_>> =
        courses.iter().map(|c| c.moved(pooled.get(c.metric).copied().unwrap_or(0.0), tuning)).collect();
    let alert = recording.alert.as_ref().and_then(|alert| {
        let course =
            moved.iter().find(|m| m.course.service == alert.service && m.course.metric == alert.metric)?;
        Some(course.profile()).filter(|p| p.values().any(|v| *v > 0.0))
    });
    let mut suspects: BTreeMap<&str, Suspect> = recording
        .services
        .keys()
        .map(|name| (name.as_str(), Suspect { entity: name.clone(), evidence: Vec::new() }))
        .collect();
    for m in &moved {
        let (service, mut evidence) = (m.course.service, m.evidence(alert.as_ref(), tuning));
        if let Some(e) = evidence.as_mut().filter(|e| e.kind == Kind::Host) {
            e.strength /= sharing(recording, service);
        }
        suspects.entry(service).or_default().evidence.extend(evidence);
    }
    for (name, suspect) in &mut suspects {
        suspect.evidence.extend(recording.logs.evidence(name, recording.injected_at, tuning));
    }
    Case {
        suspects: suspects.into_values().collect(),
        edges: recording.graph.clone(),
        alert: recording
            .alert
            .as_ref()
            .map(|a| Alert { entity: a.service.clone(), kind: Some(Kind::of(&a.metric)) }),
        onset_ms: Some(ms(recording.injected_at)),
    }
}

/// How many services share the host of one, itself among them: what the host shows may be any one's.
fn sharing(recording: &Recording, service: &str) -> f64 {
    let host = recording.hosts.get(service);
    recording.hosts.values().filter(|h| host == Some(h)).count().max(1) as f64
}

/// One metric of one service.
struct Course<'a> {
    service: &'a str,
    metric: &'a str,
    kind: Kind,
    usual: Usual,
    /// Share of the rows before the failure that have a value.
    present: f64,
    /// Time and value since the failure; of a share of what went well, the share of what did not.
    rows: Vec<(f64, f64)>,
    /// What is all, if it is a share.
    whole: Option<f64>,
    /// By how many values each row was made, if known, as of its time.
    made_of: Vec<f64>,
}

fn courses<'a>(recording: &Recording, service: &'a str, table: &'a Table) -> Vec<Course<'a>> {
    let requests = table.columns.iter().find_map(|(name, values)| {
        let per = kind::requests(name)?;
        Some((values, if per == Per::Second { recording.interval_s } else { 1.0 }))
    });
    let before = table.times.iter().filter(|t| **t < recording.injected_at).count();
    let course = |(metric, values): &'a (String, Vec<f64>)| {
        let kind = Kind::of(metric);
        let most = values.iter().copied().filter(|v| v.is_finite()).fold(f64::NEG_INFINITY, f64::max);
        let whole = (kind == Kind::Errors).then(|| kind::whole(metric, most)).flatten();
        let turned = |v: f64| whole.filter(|_| kind::is_success(metric)).map_or(v, |whole| whole - v);
        let since = || (0..table.times.len()).filter(|i| table.times[*i] >= recording.injected_at);
        let usual_rows: Vec<f64> = (0..table.times.len())
            .filter(|i| table.times[*i] < recording.injected_at)
            .map(|i| turned(values[i]))
            .collect();
        let usual = Usual::of(&usual_rows)?;
        let rows: Vec<(f64, f64)> = since().map(|i| (table.times[i], turned(values[i]))).collect();
        let made_of = |(values, per): (&Vec<f64>, f64)| since().map(|i| values[i] * per).collect();
        Some(Course {
            service,
            metric,
            kind,
            usual,
            present: usual.rows as f64 / before.max(1) as f64,
            rows,
            whole,
            made_of: requests.map(made_of).unwrap_or_default(),
        })
    };
    table.columns.iter().filter_map(course).collect()
}

/// The typical relative spread of each metric over all services.
fn pooled<'a>(courses: &[Course<'a>]) -> BTreeMap<&'a str, f64> {
    let mut all: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for c in courses.iter().filter(|c| c.usual.median != 0.0) {
        all.entry(c.metric).or_default().push(c.usual.spread / c.usual.median.abs());
    }
    let median = |mut spreads: Vec<f64>| {
        spreads.sort_by(f64::total_cmp);
        quantile(&spreads, 0.5)
    };
    all.into_iter().map(|(metric, spreads)| (metric, median(spreads))).collect()
}

impl<'a> Course<'a> {
    /// How far each row is from what is usual, in spreads.
    fn moved<'c>(&'c self, pooled: f64, t: &Tuning) -> Moved<'c> {
        let level = self.usual.median.abs();
        let floor = match (self.whole, self.kind) {
            (Some(whole), _) => t.ratio_floor * whole,
            (None, Kind::Stock) => t.stock_floor * level,
            (None, _) => t.floor * level,
        };
        let known = self.usual.moderated(pooled, t.pooled_rows).powi(2) + floor.powi(2);
        let most = self.rows.iter().map(|(_, v)| v.abs()).filter(|v| v.is_finite()).fold(0.0, f64::max);
        let deviation = |(i, (_, value)): (usize, &(f64, f64))| {
            let mut variance = known + self.chance(i, *value);
            if variance == 0.0 {
                // It never moved: any move is as large as it can be told.
                variance = (t.floor * most).powi(2);
            }
            let z = if variance > 0.0 { (value - self.usual.median) / variance.sqrt() } else { 0.0 };
            if z.is_nan() || (self.kind.rises() && z < 0.0) { 0.0 } else { z }
        };
        Moved { course: self, deviations: self.rows.iter().enumerate().map(deviation).collect() }
    }

    /// Variance by mere chance: of a share among so many (with one failure and one success added, after Laplace), of a
    /// count of failures (after Poisson).
    fn chance(&self, row: usize, value: f64) -> f64 {
        match (self.whole, self.made_of.get(row)) {
            (Some(whole), Some(n)) if *n > 0.0 => {
                let share = ((value / whole * n + 1.0) / (n + 2.0)).clamp(0.0, 1.0);
                share * (1.0 - share) / n * whole.powi(2)
            }
            (None, _) if self.kind == Kind::Errors => value.abs().max(1.0),
            _ => 0.0,
        }
    }
}

/// A course with how far each row of the failure is from what is usual.
struct Moved<'c> {
    course: &'c Course<'c>,
    deviations: Vec<f64>,
}

impl Moved<'_> {
    /// When it deviated how much: for comparison with others.
    fn profile(&self) -> BTreeMap<u64, f64> {
        let rows = self.course.rows.iter().zip(&self.deviations);
        rows.map(|((time, _), z)| (ms(*time), z.abs().min(1e100).ln_1p())).collect()
    }

    fn evidence(&self, alert: Option<&BTreeMap<u64, f64>>, t: &Tuning) -> Option<Evidence> {
        /// Of a metric that has values in this share of the rows, what is usual is known in full.
        const HALF: f64 = 0.5;
        let present: Vec<f64> = (self.course.rows.iter().zip(&self.deviations))
            .filter(|((_, value), _)| value.is_finite())
            .map(|(_, z)| *z)
            .collect();
        let z = larger_half(&present);
        let nats = strength(z, t.freedom) * (self.course.present / HALF).min(1.0) * self.with(alert, t);
        let worst = (self.course.rows.iter().zip(&self.deviations))
            .filter(|((_, value), _)| value.is_finite())
            .max_by(|a, b| (a.1 * z.signum()).total_cmp(&(b.1 * z.signum())).then(b.0.0.total_cmp(&a.0.0)))?;
        let begun = (self.course.rows.iter().zip(&self.deviations)).find(|(_, d)| **d * z.signum() >= BEGUN);
        (nats > 0.0).then(|| Evidence {
            kind: self.course.kind,
            metric: self.course.metric.to_owned(),
            strength: nats,
            onset_ms: begun.map(|((time, _), _)| ms(*time)),
            text: self.told(z, worst.0.1),
        })
    }

    /// How much of the strength counts: all if it moves together with the alert, or if the alert says nothing of when.
    fn with(&self, alert: Option<&BTreeMap<u64, f64>>, t: &Tuning) -> f64 {
        /// Of fewer rows any two courses look alike.
        const FEWEST: usize = 3;
        let Some(alert) = alert.filter(|a| a.len() >= FEWEST) else { return 1.0 };
        let own = self.profile();
        let (a, b): (Vec<f64>, Vec<f64>) =
            alert.iter().map(|(time, v)| (*v, own.get(time).copied().unwrap_or(0.0))).unzip();
        let mean = a.iter().sum::<f64>() / a.len() as f64;
        let stands_still = a.iter().all(|v| (v - mean).abs() < 1e-6);
        if stands_still { 1.0 } else { 1.0 - t.together * (1.0 - together(&a, &b).unwrap_or(0.0)) }
    }

    fn told(&self, z: f64, worst: f64) -> String {
        let c = self.course;
        let (metric, moved) = (short(c.metric), if z > 0.0 { "rose" } else { "fell" });
        let times = format!("{} times its usual swing", number(z.abs()));
        match c.whole {
            Some(whole) => {
                let percent = |v: f64| number(v / whole * 100.0);
                format!(
                    "{metric}: {} % failed instead of {} %, {times}",
                    percent(worst),
                    percent(c.usual.median)
                )
            }
            None => format!("{metric} {moved} from {} to {}, {times}", number(c.usual.median), number(worst)),
        }
    }
}

fn ms(seconds: f64) -> u64 {
    // Saturates: what lies before 1970 is 0.
    (seconds * 1000.0) as u64
}

/// Three digits, as people write them.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 || (size > 0.0 && size < 1e-3) {
        format!("{value:.2e}")
    } else if size >= 100.0 || value == 0.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}
