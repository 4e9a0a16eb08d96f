//! How well services and sites are: 0 (nothing works) to 100, from weighted KPIs, and how well they will be in half an hour.
//!
//! The score is the mean of what the levels of KPIs are worth, weighted by their importance: normal 100, low 70, medium
//! 50, high 30, critical 0. What is of importance 0 or only of interest (info) does not count, and a critical KPI of
//! importance 11 makes the whole service critical. Levels and weights are those of Splunk ITSI ("How service health
//! scores work in ITSI", "Set KPI importance values").

mod ahead;
mod history;
mod scope;
mod task;
#[cfg(test)]
mod tests;
mod watch;

pub use ahead::{Measured, Outlook, ahead, measure};
pub use history::{Day, History, STEP_MS};
pub use scope::Scope;
pub use task::run;
pub use watch::{Report, Watch};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::signal::{Signal, What};
use crate::topology::{Kpi, MOST_IMPORTANT, Service, Topology, of_series};

const HOUR: u64 = 3_600_000;
/// Entities of one KPI that are named.
const NAMED: usize = 50;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Of interest; it does not count.
    Info,
    /// As it should be.
    Normal,
    /// Not quite.
    Low,
    /// Somewhat bad.
    Medium,
    /// Bad.
    High,
    /// Nothing works.
    Critical,
}

impl Level {
    /// What it is worth; nothing if it does not count.
    #[must_use]
    pub fn points(self) -> Option<f64> {
        match self {
            Self::Info => None,
            Self::Normal => Some(100.0),
            Self::Low => Some(70.0),
            Self::Medium => Some(50.0),
            Self::High => Some(30.0),
            Self::Critical => Some(0.0),
        }
    }

    /// The level of a score.
    #[must_use]
    pub fn of_score(score: f64) -> Self {
        match score {
            s if s >= 80.0 => Self::Normal,
            s if s >= 60.0 => Self::Low,
            s if s >= 40.0 => Self::Medium,
            s if s >= 20.0 => Self::High,
            _ => Self::Critical,
        }
    }

    /// How bad a signal is at a moment, where severities from `critical` on are critical.
    fn of(signal: &Signal, critical: u8, at_ms: u64) -> Self {
        if let Some(due) = signal.due_ms {
            return match due.saturating_sub(at_ms) {
                0 => Self::Critical,
                left if left < HOUR => Self::Medium,
                left if left < 24 * HOUR => Self::Low,
                _ => Self::Info,
            };
        }
        match signal.severity {
            // Who is gone does nothing at all.
            _ if signal.key.what == What::Presence => Self::Critical,
            s if s >= critical => Self::Critical,
            17.. => Self::High,
            13.. => Self::Medium,
            _ => Self::Low,
        }
    }
}

/// How well a service or a site is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// 0 to 100.
    pub score: f64,
    /// In one word.
    pub level: Level,
    /// What it is made of: of a service its KPIs; of a site its devices that are not well, the worst first.
    pub kpis: Vec<KpiHealth>,
    /// How many KPIs there are, named or not.
    pub of: usize,
    /// What makes it less than 100, a sentence each, what costs most first.
    pub why: Vec<String>,
}

/// How well one KPI is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KpiHealth {
    /// In words.
    pub name: String,
    /// 0 to 11.
    pub importance: u8,
    /// Over all its entities.
    pub level: Level,
    /// 0 to 100; nothing if it does not count.
    pub score: Option<f64>,
    /// The entities that are not well, the worst first, whatever the whole is.
    pub entities: Vec<EntityHealth>,
}

/// How well one entity is, by one KPI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityHealth {
    /// Which.
    pub entity: String,
    /// How bad it is.
    pub level: Level,
    /// What is wrong.
    pub text: String,
}

/// What goes on at a moment.
pub fn open(signals: &[Signal], at_ms: u64) -> impl Iterator<Item = &Signal> + Clone {
    signals.iter().filter(move |s| s.onset_ms <= at_ms && s.end_ms.is_none_or(|end| at_ms < end))
}

/// How well a service is at a moment, by what goes on.
#[must_use]
pub fn service<'s>(
    service: &Service,
    topology: &Topology,
    open: impl Iterator<Item = &'s Signal> + Clone,
    at_ms: u64,
) -> Health {
    let kpis = service.kpis.iter().map(|kpi| weigh(kpi, topology, open.clone(), at_ms)).collect();
    whole(kpis, 0.0)
}

/// How well a site is: each device is a KPI as important as the device.
#[must_use]
pub fn site<'s>(
    site: &str,
    topology: &Topology,
    open: impl Iterator<Item = &'s Signal>,
    at_ms: u64,
) -> Health {
    let mut worst: BTreeMap<&str, EntityHealth> = BTreeMap::new();
    for signal in open.filter(|s| s.key.site == site) {
        note(&mut worst, signal.device(), Level::of(signal, FATAL, at_ms), signal);
    }
    let is_device = |name: &&str| !name.contains('#');
    let well = topology.of_site(site).filter(|(_, known)| known.reported).map(|(name, _)| name);
    let well = well.filter(is_device).filter(|name| !worst.contains_key(name));
    let rest: f64 = well.map(|name| f64::from(topology.importance(name))).sum();
    let kpis = worst.into_iter().map(|(device, of)| KpiHealth {
        name: device.to_owned(),
        importance: topology.importance(device),
        level: of.level,
        score: of.level.points(),
        entities: vec![of],
    });
    let mut health = whole(kpis.collect(), rest);
    health.of = topology.of_site(site).filter(|(name, known)| known.reported && is_device(name)).count();
    health.kpis.sort_by_key(|k| std::cmp::Reverse((k.level, k.importance)));
    health.kpis.truncate(NAMED);
    health
}

