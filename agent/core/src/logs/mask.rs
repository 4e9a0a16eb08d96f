//! Masking: takes every value out of a line before anything else sees it.
//!
//! A word that holds a digit is a value; so are addresses, paths, dates, encoded keys, whatever stands behind the
//! name of a secret, and what is no UTF-8. Everything else is text, which only the miner can tell from names.

use heapless::Vec;

use super::line::Line;
use super::pattern::{MAX_PATTERNS, Pattern};
use super::secret;

/// Bytes of a line that are looked at. Hand in one more, so that a cut is seen.
pub const MAX_LINE: usize = 8192;
/// Lines of a key block without an end, after which it is taken for ended.
const MAX_BLOCK: u8 = 100;
const BLOCK_BEGINS: &[u8] = b"-----BEGIN";
const BLOCK_ENDS: &[u8] = b"-----END";

/// Masks line after line of one log: keys have several lines.
#[derive(Debug, Clone, Default)]
pub struct Masker {
    patterns: Vec<Pattern, MAX_PATTERNS>,
    /// Lines since a block began.
    block: Option<u8>,
}

impl Masker {
    /// One that masks what is always masked, and what these patterns say.
    #[must_use]
    pub fn new(patterns: Vec<Pattern, MAX_PATTERNS>) -> Self {
        Self { patterns, block: None }
    }

    /// One that masks the same, and has seen nothing yet.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::new(self.patterns.clone())
    }

    /// Puts what may be kept of a line into `out`. Total: any bytes will do.
    pub fn mask(&mut self, line: &[u8], out: &mut Line) {
        out.clear();
        let text = whole_words(line);
        let is_cut = text.len() < line.trim_ascii_end().len();
        if let Some(lines) = self.block {
            let is_over = holds(text, BLOCK_ENDS) || lines >= MAX_BLOCK;
            self.block = (!is_over).then_some(lines + 1);
            out.push_value();
            return;
        }
        let mut scan = Scan { line: text, at: 0, secret: (0, 0), patterns: &self.patterns, out };
        scan.run();
        let rest = &text[scan.at..];
        if rest.starts_with(BLOCK_BEGINS) {
            out.push_value();
            self.block = (!holds(rest, BLOCK_ENDS)).then_some(0);
        } else if is_cut {
            // Nobody knows what the rest is.
            out.push_between(b' ');
            out.push_value();
            out.cut();
        }
        out.trim();
    }
}

fn holds(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|w| w == what)
}

/// A long line up to its last space: the head of a value may look like a word.
fn whole_words(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii_end();
    let Some(head) = line.get(..MAX_LINE).filter(|head| head.len() < line.len()) else { return line };
    &head[..head.iter().rposition(|b| *b <= b' ').unwrap_or(0)]
}

const DIGIT: u8 = 1;
const LETTER: u8 = 2;
const SLASH: u8 = 4;
const AT: u8 = 8;
const MARK: u8 = 16;
const SEPARATOR: u8 = 32;
const SPACE: u8 = 64;
const APART: u8 = SEPARATOR | SPACE;

/// What kind each byte is of.
const CLASS: [u8; 256] = {
    let mut class = [LETTER; 256];
    let mut b = 0;
    while b < 128 {
        class[b] = match b as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => LETTER,
            b'/' | b'\\' => SLASH,
            b'@' => AT,
            b'=' | b':' | b',' | b';' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>' | b'"'
            | b'\'' | b'`' | b'|' => SEPARATOR,
            0..=b' ' | 0x7f => SPACE,
            _ => MARK,
        };
        b += 1;
    }
    class
};

fn class(b: u8) -> u8 {
    CLASS[usize::from(b)]
}

struct Scan<'a> {
    line: &'a [u8],
    at: usize,
    /// Where the next secret begins and ends.
    secret: (usize, usize),
    patterns: &'a [Pattern],
    out: &'a mut Line,
}

