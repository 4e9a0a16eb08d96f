//! What leaves the device, byte for byte: the only types that are serialised.
//!
//! A message is a magic byte, the envelope version, then postcard: one [`Head`] and one or more [`Item`]s to the
//! end of the payload. An item's body is the postcard of the struct named by `(kind, rev)`. Rules of evolution:
//! a body's fields are only ever appended, and appending raises `rev`; open sets travel as numbers, not as enums.
//! Golden bytes of every revision are kept in the tests.

mod body;
mod capsule;
mod episode;

use heapless::String;
use serde::{Deserialize, Deserializer, Serialize};

pub use body::*;
pub use capsule::*;
pub use episode::*;

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
    /// [`Ask`]: from a collector, for a piece of a capsule.
    Ask = 5,
    /// [`Piece`]: the answer.
    Piece = 6,
    /// [`Episode`]: an anomaly opened, changed, closed or came back.
    Episode = 10,
    /// [`Fact`]: something happened.
    Fact = 11,
    /// [`Trouble`]: a source or a series stopped or resumed giving good data.
    Trouble = 12,
    /// [`Loss`]: numbers that will never come, and why.
    Loss = 13,
    /// [`ClockSet`]: when earlier events really happened.
    ClockSet = 14,
    /// [`Forecast`]: a limit will be reached, or no longer will.
    Forecast = 15,
}

impl Kind {
    /// The revision in which this version writes its bodies.
    #[must_use]
    pub fn rev(self) -> u8 {
        match self {
            Self::Episode => 3,
            Self::Birth | Self::Beat | Self::Ack | Self::Fact => 2,
            _ => 1,
        }
    }

    /// The kind of a number, if this version knows it.
    #[must_use]
    pub fn of(number: u16) -> Option<Self> {
        [
            Self::Status,
            Self::Birth,
            Self::Beat,
            Self::Ack,
            Self::Ask,
            Self::Piece,
            Self::Episode,
            Self::Fact,
            Self::Trouble,
            Self::Loss,
            Self::ClockSet,
            Self::Forecast,
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
    /// Gap-free within the epoch, from 1; 0 for what does not go through the outbox (status, birth, beat, ack, ask, piece).
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

/// What older revisions end before is not there.
fn if_there<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Ok(Option::deserialize(from).unwrap_or(None))
}

/// The same of a list.
fn if_there_many<'de, T: Deserialize<'de>, D: Deserializer<'de>, const N: usize>(
    from: D,
) -> Result<heapless::Vec<T, N>, D::Error> {
    Ok(heapless::Vec::deserialize(from).unwrap_or_default())
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
