//! From the broker into the store, and the acknowledgement back.
//!
//! Messages that wait are committed together. Only then is the agent told that it may forget them: if this process, the
//! broker or the machine dies before, they come again, and the store knows them by number.

pub mod decode;
mod link;
pub mod presence;
pub mod quarantine;
mod tls;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::clock;
use crate::config::Remote;
use crate::counters::{Counters, add};
use crate::store::{Committed, Store};
use decode::Arrival;
use link::Inbound;
pub use link::{Asker, Link, Names};

/// Messages of one transaction.
const BATCH: usize = 256;

/// A running intake.
#[derive(Debug)]
pub struct Intake {
    link: Arc<Link>,
    task: JoinHandle<()>,
}

impl Intake {
    /// Starts to connect and to take in.
    ///
    /// # Errors
    /// If a file of the configuration cannot be used.
    pub fn start(
        remote: &Remote,
        names: &Names,
        store: Arc<dyn Store>,
        counters: Arc<Counters>,
    ) -> anyhow::Result<Self> {
        let (link, inbound) = Link::start(remote, names.clone(), Arc::clone(&counters))?;
        let link = Arc::new(link);
        let task = tokio::spawn(take(inbound, Arc::clone(&link), names.root.clone(), store, counters));
        Ok(Self { link, task })
    }

    /// Who asks devices for capsules.
    #[must_use]
    pub fn asker(&self) -> Asker {
        self.link.asker()
    }

    /// Stops taking in and says goodbye. What is not committed stays with the agents.
    pub async fn stop(self) {
        self.task.abort();
        // The task may hold the link until it has noticed.
        let _cancelled = self.task.await;
        if let Some(link) = Arc::into_inner(self.link) {
            link.stop().await;
        }
    }
}

async fn take(
    mut from: mpsc::Receiver<Inbound>,
    link: Arc<Link>,
    root: String,
    store: Arc<dyn Store>,
    counters: Arc<Counters>,
) {
    let mut inbound = Vec::with_capacity(BATCH);
    let asker = link.asker();
    // What came while the last commit ran makes up the next: the busier, the larger, and never a wait for its own sake.
    while from.recv_many(&mut inbound, BATCH).await > 0 {
        add(&counters.messages, inbound.len() as u64);
        let batch: Arc<[Arrival]> = inbound.iter().filter_map(|i| arrival(&root, i)).collect();
        let done = commit(&store, &batch, &counters).await;
        for ack in &done.acks {
            link.acknowledge(ack);
        }
        done.wanted.iter().for_each(|wanted| asker.ask(wanted));
        inbound.clear();
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
                counters.store_failing.store(false, Ordering::Relaxed);
                return done;
            }
            Ok(Err(e)) => e.to_string(),
            Err(e) => e.to_string(),
        };
        add(&counters.commit_failures, 1);
        if !counters.store_failing.swap(true, Ordering::Relaxed) {
            log::error!("{error}; nothing is acknowledged until the store works again");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}
