//! From a topic and bytes to a message whose parts agree. Pure: no clock, no store.

use fieldmouse_core::series::SeriesKey;
use fieldmouse_core::wire::{self, DecodeError, Kind};

/// The most bytes of a dead letter that are kept.
pub const DEAD_LETTER_BYTES: usize = 4096;

/// What arrived, understood or not.
#[derive(Debug, Clone)]
pub enum Arrival {
    /// A message of a device.
    Message(Message),
    /// Bytes that are none.
    Refused(DeadLetter),
}

/// A message of a device: every item of it could be read as an item.
#[derive(Debug, Clone)]
pub struct Message {
    /// Site, from the topic.
    pub site: String,
    /// Node, from the topic and the head, which agree.
    pub node: String,
    /// Epoch of the outbox.
    pub epoch: u64,
    /// Where it was published.
    pub leaf: Leaf,
    /// Whether the broker kept it from earlier, so that it says nothing about now.
    pub retained: bool,
    /// Milliseconds since 1970 at arrival.
    pub received_ms: u64,
    /// What it says.
    pub items: Vec<Entry>,
}

/// The last part of the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// Presence.
    Status,
    /// Description.
    Birth,
    /// The agent's own health.
    Beat,
    /// Events of the outbox.
    Event,
    /// Pieces of capsules, as they were asked for.
    Capsule,
}

impl Leaf {
    /// All that the collector listens to.
    pub const ALL: [Self; 5] = [Self::Status, Self::Birth, Self::Beat, Self::Event, Self::Capsule];

    /// As it stands in the topic.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Birth => "birth",
            Self::Beat => "beat",
            Self::Event => "event",
            Self::Capsule => "capsule",
        }
    }

    fn may_carry(self, kind: u16) -> bool {
        match (self, Kind::of(kind)) {
            (Self::Status, k) => k == Some(Kind::Status),
            (Self::Birth, k) => k == Some(Kind::Birth),
            (Self::Beat, k) => k == Some(Kind::Beat),
            (Self::Capsule, k) => k == Some(Kind::Piece),
            (
                Self::Event,
                Some(Kind::Status | Kind::Birth | Kind::Beat | Kind::Ack | Kind::Ask | Kind::Piece),
            ) => false,
            // Kinds of newer agents are kept as they are.
            (Self::Event, _) => true,
        }
    }
}

/// One item with its body.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Number within the epoch; 0 outside the outbox.
    pub seq: u64,
    /// Milliseconds since the device's boot.
    pub mono_ms: u64,
    /// Milliseconds since 1970 by the device's clock.
    pub wall_ms: Option<u64>,
    /// A [`wire::Clock`] number.
    pub clock: u8,
    /// OpenTelemetry severity number.
    pub severity: u8,
    /// A [`Kind`] number, known or not.
    pub kind: u16,
    /// Revision of the body.
    pub rev: u8,
    /// The body's bytes.
    pub raw: Vec<u8>,
    /// The body, read.
    pub body: Body,
}

/// A body, as far as this version can read it.
#[derive(Debug, Clone)]
pub enum Body {
    /// Presence.
    Status(wire::Status),
    /// Description, series, and who calls whom.
    Birth(Box<wire::Birth>, Vec<SeriesKey>, Vec<wire::Edge>),
    /// The agent's own health.
    Beat(wire::Beat),
    /// An anomaly.
    Episode(Box<wire::Episode>),
    /// Something happened.
    Fact(Box<wire::Fact>),
    /// A source or series fails or works again.
    Trouble(wire::Trouble),
    /// Numbers that never come.
    Loss(wire::Loss),
    /// A limit will be reached.
    Forecast(wire::Forecast),
    /// When earlier events happened.
    ClockSet(wire::ClockSet),
    /// Part of a capsule.
    Piece(Piece),
    /// A kind from the future: kept raw.
    Unknown,
    /// Not what its kind says: kept raw. Its number is accounted for, because sending it again would not help.
    Malformed,
}

/// A [`wire::Piece`] of its own.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names are those of wire::Piece")]
pub struct Piece {
    pub episode: u64,
    pub why: u8,
    pub retry_s: u32,
    pub whole: (u32, u32),
    pub at: u32,
    pub bytes: Vec<u8>,
}

/// What could not be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it was published.
    pub topic: String,
    /// One word.
    pub reason: &'static str,
    /// Its first bytes, at most [`DEAD_LETTER_BYTES`].
    pub payload: Vec<u8>,
    /// How many bytes it had.
    pub size: usize,
    /// Milliseconds since 1970.
    pub received_ms: u64,
}

impl DeadLetter {
    /// Keeps the beginning of `payload`.
    #[must_use]
    pub fn new(topic: &str, reason: &'static str, payload: &[u8], received_ms: u64) -> Self {
        let topic = topic.chars().take(256).collect();
        let size = payload.len();
        Self { topic, reason, payload: payload[..size.min(DEAD_LETTER_BYTES)].to_vec(), size, received_ms }
    }
}

/// Reads what was published at `topic`.
#[must_use]
pub fn arrival(root: &str, topic: &str, payload: &[u8], retained: bool, received_ms: u64) -> Arrival {
    match message(root, topic, payload, retained, received_ms) {
        Ok(message) => Arrival::Message(message),
        Err(reason) => Arrival::Refused(DeadLetter::new(topic, reason, payload, received_ms)),
    }
}

