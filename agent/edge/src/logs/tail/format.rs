//! What a line of a file holds beside the message: what container engines write around it.

use std::borrow::Cow;

use fieldmouse_core::calendar::rfc3339;

use crate::logs::lines::Cut;

/// How the lines of a file look. All of a file's look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A message, with a syslog head or without.
    Plain,
    /// Docker's and Podman's `json-file`: `{"log":"message\n","stream":"stderr","time":"2026-…"}`.
    Json,
    /// What the CRI and Podman's `k8s-file` say: `2026-… stdout F message`.
    Cri,
}

/// A line, or a part of one that its engine wrote as several.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// The message.
    pub(super) text: Cow<'a, [u8]>,
    /// When it was written, if the engine says so.
    pub(super) wall_ms: Option<u64>,
    /// Whether the message ends here.
    pub(super) is_end: bool,
    /// Whether it was written to standard error.
    pub(super) is_error: bool,
}

const JSON_HEAD: &[u8] = br#"{"log":""#;

impl Format {
    /// By the first line of the file.
    #[must_use]
    pub(super) fn of(first: &[u8]) -> Self {
        if first.starts_with(JSON_HEAD) {
            Self::Json
        } else if cri(first).is_some() {
            Self::Cri
        } else {
            Self::Plain
        }
    }

    /// Takes a line apart. Total: a line that looks otherwise is a message.
    #[must_use]
    pub(super) fn piece<'a>(self, line: Cut<'a>) -> Piece<'a> {
        let found = match self {
            Self::Plain => None,
            Self::Json => json(line),
            Self::Cri => cri(line.head),
        };
        found.unwrap_or(Piece {
            text: line.head.strip_suffix(b"\r").unwrap_or(line.head).into(),
            wall_ms: None,
            is_end: true,
            is_error: false,
        })
    }
}

fn cri(line: &[u8]) -> Option<Piece<'_>> {
    let (wall_ms, rest) = rfc3339(line)?;
    let (is_error, rest) = match rest.strip_prefix(b" stdout ") {
        Some(rest) => (false, rest),
        None => (true, rest.strip_prefix(b" stderr ")?),
    };
    let (tags, text) = match rest.iter().position(|b| *b == b' ') {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &[][..]),
    };
    // The first of the tags; nobody writes others yet.
    let is_end = match tags.split(|b| *b == b':').next() {
        Some(b"F") => true,
        Some(b"P") => false,
        _ => return None,
    };
    Some(Piece { text: text.into(), wall_ms: Some(wall_ms), is_end, is_error })
}

