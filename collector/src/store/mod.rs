//! Where what arrived is kept, and what can be asked of it.
//!
//! What is *not* here: what bytes mean (`intake::decode`) and how answers look (`api`).

mod capsules;
mod copy;
mod database;
mod dating;
mod engine;
mod expire;
mod export;
mod facts;
mod forecasts;
mod known;
mod leases;
mod pending;
mod postgres;
mod read;
mod records;
mod server;
mod sqlite;
#[cfg(test)]
mod tests;
mod told;
mod troubles;
mod value;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use fieldmouse_core::wire;

use crate::cluster::{Number, Tenure, Turn};
use crate::intake::decode::Arrival;
#[cfg(test)]
use crate::words;
pub(crate) use capsules::word as put_off_word;
pub use database::Database;
pub use expire::Kept;
pub use records::{Change, Class, Record, RecordFilter};
pub use server::Server;
pub(crate) use server::check as check_server;
pub use told::{Expected, Presence, Told};

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("database: {}", whole(.0))]
    Sqlite(rusqlite::Error),
    /// PostgreSQL refused, or cannot be reached.
    #[error("database: {}", whole(.0))]
    Postgres(::postgres::Error),
    /// A column that is absent, or holds what it should not.
    #[error("database: column `{0}` cannot be read")]
    Column(&'static str),
    /// The database was written by a newer collector.
    #[error("{place}: schema version {found} is newer than this program's {known}")]
    Newer {
        /// The file or server.
        place: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Rows cannot be restored beside others.
    #[error("database: `{0}` has rows already: restore into a new, empty database")]
    NotEmpty(&'static str),
    /// A file or folder of a backup or an export.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// A file of an export.
    #[error("parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// A read that panicked left the connection locked.
    #[error("database: a connection is unusable after a panic")]
    Poisoned,
    /// A store that only one collector can use.
    #[error("database: sites can be shared out only where the store is PostgreSQL")]
    Alone,
    /// This collector gave up its sites.
    #[error("this collector has left its cluster")]
    Left,
    /// Another collector of the cluster looks after the site.
    #[error("site `{0}` is another collector's by now")]
    Foreign(String),
}

impl StoreError {
    /// Whether another writer was in the way: nothing was changed, and it may be tried again at once.
    fn is_conflict(&self) -> bool {
        use ::postgres::error::SqlState;
        let Self::Postgres(e) = self else { return false };
        e.code().is_some_and(|c| {
            [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(c)
        })
    }
}

// Not as a source: whoever prints all sources would print it twice.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<::postgres::Error> for StoreError {
    fn from(error: ::postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

/// The error with what clients leave to those who look further, each thing once.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(e) = next {
        let more = e.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = e.source();
    }
    if let Some((_, fix)) = FIXES.iter().find(|(what, _)| text.contains(what)) {
        text.push_str("; ");
        text.push_str(fix);
    }
    text
}

/// What helps when a server and we do not come to trust each other.
const FIXES: [(&str, &str); 4] = [
    (
        "server does not support TLS",
        "`ssl = on` in its postgresql.conf turns it on, sslmode=disable in store.url does without",
    ),
    ("UnknownIssuer", "name the file with the authority of its certificate as store.ca_file"),
    ("not valid for name", "the host in store.url must be one that its certificate names"),
    ("no encryption", "sslmode=require in store.url speaks TLS"),
];

/// The store: one way in, few ways out. Every method blocks.
pub trait Store: Send + Sync {
    /// Keeps a batch in one transaction. When it returns, the batch survives a power cut.
    ///
    /// # Errors
    /// If nothing of the batch was kept.
    fn commit(&self, batch: &[Arrival]) -> Result<Committed, StoreError>;
    /// Every device, by site and node.
    ///
    /// # Errors
    /// If the database refuses. The same holds for all that follow.
    fn devices(&self) -> Result<Vec<Device>, StoreError>;
    /// One device.
    fn device(&self, site: &str, node: &str) -> Result<Option<Device>, StoreError>;
    /// Missing numbers of a device, every epoch, newest epoch first.
    fn gaps(&self, site: &str, node: &str) -> Result<Vec<Gap>, StoreError>;
    /// Losses of a device, newest first.
    fn losses(&self, site: &str, node: &str) -> Result<Vec<Loss>, StoreError>;
    /// Episodes, those changed last first.
    fn episodes(&self, filter: &OpenFilter) -> Result<Vec<Episode>, StoreError>;
    /// One episode.
    fn episode(&self, site: &str, node: &str, epoch: u64, id: u64) -> Result<Option<Episode>, StoreError>;
    /// What was told of an episode, in the order of its numbers.
    fn episode_events(&self, episode: &Episode) -> Result<Vec<EpisodeEvent>, StoreError>;
    /// Facts, newest first.
    fn facts(&self, node: Option<&str>, limit: u32) -> Result<Vec<Fact>, StoreError>;
    /// Troubles, newest first.
    fn troubles(&self, node: Option<&str>, limit: u32) -> Result<Vec<Trouble>, StoreError>;
    /// Forecasts, those told last first.
    fn forecasts(&self, filter: &OpenFilter) -> Result<Vec<Forecast>, StoreError>;
    /// Dead letters, newest first.
    fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>, StoreError>;
    /// Sums for the status and the metrics.
    fn totals(&self) -> Result<Totals, StoreError>;
    /// Forgets what is older than `before_ms`, a bounded piece at a time; returns how many rows went. Zero: done.
    fn expire(&self, what: Kept, before_ms: u64) -> Result<usize, StoreError>;
    /// What the devices of these sites told since then, and what is still open.
    fn told(&self, sites: &[&str], since_ms: u64) -> Result<Told, StoreError>;
    /// The same of these devices, by site and node.
    fn told_by(&self, devices: &[(&str, &str)], since_ms: u64) -> Result<Told, StoreError>;
    /// The devices of a site, and how often each told something: once for each commit with anything of it.
    fn told_times(&self, site: &str) -> Result<Vec<(String, u64)>, StoreError>;
    /// Changes documents: all of these, or none. When it returns, they survive a power cut.
    fn keep(&self, changes: &[Change]) -> Result<(), StoreError>;
    /// Documents, those that changed last first.
    fn records(&self, filter: &RecordFilter<'_>) -> Result<Vec<Record>, StoreError>;
    /// Somebody wants a capsule: how far it is, and what is now to be asked of the device, if anything.
    fn ask_capsule(&self, wanted: Wanted, now_ms: u64) -> Result<(Capsule, Option<Wanted>), StoreError>;
    /// A collector's turn in its cluster: renews its life, ends those whose time is over, takes and gives up sites.
    fn turn(&self, _turn: &Turn) -> Result<Tenure, StoreError> {
        Err(StoreError::Alone)
    }
    /// Ends a life and gives up its sites; how many others live.
    fn leave(&self, _life: Number) -> Result<u32, StoreError> {
        Err(StoreError::Alone)
    }
}

/// A piece of a capsule that a device has and we want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Site.
    pub site: String,
    /// Node.
    pub node: String,
    /// Epoch of the episode.
    pub epoch: u64,
    /// The episode's number.
    pub episode: u64,
    /// The first byte that is not here.
    pub at: u32,
}

/// How far a capsule is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capsule {
    /// It is here, as the device wrote it.
    Whole(Vec<u8>),
    /// So many bytes are; zero of zero: nothing was heard yet.
    UnderWay {
        /// Bytes that are here.
        have: u32,
        /// Bytes of the whole.
        of: u32,
    },
    /// The device has it not, or not now.
    PutOff {
        /// See [`fieldmouse_core::wire::piece`].
        why: u8,
        /// Seconds after which it may be asked for again.
        retry_s: u64,
    },
}

/// What a commit did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// What may now be acknowledged: one per device and epoch heard of.
    pub acks: Vec<Acknowledged>,
    /// Events stored.
    pub stored: u64,
    /// Events that were stored before.
    pub duplicates: u64,
    /// Events not taken because of too many gaps; they come again.
    pub refused: u64,
    /// Numbers newly declared lost.
    pub lost: u64,
    /// Events of kinds or revisions from the future, kept raw.
    pub newer: u64,
    /// Wills of an epoch that is over.
    pub stale: u64,
    /// Messages of sites that another member of the cluster holds: neither stored nor acknowledged.
    pub foreign: u64,
    /// Reason of every message or body that could not be read.
    pub malformed: Vec<&'static str>,
    /// Pieces of capsules to ask for now.
    pub wanted: Vec<Wanted>,
    /// Sites that told something new, and the earliest time it speaks of.
    pub touched: BTreeMap<String, u64>,
    /// Devices that are new or said what they are: site and node.
    pub born: BTreeSet<(String, String)>,
}

