//! Webhooks: what is sent, and how the receiver knows that it is us.
//!
//! The body has the shape of Alertmanager's webhooks (version 4), so that whatever takes those takes ours; our incident
//! stands beside it, whole; or the digest, whose rows are the description of its one alert. It is signed by the Standard Webhooks specification 1.0 (<https://www.standardwebhooks.com>):
//! `webhook-id`, `webhook-timestamp`, and `webhook-signature`, the HMAC-SHA256 of `id.timestamp.body`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use serde_json::{Value, json};

use super::notice::{Event, Notice};
use crate::notify::calendar::rfc3339;
use crate::notify::statement;
use crate::signal::fnv;

/// What secrets begin with that are told in base64.
const PREFIX: &str = "whsec_";

/// What is sent: the same at every try.
pub(super) fn body(notice: &Notice, page: Option<&str>) -> Value {
    let status = if notice.event == Event::Over { "resolved" } else { "firing" };
    let labels = |notice: &Notice| json!(notice.labels);
    let alert = json!({
        "status": status,
        "labels": labels(notice),
        "annotations": annotations(notice),
        "startsAt": rfc3339(notice.opened_ms),
        "endsAt": notice.closed_ms.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), rfc3339),
        "generatorURL": link(notice, page),
        "fingerprint": format!("{:016x}", fnv(&notice.incident)),
    });
    let (name, value, document) = match notice.event {
        Event::Digest => ("digest", notice.labels.get("digest").unwrap_or(&notice.incident), "digest"),
        _ => ("incident", &notice.incident, "incident"),
    };
    let mut body = json!({
        "version": "4",
        "groupKey": format!("{{}}:{{{name}=\"{value}\"}}"),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": notice.outlet,
        "groupLabels": { name: value },
        "commonLabels": labels(notice),
        "commonAnnotations": annotations(notice),
        "externalURL": page.unwrap_or_default(),
        "alerts": [alert],
        "event": notice.event,
        "revision": notice.revision,
        "why": notice.why,
        "statement": notice.statement,
    });
    body[document] = notice.document.clone();
    body
}

/// What is said of an incident beside its labels.
pub(super) fn annotations(notice: &Notice) -> Value {
    let mut all = serde_json::Map::new();
    let mut put = |key: &str, text: &str| {
        if !text.is_empty() {
            all.insert(key.to_owned(), Value::from(text));
        }
    };
    put("summary", &notice.title);
    put("description", &notice.cause);
    put("why_told", &notice.why.join("; "));
    // Rules of Prometheus name this one so.
    put("runbook_url", notice.runbook.as_deref().unwrap_or_default());
    Value::Object(all)
}

/// Where the incident is shown; empty if nobody said where the page is.
pub(super) fn link(notice: &Notice, page: Option<&str>) -> String {
    page.map_or_else(String::new, |page| {
        if notice.event == Event::Digest {
            return format!("{}/#/incidents", page.trim_end_matches('/'));
        }
        statement::link(page, &notice.incident)
    })
}

/// The key that a secret file's text stands for: base64 behind `whsec_`, else the text itself.
///
/// # Errors
/// What is wrong with it, without a word of it.
pub(super) fn key(text: &str) -> Result<Vec<u8>, &'static str> {
    let text = text.trim();
    let key = match text.strip_prefix(PREFIX) {
        Some(encoded) => BASE64.decode(encoded).map_err(|_| "what follows whsec_ is not base64")?,
        None => text.as_bytes().to_vec(),
    };
    if key.len() < 16 {
        return Err("is shorter than 16 bytes; make one: openssl rand -base64 32");
    }
    Ok(key)
}

/// `v1,…`
pub(super) fn signature(key: &[u8], id: &str, seconds: u64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(format!("{id}.{seconds}.").as_bytes());
    context.update(body);
    format!("v1,{}", BASE64.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_signs_as_the_specification_says() {
        // The vector that the libraries of Standard Webhooks are tested with.
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signed =
            signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_text_or_base64_and_not_short() {
        assert_eq!(key("0123456789abcdef\n").as_deref(), Ok(&b"0123456789abcdef"[..]));
        assert!(key("short").is_err_and(|e| e.contains("16 bytes")));
        assert!(key("whsec_???").is_err_and(|e| e.contains("base64")));
        assert!(key("").is_err());
    }
}
