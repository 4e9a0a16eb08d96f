//! The signals of sites as they were read last: of a large site only those devices are read again that told something since,
//! or of which something is too old by now. Nothing is here that the store does not have. What is looked at is taken out, and
//! put back when all went well; what is not here is read anew.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::placing;
use crate::cluster::Sites;
use crate::signal::{self, Signal};
use crate::store::{Store, StoreError};
use crate::topology::Topology;

/// Signals that are kept at most, of all sites together: some 200 MiB.
const MOST: usize = 200_000;
/// After so long everything is read again: what the store forgot by its age is no change of a device.
const ANEW_MS: u64 = 3_600_000;
/// Devices that are read at once.
const DEVICES: usize = 1000;

/// What is kept of each domain, by its first site.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<BTreeMap<String, Domain>>>);

/// What was read of sites that depend on one another.
#[derive(Debug)]
pub(super) struct Domain {
    sites: Vec<String>,
    /// By which the signals were placed.
    topology: Arc<Topology>,
    begun_ms: u64,
    /// Of each site, up to which of its changes it was read.
    numbers: BTreeMap<String, u64>,
    /// By site and node.
    devices: BTreeMap<(String, String), Span>,
    /// In the order of their keys.
    signals: Vec<Signal>,
}

/// What a device told since any moment of this is what was read.
#[derive(Debug)]
struct Span {
    from_ms: u64,
    to_ms: u64,
}

impl Seen {
    /// What is known of these sites, if it still holds.
    pub(super) fn take(&self, sites: &[String], topology: &Arc<Topology>, now: u64) -> Domain {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sites.first().and_then(|site| all.remove(site)).filter(|known| {
            known.sites == sites
                && Arc::ptr_eq(&known.topology, topology)
                && now.saturating_sub(known.begun_ms) < ANEW_MS
        });
        known.unwrap_or_else(|| Domain {
            sites: sites.to_vec(),
            topology: Arc::clone(topology),
            begun_ms: now,
            numbers: BTreeMap::new(),
            devices: BTreeMap::new(),
            signals: Vec::new(),
        })
    }

    /// Keeps it for the next look, at the cost of others if it must be.
    pub(super) fn put(&self, domain: Domain) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: usize = all.values().map(|known| known.signals.len()).sum();
        if kept + domain.signals.len() > MOST {
            all.clear();
        }
        if let Some(first) = domain.sites.first().filter(|_| domain.signals.len() <= MOST) {
            all.insert(first.clone(), domain);
        }
    }

    /// Only what is of these sites is of use from now on.
    pub(super) fn hold(&self, sites: &Sites) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, known| known.sites.iter().all(|site| sites.holds(site)));
    }
}

impl Domain {
    /// All that was told since then, in the order of the keys.
    pub(super) fn read(&mut self, store: &dyn Store, since_ms: u64) -> Result<&[Signal], StoreError> {
        let is_stale = |span: &Span| !(span.from_ms..=span.to_ms).contains(&since_ms);
        let stale = self.devices.iter().filter(|(_, span)| is_stale(span));
        let mut stale: BTreeSet<(String, String)> = stale.map(|(device, _)| device.clone()).collect();
        for site in &self.sites {
            let number = self.numbers.entry(site.clone()).or_default();
            for (node, told) in store.told_after(site, *number)? {
                *number = told.max(*number);
                stale.insert((site.clone(), node));
            }
        }
        if stale.is_empty() {
            return Ok(&self.signals);
        }
        let names: Vec<(&str, &str)> = stale.iter().map(|(site, node)| (&**site, &**node)).collect();
        let again: HashSet<(&str, &str)> = names.iter().copied().collect();
        self.signals.retain(|s| !again.contains(&(&*s.key.site, &*s.key.node)));
        for some in names.chunks(DEVICES) {
            let told = store.told_by(some, since_ms)?;
            let leaves = told.leaves(since_ms);
            for device @ (site, node) in some {
                let to_ms = leaves.get(device).copied().unwrap_or(u64::MAX);
                let span = Span { from_ms: since_ms, to_ms };
                self.devices.insert(((*site).to_owned(), (*node).to_owned()), span);
            }
            let mut signals = signal::signals(&told);
            placing::place(&mut signals, &self.topology);
            self.signals.append(&mut signals);
        }
        self.signals.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(&self.signals)
    }
}
