//! What people say: read, and refused with what is wrong with it.

use axum::Json;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody, JsonRejection};
use serde_json::json;

use super::ApiError;
use crate::store::{Change, Class, Record};

/// The longest body that is read, in bytes.
pub(super) const MOST: usize = 16 << 10;
/// The longest name of who says something, in bytes.
const WHO: usize = 64;
/// The longest reason or remark, in bytes.
const TEXT: usize = 1000;

/// A body as it came in.
pub(super) type Body<T> = Result<Json<T>, JsonRejection>;

/// What was said. Only what says of itself that it is JSON is read: a page from elsewhere cannot send that without asking.
pub(super) fn said<T>(body: Body<T>) -> Result<T, ApiError> {
    match body {
        Ok(Json(said)) => Ok(said),
        Err(JsonRejection::BytesRejection(BytesRejection::FailedToBufferBody(
            FailedToBufferBody::LengthLimitError(_),
        ))) => Err(ApiError::TooLarge(format!("body: is longer than {MOST} bytes; say less"))),
        Err(JsonRejection::MissingJsonContentType(_)) => {
            Err(ApiError::Question("body: send it as content-type: application/json".to_owned()))
        }
        Err(wrong) => {
            let text = wrong.body_text();
            let what = text.split_once(": ").map_or(text.as_str(), |(_, what)| what);
            Err(ApiError::Question(format!("body: {what}")))
        }
    }
}

/// Who says it: a name, without space around it.
pub(super) fn who(by: &str) -> Result<String, ApiError> {
    let by = by.trim();
    if by.is_empty() {
        return Err(ApiError::Question(format!("by: is empty; say who you are, in at most {WHO} bytes")));
    }
    line("by", by, WHO)
}

/// A reason or remark, without space around it.
pub(super) fn remark(key: &str, text: &str) -> Result<String, ApiError> {
    line(key, text.trim(), TEXT)
}

fn line(key: &str, text: &str, most: usize) -> Result<String, ApiError> {
    if text.len() > most {
        let what = format!("{key}: `{}` is {} bytes long; at most {most} are kept", clip(text), text.len());
        return Err(ApiError::Question(what));
    }
    if let Some(wrong) = text.chars().find(|c| c.is_control()) {
        let what = format!("{key}: {wrong:?} in `{}` is no text; write one line", clip(text));
        return Err(ApiError::Question(what));
    }
    Ok(text.to_owned())
}

/// So much of what is wrong is shown.
pub(super) fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// Who did what, kept with what it was about and its site.
pub(super) fn audit(by: &str, what: &str, (about, site): (&str, &str), text: &str, now: u64) -> Change {
    Change::Put(Record {
        class: Class::Audit,
        key: format!("{now}/{about}"),
        site: site.to_owned(),
        at_ms: now,
        is_open: false,
        doc: json!({ "at_ms": now, "by": by, "what": what, "text": text }).to_string(),
    })
}
