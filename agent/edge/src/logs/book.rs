//! A book of lines: what a source of lines hands in is masked, told apart and counted here; what is worth telling comes
//! out as series and facts.
//!
//! Each source of lines has one, and keeps it beside its own place in what it reads.

use fieldmouse_core::logs::line::Line;
use fieldmouse_core::logs::mask::Masker;
use fieldmouse_core::series::Millis;

use super::miner::Miner;
use crate::sources::{Place, Readings};

/// One line, or what a multi-line message was joined to, before masking.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Who wrote it: a unit, a program, a container, else the file.
    pub stream: &'a str,
    /// OpenTelemetry severity number, if the writer said so apart from the text.
    pub severity: Option<u8>,
    /// The message. What was cut off before it (time, host) is not part of what is compared.
    pub text: &'a [u8],
    /// When it was written, in milliseconds since 1970, if the writer said so.
    pub wall_ms: Option<u64>,
}

/// Counts lines by what they say.
#[derive(Debug)]
pub struct Book {
    masker: Masker,
    miner: Miner,
    line: Line,
    lines: u64,
}

impl Book {
    /// An empty one, or one that goes on from what [`Book::save`] made.
    #[must_use]
    pub fn new(place: &Place, saved: Option<&[u8]>) -> Self {
        let masker = place.logs.masker().unwrap_or_default();
        let miner = saved.and_then(|state| Miner::restore(super::miner::Limits::default(), state).ok());
        Self { masker, miner: miner.unwrap_or_default(), line: Line::default(), lines: 0 }
    }

    /// Takes a record.
    pub fn take(&mut self, record: &Record<'_>) {
        self.lines += 1;
        self.masker.mask(record.text, &mut self.line);
        self.miner.learn(&self.line);
    }

    /// Sets the series, and tells what is worth it. Once a sample.
    pub fn tick(&mut self, _now: Millis, _out: &mut Readings) {}

    /// What has to outlive a restart. It holds masked text alone.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        self.miner.save()
    }
}
