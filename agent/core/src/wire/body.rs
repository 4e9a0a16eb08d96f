//! What items say: one struct per [`super::Kind`], and the numbers that stand in them.

use heapless::String;
use serde::{Deserialize, Serialize};

use super::{DecodeError, NAME};
use crate::series::{SeriesKey, cut};

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

/// `birth`, rev 2. In the item's body it is followed by `series` entries of [`SeriesKey`], or fewer if there is no room
/// for all. In rev 2 the last two bytes are the length, in little endian, of what stands before them: entries of [`Edge`].
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

/// `beat`, rev 2: a [`Beat`], then this: what the false-alarm budget came to, and how far learning has come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alarms {
    /// How many alarms the budget allows …
    pub budget: f32,
    /// … in so many seconds.
    pub period_s: u32,
    /// Episodes opened.
    pub opened: u16,
    /// In so many seconds of observation.
    pub observed_s: u32,
    /// Series that are judged with confidence.
    pub confident: u16,
}

/// Reads a beat of any revision.
///
/// # Errors
/// [`DecodeError::Body`] if it is malformed.
pub fn read_beat(rev: u8, body: &[u8]) -> Result<(Beat, Option<Alarms>), DecodeError> {
    let (beat, rest) = postcard::take_from_bytes(body).map_err(|_| DecodeError::Body)?;
    let alarms = (rev >= 2).then(|| super::read_body(rest)).transpose()?;
    Ok((beat, alarms))
}

/// `ack`, rev 1: everything up to `seq` of `epoch` is in the collector's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The epoch spoken of.
    pub epoch: u64,
    /// Highest number without a gap below it.
    pub seq: u64,
}

/// `ack`, rev 2: an [`Ack`] and whose word it is. Several collectors may listen to one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckFrom {
    /// What is safe.
    pub ack: Ack,
    /// The collector's name, as in the topic of its status.
    pub collector: String<NAME>,
}

/// `fact`, rev 2. Rev 1 ends before [`Fact::detail`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What sort: `deployment`, `job`, `note`, …
    pub kind: String<32>,
    /// In words.
    pub text: String<200>,
    /// What else is known of it.
    #[serde(deserialize_with = "super::if_there")]
    pub detail: Option<Detail>,
}

impl Fact {
    /// Words alone. What does not fit is cut.
    #[must_use]
    pub fn new(kind: &str, text: &str) -> Self {
        Self { kind: cut(kind), text: cut(text), detail: None }
    }
}

/// More of a [`Fact`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The thing it speaks of: a template's id, a unit, a package, a path, a job, a service. Facts of one thing agree in it.
    pub about: String<64>,
    /// Milliseconds from when it happened to this event.
    pub since_ms: u32,
    /// How often it happened; 0 where that means nothing.
    pub count: u32,
    /// One example, masked, or what explains it.
    pub example: String<200>,
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

/// `clock-set`, rev 1: what the wall time of earlier events was. They were made before the clock was set or corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSet {
    /// The epoch of those events.
    pub epoch: u64,
    /// The first of them.
    pub first: u64,
    /// The last of them. What lies between and was dated by a synchronised clock stays as it is.
    pub last: u64,
    /// When the device had booted, in milliseconds since 1970: an event happened `mono_ms` later.
    pub boot_ms: u64,
}

/// `forecast`, rev 1: told when a limit comes within the horizon, when it is quite another time or graver, and when it
/// is no longer expected. Spans count from this event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Which series. No series has more than one forecast that is open.
    pub key: SeriesKey,
    /// A [`phase`] number.
    pub phase: u8,
    /// What must not be reached.
    pub limit: f32,
    /// Where the series is.
    pub level: f32,
    /// How much it changes in a day.
    pub per_day: f32,
    /// How many bytes 1 stands for, if the series is a share of bytes; else 0.
    pub whole: f32,
    /// Seconds until the limit is reached: the central estimate.
    pub expected_s: u32,
    /// Earlier in one of twenty cases.
    pub early_s: u32,
    /// Later in one of twenty cases; none if it may as well never be.
    pub late_s: Option<u32>,
}

/// Reads an acknowledgement of any revision: what is safe, and whose word it is if it says.
///
/// # Errors
/// [`DecodeError::Body`] if it is malformed.
pub fn read_ack(rev: u8, body: &[u8]) -> Result<(Ack, Option<String<NAME>>), DecodeError> {
    if rev < 2 {
        return super::read_body(body).map(|ack| (ack, None));
    }
    super::read_body::<AckFrom>(body).map(|said| (said.ack, Some(said.collector)))
}

/// Most edges that a birth names.
pub const EDGES: usize = 64;

/// Who calls whom, as spans show it: two services, or a service and what it uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// Who calls.
    pub from: String<32>,
    /// Who is called.
    pub to: String<32>,
}

/// Reads a birth of any revision, and the series and edges that follow it.
///
/// # Errors
/// [`DecodeError::Body`] if the fixed part is malformed; a malformed series or edge ends its iterator.
pub fn read_birth(rev: u8, body: &[u8]) -> Result<(Birth, BirthSeries<'_>, BirthEdges<'_>), DecodeError> {
    let (birth, mut rest) = postcard::take_from_bytes::<Birth>(body).map_err(|_| DecodeError::Body)?;
    let left = birth.series;
    let mut edges: &[u8] = &[];
    if rev >= 2 {
        let (before, length) = rest.split_last_chunk().ok_or(DecodeError::Body)?;
        let length = usize::from(u16::from_le_bytes(*length));
        let at = before.len().checked_sub(length).ok_or(DecodeError::Body)?;
        (rest, edges) = before.split_at(at);
    }
    Ok((birth, BirthSeries { rest, left }, BirthEdges { rest: edges, left: EDGES }))
}

/// The edges of a birth.
#[derive(Debug, Clone)]
pub struct BirthEdges<'a> {
    rest: &'a [u8],
    left: usize,
}

impl Iterator for BirthEdges<'_> {
    type Item = Edge;

    fn next(&mut self) -> Option<Edge> {
        self.left = self.left.checked_sub(1)?;
        let (edge, rest) = postcard::take_from_bytes(self.rest).ok()?;
        self.rest = rest;
        Some(edge)
    }
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
