//! The edge: decides again and again what people are told, from what stands in the store, and keeps what it decided with
//! the notices in one transaction. Nothing is remembered here that cannot be read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::outlets::{Mine, Outlets, notices};
use super::view::{Spells, spells};
use super::{
    By, Decision, History, IncidentView, LOOKS_BACK_MS, Occurrence, Report, Rules, Spending, decide, dry_run,
    spending,
};
use crate::clock;
use crate::counters::{Counters, Pages};
use crate::desk::incident::{Incident, Life};
use crate::store::{Change, Class, Record, RecordFilter, Store, StoreError};
use crate::topology::{Atlas, Declared, Heard, Topology};

/// How often it is decided again: times of day, budgets and silences change by themselves.
const EVERY: Duration = Duration::from_secs(2);
/// What is over for so long explains nothing and is told already.
const RECENT_MS: u64 = 30 * 60_000;
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
        // What is over may be forgotten.
        let expired = self.history.silences.iter().filter(|silence| silence.until_ms <= now);
        changes.extend(expired.map(|silence| Change::Put(silence.record(now))));
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
        for decision in documents::<Decision>(&self.store.records(&since)?) {
            self.history.decided(decision);
        }
        let all = self.incidents(topology, since_ms.min(now.saturating_sub(RECENT_MS)), now)?;
        for (view, spells, _) in &all {
            self.history.spells(view, spells);
        }
        self.read_ms = now;
        self.history.forget(now);
        let is_of_concern = |view: &IncidentView| {
            let decision = self.history.decisions.get(&view.id);
            let is_recent = view.closed_ms.is_none_or(|closed| closed.saturating_add(RECENT_MS) >= now);
            is_recent || decision.is_some_and(|d| d.standing().is_some())
        };
        let all = all.into_iter().filter(|(view, ..)| is_of_concern(view));
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
            all.push((IncidentView::of(&incident, &spells, topology), spells, document));
        }
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