/// Severity from which on anything is critical.
const FATAL: u8 = 21;

fn note<'e>(worst: &mut BTreeMap<&'e str, EntityHealth>, entity: &'e str, level: Level, signal: &Signal) {
    let found = || EntityHealth { entity: entity.to_owned(), level, text: signal.text.clone() };
    let known = worst.entry(entity).or_insert_with(found);
    if known.level < level {
        *known = found();
    }
}

fn weigh<'s>(
    kpi: &Kpi,
    topology: &Topology,
    open: impl Iterator<Item = &'s Signal>,
    at_ms: u64,
) -> KpiHealth {
    let mut found: BTreeMap<String, (Level, &Signal)> = BTreeMap::new();
    for signal in open {
        let Some(entity) = concerned(kpi, signal) else { continue };
        let level = Level::of(signal, kpi.critical, at_ms);
        let worst = found.entry(entity).or_insert((level, signal));
        if worst.0 < level {
            *worst = (level, signal);
        }
    }
    let counted = found.values().filter_map(|(level, _)| level.points());
    let (score, level) = if kpi.mean {
        let named = |name: &str| kpi.of.iter().any(|of| of.matches(name));
        let all = topology.entities().filter(|(name, _)| named(name)).count().max(found.len());
        let (bad, sum) = counted.fold((0, 0.0), |(n, sum), points| (n + 1, sum + points));
        let score = if all == 0 { 100.0 } else { (sum + 100.0 * (all - bad) as f64) / all as f64 };
        (Some(score), Level::of_score(score))
    } else {
        let level = found.values().map(|(level, _)| *level).max().unwrap_or(Level::Normal);
        (level.points(), level)
    };
    let mut entities: Vec<EntityHealth> = found
        .into_iter()
        .map(|(entity, (level, signal))| EntityHealth { entity, level, text: signal.text.clone() })
        .collect();
    entities.sort_by_key(|e| std::cmp::Reverse(e.level));
    entities.truncate(NAMED);
    KpiHealth { name: kpi.name.clone(), importance: kpi.importance, level, score, entities }
}

/// The entity of the KPI that a signal speaks of, if it speaks of one: what is wrong with a part is wrong with its device.
fn concerned(kpi: &Kpi, signal: &Signal) -> Option<String> {
    let named = |entity: &str| kpi.of.iter().any(|of| of.matches(entity));
    let device = signal.device();
    let of = |entity: &str| [entity, device].into_iter().find(|e| named(e)).map(str::to_owned);
    if signal.moved.is_empty() {
        // A device that is gone takes its parts and their series with it; of other signals without series only "any series"
        // speaks.
        if signal.key.what == What::Presence {
            return kpi.of.iter().any(|of| of.of_device(device)).then(|| device.to_owned());
        }
        return if kpi.series.matches("") { of(&signal.entity) } else { None };
    }
    signal
        .moved
        .iter()
        .filter(|m| kpi.series.matches(&m.series))
        .find_map(|m| of(&of_series(device, &m.series)).or_else(|| of(&signal.entity)))
}

/// Puts the parts together; `rest` is the weight of what is well and not named.
fn whole(kpis: Vec<KpiHealth>, rest: f64) -> Health {
    let counted = || kpis.iter().filter(|k| k.importance > 0).filter_map(|k| Some((k, k.score?)));
    let weight: f64 = rest + counted().map(|(k, _)| f64::from(k.importance)).sum::<f64>();
    let sum: f64 = 100.0 * rest + counted().map(|(k, score)| f64::from(k.importance) * score).sum::<f64>();
    let decisive = counted().any(|(k, _)| k.importance >= MOST_IMPORTANT && k.level == Level::Critical);
    let score = match weight {
        _ if decisive => 0.0,
        w if w > 0.0 => sum / w,
        _ => 100.0,
    };
    let mut costs: Vec<(f64, String)> = counted()
        .filter(|(_, score)| *score < 100.0)
        .map(|(k, score)| {
            let lost = f64::from(k.importance) * (100.0 - score) / weight;
            let first = k.entities.first().map(|e| format!(": {}", e.text)).unwrap_or_default();
            let level = k.level.word();
            if k.importance >= MOST_IMPORTANT && k.level == Level::Critical {
                (f64::MAX, format!("{} is critical and of importance 11: it decides alone{first}", k.name))
            } else {
                (lost, format!("{} is {level}, which costs {lost:.0} of 100{first}", k.name))
            }
        })
        .collect();
    costs.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let why = costs.into_iter().map(|(_, text)| text).take(8).collect();
    Health { score, level: Level::of_score(score), of: kpis.len(), kpis, why }
}

impl Level {
    /// One word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Normal => "normal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}
