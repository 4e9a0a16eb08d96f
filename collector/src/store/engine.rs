//! What a database has to be able to do. All statements are written once, in the common part of the two dialects:
//! `?1` for a parameter, `CASE` for `iif` and `max` of two, `ON CONFLICT`, `CAST(?1 AS TEXT) IS NULL` where nothing else tells
//! the type, and names qualified where an upsert makes them ambiguous.

use super::StoreError;
use super::value::{Row, Value};

pub(super) type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Each step brings the schema from its index to the next version, written for SQLite. Never edit one that was released:
/// append.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
    include_str!("schema-5.sql"),
    include_str!("schema-6.sql"),
    include_str!("schema-7.sql"),
    include_str!("schema-8.sql"),
    include_str!("schema-9.sql"),
];

/// A connection to a database.
pub(super) trait Engine: Send {
    /// Begins a transaction; on a connection that only reads, one that sees the database as it is now. What another writer changes meanwhile of the same rows makes it fail, never go wrong.
    fn begin(&mut self) -> Result<()>;
    /// Ends it. When this returns, what was written survives a power cut.
    fn commit(&mut self) -> Result<()>;
    /// Ends it as if it had not been.
    fn rollback(&mut self);
    /// Runs a statement; returns how many rows it changed.
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<usize>;
    /// Runs a question.
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>>;
    /// Runs a statement for each of many rows of parameters, and returns what all of them return, in order if it inserts. The
    /// statement has one `VALUES (?1, …)` with as many parameters as a row, and no other; no two rows touch the same row of
    /// the database.
    fn many(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<Vec<Row>>;
    /// After rows came with numbers of their own: the next numbers are higher.
    fn settle(&mut self) -> Result<()>;
    /// Makes the schema, or brings it to this program's version.
    fn migrate(&mut self, steps: &[&str]) -> Result<()>;
}

/// The steps that are left for a database of version `found`.
pub(super) fn steps_left<'s, 't>(steps: &'s [&'t str], found: i64) -> Result<&'s [&'t str]> {
    let left = usize::try_from(found).ok().and_then(|done| steps.get(done..));
    left.ok_or_else(|| StoreError::Newer { found, known: version(steps) })
}

/// The version that all steps lead to.
pub(super) fn version(steps: &[&str]) -> i64 {
    i64::try_from(steps.len()).unwrap_or(i64::MAX)
}

/// Does it all, or nothing.
pub(super) fn transaction<T>(
    db: &mut dyn Engine,
    work: impl FnOnce(&mut dyn Engine) -> Result<T>,
) -> Result<T> {
    db.begin()?;
    match work(db) {
        Ok(done) => db.commit().map(|()| done),
        Err(e) => {
            db.rollback();
            Err(e)
        }
    }
}

/// Runs a question and reads its rows.
pub(super) fn all<T>(
    db: &mut dyn Engine,
    sql: &str,
    params: &[Value],
    row: impl FnMut(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    db.query(sql, params)?.iter().map(row).collect()
}

/// The same of a question with at most one row.
pub(super) fn one<T>(
    db: &mut dyn Engine,
    sql: &str,
    params: &[Value],
    row: impl FnOnce(&Row) -> Result<T>,
) -> Result<Option<T>> {
    db.query(sql, params)?.first().map(row).transpose()
}
