//! Capsules: what the device read around an episode and what it knew before, so that its scores can be had again, bit for
//! bit, elsewhere and later.
//!
//! A capsule is the state of the whole pipeline at one moment, the raw readings of every series from before that moment
//! to some time after the onset, and the configuration. It is a file of records: `magic 7`, then each
//! `kind u8 | length u32 | crc u32`, little endian, and the body. It grows at its end only, so a capsule that was cut by
//! a power cut says the rest.

mod lending;
mod recorder;
pub mod replay;
pub mod ring;
mod shelf;

use std::fmt;

use fieldmouse_core::series::{Millis, SeriesKey};
use fieldmouse_core::wire;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use lending::{Lending, refusal};
pub use recorder::{Here, Recorder, Usage};
pub use ring::{Block, Tick};
pub use shelf::{Job, Shelf, State, number};

const MAGIC: &[u8; 7] = b"FMCAP\x001";
/// How a capsule's file is called.
pub const SUFFIX: &str = ".capsule";
const FRAME: usize = 9;
/// The longest file that is read.
pub const MOST: u64 = 32 << 20;

/// What a record holds. The numbers stand in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum What {
    /// A [`Head`].
    Head = 1,
    /// The configuration, as TOML.
    Config = 2,
    /// More series: key and milliseconds between samples, in the order of their indices.
    Series = 3,
    /// The number of the tick before which the state was taken, then the state.
    State = 4,
    /// A [`Block`]: number of the first tick, how many, the ticks.
    Readings = 5,
    /// What was told at which tick: number of the tick, severity, an episode.
    Told = 6,
    /// What happened near it, and what shows what went on: number of the tick, severity, a fact.
    Near = 7,
}

/// What a capsule is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The device.
    pub node: String,
    /// The agent's version, and what it ran on: `0.1.0 x86_64`.
    pub agent: String,
    /// The episode that was opened.
    pub episode: u64,
    /// When, monotonic.
    pub opened: Millis,
    /// When, in milliseconds since 1970, if it was known.
    pub wall_ms: Option<u64>,
    /// Models that ran: name, and first bytes of their SHA-256.
    pub models: Vec<(String, [u8; 8])>,
    /// First bytes of the configuration's SHA-256.
    pub config: [u8; 8],
}

/// A capsule that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Capsule {
    /// What it is of.
    pub head: Head,
    /// The configuration, as TOML.
    pub config: String,
    /// Every series: key, and milliseconds between samples.
    pub series: Vec<(SeriesKey, u32)>,
    /// Number of the tick before which the state was taken, and the state.
    pub state: (u64, Vec<u8>),
    /// Raw readings.
    pub blocks: Vec<Block>,
    /// What was told: number of the tick, severity, episode.
    pub told: Vec<(u64, u8, wire::Episode)>,
    /// Facts that were told, and examples of calls and errors, near the onset: number of the tick, severity (0: it was not
    /// told), what.
    pub near: Vec<(u64, u8, wire::Fact)>,
    /// Bytes at the end that cannot be read.
    pub damaged: usize,
}

/// Why a file is no capsule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCapsule(&'static str);

impl std::error::Error for NoCapsule {}

impl fmt::Display for NoCapsule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "is no capsule: {}; `fieldmouse capsule list` names those of this device", self.0)
    }
}

impl Capsule {
    /// Reads a file. What is damaged ends it.
    ///
    /// # Errors
    /// If there is not enough to replay.
    pub fn read(bytes: &[u8]) -> Result<Self, NoCapsule> {
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(NoCapsule("it does not begin like one"))?;
        let (mut head, mut config, mut state) = (None, None, None);
        let (mut series, mut blocks, mut told, mut near) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        while let Some((kind, body)) = frame(rest) {
            let is_read = match kind {
                k if k == What::Head as u8 => read(body).map(|it| head = Some(it)).is_some(),
                k if k == What::Config as u8 => {
                    std::str::from_utf8(body).map(|it| config = Some(it.to_owned())).is_ok()
                }
                k if k == What::Series as u8 => read(body).map(|more: Vec<_>| series.extend(more)).is_some(),
                k if k == What::State as u8 => {
                    number_and(body).map(|(at, it)| state = Some((at, it.to_vec()))).is_some()
                }
                k if k == What::Readings as u8 => block(body).map(|it| blocks.push(it)).is_some(),
                k if k == What::Told as u8 => read(body).map(|it| told.push(it)).is_some(),
                k if k == What::Near as u8 => read(body).map(|it| near.push(it)).is_some(),
                // A newer agent's record.
                _ => true,
            };
            if !is_read {
                break;
            }
            rest = &rest[FRAME + body.len()..];
        }
        Ok(Self {
            head: head.ok_or(NoCapsule("its head cannot be read"))?,
            config: config.ok_or(NoCapsule("its configuration cannot be read"))?,
            series,
            state: state.ok_or(NoCapsule("its state cannot be read"))?,
            blocks,
            told,
            near,
            damaged: rest.len(),
        })
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    postcard::from_bytes(body).ok()
}

fn number_and(body: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = body.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

fn block(body: &[u8]) -> Option<Block> {
    let (first, rest) = number_and(body)?;
    let (ticks, bytes) = rest.split_first_chunk()?;
    Some(Block { first, ticks: u32::from_le_bytes(*ticks), bytes: bytes.to_vec() })
}

/// The next record: its kind and its body.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (len, rest) = rest.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let body = rest.get(..usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
    (crc32fast::hash(body) == u32::from_le_bytes(*sum)).then_some((*kind, body))
}

/// Writes records.
struct Writer(Vec<u8>);

impl Writer {
    /// Of a new file.
    fn begin() -> Self {
        Self(MAGIC.to_vec())
    }

    /// Of what is added to a file.
    fn more() -> Self {
        Self(Vec::new())
    }

    fn put(&mut self, what: What, parts: &[&[u8]]) {
        let mut sum = crc32fast::Hasher::new();
        parts.iter().for_each(|part| sum.update(part));
        let len = u32::try_from(parts.iter().map(|part| part.len()).sum::<usize>()).unwrap_or(u32::MAX);
        self.0.push(what as u8);
        self.0.extend(len.to_le_bytes());
        self.0.extend(sum.finalize().to_le_bytes());
        parts.iter().for_each(|part| self.0.extend_from_slice(part));
    }

    fn put_as<T: Serialize>(&mut self, what: What, value: &T) {
        // Writing to a vector cannot fail, and all of these types can be written.
        let body = postcard::to_extend(value, Vec::new()).unwrap_or_default();
        self.put(what, &[&body]);
    }

    fn put_block(&mut self, block: &Block) {
        self.put(What::Readings, &[&block.first.to_le_bytes(), &block.ticks.to_le_bytes(), &block.bytes]);
    }
}
