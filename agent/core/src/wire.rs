//! What leaves the device, byte for byte: the only types that are serialised.
//!
//! A message is a magic byte, the envelope version, then postcard: one [`Head`] and one or more [`Item`]s to the
//! end of the payload. An item's body is the postcard of the struct named by `(kind, rev)`. Rules of evolution:
//! a body's fields are only ever appended, and appending raises `rev`; open sets travel as numbers, not as enums.
//! Golden bytes of every revision are kept in the tests.

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

use crate::series::SeriesKey;

/// First byte of every message. Not `{`, so JSON is told apart.
pub const MAGIC: u8 = 0xFD;
/// Version of the envelope.
pub const VERSION: u8 = 1;
/// The largest payload that is sent or accepted.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// Content type property of every message.
pub const CONTENT_TYPE: &str = "application/vnd.fieldmouse.v1+postcard";
/// The longest name of a site, a node or a collector.
pub const NAME: usize = 48;

/// What kinds of body there are. The numbers travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Kind {
    /// [`Status`]: online, offline, lost. Retained; also the last will.
    Status = 1,
    /// [`Birth`]: what this device is, followed by its series. Retained.
    Birth = 2,
    /// [`Beat`]: how the agent is.
    Beat = 3,
    /// [`Ack`]: from the collector, after its commit.
    Ack = 4,
    /// [`Episode`]: an anomaly opened, changed, closed or came back.
    Episode = 10,
    /// [`Fact`]: something happened.
    Fact = 11,
    /// [`Trouble`]: a source or a series stopped or resumed giving good data.
    Trouble = 12,
    /// [`Loss`]: numbers that will never come, and why.
    Loss = 13,
}

impl Kind {
    /// The kind of a number, if this version knows it.
    #[must_use]
    pub fn of(number: u16) -> Option<Self> {
        [
            Self::Status,
            Self::Birth,
            Self::Beat,
            Self::Ack,
            Self::Episode,
            Self::Fact,
            Self::Trouble,
            Self::Loss,
        ]
        .into_iter()
        .find(|k| *k as u16 == number)
    }
}

/// Who speaks: stands once in front of the items of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head<'a> {
    /// The device.
    pub node: &'a str,
    /// Random number made with the outbox; `seq` counts within it.
    pub epoch: u64,
}

/// One thing said, with the time it speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item<'a> {
    /// Gap-free within the epoch, from 1; 0 for what does not go through the outbox (status, birth, beat, ack).
    pub seq: u64,
    /// Monotonic milliseconds since the device's boot.
    pub mono_ms: u64,
    /// Milliseconds since 1970, if the device knows.
    pub wall_ms: Option<u64>,
    /// How far `wall_ms` can be trusted, a [`Clock`] number.
    pub clock: u8,
    /// OpenTelemetry severity number: 9 info, 13 warning, 17 error, 21 fatal.
    pub severity: u8,
    /// A [`Kind`] number.
    pub kind: u16,
    /// Revision of the body.
    pub rev: u8,
    /// Postcard of the body.
    pub body: &'a [u8],
}

/// How far a wall clock can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Clock {
    /// It was never set since boot.
    Unset = 0,
    /// It runs, but nobody vouches for it.
    Free = 1,
    /// The kernel says it is synchronised.
    Synced = 2,
}

impl Clock {
    /// One word for people.
    #[must_use]
    pub fn word(number: u8) -> &'static str {
        match number {
            1 => "free",
            2 => "synced",
            _ => "unset",
        }
    }
}

/// `status`, rev 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// 1 online, 2 offline (said goodbye), 3 lost (the last will).
    pub state: u8,
    /// Version of the agent.
    pub version: String<24>,
}

/// `status` numbers.
pub mod state {
    /// Connected.
    pub const ONLINE: u8 = 1;
    /// Stopped on purpose.
    pub const OFFLINE: u8 = 2;
    /// The broker lost it.
    pub const LOST: u8 = 3;

