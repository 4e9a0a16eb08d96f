//! How grave a line is, where its writer did not say so apart from the text: OpenTelemetry severity numbers from words.

use serde::{Deserialize, Serialize};

/// Bytes of a line in which words are looked for.
const LOOKED_AT: usize = 384;

/// What lines are counted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Class {
    /// Nothing worse than a notice, or nobody knows.
    #[default]
    Info = 0,
    /// Warnings.
    Warn = 1,
    /// Errors, and what is worse.
    Error = 2,
}

impl Class {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warn, Self::Error];

    /// The class of an OpenTelemetry severity number.
    #[must_use]
    pub fn of(severity: u8) -> Self {
        match severity {
            17.. => Self::Error,
            13..=16 => Self::Warn,
            _ => Self::Info,
        }
    }

    /// One word.
    #[must_use]
    pub fn word(self) -> &'static str {
        ["info", "warn", "error"][self as usize]
    }

    /// The least OpenTelemetry severity number of the class that is told.
    #[must_use]
    pub fn severity(self) -> u8 {
        [9, 13, 17][self as usize]
    }
}

/// The OpenTelemetry number of a syslog severity; what is above 7 counts as 7.
#[must_use]
pub fn of_syslog(severity: u8) -> u8 {
    [21, 19, 18, 17, 13, 10, 9, 5][usize::from(severity.min(7))]
}

/// How grave a line is by its own words, if it says. Total: any bytes will do.
///
/// First what is written for that purpose: `<3>`, `level=error`, `ERROR`, `[error]`, `error: …`, `E0412 …`; the first of
/// these counts. Else words of trouble anywhere in it.
#[must_use]
pub fn severity(text: &[u8]) -> Option<u8> {
    if let Some(severity) = priority(text).or_else(|| letter(text)) {
        return Some(severity);
    }
    let text = &text[..text.len().min(LOOKED_AT)];
    let (mut guess, mut is_denied, mut at) = (None, false, 0);
    while at < text.len() {
        let start = at;
        at += text[at..].iter().position(|b| !is_of_word(*b)).unwrap_or(text.len() - at);
        let word = &text[start..at];
        if word.is_empty() {
            at += 1;
            continue;
        }
        if let Some(level) = level(word).filter(|_| is_label(text, start, at)) {
            return Some(level);
        }
        if !is_denied {
            guess = guess.max(trouble(word));
        }
        is_denied = [&b"no"[..], b"not", b"without", b"0"].iter().any(|w| word.eq_ignore_ascii_case(w));
    }
    guess
}

fn is_of_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// `<11>`, as syslog and systemd have it.
fn priority(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"<")?;
    let end = digits.iter().take(4).position(|b| *b == b'>').filter(|end| *end > 0)?;
    let number = digits[..end]
        .iter()
        .try_fold(0_u16, |n, b| b.is_ascii_digit().then(|| n * 10 + u16::from(b - b'0')))?;
    (number <= 191).then(|| of_syslog((number % 8) as u8))
}

/// `E0412 10:00:00`, as klog has it.
fn letter(text: &[u8]) -> Option<u8> {
    let severity = match text.first()? {
        b'I' => 9,
        b'W' => 13,
        b'E' => 17,
        b'F' => 21,
        _ => return None,
    };
    let date = text.get(1..6)?;
    (date[..4].iter().all(u8::is_ascii_digit) && date[4] == b' ').then_some(severity)
}

/// The words by which levels are called.
fn level(word: &[u8]) -> Option<u8> {
    const LEVELS: [(&[u8], u8); 18] = [
        (b"error", 17),
        (b"info", 9),
        (b"warn", 13),
        (b"warning", 13),
        (b"debug", 5),
        (b"notice", 10),
        (b"fatal", 21),
        (b"trace", 1),
        (b"err", 17),
        (b"crit", 18),
        (b"critical", 18),
        (b"severe", 17),
        (b"alert", 19),
        (b"emerg", 21),
        (b"emergency", 21),
        (b"panic", 21),
        (b"information", 9),
        (b"verbose", 1),
    ];
    let is_likely = (3..=11).contains(&word.len()) && b"eiwdnftcsapv".contains(&(word[0] | 0x20));
    let found = |(name, _): &&(&[u8], u8)| word.eq_ignore_ascii_case(name);
    if is_likely { LEVELS.iter().find(found).map(|(_, severity)| *severity) } else { None }
}

