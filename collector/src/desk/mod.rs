//! What the collector makes of what devices told: incidents.
//!
//! Nothing here is remembered that cannot be read again. Whatever a commit touched is loaded anew from the store, grouped,
//! diagnosed and compared with the incidents there are; the difference is written in one transaction. So a crash loses
//! nothing, another collector can take over at any time, and what comes late or twice ends in the same incidents.

mod diagnosis;
mod draft;
pub mod incident;
mod life;
mod outcome;
pub mod patterns;
mod placing;
mod seen;
pub mod similar;
mod task;
#[cfg(test)]
mod tests;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use life::span;
pub use task::{Bell, run};

use crate::cluster::Sites;
use crate::correlate::{self, Depends, Rules};
use crate::store::{Change, Class, RecordFilter, Store, StoreError};
use crate::topology::{Atlas, Declared, Edge, Heard, Topology, site_of};
use draft::Horizon;
use incident::{Incident, State};
use outcome::{Outcome, outcome, stuck, write};
use patterns::{Learn, Reviews};
use seen::Seen;

/// So far back is looked at least: what is older is decided.
const BACK_MS: u64 = 2 * 3_600_000;
/// And at most, for an incident that goes on.
const FAR_BACK_MS: u64 = 24 * 3_600_000;
/// In a cluster, how often is read what the others wrote of who depends on whom.
const REREAD_MS: u64 = 5_000;
/// The clocks of two collectors are no further apart.
const SKEW_MS: u64 = 120_000;
/// So old what began must be before it is an incident.
const HOLD_MS: u64 = 10_000;

/// Who makes incidents of signals.
#[derive(Clone)]
pub struct Desk {
    store: Arc<dyn Store>,
    rules: Rules,
    atlas: Arc<Mutex<Atlas>>,
    /// Whether what came together again and again is used.
    learn: Learn,
    /// Of each site: when it was last learnt from, and what.
    pairs: BTreeMap<String, (u64, Vec<(String, String)>)>,
    /// What people said of what was learnt.
    reviews: Reviews,
    /// When a site's incidents may be over, by site.
    due: BTreeMap<String, u64>,
    sites: Sites,
    /// Sites that were taken over, and whose devices are to be heard.
    gained: BTreeSet<String>,
    /// When was last read what others wrote of who depends on whom.
    read_ms: u64,
    seen: Seen,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("rules", &self.rules).field("due", &self.due).finish_non_exhaustive()
    }
}

/// What one look did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Looked {
    /// Incidents that were written.
    pub incidents: usize,
    /// Steps of their lives.
    pub steps: usize,
}

