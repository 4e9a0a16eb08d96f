//! Syslog messages, as RFC 5424 has them, as RFC 3164 found them, and as programs write them to the local socket.

use super::severity::of_syslog;
use crate::calendar::rfc3339;

/// The longest name of a program that is believed.
const MAX_APP: usize = 48;

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// OpenTelemetry severity number, if it has a priority.
    pub severity: Option<u8>,
    /// The program that wrote it; empty if it does not say.
    pub app: &'a str,
    /// The machine it comes from; empty if it does not say.
    pub host: &'a str,
    /// When, in milliseconds since 1970, if it says so with a year.
    pub wall_ms: Option<u64>,
    /// The message without what stands before it.
    pub text: &'a [u8],
}

/// Reads a message. Total: what is not understood is text.
#[must_use]
pub fn parse(message: &[u8]) -> Message<'_> {
    let is_end = |b: &u8| matches!(b, b'\n' | b'\r' | 0 | b' ');
    let end = message.iter().rposition(|b| !is_end(b)).map_or(0, |at| at + 1);
    let message = &message[..end];
    let (severity, rest) =
        priority(message).map_or((None, message), |(p, rest)| (Some(of_syslog(p % 8)), rest));
    let (host, app, wall_ms, text) =
        rest.strip_prefix(b"1 ").and_then(rfc5424).unwrap_or_else(|| rfc3164(rest));
    Message { severity, app, host, wall_ms, text }
}

/// `<13>`, and what stands behind it.
fn priority(message: &[u8]) -> Option<(u8, &[u8])> {
    let digits = message.strip_prefix(b"<")?;
    let end = digits.iter().take(4).position(|b| *b == b'>').filter(|end| *end > 0)?;
    let number = number(&digits[..end])?;
    (number <= 191).then_some((number as u8, &digits[end + 1..]))
}

type Parts<'a> = (&'a str, &'a str, Option<u64>, &'a [u8]);

/// `TIME HOST APP PROCESS ID [DATA] TEXT`, with `-` for what is not said.
fn rfc5424(rest: &[u8]) -> Option<Parts<'_>> {
    let (time, rest) = token(rest)?;
    let (host, rest) = token(rest)?;
    let (app, rest) = token(rest)?;
    let (_process, rest) = token(rest)?;
    let (_id, rest) = token(rest)?;
    let text = match rest.strip_prefix(b"-") {
        Some(text) => text,
        None => behind_data(rest)?,
    };
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let app = if app == b"-" { "" } else { name(app)? };
    let host = if host == b"-" { "" } else { name(host).unwrap_or("") };
    Some((host, app, moment(time), text))
}

/// What stands behind `[id key="value"]…`.
fn behind_data(rest: &[u8]) -> Option<&[u8]> {
    let (mut is_quoted, mut is_in, mut at) = (false, false, 0);
    while let Some(b) = rest.get(at) {
        match b {
            b'\\' if is_quoted => at += 1,
            b'"' if is_in => is_quoted = !is_quoted,
            b'[' if !is_in => is_in = true,
            b']' if is_in && !is_quoted => {
                is_in = false;
                if rest.get(at + 1) != Some(&b'[') {
                    return rest.get(at + 1..);
                }
            }
            _ if !is_in => return None,
            _ => {}
        }
        at += 1;
    }
    None
}

/// `[TIME] [HOST] TAG[PROCESS]: TEXT`, of which anything may be missing.
fn rfc3164(rest: &[u8]) -> Parts<'_> {
    let (wall_ms, rest) = if is_date(rest) {
        (None, rest.get(16..).unwrap_or_default())
    } else {
        match token(rest).and_then(|(time, rest)| Some((moment(time)?, rest))) {
            Some((ms, rest)) => (Some(ms), rest),
            // Nobody who does not say when says where.
            None => return tag(rest).map_or(("", "", None, rest), |(app, text)| ("", app, None, text)),
        }
    };
    let behind_host = || {
        let (host, rest) = token(rest)?;
        let (app, text) = tag(rest)?;
        Some((name(host).unwrap_or(""), app, text))
    };
    let found = tag(rest).map(|(app, text)| ("", app, text)).or_else(behind_host);
    let (host, app, text) = found.unwrap_or(("", "", rest));
    (host, app, wall_ms, text)
}

/// `Jun  3 10:00:00 `
fn is_date(text: &[u8]) -> bool {
    const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let Some(head) = text.get(..16) else { return false };
    let like = |at: usize, b: u8| match at {
        3 | 6 | 15 => b == b' ',
        4 => b == b' ' || b.is_ascii_digit(),
        9 | 12 => b == b':',
        _ => b.is_ascii_digit(),
    };
    MONTHS.chunks(3).any(|month| head.starts_with(month)) && (3..16).all(|at| like(at, head[at]))
}

/// `sshd[7]: `, and what stands behind it.
fn tag(text: &[u8]) -> Option<(&str, &[u8])> {
    let end = text.iter().position(|b| matches!(b, b':' | b'[' | b' '))?;
    let app = name(&text[..end])?;
    let rest = match text[end] {
        b'[' => {
            let close = text[end..].iter().take(24).position(|b| *b == b']')?;
            text.get(end + close + 1..)?.strip_prefix(b":")?
        }
        b':' => &text[end + 1..],
        _ => return None,
    };
    Some((app, rest.strip_prefix(b" ").unwrap_or(rest)))
}

