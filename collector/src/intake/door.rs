//! What is let in: nothing of a device in quarantine, and in a cluster nothing of sites that others hold.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::decode::{self, Leaf, Message};
use super::quarantine::{Case, Quarantine};
use crate::cluster::Sites;

/// Sites that are told of at once; more wait for the next turn.
const FOUND: usize = 1000;

/// The door between link and intake.
#[derive(Debug)]
pub struct Door {
    root: String,
    quarantine: Mutex<Quarantine>,
    sites: watch::Sender<Sites>,
    heard_of: Mutex<HeardOf>,
}

/// Sites that spoke, whoever holds them.
#[derive(Debug, Default)]
struct HeardOf {
    all: BTreeSet<String>,
    new: BTreeSet<String>,
}

/// What to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entrance {
    /// It is for us.
    Open,
    /// The device is in quarantine.
    Quarantine,
    /// Another member looks after it.
    Foreign,
}

impl Door {
    /// For topics below `root`; `rate` is what a device may produce, in events a second.
    #[must_use]
    pub fn new(root: &str, rate: u32, sites: Sites) -> Self {
        Self {
            root: root.to_owned(),
            quarantine: Mutex::new(Quarantine::new(rate)),
            sites: watch::Sender::new(sites),
            heard_of: Mutex::default(),
        }
    }

    /// Whether a message comes in, by its topic alone. What is no topic of a device is for the intake to refuse.
    pub(super) fn entrance(&self, now_ms: u64, topic: &str) -> Entrance {
        let Some((site, node, leaf)) = decode::parts(&self.root, topic) else { return Entrance::Open };
        if !self.is_ours(site, leaf) {
            return Entrance::Foreign;
        }
        // Site and node stand beside each other in the topic.
        let start = topic.len() - leaf.word().len() - 1 - node.len() - 1 - site.len();
        let place = &topic[start..start + site.len() + 1 + node.len()];
        match self.quarantine().lets_in(now_ms, place, leaf) {
            true => Entrance::Open,
            false => Entrance::Quarantine,
        }
    }

    fn is_ours(&self, site: &str, leaf: Leaf) -> bool {
        let sites = self.sites.borrow();
        if *sites == Sites::All {
            return true;
        }
        // Presence is heard of everywhere: so sites are found.
        if leaf == Leaf::Status {
            let mut heard_of = self.heard_of();
            if !heard_of.all.contains(site) && heard_of.new.len() < FOUND {
                heard_of.all.insert(site.to_owned());
                heard_of.new.insert(site.to_owned());
            }
        }
        sites.holds(site)
    }

    /// Counts a message that came in; tells if its device is put aside for it.
    pub(super) fn count(&self, m: &Message) -> Option<Case> {
        self.quarantine().count(m.received_ms, m)
    }

    /// Who is let out now.
    pub(super) fn turn(&self, now_ms: u64) -> Vec<Case> {
        self.quarantine().turn(now_ms)
    }

    /// Who is in quarantine.
    #[must_use]
    pub fn cases(&self) -> Vec<Case> {
        self.quarantine().cases()
    }

    /// From now on these sites are ours.
    pub fn hold(&self, sites: &Arc<BTreeSet<String>>) {
        self.sites.send_if_modified(|now| {
            let is_new = !matches!(now, Sites::These(held) if held == sites);
            if is_new {
                *now = Sites::These(Arc::clone(sites));
            }
            is_new
        });
    }

    /// The sites that are ours, now and as they change.
    #[must_use]
    pub fn sites(&self) -> watch::Receiver<Sites> {
        self.sites.subscribe()
    }

    /// Sites that were not told of yet.
    #[must_use]
    pub fn found(&self) -> Vec<String> {
        std::mem::take(&mut self.heard_of().new).into_iter().collect()
    }

    /// They are still to be told of.
    pub fn find_again(&self, sites: Vec<String>) {
        self.heard_of().new.extend(sites);
    }

    // A poisoned lock still holds what was counted.
    fn quarantine(&self) -> MutexGuard<'_, Quarantine> {
        self.quarantine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard_of(&self) -> MutexGuard<'_, HeardOf> {
        self.heard_of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::decode::Arrival;
    use crate::sample;

    fn sites(names: &[&str]) -> Arc<BTreeSet<String>> {
        Arc::new(names.iter().map(|n| (*n).to_owned()).collect())
    }

    #[test]
    fn a_member_takes_what_it_holds_and_finds_the_rest() {
        let door = Door::new("fm", 1000, Sites::none());
        assert_eq!(door.entrance(0, "fm/1/hall/a/event"), Entrance::Foreign);
        assert_eq!(door.entrance(0, "fm/1/hall/a/status"), Entrance::Foreign);
        assert_eq!(door.entrance(0, "fm/1/yard/a/status"), Entrance::Foreign);
        assert_eq!(door.found(), ["hall", "yard"]);
        door.hold(&sites(&["hall"]));
        assert_eq!(door.entrance(0, "fm/1/hall/a/event"), Entrance::Open);
        assert_eq!(door.entrance(0, "fm/1/hall/a/status"), Entrance::Open);
        assert_eq!(door.entrance(0, "fm/1/yard/a/event"), Entrance::Foreign);
        // What is no topic of a device is refused where it is counted.
        assert_eq!(door.entrance(0, "fm/1/Yard/a/event"), Entrance::Open);
        assert_eq!(door.entrance(0, "fm/1/hall/a/status"), Entrance::Open);
        assert!(door.found().is_empty(), "each is told of once");
        door.find_again(vec!["yard".into()]);
        assert_eq!(door.found(), ["yard"]);
    }

    #[test]
    fn who_is_alone_takes_all_but_whoever_floods() {
        let door = Door::new("fm", 1, Sites::All);
        let items: Vec<_> = (1..100).map(|n| sample::fact(n, "n", "x")).collect();
        let payload = sample::message("a", 1, &items);
        let Arrival::Message(m) = decode::arrival("fm", "fm/1/hall/a/event", &payload, false, 0) else {
            panic!("it is a message")
        };
        assert_eq!(door.entrance(0, "fm/1/hall/a/event"), Entrance::Open);
        assert_eq!(door.count(&m).map(|c| c.node), Some("a".to_owned()));
        assert_eq!(door.entrance(0, "fm/1/hall/a/event"), Entrance::Quarantine);
        assert_eq!(door.entrance(0, "fm/1/hall/b/event"), Entrance::Open);
        assert_eq!(door.entrance(0, "fm/1/hal/la/event"), Entrance::Open);
        assert!(door.found().is_empty());
    }
}
