//! Spans: counted by service and operation, and looked at for who calls whom. None is kept, but one example or two.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use fieldmouse_core::logs::mask::Masker;
use fieldmouse_core::series::{Millis, cut};
use fieldmouse_core::wire::{Detail, Fact};

use super::answer::Partial;
use super::fields::{Malformed, Message, Table, Value};
use super::graph::{Graph, Name};
use super::operation::{Call, Operation, in_words};
use super::resource::{self, Nest};
use crate::logs::shown::{Names, head};
use crate::sources::Readings;

const NEST: Nest = Nest {
    export: &[(1, "resourceSpans")],
    resource: &[(1, "resource"), (2, "scopeSpans")],
    scope: &[(2, "spans")],
};
const SPAN: &Table = &[
    (1, "traceId"),
    (2, "spanId"),
    (4, "parentSpanId"),
    (5, "name"),
    (6, "kind"),
    (7, "startTimeUnixNano"),
    (8, "endTimeUnixNano"),
    (15, "status"),
];
const STATUS: &Table = &[(2, "message"), (3, "code")];
/// The parts of a span that only an example is made of.
const DESCRIBED: &Table = &[(9, "attributes"), (11, "events"), (15, "status")];
const EVENT: &Table = &[(2, "name"), (3, "attributes")];
const ERROR: u64 = 2;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const PRODUCER: u64 = 4;
const CONSUMER: u64 = 5;
/// What says whom a client calls, the best first.
const PEERS: [&str; 6] =
    ["peer.service", "db.system.name", "db.system", "messaging.system", "server.address", "net.peer.name"];
/// Names of operations whose place is remembered.
const REMEMBERED: usize = 4096;
/// Attributes of an example.
const ATTRIBUTES: usize = 6;
/// Bytes of an example.
const EXAMPLE: usize = 200;

/// All that is known of spans.
#[derive(Debug)]
pub(super) struct Traces {
    names: Names,
    /// The one after the last that fits is what all others are counted as.
    operations: Vec<Operation>,
    most: usize,
    /// What is counted is looked at so often, and was last then.
    window_ms: Millis,
    began: Option<Millis>,
    /// By service and masked name, and by the hash of service and whole name.
    places: HashMap<(String, String), usize>,
    seen: HashMap<u64, usize>,
    hasher: RandomState,
    graph: Graph,
    is_full_told: bool,
}

/// What of a span is looked at.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    trace: u128,
    id: u128,
    parent: u128,
    kind: u64,
    began: u64,
    ended: u64,
    is_error: bool,
}

impl Traces {
    pub(super) fn new(most: usize, window_ms: Millis, masker: Masker) -> Self {
        Self {
            names: Names::new(masker),
            operations: Vec::new(),
            most,
            window_ms,
            began: None,
            places: HashMap::new(),
            seen: HashMap::new(),
            hasher: RandomState::new(),
            graph: Graph::default(),
            is_full_told: false,
        }
    }

    /// Every span is counted, so nothing of it is refused.
    pub(super) fn take(&mut self, export: Message<'_>, now: Millis) -> Result<Partial, Malformed> {
        resource::each(&NEST, export, &mut |service, span| self.span(service, span, now))?;
        Ok(Partial::default())
    }

    pub(super) fn tick(&mut self, now: Millis, out: &mut Readings) {
        let window = self.window_ms;
        let began = *self.began.get_or_insert(now);
        if now.saturating_sub(began) >= window {
            // Windows follow the clock, so that the rhythm is kept.
            self.began = Some(if now - began >= 2 * window { now } else { began + window });
            self.roll(now, out);
        } else {
            self.operations.iter().for_each(|operation| operation.rest(now, out));
        }
        if let Some(edges) = self.graph.news(now) {
            out.set_edges(edges);
        }
        if self.operations.len() > self.most && !std::mem::replace(&mut self.is_full_told, true) {
            let text = format!(
                "more than {} operations export spans; the others are counted together (source.otlp.operations)",
                self.most
            );
            out.tell(13, Fact::new("otlp-full", &text));
        }
    }

    /// A window ends. The slowest call of all, and one of the operation that failed most often, are shown.
    fn roll(&mut self, now: Millis, out: &mut Readings) {
        let mut slowest: Option<(f64, String, String)> = None;
        let mut failing: Option<(u64, String, String)> = None;
        for operation in &mut self.operations {
            let examples = operation.roll(now, self.window_ms, out);
            if let Some((seconds, text)) = examples.slowest
                && slowest.as_ref().is_none_or(|(most, ..)| seconds > *most)
            {
                slowest = Some((seconds, operation.called(), text));
            }
            if let Some((failed, text)) = examples.failing
                && failing.as_ref().is_none_or(|(most, ..)| failed > *most)
            {
                failing = Some((failed, operation.called(), text));
            }
        }
        let mut show = |kind: &str, count: u64, called: &str, example: &str| {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let detail = Detail { about: cut(called), count, example: cut(example), ..Detail::default() };
            out.show(Fact { detail: Some(detail), ..Fact::new(kind, called) });
        };
        if let Some((_, called, example)) = slowest {
            show("trace-slowest", 1, &called, &example);
        }
        if let Some((failed, called, example)) = failing {
            show("trace-failing", failed, &called, &example);
        }
    }

