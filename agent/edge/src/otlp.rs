//! OpenTelemetry in: what instrumented programs export by OTLP/HTTP becomes series, facts and lines; nothing of it is
//! passed on.
//!
//! ```text
//! http ─► fields (protobuf or JSON, one pass, no tree) ─► traces: operations, graph ─► series, facts, edges
//!                                                      ├► metrics: streams          ─► series
//!                                                      └► logs                      ─► a book of lines
//! ```
//!
//! Every table here is bounded, and what does not fit is counted. Nothing here knows a clock: times are those of the
//! last sample, or those that stand in the data.

mod answer;
mod fields;
mod graph;
mod logs;
mod metrics;
mod operation;
mod resource;
mod sketch;
#[cfg(test)]
mod tests;
mod traces;

use fieldmouse_core::series::Millis;

use crate::http::Response;
use crate::logs::book::Book;
use crate::sources::{Place, Readings};

use answer::Partial;
use fields::{Malformed, Message};

/// How much is told apart.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Operations of all services.
    pub operations: usize,
    /// Series of metrics.
    pub series: usize,
    /// The time over which calls are counted. Programs export them in batches, of five seconds by default.
    pub window_ms: Millis,
}

/// The three kinds of what is exported, by their paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// Where it is exported to.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }
}

/// Protobuf, as its content type.
pub const PROTOBUF: &str = "application/x-protobuf";
/// JSON, as its content type.
pub const JSON: &str = "application/json";

/// What was exported, gathered until the next sample.
#[derive(Debug)]
pub struct Intake {
    place: Place,
    saved: Option<Vec<u8>>,
    traces: traces::Traces,
    metrics: metrics::Metrics,
    /// Made by the first log record.
    book: Option<Book>,
    now: Millis,
}

impl Intake {
    /// Nothing yet. `saved`: what [`Intake::save`] made of the lines.
    #[must_use]
    pub fn new(place: &Place, limits: Limits, saved: Option<Vec<u8>>) -> Self {
        let masker = || place.logs.masker().unwrap_or_default();
        Self {
            place: place.clone(),
            saved,
            traces: traces::Traces::new(limits.operations, limits.window_ms, masker()),
            metrics: metrics::Metrics::new(limits.series, masker()),
            book: None,
            now: 0,
        }
    }

    /// Takes an export of a content type, and answers it as the protocol says.
    pub fn take(&mut self, signal: Signal, kind: &str, body: &[u8]) -> Response {
        let is_json = kind == JSON;
        match self.read(signal, body, is_json) {
            Ok(partial) => answer::taken(signal, &partial, is_json),
            Err(malformed) => answer::malformed(malformed, is_json),
        }
    }

    /// What stood before the fault is taken.
    fn read(&mut self, signal: Signal, body: &[u8], is_json: bool) -> Result<Partial, Malformed> {
        let export = if is_json { Message::json(body)? } else { Message::protobuf(body) };
        match signal {
            Signal::Traces => self.traces.take(export, self.now),
            Signal::Metrics => self.metrics.take(export, self.now),
            Signal::Logs => {
                let Self { place, saved, book, .. } = self;
                let book = book.get_or_insert_with(|| Book::new("otlp", place, saved.take().as_deref()));
                logs::take(export, book)
            }
        }
    }

    /// Sets the series, and tells what is worth it. Once a sample.
    pub fn tick(&mut self, now: Millis, out: &mut Readings) {
        self.now = now;
        self.traces.tick(now, out);
        self.metrics.tick(now, out);
        if let Some(book) = &mut self.book {
            book.tick(now, out);
        }
    }

    /// What of the lines has to outlive a restart; none if there were no lines.
    #[must_use]
    pub fn save(&self) -> Option<Vec<u8>> {
        self.book.as_ref().map(Book::save)
    }
}
