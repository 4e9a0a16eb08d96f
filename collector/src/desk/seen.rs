//! The signals of sites as they were read last: of a large site only those devices are read again that told something since,
//! or of which something is too old by now. Nothing is here that the store does not have. What is looked at is taken out, and
//! put back when all went well; what is not here is read anew.

use std::collections::{BTreeMap, HashSet};
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
    /// By site and node.
    devices: BTreeMap<(String, String), Span>,
    /// In the order of their keys.
    signals: Vec<Signal>,
}

/// What a device told since any moment of this is what was read, if it told no more.
#[derive(Debug)]
struct Span {
    told: u64,
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
        let mut stale: BTreeMap<(String, String), u64> = BTreeMap::new();
        for site in &self.sites {
            // How often is asked first: what comes in between is read again the next time.
            for (node, told) in store.told_times(site)? {
                let device = (site.clone(), node);
                let is_read =
                    |span: &Span| span.told == told && (span.from_ms..=span.to_ms).contains(&since_ms);
                if !self.devices.get(&device).is_some_and(is_read) {
                    stale.insert(device, told);
                }
            }
        }
        if stale.is_empty() {
            return Ok(&self.signals);
        }
        let times: Vec<u64> = stale.values().copied().collect();
        let names: Vec<(&str, &str)> = stale.keys().map(|(site, node)| (&**site, &**node)).collect();
        let again: HashSet<(&str, &str)> = names.iter().copied().collect();
        self.signals.retain(|s| !again.contains(&(&*s.key.site, &*s.key.node)));
        for (some, times) in names.chunks(DEVICES).zip(times.chunks(DEVICES)) {
            let told = store.told_by(some, since_ms)?;
            let leaves = told.leaves(since_ms);
            for (device @ (site, node), &times) in some.iter().zip(times) {
                let to_ms = leaves.get(device).copied().unwrap_or(u64::MAX);
                let span = Span { told: times, from_ms: since_ms, to_ms };
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fieldmouse_core::wire::{self, Kind, phase, state};
    use proptest::prelude::*;

    use super::*;
    use crate::intake::decode;
    use crate::sample::{self, NOON, Sample};
    use crate::store::Database;

    const MINUTE: u64 = 60_000;
    const NODES: [&str; 3] = ["press-1", "press-2", "gw"];

    /// What a device tells as its `seq`th event, of which it has five of each sort.
    fn sample(what: u8, seq: u64, at: u64) -> (&'static str, Sample) {
        let limit = |phase| {
            sample::body(&sample::forecast(fieldmouse_core::metric::FILESYSTEM_USED, "/", phase, 900))
        };
        let item = match what {
            0 => sample::episode(seq, seq % 5, phase::OPENED, 0),
            1 => sample::episode(seq, seq % 5, phase::CLOSED, 60_000),
            2 => sample::fact(seq, "unit-failed", "unit shop.service failed").of(17),
            3 => sample::trouble(seq, 2, "does not answer"),
            4 => sample::trouble(seq, 0, ""),
            5 => sample::raw(seq, Kind::Forecast, limit(phase::OPENED)).of(13),
            6 => sample::raw(seq, Kind::Forecast, limit(phase::CLOSED)),
            7 => return ("status", sample::status(state::LOST)),
            8 => return ("status", sample::status(state::ONLINE)),
            9 => return ("beat", sample::beat(0, 0)),
            10 => {
                return ("event", sample::fact(seq, "unit-failed", "nobody knew when").of(17).undated(5000));
            }
            _ => {
                let said = wire::ClockSet { epoch: 7, first: 1, last: seq, boot_ms: at };
                sample::raw(seq, Kind::ClockSet, sample::body(&said))
            }
        };
        ("event", item.at(at))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_read_before_and_what_is_read_anew_are_the_same(
            steps in prop::collection::vec((0..3_usize, 0..12_u8, 7..9_u64, 0..600_u64, 0..600_u64, any::<bool>()), 1..60)
        ) {
            let store = Database::in_memory().unwrap();
            let (seen, topology) = (Seen::default(), Arc::new(Topology::default()));
            let sites = ["hall".to_owned()];
            for (n, (node, what, epoch, at, since, is_told)) in steps.into_iter().enumerate() {
                if is_told {
                    let (leaf, item) = sample(what, n as u64 + 1, NOON + at * MINUTE);
                    let payload = Bytes::from(sample::message(NODES[node], epoch, &[item]));
                    let topic = format!("fm/1/hall/{}/{leaf}", NODES[node]);
                    store.commit(&[decode::arrival("fm", &topic, &payload, false, NOON + at * MINUTE)]).unwrap();
                }
                // Time goes on, but what comes late is looked for far back.
                let since = NOON + since.min(n as u64 * 10) * MINUTE;
                let mut known = seen.take(&sites, &topology, NOON);
                let found = known.read(&store, since).unwrap();
                let mut anew = Seen::default().take(&sites, &topology, NOON);
                prop_assert_eq!(found, anew.read(&store, since).unwrap());
                let whole = signal::signals(&store.told(&["hall"], since).unwrap());
                prop_assert_eq!(found, &whole[..]);
                seen.put(known);
            }
        }
    }

    #[test]
    fn only_who_told_something_is_read_again() {
        let store = Database::in_memory().unwrap();
        let tell = |node, seq| {
            let item = sample::episode(seq, seq, phase::OPENED, 0).at(NOON);
            let payload = Bytes::from(sample::message(node, 7, &[item]));
            let topic = format!("fm/1/hall/{node}/event");
            store.commit(&[decode::arrival("fm", &topic, &payload, false, NOON)]).unwrap();
        };
        let (seen, topology, sites) = (Seen::default(), Arc::new(Topology::default()), ["hall".to_owned()]);
        tell("press-1", 1);
        tell("press-2", 1);
        let mut known = seen.take(&sites, &topology, NOON);
        assert_eq!(known.read(&store, NOON).unwrap().len(), 2);
        tell("press-2", 2);
        // By this it is seen what is read again.
        known.signals.iter_mut().for_each(|signal| signal.text = "as before".to_owned());
        let found = known.read(&store, NOON).unwrap();
        let kept = found.iter().filter(|signal| signal.text == "as before").map(|signal| &*signal.key.node);
        assert_eq!((found.len(), kept.collect::<Vec<_>>()), (3, vec!["press-1"]));
        seen.put(known);
        let is_empty = |sites: &[String], topology: &Arc<Topology>, now| {
            seen.take(sites, topology, now).signals.is_empty()
        };
        assert!(is_empty(&["yard".to_owned()], &topology, NOON), "it is of other sites");
        assert!(is_empty(&sites, &Arc::new(Topology::default()), NOON), "things may be placed otherwise now");
        assert!(is_empty(&sites, &topology, NOON), "what was taken out is gone");
    }
}
