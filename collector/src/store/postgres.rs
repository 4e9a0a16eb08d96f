//! The PostgreSQL engine: a server that several collectors may share.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use postgres::types::{IsNull, ToSql, Type as Oid, to_sql_checked};
use postgres::{Client, Statement};

use super::engine::{Engine, Result, steps_left, version};
use super::value::{Row, Type, Value};
use super::{Server, StoreError};

const PATIENCE: Duration = Duration::from_secs(5);
/// The lock that a collector holds while it changes the schema: "fieldm" as a number.
const SCHEMA_LOCK: i64 = 0x6669_656c_646d;

/// What holds for every connection. An acknowledgement lets the device forget: it must not run ahead of the disk, whatever
/// the server thinks best. Who falls silent in the middle of a transaction must not hold up others. All lookups are by key, which a planner that has not yet counted a new table cannot know.
const SESSION: &str = "SET synchronous_commit = on; SET client_min_messages = warning; SET jit = off;
    SET idle_in_transaction_session_timeout = '5s'";
const WRITER: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
    SET plan_cache_mode = force_generic_plan";

/// A connection to a server, made anew when it is lost.
pub(super) struct Postgres {
    server: Server,
    writes: bool,
    client: Option<Client>,
    // Prepared on this connection, by their text as written, and whether for many rows.
    prepared: HashMap<(String, bool), Statement>,
    in_transaction: bool,
}

impl Postgres {
    /// A connection to `server`.
    pub(super) fn connect(server: &Server, writes: bool) -> Result<Self> {
        let mut server = server.clone();
        server
            .config
            .application_name("fieldmouse-collector")
            .connect_timeout(PATIENCE)
            .tcp_user_timeout(PATIENCE * 2);
        let mut own = Self { server, writes, client: None, prepared: HashMap::new(), in_transaction: false };
        own.client()?;
        Ok(own)
    }

    /// The connection; a new one if it was lost. Within a transaction a lost one stays lost.
    fn client(&mut self) -> Result<&mut Client> {
        let is_gone = self.client.as_ref().is_none_or(Client::is_closed);
        if is_gone && !self.in_transaction {
            self.prepared.clear();
            let mut client = self.server.config.connect(self.server.tls.clone())?;
            client.batch_execute(SESSION)?;
            if self.writes {
                client.batch_execute(WRITER)?;
            }
            self.client = Some(client);
        }
        self.client.as_mut().ok_or(StoreError::Poisoned)
    }

    /// The statement, prepared; for many rows if one of them is given.
    fn statement(&mut self, sql: &str, many: Option<&[Value]>) -> Result<Statement> {
        let key = (sql.to_owned(), many.is_some());
        if let Some(statement) = self.prepared.get(&key) {
            return Ok(statement.clone());
        }
        let text = many.map_or_else(|| dollars(sql), |row| unnest(sql, row));
        let statement = self.client()?.prepare(&text)?;
        self.prepared.insert(key, statement.clone());
        Ok(statement)
    }

    /// Tries it; if only now it turns out that the connection is gone, and nothing was begun on it, once more.
    fn again<T>(&mut self, mut work: impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        self.client()?;
        let first = work(self);
        let is_gone = self.client.as_ref().is_none_or(Client::is_closed);
        if first.is_err() && is_gone && !self.in_transaction {
            self.client().map(drop).and_then(|()| work(self))
        } else {
            first
        }
    }
}

