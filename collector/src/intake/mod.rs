//! From the broker into the store, and the acknowledgement back.
//!
//! Messages that wait are committed together. Only then is the agent told that it may forget them: if this process, the
//! broker or the machine dies before, they come again, and the store knows them by number.

mod answers;
pub mod decode;
mod door;
mod link;
pub mod presence;
pub mod quarantine;
mod reach;
mod rounds;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock;
use crate::cluster::{Member, Sites};
use crate::config::Remote;
use crate::counters::{Counters, add};
use crate::desk::Bell;
use crate::store::{Committed, Store};
use crate::topology::Atlas;
use decode::Arrival;
pub use door::Door;
use link::Inbound;
pub use link::{Asker, Link, Names};

/// The most messages of one transaction.
pub const BATCH: usize = 2048;
/// Dead letters of one second that are kept; more are counted alone.
const LETTERS: u32 = 100;

/// A running intake.
#[expect(missing_debug_implementations, reason = "a store has nothing to show")]
pub struct Intake {
    link: Arc<Link>,
    door: Arc<Door>,
    take: JoinHandle<()>,
    rounds: JoinHandle<()>,
    member: Option<Member>,
}

impl Intake {
    /// Starts to connect and to take in. A device may produce `rate` events a second.
    ///
    /// # Errors
    /// If a file of the configuration cannot be used.
    pub fn start(
        remote: &Remote,
        names: &Names,
        rate: u32,
        atlas: &Arc<Mutex<Atlas>>,
        store: Arc<dyn Store>,
        counters: Arc<Counters>,
        bell: Bell,
    ) -> anyhow::Result<Self> {
        let sites = if names.instance.is_some() { Sites::none() } else { Sites::All };
        let door = Arc::new(Door::new(&names.root, rate, sites));
        let (link, inbound) = Link::start(remote, names.clone(), Arc::clone(&door), Arc::clone(&counters))?;
        let link = Arc::new(link);
        let member = names.instance.as_ref().map(|instance| {
            let (link, door) = (Arc::clone(&link), Arc::clone(&door));
            Member::start(instance, Arc::clone(atlas), Arc::clone(&store), link, door, Arc::clone(&counters))
        });
        let rounds = tokio::spawn(rounds::run(Arc::clone(&door), Arc::clone(&store)));
        let take = Take {
            link: Arc::clone(&link),
            door: Arc::clone(&door),
            root: names.root.clone(),
            store,
            counters,
            bell,
        };
        Ok(Self { link, door, take: tokio::spawn(take.run(inbound)), rounds, member })
    }

    /// Who asks devices for capsules.
    #[must_use]
    pub fn asker(&self) -> Asker {
        self.link.asker()
    }

    /// The sites that this collector looks after, now and as they change.
    #[must_use]
    pub fn sites(&self) -> watch::Receiver<Sites> {
        self.door.sites()
    }

    /// Who is let in.
    #[must_use]
    pub fn door(&self) -> Arc<Door> {
        Arc::clone(&self.door)
    }

    /// Stops taking in and says goodbye. What is not committed stays with the agents.
    pub async fn stop(self) {
        for task in [self.take, self.rounds] {
            task.abort();
            // The task may hold the link until it has noticed.
            let _cancelled = task.await;
        }
        let others_live = match self.member {
            Some(member) => member.leave().await,
            None => false,
        };
        if let Some(link) = Arc::into_inner(self.link) {
            link.stop(others_live).await;
        }
    }
}

struct Take {
    link: Arc<Link>,
    door: Arc<Door>,
    root: String,
    store: Arc<dyn Store>,
    counters: Arc<Counters>,
    bell: Bell,
}

impl Take {
    async fn run(self, mut from: mpsc::Receiver<Inbound>) {
        let mut inbound = Vec::with_capacity(BATCH);
        let mut letters = Letters::default();
        let asker = self.link.asker();
        // What came while the last commit ran makes up the next: the busier, the larger, and never a wait for its own sake.
        while from.recv_many(&mut inbound, BATCH).await > 0 {
            add(&self.counters.messages, inbound.len() as u64);
            let arrivals = inbound.iter().filter_map(|i| arrival(&self.root, i));
            let batch: Arc<[Arrival]> =
                arrivals.filter(|a| self.is_worth_a_commit(a, &mut letters)).collect();
            inbound.clear();
            if batch.is_empty() {
                continue;
            }
            let done = commit(&self.store, &batch, &self.counters).await;
            for ack in &done.acks {
                self.link.acknowledge(ack);
            }
            self.bell.ring(&done);
            done.wanted.iter().for_each(|wanted| asker.ask(wanted));
        }
    }

    fn is_worth_a_commit(&self, arrival: &Arrival, letters: &mut Letters) -> bool {
        match arrival {
            Arrival::Message(m) => {
                if let Some(case) = self.door.count(m) {
                    add(&self.counters.quarantined, 1);
                    let seconds = (case.until - case.since) / 1000;
                    log::warn!("{}/{} floods: it is in quarantine for {seconds} s", case.site, case.node);
                }
                true
            }
            Arrival::Refused(letter) => {
                let is_kept = letters.has_room(letter.received_ms);
                if !is_kept {
                    self.counters.malformed(letter.reason);
                }
                is_kept
            }
        }
    }
}

/// How many dead letters were kept lately: whoever sends nothing but rubbish does not fill the database with it.
#[derive(Debug, Default)]
struct Letters {
    second: u64,
    kept: u32,
}

impl Letters {
    fn has_room(&mut self, now_ms: u64) -> bool {
        let second = now_ms / 1000;
        if second != self.second {
            *self = Self { second, kept: 0 };
        }
        self.kept += 1;
        self.kept <= LETTERS
    }
}

/// None for the presence of collectors, which the filter for devices catches too.
fn arrival(root: &str, i: &Inbound) -> Option<Arrival> {
    let p = &i.publish;
    let Ok(topic) = std::str::from_utf8(&p.topic) else {
        return Some(Arrival::Refused(decode::DeadLetter::new("", "topic", &p.payload, i.received_ms)));
    };
    let place = topic.strip_prefix(root).and_then(|rest| rest.strip_prefix("/1/"));
    if place.is_some_and(|place| place.starts_with("_collector/")) {
        return None;
    }
    Some(decode::arrival(root, topic, &p.payload, p.retain, i.received_ms))
}

/// Commits, and tries again until it can: a full disk must not cost what was already taken in.
async fn commit(store: &Arc<dyn Store>, batch: &Arc<[Arrival]>, counters: &Counters) -> Committed {
    let mut pause = Duration::from_millis(100);
    loop {
        let started = clock::instant();
        let (to, what) = (Arc::clone(store), Arc::clone(batch));
        let error = match tokio::task::spawn_blocking(move || to.commit(&what)).await {
            Ok(Ok(done)) => {
                counters.committed(&done, started.elapsed());
                if counters.store_failing.load(Ordering::Relaxed) && counters.store_is(None) {
                    log::info!("the store works again");
                }
                return done;
            }
            Ok(Err(e)) => e.to_string(),
            Err(e) => e.to_string(),
        };
        add(&counters.commit_failures, 1);
        if counters.store_is(Some(&error)) {
            log::error!("{error}; nothing is acknowledged until the store works again");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}