fn json(line: Cut<'_>) -> Option<Piece<'_>> {
    let text = line.head.strip_prefix(JSON_HEAD)?;
    let (mut text, rest) = string(text);
    // Of a long line the end alone knows the rest.
    let rest = if line.end.is_empty() { rest } else { line.end };
    let holds = |what: &[u8]| rest.windows(what.len()).any(|w| w == what);
    let time = rest.windows(TIME.len()).rposition(|w| w == TIME).map(|at| &rest[at + TIME.len()..]);
    let is_whole = text.last() == Some(&b'\n');
    text.truncate(text.len() - usize::from(is_whole));
    let is_end = is_whole || !line.end.is_empty() && holds(br#"\n","#);
    Some(Piece {
        text: text.into(),
        wall_ms: time.and_then(rfc3339).map(|(ms, _)| ms),
        is_end,
        is_error: holds(br#""stream":"stderr""#),
    })
}

const TIME: &[u8] = br#""time":""#;

/// What a string of JSON says, up to its end or that of the text; and what comes behind it.
fn string(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut said = Vec::new();
    let mut at = 0;
    while let Some(b) = text.get(at) {
        match b {
            b'"' => return (said, &text[at + 1..]),
            b'\\' => {
                let Some(escape) = text.get(at + 1) else { break };
                at += 2;
                match escape {
                    b'n' => said.push(b'\n'),
                    b't' => said.push(b'\t'),
                    b'r' => said.push(b'\r'),
                    b'b' | b'f' => said.push(b' '),
                    b'u' => at += unicode(&text[at..], &mut said),
                    other => said.push(*other),
                }
            }
            other => {
                said.push(*other);
                at += 1;
            }
        }
    }
    (said, &[])
}

/// A character told by its number, or by two halves of it; how many bytes that took.
fn unicode(text: &[u8], said: &mut Vec<u8>) -> usize {
    let unit = |at: usize| {
        let digits = text.get(at..at + 4)?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let Some(first) = unit(0) else { return 0 };
    let second = (text.get(4..6) == Some(br"\u")).then(|| unit(6)).flatten();
    let mut decoded = char::decode_utf16([first].into_iter().chain(second));
    let char = decoded.next().and_then(Result::ok).unwrap_or(char::REPLACEMENT_CHARACTER);
    said.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    if char.len_utf16() == 2 { 10 } else { 4 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn formats_are_known_by_their_first_line() {
        let check = |line: &str, format: Format| assert_eq!(Format::of(line.as_bytes()), format, "{line}");
        check(r#"{"log":"x\n","stream":"stdout","time":"2026-11-23T02:24:47Z"}"#, Format::Json);
        check("2026-11-23T02:24:47.123456789Z stdout F x", Format::Cri);
        check("2026-11-23T02:24:47.123456789+01:00 stderr P x", Format::Cri);
        check("2026-11-23T02:24:47Z stdout is full", Format::Plain);
        check(r#"{"level":"info"}"#, Format::Plain);
        check("", Format::Plain);
    }

    #[test]
    fn what_engines_write_around_a_message() {
        let check = |format: Format,
                     line: &str,
                     text: &str,
                     wall_ms: Option<u64>,
                     is_end: bool,
                     is_error: bool| {
            let found = format.piece(Cut::of(line.as_bytes()));
            assert_eq!(found, Piece { text: text.as_bytes().into(), wall_ms, is_end, is_error }, "{line}");
        };
        let at = Some(1_795_400_687_500);
        let json = |log: &str, stream: &str| {
            format!(r#"{{"log":"{log}","stream":"{stream}","time":"2026-11-23T02:24:47.5Z"}}"#)
        };
        check(Format::Json, &json(r"one\n", "stdout"), "one", at, true, false);
        check(Format::Json, &json("part of", "stderr"), "part of", at, false, true);
        check(
            Format::Json,
            &json(r#"a \"b\" \\ \u00e4\ud83d\udc2d\u003c\t\n"#, "stdout"),
            "a \"b\" \\ ä🐭<\t",
            at,
            true,
            false,
        );
        check(Format::Json, &json(r"\ud83d \uzz", "stdout"), "\u{fffd} zz", at, false, false);
        check(Format::Json, "no json", "no json", None, true, false);
        check(Format::Json, r#"{"log":"cut o"#, "cut o", None, false, false);
        check(Format::Cri, "2026-11-23T02:24:47.5Z stderr F some text", "some text", at, true, true);
        check(Format::Cri, "2026-11-23T03:24:47.5+01:00 stdout P part", "part", at, false, false);
        check(Format::Cri, "2026-11-23T02:24:47.5Z stdout F", "", at, true, false);
        check(
            Format::Cri,
            "2026-11-23T02:24:47.5Z stdout X y",
            "2026-11-23T02:24:47.5Z stdout X y",
            None,
            true,
            false,
        );
        check(Format::Plain, "text\r", "text", None, true, false);
        // What Docker writes as several lines, is longer than what is held.
        let long = json(&"x".repeat(16_384), "stderr");
        let piece = Format::Json.piece(Cut::of(long.as_bytes()));
        assert!(piece.text.starts_with(b"xxx") && piece.text.len() > 8000);
        assert_eq!((piece.wall_ms, piece.is_end, piece.is_error), (at, false, true));
        let long = json(&format!("{}\\n", "x".repeat(16_384)), "stdout");
        assert!(Format::Json.piece(Cut::of(long.as_bytes())).is_end);
    }

    proptest! {
        #[test]
        fn any_line_returns(line: Vec<u8>, like in r#"\{"log":"[\\"a-fnu0-9 ]{0,20}"?.{0,20}"#) {
            for format in [Format::Plain, Format::Json, Format::Cri] {
                for line in [&line[..], like.as_bytes()] {
                    prop_assert!(format.piece(Cut::of(line)).text.len() <= 2 * line.len() + 3);
                }
            }
        }
    }
}
