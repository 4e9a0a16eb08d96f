//! Edges as documents of the store.

use super::edge::Edge;
use super::entity::site_of;
use crate::store::{Change, Class, Record, RecordFilter, Store, StoreError};

impl Edge {
    /// The change that keeps it, written now: what still holds is never forgotten.
    #[must_use]
    pub fn kept(&self, now_ms: u64) -> Change {
        Change::Put(Record {
            class: Class::Edge,
            key: self.key(),
            site: site_of(&self.from).to_owned(),
            at_ms: now_ms,
            is_open: self.gone.is_none(),
            doc: serde_json::to_string(self).unwrap_or_default(),
        })
    }

    /// Those that are kept and were written since then, by whomever.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn kept_since(store: &dyn Store, since_ms: u64) -> Result<Vec<Self>, StoreError> {
        let records = store.records(&RecordFilter { since_ms, ..RecordFilter::all(Class::Edge) })?;
        Ok(records.iter().filter_map(|r| serde_json::from_str(&r.doc).ok()).collect())
    }

    /// All that are kept. A document that is none is left out.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn all_kept(store: &dyn Store) -> Result<Vec<Self>, StoreError> {
        Self::kept_since(store, 0)
    }
}