    /// One word for people.
    #[must_use]
    pub fn word(number: u8) -> &'static str {
        match number {
            ONLINE => "online",
            OFFLINE => "offline",
            LOST => "lost",
            _ => "unknown",
        }
    }
}

/// `birth`, rev 1. In the item's body it is followed by `series` entries of [`SeriesKey`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// Version of the agent.
    pub version: String<24>,
    /// `linux/x86_64`.
    pub platform: String<24>,
    /// Name and version of the operating system.
    pub os: String<48>,
    /// Kernel's host name.
    pub host: String<64>,
    /// Processors.
    pub cpus: u16,
    /// Memory in bytes.
    pub memory: u64,
    /// First bytes of the model's SHA-256; zero if the robust scorer judges alone.
    pub model: [u8; 8],
    /// The model's name and version.
    pub model_name: String<48>,
    /// Milliseconds between ticks.
    pub tick_ms: u32,
    /// `key=value` pairs joined by `,`.
    pub labels: String<128>,
    /// How many series follow.
    pub series: u16,
}

/// `beat`, rev 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Highest number given out.
    pub seq: u64,
    /// Highest number the collector has acknowledged.
    pub acked: u64,
    /// Events waiting.
    pub waiting: u32,
    /// Bytes of the outbox on disk.
    pub outbox_bytes: u32,
    /// Events lost since the epoch began, each covered by a [`Loss`].
    pub lost: u32,
    /// Bits: 1 outbox is in memory only, 2 the model is off.
    pub flags: u8,
    /// Series known.
    pub series: u16,
    /// Series without data at the last tick.
    pub no_data: u16,
    /// Episodes open.
    pub open: u8,
    /// Seconds the agent has run.
    pub uptime_s: u32,
    /// Processor time used per second of wall time since the last beat, in microseconds.
    pub cpu_us: u32,
    /// Resident memory in KiB.
    pub rss_kib: u32,
    /// Ticks that began late by more than a tick, since start.
    pub late: u32,
}

/// `ack`, rev 1: everything up to `seq` of `epoch` is in the collector's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The epoch spoken of.
    pub epoch: u64,
    /// Highest number without a gap below it.
    pub seq: u64,
}

/// How many contributors an episode names.
pub const CONTRIBUTORS: usize = 4;
/// Points of the little plot.
pub const SPARK: usize = 32;

/// `episode`, rev 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// Unique per node and epoch; the same from opening to closing.
    pub id: u64,
    /// A [`phase`] number.
    pub phase: u8,
    /// Milliseconds from the estimated onset to this event.
    pub since_ms: u32,
    /// Milliseconds from the onset to the last anomalous reading.
    pub lasted_ms: u32,
    /// A [`crate::shape::Shape`] number.
    pub shape: u8,
    /// A [`crate::metric::Group`] number: the part of the device the first contributor belongs to.
    pub group: u8,
    /// 0..1, where 0.5 is the threshold of the false-alarm budget.
    pub score: f32,
    /// 0..100: how far learning has come for the first contributor.
    pub confidence: u8,
    /// How often the same episode came back after closing.
    pub recurred: u16,
    /// Series that moved.
    pub moved: u16,
    /// The series that moved most, best explanation first; shares add up to at most 100.
    pub contributors: Vec<Contributor, CONTRIBUTORS>,
    /// Who was at work at onset, if it can be known.
    pub culprit: Option<Culprit>,
    /// First bytes of the model's SHA-256; zero if the robust scorer judged alone.
    pub model: [u8; 8],
    /// The first contributor around the onset.
    pub spark: Option<Spark>,
}

/// `episode.phase` numbers.
pub mod phase {
    /// First told.
    pub const OPENED: u8 = 1;
    /// Something about it changed.
    pub const UPDATED: u8 = 2;
    /// Over.
    pub const CLOSED: u8 = 3;
    /// The same came back soon after it closed.
    pub const REOPENED: u8 = 4;