/// Everything up to `seq` of the epoch is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Site.
    pub site: String,
    /// Node.
    pub node: String,
    /// Epoch.
    pub epoch: u64,
    /// Highest number without a gap below it.
    pub seq: u64,
}

/// A device as last heard of. Times are milliseconds since 1970.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names are those of wire::Birth and the schema")]
pub struct Device {
    pub site: String,
    pub node: String,
    pub epoch: u64,
    pub state: u8,
    pub state_at: u64,
    pub first_seen: u64,
    pub seen_at: u64,
    pub version: String,
    pub platform: String,
    pub os: String,
    pub host: String,
    pub cpus: u32,
    pub memory: u64,
    pub model: Vec<u8>,
    pub model_name: String,
    pub tick_ms: u32,
    pub labels: String,
    /// JSON array of names.
    pub series: String,
    /// JSON array of who calls whom.
    pub edges: String,
    pub beat_at: Option<u64>,
    pub beat: Option<wire::Beat>,
    pub high: u64,
    /// Missing numbers of the current epoch.
    pub missing: u64,
    /// Events declared lost, all epochs, without those that came after all.
    pub lost: u64,
    pub open_episodes: u32,
}

/// A range of numbers that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "a range")]
pub struct Gap {
    pub epoch: u64,
    pub first: u64,
    pub last: u64,
}

