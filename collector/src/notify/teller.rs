//! The edge: decides again and again what people are told, from what stands in the store, and keeps what it decided with
//! the notices in one transaction. Nothing is remembered here that cannot be read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::digest::{self, Digest, Entry};
use super::outlets::{Event, Mine, Notice, Outlets, notices};
use super::view::{Spells, spells};
use super::{
    By, Decision, History, IncidentView, LOOKS_BACK_MS, Report, Rules, Spending, decide, dry_run, spending,
    statement,
};
use crate::clock;
use crate::counters::{Counters, Pages};
use crate::desk::incident::{Incident, Life};
use crate::desk::similar::Past;
use crate::store::{Change, Class, Record, RecordFilter, Store, StoreError};
use crate::topology::{Atlas, Declared, Heard, Topology};

/// How often it is decided again: times of day, budgets and silences change by themselves.
const EVERY: Duration = Duration::from_secs(2);
/// What is over for so long explains nothing and is told already.
const RECENT_MS: u64 = 30 * 60_000;
/// For so long after it changed last, what is over and was never decided is decided.
const NEW_MS: u64 = 86_400_000;
/// So often an incident became part of another that became part of another.
const MERGES: usize = 16;
/// Verdicts older than this are history.
const VERDICTS_MS: u64 = 365 * 86_400_000;
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
    /// What came of incidents before.
    past: Arc<Mutex<Past>>,
    /// Up to when documents were read.
    read_ms: u64,
    /// The digest that is known to be made, by when it was due.
    digested_ms: u64,
}

