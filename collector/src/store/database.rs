//! The store over either engine: which statements answer what.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::engine::{Engine, MIGRATIONS, Result, transaction};
use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::{
    Capsule, Change, Committed, DeadLetter, Device, Episode, EpisodeEvent, Fact, Forecast, Gap, Kept, Loss,
    OpenFilter, Record, RecordFilter, Server, Store, StoreError, Told, Totals, Trouble, Wanted, capsules,
    copy, expire, export, facts, forecasts, leases, read, records, told, troubles, write,
};
use crate::cluster::{Number, Tenure, Turn};
use crate::intake::decode::Arrival;

/// A database: a file, memory, or a server.
pub struct Database {
    writer: Mutex<Box<dyn Engine>>,
    // A second connection, so that the page never waits for a commit. None in memory: there it would see nothing.
    reader: Option<Mutex<Box<dyn Engine>>>,
    shared: Option<Shared>,
}

/// What it takes to share the store with other collectors.
struct Shared {
    // A connection of its own, so that a slow commit does not cost the life.
    clerk: Mutex<Box<dyn Engine>>,
    /// Zero before the first turn: nothing is held.
    life: AtomicI64,
    /// A turn that was on its way when the collector left comes to nothing.
    has_left: AtomicBool,
}

impl Shared {
    fn clerk<T>(&self, work: impl Fn(&mut dyn Engine) -> Result<T>) -> Result<T> {
        again(|| transaction(&mut **lock(&self.clerk)?, &work))
    }
}

/// A change that others are in the way of is tried so often.
const TRIES: u32 = 10;

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
    /// If the server cannot be reached, is not whom we trust, or refuses, or its schema is newer than this program.
    pub fn connect(server: &Server) -> Result<Self, StoreError> {
        let mut writer = Postgres::connect(server, true)?;
        writer.migrate(MIGRATIONS)?;
        Ok(Self::of(writer, Some(Postgres::connect(server, false)?)))
    }

    /// The same, shared with other collectors: what is committed and kept is only for sites that this one holds.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_shared(server: &Server) -> Result<Self, StoreError> {
        let mut own = Self::connect(server)?;
        let clerk = Postgres::connect(server, false)?;
        own.shared = Some(Shared {
            clerk: Mutex::new(Box::new(clerk)),
            life: AtomicI64::new(0),
            has_left: AtomicBool::new(false),
        });
        Ok(own)
    }

    fn of<E: Engine + 'static>(writer: E, reader: Option<E>) -> Self {
        Self {
            writer: Mutex::new(Box::new(writer)),
            reader: reader.map(|reader| Mutex::new(Box::new(reader) as Box<dyn Engine>)),
            shared: None,
        }
    }

    /// Writes everything into a new SQLite file, as it is at this moment; returns how many rows. Others may go on writing.
    ///
    /// # Errors
    /// If there is such a file already, or one of the databases refuses.
    pub fn backup(&self, file: &Path) -> Result<u64> {
        // Never over another: it may be the only good one.
        drop(new_file(file)?);
        let mut to = Sqlite::writer(Some(file))?;
        to.migrate(MIGRATIONS)?;
        self.read(|from| transaction(from, |from| transaction(&mut to, |to| copy::all(from, to))))
    }

    /// Takes over everything from a backup; returns how many rows. One of an older version is brought to this one first.
    ///
    /// # Errors
    /// If this database is not empty, or the file is no backup.
    pub fn restore(&self, file: &Path) -> Result<u64> {
        drop(File::open(file)?);
        let mut from = Sqlite::writer(Some(file))?;
        from.migrate(MIGRATIONS)?;
        transaction(&mut **lock(&self.writer)?, |to| copy::all(&mut from, to))
    }

    /// Writes tables as Parquet files into a folder; returns how many rows each has.
    ///
    /// # Errors
    /// If one of the files is there already, or cannot be written.
    pub fn export(&self, folder: &Path) -> Result<Vec<(&'static str, u64)>> {
        self.read(|db| transaction(db, |db| export::all(db, folder)))
    }

    fn write<T>(&self, work: impl Fn(&mut dyn Engine) -> Result<T>) -> Result<T> {
        again(|| transaction(&mut **lock(&self.writer)?, &work))
    }

    /// The life by which what is written is fenced; none for who is alone.
    fn life(&self) -> Option<Number> {
        self.shared.as_ref().map(|shared| shared.life.load(Ordering::Acquire))
    }

    fn shared(&self) -> Result<&Shared> {
        self.shared.as_ref().ok_or(StoreError::Alone)
    }

    fn read<T>(&self, work: impl FnOnce(&mut dyn Engine) -> Result<T>) -> Result<T> {
        work(&mut **lock(self.reader.as_ref().unwrap_or(&self.writer))?)
    }
}

/// Makes a file that was not there.
pub(super) fn new_file(path: &Path) -> Result<File> {
    File::create_new(path).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => StoreError::Exists(path.display().to_string()),
        _ => e.into(),
    })
}

/// Tries it again as long as only others are in the way.
fn again<T>(mut work: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..TRIES {
        match work() {
            Err(e) if e.is_conflict() => log::debug!("{e}; once more"),
            done => return done,
        }
    }
    work()
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
        self.write(|db| match self.life() {
            None => write::batch(db, batch),
            Some(life) => leases::fenced(db, life, batch, write::batch),
        })
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
        self.read(|db| read::newest(db, "facts", node, limit, facts::row))
    }

    fn troubles(&self, node: Option<&str>, limit: u32) -> Result<Vec<Trouble>> {
        self.read(|db| read::newest(db, "troubles", node, limit, troubles::row))
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
        self.read(|db| told::told(db, told::Who::Sites(sites), since_ms))
    }

    fn told_by(&self, devices: &[(&str, &str)], since_ms: u64) -> Result<Told> {
        self.read(|db| told::told(db, told::Who::Devices(devices), since_ms))
    }

    fn told_times(&self, site: &str) -> Result<Vec<(String, u64)>> {
        self.read(|db| told::times(db, site))
    }

    fn keep(&self, changes: &[Change]) -> Result<()> {
        self.write(|db| {
            self.life().map_or(Ok(()), |life| leases::check(db, life, changes))?;
            records::keep(db, changes)
        })
    }

    fn records(&self, filter: &RecordFilter<'_>) -> Result<Vec<Record>> {
        self.read(|db| records::find(db, filter))
    }

    fn ask_capsule(&self, wanted: Wanted, now_ms: u64) -> Result<(Capsule, Option<Wanted>)> {
        self.write(|db| capsules::ask(db, wanted.clone(), now_ms))
    }

    fn turn(&self, turn: &Turn) -> Result<Tenure> {
        let shared = self.shared()?;
        let tenure = shared.clerk(|db| {
            if shared.has_left.load(Ordering::Acquire) {
                Err(StoreError::Left)
            } else {
                leases::turn(db, turn)
            }
        })?;
        shared.life.store(tenure.life, Ordering::Release);
        Ok(tenure)
    }

    fn leave(&self, life: Number) -> Result<u32> {
        let shared = self.shared()?;
        shared.has_left.store(true, Ordering::Release);
        shared.clerk(|db| leases::leave(db, life))
    }

    fn expire(&self, what: Kept, before_ms: u64) -> Result<usize> {
        self.write(|db| expire::piece(db, what, before_ms))
    }
}
