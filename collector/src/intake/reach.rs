//! What is subscribed to: everything, or the sites that a member of a cluster holds; and that we are there.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fieldmouse_core::wire::{self, state};
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Publish};

use super::decode::Leaf;
use super::link::Names;
use super::presence;
use crate::clock;

/// Sites in one packet of subscriptions.
const AT_ONCE: usize = 50;
/// Sites that are unsubscribed from in one turn: each leaf is a packet of its own.
const FEWER_AT_ONCE: usize = 40;

/// What the broker is to send us.
#[derive(Debug)]
pub(super) struct Reach {
    client: AsyncClient,
    names: Names,
    /// None for who is alone.
    sites: Option<Mutex<Subscribed>>,
    /// Somebody said that this collector is not there.
    is_contradicted: AtomicBool,
}

#[derive(Debug, Default)]
struct Subscribed {
    wanted: Arc<BTreeSet<String>>,
    asked: BTreeSet<String>,
}

impl Reach {
    pub(super) fn new(client: AsyncClient, names: Names) -> Self {
        let sites = names.instance.is_some().then(Mutex::default);
        Self { client, names, sites, is_contradicted: AtomicBool::new(false) }
    }

    /// Where the presence of this collector stands; members of a cluster share it.
    pub(super) fn status_topic(&self) -> String {
        status_topic(&self.names)
    }

    /// A connection began. Never waits: the task that calls it empties the queue it writes to.
    pub(super) fn greet(&self) {
        let is_asked = match &self.sites {
            None => self.subscribe(["+"], &Leaf::ALL) && self.announce(),
            // Presence is heard of everywhere: so members find sites, and hear how the broker calls them.
            Some(sites) => {
                sites.lock().unwrap_or_else(PoisonError::into_inner).asked.clear();
                let is_asked = self.subscribe(["+"], &[Leaf::Status]);
                self.catch_up();
                is_asked
            }
        };
        if !is_asked {
            log::error!("could not subscribe: too much is on its way to the broker");
        }
    }

    /// A member's turn: it holds these sites.
    pub(super) fn attend(&self, held: &Arc<BTreeSet<String>>) {
        let Some(sites) = &self.sites else { return };
        sites.lock().unwrap_or_else(PoisonError::into_inner).wanted = Arc::clone(held);
        let is_said = self.catch_up();
        if self.is_contradicted.load(Ordering::Relaxed) && !is_said {
            // What does not fit now is said at the next turn.
            self.announce();
        }
    }

    /// Brings the subscriptions nearer to what is wanted; true if agents were told that we are there. What does not fit
    /// into the queue is for the next turn.
    fn catch_up(&self) -> bool {
        let Some(sites) = &self.sites else { return false };
        let mut sites = sites.lock().unwrap_or_else(PoisonError::into_inner);
        let gained: Vec<String> = sites.wanted.difference(&sites.asked).cloned().collect();
        let mut is_new = false;
        for some in gained.chunks(AT_ONCE) {
            if !self.subscribe(some.iter().map(String::as_str), &Leaf::ALL) {
                break;
            }
            sites.asked.extend(some.iter().cloned());
            is_new = true;
        }
        let given_up: Vec<String> =
            sites.asked.difference(&sites.wanted).take(FEWER_AT_ONCE).cloned().collect();
        for site in given_up {
            let topics = Leaf::ALL.map(|leaf| filter(&self.names, &site, leaf));
            if topics.into_iter().all(|topic| self.client.try_unsubscribe(topic).is_ok()) {
                sites.asked.remove(&site);
            }
        }
        // The broker has the subscriptions before it hears this: what agents send again finds somebody.
        is_new && self.announce()
    }

    /// False if there is no room for it.
    fn subscribe<'s>(&self, sites: impl IntoIterator<Item = &'s str>, leaves: &[Leaf]) -> bool {
        let of = |site: &'s str| leaves.iter().map(move |leaf| filter(&self.names, site, *leaf));
        let filters = sites.into_iter().flat_map(of).map(|path| Filter::new(path, QoS::AtLeastOnce));
        self.client.try_subscribe_many(filters).is_ok()
    }

    /// Says that this collector is there. False if there is no room for it.
    fn announce(&self) -> bool {
        let online = presence::status(&self.names.id, state::ONLINE, clock::wall_ms());
        self.client.try_publish(self.status_topic(), QoS::AtLeastOnce, true, online).is_ok()
    }

    /// Takes in what is said of this collector, by another member or by the broker for one that died; true if it was that.
    pub(super) fn hears(&self, said: &Publish) -> bool {
        if self.sites.is_none() || said.topic != self.status_topic().as_bytes() {
            return false;
        }
        let item = wire::read(&said.payload).ok().and_then(|(_, mut items)| items.next()?.ok());
        let status = item.and_then(|item| wire::read_body::<wire::Status>(item.body).ok());
        self.is_contradicted.store(status.is_none_or(|s| s.state != state::ONLINE), Ordering::Relaxed);
        true
    }
}

/// Where the presence of a collector stands.
pub(super) fn status_topic(names: &Names) -> String {
    format!("{}/1/_collector/{}/status", names.root, names.id)
}

fn filter(names: &Names, site: &str, leaf: Leaf) -> String {
    format!("{}/1/{site}/+/{}", names.root, leaf.word())
}
