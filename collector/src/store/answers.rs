//! What the store answers with.

use std::collections::{BTreeMap, BTreeSet};

use fieldmouse_core::wire;

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
