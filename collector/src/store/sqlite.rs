//! The SQLite engine: a file, or memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, Statement, params_from_iter};

use super::engine::{Engine, Result, steps_left, version};
use super::value::{Row, Type, Value};

const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a database file.
#[derive(Debug)]
pub(super) struct Sqlite {
    db: Connection,
    place: String,
    writes: bool,
}

impl Sqlite {
    /// To write. None: in memory.
    pub(super) fn writer(path: Option<&Path>) -> Result<Self> {
        let db = path.map_or_else(Connection::open_in_memory, Connection::open).map_err(without_path)?;
        db.busy_timeout(PATIENCE)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        // FULL, because an acknowledgement lets the device forget: it must not run ahead of the disk.
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", "ON")?;
        db.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
        // Ten thousand devices touch as many pages all over the file: 32 MiB of them stay at hand, and are written back
        // not at each commit but when 16 MiB have changed.
        db.pragma_update(None, "cache_size", -32 * 1024)?;
        db.pragma_update(None, "wal_autocheckpoint", 4096)?;
        db.set_prepared_statement_cache_capacity(128);
        Ok(Self {
            db,
            place: path.map_or_else(|| ":memory:".to_owned(), |p| p.display().to_string()),
            writes: true,
        })
    }

    /// To read, while another connection writes.
    pub(super) fn reader(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(without_path)?;
        db.busy_timeout(PATIENCE)?;
        db.set_prepared_statement_cache_capacity(64);
        Ok(Self { db, place: path.display().to_string(), writes: false })
    }
}

/// Whoever opens a file names it.
fn without_path(error: rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(e, _) if e.code == rusqlite::ErrorCode::CannotOpen => {
            rusqlite::Error::SqliteFailure(e, Some("cannot be opened".to_owned()))
        }
        other => other,
    }
}

impl Engine for Sqlite {
    fn begin(&mut self) -> Result<()> {
        Ok(self.db.execute_batch(if self.writes { "BEGIN IMMEDIATE" } else { "BEGIN" })?)
    }

    fn commit(&mut self) -> Result<()> {
        self.db.execute_batch("COMMIT").map_err(|e| {
            // A commit that failed (a full disk) may have left the transaction open.
            self.rollback();
            e.into()
        })
    }

    fn rollback(&mut self) {
        if !self.db.is_autocommit()
            && let Err(e) = self.db.execute_batch("ROLLBACK")
        {
            log::error!("{}: {e}", self.place);
        }
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<usize> {
        Ok(self.db.prepare_cached(sql)?.execute(params_from_iter(params))?)
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let mut statement = self.db.prepare_cached(sql)?;
        let (columns, mut found) = (columns(&statement), Vec::new());
        run(&mut statement, &columns, params, &mut found)?;
        Ok(found)
    }

    fn many(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<Vec<Row>> {
        let mut statement = self.db.prepare_cached(sql)?;
        let (columns, mut found) = (columns(&statement), Vec::new());
        for params in rows {
            run(&mut statement, &columns, params, &mut found)?;
        }
        Ok(found)
    }

    fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    fn migrate(&mut self, steps: &[&str]) -> Result<()> {
        self.begin()?;
        let done = (|| {
            let found = self.db.pragma_query_value(None, "user_version", |row| row.get(0))?;
            for step in steps_left(steps, found)? {
                self.db.execute_batch(step)?;
            }
            Ok(self.db.pragma_update(None, "user_version", version(steps))?)
        })();
        if done.is_err() {
            self.rollback();
            return done;
        }
        self.commit()
    }
}

fn columns(statement: &Statement<'_>) -> Arc<[String]> {
    statement.column_names().map(str::to_owned).collect()
}

fn run(
    statement: &mut Statement<'_>,
    columns: &Arc<[String]>,
    params: &[Value],
    to: &mut Vec<Row>,
) -> Result<()> {
    let mut rows = statement.query(params_from_iter(params))?;
    while let Some(row) = rows.next()? {
        let values = (0..columns.len())
            .map(|i| {
                Ok(match row.get_ref(i)? {
                    ValueRef::Null => Value::Null(Type::Int),
                    ValueRef::Integer(n) => Value::Int(n),
                    ValueRef::Real(x) => Value::Real(x),
                    ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                    ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
                })
            })
            .collect::<Result<_>>()?;
        to.push(Row { columns: Arc::clone(columns), values });
    }
    Ok(())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null(_) => ValueRef::Null,
            Self::Int(n) => ValueRef::Integer(*n),
            Self::Real(x) => ValueRef::Real(*x),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
