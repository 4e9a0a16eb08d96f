//! What came together again and again, at each site: learnt from its past, used at once or when a person agrees.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Desk;
use super::outcome::record;
use crate::correlate::learnt::{Pair, pairs};
use crate::signal::signals;
use crate::store::{Change, Class, Record, RecordFilter, Store, StoreError};
use crate::topology::site_of;

/// How far back is looked.
const PAST_MS: u64 = 30 * 86_400_000;
/// How often.
pub(super) const EVERY_MS: u64 = 3_600_000;

/// Whether what was learnt is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Learn {
    /// At once, unless a person said no.
    #[default]
    Automatic,
    /// When a person said yes.
    Review,
    /// Never.
    Off,
}

/// What a person said of a pair. Kept as a document, one of each pair; it holds until it is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// What came with what.
    pub names: (String, String),
    /// Whether it is to be used.
    pub wanted: bool,
    /// Who said so.
    pub by: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// What people said, by names.
pub type Reviews = BTreeMap<(String, String), Review>;

impl Review {
    /// As it is kept.
    #[must_use]
    pub fn record(&self) -> Option<Record> {
        record(Class::Review, key(&self.names), site(&self.names), self.at_ms, true, self)
    }
}

/// Under which key a pair is kept, and what was said of it.
#[must_use]
pub fn key(names: &(String, String)) -> String {
    format!("{} + {}", names.0, names.1)
}

/// Where a pair is.
#[must_use]
pub fn site(names: &(String, String)) -> &str {
    site_of(names.0.split(' ').next().unwrap_or_default())
}

/// Whether a pair is used of which this was said.
#[must_use]
pub fn is_used(learn: Learn, review: Option<&Review>) -> bool {
    match learn {
        Learn::Automatic => review.is_none_or(|said| said.wanted),
        Learn::Review => review.is_some_and(|said| said.wanted),
        Learn::Off => false,
    }
}

/// All that people said.
///
/// # Errors
/// If the store cannot be read.
pub fn reviews(store: &dyn Store) -> Result<Reviews, StoreError> {
    let records = store.records(&RecordFilter::all(Class::Review))?;
    let all = records.iter().filter_map(|r| serde_json::from_str::<Review>(&r.doc).ok());
    Ok(all.map(|review| (review.names.clone(), review)).collect())
}

/// What was learnt, of one site or of all.
///
/// # Errors
/// If the store cannot be read.
pub fn learnt(store: &dyn Store, site: Option<&str>) -> Result<Vec<Pair>, StoreError> {
    let records = store.records(&RecordFilter { site, ..RecordFilter::all(Class::Pattern) })?;
    Ok(records.iter().filter_map(|r| serde_json::from_str(&r.doc).ok()).collect())
}

impl Desk {
    /// Reads what people said of what was learnt, here or at another collector. Returns the sites that are to be looked at
    /// because of it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn listen(&mut self, now: u64) -> Result<BTreeMap<String, u64>, StoreError> {
        let after = reviews(&*self.store)?;
        let before = std::mem::replace(&mut self.reviews, after);
        let wanted = |of: &Reviews, names| of.get(names).map(|review| review.wanted);
        let all = before.keys().chain(self.reviews.keys());
        let changed = all.filter(|names| wanted(&before, *names) != wanted(&self.reviews, *names));
        Ok(changed.map(|names| (site(names).to_owned(), now)).collect())
    }
}

/// Learns from all that a site told before `until_ms`, and returns what came together; whether it is used is another matter.
pub(super) fn learn(
    store: &dyn Store,
    site: &str,
    until_ms: u64,
    reach_ms: u64,
    learn: Learn,
) -> Result<Vec<(String, String)>, StoreError> {
    if learn == Learn::Off {
        return Ok(Vec::new());
    }
    let mut past = signals(&store.told(&[site], until_ms.saturating_sub(PAST_MS))?);
    past.retain(|signal| signal.onset_ms < until_ms);
    let mut known: BTreeMap<String, Pair> =
        learnt(store, Some(site))?.into_iter().map(|pair| (key(&pair.names), pair)).collect();
    let (mut names, mut changes) = (Vec::new(), Vec::new());
    for pair in pairs(&past, reach_ms) {
        let key = key(&pair.names);
        if known.remove(&key).as_ref() != Some(&pair) {
            changes.extend(record(Class::Pattern, key, site, pair.last_ms, true, &pair).map(Change::Put));
        }
        names.push(pair.names);
    }
    // What came together too long ago is none any more.
    changes.extend(known.into_keys().map(|key| Change::Remove(Class::Pattern, key)));
    if !changes.is_empty() {
        store.keep(&changes)?;
    }
    Ok(names)
}
