//! What collectors and devices say of capsules: a question for a piece, and the answer.

use heapless::String;
use serde::{Deserialize, Serialize};

use super::NAME;

/// `ask`, rev 1: from a collector, for the bytes of an episode's capsule from `at` on. The head names the device and the
/// epoch of the episode. To ask again does no harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The episode's number.
    pub episode: u64,
    /// The first byte that is wanted.
    pub at: u32,
    /// The collector's name, as in the topic of its status.
    pub by: String<NAME>,
}

/// `piece`, rev 1: the answer to an [`Ask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece<'a> {
    /// The episode's number.
    pub episode: u64,
    /// A [`piece`] number.
    pub why: u8,
    /// If there is nothing now: ask again after so many seconds.
    pub retry_s: u32,
    /// The whole capsule's length and CRC-32. Whoever holds pieces of another one begins anew.
    pub whole: (u32, u32),
    /// Where these bytes stand in it.
    pub at: u32,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// `piece.why` numbers.
pub mod piece {
    /// Here are the bytes.
    pub const HERE: u8 = 0;
    /// There is no capsule of that episode.
    pub const UNKNOWN: u8 = 1;
    /// What may be sent in a day was sent.
    pub const BUDGET: u8 = 2;
    /// It is still being recorded.
    pub const UNFINISHED: u8 = 3;
    /// It cannot be read.
    pub const FAILED: u8 = 4;

    /// One phrase for people.
    #[must_use]
    pub fn word(why: u8) -> &'static str {
        match why {
            HERE => "here",
            UNKNOWN => "the device has no capsule of it",
            BUDGET => "the device has sent as much of capsules as it may in a day",
            UNFINISHED => "it is still being recorded",
            FAILED => "the device cannot read it",
            _ => "the device does not say why",
        }
    }
}
