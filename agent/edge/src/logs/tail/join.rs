//! Lines become records: what was written as one message is one, also if it has several lines.

use fieldmouse_core::series::Millis;

use super::format::Piece;
use crate::logs::lines::HELD;

/// Lines of one record, at most.
const MOST_LINES: u32 = 500;

/// A message that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Joined<'a> {
    /// Its text. What is longer than is looked at is cut.
    pub(super) text: &'a [u8],
    /// When it was written, as its engine says.
    pub(super) wall_ms: Option<u64>,
    /// Lines of the file that it took.
    pub(super) lines: u64,
    /// Where in the file it ends.
    pub(super) end: u64,
}

/// The record that is being joined.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    text: Vec<u8>,
    wall_ms: Option<u64>,
    lines: u32,
    end: u64,
    /// Its engine wrote a part of it.
    is_part: bool,
    is_error: bool,
    /// When its last line came.
    came: Millis,
}

impl Joiner {
    /// Takes the line that ends at `end`. What is whole by that is handed to `take`.
    pub(super) fn push(
        &mut self,
        piece: &Piece<'_>,
        end: u64,
        now: Millis,
        is_multiline: bool,
        take: &mut dyn FnMut(Joined<'_>),
    ) {
        let goes_on = if self.is_part {
            self.is_error == piece.is_error
        } else {
            is_multiline && self.lines > 0 && continues(&piece.text)
        };
        if goes_on && self.lines < MOST_LINES {
            if self.is_part {
                self.add(&piece.text);
            } else if !piece.text.trim_ascii().is_empty() {
                self.add(b"\n");
                self.add(&piece.text);
            }
        } else {
            self.flush(take);
            self.add(&piece.text);
            (self.wall_ms, self.is_error) = (piece.wall_ms, piece.is_error);
        }
        self.lines += 1;
        (self.end, self.is_part, self.came) = (end, !piece.is_end, now);
        if piece.is_end && !is_multiline {
            self.flush(take);
        }
    }

    fn add(&mut self, text: &[u8]) {
        self.text.extend_from_slice(&text[..text.len().min(HELD - self.text.len())]);
    }

    /// Hands over what there is: nothing more belongs to it.
    pub(super) fn flush(&mut self, take: &mut dyn FnMut(Joined<'_>)) {
        if self.lines > 0 {
            take(Joined { text: &self.text, wall_ms: self.wall_ms, lines: self.lines.into(), end: self.end });
        }
        self.text.clear();
        (self.lines, self.is_part) = (0, false);
    }

    /// The same if it has waited for so long.
    pub(super) fn flush_old(&mut self, now: Millis, wait: Millis, take: &mut dyn FnMut(Joined<'_>)) {
        if self.lines > 0 && now.saturating_sub(self.came) >= wait {
            self.flush(take);
        }
    }

    /// Whether something waits.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.lines == 0
    }
}

/// Whether a line belongs to the one before it: traces of stacks, and what is indented.
fn continues(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
        || line.starts_with(b" ")
        || line.starts_with(b"\t")
        || line.starts_with(b"Caused by:")
        || line.starts_with(b"at ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str, is_end: bool, is_error: bool) -> Piece<'_> {
        Piece { text: text.as_bytes().into(), wall_ms: None, is_end, is_error }
    }

    /// Lines written as `text`, `text…` (a part) or `!text` (to standard error).
    #[track_caller]
    fn check(is_multiline: bool, lines: &[&str], expected: &[(&str, u64)]) {
        let (mut joiner, mut found) = (Joiner::default(), Vec::new());
        let mut take =
            |j: Joined<'_>| found.push((String::from_utf8_lossy(j.text).into_owned(), j.lines, j.end));
        for (at, line) in lines.iter().enumerate() {
            let (text, is_end) = line.strip_suffix('…').map_or((*line, true), |part| (part, false));
            let (text, is_error) = text.strip_prefix('!').map_or((text, false), |text| (text, true));
            joiner.push(&piece(text, is_end, is_error), at as u64 + 1, 0, is_multiline, &mut take);
        }
        joiner.flush(&mut take);
        joiner.flush(&mut take);
        let mut end = 0;
        for ((text, lines), found) in expected.iter().zip(&found) {
            end += lines;
            assert_eq!(found, &((*text).to_owned(), *lines, end));
        }
        assert_eq!(found.len(), expected.len(), "{found:?}");
    }

    #[test]
    fn what_belongs_together_is_one() {
        check(true, &["a", "b"], &[("a", 1), ("b", 1)]);
        check(
            true,
            &["e", "  at x", "\tat y", "Caused by: z", "at w", "f"],
            &[("e\n  at x\n\tat y\nCaused by: z\nat w", 5), ("f", 1)],
        );
        check(true, &["a", "", " ", "b"], &[("a", 3), ("b", 1)]);
        check(false, &["e", "  at x"], &[("e", 1), ("  at x", 1)]);
        check(true, &["  first", " b"], &[("  first\n b", 2)]);
        for is_multiline in [true, false] {
            check(is_multiline, &["on…", "ly…", " one", "b"], &[("only one", 3), ("b", 1)]);
            check(is_multiline, &["out…", "!err", "put"], &[("out", 1), ("err", 1), ("put", 1)]);
        }
    }

    #[test]
    fn a_record_is_bounded() {
        let lines = vec!["  x"; 3 * MOST_LINES as usize];
        let each: (String, u64) = (vec!["  x"; MOST_LINES as usize].join("\n"), MOST_LINES.into());
        check(
            true,
            &lines,
            &[(each.0.as_str(), each.1), (each.0.as_str(), each.1), (each.0.as_str(), each.1)],
        );
        let long = "y".repeat(HELD);
        check(true, &[&long, " z"], &[(long.as_str(), 2)]);
    }
}