impl Engine for Postgres {
    fn begin(&mut self) -> Result<()> {
        self.in_transaction = false;
        self.again(|own| Ok(own.client()?.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ")?))?;
        self.in_transaction = true;
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        let done = self.client().and_then(|client| Ok(client.batch_execute("COMMIT")?));
        self.in_transaction = false;
        done
    }

    fn rollback(&mut self) {
        // On a lost connection the server has done it already.
        if let Ok(client) = self.client()
            && !client.is_closed()
            && let Err(e) = client.batch_execute("ROLLBACK")
        {
            log::warn!("{}: {e}", self.server.place);
            self.client = None;
        }
        self.in_transaction = false;
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<usize> {
        self.client()?;
        let statement = self.statement(sql, None)?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|v| v as _).collect();
        let changed = self.client()?.execute(&statement, &params)?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|v| v as _).collect();
        read(&self.again(|own| {
            let statement = own.statement(sql, None)?;
            Ok(own.client()?.query(&statement, &params)?)
        })?)
    }

    fn many(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<Vec<Row>> {
        let Some(first) = rows.first() else { return Ok(Vec::new()) };
        // One array for each column.
        let columns: Vec<Vec<&Value>> =
            (0..first.len()).map(|i| rows.iter().filter_map(|row| row.get(i)).collect()).collect();
        let params: Vec<&(dyn ToSql + Sync)> = columns.iter().map(|c| c as _).collect();
        read(&self.again(|own| {
            let statement = own.statement(sql, Some(first))?;
            Ok(own.client()?.query(&statement, &params)?)
        })?)
    }

    fn settle(&mut self) -> Result<()> {
        for table in ["devices", "events", "dead_letters", "capsules"] {
            self.client()?.batch_execute(&format!(
                "SELECT setval(pg_get_serial_sequence('{table}', 'id'), greatest(max(id), 1)) FROM {table}"
            ))?;
        }
        Ok(())
    }

    fn migrate(&mut self, steps: &[&str]) -> Result<()> {
        let client = self.client()?;
        // Several collectors may start at once; the lock is let go of with the transaction.
        let mut tx = client.transaction()?;
        tx.execute("SELECT pg_advisory_xact_lock($1)", &[&SCHEMA_LOCK])?;
        tx.batch_execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")?;
        let found = tx.query_opt("SELECT max(version) FROM schema_version", &[])?;
        let found = found.and_then(|row| row.get::<_, Option<i64>>(0)).unwrap_or(0);
        let left = steps_left(steps, found)?;
        for step in left {
            tx.batch_execute(&schema(step))?;
        }
        if !left.is_empty() {
            tx.execute("DELETE FROM schema_version", &[])?;
            tx.execute("INSERT INTO schema_version (version) VALUES ($1)", &[&version(steps)])?;
        }
        Ok(tx.commit()?)
    }
}

/// `?1` is `$1` here.
fn dollars(sql: &str) -> String {
    sql.replace('?', "$")
}

/// The same statement for many rows: a row of `VALUES` becomes rows of arrays.
fn unnest(sql: &str, row: &[Value]) -> String {
    let Some((before, rest)) = sql.split_once("VALUES (") else { return dollars(sql) };
    let Some((_, after)) = rest.split_once(')') else { return dollars(sql) };
    let mut to = format!("{before}SELECT * FROM unnest(");
    for (i, value) in row.iter().enumerate() {
        let kind = match value.kind() {
            Type::Int => "BIGINT",
            Type::Real => "DOUBLE PRECISION",
            Type::Text => "TEXT",
            Type::Bytes => "BYTEA",
        };
        let comma = if i > 0 { ", " } else { "" };
        // Writing to a string cannot fail.
        let _written = write!(to, "{comma}CAST(${} AS {kind}[])", i + 1);
    }
    to.push(')');
    to.push_str(&dollars(after));
    to
}

/// A step of the schema in this dialect. Text is ordered byte by byte, as SQLite does. That a row's device exists is
/// seen to where rows are written; to have every row of a batch checked costs more than to write it.
fn schema(step: &str) -> String {
    [
        (" REFERENCES devices (id)", ""),
        ("    id INTEGER PRIMARY KEY", "    id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"),
        (" INTEGER", " BIGINT"),
        (" REAL", " DOUBLE PRECISION"),
        (" BLOB", " BYTEA"),
        (" TEXT", " TEXT COLLATE \"C\""),
        (") WITHOUT ROWID", ")"),
        (" x'", " '\\x"),
    ]
    .iter()
    .fold(step.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn read(rows: &[postgres::Row]) -> Result<Vec<Row>> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let columns: Arc<[String]> = first.columns().iter().map(|c| c.name().to_owned()).collect();
    let kinds: Vec<Oid> = first.columns().iter().map(|c| c.type_().clone()).collect();
    let row = |row: &postgres::Row| {
        let values = kinds.iter().enumerate().map(|(i, kind)| {
            Ok(match *kind {
                Oid::INT8 => row.try_get::<_, Option<i64>>(i)?.into(),
                Oid::INT4 => row.try_get::<_, Option<i32>>(i)?.map(i64::from).into(),
                Oid::BOOL => row.try_get::<_, Option<bool>>(i)?.into(),
                Oid::FLOAT8 => row.try_get::<_, Option<f64>>(i)?.into(),
                Oid::BYTEA => row.try_get::<_, Option<Vec<u8>>>(i)?.into(),
                _ => row.try_get::<_, Option<String>>(i)?.into(),
            })
        });
        Ok(Row { columns: Arc::clone(&columns), values: values.collect::<Result<_>>()? })
    };
    rows.iter().map(row).collect()
}

impl ToSql for Value {
    fn to_sql(&self, kind: &Oid, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self, kind) {
            (Self::Null(_), _) => Ok(IsNull::Yes),
            (Self::Int(n), &Oid::INT8) => n.to_sql(kind, out),
            (Self::Int(n), &Oid::INT4) => i32::try_from(*n)?.to_sql(kind, out),
            (Self::Real(x), &Oid::FLOAT8) => x.to_sql(kind, out),
            // No text of this server may hold a NUL; a device may send one.
            (Self::Text(text), &Oid::TEXT) if text.contains('\0') => {
                text.replace('\0', "\u{fffd}").to_sql(kind, out)
            }
            (Self::Text(text), &Oid::TEXT) => text.to_sql(kind, out),
            (Self::Bytes(bytes), &Oid::BYTEA) => bytes.to_sql(kind, out),
            _ => Err(format!("a {:?} is no {kind}", self.kind()).into()),
        }
    }

    fn accepts(kind: &Oid) -> bool {
        matches!(*kind, Oid::INT8 | Oid::INT4 | Oid::FLOAT8 | Oid::TEXT | Oid::BYTEA)
    }

    to_sql_checked!();
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("server", &self.server).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::values;
    use super::*;

    #[test]
    fn statements_are_written_once() {
        let insert = "INSERT INTO t (a, b) VALUES (?1, ?2) ON CONFLICT (a) DO UPDATE SET b = excluded.b";
        assert_eq!(
            unnest(insert, &values![7_i64, None::<String>]),
            "INSERT INTO t (a, b) SELECT * FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS TEXT[])) ON CONFLICT (a) DO \
             UPDATE SET b = excluded.b"
        );
        assert_eq!(dollars("SELECT a FROM t WHERE b = ?1 LIMIT ?2"), "SELECT a FROM t WHERE b = $1 LIMIT $2");
        let step = "CREATE TABLE t (\n    id INTEGER PRIMARY KEY,\n    device INTEGER NOT NULL REFERENCES devices (id),\n    \
                    body BLOB DEFAULT x'00', a TEXT, b REAL\n) WITHOUT ROWID;";
        assert_eq!(
            schema(step),
            "CREATE TABLE t (\n    id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,\n    device BIGINT NOT NULL,\n    \
             body BYTEA DEFAULT '\\x00', a TEXT COLLATE \"C\", b DOUBLE PRECISION\n);"
        );
    }
}