impl Teller {
    /// At this store, for the incidents of these sites.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, rules: Rules, atlas: Arc<Mutex<Atlas>>, mine: Mine) -> Self {
        let (history, past) = (History::default(), Arc::default());
        Self { store, rules, atlas, mine, history, past, read_ms: 0, digested_ms: 0 }
    }

    /// What came of incidents before: read here, and shown elsewhere.
    #[must_use]
    pub fn past(&self) -> Arc<Mutex<Past>> {
        Arc::clone(&self.past)
    }

    /// What is told of an incident in one text.
    fn statement(&self, decision: &Decision, document: &Value) -> String {
        let Ok(incident) = serde_json::from_value::<Incident>(document.clone()) else { return String::new() };
        let similar = self.past.lock().unwrap_or_else(PoisonError::into_inner).similar(&incident);
        statement(&incident, decision.runbook.as_deref(), &similar, self.rules.page_url.as_deref())
    }

    /// Decides once, and makes the digest when it is due. Returns how much of it is news.
    ///
    /// # Errors
    /// If the store fails: then nothing was decided.
    pub fn look(&mut self, now: u64) -> Result<usize, StoreError> {
        let topology = self.atlas.lock().unwrap_or_else(PoisonError::into_inner).present();
        let incidents = self.read(&topology, now)?;
        self.history.learn(now);
        let views: Vec<IncidentView> = incidents.iter().map(|(view, _)| view.clone()).collect();
        let decisions = decide(&views, &self.history, &self.rules, now);
        let (mut changes, mut news) = (Vec::new(), Vec::new());
        // What is over may be forgotten.
        let expired = self.history.silences.iter().filter(|silence| silence.until_ms <= now);
        changes.extend(expired.map(|silence| Change::Put(silence.record(now))));
        for (decision, (view, document)) in decisions.into_iter().zip(&incidents) {
            let before = self.history.decisions.get(&decision.incident);
            let is_mine = view.sites.first().is_none_or(|site| (self.mine)(site));
            if !is_mine || before.is_some_and(|before| !decision.is_news(before)) {
                continue;
            }
            changes.extend(notices(
                before,
                &decision,
                view,
                (document, &self.statement(&decision, document)),
                now,
            ));
            changes.extend(record(&decision, view, now).map(Change::Put));
            news.push(decision);
        }
        if !changes.is_empty() {
            self.store.keep(&changes)?;
        }
        let count = news.len();
        news.into_iter().for_each(|decision| self.history.decided(decision));
        Ok(count + self.digest(&topology, now)?)
    }

    /// Makes the digest that was due last, unless there is one. Whatever stands in none of those before is in it, so that
    /// neither a late start nor another collector's late decision costs a line.
    fn digest(&mut self, topology: &Topology, now: u64) -> Result<usize, StoreError> {
        let Some(daily) = self.rules.digest.filter(|_| !self.rules.outlets.is_empty()) else { return Ok(0) };
        let due_ms = daily.due_ms(now);
        if self.digested_ms == due_ms {
            return Ok(0);
        }
        let since_ms = due_ms.saturating_sub(digest::LOOKS_BACK_MS);
        let all = self.incidents(topology, since_ms, now)?;
        let decided = |id: &String| self.history.decisions.get(id);
        let entries: Vec<Entry<'_>> = all
            .iter()
            .filter_map(|(incident, spells, _)| Some((incident, decided(&incident.id)?, spells.len())))
            .map(|(incident, decision, spells)| Entry { incident, decision, spells })
            .collect();
        let (mut changes, mut waits) = (Vec::new(), false);
        for outlet in self.rules.outlets.iter().map(|outlet| outlet.name.as_str()) {
            let before = self.digests(outlet)?;
            if before.iter().any(|digest| digest.due_ms == due_ms) {
                continue;
            }
            let mut listed: BTreeMap<String, u64> = BTreeMap::new();
            for digest in &before {
                for id in digest.incidents() {
                    let last = listed.entry(id.clone()).or_default();
                    *last = digest.due_ms.max(*last);
                }
            }
            let Some(digest) = Digest::of(outlet, &entries, &listed, &self.rules, due_ms) else { continue };
            // Whoever has one of its sites may make it; the key is the same.
            let named: BTreeSet<&String> = digest.incidents().collect();
            let sites =
                entries.iter().filter(|e| named.contains(&e.incident.id)).flat_map(|e| &e.incident.sites);
            match sites.into_iter().find(|site| (self.mine)(site)) {
                Some(site) => changes.push(Change::Add(digest.notice(outlet, site, now).record(now))),
                None => waits = true,
            }
        }
        if !changes.is_empty() {
            self.store.keep(&changes)?;
        }
        if !waits {
            self.digested_ms = due_ms;
        }
        Ok(changes.len())
    }

    /// The digests of an outlet that there are.
    fn digests(&self, outlet: &str) -> Result<Vec<Digest>, StoreError> {
        let begin = format!("{outlet}/digest-*");
        let found =
            self.store.records(&RecordFilter { key: Some(&begin), ..RecordFilter::all(Class::Notice) })?;
        let of = documents::<Notice>(&found).into_iter().filter(|notice| notice.event == Event::Digest);
        Ok(of.filter_map(|notice| serde_json::from_value(notice.document).ok()).collect())
    }

    /// How the budget stands.
    #[must_use]
    pub fn spending(&self, now: u64) -> Spending {
        spending(&self.history, &self.rules, now)
    }

    /// How many incidents that go on are held back by the budget.
    #[must_use]
    pub fn held_back(&self) -> u64 {
        let held = |d: &&Decision| d.by == By::Budget && d.standing().is_none();
        let open = self.history.past.values().flatten().filter(|o| o.closed_ms.is_none());
        open.filter_map(|o| self.history.decisions.get(&o.incident)).filter(held).count() as u64
    }

    /// Reads what changed, and returns the incidents that are of concern now with their documents.
    fn read(&mut self, topology: &Topology, now: u64) -> Result<Vec<(IncidentView, Value)>, StoreError> {
        let since_ms = match self.read_ms {
            0 => now.saturating_sub(LOOKS_BACK_MS),
            read => read.saturating_sub(SLACK_MS),
        };
        let since = RecordFilter { since_ms, ..RecordFilter::all(Class::Decision) };
        let past = self.past();
        for decision in documents::<Decision>(&self.store.records(&since)?) {
            let mut past = past.lock().unwrap_or_else(PoisonError::into_inner);
            past.runbook(&decision.incident, decision.runbook.as_deref());
            self.history.decided(decision);
        }
        let all = self.incidents(topology, since_ms.min(now.saturating_sub(RECENT_MS)), now)?;
        for (view, spells, _) in &all {
            self.history.spells(view, spells);
        }
        self.read_ms = now;
        self.history.forget(now);
        let mut past = past.lock().unwrap_or_else(PoisonError::into_inner);
        past.forget(now.saturating_sub(LOOKS_BACK_MS));
        past.thought(
            self.history.verdicts.iter().map(|v| (v.incident.as_str(), v.who.as_str(), v.word.word())),
        );
        drop(past);
        let is_of_concern = |view: &IncidentView, document: &Value| {
            let decision = self.history.decisions.get(&view.id);
            let is_recent = view.closed_ms.is_none_or(|closed| closed.saturating_add(RECENT_MS) >= now);
            // What was over before anybody heard of it is decided, too.
            let updated_ms = document["updated_ms"].as_u64().unwrap_or(0);
            let is_new = decision.is_none() && updated_ms.saturating_add(NEW_MS) >= now;
            let is_one = view.merged_into.is_none() && (is_recent || is_new);
            is_one || decision.is_some_and(|d| d.standing().is_some())
        };
        let all = all.into_iter().filter(|(view, _, document)| is_of_concern(view, document));
        Ok(all.map(|(view, _, document)| (view, document)).collect())
    }

    /// Incidents that are open, that changed since, or of which people were told that they go on; and what people said.
    fn incidents(
        &mut self,
        topology: &Topology,
        since_ms: u64,
        now: u64,
    ) -> Result<Vec<(IncidentView, Spells, Value)>, StoreError> {
        let store = &*self.store;
        let open = |class| RecordFilter { open: Some(true), ..RecordFilter::all(class) };
        let verdicts =
            RecordFilter { since_ms: now.saturating_sub(VERDICTS_MS), ..RecordFilter::all(Class::Verdict) };
        self.history.verdicts = documents(&store.records(&verdicts)?);
        self.history.silences = documents(&store.records(&open(Class::Silence))?);
        let mut found = store.records(&open(Class::Incident))?;
        found.extend(store.records(&RecordFilter { since_ms, ..RecordFilter::all(Class::Incident) })?);
        let known: BTreeSet<String> = found.iter().map(|record| record.key.clone()).collect();
        let stands = self.history.decisions.values().filter(|d| d.standing().is_some());
        for id in stands.map(|d| &d.incident).filter(|id| !known.contains(*id)) {
            found.extend(store.records(&RecordFilter::one(Class::Incident, id))?);
        }
        let found: BTreeMap<String, Record> = found.into_iter().map(|r| (r.key.clone(), r)).collect();
        let mut all = Vec::new();
        for record in found.values() {
            let Ok(document) = serde_json::from_str::<Value>(&record.doc) else { continue };
            let Ok(incident) = serde_json::from_value::<Incident>(document.clone()) else { continue };
            // Most begin once.
            let lives = if incident.reopened == 0 {
                Vec::new()
            } else {
                let begin = format!("{}/*", incident.id);
                let of = RecordFilter { key: Some(&begin), ..RecordFilter::all(Class::Life) };
                documents::<Life>(&store.records(&of)?)
            };
            let spells = spells(&incident, &lives);
            self.past.lock().unwrap_or_else(PoisonError::into_inner).note(&incident);
            all.push((IncidentView::of(&incident, &spells, topology), spells, document));
        }
        let ends: BTreeMap<String, (Option<String>, Option<u64>)> = all
            .iter()
            .map(|(view, ..)| (view.id.clone(), (view.merged_into.clone(), view.closed_ms)))
            .collect();
        for (view, ..) in &mut all {
            let first = view.merged_into.as_ref().and_then(|id| ends.get(id));
            let wholes = std::iter::successors(first, |(into, _)| into.as_ref().and_then(|id| ends.get(id)));
            if let Some((_, closed_ms)) = wholes.take(MERGES).last() {
                view.closed_ms = *closed_ms;
            }
        }
        Ok(all)
    }
}

