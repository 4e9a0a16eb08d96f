//! The store over either engine: which statements answer what.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use super::engine::{Engine, MIGRATIONS, Result, transaction};
use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::{
    Capsule, Change, Committed, DeadLetter, Device, Episode, EpisodeEvent, Fact, Forecast, Gap, Loss,
    OpenFilter, Record, RecordFilter, Store, StoreError, Told, Totals, Trouble, Wanted, capsules, expire,
    facts, forecasts, read, records, told, troubles, write,
};
use crate::intake::decode::Arrival;

/// A database: a file, memory, or a server.
pub struct Database {
    writer: Mutex<Box<dyn Engine>>,
    // A second connection, so that the page never waits for a commit. None in memory: there it would see nothing.
    reader: Option<Mutex<Box<dyn Engine>>>,
}

impl Database {
    /// Opens the SQLite file, makes or migrates its schema.
    ///
    /// # Errors
    /// If it cannot be opened, is no database, or is newer than this program.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut writer = Sqlite::writer(Some(path))?;
        writer.migrate(MIGRATIONS)?;
        Ok(Self::of(writer, Some(Sqlite::reader(path)?)))
    }

    /// A SQLite database in memory, for tests.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn in_memory() -> Result<Self, StoreError> {
        let mut writer = Sqlite::writer(None)?;
        writer.migrate(MIGRATIONS)?;
        Ok(Self::of(writer, None::<Sqlite>))
    }

    /// Connects to a PostgreSQL server, makes or migrates the schema.
    ///
    /// # Errors
    /// If `url` is none (`postgres://user@host:5432/database`), the server cannot be reached or refuses, or its schema is
    /// newer than this program.
    pub fn connect(url: &str, password: Option<&str>) -> Result<Self, StoreError> {
        let mut config: ::postgres::Config = url.parse()?;
        if let Some(password) = password {
            config.password(password);
        }
        let mut writer = Postgres::connect(&config, url, true)?;
        writer.migrate(MIGRATIONS)?;
        Ok(Self::of(writer, Some(Postgres::connect(&config, url, false)?)))
    }

    fn of<E: Engine + 'static>(writer: E, reader: Option<E>) -> Self {
        Self {
            writer: Mutex::new(Box::new(writer)),
            reader: reader.map(|reader| Mutex::new(Box::new(reader) as Box<dyn Engine>)),
        }
    }

    fn write<T>(&self, work: impl FnOnce(&mut dyn Engine) -> Result<T>) -> Result<T> {
        transaction(&mut **lock(&self.writer)?, work)
    }

    fn read<T>(&self, work: impl FnOnce(&mut dyn Engine) -> Result<T>) -> Result<T> {
        work(&mut **lock(self.reader.as_ref().unwrap_or(&self.writer))?)
    }
}

fn lock(engine: &Mutex<Box<dyn Engine>>) -> Result<MutexGuard<'_, Box<dyn Engine>>> {
    engine.lock().map_err(|_| StoreError::Poisoned)
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Store for Database {
    fn commit(&self, batch: &[Arrival]) -> Result<Committed> {
        self.write(|db| write::batch(db, batch))
    }

    fn devices(&self) -> Result<Vec<Device>> {
        self.read(|db| read::devices(db, None))
    }

    fn device(&self, site: &str, node: &str) -> Result<Option<Device>> {
        self.read(|db| Ok(read::devices(db, Some((site, node)))?.pop()))
    }

    fn gaps(&self, site: &str, node: &str) -> Result<Vec<Gap>> {
        self.read(|db| read::gaps(db, site, node))
    }

    fn losses(&self, site: &str, node: &str) -> Result<Vec<Loss>> {
        self.read(|db| read::losses(db, site, node))
    }

    fn episodes(&self, filter: &OpenFilter) -> Result<Vec<Episode>> {
        self.read(|db| read::episodes(db, filter))
    }

    fn episode(&self, site: &str, node: &str, epoch: u64, id: u64) -> Result<Option<Episode>> {
        self.read(|db| read::episode(db, site, node, epoch, id))
    }

    fn episode_events(&self, episode: &Episode) -> Result<Vec<EpisodeEvent>> {
        self.read(|db| read::episode_events(db, episode))
    }

    fn facts(&self, node: Option<&str>, limit: u32) -> Result<Vec<Fact>> {
        self.read(|db| facts::list(db, node, limit))
    }

    fn troubles(&self, node: Option<&str>, limit: u32) -> Result<Vec<Trouble>> {
        self.read(|db| troubles::list(db, node, limit))
    }

    fn forecasts(&self, filter: &OpenFilter) -> Result<Vec<Forecast>> {
        self.read(|db| forecasts::all(db, filter))
    }

    fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>> {
        self.read(|db| read::dead_letters(db, limit))
    }

    fn totals(&self) -> Result<Totals> {
        self.read(read::totals)
    }

    fn told(&self, sites: &[&str], since_ms: u64) -> Result<Told> {
        self.read(|db| told::told(db, sites, since_ms))
    }

    fn keep(&self, changes: &[Change]) -> Result<()> {
        self.write(|db| records::keep(db, changes))
    }

    fn records(&self, filter: &RecordFilter<'_>) -> Result<Vec<Record>> {
        self.read(|db| records::find(db, filter))
    }

    fn ask_capsule(&self, wanted: Wanted, now_ms: u64) -> Result<(Capsule, Option<Wanted>)> {
        self.write(|db| capsules::ask(db, wanted, now_ms))
    }

    fn expire(&self, before_ms: u64) -> Result<usize> {
        self.write(|db| expire::piece(db, before_ms))
    }
}
