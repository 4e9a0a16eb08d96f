//! What this process did since it started.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::notify::outlets::Counts;
use crate::store::Committed;

/// Upper ends of the histogram of commits, in seconds.
pub const COMMIT_BOUNDS: [f64; 8] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/// Counts of the process. They only rise.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "described where they are shown, in api::metrics")]
pub struct Counters {
    pub messages: AtomicU64,
    pub stored: AtomicU64,
    pub duplicates: AtomicU64,
    pub refused: AtomicU64,
    pub lost: AtomicU64,
    pub newer: AtomicU64,
    pub stale: AtomicU64,
    pub acks: AtomicU64,
    pub connections: AtomicU64,
    pub commit_failures: AtomicU64,
    pub quarantined: AtomicU64,
    pub held_back: AtomicU64,
    pub foreign: AtomicU64,
    /// Members of the cluster that live; 0 where there is none.
    pub members: AtomicU64,
    pub sites_held: AtomicU64,
    pub sites_without: AtomicU64,
    /// Whether the broker has confirmed the subscriptions.
    pub connected: AtomicBool,
    /// Whether the last commit failed and is being tried again.
    pub store_failing: AtomicBool,
    /// When the broker was last gained or lost, in milliseconds since 1970.
    pub connection_changed_ms: AtomicU64,
    store_error: Mutex<Option<String>>,
    outlets: OnceLock<BTreeMap<String, Arc<Counts>>>,
    pages: Mutex<Pages>,
    commits: Mutex<Commits>,
    malformed: Mutex<BTreeMap<&'static str, u64>>,
}

/// How long commits took.
#[derive(Debug, Default, Clone, Copy)]
pub struct Commits {
    /// How many were at most as long as the bound of the same index.
    pub buckets: [u64; COMMIT_BOUNDS.len()],
    /// How many.
    pub count: u64,
    /// Seconds in all.
    pub seconds: f64,
}

/// How the budget for people stands.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Pages {
    /// Incidents that may be told now; negative while in debt.
    pub left: f64,
    /// The worth that is told now.
    pub price: f32,
    /// Incidents told in a period of the budget.
    pub realised: f64,
    /// Open incidents that the budget holds back.
    pub held_back: u64,
}

/// Adds to a counter.
pub fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Counters {
    /// Takes in what a commit did.
    pub fn committed(&self, done: &Committed, took: Duration) {
        add(&self.stored, done.stored);
        add(&self.duplicates, done.duplicates);
        add(&self.refused, done.refused);
        add(&self.lost, done.lost);
        add(&self.newer, done.newer);
        add(&self.stale, done.stale);
        add(&self.foreign, done.foreign);
        for reason in &done.malformed {
            self.malformed(reason);
        }
        let seconds = took.as_secs_f64();
        let mut commits = self.commits.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        commits.count += 1;
        commits.seconds += seconds;
        for (bucket, bound) in commits.buckets.iter_mut().zip(COMMIT_BOUNDS) {
            *bucket += u64::from(seconds <= bound);
        }
    }

    /// How long commits took so far.
    #[must_use]
    pub fn commits(&self) -> Commits {
        *self.commits.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Counts what could not be read.
    pub fn malformed(&self, reason: &'static str) {
        // A poisoned lock still holds numbers.
        let mut malformed = self.malformed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *malformed.entry(reason).or_default() += 1;
    }

    /// What could not be read, by reason.
    #[must_use]
    pub fn reasons(&self) -> BTreeMap<&'static str, u64> {
        self.malformed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Notes that the store took a commit, or why it did not; true if that was not known.
    pub fn store_is(&self, error: Option<&str>) -> bool {
        *self.store_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            error.map(str::to_owned);
        self.store_failing.swap(error.is_some(), Ordering::Relaxed) != error.is_some()
    }

    /// Why the store takes nothing.
    #[must_use]
    pub fn store_error(&self) -> Option<String> {
        self.store_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Says which outlets there are.
    pub fn outlets(&self, counts: BTreeMap<String, Arc<Counts>>) {
        // There is one set of outlets in a process.
        let _known = self.outlets.set(counts);
    }

    /// What each outlet did, by its name.
    #[must_use]
    pub fn of_outlets(&self) -> Vec<(&str, &Counts)> {
        let all = self.outlets.get().into_iter().flatten();
        all.map(|(name, counts)| (name.as_str(), &**counts)).collect()
    }

    /// Notes how the budget stands.
    pub fn spending(&self, pages: Pages) {
        *self.pages.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = pages;
    }

    /// How the budget stands.
    #[must_use]
    pub fn pages(&self) -> Pages {
        *self.pages.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Notes that the broker was gained or lost.
    pub fn connection(&self, connected: bool, now_ms: u64) {
        if self.connected.swap(connected, Ordering::Relaxed) != connected {
            self.connection_changed_ms.store(now_ms, Ordering::Relaxed);
            add(&self.connections, u64::from(connected));
        }
    }
}