/// What the present rules would have done since then with what is in the store: see [`super::dry_run`].
///
/// # Errors
/// If the store cannot be read.
pub fn last(
    store: Arc<dyn Store>,
    rules: Rules,
    declared: Declared,
    since_ms: u64,
    now: u64,
) -> Result<Report, StoreError> {
    let edges = store.records(&RecordFilter::all(Class::Edge))?;
    let mut atlas = Atlas::new(declared, documents(&edges));
    for device in store.devices()? {
        // What it depends on is known from the edges that were kept.
        drop(atlas.hear(Heard::of(&device)));
    }
    let topology = atlas.present();
    let mut teller = Teller::new(store, rules, Arc::new(Mutex::new(atlas)), Arc::new(|_: &str| true));
    let past = teller.incidents(&topology, since_ms.saturating_sub(LOOKS_BACK_MS), now)?;
    let past: Vec<(IncidentView, Spells)> =
        past.into_iter().map(|(view, spells, _)| (view, spells)).collect();
    Ok(dry_run(&past, &teller.history, &teller.rules, since_ms, now))
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
pub async fn run(mut teller: Teller, outlets: Arc<Outlets>, counters: Arc<Counters>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A teller that failed half-way has lost nothing: the next one reads again.
        let mut next = teller.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let now = clock::wall_ms();
            let looked = next.look(now).map(|news| (news, next.spending(now), next.held_back()));
            (next, looked)
        });
        match looked.await {
            Ok((next, Ok((news, spending, held_back)))) => {
                teller = next;
                let Spending { left, price, realised, .. } = spending;
                counters.spending(Pages { left, price, realised, held_back });
                if news > 0 {
                    outlets.wake();
                }
            }
            Ok((_, Err(e))) => log::error!("what people are told: {e}; it is decided again"),
            Err(e) => log::error!("what people are told: {e}"),
        }
    }
}

#[cfg(test)]
mod tests;