impl Scan<'_> {
    /// Stops at the end, when no more is kept, or at a key block.
    fn run(&mut self) {
        while let Some(b) = self.peek(0) {
            if self.out.is_full() || b == b'-' && self.line[self.at..].starts_with(BLOCK_BEGINS) {
                return;
            }
            if self.at >= self.secret.0 && self.at < self.secret.1 {
                self.value(self.secret.1);
            } else if class(b) & SPACE != 0 {
                self.space(b);
            } else if class(b) & SEPARATOR != 0 || self.is_ruler() {
                self.out.push_between(b);
                self.at += 1;
                if self.is_empty_bracket(b) {
                    self.out.push_value();
                } else if let Some(end) = self.end_of_list(b) {
                    self.value(end);
                }
            } else {
                self.piece();
            }
        }
    }

    /// Brackets and quotes with nothing in them, where now and then there is something.
    fn is_empty_bracket(&self, opened: u8) -> bool {
        let closes = match opened {
            b'(' => b')',
            b'[' => b']',
            b'"' | b'\'' => opened,
            _ => return false,
        };
        // Not those of a function's name.
        let is_apart = self.at < 2 || class(self.line[self.at - 2]) & (LETTER | DIGIT) == 0;
        is_apart && self.peek(0) == Some(closes)
    }

    /// `[a, b, c]`: a list of words is one value, so that lists of any length are alike.
    fn end_of_list(&self, opened: u8) -> Option<usize> {
        const LONGEST: usize = 512;
        if opened != b'[' {
            return None;
        }
        let rest = &self.line[self.at..self.line.len().min(self.at + LONGEST)];
        let list = &rest[..rest.iter().position(|b| matches!(b, b']' | b'['))?];
        let is_list =
            list.contains(&b',') && list.split(|b| *b == b',').all(|item| !item.trim_ascii().contains(&b' '));
        is_list.then_some(self.at + list.len())
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.line.get(self.at + ahead).copied()
    }

    fn space(&mut self, b: u8) {
        self.at += 1;
        if b == 0x1b && self.peek(0) == Some(b'[') {
            // A colour.
            let is_end = |b: &u8| b.is_ascii_alphabetic();
            self.at =
                self.line[self.at..].iter().position(is_end).map_or(self.line.len(), |n| self.at + n + 1);
        }
        self.out.push_between(b' ');
    }

    /// Whether a mark stands three times: `.....`, `***`.
    fn is_ruler(&self) -> bool {
        let b = self.line[self.at];
        class(b) & MARK != 0
            && (self.peek(1) == Some(b) && self.peek(2) == Some(b)
                || self.at > 0 && self.line[self.at - 1] == b && self.peek(1) == Some(b)
                || self.at > 1 && self.line[self.at - 1] == b && self.line[self.at - 2] == b)
    }

    fn value(&mut self, end: usize) {
        self.out.push_value();
        self.at = end;
    }

    /// The end of a run of bytes that have none of these classes.
    fn end_of_run(&self, from: usize, without: u8) -> usize {
        let is_end = |b: &u8| class(*b) & without != 0;
        self.line[from..].iter().position(is_end).map_or(self.line.len(), |n| from + n)
    }

    /// A piece between separators: a word or a value.
    fn piece(&mut self) {
        let start = self.at;
        let mut kinds = 0;
        while let Some(b) = self.peek(0) {
            let kind = class(b);
            if kind & APART != 0 {
                let is_inside = b == b'\'' && self.at > start && {
                    let of_word = |b: u8| class(b) & (LETTER | DIGIT) != 0;
                    of_word(self.line[self.at - 1]) && self.peek(1).is_some_and(of_word)
                };
                if !is_inside {
                    break;
                }
            } else if kind == MARK && self.at > start && self.is_ruler() {
                break;
            }
            kinds |= kind;
            self.at += 1;
        }
        let end = self.at;
        if start >= self.secret.1 {
            let configured = self.patterns.iter().find_map(|p| p.found(self.line, start));
            self.secret = configured.unwrap_or_else(|| secret::behind(self.line, start, end));
            if self.secret.0 == start && self.secret.1 > start {
                return self.value(self.secret.1);
            }
        }
        if let Some(end) = self.address(start, end, kinds) {
            return self.value(end);
        }
        if kinds & DIGIT != 0 {
            return self.value(end);
        }
        self.word(start, end);
    }

    /// The end of a URL, a path, credentials, a mail or hardware address that begins here.
    fn address(&self, start: usize, end: usize, kinds: u8) -> Option<usize> {
        let piece = &self.line[start..end];
        let rest = &self.line[end..];
        if rest.starts_with(b"://") {
            return Some(self.without_brackets(start, self.end_of_visible(end)));
        }
        if kinds & SLASH != 0 && is_path(piece) {
            let is_end = |b: &u8| class(*b) & APART != 0 && *b != b'=';
            return Some(self.line[end..].iter().position(is_end).map_or(self.line.len(), |n| end + n));
        }
        if rest.first() == Some(&b':') {
            if let Some(end) = self.groups(start, end) {
                return Some(end);
            }
            if piece.len() == 1 && piece[0].is_ascii_alphabetic() && rest.get(1) == Some(&b'\\') {
                return Some(self.end_of_run(end + 1, APART));
            }
            // `user:word@host`
            let all = self.end_of_visible(end);
            let is_mail = self.line[end..all].contains(&b'@');
            return is_mail.then(|| self.without_brackets(start, all));
        }
        let at = if kinds & AT != 0 { piece.iter().position(|b| *b == b'@') } else { None };
        at.is_some_and(|at| at > 0 && at + 1 < piece.len()).then_some(end)
    }

    fn end_of_visible(&self, from: usize) -> usize {
        let is_end = |b: &u8| *b <= b' ' || matches!(b, b'"' | b'<' | b'>' | b'`');
        self.line[from..].iter().position(is_end).map_or(self.line.len(), |n| from + n)
    }

    /// What closes behind an address was opened before it.
    fn without_brackets(&self, start: usize, end: usize) -> usize {
        let is_kept = |b: &u8| !matches!(b, b')' | b']' | b'}' | b',' | b';' | b':' | b'.' | b'\'');
        self.line[start..end].iter().rposition(is_kept).map_or(end, |n| start + n + 1)
    }

    /// The end of hexadecimal groups between colons: addresses of interfaces and IPv6.
    fn groups(&self, start: usize, end: usize) -> Option<usize> {
        if end - start > 4 {
            return None;
        }
        let is_in = |b: &u8| b.is_ascii_hexdigit() || *b == b':';
        let rest = &self.line[start..];
        let length = rest.iter().position(|b| !is_in(b)).unwrap_or(rest.len());
        let all = rest[..length].strip_suffix(b":").unwrap_or(&rest[..length]);
        let is_apart = rest.get(length).is_none_or(|b| class(*b) & (LETTER | DIGIT) == 0);
        let mut groups = all.split(|b| *b == b':');
        let is_address = groups.clone().count() >= 3 && groups.all(|group| group.len() <= 4);
        (is_apart && is_address).then_some(start + all.len())
    }

    fn word(&mut self, start: usize, end: usize) {
        let is_mark = |b: &u8| class(*b) & (LETTER | DIGIT) == 0 && *b != b'+';
        let piece = &self.line[start..end];
        let first = piece.iter().position(|b| !is_mark(b)).unwrap_or(piece.len());
        let last = piece.iter().rposition(|b| !is_mark(b)).map_or(first, |n| n + 1);
        let word = &piece[first..last];
        piece[..first].iter().for_each(|b| self.out.push_between(*b));
        if word.is_empty() {
            return;
        }
        if let Some(end) = self.end_of_call(end) {
            return self.value(end);
        }
        if self.is_value(word, end) {
            self.out.push_value()
        } else {
            self.out.push_word(word)
        }
        piece[last..].iter().for_each(|b| self.out.push_between(*b));
    }

    /// `NAME(7)` is one value.
    fn end_of_call(&self, end: usize) -> Option<usize> {
        let inner = self.line[end..].strip_prefix(b"(")?;
        let digits = inner.iter().position(|b| !b.is_ascii_digit())?;
        (digits > 0 && inner[digits] == b')').then_some(end + digits + 2)
    }

    fn is_value(&self, word: &[u8], end: usize) -> bool {
        if is_unit(word) {
            return self.out.ends_in_value();
        }
        match word.len() {
            2 => matches!(word, b"AM" | b"PM") && self.out.ends_in_value(),
            3 | 4 if is_zone(word) => self.out.ends_in_value(),
            3 if is_of_date(word) => self.out.ends_in_value() || self.goes_on_as_date(end),
            3..=9 if matches!(word, b"nil" | b"NaN" | b"null" | b"true" | b"false" | b"True" | b"False") => {
                true
            }
            0..8 => false,
            _ => secret::looks_random(word),
        }
    }

    fn goes_on_as_date(&self, end: usize) -> bool {
        let rest = &self.line[end..];
        let from =
            rest.iter().position(|b| !matches!(b, b' ' | b',' | b'.' | b'-' | b'/')).unwrap_or(rest.len());
        let rest = &rest[from..];
        from > 0 && (rest.first().is_some_and(u8::is_ascii_digit) || rest.get(..3).is_some_and(is_of_date))
    }
}

