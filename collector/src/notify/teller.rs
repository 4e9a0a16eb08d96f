//! The edge: decides again and again what people are told, from what stands in the store, and keeps what it decided with
//! the notices in one transaction. Nothing is remembered here that cannot be read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::outlets::{Mine, Outlets, notices};
use super::view::spells;
use super::{Decision, History, IncidentView, LOOKS_BACK_MS, Occurrence, Rules, decide};
use crate::clock;
use crate::desk::incident::{Incident, Life};
use crate::store::{Change, Class, Record, RecordFilter, Store, StoreError};
use crate::topology::{Atlas, Topology};

/// How often it is decided again: times of day, budgets and silences change by themselves.
const EVERY: Duration = Duration::from_secs(2);
/// What is over for so long explains nothing and is told already.
const RECENT_MS: u64 = 30 * 60_000;
/// Another collector's clock may be off by this.
const SLACK_MS: u64 = 60_000;

/// Who decides what people are told.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a store has nothing to show")]
pub struct Teller {
    store: Arc<dyn Store>,
    rules: Rules,
    atlas: Arc<Mutex<Atlas>>,
    /// Whose incidents are decided here; the others are another collector's.
    mine: Mine,
    history: History,
    /// Up to when documents were read.
    read_ms: u64,
}

impl Teller {
    /// At this store, for the incidents of these sites.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, rules: Rules, atlas: Arc<Mutex<Atlas>>, mine: Mine) -> Self {
        Self { store, rules, atlas, mine, history: History::default(), read_ms: 0 }
    }

    /// Decides once. Returns how many decisions are news.
    ///
    /// # Errors
    /// If the store fails: then nothing was decided.
    pub fn look(&mut self, now: u64) -> Result<usize, StoreError> {
        let topology = self.atlas.lock().unwrap_or_else(PoisonError::into_inner).present();
        let incidents = self.read(&topology, now)?;
        let views: Vec<IncidentView> = incidents.iter().map(|(view, _)| view.clone()).collect();
        let decisions = decide(&views, &self.history, &self.rules, now);
        let (mut changes, mut news) = (Vec::new(), Vec::new());
        for (decision, (view, document)) in decisions.into_iter().zip(&incidents) {
            let before = self.history.decisions.get(&decision.incident);
            let is_mine = view.sites.first().is_none_or(|site| (self.mine)(site));
            if !is_mine || before.is_some_and(|before| !decision.is_news(before)) {
                continue;
            }
            changes.extend(notices(before, &decision, view, document, now));
            changes.extend(record(&decision, view, now).map(Change::Put));
            news.push(decision);
        }
        if !changes.is_empty() {
            self.store.keep(&changes)?;
        }
        let count = news.len();
        news.into_iter().for_each(|decision| self.history.decided(decision));
        Ok(count)
    }

    /// What was decided and what was before: for the page, the metrics and a dry run.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Reads what changed, and returns the incidents that are of concern now with their documents.
    fn read(&mut self, topology: &Topology, now: u64) -> Result<Vec<(IncidentView, Value)>, StoreError> {
        let store = &*self.store;
        let since_ms = match self.read_ms {
            0 => now.saturating_sub(LOOKS_BACK_MS),
            read => read.saturating_sub(SLACK_MS),
        };
        let since = |class| RecordFilter { since_ms, ..RecordFilter::all(class) };
        let open = |class| RecordFilter { open: Some(true), ..RecordFilter::all(class) };
        for decision in documents::<Decision>(&store.records(&since(Class::Decision))?) {
            self.history.decided(decision);
        }
        self.history.verdicts = documents(&store.records(&RecordFilter::all(Class::Verdict))?);
        self.history.silences = documents(&store.records(&open(Class::Silence))?);
        let mut found: BTreeMap<String, Record> = BTreeMap::new();
        let recent =
            RecordFilter { since_ms: since_ms.min(now.saturating_sub(RECENT_MS)), ..since(Class::Incident) };
        for record in store.records(&open(Class::Incident))?.into_iter().chain(store.records(&recent)?) {
            found.insert(record.key.clone(), record);
        }
        let stands = self.history.decisions.values().filter(|d| d.standing().is_some());
        for id in stands.map(|d| d.incident.clone()).filter(|id| !found.contains_key(id)).collect::<Vec<_>>()
        {
            for record in store.records(&RecordFilter::one(Class::Incident, &id))? {
                found.insert(record.key.clone(), record);
            }
        }
        let mut all = Vec::new();
        for record in found.values() {
            let Ok(document) = serde_json::from_str::<Value>(&record.doc) else { continue };
            let Ok(incident) = serde_json::from_value::<Incident>(document.clone()) else { continue };
            let begin = format!("{}/*", incident.id);
            let lives = RecordFilter { key: Some(&begin), ..RecordFilter::all(Class::Life) };
            // Most begin once.
            let is_simple = incident.reopened == 0;
            let lives = if is_simple { Vec::new() } else { documents::<Life>(&store.records(&lives)?) };
            let spells = spells(&incident, &lives);
            let view = IncidentView::of(&incident, &spells, topology);
            self.history.spells(&view, &spells);
            all.push((view, document));
        }
        self.read_ms = now;
        self.history.forget(now);
        all.retain(|(view, _)| {
            let decision = self.history.decisions.get(&view.id);
            let is_recent = view.closed_ms.is_none_or(|closed| closed.saturating_add(RECENT_MS) >= now);
            is_recent || decision.is_some_and(|d| d.standing().is_some())
        });
        Ok(all)
    }
}

impl History {
    /// Remembers every time that an incident was.
    pub fn spells(&mut self, incident: &IncidentView, spells: &[(u64, Option<u64>)]) {
        for (opened_ms, closed_ms) in spells {
            self.note(&IncidentView { opened_ms: *opened_ms, closed_ms: *closed_ms, ..incident.clone() });
        }
        let known: BTreeSet<u64> = spells.iter().map(|s| s.0).collect();
        // What came late may have moved its beginning, or its pattern.
        let same = incident.same();
        let is_false = |o: &Occurrence| o.incident == incident.id && !known.contains(&o.opened_ms);
        for (name, past) in &mut self.past {
            past.retain(|o| if *name == same { !is_false(o) } else { o.incident != incident.id });
        }
    }
}

fn documents<T: DeserializeOwned>(records: &[Record]) -> Vec<T> {
    let read = |record: &Record| {
        serde_json::from_str(&record.doc)
            .map_err(|e| log::error!("{} {}: {e}", record.class.word(), record.key))
            .ok()
    };
    records.iter().filter_map(read).collect()
}

fn record(decision: &Decision, view: &IncidentView, now: u64) -> Option<Record> {
    Some(Record {
        class: Class::Decision,
        key: decision.incident.clone(),
        site: view.sites.first().cloned().unwrap_or_default(),
        at_ms: now,
        is_open: view.is_open() || decision.standing().is_some(),
        doc: serde_json::to_string(decision).ok()?,
    })
}

/// Decides until it is cancelled, and wakes the outlets when there is something to tell.
pub async fn run(mut teller: Teller, outlets: Arc<Outlets>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A teller that failed half-way has lost nothing: the next one reads again.
        let mut next = teller.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let looked = next.look(clock::wall_ms());
            (next, looked)
        });
        match looked.await {
            Ok((next, Ok(news))) => {
                teller = next;
                if news > 0 {
                    outlets.wake();
                }
            }
            Ok((_, Err(e))) => log::error!("what people are told: {e}; it is decided again"),
            Err(e) => log::error!("what people are told: {e}"),
        }
    }
}
