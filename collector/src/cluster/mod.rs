//! Several collectors that share one PostgreSQL store, and are one collector to every agent.
//!
//! ```text
//! every second: store.turn() ─► what this member holds ─► door (what is let in), link (what is subscribed to), desk
//! ```
//!
//! Each member has a **life** in the store: a number higher than any before, and a time until which it counts, by the
//! database's clock. Each site names the life that holds it; sites that depend on each other go together. A turn renews the
//! member's own life, ends lives whose time is over, and does the member's part of the [plan](plan::plan), in one
//! transaction. A life that has ended is never renewed: whoever was away for too long begins anew, with nothing.
//!
//! Safety does not hang on time. A commit locks its life against being ended, and reads in the same transaction which of
//! its sites the life still holds; what belongs to others is neither stored nor acknowledged. So a member that was stopped
//! in the middle of a breath can do no harm when it goes on.
//!
//! Agents know one collector: members share its id, and with it its presence and the name in acknowledgements. The broker
//! calls it lost when any member dies; the others contradict. When a member has taken a site, it says that it is online,
//! on which agents send again what nobody has acknowledged.
//!
//! A collector with SQLite, or with a PostgreSQL of its own, holds everything, and nothing of this runs.

pub mod plan;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::counters::Counters;
use crate::intake::{Door, Link};
use crate::store::{Store, StoreError};
use crate::topology::Atlas;
pub use plan::Number;

/// How often a member takes its turn.
const TURN: Duration = Duration::from_secs(1);
/// How long a life lasts without a turn. A member that was killed is missed for so long, and a turn.
pub const LIFE: Duration = Duration::from_secs(6);

/// Which sites a collector looks after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sites {
    /// All there are: it is alone.
    All,
    /// Those that it holds now.
    These(Arc<BTreeSet<String>>),
}

impl Sites {
    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Self::These(Arc::default())
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn holds(&self, site: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(sites) => sites.contains(site),
        }
    }
}

/// What a member brings to its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Its name among the members. A new life of a name ends the one before.
    pub instance: String,
    /// The life it had at its last turn.
    pub life: Option<Number>,
    /// How long it shall last from now.
    pub span: Duration,
    /// Sites that it has heard of.
    pub found: Vec<String>,
    /// Sites that depend on each other, as far as it knows.
    pub together: Vec<BTreeSet<String>>,
}

/// What a member has after its turn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tenure {
    /// Its life; another one than before if that has ended.
    pub life: Number,
    /// How many members live.
    pub members: u32,
    /// The sites it holds.
    pub sites: BTreeSet<String>,
    /// Sites that have no holder at this moment.
    pub without: u32,
}

/// This collector as a member of its cluster.
#[expect(missing_debug_implementations, reason = "a store has nothing to show")]
pub struct Member {
    task: JoinHandle<()>,
    store: Arc<dyn Store>,
    life: watch::Receiver<Option<Number>>,
}

impl Member {
    /// Begins to take its turns.
    #[must_use]
    pub fn start(
        instance: &str,
        atlas: Arc<Mutex<Atlas>>,
        store: Arc<dyn Store>,
        link: Arc<Link>,
        door: Arc<Door>,
        counters: Arc<Counters>,
    ) -> Self {
        let (tell, life) = watch::channel(None);
        let turns =
            Turns { instance: instance.to_owned(), atlas, store: Arc::clone(&store), link, door, counters };
        Self { task: tokio::spawn(turns.run(tell)), store, life }
    }

    /// Gives up everything, so that others need not wait for the end of this life. True if others live, as far as can
    /// be known.
    pub async fn leave(self) -> bool {
        self.task.abort();
        let _cancelled = self.task.await;
        let Some(life) = *self.life.borrow() else { return false };
        let store = self.store;
        match tokio::task::spawn_blocking(move || store.leave(life)).await {
            Ok(Ok(others)) => others > 0,
            Ok(Err(e)) => {
                log::warn!("cluster: left without a word: {e}");
                false
            }
            Err(_) => false,
        }
    }
}

struct Turns {
    instance: String,
    atlas: Arc<Mutex<Atlas>>,
    store: Arc<dyn Store>,
    link: Arc<Link>,
    door: Arc<Door>,
    counters: Arc<Counters>,
}

impl Turns {
    async fn run(self, tell: watch::Sender<Option<Number>>) {
        let mut ticks = tokio::time::interval(TURN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut life, mut is_failing) = (None, false);
        loop {
            ticks.tick().await;
            // Who does not reach the broker is of no use there: its life ends by itself, and others take over.
            if !self.counters.connected.load(Ordering::Relaxed) {
                continue;
            }
            let found = self.door.found();
            match self.turn(life, found.clone()).await {
                Ok(tenure) => {
                    if life.is_some_and(|before| before != tenure.life) {
                        log::warn!("cluster: this member was away for too long, and begins anew");
                    }
                    life = Some(tenure.life);
                    tell.send_replace(life);
                    is_failing = false;
                    self.hold(tenure);
                }
                Err(e) => {
                    self.door.find_again(found);
                    if !std::mem::replace(&mut is_failing, true) {
                        log::error!(
                            "cluster: {e}; others take over the sites of this member unless it passes soon"
                        );
                    }
                }
            }
        }
    }

    async fn turn(&self, life: Option<Number>, found: Vec<String>) -> Result<Tenure, StoreError> {
        let (store, atlas, instance) =
            (Arc::clone(&self.store), Arc::clone(&self.atlas), self.instance.clone());
        let turn = move || {
            let topology = atlas.lock().unwrap_or_else(PoisonError::into_inner).present();
            let together = topology.domains().map(|domain| domain.iter().cloned().collect()).collect();
            store.turn(&Turn { instance, life, span: LIFE, found, together })
        };
        // A task of the runtime that panicked or was cancelled has done nothing.
        tokio::task::spawn_blocking(turn).await.unwrap_or(Err(StoreError::Poisoned))
    }

    fn hold(&self, tenure: Tenure) {
        let (members, without) = (u64::from(tenure.members), u64::from(tenure.without));
        self.counters.members.store(members, Ordering::Relaxed);
        self.counters.sites_without.store(without, Ordering::Relaxed);
        self.counters.sites_held.store(tenure.sites.len() as u64, Ordering::Relaxed);
        let sites = Arc::new(tenure.sites);
        self.door.hold(&sites);
        self.link.attend(&sites);
    }
}