    fn span(&mut self, service: &str, message: Message<'_>, now: Millis) -> Result<(), Malformed> {
        let (mut span, mut name) = (Span::default(), "".into());
        for field in message.fields(SPAN) {
            let (number, value) = field?;
            match number {
                1 => span.trace = value.id()?,
                2 => span.id = value.id()?,
                4 => span.parent = value.id()?,
                5 => name = value.text()?,
                6 => span.kind = value.uint()?,
                7 => span.began = value.uint()?,
                8 => span.ended = value.uint()?,
                _ => span.is_error = status(value)?.1 == ERROR,
            }
        }
        let at = self.operation(service, &name);
        let seconds = span.ended.saturating_sub(span.began) as f64 / 1e9;
        let call = Call { seconds, is_error: span.is_error };
        let is_wanted = self.operations[at].wants(call);
        let example = is_wanted.then(|| example(&mut self.names, message, span, seconds)).transpose()?;
        self.operations[at].take(call, example, now);
        self.follow(service, message, span, now)
    }

    /// The place of an operation.
    fn operation(&mut self, service: &str, name: &str) -> usize {
        let hash = self.hasher.hash_one((service, name));
        if let Some(at) = self.seen.get(&hash) {
            return *at;
        }
        let service = crate::sources::label(head(service, EXAMPLE));
        let masked = self.names.operation(name);
        let Self { operations, places, most, seen, .. } = self;
        let key = (service, masked);
        let at = match places.get(&key) {
            Some(at) => *at,
            None if operations.len() < *most => {
                operations.push(Operation::new(&key.0, &key.1));
                places.insert(key, operations.len() - 1);
                operations.len() - 1
            }
            None => {
                if operations.len() == *most {
                    operations.push(Operation::new("other", "other"));
                }
                *most
            }
        };
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(hash, at);
        at
    }

    /// Who calls whom.
    fn follow(
        &mut self,
        service: &str,
        message: Message<'_>,
        span: Span,
        now: Millis,
    ) -> Result<(), Malformed> {
        let call = |id: u128| {
            let mixed = span.trace ^ span.trace >> 64 ^ id.rotate_left(1);
            #[expect(clippy::cast_possible_truncation, reason = "a hash of both")]
            let mixed = mixed as u64;
            mixed
        };
        match span.kind {
            CLIENT | PRODUCER => {
                let Some(who) = self.graph.name(&crate::sources::label(service)) else { return Ok(()) };
                let peer = self.peer(message)?;
                self.graph.calls(who, call(span.id), peer, now);
            }
            SERVER | CONSUMER if span.parent != 0 => {
                let Some(who) = self.graph.name(&crate::sources::label(service)) else { return Ok(()) };
                self.graph.answers(who, call(span.parent), now);
            }
            _ => {}
        }
        Ok(())
    }

    /// What a client says it calls.
    fn peer(&mut self, message: Message<'_>) -> Result<Option<Name>, Malformed> {
        let mut best: Option<(usize, String)> = None;
        for field in message.fields(DESCRIBED) {
            let (9, entry) = field? else { continue };
            let (key, value) = resource::attribute(entry)?;
            let Some(rank) = PEERS.iter().position(|known| *known == key) else { continue };
            if best.as_ref().is_none_or(|(other, _)| rank < *other) {
                best = Some((rank, value.shown().into_owned()));
            }
        }
        let Some((rank, peer)) = best else { return Ok(None) };
        let peer = self.names.value(PEERS[rank], &peer);
        // An address is no name.
        Ok((!peer.is_empty() && !peer.contains('<')).then(|| self.graph.name(&peer)).flatten())
    }
}

/// What is said of the outcome, and its code.
fn status(value: Value<'_>) -> Result<(String, u64), Malformed> {
    let (mut message, mut code) = (String::new(), 0);
    for field in value.message()?.fields(STATUS) {
        match field? {
            (2, text) => message = head(&text.text()?, EXAMPLE).to_owned(),
            (_, number) => code = number.uint()?,
        }
    }
    Ok((message, code))
}

/// A call in a line: how long it took, what became of it, what it was, and how its trace is found.
fn example(names: &mut Names, message: Message<'_>, span: Span, seconds: f64) -> Result<String, Malformed> {
    let mut text = in_words(seconds);
    if span.is_error {
        text.push_str(", failed");
    }
    let mut attributes = Vec::new();
    for field in message.fields(DESCRIBED) {
        match field? {
            (9, entry) => attribute(names, entry, &mut attributes)?,
            (11, event) => {
                for part in event.message()?.fields(EVENT) {
                    let (3, entry) = part? else { continue };
                    if resource::attribute(entry)?.0.starts_with("exception.") {
                        attribute(names, entry, &mut attributes)?;
                    }
                }
            }
            (_, outcome) => {
                let said = status(outcome)?.0;
                if !said.is_empty() {
                    text = format!("{text}: {}", names.value("", &said));
                }
            }
        }
    }
    for (i, attribute) in attributes.iter().enumerate() {
        text = format!("{text}{} {attribute}", if i == 0 { ";" } else { "," });
    }
    let trace = format!("; trace {:032x}", span.trace);
    Ok(format!("{}{trace}", head(&text, EXAMPLE - trace.len())))
}

/// Stacks are too long to be of use here.
fn attribute(names: &mut Names, entry: Value<'_>, to: &mut Vec<String>) -> Result<(), Malformed> {
    let (key, value) = resource::attribute(entry)?;
    if to.len() < ATTRIBUTES && key != "exception.stacktrace" {
        let key = crate::sources::label(head(&key, 40));
        let value = names.value(&key, head(&value.shown(), EXAMPLE));
        to.push(format!("{key}={}", head(&value, 60)));
    }
    Ok(())
}
