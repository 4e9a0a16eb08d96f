//! Documents: what the collector makes of what devices told. A record is found by its class and key, and its text is JSON
//! that only its owner reads.

use super::engine::{Engine, Result, all};
use super::value::values;
use super::write::int;

/// What sort of document. Each is owned by one module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// One problem, as it is now.
    Incident,
    /// One step of an incident's life.
    Life,
    /// How an incident stands with people: whether they were told, and why.
    Decision,
    /// Something to be told to somebody, until it is.
    Notice,
    /// What a person thought of an incident.
    Verdict,
    /// What a person does not want to hear of for a while.
    Silence,
    /// What depends on what.
    Edge,
    /// Signals that came together again and again.
    Pattern,
    /// What a person said of such signals.
    Review,
    /// The health of a service over time.
    Health,
    /// Somebody did something: who, when, what.
    Audit,
    /// Something about the collector itself that people should know.
    Alert,
}

impl Class {
    /// All there are.
    pub const ALL: [Self; 12] = [
        Self::Incident,
        Self::Life,
        Self::Decision,
        Self::Notice,
        Self::Verdict,
        Self::Silence,
        Self::Edge,
        Self::Pattern,
        Self::Review,
        Self::Health,
        Self::Audit,
        Self::Alert,
    ];

    /// As it stands in the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Life => "life",
            Self::Decision => "decision",
            Self::Notice => "notice",
            Self::Verdict => "verdict",
            Self::Silence => "silence",
            Self::Edge => "edge",
            Self::Pattern => "pattern",
            Self::Review => "review",
            Self::Health => "health",
            Self::Audit => "audit",
            Self::Alert => "alert",
        }
    }
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What sort.
    pub class: Class,
    /// Unique within its class.
    pub key: String,
    /// The site it belongs to; empty if to none.
    pub site: String,
    /// When it changed last, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whether it is still of concern: what is open is never forgotten.
    pub is_open: bool,
    /// JSON.
    pub doc: String,
}

/// One change of documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Makes it, or replaces it.
    Put(Record),
    /// Makes it unless there is one of its class and key.
    Add(Record),
    /// Removes it.
    Remove(Class, String),
}

/// Which documents.
#[derive(Debug, Clone)]
pub struct RecordFilter<'a> {
    /// Of this class.
    pub class: Class,
    /// Only this one, or, if it ends with `*`, those that begin so.
    pub key: Option<&'a str>,
    /// Only of this site.
    pub site: Option<&'a str>,
    /// Only those that are open (true) or not (false).
    pub open: Option<bool>,
    /// Only what changed at or after this.
    pub since_ms: u64,
    /// At most so many, those that changed last first.
    pub limit: u32,
}

impl<'a> RecordFilter<'a> {
    /// All of a class.
    #[must_use]
    pub fn all(class: Class) -> Self {
        Self { class, key: None, site: None, open: None, since_ms: 0, limit: u32::MAX }
    }

    /// One document.
    #[must_use]
    pub fn one(class: Class, key: &'a str) -> Self {
        Self { key: Some(key), limit: 1, ..Self::all(class) }
    }
}

pub(super) fn keep(db: &mut dyn Engine, changes: &[Change]) -> Result<()> {
    for change in changes {
        let (record, on_conflict) = match change {
            Change::Put(record) => (
                record,
                "UPDATE SET site = excluded.site, at = excluded.at, is_open = excluded.is_open, doc = excluded.doc",
            ),
            Change::Add(record) => (record, "NOTHING"),
            Change::Remove(class, key) => {
                db.execute("DELETE FROM records WHERE class = ?1 AND key = ?2", &values![class.word(), key])?;
                continue;
            }
        };
        db.execute(
            &format!(
                "INSERT INTO records (class, key, site, at, is_open, doc) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (class, key) DO {on_conflict}"
            ),
            &values![
                record.class.word(),
                &record.key,
                &record.site,
                int(record.at_ms),
                record.is_open,
                &record.doc
            ],
        )?;
    }
    Ok(())
}

pub(super) fn find(db: &mut dyn Engine, f: &RecordFilter<'_>) -> Result<Vec<Record>> {
    let (key, begin) = match f.key {
        Some(key) => match key.strip_suffix('*') {
            Some(begin) => (None, Some(begin)),
            None => (Some(key), None),
        },
        None => (None, None),
    };
    all(
        db,
        "SELECT * FROM records WHERE class = ?1 AND (CAST(?2 AS TEXT) IS NULL OR key = ?2)
         AND (CAST(?3 AS TEXT) IS NULL OR substr(key, 1, length(CAST(?3 AS TEXT))) = ?3)
         AND (CAST(?4 AS TEXT) IS NULL OR site = ?4) AND (CAST(?5 AS BIGINT) IS NULL OR is_open = ?5) AND at >= ?6
         ORDER BY at DESC, key LIMIT ?7",
        &values![f.class.word(), key, begin, f.site, f.open, int(f.since_ms), f.limit],
        |r| {
            Ok(Record {
                class: f.class,
                key: r.get("key")?,
                site: r.get("site")?,
                at_ms: r.get("at")?,
                is_open: r.get("is_open")?,
                doc: r.get("doc")?,
            })
        },
    )
}