fn message(
    root: &str,
    topic: &str,
    payload: &[u8],
    retained: bool,
    received_ms: u64,
) -> Result<Message, &'static str> {
    let (site, node, leaf) = parts(root, topic).ok_or("topic")?;
    let (head, items) = wire::read(payload).map_err(DecodeError::word)?;
    if head.node != node {
        return Err("node");
    }
    let items = items.map(|item| entry(leaf, &item.map_err(DecodeError::word)?)).collect::<Result<_, _>>()?;
    Ok(Message {
        site: site.to_owned(),
        node: node.to_owned(),
        epoch: head.epoch,
        leaf,
        retained,
        received_ms,
        items,
    })
}

/// Site, node and leaf of a device's topic.
pub(super) fn parts<'t>(root: &str, topic: &'t str) -> Option<(&'t str, &'t str, Leaf)> {
    let rest = topic.strip_prefix(root)?.strip_prefix("/1/")?;
    let mut parts = rest.split('/');
    let (site, node, leaf) = (parts.next()?, parts.next()?, parts.next()?);
    let leaf = Leaf::ALL.into_iter().find(|l| l.word() == leaf)?;
    (parts.next().is_none() && wire::is_name(site) && wire::is_name(node)).then_some((site, node, leaf))
}

fn entry(leaf: Leaf, item: &wire::Item<'_>) -> Result<Entry, &'static str> {
    if !leaf.may_carry(item.kind) {
        return Err("kind");
    }
    // Numbers live in signed columns. An event needs a number; a loss may speak for others without having one.
    let numbered = i64::try_from(item.seq).map_err(|_| "seq")? > 0;
    if leaf == Leaf::Event && !numbered && item.kind != Kind::Loss as u16 {
        return Err("seq");
    }
    let body = body(item).unwrap_or(Body::Malformed);
    // Outside the outbox nothing is gained by keeping what cannot be read.
    if matches!(body, Body::Malformed) && !numbered {
        return Err(DecodeError::Body.word());
    }
    Ok(Entry {
        seq: item.seq,
        mono_ms: item.mono_ms,
        wall_ms: item.wall_ms,
        clock: item.clock,
        severity: item.severity,
        kind: item.kind,
        rev: item.rev,
        raw: item.body.to_vec(),
        body,
    })
}

fn body(item: &wire::Item<'_>) -> Result<Body, DecodeError> {
    // Later revisions only append, so they read as the one known here.
    let bytes = item.body;
    Ok(match Kind::of(item.kind) {
        Some(Kind::Status) => Body::Status(wire::read_body(bytes)?),
        Some(Kind::Birth) => {
            let (birth, series, edges) = wire::read_birth(item.rev, bytes)?;
            Body::Birth(Box::new(birth), series.collect(), edges.collect())
        }
        Some(Kind::Beat) => Body::Beat(wire::read_body(bytes)?),
        Some(Kind::Episode) => Body::Episode(Box::new(wire::read_body(bytes)?)),
        Some(Kind::Fact) => Body::Fact(Box::new(wire::read_body(bytes)?)),
        Some(Kind::Trouble) => Body::Trouble(wire::read_body(bytes)?),
        Some(Kind::Loss) => Body::Loss(wire::read_body(bytes)?),
        Some(Kind::Forecast) => Body::Forecast(wire::read_body(bytes)?),
        Some(Kind::ClockSet) => Body::ClockSet(wire::read_body(bytes)?),
        Some(Kind::Piece) => {
            let p: wire::Piece<'_> = wire::read_body(bytes)?;
            let (whole, bytes) = (p.whole, p.bytes.to_vec());
            Body::Piece(Piece { episode: p.episode, why: p.why, retry_s: p.retry_s, whole, at: p.at, bytes })
        }
        Some(Kind::Ack | Kind::Ask) | None => Body::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    fn reason(topic: &str, payload: &[u8]) -> &'static str {
        match arrival("fieldmouse", topic, payload, false, 1) {
            Arrival::Message(_) => "taken",
            Arrival::Refused(letter) => letter.reason,
        }
    }

    #[test]
    fn what_is_refused_is_refused_with_a_reason() {
        let fact = sample::message("press-1", 7, &[sample::fact(1, "note", "hello")]);
        let topic = "fieldmouse/1/hall/press-1/event";
        let check = |topic: &str, payload: &[u8], want| assert_eq!(reason(topic, payload), want, "{topic}");
        check(topic, &fact, "taken");
        check("fieldmouse/1/hall/press-2/event", &fact, "node");
        check("fieldmouse/1/hall/press-1/status", &fact, "kind");
        check("fieldmouse/1/Hall/press-1/event", &fact, "topic");
        check("fieldmouse/1/hall/press-1/ack", &fact, "topic");
        check("fieldmouse/2/hall/press-1/event", &fact, "topic");
        check(topic, b"{\"json\":1}", "not_ours");
        check(topic, &[], "not_ours");
        check(topic, &[wire::MAGIC, 9, 1], "version");
        check(topic, &fact[..fact.len() - 1], "item");
        check(topic, &sample::message("press-1", 7, &[sample::fact(0, "note", "no number")]), "seq");
        check(topic, &vec![wire::MAGIC; wire::MAX_PAYLOAD + 1], "too_long");
    }

    #[test]
    fn a_dead_letter_keeps_its_beginning() {
        let Arrival::Refused(letter) = arrival("fieldmouse", "x", &[1; 10_000], false, 5) else {
            panic!("it is no message")
        };
        assert_eq!((letter.payload.len(), letter.size, letter.received_ms), (DEAD_LETTER_BYTES, 10_000, 5));
    }

    proptest! {
        #[test]
        fn any_bytes_return(mut payload in proptest::collection::vec(any::<u8>(), 0..400), ours: bool) {
            if ours && payload.len() > 2 {
                payload[..2].copy_from_slice(&[wire::MAGIC, wire::VERSION]);
            }
            let _any = arrival("fieldmouse", "fieldmouse/1/a/b/event", &payload, false, 0);
        }
    }
}
