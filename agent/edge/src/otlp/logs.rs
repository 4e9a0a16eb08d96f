//! Log records: lines for the book, by the name of their service.

use super::answer::Partial;
use super::fields::{Malformed, Message, Table};
use super::resource::{self, Any, Nest};
use crate::logs::book::{Book, Record};

const NEST: Nest = Nest {
    export: &[(1, "resourceLogs")],
    resource: &[(1, "resource"), (2, "scopeLogs")],
    scope: &[(2, "logRecords")],
};
const RECORD: &Table = &[
    (1, "timeUnixNano"),
    (2, "severityNumber"),
    (5, "body"),
    (6, "attributes"),
    (11, "observedTimeUnixNano"),
    (12, "eventName"),
];
const FATAL_4: u64 = 24;
/// Attributes of a record that are looked at.
const ATTRIBUTES: usize = 8;

/// Takes every record.
pub(super) fn take(export: Message<'_>, book: &mut Book) -> Result<Partial, Malformed> {
    resource::each(&NEST, export, &mut |service, record| {
        let (mut at, mut observed, mut severity) = (0, 0, None);
        let (mut event, mut body) = ("".into(), Any::None);
        let mut beside = Vec::new();
        for field in record.fields(RECORD) {
            let (number, value) = field?;
            match number {
                1 => at = value.uint()?,
                2 => severity = u8::try_from(value.uint()?.min(FATAL_4)).ok().filter(|n| *n > 0),
                5 => body = resource::body(value)?,
                6 if beside.len() < ATTRIBUTES => beside.push(resource::attribute(value)?),
                6 => {}
                11 => observed = value.uint()?,
                _ => event = value.text()?,
            }
        }
        let shown = body.shown();
        // An event may be all there is to say.
        let text = if shown.is_empty() { event.as_bytes() } else { shown.as_bytes() };
        let nanos = if at > 0 { at } else { observed };
        let wall_ms = (nanos > 0).then_some(nanos / 1_000_000);
        if !text.is_empty() {
            let beside: Vec<_> = beside.iter().map(|(key, value)| (&**key, value.shown())).collect();
            let beside: Vec<_> = beside.iter().map(|(key, value)| (*key, &**value)).collect();
            book.take_with(&Record { stream: service, severity, text, wall_ms }, &beside);
        }
        Ok(())
    })?;
    Ok(Partial::default())
}