    /// One word for people.
    #[must_use]
    pub fn word(number: u8) -> &'static str {
        match number {
            OPENED => "opened",
            UPDATED => "updated",
            CLOSED => "closed",
            REOPENED => "reopened",
            _ => "unknown",
        }
    }
}

/// One series of an episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contributor {
    /// Which.
    pub key: SeriesKey,
    /// What was read (the most extreme so far).
    pub actual: f32,
    /// What was expected.
    pub expected: f32,
    /// Lower end of the usual interval.
    pub low: f32,
    /// Upper end of the usual interval.
    pub high: f32,
    /// Percent of the surprise that is this series'.
    pub share: u8,
}

/// Who was at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Culprit {
    /// Name of the process.
    pub name: String<32>,
    /// Its number; 0 if many of the same name.
    pub pid: u32,
    /// How many processes of that name.
    pub count: u16,
    /// Its part: of one processor (1.0 = one core), or bytes, or bytes per second, by the episode's group.
    pub amount: f32,
}

/// A plot of [`SPARK`] points in as many bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spark {
    /// Milliseconds between points.
    pub step_ms: u32,
    /// Milliseconds from the last point back to the onset.
    pub onset_ms: u32,
    /// Value of byte 0.
    pub low: f32,
    /// Value of byte 254. 255 stands for no data.
    pub high: f32,
    /// The points, oldest first.
    pub points: Vec<u8, SPARK>,
}

/// `fact`, rev 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What sort: `deployment`, `job`, `note`, …
    pub kind: String<32>,
    /// In words.
    pub text: String<200>,
}

/// `trouble`, rev 1: told once per change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The source; empty if it is one series.
    pub source: String<16>,
    /// The series; none if it is a whole source.
    pub series: Option<SeriesKey>,
    /// A [`crate::quality::Verdict`] number; 0 = good again.
    pub verdict: u8,
    /// A [`crate::series::NoData`] number if the verdict is "missing", else 0.
    pub why: u8,
    /// What went wrong, in words.
    pub text: String<96>,
}

/// `loss`, rev 1: the numbers from `first` on, `count` of them, will never come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// First lost number.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// A [`loss`] number.
    pub reason: u8,
}

/// `loss.reason` numbers.
pub mod loss {
    /// The outbox was full; the oldest of the lowest severity went.
    pub const FULL: u8 = 1;
    /// Bytes on disk were damaged.
    pub const DAMAGED: u8 = 2;
    /// The disk failed.
    pub const DISK: u8 = 3;
    /// It cannot be sent: larger than a message may be.
    pub const TOO_LARGE: u8 = 4;

    /// One phrase for people.
    #[must_use]
    pub fn word(reason: u8) -> &'static str {
        match reason {
            FULL => "outbox full",
            DAMAGED => "bytes damaged on disk",
            DISK => "disk failed",
            TOO_LARGE => "too large to send",
            _ => "unknown reason",
        }
    }
}

/// Why bytes are not a message, or a body not of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// Longer than [`MAX_PAYLOAD`].
    TooLong,
    /// Does not begin with [`MAGIC`].
    NotOurs,
    /// An envelope version from the future.
    Version(u8),
    /// The head is cut or malformed.
    Head,
    /// An item is cut or malformed.
    Item,
    /// The node's name has characters that names may not have.
    Name,
    /// The body is not what its kind and revision say.
    Body,
    /// No item at all.
    Empty,
}

impl DecodeError {
    /// A label for counters.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::NotOurs => "not_ours",
            Self::Version(_) => "version",
            Self::Head => "head",
            Self::Item => "item",
            Self::Name => "name",
            Self::Body => "body",
            Self::Empty => "empty",
        }
    }
}