/// A name of a program, if it can be one.
fn name(bytes: &[u8]) -> Option<&str> {
    let is_of = |b: &u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b'@' | b'(' | b')' | b'+')
    };
    let is_name = (1..=MAX_APP).contains(&bytes.len()) && bytes.iter().all(is_of);
    core::str::from_utf8(bytes).ok().filter(|_| is_name)
}

fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|b| *b == b' ').filter(|end| *end > 0)?;
    Some((&text[..end], &text[end + 1..]))
}

/// `2026-06-03T10:00:00.25+02:00` in milliseconds since 1970. None for times before.
fn moment(text: &[u8]) -> Option<u64> {
    rfc3339(text).filter(|(_, rest)| rest.is_empty()).map(|(ms, _)| ms)
}

fn number(digits: &[u8]) -> Option<u32> {
    let is_sound = (1..=6).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_sound.then(|| digits.iter().fold(0, |n, b| 10 * n + u32::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_of_all_kinds() {
        let check = |message: &str, severity: Option<u8>, app: &str, wall_ms: Option<u64>, text: &str| {
            let found = parse(message.as_bytes());
            let want = Message { severity, app, host: found.host, wall_ms, text: text.as_bytes() };
            assert_eq!(found, want, "{message}");
        };
        // The examples of RFC 5424, 6.5.
        check(
            "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed on /dev/pts/8",
            Some(18),
            "su",
            Some(1_065_910_455_003),
            "'su root' failed on /dev/pts/8",
        );
        check(
            "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
            Some(10),
            "myproc",
            Some(1_061_727_255_000),
            "%% It's time to make the do-nuts.",
        );
        check(
            "<165>1 2003-10-11T22:14:15.003Z host evntslog - ID47 [a@3 x=\"3\" y=\"a\\\"]b\"][b@3 c=\"h\"] An event",
            Some(10),
            "evntslog",
            Some(1_065_910_455_003),
            "An event",
        );
        check("<13>1 - - - - - -", Some(10), "", None, "");
        // RFC 3164, and what programs make of it.
        check("<34>Oct 11 22:14:15 mymachine su: 'su root' failed", Some(18), "su", None, "'su root' failed");
        check(
            "<13>Nov  3 04:00:00 cron[77]: (root) CMD (true)\n",
            Some(10),
            "cron",
            None,
            "(root) CMD (true)",
        );
        check(
            "<38>Nov  3 04:00:00 host sshd(pam_unix)[7]: closed",
            Some(9),
            "sshd(pam_unix)",
            None,
            "closed",
        );
        check("<11>su: no", Some(17), "su", None, "no");
        check(
            "<14>2026-11-23T04:00:00.250000+01:00 host app[1]: hello",
            Some(9),
            "app",
            Some(1_795_402_800_250),
            "hello",
        );
        check("only text, and: more", None, "", None, "only text, and: more");
        check("<999>text", None, "", None, "<999>text");
        check("<14>Nov  3 04:00:00 host text without a tag", Some(9), "", None, "host text without a tag");
        check("", None, "", None, "");
    }

    #[test]
    fn where_messages_come_from() {
        let check = |message: &str, host: &str| assert_eq!(parse(message.as_bytes()).host, host, "{message}");
        check("<34>1 2003-10-11T22:14:15.003Z pump-7.example su - ID47 - no", "pump-7.example");
        check("<34>1 2003-10-11T22:14:15.003Z - su - ID47 - no", "");
        check("<34>Oct 11 22:14:15 pump-7 su: no", "pump-7");
        check("<14>2026-11-23T04:00:00+01:00 pump-7 app[1]: no", "pump-7");
        check("<34>Oct 11 22:14:15 su: no", "");
        check("<34>su: no", "");
    }

    #[test]
    fn days_are_counted_as_calendars_do() {
        let check =
            |text: &str, s: Option<u64>| assert_eq!(moment(text.as_bytes()), s.map(|s| s * 1000), "{text}");
        check("1970-01-01T00:00:00Z", Some(0));
        check("2000-02-29T12:00:00Z", Some(951_825_600));
        check("2026-11-23T04:00:00Z", Some(1_795_406_400));
        check("2026-13-23T04:00:00Z", None);
        check("1970-01-01T00:00:00+01:00", None);
        check("2026-11-23", None);
    }

    proptest! {
        #[test]
        fn any_bytes_make_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let message = parse(&bytes);
            prop_assert!(message.text.len() <= bytes.len() && message.app.len() <= MAX_APP);
        }

        #[test]
        fn any_pieces_make_a_message(pieces in proptest::collection::vec(proptest::sample::select(
            &["<34>", "1 ", "-", " ", "[", "]", "\"", "\\", "a", ":", "Oct 11 22:14:15 ", "2003-10-11T22:14:15.003Z", "+01:00",
              "\u{feff}", "\n", "<", ">", "9"][..]), 0..40)) {
            let bytes = pieces.concat().into_bytes();
            let message = parse(&bytes);
            // The text is a part of the message, up to its end.
            let end = bytes.iter().rposition(|b| !matches!(b, b'\n' | b'\r' | 0 | b' ')).map_or(0, |at| at + 1);
            prop_assert!(bytes[..end].ends_with(message.text));
        }
    }
}
