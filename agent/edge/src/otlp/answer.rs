//! What an exporter is answered.

use super::fields::Malformed;
use super::{JSON, PROTOBUF, Signal};
use crate::http::Response;

/// What of an export was refused, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Partial {
    pub(super) refused: u64,
    pub(super) why: String,
}

/// `Export…ServiceResponse`. It is empty if nothing was refused.
pub(super) fn taken(signal: Signal, partial: &Partial, is_json: bool) -> Response {
    let body = match (partial.refused, is_json) {
        (0, true) => b"{}".to_vec(),
        (0, false) => Vec::new(),
        (refused, true) => {
            let count = match signal {
                Signal::Traces => "rejectedSpans",
                Signal::Metrics => "rejectedDataPoints",
                Signal::Logs => "rejectedLogRecords",
            };
            let partial = serde_json::json!({count: refused.to_string(), "errorMessage": partial.why});
            serde_json::json!({"partialSuccess": partial}).to_string().into_bytes()
        }
        (refused, false) => {
            let mut inner = Vec::new();
            number(1, refused, &mut inner);
            bytes(2, partial.why.as_bytes(), &mut inner);
            let mut body = Vec::new();
            bytes(1, &inner, &mut body);
            body
        }
    };
    respond(200, body, is_json)
}

/// `google.rpc.Status`: trying again is of no use.
pub(super) fn malformed(Malformed(why): Malformed, is_json: bool) -> Response {
    const INVALID_ARGUMENT: u64 = 3;
    let body = if is_json {
        serde_json::json!({"code": INVALID_ARGUMENT, "message": why}).to_string().into_bytes()
    } else {
        let mut body = Vec::new();
        number(1, INVALID_ARGUMENT, &mut body);
        bytes(2, why.as_bytes(), &mut body);
        body
    };
    respond(400, body, is_json)
}

fn respond(status: u16, body: Vec<u8>, is_json: bool) -> Response {
    Response { status, kind: if is_json { JSON } else { PROTOBUF }, body, retry_after_s: None }
}

fn varint(mut n: u64, to: &mut Vec<u8>) {
    while n >= 0x80 {
        to.push(n as u8 | 0x80);
        n >>= 7;
    }
    to.push(n as u8);
}

fn number(field: u64, n: u64, to: &mut Vec<u8>) {
    varint(field << 3, to);
    varint(n, to);
}

fn bytes(field: u64, bytes: &[u8], to: &mut Vec<u8>) {
    varint(field << 3 | 2, to);
    varint(bytes.len() as u64, to);
    to.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_byte_for_byte() {
        let check = |partial: &Partial, is_json: bool, wanted: &[u8]| {
            let answer = taken(Signal::Metrics, partial, is_json);
            assert_eq!((answer.status, answer.body.as_slice()), (200, wanted));
        };
        let some = Partial { refused: 300, why: "full".into() };
        check(&Partial::default(), false, b"");
        check(&Partial::default(), true, b"{}");
        check(&some, false, b"\x0a\x09\x08\xac\x02\x12\x04full");
        check(&some, true, br#"{"partialSuccess":{"errorMessage":"full","rejectedDataPoints":"300"}}"#);
        assert_eq!(malformed(Malformed("no JSON"), true).body, br#"{"code":3,"message":"no JSON"}"#);
        let answer = malformed(Malformed("why"), false);
        assert_eq!(
            (answer.status, answer.kind, answer.body.as_slice()),
            (400, PROTOBUF, b"\x08\x03\x12\x03why".as_slice())
        );
    }
}