/// Whether `name` may name a site, a node or a collector: `[a-z0-9-]{1,48}`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Writes the start of a message into `to` and returns its length; `None` if it does not fit.
pub fn write_head(head: &Head<'_>, to: &mut [u8]) -> Option<usize> {
    let (first, rest) = to.split_at_mut_checked(2)?;
    first.copy_from_slice(&[MAGIC, VERSION]);
    Some(2 + postcard::to_slice(head, rest).ok()?.len())
}

/// Writes one item into `to` and returns its length; `None` if it does not fit.
pub fn write_item(item: &Item<'_>, to: &mut [u8]) -> Option<usize> {
    Some(postcard::to_slice(item, to).ok()?.len())
}

/// Writes a body into `to` and returns its length; `None` if it does not fit.
pub fn write_body<T: Serialize>(body: &T, to: &mut [u8]) -> Option<usize> {
    Some(postcard::to_slice(body, to).ok()?.len())
}

/// Reads a message: its head, and its items one by one.
///
/// # Errors
/// If the bytes are too long, not ours, from the future, cut, or name a node that cannot be named so.
pub fn read(payload: &[u8]) -> Result<(Head<'_>, Items<'_>), DecodeError> {
    if payload.len() > MAX_PAYLOAD {
        return Err(DecodeError::TooLong);
    }
    let rest = match payload {
        [MAGIC, VERSION, rest @ ..] => rest,
        [MAGIC, version, ..] => return Err(DecodeError::Version(*version)),
        _ => return Err(DecodeError::NotOurs),
    };
    let (head, rest) = postcard::take_from_bytes::<Head<'_>>(rest).map_err(|_| DecodeError::Head)?;
    if !is_name(head.node) {
        return Err(DecodeError::Name);
    }
    if rest.is_empty() {
        return Err(DecodeError::Empty);
    }
    Ok((head, Items { rest }))
}

/// The items of a message, in order. After an error it ends.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match postcard::take_from_bytes::<Item<'a>>(self.rest) {
            Ok((item, rest)) => {
                self.rest = rest;
                Some(Ok(item))
            }
            Err(_) => {
                self.rest = &[];
                Some(Err(DecodeError::Item))
            }
        }
    }
}

/// Reads a body. Bytes after it are ignored, so that a newer revision can be read as the older one.
///
/// # Errors
/// [`DecodeError::Body`] if it is not a `T`.
pub fn read_body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, DecodeError> {
    postcard::take_from_bytes(body).map(|(value, _)| value).map_err(|_| DecodeError::Body)
}

/// Reads a birth and the series that follow it.
///
/// # Errors
/// [`DecodeError::Body`] if the fixed part is malformed; a malformed series ends the iterator.
pub fn read_birth(body: &[u8]) -> Result<(Birth, BirthSeries<'_>), DecodeError> {
    let (birth, rest) = postcard::take_from_bytes::<Birth>(body).map_err(|_| DecodeError::Body)?;
    let left = birth.series;
    Ok((birth, BirthSeries { rest, left }))
}

/// The series of a birth.
#[derive(Debug, Clone)]
pub struct BirthSeries<'a> {
    rest: &'a [u8],
    left: u16,
}

impl Iterator for BirthSeries<'_> {
    type Item = SeriesKey;

    fn next(&mut self) -> Option<SeriesKey> {
        self.left = self.left.checked_sub(1)?;
        let (key, rest) = postcard::take_from_bytes(self.rest).ok()?;
        self.rest = rest;
        Some(key)
    }
}

/// Where messages go: `{root}/1/{site}/{node}/{leaf}`.
#[must_use]
pub fn topic<'a>(root: &str, site: &str, node: &str, leaf: &str, to: &'a mut String<192>) -> &'a str {
    to.clear();
    for (i, part) in [root, "1", site, node, leaf].into_iter().enumerate() {
        if i > 0 {
            crate::series::push_cut(to, "/");
        }
        crate::series::push_cut(to, part);
    }
    to.as_str()
}
