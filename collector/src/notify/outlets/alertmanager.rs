//! Alertmanager: `POST /api/v2/alerts`. An alert is known by its labels, and ends by itself unless it is told again; one
//! that is over is told with its end. A digest is an alert of its own, which ends by itself after an hour: nothing fires
//! or resolves with it, but routes lead it to people.

use serde_json::{Value, json};

use super::notice::{Event, Notice};
use super::queue::HOLDS_MS;
use super::webhook::{annotations, link};
use crate::notify::calendar::rfc3339;

/// Longer than routes wait for more to be told together.
const DIGEST_MS: u64 = 3_600_000;

/// What is sent now.
pub(super) fn body(notice: &Notice, page: Option<&str>, now: u64) -> Value {
    let alert = |labels: &Value, ends_ms: u64| {
        let mut alert = json!({
            "labels": labels,
            "annotations": annotations(notice),
            "startsAt": rfc3339(notice.opened_ms),
            "endsAt": rfc3339(ends_ms),
        });
        let link = link(notice, page);
        if !link.is_empty() {
            alert["generatorURL"] = Value::from(link);
        }
        alert
    };
    let ends_ms = match notice.event {
        Event::Over => notice.closed_ms.unwrap_or(now).min(now),
        Event::Digest => now + DIGEST_MS,
        Event::Told | Event::Raised => now + HOLDS_MS,
    };
    let mut alerts = vec![alert(&json!(notice.labels), ends_ms)];
    // Under other labels it is another alert: the one before is over.
    alerts.extend(notice.replaces.as_ref().map(|labels| alert(&json!(labels), now)));
    Value::Array(alerts)
}
