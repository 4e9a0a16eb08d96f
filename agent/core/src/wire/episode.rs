//! What an event of an episode says.

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

use crate::series::SeriesKey;

/// How many contributors an episode names.
pub const CONTRIBUTORS: usize = 4;
/// Points of the little plot.
pub const SPARK: usize = 32;

/// How many happenings near its onset an episode names.
pub const NEAR: usize = 3;

/// `episode`, rev 3. Rev 1 ends before [`Episode::without`], rev 2 before [`Episode::near`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// The series that moved most, best explanation first; their shares add up to 100.
    pub contributors: Vec<Contributor, CONTRIBUTORS>,
    /// Who was at work at onset, if it can be known.
    pub culprit: Option<Culprit>,
    /// First bytes of the model's SHA-256; zero if the robust scorer judged alone.
    pub model: [u8; 8],
    /// The first contributor around the onset.
    pub spark: Option<Spark>,
    /// What would be thought if a part of it had not been.
    #[serde(deserialize_with = "super::if_there")]
    pub without: Option<Without>,
    /// What happened near its onset, the likeliest cause first.
    #[serde(deserialize_with = "super::if_there_many")]
    pub near: Vec<Near, NEAR>,
}

/// Something that happened near an episode's onset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Near {
    /// The kind of the [`super::Fact`].
    pub kind: String<32>,
    /// Milliseconds from it to the onset; negative: it came after.
    pub before_ms: i32,
    /// In words.
    pub text: String<96>,
}

/// A counterfactual: the same readings judged once more, with a part of them left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Without {
    /// An [`omitted`] number: what is left out.
    pub omitted: u8,
    /// The score of all of it now, 0..1, where 0.5 is the threshold.
    pub score: f32,
    /// And what it would be without.
    pub without: f32,
}

/// `without.omitted` numbers.
pub mod omitted {
    /// The first contributor's deviation: it reads what was expected. What the others say is judged.
    pub const FIRST: u8 = 1;
    /// What the culprit uses beyond its usual. The first contributor's readings less that are judged.
    pub const CULPRIT: u8 = 2;

    /// One word for people.
    #[must_use]
    pub fn word(number: u8) -> &'static str {
        match number {
            FIRST => "first",
            CULPRIT => "culprit",
            _ => "unknown",
        }
    }
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
    /// Percent of what those that are named say together.
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
    /// Its part: of one processor (1.0 = one core), or bytes, or bytes per second, by the episode's group. 0: not known, it
    /// waits for what is busy.
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
