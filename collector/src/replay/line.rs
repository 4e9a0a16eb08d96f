//! From a line of JSON back to a message: the inverse of what agents' `decode` and `replay --events` print.
//!
//! The body is written anew, in this version's revision of its kind. What JSON does not hold cannot come back: the bytes
//! of a piece of a capsule, and series that did not fit a birth.

use fieldmouse_core::wire::{self, Clock, Kind};
use serde::Deserialize;
use serde_json::Value;

use super::body;

/// One event, as it was or would be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Site, if the line names one.
    pub site: Option<String>,
    /// Node.
    pub node: String,
    /// A [`Kind`] number.
    pub kind: u16,
    /// Whether the broker kept it from earlier.
    pub retained: bool,
    /// When it arrived, in milliseconds since 1970, if the line says.
    pub received_ms: Option<u64>,
    /// When it was said, by the device's clock.
    pub wall_ms: Option<u64>,
    /// A message of this one item.
    pub payload: Vec<u8>,
}

/// A line as it is written. Keys beside these are for others.
#[derive(Debug, Deserialize)]
struct Written {
    site: Option<String>,
    node: String,
    epoch: Number,
    seq: u64,
    mono_ms: u64,
    wall_ms: Option<u64>,
    clock: String,
    severity: u8,
    kind: WordOrNumber,
    rev: u8,
    #[serde(default)]
    retained: bool,
    received_ms: Option<u64>,
    body: Value,
}

/// A number of 64 bits, which not every reader of JSON keeps unless it is written as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Number {
    Plain(u64),
    Text(String),
}

impl Number {
    pub(super) fn read(&self) -> Result<u64, String> {
        match self {
            Self::Plain(number) => Ok(*number),
            Self::Text(text) => text.parse().map_err(|_| format!("`{text}` is no number of 64 bits")),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum WordOrNumber {
    Number(u16),
    Word(String),
}

/// So much of a line that is none is shown, in characters.
const SHOWN: usize = 60;

/// Reads one line.
///
/// # Errors
/// Which key is missing or not what it should be, and the offending text.
pub fn read(text: &str) -> Result<Line, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let written: Written = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let (path, what) = (e.path().to_string(), wrong(text, e.inner()));
        if e.inner().is_data() && path != "." { format!("{path}: {what}") } else { what }
    })?;
    json.end().map_err(|e| wrong(text, &e))?;
    written.line()
}

/// What is wrong with a line, which is known by its number elsewhere.
fn wrong(text: &str, error: &serde_json::Error) -> String {
    let what = error.to_string();
    let what = what.rsplit_once(" at line ").map_or(&*what, |(what, _)| what);
    if error.is_data() {
        return what.to_owned();
    }
    let begin: String = text.trim().chars().take(SHOWN).collect();
    format!("`{begin}` is no JSON object: {what}, column {}", error.column())
}

impl Written {
    fn line(self) -> Result<Line, String> {
        for (key, name) in [("node", Some(&self.node)), ("site", self.site.as_ref())] {
            if name.is_some_and(|name| !wire::is_name(name)) {
                return Err(format!("{key}: `{}` is not [a-z0-9-], 1 to 48 of them", name.map_or("", |n| n)));
            }
        }
        let kind = match &self.kind {
            WordOrNumber::Number(number) => *number,
            WordOrNumber::Word(word) => {
                kind(word).ok_or_else(|| format!("kind: `{word}` is unknown"))? as u16
            }
        };
        let (rev, bytes) =
            body::write(Kind::of(kind), self.rev, self.body).map_err(|e| format!("body.{e}"))?;
        let item = wire::Item {
            seq: self.seq,
            mono_ms: self.mono_ms,
            wall_ms: self.wall_ms,
            clock: body::number("clock", &self.clock, Clock::word)?,
            severity: self.severity,
            kind,
            rev,
            body: &bytes,
        };
        let epoch = self.epoch.read().map_err(|e| format!("epoch: {e}"))?;
        let payload = message(&wire::Head { node: &self.node, epoch }, &item)
            .ok_or("body: is larger than a message")?;
        let (site, node, wall_ms) = (self.site, self.node, self.wall_ms);
        Ok(Line {
            site,
            node,
            kind,
            retained: self.retained,
            received_ms: self.received_ms,
            wall_ms,
            payload,
        })
    }
}

/// The kind that is called so.
fn kind(word: &str) -> Option<Kind> {
    (0..=u16::from(u8::MAX)).filter_map(Kind::of).find(|kind| format!("{kind:?}").to_lowercase() == word)
}

fn message(head: &wire::Head<'_>, item: &wire::Item<'_>) -> Option<Vec<u8>> {
    // Names and numbers of head and item take less than this.
    let mut to = vec![0; item.body.len() + 160];
    let start = wire::write_head(head, &mut to)?;
    let len = wire::write_item(item, &mut to[start..])?;
    to.truncate(start + len);
    (to.len() <= wire::MAX_PAYLOAD).then_some(to)
}
