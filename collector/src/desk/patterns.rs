//! What came together again and again, at each site: learnt from its past, used at once or when a person agrees.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::record;
use crate::correlate::learnt::{self, Pair};
use crate::signal::signals;
use crate::store::{Change, Class, Record, RecordFilter, Store, StoreError};

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

/// A pair as it is kept, and what a person said of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// What came with what.
    #[serde(flatten)]
    pub pair: Pair,
    /// Whether a person wants it used.
    #[serde(default)]
    pub wanted: Option<bool>,
    /// Who said so.
    #[serde(default)]
    pub by: Option<String>,
}

impl Kept {
    /// Whether it is used.
    #[must_use]
    pub fn is_used(&self, learn: Learn) -> bool {
        match learn {
            Learn::Automatic => self.wanted != Some(false),
            Learn::Review => self.wanted == Some(true),
            Learn::Off => false,
        }
    }

    /// The key of its record.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{} + {}", self.pair.names.0, self.pair.names.1)
    }
}

/// Learns from all that a site told before `until_ms`, and returns what is to be used.
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
    let known = store.records(&RecordFilter { site: Some(site), ..RecordFilter::all(Class::Pattern) })?;
    let known: BTreeMap<String, Kept> = known
        .into_iter()
        .filter_map(|Record { key, doc, .. }| Some((key, serde_json::from_str(&doc).ok()?)))
        .collect();
    let (mut used, mut changes) = (Vec::new(), Vec::new());
    for pair in learnt::pairs(&past, reach_ms) {
        let mut kept = Kept { pair, wanted: None, by: None };
        let before = known.get(&kept.key());
        if let Some(before) = before {
            (kept.wanted, kept.by) = (before.wanted, before.by.clone());
        }
        if before != Some(&kept) {
            changes.extend(
                record(Class::Pattern, kept.key(), site, kept.pair.last_ms, true, &kept).map(Change::Put),
            );
        }
        if kept.is_used(learn) {
            used.push(kept.pair.names);
        }
    }
    if !changes.is_empty() {
        store.keep(&changes)?;
    }
    Ok(used)
}