impl Desk {
    /// At this store, with all that was ever learnt of what depends on what, looking after these sites at first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn new(
        store: Arc<dyn Store>,
        rules: Rules,
        learn: Learn,
        declared: Declared,
        sites: Sites,
        now: u64,
    ) -> Result<Self, StoreError> {
        let mut atlas = Atlas::new(declared, Edge::all_kept(&*store)?);
        let mut edges: Vec<Edge> =
            store.devices()?.iter().flat_map(|device| atlas.hear(Heard::of(device))).collect();
        edges.extend(atlas.declare(now, &sites));
        let desk = Self {
            reviews: patterns::reviews(&*store)?,
            store,
            rules,
            atlas: Arc::new(Mutex::new(atlas)),
            learn,
            pairs: BTreeMap::new(),
            due: BTreeMap::new(),
            sites,
            gained: BTreeSet::new(),
            read_ms: now,
            seen: Seen::default(),
        };
        desk.keep(&edges, now)?;
        Ok(desk)
    }

    /// What depends on what, to be asked and corrected.
    #[must_use]
    pub fn atlas(&self) -> Arc<Mutex<Atlas>> {
        Arc::clone(&self.atlas)
    }

    fn keep(&self, edges: &[Edge], now: u64) -> Result<(), StoreError> {
        let changes: Vec<Change> = edges.iter().map(|edge| edge.kept(now)).collect();
        if changes.is_empty() { Ok(()) } else { self.store.keep(&changes) }
    }

    /// These devices said what they are.
    ///
    /// # Errors
    /// If the store fails.
    pub fn hear(&self, born: &BTreeSet<(String, String)>, now: u64) -> Result<(), StoreError> {
        let mut edges = Vec::new();
        for (site, node) in born {
            if let Some(device) = self.store.device(site, node)? {
                edges.extend(
                    self.atlas.lock().unwrap_or_else(PoisonError::into_inner).hear(Heard::of(&device)),
                );
            }
        }
        if !born.is_empty() {
            // Names in the declared file may stand for these.
            let mut atlas = self.atlas.lock().unwrap_or_else(PoisonError::into_inner);
            edges.extend(atlas.declare(now, &self.sites));
        }
        self.keep(&edges, now)
    }

    /// In a cluster, takes in what others wrote of who depends on whom, and what the devices of sites that were taken over
    /// say of themselves; which of our sites are to be looked at again for it, and since when.
    ///
    /// # Errors
    /// If the store fails.
    pub fn catch_up(&mut self, now: u64) -> Result<BTreeMap<String, u64>, StoreError> {
        let is_due = now >= self.read_ms.saturating_add(REREAD_MS) || !self.gained.is_empty();
        if self.sites == Sites::All || !is_due {
            return Ok(BTreeMap::new());
        }
        let kept = Edge::kept_since(&*self.store, self.read_ms.saturating_sub(SKEW_MS))?;
        let mut edges = self.atlas.lock().unwrap_or_else(PoisonError::into_inner).learn(kept);
        if !self.gained.is_empty() {
            let mut heard = self.store.devices()?;
            heard.retain(|device| self.gained.contains(&device.site));
            let mut atlas = self.atlas.lock().unwrap_or_else(PoisonError::into_inner);
            let mut own: Vec<Edge> = heard.iter().flat_map(|device| atlas.hear(Heard::of(device))).collect();
            own.extend(atlas.declare(now, &self.sites));
            drop(atlas);
            self.keep(&own, now)?;
            self.gained.clear();
            edges.append(&mut own);
        }
        self.read_ms = now;
        let sites = edges.iter().flat_map(|e| [&e.from, &e.to]).map(|name| site_of(name));
        Ok(sites.filter(|site| self.sites.holds(site)).map(|site| (site.to_owned(), now)).collect())
    }

    fn topology(&self) -> Arc<Topology> {
        self.atlas.lock().unwrap_or_else(PoisonError::into_inner).present()
    }

    /// The sites that must be looked at after a start, or when they are taken over: what is open, and what told something
    /// while nobody looked.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn unseen(&self, now: u64) -> Result<BTreeMap<String, u64>, StoreError> {
        let open = RecordFilter { open: Some(true), ..RecordFilter::all(Class::Incident) };
        let mut sites: BTreeMap<String, u64> =
            self.store.records(&open)?.into_iter().map(|record| (record.site, now)).collect();
        for device in self.store.devices()? {
            if device.seen_at.saturating_add(FAR_BACK_MS) >= now || device.open_episodes > 0 {
                sites.insert(device.site, now.saturating_sub(FAR_BACK_MS));
            }
        }
        Ok(sites)
    }

    /// These are the sites that this collector looks after from now on; since when those that are new must be looked at.
    pub fn hold(&mut self, sites: &Sites, now: u64) -> BTreeMap<String, u64> {
        let before = std::mem::replace(&mut self.sites, sites.clone());
        self.due.retain(|site, _| sites.holds(site));
        self.seen.hold(sites);
        let Sites::These(sites) = sites else { return BTreeMap::new() };
        let is_new = |site: &&String| before == Sites::All || !before.holds(site);
        let new: BTreeMap<String, u64> =
            sites.iter().filter(is_new).map(|site| (site.clone(), now.saturating_sub(FAR_BACK_MS))).collect();
        self.gained.extend(new.keys().cloned());
        new
    }

    /// The next time at which something is to be looked at though nothing was told.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        let reread = (self.sites != Sites::All).then(|| self.read_ms.saturating_add(REREAD_MS));
        self.due.values().copied().chain(reread).min()
    }

    /// Looks at the sites that were touched, each since the earliest time that was spoken of, and at those that are due.
    ///
    /// # Errors
    /// If the store fails: then all of them are to be looked at again.
    pub fn look(&mut self, mut touched: BTreeMap<String, u64>, now: u64) -> Result<Looked, StoreError> {
        let is_due = |(site, at): (&String, &u64)| (*at <= now).then(|| site.clone());
        for site in self.due.iter().filter_map(is_due).collect::<Vec<_>>() {
            touched.entry(site).or_insert(now);
        }
        touched.retain(|site, _| self.sites.holds(site));
        let topology = self.topology();
        let mut looked = Looked::default();
        while let Some((site, since)) = touched.pop_first() {
            let mut sites = topology.domain(&site);
            sites.retain(|site| self.sites.holds(site));
            let earliest = sites.iter().filter_map(|s| touched.remove(s)).fold(since, u64::min);
            let done = self.domain(&sites, earliest, &topology, now)?;
            looked.incidents += done.incidents;
            looked.steps += done.steps;
        }
        Ok(looked)
    }

    fn domain(
        &mut self,
        sites: &[String],
        touched_ms: u64,
        topology: &Arc<Topology>,
        now: u64,
    ) -> Result<Looked, StoreError> {
        // What was changed before it began, and what it goes on from.
        let reach = self.rules.before_ms.max(self.rules.window_ms);
        let early = touched_ms.min(now.saturating_sub(BACK_MS)).saturating_sub(reach);
        let mut known = BTreeMap::new();
        self.recall(sites, Some(true), 0, &mut known)?;
        self.recall(sites, None, early, &mut known)?;
        // What goes on, or ended since, is looked at from its beginning.
        let is_lasting =
            |k: &&Incident| k.state != State::Merged && k.closed_ms.is_none_or(|end| end >= early);
        let onset = known.values().filter(is_lasting).map(|k| k.onset_ms).min().unwrap_or(early);
        let since = early.min(onset.max(now.saturating_sub(FAR_BACK_MS)).saturating_sub(reach));
        // And of each signal since then it is known what it was part of.
        self.recall(sites, None, since, &mut known)?;
        let known: Vec<Incident> = known.into_values().collect();
        let mut seen = self.seen.take(sites, topology, now);
        let signals = seen.read(&*self.store, since)?;
        let stuck = stuck(&known, signals, since);
        let rules = Rules { pairs: self.pairs(sites, now)?, ..self.rules.clone() };
        let groups = correlate::correlate(signals, &**topology, &rules, &stuck);
        let horizon = Horizon { signals_ms: since, causes_ms: since.saturating_add(self.rules.before_ms) };
        let (now_known, held) = outcome(&known, signals, &groups, topology, horizon, now);
        self.seen.put(seen);
        let (mut changes, mut done) = (Vec::new(), Looked::default());
        for Outcome { before, after, .. } in &now_known {
            write(*before, after, &mut changes, &mut done);
        }
        if !changes.is_empty() {
            self.store.keep(&changes)?;
        }
        let due = now_known.iter().filter_map(|outcome| outcome.due).chain(held).min();
        for site in sites {
            self.due.remove(site);
        }
        if let (Some(due), Some(site)) = (due, sites.first()) {
            self.due.insert(site.clone(), due);
        }
        Ok(done)
    }

    /// What came together again and again, learnt from all that is decided.
    fn pairs(&mut self, sites: &[String], now: u64) -> Result<Vec<(String, String)>, StoreError> {
        let mut all = Vec::new();
        for site in sites {
            let is_old =
                self.pairs.get(site).is_none_or(|(at, _)| now.saturating_sub(*at) >= patterns::EVERY_MS);
            if is_old {
                let until = now.saturating_sub(BACK_MS);
                let learnt = patterns::learn(&*self.store, site, until, self.rules.reach_ms, self.learn)?;
                self.pairs.insert(site.clone(), (now, learnt));
            }
            let learnt = self.pairs.get(site).into_iter().flat_map(|(_, pairs)| pairs);
            all.extend(
                learnt.filter(|names| patterns::is_used(self.learn, self.reviews.get(*names))).cloned(),
            );
        }
        Ok(all)
    }

    /// Adds the incidents of these sites that changed since then, or only those that are open.
    fn recall(
        &self,
        sites: &[String],
        open: Option<bool>,
        since_ms: u64,
        known: &mut BTreeMap<String, Incident>,
    ) -> Result<(), StoreError> {
        for site in sites {
            let of = RecordFilter { site: Some(site), open, since_ms, ..RecordFilter::all(Class::Incident) };
            for record in self.store.records(&of)? {
                let Entry::Vacant(new) = known.entry(record.key) else { continue };
                match serde_json::from_str(&record.doc) {
                    Ok(incident) => drop(new.insert(incident)),
                    Err(e) => log::error!("incident {}: {e}; it is left as it is", new.key()),
                }
            }
        }
        Ok(())
    }
}
