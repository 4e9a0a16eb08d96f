//! The SQLite store: its connections, its schema, and which statement answers what.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{
    Capsule, Change, Committed, DeadLetter, Device, Episode, EpisodeEvent, Fact, Forecast, Gap, Loss,
    OpenFilter, Record, RecordFilter, Store, StoreError, Told, Totals, Trouble, Wanted, capsules, facts,
    forecasts, read, records, told, write,
};
use crate::intake::decode::Arrival;

/// Each step brings the schema from its index to the next version. Never edit one that was released: append.
const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
    include_str!("schema-5.sql"),
    include_str!("schema-6.sql"),
    include_str!("schema-7.sql"),
];

/// A database file, or memory.
#[derive(Debug)]
pub struct Sqlite {
    writer: Mutex<Connection>,
    // A second connection, so that the page never waits for a commit. None in memory: there it would see nothing.
    reader: Option<Mutex<Connection>>,
}

impl Sqlite {
    /// Opens the file, makes or migrates its schema.
    ///
    /// # Errors
    /// If it cannot be opened, is no database, or is newer than this program.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut writer = Connection::open(path)?;
        prepare(&mut writer, &path.display().to_string())?;
        let reader = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        reader.busy_timeout(std::time::Duration::from_secs(5))?;
        Ok(Self { writer: Mutex::new(writer), reader: Some(Mutex::new(reader)) })
    }

    /// A database in memory, for tests.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn in_memory() -> Result<Self, StoreError> {
        let mut writer = Connection::open_in_memory()?;
        prepare(&mut writer, ":memory:")?;
        Ok(Self { writer: Mutex::new(writer), reader: None })
    }

    fn writer(&self) -> Result<MutexGuard<'_, Connection>, StoreError> {
        self.writer.lock().map_err(|_| StoreError::Poisoned)
    }

    fn reader(&self) -> Result<MutexGuard<'_, Connection>, StoreError> {
        self.reader.as_ref().unwrap_or(&self.writer).lock().map_err(|_| StoreError::Poisoned)
    }
}

fn prepare(db: &mut Connection, path: &str) -> Result<(), StoreError> {
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // FULL, because an acknowledgement lets the device forget: it must not run ahead of the disk.
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", "ON")?;
    db.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    if done > MIGRATIONS.len() {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    if done < MIGRATIONS.len() {
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for step in &MIGRATIONS[done..] {
            tx.execute_batch(step)?;
        }
        tx.pragma_update(None, "user_version", known)?;
        tx.commit()?;
    }
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}

impl Store for Sqlite {
    fn commit(&self, batch: &[Arrival]) -> Result<Committed, StoreError> {
        let mut db = self.writer()?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let committed = write::batch(&tx, batch)?;
        tx.commit()?;
        Ok(committed)
    }

    fn devices(&self) -> Result<Vec<Device>, StoreError> {
        Ok(read::devices(&*self.reader()?, None)?)
    }

    fn device(&self, site: &str, node: &str) -> Result<Option<Device>, StoreError> {
        Ok(read::devices(&*self.reader()?, Some((site, node)))?.pop())
    }

    fn gaps(&self, site: &str, node: &str) -> Result<Vec<Gap>, StoreError> {
        Ok(read::gaps(&*self.reader()?, site, node)?)
    }

    fn losses(&self, site: &str, node: &str) -> Result<Vec<Loss>, StoreError> {
        Ok(read::losses(&*self.reader()?, site, node)?)
    }

    fn episodes(&self, filter: &OpenFilter) -> Result<Vec<Episode>, StoreError> {
        Ok(read::episodes(&*self.reader()?, filter)?)
    }

    fn episode(&self, site: &str, node: &str, epoch: u64, id: u64) -> Result<Option<Episode>, StoreError> {
        Ok(read::episode(&*self.reader()?, site, node, epoch, id)?)
    }

    fn episode_events(&self, episode: &Episode) -> Result<Vec<EpisodeEvent>, StoreError> {
        Ok(read::episode_events(&*self.reader()?, episode)?)
    }

    fn facts(&self, node: Option<&str>, limit: u32) -> Result<Vec<Fact>, StoreError> {
        Ok(facts::list(&*self.reader()?, node, limit)?)
    }

    fn troubles(&self, node: Option<&str>, limit: u32) -> Result<Vec<Trouble>, StoreError> {
        Ok(read::troubles(&*self.reader()?, node, limit)?)
    }

    fn forecasts(&self, filter: &OpenFilter) -> Result<Vec<Forecast>, StoreError> {
        Ok(forecasts::all(&*self.reader()?, filter)?)
    }

    fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
        Ok(read::dead_letters(&*self.reader()?, limit)?)
    }

    fn totals(&self) -> Result<Totals, StoreError> {
        Ok(read::totals(&*self.reader()?)?)
    }

    fn told(&self, sites: &[&str], since_ms: u64) -> Result<Told, StoreError> {
        Ok(told::told(&*self.reader()?, sites, since_ms)?)
    }

    fn keep(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut db = self.writer()?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        records::keep(&tx, changes)?;
        tx.commit()?;
        Ok(())
    }

    fn records(&self, filter: &RecordFilter<'_>) -> Result<Vec<Record>, StoreError> {
        Ok(records::find(&*self.reader()?, filter)?)
    }

    fn ask_capsule(&self, wanted: Wanted, now_ms: u64) -> Result<(Capsule, Option<Wanted>), StoreError> {
        let mut db = self.writer()?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = capsules::ask(&tx, wanted, now_ms)?;
        tx.commit()?;
        Ok(found)
    }

    fn expire(&self, before_ms: u64) -> Result<usize, StoreError> {
        let mut db = self.writer()?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let gone = write::expire(&tx, before_ms)? + capsules::expire(&tx, before_ms)?;
        tx.commit()?;
        Ok(gone)
    }
}
