//! How long what is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{ConfigError, as_written, duration, written, wrong};
use crate::store::Kept;

/// How long what is kept.
#[derive(Debug, Clone, Serialize)]
pub struct Retention {
    /// Whatever has no time of its own.
    #[serde(rename = "retention", serialize_with = "as_written")]
    pub all: Duration,
    /// What has.
    #[serde(rename = "keep", skip_serializing_if = "BTreeMap::is_empty", serialize_with = "by_word")]
    pub by: BTreeMap<Kept, Duration>,
}

impl Retention {
    /// How long this is kept.
    #[must_use]
    pub fn of(&self, what: Kept) -> Duration {
        self.by.get(&what).copied().unwrap_or(self.all)
    }

    pub(super) fn mean(w: &written::Store) -> Result<Self, ConfigError> {
        let all = span("store.retention", w.retention.as_deref().unwrap_or("90d"))?;
        let mut by = BTreeMap::new();
        for (word, text) in w.keep.iter().flatten() {
            let key = format!("store.keep.{word}");
            let Some(what) = Kept::ALL.into_iter().find(|kept| kept.word() == word) else {
                let words: Vec<String> = Kept::ALL.iter().map(|kept| format!("`{}`", kept.word())).collect();
                return wrong(&key, &format!("is nothing that is kept: {}", words.join(", ")));
            };
            by.insert(what, span(&key, text)?);
        }
        Ok(Self { all, by })
    }
}

fn span(key: &str, text: &str) -> Result<Duration, ConfigError> {
    duration(text)
        .filter(|d| d.as_secs() >= 3600)
        .map_or_else(|| wrong(key, &format!("\"{text}\" is not a duration of an hour or more: 90d, 12h")), Ok)
}

fn by_word<S: Serializer>(by: &BTreeMap<Kept, Duration>, s: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Span(#[serde(serialize_with = "as_written")] Duration);
    s.collect_map(by.iter().map(|(what, span)| (what.word(), Span(*span))))
}
