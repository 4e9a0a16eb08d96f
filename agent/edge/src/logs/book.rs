//! A book of lines: what a source of lines hands in is masked, told apart and counted here; what is worth telling comes
//! out as series and facts.
//!
//! Each source of lines has one, and keeps it beside its own place in what it reads. One that sees no line holds nothing.
//! What is told, and why, stands in ARCHITECTURE.md ("What lines tell").

mod burst;
mod fields;
mod find;
mod keep;
mod ledger;
mod rules;
mod streams;
mod tell;
#[cfg(test)]
mod tests;
mod watch;

use fieldmouse_core::logs::severity::Class;
use fieldmouse_core::metric::LOG_RECORDS;
use fieldmouse_core::series::Millis;

use crate::sources::{Place, Readings, Slot};
use rules::Rule;
use watch::Watch;

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

/// Our own name, as journals and log files have it.
const OWN: [&str; 2] = ["fieldmouse", "fieldmouse.service"];

/// Counts lines by what they say.
#[derive(Debug)]
pub struct Book {
    source: String,
    place: Place,
    rules: Vec<Rule>,
    slots: [Option<Slot>; 3],
    /// Made by the first line.
    watch: Option<Box<Watch>>,
    /// The last tick before that: what comes after it is no backlog.
    listened: Option<Millis>,
}

impl Book {
    /// An empty one for the lines of a source, or one that goes on from what [`Book::save`] made. What is damaged, or of
    /// another version, is learnt anew.
    #[must_use]
    pub fn new(source: &str, place: &Place, saved: Option<&[u8]>) -> Self {
        let watch = saved.and_then(|saved| keep::restore(place, saved)).map(Box::new);
        let (source, place, rules) = (source.to_owned(), place.clone(), rules::rules(&place.logs));
        Self { source, place, rules, slots: [None; 3], watch, listened: None }
    }

    /// Takes a record.
    pub fn take(&mut self, record: &Record<'_>) {
        self.take_with(record, &[]);
    }

    /// Takes a record, and what its writer says beside: names and values, which may explain a burst of errors. What the
    /// agent itself says of facts is no news: it would be told for ever.
    pub fn take_with(&mut self, record: &Record<'_>, beside: &[(&str, &str)]) {
        if OWN.contains(&record.stream) {
            return;
        }
        self.rules.iter_mut().for_each(|rule| rule.take(record.text));
        let Self { watch, place, listened, .. } = self;
        watch.get_or_insert_with(|| Box::new(Watch::new(place, *listened))).take(record, beside);
    }

    /// Sets the series, and tells what is worth it. Once a sample.
    pub fn tick(&mut self, now: Millis, out: &mut Readings) {
        let Some(watch) = &mut self.watch else {
            self.listened = Some(now);
            return;
        };
        for (severity, fact) in watch.tick(now) {
            out.tell(severity, fact);
        }
        watch.take_example().into_iter().for_each(|fact| out.show(fact));
        for class in Class::ALL {
            let at = class as usize;
            let lines = watch.lines(class);
            // A class that never came has no series.
            if lines > 0 || self.slots[at].is_some() {
                let source = &self.source;
                let slot =
                    self.slots[at].get_or_insert_with(|| out.slot(LOG_RECORDS, &[source, class.word()]));
                out.set(*slot, lines as f64);
            }
        }
        self.rules.iter_mut().for_each(|rule| rule.set(&self.source, out));
    }

    /// What has to outlive a restart. It holds masked text alone.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        self.watch.as_ref().map_or_else(Vec::new, |watch| keep::save(watch))
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.watch.as_ref().map_or(0, |watch| watch.bytes())
    }
}
