//! The edge: reads the queues, sends, and keeps what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::client::Client;
use super::notice::Notice;
use super::queue::{State, settled, work};
use super::{Answer, Kind};
use crate::clock;
use crate::notify::Rules;
use crate::store::{Change, Class, Record, RecordFilter, Store, StoreError};

/// Another collector, or a person, may have put a notice into the store: it is looked at this often.
const LOOKS: Duration = Duration::from_secs(5);

/// Whether the notices of a site are ours to send.
pub type Mine = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What an outlet did since the process began, and what waits.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "described where they are shown, in api::metrics")]
pub struct Counts {
    pub sent: AtomicU64,
    pub repeated: AtomicU64,
    pub failed: AtomicU64,
    pub dead: AtomicU64,
    pub waiting: AtomicU64,
}

/// Running outlets.
#[derive(Debug)]
pub struct Outlets {
    counts: BTreeMap<String, Arc<Counts>>,
    wake: Arc<Notify>,
    tasks: Vec<JoinHandle<()>>,
}

impl Outlets {
    /// Begins to send what waits in the store, and goes on until stopped.
    ///
    /// # Errors
    /// If a file of the configuration cannot be used.
    pub fn start(rules: &Rules, store: &Arc<dyn Store>, mine: &Mine) -> anyhow::Result<Self> {
        let wake = Arc::new(Notify::new());
        let (mut counts, mut tasks) = (BTreeMap::new(), Vec::new());
        for outlet in &rules.outlets {
            let of = Arc::new(Counts::default());
            counts.insert(outlet.name.clone(), Arc::clone(&of));
            let client = Client::new(outlet.clone(), rules.page_url.clone())?;
            // It may be put right while notices wait.
            if let Err(e) = client.check() {
                log::warn!("{e:#}; nobody is told until that is right");
            }
            let queue = Queue { client, store: Arc::clone(store), mine: Arc::clone(mine), counts: of };
            tasks.push(tokio::spawn(queue.run(Arc::clone(&wake))));
        }
        Ok(Self { counts, wake, tasks })
    }

    /// There may be something new in the store.
    pub fn wake(&self) {
        self.wake.notify_waiters();
    }

    /// What each outlet did, by its name.
    #[must_use]
    pub fn counts(&self) -> &BTreeMap<String, Arc<Counts>> {
        &self.counts
    }

    /// Stops. What is under way is sent again by whoever starts next, with the same key.
    pub fn stop(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Queue {
    client: Client,
    store: Arc<dyn Store>,
    mine: Mine,
    counts: Arc<Counts>,
}

impl Queue {
    async fn run(self, wake: Arc<Notify>) {
        let mut repeated = BTreeMap::new();
        loop {
            let woken = wake.notified();
            let next = match self.round(&mut repeated).await {
                Ok(next) => next,
                Err(e) => {
                    log::error!("outlet \"{}\": {e}", self.client.outlet.name);
                    None
                }
            };
            let until = next.map_or(LOOKS, |at| Duration::from_millis(at.saturating_sub(clock::wall_ms())));
            // Either way it looks again.
            let _elapsed = tokio::time::timeout(until.min(LOOKS), woken).await;
        }
    }

    /// Sends what is due. Returns when something is due next.
    async fn round(&self, repeated: &mut BTreeMap<String, u64>) -> anyhow::Result<Option<u64>> {
        let notices = self.load().await?;
        let waiting = notices.iter().filter(|n| n.state == State::Waiting).count();
        self.counts.waiting.store(waiting as u64, Ordering::Relaxed);
        repeated.retain(|key, _| notices.iter().any(|n| n.key() == *key));
        let todo = work(&notices, repeated, clock::wall_ms());
        for before in &todo.due {
            let answer = self.client.send(before, clock::wall_ms()).await;
            let now = clock::wall_ms();
            let is_repeated = self.client.outlet.kind == Kind::Alertmanager;
            let after = before.answered(&answer, self.client.outlet.tries, is_repeated, now);
            if after.state == State::Standing {
                repeated.insert(after.key(), now);
            }
            self.count(before, &answer, &after);
            let mut changes: Vec<Change> = Vec::new();
            if before.state == State::Waiting && after.state == State::Dead {
                changes.push(Change::Put(self.trouble(&after, now)));
            }
            changes.extend(settled(before, after, &notices).iter().map(|n| Change::Put(n.record(now))));
            self.keep(changes).await?;
        }
        // What was sent may have made way for something.
        Ok(if todo.due.is_empty() { todo.next_ms } else { Some(0) })
    }

    fn count(&self, before: &Notice, answer: &Answer, after: &Notice) {
        let name = &self.client.outlet.name;
        let add = |count: &AtomicU64| {
            count.fetch_add(1, Ordering::Relaxed);
        };
        match answer {
            Answer::Taken if before.state == State::Standing => add(&self.counts.repeated),
            Answer::Taken => {
                log::info!("outlet \"{name}\": incident {}: {:?}", before.incident, before.event);
                add(&self.counts.sent);
            }
            Answer::Refused(what) | Answer::Later { what, .. } => {
                add(&self.counts.failed);
                log::warn!("outlet \"{name}\": incident {}: {what}", before.incident);
            }
        }
        if before.state == State::Waiting && after.state == State::Dead {
            add(&self.counts.dead);
        }
    }

    /// What people see of a notice that was given up.
    fn trouble(&self, notice: &Notice, now: u64) -> Record {
        let name = &self.client.outlet.name;
        let text = format!(
            "outlet \"{name}\" gave up telling of incident {} after {} tries: {}",
            notice.incident, notice.tries, notice.said
        );
        log::error!("{text}");
        let doc = serde_json::json!({ "text": text, "since_ms": now, "severity": 17 });
        let key = format!("outlet/{}", notice.key());
        Record {
            class: Class::Alert,
            key,
            site: notice.site.clone(),
            at_ms: now,
            is_open: false,
            doc: doc.to_string(),
        }
    }

    async fn load(&self) -> anyhow::Result<Vec<Notice>> {
        let (store, begin) = (Arc::clone(&self.store), format!("{}/*", self.client.outlet.name));
        let found = tokio::task::spawn_blocking(move || -> Result<Vec<Record>, StoreError> {
            let filter =
                RecordFilter { key: Some(&begin), open: Some(true), ..RecordFilter::all(Class::Notice) };
            store.records(&filter)
        })
        .await??;
        let read = |record: Record| match serde_json::from_str(&record.doc) {
            Ok(notice) => Some(notice),
            Err(e) => {
                log::error!("notice {}: {e}", record.key);
                None
            }
        };
        Ok(found.into_iter().filter(|r| (self.mine)(&r.site)).filter_map(read).collect())
    }

    async fn keep(&self, changes: Vec<Change>) -> anyhow::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let store = Arc::clone(&self.store);
        Ok(tokio::task::spawn_blocking(move || store.keep(&changes)).await??)
    }
}