/// Whether a level stands there to say how grave the line is.
fn is_label(text: &[u8], start: usize, end: usize) -> bool {
    let (before, behind) = (&text[..start], &text[end..]);
    if text[start..end].iter().all(u8::is_ascii_uppercase) {
        // Not a part of a longer name: `ON-ERROR`, `java.lang.ERROR`.
        return !matches!(before.last(), Some(b'-' | b'.' | b'/'));
    }
    let is_in_brackets = match before.last() {
        Some(b'[') => behind.starts_with(b"]"),
        Some(b'<') => behind.starts_with(b">"),
        Some(b'|') => behind.starts_with(b"|"),
        _ => false,
    };
    let is_head = behind.starts_with(b": ") && (before.is_empty() || before.ends_with(b": "));
    is_in_brackets || is_head || is_keyed(before)
}

/// Whether a key of levels stands before: `level=`, `"severity": "`.
fn is_keyed(before: &[u8]) -> bool {
    let is_between = |b: &u8| matches!(b, b'"' | b'\'' | b' ' | b'=' | b':');
    let key = before.len() - before.iter().rev().take_while(|b| is_between(b)).count();
    if !before[key..].iter().any(|b| matches!(b, b'=' | b':')) {
        return false;
    }
    let start = before[..key].iter().rposition(|b| !b.is_ascii_alphabetic()).map_or(0, |at| at + 1);
    let key = &before[start..key];
    let keys: [&[u8]; 6] = [b"level", b"lvl", b"severity", b"loglevel", b"levelname", b"sev"];
    keys.iter().any(|k| key.eq_ignore_ascii_case(k))
}

/// Words that tell of trouble wherever they stand.
fn trouble(word: &[u8]) -> Option<u8> {
    const ERRORS: [&[u8]; 21] = [
        b"error",
        b"errors",
        b"failed",
        b"failure",
        b"failures",
        b"fails",
        b"exception",
        b"fatal",
        b"critical",
        b"panic",
        b"panicked",
        b"segfault",
        b"traceback",
        b"aborted",
        b"corrupt",
        b"corrupted",
        b"crashed",
        b"cannot",
        b"unable",
        b"denied",
        b"refused",
    ];
    const WARNINGS: [&[u8]; 5] = [b"warning", b"warn", b"deprecated", b"retrying", b"timeout"];
    let is = |words: &[&[u8]]| words.iter().any(|w| word.eq_ignore_ascii_case(w));
    let is_likely = word.len() >= 4 && b"efpstacwdru".contains(&(word[0] | 0x20));
    // `ConnectException`, `ValueError`.
    let is_type = word.len() > 8 && (word.ends_with(b"Exception") || word.ends_with(b"Error"));
    match () {
        () if is_type || is_likely && is(&ERRORS) => Some(17),
        () if is_likely && is(&WARNINGS) => Some(13),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_as_programs_write_them() {
        let check = |text: &str, want: Option<u8>| assert_eq!(severity(text.as_bytes()), want, "{text}");
        check("<3>disk is gone", Some(17));
        check("<30>Jun  1 10:00:00 host app[3]: ERROR would be", Some(9));
        check("<abc>nothing", None);
        check("<192>nothing", None);
        check("E0412 10:00:00.000000       1 main.go:12] no route", Some(17));
        check("I0412 10:00:00.000000       1 main.go:12] error is only a word", Some(9));
        check("2015-07-29 17:41:44,747 - WARN  [x:Listener@493] - Cannot open channel", Some(13));
        check("081109 203615 148 INFO dfs.DataNode: Exception is only a word", Some(9));
        check("[Sun Dec 04 04:47:44 2005] [error] mod_jk child in error state 6", Some(17));
        check("RAS KERNEL INFO instruction cache parity error corrected", Some(9));
        check("RAS KERNEL FATAL data storage interrupt", Some(21));
        check("time=x level=warning msg=\"disk error\"", Some(13));
        check("{\"severity\": \"error\", \"msg\": \"info\"}", Some(17));
        check("error: no such file", Some(17));
        check("postfix/smtpd: warning: hostname does not resolve", Some(13));
        check("authentication failure; logname= uid=0", Some(17));
        check("Traceback (most recent call last):", Some(17));
        check("java.net.ConnectException refused", Some(17));
        check("done with 0 errors", None);
        check("no error", None);
        check("session opened for user root", None);
        check("TLS alert received", None);
        check("", None);
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_severity_or_none(text in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(severity) = severity(&text) {
                prop_assert!((1..=24).contains(&severity));
            }
        }

        #[test]
        fn any_words_have_a_severity_or_none(words in proptest::collection::vec(proptest::sample::select(
            &["error", "<", "3", ">", "level", "=", "\"", ":", " ", "no", "WARN", "[", "]", "E0412", "ü", "|", "-"][..]), 0..30)) {
            let text = words.concat();
            prop_assert_eq!(severity(text.as_bytes()), severity(text.as_bytes()));
        }
    }
}