fn is_path(piece: &[u8]) -> bool {
    let is_slash = |b: &u8| matches!(b, b'/' | b'\\');
    let slashes = piece.iter().filter(|b| is_slash(b)).count();
    slashes >= 2 || slashes == 1 && piece.len() > 1 && matches!(piece[0], b'/' | b'.' | b'~')
}

fn is_of_date(word: &[u8]) -> bool {
    const NAMES: &[u8] = b"MonTueWedThuFriSatSunJanFebMarAprMayJunJulAugSepOctNovDec";
    NAMES.chunks(3).any(|name| name == word)
}

fn is_zone(word: &[u8]) -> bool {
    const NAMES: [&[u8]; 16] = [
        b"UTC", b"GMT", b"EST", b"EDT", b"CST", b"CDT", b"MST", b"MDT", b"PST", b"PDT", b"CET", b"CEST",
        b"BST", b"IST", b"JST", b"HKT",
    ];
    NAMES.contains(&word)
}

/// Units that change with the size of what they measure, or with its number.
fn is_unit(word: &[u8]) -> bool {
    const NAMES: [&[u8]; 40] = [
        b"B", b"kB", b"KB", b"MB", b"GB", b"TB", b"KiB", b"MiB", b"GiB", b"TiB", b"K", b"M", b"G", b"T",
        b"byte", b"bytes", b"ns", b"us", b"ms", b"s", b"m", b"h", b"d", b"sec", b"secs", b"second",
        b"seconds", b"min", b"mins", b"minute", b"minutes", b"hour", b"hours", b"day", b"days", b"Hz",
        b"kHz", b"KHz", b"MHz", b"GHz",
    ];
    word.len() <= 7 && NAMES.contains(&word)
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec as List;

    use proptest::prelude::*;

    use super::*;
    use crate::logs::line::{MAX_TEXT, MAX_WORDS, VALUE};

    fn masked_by(masker: &mut Masker, line: &[u8]) -> String {
        let mut out = Line::default();
        masker.mask(line, &mut out);
        out.text().to_string()
    }

    fn masked(line: &str) -> String {
        masked_by(&mut Masker::default(), line.as_bytes())
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        assert_eq!(masked(line), expected, "{line}");
    }

    #[test]
    fn values_of_all_kinds() {
        check("took 12 ms for 3 of 4", "took <*> for <*> of <*>");
        check(
            "Accepted password for root from 10.2.3.4 port 22 ssh2",
            "Accepted password for root from <*> port <*>",
        );
        check("eth0: link up, aa:bb:cc:dd:ee:ff via fe80::a", "<*>: link up, <*> via <*>");
        check("open /var/lib/x.db: No such file", "open <*>: No such file");
        check("C:\\Users\\anna\\x is gone, C:\\a too", "<*> is gone, <*> too");
        check("GET https://a.example/b?c=d HTTP/1.1", "GET <*>");
        check("mail to anna.b@example.org, <x@y.z>", "mail to <*>, <<*>>");
        check("at Sun Jul 17 06:13:38 2005 UTC", "at <*>");
        check("in May or Jun we go", "in May or Jun we go");
        check("checksum deadbeefcafe differs", "checksum <*> differs");
        check("enabled: true, left: null", "enabled: <*>, left: <*>");
        check("free 1.5 GB of 3 TB", "free <*> of <*>");
        check("peers [a, b, c] and [] and []", "peers [<*>] and [<*>] and [<*>]");
        check("from 1.2.3.4 () at", "from <*> (<*>) at");
        check("init() ok", "init() ok");
        check("synchronized to LOCAL(0), stratum 10", "synchronized to <*>, stratum <*>");
        check("......... done ***", "......... done ***");
        check("space.........0", "space.........<*>");
        check("can't do; o'neil@x.org did", "can't do; <*> did");
        check("\u{1b}[31mred\u{1b}[0m  and\ttabs ", "red and tabs");
        check("grüße aus Köln", "grüße aus Köln");
        check("", "");
    }

    #[test]
    fn secrets_behind_their_names() {
        check("login password=hunter ok", "login password=<*> ok");
        check("password= uid=x", "password= uid=x");
        check("Password: hunter", "Password: <*>");
        check(
            r#"{"db_password": "correct horse", "user": "anna"}"#,
            r#"{"db_password": <*>, "user": "anna"}"#,
        );
        check(
            r#"{"log":"{\"api_key\":\"horse battery\",\"a\":\"b\"}"}"#,
            r#"{"log":"{\"api_key\":<*>,\"a\":\"b\"}"}"#,
        );
        check("Authorization: Basic bm9kaWdpdHM=", "Authorization: <*>");
        check("Set-Cookie: a=b; c=d", "Set-Cookie: <*>");
        check("curl --token horse --verbose", "curl --token <*> --verbose");
        check("the secret is horse", "the secret is <*>");
        check("sent Bearer horsebattery twice", "sent Bearer <*> twice");
        check("passphrase: correct horse battery", "passphrase: <*>");
        check("redis://:horse@db/0", "<*>");
        check("as scott:tiger@db now", "as <*> now");
        check("key QwErTyUiOpAsDfGhJkLz lost", "key <*> lost");
        check(
            "CoarseGrainedExecutorBackend and NettyBlockTransferService",
            "CoarseGrainedExecutorBackend and NettyBlockTransferService",
        );
        check("Failed password for invalid user", "Failed password for invalid user");
    }

    #[test]
    fn keys_of_several_lines() {
        let mut masker = Masker::default();
        let lines = [
            "loaded -----BEGIN EC PRIVATE KEY-----",
            "abcd",
            "x y",
            "-----END EC PRIVATE KEY----- so",
            "after",
        ];
        let found: List<String> = lines.iter().map(|l| masked_by(&mut masker, l.as_bytes())).collect();
        assert_eq!(found, ["loaded <*>", VALUE, VALUE, VALUE, "after"]);
        assert_eq!(masked_by(&mut masker, b"k -----BEGIN X-----\\nab\\n-----END X-----"), "k <*>");
        assert_eq!(masked_by(&mut masker, b"after"), "after");
        masked_by(&mut masker, b"-----BEGIN and nothing more");
        (0..=MAX_BLOCK).for_each(|_| assert_eq!(masked_by(&mut masker, b"word"), VALUE));
        assert_eq!(masked_by(&mut masker, b"word"), "word", "a block without an end ends");
    }

    #[test]
    fn configured_patterns() {
        let patterns = ["ward *", "contract <*>", "Project Heron"].map(|p| Pattern::parse(p).unwrap());
        let mut masker = Masker::new(patterns.into_iter().collect());
        let mut check =
            |line: &str, expected: &str| assert_eq!(masked_by(&mut masker, line.as_bytes()), expected);
        check("moved to Ward north, forward on", "moved to Ward <*> forward on");
        check("contract <open/blue> of project heron", "contract <<*>> of <*>");
        check("ward", "ward");
        for (wrong, why) in [("", "text"), ("*", "text"), ("a*b*", "one `*`")] {
            assert!(Pattern::parse(wrong).unwrap_err().contains(why), "{wrong}");
        }
    }

    #[test]
    fn long_lines_are_cut_between_words() {
        let mut out = Line::default();
        let long = [b"word ".repeat(2000), b"x".repeat(100_000)].concat();
        Masker::default().mask(&long, &mut out);
        assert!(out.is_cut() && out.words().len() == MAX_WORDS);
        // The head of a token whose digits come later may not pass for a word.
        let token = [b"a ".as_slice(), &b"b".repeat(2 * MAX_LINE), b"7"].concat();
        Masker::default().mask(&token, &mut out);
        assert_eq!((out.text(), out.is_cut()), ("a <*>", true));
    }

    proptest! {
        #[test]
        fn any_bytes_make_a_line(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 1..4)) {
            sound(&lines)?;
        }

        #[test]
        fn any_pieces_make_a_line(pieces in proptest::collection::vec(
            proptest::sample::select(&[
                "password", "=", ":", "\"", "'", "\\", " ", "a:b", "://", "@", "/", "[", "]", ",", "(", ")", "--",
                "-----BEGIN", "-----END", "...", "x", "7", "ü", "\u{1b}[", "Jun", "is ", "Bearer ", "null", "MB",
            ]), 0..60)) {
            sound(&[pieces.concat().into_bytes()])?;
        }
    }

    /// What must hold of a line whatever it was.
    fn sound(lines: &[List<u8>]) -> Result<(), TestCaseError> {
        let mut masker = Masker::default();
        let mut out = Line::default();
        for line in lines {
            masker.mask(line, &mut out);
            let text = out.text();
            prop_assert!(text.len() <= MAX_TEXT && out.words().len() <= MAX_WORDS);
            prop_assert!(!text.contains(char::is_control), "{text:?}");
            prop_assert!(!text.contains(|c: char| c.is_ascii_digit()), "{text:?}");
            let mut end = 0;
            for word in out.words() {
                let range = usize::from(word.start)..usize::from(word.end);
                prop_assert!(range.start >= end && range.start < range.end);
                prop_assert_eq!(&text[range.clone()] == VALUE, word.is_value());
                end = range.end;
            }
        }
        Ok(())
    }
}
