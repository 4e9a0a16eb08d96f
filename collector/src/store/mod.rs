//! Where what arrived is kept, and what can be asked of it.
//!
//! What is *not* here: what bytes mean (`intake::decode`) and how answers look (`api`).

mod answers;
mod capsules;
mod copy;
mod database;
mod dating;
mod engine;
mod error;
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

use crate::cluster::{Number, Tenure, Turn};
use crate::intake::decode::Arrival;
#[cfg(test)]
use crate::words;
pub use answers::{
    Acknowledged, Capsule, Closing, Committed, DeadLetter, Device, Episode, EpisodeEvent, Fact, Forecast,
    Gap, Loss, OpenFilter, Totals, Trouble, Wanted,
};
pub(crate) use capsules::word as put_off_word;
pub use database::Database;
pub use error::StoreError;
pub use expire::Kept;
pub use records::{Change, Class, Record, RecordFilter};
pub use server::Server;
pub(crate) use server::check as check_server;
pub use told::{Expected, Presence, Told};

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