/// Numbers that never come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of wire::Loss")]
pub struct Loss {
    pub epoch: u64,
    pub first: u64,
    pub count: u64,
    pub reason: u8,
    pub declared_at: u64,
    pub arrived: u64,
}

/// Which episodes, or forecasts.
#[derive(Debug, Clone, Default)]
pub struct OpenFilter {
    /// Only open (true) or only closed (false) ones.
    pub open: Option<bool>,
    /// Only of this node.
    pub node: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// How an episode ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// It has not.
    Open,
    /// The device said so.
    Told,
    /// The device began anew without saying so.
    NotTold,
}

/// An episode as last told.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names are those of wire::Episode and the schema")]
pub struct Episode {
    pub site: String,
    pub node: String,
    pub epoch: u64,
    pub id: u64,
    pub onset_at: u64,
    pub opened_at: u64,
    pub updated_at: u64,
    pub closed_at: Option<u64>,
    pub closing: Closing,
    pub phase: u8,
    pub severity: u8,
    pub group: u8,
    pub shape: u8,
    pub score: f32,
    pub confidence: u8,
    pub recurred: u32,
    pub moved: u32,
    /// The latest body that names contributors.
    pub body: Option<wire::Episode>,
}

/// One event of an episode.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as in Episode")]
pub struct EpisodeEvent {
    pub seq: u64,
    pub at: u64,
    pub received_at: u64,
    pub severity: u8,
    pub body: wire::Episode,
}

/// Something that happened.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names are those of wire::Fact and wire::Detail")]
pub struct Fact {
    pub site: String,
    pub node: String,
    pub epoch: u64,
    pub seq: u64,
    pub at: u64,
    pub severity: u8,
    pub kind: String,
    pub text: String,
    pub about: String,
    pub since_ms: u32,
    pub count: u32,
    pub example: String,
}

/// A source or series that failed or works again.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names are those of wire::Trouble")]
pub struct Trouble {
    pub site: String,
    pub node: String,
    pub epoch: u64,
    pub seq: u64,
    pub at: u64,
    pub severity: u8,
    pub source: String,
    pub series: String,
    pub verdict: u8,
    pub why: u8,
    pub text: String,
}

/// The latest that was said of a limit.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names are those of the schema")]
pub struct Forecast {
    pub site: String,
    pub node: String,
    pub at: u64,
    pub severity: u8,
    pub body: wire::Forecast,
}

/// Bytes that could not be read.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as in intake::decode::DeadLetter")]
pub struct DeadLetter {
    pub received_at: u64,
    pub topic: String,
    pub reason: String,
    pub size: u64,
    pub payload: Vec<u8>,
}

/// Sums over the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they say what they count")]
pub struct Totals {
    pub online: u64,
    pub offline: u64,
    pub lost: u64,
    pub unknown: u64,
    pub events: u64,
    pub open_episodes: u64,
    pub closed_episodes: u64,
    pub missing_numbers: u64,
    pub lost_events: u64,
    pub dead_letters: u64,
}