/// What the present rules would have done since then with what is in the store: see [`super::dry_run`].
///
/// # Errors
/// If the store cannot be read.
pub fn last(store: Arc<dyn Store>, rules: Rules, since_ms: u64, now: u64) -> Result<Report, StoreError> {
    let edges = store.records(&RecordFilter::all(Class::Edge))?;
    let mut atlas = Atlas::new(Declared::default(), documents(&edges));
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
                counters.spending(Pages { left: spending.left, realised: spending.realised, held_back });
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
mod tests {
    use serde_json::json;

    use super::super::sample::rules;
    use super::super::{Matcher, Silence, Verdict, Word};
    use super::*;
    use crate::store::Database;

    const MINUTE: u64 = 60_000;
    const DAY: u64 = 24 * 60 * MINUTE;
    const MONDAY: u64 = 1_795_392_000_000;

    const OUTLET: &str =
        "[[outlet]]\nname = \"pager\"\nkind = \"alertmanager\"\nurl = \"http://127.0.0.1:9093\"\n";

    fn put(store: &Arc<dyn Store>, id: &str, revision: u32, priority: u8, onset: u64, closed: Option<u64>) {
        let symptom = json!({
            "site": "home", "node": "nas", "what": "episode", "epoch": 1, "id": 1, "role": "symptom",
            "entity": "home/nas", "onset_ms": onset, "end_ms": closed, "severity": 17, "text": "busy",
        });
        let doc = json!({
            "id": id, "revision": revision, "state": if closed.is_some() { "closed" } else { "open" },
            "sites": ["home"], "title": format!("{id} is busy"), "priority": priority, "priority_why": [],
            "severity": 17, "confidence": 80, "onset_ms": onset, "opened_ms": onset,
            "updated_ms": closed.unwrap_or(onset), "closed_ms": closed, "reopened": 0, "merged_into": null,
            "split_from": null, "causes": [], "impact": { "devices": 1, "entities": ["home/nas"], "dependents": 0 },
            "members": [symptom], "count": 1, "links": [], "patterns": [format!("{id} busy")],
        });
        let read: Incident = serde_json::from_value(doc.clone()).expect("an incident as the desk keeps it");
        let record = Record {
            class: Class::Incident,
            key: read.id,
            site: "home".into(),
            at_ms: read.updated_ms,
            is_open: closed.is_none(),
            doc: doc.to_string(),
        };
        store.keep(&[Change::Put(record)]).unwrap();
    }

    fn teller(store: &Arc<dyn Store>) -> Teller {
        let atlas = Arc::new(Mutex::new(Atlas::new(Declared::default(), [])));
        Teller::new(Arc::clone(store), rules(OUTLET), atlas, Arc::new(|_: &str| true))
    }

    fn notices(store: &Arc<dyn Store>) -> Vec<String> {
        let mut keys: Vec<String> =
            store.records(&RecordFilter::all(Class::Notice)).unwrap().into_iter().map(|r| r.key).collect();
        keys.sort();
        keys
    }

    #[test]
    fn what_was_decided_outlives_the_process() {
        let store: Arc<dyn Store> = Arc::new(Database::in_memory().unwrap());
        put(&store, "disk", 1, 1, MONDAY, None);
        put(&store, "small", 1, 5, MONDAY, None);
        assert_eq!(teller(&store).look(MONDAY).unwrap(), 2);
        assert_eq!(notices(&store), ["pager/disk-1"]);
        // Another process finds the same, and nothing new.
        assert_eq!(teller(&store).look(MONDAY + MINUTE).unwrap(), 0);
        // It is over, and a while later for people, too; whoever looks.
        put(&store, "disk", 2, 1, MONDAY, Some(MONDAY + 5 * MINUTE));
        let mut second = teller(&store);
        assert_eq!(second.look(MONDAY + 6 * MINUTE).unwrap(), 0);
        assert_eq!(second.look(MONDAY + 19 * MINUTE).unwrap(), 0);
        assert_eq!(teller(&store).look(MONDAY + 20 * MINUTE).unwrap(), 1);
        assert_eq!(notices(&store), ["pager/disk-1", "pager/disk-2"]);
        assert_eq!(second.look(MONDAY + 20 * MINUTE).unwrap(), 0, "the other has seen it");
        assert_eq!(notices(&store).len(), 2);
    }

    #[test]
    fn what_people_said_is_heeded_and_taken_back() {
        let store: Arc<dyn Store> = Arc::new(Database::in_memory().unwrap());
        let silence = Silence {
            id: "s1".into(),
            matches: Matcher { site: vec!["home".into()], ..Matcher::default() },
            from_ms: MONDAY,
            until_ms: MONDAY + 60 * MINUTE,
            who: "anna".into(),
            why: "new disk".into(),
        };
        store.keep(&[Change::Put(silence.record(MONDAY))]).unwrap();
        put(&store, "disk", 1, 2, MONDAY, None);
        let mut teller = teller(&store);
        teller.look(MONDAY).unwrap();
        assert!(notices(&store).is_empty());
        let decision = || -> Decision {
            let found = store.records(&RecordFilter::one(Class::Decision, "disk")).unwrap();
            serde_json::from_str(&found[0].doc).unwrap()
        };
        assert_eq!(decision().by, By::Silence);
        assert_eq!(
            decision().why,
            ["silenced by anna until 2026-11-23 01:00 UTC (site home): new disk"],
            "the reason is kept"
        );
        let verdict = Verdict {
            incident: "earlier".into(),
            word: Word::NotUseful,
            who: "ben".into(),
            at_ms: MONDAY,
            note: String::new(),
            pattern: "disk busy".into(),
            causes: Vec::new(),
        };
        store.keep(&[Change::Remove(Class::Silence, "s1".into()), Change::Put(verdict.record())]).unwrap();
        teller.look(MONDAY + MINUTE).unwrap();
        assert_eq!(notices(&store), ["pager/disk-1"], "the silence was taken back");
        let halved = decision();
        assert!(halved.why.contains(&"1 of 1 like it was not useful".to_owned()), "{halved:?}");
        assert!((halved.worth - 0.75 * 0.9 / 2.0).abs() < 1e-6, "{halved:?}");
        // A silence that is over may be forgotten.
        let old = Silence { id: "s2".into(), until_ms: MONDAY + MINUTE, ..silence };
        store.keep(&[Change::Put(old.record(MONDAY))]).unwrap();
        teller.look(MONDAY + 2 * MINUTE).unwrap();
        assert!(!store.records(&RecordFilter::one(Class::Silence, "s2")).unwrap()[0].is_open);
    }

    #[test]
    fn a_dry_run_changes_nothing() {
        let store: Arc<dyn Store> = Arc::new(Database::in_memory().unwrap());
        put(&store, "disk", 2, 1, MONDAY, Some(MONDAY + 5 * MINUTE));
        put(&store, "small", 1, 5, MONDAY + MINUTE, None);
        let report = last(Arc::clone(&store), rules(OUTLET), MONDAY - DAY, MONDAY + DAY).unwrap();
        assert_eq!((report.count("told"), report.count("digest")), (1, 1), "{report}");
        assert!(notices(&store).is_empty());
        assert!(store.records(&RecordFilter::all(Class::Decision)).unwrap().is_empty());
    }
}
