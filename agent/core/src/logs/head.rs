//! What stands before the message in a line of a syslog file: time, host, program.
//!
//! `Nov 23 03:24:47 host prog[pid]: message`, or the time as in RFC 3339.

use crate::calendar::rfc3339;

/// A line, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// Who wrote it, if the line says so.
    pub program: Option<&'a str>,
    /// When, in milliseconds since 1970, if the line says so with its year and zone.
    pub wall_ms: Option<u64>,
    /// The message; the whole line if it has no such head.
    pub text: &'a [u8],
}

/// Longer names are none.
const LONGEST: usize = 48;

/// Takes a line apart. Total: what has no head is text.
#[must_use]
pub fn parse(line: &[u8]) -> Head<'_> {
    let whole = Head { program: None, wall_ms: None, text: line };
    let (wall_ms, rest) = match rfc3339(line) {
        Some((ms, rest)) => (Some(ms), rest),
        None if is_bsd_time(line) => (None, &line[BSD.len()..]),
        None => return whole,
    };
    let Some((program, text)) = rest.strip_prefix(b" ").and_then(after_host) else { return whole };
    Head { program: Some(program), wall_ms, text }
}

/// The program and the message, behind the host.
fn after_host(rest: &[u8]) -> Option<(&str, &[u8])> {
    let host = rest.iter().position(|b| *b == b' ').filter(|at| *at > 0)?;
    let rest = &rest[host + 1..];
    let end = rest.iter().position(|b| !b.is_ascii_graphic() || matches!(b, b':' | b'['))?;
    let (name, mut rest) = rest.split_at(end);
    if let Some(pid) = rest.strip_prefix(b"[") {
        let close = pid.iter().take(LONGEST).position(|b| *b == b']')?;
        rest = &pid[close + 1..];
    }
    let rest = rest.strip_prefix(b":")?;
    let name = core::str::from_utf8(name).ok().filter(|name| (1..=LONGEST).contains(&name.len()))?;
    Some((name, rest.strip_prefix(b" ").unwrap_or(rest)))
}

/// How the time of RFC 3164 looks: `0` is a digit or a space, `a` a letter.
const BSD: &[u8; 15] = b"aaa 00 00:00:00";

fn is_bsd_time(line: &[u8]) -> bool {
    let Some(time) = line.get(..BSD.len()) else { return false };
    BSD.iter().zip(time).all(|(like, b)| match like {
        b'0' => b.is_ascii_digit() || *b == b' ',
        b'a' => b.is_ascii_alphabetic(),
        like => like == b,
    })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn heads_of_syslog_files() {
        #[track_caller]
        fn check(line: &str, program: Option<&str>, wall_ms: Option<u64>, text: &str) {
            assert_eq!(parse(line.as_bytes()), Head { program, wall_ms, text: text.as_bytes() }, "{line}");
        }
        let whole = |line: &str| check(line, None, None, line);
        check("Nov 23 03:24:47 host sshd[12]: Accepted key", Some("sshd"), None, "Accepted key");
        check("Nov  3 03:24:47 host kernel: [ 1.2] up", Some("kernel"), None, "[ 1.2] up");
        check("Nov  3 03:24:47 h postfix/smtpd[9]:x: y", Some("postfix/smtpd"), None, "x: y");
        check(
            "2026-11-23T03:24:47.123456+01:00 h cron[1]: (root)",
            Some("cron"),
            Some(1_795_400_687_123),
            "(root)",
        );
        check("2026-11-23T02:24:47Z h cron: ", Some("cron"), Some(1_795_400_687_000), "");
        whole("2026-11-23T02:24:47Z h no program here");
        whole("2026-11-23 02:24:47 INFO no zone: nothing");
        whole("Nov 23 03:24:47 host");
        whole("Nov 23 03:24:47 host word word: text");
        whole("Nov 23 03:24:47 host x[12: text");
        whole("  Nov 23 03:24:47 host sshd[12]: no");
        whole("");
    }

    proptest! {
        #[test]
        fn any_bytes_return_a_part_of_themselves(line: Vec<u8>) {
            let head = parse(&line);
            prop_assert!(line.ends_with(head.text));
        }

        #[test]
        fn bytes_like_a_head_return_a_part_of_themselves(line in "[A-Z][a-z]{2} [ 0-9]{2} [0-9:]{6,8} ?[a-z]{0,3} [a-z\\[\\]0-9:]{0,9} ?.{0,9}") {
            let head = parse(line.as_bytes());
            prop_assert!(line.as_bytes().ends_with(head.text));
            prop_assert!(head.program.is_none_or(|p| !p.is_empty() && line.contains(p)));
        }
    }
}
