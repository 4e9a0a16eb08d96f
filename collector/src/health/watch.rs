//! The health of everything over time: scored again and again, kept when it changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Day, Health, History, Outlook, STEP_MS, Scope, ahead, open, service, site};
use crate::signal::Signal;
use crate::store::{Change, Class, Record, RecordFilter, Store, StoreError};
use crate::topology::Topology;

/// Half an hour.
const AHEAD_MS: u64 = 1_800_000;

/// What is known of a service or a site: a document of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The service or the site.
    pub name: String,
    /// `service` or `site`.
    pub kind: String,
    /// 0 to 11.
    pub importance: u8,
    /// When it was so first, in milliseconds since 1970.
    pub at_ms: u64,
    /// How well it is.
    #[serde(flatten)]
    pub health: Health,
    /// How well it will be.
    pub ahead: Option<Outlook>,
}

/// The health of everything there is.
#[derive(Debug, Default)]
pub struct Watch {
    pasts: BTreeMap<String, History>,
    told: BTreeMap<String, Report>,
    /// The step in which was last looked ahead.
    step: u64,
}

const DAYS: &str = "day/";
const NOW: &str = "now/";

fn record<T: Serialize>(key: String, site: &str, at_ms: u64, is_open: bool, doc: &T) -> Change {
    Change::Put(Record {
        class: Class::Health,
        key,
        site: site.to_owned(),
        at_ms,
        is_open,
        doc: serde_json::to_string(doc).unwrap_or_default(),
    })
}

impl Watch {
    /// Goes on from what was kept.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn of(store: &dyn Store) -> Result<Self, StoreError> {
        let mut days: BTreeMap<String, Vec<Day>> = BTreeMap::new();
        let (mut told, mut this) = (BTreeMap::new(), Self::default());
        for record in store.records(&RecordFilter::all(Class::Health))? {
            if record.key.starts_with(DAYS) {
                if let Ok(day) = serde_json::from_str::<Day>(&record.doc) {
                    days.entry(record.key.split('@').next().unwrap_or("").to_owned()).or_default().push(day);
                }
            } else if let Ok(report) = serde_json::from_str::<Report>(&record.doc) {
                told.insert(format!("{}/{}", report.kind, report.name), report);
            }
        }
        this.told = told;
        for (key, days) in days {
            this.pasts.insert(key[DAYS.len()..].to_owned(), History::of(days));
        }
        Ok(this)
    }

    /// Every report, services first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn reports(store: &dyn Store) -> Result<Vec<Report>, StoreError> {
        let of = RecordFilter { key: Some("now/*"), ..RecordFilter::all(Class::Health) };
        let records = store.records(&of)?;
        let mut all: Vec<Report> = records.iter().filter_map(|r| serde_json::from_str(&r.doc).ok()).collect();
        all.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
        Ok(all)
    }

    /// The past of a service or a site since then: when its score changed, and to what.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn past(
        store: &dyn Store,
        kind: &str,
        name: &str,
        since_ms: u64,
    ) -> Result<Vec<(u64, f32)>, StoreError> {
        let key = format!("{DAYS}{kind}/{name}@*");
        let of = RecordFilter { key: Some(&key), ..RecordFilter::all(Class::Health) };
        let days = store.records(&of)?;
        let days = days.iter().filter_map(|r| serde_json::from_str::<Day>(&r.doc).ok());
        Ok(History::of(days).since(since_ms))
    }

    /// Scores everything in this scope by what goes on, and returns what is to be kept. Half an hour ahead is looked at every five minutes.
    pub fn look(
        &mut self,
        scope: &Scope<'_>,
        topology: &Topology,
        signals: &[Signal],
        now_ms: u64,
    ) -> Vec<Change> {
        let (mut changes, mut known) = (Vec::new(), BTreeMap::new());
        let is_step = now_ms / STEP_MS > self.step;
        self.step = now_ms / STEP_MS;
        let then = now_ms + AHEAD_MS;
        for &of in &scope.services {
            let health = service(of, topology, open(signals, now_ms), now_ms);
            let foretold = due(signals, now_ms, then);
            let cap = foretold.then(|| service(of, topology, open(signals, now_ms), then).score);
            let report = Report {
                name: of.name.clone(),
                kind: "service".to_owned(),
                importance: of.importance,
                at_ms: now_ms,
                health,
                ahead: None,
            };
            known.insert(format!("service/{}", of.name), (report, cap));
        }
        let mut by_site: BTreeMap<&str, Vec<&Signal>> = BTreeMap::new();
        for signal in open(signals, now_ms) {
            by_site.entry(&signal.key.site).or_default().push(signal);
        }
        for &name in &scope.sites {
            let own = by_site.get(name).map(Vec::as_slice).unwrap_or_default();
            let score = |at| site(name, topology, own.iter().copied(), at);
            let foretold = own.iter().any(|s| s.due_ms.is_some_and(|due| due > now_ms && due <= then));
            let report = Report {
                name: name.to_owned(),
                kind: "site".to_owned(),
                importance: topology.importance(name),
                at_ms: now_ms,
                health: score(now_ms),
                ahead: None,
            };
            known.insert(format!("site/{name}"), (report, foretold.then(|| score(then).score)));
        }
        for (gone, report) in self.told.iter().filter(|(key, _)| !known.contains_key(*key)) {
            if scope.has_lost(&report.kind, &report.name) {
                changes.push(Change::Remove(Class::Health, format!("{NOW}{gone}")));
            }
        }
        self.told.retain(|key, _| known.contains_key(key));
        for (key, (report, cap)) in known {
            self.enter(&key, report, cap, is_step, &mut changes);
        }
        changes
    }

    fn enter(
        &mut self,
        key: &str,
        mut report: Report,
        cap: Option<f64>,
        is_step: bool,
        to: &mut Vec<Change>,
    ) {
        let now_ms = report.at_ms;
        let home = if report.kind == "site" { report.name.clone() } else { String::new() };
        let past = self.pasts.entry(key.to_owned()).or_default();
        if let Some(day) = past.note(key, now_ms, report.health.score) {
            let at = format!("{DAYS}{key}@{}", day.day_ms);
            to.push(record(at, &home, now_ms, false, &day));
        }
        let before = self.told.get(key);
        let same = before.is_some_and(|b| b.health == report.health);
        if is_step || before.is_none() {
            report.ahead = ahead(&past.readings(now_ms), now_ms, cap);
        } else {
            report.ahead = before.and_then(|b| b.ahead);
        }
        // What stays as it is, and will, is not written again and again.
        let coming = |r: &Report| {
            r.ahead.map(|a| (a.score.round() as i64, a.low.round() as i64, a.high.round() as i64))
        };
        if same
            && before
                .is_some_and(|b| coming(b) == coming(&report) && (!is_step || report.health.score == 100.0))
        {
            return;
        }
        if let Some(before) = before.filter(|_| same) {
            report.at_ms = before.at_ms;
        }
        to.push(record(format!("{NOW}{key}"), &home, now_ms, true, &report));
        self.told.insert(key.to_owned(), report);
    }
}

/// Whether something reaches its limit between two moments.
fn due(signals: &[Signal], from_ms: u64, to_ms: u64) -> bool {
    open(signals, from_ms).any(|s| s.due_ms.is_some_and(|due| due > from_ms && due <= to_ms))
}
